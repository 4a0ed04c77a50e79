// A participant at the official SDK's unmodified demo pages: what a person does there,
// and what they can see of the others.

import assert from 'node:assert/strict';

import { Visitor } from './browsers.mjs';
import { hears, seesFilm } from './checks.mjs';
import { servePages } from './static.mjs';
import { until } from './wait.mjs';

const DEMOS = '/client2/examples/demo/streaming';
export const CONFERENCE = `${DEMOS}/conference/conference.html`;
export const TWO_WAY = `${DEMOS}/video-chat/video-chat.html`;
export const TWO_WAY_SCREEN = `${DEMOS}/video-chat-and-screen-sharing/video-chat-and-screen-sharing.html`;

/** Where the pages come from: the one place that decides it. @returns {Promise<string>} the origin */
export const officialOrigin = (t, _server) => servePages(t);

export class OfficialGuest {
  constructor(visitor, login) {
    this.visitor = visitor;
    this.login = login;
  }

  /**
   * Opens a page and fills its form.
   * @param {{server: {wsUrl: string}, origin: string, page?: string, room?: string, invite?: string, login: string, browser?: object, instrument?: object}} who
   */
  static async open(t, { server, origin, page = CONFERENCE, room, invite, login, browser, instrument }) {
    const visitor = await Visitor.open(t, 'chromium', { browser, instrument });
    await visitor.goto(invite ?? `${origin}${page}${room ? `?roomName=${room}` : ''}`);
    await visitor.fill('#url', server.wsUrl);
    await visitor.fill('#login', login);
    return new OfficialGuest(visitor, login);
  }

  /** Opens and joins, up to the camera being published. */
  static async join(t, who) {
    const guest = await OfficialGuest.open(t, who);
    await guest.enter();
    return guest;
  }

  async enter() {
    await this.visitor.click('#joinBtn');
    await this.visitor.shows('#status', 'ESTABLISHED');
    await this.publishes();
  }

  publishes() {
    return this.visitor.shows('#localStatus', 'PUBLISHING');
  }

  async leave() {
    await this.visitor.shows('#joinBtn', 'Leave');
    await this.visitor.click('#joinBtn');
    await this.visitor.shows('#joinBtn', 'Join');
  }

  /** Names of the places for others, in order; a free one is NONE. */
  places() {
    return this.visitor.evaluate(() =>
      [...document.querySelectorAll('[id^=participant][id$=Name]')].map((place) => place.textContent.trim()));
  }

  /** Waits until the places hold exactly these others, in any order. */
  async meets(...logins) {
    await until(`${this.login} has beside them: ${logins}`, async () => {
      const named = (await this.places()).filter((name) => name !== 'NONE').sort().join();
      if (named === [...logins].sort().join()) return true;
      throw new Error(`${named || 'nobody'}; page errors: ${this.visitor.errors.join('; ') || 'none'}`);
    });
  }

  /** `#participant1` or so: the place of a participant. */
  async placeOf(login) {
    const index = (await this.places()).indexOf(login);
    assert.ok(index >= 0, `${this.login} has no place for ${login}`);
    return `#participant${index + 1}`;
  }

  async videoOf(login) {
    return `${await this.placeOf(login)}Display video`;
  }

  async seesAndHears(login) {
    const video = await this.videoOf(login);
    await seesFilm(this.visitor, video);
    await hears(this.visitor, video);
  }

  /** Nothing is played in that display any more; the SDK keeps the emptied element for the next play. */
  async seesNothingIn(display) {
    await until(`${this.login} has no picture in ${display}`, () =>
      this.visitor.evaluate((s) => [...document.querySelectorAll(s)].every((video) => !video.srcObject), `${display} video`));
  }

  async say(text) {
    await this.visitor.fill('#message', text);
    await this.visitor.click('#sendMessageBtn');
  }

  reads(from, text) {
    return this.visitor.shows('#chat', new RegExp(`${from} - ${text}`));
  }

  /** No exception may have escaped on the page. */
  assertNoErrors() {
    assert.deepEqual(this.visitor.errors, [], `exceptions on ${this.login}'s page`);
  }
}
