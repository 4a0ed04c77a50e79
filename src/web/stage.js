/** All pictures: a grid of equal tiles, or one large picture with small ones in its corner. */

import { element } from "./dom.js";
import { ParticipantTile } from "./tile.js";

/** @typedef {import("./applications.js").Application} Application */

const GAP_PX = 12;
const CAPTION_PX = 40;
const PADDING_PX = 4;

/** Of the stage's height, for all screens together. */
const SCREEN_SHARE = 0.72;

/** Narrower than this, a face is a stamp: the stage scrolls instead. */
const TILE_MIN_PX = 148;

export class Stage {
  /** @param {Application} application @param {Omit<import("./tile.js").TileOwner, "onLayout">} owner */
  constructor(application, owner) {
    /** @private */
    this._root = element("stage", HTMLElement);
    /** @private */
    this._container = element("participants", HTMLElement);
    /** @private The place of nobody. */
    this._vacant = element("vacant", HTMLElement);
    /** @private */
    this._isGrid = application.layout === "grid";
    /** @private Others that are shown; further ones wait. */
    this._places = application.seats - 1;
    /** @private @type {Map<string, ParticipantTile>} */
    this._tiles = new Map();
    /** @private @type {Map<string, Participant>} */
    this._waiting = new Map();
    /** @private */
    this._owner = { ...owner, onLayout: () => this.layout() };
    new ResizeObserver(() => this.layout()).observe(this._root);
    this.layout();
  }

  /** Shows a participant, or takes a known one's new streams. @param {Participant} participant */
  show(participant) {
    const name = participant.name();
    let tile = this._tiles.get(name);
    if (!tile && this._tiles.size >= this._places) {
      this._waiting.set(name, participant);
      return;
    }
    if (!tile) {
      tile = new ParticipantTile(participant, this._owner);
      this._tiles.set(name, tile);
      this._container.append(tile.root);
      this.layout();
    }
    tile.setParticipant(participant);
    tile.playAll();
  }

  /** @param {Participant} participant */
  streamsEnded(participant) {
    const tile = this._tiles.get(participant.name());
    if (tile) tile.streamsEnded();
  }

  /** @param {Participant} participant */
  remove(participant) {
    const name = participant.name();
    this._waiting.delete(name);
    const tile = this._tiles.get(name);
    if (!tile) return;
    this._tiles.delete(name);
    tile.remove();
    const [next] = this._waiting.values();
    if (next) {
      this._waiting.delete(next.name());
      this.show(next);
    }
    this.layout();
  }

  clear() {
    for (const tile of this._tiles.values()) tile.remove();
    this._tiles.clear();
    this._waiting.clear();
    this.layout();
  }

  unmuteAll() {
    for (const tile of this._tiles.values()) tile.unmute();
  }

  /** @param {string} id of a speaker, empty: the browser's choice */
  setSpeaker(id) {
    for (const tile of this._tiles.values()) tile.setSpeaker(id);
  }

  /** Screens get rows of their own, faces share what is left. */
  layout() {
    this._vacant.hidden = this._tiles.size > 0;
    if (!this._isGrid) return;
    const width = this._root.clientWidth - 2 * PADDING_PX;
    const height = this._root.clientHeight - 2 * PADDING_PX;
    const screens = this._root.querySelectorAll(".tile.screen").length;
    const faces = this._root.querySelectorAll(".tile:not([hidden])").length - screens;
    let left = height;
    if (screens > 0) {
      const screenHeight = (height * SCREEN_SHARE) / screens - GAP_PX;
      const screenWidth = Math.floor(Math.min(width, ((screenHeight - CAPTION_PX) * 16) / 9));
      this._root.style.setProperty("--screen-width", `${Math.max(screenWidth, 0)}px`);
      left -= screens * ((screenWidth * 9) / 16 + CAPTION_PX + GAP_PX);
    }
    this._root.style.setProperty("--tile-width", `${tileWidth(width, left, faces)}px`);
  }
}

/**
 * Picks the number of columns that gives the widest tiles without scrolling.
 * @param {number} width
 * @param {number} height
 * @param {number} count
 * @returns {number} px
 */
function tileWidth(width, height, count) {
  let best = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const byWidth = (width - GAP_PX * (columns - 1)) / columns;
    const byHeight = (((height - GAP_PX * (rows - 1)) / rows - CAPTION_PX) * 16) / 9;
    best = Math.max(best, Math.floor(Math.min(byWidth, byHeight)));
  }
  if (best >= TILE_MIN_PX) return best;
  // Too many for one view: scroll, in as many columns as stay legible.
  const columns = Math.max(1, Math.min(count, Math.floor((width + GAP_PX) / (TILE_MIN_PX + GAP_PX))));
  return Math.max(0, Math.floor((width - GAP_PX * (columns - 1)) / columns));
}
