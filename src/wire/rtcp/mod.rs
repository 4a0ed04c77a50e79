//! RTCP: a compound packet as an iterator of borrowed packets (RFC 3550
//! section 6.1), and writers that append packets to a caller's buffer.
//! Reduced-size packets are accepted (RFC 5506), so a compound may begin with
//! anything. Counts in a packet are believed only as far as its bytes go.

mod feedback;
mod report;
mod transport;
mod write;

#[cfg(test)]
mod tests;

pub use feedback::{Fir, FirEntries, Lost, Nack, Pli, Remb, Ssrcs};
pub use report::{
    Bye, Dlrr, DlrrEntries, ExtendedBlock, ExtendedBlocks, ExtendedReport, ReceiverReport,
    ReportBlock, ReportBlocks, Sdes, SdesChunk, SdesChunks, SenderReport,
};
pub use transport::{Arrivals, TransportFeedback, TransportFeedbackHead, transport_feedback};
pub use write::{
    SenderInfo, WriteError, bye, dlrr, fir, nack, pli, receiver_reference_time, receiver_report,
    remb, sdes_cname, sender_report,
};

use super::bytes::{u8_at, u16_at};

/// Packet types, RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611 section 2.
const TYPE_SENDER_REPORT: u8 = 200;
const TYPE_RECEIVER_REPORT: u8 = 201;
const TYPE_SDES: u8 = 202;
const TYPE_BYE: u8 = 203;
const TYPE_TRANSPORT_FEEDBACK: u8 = 205;
const TYPE_PAYLOAD_FEEDBACK: u8 = 206;
const TYPE_EXTENDED_REPORT: u8 = 207;

/// Feedback message types, RFC 4585 sections 6.2 and 6.3, RFC 5104 section 4.3.1.
const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT_WIDE: u8 = 15;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
/// Application layer feedback: REMB when it begins with that name.
const FORMAT_APPLICATION: u8 = 15;

const HEADER_BYTES: usize = 4;

/// One packet of a compound, borrowing from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    SenderReport(SenderReport<'a>),
    ReceiverReport(ReceiverReport<'a>),
    Sdes(Sdes<'a>),
    Bye(Bye<'a>),
    Nack(Nack<'a>),
    Pli(Pli),
    Fir(Fir<'a>),
    Remb(Remb<'a>),
    TransportFeedback(TransportFeedback<'a>),
    ExtendedReport(ExtendedReport<'a>),
    /// A well-framed packet of a kind this server does not read.
    Other {
        packet_type: u8,
        /// The five bits of count, format or subtype.
        format: u8,
        body: &'a [u8],
    },
}

/// A packet that breaks its framing or its own counts. Nothing after it in the
/// compound is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Offset in the compound of the packet at fault.
    pub at: usize,
    /// Its type field, 0 when not even that is there.
    pub packet_type: u8,
    pub fault: Fault,
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Less than a header.
    Header,
    /// The version field is not 2.
    Version(u8),
    /// The length field reaches past the compound.
    Length,
    /// The padding count is zero or larger than the body.
    Padding(u8),
    /// A count or an item inside reaches past the body.
    Truncated,
    /// A packet status symbol that is reserved (transport-wide feedback).
    Symbol,
}

/// The packets of a decrypted RTCP datagram, ending at the first error.
pub fn packets(compound: &[u8]) -> Packets<'_> {
    Packets {
        rest: compound,
        at: 0,
    }
}

/// See [`packets`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.at;
        let packet_type = u8_at(self.rest, 1).unwrap_or(0);
        let parsed = self.split().and_then(|frame| parse(&frame));
        if parsed.is_err() {
            self.rest = &[];
        }
        Some(parsed.map_err(|fault| ParseError {
            at,
            packet_type,
            fault,
        }))
    }
}

/// One packet, framed but not understood.
struct Frame<'a> {
    packet_type: u8,
    format: u8,
    /// Without header and padding.
    body: &'a [u8],
}

impl<'a> Packets<'a> {
    /// Takes the next packet off the compound (RFC 3550 section 6.4.1). Padding
    /// is taken off any packet that claims it, not only the last: browsers pad
    /// transport-wide feedback wherever it stands.
    fn split(&mut self) -> Result<Frame<'a>, Fault> {
        let first = u8_at(self.rest, 0).ok_or(Fault::Header)?;
        let packet_type = u8_at(self.rest, 1).ok_or(Fault::Header)?;
        let words = u16_at(self.rest, 2).ok_or(Fault::Header)?;
        if first >> 6 != 2 {
            return Err(Fault::Version(first >> 6));
        }
        let len = HEADER_BYTES + usize::from(words) * 4;
        let (packet, rest) = self.rest.split_at_checked(len).ok_or(Fault::Length)?;
        let mut body = packet.get(HEADER_BYTES..).ok_or(Fault::Length)?;
        if first & 0x20 != 0 {
            let count = *body.last().ok_or(Fault::Padding(0))?;
            let kept = body.len().checked_sub(usize::from(count));
            body = kept
                .filter(|_| count != 0)
                .and_then(|kept| body.get(..kept))
                .ok_or(Fault::Padding(count))?;
        }
        self.rest = rest;
        self.at += len;
        Ok(Frame {
            packet_type,
            format: first & 0x1f,
            body,
        })
    }
}

fn parse<'a>(frame: &Frame<'a>) -> Result<Packet<'a>, Fault> {
    let Frame {
        packet_type,
        format,
        body,
    } = *frame;
    let parsed = match (packet_type, format) {
        (TYPE_SENDER_REPORT, count) => Packet::SenderReport(SenderReport::parse(count, body)?),
        (TYPE_RECEIVER_REPORT, count) => {
            Packet::ReceiverReport(ReceiverReport::parse(count, body)?)
        }
        (TYPE_SDES, count) => Packet::Sdes(Sdes::parse(count, body)?),
        (TYPE_BYE, count) => Packet::Bye(Bye::parse(count, body)?),
        (TYPE_EXTENDED_REPORT, _) => Packet::ExtendedReport(ExtendedReport::parse(body)?),
        (TYPE_TRANSPORT_FEEDBACK, FORMAT_NACK) => Packet::Nack(Nack::parse(body)?),
        (TYPE_TRANSPORT_FEEDBACK, FORMAT_TRANSPORT_WIDE) => {
            Packet::TransportFeedback(TransportFeedback::parse(body)?)
        }
        (TYPE_PAYLOAD_FEEDBACK, FORMAT_PLI) => Packet::Pli(Pli::parse(body)?),
        (TYPE_PAYLOAD_FEEDBACK, FORMAT_FIR) => Packet::Fir(Fir::parse(body)?),
        (TYPE_PAYLOAD_FEEDBACK, FORMAT_APPLICATION) if Remb::is_named(body) => {
            Packet::Remb(Remb::parse(body)?)
        }
        _ => Packet::Other {
            packet_type,
            format,
            body,
        },
    };
    Ok(parsed)
}
