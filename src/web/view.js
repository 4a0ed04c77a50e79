/**
 * What the Conference page shows: tiles, chat and the words for failures. It
 * knows streams and participants only as far as it plays and names them; the
 * conversation with the server is in conference.js.
 */
"use strict";

/** @typedef {InstanceType<typeof Ringhall.Participant>} Participant */
/** @typedef {InstanceType<typeof Ringhall.ParticipantStream>} ParticipantStream */
/** @typedef {InstanceType<typeof Ringhall.PlayedStream>} PlayedStream */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`No ${type.name} #${id} on this page`);
  return found;
}

/**
 * @template {HTMLElement} T
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
function part(parent, selector, type) {
  const found = parent.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`No ${type.name} ${selector} in this template`);
  return found;
}

/** Sets a button's words and leaves its icon alone. @param {HTMLElement} button @param {string} text */
function setLabel(button, text) {
  (button.querySelector("span") || button).textContent = text;
}

/** The stand-in for a missing picture: first letter, colour of the name. @param {HTMLElement} avatar @param {string} name */
function dressAvatar(avatar, name) {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + (letter.codePointAt(0) || 0)) % 360;
  avatar.textContent = Array.from(name.trim())[0] || "?";
  // Turned by a wide angle, so that "Guest 1" and "Guest 2" differ.
  avatar.style.setProperty("--hue", String((hue * 137) % 360));
}

/**
 * A stream's failure in words a person can act on; the server's own words stay in brackets.
 * @param {string | undefined} info
 * @param {string} [detail]
 * @returns {string}
 */
function explainFailure(info, detail) {
  if (!info) return "The stream failed, and nobody said why.";
  /** @type {[RegExp, string][]} */
  const words = [
    [/No common codecs|Transcoding required/, "This browser can't show the video format that is sent."],
    [/ICE|RTP activity/, "The media connection broke. A firewall may block UDP to the server."],
    [/DTLS/, "The media connection could not be secured."],
    [/name is already in use/, "Somebody already publishes under this name."],
    [/Restricted access/, "The server does not allow this."],
    [/not found|not ready/, "The stream is not there any more."],
    [/session disconnect|Session/, "The connection to the server was lost."],
    [/Local error/, "The browser could not do it."],
  ];
  const match = words.find(([pattern]) => pattern.test(info));
  const original = detail ? `${info}: ${detail}` : info;
  return match ? `${match[1]} (${original})` : original;
}

/** @param {any} error from getUserMedia or getDisplayMedia @returns {string} */
function explainMediaError(error) {
  const name = error instanceof DOMException ? error.name : "";
  /** @type {Map<string, string>} */
  const words = new Map([
    ["NotAllowedError", "The browser did not allow camera and microphone. Allow them for this page and join again."],
    ["NotFoundError", "No camera or microphone was found."],
    ["NotReadableError", "Camera or microphone is in use by another program."],
    ["OverconstrainedError", "The camera can't deliver a suitable picture."],
    ["SecurityError", "Browsers give camera and microphone only to pages served over https."],
  ]);
  return words.get(name) || `Camera and microphone failed: ${error instanceof Error ? error.message : error}`;
}

/** The text chat. Everything strangers write is put in as text, never as markup. */
class ChatLog {
  /** @param {HTMLElement} log */
  constructor(log) {
    /** @private */
    this._log = log;
  }

  /** @param {string} who @param {string} text */
  say(who, text) {
    this._append(who, text, "line");
  }

  /** News of the room itself. @param {string} who @param {string} text */
  note(who, text) {
    this._append(who, text, "line system");
  }

  clear() {
    this._log.replaceChildren();
  }

  /** @private @param {string} who @param {string} text @param {string} className */
  _append(who, text, className) {
    const log = this._log;
    const following = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const now = new Date();
    const time = document.createElement("time");
    time.dateTime = now.toISOString();
    time.textContent = `${now.getHours()}:${String(now.getMinutes()).padStart(2, "0")}`;
    const name = document.createElement("b");
    name.textContent = who;
    const line = document.createElement("p");
    line.className = className;
    line.append(time, " ", name, " - ", text);
    log.append(line);
    // Somebody who has scrolled back to read is not pulled away.
    if (following) log.scrollTop = log.scrollHeight;
  }
}

/** One other participant: pictures, name, state, and buttons for this viewer only. */
class ParticipantTile {
  /** @param {Participant} participant @param {Stage} stage */
  constructor(participant, stage) {
    const template = element("participantTemplate", HTMLTemplateElement);
    const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    this.root = part(copy, ".participant", HTMLElement);
    /** @private */
    this._participant = participant;
    /** @private */
    this._stage = stage;
    /** @private */
    this._display = part(this.root, ".display", HTMLElement);
    /** @private */
    this._audioBtn = part(this.root, ".audioBtn", HTMLButtonElement);
    /** @private */
    this._playBtn = part(this.root, ".playBtn", HTMLButtonElement);
    /** @private Plays by stream name. @type {Map<string, PlayedStream>} */
    this._plays = new Map();
    /** @private The viewer pressed Stop: news of streams must not start them again. */
    this._stopped = false;
    this._dress();
  }

  /** Plays whatever the participant publishes and does not play here yet. */
  playAll() {
    if (this._stopped) return;
    for (const stream of this._participant.getStreams()) {
      if (!this._plays.has(stream.streamName())) this._play(stream);
    }
  }

  /** The participant object of a rejoin replaces the earlier one. @param {Participant} participant */
  setParticipant(participant) {
    this._participant = participant;
  }

  /** Forgets trouble with streams that are no longer published. */
  streamsEnded() {
    if (this._participant.getStreams().length > 0) return;
    const { STOPPED } = Ringhall.STREAM_STATUS;
    this._setTrouble("");
    this._refresh(this.root.dataset.status === STOPPED ? STOPPED : "");
  }

  unmute() {
    for (const stream of this._plays.values()) stream.unmuteRemoteAudio();
    this._refreshAudio();
  }

  remove() {
    for (const stream of this._plays.values()) stream.stop();
    this.root.remove();
  }

  /** @private */
  _dress() {
    const name = this._participant.name();
    this.root.dataset.login = name;
    part(this.root, ".name", HTMLElement).textContent = name;
    part(this.root, ".name", HTMLElement).title = name;
    dressAvatar(part(this.root, ".avatar", HTMLElement), name);
    this._audioBtn.onclick = () => this._toggleAudio();
    this._playBtn.onclick = () => this._togglePlay();
    this._audioBtn.setAttribute("aria-label", `Mute ${name} for you`);
    this._playBtn.setAttribute("aria-label", `Stop watching ${name}`);
    this._refresh("");
  }

  /** @private @param {ParticipantStream} source */
  _play(source) {
    const name = source.streamName();
    const stream = source.play(this._display);
    this._plays.set(name, stream);
    this._setTrouble("");
    this._refresh(Ringhall.STREAM_STATUS.PENDING);
    stream
      .on(Ringhall.STREAM_STATUS.PLAYING, () => this._playing(stream))
      .on(Ringhall.STREAM_STATUS.STOPPED, () => this._ended(name, stream))
      .on(Ringhall.STREAM_STATUS.FAILED, () => {
        this._ended(name, stream);
        this._setTrouble(explainFailure(stream.getInfo(), stream.getErrorInfo()));
      })
      .on(Ringhall.STREAM_EVENT, (event) => this._noticed(event));
  }

  /** @private @param {PlayedStream} stream */
  _playing(stream) {
    const screen = stream.name().endsWith("-screenShare");
    const video = document.getElementById(stream.id());
    if (screen) this.root.classList.add("screen");
    if (screen && video) video.classList.add("screen");
    for (const [selector, state] of [[".micOff", stream.getAudioState()], [".camOff", stream.getVideoState()]]) {
      if (state && typeof state === "object" && !screen) part(this.root, selector, HTMLElement).hidden = !state.muted;
    }
    this._refresh(stream.status());
  }

  /** @private @param {string} name @param {PlayedStream} stream */
  _ended(name, stream) {
    if (this._plays.get(name) === stream) this._plays.delete(name);
    if (name.endsWith("-screenShare")) this.root.classList.remove("screen");
    this._refresh(this._plays.size > 0 ? Ringhall.STREAM_STATUS.PLAYING : stream.status());
  }

  /** @private @param {{ type: string }} event */
  _noticed({ type }) {
    const types = Ringhall.STREAM_EVENT_TYPE;
    const micOff = part(this.root, ".micOff", HTMLElement);
    const camOff = part(this.root, ".camOff", HTMLElement);
    if (type === types.AUDIO_MUTED) micOff.hidden = false;
    else if (type === types.AUDIO_UNMUTED) micOff.hidden = true;
    else if (type === types.VIDEO_MUTED) camOff.hidden = false;
    else if (type === types.VIDEO_UNMUTED) camOff.hidden = true;
    else if (type === types.UNMUTE_REQUIRED) this._stage.soundRefused();
    this.root.classList.toggle("dark", !camOff.hidden);
    this._refreshAudio();
  }

  /** @private @param {string} status */
  _refresh(status) {
    const state = part(this.root, ".state", HTMLElement);
    state.textContent = status || "no stream";
    this.root.dataset.status = status || "NONE";
    if (this._plays.size === 0) {
      part(this.root, ".micOff", HTMLElement).hidden = true;
      part(this.root, ".camOff", HTMLElement).hidden = true;
      this.root.classList.remove("dark");
    }
    const watching = this._plays.size > 0;
    this._playBtn.textContent = watching ? "Stop" : "Play";
    this._playBtn.setAttribute("aria-label", `${watching ? "Stop" : "Play"} ${this._participant.name()}`);
    this._playBtn.disabled = !watching && this._participant.getStreams().length === 0;
    this._refreshAudio();
    this._stage.layout();
  }

  /** @private */
  _refreshAudio() {
    const muted = this._isMuted();
    this._audioBtn.disabled = this._plays.size === 0;
    this._audioBtn.textContent = muted && this._plays.size > 0 ? "Unmute" : "Mute";
    this._audioBtn.setAttribute("aria-label", `${this._audioBtn.textContent} ${this._participant.name()} for you`);
  }

  /** @private */
  _isMuted() {
    return [...this._plays.values()].every((stream) => stream.isRemoteAudioMuted());
  }

  /** @private */
  _toggleAudio() {
    const mute = !this._isMuted();
    for (const stream of this._plays.values()) {
      if (mute) stream.muteRemoteAudio();
      else stream.unmuteRemoteAudio();
    }
    this._refreshAudio();
  }

  /** @private */
  _togglePlay() {
    this._stopped = this._plays.size > 0;
    if (this._stopped) for (const stream of this._plays.values()) stream.stop();
    else this.playAll();
  }

  /** @private @param {string} text */
  _setTrouble(text) {
    const trouble = part(this.root, ".trouble", HTMLElement);
    trouble.textContent = text;
    trouble.hidden = !text;
  }
}

/** All pictures, in a grid whose tiles are as large as the window allows. */
class Stage {
  /** @param {() => void} onSoundRefused called when the browser keeps somebody's sound off */
  constructor(onSoundRefused) {
    /** @private */
    this._root = element("stage", HTMLElement);
    /** @private */
    this._container = element("participants", HTMLElement);
    /** @private @type {Map<string, ParticipantTile>} */
    this._tiles = new Map();
    this.soundRefused = onSoundRefused;
    new ResizeObserver(() => this.layout()).observe(this._root);
  }

  /** Shows a participant, or takes a known one's new streams. @param {Participant} participant */
  show(participant) {
    let tile = this._tiles.get(participant.name());
    if (!tile) {
      tile = new ParticipantTile(participant, this);
      this._tiles.set(participant.name(), tile);
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
    const tile = this._tiles.get(participant.name());
    if (!tile) return;
    this._tiles.delete(participant.name());
    tile.remove();
    this.layout();
  }

  clear() {
    for (const tile of this._tiles.values()) tile.remove();
    this._tiles.clear();
    this.layout();
  }

  unmuteAll() {
    for (const tile of this._tiles.values()) tile.unmute();
  }

  /** Picks the number of columns that gives the widest tiles without scrolling. */
  layout() {
    const gap = 12;
    const captionHeight = 40;
    const tileWidthMin = 148;
    const width = this._root.clientWidth;
    const height = this._root.clientHeight;
    const count = this._root.querySelectorAll(".tile:not([hidden])").length;
    let best = { columns: 1, tileWidth: 0 };
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const byWidth = (width - gap * (columns - 1)) / columns;
      const byHeight = (((height - gap * (rows - 1)) / rows - captionHeight) * 16) / 9;
      const tileWidth = Math.floor(Math.min(byWidth, byHeight));
      if (tileWidth > best.tileWidth) best = { columns, tileWidth };
    }
    if (best.tileWidth < tileWidthMin) {
      // Too many for one view: scroll, in as many columns as stay legible.
      best.columns = Math.max(1, Math.min(count, Math.floor((width + gap) / (tileWidthMin + gap))));
      best.tileWidth = Math.floor((width - gap * (best.columns - 1)) / best.columns);
    }
    this._root.style.setProperty("--tile-width", `${Math.max(best.tileWidth, 0)}px`);
  }
}
