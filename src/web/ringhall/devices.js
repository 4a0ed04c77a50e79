/**
 * Ringhall's client library: cameras, microphones and speakers as a page lists them
 * for choosing, and the opening of one that was chosen.
 */
var RinghallDevices = (() => {
  "use strict";

  /** @typedef {{ id: string, label: string, type: "camera" | "mic" | "speaker" }} Device */
  /** @typedef {RinghallConstraints} Constraints */

  /**
   * `audio` and `video` are the lists under the names of existing pages.
   * @typedef {Object} DeviceLists
   * @property {Device[]} cameras
   * @property {Device[]} microphones
   * @property {Device[]} speakers
   * @property {Device[]} audio
   * @property {Device[]} video
   */

  /** Which devices the lists `audio` and `video` hold. */
  const MEDIA_DEVICE_KIND = Object.freeze({ INPUT: "input", OUTPUT: "output", ALL: "all" });

  /** Whether played streams can be sent to a speaker of choice. Needs a page served over https. */
  const canChooseSpeaker = typeof HTMLMediaElement !== "undefined" && "setSinkId" in HTMLMediaElement.prototype;

  /**
   * What can be chosen. Before the first permission browsers give neither labels nor
   * ids: then there is one entry of each kind, called "Camera 1". Plain http pages
   * get empty lists.
   * @param {string} [_provider] ignored; existing pages name one
   * @param {boolean} [askFirst] ask for permission first, so that the labels are known
   * @param {string} [kind] of MEDIA_DEVICE_KIND, for `audio` and `video`
   * @param {Constraints} [permission] what to ask for with `askFirst`
   * @returns {Promise<DeviceLists>}
   */
  async function getMediaDevices(_provider, askFirst = false, kind = MEDIA_DEVICE_KIND.INPUT, permission = {}) {
    if (askFirst) await askPermission(permission);
    const found = navigator.mediaDevices ? await navigator.mediaDevices.enumerateDevices() : [];
    const cameras = devicesOf(found, "videoinput", "camera", "Camera");
    const microphones = devicesOf(found, "audioinput", "mic", "Microphone");
    const speakers = devicesOf(found, "audiooutput", "speaker", "Speaker");
    const inputs = kind !== MEDIA_DEVICE_KIND.OUTPUT;
    const outputs = kind !== MEDIA_DEVICE_KIND.INPUT;
    return {
      cameras,
      microphones,
      speakers,
      audio: [...(inputs ? microphones : []), ...(outputs ? speakers : [])],
      video: inputs ? cameras : [],
    };
  }

  /**
   * @param {MediaDeviceInfo[]} found
   * @param {MediaDeviceKind} kind
   * @param {Device["type"]} type
   * @param {string} noun stands in, numbered, for a label that the browser keeps back
   * @returns {Device[]}
   */
  function devicesOf(found, kind, type, noun) {
    return found
      // Windows' second name for one of the others.
      .filter((device) => device.kind === kind && device.deviceId !== "communications")
      .map(({ deviceId, label }, index) => ({ id: deviceId, label: label || `${noun} ${index + 1}`, type }));
  }

  /** @param {Constraints} permission */
  async function askPermission({ audio = true, video = true }) {
    if (!navigator.mediaDevices) throw new DOMException("Devices need a page served over https", "SecurityError");
    const stream = await navigator.mediaDevices.getUserMedia({ audio, video });
    for (const track of stream.getTracks()) track.stop();
  }

  /**
   * The device after `currentId` in the browser's list, round and round.
   * @param {"cameras" | "microphones"} list
   * @param {string | undefined} currentId
   * @returns {Promise<string>}
   */
  async function nextDevice(list, currentId) {
    const devices = (await getMediaDevices())[list];
    if (devices.length < 2) throw new Error("There is no other device to switch to");
    const at = devices.findIndex(({ id }) => id === currentId);
    return devices[(at + 1) % devices.length].id;
  }

  /**
   * Opens one device in place of `old`. Some machines can't open a second camera or
   * microphone beside the first: there the old one is stopped before another try,
   * and opened again should that fail too.
   * @param {"audio" | "video"} kind
   * @param {MediaTrackConstraints} constraints
   * @param {MediaStreamTrack} old
   * @returns {Promise<MediaStreamTrack>}
   */
  async function openInstead(kind, constraints, old) {
    try {
      return await openTrack(kind, constraints);
    } catch (error) {
      const busy = error instanceof DOMException && (error.name === "NotReadableError" || error.name === "AbortError");
      if (!busy || old.readyState === "ended") throw error;
      old.stop();
      return openTrack(kind, constraints);
    }
  }

  /**
   * @param {"audio" | "video"} kind
   * @param {MediaTrackConstraints} constraints
   * @returns {Promise<MediaStreamTrack>}
   */
  async function openTrack(kind, constraints) {
    if (!navigator.mediaDevices) throw new DOMException("Devices need a page served over https", "SecurityError");
    const stream = await navigator.mediaDevices.getUserMedia({ [kind]: constraints });
    return stream.getTracks()[0];
  }

  return { MEDIA_DEVICE_KIND, canChooseSpeaker, getMediaDevices, nextDevice, openInstead, openTrack };
})();
