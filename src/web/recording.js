/**
 * Recordings of what this page sends: a mark while the server makes one, the
 * reason when it ends early, and links to the file once its stream is over.
 */

import { make } from "./dom.js";
import { explainRecording } from "./words.js";

/**
 * @typedef {Object} RecordingListener
 * @property {(text: string) => void} onNotice a recording ended before its stream
 * @property {(called: string, name: string) => void} onFile what was recorded, and the file's name
 */

/** Where a recording is played and downloaded from. @param {string} name */
export function recordAddress(name) {
  return `/client/records/${encodeURIComponent(name)}`;
}

/**
 * Links to a recording of one's own. It is played in another tab: opened in this
 * one, it would end the call.
 * @param {string} called what was recorded
 * @param {string} name
 * @returns {Node[]}
 */
export function recordLinks(called, name) {
  const [play, download] = [document.createElement("a"), document.createElement("a")];
  play.textContent = "Your recording";
  play.target = "_blank";
  play.rel = "noopener";
  play.title = "Opens in a new tab";
  download.textContent = "Download";
  download.className = "download";
  download.download = name;
  download.setAttribute("aria-label", `Download your recording of ${called}`);
  play.href = download.href = recordAddress(name);
  const what = make("span");
  what.append(play, ` of ${called} `);
  return [what, download];
}

/** A stream that ended at once has left no file. @param {string} name @returns {Promise<boolean>} */
async function isThere(name) {
  try {
    return (await fetch(recordAddress(name), { method: "HEAD", cache: "no-store" })).ok;
  } catch {
    // The connection is gone for now, and with it the call; the file is not.
    return true;
  }
}

/** The mark on one's own camera or screen, stream after stream. */
export class RecordingMark {
  /**
   * @param {HTMLElement} root a status region on the picture
   * @param {() => string} called what is recorded
   * @param {RecordingListener} listener
   */
  constructor(root, called, listener) {
    /** @private */
    this._root = root;
    /** @private */
    this._called = called;
    /** @private */
    this._listener = listener;
    /** @private Files that have ended, each of which is told of once. @type {Set<string>} */
    this._ended = new Set();
  }

  /** Whoever wished for the recording: who is sent to it sees it. @param {PublishedStream} stream */
  show(stream) {
    const name = stream.getRecordInfo();
    const isRecorded = name !== null && !this._ended.has(name);
    if (!isRecorded) this.clear();
    // A mark left alone is not said again by screen readers.
    else if (!this._root.hasChildNodes()) this._root.append(make("span", "badge recording", "Recording"));
  }

  clear() {
    this._root.replaceChildren();
  }

  /** The recording has ended, the stream goes on. @param {PublishedStream} stream @param {unknown} info */
  failed(stream, info) {
    this.clear();
    this._listener.onNotice(explainRecording(this._called(), typeof info === "string" ? info : ""));
    this.finished(stream);
  }

  /** The stream is over, or its recording is. @param {PublishedStream} stream */
  async finished(stream) {
    const called = this._called();
    const name = stream.getRecordInfo();
    if (name === null || this._ended.has(name)) return;
    this._ended.add(name);
    if (await isThere(name)) this._listener.onFile(called, name);
  }
}
