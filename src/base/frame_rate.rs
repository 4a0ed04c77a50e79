//! How many pictures a second has, as a fraction: 30,000 in 1,001 s.

use super::limits::{FRAME_RATE_MAX_HZ, FRAME_RATE_MIN_HZ};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    frames: u32,
    seconds: u32,
}

impl FrameRate {
    /// What browsers and encoders send unless told otherwise.
    pub const USUAL: FrameRate = FrameRate {
        frames: 30,
        seconds: 1,
    };

    /// So many frames in so many seconds. `None` outside
    /// [`FRAME_RATE_MIN_HZ`] to [`FRAME_RATE_MAX_HZ`].
    pub fn new(frames: u32, seconds: u32) -> Option<FrameRate> {
        let (count, time) = (u64::from(frames), u64::from(seconds));
        let is_plausible = time > 0
            && count >= time * u64::from(FRAME_RATE_MIN_HZ)
            && count <= time * u64::from(FRAME_RATE_MAX_HZ);
        is_plausible.then_some(FrameRate { frames, seconds })
    }

    /// When frame `index` begins, in a time of `timescale` ticks a second:
    /// rounded down each for itself, so that no error adds up.
    pub fn start_ticks(self, index: u64, timescale: u32) -> u64 {
        let ticks = u128::from(index) * u128::from(timescale) * u128::from(self.seconds);
        u64::try_from(ticks / u128::from(self.frames.max(1))).unwrap_or(u64::MAX)
    }

    /// Frames in a time, the nearest number; at least one.
    pub fn frames_in(self, seconds: u32) -> u32 {
        let (count, time) = (u64::from(self.frames), u64::from(self.seconds.max(1)));
        let nearest = (count * u64::from(seconds) + time / 2) / time;
        u32::try_from(nearest).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implausible_rates_are_none() {
        for (frames, seconds) in [(0, 1), (30, 0), (0, 0), (1_000, 1), (1, 2), (u32::MAX, 1)] {
            assert_eq!(FrameRate::new(frames, seconds), None, "{frames}/{seconds}");
        }
        assert_eq!(FrameRate::new(30, 1), Some(FrameRate::USUAL));
        assert!(FrameRate::new(1, 1).is_some() && FrameRate::new(240, 2).is_some());
        assert!(FrameRate::new(u32::MAX, u32::MAX).is_some());
    }

    #[test]
    fn frames_begin_where_they_should_for_hours() {
        let film = FrameRate::new(30_000, 1_001).unwrap();
        let starts: Vec<u64> = (0..3)
            .map(|index| film.start_ticks(index, 90_000))
            .collect();
        assert_eq!(starts, [0, 3_003, 6_006]);
        let third = FrameRate::new(7, 1).unwrap();
        assert_eq!(third.start_ticks(1, 90_000), 12_857);
        assert_eq!(third.start_ticks(7 * 86_400, 90_000), 90_000 * 86_400);
        assert_eq!(FrameRate::USUAL.start_ticks(u64::MAX, u32::MAX), u64::MAX);
    }

    #[test]
    fn frames_in_seconds() {
        assert_eq!(FrameRate::USUAL.frames_in(2), 60);
        assert_eq!(FrameRate::new(30_000, 1_001).unwrap().frames_in(2), 60);
        assert_eq!(FrameRate::new(1, 1).unwrap().frames_in(0), 1);
    }
}
