//! What lies in the folder of recordings.

use std::fs::{DirEntry, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Records;
use super::serve::open;
use crate::base::limits::{MANIFESTS_READ_MAX_BYTES, RECORDS_LISTED_MAX};
use crate::ops::manifest::{self, Manifest, ManifestError};
use crate::ops::record_name::{self, PART_SUFFIX, is_safe_name};
use crate::ops::records::{Found, FoundFile, records_json};

impl Records {
    /// The body of `GET /api/records`.
    pub fn json(&self) -> String {
        records_json(&find(&self.root))
    }
}

/// Reads the folder, the newest first where there is more than is read. A
/// folder that is not there holds nothing.
pub fn find(folder: &Path) -> Found {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files = Vec::new();
    let mut manifests = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        let Some((name, metadata)) = plain_file(&entry) else {
            continue;
        };
        let whole = name.strip_suffix(PART_SUFFIX);
        let stem = whole.unwrap_or(&name);
        if stem.ends_with(record_name::EXTENSION) {
            files.push(FoundFile {
                name: stem.to_owned(),
                size_bytes: metadata.len(),
                modified_unix_us: modified_unix_us(&metadata),
                is_part: whole.is_some(),
            });
        } else if name.ends_with(manifest::EXTENSION) {
            manifests.push((modified_unix_us(&metadata), name, metadata.len()));
        }
    }
    // By name, a whole file before its part; then the newest first.
    files.sort_by(|a, b| (&a.name, a.is_part).cmp(&(&b.name, b.is_part)));
    files.dedup_by(|second, first| second.name == first.name);
    files.sort_by_key(|file| std::cmp::Reverse(file.modified_unix_us));
    manifests.sort_by(|a, b| b.cmp(a));
    let mut found = Found {
        is_truncated: files.len() > RECORDS_LISTED_MAX,
        ..Found::default()
    };
    files.truncate(RECORDS_LISTED_MAX);
    found.files = files;
    let mut left = MANIFESTS_READ_MAX_BYTES;
    for (_, name, size_bytes) in manifests {
        let Some(rest) = left.checked_sub(size_bytes) else {
            found.is_truncated = true;
            break;
        };
        left = rest;
        match read_manifest(folder, &name) {
            Some(Ok(manifest)) => found.manifests.push((name, manifest)),
            Some(Err(why)) => found.bad.push((name, why)),
            // Gone since.
            None => {}
        }
    }
    found
}

/// Links are not followed: what lies elsewhere is not in the folder.
fn plain_file(entry: &DirEntry) -> Option<(String, Metadata)> {
    let name = entry.file_name().into_string().ok()?;
    let metadata = entry.metadata().ok()?;
    (is_safe_name(&name) && metadata.is_file()).then_some((name, metadata))
}

fn read_manifest(folder: &Path, name: &str) -> Option<Result<Manifest, ManifestError>> {
    let (file, _) = open(&folder.join(name)).ok()?;
    let mut text = Vec::new();
    file.take(MANIFESTS_READ_MAX_BYTES)
        .read_to_end(&mut text)
        .ok()?;
    Some(manifest::parse(&String::from_utf8_lossy(&text)))
}

fn modified_unix_us(metadata: &Metadata) -> u64 {
    let (s, ns) = (metadata.mtime(), metadata.mtime_nsec());
    let us = s.saturating_mul(1_000_000).saturating_add(ns / 1_000);
    u64::try_from(us).unwrap_or(0)
}
