//! Feedback on streams: negative acknowledgement and picture loss (RFC 4585),
//! full intra request (RFC 5104), and the receiver's estimate of bandwidth
//! (draft-alvestrand-rmcat-remb-03).

use crate::wire::bytes::{u8_at, u16_at, u24_at, u32_at};

use super::Fault;

/// RFC 4585 section 6.1: sender and media SSRC before the message itself.
pub(super) const COMMON_BYTES: usize = 8;

/// Sender SSRC, media SSRC and the message of a feedback packet.
pub(super) fn split_common(body: &[u8]) -> Result<(u32, u32, &[u8]), Fault> {
    let split = || {
        Some((
            u32_at(body, 0)?,
            u32_at(body, 4)?,
            body.get(COMMON_BYTES..)?,
        ))
    };
    split().ok_or(Fault::Truncated)
}

/// RFC 4585 section 6.2.1: packets the receiver misses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    pub sender_ssrc: u32,
    pub media_ssrc: u32,
    /// Up to 17 per four bytes: as many as a datagram holds, in the peer's
    /// order and not necessarily distinct.
    pub lost: Lost<'a>,
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        let (sender_ssrc, media_ssrc, pairs) = split_common(body)?;
        if pairs.is_empty() || pairs.len() % 4 != 0 {
            return Err(Fault::Truncated);
        }
        Ok(Nack {
            sender_ssrc,
            media_ssrc,
            lost: Lost {
                pairs,
                pid: 0,
                blp: 0,
            },
        })
    }
}

/// Sequence numbers of a NACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost<'a> {
    pairs: &'a [u8],
    /// The packet of the pair being read; bits of `blp` speak of those after it.
    pid: u16,
    /// Bits not yet read.
    blp: u16,
}

impl Iterator for Lost<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.blp != 0 {
            let bit = self.blp.trailing_zeros();
            self.blp &= self.blp - 1;
            return Some(self.pid.wrapping_add(bit as u16 + 1));
        }
        self.pid = u16_at(self.pairs, 0)?;
        self.blp = u16_at(self.pairs, 2)?;
        self.pairs = self.pairs.get(4..)?;
        Some(self.pid)
    }
}

/// RFC 4585 section 6.3.1: the receiver cannot decode until a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pli {
    pub sender_ssrc: u32,
    pub media_ssrc: u32,
}

impl Pli {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        let (sender_ssrc, media_ssrc, _) = split_common(body)?;
        Ok(Pli {
            sender_ssrc,
            media_ssrc,
        })
    }
}

/// RFC 5104 section 4.3.1: a demand for a key frame. A repeated sequence
/// number is the same demand sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fir<'a> {
    pub sender_ssrc: u32,
    pub entries: FirEntries<'a>,
}

pub(super) const FIR_ENTRY_BYTES: usize = 8;

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        let (sender_ssrc, _, entries) = split_common(body)?;
        if entries.is_empty() || entries.len() % FIR_ENTRY_BYTES != 0 {
            return Err(Fault::Truncated);
        }
        Ok(Fir {
            sender_ssrc,
            entries: FirEntries(entries),
        })
    }
}

/// Pairs of (media SSRC, command sequence number).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirEntries<'a>(&'a [u8]);

impl Iterator for FirEntries<'_> {
    type Item = (u32, u8);

    fn next(&mut self) -> Option<(u32, u8)> {
        let (entry, rest) = self.0.split_first_chunk::<FIR_ENTRY_BYTES>()?;
        self.0 = rest;
        Some((u32_at(entry, 0)?, u8_at(entry, 4)?))
    }
}

/// draft-alvestrand-rmcat-remb-03 section 2.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remb<'a> {
    pub sender_ssrc: u32,
    /// Saturates: the format can name 2^81 bit/s.
    pub bitrate_bps: u64,
    /// The streams the estimate is for together.
    pub ssrcs: Ssrcs<'a>,
}

pub(super) const REMB_NAME: &[u8; 4] = b"REMB";

impl<'a> Remb<'a> {
    /// Whether an application feedback message is a REMB at all.
    pub(super) fn is_named(body: &[u8]) -> bool {
        body.get(COMMON_BYTES..)
            .is_some_and(|message| message.starts_with(REMB_NAME))
    }

    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        let (sender_ssrc, _, message) = split_common(body)?;
        let fields = || {
            let count = usize::from(u8_at(message, 4)?);
            let packed = u24_at(message, 5)?;
            let mantissa = u64::from(packed & 0x3_ffff);
            let exponent = packed >> 18;
            let fits = mantissa.leading_zeros() >= exponent;
            Some(Remb {
                sender_ssrc,
                bitrate_bps: if mantissa == 0 {
                    0
                } else if fits {
                    mantissa << exponent
                } else {
                    u64::MAX
                },
                ssrcs: Ssrcs(message.get(8..)?.get(..count * 4)?),
            })
        };
        fields().ok_or(Fault::Truncated)
    }
}

/// A list of SSRCs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssrcs<'a>(pub(super) &'a [u8]);

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*ssrc))
    }
}
