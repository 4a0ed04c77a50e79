//! Samples through fragments, a whole file and an extended one: the strict
//! reader tells them all as they went in.

use ringhall::base::random::Noise;
use ringhall::record::finalise::{FinaliseError, finalise};
use ringhall::record::fmp4::{FLIP_AT, FLIP_TO, Fragment, Times, init_segment};
use ringhall::record::head::write_head;
use ringhall::record::layout::{AudioTrack, Layout, Sample, Samples, TrackKind, VideoTrack};
use ringhall::record::read::{open, sample_bytes};
use ringhall::record::repair::{Repaired, repair};
use ringhall::record::store::Memory;
use ringhall::record::tail::extend;

type Piece = (TrackKind, Sample, Vec<u8>);

/// A byte for the layout, then four an operation: kind, size, duration.
pub fn check(data: &[u8]) {
    let Some((&first, ops)) = data.split_first() else {
        return;
    };
    let layout = layout(first);
    // What is written in front, while the file grows, and behind.
    let mut parts: [Vec<Vec<Piece>>; 3] = Default::default();
    let mut part = 0;
    for (number, op) in ops.chunks_exact(4).enumerate() {
        let &[kind, size, high, low] = op else {
            continue;
        };
        match kind % 16 {
            0 => part = (part + 1).min(2),
            1 => parts[part].push(Vec::new()),
            _ => {
                let piece = piece(kind, size, [high, low], number as u64);
                let is_there = match piece.0 {
                    TrackKind::Video => layout.video.is_some(),
                    TrackKind::Audio => layout.audio.is_some(),
                };
                if parts[part].is_empty() {
                    parts[part].push(Vec::new());
                }
                if is_there && let Some(last) = parts[part].last_mut() {
                    last.push(piece);
                }
            }
        }
    }
    let [head, live, tail] = parts;
    let head: Vec<Piece> = head.concat();
    let mut all = head.clone();
    let mut file = Memory {
        bytes: init_segment(&layout),
    };
    grow(&mut file, &layout, &head, &live);
    all.extend(live.concat());
    assert_tells(&mut file, &all);
    match finalise(&mut file) {
        Ok(finished) => assert_eq!(finished.size_bytes, file.bytes.len() as u64),
        Err(error) => {
            assert_eq!((error, all.len()), (FinaliseError::Empty, 0));
            return;
        }
    }
    assert_tells(&mut file, &all);
    let tail = tail.concat();
    let extended = extend(&mut file, &mut Given(tail.iter())).expect("room in memory");
    all.extend(tail);
    assert_tells(&mut file, &all);
    let whole = file.clone();
    assert_eq!(repair(&mut file), Ok(Repaired::WasWhole(extended)));
    assert!(file == whole);
}

fn layout(byte: u8) -> Layout {
    let size = (640, 480);
    let h264 = VideoTrack::H264 {
        width: size.0,
        height: size.1,
        sps: vec![b"\x67\x42\xc0\x1f\x8c\x8d".to_vec(), vec![0x67; 5]],
        pps: vec![b"\x68\xce\x3c\x80".to_vec()],
    };
    let vp8 = VideoTrack::Vp8 {
        width: size.0,
        height: size.1,
    };
    let aac = AudioTrack::Aac {
        config: vec![0x12, 0x10],
        sample_rate: 44_100,
        channels: 2,
    };
    let opus = AudioTrack::Opus { channels: 1 };
    let (video, audio) = match byte % 6 {
        0 => (Some(h264), Some(opus)),
        1 => (Some(vp8), Some(AudioTrack::Pcmu)),
        2 => (Some(h264), Some(aac)),
        3 => (Some(vp8), None),
        4 => (None, Some(AudioTrack::Pcma)),
        _ => (None, Some(opus)),
    };
    Layout { video, audio }
}

fn piece(kind: u8, size: u8, duration: [u8; 2], number: u64) -> Piece {
    let mut noise = Noise::new(number);
    let bytes: Vec<u8> = (0..size).map(|_| noise.next_u64() as u8).collect();
    let is_audio = kind & 0x10 != 0;
    let sample = Sample {
        duration: u16::from_be_bytes(duration).into(),
        composition: if is_audio {
            0
        } else {
            i32::from(kind >> 6) * 3_000 - 3_000
        },
        is_sync: is_audio || kind & 0x20 != 0,
        size_bytes: size.into(),
    };
    let track = if is_audio {
        TrackKind::Audio
    } else {
        TrackKind::Video
    };
    (track, sample, bytes)
}

/// Head and fragments, as a recorder writes them.
fn grow(file: &mut Memory, layout: &Layout, head: &[Piece], live: &[Vec<Piece>]) {
    let at = file.bytes.len() as u64;
    let mut given = Given(head.iter());
    let head = write_head(file, at, 1, layout, &mut given).expect("room in memory");
    let (mut base, mut fragment): (Times, _) = (head.times, Fragment::new());
    let fragments = live.iter().filter(|pieces| !pieces.is_empty());
    for (sequence, pieces) in (head.fragments + 1..).zip(fragments) {
        for (kind, sample, bytes) in pieces {
            fragment.push(*kind, *sample, bytes);
        }
        let end = fragment.end(base);
        let start = file.bytes.len() + FLIP_AT as usize;
        file.bytes.extend(fragment.take(sequence, base));
        file.bytes[start..start + FLIP_TO.len()].copy_from_slice(&FLIP_TO);
        base = end;
    }
}

fn assert_tells(file: &mut Memory, all: &[Piece]) {
    let recording = open(file).expect("a sound recording");
    assert_eq!(recording.left_over_bytes, 0);
    for kind in [TrackKind::Video, TrackKind::Audio] {
        let mut decode_ticks = 0;
        let mut expected = all.iter().filter(|piece| piece.0 == kind);
        for row in recording.rows(kind) {
            let (_, sample, bytes) = expected.next().expect("no more than went in");
            assert_eq!((row.decode_ticks, row.sample), (decode_ticks, *sample));
            assert_eq!(sample_bytes(file, &row).as_ref(), Ok(bytes));
            decode_ticks += u64::from(sample.duration);
        }
        assert!(expected.next().is_none());
    }
}

struct Given<'a>(std::slice::Iter<'a, Piece>);

impl Samples for Given<'_> {
    fn next(&mut self) -> Option<(TrackKind, Sample, &[u8])> {
        let (kind, sample, bytes) = self.0.next()?;
        Some((*kind, *sample, bytes))
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    const KEY: [u8; 4] = [0x62, 200, 11, 184];
    const PICTURE: [u8; 4] = [0x82, 30, 11, 184];
    const SOUND: [u8; 4] = [0x12, 3, 3, 192];
    const FRAGMENT: [u8; 4] = [1, 0, 0, 0];
    const PART: [u8; 4] = [0, 0, 0, 0];
    let second = [KEY, SOUND, PICTURE, SOUND, PICTURE, SOUND].concat();
    let file = [
        &second[..],
        &PART,
        &second,
        &FRAGMENT,
        &second,
        &PART,
        &second,
    ]
    .concat();
    let mut seeds: Vec<Vec<u8>> = (0..6).map(|first| [&[first], &file[..]].concat()).collect();
    // Only the middle; only the head, longer than a second; nothing at all.
    seeds.push([&[0], &PART[..], &second].concat());
    seeds.push([&[2], &second.repeat(12)[..]].concat());
    seeds.push(vec![3]);
    // Empty samples that take no time.
    seeds.push([&[1], &[0x62, 0, 0, 0, 0x12, 0, 0, 0].repeat(4)[..]].concat());
    seeds
}
