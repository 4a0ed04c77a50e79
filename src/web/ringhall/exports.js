/**
 * Ringhall's client library, last part: what pages may use, under its own name and
 * under the names that existing room pages use: `Flashphoner` (with `roomApi`),
 * `RoomApi`, `SESSION_STATUS`, `ROOM_EVENT` and `STREAM_STATUS`.
 */

var Ringhall = (() => {
  "use strict";

  const { SESSION_STATUS, ROOM_EVENT, STREAM_STATUS, STREAM_EVENT, STREAM_EVENT_TYPE, STREAM_STATUS_INFO } = RinghallWords;
  const { randomHex } = RinghallWords;
  const { LocalMedia } = RinghallMedia;
  const { MEDIA_DEVICE_KIND, canChooseSpeaker, getMediaDevices } = RinghallDevices;
  const { PublishedStream } = RinghallPublished;
  const { PlayedStream } = RinghallPlayed;
  const { Room, Participant, ParticipantStream } = RinghallRoom;
  const { RoomSession } = RinghallSession;
  /** @typedef {RinghallConnectOptions} ConnectOptions */
  /** @typedef {RinghallConstraints} Constraints */

  /** @param {ConnectOptions} options @returns {RoomSession} */
  function connect(options) {
    return new RoomSession(options);
  }

  /** Questions that existing pages ask about the browser. */
  const Browser = Object.freeze({
    isFirefox: () => /Firefox\//.test(navigator.userAgent),
    isChrome: () => /Chrome\//.test(navigator.userAgent) && !/Edg|OPR/.test(navigator.userAgent),
    isChromiumEdge: () => /Edg/.test(navigator.userAgent),
    isSafari: () => /AppleWebKit/.test(navigator.userAgent) && !/Chrome|Android/.test(navigator.userAgent),
    isSafariWebRTC: () => Browser.isSafari() && Boolean(navigator.mediaDevices),
    isAndroid: () => /Android/.test(navigator.userAgent),
    isiOS: () => /iPad|iPhone|iPod/.test(navigator.userAgent),
  });

  /** Checks that this browser can take part at all. */
  function init() {
    if (typeof RTCPeerConnection === "undefined") throw new Error("This browser has no WebRTC");
  }

  /**
   * Asks for camera and microphone and shows them in the display, ready for the
   * next publish there under the same constraints.
   * @param {Constraints | null} constraints
   * @param {HTMLElement} display
   * @returns {Promise<HTMLElement>}
   */
  async function getMediaAccess(constraints, display) {
    await LocalMedia.open(constraints, display);
    return display;
  }

  /** @param {HTMLElement} display @returns {boolean} whether a waiting camera was let go */
  function releaseLocalMedia(display) {
    return LocalMedia.release(display);
  }

  const constants = Object.freeze({
    SESSION_STATUS,
    STREAM_STATUS,
    STREAM_EVENT,
    STREAM_EVENT_TYPE,
    STREAM_STATUS_INFO,
    MEDIA_DEVICE_KIND,
  });

  return {
    connect,
    init,
    getMediaAccess,
    releaseLocalMedia,
    getMediaDevices,
    canChooseSpeaker,
    getMediaProviders: () => ["WebRTC"],
    /** Our video elements need no warm-up; pages written for others may call this. */
    playFirstVideo: () => Promise.resolve(),
    playFirstSound: () => {},
    randomHex,
    constants,
    Browser,
    SESSION_STATUS,
    ROOM_EVENT,
    STREAM_STATUS,
    STREAM_EVENT,
    STREAM_EVENT_TYPE,
    RoomSession,
    Room,
    Participant,
    ParticipantStream,
    PublishedStream,
    PlayedStream,
  };
})();

// Properties, not declarations: a page's own `const SESSION_STATUS = …` stays legal.
Object.assign(globalThis, {
  Ringhall,
  Flashphoner: { ...Ringhall, roomApi: { connect: Ringhall.connect, events: Ringhall.ROOM_EVENT } },
  RoomApi: { connect: Ringhall.connect, events: Ringhall.ROOM_EVENT, sdk: Ringhall },
  SESSION_STATUS: Ringhall.SESSION_STATUS,
  ROOM_EVENT: Ringhall.ROOM_EVENT,
  STREAM_STATUS: Ringhall.STREAM_STATUS,
});
