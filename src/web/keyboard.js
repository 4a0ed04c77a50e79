/** Single keys for what is done in a hurry, the dialog that lists them, and their switch. */

import { button, element, recall, remember } from "./dom.js";

/** Fields whose keys are words, not commands. @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && target.closest("input:not([type=checkbox]), textarea, select") !== null;
}

export class Keyboard {
  /** @param {Record<string, () => void>} commands by lower-case key */
  constructor(commands) {
    /** @private */
    this._commands = new Map(Object.entries(commands));
    /** @private */
    this._switch = element("shortcutsSwitch", HTMLInputElement);
    this._switch.checked = recall("shortcuts") !== "off";
    this._switch.onchange = () => remember("shortcuts", this._switch.checked ? "" : "off");
    document.addEventListener("keydown", (event) => this._pressed(event));
  }

  /** @private @param {KeyboardEvent} event */
  _pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const command = this._switch.checked ? this._commands.get(event.key.toLowerCase()) : undefined;
    if (!command) return;
    event.preventDefault();
    command();
  }
}

/** Wires a dialog to the button that opens it; the browser keeps the focus inside and gives it back. */
export class Panel {
  /** @param {string} id of the dialog, whose opener is `${id}Btn` and closer `${id}CloseBtn` */
  constructor(id) {
    /** @private */
    this._dialog = element(id, HTMLDialogElement);
    button(`${id}Btn`).onclick = () => this.open();
    button(`${id}CloseBtn`).onclick = () => this._dialog.close();
    this._dialog.onclick = (event) => {
      // The dialog itself is pressed only beside its contents.
      if (event.target === this._dialog) this._dialog.close();
    };
  }

  open() {
    if (!this._dialog.open) this._dialog.showModal();
  }

  close() {
    if (this._dialog.open) this._dialog.close();
  }
}
