// A Flash client by script: the ActionScript room client's own calls, over a
// connection that announces AMF3, as Flash does unless it is told otherwise.

import { randomUUID } from 'node:crypto';

import { Amf3 } from './amf.mjs';
import { Rtmp } from './rtmp.mjs';

export class Flash {
  /** How often the server pinged. */
  pings = 0;

  constructor(rtmp, login) {
    this.rtmp = rtmp;
    this.login = login;
  }

  /**
   * @param {string} login
   * @param {{objectEncoding?: 0|3, args?: object}} [how] `args`: over those of the room client
   */
  static async connect(t, server, login, { objectEncoding = 3, args = {} } = {}) {
    // The address names no application.
    const rtmp = await Rtmp.connect(t, server, '', { swfUrl: 'http://example.org/chat.swf', pageUrl: 'http://example.org/', objectEncoding }, [{ appKey: 'flashRoomApp', login, ...args }]);
    const flash = new Flash(rtmp, login);
    // Flash speaks what the server agreed to.
    flash.amf3 = rtmp.accepted.args[1].objectEncoding === 3;
    rtmp.methods.ping = () => {
      flash.pings += 1;
      flash.tell('pong');
    };
    return flash;
  }

  /** The same, in a room; its STATE is in `state`. */
  static async join(t, server, login, room, how) {
    const flash = await Flash.connect(t, server, login, how);
    const answer = await flash.command('join', { name: room });
    if (answer.status !== 'ACCEPTED') throw new Error(`join of ${login} refused: ${JSON.stringify(answer)}`);
    flash.room = room;
    flash.state = Object.values((await flash.hearsRoom('STATE')).info);
    return flash;
  }

  tell(name, ...args) {
    this.rtmp.tell(name, this.amf3 ? args.map((arg) => new Amf3(arg)) : args, { amf3: this.amf3 });
  }

  /** A room command and its DataStatusEvent. */
  async command(command, options) {
    const operationId = randomUUID().toUpperCase();
    this.tell('sendData', { operationId, payload: { command, options } });
    const { args } = await this.rtmp.hears(`the answer to ${command}`, (call) => call.name === 'DataStatusEvent' && call.args[1]?.operationId === operationId);
    return args[1];
  }

  /** The payload of the first room event of that name (whose info fits). */
  async hearsRoom(name, fits = (_info) => true, timeoutMs = 5_000) {
    const { args } = await this.rtmp.hears(`room event ${name}`, (call) => {
      const payload = call.name === 'OnDataEvent' ? call.args[1]?.payload : undefined;
      return payload?.name === name && fits(payload.info);
    }, timeoutMs);
    return args[1].payload;
  }

  say(to, text) {
    return this.command('sendMessage', { roomConfig: { name: this.room }, to, text });
  }

  /** Publishes as the room client does: a name, and no type. */
  publishes() {
    return this.rtmp.publishes(`${this.room}-${this.login}`, { type: null });
  }

  play(stream) {
    return this.rtmp.play(stream, null);
  }
}
