//! Recordings made up for tests: random layouts and samples, and the files they
//! become.

use super::fmp4::{FLIP_AT, FLIP_TO, Fragment, Times, init_segment};
use super::layout::{AudioTrack, Layout, Sample, Samples, TrackKind, VideoTrack};
use super::read::{Recording, sample_bytes};
use super::store::{FileFault, Memory, Store};
use crate::base::random::Noise;

/// A sample and its bytes.
pub type Piece = (TrackKind, Sample, Vec<u8>);

/// A recording as it was meant.
#[derive(Clone, Debug)]
pub struct Made {
    pub layout: Layout,
    /// Of each fragment.
    pub fragments: Vec<Vec<Piece>>,
}

pub fn layout(noise: &mut Noise) -> Layout {
    let video = match noise.below(3) {
        0 => Some(VideoTrack::H264 {
            width: 640,
            height: 480,
            sps: vec![
                b"\x67\x42\xc0\x1f\x8c\x8d".to_vec(),
                vec![0x67, 66, 192, 30],
            ],
            pps: vec![vec![0x68, 0xce], vec![0x68, 0, 0x80]],
        }),
        1 => Some(VideoTrack::Vp8 {
            width: 320,
            height: 241,
        }),
        _ => None,
    };
    let audio = match noise.below(5) {
        0 => Some(AudioTrack::Opus { channels: 2 }),
        1 => Some(AudioTrack::Aac {
            config: vec![0x12, 0x10],
            sample_rate: 44_100,
            channels: 2,
        }),
        2 => Some(AudioTrack::Pcmu),
        3 => Some(AudioTrack::Pcma),
        _ if video.is_some() => None,
        _ => Some(AudioTrack::Opus { channels: 1 }),
    };
    Layout { video, audio }
}

/// One sample of a track.
pub fn piece(noise: &mut Noise, kind: TrackKind) -> Piece {
    let is_video = kind == TrackKind::Video;
    let size = noise.below(if is_video { 40 } else { 8 });
    let bytes: Vec<u8> = (0..size).map(|_| noise.next_u64() as u8).collect();
    let sample = Sample {
        duration: if is_video {
            2_990 + noise.below(20) as u32
        } else {
            960
        },
        composition: if is_video {
            noise.below(3) as i32 * 3_000 - 3_000
        } else {
            0
        },
        is_sync: !is_video || noise.chance_ppm(300_000),
        size_bytes: size as u32,
    };
    (kind, sample, bytes)
}

/// Up to six samples of the layout's tracks, one at least.
pub fn pieces(noise: &mut Noise, layout: &Layout) -> Vec<Piece> {
    let kinds: Vec<TrackKind> = [
        layout.video.as_ref().map(|_| TrackKind::Video),
        layout.audio.as_ref().map(|_| TrackKind::Audio),
    ]
    .into_iter()
    .flatten()
    .collect();
    (0..=noise.below(6))
        .map(|_| {
            let kind = kinds[noise.below(kinds.len() as u64) as usize];
            piece(noise, kind)
        })
        .collect()
}

pub fn made(noise: &mut Noise, fragments: u64) -> Made {
    let layout = layout(noise);
    let fragments = (0..fragments).map(|_| pieces(noise, &layout)).collect();
    Made { layout, fragments }
}

impl Made {
    /// Samples of one track of the first `fragments` fragments.
    pub fn of(&self, kind: TrackKind, fragments: usize) -> Vec<Piece> {
        let pieces = self.fragments.iter().take(fragments).flatten();
        pieces.filter(|piece| piece.0 == kind).cloned().collect()
    }

    /// The fragments as they are written, without the flip.
    pub fn buffers(&self) -> Vec<Vec<u8>> {
        let (mut base, mut fragment) = (Times::default(), Fragment::new());
        (1..)
            .zip(&self.fragments)
            .map(|(sequence, pieces)| {
                for (kind, sample, bytes) in pieces {
                    fragment.push(*kind, *sample, bytes);
                }
                let end = fragment.end(base);
                let buffer = fragment.take(sequence, base);
                base = end;
                buffer
            })
            .collect()
    }

    /// The growing file, and where each fragment ends in it, the first `moov`
    /// as the fragment before all others.
    pub fn growing(&self) -> (Memory, Vec<usize>) {
        let mut bytes = init_segment(&self.layout);
        let mut ends = vec![bytes.len()];
        for mut buffer in self.buffers() {
            let flip = FLIP_AT as usize;
            buffer[flip..flip + 4].copy_from_slice(&FLIP_TO);
            bytes.extend(buffer);
            ends.push(bytes.len());
        }
        (Memory { bytes }, ends)
    }
}

/// Pieces, one after another.
pub struct Given<'a>(pub std::slice::Iter<'a, Piece>);

impl Samples for Given<'_> {
    fn next(&mut self) -> Option<(TrackKind, Sample, &[u8])> {
        let (kind, sample, bytes) = self.0.next()?;
        Some((*kind, *sample, bytes))
    }
}

/// The pieces of a track as the strict reader tells them, each at the time at
/// which the one before it ends.
pub fn told(store: &mut Memory, recording: &Recording, kind: TrackKind) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut end_ticks = 0;
    for row in recording.rows(kind) {
        assert_eq!(row.decode_ticks, end_ticks);
        end_ticks += u64::from(row.sample.duration);
        let bytes = sample_bytes(store, &row).unwrap();
        pieces.push((kind, row.sample, bytes));
    }
    pieces
}

/// A file on a disk that stops at a given moment: after so many bytes written,
/// a cut or a sync counting as one.
pub struct Stopping {
    pub file: Memory,
    pub left: usize,
}

impl Stopping {
    fn spend(&mut self, cost: usize) -> Result<(), FileFault> {
        self.left = self.left.checked_sub(cost).ok_or(FileFault::Failed)?;
        Ok(())
    }
}

impl Store for Stopping {
    fn len(&self) -> Result<u64, FileFault> {
        self.file.len()
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FileFault> {
        self.file.read_at(offset, into)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault> {
        let fits = self.left.min(bytes.len());
        if fits > 0 {
            self.file.write_at(offset, &bytes[..fits])?;
        }
        let spent = self.spend(bytes.len());
        if spent.is_err() {
            self.left = 0;
        }
        spent
    }

    fn truncate(&mut self, len: u64) -> Result<(), FileFault> {
        self.spend(1)?;
        self.file.truncate(len)
    }

    fn sync(&mut self) -> Result<(), FileFault> {
        self.spend(1)?;
        self.file.sync()
    }
}
