/**
 * Ringhall's client library: what published and played streams have in common.
 */
var RinghallStream = (() => {
  "use strict";

  const {
    STREAM_EVENT,
    STREAM_EVENT_TYPE,
    STREAM_STATUS,
    STREAM_STATUS_INFO,
    Emitter,
    asObject,
    errorText,
    uuid,
  } = RinghallWords;
  const { groupStats, summariseStats, watchQuality } = RinghallStatistics;
  const { watchLevel } = RinghallLevel;
  /** @typedef {RinghallStreamOptions} StreamOptions */
  /** @typedef {RinghallStreamOwner} StreamOwner */

  /** @type {Set<string>} */
  const STREAM_STATES = new Set(Object.values(STREAM_STATUS));

  /** Formats that carry no picture of their own: repeats and parity of the others. */
  const REPAIR_CODECS = new Set(["rtx", "red", "ulpfec", "flexfec-03"]);

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
     * @param {StreamOwner} session
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
      // A copy: a device switch changes it, and the page may use its own again.
      this._options = { ...options };
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
      /** What ends with the stream. @private @type {Set<() => void>} */
      this._watches = new Set();
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

    /**
     * Tells again and again how well the stream flows, until the returned function
     * is called or the stream ends.
     * @param {(quality: any) => void} callback gets `{bitrateKbps, lossPercent, roundTripMs,
     *   framesPerSecond, width, height, codec, limitedBy}`, each undefined where unknown
     * @param {number} [intervalMs]
     * @returns {() => void}
     */
    watchQuality(callback, intervalMs = 1000) {
      return this._watch(() => watchQuality(() => this._peer, callback, intervalMs));
    }

    /**
     * Tells several times a second how loud the stream is, from 0 (silence) to 1 in
     * even steps of loudness, until the returned function is called or the stream ends.
     * @param {(level: number) => void} callback
     * @returns {() => void}
     */
    watchLevel(callback) {
      return this._watch(() => watchLevel({ track: () => this._audioTrack(), peer: () => this._peer }, callback));
    }

    /**
     * Asks the server whether somebody publishes a stream of this name.
     * @returns {Promise<this>} resolves with the stream if so, else rejects with it; `getInfo()` may say why
     */
    async available() {
      const { available, info } = await this._session._askAvailable(this);
      if (available) return this;
      this._info = info || this._info;
      throw this;
    }

    /** @param {any} payload JSON value for everybody who plays this stream */
    sendData(payload) {
      this._sendEvent(STREAM_EVENT_TYPE.DATA, payload);
    }

    /** Full screen of a played picture. @returns {Promise<void>} */
    fullScreen() {
      return this._video ? this._video.requestFullscreen() : Promise.resolve();
    }

    /** @private @param {() => () => void} begin @returns {() => void} */
    _watch(begin) {
      if (isFinal(this._status)) return () => {};
      const end = begin();
      this._watches.add(end);
      return () => {
        this._watches.delete(end);
        end();
      };
    }

    /** @returns {MediaStreamTrack | undefined} */
    _audioTrack() {
      const media = this._video && /** @type {MediaStream | null} */ (this._video.srcObject);
      return media ? media.getAudioTracks()[0] : undefined;
    }

    /** Makes the offer and sends it. Nothing is awaited by callers: the outcome is a status. */
    async _start() {
      this._status = STREAM_STATUS.PENDING;
      try {
        const peer = await this._prepare();
        if (!peer || isFinal(this._status)) return this._closeMedia();
        if (!this.published()) this._emit(STREAM_STATUS.PENDING, this);
        chooseCodecs(peer, this._options);
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
      for (const end of this._watches) end();
      this._watches.clear();
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

  /**
   * Takes codecs out of what will be offered and orders the others, by name, without
   * touching SDP text. A browser that can't choose offers what it has.
   * @param {RTCPeerConnection} peer
   * @param {StreamOptions} options
   */
  function chooseCodecs(peer, { stripCodecs = "", videoCodecs = [] }) {
    const unwanted = stripCodecs.toLowerCase().split(",").map((name) => name.trim()).filter(Boolean);
    const wanted = videoCodecs.map((name) => String(name).toLowerCase());
    if (unwanted.length === 0 && wanted.length === 0) return;
    for (const transceiver of peer.getTransceivers()) {
      const kind = transceiver.receiver.track.kind;
      const capabilities = RTCRtpReceiver.getCapabilities(kind);
      if (!capabilities || !transceiver.setCodecPreferences) continue;
      const kept = capabilities.codecs.filter((codec) => !unwanted.includes(codecName(codec)));
      transceiver.setCodecPreferences(kind === "video" ? preferred(kept, wanted) : kept);
    }
  }

  /** @param {{ mimeType: string }} codec */
  function codecName({ mimeType }) {
    return mimeType.split("/")[1].toLowerCase();
  }

  /**
   * Only the wanted codecs and what repairs them: beside others, whoever answers may
   * choose another again.
   * @template {{ mimeType: string }} C
   * @param {C[]} codecs
   * @param {string[]} wanted
   * @returns {C[]}
   */
  function preferred(codecs, wanted) {
    const best = wanted.flatMap((name) => codecs.filter((codec) => codecName(codec) === name));
    const repair = codecs.filter((codec) => REPAIR_CODECS.has(codecName(codec)));
    return best.length > 0 ? [...best, ...repair] : codecs;
  }

  return { Stream, isFinal };
})();
