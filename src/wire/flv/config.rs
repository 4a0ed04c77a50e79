//! Configurations that sequence headers carry: of H.264
//! (AVCDecoderConfigurationRecord, ISO 14496-15 section 5.3.3.1), and of Opus
//! (OpusHead, RFC 7845 section 5.1), which is written only.

use super::{FlvError, split};
use crate::wire::bytes::{u8_at, u16_at};
use crate::wire::h264_sps;

/// Parameter sets, and how NAL units are put one behind another in frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvcConfig<'a> {
    pub profile: u8,
    /// The constraint flags.
    pub compatibility: u8,
    pub level: u8,
    /// Bytes of the length before each NAL unit: 1, 2 or 4.
    pub nal_length_bytes: u8,
    /// At most 31, none empty; there may be none when they come in band.
    pub sps: Vec<&'a [u8]>,
    /// At most 255, none empty.
    pub pps: Vec<&'a [u8]>,
}

impl<'a> AvcConfig<'a> {
    /// Of one set each, with lengths of four bytes. None when `sps` is too
    /// short to tell a profile.
    pub fn of_sets(sps: &'a [u8], pps: &'a [u8]) -> Option<AvcConfig<'a>> {
        Some(AvcConfig {
            profile: u8_at(sps, 1)?,
            compatibility: u8_at(sps, 2)?,
            level: u8_at(sps, 3)?,
            nal_length_bytes: 4,
            sps: vec![sps],
            pps: vec![pps],
        })
    }

    /// Reads a record. What follows the sets (chroma format and bit depths,
    /// which the sets tell themselves) is not looked at: encoders leave it out.
    pub fn parse(record: &'a [u8]) -> Result<AvcConfig<'a>, FlvError> {
        const VERSION: u8 = 1;
        let (head, rest) = split(record, 6)?;
        let &[version, profile, compatibility, level, lengths, count] = head else {
            return Err(FlvError::Truncated);
        };
        if version != VERSION {
            return Err(FlvError::UnknownVersion(version));
        }
        let nal_length_bytes = (lengths & 0x03) + 1;
        if nal_length_bytes == 3 {
            return Err(FlvError::BadLengthSize);
        }
        let (sps, rest) = sets(rest, count & 0x1f)?;
        let count = u8_at(rest, 0).ok_or(FlvError::Truncated)?;
        let (pps, _) = sets(split(rest, 1)?.1, count)?;
        Ok(AvcConfig {
            profile,
            compatibility,
            level,
            nal_length_bytes,
            sps,
            pps,
        })
    }

    /// Appends the record, for high profiles with what the first sequence
    /// parameter set tells of chroma and depth. Sets beyond the counts and
    /// lengths the record can tell are left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        let lengths = 0xfc | self.nal_length_bytes.wrapping_sub(1) & 0x03;
        out.extend([1, self.profile, self.compatibility, self.level, lengths]);
        write_sets(out, &self.sps, 31, 0xe0);
        write_sets(out, &self.pps, 255, 0);
        let sps = self.sps.first();
        if let Some(samples) = sps.and_then(|sps| h264_sps::samples(sps)) {
            let luma = 0xf8 | samples.bit_depth_luma.saturating_sub(8);
            let chroma = 0xf8 | samples.bit_depth_chroma.saturating_sub(8);
            out.extend([0xfc | samples.chroma_format, luma, chroma, 0]);
        }
    }
}

fn sets(mut rest: &[u8], count: u8) -> Result<(Vec<&[u8]>, &[u8]), FlvError> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let len = u16_at(rest, 0).ok_or(FlvError::Truncated)?;
        let (_, behind) = split(rest, 2)?;
        let (set, behind) = split(behind, len.into())?;
        if set.is_empty() {
            return Err(FlvError::EmptyParameterSet);
        }
        sets.push(set);
        rest = behind;
    }
    Ok((sets, rest))
}

fn write_sets(out: &mut Vec<u8>, sets: &[&[u8]], max: usize, reserved: u8) {
    let fits = |set: &&&[u8]| !set.is_empty() && set.len() <= usize::from(u16::MAX);
    let sets: Vec<&&[u8]> = sets.iter().filter(fits).take(max).collect();
    out.push(reserved | sets.len() as u8);
    for set in sets {
        out.extend((set.len() as u16).to_be_bytes());
        out.extend(*set);
    }
}

/// What an Opus stream is. The rate is always 48 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusHead {
    /// At least one.
    pub channels: u8,
    /// Samples at 48 kHz to drop at the start.
    pub pre_skip: u16,
}

impl OpusHead {
    /// Appends the head, with no gain and channel mapping family 0, which is
    /// for one or two channels.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(b"OpusHead");
        out.extend([1, self.channels]);
        out.extend(self.pre_skip.to_le_bytes());
        out.extend(48_000u32.to_le_bytes());
        out.extend([0, 0, 0]);
    }
}
