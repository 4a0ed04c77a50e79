//! Offers and answers of the generator, in the form of Chromium's, and what it
//! needs to read of the other side's.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::wire::codec::VideoCodec;

pub const OPUS: u8 = 111;
pub const VIDEO: u8 = 96;
pub const RTX: u8 = 97;

/// The SSRCs a publisher announces.
#[derive(Clone, Copy, Debug)]
pub struct Ssrcs {
    pub sound: u32,
    pub video: u32,
    pub rtx: u32,
}

/// What a description says of this side.
pub struct Local<'a> {
    pub ufrag: &'a str,
    pub password: &'a str,
    pub fingerprint: [u8; 32],
    pub is_lite: bool,
    /// Where it is reached, for servers that check.
    pub candidate: Option<SocketAddr>,
    /// Of a publisher.
    pub ssrcs: Option<Ssrcs>,
    pub has_sound: bool,
    pub video: Option<VideoCodec>,
}

/// Payload types and mids of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub is_video: bool,
    pub mid: String,
    pub payload_type: u8,
    pub rtx: Option<u8>,
}

pub fn offer(local: &Local<'_>) -> String {
    let mut sections = Vec::new();
    let mut section = |is_video, payload_type, rtx| {
        sections.push(Section {
            is_video,
            mid: sections.len().to_string(),
            payload_type,
            rtx,
        });
    };
    if local.has_sound {
        section(false, OPUS, None);
    }
    if local.video.is_some() {
        section(true, VIDEO, Some(RTX));
    }
    description(local, &sections, "actpass")
}

/// The answer to a server's offer with these sections.
pub fn answer(local: &Local<'_>, sections: &[Section]) -> String {
    description(local, sections, "active")
}

fn description(local: &Local<'_>, sections: &[Section], setup: &str) -> String {
    let mids: Vec<&str> = sections
        .iter()
        .map(|section| section.mid.as_str())
        .collect();
    let mut text = format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
         a=group:BUNDLE {}\r\na=msid-semantic: WMS *\r\n",
        mids.join(" ")
    );
    if local.is_lite {
        text.push_str("a=ice-lite\r\n");
    }
    for section in sections {
        write_section(&mut text, local, section, setup);
    }
    text
}

fn write_section(text: &mut String, local: &Local<'_>, section: &Section, setup: &str) {
    let hex: Vec<String> = local
        .fingerprint
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    let direction = match local.ssrcs {
        Some(_) => "sendonly",
        None => "recvonly",
    };
    let pt = section.payload_type;
    let (kind, rtx) = match (section.is_video, section.rtx) {
        (false, _) => ("audio", String::new()),
        (true, None) => ("video", String::new()),
        (true, Some(rtx)) => ("video", format!(" {rtx}")),
    };
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        text,
        "m={kind} 9 UDP/TLS/RTP/SAVPF {pt}{rtx}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
         a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n\
         a=mid:{}\r\na={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n",
        local.ufrag,
        local.password,
        hex.join(":"),
        section.mid,
    );
    let ssrc = match section.is_video {
        true => write_video(text, local, section),
        false => {
            let _ = write!(
                text,
                "a=rtpmap:{pt} opus/48000/2\r\na=fmtp:{pt} minptime=10;useinbandfec=1\r\n"
            );
            local.ssrcs.map(|ssrcs| ssrcs.sound)
        }
    };
    if let Some(ssrc) = ssrc {
        let _ = write!(
            text,
            "a=ssrc:{ssrc} cname:load\r\na=ssrc:{ssrc} msid:load {kind}\r\n"
        );
    }
    if let Some(address) = local.candidate {
        let (ip, port) = (address.ip(), address.port());
        let _ = write!(
            text,
            "a=candidate:1 1 udp 2130706431 {ip} {port} typ host\r\na=end-of-candidates\r\n"
        );
    }
}

/// The codec's lines; the media's SSRC.
fn write_video(text: &mut String, local: &Local<'_>, section: &Section) -> Option<u32> {
    let pt = section.payload_type;
    let name = match local.video {
        Some(VideoCodec::H264) => "H264",
        _ => "VP8",
    };
    let _ = write!(
        text,
        "a=rtpmap:{pt} {name}/90000\r\na=rtcp-fb:{pt} ccm fir\r\na=rtcp-fb:{pt} nack\r\n\
         a=rtcp-fb:{pt} nack pli\r\n"
    );
    if local.video == Some(VideoCodec::H264) {
        let _ = write!(
            text,
            "a=fmtp:{pt} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
        );
    }
    if let Some(rtx) = section.rtx {
        let _ = write!(
            text,
            "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={pt}\r\n"
        );
        if let Some(ssrcs) = local.ssrcs {
            let (media, rtx) = (ssrcs.video, ssrcs.rtx);
            let _ = write!(
                text,
                "a=ssrc-group:FID {media} {rtx}\r\na=ssrc:{rtx} cname:load\r\n"
            );
        }
    }
    local.ssrcs.map(|ssrcs| ssrcs.video)
}

/// What is needed of the other side's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub ufrag: String,
    pub password: String,
    pub fingerprint: [u8; 32],
    pub candidate: SocketAddr,
    pub sections: Vec<Section>,
}

impl Remote {
    /// `None`: something is missing.
    pub fn read(sdp: &str) -> Option<Remote> {
        let value = |name: &str| {
            let mut lines = sdp.lines();
            lines.find_map(|line| line.trim_end().strip_prefix(name))
        };
        let sections = sdp.split("\nm=").skip(1);
        Some(Remote {
            ufrag: value("a=ice-ufrag:")?.to_string(),
            password: value("a=ice-pwd:")?.to_string(),
            fingerprint: fingerprint(value("a=fingerprint:sha-256 ")?)?,
            candidate: sdp.lines().find_map(candidate)?,
            sections: sections.filter_map(section).collect(),
        })
    }
}

/// The first UDP candidate of IPv4.
fn candidate(line: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = line
        .trim_end()
        .strip_prefix("a=candidate:")?
        .split(' ')
        .collect();
    let [_, _, transport, _, ip, port, ..] = words.as_slice() else {
        return None;
    };
    let address = SocketAddr::new(ip.parse().ok()?, port.parse().ok()?);
    (transport.eq_ignore_ascii_case("udp") && address.is_ipv4()).then_some(address)
}

fn section(text: &str) -> Option<Section> {
    let mut words = text.lines().next()?.split_whitespace();
    let is_video = words.next()? == "video";
    if words.next()? == "0" {
        return None;
    }
    let mut types = words.skip(1).filter_map(|word| word.parse().ok());
    let payload_type = types.next()?;
    let mut lines = text.lines().map(str::trim_end);
    let apt = format!("apt={payload_type}");
    let rtx = lines.clone().find_map(|line| {
        let (pt, parameters) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
        (parameters == apt).then(|| pt.parse().ok())?
    });
    let mid = lines.find_map(|line| line.strip_prefix("a=mid:"))?;
    Some(Section {
        is_video,
        mid: mid.to_string(),
        payload_type,
        rtx,
    })
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let bytes = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok());
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sdp;

    fn local(ssrcs: Option<Ssrcs>, video: VideoCodec) -> String {
        offer(&Local {
            ufrag: "abcdefgh",
            password: "0123456789012345678901",
            fingerprint: [0xa7; 32],
            is_lite: true,
            candidate: Some(([192, 0, 2, 7], 4_000).into()),
            ssrcs,
            has_sound: true,
            video: Some(video),
        })
    }

    #[test]
    fn what_is_offered_can_be_read_by_the_server_and_here() {
        let ssrcs = Ssrcs {
            sound: 1,
            video: 2,
            rtx: 3,
        };
        for video in [VideoCodec::H264, VideoCodec::Vp8] {
            for ssrcs in [Some(ssrcs), None] {
                let text = local(ssrcs, video);
                assert_eq!(sdp::parse(&text).unwrap().media.len(), 2);
                let read = Remote::read(&text).unwrap();
                assert_eq!(read.candidate, ([192, 0, 2, 7], 4_000).into());
                assert_eq!(read.fingerprint, [0xa7; 32]);
                let [sound, video] = &read.sections[..] else {
                    panic!("two sections: {read:?}");
                };
                assert_eq!((video.payload_type, video.rtx), (VIDEO, Some(RTX)));
                assert!(video.is_video && !sound.is_video && sound.mid == "0");
            }
        }
        assert_eq!(Remote::read("v=0\r\n"), None);
    }
}
