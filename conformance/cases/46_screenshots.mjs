// What every page looks like in its states, kept in out/ for people to look at. A picture
// is taken only after the page has been shown to be in the state the picture is named for.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { Visitor } from '../lib/browsers.mjs';
import { hasPicture } from '../lib/checks.mjs';
import { CONFERENCE, freshRoom, Guest, TWO_WAY, TWO_WAY_SCREEN } from '../lib/guest.mjs';
import { repository, Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

const WINDOW = { width: 1100, height: 800 };
const PHONE = { width: 390, height: 844 };
const out = path.join(repository, 'conformance/out');

export async function share(t) {
  mkdirSync(out, { recursive: true });
  return { server: await Server.start(t) };
}

const take = ({ page }, name) => page.screenshot({ path: path.join(out, `${name}.png`) });

/** The part of an element that the window shows, in pixels; 0 when it is hidden. */
const seenPixels = (visitor, selector) => visitor.evaluate((s) => {
  const element = document.querySelector(s);
  if (!element?.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) return 0;
  const box = element.getBoundingClientRect();
  const width = Math.min(box.right, innerWidth) - Math.max(box.left, 0);
  const height = Math.min(box.bottom, innerHeight) - Math.max(box.top, 0);
  return Math.max(width, 0) * Math.max(height, 0);
}, selector);

/** These elements are in the window, each with at least some size; those are not. */
async function inView(visitor, shown, hidden = []) {
  for (const selector of shown) await until(`${selector} is in view`, async () => (await seenPixels(visitor, selector)) > 100, { timeoutMs: 3_000 });
  for (const selector of hidden) await until(`${selector} is hidden`, async () => (await seenPixels(visitor, selector)) === 0, { timeoutMs: 3_000 });
}

/** Nothing is wider than the window. */
async function fitsWidth(visitor) {
  const { wide, window: width } = await visitor.evaluate(() => ({ wide: document.scrollingElement.scrollWidth, window: innerWidth }));
  assert.ok(wide <= width, `the page is ${wide} px wide in a window of ${width} px`);
}

/** How light the page is, from 0 to 1. */
const lightness = (visitor) => visitor.evaluate(() => {
  for (const element of [document.body, document.documentElement]) {
    const [r, g, b, a = 1] = getComputedStyle(element).backgroundColor.match(/[\d.]+/g).map(Number);
    if (a > 0) return (r + g + b) / 3 / 255;
  }
  return 1;
});

/** The same state at phone width and in the dark. */
async function smallAndDark(visitor, name, shown) {
  await visitor.page.emulateMedia({ colorScheme: 'light' });
  assert.ok(await lightness(visitor) > 0.7, 'the page is light');
  await visitor.page.emulateMedia({ colorScheme: 'dark' });
  await until('the page is dark', async () => (await lightness(visitor)) < 0.35, { timeoutMs: 3_000 });
  await inView(visitor, shown);
  await take(visitor, `${name}-dark`);
  await visitor.page.emulateMedia({ colorScheme: 'light' });
  await visitor.page.setViewportSize(PHONE);
  await inView(visitor, shown);
  await fitsWidth(visitor);
  await take(visitor, `${name}-phone`);
  await visitor.page.setViewportSize(WINDOW);
}

/** The states of one application, with as many people as it has seats in the picture. */
async function application(t, { server }, { page, name, others, sharing }) {
  const room = freshRoom();
  const ann = await Guest.open(t, server, { page, room, login: 'Ann' });
  const { visitor } = ann;
  await inView(visitor, ['#login', '#joinBtn'], ['#chat', '#failedInfo']);
  await fitsWidth(visitor);
  await take(visitor, `${name}-empty`);
  await smallAndDark(visitor, `${name}-empty`, ['#login', '#joinBtn']);

  await ann.enter();
  await hasPicture(visitor, '#localDisplay video');
  const controls = ['#localAudioToggle', '#localVideoToggle', '#localStopBtn', '#joinBtn'];
  await inView(visitor, ['#localDisplay video', '#inviteAddress', '#message', ...controls], ['#login']);
  await visitor.shows('#participants', /NONE/);
  await fitsWidth(visitor);
  await take(visitor, `${name}-joined`);

  const guests = [];
  for (const login of others) guests.push(await Guest.join(t, server, { page, room, login }));
  for (const login of others) await hasPicture(visitor, Guest.video(login));
  await inView(visitor, ['#localDisplay video', ...others.map(Guest.video)], ['#vacant']);
  await take(visitor, `${name}-people`);

  await guests[0].say('Do you see me?');
  await ann.reads(others[0], 'Do you see me?');
  await ann.say('Yes, and a line that is long enough to be wrapped in the narrow column of the chat.');
  await guests[0].reads('Ann', 'Yes, and');
  await inView(visitor, ['#chat', '#message', '#sendMessageBtn']);
  await take(visitor, `${name}-chat`);
  await smallAndDark(visitor, `${name}-people`, others.slice(0, 1).map(Guest.video).concat(controls));

  if (sharing) {
    await guests[0].visitor.click('#shareBtn');
    const shared = `${Guest.place(others[0])} .shared video`;
    await hasPicture(visitor, shared);
    await inView(visitor, [shared]);
    await take(visitor, `${name}-shared`);
  }

  const twin = await Guest.open(t, server, { page, room, login: 'Ann' });
  await twin.visitor.click('#joinBtn');
  await twin.visitor.shows('#failedInfo', /already|full/i);
  await inView(twin.visitor, ['#failedInfo', '#login', '#joinBtn']);
  await take(twin.visitor, `${name}-error`);
  for (const guest of [ann, twin, ...guests]) guest.assertNoErrors();
}

async function landing(t, { server }) {
  const visitor = await Visitor.open(t, 'chromium');
  await visitor.goto(`${server.url}/`);
  const links = [CONFERENCE, TWO_WAY, TWO_WAY_SCREEN].map((page) => `a[href*="${page.slice(1)}"]`);
  await inView(visitor, links);
  await fitsWidth(visitor);
  await take(visitor, 'landing');
  await smallAndDark(visitor, 'landing', links.slice(0, 1));
  assert.deepEqual(visitor.errors, []);
}

export const cases = [
  { id: 'shot-landing', requirement: 'pictures of the front page: light, dark, on a phone; it leads to the three applications', run: landing },
  {
    id: 'shot-conference',
    requirement: 'pictures of Conference: empty, joined, three people, chat, error, on a phone, dark; each state is really shown',
    run: (t, shared) => application(t, shared, { page: CONFERENCE, name: 'conference', others: ['Ben', 'Cem'] }),
  },
  {
    id: 'shot-two-way',
    requirement: 'pictures of Two Way Video Chat: empty, joined, two people, chat, error, on a phone, dark; each state is really shown',
    run: (t, shared) => application(t, shared, { page: TWO_WAY, name: 'two-way', others: ['Ben'] }),
  },
  {
    id: 'shot-two-way-screen',
    requirement: 'pictures of Two Way Video Chat & Screen: the same states and a shared screen; each state is really shown',
    run: (t, shared) => application(t, shared, { page: TWO_WAY_SCREEN, name: 'two-way-screen', others: ['Ben'], sharing: true }),
  },
];
