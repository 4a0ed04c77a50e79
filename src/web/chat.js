/**
 * The text chat: the log, and the field below it. Everything people write is put
 * in as text, never as markup.
 */

import { button, element, make } from "./dom.js";
import { recordLinks } from "./recording.js";
import { explainChat } from "./words.js";


/** Lines kept: a day's talk, while a flood does not fill the memory. */
const LINES_MAX = 2_000;

/** Nearer to the end than this, the reader follows the talk. */
const FOLLOWING_PX = 40;

export class Chat {
  constructor() {
    /** @private */
    this._log = element("chat", HTMLElement);
    /** @private */
    this._message = element("message", HTMLTextAreaElement);
    /** @private @type {Room | null} */
    this._room = null;
    /** @private */
    this._login = "";
    const form = element("messageForm", HTMLFormElement);
    form.onsubmit = (event) => {
      event.preventDefault();
      this._send();
    };
    this._message.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    };
    this.setRoom(null, "");
  }

  /** @param {Room | null} room where to send; null: nowhere @param {string} login own name */
  setRoom(room, login) {
    this._room = room;
    this._login = login;
    this._message.disabled = room === null;
    button("sendMessageBtn").disabled = room === null;
  }

  focus() {
    this._message.focus();
  }

  /** @param {string} who @param {string} text */
  say(who, text) {
    this._append(who, [text], "line");
  }

  /** News of the room itself. @param {string} who @param {string} text */
  note(who, text) {
    this._append(who, [text], "line system");
  }

  /** A recording of one's own, to play or to take away. @param {string} called @param {string} name */
  offer(called, name) {
    this._append("chat", recordLinks(called, name), "line system");
  }

  /** Own line first, then one message to each other participant. @private */
  _send() {
    const room = this._room;
    const text = this._message.value.trim();
    if (!text || !room) return;
    this._message.value = "";
    this.say(this._login, text);
    for (const participant of room.getParticipants()) {
      const name = participant.name();
      participant.sendMessage(text, (info) => {
        this.note("chat", `${name} did not get the message: ${explainChat(info)}`);
      });
    }
  }

  /** @private @param {string} who @param {(string | Node)[]} parts @param {string} className */
  _append(who, parts, className) {
    const log = this._log;
    const following = log.scrollHeight - log.scrollTop - log.clientHeight < FOLLOWING_PX;
    const now = new Date();
    const time = document.createElement("time");
    time.dateTime = now.toISOString();
    time.textContent = `${now.getHours()}:${String(now.getMinutes()).padStart(2, "0")}`;
    const line = make("p", className);
    line.append(time, " ", make("b", "", who), " - ", ...parts);
    log.append(line);
    while (log.childElementCount > LINES_MAX && log.firstElementChild) log.firstElementChild.remove();
    // Somebody who has scrolled back to read is not pulled away.
    if (following) log.scrollTop = log.scrollHeight;
  }
}
