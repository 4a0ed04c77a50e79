//! Where decoded sound belongs: compares the time frames claim with the samples
//! that came, and brings them to 48 kHz. Owns the resampler.

use super::TICKS_PER_S;
use super::decode::Pcm;
use super::framer::Framer;
use super::resample::Resampler;
use crate::base::limits::AUDIO_GAP_FILLED_MAX_TICKS;

/// Error of claimed time, on average, beyond which frames are stretched: 2 ms.
/// Lip sync needs ten times as much; rounding to milliseconds makes a quarter.
const STEER_TICKS: i64 = 96;

/// The average is over about this many frames.
const AVERAGE_FRAMES: i64 = 32;

/// A frame's place, seen from the end of what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    First,
    Follows,
    /// So many ticks are missing before it.
    Gap(i64),
    /// Its first so many ticks were there already.
    Overlap(i64),
    /// Too far away to be filled or cut.
    Jump,
    /// It comes at another sampling rate than what was before.
    NewRate,
}

pub struct Timeline {
    channels: usize,
    jitter_ticks: i64,
    line: Option<Line>,
}

/// Sound of one sampling rate without a jump.
struct Line {
    rate: u32,
    /// When its first sample is.
    start: i64,
    samples: i64,
    resampler: Option<Resampler>,
    /// At 48 kHz, for the framer.
    ready: Vec<f32>,
    /// Claimed minus counted time, averaged, in ticks times [`AVERAGE_FRAMES`].
    error: i64,
}

impl Timeline {
    /// `jitter_ticks`: how far a claimed time may be off without anything being
    /// missing.
    pub fn new(channels: usize, jitter_ticks: i64) -> Self {
        Timeline {
            channels,
            jitter_ticks,
            line: None,
        }
    }

    pub fn jitter_ticks(&self) -> i64 {
        self.jitter_ticks
    }

    /// When the next sample is, by the count of samples.
    pub fn expected(&self) -> Option<i64> {
        self.line.as_ref().map(Line::end)
    }

    pub fn place(&mut self, at: i64, pcm: &Pcm) -> Placement {
        let Some(line) = &mut self.line else {
            return Placement::First;
        };
        let off = at - line.end();
        if off.abs() > AUDIO_GAP_FILLED_MAX_TICKS {
            Placement::Jump
        } else if line.rate != pcm.rate {
            Placement::NewRate
        } else if off > self.jitter_ticks {
            line.error = 0;
            Placement::Gap(off)
        } else if off < -self.jitter_ticks {
            line.error = 0;
            Placement::Overlap(-off)
        } else {
            line.error += off - line.error / AVERAGE_FRAMES;
            Placement::Follows
        }
    }

    /// The next sample is of the time `at` and of this sampling rate.
    pub fn start(&mut self, at: i64, rate: u32) {
        // Its filters are kept if they fit.
        let kept = self.line.take().filter(|line| line.rate == rate);
        let resampler = kept.and_then(|line| line.resampler);
        self.line = Some(Line {
            rate,
            start: at,
            samples: 0,
            resampler: resampler.or_else(|| Resampler::new(rate, self.channels)),
            ready: Vec::new(),
            error: 0,
        });
    }

    /// Makes a following frame a sample longer or shorter while the average
    /// claimed time is off: the sender's clock and ours differ.
    pub fn steer(&mut self, pcm: &mut Pcm) {
        let Some(line) = &mut self.line else {
            return;
        };
        let off = line.error / AVERAGE_FRAMES;
        if off.abs() > STEER_TICKS {
            pcm.stretch(off > 0);
            let sample = i64::from(TICKS_PER_S / line.rate.max(1)).max(1);
            line.error -= off.signum() * sample * AVERAGE_FRAMES;
        }
    }

    pub fn silence(&mut self, ticks: i64) {
        let channels = self.channels;
        if let Some(line) = &mut self.line {
            let frames = ticks * i64::from(line.rate) / i64::from(TICKS_PER_S);
            let samples = usize::try_from(frames).unwrap_or(0) * channels;
            line.push(&vec![0.0; samples], channels);
        }
    }

    pub fn append(&mut self, pcm: &Pcm) {
        if let Some(line) = &mut self.line {
            line.push(&pcm.samples, self.channels);
        }
    }

    /// Hands over what is ready.
    pub fn take(&mut self, framer: &mut Framer) {
        if let Some(line) = &mut self.line {
            framer.push(&line.ready);
            line.ready.clear();
        }
    }

    /// Hands over what is ready and what waits for more.
    pub fn drain(&mut self, framer: &mut Framer) {
        if let Some(line) = &mut self.line
            && let Some(resampler) = &mut line.resampler
        {
            resampler.drain(&mut line.ready);
        }
        self.take(framer);
    }
}

impl Line {
    fn end(&self) -> i64 {
        self.start + self.samples * i64::from(TICKS_PER_S) / i64::from(self.rate.max(1))
    }

    fn push(&mut self, samples: &[f32], channels: usize) {
        self.samples += (samples.len() / channels) as i64;
        match &mut self.resampler {
            Some(resampler) => resampler.push(samples, &mut self.ready),
            None => self.ready.extend_from_slice(samples),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcm(rate: u32, samples: usize) -> Pcm {
        Pcm {
            rate,
            channels: 1,
            samples: vec![0.5; samples],
        }
    }

    fn started(rate: u32) -> Timeline {
        let mut timeline = Timeline::new(1, 720);
        assert_eq!(timeline.place(100, &pcm(rate, 1)), Placement::First);
        timeline.start(100, rate);
        timeline.append(&pcm(rate, rate as usize / 50));
        timeline
    }

    #[test]
    fn frames_are_judged_by_the_samples_before_them() {
        let mut timeline = started(16_000);
        let frame = pcm(16_000, 320);
        assert_eq!(timeline.expected(), Some(1_060));
        assert_eq!(timeline.place(1_060, &frame), Placement::Follows);
        assert_eq!(timeline.place(1_060 + 720, &frame), Placement::Follows);
        assert_eq!(timeline.place(1_060 + 960, &frame), Placement::Gap(960));
        assert_eq!(timeline.place(1_060 - 960, &frame), Placement::Overlap(960));
        assert_eq!(timeline.place(1_060 + 48_001, &frame), Placement::Jump);
        assert_eq!(timeline.place(-48_000, &frame), Placement::Jump);
        assert_eq!(timeline.place(1_060, &pcm(8_000, 160)), Placement::NewRate);
        timeline.silence(960);
        assert_eq!(timeline.expected(), Some(2_020));
    }

    #[test]
    fn a_clock_that_runs_fast_is_followed_without_gaps() {
        // 200 parts in a million, over ten minutes: 120 ms in the end.
        for drift in [200, -200] {
            let mut timeline = started(48_000);
            let mut worst = 0;
            for n in 1..30_000i64 {
                let at = 100 + n * 960 + n * 960 * drift / 1_000_000;
                let mut frame = pcm(48_000, 960);
                assert_eq!(timeline.place(at, &frame), Placement::Follows);
                timeline.steer(&mut frame);
                timeline.append(&frame);
                worst = worst.max((at + 960 - timeline.expected().unwrap()).abs());
            }
            assert!(worst < 240, "{worst} ticks off");
        }
    }
}
