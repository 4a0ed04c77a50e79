//! A whole recording made longer, in place: black and silence up to the end that
//! all recordings of a room have.
//!
//! The file is brands, `mdat`, `moov`. What is appended is one `free` that has no
//! size of its own but reaches to the end of the file, so that it is right at
//! every byte at which writing may stop, and inside it the new fragments and a
//! `moov` of everything. The old `moov` stands before it and is what players
//! take. Then one write of eight bytes lets the `mdat` end where the new `moov`
//! begins: old `moov`, header of the `free` and fragments are now media that
//! nobody looks at, except that a walk over the fragments still finds them all.

use super::cutter::{Cutter, Timescales};
use super::finalise::{FinaliseError, Finished, append, extend_media, tables};
use super::fmp4::{FLIP_TO, Times};
use super::index::{Index, Stage};
use super::layout::{Samples, TrackKind};
use super::movie::Movie;
use super::read::{ReadError, Recording, open};
use super::store::{FileFault, Store};
use crate::base::limits::RECORD_BATCH_BYTES;
use crate::wire::bmff::open_header;

impl From<ReadError> for FinaliseError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Disk(fault) => FinaliseError::Disk(fault),
            ReadError::NotARecording => FinaliseError::NotARecording,
            ReadError::TooLong => FinaliseError::TooLong,
            _ => FinaliseError::Damaged,
        }
    }
}

/// Appends `samples` to the whole recording in `store`. Those of a track begin
/// where it ends; those of a track it does not have are dropped. What an earlier
/// extension left unfinished is cut away first. When it fails the file is as
/// before, or longer by half an extension if the disk takes nothing any more;
/// only when the disk tears the very last write is there something to repair.
pub fn extend(
    store: &mut impl Store,
    samples: &mut impl Samples,
) -> Result<Finished, FinaliseError> {
    let recording = open(store)?;
    let Stage::Whole { .. } = recording.stage else {
        return Err(FinaliseError::NotWhole);
    };
    let old_end = recording.end;
    if recording.left_over_bytes > 0 {
        store.truncate(old_end)?;
    }
    let extended = append_tail(store, recording, samples);
    if extended.is_err() {
        // If this fails too, what is there is half an extension.
        let _ = store.truncate(old_end);
    }
    let (movie, media_end) = extended?;
    let Some(media_end) = media_end else {
        return Ok(Finished::of(&movie, old_end, 0));
    };
    extend_media(store, media_end)?;
    store.sync()?;
    Ok(Finished::of(&movie, store.len()?, 0))
}

/// Everything but the write that makes it count: the samples of before and now,
/// and where the new `moov` is, if there are new ones.
fn append_tail(
    store: &mut impl Store,
    recording: Recording,
    samples: &mut impl Samples,
) -> Result<(Movie, Option<u64>), FinaliseError> {
    let movie = &recording.movie;
    let end_of = |kind| movie.track(kind).map_or(0, |track| track.table.end_ticks());
    let base = Times {
        video: end_of(TrackKind::Video),
        audio: end_of(TrackKind::Audio),
    };
    let timescales = Timescales {
        video: recording.timescale(TrackKind::Video),
        audio: recording.timescale(TrackKind::Audio),
    };
    // Every fragment has a sample, so no number as high was given yet.
    let sequence = u32::try_from(movie.samples()).unwrap_or(u32::MAX);
    let sequence = sequence.saturating_add(1);
    let mut cutter = Cutter::new(FLIP_TO, timescales, base, sequence);
    let mut index = Index::going_on(recording.movie, recording.end);
    let mut batch = open_header(b"free");
    let header_bytes = batch.len();
    let mut batch_at = recording.end;
    // Their types are right at once: inside a `free` nobody looks.
    while let Some(fragment) = cutter.next(samples) {
        let at = batch_at.saturating_add(batch.len() as u64);
        index.add_written(at, &fragment)?;
        batch.extend(fragment);
        if batch.len() >= RECORD_BATCH_BYTES {
            batch_at = flush(store, batch_at, &mut batch)?;
        }
    }
    if batch_at == recording.end && batch.len() == header_bytes {
        return Ok((index.movie, None));
    }
    let moov = tables(&index.movie)?;
    let media_end = flush(store, batch_at, &mut batch)?;
    append(store, media_end, &moov)?;
    Ok((index.movie, Some(media_end)))
}

/// Writes `batch` at `at`; where it ends.
fn flush(store: &mut impl Store, at: u64, batch: &mut Vec<u8>) -> Result<u64, FileFault> {
    store.write_at(at, batch)?;
    let end = at.saturating_add(batch.len() as u64);
    batch.clear();
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::record::finalise::finalise;
    use crate::record::index::index;
    use crate::record::made::{Given, Piece, Stopping, made, pieces, told};
    use crate::record::repair::{Repaired, repair};
    use crate::record::store::Memory;

    const KINDS: [TrackKind; 2] = [TrackKind::Video, TrackKind::Audio];

    fn of(pieces: &[Piece], kind: TrackKind) -> Vec<Piece> {
        let of_kind = pieces.iter().filter(|piece| piece.0 == kind);
        of_kind.cloned().collect()
    }

    #[test]
    fn an_extended_file_is_one_recording_again_and_again() {
        let mut noise = Noise::new(40);
        for _ in 0..30 {
            let made = made(&mut noise, 3);
            let (mut store, _) = made.growing();
            finalise(&mut store).unwrap();
            let mut all: Vec<Piece> = made.fragments.iter().flatten().cloned().collect();
            for _ in 0..3 {
                let tail: Vec<Piece> = (0..noise.below(20))
                    .flat_map(|_| pieces(&mut noise, &made.layout))
                    .collect();
                let before = store.clone();
                let finished = extend(&mut store, &mut Given(tail.iter())).unwrap();
                assert_eq!(tail.is_empty(), store == before);
                all.extend(tail);
                assert_eq!(finished.size_bytes, store.bytes.len() as u64);
                let recording = open(&mut store).unwrap();
                assert_eq!(recording.left_over_bytes, 0);
                for kind in KINDS {
                    assert_eq!(told(&mut store, &recording, kind), of(&all, kind));
                }
                assert_eq!(repair(&mut store), Ok(Repaired::WasWhole(finished)));
                // The fragments, walked, tell the same.
                assert_eq!(index(&mut store).unwrap().movie, recording.movie);
            }
        }
    }

    #[test]
    fn stopped_at_any_byte_it_is_what_it_was_or_what_it_becomes() {
        let mut noise = Noise::new(41);
        for _ in 0..4 {
            let made = made(&mut noise, 2);
            let (mut whole, _) = made.growing();
            finalise(&mut whole).unwrap();
            let tail: Vec<Piece> = (0..8)
                .flat_map(|_| pieces(&mut noise, &made.layout))
                .collect();
            let mut longer = whole.clone();
            extend(&mut longer, &mut Given(tail.iter())).unwrap();
            for left in 0.. {
                let mut store = Stopping {
                    file: whole.clone(),
                    left,
                };
                let is_done = extend(&mut store, &mut Given(tail.iter())).is_ok();
                let mut file = store.file;
                let is_torn = file.bytes[..48] != whole.bytes[..48] && file != longer;
                if is_torn {
                    // The last write, which no disk tears: yet nothing is lost.
                    repair(&mut file).unwrap();
                    assert!(file == longer);
                } else {
                    stopped_well(&mut file, &whole, &longer);
                }
                if is_done {
                    assert!(file == longer);
                    break;
                }
            }
        }
    }

    /// The file is sound, tells all of before or all of after, and repair leaves
    /// one or the other; extending again ends as it would have.
    fn stopped_well(file: &mut Memory, whole: &Memory, longer: &Memory) {
        let mut of_whole = whole.clone();
        let mut of_longer = longer.clone();
        let sound = open(file).unwrap();
        let is_longer = *file == *longer;
        let expected = if is_longer {
            &mut of_longer
        } else {
            &mut of_whole
        };
        let recording = open(expected).unwrap();
        assert_eq!(sound.movie, recording.movie);
        let left_over = sound.left_over_bytes;
        match repair(file).unwrap() {
            Repaired::WasWhole(_) => assert_eq!(left_over, 0),
            Repaired::Shortened(_) => assert!(left_over > 0),
            Repaired::Rebuilt(_) => panic!("nothing to rebuild"),
        }
        assert!(file == expected);
    }

    #[test]
    fn what_an_extension_left_unfinished_is_replaced() {
        let mut noise = Noise::new(42);
        let made = made(&mut noise, 2);
        let (mut whole, _) = made.growing();
        finalise(&mut whole).unwrap();
        let tail = pieces(&mut noise, &made.layout);
        let mut longer = whole.clone();
        extend(&mut longer, &mut Given(tail.iter())).unwrap();
        let mut file = whole;
        file.bytes.extend(open_header(b"free"));
        file.bytes.extend([7; 100]);
        extend(&mut file, &mut Given(tail.iter())).unwrap();
        assert!(file == longer);
    }

    #[test]
    fn a_growing_file_is_not_extended() {
        let made = made(&mut Noise::new(43), 2);
        let (mut growing, _) = made.growing();
        let before = growing.clone();
        let extended = extend(&mut growing, &mut Given([].iter()));
        assert_eq!(extended, Err(FinaliseError::NotWhole));
        assert!(growing == before);
    }
}
