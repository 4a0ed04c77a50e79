// Recordings beside a call: their names, who asks for them, what ends them, and what a
// full disk, a lost folder or a killed server leaves of them.

import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { accessToken, request, SECRET } from '../lib/access.mjs';
import { published } from '../lib/calls.mjs';
import { colourRuns, seesFilm, stillFlows } from '../lib/checks.mjs';
import { repeats } from '../lib/clients.mjs';
import { film, filmWithBFrames } from '../lib/films.mjs';
import { PALETTE, TONE_HZ } from '../lib/fixtures.mjs';
import { readTags } from '../lib/flv.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { metrics } from '../lib/metrics.mjs';
import { holdsFilmAndTone } from '../lib/recording.mjs';
import { allWhole, does, eventsOf, happens, isSound, pictures, probe, recordingServer, recordings, smallDisk, Sound, told, withoutHoles } from '../lib/records.mjs';
import { Broadcast, Rtmp } from '../lib/rtmp.mjs';
import { Scope } from '../lib/runner.mjs';
import { sdkPublisher } from '../lib/sdk.mjs';
import { temporaryFolder } from '../lib/secure.mjs';
import { binary, Server } from '../lib/server.mjs';
import { servePages } from '../lib/static.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { Wire } from '../lib/wire.mjs';

const RECORD_MS = 4_000;
/** What a crash may cost: a fragment, what waits to be put in order, and a picture. */
const LOST_MAX_S = 2.1;
const KILLS_FULL = 20;
const TEN = 10;
/** So many, that some begin half a packet of sound beside the others, and some just before a picture. */
const BURSTS = Array.from({ length: 14 }, (_, i) => `Ben-${i}`);
const SMALL_DISK_BYTES = 256 << 10;

const statusOf = (visitor, status) => visitor.hearsFrame(status, ({ message, data }) =>
  message === 'notifyStreamStatusEvent' && data[0].status === status, { timeoutMs: 10_000 });

/** Waits until the page of a publisher has heard that its recording failed. */
const toldOfFailure = (visitor) => visitor.hearsFrame('that the recording failed', ({ message, data }) =>
  message === 'notifyStreamEvent' && data[0].type === 'recordingFailed', { timeoutMs: 20_000 });

const bytesOf = async (server, name, headers = {}) => {
  const answer = await fetch(`${server.url}/client/records/${name}`, { headers, signal: AbortSignal.timeout(5_000) });
  return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
};

async function nameTold(t) {
  const { server, folder } = await recordingServer(t);
  const origin = await servePages(t);
  const ann = await sdkPublisher(t, server, origin, 'Ann', freshRoom(), { record: true });
  const begun = await statusOf(ann, 'PUBLISHING');
  const { mediaSessionId: id, recordName: name } = begun.data[0];
  assert.equal(name, `stream-${id}-Ann.mp4`);
  assert.equal(await ann.evaluate(() => window.visit.published.getRecordInfo()), name, 'the SDK knows it');
  await until('something is written', () => recordings(folder).includes(`${name}.part`));
  await sleep(RECORD_MS);
  const during = (await told(server)).find((record) => record.name === name);
  assert.deepEqual([during.state, during.login], ['recording', 'Ann']);
  await ann.evaluate(() => window.visit.published.stop());
  const ended = await statusOf(ann, 'UNPUBLISHED');
  const file = await bytesOf(server, name);
  assert.equal(ended.data[0].recordName, name);
  assert.equal(file.status, 200);
  assert.match(file.headers.get('content-type'), /video\/mp4/);
  const copy = path.join(temporaryFolder(t), name);
  writeFileSync(copy, file.body);
  await isSound(t, copy);
  await holdsFilmAndTone(t, copy, { seconds: RECORD_MS / 1_000 });
  const { seconds } = await probe(t, copy);
  const publishedS = (ended.atMs - begun.atMs) / 1_000;
  assert.ok(Math.abs(seconds - publishedS) < 1, `${seconds} s of ${publishedS} s`);
  assert.ok(file.body.equals(readFileSync(path.join(folder, name))), 'it is the file');
  assert.deepEqual(recordings(folder), [name]);
  await inParts(server, name, file);
}

/** Ranges give the bytes of the file, and nothing else. */
async function inParts(server, name, { body, headers }) {
  const size = body.length;
  const parts = { 'bytes=0-99': [0, 100], 'bytes=100-': [100, size], 'bytes=-77': [size - 77, size], 'bytes=5000-9999': [5_000, 10_000], [`bytes=10-${size * 2}`]: [10, size] };
  for (const [range, [from, until]] of Object.entries(parts)) {
    const answer = await bytesOf(server, name, { range });
    assert.equal(answer.status, 206, range);
    assert.equal(answer.headers.get('content-range'), `bytes ${from}-${until - 1}/${size}`, range);
    assert.ok(answer.body.equals(body.subarray(from, until)), range);
  }
  assert.equal((await bytesOf(server, name, { range: `bytes=${size}-` })).status, 416);
  assert.equal((await bytesOf(server, name, { 'if-none-match': headers.get('etag') })).status, 304);
  const head = await request(server, `/client/records/${name}`, { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, String(size), '']);
  assert.equal(head.headers['accept-ranges'], 'bytes');
}

/** Names that would lead elsewhere, if anybody followed them. */
const TRICKS = ['../../evil', '..', '.hidden', '-rf', 'a/b', '/etc/passwd', 'c:\\evil', 'nul\u0000byte', '%2e%2e%2fevil', 'line\nbreak', '\u202egpj.exe', 'я'.repeat(120)];

async function namesStayInside(t) {
  const outside = temporaryFolder(t);
  const folder = path.join(outside, 'deep', 'records');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(outside, 'secret.mp4'), 'the secret');
  symlinkSync(path.join(outside, 'secret.mp4'), path.join(folder, 'link.mp4'));
  const { server } = await recordingServer(t, { record_streams: true }, folder);
  const tags = readTags(await film(t, 'film-aac.flv'));
  const accepted = [];
  const scope = new Scope();
  t.defer(() => scope.close());
  await Promise.all(TRICKS.map(async (trick, i) => {
    const room = i % 2 === 0 ? freshRoom() : `${trick.replace('\u0000', '')}${i}`;
    const rtmp = await Rtmp.connect(scope, server, room);
    rtmp.setChunkSize(4_096);
    const { sid, status } = await rtmp.publish(trick);
    if (status.code !== 'NetStream.Publish.Start') return;
    accepted.push(trick);
    new Broadcast(scope, rtmp, sid, tags);
  }));
  assert.ok(accepted.length >= 5, `of such names ${accepted.length} are accepted`);
  await until('all are recorded', () => recordings(folder).length === accepted.length + 1, { timeoutMs: 8_000 });
  await scope.close();
  await until('all are whole', () => readdirSync(folder).every((name) => !name.endsWith('.part')), { timeoutMs: 10_000 });
  assert.deepEqual(eventsOf(server).filter(({ verb }) => !['begun', 'whole'].includes(verb)), []);
  assert.deepEqual(readdirSync(outside).sort(), ['deep', 'secret.mp4']);
  assert.deepEqual(readdirSync(path.join(outside, 'deep')), ['records']);
  for (const name of readdirSync(folder).filter((one) => one !== 'link.mp4')) {
    assert.ok(lstatSync(path.join(folder, name)).isFile(), name);
    assert.match(name, /^[\p{L}\p{N}_][\p{L}\p{N}._-]*\.(mp4|json)$/u);
    assert.ok(!name.includes('..') && Buffer.byteLength(name) <= 255, name);
    assert.equal((await bytesOf(server, encodeURIComponent(name))).status, 200, name);
  }
  const ways = [
    '/client/records/../../secret.mp4', '/client/records/%2e%2e/%2e%2e/secret.mp4', '/client/records/..%2f..%2fsecret.mp4', '/client/records/..%5c..%5csecret.mp4',
    `/client/records/${encodeURIComponent(path.join(outside, 'secret.mp4'))}`, `/client/records/${outside}/secret.mp4`, '/client/records/link.mp4',
    '/client/records/', '/client/records/.', '/client/records/%00', '/client/records/secret.mp4',
  ];
  for (const way of ways) {
    const { status, text } = await request(server, way);
    assert.ok([400, 404].includes(status) && !text.includes('the secret'), `${way}: ${status} ${text.slice(0, 80)}`);
  }
}

async function joinOption(t) {
  const { server, folder } = await recordingServer(t);
  const origin = await servePages(t);
  const [room, other] = [freshRoom(), freshRoom()];
  const file = await film(t, 'film-aac.flv');
  const ann = await sdkPublisher(t, server, origin, 'Ann', room);
  const early = await repeats(t, 'ffmpeg-5', file, server.rtmpUrl(room, 'Early'));
  await repeats(t, 'ffmpeg-5', file, server.rtmpUrl(other, 'Elsewhere'));
  await published(server, room, 'Early');
  await published(server, other, 'Elsewhere');
  await sleep(500);
  assert.deepEqual(eventsOf(server), [], 'nobody asked for a recording yet');
  const bob = await Wire.connect(t, server, 'Bob');
  assert.equal((await bob.command('join', { name: room, record: true })).status, 'ACCEPTED');
  await Promise.all(['Ann', 'Early'].map((login) => happens(server, 'begun', login, 3_000)));
  const late = await repeats(t, 'ffmpeg-9', file, server.rtmpUrl(room, 'Late'));
  await happens(server, 'begun', 'Late');
  const { data: [{ payload }] } = await ann.hearsFrame('that it is recorded', ({ message, data }) => message === 'notifyStreamEvent' && data[0].type === 'recordingStarted');
  bob.close();
  await sleep(RECORD_MS);
  await ann.evaluate(() => window.visit.published.stop());
  const { recordName } = (await statusOf(ann, 'UNPUBLISHED')).data[0];
  assert.match(recordName, /^stream-.*-Ann\.mp4$/);
  assert.equal(payload.recordName, recordName, 'which was told when it began');
  for (const encoder of [early, late]) encoder.quit();
  await Promise.all(['Early', 'Late'].map((login) => happens(server, 'whole', login)));
  await until('all are whole', () => recordings(folder).every((name) => name.endsWith('.mp4')));
  assert.equal(recordings(folder).length, 3, `one file each, and none of another room: ${recordings(folder)}`);
  for (const login of ['Ann', 'Early', 'Late']) {
    await holdsFilmAndTone(t, path.join(folder, eventsOf(server).find((event) => event.login === login).file), { seconds: 3 });
  }
}

async function rtmpSetting(t) {
  const { server, folder } = await recordingServer(t, { record_rtmp_published_streams: true });
  const room = freshRoom();
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const encoder = await repeats(t, 'ffmpeg-5', await film(t, 'film-aac.flv'), server.rtmpUrl(room, 'Encoder'));
  await seesFilm(guest.visitor, Guest.video('Encoder'));
  encoder.quit();
  const { file } = await happens(server, 'whole', 'Encoder');
  assert.deepEqual(recordings(folder), [file], 'the browser is not recorded');
  await isSound(t, path.join(folder, file));
  await holdsFilmAndTone(t, path.join(folder, file), { seconds: 3 });
  guest.assertNoErrors();
}

async function needsToken(t) {
  const { server, folder } = await recordingServer(t, { 'auth.secret': SECRET });
  const room = freshRoom();
  const ann = await Wire.connect(t, server, 'Ann', accessToken({ room, login: 'Ann' }));
  const refused = await ann.command('join', { name: room, record: true });
  assert.deepEqual([refused.status, refused.info], ['FAILED', 'Access token does not allow recording']);
  assert.equal((await ann.command('join', { name: room, record: false })).status, 'ACCEPTED');
  const bob = await Wire.connect(t, server, 'Bob', accessToken({ room, login: 'Bob', record: true }));
  assert.equal((await bob.command('join', { name: room, record: true })).status, 'ACCEPTED');
  assert.throws(() => readdirSync(folder), /ENOENT/, 'no folder is made for nothing');
}

async function asAac(t) {
  const { server, folder } = await recordingServer(t, { record_audio: 'aac' });
  const origin = await servePages(t);
  const room = freshRoom();
  const ann = await sdkPublisher(t, server, origin, 'Ann', room, { record: true });
  await sleep(RECORD_MS);
  await ann.evaluate(() => window.visit.published.stop());
  const { recordName } = (await statusOf(ann, 'UNPUBLISHED')).data[0];
  const file = path.join(folder, recordName);
  const { audio, video, seconds } = await probe(t, file);
  assert.deepEqual([audio.codec, video.codec], ['aac', 'h264']);
  assert.ok(Math.abs(audio.seconds - video.seconds) < 0.2 && seconds > 3, `${audio.seconds} s of sound, ${video.seconds} s of pictures`);
  await isSound(t, file);
  await holdsFilmAndTone(t, file, { seconds: Math.floor(seconds) });
}

/** Ann at the SDK's page and an encoder, both recorded; Bob looks on. */
async function recordedCall(t, settings, folder) {
  const { server } = await recordingServer(t, { record_rtmp_published_streams: true, ...settings }, folder);
  const origin = await servePages(t);
  const room = freshRoom();
  const ann = await sdkPublisher(t, server, origin, 'Ann', room, { record: true });
  const bob = await Guest.join(t, server, { room, login: 'Bob' });
  await repeats(t, 'ffmpeg-5', await film(t, 'film-aac.flv'), server.rtmpUrl(room, 'Encoder'));
  await bob.meets('Ann');
  return { server, room, ann, bob };
}

/** The call goes on as if nothing had been recorded, and the server answers. */
async function goesOn({ server, ann, bob }) {
  await stillFlows(bob.visitor);
  await Promise.all(['Ann', 'Encoder'].map((login) => seesFilm(bob.visitor, Guest.video(login))));
  assert.equal((await server.get('/healthz')).status, 200);
  assert.deepEqual(ann.errors, []);
  bob.assertNoErrors();
}

async function diskFull(t) {
  const folder = await smallDisk(t, SMALL_DISK_BYTES);
  const call = await recordedCall(t, { 'records.min_free_bytes': 0 }, folder);
  const { server, ann } = call;
  const failures = await Promise.all(['Ann', 'Encoder'].map((login) => happens(server, 'failed', login, 25_000)));
  for (const { line } of failures) assert.match(line, /why="the disk is full"/);
  const { data: [{ payload }] } = await toldOfFailure(ann);
  assert.equal(payload.info, 'The recording of this stream ended: the disk is full');
  await goesOn(call);
  assert.equal(metrics((await server.get('/metrics')).text).sum('ringhall_recordings_failed_total'), 2);
  const names = recordings(folder);
  assert.equal(names.length, 2, names.join());
  for (const name of names) await stillPlays(t, path.join(folder, name), 1);
}

/** A file that was never finished shows what is in it; how many seconds. */
async function stillPlays(t, file, secondsMin) {
  await isSound(t, file);
  const shown = await pictures(t, 'ffmpeg', file);
  const seconds = shown.at(-1).atS;
  assert.ok(seconds >= secondsMin, `${seconds} s in ${file}, and at least ${secondsMin} s were expected`);
  return seconds;
}

async function noFolder(t) {
  const blocked = path.join(temporaryFolder(t), 'a-file');
  writeFileSync(blocked, '');
  const call = await recordedCall(t, {}, path.join(blocked, 'records'));
  await Promise.all(['Ann', 'Encoder'].map((login) => happens(call.server, 'failed', login)));
  await toldOfFailure(call.ann);
  await goesOn(call);
}

async function folderRemoved(t) {
  const folder = path.join(temporaryFolder(t), 'records');
  const call = await recordedCall(t, {}, folder);
  await until('both are written', () => recordings(folder).length === 2);
  rmSync(folder, { recursive: true });
  await sleep(2_000);
  await goesOn(call);
  await call.ann.evaluate(() => window.visit.published.stop());
  await statusOf(call.ann, 'UNPUBLISHED');
  await happens(call.server, 'failed', 'Ann');
  // The next one is recorded again.
  await call.ann.evaluate(() => window.visit.publish({ constraints: { audio: true, video: true }, record: true }));
  await until('the next one is written', () => recordings(folder).length === 1);
  await sleep(1_000);
  await call.ann.evaluate(() => window.visit.published.stop());
  await happens(call.server, 'whole', 'Ann');
  await isSound(t, path.join(folder, recordings(folder)[0]));
}

async function tooLittleFree(t) {
  const { server, folder } = await recordingServer(t, { 'records.min_free_bytes': '1000000000000000' });
  const ann = await sdkPublisher(t, server, await servePages(t), 'Ann', freshRoom(), { record: true });
  const { line } = await happens(server, 'failed', 'Ann');
  assert.match(line, /why="the disk is full"/);
  await toldOfFailure(ann);
  assert.deepEqual(recordings(folder), []);
}

/** The newest ffmpeg sends its first half second at once: so that its stream began before another's first picture came. */
async function burst(t) {
  const { server, folder } = await recordingServer(t, { record_rtmp_published_streams: true, enable_empty_shift_writer: true });
  const room = freshRoom();
  const tags = readTags(await film(t, 'film-aac.flv'));
  const encoders = [];
  for (const [login, aheadMs] of [['Ann', 0], ...BURSTS.map((name) => [name, 500])]) {
    const rtmp = await Rtmp.connect(t, server, room);
    rtmp.setChunkSize(4_096);
    const sid = await rtmp.publishes(login);
    const broadcast = new Broadcast(t, rtmp, sid, tags, { aheadMs });
    encoders.push({ rtmp, sid, broadcast });
    await sleep(31);
  }
  await sleep(RECORD_MS);
  for (const { rtmp, sid, broadcast } of encoders) {
    broadcast.stop();
    rtmp.tell('deleteStream', [sid]);
    rtmp.close();
  }
  const records = await allWhole(server, folder, 1 + BURSTS.length, 20_000);
  const failures = [];
  for (const { name, content_from_us: from, content_until_us: until } of records) {
    const file = path.join(folder, name);
    for (const check of [() => isSound(t, file), () => withoutHoles(t, 'ffmpeg', file, TONE_HZ, from / 1e6 + 0.2, until / 1e6 - 0.2)]) {
      await check().catch((error) => failures.push(error.message));
    }
  }
  assert.deepEqual(failures, []);
}

/** Whoever else publishes: each with what is particular to their pictures or their sound. */
async function mixed(t) {
  const { server, folder } = await recordingServer(t, { record_streams: true, enable_empty_shift_writer: true });
  const room = freshRoom();
  const scripted = async (login, name) => {
    const rtmp = await Rtmp.connect(t, server, room);
    rtmp.setChunkSize(4_096);
    const sid = await rtmp.publishes(login);
    const broadcast = new Broadcast(t, rtmp, sid, readTags(name));
    return () => {
      broadcast.stop();
      rtmp.tell('deleteStream', [sid]);
      rtmp.close();
    };
  };
  const stopSpeex = await scripted('Speex', await film(t, 'film-main-speex.flv'));
  const whip = await repeats(t, 'ffmpeg-9', await film(t, 'film-opus.mkv'), `${server.url}/whip/${room}/Whip`, { format: 'whip' });
  const mulaw = await sdkPublisher(t, server, await servePages(t), 'Mulaw', room, {}, { instrument: { audioCodec: 'PCMU' } });
  const fox = await Guest.join(t, server, { room: freshRoom(), login: 'Fox', kind: 'firefox' });
  const stopReordered = await scripted('Reordered', await filmWithBFrames(t));
  const logins = ['Speex', 'Whip', 'Mulaw', 'Fox', 'Reordered'];
  await Promise.all(logins.map((login) => happens(server, 'begun', login)));
  await sleep(RECORD_MS);
  stopSpeex();
  stopReordered();
  whip.quit();
  await mulaw.evaluate(() => window.visit.leave());
  await fox.leave();
  const records = await allWhole(server, folder, logins.length);
  const expected = { Speex: ['avc1', 'Opus'], Whip: ['avc1', 'Opus'], Mulaw: ['avc1', 'ulaw'], Fox: ['vp08', 'Opus'], Reordered: ['avc1', 'mp4a'] };
  const lengths = {};
  for (const { name, login, video, audio, duration_us: us, content_from_us: from, content_until_us: until } of records) {
    const file = path.join(folder, name);
    assert.deepEqual([video.codec, audio.codec], expected[login], login);
    await isSound(t, file);
    // Firefox's pretended sound card is some 5 % slow, and silence stands in for what it lacks.
    if (login !== 'Fox') await withoutHoles(t, 'ffmpeg', file, TONE_HZ, from / 1e6 + 0.7, until / 1e6 - 0.3);
    else assert.ok((await Sound.of(t, 'ffmpeg', file)).tone(TONE_HZ, 1, 2.5) > -30, 'Firefox is heard');
    const shown = (await pictures(t, 'ffmpeg', file)).filter(({ black }) => !black);
    const seconds = shown.at(-1).atS - shown[0].atS;
    assert.ok(seconds > 2.5 && shown.length >= seconds * 13, `${shown.length} pictures of ${login} in ${seconds} s`);
    assert.ok(shown.every(({ atS }, i) => i === 0 || atS > shown[i - 1].atS), `${login}'s pictures are in their order`);
    const runs = colourRuns(shown);
    const inOrder = runs.slice(1).filter((colour, i) => (colour - runs[i] + PALETTE.length) % PALETTE.length === 1).length;
    // And it films something of its own, in a room of its own.
    if (login === 'Fox') continue;
    assert.ok(runs.length > 5 && inOrder >= runs.length - 2, `the film of ${login}: ${runs}`);
    lengths[login] = us / 1e6;
  }
  const all = Object.values(lengths);
  assert.ok(Math.max(...all) - Math.min(...all) < 1 / 15 + 0.02, `all of a room are equally long: ${JSON.stringify(lengths)}`);
}

async function stopped(t) {
  const { server, folder } = await recordingServer(t, { record_streams: true });
  const origin = await servePages(t);
  const room = freshRoom();
  await sdkPublisher(t, server, origin, 'Ann', room);
  await repeats(t, 'ffmpeg-5', await film(t, 'film-aac.flv'), server.rtmpUrl(room, 'Encoder'));
  await until('both are recorded', () => eventsOf(server).length === 2);
  await sleep(RECORD_MS);
  const { code, elapsedMs } = await server.stop();
  assert.equal(code, 0, server.output);
  assert.ok(elapsedMs < 5_000, `it took ${elapsedMs} ms`);
  const names = recordings(folder);
  assert.deepEqual(names, eventsOf(server).filter(({ verb }) => verb === 'whole').map(({ file }) => file).sort(), server.output);
  assert.equal(names.length, 2);
  for (const name of names) await stillPlays(t, path.join(folder, name), 2.5);
}

/** A server killed while a browser and an encoder are recorded; what there is at once, and after the next start. */
async function killed(t, afterMs) {
  const { server, folder } = await recordingServer(t, { record_streams: true, enable_empty_shift_writer: true });
  const room = freshRoom();
  await repeats(t, 'ffmpeg-5', await film(t, 'film-aac.flv'), server.rtmpUrl(room, 'Ben'));
  await sdkPublisher(t, server, await servePages(t), 'Ann', room);
  await Promise.all(['Ann', 'Ben'].map((login) => happens(server, 'begun', login)));
  await sleep(afterMs);
  const atMs = Date.now();
  await server.kill();
  const { origin_unix_us: originUs } = JSON.parse(String(readFileSync(path.join(folder, readdirSync(folder).find((name) => name.endsWith('.json'))))));
  const livedS = atMs / 1_000 - originUs / 1e6;
  const files = Object.fromEntries(eventsOf(server).map(({ login, file }) => [login, file]));
  const shown = {};
  for (const login of ['Ann', 'Ben']) shown[login] = await stillPlays(t, path.join(folder, `${files[login]}.part`), livedS - LOST_MAX_S);
  const copies = await repairedByHand(t, folder, files);
  const next = await Server.start(t, { records_dir: folder });
  await until('all is repaired', () => recordings(folder).every((name) => name.endsWith('.mp4')), { timeoutMs: 5_000 });
  assert.deepEqual(recordings(folder), Object.values(files).sort());
  for (const login of ['Ann', 'Ben']) {
    const seconds = await stillPlays(t, path.join(folder, files[login]), shown[login]);
    await stillPlays(t, copies[login], seconds);
    const record = await until('the manifest tells of it', async () => (await told(next)).find(({ name, duration_us: us }) => name === files[login] && us > 0));
    assert.deepEqual([record.state, record.login, record.room], ['finished', login, room]);
    assert.ok(Math.abs(record.duration_us / 1e6 - seconds) < 0.3, `${record.duration_us} us are told of ${seconds} s`);
  }
  await next.stop();
  return Object.values(shown).map((seconds) => livedS - seconds);
}

/** The same by `ringhall repair`, on copies. */
async function repairedByHand(t, folder, files) {
  const beside = temporaryFolder(t);
  const copies = Object.fromEntries(Object.entries(files).map(([login, name]) => [login, path.join(beside, name)]));
  for (const [login, copy] of Object.entries(copies)) writeFileSync(`${copy}.part`, readFileSync(path.join(folder, `${files[login]}.part`)));
  const { code, said } = await does(t, binary, ['repair', ...Object.values(copies).map((copy) => `${copy}.part`)]);
  assert.equal(code, 0, said);
  return copies;
}

async function killedOften(t) {
  const lost = [];
  for (let i = 0; i < KILLS_FULL; i += 1) {
    const scope = new Scope();
    const afterMs = 1_500 + Math.round(Math.random() * 3_000);
    try {
      lost.push(...await killed(scope, afterMs));
    } catch (error) {
      error.message = `kill ${i + 1}, after ${afterMs} ms: ${error.message}`;
      throw error;
    } finally {
      await scope.close();
    }
  }
  console.log(`       lost at most ${Math.max(...lost).toFixed(2)} s, mostly ${lost.sort((a, b) => a - b)[lost.length >> 1].toFixed(2)} s`);
}

async function ten(t) {
  const { server, folder } = await recordingServer(t, { record_rtmp_published_streams: true, enable_empty_shift_writer: true });
  const filesBefore = server.openFiles();
  const room = freshRoom();
  const file = await film(t, 'film-aac.flv');
  const logins = Array.from({ length: TEN }, (_, i) => `encoder-${i}`);
  const encoders = await Promise.all(logins.map((login) => repeats(t, 'ffmpeg-5', file, server.rtmpUrl(room, login))));
  await Promise.all(logins.map((login) => happens(server, 'begun', login)));
  await sleep(RECORD_MS);
  const during = metrics((await server.get('/metrics')).text);
  assert.equal(during.sum('ringhall_recordings'), TEN);
  for (const encoder of encoders) encoder.quit();
  const records = await allWhole(server, folder, TEN, 15_000);
  const after = metrics((await server.get('/metrics')).text);
  for (const name of ['ringhall_recordings', 'ringhall_recordings_failed_total']) assert.equal(after.sum(name), 0, name);
  const lengths = records.map(({ duration_us: us }) => us / 1e6);
  assert.ok(Math.max(...lengths) - Math.min(...lengths) < 0.075, `all are equally long: ${lengths}`);
  for (const { name, content_from_us: from, content_until_us: until, gaps } of records) {
    assert.deepEqual(gaps, [], name);
    const shown = (await pictures(t, 'ffmpeg', path.join(folder, name))).filter(({ black }) => !black);
    const expected = ((until - from) / 1e6) * 20;
    assert.ok(shown.length >= expected - 2 && shown.length <= expected + 2, `${shown.length} pictures of the stream's in ${name}, it sent about ${expected}`);
    await isSound(t, path.join(folder, name));
    await withoutHoles(t, 'ffmpeg', path.join(folder, name), TONE_HZ, from / 1e6 + 0.2, until / 1e6 - 0.2);
  }
  await until('all files are closed', () => server.openFiles() <= filesBefore + 1, { timeoutMs: 5_000 });
  assert.ok(records.every(({ name, size_bytes: bytes }) => statSync(path.join(folder, name)).size === bytes), 'sizes are told');
}

export const cases = [
  { id: 'record-name-told', requirement: 'recordName is told with PUBLISHING and UNPUBLISHED; by then the file is whole, is served, in parts too, and shows all of the stream', run: nameTold },
  { id: 'record-names-inside', requirement: 'names of people and rooms lead to no other folder, nor do requests', run: namesStayInside },
  { id: 'record-join-option', requirement: 'who joins with record: true has every stream of the room recorded, those already published too, and of no other room', run: joinOption },
  { id: 'record-rtmp-setting', requirement: 'record_rtmp_published_streams records encoders and not browsers', run: rtmpSetting },
  { id: 'record-token', requirement: 'with auth.secret set, only a token that says so allows a recording', run: needsToken },
  { id: 'record-aac', requirement: 'record_audio=aac: a browser\'s stream has AAC in its file, the tone without holes', run: asAac },
  { id: 'record-disk-full', requirement: 'a disk becomes full: the recordings end, operator and publisher are told, the call goes on, and what was written plays', run: diskFull, timeoutMs: 90_000 },
  { id: 'record-no-folder', requirement: 'records_dir can\'t be made: operator and publisher are told, the call goes on', run: noFolder },
  { id: 'record-folder-removed', requirement: 'records_dir is removed during a recording: it is told, the call goes on, and the next recording is made', run: folderRemoved },
  { id: 'record-min-free', requirement: 'records.min_free_bytes: nothing is recorded on a disk with less, and the publisher is told', run: tooLittleFree },
  { id: 'record-burst', requirement: 'encoders that begin with half a second at once, and so before the room\'s origin, at whatever distance from its packets: files nobody complains of, tones without holes', run: burst, timeoutMs: 120_000 },
  { id: 'record-mixed', requirement: 'Firefox, ffmpeg over WHIP, a browser of µ-law, a Flash client\'s Main profile and Speex, and B-frames: each in a file with its film in order and its tone, all of a room equally long', run: mixed, timeoutMs: 90_000 },
  { id: 'record-stop', requirement: 'SIGTERM during recordings: all of them are whole when the server has ended', run: stopped },
  { id: 'record-kill', requirement: 'kill -9 while a browser and an encoder are recorded: what was written up to 2.1 s before plays at once, and after a start, or `ringhall repair`, is whole under its name', async run(t) { await killed(t, 3_000 + Math.round(Math.random() * 1_000)); } },
  { id: 'record-kill-often', requirement: 'the same at 20 random instants', run: killedOften, full: true, timeoutMs: 400_000 },
  { id: 'record-ten', requirement: 'ten encoders in one room: ten files, equally long, not one picture lost, every open file returned', run: ten, timeoutMs: 120_000 },
];
