/**
 * What an administrator's section of a page is kept behind: it loads while the
 * server allows it, asks for the admin token where that is needed, and comes
 * round again as long as the page is looked at.
 */

import { RefusedError, adminToken, keepAdminToken } from "./administration.js";
import { button, element } from "./dom.js";

/** @typedef {{
 *   error: HTMLElement,
 *   refreshMs: number,
 *   load: () => Promise<void>,
 *   clear: () => void,
 *   allow: (mayBeSeen: boolean) => void,
 * }} Guarded
 * `allow(false)`: not for this visitor at all.
 */

export class AdminGate {
  /** @param {Guarded} guarded */
  constructor(guarded) {
    /** @private */
    this._guarded = guarded;
    /** @private */
    this._form = element("adminForm", HTMLFormElement);
    /** @private */
    this._token = element("adminToken", HTMLInputElement);
    /** @private */
    this._timer = 0;
    this._form.onsubmit = (event) => {
      event.preventDefault();
      keepAdminToken(this._token.value.trim());
      this._token.value = "";
      this.refresh();
    };
    button("forgetBtn").onclick = () => {
      keepAdminToken("");
      this.refresh();
    };
    document.addEventListener("visibilitychange", () => !document.hidden && this.refresh());
    this.refresh();
  }

  async refresh() {
    window.clearTimeout(this._timer);
    try {
      await this._guarded.load();
      this.complain("");
      this._ask(false);
    } catch (error) {
      if (!this._failed(error)) return;
    }
    window.clearTimeout(this._timer);
    if (!document.hidden) this._timer = window.setTimeout(() => this.refresh(), this._guarded.refreshMs);
  }

  /** @param {string} text */
  complain(text) {
    // Unchanged words are left alone: a screen reader would say them again.
    if (this._guarded.error.textContent !== text) this._guarded.error.textContent = text;
  }

  /** @private @param {unknown} error @returns {boolean} whether trying again may help */
  _failed(error) {
    const status = error instanceof RefusedError ? error.status : 0;
    if (status === 401) {
      this._guarded.clear();
      this.complain(adminToken() ? "The server does not accept this admin token." : "");
      keepAdminToken("");
      this._ask(true);
      return false;
    }
    if (status === 403 || status === 404) {
      this._guarded.clear();
      this._guarded.allow(false);
      return false;
    }
    this.complain(error instanceof Error ? error.message : String(error));
    return true;
  }

  /** @private @param {boolean} forToken */
  _ask(forToken) {
    this._guarded.allow(true);
    this._form.hidden = !forToken;
    button("forgetBtn").hidden = forToken || !adminToken();
  }
}
