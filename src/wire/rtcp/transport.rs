//! Transport-wide congestion control feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1): for a
//! range of transport-wide sequence numbers, which arrived and when.

use crate::base::limits::RTCP_PACKET_MAX_BYTES;
use crate::wire::bytes::{u8_at, u16_at, u24_at};

use super::feedback::split_common;
use super::write::{WriteError, fixed_header};
use super::{FORMAT_TRANSPORT_WIDE, Fault, HEADER_BYTES, TYPE_TRANSPORT_FEEDBACK};

/// One unit of a receive delta.
const DELTA_UNIT_US: i32 = 250;

/// Packet status symbols, section 3.1.1. 3 is reserved.
const NOT_RECEIVED: u16 = 0;
const SMALL_DELTA: u16 = 1;
const LARGE_DELTA: u16 = 2;

/// Length of the message before the packet chunks.
const FIXED_BYTES: usize = 8;
/// Longest run of one chunk, section 3.1.3: 13 bits.
const RUN_MAX: usize = 0x1fff;

/// What a feedback packet says of itself, read and written alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedbackHead {
    pub sender_ssrc: u32,
    pub media_ssrc: u32,
    /// Transport-wide sequence number of the first packet reported on.
    pub base_sequence: u16,
    /// The receiver's clock in units of 64 ms, signed 24 bits: where the first
    /// delta starts from.
    pub reference_time: i32,
    /// Counts feedback packets, to notice lost ones.
    pub feedback_count: u8,
}

/// A validated feedback packet: every status has its delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    pub head: TransportFeedbackHead,
    /// Packets reported on, from `base_sequence` on.
    pub status_count: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    /// Walks the chunks, not the statuses: the time is bounded by the bytes,
    /// though 28 bytes may speak of 65,535 packets.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        let (sender_ssrc, media_ssrc, message) = split_common(body)?;
        let (head, status_count) =
            parse_head(sender_ssrc, media_ssrc, message).ok_or(Fault::Truncated)?;
        let rest = message.get(FIXED_BYTES..).ok_or(Fault::Truncated)?;
        let mut left = status_count;
        let mut chunks_len = 0;
        let mut deltas_len = 0;
        while left > 0 {
            let chunk = Chunk::decode(u16_at(rest, chunks_len).ok_or(Fault::Truncated)?);
            chunks_len += 2;
            let taken = chunk.count().min(left);
            deltas_len += chunk.deltas_len(taken).ok_or(Fault::Symbol)?;
            left -= taken;
        }
        let (chunks, rest) = rest.split_at_checked(chunks_len).ok_or(Fault::Truncated)?;
        let deltas = rest.get(..deltas_len).ok_or(Fault::Truncated)?;
        Ok(TransportFeedback {
            head,
            status_count,
            chunks,
            deltas,
        })
    }

    /// Every packet reported on, in order: its sequence number and, if it
    /// arrived, the microseconds since the arrival before it (the first one:
    /// since the reference time). Up to 65,535 items.
    pub fn arrivals(&self) -> Arrivals<'a> {
        Arrivals {
            sequence: self.head.base_sequence,
            left: self.status_count,
            chunks: self.chunks,
            deltas: self.deltas,
            chunk: Chunk::Run {
                symbol: NOT_RECEIVED,
                count: 0,
            },
            position: 0,
        }
    }

    /// The reference time in microseconds of the receiver's clock.
    pub fn reference_time_us(&self) -> i64 {
        i64::from(self.head.reference_time) * 64_000
    }
}

fn parse_head(
    sender_ssrc: u32,
    media_ssrc: u32,
    message: &[u8],
) -> Option<(TransportFeedbackHead, u16)> {
    let head = TransportFeedbackHead {
        sender_ssrc,
        media_ssrc,
        base_sequence: u16_at(message, 0)?,
        // Sign-extended from 24 bits.
        reference_time: (u24_at(message, 4)? << 8) as i32 >> 8,
        feedback_count: u8_at(message, 7)?,
    };
    Some((head, u16_at(message, 2)?))
}

/// See [`TransportFeedback::arrivals`].
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    sequence: u16,
    left: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
    /// Symbols of `chunk` already read.
    position: u16,
}

impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i32>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        while self.position >= self.chunk.count() {
            self.chunk = Chunk::decode(u16_at(self.chunks, 0)?);
            self.chunks = self.chunks.get(2..)?;
            self.position = 0;
        }
        let units = match self.chunk.symbol(self.position) {
            NOT_RECEIVED => None,
            SMALL_DELTA => {
                let (&units, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i32::from(units))
            }
            _ => {
                let (units, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i32::from(i16::from_be_bytes(*units)))
            }
        };
        self.position += 1;
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some((sequence, units.map(|units| units * DELTA_UNIT_US)))
    }
}

/// A packet chunk, sections 3.1.3 and 3.1.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Run {
        symbol: u16,
        count: u16,
    },
    /// 14 symbols of one bit, the first in bit 13.
    OneBit(u16),
    /// 7 symbols of two bits, the first in bits 13 and 12.
    TwoBit(u16),
}

impl Chunk {
    fn decode(word: u16) -> Chunk {
        match word >> 14 {
            0 | 1 => Chunk::Run {
                symbol: (word >> 13) & 3,
                count: word & 0x1fff,
            },
            2 => Chunk::OneBit(word & 0x3fff),
            _ => Chunk::TwoBit(word & 0x3fff),
        }
    }

    fn encode(self) -> u16 {
        match self {
            Chunk::Run { symbol, count } => (symbol << 13) | count,
            Chunk::OneBit(bits) => 0x8000 | bits,
            Chunk::TwoBit(bits) => 0xc000 | bits,
        }
    }

    fn count(self) -> u16 {
        match self {
            Chunk::Run { count, .. } => count,
            Chunk::OneBit(_) => 14,
            Chunk::TwoBit(_) => 7,
        }
    }

    fn symbol(self, position: u16) -> u16 {
        match self {
            Chunk::Run { symbol, .. } => symbol,
            Chunk::OneBit(bits) => (bits >> 13u16.saturating_sub(position)) & 1,
            Chunk::TwoBit(bits) => (bits >> 12u16.saturating_sub(position * 2)) & 3,
        }
    }

    /// Bytes of deltas its first `taken` symbols need; `None` for a reserved symbol.
    fn deltas_len(self, taken: u16) -> Option<usize> {
        if let Chunk::Run { symbol, .. } = self {
            return Some(delta_len(symbol)? * usize::from(taken));
        }
        (0..taken)
            .map(|position| delta_len(self.symbol(position)))
            .sum()
    }
}

fn delta_len(symbol: u16) -> Option<usize> {
    match symbol {
        NOT_RECEIVED => Some(0),
        SMALL_DELTA => Some(1),
        LARGE_DELTA => Some(2),
        _ => None,
    }
}

/// Appends a feedback packet: one status per packet from `base_sequence` on,
/// `None` for not received, else the delta to the arrival before it in units
/// of 250 microseconds. Refuses an empty list, more than 65,535 statuses, a
/// delta beyond 16 bits, a reference time beyond 24 bits, and a packet longer
/// than the cap (the caller reports fewer at a time); `out` is then as before.
pub fn transport_feedback(
    out: &mut Vec<u8>,
    head: &TransportFeedbackHead,
    statuses: &[Option<i32>],
) -> Result<(), WriteError> {
    let start = out.len();
    let written = append(out, start, head, statuses);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn append(
    out: &mut Vec<u8>,
    start: usize,
    head: &TransportFeedbackHead,
    statuses: &[Option<i32>],
) -> Result<(), WriteError> {
    let count = u16::try_from(statuses.len()).map_err(|_| WriteError::TooMany)?;
    if count == 0 {
        return Err(WriteError::Empty);
    }
    if (head.reference_time << 8) >> 8 != head.reference_time {
        return Err(WriteError::OutOfRange);
    }
    // The length is known, and patched, at the end.
    fixed_header(out, FORMAT_TRANSPORT_WIDE, TYPE_TRANSPORT_FEEDBACK, 0);
    out.extend(head.sender_ssrc.to_be_bytes());
    out.extend(head.media_ssrc.to_be_bytes());
    out.extend(head.base_sequence.to_be_bytes());
    out.extend(count.to_be_bytes());
    let [_, reference_time @ ..] = head.reference_time.to_be_bytes();
    out.extend(reference_time);
    out.push(head.feedback_count);
    let end_max = start + RTCP_PACKET_MAX_BYTES;
    append_chunks(out, end_max, statuses)?;
    append_deltas(out, end_max, statuses)?;
    // Zero padding to the word as the draft draws it, without the P bit:
    // padding by that bit belongs to the last packet of a compound only.
    let body_len = out.len() - start - HEADER_BYTES;
    let padded = body_len.next_multiple_of(4);
    out.resize(start + HEADER_BYTES + padded, 0);
    if out.len() > end_max {
        return Err(WriteError::TooLong);
    }
    let words = u16::try_from(padded / 4).map_err(|_| WriteError::TooLong)?;
    if let Some(length) = out.get_mut(start + 2..start + HEADER_BYTES) {
        length.copy_from_slice(&words.to_be_bytes());
    }
    Ok(())
}

fn append_chunks(
    out: &mut Vec<u8>,
    end_max: usize,
    statuses: &[Option<i32>],
) -> Result<(), WriteError> {
    let mut rest = statuses;
    while !rest.is_empty() {
        let chunk = next_chunk(rest)?;
        out.extend(chunk.encode().to_be_bytes());
        let taken = usize::from(chunk.count()).min(rest.len());
        rest = rest.get(taken..).unwrap_or_default();
        if out.len() > end_max {
            return Err(WriteError::TooLong);
        }
    }
    Ok(())
}

/// The chunk that says most about the next statuses: a run where it beats a
/// vector, else one bit a packet where no large delta is near, else two bits.
fn next_chunk(rest: &[Option<i32>]) -> Result<Chunk, WriteError> {
    let first = symbol_of(rest.first().copied().flatten())?;
    let mut run = 0;
    for status in rest.iter().take(RUN_MAX) {
        if symbol_of(*status)? != first {
            break;
        }
        run += 1;
    }
    let mut one_bit = 0u16;
    let mut two_bit = 0u16;
    let mut fits_one_bit = true;
    for (position, status) in (0u16..14).zip(rest) {
        let symbol = symbol_of(*status)?;
        fits_one_bit &= symbol != LARGE_DELTA;
        one_bit |= (symbol & 1) << (13 - position);
        if position < 7 {
            two_bit |= symbol << (12 - 2 * position);
        }
    }
    let run_beats = if fits_one_bit { 14 } else { 7 };
    Ok(if run >= run_beats || usize::from(run) == rest.len() {
        Chunk::Run {
            symbol: first,
            count: run,
        }
    } else if fits_one_bit {
        Chunk::OneBit(one_bit)
    } else {
        Chunk::TwoBit(two_bit)
    })
}

fn symbol_of(status: Option<i32>) -> Result<u16, WriteError> {
    match status {
        None => Ok(NOT_RECEIVED),
        Some(units) if u8::try_from(units).is_ok() => Ok(SMALL_DELTA),
        Some(units) if i16::try_from(units).is_ok() => Ok(LARGE_DELTA),
        Some(_) => Err(WriteError::OutOfRange),
    }
}

fn append_deltas(
    out: &mut Vec<u8>,
    end_max: usize,
    statuses: &[Option<i32>],
) -> Result<(), WriteError> {
    for units in statuses.iter().copied().flatten() {
        if let Ok(small) = u8::try_from(units) {
            out.push(small);
        } else {
            let large = i16::try_from(units).map_err(|_| WriteError::OutOfRange)?;
            out.extend(large.to_be_bytes());
        }
        if out.len() > end_max {
            return Err(WriteError::TooLong);
        }
    }
    Ok(())
}
