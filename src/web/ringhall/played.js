/**
 * Ringhall's client library: streams that others send.
 */
var RinghallPlayed = (() => {
  "use strict";

  const { STREAM_EVENT_TYPE, errorText } = RinghallWords;
  const { createVideo } = RinghallMedia;
  const { canChooseSpeaker } = RinghallDevices;
  const { Stream } = RinghallStream;

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

    /**
     * Plays through the speaker of choice.
     * @param {string} deviceId of `Ringhall.getMediaDevices()`; empty for the system's own choice
     * @returns {Promise<void>}
     */
    async setSpeaker(deviceId) {
      if (!this._video) throw new Error("The stream does not play");
      if (!canChooseSpeaker) throw new Error("This browser can't choose the speaker");
      try {
        await this._video.setSinkId(deviceId);
      } catch (error) {
        throw new Error(`The speaker can't be used: ${errorText(error)}`);
      }
    }

    /** As existing pages call it. @param {string} deviceId @returns {Promise<void>} */
    setAudioOutputId(deviceId) {
      return this.setSpeaker(deviceId);
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

  return { PlayedStream };
})();
