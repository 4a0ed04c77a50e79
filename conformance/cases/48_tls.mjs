// https and wss: the pages inside TLS, the server's own certificate and the
// operator's, and what strangers do to the port.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

import { CHROMIUM, Visitor } from '../lib/browsers.mjs';
import { seesAndHears, twoMeet } from '../lib/calls.mjs';
import { hears, seesMotion, stillFlows } from '../lib/checks.mjs';
import { CONFERENCE, freshRoom, Guest } from '../lib/guest.mjs';
import { Line } from '../lib/netns.mjs';
import { asks, connected, fingerprint, temporaryFolder, TRUSTING } from '../lib/secure.mjs';
import { machineAddress, Server } from '../lib/server.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { Wire } from '../lib/wire.mjs';

/** A handshake has to end within this. */
const HANDSHAKE_MAX_MS = 15_000;
/** Files are looked at every 2 s, and twice before they are called broken. */
const RELOAD_MAX_MS = 10_000;
const LARGE_FILE_BYTES = 15 << 20;
const SLOW_READERS = 12;
/** A piece of the file for each and some overhead; twelve copies would be 180 MiB. */
const SLOW_MAX_BYTES = 8 << 20;
const SLOW_BYTES_PER_SECOND = 1_024;
const SLOW_SPAN_MS = 4_000;

/** Settings of a server that makes its own certificate in `folder`. */
const ownCertificate = (folder, more = {}) => ({ 'wss.port': 0, 'tls.dir': folder, ...more });

/** One server inside TLS with a large file, and Alice and Bob who came over https. */
export async function share(t) {
  const folder = temporaryFolder(t);
  writeFileSync(path.join(folder, 'large.bin'), Buffer.alloc(LARGE_FILE_BYTES, 'ringhall'));
  const server = await Server.start(t, ownCertificate(path.join(folder, 'tls'), { 'client2.dir': folder }));
  let call;
  return { server, call: async () => (call ??= await secureCall(t, server)) };
}

const invitation = (server, room) => `${server.secureUrl}${CONFERENCE}?roomName=${room}`;

async function secureCall(t, server) {
  const room = freshRoom();
  const wish = { browser: TRUSTING, invite: invitation(server, room) };
  return twoMeet(t, server, { room, alice: wish, bob: wish });
}

const goesOn = ({ alice, bob }) => Promise.all([stillFlows(alice.visitor), stillFlows(bob.visitor)]);

const request = (line, ...headers) => [line, 'Host: localhost', 'Connection: close', ...headers, '', ''].join('\r\n');

async function callOverTls(_t, shared) {
  const { alice, bob } = await shared.call();
  await Promise.all([seesAndHears(alice, 'Bob'), seesAndHears(bob, 'Alice')]);
  const [url, invite] = [await alice.visitor.text('#url'), await alice.visitor.text('#inviteAddress')];
  assert.equal(url, shared.server.secureWsUrl, 'the page of https speaks wss to where it came from');
  assert.ok(invite.startsWith(`${shared.server.secureUrl}${CONFERENCE}?roomName=`), `the invite link is ${invite}`);
  await bob.say('inside TLS');
  await alice.reads('Bob', 'inside TLS');
  alice.assertNoErrors();
  bob.assertNoErrors();
}

async function firefoxOverTls(t, { server }) {
  const room = freshRoom();
  const carl = await Guest.join(t, server, { login: 'Carl', kind: 'firefox', invite: invitation(server, room) });
  const dora = await Guest.join(t, server, { login: 'Dora', browser: TRUSTING, invite: invitation(server, room) });
  await Promise.all([carl.meets('Dora'), dora.meets('Carl')]);
  await Promise.all([
    seesAndHears(carl, 'Dora'),
    seesMotion(dora.visitor, Guest.video('Carl')).then(() => hears(dora.visitor, Guest.video('Carl'))),
  ]);
  carl.assertNoErrors();
  dora.assertNoErrors();
}

/** A browser elsewhere: only over https does it have a camera for our page. */
async function cameraElsewhere(t) {
  const line = new Line(t);
  const server = await Server.start(t, ownCertificate(temporaryFolder(t), { ip: line.near }), { host: line.near });
  const elsewhere = { executable: line.wrapper(CHROMIUM), ...TRUSTING };
  const plain = await Visitor.open(t, 'chromium', { browser: elsewhere });
  await plain.goto(`${server.url}${CONFERENCE}`);
  assert.equal(await plain.evaluate(() => window.isSecureContext), false, 'http from elsewhere is a secure context');
  assert.equal(await plain.evaluate(() => navigator.mediaDevices?.getUserMedia === undefined), true, 'http from elsewhere gets a camera');
  await plain.fill('#login', 'Zoe');
  await plain.click('#joinBtn');
  await plain.shows('#failedInfo', /https/);
  await plain.close();

  const room = freshRoom();
  const alice = await Guest.join(t, server, { login: 'Alice', invite: invitation(server, room), browser: elsewhere });
  assert.equal(await alice.visitor.evaluate(() => window.isSecureContext), true);
  const bob = await Guest.join(t, server, { login: 'Bob', invite: invitation(server, room), browser: TRUSTING });
  await Promise.all([alice.meets('Bob'), bob.meets('Alice')]);
  await Promise.all([seesAndHears(alice, 'Bob'), seesAndHears(bob, 'Alice')]);
  const remotes = (await alice.stats()).map((call) => call.remote);
  assert.deepEqual([...new Set(remotes)], [line.near], 'media of the far browser goes to the announced address');
  alice.assertNoErrors();
  bob.assertNoErrors();
}

/** The names in a certificate: addresses as Node writes them, hosts in lower case. */
const namesIn = (certificate) => certificate.subjectAltName.split(', ').map((name) => name.replace(/^(IP Address|DNS):/, '').toLowerCase());

async function ownFiles(t) {
  const folder = path.join(temporaryFolder(t), 'deep', 'tls');
  const [certificateFile, keyFile] = ['cert.pem', 'key.pem'].map((name) => path.join(folder, name));
  const machine = machineAddress();
  const begin = async (ip) => {
    const server = await Server.start(t, ownCertificate(folder, { ip }));
    return { server, shown: await fingerprint(t, server) };
  };
  const first = await begin(machine);
  const certificate = new X509Certificate(readFileSync(certificateFile));
  assert.equal(first.shown, certificate.fingerprint256, 'what is kept is what is shown');
  assert.deepEqual(namesIn(certificate), [machine, '127.0.0.1', '0:0:0:0:0:0:0:1', 'localhost', os.hostname().toLowerCase()]);
  for (const host of [machine, '127.0.0.1', '::1']) assert.ok(certificate.checkIP(host), `${host} is not vouched for`);
  assert.ok(certificate.checkHost('localhost'));
  const days = (Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / 86_400_000;
  assert.ok(days > 390 && days < 398.5, `valid for ${days} days`);
  assert.ok(Date.parse(certificate.validFrom) < Date.now(), 'valid already');
  const modes = [folder, certificateFile, keyFile].map((file) => (statSync(file).mode & 0o777).toString(8));
  assert.deepEqual(modes, ['700', '600', '600']);
  await first.server.stop();

  const again = await begin(machine);
  assert.equal(again.shown, first.shown, 'a restart makes no other certificate');
  assert.doesNotMatch(again.server.output, /self-signed/, 'nothing to say about it');
  await again.server.stop();

  const moved = await begin(`${machine},192.0.2.77`);
  assert.notEqual(moved.shown, first.shown, 'an address more needs another certificate');
  assert.match(moved.server.output, /192\.0\.2\.77.*a new self-signed certificate is used/);
  assert.ok(new X509Certificate(readFileSync(certificateFile)).checkIP('192.0.2.77'));
  await moved.server.stop();

  writeFileSync(keyFile, 'no key at all');
  const mended = await begin(machine);
  assert.notEqual(mended.shown, moved.shown, 'a broken file is replaced');
}

/** Certificate and key as files of `folder`, made by a server that ran for a moment. */
async function madePair(t, folder) {
  const server = await Server.start(t, ownCertificate(folder));
  await server.stop();
  return {
    certificate: path.join(folder, 'cert.pem'),
    key: path.join(folder, 'key.pem'),
    fingerprint: new X509Certificate(readFileSync(path.join(folder, 'cert.pem'))).fingerprint256,
  };
}

/** Puts a file in the place of another as certificate clients do: at once. */
function replaces(from, to) {
  copyFileSync(from, `${to}.next`);
  renameSync(`${to}.next`, to);
}

async function operatorsFiles(t) {
  const folder = temporaryFolder(t);
  const [one, two] = [await madePair(t, path.join(folder, 'one')), await madePair(t, path.join(folder, 'two'))];
  const used = { certificate: path.join(folder, 'used.pem'), key: path.join(folder, 'used.key') };
  const put = (pair) => ['certificate', 'key'].forEach((part) => replaces(pair[part], used[part]));
  put(one);
  const server = await Server.start(t, {
    'wss.port': 0, 'tls.cert': used.certificate, 'tls.key': used.key, 'tls.dir': path.join(folder, 'unused'),
  });
  assert.equal(await fingerprint(t, server), one.fingerprint, 'the operator\'s certificate is shown');
  const call = await secureCall(t, server);

  put(two);
  await until('new connections are shown the new certificate', async () => (await fingerprint(t, server)) === two.fingerprint,
    { timeoutMs: RELOAD_MAX_MS, everyMs: 250 });
  await until('the reload is logged', () => server.output.includes('tls certificate reloaded'), { timeoutMs: 1_000 });
  await goesOn(call);

  writeFileSync(used.certificate, '-----BEGIN CERTIFICATE-----\nbroken\n');
  await until('the broken file is logged', () => /tls certificate kept why="/.test(server.output), { timeoutMs: RELOAD_MAX_MS });
  assert.equal(await fingerprint(t, server), two.fingerprint, 'the certificate in use stays');

  replaces(one.certificate, used.certificate);
  await until('a key of another certificate is logged', () => server.output.match(/tls certificate kept/g).length === 2, { timeoutMs: RELOAD_MAX_MS });
  assert.equal(await fingerprint(t, server), two.fingerprint, 'the certificate in use stays');
  await goesOn(call);
  for (const guest of [call.alice, call.bob]) {
    guest.assertNoErrors();
    assert.equal(guest.visitor.frames.filter(({ sent, message }) => sent && message === 'connection').length, 1, `${guest.login} stayed connected`);
  }
}

async function versions(t, shared) {
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const socket = await connected(t, shared.server, { minVersion: version, maxVersion: version });
    assert.equal(socket.getProtocol(), version);
    assert.match(socket.getCipher().name, /GCM|CHACHA20/);
    assert.match(await asks(socket, request('GET /healthz HTTP/1.1')), /^HTTP\/1\.1 200 [^]*ok/);
    const secure = { wsUrl: shared.server.secureWsUrl };
    const wire = await Wire.join(t, secure, version, freshRoom(), undefined, { rejectUnauthorized: false, minVersion: version, maxVersion: version });
    assert.equal((await wire.command('leave', { name: wire.room })).status, 'ACCEPTED');
    wire.close();
  }
  await assert.rejects(connected(t, shared.server, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }),
    /protocol|version|alert/i, 'TLS 1.1 is refused');
}

/** A bare TCP connection to the TLS port. */
async function bare(t, server) {
  const socket = net.connect(server.securePort, server.host);
  t.defer(() => socket.destroy());
  const heard = { bytes: Buffer.alloc(0), closedMs: 0 };
  const began = Date.now();
  socket.on('data', (bytes) => (heard.bytes = Buffer.concat([heard.bytes, bytes])));
  socket.on('error', () => undefined);
  socket.on('close', () => (heard.closedMs = Date.now() - began));
  await until('a TCP connection', () => !socket.connecting, { timeoutMs: 2_000, everyMs: 5 });
  return { socket, heard };
}

/** The first bytes of a real ClientHello, of which more would have to follow. */
const HELLO_BEGUN = Buffer.from('16030102000100' + '01fc0303' + '00'.repeat(32), 'hex');

const GARBAGE = {
  'plain HTTP': Buffer.from(request('GET / HTTP/1.1')),
  'a plain upgrade': Buffer.from(request('GET / HTTP/1.1', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==')),
  'zeros': Buffer.alloc(70_000),
  'ones': Buffer.alloc(70_000, 0xff),
  'a record of 64 kB': Buffer.concat([Buffer.from('160301ffff', 'hex'), Buffer.alloc(65_535, 1)]),
  'a handshake message of 16 MB': Buffer.concat([Buffer.from('1603014000' + '01ffffff', 'hex'), Buffer.alloc(16_380, 3)]),
  'application data first': Buffer.from('1703030010' + 'ab'.repeat(16), 'hex'),
  'an alert first': Buffer.from('15030300020228', 'hex'),
  'an SSL 2 hello': Buffer.from('802e0100020015000000100100800300800700c0' + '00'.repeat(28), 'hex'),
};

async function garbage(t, shared) {
  const { server } = shared;
  const call = await shared.call();
  for (const [what, bytes] of Object.entries(GARBAGE)) {
    const { socket, heard } = await bare(t, server);
    socket.write(bytes);
    await until(`${what} is hung up on`, () => heard.closedMs > 0, { timeoutMs: 3_000, everyMs: 10 });
    assert.ok(!heard.bytes.includes('HTTP/1.1 200'), `${what} is answered outside TLS`);
  }
  const inside = await connected(t, server);
  const closed = new Promise((resolve) => inside.once('close', resolve));
  inside.write(Buffer.alloc(100_000, 0xee));
  inside.resume();
  await closed;
  const healthy = await asks(await connected(t, server), request('GET /healthz HTTP/1.1'));
  assert.match(healthy, /^HTTP\/1\.1 200/);
  await goesOn(call);
}

async function stalledHandshakes(t, shared) {
  const { server } = shared;
  const call = await shared.call();
  const filesBefore = server.openFiles();
  const stalled = await Promise.all([0, 1, 5, 20, HELLO_BEGUN.length].flatMap((length) => [length, length]).map(async (length) => {
    const one = await bare(t, server);
    one.socket.write(HELLO_BEGUN.subarray(0, length));
    return one;
  }));
  // One who sends a byte now and then is not kept for it.
  const dripping = await bare(t, server);
  let sent = 0;
  const drip = setInterval(() => dripping.socket.write(HELLO_BEGUN.subarray(sent, (sent += 1))), 500);
  t.defer(() => clearInterval(drip));
  await until('stalled handshakes are given up', () => [...stalled, dripping].every(({ heard }) => heard.closedMs > 0), { timeoutMs: HANDSHAKE_MAX_MS });
  await until('their files are returned', () => server.openFiles() <= filesBefore, { timeoutMs: 3_000 });
  await goesOn(call);
}

/** Reads a little now and then; how much came so far. */
async function slowReader(t, server) {
  const socket = await connected(t, server, { highWaterMark: SLOW_BYTES_PER_SECOND });
  let bytes = 0;
  socket.write(request('GET /client2/large.bin HTTP/1.1'));
  const timer = setInterval(() => (bytes += socket.read(SLOW_BYTES_PER_SECOND / 4)?.length ?? 0), 250);
  t.defer(() => clearInterval(timer));
  return { bytes: () => bytes };
}

async function slowReaders(t, shared) {
  const { server } = shared;
  const whole = await asks(await connected(t, server), request('GET /client2/large.bin HTTP/1.1'), 15_000);
  assert.equal(whole.length - whole.indexOf('\r\n\r\n') - 4, LARGE_FILE_BYTES, 'the whole file over TLS');
  const before = server.residentBytes();
  const readers = await Promise.all(Array.from({ length: SLOW_READERS }, () => slowReader(t, server)));
  let most = 0;
  const end = Date.now() + SLOW_SPAN_MS;
  while (Date.now() < end) {
    most = Math.max(most, server.residentBytes() - before);
    await sleep(100);
  }
  const slowest = Math.min(...readers.map((reader) => reader.bytes()));
  assert.ok(slowest > 0, 'a slow reader gets something');
  console.log(`       ${SLOW_READERS} slow readers of ${LARGE_FILE_BYTES >> 20} MiB: ${(most / 1024).toFixed(0)} KiB more resident`);
  assert.ok(most < SLOW_MAX_BYTES, `${SLOW_READERS} slow readers hold ${most} bytes`);
  const healthy = await asks(await connected(t, server), request('GET /healthz HTTP/1.1'));
  assert.match(healthy, /^HTTP\/1\.1 200/);
}

export const cases = [
  { id: 'tls-call', requirement: 'https and wss under the server\'s own certificate: two people see, hear and read each other', run: callOverTls },
  { id: 'tls-firefox', requirement: 'https and wss: Firefox and Chromium see and hear each other', run: firefoxOverTls },
  { id: 'tls-versions', requirement: 'TLS 1.2 and 1.3 clients get pages and sessions, TLS 1.1 is refused', run: versions },
  { id: 'tls-garbage', requirement: 'plain HTTP and garbage on the https port are hung up on, beside a call that does not notice', run: garbage },
  { id: 'tls-stalled', requirement: 'a handshake that stalls, or drips, is given up within 15 s', run: stalledHandshakes },
  { id: 'tls-slow-readers', requirement: 'slow readers of a large file over TLS hold no copies of it', run: slowReaders },
  { id: 'tls-camera-elsewhere', requirement: 'a browser on another host has its camera over https with the self-signed certificate, is told of https without it, and talks with one here', run: cameraElsewhere },
  { id: 'tls-own-certificate', requirement: 'the own certificate names every address, is kept 0600, outlives a restart, and is made anew when addresses change or files break', run: ownFiles },
  { id: 'tls-operators-certificate', requirement: 'the operator\'s certificate is reloaded within 10 s, a broken one never, and a running call is not disturbed', run: operatorsFiles },
];
