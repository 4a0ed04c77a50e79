/**
 * Ringhall's client library: how loud a stream is, for a mark beside who is speaking.
 * All levels of a page share one audio graph and one timer, which last as long as
 * somebody looks.
 */
var RinghallLevel = (() => {
  "use strict";

  const { surface } = RinghallWords;

  /** Time between two looks, ms: a mark that follows syllables. */
  const INTERVAL_MS = 150;
  /** Samples of one look: 43 ms at 48 kHz, several periods of the lowest voice. */
  const WINDOW_SAMPLES = 2048;
  /** What counts as silence, dB below full scale: a quiet room on a usual microphone. */
  const SILENCE_DB = -60;

  /**
   * @typedef {Object} Source what the level is taken from, asked anew at every look
   * @property {() => MediaStreamTrack | undefined} track
   * @property {() => RTCPeerConnection | null} peer
   */

  /** @type {Set<Meter>} */
  const meters = new Set();
  /** @type {AudioContext | null} */
  let graph = null;
  let timer = 0;

  /** @param {number} amplitude 0 to 1 @returns {number} loudness, 0 to 1 in even steps of dB */
  function loudness(amplitude) {
    if (!(amplitude > 0)) return 0;
    return Math.min(1, Math.max(0, 1 - (20 * Math.log10(amplitude)) / SILENCE_DB));
  }

  /** The level of one stream for one callback. */
  class Meter {
    /** @param {Source} source @param {(level: number) => void} callback */
    constructor(source, callback) {
      /** @private */
      this._source = source;
      /** @private */
      this._callback = callback;
      /** @private */
      this._ended = false;
      /** @private */
      this._asking = false;
      /** @private @type {MediaStreamTrack | null} */
      this._track = null;
      /** @private @type {MediaStreamAudioSourceNode | null} */
      this._input = null;
      /** @private @type {AnalyserNode | null} */
      this._analyser = null;
      /** @private */
      this._samples = new Float32Array(WINDOW_SAMPLES);
    }

    /** @param {AudioContext | null} context */
    look(context) {
      const track = this._source.track();
      if (!track || track.readyState === "ended" || !track.enabled) {
        this._disconnect();
        this._tell(0);
      } else if (context && context.state === "running") {
        // What has just been connected has heard nothing yet.
        if (this._track === track) this._tell(this._hear());
        else this._connect(context, track);
      } else {
        this._ask(track.kind);
      }
    }

    end() {
      this._ended = true;
      this._disconnect();
    }

    /** A page's exception must not cost the other meters their look. @private @param {number} level */
    _tell(level) {
      if (this._ended) return;
      try {
        this._callback(level);
      } catch (error) {
        surface(error);
      }
    }

    /** @private @param {AudioContext} context @param {MediaStreamTrack} track */
    _connect(context, track) {
      this._disconnect();
      this._track = track;
      this._input = context.createMediaStreamSource(new MediaStream([track]));
      this._analyser = context.createAnalyser();
      this._analyser.fftSize = WINDOW_SAMPLES;
      this._input.connect(this._analyser);
    }

    /** @private */
    _disconnect() {
      if (this._input) this._input.disconnect();
      this._input = null;
      this._analyser = null;
      this._track = null;
    }

    /** @private @returns {number} */
    _hear() {
      if (!this._analyser) return 0;
      this._analyser.getFloatTimeDomainData(this._samples);
      let sum = 0;
      for (const sample of this._samples) sum += sample * sample;
      return loudness(Math.sqrt(sum / this._samples.length));
    }

    /** Before the first gesture browsers keep audio graphs still; their statistics know the level. @private @param {string} kind */
    async _ask(kind) {
      const peer = this._source.peer();
      if (!peer || this._asking) return;
      this._asking = true;
      const report = await peer.getStats().catch(() => null);
      this._asking = false;
      if (!report) return;
      report.forEach((entry) => {
        const speaks = entry.type === "media-source" || entry.type === "inbound-rtp";
        if (speaks && entry.kind === kind && entry.audioLevel >= 0) this._tell(loudness(entry.audioLevel));
      });
    }
  }

  function lookAtAll() {
    // Where a gesture has come meanwhile, this succeeds; else it waits, which costs nothing.
    if (graph && graph.state === "suspended") graph.resume().catch(() => {});
    for (const meter of meters) meter.look(graph);
  }

  /**
   * @param {Source} source
   * @param {(level: number) => void} callback
   * @returns {() => void} ends it
   */
  function watchLevel(source, callback) {
    const meter = new Meter(source, callback);
    meters.add(meter);
    if (meters.size === 1) {
      graph = typeof AudioContext === "undefined" ? null : new AudioContext();
      timer = window.setInterval(lookAtAll, INTERVAL_MS);
    }
    return () => {
      meter.end();
      if (!meters.delete(meter) || meters.size > 0) return;
      window.clearInterval(timer);
      if (graph) graph.close().catch(() => {});
      graph = null;
    };
  }

  return { watchLevel };
})();
