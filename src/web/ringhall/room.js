/**
 * Ringhall's client library: rooms, who is in them, and what they publish.
 */
var RinghallRoom = (() => {
  "use strict";

  const { ROOM_EVENT, Emitter, asObject, randomHex } = RinghallWords;
  const { LocalMedia } = RinghallMedia;
  const { PublishedStream } = RinghallPublished;
  const { PlayedStream } = RinghallPlayed;
  /** @typedef {RinghallStreamOptions} StreamOptions */
  /** @typedef {InstanceType<typeof RinghallStream.Stream>} Stream */
  /** @typedef {RinghallRoomOwner} RoomOwner */
  /** @typedef {RinghallJoinOptions} JoinOptions */

  /** A stream that a participant publishes: what can be played. */
  class ParticipantStream {
    /** @param {Room} room @param {string} name */
    constructor(room, name) {
      /** @private */
      this._room = room;
      /** @private */
      this._name = name;
    }

    streamName() {
      return this._name;
    }

    /**
     * @param {HTMLElement | null} display
     * @param {StreamOptions} [options]
     * @returns {PlayedStream}
     */
    play(display, options = {}) {
      const stream = new PlayedStream(this._room._session, this._room.name(), this._name, { ...options, display });
      this._room._begin(stream);
      return stream;
    }

    /** Stops every play of this stream on this page. */
    stop() {
      for (const stream of this._playing()) stream.stop();
    }

    /** @returns {string | undefined} id of the stream while it plays here */
    id() {
      const [first] = this._playing();
      return first && first.id();
    }

    /** @private */
    _playing() {
      return this._room._session.getStreams().filter((stream) => stream.name() === this._name);
    }
  }

  /** Somebody else in the room. */
  class Participant {
    /** @param {Room} room @param {string} login */
    constructor(room, login) {
      /** @private */
      this._room = room;
      /** @private */
      this._login = login;
      /** @type {Map<string, ParticipantStream>} */
      this._streams = new Map();
    }

    name() {
      return this._login;
    }

    /** @returns {ParticipantStream[]} */
    getStreams() {
      return [...this._streams.values()];
    }

    /**
     * Plays the first stream.
     * @param {HTMLElement | null} display
     * @param {StreamOptions} [options]
     * @returns {PlayedStream}
     */
    play(display, options) {
      const [first] = this.getStreams();
      if (!first) throw new Error(`${this._login} publishes nothing`);
      return first.play(display, options);
    }

    /**
     * @param {string} text
     * @param {(info?: string) => void} [onError] called when it could not be delivered
     */
    sendMessage(text, onError) {
      const options = { roomConfig: { name: this._room.name() }, to: this._login, text };
      this._room._session._command("sendMessage", options).catch((answer) => {
        if (onError) onError(answer.info);
      });
    }
  }

  /** A room we asked to join. */
  class Room extends Emitter {
    /** @param {RoomOwner} session @param {JoinOptions} options */
    constructor(session, { name, record }) {
      super();
      this._session = session;
      /** @private */
      this._name = name;
      /** @private @type {Map<string, Participant>} */
      this._participants = new Map();
      /** @private @type {Set<Stream>} */
      this._streams = new Set();
      session._command("join", { name, record }).catch((answer) => {
        session._rooms.delete(name);
        this._emit(ROOM_EVENT.FAILED, this, answer.info);
      });
    }

    name() {
      return this._name;
    }

    /** @returns {Participant[]} everybody but ourselves */
    getParticipants() {
      return [...this._participants.values()];
    }

    /**
     * @param {StreamOptions} options
     * @returns {PublishedStream}
     */
    publish(options) {
      const stream = new PublishedStream(this._session, this._name, this._streamName(options), options);
      this._begin(stream);
      return stream;
    }

    /**
     * Ends a stream and publishes its media anew: same tracks, same `<video>`, same
     * options, muted as before, and nobody is asked for the camera. The old stream
     * gets UNPUBLISHED before this returns; the new one is to be wired with `on`.
     * @param {PublishedStream} stream one that is being published; else this throws
     * @param {{ videoCodecs?: string[] }} [change] codecs to offer the picture in, best first
     * @returns {PublishedStream}
     */
    republish(stream, { videoCodecs } = {}) {
      if (!(stream instanceof PublishedStream) || stream._roomName !== this._name) {
        throw new TypeError("Only a stream published in this room can be published again");
      }
      const options = { ...stream._options, videoCodecs: videoCodecs || stream._options.videoCodecs };
      const picture = stream._handOver();
      const name = this._streamName(options);
      const successor = new PublishedStream(this._session, this._name, name, options, picture);
      try {
        this._begin(successor);
      } catch (error) {
        // The page left in answer to UNPUBLISHED.
        LocalMedia.discard(picture);
        throw error;
      }
      return successor;
    }

    /** @private @param {StreamOptions} options */
    _streamName({ name }) {
      return `${this._name}-${this._session.username()}-${randomHex(4)}${name ? `-${name}` : ""}`;
    }

    /**
     * Leaves, and ends every stream of this room whatever the server answers.
     * @returns {Promise<Room>} rejects with the room when the server refused or is gone
     */
    async leave() {
      try {
        await this._session._command("leave", { name: this._name });
      } catch {
        throw this;
      } finally {
        this._session._rooms.delete(this._name);
        for (const stream of this._streams) stream.stop();
        this._streams.clear();
      }
      return this;
    }

    /** @param {Stream} stream */
    _begin(stream) {
      this._session._adopt(stream);
      this._streams.add(stream);
      stream._start();
    }

    /** @param {string} event @param {any} info what the server tells about this room */
    _handle(event, info) {
      const details = asObject(info);
      if (event === "STATE") {
        this._setState(Array.isArray(info) ? info : []);
        this._emit(ROOM_EVENT.STATE, this);
      } else if (event === "JOINED" && typeof info === "string") {
        const participant = new Participant(this, info);
        this._participants.set(info, participant);
        this._emit(ROOM_EVENT.JOINED, participant);
      } else if (event === "LEFT" && typeof info === "string") {
        const participant = this._participants.get(info);
        this._participants.delete(info);
        if (participant) this._emit(ROOM_EVENT.LEFT, participant);
      } else if (event === "PUBLISHED" && typeof details.login === "string") {
        const participant = this._participant(details.login);
        participant._streams.set(String(details.name), new ParticipantStream(this, String(details.name)));
        this._emit(ROOM_EVENT.PUBLISHED, participant);
      } else if (event === "UNPUBLISHED" || event === "FAILED") {
        const participant = this._participants.get(details.login);
        if (participant && participant._streams.delete(details.name)) {
          this._emit(ROOM_EVENT.UNPUBLISHED, participant);
        }
      } else if (event === "MESSAGE" && typeof details.from === "string") {
        // A sender who has just left is still worth a name.
        const from = this._participants.get(details.from) || new Participant(this, details.from);
        this._emit(ROOM_EVENT.MESSAGE, { from, text: String(details.text) });
      }
    }

    /**
     * A string is somebody without a stream, an object somebody with one; several
     * streams repeat the login.
     * @private
     * @param {any[]} info
     */
    _setState(info) {
      this._participants.clear();
      for (const entry of info) {
        if (typeof entry === "string") this._participant(entry);
        const { login, name } = asObject(entry);
        if (typeof login !== "string") continue;
        this._participant(login)._streams.set(String(name), new ParticipantStream(this, String(name)));
      }
    }

    /** @private @param {string} login @returns {Participant} */
    _participant(login) {
      const known = this._participants.get(login);
      if (known) return known;
      const participant = new Participant(this, login);
      this._participants.set(login, participant);
      return participant;
    }
  }

  return { ParticipantStream, Participant, Room };
})();
