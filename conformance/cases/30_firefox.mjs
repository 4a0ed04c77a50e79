// Firefox beside Chromium: another WebRTC stack, another DTLS, no H.264.

import assert from 'node:assert/strict';

import { isSecured, seesAndHears, twoMeet, usesCodecs } from '../lib/calls.mjs';
import { hasPicture, hears, seesMotion } from '../lib/checks.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

async function browsersMeet(t, settings, secured) {
  const server = await Server.start(t, { video_codecs: 'vp8', ...settings });
  const { alice, bob } = await twoMeet(t, server, { bob: { kind: 'firefox' } });
  await Promise.all([
    seesAndHears(bob, 'Alice'),
    seesMotion(alice.visitor, Guest.video('Bob')).then(() => hears(alice.visitor, Guest.video('Bob'))),
  ]);
  await alice.say('hello Firefox');
  await bob.reads('Alice', 'hello Firefox');
  await bob.say('hello Chromium');
  await alice.reads('Bob', 'hello Chromium');
  for (const guest of [alice, bob]) {
    await usesCodecs(guest, { video: 'VP8', audio: 'opus' });
    await isSecured(guest, secured);
    guest.assertNoErrors();
  }
}

export const cases = [
  {
    id: 'firefox-chromium-vp8',
    requirement: 'Firefox and Chromium see, hear and read each other with VP8 and Opus; both have DTLS 1.2 with AES-256-GCM',
    run: (t) => browsersMeet(t, {}, { tlsVersion: 'FEFD', srtpCipher: /AEAD_AES_256_GCM/ }),
  },
  {
    id: 'firefox-chromium-dtls13',
    requirement: 'the same with dtls.max_version=1.3: both have DTLS 1.3',
    run: (t) => browsersMeet(t, { 'dtls.max_version': '1.3' }, { tlsVersion: 'FEFC' }),
  },
  {
    id: 'firefox-first-default-codecs',
    requirement: 'with default codecs, who publishes beside a Firefox that knows no H.264 gets VP8',
    async run(t) {
      const server = await Server.start(t);
      const room = freshRoom();
      const bob = await Guest.join(t, server, { room, login: 'Bob', kind: 'firefox' });
      const alice = await Guest.join(t, server, { room, login: 'Alice' });
      await Promise.all([hasPicture(bob.visitor, Guest.video('Alice')), hasPicture(alice.visitor, Guest.video('Bob'))]);
      await usesCodecs(alice, { video: 'VP8', audio: 'opus' });
    },
  },
  {
    id: 'firefox-late-default-codecs',
    requirement: 'with default codecs, a Firefox that comes after an H.264 publisher gets the picture or is told why not, and is seen itself',
    async run(t) {
      const server = await Server.start(t);
      const { alice, bob } = await twoMeet(t, server, { bob: { kind: 'firefox' } });
      await hasPicture(alice.visitor, Guest.video('Bob'));
      const seen = await until('Bob sees Alice or reads why not', () => bob.visitor.evaluate((place) => {
        const video = document.querySelector(`${place} video`);
        if (video?.videoWidth > 0 && video.readyState >= 2) return 'picture';
        return document.querySelector(place)?.innerText.includes('No common codecs') ? 'told' : '';
      }, Guest.place('Alice')));
      assert.ok(['picture', 'told'].includes(seen));
    },
  },
];
