/**
 * Plays recordings side by side in step. One clock of its own drives every
 * picture: each is started, held, nudged or moved so that it shows what the
 * clock says, and the clock stands still while one of them has to load.
 */

import { button, copyTemplate, dressAvatar, element, part } from "./dom.js";
import { setText } from "./rows.js";

/**
 * @typedef {{ label: string, address: string, offset: number, duration: number, hasPicture: boolean }} SeatInfo
 * `offset`: seconds from the clock's zero to the file's begin; `duration` 0: not known before it is loaded.
 */

const TICK_MS = 100;
/** Seconds apart that nobody hears or sees. */
const DRIFT_FINE = 0.03;
/** Beyond it, playing faster or slower would take too long. */
const DRIFT_MAX = 0.4;
/** Most that speed is changed by to catch up; the pitch stays. */
const NUDGE = 0.06;
/** Everybody waits this long, in ms, for one that loads; then it has to catch up. */
const PATIENCE_MS = 8_000;
const SKIP_S = 5;

/** @param {number} seconds @returns {string} like 4:05 or 1:02:03 */
export function timeText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const digits = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const tail = digits(whole % 60);
  return hours > 0 ? `${hours}:${digits(minutes)}:${tail}` : `${minutes}:${tail}`;
}

/** One file and its picture. */
class Seat {
  /** @param {SeatInfo} info @param {(error: unknown) => void} onRefused the browser wants a press first */
  constructor(info, onRefused) {
    this.root = copyTemplate("seatTemplate");
    /** @private */
    this._info = info;
    /** @private */
    this._onRefused = onRefused;
    /** @private When it began to keep others waiting; 0: it does not. */
    this._waitingSince = 0;
    /** @private */
    this._isBroken = false;
    /** @private */
    this._video = part(this.root, "video", HTMLVideoElement);
    // In parts, so that more files play than the browser has connections to a server.
    this._video.src = `${info.address}?parts`;
    this._video.setAttribute("aria-label", info.label);
    this._video.onerror = () => {
      // Some browsers go on without a sound device, and call that an error, too.
      this._isBroken = this._video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA;
      if (this._isBroken) this._note("This browser can't play this file.");
    };
    part(this.root, ".seatName", HTMLElement).textContent = info.label;
    const avatar = part(this.root, ".avatar", HTMLElement);
    avatar.hidden = info.hasPicture;
    dressAvatar(avatar, info.label);
    this._wireMute();
  }

  /** @private */
  _wireMute() {
    const mute = part(this.root, ".muteBtn", HTMLButtonElement);
    mute.setAttribute("aria-label", `Mute ${this._info.label}`);
    mute.onclick = () => {
      this._video.muted = !this._video.muted;
      mute.setAttribute("aria-pressed", String(this._video.muted));
      mute.toggleAttribute("data-off", this._video.muted);
    };
  }

  /** Seconds of the file; 0 while unknown. */
  get duration() {
    const told = this._video.duration;
    return Number.isFinite(told) ? told : this._info.duration;
  }

  /** Where on the clock it ends. */
  get end() {
    return this._info.offset + this.duration;
  }

  /** Whether everybody has to wait for it. @param {number} position @param {number} now ms */
  keepsWaiting(position, now) {
    const { readyState, seeking } = this._video;
    const target = position - this._info.offset;
    const isThere = target >= 0 && (this.duration === 0 || target < this.duration - 0.2);
    const isReady = !seeking && readyState >= HTMLMediaElement.HAVE_FUTURE_DATA;
    if (!isThere || isReady || this._isBroken) {
      this._waitingSince = 0;
      return false;
    }
    this._waitingSince ||= now;
    return now - this._waitingSince < PATIENCE_MS;
  }

  /** Shows what the clock says. @param {{ position: number, length: number, isGoing: boolean, speed: number }} clock */
  follow({ position, length, isGoing, speed }) {
    if (this._isBroken) return;
    const target = position - this._info.offset;
    const isOver = this.duration > 0 && target >= this.duration;
    if (target < 0 || isOver) {
      const why = target < 0 ? `Begins at ${timeText(this._info.offset)}` : "Has ended";
      // At the end of all there is nothing to explain.
      this._note(position < length ? why : "");
      return this._hold(target < 0 ? 0 : this.duration);
    }
    this._note("");
    if (!isGoing) return this._hold(target);
    const drift = this._video.currentTime - target;
    if (Math.abs(drift) > DRIFT_MAX) {
      if (!this._video.seeking) this._video.currentTime = target;
    }
    const nudge = Math.abs(drift) > DRIFT_FINE ? Math.max(-NUDGE, Math.min(NUDGE, -drift)) : 0;
    const rate = speed * (1 + nudge);
    if (this._video.playbackRate !== rate) this._video.playbackRate = rate;
    if (this._video.paused) this._video.play().catch(this._onRefused);
  }

  /** @private @param {number} target seconds of the file */
  _hold(target) {
    if (!this._video.paused) this._video.pause();
    const apart = Math.abs(this._video.currentTime - target);
    if (apart > DRIFT_FINE && !this._video.seeking && this._video.readyState > HTMLMediaElement.HAVE_NOTHING) {
      this._video.currentTime = target;
    }
  }

  /** @private @param {string} text */
  _note(text) {
    const note = part(this.root, ".seatNote", HTMLElement);
    note.hidden = text === "";
    setText(note, text);
  }

  /** Gives up what it loaded and its connection. */
  leave() {
    this._video.onerror = null;
    this._video.pause();
    this._video.removeAttribute("src");
    this._video.load();
    this.root.remove();
  }
}

export class Theatre {
  constructor() {
    /** @private */
    this._section = element("theatre", HTMLElement);
    /** @private */
    this._seek = element("seek", HTMLInputElement);
    /** @private @type {Seat[]} */
    this._seats = [];
    /** @private Seconds. */
    this._position = 0;
    /** @private */
    this._isPlaying = false;
    /** @private When the clock was last moved, ms. */
    this._ticked = 0;
    /** @private */
    this._timer = 0;
    /** @private @type {Element | null} */
    this._opener = null;
    button("playBtn").onclick = () => (this._isPlaying ? this._pause() : this._play());
    button("theatreCloseBtn").onclick = () => this.close();
    this._seek.oninput = () => this._moveTo(Number(this._seek.value));
    this._section.onkeydown = (event) => this._pressed(event);
  }

  /** @param {string} title @param {SeatInfo[]} infos */
  open(title, infos) {
    this._clear();
    this._opener = document.activeElement;
    element("theatreTitle", HTMLElement).textContent = title;
    const onRefused = (/** @type {unknown} */ error) => {
      // An interrupted start is our own doing.
      if (error instanceof DOMException && error.name === "NotAllowedError") this._pause();
    };
    this._seats = infos.map((info) => new Seat(info, onRefused));
    const columns = Math.ceil(Math.sqrt(infos.length));
    const room = element("seats", HTMLElement);
    room.style.setProperty("--columns", String(columns));
    room.append(...this._seats.map((seat) => seat.root));
    this._section.hidden = false;
    this._section.focus({ preventScroll: true });
    this._section.scrollIntoView({ block: "start" });
    this._timer = window.setInterval(() => this._tick(), TICK_MS);
    this._moveTo(0);
    this._play();
  }

  close() {
    const wasOpen = !this._section.hidden;
    this._clear();
    this._section.hidden = true;
    if (wasOpen && this._opener instanceof HTMLElement) this._opener.focus();
  }

  /** @private */
  _clear() {
    window.clearInterval(this._timer);
    for (const seat of this._seats) seat.leave();
    this._seats = [];
    this._isPlaying = false;
    this._position = 0;
  }

  /** @private Seconds. */
  get _length() {
    return Math.max(0, ...this._seats.map((seat) => seat.end));
  }

  /** @private */
  _play() {
    if (this._length > 0 && this._position >= this._length) this._position = 0;
    this._isPlaying = true;
    this._ticked = performance.now();
    this._tick();
  }

  /** @private */
  _pause() {
    this._isPlaying = false;
    this._tick();
  }

  /** @private @param {number} position seconds */
  _moveTo(position) {
    this._position = Math.max(0, Math.min(position, this._length));
    this._tick();
  }

  /** @private */
  _tick() {
    const now = performance.now();
    const speed = Number(element("speed", HTMLSelectElement).value);
    // Asked of each, so that each knows since when it keeps others waiting.
    const waiting = this._seats.filter((seat) => seat.keepsWaiting(this._position, now));
    const isGoing = this._isPlaying && waiting.length === 0;
    if (isGoing) this._position += ((now - this._ticked) / 1000) * speed;
    this._ticked = now;
    const length = this._length;
    if (length > 0 && this._position >= length) {
      this._position = length;
      this._isPlaying = false;
    }
    const clock = { position: this._position, length, isGoing: isGoing && this._isPlaying, speed };
    for (const seat of this._seats) seat.follow(clock);
    this._show(length, this._isPlaying && waiting.length > 0);
  }

  /** @private @param {number} length @param {boolean} isLoading */
  _show(length, isLoading) {
    setText(button("playBtn"), this._isPlaying ? "Pause" : "Play");
    const told = `${timeText(this._position)} of ${timeText(length)}`;
    this._seek.max = String(length);
    this._seek.value = String(this._position);
    this._seek.setAttribute("aria-valuetext", told);
    setText(element("clock", HTMLElement), `${timeText(this._position)} / ${timeText(length)}`);
    setText(element("theatreNote", HTMLElement), isLoading ? "Loading…" : "");
  }

  /** @private @param {KeyboardEvent} event */
  _pressed(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const isOwn = event.ctrlKey || event.altKey || event.metaKey || target.closest("select") !== null;
    if (isOwn) return;
    const isBusy = target.closest("button, input") !== null;
    if (event.key === " " && (!isBusy || target === this._seek)) this._isPlaying ? this._pause() : this._play();
    else if (event.key === "ArrowLeft") this._moveTo(this._position - SKIP_S);
    else if (event.key === "ArrowRight") this._moveTo(this._position + SKIP_S);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
  }
}
