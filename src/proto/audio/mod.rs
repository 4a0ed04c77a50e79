//! Audio from one codec to another, one stream at a time: the door to every
//! audio codec crate.
//!
//! Owns a stream's decoder, resampler, timeline and encoder. Output time follows
//! input time: short gaps are filled, long ones jumped over, slow clocks
//! followed, and what decoder, resampler and encoder delay is taken off the
//! timestamps. Refuses to know packets, containers and clocks: a frame comes
//! with its time.
//!
//! The codec crates are written not to panic, and did not in a hundred thousand
//! mutated frames; whoever feeds them what strangers send still runs a
//! [`Transcoder`] where a panic ends only that stream.

use std::fmt;

mod decode;
mod encode;
mod framer;
mod resample;
mod timeline;

use crate::base::limits::AUDIO_GAP_FILLED_MAX_TICKS;
use decode::{Decoder, Pcm};
use encode::Encoder;
use framer::Framer;
use timeline::{Placement, Timeline};

/// Ticks of every time here, and samples per second of every encoder.
pub const TICKS_PER_S: u32 = 48_000;

/// What a stream is coded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioSource {
    /// Access units without ADTS headers: AAC-LC at 8 to 48 kHz, HE-AAC v1 and
    /// v2 (spectral band replication and parametric stereo are decoded).
    Aac {
        /// The AudioSpecificConfig (ISO 14496-3 section 1.6.2.1).
        config: Vec<u8>,
    },
    /// Packets of one or more frames, narrow or wide band (the Speex codec manual). Mono.
    Speex,
    /// Packets of any length (RFC 6716).
    Opus {
        /// Of the output, 1 or 2: a packet may hold either, whatever was
        /// declared.
        channels: u8,
    },
}

/// What it is to be coded in. The channels are the source's; more than two
/// become two. A rate outside what the codec can do becomes the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioTarget {
    /// Frames of 20 ms at multiples of 960 ticks.
    Opus { bitrate_bps: u32 },
    /// AAC-LC at 48 kHz, access units of 1,024 samples without ADTS headers.
    Aac { bitrate_bps: u32 },
}

/// Why a stream cannot be transcoded at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioError {
    /// The publisher's AudioSpecificConfig is broken or of an unknown profile.
    AacConfig,
    /// Opus of neither one nor two channels.
    OpusChannels(u8),
    /// A codec refused its settings: a bug of ours.
    Setup(&'static str),
}

impl fmt::Display for AudioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AudioError::AacConfig => f.write_str("AudioSpecificConfig not understood"),
            AudioError::OpusChannels(channels) => write!(f, "Opus of {channels} channels"),
            AudioError::Setup(codec) => write!(f, "{codec} refused its settings"),
        }
    }
}

impl std::error::Error for AudioError {}

/// What became of the frames of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioCounts {
    pub frames_in: u64,
    pub frames_out: u64,
    /// Frames the decoder refused; their time is filled as a gap.
    pub broken: u64,
    /// Gaps filled with concealment or silence.
    pub gaps_filled: u64,
    /// Jumps of input time that output time followed.
    pub jumps: u64,
    /// Frames the encoder refused. A bug of ours.
    pub unencoded: u64,
}

/// One stream's way from source to target.
pub struct Transcoder {
    decoder: Decoder,
    timeline: Timeline,
    framer: Framer,
    encoder: Encoder,
    counts: AudioCounts,
    /// What the decoder says, between its call and the next step.
    pcm: Pcm,
}

type Emit<'a> = dyn FnMut(u64, &[u8]) + 'a;

impl Transcoder {
    pub fn new(source: &AudioSource, target: &AudioTarget) -> Result<Self, AudioError> {
        let channels = decode::channels(source)?;
        let decoder = Decoder::new(source, channels)?;
        let encoder = Encoder::new(target, channels)?;
        Ok(Transcoder {
            timeline: Timeline::new(channels, decoder.jitter_ticks()),
            framer: Framer::new(channels, encoder.shape()),
            decoder,
            encoder,
            counts: AudioCounts::default(),
            pcm: Pcm::default(),
        })
    }

    /// What a container needs to know first: OpusHead (RFC 7845 section 5.1)
    /// or AudioSpecificConfig.
    pub fn header(&self) -> Vec<u8> {
        self.encoder.header()
    }

    pub fn counts(&self) -> AudioCounts {
        self.counts
    }

    /// Takes the frame whose sound starts at `ticks`, and gives to `emit` each
    /// frame that is complete by now with its own start. An empty frame says
    /// that its time is silent.
    ///
    /// A frame the decoder refuses is counted and treated as lost. Input time
    /// that moves by more than a second is followed at once, in both directions.
    pub fn push(&mut self, ticks: u64, frame: &[u8], emit: &mut Emit<'_>) {
        self.counts.frames_in += 1;
        if frame.is_empty() {
            return;
        }
        // Far from where sums of ticks could overflow.
        let ticks = ticks.min(1 << 60).cast_signed();
        self.conceal(ticks - self.decoder.delay_ticks(), emit);
        if self.decoder.decode(frame, &mut self.pcm).is_err() {
            self.counts.broken += 1;
            return;
        }
        if self.pcm.samples.is_empty() {
            return;
        }
        // Asked again: the first Speex frame says which delay it has.
        self.place(ticks - self.decoder.delay_ticks(), emit);
        self.timeline.append(&self.pcm);
        self.feed(emit);
    }

    /// Brings the timeline to where the decoded frame belongs.
    fn place(&mut self, mut at: i64, emit: &mut Emit<'_>) {
        match self.timeline.place(at, &self.pcm) {
            Placement::First => self.framer.anchor(at),
            Placement::Follows => {
                self.timeline.steer(&mut self.pcm);
                return;
            }
            Placement::Gap(ticks) => {
                self.counts.gaps_filled += 1;
                return self.timeline.silence(ticks);
            }
            Placement::Overlap(ticks) => return self.pcm.cut_front(ticks),
            Placement::Jump => {
                self.counts.jumps += 1;
                self.drain(emit);
                self.framer.pad();
                self.encode(emit);
                // The decoder began with the end of what was before.
                at += self.decoder.delay_ticks();
                self.pcm.cut_front(self.decoder.delay_ticks());
                self.framer.anchor(at);
            }
            Placement::NewRate => {
                self.drain(emit);
                return self.timeline.start(self.framer.end(), self.pcm.rate);
            }
        }
        self.timeline.start(at, self.pcm.rate);
    }

    /// Has the decoder make up what is missing before `at`, if it can.
    fn conceal(&mut self, at: i64, emit: &mut Emit<'_>) {
        let Some(expected) = self.timeline.expected() else {
            return;
        };
        let mut missing = at.saturating_sub(expected);
        if missing <= self.timeline.jitter_ticks() || missing > AUDIO_GAP_FILLED_MAX_TICKS {
            return;
        }
        let mut concealed = false;
        while let Some(made) = self.decoder.conceal(missing, &mut self.pcm) {
            concealed = true;
            missing -= made;
            self.timeline.append(&self.pcm);
            self.feed(emit);
        }
        self.counts.gaps_filled += u64::from(concealed);
    }

    /// Takes what the timeline has ready through the encoder.
    fn feed(&mut self, emit: &mut Emit<'_>) {
        self.timeline.take(&mut self.framer);
        self.encode(emit);
    }

    /// Ends a stretch of sound: what waits for its future comes out.
    fn drain(&mut self, emit: &mut Emit<'_>) {
        self.timeline.drain(&mut self.framer);
        self.encode(emit);
    }

    fn encode(&mut self, emit: &mut Emit<'_>) {
        let (encoder, counts) = (&mut self.encoder, &mut self.counts);
        self.framer.frames(|ticks, samples| {
            let mut counted = |bytes: &[u8]| {
                counts.frames_out += 1;
                emit(ticks, bytes);
            };
            if encoder.encode(samples, &mut counted).is_err() {
                counts.unencoded += 1;
            }
        });
    }
}

#[cfg(test)]
mod tests;
