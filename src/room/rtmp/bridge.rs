//! A browser's publication made into messages for RTMP players: frames are put
//! together from its packets, placed on one timeline, and given FLV bodies.
//! Converting sound is somebody else's; video that FLV does not know is left
//! out.

use bytes::Bytes;

use crate::base::limits::REORDER_WAIT_PLAYER;
use crate::base::time::Time;
use crate::proto::depacketise::{AccessUnit, ParameterSets};
use crate::proto::media_clock::{Alignment, FrameTime, Lane};
use crate::room::frames::Frames;
use crate::room::publication::{Arrived, Publication};
use crate::room::rtmp::{Audience, Tag, TagKind};
use crate::room::track::Kind;
use crate::wire::codec::{AudioCodec, Codec, VideoCodec};
use crate::wire::flv;

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
    /// Of its video H.264 only.
    frames: Frames,
    audio: Option<AudioCodec>,
    alignment: Alignment,
    said_opus: bool,
}

impl Bridge {
    pub fn new(audio: Option<Codec>, video: Option<Codec>) -> Self {
        let h264 = video.filter(|codec| *codec == Codec::Video(VideoCodec::H264));
        Bridge {
            frames: Frames::new(audio, h264, REORDER_WAIT_PLAYER),
            audio: match audio {
                Some(Codec::Audio(codec)) => Some(codec),
                _ => None,
            },
            alignment: Alignment::new(),
            said_opus: false,
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
        self.frames.push(now, publication, arrived);
        while let Some((kind, unit)) = self.frames.poll(now) {
            match kind {
                Kind::Audio => self.sound(publication, unit, made),
                Kind::Video => self.picture(publication, unit, made),
            }
        }
    }

    /// Whether the publisher is to be asked for a key frame now.
    pub fn wants_keyframe(&mut self, now: Time) -> bool {
        self.frames.wants_keyframe(now)
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
        let Some(codec) = self.audio else {
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
