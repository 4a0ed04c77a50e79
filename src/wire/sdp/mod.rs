//! Session descriptions of clients: text in, a typed [`SessionOffer`] out.
//! The only door to the `sdp` crate.
//!
//! Owns leniency: clients and the scripts that edit their offers break line
//! ends, leave attributes behind and reorder lines, and none of that may cost
//! them a call. Refuses what cannot be answered safely, with the line and what
//! is wrong there. Work and memory are linear in the text, which is capped.
//!
//! Candidates are not read at all: an ICE-lite server learns the client's
//! address from its checks, and never resolves a name somebody sent it.

mod attributes;
mod error;
mod fragment;
mod normalise;

pub use error::{SdpError, SdpFault};
pub use fragment::{Fragment, FragmentSection, parse_fragment};

use std::io::Cursor;

use ::sdp::SessionDescription;

use attributes::{Level, MediaLevel};
use normalise::{Normalised, Section};

/// What an offer says, as far as this server answers it (RFC 8866, RFC 8829
/// section 5.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOffer {
    /// One entry for each `m=` line, in order.
    pub media: Vec<OfferedMedia>,
    /// The mids of each `a=group:BUNDLE` (RFC 9143), in order.
    pub bundles: Vec<Vec<String>>,
    /// The client is ICE-lite too (RFC 8839 section 5.3).
    pub ice_lite: bool,
}

/// One `m=` section. What only the session level gave (credentials,
/// fingerprints, setup, direction) is already filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedMedia {
    pub line: MediaLine,
    pub mid: Option<String>,
    pub direction: Direction,
    /// The payload types, in the client's order of preference. Empty for a
    /// section that is not RTP.
    pub formats: Vec<Format>,
    pub extensions: Vec<Extension>,
    pub sources: Vec<Source>,
    /// `a=ssrc-group:FID`: a stream and its retransmission stream (RFC 5576
    /// section 4.2, RFC 4588 section 8).
    pub fid_groups: Vec<(u32, u32)>,
    pub msid: Option<Msid>,
    pub rtcp_mux: bool,
    pub rtcp_rsize: bool,
    /// `a=rtcp-xr:rcvr-rtt` was offered (RFC 3611 section 5.1).
    pub rcvr_rtt: bool,
    /// Port zero here means "in the bundle", not "refused" (RFC 9143
    /// section 6).
    pub bundle_only: bool,
    pub ice: Option<IceCredentials>,
    pub fingerprints: Vec<Fingerprint>,
    pub setup: Option<Setup>,
    pub rids: Vec<Rid>,
    /// The value of `a=simulcast` (RFC 8853), noted and not interpreted.
    pub simulcast: Option<String>,
}

/// The `m=` line itself, as written, for the answer echoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaLine {
    pub kind: MediaKind,
    /// `audio`, `video`, `application`…
    pub media: String,
    pub port: u16,
    /// `UDP/TLS/RTP/SAVPF` and the like.
    pub proto: String,
    pub formats: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    Audio,
    Video,
    /// Data channels, text, or audio and video that are not RTP.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// One payload type with everything said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// 0..=127.
    pub payload_type: u8,
    /// Encoding name as written; empty if no `a=rtpmap` and no static
    /// assignment (RFC 3551 section 6) names it.
    pub name: String,
    /// Hz; 0 if unnamed.
    pub clock_rate: u32,
    pub channels: Option<u8>,
    /// The value of `a=fmtp` behind the payload type; empty if none.
    pub parameters: String,
    pub feedback: Feedback,
}

impl Format {
    pub fn is(&self, name: &str, clock_rate: u32) -> bool {
        self.clock_rate == clock_rate && self.name.eq_ignore_ascii_case(name)
    }

    /// The value of one `a=fmtp` parameter; names compare without case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then_some(value.trim())
        })
    }

    /// The payload type an `rtx` format repeats (RFC 4588 section 8.1).
    pub fn apt(&self) -> Option<u8> {
        self.parameter("apt")?.parse().ok()
    }
}

/// The feedback messages this server knows (RFC 4585, RFC 5104, and two that
/// never became RFCs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feedback {
    pub nack: bool,
    pub pli: bool,
    pub fir: bool,
    pub remb: bool,
    pub transport_cc: bool,
}

/// One `a=extmap` line (RFC 8285 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// 1..=255; 15 is reserved and those above 14 need two-byte headers.
    pub id: u8,
    pub name: ExtensionName,
    pub direction: Direction,
}

/// The header extensions this server can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionName {
    AbsSendTime,
    AudioLevel,
    Mid,
    Orientation,
    RepairedRtpStreamId,
    RtpStreamId,
    TransportCc,
    Other,
}

impl ExtensionName {
    /// The URI of `a=extmap`; empty for `Other`.
    pub const fn uri(self) -> &'static str {
        match self {
            ExtensionName::AbsSendTime => {
                "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
            }
            ExtensionName::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            ExtensionName::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            ExtensionName::Orientation => "urn:3gpp:video-orientation",
            ExtensionName::RepairedRtpStreamId => {
                "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
            }
            ExtensionName::RtpStreamId => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            ExtensionName::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            ExtensionName::Other => "",
        }
    }

    fn from_uri(uri: &str) -> ExtensionName {
        const KNOWN: [ExtensionName; 7] = [
            ExtensionName::AbsSendTime,
            ExtensionName::AudioLevel,
            ExtensionName::Mid,
            ExtensionName::Orientation,
            ExtensionName::RepairedRtpStreamId,
            ExtensionName::RtpStreamId,
            ExtensionName::TransportCc,
        ];
        KNOWN
            .into_iter()
            .find(|name| name.uri() == uri)
            .unwrap_or(ExtensionName::Other)
    }
}

/// What `a=ssrc` lines say about one SSRC (RFC 5576).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub ssrc: u32,
    pub cname: Option<String>,
    pub msid: Option<Msid>,
}

/// A MediaStream and a track in it (RFC 8830).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    pub stream: String,
    pub track: Option<String>,
}

/// RFC 8839 section 5.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceCredentials {
    pub ufrag: String,
    pub pwd: String,
}

/// A certificate fingerprint (RFC 8122 section 5), `bytes` as long as `hash`
/// says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub hash: HashFunction,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashFunction {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Who opens the DTLS handshake (RFC 4145 section 4, RFC 8842 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    Active,
    Actpass,
    Holdconn,
    Passive,
}

/// One `a=rid` line (RFC 8851), noted and not interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rid {
    pub id: String,
    pub send: bool,
}

/// Reads an offer. Errors name the line (from 1) and what is wrong with it.
pub fn parse(text: &str) -> Result<SessionOffer, SdpError> {
    let normalised = normalise::normalise(text)?;
    let description = SessionDescription::unmarshal(&mut Cursor::new(normalised.text.as_bytes()))
        .map_err(|error| SdpError::whole(SdpFault::Syntax(error.to_string())))?;
    model(normalised, description)
}

/// Turns the crate's description into ours, attribute by attribute. The
/// normaliser knows which line each attribute came from; the crate keeps their
/// order, so the two are walked side by side.
fn model(
    normalised: Normalised,
    description: SessionDescription,
) -> Result<SessionOffer, SdpError> {
    let mut session = Level::default();
    let mut bundles = Vec::new();
    let mut ice_lite = false;
    for (attribute, line) in description.attributes.iter().zip(&normalised.session) {
        let value = attribute.value.as_deref().unwrap_or("");
        match attribute.key.as_str() {
            "group" => bundles.extend(bundle_group(value)),
            "ice-lite" => ice_lite = true,
            key => session.read(key, value, *line)?,
        }
    }
    let mut media: Vec<OfferedMedia> = Vec::with_capacity(normalised.sections.len());
    let mut attributes_of = description.media_descriptions.iter();
    for section in normalised.sections {
        let Section { line, numbers, .. } = &section;
        let read = attributes_of
            .next()
            .ok_or_else(|| SdpError::at(*line, SdpFault::Syntax("m= line lost".to_owned())))?;
        let mut level = MediaLevel::new(&section.media);
        for (attribute, number) in read.attributes.iter().zip(numbers) {
            let value = attribute.value.as_deref().unwrap_or("");
            level.read(&attribute.key, value, *number)?;
        }
        let line = *line;
        let offered = level.finish(section.media, &session);
        if offered.mid.is_some() && media.iter().any(|other| other.mid == offered.mid) {
            return Err(SdpError::at(line, SdpFault::MidTwice));
        }
        media.push(offered);
    }
    Ok(SessionOffer {
        media,
        bundles,
        ice_lite,
    })
}

/// The mids of a BUNDLE group; other groups (LS, FID) mean nothing here.
fn bundle_group(value: &str) -> Option<Vec<String>> {
    let mut words = value.split_ascii_whitespace();
    (words.next() == Some("BUNDLE")).then(|| words.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
