/**
 * Ringhall's client library: streams that this side sends.
 */
var RinghallPublished = (() => {
  "use strict";

  const { STREAM_EVENT_TYPE, STREAM_STATUS, STREAM_STATUS_INFO } = RinghallWords;
  const { LocalMedia } = RinghallMedia;
  const { nextDevice, openInstead, openTrack } = RinghallDevices;
  const { Stream, isFinal } = RinghallStream;
  /** @typedef {RinghallPicture} Picture */
  /** @typedef {RinghallStreamOptions} StreamOptions */
  /** @typedef {RinghallStreamOwner} StreamOwner */

  /** The two kinds of tracks, in the order in which they are offered. @type {("audio" | "video")[]} */
  const KINDS = ["audio", "video"];

  /** A camera, screen or MediaStream on its way to the room. */
  class PublishedStream extends Stream {
    /**
     * @param {StreamOwner} session
     * @param {string} roomName
     * @param {string} name
     * @param {StreamOptions} options
     * @param {Picture | null} [inherited] what another stream handed over
     */
    constructor(session, roomName, name, options, inherited = null) {
      super(session, roomName, name, options);
      /** @private @type {Picture | null} */
      this._picture = null;
      /** @private */
      this._inherited = inherited;
      /** Device switches wait for each other. @private @type {Promise<any>} */
      this._switching = Promise.resolve();
      /** @private @type {(() => void)[]} */
      this._unwatchTracks = [];
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

    /**
     * Sends another camera's picture from now on, in the same stream; the own
     * picture follows, a muted one stays muted, and the old camera is let go.
     * @param {string} deviceId of `Ringhall.getMediaDevices()`
     * @returns {Promise<void>} rejects when the camera can't be opened; the old one is then kept if it can be
     */
    switchCamera(deviceId) {
      return this._switchDevice("video", deviceId);
    }

    /** The same for the microphone. @param {string} deviceId @returns {Promise<void>} */
    switchMicrophone(deviceId) {
      return this._switchDevice("audio", deviceId);
    }

    /** As existing pages call it. @param {string} [deviceId] the next camera by default @returns {Promise<string>} its id */
    async switchCam(deviceId) {
      const chosen = deviceId === undefined ? await nextDevice("cameras", this._deviceId("video")) : deviceId;
      await this.switchCamera(chosen);
      return chosen;
    }

    /** As existing pages call it. @param {string} [deviceId] the next microphone by default @returns {Promise<string>} its id */
    async switchMic(deviceId) {
      const chosen = deviceId === undefined ? await nextDevice("microphones", this._deviceId("audio")) : deviceId;
      await this.switchMicrophone(chosen);
      return chosen;
    }

    /** @private @param {"audio" | "video"} kind @param {string} deviceId @returns {Promise<void>} */
    _switchDevice(kind, deviceId) {
      const turn = this._switching.then(() => this._replaceDevice(kind, deviceId));
      this._switching = turn.catch(() => {});
      return turn;
    }

    /** @private @param {"audio" | "video"} kind @param {string} deviceId */
    async _replaceDevice(kind, deviceId) {
      const picture = this._picture;
      const old = this._track(kind);
      if (!picture) throw new Error("The stream is not being published");
      if (!picture.owned || this._isScreen()) throw new Error("Only a stream of camera and microphone can switch devices");
      if (!old) throw new Error(`The stream has no ${kind}`);
      const constraints = LocalMedia.choose(this._options.constraints || null, kind, deviceId);
      try {
        await this._replaceTrack(picture, old, await openInstead(kind, asConstraints(constraints[kind]), old));
      } catch (error) {
        // The old device had to be stopped for the try; without it the stream would go on empty.
        if (old.readyState === "ended" && this._picture === picture) await this._reopen(picture, old);
        throw error;
      }
      // So that a later publish tells this camera, kept open in the display, from the one it asks for.
      this._options.constraints = constraints;
    }

    /** @private @param {Picture} picture @param {MediaStreamTrack} old */
    async _reopen(picture, old) {
      const kind = /** @type {"audio" | "video"} */ (old.kind);
      const constraints = LocalMedia.choose(this._options.constraints || null, kind, old.getSettings().deviceId || "");
      try {
        await this._replaceTrack(picture, old, await openTrack(kind, asConstraints(constraints[kind])));
      } catch {
        if (this._picture === picture) this._lost(old);
      }
    }

    /** @private @param {Picture} picture @param {MediaStreamTrack} old @param {MediaStreamTrack} fresh */
    async _replaceTrack(picture, old, fresh) {
      fresh.enabled = old.enabled;
      if (fresh.kind === "video") fresh.contentHint = this._contentHint();
      const sending = this._peer && this._peer.getTransceivers().find(({ receiver }) => receiver.track.kind === old.kind);
      try {
        if (!sending || this._picture !== picture) throw new Error("The stream has ended");
        await sending.sender.replaceTrack(fresh);
        if (this._picture !== picture) throw new Error("The stream has ended");
      } catch (error) {
        fresh.stop();
        throw error;
      }
      // Muted or unmuted while the browser was at work.
      fresh.enabled = old.enabled;
      picture.stream.removeTrack(old);
      picture.stream.addTrack(fresh);
      old.stop();
      this._watchTracks(picture);
    }

    /** @private @param {"audio" | "video"} kind */
    _deviceId(kind) {
      const track = this._track(kind);
      return track && track.getSettings().deviceId;
    }

    /**
     * Ends this stream but keeps its media, which the caller is to publish again.
     * @returns {Picture}
     */
    _handOver() {
      const picture = this._picture;
      if (isFinal(this._status) || this._stopping) throw new Error("The stream has already ended");
      if (!picture || !this._offered) throw new Error("The stream is not being published yet");
      this._unwatch();
      this._picture = null;
      this._video = null;
      this._sendStop();
      this._finish(STREAM_STATUS.UNPUBLISHED);
      return picture;
    }

    async _prepare() {
      const picture = await this._openPicture();
      if (isFinal(this._status)) {
        // Ended while the person was being asked: nobody is left to use or close it.
        LocalMedia.discard(picture);
        return null;
      }
      LocalMedia.take(picture, this._id);
      this._picture = picture;
      this._watchTracks(picture);
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
      if (this._inherited) return this._inherited;
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
      return this._isScreen() ? "detail" : "motion";
    }

    /** @private */
    _isScreen() {
      return this._videoConstraints().type === "screen";
    }

    /**
     * Only what we did not do ourselves is heard of: `stop()` on a track is silent.
     * @private
     * @param {Picture} picture
     */
    _watchTracks(picture) {
      this._unwatch();
      this._unwatchTracks = picture.stream.getTracks().map((track) => {
        const ended = () => this._lost(track);
        track.addEventListener("ended", ended);
        return () => track.removeEventListener("ended", ended);
      });
    }

    /** @private */
    _unwatch() {
      for (const unwatch of this._unwatchTracks) unwatch();
      this._unwatchTracks = [];
    }

    /**
     * Unplugged, taken away by the browser or another program, or the end of screen
     * sharing by the browser's own button.
     * @private
     * @param {MediaStreamTrack} track
     */
    _lost(track) {
      const picture = this._picture;
      if (!picture) return;
      if (picture.owned && this._isScreen() && track.kind === "video") {
        this._info = "Screen sharing was ended";
        this.stop();
        return;
      }
      const payload = { kind: track.kind, label: track.label };
      this._notify({ mediaSessionId: this._id, type: STREAM_EVENT_TYPE.DEVICE_LOST, payload });
      // The page may have switched to another device, or stopped, in answer.
      const none = picture.stream.getTracks().every(({ readyState }) => readyState === "ended");
      if (none) this._failHere(STREAM_STATUS_INFO.LOCAL_ERROR, `Device lost: ${track.label || track.kind}`);
    }

    /** The server learns what was muted before it knew the stream. @param {Record<string, any>} news */
    _update(news) {
      if (news.status === STREAM_STATUS.PUBLISHING && this._status !== STREAM_STATUS.PUBLISHING) {
        for (const kind of KINDS) if (this._track(kind) && this._isMuted(kind)) this._sendEvent(`${kind}Muted`);
      }
      super._update(news);
    }

    /** A moderator's wish is done first, then told; a file's name is known when it is. @param {Record<string, any>} event */
    _notify(event) {
      if (event.type === STREAM_EVENT_TYPE.MUTE_REQUESTED) {
        const wish = event.payload || {};
        for (const kind of KINDS) if (wish[kind] === true && !this._isMuted(kind)) this._setMuted(kind, true);
      }
      if (event.type === STREAM_EVENT_TYPE.RECORDING_STARTED) {
        const { recordName } = event.payload || {};
        if (typeof recordName === "string") this._recordName = recordName;
      }
      super._notify(event);
    }

    _audioTrack() {
      return this._track("audio");
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

    /**
     * A camera that the server never heard of is not kept: what it was opened for is
     * over. Nor is a screen: the next one may be another.
     * @private
     * @param {Picture} picture
     */
    _letGo(picture) {
      const keep = this._options.cacheLocalResources !== false && this._offered && !this._isScreen();
      LocalMedia.giveBack(picture, keep ? this._options.constraints || { audio: true, video: true } : null);
    }

    _closeMedia() {
      super._closeMedia();
      this._unwatch();
      if (!this._picture) return;
      this._letGo(this._picture);
      this._picture = null;
      this._video = null;
    }
  }

  /** @param {any} value one side of Constraints @returns {MediaTrackConstraints} */
  function asConstraints(value) {
    return typeof value === "object" && value !== null ? value : {};
  }

  return { PublishedStream };
})();
