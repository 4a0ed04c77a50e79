// Two people in Chromium at the server's own page.

import assert from 'node:assert/strict';

import { seesAndHears, twoMeet } from '../lib/calls.mjs';
import { hears, seesFilm, stillFlows } from '../lib/checks.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

export const cases = [
  {
    id: 'page-two-talk',
    requirement: 'two people at the page see each other\'s moving picture, hear each other\'s tone and chat, both ways',
    async run(t) {
      const server = await Server.start(t);
      const { alice, bob } = await twoMeet(t, server);
      await Promise.all([seesAndHears(alice, 'Bob'), seesAndHears(bob, 'Alice')]);
      await alice.say('hello from Alice');
      await bob.reads('Alice', 'hello from Alice');
      await alice.reads('Alice', 'hello from Alice');
      await bob.say('good day from Bob');
      await alice.reads('Bob', 'good day from Bob');
      const invite = await alice.visitor.text('#inviteAddress');
      assert.match(invite, new RegExp(`^${server.url}/.*roomName=`), 'the invitation leads to this room');
      alice.assertNoErrors();
      bob.assertNoErrors();
    },
  },
  {
    id: 'page-chat-is-text',
    requirement: 'markup in a chat message is shown as the text it is and never runs',
    async run(t) {
      const server = await Server.start(t);
      const { alice, bob } = await twoMeet(t, server);
      const attack = '<img src=x onerror="window.__owned=1"><b>bold</b>';
      await alice.say(attack);
      await bob.reads('Alice', attack);
      const owned = await bob.visitor.evaluate(() => Boolean(window.__owned) || document.querySelector('#chat img, #chat b b') !== null);
      assert.equal(owned, false, 'the message became markup on the reader\'s page');
    },
  },
  {
    id: 'page-mute-stop-leave',
    requirement: 'mute and unmute, stop and publish again, leave and come back, a closed tab: the other sees each of them',
    async run(t) {
      const server = await Server.start(t);
      const { alice, bob, room } = await twoMeet(t, server);
      const place = Guest.place('Alice');
      const micOff = (hidden) => until(`Bob sees Alice's microphone ${hidden ? 'on' : 'off'}`, () =>
        bob.visitor.evaluate(({ place, hidden }) => document.querySelector(`${place} .micOff`)?.hidden === hidden, { place, hidden }));
      await seesAndHears(bob, 'Alice');
      await alice.visitor.click('#localAudioToggle');
      await micOff(false);
      await alice.visitor.click('#localAudioToggle');
      await micOff(true);
      await hears(bob.visitor, Guest.video('Alice'));

      await alice.visitor.click('#localStopBtn');
      await alice.visitor.shows('#localStatus', 'UNPUBLISHED');
      await until('Alice\'s picture is gone at Bob\'s', () =>
        bob.visitor.evaluate((s) => document.querySelector(s) === null, Guest.video('Alice')));
      await alice.visitor.click('#localStopBtn');
      await alice.visitor.shows('#localStatus', 'PUBLISHING');
      await seesFilm(bob.visitor, Guest.video('Alice'));

      await alice.leave();
      await bob.misses('Alice');
      await alice.visitor.click('#joinBtn');
      await alice.visitor.shows('#localStatus', 'PUBLISHING');
      await Promise.all([seesFilm(bob.visitor, Guest.video('Alice')), seesFilm(alice.visitor, Guest.video('Bob'))]);

      await alice.visitor.close();
      await bob.misses('Alice');
      const names = (await server.rooms()).rooms.find((r) => r.name === room).participants.map((p) => p.login);
      assert.deepEqual(names, ['Bob']);
      bob.assertNoErrors();
    },
  },
  {
    id: 'page-late-viewer',
    requirement: 'who joins a running room has the picture within 3 s of entering: the server asks for a key frame',
    async run(t) {
      const server = await Server.start(t);
      const room = freshRoom();
      const alice = await Guest.join(t, server, { room, login: 'Alice' });
      const bob = await Guest.join(t, server, { room, login: 'Bob' });
      await stillFlows(bob.visitor);
      const eve = await Guest.join(t, server, { room, login: 'Eve' });
      await until('Eve sees both', () => eve.visitor.evaluate(() =>
        ['Alice', 'Bob'].every((login) => {
          const video = document.querySelector(`#participants .participant[data-login="${login}"] video`);
          return video?.videoWidth > 0 && video.readyState >= 2;
        })), { timeoutMs: 3_000 });
      alice.assertNoErrors();
    },
  },
];
