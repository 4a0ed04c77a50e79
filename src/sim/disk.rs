//! The disk of a simulated world: files in memory, orders that take their time,
//! and what goes wrong with real ones: writes that are short, space that ends,
//! permission that is lost, and power that fails in the middle of a write.

use std::collections::BTreeMap;

use crate::base::random::Noise;
use crate::base::time::Span;
use crate::core::border::CoreId;
use crate::core::record::FileTask;
use crate::ops::manifest;
use crate::ops::record_name::PART_SUFFIX;
use crate::record::order::{FileDone, FileOrder, RecordingId, finish};
use crate::record::store::{FileFault, Memory, Store};

/// What the disk does wrong.
#[derive(Clone, Copy, Debug)]
pub struct DiskFaults {
    /// Of a thousand writes so many are short.
    pub short_per_mille: u64,
    /// Bytes that still fit.
    pub space_bytes: u64,
    pub is_denied: bool,
    /// From an order to its end.
    pub delay: Span,
}

impl DiskFaults {
    pub const fn none() -> Self {
        DiskFaults {
            short_per_mille: 0,
            space_bytes: u64::MAX,
            is_denied: false,
            delay: Span::from_ms(3),
        }
    }
}

pub struct Disk {
    pub faults: DiskFaults,
    /// By name, those that are not whole under theirs.
    pub files: BTreeMap<String, Memory>,
    open: BTreeMap<(CoreId, RecordingId), String>,
    noise: Noise,
    /// Short writes, refusals for want of space, and of permission.
    pub struck: [u64; 3],
    pub bytes_written: u64,
}

fn failed(fault: FileFault) -> FileDone {
    FileDone::Failed(fault.info())
}

/// A file on a disk with so much space left, which may fail in between.
struct Medium<'a> {
    file: &'a mut Memory,
    /// Bytes that are still written; the rest of the write that has more, and
    /// all after it, are not.
    left: &'a mut u64,
}

impl Medium<'_> {
    fn grow(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault> {
        let fits = usize::try_from(*self.left).unwrap_or(usize::MAX);
        let part = bytes.get(..fits).unwrap_or(bytes);
        self.file.write_at(offset, part)?;
        *self.left -= part.len() as u64;
        match part.len() == bytes.len() {
            true => Ok(()),
            false => Err(FileFault::NoSpace),
        }
    }
}

impl Store for Medium<'_> {
    fn len(&self) -> Result<u64, FileFault> {
        self.file.len()
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FileFault> {
        self.file.read_at(offset, into)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault> {
        self.grow(offset, bytes)
    }

    fn truncate(&mut self, len: u64) -> Result<(), FileFault> {
        match *self.left {
            0 => Err(FileFault::NoSpace),
            _ => self.file.truncate(len),
        }
    }

    fn sync(&mut self) -> Result<(), FileFault> {
        Ok(())
    }
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        Disk {
            faults: DiskFaults::none(),
            files: BTreeMap::new(),
            open: BTreeMap::new(),
            noise: Noise::new(seed),
            struck: [0; 3],
            bytes_written: 0,
        }
    }

    /// Does what was ordered.
    pub fn carry_out(&mut self, core: CoreId, id: RecordingId, task: FileTask) -> FileDone {
        if self.faults.is_denied {
            self.struck[2] += 1;
            return FileDone::Failed(FileFault::Denied.info());
        }
        let mut left = self.faults.space_bytes;
        let done = self.carry_out_within(core, id, task, &mut left);
        let written = self.faults.space_bytes - left;
        self.bytes_written += written;
        if self.faults.space_bytes != u64::MAX {
            self.faults.space_bytes = left;
        }
        if done == FileDone::Failed(FileFault::NoSpace.info()) {
            self.struck[1] += 1;
        }
        done
    }

    /// The power fails while this is being done: some of it was.
    pub fn tear(&mut self, core: CoreId, id: RecordingId, task: FileTask) {
        // Mostly within the first pieces, which are the small ones that count.
        let bits = self.noise.below(24);
        let mut left = self.noise.below(1 << bits);
        self.carry_out_within(core, id, task, &mut left);
    }

    fn carry_out_within(
        &mut self,
        core: CoreId,
        id: RecordingId,
        task: FileTask,
        left: &mut u64,
    ) -> FileDone {
        match task {
            FileTask::Order(order) => self.carry_out_order(core, id, order, left),
            FileTask::Manifest { name, manifest } => {
                let bytes = manifest::render(&manifest).into_bytes();
                if *left < bytes.len() as u64 {
                    return failed(FileFault::NoSpace);
                }
                *left -= bytes.len() as u64;
                self.files.insert(name, Memory { bytes });
                FileDone::Noted
            }
        }
    }

    fn carry_out_order(
        &mut self,
        core: CoreId,
        id: RecordingId,
        order: FileOrder,
        left: &mut u64,
    ) -> FileDone {
        match order {
            FileOrder::Begin(begin) => {
                let part = format!("{}{PART_SUFFIX}", begin.name);
                if self.files.contains_key(&begin.name) || self.files.contains_key(&part) {
                    return failed(FileFault::Exists);
                }
                let file = self.files.entry(part).or_default();
                match begin.write(&mut Medium { file, left }) {
                    Ok(len_bytes) => {
                        self.open.insert((core, id), begin.name);
                        FileDone::Begun {
                            len_bytes,
                            number: 1,
                        }
                    }
                    Err(fault) => failed(fault),
                }
            }
            FileOrder::Write { offset, bytes } => {
                let len = self.written_of(bytes.len());
                let Some(file) = self.part(core, id) else {
                    return failed(FileFault::Missing);
                };
                let before = *left;
                let bytes = &bytes[..len];
                match (Medium { file, left }).write_at(offset, bytes) {
                    Ok(()) => FileDone::Written { bytes: len },
                    // As far as it went.
                    Err(_) if *left < before => FileDone::Written {
                        bytes: (before - *left) as usize,
                    },
                    Err(fault) => failed(fault),
                }
            }
            FileOrder::Sync => FileDone::Synced,
            FileOrder::Finish => self.finish(core, id, left),
            FileOrder::Extend(extend) => {
                let Some(file) = self.files.get_mut(&extend.name) else {
                    return failed(FileFault::Missing);
                };
                match extend.write(&mut Medium { file, left }) {
                    Ok(finished) => FileDone::Whole(finished),
                    Err(error) => FileDone::Failed(error.info()),
                }
            }
        }
    }

    /// How much of a write the disk does at once.
    fn written_of(&mut self, len: usize) -> usize {
        let short = self.noise.below(1_000) < self.faults.short_per_mille;
        if !short || len < 2 {
            return len;
        }
        self.struck[0] += 1;
        1 + self.noise.below(len as u64 - 1) as usize
    }

    fn finish(&mut self, core: CoreId, id: RecordingId, left: &mut u64) -> FileDone {
        let Some(file) = self.part(core, id) else {
            return failed(FileFault::Missing);
        };
        match finish(&mut Medium { file, left }) {
            Ok(finished) => {
                self.name_whole(core, id);
                FileDone::Whole(finished)
            }
            Err(error) => {
                self.open.remove(&(core, id));
                FileDone::Failed(error.info())
            }
        }
    }

    fn part(&mut self, core: CoreId, id: RecordingId) -> Option<&mut Memory> {
        let name = self.open.get(&(core, id))?;
        self.files.get_mut(&format!("{name}{PART_SUFFIX}"))
    }

    fn name_whole(&mut self, core: CoreId, id: RecordingId) {
        if let Some(name) = self.open.remove(&(core, id))
            && let Some(file) = self.files.remove(&format!("{name}{PART_SUFFIX}"))
        {
            self.files.insert(name, file);
        }
    }

    /// Recordings by name, whole and not.
    pub fn recordings(&self) -> impl Iterator<Item = (&String, &Memory)> {
        let is_one = |(name, _): &(&String, &Memory)| !name.ends_with(".json");
        self.files.iter().filter(is_one)
    }

    pub fn open_files(&self) -> usize {
        self.open.len()
    }
}
