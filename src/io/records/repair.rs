//! Makes whole what a crash left unfinished: by `ringhall repair`, and when a
//! server starts.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::store::{FileStore, SyncPolicy, fault};
use crate::base::limits::MANIFEST_MAX_BYTES;
use crate::ops::event::Event;
use crate::ops::manifest::{self, FileState};
use crate::ops::record_name::{self, PART_SUFFIX, is_safe_name};
use crate::record::finalise::{FinaliseError, Finished};
use crate::record::repair::{Repaired, repair};
use crate::record::store::FileFault;

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    pub path: PathBuf,
    pub repaired: Repaired,
}

/// Why a file is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MendFault {
    File(FinaliseError),
    /// A server writes to it.
    InUse,
    /// It is whole, but keeps the name of one that is not: its final name is
    /// taken, or the disk refused.
    Name(FileFault),
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.summary())
    }
}

impl Mended {
    /// What became of it, in words.
    pub fn summary(&self) -> String {
        let what = match &self.repaired {
            Repaired::WasWhole(_) => "was whole",
            Repaired::Rebuilt(_) => "is whole now",
            Repaired::Shortened(_) => "is whole now, without an extension that was never finished",
        };
        let Finished {
            duration_us,
            size_bytes,
            lost_fragments,
            ..
        } = self.finished();
        let (minutes, seconds) = (duration_us / 60_000_000, duration_us / 1_000_000 % 60);
        let lost = match lost_fragments {
            0 => String::new(),
            1 => "; a second of it was damaged and is lost".to_owned(),
            lost => format!("; {lost} seconds of it were damaged and are lost"),
        };
        format!("{what}: {minutes}:{seconds:02}, {size_bytes} bytes{lost}")
    }

    fn finished(&self) -> Finished {
        match self.repaired {
            Repaired::WasWhole(finished)
            | Repaired::Rebuilt(finished)
            | Repaired::Shortened(finished) => finished,
        }
    }
}

impl fmt::Display for MendFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MendFault::File(error) => write!(f, "{}", error.info()),
            MendFault::InUse => write!(f, "a server is recording it"),
            MendFault::Name(fault) => write!(
                f,
                "it is whole, but cannot get its final name: {}",
                fault.info()
            ),
        }
    }
}

impl std::error::Error for MendFault {}

/// Repairs the file at `path` and gives it its final name.
pub fn mend(path: &Path) -> Result<Mended, MendFault> {
    let disk = |fault| MendFault::File(FinaliseError::Disk(fault));
    let mut store = FileStore::open(path, SyncPolicy::Waits).map_err(disk)?;
    if !store.keep() {
        return Err(MendFault::InUse);
    }
    let repaired = repair(&mut store).map_err(MendFault::File)?;
    let path = finally_named(path).map_err(MendFault::Name)?;
    Ok(Mended { path, repaired })
}

/// Takes the suffix of files still written to off; never over another file.
fn finally_named(path: &Path) -> Result<PathBuf, FileFault> {
    let name = path
        .to_str()
        .and_then(|name| name.strip_suffix(PART_SUFFIX));
    let Some(name) = name.map(PathBuf::from) else {
        return Ok(path.to_owned());
    };
    // A link fails where a rename would replace.
    match std::fs::hard_link(path, &name) {
        Ok(()) => std::fs::remove_file(path),
        // Some file systems have no links.
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported && !name.exists() => {
            std::fs::rename(path, &name)
        }
        Err(error) => Err(error),
    }
    .map_err(|error| fault(&error))?;
    Ok(name)
}

/// Repairs every recording that an earlier run left unfinished, and says so in
/// its room's manifest. Files another server writes to are left alone.
pub fn repair_leftovers(folder: &Path, print: fn(&Event)) {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut manifests = Vec::new();
    let mut parts = Vec::new();
    for name in names.filter(|name| is_safe_name(name)) {
        if name.ends_with(manifest::EXTENSION) {
            manifests.push(name);
        } else if name.ends_with(&format!("{}{PART_SUFFIX}", record_name::EXTENSION)) {
            parts.push(name);
        }
    }
    if parts.is_empty() {
        return;
    }
    parts.sort_unstable();
    let mut repaired = Vec::new();
    for part in parts {
        let mended = mend(&folder.join(&part));
        let outcome = match &mended {
            Err(MendFault::InUse) => continue,
            Ok(mended) => mended.summary(),
            Err(why) => why.to_string(),
        };
        if let Ok(mended) = mended {
            repaired.push(mended);
        }
        let file = part;
        print(&Event::RecordingRepaired { file, outcome });
    }
    for name in manifests {
        if let Err(why) = tell_repaired(&folder.join(&name), &repaired) {
            let (file, outcome) = (name, why.to_string());
            print(&Event::RecordingRepaired { file, outcome });
        }
    }
}

/// Brings what a manifest says of repaired files up to date.
fn tell_repaired(path: &Path, repaired: &[Mended]) -> io::Result<()> {
    if std::fs::metadata(path)?.len() > MANIFEST_MAX_BYTES as u64 {
        return Ok(());
    }
    let text = std::fs::read_to_string(path)?;
    let Ok(mut manifest) = manifest::parse(&text) else {
        return Ok(());
    };
    let mut is_news = false;
    for file in &mut manifest.files {
        let is_it = |mended: &&Mended| mended.path.ends_with(&file.name);
        if let Some(mended) = repaired.iter().find(is_it) {
            let finished = mended.finished();
            file.duration_us = finished.duration_us;
            file.size_bytes = finished.size_bytes;
            file.content_until_us = finished.duration_us;
            file.state = FileState::Finished;
            is_news = true;
        }
    }
    if !is_news {
        return Ok(());
    }
    let mut part = path.as_os_str().to_owned();
    part.push(PART_SUFFIX);
    std::fs::write(&part, manifest::render(&manifest))?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::test_folder::Folder;
    use crate::record::fmp4::{FLIP_AT, FLIP_TO, Fragment, Times, init_segment};
    use crate::record::layout::{AudioTrack, Layout, Sample, TrackKind};

    /// A recording of two seconds of silence that a crash cut short in a third.
    fn crashed() -> Vec<u8> {
        let layout = Layout {
            video: None,
            audio: Some(AudioTrack::Opus { channels: 1 }),
        };
        let mut bytes = init_segment(&layout);
        let (mut fragment, mut base) = (Fragment::new(), Times::default());
        for sequence in 1..=3 {
            for _ in 0..50 {
                let sample = Sample {
                    duration: 960,
                    composition: 0,
                    is_sync: true,
                    size_bytes: 3,
                };
                fragment.push(TrackKind::Audio, sample, &[0xf8, 0xff, 0xfe]);
            }
            let end = fragment.end(base);
            let mut made = fragment.take(sequence, base);
            base = end;
            if sequence < 3 {
                let flip = FLIP_AT as usize;
                made[flip..flip + 4].copy_from_slice(&FLIP_TO);
            } else {
                made.truncate(20);
            }
            bytes.extend(made);
        }
        bytes
    }

    #[test]
    fn what_a_crash_left_becomes_whole_and_gets_its_name() {
        let folder = Folder::new();
        let part = folder.path().join("a.mp4.part");
        std::fs::write(&part, crashed()).unwrap();
        let mended = mend(&part).unwrap();
        let whole = folder.path().join("a.mp4");
        assert!(whole.is_file() && !part.exists());
        let words = mended.to_string();
        let start = format!("{} is whole now: 0:02, ", whole.display());
        assert!(words.starts_with(&start), "{words}");
        let again = mend(&whole).unwrap().to_string();
        assert!(again.contains(" was whole: 0:02, "), "{again}");
    }

    #[test]
    fn nothing_is_lost_to_a_repair_that_cannot_be() {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        assert!(matches!(mend(&path("x.mp4")), Err(MendFault::File(_))));
        std::fs::write(path("no.mp4"), "no film").unwrap();
        assert!(mend(&path("no.mp4")).is_err());
        assert_eq!(std::fs::read(path("no.mp4")).unwrap(), b"no film");

        std::fs::write(path("a.mp4.part"), crashed()).unwrap();
        let server = FileStore::open(&path("a.mp4.part"), SyncPolicy::Leaves).unwrap();
        assert!(server.keep());
        assert_eq!(mend(&path("a.mp4.part")).unwrap_err(), MendFault::InUse);
        assert_eq!(std::fs::read(path("a.mp4.part")).unwrap(), crashed());
        drop(server);

        std::fs::write(path("a.mp4"), "another").unwrap();
        let refused = mend(&path("a.mp4.part")).unwrap_err();
        assert_eq!(refused, MendFault::Name(FileFault::Exists));
        assert_eq!(std::fs::read(path("a.mp4")).unwrap(), b"another");
        std::fs::remove_file(path("a.mp4")).unwrap();
        assert!(mend(&path("a.mp4.part")).is_ok());
    }
}
