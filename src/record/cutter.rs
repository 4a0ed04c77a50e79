//! Samples in a row cut into fragments of at most [`RECORD_FRAGMENT_SPAN`] of
//! either track: silence and black are written so late that they are further
//! behind the other track than a fragment is long.
//! Owns the fragment that grows and the times it begins at; drops samples of
//! tracks that the file does not have.
//!
//! [`RECORD_FRAGMENT_SPAN`]: crate::base::limits::RECORD_FRAGMENT_SPAN

use super::fmp4::{Fragment, Times};
use super::layout::{AudioTrack, Layout, Sample, Samples, TrackKind, VIDEO_TIMESCALE};
use super::sound::to_us;
use crate::wire::bmff::Kind;

/// Ticks in a second of each track that the file has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timescales {
    pub video: Option<u32>,
    pub audio: Option<u32>,
}

impl Timescales {
    pub fn of_layout(layout: &Layout) -> Self {
        Timescales {
            video: layout.video.as_ref().map(|_| VIDEO_TIMESCALE),
            audio: layout.audio.as_ref().map(AudioTrack::timescale),
        }
    }

    fn of(&self, kind: TrackKind) -> Option<u32> {
        match kind {
            TrackKind::Video => self.video,
            TrackKind::Audio => self.audio,
        }
    }
}

pub(super) struct Cutter {
    /// Under which each `moof` is written.
    kind: Kind,
    timescales: Timescales,
    fragment: Fragment,
    /// Where the fragment begins.
    base: Times,
    /// Of the next fragment.
    sequence: u32,
}

impl Cutter {
    /// One whose fragments have their `moof` under the type `kind`, begin at
    /// `base` and are numbered from `sequence` on.
    pub fn new(kind: Kind, timescales: Timescales, base: Times, sequence: u32) -> Self {
        Cutter {
            kind,
            timescales,
            fragment: Fragment::new(),
            base,
            sequence,
        }
    }

    /// Where the fragment given out last ended.
    pub fn end(&self) -> Times {
        self.base
    }

    /// The next fragment; `None` when all samples have been given out.
    pub fn next(&mut self, samples: &mut impl Samples) -> Option<Vec<u8>> {
        while let Some((track, sample, bytes)) = samples.next() {
            let fragment = self.push(track, sample, bytes);
            if fragment.is_some() {
                return fragment;
            }
        }
        self.take()
    }

    /// Takes a sample; the fragment before it, if the sample begins another.
    pub fn push(&mut self, track: TrackKind, sample: Sample, bytes: &[u8]) -> Option<Vec<u8>> {
        let timescale = self.timescales.of(track)?;
        let has_time = self.fragment.has_time(track, sample.duration, timescale);
        let is_over = self.fragment.is_full() || !has_time;
        let before = if is_over { self.take() } else { None };
        self.fragment.push(track, sample, bytes);
        before
    }

    /// What there is, as a fragment.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        if self.fragment.is_empty() {
            return None;
        }
        let end = self.fragment.end(self.base);
        let bytes = self.fragment.take_as(&self.kind, self.sequence, self.base);
        self.base = end;
        self.sequence = self.sequence.saturating_add(1);
        Some(bytes)
    }

    /// Since when the fragment grows, in microseconds: where the track of it
    /// begins that begins last. `None` of an empty one.
    pub fn grows_since_us(&self) -> Option<i64> {
        let end = self.fragment.end(self.base);
        let kinds = [TrackKind::Video, TrackKind::Audio].into_iter();
        let grown = kinds.filter(|kind| end.of(*kind) > self.base.of(*kind));
        let begins = grown.filter_map(|kind| {
            let timescale = self.timescales.of(kind)?;
            Some(to_us(self.base.of(kind), timescale))
        });
        begins.max()
    }
}
