// The server under test: the shipped binary, started with settings of its own on
// free ports, talked to over its sockets only, stopped by its own process id.

import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { sleep, until, within } from './wait.mjs';

export const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const binary = process.env.RINGHALL_BINARY ?? path.join(repository, 'target/release/ringhall');

const READY_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 8_000;
/** Below the range the kernel hands out by itself. */
const FIRST_MEDIA_PORT = 20_000;
const LAST_MEDIA_PORT = 30_000;

/** Servers still running, so that a failed case can show what they said and none is left behind. */
export const running = new Set();

let printed;
/** Whether the binary has a setting of that name. */
export async function knowsSetting(key) {
  printed ??= runBinary(['--print-config']);
  return (await printed).stdout.split('\n').some((line) => line.startsWith(`${key}=`));
}

/** Settings under which a server can be ended and started again with nobody noticing another address. */
export const steadyPorts = async () => ({ 'ws.port': await freePort(), media_port_from: await freeMediaPorts(os.cpus().length) });

/** The machine's first address that is not the loopback's: Firefox sends to no other kind. */
export function machineAddress() {
  for (const addresses of Object.values(os.networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) {
      if (family === 'IPv4' && !internal) return address;
    }
  }
  throw new Error('this machine has no IPv4 address besides the loopback');
}

/** The first of `count` neighbouring UDP ports that are free on every address. */
export async function freeMediaPorts(count) {
  const span = LAST_MEDIA_PORT - FIRST_MEDIA_PORT - count;
  for (let tries = 0; tries < 100; tries += 1) {
    const first = FIRST_MEDIA_PORT + Math.floor(Math.random() * span);
    const free = await Promise.all(Array.from({ length: count }, (_, i) => udpPortFree(first + i)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`no ${count} neighbouring UDP ports are free`);
}

/** A TCP port that is free on every address. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '0.0.0.0', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

function udpPortFree(port) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    socket.once('error', () => resolve(false));
    socket.bind({ port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}

/**
 * Runs the binary to its end: for what it prints about versions, settings and mistakes.
 * @param {string[]} args
 */
export async function runBinary(args, timeoutMs = 10_000) {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes) => (stdout += bytes));
  child.stderr.on('data', (bytes) => (stderr += bytes));
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr, all: stdout + stderr }));
  });
  try {
    return await within(ended, timeoutMs, `ringhall ${args.join(' ')}`);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${error.message}; it printed: ${stdout}${stderr}`);
  }
}

export class Server {
  #child;
  #ended;
  /** What it printed, by stream: a line of one may come in pieces, with a line of the other between them. */
  #printed = { stdout: '', stderr: '' };
  /** The line that starts with `ready`. */
  ready = '';
  webPort = 0;
  /** Of https and wss; 0 where there is none. */
  securePort = 0;
  rtmpPort = 0;
  /** Of RTMP inside TLS; 0 where there is none. */
  rtmpsPort = 0;
  ip = '';
  host = '127.0.0.1';

  /**
   * Starts a server and waits for its ready line.
   * @param {{defer: (f: () => any) => void}} t the case; the server is stopped when it ends
   * @param {Record<string, string|number>} [settings] config keys, over the defaults of the harness
   * @param {{wrap?: string[], args?: string[], host?: string}} [how] `wrap`: a command to run it under
   */
  static async start(t, settings = {}, how = {}) {
    const server = new Server();
    const cores = Number(settings.cores ?? os.cpus().length);
    const all = {
      'ws.port': await freePort(),
      // Servers side by side would share its default; who tests it asks for one.
      'wss.port': 'off',
      media_port_from: await freeMediaPorts(cores),
      ip: machineAddress(),
      // Servers of different cases must not meet on the one default port.
      ...((await knowsSetting('wss.port')) ? { 'wss.port': 'off' } : {}),
      ...((await knowsSetting('rtmp.port')) ? { 'rtmp.port': 0 } : {}),
      ...settings,
    };
    const sets = Object.entries(all).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    server.ip = String(all.ip);
    server.host = how.host ?? '127.0.0.1';
    server.#spawn([...(how.wrap ?? []), binary, 'serve', ...sets, ...(how.args ?? [])]);
    t.defer(() => server.stop());
    await server.#waitReady();
    return server;
  }

  #spawn([command, ...args]) {
    this.#child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this);
    for (const name of ['stdout', 'stderr']) {
      this.#child[name].setEncoding('utf8');
      this.#child[name].on('data', (text) => (this.#printed[name] += text));
    }
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#printed.stderr += `could not be started: ${error.message}\n`;
        running.delete(this);
        resolve({ code: null, signal: null });
      });
      this.#child.once('close', (code, signal) => {
        running.delete(this);
        resolve({ code, signal });
      });
    });
  }

  async #waitReady() {
    let ended = false;
    this.#ended.then(() => (ended = true));
    await until('the ready line', () => {
      this.ready = this.#printed.stdout.match(/^ready\b.*$/m)?.[0] ?? '';
      return this.ready !== '' || ended;
    }, { timeoutMs: READY_TIMEOUT_MS, everyMs: 20 }).catch((error) => {
      throw new Error(`${error.message}; the server printed:\n${this.output}`);
    });
    if (this.ready === '') throw new Error(`the server ended before it was ready:\n${this.output}`);
    this.webPort = Number(this.ready.match(/\bws=\S*?:(\d+)/)?.[1]);
    if (!this.webPort) throw new Error(`no ws=ADDRESS:PORT in the ready line: ${this.ready}`);
    this.securePort = this.#port('wss');
    this.rtmpPort = this.#port('rtmp');
    this.rtmpsPort = this.#port('rtmps');
  }

  /** The port in a field of the ready line; 0 where the field is not there, or off. */
  #port(name) {
    return Number(this.field(name)?.match(/:(\d+)$/)?.[1] ?? 0);
  }

  /** A field of the ready line: `field('io')` of `ready … io=uring …`. */
  field(name) {
    return this.ready.match(new RegExp(`\\b${name}=(\\S+)`))?.[1];
  }

  /** Everything it printed: the ready line, and then events. */
  get output() {
    return this.#printed.stdout + this.#printed.stderr;
  }

  get pid() {
    return this.#child.pid;
  }

  get alive() {
    return running.has(this);
  }

  get url() {
    return `http://${this.host}:${this.webPort}`;
  }

  get wsUrl() {
    return `ws://${this.host}:${this.webPort}`;
  }

  get secureUrl() {
    return `https://${this.host}:${this.securePort}`;
  }

  get secureWsUrl() {
    return `wss://${this.host}:${this.securePort}`;
  }

  /** Where encoders and players find a participant, or a stream by its name. */
  rtmpUrl(room, name, query = '') {
    return `rtmp://${this.host}:${this.rtmpPort}/${room}/${name}${query}`;
  }

  rtmpsUrl(room, name) {
    return `rtmps://${this.host}:${this.rtmpsPort}/${room}/${name}`;
  }

  /** GET of one of its own paths: status, type and text. */
  async get(resource, origin = this.url) {
    const answer = await fetch(`${origin}${resource}`, { signal: AbortSignal.timeout(5_000) });
    return { status: answer.status, type: answer.headers.get('content-type') ?? '', text: await answer.text() };
  }

  /** `/api/rooms`, parsed; asked on the loopback, which needs no token. */
  async rooms() {
    const { status, text } = await this.get('/api/rooms', `http://127.0.0.1:${this.webPort}`);
    if (status !== 200) throw new Error(`/api/rooms answered ${status}: ${text}`);
    return JSON.parse(text);
  }

  /** Resident memory in bytes, as the kernel counts it. */
  residentBytes() {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(status.match(/^VmRSS:\s+(\d+) kB/m)?.[1]) * 1024;
  }

  openFiles() {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Ends it as a crash would, without a word. */
  async kill() {
    this.#child.kill('SIGKILL');
    await within(this.#ended, STOP_TIMEOUT_MS, 'SIGKILL');
  }

  /** Sends SIGTERM; its exit code and how long it took. Killed, and so told, if it does not go. */
  async stop() {
    if (!this.alive) return { code: (await this.#ended).code, elapsedMs: 0 };
    const asked = Date.now();
    this.#child.kill('SIGTERM');
    const gone = await Promise.race([this.#ended, sleep(STOP_TIMEOUT_MS)]);
    if (!gone) {
      this.#child.kill('SIGKILL');
      await this.#ended;
      throw new Error(`the server was still there ${STOP_TIMEOUT_MS} ms after SIGTERM`);
    }
    return { ...gone, elapsedMs: Date.now() - asked };
  }
}
