//! Recordings over HTTP. A file may be gigabytes long and its reader slow, so
//! that one answer brings a bounded piece, and the core asks for the next one
//! when that has left.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;

use super::Records;
use crate::base::calendar::Utc;
use crate::base::limits::{HTTP_PIECE_BYTES, RECORD_PART_BYTES, RECORD_PIECE_BYTES};
use crate::core::border::{RecordAsked, RecordPiece, Rendered};
use crate::io::shelf::{Version, names_tag};
use crate::ops::manifest;
use crate::ops::record_name::PART_SUFFIX;
use crate::ops::rest::{self, Connection, http_response_head};
use crate::wire::range::{Ranged, range};

/// Browsers come back with the tag: a file may be repaired under its name.
const CACHING: &str = "private, no-cache";
/// Of a file still written to nothing is worth keeping.
const NOT_KEPT: &str = "no-store";

/// A file of the folder, opened.
struct Opened {
    file: File,
    metadata: Metadata,
    /// It is still written to.
    is_part: bool,
}

impl Records {
    /// The answer to a request, with the first piece of its body.
    pub fn answer(&self, asked: &RecordAsked, connection: Connection, head_only: bool) -> Rendered {
        let Some(opened) = self.open(&asked.name) else {
            return plain(404, "not found", connection, head_only, &[]);
        };
        let len_bytes = opened.metadata.len();
        let validators = Validators::of(&opened);
        if validators.is_unchanged(asked) {
            let head = http_response_head(304, "", 0, connection, &validators.headers());
            return Rendered {
                head: head.into(),
                ..Rendered::default()
            };
        }
        let asked_range = asked.range.as_deref();
        let wanted = asked_range.filter(|_| validators.allow_range(asked.if_range.as_deref()));
        let (status, from, until) = match range(wanted, len_bytes) {
            Ranged::Whole => (200, 0, len_bytes),
            Ranged::Part { from, until } => match asked.in_parts {
                true => (206, from, until.min(from.saturating_add(RECORD_PART_BYTES))),
                false => (206, from, until),
            },
            Ranged::Unsatisfiable => {
                let of = format!("bytes */{len_bytes}");
                let extra = [("Content-Range", of.as_str())];
                return plain(416, "no such part", connection, head_only, &extra);
            }
        };
        let of = format!("bytes {from}-{}/{len_bytes}", until.saturating_sub(1));
        let mut extra = validators.headers();
        if status == 206 {
            extra.push(("Content-Range", &of));
        }
        let kind = content_type(&asked.name);
        // As wide as an address on every host this runs on.
        let body_len = usize::try_from(until - from).unwrap_or(usize::MAX);
        let head = http_response_head(status, kind, body_len, connection, &extra);
        let mut rendered = Rendered {
            head: head.into(),
            ..Rendered::default()
        };
        if head_only || from == until {
            return rendered;
        }
        let piece = RecordPiece {
            name: asked.name.clone(),
            inode: opened.metadata.ino(),
            from,
            until,
            size_bytes: HTTP_PIECE_BYTES,
        };
        match read(&opened.file, &piece) {
            Ok((body, rest)) => {
                (rendered.body, rendered.rest) = (body, rest);
                rendered
            }
            Err(_) => plain(500, "the disk failed", connection, head_only, &[]),
        }
    }

    /// A further piece of a body; nothing when the file is gone, became
    /// shorter, or cannot be read.
    pub fn piece(&self, piece: &RecordPiece) -> Rendered {
        // Finished meanwhile, it has another name, but is the same file.
        let opened = self.open(&piece.name);
        let opened = opened.filter(|opened| opened.metadata.ino() == piece.inode);
        let read = opened.and_then(|opened| read(&opened.file, piece).ok());
        let (body, rest) = read.unwrap_or_default();
        Rendered {
            body,
            rest,
            ..Rendered::default()
        }
    }

    /// The file of that safe name, or as long as it is written to, its part.
    fn open(&self, name: &str) -> Option<Opened> {
        let part = format!("{name}{PART_SUFFIX}");
        // It may get its final name between the first two looks.
        for (name, is_part) in [(name, false), (&part, true), (name, false)] {
            match open(&self.root.join(name)) {
                Ok((file, metadata)) => {
                    return Some(Opened {
                        file,
                        metadata,
                        is_part,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return None,
            }
        }
        None
    }
}

/// Opens a file that is one. A link is not followed, a pipe not waited for.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a file"));
    }
    Ok((file, metadata))
}

/// One piece's bytes, and what follows them.
fn read(file: &File, piece: &RecordPiece) -> io::Result<(Bytes, Option<RecordPiece>)> {
    let left = piece.until.saturating_sub(piece.from);
    let max = piece.size_bytes.min(RECORD_PIECE_BYTES);
    let len = usize::try_from(left).map_or(max, |left| left.min(max));
    let mut body = vec![0; len];
    file.read_exact_at(&mut body, piece.from)?;
    let from = piece.from + len as u64;
    let rest = (from < piece.until).then(|| RecordPiece {
        from,
        size_bytes: (max * 2).min(RECORD_PIECE_BYTES),
        ..piece.clone()
    });
    Ok((body.into(), rest))
}

/// What tells a client whether its copy is still the file (RFC 9110 section
/// 8.8). A file still written to has none: it is another at every look.
struct Validators {
    tag_and_date: Option<(String, String)>,
}

impl Validators {
    fn of(opened: &Opened) -> Self {
        let unix_s = u64::try_from(opened.metadata.mtime()).unwrap_or(0);
        let tag = || Version::of(&opened.metadata).tag();
        Validators {
            tag_and_date: (!opened.is_part).then(|| (tag(), http_date(unix_s))),
        }
    }

    fn is_unchanged(&self, asked: &RecordAsked) -> bool {
        let tags = asked.if_none_match.as_deref();
        tags.zip(self.tag_and_date.as_ref())
            .is_some_and(|(tags, (tag, _))| names_tag(tags, tag))
    }

    /// Whether a range may be answered with a part (RFC 9110 section 13.1.5):
    /// compared strongly, and dates exactly.
    fn allow_range(&self, if_range: Option<&str>) -> bool {
        let Some(expected) = if_range else {
            return true;
        };
        let known = self.tag_and_date.as_ref();
        known.is_some_and(|(tag, date)| expected == tag || expected == date)
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = vec![("Accept-Ranges", "bytes")];
        match &self.tag_and_date {
            Some((tag, date)) => headers.extend([
                ("ETag", tag.as_str()),
                ("Last-Modified", date),
                ("Cache-Control", CACHING),
            ]),
            None => headers.push(("Cache-Control", NOT_KEPT)),
        }
        headers
    }
}

fn content_type(name: &str) -> &'static str {
    match name.ends_with(manifest::EXTENSION) {
        true => rest::JSON_CONTENT_TYPE,
        false => "video/mp4",
    }
}

fn plain(
    status: u16,
    text: &'static str,
    connection: Connection,
    head_only: bool,
    extra: &[(&str, &str)],
) -> Rendered {
    let kind = "text/plain; charset=utf-8";
    let head = http_response_head(status, kind, text.len(), connection, extra);
    let body = if head_only { "" } else { text };
    Rendered {
        head: head.into(),
        body: Bytes::from_static(body.as_bytes()),
        rest: None,
    }
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// RFC 9110 section 5.6.7.
fn http_date(unix_s: u64) -> String {
    let at = Utc::from_unix_s(unix_s);
    let name = |names: &[&'static str], number: u64| {
        let index = usize::try_from(number).unwrap_or_default();
        names.get(index).copied().unwrap_or_default()
    };
    let weekday = name(&WEEKDAYS, at.weekday);
    let month = name(&MONTHS, at.month.saturating_sub(1));
    format!(
        "{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT",
        at.day, at.year, at.hour, at.minute, at.second
    )
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn dates_are_written_as_http_has_them() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
