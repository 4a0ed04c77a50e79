//! Reports: sender and receiver reports, source descriptions, goodbyes
//! (RFC 3550 sections 6.4 to 6.6) and extended reports (RFC 3611).

use crate::base::time::Ntp;
use crate::wire::bytes::{u8_at, u16_at, u24_at, u32_at, u64_at};

use super::Fault;
use super::feedback::Ssrcs;

/// RFC 3550 section 6.4.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderReport<'a> {
    pub ssrc: u32,
    /// The sender's wall clock when the report left.
    pub ntp: Ntp,
    /// The same instant in the stream's RTP clock.
    pub rtp_timestamp: u32,
    pub packet_count: u32,
    /// Payload octets, without headers and padding; wraps.
    pub octet_count: u32,
    pub reports: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, Fault> {
        let fixed = || {
            Some(SenderReport {
                ssrc: u32_at(body, 0)?,
                ntp: Ntp::from_bits(u64_at(body, 4)?),
                rtp_timestamp: u32_at(body, 12)?,
                packet_count: u32_at(body, 16)?,
                octet_count: u32_at(body, 20)?,
                reports: ReportBlocks::parse(count, body.get(24..)?)?,
            })
        };
        fixed().ok_or(Fault::Truncated)
    }
}

/// RFC 3550 section 6.4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    pub ssrc: u32,
    pub reports: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, Fault> {
        let fixed = || {
            Some(ReceiverReport {
                ssrc: u32_at(body, 0)?,
                reports: ReportBlocks::parse(count, body.get(4..)?)?,
            })
        };
        fixed().ok_or(Fault::Truncated)
    }
}

/// How one stream was received, RFC 3550 section 6.4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream reported on.
    pub ssrc: u32,
    /// Lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Lost since the beginning; duplicates make it negative. 24 bits, signed.
    pub cumulative_lost: i32,
    /// Extended by the number of wraps in the upper half.
    pub highest_sequence: u32,
    /// In units of the stream's RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report, 0 without one.
    pub last_sender_report: u32,
    /// Since then, in 1/65536 s.
    pub delay_since: u32,
}

pub(super) const REPORT_BLOCK_BYTES: usize = 24;

/// The report blocks of a report, at most 31.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportBlocks<'a>(&'a [u8]);

impl<'a> ReportBlocks<'a> {
    fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let blocks = body.get(..usize::from(count) * REPORT_BLOCK_BYTES)?;
        Some(ReportBlocks(blocks))
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_first_chunk::<REPORT_BLOCK_BYTES>()?;
        self.0 = rest;
        let lost = u24_at(block, 5)?;
        Some(ReportBlock {
            ssrc: u32_at(block, 0)?,
            fraction_lost: u8_at(block, 4)?,
            // Sign-extended from 24 bits.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_sequence: u32_at(block, 8)?,
            jitter: u32_at(block, 12)?,
            last_sender_report: u32_at(block, 16)?,
            delay_since: u32_at(block, 20)?,
        })
    }
}

/// RFC 3550 section 6.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdes<'a> {
    pub chunks: SdesChunks<'a>,
}

impl<'a> Sdes<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, Fault> {
        let chunks = SdesChunks {
            left: count,
            rest: body,
        };
        // Walked once here, so that a reader meets no malformed chunk.
        if chunks.clone().count() != usize::from(count) {
            return Err(Fault::Truncated);
        }
        Ok(Sdes { chunks })
    }
}

/// One source's description; only its canonical name matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesChunk<'a> {
    pub ssrc: u32,
    /// RFC 3550 section 6.5.1; arbitrary bytes, at most 255.
    pub cname: Option<&'a [u8]>,
}

pub(super) const SDES_CNAME: u8 = 1;

/// The chunks of a source description, at most 31.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdesChunks<'a> {
    left: u8,
    rest: &'a [u8],
}

impl<'a> Iterator for SdesChunks<'a> {
    type Item = SdesChunk<'a>;

    fn next(&mut self) -> Option<SdesChunk<'a>> {
        self.left = self.left.checked_sub(1)?;
        let ssrc = u32_at(self.rest, 0)?;
        let mut cname = None;
        let mut at = 4;
        loop {
            let item = u8_at(self.rest, at)?;
            if item == 0 {
                // The end mark, padded to the next word.
                let end = (at + 1).next_multiple_of(4);
                self.rest = self.rest.get(end..)?;
                return Some(SdesChunk { ssrc, cname });
            }
            let start = at + 2;
            let end = start + usize::from(u8_at(self.rest, at + 1)?);
            let text = self.rest.get(start..end)?;
            if item == SDES_CNAME {
                cname = cname.or(Some(text));
            }
            at = end;
        }
    }
}

/// RFC 3550 section 6.6. The reason is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye<'a> {
    /// At most 31; none is legal and useless.
    pub ssrcs: Ssrcs<'a>,
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, Fault> {
        let ssrcs = body.get(..usize::from(count) * 4).ok_or(Fault::Truncated)?;
        Ok(Bye {
            ssrcs: Ssrcs(ssrcs),
        })
    }
}

/// RFC 3611 section 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedReport<'a> {
    pub ssrc: u32,
    pub blocks: ExtendedBlocks<'a>,
}

impl<'a> ExtendedReport<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        let ssrc = u32_at(body, 0).ok_or(Fault::Truncated)?;
        let blocks = ExtendedBlocks(body.get(4..).ok_or(Fault::Truncated)?);
        // Walked once here, so that a reader meets no malformed block.
        let mut walk = blocks.clone();
        while walk.next().is_some() {}
        if !walk.0.is_empty() {
            return Err(Fault::Truncated);
        }
        Ok(ExtendedReport { ssrc, blocks })
    }
}

/// One report block of an extended report, RFC 3611 section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtendedBlock<'a> {
    /// Section 4.4: the wall clock of a receiver that sends no media.
    ReferenceTime(Ntp),
    /// Section 4.5: answers to those.
    Dlrr(DlrrEntries<'a>),
    Other {
        block_type: u8,
    },
}

pub(super) const BLOCK_REFERENCE_TIME: u8 = 4;
pub(super) const BLOCK_DLRR: u8 = 5;
pub(super) const DLRR_ENTRY_BYTES: usize = 12;

/// The blocks of an extended report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedBlocks<'a>(&'a [u8]);

impl<'a> Iterator for ExtendedBlocks<'a> {
    type Item = ExtendedBlock<'a>;

    fn next(&mut self) -> Option<ExtendedBlock<'a>> {
        let block_type = u8_at(self.0, 0)?;
        let len = usize::from(u16_at(self.0, 2)?) * 4;
        let (body, rest) = self.0.get(4..)?.split_at_checked(len)?;
        let block = match block_type {
            BLOCK_REFERENCE_TIME => ExtendedBlock::ReferenceTime(Ntp::from_bits(u64_at(body, 0)?)),
            BLOCK_DLRR if len % DLRR_ENTRY_BYTES == 0 => ExtendedBlock::Dlrr(DlrrEntries(body)),
            BLOCK_DLRR => return None,
            block_type => ExtendedBlock::Other { block_type },
        };
        self.0 = rest;
        Some(block)
    }
}

/// Delay since the last receiver reference time, RFC 3611 section 4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dlrr {
    /// The receiver answered.
    pub ssrc: u32,
    /// Middle 32 bits of its reference time, 0 without one.
    pub last_reference: u32,
    /// Since then, in 1/65536 s.
    pub delay_since: u32,
}

/// The sub-blocks of a DLRR block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DlrrEntries<'a>(&'a [u8]);

impl Iterator for DlrrEntries<'_> {
    type Item = Dlrr;

    fn next(&mut self) -> Option<Dlrr> {
        let (entry, rest) = self.0.split_first_chunk::<DLRR_ENTRY_BYTES>()?;
        self.0 = rest;
        Some(Dlrr {
            ssrc: u32_at(entry, 0)?,
            last_reference: u32_at(entry, 4)?,
            delay_since: u32_at(entry, 8)?,
        })
    }
}
