//! The server's configuration: a `.properties` text and `--set key=value`
//! overrides, turned into typed values or refused with the place, the key and
//! what would have been accepted. One table, [`KEYS`], drives names, defaults,
//! parsing, printing and the manual. Reads no file itself: `main` hands the
//! text in.

use std::net::IpAddr;

use crate::base::limits::CONFIG_MAX_BYTES;
use crate::base::time::Span;
use crate::ops::record_name::Template;

mod error;
mod keys;
mod rooms;

pub use error::{ConfigError, Place};
pub use keys::{KEYS, Key};
pub use rooms::{RoomCodecs, RoomPattern, codecs_for};

use keys::{RECORD_NAME_TEMPLATE, SECRET_KEYS, nearest_key};

/// Every setting. A field is named as its key, with dots as underscores.
/// Holds secrets in clear: never log one whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub ws_port: u16,
    /// `None`: no https port.
    pub wss_port: Option<u16>,
    /// `None`: no RTMP.
    pub rtmp_port: Option<u16>,
    /// `None`: no RTMP inside TLS.
    pub rtmps_port: Option<u16>,
    pub transcode_threads: usize,
    /// Of Opus made for browsers.
    pub transcode_opus_kbps: u32,
    /// Of AAC made for RTMP players.
    pub transcode_aac_kbps: u32,
    /// PEM file of the https port's certificate; empty: one of our own making.
    /// Set together with [`Config::tls_key`].
    pub tls_cert: String,
    /// PEM file of its key.
    pub tls_key: String,
    /// Folder of the certificate of our own making.
    pub tls_dir: String,
    /// Folder mounted at `/client2/`; empty: none.
    pub client2_dir: String,
    /// Folder of recordings; made when needed.
    pub records_dir: String,
    pub record_name_template: Template,
    pub record_streams: bool,
    pub record_rtmp_published_streams: bool,
    pub record_audio: RecordAudio,
    pub records_min_free_bytes: u64,
    pub records_fsync: RecordSync,
    pub enable_empty_shift_writer: bool,
    pub empty_shift_origin: ShiftOrigin,
    /// Whole seconds.
    pub empty_shift_max: Span,
    pub media_port_from: u16,
    /// Addresses to advertise; empty: those of all interfaces, and loopback.
    pub ip: Vec<IpAddr>,
    /// Address to bind; `None`: any.
    pub ip_local: Option<IpAddr>,
    /// Worker threads; 0: one per CPU the process may use.
    pub cores: u16,
    /// Percent; 100: viewers never leave their room's core.
    pub spread_above: u32,
    pub io: IoBackend,
    /// Order of preference, without duplicates, never empty.
    pub video_codecs: Vec<VideoCodecName>,
    /// Cap of what a publisher is told to send, kbit/s; 0: none.
    pub media_hold_us: u32,
    pub media_connected_max: u16,
    pub media_padding: bool,
    pub max_bitrate_kbps: u32,
    pub dtls_max_version: DtlsVersion,
    /// Between two pings of a session; whole milliseconds.
    pub keep_alive_server_interval: Span,
    /// Unanswered pings that end a session.
    pub keep_alive_probes: u32,
    /// Key of access tokens, at least 32 bytes; empty: rooms are open.
    pub auth_secret: String,
    /// The operator's bearer token, at least 16 characters; empty: loopback only.
    pub admin_token: String,
    /// As browsers write them in `Origin`; empty: any.
    pub origins: Vec<String>,
    /// Per second and address; 0: no limit.
    pub rate_connections: u32,
    /// Per second and address; 0: no limit.
    pub rate_joins: u32,
    /// Per second and address; 0: no limit.
    pub rate_messages: u32,
    /// Open at each core; 0: no limit.
    pub connections_per_address: u32,
    /// Of one room; 0: no limit of its own.
    pub room_max_participants: usize,
    /// Each pattern once; see [`codecs_for`].
    pub room_video_codecs: Vec<RoomCodecs>,
}

/// Which codec the sound of recordings has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordAudio {
    /// The one it arrives in.
    AsIs,
    Aac,
}

/// When recordings are forced onto the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordSync {
    Never,
    /// When a file is made whole.
    Close,
    /// And after each fragment.
    Fragment,
}

/// Where the recordings of a room begin, when they are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShiftOrigin {
    /// With the first of them.
    Stream,
    /// When the room was made.
    Room,
}

/// What moves bytes between the kernel and the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoBackend {
    /// io_uring where the kernel allows it, otherwise the plain system calls.
    Auto,
    /// io_uring, or refuse to start.
    Uring,
    /// `recvmmsg` and `sendmmsg`.
    Mmsg,
}

/// The highest DTLS version the server agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsVersion {
    V1_2,
    V1_3,
}

/// A video codec as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodecName {
    H264,
    Vp8,
}

impl Default for Config {
    fn default() -> Self {
        // Overwritten by the table's defaults; a test holds each to be accepted.
        let mut config = Config {
            ws_port: 0,
            wss_port: None,
            rtmp_port: None,
            rtmps_port: None,
            transcode_threads: 0,
            transcode_opus_kbps: 0,
            transcode_aac_kbps: 0,
            tls_cert: String::new(),
            tls_key: String::new(),
            tls_dir: String::new(),
            client2_dir: String::new(),
            records_dir: String::new(),
            record_name_template: Template::default(),
            record_streams: false,
            record_rtmp_published_streams: false,
            record_audio: RecordAudio::AsIs,
            records_min_free_bytes: 0,
            records_fsync: RecordSync::Close,
            enable_empty_shift_writer: false,
            empty_shift_origin: ShiftOrigin::Stream,
            empty_shift_max: Span::ZERO,
            media_port_from: 0,
            ip: Vec::new(),
            ip_local: None,
            cores: 0,
            spread_above: 0,
            io: IoBackend::Auto,
            video_codecs: Vec::new(),
            media_hold_us: 0,
            media_connected_max: 0,
            media_padding: false,
            max_bitrate_kbps: 0,
            dtls_max_version: DtlsVersion::V1_2,
            keep_alive_server_interval: Span::ZERO,
            keep_alive_probes: 0,
            auth_secret: String::new(),
            admin_token: String::new(),
            origins: Vec::new(),
            rate_connections: 0,
            rate_joins: 0,
            rate_messages: 0,
            connections_per_address: 0,
            room_max_participants: 0,
            room_video_codecs: Vec::new(),
        };
        for key in KEYS {
            let accepted = (key.set)(&mut config, key.default);
            debug_assert!(accepted.is_some(), "default of {}", key.name);
        }
        config
    }
}

impl Config {
    /// The defaults, overridden by `file` (its name, for messages, and its
    /// text), overridden by `sets` (each `key=value`). Within each, the later
    /// of two lines wins. Refuses the first line that says nothing it knows.
    pub fn parse(file: Option<(&str, &str)>, sets: &[String]) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        if let Some((name, text)) = file {
            bounded(name, text.len())?;
            config.apply_file(name, text)?;
        }
        bounded("--set", sets.iter().map(String::len).sum())?;
        for set in sets {
            config.apply(Place::Set, set)?;
        }
        config.check_tls()?;
        let last = config.cores.saturating_sub(1);
        if config.media_port(last).is_none() {
            return Err(ConfigError::MediaPortsOverflow {
                media_port_from: config.media_port_from,
                cores: config.cores,
            });
        }
        Ok(config)
    }

    /// Settings of the https port that make no sense together.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let missing = match (self.tls_cert.is_empty(), self.tls_key.is_empty()) {
            (true, false) => Some("tls.cert"),
            (false, true) => Some("tls.key"),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(ConfigError::HalfCertificate { missing });
        }
        let ports = [
            ("ws.port", Some(self.ws_port)),
            ("wss.port", self.wss_port),
            ("rtmp.port", self.rtmp_port),
            ("rtmps.port", self.rtmps_port),
        ];
        for (at, (second, port)) in ports.iter().enumerate() {
            let mut before = ports.iter().take(at);
            let same = before.find(|(_, other)| other == port);
            // The kernel would give connections to either.
            if let (Some((first, _)), Some(port)) = (same, port.filter(|port| *port != 0)) {
                return Err(ConfigError::SamePort {
                    first,
                    second,
                    port,
                });
            }
        }
        Ok(())
    }

    /// The UDP port of core `core`; `None` when there is no such port.
    pub fn media_port(&self, core: u16) -> Option<u16> {
        self.media_port_from.checked_add(core)
    }

    /// A `.properties` file of every key with its documentation, which parses
    /// back to this same configuration; with its secrets, therefore.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for key in KEYS {
            let (doc, accepts, default) = (key.doc, key.accepts, key.default);
            text.push_str(&format!("# {doc}\n# Accepted: {accepts}."));
            match default {
                "" => text.push_str(" Default: empty.\n"),
                _ => text.push_str(&format!(" Default: {default}\n")),
            }
            text.push_str(&format!("{}={}\n\n", key.name, (key.get)(self)));
        }
        text
    }

    /// Lines of a properties file: `key=value`, `#` and `!` comments, blanks.
    /// A byte order mark and CRLF, as some editors write them, are no content.
    fn apply_file(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let place = Place::Line {
                file: name.to_owned(),
                line: index + 1,
            };
            self.apply(place, line)?;
        }
        Ok(())
    }

    fn apply(&mut self, place: Place, line: &str) -> Result<(), ConfigError> {
        let Some((name, value)) = line.split_once('=') else {
            // `auth.secret: …`, as other tools write it.
            let secret = SECRET_KEYS.iter().find(|key| line.starts_with(**key));
            return Err(ConfigError::NotKeyValue {
                place,
                text: secret.map_or_else(|| excerpt(line), |key| format!("{key} (secret)")),
            });
        };
        let (name, value) = (name.trim(), value.trim());
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let nearest = nearest_key(&excerpt(name));
            return Err(ConfigError::UnknownKey {
                place,
                key: excerpt(name),
                value: shown(nearest, value),
                nearest,
            });
        };
        (key.set)(self, value).ok_or_else(|| {
            let value_shown = shown(key.name, value);
            match (key.name, Template::parse(value)) {
                (RECORD_NAME_TEMPLATE, Err(why)) => ConfigError::BadTemplate {
                    place,
                    key: key.name,
                    value: value_shown,
                    why,
                },
                _ => ConfigError::BadValue {
                    place,
                    key: key.name,
                    value: value_shown,
                    accepts: key.accepts,
                },
            }
        })
    }
}

fn bounded(source: &str, size_bytes: usize) -> Result<(), ConfigError> {
    if size_bytes <= CONFIG_MAX_BYTES {
        return Ok(());
    }
    Err(ConfigError::TooLarge {
        source: source.to_owned(),
        size_bytes,
    })
}

/// What an error tells of the value of `key`: errors reach logs, secrets do not.
fn shown(key: &str, value: &str) -> String {
    if SECRET_KEYS.contains(&key) {
        return "(secret)".to_owned();
    }
    excerpt(value)
}

/// The start of `text`, short enough for one line of a terminal.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
