//! A member's play of a publication (the field's DownTracks): what the viewer
//! negotiated, how the publisher's numbers map to its own, and what it reports.

use crate::base::limits::{RTX_BURST_BYTES, RTX_RATE_BYTES_PER_S};
use crate::base::random::Noise;
use crate::base::slab::Key;
use crate::base::snapshot::DownTrackSnapshot;
use crate::base::time::{Ntp, Span, Time, span_from_short_ntp};
use crate::proto::bitrate::TokenBucket;
use crate::proto::keyframe::KeyframeGate;
use crate::proto::munger::{Munger, Out};
use crate::proto::rtx_window::Meta;
use crate::room::catch_up::CatchUp;
use crate::room::publication::Publication;
use crate::room::track::{Kind, TrackSpec};
use crate::wire::rtcp::{self, Packet, SenderInfo};

/// How often sender reports leave for a viewer of pictures, which sound is to be
/// in step with; the first after this, too.
const REPORT_INTERVAL: Span = Span::from_secs(1);
/// How often for a viewer of sound alone: what RFC 3550 section 6.2 recommends
/// as the least interval, and libwebrtc's.
const SOUND_REPORT_INTERVAL: Span = Span::from_secs(5);
/// Sender reports remembered for the round trip a receiver report implies.
const REPORTS_REMEMBERED: usize = 4;

pub struct Subscription {
    pub publication: Key<Publication>,
    /// The publication's name, for reports.
    pub stream: String,
    /// The viewer's keys are there: media may flow.
    pub live: bool,
    tracks: [Option<DownTrack>; 2],
    cname: String,
    report_due: Time,
    /// Caps what the viewer's NACKs can make us send.
    pub rtx_budget: TokenBucket,
}

/// One track as sent to one viewer.
pub struct DownTrack {
    pub spec: TrackSpec,
    pub ssrc: u32,
    pub rtx_ssrc: u32,
    munger: Option<Munger>,
    gate: Option<KeyframeGate>,
    /// It began with packets kept from before it came.
    catch_up: Option<CatchUp>,
    /// Where our numbering starts: below 2^15, so that a first packet lost
    /// before a wrap cannot be mistaken (mediasoup #1437).
    first_sequence: u16,
    first_timestamp: u32,
    /// The next retransmission's index.
    rtx_index: u64,
    /// The viewer has reported on this SSRC, so packets need no mid any more.
    pub latched: bool,
    counts: DownCounts,
    reports: [(u32, Time); REPORTS_REMEMBERED],
    report_next: usize,
    rtt: Option<Span>,
}

#[derive(Default)]
struct DownCounts {
    packets: u64,
    octets: u64,
    lost: i64,
    nacks: u64,
    retransmitted: u64,
    plis: u64,
}

/// Why a packet does not go to this viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    KeyframeGate,
    BeforeStart,
    /// Packets before it are not sent yet; its turn comes.
    CatchingUp,
}

/// What the viewer's RTCP asks for.
#[derive(Debug, Default)]
pub struct Wishes {
    /// Sequence numbers of ours, by track.
    pub resend: Vec<(Kind, u16)>,
    pub keyframe: bool,
}

impl Subscription {
    pub fn new(
        now: Time,
        publication: Key<Publication>,
        stream: String,
        audio: Option<DownTrack>,
        video: Option<DownTrack>,
        cname: String,
    ) -> Self {
        Subscription {
            publication,
            stream,
            live: false,
            tracks: [audio, video],
            cname,
            report_due: now + REPORT_INTERVAL,
            rtx_budget: TokenBucket::new(RTX_RATE_BYTES_PER_S, RTX_BURST_BYTES, now),
        }
    }

    pub fn cname(&self) -> &str {
        &self.cname
    }

    pub fn track(&self, kind: Kind) -> Option<&DownTrack> {
        self.tracks.get(kind as usize)?.as_ref()
    }

    pub fn track_mut(&mut self, kind: Kind) -> Option<&mut DownTrack> {
        self.tracks.get_mut(kind as usize)?.as_mut()
    }

    /// Reads what a packet of that kind will need.
    pub fn touch(&self, kind: Kind) -> u64 {
        let track = self.track(kind);
        let runs = track.and_then(|track| Some(track.munger.as_ref()?.touch()));
        let counts = track.map_or(0, |track| track.counts.packets ^ track.counts.octets);
        runs.unwrap_or_default() ^ counts ^ u64::from(self.live)
    }

    /// Whether video is waiting for a key frame, and for one to come.
    pub fn needs_keyframe(&self) -> bool {
        self.track(Kind::Video).is_some_and(|video| {
            let is_closed = video.gate.as_ref().is_some_and(|gate| !gate.is_open());
            is_closed && video.catch_up.is_none()
        })
    }

    /// The viewer's keys are there: media may flow, and video begins with what
    /// is kept where a key frame cannot be asked for, or has just come.
    pub fn go_live(&mut self, now: Time, publication: &Publication) {
        self.live = true;
        let Some(video) = self.track_mut(Kind::Video) else {
            return;
        };
        if video.munger.is_none()
            && let Some((keyframe, newest)) = publication.beginning(now)
        {
            let rate = video.spec.clock_rate;
            video.catch_up = Some(CatchUp::new(now, keyframe, newest, rate));
        }
    }

    /// The viewer cannot decode what it has and nobody can be asked for a key
    /// frame: it gets the newest one kept, and what followed, under new numbers.
    pub fn begin_again(&mut self, now: Time, publication: &Publication) {
        let Some(video) = self.track_mut(Kind::Video) else {
            return;
        };
        let may = video.catch_up.as_ref();
        if may.is_some_and(|catch_up| !catch_up.may_begin_again(now)) {
            return;
        }
        let (Some(munger), Some((keyframe, newest))) =
            (&mut video.munger, publication.latest_keyframe(now))
        else {
            return;
        };
        let catch_up = CatchUp::again(now, keyframe, newest, video.spec.clock_rate);
        let first = catch_up.timestamp_of(keyframe.ext_seq, keyframe.timestamp);
        // The gap that leaves the offset as it is: live pictures keep their time.
        let theirs = first.wrapping_add(munger.timestamp_offset());
        let gap = theirs.wrapping_sub(munger.newest_timestamp());
        if gap as i32 > 0 {
            munger.switch(keyframe.ext_seq, first, gap);
            video.catch_up = Some(catch_up);
        }
    }

    /// Where video is on its way from a key frame kept, if it began with one.
    pub fn catch_up(&mut self) -> Option<&mut CatchUp> {
        self.track_mut(Kind::Video)?.catch_up.as_mut()
    }

    /// Reads the viewer's decrypted RTCP.
    pub fn receive_rtcp(&mut self, now: Time, compound: &[u8], wishes: &mut Wishes) {
        for packet in rtcp::packets(compound).flatten() {
            match packet {
                Packet::ReceiverReport(report) => {
                    for block in report.reports {
                        self.on_report(now, &block);
                    }
                }
                Packet::SenderReport(report) => {
                    for block in report.reports {
                        self.on_report(now, &block);
                    }
                }
                Packet::Nack(nack) => {
                    let Some(kind) = self.kind_of(nack.media_ssrc) else {
                        continue;
                    };
                    for sequence in nack.lost {
                        if wishes.resend.len() >= crate::base::limits::NACK_MISSING_MAX {
                            break;
                        }
                        wishes.resend.push((kind, sequence));
                        if let Some(track) = self.track_mut(kind) {
                            track.counts.nacks += 1;
                        }
                    }
                }
                Packet::Pli(pli) => wishes.keyframe |= self.on_pli(pli.media_ssrc),
                Packet::Fir(fir) => {
                    for (ssrc, _) in fir.entries {
                        wishes.keyframe |= self.on_pli(ssrc);
                    }
                }
                _ => {}
            }
        }
    }

    fn kind_of(&self, ssrc: u32) -> Option<Kind> {
        Kind::ALL
            .into_iter()
            .find(|kind| self.track(*kind).is_some_and(|track| track.ssrc == ssrc))
    }

    fn on_pli(&mut self, ssrc: u32) -> bool {
        match self.track_mut(Kind::Video) {
            Some(video) if video.ssrc == ssrc => {
                video.counts.plis += 1;
                true
            }
            _ => false,
        }
    }

    fn on_report(&mut self, now: Time, block: &rtcp::ReportBlock) {
        let Some(track) = self
            .kind_of(block.ssrc)
            .and_then(|kind| self.track_mut(kind))
        else {
            return;
        };
        track.latched = true;
        track.counts.lost = i64::from(block.cumulative_lost);
        let sent = track
            .reports
            .iter()
            .find(|(middle, _)| *middle == block.last_sender_report);
        if let Some((_, sent)) = sent
            && block.last_sender_report != 0
        {
            let away = now.since(*sent).as_us();
            let held = span_from_short_ntp(block.delay_since).as_us();
            track.rtt = away.checked_sub(held).map(Span::from_us);
        }
    }

    /// When the next report or burst is due.
    pub fn next_due(&self) -> Time {
        let video = self.track(Kind::Video);
        let burst = video.and_then(|video| video.catch_up.as_ref()?.next_due());
        burst.map_or(self.report_due, |due| due.min(self.report_due))
    }

    /// Appends the sender reports due at `now` (RFC 3550 section 6.4.1). The
    /// publisher's own clock pair is extrapolated, so that audio and video stay
    /// in step as the publisher made them.
    pub fn poll(&mut self, now: Time, publication: &Publication, compound: &mut Vec<u8>) {
        if now < self.report_due {
            return;
        }
        let interval = match self.track(Kind::Video) {
            Some(_) => REPORT_INTERVAL,
            None => SOUND_REPORT_INTERVAL,
        };
        self.report_due = now + interval;
        let cname = &self.cname;
        for (kind, track) in Kind::ALL.into_iter().zip(&mut self.tracks) {
            let (Some(track), Some(up)) = (track, publication.track(kind)) else {
                continue;
            };
            let Some(munger) = &track.munger else {
                continue;
            };
            let report = up.clock.sender_report_at(now, munger.timestamp_offset());
            let Some((ntp, rtp_timestamp)) = report else {
                continue;
            };
            track.remember_report(ntp, now);
            let info = SenderInfo {
                ssrc: track.ssrc,
                ntp,
                rtp_timestamp,
                packet_count: track.counts.packets as u32,
                octet_count: track.counts.octets as u32,
            };
            // A report without blocks and a short name always fit.
            let _ = rtcp::sender_report(compound, &info, &[]);
            let _ = rtcp::sdes_cname(compound, track.ssrc, cname.as_bytes());
        }
    }

    /// Appends the goodbye of every stream (RFC 3550 section 6.6).
    pub fn write_bye(&self, compound: &mut Vec<u8>) {
        let mut ssrcs = [0; 2];
        let mut count = 0;
        for (track, place) in self.tracks.iter().flatten().zip(&mut ssrcs) {
            *place = track.ssrc;
            count += 1;
        }
        let ssrcs = ssrcs.get(..count).unwrap_or_default();
        if let Some(first) = ssrcs.first() {
            let _ = rtcp::receiver_report(compound, *first, &[]);
            let _ = rtcp::bye(compound, ssrcs);
        }
    }

    pub fn snapshot(&self) -> Vec<DownTrackSnapshot> {
        Kind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, self.track(kind)?)))
            .map(|(kind, track)| DownTrackSnapshot {
                kind: kind.name(),
                codec: track.spec.codec.name(),
                packets: track.counts.packets,
                bytes: track.counts.octets,
                lost: track.counts.lost,
                nacks: track.counts.nacks,
                retransmitted: track.counts.retransmitted,
                plis: track.counts.plis,
                rtt_us: track.rtt.map(Span::as_us),
            })
            .collect()
    }
}

impl DownTrack {
    pub fn new(kind: Kind, spec: TrackSpec, noise: &mut Noise) -> Self {
        DownTrack {
            spec,
            ssrc: noise.next_u32() | 1,
            // One bit apart: never equal to the media SSRC.
            rtx_ssrc: noise.next_u32() & !1,
            munger: None,
            gate: (kind == Kind::Video).then(KeyframeGate::new),
            catch_up: None,
            first_sequence: noise.below(1 << 15) as u16,
            first_timestamp: noise.next_u32(),
            rtx_index: noise.below(1 << 15),
            latched: false,
            counts: DownCounts::default(),
            reports: [(0, Time::ZERO); REPORTS_REMEMBERED],
            report_next: 0,
            rtt: None,
        }
    }

    /// This viewer's numbers for the publisher's packet, if it gets it.
    pub fn admit(&mut self, ext_seq: u64, meta: &Meta) -> Result<Out, Withheld> {
        let mut theirs = meta.timestamp;
        if let Some(catch_up) = &mut self.catch_up {
            if catch_up.withholds(ext_seq) {
                return Err(Withheld::CatchingUp);
            }
            theirs = catch_up.timestamp_of(ext_seq, theirs);
        }
        if let Some(gate) = &mut self.gate
            && !gate.allow(meta.keyframe_start)
        {
            return Err(Withheld::KeyframeGate);
        }
        let (sequence, timestamp) = (self.first_sequence, self.first_timestamp);
        let munger = self
            .munger
            .get_or_insert_with(|| Munger::start(ext_seq, theirs, sequence, timestamp));
        munger.map(ext_seq, theirs).ok_or(Withheld::BeforeStart)
    }

    /// The publisher's packet behind a sequence number of ours.
    pub fn original(&self, sequence: u16) -> Option<u64> {
        self.munger.as_ref()?.reverse(sequence)
    }

    /// This viewer's numbers for a packet already sent.
    pub fn numbers_of(&mut self, ext_seq: u64, meta: &Meta) -> Option<Out> {
        let catch_up = self.catch_up.as_ref();
        let timestamp = catch_up.map_or(meta.timestamp, |catch_up| {
            catch_up.timestamp_of(ext_seq, meta.timestamp)
        });
        self.munger.as_mut()?.map(ext_seq, timestamp)
    }

    pub fn next_rtx_index(&mut self) -> u64 {
        let index = self.rtx_index;
        self.rtx_index += 1;
        index
    }

    pub fn count_sent(&mut self, payload_bytes: usize) {
        self.counts.packets += 1;
        self.counts.octets += payload_bytes as u64;
    }

    pub fn count_retransmitted(&mut self) {
        self.counts.retransmitted += 1;
    }

    fn remember_report(&mut self, ntp: Ntp, now: Time) {
        if let Some(place) = self.reports.get_mut(self.report_next) {
            *place = (ntp.middle(), now);
        }
        self.report_next = (self.report_next + 1) % REPORTS_REMEMBERED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slab::Slab;
    use crate::room::publication::PublicationSpec;
    use crate::wire::codec::{AudioCodec, Codec, VideoCodec};

    /// When the first three reports are due of a viewer of sound, and of pictures
    /// if it has any.
    fn reports_of(video: Option<VideoCodec>) -> [Time; 3] {
        let mut noise = Noise::new(1);
        let sound = TrackSpec::local(Codec::Audio(AudioCodec::Opus));
        let video = video.map(|codec| TrackSpec::local(Codec::Video(codec)));
        let spec = PublicationSpec {
            audio: Some(sound.clone()),
            video: video.clone(),
            reference_times: false,
            reduced_size: false,
            max_bitrate_kbps: None,
            cname: String::new(),
        };
        let mut publications = Slab::new(1);
        let publication = Publication::new(Time::ZERO, None, spec, &mut noise);
        let key = publications.insert(publication).unwrap();
        let publication = publications.get(key).unwrap();
        let sound = DownTrack::new(Kind::Audio, sound, &mut noise);
        let video = video.map(|spec| DownTrack::new(Kind::Video, spec, &mut noise));
        let (stream, cname) = (String::new(), String::new());
        let mut viewer = Subscription::new(Time::ZERO, key, stream, Some(sound), video, cname);
        [(); 3].map(|()| {
            let due = viewer.next_due();
            viewer.poll(due, publication, &mut Vec::new());
            due
        })
    }

    #[test]
    fn a_viewer_of_sound_alone_is_reported_to_less_often() {
        let seconds = |all: [u64; 3]| all.map(|s| Time::ZERO + Span::from_secs(s));
        assert_eq!(reports_of(Some(VideoCodec::Vp8)), seconds([1, 2, 3]));
        assert_eq!(reports_of(None), seconds([1, 6, 11]));
    }
}
