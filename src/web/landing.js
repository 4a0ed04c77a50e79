/** The landing page: the way to the applications, and for administrators the rooms. */

import { RefusedError, adminToken, keepAdminToken, listRooms } from "./administration.js";
import { button, element } from "./dom.js";
import { RoomList } from "./rooms.js";

const REFRESH_MS = 3_000;

/** Links of the time when the conference was at this address. */
function forwardInvitation() {
  if (!new URLSearchParams(location.search).has("roomName")) return false;
  location.replace(`conference.html${location.search}`);
  return true;
}

/** An access token leaves the address bar and the history at once. @returns {string | null} */
function takeToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (token !== null) {
    address.searchParams.delete("token");
    history.replaceState(null, "", address.href);
  }
  return token;
}

/** A room named here is the one that the applications open. @param {string | null} token goes with it */
function wireRoomField(token) {
  const field = element("room", HTMLInputElement);
  const links = [...document.querySelectorAll(".applications a")].map((link) => /** @type {HTMLAnchorElement} */ (link));
  field.oninput = () => {
    const name = field.value.trim();
    const query = new URLSearchParams();
    if (name) query.set("roomName", name);
    if (token) query.set("token", token);
    for (const link of links) link.search = query.toString();
  };
  // Browsers put words back into fields when a page is returned to.
  field.oninput(new Event("input"));
}

class Administration {
  constructor() {
    /** @private */
    this._section = element("rooms", HTMLElement);
    /** @private */
    this._form = element("adminForm", HTMLFormElement);
    /** @private */
    this._token = element("adminToken", HTMLInputElement);
    /** @private */
    this._list = new RoomList(() => this._refresh(), (text) => this._complain(text));
    /** @private */
    this._timer = 0;
    this._form.onsubmit = (event) => {
      event.preventDefault();
      keepAdminToken(this._token.value.trim());
      this._token.value = "";
      this._refresh();
    };
    button("forgetBtn").onclick = () => {
      keepAdminToken("");
      this._refresh();
    };
    document.addEventListener("visibilitychange", () => !document.hidden && this._refresh());
    this._refresh();
  }

  /** @private */
  async _refresh() {
    window.clearTimeout(this._timer);
    try {
      this._list.show(await listRooms());
      this._complain("");
      this._ask(false);
    } catch (error) {
      if (!this._failed(error)) return;
    }
    window.clearTimeout(this._timer);
    if (!document.hidden) this._timer = window.setTimeout(() => this._refresh(), REFRESH_MS);
  }

  /** @private @param {unknown} error @returns {boolean} whether trying again may help */
  _failed(error) {
    const status = error instanceof RefusedError ? error.status : 0;
    if (status === 401) {
      this._list.clear();
      this._complain(adminToken() ? "The server does not accept this admin token." : "");
      keepAdminToken("");
      this._ask(true);
      return false;
    }
    if (status === 403 || status === 404) {
      // Not for this visitor: as if there were nothing.
      this._list.clear();
      this._section.hidden = true;
      return false;
    }
    this._complain(error instanceof Error ? error.message : String(error));
    return true;
  }

  /** @private @param {boolean} forToken */
  _ask(forToken) {
    this._section.hidden = false;
    this._form.hidden = !forToken;
    button("forgetBtn").hidden = forToken || !adminToken();
  }

  /** @private @param {string} text */
  _complain(text) {
    element("roomsError", HTMLElement).textContent = text;
  }
}

if (!forwardInvitation()) {
  wireRoomField(takeToken());
  new Administration();
}
