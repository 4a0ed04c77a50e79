// Calls at the server's own page that several cases are about.

import assert from 'node:assert/strict';

import { Visitor } from './browsers.mjs';
import { hears, seesFilm, stillFlows } from './checks.mjs';
import { freshRoom, Guest } from './guest.mjs';
import { servePages } from './static.mjs';
import { until } from './wait.mjs';
import { Wire } from './wire.mjs';

/**
 * Alice and Bob in one room, each naming the other.
 * @param {{alice?: object, bob?: object, room?: string}} [who] wishes of `Guest.join`
 */
export async function twoMeet(t, server, { alice = {}, bob = {}, room = freshRoom() } = {}) {
  const a = await Guest.join(t, server, { room, login: 'Alice', ...alice });
  const b = await Guest.join(t, server, { room, login: 'Bob', ...bob });
  await Promise.all([a.meets(b.login), b.meets(a.login)]);
  return { room, alice: a, bob: b };
}

/** The call of Alice and Bob goes on, and a newcomer joins, is answered and leaves. */
export async function unharmed(t, { server, alice, bob, room }) {
  await Promise.all([stillFlows(alice.visitor), stillFlows(bob.visitor)]);
  const newcomer = await Wire.join(t, server, `newcomer-${Math.random().toString(36).slice(2, 8)}`, room);
  assert.equal((await newcomer.command('leave', { name: room })).status, 'ACCEPTED');
  newcomer.close();
}

/** `viewer` sees the film and hears the tone of the fake devices of `login`. */
export async function seesAndHears(viewer, login) {
  await seesFilm(viewer.visitor, Guest.video(login));
  await hears(viewer.visitor, Guest.video(login));
}

/**
 * Every peer connection of a guest is secured as expected.
 * @param {{tlsVersion: string, srtpCipher?: RegExp}} expected
 */
export async function isSecured(guest, { tlsVersion, srtpCipher = /AES/ }) {
  const stats = await guest.stats();
  assert.ok(stats.length > 0, `${guest.login} has peer connections`);
  for (const call of stats) {
    assert.equal(call.tlsVersion, tlsVersion, `DTLS version of ${guest.login} (FEFD is 1.2, FEFC is 1.3)`);
    assert.match(String(call.srtpCipher), srtpCipher, `SRTP profile of ${guest.login}`);
  }
}

/** Everything a guest sends and receives is in these codecs. */
export async function usesCodecs(guest, { video, audio }) {
  const wanted = { video: `video/${video}`.toLowerCase(), audio: `audio/${audio}`.toLowerCase() };
  await until(`${guest.login} sends and receives ${video} and ${audio}`, async () => {
    const streams = (await guest.stats()).flatMap((call) => call.streams).filter((s) => s.packets > 0);
    const odd = streams.find((s) => s.codec?.toLowerCase() !== wanted[s.kind]);
    const kinds = new Set(streams.map((s) => s.direction + s.kind));
    if (!odd && kinds.size === 4) return true;
    throw new Error(odd ? `${odd.direction} ${odd.codec}` : `only ${[...kinds]}`);
  }, { timeoutMs: 8_000 });
}

/** A page of another origin, which publishes or plays over WHIP and WHEP. */
export async function bareVisitor(t) {
  const visitor = await Visitor.open(t, 'chromium');
  await visitor.goto(`${await servePages(t)}/pages/whip.html`);
  return visitor;
}

/** Waits until that participant publishes; the entry of its first stream. */
export function published(server, room, login) {
  return until(`${login} publishes`, async () => {
    const entry = (await server.rooms()).rooms.find(({ name }) => name === room);
    const stream = entry?.participants.find((one) => one.login === login)?.streams[0];
    if (stream?.status === 'PUBLISHING') return stream;
    throw new Error(`${JSON.stringify(stream)}; the server printed: ${server.output.slice(-500)}`);
  });
}
