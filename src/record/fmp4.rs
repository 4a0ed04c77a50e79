//! A recording while it grows (ISO/IEC 14496-12 section 8.8): what the file
//! begins with, and one fragment after another.
//!
//! The bytes of a fragment are written with its `moof` under the type `free`,
//! and the type is put right when all of them are in the file: players skip
//! half a `free` at the end, while half a `moof` makes them refuse the whole
//! file.

use super::layout::{Layout, Sample, TrackKind};
use super::moof;
use super::movie::{Form, Movie};
use crate::base::limits::{
    RECORD_FRAGMENT_FULL_BYTES, RECORD_FRAGMENT_FULL_SAMPLES, RECORD_FRAGMENT_SPAN,
};
use crate::wire::bmff::{self, Kind, write_box};

/// Where a fragment's type is, from its first byte, and what it is when the
/// fragment is whole.
pub const FLIP_AT: u64 = bmff::KIND_AT;
pub const FLIP_TO: Kind = *b"moof";

/// The type of what is not yet whole.
pub(super) const UNFINISHED: Kind = *b"free";

/// Bytes of every recording's `ftyp`, and of the placeholder behind it in which
/// finalising writes the header of the `mdat` that swallows the fragments.
pub(super) const BRANDS_BYTES: u64 = 32;
pub(super) const PLACEHOLDER_BYTES: u64 = bmff::LARGE_HEADER_BYTES;

/// Where the first `moov` is.
pub(super) const INIT_AT: u64 = BRANDS_BYTES + PLACEHOLDER_BYTES;

/// The `ftyp` (section 4.3) of a file in fragments, and of a whole one. Neither
/// length may change.
pub(super) fn brands(form: Form) -> Vec<u8> {
    let major = match form {
        Form::Init => b"iso6",
        Form::Whole => b"isom",
    };
    const MINOR: u32 = 0x200;
    let mut out = Vec::new();
    write_box(&mut out, b"ftyp", |out| {
        out.extend(major);
        out.extend(MINOR.to_be_bytes());
        for brand in [b"iso6", b"isom", b"iso2", b"mp41"] {
            out.extend(brand);
        }
    });
    out
}

/// What a recording of `layout` begins with: brands, the placeholder, and a
/// `moov` without samples.
pub fn init_segment(layout: &Layout) -> Vec<u8> {
    let mut out = brands(Form::Init);
    write_box(&mut out, &UNFINISHED, |out| out.extend([0; 8]));
    Movie::of(layout).write(&mut out, Form::Init);
    out
}

/// A time on each track, in its ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub video: u64,
    pub audio: u64,
}

impl Times {
    pub fn of(&self, kind: TrackKind) -> u64 {
        match kind {
            TrackKind::Video => self.video,
            TrackKind::Audio => self.audio,
        }
    }
}

/// One track's samples in a fragment.
#[derive(Clone, Debug, Default)]
struct Lane {
    samples: Vec<Sample>,
    bytes: Vec<u8>,
    span_ticks: u64,
}

impl Lane {
    fn clear(&mut self) {
        self.samples.clear();
        self.bytes.clear();
        self.span_ticks = 0;
    }
}

/// The samples of the fragment that grows. It takes what it is given; its owner
/// asks [`Fragment::is_full`], as longer ones are not believed when read.
#[derive(Clone, Debug, Default)]
pub struct Fragment {
    video: Lane,
    audio: Lane,
}

impl Fragment {
    pub fn new() -> Self {
        Fragment::default()
    }

    /// Appends a sample; its size is that of `bytes`, whatever it says itself.
    pub fn push(&mut self, kind: TrackKind, sample: Sample, bytes: &[u8]) {
        let lane = match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let size_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        lane.samples.push(Sample {
            size_bytes,
            ..sample
        });
        lane.bytes.extend_from_slice(bytes);
        lane.span_ticks = lane.span_ticks.saturating_add(sample.duration.into());
    }

    pub fn is_empty(&self) -> bool {
        self.video.samples.is_empty() && self.audio.samples.is_empty()
    }

    /// Of the samples, without the boxes around them.
    pub fn size_bytes(&self) -> usize {
        self.video
            .bytes
            .len()
            .saturating_add(self.audio.bytes.len())
    }

    /// Whether nothing may be added any more, however short it is in time.
    pub fn is_full(&self) -> bool {
        let samples = self
            .video
            .samples
            .len()
            .saturating_add(self.audio.samples.len());
        self.size_bytes() >= RECORD_FRAGMENT_FULL_BYTES || samples >= RECORD_FRAGMENT_FULL_SAMPLES
    }

    /// Whether a sample of `ticks` more on a track of `timescale` stays within
    /// [`RECORD_FRAGMENT_SPAN`].
    pub(super) fn has_time(&self, kind: TrackKind, ticks: u32, timescale: u32) -> bool {
        let span_ticks = match kind {
            TrackKind::Video => self.video.span_ticks,
            TrackKind::Audio => self.audio.span_ticks,
        };
        let cap_ticks = RECORD_FRAGMENT_SPAN.scaled(timescale.into(), 1_000_000);
        span_ticks.saturating_add(ticks.into()) <= cap_ticks.as_us()
    }

    /// When the fragment ends if it begins at `base`: the base of the next one.
    pub fn end(&self, base: Times) -> Times {
        Times {
            video: base.video.saturating_add(self.video.span_ticks),
            audio: base.audio.saturating_add(self.audio.span_ticks),
        }
    }

    /// Empties it into one buffer: a `moof` under the type `free`, and an
    /// `mdat`. [`FLIP_TO`] belongs at [`FLIP_AT`] when all of it is written.
    /// `sequence` rises strictly from 1; `base` is where the last one ended.
    pub fn take(&mut self, sequence: u32, base: Times) -> Vec<u8> {
        self.take_as(&UNFINISHED, sequence, base)
    }

    /// The same under the type `kind`.
    pub(super) fn take_as(&mut self, kind: &Kind, sequence: u32, base: Times) -> Vec<u8> {
        const BOXES_BYTES: usize = 256;
        const ROW_BYTES: usize = 16;
        let rows = self
            .video
            .samples
            .len()
            .saturating_add(self.audio.samples.len());
        let room = rows.saturating_mul(ROW_BYTES).saturating_add(BOXES_BYTES);
        let mut out = Vec::with_capacity(room.saturating_add(self.size_bytes()));
        let runs: Vec<(TrackKind, u64, &[Sample])> = [
            (TrackKind::Video, base.video, &self.video.samples[..]),
            (TrackKind::Audio, base.audio, &self.audio.samples[..]),
        ]
        .into_iter()
        .filter(|(_, _, samples)| !samples.is_empty())
        .collect();
        moof::write(&mut out, kind, sequence, &runs);
        write_box(&mut out, b"mdat", |out| {
            out.extend_from_slice(&self.video.bytes);
            out.extend_from_slice(&self.audio.bytes);
        });
        self.video.clear();
        self.audio.clear();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::record::index::{Stop, index};
    use crate::record::made::{made, piece};
    use crate::record::store::Memory;

    #[test]
    fn both_brands_have_the_length_of_their_place() {
        for form in [Form::Init, Form::Whole] {
            assert_eq!(brands(form).len() as u64, BRANDS_BYTES);
        }
    }

    #[test]
    fn a_recording_begins_without_samples() {
        let mut noise = Noise::new(1);
        for _ in 0..20 {
            let made = made(&mut noise, 0);
            let mut store = Memory {
                bytes: init_segment(&made.layout),
            };
            let index = index(&mut store).unwrap();
            assert_eq!(index.movie, Movie::of(&made.layout));
            assert_eq!(index.end, store.bytes.len() as u64);
        }
    }

    #[test]
    fn fragments_are_found_as_pushed() {
        let mut noise = Noise::new(2);
        for _ in 0..60 {
            let made = made(&mut noise, 5);
            let (mut store, ends) = made.growing();
            let index = index(&mut store).unwrap();
            assert_eq!((index.stop, index.lost_fragments), (Stop::End, 0));
            assert_eq!((index.gaps, index.end), (0, ends[5] as u64));
            for track in index.movie.tracks() {
                let expected = made.of(track.kind, 5);
                let rows: Vec<_> = track.table.rows().collect();
                assert_eq!(rows.len(), expected.len());
                for (row, (_, sample, bytes)) in rows.iter().zip(&expected) {
                    assert_eq!(row.sample, *sample);
                    let stored = &store.bytes[row.offset as usize..row.end() as usize];
                    assert_eq!(stored, bytes);
                }
            }
        }
    }

    #[test]
    fn until_the_flip_a_fragment_is_skipped() {
        let made = made(&mut Noise::new(3), 3);
        let mut store = Memory {
            bytes: init_segment(&made.layout),
        };
        let init_end = store.bytes.len() as u64;
        for buffer in made.buffers() {
            store.bytes.extend(buffer);
        }
        let index = index(&mut store).unwrap();
        assert_eq!((index.movie.samples(), index.end), (0, init_end));
        assert_eq!(index.stop, Stop::End);
    }

    #[test]
    fn fragments_are_full_in_bytes_or_samples() {
        let mut noise = Noise::new(4);
        let (kind, sample, _) = piece(&mut noise, TrackKind::Video);
        let mut fragment = Fragment::new();
        assert!(fragment.is_empty() && !fragment.is_full());
        fragment.push(kind, sample, &vec![0; RECORD_FRAGMENT_FULL_BYTES]);
        assert!(fragment.is_full() && fragment.size_bytes() == RECORD_FRAGMENT_FULL_BYTES);
        fragment.take(1, Times::default());
        assert!(fragment.is_empty() && fragment.size_bytes() == 0);
        for _ in 0..RECORD_FRAGMENT_FULL_SAMPLES {
            assert!(!fragment.is_full());
            fragment.push(TrackKind::Audio, sample, &[]);
        }
        assert!(fragment.is_full());
    }
}
