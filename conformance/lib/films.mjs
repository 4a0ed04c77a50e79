// The fake camera's film and the tone as encoders make them, in files: made once, so
// that a case that is not about encoding costs little of it.

import { existsSync, mkdirSync, renameSync } from 'node:fs';
import path from 'node:path';

import { cameraFile, microphoneFile } from './fixtures.mjs';
import { Helper } from './python.mjs';
import { repository } from './server.mjs';

const folder = path.join(repository, 'conformance/.cache');
const SECONDS = 60;
const ENCODE_TIMEOUT_MS = 120_000;

const LIVE_VIDEO = ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-bf', '0', '-b:v', '600k'];
const AAC = ['-c:a', 'aac', '-ar', '48000', '-ac', '2', '-b:a', '128k'];
const OPUS = ['-c:a', 'libopus', '-ar', '48000', '-ac', '2', '-b:a', '64k'];

/** What an ffmpeg reads to send film and tone at their pace. */
export const LIVE_SOURCES = () => [
  '-re', '-stream_loop', '-1', '-i', cameraFile(), '-re', '-stream_loop', '-1', '-i', microphoneFile(), '-map', '0:v', '-map', '1:a',
];

/** H.264 without B-frames, a key frame each second, and AAC. */
export const LIVE_CODECS = [...LIVE_VIDEO, '-g', '20', ...AAC];

const FILMS = {
  'film-aac.flv': ['-profile:v', 'baseline', '-g', '20', ...AAC],
  'film-long-gop.flv': ['-profile:v', 'baseline', '-g', '200', '-x264-params', 'scenecut=0', ...AAC],
  'film-opus.mkv': ['-profile:v', 'baseline', '-g', '20', ...OPUS],
  // The quickest preset leaves out all that makes it more than Baseline.
  'film-main-speex.flv': ['-preset', 'veryfast', '-profile:v', 'main', '-level', '3.1', '-r', '15', '-g', '15', '-s', '320x240', '-c:a', 'libspeex', '-ar', '16000', '-ac', '1'],
};

/** The path of one of the films. */
export async function film(t, name) {
  return made(t, name, [...LIVE_VIDEO, ...FILMS[name]]);
}

/** H.264 whose encoder looks ahead: three B-frames between its others, and AAC. */
export async function filmWithBFrames(t) {
  return made(t, 'film-b-frames.flv', [
    '-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high', '-pix_fmt', 'yuv420p', '-bf', '3', '-x264-params', 'b-adapt=0:scenecut=0', '-g', '20', ...AAC,
  ]);
}

async function made(t, name, codecs) {
  const file = path.join(folder, name);
  if (existsSync(file)) return file;
  mkdirSync(folder, { recursive: true });
  const begun = path.join(folder, `${process.pid}-${name}`);
  const ffmpeg = new Helper(t, 'ffmpeg', [
    '-hide_banner', '-v', 'error', '-y', '-stream_loop', '-1', '-i', cameraFile(), '-stream_loop', '-1', '-i', microphoneFile(),
    '-map', '0:v', '-map', '1:a', '-t', String(SECONDS), ...codecs, begun,
  ]);
  const code = await ffmpeg.ended(ENCODE_TIMEOUT_MS, `making ${name}`);
  if (code !== 0) throw new Error(`${name} could not be made: ${ffmpeg.output}`);
  renameSync(begun, file);
  return file;
}
