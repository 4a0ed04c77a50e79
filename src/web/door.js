/**
 * The way in: name, server, preview of the camera, and what the page shows of
 * itself in each state of a visit. It decides nothing about rooms.
 */

import { button, element, make, setLabel } from "./dom.js";
import { recordLinks } from "./recording.js";

/** @typedef {"out" | "joining" | "in" | "lost"} State */
/** @typedef {import("./camera.js").Capture | "none"} Presence what a person brings along */

export class Door {
  /** @param {{ onJoin: (presence: Presence) => void, onLeave: () => void, onPreview: () => void }} listener */
  constructor(listener) {
    /** @private @type {State} */
    this._state = "out";
    /** @private */
    this._joinBtn = button("joinBtn");
    this.login = element("login", HTMLInputElement);
    this.url = element("url", HTMLInputElement);
    /** @private */
    this._recordSwitch = element("recordSwitch", HTMLInputElement);
    this.url.value = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
    for (const field of [this.login, this.url]) {
      field.oninput = () => {
        if (!field.hasAttribute("aria-invalid")) return;
        field.removeAttribute("aria-invalid");
        this.complain("");
      };
    }
    element("joinForm", HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      if (this._state === "out" && this._isComplete()) listener.onJoin("both");
    };
    this._joinBtn.onclick = (event) => {
      if (this._state !== "in" && this._state !== "lost") return;
      event.preventDefault();
      listener.onLeave();
    };
    button("joinWithMicrophoneBtn").onclick = () => this._isComplete() && listener.onJoin("microphone");
    button("joinWithoutBtn").onclick = () => this._isComplete() && listener.onJoin("none");
    button("previewBtn").onclick = () => listener.onPreview();
    this.offerOthers(false);
    this.setState("out");
  }

  /** @returns {State} */
  state() {
    return this._state;
  }

  /** @returns {string} */
  name() {
    return this.login.value.trim();
  }

  /** Whether everything in the room is to be recorded. @returns {boolean} */
  wantsRecording() {
    return this._recordSwitch.checked;
  }

  /** Whoever is invited finds the switch where they look for it: the one who opened the room has decided. */
  putRecordingAside() {
    element("moreSettings", HTMLDetailsElement).append(element("recordField", HTMLElement));
  }

  /** A recording of one's own, to play or to take away. @param {string} called @param {string} name */
  offer(called, name) {
    const line = make("li");
    line.append(...recordLinks(called, name));
    element("recordingList", HTMLElement).append(line);
    element("recordings", HTMLElement).hidden = false;
  }

  /** Ways in without a camera, after it was refused. @param {boolean} offered */
  offerOthers(offered) {
    button("joinWithMicrophoneBtn").hidden = !offered;
    button("joinWithoutBtn").hidden = !offered;
  }

  /** An empty text takes the message away. @param {string} text */
  complain(text) {
    element("failedInfo", HTMLElement).textContent = text;
  }

  /** News that are no error. @param {string} text */
  notice(text) {
    element("noticeText", HTMLElement).textContent = text;
    element("notice", HTMLElement).hidden = !text;
  }

  /** @param {State} state */
  setState(state) {
    const before = this._state;
    this._state = state;
    const inside = state === "in" || state === "lost";
    document.body.dataset.state = state;
    document.body.dataset.place = inside ? "room" : "door";
    const leaving = element(inside ? "leaveSlot" : "joinSlot", HTMLElement);
    const focused = document.activeElement === this._joinBtn;
    if (this._joinBtn.parentElement !== leaving) leaving.append(this._joinBtn);
    setLabel(this._joinBtn, inside ? "Leave" : "Join");
    this._joinBtn.type = inside ? "button" : "submit";
    this._joinBtn.disabled = state === "joining";
    this.login.disabled = state !== "out";
    this.url.disabled = state !== "out";
    this._recordSwitch.disabled = state !== "out";
    // The next visit is another one: nobody finds a recording on by surprise.
    if (state === "out" && before !== "joining") this._recordSwitch.checked = false;
    element("home", HTMLAnchorElement).inert = state !== "out";
    element("lostNotice", HTMLElement).hidden = state !== "lost";
    const devices = element("devices", HTMLElement);
    const slot = element(inside ? "settingsSlot" : "lobbySlot", HTMLElement);
    if (devices.parentElement !== slot) slot.append(devices);
    this._keepFocus(before, focused);
  }

  /** Nobody's keyboard ends up nowhere, and a second Enter does not leave again. @private @param {State} before @param {boolean} focused */
  _keepFocus(before, focused) {
    const inside = this._state === "in";
    const active = document.activeElement;
    const adrift = focused || !active || active === document.body || element("joinForm", HTMLElement).contains(active);
    if (inside && before === "joining" && adrift) element("stage", HTMLElement).focus({ preventScroll: true });
    else if (this._state === "out" && before !== "out" && adrift) this._joinBtn.focus();
    else if (focused && this._state === "lost") this._joinBtn.focus();
  }

  /** @private @returns {boolean} */
  _isComplete() {
    const login = this.name();
    const url = this.url.value.trim();
    if (login && url) return true;
    (login ? this.url : this.login).setAttribute("aria-invalid", "true");
    this.complain(login ? "The server's address is missing." : "Please say who you are.");
    if (login) element("moreSettings", HTMLDetailsElement).open = true;
    (login ? this.url : this.login).focus();
    return false;
  }
}
