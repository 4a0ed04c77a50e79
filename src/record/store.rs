//! A file as finalising, repairing and extending a recording see it: bytes at
//! offsets. The driver implements it on a real file, off the turn; the
//! simulator and the tests on memory.

/// Why an operation on a recording's file failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// The disk is full, or as full as `records.min_free_bytes` allows.
    NoSpace,
    /// The permission is missing or was lost; the medium is read-only.
    Denied,
    /// The file, or the folder it would be in, is not there.
    Missing,
    /// A file of that name is there already.
    Exists,
    /// The device failed, or anything else the system says.
    Failed,
}

impl FileFault {
    /// In words for an operator.
    pub fn info(self) -> &'static str {
        match self {
            FileFault::NoSpace => "the disk is full",
            FileFault::Denied => "the folder of recordings may not be written to",
            FileFault::Missing => "the folder or the file of the recording is gone",
            FileFault::Exists => "a file of that name is there already",
            FileFault::Failed => "the disk failed",
        }
    }
}

/// A file's bytes. Every call either does all it was asked to or fails; a write
/// that failed may have written any part.
#[allow(clippy::len_without_is_empty, reason = "an empty file is no recording")]
pub trait Store {
    fn len(&self) -> Result<u64, FileFault>;

    /// Fills `into` from `offset`; past the end is [`FileFault::Failed`].
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FileFault>;

    /// Writes at `offset`, growing the file where it ends before.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault>;

    /// Cuts the file off.
    fn truncate(&mut self, len: u64) -> Result<(), FileFault>;

    /// Returns when what was written is on the medium, where the operator wants
    /// that waited for.
    fn sync(&mut self) -> Result<(), FileFault>;
}

/// A file in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub bytes: Vec<u8>,
}

impl Store for Memory {
    fn len(&self) -> Result<u64, FileFault> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FileFault> {
        let start = usize::try_from(offset).map_err(|_| FileFault::Failed)?;
        let end = start.checked_add(into.len()).ok_or(FileFault::Failed)?;
        let from = self.bytes.get(start..end).ok_or(FileFault::Failed)?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault> {
        let start = usize::try_from(offset).map_err(|_| FileFault::Failed)?;
        let end = start.checked_add(bytes.len()).ok_or(FileFault::Failed)?;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let into = self.bytes.get_mut(start..end).ok_or(FileFault::Failed)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> Result<(), FileFault> {
        let len = usize::try_from(len).map_err(|_| FileFault::Failed)?;
        self.bytes.truncate(len);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FileFault> {
        Ok(())
    }
}
