// RTMP as no well-behaved client speaks it. Alice and Bob are in a call all the while;
// after every attack their picture and sound still flow and a newcomer is served.

import assert from 'node:assert/strict';

import { Amf3, EcmaArray, encode, u29 } from '../lib/amf.mjs';
import { published, twoMeet, unharmed } from '../lib/calls.mjs';
import { hears, seesFilm } from '../lib/checks.mjs';
import { film } from '../lib/films.mjs';
import { generator } from '../lib/fixtures.mjs';
import { DATA, isHeader, isPicture, readTags, VIDEO } from '../lib/flv.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { metrics } from '../lib/metrics.mjs';
import { Broadcast, COMMAND, COMMAND_AMF3, CONTROL, Rtmp } from '../lib/rtmp.mjs';
import { Server } from '../lib/server.mjs';
import { sleep, until } from '../lib/wait.mjs';

/** What a connection that says nothing of use may last: the server's 10 s and some more. */
const CONNECT_MAX_MS = 14_000;
/** Far above what any case here may cost the server. */
const MEMORY_GROWTH_MAX_BYTES = 32 << 20;
const LARGEST_MESSAGE_BYTES = 0xffffff;
const CHUNK_STREAMS_MAX = 65_599;
/** Below are the chunk streams of our own commands and media. */
const FIRST_FREE_CSID = 8;
/** Players who never read: how many, and what each may cost. */
const DEAF_PLAYERS = 8;
const DEAF_MAX_BYTES_EACH = 6 << 20;
const DEAF_MAX_MS = 40_000;
const FAT_FRAME_BYTES = 120_000;
const WHIP_BODY_BYTES = 1_000_000;
const MUTANTS = 150;

export async function share(t) {
  const server = await Server.start(t);
  return { server, ...(await twoMeet(t, server)) };
}

/** An attack, and after it the call and the server's memory as they were. */
function beside(id, requirement, attack, { growthMaxBytes = MEMORY_GROWTH_MAX_BYTES, ...more } = {}) {
  return {
    id,
    requirement,
    async run(t, call) {
      const before = call.server.residentBytes();
      await attack(t, call);
      const growth = call.server.residentBytes() - before;
      assert.ok(growth < growthMaxBytes, `the server holds ${growth} bytes more`);
      await unharmed(t, call);
      call.alice.assertNoErrors();
    },
    ...more,
  };
}

/** After an attack a connection either still answers or was hung up on: nothing between. */
async function answersOrCloses(rtmp, what) {
  const closed = until('hung up', () => rtmp.closedAtMs > 0, { timeoutMs: 6_000, everyMs: 10 });
  const answered = rtmp.socket.writable ? rtmp.ask('createStream') : closed;
  await Promise.any([answered, closed]).catch(() => {
    throw new Error(`${what}: the connection neither answers nor is hung up on`);
  });
}

const begun = (t, call) => Rtmp.connect(t, call.server, call.room);

/** A first chunk, of a message that is longer than what follows. */
function firstChunk(csid, length, payload = Buffer.alloc(0), { type = 9, sid = 1 } = {}) {
  const head = Buffer.alloc(11);
  head.writeUIntBE(length, 3, 3);
  head[6] = type;
  head.writeUInt32LE(sid, 7);
  return Buffer.concat([basicHeader(0, csid), head, payload]);
}

function basicHeader(format, csid) {
  if (csid < 64) return Buffer.from([(format << 6) | csid]);
  if (csid < 320) return Buffer.from([format << 6, csid - 64]);
  return Buffer.from([(format << 6) | 1, (csid - 64) & 0xff, (csid - 64) >> 8]);
}

async function handshakes(t, call) {
  const { server } = call;
  const first = Buffer.concat([Buffer.from([3]), Buffer.alloc(1_536)]);
  const hello = Buffer.from(`16030102000100${'01fc0303'}${'00'.repeat(600)}`, 'hex');
  for (const [what, bytes] of Object.entries({
    'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'a TLS hello': hello,
    'RTMPE, version 6': Buffer.concat([Buffer.from([6]), Buffer.alloc(1_536, 7)]),
    ones: Buffer.alloc(70_000, 0xff),
    zeros: Buffer.alloc(70_000),
  })) {
    const rtmp = await Rtmp.bare(t, server);
    rtmp.raw(bytes);
    await rtmp.hungUp(what, CONNECT_MAX_MS);
  }
  const filesBefore = server.openFiles();
  const stalled = await Promise.all([0, 1, 2, 700, 1_536, 1_537, 2_000, 3_072].map(async (length) => {
    const rtmp = await Rtmp.bare(t, server);
    rtmp.raw(Buffer.concat([first, first]).subarray(0, length));
    return rtmp;
  }));
  const silent = await Rtmp.open(t, server);
  // One who sends a byte now and then is not kept for it.
  const dripping = await Rtmp.bare(t, server);
  let sent = 0;
  const drip = setInterval(() => dripping.socket.writable && dripping.raw(first.subarray(sent, (sent += 1))), 400);
  t.defer(() => clearInterval(drip));
  await Promise.all([...stalled, silent, dripping].map((rtmp) => rtmp.hungUp('one who stalls', CONNECT_MAX_MS)));
  await until('their files are returned', () => server.openFiles() <= filesBefore, { timeoutMs: 3_000 });
}

async function declaredLengths(t, call) {
  // One byte each of the largest message, on every chunk stream there can be.
  const wide = await begun(t, call);
  wide.setChunkSize(1);
  const heads = [];
  for (let csid = FIRST_FREE_CSID; csid <= CHUNK_STREAMS_MAX; csid += 1) heads.push(firstChunk(csid, LARGEST_MESSAGE_BYTES, Buffer.from([0x17])));
  wide.raw(Buffer.concat(heads));
  await answersOrCloses(wide, 'all chunk streams');

  // A few that go on: what arrives is held only so far.
  const deep = await begun(t, call);
  deep.setChunkSize(65_536);
  const payload = Buffer.alloc(65_536, 1);
  const some = Array.from({ length: 16 }, (_, i) => FIRST_FREE_CSID + i);
  for (const csid of some) deep.raw(firstChunk(csid, LARGEST_MESSAGE_BYTES, payload));
  for (let round = 1; round < 200 && deep.closedAtMs === 0; round += 1) {
    for (const csid of some) deep.raw(Buffer.concat([basicHeader(3, csid), payload]));
    await sleep(1);
    assert.ok(deep.socket.writableLength < 1 << 28);
  }
  await deep.hungUp('who sends 200 MB of unfinished messages');

  const one = await begun(t, call);
  one.setChunkSize(LARGEST_MESSAGE_BYTES);
  one.send({ type: VIDEO, body: Buffer.alloc(LARGEST_MESSAGE_BYTES, 1), sid: 1 });
  await answersOrCloses(one, 'one message of 16 MB');
}

async function chunkSizes(t, call) {
  for (const size of [0, 1, 2, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff]) {
    const rtmp = await begun(t, call);
    rtmp.control(CONTROL.chunkSize, size);
    rtmp.chunkSize = Math.min(Math.max(size & 0x7fffffff, 1), 0xffffff);
    await answersOrCloses(rtmp, `chunk size ${size}`);
  }
  for (const body of ['', '00', '0000', '000010000000']) {
    const rtmp = await begun(t, call);
    rtmp.send({ type: CONTROL.chunkSize, body: Buffer.from(body, 'hex'), csid: 2 });
    await answersOrCloses(rtmp, `a chunk size of ${body.length / 2} bytes`);
  }
  // A megabyte in chunks of one byte: twice the bytes, and a header to read for each.
  const slow = await begun(t, call);
  slow.setChunkSize(1);
  const { sid, status } = await slow.publish(`tiny-${Date.now()}`);
  assert.ok(status.code);
  for (let i = 0; i < 50; i += 1) slow.send({ type: VIDEO, sid, timestamp: i * 40, body: Buffer.concat([Buffer.from('2701000000', 'hex'), Buffer.alloc(20_000)]) });
  await answersOrCloses(slow, 'chunks of one byte');
}

const nested = (head, depth) => Buffer.concat(Array.from({ length: depth }, () => Buffer.from(head, 'hex')));
const name = (text) => encode(text, 2, null);

/** Bodies of commands and metadata that would cost much more than they weigh. */
function bombs() {
  const deep = 30_000;
  // An object whose one member is the object itself, and one whose strings refer to what was never said.
  const cycle = Buffer.concat([Buffer.from('0a0b01', 'hex'), u29((1 << 1) | 1), Buffer.from('a'), Buffer.from('0a00', 'hex'), Buffer.from([1])]);
  const amf3 = (hex) => Buffer.concat([Buffer.from([0]), name('sendData'), Buffer.from(`11${hex}`, 'hex')]);
  return {
    'objects in objects': [COMMAND, Buffer.concat([name('connect'), nested('03000161', deep)])],
    'arrays in arrays': [COMMAND, Buffer.concat([name('sendData'), nested('0a00000001', deep)])],
    'maps in maps': [DATA, Buffer.concat([encode('@setDataFrame', 'onMetaData'), nested('0800000001000161', deep)])],
    'an array of four billion': [COMMAND, Buffer.concat([name('sendData'), Buffer.from('0affffffff05', 'hex')])],
    'an array of a million undefined': [COMMAND, Buffer.concat([name('sendData'), Buffer.from('0a000f4240', 'hex'), Buffer.alloc(1_000_000, 6)])],
    'a string of four gigabytes': [COMMAND, Buffer.concat([name('sendData'), Buffer.from('0cffffffff41', 'hex')])],
    'a name that never ends': [COMMAND, Buffer.concat([name('sendData'), Buffer.from('03ffff41', 'hex')])],
    'an object that never ends': [COMMAND, Buffer.concat([name('sendData'), nested('00016105', 200_000 / 4)])],
    'every type there is not': [COMMAND, Buffer.concat([name('sendData'), Buffer.from([0x7f, 0xff, 0x10, 0x0e, 0x04])])],
    'a reference to nothing': [COMMAND, Buffer.concat([name('sendData'), Buffer.from('07ffff', 'hex')])],
    'no name': [COMMAND, Buffer.alloc(0)],
    'a number for a name': [COMMAND, encode(7, 7, 7)],
    'no transaction': [COMMAND, encode('createStream')],
    'a transaction of NaN': [COMMAND, encode('createStream', Number.NaN, null)],
    'text that is no UTF-8': [COMMAND, Buffer.from('0200042fff80c0', 'hex')],
    'AMF3 of nothing': [COMMAND_AMF3, Buffer.alloc(0)],
    'AMF3 in itself': [COMMAND_AMF3, Buffer.concat([Buffer.from([0]), name('sendData'), Buffer.from([0x11]), cycle])],
    'AMF3 arrays in arrays': [COMMAND_AMF3, amf3('090301'.repeat(deep))],
    'AMF3 array of many': [COMMAND_AMF3, amf3('09ffffffff01')],
    'AMF3 traits of many': [COMMAND_AMF3, amf3('0affffffff')],
    'AMF3 reference to what was never said': [COMMAND_AMF3, amf3('0640')],
    'AMF3 XML': [COMMAND_AMF3, amf3(`0b${u29((60 << 1) | 1).toString('hex')}${Buffer.from('<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">]><a>&a;&a;&a;&a;</a>  ').toString('hex')}`)],
    'AMF3 bytes of 256 MB': [COMMAND_AMF3, amf3('0cffffffff')],
    'the same text ten thousand times': [COMMAND_AMF3, Buffer.concat([Buffer.from([0]), name('sendData'), encode(new Amf3(Array.from({ length: 10_000 }, () => 'x'.repeat(10_000))))])],
    'metadata of 10,000 entries': [DATA, encode('@setDataFrame', 'onMetaData', new EcmaArray(Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`key${i}`, 'x'.repeat(50)]))))],
  };
}

async function amfBombs(t, call) {
  for (const [what, [type, body]] of Object.entries(bombs())) {
    // Before connect, after it, and on a stream.
    const stranger = await Rtmp.open(t, call.server);
    stranger.setChunkSize(65_536);
    stranger.send({ type, body });
    const rtmp = await begun(t, call);
    rtmp.setChunkSize(65_536);
    rtmp.send({ type, body });
    rtmp.send({ type, body, sid: 1 });
    await answersOrCloses(rtmp, what);
    stranger.socket.destroy();
  }
}

async function wrongOrder(t, call) {
  const { server } = call;
  const openings = {
    createStream: (rtmp) => rtmp.send({ type: COMMAND, body: encode('createStream', 2, null) }),
    publish: (rtmp) => rtmp.tell('publish', ['early', 'live'], { sid: 1 }),
    play: (rtmp) => rtmp.tell('play', ['early'], { sid: 1 }),
    sendData: (rtmp) => rtmp.tell('sendData', [{ operationId: '1', payload: { command: 'join', options: { name: call.room } } }]),
    media: (rtmp) => rtmp.send({ type: VIDEO, body: Buffer.from('1700000000', 'hex'), sid: 1 }),
    'a chunk that goes on with nothing': (rtmp) => rtmp.raw(Buffer.concat([Buffer.from([0xc5]), Buffer.alloc(128)])),
    'a delta before any header': (rtmp) => rtmp.raw(Buffer.concat([Buffer.from('44000010000005140000', 'hex'), Buffer.alloc(128)])),
  };
  for (const [what, opening] of Object.entries(openings)) {
    const rtmp = await Rtmp.open(t, server);
    opening(rtmp);
    const answer = rtmp.connect(call.room).catch(() => undefined);
    await Promise.race([answer, rtmp.hungUp(what, 8_000).catch(() => undefined)]);
    assert.ok(rtmp.closedAtMs > 0 || (await answer)?.name === '_result', `${what} before connect`);
    assert.equal((await server.rooms()).rooms.find((room) => room.name === call.room).participants.length, 2);
  }
  const later = {
    'connect again': (rtmp) => rtmp.send({ type: COMMAND, body: encode('connect', 1, { app: 'other' }) }),
    'publish on stream 0': (rtmp) => rtmp.tell('publish', ['zero', 'live']),
    'publish on a stream nobody made': (rtmp) => rtmp.tell('publish', ['seven', 'live'], { sid: 7 }),
    'publish without a name': (rtmp) => rtmp.tell('publish', [], { sid: 1 }),
    'publish of an object': (rtmp) => rtmp.tell('publish', [{ a: 1 }, 'live'], { sid: 1 }),
    'publish of an unknown type': (rtmp) => rtmp.tell('publish', ['x', 'forever'], { sid: 1 }),
    'play of nothing': (rtmp) => rtmp.tell('play', [], { sid: 1 }),
    'deleteStream of what is not': (rtmp) => ['99', 99, -1, Number.NaN, 2 ** 40, null].forEach((sid) => rtmp.tell('deleteStream', [sid])),
    'pause, seek and the like without a stream': (rtmp) => ['pause', 'seek', 'receiveAudio', 'receiveVideo', 'closeStream', 'getStreamLength', 'FCUnpublish', 'releaseStream'].forEach((one) => rtmp.tell(one, [true, -1], { sid: 3 })),
    'media on a stream nobody made': (rtmp) => rtmp.send({ type: VIDEO, body: Buffer.alloc(1_000, 0x17), sid: 5 }),
    'abort of nothing': (rtmp) => rtmp.control(CONTROL.abort, 77),
    'abort in a message': (rtmp) => {
      rtmp.raw(firstChunk(5, 5_000, Buffer.alloc(128)));
      rtmp.control(CONTROL.abort, 5);
    },
    'another message inside a message': (rtmp) => {
      rtmp.raw(firstChunk(5, 200, Buffer.alloc(128), { type: 18 }));
      rtmp.user(3, 1, 100);
      rtmp.raw(Buffer.concat([basicHeader(3, 5), Buffer.alloc(72)]));
    },
    'a new header inside a message': (rtmp) => rtmp.raw(Buffer.concat([firstChunk(5, 200, Buffer.alloc(128)), firstChunk(5, 300, Buffer.alloc(128))])),
    'acknowledgements of more than was sent': (rtmp) => [0xffffffff, 0, 1].forEach((count) => rtmp.control(CONTROL.acknowledgement, count)),
    'windows of 0 and 4 GB': (rtmp) => [0, 0xffffffff].forEach((bytes) => rtmp.control(CONTROL.windowSize, bytes)),
    'a bandwidth of 0': (rtmp) => rtmp.send({ type: CONTROL.bandwidth, body: Buffer.from('0000000002', 'hex'), csid: 2 }),
    'pings and pongs nobody asked for': (rtmp) => [6, 7, 26, 27, 31, 99].forEach((event) => rtmp.user(event, 1)),
  };
  for (const [what, act] of Object.entries(later)) {
    const rtmp = await begun(t, call);
    act(rtmp);
    await answersOrCloses(rtmp, what);
    rtmp.socket.destroy();
  }
  const every = Array.from({ length: 256 }, (_, type) => type).filter((type) => type !== CONTROL.chunkSize);
  for (const body of [Buffer.alloc(0), Buffer.alloc(1), Buffer.alloc(3, 0xff), Buffer.alloc(40, 0x90)]) {
    await Promise.all([0, 64, 128, 192].map(async (from) => {
      const rtmp = await begun(t, call);
      const sid = (await rtmp.createStream().catch(() => 1)) ?? 1;
      for (const type of every.slice(from, from + 64)) rtmp.send({ type, body, sid, csid: 9 });
      await answersOrCloses(rtmp, `types from ${from} with ${body.length} bytes`);
    }));
  }
}

async function manyStreams(t, call) {
  const rtmp = await begun(t, call);
  rtmp.setChunkSize(4_096);
  for (let i = 0; i < 5_000; i += 1) rtmp.send({ type: COMMAND, body: encode('createStream', 10 + i, null) });
  for (let i = 0; i < 2_000; i += 1) rtmp.tell('play', [`${i}`], { sid: (i % 100) + 1 });
  for (let i = 0; i < 2_000; i += 1) rtmp.send({ type: COMMAND, body: encode('noSuchCall', 9_000 + i, null, 'x'.repeat(500)) });
  await answersOrCloses(rtmp, 'thousands of streams');
  const crowd = await Promise.allSettled(Array.from({ length: 150 }, () => Rtmp.open(t, call.server)));
  assert.ok(crowd.length > 0);
  for (const { value } of crowd) value?.socket.destroy();
}

const ODD_NAMES = [
  '../../etc/passwd', '..', '.', '/', '//', 'a/b\\c:d|e', '%2e%2e%2f%00', 'x?y?z=1&token', '?', '#', '\u0000', 'tab\tand', 'two\nlines', '',
  'n'.repeat(10_000), '<img src=x onerror="window.__owned=1">', '\u202eright to left', '__proto__', 'NONE', 'mp4:../x.flv', 'rtmp://127.0.0.1/a/b',
];

async function oddNames(t, call) {
  for (const odd of ODD_NAMES) {
    const inRoom = await begun(t, call);
    inRoom.setChunkSize(4_096);
    const publish = await Promise.any([inRoom.publish(odd), inRoom.hungUp('it', 6_000)]);
    if (publish.status) assert.match(publish.status.code, /^NetStream\.Publish\./, JSON.stringify(odd));
    if (inRoom.closedAtMs === 0) {
      const sid = await inRoom.play(`${odd}-absent`);
      await Promise.any([inRoom.status(sid, /^NetStream\.Play\./), inRoom.hungUp('it', 6_000)]);
    }
    inRoom.socket.destroy();
    const asRoom = await Rtmp.open(t, call.server);
    asRoom.setChunkSize(4_096);
    const answer = await Promise.any([asRoom.connect(odd), asRoom.hungUp('it', 6_000)]);
    if (answer.name === '_result') await Promise.any([asRoom.publish('x'), asRoom.hungUp('it', 6_000)]);
    asRoom.socket.destroy();
  }
  await until('the room is Alice\'s and Bob\'s again', async () =>
    (await call.server.rooms()).rooms.find((room) => room.name === call.room).participants.length === 2);
  const owned = await call.alice.visitor.evaluate(() => Boolean(window.__owned) || document.querySelector('#chat img, #participants img[src=x]') !== null);
  assert.equal(owned, false, 'a name became markup');
}

async function takenAndAbsent(t, call) {
  const rtmp = await begun(t, call);
  const { status } = await rtmp.publish('Alice');
  assert.deepEqual([status.code, status.level], ['NetStream.Publish.BadName', 'error'], 'a member of the room has the name');
  for (const absent of ['Nobody', `${call.room}-Nobody`, 'alice', 'Alic', 'Alice-']) {
    const answer = await rtmp.status(await rtmp.play(absent), /^NetStream\.Play\./);
    assert.equal(answer.code, 'NetStream.Play.StreamNotFound', absent);
  }
  const elsewhere = await Rtmp.connect(t, call.server, freshRoom());
  const { name: stream } = await published(call.server, call.room, 'Alice');
  const other = await elsewhere.status(await elsewhere.play(stream), /^NetStream\.Play\./);
  assert.equal(other.code, 'NetStream.Play.StreamNotFound', 'a stream of another room');
}

/** Real pictures, each with filler behind it that decoders skip. */
const fatTags = (tags) => tags.map((tag) => {
  if (!isPicture(tag)) return tag;
  const filler = Buffer.alloc(4 + FAT_FRAME_BYTES, 0xff);
  filler.writeUInt32BE(FAT_FRAME_BYTES);
  filler[4] = 12;
  return { ...tag, body: Buffer.concat([tag.body, filler]) };
});

async function deafPlayers(t, call) {
  const { server } = call;
  const room = freshRoom();
  const rtmp = await Rtmp.connect(t, server, room);
  rtmp.setChunkSize(65_536);
  const sid = await rtmp.publishes('Fat');
  new Broadcast(t, rtmp, sid, fatTags(readTags(await film(t, 'film-aac.flv'))));
  await published(server, room, 'Fat');
  const listener = await Rtmp.connect(t, server, room);
  const listening = await listener.play('Fat');
  await listener.hearsMedia('a picture', listening, isPicture);
  const before = server.residentBytes();
  const deaf = await Promise.all(Array.from({ length: DEAF_PLAYERS }, async () => {
    const player = await Rtmp.connect(t, server, room);
    await player.status(await player.play('Fat'), /^NetStream\.Play\.Start$/);
    player.socket.pause();
    return player;
  }));
  const began = Date.now();
  let most = 0;
  const players = async () => metrics((await server.get('/metrics')).text).sum('ringhall_rtmp_players');
  assert.equal(await players(), DEAF_PLAYERS + 1);
  await until('who never reads is disconnected', async () => {
    most = Math.max(most, server.residentBytes() - before);
    // What the listener was sent is not kept here: it is much.
    listener.messages.splice(0, listener.messages.length - 1_000);
    return (await players()) === 1;
  }, { timeoutMs: DEAF_MAX_MS, everyMs: 200 });
  console.log(`       ${DEAF_PLAYERS} deaf players: gone after ${Date.now() - began} ms, ${(most / 1024).toFixed(0)} KiB more resident`);
  assert.ok(most < DEAF_PLAYERS * DEAF_MAX_BYTES_EACH, `${DEAF_PLAYERS} deaf players hold ${most} bytes`);
  const pictures = listener.media(listening).filter(isPicture);
  const steps = pictures.slice(1).map(({ timestamp }, i) => timestamp - pictures[i].timestamp);
  assert.ok(pictures.length > 40 && steps.every((step) => step <= 150), `the listener misses up to ${Math.max(...steps)} ms`);
  assert.equal(listener.closedAtMs, 0);
  for (const player of deaf) player.socket.destroy();
}

async function longMetadata(t, call) {
  const { server, room, alice } = call;
  const rtmp = await Rtmp.connect(t, server, room);
  rtmp.setChunkSize(4_096);
  const sid = await rtmp.publishes('Wordy');
  const tags = readTags(await film(t, 'film-aac.flv'));
  const wordy = { timecode: '01:00:00:00', comment: 'x'.repeat(70_000), width: 640, height: 360, ...Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`key${i}`, i])) };
  for (let i = 0; i < 5; i += 1) rtmp.send({ type: DATA, sid, body: encode('@setDataFrame', 'onMetaData', new EcmaArray(wordy)) });
  new Broadcast(t, rtmp, sid, tags.filter((tag) => tag.type !== DATA));
  await seesFilm(alice.visitor, Guest.video('Wordy'));
  await hears(alice.visitor, Guest.video('Wordy'));
  // And from here on nonsense in the place of media, which is dropped or ends it.
  for (const hex of ['', '17', '1700', '170000', '17000000', '1700000000', '170000000001', '17010000000000000001', '170100000000ffffff', '1701000000ffffffff65', '27ffffffffff', '07', '90', '904f707573', 'd0', 'ff', '5700', 'a0', '9768766331']) {
    for (const type of [8, 9]) rtmp.send({ type, sid, timestamp: 20_000, body: Buffer.from(hex, 'hex') });
  }
  rtmp.send({ type: 22, sid, timestamp: 20_000, body: Buffer.alloc(500, 9) });
  for (const tag of tags.filter(isHeader)) rtmp.send({ ...tag, sid, timestamp: 20_001, body: tag.body.subarray(0, tag.body.length >> 1) });
  await answersOrCloses(rtmp, 'media that is none');
  rtmp.close();
  await alice.misses('Wordy');
}

/** A session as it should be, as bytes. */
function honestSession(rtmp, room) {
  const address = `rtmp://127.0.0.1:1935/${room}`;
  return Buffer.concat([
    rtmp.chunked({ type: COMMAND, body: encode('connect', 1, { app: room, flashVer: 'FMLE/3.0', tcUrl: address, type: 'nonprivate' }) }),
    rtmp.chunked({ type: COMMAND, body: encode('createStream', 2, null) }),
    rtmp.chunked({ type: COMMAND, body: encode('publish', 3, null, 'Mutant', 'live'), sid: 1 }),
    rtmp.chunked({ type: DATA, body: encode('@setDataFrame', 'onMetaData', new EcmaArray({ width: 640, height: 360, videocodecid: 7 })), sid: 1 }),
    rtmp.chunked({ type: VIDEO, body: Buffer.from('17000000000142c01effe100096742c01ed901e08f10', 'hex'), sid: 1 }),
    rtmp.chunked({ type: VIDEO, body: Buffer.concat([Buffer.from('1701000000000000c865', 'hex'), Buffer.alloc(199, 7)]), sid: 1, timestamp: 40 }),
    rtmp.chunked({ type: 8, body: Buffer.from('af001190', 'hex'), sid: 1, timestamp: 40 }),
    rtmp.chunked({ type: 8, body: Buffer.from('af01210049', 'hex'), sid: 1, timestamp: 60 }),
  ]);
}

async function mutants(t, call) {
  const random = generator(7);
  for (let i = 0; i < MUTANTS; i += 1) {
    const rtmp = await Rtmp.open(t, call.server);
    const bytes = honestSession(rtmp, freshRoom());
    for (let flips = 1 + (random() % 8); flips > 0; flips -= 1) bytes[random() % bytes.length] = random() & 0xff;
    rtmp.raw(bytes);
    if (i % 10 === 9) await sleep(20);
    rtmp.socket.end();
  }
}

async function largeWhipBodies(t, call) {
  for (const type of ['application/sdp', 'text/plain']) {
    for (let i = 0; i < 5; i += 1) {
      const answer = await fetch(`${call.server.url}/whip/${call.room}/Large`, {
        method: 'POST', headers: { 'content-type': type }, body: 'a=x\r\n'.repeat(WHIP_BODY_BYTES / 5), signal: AbortSignal.timeout(5_000),
      });
      assert.equal(answer.status, 413, await answer.text());
    }
  }
}

export const cases = [
  beside('rtmp-bad-handshakes', 'other protocols and garbage at the RTMP port are hung up on; who stalls, or drips, before connect is given up within 14 s', handshakes),
  beside('rtmp-declared-lengths', 'messages of 16 MB on every chunk stream are not allocated before they arrive, and held only so far when they do', declaredLengths),
  beside('rtmp-chunk-sizes', 'chunk sizes 0, 1, 2^31-1 and others: the connection still answers or is hung up on', chunkSizes),
  beside('rtmp-amf-bombs', 'AMF0 and AMF3 that nest, count, refer or lie: the connection still answers or is hung up on', amfBombs),
  beside('rtmp-wrong-order', 'commands before connect, on no stream, aborted and interleaved messages, every type: nobody joins by it, and the connection answers or is hung up on', wrongOrder),
  beside('rtmp-many-streams', 'thousands of createStream, play and unknown calls on one connection cost no more than it', manyStreams),
  beside('rtmp-odd-names', 'path tricks, markup, control characters and lengths in stream names and rooms: a status or a close', oddNames, { timeoutMs: 120_000 }),
  beside('rtmp-taken-and-absent', 'a member\'s name is BadName to encoders; absent streams, and those of other rooms, are StreamNotFound', takenAndAbsent),
  beside('rtmp-deaf-players', 'players who never read are bounded, then disconnected; one who reads misses nothing', deafPlayers, {
    timeoutMs: 120_000,
    // Their queues were full of small pieces: of those the allocator may keep what it once needed.
    growthMaxBytes: DEAF_PLAYERS * DEAF_MAX_BYTES_EACH,
  }),
  beside('rtmp-long-metadata', 'metadata beyond 64 KiB, a timecode and hundreds of keys do not harm a stream; media that is none is dropped, or ends it', longMetadata),
  beside('rtmp-mutants', 'sessions with bytes changed at random harm nobody', mutants),
  beside('whip-large-bodies', 'WHIP bodies of 1 MB are 413', largeWhipBodies),
];
