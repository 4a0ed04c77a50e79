// Who may enter, who may moderate, and whose pages may connect.

import assert from 'node:assert/strict';
import http from 'node:http';

import { accessToken, ADMIN, ADMIN_TOKEN, fromNow, JSON_TYPE, request, SECRET } from '../lib/access.mjs';
import { Visitor } from '../lib/browsers.mjs';
import { twoMeet } from '../lib/calls.mjs';
import { seesFilm, stillFlows } from '../lib/checks.mjs';
import { CONFERENCE, freshRoom, Guest } from '../lib/guest.mjs';
import { machineAddress, Server } from '../lib/server.mjs';
import { servePages } from '../lib/static.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { offer, Wire } from '../lib/wire.mjs';

/** Long enough to join, publish and play under it. */
const SHORT_LIFE_S = 10;
/** A page that would come back by itself does so within 2 s. */
const STAYS_OUT_MS = 3_000;

/** One server that asks for tokens, and one that has an admin token. */
export async function share(t) {
  return { guarded: await Server.start(t, { 'auth.secret': SECRET }), moderated: await Server.start(t, { 'admin.token': ADMIN_TOKEN }) };
}

const invitation = (server, room, token) => `${server.url}${CONFERENCE}?roomName=${room}${token ? `&token=${token}` : ''}`;

async function pageWithToken(t, { guarded }) {
  const room = freshRoom();
  const alice = await Guest.join(t, guarded, { login: 'Alice', invite: invitation(guarded, room, accessToken({ room })) });
  const bare = invitation(guarded, room);
  assert.equal(await alice.visitor.evaluate(() => location.href), bare, 'the token is gone from the address bar');
  assert.equal(await alice.visitor.text('#inviteAddress'), bare, 'and is not in the invite link');
  assert.equal((await alice.visitor.page.content()).includes('eyJ'), false, 'nor anywhere else on the page');

  const watcher = await Guest.open(t, guarded, { login: 'Bob', invite: invitation(guarded, room, accessToken({ room, login: 'Bob', publish: false })) });
  await watcher.visitor.click('#joinBtn');
  await watcher.visitor.shows('#failedInfo', /lets you watch, not send\. \(Restricted access\)/);
  await watcher.visitor.shows('#joinBtn', 'Leave');
  await seesFilm(watcher.visitor, Guest.video('Alice'));
  await alice.meets('Bob');

  await watcher.visitor.page.reload();
  await watcher.visitor.fill('#login', 'Bob');
  await watcher.visitor.click('#joinBtn');
  await watcher.visitor.shows('#joinBtn', 'Leave');
  await watcher.meets('Alice');
  alice.assertNoErrors();
  watcher.assertNoErrors();
}

async function pageWithout(t, { guarded }) {
  const alice = await Guest.open(t, guarded, { login: 'Alice' });
  for (const [token, words] of [
    [undefined, /open to invited people only: your link carries no access token/],
    [accessToken({ exp: fromNow(-1) }), /Your invitation has expired\. Please ask for a new one/],
    [accessToken({ nbf: fromNow(600) }), /not valid yet/],
    [accessToken({ room: 'elsewhere' }), /for another room/],
    [accessToken({ login: 'Bob' }), /for another name/],
    ['nonsense', /does not accept your invitation/],
  ]) {
    // The tab keeps a room's token.
    await alice.visitor.goto(invitation(guarded, freshRoom(), token));
    await alice.visitor.fill('#login', 'Alice');
    await alice.visitor.click('#joinBtn');
    await alice.visitor.shows('#failedInfo', words);
    await alice.visitor.shows('#joinBtn', 'Join');
  }
  alice.assertNoErrors();
}

async function officialSdk(t, { guarded }) {
  const origin = await servePages(t);
  const room = freshRoom();
  const visitor = await Visitor.open(t, 'chromium');
  await visitor.goto(`${origin}/pages/sdk.html`);
  const enter = (token) => visitor.evaluate(async ([url, token, room]) => {
    await window.visit.connect(url, 'Ann', token);
    return window.visit.join(room).then(() => 'in', (error) => error.message);
  }, [guarded.wsUrl, token, room]);
  assert.equal(await enter(undefined), 'Access token is missing');
  assert.equal(await enter(accessToken({ room, login: 'Ben' })), 'Access token is for another login');
  assert.equal(await enter(accessToken({ room, login: 'Ann' })), 'in');
  await visitor.evaluate(() => window.visit.publish({ constraints: { audio: true, video: true } }));
  assert.deepEqual(visitor.errors, []);
}

/** Other claims under the token's signature. */
function tampered(token) {
  const [header, , signature] = token.split('.');
  const claims = Buffer.from(JSON.stringify({ room: '*', login: '*', exp: fromNow(9_999) })).toString('base64url');
  return `${header}.${claims}.${signature}`;
}

async function refusals(t, { guarded }) {
  const room = freshRoom();
  const mine = { room, login: 'Ann' };
  for (const [what, token, info] of [
    ['none', undefined, 'Access token is missing'],
    ['nonsense', 'a.b.c', 'Access token is malformed'],
    ['without exp', accessToken({ ...mine, exp: undefined }), 'Access token is malformed'],
    ['a room that is a number', accessToken({ ...mine, room: 7 }), 'Access token is malformed'],
    ['8 KiB and more', accessToken({ ...mine, note: 'x'.repeat(9_000) }), 'Access token is malformed'],
    ['alg none', accessToken(mine, { alg: 'none' }), 'Access token uses another algorithm than HS256'],
    ['alg HS384', accessToken(mine, { alg: 'HS384' }), 'Access token uses another algorithm than HS256'],
    ['alg RS256', accessToken(mine, { alg: 'RS256' }), 'Access token uses another algorithm than HS256'],
    ['another secret', accessToken(mine, { secret: `${SECRET}.` }), 'Access token has a wrong signature'],
    ['other claims under the signature', tampered(accessToken(mine)), 'Access token has a wrong signature'],
    ['expired', accessToken({ ...mine, exp: fromNow(-1) }), 'Access token has expired'],
    ['expired and for another room', accessToken({ room: 'x', exp: fromNow(-1) }), 'Access token has expired'],
    ['not before', accessToken({ ...mine, nbf: fromNow(30) }), 'Access token is not valid yet'],
    ['another room', accessToken({ ...mine, room: `${room}2` }), 'Access token is for another room'],
    ['part of the room\'s name', accessToken({ ...mine, room: room.slice(0, -1) }), 'Access token is for another room'],
    ['another login', accessToken({ ...mine, login: 'ann' }), 'Access token is for another login'],
  ]) {
    const wire = await Wire.connect(t, guarded, 'Ann', token);
    const answer = await wire.command('join', { name: room });
    assert.deepEqual([answer.status, answer.info], ['FAILED', info], what);
    const id = wire.publish('unasked', offer('sendonly'), room);
    assert.match((await wire.hearsStream(id, ['FAILED'])).info, /^(Access token|Not a member)/, `${what}: publishes without a join`);
    wire.close();
  }
  assert.deepEqual((await guarded.rooms()).rooms.filter((r) => r.name === room), [], 'no refused join made a room');

  const watcher = await Wire.join(t, guarded, 'Ann', room, accessToken({ ...mine, nbf: fromNow(-1), publish: false, other: [1] }));
  assert.equal((await watcher.hearsStream(watcher.publish('mine', offer('sendonly')), ['FAILED'])).info, 'Restricted access');
  assert.equal((await watcher.hearsStream(watcher.play('nobody', offer('recvonly')), ['FAILED'])).info, 'Stream not found');
  const anybody = await Wire.join(t, guarded, 'anybody', room, accessToken());
  const other = await anybody.command('join', { name: `${room}-other` });
  assert.equal(other.status, 'ACCEPTED', 'a star opens every room');
  const strayed = await watcher.command('join', { name: `${room}-other` });
  assert.equal(strayed.info, 'Access token is for another room');
}

/** The token ends while its holders talk: they go on, and begin nothing new. */
async function expiry(t, { guarded }) {
  const room = freshRoom();
  const exp = fromNow(SHORT_LIFE_S);
  const short = () => ({ invite: invitation(guarded, room, accessToken({ room, exp })) });
  const wire = await Wire.join(t, guarded, 'Wire', room, accessToken({ room, exp }));
  const { alice, bob } = await twoMeet(t, guarded, { room, alice: short(), bob: short() });
  const { name } = (await wire.hearsRoom('PUBLISHED', ({ login }) => login === 'Alice')).info;
  const early = wire.play(name, offer('recvonly'));
  await wire.hears('an answer', ({ message, data }) => message === 'setRemoteSDP' && data[0] === early);
  assert.ok(Date.now() / 1000 < exp, 'the call was made in time');
  await until('the token has expired', () => Date.now() / 1000 > exp + 0.2, { timeoutMs: SHORT_LIFE_S * 1_000 + 500 });
  for (const id of [wire.play(name, offer('recvonly')), wire.publish('late', offer('sendonly'))]) {
    assert.equal((await wire.hearsStream(id, ['FAILED'])).info, 'Access token has expired');
  }
  assert.equal((await wire.command('join', { name: `${room}2` })).info, 'Access token has expired');
  const said = await wire.command('sendMessage', { roomConfig: { name: room }, to: 'Alice', text: 'still here' });
  assert.equal(said.status, 'ACCEPTED');
  await alice.reads('Wire', 'still here');
  await Promise.all([stillFlows(alice.visitor), stillFlows(bob.visitor)]);
  const button = `${Guest.place('Alice')} .playBtn`;
  for (const label of ['Stop', 'Play']) {
    await bob.visitor.shows(button, label);
    await bob.visitor.click(button);
  }
  await bob.visitor.shows(`${Guest.place('Alice')} .trouble`, /Your invitation has expired/);
  alice.assertNoErrors();
  bob.assertNoErrors();
}

const OPERATORS = ['/api/rooms', '/api/records', '/metrics'];
const CHANGES = [['DELETE', '/api/rooms/r'], ['DELETE', '/api/rooms/r/participants/ann'], ['POST', '/api/rooms/r/participants/ann/mute']];

async function adminToken(t, { moderated: server }) {
  const all = [...OPERATORS.map((path) => ['GET', path]), ...CHANGES];
  for (const [method, path] of all) {
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: `Bearer ${ADMIN_TOKEN}x` }, { authorization: `Basic ${ADMIN_TOKEN}` }, { authorization: ADMIN_TOKEN }, { authorization: 'Bearer ' }]) {
      const refused = await request(server, path, { method, headers });
      assert.deepEqual([refused.status, refused.headers['www-authenticate']], [401, 'Bearer'], `${method} ${path} ${headers.authorization}`);
      assert.doesNotMatch(refused.text, /"rooms"|"records"|ringhall_/);
    }
    const inQuery = await request(server, `${path}?token=${ADMIN_TOKEN}`, { method });
    assert.equal(inQuery.status, 401);
    const foreign = await request(server, path, { method, headers: { ...ADMIN, origin: 'https://elsewhere.example' } });
    assert.equal(foreign.status, 403, `${method} ${path} of another origin`);
    assert.equal(foreign.headers['access-control-allow-origin'], undefined);
  }
  for (const path of OPERATORS) {
    for (const how of [{ headers: ADMIN }, { headers: { authorization: `bearer ${ADMIN_TOKEN}` } }, { headers: ADMIN, host: machineAddress() },
      { headers: { ...ADMIN, origin: server.url, host: `127.0.0.1:${server.webPort}` } }, { headers: { ...ADMIN, host: 'rooms.example' } }]) {
      assert.equal((await request(server, path, how)).status, 200, `${path} ${JSON.stringify(how)}`);
    }
  }
  assert.equal((await request(server, '/healthz')).status, 200, 'health is for everybody');
}

async function loopbackOnly(t, { guarded: server }) {
  for (const path of OPERATORS) {
    for (const host of [undefined, 'localhost', `localhost:${server.webPort}`, '127.0.0.1', `[::1]:${server.webPort}`, '127.8.8.8']) {
      assert.equal((await request(server, path, { headers: host ? { host } : {} })).status, 200, `${path} at ${host}`);
    }
    for (const host of ['rooms.example', 'localhost.rooms.example', machineAddress(), '127.0.0.1.rooms.example', `rooms.example:${server.webPort}`]) {
      assert.equal((await request(server, path, { headers: { host } })).status, 403, `${path} at ${host}: a name that was made to lead here`);
    }
    assert.equal((await request(server, path, { headers: { origin: 'https://elsewhere.example' } })).status, 403);
    assert.equal((await request(server, path, { headers: { origin: 'null' } })).status, 403);
    assert.equal((await request(server, path, { host: machineAddress() })).status, 403, 'from elsewhere');
    assert.equal((await request(server, path, { host: machineAddress(), headers: { host: 'localhost' } })).status, 403, 'from elsewhere under a near name');
    assert.equal((await request(server, path, { host: machineAddress(), headers: { 'x-forwarded-for': '127.0.0.1', host: 'localhost' } })).status, 403);
  }
  assert.equal((await request(server, '/healthz', { host: machineAddress() })).status, 200);
  for (const [method, path] of CHANGES) assert.equal((await request(server, path, { method, host: machineAddress(), headers: JSON_TYPE, body: '{"audio":true}' })).status, 403);
}

async function rest(t, { moderated: server }) {
  const room = `a/b ü?${freshRoom()}`;
  const ann = await Wire.join(t, server, 'Ann B/ü', room);
  const ben = await Wire.join(t, server, 'Ben', room);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.defer(() => agent.destroy());
  const at = (...names) => names.map((name, i) => (i % 2 ? encodeURIComponent(name) : name)).join('/');
  const annAt = at('/api/rooms', room, 'participants', 'Ann B/ü');
  const ask = (method, path, body, headers = body === undefined ? {} : JSON_TYPE) =>
    request(server, path, { method, body, headers: { ...ADMIN, ...headers }, agent });
  const status = async (...asked) => (await ask(...asked)).status;

  const id = ann.publish('ann-1', offer('sendonly'));
  await ann.hears('the answer', ({ message, data }) => message === 'setRemoteSDP' && data[0] === id);
  const muted = await ask('POST', `${annAt}/mute`, '{"audio": true, "video": false}');
  assert.deepEqual([muted.status, muted.text, muted.headers['content-length']], [204, '', undefined]);
  const { data: [wish] } = await ann.hears('muteRequested', ({ message, data }) => message === 'notifyStreamEvent' && data[0].type === 'muteRequested');
  assert.deepEqual([wish.mediaSessionId, wish.payload], [id, { audio: true, video: false, info: 'Muted by the moderator' }]);
  assert.equal(await status('POST', `${annAt}/mute`, '{"video":true}', { 'content-type': 'application/json; charset=utf-8' }), 204);
  for (const body of ['', '{', '[]', '{}', '{"audio":false}', '{"audio":"yes"}', '{"audio":1,"video":true}', 'null']) {
    const bad = await ask('POST', `${annAt}/mute`, body);
    assert.equal(bad.status, 400, `the body ${body}`);
    assert.ok(bad.text.trim().length > 5, 'says what is wrong');
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx']) {
    assert.equal(await status('POST', `${annAt}/mute`, '{"audio":true}', { 'content-type': type }), 415, type);
  }
  assert.equal(await status('POST', `${annAt}/mute`, '{"audio":true}', {}), 415, 'no type');
  for (const [method, path, allow] of [['GET', annAt, 'DELETE'], ['PUT', annAt, 'DELETE'], ['DELETE', `${annAt}/mute`, 'POST'], ['POST', at('/api/rooms', room), 'DELETE'], ['POST', '/api/rooms', /GET/]]) {
    const answer = await ask(method, path);
    assert.equal(answer.status, 405, `${method} ${path}`);
    assert.match(String(answer.headers.allow), allow instanceof RegExp ? allow : new RegExp(`^${allow}$`));
  }
  for (const [method, path] of [['DELETE', at('/api/rooms', 'nowhere')], ['DELETE', at('/api/rooms', room, 'participants', 'Nobody')], ['POST', `${at('/api/rooms', room, 'participants', 'Nobody')}/mute`], ['DELETE', '/api/rooms/x/y/z'], ['GET', '/api/other']]) {
    assert.equal(await status(method, path, method === 'POST' ? '{"audio":true}' : undefined), 404, `${method} ${path}`);
  }
  for (const path of ['/api/rooms/%ff', '/api/rooms/%0a', '/api/rooms/', '/api/rooms/r/participants/%00']) {
    assert.equal(await status('DELETE', path), 400, path);
  }
  assert.deepEqual([ann.closed, ben.closed], [null, null], 'nobody is harmed by what was refused');

  assert.equal(await status('DELETE', annAt), 204);
  const failed = await ann.hearsStream(id, ['FAILED', 'UNPUBLISHED']);
  assert.deepEqual([failed.status, failed.info], ['FAILED', 'Removed by the moderator']);
  await until('the removed is told why', () => ann.reason === 'removed by the moderator', { timeoutMs: 3_000 });
  await ben.hearsRoom('LEFT', (login) => login === 'Ann B/ü');
  assert.equal(await status('DELETE', annAt), 404, 'twice');
  assert.equal(await status('DELETE', at('/api/rooms', room)), 204);
  await until('the rest is told why', () => ben.reason === 'room closed by the moderator', { timeoutMs: 3_000 });
  assert.equal(await status('DELETE', at('/api/rooms', room)), 404, 'twice');
  const listed = JSON.parse((await ask('GET', '/api/rooms')).text);
  assert.deepEqual(listed, { rooms: [] });
}

/** A person's row on the landing page; presses are asked twice. */
async function decides(page, login, button) {
  const pressed = page.locator('#roomList li', { has: page.locator('.login', { hasText: login }) }).locator(button);
  await pressed.click({ timeout: 5_000 });
  await pressed.click({ timeout: 2_000 });
}

async function landing(t, { moderated: server }) {
  const { alice, bob, room } = await twoMeet(t, server);
  const admin = await Visitor.open(t, 'chromium');
  await admin.goto(`${server.url}/`);
  await until('the form asks for the token', () => admin.evaluate(() => document.querySelector('#adminForm').checkVisibility()));
  assert.equal((await admin.text('#roomList')).length, 0, 'no room is shown before');
  for (const [token, words] of [['wrong-token-of-this-case', /does not accept this admin token/], [ADMIN_TOKEN, '']]) {
    await admin.page.fill('#adminToken', token);
    await admin.page.click('#adminForm button');
    await admin.shows('#roomsError', words);
  }
  await admin.shows('#roomList .roomTitle', room);
  await admin.shows('#roomsCount', '1 room, 2 participants');
  await admin.shows('#roomList', /Alice[^]*Bob/);

  await decides(admin.page, 'Alice', '.muteAudioBtn');
  await alice.visitor.shows('#noticeText', /Muted by the moderator: your microphone is off\. You can turn it on again/);
  await alice.visitor.shows('#localAudioToggle', 'Unmute A');
  await until('Bob is shown that Alice is muted', () => bob.visitor.evaluate((s) => document.querySelector(s)?.hidden === false, `${Guest.place('Alice')} .micOff`), { timeoutMs: 5_000 });
  await alice.visitor.click('#localAudioToggle');
  await alice.visitor.shows('#localAudioToggle', 'Mute A');
  await decides(admin.page, 'Alice', '.muteVideoBtn');
  await alice.visitor.shows('#noticeText', /Muted by the moderator: your camera is off/);
  await alice.visitor.shows('#localVideoToggle', 'Unmute V');

  await decides(admin.page, 'Bob', '.removeBtn');
  await bob.visitor.shows('#failedInfo', /A moderator has removed you from the room/);
  await bob.visitor.shows('#joinBtn', 'Join');
  await alice.misses('Bob');
  await alice.reads('Bob', 'left');
  // That nothing happens shows only after a while.
  await sleep(STAYS_OUT_MS);
  await bob.visitor.shows('#joinBtn', 'Join');
  assert.equal(await alice.visitor.evaluate((s) => document.querySelector(s), Guest.place('Bob')), null, 'the removed came back by itself');
  await bob.enter();
  await Promise.all([bob.meets('Alice'), alice.meets('Bob')]);

  const close = admin.page.locator('.roomCard .closeBtn');
  await close.click();
  await close.click();
  for (const guest of [alice, bob]) {
    await guest.visitor.shows('#failedInfo', /A moderator has closed the room/);
    await guest.visitor.shows('#joinBtn', 'Join');
    guest.assertNoErrors();
  }
  await until('the page says that nobody is there', () => admin.evaluate(() => document.querySelector('#roomsEmpty').checkVisibility()));
  await admin.click('#forgetBtn');
  await until('the token is asked for again', () => admin.evaluate(() => document.querySelector('#adminForm').checkVisibility()));
  assert.deepEqual(admin.errors, []);
}

async function landingElsewhere(t, { guarded: server }) {
  const visitor = await Visitor.open(t, 'chromium');
  await visitor.goto(`${server.url}/`);
  await until('at the machine itself rooms are shown', () => visitor.evaluate(() => document.querySelector('#roomsEmpty').checkVisibility()));
  const asked = visitor.page.waitForResponse((answer) => answer.url().endsWith('/api/rooms'), { timeout: 5_000 });
  await visitor.goto(`http://${machineAddress()}:${server.webPort}/`);
  assert.equal((await asked).status(), 403);
  await visitor.shows('#heroTitle', /Meet/);
  assert.equal(await visitor.evaluate(() => document.querySelector('#rooms').checkVisibility()), false);
}

async function origins(t) {
  const [listed, stranger] = [await servePages(t), await servePages(t)];
  const server = await Server.start(t, { origins: `https://rooms.example,${listed}` });
  const fromPage = async (origin) => {
    const visitor = await Visitor.open(t, 'chromium');
    await visitor.goto(`${origin}/pages/sdk.html`);
    return visitor.evaluate((url) => window.visit.connect(url, 'Ann').then(() => 'ESTABLISHED', (error) => error.message), server.wsUrl);
  };
  assert.equal(await fromPage(listed), 'ESTABLISHED');
  assert.equal(await fromPage(stranger), 'FAILED', 'a page of another origin has a session');
  const alice = await Guest.join(t, server, { login: 'Alice', room: freshRoom() });
  alice.assertNoErrors();

  for (const origin of [undefined, listed, 'https://rooms.example', 'https://ROOMS.example', server.url]) {
    const wire = await Wire.connect(t, server, 'program', undefined, { origin });
    wire.close();
  }
  for (const origin of [stranger, 'null', 'https://rooms.example:8443', 'http://rooms.example', 'https://a.rooms.example', 'https://rooms.example.evil', `${server.url}0`]) {
    await assert.rejects(Wire.open(t, server, { origin }), /403/, origin);
  }
}

export const cases = [
  { id: 'access-wire', requirement: 'auth.secret: each way a token can be wrong is refused with words of its own; without publish only publishing is', run: refusals },
  { id: 'access-page', requirement: 'our page joins with ?token=, hides it from address bar and invite link, keeps it over a reload; without publish it watches', run: pageWithToken },
  { id: 'access-page-refused', requirement: 'our page without a token, or with a wrong one, says so in words for people', run: pageWithout },
  { id: 'access-sdk', requirement: 'the official SDK joins with its token option, and is told what is wrong without', run: officialSdk },
  { id: 'access-expiry', requirement: 'a token that expires during the call: the call goes on, nothing new begins', run: expiry },
  { id: 'access-admin-token', requirement: 'admin.token: 401 without it or with another, from anywhere; 403 for other origins', run: adminToken },
  { id: 'access-loopback-only', requirement: 'without admin.token the operator\'s paths answer loopback under loopback\'s names only', run: loopbackOnly },
  { id: 'access-rest', requirement: 'moderation by REST: 204, 400, 404, 405, 415, and what those concerned are told', run: rest },
  { id: 'access-landing', requirement: 'the landing page asks for the admin token, lists rooms, mutes, removes and closes, and the pages concerned say who did it', run: landing },
  { id: 'access-landing-elsewhere', requirement: 'the landing page shows rooms at the machine itself, and nothing of them elsewhere', run: landingElsewhere },
  { id: 'access-origins', requirement: 'origins: pages of others are refused, listed ones and the server\'s own are not', run: origins },
];
