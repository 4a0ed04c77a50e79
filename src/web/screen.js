/** The second stream: the own screen. */

import { SCREEN } from "./applications.js";
import { button, element, setLabel } from "./dom.js";
import { QualityBadge } from "./quality.js";
import { RecordingMark } from "./recording.js";
import { isSessionLost } from "./camera.js";
import { explainStream } from "./words.js";


/** The library puts it behind the stream's name, which tells viewers what they see. */
export const SCREEN_NAME = "screenShare";

export class ScreenShare {
  /**
   * @param {{ offered: boolean, onLayout: () => void, onTrouble: (text: string) => void }
   *   & import("./recording.js").RecordingListener} wishes
   */
  constructor({ offered, onLayout, onTrouble, onNotice, onFile }) {
    /** @private */
    this._onLayout = onLayout;
    /** @private */
    this._onTrouble = onTrouble;
    /** @private */
    this._button = button("shareBtn");
    /** @private */
    this._tile = element("sharing", HTMLElement);
    /** @private */
    this._quality = new QualityBadge(button("sharingQuality"), () => "Your shared screen");
    /** @private */
    this._recording = new RecordingMark(element("sharingRecording", HTMLElement), () => "screen", { onNotice, onFile });
    /** @private @type {Room | null} */
    this._room = null;
    /** @private @type {PublishedStream | null} */
    this._stream = null;
    this._button.hidden = !offered || !navigator.mediaDevices || !navigator.mediaDevices.getDisplayMedia;
    this._button.onclick = () => this.toggle();
  }

  /** @param {Room | null} room where to share; null: out of the room */
  setRoom(room) {
    this._room = room;
    this._button.disabled = room === null;
    if (room) return;
    const stream = this._stream;
    if (stream) stream.stop();
    this._ended(stream);
  }

  toggle() {
    if (this._stream) this._stream.stop();
    else this._start();
  }

  /** @private */
  _start() {
    if (!this._room || this._button.hidden) return;
    const display = element("preview", HTMLElement);
    this._wire(
      this._room.publish({ name: SCREEN_NAME, display, constraints: SCREEN, cacheLocalResources: false }),
    );
  }

  /** @private @param {PublishedStream} stream */
  _wire(stream) {
    const { PUBLISHING, UNPUBLISHED, FAILED } = Ringhall.STREAM_STATUS;
    this._stream = stream;
    stream
      .on(PUBLISHING, () => this._started(stream))
      .on(UNPUBLISHED, () => {
        this._recording.finished(stream);
        this._ended(stream);
      })
      .on(FAILED, () => this._failed(stream))
      .on(Ringhall.STREAM_EVENT, ({ type, payload }) => {
        const types = Ringhall.STREAM_EVENT_TYPE;
        if (type === types.REPUBLISH_REQUESTED) this._republish(stream, payload);
        else if (this._stream !== stream) return;
        else if (type === types.RECORDING_STARTED) this._recording.show(stream);
        else if (type === types.RECORDING_FAILED) this._recording.failed(stream, payload.info);
      });
  }

  /** A viewer needs another codec. @private @param {PublishedStream} stream @param {{ videoCodecs: string[] }} payload */
  _republish(stream, { videoCodecs }) {
    const room = this._room;
    if (this._stream !== stream || !room || stream.status() !== Ringhall.STREAM_STATUS.PUBLISHING) return;
    // The old stream's end, told at once, is no news.
    this._stream = null;
    this._recording.clear();
    this._wire(room.republish(stream, { videoCodecs }));
  }

  /** @private @param {PublishedStream} stream */
  _started(stream) {
    if (this._stream !== stream) return;
    this._quality.watch(stream);
    this._recording.show(stream);
    this._show(true);
  }

  /** @private @param {PublishedStream | null} stream */
  _ended(stream) {
    if (this._stream !== stream) return;
    this._stream = null;
    this._quality.clear();
    this._recording.clear();
    this._show(false);
  }

  /** @private @param {PublishedStream} stream */
  _failed(stream) {
    this._recording.finished(stream);
    if (this._stream !== stream) return;
    this._ended(stream);
    const given = stream.getErrorInfo() || "";
    // Closing the browser's own dialog is an answer, not a failure.
    if (isSessionLost(stream) || /denied|not allowed/i.test(given)) return;
    this._onTrouble(`Your screen: ${explainStream(stream.getInfo(), given)}`);
  }

  /** @private @param {boolean} shared */
  _show(shared) {
    this._tile.hidden = !shared;
    setLabel(this._button, shared ? "Unshare" : "Share");
    this._button.setAttribute("aria-pressed", String(shared));
    this._button.toggleAttribute("data-on", shared);
    this._onLayout();
  }
}
