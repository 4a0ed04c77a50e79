// The official Web SDK, unmodified, from another origin than the server's; and the
// room manual's own snippets on the server's client library.

import assert from 'node:assert/strict';

import { Visitor } from '../lib/browsers.mjs';
import { seesAndHears, usesCodecs } from '../lib/calls.mjs';
import { hasPicture, hears, seesFilm } from '../lib/checks.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { noted, sdkVisitor } from '../lib/sdk.mjs';
import { Server } from '../lib/server.mjs';
import { servePages } from '../lib/static.mjs';
import { until } from '../lib/wait.mjs';

const CONFERENCE = '/client2/examples/demo/streaming/conference/conference.html';

async function coreCalls(t) {
  const server = await Server.start(t);
  const origin = await servePages(t);
  const room = freshRoom();
  const ann = await sdkVisitor(t, server, origin, 'Ann', room);
  await ann.evaluate(() => window.visit.publish({ constraints: { audio: true, video: true } }));
  const ben = await sdkVisitor(t, server, origin, 'Ben', room);
  await noted(ben, 'STATE Ann');
  await noted(ann, 'JOINED Ben');
  await ben.evaluate(() => window.visit.play('Ann'));
  await seesFilm(ben, '#remote video');
  await hears(ben, '#remote video');
  await ben.evaluate(() => window.visit.publish({ constraints: { audio: true, video: true } }));
  await noted(ann, 'PUBLISHED Ben');
  await ann.evaluate(() => window.visit.play('Ben'));
  await seesFilm(ann, '#remote video');
  await ann.evaluate(() => window.visit.say('Ben', 'über <b>all</b>\nline two'));
  await noted(ben, 'MESSAGE Ann über <b>all</b>\nline two');

  await ann.evaluate(() => window.visit.published.stop());
  await noted(ann, 'stream UNPUBLISHED');
  await noted(ben, 'stream STOPPED');
  await ann.evaluate(() => window.visit.leave());
  await noted(ben, 'LEFT Ann');
  await ann.evaluate((room) => window.visit.join(room), room);
  await noted(ann, 'STATE Ben');
  await ben.evaluate(() => window.visit.session.disconnect());
  await noted(ann, 'LEFT Ben');
  for (const visitor of [ann, ben]) assert.deepEqual(visitor.errors, [], `exceptions on ${visitor.login}'s page`);
}

async function strippedCodecs(t) {
  const server = await Server.start(t);
  const origin = await servePages(t);
  const room = freshRoom();
  const ann = await sdkVisitor(t, server, origin, 'Ann', room);
  await ann.evaluate(() => window.visit.publish({
    constraints: { audio: true, video: true }, stripCodecs: 'opus,red,G722,CN,PCMA,telephone-event,VP8,VP9,AV1',
  }));
  const bob = await Guest.join(t, server, { room, login: 'Bob' });
  await seesAndHears(bob, 'Ann');
  const codecs = (await bob.stats()).flatMap((c) => c.streams).filter((s) => s.direction === 'in').map((s) => s.codec).sort();
  assert.deepEqual(codecs, ['audio/PCMU', 'video/H264']);
}

async function conferencePage(t) {
  const server = await Server.start(t);
  const origin = await servePages(t);
  const room = freshRoom();
  const guests = [];
  for (const login of ['Ann', 'Ben', 'Cem']) {
    const visitor = await Visitor.open(t, 'chromium');
    visitor.login = login;
    await visitor.goto(`${origin}${CONFERENCE}?roomName=${room}`);
    await visitor.fill('#url', server.wsUrl);
    await visitor.fill('#login', login);
    await visitor.click('#joinBtn');
    await visitor.shows('#localStatus', 'PUBLISHING');
    guests.push(visitor);
  }
  await Promise.all(guests.map(async (visitor) => {
    const others = ['Ann', 'Ben', 'Cem'].filter((login) => login !== visitor.login);
    await until(`${visitor.login} names both others`, async () => {
      const names = [await visitor.text('#participant1Name'), await visitor.text('#participant2Name')];
      return names.sort().join() === others.join();
    });
    await seesFilm(visitor, '#participant1Display video');
    await hasPicture(visitor, '#participant2Display video');
  }));
  await guests[1].fill('#message', 'hello all');
  await guests[1].click('#sendMessageBtn');
  await guests[0].shows('#chat', /Ben - hello all/);
  await guests[2].shows('#chat', /Ben - hello all/);
  await guests[1].click('#joinBtn');
  await guests[1].shows('#joinBtn', 'Join');
  await guests[0].shows('#chat', /Ben - left/);
  for (const visitor of guests) assert.deepEqual(visitor.errors, [], `exceptions on ${visitor.login}'s page`);
}

async function callFlow(t) {
  const server = await Server.start(t);
  const origin = await servePages(t);
  const room = freshRoom();
  const bob = await Guest.join(t, server, { room, login: 'Bob' });
  const visitor = await Visitor.open(t, 'chromium');
  await visitor.goto(`${origin}/pages/callflow.html`);
  await visitor.evaluate((callflow) => { window.callflow = callflow; }, { url: server.wsUrl, username: 'Ann', room });
  await visitor.page.addScriptTag({ url: `${server.url}/ringhall.js` });
  await visitor.page.addScriptTag({ url: `${origin}/pages/callflow.js` });
  await visitor.shows('#status', 'ESTABLISHED');
  await visitor.shows('#localStatus', 'PUBLISHING');
  await visitor.shows('#chat', /participants: Bob/);
  assert.deepEqual(await visitor.evaluate(() => window.seen), ['Bob', 'published']);
  await bob.meets('Ann');
  await seesAndHears(bob, 'Ann');
  await usesCodecs(bob, { video: 'H264', audio: 'opus' });
  await visitor.click('#joinBtn');
  await visitor.shows('#joinBtn', 'Join');
  await bob.misses('Ann');
  assert.deepEqual(visitor.errors, []);
}

export const cases = [
  {
    id: 'sdk-core-calls',
    requirement: 'the official SDK connects, joins, publishes, plays, chats, stops, leaves, rejoins and disconnects without one exception',
    run: coreCalls,
  },
  {
    id: 'sdk-stripped-codecs',
    requirement: 'an offer the SDK\'s stripCodecs has damaged is still answered: H.264 and PCMU remain and are seen and heard',
    run: strippedCodecs,
  },
  {
    id: 'sdk-conference-page',
    requirement: 'three people at the SDK\'s unmodified Conference page see, hear and read each other, without one exception',
    run: conferencePage,
  },
  {
    id: 'sdk-call-flow-snippets',
    requirement: 'the room manual\'s call-flow snippets run as printed on the server\'s own client library',
    run: callFlow,
  },
];
