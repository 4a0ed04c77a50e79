//! What a recording wants done with its file, and what came of it. Each file has
//! one order under way at a time. Writes are a driver's own; whatever takes
//! longer ([`Begin`], finalising, [`Extend`]) is done beside the turn.

use bytes::Bytes;

use crate::record::filler::{Filler, FillerSamples, ParameterSets};
use crate::record::finalise::{FinaliseError, Finished, finalise};
use crate::record::fmp4::init_segment;
use crate::record::head::write_head;
use crate::record::layout::{Layout, VIDEO_TIMESCALE};
use crate::record::store::{FileFault, Store};
use crate::record::tail::extend;

/// A recording of one core. The core issues them, never reusing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId(pub u64);

#[derive(Clone, Debug)]
pub enum FileOrder {
    /// Make the file, under the name of one that is not whole yet, and write
    /// what every file begins with.
    Begin(Box<Begin>),
    /// Write bytes to the open file; fewer may be written.
    Write { offset: u64, bytes: Bytes },
    /// Have what was written on the medium.
    Sync,
    /// Make the file whole, close it and give it its name.
    Finish,
    /// Lengthen a file that is whole.
    Extend(Box<Extend>),
}

#[derive(Clone, Debug)]
pub struct Begin {
    /// A file's name, without folders.
    pub name: String,
    pub layout: Layout,
    /// What comes before the stream.
    pub head: Option<Stretch>,
}

#[derive(Clone, Debug)]
pub struct Extend {
    pub name: String,
    pub tail: Stretch,
}

/// Black pictures and silence, so many ticks of each track.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub filler: Filler,
    pub video_ticks: u64,
    pub audio_ticks: u64,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileDone {
    /// The file is there, so long. Its name is with this number, if it is not 1:
    /// others of the name were there.
    Begun {
        len_bytes: u64,
        number: u32,
    },
    Written {
        bytes: usize,
    },
    Synced,
    /// The file is whole; of an extension, again.
    Whole(Finished),
    Noted,
    /// Why nothing came of it, in words for an operator.
    Failed(&'static str),
}

impl Begin {
    /// Writes the beginning of an empty file. Returns its length.
    pub fn write(&self, store: &mut impl Store) -> Result<u64, FileFault> {
        let init = init_segment(&self.layout);
        store.write_at(0, &init)?;
        let len = init.len() as u64;
        let Some(head) = &self.head else {
            return Ok(len);
        };
        let samples = &mut head.samples(ParameterSets::OutOfBand);
        let written = write_head(store, len, FIRST_SEQUENCE, &self.layout, samples)?;
        Ok(len + written.len_bytes)
    }
}

/// Of a file's first fragment.
const FIRST_SEQUENCE: u32 = 1;

impl Stretch {
    /// A number above that of every fragment a head so long has: each fills a
    /// second, but for the last.
    pub fn sequence_after(&self, audio_timescale: u32) -> u32 {
        let video_s = self.video_ticks / u64::from(VIDEO_TIMESCALE);
        let audio_s = self.audio_ticks / u64::from(audio_timescale.max(1));
        let fragments = 2 * (video_s.max(audio_s) + 2);
        FIRST_SEQUENCE.saturating_add(u32::try_from(fragments).unwrap_or(u32::MAX / 2))
    }

    fn samples(&self, sets: ParameterSets) -> FillerSamples<'_> {
        self.filler.fill(self.video_ticks, self.audio_ticks, sets)
    }
}

impl Extend {
    pub fn write(&self, store: &mut impl Store) -> Result<Finished, FinaliseError> {
        extend(store, &mut self.tail.samples(ParameterSets::InBand))
    }
}

/// Makes the file whole.
pub fn finish(store: &mut impl Store) -> Result<Finished, FinaliseError> {
    finalise(store)
}
