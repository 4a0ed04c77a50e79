// What the fake camera and microphone show: made here, so that a viewer can say
// whether a picture is this one, moves at its pace, and a tone is this tone.

import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { repository } from './server.mjs';

/** Colours of the picture's left half, in the order they follow each other. */
export const PALETTE = [
  { name: 'red', rgb: [224, 32, 32] },
  { name: 'yellow', rgb: [224, 224, 32] },
  { name: 'green', rgb: [32, 224, 32] },
  { name: 'cyan', rgb: [32, 224, 224] },
  { name: 'blue', rgb: [32, 32, 224] },
  { name: 'magenta', rgb: [224, 32, 224] },
];
/** How long each colour stays. */
export const COLOUR_MS = 500;
export const TONE_HZ = 440;

const WIDTH = 640;
const HEIGHT = 360;
const FRAMES_PER_SECOND = 20;
const SAMPLES_PER_SECOND = 48_000;
const folder = path.join(repository, 'conformance/.cache');

/**
 * A Y4M film of the cycling colours. `busy` fills the right half with noise, which
 * an encoder spends its whole bitrate on; otherwise a white bar moves there.
 */
export function cameraFile({ busy = false } = {}) {
  return made(`camera-${busy ? 'busy' : 'calm'}.y4m`, () => {
    const frames = (PALETTE.length * COLOUR_MS * FRAMES_PER_SECOND) / 1000;
    const random = generator(1);
    const parts = [Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F${FRAMES_PER_SECOND}:1 Ip A1:1 C420jpeg\n`)];
    for (let frame = 0; frame < frames; frame += 1) {
      parts.push(Buffer.from('FRAME\n'), drawFrame(frame, frames, busy ? random : null));
    }
    return Buffer.concat(parts);
  });
}

function drawFrame(frame, frames, random) {
  const colour = PALETTE[Math.floor((frame * 1000) / FRAMES_PER_SECOND / COLOUR_MS)];
  const [y, u, v] = toYuv(colour.rgb);
  const luma = Buffer.alloc(WIDTH * HEIGHT, 16);
  const barAt = WIDTH / 2 + Math.floor((frame / frames) * (WIDTH / 2 - 16));
  for (let row = 0; row < HEIGHT; row += 1) {
    const start = row * WIDTH;
    luma.fill(y, start, start + WIDTH / 2);
    if (random) {
      for (let x = WIDTH / 2; x < WIDTH; x += 2) luma.fill(16 + (random() & 0x7f), start + x, start + x + 2);
    } else {
      luma.fill(235, start + barAt, start + barAt + 16);
    }
  }
  const chroma = (value) => {
    const plane = Buffer.alloc((WIDTH * HEIGHT) / 4, 128);
    for (let row = 0; row < HEIGHT / 2; row += 1) plane.fill(value, (row * WIDTH) / 2, (row * WIDTH) / 2 + WIDTH / 4);
    return plane;
  };
  return Buffer.concat([luma, chroma(u), chroma(v)]);
}

/** BT.601, limited range. */
function toYuv([r, g, b]) {
  return [
    16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255,
    128 + (-37.797 * r - 74.203 * g + 112 * b) / 255,
    128 + (112 * r - 93.786 * g - 18.214 * b) / 255,
  ].map(Math.round);
}

/** A WAV of one clean tone, of a whole number of periods so that its repeat has no click. */
export function microphoneFile(toneHz = TONE_HZ) {
  return made(`tone-${toneHz}.wav`, () => {
    const samples = SAMPLES_PER_SECOND * 2;
    const data = Buffer.alloc(samples * 2);
    for (let i = 0; i < samples; i += 1) {
      data.writeInt16LE(Math.round(12_000 * Math.sin((2 * Math.PI * toneHz * i) / SAMPLES_PER_SECOND)), i * 2);
    }
    const head = Buffer.alloc(44);
    head.write('RIFF', 0);
    head.writeUInt32LE(36 + data.length, 4);
    head.write('WAVEfmt ', 8);
    head.writeUInt32LE(16, 16);
    head.writeUInt16LE(1, 20); // PCM
    head.writeUInt16LE(1, 22); // one channel
    head.writeUInt32LE(SAMPLES_PER_SECOND, 24);
    head.writeUInt32LE(SAMPLES_PER_SECOND * 2, 28);
    head.writeUInt16LE(2, 32);
    head.writeUInt16LE(16, 34);
    head.write('data', 36);
    head.writeUInt32LE(data.length, 40);
    return Buffer.concat([head, data]);
  });
}

/** The file `name`, drawn once and kept; never seen half written. */
function made(name, draw) {
  const file = path.join(folder, name);
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${file}.${process.pid}`, draw());
    renameSync(`${file}.${process.pid}`, file);
  }
  return file;
}

/** A small repeatable source of noise (xorshift). */
export function generator(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
