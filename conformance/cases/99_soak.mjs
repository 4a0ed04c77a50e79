// Hours in minutes: people come and go around a call that must not notice.

import assert from 'node:assert/strict';

import { twoMeet } from '../lib/calls.mjs';
import { stillFlows, totals } from '../lib/checks.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { metrics } from '../lib/metrics.mjs';
import { Scope } from '../lib/runner.mjs';
import { Server } from '../lib/server.mjs';
import { sleep } from '../lib/wait.mjs';
import { offer, Wire } from '../lib/wire.mjs';

const SOAK_MS = 240_000;
const WARM_UP_MS = 60_000;
const GROWTH_MAX_BYTES = 16 << 20;
/** Half of what the camera films: the browsers share two cores with the churn. */
const FRAMES_PER_SECOND_MIN = 10;
const LOSS_MAX = 0.001;

/** One short visit over the bare protocol, with streams that never come to anything. */
async function passBy(server, number) {
  const scope = new Scope();
  try {
    const wire = await Wire.join(scope, server, `passer-${number}`, `corridor-${number % 10}`);
    wire.publish(`corridor-${number % 10}-passer-${number}`, offer('sendonly'));
    wire.play('nothing', offer('recvonly'));
    if (number % 3 === 0) await wire.command('leave', { name: wire.room });
    if (number % 3 === 1) wire.close();
  } finally {
    await scope.close();
  }
}

async function soak(t) {
  const server = await Server.start(t);
  const { alice, bob } = await twoMeet(t, server);
  const began = Date.now();
  let visits = 0;
  let settledBytes = 0;
  while (Date.now() - began < SOAK_MS) {
    if (visits % 100 === 0) {
      const scope = new Scope();
      await Guest.join(scope, server, { room: freshRoom(), login: 'Guest' });
      await scope.close();
      await stillFlows(alice.visitor);
    }
    await passBy(server, visits);
    visits += 1;
    if (settledBytes === 0 && Date.now() - began > WARM_UP_MS) settledBytes = server.residentBytes();
    await sleep(20);
  }
  await sleep(20_000); // the last of the passers' streams time out
  const grown = server.residentBytes() - settledBytes;
  const now = metrics((await server.get('/metrics')).text);
  console.log(`       ${visits} visits; memory grew by ${(grown / (1 << 20)).toFixed(1)} MiB after the first minute`);
  assert.ok(grown < GROWTH_MAX_BYTES, `memory grew by ${grown} bytes`);
  assert.equal(now.sum('ringhall_participants'), 2);
  assert.equal(now.sum('ringhall_transports'), 4);
  for (const guest of [alice, bob]) {
    const received = totals(await guest.stats(), 'in');
    const packets = received.audio.packets + received.video.packets;
    const lost = received.audio.lost + received.video.lost;
    console.log(`       ${guest.login}: ${received.video.frames} frames, ${lost} of ${packets} packets lost`);
    assert.ok(received.video.frames > (SOAK_MS / 1000) * FRAMES_PER_SECOND_MIN, `${guest.login} saw the film all along`);
    assert.ok(lost <= packets * LOSS_MAX, `${guest.login} lost ${lost} of ${packets} packets`);
  }
}

export const cases = [
  {
    id: 'soak-churn',
    requirement: 'four minutes of people coming and going: a call loses nothing, memory and gauges return',
    full: true,
    timeoutMs: 420_000,
    run: soak,
  },
];
