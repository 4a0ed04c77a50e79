/** The landing page: the way to the applications, and for administrators the rooms. */

import { listRooms } from "./administration.js";
import { element } from "./dom.js";
import { AdminGate } from "./gate.js";
import { RoomList } from "./rooms.js";

const REFRESH_MS = 3_000;

/** Links of the time when the conference was at this address. */
function forwardInvitation() {
  if (!new URLSearchParams(location.search).has("roomName")) return false;
  location.replace(`conference.html${location.search}`);
  return true;
}

/** An access token leaves the address bar and the history at once. @returns {string | null} */
function takeToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (token !== null) {
    address.searchParams.delete("token");
    history.replaceState(null, "", address.href);
  }
  return token;
}

/** A room named here is the one that the applications open. @param {string | null} token goes with it */
function wireRoomField(token) {
  const field = element("room", HTMLInputElement);
  const links = [...document.querySelectorAll(".applications a")].map((link) => /** @type {HTMLAnchorElement} */ (link));
  field.oninput = () => {
    const name = field.value.trim();
    const query = new URLSearchParams();
    if (name) query.set("roomName", name);
    if (token) query.set("token", token);
    for (const link of links) link.search = query.toString();
  };
  // Browsers put words back into fields when a page is returned to.
  field.oninput(new Event("input"));
}

/** The rooms, for administrators; to others there is nothing. */
function wireRooms() {
  const list = new RoomList(() => gate.refresh(), (text) => gate.complain(text));
  const gate = new AdminGate({
    error: element("roomsError", HTMLElement),
    refreshMs: REFRESH_MS,
    load: async () => list.show(await listRooms()),
    clear: () => list.clear(),
    allow: (mayBeSeen) => {
      element("rooms", HTMLElement).hidden = !mayBeSeen;
    },
  });
}

if (!forwardInvitation()) {
  wireRoomField(takeToken());
  wireRooms();
}
