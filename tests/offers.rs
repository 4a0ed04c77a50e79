//! Real clients' offers get the answers those clients need.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "properties/sdp.rs"]
mod property;

use std::time::{Duration, Instant};

use ringhall::base::random::Noise;
use ringhall::signal::negotiate::{
    AUDIO_CODECS, LocalDescription, LocalSender, LocalSenders, Negotiated, NegotiationError, Note,
    PublishPolicy, PublishedTracks, PublishedVideo, negotiate_play, negotiate_publish,
    render_answer,
};
use ringhall::wire::codec::{AudioCodec, ProfileLevelId, VideoCodec};
use ringhall::wire::sdp::{self, SessionOffer};

macro_rules! vectors {
    ($($name:ident)*) => {
        $(const $name: &str = include_str!(concat!("vectors/offers/", stringify!($name), ".sdp"));)*
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

#[allow(non_upper_case_globals, reason = "constants named after their files")]
mod vectors {
    vectors! {
        aiortc_play aiortc_publish chrome_android_play chrome_android_publish chromium_play
        chromium_play_audio_only chromium_publish chromium_publish_data_channel
        chromium_publish_simulcast chromium_publish_stripped_to_h264
        chromium_publish_stripped_to_vp8 chromium_screen edge_play edge_publish ffmpeg_whip_active
        ffmpeg_whip_passive firefox_h264_play firefox_h264_publish firefox_play firefox_publish
        firefox_publish_max_bundle firefox_publish_simulcast safari_ios_play safari_ios_publish
        safari_macos_play safari_macos_publish
    }
    pub fn named(name: &str) -> &'static str {
        ALL.iter().find(|(n, _)| *n == name).expect("a vector").1
    }
    pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        ALL.iter().copied()
    }
}

const H264_FIRST: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];
const VP8_FIRST: [VideoCodec; 2] = [VideoCodec::Vp8, VideoCodec::H264];

fn offer(name: &str) -> SessionOffer {
    sdp::parse(vectors::named(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn publish(name: &str, video_codecs: &[VideoCodec]) -> Result<Negotiated, NegotiationError> {
    let policy = PublishPolicy {
        video_codecs,
        audio_codecs: &AUDIO_CODECS,
        max_bitrate_kbps: None,
    };
    negotiate_publish(&offer(name), &policy)
}

fn play(name: &str, video: VideoCodec, profile: &str) -> Result<Negotiated, NegotiationError> {
    let published = PublishedTracks {
        audio: Some(AudioCodec::Opus),
        video: Some(PublishedVideo {
            codec: video,
            profile: ProfileLevelId::parse(profile),
        }),
    };
    negotiate_play(&offer(name), &published)
}

/// "audio pt; video codec pt/rtx profile", what matters of an answer.
fn summary(negotiated: &Result<Negotiated, NegotiationError>) -> String {
    let negotiated = match negotiated {
        Ok(negotiated) => negotiated,
        Err(error) => return error.to_string(),
    };
    let audio = negotiated
        .audio()
        .map(|t| format!("{} {}", t.codec.name(), t.payload_type));
    let video = negotiated.video().map(|t| {
        let rtx = t
            .rtx_payload_type
            .map_or("-".to_owned(), |pt| pt.to_string());
        let profile = t.profile.map_or(String::new(), |id| format!(" {id}"));
        format!("{} {}/{rtx}{profile}", t.codec.name(), t.payload_type)
    });
    let parts: Vec<String> = audio.into_iter().chain(video).collect();
    parts.join("; ")
}

/// The answer, checked against the offer.
fn answer(name: &str, negotiated: &Negotiated) -> String {
    let candidates: Vec<_> = [
        "192.0.2.7:40000",
        "198.51.100.7:40000",
        "[2001:db8::7]:40000",
    ]
    .iter()
    .map(|text| text.parse().expect("address"))
    .collect();
    let sender = |ssrc| LocalSender {
        ssrc,
        rtx_ssrc: Some(ssrc + 1),
    };
    let text = render_answer(
        negotiated,
        &LocalDescription {
            ufrag: "srvr",
            pwd: "abcdefghijklmnopqrstuv",
            fingerprint_sha256: [0xab; 32],
            candidates: &candidates,
            session_id: 7,
            cname: "cname",
            stream_id: "stream",
            senders: LocalSenders {
                audio: Some(sender(10)),
                video: Some(sender(20)),
            },
        },
    );
    property::check_answer(&offer(name), negotiated, &text);
    text
}

fn lines<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    let wanted = |line: &&str| line.starts_with(prefix);
    text.split_terminator("\r\n").filter(wanted).collect()
}

#[test]
fn every_publisher_is_answered_with_its_best_h264_else_vp8() {
    for (name, wanted) in [
        ("chromium_publish", "opus 111; H264 108/109 42e01f"),
        ("chromium_screen", "opus 111; H264 108/109 42e01f"),
        (
            "chromium_publish_stripped_to_h264",
            "opus 111; H264 108/- 42e01f",
        ),
        ("chromium_publish_stripped_to_vp8", "opus 111; VP8 96/-"),
        (
            "chromium_publish_data_channel",
            "opus 111; H264 108/109 42e01f",
        ),
        (
            "chromium_publish_simulcast",
            "opus 111; H264 108/109 42e01f",
        ),
        ("firefox_publish", "opus 109; VP8 120/124"),
        ("firefox_h264_publish", "opus 109; H264 126/127 42e01f"),
        ("firefox_publish_simulcast", "opus 109; VP8 120/124"),
        ("firefox_publish_max_bundle", "opus 109; VP8 120/124"),
        ("safari_macos_publish", "opus 111; H264 98/99 42e01f"),
        ("safari_ios_publish", "opus 111; H264 98/99 42e01f"),
        ("edge_publish", "opus 111; H264 106/107 42e01f"),
        ("chrome_android_publish", "opus 111; H264 102/103 42e01f"),
        ("aiortc_publish", "opus 96; H264 101/102 42e01f"),
        ("ffmpeg_whip_active", "opus 111; H264 106/105 42001f"),
        ("ffmpeg_whip_passive", "opus 111; H264 106/105 42001f"),
        ("chromium_play", "offer: no usable audio or video section"),
    ] {
        let negotiated = publish(name, &H264_FIRST);
        assert_eq!(summary(&negotiated), wanted, "{name}");
        if let Ok(negotiated) = negotiated {
            let text = answer(name, &negotiated);
            let accepted = negotiated.media.iter().filter(|m| m.accepted.is_some());
            let accepted = accepted.count();
            assert_eq!(lines(&text, "a=recvonly").len(), accepted, "{name}");
            assert!(lines(&text, "a=ssrc").is_empty() && lines(&text, "a=msid").is_empty());
        }
    }
}

#[test]
fn every_publisher_with_vp8_is_answered_vp8_where_that_comes_first() {
    for (name, wanted) in [
        ("chromium_publish", "opus 111; VP8 96/97"),
        ("firefox_publish", "opus 109; VP8 120/124"),
        ("safari_macos_publish", "opus 111; VP8 100/101"),
        ("safari_ios_publish", "opus 111; VP8 100/101"),
        ("edge_publish", "opus 111; VP8 96/97"),
        ("chrome_android_publish", "opus 111; VP8 96/97"),
        ("aiortc_publish", "opus 96; VP8 97/98"),
        ("ffmpeg_whip_active", "opus 111; H264 106/105 42001f"),
        (
            "chromium_publish_stripped_to_h264",
            "opus 111; H264 108/- 42e01f",
        ),
    ] {
        assert_eq!(summary(&publish(name, &VP8_FIRST)), wanted, "{name}");
    }
}

#[test]
fn every_viewer_gets_the_publishers_codec_under_its_own_number() {
    for (name, h264, vp8) in [
        (
            "chromium_play",
            "opus 111; H264 108/109 42e01f",
            "opus 111; VP8 96/97",
        ),
        (
            "firefox_h264_play",
            "opus 109; H264 126/127 42e01f",
            "opus 109; VP8 120/124",
        ),
        (
            "firefox_play",
            "offer: no common codecs",
            "opus 109; VP8 120/124",
        ),
        (
            "safari_macos_play",
            "opus 111; H264 98/99 42e034",
            "opus 111; VP8 100/101",
        ),
        (
            "safari_ios_play",
            "opus 111; H264 98/99 42e01f",
            "opus 111; VP8 100/101",
        ),
        (
            "edge_play",
            "opus 111; H264 106/107 42e01f",
            "opus 111; VP8 96/97",
        ),
        (
            "chrome_android_play",
            "opus 111; H264 102/103 42e01f",
            "opus 111; VP8 96/97",
        ),
        (
            "aiortc_play",
            "opus 96; H264 101/102 42e01f",
            "opus 96; VP8 97/98",
        ),
        ("chromium_play_audio_only", "opus 111", "opus 111"),
        ("chromium_publish", NOTHING, NOTHING),
    ] {
        assert_eq!(
            summary(&play(name, VideoCodec::H264, "42e01f")),
            h264,
            "{name}"
        );
        let negotiated = play(name, VideoCodec::Vp8, "");
        assert_eq!(summary(&negotiated), vp8, "{name}");
        if let Ok(negotiated) = negotiated {
            let text = answer(name, &negotiated);
            let sections = negotiated.media.len();
            assert_eq!(lines(&text, "a=sendonly").len(), sections, "{name}");
            assert_eq!(
                lines(&text, "a=msid:stream stream-").len(),
                sections,
                "{name}"
            );
        }
    }
}

const NOTHING: &str = "offer: no usable audio or video section";

#[test]
fn safaris_levels_do_not_cost_it_h264() {
    // 640c34 and 42e034: only the level differs from what others speak.
    let negotiated = publish("safari_macos_publish", &H264_FIRST).expect("answered");
    let text = answer("safari_macos_publish", &negotiated);
    let wanted = "a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    assert_eq!(lines(&text, "a=fmtp:98"), [wanted]);
}

#[test]
fn a_high_profile_stream_goes_to_the_viewers_high_profile() {
    for (name, profile, wanted) in [
        ("safari_macos_play", "640c1f", "opus 111; H264 96/97 640c34"),
        (
            "chrome_android_play",
            "640c1f",
            "opus 111; H264 35/36 640c1f",
        ),
        ("edge_play", "64001f", "opus 111; H264 112/113 64001f"),
        ("edge_play", "640c1f", "opus 111; H264 112/113 64001f"),
        ("chromium_play", "4d001f", "opus 111; H264 116/117 4d001f"),
    ] {
        let negotiated = play(name, VideoCodec::H264, profile);
        assert_eq!(summary(&negotiated), wanted, "{name} {profile}");
        assert_eq!(negotiated.map(|n| n.notes), Ok(vec![]), "{name} {profile}");
    }
    let undeclared = play("chromium_play", VideoCodec::H264, "640c1f").expect("sent anyway");
    let payload_type = undeclared.video().expect("video").payload_type;
    assert_eq!(undeclared.notes, [Note::ProfileUndeclared { payload_type }]);
}

#[test]
fn simulcast_by_rid_alone_is_answered_with_one_layer() {
    for (name, ssrc) in [
        ("firefox_publish_simulcast", Some(4_050_988_162)),
        ("chromium_publish_simulcast", None),
    ] {
        let negotiated = publish(name, &VP8_FIRST).expect("answered");
        assert_eq!(negotiated.notes, [Note::SimulcastIgnored], "{name}");
        let video = negotiated.video().expect("video");
        assert_eq!(video.remote_ssrc, ssrc, "{name}");
        assert!(
            video.extensions.mid.is_some(),
            "the mid binds what no SSRC announces"
        );
        let text = answer(name, &negotiated);
        assert!(
            !text.contains("simulcast") && !text.contains("a=rid"),
            "{name}"
        );
        assert!(!text.contains("rtp-stream-id"), "{name}");
    }
}

#[test]
fn a_data_channel_is_refused_beside_accepted_tracks() {
    let name = "chromium_publish_data_channel";
    let negotiated = publish(name, &H264_FIRST).expect("answered");
    let text = answer(name, &negotiated);
    let refusal = "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n\
                   c=IN IP4 0.0.0.0\r\na=mid:2\r\na=inactive\r\n";
    assert!(text.ends_with(refusal), "{text}");
    assert_eq!(lines(&text, "a=group"), ["a=group:BUNDLE 0 1"]);
}

#[test]
fn a_publishers_answer_is_exactly_this() {
    let mut negotiated = publish("chromium_publish", &H264_FIRST).expect("answered");
    negotiated.max_bitrate_kbps = Some(1_500);
    let text = answer("chromium_publish", &negotiated);
    let fingerprint = ["AB"; 32].join(":");
    let transport = format!(
        "a=ice-ufrag:srvr\na=ice-pwd:abcdefghijklmnopqrstuv\n\
         a=fingerprint:sha-256 {fingerprint}\na=setup:passive\na=recvonly\na=rtcp-mux\n\
         a=rtcp-rsize\na=rtcp-xr:rcvr-rtt=all\n"
    );
    let send_time = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
    let cc = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let wanted = format!(
        "v=0\no=- 7 1 IN IP4 0.0.0.0\ns=ringhall\nt=0 0\na=ice-lite\na=group:BUNDLE 0 1\n\
         m=audio 40000 UDP/TLS/RTP/SAVPF 111\nc=IN IP4 192.0.2.7\na=mid:0\n{transport}\
         a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\n\
         a=extmap:2 {send_time}\na=extmap:3 {cc}\n\
         a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\n\
         a=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\n\
         a=rtcp-fb:111 transport-cc\n\
         a=candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host\n\
         a=candidate:2 1 udp 2130706175 198.51.100.7 40000 typ host\n\
         a=candidate:3 1 udp 2130705919 2001:db8::7 40000 typ host\na=end-of-candidates\n\
         m=video 40000 UDP/TLS/RTP/SAVPF 108 109\nc=IN IP4 192.0.2.7\nb=AS:1500\n\
         b=TIAS:1500000\na=mid:1\n{transport}\
         a=extmap:2 {send_time}\na=extmap:3 {cc}\n\
         a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:13 urn:3gpp:video-orientation\n\
         a=rtpmap:108 H264/90000\n\
         a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\n\
         a=rtcp-fb:108 goog-remb\na=rtcp-fb:108 transport-cc\na=rtcp-fb:108 ccm fir\n\
         a=rtcp-fb:108 nack\na=rtcp-fb:108 nack pli\na=rtpmap:109 rtx/90000\na=fmtp:109 apt=108\n"
    );
    assert_eq!(text.replace("\r\n", "\n"), wanted);
    let audio = negotiated.audio().expect("audio");
    assert_eq!(audio.remote_ssrc, Some(3_079_930_723));
    let video = negotiated.video().expect("video");
    assert_eq!(
        (video.remote_ssrc, video.remote_rtx_ssrc),
        (Some(511_906_291), Some(3_458_643_234))
    );
    assert_eq!(negotiated.ice.ufrag, "QY4J");
    assert_eq!(negotiated.fingerprints.len(), 1);
}

#[test]
fn a_viewers_video_section_is_exactly_this() {
    let negotiated = play("chromium_play", VideoCodec::Vp8, "").expect("answered");
    let text = answer("chromium_play", &negotiated);
    assert_eq!(
        lines(&text, "a=msid-semantic"),
        ["a=msid-semantic: WMS stream"]
    );
    let video = text
        .split("m=video ")
        .nth(1)
        .expect("video")
        .replace("\r\n", "\n");
    let fingerprint = ["AB"; 32].join(":");
    let wanted = format!(
        "40000 UDP/TLS/RTP/SAVPF 96 97\nc=IN IP4 192.0.2.7\na=mid:1\na=ice-ufrag:srvr\n\
         a=ice-pwd:abcdefghijklmnopqrstuv\na=fingerprint:sha-256 {fingerprint}\n\
         a=setup:passive\na=sendonly\na=rtcp-mux\na=rtcp-rsize\n\
         a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:13 urn:3gpp:video-orientation\n\
         a=rtpmap:96 VP8/90000\na=rtcp-fb:96 ccm fir\na=rtcp-fb:96 nack\na=rtcp-fb:96 nack pli\n\
         a=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\na=msid:stream stream-video\n\
         a=ssrc-group:FID 20 21\na=ssrc:20 cname:cname\na=ssrc:20 msid:stream stream-video\n\
         a=ssrc:21 cname:cname\na=ssrc:21 msid:stream stream-video\n"
    );
    assert_eq!(video, wanted);
}

#[test]
fn g711_is_answered_where_it_is_published() {
    for (codec, wanted) in [(AudioCodec::Pcmu, "PCMU 0"), (AudioCodec::Pcma, "PCMA 8")] {
        for name in [
            "chromium_play",
            "firefox_play",
            "safari_ios_play",
            "aiortc_play",
        ] {
            let published = PublishedTracks {
                audio: Some(codec),
                video: None,
            };
            let negotiated = negotiate_play(&offer(name), &published);
            assert_eq!(summary(&negotiated), wanted, "{name}");
            let text = answer(name, &negotiated.expect("answered"));
            assert_eq!(lines(&text, "m=video 0 ").len(), 1, "{name}: video refused");
            assert!(!text.contains("telephone-event") && !text.contains("CN/"));
        }
    }
}

#[test]
fn every_vector_and_its_truncations_hold_the_property() {
    for (_, text) in vectors::all() {
        property::check(text.as_bytes());
        for end in (0..text.len()).step_by(31) {
            property::check(&text.as_bytes()[..end]);
        }
    }
}

#[test]
fn mutated_offers_are_refused_or_answered_in_their_own_terms() {
    let mut noise = Noise::new(0x5d9);
    let texts: Vec<&str> = vectors::all().map(|(_, text)| text).collect();
    let (mut read, mut answered) = (0u32, 0u32);
    for _ in 0..6_000 {
        let base = texts[noise.below(texts.len() as u64) as usize];
        let other = texts[noise.below(texts.len() as u64) as usize];
        let text = mutated(base, other, &mut noise);
        property::check(text.as_bytes());
        if let Ok(offer) = sdp::parse(&text) {
            read += 1;
            let policy = PublishPolicy {
                video_codecs: &VP8_FIRST,
                audio_codecs: &AUDIO_CODECS,
                max_bitrate_kbps: None,
            };
            answered += u32::from(negotiate_publish(&offer, &policy).is_ok());
        }
    }
    // Mutations that all break the text would prove nothing.
    assert!(
        read > 2_000 && answered > 500,
        "{read} read, {answered} answered"
    );
}

/// A few edits of the kinds clients, scripts and strangers make.
fn mutated(base: &str, other: &str, noise: &mut Noise) -> String {
    let mut lines: Vec<String> = base.split("\r\n").map(str::to_owned).collect();
    let others: Vec<&str> = other.split("\r\n").collect();
    for _ in 0..=noise.below(5) {
        let at = noise.below(lines.len().max(1) as u64) as usize;
        let to = noise.below(lines.len().max(1) as u64) as usize;
        match noise.below(9) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(to, lines[at].clone()),
            2 => lines.swap(at, to),
            3 => lines.insert(
                at,
                others[noise.below(others.len() as u64) as usize].to_owned(),
            ),
            4 => lines[at] = renumbered(&lines[at], noise),
            5 => lines[at] = without_word(&lines[at], noise),
            6 => {
                let names = [
                    "VP8", "VP9", "opus", "PCMU", "rtx", "H264", "sendonly", "sendrecv",
                ];
                let from = names[noise.below(8) as usize];
                let into = names[noise.below(8) as usize];
                lines[at] = lines[at].replace(from, into);
            }
            7 => lines.extend(others.iter().skip(7).map(|line| (*line).to_owned())),
            _ => lines.truncate(at.max(1)),
        }
        if lines.is_empty() {
            lines.push(String::new());
        }
    }
    let mut text = lines
        .join(["\r\n", "\n"][noise.below(2) as usize])
        .into_bytes();
    if noise.chance_ppm(200_000) && !text.is_empty() {
        let at = noise.below(text.len() as u64) as usize;
        text[at] = noise.next_u32() as u8;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn renumbered(line: &str, noise: &mut Noise) -> String {
    let number = noise.below(130).to_string();
    let digits = |c: char| c.is_ascii_digit();
    match line.find(digits) {
        Some(from) => {
            let rest = line[from..].trim_start_matches(digits);
            format!("{}{number}{rest}", &line[..from])
        }
        None => line.to_owned(),
    }
}

fn without_word(line: &str, noise: &mut Noise) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    words.remove(noise.below(words.len() as u64) as usize);
    words.join(" ")
}

#[test]
fn the_worst_text_of_each_kind_is_dealt_with_at_once() {
    let all = (0..128)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    let section = format!("m=video 9 RTP/SAVPF {all}\n");
    let head = format!("v=0\n{}", section.repeat(16));
    for filler in [
        "a=rtcp-fb:* nack\n",
        "a=fmtp:127 apt=1\n",
        "a=rtpmap:127 rtx/90000\n",
        "a=extmap:1 urn:x\n",
        "a=group:BUNDLE 1 2 3 4 5\n",
        "a=ssrc:1 cname:x\n",
    ] {
        let text = format!("{head}{}", filler.repeat(1_900));
        let start = Instant::now();
        property::check(text.as_bytes());
        assert!(start.elapsed() < Duration::from_secs(2), "{filler:?}");
    }
    let group = format!(
        "v=0\na=group:BUNDLE{}\n{section}a=mid:0\n",
        " 1".repeat(20_000)
    );
    let fmtp = format!("v=0\n{section}a=fmtp:1 {}\n", "apt=;".repeat(12_000));
    for text in [group, fmtp] {
        let start = Instant::now();
        property::check(text.as_bytes());
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}
