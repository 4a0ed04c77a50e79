/**
 * Ringhall's client library: what a peer connection's statistics say, once or again
 * and again while a stream lasts.
 */
var RinghallStatistics = (() => {
  "use strict";

  const { surface } = RinghallWords;

  /** The shortest sensible time between two looks, ms: browsers gather numbers no faster. */
  const SHORTEST_INTERVAL_MS = 100;

  /**
   * What flows between two looks. A value is undefined where the browser, or the far
   * end, has not told it.
   * @typedef {Object} Quality
   * @property {number} [bitrateKbps] sound and picture together
   * @property {number} [lossPercent] packets lost on the way, 0 to 100; of a published stream as the server tells
   * @property {number} [roundTripMs] to the server and back
   * @property {number} [framesPerSecond] sent, or decoded
   * @property {number} [width] of the picture on its way
   * @property {number} [height]
   * @property {string} [codec] of the picture, or of the sound where there is no picture: "H264"
   * @property {string} [limitedBy] of a published picture: "none", "cpu", "bandwidth" or "other"
   */

  /** @typedef {{ atMs: number, bytes: number, packets: number, lost: number, frames: number }} Counts */

  /** @param {RTCStatsReport} report @returns {Record<string, any[]>} */
  function groupStats(report) {
    /** @type {Record<string, any[]>} */
    const groups = {};
    report.forEach((entry) => (groups[entry.type] = groups[entry.type] || []).push(entry));
    return groups;
  }

  /** @param {RTCStatsReport} report */
  function summariseStats(report) {
    /** @type {{ outboundStream: Record<string, any>, inboundStream: Record<string, any>, otherStats: Record<string, any> }} */
    const summary = { outboundStream: {}, inboundStream: {}, otherStats: {} };
    const counted = /^(bytes|packets)|Count|^(framesPerSecond|audioLevel|jitter|qualityLimitationReason)$/;
    report.forEach((entry) => {
      if (entry.type === "candidate-pair" && entry.nominated) {
        summary.otherStats.availableOutgoingBitrate = entry.availableOutgoingBitrate;
        summary.otherStats.currentRoundTripTime = entry.currentRoundTripTime;
      }
      if (entry.type !== "outbound-rtp" && entry.type !== "inbound-rtp") return;
      const numbers = Object.fromEntries(Object.entries(entry).filter(([name]) => counted.test(name)));
      const codec = report.get(entry.codecId);
      if (codec) Object.assign(numbers, { codec: codec.mimeType.split("/")[1], codecRate: codec.clockRate });
      if (entry.kind === "video") Object.assign(numbers, { width: entry.frameWidth, height: entry.frameHeight });
      (entry.type === "outbound-rtp" ? summary.outboundStream : summary.inboundStream)[entry.kind] = numbers;
    });
    return summary;
  }

  /** Turns one report after the other of a connection into what happened in between. */
  class QualityMeter {
    constructor() {
      /** @private @type {Counts | null} */
      this._last = null;
    }

    /** @param {RTCStatsReport} report @returns {Quality | null} null for the first, which has no before */
    measure(report) {
      const groups = groupStats(report);
      const sent = groups["outbound-rtp"] || [];
      const flows = sent.length > 0 ? sent : groups["inbound-rtp"] || [];
      if (flows.length === 0) return null;
      const now = QualityMeter._count(flows);
      const before = this._last;
      this._last = now;
      const seconds = before ? (now.atMs - before.atMs) / 1000 : 0;
      if (!before || seconds <= 0) return null;
      const picture = flows.find(({ kind }) => kind === "video");
      const codec = report.get((picture || flows[0]).codecId);
      return {
        bitrateKbps: Math.max(0, Math.round(((now.bytes - before.bytes) * 8) / 1000 / seconds)),
        lossPercent: sent.length > 0 ? farEndLoss(groups) : lossBetween(before, now),
        roundTripMs: roundTrip(groups),
        framesPerSecond: picture && Math.max(0, Math.round((now.frames - before.frames) / seconds)),
        width: picture && picture.frameWidth,
        height: picture && picture.frameHeight,
        codec: codec && codec.mimeType.split("/")[1],
        limitedBy: picture && picture.qualityLimitationReason,
      };
    }

    /** @private @param {any[]} flows entries of one direction @returns {Counts} */
    static _count(flows) {
      const sum = { atMs: 0, bytes: 0, packets: 0, lost: 0, frames: 0 };
      for (const flow of flows) {
        sum.atMs = Math.max(sum.atMs, flow.timestamp);
        sum.bytes += flow.bytesSent || flow.bytesReceived || 0;
        sum.packets += flow.packetsSent || flow.packetsReceived || 0;
        sum.lost += flow.packetsLost || 0;
        sum.frames += flow.framesSent || flow.framesEncoded || flow.framesDecoded || 0;
      }
      return sum;
    }
  }

  /** Lost counts can fall, when a late packet arrives after all. @param {Counts} before @param {Counts} now */
  function lossBetween(before, now) {
    const lost = Math.max(0, now.lost - before.lost);
    const expected = lost + Math.max(0, now.packets - before.packets);
    return expected > 0 ? (lost / expected) * 100 : undefined;
  }

  /**
   * The server's last word on each flow, the worst of them: sound and picture share
   * the way, and the larger loss is what is noticed.
   * @param {Record<string, any[]>} groups
   */
  function farEndLoss(groups) {
    const fractions = (groups["remote-inbound-rtp"] || [])
      .map(({ fractionLost }) => fractionLost)
      .filter((fraction) => typeof fraction === "number");
    return fractions.length > 0 ? Math.max(...fractions) * 100 : undefined;
  }

  /** @param {Record<string, any[]>} groups */
  function roundTrip(groups) {
    const reported = [...(groups["remote-inbound-rtp"] || []), ...(groups["remote-outbound-rtp"] || [])]
      .map(({ roundTripTime }) => roundTripTime);
    // Before the first check is answered, a zero says nothing.
    const checked = (groups["candidate-pair"] || [])
      .filter((pair) => (pair.nominated || pair.selected) && pair.responsesReceived > 0)
      .map(({ currentRoundTripTime }) => currentRoundTripTime);
    const seconds = [...reported.filter((time) => time > 0), ...checked].find((time) => typeof time === "number");
    return seconds === undefined ? undefined : Math.round(seconds * 1000);
  }

  /**
   * @param {() => RTCPeerConnection | null} peer the connection of the moment
   * @param {(quality: Quality) => void} callback
   * @param {number} intervalMs
   * @returns {() => void} ends it
   */
  function watchQuality(peer, callback, intervalMs) {
    const pauseMs = Math.max(SHORTEST_INTERVAL_MS, Number(intervalMs) || 0);
    const meter = new QualityMeter();
    let ended = false;
    let timer = 0;
    const look = async () => {
      const connection = peer();
      // A connection closed during the question has nothing to tell.
      const report = connection && (await connection.getStats().catch(() => null));
      if (ended) return;
      timer = window.setTimeout(look, pauseMs);
      const quality = report && meter.measure(report);
      if (!quality) return;
      try {
        callback(quality);
      } catch (error) {
        surface(error);
      }
    };
    look();
    return () => {
      ended = true;
      window.clearTimeout(timer);
    };
  }

  return { groupStats, summariseStats, watchQuality };
})();
