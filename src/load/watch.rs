//! A viewer's end of a stream: takes packets, asks for what is missing as browsers
//! do, reports, and counts what came, when, and what did not.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::time::{Span, Time};
use crate::load::numbers::Numbers;
use crate::load::sdp::Remote;
use crate::load::stamp::Stamp;
use crate::load::tally::Tally;
use crate::proto::nack::NackGenerator;
use crate::proto::reception::Reception;
use crate::proto::rtx_window::extend_sequence;
use crate::wire::rtcp::{self, Packet};
use crate::wire::rtp;

/// As libwebrtc reports, of sound alone less often.
const REPORT_INTERVAL: Span = Span::from_secs(1);
const SOUND_REPORT_INTERVAL: Span = Span::from_secs(5);
/// Without a whole key frame so long, one is asked for, as browsers do.
const PLI_INTERVAL: Span = Span::from_ms(1_000);
/// For retransmissions, until the first is measured.
const RTT: Span = Span::from_ms(30);
/// Frames under construction that are remembered.
const FRAMES_MAX: usize = 64;

/// One track as it arrives.
struct Track {
    is_video: bool,
    payload_type: u8,
    rtx: Option<u8>,
    ssrc: Option<u32>,
    nack: NackGenerator,
    reception: Reception,
    highest: Option<u64>,
    /// Of the publisher's packets, in the time that counts.
    numbers: Numbers,
}

/// A frame that is arriving.
struct Arriving {
    places: [u64; 4],
    left: u8,
}

pub struct Watch {
    tracks: Vec<Track>,
    local_ssrc: u32,
    report_due: Time,
    pli_due: Time,
    frames: BTreeMap<u32, Arriving>,
    last_whole: Option<Time>,
    pub has_packet: bool,
    pub has_key_frame: bool,
    /// When what is sent counts, in microseconds.
    counted: Range<u64>,
    bytes: u64,
    missing: Vec<u16>,
    /// Packets since the last look, for the length of runs.
    run: u64,
}

impl Watch {
    pub fn new(now: Time, remote: &Remote, local_ssrc: u32, counted: Range<u64>) -> Self {
        let track = |section: &crate::load::sdp::Section| Track {
            is_video: section.is_video,
            payload_type: section.payload_type,
            rtx: section.rtx,
            ssrc: None,
            nack: NackGenerator::new(),
            reception: Reception::new(),
            highest: None,
            numbers: Numbers::default(),
        };
        Watch {
            tracks: remote.sections.iter().map(track).collect(),
            local_ssrc,
            report_due: now + REPORT_INTERVAL,
            pli_due: now + PLI_INTERVAL,
            frames: BTreeMap::new(),
            last_whole: None,
            has_packet: false,
            has_key_frame: !remote.sections.iter().any(|section| section.is_video),
            counted,
            bytes: 0,
            missing: Vec::new(),
            run: 0,
        }
    }

    /// Takes a decrypted packet that came at `now`.
    pub fn take(
        &mut self,
        now: Time,
        header: &rtp::Header,
        packet: &[u8],
        index: u64,
        tally: &mut Tally,
    ) {
        let known = |track: &&mut Track| {
            track.payload_type == header.payload_type || track.rtx == Some(header.payload_type)
        };
        let Some(track) = self.tracks.iter_mut().find(known) else {
            return;
        };
        let len = rtp::payload_len(header, packet).unwrap_or(0);
        let Some(mut payload) = packet.get(header.len..header.len + len) else {
            return;
        };
        let is_rtx = track.rtx == Some(header.payload_type);
        let ext_seq = if is_rtx {
            let Some((sequence, original)) = rtp::rtx_original_sequence(payload) else {
                return;
            };
            payload = original;
            tally.add("retransmissions_received", 1);
            extend_sequence(track.highest.unwrap_or(0), sequence)
        } else {
            track.ssrc = Some(header.ssrc);
            track.highest = track.highest.max(Some(index));
            let rate = if track.is_video { 90_000 } else { 48_000 };
            track
                .reception
                .on_packet(index, header.timestamp, rate, now);
            index
        };
        track.nack.on_packet(ext_seq, now);
        self.has_packet = true;
        self.run += 1;
        let Some(stamp) = Stamp::read(payload) else {
            return;
        };
        let is_video = track.is_video;
        if self.counted.contains(&stamp.sent_us) {
            track.numbers.note(stamp.number);
            self.bytes += packet.len() as u64;
            tally.record("latency_us", now.as_us().saturating_sub(stamp.sent_us));
        }
        if is_video {
            self.build(now, &stamp, tally);
        }
    }

    /// Puts a packet in its frame.
    fn build(&mut self, now: Time, stamp: &Stamp, tally: &mut Tally) {
        let frame = self.frames.entry(stamp.frame).or_insert(Arriving {
            places: [0; 4],
            left: stamp.packets,
        });
        let (word, bit) = (usize::from(stamp.place / 64), 1 << (stamp.place % 64));
        let Some(places) = frame.places.get_mut(word) else {
            return;
        };
        if *places & bit != 0 {
            return;
        }
        *places |= bit;
        frame.left = frame.left.saturating_sub(1);
        if frame.left == 0 {
            self.has_key_frame |= stamp.is_key;
            if self.counted.contains(&stamp.sent_us)
                && let Some(last) = self.last_whole
            {
                tally.record("freeze_us", now.since(last).as_us());
            }
            self.last_whole = Some(now);
        }
        while self.frames.len() > FRAMES_MAX {
            self.frames.pop_first();
        }
    }

    /// Everything that waited was read: a run ended.
    pub fn end_run(&mut self, tally: &mut Tally) {
        if self.run > 0 {
            tally.record("train", self.run);
        }
        self.run = 0;
    }

    pub fn next_due(&self) -> Time {
        let nacks = self.tracks.iter().filter_map(|track| track.nack.next_due());
        let due = nacks.fold(self.report_due, Time::min);
        if self.has_key_frame {
            due
        } else {
            due.min(self.pli_due)
        }
    }

    /// The RTCP due at `now`.
    pub fn poll(&mut self, now: Time, tally: &mut Tally) -> Vec<u8> {
        let mut compound = Vec::new();
        if now >= self.report_due {
            let interval = match self.tracks.iter().any(|track| track.is_video) {
                true => REPORT_INTERVAL,
                false => SOUND_REPORT_INTERVAL,
            };
            self.report_due = now + interval;
            self.write_report(now, &mut compound);
        }
        let local = self.local_ssrc;
        for track in &mut self.tracks {
            let Some(ssrc) = track.ssrc.filter(|_| track.is_video) else {
                continue;
            };
            self.missing.clear();
            track.nack.poll(now, RTT, &mut self.missing);
            let asked = rtcp::nack(&mut compound, local, ssrc, &self.missing);
            tally.add("nacks_sent", asked as u64);
            let waits = !self.has_key_frame && now >= self.pli_due;
            if track.nack.take_keyframe_needed() || waits {
                self.pli_due = now + PLI_INTERVAL;
                tally.add("plis_sent", 1);
                rtcp::pli(&mut compound, local, ssrc);
            }
        }
        if now >= self.pli_due {
            self.pli_due = now + PLI_INTERVAL;
        }
        compound
    }

    fn write_report(&mut self, now: Time, compound: &mut Vec<u8>) {
        let mut blocks = Vec::new();
        for track in &mut self.tracks {
            let report = track.ssrc.zip(track.reception.report(now));
            blocks.extend(report.map(|(ssrc, report)| rtcp::ReportBlock {
                ssrc,
                fraction_lost: report.fraction_lost,
                cumulative_lost: report.cumulative_lost,
                highest_sequence: report.extended_highest,
                jitter: report.jitter,
                last_sender_report: report.lsr,
                delay_since: report.dlsr,
            }));
        }
        // Two blocks and a short name always fit.
        let _ = rtcp::receiver_report(compound, self.local_ssrc, &blocks);
        let _ = rtcp::sdes_cname(compound, self.local_ssrc, b"load");
    }

    pub fn take_rtcp(&mut self, now: Time, compound: &[u8]) {
        for packet in rtcp::packets(compound).flatten() {
            if let Packet::SenderReport(report) = packet {
                let of = |track: &&mut Track| track.ssrc == Some(report.ssrc);
                if let Some(track) = self.tracks.iter_mut().find(of) {
                    track.reception.on_sender_report(report.ntp, now);
                }
            }
        }
    }

    /// Counts it all, at the end.
    pub fn settle(self, now: Time, tally: &mut Tally) {
        for track in &self.tracks {
            track.numbers.settle(tally);
        }
        let until = now.as_us().min(self.counted.end);
        tally.got(self.bytes, until.saturating_sub(self.counted.start));
    }
}
