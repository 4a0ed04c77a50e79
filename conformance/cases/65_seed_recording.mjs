// The room manual's recording test, automated: two people, one of them later, their
// files, and what ffmpeg's merge of them shows. Then the same files in every player.

import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';

import { Visitor } from '../lib/browsers.mjs';
import { nearestColour } from '../lib/checks.mjs';
import { FFMPEGS } from '../lib/clients.mjs';
import { CLAP_HZ, CLAP_MS, encodersConversation, FIRST_CLAP_S, officialConversation, PEOPLE } from '../lib/conversation.mjs';
import { does, isSound, packetSeconds, pictures, playedBy, probe, readByMp4box, Sound } from '../lib/records.mjs';
import { temporaryFolder } from '../lib/secure.mjs';
import { binary } from '../lib/server.mjs';

/** As the manual prints it, but for the files' names. */
const MERGE = 'ffmpeg -i stream1.mp4 -i stream2.mp4 -filter_complex "[0:v]pad=iw*2:ih[int];[int][1:v]overlay=W/2:0[vid];[0:a][1:a]amerge[a]" -map [vid] -map "[a]" -ac 2 -strict -2 -c:v libx264 -crf 23 -preset veryfast output.mp4';

/** What a decoder may complain of in a merge. */
const COMPLAINT = /error|invalid|corrupt|non.monoton|missing|concealing|discard/i;

/** The one sample value that A-law has for silence; others have nought. */
const ALAW_QUIET = 8;
/** −60 dB below the loudest. */
const QUIET_PEAK = 32;
const HEARD_DB = -30;
const UNHEARD_DB = -45;
const WINDOW_S = 0.2;
/** A clap seen and heard: what cameras, timers and encoders may differ by. */
const CLAP_TOGETHER_S = 0.2;
/** From drawing it until the server has it. */
const CLAP_LATE_S = [-0.1, 0.6];
/** Outsiders see that somebody publishes later, and not always equally late. */
const OUTSIDE_S = 0.4;
const BLACK_RGB = 24;

const KINDS = {
  'h264-opus': { make: (t) => officialConversation(t, 'h264'), video: 'h264', audio: 'opus' },
  'vp8-opus': { make: (t) => officialConversation(t, 'vp8'), video: 'vp8', audio: 'opus' },
  'h264-aac': { make: (t) => encodersConversation(t, 'aac'), video: 'h264', audio: 'aac' },
  'h264-alaw': { make: (t) => encodersConversation(t, 'alaw'), video: 'h264', audio: 'pcm_alaw' },
};

/** Each conversation is held once, for whichever case is first to ask for it. */
export async function share(t) {
  const held = new Map();
  return (kind) => {
    if (!held.has(kind)) held.set(kind, KINDS[kind].make(t));
    return held.get(kind);
  };
}

const isWhite = (rgb) => Math.min(...rgb) > 180;
const isDark = (rgb) => Math.max(...rgb) < BLACK_RGB;
const fileOf = ({ folder, records }, login) => path.join(folder, records[login].name);

/** When a colour test first holds, in seconds of the file. */
const firstAt = (shown, fits) => shown.find((one) => fits(one))?.atS;

/** When a tone is first heard: to the millisecond, nearly. */
function firstHeard(sound, hz, fromS = 0) {
  const step = 0.005;
  for (let at = fromS; at + 4 * step <= sound.seconds; at += step) {
    if (sound.tone(hz, at, at + 4 * step) > HEARD_DB) return at + 2 * step;
  }
  return undefined;
}

/** A tone is heard, or is not, in every window of a stretch. */
function heardThroughout(sound, hz, fromS, untilS, isHeard, what) {
  for (let at = fromS; at + WINDOW_S <= untilS; at += WINDOW_S) {
    const db = sound.tone(hz, at, at + WINDOW_S);
    assert.ok(isHeard ? db > HEARD_DB : db < UNHEARD_DB, `${what}: ${hz} Hz is ${db.toFixed(0)} dB at ${at.toFixed(2)} s`);
  }
}

/** Where the person's clap is, and where its stretch of the tone is not. @returns {number[]} */
const quietForClap = (clapS) => [clapS - 0.1, clapS + CLAP_MS / 1_000 + 0.1];

/** The person's tone all the time between two instants, but for claps. */
function speaks(sound, { toneHz }, fromS, untilS, clapsS, what) {
  let at = fromS;
  for (const clapS of [...clapsS.filter((s) => s + 1 > fromS && s < untilS), Infinity]) {
    const [until, next] = quietForClap(clapS);
    heardThroughout(sound, toneHz, at, Math.min(until, untilS), true, what);
    at = next;
  }
}

/** Both files are of one length, in all and track by track. */
async function equallyLong(t, conversation, kind) {
  const [alice, bob] = await Promise.all(Object.keys(PEOPLE).map((login) => probe(t, fileOf(conversation, login))));
  for (const one of [alice, bob]) {
    assert.deepEqual([one.video.codec, one.audio.codec], [KINDS[kind].video, KINDS[kind].audio]);
    assert.deepEqual([one.video.from, one.audio.from], [0, 0], 'both tracks begin at nought');
  }
  const frameS = 1 / Math.min(alice.video.framesPerSecond, bob.video.framesPerSecond);
  const packetS = await packetSeconds(t, fileOf(conversation, 'Bob'));
  const near = (a, b, by, what) => assert.ok(Math.abs(a - b) <= by, `${what}: ${a} s and ${b} s, ${by.toFixed(3)} s apart at most`);
  near(alice.seconds, bob.seconds, frameS + packetS, 'durations');
  near(alice.video.seconds, bob.video.seconds, frameS, 'pictures');
  near(alice.audio.seconds, bob.audio.seconds, packetS, 'sounds');
  assert.ok(bob.bytes < alice.bytes, `Bob's file is the smaller one: ${bob.bytes} and ${alice.bytes} bytes`);
  return { alice, bob, frameS, packetS };
}

/** Bob's file: black and silence, Bob, black and silence; each to the frame. */
async function judgeBob(t, ffmpeg, conversation, kind, { bob, frameS, packetS }) {
  const file = fileOf(conversation, 'Bob');
  const { content_from_us: fromUs, content_until_us: untilUs } = conversation.records.Bob;
  const [fromS, untilS] = [fromUs / 1e6, untilUs / 1e6];
  const shown = await pictures(t, ffmpeg, file);
  const black = bob.video.range === 'pc' ? 'full' : 'limited';
  const firstS = firstAt(shown, ({ black: is }) => !is);
  const lastS = firstAt(shown.toReversed(), ({ black: is }) => !is);
  assert.ok(firstS >= fromS - frameS && firstS <= fromS + 0.5, `the first picture is at ${firstS} s, his stream from ${fromS} s on`);
  assert.ok(lastS < untilS && lastS >= untilS - 3 * frameS, `the last picture is at ${lastS} s, his stream until ${untilS} s`);
  for (const { atS, rgb, black: is } of shown) {
    if (atS < firstS || atS > lastS) assert.equal(is, black, `the picture at ${atS} s of ${file}`);
    else assert.ok(isWhite(rgb) || PEOPLE.Bob.colours.includes(nearestColour(rgb)) || nearColours(shown, atS), `a picture of Bob at ${atS} s: ${rgb}`);
  }
  // The nominal rate before and behind, so that a merge is not held up.
  for (const stretch of [shown.filter(({ atS }) => atS <= firstS), shown.filter(({ atS }) => atS >= lastS)]) {
    const longest = Math.max(...stretch.slice(1).map(({ atS }, i) => atS - stretch[i].atS));
    assert.ok(longest <= 2 * frameS, `black pictures are ${longest.toFixed(3)} s apart at most`);
  }
  const sound = await Sound.of(t, ffmpeg, file);
  const quiet = kind === 'h264-alaw' ? ALAW_QUIET : 0;
  const heardS = sound.firstAbove(quiet);
  assert.ok(heardS >= fromS - packetS && heardS <= fromS + 0.5, `the first sound is at ${heardS} s, his stream from ${fromS} s on`);
  if (quiet > 0) assert.equal(sound.peak(0, heardS), quiet, 'the quiet code and no other');
  const tail = sound.peak(untilS + 2 * packetS, sound.seconds);
  assert.ok(tail <= QUIET_PEAK, `${tail} of 32768 in the tail`);
  assert.ok(sound.seconds > untilS + 1, 'there is a tail');
  return { shown, sound, fromS, untilS, firstS };
}

/** Two colours meet in one picture, where the encoder mixes them. */
const nearColours = (shown, atS) => shown.filter((one) => Math.abs(one.atS - atS) < 0.16).some(({ rgb }) =>
  isWhite(rgb) || PEOPLE.Bob.colours.includes(nearestColour(rgb)));

/** What happened when, by a clap that both saw and made at one instant, or by the encoders' own. */
async function isInItsPlace(t, ffmpeg, conversation, bob) {
  const alice = {
    shown: await pictures(t, ffmpeg, fileOf(conversation, 'Alice')),
    sound: await Sound.of(t, ffmpeg, fileOf(conversation, 'Alice')),
  };
  assert.equal(alice.shown.filter(({ black }) => black).length, 0, 'nothing in Alice\'s file is black');
  assert.ok(alice.shown[0].atS === 0 && PEOPLE.Alice.colours.includes(nearestColour(alice.shown[0].rgb)), 'it begins with her picture');
  const claps = [alice, bob].map(({ shown, sound }) => ({ seenS: firstAt(shown, ({ rgb }) => isWhite(rgb)), heardS: firstHeard(sound, CLAP_HZ) }));
  const together = (a, b, what) => assert.ok(Math.abs(a - b) <= CLAP_TOGETHER_S, `${what}: ${a} s and ${b} s`);
  for (const { seenS, heardS } of claps) together(seenS, heardS, 'a clap is seen and heard at once');
  if (conversation.clapAtMs) {
    together(claps[0].seenS, claps[1].seenS, 'both are seen to clap at once');
    together(claps[0].heardS, claps[1].heardS, 'both are heard to clap at once');
    const clapS = conversation.clapAtMs / 1_000 - conversation.records.Alice.origin_unix_us / 1e6;
    for (const { seenS } of claps) {
      const late = seenS - clapS;
      assert.ok(late >= CLAP_LATE_S[0] && late <= CLAP_LATE_S[1], `a clap of ${clapS.toFixed(2)} s is at ${seenS} s`);
    }
  } else {
    together(claps[0].seenS, FIRST_CLAP_S, 'Alice\'s first clap');
    together(claps[1].seenS, bob.fromS + FIRST_CLAP_S, 'Bob\'s first clap');
    const laterS = conversation.bobLaterS;
    assert.ok(Math.abs(bob.fromS - laterS) <= OUTSIDE_S, `Bob came ${laterS} s after Alice, and is in his file from ${bob.fromS} s on`);
  }
  return claps.map(({ heardS }) => heardS);
}

/** The manual's command, on the two files, with that ffmpeg. */
async function merged(t, ffmpeg, conversation) {
  const folder = temporaryFolder(t);
  symlinkSync(fileOf(conversation, 'Alice'), path.join(folder, 'stream1.mp4'));
  symlinkSync(fileOf(conversation, 'Bob'), path.join(folder, 'stream2.mp4'));
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  if (path.isAbsolute(ffmpeg)) symlinkSync(ffmpeg, path.join(bin, 'ffmpeg'));
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const { code, said } = await does(t, 'sh', ['-c', MERGE], { cwd: folder, env });
  assert.equal(code, 0, said.slice(-1_500));
  const complaints = said.split('\n').filter((line) => COMPLAINT.test(line) && !/^ {2}configuration:/.test(line));
  assert.deepEqual(complaints, [], 'ffmpeg has nothing to complain of');
  return path.join(folder, 'output.mp4');
}

/**
 * ffmpeg 9's `amerge` gives up a little of the end: of the same two files, each of which it decodes
 * to the sample, its output was 0.00 to 0.15 s too short in twelve runs, another length each time.
 */
const AMERGE_DROPS_MAX_S = 0.3;

/** Alice at the left all the time; Bob at the right while he was there; both are heard as long. */
async function showsBoth(t, ffmpeg, output, files, bob, clapsS, his = { x: files.alice.video.width, ...files.bob.video }, dropsMaxS = 0.05) {
  const { seconds, video, audio } = await probe(t, output);
  const { width, height } = files.alice.video;
  assert.deepEqual([video.width, video.height], [2 * width, height]);
  const part = ({ x, width: w, height: h }) => [w * 0.2, h * 0.5, x + w * 0.15, h * 0.25].map(Math.round).join(':');
  const left = await pictures(t, ffmpeg, output, part({ x: 0, width, height }));
  const right = await pictures(t, ffmpeg, output, part(his));
  const slack = 0.15;
  const wrong = (shown, is, fromS, untilS) => shown.filter(({ atS, rgb }) => atS >= fromS && atS < untilS && !is(rgb)).map(({ atS }) => atS);
  // Where two colours meet a picture may be neither.
  const few = (list, what) => assert.ok(list.length <= 4, `${what}, but not at ${list}`);
  few(wrong(left, (rgb) => isWhite(rgb) || PEOPLE.Alice.colours.includes(nearestColour(rgb)), 0, seconds - slack), 'Alice all the time');
  few(wrong(right, (rgb) => isWhite(rgb) || PEOPLE.Bob.colours.includes(nearestColour(rgb)), bob.firstS + slack, bob.untilS - slack), 'then both');
  assert.deepEqual(wrong(right, isDark, 0, bob.firstS - slack), [], 'first Alice alone');
  assert.deepEqual(wrong(right, isDark, bob.untilS + slack, seconds), [], 'and in the end');
  const changes = (shown) => shown.slice(1).filter(({ rgb }, i) => nearestColour(rgb) !== nearestColour(shown[i].rgb)).length;
  assert.ok(changes(left) >= seconds * 1.4, `Alice moves: ${changes(left)} changes of colour in ${seconds} s`);
  // The last packet of AAC may be longer than what is left for it.
  const longer = { video: 0.1, audio: 0.05 + 1_024 / audio.rate };
  const shorter = { video: 0.1, audio: dropsMaxS };
  for (const [kind, one] of Object.entries({ video, audio })) {
    const by = one.seconds - files.alice.seconds;
    assert.ok(by <= longer[kind] && by >= -shorter[kind], `${one.seconds} s of ${kind}, the files have ${files.alice.seconds} s`);
  }
  const sound = await Sound.of(t, ffmpeg, output);
  speaks(sound, PEOPLE.Alice, 0.2, Math.min(seconds, audio.seconds) - 0.3, [...clapsS, ...clapsS.map((s) => s + 4), ...clapsS.map((s) => s + 8)].sort((a, b) => a - b), 'Alice');
  speaks(sound, PEOPLE.Bob, bob.fromS + 0.3, bob.untilS - 0.3, [...clapsS, clapsS[1] + 4].sort((a, b) => a - b), 'Bob');
  heardThroughout(sound, PEOPLE.Bob.toneHz, 0, bob.fromS - 0.1, false, 'Bob before he came');
  heardThroughout(sound, PEOPLE.Bob.toneHz, bob.untilS + 0.1, seconds, false, 'Bob after he left');
}

async function seed(t, held, kind) {
  const conversation = await held(kind);
  const files = await equallyLong(t, conversation, kind);
  for (const name of Object.keys(FFMPEGS)) {
    const ffmpeg = await FFMPEGS[name](t);
    try {
      const bob = await judgeBob(t, ffmpeg, conversation, kind, files);
      const clapsS = await isInItsPlace(t, ffmpeg, conversation, bob);
      const dropsMaxS = name === 'ffmpeg-9' ? AMERGE_DROPS_MAX_S : undefined;
      await showsBoth(t, ffmpeg, await merged(t, ffmpeg, conversation), files, bob, clapsS, undefined, dropsMaxS);
    } catch (error) {
      error.message = `${name}: ${error.message}; the records: ${JSON.stringify(conversation.records)}`;
      throw error;
    }
  }
}

/** The server's own command makes the same of them, in cells of one size. */
async function mergeCommand(t, held) {
  const conversation = await held('h264-opus');
  const files = await equallyLong(t, conversation, 'h264-opus');
  const bob = await judgeBob(t, 'ffmpeg', conversation, 'h264-opus', files);
  const clapsS = await isInItsPlace(t, 'ffmpeg', conversation, bob);
  const { width, height } = files.alice.video;
  const scale = height / files.bob.video.height;
  const hisWidth = files.bob.video.width * scale;
  for (const [name, ffmpeg] of Object.entries(FFMPEGS)) {
    const output = path.join(temporaryFolder(t), 'film.mp4');
    const { code, said } = await does(t, binary, [
      'merge', conversation.records.Alice.room, '--records-dir', conversation.folder, '-o', output, '--ffmpeg', await ffmpeg(t),
    ], { env: process.env });
    assert.deepEqual([code, said], [0, ''], name);
    await isSound(t, output);
    await showsBoth(t, 'ffmpeg', output, files, bob, clapsS, { x: width + (width - hisWidth) / 2, width: hisWidth, height });
  }
}

/** What a browser does not do with a codec in MP4, whoever wrote the file: see the exceptions. */
const LACKS = { 'firefox vp8-opus': 'everything', 'firefox h264-alaw': 'sound' };

/** What both browsers make of a file of the server's. */
async function inBrowsers(t, server, { name, login, duration_us: us, content_from_us: fromUs }, kind) {
  const seekToS = fromUs / 1e6 + 1.6;
  const { toneHz, colours } = PEOPLE[login];
  const isPerson = ({ rgb }) => rgb && (isWhite(rgb) || colours.includes(nearestColour(rgb)));
  await Promise.all(['chromium', 'firefox'].map(async (browser) => {
    const lacks = LACKS[`${browser} ${kind}`];
    if (lacks === 'everything') return;
    const visitor = await Visitor.open(t, browser);
    await visitor.goto(`${server.url}/`);
    const played = await playedBy(visitor, `${server.url}/client/records/${name}`, seekToS)
      .catch((error) => Promise.reject(new Error(`${login}'s file in ${browser}: ${error.message}`)));
    await visitor.close();
    const what = `${login}'s file in ${browser}: ${JSON.stringify(played)}`;
    assert.ok(Math.abs(played.durationS - us / 1e6) < 0.1, `its length is known. ${what}`);
    const { hz, db } = played.heard;
    if (lacks !== 'sound') assert.ok([toneHz, CLAP_HZ].some((its) => Math.abs(hz - its) < 15) && db > -60, `the tone is heard. ${what}`);
    assert.ok(Math.abs(played.landedS - seekToS) < 0.2, `it is where it was asked to be. ${what}`);
    assert.ok(played.looks.filter(isPerson).length >= 6, `the person is seen. ${what}`);
    if (fromUs > 2e6) assert.ok(isDark(played.begin.rgb), `it begins with black. ${what}`);
    assert.ok(played.frames > 10 && played.corrupted === 0, `pictures are shown. ${what}`);
  }));
}

async function sound(t, held, kind) {
  const conversation = await held(kind);
  for (const login of Object.keys(PEOPLE)) {
    const file = fileOf(conversation, login);
    await isSound(t, file);
    const seconds = conversation.records[login].duration_us / 1e6;
    const tracks = readByMp4box(file);
    assert.equal(tracks.length, 2);
    for (const track of tracks) assert.ok(Math.abs(track.seconds - seconds) < 0.05, JSON.stringify(tracks));
    await inBrowsers(t, conversation.server, conversation.records[login], kind);
  }
}

const NAMES = {
  'h264-opus': 'H.264 and Opus of the official Conference page, its record box ticked',
  'vp8-opus': 'VP8 and Opus of the official Conference page, its record box ticked',
  'h264-aac': 'H.264 and AAC of ffmpeg 5.1 and 9 over RTMP',
  'h264-alaw': 'H.264 and A-law of ffmpeg 5.1 and 9 over RTMP',
};

export const cases = Object.keys(KINDS).flatMap((kind) => [
  {
    id: `record-seed-${kind}`,
    requirement: `the manual's recording test, ${NAMES[kind]}: two files of one length; black and silent to the frame where Bob was not there; claps in their place; merged as the manual says by ffmpeg 5.1 and 9, Alice, then both, both heard throughout`,
    run: (t, held) => seed(t, held, kind),
    timeoutMs: 120_000,
  },
  {
    id: `record-sound-${kind}`,
    requirement: `its files: ffprobe, ffmpeg 5.1 and 9 and mp4box have nothing to complain of; Chromium and Firefox play, seek, show and are heard${{ 'vp8-opus': ' (Firefox plays no VP8)', 'h264-alaw': ' (Firefox plays no A-law)' }[kind] ?? ''}`,
    run: (t, held) => sound(t, held, kind),
    timeoutMs: 120_000,
  },
]).concat({
  id: 'record-merge',
  requirement: '`ringhall merge` of the room makes one film of the two files with either ffmpeg: Alice, then both, both heard throughout',
  run: mergeCommand,
  timeoutMs: 120_000,
});
