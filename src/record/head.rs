//! Hours that passed before a stream began, written in front of it at once:
//! fragments in batches, so that it takes as long as the disk does and a batch
//! of memory.

use super::cutter::{Cutter, Timescales};
use super::fmp4::{FLIP_AT, FLIP_TO, Times, UNFINISHED};
use super::layout::{Layout, Samples};
use super::store::{FileFault, Store};
use crate::base::limits::RECORD_BATCH_BYTES;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadWritten {
    pub len_bytes: u64,
    pub fragments: u32,
    /// Where the tracks end: where the next fragment begins.
    pub times: Times,
}

/// Writes `samples` as fragments from `offset` on, the first of them with
/// sequence number `first_sequence` and at time zero. As with every fragment the
/// bytes come first and its type after them, batch by batch; having all of it on
/// the medium is the caller's business. Samples of tracks that `layout` lacks
/// are dropped.
pub fn write_head(
    store: &mut impl Store,
    offset: u64,
    first_sequence: u32,
    layout: &Layout,
    samples: &mut impl Samples,
) -> Result<HeadWritten, FileFault> {
    let timescales = Timescales::of_layout(layout);
    let mut cutter = Cutter::new(UNFINISHED, timescales, Times::default(), first_sequence);
    let mut written = HeadWritten::default();
    let mut batch = Batch::at(offset);
    while let Some(fragment) = cutter.next(samples) {
        batch.starts.push(batch.bytes.len() as u64);
        batch.bytes.extend(fragment);
        written.fragments = written.fragments.saturating_add(1);
        if batch.bytes.len() >= RECORD_BATCH_BYTES {
            batch.flush(store)?;
        }
    }
    batch.flush(store)?;
    written.len_bytes = batch.offset.saturating_sub(offset);
    written.times = cutter.end();
    Ok(written)
}

/// Fragments not yet written.
struct Batch {
    /// Where they belong.
    offset: u64,
    bytes: Vec<u8>,
    /// Of each fragment in `bytes`.
    starts: Vec<u64>,
}

impl Batch {
    fn at(offset: u64) -> Self {
        Batch {
            offset,
            bytes: Vec::new(),
            starts: Vec::new(),
        }
    }

    fn flush(&mut self, store: &mut impl Store) -> Result<(), FileFault> {
        store.write_at(self.offset, &self.bytes)?;
        for start in self.starts.drain(..) {
            let at = self.offset.saturating_add(start).saturating_add(FLIP_AT);
            store.write_at(at, &FLIP_TO)?;
        }
        self.offset = self.offset.saturating_add(self.bytes.len() as u64);
        self.bytes.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::record::fmp4::{Fragment, init_segment};
    use crate::record::layout::{AudioTrack, Sample, TrackKind};
    use crate::record::made::{Given, Piece, layout, piece, pieces, told};
    use crate::record::read::open;
    use crate::record::store::Memory;

    #[test]
    fn a_head_and_what_follows_it_are_one_recording() {
        let mut noise = Noise::new(30);
        for _ in 0..30 {
            let layout = layout(&mut noise);
            let head: Vec<Piece> = (0..noise.below(30))
                .flat_map(|_| pieces(&mut noise, &layout))
                .collect();
            let mut store = Memory {
                bytes: init_segment(&layout),
            };
            let offset = store.bytes.len() as u64;
            let mut given = Given(head.iter());
            let written = write_head(&mut store, offset, 1, &layout, &mut given).unwrap();
            assert_eq!(store.bytes.len() as u64, offset + written.len_bytes);
            let live = pieces(&mut noise, &layout);
            let mut fragment = Fragment::new();
            for (kind, sample, bytes) in &live {
                fragment.push(*kind, *sample, bytes);
            }
            let mut bytes = fragment.take(written.fragments + 1, written.times);
            bytes[4..8].copy_from_slice(&FLIP_TO);
            store.bytes.extend(bytes);
            let recording = open(&mut store).unwrap();
            assert_eq!(recording.left_over_bytes, 0);
            for kind in [TrackKind::Video, TrackKind::Audio] {
                let all = head.iter().chain(&live);
                let expected: Vec<Piece> = all.filter(|piece| piece.0 == kind).cloned().collect();
                assert_eq!(told(&mut store, &recording, kind), expected);
            }
        }
    }

    /// Black and silence of six hours, made as they are asked for.
    struct Hours {
        video: u64,
        audio: u64,
    }

    impl Samples for Hours {
        fn next(&mut self) -> Option<(TrackKind, Sample, &[u8])> {
            const END_S: u64 = 6 * 3_600;
            let is_video = self.video * 48_000 <= self.audio * 90_000;
            let (kind, duration, bytes) = match is_video {
                true => (TrackKind::Video, 3_000, &[0x41; 12][..]),
                false => (TrackKind::Audio, 960, &[0xf8, 0xff, 0xfe][..]),
            };
            let (at, end) = match kind {
                TrackKind::Video => (&mut self.video, END_S * 90_000),
                TrackKind::Audio => (&mut self.audio, END_S * 48_000),
            };
            if *at >= end {
                return None;
            }
            *at += u64::from(duration);
            let sample = Sample {
                duration,
                composition: 0,
                is_sync: true,
                size_bytes: bytes.len() as u32,
            };
            Some((kind, sample, bytes))
        }
    }

    #[test]
    fn six_hours_are_fragments_of_a_second_in_large_writes() {
        struct Counting(Memory, usize);
        impl Store for Counting {
            fn len(&self) -> Result<u64, FileFault> {
                self.0.len()
            }
            fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), FileFault> {
                self.0.read_at(offset, into)
            }
            fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileFault> {
                assert!(bytes.len() <= RECORD_BATCH_BYTES + 4_096);
                self.1 += usize::from(bytes.len() > 4);
                self.0.write_at(offset, bytes)
            }
            fn truncate(&mut self, len: u64) -> Result<(), FileFault> {
                self.0.truncate(len)
            }
            fn sync(&mut self) -> Result<(), FileFault> {
                self.0.sync()
            }
        }
        let layout = Layout {
            video: Some(crate::record::layout::VideoTrack::Vp8 {
                width: 640,
                height: 480,
            }),
            audio: Some(AudioTrack::Opus { channels: 1 }),
        };
        let mut store = Counting(Memory::default(), 0);
        let init = init_segment(&layout);
        store.write_at(0, &init).unwrap();
        let mut hours = Hours { video: 0, audio: 0 };
        let at = init.len() as u64;
        let written = write_head(&mut store, at, 1, &layout, &mut hours).unwrap();
        assert_eq!(written.fragments, 6 * 3_600);
        assert_eq!(written.times.video, 6 * 3_600 * 90_000);
        assert_eq!(written.times.audio, 6 * 3_600 * 48_000);
        assert!(store.1 < 200, "{} large writes", store.1);
        let recording = open(&mut store.0).unwrap();
        assert_eq!(recording.rows(TrackKind::Video).count(), 6 * 3_600 * 30);
    }

    #[test]
    fn samples_of_a_track_there_is_not_are_dropped() {
        let mut noise = Noise::new(31);
        let layout = Layout {
            video: None,
            audio: Some(AudioTrack::Pcmu),
        };
        let head = [TrackKind::Video, TrackKind::Audio, TrackKind::Video];
        let head: Vec<Piece> = head.map(|kind| piece(&mut noise, kind)).to_vec();
        let mut store = Memory::default();
        let written = write_head(&mut store, 0, 1, &layout, &mut Given(head.iter())).unwrap();
        assert_eq!((written.fragments, written.times.video), (1, 0));
    }

    #[test]
    fn nothing_is_no_head() {
        let mut store = Memory::default();
        let none = &mut Given([].iter());
        let written = write_head(&mut store, 0, 1, &Layout::default(), none);
        assert_eq!(written, Ok(HeadWritten::default()));
        assert!(store.bytes.is_empty());
    }
}
