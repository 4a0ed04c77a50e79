// A call outlives its server's crash and a dead line: the pages come back by themselves.

import assert from 'node:assert/strict';

import { CHROMIUM } from '../lib/browsers.mjs';
import { twoMeet } from '../lib/calls.mjs';
import { hasPicture, hears, stillFlows } from '../lib/checks.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { Line } from '../lib/netns.mjs';
import { Server, steadyPorts } from '../lib/server.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { Wire } from '../lib/wire.mjs';

const BACK_AFTER_CRASH_MS = 5_000;
const DEAD_LINE_MS = 20_000;
const BACK_AFTER_LINE_MS = 10_000;

/** Logins the server lists in a room, sorted. */
const members = async (server, room) => (await server.rooms()).rooms.find((r) => r.name === room)?.participants.map((p) => p.login).sort();

/** Frames a guest has decoded in plays that are open now. */
const framesOf = async (guest) => (await guest.stats()).filter((call) => call.connectionState === 'connected')
  .flatMap((call) => call.streams).filter((s) => s.direction === 'in' && s.kind === 'video').reduce((sum, s) => sum + s.frames, 0);

/** Waits until the guest publishes and is shown new frames of the other. */
const isBack = (guest, other, timeoutMs) => until(`${guest.login} is back with media`, async () => {
  const status = await guest.visitor.text('#localStatus');
  const frames = await framesOf(guest);
  const shown = await guest.visitor.evaluate((s) => document.querySelector(s)?.readyState >= 2, Guest.video(other));
  if (status === 'PUBLISHING' && frames > 5 && shown) return true;
  throw new Error(`${status}, ${frames} frames, ${shown ? '' : 'not '}shown, connection ${await guest.visitor.text('#status')}`);
}, { timeoutMs, everyMs: 50 });

async function crash(t) {
  const ports = await steadyPorts();
  const first = await Server.start(t, ports);
  const { alice, bob, room } = await twoMeet(t, first);
  await Promise.all([stillFlows(alice.visitor), stillFlows(bob.visitor)]);
  await first.kill();
  await Promise.all([alice, bob].map((guest) => guest.visitor.shows('#status', /^(DISCONNECTED|FAILED)$/, 5_000)));
  const second = await Server.start(t, ports);
  const ready = Date.now();
  await Promise.all([isBack(alice, 'Bob', BACK_AFTER_CRASH_MS), isBack(bob, 'Alice', BACK_AFTER_CRASH_MS)]);
  console.log(`       both back with media ${Date.now() - ready} ms after the ready line`);
  assert.deepEqual(await members(second, room), ['Alice', 'Bob']);
  await Promise.all([hears(alice.visitor, Guest.video('Bob')), hears(bob.visitor, Guest.video('Alice'))]);
  alice.assertNoErrors();
  bob.assertNoErrors();
}

/** Alice is behind a line that delivers nothing for a while; Bob and a wire look on. */
async function deadLine(t) {
  const line = new Line(t);
  const server = await Server.start(t, { ip: line.near }, { host: line.near });
  const browser = { executable: line.wrapper(CHROMIUM), args: [`--unsafely-treat-insecure-origin-as-secure=${server.url}`] };
  const room = freshRoom();
  const alice = await Guest.join(t, server, { room, login: 'Alice', browser });
  const bob = await Guest.join(t, server, { room, login: 'Bob', browser: { args: browser.args } });
  const witness = await Wire.join(t, server, 'witness', room);
  await Promise.all([alice.meets('Bob'), bob.meets('Alice')]);
  await Promise.all([stillFlows(alice.visitor), stillFlows(bob.visitor)]);
  line.drop();
  const cut = Date.now();
  await until('nothing arrives at Alice any more', async () => {
    const before = await framesOf(alice);
    await sleep(1_000);
    return (await framesOf(alice)) === before;
  }, { timeoutMs: 5_000 });
  // The length of the outage is the case itself.
  await sleep(DEAD_LINE_MS - (Date.now() - cut));
  line.restore();
  const returned = Date.now();
  await Promise.all([flows(alice, 'Bob'), flows(bob, 'Alice')]);
  console.log(`       both have media ${Date.now() - returned} ms after the line's return`);
  assert.deepEqual(await members(server, room), ['Alice', 'Bob', 'witness'], 'no ghost in the room');
  const person = (await server.rooms()).rooms.find((r) => r.name === room).participants.find((p) => p.login === 'Alice');
  assert.equal(person.streams.length, 1, 'one stream of Alice, not the lost one beside it');
  for (const guest of [alice, bob]) {
    const places = await guest.visitor.evaluate(() => [...document.querySelectorAll('#participants .participant')].map((p) => p.dataset.login).sort());
    assert.deepEqual(places, [guest === alice ? 'Bob' : 'Alice', 'witness']);
    guest.assertNoErrors();
  }
  assert.equal(witness.closed, null);
}

/** New frames of the other arrive again, whether in the old play or a new one. */
async function flows(guest, other) {
  const end = Date.now() + BACK_AFTER_LINE_MS;
  await isBack(guest, other, BACK_AFTER_LINE_MS);
  let before = await framesOf(guest);
  await until(`new frames at ${guest.login}`, async () => {
    const now = await framesOf(guest);
    const more = now - before;
    // A play made anew counts from zero.
    before = Math.min(before, now);
    if (more >= 5 && (await guest.visitor.text('#localStatus')) === 'PUBLISHING') return true;
    throw new Error(`${more} more, connection ${await guest.visitor.text('#status')}`);
  }, { timeoutMs: Math.max(end - Date.now(), 1), everyMs: 100 });
  await hasPicture(guest.visitor, Guest.video(other), 1_000);
}

export const cases = [
  { id: 'reconnect-crash', requirement: 'kill -9 and a new start on the same ports: both at our page are back with media within 5 s of the ready line', run: crash },
  { id: 'reconnect-dead-line', requirement: 'a line that delivers nothing for 20 s: media both ways within 10 s of its return, no ghost in the room', timeoutMs: 90_000, run: deadLine },
];
