//! Video bodies (FLV annex E.4.3; Enhanced RTMP v2, "Enhanced Video").

use super::{
    CODED_FRAMES, FlvError, FourCc, SEQUENCE_END, SEQUENCE_START, extended, skip_modifiers, split,
};
use crate::wire::bytes::{u8_at, u24_at};

const KEY_FRAME: u8 = 1;
const INTER_FRAME: u8 = 2;
const COMMAND_FRAME: u8 = 5;

const AVC: u8 = 7;
/// Not in the specification; what encoders sent before Enhanced RTMP.
const LEGACY_HEVC: u8 = 12;

/// Enhanced RTMP's packet types of video alone.
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MULTITRACK: u8 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodecId {
    Avc,
    Hevc,
    Vp8,
    Vp9,
    Av1,
    Sorenson,
    Vp6,
    /// Another legacy number, or another FourCC as a big-endian number; 0 for
    /// an empty body, which names none.
    Other(u32),
}

impl VideoCodecId {
    fn of_legacy(number: u8) -> VideoCodecId {
        match number {
            2 => VideoCodecId::Sorenson,
            4 | 5 => VideoCodecId::Vp6,
            AVC => VideoCodecId::Avc,
            LEGACY_HEVC => VideoCodecId::Hevc,
            _ => VideoCodecId::Other(number.into()),
        }
    }

    fn of_four_cc(four_cc: FourCc) -> VideoCodecId {
        match &four_cc {
            b"avc1" => VideoCodecId::Avc,
            b"hvc1" => VideoCodecId::Hevc,
            b"vp08" => VideoCodecId::Vp8,
            b"vp09" => VideoCodecId::Vp9,
            b"av01" => VideoCodecId::Av1,
            _ => VideoCodecId::Other(u32::from_be_bytes(four_cc)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoTag<'a> {
    pub codec: VideoCodecId,
    /// As the body's header says; the frame is not looked into.
    pub is_key: bool,
    pub packet: VideoPacket<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoPacket<'a> {
    /// The codec's configuration; for AVC see [`super::AvcConfig`].
    SequenceHeader(&'a [u8]),
    Frame {
        /// Shown this much later than decoded, in milliseconds.
        composition_ms: i32,
        /// Never empty.
        data: &'a [u8],
    },
    EndOfSequence,
    /// A command, HDR metadata, a packet without data, or a track that is not
    /// track 0.
    Ignored,
}

/// Reads the body of a message of type 9.
pub fn parse_video(body: &[u8]) -> Result<VideoTag<'_>, FlvError> {
    let Some((&head, rest)) = body.split_first() else {
        return Ok(VideoTag {
            codec: VideoCodecId::Other(0),
            is_key: false,
            packet: VideoPacket::Ignored,
        });
    };
    if head & 0x80 != 0 {
        return enhanced(head, rest);
    }
    let frame_type = head >> 4;
    let codec = VideoCodecId::of_legacy(head & 0x0f);
    let packet = match codec {
        _ if frame_type == COMMAND_FRAME => VideoPacket::Ignored,
        VideoCodecId::Avc | VideoCodecId::Hevc => {
            let packet_type = u8_at(rest, 0).ok_or(FlvError::Truncated)?;
            let (composition_ms, data) = composition(split(rest, 1)?.1)?;
            match packet_type {
                SEQUENCE_START => sequence_header(data),
                CODED_FRAMES => frame(composition_ms, data),
                SEQUENCE_END => VideoPacket::EndOfSequence,
                _ => VideoPacket::Ignored,
            }
        }
        _ => frame(0, rest),
    };
    Ok(VideoTag {
        codec,
        is_key: frame_type == KEY_FRAME,
        packet,
    })
}

fn enhanced(head: u8, rest: &[u8]) -> Result<VideoTag<'_>, FlvError> {
    let frame_type = head >> 4 & 0x07;
    let is_key = frame_type == KEY_FRAME;
    let (packet_type, rest) = skip_modifiers(head & 0x0f, rest)?;
    if frame_type == COMMAND_FRAME && packet_type != METADATA {
        return Ok(VideoTag {
            codec: VideoCodecId::Other(0),
            is_key,
            packet: VideoPacket::Ignored,
        });
    }
    let extended = extended(packet_type, rest, MULTITRACK)?;
    let codec = VideoCodecId::of_four_cc(extended.codec);
    let has_composition = matches!(&extended.codec, b"avc1" | b"hvc1" | b"vvc1");
    let packet = match (extended.packet_type, extended.body) {
        (SEQUENCE_START, Some(config)) => sequence_header(config),
        (CODED_FRAMES, Some(body)) if has_composition => {
            let (composition_ms, data) = composition(body)?;
            frame(composition_ms, data)
        }
        (CODED_FRAMES | CODED_FRAMES_X, Some(data)) => frame(0, data),
        (SEQUENCE_END, Some(_)) => VideoPacket::EndOfSequence,
        _ => VideoPacket::Ignored,
    };
    Ok(VideoTag {
        codec,
        is_key,
        packet,
    })
}

fn sequence_header(config: &[u8]) -> VideoPacket<'_> {
    match config {
        [] => VideoPacket::Ignored,
        config => VideoPacket::SequenceHeader(config),
    }
}

fn frame(composition_ms: i32, data: &[u8]) -> VideoPacket<'_> {
    match data {
        [] => VideoPacket::Ignored,
        data => VideoPacket::Frame {
            composition_ms,
            data,
        },
    }
}

/// A signed number of 24 bits, and what is behind it.
fn composition(bytes: &[u8]) -> Result<(i32, &[u8]), FlvError> {
    let number = u24_at(bytes, 0).ok_or(FlvError::Truncated)?;
    let (_, rest) = split(bytes, 3)?;
    Ok(((number << 8).cast_signed() >> 8, rest))
}

/// Appends the body that configures a decoder; `record` as
/// [`super::AvcConfig`] writes it.
pub fn write_avc_sequence_header(out: &mut Vec<u8>, record: &[u8]) {
    write_avc(out, KEY_FRAME, SEQUENCE_START, 0, record);
}

/// Appends a frame's body; `data` is NAL units, each behind its length in as
/// many bytes as the configuration tells.
pub fn write_avc_frame(out: &mut Vec<u8>, is_key: bool, composition_ms: i32, data: &[u8]) {
    let frame_type = if is_key { KEY_FRAME } else { INTER_FRAME };
    write_avc(out, frame_type, CODED_FRAMES, composition_ms, data);
}

fn write_avc(out: &mut Vec<u8>, frame_type: u8, packet_type: u8, composition_ms: i32, data: &[u8]) {
    const MAX: i32 = 0x7f_ffff;
    let [_, composition @ ..] = composition_ms.clamp(-MAX - 1, MAX).to_be_bytes();
    out.extend([frame_type << 4 | AVC, packet_type]);
    out.extend(composition);
    out.extend(data);
}
