// AMF as Flash-era clients speak it: AMF0 both ways, AMF3 values as Flash sends them.

const NUMBER = 0x00;
const BOOLEAN = 0x01;
const STRING = 0x02;
const OBJECT = 0x03;
const NULL = 0x05;
const UNDEFINED = 0x06;
const ECMA_ARRAY = 0x08;
const OBJECT_END = 0x09;
const STRICT_ARRAY = 0x0a;
const DATE = 0x0b;
const LONG_STRING = 0x0c;
const SWITCH_TO_AMF3 = 0x11;

/** What is to be written as an ECMA array, as metadata is. */
export class EcmaArray {
  constructor(entries) {
    this.entries = entries;
  }
}

/** What is to be written as an AMF3 value, after the marker that says so. */
export class Amf3 {
  constructor(value) {
    this.value = value;
  }
}

/** Values one after another, as the body of a message. */
export const encode = (...values) => Buffer.concat(values.map(encodeOne));

function encodeOne(value) {
  if (value === undefined) return Buffer.from([UNDEFINED]);
  if (value === null) return Buffer.from([NULL]);
  if (typeof value === 'number') return Buffer.concat([Buffer.from([NUMBER]), double(value)]);
  if (typeof value === 'boolean') return Buffer.from([BOOLEAN, Number(value)]);
  if (typeof value === 'string') return string(value);
  if (value instanceof Amf3) return Buffer.concat([Buffer.from([SWITCH_TO_AMF3]), encode3(value.value)]);
  if (value instanceof EcmaArray) return Buffer.concat([Buffer.from([ECMA_ARRAY]), u32(Object.keys(value.entries).length), properties(value.entries)]);
  if (Array.isArray(value)) return Buffer.concat([Buffer.from([STRICT_ARRAY]), u32(value.length), ...value.map(encodeOne)]);
  return Buffer.concat([Buffer.from([OBJECT]), properties(value)]);
}

function string(text) {
  const bytes = Buffer.from(text);
  if (bytes.length > 0xffff) return Buffer.concat([Buffer.from([LONG_STRING]), u32(bytes.length), bytes]);
  return Buffer.concat([Buffer.from([STRING]), u16(bytes.length), bytes]);
}

function properties(entries) {
  const parts = Object.entries(entries).map(([key, value]) => Buffer.concat([u16(Buffer.byteLength(key)), Buffer.from(key), encodeOne(value)]));
  return Buffer.concat([...parts, u16(0), Buffer.from([OBJECT_END])]);
}

function double(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

function u16(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function u32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** One AMF3 value; strings said before in it are referred to, as Flash does. */
export function encode3(value) {
  const said = new Map();
  const text = (string) => {
    if (string === '') return u29(1);
    if (said.has(string)) return u29(said.get(string) << 1);
    said.set(string, said.size);
    const bytes = Buffer.from(string);
    return Buffer.concat([u29((bytes.length << 1) | 1), bytes]);
  };
  const one = (it) => {
    if (it === undefined) return Buffer.from([0x00]);
    if (it === null) return Buffer.from([0x01]);
    if (typeof it === 'boolean') return Buffer.from([it ? 0x03 : 0x02]);
    if (Number.isInteger(it) && it >= 0 && it < 1 << 28) return Buffer.concat([Buffer.from([0x04]), u29(it)]);
    if (typeof it === 'number') return Buffer.concat([Buffer.from([0x05]), double(it)]);
    if (typeof it === 'string') return Buffer.concat([Buffer.from([0x06]), text(it)]);
    if (Array.isArray(it)) return Buffer.concat([Buffer.from([0x09]), u29((it.length << 1) | 1), u29(1), ...it.map(one)]);
    // A dynamic object of no class and without sealed members.
    const members = Object.entries(it).map(([key, member]) => Buffer.concat([text(key), one(member)]));
    return Buffer.concat([Buffer.from([0x0a, 0x0b, 0x01]), ...members, Buffer.from([0x01])]);
  };
  return one(value);
}

/** AMF3's integers: seven bits a byte, eight in the fourth. */
export function u29(value) {
  if (value < 0x80) return Buffer.from([value]);
  if (value < 0x4000) return Buffer.from([(value >> 7) | 0x80, value & 0x7f]);
  if (value < 0x200000) return Buffer.from([(value >> 14) | 0x80, ((value >> 7) & 0x7f) | 0x80, value & 0x7f]);
  return Buffer.from([(value >> 22) | 0x80, ((value >> 15) & 0x7f) | 0x80, ((value >> 8) & 0x7f) | 0x80, value & 0xff]);
}

/** Every value of a body. */
export function decode(bytes) {
  const values = [];
  let at = 0;
  while (at < bytes.length) {
    const [value, next] = decodeOne(bytes, at);
    values.push(value);
    at = next;
  }
  return values;
}

function decodeOne(bytes, start) {
  const at = start + 1;
  switch (bytes[start]) {
  case NUMBER: return [bytes.readDoubleBE(at), at + 8];
  case BOOLEAN: return [bytes[at] !== 0, at + 1];
  case STRING: return text(bytes, at + 2, bytes.readUInt16BE(at));
  case LONG_STRING: return text(bytes, at + 4, bytes.readUInt32BE(at));
  case NULL: return [null, at];
  case UNDEFINED: return [undefined, at];
  case OBJECT: return decodeProperties(bytes, at);
  case ECMA_ARRAY: return decodeProperties(bytes, at + 4);
  case DATE: return [new Date(bytes.readDoubleBE(at)), at + 10];
  case STRICT_ARRAY: {
    const list = [];
    let next = at + 4;
    for (let left = bytes.readUInt32BE(at); left > 0; left -= 1) {
      const [value, after] = decodeOne(bytes, next);
      list.push(value);
      next = after;
    }
    return [list, next];
  }
  default: throw new Error(`the server sent AMF of type ${bytes[start]}`);
  }
}

const text = (bytes, at, length) => [bytes.toString('utf8', at, at + length), at + length];

function decodeProperties(bytes, start) {
  const object = {};
  let at = start;
  for (;;) {
    const [key, after] = text(bytes, at + 2, bytes.readUInt16BE(at));
    if (key === '' && bytes[after] === OBJECT_END) return [object, after + 1];
    [object[key], at] = decodeOne(bytes, after);
  }
}
