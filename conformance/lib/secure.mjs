// What is particular to https and wss: certificates that nobody vouches for, and
// bare TLS connections that look at them.

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';

import { within } from './wait.mjs';

const HANDSHAKE_TIMEOUT_MS = 5_000;

/** A Chromium that takes the server's own certificate without a word. */
export const TRUSTING = { args: ['--ignore-certificate-errors'] };

/** A folder that is gone when the case ends. */
export function temporaryFolder(t) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ringhall-tls-'));
  t.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * A TLS connection to the server, its handshake done.
 * @param {import('./server.mjs').Server} server
 * @param {tls.ConnectionOptions} [how]
 */
export async function connected(t, server, how = {}) {
  const socket = tls.connect({ host: server.host, port: server.securePort, rejectUnauthorized: false, ...how });
  t.defer(() => socket.destroy());
  await within(new Promise((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  }), HANDSHAKE_TIMEOUT_MS, 'a TLS handshake');
  socket.on('error', () => undefined);
  return socket;
}

/** The fingerprint that a new connection is shown. */
export async function fingerprint(t, server) {
  const socket = await connected(t, server);
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

/** What the server answers to this request, up to its closing. */
export async function asks(socket, request, timeoutMs = 5_000) {
  let answer = '';
  socket.setEncoding('latin1');
  socket.on('data', (text) => (answer += text));
  socket.write(request);
  await within(new Promise((resolve) => socket.once('close', resolve)), timeoutMs, 'the end of the answer');
  return answer;
}
