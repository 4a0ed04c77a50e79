// The official demo pages, unmodified, in Chromium: everything a person can do there,
// without one exception on anybody's page.

import assert from 'node:assert/strict';
import http from 'node:http';

import { Visitor } from '../lib/browsers.mjs';
import { hasPicture, seesFilm, stillFlows } from '../lib/checks.mjs';
import { freshRoom } from '../lib/guest.mjs';
import { CONFERENCE, OfficialGuest, officialOrigin, TWO_WAY, TWO_WAY_SCREEN } from '../lib/official.mjs';
import { Scope } from '../lib/runner.mjs';
import { repository, Server, steadyPorts } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

/** One server for the file, and Ann and Ben in a conference for those cases that need only two. */
export async function share(t) {
  const server = await Server.start(t);
  const origin = await officialOrigin(t, server);
  const callScope = new Scope();
  t.defer(() => callScope.close());
  let call;
  return {
    server,
    origin,
    call: () => (call ??= conference(callScope, { server, origin }, ['Ann', 'Ben'])),
    async endCall() {
      call = undefined;
      await callScope.close();
    },
  };
}

/** These people, one after another, in a room of their own; each has met all others. */
async function conference(t, { server, origin }, logins, page = CONFERENCE) {
  const room = freshRoom();
  const guests = [];
  for (const login of logins) guests.push(await OfficialGuest.join(t, { server, origin, page, room, login }));
  for (const guest of guests) await guest.meets(...logins.filter((login) => login !== guest.login));
  return { room, guests };
}

const noErrors = (guests) => guests.forEach((guest) => guest.assertNoErrors());

async function alone(t, { server, origin }) {
  const ann = await OfficialGuest.join(t, { server, origin, login: 'Ann' });
  assert.deepEqual(await ann.places(), ['NONE', 'NONE']);
  await ann.visitor.shows('#chat', /chat - +room is empty/);
  await ann.visitor.shows('#inviteAddress', /\?roomName=room-[0-9a-f]{6}$/);
  await hasPicture(ann.visitor, '#localDisplay video');
  await until('Leave can be clicked', () => ann.visitor.evaluate(() => {
    const button = document.querySelector('#joinBtn');
    return button.textContent === 'Leave' && !button.disabled;
  }));
  await ann.leave();
  noErrors([ann]);
}

async function byInvitation(t, { server, origin }) {
  const ann = await OfficialGuest.join(t, { server, origin, login: 'Ann' });
  const invite = await ann.visitor.shows('#inviteAddress', /roomName=/);
  const ben = await OfficialGuest.join(t, { server, origin, invite, login: 'Ben' });
  await Promise.all([ann.meets('Ben'), ben.meets('Ann')]);
  await ann.reads('Ben', 'joined');
  await ben.reads('chat', 'participants: Ann');
  await Promise.all([ann.seesAndHears('Ben'), ben.seesAndHears('Ann')]);
  noErrors([ann, ben]);
}

async function fourthIsOneTooMany(t, shared) {
  const { room, guests } = await conference(t, shared, ['Ann', 'Ben', 'Cem']);
  const dan = await OfficialGuest.open(t, { ...shared, room, login: 'Dan' });
  await dan.visitor.click('#joinBtn');
  await dan.visitor.shows('#failedInfo', 'Current room is full.');
  await dan.visitor.shows('#joinBtn', 'Join');
  await until('Dan has left', async () => {
    const [{ participants }] = (await shared.server.rooms()).rooms.filter((r) => r.name === room);
    return participants.map((p) => p.login).sort().join() === 'Ann,Ben,Cem';
  });
  await Promise.all(guests.map(async (guest) => {
    await guest.meets(...['Ann', 'Ben', 'Cem'].filter((login) => login !== guest.login));
    await stillFlows(guest.visitor);
  }));
  noErrors([...guests, dan]);
}

async function republish(t, shared) {
  const { guests: [ann, ben] } = await shared.call();
  const place = await ben.placeOf('Ann');
  await ann.visitor.click('#localStopBtn');
  await ann.visitor.shows('#localStatus', 'UNPUBLISHED');
  await ben.seesNothingIn(`${place}Display`);
  await ben.visitor.shows(`${place}Btn`, 'Play');
  await ann.visitor.shows('#localStopBtn', 'Publish');
  await ann.visitor.click('#localStopBtn');
  await ann.publishes();
  await ben.visitor.shows(`${place}Btn`, 'Stop');
  await ben.seesAndHears('Ann');
  noErrors([ann, ben]);
}

async function replay(t, shared) {
  const { guests: [ann, ben] } = await shared.call();
  const place = await ben.placeOf('Ann');
  await ben.visitor.shows(`${place}Btn`, 'Stop');
  await ben.visitor.click(`${place}Btn`);
  await ben.visitor.shows(`${place}Btn`, 'Play');
  await ben.seesNothingIn(`${place}Display`);
  await ben.visitor.click(`${place}Btn`);
  await ben.visitor.shows(`${place}Btn`, 'Stop');
  await ben.seesAndHears('Ann');
  await ann.visitor.shows('#localStatus', 'PUBLISHING');
  noErrors([ann, ben]);
}

async function mute(t, shared) {
  const { guests: [ann, ben] } = await shared.call();
  for (const [button, letter, kind] of [['#localAudioToggle', 'A', 'audio'], ['#localVideoToggle', 'V', 'video']]) {
    for (const [shown, type] of [[`Unmute ${letter}`, `${kind}Muted`], [`Mute ${letter}`, `${kind}Unmuted`]]) {
      const from = ben.visitor.frames.length;
      await ann.visitor.click(button);
      await ann.visitor.shows(button, shown);
      const { data: [event] } = await ben.visitor.hearsFrame(type, ({ message, data }) =>
        message === 'notifyStreamEvent' && data[0].type === type, { from });
      const place = await ben.placeOf('Ann');
      const shownId = await ben.visitor.evaluate((s) => document.querySelector(`${s}Display video`).id, place);
      assert.equal(event.mediaSessionId, shownId, 'the event names the viewer\'s own stream');
    }
  }
  await ben.seesAndHears('Ann');
  noErrors([ann, ben]);
}

async function chat(t, shared) {
  const { guests: [ann, ben] } = await shared.call();
  await ann.say('hello, do you see me?');
  await ben.reads('Ann', 'hello, do you see me\\?');
  await ann.reads('Ann', 'hello, do you see me\\?');
  await ben.say('yes, "clearly"');
  await ann.reads('Ben', 'yes, "clearly"');
  noErrors([ann, ben]);
}

async function leaveAndRejoin(t, shared) {
  const { guests: [ann, ben] } = await shared.call();
  const sockets = () => ann.visitor.frames.filter(({ sent, message }) => sent && message === 'connection').length;
  const before = sockets();
  await ann.leave();
  await ben.meets();
  await ben.reads('Ann', 'left');
  await ann.visitor.click('#joinBtn');
  await ann.publishes();
  await Promise.all([ann.meets('Ben'), ben.meets('Ann')]);
  assert.equal(sockets(), before, 'the session is the one of before');
  await Promise.all([ann.seesAndHears('Ben'), ben.seesAndHears('Ann')]);
  noErrors([ann, ben]);
}

async function tabClose(t, shared) {
  const { guests: [ann, ben] } = await shared.call();
  const place = await ann.placeOf('Ben');
  await ben.visitor.close();
  await ann.reads('Ben', 'left');
  await ann.meets();
  await ann.seesNothingIn(`${place}Display`);
  noErrors([ann]);
  await shared.endCall();
}

async function restart(t, end) {
  const ports = await steadyPorts();
  const first = await Server.start(t, ports);
  const origin = await officialOrigin(t, first);
  const { guests } = await conference(t, { server: first, origin }, ['Ann', 'Ben']);
  await first[end]();
  await Promise.all(guests.map(async (guest) => {
    await guest.visitor.shows('#status', /^(DISCONNECTED|FAILED)$/);
    await guest.visitor.shows('#localStatus', 'FAILED');
    await guest.meets();
    await guest.visitor.shows('#joinBtn', 'Join');
  }));
  await Server.start(t, ports);
  for (const guest of guests) await guest.enter();
  await Promise.all([guests[0].meets('Ben'), guests[1].meets('Ann')]);
  await Promise.all([guests[0].seesAndHears('Ben'), guests[1].seesAndHears('Ann')]);
  noErrors(guests);
}

async function twoWay(t, shared) {
  const { room, guests } = await conference(t, shared, ['Ann', 'Ben'], TWO_WAY);
  const [ann, ben] = guests;
  await Promise.all([ann.seesAndHears('Ben'), ben.seesAndHears('Ann')]);
  await ann.say('just us two');
  await ben.reads('Ann', 'just us two');
  const cem = await OfficialGuest.open(t, { ...shared, page: TWO_WAY, room, login: 'Cem' });
  await cem.visitor.click('#joinBtn');
  await cem.visitor.shows('#failedInfo', 'Current room is full.');
  await cem.visitor.shows('#joinBtn', 'Join');
  await Promise.all([ann.meets('Ben'), ben.meets('Ann')]);
  await Promise.all(guests.map((guest) => stillFlows(guest.visitor)));
  noErrors([...guests, cem]);
}

async function screen(t, shared) {
  const { guests } = await conference(t, shared, ['Ann', 'Ben'], TWO_WAY_SCREEN);
  const [ann, ben] = guests;
  await Promise.all(guests.map((guest) => seesFilm(guest.visitor, '#participant1Display video')));
  await ann.visitor.click('#shareBtn');
  await ann.visitor.shows('#shareBtn', 'Unshare');
  await hasPicture(ben.visitor, '#sharedDisplay video');
  await until('the shared picture goes on arriving', async () => {
    const streams = (await ben.visitor.stats()).flatMap((call) => call.streams);
    return streams.filter((s) => s.direction === 'in' && s.kind === 'video' && s.frames > 10).length === 2;
  });
  await ann.visitor.click('#shareBtn');
  await ann.visitor.shows('#shareBtn', 'Share');
  await ben.seesNothingIn('#sharedDisplay');
  await stillFlows(ben.visitor);
  noErrors(guests);
}

/** The status of a path sent as it is: `fetch` would tidy it first. */
const statusOf = (server, path) => new Promise((resolve, reject) => {
  const asked = http.get({ host: server.host, port: server.webPort, path, timeout: 3_000 }, (answer) => {
    answer.resume();
    resolve(answer.statusCode);
  });
  asked.once('timeout', () => asked.destroy(new Error(`no answer to ${path}`)));
  asked.once('error', reject);
});

async function ownMount(t) {
  const folder = `${repository}/conformance/node_modules/@flashphoner/websdk`;
  const server = await Server.start(t, { 'client2.dir': folder });
  const { guests } = await conference(t, { server, origin: server.url }, ['Ann', 'Ben']);
  await Promise.all([guests[0].seesAndHears('Ben'), guests[1].seesAndHears('Ann')]);
  noErrors(guests);
  for (const path of ['/client2/../package.json', '/client2/%2e%2e/package.json', '/client2/..%2fpackage.json', '/client2/no-such-file']) {
    assert.match(String(await statusOf(server, path)), /^4/, path);
  }
  const visitor = await Visitor.open(t, 'chromium');
  await visitor.goto(`${server.url}${TWO_WAY_SCREEN}`);
  await visitor.shows('#joinBtn', 'Join');
  assert.deepEqual(visitor.errors, []);
}

export const cases = [
  { id: 'official-invitation', requirement: 'official Conference: who follows the invite link is seen, heard and named, and sees, hears and names the first', run: byInvitation },
  { id: 'official-alone', requirement: 'official Conference, one person: published, both places NONE, room is empty, an invite, Leave works', run: alone },
  { id: 'official-chat', requirement: 'official Conference: chat lines reach the other, both ways', run: chat },
  { id: 'official-mute', requirement: 'official Conference: Mute A and Mute V toggle, each notice reaches the viewer under the viewer\'s own stream id', run: mute },
  { id: 'official-replay', requirement: 'official Conference: a play is stopped and started again by the viewer', run: replay },
  { id: 'official-republish', requirement: 'official Conference: after Stop and Publish the other plays again by itself', run: republish },
  { id: 'official-rejoin', requirement: 'official Conference: leave and join again on the same session', run: leaveAndRejoin },
  { id: 'official-tab-close', requirement: 'official Conference: a closed tab is told as LEFT and frees its place', run: tabClose },
  { id: 'official-fourth', requirement: 'official Conference: a fourth reads "Current room is full." and the three go on', run: fourthIsOneTooMany },
  { id: 'official-restart', requirement: 'official Conference: SIGTERM and a new start of the server; Join brings both back', run: (t) => restart(t, 'stop') },
  { id: 'official-crash', requirement: 'official Conference: kill -9 and a new start of the server; Join brings both back', run: (t) => restart(t, 'kill') },
  { id: 'official-two-way', requirement: 'official Two Way Video Chat: two see, hear and read each other; a third reads "Current room is full."', run: twoWay },
  { id: 'official-screen', requirement: 'official Two Way Video Chat & Screen: a shared screen is shown to the other until it is unshared', run: screen },
  { id: 'official-own-mount', requirement: 'client2.dir: the server itself serves the official pages at /client2/, nothing outside, and they work', run: ownMount },
];
