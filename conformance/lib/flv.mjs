// FLV files: tags to be sent, and what was received as a file that ffprobe reads.

import { readFileSync, writeFileSync } from 'node:fs';

export const AUDIO = 8;
export const VIDEO = 9;
export const DATA = 18;

/** @typedef {{type: number, timestamp: number, body: Buffer}} Tag */

/** The tags of a file, in order. @returns {Tag[]} */
export function readTags(file) {
  const bytes = readFileSync(file);
  const tags = [];
  // The header tells its length; a back pointer of four bytes stands before each tag.
  let at = bytes.readUInt32BE(5) + 4;
  while (at + 11 <= bytes.length) {
    const length = bytes.readUIntBE(at + 1, 3);
    if (at + 11 + length > bytes.length) break;
    const timestamp = bytes.readUIntBE(at + 4, 3) + bytes[at + 7] * 0x1000000;
    tags.push({ type: bytes[at], timestamp, body: bytes.subarray(at + 11, at + 11 + length) });
    at += 11 + length + 4;
  }
  return tags;
}

/** Writes messages as a file, from time zero. @param {Tag[]} messages */
export function writeTags(file, messages) {
  const first = messages.find(({ type }) => type !== DATA)?.timestamp ?? 0;
  const parts = [Buffer.from('464c5601050000000900000000', 'hex')];
  for (const { type, timestamp, body } of messages) {
    const at = Math.max(timestamp - first, 0);
    const head = Buffer.alloc(11);
    head[0] = type;
    head.writeUIntBE(body.length, 1, 3);
    head.writeUIntBE(at & 0xffffff, 4, 3);
    head[7] = Math.floor(at / 0x1000000);
    const back = Buffer.alloc(4);
    back.writeUInt32BE(11 + body.length);
    parts.push(head, body, back);
  }
  writeFileSync(file, Buffer.concat(parts));
  return file;
}

/** AVC's parameter sets, AAC's configuration, or the sequence start of an Enhanced RTMP codec. */
export function isHeader({ type, body }) {
  if (type === DATA) return true;
  if (type === VIDEO) return body[0] & 0x80 ? (body[0] & 0x0f) === 0 : (body[0] & 0x0f) === 7 && body[1] === 0;
  return body[0] >> 4 === 9 ? (body[0] & 0x0f) === 0 : body[0] >> 4 === 10 && body[1] === 0;
}

export const isKeyFrame = ({ type, body }) => type === VIDEO && ((body[0] >> 4) & 0x07) === 1 && !isHeader({ type, body });

/** A picture of any kind, not a header or the end of a sequence. */
export function isPicture({ type, body }) {
  if (type !== VIDEO || body.length < 5) return false;
  return body[0] & 0x80 ? [1, 3].includes(body[0] & 0x0f) : (body[0] & 0x0f) === 7 && body[1] === 1;
}
