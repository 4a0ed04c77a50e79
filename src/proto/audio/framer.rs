//! Sound at 48 kHz cut to the frames an encoder takes, each with the time its
//! listener will hear it: the encoder's delay is taken off here.

/// What frames an encoder takes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Samples of one channel in a frame.
    pub samples: usize,
    /// Frames start at multiples of so many ticks.
    pub grid_ticks: i64,
    /// A frame's sound is heard so much later than the frame starts, when
    /// decoded.
    pub delay_ticks: i64,
}

pub struct Framer {
    channels: usize,
    shape: Shape,
    /// Interleaved samples from `next + delay` on.
    samples: Vec<f32>,
    /// When the next frame starts, in ticks.
    next: i64,
    /// Samples of all channels still to drop before the next frame.
    skipped: usize,
}

impl Framer {
    pub fn new(channels: usize, shape: Shape) -> Self {
        Framer {
            channels,
            shape,
            samples: Vec::new(),
            next: 0,
            skipped: 0,
        }
    }

    /// From here on samples are of the time `at` and after. What was incomplete
    /// is lost: see [`Framer::pad`].
    pub fn anchor(&mut self, at: i64) {
        let Shape {
            grid_ticks,
            delay_ticks,
            ..
        } = self.shape;
        if at == self.end() {
            return;
        }
        self.samples.clear();
        let start = at - delay_ticks;
        let earliest = start - start.rem_euclid(grid_ticks);
        // Output has no time before 0.
        self.next = earliest.max(0);
        let lead = at - (self.next + delay_ticks);
        let silent = usize::try_from(lead).unwrap_or(0);
        self.samples.resize(silent * self.channels, 0.0);
        self.skipped = usize::try_from(-lead).unwrap_or(0) * self.channels;
    }

    /// Where the next sample belongs.
    pub fn end(&self) -> i64 {
        let pending = self.samples.len() as i64 - self.skipped as i64;
        self.next + self.shape.delay_ticks + pending / self.channels as i64
    }

    /// Appends interleaved samples.
    pub fn push(&mut self, samples: &[f32]) {
        let skipped = self.skipped.min(samples.len());
        self.skipped -= skipped;
        self.samples.extend(samples.iter().skip(skipped));
    }

    /// Completes what was begun, and what the encoder still holds, with silence.
    pub fn pad(&mut self) {
        if self.samples.is_empty() {
            return;
        }
        let delayed = self.shape.delay_ticks as usize * self.channels;
        let whole = (self.samples.len() + delayed).next_multiple_of(self.frame_len());
        self.samples.resize(whole, 0.0);
    }

    /// Gives away each complete frame with its start in ticks.
    pub fn frames(&mut self, mut take: impl FnMut(u64, &[f32])) {
        let length = self.frame_len();
        let complete = self.samples.len() / length * length;
        for frame in self.samples.chunks_exact(length) {
            take(self.next.max(0).cast_unsigned(), frame);
            self.next += self.shape.samples as i64;
        }
        self.samples.drain(..complete);
    }

    fn frame_len(&self) -> usize {
        self.shape.samples * self.channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPUS: Shape = Shape {
        samples: 960,
        grid_ticks: 960,
        delay_ticks: 312,
    };

    fn frames(framer: &mut Framer) -> Vec<(u64, Vec<f32>)> {
        let mut frames = Vec::new();
        framer.frames(|ticks, samples| frames.push((ticks, samples.to_vec())));
        frames
    }

    #[test]
    fn frames_start_on_the_grid_and_early_by_the_delay() {
        let mut framer = Framer::new(1, OPUS);
        framer.anchor(2_000);
        let samples: Vec<f32> = (0..2_000).map(|n| (2_000 + n) as f32).collect();
        framer.push(&samples);
        let frames = frames(&mut framer);
        let starts: Vec<u64> = frames.iter().map(|(ticks, _)| *ticks).collect();
        assert_eq!(starts, [960, 1_920]);
        // The decoder's sample 0 of the second frame is what was fed 312 earlier.
        assert_eq!(frames[1].1[0], (1_920 + 312) as f32);
        assert_eq!(frames[0].1[2_000 - 960 - 312 - 1], 0.0);
        assert_eq!(frames[0].1[2_000 - 960 - 312], 2_000.0);
    }

    #[test]
    fn what_would_be_heard_before_zero_is_cut() {
        let mut framer = Framer::new(1, OPUS);
        framer.anchor(0);
        framer.push(&(0..1_300).map(|n| n as f32).collect::<Vec<_>>());
        let frames = frames(&mut framer);
        assert_eq!((frames[0].0, frames[0].1[0]), (0, 312.0));
    }

    #[test]
    fn an_anchor_that_follows_changes_nothing() {
        let mut framer = Framer::new(2, OPUS);
        framer.anchor(9_600);
        framer.push(&[1.0; 100]);
        framer.anchor(9_650);
        framer.push(&[1.0; 4_000]);
        let frames = frames(&mut framer);
        assert_eq!((frames[0].0, frames[1].0), (8_640, 9_600));
        assert!(frames[1].1.iter().all(|sample| *sample == 1.0));
    }
}
