// The binary as its operator meets it: settings, mistakes, start and stop.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

import { twoMeet } from '../lib/calls.mjs';
import { freePort, freeMediaPorts, runBinary, Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';
import { Wire } from '../lib/wire.mjs';

const STOP_MAX_MS = 5_000;

/** A properties file for one case. */
function properties(t, text) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ringhall-'));
  t.defer(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'ringhall.properties');
  writeFileSync(file, text);
  return file;
}

/** It must end by itself, with an error that says all of these. */
async function refuses(args, ...words) {
  const { code, all } = await runBinary(args);
  assert.ok(code !== 0 && code !== null, `exit code ${code}; it printed: ${all}`);
  for (const word of words) assert.ok(all.includes(word), `"${word}" in: ${all}`);
  assert.ok(!/panicked|RUST_BACKTRACE/.test(all), `a panic instead of an error: ${all}`);
  return all;
}

export const cases = [
  {
    id: 'server-ready-line',
    requirement: 'the ready line names address, RTMP and media ports, cores and I/O backend; ws.port=0 picks a free port',
    async run(t) {
      const server = await Server.start(t, { 'ws.port': 0, cores: 1 });
      assert.ok(server.webPort > 0);
      assert.equal(server.field('cores'), '1');
      assert.match(String(server.field('io')), /^(uring|mmsg)$/);
      assert.match(String(server.field('media')), /\d+/);
      assert.ok(server.rtmpPort > 0);
      assert.equal(server.field('rtmps'), 'off');
    },
  },
  {
    id: 'server-web-port-in-use',
    requirement: 'a web port another process holds is a clear error and a non-zero exit',
    async run(t) {
      const holder = net.createServer().listen(0, '0.0.0.0');
      t.defer(() => holder.close());
      await until('the port is held', () => holder.address());
      const { port } = holder.address();
      await refuses(['serve', '--set', 'wss.port=off', '--set', `ws.port=${port}`, '--set', `media_port_from=${await freeMediaPorts(4)}`], String(port), 'in use');
    },
  },
  {
    id: 'server-second-server',
    requirement: 'a second server on the same ports is refused, not quietly mixed in; the first goes on',
    async run(t) {
      const port = await freePort();
      const media = await freeMediaPorts(4);
      const first = await Server.start(t, { 'ws.port': port, media_port_from: media });
      await refuses(['serve', '--set', 'wss.port=off', '--set', `ws.port=${port}`, '--set', `media_port_from=${media + 2}`], String(port), 'in use');
      await refuses(['serve', '--set', 'wss.port=off', '--set', `ws.port=${await freePort()}`, '--set', `media_port_from=${media}`], String(media), 'in use');
      assert.equal((await first.get('/healthz')).status, 200);
    },
  },
  {
    id: 'server-unknown-key',
    requirement: 'an unknown key stops the start and names its line, the key and the nearest known one',
    async run(t) {
      const file = properties(t, '# a comment\nmedia_port_from=31000\nws.prot=8080\n');
      const said = await refuses(['serve', '--config', file], 'ws.prot', 'ws.port');
      assert.match(said, /\b3\b/, 'the line number');
      await refuses(['serve', '--set', 'max_bitrate_kpbs=1'], 'max_bitrate_kpbs', 'max_bitrate_kbps');
    },
  },
  {
    id: 'server-bad-value',
    requirement: 'a value out of its range stops the start and says what is accepted',
    async run(t) {
      await refuses(['serve', '--set', 'io=magic'], 'io', 'uring', 'mmsg');
      await refuses(['serve', '--set', 'ws.port=70000'], 'ws.port', '65535');
      await refuses(['serve', '--config', properties(t, 'video_codecs=h263\n')], 'video_codecs', 'h264');
      await refuses(['serve', '--config', '/no/such/file.properties'], '/no/such/file.properties');
    },
  },
  {
    id: 'server-print-config',
    requirement: '--print-config prints every key with its effective value, as a file that is accepted again',
    async run(t) {
      const { code, stdout } = await runBinary(['serve', '--set', 'max_bitrate_kbps=1234', '--print-config']);
      assert.equal(code, 0);
      assert.match(stdout, /^max_bitrate_kbps=1234$/m);
      assert.match(stdout, /^ws\.port=8080$/m);
      const again = await runBinary(['serve', '--config', properties(t, stdout), '--print-config']);
      assert.equal(again.code, 0, again.all);
      assert.equal(again.stdout, stdout);
    },
  },
  {
    id: 'server-version-and-help',
    requirement: '--version and --help answer and exit 0',
    async run() {
      const version = await runBinary(['--version']);
      assert.equal(version.code, 0);
      assert.match(version.stdout, /^ringhall \d+\.\d+\.\d+/);
      const help = await runBinary(['--help']);
      assert.equal(help.code, 0);
      assert.match(help.stdout, /--config/);
    },
  },
  {
    id: 'server-sigterm',
    requirement: 'SIGTERM during a call: sockets are closed, the port is free, exit code 0 within 5 s',
    async run(t) {
      const server = await Server.start(t);
      const { alice, room } = await twoMeet(t, server);
      const wire = await Wire.join(t, server, 'wire', room);
      const { code, elapsedMs } = await server.stop();
      assert.equal(code, 0, server.output);
      assert.ok(elapsedMs < STOP_MAX_MS, `it took ${elapsedMs} ms`);
      await until('the socket is closed', () => wire.closed !== null, { timeoutMs: 2_000 });
      await alice.visitor.shows('#status', /DISCONNECTED|FAILED/);
      const again = await Server.start(t, { 'ws.port': server.webPort });
      assert.equal(again.webPort, server.webPort);
    },
  },
  {
    id: 'server-back-after-restart',
    requirement: 'when the server is restarted on its port, the people at the page find each other again by themselves',
    async run(t) {
      const ports = { 'ws.port': await freePort(), media_port_from: await freeMediaPorts(os.cpus().length) };
      const first = await Server.start(t, ports);
      const { alice, bob } = await twoMeet(t, first);
      await first.stop();
      await alice.visitor.shows('#status', /DISCONNECTED|FAILED/);
      await Server.start(t, ports);
      await Promise.all([alice, bob].map((g) => g.visitor.shows('#localStatus', 'PUBLISHING', 25_000)));
      await Promise.all([alice.meets('Bob'), bob.meets('Alice')]);
    },
  },
];
