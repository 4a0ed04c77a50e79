/**
 * Ringhall's client library, first part: the words that server, library and pages share,
 * the options that calls take, and the tools that every part needs. A part is a
 * classic script that leaves one name behind; `src/web/mod.rs` joins all of them, in
 * order, into `/ringhall.js`, where these names are private. `src/manual/client.md`
 * documents every call. Members that begin with an underscore are not for pages.
 */

/**
 * @typedef {Object} RinghallConnectOptions
 * @property {string} urlServer where the server is: `ws://host:port` or `wss://host:port`
 * @property {string} username login of this participant
 * @property {string} [token] access token, when the server asks for one
 * @property {string} [appKey] application key, `roomApp` by default
 * @property {RTCConfiguration} [mediaOptions] configuration of every RTCPeerConnection
 * @property {number} [timeout] ms to wait for the socket to open, 0 = as long as the browser does
 * @property {number} [pingInterval] ms between pings to the server, 0 = none
 * @property {number} [receiveProbes] silent intervals after which the session FAILED, 0 = never
 * @property {number} [probesInterval] length of such an interval in ms
 * @property {string} [authToken] proof of an earlier session; by default the one this tab kept
 */

/**
 * @typedef {Object} RinghallJoinOptions
 * @property {string} name of the room
 * @property {boolean} [record] ask the server to record every stream of the room, whoever publishes it, until it is empty
 */

/**
 * Besides what getUserMedia knows, `video` may carry `type: "screen"`, and
 * `minBitrate` and `maxBitrate` in kbit/s.
 * @typedef {Object} RinghallConstraints
 * @property {boolean | Record<string, any>} [audio]
 * @property {boolean | Record<string, any>} [video]
 * @property {MediaStream} [customStream] publish this instead of a camera
 */

/**
 * @typedef {Object} RinghallStreamOptions
 * @property {string} [name] publish: ending of the stream's name
 * @property {HTMLElement | null} [display] element the `<video>` is put in
 * @property {RinghallConstraints} [constraints] publish: what to capture; play: `audio` or `video` false leaves it out
 * @property {boolean} [record] publish: ask the server to record this stream
 * @property {boolean} [receiveAudio] play: false leaves the sound out
 * @property {boolean} [receiveVideo] play: false leaves the picture out
 * @property {MediaStream} [mediaStream] publish this instead of a camera; its tracks stay the page's
 * @property {boolean} [cacheLocalResources] publish: keep the camera open in the display after the end (default true)
 * @property {boolean} [unmutePlayOnStart] play: false starts without sound
 * @property {boolean} [useControls] show the browser's own controls on the video
 * @property {string} [stripCodecs] comma-separated codec names not to offer
 * @property {string[]} [videoCodecs] offer the picture in these codecs only, best first; all, where the browser has none of them
 * @property {string} [transport] `UDP` or `TCP`, a wish to the server
 */

/** @typedef {{ stream: MediaStream, video: HTMLVideoElement, display: HTMLElement | null, owned: boolean }} RinghallPicture */
/** @typedef {(...args: any[]) => void} RinghallCallback */

/**
 * What a stream needs of the session it belongs to.
 * @typedef {Object} RinghallStreamOwner
 * @property {RTCConfiguration} [_mediaOptions]
 * @property {(message: string, argument: any) => boolean} _send
 * @property {(stream: any) => void} _forget
 * @property {(stream: any) => Promise<any>} _askAvailable
 */

/**
 * What a room needs of the session it was joined in.
 * @typedef {Object} RinghallRoomMembers
 * @property {() => string} username
 * @property {Map<string, any>} _rooms
 * @property {() => InstanceType<typeof RinghallStream.Stream>[]} getStreams
 * @property {(stream: any) => void} _adopt
 * @property {(command: string, options: Record<string, any>) => Promise<any>} _command
 *
 * @typedef {RinghallStreamOwner & RinghallRoomMembers} RinghallRoomOwner
 */

var RinghallWords = (() => {
  "use strict";

  /** @typedef {RinghallCallback} Callback */

  /** States of a session. CONNECTED means the socket is open, ESTABLISHED that the server knows us. */
  const SESSION_STATUS = Object.freeze({
    PENDING: "PENDING",
    CONNECTED: "CONNECTED",
    ESTABLISHED: "ESTABLISHED",
    DISCONNECTED: "DISCONNECTED",
    FAILED: "FAILED",
    WARN: "WARN",
  });

  /** Events of a room. UNPUBLISHED is ours; the others are what existing pages listen to. */
  const ROOM_EVENT = Object.freeze({
    STATE: "STATE",
    JOINED: "JOINED",
    LEFT: "LEFT",
    PUBLISHED: "PUBLISHED",
    UNPUBLISHED: "UNPUBLISHED",
    MESSAGE: "MESSAGE",
    FAILED: "FAILED",
  });

  /** States of a stream. FAILED, STOPPED and UNPUBLISHED are final. */
  const STREAM_STATUS = Object.freeze({
    NEW: "NEW",
    PENDING: "PENDING",
    PUBLISHING: "PUBLISHING",
    PLAYING: "PLAYING",
    PAUSED: "PAUSED",
    UNPUBLISHED: "UNPUBLISHED",
    STOPPED: "STOPPED",
    FAILED: "FAILED",
    PLAYBACK_PROBLEM: "PLAYBACK_PROBLEM",
  });

  /** Event name for `stream.on`: news about a stream that don't change its state. */
  const STREAM_EVENT = "STREAM_EVENT";

  /** Values of `event.type` in a STREAM_EVENT. */
  const STREAM_EVENT_TYPE = Object.freeze({
    AUDIO_MUTED: "audioMuted",
    AUDIO_UNMUTED: "audioUnmuted",
    VIDEO_MUTED: "videoMuted",
    VIDEO_UNMUTED: "videoUnmuted",
    DATA: "data",
    UNMUTE_REQUIRED: "unmuteRequired",
    REPUBLISH_REQUESTED: "republishRequested",
    MUTE_REQUESTED: "muteRequested",
    TRANSPORT: "transport",
    DEVICE_LOST: "deviceLost",
    VIDEO_UNAVAILABLE: "videoUnavailable",
    VIDEO_AVAILABLE: "videoAvailable",
    AUDIO_UNAVAILABLE: "audioUnavailable",
    RECORDING_STARTED: "recordingStarted",
    RECORDING_FAILED: "recordingFailed",
  });

  /** `stream.getInfo()` of failures that this side finds. The server has words of its own. */
  const STREAM_STATUS_INFO = Object.freeze({
    LOCAL_ERROR: "Local error",
    FAILED_BY_ICE_ERROR: "Failed by ICE error",
    STOPPED_BY_SESSION_DISCONNECT: "Stopped by session disconnect",
    NO_COMMON_CODECS: "No common codecs",
  });

  /** Application key of rooms, when the page names none. */
  const ROOM_APP_KEY = "roomApp";

  /** Picture size asked of a camera when the page names none: what existing room pages get. */
  const DEFAULT_VIDEO = Object.freeze({ width: 320, height: 240 });

  /** Suffix of a video element's id while its camera waits in the display for the next publish. */
  const IDLE_SUFFIX = "-idle";

  /** @param {number} count @returns {string} that many random lower-case hex digits */
  function randomHex(count) {
    const bytes = crypto.getRandomValues(new Uint8Array(Math.ceil(count / 2)));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("").slice(0, count);
  }

  /** A random UUID. `crypto.randomUUID` is missing on plain http pages, where watching still works. */
  function uuid() {
    const variant = (8 + (parseInt(randomHex(1), 16) & 3)).toString(16);
    return `${randomHex(8)}-${randomHex(4)}-4${randomHex(3)}-${variant}${randomHex(3)}-${randomHex(12)}`;
  }

  /** @param {any} value @returns {Record<string, any>} the value if it is an object, else an empty one */
  function asObject(value) {
    return value !== null && typeof value === "object" ? value : {};
  }

  /** @param {any} error @returns {string} */
  function errorText(error) {
    return error instanceof Error || error instanceof DOMException ? error.message || error.name : String(error);
  }

  /** Lets a page's exception reach `window.onerror` without ending what called the page. @param {any} error */
  function surface(error) {
    queueMicrotask(() => {
      throw error;
    });
  }

  /** One callback per event name; setting another replaces it, as room pages expect. */
  class Emitter {
    constructor() {
      /** @private @type {Map<string, Callback>} */
      this._callbacks = new Map();
    }

    /**
     * @param {string} event
     * @param {Callback} callback
     * @returns {this}
     */
    on(event, callback) {
      if (!event) throw new TypeError("Event can't be null");
      if (typeof callback !== "function") throw new Error("Callback needs to be a valid function");
      this._callbacks.set(event, callback);
      return this;
    }

    /**
     * A page's exception must not stop the message that caused it half way; it
     * still reaches `window.onerror`.
     * @param {string} event
     * @param {...any} args
     */
    _emit(event, ...args) {
      const callback = this._callbacks.get(event);
      if (!callback) return;
      try {
        callback(...args);
      } catch (error) {
        surface(error);
      }
    }
  }

  return {
    SESSION_STATUS,
    ROOM_EVENT,
    STREAM_STATUS,
    STREAM_EVENT,
    STREAM_EVENT_TYPE,
    STREAM_STATUS_INFO,
    ROOM_APP_KEY,
    DEFAULT_VIDEO,
    IDLE_SUFFIX,
    randomHex,
    uuid,
    asObject,
    errorText,
    surface,
    Emitter,
  };
})();
