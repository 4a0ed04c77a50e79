/**
 * How well a stream travels: a badge on its tile, and the panel that a badge
 * opens, with bitrate, loss and round trip of the last minute.
 */

import { button, element, make } from "./dom.js";

/**
 * @typedef {Object} Quality
 * @property {number} [bitrateKbps]
 * @property {number} [lossPercent]
 * @property {number} [roundTripMs]
 * @property {number} [framesPerSecond]
 * @property {number} [width]
 * @property {number} [height]
 * @property {string} [codec]
 * @property {string} [limitedBy]
 */

/** @typedef {{ watchQuality(callback: (quality: Quality) => void, intervalMs: number): () => void }} Watched */

const INTERVAL_MS = 2_000;

/** A minute. */
const SAMPLES_MAX = 60_000 / INTERVAL_MS;

/** The badge follows so many samples, so that one bad moment does not make it flicker. */
const JUDGED = 3;

/** Lost packets are repaired below the first; above the second pictures freeze and words go missing. */
const LOSS_FAIR_PERCENT = 2;
const LOSS_POOR_PERCENT = 8;

/** Talk stays fluent below the first; above the second people interrupt each other. */
const ROUND_TRIP_FAIR_MS = 200;
const ROUND_TRIP_POOR_MS = 450;

const PLOT_WIDTH = 240;
const PLOT_HEIGHT = 44;
const SVG = "http://www.w3.org/2000/svg";

/** @typedef {{ title: string, unit: string, least: number, value: (quality: Quality) => number | undefined }} Curve */

/** `least`: what the plot's full height is worth at least. @type {Curve[]} */
const CURVES = [
  { title: "Bitrate", unit: "kbit/s", least: 200, value: (quality) => quality.bitrateKbps },
  { title: "Loss", unit: "%", least: 5, value: (quality) => quality.lossPercent },
  { title: "Round trip", unit: "ms", least: 100, value: (quality) => quality.roundTripMs },
];

/** @param {Quality[]} samples @returns {"good" | "fair" | "poor" | ""} empty: nothing is known yet */
function judge(samples) {
  const latest = samples.slice(-JUDGED);
  const mean = (/** @type {(quality: Quality) => number | undefined} */ value) => {
    const known = latest.map(value).filter((number) => number !== undefined);
    return known.length === 0 ? undefined : known.reduce((sum, number) => sum + Number(number), 0) / known.length;
  };
  const loss = mean((quality) => quality.lossPercent);
  const roundTrip = mean((quality) => quality.roundTripMs);
  if (loss === undefined && roundTrip === undefined && mean((quality) => quality.bitrateKbps) === undefined) return "";
  if ((loss || 0) > LOSS_POOR_PERCENT || (roundTrip || 0) > ROUND_TRIP_POOR_MS) return "poor";
  if ((loss || 0) > LOSS_FAIR_PERCENT || (roundTrip || 0) > ROUND_TRIP_FAIR_MS) return "fair";
  return "good";
}

/** On a tile: one word, and the door to the panel. */
export class QualityBadge {
  /** @param {HTMLButtonElement} root @param {() => string} whose "Your connection", "Connection of Bob" */
  constructor(root, whose) {
    /** @private */
    this._root = root;
    this.whose = whose;
    /** @type {Quality[]} the last minute, oldest first */
    this.samples = [];
    /** @private @type {(() => void) | null} */
    this._stop = null;
    root.hidden = true;
    root.setAttribute("aria-expanded", "false");
    root.setAttribute("aria-controls", "quality");
    root.onclick = () => panel().toggle(this, root);
  }

  /** @param {Watched} stream */
  watch(stream) {
    this.clear();
    this._stop = stream.watchQuality((quality) => this._add(quality), INTERVAL_MS);
  }

  clear() {
    if (this._stop) this._stop();
    this._stop = null;
    this.samples = [];
    this._root.hidden = true;
    panel().closeIf(this);
  }

  /** @private @param {Quality} quality */
  _add(quality) {
    this.samples.push(quality);
    if (this.samples.length > SAMPLES_MAX) this.samples.shift();
    const word = judge(this.samples);
    this._root.hidden = !word;
    if (this._root.dataset.quality !== word) {
      this._root.dataset.quality = word;
      this._root.textContent = word;
      this._root.setAttribute("aria-label", `${this.whose()}: ${word}. Show details`);
    }
    panel().refreshIf(this);
  }
}

/** The one panel of a page; it shows the badge it was opened from. */
class QualityPanel {
  constructor() {
    /** @private */
    this._root = element("quality", HTMLElement);
    /** @private @type {QualityBadge | null} */
    this._badge = null;
    /** @private @type {HTMLButtonElement | null} */
    this._opener = null;
    /** @private Per curve: its line, its area and its present value. @type {{ line: Element, area: Element, value: HTMLElement }[]} */
    this._plots = CURVES.map((curve) => this._addPlot(curve));
    button("qualityCloseBtn").onclick = () => this.close();
    this._root.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    document.addEventListener("pointerdown", (event) => {
      const target = /** @type {Node} */ (event.target);
      if (this._badge && !this._root.contains(target) && target !== this._opener) this.close();
    });
  }

  /** @param {QualityBadge} badge @param {HTMLButtonElement} opener */
  toggle(badge, opener) {
    const again = this._badge === badge;
    this.close();
    if (again) return;
    this._badge = badge;
    this._opener = opener;
    opener.setAttribute("aria-expanded", "true");
    element("qualityTitle", HTMLElement).textContent = badge.whose();
    this._root.hidden = false;
    this._place(opener.getBoundingClientRect());
    this.refreshIf(badge);
    button("qualityCloseBtn").focus();
  }

  /** @param {QualityBadge} badge */
  closeIf(badge) {
    if (this._badge === badge) this.close();
  }

  close() {
    if (!this._badge) return;
    const opener = this._opener;
    const focused = this._root.contains(document.activeElement);
    this._badge = null;
    this._opener = null;
    this._root.hidden = true;
    if (!opener) return;
    opener.setAttribute("aria-expanded", "false");
    if (focused) opener.focus();
  }

  /** @param {QualityBadge} badge */
  refreshIf(badge) {
    if (this._badge !== badge) return;
    CURVES.forEach((curve, index) => this._draw(curve, this._plots[index], badge.samples));
    const latest = badge.samples[badge.samples.length - 1] || {};
    const facts = [
      latest.width && latest.height ? `${latest.width} × ${latest.height}` : "",
      latest.framesPerSecond === undefined ? "" : `${Math.round(latest.framesPerSecond)} pictures per second`,
      latest.codec || "",
      latest.limitedBy && latest.limitedBy !== "none" ? `limited by ${latest.limitedBy}` : "",
    ];
    element("qualityFacts", HTMLElement).textContent = facts.filter(Boolean).join(" · ");
  }

  /** Beside the badge, inside the window. @private @param {DOMRect} badge */
  _place(badge) {
    const { width, height } = this._root.getBoundingClientRect();
    const gap = 8;
    const left = Math.min(Math.max(gap, badge.right - width), Math.max(gap, innerWidth - width - gap));
    const above = badge.top - height - gap;
    const top = above >= gap ? above : Math.min(badge.bottom + gap, Math.max(gap, innerHeight - height - gap));
    this._root.style.setProperty("left", `${left}px`);
    this._root.style.setProperty("top", `${top}px`);
  }

  /** @private @param {Curve} curve */
  _addPlot(curve) {
    const row = make("div", "plot");
    const value = make("b");
    const title = make("p");
    title.append(curve.title, " ", value);
    const picture = document.createElementNS(SVG, "svg");
    picture.setAttribute("viewBox", `0 0 ${PLOT_WIDTH} ${PLOT_HEIGHT}`);
    picture.setAttribute("preserveAspectRatio", "none");
    picture.setAttribute("aria-hidden", "true");
    const area = document.createElementNS(SVG, "path");
    area.setAttribute("class", "area");
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("class", "line");
    picture.append(area, line);
    row.append(title, picture);
    element("qualityPlots", HTMLElement).append(row);
    return { line, area, value };
  }

  /** @private @param {Curve} curve @param {{ line: Element, area: Element, value: HTMLElement }} plot @param {Quality[]} samples */
  _draw(curve, { line, area, value }, samples) {
    const numbers = samples.map(curve.value);
    const last = numbers[numbers.length - 1];
    value.textContent = last === undefined ? "not known" : `${round(last)} ${curve.unit}`;
    const top = Math.max(curve.least, ...numbers.map((number) => number || 0)) * 1.1;
    // The latest sample is at the right edge, a minute ago at the left one.
    const points = numbers
      .map((number, index) => ({ number, x: PLOT_WIDTH * (1 - (numbers.length - 1 - index) / (SAMPLES_MAX - 1)) }))
      .filter((point) => point.number !== undefined)
      .map(({ number, x }) => `${x.toFixed(1)},${(PLOT_HEIGHT - 1 - (Number(number) / top) * (PLOT_HEIGHT - 2)).toFixed(1)}`);
    const first = points[0];
    line.setAttribute("d", first ? `M${points.join("L")}` : "");
    area.setAttribute("d", first ? `M${first.split(",")[0]},${PLOT_HEIGHT}L${points.join("L")}V${PLOT_HEIGHT}Z` : "");
  }
}

/** @param {number} number @returns {string} */
function round(number) {
  return number >= 10 || Number.isInteger(number) ? String(Math.round(number)) : number.toFixed(1);
}

/** @type {QualityPanel | null} */
let onlyPanel = null;

function panel() {
  onlyPanel = onlyPanel || new QualityPanel();
  return onlyPanel;
}
