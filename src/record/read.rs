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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::record::finalise::finalise;
    use crate::record::made::{Made, made, told};
    use crate::record::store::Memory;

    /// A recording with sound, growing and whole.
    fn recordings(noise: &mut Noise) -> (Made, [Memory; 2]) {
        loop {
            let made = made(noise, 3);
            if made.layout.audio.is_none() || made.of(TrackKind::Audio, 3).len() < 3 {
                continue;
            }
            let (growing, _) = made.growing();
            let mut whole = growing.clone();
            finalise(&mut whole).unwrap();
            return (made, [growing, whole]);
        }
    }

    #[test]
    fn both_stages_tell_what_was_written() {
        let mut noise = Noise::new(70);
        for _ in 0..30 {
            let (made, files) = recordings(&mut noise);
            for mut file in files {
                let recording = open(&mut file).unwrap();
                assert_eq!(recording.left_over_bytes, 0);
                assert_eq!(recording.end, file.bytes.len() as u64);
                let timescale = made.layout.audio.as_ref().map(|track| track.timescale());
                assert_eq!(recording.timescale(TrackKind::Audio), timescale);
                for kind in [TrackKind::Video, TrackKind::Audio] {
                    assert_eq!(told(&mut file, &recording, kind), made.of(kind, 3));
                }
            }
        }
    }

    #[test]
    fn samples_in_each_other_or_outside_are_refused() {
        let (_, [_, mut whole]) = recordings(&mut Noise::new(71));
        let offsets = whole.bytes.windows(4).rposition(|kind| kind == b"stco");
        let first = offsets.unwrap() + 12;
        for offset in [0u32, 47, 1 << 30, 0xffff_ffff] {
            let mut file = whole.clone();
            file.bytes[first..first + 4].copy_from_slice(&offset.to_be_bytes());
            assert_eq!(
                open(&mut file).err(),
                Some(ReadError::Misplaced),
                "{offset}"
            );
        }
        // Where a sample of the second chunk is.
        let second = whole.bytes[first + 4..first + 8].to_vec();
        whole.bytes[first..first + 4].copy_from_slice(&second);
        let places = open(&mut whole).err();
        assert!(matches!(
            places,
            Some(ReadError::Misplaced | ReadError::Malformed(_))
        ));
    }

    #[test]
    fn only_an_extension_may_follow() {
        let (_, [_, whole]) = recordings(&mut Noise::new(72));
        let mut begun = whole.clone();
        begun.bytes.extend(b"\0\0\0\0free whatever");
        assert_eq!(open(&mut begun).map(|told| told.left_over_bytes), Ok(17));
        let mut other = whole.clone();
        other.bytes.extend(b"\0\0\0\x08skip");
        assert_eq!(open(&mut other).err(), Some(ReadError::Trailing));
        let mut cut = whole;
        cut.bytes.pop();
        assert_eq!(open(&mut cut).err(), Some(ReadError::NoMovie));
    }

    #[test]
    fn a_growing_file_may_not_have_holes() {
        let (_, [mut growing, _]) = recordings(&mut Noise::new(73));
        let moof = growing.bytes.windows(4).position(|kind| kind == b"moof");
        let sequence = moof.unwrap() + 4 + 15;
        growing.bytes[sequence] = 200;
        assert_eq!(open(&mut growing).err(), Some(ReadError::Fragments));
    }
}
