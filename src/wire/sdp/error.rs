//! Why an offer was refused, and where.

use std::fmt;

/// A refused session description: the line, counted from 1 (0: the whole
/// text), and the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdpError {
    pub line: u32,
    pub fault: SdpFault,
}

impl SdpError {
    pub(super) fn at(line: u32, fault: SdpFault) -> SdpError {
        SdpError { line, fault }
    }

    pub(super) fn whole(fault: SdpFault) -> SdpError {
        SdpError { line: 0, fault }
    }
}

/// What is wrong with the line. All of them are the client's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SdpFault {
    /// `a=fingerprint` whose bytes are not hexadecimal or not of the length
    /// of its hash function (RFC 8122 section 5).
    Fingerprint,
    /// `a=ice-ufrag` or `a=ice-pwd` outside RFC 8839 section 5.4.
    IceCredential,
    /// A line that is not `<letter>=<value>`.
    LineForm,
    /// `m=` without media, port and protocol, or with characters that may not
    /// be echoed.
    MediaLine,
    /// `a=mid` that is empty, too long, or not a token (RFC 5888 section 4).
    Mid,
    /// Two sections with one `a=mid`.
    MidTwice,
    /// No `m=` line at all.
    NoMedia,
    /// A zero byte (RFC 8866 section 5 forbids it anywhere).
    Nul,
    /// An RTP format that is not a number in 0..=127 (RFC 3550 section 5.1).
    PayloadType,
    /// `a=setup` with an unknown role (RFC 4145 section 4).
    Setup,
    /// The grammar was violated in another way; the text says how.
    Syntax(String),
    /// More than `limit` of something.
    TooMany { what: &'static str, limit: usize },
    /// Longer than `limit` bytes.
    TooLong { limit: usize },
    /// A line type RFC 8866 section 5 does not know.
    UnknownType(char),
    /// The first line is not `v=0`.
    Version,
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "session description: {}", self.fault),
            line => write!(f, "session description, line {line}: {}", self.fault),
        }
    }
}

impl fmt::Display for SdpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            SdpFault::Fingerprint => "malformed certificate fingerprint",
            SdpFault::IceCredential => "ICE user fragment or password of wrong length or alphabet",
            SdpFault::LineForm => "not of the form <letter>=<value>",
            SdpFault::MediaLine => "malformed m= line",
            SdpFault::Mid => "malformed mid",
            SdpFault::MidTwice => "mid used by two m= lines",
            SdpFault::NoMedia => "no m= line",
            SdpFault::Nul => "zero byte",
            SdpFault::PayloadType => "payload type is not a number in 0..=127",
            SdpFault::Setup => "unknown setup role",
            SdpFault::Syntax(what) => what,
            SdpFault::TooMany { what, limit } => return write!(f, "more than {limit} {what}"),
            SdpFault::TooLong { limit } => return write!(f, "longer than {limit} bytes"),
            SdpFault::UnknownType(letter) => return write!(f, "unknown line type {letter:?}"),
            SdpFault::Version => "does not start with v=0",
        };
        f.write_str(text)
    }
}

impl std::error::Error for SdpError {}
