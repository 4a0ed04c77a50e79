// What the operator lets people do, how many and how often; and wishes of clients
// that are answered otherwise than asked.

import assert from 'node:assert/strict';

import { request } from '../lib/access.mjs';
import { Visitor } from '../lib/browsers.mjs';
import { twoMeet, usesCodecs } from '../lib/calls.mjs';
import { hasPicture, hears, seesFilm, stillFlows } from '../lib/checks.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { OfficialGuest } from '../lib/official.mjs';
import { connected, temporaryFolder, TRUSTING } from '../lib/secure.mjs';
import { repository, Server } from '../lib/server.mjs';
import { servePages } from '../lib/static.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { offer, Wire } from '../lib/wire.mjs';

const PER_SECOND = 2;
/** A limit lets ten times itself through at once. */
const AT_ONCE = PER_SECOND * 10;
const OTHER_ADDRESS = '127.0.0.2';
const FROM_THERE = { localAddress: OTHER_ADDRESS };
/** A second, and what a busy machine adds. */
const AGAIN_AFTER_MS = 1_200;
const WEBSDK = `${repository}/conformance/node_modules/@flashphoner/websdk`;

async function fullRoom(t) {
  const server = await Server.start(t, { 'room.max_participants': 2 });
  const origin = await servePages(t);
  const { alice, bob, room } = await twoMeet(t, server);
  const cem = await Guest.open(t, server, { room, login: 'Cem' });
  await cem.visitor.click('#joinBtn');
  await cem.visitor.shows('#failedInfo', 'The room is full.');
  await cem.visitor.shows('#joinBtn', 'Join');
  const dan = await OfficialGuest.open(t, { server, origin, room, login: 'Dan' });
  await dan.visitor.click('#joinBtn');
  await dan.visitor.shows('#failedInfo', 'Room is full');
  await dan.visitor.shows('#joinBtn', 'Join');
  const wire = await Wire.connect(t, server, 'Eve');
  assert.equal((await wire.command('join', { name: room })).info, 'Room is full');
  assert.equal((await wire.command('join', { name: freshRoom() })).status, 'ACCEPTED', 'another room has room');
  for (const guest of [alice, bob]) {
    const places = await guest.visitor.evaluate(() => [...document.querySelectorAll('#participants .participant')].map((p) => p.dataset.login));
    assert.deepEqual(places, [guest === alice ? 'Bob' : 'Alice'], 'who was turned away is shown to nobody');
    await stillFlows(guest.visitor);
  }
  await bob.leave();
  await alice.misses('Bob');
  await cem.enter();
  await Promise.all([cem.meets('Alice'), alice.meets('Cem')]);
  for (const guest of [alice, bob, cem, dan]) guest.assertNoErrors();
}

/** One core, so that the limit is the one that is set. */
const limited = (t, rate) => Server.start(t, { cores: 1, 'rate.connections': 0, 'rate.joins': 0, 'rate.messages': 0, [rate]: PER_SECOND });

/** Asks one after another until one is refused: how many were not. */
async function untilRefused(ask, most = AT_ONCE * 3) {
  for (let taken = 0; taken < most; taken += 1) {
    const refused = await ask();
    if (refused) return { taken, refused };
  }
  throw new Error(`${most} were not refused`);
}

/** A full burst passes, then one is refused with these words; elsewhere nothing is; after a second it goes on. */
async function holdsRate(here, elsewhere, words) {
  const began = Date.now();
  const { taken, refused } = await untilRefused(here);
  const refilled = Math.ceil(((Date.now() - began) / 1_000) * PER_SECOND);
  assert.equal(refused, words);
  assert.ok(taken >= AT_ONCE && taken <= AT_ONCE + refilled, `${taken} passed at once`);
  assert.equal(await elsewhere(), undefined, 'another address is refused too');
  assert.equal(await here(), words, 'nothing comes back at once');
  // The second itself is the claim.
  await sleep(AGAIN_AFTER_MS);
  const next = await untilRefused(here);
  assert.ok(next.taken >= 1 && next.taken <= AT_ONCE / 2, `${next.taken} after a second`);
}

/** Joins until it is refused: between two joins of a flood one of a person may be let through. */
const isRefusedAtPage = ({ visitor }, words) => until('the page says why it is refused', async () => {
  const label = await visitor.text('#joinBtn');
  const enabled = await visitor.evaluate(() => !document.querySelector('#joinBtn').disabled);
  const info = await visitor.text('#failedInfo');
  if (label === 'Join' && words.test(info)) return true;
  if (enabled) await visitor.click('#joinBtn');
  throw new Error(`${label}, "${info}"`);
}, { timeoutMs: 25_000, everyMs: 200 });

async function joinRate(t) {
  const server = await limited(t, 'rate.joins');
  let joins = 0;
  const joining = (wire) => async () => {
    const { status, info } = await wire.command('join', { name: `rate-${(joins += 1)}` });
    if (status === 'ACCEPTED') await wire.command('leave', { name: `rate-${joins}` });
    return status === 'FAILED' ? info : undefined;
  };
  const [near, far] = [await Wire.connect(t, server, 'near'), await Wire.connect(t, server, 'far', undefined, FROM_THERE)];
  await holdsRate(joining(near), joining(far), 'Too many joins from this address');

  const alice = await Guest.open(t, server, { login: 'Alice' });
  let flooding = true;
  const flood = (async () => {
    while (flooding) {
      near.messages.length = 0;
      await untilRefused(joining(near)).catch(() => undefined);
    }
  })();
  try {
    await isRefusedAtPage(alice, /Too many people are joining from your network at once/);
  } finally {
    flooding = false;
    await flood;
  }
  await sleep(AGAIN_AFTER_MS);
  await alice.enter();
  alice.assertNoErrors();
}

async function messageRate(t) {
  const server = await limited(t, 'rate.messages');
  const room = freshRoom();
  const [near, far] = [await Wire.join(t, server, 'near', room), await Wire.join(t, server, 'far', room, undefined, FROM_THERE)];
  const saying = (wire, to) => async () => (await wire.command('sendMessage', { roomConfig: { name: room }, to, text: 'hello' })).info;
  await holdsRate(saying(near, 'far'), saying(far, 'near'), 'Too many messages');
}

async function connectionRate(t) {
  const server = await Server.start(t, { cores: 1, 'rate.connections': PER_SECOND, 'wss.port': 0, 'tls.dir': temporaryFolder(t) });
  const seen = new Set();
  const asking = (localAddress) => async () => {
    const { status, text } = await request(server, '/healthz', { localAddress });
    if (status === 200) return undefined;
    seen.add(text.trim());
    return `${status}`;
  };
  const far = await Wire.join(t, server, 'far', freshRoom(), undefined, FROM_THERE);
  await holdsRate(asking(undefined), asking(OTHER_ADDRESS), '429');
  assert.deepEqual([...seen], ['too many connections from this address']);
  await assert.rejects(Wire.open(t, server), /429/);
  await assert.rejects(connected(t, server), undefined, 'a TLS connection beyond the limit');
  const known = await far.command('leave', { name: far.room });
  assert.equal(known.status, 'ACCEPTED', 'who is connected stays so');
}

/** The video codecs of the answer to an offer of both. */
async function answered(t, server, room) {
  const wire = await Wire.join(t, server, 'asks', room);
  const id = wire.publish(`${room}-asks`, offer('sendonly'));
  const { data: [, sdp] } = await wire.hears('the answer', ({ message, data }) => message === 'setRemoteSDP' && data[0] === id);
  wire.close();
  const section = sdp.slice(sdp.indexOf('m=video'));
  return [...section.matchAll(/a=rtpmap:\d+ (VP8|H264)\//g)].map(([, codec]) => codec);
}

async function roomCodecs(t) {
  const server = await Server.start(t, { 'room.video_codecs': 'lobby*:vp8;lobby-exact:h264,vp8;lobby-long*:h264' });
  for (const [room, first] of [['lobby', 'VP8'], ['lobby-exact', 'H264'], ['lobby-exactly', 'VP8'], ['lobby-long-one', 'H264'], ['Lobby', 'H264'], ['the lobby', 'H264']]) {
    assert.equal((await answered(t, server, room))[0], first, `the codec of ${room}`);
  }
  for (const [room, video] of [['lobby1', 'VP8'], [freshRoom(), 'H264']]) {
    const { alice, bob } = await twoMeet(t, server, { room });
    for (const guest of [alice, bob]) await usesCodecs(guest, { video, audio: 'opus' });
    await Promise.all([alice, bob].map((guest) => guest.visitor.close()));
  }
}

async function transportWish(t) {
  const server = await Server.start(t);
  const origin = await servePages(t);
  const room = freshRoom();
  const visitors = [];
  for (const login of ['Ann', 'Ben']) {
    const visitor = await Visitor.open(t, 'chromium');
    await visitor.goto(`${origin}/pages/sdk.html`);
    await visitor.evaluate(async ([url, login, room]) => {
      await window.visit.connect(url, login);
      await window.visit.join(room);
    }, [server.wsUrl, login, room]);
    visitors.push(visitor);
  }
  const [ann, ben] = visitors;
  await ann.evaluate(() => window.visit.publish({ constraints: { audio: true, video: true }, transport: 'TCP' }));
  await until('Ben knows the stream', () => ben.evaluate(() => window.visit.room.getParticipants()[0]?.getStreams().length === 1));
  await ben.evaluate(() => window.visit.play('Ann', { transport: 'TCP' }));
  for (const [visitor, wish] of [[ann, 'publishStream'], [ben, 'playStream']]) {
    const asked = visitor.frames.find(({ sent, message }) => sent && message === wish).data[0];
    assert.equal(asked.transport, 'TCP', 'the SDK asks for TCP');
    const { data: [event] } = await visitor.hearsFrame('about the transport', ({ message, data }) => message === 'notifyStreamEvent' && data[0].type === 'transport');
    assert.equal(event.mediaSessionId, asked.mediaSessionId);
    assert.deepEqual([event.payload.wanted, event.payload.used], ['TCP', 'UDP']);
    assert.ok(event.payload.info.length > 10, 'says why');
    const told = visitor.frames.filter(({ message, data }) => message === 'notifyStreamEvent' && data[0].type === 'transport');
    assert.equal(told.length, 1, 'told once');
    const { data: [, sdp] } = visitor.frames.find(({ sent, message, data }) => !sent && message === 'setRemoteSDP' && data[0] === asked.mediaSessionId);
    assert.match(sdp, /a=candidate:\S+ 1 udp /i);
    assert.doesNotMatch(sdp, /a=candidate:\S+ 1 tcp /i);
  }
  await seesFilm(ben, '#remote video');
  await hears(ben, '#remote video');
  for (const visitor of visitors) assert.deepEqual(visitor.errors, []);
}

/** The camera track of a guest's own picture. */
const cameraOf = (guest) => guest.visitor.evaluate(() => {
  const [track] = document.querySelector('#localDisplay video').srcObject.getVideoTracks();
  return { id: track.id, readyState: track.readyState };
});

async function sameCamera(t) {
  const server = await Server.start(t, { video_codecs: 'h264,vp8' });
  const room = freshRoom();
  const alice = await Guest.join(t, server, { room, login: 'Alice' });
  const before = await cameraOf(alice);
  const opened = () => alice.visitor.evaluate(() => window.__opened);
  await alice.visitor.evaluate(() => {
    const real = navigator.mediaDevices.getUserMedia;
    window.__opened = 0;
    navigator.mediaDevices.getUserMedia = (asked) => {
      window.__opened += 1;
      return real(asked);
    };
  });
  const bob = await Guest.join(t, server, { room, login: 'Bob', instrument: { videoCodec: 'VP8' } });
  await hasPicture(bob.visitor, Guest.video('Alice'));
  await hears(bob.visitor, Guest.video('Alice'));
  const published = alice.visitor.frames.filter(({ sent, message }) => sent && message === 'publishStream');
  assert.equal(published.length, 2, 'published anew');
  assert.deepEqual(await cameraOf(alice), before, 'the camera is the one of before, and on');
  assert.equal(await opened(), 0, 'and was not asked for again');
  alice.assertNoErrors();
  bob.assertNoErrors();
}

async function officialOverTls(t) {
  const server = await Server.start(t, { 'wss.port': 0, 'tls.dir': temporaryFolder(t), 'client2.dir': WEBSDK });
  const room = freshRoom();
  const who = { server: { wsUrl: server.secureWsUrl }, origin: server.secureUrl, room, browser: TRUSTING };
  const ann = await OfficialGuest.join(t, { ...who, login: 'Ann' });
  const ben = await OfficialGuest.join(t, { ...who, login: 'Ben' });
  await Promise.all([ann.meets('Ben'), ben.meets('Ann')]);
  await Promise.all([ann.seesAndHears('Ben'), ben.seesAndHears('Ann')]);
  await ann.say('inside TLS');
  await ben.reads('Ann', 'inside TLS');
  ann.assertNoErrors();
  ben.assertNoErrors();
}

export const cases = [
  { id: 'rules-full-room', requirement: 'room.max_participants: one too many is told so at our page, at the official one and on the wire; a place that gets free can be taken', run: fullRoom },
  { id: 'rules-join-rate', requirement: 'rate.joins: beyond it joins are refused in words, from that address only, until a second later', run: joinRate },
  { id: 'rules-message-rate', requirement: 'rate.messages: beyond it chat is refused, from that address only, until a second later', run: messageRate },
  { id: 'rules-connection-rate', requirement: 'rate.connections: beyond it connections get 429, from that address only, until a second later', run: connectionRate },
  { id: 'rules-room-codecs', requirement: 'room.video_codecs: rooms of that name or prefix use their codec, others the server\'s', run: roomCodecs },
  { id: 'rules-transport', requirement: 'the SDK\'s wish for TCP is answered over UDP, and told so; media flows', run: transportWish },
  { id: 'rules-same-camera', requirement: 'who publishes anew for a viewer\'s codec goes on with the same camera track, not asked for again', run: sameCamera },
  { id: 'rules-official-https', requirement: 'client2.dir over https: two people at the official Conference page see, hear and read each other', run: officialOverTls },
];
