//! What a forwarder owes the receiver of each of its RTP streams, whatever the
//! forwarder does inside: checked on every datagram as it leaves, before the
//! network touches it, and on what was in it when it arrived.

use std::collections::BTreeMap;

use crate::base::time::{Ntp, Time};
use crate::proto::rtx_window::extend_sequence;
use crate::sim::sdp::{self, Answer, AnsweredSection};
use crate::wire::rtcp::SenderReport;
use crate::wire::rtp::Header;
use crate::wire::{h264, vp8};

/// Furthest a packet may be from the newest: beyond it a receiver takes the
/// stream for another one (RFC 3550 appendix A.1).
const DISTANCE_MAX: u64 = 3_000;
/// Largest error of a sender report's clock pair against the one before:
/// rounding of a 90 kHz clock and of NTP's fraction, and no more.
const CLOCK_ERROR_MAX_US: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    Audio,
    Video,
    VideoRtx,
}

/// The streams of one peer connection toward a viewer.
#[derive(Default)]
pub struct Egress {
    streams: BTreeMap<u32, Stream>,
    violations: Vec<String>,
    /// Goodbyes heard.
    pub byes: Vec<u32>,
}

struct Stream {
    kind: StreamKind,
    payload_type: u8,
    extension_ids: Vec<u8>,
    clock_khz: u64,
    /// Every packet sent: extended sequence to timestamp.
    sent: BTreeMap<u64, u32>,
    newest: Option<u64>,
    first: Option<u16>,
    report: Option<(Ntp, u32)>,
}

impl Egress {
    /// Expects what `answer` promised.
    pub fn new(answer: &Answer) -> Self {
        let mut egress = Egress::default();
        let kinds = [
            (StreamKind::Audio, &answer.audio, 0, 48),
            (StreamKind::Video, &answer.video, 0, 90),
            (StreamKind::VideoRtx, &answer.video, 1, 90),
        ];
        for (kind, section, place, clock_khz) in kinds {
            egress.promise(kind, section, place, clock_khz);
        }
        egress
    }

    fn promise(&mut self, kind: StreamKind, section: &AnsweredSection, at: usize, clock_khz: u64) {
        let named = section.ssrcs.get(at).zip(section.payload_types.get(at));
        let Some((ssrc, payload_type)) = named else {
            return;
        };
        let stream = Stream {
            kind,
            payload_type: *payload_type,
            extension_ids: section.extension_ids.clone(),
            clock_khz,
            sent: BTreeMap::new(),
            newest: None,
            first: None,
            report: None,
        };
        if self.streams.insert(*ssrc, stream).is_some() {
            self.violations.push(format!("SSRC {ssrc} answered twice"));
        }
    }

    pub fn kind_of(&self, ssrc: u32) -> Option<StreamKind> {
        self.streams.get(&ssrc).map(|stream| stream.kind)
    }

    /// A protected RTP packet leaves the server.
    pub fn on_wire(&mut self, now: Time, packet: &[u8]) {
        let found = match Header::parse(packet) {
            Ok(header) => self.check_header(&header, packet),
            Err(error) => Some(format!("unreadable header: {error:?}")),
        };
        if let Some(fault) = found {
            self.violations.push(format!("{} us: {fault}", now.as_us()));
        }
    }

    fn check_header(&mut self, header: &Header, packet: &[u8]) -> Option<String> {
        let ssrc = header.ssrc;
        if self.byes.contains(&ssrc) {
            return Some(format!("SSRC {ssrc} goes on after its BYE"));
        }
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return Some(format!("SSRC {ssrc} was not answered"));
        };
        if header.payload_type != stream.payload_type {
            return Some(format!("SSRC {ssrc}: payload type {}", header.payload_type));
        }
        if let Some(id) = stream.foreign_extension(header, packet) {
            return Some(format!("SSRC {ssrc}: extension id {id} was not answered"));
        }
        stream.place(header)
    }

    /// The payload of a video packet arrived whole.
    pub fn on_video(&mut self, now: Time, sequence: u16, ssrc: u32, payload: &[u8]) {
        let Some(stream) = self.streams.get(&ssrc) else {
            return;
        };
        let begins = match stream.payload_type {
            sdp::H264 => h264::keyframe_start(payload),
            _ => vp8::keyframe_start(payload),
        };
        // The same number comes again after 65,536 packets.
        let is_new = |first| {
            stream
                .newest
                .is_some_and(|at| at < u64::from(first) + 0x8000)
        };
        let is_first = stream.first == Some(sequence) && stream.first.is_some_and(is_new);
        if is_first && !begins {
            let at = now.as_us();
            self.violations.push(format!(
                "{at} us: video of {ssrc} begins without a key frame"
            ));
        }
    }

    pub fn on_sender_report(&mut self, now: Time, report: &SenderReport<'_>) {
        let Some(stream) = self.streams.get_mut(&report.ssrc) else {
            let ssrc = report.ssrc;
            self.violations.push(format!("report on SSRC {ssrc}"));
            return;
        };
        let pair = (report.ntp, report.rtp_timestamp);
        let Some((ntp, timestamp)) = stream.report.replace(pair) else {
            return;
        };
        let wall_us = elapsed_us(ntp, report.ntp);
        let units = report.rtp_timestamp.wrapping_sub(timestamp) as i32;
        let media_us = i64::from(units) * 1_000 / stream.clock_khz as i64;
        let at = now.as_us();
        if wall_us < 0 {
            self.violations
                .push(format!("{at} us: report of {} goes back", report.ssrc));
        } else if wall_us.abs_diff(media_us) > CLOCK_ERROR_MAX_US {
            self.violations.push(format!(
                "{at} us: reports of {} are {wall_us} us apart by wall, {media_us} us by media",
                report.ssrc
            ));
        }
    }

    /// Where a timestamp is on the sender's wall clock, in microseconds, by its
    /// last report; `None` before one.
    pub fn wall_us(&self, ssrc: u32, timestamp: u32) -> Option<i64> {
        let stream = self.streams.get(&ssrc)?;
        let (ntp, at) = stream.report?;
        let units = i64::from(timestamp.wrapping_sub(at) as i32);
        let since_us = units * 1_000 / stream.clock_khz as i64;
        let wall_us = (u128::from(ntp.to_bits()) * 1_000_000) >> 32;
        Some(wall_us as i64 + since_us)
    }

    pub fn on_bye(&mut self, ssrcs: impl Iterator<Item = u32>) {
        self.byes.extend(ssrcs);
    }

    /// Media packets sent, retransmissions not counted.
    pub fn packets(&self) -> usize {
        let media = self.streams.values();
        media
            .filter(|stream| stream.kind != StreamKind::VideoRtx)
            .map(|stream| stream.sent.len())
            .sum()
    }
}

/// Everything found against the streams, in order; empty is legal.
pub fn check_egress(egress: &Egress) -> &[String] {
    &egress.violations
}

impl Stream {
    fn foreign_extension(&self, header: &Header, packet: &[u8]) -> Option<u8> {
        (1..=14)
            .find(|id| header.extension(packet, *id).is_some() && !self.extension_ids.contains(id))
    }

    /// Files the packet by its index; says what is wrong with its place.
    fn place(&mut self, header: &Header) -> Option<String> {
        let (ssrc, sequence) = (header.ssrc, header.sequence);
        let newest = self.newest.unwrap_or(u64::from(sequence));
        let index = extend_sequence(newest, sequence);
        self.first.get_or_insert(sequence);
        if index.abs_diff(newest) > DISTANCE_MAX {
            return Some(format!("SSRC {ssrc}: {sequence} is far from {newest}"));
        }
        self.newest = Some(newest.max(index));
        if self.sent.insert(index, header.timestamp).is_some() {
            return Some(format!("SSRC {ssrc}: index {index} used twice"));
        }
        if self.kind == StreamKind::VideoRtx {
            return None;
        }
        let before = self.sent.range(..index).next_back();
        let after = self.sent.range(index + 1..).next();
        let falls = |earlier: u32, later: u32| (later.wrapping_sub(earlier) as i32) < 0;
        let wrong = before.is_some_and(|(_, earlier)| falls(*earlier, header.timestamp))
            || after.is_some_and(|(_, later)| falls(header.timestamp, *later));
        let kind = self.kind;
        let from = before.map(|(_, earlier)| *earlier);
        let to = header.timestamp;
        wrong.then(|| format!("{kind:?} {ssrc}: {sequence} at {to} is out of order: {from:?}"))
    }
}

/// Microseconds from one NTP time to another.
fn elapsed_us(from: Ntp, to: Ntp) -> i64 {
    let units = to.to_bits().wrapping_sub(from.to_bits()) as i64;
    ((i128::from(units) * 1_000_000) >> 32) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtcp::{self, Packet, SenderInfo};

    const AUDIO: u32 = 1;
    const VIDEO: u32 = 2;

    fn egress() -> Egress {
        let section = |payload_types: &[u8], ssrcs: &[u32]| AnsweredSection {
            payload_types: payload_types.to_vec(),
            mid: "0".into(),
            extension_ids: vec![4],
            ssrcs: ssrcs.to_vec(),
        };
        Egress::new(&Answer {
            ufrag: String::new(),
            password: String::new(),
            fingerprint: [0; 32],
            candidate: ([0, 0, 0, 0], 1).into(),
            audio: section(&[111], &[AUDIO]),
            video: section(&[96, 97], &[VIDEO, 3]),
        })
    }

    fn packet(ssrc: u32, payload_type: u8, sequence: u16, timestamp: u32) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet
    }

    /// What is found when the packets leave in this order.
    fn found(packets: &[Vec<u8>]) -> usize {
        let mut egress = egress();
        for packet in packets {
            egress.on_wire(Time::ZERO, packet);
        }
        check_egress(&egress).len()
    }

    #[test]
    fn a_legal_stream_is_left_alone() {
        let video = |sequence, timestamp| packet(VIDEO, 96, sequence, timestamp);
        let wraps = [(65_534, u32::MAX), (65_535, u32::MAX), (0, 2), (1, 9)];
        let packets: Vec<_> = wraps.into_iter().map(|(s, t)| video(s, t)).collect();
        assert_eq!(found(&packets), 0);
        // Late and between its neighbours.
        assert_eq!(found(&[video(7, 5), video(9, 9), video(8, 9)]), 0);
    }

    #[test]
    fn each_planted_fault_is_found() {
        let video = |sequence, timestamp| packet(VIDEO, 96, sequence, timestamp);
        let mut extended = vec![0x90, 96, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2];
        extended.extend([0xbe, 0xde, 0, 1, 0x30, 1, 0, 0]);
        for planted in [
            vec![video(5, 0), video(5, 0)],
            vec![video(5, 9), video(6, 8)],
            vec![video(5, 9), video(7, 12), video(6, 13)],
            vec![video(5, 0), video(4_000, 0)],
            vec![packet(VIDEO, 98, 5, 0)],
            vec![packet(9, 96, 5, 0)],
            vec![extended],
            vec![vec![0x80]],
        ] {
            assert_eq!(found(&planted), 1, "{planted:?}");
        }
    }

    #[test]
    fn video_begins_with_a_key_frame_and_nothing_follows_a_bye() {
        let mut egress = egress();
        egress.on_wire(Time::ZERO, &packet(VIDEO, 96, 5, 0));
        egress.on_video(Time::ZERO, 6, VIDEO, &[0x10, 1]);
        egress.on_video(Time::ZERO, 5, VIDEO, &[0x10, 0]);
        assert!(check_egress(&egress).is_empty());
        egress.on_video(Time::ZERO, 5, VIDEO, &[0x10, 1]);
        assert_eq!(check_egress(&egress).len(), 1);
        egress.on_bye([VIDEO].into_iter());
        egress.on_wire(Time::ZERO, &packet(VIDEO, 96, 6, 0));
        assert_eq!(check_egress(&egress).len(), 2);
    }

    #[test]
    fn reports_keep_to_one_clock() {
        let found = |pairs: &[(u64, u32)]| {
            let mut egress = egress();
            for (us, rtp_timestamp) in pairs {
                let info = SenderInfo {
                    ssrc: VIDEO,
                    ntp: Ntp::from_unix_us(*us),
                    rtp_timestamp: *rtp_timestamp,
                    packet_count: 0,
                    octet_count: 0,
                };
                let mut compound = Vec::new();
                rtcp::sender_report(&mut compound, &info, &[]).unwrap();
                for read in rtcp::packets(&compound) {
                    if let Ok(Packet::SenderReport(report)) = read {
                        egress.on_sender_report(Time::ZERO, &report);
                    }
                }
            }
            check_egress(&egress).len()
        };
        assert_eq!(found(&[(1_000_000, 0), (2_000_000, 90_000)]), 0);
        assert_eq!(found(&[(1_000_000, 0), (2_000_000, 90_300)]), 1);
        assert_eq!(found(&[(2_000_000, 90_000), (1_000_000, 0)]), 1);
    }
}
