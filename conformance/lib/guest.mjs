// A participant at the server's own page: what a person does there, and what they
// can see of the others.

import assert from 'node:assert/strict';

import { Visitor } from './browsers.mjs';
import { until } from './wait.mjs';

export const CONFERENCE = '/conference.html';
export const TWO_WAY = '/two-way.html';
export const TWO_WAY_SCREEN = '/two-way-screen.html';

let rooms = 0;
/** A room name no other case uses. */
export const freshRoom = () => `room-${process.pid.toString(16)}-${(rooms += 1)}`;

export class Guest {
  constructor(visitor, login) {
    this.visitor = visitor;
    this.login = login;
  }

  /**
   * Opens a page of the server and types the name.
   * @param {{defer: (f: () => any) => void}} t
   * @param {import('./server.mjs').Server} server
   * @param {Invited} who
   *
   * @typedef {object} Invited
   * @property {string} login
   * @property {string} [page]
   * @property {string} [room] none: a new one
   * @property {string} [invite] the whole link, instead of page and room
   * @property {'chromium'|'firefox'} [kind]
   * @property {object} [instrument]
   * @property {object} [browser]
   * @property {Visitor} [beside] a visitor in whose browser a new tab is opened
   */
  static async open(t, server, { login, page = CONFERENCE, room, invite, kind = 'chromium', ...wish }) {
    const visitor = await Visitor.open(t, kind, wish);
    await visitor.goto(invite ?? `${server.url}${page}${room ? `?roomName=${encodeURIComponent(room)}` : ''}`);
    await visitor.fill('#login', login);
    return new Guest(visitor, login);
  }

  /** The same, and joins, up to the camera being published. @param {Invited} who */
  static async join(t, server, who) {
    const guest = await Guest.open(t, server, who);
    await guest.enter();
    return guest;
  }

  async enter() {
    await this.visitor.click('#joinBtn');
    await this.visitor.shows('#status', 'ESTABLISHED');
    await this.publishes();
  }

  publishes(timeoutMs = 20_000) {
    return this.visitor.shows('#localStatus', 'PUBLISHING', timeoutMs);
  }

  /** Where this guest's page shows `login`. */
  static place(login) {
    return `#participants .participant[data-login="${login}"]`;
  }

  static video(login) {
    return `${Guest.place(login)} video`;
  }

  /** Waits until the page names a participant. */
  async meets(login) {
    await this.visitor.shows(`${Guest.place(login)} .name`, new RegExp(login));
  }

  /** Waits until the page no longer shows a participant. */
  async misses(login) {
    await until(`${this.login} no longer sees ${login}`, () =>
      this.visitor.evaluate((s) => document.querySelector(s) === null, Guest.place(login)));
  }

  async say(text) {
    await this.visitor.fill('#message', text);
    await this.visitor.click('#sendMessageBtn');
  }

  /** Waits for a line of the chat. */
  async reads(from, text) {
    await until(`${this.login} reads "${text}" from ${from}`, async () => {
      const chat = await this.visitor.text('#chat');
      if (chat.split('\n').some((line) => line.includes(from) && line.includes(text))) return true;
      throw new Error(`the chat says: ${chat}`);
    });
  }

  async leave() {
    await this.visitor.click('#joinBtn');
    await this.visitor.shows('#joinBtn', /join/i);
  }

  stats() {
    return this.visitor.stats();
  }

  /** No exception may have escaped on the page. */
  assertNoErrors() {
    assert.deepEqual(this.visitor.errors, [], `exceptions on ${this.login}'s page`);
  }
}
