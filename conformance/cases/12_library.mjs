// The client library's own calls, beyond what the official SDK has: devices, quality,
// level, publishing anew, and what it leaves behind.

import assert from 'node:assert/strict';

import { Visitor } from '../lib/browsers.mjs';
import { hasPicture, hears, seesFilm, seesMotion, stillFlows } from '../lib/checks.mjs';
import { freshRoom } from '../lib/guest.mjs';
import { Server } from '../lib/server.mjs';
import { servePages } from '../lib/static.mjs';
import { show, until } from '../lib/wait.mjs';

const CAMERA = { audio: true, video: { width: 640, height: 360 } };

/** A visitor whose page is a bare application on the library, in the room. */
async function libraryVisitor(t, { server, origin }, login, room, kind = 'chromium') {
  const visitor = await Visitor.open(t, kind);
  visitor.login = login;
  await visitor.goto(`${origin}/pages/library.html`);
  await visitor.evaluate(() => {
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
      constructor(...args) {
        super(...args);
        window.sockets.push(this);
      }
    };
    // As if the server had said so.
    window.told = (message, ...data) => window.sockets.at(-1).onmessage({ data: JSON.stringify({ message, data }) });
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.opened = [];
    navigator.mediaDevices.getUserMedia = async (...args) => {
      const stream = await open(...args);
      window.opened.push(...stream.getTracks());
      return stream;
    };
  });
  await visitor.page.addScriptTag({ url: `${server.url}/ringhall.js` });
  await visitor.page.addScriptTag({ url: `${origin}/pages/sdk.js` });
  await visitor.evaluate(([url, login]) => window.visit.connect(url, login).then(() => undefined), [server.wsUrl, login]);
  await visitor.evaluate((room) => window.visit.join(room), room);
  return visitor;
}

/** Ann publishes and Ben plays her, on a server of their own. */
async function annAndBen(t, kind = 'chromium') {
  const place = { server: await Server.start(t), origin: await servePages(t) };
  const room = freshRoom();
  const ann = await libraryVisitor(t, place, 'Ann', room, kind);
  await ann.evaluate((constraints) => window.visit.publish({ constraints }).then(() => undefined), CAMERA);
  const ben = await libraryVisitor(t, place, 'Ben', room, kind);
  await play(ben);
  return { place, room, ann, ben };
}

/** Ben plays what Ann publishes now; `name` tells it from what she published before. */
async function play(ben, name) {
  await until('Ben knows the stream of Ann', () => ben.evaluate((name) => {
    const streams = window.visit.room.getParticipants()[0]?.getStreams() ?? [];
    return streams.length === 1 && (name === undefined || streams[0].streamName() === name);
  }, name));
  await ben.evaluate(() => window.visit.play('Ann').then(() => undefined));
}

const liveTracks = (visitor) => visitor.evaluate(() =>
  window.opened.filter((track) => track.readyState === 'live').map((track) => track.kind).sort().join());

function noErrors(...visitors) {
  for (const { errors, login } of visitors) assert.deepEqual(errors, [], `exceptions on ${login}'s page`);
}

async function devices(t) {
  const { ann, ben } = await annAndBen(t);
  await seesFilm(ben, '#remote video');
  const listed = await ann.evaluate(() => Ringhall.getMediaDevices());
  assert.ok(listed.cameras.length > 0 && listed.microphones.length > 0, show(listed));
  for (const { id, label } of [...listed.cameras, ...listed.microphones]) assert.ok(id && label, show(listed));

  const before = await ann.evaluate(() => window.opened.map(({ id }) => id));
  await ann.evaluate(async (id) => {
    window.visit.published.muteAudio();
    await window.visit.published.switchMicrophone(id);
  }, listed.microphones[0].id);
  assert.equal(await ann.evaluate(() => window.visit.published.isAudioMuted()), true, 'the new microphone is muted as the old one was');
  await ann.evaluate(() => window.visit.published.unmuteAudio());
  await ann.evaluate((id) => window.visit.published.switchCamera(id), listed.cameras[0].id);
  const shown = await ann.evaluate(() => document.querySelector('#local video').srcObject.getTracks().map(({ id }) => id));
  assert.equal(shown.filter((id) => before.includes(id)).length, 0, 'the preview shows the new tracks');
  assert.equal(await liveTracks(ann), 'audio,video', 'the old tracks are stopped');
  await seesFilm(ben, '#remote video');
  await hears(ben, '#remote video');
  await seesMotion(ann, '#local video');

  const refused = await ann.evaluate(() => window.visit.published.switchCamera('no such camera').catch((error) => error.name));
  assert.equal(refused, 'OverconstrainedError');
  await stillFlows(ben);
  noErrors(ann, ben);
}

/** What `watch…` tells in the page until `fits`. */
async function watched(visitor, stream, what, fits) {
  await visitor.evaluate(([stream, what]) => {
    window.seen = [];
    window.unwatch = window.visit[stream][what]((value) => window.seen.push(value), 500);
  }, [stream, what]);
  const value = await until(`${what} of the ${stream} stream`, async () => {
    const seen = await visitor.evaluate(() => window.seen);
    const fit = seen.find(fits);
    if (fit !== undefined) return { fit };
    throw new Error(show(seen.slice(-2)));
  });
  return value.fit;
}

/** After the end of what is watched nothing more may be told. */
async function falls(visitor) {
  const told = await visitor.evaluate(() => window.seen.length);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal(await visitor.evaluate(() => window.seen.length), told, 'told after the end');
}

async function quality(t, kind) {
  const { ann, ben } = await annAndBen(t, kind);
  await hasPicture(ben, '#remote video');
  const plausible = ({ bitrateKbps, framesPerSecond, width, height, codec }) =>
    bitrateKbps > 20 && bitrateKbps < 10_000 && framesPerSecond >= 5 && framesPerSecond <= 60
    && width > 0 && height > 0 && /^(VP8|H264)$/.test(codec);
  await watched(ann, 'published', 'watchQuality', (q) => plausible(q) && q.lossPercent <= 5 && q.roundTripMs < 500);
  await ann.evaluate(() => window.unwatch());
  await falls(ann);
  await watched(ben, 'played', 'watchQuality', (q) => plausible(q) && q.lossPercent <= 5 && q.limitedBy === undefined);
  await ann.evaluate(() => window.visit.published.stop());
  await until('Ben\'s stream ends', () => ben.evaluate(() => window.visit.played.status() === 'STOPPED'));
  await falls(ben);
  noErrors(ann, ben);
}

async function level(t, kind) {
  const { ann, ben } = await annAndBen(t, kind);
  await watched(ann, 'published', 'watchLevel', (l) => l > 0.4 && l <= 1);
  await watched(ben, 'played', 'watchLevel', (l) => l > 0.4 && l <= 1);
  await ann.evaluate(() => window.visit.published.muteAudio());
  await until('silence at Ben\'s', () => ben.evaluate(() => window.seen.at(-1) < 0.1));
  await until('silence at Ann\'s', () => ann.evaluate(() => window.seen.at(-1) === 0));
  await ann.evaluate(() => window.visit.published.stop());
  await until('Ben\'s stream ends', () => ben.evaluate(() => window.visit.played.status() === 'STOPPED'));
  await Promise.all([falls(ann), falls(ben)]);
  noErrors(ann, ben);
}

async function republish(t) {
  const { ann, ben } = await annAndBen(t);
  await hasPicture(ben, '#remote video');
  await ann.evaluate(() => window.visit.published.muteAudio());
  const before = await ann.evaluate(() => window.opened.map(({ id }) => id).sort());
  await ann.evaluate(() => new Promise((resolve) => {
    const old = window.visit.published;
    window.video = document.querySelector('#local video');
    old.on('STREAM_EVENT', ({ type, payload }) => {
      if (type !== Ringhall.STREAM_EVENT_TYPE.REPUBLISH_REQUESTED) return;
      window.visit.published = window.visit.room.republish(old, payload).on('PUBLISHING', () => resolve());
    });
    window.told('notifyStreamEvent', {
      mediaSessionId: old.id(), type: 'republishRequested', payload: { videoCodecs: ['VP8'], info: 'a viewer knows no other' },
    });
    window.old = old;
  }));
  const now = await ann.evaluate(() => ({
    old: window.old.status(),
    tracks: document.querySelector('#local video').srcObject.getTracks().map(({ id }) => id).sort(),
    video: document.querySelector('#local video') === window.video,
    muted: window.visit.published.isAudioMuted(),
    again: (() => {
      try {
        window.visit.room.republish(window.old);
        return 'no error';
      } catch (error) {
        return error.message;
      }
    })(),
  }));
  assert.deepEqual(now, { old: 'UNPUBLISHED', tracks: before, video: true, muted: true, again: 'The stream has already ended' });
  assert.equal(await liveTracks(ann), 'audio,video', 'the same camera and microphone, still open');
  await play(ben, await ann.evaluate(() => window.visit.published.name()));
  await seesFilm(ben, '#remote video');
  await until('Ben gets VP8', async () => {
    const codecs = (await ben.stats()).flatMap((call) => call.streams).filter((s) => s.kind === 'video').map((s) => s.codec);
    return codecs.join() === 'video/VP8';
  });
  await ann.evaluate(() => window.visit.published.unmuteAudio());
  await hears(ben, '#remote video');
  noErrors(ann, ben);
}

async function available(t) {
  const { ann, ben } = await annAndBen(t);
  const asks = (visitor, stream) => visitor.evaluate((stream) =>
    window.visit[stream].available().then((s) => s === window.visit[stream], (s) => (s === window.visit[stream] ? false : 'odd')), stream);
  assert.equal(await asks(ben, 'played'), true);
  assert.equal(await asks(ann, 'published'), true);
  await ann.evaluate(() => window.visit.published.stop());
  await until('Ben\'s stream ends', () => ben.evaluate(() => window.visit.played.status() === 'STOPPED'));
  assert.equal(await asks(ben, 'played'), false);
  await ben.evaluate(() => window.visit.session.disconnect());
  assert.equal(await asks(ben, 'played'), false, 'without a connection');
  noErrors(ann, ben);
}

async function leavesNothing(t) {
  const { ann } = await annAndBen(t);
  const asked = await ann.evaluate(() => {
    window.events = [];
    window.visit.published.on('STREAM_EVENT', ({ type }) => window.events.push(type));
    window.told('notifyStreamEvent', {
      mediaSessionId: window.visit.published.id(), type: 'muteRequested', payload: { audio: true, video: false, info: 'Muted by the moderator' },
    });
    return { audio: window.visit.published.isAudioMuted(), video: window.visit.published.isVideoMuted(), events: window.events };
  });
  assert.deepEqual(asked, { audio: true, video: false, events: ['muteRequested'] });

  await ann.evaluate(() => {
    window.visit.published.stop();
    window.visit.published.stop();
    Ringhall.releaseLocalMedia(document.getElementById('local'));
  });
  await until('the stream ends', () => ann.evaluate(() => window.visit.published.status() === 'UNPUBLISHED'));
  await ann.evaluate(() => Ringhall.releaseLocalMedia(document.getElementById('local')));
  assert.equal(await liveTracks(ann), '', 'released after the end');

  // The session ends while the camera is being opened.
  const opened = await ann.evaluate(() => window.opened.length);
  await ann.evaluate(() => {
    window.visit.room.publish({ display: document.getElementById('local'), constraints: { audio: true, video: true } });
    window.visit.session.disconnect();
  });
  await until('the camera has been opened', () => ann.evaluate((before) => window.opened.length > before, opened));
  await until('no camera is left open', async () => (await liveTracks(ann)) === '');
  assert.equal(await ann.evaluate(() => document.querySelectorAll('video').length), 0);
  noErrors(ann);
}

export const cases = [
  {
    id: 'library-devices',
    requirement: 'devices are listed; another camera and microphone in the same stream keep picture, tone and mute; the old ones are let go',
    run: devices,
  },
  {
    id: 'library-quality',
    requirement: 'watchQuality tells plausible bitrate, loss, round trip, frames, size and codec of both streams, and ends with them',
    run: (t) => quality(t, 'chromium'),
  },
  {
    id: 'library-quality-firefox',
    requirement: 'the same in Firefox',
    run: (t) => quality(t, 'firefox'),
  },
  {
    id: 'library-level',
    requirement: 'watchLevel hears the tone at both ends, and silence once it is muted, and ends with the streams',
    run: (t) => level(t, 'chromium'),
  },
  {
    id: 'library-level-firefox',
    requirement: 'the same in Firefox',
    run: (t) => level(t, 'firefox'),
  },
  {
    id: 'library-republish',
    requirement: 'a stream published anew in VP8 keeps camera, own picture and mute, is seen and heard, and the ended one can\'t be published anew',
    run: republish,
  },
  {
    id: 'library-available',
    requirement: 'available() tells a stream that is published from one that has ended',
    run: available,
  },
  {
    id: 'library-leaves-nothing',
    requirement: 'a moderator\'s wish mutes; stopping twice and a session that ends while the camera opens leave no camera open and raise nothing',
    run: leavesNothing,
  },
];
