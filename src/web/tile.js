/** One other participant: pictures, name, state, and buttons for this viewer only. */

import { copyTemplate, dressAvatar, part } from "./dom.js";
import { SpeakingMark } from "./level.js";
import { QualityBadge } from "./quality.js";
import { explainStream, isPassing } from "./words.js";

/** @typedef {{ onLayout: () => void, onSoundRefused: () => void, speaker: () => string,
 *   onNews: (who: string, text: string) => void }} TileOwner */

/** Pauses before a stream whose media broke is asked for again, in ms. */
const RETRY_PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000];

/** What a play may lack. */
const LACKING = ["video", "audio"];

/** @param {string} name of a stream @returns {boolean} */
function isScreen(name) {
  return name.endsWith("-screenShare");
}

export class ParticipantTile {
  /** @param {Participant} participant @param {TileOwner} owner */
  constructor(participant, owner) {
    this.root = copyTemplate("participantTemplate");
    /** @private */
    this._participant = participant;
    /** @private */
    this._owner = owner;
    /** @private */
    this._display = part(this.root, ".display", HTMLElement);
    /** @private */
    this._shared = part(this.root, ".shared", HTMLElement);
    /** @private */
    this._audioBtn = part(this.root, ".audioBtn", HTMLButtonElement);
    /** @private */
    this._playBtn = part(this.root, ".playBtn", HTMLButtonElement);
    /** @private */
    this._micOff = part(this.root, ".micOff", HTMLElement);
    /** @private */
    this._camOff = part(this.root, ".camOff", HTMLElement);
    /** @private */
    this._quality = new QualityBadge(
      part(this.root, ".quality", HTMLButtonElement),
      () => `Connection of ${this._participant.name()}`,
    );
    /** @private */
    this._speaking = new SpeakingMark(this.root);
    /** @private Plays by stream name. @type {Map<string, PlayedStream>} */
    this._plays = new Map();
    /** @private Ends the watching of a play's level, by stream name. @type {Map<string, () => void>} */
    this._levels = new Map();
    /** @private Why the last play failed. */
    this._failure = "";
    /** @private What a play can't show or sound, by kind and stream name. @type {Map<string, string>} */
    this._lacks = new Map();
    /** @private Of these the chat has been told; a play begun anew repeats them. @type {Set<string>} */
    this._told = new Set();
    /** @private The viewer pressed Stop: news of streams must not start them again. */
    this._stopped = false;
    /** @private Broken plays asked for again since the last that worked. */
    this._retries = 0;
    /** @private */
    this._retryTimer = 0;
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

  /** @param {string} id of a speaker, empty: the browser's choice */
  setSpeaker(id) {
    for (const stream of this._plays.values()) {
      stream.setSpeaker(id).catch((error) => console.warn("The speaker can't be used:", error));
    }
  }

  remove() {
    window.clearTimeout(this._retryTimer);
    for (const [name, stream] of this._plays) {
      this._unwatch(name);
      stream.stop();
    }
    this._quality.clear();
    this.root.remove();
  }

  /** @private */
  _dress() {
    const name = this._participant.name();
    this.root.dataset.login = name;
    const label = part(this.root, ".name", HTMLElement);
    label.textContent = name;
    label.title = name;
    dressAvatar(part(this.root, ".avatar", HTMLElement), name);
    this._audioBtn.onclick = () => this._toggleAudio();
    this._playBtn.onclick = () => this._togglePlay();
    this._refresh("");
  }

  /** @private @param {ParticipantStream} source */
  _play(source) {
    const name = source.streamName();
    const stream = source.play(isScreen(name) ? this._shared : this._display);
    this._plays.set(name, stream);
    this._setTrouble("");
    this._refresh(Ringhall.STREAM_STATUS.PENDING);
    stream
      .on(Ringhall.STREAM_STATUS.PLAYING, () => this._playing(name, stream))
      .on(Ringhall.STREAM_STATUS.STOPPED, () => this._ended(name, stream))
      .on(Ringhall.STREAM_STATUS.FAILED, () => this._failed(name, stream))
      .on(Ringhall.STREAM_EVENT, (event) => this._noticed(name, event));
  }

  /** @private @param {string} name @param {PlayedStream} stream */
  _playing(name, stream) {
    if (this._plays.get(name) !== stream) return;
    this._retries = 0;
    const speaker = this._owner.speaker();
    if (speaker) stream.setSpeaker(speaker).catch((error) => console.warn("The speaker can't be used:", error));
    if (isScreen(name)) this.root.classList.add("screen");
    else this._watchFace(name, stream);
    this._watchQuality();
    this._refresh(stream.status());
  }

  /** @private @param {string} name @param {PlayedStream} stream */
  _watchFace(name, stream) {
    for (const [badge, state] of /** @type {[HTMLElement, any][]} */ ([
      [this._micOff, stream.getAudioState()],
      [this._camOff, stream.getVideoState()],
    ])) {
      if (state && typeof state === "object") badge.hidden = !state.muted;
    }
    this._refreshTrouble();
    this._unwatch(name);
    this._levels.set(name, stream.watchLevel((level) => this._speaking.show(this._micOff.hidden ? level : 0)));
  }

  /** Of the face, or, without one, of the screen. @private */
  _watchQuality() {
    const names = [...this._plays.keys()];
    const watched = names.find((name) => !isScreen(name)) || names[0];
    const stream = watched === undefined ? undefined : this._plays.get(watched);
    if (stream && stream.status() === Ringhall.STREAM_STATUS.PLAYING) this._quality.watch(stream);
    else this._quality.clear();
  }

  /** @private @param {string} name */
  _unwatch(name) {
    const stop = this._levels.get(name);
    if (!stop) return;
    stop();
    this._levels.delete(name);
    this._speaking.clear();
  }

  /** @private @param {string} name @param {PlayedStream} stream */
  _ended(name, stream) {
    if (this._plays.get(name) === stream) {
      this._plays.delete(name);
      this._unwatch(name);
      for (const kind of LACKING) this._lacks.delete(`${kind} ${name}`);
      this._refreshTrouble();
      if (isScreen(name)) this.root.classList.remove("screen");
      this._watchQuality();
    }
    this._refresh(this._plays.size > 0 ? Ringhall.STREAM_STATUS.PLAYING : stream.status());
  }

  /** @private @param {string} name @param {PlayedStream} stream */
  _failed(name, stream) {
    this._ended(name, stream);
    if (!this.root.isConnected) return;
    const pause = RETRY_PAUSES_MS[this._retries];
    const info = stream.getInfo();
    if (pause !== undefined && isPassing(info)) {
      this._retries += 1;
      window.clearTimeout(this._retryTimer);
      this._retryTimer = window.setTimeout(() => this.playAll(), pause);
      return;
    }
    this._setTrouble(explainStream(info, stream.getErrorInfo()));
  }

  /** @private @param {string} name @param {{ type: string, payload?: any }} event */
  _noticed(name, { type, payload }) {
    const types = Ringhall.STREAM_EVENT_TYPE;
    if (type === types.UNMUTE_REQUIRED) this._owner.onSoundRefused();
    if (!isScreen(name)) {
      if (type === types.AUDIO_MUTED) this._micOff.hidden = false;
      else if (type === types.AUDIO_UNMUTED) this._micOff.hidden = true;
      else if (type === types.VIDEO_MUTED) this._camOff.hidden = false;
      else if (type === types.VIDEO_UNMUTED) this._camOff.hidden = true;
    }
    const info = String((payload && payload.info) || "");
    if (type === types.VIDEO_UNAVAILABLE) this._lack("video", name, info);
    else if (type === types.VIDEO_AVAILABLE) this._unlack("video", name, info);
    else if (type === types.AUDIO_UNAVAILABLE) this._lack("audio", name, info);
    this._refreshTrouble();
    this._refreshAudio();
  }

  /** @private @param {string} kind @param {string} name @param {string} info */
  _lack(kind, name, info) {
    this._lacks.set(`${kind} ${name}`, info);
    if (this._told.has(info)) return;
    this._told.add(info);
    this._owner.onNews(this._participant.name(), info);
  }

  /** @private @param {string} kind @param {string} name @param {string} info */
  _unlack(kind, name, info) {
    const lack = this._lacks.get(`${kind} ${name}`);
    if (lack === undefined) return;
    this._lacks.delete(`${kind} ${name}`);
    // Should it come again, it is news again.
    this._told.delete(lack);
    this._owner.onNews(this._participant.name(), info);
  }

  /** @private @param {string} status */
  _refresh(status) {
    const state = part(this.root, ".state", HTMLElement);
    state.textContent = status || "no stream";
    this.root.dataset.status = status || "NONE";
    if (this._plays.size === 0) {
      this._micOff.hidden = true;
      this._camOff.hidden = true;
      this._refreshTrouble();
    }
    const watching = this._plays.size > 0;
    this._playBtn.textContent = watching ? "Stop" : "Play";
    this._playBtn.setAttribute("aria-label", `${watching ? "Stop" : "Play"} ${this._participant.name()}`);
    this._playBtn.disabled = !watching && this._participant.getStreams().length === 0;
    this._refreshAudio();
    this._owner.onLayout();
  }

  /** @private */
  _refreshAudio() {
    const audible = [...this._plays.keys()].some((name) => !isScreen(name));
    this._audioBtn.disabled = !audible;
    this._audioBtn.textContent = audible && this._isMuted() ? "Unmute" : "Mute";
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

  /** @private @param {string} text why a play failed; empty: it did not */
  _setTrouble(text) {
    this._failure = text;
    this._refreshTrouble();
  }

  /** The avatar takes the place of a picture that does not come. @private */
  _refreshTrouble() {
    const text = this._failure || [...this._lacks.values()].join(". ");
    const trouble = part(this.root, ".trouble", HTMLElement);
    if (trouble.textContent !== text) trouble.textContent = text;
    trouble.hidden = !text;
    const isDark = [...this._lacks.keys()].some((key) => key.startsWith("video "));
    this.root.classList.toggle("dark", isDark || !this._camOff.hidden);
  }
}
