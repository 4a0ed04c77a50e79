/**
 * Small tools for pages: finding elements of a known type, making them, and
 * setting their words. Text is always set as text; nothing here takes markup.
 */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`No ${type.name} #${id} on this page`);
  return found;
}

/** @param {string} id @returns {HTMLButtonElement} */
export function button(id) {
  return element(id, HTMLButtonElement);
}

/**
 * @template {HTMLElement} T
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
export function part(parent, selector, type) {
  const found = parent.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`No ${type.name} ${selector} in this template`);
  return found;
}

/**
 * A copy of the element in a `<template>`.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function copyTemplate(id) {
  const copy = /** @type {DocumentFragment} */ (element(id, HTMLTemplateElement).content.cloneNode(true));
  const first = copy.firstElementChild;
  if (!(first instanceof HTMLElement)) throw new Error(`Template #${id} is empty`);
  return first;
}

/**
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElement}
 */
export function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/**
 * @param {string} text
 * @param {string} className
 * @param {() => void} [onPress]
 * @returns {HTMLButtonElement}
 */
export function makeButton(text, className, onPress) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = text;
  if (onPress) made.onclick = onPress;
  return made;
}

/** Sets a button's words and leaves its icon alone. @param {HTMLElement} target @param {string} text */
export function setLabel(target, text) {
  const words = target.querySelector("span") || target;
  // Unchanged words are left alone: a screen reader would say them again.
  if (words.textContent !== text) words.textContent = text;
}

/** A state in the server's own word, with its colour. @param {string} id @param {string} status */
export function setStatus(id, status) {
  const field = element(id, HTMLElement);
  if (field.textContent !== status) field.textContent = status;
  field.dataset.status = status;
}

/** The stand-in for a missing picture: first letter, colour of the name. @param {HTMLElement} avatar @param {string} name */
export function dressAvatar(avatar, name) {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + (letter.codePointAt(0) || 0)) % 360;
  avatar.textContent = Array.from(name.trim())[0] || "";
  // Turned by a wide angle, so that "Guest 1" and "Guest 2" differ.
  avatar.style.setProperty("--hue", String((hue * 137) % 360));
}

/** A value this browser keeps between visits. @param {string} key @returns {string} empty when there is none */
export function recall(key) {
  try {
    return localStorage.getItem(`ringhall.${key}`) || "";
  } catch {
    return "";
  }
}

/** @param {string} key @param {string} value empty forgets it */
export function remember(key, value) {
  try {
    if (value) localStorage.setItem(`ringhall.${key}`, value);
    else localStorage.removeItem(`ringhall.${key}`);
  } catch {
    // Storage refused (private mode): the choice holds until the page is left.
  }
}
