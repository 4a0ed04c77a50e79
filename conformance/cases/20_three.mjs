// Three people at the page, per codec and DTLS version. Each has a camera and a
// voice of their own, so that nobody is mistaken for another.

import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { isSecured, usesCodecs } from '../lib/calls.mjs';
import { hears, seesColours } from '../lib/checks.mjs';
import { PALETTE } from '../lib/fixtures.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { repository, Server } from '../lib/server.mjs';

const PEOPLE = [
  { login: 'Ann', colours: [0, 2], toneHz: 440 },
  { login: 'Ben', colours: [1, 4], toneHz: 660 },
  { login: 'Cem', colours: [3, 5], toneHz: 880 },
];
const out = path.join(repository, 'conformance/out');

async function threeMeet(t, { settings, video, audio, secured, screenshot }) {
  const server = await Server.start(t, settings);
  const room = freshRoom();
  const guests = [];
  for (const { login, colours, toneHz } of PEOPLE) {
    const source = { colours: colours.map((i) => PALETTE[i].rgb), toneHz, colourMs: 500 };
    const instrument = { source, audioCodec: audio === 'opus' ? undefined : audio };
    guests.push(await Guest.join(t, server, { room, login, instrument }));
  }
  await Promise.all(guests.map(async (viewer) => {
    for (const { login, colours, toneHz } of PEOPLE) {
      if (login === viewer.login) continue;
      await seesColours(viewer.visitor, Guest.video(login), colours);
      await hears(viewer.visitor, Guest.video(login), toneHz);
    }
    await usesCodecs(viewer, { video, audio });
    await isSecured(viewer, secured);
    viewer.assertNoErrors();
  }));
  if (screenshot) {
    mkdirSync(out, { recursive: true });
    await guests[0].visitor.page.screenshot({ path: path.join(out, screenshot) });
  }
}

const GCM_256 = { tlsVersion: 'FEFD', srtpCipher: /AEAD_AES_256_GCM/ };

export const cases = [
  {
    id: 'three-vp8-opus',
    requirement: 'three people, VP8 and Opus: each sees and hears both others and nobody else; DTLS 1.2 with AES-256-GCM',
    run: (t) => threeMeet(t, {
      settings: { video_codecs: 'vp8' }, video: 'VP8', audio: 'opus', secured: GCM_256, screenshot: 'three.png',
    }),
  },
  {
    id: 'three-h264-opus',
    requirement: 'three people, H.264 and Opus: each sees and hears both others; DTLS 1.2 with AES-256-GCM',
    run: (t) => threeMeet(t, { settings: { video_codecs: 'h264' }, video: 'H264', audio: 'opus', secured: GCM_256 }),
  },
  {
    id: 'three-h264-pcmu',
    requirement: 'three people who offer G.711 only: PCMU both ways beside H.264',
    run: (t) => threeMeet(t, { settings: { video_codecs: 'h264' }, video: 'H264', audio: 'PCMU', secured: GCM_256 }),
  },
  {
    id: 'three-vp8-dtls13',
    requirement: 'three people with dtls.max_version=1.3: every call is DTLS 1.3',
    run: (t) => threeMeet(t, {
      settings: { video_codecs: 'vp8', 'dtls.max_version': '1.3' }, video: 'VP8', audio: 'opus', secured: { tlsVersion: 'FEFC' },
    }),
  },
];
