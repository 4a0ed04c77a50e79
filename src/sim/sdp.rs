//! Session descriptions of a simulated browser: offers in Chromium's form, and
//! what it needs to read of an answer.

use std::fmt::Write;
use std::net::SocketAddr;

/// Payload types, as Chromium numbers them.
pub const OPUS: u8 = 111;
pub const VP8: u8 = 96;
pub const VP8_RTX: u8 = 97;
pub const H264: u8 = 102;
pub const H264_RTX: u8 = 103;

/// Header extension ids, as Chromium numbers them.
pub const AUDIO_LEVEL_ID: u8 = 1;
pub const TRANSPORT_CC_ID: u8 = 3;
pub const MID_ID: u8 = 4;
pub const ORIENTATION_ID: u8 = 13;

/// The SSRCs a publisher announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssrcs {
    pub audio: u32,
    pub video: u32,
    pub video_rtx: u32,
}

/// What differs between the offers of two browsers.
pub struct Offer<'a> {
    pub ufrag: &'a str,
    pub password: &'a str,
    pub fingerprint: [u8; 32],
    /// Who opens the DTLS handshake (RFC 8842 section 5.2).
    pub setup: &'a str,
    /// Those sent, for a publisher; a player announces none.
    pub ssrcs: Option<Ssrcs>,
    /// Makes key frames on request.
    pub asked: bool,
    /// Its video is H.264 and nothing else; otherwise VP8.
    pub h264: bool,
}

/// Writes an offer of one audio and one video section in one bundle.
pub fn write_offer(offer: &Offer<'_>) -> String {
    let mut text = String::from(
        "v=0\r\no=- 5047541536213596762 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
         a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\n",
    );
    section(&mut text, offer, "audio 9 UDP/TLS/RTP/SAVPF 111", 0);
    text.push_str(
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
         a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
         a=fmtp:111 minptime=10;useinbandfec=1\r\n",
    );
    if let Some(ssrcs) = offer.ssrcs {
        announce(&mut text, ssrcs.audio);
    }
    let (codec, rtx) = match offer.h264 {
        true => (H264, H264_RTX),
        false => (VP8, VP8_RTX),
    };
    let line = format!("video 9 UDP/TLS/RTP/SAVPF {codec} {rtx}");
    section(&mut text, offer, &line, 1);
    let name = if offer.h264 { "H264" } else { "VP8" };
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        text,
        "a=extmap:13 urn:3gpp:video-orientation\r\na=rtpmap:{codec} {name}/90000\r\n\
         a=rtcp-fb:{codec} goog-remb\r\na=rtcp-fb:{codec} transport-cc\r\n\
         a=rtcp-fb:{codec} nack\r\na=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={codec}\r\n",
    );
    if offer.h264 {
        let _ = write!(
            text,
            "a=fmtp:{codec} level-asymmetry-allowed=1;packetization-mode=1;\
             profile-level-id=42e01f\r\n"
        );
    }
    if offer.asked {
        let _ = write!(
            text,
            "a=rtcp-fb:{codec} ccm fir\r\na=rtcp-fb:{codec} nack pli\r\n"
        );
    }
    if let Some(ssrcs) = offer.ssrcs {
        let (media, rtx) = (ssrcs.video, ssrcs.video_rtx);
        let _ = write!(text, "a=ssrc-group:FID {media} {rtx}\r\n");
        announce(&mut text, media);
        announce(&mut text, rtx);
    }
    text
}

fn section(text: &mut String, offer: &Offer<'_>, line: &str, mid: u8) {
    let digits: Vec<String> = offer
        .fingerprint
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let direction = match offer.ssrcs {
        Some(_) => "sendonly",
        None => "recvonly",
    };
    let _ = write!(
        text,
        "m={line}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\n\
         a=ice-pwd:{}\r\na=ice-options:trickle\r\na=fingerprint:sha-256 {}\r\n\
         a=setup:{}\r\na=mid:{mid}\r\n\
         a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
         a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na={direction}\r\na=rtcp-mux\r\n\
         a=rtcp-rsize\r\na=rtcp-xr:rcvr-rtt=all\r\n",
        offer.ufrag,
        offer.password,
        digits.join(":"),
        offer.setup,
    );
}

fn announce(text: &mut String, ssrc: u32) {
    let _ = write!(text, "a=ssrc:{ssrc} cname:simulated\r\n");
    let _ = write!(text, "a=ssrc:{ssrc} msid:stream track\r\n");
}

/// What a browser reads of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub ufrag: String,
    pub password: String,
    pub fingerprint: [u8; 32],
    /// Where checks go: the first candidate.
    pub candidate: SocketAddr,
    pub audio: AnsweredSection,
    pub video: AnsweredSection,
}

/// One section; of a refused one everything is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnsweredSection {
    /// In order: media, then its retransmission.
    pub payload_types: Vec<u8>,
    pub mid: String,
    pub extension_ids: Vec<u8>,
    /// The SSRCs the server sends, media first.
    pub ssrcs: Vec<u32>,
}

/// Reads an answer; `None` when anything a browser needs is not there.
pub fn read_answer(sdp: &str) -> Option<Answer> {
    let mut sections = sdp.split("\r\nm=");
    let _session = sections.next()?;
    let (mut audio, mut video) = (AnsweredSection::default(), AnsweredSection::default());
    let mut candidate = None;
    let first_of = |name: &str| {
        let at = sdp.find(name)?;
        sdp.get(at + name.len()..)?.split("\r\n").next()
    };
    for section in sections {
        let read = read_section(section)?;
        if section.starts_with("audio") {
            audio = read;
        } else {
            video = read;
        }
        candidate = candidate.or_else(|| read_candidate(section));
    }
    Some(Answer {
        ufrag: first_of("a=ice-ufrag:")?.to_string(),
        password: first_of("a=ice-pwd:")?.to_string(),
        fingerprint: read_fingerprint(first_of("a=fingerprint:sha-256 ")?)?,
        candidate: candidate?,
        audio,
        video,
    })
}

fn read_section(section: &str) -> Option<AnsweredSection> {
    let mut lines = section.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let refused = words.nth(1)? == "0";
    let mut read = AnsweredSection::default();
    if refused {
        return Some(read);
    }
    read.payload_types = words.skip(1).filter_map(|pt| pt.parse().ok()).collect();
    for line in lines {
        if let Some(mid) = line.strip_prefix("a=mid:") {
            read.mid = mid.to_string();
        } else if let Some(id) = line.strip_prefix("a=extmap:") {
            read.extension_ids.push(id.split(' ').next()?.parse().ok()?);
        } else if let Some(ssrc) = line.strip_prefix("a=ssrc:") {
            let ssrc = ssrc.split(' ').next()?.parse().ok()?;
            if !read.ssrcs.contains(&ssrc) {
                read.ssrcs.push(ssrc);
            }
        }
    }
    Some(read)
}

fn read_candidate(section: &str) -> Option<SocketAddr> {
    let line = section
        .split("\r\n")
        .find_map(|line| line.strip_prefix("a=candidate:"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let ip = words.get(4)?.parse().ok()?;
    Some(SocketAddr::new(ip, words.get(5)?.parse().ok()?))
}

fn read_fingerprint(text: &str) -> Option<[u8; 32]> {
    let bytes: Vec<u8> = text
        .split(':')
        .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sdp;

    #[test]
    fn offers_are_readable_and_announce_their_streams() {
        let ssrcs = Ssrcs {
            audio: 1,
            video: 2,
            video_rtx: 3,
        };
        for ssrcs in [Some(ssrcs), None] {
            let offer = Offer {
                ufrag: "abcd",
                password: "0123456789012345678901",
                setup: "actpass",
                fingerprint: [7; 32],
                ssrcs,
                asked: true,
                h264: ssrcs.is_some(),
            };
            let read = sdp::parse(&write_offer(&offer)).unwrap();
            assert_eq!(read.media.len(), 2);
        }
    }

    #[test]
    fn an_answer_without_its_transport_is_none() {
        assert_eq!(read_answer(""), None);
        assert_eq!(
            read_answer("v=0\r\nm=audio 0 UDP/TLS/RTP/SAVPF 0\r\n"),
            None
        );
    }
}
