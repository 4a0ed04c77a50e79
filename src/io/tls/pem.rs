//! PEM files of certificates and keys (RFC 7468): written from DER, read within
//! a bound and checked to belong together.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::base::limits::PEM_FILE_MAX_BYTES;
use crate::proto::tls::{Identity, IdentityError};

/// Characters of a line (RFC 7468 section 2).
const LINE_CHARS: usize = 64;

/// A certificate chain and its key, as the operator names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFiles {
    /// The server's own certificate first, then those that vouch for it.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why a pair of files is no identity: which file, and what is wrong with it.
#[derive(Debug)]
pub enum PemError {
    /// The file cannot be read.
    Unreadable { path: PathBuf, error: io::Error },
    /// More than [`PEM_FILE_MAX_BYTES`].
    TooLarge { path: PathBuf },
    /// What is in it is of no use.
    Unusable {
        files: PemFiles,
        error: IdentityError,
    },
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PemError::Unreadable { path, error } => write!(f, "{}: {error}", path.display()),
            PemError::TooLarge { path } => write!(
                f,
                "{}: more than {PEM_FILE_MAX_BYTES} bytes: not a PEM file",
                path.display()
            ),
            PemError::Unusable { files, error } => {
                let (certificate, key) = (files.certificate.display(), files.key.display());
                match error {
                    IdentityError::Certificate(why) => write!(f, "{certificate}: {why}"),
                    IdentityError::Key(why) => write!(f, "{key}: {why}"),
                    IdentityError::Pair(why) => write!(f, "{certificate} with {key}: {why}"),
                }
            }
        }
    }
}

impl std::error::Error for PemError {}

impl PemFiles {
    /// Reads both files.
    pub fn load(&self) -> Result<Identity, PemError> {
        self.read().map(|pair| pair.identity)
    }

    /// Reads both files, keeping the certificate's text.
    pub(super) fn read(&self) -> Result<Pair, PemError> {
        let certificate = read_bounded(&self.certificate)?;
        let key = read_bounded(&self.key)?;
        let identity = Identity::from_pem(&certificate, &key);
        let identity = identity.map_err(|error| PemError::Unusable {
            files: self.clone(),
            error,
        })?;
        Ok(Pair {
            identity,
            certificate,
        })
    }
}

/// An identity with the text of its certificate.
pub(super) struct Pair {
    pub identity: Identity,
    pub certificate: Vec<u8>,
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, PemError> {
    let unreadable = |error| PemError::Unreadable {
        path: path.to_owned(),
        error,
    };
    // Opening a pipe would wait for its writer.
    let is_file = std::fs::metadata(path).map_err(unreadable)?.is_file();
    if !is_file {
        return Err(unreadable(io::Error::other("not a file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    let limit = PEM_FILE_MAX_BYTES as u64 + 1;
    file.take(limit)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() > PEM_FILE_MAX_BYTES {
        return Err(PemError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// DER as PEM under `label`, like `CERTIFICATE` or `PRIVATE KEY`.
pub fn encode(label: &str, der: &[u8]) -> String {
    let base64 = base64(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(LINE_CHARS).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// RFC 4648 section 4, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let sextet = (word >> (18 - 6 * place) & 0x3f) as usize;
            let letter = ALPHABET.get(sextet).copied().unwrap_or(b'=');
            // A chunk of n bytes says n + 1 letters.
            text.push(char::from(if place <= chunk.len() { letter } else { b'=' }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_remainder() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn lines_are_64_characters() {
        let text = encode("KEY", &[0; 96]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            (lines[0], lines[3]),
            ("-----BEGIN KEY-----", "-----END KEY-----")
        );
        assert!(lines[1].len() == 64 && lines[2].len() == 64);
    }
}
