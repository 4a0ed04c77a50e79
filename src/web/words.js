/**
 * Failures in words a person can act on. The words of server and browser stay in
 * brackets where they help whoever is asked for advice.
 */

/** @typedef {[RegExp, string][]} Phrases */

/** @type {Phrases} */
const REFUSALS = [
  [/Room is full/, "The room is full."],
  [/Login is already in use/, "Somebody in the room already has this name. Please choose another one."],
  [/Server is full/, "The server has no room for another call. Please try again later."],
  [/Too many rooms/, "This connection is in too many rooms already."],
  [/Too many joins/, "Too many people are joining from your network at once. Please try again in a moment."],
  [/token is missing/, "This room is open to invited people only: your link carries no access token."],
  [/token has expired/, "Your invitation has expired. Please ask for a new one."],
  [/token is not valid yet/, "Your invitation is not valid yet. Please come back at the agreed time."],
  [/token is for another room/, "Your invitation is for another room."],
  [/token is for another login/, "Your invitation is for another name. Please enter the name it was made for."],
  [
    /does not allow recording/,
    "Your invitation does not allow recording. Join without it, or ask for an invitation that allows it.",
  ],
  [/[Aa]ccess token/, "The server does not accept your invitation. Please ask for a new one."],
];

/** @type {Phrases} */
const ENDINGS = [
  [/replaced by a new session/, "You have joined in another tab or on another device, so this page has left the room."],
  [/removed by the moderator/, "A moderator has removed you from the room."],
  [/room closed by the moderator/, "A moderator has closed the room."],
  [/no answer/, "The server had not heard from this page for a while and ended the call. Join again when you are ready."],
  [/malformed messages/, "The server could not read what this page sent. Please reload the page."],
  [/did not answer in time/, "The server does not answer. Please check the address and your network."],
  [/connection to the server failed/, "The server can't be reached. Please check the address and your network."],
];

/** @type {Phrases} */
const STREAM_FAILURES = [
  [/No common codecs|Transcoding required/, "This browser can't show the video format that is sent."],
  [/ICE|RTP activity/, "The media connection broke. A firewall may block the way to the server."],
  [/DTLS/, "The media connection could not be secured."],
  [/name is already in use/, "Somebody already publishes under this name."],
  [/Restricted access/, "Your invitation lets you watch, not send."],
  [/Removed by the moderator/, "A moderator has stopped it."],
  [/Too many streams/, "Too many pictures are being sent or watched."],
  [/not found|not ready/, "The stream is not there any more."],
  [/session disconnect|Session/, "The connection to the server was lost."],
  [/Local error/, "The browser could not do it."],
];

/** @type {Phrases} */
const CHAT_FAILURES = [
  [/Too many messages/, "too many messages at once"],
  [/No such participant/, "has left"],
  [/Not a member/, "you are not in the room"],
];

/** @type {Map<string, string>} */
const MEDIA_ERRORS = new Map([
  ["NotAllowedError", "The browser did not allow camera and microphone. Allow them for this page, then join again."],
  ["NotFoundError", "Camera or microphone was not found. Plug it in, or join without it."],
  ["NotReadableError", "Camera or microphone is in use by another program."],
  ["AbortError", "Camera or microphone could not be started."],
  ["OverconstrainedError", "The camera can't deliver a suitable picture."],
  ["SecurityError", "Browsers give camera and microphone only to pages served over https."],
]);

/**
 * @param {Phrases} phrases
 * @param {string} info
 * @param {string} [detail]
 * @returns {string}
 */
function phrase(phrases, info, detail) {
  const match = phrases.find(([pattern]) => pattern.test(info));
  const original = detail ? `${info}: ${detail}` : info;
  if (!match) return original;
  // What says the same twice says it once.
  return match[1].toLowerCase().includes(original.toLowerCase()) ? match[1] : `${match[1]} (${original})`;
}

/** Why a stream failed. @param {string | undefined} info @param {string} [detail] @returns {string} */
export function explainStream(info, detail) {
  return info ? phrase(STREAM_FAILURES.concat(REFUSALS), info, detail) : "It failed, and nobody said why.";
}

/** Why the server would not let us in. @param {string | undefined} info @returns {string} */
export function explainRefusal(info) {
  return info ? phrase(REFUSALS.concat(ENDINGS), info) : "The server did not let you into the room.";
}

/** Why the session ended. @param {string | undefined} info @returns {string} */
export function explainEnd(info) {
  return info ? phrase(ENDINGS, info) : "The server closed the connection.";
}

/** Why a message did not arrive. @param {string | undefined} info @returns {string} */
export function explainChat(info) {
  return info ? phrase(CHAT_FAILURES, info) : "the server did not say why";
}

/** Why a recording is over before its stream is. @param {string} called what was recorded @param {string} info @returns {string} */
export function explainRecording(called, info) {
  const why = info.replace(/^The recording of this stream ended(: )?/, "").replace(/^the disk/, "the server's disk");
  return `The recording of your ${called} has ended${why ? `: ${why}` : ""}. The call goes on.`;
}

/** @param {any} error from getUserMedia or the library @returns {string} */
export function explainMedia(error) {
  const name = error instanceof DOMException ? error.name : "";
  return MEDIA_ERRORS.get(name) || `Camera and microphone failed: ${error instanceof Error ? error.message : error}`;
}

/** Whether a stream's failure may be gone at the next try. @param {string | undefined} info @returns {boolean} */
export function isPassing(info) {
  return /ICE|RTP activity|DTLS|not ready/.test(info || "");
}

/** Whether a refusal at the door may be gone at the next try. @param {string | undefined} info @returns {boolean} */
export function isPassingRefusal(info) {
  return /already in use|Too many joins|Server is full|connection to the server|gone silent/.test(info || "");
}
