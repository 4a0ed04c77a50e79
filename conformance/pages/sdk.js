// The SDK's core calls, one function each; `visit.log` keeps what it reported.

const { SESSION_STATUS, STREAM_STATUS } = RoomApi.sdk.constants;
const ROOM_EVENT = RoomApi.events;
RoomApi.sdk.init();

const visit = {
  log: [],
  note(kind, ...rest) {
    this.log.push([kind, ...rest].join(' '));
  },

  connect(urlServer, username, token) {
    return new Promise((resolve, reject) => {
      this.session = RoomApi.connect({ urlServer, username, token })
        .on(SESSION_STATUS.ESTABLISHED, resolve)
        .on(SESSION_STATUS.FAILED, () => reject(new Error('FAILED')))
        .on(SESSION_STATUS.DISCONNECTED, () => this.note('DISCONNECTED'));
    });
  },

  join(name, options) {
    return new Promise((resolve, reject) => {
      this.session.join({ name, ...options })
        .on(ROOM_EVENT.STATE, (room) => {
          this.room = room;
          this.note('STATE', room.getParticipants().map((p) => p.name()).join());
          resolve();
        })
        .on(ROOM_EVENT.JOINED, (p) => this.note('JOINED', p.name()))
        .on(ROOM_EVENT.LEFT, (p) => this.note('LEFT', p.name()))
        .on(ROOM_EVENT.PUBLISHED, (p) => this.note('PUBLISHED', p.name()))
        .on(ROOM_EVENT.MESSAGE, ({ from, text }) => this.note('MESSAGE', from.name(), text))
        .on(ROOM_EVENT.FAILED, (room, info) => reject(new Error(info)));
    });
  },

  publish(options) {
    const display = document.getElementById('local');
    return this.settled(STREAM_STATUS.PUBLISHING, () => {
      this.published = this.room.publish({ display, record: false, ...options });
      return this.published;
    });
  },

  play(login, options) {
    const display = document.getElementById('remote');
    const participant = this.room.getParticipants().find((p) => p.name() === login);
    return this.settled(STREAM_STATUS.PLAYING, () => {
      this.played = participant.getStreams()[0].play(display, options);
      return this.played;
    });
  },

  settled(wanted, begin) {
    return new Promise((resolve, reject) => {
      const stream = begin();
      for (const status of [STREAM_STATUS.PUBLISHING, STREAM_STATUS.PLAYING, STREAM_STATUS.UNPUBLISHED, STREAM_STATUS.STOPPED]) {
        stream.on(status, () => {
          this.note('stream', status);
          if (status === wanted) resolve();
        });
      }
      stream.on(STREAM_STATUS.FAILED, (s) => {
        this.note('stream FAILED', s.getInfo());
        reject(new Error(s.getInfo()));
      });
    });
  },

  say(login, text) {
    this.room.getParticipants().find((p) => p.name() === login).sendMessage(text);
  },

  leave() {
    return this.room.leave();
  },
};
window.visit = visit;
