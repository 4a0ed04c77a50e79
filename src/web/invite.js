/** The link that brings others into the room, and its way into the clipboard. */

import { button, element } from "./dom.js";

/** How long a button says that it worked. */
const ANSWER_MS = 2_000;

export class Invite {
  constructor() {
    /** @private */
    this._link = element("inviteAddress", HTMLAnchorElement);
    /** @private */
    this._button = button("copyBtn");
    this._button.onclick = () => this.copy(this._button);
    this.setRoom(null);
  }

  /** The access token of this person is not part of the link. @param {string | null} name */
  setRoom(name) {
    this._button.disabled = name === null;
    if (name === null) {
      this._link.removeAttribute("href");
      this._link.textContent = "Not connected";
      return;
    }
    this._link.href = `${location.origin}${location.pathname}?roomName=${encodeURIComponent(name)}`;
    this._link.textContent = this._link.href;
  }

  /** @param {HTMLButtonElement} pressed the button that tells the outcome */
  async copy(pressed) {
    if (!this._link.href) return;
    const words = pressed.dataset.words || pressed.textContent || "";
    pressed.dataset.words = words;
    try {
      await navigator.clipboard.writeText(this._link.href);
      pressed.textContent = "Copied";
    } catch {
      // No clipboard on plain http pages: select the link, so that one key copies it.
      const selection = getSelection();
      if (selection) selection.selectAllChildren(this._link);
      pressed.textContent = "Press Ctrl+C";
    }
    window.setTimeout(() => (pressed.textContent = words), ANSWER_MS);
  }
}
