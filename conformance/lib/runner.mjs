// Runs cases one after another and counts. A case is `{id, requirement, run(t)}`;
// everything it starts it hands to `t.defer`, which ends it, passed or failed.
// A file of cases may export `share(t)`: what it gives is made once for its cases,
// handed to each as the second argument, and made anew after a failure.

import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { browserVersion, closeBrowsers } from './browsers.mjs';
import { running } from './server.mjs';
import { within } from './wait.mjs';

const casesFolder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../cases');
const CASE_TIMEOUT_MS = 60_000;
const OUTPUT_TAIL_CHARS = 1_500;
const MESSAGE_MAX_CHARS = 2_000;

/**
 * @typedef {object} Case
 * @property {string} id
 * @property {string} requirement the claim, in our words
 * @property {boolean} [full] only with --full
 * @property {number} [timeoutMs]
 * @property {(t: Scope, shared: any) => Promise<void>} run
 * @property {(t: Scope) => Promise<any>} [share] of the case's file
 * @property {string} [file]
 */

/** What must be ended when its owner ends, last begun first. */
export class Scope {
  #ends = [];

  defer(end) {
    this.#ends.push(end);
  }

  async close() {
    const errors = [];
    for (const end of this.#ends.splice(0).reverse()) {
      try {
        await end();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

/** Every case of every file, in the files' order. @returns {Promise<Case[]>} */
export async function allCases() {
  const files = (await readdir(casesFolder)).filter((f) => f.endsWith('.mjs')).sort();
  const modules = await Promise.all(files.map((f) => import(pathToFileURL(path.join(casesFolder, f)).href)));
  const cases = modules.flatMap(({ cases, share }, i) => cases.map((one) => ({ ...one, share, file: files[i] })));
  const twice = cases.find((a, i) => cases.findIndex((b) => b.id === a.id) !== i);
  if (twice) throw new Error(`two cases are called ${twice.id}`);
  return cases;
}

/** Runs them; true when all passed. @param {Case[]} cases */
export async function runCases(cases) {
  const failed = [];
  const started = Date.now();
  for (const [kind, name] of [['chromium', 'Chromium'], ['firefox', 'Firefox']]) {
    console.log(`${name}: ${await browserVersion(kind).catch((error) => `cannot be launched: ${error.message}`)}`);
  }
  const shared = new Shared();
  const perFile = new Map();
  for (const one of cases) {
    const began = Date.now();
    const error = await runOne(one, shared);
    const tookMs = Date.now() - began;
    perFile.set(one.file, (perFile.get(one.file) ?? 0) + tookMs);
    const seconds = (tookMs / 1000).toFixed(1);
    console.log(`${error ? 'FAILED' : 'ok    '} ${one.id} (${seconds} s) — ${one.requirement}`);
    if (error) {
      failed.push(one.id);
      console.log(indent(error));
    }
  }
  await shared.close();
  await closeBrowsers();
  console.log(`\nseconds: ${[...perFile].map(([file, ms]) => `${file.replace('.mjs', '')} ${Math.round(ms / 1000)}`).join(', ')}`);
  console.log(`black-box cases: ${((Date.now() - started) / 1000).toFixed(0)} s`);
  if (failed.length > 0) console.log(`failed: ${failed.join(' ')}`);
  console.log(`${cases.length - failed.length} passed, ${failed.length} failed`);
  return failed.length === 0;
}

/** What the cases of one file have in common, kept while they follow each other. */
class Shared {
  #share;
  #scope = new Scope();
  #value;

  async get(share) {
    if (share !== this.#share) {
      await this.close();
      this.#value = await share?.(this.#scope);
      this.#share = share;
    }
    return this.#value;
  }

  async close() {
    this.#share = undefined;
    this.#value = undefined;
    await this.#scope.close();
  }
}

/** What went wrong, with what the servers said; undefined when nothing did. */
async function runOne(one, shared) {
  const scope = new Scope();
  let trouble;
  try {
    const work = async () => one.run(scope, await shared.get(one.share));
    await within(work(), one.timeoutMs ?? CASE_TIMEOUT_MS, one.id);
  } catch (error) {
    const said = [...running].map((s) => `the server said:\n${s.output.slice(-OUTPUT_TAIL_CHARS)}`);
    trouble = [told(error), ...said].join('\n');
    await shared.close().catch(() => undefined);
  }
  try {
    await within(scope.close(), CASE_TIMEOUT_MS, `cleaning up after ${one.id}`);
  } catch (error) {
    trouble ??= told(error);
  }
  return trouble;
}

/** The message, and the lines of the cases that led to it. */
function told(error) {
  const places = (error.stack ?? '').split('\n').filter((line) => line.includes('/cases/'));
  return [String(error.message ?? error).slice(0, MESSAGE_MAX_CHARS), ...places].join('\n');
}

const indent = (text) => text.replace(/^/gm, '       ');
