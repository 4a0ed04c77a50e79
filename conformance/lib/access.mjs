// What opens rooms, and the operator's requests.

import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import http from 'node:http';

export const SECRET = 'a secret of the cases, long enough to be one';
export const ADMIN_TOKEN = 'admin-token-of-the-cases';
const REQUEST_TIMEOUT_MS = 5_000;

/** Seconds since 1970, so many from now. */
export const fromNow = (seconds) => Math.floor(Date.now() / 1000) + seconds;

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

const hmac = (hash) => (text, secret) => createHmac(hash, secret).update(text).digest('base64url');

const SIGNATURES = {
  HS256: hmac('sha256'),
  HS384: hmac('sha384'),
  none: () => '',
  RS256: (text) => sign('sha256', Buffer.from(text), generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey).toString('base64url'),
};

/**
 * An access token as an operator's application makes it: any room and login, for an hour.
 * @param {Record<string, unknown>} [claims] over these
 * @param {{alg?: keyof typeof SIGNATURES, secret?: string}} [how]
 */
export function accessToken(claims = {}, { alg = 'HS256', secret = SECRET } = {}) {
  const all = { room: '*', login: '*', exp: fromNow(3_600), ...claims };
  const signed = `${part({ alg, typ: 'JWT' })}.${part(all)}`;
  return `${signed}.${SIGNATURES[alg](signed, secret)}`;
}

/**
 * A request just as it is told: `fetch` would choose headers itself.
 * @param {import('./server.mjs').Server} server
 * @param {{method?: string, headers?: Record<string, string>, body?: string, host?: string, localAddress?: string, agent?: http.Agent|false}} [how]
 * @returns {Promise<{status: number, headers: http.IncomingHttpHeaders, text: string}>}
 */
export function request(server, path, { method = 'GET', headers = {}, body, host = server.host, localAddress, agent = false } = {}) {
  return new Promise((resolve, reject) => {
    const length = body === undefined || 'transfer-encoding' in headers ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const asked = http.request({ host, port: server.webPort, method, path, localAddress, agent, timeout: REQUEST_TIMEOUT_MS, headers: { ...length, ...headers } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (more) => (text += more));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    asked.once('timeout', () => asked.destroy(new Error(`no answer to ${method} ${path}`)));
    asked.once('error', reject);
    asked.end(body);
  });
}

export const ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` };
export const JSON_TYPE = { 'content-type': 'application/json' };
