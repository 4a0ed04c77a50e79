// A network namespace with one cable to this machine, for a browser on a slow line.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const ip = (...args) => execFileSync('ip', args, { encoding: 'utf8' });

const tc = (...args) => execFileSync('tc', args, { encoding: 'utf8' });

const NETWORK = `10.${96 + ((process.pid >> 8) & 31)}.${process.pid & 255}`;

export class Line {
  /** This machine's end and the far end; runs side by side have networks of their own. */
  near = `${NETWORK}.1`;
  far = `${NETWORK}.2`;

  /** @param {{defer: (f: () => any) => void}} t */
  constructor(t) {
    const tag = process.pid.toString(36);
    this.name = `rh${tag}`;
    this.device = `rhf${tag}`;
    this.nearDevice = `rhn${tag}`;
    ip('netns', 'add', this.name);
    t.defer(() => ip('netns', 'del', this.name));
    ip('link', 'add', this.nearDevice, 'type', 'veth', 'peer', 'name', this.device, 'netns', this.name);
    // A browser may outlive the case and keep the namespace: the cable goes by itself.
    t.defer(() => ip('link', 'del', this.nearDevice));
    // An address of IPv6's own making comes a second later, and browsers drop
    // what they are loading when addresses change.
    ip('link', 'set', this.nearDevice, 'addrgenmode', 'none');
    ip('-n', this.name, 'link', 'set', this.device, 'addrgenmode', 'none');
    ip('addr', 'add', `${this.near}/24`, 'dev', this.nearDevice);
    ip('link', 'set', this.nearDevice, 'up');
    ip('-n', this.name, 'addr', 'add', `${this.far}/24`, 'dev', this.device);
    ip('-n', this.name, 'link', 'set', this.device, 'up');
    ip('-n', this.name, 'link', 'set', 'lo', 'up');
    this.folder = mkdtempSync(path.join(os.tmpdir(), 'ringhall-line-'));
    t.defer(() => rmSync(this.folder, { recursive: true }));
  }

  /** What leaves the far end passes a token bucket: `tbf` words of tc. */
  limit(...words) {
    this.#tc('qdisc', 'replace', 'dev', this.device, 'root', 'tbf', ...words);
  }

  /** From now on nothing arrives at either end, and nobody is told. */
  drop() {
    this.#tc('qdisc', 'replace', 'dev', this.device, 'root', 'blackhole');
    tc('qdisc', 'replace', 'dev', this.nearDevice, 'root', 'blackhole');
  }

  /** Undoes `drop`. */
  restore() {
    this.#tc('qdisc', 'del', 'dev', this.device, 'root');
    tc('qdisc', 'del', 'dev', this.nearDevice, 'root');
  }

  /** Bytes that wait in the far end's queue now. */
  backlogBytes() {
    const [qdisc] = JSON.parse(this.#tc('-s', '-j', 'qdisc', 'show', 'dev', this.device));
    return qdisc.backlog;
  }

  #tc(...args) {
    return tc('-n', this.name, ...args);
  }

  /** A command that runs `command` in the namespace. */
  wrapper(command) {
    const file = path.join(this.folder, 'run');
    writeFileSync(file, `#!/bin/sh\nexec ip netns exec ${this.name} ${command} "$@"\n`);
    chmodSync(file, 0o755);
    return file;
  }
}
