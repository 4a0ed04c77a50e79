//! A recording's video track: a sample lasts until the next begins, so the one
//! written last is held back until then.

use bytes::Bytes;

use crate::record::layout::{Sample, VIDEO_TIMESCALE};
use crate::record::sound::{to_ticks, to_us};

/// A millisecond: so long lasts a picture that claims to be over before it
/// began, as those of a burst from before the origin do. The next is shorter
/// for it. Tools complain of steps a thousand times as long as those before.
const PICTURE_MIN_TICKS: u64 = 90;

/// One picture on its way into the file.
#[derive(Clone, Debug)]
pub struct Picture {
    /// When it is decoded, in microseconds of the file.
    pub at_us: i64,
    /// From decoding to showing, in ticks of 90 kHz.
    pub composition: i32,
    pub is_key: bool,
    pub data: Bytes,
}

#[derive(Clone, Debug)]
pub struct PictureTrack {
    /// Where the next sample begins; of the held one, where it does.
    position: u64,
    held: Option<Picture>,
}

impl PictureTrack {
    /// A track whose next sample begins at `position`, in ticks of 90 kHz.
    pub fn new(position: u64) -> Self {
        PictureTrack {
            position,
            held: None,
        }
    }

    /// Where what is written ends.
    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn position_us(&self) -> i64 {
        to_us(self.position, VIDEO_TIMESCALE)
    }

    /// Until when the picture shown now is shown at least, if it lasts as long
    /// as others.
    pub fn shown_until_us(&self, picture_us: i64) -> Option<i64> {
        self.held.as_ref()?;
        Some(self.position_us().saturating_add(picture_us))
    }

    /// Whether a picture of the stream itself is shown.
    pub fn is_showing(&self) -> bool {
        self.held.is_some()
    }

    /// Takes the next picture in decoding order; `write` gets the one before.
    /// The first one begins where the track is, whenever it claims to be from.
    pub fn take(&mut self, picture: Picture, write: &mut dyn FnMut(Sample, &[u8])) {
        self.end_held(picture.at_us, write);
        self.held = Some(picture);
    }

    /// Ends the track at `until_us`.
    pub fn close(&mut self, until_us: i64, write: &mut dyn FnMut(Sample, &[u8])) {
        self.end_held(until_us, write);
    }

    /// Goes on behind samples written past this track, so many ticks long.
    pub fn skip(&mut self, ticks: u64) {
        self.position += ticks;
    }

    fn end_held(&mut self, until_us: i64, write: &mut dyn FnMut(Sample, &[u8])) {
        let Some(held) = self.held.take() else {
            return;
        };
        let until = u64::try_from(to_ticks(until_us, VIDEO_TIMESCALE)).unwrap_or_default();
        let duration = until.saturating_sub(self.position).max(PICTURE_MIN_TICKS);
        let duration = u32::try_from(duration).unwrap_or(u32::MAX);
        let sample = Sample {
            duration,
            composition: held.composition,
            is_sync: held.is_key,
            size_bytes: u32::try_from(held.data.len()).unwrap_or(u32::MAX),
        };
        write(sample, &held.data);
        self.position += u64::from(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(at_us: i64) -> Picture {
        Picture {
            at_us,
            composition: 0,
            is_key: at_us == 0,
            data: Bytes::from_static(b"picture"),
        }
    }

    #[test]
    fn a_picture_lasts_until_the_next() {
        let mut track = PictureTrack::new(0);
        let mut durations = Vec::new();
        let mut write = |sample: Sample, _: &[u8]| durations.push(sample.duration);
        for at_us in [0, 33_333, 66_667, 10_000_000, 9_000_000] {
            track.take(picture(at_us), &mut write);
        }
        track.close(10_100_000, &mut write);
        track.close(20_000_000, &mut write);
        assert_eq!(durations, [3_000, 3_000, 894_000, 90, 8_910]);
        assert_eq!(track.position_us(), 10_100_000);
    }

    #[test]
    fn the_first_begins_where_the_head_ends() {
        let mut track = PictureTrack::new(90_000);
        let mut durations = Vec::new();
        let mut write = |sample: Sample, _: &[u8]| durations.push(sample.duration);
        track.take(picture(1_000_400), &mut write);
        track.take(picture(1_040_000), &mut write);
        assert_eq!(durations, [3_600]);
    }
}
