//! The server's configuration: a `.properties` text and `--set key=value`
//! overrides, turned into typed values or refused with the place, the key and
//! what would have been accepted. One table, [`KEYS`], drives names, defaults,
//! parsing, printing and the manual. Reads no file itself: `main` hands the
//! text in.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::base::limits::{CONFIG_ADDRESSES_MAX, CONFIG_CORES_MAX, CONFIG_MAX_BYTES};
use crate::base::time::Span;

/// Every setting. A field is named as its key, with dots as underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub ws_port: u16,
    pub media_port_from: u16,
    /// Addresses to advertise; empty: those of all interfaces, and loopback.
    pub ip: Vec<IpAddr>,
    /// Address to bind; `None`: any.
    pub ip_local: Option<IpAddr>,
    /// Worker threads; 0: one per CPU the process may use.
    pub cores: u16,
    pub io: IoBackend,
    /// Order of preference, without duplicates, never empty.
    pub video_codecs: Vec<VideoCodecName>,
    /// Cap of what a publisher is told to send, kbit/s; 0: none.
    pub max_bitrate_kbps: u32,
    pub dtls_max_version: DtlsVersion,
    /// Between two pings of a session; whole milliseconds.
    pub keep_alive_server_interval: Span,
    /// Unanswered pings that end a session.
    pub keep_alive_probes: u32,
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

/// One line of the table.
pub struct Key {
    pub name: &'static str,
    /// As it would be written in a file.
    pub default: &'static str,
    /// Completes "accepted: ".
    pub accepts: &'static str,
    /// One line, for the printed file and the manual.
    pub doc: &'static str,
    set: fn(&mut Config, &str) -> Option<()>,
    get: fn(&Config) -> String,
}

/// Every key there is, in the order it is printed.
pub static KEYS: [Key; 11] = [
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

impl Default for Config {
    fn default() -> Self {
        // Overwritten by the table's defaults; a test holds each to be accepted.
        let mut config = Config {
            ws_port: 0,
            media_port_from: 0,
            ip: Vec::new(),
            ip_local: None,
            cores: 0,
            io: IoBackend::Auto,
            video_codecs: Vec::new(),
            max_bitrate_kbps: 0,
            dtls_max_version: DtlsVersion::V1_2,
            keep_alive_server_interval: Span::ZERO,
            keep_alive_probes: 0,
        };
        for key in &KEYS {
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
        let last = config.cores.saturating_sub(1);
        if config.media_port(last).is_none() {
            return Err(ConfigError::MediaPortsOverflow {
                media_port_from: config.media_port_from,
                cores: config.cores,
            });
        }
        Ok(config)
    }

    /// The UDP port of core `core`; `None` when there is no such port.
    pub fn media_port(&self, core: u16) -> Option<u16> {
        self.media_port_from.checked_add(core)
    }

    /// A `.properties` file of every key with its documentation, which parses
    /// back to this same configuration.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for key in &KEYS {
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
            return Err(ConfigError::NotKeyValue {
                place,
                text: excerpt(line),
            });
        };
        let (name, value) = (name.trim(), value.trim());
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            return Err(ConfigError::UnknownKey {
                place,
                key: excerpt(name),
                value: excerpt(value),
                nearest: nearest_key(&excerpt(name)),
            });
        };
        (key.set)(self, value).ok_or_else(|| ConfigError::BadValue {
            place,
            key: key.name,
            value: excerpt(value),
            accepts: key.accepts,
        })
    }
}

/// The configuration is wrong; the operator mends it at `place`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A value outside what its key accepts.
    BadValue {
        place: Place,
        key: &'static str,
        value: String,
        accepts: &'static str,
    },
    /// The last core's media port would be beyond 65535.
    MediaPortsOverflow { media_port_from: u16, cores: u16 },
    /// A line without `=`.
    NotKeyValue { place: Place, text: String },
    /// More than [`CONFIG_MAX_BYTES`].
    TooLarge { source: String, size_bytes: usize },
    /// A key that is not in [`KEYS`].
    UnknownKey {
        place: Place,
        key: String,
        value: String,
        nearest: &'static str,
    },
}

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// 1-based line of a file.
    Line { file: String, line: usize },
    /// An argument of the command line.
    Set,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `{:?}` shows where a value ends and keeps control characters off the terminal.
        match self {
            ConfigError::BadValue {
                place,
                key,
                value,
                accepts,
            } => write!(f, "{place}: {key}={value:?}: accepted: {accepts}"),
            ConfigError::MediaPortsOverflow {
                media_port_from,
                cores,
            } => write!(
                f,
                "media_port_from={media_port_from} leaves no room for cores={cores}: \
                 accepted: a sum up to 65536"
            ),
            ConfigError::NotKeyValue { place, text } => {
                write!(f, "{place}: {text:?}: accepted: key=value")
            }
            ConfigError::TooLarge { source, size_bytes } => write!(
                f,
                "{source}: {size_bytes} bytes: accepted: at most {CONFIG_MAX_BYTES}"
            ),
            ConfigError::UnknownKey {
                place,
                key,
                value,
                nearest,
            } => {
                let names = joined(KEYS.iter().map(|key| key.name));
                write!(
                    f,
                    "{place}: unknown key {key:?} (value {value:?}); did you mean {nearest}? \
                     accepted: {names}"
                )
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line { file, line } => write!(f, "{file}:{line}"),
            Place::Set => write!(f, "--set"),
        }
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

fn joined<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let texts: Vec<String> = items.map(|item| item.to_string()).collect();
    texts.join(",")
}

/// The start of `text`, short enough for one line of a terminal.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

fn nearest_key(name: &str) -> &'static str {
    let nearest = KEYS.iter().min_by_key(|key| edit_distance(name, key.name));
    nearest.map_or("", |key| key.name)
}

/// Levenshtein's distance, one row of its table at a time.
fn edit_distance(from: &str, to: &str) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Some(("ringhall.properties", text)), &[])
    }

    fn set(sets: &[&str]) -> Result<Config, ConfigError> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::parse(None, &sets)
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_table_gives_the_defaults_and_prints_them() {
        let config = set(&[]).unwrap();
        assert_eq!((config.ws_port, config.media_port_from), (8_080, 31_000));
        assert_eq!(
            (config.ip.len(), config.ip_local, config.cores),
            (0, None, 0)
        );
        assert_eq!(
            config.video_codecs,
            [VideoCodecName::H264, VideoCodecName::Vp8]
        );
        assert_eq!((config.io, config.max_bitrate_kbps), (IoBackend::Auto, 0));
        assert_eq!(config.dtls_max_version, DtlsVersion::V1_2);
        assert_eq!(config.keep_alive_server_interval, Span::from_ms(5_000));
        assert_eq!(config.keep_alive_probes, 10);
        for key in &KEYS {
            assert_eq!((key.get)(&config), key.default, "{}", key.name);
            assert!(!key.doc.is_empty() && !key.doc.contains(['\n', '|']));
            assert!(!key.accepts.is_empty() && !key.accepts.contains(['\n', '|']));
        }
    }

    /// One value per key, none of them the default: a setter that wrote
    /// another key's field, or none, would show.
    const OTHERS: [(&str, &str); 11] = [
        ("ws.port", "1"),
        ("media_port_from", "65280"),
        ("ip", "192.0.2.1,2001:db8::1"),
        ("ip_local", "0.0.0.0"),
        ("cores", "256"),
        ("io", "mmsg"),
        ("video_codecs", "vp8"),
        ("max_bitrate_kbps", "1000000"),
        ("dtls.max_version", "1.3"),
        ("keep_alive.server_interval", "100"),
        ("keep_alive.probes", "1000"),
    ];

    #[test]
    fn every_key_sets_its_own_value_and_no_other() {
        for (name, value) in OTHERS {
            let config = set(&[&format!("{name}={value}")]).unwrap();
            for key in &KEYS {
                let expected = if key.name == name { value } else { key.default };
                assert_eq!((key.get)(&config), expected, "{name} wrote {}", key.name);
            }
        }
        assert_eq!(OTHERS.len(), KEYS.len());
    }

    #[test]
    fn a_printed_configuration_parses_back() {
        let everything: Vec<String> = OTHERS.iter().map(|(k, v)| format!("{k}={v}")).collect();
        for sets in [&everything[..], &[]] {
            let config = Config::parse(None, sets).unwrap();
            let printed = config.print();
            assert_eq!(parse(&printed).unwrap(), config);
            assert_eq!(printed.matches("# Accepted: ").count(), KEYS.len());
        }
    }

    #[test]
    fn properties_syntax() {
        let text = "\u{feff}# comment\r\n! comment = too\r\n\r\n  ws.port =\t9000 \r\nip=\r\n\
                    ws.port=9001\r\n video_codecs = vp8 , h264";
        let config = parse(text).unwrap();
        assert_eq!(config.ws_port, 9_001);
        assert_eq!(
            config.video_codecs,
            [VideoCodecName::Vp8, VideoCodecName::H264]
        );
    }

    #[test]
    fn later_wins_and_sets_win_over_the_file() {
        let sets = [
            "cores=3".to_owned(),
            "cores=4".to_owned(),
            " io = uring ".to_owned(),
        ];
        let config = Config::parse(Some(("f", "cores=1\ncores=2\nio=mmsg\n")), &sets).unwrap();
        assert_eq!((config.cores, config.io), (4, IoBackend::Uring));
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest_key() {
        let text = refusal("# a\n\nws.prot=1\n");
        assert!(
            text.starts_with("ringhall.properties:3: unknown key \"ws.prot\""),
            "{text}"
        );
        assert!(text.contains("did you mean ws.port?"), "{text}");
        assert!(text.contains("keep_alive.probes"), "{text}");
        let error = set(&["video-codec=h264"]).unwrap_err();
        assert_eq!(
            error,
            ConfigError::UnknownKey {
                place: Place::Set,
                key: "video-codec".to_owned(),
                value: "h264".to_owned(),
                nearest: "video_codecs",
            }
        );
    }

    #[test]
    fn a_bad_value_names_what_is_accepted() {
        assert_eq!(
            refusal("io=epoll"),
            "ringhall.properties:1: io=\"epoll\": accepted: auto, uring or mmsg"
        );
        assert_eq!(
            refusal("\nnonsense"),
            "ringhall.properties:2: \"nonsense\": accepted: key=value"
        );
        assert_eq!(
            set(&["cores=\u{1b}[2J"]).unwrap_err().to_string(),
            "--set: cores=\"\\u{1b}[2J\": accepted: 0 to 256"
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for line in [
            "ws.port=65536",
            "ws.port=-1",
            "ws.port=+1",
            "ws.port= ",
            "ws.port=80 80",
            "ws.port=99999999999999999999999999",
            "ip=0.0.0.0",
            "ip=::",
            "ip=224.0.0.1",
            "ip=192.0.2.1,",
            "ip=,",
            "ip=192.0.2.1,192.0.2.1",
            "ip=example.org",
            "ip=192.0.2.1:80",
            "ip_local=192.0.2.1,192.0.2.2",
            "ip_local=ff02::1",
            "cores=257",
            "io=AUTO",
            "video_codecs=",
            "video_codecs=h264,h264",
            "video_codecs=av1",
            "video_codecs=h264,",
            "max_bitrate_kbps=1000001",
            "dtls.max_version=1.1",
            "keep_alive.server_interval=99",
            "keep_alive.server_interval=3600001",
            "keep_alive.probes=0",
        ] {
            assert!(
                matches!(parse(line), Err(ConfigError::BadValue { .. })),
                "{line}"
            );
        }
    }

    #[test]
    fn seventeen_addresses_are_one_too_many() {
        let list = |count: usize| joined((1..=count).map(|host| format!("192.0.2.{host}")));
        assert_eq!(parse(&format!("ip={}", list(16))).unwrap().ip.len(), 16);
        assert!(parse(&format!("ip={}", list(17))).is_err());
    }

    #[test]
    fn media_ports_must_fit() {
        assert!(parse("media_port_from=65535\ncores=1").is_ok());
        let error = parse("media_port_from=65535\ncores=2").unwrap_err();
        assert!(error.to_string().contains("media_port_from=65535"));
        assert_eq!(parse("cores=2").unwrap().media_port(1), Some(31_001));
        assert_eq!(
            parse("media_port_from=65535").unwrap().media_port(1),
            None,
            "found when the number of CPUs is known"
        );
    }

    #[test]
    fn the_size_is_bounded() {
        let fits = "#".repeat(CONFIG_MAX_BYTES);
        assert!(parse(&fits).is_ok());
        let error = parse(&format!("{fits}#")).unwrap_err();
        assert!(matches!(error, ConfigError::TooLarge { .. }));
        assert!(set(&[&fits, "ws.port=1"]).is_err());
        // A long key costs a bounded search for its neighbour and a short message.
        let long = refusal(&format!("{}=1", "k".repeat(CONFIG_MAX_BYTES - 2)));
        assert!(long.len() < 512, "{}", long.len());
    }

    #[test]
    fn truncated_files_never_panic() {
        let text = Config::default().print();
        for end in 0..=text.len() {
            if let Some(part) = text.get(..end) {
                let _ = parse(part);
            }
        }
    }

    #[test]
    fn edit_distances() {
        for (from, to, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ws.prot", "ws.port", 2),
            ("io", "ip", 1),
        ] {
            assert_eq!(edit_distance(from, to), distance, "{from} {to}");
            assert_eq!(edit_distance(to, from), distance, "{to} {from}");
        }
    }
}
