//! The answer to a client that restarts ICE (RFC 8840 section 9, RFC 9725
//! section 4.3.3): the server's new credentials and its same candidates.

use std::fmt::Write;
use std::net::SocketAddr;

use super::answer::{candidate_lines, usable};
use crate::wire::sdp::FragmentSection;

/// Writes the fragment. `section` is the client's, named again.
pub fn render_restart(
    section: Option<&FragmentSection>,
    ufrag: &str,
    pwd: &str,
    candidates: &[SocketAddr],
) -> String {
    let mut text = String::with_capacity(512);
    text.push_str("a=ice-lite\r\n");
    // Writing to a String cannot fail.
    if let Some(section) = section {
        if let Some(mid) = &section.mid {
            let _ = write!(text, "a=group:BUNDLE {mid}\r\n");
        }
        let (media, proto, format) = (&section.media, &section.proto, &section.format);
        let _ = write!(text, "m={media} 9 {proto} {format}\r\n");
        if let Some(mid) = &section.mid {
            let _ = write!(text, "a=mid:{mid}\r\n");
        }
    }
    let _ = write!(text, "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n");
    for line in candidate_lines(&usable(candidates)) {
        text.push_str(&line);
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sdp::parse_fragment;

    #[test]
    fn a_client_reads_what_is_written() {
        let asked = parse_fragment("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n").unwrap();
        let candidates = [
            "192.0.2.1:31000".parse().unwrap(),
            "0.0.0.0:1".parse().unwrap(),
        ];
        let pwd = "0123456789012345678901";
        let text = render_restart(asked.section.as_ref(), "ufrag", pwd, &candidates);
        let read = parse_fragment(&text).unwrap();
        assert_eq!(read.section, asked.section);
        assert_eq!(read.candidates, 1);
        let ice = read.ice.unwrap();
        assert_eq!((ice.ufrag.as_str(), ice.pwd.as_str()), ("ufrag", pwd));
        assert!(
            text.ends_with("typ host\r\na=end-of-candidates\r\n"),
            "{text}"
        );
        assert!(render_restart(None, "ufrag", pwd, &[]).starts_with("a=ice-lite\r\na=ice-ufrag"));
    }
}
