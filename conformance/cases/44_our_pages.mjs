// Our three pages with a Chromium and a Firefox in one room: what the one does, the
// other is shown.

import assert from 'node:assert/strict';

import { twoMeet, usesCodecs } from '../lib/calls.mjs';
import { hasPicture, hears, seesFilm, seesMotion, stillFlows } from '../lib/checks.mjs';
import { CONFERENCE, freshRoom, Guest, TWO_WAY, TWO_WAY_SCREEN } from '../lib/guest.mjs';
import { Scope } from '../lib/runner.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

/** Codecs that both browsers know come first. */
const COMMON = { video_codecs: 'vp8,h264' };

/** One server, and Ann in Chromium with Ben in Firefox, for the cases that need only them. */
export async function share(t) {
  const server = await Server.start(t, COMMON);
  const scope = new Scope();
  t.defer(() => scope.close());
  let call;
  return {
    server,
    call: () => (call ??= mixed(scope, server, CONFERENCE)),
    async endCall() {
      call = undefined;
      await scope.close();
    },
  };
}

async function mixed(t, server, page) {
  const { room, alice: ann, bob: ben } = await twoMeet(t, server, {
    alice: { login: 'Ann', page }, bob: { login: 'Ben', page, kind: 'firefox' },
  });
  return { room, ann, ben };
}

/** The film of Chromium's fake camera, or the moving picture of Firefox's; and the tone of both. */
async function seesAndHears(viewer, other) {
  const video = Guest.video(other.login);
  if (other.visitor.kind === 'chromium') await seesFilm(viewer.visitor, video);
  else await seesMotion(viewer.visitor, video);
  await hears(viewer.visitor, video);
}

const noErrors = (...guests) => guests.forEach((guest) => guest.assertNoErrors());

/** Both ways: first Ann acts and Ben watches, then the other way round. */
async function bothWays({ ann, ben }, act) {
  await act(ann, ben);
  await act(ben, ann);
  noErrors(ann, ben);
}

async function alone(t, { server }) {
  const zoe = await Guest.join(t, server, { login: 'Zoe', kind: 'firefox' });
  await zoe.visitor.shows('#participants', /NONE/);
  await zoe.visitor.shows('#chat', /room is empty/);
  await seesMotion(zoe.visitor, '#localDisplay video');
  await zoe.leave();
  noErrors(zoe);
}

async function two(_t, shared) {
  const { ann, ben } = await shared.call();
  await Promise.all([seesAndHears(ann, ben), seesAndHears(ben, ann)]);
  noErrors(ann, ben);
}

const chat = async (_t, shared) => bothWays(await shared.call(), async (from, to) => {
  await from.say(`from ${from.login}: <b>ü</b>`);
  await to.reads(from.login, `from ${from.login}: <b>ü</b>`);
});

const mute = async (_t, shared) => bothWays(await shared.call(), async (actor, viewer) => {
  for (const [button, badge, muted, unmuted] of [
    ['#localAudioToggle', '.micOff', 'Unmute A', 'Mute A'], ['#localVideoToggle', '.camOff', 'Unmute V', 'Mute V'],
  ]) {
    for (const [label, hidden] of [[muted, false], [unmuted, true]]) {
      await actor.visitor.click(button);
      await actor.visitor.shows(button, label);
      await until(`${viewer.login} is shown that ${actor.login} says ${label}`, () => viewer.visitor.evaluate(({ s, hidden }) =>
        document.querySelector(s)?.hidden === hidden, { s: `${Guest.place(actor.login)} ${badge}`, hidden }), { timeoutMs: 5_000 });
    }
  }
});

const republish = async (_t, shared) => bothWays(await shared.call(), async (actor, viewer) => {
  await actor.visitor.click('#localStopBtn');
  await actor.visitor.shows('#localStatus', 'UNPUBLISHED');
  await seesNothing(viewer, actor.login);
  await actor.visitor.click('#localStopBtn');
  await actor.publishes();
  await seesAndHears(viewer, actor);
});

const replay = async (_t, shared) => bothWays(await shared.call(), async (viewer, other) => {
  const button = `${Guest.place(other.login)} .playBtn`;
  await viewer.visitor.shows(button, 'Stop');
  await viewer.visitor.click(button);
  await viewer.visitor.shows(button, 'Play');
  await seesNothing(viewer, other.login);
  await viewer.visitor.click(button);
  await viewer.visitor.shows(button, 'Stop');
  await seesAndHears(viewer, other);
});

const seesNothing = (viewer, login) => until(`${viewer.login} has no picture of ${login}`, () =>
  viewer.visitor.evaluate((s) => [...document.querySelectorAll(s)].every((video) => !video.srcObject), Guest.video(login)));

async function three(t, shared) {
  const { ann, ben, room } = await shared.call();
  const cem = await Guest.join(t, shared.server, { room, login: 'Cem' });
  await Promise.all([ann, ben].flatMap((other) => [cem.meets(other.login), other.meets('Cem')]));
  await seesAndHears(cem, ann);
  await Promise.all([seesAndHears(ann, cem), seesAndHears(ben, cem), seesMotion(cem.visitor, Guest.video('Ben'))]);
  await cem.say('hello both');
  await Promise.all([ann.reads('Cem', 'hello both'), ben.reads('Cem', 'hello both')]);
  await cem.leave();
  await Promise.all([ann.misses('Cem'), ben.misses('Cem')]);
  await Promise.all([stillFlows(ann.visitor), stillFlows(ben.visitor)]);
  noErrors(ann, ben, cem);
}

async function tabClose(_t, shared) {
  const { ann, ben } = await shared.call();
  await ben.visitor.close();
  await ann.misses('Ben');
  await ann.reads('Ben', 'left');
  noErrors(ann);
  await shared.endCall();
}

async function twoWay(t, { server }) {
  const { ann, ben, room } = await mixed(t, server, TWO_WAY);
  await Promise.all([seesAndHears(ann, ben), seesAndHears(ben, ann)]);
  const cem = await Guest.open(t, server, { room, login: 'Cem', page: TWO_WAY });
  await cem.visitor.click('#joinBtn');
  await cem.visitor.shows('#failedInfo', /room is full/i);
  await cem.visitor.shows('#joinBtn', 'Join');
  await Promise.all([ann.misses('Cem'), ben.misses('Cem')]);
  await Promise.all([stillFlows(ann.visitor), stillFlows(ben.visitor)]);
  assert.equal(await ann.visitor.evaluate(() => document.querySelectorAll('#participants .participant').length), 1);
  noErrors(ann, ben, cem);
}

/** The second picture of a participant: their screen. */
const screenOf = (login) => `${Guest.place(login)} .shared video`;

async function screen(t, { server }) {
  const { ann, ben } = await mixed(t, server, TWO_WAY_SCREEN);
  await ann.visitor.click('#shareBtn');
  await ann.visitor.shows('#shareBtn', 'Unshare');
  await hasPicture(ann.visitor, '#preview video');
  await hasPicture(ben.visitor, screenOf('Ann'));
  await seesFilm(ben.visitor, Guest.video('Ann'));
  await ann.visitor.click('#shareBtn');
  await ann.visitor.shows('#shareBtn', 'Share');
  await until('Ben is shown no screen', () => ben.visitor.evaluate((s) => document.querySelector(s) === null, screenOf('Ann')));
  await Promise.all([stillFlows(ann.visitor), stillFlows(ben.visitor)]);
  noErrors(ann, ben);
}

/** Firefox shares what its virtual screen shows. */
async function firefoxScreen(t, { server }) {
  const { alice: ann, bob: ben } = await twoMeet(t, server, {
    alice: { login: 'Ann', page: TWO_WAY_SCREEN }, bob: { login: 'Ben', page: TWO_WAY_SCREEN, kind: 'firefox', screen: true },
  });
  await ben.visitor.click('#shareBtn');
  await ben.visitor.shows('#shareBtn', 'Unshare');
  await hasPicture(ann.visitor, screenOf('Ben'));
  await seesMotion(ann.visitor, Guest.video('Ben'));
  await ben.visitor.click('#shareBtn');
  await ben.visitor.shows('#shareBtn', 'Share');
  await until('Ann is shown no screen', () => ann.visitor.evaluate((s) => document.querySelector(s) === null, screenOf('Ben')));
  await Promise.all([stillFlows(ann.visitor), stillFlows(ben.visitor)]);
  noErrors(ann, ben);
}

/** A publisher in H.264, then somebody whose browser knows only VP8: the page publishes anew. */
async function commonCodec(t) {
  const server = await Server.start(t, { video_codecs: 'h264,vp8' });
  const { alice, bob } = await twoMeet(t, server, { bob: { instrument: { videoCodec: 'VP8' } } });
  await Promise.all([seesAndHears(bob, alice), seesAndHears(alice, bob)]);
  for (const guest of [alice, bob]) await usesCodecs(guest, { video: 'VP8', audio: 'opus' });
  const asked = alice.visitor.frames.filter(({ sent, message, data }) => !sent && message === 'notifyStreamEvent' && data[0].type === 'republishRequested');
  assert.deepEqual(asked.map(({ data }) => data[0].payload.videoCodecs), [['VP8']], 'asked once');
  const published = alice.visitor.frames.filter(({ sent, message }) => sent && message === 'publishStream').map(({ data }) => data[0]);
  assert.equal(published.length, 2, 'published once more, and not again');
  assert.equal(asked[0].data[0].mediaSessionId, published[0].mediaSessionId, 'asked about the stream in H.264');
  assert.equal(new Set(published.flatMap(({ mediaSessionId, name }) => [mediaSessionId, name])).size, 4, 'under a new id and name');
  noErrors(alice, bob);
}

/** What was muted stays muted through such a change. */
async function commonCodecMuted(t) {
  const server = await Server.start(t, { video_codecs: 'h264,vp8' });
  const room = freshRoom();
  const alice = await Guest.join(t, server, { room, login: 'Alice' });
  await alice.visitor.click('#localAudioToggle');
  await alice.visitor.shows('#localAudioToggle', 'Unmute A');
  const bob = await Guest.join(t, server, { room, login: 'Bob', instrument: { videoCodec: 'VP8' } });
  await seesFilm(bob.visitor, Guest.video('Alice'));
  await alice.visitor.shows('#localAudioToggle', 'Unmute A');
  await until('Bob is shown that Alice is muted', () => bob.visitor.evaluate((s) => document.querySelector(s)?.hidden === false, `${Guest.place('Alice')} .micOff`));
  await assert.rejects(hears(bob.visitor, Guest.video('Alice'), undefined, 1_500), undefined, 'Alice is heard, though muted');
  noErrors(alice, bob);
}

export const cases = [
  { id: 'our-firefox-alone', requirement: 'our Conference, one person in Firefox: published, NONE beside them, room is empty, Leave works', run: alone },
  { id: 'our-two', requirement: 'our Conference, Chromium and Firefox: each sees and hears the other', run: two },
  { id: 'our-chat', requirement: 'our Conference, Chromium and Firefox: chat both ways, as text', run: chat },
  { id: 'our-mute', requirement: 'our Conference, Chromium and Firefox: what the one mutes and unmutes is shown at the other', run: mute },
  { id: 'our-republish', requirement: 'our Conference, Chromium and Firefox: Stop, then Publish: the other plays again by itself', run: republish },
  { id: 'our-replay', requirement: 'our Conference, Chromium and Firefox: a play is stopped and started again by its viewer', run: replay },
  { id: 'our-three', requirement: 'our Conference: a third person is seen, heard and read by both, and leaves', run: three },
  { id: 'our-tab-close', requirement: 'our Conference: a closed Firefox tab is shown as left in Chromium', run: tabClose },
  { id: 'our-two-way', requirement: 'our Two Way Video Chat, Chromium and Firefox; a third is told that the room is full', run: twoWay },
  { id: 'our-screen', requirement: 'our Two Way Video Chat & Screen: Chromium\'s screen is shown in Firefox beside the camera, until it is unshared', run: screen },
  { id: 'our-firefox-screen', requirement: 'our Two Way Video Chat & Screen: Firefox\'s screen is shown in Chromium beside the camera, until it is unshared', run: firefoxScreen },
  { id: 'our-common-codec', requirement: 'a publisher in H.264 publishes anew in VP8 for a viewer who knows nothing else; asked once, done once', run: commonCodec },
  { id: 'our-common-codec-muted', requirement: 'who is muted stays muted when the page publishes anew for a codec', run: commonCodecMuted },
];
