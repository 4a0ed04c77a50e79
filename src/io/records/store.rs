//! A recording's file on a disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::record::store::{FileFault, Store};

/// Whether [`Store::sync`] waits until bytes are on the medium: what a crash of
/// the machine may cost, against what waiting does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    Waits,
    /// The system writes when it likes.
    Leaves,
}

/// A file, positioned by nobody but the calls themselves.
pub struct FileStore {
    file: File,
    sync: SyncPolicy,
}

impl FileStore {
    /// Opens a file that is there, to read and to write. A link is not followed.
    pub fn open(path: &Path, sync: SyncPolicy) -> Result<Self, FileFault> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| fault(&error))?;
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        match is_file {
            true => Ok(FileStore { file, sync }),
            false => Err(FileFault::Failed),
        }
    }

    /// Makes a file of that name, which is nobody's yet.
    pub fn create(path: &Path, sync: SyncPolicy) -> Result<Self, FileFault> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| fault(&error))?;
        Ok(FileStore { file, sync })
    }

    /// A second handle of the same file.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Writes what the system takes at once; how much that was.
    pub fn write_some(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    /// Keeps the file to this process until it is closed; `false` if another one
    /// does. A server keeps what it records, so that nobody repairs it meanwhile.
    pub fn keep(&self) -> bool {
        self.file.try_lock().is_ok()
    }
}

impl Store for FileStore {
    fn len(&self) -> Result<u64, FileFault> {
        let metadata = self.file.metadata();
        metadata.map_or_else(|error| Err(fault(&error)), |metadata| Ok(metadata.len()))
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FileFault> {
        let read = self.file.read_exact_at(into, offset);
        read.map_err(|error| fault(&error))
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|error| fault(&error))
    }

    fn truncate(&mut self, len: u64) -> Result<(), FileFault> {
        self.file.set_len(len).map_err(|error| fault(&error))
    }

    fn sync(&mut self) -> Result<(), FileFault> {
        match self.sync {
            SyncPolicy::Waits => self.file.sync_data().map_err(|error| fault(&error)),
            SyncPolicy::Leaves => Ok(()),
        }
    }
}

/// The system's word for what went wrong, in ours.
pub fn fault(error: &io::Error) -> FileFault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            FileFault::NoSpace
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FileFault::Denied,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileFault::Missing,
        io::ErrorKind::AlreadyExists => FileFault::Exists,
        _ => FileFault::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::test_folder::Folder;

    #[test]
    fn bytes_are_where_they_were_put() {
        let folder = Folder::new();
        let path = folder.path().join("a.mp4");
        let mut store = FileStore::create(&path, SyncPolicy::Waits).unwrap();
        store.write_at(3, b"def").unwrap();
        store.write_at(0, b"abc").unwrap();
        let mut read = [0; 4];
        store.read_at(1, &mut read).unwrap();
        assert_eq!((&read, store.len()), (b"bcde", Ok(6)));
        assert_eq!(store.read_at(3, &mut read), Err(FileFault::Failed));
        store.truncate(2).unwrap();
        store.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ab");
    }

    #[test]
    fn faults_have_their_names() {
        let folder = Folder::new();
        let path = folder.path().join("a.mp4");
        let open = |path: &Path| FileStore::open(path, SyncPolicy::Leaves).err();
        assert_eq!(open(&path), Some(FileFault::Missing));
        assert_eq!(open(&path.join("b")), Some(FileFault::Missing));
        assert_eq!(open(folder.path()), Some(FileFault::Failed));
        let made = FileStore::create(&path, SyncPolicy::Leaves).unwrap();
        let again = FileStore::create(&path, SyncPolicy::Leaves).err();
        assert_eq!(again, Some(FileFault::Exists));
        assert!(made.keep() && made.keep());
        let other = FileStore::open(&path, SyncPolicy::Leaves).unwrap();
        assert!(!other.keep());
        drop(made);
        assert!(other.keep());
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(fault(&full), FileFault::NoSpace);
        let mut denied = FileStore {
            file: File::open(&path).unwrap(),
            sync: SyncPolicy::Waits,
        };
        assert!(denied.write_at(0, b"x").is_err());
    }
}
