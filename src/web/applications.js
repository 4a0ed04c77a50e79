/**
 * The three applications that share one page: what each is called, whom it has
 * room for, how it lays its pictures out, and what it asks of a camera.
 */

/**
 * @typedef {Object} Application
 * @property {string} title
 * @property {string} purpose one sentence for the door
 * @property {number} seats who finds so many others in the room is told that it is full
 * @property {"grid" | "pair"} layout equal tiles, or one large picture with the own one in its corner
 * @property {boolean} sharing whether a screen can be shared
 * @property {Record<string, any>} video what is asked of the camera
 */

/** A face among several: sharp enough full-window, light enough times a roomful. */
const FACE_AMONG_MANY = { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 25 }, maxBitrate: 900 };

/** The only other face: it fills the window. */
const FACE_IN_FULL = { width: { ideal: 960 }, height: { ideal: 540 }, frameRate: { ideal: 25 }, maxBitrate: 1500 };

/** Text has to stay legible; movement may be slow. */
export const SCREEN = {
  audio: false,
  video: { type: "screen", width: 1920, height: 1080, frameRate: 12, maxBitrate: 2000 },
};

/** By the last part of the page's address. @type {Map<string, Application>} */
const APPLICATIONS = new Map([
  [
    "conference.html",
    {
      title: "Conference",
      purpose: "A video call for a group. The picture grows with the room.",
      seats: Infinity,
      layout: "grid",
      sharing: true,
      video: FACE_AMONG_MANY,
    },
  ],
  [
    "two-way.html",
    {
      title: "Two Way Video Chat",
      purpose: "A video call for two people.",
      seats: 2,
      layout: "pair",
      sharing: false,
      video: FACE_IN_FULL,
    },
  ],
  [
    "two-way-screen.html",
    {
      title: "Two Way Video Chat & Screen",
      purpose: "A video call for two people who show each other their screens.",
      seats: 2,
      layout: "pair",
      sharing: true,
      video: FACE_IN_FULL,
    },
  ],
]);

/** @returns {Application} the one whose address this page has */
export function thisApplication() {
  const name = location.pathname.split("/").pop() || "";
  const found = APPLICATIONS.get(name) || APPLICATIONS.get("conference.html");
  if (!found) throw new Error("No application has this address");
  return found;
}
