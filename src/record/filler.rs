//! Samples that come one after another, in the order they are written.

use super::layout::{Sample, TrackKind};

/// Samples of both tracks of a file, each track's in decoding order, the tracks
/// interleaved by time.
pub trait Samples {
    /// The next sample and its bytes, which are `size_bytes` long; `None` at the
    /// end, and from then on.
    fn next(&mut self) -> Option<(TrackKind, Sample, &[u8])>;
}
