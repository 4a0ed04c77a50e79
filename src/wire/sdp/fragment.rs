//! Fragments of a session description, `application/trickle-ice-sdpfrag`
//! (RFC 8840 section 9): what WHIP and WHEP clients send to tell candidates and
//! to restart ICE. Candidates are counted and not read, as in an offer.

use super::attributes::{credential, mid};
use super::normalise::is_token;
use super::{IceCredentials, SdpError, SdpFault};
use crate::base::limits::{
    ICE_PWD_MIN_CHARS, ICE_UFRAG_MIN_CHARS, SDP_LINES_MAX, SDP_MAX_BYTES, SDP_MEDIA_MAX,
};

/// What a fragment says, as far as an ICE-lite server needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The client's credentials, the same wherever they stand.
    pub ice: Option<IceCredentials>,
    /// The first `m=` section, which an answer names again.
    pub section: Option<FragmentSection>,
    /// `a=candidate` lines.
    pub candidates: usize,
}

/// An `m=` section of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentSection {
    /// `audio`, `video`, `application`…
    pub media: String,
    /// `UDP/TLS/RTP/SAVPF` and the like.
    pub proto: String,
    pub format: String,
    pub mid: Option<String>,
}

/// Reads a fragment. Refuses what is no list of `a=` and `m=` lines, half a pair
/// of credentials, and two different pairs: with one transport for all sections
/// nobody could tell which of them is meant.
pub fn parse_fragment(text: &str) -> Result<Fragment, SdpError> {
    if text.len() > SDP_MAX_BYTES {
        let limit = SDP_MAX_BYTES;
        return Err(SdpError::whole(SdpFault::TooLong { limit }));
    }
    if text.contains('\0') {
        return Err(SdpError::whole(SdpFault::Nul));
    }
    let mut reader = Reader::default();
    for (number, line) in (1..).zip(text.split('\n')) {
        if number as usize > SDP_LINES_MAX {
            let (what, limit) = ("lines", SDP_LINES_MAX);
            return Err(SdpError::at(number, SdpFault::TooMany { what, limit }));
        }
        reader.line(line.trim_ascii_end(), number)?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    fragment: Fragment,
    ufrag: Option<String>,
    pwd: Option<String>,
    sections: usize,
}

impl Reader {
    fn line(&mut self, line: &str, number: u32) -> Result<(), SdpError> {
        if line.is_empty() {
            return Ok(());
        }
        match line.split_once('=') {
            Some(("m", value)) => self.section(value, number),
            Some(("a", value)) => self.attribute(value, number),
            // Other lines of a description say nothing about ICE.
            Some((letter, _)) if letter.len() == 1 => Ok(()),
            _ => Err(SdpError::at(number, SdpFault::LineForm)),
        }
    }

    fn section(&mut self, value: &str, number: u32) -> Result<(), SdpError> {
        let malformed = || SdpError::at(number, SdpFault::MediaLine);
        self.sections += 1;
        if self.sections > SDP_MEDIA_MAX {
            let (what, limit) = ("m= lines", SDP_MEDIA_MAX);
            return Err(SdpError::at(number, SdpFault::TooMany { what, limit }));
        }
        let mut words = value.split_ascii_whitespace();
        let (media, _port) = words.next().zip(words.next()).ok_or_else(malformed)?;
        let proto = words.next().ok_or_else(malformed)?;
        let format = words.next().unwrap_or("0");
        if !is_token(media) || !proto.split('/').all(is_token) || !is_token(format) {
            return Err(malformed());
        }
        self.fragment.section.get_or_insert(FragmentSection {
            media: media.to_owned(),
            proto: proto.to_owned(),
            format: format.to_owned(),
            mid: None,
        });
        Ok(())
    }

    fn attribute(&mut self, attribute: &str, number: u32) -> Result<(), SdpError> {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "candidate" => self.fragment.candidates += 1,
            "ice-ufrag" => {
                let ufrag = credential(value, ICE_UFRAG_MIN_CHARS, number)?;
                keep(&mut self.ufrag, ufrag, number)?;
            }
            "ice-pwd" => {
                let pwd = credential(value, ICE_PWD_MIN_CHARS, number)?;
                keep(&mut self.pwd, pwd, number)?;
            }
            "mid" => {
                let mid = mid(value, number)?;
                if let (1, Some(section)) = (self.sections, &mut self.fragment.section) {
                    section.mid.get_or_insert(mid);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Fragment, SdpError> {
        let ice = match (self.ufrag, self.pwd) {
            (Some(ufrag), Some(pwd)) => Some(IceCredentials { ufrag, pwd }),
            (None, None) => None,
            _ => return Err(SdpError::whole(SdpFault::IceCredential)),
        };
        Ok(Fragment {
            ice,
            ..self.fragment
        })
    }
}

/// Credentials may be repeated in every section, and must not change.
fn keep(kept: &mut Option<String>, said: String, number: u32) -> Result<(), SdpError> {
    match kept {
        Some(kept) if *kept != said => Err(SdpError::at(number, SdpFault::IceCredential)),
        _ => {
            *kept = Some(said);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9725 section 4.3.3, with the password's length mended.
    const RESTART: &str = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ysXw\r\n\
        a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
        a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn a_restart_is_read() {
        let fragment = parse_fragment(RESTART).unwrap();
        let ice = fragment.ice.unwrap();
        assert_eq!(ice.ufrag, "ysXw");
        assert_eq!(ice.pwd, "vw5LmwG4y/e6dPP/zAP9Gp5k");
        let section = fragment.section.unwrap();
        assert_eq!(section.media, "audio");
        assert_eq!(section.format, "111");
        assert_eq!(section.mid.as_deref(), Some("0"));
        assert_eq!(fragment.candidates, 2);
        assert_eq!(
            parse_fragment(&RESTART.replace('\r', "")),
            parse_fragment(RESTART)
        );
    }

    #[test]
    fn credentials_may_stand_above_and_in_every_section_alike() {
        let pair = "a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\n";
        let twice = format!("{pair}m=audio 9 RTP/SAVPF 0\n{pair}m=video 9 RTP/SAVPF 1\n{pair}");
        let fragment = parse_fragment(&twice).unwrap();
        assert_eq!(fragment.ice.unwrap().ufrag, "abcd");
        let changed = twice.replacen("abcd", "abce", 1);
        let error = parse_fragment(&changed).unwrap_err();
        assert_eq!(
            (error.line, error.fault),
            (4, SdpFault::IceCredential),
            "{changed}"
        );
        let half = parse_fragment("a=ice-ufrag:abcd\n").unwrap_err();
        assert_eq!(half.fault, SdpFault::IceCredential);
    }

    #[test]
    fn nothing_but_candidates_says_nothing_else() {
        let fragment = parse_fragment("a=candidate:x\n\na=candidate:y\n").unwrap();
        assert_eq!(fragment.candidates, 2);
        assert_eq!((fragment.ice, fragment.section), (None, None));
        assert_eq!(parse_fragment("").unwrap(), Fragment::default());
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        for (text, line, fault) in [
            ("a=mid:0\nhello\n", 2, SdpFault::LineForm),
            ("=\n", 1, SdpFault::LineForm),
            ("m=audio\n", 1, SdpFault::MediaLine),
            ("m=au\"dio 9 RTP/SAVPF 0\n", 1, SdpFault::MediaLine),
            ("m=audio 9 RTP//SAVPF 0\n", 1, SdpFault::MediaLine),
            ("a=ice-ufrag:abc\n", 1, SdpFault::IceCredential),
            ("a=ice-pwd:short\n", 1, SdpFault::IceCredential),
            ("a=mid:a b\n", 1, SdpFault::Mid),
            ("a=x\0\n", 0, SdpFault::Nul),
        ] {
            let error = parse_fragment(text).unwrap_err();
            assert_eq!((error.line, error.fault), (line, fault), "{text:?}");
        }
        let flood = "m=audio 9 RTP/SAVPF 0\n".repeat(SDP_MEDIA_MAX + 1);
        assert!(parse_fragment(&flood).is_err());
        assert!(parse_fragment(&"\n".repeat(SDP_LINES_MAX + 1)).is_err());
        assert!(parse_fragment(&"a".repeat(SDP_MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn no_truncation_panics() {
        for len in 0..RESTART.len() {
            let _ = parse_fragment(RESTART.get(..len).unwrap());
        }
    }
}
