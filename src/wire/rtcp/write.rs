//! Writers of RTCP packets. Each appends one whole packet to a buffer the
//! caller keeps and reuses, so a compound is a sequence of calls; a writer that
//! refuses leaves the buffer as it was.

use crate::base::limits::{RTCP_NACK_PAIRS_MAX, RTCP_PACKET_MAX_BYTES};
use crate::base::time::Ntp;

use super::feedback::{FIR_ENTRY_BYTES, REMB_NAME};
use super::report::{
    BLOCK_DLRR, BLOCK_REFERENCE_TIME, DLRR_ENTRY_BYTES, Dlrr, REPORT_BLOCK_BYTES, ReportBlock,
    SDES_CNAME,
};
use super::{
    FORMAT_APPLICATION, FORMAT_FIR, FORMAT_NACK, FORMAT_PLI, HEADER_BYTES, TYPE_BYE,
    TYPE_EXTENDED_REPORT, TYPE_PAYLOAD_FEEDBACK, TYPE_RECEIVER_REPORT, TYPE_SDES,
    TYPE_SENDER_REPORT, TYPE_TRANSPORT_FEEDBACK,
};

/// Why a packet cannot be written: the caller asked for what the format or the
/// size cap does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// More items than the count field holds.
    TooMany,
    /// Longer than `limits::RTCP_PACKET_MAX_BYTES`.
    TooLong,
    /// A packet that would say nothing.
    Empty,
    /// A value beyond its field.
    OutOfRange,
}

/// Largest value of the five-bit count field.
const COUNT_MAX: usize = 31;

/// What a sender says of its stream, RFC 3550 section 6.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    pub ssrc: u32,
    pub ntp: Ntp,
    pub rtp_timestamp: u32,
    pub packet_count: u32,
    pub octet_count: u32,
}

/// Appends a header: version 2, no padding, `body_words` words after it.
pub(super) fn fixed_header(out: &mut Vec<u8>, format: u8, packet_type: u8, body_words: u16) {
    out.extend([0x80 | (format & 0x1f), packet_type]);
    out.extend(body_words.to_be_bytes());
}

/// Appends a header for a body of `body_bytes`, a multiple of four.
fn header(
    out: &mut Vec<u8>,
    format: u8,
    packet_type: u8,
    body_bytes: usize,
) -> Result<(), WriteError> {
    let words = u16::try_from(body_bytes / 4).map_err(|_| WriteError::TooLong)?;
    if HEADER_BYTES + body_bytes > RTCP_PACKET_MAX_BYTES {
        return Err(WriteError::TooLong);
    }
    fixed_header(out, format, packet_type, words);
    Ok(())
}

/// The five-bit count of `len` items.
fn count(len: usize) -> Result<u8, WriteError> {
    u8::try_from(len)
        .ok()
        .filter(|_| len <= COUNT_MAX)
        .ok_or(WriteError::TooMany)
}

/// RFC 3550 section 6.4.1; at most 31 report blocks.
pub fn sender_report(
    out: &mut Vec<u8>,
    info: &SenderInfo,
    reports: &[ReportBlock],
) -> Result<(), WriteError> {
    let body_bytes = 24 + reports.len() * REPORT_BLOCK_BYTES;
    header(out, count(reports.len())?, TYPE_SENDER_REPORT, body_bytes)?;
    out.extend(info.ssrc.to_be_bytes());
    out.extend(info.ntp.to_bits().to_be_bytes());
    out.extend(info.rtp_timestamp.to_be_bytes());
    out.extend(info.packet_count.to_be_bytes());
    out.extend(info.octet_count.to_be_bytes());
    reports.iter().for_each(|report| append_report(out, report));
    Ok(())
}

/// RFC 3550 section 6.4.2; at most 31 report blocks, none is legal.
pub fn receiver_report(
    out: &mut Vec<u8>,
    ssrc: u32,
    reports: &[ReportBlock],
) -> Result<(), WriteError> {
    let body_bytes = 4 + reports.len() * REPORT_BLOCK_BYTES;
    header(out, count(reports.len())?, TYPE_RECEIVER_REPORT, body_bytes)?;
    out.extend(ssrc.to_be_bytes());
    reports.iter().for_each(|report| append_report(out, report));
    Ok(())
}

fn append_report(out: &mut Vec<u8>, report: &ReportBlock) {
    out.extend(report.ssrc.to_be_bytes());
    // RFC 3550 section A.3: the cumulative count stops at its 24-bit limits.
    let lost = report.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
    let [_, lost @ ..] = lost.to_be_bytes();
    out.push(report.fraction_lost);
    out.extend(lost);
    out.extend(report.highest_sequence.to_be_bytes());
    out.extend(report.jitter.to_be_bytes());
    out.extend(report.last_sender_report.to_be_bytes());
    out.extend(report.delay_since.to_be_bytes());
}

/// RFC 3550 section 6.5 with one chunk and one item, the canonical name, at
/// most 255 bytes.
pub fn sdes_cname(out: &mut Vec<u8>, ssrc: u32, cname: &[u8]) -> Result<(), WriteError> {
    let len = u8::try_from(cname.len()).map_err(|_| WriteError::TooMany)?;
    // SSRC, item head, name, and at least one zero byte to end the chunk.
    let used = 4 + 2 + cname.len();
    let body_bytes = (used + 1).next_multiple_of(4);
    header(out, 1, TYPE_SDES, body_bytes)?;
    out.extend(ssrc.to_be_bytes());
    out.extend([SDES_CNAME, len]);
    out.extend(cname);
    out.resize(out.len() + body_bytes - used, 0);
    Ok(())
}

/// RFC 3550 section 6.6, without a reason; at most 31 streams.
pub fn bye(out: &mut Vec<u8>, ssrcs: &[u32]) -> Result<(), WriteError> {
    header(out, count(ssrcs.len())?, TYPE_BYE, ssrcs.len() * 4)?;
    append_ssrcs(out, ssrcs);
    Ok(())
}

/// RFC 4585 section 6.2.1. `lost` is in order of sequence, wrapping; the packet
/// takes as many as fit `limits::RTCP_NACK_PAIRS_MAX` pairs and their number is
/// returned. Appends nothing for none.
pub fn nack(out: &mut Vec<u8>, sender_ssrc: u32, media_ssrc: u32, lost: &[u16]) -> usize {
    let start = out.len();
    let mut rest = lost;
    let mut pairs = 0u16;
    fixed_header(out, FORMAT_NACK, TYPE_TRANSPORT_FEEDBACK, 0);
    out.extend(sender_ssrc.to_be_bytes());
    out.extend(media_ssrc.to_be_bytes());
    while usize::from(pairs) < RTCP_NACK_PAIRS_MAX {
        let Some((&pid, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        let mut blp = 0u16;
        while let Some((&next, after)) = rest.split_first() {
            match next.wrapping_sub(pid) {
                0 => {}
                ahead @ 1..=16 => blp |= 1 << (ahead - 1),
                _ => break,
            }
            rest = after;
        }
        out.extend(pid.to_be_bytes());
        out.extend(blp.to_be_bytes());
        pairs += 1;
    }
    if pairs == 0 {
        out.truncate(start);
        return 0;
    }
    // The two SSRCs, then a word a pair.
    if let Some(length) = out.get_mut(start + 2..start + HEADER_BYTES) {
        length.copy_from_slice(&(2 + pairs).to_be_bytes());
    }
    lost.len() - rest.len()
}

/// RFC 4585 section 6.3.1.
pub fn pli(out: &mut Vec<u8>, sender_ssrc: u32, media_ssrc: u32) {
    fixed_header(out, FORMAT_PLI, TYPE_PAYLOAD_FEEDBACK, 2);
    out.extend(sender_ssrc.to_be_bytes());
    out.extend(media_ssrc.to_be_bytes());
}

/// RFC 5104 section 4.3.1: pairs of media SSRC and command sequence number.
/// The packet's own media SSRC is zero, as the RFC wants.
pub fn fir(out: &mut Vec<u8>, sender_ssrc: u32, entries: &[(u32, u8)]) -> Result<(), WriteError> {
    if entries.is_empty() {
        return Err(WriteError::Empty);
    }
    let body_bytes = 8 + entries.len() * FIR_ENTRY_BYTES;
    header(out, FORMAT_FIR, TYPE_PAYLOAD_FEEDBACK, body_bytes)?;
    out.extend(sender_ssrc.to_be_bytes());
    out.extend([0; 4]);
    for (ssrc, sequence) in entries {
        out.extend(ssrc.to_be_bytes());
        out.extend([*sequence, 0, 0, 0]);
    }
    Ok(())
}

/// draft-alvestrand-rmcat-remb-03 section 2.2. The bitrate is rounded down to
/// 18 significant bits.
pub fn remb(
    out: &mut Vec<u8>,
    sender_ssrc: u32,
    bitrate_bps: u64,
    ssrcs: &[u32],
) -> Result<(), WriteError> {
    let count = u8::try_from(ssrcs.len()).map_err(|_| WriteError::TooMany)?;
    let body_bytes = 16 + ssrcs.len() * 4;
    header(out, FORMAT_APPLICATION, TYPE_PAYLOAD_FEEDBACK, body_bytes)?;
    let exponent = (u64::BITS - 18).saturating_sub(bitrate_bps.leading_zeros());
    let mantissa = (bitrate_bps >> exponent) as u32 & 0x3_ffff;
    let [_, packed @ ..] = ((exponent << 18) | mantissa).to_be_bytes();
    out.extend(sender_ssrc.to_be_bytes());
    out.extend([0; 4]);
    out.extend(REMB_NAME);
    out.push(count);
    out.extend(packed);
    append_ssrcs(out, ssrcs);
    Ok(())
}

/// RFC 3611 section 4.4: an extended report of the receiver's wall clock.
pub fn receiver_reference_time(out: &mut Vec<u8>, ssrc: u32, ntp: Ntp) {
    fixed_header(out, 0, TYPE_EXTENDED_REPORT, 4);
    out.extend(ssrc.to_be_bytes());
    out.extend([BLOCK_REFERENCE_TIME, 0, 0, 2]);
    out.extend(ntp.to_bits().to_be_bytes());
}

/// RFC 3611 section 4.5: an extended report answering reference times.
pub fn dlrr(out: &mut Vec<u8>, ssrc: u32, entries: &[Dlrr]) -> Result<(), WriteError> {
    if entries.is_empty() {
        return Err(WriteError::Empty);
    }
    let block_bytes = entries.len() * DLRR_ENTRY_BYTES;
    let words = u16::try_from(block_bytes / 4).map_err(|_| WriteError::TooLong)?;
    header(out, 0, TYPE_EXTENDED_REPORT, 8 + block_bytes)?;
    out.extend(ssrc.to_be_bytes());
    out.extend([BLOCK_DLRR, 0]);
    out.extend(words.to_be_bytes());
    for entry in entries {
        out.extend(entry.ssrc.to_be_bytes());
        out.extend(entry.last_reference.to_be_bytes());
        out.extend(entry.delay_since.to_be_bytes());
    }
    Ok(())
}

fn append_ssrcs(out: &mut Vec<u8>, ssrcs: &[u32]) {
    for ssrc in ssrcs {
        out.extend(ssrc.to_be_bytes());
    }
}
