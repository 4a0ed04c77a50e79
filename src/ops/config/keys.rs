//! The table of settings: names, defaults, documentation, and how each value
//! is read and written.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::rooms;
use super::{Config, DtlsVersion, IoBackend, RecordAudio, RecordSync, ShiftOrigin, VideoCodecName};
use crate::base::limits::{
    ADMIN_TOKEN_MIN_CHARS, AUTH_SECRET_MIN_BYTES, CONFIG_ADDRESSES_MAX, CONFIG_CORES_MAX,
    CONFIG_ORIGINS_MAX, CONFIG_ROOM_CODECS_MAX, LINES_MAX, ROOM_MEMBERS_MAX, TRANSCODE_THREADS_MAX,
};
use crate::base::time::Span;
use crate::ops::record_name::Template;

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
        name: "wss.port",
        default: "8443",
        accepts: "a port, 0 to 65535, or off",
        doc: "TCP port of the same inside TLS (https and wss); 0 picks a free one, printed at start; off: none.",
        set: |config, text| port_or_off(text).map(|port| config.wss_port = port),
        get: |config| port_text(config.wss_port),
    },
    Key {
        name: "rtmp.port",
        default: "1935",
        accepts: "a port, 0 to 65535, or off",
        doc: "TCP port of RTMP: encoders, players and Flash clients, shared by all cores; 0 picks a free one, printed at start; off: none.",
        set: |config, text| port_or_off(text).map(|port| config.rtmp_port = port),
        get: |config| port_text(config.rtmp_port),
    },
    Key {
        name: "rtmps.port",
        default: "off",
        accepts: "a port, 0 to 65535, or off",
        doc: "TCP port of the same inside TLS, with the certificate of the https port; 0 picks a free one, printed at start; off: none.",
        set: |config, text| port_or_off(text).map(|port| config.rtmps_port = port),
        get: |config| port_text(config.rtmps_port),
    },
    Key {
        name: "transcode_threads",
        default: "1",
        accepts: "1 to 64",
        doc: "Threads that convert sound between browsers (Opus) and RTMP clients (AAC, Speex); idle while nobody needs it.",
        set: |config, text| {
            number(text, 1..=TRANSCODE_THREADS_MAX)
                .map(|threads| config.transcode_threads = threads)
        },
        get: |config| config.transcode_threads.to_string(),
    },
    Key {
        name: "transcode_opus_kbps",
        default: "64",
        accepts: "16 to 256",
        doc: "Bitrate of Opus made from the sound of RTMP clients, in kbit/s.",
        set: |config, text| number(text, 16..=256).map(|kbps| config.transcode_opus_kbps = kbps),
        get: |config| config.transcode_opus_kbps.to_string(),
    },
    Key {
        name: "transcode_aac_kbps",
        default: "96",
        accepts: "32 to 256",
        doc: "Bitrate of AAC made from the sound of browsers for RTMP players, in kbit/s.",
        set: |config, text| number(text, 32..=256).map(|kbps| config.transcode_aac_kbps = kbps),
        get: |config| config.transcode_aac_kbps.to_string(),
    },
    Key {
        name: "tls.cert",
        default: "",
        accepts: "the path of a file, or nothing",
        doc: "PEM file of the https certificate, its chain after it; read again when it changes; empty: one is made and kept in tls.dir.",
        set: |config, text| path(text).map(|path| config.tls_cert = path),
        get: |config| config.tls_cert.clone(),
    },
    Key {
        name: "tls.key",
        default: "",
        accepts: "the path of a file, or nothing",
        doc: "PEM file of the private key that goes with tls.cert.",
        set: |config, text| path(text).map(|path| config.tls_key = path),
        get: |config| config.tls_key.clone(),
    },
    Key {
        name: "tls.dir",
        default: "tls",
        accepts: "the path of a folder",
        doc: "Folder where a self-signed certificate is kept when tls.cert is empty; made when missing.",
        set: |config, text| {
            let path = path(text).filter(|path| !path.is_empty())?;
            config.tls_dir = path;
            Some(())
        },
        get: |config| config.tls_dir.clone(),
    },
    Key {
        name: "client2.dir",
        default: "",
        accepts: "the path of a folder, or nothing",
        doc: "Folder served at /client2/: the official @flashphoner/websdk package; empty: none.",
        set: |config, text| path(text).map(|path| config.client2_dir = path),
        get: |config| config.client2_dir.clone(),
    },
    Key {
        name: "records_dir",
        default: "records",
        accepts: "the path of a folder",
        doc: "Folder of recordings and their manifests; made when something is recorded.",
        set: |config, text| {
            let path = path(text).filter(|path| !path.is_empty())?;
            config.records_dir = path;
            Some(())
        },
        get: |config| config.records_dir.clone(),
    },
    Key {
        name: RECORD_NAME_TEMPLATE,
        default: "stream-{mediaSessionId}-{login}.mp4",
        accepts: "text with any of {streamName}, {startTime}, {startTimeMillis}, {sessionId}, {mediaSessionId} and {login}",
        doc: "Name of a recording's file; times are UTC; what people chose is made safe for a file's name.",
        set: |config, text| {
            config.record_name_template = Template::parse(text).ok()?;
            Some(())
        },
        get: |config| config.record_name_template.text().to_owned(),
    },
    Key {
        name: "record_streams",
        default: "false",
        accepts: "true or false",
        doc: "Record every stream, whoever asks and however it is published.",
        set: |config, text| flag(text).map(|on| config.record_streams = on),
        get: |config| config.record_streams.to_string(),
    },
    Key {
        name: "record_rtmp_published_streams",
        default: "false",
        accepts: "true or false",
        doc: "Record every stream published over RTMP.",
        set: |config, text| flag(text).map(|on| config.record_rtmp_published_streams = on),
        get: |config| config.record_rtmp_published_streams.to_string(),
    },
    Key {
        name: "record_audio",
        default: "as_is",
        accepts: "as_is or aac",
        doc: "Sound of recordings: as it arrives, or Opus converted to AAC for players that do not know it.",
        set: |config, text| named(&RECORD_AUDIOS, text).map(|audio| config.record_audio = audio),
        get: |config| name_of(&RECORD_AUDIOS, config.record_audio),
    },
    Key {
        name: "records.min_free_bytes",
        default: "268435456",
        accepts: "0 to 1000000000000000",
        doc: "Recordings end when the disk of records_dir has less free than this.",
        set: |config, text| {
            number(text, 0..=1_000_000_000_000_000)
                .map(|bytes| config.records_min_free_bytes = bytes)
        },
        get: |config| config.records_min_free_bytes.to_string(),
    },
    Key {
        name: "records.fsync",
        default: "close",
        accepts: "never, close or fragment",
        doc: "When recordings are forced onto the medium: when the system likes, when a file is made whole, or with each second of it too.",
        set: |config, text| named(&RECORD_SYNCS, text).map(|sync| config.records_fsync = sync),
        get: |config| name_of(&RECORD_SYNCS, config.records_fsync),
    },
    Key {
        name: "enable_empty_shift_writer",
        default: "false",
        accepts: "true or false",
        doc: "Begin and end all recordings of a room at the same instant: black picture and silence before and after each stream.",
        set: |config, text| flag(text).map(|on| config.enable_empty_shift_writer = on),
        get: |config| config.enable_empty_shift_writer.to_string(),
    },
    Key {
        name: "empty_shift_origin",
        default: "stream",
        accepts: "stream or room",
        doc: "That instant: when the first recorded stream begins, or when the room was made.",
        set: |config, text| {
            named(&SHIFT_ORIGINS, text).map(|origin| config.empty_shift_origin = origin)
        },
        get: |config| name_of(&SHIFT_ORIGINS, config.empty_shift_origin),
    },
    Key {
        name: "empty_shift_max",
        default: "6h",
        accepts: "whole seconds, minutes or hours like 90s, 30m or 6h, at most 24h",
        doc: "A stream that begins later than this after that instant gets no black picture and silence before it.",
        set: |config, text| duration(text).map(|span| config.empty_shift_max = span),
        get: |config| duration_text(config.empty_shift_max),
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
        name: "spread_above",
        default: "50",
        accepts: "0 to 100",
        doc: "Viewers of a room are served by other cores while its own is busier than this, in percent; 0: evenly by all from the first; 100: never.",
        set: |config, text| number(text, 0..=100).map(|percent| config.spread_above = percent),
        get: |config| config.spread_above.to_string(),
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
        get: |config| codec_list(&config.video_codecs),
    },
    Key {
        name: "media.hold_us",
        default: "1000",
        accepts: "0 to 5000",
        doc: "Microseconds the first packets of a video frame wait at most for its last, to leave in one train; 0: not at all. Sound never waits.",
        set: |config, text| number(text, 0..=5_000).map(|us| config.media_hold_us = us),
        get: |config| config.media_hold_us.to_string(),
    },
    Key {
        name: "media.connected_max",
        default: "512",
        accepts: "0 to 1024",
        doc: "Peers of each core, at most, who get a connected socket while much is sent to them, a fifth cheaper for single packets; 0: none. Needs io_uring; before Linux 6.13 never more than 64, and never more than a quarter of the open files allowed.",
        set: |config, text| {
            number(text, 0..=LINES_MAX as u16).map(|max| config.media_connected_max = max)
        },
        get: |config| config.media_connected_max.to_string(),
    },
    Key {
        name: "media.padding",
        default: "true",
        accepts: "true or false",
        doc: "Pad a frame's packets to equal length, so that they leave in one train; costs some 0.6 % of bytes with browsers.",
        set: |config, text| flag(text).map(|on| config.media_padding = on),
        get: |config| config.media_padding.to_string(),
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
    Key {
        name: "auth.secret",
        default: "",
        accepts: "at least 32 bytes without control characters, or nothing",
        doc: "Key of the access tokens (JWT, HS256) that open rooms; empty: no token is needed.",
        set: |config, text| secret(text).map(|secret| config.auth_secret = secret),
        get: |config| config.auth_secret.clone(),
    },
    Key {
        name: "admin.token",
        default: "",
        accepts: "at least 16 visible ASCII characters, or nothing",
        doc: "Bearer token of REST and metrics; empty: they answer loopback only.",
        set: |config, text| admin_token(text).map(|token| config.admin_token = token),
        get: |config| config.admin_token.clone(),
    },
    Key {
        name: "origins",
        default: "",
        accepts: "up to 64 different origins like https://example.org:8443, comma separated, without a path, or nothing",
        doc: "Origins whose pages may open a WebSocket, beside the server's own; empty: any.",
        set: |config, text| origins(text).map(|origins| config.origins = origins),
        get: |config| joined(config.origins.iter()),
    },
    Key {
        name: "rate.connections",
        default: "20",
        accepts: "0 to 1000000",
        doc: "TCP connections per second from one address, ten times that at once; 0: no limit.",
        set: |config, text| rate(text).map(|rate| config.rate_connections = rate),
        get: |config| config.rate_connections.to_string(),
    },
    Key {
        name: "rate.joins",
        default: "20",
        accepts: "0 to 1000000",
        doc: "Joins of rooms per second from one address, ten times that at once; 0: no limit.",
        set: |config, text| rate(text).map(|rate| config.rate_joins = rate),
        get: |config| config.rate_joins.to_string(),
    },
    Key {
        name: "rate.messages",
        default: "200",
        accepts: "0 to 1000000",
        doc: "Chat messages per second from one address, ten times that at once; 0: no limit.",
        set: |config, text| rate(text).map(|rate| config.rate_messages = rate),
        get: |config| config.rate_messages.to_string(),
    },
    Key {
        name: "connections.per_address",
        default: "2000",
        accepts: "0 to 1000000",
        doc: "TCP connections one address may have open at each core; 0: no limit.",
        set: |config, text| {
            number(text, 0..=1_000_000).map(|most| config.connections_per_address = most)
        },
        get: |config| config.connections_per_address.to_string(),
    },
    Key {
        name: "room.max_participants",
        default: "0",
        accepts: "0 to 4096",
        doc: "Participants of one room; 0: no limit but the server's own of 4096.",
        set: |config, text| {
            number(text, 0..=ROOM_MEMBERS_MAX).map(|most| config.room_max_participants = most)
        },
        get: |config| config.room_max_participants.to_string(),
    },
    Key {
        name: "room.video_codecs",
        default: "",
        accepts: "up to 256 rules like NAME:vp8,h264 or PREFIX*:h264, semicolon separated, or nothing",
        doc: "Video codecs of the rooms so named, in order of preference, instead of video_codecs; an exact name goes before the longest prefix.",
        set: |config, text| {
            config.room_video_codecs = rooms::parse(text)?;
            Some(())
        },
        get: |config| rooms::print(&config.room_video_codecs),
    },
];

/// Keys whose values are told to nobody, not even in an error.
pub(super) const SECRET_KEYS: [&str; 2] = ["auth.secret", "admin.token"];

/// Its values are refused with the reason.
pub(super) const RECORD_NAME_TEMPLATE: &str = "record_name_template";

const RECORD_AUDIOS: [(&str, RecordAudio); 2] =
    [("as_is", RecordAudio::AsIs), ("aac", RecordAudio::Aac)];

const RECORD_SYNCS: [(&str, RecordSync); 3] = [
    ("never", RecordSync::Never),
    ("close", RecordSync::Close),
    ("fragment", RecordSync::Fragment),
];

const SHIFT_ORIGINS: [(&str, ShiftOrigin); 2] =
    [("stream", ShiftOrigin::Stream), ("room", ShiftOrigin::Room)];

const IO_BACKENDS: [(&str, IoBackend); 3] = [
    ("auto", IoBackend::Auto),
    ("uring", IoBackend::Uring),
    ("mmsg", IoBackend::Mmsg),
];

const DTLS_VERSIONS: [(&str, DtlsVersion); 2] =
    [("1.2", DtlsVersion::V1_2), ("1.3", DtlsVersion::V1_3)];

const VIDEO_CODECS: [(&str, VideoCodecName); 2] =
    [("h264", VideoCodecName::H264), ("vp8", VideoCodecName::Vp8)];

/// Most a rate may be: ten times that still counts in 32 bits.
const RATE_MAX: u32 = 1_000_000;

// The words of the table follow the limits.
const _: () = assert!(CONFIG_ADDRESSES_MAX == 16 && CONFIG_CORES_MAX == 256);
const _: () = assert!(AUTH_SECRET_MIN_BYTES == 32 && ADMIN_TOKEN_MIN_CHARS == 16);
const _: () = assert!(CONFIG_ORIGINS_MAX == 64 && CONFIG_ROOM_CODECS_MAX == 256);
const _: () = assert!(ROOM_MEMBERS_MAX == 4_096 && TRANSCODE_THREADS_MAX == 64);

fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    // `parse` alone would take a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value| range.contains(value))
}

/// Says that there shall be none.
const OFF: &str = "off";

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Of the units that texts may have, the largest first.
const DURATION_UNITS: [(char, u64); 3] = [('h', 3_600), ('m', 60), ('s', 1)];
const DURATION_MAX_S: u64 = 24 * 3_600;

fn duration(text: &str) -> Option<Span> {
    let unit = DURATION_UNITS
        .iter()
        .find(|(unit, _)| text.ends_with(*unit));
    let (unit, seconds) = unit?;
    let count: u64 = number(text.strip_suffix(*unit)?, 0..=DURATION_MAX_S)?;
    let span_s = count.checked_mul(*seconds)?;
    (span_s <= DURATION_MAX_S).then(|| Span::from_secs(span_s))
}

fn duration_text(span: Span) -> String {
    let span_s = span.as_us() / 1_000_000;
    let whole = |(_, seconds): &&(char, u64)| span_s >= *seconds && span_s.is_multiple_of(*seconds);
    match DURATION_UNITS.iter().find(whole) {
        Some((unit, seconds)) => format!("{}{unit}", span_s / seconds),
        None => format!("{span_s}s"),
    }
}

fn port_or_off(text: &str) -> Option<Option<u16>> {
    match text {
        OFF => Some(None),
        text => number(text, 0..=u16::MAX).map(Some),
    }
}

fn port_text(port: Option<u16>) -> String {
    port.map_or(OFF.to_owned(), |port| port.to_string())
}

/// Any text that stays on its line when printed.
fn path(text: &str) -> Option<String> {
    (!text.contains(char::is_control)).then(|| text.to_owned())
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

fn rate(text: &str) -> Option<u32> {
    number(text, 0..=RATE_MAX)
}

fn secret(text: &str) -> Option<String> {
    let is_long = text.len() >= AUTH_SECRET_MIN_BYTES;
    let fits = text.is_empty() || is_long && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

fn admin_token(text: &str) -> Option<String> {
    let is_long = text.len() >= ADMIN_TOKEN_MIN_CHARS;
    let fits = text.is_empty() || is_long && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

fn origins(text: &str) -> Option<Vec<String>> {
    let mut origins = Vec::new();
    if text.is_empty() {
        return Some(origins);
    }
    for part in text.split(',') {
        let origin = origin(part.trim())?;
        if origins.contains(&origin) {
            return None;
        }
        origins.push(origin);
    }
    (origins.len() <= CONFIG_ORIGINS_MAX).then_some(origins)
}

/// An origin as browsers write it (RFC 6454 section 6.2): lower case, without
/// the port its scheme has anyway. Names in other scripts are written as
/// browsers send them, in their `xn--` form.
fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase())
        || !scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    {
        return None;
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            format!("[{address}]")
        }
        None if !host.is_empty() && host.bytes().all(is_name) => host.to_owned(),
        None => return None,
    };
    let port = match port {
        Some(port) => Some(number(port, 1..=u16::MAX)?),
        None => None,
    };
    match (scheme, port) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => Some(format!("{scheme}://{host}")),
        (_, Some(port)) => Some(format!("{scheme}://{host}:{port}")),
    }
}

pub(super) fn codec_list(codecs: &[VideoCodecName]) -> String {
    joined(codecs.iter().map(|codec| name_of(&VIDEO_CODECS, *codec)))
}

pub(super) fn video_codecs(text: &str) -> Option<Vec<VideoCodecName>> {
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
