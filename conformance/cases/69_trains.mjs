// Packets of a frame are padded to one length so that the kernel takes them as
// one train: harmless to every player, and trains are longer for it.

import assert from 'node:assert/strict';

import { Visitor } from '../lib/browsers.mjs';
import { bareVisitor, published } from '../lib/calls.mjs';
import { hears, seesMotion } from '../lib/checks.mjs';
import { freshRoom } from '../lib/guest.mjs';
import { metrics } from '../lib/metrics.mjs';
import { pythonScript } from '../lib/python.mjs';
import { Server } from '../lib/server.mjs';
import { servePages } from '../lib/static.mjs';

const SECONDS = 8;

/** Chromium publishes; Chromium, Firefox and aiortc play. What it took. */
async function broadcast(t, codec, padding) {
  const server = await Server.start(t, { cores: 1, video_codecs: codec, 'media.padding': padding });
  const room = freshRoom();
  const camera = await bareVisitor(t);
  await camera.evaluate((url) => window.publish(url, undefined, window.noise(1280, 720)), `${server.url}/whip/${room}/Cam`);
  await published(server, room, 'Cam');
  const url = `${server.url}/whep/${room}/Cam`;
  const kinds = codec === 'vp8' ? ['chromium', 'firefox'] : ['chromium'];
  for (const kind of kinds) {
    const viewer = await Visitor.open(t, kind);
    await viewer.goto(`${await servePages(t)}/pages/whip.html`);
    await viewer.evaluate((url) => window.play(url), url);
    await seesMotion(viewer, '#far');
    await hears(viewer, '#far');
  }
  const player = pythonScript(t, 'whep_player.py', [url, String(SECONDS)]);
  assert.equal(await player.ended(40_000, 'the aiortc player'), 0, player.output);
  const heard = JSON.parse(player.output.trim().split('\n').at(-1));
  assert.ok(heard.video > 40 && heard.audio > 200, player.output);
  const page = metrics((await server.get('/metrics')).text);
  return {
    paddingBytes: page.sum('ringhall_padding_bytes_sent_total'),
    packets: page.sum('ringhall_media_packets_forwarded_total'),
    meanTrain: page.sum('ringhall_train_datagrams_sum') / page.sum('ringhall_train_datagrams_count'),
  };
}

async function padded(t, codec) {
  const without = await broadcast(t, codec, false);
  assert.equal(without.paddingBytes, 0);
  const with_ = await broadcast(t, codec, true);
  assert.ok(with_.paddingBytes > 0, 'something was padded');
}

export const cases = [
  {
    id: 'padding-vp8',
    requirement: 'VP8 with packets padded to one length plays in Chromium, Firefox and aiortc as without',
    run: (t) => padded(t, 'vp8'),
  },
  {
    id: 'padding-h264',
    requirement: 'H.264 likewise, in Chromium and aiortc',
    run: (t) => padded(t, 'h264'),
  },
];
