// Files the server recorded, as decoders show them: every picture with its time and
// its colour, every sample of the sound, and what players say of the whole.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { createFile, Log } from 'mp4box';

import { FFMPEGS } from './clients.mjs';
import { metrics } from './metrics.mjs';
import { temporaryFolder } from './secure.mjs';
import { Server } from './server.mjs';
import { until, within } from './wait.mjs';

const TOOL_TIMEOUT_MS = 60_000;
const PIXELS = 64;
/** A lost packet of 20 ms takes 3 dB of so much. */
const HOLE_WINDOW_S = 0.1;
/** A time base of the streams' own: with the usual one two pictures close to each other are one to ffmpeg 5. */
const EXACT = ['-enc_time_base:v', '1:90000'];
/** What a decoder says of black: every sample of luma, of limited and of full range, and of chroma. */
const BLACK = { limited: [16, 128, 128], full: [0, 128, 128] };

/** A server that records into a folder of its own, which is in `folder`. */
export async function recordingServer(t, settings = {}, folder = path.join(temporaryFolder(t), 'records')) {
  const server = await Server.start(t, { records_dir: folder, ...settings });
  return { server, folder };
}

/** A folder that is a disk of that size, for a while. */
export async function smallDisk(t, bytes) {
  const folder = temporaryFolder(t);
  await printed(t, 'mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'ringhall-test', folder]);
  t.defer(async () => printed({ defer: () => undefined }, 'umount', ['-l', folder]));
  return folder;
}

/** What a tool did: its exit code, what it printed, and what it complained of. */
export async function does(t, command, args, how = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...how });
  t.defer(() => child.kill('SIGKILL'));
  const parts = [];
  let said = '';
  child.stdout.on('data', (bytes) => parts.push(bytes));
  child.stderr.on('data', (bytes) => (said += bytes));
  const code = await within(new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }), TOOL_TIMEOUT_MS, command);
  return { code, out: Buffer.concat(parts), said };
}

/** The same of a tool that must not fail. */
async function printed(t, command, args) {
  const { code, out, said } = await does(t, command, args);
  if (code !== 0) throw new Error(`${path.basename(command)} ended with ${code}: ${said.slice(-1_000)}`);
  return { out, said };
}

// The folder.

/** The files there, by their names, without manifests. */
export const recordings = (folder) => readdirSync(folder).filter((name) => /\.mp4(\.part)?$/.test(name)).sort();

/** What `/api/records` tells of each file, by login. */
export async function told(server) {
  const { status, text } = await server.get('/api/records');
  if (status !== 200) throw new Error(`/api/records answered ${status}: ${text}`);
  return JSON.parse(text).records;
}

/** Waits until that many files are whole and nothing is left to do to them. */
export async function allWhole(server, folder, count, timeoutMs = 10_000) {
  await until(`${count} files are whole`, async () => {
    const names = readdirSync(folder);
    const whole = recordings(folder).filter((name) => name.endsWith('.mp4'));
    const busy = metrics((await server.get('/metrics')).text).sum('ringhall_recordings');
    const untold = (await told(server)).filter(({ state, duration_us: us }) => state !== 'finished' || !us);
    if (whole.length === count && names.every((name) => !name.endsWith('.part')) && busy === 0 && untold.length === 0) return true;
    throw new Error(`${names}; ${busy} going on; not told whole: ${untold.map(({ name }) => name)}; the server said: ${server.output.slice(-600)}`);
  }, { timeoutMs });
  return told(server);
}

/** What a server printed of its recordings: `{verb, login, file, line}`. */
export const eventsOf = (server) => [...server.output.matchAll(/^recording (begun|whole|failed|refused|left unfinished) .*?login="(.*?)" .*?file="(.*?)".*$/gm)]
  .map(([line, verb, login, file]) => ({ verb, login, file, line }));

/** Waits until a server has printed that of a login's recording. */
export const happens = (server, verb, login, timeoutMs = 10_000) => until(`the recording of ${login} is ${verb}`, () => {
  const found = eventsOf(server).find((event) => event.verb === verb && event.login === login);
  if (found) return found;
  throw new Error(server.output.slice(-800));
}, { timeoutMs, everyMs: 20 });

// What decoders say.

/** No decoder has anything to complain of in that file, or in one still written to. */
export async function isSound(t, file) {
  const { said } = await printed(t, 'ffprobe', ['-v', 'warning', file]);
  assert.equal(said, '', `ffprobe of ${file}`);
  for (const [name, ffmpeg] of Object.entries(FFMPEGS)) await decodes(t, name, await ffmpeg(t), file);
}

async function decodes(t, name, ffmpeg, file) {
  const { code, said } = await does(t, ffmpeg, ['-v', 'error', '-i', file, ...EXACT, '-f', 'null', '-']);
  assert.deepEqual([code, said], [0, ''], `${name} decodes ${file}`);
}

/** Its streams as ffprobe tells them: `{video, audio, seconds}`. */
export async function probe(t, file) {
  const { out } = await printed(t, 'ffprobe', ['-v', 'error', '-show_streams', '-show_format', '-of', 'json', file]);
  const { streams, format } = JSON.parse(String(out));
  const found = (kind) => {
    const stream = streams.find(({ codec_type: type }) => type === kind);
    return stream && {
      codec: stream.codec_name, width: stream.width, height: stream.height, range: stream.color_range,
      rate: Number(stream.sample_rate ?? 0), channels: stream.channels, seconds: Number(stream.duration), from: Number(stream.start_time),
      framesPerSecond: stream.avg_frame_rate?.split('/').reduce((a, b) => Number(a) / Number(b)),
    };
  };
  return { video: found('video'), audio: found('audio'), seconds: Number(format.duration), bytes: Number(format.size) };
}

/** How long its packets of sound are, the usual one. */
export async function packetSeconds(t, file) {
  const { out } = await printed(t, 'ffprobe', ['-v', 'error', '-select_streams', 'a', '-show_entries', 'packet=duration_time', '-of', 'csv=p=0', file]);
  const all = String(out).split('\n').map(Number).filter((s) => s > 0).sort((a, b) => a - b);
  return all[all.length >> 1];
}

/**
 * Every picture: when it is shown, the colour of a part of it, and whether all of it is black.
 * @param {string} ffmpeg that decodes it
 * @param {string} [part] of the picture whose colour is taken, as a crop
 * @returns {Promise<{atS: number, rgb: number[], black: undefined|'limited'|'full'}[]>}
 */
export async function pictures(t, ffmpeg, file, part = 'iw*0.2:ih*0.5:iw*0.15:ih*0.25') {
  const { out, said } = await printed(t, ffmpeg, [
    '-v', 'info', '-nostats', '-i', file, '-map', '0:v:0', '-fps_mode', 'passthrough', ...EXACT,
    '-vf', `showinfo,crop=${part},scale=8:8:flags=area,format=rgb24`, '-f', 'rawvideo', '-',
  ]);
  const shown = [...said.matchAll(/ n: *\d+ pts:.* pts_time:(\S+) .* s:(\d+)x(\d+) .* plane_checksum:\[([^\]]+)\]/g)];
  assert.equal(out.length, shown.length * PIXELS * 3, `pictures of ${file}`);
  return shown.map(([, atS, width, height, checksums], i) => {
    const rgb = [0, 0, 0];
    for (let at = 0; at < PIXELS * 3; at += 1) rgb[at % 3] += out[i * PIXELS * 3 + at] / PIXELS;
    return { atS: Number(atS), rgb, black: blackOf(Number(width), Number(height), checksums) };
  });
}

const checksumsOfBlack = new Map();

/** Which black a picture of these checksums is, if it is black to the last sample. */
function blackOf(width, height, checksums) {
  const key = `${width}x${height}`;
  if (!checksumsOfBlack.has(key)) {
    const chroma = Math.ceil(width / 2) * Math.ceil(height / 2);
    const sizes = [width * height, chroma, chroma];
    checksumsOfBlack.set(key, Object.entries(BLACK).map(([range, values]) => [range, values.map((v, i) => checksum(v, sizes[i])).join(' ')]));
  }
  return checksumsOfBlack.get(key).find(([, ofBlack]) => ofBlack === checksums)?.[0];
}

/** Adler-32 of so many times the same byte, begun with 0 as ffmpeg does. */
function checksum(value, count) {
  let [a, b] = [0, 0];
  for (let i = 0; i < count; i += 1) {
    a = (a + value) % 65_521;
    b = (b + a) % 65_521;
  }
  return (b * 65_536 + a).toString(16).toUpperCase().padStart(8, '0');
}

/** All of the sound, as decoded. */
export class Sound {
  /** @param {Int16Array} samples of all channels in turn */
  constructor(samples, rate, channels) {
    this.samples = samples;
    this.rate = rate;
    this.channels = channels;
    this.seconds = samples.length / channels / rate;
  }

  static async of(t, ffmpeg, file) {
    const { audio } = await probe(t, file);
    const { out } = await printed(t, ffmpeg, ['-v', 'error', '-i', file, '-map', '0:a:0', '-f', 's16le', '-']);
    // Aligned, which a part of a pool need not be.
    const samples = new Int16Array(new Uint8Array(out).buffer, 0, out.length >> 1);
    return new Sound(samples, audio.rate, audio.channels);
  }

  /** The loudest sample between two instants, of 32,768. */
  peak(fromS, untilS) {
    return this.#part(fromS, untilS).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  }

  /** When a sample is first louder than that. */
  firstAbove(level) {
    return this.samples.findIndex((sample) => Math.abs(sample) > level) / this.channels / this.rate;
  }

  /** How strong a tone is between two instants, in dB below the strongest possible. */
  tone(hz, fromS, untilS) {
    const part = this.#part(fromS, untilS);
    const count = Math.floor(part.length / this.channels);
    const turn = 2 * Math.cos((2 * Math.PI * hz) / this.rate);
    let [before, last, weight] = [0, 0, 0];
    for (let i = 0; i < count; i += 1) {
      let mixed = 0;
      for (let c = 0; c < this.channels; c += 1) mixed += part[i * this.channels + c];
      const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / count);
      weight += window;
      [before, last] = [last, (mixed / this.channels) * window + turn * last - before];
    }
    const power = last * last + before * before - turn * last * before;
    return 20 * Math.log10((2 * Math.sqrt(Math.max(power, 1e-9))) / Math.max(weight, 1) / 32_768);
  }

  #part(fromS, untilS) {
    const at = (s) => Math.min(Math.max(Math.round(s * this.rate), 0) * this.channels, this.samples.length);
    return this.samples.subarray(at(fromS), at(untilS));
  }
}

/** A tone in every window of a stretch, as strong as just before and after: no packet of it is missing. */
export async function withoutHoles(t, ffmpeg, file, hz, fromS, untilS) {
  const sound = await Sound.of(t, ffmpeg, file);
  const levels = [];
  for (let at = fromS; at + HOLE_WINDOW_S <= untilS; at += HOLE_WINDOW_S / 2) levels.push({ at, db: sound.tone(hz, at, at + HOLE_WINDOW_S) });
  // A browser's gain may be slow to settle.
  const around = (i) => levels.slice(Math.max(i - 6, 0), i + 7).map(({ db }) => db).sort((a, b) => a - b).at(-4);
  const holes = levels.filter(({ db }, i) => db < -34 || db < around(i) - 2).map(({ at, db }) => `${at.toFixed(2)} s: ${db.toFixed(0)} dB`);
  assert.ok(levels.length > 10 && holes.length === 0, `${hz} Hz without holes in ${levels.length} windows of ${file}, but at ${holes.slice(0, 12)}`);
}

// What players say.

/** The npm package's reader knows every box and finds every sample; its tracks' lengths in seconds. */
export function readByMp4box(file) {
  const bytes = readFileSync(file);
  const complaints = [];
  Log.setLogLevel(Log.LOG_LEVEL_WARN ?? 2);
  const usual = { warn: console.warn, error: console.error };
  console.warn = console.error = (...words) => complaints.push(words.join(' '));
  try {
    const iso = createFile();
    iso.onError = (module, message) => complaints.push(`${module}: ${message}`);
    let info;
    iso.onReady = (found) => (info = found);
    const part = new Uint8Array(bytes).buffer;
    iso.appendBuffer(Object.assign(part, { fileStart: 0 }), true);
    iso.flush();
    assert.ok(info, `mp4box reads ${file}: ${complaints}`);
    assert.deepEqual(complaints, [], `mp4box reads ${file}`);
    return info.tracks.map((track) => {
      const samples = iso.getTrackSamplesInfo(track.id);
      assert.equal(samples.length, track.nb_samples, `samples of track ${track.id}`);
      const last = samples.at(-1);
      assert.ok(samples.every(({ offset, size }) => offset + size <= bytes.length), 'every sample is in the file');
      return { codec: track.codec, samples: samples.length, seconds: (last.dts + last.duration) / track.timescale };
    });
  } finally {
    Object.assign(console, usual);
  }
}

/**
 * Plays a file in a page of the server, seeks, and plays on: what was shown and heard.
 * @param {import('./browsers.mjs').Visitor} visitor
 */
export function playedBy(visitor, url, seekToS) {
  return visitor.evaluate(async ({ url, seekToS }) => {
    const video = document.createElement('video');
    video.src = url;
    document.body.append(video);
    const audio = new AudioContext();
    const analyser = audio.createAnalyser();
    analyser.fftSize = 8_192;
    audio.createMediaElementSource(video).connect(analyser).connect(audio.destination);
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const until = async (what, fits) => {
      for (let tries = 0; tries < 200; tries += 1) {
        if (video.error) throw new Error(`${what}: error ${video.error.code} ${video.error.message}`);
        if (fits()) return;
        await sleep(50);
      }
      throw new Error(`${what}: not within 10 s; at ${video.currentTime} of ${video.duration}, readyState ${video.readyState}`);
    };
    const look = () => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [8, 8];
      const pen = canvas.getContext('2d');
      const { videoWidth: width, videoHeight: height } = video;
      if (width === 0) return { atS: video.currentTime, rgb: null };
      pen.drawImage(video, width * 0.15, height * 0.25, width * 0.2, height * 0.5, 0, 0, 8, 8);
      const { data } = pen.getImageData(0, 0, 8, 8);
      const sum = [0, 0, 0];
      for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c += 1) sum[c] += data[i + c] / 64;
      return { atS: video.currentTime, rgb: sum };
    };
    const hear = () => {
      const bins = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(bins);
      const top = bins.indexOf(Math.max(...bins));
      return { hz: (top * audio.sampleRate) / analyser.fftSize, db: bins[top] };
    };
    try {
      await until('its length', () => video.readyState >= 1);
      const durationS = video.duration;
      await audio.resume();
      await video.play();
      await until('it plays', () => video.currentTime > 0.7);
      const begin = look();
      video.currentTime = seekToS;
      await until('it seeks', () => !video.seeking && video.readyState >= 2);
      const landedS = video.currentTime;
      await until('it plays on', () => video.currentTime > seekToS + 0.6);
      const looks = [];
      for (let i = 0; i < 8; i += 1) {
        looks.push(look());
        await sleep(60);
      }
      const quality = video.getVideoPlaybackQuality();
      return { durationS, begin, landedS, looks, heard: hear(), frames: quality.totalVideoFrames, corrupted: quality.corruptedVideoFrames ?? 0 };
    } finally {
      video.remove();
      await audio.close();
    }
  }, { url, seekToS });
}
