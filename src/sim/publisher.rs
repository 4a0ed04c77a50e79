//! The sending half of a simulated browser: Opus-like audio and VP8 video with
//! contents a viewer can verify, retransmissions on request, reports, and a
//! memory of what the server said about it.

use crate::base::random::Noise;
use crate::base::time::{Ntp, Span, Time, short_ntp_from_span};
use crate::sim::h264_content::{self, PictureKind};
use crate::sim::peer_connection::{Clear, ClearRtp};
use crate::sim::sdp::{
    AUDIO_LEVEL_ID, H264, H264_RTX, MID_ID, OPUS, ORIENTATION_ID, Ssrcs, TRANSPORT_CC_ID, VP8,
    VP8_RTX,
};
use crate::wire::rtcp::{self, Dlrr, ExtendedBlock, Packet, SenderInfo};

pub const AUDIO_INTERVAL: Span = Span::from_ms(20);
/// 30 frames a second.
pub const VIDEO_INTERVAL: Span = Span::from_us(33_333);
const REPORT_INTERVAL: Span = Span::from_secs(1);
/// Between two packets of a browser in which nobody talks (RFC 7587 section
/// 3.1.3).
const SILENT_INTERVAL: Span = Span::from_ms(400);
/// What it says then: 20 ms of which nothing is told.
const COMFORT_NOISE: &[u8] = &[0x78, 0x00];
/// Video packets kept for retransmission; libwebrtc keeps 600.
const KEPT_PACKETS: usize = 1_024;
/// Bytes of contents before the filler: frame, index, count, key, time.
pub const CONTENT_BYTES: usize = 4 + 2 + 2 + 1 + 8;

/// Bytes of H.264 in a fragment.
const FRAGMENT_BYTES: usize = 880;

/// What a browser sends, and takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// Its video is H.264, otherwise VP8.
    pub h264: bool,
    /// Its sound is real: these packets, again and again; of a viewer, that
    /// nothing is written in it. Otherwise every packet tells what it is.
    pub sound: Option<&'static [Vec<u8>]>,
    pub sound_interval: Span,
    pub picture_interval: Span,
    /// Of sound and pictures, where not by chance.
    pub first_timestamps: Option<(u32, u32)>,
    /// How fast its media clocks run, in millionths too much; its wall clock
    /// is right.
    pub clock_ppm: i64,
}

impl Media {
    pub const USUAL: Media = Media {
        h264: false,
        sound: None,
        sound_interval: AUDIO_INTERVAL,
        picture_interval: VIDEO_INTERVAL,
        first_timestamps: None,
        clock_ppm: 0,
    };
    pub const H264: Media = Media {
        h264: true,
        ..Media::USUAL
    };
}

/// A frame as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentFrame {
    pub id: u32,
    pub at: Time,
    pub packets: u16,
    pub is_key: bool,
}

/// What the server's RTCP told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub receiver_reports: u64,
    /// Packets lost for good, by the last report on video.
    pub video_lost: i32,
    pub nacked: u64,
    pub resent: u64,
    pub keyframe_requests: u64,
    /// Transport-wide feedback: packets reported arrived, and missing.
    pub reported_arrived: u64,
    pub reported_missing: u64,
    pub remb_bps: Option<u64>,
}

pub struct Publisher {
    pub ssrcs: Ssrcs,
    pub frames: Vec<SentFrame>,
    /// When each audio packet left; its number is the index.
    pub audio: Vec<Time>,
    pub told: Told,
    /// Packets with a transport-wide number sent.
    pub transport_packets: u64,
    /// Pictures are made.
    pub camera_on: bool,
    /// They are of a screen, and larger.
    shows_screen: bool,
    /// Somebody talks; otherwise a packet now and then says that nobody does.
    pub talks: bool,
    media: Media,
    noise: Noise,
    mid_audio: String,
    mid_video: String,
    started: Option<Time>,
    audio_due: Time,
    video_due: Time,
    report_due: Time,
    audio_out: Outgoing,
    video_out: Outgoing,
    rtx_out: Outgoing,
    key_wanted: bool,
    /// Key frames come by this alone; otherwise when asked for.
    pub key_interval: Option<Span>,
    key_due: Time,
    kept: Vec<Option<Kept>>,
    /// Of the path, as checks measured it.
    rtt: Span,
    /// Server's receiver reference time to answer: its SSRC, middle bits, arrival.
    reference: Option<(u32, u32, Time)>,
}

/// One outgoing RTP stream.
#[derive(Default)]
struct Outgoing {
    next_index: u64,
    first_timestamp: u32,
    packets: u32,
    octets: u32,
}

/// A video packet that may be asked for again.
struct Kept {
    index: u64,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
    resent: Option<Time>,
}

impl Publisher {
    pub fn new(mut noise: Noise, key_interval: Option<Span>, media: Media) -> Self {
        let mut outgoing = || Outgoing {
            // libwebrtc, too, starts in the lower half.
            next_index: 1 + noise.below(0x7fff),
            first_timestamp: noise.next_u32(),
            ..Outgoing::default()
        };
        let (mut audio_out, mut video_out, rtx_out) = (outgoing(), outgoing(), outgoing());
        if let Some((audio, video)) = media.first_timestamps {
            audio_out.first_timestamp = audio;
            video_out.first_timestamp = video;
        }
        let ssrcs = Ssrcs {
            audio: noise.next_u32() | 1,
            video: noise.next_u32() & !3 | 2,
            video_rtx: noise.next_u32() & !3,
        };
        Publisher {
            ssrcs,
            frames: Vec::new(),
            audio: Vec::new(),
            told: Told::default(),
            transport_packets: 0,
            camera_on: true,
            shows_screen: false,
            talks: true,
            media,
            noise,
            mid_audio: "0".to_string(),
            mid_video: "1".to_string(),
            started: None,
            audio_due: Time::ZERO,
            video_due: Time::ZERO,
            report_due: Time::ZERO,
            audio_out,
            video_out,
            rtx_out,
            key_wanted: true,
            key_interval,
            key_due: Time::ZERO,
            kept: (0..KEPT_PACKETS).map(|_| None).collect(),
            rtt: Span::from_ms(100),
            reference: None,
        }
    }

    /// The keys are there: media flows from now on.
    pub fn start(&mut self, now: Time, rtt: Option<Span>) {
        self.started = Some(now);
        self.audio_due = now;
        self.video_due = now;
        self.report_due = now + Span::from_ms(100);
        self.rtt = rtt.unwrap_or(self.rtt);
    }

    /// From now on it shows its screen, or its camera again.
    pub fn switch_screen(&mut self, shows_screen: bool) {
        self.shows_screen = shows_screen;
        self.key_wanted = true;
    }

    pub fn next_due(&self) -> Option<Time> {
        self.started?;
        [self.audio_due, self.video_due, self.report_due]
            .into_iter()
            .min()
    }

    /// Sends what is due at `now`.
    pub fn poll(&mut self, now: Time, wall: Ntp, clear: &mut Clear) {
        let Some(started) = self.started else {
            return;
        };
        if now >= self.audio_due {
            self.audio_due = self.audio_due
                + match self.talks {
                    true => self.media.sound_interval,
                    false => SILENT_INTERVAL,
                };
            self.send_audio(now, started, clear);
        }
        if now >= self.video_due {
            self.video_due = self.video_due + self.media.picture_interval;
            if self.camera_on {
                self.send_frame(now, started, clear);
            }
        }
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            self.send_reports(now, started, wall, clear);
        }
    }

    fn send_audio(&mut self, now: Time, started: Time, clear: &mut Clear) {
        let id = self.audio.len() as u32;
        self.audio.push(now);
        let timestamp = self.audio_out.timestamp(self.running(now, started), 48);
        let mut payload = id.to_be_bytes().to_vec();
        payload.extend(now.as_us().to_be_bytes());
        payload.resize(40 + self.noise.below(60) as usize, id as u8);
        if let Some(real) = self.media.sound {
            let packet = real.get(id as usize % real.len().max(1));
            payload = packet.cloned().unwrap_or_default();
        }
        if !self.talks {
            payload = COMFORT_NOISE.to_vec();
        }
        let level = [0x80 | (id % 0x7f) as u8];
        let mid = self.mid_audio.clone();
        let extensions: [(u8, &[u8]); 3] = [
            (AUDIO_LEVEL_ID, &level),
            (TRANSPORT_CC_ID, &self.transport_number()),
            (MID_ID, mid.as_bytes()),
        ];
        let index = self.audio_out.take(payload.len());
        let head = Head {
            ssrc: self.ssrcs.audio,
            payload_type: OPUS,
            marker: id == 0,
            index,
            timestamp,
        };
        clear.rtp.push(head.write(&extensions, &payload));
    }

    fn send_frame(&mut self, now: Time, started: Time, clear: &mut Clear) {
        let is_key = match self.key_interval {
            None => std::mem::take(&mut self.key_wanted),
            Some(_) => now >= self.key_due,
        };
        if is_key {
            self.key_due = now + self.key_interval.unwrap_or_default();
        }
        let packets = if is_key { 8 } else { 4 } + self.noise.below(3) as u16;
        let id = self.frames.len() as u32;
        let timestamp = self.video_out.timestamp(self.running(now, started), 90);
        self.frames.push(SentFrame {
            id,
            at: now,
            packets,
            is_key,
        });
        if self.media.h264 {
            let sets = match self.shows_screen {
                true => h264_content::screen_sets(),
                false => [h264_content::SPS.to_vec(), h264_content::PPS.to_vec()],
            };
            for (payload, marker) in h264_payloads(&sets, id, now, is_key, packets) {
                self.send_video(timestamp, marker, payload, clear);
            }
            return;
        }
        for index in 0..packets {
            let mut payload = vp8_head(id, index, is_key);
            payload.extend(id.to_be_bytes());
            payload.extend(index.to_be_bytes());
            payload.extend(packets.to_be_bytes());
            payload.push(u8::from(is_key));
            payload.extend(now.as_us().to_be_bytes());
            let filler = (id as u8).wrapping_add(index as u8);
            let last = index + 1 == packets;
            // Encoders fill packets and leave the last what remains, or, as
            // libwebrtc, split evenly: the later packets are a byte longer.
            let is_even = id % 2 == 1;
            let len = if last && !is_even {
                100 + self.noise.below(500)
            } else {
                900 + u64::from(is_even && index >= packets / 2)
            } as usize;
            payload.resize(len, filler);
            self.send_video(timestamp, last, payload, clear);
        }
    }

    fn send_video(&mut self, timestamp: u32, marker: bool, payload: Vec<u8>, clear: &mut Clear) {
        let index = self.video_out.take(payload.len());
        let head = Head {
            ssrc: self.ssrcs.video,
            payload_type: if self.media.h264 { H264 } else { VP8 },
            marker,
            index,
            timestamp,
        };
        let number = self.transport_number();
        let mid = self.mid_video.clone();
        let orientation = [0];
        let mut extensions: Vec<(u8, &[u8])> =
            vec![(TRANSPORT_CC_ID, &number), (MID_ID, mid.as_bytes())];
        if marker {
            extensions.push((ORIENTATION_ID, &orientation));
        }
        clear.rtp.push(head.write(&extensions, &payload));
        let place = index as usize % KEPT_PACKETS;
        if let Some(place) = self.kept.get_mut(place) {
            *place = Some(Kept {
                index,
                timestamp,
                marker,
                payload,
                resent: None,
            });
        }
    }

    /// What its media clocks say has passed.
    fn running(&self, now: Time, started: Time) -> Span {
        let passed = now.since(started);
        let ahead = passed.as_us() as i64 * self.media.clock_ppm / 1_000_000;
        Span::from_us(passed.as_us().saturating_add_signed(ahead))
    }

    /// RFC 4588 section 4; like libwebrtc not twice within a round trip.
    fn resend(&mut self, now: Time, sequence: u16, clear: &mut Clear) {
        let rtt = self.rtt;
        let place = usize::from(sequence) % KEPT_PACKETS;
        let Some(kept) = self.kept.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let too_soon = kept.resent.is_some_and(|at| now.since(at) < rtt);
        if kept.index as u16 != sequence || too_soon {
            return;
        }
        kept.resent = Some(now);
        let mut payload = sequence.to_be_bytes().to_vec();
        payload.extend(&kept.payload);
        let (timestamp, marker) = (kept.timestamp, kept.marker);
        let index = self.rtx_out.take(payload.len());
        let head = Head {
            ssrc: self.ssrcs.video_rtx,
            payload_type: if self.media.h264 { H264_RTX } else { VP8_RTX },
            marker,
            index,
            timestamp,
        };
        let number = self.transport_number();
        let mid = self.mid_video.clone();
        let extensions: [(u8, &[u8]); 2] = [(TRANSPORT_CC_ID, &number), (MID_ID, mid.as_bytes())];
        clear.rtp.push(head.write(&extensions, &payload));
        self.told.resent += 1;
    }

    fn send_reports(&mut self, now: Time, started: Time, wall: Ntp, clear: &mut Clear) {
        let mut compound = Vec::new();
        let streams = [
            (self.ssrcs.audio, &self.audio_out, 48),
            (self.ssrcs.video, &self.video_out, 90),
        ];
        for (ssrc, outgoing, units_per_ms) in streams {
            let info = SenderInfo {
                ssrc,
                ntp: wall,
                rtp_timestamp: outgoing.timestamp(self.running(now, started), units_per_ms),
                packet_count: outgoing.packets,
                octet_count: outgoing.octets,
            };
            // Without blocks, and with a short name, both always fit.
            let _ = rtcp::sender_report(&mut compound, &info, &[]);
            let _ = rtcp::sdes_cname(&mut compound, ssrc, b"simulated");
        }
        if let Some((ssrc, last_reference, at)) = self.reference.take() {
            let entry = Dlrr {
                ssrc,
                last_reference,
                delay_since: short_ntp_from_span(now.since(at)),
            };
            let _ = rtcp::dlrr(&mut compound, self.ssrcs.video, &[entry]);
        }
        clear.rtcp.push(compound);
    }

    /// Takes the server's decrypted RTCP.
    pub fn receive_rtcp(&mut self, now: Time, compound: &[u8], clear: &mut Clear) {
        for packet in rtcp::packets(compound).flatten() {
            match packet {
                Packet::ReceiverReport(report) => {
                    self.told.receiver_reports += 1;
                    for block in report.reports.filter(|b| b.ssrc == self.ssrcs.video) {
                        self.told.video_lost = block.cumulative_lost;
                    }
                }
                Packet::Nack(nack) if nack.media_ssrc == self.ssrcs.video => {
                    for sequence in nack.lost {
                        self.told.nacked += 1;
                        self.resend(now, sequence, clear);
                    }
                }
                Packet::Pli(pli) if pli.media_ssrc == self.ssrcs.video => {
                    self.told.keyframe_requests += 1;
                    self.key_wanted = true;
                }
                Packet::Remb(remb) => self.told.remb_bps = Some(remb.bitrate_bps),
                Packet::TransportFeedback(feedback) => {
                    for (_, arrival) in feedback.arrivals() {
                        match arrival {
                            Some(_) => self.told.reported_arrived += 1,
                            None => self.told.reported_missing += 1,
                        }
                    }
                }
                Packet::ExtendedReport(report) => {
                    for block in report.blocks {
                        if let ExtendedBlock::ReferenceTime(ntp) = block {
                            self.reference = Some((report.ssrc, ntp.middle(), now));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn transport_number(&mut self) -> [u8; 2] {
        let number = self.transport_packets as u16;
        self.transport_packets += 1;
        number.to_be_bytes()
    }
}

impl Outgoing {
    fn take(&mut self, payload_bytes: usize) -> u64 {
        let index = self.next_index;
        self.next_index += 1;
        self.packets += 1;
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
        index
    }

    fn timestamp(&self, running: Span, units_per_ms: u64) -> u32 {
        let units = running.as_us() * units_per_ms / 1_000;
        self.first_timestamp.wrapping_add(units as u32)
    }
}

/// A VP8 payload descriptor with a 15-bit picture id (RFC 7741 section 4.2),
/// and before the first packet's contents the head of a frame (RFC 6386
/// section 9.1).
fn vp8_head(frame: u32, index: u16, is_key: bool) -> Vec<u8> {
    let start = if index == 0 { 0x10 } else { 0 };
    let [high, low] = ((frame as u16 & 0x7fff) | 0x8000).to_be_bytes();
    let mut head = vec![0x80 | start, 0x80, high, low];
    if index == 0 {
        head.extend([
            u8::from(!is_key),
            0,
            0,
            0x9d,
            0x01,
            0x2a,
            0x80,
            0x02,
            0xe0,
            0x01,
        ]);
    }
    head
}

/// A picture in `packets` packets, and which of them ends it: parameter sets
/// together before a key frame, then fragments (RFC 6184 sections 5.7.1, 5.8).
fn h264_payloads(
    parameter_sets: &[Vec<u8>],
    id: u32,
    now: Time,
    is_key: bool,
    packets: u16,
) -> Vec<(Vec<u8>, bool)> {
    let mut payloads = Vec::new();
    if is_key {
        let mut sets = vec![0x78];
        for set in parameter_sets {
            sets.extend((set.len() as u16).to_be_bytes());
            sets.extend(set);
        }
        payloads.push((sets, false));
    }
    let kind = match is_key {
        true => PictureKind::Key,
        false => PictureKind::Predicted,
    };
    let fragments = usize::from(packets) - payloads.len();
    let unit = h264_content::picture(kind, id, now.as_us(), fragments * FRAGMENT_BYTES - 300);
    let (head, body) = unit.split_at(1);
    let head = head.first().copied().unwrap_or_default();
    let count = body.len().div_ceil(FRAGMENT_BYTES);
    for (number, piece) in body.chunks(FRAGMENT_BYTES).enumerate() {
        let (start, end) = (u8::from(number == 0), u8::from(number + 1 == count));
        let mut payload = vec![head & 0xe0 | 28, start << 7 | end << 6 | head & 0x1f];
        payload.extend(piece);
        payloads.push((payload, end == 1));
    }
    payloads
}

/// Bytes before the contents of packet `index` of a frame.
pub fn content_at(index_is_first: bool) -> usize {
    if index_is_first { 14 } else { 4 }
}

struct Head {
    ssrc: u32,
    payload_type: u8,
    marker: bool,
    index: u64,
    timestamp: u32,
}

impl Head {
    /// The packet in clear, with `extensions` in the one-byte form of RFC 8285.
    fn write(&self, extensions: &[(u8, &[u8])], payload: &[u8]) -> ClearRtp {
        let mut bytes = Vec::with_capacity(64 + payload.len());
        bytes.push(0x90);
        bytes.push(u8::from(self.marker) << 7 | self.payload_type);
        bytes.extend((self.index as u16).to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        let mut block = Vec::new();
        for (id, data) in extensions {
            block.push(id << 4 | (data.len() as u8 - 1));
            block.extend(*data);
        }
        block.resize(block.len().next_multiple_of(4), 0);
        bytes.extend([0xbe, 0xde]);
        bytes.extend(((block.len() / 4) as u16).to_be_bytes());
        bytes.extend(block);
        let header_len = bytes.len();
        bytes.extend(payload);
        ClearRtp {
            ssrc: self.ssrc,
            index: self.index,
            header_len,
            bytes,
        }
    }
}
