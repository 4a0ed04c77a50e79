/** The page of recordings: what was recorded in which room, to play and to take away. */

import { listRecords } from "./administration.js";
import { copyTemplate, dressAvatar, element, part } from "./dom.js";
import { AdminGate } from "./gate.js";
import { recordAddress } from "./recording.js";
import { counted, reconcile, setText } from "./rows.js";
import { Theatre, timeText } from "./theatre.js";

/** @typedef {import("./administration.js").RecordInfo} RecordInfo */
/** @typedef {import("./administration.js").RecordList} RecordList */
/** @typedef {{ key: string, room: string | undefined, records: RecordInfo[] }} RecordedSession */

const REFRESH_MS = 10_000;

/** @type {Map<string, string>} Codes of formats, as people know them. */
const FORMATS = new Map([
  ["avc1", "H.264"],
  ["vp08", "VP8"],
  ["mp4a", "AAC"],
  ["ulaw", "G.711 µ-law"],
  ["alaw", "G.711 A-law"],
]);

/** @param {number} bytes */
function sizeText(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let at = 0;
  let size = bytes;
  for (; size >= 1000 && at < units.length - 1; at += 1) size /= 1000;
  return `${at === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[at]}`;
}

/** @param {number} unixUs */
function momentText(unixUs) {
  return new Date(unixUs / 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/** @param {RecordInfo} record */
function seconds({ duration_us: duration }) {
  return (duration ?? 0) / 1e6;
}

/** What it is called in the list. @param {RecordInfo} record */
function title({ login, stream, name }) {
  if (!login) return name;
  return stream?.endsWith("-screenShare") ? `${login} (screen)` : login;
}

/** @param {RecordInfo} record */
function facts(record) {
  const { video, audio } = record;
  const pictures = video && !video.is_filler_only ? `${FORMATS.get(video.codec) ?? video.codec} ${video.width}×${video.height}` : "";
  const sound = audio && !audio.is_filler_only ? FORMATS.get(audio.codec) ?? audio.codec : "";
  const from = record.content_from_us ?? 0;
  const until = record.content_until_us ?? 0;
  // A recording is as long as its room's; who came later or left sooner is told.
  const part = until > 0 && (from > 1e6 || seconds(record) - until / 1e6 > 1);
  return [
    record.login ? pictures || (sound ? "sound only" : "") : "",
    sound,
    seconds(record) > 0 ? timeText(seconds(record)) : "",
    part ? `there from ${timeText(from / 1e6)} to ${timeText(until / 1e6)}` : "",
    sizeText(record.size_bytes),
    record.login ? "" : momentText(record.modified_unix_us),
  ].filter(Boolean).join(" · ");
}

/** One file's row. */
class RecordRow {
  /** @param {RecordInfo} record @param {(records: RecordInfo[]) => void} play */
  constructor(record, play) {
    this.root = copyTemplate("recordTemplate");
    /** @private */
    this._record = record;
    const called = title(record);
    part(this.root, ".login", HTMLElement).textContent = called;
    dressAvatar(part(this.root, ".avatar", HTMLElement), called);
    const playButton = part(this.root, ".playOneBtn", HTMLButtonElement);
    playButton.setAttribute("aria-label", `Play ${called}`);
    playButton.onclick = () => play([this._record]);
    const link = part(this.root, ".download", HTMLAnchorElement);
    link.href = recordAddress(record.name);
    link.download = record.name;
    link.title = record.name;
    link.setAttribute("aria-label", `Download ${called}`);
  }

  /** @param {RecordInfo} record */
  show(record) {
    this._record = record;
    setText(part(this.root, ".recordFacts", HTMLElement), facts(record));
    setText(part(this.root, ".recordTrouble", HTMLElement), record.why ?? "");
    const badge = part(this.root, ".badge", HTMLElement);
    badge.hidden = record.state === "finished";
    badge.dataset.state = record.state;
    setText(badge, record.state === "recording" ? "recording" : "failed");
  }
}

/** What was recorded of one room from its first stream until it was empty. */
class SessionCard {
  /** @param {RecordedSession} session @param {(title: string, records: RecordInfo[]) => void} play */
  constructor(session, play) {
    this.root = copyTemplate("sessionTemplate");
    /** @private @type {Map<string, RecordRow>} */
    this._rows = new Map();
    /** @private */
    this._records = session.records;
    const name = session.room ?? "Other files";
    this._play = (/** @type {RecordInfo[]} */ records) => play(records.length === 1 ? `${name}: ${title(records[0])}` : name, records);
    part(this.root, ".roomTitle", HTMLElement).textContent = name;
    const all = part(this.root, ".playAllBtn", HTMLButtonElement);
    all.setAttribute("aria-label", `Play all of ${name} side by side`);
    all.onclick = () => this._play(this._records);
  }

  /** @param {RecordedSession} session */
  show({ room, records }) {
    this._records = records;
    const longest = Math.max(...records.map(seconds));
    const began = records.map((record) => record.began_unix_us).filter((at) => at !== undefined);
    const size = records.reduce((sum, record) => sum + record.size_bytes, 0);
    const told = [
      began.length > 0 ? momentText(Math.min(...began)) : "",
      longest > 0 ? timeText(longest) : "",
      counted(records.length, "file"),
      sizeText(size),
    ];
    setText(part(this.root, ".roomFacts", HTMLElement), told.filter(Boolean).join(" · "));
    part(this.root, ".playAllBtn", HTMLElement).hidden = room === undefined || records.length < 2;
    reconcile(part(this.root, "ul", HTMLElement), this._rows, records, {
      key: (record) => record.name,
      make: (record) => new RecordRow(record, this._play),
    });
  }
}

/** Newest session first, its files in the order they were begun; at last what no manifest names. @param {RecordInfo[]} records */
function sessions(records) {
  /** @type {Map<string, RecordedSession>} */
  const found = new Map();
  for (const record of records) {
    const key = record.manifest ?? "";
    const session = found.get(key) ?? { key, room: record.room, records: [] };
    session.records.push(record);
    found.set(key, session);
  }
  const others = found.get("");
  found.delete("");
  const began = (/** @type {RecordedSession} */ { records: [first] }) => first.began_unix_us ?? 0;
  const content = (/** @type {RecordInfo} */ record) => (record.began_unix_us ?? 0) + (record.content_from_us ?? 0);
  for (const session of found.values()) {
    session.records.sort((a, b) => content(a) - content(b) || title(a).localeCompare(title(b)));
  }
  const ordered = [...found.values()].sort((a, b) => began(b) - began(a));
  return others ? [...ordered, others] : ordered;
}

class RecordingList {
  /** @param {(title: string, records: RecordInfo[]) => void} play */
  constructor(play) {
    /** @private */
    this._root = element("recordList", HTMLElement);
    /** @private @type {Map<string, SessionCard>} */
    this._cards = new Map();
    /** @private */
    this._play = play;
  }

  /** @param {RecordList} list */
  show({ records, bad_manifests: bad, truncated }) {
    const found = sessions(records);
    reconcile(this._root, this._cards, found, {
      key: (session) => session.key,
      make: (session) => new SessionCard(session, this._play),
    });
    // New ones come first. What stands in its place stays there: moved, it would lose the focus.
    let place = this._root.firstElementChild;
    for (const { key } of found) {
      const { root } = /** @type {SessionCard} */ (this._cards.get(key));
      if (root === place) place = place.nextElementSibling;
      else this._root.insertBefore(root, place);
    }
    setText(element("recordsCount", HTMLElement), records.length > 0 ? counted(records.length, "file") : "");
    element("recordsEmpty", HTMLElement).hidden = records.length > 0;
    element("recordsTruncated", HTMLElement).hidden = !truncated;
    const unread = bad.map(({ name, why }) => `${name} can't be read: ${why}.`);
    setText(element("recordsBad", HTMLElement), unread.join(" "));
  }

  clear() {
    this.show({ records: [], bad_manifests: [], truncated: false });
    element("recordsEmpty", HTMLElement).hidden = true;
  }
}

/** What a file is to the theatre. @param {RecordInfo} record @param {number} origin unix µs where the play begins */
function seat(record, origin) {
  return {
    label: title(record),
    address: recordAddress(record.name),
    offset: ((record.began_unix_us ?? origin) - origin) / 1e6,
    duration: record.state === "recording" ? 0 : seconds(record),
    hasPicture: !record.login || Boolean(record.video && !record.video.is_filler_only),
  };
}

const theatre = new Theatre();
const list = new RecordingList((title, records) => {
  const begins = records.map((record) => record.began_unix_us).filter((at) => at !== undefined);
  const origin = begins.length > 0 ? Math.min(...begins) : 0;
  theatre.open(title, records.map((record) => seat(record, origin)));
});

new AdminGate({
  error: element("recordsError", HTMLElement),
  refreshMs: REFRESH_MS,
  load: async () => list.show(await listRecords()),
  clear: () => {
    list.clear();
    theatre.close();
  },
  allow: (mayBeSeen) => {
    if (!mayBeSeen) {
      const words = "This server shows its recordings at the machine itself only, until an admin token is set.";
      setText(element("recordsError", HTMLElement), words);
    }
  },
});
