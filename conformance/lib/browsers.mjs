// The real browsers. Each kind is launched once and kept for the whole run; every
// visitor gets a page of its own (in Chromium with a context of its own).

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
        `--use-file-for-fake-video-capture=${cameraFile({ busy })}`,
        `--use-file-for-fake-audio-capture=${microphoneFile()}`,
        ...args,
      ],
    }));
  }
  return launched.get(key);
}

async function firefoxBrowser() {
  if (!launched.has('firefox')) {
    launched.set('firefox', puppeteer.launch({
      browser: 'firefox',
      executablePath: FIREFOX,
      headless: true,
      timeout: LAUNCH_TIMEOUT_MS,
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
  return launched.get('firefox');
}

/** Ends the browsers this run started. */
export async function closeBrowsers() {
  const closing = [...launched.values()].map(async (browser) => {
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

  constructor(kind, page, close) {
    this.kind = kind;
    this.page = page;
    this.close = close;
    page.on('pageerror', (error) => this.errors.push(error.message));
    page.on('console', (line) => this.console.push(line.text()));
  }

  /**
   * @param {{defer: (f: () => any) => void}} t the case; the page is closed when it ends
   * @param {'chromium'|'firefox'} kind
   * @param {{instrument?: object, browser?: ChromiumWish}} [wish]
   */
  static async open(t, kind, wish = {}) {
    const visitor = kind === 'firefox' ? await openFirefox(wish) : await openChromium(wish);
    t.defer(() => within(visitor.close(), CLOSE_TIMEOUT_MS, 'closing a page').catch(() => undefined));
    return visitor;
  }

  async goto(url) {
    await this.page.goto(url, { waitUntil: 'load', timeout: 20_000 });
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

async function openChromium({ instrument: wish = {}, browser: browserWish = {} }) {
  const browser = await chromiumBrowser(browserWish);
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 } });
  await context.addInitScript(instrument, wish);
  const page = await context.newPage();
  return new Visitor('chromium', page, () => context.close());
}

async function openFirefox({ instrument: wish = {} }) {
  const browser = await firefoxBrowser();
  const page = await browser.newPage();
  await page.evaluateOnNewDocument(instrument, wish);
  return new Visitor('firefox', page, () => page.close());
}
