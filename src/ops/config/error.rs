//! What is wrong with a configuration, and where.

use std::fmt;

use super::keys::{KEYS, joined};
use crate::base::limits::CONFIG_MAX_BYTES;
use crate::ops::record_name::TemplateError;

/// The configuration is wrong; the operator mends it at `place`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A template of names that cannot be filled in.
    BadTemplate {
        place: Place,
        key: &'static str,
        value: String,
        why: TemplateError,
    },
    /// A value outside what its key accepts.
    BadValue {
        place: Place,
        key: &'static str,
        value: String,
        accepts: &'static str,
    },
    /// One of `tls.cert` and `tls.key` without the other.
    HalfCertificate { missing: &'static str },
    /// The last core's media port would be beyond 65535.
    MediaPortsOverflow { media_port_from: u16, cores: u16 },
    /// A line without `=`.
    NotKeyValue { place: Place, text: String },
    /// Two TCP ports are the same.
    SamePort {
        first: &'static str,
        second: &'static str,
        port: u16,
    },
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
            ConfigError::BadTemplate {
                place,
                key,
                value,
                why,
            } => write!(f, "{place}: {key}={value:?}: {why}"),
            ConfigError::HalfCertificate { missing } => write!(
                f,
                "{missing} is missing: accepted: both of tls.cert and tls.key, or neither"
            ),
            ConfigError::SamePort {
                first,
                second,
                port,
            } => write!(
                f,
                "{first}={port} and {second}={port}: accepted: two different ports, or {second}=off"
            ),
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
