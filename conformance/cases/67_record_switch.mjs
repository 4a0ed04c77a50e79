// The record switch of our pages: who is recorded sees it, is told when it fails, and
// gets the file.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';

import { accessToken, SECRET } from '../lib/access.mjs';
import { Visitor } from '../lib/browsers.mjs';
import { twoMeet } from '../lib/calls.mjs';
import { hasPicture, stillFlows } from '../lib/checks.mjs';
import { CONFERENCE, Guest, TWO_WAY, TWO_WAY_SCREEN } from '../lib/guest.mjs';
import { probed } from '../lib/recording.mjs';
import { temporaryFolder } from '../lib/secure.mjs';
import { Server } from '../lib/server.mjs';
import { sleep, until } from '../lib/wait.mjs';

/** So long something is recorded at least. */
const RECORDED_MS = 2_500;
/** More than any disk here has. */
const NO_DISK_IS_ENOUGH = 1_000_000_000_000_000;

const MARK = '#localRecording';
const OFFERED = '#recordingList a[target=_blank]';

/** A server that records into a folder of its own, once it is asked to. */
async function recorder(t, settings = {}) {
  const folder = temporaryFolder(t);
  return { folder, server: await Server.start(t, { records_dir: folder, ...settings }) };
}

/** At the door of a new room, with the switch pressed or not, and in. */
async function opensRoom(t, server, { wanted = true, ...who }) {
  const guest = await Guest.open(t, server, who);
  assert.equal(await isWanted(guest), false, 'recording is off until somebody wants it');
  if (wanted) await guest.visitor.click('#recordSwitch');
  await guest.enter();
  return { guest, invite: await guest.visitor.text('#inviteAddress') };
}

const isWanted = ({ visitor }) => visitor.evaluate(() => document.querySelector('#recordSwitch').checked);

const isMarked = ({ visitor }, mark = MARK) => visitor.shows(mark, 'Recording');

const isUnmarked = ({ visitor }, mark = MARK) => visitor.shows(mark, '');

/** The names of files that a page offers, once there are so many. */
const offers = ({ login, visitor }, count, links = OFFERED) => until(`${login} is offered ${count} recordings`, async () => {
  const found = await visitor.evaluate((s) => [...document.querySelectorAll(s)].map((link) => link.href), links);
  if (found.length === count) return found.map((href) => decodeURIComponent(new URL(href).pathname.split('/').at(-1)));
  throw new Error(`offered: ${found}`);
});

const films = (folder) => readdirSync(folder).filter((name) => name.endsWith('.mp4')).sort();

/** The name the server told when a stream began. */
const named = ({ visitor }) => visitor.frames.filter(({ message, data }) => message === 'notifyStreamStatusEvent' && data[0].status === 'PUBLISHING')
  .map(({ data }) => data[0].recordName).filter(Boolean);

async function conference(t) {
  // What both browsers know comes first: a stream sent anew has a file of its own.
  const { folder, server } = await recorder(t, { video_codecs: 'vp8,h264' });
  const { guest: ann, invite } = await opensRoom(t, server, { login: 'Ann', page: CONFERENCE });
  const ben = await Guest.open(t, server, { login: 'Ben', invite, kind: 'firefox' });
  assert.equal(await isWanted(ben), false, 'who is invited wishes for nothing');
  await ben.enter();
  await Promise.all([isMarked(ann), isMarked(ben), ann.meets('Ben'), ben.meets('Ann')]);
  await hasPicture(ann.visitor, Guest.video('Ben'));
  await sleep(RECORDED_MS);
  await Promise.all([ann.leave(), ben.leave()]);
  const told = (await Promise.all([offers(ann, 1), offers(ben, 1)])).flat();
  assert.deepEqual(films(folder), [...told].sort(), 'the files are those that were told of');
  assert.deepEqual(named(ann), told.slice(0, 1), 'the name is known when the stream begins');
  for (const name of told) {
    const { video, audio } = await probed(t, path.join(folder, name));
    assert.ok(video.frames > 20 && audio.frames > 20, `${video.frames} pictures, ${audio.frames} sounds in ${name}`);
  }
  await isUnmarked(ann);
  assert.equal(await isWanted(ann), false, 'the next visit is not recorded by surprise');
  await opensIt(t, ann);
  for (const guest of [ann, ben]) guest.assertNoErrors();
}

/** The link opens a tab that plays the recording; the one beside it downloads it. */
async function opensIt(t, { visitor }) {
  const href = await visitor.evaluate((s) => document.querySelector(s).href, OFFERED);
  const viewer = await Visitor.open(t, 'chromium', { beside: visitor });
  await viewer.goto(href);
  await hasPicture(viewer, 'video');
  const download = visitor.page.waitForEvent('download');
  await visitor.click('#recordingList a[download]');
  assert.equal((await download).suggestedFilename(), decodeURIComponent(href.split('/').at(-1)));
}

async function notWanted(t) {
  const { folder, server } = await recorder(t);
  const { guest: ann } = await opensRoom(t, server, { login: 'Ann', wanted: false });
  await sleep(RECORDED_MS);
  await isUnmarked(ann);
  await ann.leave();
  await ann.visitor.shows('#localStatus', 'UNPUBLISHED');
  const joins = ann.visitor.frames.filter(({ message, data }) => message === 'sendData' && data[0].payload.command === 'join');
  assert.deepEqual(joins.map(({ data }) => Object.keys(data[0].payload.options)), [['name']], 'nothing is said about recording');
  assert.deepEqual([named(ann), await offers(ann, 0), films(folder)], [[], [], []]);
  ann.assertNoErrors();
}

/** Ben is in the room already when Ann comes and has it recorded. */
async function late(t) {
  const { folder, server } = await recorder(t);
  const { guest: ben, invite } = await opensRoom(t, server, { login: 'Ben', wanted: false });
  await isUnmarked(ben);
  const ann = await Guest.open(t, server, { login: 'Ann', invite });
  assert.ok(await ann.visitor.evaluate(() => document.querySelector('#moreSettings #recordSwitch') !== null), 'the switch is among further settings');
  await ann.visitor.click('#recordSwitch');
  await ann.enter();
  await Promise.all([isMarked(ann), isMarked(ben)]);
  await sleep(RECORDED_MS);
  await ben.visitor.click('#localStopBtn');
  await isUnmarked(ben);
  const [name] = await offers(ben, 1, '#chat a[target=_blank]');
  assert.ok(films(folder).includes(name), `${name} is there`);
  await isMarked(ann);
  for (const guest of [ann, ben]) guest.assertNoErrors();
}

async function fails(t) {
  const { folder, server } = await recorder(t, { 'records.min_free_bytes': NO_DISK_IS_ENOUGH });
  const { guest: ann, invite } = await opensRoom(t, server, { login: 'Ann' });
  await ann.visitor.shows('#noticeText', /recording .* ended.* disk is full.* call goes on/i);
  await ann.reads('chat', 'disk is full');
  await isUnmarked(ann);
  const ben = await Guest.join(t, server, { login: 'Ben', invite });
  await ben.visitor.shows('#noticeText', /disk is full/);
  await Promise.all([hasPicture(ann.visitor, Guest.video('Ben')), hasPicture(ben.visitor, Guest.video('Ann'))]);
  await Promise.all([stillFlows(ann.visitor), stillFlows(ben.visitor)]);
  await ann.leave();
  await ann.visitor.shows('#localStatus', 'UNPUBLISHED');
  await sleep(500);
  assert.deepEqual([await offers(ann, 0), films(folder)], [[], []], 'no file is offered that is not there');
  for (const guest of [ann, ben]) guest.assertNoErrors();
}

async function screen(t) {
  const { folder, server } = await recorder(t);
  const { guest: ann } = await opensRoom(t, server, { login: 'Ann', page: TWO_WAY_SCREEN });
  await isMarked(ann);
  await ann.visitor.click('#shareBtn');
  await ann.visitor.shows('#shareBtn', 'Unshare');
  await isMarked(ann, '#sharingRecording');
  await sleep(RECORDED_MS);
  await ann.visitor.click('#shareBtn');
  await ann.visitor.shows('#shareBtn', 'Share');
  await ann.reads('chat', 'Your recording of screen');
  await isMarked(ann);
  await ann.leave();
  const told = await offers(ann, 2);
  assert.deepEqual(films(folder), [...told].sort());
  const [shared, face] = await Promise.all(told.map((name) => probed(t, path.join(folder, name))));
  assert.ok(shared.video.frames > 0, 'the screen has a picture');
  assert.ok(face.video.frames > 20 && face.audio.frames > 20, 'the camera has picture and sound');
  ann.assertNoErrors();
}

/** Nobody pressed the switch; the operator records everything. */
async function operator(t) {
  const { server } = await recorder(t, { record_streams: 'true' });
  const { alice, bob } = await twoMeet(t, server, { alice: { page: TWO_WAY }, bob: { page: TWO_WAY } });
  await Promise.all([isMarked(alice), isMarked(bob)]);
  for (const guest of [alice, bob]) guest.assertNoErrors();
}

async function notAllowed(t) {
  const { server } = await recorder(t, { 'auth.secret': SECRET });
  const ann = await Guest.open(t, server, { login: 'Ann', invite: `${server.url}${CONFERENCE}?token=${accessToken()}` });
  await ann.visitor.click('#recordSwitch');
  await ann.visitor.click('#joinBtn');
  await ann.visitor.shows('#failedInfo', /does not allow recording/);
  assert.equal(await isWanted(ann), true, 'the wish is the person\'s to take back');
  await ann.visitor.click('#recordSwitch');
  await ann.enter();
  await isUnmarked(ann);
  ann.assertNoErrors();
}

export const cases = [
  { id: 'record-switch-on', requirement: 'our Conference: one wishes for a recording, both see that they are recorded; the files are there under the names told, and the link plays and downloads', run: conference },
  { id: 'record-switch-off', requirement: 'without the wish nothing is recorded, said or offered', run: notWanted },
  { id: 'record-switch-late', requirement: 'who is in the room already sees the recording begin that a later guest wishes for, and gets the file on Stop', run: late },
  { id: 'record-switch-fails', requirement: 'a recording that fails takes its mark away and says why; the call goes on', run: fails },
  { id: 'record-switch-screen', requirement: 'our Two Way Video Chat & Screen: a shared screen has a mark and a file of its own', run: screen },
  { id: 'record-switch-operator', requirement: 'our Two Way Video Chat: who is recorded by the server\'s settings sees it too', run: operator },
  { id: 'record-switch-not-allowed', requirement: 'an access token that does not allow recording: the wish is refused in words, and without it the guest is let in', run: notAllowed },
];
