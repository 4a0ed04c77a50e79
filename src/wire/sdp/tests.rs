use super::*;
use crate::base::limits::{SDP_LINES_MAX, SDP_MAX_BYTES, SDP_MEDIA_MAX, SDP_SSRCS_MAX};

const CHROMIUM: &str = include_str!("../../../tests/vectors/offers/chromium_publish.sdp");
const FIREFOX: &str = include_str!("../../../tests/vectors/offers/firefox_publish_simulcast.sdp");
const STRIPPED: &str =
    include_str!("../../../tests/vectors/offers/chromium_publish_stripped_to_h264.sdp");
const AIORTC: &str = include_str!("../../../tests/vectors/offers/aiortc_publish.sdp");

fn fault(text: &str) -> (u32, SdpFault) {
    let error = parse(text).expect_err("must be refused");
    (error.line, error.fault)
}

/// An offer of one audio section with these further lines in it.
fn audio(lines: &str) -> String {
    format!("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\n{lines}\n")
}

fn only(text: &str) -> OfferedMedia {
    let mut offer = parse(text).expect("readable");
    assert_eq!(offer.media.len(), 1);
    offer.media.remove(0)
}

#[test]
fn a_chromium_offer_is_read_in_full() {
    let offer = parse(CHROMIUM).expect("readable");
    assert_eq!(offer.bundles, [["0", "1"]]);
    assert!(!offer.ice_lite);
    let [audio, video] = offer.media.as_slice() else {
        panic!("two sections");
    };
    assert_eq!(audio.line.kind, MediaKind::Audio);
    assert_eq!(audio.mid.as_deref(), Some("0"));
    assert_eq!(audio.direction, Direction::SendOnly);
    assert_eq!(audio.formats.len(), 8);
    assert!(audio.formats[0].is("OPUS", 48_000));
    assert_eq!(audio.formats[0].channels, Some(2));
    assert_eq!(audio.formats[0].parameter("useinbandfec"), Some("1"));
    assert!(audio.formats[0].feedback.transport_cc && !audio.formats[0].feedback.nack);
    assert!(audio.rtcp_mux && audio.rtcp_rsize && audio.rcvr_rtt);
    assert_eq!(audio.setup, Some(Setup::Actpass));
    assert_eq!(
        audio.ice.as_ref().map(|ice| ice.ufrag.as_str()),
        Some("QY4J")
    );
    assert_eq!(audio.fingerprints[0].hash, HashFunction::Sha256);
    assert_eq!(audio.fingerprints[0].bytes[..3], [0x94, 0xcb, 0x57]);
    assert_eq!(video.line.kind, MediaKind::Video);
    assert_eq!(video.formats.len(), 23);
    assert_eq!(video.formats[1].apt(), Some(96));
    assert!(video.formats[0].feedback.pli && video.formats[0].feedback.fir);
    assert_eq!(video.fid_groups, [(511_906_291, 3_458_643_234)]);
    assert_eq!(video.sources[0].cname.as_deref(), Some("U1ZBwxa7K18ho4qp"));
    assert_eq!(video.sources.len(), 2);
    let orientation = video
        .extensions
        .iter()
        .find(|e| e.name == ExtensionName::Orientation);
    assert_eq!(orientation.map(|e| e.id), Some(13));
    let msid = video.msid.as_ref().expect("msid");
    assert_eq!(msid.stream, "fc3a4ea1-b3b4-4dbe-949d-f206779f8476");
}

#[test]
fn session_level_values_reach_the_sections_that_have_none() {
    let offer = parse(FIREFOX).expect("readable");
    for media in &offer.media {
        assert_eq!(media.fingerprints.len(), 1, "Firefox writes it once");
    }
    let media = only(
        "v=0\na=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuv\na=setup:active\na=recvonly\n\
         m=audio 9 RTP/SAVPF 0\n",
    );
    assert!(media.ice.is_some());
    assert_eq!(media.setup, Some(Setup::Active));
    assert_eq!(media.direction, Direction::RecvOnly);
}

#[test]
fn simulcast_is_noted() {
    let offer = parse(FIREFOX).expect("readable");
    let video = &offer.media[1];
    assert_eq!(video.simulcast.as_deref(), Some("send h;m;l"));
    assert_eq!(video.rids.len(), 3);
    assert!(video.rids.iter().all(|rid| rid.send));
    assert_eq!(video.fid_groups.len(), 3);
}

#[test]
fn an_offer_with_candidates_and_three_fingerprints_is_read() {
    let offer = parse(AIORTC).expect("readable");
    let hashes: Vec<_> = offer.media[0].fingerprints.iter().map(|f| f.hash).collect();
    use HashFunction::{Sha256, Sha384, Sha512};
    assert_eq!(hashes, [Sha256, Sha384, Sha512]);
}

#[test]
fn line_ends_blank_lines_and_trailing_blanks_do_not_matter() {
    let offer = parse(CHROMIUM).expect("readable");
    let lf = CHROMIUM.replace("\r\n", "\n");
    let cr = CHROMIUM.replace("\r\n", "\r");
    let blank = CHROMIUM.replace("\r\n", " \t\n\n\r\n");
    let no_last = CHROMIUM.trim_end().to_owned();
    let marked = format!("\u{feff}{CHROMIUM}");
    for text in [lf, cr, blank, no_last, marked] {
        assert_eq!(parse(&text).as_ref(), Ok(&offer));
    }
}

#[test]
fn a_codec_filter_that_eats_a_cr_does_no_harm() {
    assert!(
        STRIPPED.contains("116 39 \n"),
        "the damage is in the vector"
    );
    let offer = parse(STRIPPED).expect("readable");
    let types: Vec<_> = offer.media[1]
        .formats
        .iter()
        .map(|f| f.payload_type)
        .collect();
    assert_eq!(types, [102, 104, 108, 114, 116, 39]);
    assert!(offer.media[1].formats.iter().all(|f| f.is("H264", 90_000)));
}

#[test]
fn attributes_of_removed_payload_types_are_passed_over() {
    let media = only(&audio(
        "a=rtpmap:96 VP8/90000\na=fmtp:97 apt=96\na=rtcp-fb:97 nack\na=rtpmap:111 opus/48000/2",
    ));
    assert_eq!(media.formats.len(), 2);
    assert!(media.formats[0].is("opus", 48_000));
    assert!(media.formats.iter().all(|f| !f.feedback.nack));
}

#[test]
fn malformed_tuning_is_passed_over() {
    let media = only(&audio(
        "a=\na=:x\na=rtpmap\na=rtpmap:\na=rtpmap:111\na=rtpmap:111 opus\na=rtpmap:111 opus/x\n\
         a=rtpmap:999 opus/48000\na=fmtp:111\na=fmtp:-1 a=b\na=rtcp-fb:\na=rtcp-fb:111 \n\
         a=extmap:0 urn:x\na=extmap:256 urn:x\na=extmap:1\na=extmap:1/up urn:x\na=ssrc:x y\n\
         a=ssrc:4294967296 cname:x\na=ssrc-group:FID 1\na=ssrc-group:FID\na=msid:\na=rid:\n\
         a=rid:x\na=group\na=unheard-of:thing\na=candidate:nonsense",
    ));
    assert_eq!(media.formats[0].name, "");
    assert!(media.extensions.is_empty() && media.sources.is_empty());
    assert!(media.fid_groups.is_empty() && media.rids.is_empty());
    assert_eq!(media.msid, None);
}

#[test]
fn static_payload_types_need_no_rtpmap_but_obey_one() {
    let media = only("v=0\nm=audio 9 RTP/SAVPF 0 8\n");
    assert!(media.formats[0].is("PCMU", 8_000));
    assert!(media.formats[1].is("PCMA", 8_000));
    let media = only(&audio("a=rtpmap:0 opus/48000/2"));
    assert!(media.formats[1].is("opus", 48_000));
}

#[test]
fn feedback_for_all_payload_types_reaches_each() {
    let media = only(&audio(
        "a=rtcp-fb:* nack\na=rtcp-fb:* ccm fir\na=rtcp-fb:111 nack pli",
    ));
    assert!(
        media
            .formats
            .iter()
            .all(|f| f.feedback.nack && f.feedback.fir)
    );
    assert!(media.formats[0].feedback.pli && !media.formats[1].feedback.pli);
}

#[test]
fn repeated_payload_types_count_once() {
    let media = only("v=0\nm=audio 9 RTP/SAVPF 0 0 8 0\n");
    assert_eq!(media.formats.len(), 2);
}

#[test]
fn lines_in_any_order_and_of_no_interest_are_accepted() {
    let text = "v=0\na=group:BUNDLE x\nt=\nu=http://[bad\no=- 99999999999999999999999 x\n\
                b=AS:many\nc=ATM x\ns=\nk=?\ni=\ne=\np=\nr=\nz=1\n\
                m=audio 9/2 RTP/SAVPF 0\nb=X\na=mid:x\nc=\ni=\n";
    let offer = parse(text).expect("readable");
    assert_eq!(offer.bundles, [["x"]]);
    assert_eq!(offer.media[0].mid.as_deref(), Some("x"));
}

#[test]
fn sections_that_are_not_ours_keep_their_words() {
    let text = "v=0\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d\n\
                m=audio 9 TCP/XYZ 300\nm=hologram 1 A/B x\nm=video 9 RTP/SAVPF \n";
    let offer = parse(text).expect("readable");
    let kinds: Vec<_> = offer.media.iter().map(|m| m.line.kind).collect();
    use MediaKind::{Other, Video};
    assert_eq!(kinds, [Other, Other, Other, Video]);
    assert_eq!(offer.media[0].line.formats, ["webrtc-datachannel"]);
    assert_eq!(offer.media[1].line.proto, "TCP/XYZ");
    assert_eq!(offer.media[2].line.media, "hologram");
    assert!(offer.media[3].formats.is_empty());
}

#[test]
fn faults_name_line_and_kind() {
    let digits = "AB:".repeat(31);
    let cases: [(String, u32, SdpFault); 22] = [
        (String::new(), 0, SdpFault::Version),
        ("\r\n\r\n".into(), 0, SdpFault::Version),
        ("hello".into(), 1, SdpFault::Version),
        ("v=1\n".into(), 1, SdpFault::Version),
        ("o=-\nv=0\n".into(), 1, SdpFault::Version),
        ("v=0\ns=-\n".into(), 0, SdpFault::NoMedia),
        ("v=0\n\nhello\n".into(), 3, SdpFault::LineForm),
        ("v=0\nab=c\n".into(), 2, SdpFault::LineForm),
        ("v=0\n=c\n".into(), 2, SdpFault::LineForm),
        ("v=0\nx=c\n".into(), 2, SdpFault::UnknownType('x')),
        ("v=0\nm=audio\n".into(), 2, SdpFault::MediaLine),
        (
            "v=0\nm=audio 65536 RTP/AVP 0\n".into(),
            2,
            SdpFault::MediaLine,
        ),
        ("v=0\nm=audio 9 RTP/<b> 0\n".into(), 2, SdpFault::MediaLine),
        ("v=0\nm=text 9 TCP <b>\n".into(), 2, SdpFault::MediaLine),
        (
            "v=0\nm=audio 9 RTP/AVP 128\n".into(),
            2,
            SdpFault::PayloadType,
        ),
        (
            "v=0\nm=audio 9 RTP/AVP -1\n".into(),
            2,
            SdpFault::PayloadType,
        ),
        (audio("a=mid:a b"), 3, SdpFault::Mid),
        (audio("a=mid:"), 3, SdpFault::Mid),
        (audio("a=setup:maybe"), 3, SdpFault::Setup),
        (audio("a=ice-ufrag:abc"), 3, SdpFault::IceCredential),
        (
            audio(&format!("a=fingerprint:sha-256 {digits}")),
            3,
            SdpFault::Fingerprint,
        ),
        (audio("a=rtpmap:0 x\0/1"), 3, SdpFault::Nul),
    ];
    for (text, line, kind) in cases {
        assert_eq!(fault(&text), (line, kind), "{text:?}");
    }
    let text = "v=0\nm=audio 9 RTP/AVP 0\na=mid:0\nm=audio 9 RTP/AVP 0\na=mid:0\n";
    assert_eq!(fault(text), (4, SdpFault::MidTwice));
    let error = parse("v=0\nm=audio\n").expect_err("refused");
    assert_eq!(
        error.to_string(),
        "session description, line 2: malformed m= line"
    );
}

#[test]
fn fingerprints_of_wrong_length_or_letters_are_refused() {
    let print = |len: usize| vec!["0a"; len].join(":");
    for (name, len) in [("md5", 16), ("SHA-1", 20), ("sha-224", 28), ("sha-256", 32)] {
        let good = audio(&format!("a=fingerprint:{name} {}", print(len)));
        assert_eq!(only(&good).fingerprints[0].bytes.len(), len);
        for wrong in [len - 1, len + 1] {
            let bad = audio(&format!("a=fingerprint:{name} {}", print(wrong)));
            assert_eq!(fault(&bad), (3, SdpFault::Fingerprint));
        }
    }
    for digits in [
        print(31) + ":+1",
        print(31) + ":zz",
        print(31) + ":0",
        print(31) + ":",
    ] {
        let bad = audio(&format!("a=fingerprint:sha-256 {digits}"));
        assert_eq!(fault(&bad), (3, SdpFault::Fingerprint));
    }
    let unknown = audio("a=fingerprint:blake3 00");
    assert!(only(&unknown).fingerprints.is_empty());
}

#[test]
fn floods_end_at_a_cap() {
    let long = format!("v=0\n{}", "a=x\n".repeat(100_000));
    assert!(matches!(
        fault(&long),
        (
            0,
            SdpFault::TooLong {
                limit: SDP_MAX_BYTES
            }
        )
    ));
    let lines = format!("v=0\n{}", "\n".repeat(SDP_LINES_MAX));
    assert!(matches!(
        fault(&lines).1,
        SdpFault::TooMany { what: "lines", .. }
    ));
    let media = format!("v=0\n{}", "m=audio 9 RTP/AVP 0\n".repeat(1_000));
    let line = SDP_MEDIA_MAX as u32 + 2;
    assert!(
        matches!(fault(&media), (at, SdpFault::TooMany { what: "m= lines", .. }) if at == line)
    );
    let types = format!("v=0\nm=audio 9 RTP/AVP{}\n", " 0".repeat(129));
    assert!(matches!(
        fault(&types),
        (
            2,
            SdpFault::TooMany {
                what: "formats",
                ..
            }
        )
    ));
    let ssrcs: String = (0..=SDP_SSRCS_MAX)
        .map(|n| format!("a=ssrc:{n} cname:x\n"))
        .collect();
    assert!(matches!(
        fault(&audio(&ssrcs)).1,
        SdpFault::TooMany { what: "SSRCs", .. }
    ));
    let groups = "a=ssrc-group:FID 1 2\n".repeat(SDP_SSRCS_MAX + 1);
    assert!(matches!(
        fault(&audio(&groups)).1,
        SdpFault::TooMany {
            what: "SSRC groups",
            ..
        }
    ));
    let print = format!("a=fingerprint:sha-256 {}\n", vec!["00"; 32].join(":"));
    let prints = print.repeat(9);
    assert!(matches!(
        fault(&audio(&prints)).1,
        SdpFault::TooMany {
            what: "fingerprints",
            ..
        }
    ));
    let mid = format!("a=mid:{}", "x".repeat(65));
    assert_eq!(fault(&audio(&mid)).1, SdpFault::Mid);
    let fmtp = format!("a=fmtp:111 {}", "x=1;".repeat(10_000));
    assert_eq!(only(&audio(&fmtp)).formats[0].parameter("apt"), None);
}

#[test]
fn truncated_anywhere_an_offer_is_read_or_refused() {
    for text in [CHROMIUM, FIREFOX, STRIPPED, AIORTC] {
        for end in 0..text.len() {
            let Some(head) = text.get(..end) else {
                continue;
            };
            if let Err(error) = parse(head) {
                assert!(error.line as usize <= head.split('\n').count());
            }
        }
    }
}

#[test]
fn any_byte_replaced_an_offer_is_read_or_refused() {
    for (at, _) in FIREFOX.char_indices() {
        for letter in ["\0", "\n", ":", " ", "9", "é", ""] {
            let (head, tail) = FIREFOX.split_at(at);
            let tail = tail.get(1..).unwrap_or("");
            let _ = parse(&format!("{head}{letter}{tail}"));
        }
    }
}
