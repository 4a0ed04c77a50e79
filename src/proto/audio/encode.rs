//! Sound to frames: the door to the encoding half of the codec crates.

use opus_pure::{Application, MAX_PACKET_BYTES, OpusEncoder};

use super::framer::Shape;
use super::{AudioError, AudioTarget, TICKS_PER_S};
use crate::base::limits::{
    AAC_BITRATE_MAX_BPS, AAC_BITRATE_MIN_BPS, OPUS_BITRATE_MAX_BPS, OPUS_BITRATE_MIN_BPS,
};

const OPUS_FRAME_SAMPLES: usize = 960;

const AAC_FRAME_SAMPLES: usize = 1_024;

/// The encoder refused what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unencodable;

/// A stream's encoder.
pub enum Encoder {
    Opus {
        encoder: Box<OpusEncoder>,
        packet: Vec<u8>,
    },
    Aac {
        encoder: Box<syom::Encoder>,
        /// Of each channel, the frame being encoded.
        planes: Vec<Vec<f32>>,
    },
}

impl Encoder {
    pub fn new(target: &AudioTarget, channels: usize) -> Result<Self, AudioError> {
        match *target {
            AudioTarget::Opus { bitrate_bps } => {
                let rate = TICKS_PER_S.cast_signed();
                let mut encoder = OpusEncoder::new(rate, channels, Application::Audio)
                    .map_err(|_| AudioError::Setup("opus encoder"))?;
                let bitrate_bps = bitrate_bps.clamp(OPUS_BITRATE_MIN_BPS, OPUS_BITRATE_MAX_BPS);
                encoder.bitrate_bps = bitrate_bps.cast_signed();
                Ok(Encoder::Opus {
                    encoder: Box::new(encoder),
                    packet: vec![0; MAX_PACKET_BYTES],
                })
            }
            AudioTarget::Aac { bitrate_bps } => {
                let bitrate_bps = bitrate_bps.clamp(AAC_BITRATE_MIN_BPS, AAC_BITRATE_MAX_BPS);
                let options = syom::EncodeOptions::raw().with_bitrate_bps(bitrate_bps);
                let encoder = syom::Encoder::new(TICKS_PER_S, channels, &options)
                    .map_err(|_| AudioError::Setup("aac encoder"))?;
                Ok(Encoder::Aac {
                    encoder: Box::new(encoder),
                    planes: vec![Vec::new(); channels],
                })
            }
        }
    }

    /// What frames [`Encoder::encode`] takes.
    pub fn shape(&self) -> Shape {
        match self {
            Encoder::Opus { encoder, .. } => Shape {
                samples: OPUS_FRAME_SAMPLES,
                grid_ticks: OPUS_FRAME_SAMPLES as i64,
                delay_ticks: encoder.lookahead() as i64,
            },
            // The transform overlaps: a frame is heard one frame later.
            Encoder::Aac { .. } => Shape {
                samples: AAC_FRAME_SAMPLES,
                grid_ticks: 1,
                delay_ticks: AAC_FRAME_SAMPLES as i64,
            },
        }
    }

    pub fn header(&self) -> Vec<u8> {
        match self {
            Encoder::Opus { encoder, .. } => opus_head(encoder),
            Encoder::Aac { encoder, .. } => encoder.asc().to_vec(),
        }
    }

    /// Encodes one frame of interleaved samples, all within -1 to 1.
    pub fn encode(
        &mut self,
        samples: &[f32],
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Unencodable> {
        match self {
            Encoder::Opus { encoder, packet } => {
                let encoded = encoder.encode(samples, OPUS_FRAME_SAMPLES, packet);
                let length = encoded.map_err(|_| Unencodable)?;
                emit(packet.get(..length).ok_or(Unencodable)?);
                Ok(())
            }
            Encoder::Aac { encoder, planes } => {
                let channels = planes.len();
                for (channel, plane) in planes.iter_mut().enumerate() {
                    plane.clear();
                    let own = samples.iter().skip(channel).step_by(channels);
                    // The filters overshoot a little.
                    plane.extend(own.map(|sample| sample.clamp(-1.0, 1.0)));
                }
                let planes: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
                let fed = encoder.feed(&planes, |frame| {
                    emit(frame.payload);
                    Ok(())
                });
                if fed.is_err() {
                    // It stays failed until then.
                    let _ = encoder.reset();
                    return Err(Unencodable);
                }
                Ok(())
            }
        }
    }
}

/// The identification header of RFC 7845 section 5.1, family 0.
fn opus_head(encoder: &OpusEncoder) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(encoder.channels() as u8);
    head.extend((encoder.lookahead() as u16).to_le_bytes());
    head.extend(TICKS_PER_S.to_le_bytes());
    head.extend([0, 0, 0]);
    head
}
