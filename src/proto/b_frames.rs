//! Whether an H.264 publication has B-frames, which browsers play jerkily or
//! not at all: WebRTC has no reordering. Owns the judgement, from slice types
//! and from presentation times that go back in decoding order. A composition
//! offset alone says nothing: encoders shift it, and round it, without
//! B-frames. Refuses to remove them.

use crate::base::limits::{B_FRAMES_GONE, B_FRAMES_GONE_PICTURES};
use crate::base::time::Time;

/// A judgement that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The publication has B-frames.
    Started,
    /// It has had none for [`B_FRAMES_GONE`] and
    /// [`B_FRAMES_GONE_PICTURES`] pictures.
    Stopped,
}

/// Watches the pictures of one publication in decoding order.
#[derive(Clone, Copy, Debug, Default)]
pub struct BFrameWatch {
    /// Decoding time of the last picture, and the latest presentation time.
    last: Option<Times>,
    /// The last sign of B-frames; `None` while there are none.
    seen: Option<Sign>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    dts_ms: u64,
    latest_pts_ms: i128,
}

#[derive(Clone, Copy, Debug)]
struct Sign {
    at: Time,
    pictures_since: u32,
}

impl BFrameWatch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the publication has B-frames as far as known.
    pub fn has_b_frames(&self) -> bool {
        self.seen.is_some()
    }

    /// Takes the next picture, at `now`: its decoding time, its composition offset (may
    /// be negative) and whether any slice of it is of type B.
    pub fn on_frame(
        &mut self,
        now: Time,
        dts_ms: u64,
        composition_ms: i32,
        slice_is_b: bool,
    ) -> Option<Change> {
        let goes_back = self.goes_back(dts_ms, composition_ms);
        if slice_is_b || goes_back {
            let before = self.seen.replace(Sign {
                at: now,
                pictures_since: 0,
            });
            return before.is_none().then_some(Change::Started);
        }
        let sign = self.seen.as_mut()?;
        sign.pictures_since = sign.pictures_since.saturating_add(1);
        // By the time that passes: decoding times are the publisher's to claim.
        let is_long_ago =
            now.since(sign.at) >= B_FRAMES_GONE && sign.pictures_since >= B_FRAMES_GONE_PICTURES;
        if !is_long_ago {
            return None;
        }
        self.seen = None;
        Some(Change::Stopped)
    }

    /// Whether the presentation time is before an earlier picture's though
    /// decoding time went on.
    fn goes_back(&mut self, dts_ms: u64, composition_ms: i32) -> bool {
        let pts_ms = i128::from(dts_ms) + i128::from(composition_ms);
        let last = self.last.filter(|last| last.dts_ms <= dts_ms);
        self.last = Some(Times {
            dts_ms,
            latest_pts_ms: last.map_or(pts_ms, |last| last.latest_pts_ms.max(pts_ms)),
        });
        last.is_some_and(|last| pts_ms < last.latest_pts_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that comes when it is decoded.
    fn take(watch: &mut BFrameWatch, dts_ms: u64, cts_ms: i32, is_b: bool) -> Option<Change> {
        let now = Time::from_us(dts_ms.min(1 << 40) * 1_000);
        watch.on_frame(now, dts_ms, cts_ms, is_b)
    }

    /// I, then P B B over and over, at 25 pictures/s; `from` is the first.
    fn with_b(from: u64) -> impl Iterator<Item = (u64, i32)> {
        (from..).map(|picture| {
            let composition = match picture % 3 {
                1 => 120,
                _ => 0,
            };
            (picture * 40, composition)
        })
    }

    #[test]
    fn presentation_times_that_go_back() {
        let mut watch = BFrameWatch::new();
        let changes: Vec<_> = with_b(0)
            .take(100)
            .enumerate()
            .filter_map(|(at, (dts, cts))| Some((at, take(&mut watch, dts, cts, false)?)))
            .collect();
        assert_eq!(changes, [(2, Change::Started)]);
        assert!(watch.has_b_frames());
    }

    #[test]
    fn b_slices_without_offsets() {
        let mut watch = BFrameWatch::new();
        assert_eq!(take(&mut watch, 0, 0, false), None);
        assert_eq!(take(&mut watch, 40, 0, true), Some(Change::Started));
        assert_eq!(take(&mut watch, 80, 0, true), None);
    }

    #[test]
    fn a_shifted_or_rounded_offset_is_no_b_frame() {
        let mut watch = BFrameWatch::new();
        for picture in 0..10_000u64 {
            let composition = 80 + (picture % 3) as i32;
            assert_eq!(
                take(&mut watch, picture * 1_000 / 30, composition, false),
                None
            );
        }
        let mut watch = BFrameWatch::new();
        for picture in 0..100 {
            assert_eq!(take(&mut watch, picture * 40, -80, false), None);
        }
    }

    #[test]
    fn they_have_stopped_after_time_and_pictures() {
        let mut watch = BFrameWatch::new();
        take(&mut watch, 0, 0, true);
        let stopped = (1..10_000u64).find(|at| take(&mut watch, at * 40, 0, false).is_some());
        assert_eq!(stopped, Some(250));
        assert!(!watch.has_b_frames());
        // At one picture a second the count decides.
        take(&mut watch, 500_000, 0, true);
        let stopped = (1..).find(|at| take(&mut watch, 500_000 + at * 1_000, 0, false).is_some());
        assert_eq!(stopped, Some(60));
    }

    #[test]
    fn a_clock_set_back_is_no_b_frame_and_one_that_runs_brings_no_end() {
        let mut watch = BFrameWatch::new();
        assert_eq!(take(&mut watch, 1_000_000, 0, false), None);
        assert_eq!(take(&mut watch, 0, 0, false), None);
        let now = Time::from_us(5_000_000);
        watch.on_frame(now, 5_000_000, 0, true);
        for hours in 0..1_000 {
            assert_eq!(watch.on_frame(now, hours * 3_600_000, 0, false), None);
        }
        let later = now + B_FRAMES_GONE;
        let stopped = watch.on_frame(later, 0, 0, false);
        assert_eq!(stopped, Some(Change::Stopped));
        watch.on_frame(later, u64::MAX, i32::MAX, false);
        watch.on_frame(later, u64::MAX, i32::MIN, false);
    }
}
