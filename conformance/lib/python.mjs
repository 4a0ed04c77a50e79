// Clients from the Python index: an ffmpeg newer than Debian's, and aiortc. `run`
// installs them into a folder of the harness.

import { spawn } from 'node:child_process';
import path from 'node:path';

import { repository } from './server.mjs';
import { within } from './wait.mjs';

const python = path.join(repository, 'conformance/.cache/python/bin/python');

/** A client of ours that runs beside the case, and is ended with it. */
export class Helper {
  output = '';
  #child;
  #ended;

  constructor(t, command, args) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => (this.output += text));
    }
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.output += error.message;
        resolve(null);
      });
      this.#child.once('close', resolve);
    });
    t.defer(() => this.#child.kill('SIGKILL'));
  }

  /** Its exit code, once it has ended by itself. */
  ended(timeoutMs, what) {
    return within(this.#ended, timeoutMs, what).catch((error) => {
      throw new Error(`${error.message}; it printed: ${this.output.slice(-1_500)}`);
    });
  }

  /** Stops it, lets it go on, ends it: whatever the signal does. */
  signal(signal) {
    this.#child.kill(signal);
  }

  /** Asks an ffmpeg to finish in order. */
  quit() {
    this.#child.stdin.end('q');
  }
}

/** Runs a script of `support/`. */
export function pythonScript(t, script, args) {
  return new Helper(t, python, [path.join(repository, 'conformance/support', script), ...args]);
}

/** The path of the ffmpeg that speaks WHIP. */
export async function newestFfmpeg(t) {
  const helper = new Helper(t, python, ['-c', 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())']);
  const code = await helper.ended(20_000, 'finding ffmpeg');
  if (code !== 0) throw new Error(`no ffmpeg from the Python index: ${helper.output}`);
  return helper.output.trim();
}
