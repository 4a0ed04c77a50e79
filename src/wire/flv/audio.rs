//! Audio bodies (FLV annex E.4.2; Enhanced RTMP v2, "Enhanced Audio").

use super::{
    CODED_FRAMES, FlvError, FourCc, OpusHead, SEQUENCE_END, SEQUENCE_START, extended,
    skip_modifiers, split,
};
use crate::wire::bytes::u8_at;

const PCMA: u8 = 7;
const PCMU: u8 = 8;
const ENHANCED: u8 = 9;
const AAC: u8 = 10;

/// 44.1 kHz, 16 bits, stereo: what AAC always says, whatever it is.
const AAC_HEAD: u8 = AAC << 4 | 0x0f;
/// 16 bits, mono; the rate's two bits have no 8 kHz and are left zero.
const MONO_16_BITS: u8 = 0x02;

/// Enhanced RTMP's packet type of audio alone that is acted on.
const MULTITRACK: u8 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodecId {
    Aac,
    Opus,
    /// G.711 mu-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    Mp3,
    /// 16 kHz, mono.
    Speex,
    Nellymoser,
    /// Another legacy number, or another FourCC as a big-endian number; 0
    /// also for an empty body, which names none.
    Other(u32),
}

impl AudioCodecId {
    fn of_legacy(number: u8) -> AudioCodecId {
        match number {
            2 | 14 => AudioCodecId::Mp3,
            4..=6 => AudioCodecId::Nellymoser,
            PCMA => AudioCodecId::Pcma,
            PCMU => AudioCodecId::Pcmu,
            AAC => AudioCodecId::Aac,
            11 => AudioCodecId::Speex,
            _ => AudioCodecId::Other(number.into()),
        }
    }

    fn of_four_cc(four_cc: FourCc) -> AudioCodecId {
        match &four_cc {
            b"mp4a" => AudioCodecId::Aac,
            b"Opus" => AudioCodecId::Opus,
            b".mp3" => AudioCodecId::Mp3,
            _ => AudioCodecId::Other(u32::from_be_bytes(four_cc)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioTag<'a> {
    pub codec: AudioCodecId,
    pub packet: AudioPacket<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioPacket<'a> {
    /// The codec's configuration: AudioSpecificConfig (ISO 14496-3 section
    /// 1.6.2.1) of AAC, [`OpusHead`] of Opus.
    SequenceHeader(&'a [u8]),
    /// Never empty.
    Frame(&'a [u8]),
    EndOfSequence,
    /// A message without a byte: there is nothing to hear.
    Silence,
    /// A channel layout, a packet without data, or a track that is not
    /// track 0.
    Ignored,
}

/// Reads the body of a message of type 8.
pub fn parse_audio(body: &[u8]) -> Result<AudioTag<'_>, FlvError> {
    let Some((&head, rest)) = body.split_first() else {
        return Ok(AudioTag {
            codec: AudioCodecId::Other(0),
            packet: AudioPacket::Silence,
        });
    };
    if head >> 4 == ENHANCED {
        return enhanced(head, rest);
    }
    let codec = AudioCodecId::of_legacy(head >> 4);
    let packet = match codec {
        AudioCodecId::Aac => {
            let packet_type = u8_at(rest, 0).ok_or(FlvError::Truncated)?;
            let (_, data) = split(rest, 1)?;
            match packet_type {
                SEQUENCE_START => sequence_header(data),
                CODED_FRAMES => frame(data),
                _ => AudioPacket::Ignored,
            }
        }
        _ => frame(rest),
    };
    Ok(AudioTag { codec, packet })
}

fn enhanced(head: u8, rest: &[u8]) -> Result<AudioTag<'_>, FlvError> {
    let (packet_type, rest) = skip_modifiers(head & 0x0f, rest)?;
    let extended = extended(packet_type, rest, MULTITRACK)?;
    let packet = match (extended.packet_type, extended.body) {
        (SEQUENCE_START, Some(config)) => sequence_header(config),
        (CODED_FRAMES, Some(data)) => frame(data),
        (SEQUENCE_END, Some(_)) => AudioPacket::EndOfSequence,
        _ => AudioPacket::Ignored,
    };
    Ok(AudioTag {
        codec: AudioCodecId::of_four_cc(extended.codec),
        packet,
    })
}

fn sequence_header(config: &[u8]) -> AudioPacket<'_> {
    match config {
        [] => AudioPacket::Ignored,
        config => AudioPacket::SequenceHeader(config),
    }
}

fn frame(data: &[u8]) -> AudioPacket<'_> {
    match data {
        [] => AudioPacket::Ignored,
        data => AudioPacket::Frame(data),
    }
}

/// Appends the body that configures a decoder; `config` is an
/// AudioSpecificConfig.
pub fn write_aac_sequence_header(out: &mut Vec<u8>, config: &[u8]) {
    out.extend([AAC_HEAD, SEQUENCE_START]);
    out.extend(config);
}

/// Appends the body of one AAC frame without ADTS header.
pub fn write_aac_frame(out: &mut Vec<u8>, data: &[u8]) {
    out.extend([AAC_HEAD, CODED_FRAMES]);
    out.extend(data);
}

/// Appends Enhanced RTMP's configuration of Opus.
pub fn write_opus_sequence_start(out: &mut Vec<u8>, head: &OpusHead) {
    out.push(ENHANCED << 4 | SEQUENCE_START);
    out.extend(b"Opus");
    head.write(out);
}

/// Appends the body of one Opus packet.
pub fn write_opus_frame(out: &mut Vec<u8>, data: &[u8]) {
    out.push(ENHANCED << 4 | CODED_FRAMES);
    out.extend(b"Opus");
    out.extend(data);
}

/// Appends the body of G.711 mu-law samples, mono.
pub fn write_pcmu_frame(out: &mut Vec<u8>, data: &[u8]) {
    out.push(PCMU << 4 | MONO_16_BITS);
    out.extend(data);
}

/// Appends the body of G.711 A-law samples, mono.
pub fn write_pcma_frame(out: &mut Vec<u8>, data: &[u8]) {
    out.push(PCMA << 4 | MONO_16_BITS);
    out.extend(data);
}
