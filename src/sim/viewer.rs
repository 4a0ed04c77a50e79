//! The receiving half of a simulated browser: puts frames together from what
//! arrives, asks for what is missing as libwebrtc does, reports, and remembers
//! when each frame was whole and when it could be shown.

use std::collections::BTreeMap;

use crate::base::time::{Span, Time};
use crate::proto::reception::Reception;
use crate::proto::rtx_window::extend_sequence;
use crate::sim::egress::{Egress, StreamKind};
use crate::sim::h264_content;
use crate::sim::peer_connection::Clear;
use crate::sim::publisher::{CONTENT_BYTES, Media, content_at};
use crate::wire::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::wire::rtcp::{self, Packet, ReportBlock};
use crate::wire::rtp::{self, Header};

/// How long a gap may be reordering before the first request.
const REORDER_TOLERANCE: Span = Span::from_ms(10);
/// Requests for one packet; libwebrtc's number.
const TRIES_MAX: u8 = 10;
/// Until a round trip is known; libwebrtc's number. A receiver never learns it.
const RETRY: Span = Span::from_ms(100);
/// Gaps beyond this are answered with a key frame; libwebrtc's number.
const GAP_MAX: u64 = 1_000;
/// Without a picture for so long, a key frame is asked for.
const STUCK_AFTER: Span = Span::from_ms(300);
const REPORT_INTERVAL: Span = Span::from_secs(1);

/// A frame as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct SeenFrame {
    pub sent: Time,
    pub is_key: bool,
    /// As the server gave it: of all the frame's packets, resent ones too.
    pub timestamp: u32,
    packets: u16,
    /// One bit a packet.
    got: u64,
    /// When the last of its packets was there.
    pub complete: Option<Time>,
}

/// Sound as it arrived.
#[derive(Clone, Debug)]
pub struct SeenSound {
    pub at: Time,
    pub timestamp: u32,
    /// Of real sound.
    pub packet: Vec<u8>,
}

/// A packet of H.264.
struct Piece {
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

/// Packets of H.264 kept to put frames together.
const PIECES_KEPT: u64 = 2_000;

const SOUND: usize = 0;
const PICTURE: usize = 1;

#[derive(Clone, Copy)]
struct Missing {
    index: u64,
    due: Time,
    tries: u8,
}

pub struct Viewer {
    pub egress: Egress,
    pub frames: BTreeMap<u32, SeenFrame>,
    /// Frames that could be decoded, in order, with the time of each.
    pub pictures: Vec<(u32, Time)>,
    /// Audio packets by their number: sent, arrived.
    pub audio: BTreeMap<u32, (Time, Time)>,
    /// Every packet of sound, in order of arrival.
    pub sounds: Vec<SeenSound>,
    /// Most that sound and pictures were apart, by sender reports, against when
    /// they were made; of what was made since the first packet came.
    pub skew_max: Span,
    pub sender_reports: u64,
    pub nacked: u64,
    pub recovered: u64,
    pub plis: u64,
    /// Contents that are not what a publisher sent.
    pub violations: Vec<String>,
    media: Media,
    pieces: BTreeMap<u64, Piece>,
    first_piece: Option<u64>,
    first_at: Option<Time>,
    offsets_us: [Option<i64>; 2],
    ssrc: u32,
    video_ssrc: Option<u32>,
    audio_ssrc: Option<u32>,
    missing: Vec<Missing>,
    highest: Option<u64>,
    video_reception: Reception,
    audio_reception: Reception,
    report_due: Time,
    next_picture: Option<u32>,
    /// When the picture last moved, or video first arrived.
    moved: Option<Time>,
    started: bool,
}

impl Viewer {
    pub fn new(ssrc: u32, media: Media) -> Self {
        Viewer {
            egress: Egress::default(),
            frames: BTreeMap::new(),
            pictures: Vec::new(),
            audio: BTreeMap::new(),
            sounds: Vec::new(),
            skew_max: Span::default(),
            media,
            pieces: BTreeMap::new(),
            first_piece: None,
            first_at: None,
            offsets_us: [None; 2],
            sender_reports: 0,
            nacked: 0,
            recovered: 0,
            plis: 0,
            violations: Vec::new(),
            ssrc,
            video_ssrc: None,
            audio_ssrc: None,
            missing: Vec::new(),
            highest: None,
            video_reception: Reception::new(),
            audio_reception: Reception::new(),
            report_due: Time::ZERO,
            next_picture: None,
            moved: None,
            started: false,
        }
    }

    pub fn start(&mut self, now: Time) {
        self.started = true;
        self.report_due = now + REPORT_INTERVAL;
    }

    /// Takes a decrypted RTP packet; `index` is its SRTP index.
    pub fn receive(&mut self, now: Time, header: &Header, packet: &[u8], index: u64) {
        let Ok(len) = rtp::payload_len(header, packet) else {
            return self.violations.push("bad padding".to_string());
        };
        let payload = packet.get(header.len..header.len + len).unwrap_or_default();
        self.first_at.get_or_insert(now);
        match self.egress.kind_of(header.ssrc) {
            Some(StreamKind::Audio) => {
                self.audio_ssrc = Some(header.ssrc);
                self.audio_reception
                    .on_packet(index, header.timestamp, 48_000, now);
                self.take_audio(now, payload, header);
            }
            Some(StreamKind::Video) => {
                self.video_ssrc = Some(header.ssrc);
                self.video_reception
                    .on_packet(index, header.timestamp, 90_000, now);
                self.egress
                    .on_video(now, header.sequence, header.ssrc, payload);
                self.note_sequence(now, index);
                self.take_packet(now, payload, header, index);
            }
            Some(StreamKind::VideoRtx) => {
                let original = rtp::rtx_original_sequence(payload);
                let (Some((sequence, payload)), Some(highest)) = (original, self.highest) else {
                    return self.violations.push("RTX without an original".to_string());
                };
                self.recovered += 1;
                let index = extend_sequence(highest, sequence);
                self.note_sequence(now, index);
                self.take_packet(now, payload, header, index);
            }
            // The wire check has complained already.
            None => {}
        }
    }

    fn take_audio(&mut self, now: Time, payload: &[u8], header: &Header) {
        let is_real = self.media.sound.is_some();
        self.sounds.push(SeenSound {
            at: now,
            timestamp: header.timestamp,
            packet: if is_real {
                payload.to_vec()
            } else {
                Vec::new()
            },
        });
        if is_real {
            return;
        }
        let (Some(id), Some(sent)) = (u32_at(payload, 0), u64_at(payload, 4)) else {
            return self.violations.push("audio cut short".to_string());
        };
        if payload.iter().skip(12).any(|byte| *byte != id as u8) {
            self.violations.push(format!("audio {id} was changed"));
        }
        let before = self.audio.insert(id, (Time::from_us(sent), now));
        if before.is_some() {
            self.violations.push(format!("audio {id} came twice"));
        }
        self.compare(SOUND, header.ssrc, header.timestamp, Time::from_us(sent));
    }

    /// Where this is by the server's clock, less when it was made.
    fn compare(&mut self, lane: usize, ssrc: u32, timestamp: u32, made: Time) {
        if self.first_at.is_none_or(|first| made < first) {
            return;
        }
        let wall_us = self.egress.wall_us(ssrc, timestamp);
        self.offsets_us[lane] = wall_us.map(|wall| wall - made.as_us() as i64);
        if let [Some(sound), Some(picture)] = self.offsets_us {
            let apart = Span::from_us(sound.abs_diff(picture));
            self.skew_max = self.skew_max.max(apart);
        }
    }

    fn take_packet(&mut self, now: Time, payload: &[u8], header: &Header, index: u64) {
        if !self.media.h264 {
            return self.take_video(now, payload, header);
        }
        self.first_piece.get_or_insert(index);
        let piece = Piece {
            timestamp: header.timestamp,
            marker: header.marker,
            payload: payload.to_vec(),
        };
        self.pieces.insert(index, piece);
        while let Some((oldest, _)) = self.pieces.first_key_value()
            && *oldest + PIECES_KEPT < index
        {
            self.pieces.pop_first();
        }
        self.moved.get_or_insert(now);
        if let Some((first, last)) = self.whole_around(index) {
            self.take_picture(now, first, last);
        }
    }

    /// The packets of the frame that packet `index` is of, if all are there.
    fn whole_around(&self, index: u64) -> Option<(u64, u64)> {
        let timestamp = self.pieces.get(&index)?.timestamp;
        let is_of_it = |index: u64| {
            let piece = self.pieces.get(&index);
            piece.is_some_and(|piece| piece.timestamp == timestamp)
        };
        let mut first = index;
        while is_of_it(first - 1) {
            first -= 1;
        }
        let mut last = index;
        while !self.pieces.get(&last)?.marker && is_of_it(last + 1) {
            last += 1;
        }
        let begins = self.pieces.contains_key(&(first - 1)) || self.first_piece == Some(first);
        (begins && self.pieces.get(&last)?.marker).then_some((first, last))
    }

    fn take_picture(&mut self, now: Time, first: u64, last: u64) {
        let Some(timestamp) = self.pieces.get(&first).map(|piece| piece.timestamp) else {
            return;
        };
        let payloads = self.pieces.range(first..=last);
        let slice = slice_of(payloads.map(|(_, piece)| piece.payload.as_slice()));
        let Some(written) = h264_content::read(&slice) else {
            let text = format!("frame at {timestamp} was changed");
            return self.violations.push(text);
        };
        let sent = Time::from_us(written.at_us);
        let known = self.frames.get(&written.id);
        if known.is_some_and(|known| known.timestamp == timestamp) {
            // One of its packets came again.
            return;
        }
        let before = self.frames.insert(
            written.id,
            SeenFrame {
                sent,
                is_key: written.is_key,
                timestamp,
                packets: (last - first + 1) as u16,
                got: 0,
                complete: Some(now),
            },
        );
        if before.is_some() && self.plis == 0 {
            self.violations
                .push(format!("frame {} came twice", written.id));
        }
        self.show(now, written.id);
        // A kept one that was asked for is shown now, whenever it was made.
        if let (Some(ssrc), None) = (self.video_ssrc, before) {
            self.compare(PICTURE, ssrc, timestamp, sent);
        }
    }

    fn take_video(&mut self, now: Time, payload: &[u8], header: &Header) {
        let (marker, timestamp) = (header.marker, header.timestamp);
        let is_first = u8_at(payload, 0).is_some_and(|descriptor| descriptor & 0x10 != 0);
        let content = payload.get(content_at(is_first)..).unwrap_or_default();
        let read = || {
            Some((
                u32_at(content, 0)?,
                u16_at(content, 4)?,
                u16_at(content, 6)?,
                u8_at(content, 8)? == 1,
                u64_at(content, 9)?,
            ))
        };
        let Some((id, index, packets, is_key, sent)) = read() else {
            return self.violations.push("video cut short".to_string());
        };
        let filler = (id as u8).wrapping_add(index as u8);
        let whole = content.iter().skip(CONTENT_BYTES).all(|b| *b == filler);
        if !whole || marker != (index + 1 == packets) || is_first != (index == 0) {
            self.violations
                .push(format!("frame {id} packet {index} was changed"));
        }
        let frame = self.frames.entry(id).or_insert(SeenFrame {
            sent: Time::from_us(sent),
            is_key,
            timestamp,
            packets,
            got: 0,
            complete: None,
        });
        // Who asks for a key frame may get kept ones again, as new pictures.
        if frame.timestamp != timestamp && self.plis == 0 {
            self.violations
                .push(format!("frame {id} has more than one timestamp"));
        }
        frame.got |= 1u64.checked_shl(u32::from(index)).unwrap_or(0);
        if frame.complete.is_none() && frame.got.count_ones() == u32::from(frame.packets) {
            frame.complete = Some(now);
            self.show(now, id);
        }
        self.moved.get_or_insert(now);
    }

    /// Decodes what can be decoded now that frame `id` is whole.
    fn show(&mut self, now: Time, id: u32) {
        let is_key = self.frames.get(&id).is_some_and(|frame| frame.is_key);
        if is_key && self.next_picture.is_none_or(|next| id > next) {
            self.next_picture = Some(id);
        }
        let Some(mut next) = self.next_picture else {
            return;
        };
        while self.frames.get(&next).is_some_and(|f| f.complete.is_some()) {
            self.pictures.push((next, now));
            self.moved = Some(now);
            next += 1;
        }
        self.next_picture = Some(next);
    }

    fn note_sequence(&mut self, now: Time, index: u64) {
        self.missing.retain(|missing| missing.index != index);
        let Some(highest) = self.highest else {
            self.highest = Some(index);
            return;
        };
        if index <= highest {
            return;
        }
        self.highest = Some(index);
        if index - highest > GAP_MAX {
            self.missing.clear();
            return;
        }
        self.missing
            .extend((highest + 1..index).map(|index| Missing {
                index,
                due: now + REORDER_TOLERANCE,
                tries: 0,
            }));
    }

    pub fn next_due(&self) -> Option<Time> {
        if !self.started {
            return None;
        }
        let asked = self.missing.iter().map(|missing| missing.due).min();
        let stuck = self.moved.map(|moved| moved + STUCK_AFTER);
        [asked, stuck, Some(self.report_due)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Asks for and reports what is due at `now`.
    pub fn poll(&mut self, now: Time, clear: &mut Clear) {
        if !self.started {
            return;
        }
        let mut compound = Vec::new();
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            self.write_report(now, &mut compound);
        }
        if let Some(ssrc) = self.video_ssrc {
            self.write_requests(now, ssrc, &mut compound);
        }
        if !compound.is_empty() {
            clear.rtcp.push(compound);
        }
    }

    fn write_requests(&mut self, now: Time, ssrc: u32, compound: &mut Vec<u8>) {
        let mut wanted = Vec::new();
        let mut given_up = false;
        self.missing.retain_mut(|missing| {
            if missing.due > now {
                return true;
            }
            if missing.tries >= TRIES_MAX {
                given_up = true;
                return false;
            }
            missing.tries += 1;
            missing.due = now + RETRY;
            wanted.push(missing.index as u16);
            true
        });
        self.nacked += rtcp::nack(compound, self.ssrc, ssrc, &wanted) as u64;
        let stuck = self.moved.is_some_and(|moved| now >= moved + STUCK_AFTER);
        if stuck || given_up {
            self.moved = Some(now);
            self.plis += 1;
            rtcp::pli(compound, self.ssrc, ssrc);
        }
    }

    fn write_report(&mut self, now: Time, compound: &mut Vec<u8>) {
        let streams = [
            (self.audio_ssrc, &mut self.audio_reception),
            (self.video_ssrc, &mut self.video_reception),
        ];
        let blocks: Vec<ReportBlock> = streams
            .into_iter()
            .filter_map(|(ssrc, reception)| {
                let report = reception.report(now)?;
                Some(ReportBlock {
                    ssrc: ssrc?,
                    fraction_lost: report.fraction_lost,
                    cumulative_lost: report.cumulative_lost,
                    highest_sequence: report.extended_highest,
                    jitter: report.jitter,
                    last_sender_report: report.lsr,
                    delay_since: report.dlsr,
                })
            })
            .collect();
        // Two blocks always fit.
        let _ = rtcp::receiver_report(compound, self.ssrc, &blocks);
    }

    /// Takes the server's decrypted RTCP.
    pub fn receive_rtcp(&mut self, now: Time, compound: &[u8]) {
        for packet in rtcp::packets(compound) {
            match packet {
                Ok(Packet::SenderReport(report)) => {
                    self.sender_reports += 1;
                    self.egress.on_sender_report(now, &report);
                    if self.video_ssrc == Some(report.ssrc) {
                        self.video_reception.on_sender_report(report.ntp, now);
                    } else {
                        self.audio_reception.on_sender_report(report.ntp, now);
                    }
                }
                Ok(Packet::Bye(bye)) => self.egress.on_bye(bye.ssrcs),
                Ok(_) => {}
                Err(error) => self.violations.push(format!("RTCP: {error:?}")),
            }
        }
    }

    /// When each timestamp of sound is by the server's clock, in microseconds.
    pub fn sound_wall_us(&self, timestamp: u32) -> Option<i64> {
        self.egress.wall_us(self.audio_ssrc?, timestamp)
    }

    pub fn picture_wall_us(&self, timestamp: u32) -> Option<i64> {
        self.egress.wall_us(self.video_ssrc?, timestamp)
    }

    /// The longest time without a new picture, from the first to `until`.
    pub fn longest_gap(&self, until: Time) -> Span {
        let times = self.pictures.iter().map(|(_, at)| *at);
        let ends = times.clone().skip(1).chain([until]);
        times
            .zip(ends)
            .map(|(from, to)| to.since(from))
            .max()
            .unwrap_or_default()
    }
}

/// The slice in a frame's payloads, put together from its fragments.
fn slice_of<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut slice = Vec::new();
    for payload in payloads {
        match payload {
            [head, fragment, rest @ ..] if head & 0x1f == 28 => {
                if fragment & 0x80 != 0 {
                    slice = vec![head & 0xe0 | fragment & 0x1f];
                }
                slice.extend(rest);
            }
            [head, ..] if matches!(head & 0x1f, 1 | 5) => slice = payload.to_vec(),
            _ => {}
        }
    }
    slice
}
