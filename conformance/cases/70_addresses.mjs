// Which address media goes to, and comes back from.

import assert from 'node:assert/strict';

import { seesAndHears, twoMeet } from '../lib/calls.mjs';
import { machineAddress, Server } from '../lib/server.mjs';

const LOOPBACK = '127.0.0.1';

/** Every call of the guest goes to this address of the server. */
async function reaches(guest, address) {
  const remotes = (await guest.stats()).map((call) => call.remote);
  assert.ok(remotes.length > 0 && remotes.every((r) => r === address), `${guest.login} sends to ${remotes}, not ${address}`);
}

export const cases = [
  {
    id: 'address-loopback-only',
    requirement: 'with ip=127.0.0.1 two Chromium people on this machine have their call over the loopback',
    async run(t) {
      const server = await Server.start(t, { ip: LOOPBACK });
      const { alice, bob } = await twoMeet(t, server);
      await Promise.all([seesAndHears(alice, 'Bob'), seesAndHears(bob, 'Alice')]);
      await Promise.all([alice, bob].map((guest) => reaches(guest, LOOPBACK)));
    },
  },
  {
    id: 'address-two-at-once',
    requirement: 'with two addresses announced, who reaches only the one and who reaches only the other talk with each other',
    async run(t) {
      const machine = machineAddress();
      const server = await Server.start(t, { ip: `${machine},${LOOPBACK}` });
      const { alice, bob } = await twoMeet(t, server, {
        alice: { instrument: { dropCandidates: machine } },
        bob: { instrument: { dropCandidates: LOOPBACK } },
      });
      await Promise.all([seesAndHears(alice, 'Bob'), seesAndHears(bob, 'Alice')]);
      await Promise.all([reaches(alice, LOOPBACK), reaches(bob, machine)]);
    },
  },
];
