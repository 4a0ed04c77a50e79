//! A recording read strictly, growing or whole: every sample with its time, its
//! place and its bytes. Refuses any inconsistency that a player might forgive;
//! repairing, extending and checking rest on it.

use super::index::{Index, IndexError, Stage, Stop, header_at, index, read, stage};
use super::layout::TrackKind;
use super::movie::{Form, Movie};
use super::stbl::Malformed;
use super::store::{FileFault, Store};
pub use super::table::Row;
use crate::base::limits::RECORD_MOOV_MAX_BYTES;
use crate::wire::bmff::{Extent, HEADER_BYTES, open_header};

/// Why a file is not a sound recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    Disk(FileFault),
    /// It does not begin as this server's recordings do.
    NotARecording,
    /// More samples than are kept.
    TooLong,
    /// Where the `moov` of a whole file should be there is none, or only half.
    NoMovie,
    Malformed(Malformed),
    /// Fragments that contradict themselves or each other, or none where there
    /// should be one.
    Fragments,
    /// Samples outside the media, or in each other.
    Misplaced,
    /// Bytes behind the end that nobody has a reason to write.
    Trailing,
}

impl From<FileFault> for ReadError {
    fn from(fault: FileFault) -> Self {
        ReadError::Disk(fault)
    }
}

impl From<IndexError> for ReadError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Disk(fault) => ReadError::Disk(fault),
            IndexError::NotARecording => ReadError::NotARecording,
            IndexError::TooLong => ReadError::TooLong,
        }
    }
}

/// A sound recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub stage: Stage,
    /// Behind the last byte that belongs to it.
    pub end: u64,
    /// Bytes behind `end`: half a fragment of a growing file; of a whole one,
    /// what was to extend it.
    pub left_over_bytes: u64,
    pub(super) movie: Movie,
}

impl Recording {
    /// Ticks in a second of a track; `None` where it has no such track.
    pub fn timescale(&self, kind: TrackKind) -> Option<u32> {
        self.movie.track(kind).map(|track| track.timescale)
    }

    /// The samples of a track in the order of decoding.
    pub fn rows(&self, kind: TrackKind) -> impl Iterator<Item = Row> {
        let track = self.movie.track(kind);
        track.into_iter().flat_map(|track| track.table.rows())
    }
}

/// The bytes of a sample of the recording in `store`.
pub fn sample_bytes(store: &mut impl Store, row: &Row) -> Result<Vec<u8>, FileFault> {
    read(store, row.offset, row.end())
}

/// Reads the recording in `store`.
pub fn open(store: &mut impl Store) -> Result<Recording, ReadError> {
    let recording = match stage(store)? {
        Stage::Growing => growing(store)?,
        Stage::Whole { media_end } => whole(store, media_end)?,
    };
    check_places(&recording)?;
    Ok(recording)
}

fn growing(store: &mut impl Store) -> Result<Recording, ReadError> {
    let len = store.len()?;
    let Index {
        movie,
        end,
        stop,
        lost_fragments,
        gaps,
        ..
    } = index(store)?;
    if stop == Stop::Damage || lost_fragments > 0 || gaps > 0 {
        return Err(ReadError::Fragments);
    }
    Ok(Recording {
        stage: Stage::Growing,
        end,
        left_over_bytes: len.saturating_sub(end),
        movie,
    })
}

fn whole(store: &mut impl Store, media_end: u64) -> Result<Recording, ReadError> {
    let len = store.len()?;
    if media_end > len {
        return Err(ReadError::NoMovie);
    }
    let header = header_at(store, media_end, len)?.map_err(|_| ReadError::NoMovie)?;
    let (Extent::Bytes(size), b"moov") = (header.extent, &header.kind) else {
        return Err(ReadError::NoMovie);
    };
    let end = media_end.saturating_add(size);
    if end > len || size > RECORD_MOOV_MAX_BYTES {
        return Err(ReadError::NoMovie);
    }
    let moov = read(store, media_end.saturating_add(header.header_bytes), end)?;
    let movie = Movie::parse(&moov, Form::Whole, len).map_err(ReadError::Malformed)?;
    let left_over_bytes = len.saturating_sub(end);
    // An extension that was never finished begins like this.
    let begun = read(store, end, len.min(end.saturating_add(HEADER_BYTES)))?;
    if !open_header(b"free").starts_with(&begun) {
        return Err(ReadError::Trailing);
    }
    Ok(Recording {
        stage: Stage::Whole { media_end },
        end,
        left_over_bytes,
        movie,
    })
}

/// All chunks lie between the first `moov` and the end of the media, and none
/// in another.
fn check_places(recording: &Recording) -> Result<(), ReadError> {
    let media_end = match recording.stage {
        Stage::Growing => recording.end,
        Stage::Whole { media_end } => media_end,
    };
    let mut places: Vec<(u64, u64)> = Vec::new();
    for track in recording.movie.tracks() {
        let mut sizes = track.table.sizes.iter();
        for chunk in &track.table.chunks {
            let sizes = sizes.by_ref().take(chunk.samples as usize);
            let bytes: u64 = sizes.map(|size| u64::from(*size)).sum();
            places.push((chunk.offset, chunk.offset.saturating_add(bytes)));
        }
    }
    places.sort_unstable();
    let mut free_from = super::fmp4::INIT_AT;
    for (from, to) in places {
        if from < free_from || to > media_end {
            return Err(ReadError::Misplaced);
        }
        free_from = to;
    }
    Ok(())
}
