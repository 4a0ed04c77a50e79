//! Frames to sound: the door to the decoding half of the codec crates.

use opus_pure::OpusDecoder;
use oxideav_speex::{DecodedFrame, SpeexDecoder, saturate_i16};

use super::{AudioError, AudioSource, TICKS_PER_S};
use crate::base::limits::AUDIO_FRAME_MAX_BYTES;

/// Samples of one channel in the longest Opus packet, 120 ms.
const OPUS_PACKET_MAX_SAMPLES: usize = 5_760;

/// How late sound is in what browsers' Opus encoders make, and ours: their
/// look-ahead at 48 kHz (312 samples; RTP timestamps do not account for it).
const OPUS_DELAY_TICKS: i64 = 312;

/// How late sound is in what libspeex makes, measured: 143 samples at 16 kHz,
/// 40 at 8 kHz. Flash and ffmpeg both use it, and stamp the first frame 0.
const SPEEX_WIDE_DELAY_TICKS: i64 = 429;
const SPEEX_NARROW_DELAY_TICKS: i64 = 240;

/// How far RTMP's times may be off: they are in milliseconds, and set by
/// encoders from clocks of varying care. Less than any AAC or Speex frame, so
/// that a lost one shows.
const FLV_JITTER_TICKS: i64 = 720;

/// RTP's are samples. Not more than a lost frame of 5 ms.
const RTP_JITTER_TICKS: i64 = 200;

/// Parts of a full mix of six or eight channels: the sides full, the others at
/// half the power, and all of it no louder than 1.
const MIX_SIDE: f32 = 0.414;
const MIX_OTHER: f32 = 0.293;

/// The decoder refused a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// A piece of sound; samples are within -1 to 1, interleaved.
#[derive(Clone, Debug, Default)]
pub struct Pcm {
    pub rate: u32,
    pub channels: usize,
    pub samples: Vec<f32>,
}

impl Pcm {
    fn begin(&mut self, rate: u32, channels: usize) {
        (self.rate, self.channels) = (rate, channels);
        self.samples.clear();
    }

    /// Drops the first `ticks` of it.
    pub fn cut_front(&mut self, ticks: i64) {
        let samples = ticks * i64::from(self.rate) / i64::from(TICKS_PER_S);
        let cut = usize::try_from(samples).unwrap_or(0) * self.channels;
        self.samples.drain(..cut.min(self.samples.len()));
    }

    /// Makes it one sample longer or shorter, by reading between samples.
    pub fn stretch(&mut self, longer: bool) {
        let frames = self.samples.len() / self.channels.max(1);
        if frames < 64 {
            return;
        }
        let wanted = if longer { frames + 1 } else { frames - 1 };
        let step = (frames - 1) as f64 / (wanted - 1) as f64;
        let at = |frame: usize, channel: usize| {
            let index = frame.min(frames - 1) * self.channels + channel;
            self.samples.get(index).copied().unwrap_or(0.0)
        };
        let mut stretched = Vec::with_capacity(wanted * self.channels);
        for frame in 0..wanted {
            let position = frame as f64 * step;
            let (before, part) = (position as usize, position.fract() as f32);
            for channel in 0..self.channels {
                let (a, b) = (at(before, channel), at(before + 1, channel));
                stretched.push(a + (b - a) * part);
            }
        }
        self.samples = stretched;
    }
}

/// Channels of what `source` becomes: 1 or 2.
pub fn channels(source: &AudioSource) -> Result<usize, AudioError> {
    match source {
        AudioSource::Aac { config } => aac_channels(config).ok_or(AudioError::AacConfig),
        AudioSource::Speex => Ok(1),
        AudioSource::Opus {
            channels: channels @ (1 | 2),
        } => Ok(usize::from(*channels)),
        AudioSource::Opus { channels } => Err(AudioError::OpusChannels(*channels)),
    }
}

/// From the head of an AudioSpecificConfig: object type, sampling frequency,
/// channel configuration (ISO 14496-3 table 1.15). One channel under HE-AAC may
/// become two by parametric stereo, which only the frames tell.
fn aac_channels(config: &[u8]) -> Option<usize> {
    const HE_AAC: u8 = 5;
    const HE_AAC_V2: u8 = 29;
    let (first, second) = (*config.first()?, *config.get(1)?);
    let object_type = first >> 3;
    let frequency_index = (first & 7) << 1 | second >> 7;
    let layout = match frequency_index {
        // The frequency itself comes between, in 24 bits.
        15 => config.get(4)? >> 3 & 15,
        _ => second >> 3 & 15,
    };
    match layout {
        1 if !matches!(object_type, HE_AAC | HE_AAC_V2) => Some(1),
        _ => Some(2),
    }
}

/// A stream's decoder.
pub enum Decoder {
    Aac {
        decoder: Box<syom::Decoder>,
        config: Vec<u8>,
        channels: usize,
    },
    /// Tracks libspeex within a few percent. Speex predicts itself from what it
    /// decoded: on an unchanging tone of some pitches the difference grows until
    /// the output is full scale, and goes with the tone. ffmpeg's own decoder
    /// does the same; voices change enough.
    Speex {
        decoder: Box<SpeexDecoder>,
        delay_ticks: i64,
    },
    Opus {
        decoder: Box<OpusDecoder>,
        channels: usize,
        output: Vec<f32>,
    },
}

impl Decoder {
    pub fn new(source: &AudioSource, channels: usize) -> Result<Self, AudioError> {
        Ok(match source {
            AudioSource::Aac { config } => Decoder::Aac {
                decoder: Box::new(aac_decoder(config)?),
                config: config.clone(),
                channels,
            },
            AudioSource::Speex => Decoder::Speex {
                decoder: Box::new(SpeexDecoder::new()),
                delay_ticks: SPEEX_WIDE_DELAY_TICKS,
            },
            AudioSource::Opus { .. } => Decoder::Opus {
                decoder: OpusDecoder::new(TICKS_PER_S.cast_signed(), channels)
                    .map(Box::new)
                    .map_err(|_| AudioError::Setup("opus decoder"))?,
                channels,
                output: vec![0.0; OPUS_PACKET_MAX_SAMPLES * channels],
            },
        })
    }

    /// How late the sound of a frame is, in what comes out for it.
    ///
    /// AAC: 0, as a frame's time is that of its decoded samples (the encoder's
    /// priming is before it).
    pub fn delay_ticks(&self) -> i64 {
        match self {
            Decoder::Aac { .. } => 0,
            Decoder::Speex { delay_ticks, .. } => *delay_ticks,
            Decoder::Opus { .. } => OPUS_DELAY_TICKS,
        }
    }

    pub fn jitter_ticks(&self) -> i64 {
        match self {
            Decoder::Aac { .. } | Decoder::Speex { .. } => FLV_JITTER_TICKS,
            Decoder::Opus { .. } => RTP_JITTER_TICKS,
        }
    }

    /// Replaces what `pcm` holds by the sound of one frame.
    pub fn decode(&mut self, frame: &[u8], pcm: &mut Pcm) -> Result<(), Broken> {
        if frame.len() > AUDIO_FRAME_MAX_BYTES {
            return Err(Broken);
        }
        match self {
            Decoder::Aac {
                decoder,
                config,
                channels,
            } => {
                pcm.begin(0, *channels);
                let decoded = decoder.decode_au(frame, |decoded| {
                    pcm.rate = decoded.sample_rate;
                    mix(decoded.planar, *channels, &mut pcm.samples);
                    Ok(())
                });
                if decoded.is_err() {
                    // It stays failed until it is set up anew.
                    decoder.reset();
                    let _ = decoder.set_asc(config);
                    return Err(Broken);
                }
            }
            Decoder::Speex {
                decoder,
                delay_ticks,
            } => {
                decode_speex(decoder, frame, pcm)?;
                *delay_ticks = match pcm.rate {
                    8_000 => SPEEX_NARROW_DELAY_TICKS,
                    _ => SPEEX_WIDE_DELAY_TICKS,
                };
            }
            Decoder::Opus {
                decoder,
                channels,
                output,
            } => {
                pcm.begin(TICKS_PER_S, *channels);
                let decoded = decoder.decode(frame, OPUS_PACKET_MAX_SAMPLES, output);
                let samples = decoded.map_err(|_| Broken)? * *channels;
                pcm.samples.extend(output.iter().take(samples).map(limited));
            }
        }
        Ok(())
    }

    /// Replaces what `pcm` holds by sound for a part of `missing` ticks, made of
    /// what came before; how much that is. `None`: this codec cannot, or the
    /// rest is too short.
    pub fn conceal(&mut self, missing: i64, pcm: &mut Pcm) -> Option<i64> {
        const STEP: i64 = 120;
        let Decoder::Opus {
            decoder,
            channels,
            output,
        } = self
        else {
            return None;
        };
        let ticks = missing.min(960) / STEP * STEP;
        let samples = usize::try_from(ticks).ok().filter(|samples| *samples > 0)?;
        pcm.begin(TICKS_PER_S, *channels);
        let made = decoder.decode(&[], samples, output).ok()?;
        pcm.samples
            .extend(output.iter().take(made * *channels).map(limited));
        (made > 0).then_some(made as i64)
    }
}

fn aac_decoder(config: &[u8]) -> Result<syom::Decoder, AudioError> {
    // Streams have no end; the default would stop after some hours.
    let options = syom::DecodeOptions::audio().with_max_duration_secs(f64::INFINITY);
    syom::Decoder::from_asc(config, options).map_err(|_| AudioError::AacConfig)
}

/// Broken streams decode to anything.
fn limited(sample: &f32) -> f32 {
    if sample.is_finite() {
        sample.clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

/// All frames of a packet. A packet has one sampling rate; a frame of another
/// is not one of libspeex's, and dropped.
fn decode_speex(decoder: &mut SpeexDecoder, packet: &[u8], pcm: &mut Pcm) -> Result<(), Broken> {
    pcm.begin(0, 1);
    for frame in decoder.decode_packet(packet).map_err(|_| Broken)? {
        let (rate, samples): (u32, &[f64]) = match &frame {
            DecodedFrame::Narrowband(samples) => (8_000, &samples[..]),
            DecodedFrame::Wideband { wideband_pcm, .. } => (16_000, &wideband_pcm[..]),
            DecodedFrame::Control(_) => continue,
        };
        if pcm.rate == 0 {
            pcm.rate = rate;
        }
        if pcm.rate == rate {
            let scaled = samples
                .iter()
                .map(|sample| f32::from(saturate_i16(*sample)) / 32_768.0);
            pcm.samples.extend(scaled);
        }
    }
    Ok(())
}

/// Interleaves planes (left, right, centre, then bass, back and side ones) as
/// one or two channels.
fn mix(planes: &[&[f32]], channels: usize, into: &mut Vec<f32>) {
    match (planes, channels) {
        ([], _) => {}
        ([mono], _) => {
            for sample in mono.iter().map(limited) {
                into.extend(std::iter::repeat_n(sample, channels));
            }
        }
        ([left, right], 1) => into.extend(
            left.iter()
                .zip(*right)
                .map(|(a, b)| limited(&((a + b) / 2.0))),
        ),
        ([left, right], _) => {
            for (left, right) in left.iter().zip(*right) {
                into.extend([limited(left), limited(right)]);
            }
        }
        ([left, right, centre, others @ ..], _) => {
            // The bass channel of six and eight is left out.
            let others = if others.len() > 2 {
                others.get(1..).unwrap_or(&[])
            } else {
                others
            };
            for (n, ((left, right), centre)) in left.iter().zip(*right).zip(*centre).enumerate() {
                let (mut sides, middle) = ([MIX_SIDE * left, MIX_SIDE * right], MIX_OTHER * centre);
                for (plane, other) in others.iter().enumerate() {
                    let sample = MIX_OTHER * other.get(n).copied().unwrap_or(0.0);
                    if let Some(side) = sides.get_mut(plane % 2) {
                        *side += sample;
                    }
                }
                into.extend(sides.iter().map(|side| limited(&(side + middle))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_read_from_the_config() {
        // AAC-LC 44.1 kHz stereo, 48 kHz mono, 5.1, and a frequency in full.
        assert_eq!(aac_channels(&[0x12, 0x10]), Some(2));
        assert_eq!(aac_channels(&[0x11, 0x88]), Some(1));
        assert_eq!(aac_channels(&[0x11, 0xb0]), Some(2));
        assert_eq!(aac_channels(&[0x17, 0x80, 0x5d, 0xc0, 0x08]), Some(1));
        // HE-AAC of one channel may be HE-AAC v2.
        assert_eq!(aac_channels(&[0x2b, 0x09, 0x88, 0x00]), Some(2));
        assert_eq!(aac_channels(&[0x12]), None);
    }

    #[test]
    fn six_channels_become_two_no_louder() {
        let (one, zero) = ([1.0f32], [0.0f32]);
        let mut mixed = Vec::new();
        mix(&[&one[..], &one, &one, &one, &one, &one], 2, &mut mixed);
        assert!(
            mixed.iter().all(|sample| (*sample - 1.0).abs() < 0.01),
            "{mixed:?}"
        );
        mixed.clear();
        mix(&[&one[..], &zero, &zero, &one, &zero, &zero], 2, &mut mixed);
        assert_eq!(mixed, [MIX_SIDE, 0.0], "bass is left out");
    }

    #[test]
    fn stretching_keeps_the_ends_and_the_shape() {
        let samples: Vec<f32> = (0..1_024).map(|n| n as f32 / 1_024.0).collect();
        for (longer, length) in [(true, 1_025), (false, 1_023)] {
            let mut pcm = Pcm {
                rate: 48_000,
                channels: 1,
                samples: samples.clone(),
            };
            pcm.stretch(longer);
            assert_eq!(pcm.samples.len(), length);
            assert_eq!(
                (pcm.samples[0], pcm.samples[length - 1]),
                (samples[0], samples[1_023])
            );
            assert!((pcm.samples[500] - samples[500]).abs() < 0.001);
        }
    }
}
