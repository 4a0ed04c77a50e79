/** How loud it is: the own microphone's meter, and the mark on whoever speaks. */

/** What counts as silence, dB below full scale; the library's levels begin there too. */
const SILENCE_DB = -60;

/** From here on somebody is speaking: above breath and fans. */
const SPEECH_LEVEL = 0.35;

/** Between words nobody stops speaking. */
const SPEECH_HOLD_MS = 700;

/** Steps of the bar: finer ones would only cost repaints. */
const BAR_STEPS = 20;

/** Often enough to look alive. */
const PREVIEW_INTERVAL_MS = 100;

/** The bar beside the own name. */
export class LevelMeter {
  /** @param {HTMLElement} root an element of role "meter" with the bar inside */
  constructor(root) {
    /** @private */
    this._root = root;
    /** @private */
    this._shown = -1;
  }

  /** @param {number} level 0 to 1 in even steps of loudness */
  show(level) {
    const percent = (Math.round(level * BAR_STEPS) * 100) / BAR_STEPS;
    if (percent === this._shown) return;
    this._shown = percent;
    this._root.style.setProperty("--level", String(percent / 100));
    this._root.setAttribute("aria-valuenow", String(percent));
  }
}

/** Marks a tile while its person speaks. */
export class SpeakingMark {
  /** @param {HTMLElement} tile */
  constructor(tile) {
    /** @private */
    this._tile = tile;
    /** @private */
    this._heardAt = -Infinity;
  }

  /** @param {number} level 0 to 1 */
  show(level) {
    const now = performance.now();
    if (level >= SPEECH_LEVEL) this._heardAt = now;
    this._tile.classList.toggle("speaking", now - this._heardAt < SPEECH_HOLD_MS);
  }

  clear() {
    this._heardAt = -Infinity;
    this._tile.classList.remove("speaking");
  }
}

/**
 * Listens to a microphone that is not sent yet.
 * @param {MediaStream} stream
 * @param {(level: number) => void} callback
 * @returns {() => void} stops listening
 */
export function watchPreviewLevel(stream, callback) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  // Browsers keep sound machinery asleep until the first press on a page.
  const wake = () => context.resume().catch(() => {});
  document.addEventListener("pointerdown", wake);
  document.addEventListener("keydown", wake);
  const timer = window.setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    let squares = 0;
    for (const sample of samples) squares += sample * sample;
    const decibels = 10 * Math.log10(squares / samples.length);
    callback(Math.min(1, Math.max(0, 1 - decibels / SILENCE_DB)));
  }, PREVIEW_INTERVAL_MS);
  return () => {
    window.clearInterval(timer);
    document.removeEventListener("pointerdown", wake);
    document.removeEventListener("keydown", wake);
    context.close().catch(() => {});
    callback(0);
  };
}
