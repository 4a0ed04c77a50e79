// The room manual's walk-throughs at our pages: every step of each is a case. The steps
// of one walk share its pages; a step that is run alone is walked up to.

import assert from 'node:assert/strict';

import { hasPicture, seesFilm } from '../lib/checks.mjs';
import { CONFERENCE, Guest, TWO_WAY, TWO_WAY_SCREEN } from '../lib/guest.mjs';
import { Scope } from '../lib/runner.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';
import { Walk } from '../lib/walk.mjs';

const MESSAGE = 'this is a test, do you see me?';
const ANSWER = '"zee ya! zee ya!", Rabbit Eggs shout';
const LOCAL = '#localDisplay video';

/** What a walk acts on: a server, later the tabs of test and test2, all ended with it. */
class Visit {
  #scope = new Scope();

  constructor(server, page) {
    this.server = server;
    this.page = page;
  }

  async open() {
    this.test = await Guest.open(this.#scope, this.server, { page: this.page, login: 'test' });
  }

  async openInvitation() {
    const invite = await this.test.visitor.shows('#inviteAddress', /roomName=/);
    this.test2 = await Guest.join(this.#scope, this.server, { invite, login: 'test2', beside: this.test.visitor });
  }

  async roomName() {
    return new URL(await this.test.visitor.shows('#inviteAddress', /roomName=/)).searchParams.get('roomName');
  }

  /** Who is in the room according to the server; undefined without a room. */
  async members(name) {
    const room = (await this.server.rooms()).rooms.find((r) => r.name === name);
    return room?.participants.map((p) => p.login).sort();
  }

  end() {
    return this.#scope.close();
  }
}

/** Where an element is in the window, and that it has a size there. */
async function boxOf(visitor, selector) {
  const box = await visitor.evaluate((s) => {
    const { left, top, right, bottom, width, height } = document.querySelector(s).getBoundingClientRect();
    return { left, top, right, bottom, width, height };
  }, selector);
  assert.ok(box.width > 20 && box.height > 20, `${selector} is shown, at ${JSON.stringify(box)}`);
  return box;
}

const application = (heading) => ({
  claim: `the server serves ${heading} and its front page leads there`,
  async check({ server, page }) {
    const { status, type, text } = await server.get(page);
    assert.equal(status, 200);
    assert.match(type, /text\/html/);
    for (const id of ['login', 'joinBtn', 'status', 'localDisplay', 'chat', 'inviteAddress']) assert.ok(text.includes(`id="${id}"`), id);
    assert.ok((await server.get('/')).text.includes(page.slice(1)), 'a link to it on the front page');
  },
});

const enterLogin = {
  claim: 'any name can be entered as login, and Join is offered',
  act: (visit) => visit.open(),
  async check({ test }) {
    await test.visitor.shows('#login', 'test');
    await test.visitor.shows('#joinBtn', 'Join');
    await test.visitor.shows('#inviteAddress', 'Not connected');
    test.assertNoErrors();
  },
};

const isInNewRoom = async (visit) => {
  const { visitor } = visit.test;
  await visitor.shows('#status', 'ESTABLISHED');
  await visitor.shows('#joinBtn', 'Leave');
  assert.deepEqual(await visit.members(await visit.roomName()), ['test'], 'the room was made');
  await seesFilm(visitor, LOCAL);
};

const join = {
  claim: 'Join connects (ESTABLISHED), makes the room, shows NONE in the others\' place, the own camera, a chat and an invite link',
  act: (visit) => visit.test.enter(),
  async check(visit) {
    await isInNewRoom(visit);
    const { visitor } = visit.test;
    await visitor.shows('#participants', /NONE/);
    await visitor.shows('#chat', /chat - +room is empty/);
    await visitor.shows('#inviteAddress', new RegExp(`^${visit.server.url}/.*\\?roomName=.+`));
    assert.equal(await visitor.evaluate(() => document.querySelector('#sendMessageBtn').disabled), false);
  },
};

/** @param {(visitor: any) => Promise<void>} arranged how the two pictures stand to each other */
const invite = (claim, arranged) => ({
  claim,
  act: (visit) => visit.openInvitation(),
  async check({ test, test2 }) {
    await seesFilm(test2.visitor, Guest.video('test'));
    await hasPicture(test2.visitor, LOCAL);
    await arranged(test2.visitor);
    await test.meets('test2');
    await test.reads('test2', 'joined');
    test2.assertNoErrors();
  },
});

const bothInView = async (visitor) => {
  const [other, own] = [await boxOf(visitor, Guest.video('test')), await boxOf(visitor, LOCAL)];
  const apart = other.right <= own.left || own.right <= other.left || other.bottom <= own.top || own.bottom <= other.top;
  assert.ok(apart, 'neither picture hides the other');
};

const ownSmallBelowLeft = async (visitor) => {
  const [other, own] = [await boxOf(visitor, Guest.video('test')), await boxOf(visitor, LOCAL)];
  assert.ok(own.width * own.height < other.width * other.height / 2, 'the other is large, the own picture small');
  const middle = { x: (own.left + own.right) / 2, y: (own.top + own.bottom) / 2 };
  assert.ok(middle.x < (other.left + other.right) / 2 && middle.y > (other.top + other.bottom) / 2, 'in the lower left');
};

const message = {
  claim: 'a message reaches the other participant',
  act: (visit) => visit.test2.say(MESSAGE),
  check: (visit) => visit.test.reads('test2', MESSAGE),
};

const answer = {
  claim: 'an answer can be entered and is shown to its writer',
  act: (visit) => visit.test.say(ANSWER),
  check: (visit) => visit.test.reads('test', ANSWER),
};

const answerReceived = {
  claim: 'the answer is received',
  check: (visit) => visit.test2.reads('test', ANSWER),
};

const leave = {
  claim: 'Leave takes the person out of the room; the other sees it; the room ends with the last',
  async act(visit) {
    visit.room = await visit.roomName();
    await visit.test.leave();
  },
  async check(visit) {
    await visit.test2.misses('test');
    await visit.test2.reads('test', 'left');
    assert.deepEqual(await visit.members(visit.room), ['test2']);
    await visit.test2.leave();
    await until('the room has ended', async () => (await visit.members(visit.room)) === undefined, { timeoutMs: 3_000 });
    visit.test.assertNoErrors();
    visit.test2.assertNoErrors();
  },
};

const conference = [
  application('Conference'), enterLogin, join,
  invite('who opens the link in a new tab and joins as test2 sees test\'s camera and the own one', bothInView),
  message, answer, answerReceived, leave,
];

const chat = [
  application('Two Way Video Chat'), enterLogin, join,
  invite('who opens the link in a new tab and joins as test2 sees test large and themselves small in the lower left', ownSmallBelowLeft),
  message, answer, answerReceived, leave,
];

const screen = [
  application('Two Way Video Chat & Screen'),
  {
    claim: 'Join connects (ESTABLISHED), makes the room and shows the own camera, without any extension',
    async act(visit) {
      await visit.open();
      await visit.test.enter();
    },
    check: isInNewRoom,
  },
  {
    claim: 'who opens the link in a new tab and joins as test2 sees the camera\'s picture',
    act: (visit) => visit.openInvitation(),
    check: ({ test2 }) => seesFilm(test2.visitor, Guest.video('test')),
  },
  {
    claim: 'Share shows the screen that is shared to its owner and offers Unshare',
    act: (visit) => visit.test2.visitor.click('#shareBtn'),
    async check({ test2 }) {
      await test2.visitor.shows('#shareBtn', 'Unshare');
      await hasPicture(test2.visitor, '#preview video');
    },
  },
  {
    claim: 'on the tab of test the shared screen is shown beside the camera',
    check: ({ test }) => seesTwoPictures(test.visitor, 'test2'),
  },
  { ...leave, async act(visit) {
    visit.room = await visit.roomName();
    await visit.test.leave();
  } },
];

/** Camera and screen of one participant: two calls of which both deliver pictures, and two elements that show them. */
async function seesTwoPictures(visitor, login) {
  await until(`two pictures of ${login}`, async () => {
    const shown = await visitor.evaluate(() =>
      [...document.querySelectorAll('video')].filter((v) => !v.closest('#localDisplay, #preview') && v.videoWidth > 0 && v.readyState >= 2).length);
    const flowing = (await visitor.stats()).flatMap((call) => call.streams)
      .filter((s) => s.direction === 'in' && s.kind === 'video' && s.frames > 5).length;
    if (shown === 2 && flowing === 2) return true;
    throw new Error(`${shown} shown, ${flowing} flowing`);
  });
}

const WALKS = {
  'video-conference': { title: 'video conference', page: CONFERENCE, steps: conference },
  'video-chat': { title: 'video chat', page: TWO_WAY, steps: chat },
  'screen-sharing': { title: 'video conference with screen sharing', page: TWO_WAY_SCREEN, steps: screen },
};

export async function share(t) {
  const server = await Server.start(t);
  const walks = Object.entries(WALKS).map(([id, { page, steps }]) => [id, new Walk(async () => new Visit(server, page), steps)]);
  for (const [, walk] of walks) t.defer(() => walk.end());
  return { server, walks: Object.fromEntries(walks) };
}

/** The manual's call flow: what each side sends and hears, in this order. */
async function callFlow(t, { server }) {
  const one = await Guest.join(t, server, { login: 'one' });
  const invite = await one.visitor.shows('#inviteAddress', /roomName=/);
  const two = await Guest.join(t, server, { invite, login: 'two' });
  await Promise.all([one.meets('two'), seesFilm(one.visitor, Guest.video('two')), seesFilm(two.visitor, Guest.video('one'))]);
  await one.leave();
  await two.misses('one');

  const steps = (guest) => (number, what, sent, message, fits = (_data) => true) => ({ guest, number, what, sent, message, fits });
  const room = (name) => ([{ payload }]) => payload.name === name;
  const command = (name) => ([{ payload }]) => payload.command === name;
  const status = (name) => ([event]) => event.status === name;
  const [first, second] = [steps(one), steps(two)];
  const flow = [
    first(1, 'connect', true, 'connection'),
    first(2, 'ESTABLISHED', false, 'getUserData'),
    first(3, 'join', true, 'sendData', command('join')),
    first(4, 'STATE', false, 'OnDataEvent', room('STATE')),
    first(5, 'publish', true, 'publishStream'),
    first(6, 'PUBLISHING', false, 'notifyStreamStatusEvent', status('PUBLISHING')),
    second(8, 'connect', true, 'connection'),
    second(9, 'ESTABLISHED', false, 'getUserData'),
    second(10, 'join', true, 'sendData', command('join')),
    second(11, 'STATE', false, 'OnDataEvent', room('STATE')),
    first(12, 'JOINED', false, 'OnDataEvent', room('JOINED')),
    second(13, 'PLAYING', false, 'notifyStreamStatusEvent', status('PLAYING')),
    second(14, 'publish', true, 'publishStream'),
    second(15, 'PUBLISHING', false, 'notifyStreamStatusEvent', status('PUBLISHING')),
    first(16, 'PLAYING', false, 'notifyStreamStatusEvent', status('PLAYING')),
    first(17, 'leave', true, 'sendData', command('leave')),
    second(18, 'LEFT', false, 'OnDataEvent', room('LEFT')),
  ].map((step) => {
    const { frames } = step.guest.visitor;
    const index = frames.findIndex(({ sent, message, data }) => sent === step.sent && message === step.message && step.fits(data));
    assert.ok(index >= 0, `step ${step.number}: ${step.what} of ${step.guest.login} is on the wire`);
    return { ...step, index, atMs: frames[index].atMs };
  });
  const step = (number) => flow.find((s) => s.number === number);
  /** Each of these must come before the next; playing and publishing of one newcomer run side by side. */
  const orders = [[1, 2, 3, 4, 5, 6, 12, 16, 17], [8, 9, 10, 11, 13], [11, 14, 15], [6, 8], [10, 12], [15, 16], [17, 18]];
  for (const order of orders) {
    for (const [i, number] of order.slice(1).entries()) {
      const [before, after] = [step(order[i]), step(number)];
      const inOrder = before.guest === after.guest ? before.index < after.index : before.atMs <= after.atMs;
      assert.ok(inOrder, `step ${before.number} (${before.what}) comes before step ${after.number} (${after.what})`);
    }
  }
  one.assertNoErrors();
  two.assertNoErrors();
}

export const cases = [
  ...Object.entries(WALKS).flatMap(([id, { title, steps }]) => steps.map(({ claim }, i) => ({
    id: `seed-${id}-${i + 1}`,
    requirement: `seed: ${title}, step ${i + 1}: ${claim}`,
    run: (_t, { walks }) => walks[id].look(i + 1),
  }))),
  {
    id: 'seed-call-flow',
    requirement: 'seed: call flow, steps 1 to 18: what two people at our Conference send and hear is in this order on the wire',
    run: callFlow,
  },
];
