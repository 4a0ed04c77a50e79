//! A browser's publication made into messages for RTMP players: frames are put
//! together from its packets, placed on one timeline, and given FLV bodies.
//! Converting sound is somebody else's; video that FLV does not know is left
//! out.

use bytes::Bytes;

use crate::base::limits::REORDER_WAIT_PLAYER;
use crate::base::time::{Span, Time};
use crate::proto::depacketise::{AccessUnit, Depacketiser, Packet, ParameterSets};
use crate::proto::media_clock::{Alignment, FrameTime, Lane};
use crate::room::publication::{Arrived, Publication};
use crate::room::rtmp::{Audience, Tag, TagKind};
use crate::room::track::Kind;
use crate::wire::codec::{AudioCodec, Codec, VideoCodec};
use crate::wire::flv;

/// A key frame still missing after this long is asked for again: the last one
/// may have lost a packet for good.
const ASK_INTERVAL: Span = Span::from_secs(1);

/// Ticks of 48 kHz in a millisecond.
const OPUS_TICKS_PER_MS: u64 = 48;

/// Browsers send Opus that way, whatever they recorded; live streams have no
/// samples to skip.
const OPUS_HEAD: flv::OpusHead = flv::OpusHead {
    channels: 2,
    pre_skip: 0,
};

/// What a frame became.
#[derive(Debug)]
pub struct Bridged {
    pub tag: Tag,
    /// The frame itself when it is Opus, and its time in ticks of 48 kHz: some
    /// players need it converted.
    pub opus: Option<(u64, Bytes)>,
}

pub struct Bridge {
    audio: Option<(AudioCodec, Depacketiser)>,
    /// H.264 only.
    video: Option<Depacketiser>,
    alignment: Alignment,
    said_opus: bool,
    asked: Option<Time>,
    now: Time,
}

impl Bridge {
    pub fn new(audio: Option<Codec>, video: Option<Codec>) -> Self {
        let audio = match audio {
            Some(Codec::Audio(codec)) => {
                let frames = Depacketiser::new(Codec::Audio(codec), REORDER_WAIT_PLAYER);
                Some((codec, frames))
            }
            _ => None,
        };
        let h264 = Codec::Video(VideoCodec::H264);
        Bridge {
            audio,
            video: (video == Some(h264)).then(|| Depacketiser::new(h264, REORDER_WAIT_PLAYER)),
            alignment: Alignment::new(),
            said_opus: false,
            asked: None,
            now: Time::ZERO,
        }
    }

    /// Takes the packet `arrived` of the publication's window; appends what it
    /// completed, of either track.
    pub fn take(
        &mut self,
        now: Time,
        publication: &Publication,
        arrived: Arrived,
        made: &mut Vec<Bridged>,
    ) {
        self.now = now;
        let frames = match arrived.kind {
            Kind::Audio => self.audio.as_mut().map(|(_, frames)| frames),
            Kind::Video => self.video.as_mut(),
        };
        let track = publication.track(arrived.kind);
        let packet = track.and_then(|track| track.window.get(arrived.ext_seq));
        if let (Some(frames), Some((meta, payload))) = (frames, packet) {
            let packet = Packet {
                ext_seq: arrived.ext_seq,
                timestamp: meta.timestamp,
                marker: meta.marker,
                payload,
            };
            frames.push(packet, now);
        }
        // Either packet may be the clock that gives up on the other's hole.
        while let Some(unit) = self.audio.as_mut().and_then(|(_, frames)| frames.poll(now)) {
            self.sound(publication, unit, made);
        }
        while let Some(unit) = self.video.as_mut().and_then(|frames| frames.poll(now)) {
            self.picture(publication, unit, made);
        }
    }

    /// Whether the publisher is to be asked for a key frame now.
    pub fn wants_keyframe(&mut self) -> bool {
        let wants = self
            .video
            .as_ref()
            .is_some_and(Depacketiser::wants_keyframe);
        if !wants {
            self.asked = None;
            return false;
        }
        let is_due = |at: Time| self.now.since(at) >= ASK_INTERVAL;
        let asks = self.asked.is_none_or(is_due);
        if asks {
            self.asked = Some(self.now);
        }
        asks
    }

    fn place(&mut self, publication: &Publication, kind: Kind, unit: &AccessUnit) -> u64 {
        let (lane, track) = match kind {
            Kind::Audio => (Lane::Audio, publication.track(Kind::Audio)),
            Kind::Video => (Lane::Video, publication.track(Kind::Video)),
        };
        let ntp = track.and_then(|track| track.clock.ntp_of(unit.timestamp_ticks as u32));
        let frame = FrameTime {
            ticks: unit.timestamp_ticks,
            rate: track.map_or(1, |track| track.spec.clock_rate),
            arrival: unit.arrival,
            ntp,
        };
        self.alignment.place(lane, frame)
    }

    fn sound(&mut self, publication: &Publication, unit: AccessUnit, made: &mut Vec<Bridged>) {
        let Some(codec) = self.audio.as_ref().map(|(codec, _)| *codec) else {
            return;
        };
        let timestamp_ms = self.place(publication, Kind::Audio, &unit);
        let mut body = Vec::with_capacity(unit.data.len() + 8);
        if codec != AudioCodec::Opus {
            match codec {
                AudioCodec::Pcma => flv::write_pcma_frame(&mut body, &unit.data),
                _ => flv::write_pcmu_frame(&mut body, &unit.data),
            }
            made.push(message(TagKind::Audio, Audience::All, timestamp_ms, body));
            return;
        }
        if !self.said_opus {
            self.said_opus = true;
            let mut header = Vec::new();
            flv::write_opus_sequence_start(&mut header, &OPUS_HEAD);
            made.push(message(
                TagKind::AudioHeader,
                Audience::Opus,
                timestamp_ms,
                header,
            ));
        }
        flv::write_opus_frame(&mut body, &unit.data);
        made.push(Bridged {
            opus: Some((timestamp_ms * OPUS_TICKS_PER_MS, Bytes::from(unit.data))),
            ..message(TagKind::Audio, Audience::Opus, timestamp_ms, body)
        });
    }

    fn picture(&mut self, publication: &Publication, unit: AccessUnit, made: &mut Vec<Bridged>) {
        let timestamp_ms = self.place(publication, Kind::Video, &unit);
        if let Some(sets) = &unit.parameter_sets_changed
            && let Some(body) = avc_header(sets)
        {
            let kind = TagKind::VideoHeader;
            made.push(message(kind, Audience::All, timestamp_ms, body));
        }
        let mut body = Vec::with_capacity(unit.data.len() + 8);
        flv::write_avc_frame(&mut body, unit.is_key, 0, &unit.data);
        let kind = match unit.is_key {
            true => TagKind::KeyFrame,
            false => TagKind::Frame,
        };
        made.push(message(kind, Audience::All, timestamp_ms, body));
    }
}

/// `None` when the sets are none that a decoder could use.
fn avc_header(sets: &ParameterSets) -> Option<Vec<u8>> {
    let first = flv::AvcConfig::of_sets(sets.sps.first()?, sets.pps.first()?)?;
    let config = flv::AvcConfig {
        sps: sets.sps.iter().map(Vec::as_slice).collect(),
        pps: sets.pps.iter().map(Vec::as_slice).collect(),
        ..first
    };
    let mut record = Vec::new();
    config.write(&mut record);
    let mut body = Vec::new();
    flv::write_avc_sequence_header(&mut body, &record);
    Some(body)
}

fn message(kind: TagKind, audience: Audience, timestamp_ms: u64, body: Vec<u8>) -> Bridged {
    Bridged {
        tag: Tag {
            kind,
            audience,
            timestamp_ms,
            body: Bytes::from(body),
        },
        opus: None,
    }
}
