// A participant at the server's own page: what a person does there, and what they
// can see of the others.

import assert from 'node:assert/strict';

import { Visitor } from './browsers.mjs';
import { until } from './wait.mjs';

let rooms = 0;
/** A room name no other case uses. */
export const freshRoom = () => `room-${process.pid.toString(16)}-${(rooms += 1)}`;

export class Guest {
  constructor(visitor, login) {
    this.visitor = visitor;
    this.login = login;
  }

  /**
   * Opens the server's page and joins, up to the camera being published.
   * @param {{defer: (f: () => any) => void}} t
   * @param {import('./server.mjs').Server} server
   * @param {{room: string, login: string, kind?: 'chromium'|'firefox', instrument?: object, browser?: object}} who
   */
  static async join(t, server, { room, login, kind = 'chromium', ...wish }) {
    const visitor = await Visitor.open(t, kind, wish);
    await visitor.goto(`${server.url}/?roomName=${encodeURIComponent(room)}`);
    const guest = new Guest(visitor, login);
    await visitor.fill('#login', login);
    await visitor.click('#joinBtn');
    await visitor.shows('#status', 'ESTABLISHED');
    await visitor.shows('#localStatus', 'PUBLISHING');
    return guest;
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
