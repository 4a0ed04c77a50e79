//! A folder of the operator's, offered to browsers: the official client
//! library with its pages. Serves files below the folder and nothing else of
//! the host; keeps what was asked for lately in memory.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::base::hash::Map;
use crate::base::limits::{SHELF_CACHE_MAX_BYTES, SHELF_FILE_MAX_BYTES};
use crate::core::border::Rendered;
use crate::ops::rest::{Connection, http_response_head};

/// What the official pages need: they run inline scripts and styles, compile
/// code at run time, and reach the server by any scheme.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; \
                      style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss: http: https:; \
                      media-src 'self' blob:; img-src 'self' data: blob:; font-src 'self' data:; \
                      worker-src 'self' blob:";
/// Asks browsers to come back with the tag each time: the folder may be
/// replaced by another version under the same names.
const CACHING: &str = "no-cache";
/// What an entry costs besides its body and name.
const ENTRY_BYTES: usize = 128;

/// A mounted folder.
pub struct Shelf {
    /// Without links in it.
    root: PathBuf,
    file_max_bytes: usize,
    cache: Mutex<Cache>,
}

/// The folder cannot be mounted.
#[derive(Debug)]
pub struct ShelfError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for ShelfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "client2.dir={}: {}; set it to a folder, or leave it empty",
            self.path.display(),
            self.error
        )
    }
}

impl std::error::Error for ShelfError {}

/// A request for a file.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Below the folder, without a leading slash, percent-decoded.
    pub path: &'a str,
    pub if_none_match: Option<&'a str>,
    /// What becomes of the connection afterwards.
    pub connection: Connection,
    /// The body is left out.
    pub head_only: bool,
}

enum Found {
    File {
        path: PathBuf,
        metadata: Metadata,
    },
    /// A folder asked for without the slash that its pages' links need.
    Unslashed,
    Nothing,
}

impl Shelf {
    /// Mounts `path`, a folder that exists.
    pub fn open(path: &Path) -> Result<Self, ShelfError> {
        Self::with_limits(path, SHELF_FILE_MAX_BYTES, SHELF_CACHE_MAX_BYTES)
    }

    fn with_limits(
        path: &Path,
        file_max_bytes: usize,
        cache_max_bytes: usize,
    ) -> Result<Self, ShelfError> {
        let open = || {
            let root = path.canonicalize()?;
            // Also says whether it may be read.
            std::fs::read_dir(&root)?;
            Ok(root)
        };
        let root = open().map_err(|error| ShelfError {
            path: path.to_owned(),
            error,
        })?;
        Ok(Shelf {
            root,
            file_max_bytes,
            cache: Mutex::new(Cache::new(cache_max_bytes)),
        })
    }

    /// A complete answer: 200, 304, 302 to a folder's page, or 404.
    pub fn answer(&self, asked: &Asked<'_>) -> Rendered {
        match self.find(asked.path) {
            Found::Nothing => refused(asked, "not found"),
            Found::Unslashed => to_the_folder(asked),
            Found::File { path, metadata } => self.serve(asked, &path, &metadata),
        }
    }

    /// What `path` names. Everything that is not plainly below the folder is
    /// nothing: whoever asks learns only what is served.
    fn find(&self, path: &str) -> Found {
        let (inner, slashed) = match path.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (path, path.is_empty()),
        };
        if !path.is_empty() && !inner.split('/').all(is_plain) {
            return Found::Nothing;
        }
        let resolve = |path: &Path| -> Option<(PathBuf, Metadata)> {
            let path = path.canonicalize().ok()?;
            let metadata = path.metadata().ok()?;
            path.starts_with(&self.root).then_some((path, metadata))
        };
        let file = |found: Option<(PathBuf, Metadata)>| match found {
            Some((path, metadata)) if metadata.is_file() => Found::File { path, metadata },
            _ => Found::Nothing,
        };
        match resolve(&self.root.join(inner)) {
            Some((folder, metadata)) if metadata.is_dir() => {
                let page = file(resolve(&folder.join("index.html")));
                match page {
                    Found::File { .. } if !slashed => Found::Unslashed,
                    page => page,
                }
            }
            found if !slashed => file(found),
            _ => Found::Nothing,
        }
    }

    fn serve(&self, asked: &Asked<'_>, path: &Path, metadata: &Metadata) -> Rendered {
        if metadata.len() > self.file_max_bytes as u64 {
            return refused(asked, "file too large");
        }
        let mut version = Version::of(metadata);
        let unchanged = asked
            .if_none_match
            .is_some_and(|tags| names_tag(tags, &version.tag()));
        let mut body = Bytes::new();
        let mut len_bytes = version.len_bytes as usize;
        if !unchanged && !asked.head_only {
            match self.read(path, version) {
                Some((read, of)) => (body, version) = (read, of),
                None => return refused(asked, "not found"),
            }
            len_bytes = body.len();
        }
        let status = if unchanged { 304 } else { 200 };
        let tag = version.tag();
        let extra = [
            ("ETag", tag.as_str()),
            ("Cache-Control", CACHING),
            ("Content-Security-Policy", POLICY),
        ];
        let kind = content_type(path);
        let head = http_response_head(status, kind, len_bytes, asked.connection, &extra);
        Rendered {
            head: head.into(),
            body,
            rest: None,
        }
    }

    /// A file's body, from memory if that is of this version; with the version
    /// it is of, should the file have changed again.
    fn read(&self, path: &Path, version: Version) -> Option<(Bytes, Version)> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(body) = cache.get(path, version) {
            return Some((body, version));
        }
        let (body, version) = read_whole(path, self.file_max_bytes).ok()?;
        cache.put(path, version, body.clone());
        Some((body, version))
    }
}

/// Whether a component names something of the folder's own: hidden files, like
/// those of version control, are nobody's business.
fn is_plain(component: &str) -> bool {
    !component.is_empty() && !component.starts_with('.') && !component.contains(['\0', '\\'])
}

/// Reads a file that is one and stays below `max_bytes`.
fn read_whole(path: &Path, max_bytes: usize) -> io::Result<(Bytes, Version)> {
    let mut options = OpenOptions::new();
    // The path has no links; one put there since is not followed, and a pipe
    // put there does not keep us waiting.
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file: File = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut body = Vec::with_capacity((metadata.len() as usize).min(max_bytes));
    file.take(max_bytes as u64 + 1).read_to_end(&mut body)?;
    if body.len() > max_bytes {
        return Err(io::Error::other("too large"));
    }
    Ok((body.into(), Version::of(&metadata)))
}

/// What tells two versions of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    mtime_s: i64,
    mtime_ns: i64,
    len_bytes: u64,
}

impl Version {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Version {
            mtime_s: metadata.mtime(),
            mtime_ns: metadata.mtime_nsec(),
            len_bytes: metadata.len(),
        }
    }

    /// RFC 9110 section 8.8.3.
    pub(super) fn tag(&self) -> String {
        let Version {
            mtime_s,
            mtime_ns,
            len_bytes,
        } = self;
        format!("\"{mtime_s:x}-{mtime_ns:x}-{len_bytes:x}\"")
    }
}

/// Whether an `If-None-Match` names `tag`; weakly compared, as RFC 9110
/// section 13.1.2 says.
pub(super) fn names_tag(tags: &str, tag: &str) -> bool {
    let named = |given: &str| {
        let given = given.trim();
        given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag
    };
    // Our own tags hold no comma.
    tags.split(',').any(named)
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "jpg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "swf" => "application/x-shockwave-flash",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn refused(asked: &Asked<'_>, why: &'static str) -> Rendered {
    let kind = "text/plain; charset=utf-8";
    let head = http_response_head(404, kind, why.len(), asked.connection, &[]);
    let body = if asked.head_only { "" } else { why };
    Rendered {
        head: head.into(),
        body: Bytes::from_static(body.as_bytes()),
        rest: None,
    }
}

/// Where the last component of the path goes on with a slash; relative to the
/// request (RFC 9110 section 10.2.2), whose beginning is not known here.
fn to_the_folder(asked: &Asked<'_>) -> Rendered {
    let last = asked.path.rsplit('/').next().unwrap_or_default();
    let mut location = String::from("./");
    for byte in last.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            location.push(char::from(byte));
        } else {
            location.push_str(&format!("%{byte:02X}"));
        }
    }
    location.push('/');
    let extra = [("Location", location.as_str())];
    let head = http_response_head(302, "text/plain", 0, asked.connection, &extra);
    Rendered {
        head: head.into(),
        ..Rendered::default()
    }
}

/// Bodies of files by path; the least recently asked for goes first.
struct Cache {
    entries: Map<PathBuf, Entry>,
    max_bytes: usize,
    /// What all entries cost.
    bytes: usize,
    /// Counts questions, as the measure of "recently".
    asked: u64,
}

struct Entry {
    version: Version,
    body: Bytes,
    asked: u64,
}

impl Cache {
    fn new(max_bytes: usize) -> Self {
        Cache {
            entries: Map::default(),
            max_bytes,
            bytes: 0,
            asked: 0,
        }
    }

    fn get(&mut self, path: &Path, version: Version) -> Option<Bytes> {
        self.asked += 1;
        let entry = self.entries.get_mut(path)?;
        if entry.version != version {
            self.remove(path);
            return None;
        }
        entry.asked = self.asked;
        Some(entry.body.clone())
    }

    fn put(&mut self, path: &Path, version: Version, body: Bytes) {
        self.remove(path);
        let cost = cost_bytes(path, &body);
        if cost > self.max_bytes {
            return;
        }
        while self.bytes + cost > self.max_bytes {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.asked);
            let Some(oldest) = oldest.map(|(path, _)| path.clone()) else {
                break;
            };
            self.remove(&oldest);
        }
        self.bytes += cost;
        let asked = self.asked;
        let entry = Entry {
            version,
            body,
            asked,
        };
        self.entries.insert(path.to_owned(), entry);
    }

    fn remove(&mut self, path: &Path) {
        if let Some(entry) = self.entries.remove(path) {
            self.bytes = self.bytes.saturating_sub(cost_bytes(path, &entry.body));
        }
    }
}

fn cost_bytes(path: &Path, body: &Bytes) -> usize {
    body.len() + path.as_os_str().len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests;
