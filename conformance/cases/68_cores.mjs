// One room served by several cores, as its members see it: real browsers whose
// transports are at another core than their room, players over WHEP and an RTMP
// encoder beside them.

import assert from 'node:assert/strict';

import { bareVisitor, isSecured } from '../lib/calls.mjs';
import { hears, seesColours, seesMotion } from '../lib/checks.mjs';
import { PALETTE } from '../lib/fixtures.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { metrics } from '../lib/metrics.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

const PEOPLE = [
  { login: 'Ann', kind: 'chromium', colours: [0, 2], toneHz: 440 },
  { login: 'Ben', kind: 'firefox' },
  { login: 'Cem', kind: 'chromium', colours: [3, 5], toneHz: 880 },
];
const SPREAD = { cores: 2, spread_above: 0, video_codecs: 'vp8' };

/** Packets forwarded by each core since `before`. */
async function forwarded(server, before = [0, 0]) {
  const page = metrics((await server.get('/metrics')).text);
  const now = [0, 1].map((core) => page.of('ringhall_media_packets_forwarded_total', `core="${core}"`));
  return now.map((count, core) => count - before[core]);
}

async function everyPlay(server, room, count) {
  return until(`${count} plays that their cores tell of`, async () => {
    const entry = (await server.rooms()).rooms.find(({ name }) => name === room);
    const plays = entry.participants.flatMap((one) => one.plays).concat(entry.players);
    const told = plays.filter((play) => play.status === 'PLAYING' && play.srtp_profile && play.tracks.some((track) => track.packets > 0));
    if (told.length === count) return plays;
    throw new Error(`${told.length} of ${plays.length}: ${JSON.stringify(plays)}`);
  });
}

async function threeOverTwoCores(t) {
  const server = await Server.start(t, SPREAD);
  const room = freshRoom();
  const guests = [];
  for (const { login, kind, colours, toneHz } of PEOPLE) {
    const source = colours && { colours: colours.map((i) => PALETTE[i].rgb), toneHz, colourMs: 500 };
    guests.push(await Guest.join(t, server, { room, login, kind, ...(source ? { instrument: { source } } : {}) }));
  }
  await Promise.all(guests.map(async (viewer) => {
    for (const { login, colours, toneHz } of PEOPLE) {
      if (login === viewer.login) continue;
      const video = Guest.video(login);
      await (colours ? seesColours(viewer.visitor, video, colours) : seesMotion(viewer.visitor, video));
      await (toneHz ? hears(viewer.visitor, video, toneHz) : hears(viewer.visitor, video));
    }
    await isSecured(viewer, { tlsVersion: 'FEFD', srtpCipher: /AEAD_AES_256_GCM/ });
    viewer.assertNoErrors();
  }));
  await guests[0].say('from core to core');
  await guests[2].reads('Ann', 'from core to core');
  await everyPlay(server, room, 6);
  const each = await forwarded(server);
  assert.ok(each.every((count) => count > 200), `both cores forward: ${each}`);
  return { server, room, guests };
}

export const cases = [
  {
    id: 'cores-three',
    requirement: 'three people (Chromium and Firefox) whose room is served by two cores see, hear and read each other; the API tells of every play, both cores forward',
    run: (t) => threeOverTwoCores(t),
  },
  {
    id: 'cores-anew',
    requirement: 'who leaves a room of two cores is gone everywhere, and who comes back is seen again',
    async run(t) {
      const { server, room, guests } = await threeOverTwoCores(t);
      const [ann, ben, cem] = guests;
      await cem.leave();
      await everyPlay(server, room, 2);
      const again = await Guest.join(t, server, { room, login: 'Dan' });
      await again.meets('Ann');
      await Promise.all([ann, ben].map((viewer) => seesMotion(viewer.visitor, Guest.video('Dan'))));
      await seesColours(again.visitor, Guest.video('Ann'), PEOPLE[0].colours);
      await everyPlay(server, room, 6);
    },
  },
  {
    id: 'cores-whep',
    requirement: 'players over WHEP are answered by the core that serves them, and end there',
    async run(t) {
      const server = await Server.start(t, SPREAD);
      const room = freshRoom();
      await Guest.join(t, server, { room, login: 'Ann' });
      const visitors = [];
      const url = `${server.url}/whep/${room}/Ann`;
      for (let number = 0; number < 3; number++) {
        const visitor = await bareVisitor(t);
        visitors.push(visitor);
        await visitor.evaluate((url) => window.play(url), url);
        await seesMotion(visitor, '#far');
      }
      await everyPlay(server, room, 3);
      for (const visitor of visitors) {
        await visitor.evaluate(() => window.restart());
        await seesMotion(visitor, '#far');
      }
      for (const visitor of visitors) assert.equal(await visitor.evaluate(() => window.end()), 200);
      await everyPlay(server, room, 0);
    },
  },
];
