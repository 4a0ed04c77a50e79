//! What holds for every offer, however broken: reading it never panics, line
//! ends do not matter, and an answer fits the offer it answers.

use std::net::SocketAddr;

use ringhall::signal::negotiate::{
    AUDIO_CODECS, LocalDescription, LocalSender, LocalSenders, Negotiated, PublishPolicy,
    PublishedTracks, PublishedVideo, Receivable, negotiate_play, negotiate_publish, render_answer,
};
use ringhall::wire::codec::{AudioCodec, VideoCodec};
use ringhall::wire::sdp::{self, Direction, ExtensionName, OfferedMedia, SessionOffer, Setup};

/// Entry of the fuzz target and of the corpus replay.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let offer = match sdp::parse(&text) {
        Ok(offer) => offer,
        Err(error) => {
            let lines = text.split('\n').count();
            assert!(error.line as usize <= lines, "{error}: of {lines} lines");
            return;
        }
    };
    let crlf = text.replace('\n', "\r\n");
    if let Ok(again) = sdp::parse(&crlf) {
        assert_eq!(again, offer, "line ends change the meaning");
    }
    let receivable = Receivable::from_offer(&offer);
    for (negotiated, wanted) in answers(&offer) {
        let answer = render_answer(&negotiated, &local(&ADDRESSES.map(address)));
        check_answer(&offer, &negotiated, &answer);
        for track in negotiated.media.iter().filter_map(|m| m.accepted.as_ref()) {
            assert!(
                wanted.contains(&track.codec.name()),
                "{}",
                track.codec.name()
            );
        }
        let published = negotiated.published();
        assert!(
            published
                .audio
                .is_none_or(|codec| receivable.audio.contains(&codec))
        );
        assert!(
            published
                .video
                .is_none_or(|video| receivable.video.contains(&video.codec))
        );
    }
}

/// What the server writes must be what the client asked for, in its order and
/// under its numbers.
pub fn check_answer(offer: &SessionOffer, negotiated: &Negotiated, answer: &str) {
    assert!(answer.ends_with("\r\n"));
    for line in answer.split_terminator("\r\n") {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        assert_eq!(line.as_bytes().get(1), Some(&b'='), "{line:?}");
    }
    let read = sdp::parse(answer).expect("an answer must be a session description");
    assert!(read.ice_lite);
    assert_eq!(read.media.len(), offer.media.len(), "{answer}");
    let mut bundled: Vec<String> = Vec::new();
    for (index, (ours, theirs)) in read.media.iter().zip(&offer.media).enumerate() {
        assert_eq!(ours.mid, theirs.mid);
        assert_eq!(ours.line.media, theirs.line.media);
        assert_eq!(ours.line.proto, theirs.line.proto);
        let media = &negotiated.media[index];
        if media.accepted.is_none() && media.idle.is_none() {
            assert_eq!(ours.line.port, 0);
            continue;
        }
        bundled.extend(ours.mid.clone());
        check_section(ours, theirs, media.idle.is_some());
        let setup = match negotiated.setup {
            Setup::Passive => Setup::Active,
            _ => Setup::Passive,
        };
        assert_eq!(ours.setup, Some(setup));
    }
    for group in &read.bundles {
        let mut group = group.clone();
        group.sort();
        bundled.sort();
        assert_eq!(group, bundled, "bundle of what was accepted");
    }
    assert!(read.bundles.len() <= 1);
    let candidates = answer.matches("\r\na=candidate:").count();
    assert_eq!(candidates, ADDRESSES.len(), "{answer}");
    assert_eq!(answer.matches("\r\na=end-of-candidates\r\n").count(), 1);
}

fn check_section(ours: &OfferedMedia, theirs: &OfferedMedia, idle: bool) {
    assert_ne!(ours.line.port, 0);
    assert!(ours.rtcp_mux && ours.ice.is_some() && !ours.fingerprints.is_empty());
    assert!(!ours.rtcp_rsize || theirs.rtcp_rsize);
    let fits = match idle {
        true => ours.direction == Direction::Inactive,
        false => {
            (ours.direction.sends() && theirs.direction.receives())
                || (ours.direction.receives() && theirs.direction.sends())
        }
    };
    assert!(fits, "{:?} answers {:?}", ours.direction, theirs.direction);
    assert!(!ours.formats.is_empty() && ours.formats.len() <= 2);
    for format in &ours.formats {
        let number = format.payload_type;
        let offered = theirs.formats.iter().find(|f| f.payload_type == number);
        let offered = offered.expect("an answered payload type was offered");
        assert!(offered.is(&format.name, format.clock_rate));
        let (a, o) = (format.feedback, offered.feedback);
        assert!(!a.nack || o.nack);
        assert!(!a.pli || o.pli);
        assert!(!a.fir || o.fir);
        assert!(!a.remb || o.remb);
        assert!(!a.transport_cc || o.transport_cc);
    }
    for extension in &ours.extensions {
        assert!((1..=14).contains(&extension.id));
        assert_ne!(extension.name, ExtensionName::Other);
        assert!(theirs.extensions.contains(extension));
    }
}

/// Every answer the server could give to this offer.
fn answers(offer: &SessionOffer) -> Vec<(Negotiated, Vec<&'static str>)> {
    let policy = PublishPolicy {
        video_codecs: &[VideoCodec::H264, VideoCodec::Vp8],
        audio_codecs: &AUDIO_CODECS,
        max_bitrate_kbps: Some(u32::MAX),
    };
    let any = vec!["H264", "VP8", "opus", "PCMU", "PCMA"];
    let mut answers = Vec::new();
    answers.extend(negotiate_publish(offer, &policy).map(|n| (n, any)));
    for video in [None, Some(VideoCodec::H264), Some(VideoCodec::Vp8)] {
        for audio in [None, Some(AudioCodec::Opus), Some(AudioCodec::Pcma)] {
            let published = PublishedTracks {
                audio,
                video: video.map(|codec| PublishedVideo {
                    codec,
                    profile: None,
                }),
            };
            let names = audio.map(AudioCodec::name).into_iter();
            let names = names.chain(video.map(VideoCodec::name)).collect();
            answers.extend(negotiate_play(offer, &published).map(|n| (n, names)));
        }
    }
    answers
}

const ADDRESSES: [&str; 3] = [
    "192.0.2.7:40000",
    "198.51.100.7:40000",
    "[2001:db8::7]:40000",
];

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a literal address")
}

fn local(candidates: &[SocketAddr]) -> LocalDescription<'_> {
    LocalDescription {
        ufrag: "srvr",
        pwd: "abcdefghijklmnopqrstuv",
        fingerprint_sha256: [0xab; 32],
        candidates,
        session_id: u64::MAX,
        cname: "server cname",
        stream_id: "stream/with odd\r\na=characters",
        senders: LocalSenders {
            audio: Some(LocalSender {
                ssrc: 1,
                rtx_ssrc: None,
            }),
            video: Some(LocalSender {
                ssrc: 2,
                rtx_ssrc: Some(3),
            }),
        },
    }
}
