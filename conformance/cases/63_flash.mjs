// Flash in a room of browsers: a script says what the ActionScript room client says,
// and publishes what a Flash camera and microphone gave: H.264 Main and Speex.

import assert from 'node:assert/strict';

import { accessToken, SECRET } from '../lib/access.mjs';
import { published, seesAndHears } from '../lib/calls.mjs';
import { rtmpdumpPlays, recordingOf } from '../lib/clients.mjs';
import { film } from '../lib/films.mjs';
import { AUDIO, isPicture, readTags, writeTags } from '../lib/flv.mjs';
import { Flash } from '../lib/flash.mjs';
import { freshRoom, Guest } from '../lib/guest.mjs';
import { holdsFilmAndTone } from '../lib/recording.mjs';
import { Broadcast } from '../lib/rtmp.mjs';
import { temporaryFolder } from '../lib/secure.mjs';
import { Server } from '../lib/server.mjs';
import { sleep, until } from '../lib/wait.mjs';

const PLAY_SECONDS = 5;
const SPEEX = 11;

export async function share(t) {
  return { server: await Server.start(t) };
}

const flashFilm = async (t) => readTags(await film(t, 'film-main-speex.flv'));

/** The scripted player has the film and the tone of what it was sent from now on. */
async function receivesFilm(t, flash, sid) {
  await flash.rtmp.status(sid, /^NetStream\.Play\.Start$/);
  await flash.rtmp.hearsMedia('a picture', sid, isPicture);
  await sleep(PLAY_SECONDS * 1_000);
  const file = writeTags(recordingOf(temporaryFolder(t), 'flash'), flash.rtmp.media(sid));
  return holdsFilmAndTone(t, file, { seconds: PLAY_SECONDS - 1, framesPerSecond: 15 });
}

/** Where a STATE or PUBLISHED names the stream of a login. */
const streamIn = (entries, login) => entries.find((entry) => entry?.login === login)?.name;

async function wholeProtocol(t, { server }) {
  const room = freshRoom();
  const alice = await Guest.join(t, server, { room, login: 'Alice' });
  await published(server, room, 'Alice');
  const bob = await Flash.join(t, server, 'Bob', room);
  assert.match(JSON.stringify(bob.state), /"Alice"/, 'STATE names who is there');
  await alice.meets('Bob');
  await alice.reads('Bob', 'joined');

  assert.equal((await bob.say('Alice', 'hello from Flash: ä € 👋')).status, 'ACCEPTED');
  await alice.reads('Bob', 'hello from Flash: ä € 👋');
  await alice.say('hello to Flash: ä € 👋');
  const { info, roomName } = await bob.hearsRoom('MESSAGE', ({ from }) => from === 'Alice');
  assert.deepEqual([roomName, info.text], [room, 'hello to Flash: ä € 👋']);
  assert.equal((await bob.say('Nobody', 'x')).status, 'FAILED');

  new Broadcast(t, bob.rtmp, await bob.publishes(), await flashFilm(t));
  assert.equal((await published(server, room, 'Bob')).name, `${room}-Bob`);
  await seesAndHears(alice, 'Bob');
  const { video, audio } = await receivesFilm(t, bob, await bob.play(streamIn(bob.state, 'Alice')));
  assert.deepEqual([video.codec, audio.codec], ['h264', 'aac'], 'what every Flash can play');

  const cem = await Guest.join(t, server, { room, login: 'Cem' });
  await bob.hearsRoom('JOINED', (who) => JSON.stringify(who).includes('Cem'));
  const { info: cems } = await bob.hearsRoom('PUBLISHED', ({ login }) => login === 'Cem', 10_000);
  const playing = await bob.play(cems.name);
  await bob.rtmp.hearsMedia('Cem\'s picture', playing, isPicture);
  await seesAndHears(cem, 'Bob');
  await cem.leave();
  await bob.rtmp.status(playing, /^NetStream\.Play\.(UnpublishNotify|Stop)$/);
  await bob.hearsRoom('LEFT', (who) => JSON.stringify(who).includes('Cem'));

  // The room client says so, and hangs up without waiting.
  bob.tell('sendData', { operationId: 'the last', payload: { command: 'leave', options: { name: room } } });
  await alice.misses('Bob');
  await alice.reads('Bob', 'left');
  bob.rtmp.close();
  alice.assertNoErrors();
}

async function amf0(t, { server }) {
  const room = freshRoom();
  const alice = await Guest.join(t, server, { room, login: 'Alice' });
  const bob = await Flash.join(t, server, 'Bob', room, { objectEncoding: 0 });
  assert.equal(bob.amf3, false);
  assert.equal((await bob.say('Alice', 'in AMF0')).status, 'ACCEPTED');
  await alice.reads('Bob', 'in AMF0');
  assert.equal((await bob.command('leave', { name: room })).status, 'ACCEPTED');
  await alice.misses('Bob');
  assert.equal((await bob.command('join', { name: room })).status, 'ACCEPTED', 'and comes back on the same connection');
  await alice.meets('Bob');
  bob.rtmp.socket.destroy();
  await alice.misses('Bob');
}

async function amongThemselves(t, { server }) {
  const room = freshRoom();
  const ann = await Flash.join(t, server, 'Ann', room);
  assert.deepEqual(ann.state, []);
  const ben = await Flash.join(t, server, 'Ben', room);
  assert.equal((await ann.hearsRoom('JOINED')).roomName, room);
  const sid = await ann.publishes();
  const broadcast = new Broadcast(t, ann.rtmp, sid, await flashFilm(t));
  const { info } = await ben.hearsRoom('PUBLISHED');
  assert.deepEqual({ login: info.login, name: info.name }, { login: 'Ann', name: `${room}-Ann` });
  const playing = await ben.play(info.name);
  const { audio } = await receivesFilm(t, ben, playing);
  assert.equal(audio.codec, 'speex');
  assert.ok(ben.rtmp.media(playing).filter(({ type, body }) => type === AUDIO && body.length > 1).every(({ body }) => body[0] >> 4 === SPEEX), 'Speex stays Speex');
  broadcast.stop();
  ann.rtmp.tell('closeStream', [], { sid });
  await ben.rtmp.status(playing, /^NetStream\.Play\.(UnpublishNotify|Stop)$/);
  await ben.hearsRoom('UNPUBLISHED');
  const again = await ann.publishes();
  new Broadcast(t, ann.rtmp, again, await flashFilm(t));
  await until('it is published anew', () => ben.rtmp.calls.filter(({ name, args }) => name === 'OnDataEvent' && args[1].payload.name === 'PUBLISHED').length === 2);
}

async function dump(t, { server }) {
  const room = freshRoom();
  await Guest.join(t, server, { room, login: 'Alice' });
  const file = recordingOf(temporaryFolder(t), 'rtmpdump');
  const who = ['-C', 'O:1', '-C', 'NS:appKey:flashRoomApp', '-C', 'NS:login:Dump', '-C', 'O:0'];
  await rtmpdumpPlays(t, ['-r', server.rtmpUrl(room, 'Alice'), ...who], file, PLAY_SECONDS);
  await holdsFilmAndTone(t, file, { seconds: PLAY_SECONDS });
}

async function refusals(t, { server }) {
  const room = freshRoom();
  const alice = await Guest.join(t, server, { room, login: 'Alice' });
  const twin = await Flash.connect(t, server, 'Alice');
  const answer = await twin.command('join', { name: room });
  assert.deepEqual([answer.status, answer.info], ['FAILED', 'Login is already in use']);
  const stranger = await Flash.connect(t, server, 'Stranger');
  assert.deepEqual((await stranger.command('sendMessage', { roomConfig: { name: room }, to: 'Alice', text: 'x' })).status, 'FAILED');
  const { status } = await stranger.rtmp.publish(`${room}-Stranger`, { type: null });
  assert.equal(status.level, 'error', 'who is no member publishes nothing');
  const { name: stream } = await published(server, room, 'Alice');
  const unseen = await stranger.rtmp.status(await stranger.play(stream), /^NetStream\.Play\./);
  assert.equal(unseen.level, 'error', 'nor plays anything');
  const member = await Flash.join(t, server, 'Member', room);
  const absent = await member.rtmp.status(await member.play(`${room}-Nobody`), /^NetStream\.Play\./);
  assert.equal(absent.code, 'NetStream.Play.StreamNotFound');
  alice.assertNoErrors();

  const guarded = await Server.start(t, { 'auth.secret': SECRET });
  const uninvited = await Flash.connect(t, guarded, 'Bob');
  assert.deepEqual((await uninvited.command('join', { name: room })).info, 'Access token is missing');
  const invited = await Flash.join(t, guarded, 'Bob', room, { args: { token: accessToken({ room, login: 'Bob', publish: false }) } });
  const { status: denied } = await invited.rtmp.publish(`${room}-Bob`, { type: null });
  assert.deepEqual([denied.code, denied.description], ['NetStream.Publish.Denied', 'Restricted access']);
}

export const cases = [
  { id: 'flash-whole-protocol', requirement: 'a scripted Flash client that announces AMF3: join, STATE, chat both ways, publish (H.264 Main and Speex: Chromium sees the film and hears the tone), play, a newcomer, leave', run: wholeProtocol, timeoutMs: 90_000 },
  { id: 'flash-amf0', requirement: 'a Flash client in AMF0 joins, chats, leaves, comes back on its connection and vanishes', run: amf0 },
  { id: 'flash-among-themselves', requirement: 'two Flash clients: PUBLISHED, Speex as it is, UnpublishNotify, publishing anew', run: amongThemselves },
  { id: 'flash-rtmpdump', requirement: 'rtmpdump with the Flash client\'s connect arguments (-C) connects and plays a browser', run: dump },
  { id: 'flash-refusals', requirement: 'a taken login, a stranger to the room, an absent stream and a missing token are refused with the words WebSocket clients are told', run: refusals },
];
