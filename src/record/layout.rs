//! Which tracks a recording has, and what their samples are.

use crate::wire::codec::AudioCodec;

/// Ticks in a second of a video track's time.
pub const VIDEO_TIMESCALE: u32 = 90_000;

/// Of the two tracks a file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrackKind {
    Video,
    Audio,
}

/// The tracks of one file, as its `moov` tells them. Fixed when the file begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub video: Option<VideoTrack>,
    pub audio: Option<AudioTrack>,
}

/// Width and height are of the picture shown first; later ones may differ
/// (parameter sets in band).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoTrack {
    /// Samples are NAL units behind four-byte lengths.
    H264 {
        width: u16,
        height: u16,
        /// Sequence parameter sets, the stream's own first. Never empty.
        sps: Vec<Vec<u8>>,
        pps: Vec<Vec<u8>>,
    },
    /// Samples are frames as RFC 6386 has them.
    Vp8 { width: u16, height: u16 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioTrack {
    Opus {
        channels: u8,
    },
    Aac {
        /// AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1).
        config: Vec<u8>,
        sample_rate: u32,
        channels: u8,
    },
    Pcmu,
    Pcma,
}

impl AudioTrack {
    /// Ticks in a second of the track's time.
    pub fn timescale(&self) -> u32 {
        match self {
            AudioTrack::Opus { .. } => AudioCodec::Opus.clock_rate(),
            AudioTrack::Aac { sample_rate, .. } => *sample_rate,
            AudioTrack::Pcmu | AudioTrack::Pcma => AudioCodec::Pcmu.clock_rate(),
        }
    }
}

/// One sample's row in the tables; its bytes are elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In ticks of its track.
    pub duration: u32,
    /// From decoding to showing, in ticks; B-frames have it.
    pub composition: i32,
    /// Decodable without an earlier one; true of all audio.
    pub is_sync: bool,
    pub size_bytes: u32,
}

/// Samples that come one after another without being kept: hours of black and
/// silence.
pub trait Samples {
    /// The next one and its bytes. Each track's come in the order of decoding;
    /// tracks take turns about once a second or oftener, or players must seek.
    fn next(&mut self) -> Option<(TrackKind, Sample, &[u8])>;
}
