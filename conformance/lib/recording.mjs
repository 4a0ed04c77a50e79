// What a player wrote into a file: judged as a viewer's page is, by the colours of the
// film and the loudest frequency.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';

import { isFilm } from './checks.mjs';
import { TONE_HZ } from './fixtures.mjs';
import { within } from './wait.mjs';

const TOOL_TIMEOUT_MS = 30_000;
const TONE_TOLERANCE_HZ = 10;
const TONE_ABOVE_MEDIAN_DB = 30;
const SAMPLES_PER_SECOND = 16_000;
const WINDOW = 8_192;
const LOOK_MS = 80;
const LOOK_PIXELS = 64;
/** Sound is looked at in blocks of this length to find holes in it. */
const BLOCK_SAMPLES = SAMPLES_PER_SECOND / 50;
const HOLES_MAX_SHARE = 0.05;

/** What a tool prints, as bytes; an error with its complaints if it fails. */
export async function printed(t, command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.defer(() => child.kill('SIGKILL'));
  const parts = [];
  let complaints = '';
  child.stdout.on('data', (bytes) => parts.push(bytes));
  child.stderr.on('data', (bytes) => (complaints += bytes));
  const code = await within(new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }), TOOL_TIMEOUT_MS, command);
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${complaints.slice(-800)}`);
  return Buffer.concat(parts);
}

/** The streams of a file, their frames counted: `{video, audio}`, each undefined if there is none. */
export async function probed(t, file) {
  const text = await printed(t, 'ffprobe', ['-v', 'error', '-count_frames', '-show_streams', '-of', 'json', file]);
  const { streams } = JSON.parse(String(text));
  const found = (kind) => {
    const stream = streams.find((one) => one.codec_type === kind);
    return stream && { codec: stream.codec_name, frames: Number(stream.nb_read_frames ?? 0), profile: stream.profile, sampleRate: Number(stream.sample_rate ?? 0) };
  };
  return { video: found('video'), audio: found('audio') };
}

/** The film's colours, in their order and at their pace. @param {string} [ffmpeg] that decodes it */
export async function showsFilm(t, file, ffmpeg = 'ffmpeg') {
  const pixels = await printed(t, ffmpeg, [
    '-v', 'fatal', '-i', file, '-an', '-vf', `fps=${1_000 / LOOK_MS},crop=iw*0.2:ih*0.5:iw*0.15:ih*0.25,scale=8:8:flags=area`,
    '-pix_fmt', 'rgb24', '-f', 'rawvideo', '-',
  ]);
  const samples = [];
  for (let at = 0; at + LOOK_PIXELS * 3 <= pixels.length; at += LOOK_PIXELS * 3) {
    const sum = [0, 0, 0];
    for (let i = 0; i < LOOK_PIXELS * 3; i += 1) sum[i % 3] += pixels[at + i];
    samples.push({ rgb: sum.map((s) => s / LOOK_PIXELS) });
  }
  isFilm(samples, samples.length * LOOK_MS, file);
}

/**
 * One clean tone from beginning to end, without holes.
 * @param {string} [ffmpeg] that decodes it
 */
export async function soundsLike(t, file, hz = TONE_HZ, ffmpeg = 'ffmpeg') {
  const bytes = await printed(t, ffmpeg, ['-v', 'fatal', '-i', file, '-vn', '-ac', '1', '-ar', String(SAMPLES_PER_SECOND), '-f', 's16le', '-']);
  // The decoder's first sounds may be of before the stream began.
  const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1).subarray(SAMPLES_PER_SECOND / 2);
  assert.ok(samples.length >= 2 * WINDOW, `more than a second of sound in ${file}, there are ${samples.length} samples`);
  const last = samples.length - WINDOW;
  for (const start of [0, last >> 1, last]) {
    const tone = loudest(samples.subarray(start, start + WINDOW));
    assert.ok(
      Math.abs(tone.hz - hz) <= TONE_TOLERANCE_HZ && tone.aboveMedianDb > TONE_ABOVE_MEDIAN_DB,
      `${hz} Hz at ${(start / SAMPLES_PER_SECOND + 0.5).toFixed(1)} s of ${file}: the loudest is ${tone.hz} Hz, ${tone.aboveMedianDb.toFixed(0)} dB above the median`,
    );
  }
  const levels = [];
  for (let at = 0; at + BLOCK_SAMPLES <= samples.length; at += BLOCK_SAMPLES) {
    levels.push(Math.sqrt(samples.subarray(at, at + BLOCK_SAMPLES).reduce((sum, s) => sum + s * s, 0) / BLOCK_SAMPLES));
  }
  const usual = [...levels].sort((a, b) => a - b)[levels.length >> 1];
  const holes = levels.filter((level) => level < usual / 4).length / levels.length;
  assert.ok(holes <= HOLES_MAX_SHARE, `sound without holes in ${file}: ${(holes * 100).toFixed(1)} % of it are none`);
}

/** The loudest frequency of a window, and how far it stands above the middle of the spectrum. */
function loudest(samples) {
  const windowed = Float64Array.from(samples, (s, i) => s * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / samples.length)));
  const powers = [];
  for (let hz = 60; hz < 4_000; hz += 4) powers.push({ hz, power: goertzel(windowed, hz) });
  const sorted = powers.map(({ power }) => power).sort((a, b) => a - b);
  const top = powers.reduce((best, one) => (one.power > best.power ? one : best));
  return { hz: top.hz, aboveMedianDb: 10 * Math.log10(top.power / Math.max(sorted[sorted.length >> 1], 1e-9)) };
}

function goertzel(samples, hz) {
  const turn = 2 * Math.cos((2 * Math.PI * hz) / SAMPLES_PER_SECOND);
  let [before, last] = [0, 0];
  for (const sample of samples) [before, last] = [last, sample + turn * last - before];
  return last * last + before * before - turn * last * before;
}

/** A whole recording: so many pictures a second, the film, the tone. */
export async function holdsFilmAndTone(t, file, { seconds, framesPerSecond = 20 }) {
  const { video, audio } = await probed(t, file);
  assert.ok(video, `${file} has no picture`);
  assert.ok(audio, `${file} has no sound`);
  assert.ok(video.frames >= seconds * framesPerSecond * 0.7, `${video.frames} frames in ${seconds} s in ${file}`);
  await showsFilm(t, file);
  await soundsLike(t, file);
  return { video, audio };
}
