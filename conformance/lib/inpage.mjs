// Functions that run inside a browser page. Each is sent as text, so it must stand
// alone: nothing of this file or of Node is in reach there.

/**
 * Before any script of the page: remembers every peer connection, and bends the
 * browser where a case asks for it.
 * @param {{audioCodec?: string, videoCodec?: string, dropCandidates?: string, source?: Source}} wish
 * @typedef {{colours: number[][], toneHz: number, colourMs: number, size?: number[], clapHz?: number, clapMs?: number}} Source
 * what is drawn and sung instead of the fake camera and tone; `window.clapAt(unixMs)` makes
 * it white, and of the pitch `clapHz`, for `clapMs` from that instant on
 */
export function instrument(wish) {
  const calls = [];
  Object.defineProperty(window, '__calls', { value: calls });
  const Plain = window.RTCPeerConnection;
  class Watched extends Plain {
    constructor(...args) {
      super(...args);
      calls.push(this);
    }

    createOffer(...args) {
      for (const transceiver of this.getTransceivers()) {
        const { kind } = transceiver.receiver.track;
        const wanted = kind === 'audio' ? wish.audioCodec : wish.videoCodec;
        if (!wanted) continue;
        const types = [`${kind}/${wanted}`, `${kind}/rtx`].map((type) => type.toLowerCase());
        const all = RTCRtpReceiver.getCapabilities(kind).codecs;
        transceiver.setCodecPreferences(all.filter((codec) => types.includes(codec.mimeType.toLowerCase())));
      }
      return super.createOffer(...args);
    }

    setRemoteDescription(description, ...rest) {
      if (wish.dropCandidates && description?.sdp) {
        const lines = description.sdp.split('\r\n');
        const kept = lines.filter((l) => !(l.startsWith('a=candidate:') && l.includes(` ${wish.dropCandidates} `)));
        return super.setRemoteDescription({ type: description.type, sdp: kept.join('\r\n') }, ...rest);
      }
      return super.setRemoteDescription(description, ...rest);
    }
  }
  window.RTCPeerConnection = Watched;

  // The microphone as it is: browsers' voice processing would bend the tone.
  const real = navigator.mediaDevices?.getUserMedia?.bind(navigator.mediaDevices);
  if (!real) return;
  const clap = { atMs: Infinity };
  const singers = [];
  window.clapAt = (atMs) => {
    clap.atMs = atMs;
    const { toneHz, clapHz, clapMs } = wish.source;
    for (const { audio, frequency } of singers) {
      const at = audio.currentTime + (atMs - Date.now()) / 1_000;
      frequency.setValueAtTime(clapHz, at);
      frequency.setValueAtTime(toneHz, at + clapMs / 1_000);
    }
  };
  const clean = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const drawn = () => {
    const canvas = document.createElement('canvas');
    const { colours, colourMs, clapMs, size = [320, 240] } = wish.source;
    [canvas.width, canvas.height] = size;
    const pen = canvas.getContext('2d');
    const draw = () => {
      const at = Math.floor(performance.now() / colourMs) % colours.length;
      const sinceClap = Date.now() - clap.atMs;
      pen.fillStyle = sinceClap >= 0 && sinceClap < clapMs ? 'white' : `rgb(${colours[at].join(',')})`;
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.fillStyle = 'white';
      pen.fillRect(((performance.now() / 10) % 100) + 200, 0, 8, canvas.height);
    };
    draw();
    setInterval(draw, 1000 / 15);
    return canvas.captureStream(15).getVideoTracks()[0];
  };
  const sung = () => {
    const audio = new AudioContext();
    const oscillator = audio.createOscillator();
    oscillator.frequency.value = wish.source.toneHz;
    const quieter = audio.createGain();
    quieter.gain.value = 0.4;
    const out = audio.createMediaStreamDestination();
    oscillator.connect(quieter).connect(out);
    oscillator.start();
    singers.push({ audio, frequency: oscillator.frequency });
    return out.stream.getAudioTracks()[0];
  };
  const given = (asked) => new MediaStream([...(asked.audio ? [sung()] : []), ...(asked.video ? [drawn()] : [])]);
  if (wish.source) {
    // The way the official SDK asks.
    navigator.webkitGetUserMedia = (asked, ready) => ready(given(asked));
  }
  navigator.mediaDevices.getUserMedia = async (asked = {}) => {
    if (wish.source) return given(asked);
    const audio = asked.audio ? { ...(asked.audio === true ? {} : asked.audio), ...clean } : asked.audio;
    return real({ ...asked, audio });
  };
}

/**
 * The mean colour of the picture's left part, about every 80 ms for `spanMs`.
 * @param {{selector: string, spanMs: number}} where
 * @returns {Promise<{atMs: number, rgb: number[]}[]>}
 */
export async function watchColours({ selector, spanMs }) {
  const video = document.querySelector(selector);
  if (!video) throw new Error(`no ${selector} on the page`);
  const canvas = document.createElement('canvas');
  canvas.width = 8;
  canvas.height = 8;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const seen = [];
  const started = performance.now();
  while (performance.now() - started < spanMs) {
    const { videoWidth: width, videoHeight: height } = video;
    if (width > 0) {
      pen.drawImage(video, width * 0.15, height * 0.25, width * 0.2, height * 0.5, 0, 0, 8, 8);
      const { data } = pen.getImageData(0, 0, 8, 8);
      const sum = [0, 0, 0];
      for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c += 1) sum[c] += data[i + c];
      seen.push({ atMs: performance.now() - started, rgb: sum.map((s) => s / (data.length / 4)) });
    }
    await new Promise((resolve) => setTimeout(resolve, 80));
  }
  return seen;
}

/**
 * The loudest frequency of what the element plays, and how far it stands above the middle of the spectrum.
 * @param {{selector: string, spanMs: number}} where
 */
export async function hearTone({ selector, spanMs }) {
  const element = document.querySelector(selector);
  const tracks = element?.srcObject?.getAudioTracks() ?? [];
  if (tracks.length === 0) throw new Error(`${selector} plays no audio track`);
  const audio = new AudioContext();
  await audio.resume();
  const source = audio.createMediaStreamSource(new MediaStream(tracks));
  const analyser = audio.createAnalyser();
  analyser.fftSize = 16384;
  analyser.smoothingTimeConstant = 0;
  source.connect(analyser);
  await new Promise((resolve) => setTimeout(resolve, spanMs));
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  let top = 1;
  for (let i = 1; i < bins.length - 1; i += 1) if (bins[i] > bins[top]) top = i;
  // The peak of a parabola through three bins is finer than a bin.
  const [left, middle, right] = [bins[top - 1], bins[top], bins[top + 1]];
  const bend = left - 2 * middle + right;
  const shift = Number.isFinite(bend) && bend !== 0 ? (0.5 * (left - right)) / bend : 0;
  const hz = ((top + shift) * audio.sampleRate) / analyser.fftSize;
  const median = Array.from(bins).sort((a, b) => a - b)[bins.length >> 1];
  await audio.close();
  return { hz, aboveMedianDb: middle - (Number.isFinite(median) ? median : -160) };
}

/** What every open peer connection of the page says of itself. */
export async function callStats() {
  const out = [];
  for (const call of window.__calls ?? []) {
    if (call.connectionState === 'closed' || call.signalingState === 'closed') continue;
    const report = [...(await call.getStats()).values()];
    const byId = new Map(report.map((s) => [s.id, s]));
    const transport = report.find((s) => s.type === 'transport');
    const pair = byId.get(transport?.selectedCandidatePairId)
      ?? report.find((s) => s.type === 'candidate-pair' && (s.selected || (s.nominated && s.state === 'succeeded')));
    const streams = report.filter((s) => s.type === 'inbound-rtp' || s.type === 'outbound-rtp').map((s) => ({
      direction: s.type === 'inbound-rtp' ? 'in' : 'out',
      kind: s.kind,
      codec: byId.get(s.codecId)?.mimeType,
      packets: s.packetsReceived ?? s.packetsSent ?? 0,
      bytes: s.bytesReceived ?? s.bytesSent ?? 0,
      lost: s.packetsLost ?? 0,
      frames: s.framesDecoded ?? s.framesEncoded ?? 0,
    }));
    out.push({
      connectionState: call.connectionState,
      tlsVersion: transport?.tlsVersion,
      srtpCipher: transport?.srtpCipher,
      remote: byId.get(pair?.remoteCandidateId)?.address,
      outgoingBitrate: pair?.availableOutgoingBitrate,
      bytesSent: pair?.bytesSent,
      streams,
    });
  }
  return out;
}
