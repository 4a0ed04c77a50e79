// An RTMP client by script: what a Flash client, an encoder or a player does, and
// whatever none of them would. Only the simple handshake.

import { randomBytes } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';

import { decode, encode } from './amf.mjs';
import { isHeader } from './flv.mjs';
import { until, within } from './wait.mjs';

const OPEN_TIMEOUT_MS = 5_000;
const HANDSHAKE_BYTES = 1_536;
const EXTENDED = 0xffffff;
/** How often a broadcast looks for tags that are due. */
const PACE_MS = 10;

export const CONTROL = { chunkSize: 1, abort: 2, acknowledgement: 3, user: 4, windowSize: 5, bandwidth: 6 };
export const COMMAND = 20;
export const COMMAND_AMF3 = 17;
export const USER = { streamBegin: 0, streamEnd: 1, bufferLength: 3, ping: 6, pong: 7 };

/** @typedef {{type: number, sid: number, timestamp: number, body: Buffer, atMs: number}} Message */

export class Rtmp {
  /** Whole messages other than protocol control and commands, oldest first. @type {Message[]} */
  messages = [];
  /** Commands from the server: `{name, transaction, args, sid}`; the command object is the first argument. */
  calls = [];
  /** User control events: `{event, bytes}`. */
  events = [];
  /** When the server hung up, by this machine's clock; 0 while it has not. */
  closedAtMs = 0;
  /** Bytes the server has sent. */
  received = 0;
  /** The last count of our bytes that the server acknowledged. */
  acknowledged = 0;
  /** Size of the chunks we send. */
  chunkSize = 128;
  /** Whether chunks that go on with a message repeat its extended timestamp: both kinds are in the field. */
  repeatsExtended = true;
  /** Whether every message tells its whole timestamp, instead of the distance from the one before. */
  absolute = false;
  /** What is done when the server calls a method of the client: name → f(args). */
  methods = {};

  #transaction = 1;
  #heard = Buffer.alloc(0);
  #theirChunkSize = 128;
  #theirs = new Map();
  #ours = new Map();
  #window = 0;
  #reported = 0;
  #chunking = false;

  constructor(socket) {
    this.socket = socket;
    socket.on('data', (bytes) => this.#receive(bytes));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closedAtMs = Date.now()));
  }

  /**
   * A connection on which nothing has been said.
   * @param {{defer: (f: () => any) => void}} t
   * @param {{host: string, rtmpPort: number, rtmpsPort?: number}} server
   * @param {{secure?: boolean, tcp?: object}} [how] `tcp`: options of the socket
   */
  static async bare(t, server, { secure = false, tcp = {} } = {}) {
    const where = { host: server.host, port: secure ? server.rtmpsPort : server.rtmpPort, ...tcp };
    const socket = secure ? tls.connect({ rejectUnauthorized: false, ...where }) : net.connect(where);
    t.defer(() => socket.destroy());
    const rtmp = new Rtmp(socket);
    await within(new Promise((resolve, reject) => {
      socket.once(secure ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
    }), OPEN_TIMEOUT_MS, 'opening an RTMP connection');
    socket.setNoDelay(true);
    return rtmp;
  }

  /** A connection whose handshake is done. */
  static async open(t, server, how) {
    const rtmp = await Rtmp.bare(t, server, how);
    await rtmp.handshake();
    return rtmp;
  }

  /**
   * A connection whose `connect` was accepted.
   * @param {string} app what stands between port and stream name
   * @param {object} [object] members of the command object over the usual ones
   * @param {any[]} [args] what follows the command object
   */
  static async connect(t, server, app, object = {}, args = [], how = {}) {
    const rtmp = await Rtmp.open(t, server, how);
    const answer = await rtmp.connect(app, object, ...args);
    if (answer.name !== '_result') throw new Error(`connect refused: ${JSON.stringify(answer)}`);
    rtmp.accepted = answer;
    return rtmp;
  }

  async handshake() {
    this.socket.write(Buffer.concat([Buffer.from([3]), Buffer.alloc(8), randomBytes(HANDSHAKE_BYTES - 8)]));
    await until('the server\'s half of the handshake', () => this.#heard.length >= 1 + 2 * HANDSHAKE_BYTES, { timeoutMs: OPEN_TIMEOUT_MS, everyMs: 5 });
    if (this.#heard[0] !== 3) throw new Error(`the server shakes hands in version ${this.#heard[0]}`);
    this.socket.write(this.#heard.subarray(1, 1 + HANDSHAKE_BYTES));
    this.startChunking();
  }

  /** What comes from here on is chunks. */
  startChunking() {
    this.#heard = this.#heard.subarray(1 + 2 * HANDSHAKE_BYTES);
    this.#chunking = true;
    this.#receive(Buffer.alloc(0));
  }

  /** Bytes as they are. */
  raw(bytes) {
    this.socket.write(bytes);
  }

  // What the client says.

  /**
   * One message, cut into chunks.
   * @param {{type: number, body: Buffer, sid?: number, timestamp?: number, csid?: number}} message
   */
  send(message) {
    this.raw(this.chunked(message));
  }

  chunked({ type, body, sid = 0, timestamp = 0, csid = channelOf(type) }) {
    const last = this.#ours.get(csid);
    const follows = !this.absolute && last !== undefined && last.sid === sid && timestamp >= last.timestamp;
    const time = follows ? timestamp - last.timestamp : timestamp % 0x100000000;
    this.#ours.set(csid, { sid, timestamp });
    const extended = Buffer.alloc(time >= EXTENDED ? 4 : 0);
    if (extended.length > 0) extended.writeUInt32BE(time);
    const head = Buffer.alloc(follows ? 8 : 12);
    head[0] = (follows ? 0x40 : 0) | csid;
    head.writeUIntBE(Math.min(time, EXTENDED), 1, 3);
    head.writeUIntBE(body.length, 4, 3);
    head[7] = type;
    if (!follows) head.writeUInt32LE(sid, 8);
    const parts = [head, extended, body.subarray(0, this.chunkSize)];
    for (let at = this.chunkSize; at < body.length; at += this.chunkSize) {
      parts.push(Buffer.from([0xc0 | csid]), this.repeatsExtended ? extended : Buffer.alloc(0), body.subarray(at, at + this.chunkSize));
    }
    return Buffer.concat(parts);
  }

  /** A protocol control message of 32-bit fields. */
  control(type, ...fields) {
    const body = Buffer.alloc(4 * fields.length);
    fields.forEach((field, i) => body.writeUInt32BE(field, 4 * i));
    this.send({ type, body, csid: 2 });
  }

  /** Says, and from then on uses, another chunk size. */
  setChunkSize(bytes) {
    this.control(CONTROL.chunkSize, bytes);
    this.chunkSize = bytes;
  }

  user(event, ...fields) {
    const body = Buffer.alloc(2 + 4 * fields.length);
    body.writeUInt16BE(event);
    fields.forEach((field, i) => body.writeUInt32BE(field, 2 + 4 * i));
    this.send({ type: CONTROL.user, body, csid: 2 });
  }

  /** A command that wants no answer. */
  tell(name, args, { sid = 0, object = null, amf3 = false } = {}) {
    const body = encode(name, 0, object, ...args);
    this.send(amf3 ? { type: COMMAND_AMF3, body: Buffer.concat([Buffer.from([0]), body]), sid } : { type: COMMAND, body, sid });
  }

  /** A command and the server's `_result` or `_error`. */
  async ask(name, args = [], { sid = 0, object = null, timeoutMs = 5_000 } = {}) {
    const transaction = (this.#transaction += 1);
    this.send({ type: COMMAND, body: encode(name, transaction, object, ...args), sid });
    return this.hears(`the answer to ${name}`, (call) => call.transaction === transaction && /^_(result|error)$/.test(call.name), timeoutMs);
  }

  /** Sends `connect`; the answer, accepted or not. */
  async connect(app, object = {}, ...args) {
    const address = `rtmp://${this.socket.remoteAddress}:${this.socket.remotePort}`;
    const usual = {
      app, flashVer: 'WIN 32,0,0,465', tcUrl: app === '' ? address : `${address}/${app}`,
      fpad: false, capabilities: 239, audioCodecs: 3575, videoCodecs: 252, videoFunction: 1,
    };
    this.send({ type: COMMAND, body: encode('connect', 1, { ...usual, ...object }, ...args) });
    return this.hears('the answer to connect', ({ name, transaction }) => transaction === 1 && /^_(result|error)$/.test(name));
  }

  /** A new message stream; its id. */
  async createStream() {
    const { name, args } = await this.ask('createStream');
    if (name !== '_result') throw new Error(`createStream refused: ${JSON.stringify(args)}`);
    return args[1];
  }

  /** Asks to publish on a new stream; its id and the first status. */
  async publish(name, { type = 'live' } = {}) {
    const sid = await this.createStream();
    this.tell('publish', type === null ? [name] : [name, type], { sid });
    return { sid, status: await this.status(sid, /^NetStream\.Publish\./) };
  }

  /** The same, and throws unless it was accepted; the stream's id. */
  async publishes(name, how) {
    const { sid, status } = await this.publish(name, how);
    if (status.code !== 'NetStream.Publish.Start') throw new Error(`publish refused: ${JSON.stringify(status)}`);
    return sid;
  }

  /** Asks to play on a new stream; its id. */
  async play(name, start = -2_000) {
    const sid = await this.createStream();
    this.tell('play', start === null ? [name] : [name, start], { sid });
    this.user(USER.bufferLength, sid, 1_000);
    return sid;
  }

  close() {
    this.socket.end();
  }

  // What the client hears.

  /** The first command from the server, already here or to come, that fits. */
  hears(what, fits, timeoutMs = 5_000) {
    return until(`an RTMP client hears ${what}`, () => {
      const found = this.calls.find(fits);
      if (found) return found;
      throw new Error(`closed: ${this.closedAtMs > 0}; heard last: ${JSON.stringify(this.calls.slice(-3)).slice(0, 600)}`);
    }, { timeoutMs, everyMs: 10 });
  }

  /** The info object of the first onStatus of a stream whose code fits. */
  async status(sid, code, timeoutMs = 5_000) {
    const call = await this.hears(`a status ${code}`, (one) => one.name === 'onStatus' && one.sid === sid && code.test(one.args[1]?.code ?? ''), timeoutMs);
    return call.args[1];
  }

  /** Audio, video and data of a stream so far. */
  media(sid) {
    return this.messages.filter((message) => message.sid === sid);
  }

  /** The first message of a stream, already here or to come, that fits. */
  hearsMedia(what, sid, fits, timeoutMs = 5_000) {
    return until(`an RTMP client is sent ${what}`, () => {
      const found = this.messages.find((message) => message.sid === sid && fits(message));
      if (found) return found;
      const heard = this.media(sid).slice(-3).map(({ type, timestamp, body }) => `${type}@${timestamp}:${body.subarray(0, 6).toString('hex')}`);
      throw new Error(`closed: ${this.closedAtMs > 0}; ${this.media(sid).length} messages, the last: ${heard}; calls: ${JSON.stringify(this.calls.slice(-2)).slice(0, 300)}`);
    }, { timeoutMs, everyMs: 5 });
  }

  /** Waits until the server has hung up. */
  hungUp(what, timeoutMs = 5_000) {
    return until(`${what} is hung up on`, () => this.closedAtMs > 0, { timeoutMs, everyMs: 10 });
  }

  #receive(bytes) {
    this.received += bytes.length;
    this.#heard = Buffer.concat([this.#heard, bytes]);
    if (!this.#chunking) return;
    let used = 0;
    try {
      for (let next = this.#chunk(0); next > 0; next = this.#chunk(used)) used = next;
    } catch (error) {
      // What this client can't read is told where something is waited for.
      this.calls.push({ name: `unreadable: ${error.message}`, transaction: 0, args: [], sid: 0 });
      this.socket.destroy();
      return;
    }
    // The rest is copied, or a slice would keep all that came before.
    this.#heard = Buffer.from(this.#heard.subarray(used));
    if (this.#window > 0 && this.received - this.#reported >= this.#window && this.socket.writable) {
      this.#reported = this.received;
      this.control(CONTROL.acknowledgement, this.received % 0x100000000);
    }
  }

  /** Reads the chunk at `start`; where the next begins, or 0 while it is not all here. */
  #chunk(start) {
    const heard = this.#heard;
    const need = (at, length) => at + length <= heard.length;
    if (!need(start, 1)) return 0;
    let csid = heard[start] & 0x3f;
    let at = start + ([2, 3][csid] ?? 1);
    if (!need(start, at - start)) return 0;
    if (csid === 0) csid = 64 + heard[start + 1];
    else if (csid === 1) csid = 64 + heard[start + 1] + heard[start + 2] * 256;
    const format = heard[start] >> 6;
    const headBytes = [11, 7, 3, 0][format];
    if (!need(at, headBytes)) return 0;
    const now = { ...(this.#theirs.get(csid) ?? { timestamp: 0, delta: 0, parts: [], has: 0 }) };
    let time = format < 3 ? heard.readUIntBE(at, 3) : (now.extended ? EXTENDED : 0);
    if (format < 2) {
      now.length = heard.readUIntBE(at + 3, 3);
      now.type = heard[at + 6];
    }
    if (format === 0) now.sid = heard.readUInt32LE(at + 7);
    at += headBytes;
    now.extended = time === EXTENDED;
    if (now.extended) {
      if (!need(at, 4)) return 0;
      time = heard.readUInt32BE(at);
      at += 4;
    }
    const begins = now.has === 0;
    if (begins && format === 0) [now.timestamp, now.delta] = [time, time];
    else if (begins && format < 3) [now.timestamp, now.delta] = [now.timestamp + time, time];
    else if (begins) now.timestamp += now.delta;
    if (now.length === undefined || now.sid === undefined) throw new Error(`the server's first chunk of ${csid} has no whole header`);
    const length = Math.min(this.#theirChunkSize, now.length - now.has);
    if (!need(at, length)) return 0;
    now.parts = [...now.parts, Buffer.from(heard.subarray(at, at + length))];
    now.has += length;
    if (now.has === now.length) {
      const message = { type: now.type, sid: now.sid, timestamp: now.timestamp, body: Buffer.concat(now.parts), atMs: Date.now() };
      [now.parts, now.has] = [[], 0];
      this.#take(message);
    }
    this.#theirs.set(csid, now);
    return at + length;
  }

  #take(message) {
    const { type, body, sid } = message;
    if (type === CONTROL.chunkSize) this.#theirChunkSize = body.readUInt32BE(0);
    else if (type === CONTROL.acknowledgement) this.acknowledged = body.readUInt32BE(0);
    else if (type === CONTROL.windowSize) this.#window = body.readUInt32BE(0);
    else if (type === CONTROL.user) this.#happens(body);
    else if (type === COMMAND || type === COMMAND_AMF3) {
      const [name, transaction, ...args] = decode(type === COMMAND ? body : body.subarray(1));
      this.calls.push({ name, transaction, args, sid });
      this.methods[name]?.(args);
    } else if (type > CONTROL.bandwidth) this.messages.push(message);
  }

  #happens(body) {
    const event = body.readUInt16BE(0);
    this.events.push({ event, bytes: body.subarray(2) });
    if (event === USER.ping && this.socket.writable) this.user(USER.pong, body.readUInt32BE(2));
  }
}

/** The chunk streams that clients choose for what they send. */
function channelOf(type) {
  if (type <= CONTROL.bandwidth) return 2;
  return { 8: 4, 9: 6 }[type] ?? 3;
}

/** Tags sent at their pace, again and again, until it is stopped. */
export class Broadcast {
  #timer;
  #next = 0;
  #round = 0;

  /**
   * @param {Rtmp} rtmp
   * @param {import('./flv.mjs').Tag[]} tags
   * @param {{startMs?: number, aheadMs?: number}} [how] `startMs`: the timestamp of the first; `aheadMs`: so much is sent at once
   */
  constructor(t, rtmp, sid, tags, { startMs = 0, aheadMs = 0 } = {}) {
    this.startMs = startMs;
    const media = tags.filter((tag) => !isHeader(tag));
    const lastMs = media.at(-1).timestamp;
    // As long as the mean distance of pictures after the last of them.
    const lengthMs = lastMs + Math.round(lastMs / (media.filter(({ type }) => type === 9).length || media.length));
    for (const tag of tags.filter(isHeader)) rtmp.send({ ...tag, body: dressed(tag), sid, timestamp: startMs });
    const began = Date.now();
    this.#timer = setInterval(() => {
      if (!rtmp.socket.writable) return;
      for (;;) {
        const tag = media[this.#next];
        const timestamp = this.#round * lengthMs + tag.timestamp;
        if (timestamp > Date.now() - began + aheadMs) return;
        rtmp.send({ ...tag, sid, timestamp: startMs + timestamp });
        this.#next = (this.#next + 1) % media.length;
        if (this.#next === 0) this.#round += 1;
      }
    }, PACE_MS);
    t.defer(() => this.stop());
  }

  stop() {
    clearInterval(this.#timer);
  }
}

/** Metadata is set under a name of its own on the wire. */
const dressed = ({ type, body }) => (type === 18 ? Buffer.concat([encode('@setDataFrame'), body]) : body);
