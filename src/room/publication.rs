//! A stream published into a room (the field's UpTracks): receives its packets,
//! keeps the recent ones for retransmission, repairs what was lost, and tells
//! the publisher how it arrives. One per publishing peer, or fed by the core
//! itself with packets it made of another protocol's stream.

use crate::base::limits::{
    AUDIO_WINDOW_PACKETS, CATCH_UP_AGE_MAX, KEYFRAME_FRESH_INTERVAL, VIDEO_WINDOW_PACKETS,
    VIDEO_WINDOW_UNASKED_PACKETS,
};
use crate::base::random::Noise;
use crate::base::slab::Key;
use crate::base::snapshot::{Drop, UpTrackSnapshot};
use crate::base::time::{Ntp, Span, Time, span_from_short_ntp};
use crate::proto::bitrate::RembCap;
use crate::proto::keyframe::{KeyframeRequester, Reason};
use crate::proto::nack::{Arrival, NackGenerator, RttEstimate};
use crate::proto::reception::{ClockMap, Reception};
use crate::proto::rtx_window::{Inserted, Meta, RtxWindow, extend_sequence};
use crate::proto::twcc::TransportFeedbackRecorder;
use crate::room::catch_up::Place;
use crate::room::held::Patience;
use crate::room::peer::Peer;
use crate::room::relay::{Relay, Relayed, Upstream};
use crate::room::track::{Kind, TrackSpec};
use crate::wire::codec::{Codec, VideoCodec};
use crate::wire::rtcp::{self, ExtendedBlock, Packet, ReportBlock, TransportFeedbackHead};
use crate::wire::{h264, rtp, vp8};

/// How often receiver reports leave (RFC 3550 section 6.2 allows rarer, the
/// publisher's round-trip estimate wants them about this often).
const REPORT_INTERVAL: Span = Span::from_secs(1);

/// Where packets the core made are numbered from: a turn of the 16-bit numbers
/// above zero, as every extended number of a stream received.
const INJECTED_FIRST: u64 = 1 << 16;

pub struct Publication {
    /// The peer whose stream this is; `None`: the core feeds it.
    pub publisher: Option<Key<Peer>>,
    pub viewers: Vec<Key<Peer>>,
    /// Other cores that have viewers of it.
    pub relays: Vec<Relay>,
    /// Of a replica: the publication it is fed by.
    pub upstream: Option<Upstream>,
    /// Whether its packets are worth waiting for.
    pub patience: Patience,
    /// Players over RTMP get it too.
    pub is_bridged: bool,
    /// A recording does.
    pub is_recorded: bool,
    tracks: [Option<UpTrack>; 2],
    feedback: TransportFeedbackRecorder,
    transport_cc: bool,
    remb: Option<RembCap>,
    rtt: RttEstimate,
    /// SSRC of our own reports.
    local_ssrc: u32,
    cname: String,
    report_due: Time,
    /// The offer agreed to receiver reference times (RFC 3611 section 4.4).
    reference_times: bool,
    /// Reduced-size RTCP was negotiated (RFC 5506).
    reduced_size: bool,
    missing: Vec<u16>,
    fir_sequence: u8,
}

/// One track as received.
pub struct UpTrack {
    pub spec: TrackSpec,
    pub window: RtxWindow,
    pub clock: ClockMap,
    nack: NackGenerator,
    reception: Reception,
    keyframes: KeyframeRequester,
    ssrc: Option<u32>,
    rtx_ssrc: Option<u32>,
    /// The number of the next packet the core makes.
    next_injected: u64,
    /// The first packet of the newest key frame, and when it came.
    keyframe: Option<(Place, Time)>,
    counts: UpCounts,
}

#[derive(Default)]
struct UpCounts {
    packets: u64,
    bytes: u64,
    recovered: u64,
    nacked: u64,
    plis: u64,
    keyframes: u64,
}

/// A packet now in its track's window, to be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub kind: Kind,
    pub ext_seq: u64,
}

/// What is known of a packet the core made, besides its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    /// In units of the track's clock rate.
    pub timestamp: u32,
    pub marker: bool,
    /// Whether a key frame begins in this packet.
    pub keyframe_start: bool,
}

/// What the publication wants from its negotiation, besides the tracks.
pub struct PublicationSpec {
    pub audio: Option<TrackSpec>,
    pub video: Option<TrackSpec>,
    pub reference_times: bool,
    pub reduced_size: bool,
    pub max_bitrate_kbps: Option<u32>,
    pub cname: String,
}

impl Publication {
    pub fn new(
        now: Time,
        publisher: Option<Key<Peer>>,
        spec: PublicationSpec,
        noise: &mut Noise,
    ) -> Self {
        let transport_cc = |track: &Option<TrackSpec>| {
            track
                .as_ref()
                .is_some_and(|track| track.transport_cc_id.is_some())
        };
        let remb = spec.video.as_ref().is_some_and(|video| video.remb);
        Publication {
            publisher,
            viewers: Vec::new(),
            relays: Vec::new(),
            upstream: None,
            patience: Patience::default(),
            is_bridged: false,
            is_recorded: false,
            feedback: TransportFeedbackRecorder::new(),
            transport_cc: transport_cc(&spec.audio) || transport_cc(&spec.video),
            remb: spec.max_bitrate_kbps.filter(|_| remb).map(RembCap::new),
            rtt: RttEstimate::default(),
            local_ssrc: noise.next_u32() | 1,
            cname: spec.cname,
            report_due: now + REPORT_INTERVAL,
            reference_times: spec.reference_times,
            reduced_size: spec.reduced_size,
            missing: Vec::new(),
            fir_sequence: 0,
            tracks: [
                spec.audio
                    .map(|track| UpTrack::new(track, AUDIO_WINDOW_PACKETS)),
                spec.video.map(|track| {
                    let packets = if track.makes_keyframes() {
                        VIDEO_WINDOW_PACKETS
                    } else {
                        VIDEO_WINDOW_UNASKED_PACKETS
                    };
                    UpTrack::new(track, packets)
                }),
            ],
        }
    }

    pub fn track(&self, kind: Kind) -> Option<&UpTrack> {
        self.tracks.get(kind as usize)?.as_ref()
    }

    fn track_mut(&mut self, kind: Kind) -> Option<&mut UpTrack> {
        self.tracks.get_mut(kind as usize)?.as_mut()
    }

    /// The handshake's round trip, a first guess for retransmission timing.
    pub fn on_rtt(&mut self, rtt: Span) {
        self.rtt.sample(rtt);
        let smoothed = self.rtt.get();
        if let Some(video) = self.track_mut(Kind::Video) {
            video.keyframes.on_rtt(smoothed);
        }
    }

    /// Takes one decrypted RTP packet; `index` is its SRTP index.
    pub fn receive(
        &mut self,
        now: Time,
        header: &rtp::Header,
        packet: &[u8],
        index: u64,
    ) -> Result<Arrived, Drop> {
        let (kind, is_rtx) = self.bind(header, packet).ok_or(Drop::UnknownStream)?;
        let rtt = &mut self.rtt;
        let track = self
            .tracks
            .get_mut(kind as usize)
            .and_then(Option::as_mut)
            .ok_or(Drop::UnknownStream)?;
        if self.transport_cc
            && let Some(id) = track.spec.transport_cc_id
            && let Some(sequence) = header.transport_sequence(packet, id)
        {
            self.feedback.on_packet(sequence, now);
        }
        let len = rtp::payload_len(header, packet).map_err(|_| Drop::Malformed)?;
        let payload = packet
            .get(header.len..header.len + len)
            .ok_or(Drop::Malformed)?;
        let arrived = if is_rtx {
            track.receive_rtx(now, header, payload, rtt)
        } else {
            track.receive(now, header, packet, payload, index)
        };
        arrived.map(|ext_seq| Arrived { kind, ext_seq })
    }

    /// Takes one packet the core made of another protocol's stream, and numbers
    /// it; the caller forwards what is returned. Refuses a track the stream
    /// does not have and a payload longer than a datagram.
    pub fn inject(
        &mut self,
        now: Time,
        kind: Kind,
        packet: Injected,
        payload: &[u8],
    ) -> Result<Arrived, Drop> {
        let track = self.track_mut(kind).ok_or(Drop::UnknownStream)?;
        let ext_seq = track.inject(now, packet, payload)?;
        Ok(Arrived { kind, ext_seq })
    }

    /// Takes a packet into a replica, as its own core took it; the caller forwards
    /// what is returned.
    pub fn take_relayed(
        &mut self,
        now: Time,
        packet: &Relayed,
        payload: &[u8],
    ) -> Result<Arrived, Drop> {
        let track = self
            .track_mut(packet.arrived.kind)
            .ok_or(Drop::UnknownStream)?;
        track.take_relayed(now, packet, payload)?;
        Ok(packet.arrived)
    }

    /// What was shown last is no beginning for anybody any more; `false` if it
    /// was none before.
    pub fn forget_keyframe(&mut self) -> bool {
        let video = self.track_mut(Kind::Video);
        video.is_some_and(|video| video.keyframe.take().is_some())
    }

    /// Who gets it: viewers here and at other cores.
    pub fn viewer_count(&self) -> u32 {
        let afar: u32 = self.relays.iter().map(|relay| relay.viewers).sum();
        self.viewers.len() as u32 + afar
    }

    pub fn clock(&self, kind: Kind) -> Option<ClockMap> {
        self.track(kind).map(|track| track.clock)
    }

    /// A replica's clock is its publication's.
    pub fn copy_clock(&mut self, kind: Kind, clock: ClockMap) {
        if let Some(track) = self.track_mut(kind) {
            track.clock = clock;
        }
    }

    /// Whether a replica is to ask its publication for a key frame now.
    pub fn poll_keyframe(&mut self, now: Time) -> bool {
        let video = self.track_mut(Kind::Video);
        video.is_some_and(|video| video.keyframes.poll(now))
    }

    /// When [`Publication::poll_keyframe`] next has something to ask.
    pub fn keyframe_due(&self) -> Option<Time> {
        self.track(Kind::Video)?.keyframes.next_due()
    }

    /// Says which wall clock instant a timestamp of the core's packets means,
    /// as a publisher's sender report does (RFC 3550 section 6.4.1); both
    /// tracks by one wall clock keep sound and picture in step.
    pub fn set_clock(&mut self, now: Time, kind: Kind, ntp: Ntp, timestamp: u32) {
        if let Some(track) = self.track_mut(kind) {
            let rate = track.spec.clock_rate;
            track.clock.on_sender_report(ntp, timestamp, rate, now);
        }
    }

    /// The track a packet belongs to, and whether it is a retransmission. By
    /// SSRC once known; a first packet binds its SSRC by mid and payload type
    /// (RFC 9143 section 9.2), so that offers without `a=ssrc` work.
    fn bind(&mut self, header: &rtp::Header, packet: &[u8]) -> Option<(Kind, bool)> {
        for kind in Kind::ALL {
            let Some(track) = self.track(kind) else {
                continue;
            };
            if track.ssrc == Some(header.ssrc) {
                let known = track.spec.payload_type == header.payload_type;
                return known.then_some((kind, false));
            }
            if track.rtx_ssrc == Some(header.ssrc) {
                let known = track.spec.rtx_payload_type == Some(header.payload_type);
                return known.then_some((kind, true));
            }
        }
        let kind = Kind::ALL.into_iter().find(|kind| {
            self.track(*kind)
                .is_some_and(|track| track.claims(header, packet))
        })?;
        let track = self.track_mut(kind)?;
        if header.payload_type == track.spec.payload_type {
            track.ssrc = Some(header.ssrc);
            Some((kind, false))
        } else {
            track.rtx_ssrc = Some(header.ssrc);
            Some((kind, true))
        }
    }

    /// Takes the publisher's decrypted RTCP.
    pub fn receive_rtcp(&mut self, now: Time, wall: Ntp, compound: &[u8]) {
        for packet in rtcp::packets(compound).flatten() {
            match packet {
                Packet::SenderReport(report) => {
                    let track = self
                        .tracks
                        .iter_mut()
                        .flatten()
                        .find(|track| track.ssrc == Some(report.ssrc));
                    if let Some(track) = track {
                        let rate = track.spec.clock_rate;
                        track.reception.on_sender_report(report.ntp, now);
                        track
                            .clock
                            .on_sender_report(report.ntp, report.rtp_timestamp, rate, now);
                    }
                }
                Packet::ExtendedReport(report) => {
                    for block in report.blocks {
                        if let ExtendedBlock::Dlrr(entries) = block {
                            for entry in entries.filter(|e| e.ssrc == self.local_ssrc) {
                                let elapsed = wall.middle().wrapping_sub(entry.last_reference);
                                let rtt = elapsed.wrapping_sub(entry.delay_since);
                                // A round trip beyond a minute is a broken clock.
                                if entry.last_reference != 0 && rtt < 60 << 16 {
                                    self.rtt.sample(span_from_short_ntp(rtt));
                                }
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Asks the publisher for a key frame, soon.
    pub fn request_keyframe(&mut self, now: Time, reason: Reason) {
        if let Some(video) = self.track_mut(Kind::Video)
            && video.spec.makes_keyframes()
        {
            video.keyframes.request(now, reason);
        }
    }

    /// The first packet of the newest key frame, for a viewer to start from, and
    /// the newest packet. `None` where a key frame can be asked for, and while
    /// none of late is kept.
    pub fn latest_keyframe(&self, now: Time) -> Option<(Place, Place)> {
        let video = self.track(Kind::Video)?;
        match video.spec.makes_keyframes() {
            true => None,
            false => self.beginning(now),
        }
    }

    /// The same for a viewer that has nothing yet, who begins with a key frame
    /// that could be asked for, too, if it has just been.
    pub fn beginning(&self, now: Time) -> Option<(Place, Place)> {
        let video = self.track(Kind::Video)?;
        let (keyframe, arrived) = video.keyframe?;
        let age_max = match video.spec.makes_keyframes() {
            true => KEYFRAME_FRESH_INTERVAL,
            false => CATCH_UP_AGE_MAX,
        };
        if now.since(arrived) > age_max {
            return None;
        }
        video.window.get(keyframe.ext_seq)?;
        let ext_seq = video.window.highest()?;
        let (meta, _) = video.window.get(ext_seq)?;
        let timestamp = meta.timestamp;
        Some((keyframe, Place { ext_seq, timestamp }))
    }

    /// When [`Publication::poll`] next has something to send.
    pub fn next_due(&self) -> Time {
        // Nothing can be asked of a stream whose SSRC is not known yet.
        let video = self.track(Kind::Video).filter(|track| track.ssrc.is_some());
        [
            self.feedback.next_due().filter(|_| self.transport_cc),
            video.and_then(|track| track.nack.next_due()),
            video.and_then(|track| track.keyframes.next_due()),
            video.and_then(|_| self.remb.as_ref().map(RembCap::next_due)),
        ]
        .into_iter()
        .flatten()
        .fold(self.report_due, Time::min)
    }

    /// Appends the RTCP due at `now` to `compound`; nothing appended, nothing due.
    pub fn poll(&mut self, now: Time, wall: Ntp, compound: &mut Vec<u8>) {
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            self.write_reports(now, wall, compound);
        }
        self.write_requests(now, compound);
        self.write_ceiling(now, compound);
        self.complete(now, wall, compound);
    }

    /// Writes one transport-wide feedback due at `now`, a packet of its own;
    /// call until it has none.
    pub fn poll_feedback(&mut self, now: Time, wall: Ntp, compound: &mut Vec<u8>) -> bool {
        // Video's SSRC where there is video: it comes last.
        let mut ssrcs = self.tracks.iter().rev().flatten();
        let Some(media_ssrc) = ssrcs.find_map(|track| track.ssrc) else {
            return false;
        };
        if !self.transport_cc || !self.feedback.due(now) {
            return false;
        }
        let Some(feedback) = self.feedback.build(now) else {
            return false;
        };
        let head = TransportFeedbackHead {
            sender_ssrc: self.local_ssrc,
            media_ssrc,
            base_sequence: feedback.base_sequence,
            reference_time: feedback.reference_time_64ms as i32,
            feedback_count: feedback.count,
        };
        let written = rtcp::transport_feedback(compound, &head, feedback.deltas_250us).is_ok();
        self.complete(now, wall, compound);
        written
    }

    /// Without reduced-size RTCP a compound packet starts with a report (RFC
    /// 3550 section 6.1).
    fn complete(&mut self, now: Time, wall: Ntp, compound: &mut Vec<u8>) {
        let starts_with_report = compound
            .get(1)
            .is_none_or(|kind| (200..=201).contains(kind));
        if !self.reduced_size && !starts_with_report {
            let body = std::mem::take(compound);
            self.write_reports(now, wall, compound);
            compound.extend(body);
        }
    }

    fn write_reports(&mut self, now: Time, wall: Ntp, compound: &mut Vec<u8>) {
        let mut blocks = [ReportBlock::default(); 2];
        let mut count = 0;
        for track in self.tracks.iter_mut().flatten() {
            if let (Some(ssrc), Some(report)) = (track.ssrc, track.reception.report(now))
                && let Some(block) = blocks.get_mut(count)
            {
                *block = ReportBlock {
                    ssrc,
                    fraction_lost: report.fraction_lost,
                    cumulative_lost: report.cumulative_lost,
                    highest_sequence: report.extended_highest,
                    jitter: report.jitter,
                    last_sender_report: report.lsr,
                    delay_since: report.dlsr,
                };
                count += 1;
            }
        }
        let blocks = blocks.get(..count).unwrap_or_default();
        // Two blocks and a short name always fit.
        let _ = rtcp::receiver_report(compound, self.local_ssrc, blocks);
        let _ = rtcp::sdes_cname(compound, self.local_ssrc, self.cname.as_bytes());
        if self.reference_times {
            rtcp::receiver_reference_time(compound, self.local_ssrc, wall);
        }
    }

    fn write_requests(&mut self, now: Time, compound: &mut Vec<u8>) {
        let (rtt, local_ssrc) = (self.rtt.get(), self.local_ssrc);
        let missing = &mut self.missing;
        let fir_sequence = &mut self.fir_sequence;
        let [_, Some(video)] = &mut self.tracks else {
            return;
        };
        let Some(ssrc) = video.ssrc else {
            return;
        };
        if video.spec.nack {
            missing.clear();
            video.nack.poll(now, rtt, missing);
            let asked = rtcp::nack(compound, local_ssrc, ssrc, missing);
            video.counts.nacked += asked as u64;
            if video.nack.take_keyframe_needed() {
                video.keyframes.request(now, Reason::Lost);
            }
        }
        if video.keyframes.poll(now) {
            video.counts.plis += 1;
            if video.spec.pli {
                rtcp::pli(compound, local_ssrc, ssrc);
            } else {
                *fir_sequence = fir_sequence.wrapping_add(1);
                let _ = rtcp::fir(compound, local_ssrc, &[(ssrc, *fir_sequence)]);
            }
        }
    }

    /// The operator's ceiling, as the publisher's browser knows it (REMB).
    fn write_ceiling(&mut self, now: Time, compound: &mut Vec<u8>) {
        if let Some(media_ssrc) = self.track(Kind::Video).and_then(|track| track.ssrc)
            && let Some(bitrate_bps) = self.remb.as_mut().and_then(|remb| remb.poll(now))
        {
            let _ = rtcp::remb(compound, self.local_ssrc, bitrate_bps, &[media_ssrc]);
        }
    }

    /// The track's state for `/api/rooms`.
    pub fn snapshot(&self) -> Vec<UpTrackSnapshot> {
        Kind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, self.track(kind)?)))
            .map(|(kind, track)| UpTrackSnapshot {
                kind: kind.name(),
                codec: track.spec.codec.name(),
                ssrc: track.ssrc,
                packets: track.counts.packets,
                bytes: track.counts.bytes,
                lost: track.reception.lost(),
                recovered: track.counts.recovered,
                nacked: track.counts.nacked,
                plis: track.counts.plis,
                keyframes: track.counts.keyframes,
            })
            .collect()
    }
}

impl UpTrack {
    fn new(spec: TrackSpec, window_packets: usize) -> Self {
        UpTrack {
            window: RtxWindow::new(window_packets),
            clock: ClockMap::new(),
            nack: NackGenerator::new(),
            reception: Reception::new(),
            keyframes: KeyframeRequester::new(),
            ssrc: spec.ssrc,
            rtx_ssrc: spec.rtx_ssrc,
            next_injected: INJECTED_FIRST,
            keyframe: None,
            counts: UpCounts::default(),
            spec,
        }
    }

    /// Whether an unknown SSRC's packet is this track's: by mid where it says
    /// one, by payload type otherwise.
    fn claims(&self, header: &rtp::Header, packet: &[u8]) -> bool {
        let is_media = header.payload_type == self.spec.payload_type;
        let is_rtx = self.spec.rtx_payload_type == Some(header.payload_type);
        let free = (is_media && self.ssrc.is_none()) || (is_rtx && self.rtx_ssrc.is_none());
        let said = self.spec.mid_id.and_then(|id| header.mid(packet, id));
        free && match (said, &self.spec.mid) {
            (Some(said), Some(mid)) => said == mid.as_bytes(),
            _ => true,
        }
    }

    fn receive(
        &mut self,
        now: Time,
        header: &rtp::Header,
        packet: &[u8],
        payload: &[u8],
        ext_seq: u64,
    ) -> Result<u64, Drop> {
        let level = self.spec.audio_level_id;
        let orientation = self.spec.orientation_id;
        self.counts.packets += 1;
        self.counts.bytes += packet.len() as u64;
        self.reception
            .on_packet(ext_seq, header.timestamp, self.spec.clock_rate, now);
        if self.spec.nack {
            self.nack.on_packet(ext_seq, now);
        }
        let meta = Meta {
            marker: header.marker,
            timestamp: header.timestamp,
            payload_len: 0,
            audio_level: level.and_then(|id| header.audio_level(packet, id)),
            orientation: orientation.and_then(|id| header.orientation(packet, id)),
            keyframe_start: self.is_keyframe_start(payload),
            arrived: now,
        };
        self.keep(now, ext_seq, meta, payload)
    }

    fn inject(&mut self, now: Time, packet: Injected, payload: &[u8]) -> Result<u64, Drop> {
        let meta = Meta {
            marker: packet.marker,
            timestamp: packet.timestamp,
            payload_len: 0,
            audio_level: None,
            orientation: None,
            keyframe_start: packet.keyframe_start,
            arrived: now,
        };
        // A refused packet takes no number: viewers would ask for it in vain.
        let ext_seq = self.keep(now, self.next_injected, meta, payload)?;
        self.next_injected += 1;
        self.counts.packets += 1;
        self.counts.bytes += payload.len() as u64;
        Ok(ext_seq)
    }

    fn take_relayed(&mut self, now: Time, packet: &Relayed, payload: &[u8]) -> Result<u64, Drop> {
        // Of what is past it counts when it came, of the rest when it is here.
        let at = if packet.is_past {
            packet.meta.arrived
        } else {
            now
        };
        let ext_seq = self.keep(at, packet.arrived.ext_seq, packet.meta, payload)?;
        self.counts.packets += 1;
        self.counts.bytes += payload.len() as u64;
        Ok(ext_seq)
    }

    /// A retransmission (RFC 4588 section 4): the original's sequence number
    /// leads the payload. An empty one is the publisher probing for bandwidth.
    fn receive_rtx(
        &mut self,
        now: Time,
        header: &rtp::Header,
        payload: &[u8],
        rtt: &mut RttEstimate,
    ) -> Result<u64, Drop> {
        let (sequence, payload) = rtp::rtx_original_sequence(payload).ok_or(Drop::Duplicate)?;
        let highest = self.window.highest().ok_or(Drop::RtxMissing)?;
        let ext_seq = extend_sequence(highest, sequence);
        if let Arrival::Recovered { answer_after } = self.nack.on_packet(ext_seq, now) {
            self.counts.recovered += 1;
            if let Some(sample) = answer_after {
                rtt.sample(sample);
            }
        }
        let meta = Meta {
            marker: header.marker,
            timestamp: header.timestamp,
            payload_len: 0,
            audio_level: None,
            orientation: None,
            keyframe_start: self.is_keyframe_start(payload),
            arrived: now,
        };
        self.keep(now, ext_seq, meta, payload)
    }

    fn keep(&mut self, now: Time, ext_seq: u64, meta: Meta, payload: &[u8]) -> Result<u64, Drop> {
        let meta = Meta {
            payload_len: u16::try_from(payload.len()).map_err(|_| Drop::Malformed)?,
            ..meta
        };
        match self.window.insert(ext_seq, meta, payload) {
            Inserted::New => {
                if meta.keyframe_start {
                    self.counts.keyframes += 1;
                    self.keyframes.on_keyframe(now);
                    self.note_keyframe(now, ext_seq, meta.timestamp);
                }
                Ok(ext_seq)
            }
            Inserted::Duplicate | Inserted::TooOld => Err(Drop::Duplicate),
            Inserted::TooLong => Err(Drop::Malformed),
        }
    }

    /// A key frame may begin in several packets of one timestamp, parameter sets
    /// and picture; the first of them is where to start.
    fn note_keyframe(&mut self, now: Time, ext_seq: u64, timestamp: u32) {
        let place = Place { ext_seq, timestamp };
        match &mut self.keyframe {
            Some((known, _)) if known.timestamp == timestamp => {
                known.ext_seq = known.ext_seq.min(ext_seq);
            }
            Some((known, _)) if known.ext_seq > ext_seq => {}
            keyframe => *keyframe = Some((place, now)),
        }
    }

    fn is_keyframe_start(&self, payload: &[u8]) -> bool {
        match self.spec.codec {
            Codec::Video(VideoCodec::H264) => h264::keyframe_start(payload),
            Codec::Video(VideoCodec::Vp8) => vp8::keyframe_start(payload),
            Codec::Audio(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(pli: bool, fir: bool) -> TrackSpec {
        TrackSpec {
            payload_type: 96,
            pli,
            fir,
            ..TrackSpec::local(Codec::Video(VideoCodec::H264))
        }
    }

    fn publication(video: TrackSpec) -> Publication {
        let spec = PublicationSpec {
            audio: None,
            video: Some(video),
            reference_times: false,
            reduced_size: false,
            max_bitrate_kbps: None,
            cname: String::new(),
        };
        Publication::new(Time::ZERO, None, spec, &mut Noise::new(1))
    }

    #[test]
    fn who_cannot_be_asked_for_key_frames_is_kept_for_longer() {
        for (pli, fir, packets) in [
            (true, false, VIDEO_WINDOW_PACKETS),
            (false, true, VIDEO_WINDOW_PACKETS),
            (false, false, VIDEO_WINDOW_UNASKED_PACKETS),
        ] {
            let publication = publication(video(pli, fir));
            let track = publication.track(Kind::Video).unwrap();
            assert_eq!(track.window.capacity(), packets);
        }
    }

    #[test]
    fn packets_of_the_core_are_numbered_counted_and_kept() {
        let mut publication = publication(video(false, false));
        let packet = |timestamp| Injected {
            timestamp,
            marker: true,
            keyframe_start: timestamp == 9,
        };
        let now = Time::from_us(5);
        let mut inject = |timestamp, payload: &[u8]| {
            publication.inject(now, Kind::Video, packet(timestamp), payload)
        };
        let arrived = |ext_seq| {
            Ok(Arrived {
                kind: Kind::Video,
                ext_seq,
            })
        };
        assert_eq!(inject(9, b"key"), arrived(INJECTED_FIRST));
        assert_eq!(inject(10, &[0; 2_000]), Err(Drop::Malformed));
        assert_eq!(inject(11, b"next"), arrived(INJECTED_FIRST + 1));
        let refused = publication.inject(now, Kind::Audio, packet(0), b"");
        assert_eq!(refused, Err(Drop::UnknownStream));
        let track = publication.track(Kind::Video).unwrap();
        let (meta, payload) = track.window.get(INJECTED_FIRST).unwrap();
        assert_eq!(
            (meta.timestamp, meta.keyframe_start, payload),
            (9, true, &b"key"[..])
        );
        let told = &publication.snapshot()[0];
        assert_eq!(
            (told.packets, told.bytes, told.lost, told.keyframes),
            (2, 7, 0, 1)
        );
    }

    #[test]
    fn the_newest_key_frame_is_known_while_it_is_kept_and_not_old() {
        let key = |publication: &mut Publication, now, timestamp, keyframe_start| {
            let packet = Injected {
                timestamp,
                marker: false,
                keyframe_start,
            };
            publication.inject(now, Kind::Video, packet, b"x").unwrap();
        };
        let place = |after, timestamp| Place {
            ext_seq: INJECTED_FIRST + after,
            timestamp,
        };
        let now = Time::from_us(1);
        let mut publication = publication(video(false, false));
        assert_eq!(publication.latest_keyframe(now), None);
        // Delta, parameter sets, picture, delta.
        for (timestamp, starts) in [(1, false), (2, true), (2, true), (3, false)] {
            key(&mut publication, now, timestamp, starts);
        }
        let known = Some((place(1, 2), place(3, 3)));
        assert_eq!(publication.latest_keyframe(now), known);
        assert_eq!(publication.latest_keyframe(now + CATCH_UP_AGE_MAX), known);
        let late = now + CATCH_UP_AGE_MAX + Span::from_us(1);
        assert_eq!(publication.latest_keyframe(late), None);
        for _ in 0..VIDEO_WINDOW_UNASKED_PACKETS {
            key(&mut publication, now, 4, false);
        }
        assert_eq!(publication.latest_keyframe(now), None);

        let mut asked = self::publication(video(true, false));
        key(&mut asked, now, 1, true);
        assert_eq!(asked.latest_keyframe(now), None);
    }

    #[test]
    fn the_core_sets_the_clock_a_report_would() {
        let mut publication = publication(video(false, false));
        let ntp = Ntp::from_unix_us(1_000_000);
        publication.set_clock(Time::ZERO, Kind::Video, ntp, 90_000);
        let clock = &publication.track(Kind::Video).unwrap().clock;
        let later = Time::from_us(1_000_000);
        let (told, timestamp) = clock.sender_report_at(later, 7).unwrap();
        assert_eq!(timestamp, 180_007);
        assert_eq!(told, ntp.plus(Span::from_secs(1)));
    }
}
