// What the server's feedback lets a publisher send.

import assert from 'node:assert/strict';

import { CHROMIUM, Visitor } from '../lib/browsers.mjs';
import { freshRoom } from '../lib/guest.mjs';
import { Line } from '../lib/netns.mjs';
import { Server } from '../lib/server.mjs';
import { servePages } from '../lib/static.mjs';
import { sleep, until } from '../lib/wait.mjs';

const CAMERA = { audio: true, video: { width: 640, height: 360 } };
const LINE_BITS_PER_SECOND = 1_000_000;

/** A lone publisher with a camera of noise, through the SDK, without any cap of its own. */
async function lonePublisher(t, server, origin, browser = {}) {
  const visitor = await Visitor.open(t, 'chromium', { browser: { busy: true, ...browser } });
  await visitor.goto(`${origin}/pages/sdk.html`);
  await visitor.evaluate((url) => window.visit.connect(url, 'Ann'), server.wsUrl);
  await visitor.evaluate((room) => window.visit.join(room), freshRoom());
  await visitor.evaluate((constraints) => window.visit.publish({ constraints }), CAMERA);
  return visitor;
}

/** Queueing delays of the line, in ms, every 100 ms for `spanMs`. */
async function watchQueue(line, spanMs) {
  const delays = [];
  const end = Date.now() + spanMs;
  while (Date.now() < end) {
    delays.push((line.backlogBytes() * 8 * 1000) / LINE_BITS_PER_SECOND);
    await sleep(100);
  }
  return delays.sort((a, b) => a - b);
}

async function slowLine(t) {
  const line = new Line(t);
  line.limit('rate', '1mbit', 'burst', '16kb', 'limit', '250kb');
  const server = await Server.start(t, { ip: line.near }, { host: line.near });
  const origin = await servePages(t, line.near);
  const began = Date.now();
  const visitor = await lonePublisher(t, server, origin, {
    executable: line.wrapper(CHROMIUM), args: [`--unsafely-treat-insecure-origin-as-secure=${origin}`],
  });
  const sent = async () => (await visitor.stats())[0].bytesSent;
  await sleep(Math.max(15_000 - (Date.now() - began), 0));
  const bytesBefore = await sent();
  const from = Date.now();
  const delays = await watchQueue(line, 45_000);
  const bitsPerSecond = ((await sent()) - bytesBefore) * 8_000 / (Date.now() - from);
  const p95 = delays[Math.floor(delays.length * 0.95)];
  console.log(`       sent ${Math.round(bitsPerSecond / 1000)} kbit/s; queueing delay p50 ${delays[delays.length >> 1].toFixed(0)} ms, p95 ${p95.toFixed(0)} ms, longest ${delays.at(-1).toFixed(0)} ms`);
  assert.ok(bitsPerSecond >= 500_000 && bitsPerSecond <= LINE_BITS_PER_SECOND, `sent ${bitsPerSecond} bit/s`);
  assert.ok(p95 < 400, `queueing delay p95 ${p95} ms`);
}

export const cases = [
  {
    id: 'bandwidth-lone-publisher',
    requirement: 'a lone publisher\'s estimate passes 1 Mbit/s within 10 s: the server\'s feedback lets it grow',
    async run(t) {
      const server = await Server.start(t);
      const visitor = await lonePublisher(t, server, await servePages(t));
      await until('an outgoing bitrate above 1 Mbit/s', async () => {
        const [call] = await visitor.stats();
        if (call.outgoingBitrate > 1_000_000) return true;
        throw new Error(`${call.outgoingBitrate} bit/s`);
      }, { timeoutMs: 10_000, everyMs: 250 });
    },
  },
  {
    id: 'bandwidth-slow-line',
    requirement: 'on a line of 1 Mbit/s a publisher sends 0.5 to 1 Mbit/s from second 15 to 60 and queues for less than 400 ms (p95)',
    full: true,
    timeoutMs: 120_000,
    run: slowLine,
  },
];
