// The real browsers. Each kind is launched once and kept for the whole run; every
// visitor gets a page of its own (in Chromium with a context of its own).

import { spawn } from 'node:child_process';

import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';

import { cameraFile, microphoneFile, TONE_HZ } from './fixtures.mjs';
import { callStats, instrument } from './inpage.mjs';
import { until, within } from './wait.mjs';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
const LAUNCH_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 5_000;

/** name → promise of a launched browser */
const launched = new Map();

/**
 * @typedef {object} ChromiumWish
 * @property {boolean} [busy] a camera of noise, for bitrate
 * @property {string} [executable] another command than the browser itself
 * @property {string[]} [args] further flags; such a browser is not shared
 */

/** @param {ChromiumWish} wish */
async function chromiumBrowser({ busy = false, executable = CHROMIUM, args = [] }) {
  const key = JSON.stringify(['chromium', busy, executable, args]);
  if (!launched.has(key)) {
    launched.set(key, chromium.launch({
      executablePath: executable,
      headless: true,
      timeout: LAUNCH_TIMEOUT_MS,
      args: [
        '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync', '--disable-background-timer-throttling',
        '--disable-renderer-backgrounding', '--autoplay-policy=no-user-gesture-required',
        '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
        // Whoever asks to share a screen has chosen the whole of it.
        '--auto-select-desktop-capture-source=Entire screen',
        `--use-file-for-fake-video-capture=${cameraFile({ busy })}`,
        `--use-file-for-fake-audio-capture=${microphoneFile()}`,
        ...args,
      ],
    }));
  }
  return launched.get(key);
}

/** A display that nobody looks at, for a Firefox that has a screen to share. */
async function virtualScreen() {
  const server = spawn('Xvfb', ['-displayfd', '1', '-screen', '0', '1280x720x24', '-nolisten', 'tcp'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const number = await within(new Promise((resolve, reject) => {
    server.once('error', reject);
    server.stdout.once('data', (bytes) => resolve(String(bytes).trim()));
  }), LAUNCH_TIMEOUT_MS, 'starting Xvfb');
  return { display: `:${number}`, close: async () => server.kill() };
}

/** @param {{screen?: boolean}} wish `screen`: one that has a screen; headless it has none */
async function firefoxBrowser({ screen = false } = {}) {
  const key = screen ? 'firefox-screen' : 'firefox';
  if (!launched.has(key)) {
    if (screen && !launched.has('screen')) launched.set('screen', virtualScreen());
    launched.set(key, puppeteer.launch({
      browser: 'firefox',
      executablePath: FIREFOX,
      headless: !screen,
      env: screen ? { ...process.env, DISPLAY: (await launched.get('screen')).display } : process.env,
      timeout: LAUNCH_TIMEOUT_MS,
      // The server's own certificate, as a person does who accepts it once.
      acceptInsecureCerts: true,
      extraPrefsFirefox: {
        'media.navigator.streams.fake': true,
        'media.navigator.audio.fake_frequency': TONE_HZ,
        'media.navigator.permission.disabled': true,
        'media.peerconnection.ice.loopback': true,
        'media.peerconnection.ice.obfuscate_host_addresses': false,
        'media.autoplay.default': 0,
        // A machine without a sound card: its audio graph runs on a pretended one.
        'media.cubeb.force_mock_context': true,
      },
    }));
  }
  return launched.get(key);
}

/** Ends the browsers this run started. */
export async function closeBrowsers() {
  // The screen was begun before the browser on it, and goes after it.
  const closing = [...launched.values()].reverse().map(async (browser) => {
    const open = await browser.catch(() => undefined);
    await within(open?.close() ?? Promise.resolve(), CLOSE_TIMEOUT_MS, 'closing a browser')
      .catch(() => open?.process?.()?.kill('SIGKILL'));
  });
  launched.clear();
  await Promise.all(closing);
}

/** The version a launched browser gives of itself. */
export async function browserVersion(kind) {
  return (await (kind === 'firefox' ? firefoxBrowser() : chromiumBrowser({}))).version();
}

/** One page of one browser, with the same few verbs for both kinds. */
export class Visitor {
  /** Uncaught exceptions of the page. */
  errors = [];
  /** What the page wrote to its console. */
  console = [];
  /** WebSocket messages of the page, oldest first, in Chromium: `{sent, message, data, atMs}`. */
  frames = [];

  constructor(kind, page, close) {
    this.kind = kind;
    this.page = page;
    this.close = close;
    page.on('pageerror', (error) => this.errors.push(error.message));
    page.on('console', (line) => this.console.push(line.text()));
    if (kind === 'chromium') page.on('websocket', (socket) => this.#listen(socket));
  }

  #listen(socket) {
    const note = (sent) => ({ payload }) => {
      const { message, data } = JSON.parse(String(payload));
      this.frames.push({ sent, message, data, atMs: Date.now() });
    };
    socket.on('framesent', note(true));
    socket.on('framereceived', note(false));
  }

  /** The first message from the server, already here or to come, that fits, of those after `from`. */
  hearsFrame(what, fits, { from = 0, timeoutMs = 5_000 } = {}) {
    return until(`the page hears ${what}`, () => this.frames.slice(from).find((f) => !f.sent && fits(f)), { timeoutMs, everyMs: 20 });
  }

  /**
   * @param {{defer: (f: () => any) => void}} t the case; the page is closed when it ends
   * @param {'chromium'|'firefox'} kind
   * @param {{instrument?: object, browser?: ChromiumWish, beside?: Visitor, screen?: boolean}} [wish]
   * `beside`: a new tab next to that one, in Chromium; `screen`: a Firefox that has a screen to share
   */
  static async open(t, kind, wish = {}) {
    const visitor = kind === 'firefox' ? await openFirefox(wish) : await openChromium(wish);
    t.defer(() => within(visitor.close(), CLOSE_TIMEOUT_MS, 'closing a page').catch(() => undefined));
    return visitor;
  }

  async goto(url) {
    const go = () => this.page.goto(url, { waitUntil: 'load', timeout: 20_000 });
    // Somebody else's network device came or went on this machine; people's browsers reload by themselves.
    const answer = await go().catch((error) => {
      if (!String(error.message).includes('ERR_NETWORK_CHANGED')) throw error;
      return go();
    });
    if (answer && answer.status() >= 400) throw new Error(`${url} answered ${answer.status()}`);
  }

  /** @template A, R @param {(arg: A) => R} f @param {A} [arg] @returns {Promise<Awaited<R>>} */
  evaluate(f, arg) {
    return within(this.page.evaluate(f, arg), 60_000, `${this.kind}: a script in the page`);
  }

  /** Puts text into a field as a typist's last key would leave it. */
  async fill(selector, value) {
    await this.evaluate(({ selector, value }) => {
      const field = document.querySelector(selector);
      field.value = value;
      field.dispatchEvent(new Event('input', { bubbles: true }));
      field.dispatchEvent(new Event('change', { bubbles: true }));
    }, { selector, value });
  }

  async click(selector) {
    await until(`${selector} can be clicked`, () => this.evaluate((s) => {
      const button = document.querySelector(s);
      return Boolean(button) && !button.disabled;
    }, selector));
    await this.evaluate((s) => document.querySelector(s).click(), selector);
  }

  /** The text of an element, or of the field it is. */
  text(selector) {
    return this.evaluate((s) => {
      const element = document.querySelector(s);
      return element ? (element.value || element.innerText || element.textContent || '').trim() : '';
    }, selector);
  }

  /** Waits until an element's text fits. */
  async shows(selector, pattern, timeoutMs = 20_000) {
    return until(`${this.kind} shows ${pattern} in ${selector}`, async () => {
      const text = await this.text(selector);
      if (pattern instanceof RegExp ? pattern.test(text) : text === pattern) return text || true;
      throw new Error(`it shows "${text}"; page errors: ${this.errors.join('; ') || 'none'}`);
    }, { timeoutMs });
  }

  stats() {
    return this.evaluate(callStats);
  }
}

async function openChromium({ instrument: wish = {}, browser: browserWish = {}, beside }) {
  if (beside) {
    const page = await beside.page.context().newPage();
    return new Visitor('chromium', page, () => page.close());
  }
  const browser = await chromiumBrowser(browserWish);
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 } });
  await context.addInitScript(instrument, wish);
  const page = await context.newPage();
  return new Visitor('chromium', page, () => context.close());
}

async function openFirefox({ instrument: wish = {}, screen }) {
  const browser = await firefoxBrowser({ screen });
  const page = await browser.newPage();
  await page.evaluateOnNewDocument(instrument, wish);
  return new Visitor('firefox', page, () => page.close());
}
