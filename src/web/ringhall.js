/**
 * Ringhall's client library: rooms over one WebSocket, media over WebRTC.
 *
 * A classic script without dependencies. It defines `Ringhall` and, under the
 * names that existing room pages use, `Flashphoner` (with `roomApi`), `RoomApi`,
 * `SESSION_STATUS`, `ROOM_EVENT` and `STREAM_STATUS`. `src/manual/client.md`
 * documents every call.
 *
 * Order of this file: words, small tools, local media, wire, streams, room,
 * session, exports. Members that begin with an underscore are not for pages.
 */

// A `var`, so that loading the script twice is harmless.
var Ringhall = (() => {
  "use strict";

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

  /**
   * @typedef {Object} ConnectOptions
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
   * Besides what getUserMedia knows, `video` may carry `type: "screen"`, and
   * `minBitrate` and `maxBitrate` in kbit/s.
   * @typedef {Object} Constraints
   * @property {boolean | Record<string, any>} [audio]
   * @property {boolean | Record<string, any>} [video]
   * @property {MediaStream} [customStream] publish this instead of a camera
   */

  /**
   * @typedef {Object} StreamOptions
   * @property {string} [name] publish: ending of the stream's name
   * @property {HTMLElement | null} [display] element the `<video>` is put in
   * @property {Constraints} [constraints] publish: what to capture; play: `audio` or `video` false leaves it out
   * @property {boolean} [record] publish: ask the server to record
   * @property {boolean} [receiveAudio] play: false leaves the sound out
   * @property {boolean} [receiveVideo] play: false leaves the picture out
   * @property {MediaStream} [mediaStream] publish this instead of a camera; its tracks stay the page's
   * @property {boolean} [cacheLocalResources] publish: keep the camera open in the display after the end (default true)
   * @property {boolean} [unmutePlayOnStart] play: false starts without sound
   * @property {boolean} [useControls] show the browser's own controls on the video
   * @property {string} [stripCodecs] comma-separated codec names not to offer
   * @property {string} [transport] `UDP` or `TCP`, a wish to the server
   */

  /** @typedef {{ stream: MediaStream, video: HTMLVideoElement, display: HTMLElement | null, owned: boolean }} Picture */
  /** @typedef {(...args: any[]) => void} Callback */

  // ---- small tools --------------------------------------------------------

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
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  // ---- local media --------------------------------------------------------

  /** @param {boolean} muted @param {boolean} [controls] @returns {HTMLVideoElement} */
  function createVideo(muted, controls) {
    const video = document.createElement("video");
    video.muted = muted;
    video.playsInline = true;
    video.controls = Boolean(controls);
    return video;
  }

  /** Cameras, microphones and screens; and which of them wait in which display. */
  class LocalMedia {
    /**
     * Opens what the constraints ask for and shows it, silent, in the display. A
     * camera already waiting there under the same constraints is kept.
     * @param {Constraints | null} constraints
     * @param {HTMLElement | null} [display]
     * @returns {Promise<Picture>}
     */
    static async open(constraints, display = null) {
      const wanted = LocalMedia._normalise(constraints || { audio: true, video: true });
      const key = JSON.stringify(wanted);
      const waiting = display && LocalMedia._idle.get(display);
      if (waiting && waiting.key === key && LocalMedia._live(waiting.picture)) return waiting.picture;
      if (display) LocalMedia.release(display);
      const picture = LocalMedia.show(await LocalMedia._capture(wanted), display, true);
      if (display) LocalMedia._idle.set(display, { picture, key });
      return picture;
    }

    /**
     * @param {MediaStream} stream
     * @param {HTMLElement | null} display
     * @param {boolean} owned whether we opened the stream and so may stop its tracks
     * @returns {Picture}
     */
    static show(stream, display, owned) {
      const video = createVideo(true);
      video.id = uuid() + IDLE_SUFFIX;
      video.srcObject = stream;
      if (display) display.append(video);
      // Refused only while the page is hidden or closing; the picture is local, nothing is lost.
      video.play().catch(() => {});
      return { stream, video, display, owned };
    }

    /** Claims a waiting picture for a stream. @param {Picture} picture @param {string} id */
    static take(picture, id) {
      if (picture.display) LocalMedia._idle.delete(picture.display);
      picture.video.id = id;
    }

    /**
     * Ends a stream's use of a picture: it waits in the display for the next
     * publish under the same constraints, or is let go.
     * @param {Picture} picture
     * @param {Constraints | null} keepFor
     */
    static giveBack(picture, keepFor) {
      if (keepFor && picture.owned && picture.display && LocalMedia._live(picture)) {
        for (const track of picture.stream.getTracks()) track.enabled = true;
        picture.video.id += IDLE_SUFFIX;
        const key = JSON.stringify(LocalMedia._normalise(keepFor));
        LocalMedia._idle.set(picture.display, { picture, key });
      } else {
        LocalMedia._close(picture);
      }
    }

    /** @param {HTMLElement} display @returns {boolean} whether something was waiting there */
    static release(display) {
      const waiting = LocalMedia._idle.get(display);
      if (!waiting) return false;
      LocalMedia._idle.delete(display);
      LocalMedia._close(waiting.picture);
      return true;
    }

    /** @private @param {Picture} picture */
    static _close(picture) {
      if (picture.owned) for (const track of picture.stream.getTracks()) track.stop();
      picture.video.srcObject = null;
      picture.video.remove();
    }

    /** @private @param {Picture} picture */
    static _live(picture) {
      return picture.stream.getTracks().every((track) => track.readyState === "live");
    }

    /**
     * @private
     * @param {Constraints} constraints
     * @returns {Promise<MediaStream>}
     */
    static _capture(constraints) {
      const devices = navigator.mediaDevices;
      if (!devices) {
        return Promise.reject(new DOMException("Cameras need a page served over https", "SecurityError"));
      }
      const { audio, video } = constraints;
      if (typeof video === "object" && video.type === "screen") {
        const { type, ...size } = video;
        return devices.getDisplayMedia({ video: size, audio: audio || false });
      }
      return devices.getUserMedia({ audio: audio || false, video: video || false });
    }

    /** @private @param {Constraints} constraints @returns {Constraints} */
    static _normalise(constraints) {
      const { audio, video } = constraints;
      if (video === true) return { audio, video: { ...DEFAULT_VIDEO } };
      if (video && typeof video === "object" && !video.width && !video.height && video.type !== "screen") {
        return { audio, video: { ...video, ...DEFAULT_VIDEO } };
      }
      return { audio, video };
    }
  }
  /** Cameras open and shown but published by nobody. @type {WeakMap<HTMLElement, { picture: Picture, key: string }>} */
  LocalMedia._idle = new WeakMap();

  // ---- wire ---------------------------------------------------------------

  /** The socket: text frames `{message, data: [...]}` both ways, and the signs of life. */
  class Wire {
    /**
     * @param {ConnectOptions} options
     * @param {{ opened: () => void, received: (message: string, data: any[]) => void, closed: (failed: boolean, info: string) => void }} owner
     */
    constructor(options, owner) {
      /** @private */
      this._owner = owner;
      /** @private */
      this._ended = false;
      /** @private Intervals since the last message. */
      this._silentIntervals = 0;
      /** @private @type {number[]} */
      this._timers = [];
      /** @private @type {WebSocket | null} */
      this._socket = null;
      try {
        this._socket = new WebSocket(options.urlServer);
      } catch (error) {
        queueMicrotask(() => this._end(true, errorText(error)));
        return;
      }
      this._listen(this._socket, options);
    }

    /** @param {string} message @param {any} argument @returns {boolean} whether it went out */
    send(message, argument) {
      if (!this._socket || this._socket.readyState !== WebSocket.OPEN) return false;
      this._socket.send(JSON.stringify({ message, data: [argument === undefined ? null : argument] }));
      return true;
    }

    close() {
      if (this._socket) this._socket.close();
    }

    /** @private @param {WebSocket} socket @param {ConnectOptions} options */
    _listen(socket, options) {
      const { timeout = 0 } = options;
      const opening =
        timeout > 0 ? window.setTimeout(() => this._end(true, "The server did not answer in time"), timeout) : 0;
      socket.onopen = () => {
        window.clearTimeout(opening);
        this._owner.opened();
        this._watch(options);
      };
      socket.onmessage = (event) => this._receive(event.data);
      socket.onerror = () => this._end(true, "The connection to the server failed");
      socket.onclose = (event) => {
        window.clearTimeout(opening);
        this._end(false, event.reason);
      };
    }

    /** @private @param {ConnectOptions} options */
    _watch({ pingInterval = 0, receiveProbes = 0, probesInterval = 0 }) {
      if (pingInterval > 0) {
        this._timers.push(window.setInterval(() => this.send("ping", null), pingInterval));
      }
      if (receiveProbes > 0 && probesInterval > 0) {
        const probe = () => {
          this._silentIntervals += 1;
          if (this._silentIntervals >= receiveProbes) this._end(true, "The server has gone silent");
        };
        this._timers.push(window.setInterval(probe, probesInterval));
      }
    }

    /** A frame we can't read is said and skipped: it may be news from a later server. @private @param {any} text */
    _receive(text) {
      let frame;
      try {
        frame = asObject(JSON.parse(text));
      } catch (error) {
        console.warn("Ringhall: unreadable frame ignored:", errorText(error));
        return;
      }
      if (typeof frame.message !== "string") return;
      this._silentIntervals = 0;
      this._owner.received(frame.message, Array.isArray(frame.data) ? frame.data : []);
    }

    /** @private @param {boolean} failed @param {string} info */
    _end(failed, info) {
      if (this._ended) return;
      this._ended = true;
      for (const timer of this._timers) window.clearInterval(timer);
      this._owner.closed(failed, info);
      this.close();
    }
  }

  /**
   * Proofs of earlier sessions, one per server and login, kept for this tab: with
   * it a rejoin after a lost connection takes the ghost's place at once.
   */
  class AuthTokens {
    /** @param {string} url @param {string} login @returns {string} */
    static key(url, login) {
      return `ringhall.authToken ${url} ${login}`;
    }

    /** A session still alive keeps its token: a second one is not its successor. @param {string} key */
    static read(key) {
      if (AuthTokens._live.has(key)) return undefined;
      try {
        return sessionStorage.getItem(key) || AuthTokens._memory.get(key);
      } catch {
        return AuthTokens._memory.get(key);
      }
    }

    /** @param {string} key @param {string} token @param {RoomSession} session */
    static keep(key, token, session) {
      AuthTokens._live.set(key, session);
      AuthTokens._memory.set(key, token);
      try {
        sessionStorage.setItem(key, token);
      } catch {
        // Storage refused (private mode, sandboxed frame): memory does until the page is left.
      }
    }

    /** @param {string} key @param {RoomSession} session */
    static ended(key, session) {
      if (AuthTokens._live.get(key) === session) AuthTokens._live.delete(key);
    }
  }
  /** @type {Map<string, RoomSession>} */
  AuthTokens._live = new Map();
  /** @type {Map<string, string>} */
  AuthTokens._memory = new Map();

  // ---- streams ------------------------------------------------------------

  /** @type {Set<string>} */
  const STREAM_STATES = new Set(Object.values(STREAM_STATUS));

  /** @param {string} status */
  function isFinal(status) {
    return (
      status === STREAM_STATUS.FAILED || status === STREAM_STATUS.STOPPED || status === STREAM_STATUS.UNPUBLISHED
    );
  }

  /**
   * What a published and a played stream have in common: one peer connection, one
   * offer of ours, one answer, a status that the server tells.
   */
  class Stream extends Emitter {
    /**
     * @param {RoomSession} session
     * @param {string} roomName
     * @param {string} name
     * @param {StreamOptions} options
     */
    constructor(session, roomName, name, options) {
      super();
      this._session = session;
      this._roomName = roomName;
      this._id = uuid();
      this._name = name;
      this._options = options;
      /** @type {string} */
      this._status = STREAM_STATUS.NEW;
      /** @type {string | undefined} */
      this._info = undefined;
      /** @type {string | undefined} */
      this._errorInfo = undefined;
      /** @type {string | null} */
      this._recordName = null;
      this._audioState = undefined;
      this._videoState = undefined;
      this._offered = false;
      this._stopping = false;
      /** @type {RTCPeerConnection | null} */
      this._peer = null;
      /** @type {HTMLVideoElement | null} */
      this._video = null;
    }

    id() {
      return this._id;
    }

    name() {
      return this._name;
    }

    status() {
      return this._status;
    }

    /** @returns {boolean} whether this side sends the stream */
    published() {
      return false;
    }

    /** @returns {string | undefined} why the stream is in this state, in the server's words */
    getInfo() {
      return this._info;
    }

    /** @returns {string | undefined} the browser's words behind a "Local error" */
    getErrorInfo() {
      return this._errorInfo;
    }

    /** @returns {string | null} file the server records this stream to */
    getRecordInfo() {
      return this._recordName;
    }

    getAudioState() {
      return this._audioState;
    }

    getVideoState() {
      return this._videoState;
    }

    /** Asks the server to end the stream; the final status follows as an event. */
    stop() {
      if (isFinal(this._status) || this._stopping) return;
      this._stopping = true;
      if (!this._offered) {
        // The server has never heard of it, so nobody else will say that it ended.
        this._finish(this.published() ? STREAM_STATUS.UNPUBLISHED : STREAM_STATUS.STOPPED);
        return;
      }
      this._sendStop();
      this._closeMedia();
    }

    /**
     * Without a callback: the connection's RTCStatsReport. With one: called with a
     * summary, or with reports grouped by type when `native` is true.
     * @param {((stats: any) => void) | null} [callback]
     * @param {boolean} [native]
     * @returns {Promise<RTCStatsReport | undefined>}
     */
    async getStats(callback, native = false) {
      if (!this._peer) return undefined;
      const report = await this._peer.getStats();
      if (callback) callback(native ? groupStats(report) : summariseStats(report));
      return report;
    }

    /** @param {any} payload JSON value for everybody who plays this stream */
    sendData(payload) {
      this._sendEvent(STREAM_EVENT_TYPE.DATA, payload);
    }

    /** Full screen of a played picture. @returns {Promise<void>} */
    fullScreen() {
      return this._video ? this._video.requestFullscreen() : Promise.resolve();
    }

    /** Makes the offer and sends it. Nothing is awaited by callers: the outcome is a status. */
    async _start() {
      this._status = STREAM_STATUS.PENDING;
      try {
        const peer = await this._prepare();
        if (!peer || isFinal(this._status)) return this._closeMedia();
        if (!this.published()) this._emit(STREAM_STATUS.PENDING, this);
        applyStripCodecs(peer, this._options.stripCodecs);
        const offer = await peer.createOffer();
        await peer.setLocalDescription(offer);
        if (isFinal(this._status)) return;
        // No waiting for candidates: the server has a public address and learns ours from its checks.
        this._offered = this._session._send(
          this.published() ? "publishStream" : "playStream",
          this._request(offer.sdp || ""),
        );
        if (!this._offered) throw new Error("The connection to the server is closed");
      } catch (error) {
        this._failHere(STREAM_STATUS_INFO.LOCAL_ERROR, errorText(error));
      }
    }

    /**
     * Opens devices, makes the connection and its m-lines.
     * @returns {Promise<RTCPeerConnection | null>}
     */
    async _prepare() {
      return null;
    }

    /** @returns {RTCPeerConnection} */
    _createPeer() {
      // max-compat: both m-lines carry a port, which any server reads; the answer's BUNDLE decides.
      const peer = new RTCPeerConnection({ ...this._session._mediaOptions, bundlePolicy: "max-compat" });
      peer.onconnectionstatechange = () => {
        if (peer.connectionState === "failed") this._failHere(STREAM_STATUS_INFO.FAILED_BY_ICE_ERROR, undefined);
      };
      this._peer = peer;
      return peer;
    }

    /** @param {string} sdp our offer @returns {Record<string, any>} what the server is asked */
    _request(sdp) {
      const video = this._videoConstraints();
      const { customStream, ...constraints } = this._options.constraints || {};
      return {
        mediaSessionId: this._id,
        name: this._name,
        published: this.published(),
        hasVideo: true,
        hasAudio: true,
        status: this._status,
        record: false,
        mediaProvider: "WebRTC",
        sdp,
        custom: { name: this._roomName },
        bitrate: Number(video.bitrate) || 0,
        minBitrate: Number(video.minBitrate) || 0,
        maxBitrate: Number(video.maxBitrate) || 0,
        constraints,
        transport: this._options.transport,
      };
    }

    /** @returns {Record<string, any>} */
    _videoConstraints() {
      return asObject(this._options.constraints && this._options.constraints.video);
    }

    /** @param {any} sdp the server's answer */
    async _answer(sdp) {
      const peer = this._peer;
      if (!peer) return;
      if (peer.signalingState !== "have-local-offer") {
        console.warn(`Ringhall: unexpected answer for stream ${this._name} ignored`);
        return;
      }
      try {
        await peer.setRemoteDescription({ type: "answer", sdp: String(sdp) });
      } catch (error) {
        // Closed meanwhile, by a stop or a status: not the answer's fault.
        if (this._peer === peer) this._failHere(STREAM_STATUS_INFO.LOCAL_ERROR, errorText(error));
      }
    }

    /** @param {Record<string, any>} news the server's status object */
    _update(news) {
      const { status, info, recordName, audioState, videoState } = news;
      if (typeof info === "string" && info) this._info = info;
      if (typeof recordName === "string") this._recordName = recordName;
      if (audioState) this._audioState = audioState;
      if (videoState) this._videoState = videoState;
      if (isFinal(status)) {
        this._finish(status);
      } else if (STREAM_STATES.has(status)) {
        // A "PUBLISHING" that crossed our stop on the way is old news.
        if (this._stopping) return;
        this._status = status;
        this._emit(status, this);
      } else {
        this._emit(String(status), this);
      }
    }

    /** @param {Record<string, any>} event */
    _notify(event) {
      this._emit(STREAM_EVENT, event);
    }

    /** @param {string} type @param {any} [payload] */
    _sendEvent(type, payload) {
      this._session._send("sendStreamEvent", { mediaSessionId: this._id, type, payload });
    }

    _sendStop() {
      this._session._send(this.published() ? "unPublishStream" : "stopStream", {
        mediaSessionId: this._id,
        name: this._name,
        published: this.published(),
        hasVideo: true,
        hasAudio: true,
        status: this._status,
        record: false,
      });
    }

    /**
     * A failure that only this side can see; the server is told, so that it need
     * not find out by a timeout.
     * @param {string} info
     * @param {string | undefined} errorInfo
     */
    _failHere(info, errorInfo) {
      if (isFinal(this._status) || this._stopping) return;
      console.warn(`Ringhall: stream ${this._name}: ${info}${errorInfo ? `: ${errorInfo}` : ""}`);
      this._info = info;
      this._errorInfo = errorInfo;
      if (this._offered) this._sendStop();
      this._finish(STREAM_STATUS.FAILED);
    }

    /** @param {string} status */
    _finish(status) {
      if (isFinal(this._status)) return;
      this._status = status;
      this._session._forget(this);
      this._closeMedia();
      this._emit(status, this);
    }

    _closeMedia() {
      if (!this._peer) return;
      this._peer.onconnectionstatechange = null;
      this._peer.ontrack = null;
      this._peer.close();
      this._peer = null;
    }
  }

  /** A camera, screen or MediaStream on its way to the room. */
  class PublishedStream extends Stream {
    /**
     * @param {RoomSession} session
     * @param {string} roomName
     * @param {string} name
     * @param {StreamOptions} options
     */
    constructor(session, roomName, name, options) {
      super(session, roomName, name, options);
      /** @private @type {Picture | null} */
      this._picture = null;
    }

    published() {
      return true;
    }

    muteAudio() {
      this._setMuted("audio", true);
    }

    unmuteAudio() {
      this._setMuted("audio", false);
    }

    isAudioMuted() {
      return this._isMuted("audio");
    }

    muteVideo() {
      this._setMuted("video", true);
    }

    unmuteVideo() {
      this._setMuted("video", false);
    }

    isVideoMuted() {
      return this._isMuted("video");
    }

    async _prepare() {
      const picture = await this._openPicture();
      LocalMedia.take(picture, this._id);
      if (isFinal(this._status)) {
        this._letGo(picture);
        return null;
      }
      this._picture = picture;
      this._video = picture.video;
      picture.video.controls = Boolean(this._options.useControls);
      const peer = this._createPeer();
      const { stream } = picture;
      for (const track of [...stream.getAudioTracks(), ...stream.getVideoTracks()]) {
        if (picture.owned && track.kind === "video") track.contentHint = this._contentHint();
        peer.addTransceiver(track, { direction: "sendonly", streams: [stream], sendEncodings: [this._encoding(track)] });
      }
      return peer;
    }

    /** @private @returns {Promise<Picture>} */
    async _openPicture() {
      const { constraints, display, mediaStream } = this._options;
      const given = mediaStream || (constraints && constraints.customStream);
      if (given) return LocalMedia.show(given, display || null, false);
      return LocalMedia.open(constraints || null, display);
    }

    /** @private @param {MediaStreamTrack} track @returns {RTCRtpEncodingParameters} */
    _encoding(track) {
      const maxBitrate = track.kind === "video" ? Number(this._videoConstraints().maxBitrate) : 0;
      return maxBitrate > 0 ? { maxBitrate: maxBitrate * 1000 } : {};
    }

    /** Text on a screen wants sharpness, a face wants movement. @private */
    _contentHint() {
      return this._videoConstraints().type === "screen" ? "detail" : "motion";
    }

    /** @param {string} sdp */
    _request(sdp) {
      const stream = this._picture ? this._picture.stream : new MediaStream();
      return {
        ...super._request(sdp),
        hasVideo: stream.getVideoTracks().length > 0,
        hasAudio: stream.getAudioTracks().length > 0,
        record: Boolean(this._options.record),
      };
    }

    /** @private @param {"audio" | "video"} kind @returns {MediaStreamTrack | undefined} */
    _track(kind) {
      return this._picture ? this._picture.stream.getTracks().find((track) => track.kind === kind) : undefined;
    }

    /** Nothing to hear counts as muted. @private @param {"audio" | "video"} kind */
    _isMuted(kind) {
      const track = this._track(kind);
      return !track || !track.enabled;
    }

    /** @private @param {"audio" | "video"} kind @param {boolean} muted */
    _setMuted(kind, muted) {
      const track = this._track(kind);
      if (!track) return;
      track.enabled = !muted;
      this._sendEvent(`${kind}${muted ? "Muted" : "Unmuted"}`);
    }

    /** @private @param {Picture} picture */
    _letGo(picture) {
      const keep = this._options.cacheLocalResources !== false;
      LocalMedia.giveBack(picture, keep ? this._options.constraints || { audio: true, video: true } : null);
    }

    _closeMedia() {
      super._closeMedia();
      if (!this._picture) return;
      this._letGo(this._picture);
      this._picture = null;
      this._video = null;
    }
  }

  /** Somebody's stream on its way to a display of ours. */
  class PlayedStream extends Stream {
    muteRemoteAudio() {
      if (this._video) this._video.muted = true;
    }

    unmuteRemoteAudio() {
      if (!this._video) return;
      this._video.muted = false;
      // Where the browser had stopped it for want of a gesture, this call is the gesture.
      if (this._video.paused) this._playVideo(this._video);
    }

    isRemoteAudioMuted() {
      const stream = this._video && /** @type {MediaStream | null} */ (this._video.srcObject);
      return !this._video || !stream || stream.getAudioTracks().length === 0 || this._video.muted;
    }

    /** @param {number} volume 0 to 100 */
    setVolume(volume) {
      if (this._video) this._video.volume = Math.min(100, Math.max(0, volume)) / 100;
    }

    /** @returns {number} 0 to 100, or -1 when nothing plays */
    getVolume() {
      return this._video ? this._video.volume * 100 : -1;
    }

    /** @returns {{ width?: number, height?: number }} size of the picture as it arrives */
    videoResolution() {
      return this._video ? { width: this._video.videoWidth, height: this._video.videoHeight } : {};
    }

    async _prepare() {
      const { constraints = {}, receiveAudio = true, receiveVideo = true, display } = this._options;
      const wantsAudio = constraints.audio === undefined ? receiveAudio : constraints.audio !== false;
      const wantsVideo = constraints.video === undefined ? receiveVideo : constraints.video !== false;
      if (!wantsAudio && !wantsVideo) throw new Error("Neither sound nor picture is wanted");
      const video = createVideo(this._options.unmutePlayOnStart === false, this._options.useControls);
      video.id = this._id;
      this._video = video;
      if (display) display.append(video);
      const peer = this._createPeer();
      const arriving = new MediaStream();
      peer.ontrack = ({ track }) => {
        arriving.addTrack(track);
        if (video.srcObject) return;
        video.srcObject = arriving;
        this._playVideo(video);
      };
      if (wantsAudio) peer.addTransceiver("audio", { direction: "recvonly" });
      if (wantsVideo) peer.addTransceiver("video", { direction: "recvonly" });
      return peer;
    }

    /** @param {string} sdp */
    _request(sdp) {
      const video = this._videoConstraints();
      return {
        ...super._request(sdp),
        width: Number(video.width) || 0,
        height: Number(video.height) || 0,
        quality: Math.min(100, Number(video.quality) || 0),
      };
    }

    /**
     * Browsers refuse sound before the first gesture on a page: then play without,
     * and tell the page that a button is needed.
     * @param {HTMLVideoElement} video
     */
    async _playVideo(video) {
      try {
        await video.play();
      } catch (error) {
        const refused = error instanceof DOMException && error.name === "NotAllowedError";
        if (!refused || this._video !== video) return;
        video.muted = true;
        await video.play().catch((again) => console.warn("Ringhall: the picture can't play:", errorText(again)));
      }
      const arrived = /** @type {MediaStream | null} */ (video.srcObject);
      if (this._video === video && video.muted && arrived && arrived.getAudioTracks().length > 0) {
        this._notify({ mediaSessionId: this._id, type: STREAM_EVENT_TYPE.UNMUTE_REQUIRED, payload: {} });
      }
    }

    _closeMedia() {
      super._closeMedia();
      if (!this._video) return;
      this._video.srcObject = null;
      this._video.remove();
      this._video = null;
    }
  }

  /**
   * Takes codecs out of what will be offered, by name, without touching SDP text.
   * @param {RTCPeerConnection} peer
   * @param {string | undefined} names
   */
  function applyStripCodecs(peer, names) {
    if (!names) return;
    const unwanted = names.toLowerCase().split(",").map((name) => name.trim());
    for (const transceiver of peer.getTransceivers()) {
      const capabilities = RTCRtpReceiver.getCapabilities(transceiver.receiver.track.kind);
      if (!capabilities) continue;
      const kept = capabilities.codecs.filter(({ mimeType }) => !unwanted.includes(mimeType.split("/")[1].toLowerCase()));
      transceiver.setCodecPreferences(kept);
    }
  }

  /** @param {RTCStatsReport} report @returns {Record<string, any[]>} */
  function groupStats(report) {
    /** @type {Record<string, any[]>} */
    const groups = {};
    report.forEach((entry) => (groups[entry.type] = groups[entry.type] || []).push(entry));
    return groups;
  }

  /** @param {RTCStatsReport} report */
  function summariseStats(report) {
    /** @type {{ outboundStream: Record<string, any>, inboundStream: Record<string, any>, otherStats: Record<string, any> }} */
    const summary = { outboundStream: {}, inboundStream: {}, otherStats: {} };
    const counted = /^(bytes|packets)|Count|^(framesPerSecond|audioLevel|jitter|qualityLimitationReason)$/;
    report.forEach((entry) => {
      if (entry.type === "candidate-pair" && entry.nominated) {
        summary.otherStats.availableOutgoingBitrate = entry.availableOutgoingBitrate;
        summary.otherStats.currentRoundTripTime = entry.currentRoundTripTime;
      }
      if (entry.type !== "outbound-rtp" && entry.type !== "inbound-rtp") return;
      const numbers = Object.fromEntries(Object.entries(entry).filter(([name]) => counted.test(name)));
      const codec = report.get(entry.codecId);
      if (codec) Object.assign(numbers, { codec: codec.mimeType.split("/")[1], codecRate: codec.clockRate });
      if (entry.kind === "video") Object.assign(numbers, { width: entry.frameWidth, height: entry.frameHeight });
      (entry.type === "outbound-rtp" ? summary.outboundStream : summary.inboundStream)[entry.kind] = numbers;
    });
    return summary;
  }

  // ---- room ---------------------------------------------------------------

  /** A stream that a participant publishes: what can be played. */
  class ParticipantStream {
    /** @param {Room} room @param {string} name */
    constructor(room, name) {
      /** @private */
      this._room = room;
      /** @private */
      this._name = name;
    }

    streamName() {
      return this._name;
    }

    /**
     * @param {HTMLElement | null} display
     * @param {StreamOptions} [options]
     * @returns {PlayedStream}
     */
    play(display, options = {}) {
      const stream = new PlayedStream(this._room._session, this._room.name(), this._name, { ...options, display });
      this._room._begin(stream);
      return stream;
    }

    /** Stops every play of this stream on this page. */
    stop() {
      for (const stream of this._playing()) stream.stop();
    }

    /** @returns {string | undefined} id of the stream while it plays here */
    id() {
      const [first] = this._playing();
      return first && first.id();
    }

    /** @private */
    _playing() {
      return this._room._session.getStreams().filter((stream) => stream.name() === this._name);
    }
  }

  /** Somebody else in the room. */
  class Participant {
    /** @param {Room} room @param {string} login */
    constructor(room, login) {
      /** @private */
      this._room = room;
      /** @private */
      this._login = login;
      /** @type {Map<string, ParticipantStream>} */
      this._streams = new Map();
    }

    name() {
      return this._login;
    }

    /** @returns {ParticipantStream[]} */
    getStreams() {
      return [...this._streams.values()];
    }

    /**
     * Plays the first stream.
     * @param {HTMLElement | null} display
     * @param {StreamOptions} [options]
     * @returns {PlayedStream}
     */
    play(display, options) {
      const [first] = this.getStreams();
      if (!first) throw new Error(`${this._login} publishes nothing`);
      return first.play(display, options);
    }

    /**
     * @param {string} text
     * @param {(info?: string) => void} [onError] called when it could not be delivered
     */
    sendMessage(text, onError) {
      const options = { roomConfig: { name: this._room.name() }, to: this._login, text };
      this._room._session._command("sendMessage", options).catch((answer) => {
        if (onError) onError(answer.info);
      });
    }
  }

  /** A room we asked to join. */
  class Room extends Emitter {
    /** @param {RoomSession} session @param {{ name: string, record?: boolean }} options */
    constructor(session, { name, record }) {
      super();
      this._session = session;
      /** @private */
      this._name = name;
      /** @private @type {Map<string, Participant>} */
      this._participants = new Map();
      /** @private @type {Set<Stream>} */
      this._streams = new Set();
      session._command("join", { name, record }).catch((answer) => {
        session._rooms.delete(name);
        this._emit(ROOM_EVENT.FAILED, this, answer.info);
      });
    }

    name() {
      return this._name;
    }

    /** @returns {Participant[]} everybody but ourselves */
    getParticipants() {
      return [...this._participants.values()];
    }

    /**
     * @param {StreamOptions} options
     * @returns {PublishedStream}
     */
    publish(options) {
      const ending = options.name ? `-${options.name}` : "";
      const name = `${this._name}-${this._session.username()}-${randomHex(4)}${ending}`;
      const stream = new PublishedStream(this._session, this._name, name, options);
      this._begin(stream);
      return stream;
    }

    /**
     * Leaves, and ends every stream of this room whatever the server answers.
     * @returns {Promise<Room>} rejects with the room when the server refused or is gone
     */
    async leave() {
      try {
        await this._session._command("leave", { name: this._name });
      } catch {
        throw this;
      } finally {
        this._session._rooms.delete(this._name);
        for (const stream of this._streams) stream.stop();
        this._streams.clear();
      }
      return this;
    }

    /** @param {Stream} stream */
    _begin(stream) {
      this._session._adopt(stream);
      this._streams.add(stream);
      stream._start();
    }

    /** @param {string} event @param {any} info what the server tells about this room */
    _handle(event, info) {
      const details = asObject(info);
      if (event === "STATE") {
        this._setState(Array.isArray(info) ? info : []);
        this._emit(ROOM_EVENT.STATE, this);
      } else if (event === "JOINED" && typeof info === "string") {
        const participant = new Participant(this, info);
        this._participants.set(info, participant);
        this._emit(ROOM_EVENT.JOINED, participant);
      } else if (event === "LEFT" && typeof info === "string") {
        const participant = this._participants.get(info);
        this._participants.delete(info);
        if (participant) this._emit(ROOM_EVENT.LEFT, participant);
      } else if (event === "PUBLISHED" && typeof details.login === "string") {
        const participant = this._participant(details.login);
        participant._streams.set(String(details.name), new ParticipantStream(this, String(details.name)));
        this._emit(ROOM_EVENT.PUBLISHED, participant);
      } else if (event === "UNPUBLISHED" || event === "FAILED") {
        const participant = this._participants.get(details.login);
        if (participant && participant._streams.delete(details.name)) {
          this._emit(ROOM_EVENT.UNPUBLISHED, participant);
        }
      } else if (event === "MESSAGE" && typeof details.from === "string") {
        // A sender who has just left is still worth a name.
        const from = this._participants.get(details.from) || new Participant(this, details.from);
        this._emit(ROOM_EVENT.MESSAGE, { from, text: String(details.text) });
      }
    }

    /**
     * A string is somebody without a stream, an object somebody with one; several
     * streams repeat the login.
     * @private
     * @param {any[]} info
     */
    _setState(info) {
      this._participants.clear();
      for (const entry of info) {
        if (typeof entry === "string") this._participant(entry);
        const { login, name } = asObject(entry);
        if (typeof login !== "string") continue;
        this._participant(login)._streams.set(String(name), new ParticipantStream(this, String(name)));
      }
    }

    /** @private @param {string} login @returns {Participant} */
    _participant(login) {
      const known = this._participants.get(login);
      if (known) return known;
      const participant = new Participant(this, login);
      this._participants.set(login, participant);
      return participant;
    }
  }

  // ---- session ------------------------------------------------------------

  /** One connection to the server under one login. */
  class RoomSession extends Emitter {
    /** @param {ConnectOptions} options */
    constructor(options) {
      super();
      if (!options || !options.urlServer) throw new TypeError("options.urlServer must be provided");
      /** @private */
      this._options = options;
      /** @private */
      this._id = uuid();
      /** @private @type {string} */
      this._status = SESSION_STATUS.PENDING;
      /** @private @type {string | undefined} */
      this._info = undefined;
      /** @private */
      this._tokenKey = AuthTokens.key(options.urlServer, options.username);
      /** @private @type {Map<string, { resolve: (answer: any) => void, reject: (answer: any) => void }>} */
      this._operations = new Map();
      /** @private @type {Map<string, Stream>} */
      this._streams = new Map();
      /** @type {Map<string, Room>} */
      this._rooms = new Map();
      this._mediaOptions = options.mediaOptions;
      /** @private */
      this._handlers = this._createHandlers();
      /** @private */
      this._wire = new Wire(options, {
        opened: () => this._opened(),
        received: (message, data) => this._received(message, data),
        closed: (failed, info) => this._closed(failed, info),
      });
    }

    id() {
      return this._id;
    }

    status() {
      return this._status;
    }

    username() {
      return this._options.username;
    }

    getServerUrl() {
      return this._options.urlServer;
    }

    /** @returns {string | undefined} why the session ended, where somebody said so */
    getInfo() {
      return this._info;
    }

    /** @returns {Room[]} */
    getRooms() {
      return [...this._rooms.values()];
    }

    /** @returns {Stream[]} every stream that has not ended */
    getStreams() {
      return [...this._streams.values()];
    }

    /**
     * @param {{ name: string, record?: boolean }} options
     * @returns {Room}
     */
    join(options) {
      const room = new Room(this, options);
      this._rooms.set(room.name(), room);
      return room;
    }

    disconnect() {
      this._wire.close();
    }

    /** @param {string} message @param {any} argument @returns {boolean} whether it went out */
    _send(message, argument) {
      return this._wire.send(message, argument);
    }

    /**
     * One call of the room protocol: asks, and settles with the server's answer.
     * @param {string} command
     * @param {Record<string, any>} options
     * @returns {Promise<any>} rejects with `{status, info}`
     */
    _command(command, options) {
      return new Promise((resolve, reject) => {
        const operationId = uuid();
        if (this._send("sendData", { operationId, payload: { command, options } })) {
          this._operations.set(operationId, { resolve, reject });
        } else {
          reject({ status: "FAILED", info: "The connection to the server is closed" });
        }
      });
    }

    /** @param {Stream} stream */
    _adopt(stream) {
      if (this._status !== SESSION_STATUS.ESTABLISHED) throw new Error(`Invalid session state ${this._status}`);
      this._streams.set(stream.id(), stream);
    }

    /** @param {Stream} stream */
    _forget(stream) {
      this._streams.delete(stream.id());
    }

    /** A map, not an object: a message called "constructor" must find nothing. @private */
    _createHandlers() {
      /** @param {any[]} data */
      const status = ([news]) => this._updateStream(asObject(news).mediaSessionId, asObject(news));
      /** @type {Map<string, (data: any[]) => void>} */
      const handlers = new Map();
      handlers.set("ping", () => this._send("pong", null));
      handlers.set("getUserData", ([config]) => this._established(asObject(config)));
      handlers.set("setRemoteSDP", ([id, sdp]) => {
        const stream = this._streams.get(id);
        if (stream) stream._answer(sdp);
      });
      handlers.set("notifyStreamStatusEvent", status);
      handlers.set("notifyVideoFormat", status);
      handlers.set("notifyStreamEvent", ([event]) => {
        const stream = this._streams.get(asObject(event).mediaSessionId);
        if (stream) stream._notify(asObject(event));
      });
      handlers.set("DataStatusEvent", ([answer]) => this._settle(asObject(answer)));
      handlers.set("OnDataEvent", ([event]) => {
        const { roomName, name, info } = asObject(asObject(event).payload);
        const room = this._rooms.get(roomName);
        if (room) room._handle(name, info);
      });
      handlers.set("fail", ([failure]) => this._warned(asObject(failure)));
      return handlers;
    }

    /** @private */
    _opened() {
      this._status = SESSION_STATUS.CONNECTED;
      const { username, token, appKey, authToken } = this._options;
      this._send("connection", {
        appKey: appKey || ROOM_APP_KEY,
        mediaProviders: ["WebRTC"],
        authToken: authToken || AuthTokens.read(this._tokenKey),
        clientVersion: "2.0",
        clientBrowserVersion: navigator.userAgent,
        custom: { login: username, token },
      });
      this._emit(SESSION_STATUS.CONNECTED, this);
    }

    /** @private @param {Record<string, any>} config */
    _established(config) {
      if (typeof config.authToken === "string") AuthTokens.keep(this._tokenKey, config.authToken, this);
      if (this._status !== SESSION_STATUS.CONNECTED) return;
      this._status = SESSION_STATUS.ESTABLISHED;
      this._emit(SESSION_STATUS.ESTABLISHED, this);
    }

    /** @private @param {string} message @param {any[]} data */
    _received(message, data) {
      const handler = this._handlers.get(message);
      if (handler) handler(data);
    }

    /** @private @param {any} id @param {Record<string, any>} news */
    _updateStream(id, news) {
      const stream = this._streams.get(id);
      if (stream) stream._update(news);
    }

    /** @private @param {Record<string, any>} answer */
    _settle({ operationId, ...answer }) {
      const operation = this._operations.get(operationId);
      if (!operation) return;
      this._operations.delete(operationId);
      if (answer.status === "ACCEPTED") operation.resolve(answer);
      else operation.reject(answer);
    }

    /** @private @param {Record<string, any>} failure */
    _warned(failure) {
      if (failure.apiMethod === "StreamStatusEvent") this._updateStream(failure.id, failure);
      else if (typeof failure.info === "string") this._info = failure.info;
      this._emit(SESSION_STATUS.WARN, failure);
    }

    /** @private @param {boolean} failed @param {string} info */
    _closed(failed, info) {
      this._status = failed ? SESSION_STATUS.FAILED : SESSION_STATUS.DISCONNECTED;
      if (info) this._info = info;
      AuthTokens.ended(this._tokenKey, this);
      for (const { reject } of this._operations.values()) reject({ status: "FAILED", info: this._info });
      this._operations.clear();
      for (const stream of this.getStreams()) {
        stream._update({ status: STREAM_STATUS.FAILED, info: STREAM_STATUS_INFO.STOPPED_BY_SESSION_DISCONNECT });
      }
      this._rooms.clear();
      this._emit(this._status, this);
    }
  }

  // ---- exports ------------------------------------------------------------

  /** @param {ConnectOptions} options @returns {RoomSession} */
  function connect(options) {
    return new RoomSession(options);
  }

  /** Questions that existing pages ask about the browser. */
  const Browser = Object.freeze({
    isFirefox: () => /Firefox\//.test(navigator.userAgent),
    isChrome: () => /Chrome\//.test(navigator.userAgent) && !/Edg|OPR/.test(navigator.userAgent),
    isChromiumEdge: () => /Edg/.test(navigator.userAgent),
    isSafari: () => /AppleWebKit/.test(navigator.userAgent) && !/Chrome|Android/.test(navigator.userAgent),
    isSafariWebRTC: () => Browser.isSafari() && Boolean(navigator.mediaDevices),
    isAndroid: () => /Android/.test(navigator.userAgent),
    isiOS: () => /iPad|iPhone|iPod/.test(navigator.userAgent),
  });

  /** Checks that this browser can take part at all. */
  function init() {
    if (typeof RTCPeerConnection === "undefined") throw new Error("This browser has no WebRTC");
  }

  /**
   * Asks for camera and microphone and shows them in the display, ready for the
   * next publish there under the same constraints.
   * @param {Constraints | null} constraints
   * @param {HTMLElement} display
   * @returns {Promise<HTMLElement>}
   */
  async function getMediaAccess(constraints, display) {
    await LocalMedia.open(constraints, display);
    return display;
  }

  /** @param {HTMLElement} display @returns {boolean} whether a waiting camera was let go */
  function releaseLocalMedia(display) {
    return LocalMedia.release(display);
  }

  const constants = Object.freeze({
    SESSION_STATUS,
    STREAM_STATUS,
    STREAM_EVENT,
    STREAM_EVENT_TYPE,
    STREAM_STATUS_INFO,
  });

  return {
    connect,
    init,
    getMediaAccess,
    releaseLocalMedia,
    getMediaProviders: () => ["WebRTC"],
    /** Our video elements need no warm-up; pages written for others may call this. */
    playFirstVideo: () => Promise.resolve(),
    playFirstSound: () => {},
    randomHex,
    constants,
    Browser,
    SESSION_STATUS,
    ROOM_EVENT,
    STREAM_STATUS,
    STREAM_EVENT,
    STREAM_EVENT_TYPE,
    RoomSession,
    Room,
    Participant,
    ParticipantStream,
    PublishedStream,
    PlayedStream,
  };
})();

// Properties, not declarations: a page's own `const SESSION_STATUS = …` stays legal.
Object.assign(globalThis, {
  Flashphoner: { ...Ringhall, roomApi: { connect: Ringhall.connect, events: Ringhall.ROOM_EVENT } },
  RoomApi: { connect: Ringhall.connect, events: Ringhall.ROOM_EVENT, sdk: Ringhall },
  SESSION_STATUS: Ringhall.SESSION_STATUS,
  ROOM_EVENT: Ringhall.ROOM_EVENT,
  STREAM_STATUS: Ringhall.STREAM_STATUS,
});
