/**
 * The Conference page: login, camera, room, chat and invitation over Ringhall's
 * client library. It owns the course of a visit (out, joining, in, lost) and
 * leaves drawing to view.js and the protocol to ringhall.js.
 */
"use strict";

/** @typedef {InstanceType<typeof Ringhall.RoomSession>} RoomSession */
/** @typedef {InstanceType<typeof Ringhall.Room>} Room */
/** @typedef {InstanceType<typeof Ringhall.PublishedStream>} PublishedStream */

/** Camera of a face among several: sharp enough full-window, light enough times a roomful. */
const CAMERA = {
  audio: true,
  video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 25 }, maxBitrate: 900 },
};

const SCREEN = { audio: false, video: { type: "screen", width: 1280, height: 720, frameRate: 10 } };

/** Server and we look for each other every 5 s; 20 s of silence is a lost connection. */
const LIVENESS = { timeout: 15_000, pingInterval: 5_000, receiveProbes: 4, probesInterval: 5_000 };

/** Pauses before attempts to rejoin after a lost connection, in seconds: about two minutes in all. */
const REJOIN_PAUSES_S = [1, 2, 4, 8, 15, 30, 60];

/** @param {string} name @returns {string | null} */
function queryParameter(name) {
  return new URLSearchParams(location.search).get(name);
}

/** Own camera: publishing, mute and stop buttons. */
class LocalCamera {
  constructor() {
    /** @private */
    this._display = element("localDisplay", HTMLElement);
    /** @private */
    this._audioToggle = element("localAudioToggle", HTMLButtonElement);
    /** @private */
    this._videoToggle = element("localVideoToggle", HTMLButtonElement);
    /** @private */
    this._stopBtn = element("localStopBtn", HTMLButtonElement);
    /** @private @type {PublishedStream | null} */
    this._stream = null;
    /** @private @type {Room | null} */
    this._room = null;
    /** @private What the person wants, whatever becomes of streams. */
    this._muted = { audio: false, video: false };
    /** @private A lost connection keeps the camera for the rejoin; every other end closes it. */
    this._keep = false;
    this._audioToggle.onclick = () => this._toggle("audio");
    this._videoToggle.onclick = () => this._toggle("video");
    this._stopBtn.onclick = () => this._toggleStream();
    /** Called with words when publishing fails. @type {(text: string) => void} */
    this.onTrouble = () => {};
  }

  /** Asks for camera and microphone and shows the picture. */
  async open() {
    await Ringhall.getMediaAccess(CAMERA, this._display);
    this._applyMute();
    this._keep = false;
  }

  /** @param {Room} room */
  publish(room) {
    this._room = room;
    this._stopBtn.disabled = true;
    const { PUBLISHING, UNPUBLISHED, FAILED } = Ringhall.STREAM_STATUS;
    this._stream = room
      .publish({ display: this._display, constraints: CAMERA, record: false, receiveVideo: false, receiveAudio: false })
      .on(PUBLISHING, (stream) => this._published(stream))
      .on(UNPUBLISHED, (stream) => this._ended(stream))
      .on(FAILED, (stream) => {
        this._ended(stream);
        if (!isSessionLost(stream)) {
          this.onTrouble(`Your camera: ${explainFailure(stream.getInfo(), stream.getErrorInfo())}`);
        }
      });
    setStatus("localStatus", this._stream.status());
  }

  /** In the room without a camera: the way to start one stays open. @param {Room} room */
  offer(room) {
    this._room = room;
    this._ended(null);
  }

  /** The connection is lost and will be sought again. */
  keep() {
    this._keep = true;
  }

  /** Out of the room. */
  close() {
    const ending = this._stream;
    this._room = null;
    this._stream = null;
    if (ending) {
      // Its end is only shown: camera and buttons may serve the next visit by then.
      ending.on(Ringhall.STREAM_STATUS.UNPUBLISHED, () => {
        if (!this._stream) setStatus("localStatus", ending.status());
      });
    }
    this._refresh();
    if (!this._keep) this.release();
  }

  release() {
    this._keep = false;
    Ringhall.releaseLocalMedia(this._display);
  }

  /** @private @param {PublishedStream} stream */
  _published(stream) {
    setStatus("localStatus", stream.status());
    if (this._muted.audio) stream.muteAudio();
    if (this._muted.video) stream.muteVideo();
    this._refresh();
  }

  /** @private @param {PublishedStream | null} stream */
  _ended(stream) {
    if (stream !== this._stream) return;
    this._stream = null;
    if (stream) setStatus("localStatus", stream.status());
    // With the session gone, whether the camera stays open for a rejoin is decided by close().
    if (!stream || !isSessionLost(stream)) Ringhall.releaseLocalMedia(this._display);
    this._refresh();
  }

  /** @private @param {"audio" | "video"} kind */
  _toggle(kind) {
    this._muted[kind] = !this._muted[kind];
    const stream = this._stream;
    if (stream && kind === "audio") this._muted.audio ? stream.muteAudio() : stream.unmuteAudio();
    if (stream && kind === "video") this._muted.video ? stream.muteVideo() : stream.unmuteVideo();
    this._refresh();
  }

  /** @private */
  async _toggleStream() {
    const room = this._room;
    this._stopBtn.disabled = true;
    if (this._stream) return this._stream.stop();
    if (!room) return undefined;
    try {
      await this.open();
    } catch (error) {
      this.onTrouble(explainMediaError(error));
      return this._refresh();
    }
    // Left while the browser was asking.
    return this._room === room ? this.publish(room) : this.release();
  }

  /** Before anything is sent: nobody is unmuted by a rejoin. @private */
  _applyMute() {
    const video = this._display.querySelector("video");
    const stream = video && /** @type {MediaStream | null} */ (video.srcObject);
    if (!stream) return;
    for (const track of stream.getAudioTracks()) track.enabled = !this._muted.audio;
    for (const track of stream.getVideoTracks()) track.enabled = !this._muted.video;
  }

  /** @private */
  _refresh() {
    const publishing = this._stream !== null && this._stream.status() === Ringhall.STREAM_STATUS.PUBLISHING;
    setLabel(this._audioToggle, this._muted.audio ? "Unmute A" : "Mute A");
    setLabel(this._videoToggle, this._muted.video ? "Unmute V" : "Mute V");
    setLabel(this._stopBtn, this._stream ? "Stop" : "Publish");
    this._audioToggle.toggleAttribute("data-off", this._muted.audio);
    this._videoToggle.toggleAttribute("data-off", this._muted.video);
    element("local", HTMLElement).classList.toggle("dark", this._muted.video);
    this._stopBtn.toggleAttribute("data-off", !this._stream);
    this._audioToggle.disabled = !publishing;
    this._videoToggle.disabled = !publishing;
    this._stopBtn.disabled = this._room === null || (this._stream !== null && !publishing);
  }
}

/** @param {PublishedStream} stream @returns {boolean} whether it ended with the session, not by itself */
function isSessionLost(stream) {
  return stream.getInfo() === Ringhall.constants.STREAM_STATUS_INFO.STOPPED_BY_SESSION_DISCONNECT;
}

/** The second stream: the own screen. */
class ScreenShare {
  /** @param {Stage} stage */
  constructor(stage) {
    /** @private */
    this._stage = stage;
    /** @private */
    this._button = element("shareBtn", HTMLButtonElement);
    /** @private */
    this._tile = element("sharing", HTMLElement);
    /** @private @type {Room | null} */
    this._room = null;
    /** @private @type {PublishedStream | null} */
    this._stream = null;
    this._button.hidden = !navigator.mediaDevices || !navigator.mediaDevices.getDisplayMedia;
    this._button.onclick = () => (this._stream ? this._stream.stop() : this._start());
    /** Called with words when sharing fails. @type {(text: string) => void} */
    this.onTrouble = () => {};
  }

  /** @param {Room | null} room where to share; null: out of the room */
  setRoom(room) {
    this._room = room;
    this._button.disabled = room === null;
  }

  /** @private */
  _start() {
    if (!this._room) return;
    const { PUBLISHING, UNPUBLISHED, FAILED } = Ringhall.STREAM_STATUS;
    const display = element("preview", HTMLElement);
    this._stream = this._room
      .publish({ name: "screenShare", display, constraints: SCREEN, cacheLocalResources: false })
      .on(PUBLISHING, () => this._show(true))
      .on(UNPUBLISHED, () => this._show(false))
      .on(FAILED, (stream) => {
        this._show(false);
        const given = stream.getErrorInfo() || "";
        // Closing the browser's own dialog is an answer, not a failure.
        if (isSessionLost(stream) || /denied|not allowed/i.test(given)) return;
        this.onTrouble(`Your screen: ${explainFailure(stream.getInfo(), given)}`);
      });
  }

  /** @private @param {boolean} shared */
  _show(shared) {
    if (!shared) this._stream = null;
    this._tile.hidden = !shared;
    setLabel(this._button, shared ? "Unshare" : "Share");
    this._button.toggleAttribute("data-on", shared);
    this._stage.layout();
    const video = this._tile.querySelector("video");
    const stream = video && /** @type {MediaStream | null} */ (video.srcObject);
    const track = stream && stream.getVideoTracks()[0];
    // The browser's own "Stop sharing" ends the track without telling the page otherwise.
    if (track) track.onended = () => this._stream && this._stream.stop();
  }
}

/** @param {string} id @param {string} status */
function setStatus(id, status) {
  const field = element(id, HTMLElement);
  field.textContent = status;
  field.dataset.status = status;
}

/** A visit to the page. */
class Conference {
  constructor() {
    /** @private */
    this._joinBtn = element("joinBtn", HTMLButtonElement);
    /** @private */
    this._login = element("login", HTMLInputElement);
    /** @private */
    this._url = element("url", HTMLInputElement);
    /** @private */
    this._chat = new ChatLog(element("chat", HTMLElement));
    /** @private */
    this._stage = new Stage(() => (element("soundNotice", HTMLElement).hidden = false));
    /** @private */
    this._camera = new LocalCamera();
    /** @private */
    this._screen = new ScreenShare(this._stage);
    /** @private @type {RoomSession | null} */
    this._session = null;
    /** @private @type {Room | null} */
    this._room = null;
    /** @private */
    this._roomName = queryParameter("roomName") || `room-${Ringhall.randomHex(6)}`;
    /** @private False after "Join without camera". */
    this._withCamera = true;
    /** @private Attempts to rejoin since the connection was lost; null: not lost. @type {number | null} */
    this._rejoins = null;
    /** @private */
    this._rejoinTimer = 0;
    this._prepare();
  }

  /** @private */
  _prepare() {
    this._url.value = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
    element("roomHint", HTMLElement).textContent = queryParameter("roomName")
      ? `You are invited to ${this._roomName}.`
      : "A new room is made for you; the link to invite others comes next.";
    element("joinForm", HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      this._join(true);
    };
    this._joinBtn.onclick = (event) => {
      if (!this._room) return;
      event.preventDefault();
      this._leave();
    };
    element("joinWithoutBtn", HTMLButtonElement).onclick = () => this._join(false);
    element("cancelRejoinBtn", HTMLButtonElement).onclick = () => this._giveUpRejoin("");
    element("soundBtn", HTMLButtonElement).onclick = () => this._unmuteAll();
    element("copyBtn", HTMLButtonElement).onclick = () => this._copyInvite();
    this._prepareChat();
    this._camera.onTrouble = (text) => this._complain(text);
    this._screen.onTrouble = (text) => this._complain(text);
    this._setState("out");
    try {
      Ringhall.init();
    } catch (error) {
      this._complain("This browser can't take part: it has no WebRTC.");
      this._joinBtn.disabled = true;
    }
  }

  /** @private */
  _prepareChat() {
    const form = element("messageForm", HTMLFormElement);
    const message = element("message", HTMLTextAreaElement);
    form.onsubmit = (event) => {
      event.preventDefault();
      this._say(message.value.trim());
      message.value = "";
    };
    message.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    };
  }

  /** @private @param {"out" | "joining" | "in"} state */
  _setState(state) {
    const inside = state === "in";
    const focused = document.activeElement === this._joinBtn;
    document.body.dataset.state = state;
    element(inside ? "leaveSlot" : "joinSlot", HTMLElement).append(this._joinBtn);
    if (focused) this._joinBtn.focus();
    this._joinBtn.textContent = inside ? "Leave" : "Join";
    this._joinBtn.type = inside ? "button" : "submit";
    this._joinBtn.disabled = state === "joining";
    for (const id of ["login", "url"]) {
      element(id, HTMLInputElement).disabled = state !== "out";
    }
    element("sendMessageBtn", HTMLButtonElement).disabled = !inside;
    element("message", HTMLTextAreaElement).disabled = !inside;
    element("copyBtn", HTMLButtonElement).disabled = !inside;
    this._stage.layout();
  }

  /** @private @param {string} text */
  _complain(text) {
    element("failedInfo", HTMLElement).textContent = text;
  }

  /** @private @param {boolean} withCamera */
  async _join(withCamera) {
    if (document.body.dataset.state !== "out") return;
    window.clearTimeout(this._rejoinTimer);
    const login = this._login.value.trim();
    this._login.toggleAttribute("aria-invalid", !login);
    if (!login || !this._url.value.trim()) {
      this._complain(login ? "The server's address is missing." : "Please say who you are.");
      (login ? this._url : this._login).focus();
      return;
    }
    this._complain("");
    element("joinWithoutBtn", HTMLButtonElement).hidden = true;
    element("cancelRejoinBtn", HTMLButtonElement).hidden = true;
    this._setState("joining");
    this._withCamera = withCamera;
    if (withCamera && !(await this._openCamera())) return;
    this._connect(login);
  }

  /** @private @returns {Promise<boolean>} */
  async _openCamera() {
    try {
      await this._camera.open();
      return true;
    } catch (error) {
      this._rejoins = null;
      this._setState("out");
      this._complain(explainMediaError(error));
      element("joinWithoutBtn", HTMLButtonElement).hidden = false;
      return false;
    }
  }

  /** A session still there under the same login is used again. @private @param {string} login */
  _connect(login) {
    const { ESTABLISHED, DISCONNECTED, FAILED } = Ringhall.SESSION_STATUS;
    const urlServer = this._url.value.trim();
    const current = this._session;
    if (current && current.status() === ESTABLISHED) {
      if (current.getServerUrl() === urlServer && current.username() === login) return this._joinRoom(current);
      this._session = null;
      current.disconnect();
    }
    const session = Ringhall.connect({ urlServer, username: login, ...LIVENESS });
    this._session = session;
    session
      .on(ESTABLISHED, () => {
        setStatus("status", session.status());
        this._joinRoom(session);
      })
      .on(DISCONNECTED, () => this._sessionEnded(session))
      .on(FAILED, () => this._sessionEnded(session));
  }

  /** @private @param {RoomSession} session */
  _joinRoom(session) {
    session
      .join({ name: this._roomName })
      .on(Ringhall.ROOM_EVENT.STATE, (room) => this._entered(room))
      .on(Ringhall.ROOM_EVENT.JOINED, (participant) => {
        this._stage.show(participant);
        this._chat.note(participant.name(), "joined");
      })
      .on(Ringhall.ROOM_EVENT.LEFT, (participant) => {
        this._stage.remove(participant);
        this._chat.note(participant.name(), "left");
      })
      .on(Ringhall.ROOM_EVENT.PUBLISHED, (participant) => this._stage.show(participant))
      .on(Ringhall.ROOM_EVENT.UNPUBLISHED, (participant) => this._stage.streamsEnded(participant))
      .on(Ringhall.ROOM_EVENT.MESSAGE, ({ from, text }) => this._chat.say(from.name(), text))
      .on(Ringhall.ROOM_EVENT.FAILED, (room, info) => this._refused(session, info));
  }

  /** @private @param {Room} room */
  _entered(room) {
    const participants = room.getParticipants();
    this._room = room;
    this._rejoins = null;
    element("localName", HTMLElement).textContent = this._login.value.trim();
    dressAvatar(element("localAvatar", HTMLElement), this._login.value);
    element("roomName", HTMLElement).textContent = room.name();
    document.title = `${room.name()} · Ringhall`;
    this._complain("");
    this._setInvite(room.name());
    this._setState("in");
    for (const participant of participants) this._stage.show(participant);
    const names = participants.map((participant) => participant.name()).join(",");
    this._chat.note("chat", names ? `participants: ${names}` : "room is empty");
    this._screen.setRoom(room);
    if (this._withCamera) this._camera.publish(room);
    else this._camera.offer(room);
  }

  /** The server would not let us in. @private @param {RoomSession} session @param {string | undefined} info */
  _refused(session, info) {
    this._session = null;
    this._rejoins = null;
    session.disconnect();
    setStatus("status", Ringhall.SESSION_STATUS.DISCONNECTED);
    this._outside();
    this._complain(info || "The server did not let you into the room.");
  }

  /** @private */
  _leave() {
    const room = this._room;
    if (!room) return;
    this._joinBtn.disabled = true;
    const left = () => this._outside();
    room.leave().then(left, left);
  }

  /** Back to the door. @private */
  _outside() {
    this._room = null;
    this._stage.clear();
    this._camera.close();
    this._screen.setRoom(null);
    element("soundNotice", HTMLElement).hidden = true;
    this._setInvite(null);
    document.title = "Ringhall Conference";
    this._setState("out");
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
    if (lost && (wasInside || this._rejoins !== null)) {
      this._camera.keep();
      this._outside();
      this._scheduleRejoin();
      return;
    }
    this._rejoins = null;
    this._outside();
    this._complain(session.getInfo() || "The server closed the connection.");
  }

  /** @private */
  _scheduleRejoin() {
    const attempt = this._rejoins || 0;
    const pause_s = REJOIN_PAUSES_S[attempt];
    if (pause_s === undefined) {
      this._giveUpRejoin("The connection is lost and the server can't be reached.");
      return;
    }
    this._rejoins = attempt + 1;
    this._complain(`The connection is lost. Trying to rejoin in ${pause_s} s…`);
    element("cancelRejoinBtn", HTMLButtonElement).hidden = false;
    this._rejoinTimer = window.setTimeout(() => this._join(this._withCamera), pause_s * 1000);
  }

  /** @private @param {string} text */
  _giveUpRejoin(text) {
    window.clearTimeout(this._rejoinTimer);
    this._rejoins = null;
    this._camera.release();
    element("cancelRejoinBtn", HTMLButtonElement).hidden = true;
    this._complain(text);
  }

  /** Own line first, then one message to each other participant. @private @param {string} text */
  _say(text) {
    if (!text || !this._room) return;
    this._chat.say(this._login.value.trim(), text);
    for (const participant of this._room.getParticipants()) {
      const name = participant.name();
      participant.sendMessage(text, () => this._chat.note("chat", `${name} did not get the message`));
    }
  }

  /** @private */
  _unmuteAll() {
    this._stage.unmuteAll();
    element("soundNotice", HTMLElement).hidden = true;
  }

  /** @private @param {string | null} roomName */
  _setInvite(roomName) {
    const link = element("inviteAddress", HTMLAnchorElement);
    if (roomName === null) {
      link.removeAttribute("href");
      link.textContent = "Not connected";
      return;
    }
    link.href = `${location.origin}${location.pathname}?roomName=${encodeURIComponent(roomName)}`;
    link.textContent = link.href;
  }

  /** @private */
  async _copyInvite() {
    const button = element("copyBtn", HTMLButtonElement);
    const link = element("inviteAddress", HTMLAnchorElement);
    try {
      await navigator.clipboard.writeText(link.href);
      button.textContent = "Copied";
    } catch {
      // No clipboard on plain http pages: select the link, so that one key copies it.
      const selection = getSelection();
      if (selection) selection.selectAllChildren(link);
      button.textContent = "Press Ctrl+C";
    }
    window.setTimeout(() => (button.textContent = "Copy"), 2_000);
  }
}

new Conference();
