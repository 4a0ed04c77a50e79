//! What is said about an offer beside the answer: notes when it was answered
//! all the same, an error when it was not.

use std::fmt;

/// Something about an offer that was answered all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Note {
    /// Audio was offered in no codec that could be used, and left out.
    AudioLeftOut,
    /// H.264 without `packetization-mode`, which means mode 0 (RFC 6184
    /// section 8.1); answered as mode 1, since nothing better was offered and
    /// scripts that strip codecs are known to lose the parameters.
    PacketizationModeAssumed { payload_type: u8 },
    /// H.264 without `profile-level-id`; Constrained Baseline, or the
    /// publisher's own profile towards a viewer, is answered.
    ProfileAssumed { payload_type: u8 },
    /// A viewer's H.264 decoder did not declare the publisher's profile.
    /// Browsers decode more than they declare.
    ProfileUndeclared { payload_type: u8 },
    /// Simulcast was offered; the answer leaves it out, so one layer is sent.
    SimulcastIgnored,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::AudioLeftOut => f.write_str("no common audio codec, answered without audio"),
            Note::PacketizationModeAssumed { payload_type } => {
                write!(f, "H.264 {payload_type}: packetization-mode=1 assumed")
            }
            Note::ProfileAssumed { payload_type } => {
                write!(f, "H.264 {payload_type}: profile assumed")
            }
            Note::ProfileUndeclared { payload_type } => {
                write!(
                    f,
                    "H.264 {payload_type}: viewer did not declare the profile"
                )
            }
            Note::SimulcastIgnored => f.write_str("simulcast answered with one layer"),
        }
    }
}

/// Why an offer gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NegotiationError {
    /// Audio and video on two transports: one port serves one bundle
    /// (RFC 9143).
    BundleRequired,
    /// No SHA-256 fingerprint to know the client's certificate by; MD5 and
    /// SHA-1 prove nothing (RFC 8122 section 5).
    FingerprintMissing,
    /// No `a=ice-ufrag` and `a=ice-pwd`.
    IceCredentialsMissing,
    /// Nothing that one side sends can be received by the other.
    NoCommonCodecs,
    /// No section of the needed direction, or none at all.
    NothingOffered,
    /// One payload type for two codecs in one bundle (RFC 9143 section 9.1).
    PayloadTypeClash,
    /// `a=setup:holdconn`: no handshake is to be opened by anybody (RFC 4145
    /// section 4), so there would be no keys.
    HandshakeOnHold,
    /// `a=ice-lite` in the offer: neither side would ever send a check.
    PeerMustBeFullIce,
    /// No `a=rtcp-mux`: there is no second port for RTCP (RFC 8834
    /// section 4.5).
    RtcpMuxRequired,
}

impl NegotiationError {
    /// The string for a stream's `info`, one that clients of the room
    /// protocol know where there is one.
    pub const fn info(self) -> &'static str {
        match self {
            NegotiationError::NoCommonCodecs => "No common codecs",
            NegotiationError::FingerprintMissing => "Failed by DTLS fingerprint error",
            NegotiationError::HandshakeOnHold => "Failed by DTLS error",
            NegotiationError::IceCredentialsMissing | NegotiationError::PeerMustBeFullIce => {
                "Failed by ICE error"
            }
            NegotiationError::BundleRequired
            | NegotiationError::NothingOffered
            | NegotiationError::PayloadTypeClash
            | NegotiationError::RtcpMuxRequired => "Failed by error",
        }
    }
}

impl fmt::Display for NegotiationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NegotiationError::BundleRequired => "offer: audio and video are not bundled",
            NegotiationError::FingerprintMissing => "offer: no SHA-256 fingerprint",
            NegotiationError::IceCredentialsMissing => "offer: no ICE credentials",
            NegotiationError::NoCommonCodecs => "offer: no common codecs",
            NegotiationError::NothingOffered => "offer: no usable audio or video section",
            NegotiationError::PayloadTypeClash => "offer: one payload type for two codecs",
            NegotiationError::HandshakeOnHold => "offer: setup must not be holdconn",
            NegotiationError::PeerMustBeFullIce => "offer: both sides are ICE-lite",
            NegotiationError::RtcpMuxRequired => "offer: rtcp-mux is required",
        })
    }
}

impl std::error::Error for NegotiationError {}
