//! The table of settings: names, defaults, documentation, and how each value
//! is read and written.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{Config, DtlsVersion, IoBackend, VideoCodecName};
use crate::base::limits::{CONFIG_ADDRESSES_MAX, CONFIG_CORES_MAX};
use crate::base::time::Span;

/// One line of the table.
pub struct Key {
    pub name: &'static str,
    /// As it would be written in a file.
    pub default: &'static str,
    /// Completes "accepted: ".
    pub accepts: &'static str,
    /// One line, for the printed file and the manual.
    pub doc: &'static str,
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
    pub(super) get: fn(&Config) -> String,
}

/// Every key there is, in the order it is printed.
pub static KEYS: &[Key] = &[
    Key {
        name: "ws.port",
        default: "8080",
        accepts: "a port, 0 to 65535",
        doc: "TCP port of pages, WebSocket, REST and metrics, shared by all cores; 0 picks a free one, printed at start.",
        set: |config, text| number(text, 0..=u16::MAX).map(|port| config.ws_port = port),
        get: |config| config.ws_port.to_string(),
    },
    Key {
        name: "media_port_from",
        default: "31000",
        accepts: "a port, 0 to 65535",
        doc: "UDP media port of core 0; core n uses this port plus n; 0 picks free ones, printed at start.",
        set: |config, text| number(text, 0..=u16::MAX).map(|port| config.media_port_from = port),
        get: |config| config.media_port_from.to_string(),
    },
    Key {
        name: "ip",
        default: "",
        accepts: "up to 16 different IP addresses, comma separated, or nothing",
        doc: "Addresses browsers are told to send media to; empty: all interfaces and loopback.",
        set: |config, text| addresses(text).map(|ips| config.ip = ips),
        get: |config| joined(config.ip.iter()),
    },
    Key {
        name: "ip_local",
        default: "",
        accepts: "one IP address of this machine, or nothing",
        doc: "Address to bind TCP and UDP sockets to; empty: any.",
        set: |config, text| local_address(text).map(|ip| config.ip_local = ip),
        get: |config| joined(config.ip_local.iter()),
    },
    Key {
        name: "cores",
        default: "0",
        accepts: "0 to 256",
        doc: "Worker threads, each pinned to a CPU with its own media port; 0: one per CPU.",
        set: |config, text| number(text, 0..=CONFIG_CORES_MAX).map(|cores| config.cores = cores),
        get: |config| config.cores.to_string(),
    },
    Key {
        name: "io",
        default: "auto",
        accepts: "auto, uring or mmsg",
        doc: "I/O backend: io_uring, plain system calls, or auto: io_uring where it is allowed.",
        set: |config, text| named(&IO_BACKENDS, text).map(|io| config.io = io),
        get: |config| name_of(&IO_BACKENDS, config.io),
    },
    Key {
        name: "video_codecs",
        default: "h264,vp8",
        accepts: "h264 and vp8, comma separated, each at most once, at least one",
        doc: "Video codecs of a room, in order of preference.",
        set: |config, text| video_codecs(text).map(|codecs| config.video_codecs = codecs),
        get: |config| {
            joined(
                config
                    .video_codecs
                    .iter()
                    .map(|c| name_of(&VIDEO_CODECS, *c)),
            )
        },
    },
    Key {
        name: "max_bitrate_kbps",
        default: "0",
        accepts: "0 to 1000000",
        doc: "Most a publisher is asked to send, in kbit/s; 0: no cap.",
        set: |config, text| number(text, 0..=1_000_000).map(|kbps| config.max_bitrate_kbps = kbps),
        get: |config| config.max_bitrate_kbps.to_string(),
    },
    Key {
        name: "dtls.max_version",
        default: "1.2",
        accepts: "1.2 or 1.3",
        doc: "Highest DTLS version agreed to; 1.2 lets the server choose the cheaper AES-GCM.",
        set: |config, text| named(&DTLS_VERSIONS, text).map(|v| config.dtls_max_version = v),
        get: |config| name_of(&DTLS_VERSIONS, config.dtls_max_version),
    },
    Key {
        name: "keep_alive.server_interval",
        default: "5000",
        accepts: "100 to 3600000",
        doc: "Milliseconds between two pings of a WebSocket session.",
        set: |config, text| {
            let interval = Span::from_ms(number(text, 100..=3_600_000)?);
            config.keep_alive_server_interval = interval;
            Some(())
        },
        get: |config| config.keep_alive_server_interval.as_ms().to_string(),
    },
    Key {
        name: "keep_alive.probes",
        default: "10",
        accepts: "1 to 1000",
        doc: "Pings in a row without an answer that end a WebSocket session.",
        set: |config, text| number(text, 1..=1_000).map(|n| config.keep_alive_probes = n),
        get: |config| config.keep_alive_probes.to_string(),
    },
];

const IO_BACKENDS: [(&str, IoBackend); 3] = [
    ("auto", IoBackend::Auto),
    ("uring", IoBackend::Uring),
    ("mmsg", IoBackend::Mmsg),
];

const DTLS_VERSIONS: [(&str, DtlsVersion); 2] =
    [("1.2", DtlsVersion::V1_2), ("1.3", DtlsVersion::V1_3)];

const VIDEO_CODECS: [(&str, VideoCodecName); 2] =
    [("h264", VideoCodecName::H264), ("vp8", VideoCodecName::Vp8)];

// The words of the table follow the limits.
const _: () = assert!(CONFIG_ADDRESSES_MAX == 16 && CONFIG_CORES_MAX == 256);

fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    // `parse` alone would take a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value| range.contains(value))
}

fn named<T: Copy>(names: &[(&'static str, T)], text: &str) -> Option<T> {
    let found = names.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value)
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], value: T) -> String {
    let found = names.iter().find(|(_, candidate)| *candidate == value);
    found.map_or(String::new(), |(name, _)| (*name).to_owned())
}

fn addresses(text: &str) -> Option<Vec<IpAddr>> {
    let mut ips = Vec::new();
    if text.is_empty() {
        return Some(ips);
    }
    for part in text.split(',') {
        let ip: IpAddr = part.trim().parse().ok()?;
        // A browser cannot send to either, nor twice to the same.
        if ip.is_unspecified() || ip.is_multicast() || ips.contains(&ip) {
            return None;
        }
        ips.push(ip);
    }
    (ips.len() <= CONFIG_ADDRESSES_MAX).then_some(ips)
}

fn local_address(text: &str) -> Option<Option<IpAddr>> {
    if text.is_empty() {
        return Some(None);
    }
    let ip: IpAddr = text.parse().ok()?;
    (!ip.is_multicast()).then_some(Some(ip))
}

fn video_codecs(text: &str) -> Option<Vec<VideoCodecName>> {
    let mut codecs = Vec::new();
    for part in text.split(',') {
        let codec = named(&VIDEO_CODECS, part.trim())?;
        if codecs.contains(&codec) {
            return None;
        }
        codecs.push(codec);
    }
    Some(codecs)
}

pub(super) fn joined<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let texts: Vec<String> = items.map(|item| item.to_string()).collect();
    texts.join(",")
}

pub(super) fn nearest_key(name: &str) -> &'static str {
    let nearest = KEYS.iter().min_by_key(|key| edit_distance(name, key.name));
    nearest.map_or("", |key| key.name)
}

/// Levenshtein's distance, one row of its table at a time.
pub(super) fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, from_char) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (cell, to_char) in row.iter_mut().skip(1).zip(to.chars()) {
            let replaced = diagonal + usize::from(from_char != to_char);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
