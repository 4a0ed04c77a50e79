//! Attributes into the model. A malformed attribute that only tunes a codec is
//! passed over, as if it had not been written; one that identity or security
//! hangs on (mid, credentials, fingerprint, setup) is an error.

use super::normalise::{is_token, payload_type};
use super::{
    Direction, Extension, ExtensionName, Feedback, Fingerprint, Format, HashFunction,
    IceCredentials, MediaKind, MediaLine, Msid, OfferedMedia, Rid, SdpError, SdpFault, Setup,
    Source,
};
use crate::base::limits::{
    ICE_CREDENTIAL_MAX_CHARS, ICE_PWD_MIN_CHARS, ICE_UFRAG_MIN_CHARS, SDP_FINGERPRINTS_MAX,
    SDP_MID_MAX_BYTES, SDP_SSRCS_MAX,
};

/// What may stand at session level as well as in a section.
#[derive(Default)]
pub(super) struct Level {
    ufrag: Option<String>,
    pwd: Option<String>,
    fingerprints: Vec<Fingerprint>,
    setup: Option<Setup>,
    direction: Option<Direction>,
}

impl Level {
    /// Reads one attribute; unknown ones mean nothing to us (RFC 8866
    /// section 6).
    pub(super) fn read(&mut self, key: &str, value: &str, line: u32) -> Result<(), SdpError> {
        match key {
            "ice-ufrag" => self.ufrag = Some(credential(value, ICE_UFRAG_MIN_CHARS, line)?),
            "ice-pwd" => self.pwd = Some(credential(value, ICE_PWD_MIN_CHARS, line)?),
            "fingerprint" => {
                if self.fingerprints.len() >= SDP_FINGERPRINTS_MAX {
                    let (what, limit) = ("fingerprints", SDP_FINGERPRINTS_MAX);
                    return Err(SdpError::at(line, SdpFault::TooMany { what, limit }));
                }
                self.fingerprints.extend(fingerprint(value, line)?);
            }
            "setup" => self.setup = Some(setup(value, line)?),
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => self.direction = direction(key),
            _ => {}
        }
        Ok(())
    }
}

/// Everything a section says, while it is being read.
pub(super) struct MediaLevel {
    level: Level,
    mid: Option<String>,
    formats: Vec<Format>,
    extensions: Vec<Extension>,
    sources: Vec<Source>,
    fid_groups: Vec<(u32, u32)>,
    msid: Option<Msid>,
    rtcp_mux: bool,
    rtcp_rsize: bool,
    rcvr_rtt: bool,
    bundle_only: bool,
    rids: Vec<Rid>,
    simulcast: Option<String>,
}

impl MediaLevel {
    pub(super) fn new(line: &MediaLine) -> MediaLevel {
        MediaLevel {
            level: Level::default(),
            mid: None,
            formats: formats_of(line),
            extensions: Vec::new(),
            sources: Vec::new(),
            fid_groups: Vec::new(),
            msid: None,
            rtcp_mux: false,
            rtcp_rsize: false,
            rcvr_rtt: false,
            bundle_only: false,
            rids: Vec::new(),
            simulcast: None,
        }
    }

    pub(super) fn read(&mut self, key: &str, value: &str, line: u32) -> Result<(), SdpError> {
        match key {
            "mid" => self.mid = Some(mid(value, line)?),
            "rtpmap" => self.rtpmap(value),
            "fmtp" => self.fmtp(value),
            "rtcp-fb" => self.rtcp_fb(value),
            "extmap" => self.extensions.extend(extension(value)),
            "ssrc" => self.ssrc(value, line)?,
            "ssrc-group" => self.ssrc_group(value, line)?,
            "msid" => self.msid = self.msid.take().or_else(|| msid(value)),
            "rtcp-mux" => self.rtcp_mux = true,
            "rtcp-rsize" => self.rtcp_rsize = true,
            "rtcp-xr" => {
                let offered = value
                    .split_ascii_whitespace()
                    .any(|w| w.starts_with("rcvr-rtt"));
                self.rcvr_rtt |= offered;
            }
            "bundle-only" => self.bundle_only = true,
            "rid" => self.rids.extend(rid(value)),
            "simulcast" => self.simulcast = Some(value.to_owned()),
            key => self.level.read(key, value, line)?,
        }
        Ok(())
    }

    /// The finished section, with the session's values where it gave none of
    /// its own (RFC 8839 section 5.4, RFC 8122 section 5, RFC 8866
    /// section 6.7).
    pub(super) fn finish(mut self, line: MediaLine, session: &Level) -> OfferedMedia {
        self.formats.iter_mut().for_each(name_static);
        let level = self.level;
        let ufrag = level.ufrag.or_else(|| session.ufrag.clone());
        let pwd = level.pwd.or_else(|| session.pwd.clone());
        let fingerprints = match level.fingerprints.is_empty() {
            true => session.fingerprints.clone(),
            false => level.fingerprints,
        };
        OfferedMedia {
            line,
            mid: self.mid,
            direction: level.direction.or(session.direction).unwrap_or_default(),
            formats: self.formats,
            extensions: self.extensions,
            sources: self.sources,
            fid_groups: self.fid_groups,
            msid: self.msid,
            rtcp_mux: self.rtcp_mux,
            rtcp_rsize: self.rtcp_rsize,
            rcvr_rtt: self.rcvr_rtt,
            bundle_only: self.bundle_only,
            ice: ufrag
                .zip(pwd)
                .map(|(ufrag, pwd)| IceCredentials { ufrag, pwd }),
            fingerprints,
            setup: level.setup.or(session.setup),
            rids: self.rids,
            simulcast: self.simulcast,
        }
    }

    /// `<payload type> <name>/<clock rate>[/<channels>]`. A type the `m=`
    /// line does not list is a leftover; the first line for a type counts.
    fn rtpmap(&mut self, value: &str) {
        let Some((format, rest)) = self.format_and_rest(value) else {
            return;
        };
        let mut parts = rest.split('/');
        let (Some(name), Some(rate)) = (parts.next(), parts.next()) else {
            return;
        };
        let Ok(clock_rate) = rate.trim().parse() else {
            return;
        };
        if format.name.is_empty() {
            format.name = name.trim().to_owned();
            format.clock_rate = clock_rate;
            format.channels = parts.next().and_then(|word| word.trim().parse().ok());
        }
    }

    fn fmtp(&mut self, value: &str) {
        if let Some((format, rest)) = self.format_and_rest(value)
            && format.parameters.is_empty()
        {
            format.parameters = rest.to_owned();
        }
    }

    /// `<payload type or *> <message> [<parameter>]` (RFC 4585 section 4.2).
    fn rtcp_fb(&mut self, value: &str) {
        if let Some(rest) = value.strip_prefix('*') {
            for format in &mut self.formats {
                add_feedback(&mut format.feedback, rest);
            }
        } else if let Some((format, rest)) = self.format_and_rest(value) {
            add_feedback(&mut format.feedback, rest);
        }
    }

    fn format_and_rest<'v>(&mut self, value: &'v str) -> Option<(&mut Format, &'v str)> {
        let (word, rest) = value.split_once(|c: char| c.is_ascii_whitespace())?;
        let payload_type = payload_type(word)?;
        let format = self
            .formats
            .iter_mut()
            .find(|format| format.payload_type == payload_type)?;
        Some((format, rest.trim_ascii()))
    }

    /// `<ssrc> [<attribute>[:<value>]]` (RFC 5576 section 4.1).
    fn ssrc(&mut self, value: &str, line: u32) -> Result<(), SdpError> {
        let (word, rest) = value
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((value, ""));
        let Ok(ssrc) = word.parse::<u32>() else {
            return Ok(());
        };
        let found = self.sources.iter().position(|source| source.ssrc == ssrc);
        if found.is_none() {
            if self.sources.len() >= SDP_SSRCS_MAX {
                let (what, limit) = ("SSRCs", SDP_SSRCS_MAX);
                return Err(SdpError::at(line, SdpFault::TooMany { what, limit }));
            }
            self.sources.push(Source {
                ssrc,
                cname: None,
                msid: None,
            });
        }
        let index = found.unwrap_or(self.sources.len().saturating_sub(1));
        if let (Some(source), Some((name, text))) = (
            self.sources.get_mut(index),
            rest.trim_ascii().split_once(':'),
        ) {
            match name {
                "cname" => source.cname = Some(text.to_owned()),
                "msid" => source.msid = msid(text),
                _ => {}
            }
        }
        Ok(())
    }

    fn ssrc_group(&mut self, value: &str, line: u32) -> Result<(), SdpError> {
        let mut words = value.split_ascii_whitespace();
        if words.next() != Some("FID") {
            return Ok(());
        }
        if self.fid_groups.len() >= SDP_SSRCS_MAX {
            let (what, limit) = ("SSRC groups", SDP_SSRCS_MAX);
            return Err(SdpError::at(line, SdpFault::TooMany { what, limit }));
        }
        let mut ssrcs = words.map_while(|word| word.parse::<u32>().ok());
        self.fid_groups.extend(ssrcs.next().zip(ssrcs.next()));
        Ok(())
    }
}

/// One format per payload type of an RTP line; a repeated type counts once.
fn formats_of(line: &MediaLine) -> Vec<Format> {
    let mut seen = [false; 128];
    let mut formats = Vec::new();
    if line.kind == MediaKind::Other {
        return formats;
    }
    for payload_type in line.formats.iter().filter_map(|word| payload_type(word)) {
        match seen.get_mut(usize::from(payload_type)) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        formats.push(Format {
            payload_type,
            name: String::new(),
            clock_rate: 0,
            channels: None,
            parameters: String::new(),
            feedback: Feedback::default(),
        });
    }
    formats
}

/// The static types of RFC 3551 section 6 need no `a=rtpmap`; a name given by
/// one has already won.
fn name_static(format: &mut Format) {
    let name = match (format.name.is_empty(), format.payload_type) {
        (true, 0) => "PCMU",
        (true, 8) => "PCMA",
        _ => return,
    };
    format.name = name.to_owned();
    format.clock_rate = 8_000;
}

fn add_feedback(feedback: &mut Feedback, words: &str) {
    let mut words = words.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some("nack"), None) => feedback.nack = true,
        (Some("nack"), Some("pli")) => feedback.pli = true,
        (Some("ccm"), Some("fir")) => feedback.fir = true,
        (Some("goog-remb"), _) => feedback.remb = true,
        (Some("transport-cc"), _) => feedback.transport_cc = true,
        _ => {}
    }
}

pub(super) fn mid(value: &str, line: u32) -> Result<String, SdpError> {
    match is_token(value) && value.len() <= SDP_MID_MAX_BYTES {
        true => Ok(value.to_owned()),
        false => Err(SdpError::at(line, SdpFault::Mid)),
    }
}

/// RFC 8839 section 5.4 names 64 letters; clients are known to use a few more
/// printable ones. Nothing but equality is ever asked of them.
pub(super) fn credential(value: &str, min_chars: usize, line: u32) -> Result<String, SdpError> {
    let long_enough = (min_chars..=ICE_CREDENTIAL_MAX_CHARS).contains(&value.len());
    match long_enough && value.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(value.to_owned()),
        false => Err(SdpError::at(line, SdpFault::IceCredential)),
    }
}

/// `<hash> XX:XX:…`. An unknown hash function is passed over: another line may
/// carry one we know.
fn fingerprint(value: &str, line: u32) -> Result<Option<Fingerprint>, SdpError> {
    let malformed = || SdpError::at(line, SdpFault::Fingerprint);
    let mut words = value.split_ascii_whitespace();
    let name = words.next().ok_or_else(malformed)?;
    let digits = words.next().ok_or_else(malformed)?;
    const KNOWN: [(&str, HashFunction, usize); 6] = [
        ("md5", HashFunction::Md5, 16),
        ("sha-1", HashFunction::Sha1, 20),
        ("sha-224", HashFunction::Sha224, 28),
        ("sha-256", HashFunction::Sha256, 32),
        ("sha-384", HashFunction::Sha384, 48),
        ("sha-512", HashFunction::Sha512, 64),
    ];
    let Some((_, hash, len)) = KNOWN.iter().find(|(n, ..)| n.eq_ignore_ascii_case(name)) else {
        return Ok(None);
    };
    let mut bytes = Vec::with_capacity(*len);
    for pair in digits.split(':') {
        let hexadecimal = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        if !hexadecimal || bytes.len() >= *len {
            return Err(malformed());
        }
        bytes.push(u8::from_str_radix(pair, 16).map_err(|_| malformed())?);
    }
    match bytes.len() == *len {
        true => Ok(Some(Fingerprint { hash: *hash, bytes })),
        false => Err(malformed()),
    }
}

fn setup(value: &str, line: u32) -> Result<Setup, SdpError> {
    match value {
        "active" => Ok(Setup::Active),
        "actpass" => Ok(Setup::Actpass),
        "holdconn" => Ok(Setup::Holdconn),
        "passive" => Ok(Setup::Passive),
        _ => Err(SdpError::at(line, SdpFault::Setup)),
    }
}

fn direction(word: &str) -> Option<Direction> {
    match word {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

/// `<id>[/<direction>] <uri> [<attributes>]` (RFC 8285 section 8).
fn extension(value: &str) -> Option<Extension> {
    let mut words = value.split_ascii_whitespace();
    let id = words.next()?;
    let uri = words.next()?;
    let (id, way) = match id.split_once('/') {
        Some((id, word)) => (id, direction(word)?),
        None => (id, Direction::SendRecv),
    };
    Some(Extension {
        id: id.parse().ok().filter(|id| *id != 0)?,
        name: ExtensionName::from_uri(uri),
        direction: way,
    })
}

fn msid(value: &str) -> Option<Msid> {
    let mut words = value.split_ascii_whitespace();
    Some(Msid {
        stream: words.next()?.to_owned(),
        track: words.next().map(str::to_owned),
    })
}

fn rid(value: &str) -> Option<Rid> {
    let mut words = value.split_ascii_whitespace();
    let id = words.next()?.to_owned();
    let send = words.next()? == "send";
    Some(Rid { id, send })
}
