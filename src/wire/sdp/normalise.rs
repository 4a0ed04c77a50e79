//! Brings the text of any client into the one form the `sdp` crate accepts.
//!
//! Session scripts remove codecs with regular expressions and leave a lost CR
//! and trailing blanks behind; other clients end lines with LF, leave blank
//! lines, or put session lines in another order. The crate insists on order,
//! on registered media and protocol names and on numeric origins, so what it
//! would refuse and nobody reads (`o= s= i= u= e= p= c= b= t= r= z= k=`) is
//! left out or replaced, and the `m=` line is read here.

use super::{MediaKind, MediaLine, SdpError, SdpFault};
use crate::base::limits::{SDP_FORMATS_MAX, SDP_LINES_MAX, SDP_MAX_BYTES, SDP_MEDIA_MAX};

/// An offer in canonical form, with the origin of every line kept.
pub(super) struct Normalised {
    /// What the crate parses: CRLF line ends, lines in RFC 8866's order.
    pub text: String,
    /// Line numbers of the session's attributes, in order.
    pub session: Vec<u32>,
    pub sections: Vec<Section>,
}

/// One `m=` section: the line it starts on, and those of its attributes.
pub(super) struct Section {
    pub line: u32,
    pub media: MediaLine,
    pub numbers: Vec<u32>,
}

/// The session's mandatory lines (RFC 8866 section 5). Nothing of them is
/// ever read from a client.
const HEAD: &str = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";

pub(super) fn normalise(text: &str) -> Result<Normalised, SdpError> {
    if text.len() > SDP_MAX_BYTES {
        let limit = SDP_MAX_BYTES;
        return Err(SdpError::whole(SdpFault::TooLong { limit }));
    }
    let mut out = Normalised {
        text: String::with_capacity(HEAD.len().saturating_add(text.len())),
        session: Vec::new(),
        sections: Vec::new(),
    };
    out.text.push_str(HEAD);
    let mut version_seen = false;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, physical) in (1u32..).zip(text.split('\n')) {
        if number as usize > SDP_LINES_MAX {
            let (what, limit) = ("lines", SDP_LINES_MAX);
            return Err(SdpError::at(number, SdpFault::TooMany { what, limit }));
        }
        if physical.contains('\0') {
            return Err(SdpError::at(number, SdpFault::Nul));
        }
        // A lone CR ends a line too: some editors lose the LF instead.
        for line in physical.split('\r') {
            let line = line.trim_matches(|c: char| c.is_ascii_whitespace());
            if line.is_empty() {
                continue;
            }
            if !version_seen && line != "v=0" {
                return Err(SdpError::at(number, SdpFault::Version));
            }
            version_seen = true;
            take_line(&mut out, line, number)?;
        }
    }
    match (version_seen, out.sections.is_empty()) {
        (false, _) => Err(SdpError::whole(SdpFault::Version)),
        (true, true) => Err(SdpError::whole(SdpFault::NoMedia)),
        (true, false) => Ok(out),
    }
}

fn take_line(out: &mut Normalised, line: &str, number: u32) -> Result<(), SdpError> {
    let (letter, value) = line
        .split_once('=')
        .ok_or_else(|| SdpError::at(number, SdpFault::LineForm))?;
    let mut letters = letter.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(SdpError::at(number, SdpFault::LineForm));
    };
    match letter {
        'a' => take_attribute(out, value, number),
        'm' => take_media(out, value, number)?,
        'v' | 'o' | 's' | 'i' | 'u' | 'e' | 'p' | 'c' | 'b' | 't' | 'r' | 'z' | 'k' => {}
        other => return Err(SdpError::at(number, SdpFault::UnknownType(other))),
    }
    Ok(())
}

/// Attributes go on as they are; one without a name says nothing.
fn take_attribute(out: &mut Normalised, value: &str, number: u32) {
    let value = value.trim_matches(|c: char| c.is_ascii_whitespace());
    if value.is_empty() || value.starts_with(':') {
        return;
    }
    match out.sections.last_mut() {
        Some(section) => section.numbers.push(number),
        None => out.session.push(number),
    }
    out.text.push_str("a=");
    out.text.push_str(value);
    out.text.push_str("\r\n");
}

/// Reads `m=<media> <port>[/<ports>] <proto> <fmt> …` (RFC 8866 section 5.14).
/// A codec filter may have removed every format: the list may be empty.
/// The crate gets a line with a media and protocol it knows, because it
/// refuses the whole offer otherwise and we only mean to refuse the section.
fn take_media(out: &mut Normalised, value: &str, number: u32) -> Result<(), SdpError> {
    if out.sections.len() >= SDP_MEDIA_MAX {
        let (what, limit) = ("m= lines", SDP_MEDIA_MAX);
        return Err(SdpError::at(number, SdpFault::TooMany { what, limit }));
    }
    let media = media_line(value, number)?;
    let kind = match media.kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Other => "application",
    };
    out.text.push_str("m=");
    out.text.push_str(kind);
    out.text.push_str(" 9 UDP/TLS/RTP/SAVPF 0\r\n");
    out.sections.push(Section {
        line: number,
        media,
        numbers: Vec::new(),
    });
    Ok(())
}

fn media_line(value: &str, number: u32) -> Result<MediaLine, SdpError> {
    let malformed = || SdpError::at(number, SdpFault::MediaLine);
    let mut words = value.split_ascii_whitespace();
    let media = words.next().ok_or_else(malformed)?;
    let port = words.next().ok_or_else(malformed)?;
    let proto = words.next().ok_or_else(malformed)?;
    let port = port.split('/').next().unwrap_or(port);
    let port = port.parse::<u16>().map_err(|_| malformed())?;
    if !is_token(media) || !proto.split('/').all(is_token) {
        return Err(malformed());
    }
    let kind = match media {
        "audio" if is_rtp(proto) => MediaKind::Audio,
        "video" if is_rtp(proto) => MediaKind::Video,
        _ => MediaKind::Other,
    };
    let mut formats: Vec<String> = Vec::new();
    for word in words {
        if formats.len() >= SDP_FORMATS_MAX {
            let (what, limit) = ("formats", SDP_FORMATS_MAX);
            return Err(SdpError::at(number, SdpFault::TooMany { what, limit }));
        }
        if kind != MediaKind::Other && payload_type(word).is_none() {
            return Err(SdpError::at(number, SdpFault::PayloadType));
        }
        if !is_token(word) {
            return Err(malformed());
        }
        formats.push(word.to_owned());
    }
    Ok(MediaLine {
        kind,
        media: media.to_owned(),
        port,
        proto: proto.to_owned(),
        formats,
    })
}

/// A payload type of at most seven bits.
pub(super) fn payload_type(word: &str) -> Option<u8> {
    word.parse::<u8>().ok().filter(|pt| *pt <= 127)
}

/// The profiles RFC 8829 section 5.1.2 tells an implementation to accept:
/// the attributes, not the name, say that it is DTLS-SRTP.
fn is_rtp(proto: &str) -> bool {
    ["RTP/SAVPF", "RTP/SAVP", "RTP/AVPF", "RTP/AVP"]
        .iter()
        .filter_map(|profile| proto.strip_suffix(profile))
        .any(|transport| transport.is_empty() || transport.ends_with('/'))
}

/// RFC 8866 section 9, `token`. Also what may be echoed in an answer.
pub(super) fn is_token(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|b| {
            matches!(b,
                b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9'
                | b'A'..=b'Z' | b'^'..=b'~')
        })
}
