//! The text of an answer. Everything that is echoed from an offer was checked
//! to be a token when the offer was read, so an answer cannot be broken up by
//! what a client wrote.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::{Negotiated, NegotiatedMedia, NegotiatedTrack, Role};
use crate::wire::codec::{AudioCodec, Codec};
use crate::wire::sdp::{MediaKind, Setup};

/// The server's side of one peer connection.
#[derive(Debug, Clone, Copy)]
pub struct LocalDescription<'a> {
    /// RFC 8839 section 5.4: ICE characters, at least 4 and 22 of them.
    pub ufrag: &'a str,
    pub pwd: &'a str,
    /// SHA-256 of the server's certificate.
    pub fingerprint_sha256: [u8; 32],
    /// Where the client may send its checks, best first. Unspecified
    /// addresses and port 0 are left out.
    pub candidates: &'a [SocketAddr],
    /// The `sess-id` of `o=`; its top bit is cleared (RFC 8829 section 5.2.1).
    pub session_id: u64,
    /// RTCP canonical name of what is sent to a viewer.
    pub cname: &'a str,
    /// MediaStream of what is sent to a viewer: one for both sections, so the
    /// page gets one stream with two tracks.
    pub stream_id: &'a str,
    /// Towards a viewer only.
    pub senders: LocalSenders,
}

/// The SSRCs of what is sent to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalSenders {
    pub audio: Option<LocalSender>,
    pub video: Option<LocalSender>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalSender {
    pub ssrc: u32,
    /// Written only where RTX was negotiated.
    pub rtx_ssrc: Option<u32>,
}

/// Longest stream id and cname written: an identifier of `a=msid` has at most
/// 64 characters (RFC 8830 section 2), of which the track's suffix takes six.
const IDENTIFIER_MAX_CHARS: usize = 56;

/// Writes the answer: complete, with all candidates, never to be followed by
/// another (RFC 3264 section 6, RFC 8829 section 5.3, RFC 8839 section 4.2).
pub fn render_answer(negotiated: &Negotiated, local: &LocalDescription<'_>) -> String {
    let mut answer = Answer {
        text: String::with_capacity(2_048),
        negotiated,
        local,
        candidates: usable(local.candidates),
        stream_id: identifier(local.stream_id),
        cname: identifier(local.cname),
    };
    answer.session();
    for (index, media) in negotiated.media.iter().enumerate() {
        let direction = match negotiated.role {
            Role::Play => "sendonly",
            Role::Publish => "recvonly",
        };
        match (&media.accepted, &media.idle) {
            (Some(track), _) => answer.live(index, media, track, direction),
            (None, Some(track)) => answer.live(index, media, track, "inactive"),
            (None, None) => answer.refused(media),
        }
    }
    answer.text
}

struct Answer<'a> {
    text: String,
    negotiated: &'a Negotiated,
    local: &'a LocalDescription<'a>,
    candidates: Vec<SocketAddr>,
    stream_id: String,
    cname: String,
}

impl Answer<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(line);
        self.text.push_str("\r\n");
    }

    fn session(&mut self) {
        let session_id = self.local.session_id & (u64::MAX >> 1);
        self.line(format_args!("v=0"));
        self.line(format_args!("o=- {session_id} 1 IN IP4 0.0.0.0"));
        self.line(format_args!("s=ringhall"));
        self.line(format_args!("t=0 0"));
        self.line(format_args!("a=ice-lite"));
        if let Some(mids) = &self.negotiated.bundle {
            let mids = mids.join(" ");
            self.line(format_args!("a=group:BUNDLE {mids}"));
        }
        if self.negotiated.role == Role::Play {
            let stream_id = self.stream_id.clone();
            self.line(format_args!("a=msid-semantic: WMS {stream_id}"));
        }
    }

    /// Port zero, and the mid so that the section is recognised (RFC 3264
    /// section 6, RFC 8829 section 5.3.1).
    fn refused(&mut self, media: &NegotiatedMedia) {
        let line = &media.line;
        let format = line.formats.first().map_or("0", String::as_str);
        self.line(format_args!("m={} 0 {} {format}", line.media, line.proto));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        if let Some(mid) = &media.mid {
            self.line(format_args!("a=mid:{mid}"));
        }
        self.line(format_args!("a=inactive"));
    }

    fn live(
        &mut self,
        index: usize,
        media: &NegotiatedMedia,
        track: &NegotiatedTrack,
        direction: &str,
    ) {
        self.head(media, track);
        self.transport();
        self.line(format_args!("a={direction}"));
        self.line(format_args!("a=rtcp-mux"));
        if media.rtcp_rsize {
            self.line(format_args!("a=rtcp-rsize"));
        }
        if media.rcvr_rtt {
            self.line(format_args!("a=rtcp-xr:rcvr-rtt=all"));
        }
        for (name, id) in track.extensions.named() {
            if let Some(id) = id {
                self.line(format_args!("a=extmap:{id} {}", name.uri()));
            }
        }
        self.codec(track);
        if self.negotiated.role == Role::Play && media.accepted.is_some() {
            self.sender(media.line.kind, track);
        }
        if self.carries_candidates(index, media) {
            self.candidates();
        }
    }

    /// `m=` with the default candidate, and the ceiling of a publisher's
    /// video twice: browsers differ in which of the two they obey.
    fn head(&mut self, media: &NegotiatedMedia, track: &NegotiatedTrack) {
        let line = &media.line;
        let (port, family, address) = match self.candidates.first() {
            Some(at) if at.is_ipv6() => (at.port(), "IP6", at.ip().to_string()),
            Some(at) => (at.port(), "IP4", at.ip().to_string()),
            None => (9, "IP4", "0.0.0.0".to_owned()),
        };
        let rtx = match track.rtx_payload_type {
            Some(rtx) => format!(" {rtx}"),
            None => String::new(),
        };
        let (kind, proto, payload_type) = (&line.media, &line.proto, track.payload_type);
        self.line(format_args!("m={kind} {port} {proto} {payload_type}{rtx}"));
        self.line(format_args!("c=IN {family} {address}"));
        let ceiling = self.negotiated.max_bitrate_kbps;
        if let (MediaKind::Video, Some(kbps)) = (line.kind, ceiling) {
            let bps = u64::from(kbps).saturating_mul(1_000);
            self.line(format_args!("b=AS:{kbps}"));
            self.line(format_args!("b=TIAS:{bps}"));
        }
        if let Some(mid) = &media.mid {
            self.line(format_args!("a=mid:{mid}"));
        }
    }

    /// The same in every live section: they share the transport, and a
    /// client that ignores the bundle's first section still finds it.
    fn transport(&mut self) {
        let local = self.local;
        let digits: Vec<String> = local
            .fingerprint_sha256
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let digits = digits.join(":");
        self.line(format_args!("a=ice-ufrag:{}", local.ufrag));
        self.line(format_args!("a=ice-pwd:{}", local.pwd));
        self.line(format_args!("a=fingerprint:sha-256 {digits}"));
        let setup = match self.negotiated.setup {
            Setup::Passive => "active",
            _ => "passive",
        };
        self.line(format_args!("a=setup:{setup}"));
    }

    fn codec(&mut self, track: &NegotiatedTrack) {
        let (pt, rate) = (track.payload_type, track.clock_rate);
        let channels = match track.codec {
            Codec::Audio(AudioCodec::Opus) => "/2",
            _ => "",
        };
        let name = track.codec.name();
        self.line(format_args!("a=rtpmap:{pt} {name}/{rate}{channels}"));
        if !track.fmtp.is_empty() {
            self.line(format_args!("a=fmtp:{pt} {}", track.fmtp));
        }
        let feedback = track.feedback;
        for (answered, words) in [
            (feedback.remb, "goog-remb"),
            (feedback.transport_cc, "transport-cc"),
            (feedback.fir, "ccm fir"),
            (feedback.nack, "nack"),
            (feedback.pli, "nack pli"),
        ] {
            if answered {
                self.line(format_args!("a=rtcp-fb:{pt} {words}"));
            }
        }
        if let Some(rtx) = track.rtx_payload_type {
            self.line(format_args!("a=rtpmap:{rtx} rtx/{rate}"));
            self.line(format_args!("a=fmtp:{rtx} apt={pt}"));
        }
    }

    /// What the viewer will receive (RFC 8830, RFC 5576 section 4).
    fn sender(&mut self, kind: MediaKind, track: &NegotiatedTrack) {
        let (sender, suffix) = match kind {
            MediaKind::Audio => (self.local.senders.audio, "audio"),
            _ => (self.local.senders.video, "video"),
        };
        let (stream, cname) = (self.stream_id.clone(), self.cname.clone());
        let msid = format!("{stream} {stream}-{suffix}");
        self.line(format_args!("a=msid:{msid}"));
        let Some(sender) = sender else {
            return;
        };
        let rtx = sender.rtx_ssrc.filter(|_| track.rtx_payload_type.is_some());
        if let Some(rtx) = rtx {
            self.line(format_args!("a=ssrc-group:FID {} {rtx}", sender.ssrc));
        }
        for ssrc in [Some(sender.ssrc), rtx].into_iter().flatten() {
            self.line(format_args!("a=ssrc:{ssrc} cname:{cname}"));
            self.line(format_args!("a=ssrc:{ssrc} msid:{msid}"));
        }
    }

    /// Candidates stand in the first section of the bundle only (RFC 9143
    /// section 7.3), or in the one section there is.
    fn carries_candidates(&self, index: usize, media: &NegotiatedMedia) -> bool {
        let tagged = self
            .negotiated
            .bundle
            .as_ref()
            .and_then(|mids| mids.first());
        match tagged {
            Some(mid) => media.mid.as_ref() == Some(mid),
            None => {
                let live = |m: &NegotiatedMedia| m.is_live();
                self.negotiated.media.iter().position(live) == Some(index)
            }
        }
    }

    fn candidates(&mut self) {
        for line in candidate_lines(&self.candidates) {
            self.line(format_args!("{line}"));
        }
    }
}

/// One line for each of the [`usable`] candidates, and their end.
pub(super) fn candidate_lines(candidates: &[SocketAddr]) -> Vec<String> {
    let line = |(rank, at): (usize, &SocketAddr)| {
        let foundation = foundation(candidates, at.ip());
        let (priority, ip, port) = (priority(rank), at.ip(), at.port());
        format!("a=candidate:{foundation} 1 udp {priority} {ip} {port} typ host")
    };
    let end = "a=end-of-candidates".to_owned();
    candidates
        .iter()
        .enumerate()
        .map(line)
        .chain([end])
        .collect()
}

/// Each address once, without those nobody can send to.
pub(super) fn usable(candidates: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut usable: Vec<SocketAddr> = Vec::with_capacity(candidates.len());
    for at in candidates {
        if at.port() != 0 && !at.ip().is_unspecified() && !usable.contains(at) {
            usable.push(*at);
        }
    }
    usable
}

/// Candidates of one base address share a foundation (RFC 8445 section
/// 5.1.1.3).
fn foundation(candidates: &[SocketAddr], ip: IpAddr) -> usize {
    let first = candidates.iter().position(|at| at.ip() == ip);
    first.unwrap_or(candidates.len()).saturating_add(1)
}

/// RFC 8445 section 5.1.2.1: host candidates have type preference 126; the
/// local preference falls with the rank, so no two are equal.
fn priority(rank: usize) -> u32 {
    const HOST_PREFERENCE: u32 = 126;
    const COMPONENT: u32 = 1;
    let local_preference = 65_535u32.saturating_sub(u32::try_from(rank).unwrap_or(u32::MAX));
    (HOST_PREFERENCE << 24) | (local_preference << 8) | (256 - COMPONENT)
}

/// Whatever a stream is called, written as the token an identifier must be.
fn identifier(name: &str) -> String {
    let token = |c: char| match c {
        '-' | '.' | '_' | '+' | '0'..='9' | 'A'..='Z' | 'a'..='z' => c,
        _ => '_',
    };
    let written: String = name.chars().take(IDENTIFIER_MAX_CHARS).map(token).collect();
    match written.is_empty() {
        true => "-".to_owned(),
        false => written,
    }
}
