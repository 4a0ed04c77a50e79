//! Fragments of session descriptions: reading one never panics, line ends do not
//! matter, and what is answered to one reads back as what was put into it.

use ringhall::signal::negotiate::render_restart;
use ringhall::wire::sdp::parse_fragment;

const PWD: &str = "0123456789012345678901";

/// Entry of the fuzz target and of the corpus replay.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fragment = match parse_fragment(&text) {
        Ok(fragment) => fragment,
        Err(error) => {
            let lines = text.split('\n').count();
            assert!(error.line as usize <= lines, "{error}: of {lines} lines");
            return;
        }
    };
    if let Ok(again) = parse_fragment(&text.replace('\n', "\r\n")) {
        assert_eq!(again, fragment, "line ends change the meaning");
    }
    let candidates = ["192.0.2.7:40000".parse().unwrap()];
    let answer = render_restart(fragment.section.as_ref(), "srvr", PWD, &candidates);
    for line in answer.split_terminator("\r\n") {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }
    let read = parse_fragment(&answer).expect("an answer must be readable");
    assert_eq!(read.section, fragment.section);
    let ice = read.ice.expect("credentials");
    assert_eq!((ice.ufrag.as_str(), ice.pwd.as_str()), ("srvr", PWD));
    assert_eq!(read.candidates, 1);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let restart = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ysXw\r\n\
        a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
        a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n";
    let bare = "a=candidate:1 1 udp 1 x.local 9 typ host\n";
    let halves = "a=ice-ufrag:abcd\nm=video 9 RTP/SAVPF\na=ice-ufrag:abce\n";
    [restart, bare, halves, "m=a 9 b c\na=mid:", "\n\n=", ""]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}
