//! Looks after certificate files that somebody else renews: a new pair is used
//! without a restart, a broken one never.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::pem::{PemError, PemFiles};
use crate::proto::tls::Identity;

/// Between two looks at the files. They change every few weeks; whoever waits
/// for it at the terminal waits this long, and twice as long for bad news.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// What a look found.
#[derive(Debug)]
pub enum News {
    /// A new pair that can be used.
    Reloaded(Identity),
    /// The files changed and can no longer be used.
    Kept(PemError),
}

/// What tells two versions of a file apart; none if there is no file.
type Stamp = Option<(i64, i64, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = path.metadata().ok()?;
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    Some((seconds, nanos, metadata.len(), metadata.ino()))
}

/// Two files under watch.
pub struct Watched {
    files: PemFiles,
    /// The version last reported on.
    known: [Stamp; 2],
    /// A version that could not be used; half of a change, perhaps.
    doubtful: Option<[Stamp; 2]>,
}

impl Watched {
    /// Loads the files as they are; later changes are news.
    pub fn open(files: PemFiles) -> Result<(Identity, Watched), PemError> {
        // Before they are read: what changes meanwhile is found by a look.
        let known = stamps(&files);
        let identity = files.load()?;
        let watched = Watched {
            files,
            known,
            doubtful: None,
        };
        Ok((identity, watched))
    }

    /// Looks at the files. A change that cannot be used is reported once, when
    /// it is the same at two looks: certificate and key are two files, and one
    /// is always replaced before the other.
    pub fn look(&mut self) -> Option<News> {
        let found = stamps(&self.files);
        if found == self.known {
            self.doubtful = None;
            return None;
        }
        match self.files.load() {
            Ok(identity) => {
                self.known = found;
                self.doubtful = None;
                Some(News::Reloaded(identity))
            }
            Err(error) if self.doubtful == Some(found) => {
                self.known = found;
                Some(News::Kept(error))
            }
            Err(_) => {
                self.doubtful = Some(found);
                None
            }
        }
    }

    /// Looks every `interval` on a thread of its own and tells what is new,
    /// until the returned value is dropped.
    pub fn watch(
        mut self,
        interval: Duration,
        mut tell: impl FnMut(News) + Send + 'static,
    ) -> io::Result<Watch> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new().name("certificates".to_string());
        thread.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                if let Some(news) = self.look() {
                    tell(news);
                }
            }
        })?;
        Ok(Watch { _stop: stop })
    }
}

fn stamps(files: &PemFiles) -> [Stamp; 2] {
    [stamp(&files.certificate), stamp(&files.key)]
}

/// Keeps a watching thread alive.
pub struct Watch {
    _stop: Sender<()>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::test_folder::Folder;
    use crate::io::tls::own;

    /// Two pairs of files in folders of their own.
    fn pairs(folder: &Folder) -> [PemFiles; 2] {
        ["a", "b"].map(|name| {
            let dir = folder.path().join(name);
            own::kept_or_new(&dir, &own::names(&[]), 1_893_456_000).unwrap();
            PemFiles {
                certificate: dir.join("cert.pem"),
                key: dir.join("key.pem"),
            }
        })
    }

    fn move_to(from: &Path, to: &Path) {
        let copy = to.with_extension("copy");
        std::fs::copy(from, &copy).unwrap();
        std::fs::rename(copy, to).unwrap();
    }

    #[test]
    fn a_new_pair_is_news_once_both_halves_are_there() {
        let folder = Folder::new();
        let [used, new] = pairs(&folder);
        let (_, mut watched) = Watched::open(used.clone()).unwrap();
        assert!(watched.look().is_none());
        move_to(&new.certificate, &used.certificate);
        assert!(watched.look().is_none(), "the key may follow");
        move_to(&new.key, &used.key);
        assert!(matches!(watched.look(), Some(News::Reloaded(_))));
        assert!(watched.look().is_none());
    }

    #[test]
    fn a_broken_change_is_told_once_and_mending_it_too() {
        let folder = Folder::new();
        let [used, new] = pairs(&folder);
        let (_, mut watched) = Watched::open(used.clone()).unwrap();
        let good = std::fs::read(&used.certificate).unwrap();
        for broken in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            std::fs::write(&used.certificate, broken).unwrap();
            assert!(watched.look().is_none());
            let Some(News::Kept(why)) = watched.look() else {
                panic!("{broken:?} was taken");
            };
            assert!(why.to_string().contains("a/cert.pem"), "{why}");
            assert!(watched.look().is_none());
        }
        std::fs::remove_file(&used.certificate).unwrap();
        assert!(watched.look().is_none());
        assert!(matches!(watched.look(), Some(News::Kept(_))));
        // The other pair's certificate does not go with this key.
        move_to(&new.certificate, &used.certificate);
        assert!(watched.look().is_none());
        let Some(News::Kept(why)) = watched.look() else {
            panic!("a certificate was taken without its key");
        };
        assert!(why.to_string().contains("a/key.pem"), "{why}");
        std::fs::write(&used.certificate, good).unwrap();
        assert!(matches!(watched.look(), Some(News::Reloaded(_))));
        assert!(watched.look().is_none());
    }

    #[test]
    fn every_missing_or_broken_file_is_named_at_the_start() {
        let folder = Folder::new();
        let [used, _] = pairs(&folder);
        let missing = PemFiles {
            key: folder.path().join("nowhere.pem"),
            ..used.clone()
        };
        let swapped = PemFiles {
            certificate: used.key.clone(),
            key: used.certificate.clone(),
        };
        let a_folder = PemFiles {
            certificate: folder.path().to_owned(),
            ..used.clone()
        };
        for (files, why) in [
            (missing, "nowhere.pem: No such file"),
            (swapped, "a/key.pem: no certificate in it"),
            (a_folder, ": not a file"),
        ] {
            let text = Watched::open(files).map(|_| ()).unwrap_err().to_string();
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn the_thread_tells_and_ends() {
        let folder = Folder::new();
        let [used, new] = pairs(&folder);
        let (_, watched) = Watched::open(used.clone()).unwrap();
        let (sender, told) = channel();
        let watch = watched.watch(Duration::from_millis(5), move |news| {
            let _ = sender.send(matches!(news, News::Reloaded(_)));
        });
        let watch = watch.unwrap();
        move_to(&new.key, &used.key);
        move_to(&new.certificate, &used.certificate);
        assert!(told.iter().any(|reloaded| reloaded));
        drop(watch);
        // Its end of the channel goes with it.
        assert!(!told.iter().any(|reloaded| reloaded));
    }
}
