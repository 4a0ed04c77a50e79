/**
 * Ringhall's client library: local media. Opens cameras, microphones and screens,
 * shows them, and knows which of them wait in which display.
 */
var RinghallMedia = (() => {
  "use strict";

  const { DEFAULT_VIDEO, IDLE_SUFFIX, uuid } = RinghallWords;
  /** @typedef {RinghallConstraints} Constraints */
  /** @typedef {RinghallPicture} Picture */

  /** @param {boolean} muted @param {boolean} [controls] @returns {HTMLVideoElement} */
  function createVideo(muted, controls) {
    const video = document.createElement("video");
    video.muted = muted;
    video.playsInline = true;
    video.controls = Boolean(controls);
    return video;
  }

  /** Cameras, microphones and screens; and which of them wait in which display. */
  class LocalMedia {
    /**
     * Opens what the constraints ask for and shows it, silent, in the display. A
     * camera already waiting there under the same constraints is kept.
     * @param {Constraints | null} constraints
     * @param {HTMLElement | null} [display]
     * @returns {Promise<Picture>}
     */
    static async open(constraints, display = null) {
      const wanted = LocalMedia._normalise(constraints || { audio: true, video: true });
      const key = JSON.stringify(wanted);
      const waiting = display && LocalMedia._idle.get(display);
      if (waiting && waiting.key === key && LocalMedia._live(waiting.picture)) return waiting.picture;
      if (display) LocalMedia.release(display);
      const picture = LocalMedia.show(await LocalMedia._capture(wanted), display, true);
      if (display) {
        // Another camera may have come to wait there while the person was being asked.
        LocalMedia.release(display);
        LocalMedia._idle.set(display, { picture, key });
      }
      return picture;
    }

    /**
     * The constraints with another device chosen. They stay what they were in
     * everything else, so that the new picture has the old one's size.
     * @param {Constraints | null} constraints
     * @param {"audio" | "video"} kind
     * @param {string} deviceId
     * @returns {Constraints}
     */
    static choose(constraints, kind, deviceId) {
      const wanted = LocalMedia._normalise(constraints || { audio: true, video: true });
      const { facingMode, ...rest } = typeof wanted[kind] === "object" ? wanted[kind] : {};
      return { ...wanted, [kind]: deviceId ? { ...rest, deviceId: { exact: deviceId } } : rest };
    }

    /**
     * @param {MediaStream} stream
     * @param {HTMLElement | null} display
     * @param {boolean} owned whether we opened the stream and so may stop its tracks
     * @returns {Picture}
     */
    static show(stream, display, owned) {
      const video = createVideo(true);
      video.id = uuid() + IDLE_SUFFIX;
      video.srcObject = stream;
      if (display) display.append(video);
      // Refused only while the page is hidden or closing; the picture is local, nothing is lost.
      video.play().catch(() => {});
      return { stream, video, display, owned };
    }

    /** Claims a waiting picture for a stream. @param {Picture} picture @param {string} id */
    static take(picture, id) {
      LocalMedia._unlist(picture);
      picture.video.id = id;
    }

    /** Lets a picture go that nobody came to use. @param {Picture} picture */
    static discard(picture) {
      LocalMedia._unlist(picture);
      LocalMedia._close(picture);
    }

    /** @private @param {Picture} picture */
    static _unlist({ display, video }) {
      const waiting = display && LocalMedia._idle.get(display);
      if (display && waiting && waiting.picture.video === video) LocalMedia._idle.delete(display);
    }

    /**
     * Ends a stream's use of a picture: it waits in the display for the next
     * publish under the same constraints, or is let go.
     * @param {Picture} picture
     * @param {Constraints | null} keepFor
     */
    static giveBack(picture, keepFor) {
      if (keepFor && picture.owned && picture.display && LocalMedia._live(picture)) {
        for (const track of picture.stream.getTracks()) track.enabled = true;
        picture.video.id += IDLE_SUFFIX;
        const key = JSON.stringify(LocalMedia._normalise(keepFor));
        LocalMedia.release(picture.display);
        LocalMedia._idle.set(picture.display, { picture, key });
      } else {
        LocalMedia._close(picture);
      }
    }

    /** @param {HTMLElement} display @returns {boolean} whether something was waiting there */
    static release(display) {
      const waiting = LocalMedia._idle.get(display);
      if (!waiting) return false;
      LocalMedia._idle.delete(display);
      LocalMedia._close(waiting.picture);
      return true;
    }

    /** @private @param {Picture} picture */
    static _close(picture) {
      if (picture.owned) for (const track of picture.stream.getTracks()) track.stop();
      picture.video.srcObject = null;
      picture.video.remove();
    }

    /** @private @param {Picture} picture */
    static _live(picture) {
      return picture.stream.getTracks().every((track) => track.readyState === "live");
    }

    /**
     * @private
     * @param {Constraints} constraints
     * @returns {Promise<MediaStream>}
     */
    static _capture(constraints) {
      const devices = navigator.mediaDevices;
      if (!devices) {
        return Promise.reject(new DOMException("Cameras need a page served over https", "SecurityError"));
      }
      const { audio, video } = constraints;
      if (typeof video === "object" && video.type === "screen") {
        const { type, ...size } = video;
        return devices.getDisplayMedia({ video: size, audio: audio || false });
      }
      return devices.getUserMedia({ audio: audio || false, video: video || false });
    }

    /** @private @param {Constraints} constraints @returns {Constraints} */
    static _normalise(constraints) {
      const { audio, video } = constraints;
      if (video === true) return { audio, video: { ...DEFAULT_VIDEO } };
      if (video && typeof video === "object" && !video.width && !video.height && video.type !== "screen") {
        return { audio, video: { ...video, ...DEFAULT_VIDEO } };
      }
      return { audio, video };
    }
  }
  /** Cameras open and shown but published by nobody. @type {WeakMap<HTMLElement, { picture: Picture, key: string }>} */
  LocalMedia._idle = new WeakMap();

  return { LocalMedia, createVideo };
})();
