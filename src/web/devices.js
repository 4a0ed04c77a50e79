/**
 * Which camera, microphone and speaker a person uses: the three fields, and the
 * browser's memory of what was chosen.
 */

import { element, recall, remember } from "./dom.js";

/** @typedef {"camera" | "microphone" | "speaker"} DeviceKind */
/** @typedef {{ id: string, label: string }} Device */

/** @type {DeviceKind[]} */
const KINDS = ["camera", "microphone", "speaker"];

export class Devices {
  constructor() {
    /** @private @type {Record<DeviceKind, HTMLSelectElement>} */
    this._fields = {
      camera: element("cameraSelect", HTMLSelectElement),
      microphone: element("microphoneSelect", HTMLSelectElement),
      speaker: element("speakerSelect", HTMLSelectElement),
    };
    /** @private @type {Record<DeviceKind, string>} */
    this._current = { camera: "", microphone: "", speaker: "" };
    /** Called when the person chooses another. @type {(kind: DeviceKind, id: string) => void} */
    this.onChange = () => {};
    for (const kind of KINDS) {
      this._fields[kind].onchange = () => {
        remember(kind, this._fields[kind].value);
        this._current[kind] = this._fields[kind].value;
        this.onChange(kind, this._fields[kind].value);
      };
    }
    if (navigator.mediaDevices) navigator.mediaDevices.addEventListener("devicechange", () => this.refresh());
    this.refresh();
  }

  /** @param {DeviceKind} kind @returns {string} id of the chosen device, empty: the browser's choice */
  chosen(kind) {
    return recall(kind);
  }

  /** Takes back a choice that could not be followed. @param {DeviceKind} kind */
  forget(kind) {
    remember(kind, "");
    this.refresh();
  }

  /** What is in use now, whoever chose it. @param {DeviceKind} kind @param {string} id */
  setCurrent(kind, id) {
    this._current[kind] = id;
  }

  /** Browsers tell names only once the camera is allowed: called again then. */
  async refresh() {
    try {
      const { cameras, microphones, speakers } = await Ringhall.getMediaDevices();
      this._fill("camera", cameras);
      this._fill("microphone", microphones);
      this._fill("speaker", Ringhall.canChooseSpeaker ? speakers : []);
    } catch (error) {
      console.warn("Devices can't be listed:", error);
      for (const kind of KINDS) this._fill(kind, []);
    }
  }

  /** @private @param {DeviceKind} kind @param {Device[]} devices */
  _fill(kind, devices) {
    const field = this._fields[kind];
    // Without permission there is one of each kind, without an id: nothing to choose.
    const named = devices.filter(({ id }) => id);
    field.replaceChildren(...named.map(({ id, label }) => new Option(label, id)));
    const wanted = [this._current[kind], this.chosen(kind)].find((id) => named.some((device) => device.id === id));
    if (wanted) field.value = wanted;
    const row = field.closest(".field");
    if (row instanceof HTMLElement) row.hidden = named.length === 0;
  }
}
