// A participant without a browser: the room protocol over a bare WebSocket, and raw
// frames beside it, for what no well-behaved client would send.

import { randomUUID } from 'node:crypto';

import WebSocket from 'ws';

import { until, within } from './wait.mjs';

const OPEN_TIMEOUT_MS = 5_000;

export class Wire {
  /** Messages from the server, parsed, oldest first; pings are answered and left out. */
  messages = [];
  /** Close code, once closed. */
  closed = null;
  /** What was said with it. */
  reason = '';

  constructor(socket) {
    this.socket = socket;
    socket.on('message', (bytes) => this.#heard(String(bytes)));
    socket.on('close', (code, reason) => {
      this.closed = code;
      this.reason = String(reason);
    });
    socket.on('error', () => undefined);
  }

  /**
   * An open socket that has said nothing yet.
   * @param {{wsUrl: string}} server
   * @param {WebSocket.ClientOptions} [how] of the socket: the address it comes from, an origin
   */
  static async open(t, server, how = {}) {
    const socket = new WebSocket(server.wsUrl, { handshakeTimeout: OPEN_TIMEOUT_MS, maxPayload: 1 << 24, ...how });
    t.defer(() => socket.terminate());
    const wire = new Wire(socket);
    await within(new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    }), OPEN_TIMEOUT_MS, 'opening a WebSocket');
    return wire;
  }

  /** An established session of `login`. */
  static async connect(t, server, login, token, how) {
    const wire = await Wire.open(t, server, how);
    wire.login = login;
    wire.send('connection', {
      appKey: 'roomApp',
      mediaProviders: ['WebRTC'],
      clientVersion: '2.0',
      ...(token ? { authToken: token } : {}),
      custom: { login, ...(token ? { token } : {}) },
    });
    const { data } = await wire.hears('getUserData', (m) => m.message === 'getUserData');
    wire.token = data[0]?.authToken;
    return wire;
  }

  /** An established session inside `room`; its STATE is in `state`. */
  static async join(t, server, login, room, token, how) {
    const wire = await Wire.connect(t, server, login, token, how);
    const answer = await wire.command('join', { name: room });
    if (answer.status !== 'ACCEPTED') throw new Error(`join of ${login} refused: ${JSON.stringify(answer)}`);
    wire.room = room;
    wire.state = (await wire.hearsRoom('STATE')).info;
    return wire;
  }

  #heard(text) {
    const message = JSON.parse(text);
    if (message.message === 'ping') this.send('pong', null);
    else this.messages.push(message);
  }

  send(message, ...data) {
    this.raw(JSON.stringify({ message, data }));
  }

  /** A frame as it is: text for a string, binary for bytes. */
  raw(frame) {
    this.socket.send(frame, () => undefined);
  }

  /** The first message, already here or to come, that fits. */
  hears(what, fits, timeoutMs = 5_000) {
    return until(`${this.login ?? 'a socket'} hears ${what}`, () => {
      const found = this.messages.find(fits);
      if (found) return found;
      const heard = this.messages.slice(-4).map((m) => JSON.stringify(m).slice(0, 160));
      throw new Error(`closed: ${this.closed}; heard last: ${heard.join(' ') || 'nothing'}`);
    }, { timeoutMs, everyMs: 10 });
  }

  /** The payload of the first room event of that name (and about that login). */
  async hearsRoom(name, fits = (_info) => true, timeoutMs = 5_000) {
    const event = await this.hears(`room event ${name}`, ({ message, data }) =>
      message === 'OnDataEvent' && data[0].payload.name === name && fits(data[0].payload.info), timeoutMs);
    return event.data[0].payload;
  }

  /** The first status of a stream that is one of `statuses`. */
  async hearsStream(id, statuses, timeoutMs = 5_000) {
    const event = await this.hears(`stream ${statuses}`, ({ message, data }) =>
      message === 'notifyStreamStatusEvent' && data[0].mediaSessionId === id && statuses.includes(data[0].status), timeoutMs);
    return event.data[0];
  }

  /** A room command and its DataStatusEvent. */
  async command(command, options) {
    return this.sendData({ command, options });
  }

  async sendData(payload) {
    const operationId = randomUUID();
    this.send('sendData', { operationId, payload });
    const { data } = await this.hears(`the answer to ${payload?.command}`, (m) =>
      m.message === 'DataStatusEvent' && m.data[0].operationId === operationId);
    return data[0];
  }

  /** Asks to publish; the id of the stream. Nothing of WebRTC stands behind the offer. */
  publish(name, sdp, room = this.room) {
    const mediaSessionId = randomUUID();
    this.send('publishStream', {
      mediaSessionId, name, published: true, hasVideo: true, hasAudio: true, status: 'PENDING', record: false,
      mediaProvider: 'WebRTC', sdp, custom: { name: room }, bitrate: 0, minBitrate: 0, maxBitrate: 0,
    });
    return mediaSessionId;
  }

  play(name, sdp, room = this.room) {
    const mediaSessionId = randomUUID();
    this.send('playStream', {
      mediaSessionId, name, published: false, hasVideo: true, hasAudio: true, status: 'PENDING', record: false,
      mediaProvider: 'WebRTC', sdp, custom: { name: room }, bitrate: 0, minBitrate: 0, maxBitrate: 0,
      width: 0, height: 0, quality: 0,
    });
    return mediaSessionId;
  }

  close() {
    this.socket.close();
  }
}

/**
 * An offer as a browser makes it: Opus and PCMU, H.264 and VP8, bundled, no candidate.
 * @param {'sendonly'|'recvonly'} direction
 */
export function offer(direction) {
  const ufrag = randomUUID().slice(0, 4);
  const password = randomUUID().replaceAll('-', '').slice(0, 24);
  const fingerprint = Array.from({ length: 32 }, (_, i) => (i * 7 + 16).toString(16).toUpperCase().padStart(2, '0')).join(':');
  const section = (kind, mid, formats, lines) => [
    `m=${kind} 9 UDP/TLS/RTP/SAVPF ${formats}`,
    'c=IN IP4 0.0.0.0',
    'a=rtcp:9 IN IP4 0.0.0.0',
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${password}`,
    'a=ice-options:trickle',
    `a=fingerprint:sha-256 ${fingerprint}`,
    'a=setup:actpass',
    `a=mid:${mid}`,
    `a=${direction}`,
    'a=rtcp-mux',
    'a=rtcp-rsize',
    ...lines,
    ...(direction === 'sendonly' ? [`a=msid:stream ${kind}`, `a=ssrc:${1000 + mid} cname:guest`] : []),
  ];
  return [
    'v=0', 'o=- 4611731400430051336 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1', 'a=msid-semantic: WMS stream',
    ...section('audio', 0, '111 0', [
      'a=rtpmap:111 opus/48000/2', 'a=rtcp-fb:111 transport-cc', 'a=fmtp:111 minptime=10;useinbandfec=1', 'a=rtpmap:0 PCMU/8000',
    ]),
    ...section('video', 1, '96 97 102 103', [
      'a=rtpmap:96 VP8/90000', 'a=rtcp-fb:96 nack', 'a=rtcp-fb:96 nack pli', 'a=rtcp-fb:96 transport-cc',
      'a=rtpmap:97 rtx/90000', 'a=fmtp:97 apt=96',
      'a=rtpmap:102 H264/90000', 'a=rtcp-fb:102 nack', 'a=rtcp-fb:102 nack pli', 'a=rtcp-fb:102 transport-cc',
      'a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f',
      'a=rtpmap:103 rtx/90000', 'a=fmtp:103 apt=102',
    ]),
    '',
  ].join('\r\n');
}
