// WHIP and WHEP: statuses as a program sees them, and real clients: Chromium by a few
// lines of script, ffmpeg's WHIP muxer, aiortc as a WHEP player.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { bareVisitor, published } from '../lib/calls.mjs';
import { hears, seesFilm, stillFlows } from '../lib/checks.mjs';
import { cameraFile, microphoneFile } from '../lib/fixtures.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { Helper, newestFfmpeg, pythonScript } from '../lib/python.mjs';
import { repository, Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

const SDP = 'application/sdp';
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const SECRET = 'a secret of at least thirty-two bytes';
const vector = (name) => readFileSync(path.join(repository, `tests/vectors/offers/${name}.sdp`), 'utf8');

/** One request: status, headers, text. */
async function ask(server, method, resource, { type, body, ...headers } = {}) {
  const answer = await fetch(new URL(resource, server.url), {
    method, body, headers: { ...(type ? { 'Content-Type': type } : {}), ...headers }, signal: AbortSignal.timeout(5_000),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

const offer = (server, resource, body = vector('chromium_publish'), more = {}) =>
  ask(server, 'POST', resource, { type: SDP, body, ...more });

function accessToken(claims, secret = SECRET) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

const nobodyIn = (server, room) => until('the room is gone', async () =>
  !(await server.rooms()).rooms.some(({ name }) => name === room));

/** ffmpeg with the fake camera's film and tone, a key frame each second. */
async function ffmpegPublishes(t, url, flags = []) {
  const ffmpeg = await newestFfmpeg(t);
  return new Helper(t, ffmpeg, [
    '-hide_banner', '-loglevel', 'info', '-re', '-stream_loop', '-1', '-i', cameraFile(), '-re', '-stream_loop', '-1', '-i', microphoneFile(),
    '-map', '0:v', '-map', '1:a', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-profile:v', 'baseline',
    '-pix_fmt', 'yuv420p', '-bf', '0', '-g', '20', '-b:v', '800k', '-c:a', 'libopus', '-ar', '48000', '-ac', '2', '-b:a', '64k',
    ...flags, '-f', 'whip', url,
  ]);
}

export const cases = [
  {
    id: 'whip-statuses',
    requirement: 'RFC 9725 section 4: 201 with Location and ETag, 405 with Allow, 406, 409, 400, 404, 413, 415, 428, 412 as the manual lists them',
    async run(t) {
      const server = await Server.start(t, { 'rate.joins': 0 });
      const room = freshRoom();
      const made = await offer(server, `/whip/${room}/Cam`);
      assert.equal(made.status, 201, made.text);
      assert.equal(made.headers.get('content-type'), SDP);
      assert.match(made.text, /^v=0\r\n/);
      assert.match(made.text, /a=setup:passive/);
      const location = made.headers.get('location');
      const etag = made.headers.get('etag');
      assert.match(location, /^\/whip\/session\/[0-9a-f]{48}$/);
      assert.match(etag, /^"[0-9a-f]+"$/);

      const status = async (expected, method, resource, options) => {
        const { status: got, text, headers } = await ask(server, method, resource, options);
        assert.equal(got, expected, `${method} ${resource}: ${text}`);
        return headers;
      };
      const offered = { type: SDP, body: vector('chromium_publish') };
      await status(409, 'POST', `/whip/${room}/Cam`, offered);
      await status(415, 'POST', `/whip/${room}/Two`, { ...offered, type: 'text/plain' });
      await status(400, 'POST', `/whip/${room}/Two`, { type: SDP, body: 'hello' });
      await status(400, 'POST', `/whip/${room}/Two`, { type: SDP });
      await status(413, 'POST', `/whip/${room}/Two`, { type: SDP, body: 'x'.repeat(70_000) });
      await status(400, 'POST', `/whip/${room}/Two`, { type: SDP, body: vector('chromium_play') });
      await status(406, 'POST', `/whip/${room}/Two`, { type: SDP, body: vector('chromium_publish').replaceAll(/(H264|VP8)\//g, 'X/') });
      await status(404, 'POST', `/whep/${room}/Nobody`, { type: SDP, body: vector('chromium_play') });
      await status(409, 'POST', `/whep/${room}/${room}-Cam`, { type: SDP, body: vector('chromium_play') });
      const endpoint = await status(405, 'GET', `/whip/${room}/Cam`);
      assert.equal(endpoint.get('allow'), 'POST, OPTIONS');
      for (const method of ['GET', 'POST', 'PUT']) {
        const headers = await status(405, method, location);
        assert.equal(headers.get('allow'), 'DELETE, PATCH, OPTIONS');
      }

      const candidate = { type: FRAGMENT, body: 'm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n' };
      const anew = { type: FRAGMENT, body: 'm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:anew\r\na=ice-pwd:0123456789012345678901\r\n' };
      await status(428, 'PATCH', location, candidate);
      await status(412, 'PATCH', location, { ...candidate, 'If-Match': '"other"' });
      await status(204, 'PATCH', location, { ...candidate, 'If-Match': etag });
      await status(415, 'PATCH', location, { ...candidate, type: SDP, 'If-Match': etag });
      await status(400, 'PATCH', location, { type: FRAGMENT, body: 'hello', 'If-Match': etag });
      const restarted = await ask(server, 'PATCH', location, { ...anew, 'If-Match': '"*"' });
      assert.equal(restarted.status, 200, restarted.text);
      assert.match(restarted.text, /a=ice-ufrag:\S+\r\na=ice-pwd:\S{22,}\r\n/);
      const renewed = restarted.headers.get('etag');
      assert.notEqual(renewed, etag);
      await status(412, 'PATCH', location, { ...candidate, 'If-Match': etag });
      await status(204, 'PATCH', location, { ...candidate, 'If-Match': renewed });

      const forged = `${location.slice(0, -1)}${location.endsWith('0') ? '1' : '0'}`;
      for (const unknown of [forged, '/whip/session/x', location.replace('whip', 'whep')]) {
        await status(404, 'DELETE', unknown);
        await status(404, 'PATCH', unknown, { ...candidate, 'If-Match': renewed });
      }
      await status(200, 'DELETE', location);
      await status(404, 'DELETE', location);
      await nobodyIn(server, room);
    },
  },
  {
    id: 'whip-other-origins',
    requirement: 'preflights are answered on every path, and only listed origins may ask when `origins` is set',
    async run(t) {
      const open = await Server.start(t);
      for (const [resource, allow] of [['/whip/r/a', 'POST, OPTIONS'], ['/whep/session/t', 'DELETE, PATCH, OPTIONS']]) {
        const { status, headers } = await ask(open, 'OPTIONS', resource, { Origin: 'https://else.example' });
        assert.equal(status, 204);
        assert.equal(headers.get('access-control-allow-origin'), '*');
        assert.equal(headers.get('access-control-allow-methods'), allow);
        assert.equal(headers.get('access-control-allow-headers'), 'Authorization, Content-Type, If-Match');
        assert.equal(headers.get('access-control-expose-headers'), 'Location, ETag, Link');
      }
      const listed = await Server.start(t, { origins: 'https://here.example' });
      const welcome = await ask(listed, 'OPTIONS', '/whip/r/a', { Origin: 'https://here.example' });
      assert.equal(welcome.status, 204);
      assert.equal(welcome.headers.get('access-control-allow-origin'), 'https://here.example');
      for (const method of ['OPTIONS', 'POST']) {
        const other = await ask(listed, method, '/whip/r/a', { Origin: 'https://else.example' });
        assert.equal(other.status, 403);
        assert.equal(other.headers.get('access-control-allow-origin'), null);
      }
      assert.equal((await offer(listed, '/whip/r/a')).status, 201, 'programs send no origin');
    },
  },
  {
    id: 'whip-tokens',
    requirement: 'with auth.secret set: 401 without a bearer token, 403 and why with a wrong one, 201 with a right one; joins are rate limited with 429',
    async run(t) {
      const server = await Server.start(t, { 'auth.secret': SECRET, 'rate.joins': 1 });
      const exp = Math.floor(Date.now() / 1000) + 60;
      const bearer = (claims) => ({ Authorization: `Bearer ${accessToken({ room: 'r', login: 'Cam', exp, ...claims })}` });
      const refused = await offer(server, '/whip/r/Cam');
      assert.equal(refused.status, 401);
      assert.equal(refused.headers.get('www-authenticate'), 'Bearer');
      for (const [claims, why] of [
        [{ room: 'q' }, /another room/], [{ login: 'Bob' }, /another login/], [{ exp: 1 }, /expired/], [{ publish: false }, /Restricted/],
      ]) {
        const { status, text } = await offer(server, '/whip/r/Cam', undefined, bearer(claims));
        assert.equal(status, 403);
        assert.match(text, why);
      }
      assert.equal((await offer(server, '/whip/r/Cam', undefined, bearer({}))).status, 201);
      const player = await offer(server, '/whep/r/Nobody', vector('chromium_play'), bearer({ login: 'Bob', publish: false }));
      assert.equal(player.status, 404);
      const floods = await Promise.all(Array.from({ length: 15 }, () => offer(server, '/whip/r/Cam')));
      assert.ok(floods.some(({ status }) => status === 429), floods.map(({ status }) => status).join());
    },
  },
  {
    id: 'whip-chromium-publishes',
    requirement: 'Chromium publishes over WHIP from a page of another origin: members see it join, see its film and hear its tone; ICE restarts; DELETE is its leaving',
    async run(t) {
      const server = await Server.start(t);
      const room = freshRoom();
      const guest = await Guest.join(t, server, { room, login: 'Guest' });
      const camera = await bareVisitor(t);
      await camera.evaluate((url) => window.publish(url), `${server.url}/whip/${room}/Cam`);
      await guest.meets('Cam');
      await seesFilm(guest.visitor, Guest.video('Cam'));
      await hears(guest.visitor, Guest.video('Cam'));
      await guest.say('hello');
      await guest.reads('Guest', 'hello');

      const restarted = await camera.evaluate(() => window.restart());
      assert.ok(restarted.changed && restarted.etag, JSON.stringify(restarted));
      await until('the renewed credentials are in use', async () => (await camera.evaluate(() => window.fragmentInUse())) === restarted.ours);
      await stillFlows(guest.visitor);

      assert.equal(await camera.evaluate(() => window.end()), 200);
      await guest.misses('Cam');
      guest.assertNoErrors();
    },
  },
  {
    id: 'whip-publisher-vanishes',
    requirement: 'a WHIP publisher is a member as long as its transport: a closed peer connection is its leaving, a moderator puts it out',
    async run(t) {
      const server = await Server.start(t);
      const room = freshRoom();
      const guest = await Guest.join(t, server, { room, login: 'Guest' });
      const camera = await bareVisitor(t);
      const url = `${server.url}/whip/${room}/Cam`;
      await camera.evaluate((url) => window.publish(url), url);
      await published(server, room, 'Cam');
      await camera.evaluate(() => window.session.pc.close());
      await guest.misses('Cam');
      await camera.evaluate((url) => window.publish(url), url);
      await published(server, room, 'Cam');
      const put = await ask(server, 'DELETE', `/api/rooms/${room}/participants/Cam`);
      assert.equal(put.status, 204);
      await guest.misses('Cam');
      assert.equal(await camera.evaluate(() => window.end()), 404);
    },
  },
  {
    id: 'whep-chromium-plays',
    requirement: 'Chromium plays a participant over WHEP by stream name and by login; members do not see the player, REST does, and can end it',
    async run(t) {
      const server = await Server.start(t);
      const room = freshRoom();
      const guest = await Guest.join(t, server, { room, login: 'Guest' });
      const stream = await published(server, room, 'Guest');
      const viewer = await bareVisitor(t);
      await viewer.evaluate((url) => window.play(url), `${server.url}/whep/${room}/Guest`);
      await seesFilm(viewer, '#far');
      await hears(viewer, '#far');
      const [entry] = (await server.rooms()).rooms;
      assert.deepEqual(entry.participants.map(({ login }) => login), ['Guest']);
      assert.equal(entry.players.length, 1);
      assert.equal(entry.players[0].stream, stream.name);
      assert.equal(await viewer.evaluate(() => window.end()), 200);

      await viewer.evaluate((url) => window.play(url), `${server.url}/whep/${room}/${encodeURIComponent(stream.name)}`);
      await seesFilm(viewer, '#far');
      const { players } = (await server.rooms()).rooms[0];
      const put = await ask(server, 'DELETE', `/api/rooms/${room}/participants/${players[0].media_session_id}`);
      assert.equal(put.status, 204);
      assert.deepEqual((await server.rooms()).rooms[0].players, []);
      guest.assertNoErrors();
    },
  },
  ...[['passive', []], ['active', ['-whip_flags', 'dtls_active']]].map(([setup, flags]) => ({
    id: `whip-ffmpeg-${setup}`,
    requirement: `ffmpeg's WHIP muxer publishes with setup:${setup}; a member and a WHEP player see the film and hear the tone; quitting is its leaving`,
    async run(t) {
      const server = await Server.start(t);
      const room = freshRoom();
      const guest = await Guest.join(t, server, { room, login: 'Guest' });
      const ffmpeg = await ffmpegPublishes(t, `${server.url}/whip/${room}/Encoder`, flags);
      await published(server, room, 'Encoder').catch((error) => {
        throw new Error(`${error.message}; ffmpeg printed: ${ffmpeg.output.slice(-2_000)}`);
      });
      await guest.meets('Encoder');
      await seesFilm(guest.visitor, Guest.video('Encoder'));
      await hears(guest.visitor, Guest.video('Encoder'));
      const viewer = await bareVisitor(t);
      await viewer.evaluate((url) => window.play(url), `${server.url}/whep/${room}/Encoder`);
      await seesFilm(viewer, '#far');
      await hears(viewer, '#far');
      ffmpeg.quit();
      await ffmpeg.ended(10_000, 'ffmpeg quits');
      await guest.misses('Encoder');
    },
  })),
  {
    id: 'whep-aiortc-plays',
    requirement: 'aiortc plays over WHEP what Chromium publishes over WHIP: frames are decoded and the tone is the microphone\'s',
    async run(t) {
      const server = await Server.start(t, { video_codecs: 'vp8' });
      const room = freshRoom();
      const camera = await bareVisitor(t);
      await camera.evaluate((url) => window.publish(url), `${server.url}/whip/${room}/Cam`);
      await published(server, room, 'Cam');
      const player = pythonScript(t, 'whep_player.py', [`${server.url}/whep/${room}/Cam`, '6']);
      assert.equal(await player.ended(30_000, 'the aiortc player'), 0, player.output);
      const heard = JSON.parse(player.output.trim().split('\n').at(-1));
      assert.ok(heard.video > 40 && heard.audio > 150, player.output);
      assert.ok(Math.abs(heard.hertz - 440) < 10, player.output);
      assert.equal(heard.deleted, 200);
    },
  },
];
