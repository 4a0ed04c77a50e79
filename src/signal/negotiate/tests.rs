use std::net::SocketAddr;

use super::*;
use crate::wire::sdp;

const POLICY: PublishPolicy<'static> = PublishPolicy {
    video_codecs: &[VideoCodec::H264, VideoCodec::Vp8],
    audio_codecs: &AUDIO_CODECS,
    max_bitrate_kbps: None,
};

const OPUS_AND_VP8: PublishedTracks = PublishedTracks {
    audio: Some(AudioCodec::Opus),
    video: Some(PublishedVideo {
        codec: VideoCodec::Vp8,
        profile: None,
    }),
};

fn fingerprint() -> String {
    format!("a=fingerprint:sha-256 {}\n", vec!["AB"; 32].join(":"))
}

/// Session lines every offer needs, with `setup`.
fn session(setup: &str) -> String {
    let prints = fingerprint();
    format!("v=0\na=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuv\n{prints}a=setup:{setup}\n")
}

/// One sending video section with these formats and lines.
fn video(types: &str, lines: &str) -> SessionOffer {
    let head = session("actpass");
    let text = format!(
        "{head}m=video 9 UDP/TLS/RTP/SAVPF {types}\na=mid:v\na=rtcp-mux\na=sendrecv\n{lines}\n"
    );
    sdp::parse(&text).expect("readable")
}

fn h264(types: &str, fmtps: &[&str]) -> SessionOffer {
    let maps = types
        .split(' ')
        .map(|pt| format!("a=rtpmap:{pt} H264/90000\n"));
    let fmtps = fmtps.iter().map(|fmtp| format!("a=fmtp:{fmtp}\n"));
    video(types, &maps.chain(fmtps).collect::<String>())
}

/// The payload type and profile answered to a publisher.
fn received(offer: &SessionOffer) -> Option<(u8, String)> {
    let negotiated = negotiate_publish(offer, &POLICY).ok()?;
    let track = negotiated.video()?;
    Some((track.payload_type, track.profile?.to_string()))
}

fn sent(offer: &SessionOffer, profile: Option<&str>) -> Option<(u8, String, Vec<Note>)> {
    let published = PublishedTracks {
        audio: None,
        video: Some(PublishedVideo {
            codec: VideoCodec::H264,
            profile: profile.and_then(ProfileLevelId::parse),
        }),
    };
    let negotiated = negotiate_play(offer, &published).ok()?;
    let track = negotiated.video()?;
    Some((
        track.payload_type,
        track.profile?.to_string(),
        negotiated.notes.clone(),
    ))
}

#[test]
fn constrained_baseline_is_preferred_wherever_it_stands() {
    let offer = h264(
        "96 97 98",
        &[
            "96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f",
            "97 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
            "98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        ],
    );
    assert_eq!(received(&offer), Some((98, "42e01f".into())));
}

#[test]
fn a_level_is_answered_as_asymmetry_allows() {
    let with = |fmtp: &str| received(&h264("96", &[fmtp]));
    let allowed = "96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e00c";
    assert_eq!(with(allowed), Some((96, "42e01f".into())));
    let high = "96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c34";
    assert_eq!(with(high), Some((96, "640c1f".into())));
    let symmetric = "96 packetization-mode=1;profile-level-id=42e00c";
    assert_eq!(with(symmetric), Some((96, "42e00c".into())));
    let symmetric_high = "96 packetization-mode=1; PROFILE-LEVEL-ID=42E034";
    assert_eq!(with(symmetric_high), Some((96, "42e01f".into())));
}

#[test]
fn single_nal_mode_is_not_taken() {
    let offer = h264("96", &["96 packetization-mode=0;profile-level-id=42e01f"]);
    let refused = negotiate_publish(&offer, &POLICY);
    assert_eq!(refused, Err(NegotiationError::NoCommonCodecs));
}

#[test]
fn a_missing_mode_is_a_last_resort_and_said_so() {
    let both = h264(
        "96 97",
        &["96 profile-level-id=42e01f", "97 packetization-mode=1"],
    );
    assert_eq!(received(&both).map(|(pt, _)| pt), Some(97));
    let none = h264("96", &[]);
    let negotiated = negotiate_publish(&none, &POLICY).expect("lenient");
    let track = negotiated.video().expect("video");
    assert!(
        track
            .fmtp
            .contains("packetization-mode=1;profile-level-id=42e01f")
    );
    let payload_type = 96;
    assert_eq!(
        negotiated.notes,
        [
            Note::PacketizationModeAssumed { payload_type },
            Note::ProfileAssumed { payload_type }
        ]
    );
    assert!(
        negotiated
            .notes
            .iter()
            .all(|note| !note.to_string().is_empty())
    );
}

#[test]
fn unusable_profiles_are_not_taken() {
    for id in ["f4001f", "nonsense", "", "42e01"] {
        let fmtp = format!("96 packetization-mode=1;profile-level-id={id}");
        assert_eq!(received(&h264("96", &[&fmtp])), None, "{id}");
    }
}

#[test]
fn a_viewer_gets_the_payload_type_of_the_streams_profile() {
    let offer = h264(
        "96 97 98",
        &[
            "96 packetization-mode=1;profile-level-id=42001f",
            "97 packetization-mode=1;profile-level-id=42e034",
            "98 packetization-mode=1;profile-level-id=64001f",
        ],
    );
    let pick = |id| sent(&offer, id).map(|(pt, id, notes)| (pt, id, notes.len()));
    assert_eq!(pick(Some("42e01f")), Some((97, "42e034".into(), 0)));
    assert_eq!(pick(Some("42c00c")), Some((97, "42e034".into(), 0)));
    assert_eq!(pick(Some("42001f")), Some((96, "42001f".into(), 0)));
    assert_eq!(pick(Some("4d001f")), Some((98, "64001f".into(), 0)));
    assert_eq!(pick(Some("640c1f")), Some((98, "64001f".into(), 0)));
    assert_eq!(pick(None), Some((97, "42e034".into(), 0)));
}

#[test]
fn a_viewer_without_the_profile_gets_the_stream_and_a_note() {
    let offer = h264("96", &["96 packetization-mode=1;profile-level-id=42e01f"]);
    let payload_type = 96;
    let note = Note::ProfileUndeclared { payload_type };
    let wanted = Some((96, "42e01f".into(), vec![note]));
    assert_eq!(sent(&offer, Some("64001f")), wanted);
}

#[test]
fn a_viewer_without_profile_level_id_is_answered_the_publishers() {
    let offer = h264("96", &["96 packetization-mode=1"]);
    let payload_type = 96;
    let note = Note::ProfileAssumed { payload_type };
    let wanted = Some((96, "42e00c".into(), vec![note]));
    assert_eq!(sent(&offer, Some("42e00c")), wanted);
}

#[test]
fn rtx_needs_an_apt_of_the_chosen_type() {
    let rtx = |lines: &str| {
        let lines = format!("a=rtpmap:96 VP8/90000\n{lines}");
        let offer = video("96 97 98", &lines);
        let negotiated = negotiate_publish(&offer, &POLICY).expect("VP8");
        negotiated.video().and_then(|track| track.rtx_payload_type)
    };
    assert_eq!(rtx("a=rtpmap:97 rtx/90000\na=fmtp:97 apt=96"), Some(97));
    assert_eq!(rtx("a=rtpmap:97 rtx/90000\na=fmtp:97 apt=95"), None);
    assert_eq!(rtx("a=rtpmap:97 rtx/90000"), None);
    assert_eq!(rtx("a=rtpmap:97 rtx/8000\na=fmtp:97 apt=96"), None);
    let second = "a=rtpmap:97 rtx/90000\na=fmtp:97 apt=1\na=rtpmap:98 rtx/90000\na=fmtp:98 apt=96";
    assert_eq!(rtx(second), Some(98));
}

#[test]
fn ssrcs_of_the_first_layer_are_known_only_with_their_meaning() {
    let rtx = "a=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n";
    let ssrcs = |types: &str, lines: &str| {
        let negotiated = negotiate_publish(&video(types, lines), &POLICY).expect("VP8");
        let track = negotiated.video().expect("video");
        (track.remote_ssrc, track.remote_rtx_ssrc)
    };
    let pair = format!("{rtx}a=ssrc:2 cname:x\na=ssrc:1 cname:x\na=ssrc-group:FID 1 2");
    assert_eq!(ssrcs("96 97", &pair), (Some(1), Some(2)));
    assert_eq!(ssrcs("96", &pair), (Some(1), None), "no RTX, no RTX SSRC");
    assert_eq!(
        ssrcs("96 97", &format!("{rtx}a=ssrc:7 cname:x")),
        (Some(7), None)
    );
    assert_eq!(ssrcs("96 97", rtx), (None, None));
}

#[test]
fn somebody_has_to_open_the_handshake() {
    let with = |setup: &str| {
        let head = session(setup);
        let text = format!("{head}m=audio 9 RTP/SAVPF 0\na=rtcp-mux\n");
        let offer = sdp::parse(&text).expect("readable");
        negotiate_publish(&offer, &POLICY).map(|negotiated| negotiated.setup)
    };
    assert_eq!(with("actpass"), Ok(Setup::Actpass));
    assert_eq!(with("active"), Ok(Setup::Active));
    assert_eq!(with("passive"), Ok(Setup::Passive));
    assert_eq!(with("holdconn"), Err(NegotiationError::HandshakeOnHold));
}

#[test]
fn what_a_transport_needs_must_be_there() {
    let refused = |from: &str, to: &str| {
        let head = session("actpass");
        let text = format!("{head}m=audio 9 RTP/SAVPF 0\na=rtcp-mux\n").replace(from, to);
        let offer = sdp::parse(&text).expect("readable");
        negotiate_publish(&offer, &POLICY).expect_err("must be refused")
    };
    let whole = fingerprint();
    let sha1 = format!("a=fingerprint:sha-1 {}\n", vec!["AB"; 20].join(":"));
    let md5 = format!("a=fingerprint:md5 {}\n", vec!["AB"; 16].join(":"));
    assert_eq!(refused(&whole, ""), NegotiationError::FingerprintMissing);
    assert_eq!(refused(&whole, &sha1), NegotiationError::FingerprintMissing);
    assert_eq!(refused(&whole, &md5), NegotiationError::FingerprintMissing);
    let no_ice = NegotiationError::IceCredentialsMissing;
    assert_eq!(refused("a=ice-ufrag:abcd\n", ""), no_ice);
    assert_eq!(
        refused("a=rtcp-mux\n", ""),
        NegotiationError::RtcpMuxRequired
    );
    let lite = refused("a=setup", "a=ice-lite\na=setup");
    assert_eq!(lite, NegotiationError::PeerMustBeFullIce);
    assert_eq!(
        refused("m=audio 9", "m=audio 0"),
        NegotiationError::NothingOffered
    );
    assert_eq!(
        refused("a=setup", "a=recvonly\na=setup"),
        NegotiationError::NothingOffered
    );
    assert_eq!(
        refused("SAVPF 0", "SAVPF 9"),
        NegotiationError::NoCommonCodecs
    );
}

fn two_sections(group: &str, audio_types: &str, video_types: &str) -> SessionOffer {
    let head = session("actpass");
    let text = format!(
        "{head}{group}m=audio 9 RTP/SAVPF {audio_types}\na=mid:a\na=rtcp-mux\n\
         a=rtpmap:111 opus/48000/2\na=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\n\
         m=video 9 RTP/SAVPF {video_types}\na=mid:v\na=rtcp-mux\na=rtpmap:96 VP8/90000\n\
         a=rtpmap:111 VP8/90000\na=extmap:3 urn:3gpp:video-orientation\n\
         a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:15 \
         http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\n"
    );
    sdp::parse(&text).expect("readable")
}

#[test]
fn two_tracks_need_one_bundle() {
    let bundled = |group: &str| {
        let offer = two_sections(group, "111", "96");
        negotiate_publish(&offer, &POLICY).map(|negotiated| negotiated.bundle)
    };
    let both = Ok(Some(vec!["v".to_owned(), "a".to_owned()]));
    assert_eq!(bundled("a=group:BUNDLE v a v gone\n"), both);
    assert_eq!(bundled(""), Err(NegotiationError::BundleRequired));
    assert_eq!(
        bundled("a=group:LS a v\n"),
        Err(NegotiationError::BundleRequired)
    );
    let apart = "a=group:BUNDLE a\na=group:BUNDLE v\n";
    assert_eq!(bundled(apart), Err(NegotiationError::BundleRequired));
    // One accepted track has nothing to share its transport with.
    let audio_only = negotiate_play(
        &two_sections("", "111", "96"),
        &PublishedTracks {
            audio: Some(AudioCodec::Opus),
            video: None,
        },
    );
    assert_eq!(audio_only.map(|negotiated| negotiated.bundle), Ok(None));
}

#[test]
fn one_number_for_two_codecs_is_refused() {
    let offer = two_sections("a=group:BUNDLE a v\n", "111", "111");
    let refused = negotiate_publish(&offer, &POLICY);
    assert_eq!(refused, Err(NegotiationError::PayloadTypeClash));
}

#[test]
fn an_extension_id_keeps_its_first_meaning() {
    let offer = two_sections("a=group:BUNDLE a v\n", "111", "96");
    let negotiated = negotiate_publish(&offer, &POLICY).expect("answered");
    let video = negotiated.video().expect("video").extensions;
    assert_eq!(negotiated.audio().expect("audio").extensions.mid, Some(3));
    assert_eq!(video.orientation, None, "3 already is the mid");
    assert_eq!(video.mid, Some(4));
    assert_eq!(video.abs_send_time, None, "15 is reserved");
}

#[test]
fn a_viewer_without_the_audio_codec_still_gets_video() {
    let offer = two_sections("a=group:BUNDLE a v\n", "0", "96");
    let negotiated = negotiate_play(&offer, &OPUS_AND_VP8).expect("video works");
    assert!(negotiated.audio().is_none());
    assert_eq!(negotiated.video().map(|track| track.payload_type), Some(96));
    assert_eq!(negotiated.notes, [Note::AudioLeftOut]);
    // The audio section heads the bundle: refusing it would break the bundle
    // of a browser that offers one transport only.
    let idle = negotiated.media[0].idle.as_ref().expect("kept inactive");
    assert_eq!(idle.codec, Codec::Audio(AudioCodec::Pcmu));
    assert_eq!(
        negotiated.bundle,
        Some(vec!["a".to_owned(), "v".to_owned()])
    );
    let behind = two_sections("a=group:BUNDLE v a\n", "0", "96");
    let negotiated = negotiate_play(&behind, &OPUS_AND_VP8).expect("video works");
    assert_eq!(negotiated.media[0].idle, None, "not the head: refused");
    assert_eq!(negotiated.bundle, Some(vec!["v".to_owned()]));
    let unknown = two_sections("a=group:BUNDLE a v\n", "9", "96");
    let negotiated = negotiate_play(&unknown, &OPUS_AND_VP8).expect("video works");
    assert_eq!(negotiated.media[0].idle, None, "no codec to name");
    let clash = two_sections("a=group:BUNDLE a v\n", "111", "111");
    let video_only = PublishedTracks {
        audio: None,
        ..OPUS_AND_VP8
    };
    let negotiated = negotiate_play(&clash, &video_only).expect("video works");
    assert_eq!(negotiated.media[0].idle, None, "111 is the video's");
}

#[test]
fn a_viewer_without_the_video_codec_is_told() {
    let offer = two_sections("a=group:BUNDLE a v\n", "111", "100");
    let refused = negotiate_play(&offer, &OPUS_AND_VP8);
    assert_eq!(refused, Err(NegotiationError::NoCommonCodecs));
    assert_eq!(NegotiationError::NoCommonCodecs.info(), "No common codecs");
    let stripped = two_sections("a=group:BUNDLE a v\n", "111", "");
    let refused = negotiate_play(&stripped, &OPUS_AND_VP8);
    assert_eq!(refused, Err(NegotiationError::NoCommonCodecs));
}

#[test]
fn nothing_published_for_the_asked_kind_is_no_common_codec() {
    let offer = video("96", "a=rtpmap:96 VP8/90000");
    let audio_only = PublishedTracks {
        audio: Some(AudioCodec::Opus),
        video: None,
    };
    let refused = negotiate_play(&offer, &audio_only);
    assert_eq!(refused, Err(NegotiationError::NoCommonCodecs));
}

#[test]
fn the_policy_decides_between_codecs() {
    let lines = "a=rtpmap:96 VP8/90000\na=rtpmap:97 H264/90000\na=fmtp:97 packetization-mode=1";
    let offer = video("96 97", lines);
    let pick = |video_codecs| {
        let policy = PublishPolicy {
            video_codecs,
            ..POLICY
        };
        let negotiated = negotiate_publish(&offer, &policy);
        negotiated.map(|n| n.video().map(|track| track.payload_type))
    };
    assert_eq!(pick(&[VideoCodec::H264, VideoCodec::Vp8]), Ok(Some(97)));
    assert_eq!(pick(&[VideoCodec::Vp8, VideoCodec::H264]), Ok(Some(96)));
    assert_eq!(pick(&[]), Err(NegotiationError::NoCommonCodecs));
}

#[test]
fn codecs_all_members_receive_come_first() {
    let vp8_only = Receivable {
        video: vec![VideoCodec::Vp8],
        audio: vec![AudioCodec::Opus],
    };
    let order = [VideoCodec::H264, VideoCodec::Vp8];
    let all = Receivable::all();
    let prefer = |members: &[Receivable]| prefer_common(&order, members.iter());
    assert_eq!(prefer(&[]), order);
    assert_eq!(prefer(std::slice::from_ref(&all)), order);
    assert_eq!(
        prefer(&[all, vp8_only]),
        [VideoCodec::Vp8, VideoCodec::H264]
    );
    let offer = video("96", "a=rtpmap:96 vp8/90000");
    assert_eq!(Receivable::from_offer(&offer).video, [VideoCodec::Vp8]);
}

fn rendered(offer: &SessionOffer, candidates: &[&str]) -> String {
    let negotiated = negotiate_play(offer, &OPUS_AND_VP8).expect("answered");
    let candidates: Vec<SocketAddr> = candidates
        .iter()
        .map(|text| text.parse().expect("address"))
        .collect();
    let local = LocalDescription {
        ufrag: "srvr",
        pwd: "abcdefghijklmnopqrstuv",
        fingerprint_sha256: [0xab; 32],
        candidates: &candidates,
        session_id: u64::MAX,
        cname: "c name",
        stream_id: "my stream",
        senders: LocalSenders {
            audio: Some(LocalSender {
                ssrc: 1,
                rtx_ssrc: Some(9),
            }),
            video: None,
        },
    };
    render_answer(&negotiated, &local)
}

#[test]
fn candidates_have_falling_priorities_and_foundations_per_address() {
    let offer = two_sections("a=group:BUNDLE v a\n", "111", "96");
    let answer = rendered(
        &offer,
        &[
            "192.0.2.7:4000",
            "[2001:db8::7]:4000",
            "192.0.2.7:4001",
            "192.0.2.7:4000",
            "0.0.0.0:4000",
            "192.0.2.8:0",
        ],
    );
    let video = answer.split("m=video").nth(1).expect("video section");
    let candidates: Vec<_> = video.lines().filter(|l| l.contains("candidate:")).collect();
    assert_eq!(
        candidates,
        [
            "a=candidate:1 1 udp 2130706431 192.0.2.7 4000 typ host",
            "a=candidate:2 1 udp 2130706175 2001:db8::7 4000 typ host",
            "a=candidate:1 1 udp 2130705919 192.0.2.7 4001 typ host",
        ]
    );
    assert_eq!(answer.matches("a=candidate").count(), 3, "{answer}");
    assert_eq!(answer.matches("c=IN IP4 192.0.2.7\r\n").count(), 2);
    let sixth = rendered(&offer, &["[2001:db8::7]:4000"]);
    assert!(sixth.contains("c=IN IP6 2001:db8::7\r\n"));
    let none = rendered(&offer, &[]);
    assert!(none.contains("m=audio 9 ") && none.contains("c=IN IP4 0.0.0.0"));
}

#[test]
fn a_viewers_tracks_share_one_stream() {
    let offer = two_sections("a=group:BUNDLE a v\n", "111", "96");
    let answer = rendered(&offer, &["192.0.2.7:4000"]);
    assert!(answer.contains("o=- 9223372036854775807 1 IN IP4 0.0.0.0\r\n"));
    assert!(answer.contains("a=msid:my_stream my_stream-audio\r\n"));
    assert!(answer.contains("a=msid:my_stream my_stream-video\r\n"));
    assert!(answer.contains("a=ssrc:1 cname:c_name\r\n"));
    assert!(!answer.contains("FID"), "no RTX was negotiated for audio");
}
