//! FLV tag bodies as RTMP carries them: video (type 9), audio (type 8) and
//! metadata (type 18), legacy (Adobe FLV 10.1, annex E) and Enhanced RTMP v2
//! (veovera). Reads borrowed views and writes what players are sent. Owns no
//! file header, and no aggregate messages.
//!
//! Refuses bodies that end inside their own header. What is well formed but of
//! no use here (commands, HDR metadata, later tracks) is told as ignored, so
//! that a session need not know of it.

mod audio;
mod config;
mod metadata;
mod video;

pub use audio::{
    AudioCodecId, AudioPacket, AudioTag, parse_audio, write_aac_frame, write_aac_sequence_header,
    write_opus_frame, write_opus_sequence_start, write_pcma_frame, write_pcmu_frame,
};
pub use config::{AvcConfig, OpusHead};
pub use metadata::{Metadata, metadata};
pub use video::{
    VideoCodecId, VideoPacket, VideoTag, parse_video, write_avc_frame, write_avc_sequence_header,
};

use super::bytes::{u8_at, u16_at, u24_at};

/// What is wrong with a body or a codec's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlvError {
    /// Ends inside its header, or before a length it tells.
    Truncated,
    /// Another version of a codec's configuration than the known one.
    UnknownVersion(u8),
    /// AVC: lengths of three bytes, which ISO 14496-15 forbids.
    BadLengthSize,
    /// AVC: a parameter set with no bytes.
    EmptyParameterSet,
}

/// Enhanced RTMP's packet types that audio and video share.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const MOD_EX: u8 = 7;

/// How a multitrack body is laid out.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

type FourCc = [u8; 4];

/// An Enhanced RTMP body behind its headers.
struct Extended<'a> {
    packet_type: u8,
    codec: FourCc,
    /// None when the body has no track 0.
    body: Option<&'a [u8]>,
}

/// The first `len` bytes, and what is behind them.
fn split(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), FlvError> {
    bytes.split_at_checked(len).ok_or(FlvError::Truncated)
}

/// Skips ModEx prefixes; gives the packet type behind them and the rest.
fn skip_modifiers(mut packet_type: u8, mut rest: &[u8]) -> Result<(u8, &[u8]), FlvError> {
    while packet_type == MOD_EX {
        let short = u8_at(rest, 0).ok_or(FlvError::Truncated)?;
        // 255, for 256, announces a length of two bytes, also less one.
        let header = match short {
            255 => u16_at(rest, 1).map(|long| (3, usize::from(long) + 1)),
            _ => Some((1, usize::from(short) + 1)),
        };
        let (header_len, len) = header.ok_or(FlvError::Truncated)?;
        let (_, behind) = split(rest, header_len + len)?;
        // High nibble: what the skipped bytes meant.
        packet_type = u8_at(behind, 0).ok_or(FlvError::Truncated)? & 0x0f;
        (_, rest) = split(behind, 1)?;
    }
    Ok((packet_type, rest))
}

/// FourCC and body; of several tracks the one with id 0, which is the one
/// whoever knows of no tracks is to see. `multitrack` is the packet type that
/// announces them.
fn extended(packet_type: u8, rest: &[u8], multitrack: u8) -> Result<Extended<'_>, FlvError> {
    if packet_type != multitrack {
        let (codec, body) = four_cc(rest)?;
        return Ok(Extended {
            packet_type,
            codec,
            body: Some(body),
        });
    }
    let layout = u8_at(rest, 0).ok_or(FlvError::Truncated)?;
    let (_, mut rest) = split(rest, 1)?;
    let (kind, packet_type) = (layout >> 4, layout & 0x0f);
    let mut codec = FourCc::default();
    if kind != MANY_TRACKS_MANY_CODECS {
        (codec, rest) = four_cc(rest)?;
    }
    let mut first_codec = None;
    while !rest.is_empty() {
        if kind == MANY_TRACKS_MANY_CODECS {
            (codec, rest) = four_cc(rest)?;
        }
        first_codec.get_or_insert(codec);
        let id = u8_at(rest, 0).ok_or(FlvError::Truncated)?;
        (_, rest) = split(rest, 1)?;
        let track = match kind {
            ONE_TRACK => std::mem::take(&mut rest),
            _ => {
                let len = u24_at(rest, 0).ok_or(FlvError::Truncated)?;
                let (_, behind) = split(rest, 3)?;
                let (track, behind) = split(behind, len as usize)?;
                rest = behind;
                track
            }
        };
        if id == 0 {
            return Ok(Extended {
                packet_type,
                codec,
                body: Some(track),
            });
        }
    }
    Ok(Extended {
        packet_type,
        codec: first_codec.unwrap_or(codec),
        body: None,
    })
}

fn four_cc(bytes: &[u8]) -> Result<(FourCc, &[u8]), FlvError> {
    let (codec, rest) = bytes.split_first_chunk().ok_or(FlvError::Truncated)?;
    Ok((*codec, rest))
}

#[cfg(test)]
mod tests;
