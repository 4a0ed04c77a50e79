// What a viewer must see and hear, judged from samples taken in the viewer's page.

import assert from 'node:assert/strict';

import { COLOUR_MS, PALETTE, TONE_HZ } from './fixtures.mjs';
import { hearTone, watchColours } from './inpage.mjs';
import { show, until } from './wait.mjs';

const TONE_TOLERANCE_HZ = 10;
/** A colour counts as one of the palette when no channel is further away than this (of 255). */
const COLOUR_TOLERANCE = 90;

/** The palette's index of the colour nearest to `rgb`, or -1. */
export function nearestColour(rgb) {
  const distances = PALETTE.map((colour) => Math.max(...colour.rgb.map((c, i) => Math.abs(c - rgb[i]))));
  const best = distances.indexOf(Math.min(...distances));
  return distances[best] <= COLOUR_TOLERANCE ? best : -1;
}

/** Colour after colour as they were seen: each once per stay, transitions between two left out. */
export function colourRuns(samples) {
  const runs = [];
  for (const { rgb } of samples) {
    const colour = nearestColour(rgb);
    if (colour >= 0 && colour !== runs.at(-1)) runs.push(colour);
  }
  return runs;
}

/** Waits until the element has a decoded picture. */
export async function hasPicture(visitor, selector, timeoutMs = 20_000) {
  await until(`${visitor.kind} has a picture in ${selector}`, async () => {
    const state = await visitor.evaluate((s) => {
      const video = document.querySelector(s);
      if (!video) return 'no such element';
      return video.videoWidth > 0 && video.readyState >= 2 ? '' : `width ${video.videoWidth}, readyState ${video.readyState}`;
    }, selector);
    if (state === '') return true;
    const calls = (await visitor.stats()).map((c) => `${c.connectionState} ${c.streams.map((s) => `${s.direction} ${s.codec} ${s.packets}`).join(', ')}`);
    throw new Error(`${state}; calls: ${calls.join('; ') || 'none'}; page errors: ${visitor.errors.join('; ') || 'none'}`);
  }, { timeoutMs });
}

/**
 * The film of the fake camera: its colours, in their order, at their pace.
 * @param {import('./browsers.mjs').Visitor} visitor
 */
export async function seesFilm(visitor, selector) {
  await hasPicture(visitor, selector);
  const spanMs = 4_000;
  isFilm(await visitor.evaluate(watchColours, { selector, spanMs }), spanMs, selector);
}

/** Colours looked at for `spanMs` are those of the film. */
export function isFilm(samples, spanMs, where) {
  const runs = colourRuns(samples);
  const names = runs.map((i) => PALETTE[i].name).join(' ');
  assert.ok(new Set(runs).size >= 5, `at least 5 of the film's 6 colours in ${where}, seen: ${names}`);
  const steps = runs.slice(1).map((colour, i) => (colour - runs[i] + PALETTE.length) % PALETTE.length);
  const inOrder = steps.filter((step) => step === 1).length;
  assert.ok(inOrder >= steps.length * 0.8, `the film's colours in their order in ${where}, seen: ${names}`);
  const expected = spanMs / COLOUR_MS;
  assert.ok(
    steps.length >= expected * 0.6 && steps.length <= expected * 1.4,
    `about ${expected} colour changes in ${spanMs} ms in ${where}, seen ${steps.length}: ${names}`,
  );
}

/** A drawn source: exactly its own colours, changing. */
export async function seesColours(visitor, selector, colours) {
  await hasPicture(visitor, selector);
  // The first frames of a stream may be coarse; what counts is the settled picture.
  await until(`${selector} settles on colours ${colours}`, async () => {
    const runs = colourRuns(await visitor.evaluate(watchColours, { selector, spanMs: 2_500 }));
    if (runs.length >= 3 && runs.every((c) => colours.includes(c)) && new Set(runs).size === colours.length) return true;
    throw new Error(`seen ${show(runs.map((i) => PALETTE[i].name))}`);
  }, { timeoutMs: 15_000 });
}

/** Any picture that changes: for a fake camera whose film is not ours. */
export async function seesMotion(visitor, selector) {
  await hasPicture(visitor, selector);
  const samples = await visitor.evaluate(watchColours, { selector, spanMs: 3_000 });
  const distinct = new Set(samples.map(({ rgb }) => rgb.map((c) => Math.round(c / 6)).join()));
  assert.ok(distinct.size >= 5, `a picture that changes in ${selector}, ${distinct.size} distinct looks in 3 s`);
}

/** A clean tone of `hz`. */
export async function hears(visitor, selector, hz = TONE_HZ, timeoutMs = 12_000) {
  await until(`${visitor.kind} hears ${hz} Hz in ${selector}`, async () => {
    const tone = await visitor.evaluate(hearTone, { selector, spanMs: 700 });
    if (Math.abs(tone.hz - hz) <= TONE_TOLERANCE_HZ && tone.aboveMedianDb > 30) return true;
    throw new Error(`the loudest is ${tone.hz.toFixed(1)} Hz, ${tone.aboveMedianDb.toFixed(0)} dB above the median`);
  }, { timeoutMs });
}

/** What flows in one direction on all calls of a visitor, added up per kind. */
export function totals(stats, direction) {
  const sums = { audio: { packets: 0, frames: 0, lost: 0 }, video: { packets: 0, frames: 0, lost: 0 } };
  for (const call of stats) {
    for (const stream of call.streams) {
      if (stream.direction !== direction || !sums[stream.kind]) continue;
      sums[stream.kind].packets += stream.packets;
      sums[stream.kind].frames += stream.frames;
      sums[stream.kind].lost += stream.lost;
    }
  }
  return sums;
}

/** Asserts that picture and sound still arrive: more of both within 3 s. */
export async function stillFlows(visitor) {
  const before = totals(await visitor.stats(), 'in');
  await until('picture and sound still arrive', async () => {
    const now = totals(await visitor.stats(), 'in');
    const more = now.video.frames - before.video.frames >= 5 && now.audio.packets - before.audio.packets >= 10;
    if (more) return true;
    throw new Error(`from ${show(before)} to ${show(now)}`);
  }, { timeoutMs: 3_000, everyMs: 200 });
}
