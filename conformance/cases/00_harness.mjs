// The harness's own eyes and ears, in a call without a server: they recognise what
// they must, and refuse what is not it.

import assert from 'node:assert/strict';

import { Visitor } from '../lib/browsers.mjs';
import { hears, seesColours, seesFilm, seesMotion, stillFlows } from '../lib/checks.mjs';
import { PALETTE } from '../lib/fixtures.mjs';
import { servePages } from '../lib/static.mjs';

async function callOneself(t, kind, instrument) {
  const origin = await servePages(t);
  const visitor = await Visitor.open(t, kind, { instrument });
  await visitor.goto(`${origin}/pages/loopback.html`);
  await visitor.evaluate(() => window.callOneself());
  return visitor;
}

const refused = (check) => assert.rejects(check, undefined, 'a check that must fail passed');

export const cases = [
  {
    id: 'harness-chromium',
    requirement: 'in Chromium the fake camera\'s film and tone are recognised at the far end of a call, and other ones are not',
    async run(t) {
      const visitor = await callOneself(t, 'chromium');
      await seesFilm(visitor, '#far');
      await hears(visitor, '#far');
      await stillFlows(visitor);
      await visitor.evaluate(() => {
        const video = document.querySelector('#far');
        video.pause();
      });
      await refused(seesFilm(visitor, '#far'));
    },
  },
  {
    id: 'harness-drawn-source',
    requirement: 'a drawn camera and a sung tone are told from another participant\'s',
    async run(t) {
      const source = { colours: [PALETTE[0].rgb, PALETTE[2].rgb], toneHz: 660, colourMs: 500 };
      const visitor = await callOneself(t, 'chromium', { source });
      await seesColours(visitor, '#far', [0, 2]);
      await hears(visitor, '#far', 660);
      await refused(seesFilm(visitor, '#far'));
      await refused(hears(visitor, '#far', 440, 1_500));
    },
  },
  {
    id: 'harness-firefox',
    requirement: 'in Firefox the fake picture\'s motion and tone are recognised at the far end of a call',
    async run(t) {
      const visitor = await callOneself(t, 'firefox');
      await seesMotion(visitor, '#far');
      await hears(visitor, '#far');
      await stillFlows(visitor);
    },
  },
];
