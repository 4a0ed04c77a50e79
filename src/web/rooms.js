/**
 * The list of rooms and people for an administrator. It is brought up to date in
 * place, so that neither focus nor a half-made decision is lost to a refresh.
 */

import { closeRoom, mutePerson, removePerson } from "./administration.js";
import { copyTemplate, dressAvatar, element, part } from "./dom.js";
import { counted, reconcile, setText } from "./rows.js";

/** @typedef {import("./administration.js").RoomInfo} RoomInfo */
/** @typedef {import("./administration.js").PersonInfo} PersonInfo */

/** So long a pressed button waits for the second press. */
const CONFIRM_MS = 4_000;

/**
 * What can't be taken back asks for a second press.
 * @param {HTMLButtonElement} pressed
 * @param {{ question: string, label: string, act: () => Promise<void> }} deed `label` names it for screen readers
 */
function confirmed(pressed, { question, label, act }) {
  const words = pressed.textContent || "";
  let timer = 0;
  const calm = () => {
    window.clearTimeout(timer);
    timer = 0;
    pressed.textContent = words;
    pressed.setAttribute("aria-label", label);
    pressed.removeAttribute("data-asking");
  };
  calm();
  pressed.onblur = calm;
  pressed.onclick = async () => {
    if (timer === 0) {
      pressed.textContent = question;
      pressed.setAttribute("aria-label", `${label}: press again to confirm`);
      pressed.setAttribute("data-asking", "");
      timer = window.setTimeout(calm, CONFIRM_MS);
      return;
    }
    calm();
    // A disabled button would drop the focus; a busy one only ignores presses.
    if (pressed.getAttribute("aria-busy") === "true") return;
    pressed.setAttribute("aria-busy", "true");
    await act();
    pressed.removeAttribute("aria-busy");
  };
}

/** One participant's row. */
class PersonRow {
  /** @param {string} room @param {string} login @param {(act: () => Promise<void>) => Promise<void>} run */
  constructor(room, login, run) {
    this.root = copyTemplate("personTemplate");
    part(this.root, ".login", HTMLElement).textContent = login;
    dressAvatar(part(this.root, ".avatar", HTMLElement), login);
    confirmed(part(this.root, ".muteAudioBtn", HTMLButtonElement), {
      question: "Really mute?",
      label: `Mute the microphone of ${login}`,
      act: () => run(() => mutePerson(room, login, { audio: true })),
    });
    confirmed(part(this.root, ".muteVideoBtn", HTMLButtonElement), {
      question: "Really mute?",
      label: `Turn off the camera of ${login}`,
      act: () => run(() => mutePerson(room, login, { video: true })),
    });
    confirmed(part(this.root, ".removeBtn", HTMLButtonElement), {
      question: "Really remove?",
      label: `Remove ${login} from the room`,
      act: () => run(() => removePerson(room, login)),
    });
  }

  /** @param {PersonInfo} person */
  show({ streams, plays }) {
    const sent = streams.map((stream) => {
      const codecs = stream.tracks.map(({ codec }) => codec).filter(Boolean).join(", ");
      const what = stream.name.endsWith("-screenShare") ? "screen" : "camera";
      return `${what}${codecs ? ` (${codecs})` : ""}, ${counted(stream.viewers, "viewer")}`;
    });
    const sends = sent.length > 0 ? `sends ${sent.join("; ")}` : "sends nothing";
    setText(part(this.root, ".personFacts", HTMLElement), `${sends} · watches ${plays.length}`);
    for (const name of [".muteAudioBtn", ".muteVideoBtn"]) {
      part(this.root, name, HTMLElement).hidden = streams.length === 0;
    }
  }
}

/** One room with its people. */
class RoomCard {
  /** @param {string} name @param {(act: () => Promise<void>) => Promise<void>} run */
  constructor(name, run) {
    this.root = copyTemplate("roomTemplate");
    /** @private */
    this._name = name;
    /** @private */
    this._run = run;
    /** @private @type {Map<string, PersonRow>} */
    this._rows = new Map();
    part(this.root, ".roomTitle", HTMLElement).textContent = name;
    confirmed(part(this.root, ".closeBtn", HTMLButtonElement), {
      question: "Really close?",
      label: `Close the room ${name}`,
      act: () => run(() => closeRoom(name)),
    });
  }

  /** @param {RoomInfo} room */
  show({ participants }) {
    const streams = participants.flatMap((person) => person.streams);
    const viewers = streams.reduce((sum, stream) => sum + stream.viewers, 0);
    const facts = [
      counted(participants.length, "participant"),
      counted(streams.length, "stream"),
      counted(viewers, "viewer"),
    ];
    setText(part(this.root, ".roomFacts", HTMLElement), facts.join(" · "));
    const list = part(this.root, "ul", HTMLElement);
    reconcile(list, this._rows, participants, {
      key: (person) => person.login,
      make: (person) => new PersonRow(this._name, person.login, this._run),
    });
  }
}

export class RoomList {
  /** @param {() => void} onDone called after a deed @param {(text: string) => void} onTrouble */
  constructor(onDone, onTrouble) {
    /** @private */
    this._root = element("roomList", HTMLElement);
    /** @private @type {Map<string, RoomCard>} */
    this._cards = new Map();
    /** @private @param {() => Promise<void>} act */
    this._run = async (act) => {
      try {
        await act();
        onDone();
      } catch (error) {
        onTrouble(error instanceof Error ? error.message : String(error));
      }
    };
  }

  /** @param {RoomInfo[]} rooms */
  show(rooms) {
    reconcile(this._root, this._cards, rooms, {
      key: (room) => room.name,
      make: (room) => new RoomCard(room.name, this._run),
    });
    const people = rooms.reduce((sum, room) => sum + room.participants.length, 0);
    const count = element("roomsCount", HTMLElement);
    setText(count, rooms.length > 0 ? `${counted(rooms.length, "room")}, ${counted(people, "participant")}` : "");
    element("roomsEmpty", HTMLElement).hidden = rooms.length > 0;
  }

  clear() {
    this.show([]);
    element("roomsEmpty", HTMLElement).hidden = true;
  }
}
