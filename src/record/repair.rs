//! A recording that was left unfinished, cut off or damaged, made whole again.
//! A sound file stays as it is to the byte, and nothing is written before it is
//! known that what will be told is no less than what is told now.

use super::finalise::{FinaliseError, Finished, complete};
use super::index::{Stage, header_at, index, read, stage};
use super::read::{ReadError, open};
use super::store::{FileFault, Store};
use crate::base::limits::RECORD_MOOV_MAX_BYTES;
use crate::wire::bmff::{self, Extent, boxes};
use crate::wire::bytes::u32_at;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// Nothing: it was whole.
    WasWhole(Finished),
    /// It is whole now, with every fragment that was.
    Rebuilt(Finished),
    /// It was whole but for an extension that was never finished, which is cut
    /// away.
    Shortened(Finished),
}

/// Makes the recording in `store` whole. On an error it is as before, except
/// when the disk is at fault: then repairing again goes on.
pub fn repair(store: &mut impl Store) -> Result<Repaired, FinaliseError> {
    let stage = stage(store)?;
    let Stage::Whole { media_end } = stage else {
        let index = index(store)?;
        return complete(store, &index, stage).map(Repaired::Rebuilt);
    };
    match open(store) {
        Ok(recording) => {
            let finished = Finished::of(&recording.movie, recording.end, 0);
            if recording.left_over_bytes == 0 {
                return Ok(Repaired::WasWhole(finished));
            }
            store.truncate(recording.end)?;
            store.sync()?;
            Ok(Repaired::Shortened(finished))
        }
        Err(ReadError::Disk(fault)) => Err(fault.into()),
        // Cut off, or its tables are damaged: they are made anew of the
        // fragments, which are still where they were.
        Err(_) => {
            let index = index(store)?;
            if told_samples(store, media_end)? > index.movie.samples() {
                return Err(FinaliseError::Damaged);
            }
            complete(store, &index, stage).map(Repaired::Rebuilt)
        }
    }
}

/// How many samples the tables at `at` tell of, however damaged; none where
/// there are no tables.
fn told_samples(store: &mut impl Store, at: u64) -> Result<u64, FileFault> {
    let len = store.len()?;
    if at >= len {
        return Ok(0);
    }
    let Ok(header) = header_at(store, at, len)? else {
        return Ok(0);
    };
    let (Extent::Bytes(size), b"moov") = (header.extent, &header.kind) else {
        return Ok(0);
    };
    let end = at.saturating_add(size);
    if size > RECORD_MOOV_MAX_BYTES || end > len {
        return Ok(0);
    }
    let moov = read(store, at.saturating_add(header.header_bytes), end)?;
    let tracks = boxes(&moov)
        .flatten()
        .filter(|boxed| boxed.kind == *b"trak");
    Ok(tracks.filter_map(|track| told_of_track(track.body)).sum())
}

/// The fewest samples any of a track's tables tells of: one that was damaged
/// may tell of millions.
fn told_of_track(trak: &[u8]) -> Option<u64> {
    let inside = |body, kind| bmff::only(body, kind).ok().flatten();
    let stbl = inside(inside(inside(trak, b"mdia")?, b"minf")?, b"stbl")?;
    let sizes = u32_at(inside(stbl, b"stsz")?, 8)?;
    let runs = inside(stbl, b"stts")?.get(8..)?;
    let (runs, _) = runs.as_chunks::<8>();
    let timed: u64 = runs
        .iter()
        .filter_map(|run| u32_at(run, 0))
        .map(u64::from)
        .sum();
    Some(timed.min(sizes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::record::finalise::finalise;
    use crate::record::fmp4::{FLIP_AT, INIT_AT};
    use crate::record::layout::TrackKind;
    use crate::record::made::{Given, Made, Piece, made, pieces, told};
    use crate::record::store::Memory;
    use crate::record::tail::extend;

    const KINDS: [TrackKind; 2] = [TrackKind::Video, TrackKind::Audio];

    fn assert_tells(file: &mut Memory, made: &Made, fragments: usize) {
        let recording = open(file).unwrap();
        for kind in KINDS {
            assert_eq!(told(file, &recording, kind), made.of(kind, fragments));
        }
    }

    /// What finalising makes of the first fragments.
    fn whole_of(made: &Made, fragments: usize) -> Memory {
        let (mut file, ends) = made.growing();
        file.bytes.truncate(ends[fragments]);
        finalise(&mut file).unwrap();
        file
    }

    #[test]
    fn a_growing_file_cut_anywhere_keeps_its_whole_fragments() {
        let mut noise = Noise::new(50);
        for _ in 0..8 {
            let made = made(&mut noise, 4);
            let (growing, ends) = made.growing();
            for cut in 0..=growing.bytes.len() {
                let mut file = Memory {
                    bytes: growing.bytes[..cut].to_vec(),
                };
                let before = file.clone();
                let fragments = ends.iter().filter(|end| **end <= cut).count();
                match fragments {
                    0 => {
                        assert_eq!(repair(&mut file), Err(FinaliseError::NotARecording));
                        assert!(file == before);
                    }
                    1 => {
                        assert_eq!(repair(&mut file), Err(FinaliseError::Empty));
                        assert!(file == before);
                    }
                    _ => {
                        assert_tells(&mut file, &made, fragments - 1);
                        assert!(matches!(repair(&mut file), Ok(Repaired::Rebuilt(_))));
                        assert_tells(&mut file, &made, fragments - 1);
                        assert!(file == whole_of(&made, fragments - 1));
                    }
                }
            }
        }
    }

    #[test]
    fn a_fragment_without_its_type_was_not_whole() {
        let made = made(&mut Noise::new(51), 3);
        let (growing, ends) = made.growing();
        for flipped in 0..4 {
            let mut file = growing.clone();
            let at = ends[2] + FLIP_AT as usize;
            file.bytes[at..at + 4].copy_from_slice(b"free");
            file.bytes[at..at + flipped].copy_from_slice(&b"moof"[..flipped]);
            repair(&mut file).unwrap();
            assert_tells(&mut file, &made, 2);
        }
    }

    #[test]
    fn room_that_was_never_written_to_is_cut_away() {
        let made = made(&mut Noise::new(52), 3);
        let (mut file, _) = made.growing();
        file.bytes.extend(vec![0; 100_000]);
        repair(&mut file).unwrap();
        assert!(file == whole_of(&made, 3));
    }

    #[test]
    fn what_is_no_box_stays_behind_what_can_be_told() {
        let made = made(&mut Noise::new(53), 3);
        let (growing, ends) = made.growing();
        let mut file = growing.clone();
        // The size of the third fragment's moof.
        file.bytes[ends[2]..ends[2] + 4].copy_from_slice(&[0, 0, 0, 3]);
        let damaged = file.clone();
        repair(&mut file).unwrap();
        assert_tells(&mut file, &made, 2);
        let from = INIT_AT as usize;
        let to = damaged.bytes.len();
        assert!(file.bytes[from..to] == damaged.bytes[from..to]);
    }

    #[test]
    fn a_damaged_fragment_is_passed_over_and_time_goes_on() {
        let mut noise = Noise::new(54);
        let made = made(&mut noise, 4);
        let (mut file, ends) = made.growing();
        // Its sequence number, in mfhd.
        file.bytes[ends[1] + 23] = 0;
        let sound = made.clone();
        let Ok(Repaired::Rebuilt(finished)) = repair(&mut file) else {
            panic!("not rebuilt");
        };
        assert_eq!(finished.lost_fragments, 1);
        let recording = open(&mut file).unwrap();
        for kind in KINDS {
            let ticks = |pieces: &[Piece]| -> u64 {
                let durations = pieces.iter().map(|piece| u64::from(piece.1.duration));
                durations.sum()
            };
            let pieces = told(&mut file, &recording, kind);
            let of_lost = made.fragments[1].iter().filter(|piece| piece.0 == kind);
            assert_eq!(pieces.len() + of_lost.count(), made.of(kind, 4).len());
            // The same end, unless nothing of the track comes after.
            if pieces.len() > made.of(kind, 1).len() {
                assert_eq!(ticks(&pieces), ticks(&sound.of(kind, 4)));
            }
        }
    }

    #[test]
    fn a_whole_file_cut_anywhere_gives_its_whole_fragments() {
        let mut noise = Noise::new(55);
        for extended in [false, true] {
            let made = made(&mut noise, 4);
            let (mut whole, ends) = made.growing();
            finalise(&mut whole).unwrap();
            let tail: Vec<Piece> = pieces(&mut noise, &made.layout);
            if extended {
                extend(&mut whole, &mut Given(tail.iter())).unwrap();
            }
            for cut in 0..whole.bytes.len() {
                let mut file = Memory {
                    bytes: whole.bytes[..cut].to_vec(),
                };
                let before = file.clone();
                let fragments = ends.iter().filter(|end| **end <= cut).count();
                if fragments < 2 {
                    assert!(repair(&mut file).is_err());
                    assert!(file == before);
                    continue;
                }
                assert!(matches!(repair(&mut file), Ok(Repaired::Rebuilt(_))));
                let recording = open(&mut file).unwrap();
                for kind in KINDS {
                    let pieces = told(&mut file, &recording, kind);
                    assert!(pieces.starts_with(&made.of(kind, fragments - 1)));
                    let tail = tail.iter().filter(|piece| extended && piece.0 == kind);
                    let most = made.of(kind, 4).len() + tail.count();
                    assert!(pieces.len() <= most);
                }
            }
        }
    }

    #[test]
    fn repairing_stopped_anywhere_goes_on_later() {
        let mut noise = Noise::new(56);
        let made = made(&mut noise, 3);
        let (mut whole, _) = made.growing();
        finalise(&mut whole).unwrap();
        let mut cut = whole.clone();
        cut.bytes.truncate(whole.bytes.len() - 10);
        for left in 0.. {
            let file = cut.clone();
            let mut store = crate::record::made::Stopping { file, left };
            let is_done = repair(&mut store).is_ok();
            let mut file = store.file;
            repair(&mut file).unwrap();
            assert!(file == whole);
            if is_done {
                break;
            }
        }
    }

    #[test]
    fn changed_bits_never_make_a_sound_file_worse() {
        let mut noise = Noise::new(57);
        for round in 0..12 {
            let made = made(&mut noise, 4);
            let (mut file, _) = made.growing();
            if round % 3 > 0 {
                finalise(&mut file).unwrap();
            }
            if round % 3 > 1 {
                let tail = pieces(&mut noise, &made.layout);
                extend(&mut file, &mut Given(tail.iter())).unwrap();
            }
            for at in 0..file.bytes.len() * 8 {
                let mut changed = file.clone();
                changed.bytes[at / 8] ^= 1 << (at % 8);
                changed_well(changed);
            }
        }
    }

    fn changed_well(mut file: Memory) {
        let before = file.clone();
        let sound = open(&mut file).ok().map(|recording| {
            let pieces = KINDS.map(|kind| told(&mut file, &recording, kind));
            (recording.stage, pieces)
        });
        match repair(&mut file) {
            Ok(repaired) => {
                let recording = open(&mut file).unwrap();
                assert_eq!(recording.left_over_bytes, 0);
                let pieces = KINDS.map(|kind| told(&mut file, &recording, kind));
                if let Some((stage, told)) = sound {
                    assert_eq!(told, pieces);
                    let is_growing = stage == Stage::Growing;
                    assert_eq!(is_growing, matches!(repaired, Repaired::Rebuilt(_)));
                }
                if let Repaired::WasWhole(_) = repaired {
                    assert!(file == before);
                }
            }
            Err(error) => {
                // There was nothing to play.
                let none = sound.is_none_or(|(_, told)| told.iter().all(Vec::is_empty));
                assert!(none, "{error:?}");
                assert!(file == before);
            }
        }
    }
}
