// RTMP encoders and players as full members of a room: ffmpeg of Debian and the
// newest one, rtmpdump, GStreamer, and scripted ones for what those cannot be made to
// do. An ffmpeg publishes over WHIP beside them all the while.

import assert from 'node:assert/strict';
import path from 'node:path';

import { accessToken, SECRET } from '../lib/access.mjs';
import { bareVisitor, published, seesAndHears } from '../lib/calls.mjs';
import { colourRuns, hasPicture, hears, seesFilm, stillFlows, totals } from '../lib/checks.mjs';
import { besides, encodes, ffmpegPlays, gstreamerPublishes, PLAYERS, recordingOf, repeats, rtmpdumpPlays } from '../lib/clients.mjs';
import { film, filmWithBFrames } from '../lib/films.mjs';
import { isKeyFrame, isPicture, readTags, writeTags } from '../lib/flv.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { watchColours } from '../lib/inpage.mjs';
import { metrics } from '../lib/metrics.mjs';
import { newestFfmpeg } from '../lib/python.mjs';
import { holdsFilmAndTone, probed, showsFilm, soundsLike } from '../lib/recording.mjs';
import { Broadcast, Rtmp } from '../lib/rtmp.mjs';
import { temporaryFolder } from '../lib/secure.mjs';
import { Server } from '../lib/server.mjs';
import { sleep, until } from '../lib/wait.mjs';

const PLAY_SECONDS = 5;
/** How soon a player must have its first picture, whatever the distance of key frames. */
const FIRST_PICTURE_MAX_MS = 1_000;
/** What a status about a stream that can't be shown may take. */
const STATUS_MAX_MS = 1_000;
/** A picture kept from before must not hold back those that follow. */
const WAITING_MAX_MS = 500;
/** A holder that has sent nothing for 2 s loses its name to who asks for it. */
const SILENT_MS = 2_500;
/** So many are more than what was still on its way. */
const MOVES_FRAMES = 10;
const WHIP_MIN_MS = 90_000;
const WHIP_LOST_MAX_SHARE = 0.01;
const CHUNK_BYTES = 4_096;

/** One server with the settings of the box, and ffmpeg's WHIP publisher with a viewer. */
export async function share(t) {
  const server = await Server.start(t);
  const room = freshRoom();
  const ffmpeg = await repeats(t, 'ffmpeg-9', await film(t, 'film-opus.mkv'), `${server.url}/whip/${room}/Encoder`, { format: 'whip' });
  await besides(ffmpeg, () => published(server, room, 'Encoder'));
  const viewer = await bareVisitor(t);
  await viewer.evaluate((url) => window.play(url), `${server.url}/whep/${room}/Encoder`);
  return { server, whip: { room, ffmpeg, viewer, sinceMs: Date.now() } };
}

const transcoded = async (server) => metrics((await server.get('/metrics')).text).sum('ringhall_transcoded_frames_total');

/** How many more frames were transcoded while `work` was done. */
async function transcodedBy(server, work) {
  const before = await transcoded(server);
  await work();
  return (await transcoded(server)) - before;
}

/** Room events of that name, and about that login, which a guest's page has heard. */
const heardOf = (guest, name, login) => guest.visitor.frames.filter(({ sent, message, data }) =>
  !sent && message === 'OnDataEvent' && data[0].payload.name === name && JSON.stringify(data[0].payload.info).includes(login));

/** A scripted encoder whose `publish` was accepted. */
async function scripted(t, server, room, name, settings = {}) {
  const rtmp = await Rtmp.connect(t, server, room, { type: 'nonprivate' });
  Object.assign(rtmp, settings);
  rtmp.setChunkSize(settings.chunkSize ?? CHUNK_BYTES);
  return { rtmp, sid: await rtmp.publishes(name) };
}

async function browserFirst(t, { server }) {
  const folder = temporaryFolder(t);
  const room = freshRoom();
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const tries = await Promise.allSettled(Object.entries(PLAYERS).map(async ([name, play]) => {
    const file = recordingOf(folder, name);
    const said = await play(t, server.rtmpUrl(room, 'Guest'), file, PLAY_SECONDS);
    try {
      await holdsFilmAndTone(t, file, { seconds: PLAY_SECONDS });
    } catch (error) {
      throw new Error(`${name}: ${error.message}; it printed: ${said.slice(-800)}`);
    }
  }));
  const failures = tries.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.message);
  assert.deepEqual(failures, []);
  assert.deepEqual((await server.rooms()).rooms.find(({ name }) => name === room).participants.map(({ login }) => login), ['Guest'], 'players are no members');
  guest.assertNoErrors();
}

/** Both ffmpegs in one room, under a name each. */
async function ffmpegsPublish(t, { server }) {
  const room = freshRoom();
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const names = ['ffmpeg-5', 'ffmpeg-9'];
  const encoders = await Promise.all(names.map((name) => encodes(t, name, server.rtmpUrl(room, name))));
  await Promise.all(names.map((name, i) => besides(encoders[i], async () => {
    const stream = await published(server, room, name);
    assert.equal(stream.name, `${room}-${name}`);
    await guest.meets(name);
    await guest.reads(name, 'joined');
    await seesAndHears(guest, name);
  })));
  const late = await Guest.join(t, server, { room, login: 'Late' });
  for (const [i, name] of names.entries()) {
    await late.reads('chat', name);
    await hasPicture(late.visitor, Guest.video(name));
    encoders[i].quit();
    assert.equal(await encoders[i].ended(10_000, `${name} quits`), 0, encoders[i].output.slice(-800));
    await guest.misses(name);
    await guest.reads(name, 'left');
  }
  guest.assertNoErrors();
}

async function gstreamerAndRtmpdump(t, { server }) {
  const folder = temporaryFolder(t);
  const room = freshRoom();
  const gstreamer = gstreamerPublishes(t, await film(t, 'film-aac.flv'), server.rtmpUrl(room, 'Encoder'));
  await besides(gstreamer, async () => {
    await published(server, room, 'Encoder');
    const file = recordingOf(folder, 'rtmpdump');
    const encodedAnew = await transcodedBy(server, async () => {
      const where = ['-r', server.rtmpUrl(room, `${room}-Encoder`), '-C', 'O:1', '-C', 'NS:login:Dump', '-C', 'NN:7:1', '-C', 'O:0', '-C', 'S:alice'];
      await rtmpdumpPlays(t, where, file, PLAY_SECONDS);
    });
    await holdsFilmAndTone(t, file, { seconds: PLAY_SECONDS });
    assert.equal(encodedAnew, 0, 'AAC is played as it was published');
    const guest = await Guest.join(t, server, { room, login: 'Guest' });
    await seesAndHears(guest, 'Encoder');
  });
}

async function opusStaysOpus(t, { server }) {
  const folder = temporaryFolder(t);
  const room = freshRoom();
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const ffmpeg = await repeats(t, 'ffmpeg-9', await film(t, 'film-opus.mkv'), server.rtmpUrl(room, 'Encoder'));
  const enhanced = ['-rtmp_enhanced_codecs', 'Opus,avc1'];
  const encodedAnew = await transcodedBy(server, async () => {
    await besides(ffmpeg, () => seesAndHears(guest, 'Encoder'));
    await Promise.all(['Encoder', 'Guest'].map(async (login) => {
      // Into FLV, which unlike Matroska can have a picture that changes its size.
      const file = recordingOf(folder, login);
      const newest = await newestFfmpeg(t);
      const said = await ffmpegPlays(t, 'ffmpeg-9', server.rtmpUrl(room, login), file, PLAY_SECONDS, enhanced);
      assert.match(said, /Audio: opus/, said.slice(-800));
      assert.doesNotMatch(said, /Subtitle/, 'metadata is no stream');
      const frames = Number([...said.matchAll(/frame=\s*(\d+)/g)].at(-1)?.[1]);
      assert.ok(frames >= PLAY_SECONDS * 14, `${frames} frames of ${login}`);
      await showsFilm(t, file, newest);
      await soundsLike(t, file, undefined, newest);
    }));
  });
  assert.equal(encodedAnew, 0, 'nobody here needs another codec');
  // The counter is no ornament: a player that knows no Opus makes it count.
  const needed = await transcodedBy(server, async () => {
    const file = recordingOf(folder, 'ffmpeg-5');
    await ffmpegPlays(t, 'ffmpeg-5', server.rtmpUrl(room, 'Encoder'), file, PLAY_SECONDS);
    await holdsFilmAndTone(t, file, { seconds: PLAY_SECONDS });
  });
  assert.ok(needed >= PLAY_SECONDS * 30, `${needed} frames were transcoded for a player of AAC`);
}

async function lateJoiner(t, { server }) {
  const room = freshRoom();
  const ffmpeg = await repeats(t, 'ffmpeg-5', await film(t, 'film-long-gop.flv'), server.rtmpUrl(room, 'Encoder'));
  await besides(ffmpeg, () => published(server, room, 'Encoder'));
  // Well inside the first ten seconds, which have one key frame.
  await sleep(4_000);
  const viewer = await bareVisitor(t);
  await viewer.evaluate((url) => window.play(url), `${server.url}/whep/${room}/Encoder`);
  const firstMs = await until('the late viewer has a picture', async () => {
    const ms = await viewer.evaluate(() => window.firstPictureMs);
    return ms === undefined ? null : { ms };
  }, { timeoutMs: 8_000, everyMs: 50 });
  assert.ok(firstMs.ms <= FIRST_PICTURE_MAX_MS, `the first picture came ${firstMs.ms.toFixed(0)} ms after the connection stood`);

  const rtmp = await Rtmp.connect(t, server, room);
  const asked = Date.now();
  const sid = await rtmp.play('Encoder');
  const picture = await rtmp.hearsMedia('a picture', sid, isPicture, 8_000);
  assert.ok(isKeyFrame(picture), 'the first picture is a key frame');
  assert.ok(picture.atMs - asked <= FIRST_PICTURE_MAX_MS, `the RTMP player's first picture came after ${picture.atMs - asked} ms`);

  const waitingMs = await viewer.evaluate(() => window.waitingMs(2_000));
  assert.ok(waitingMs <= WAITING_MAX_MS, `pictures wait ${waitingMs.toFixed(0)} ms in the late viewer`);
  await seesFilm(viewer, '#far');
  await hears(viewer, '#far');
}

async function bFrames(t, { server }) {
  const folder = temporaryFolder(t);
  const room = freshRoom();
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const { rtmp, sid } = await scripted(t, server, room, 'Encoder');
  const tags = readTags(await filmWithBFrames(t));
  assert.ok(tags.some((tag) => isPicture(tag) && tag.body.readIntBE(2, 3) > 60), 'the film has B-frames');
  const broadcast = new Broadcast(t, rtmp, sid, tags);
  await hears(guest.visitor, Guest.video('Encoder'));
  await until('the publisher is told of its B-frames', () => rtmp.calls.find(({ name, args }) => name === 'onStatus' && /B-frames/i.test(JSON.stringify(args))));
  await until('the room is told of them', () => guest.visitor.frames.find((frame) => !frame.sent && /B-frames/i.test(JSON.stringify(frame.data))));
  // One or two may have been shown before the first of them told what follows.
  const shown = await guest.visitor.evaluate(watchColours, { selector: Guest.video('Encoder'), spanMs: 2_000 });
  assert.ok(colourRuns(shown).length <= 1, 'no picture is shown but the first');

  const player = await Rtmp.connect(t, server, room);
  const playing = await player.play('Encoder');
  await player.hearsMedia('a picture', playing, isPicture);
  await sleep(PLAY_SECONDS * 1_000);
  const file = writeTags(recordingOf(folder, 'scripted'), player.media(playing));
  const reordered = player.media(playing).filter((message) => isPicture(message) && message.body.readIntBE(2, 3) > 60);
  assert.ok(reordered.length > 10, 'the RTMP player is sent the B-frames');
  await holdsFilmAndTone(t, file, { seconds: PLAY_SECONDS - 1 });

  broadcast.stop();
  const soFarMs = Math.max(...player.media(playing).map(({ timestamp }) => timestamp));
  new Broadcast(t, rtmp, sid, readTags(await film(t, 'film-aac.flv')), { startMs: soFarMs + 1_000 });
  await until('the room is told that they stopped', () => guest.visitor.frames.find((frame) => !frame.sent && /videoAvailable/.test(JSON.stringify(frame.data))));
  await seesFilm(guest.visitor, Guest.video('Encoder'));
}

/** Waits for pictures of who came in another's place: the last one of before stands still until then. */
async function showsAgain(guest) {
  const frames = async () => totals(await guest.visitor.stats(), 'in').video.frames;
  const before = await frames();
  await until('pictures come again', async () => (await frames()) >= before + MOVES_FRAMES);
}

async function replaced(t, { server }) {
  const room = freshRoom();
  const file = await film(t, 'film-aac.flv');
  const url = server.rtmpUrl(room, 'Encoder');
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const stalled = await repeats(t, 'ffmpeg-5', file, url);
  await besides(stalled, () => seesFilm(guest.visitor, Guest.video('Encoder')));

  const { status } = await (await Rtmp.connect(t, server, room)).publish('Encoder');
  assert.deepEqual([status.code, status.level], ['NetStream.Publish.BadName', 'error'], 'a name in use');

  stalled.signal('SIGSTOP');
  await sleep(SILENT_MS);
  const second = await repeats(t, 'ffmpeg-9', file, url);
  await besides(second, async () => {
    await showsAgain(guest);
    await seesFilm(guest.visitor, Guest.video('Encoder'));
    await hears(guest.visitor, Guest.video('Encoder'));
  });
  assert.equal(heardOf(guest, 'LEFT', 'Encoder').length, 0, 'the viewers never saw it go');
  stalled.signal('SIGCONT');
  await stalled.ended(10_000, 'the replaced encoder ends');
  await stillFlows(guest.visitor);

  second.signal('SIGKILL');
  const third = await repeats(t, 'ffmpeg-5', file, url);
  await besides(third, async () => {
    await published(server, room, 'Encoder');
    await showsAgain(guest);
    await seesAndHears(guest, 'Encoder');
  });
  guest.assertNoErrors();
}

async function halves(t, { server }) {
  const room = freshRoom();
  const file = await film(t, 'film-aac.flv');
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const mute = await repeats(t, 'ffmpeg-5', file, server.rtmpUrl(room, 'Mute'), { flags: ['-map', '0:v', '-c', 'copy'] });
  const dark = await repeats(t, 'ffmpeg-9', file, server.rtmpUrl(room, 'Dark'), { flags: ['-map', '0:a', '-c', 'copy'] });
  await besides(mute, () => seesFilm(guest.visitor, Guest.video('Mute')));
  await besides(dark, () => hears(guest.visitor, Guest.video('Dark')));
  const folder = temporaryFolder(t);
  await Promise.all([['Mute', 'video', 'audio'], ['Dark', 'audio', 'video']].map(async ([login, has, lacks]) => {
    const recording = recordingOf(folder, login);
    await rtmpdumpPlays(t, ['-r', server.rtmpUrl(room, login)], recording, 3);
    const streams = await probed(t, recording);
    assert.ok(streams[has]?.frames > 30, `${has} of ${login}`);
    assert.equal(streams[lacks]?.frames ?? 0, 0, `${lacks} of ${login}`);
  }));
}

/** Encoders that have been running for hours: what they send goes over a limit of the timestamp's size. */
async function longRunning(t, { server }) {
  const room = freshRoom();
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const tags = readTags(await film(t, 'film-aac.flv'));
  // Two seconds before 24 bits, with small chunks so that many continue a message; and before 32 bits.
  const encoders = {
    Repeats: { startMs: 0xffffff - 2_000, settings: { absolute: true, chunkSize: 256 } },
    Omits: { startMs: 0xffffff - 2_000, settings: { absolute: true, chunkSize: 256, repeatsExtended: false } },
    Wraps: { startMs: 0xffffffff - 2_000, settings: {} },
  };
  await Promise.all(Object.entries(encoders).map(async ([name, { startMs, settings }]) => {
    const { rtmp, sid } = await scripted(t, server, room, name, settings);
    const player = await Rtmp.connect(t, server, room);
    new Broadcast(t, rtmp, sid, tags, { startMs });
    await published(server, room, name);
    const playing = await player.play(name);
    await seesAndHears(guest, name);
    const stamps = player.media(playing).filter(isPicture).map(({ timestamp }) => timestamp);
    const steps = stamps.slice(1).map((stamp, i) => (stamp - stamps[i] + 0x100000000) % 0x100000000);
    assert.ok(stamps.length > 50, `${name}: the RTMP player is sent ${stamps.length} pictures`);
    assert.ok(steps.every((step) => step < 1_000), `${name}: timestamps step by ${Math.max(...steps)} ms`);
    assert.equal(rtmp.closedAtMs, 0, `${name} is still connected`);
  }));
}

async function noSuchStream(t, { server }) {
  const room = freshRoom();
  const guest = await Guest.join(t, server, { room, login: 'Guest' });
  const rtmp = await Rtmp.connect(t, server, room);
  const absent = await rtmp.status(await rtmp.play('Nobody'), /^NetStream\.Play\./);
  assert.deepEqual([absent.code, absent.level], ['NetStream.Play.StreamNotFound', 'error']);
  const { name } = await published(server, room, 'Guest');
  const byName = await rtmp.play(name);
  await rtmp.status(byName, /^NetStream\.Play\.Start$/);
  await rtmp.hearsMedia('a picture', byName, isPicture);
  await guest.leave();
  await rtmp.status(byName, /^NetStream\.Play\.(UnpublishNotify|Stop)$/);
}

async function tokens(t) {
  const server = await Server.start(t, { 'auth.secret': SECRET });
  const room = freshRoom();
  const token = (claims, how) => `?token=${accessToken({ room, login: 'Encoder', ...claims }, how)}`;
  const refusals = [
    ['Encoder', /Access token is missing/],
    ['Encoder?token=nonsense', /Access token is malformed/],
    [`Encoder${token({}, { secret: 'another secret, which is as long as the right one' })}`, /wrong signature/],
    [`Encoder${token({ room: 'another' })}`, /another room/],
    [`Encoder${token({ login: 'Another' })}`, /another login/],
    [`Encoder${token({ exp: 1 })}`, /expired/],
    [`Encoder${token({ publish: false })}`, /Restricted access/],
  ];
  for (const [name, why] of refusals) {
    const { status } = await (await Rtmp.connect(t, server, room)).publish(name);
    assert.deepEqual([status.code, status.level], ['NetStream.Publish.Denied', 'error'], name);
    assert.match(status.description, why);
  }
  const mine = token({});
  const ffmpeg = await repeats(t, 'ffmpeg-5', await film(t, 'film-aac.flv'), server.rtmpUrl(room, 'Encoder', mine));
  await besides(ffmpeg, () => until('the encoder is a member', async () => (await server.rooms()).rooms.some(({ name }) => name === room)));

  const player = await Rtmp.connect(t, server, room);
  const refused = await player.status(await player.play('Encoder'), /^NetStream\.Play\./);
  assert.equal(refused.level, 'error');
  assert.match(refused.description, /Access token is missing/);
  const file = recordingOf(temporaryFolder(t), 'rtmpdump');
  await rtmpdumpPlays(t, ['-r', server.rtmpUrl(room, 'Encoder', token({ login: 'Viewer', publish: false }))], file, 3);
  await soundsLike(t, file);

  const other = await (await Rtmp.connect(t, server, room)).publish(`Encoder${token({ note: 'another token' })}`);
  assert.equal(other.status.code, 'NetStream.Publish.BadName', 'the name is in use, and the token is not that of its holder');
  const same = await (await Rtmp.connect(t, server, room)).publish(`Encoder${mine}`);
  assert.equal(same.status.code, 'NetStream.Publish.Start', 'who shows the same token replaces at once');
  assert.notEqual(await ffmpeg.ended(10_000, 'the replaced encoder ends'), null);
}

async function insideTls(t) {
  const folder = temporaryFolder(t);
  const server = await Server.start(t, { 'rtmps.port': 0, 'tls.dir': path.join(folder, 'tls') });
  const room = freshRoom();
  const url = server.rtmpsUrl(room, 'Encoder');
  const ffmpeg = await encodes(t, 'ffmpeg-5', url, ['-tls_verify', '0']);
  await besides(ffmpeg, () => published(server, room, 'Encoder'));
  const plays = async () => {
    const file = recordingOf(folder, 'ffmpeg-9');
    await ffmpegPlays(t, 'ffmpeg-9', url, file, PLAY_SECONDS, ['-tls_verify', '0']);
    await holdsFilmAndTone(t, file, { seconds: PLAY_SECONDS });
  };
  const watches = async () => seesAndHears(await Guest.join(t, server, { room, login: 'Guest' }), 'Encoder');
  await Promise.all([plays(), watches()]);
  const plain = await Rtmp.bare(t, { host: server.host, rtmpPort: server.rtmpsPort });
  plain.raw(Buffer.concat([Buffer.from([3]), Buffer.alloc(1_536)]));
  await plain.hungUp('plain RTMP at the port of RTMPS');
  assert.ok(plain.received < 64, 'nothing but an alert is answered outside TLS');
}

async function cannotBridge(t) {
  const server = await Server.start(t, { video_codecs: 'vp8' });
  const room = freshRoom();
  await Guest.join(t, server, { room, login: 'Guest' });
  const rtmp = await Rtmp.connect(t, server, room);
  const asked = Date.now();
  const sid = await rtmp.play('Guest');
  await rtmp.hears('why there is no picture', ({ name, args }) => name === 'onStatus' && /codec|VP8/i.test(args[1]?.description ?? ''));
  assert.ok(Date.now() - asked <= STATUS_MAX_MS, `${Date.now() - asked} ms until the status`);
  assert.equal(rtmp.media(sid).filter(isPicture).length, 0);
}

async function restart(t) {
  const server = await Server.start(t);
  const room = freshRoom();
  const { rtmp } = await scripted(t, server, room, 'Encoder');
  const player = await Rtmp.connect(t, server, room, { capsEx: 1, fourCcList: ['*'] });
  const { code } = await server.stop();
  assert.equal(code, 0);
  await player.hears('where to go', ({ name, args }) => name === 'onStatus' && args[1]?.code === 'NetConnection.Connect.ReconnectRequest');
  await Promise.all([rtmp.hungUp('the encoder'), player.hungUp('the player')]);
}

async function whipRunsOn(t, { server, whip }) {
  const { room, ffmpeg, viewer, sinceMs } = whip;
  await besides(ffmpeg, async () => {
    const file = recordingOf(temporaryFolder(t), 'ffmpeg-5');
    await ffmpegPlays(t, 'ffmpeg-5', server.rtmpUrl(room, 'Encoder'), file, PLAY_SECONDS);
    await holdsFilmAndTone(t, file, { seconds: PLAY_SECONDS });
    await sleep(Math.max(sinceMs + WHIP_MIN_MS - Date.now(), 0));
    await seesFilm(viewer, '#far');
    await hears(viewer, '#far');
    const { audio, video } = totals(await viewer.stats(), 'in');
    const seconds = (Date.now() - sinceMs) / 1_000;
    assert.ok(video.frames >= seconds * 20 * 0.9, `${video.frames} frames in ${seconds.toFixed(0)} s`);
    for (const { packets, lost } of [audio, video]) assert.ok(lost <= packets * WHIP_LOST_MAX_SHARE, `${lost} of ${packets} packets lost`);
    assert.equal((await published(server, room, 'Encoder')).status, 'PUBLISHING');
  });
}

export const cases = [
  { id: 'rtmp-browser-first', requirement: 'default settings, Chromium first: ffmpeg 5.1 and 9, rtmpdump and GStreamer play it by RTMP; its frames are counted, its film is seen, its tone heard without holes', run: browserFirst, timeoutMs: 90_000 },
  { id: 'rtmp-ffmpegs-publish', requirement: 'ffmpeg 5.1 and 9 publish H.264 and AAC: they join under their URLs\' names, members see the film and hear the tone, who comes later is told of them; quitting is leaving', run: ffmpegsPublish },
  { id: 'rtmp-gstreamer-rtmpdump', requirement: 'GStreamer publishes; rtmpdump with arguments of its own plays it by stream name, its AAC untouched; Chromium sees and hears it', run: gstreamerAndRtmpdump, timeoutMs: 90_000 },
  { id: 'rtmp-opus-untouched', requirement: 'Enhanced RTMP: H.264 and Opus of ffmpeg 9 reach Chromium, and those of both reach ffmpeg 9, without one frame transcoded; for a player of AAC there are some', run: opusStaysOpus, timeoutMs: 90_000 },
  { id: 'rtmp-late-joiner', requirement: 'key frames 10 s apart: a viewer who comes between two of them has a picture within 1 s of being connected, and no delay stays; so has an RTMP player', run: lateJoiner },
  { id: 'rtmp-b-frames', requirement: 'a publisher with B-frames: it and the room are told, Chromium has its sound and no picture until they stop, RTMP players have all', run: bFrames },
  { id: 'rtmp-replaced', requirement: 'a taken name is BadName; a holder silent for 2 s, or killed, is replaced by the next of the same name, and viewers go on', run: replaced, timeoutMs: 90_000 },
  { id: 'rtmp-halves', requirement: 'encoders without sound, and without picture: viewers and players have the other half', run: halves },
  { id: 'rtmp-timestamp-limits', requirement: 'encoders whose timestamps pass 24 bits, with extended timestamps repeated or not, and 32 bits: viewers and players go on', run: longRunning },
  { id: 'rtmp-no-such-stream', requirement: 'an absent stream is StreamNotFound; a stream is played by its name, and its end is told', run: noSuchStream },
  { id: 'rtmp-tokens', requirement: 'with auth.secret set a publish or play says why it is refused; a token in the URL opens; the same token replaces its holder at once', run: tokens },
  { id: 'rtmps', requirement: 'rtmps.port: ffmpeg 5.1 publishes and ffmpeg 9 plays inside TLS, Chromium sees and hears it; plain RTMP there is hung up on', run: insideTls, timeoutMs: 90_000 },
  { id: 'rtmp-cannot-bridge', requirement: 'a player of a VP8 stream is told within a second why it has no picture', run: cannotBridge },
  { id: 'rtmp-restart', requirement: 'SIGTERM asks Enhanced RTMP clients to connect again, and hangs up on all', run: restart },
  { id: 'whip-ffmpeg-90-seconds', requirement: 'ffmpeg\'s WHIP publisher runs 90 s beside all of that: its viewer has had every second of it, and still sees and hears; a player of RTMP too', run: whipRunsOn, timeoutMs: 150_000 },
];
