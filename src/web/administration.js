/**
 * The administrator's calls: the rooms that exist, a moderator's hand in them,
 * and what was recorded. The admin token stays in this tab's session storage.
 */

const TOKEN_KEY = "ringhall.adminToken";

/** @typedef {{ name: string, status: string, viewers: number, tracks: { kind: string, codec: string | null }[] }} StreamInfo */
/** @typedef {{ login: string, streams: StreamInfo[], plays: unknown[] }} PersonInfo */
/** @typedef {{ name: string, participants: PersonInfo[] }} RoomInfo */

/** @typedef {{ codec: string, width: number, height: number, is_filler_only: boolean }} VideoInfo */
/** @typedef {{ codec: string, is_filler_only: boolean }} AudioInfo */
/**
 * A recording; what stands in its room's manifest is missing where there is none.
 * @typedef {{
 *   name: string, size_bytes: number, modified_unix_us: number, state: string, manifest: string | null,
 *   room?: string, origin_unix_us?: number | null, login?: string, stream?: string,
 *   began_unix_us?: number, duration_us?: number, content_from_us?: number, content_until_us?: number,
 *   video?: VideoInfo | null, audio?: AudioInfo | null, why?: string | null,
 * }} RecordInfo
 */
/** @typedef {{ records: RecordInfo[], bad_manifests: { name: string, why: string }[], truncated: boolean }} RecordList */

/** What the server answered instead of doing it. */
export class RefusedError extends Error {
  /** @param {number} status HTTP status, 0: no answer @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @returns {string} empty when none is known */
export function adminToken() {
  try {
    return sessionStorage.getItem(TOKEN_KEY) || "";
  } catch {
    return "";
  }
}

/** @param {string} token empty forgets it */
export function keepAdminToken(token) {
  try {
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    else sessionStorage.removeItem(TOKEN_KEY);
  } catch {
    // Storage refused: the token can't be kept, and the next call will ask for it again.
  }
}

/** @returns {Promise<RoomInfo[]>} */
export async function listRooms() {
  const answer = await call("GET", "/api/rooms");
  const { rooms } = await answer.json();
  return Array.isArray(rooms) ? rooms : [];
}

/** @returns {Promise<RecordList>} */
export async function listRecords() {
  const answer = await call("GET", "/api/records");
  return await answer.json();
}

/** Everybody in it is sent away. @param {string} room */
export async function closeRoom(room) {
  await call("DELETE", `/api/rooms/${encodeURIComponent(room)}`);
}

/** @param {string} room @param {string} login */
export async function removePerson(room, login) {
  await call("DELETE", personPath(room, login));
}

/** The person may turn it on again. @param {string} room @param {string} login @param {{ audio?: boolean, video?: boolean }} what */
export async function mutePerson(room, login, what) {
  await call("POST", `${personPath(room, login)}/mute`, what);
}

/** @param {string} room @param {string} login */
function personPath(room, login) {
  return `/api/rooms/${encodeURIComponent(room)}/participants/${encodeURIComponent(login)}`;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<Response>}
 */
async function call(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = {};
  const token = adminToken();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new RefusedError(0, "The server can't be reached.");
  }
  if (answer.ok) return answer;
  throw new RefusedError(answer.status, await explain(answer));
}

/** @param {Response} answer @returns {Promise<string>} */
async function explain(answer) {
  if (answer.status === 401) return "The server does not accept this admin token.";
  if (answer.status === 403) return "The server does not allow this from here.";
  if (answer.status === 404) return "That room or person is not there any more.";
  const text = (await answer.text().catch(() => "")).trim();
  return `The server refused (${answer.status}${text ? `: ${text}` : ""}).`;
}
