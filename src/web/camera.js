/** The own camera and microphone: preview, publishing, and their buttons. */

import { button, element, setLabel, setStatus } from "./dom.js";
import { LevelMeter, SpeakingMark, watchPreviewLevel } from "./level.js";
import { QualityBadge } from "./quality.js";
import { RecordingMark } from "./recording.js";
import { explainMedia, explainStream, isPassing } from "./words.js";

/** @typedef {import("./devices.js").Devices} Devices */
/** @typedef {"both" | "microphone"} Capture what is asked of the browser */

/** Pauses before a stream whose media broke is sent anew, in ms. */
const RETRY_PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000];

/** @param {PublishedStream} stream @returns {boolean} whether it ended with the session, not by itself */
export function isSessionLost(stream) {
  return stream.getInfo() === Ringhall.constants.STREAM_STATUS_INFO.STOPPED_BY_SESSION_DISCONNECT;
}

export class Camera {
  /**
   * @param {Record<string, any>} video what is asked of a camera
   * @param {Devices} devices
   * @param {{ onTrouble: (text: string) => void } & import("./recording.js").RecordingListener} listener
   */
  constructor(video, devices, { onTrouble, onNotice, onFile }) {
    /** @private */
    this._video = video;
    /** @private */
    this._devices = devices;
    /** @private */
    this._onTrouble = onTrouble;
    /** @private */
    this._onNotice = onNotice;
    /** @private */
    this._display = element("localDisplay", HTMLElement);
    /** @private */
    this._tile = element("local", HTMLElement);
    /** @private */
    this._audioToggle = button("localAudioToggle");
    /** @private */
    this._videoToggle = button("localVideoToggle");
    /** @private */
    this._stopBtn = button("localStopBtn");
    /** @private */
    this._meter = new LevelMeter(element("micLevel", HTMLElement));
    /** @private */
    this._speaking = new SpeakingMark(this._tile);
    /** @private */
    this._quality = new QualityBadge(button("localQuality"), () => "Your connection");
    /** @private */
    this._recording = new RecordingMark(
      element("localRecording", HTMLElement),
      () => (this._capture === "microphone" ? "microphone" : "camera and microphone"),
      { onNotice, onFile },
    );
    /** @private @type {PublishedStream | null} */
    this._stream = null;
    /** @private @type {Room | null} */
    this._room = null;
    /** @private What the open camera was asked for; null: it is not open. @type {Record<string, any> | null} */
    this._constraints = null;
    /** @private @type {Capture} */
    this._capture = "both";
    /** @private What the person wants, whatever becomes of streams. */
    this._muted = { audio: false, video: false };
    /** @private Broken streams sent anew since the last that worked. */
    this._retries = 0;
    /** @private How often the camera was let go. */
    this._releases = 0;
    /** @private @type {() => void} */
    this._stopLevel = () => {};
    this._audioToggle.onclick = () => this.toggle("audio");
    this._videoToggle.onclick = () => this.toggle("video");
    this._stopBtn.onclick = () => this._toggleStream();
    this._refresh();
  }

  isOpen() {
    return this._constraints !== null;
  }

  /** Asks for camera and microphone and shows the picture. @param {Capture} [capture] */
  async open(capture = this._capture) {
    if (this._constraints && capture !== this._capture) this.release();
    this._capture = capture;
    const releases = this._releases;
    try {
      await this._access(this._constraints || this._wish());
    } catch (error) {
      if (!this._constraints) throw error;
      // The device of before is not there any more: another may be.
      this._constraints = null;
      await this._access(this._wish());
    }
    // Let go while the browser was still asking: what it gave is not wanted any more.
    if (releases !== this._releases) return this._close();
    this._applyMute();
    if (this._room === null) this._listenToPreview();
    this._tellDevices();
    this._refresh();
  }

  /** Takes the chosen devices; before joining that means to open them anew. @param {import("./devices.js").DeviceKind} kind @param {string} id */
  async choose(kind, id) {
    const stream = this._stream;
    try {
      if (stream) await this._switch(stream, kind, id);
      else if (this._constraints) {
        this.release();
        await this.open();
      }
    } catch (error) {
      this._devices.forget(kind);
      this._onTrouble(`The ${kind} can't be used. ${explainMedia(error)}`);
      this._refresh();
    }
  }

  /** @param {Room} room */
  publish(room) {
    this._room = room;
    this._retries = 0;
    this._start(room);
  }

  /** In the room without a camera: the way to start one stays open. @param {Room} room */
  offer(room) {
    this._room = room;
    this._forget();
  }

  /** Out of the room. @param {boolean} keep the connection is lost and will be sought again: the camera stays open for it */
  close(keep) {
    const ending = this._stream;
    this._room = null;
    this._forget();
    if (ending) {
      // Its end is only shown: camera and buttons may serve the next visit by then.
      ending.on(Ringhall.STREAM_STATUS.UNPUBLISHED, () => {
        this._recording.finished(ending);
        if (!this._stream) setStatus("localStatus", ending.status());
      });
      // Gives the camera back at once, though the server may never answer.
      ending.stop();
    }
    if (!keep) this.release();
  }

  release() {
    this._releases += 1;
    this._close();
  }

  /** @private */
  _close() {
    this._constraints = null;
    this._stopLevel();
    Ringhall.releaseLocalMedia(this._display);
    this._refresh();
  }

  /** @param {"audio" | "video"} kind */
  toggle(kind) {
    if (!this._isToggleable()) return;
    this._muted[kind] = !this._muted[kind];
    const stream = this._stream;
    if (stream && kind === "audio") this._muted.audio ? stream.muteAudio() : stream.unmuteAudio();
    else if (stream) this._muted.video ? stream.muteVideo() : stream.unmuteVideo();
    else this._applyMute();
    this._refresh();
  }

  /** @private @param {PublishedStream} stream @param {import("./devices.js").DeviceKind} kind @param {string} id */
  async _switch(stream, kind, id) {
    if (kind === "camera") await stream.switchCamera(id);
    else await stream.switchMicrophone(id);
    if (this._stream !== stream || !this._constraints) return;
    // The library keeps the camera for a rejoin under these constraints.
    const track = kind === "camera" ? "video" : "audio";
    const before = this._constraints[track];
    const rest = typeof before === "object" ? before : {};
    this._constraints = { ...this._constraints, [track]: { ...rest, deviceId: { exact: id } } };
  }

  /** @private @param {Record<string, any>} constraints */
  async _access(constraints) {
    await Ringhall.getMediaAccess(constraints, this._display);
    this._constraints = constraints;
  }

  /** @private */
  _tellDevices() {
    for (const track of this._shown()?.getTracks() || []) {
      this._devices.setCurrent(track.kind === "audio" ? "microphone" : "camera", track.getSettings().deviceId || "");
    }
    this._devices.refresh();
  }

  /** @private @returns {Record<string, any>} constraints for what is chosen now */
  _wish() {
    const microphone = this._devices.chosen("microphone");
    const camera = this._devices.chosen("camera");
    // "ideal": a remembered device that is not plugged in today is no reason to fail.
    const audio = microphone ? { deviceId: { ideal: microphone } } : true;
    if (this._capture === "microphone") return { audio, video: false };
    return { audio, video: camera ? { ...this._video, deviceId: { ideal: camera } } : this._video };
  }

  /** Opens the camera, where it is not open yet, and sends it. @private @param {Room} room */
  async _start(room) {
    try {
      await this.open();
    } catch (error) {
      this._onTrouble(explainMedia(error));
      return this._refresh();
    }
    // Left while the browser was asking.
    if (this._room === null) return this.release();
    if (this._room !== room || this._stream || !this._constraints) return undefined;
    const constraints = this._constraints;
    return this._wire(
      room.publish({ display: this._display, constraints, record: false, receiveVideo: false, receiveAudio: false }),
    );
  }

  /** @private @param {PublishedStream} stream */
  _wire(stream) {
    const { PUBLISHING, UNPUBLISHED, FAILED } = Ringhall.STREAM_STATUS;
    this._stream = stream;
    stream
      .on(PUBLISHING, () => this._published(stream))
      .on(UNPUBLISHED, () => this._ended(stream))
      .on(FAILED, () => this._failed(stream))
      .on(Ringhall.STREAM_EVENT, (event) => this._noticed(stream, event));
    setStatus("localStatus", stream.status());
    this._refresh();
  }

  /** @private @param {PublishedStream} stream */
  _published(stream) {
    if (this._stream !== stream) return;
    setStatus("localStatus", stream.status());
    this._retries = 0;
    if (this._muted.audio && !stream.isAudioMuted()) stream.muteAudio();
    if (this._muted.video && !stream.isVideoMuted()) stream.muteVideo();
    this._stopLevel();
    const stop = stream.watchLevel((level) => {
      this._meter.show(level);
      this._speaking.show(level);
    });
    this._stopLevel = () => {
      stop();
      this._meter.show(0);
      this._speaking.clear();
      this._stopLevel = () => {};
    };
    this._quality.watch(stream);
    this._recording.show(stream);
    this._refresh();
  }

  /** @private @param {PublishedStream} stream */
  _ended(stream) {
    this._recording.finished(stream);
    if (stream !== this._stream) return;
    setStatus("localStatus", stream.status());
    this._forget();
    this.release();
  }

  /** @private @param {PublishedStream} stream */
  _failed(stream) {
    this._recording.finished(stream);
    if (stream !== this._stream) return;
    setStatus("localStatus", stream.status());
    const room = this._room;
    const pause = RETRY_PAUSES_MS[this._retries];
    this._forget();
    // With the session gone, whether the camera stays open for a rejoin is decided by close().
    if (isSessionLost(stream)) return;
    if (room && pause !== undefined && isPassing(stream.getInfo())) {
      this._retries += 1;
      window.setTimeout(() => this._room === room && !this._stream && this._start(room), pause);
      return;
    }
    this.release();
    this._onTrouble(`Your camera: ${explainStream(stream.getInfo(), stream.getErrorInfo())}`);
  }

  /** No stream of ours is on its way. @private */
  _forget() {
    this._stream = null;
    this._stopLevel();
    this._quality.clear();
    this._recording.clear();
    this._refresh();
  }

  /** @private @param {PublishedStream} stream @param {{ type: string, payload?: any }} event */
  _noticed(stream, { type, payload = {} }) {
    if (stream !== this._stream) return;
    const types = Ringhall.STREAM_EVENT_TYPE;
    if (type === types.REPUBLISH_REQUESTED) {
      this._republish(stream, payload);
    } else if (type === types.RECORDING_STARTED) {
      this._recording.show(stream);
    } else if (type === types.RECORDING_FAILED) {
      this._recording.failed(stream, payload.info);
    } else if (type === types.DEVICE_LOST) {
      const device = payload.kind === "audio" ? "microphone" : "camera";
      this._onNotice(`Your ${device} is gone: unplugged, or taken by another program. Choose another one under Devices.`);
    } else if (type === types.MUTE_REQUESTED) {
      if (payload.audio) this._muted.audio = true;
      if (payload.video) this._muted.video = true;
      const what = payload.audio && payload.video ? "microphone and camera" : payload.audio ? "microphone" : "camera";
      const who = typeof payload.info === "string" && payload.info ? payload.info : "Muted by the moderator";
      this._onNotice(`${who}: your ${what} is off. You can turn it on again.`);
      this._refresh();
    }
  }

  /** A viewer needs another codec. @private @param {PublishedStream} stream @param {{ videoCodecs: string[] }} payload */
  _republish(stream, { videoCodecs }) {
    const room = this._room;
    if (!room || stream.status() !== Ringhall.STREAM_STATUS.PUBLISHING) return;
    // The old stream's end, told at once, is no news.
    this._stream = null;
    this._stopLevel();
    this._recording.clear();
    this._wire(room.republish(stream, { videoCodecs }));
  }

  /** @private */
  _toggleStream() {
    this._stopBtn.disabled = true;
    if (this._stream) this._stream.stop();
    else if (this._room) this.publish(this._room);
  }

  /** @private @returns {MediaStream | null} what the display shows */
  _shown() {
    const video = this._display.querySelector("video");
    return video && /** @type {MediaStream | null} */ (video.srcObject);
  }

  /** Before anything is sent: nobody is unmuted by a rejoin. @private */
  _applyMute() {
    const stream = this._shown();
    if (!stream) return;
    for (const track of stream.getAudioTracks()) track.enabled = !this._muted.audio;
    for (const track of stream.getVideoTracks()) track.enabled = !this._muted.video;
  }

  /** @private */
  _listenToPreview() {
    const stream = this._shown();
    this._stopLevel();
    if (!stream || stream.getAudioTracks().length === 0) return;
    const stop = watchPreviewLevel(stream, (level) => this._meter.show(level));
    this._stopLevel = () => {
      stop();
      this._stopLevel = () => {};
    };
  }

  /** @private */
  _isToggleable() {
    if (this._stream) return this._stream.status() === Ringhall.STREAM_STATUS.PUBLISHING;
    return this._room === null && this._constraints !== null;
  }

  /** @private */
  _refresh() {
    const stream = this._stream;
    const publishing = stream !== null && stream.status() === Ringhall.STREAM_STATUS.PUBLISHING;
    setLabel(this._audioToggle, this._muted.audio ? "Unmute A" : "Mute A");
    setLabel(this._videoToggle, this._muted.video ? "Unmute V" : "Mute V");
    setLabel(this._stopBtn, stream || this._room === null ? "Stop" : "Publish");
    this._audioToggle.toggleAttribute("data-off", this._muted.audio);
    this._videoToggle.toggleAttribute("data-off", this._muted.video);
    this._stopBtn.toggleAttribute("data-off", this._room !== null && !stream);
    const open = this._constraints !== null;
    this._tile.classList.toggle("dark", this._muted.video || (open && this._capture === "microphone"));
    this._tile.toggleAttribute("data-open", open);
    element("localMicOff", HTMLElement).hidden = !(open && this._muted.audio);
    this._audioToggle.disabled = !this._isToggleable();
    this._videoToggle.disabled = !this._isToggleable() || this._capture === "microphone";
    this._stopBtn.disabled = this._room === null || (stream !== null && !publishing);
  }
}
