/**
 * A visit to a room: out, joining, in, lost and back again. It owns the session
 * and the room; camera, screen, pictures and chat are told what becomes of them.
 */

import { thisApplication } from "./applications.js";
import { Camera } from "./camera.js";
import { Chat } from "./chat.js";
import { Devices } from "./devices.js";
import { Door } from "./door.js";
import { button, dressAvatar, element, setStatus } from "./dom.js";
import { Invite } from "./invite.js";
import { Keyboard, Panel } from "./keyboard.js";
import { Rejoin } from "./rejoin.js";
import { ScreenShare } from "./screen.js";
import { Stage } from "./stage.js";
import { keepToken } from "./token.js";
import { explainEnd, explainMedia, explainRefusal, isPassingRefusal } from "./words.js";

/** @typedef {import("./door.js").Presence} Presence */

/** We ask every 2 s; 10 s of silence is a lost connection, a stall of a few seconds is not. */
const LIVENESS = { pingInterval: 2_000, receiveProbes: 5, probesInterval: 2_000 };

/** A first attempt may go over a slow network. */
const OPENING_TIMEOUT_MS = 15_000;

/** So long the server has to answer a Leave. */
const LEAVE_TIMEOUT_MS = 3_000;

class Visit {
  constructor() {
    /** @private */
    this._application = thisApplication();
    const asked = new URLSearchParams(location.search).get("roomName");
    /** @private */
    this._roomName = asked || `room-${Ringhall.randomHex(6)}`;
    /** @private */
    this._token = keepToken(this._roomName);
    /** @private @type {RoomSession | null} */
    this._session = null;
    /** @private @type {Room | null} */
    this._room = null;
    /** @private The person has pressed Leave: nothing brings the page back into the room. */
    this._leaving = false;
    /** @private @type {Presence} */
    this._presence = "both";
    /** @private Everything in the room is to be recorded. */
    this._record = false;
    /** @private */
    this._door = new Door({
      onJoin: (presence) => this._join(presence),
      onLeave: () => this._leave(),
      onPreview: () => this._preview(),
    });
    /** @private */
    this._devices = new Devices();
    const onTrouble = (/** @type {string} */ text) => this._door.complain(text);
    const onNotice = (/** @type {string} */ text) => this._notice(text);
    const onFile = (/** @type {string} */ called, /** @type {string} */ name) => this._offer(called, name);
    /** @private */
    this._camera = new Camera(this._application.video, this._devices, {
      onTrouble,
      onNotice,
      onFile,
    });
    /** @private */
    this._stage = new Stage(this._application, {
      onSoundRefused: () => (element("soundNotice", HTMLElement).hidden = false),
      speaker: () => this._devices.chosen("speaker"),
      onNews: (who, text) => this._chat.note(who, text),
    });
    /** @private */
    this._screen = new ScreenShare({
      offered: this._application.sharing,
      onLayout: () => this._stage.layout(),
      onTrouble,
      onNotice,
      onFile,
    });
    /** @private */
    this._chat = new Chat();
    /** @private */
    this._invite = new Invite();
    /** @private */
    this._rejoin = new Rejoin({ attempt: () => this._connect(), giveUp: () => this._giveUp() });
    this._prepare(asked !== null);
    this._prepareKeys();
    this._previewIfAllowed();
  }

  /** @private @param {boolean} invited */
  _prepare(invited) {
    const { title, purpose, layout } = this._application;
    document.title = `${title} · Ringhall`;
    document.body.dataset.layout = layout;
    element("applicationName", HTMLElement).textContent = title;
    element("joinTitle", HTMLElement).textContent = title;
    element("purpose", HTMLElement).textContent = purpose;
    element("roomHint", HTMLElement).textContent = invited
      ? `You are invited to ${this._roomName}.`
      : "A new room is made for you; the link to invite others comes next.";
    if (invited) this._door.putRecordingAside();
    button("retryBtn").onclick = () => this._rejoin.hurry();
    button("soundBtn").onclick = () => this._unmuteAll();
    button("noticeCloseBtn").onclick = () => this._door.notice("");
    const vacantCopy = button("vacantCopyBtn");
    vacantCopy.onclick = () => this._invite.copy(vacantCopy);
    this._devices.onChange = (kind, id) => {
      if (kind === "speaker") this._stage.setSpeaker(id);
      else this._camera.choose(kind, id);
    };
    try {
      Ringhall.init();
    } catch (error) {
      this._door.complain("This browser can't take part: it has no WebRTC.");
      button("joinBtn").disabled = true;
    }
  }

  /** @private */
  _prepareKeys() {
    const help = new Panel("help");
    new Panel("settings");
    new Keyboard({
      m: () => this._camera.toggle("audio"),
      v: () => this._camera.toggle("video"),
      s: () => this._room && this._application.sharing && this._screen.toggle(),
      c: () => this._room && this._chat.focus(),
      i: () => this._room && this._invite.copy(button("copyBtn")),
      "?": () => help.open(),
    });
  }

  /** Where the camera is allowed already, its picture is shown without asking. @private */
  async _previewIfAllowed() {
    try {
      const names = /** @type {PermissionName[]} */ (["camera", "microphone"]);
      const states = await Promise.all(names.map((name) => navigator.permissions.query({ name })));
      if (states.every(({ state }) => state === "granted") && this._door.state() === "out") await this._preview();
    } catch {
      // Not every browser tells: the button is there.
    }
  }

  /** @private */
  async _preview() {
    this._door.complain("");
    try {
      await this._camera.open("both");
    } catch (error) {
      this._door.complain(explainMedia(error));
      this._door.offerOthers(true);
    }
  }

  /** @private @param {Presence} presence */
  async _join(presence) {
    if (this._door.state() !== "out") return;
    this._door.complain("");
    this._door.notice("");
    this._door.offerOthers(false);
    this._door.setState("joining");
    this._presence = presence;
    this._record = this._door.wantsRecording();
    if (await this._openCamera()) this._connect();
  }

  /** @private @returns {Promise<boolean>} whether there is what the person wants to send */
  async _openCamera() {
    if (this._presence === "none") {
      this._camera.release();
      return true;
    }
    try {
      await this._camera.open(this._presence);
      return true;
    } catch (error) {
      this._door.setState("out");
      this._door.complain(explainMedia(error));
      this._door.offerOthers(true);
      return false;
    }
  }

  /** A session still there under the same login is used again. @private */
  _connect() {
    const { ESTABLISHED, DISCONNECTED, FAILED } = Ringhall.SESSION_STATUS;
    const urlServer = this._door.url.value.trim();
    const username = this._door.name();
    const current = this._session;
    if (current && current.status() === ESTABLISHED) {
      if (current.getServerUrl() === urlServer && current.username() === username) return this._enter(current);
      this._session = null;
      current.disconnect();
    }
    const timeout = this._rejoin.isRunning() ? this._rejoin.timeoutMs() : OPENING_TIMEOUT_MS;
    const session = Ringhall.connect({ urlServer, username, token: this._token, timeout, ...LIVENESS });
    this._session = session;
    session
      .on(ESTABLISHED, () => {
        setStatus("status", session.status());
        this._enter(session);
      })
      .on(DISCONNECTED, () => this._sessionEnded(session))
      .on(FAILED, () => this._sessionEnded(session));
  }

  /** @private @param {RoomSession} session */
  _enter(session) {
    const { STATE, JOINED, LEFT, PUBLISHED, UNPUBLISHED, MESSAGE, FAILED } = Ringhall.ROOM_EVENT;
    const room = session.join({ name: this._roomName, record: this._record || undefined });
    const here = () => this._room === room;
    room
      .on(STATE, () => this._entered(room))
      .on(JOINED, (participant) => {
        if (!here()) return;
        this._stage.show(participant);
        this._chat.note(participant.name(), "joined");
      })
      .on(LEFT, (participant) => {
        if (!here()) return;
        this._stage.remove(participant);
        this._chat.note(participant.name(), "left");
      })
      .on(PUBLISHED, (participant) => here() && this._stage.show(participant))
      .on(UNPUBLISHED, (participant) => here() && this._stage.streamsEnded(participant))
      .on(MESSAGE, ({ from, text }) => here() && this._chat.say(from.name(), text))
      .on(FAILED, (_, info) => this._refused(session, info));
  }

  /** @private @param {Room} room */
  _entered(room) {
    const participants = room.getParticipants();
    if (participants.length >= this._application.seats) {
      const full = () => this._turnAway("The room is full.");
      room.leave().then(full, full);
      return;
    }
    this._rejoin.stop();
    this._room = room;
    this._showRoom(room);
    for (const participant of participants) this._stage.show(participant);
    const names = participants.map((participant) => participant.name()).join(",");
    this._chat.note("chat", names ? `participants: ${names}` : "room is empty");
    this._screen.setRoom(room);
    if (this._presence === "none") this._camera.offer(room);
    else this._camera.publish(room);
  }

  /** @private @param {Room} room */
  _showRoom(room) {
    const login = this._door.name();
    element("localName", HTMLElement).textContent = login;
    dressAvatar(element("localAvatar", HTMLElement), login);
    element("roomName", HTMLElement).textContent = room.name();
    document.title = `${room.name()} · ${this._application.title}`;
    this._door.complain("");
    this._door.setState("in");
    this._invite.setRoom(room.name());
    this._chat.setRoom(room, login);
    this._stage.layout();
  }

  /** The server would not let us in. @private @param {RoomSession} session @param {string | undefined} info */
  _refused(session, info) {
    if (session !== this._session) return;
    // Our own earlier session may still sit in the room, until the server misses it.
    if (this._rejoin.isRunning() && isPassingRefusal(info)) {
      this._session = null;
      session.disconnect();
      this._rejoin.schedule();
      return;
    }
    this._turnAway(explainRefusal(info));
  }

  /** At the door, with the reason. @private @param {string} text */
  _turnAway(text) {
    const session = this._session;
    this._session = null;
    if (session) session.disconnect();
    setStatus("status", Ringhall.SESSION_STATUS.DISCONNECTED);
    this._outside();
    this._door.complain(text);
  }

  /** @private */
  _leave() {
    const room = this._room;
    if (!room) {
      // Gone already, and looked for: now no longer.
      const session = this._session;
      this._session = null;
      if (session) session.disconnect();
      return this._outside();
    }
    button("joinBtn").disabled = true;
    this._leaving = true;
    const left = () => this._room === room && this._outside();
    room.leave().then(left, left);
    // A server that does not answer keeps nobody.
    window.setTimeout(() => this._room === room && this._turnAway(""), LEAVE_TIMEOUT_MS);
    return undefined;
  }

  /** Back to the door. @private */
  _outside() {
    this._rejoin.stop();
    this._leaving = false;
    this._depart(false);
    document.title = `${this._application.title} · Ringhall`;
    this._invite.setRoom(null);
    this._door.setState("out");
  }

  /** Whatever the room gave is gone. @private @param {boolean} returning */
  _depart(returning) {
    this._room = null;
    this._stage.clear();
    this._screen.setRoom(null);
    this._camera.close(returning);
    this._chat.setRoom(null, "");
    element("soundNotice", HTMLElement).hidden = true;
  }

  /**
   * Without a reason from the server the connection was lost, and is sought again;
   * with one, the person decides.
   * @private
   * @param {RoomSession} session
   */
  _sessionEnded(session) {
    if (session !== this._session) return;
    const wasInside = this._room !== null;
    const lost = session.status() === Ringhall.SESSION_STATUS.FAILED || !session.getInfo();
    this._session = null;
    setStatus("status", session.status());
    if (this._leaving) {
      this._outside();
    } else if (lost && this._rejoin.isRunning()) {
      this._rejoin.schedule();
    } else if (lost && wasInside) {
      this._depart(true);
      this._door.setState("lost");
      this._chat.note("chat", "the connection is lost, trying to come back");
      this._rejoin.schedule();
    } else {
      this._outside();
      this._door.complain(explainEnd(session.getInfo()));
    }
  }

  /** @private */
  _giveUp() {
    this._outside();
    this._door.complain("The connection is lost and the server can't be reached. Join again when it is back.");
  }

  /** What a person should not overlook, and may want to read again later. @private @param {string} text */
  _notice(text) {
    this._door.notice(text);
    this._chat.note("chat", text);
  }

  /** In the chat, and at the door, where there is none. @private @param {string} called @param {string} name */
  _offer(called, name) {
    this._chat.offer(called, name);
    this._door.offer(called, name);
  }

  /** @private */
  _unmuteAll() {
    this._stage.unmuteAll();
    element("soundNotice", HTMLElement).hidden = true;
  }
}

new Visit();
