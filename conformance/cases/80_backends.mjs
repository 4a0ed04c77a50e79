// The two I/O backends, and the choice between them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';

import { seesAndHears, twoMeet } from '../lib/calls.mjs';
import { film } from '../lib/films.mjs';
import { isPicture, readTags } from '../lib/flv.mjs';
import { Broadcast, Rtmp } from '../lib/rtmp.mjs';
import { binary, repository, Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

/** Two seconds of the film. */
const PICTURES_MIN = 40;

const withoutIoUring = ['python3', path.join(repository, 'conformance/support/without_io_uring.py')];

async function callOver(t, settings, how, io) {
  const server = await Server.start(t, settings, how);
  assert.equal(server.field('io'), io, server.ready);
  const { room, alice, bob } = await twoMeet(t, server);
  const encoder = await Rtmp.connect(t, server, room);
  new Broadcast(t, encoder, await encoder.publishes('Encoder'), readTags(await film(t, 'film-aac.flv')));
  await Promise.all([seesAndHears(alice, 'Bob'), seesAndHears(bob, 'Encoder'), playsByRtmp(t, server, room, 'Alice')]);
  await playsByRtmp(t, server, room, 'Encoder');
  return server;
}

async function playsByRtmp(t, server, room, login) {
  const player = await Rtmp.connect(t, server, room);
  const sid = await player.play(login);
  await until(`${login} is played by RTMP`, () => player.media(sid).filter(isPicture).length >= PICTURES_MIN);
}

export const cases = [
  {
    id: 'backend-uring',
    requirement: 'a call, an RTMP encoder and RTMP players over io=uring',
    run: (t) => callOver(t, { io: 'uring' }, {}, 'uring'),
  },
  {
    id: 'backend-mmsg',
    requirement: 'a call, an RTMP encoder and RTMP players over io=mmsg',
    run: (t) => callOver(t, { io: 'mmsg' }, {}, 'mmsg'),
  },
  {
    id: 'backend-seccomp',
    requirement: 'where io_uring is forbidden the server says so, takes the other backend by itself and carries a call',
    async run(t) {
      const server = await callOver(t, { io: 'auto' }, { wrap: withoutIoUring }, 'mmsg');
      assert.match(server.output, /io_uring.*(not permitted|EPERM|refused|denied|forbidden)/i, `why, in: ${server.output}`);
    },
  },
  {
    id: 'backend-seccomp-insisted',
    requirement: 'io=uring where io_uring is forbidden is a clear error and a non-zero exit',
    async run() {
      const [command, ...args] = withoutIoUring;
      const { status, stdout, stderr } = spawnSync(command, [...args, binary, 'serve', '--set', 'io=uring', '--set', 'ws.port=18080', '--set', 'wss.port=off'], {
        encoding: 'utf8', timeout: 10_000,
      });
      assert.ok(status !== 0 && status !== null, `exit code ${status}`);
      assert.match(stdout + stderr, /io_uring/);
      assert.doesNotMatch(stdout + stderr, /panicked/);
    },
  },
];
