// What no well-behaved client sends. Alice and Bob are in a call all the while;
// after every attack their picture and sound still flow and a newcomer is served.

import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import net from 'node:net';

import { twoMeet, unharmed } from '../lib/calls.mjs';
import { freshRoom } from '../lib/guest.mjs';
import { metrics } from '../lib/metrics.mjs';
import { Server } from '../lib/server.mjs';
import { sleep, until, within } from '../lib/wait.mjs';
import { offer, Wire } from '../lib/wire.mjs';

const ICE_TIMEOUT_MS = 15_000;
/** Far above what any case here may cost the server. */
const MEMORY_GROWTH_MAX_BYTES = 32 << 20;

export async function share(t) {
  const server = await Server.start(t);
  return { server, ...(await twoMeet(t, server)) };
}

/** A case that sends frames, from an established session and from one that never said who it is. */
function frames(id, requirement, list) {
  return {
    id,
    requirement,
    async run(t, call) {
      for (const frame of list) {
        const stranger = await Wire.open(t, call.server);
        stranger.raw(frame);
        const member = await Wire.join(t, call.server, `member-${Math.random().toString(36).slice(2, 8)}`, freshRoom());
        member.raw(frame);
        await answersOrCloses(member);
      }
      await unharmed(t, call);
    },
  };
}

/** After an attack a session either still works or was closed by the server: nothing between. */
async function answersOrCloses(wire) {
  const answer = wire.sendData({ command: 'sendMessage', options: { roomConfig: { name: wire.room }, to: 'nobody', text: 'x' } });
  const closed = until('closed', () => wire.closed !== null, { timeoutMs: 6_000, everyMs: 20 });
  const first = await Promise.race([answer.catch(() => closed), closed.catch(() => answer)]);
  assert.ok(first, 'the session neither answers nor is closed');
}

const nested = (depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const message = (name, data) => JSON.stringify({ message: name, data: [data] });

const hostileFrames = [
  frames('edge-broken-json', 'a frame that is no JSON harms nobody',
    ['', '{', '{"message":"connection"', '\u0000', '{"message":"join",}', 'NaN', '"\\ud800"', '{"message":"a","message":"b"}']),
  frames('edge-binary-frames', 'binary frames harm nobody',
    [Buffer.alloc(0), Buffer.from([0, 255, 1, 254]), Buffer.from('{"message":"connection","data":[{}]}')]),
  frames('edge-unknown-messages', 'messages nobody knows are ignored',
    [message('noSuchMessage', {}), message('', null), message('getUserData', {}), message('x'.repeat(10_000), {})]),
  frames('edge-wrong-types', 'known messages with data of the wrong types harm nobody', [
    'null', '[]', '7', '"text"', '{"message":5,"data":[{}]}', '{"message":"sendData"}', '{"message":"sendData","data":{}}',
    message('sendData', 5), message('sendData', { operationId: {}, payload: [] }), message('sendData', { payload: { command: 'join' } }),
    message('connection', { custom: { login: 17 } }), message('connection', { custom: { login: 'x'.repeat(100_000) } }), message('connection', null),
    message('publishStream', { mediaSessionId: 7, name: [], sdp: {}, custom: 'r' }), message('playStream', { mediaSessionId: null }),
    message('stopStream', {}), message('unPublishStream', []), message('sendStreamEvent', { mediaSessionId: 'x', type: {} }),
  ]),
  frames('edge-deep-json', 'JSON nested 100,000 deep harms nobody', [
    nested(100_000), '['.repeat(100_000), '{"a":'.repeat(100_000),
    `{"message":"sendData","data":[{"operationId":"1","payload":${nested(100_000)}}]}`,
  ]),
];

/** The WebSocket upgrade by hand, then `bytes`; resolves with how the server ended it. */
async function rawSocket(t, server, bytes) {
  const socket = net.connect(server.webPort, server.host);
  t.defer(() => socket.destroy());
  let heard = Buffer.alloc(0);
  socket.on('data', (more) => (heard = Buffer.concat([heard, more])));
  socket.on('error', () => undefined);
  const ended = new Promise((resolve) => socket.once('close', () => resolve(heard)));
  socket.write(`GET / HTTP/1.1\r\nHost: ${server.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
    + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  await until('the upgrade', () => heard.includes('\r\n\r\n'), { timeoutMs: 3_000, everyMs: 10 });
  assert.match(String(heard), /^HTTP\/1\.1 101[\s\S]*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
  heard = heard.subarray(heard.indexOf('\r\n\r\n') + 4);
  socket.write(bytes);
  return { socket, ended };
}

const wireEdges = [
  {
    id: 'edge-long-frame',
    requirement: 'a frame far beyond every limit closes its sender\'s socket, is not stored, and harms nobody',
    async run(t, call) {
      const before = call.server.residentBytes();
      const wire = await Wire.join(t, call.server, 'long', freshRoom());
      wire.raw(message('pushLogs', { logs: 'x'.repeat(16 << 20) }));
      await until('the socket is closed', () => wire.closed !== null, { timeoutMs: 5_000 });
      assert.ok(call.server.residentBytes() - before < MEMORY_GROWTH_MAX_BYTES, 'the frame was stored');
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-frame-rules',
    requirement: 'an unmasked client frame, a fragmented ping and a 2^63 length each close their socket (RFC 6455 5.1, 5.5, 5.2)',
    async run(t, call) {
      for (const bytes of [
        Buffer.from([0x81, 0x02, 0x7b, 0x7d]),
        Buffer.from([0x09, 0x80, 1, 2, 3, 4]),
        Buffer.from([0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
      ]) {
        const { ended } = await rawSocket(t, call.server, bytes);
        await within(ended, 3_000, 'closing after a broken frame');
      }
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-http',
    requirement: 'broken, endless, foreign and path-climbing HTTP requests get an error or are closed, and harm nobody',
    async run(t, call) {
      const ask = (text) => new Promise((resolve) => {
        const socket = net.connect(call.server.webPort, call.server.host, () => socket.write(text));
        t.defer(() => socket.destroy());
        let heard = '';
        socket.on('data', (bytes) => (heard += bytes));
        socket.on('error', () => undefined);
        const end = () => resolve(heard);
        socket.once('close', end);
        setTimeout(end, 1_500);
      });
      const root = 'root:x:0';
      for (const path of ['/../../../../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '//etc/passwd']) {
        const answer = await ask(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
        assert.match(answer, /^HTTP\/1\.1 4\d\d/);
        assert.ok(!answer.includes(root));
      }
      assert.match(await ask('GET /nothing-here HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 404/);
      assert.match(await ask('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'), /^HTTP\/1\.1 4\d\d/);
      for (const text of ['\u0016\u0003\u0001\u0002\u0000', 'GET / HTTP/1.1\r\n'.repeat(3), `GET / HTTP/1.1\r\nX: ${'y'.repeat(200_000)}`]) {
        const answer = await ask(text);
        assert.ok(answer === '' || /^HTTP\/1\.1 4\d\d/.test(answer), `an error or nothing, not: ${answer.slice(0, 60)}`);
      }
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-slow-reader',
    requirement: 'who joins a room and never reads costs bounded memory and delays nobody',
    async run(t, call) {
      const room = freshRoom();
      const deaf = await Wire.join(t, call.server, 'deaf', room);
      deaf.socket.pause();
      const talker = await Wire.join(t, call.server, 'talker', room);
      const before = call.server.residentBytes();
      const text = 'x'.repeat(2_000);
      for (let i = 0; i < 20_000; i += 1) {
        talker.send('sendData', { operationId: `flood-${i}`, payload: { command: 'sendMessage', options: { roomConfig: { name: room }, to: 'deaf', text } } });
        if (i % 200 === 0) await sleep(5);
      }
      await until('the flood is through', () => talker.socket.bufferedAmount === 0 || talker.closed !== null, { timeoutMs: 20_000 });
      const grown = call.server.residentBytes() - before;
      assert.ok(grown < MEMORY_GROWTH_MAX_BYTES, `the server grew by ${grown} bytes`);
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-udp-noise',
    requirement: 'noise on the media ports is dropped, counted and answered with nothing',
    async run(t, call) {
      const drops = async () => metrics((await call.server.get('/metrics')).text).sum('ringhall_drops_total');
      const before = await drops();
      const socket = dgram.createSocket('udp4');
      t.defer(() => socket.close());
      let answers = 0;
      socket.on('message', () => (answers += 1));
      const first = Number(call.server.field('media')?.match(/\d+/)?.[0]);
      const sendEach = [0, 1, 20, 22, 128, 200, 255].flatMap((byte) => [1, 4, 12, 20, 200, 1400].map((size) => Buffer.alloc(size, byte)));
      for (const datagram of sendEach) socket.send(datagram, first, '127.0.0.1');
      await until('the noise is counted', async () => (await drops()) - before >= sendEach.length, { timeoutMs: 3_000 });
      assert.equal(answers, 0);
      await unharmed(t, call);
    },
  },
];

const roomEdges = [
  {
    id: 'edge-duplicate-login',
    requirement: 'a login that is in the room is refused with "Login is already in use", and its holder stays',
    async run(t, call) {
      const second = await Wire.connect(t, call.server, 'Alice');
      const answer = await second.command('join', { name: call.room });
      assert.equal(answer.status, 'FAILED');
      assert.match(String(answer.info), /Login is already in use/);
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-duplicate-login-token',
    requirement: 'who brings the token of the session that holds the login takes its place at once; the former one hears no more of the room',
    async run(t, { server, ...call }) {
      const room = freshRoom();
      const first = await Wire.join(t, server, 'Mona', room);
      assert.ok(first.token, 'getUserData carries an authToken');
      const began = Date.now();
      const second = await Wire.join(t, server, 'Mona', room, first.token);
      assert.ok(Date.now() - began < 1_000, 'at once');
      assert.deepEqual(second.state, [], 'the newcomer is not told of its former self');
      const third = await Wire.join(t, server, 'Nils', room);
      assert.deepEqual(third.state, ['Mona']);
      const sent = await third.command('sendMessage', { roomConfig: { name: room }, to: 'Mona', text: 'which one?' });
      assert.equal(sent.status, 'ACCEPTED');
      await second.hearsRoom('MESSAGE', ({ text }) => text === 'which one?');
      await assert.rejects(first.hearsRoom('MESSAGE', undefined, 200), undefined, 'the former session still hears the room');
      await unharmed(t, { server, ...call });
    },
  },
  {
    id: 'edge-duplicate-stream-name',
    requirement: 'a stream name in use is refused with "Stream name is already in use", and its holder goes on',
    async run(t, call) {
      const thief = await Wire.join(t, call.server, 'thief', call.room);
      const { name } = thief.state.find((entry) => entry.login === 'Alice');
      const id = thief.publish(name, offer('sendonly'));
      assert.equal((await thief.hearsStream(id, ['FAILED'])).info, 'Stream name is already in use');
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-stop-after-leave',
    requirement: 'stop messages that arrive after the leave are still answered, also a second time',
    async run(t, call) {
      const wire = await Wire.join(t, call.server, 'leaver', call.room);
      const { name } = wire.state.find((entry) => entry.login === 'Alice');
      const play = wire.play(name, offer('recvonly'));
      const publish = wire.publish(`${call.room}-leaver-1`, offer('sendonly'));
      assert.equal((await wire.command('leave', { name: call.room })).status, 'ACCEPTED');
      wire.send('stopStream', { mediaSessionId: play, name, published: false });
      wire.send('unPublishStream', { mediaSessionId: publish, name: `${call.room}-leaver-1`, published: true });
      await wire.hearsStream(play, ['STOPPED']);
      await wire.hearsStream(publish, ['UNPUBLISHED']);
      wire.send('stopStream', { mediaSessionId: play, name, published: false });
      await answersOrCloses(wire);
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-unknown-stream',
    requirement: 'playing a stream that is not there fails with "Stream not found"',
    async run(t, call) {
      const wire = await Wire.join(t, call.server, 'seeker', call.room);
      const id = wire.play('no-such-stream', offer('recvonly'));
      assert.equal((await wire.hearsStream(id, ['FAILED'])).info, 'Stream not found');
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-broken-sdp',
    requirement: 'an offer that is no usable SDP fails the stream it is for, and nothing else',
    async run(t, call) {
      const wire = await Wire.join(t, call.server, 'mumbler', call.room);
      const good = offer('sendonly');
      const broken = [
        '', 'garbage', 'v=0\r\n', good.slice(0, 60), good.replaceAll(/a=ice-ufrag:.*\r\n/g, ''), good.replaceAll(/a=fingerprint:.*\r\n/g, ''),
        good.replaceAll('m=', 'm=video 0 RTP/AVP 999999\r\nm='), good.replaceAll(/a=rtpmap:.*\r\n/g, ''), 'a=x\r\n'.repeat(20_000), '\u0000\u0000',
      ];
      for (const [i, sdp] of broken.entries()) {
        const id = wire.publish(`${call.room}-mumbler-${i}`, sdp);
        const { status, info } = await wire.hearsStream(id, ['FAILED']);
        assert.ok(status === 'FAILED' && info, 'a reason is given');
      }
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-no-common-codec',
    requirement: 'an offer without a codec of ours fails with "No common codecs"',
    async run(t, call) {
      const wire = await Wire.join(t, call.server, 'exotic', call.room);
      const sdp = offer('sendonly').replaceAll('VP8', 'VP9').replaceAll('H264', 'AV1').replaceAll('opus', 'iLBC').replaceAll('PCMU', 'G723');
      const id = wire.publish(`${call.room}-exotic-1`, sdp);
      assert.equal((await wire.hearsStream(id, ['FAILED'])).info, 'No common codecs');
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-ice-timeout',
    requirement: 'a publisher whose checks never come fails with "Failed by ICE timeout" after 15 s, and was never announced',
    async run(t, call) {
      const watcher = await Wire.join(t, call.server, 'watcher', call.room);
      const ghost = await Wire.join(t, call.server, 'ghost', call.room);
      const id = ghost.publish(`${call.room}-ghost-1`, offer('sendonly'));
      const began = Date.now();
      const { info } = await ghost.hearsStream(id, ['FAILED', 'PUBLISHING'], ICE_TIMEOUT_MS + 5_000);
      const tookMs = Date.now() - began;
      assert.equal(info, 'Failed by ICE timeout');
      assert.ok(Math.abs(tookMs - ICE_TIMEOUT_MS) < 2_000, `after ${tookMs} ms`);
      await assert.rejects(watcher.hearsRoom('PUBLISHED', (i) => i.login === 'ghost', 200));
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-sudden-close',
    requirement: 'a socket cut without a word takes its participant out of the room: LEFT within a second',
    async run(t, call) {
      const watcher = await Wire.join(t, call.server, 'guard', call.room);
      const other = await Wire.join(t, call.server, 'fainter', call.room);
      await watcher.hearsRoom('JOINED', (login) => login === 'fainter');
      other.socket.terminate();
      await watcher.hearsRoom('LEFT', (login) => login === 'fainter', 1_000);
      await unharmed(t, call);
    },
  },
  {
    id: 'edge-message-to-nobody',
    requirement: 'a message to someone who is not in the room, an unknown command and a second join are each answered once',
    async run(t, call) {
      const wire = await Wire.join(t, call.server, 'lonely', call.room);
      const lost = await wire.command('sendMessage', { roomConfig: { name: call.room }, to: 'nobody', text: 'hello?' });
      assert.equal(lost.status, 'FAILED');
      assert.equal((await wire.command('dance', {})).status, 'FAILED');
      const again = await wire.command('join', { name: call.room });
      assert.ok(['ACCEPTED', 'FAILED'].includes(again.status));
      await unharmed(t, call);
    },
  },
];

export const cases = [...hostileFrames, ...wireEdges, ...roomEdges];
