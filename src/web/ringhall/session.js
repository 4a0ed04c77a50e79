/**
 * Ringhall's client library: one connection to the server under one login.
 */
var RinghallSession = (() => {
  "use strict";

  const { SESSION_STATUS, STREAM_STATUS, STREAM_STATUS_INFO, ROOM_APP_KEY, Emitter, asObject, uuid } = RinghallWords;
  const { Wire, AuthTokens } = RinghallWire;
  const { Room } = RinghallRoom;
  /** @typedef {RinghallConnectOptions} ConnectOptions */
  /** @typedef {InstanceType<typeof RinghallStream.Stream>} Stream */
  /** @typedef {RinghallCallback} Callback */
  /** @typedef {RinghallJoinOptions} JoinOptions */

  /** Why a question could not be asked. */
  const NOT_CONNECTED = "The connection to the server is closed";

  /** One connection to the server under one login. */
  class RoomSession extends Emitter {
    /** @param {ConnectOptions} options */
    constructor(options) {
      super();
      if (!options || !options.urlServer) throw new TypeError("options.urlServer must be provided");
      /** @private */
      this._options = options;
      /** @private */
      this._id = uuid();
      /** @private @type {string} */
      this._status = SESSION_STATUS.PENDING;
      /** @private @type {string | undefined} */
      this._info = undefined;
      /** @private */
      this._tokenKey = AuthTokens.key(options.urlServer, options.username);
      /** @private @type {Map<string, { resolve: (answer: any) => void, reject: (answer: any) => void }>} */
      this._operations = new Map();
      /** Questions about streams, by stream id, oldest first. @private @type {Map<string, Callback[]>} */
      this._questions = new Map();
      /** @private @type {Map<string, Stream>} */
      this._streams = new Map();
      /** @type {Map<string, Room>} */
      this._rooms = new Map();
      this._mediaOptions = options.mediaOptions;
      /** @private */
      this._handlers = this._createHandlers();
      /** @private */
      this._wire = new Wire(options, {
        opened: () => this._opened(),
        received: (message, data) => this._received(message, data),
        closed: (failed, info) => this._closed(failed, info),
      });
    }

    id() {
      return this._id;
    }

    status() {
      return this._status;
    }

    username() {
      return this._options.username;
    }

    getServerUrl() {
      return this._options.urlServer;
    }

    /** @returns {string | undefined} why the session ended, where somebody said so */
    getInfo() {
      return this._info;
    }

    /** @returns {Room[]} */
    getRooms() {
      return [...this._rooms.values()];
    }

    /** @returns {Stream[]} every stream that has not ended */
    getStreams() {
      return [...this._streams.values()];
    }

    /**
     * @param {JoinOptions} options
     * @returns {Room}
     */
    join(options) {
      const room = new Room(this, options);
      this._rooms.set(room.name(), room);
      return room;
    }

    disconnect() {
      this._wire.close();
    }

    /** @param {string} message @param {any} argument @returns {boolean} whether it went out */
    _send(message, argument) {
      return this._wire.send(message, argument);
    }

    /**
     * One call of the room protocol: asks, and settles with the server's answer.
     * @param {string} command
     * @param {Record<string, any>} options
     * @returns {Promise<any>} rejects with `{status, info}`
     */
    _command(command, options) {
      return new Promise((resolve, reject) => {
        const operationId = uuid();
        if (this._send("sendData", { operationId, payload: { command, options } })) {
          this._operations.set(operationId, { resolve, reject });
        } else {
          reject({ status: "FAILED", info: NOT_CONNECTED });
        }
      });
    }

    /** @param {Stream} stream */
    _adopt(stream) {
      if (this._status !== SESSION_STATUS.ESTABLISHED) throw new Error(`Invalid session state ${this._status}`);
      this._streams.set(stream.id(), stream);
    }

    /** @param {Stream} stream */
    _forget(stream) {
      this._streams.delete(stream.id());
    }

    /**
     * @param {Stream} stream
     * @returns {Promise<{ available: boolean, info: string | undefined }>}
     */
    _askAvailable(stream) {
      return new Promise((resolve) => {
        const asked = this._send("availableStream", { mediaSessionId: stream.id(), name: stream.name() });
        if (!asked) return resolve({ available: false, info: NOT_CONNECTED });
        this._questions.set(stream.id(), [...(this._questions.get(stream.id()) || []), resolve]);
      });
    }

    /** One answer settles every question about its stream, as the official client does. @private @param {any} answer */
    _answerAvailable({ id, status, info }) {
      const waiting = this._questions.get(id) || [];
      this._questions.delete(id);
      for (const resolve of waiting) resolve({ available: String(status) === "true", info });
    }

    /** A map, not an object: a message called "constructor" must find nothing. @private */
    _createHandlers() {
      /** @param {any[]} data */
      const status = ([news]) => this._updateStream(asObject(news).mediaSessionId, asObject(news));
      /** @type {Map<string, (data: any[]) => void>} */
      const handlers = new Map();
      handlers.set("ping", () => this._send("pong", null));
      handlers.set("getUserData", ([config]) => this._established(asObject(config)));
      handlers.set("setRemoteSDP", ([id, sdp]) => {
        const stream = this._streams.get(id);
        if (stream) stream._answer(sdp);
      });
      handlers.set("notifyStreamStatusEvent", status);
      handlers.set("notifyVideoFormat", status);
      handlers.set("notifyStreamEvent", ([event]) => {
        const stream = this._streams.get(asObject(event).mediaSessionId);
        if (stream) stream._notify(asObject(event));
      });
      handlers.set("availableStream", ([answer]) => this._answerAvailable(asObject(answer)));
      handlers.set("DataStatusEvent", ([answer]) => this._settle(asObject(answer)));
      handlers.set("OnDataEvent", ([event]) => {
        const { roomName, name, info } = asObject(asObject(event).payload);
        const room = this._rooms.get(roomName);
        if (room) room._handle(name, info);
      });
      handlers.set("fail", ([failure]) => this._warned(asObject(failure)));
      return handlers;
    }

    /** @private */
    _opened() {
      this._status = SESSION_STATUS.CONNECTED;
      const { username, token, appKey, authToken } = this._options;
      this._send("connection", {
        appKey: appKey || ROOM_APP_KEY,
        mediaProviders: ["WebRTC"],
        authToken: authToken || AuthTokens.read(this._tokenKey),
        clientVersion: "2.0",
        clientBrowserVersion: navigator.userAgent,
        custom: { login: username, token },
      });
      this._emit(SESSION_STATUS.CONNECTED, this);
    }

    /** @private @param {Record<string, any>} config */
    _established(config) {
      if (typeof config.authToken === "string") AuthTokens.keep(this._tokenKey, config.authToken, this);
      if (this._status !== SESSION_STATUS.CONNECTED) return;
      this._status = SESSION_STATUS.ESTABLISHED;
      this._emit(SESSION_STATUS.ESTABLISHED, this);
    }

    /** @private @param {string} message @param {any[]} data */
    _received(message, data) {
      const handler = this._handlers.get(message);
      if (handler) handler(data);
    }

    /** @private @param {any} id @param {Record<string, any>} news */
    _updateStream(id, news) {
      const stream = this._streams.get(id);
      if (stream) stream._update(news);
    }

    /** @private @param {Record<string, any>} answer */
    _settle({ operationId, ...answer }) {
      const operation = this._operations.get(operationId);
      if (!operation) return;
      this._operations.delete(operationId);
      if (answer.status === "ACCEPTED") operation.resolve(answer);
      else operation.reject(answer);
    }

    /** @private @param {Record<string, any>} failure */
    _warned(failure) {
      if (failure.apiMethod === "StreamStatusEvent") this._updateStream(failure.id, failure);
      else if (typeof failure.info === "string") this._info = failure.info;
      this._emit(SESSION_STATUS.WARN, failure);
    }

    /** @private @param {boolean} failed @param {string} info */
    _closed(failed, info) {
      this._status = failed ? SESSION_STATUS.FAILED : SESSION_STATUS.DISCONNECTED;
      // A warning of earlier is not why it ended.
      this._info = info || undefined;
      AuthTokens.ended(this._tokenKey, this);
      for (const { reject } of this._operations.values()) reject({ status: "FAILED", info: this._info });
      this._operations.clear();
      for (const id of [...this._questions.keys()]) this._answerAvailable({ id, status: false, info: NOT_CONNECTED });
      for (const stream of this.getStreams()) {
        stream._update({ status: STREAM_STATUS.FAILED, info: STREAM_STATUS_INFO.STOPPED_BY_SESSION_DISCONNECT });
      }
      this._rooms.clear();
      this._emit(this._status, this);
    }
  }

  return { RoomSession };
})();
