//! The codecs this server forwards, and the H.264 profile they travel with.
//! Owns names, clock rates and `profile-level-id`; refuses to know payloads.

use std::fmt;

/// A video codec that is forwarded without being decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VideoCodec {
    H264,
    Vp8,
}

impl VideoCodec {
    /// RTP clock in Hz (RFC 6184 section 8.2.1, RFC 7741 section 6.1).
    pub const fn clock_rate(self) -> u32 {
        90_000
    }

    /// Encoding name as written in `a=rtpmap`.
    pub const fn name(self) -> &'static str {
        match self {
            VideoCodec::H264 => "H264",
            VideoCodec::Vp8 => "VP8",
        }
    }
}

/// An audio codec that is forwarded without being decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AudioCodec {
    Opus,
    Pcmu,
    Pcma,
}

impl AudioCodec {
    /// RTP clock in Hz (RFC 7587 section 4.1, RFC 3551 section 6).
    pub const fn clock_rate(self) -> u32 {
        match self {
            AudioCodec::Opus => 48_000,
            AudioCodec::Pcmu | AudioCodec::Pcma => 8_000,
        }
    }

    /// Encoding name as written in `a=rtpmap`.
    pub const fn name(self) -> &'static str {
        match self {
            AudioCodec::Opus => "opus",
            AudioCodec::Pcmu => "PCMU",
            AudioCodec::Pcma => "PCMA",
        }
    }

    /// Channels of the `a=rtpmap` encoding parameter: Opus is always written
    /// with two, whatever is sent (RFC 7587 section 7).
    pub const fn rtpmap_channels(self) -> u8 {
        match self {
            AudioCodec::Opus => 2,
            AudioCodec::Pcmu | AudioCodec::Pcma => 1,
        }
    }
}

/// Either kind of codec, for what treats tracks alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    Audio(AudioCodec),
    Video(VideoCodec),
}

impl Codec {
    /// RTP clock in Hz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::Audio(codec) => codec.clock_rate(),
            Codec::Video(codec) => codec.clock_rate(),
        }
    }

    /// Encoding name as written in `a=rtpmap`.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Audio(codec) => codec.name(),
            Codec::Video(codec) => codec.name(),
        }
    }
}

/// The three bytes of `profile-level-id` (RFC 6184 section 8.1): profile_idc,
/// the constraint flags (profile-iop), and level_idc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProfileLevelId {
    pub profile_idc: u8,
    pub constraints: u8,
    pub level_idc: u8,
}

/// The profiles browsers and encoders offer, as RFC 6184 table 5 tells them
/// apart. The order is the order of choice: what more decoders can show comes
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    /// Anything else: extended, 4:2:2, 4:4:4, or a nonsense combination.
    Other,
}

impl ProfileLevelId {
    /// What a missing `profile-level-id` means: Baseline, level 1 (RFC 6184
    /// section 8.1).
    pub const INFERRED: ProfileLevelId = ProfileLevelId {
        profile_idc: 0x42,
        constraints: 0x00,
        level_idc: 0x0a,
    };

    /// Constrained Baseline at level 3.1: what every WebRTC endpoint with
    /// H.264 speaks (RFC 7742 section 6.2) and Safari insists on.
    pub const CONSTRAINED_BASELINE_31: ProfileLevelId = ProfileLevelId {
        profile_idc: 0x42,
        constraints: 0xe0,
        level_idc: LEVEL_31,
    };

    /// Six hexadecimal digits; anything else is `None`.
    pub fn parse(text: &str) -> Option<ProfileLevelId> {
        if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let word = u32::from_str_radix(text, 16).ok()?;
        let [_, profile_idc, constraints, level_idc] = word.to_be_bytes();
        Some(ProfileLevelId {
            profile_idc,
            constraints,
            level_idc,
        })
    }

    /// Which profile this is (RFC 6184 section 8.1, table 5).
    pub fn profile(self) -> H264Profile {
        let flags = self.constraints;
        match self.profile_idc {
            0x42 if flags & 0x4f == 0x40 => H264Profile::ConstrainedBaseline,
            0x4d if flags & 0x8f == 0x80 => H264Profile::ConstrainedBaseline,
            0x58 if flags & 0xcf == 0xc0 => H264Profile::ConstrainedBaseline,
            0x42 if flags & 0x4f == 0x00 => H264Profile::Baseline,
            0x58 if flags & 0xcf == 0x80 => H264Profile::Baseline,
            0x4d if flags & 0xaf == 0x00 => H264Profile::Main,
            0x64 if flags == 0x0c => H264Profile::ConstrainedHigh,
            0x64 if flags == 0x00 => H264Profile::High,
            _ => H264Profile::Other,
        }
    }

    /// The same profile at another level.
    pub fn at_level(self, level_idc: u8) -> ProfileLevelId {
        ProfileLevelId { level_idc, ..self }
    }
}

/// level_idc of level 3.1 (1280x720 at 30 frames a second).
pub const LEVEL_31: u8 = 0x1f;

impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}{:02x}{:02x}",
            self.profile_idc, self.constraints, self.level_idc
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Option<H264Profile> {
        ProfileLevelId::parse(text).map(ProfileLevelId::profile)
    }

    #[test]
    fn profiles_that_browsers_offer_are_told_apart() {
        assert_eq!(profile("42e01f"), Some(H264Profile::ConstrainedBaseline));
        assert_eq!(profile("42e034"), Some(H264Profile::ConstrainedBaseline));
        assert_eq!(profile("42C02A"), Some(H264Profile::ConstrainedBaseline));
        assert_eq!(profile("42001f"), Some(H264Profile::Baseline));
        assert_eq!(profile("4d001f"), Some(H264Profile::Main));
        assert_eq!(profile("640c34"), Some(H264Profile::ConstrainedHigh));
        assert_eq!(profile("64001f"), Some(H264Profile::High));
        assert_eq!(profile("f4001f"), Some(H264Profile::Other));
    }

    #[test]
    fn only_six_hexadecimal_digits_parse() {
        for text in ["", "42e01", "42e01f0", "42e01g", "+2e01f", "42e0é"] {
            assert_eq!(ProfileLevelId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn displayed_and_parsed_again_is_the_same() {
        for word in [0x42e01f_u32, 0x640c34, 0x000000, 0xffffff] {
            let text = format!("{word:06x}");
            let id = ProfileLevelId::parse(&text).expect("hexadecimal");
            assert_eq!(id.to_string(), text);
        }
    }
}
