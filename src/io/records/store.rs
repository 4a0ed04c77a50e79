//! A recording's file as finalising, repairing and extending see it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use crate::record::store::{FileFault, Store};

pub struct FileStore {
    file: File,
    /// Whether being on the medium is waited for.
    syncs: bool,
}

impl FileStore {
    pub fn new(file: File, syncs: bool) -> Self {
        FileStore { file, syncs }
    }

    pub fn into_file(self) -> File {
        self.file
    }
}

impl Store for FileStore {
    fn len(&self) -> Result<u64, FileFault> {
        let metadata = self.file.metadata();
        metadata.map(|metadata| metadata.len()).map_err(fault)
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FileFault> {
        self.file.read_exact_at(into, offset).map_err(fault)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault> {
        self.file.write_all_at(bytes, offset).map_err(fault)
    }

    fn truncate(&mut self, len: u64) -> Result<(), FileFault> {
        self.file.set_len(len).map_err(fault)
    }

    fn sync(&mut self) -> Result<(), FileFault> {
        match self.syncs {
            true => self.file.sync_data().map_err(fault),
            false => Ok(()),
        }
    }
}

fn fault(error: io::Error) -> FileFault {
    fault_of(&error)
}

/// What an error of the system means for a recording.
pub fn fault_of(error: &io::Error) -> FileFault {
    match error.kind() {
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::FileTooLarge
        | ErrorKind::WriteZero => FileFault::NoSpace,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => FileFault::Denied,
        ErrorKind::NotFound | ErrorKind::NotADirectory => FileFault::Missing,
        ErrorKind::AlreadyExists => FileFault::Exists,
        _ => FileFault::Failed,
    }
}
