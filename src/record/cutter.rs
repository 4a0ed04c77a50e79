//! Samples in a row cut into fragments of at most [`RECORD_FRAGMENT_SPAN`].
//! Owns the fragment that grows and the times it begins at; drops samples of
//! tracks that the file does not have.
//!
//! [`RECORD_FRAGMENT_SPAN`]: crate::base::limits::RECORD_FRAGMENT_SPAN

use super::fmp4::{Fragment, Times};
use super::layout::{Sample, Samples, TrackKind};
use crate::wire::bmff::Kind;

/// Ticks in a second of each track that the file has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timescales {
    pub video: Option<u32>,
    pub audio: Option<u32>,
}

impl Timescales {
    fn of(&self, kind: TrackKind) -> Option<u32> {
        match kind {
            TrackKind::Video => self.video,
            TrackKind::Audio => self.audio,
        }
    }
}

pub(super) struct Cutter {
    timescales: Timescales,
    fragment: Fragment,
    /// Where the fragment begins.
    base: Times,
    /// Of the next fragment.
    sequence: u32,
}

impl Cutter {
    pub fn new(timescales: Timescales, base: Times, sequence: u32) -> Self {
        Cutter {
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

    /// The next fragment, its `moof` under the type `kind`; `None` when all
    /// samples have been given out.
    pub fn next(&mut self, kind: &Kind, samples: &mut impl Samples) -> Option<Vec<u8>> {
        while let Some((track, sample, bytes)) = samples.next() {
            let Some(timescale) = self.timescales.of(track) else {
                continue;
            };
            let is_over = self.is_over(track, &sample, timescale);
            let fragment = if is_over { self.take(kind) } else { None };
            self.fragment.push(track, sample, bytes);
            if fragment.is_some() {
                return fragment;
            }
        }
        self.take(kind)
    }

    /// Whether `sample` belongs to the fragment after this one.
    fn is_over(&self, track: TrackKind, sample: &Sample, timescale: u32) -> bool {
        let has_time = self.fragment.has_time(track, sample.duration, timescale);
        self.fragment.is_full() || !has_time
    }

    fn take(&mut self, kind: &Kind) -> Option<Vec<u8>> {
        if self.fragment.is_empty() {
            return None;
        }
        let end = self.fragment.end(self.base);
        let bytes = self.fragment.take_as(kind, self.sequence, self.base);
        self.base = end;
        self.sequence = self.sequence.saturating_add(1);
        Some(bytes)
    }
}
