// Encoders and players of other makers: ffmpeg of Debian and the newest one,
// rtmpdump, GStreamer. Each runs for a bounded time and is ended with its case.

import path from 'node:path';

import { LIVE_CODECS, LIVE_SOURCES } from './films.mjs';
import { Helper, newestFfmpeg } from './python.mjs';
import { sleep } from './wait.mjs';

/** Beyond what a player was told to play: to connect, and to write its file. */
const GRACE_MS = 15_000;
/** Longer than any player here plays. */
const FOREVER_MS = 120_000;
const QUIET = ['-hide_banner', '-loglevel', 'info'];

const debianFfmpeg = async (_t) => 'ffmpeg';

/** The two ffmpegs, by the names that cases give them. */
export const FFMPEGS = { 'ffmpeg-5': debianFfmpeg, 'ffmpeg-9': newestFfmpeg };

/** An ffmpeg encodes film and tone as they happen, and publishes them. */
export async function encodes(t, name, url, flags = []) {
  return new Helper(t, await FFMPEGS[name](t), [...QUIET, ...LIVE_SOURCES(), ...LIVE_CODECS, ...flags, '-f', 'flv', url]);
}

/** An ffmpeg publishes a file as it is, at its pace, again and again. */
export async function repeats(t, name, file, url, { flags = ['-c', 'copy'], format = 'flv' } = {}) {
  return new Helper(t, await FFMPEGS[name](t), [...QUIET, '-re', '-stream_loop', '-1', '-i', file, ...flags, '-f', format, url]);
}

/** GStreamer publishes a file of H.264 and AAC, once. */
export function gstreamerPublishes(t, file, url) {
  return new Helper(t, 'gst-launch-1.0', [
    'flvmux', 'name=mux', 'streamable=true', '!', 'rtmp2sink', `location=${url}`,
    'filesrc', `location=${file}`, '!', 'flvdemux', 'name=file',
    'file.video', '!', 'queue', '!', 'h264parse', '!', 'identity', 'sync=true', '!', 'mux.',
    'file.audio', '!', 'queue', '!', 'aacparse', '!', 'identity', 'sync=true', '!', 'mux.',
  ]);
}

/** Players by name: each plays `url` for about so many seconds into a file. */
export const PLAYERS = {
  'ffmpeg-5': (t, url, file, seconds) => ffmpegPlays(t, 'ffmpeg-5', url, file, seconds),
  'ffmpeg-9': (t, url, file, seconds) => ffmpegPlays(t, 'ffmpeg-9', url, file, seconds),
  rtmpdump: (t, url, file, seconds) => rtmpdumpPlays(t, ['-r', url], file, seconds),
  gstreamer: gstreamerPlays,
};

/** @param {string[]} flags of the input */
export async function ffmpegPlays(t, name, url, file, seconds, flags = []) {
  const ffmpeg = new Helper(t, await FFMPEGS[name](t), [...QUIET, '-y', ...flags, '-i', url, '-t', String(seconds), '-c', 'copy', file]);
  const code = await ffmpeg.ended(seconds * 1_000 + GRACE_MS, `${name} plays`);
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${ffmpeg.output.slice(-1_500)}`);
  return ffmpeg.output;
}

/** @param {string[]} where what names the stream */
export async function rtmpdumpPlays(t, where, file, seconds) {
  return forAWhile(new Helper(t, 'rtmpdump', ['--live', '-o', file, ...where]), 'rtmpdump', seconds);
}

async function gstreamerPlays(t, url, file, seconds) {
  return forAWhile(new Helper(t, 'gst-launch-1.0', ['-e', 'rtmp2src', `location=${url}`, '!', 'filesink', `location=${file}`, 'buffer-mode=unbuffered']), 'GStreamer', seconds);
}

/** Lets a player that knows no end of live streams play so long, and asks it to finish. */
async function forAWhile(player, name, seconds) {
  const early = await Promise.race([player.ended(FOREVER_MS, name), sleep((seconds + 1) * 1_000)]);
  if (early !== undefined) throw new Error(`${name} ended early with ${early}: ${player.output.slice(-1_500)}`);
  player.signal('SIGINT');
  await player.ended(GRACE_MS, `${name} ends`);
  return player.output;
}

/** Does `work`; should it fail, what the client printed is told with it. */
export async function besides(client, work) {
  try {
    return await work();
  } catch (error) {
    error.message += `; the client printed: ${client.output.slice(-1_500)}`;
    throw error;
  }
}

/** A file of that player's kind in a folder. */
export const recordingOf = (folder, player) => path.join(folder, `${player}.flv`);
