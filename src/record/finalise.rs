//! A recording in fragments made an ordinary MP4 file, in place: a `moov` with
//! all samples is appended, and the placeholder behind the brands becomes the
//! header of one `mdat` that holds everything before it, first `moov` and
//! fragments included. Players then know the length and seek at once.
//!
//! Stopped at any byte, the file is what it was or what it becomes:
//! - half of the new `moov` is half a `free` at the end, which players skip;
//! - whole and with its type put right it is a second `moov`, and they take the
//!   first;
//! - the placeholder is a box of 16 bytes whatever its type and inside are while
//!   those are written, and one byte of its size is what makes the change;
//! - of brands, players look for those they know; either set is right.

use super::fmp4::{BRANDS_BYTES, UNFINISHED, brands};
use super::index::{Index, IndexError, Stage, Stop, index, stage};
use super::layout::TrackKind;
use super::movie::{Form, Movie};
use super::store::{FileFault, Store};
use crate::base::limits::RECORD_MOOV_MAX_BYTES;
use crate::wire::bmff::{KIND_AT, large_header};

/// Why a recording was not made whole. What could be played before still can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinaliseError {
    Disk(FileFault),
    /// It does not begin as this server's recordings do.
    NotARecording,
    /// It has not one whole fragment.
    Empty,
    /// It is whole already.
    Whole,
    /// It is not whole, so nothing can be appended.
    NotWhole,
    /// It has more samples than the tables of a whole file may have.
    TooLong,
    /// Some of what its own tables tell is not found in its fragments.
    Damaged,
}

impl FinaliseError {
    /// In words for an operator.
    pub fn info(self) -> &'static str {
        match self {
            FinaliseError::Disk(fault) => fault.info(),
            FinaliseError::NotARecording => "the file is no recording, or only its first bytes",
            FinaliseError::Empty => "the recording has nothing that can be played",
            FinaliseError::Whole => "the recording is finished",
            FinaliseError::NotWhole => "the recording is not finished",
            FinaliseError::TooLong => {
                "the recording is too long for tables, and stays in fragments"
            }
            FinaliseError::Damaged => "the recording is damaged, and repairing it would lose more",
        }
    }
}

impl From<FileFault> for FinaliseError {
    fn from(fault: FileFault) -> Self {
        FinaliseError::Disk(fault)
    }
}

impl From<IndexError> for FinaliseError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Disk(fault) => FinaliseError::Disk(fault),
            IndexError::NotARecording => FinaliseError::NotARecording,
            IndexError::TooLong => FinaliseError::TooLong,
        }
    }
}

/// A whole recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Of the file.
    pub size_bytes: u64,
    /// Of the longer track.
    pub duration_us: u64,
    /// Where each track ends; zero where there is none.
    pub video_end_ticks: u64,
    pub audio_end_ticks: u64,
    pub video_samples: u32,
    pub audio_samples: u32,
    /// Fragments that are in the file, but damaged and in no table.
    pub lost_fragments: u32,
}

impl Finished {
    pub(super) fn of(movie: &Movie, size_bytes: u64, lost_fragments: u32) -> Finished {
        let table = |kind| movie.track(kind).map(|track| &track.table);
        let (video, audio) = (table(TrackKind::Video), table(TrackKind::Audio));
        Finished {
            size_bytes,
            duration_us: movie.duration(1_000_000),
            video_end_ticks: video.map_or(0, |table| table.end_ticks()),
            audio_end_ticks: audio.map_or(0, |table| table.end_ticks()),
            video_samples: video.map_or(0, |table| table.samples()),
            audio_samples: audio.map_or(0, |table| table.samples()),
            lost_fragments,
        }
    }
}

/// Makes the growing recording in `store` whole. Half a fragment at its end is
/// cut away.
pub fn finalise(store: &mut impl Store) -> Result<Finished, FinaliseError> {
    if stage(store)? != Stage::Growing {
        return Err(FinaliseError::Whole);
    }
    let index = index(store)?;
    complete(store, &index, Stage::Growing)
}

/// Gives the fragments of `index` their tables.
pub(super) fn complete(
    store: &mut impl Store,
    index: &Index,
    stage: Stage,
) -> Result<Finished, FinaliseError> {
    if index.movie.samples() == 0 {
        return Err(FinaliseError::Empty);
    }
    let moov = tables(&index.movie)?;
    let mut at = store.len()?;
    // What cannot be told stays: somebody may want to look at it.
    if index.stop != Stop::Damage && index.end < at {
        at = index.end;
        store.truncate(at)?;
    }
    append(store, at, &moov)?;
    let media_bytes = at.saturating_sub(BRANDS_BYTES);
    let header = large_header(b"mdat", media_bytes);
    let (size, rest) = header.split_at(4);
    match stage {
        Stage::Growing => {
            store.write_at(BRANDS_BYTES.saturating_add(KIND_AT), rest)?;
            store.write_at(BRANDS_BYTES, size)?;
        }
        Stage::Whole { .. } => extend_media(store, at)?,
    }
    store.write_at(0, &brands(Form::Whole))?;
    store.sync()?;
    let size_bytes = at.saturating_add(moov.len() as u64);
    let lost = index.lost_fragments;
    Ok(Finished::of(&index.movie, size_bytes, lost))
}

/// The `moov` of a whole file, under the type of what is unfinished.
pub(super) fn tables(movie: &Movie) -> Result<Vec<u8>, FinaliseError> {
    let mut moov = Vec::new();
    movie.write(&mut moov, Form::Whole);
    if moov.len() as u64 > RECORD_MOOV_MAX_BYTES {
        return Err(FinaliseError::TooLong);
    }
    let kind = moov.get_mut(KIND_AT as usize..).unwrap_or_default();
    for (into, from) in kind.iter_mut().zip(UNFINISHED) {
        *into = from;
    }
    Ok(moov)
}

/// Appends what [`tables`] made at `at`, where the file ends, and has it on the
/// medium before anything may point to it.
pub(super) fn append(store: &mut impl Store, at: u64, moov: &[u8]) -> Result<(), FileFault> {
    let written = store.write_at(at, moov).and_then(|()| store.sync());
    if let Err(fault) = written {
        // A full disk: give back what cannot be used. If that fails too, it is
        // half a `free` at the end.
        let _ = store.truncate(at);
        return Err(fault);
    }
    store.write_at(at.saturating_add(KIND_AT), b"moov")?;
    store.sync()
}

/// Lets the `mdat` of a whole file end at `media_end`. The eight bytes lie
/// within one sector, at an offset divisible by eight, and are written by one
/// call: disks and systems do not tear them.
pub(super) fn extend_media(store: &mut impl Store, media_end: u64) -> Result<(), FileFault> {
    let media_bytes = media_end.saturating_sub(BRANDS_BYTES);
    let size_at = BRANDS_BYTES.saturating_add(8);
    store.write_at(size_at, &media_bytes.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::record::made::{Stopping, made, told};
    use crate::record::read::open;
    use crate::record::repair::{Repaired, repair};
    use crate::record::store::Memory;

    #[test]
    fn a_growing_file_becomes_whole_once() {
        let mut noise = Noise::new(20);
        for _ in 0..30 {
            let made = made(&mut noise, 4);
            let (mut store, _) = made.growing();
            let before = index(&mut store).unwrap();
            let finished = finalise(&mut store).unwrap();
            assert_eq!(finished.size_bytes, store.bytes.len() as u64);
            assert_eq!(
                finished,
                Finished::of(&before.movie, finished.size_bytes, 0)
            );
            let Stage::Whole { media_end } = stage(&mut store).unwrap() else {
                panic!("still growing");
            };
            // The tables at the end are those of the fragments, which are all
            // still there.
            let moov = &store.bytes[media_end as usize + 8..];
            let movie = Movie::parse(moov, Form::Whole, finished.size_bytes);
            assert_eq!(movie.as_ref(), Ok(&before.movie));
            assert_eq!(index(&mut store).unwrap().movie, before.movie);
            assert_eq!(finalise(&mut store), Err(FinaliseError::Whole));
        }
    }

    #[test]
    fn nothing_is_no_recording() {
        let (mut store, _) = made(&mut Noise::new(21), 0).growing();
        let before = store.clone();
        assert_eq!(finalise(&mut store), Err(FinaliseError::Empty));
        assert!(store == before);
        store.bytes.pop();
        assert_eq!(finalise(&mut store), Err(FinaliseError::NotARecording));
        store.bytes.clear();
        assert_eq!(finalise(&mut store), Err(FinaliseError::NotARecording));
    }

    #[test]
    fn stopped_at_any_byte_it_is_what_it_was_or_what_it_becomes() {
        let mut noise = Noise::new(22);
        for round in 0..6 {
            let made = made(&mut noise, 3);
            let (mut growing, _) = made.growing();
            if round % 2 == 0 {
                // Half a fragment, which is cut away.
                growing.bytes.extend(&made.buffers()[0][..30]);
            }
            let mut whole = growing.clone();
            finalise(&mut whole).unwrap();
            let mut stopped = 0;
            for left in 0.. {
                let file = growing.clone();
                let mut store = Stopping { file, left };
                let is_done = finalise(&mut store).is_ok();
                let mut file = store.file;
                let recording = open(&mut file).unwrap();
                for kind in [TrackKind::Video, TrackKind::Audio] {
                    assert_eq!(told(&mut file, &recording, kind), made.of(kind, 3));
                }
                let repaired = repair(&mut file).unwrap();
                let brands = BRANDS_BYTES as usize;
                assert!(file.bytes[brands..] == whole.bytes[brands..], "{left}");
                if recording.stage == Stage::Growing {
                    assert!(file == whole);
                    assert!(matches!(repaired, Repaired::Rebuilt(_)));
                }
                if is_done {
                    break;
                }
                stopped += 1;
            }
            assert!(stopped > 500, "{stopped}");
        }
    }

    #[test]
    fn a_full_disk_leaves_what_can_be_played() {
        struct Full(Memory);
        impl Store for Full {
            fn len(&self) -> Result<u64, FileFault> {
                self.0.len()
            }
            fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FileFault> {
                self.0.read_at(offset, into)
            }
            fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault> {
                let _ = self.0.write_at(offset, &bytes[..bytes.len() / 2]);
                Err(FileFault::NoSpace)
            }
            fn truncate(&mut self, len: u64) -> Result<(), FileFault> {
                self.0.truncate(len)
            }
            fn sync(&mut self) -> Result<(), FileFault> {
                self.0.sync()
            }
        }
        let (growing, _) = made(&mut Noise::new(23), 3).growing();
        let mut full = Full(growing.clone());
        let failed = finalise(&mut full);
        assert_eq!(failed, Err(FinaliseError::Disk(FileFault::NoSpace)));
        assert!(full.0 == growing);
        assert_eq!(
            FinaliseError::Disk(FileFault::NoSpace).info(),
            "the disk is full"
        );
    }
}
