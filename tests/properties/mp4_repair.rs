//! Recordings cut, overwritten and appended to: repairing never panics, changes
//! nothing when it refuses, leaves a sound file when it does not, and what was
//! sound before tells the same after.

use ringhall::record::finalise::finalise;
use ringhall::record::fmp4::{FLIP_AT, FLIP_TO, Fragment, Times, init_segment};
use ringhall::record::layout::{AudioTrack, Layout, Sample, Samples, TrackKind, VideoTrack};
use ringhall::record::read::{Row, open, sample_bytes};
use ringhall::record::repair::{Repaired, repair};
use ringhall::record::store::Memory;
use ringhall::record::tail::extend;

const KINDS: [TrackKind; 2] = [TrackKind::Video, TrackKind::Audio];

/// A byte for the file, then four an operation: kind, place, value. The bytes
/// are also tried as a file of their own.
pub fn check(data: &[u8]) {
    repaired_well(Memory {
        bytes: data.to_vec(),
    });
    let Some((&first, ops)) = data.split_first() else {
        return;
    };
    let mut file = made(first);
    for op in ops.chunks_exact(4) {
        let &[kind, high, low, value] = op else {
            continue;
        };
        let len = file.bytes.len();
        let at = usize::from(u16::from_be_bytes([high, low])) % (len + 1);
        match kind % 5 {
            0 => file.bytes.truncate(at),
            1 => file.bytes.extend([value; 9].repeat(usize::from(low))),
            2 => drop(file.bytes.splice(at..len.min(at + 4), [0, 0, 0, value])),
            3 => drop(file.bytes.splice(at..len.min(at + 4), *b"free")),
            _ => file
                .bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= value),
        }
    }
    repaired_well(file);
}

/// All a file tells, if it is sound.
fn told(file: &mut Memory) -> Option<Vec<(Row, Vec<u8>)>> {
    let recording = open(file).ok()?;
    let rows = KINDS.into_iter().flat_map(|kind| recording.rows(kind));
    rows.map(|row| Some((row, sample_bytes(file, &row).ok()?)))
        .collect()
}

fn repaired_well(mut file: Memory) {
    let before = file.clone();
    let sound = told(&mut file);
    assert!(file == before, "reading changes nothing");
    let Ok(repaired) = repair(&mut file) else {
        assert!(file == before, "refused and changed");
        assert!(
            sound.is_none_or(|rows| rows.is_empty()),
            "refused and sound"
        );
        return;
    };
    let after = told(&mut file).expect("repaired and not sound");
    if let Some(sound) = sound {
        assert!(after == sound, "sound before, other after");
    }
    if let Repaired::WasWhole(_) = repaired {
        assert!(file == before);
    }
    // A row costs 16 bytes at most, twice the boxes of a file of two tracks the
    // rest.
    let most = before.bytes.len() + after.len() * 32 + 4_096;
    assert!(file.bytes.len() <= most, "grown beyond its tables");
    let Ok(Repaired::WasWhole(_)) = repair(&mut file) else {
        panic!("repaired twice");
    };
}

/// A small file: growing, whole or extended, of three layouts.
fn made(first: u8) -> Memory {
    let video = VideoTrack::Vp8 {
        width: 16,
        height: 16,
    };
    let (video, audio) = match first % 3 {
        0 => (Some(video), Some(AudioTrack::Opus { channels: 1 })),
        1 => (Some(video), None),
        _ => (None, Some(AudioTrack::Pcmu)),
    };
    let layout = Layout { video, audio };
    let mut file = Memory {
        bytes: init_segment(&layout),
    };
    let (mut base, mut fragment) = (Times::default(), Fragment::new());
    for sequence in 1..=3 {
        for number in 0..3 {
            let mut pieces = Pieces::new(&layout, number);
            while let Some((kind, sample, bytes)) = pieces.next() {
                fragment.push(kind, sample, bytes);
            }
        }
        let end = fragment.end(base);
        let start = file.bytes.len() + FLIP_AT as usize;
        file.bytes.extend(fragment.take(sequence, base));
        file.bytes[start..start + FLIP_TO.len()].copy_from_slice(&FLIP_TO);
        base = end;
    }
    let stage = first / 3 % 3;
    if stage >= 1 {
        finalise(&mut file).expect("fragments");
    }
    if stage >= 2 {
        extend(&mut file, &mut Pieces::new(&layout, 9)).expect("a whole file");
    }
    file
}

/// One sample of each track.
struct Pieces {
    kinds: Vec<TrackKind>,
    bytes: Vec<u8>,
}

impl Pieces {
    fn new(layout: &Layout, number: u8) -> Self {
        let audio = layout.audio.as_ref().map(|_| TrackKind::Audio);
        let video = layout.video.as_ref().map(|_| TrackKind::Video);
        Pieces {
            kinds: audio.into_iter().chain(video).collect(),
            bytes: vec![number; usize::from(number)],
        }
    }
}

impl Samples for Pieces {
    fn next(&mut self) -> Option<(TrackKind, Sample, &[u8])> {
        let kind = self.kinds.pop()?;
        let is_audio = kind == TrackKind::Audio;
        let sample = Sample {
            duration: if is_audio { 960 } else { 3_000 },
            composition: if is_audio { 0 } else { 3_000 },
            is_sync: is_audio || self.bytes.len() > 1,
            size_bytes: self.bytes.len() as u32,
        };
        Some((kind, sample, &self.bytes))
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..9).map(|first| vec![first]).collect();
    // Cut in a fragment, in the tables, in an extension.
    seeds.push(vec![0, 0, 6, 0, 0]);
    seeds.push(vec![3, 0, 9, 0, 0]);
    seeds.push(vec![6, 0, 11, 0, 0]);
    // Appended to; a size, a type and a bit changed.
    seeds.push(vec![3, 1, 0, 20, 0]);
    seeds.push(vec![0, 2, 5, 0x12, 9, 4, 0, 40, 1]);
    seeds.push(vec![3, 3, 4, 0, 0, 4, 8, 0, 0x80, 4, 0, 47, 0x40]);
    seeds
}
