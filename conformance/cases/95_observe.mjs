// What the operator can see: health, metrics and rooms, during a call.

import assert from 'node:assert/strict';

import { twoMeet } from '../lib/calls.mjs';
import { stillFlows } from '../lib/checks.mjs';
import { metrics } from '../lib/metrics.mjs';
import { Server } from '../lib/server.mjs';
import { sleep, until } from '../lib/wait.mjs';

const WATCH_MS = 4_000;

/** The person of that login in the room, in `/api/rooms`. */
async function person(server, room, login) {
  const { rooms } = await server.rooms();
  return rooms.find((r) => r.name === room)?.participants.find((p) => p.login === login);
}

export const cases = [
  {
    id: 'observe-idle',
    requirement: 'without anybody: healthy, no rooms, metrics in the Prometheus text format',
    async run(t) {
      const server = await Server.start(t);
      assert.equal((await server.get('/healthz')).status, 200);
      assert.deepEqual((await server.rooms()).rooms, []);
      const page = await server.get('/metrics');
      assert.equal(page.status, 200);
      assert.match(page.type, /text\/plain/);
      const now = metrics(page.text);
      for (const name of ['rooms', 'participants', 'publications', 'subscriptions', 'transports']) {
        assert.equal(now.sum(`ringhall_${name}`), 0, name);
      }
    },
  },
  {
    id: 'observe-call',
    requirement: 'during a call the rooms list names people, codecs, security and counters that grow',
    async run(t) {
      const server = await Server.start(t, { video_codecs: 'vp8' });
      const { alice, bob, room } = await twoMeet(t, server);
      await Promise.all([stillFlows(alice.visitor), stillFlows(bob.visitor)]);
      const before = await person(server, room, 'Alice');
      await sleep(1_000);
      const after = await person(server, room, 'Alice');
      for (const [list, peers] of [['streams', 1], ['plays', 1]]) {
        assert.equal(after[list].length, peers, list);
        const [one] = after[list];
        assert.match(one.srtp_profile, /AEAD_AES_256_GCM/);
        assert.match(one.dtls_version, /1\.2/);
        assert.deepEqual(one.tracks.map((track) => track.kind).sort(), ['audio', 'video']);
        for (const track of one.tracks) {
          assert.equal(track.codec.toUpperCase(), track.kind === 'video' ? 'VP8' : 'OPUS');
          const earlier = before[list][0].tracks.find((other) => other.kind === track.kind);
          assert.ok(track.packets > earlier.packets && track.bytes > earlier.bytes, `${list} ${track.kind} grows`);
        }
      }
      assert.equal(after.streams[0].status, 'PUBLISHING');
      assert.equal(after.streams[0].viewers, 1);
      assert.equal(after.plays[0].status, 'PLAYING');
    },
  },
  {
    id: 'observe-packet-balance',
    requirement: 'with one viewer for each publisher, packets in = packets forwarded + packets dropped by reason',
    async run(t) {
      const server = await Server.start(t);
      const { alice, bob } = await twoMeet(t, server);
      await Promise.all([stillFlows(alice.visitor), stillFlows(bob.visitor)]);
      const look = async () => metrics((await server.get('/metrics')).text);
      const before = await look();
      await sleep(WATCH_MS);
      const after = await look();
      const grown = (name) => after.sum(name) - before.sum(name);
      const received = grown('ringhall_media_packets_received_total');
      const forwarded = grown('ringhall_media_packets_forwarded_total');
      const dropped = grown('ringhall_drops_total');
      assert.ok(received > 200, `${received} packets in ${WATCH_MS} ms`);
      // The two pages are read while packets flow.
      const slack = received * 0.02 + 5;
      const balance = `${received} in, ${forwarded} forwarded, ${dropped} dropped`;
      assert.ok(Math.abs(received - forwarded - dropped) <= slack, balance);
      assert.ok(dropped <= slack, balance);
      assert.equal(grown('ringhall_turn_seconds_count') > 0, true, 'turns are timed');
    },
  },
  {
    id: 'observe-all-returned',
    requirement: 'when everybody has gone every gauge is back where it was, and so is the number of open files',
    async run(t) {
      const server = await Server.start(t);
      const look = async () => metrics((await server.get('/metrics')).text);
      await look();
      const filesBefore = server.openFiles();
      const { alice, bob } = await twoMeet(t, server);
      await stillFlows(bob.visitor);
      assert.equal((await look()).sum('ringhall_participants'), 2);
      assert.equal((await look()).sum('ringhall_subscriptions'), 2);
      await alice.leave();
      await Promise.all([alice.visitor.close(), bob.visitor.close()]);
      await until('all gauges at zero', async () => {
        const now = await look();
        const left = ['rooms', 'participants', 'publications', 'subscriptions', 'transports', 'sessions']
          .filter((name) => now.sum(`ringhall_${name}`) !== 0);
        if (left.length === 0) return true;
        throw new Error(`left: ${left}`);
      }, { timeoutMs: 5_000 });
      await until('all files closed', () => server.openFiles() <= filesBefore + 1, { timeoutMs: 5_000 });
    },
  },
];
