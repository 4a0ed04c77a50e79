//! From any sampling rate to 48 kHz: a polyphase windowed-sinc filter with
//! exact rational steps, so that an hour of sound stays an hour. Output sample
//! 0 is at input sample 0: the filter's delay is waiting, not a shift.

use super::TICKS_PER_S;

/// Half the filter's length in input samples, for a rate below 48 kHz.
const HALF: usize = 32;

/// Where the filter is down to a half, in parts of the lower sampling rate.
/// With [`BETA`] and [`HALF`]: flat to 0.43 of it (19 kHz of 44.1 kHz), 90 dB
/// down from 0.52.
const CUTOFF: f64 = 0.475;

/// Kaiser window for about 90 dB.
const BETA: f64 = 9.0;

pub struct Resampler {
    channels: usize,
    /// Output samples per [`Resampler::down`] input samples.
    up: usize,
    down: usize,
    half: usize,
    /// `up` filters, one for each position between two input samples, each of
    /// `2 * half` taps.
    filters: Vec<f32>,
    /// Of each channel, the input the next output samples need.
    history: Vec<Vec<f32>>,
    /// Of the next output sample, in `1 / up` input samples after the start of
    /// the history.
    position: usize,
}

impl Resampler {
    /// `None` at 48 kHz: there is nothing to do. `rate` is at most 192 kHz, and
    /// not 0.
    pub fn new(rate: u32, channels: usize) -> Option<Self> {
        if rate == TICKS_PER_S || rate == 0 {
            return None;
        }
        let common = gcd(rate, TICKS_PER_S);
        let (up, down) = ((TICKS_PER_S / common) as usize, (rate / common) as usize);
        let narrowing = (up as f64 / down as f64).min(1.0);
        // Whole chunks of eight taps, see `dot`.
        let half = ((HALF as f64 / narrowing).ceil() as usize).next_multiple_of(4);
        let mut resampler = Resampler {
            channels,
            up,
            down,
            half,
            filters: filters(up, half, CUTOFF * narrowing),
            history: Vec::new(),
            position: 0,
        };
        resampler.restart();
        Some(resampler)
    }

    /// Forgets what went through: the next input sample is number 0.
    pub fn restart(&mut self) {
        self.position = 0;
        self.history = vec![vec![0.0; self.half - 1]; self.channels];
    }

    /// Takes interleaved samples and appends the output that is ready, also
    /// interleaved.
    pub fn push(&mut self, input: &[f32], output: &mut Vec<f32>) {
        for (channel, history) in self.history.iter_mut().enumerate() {
            history.extend(input.iter().skip(channel).step_by(self.channels));
        }
        let taps = 2 * self.half;
        loop {
            let (start, phase) = (self.position / self.up, self.position % self.up);
            let Some(filter) = self.filters.get(phase * taps..(phase + 1) * taps) else {
                break;
            };
            let inside = |history: &Vec<f32>| history.len() >= start + taps;
            if !self.history.iter().all(inside) {
                break;
            }
            for history in &self.history {
                output.push(dot(filter, history.get(start..start + taps).unwrap_or(&[])));
            }
            self.position += self.down;
        }
        let used = self.position / self.up;
        for history in &mut self.history {
            history.drain(..used.min(history.len()));
        }
        self.position -= used * self.up;
    }

    /// Appends what still waits for its future, as if silence came.
    pub fn drain(&mut self, output: &mut Vec<f32>) {
        self.push(&vec![0.0; self.half * self.channels], output);
        self.restart();
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One filter per position between two input samples. Tap `k` of the filter for
/// the position `phase / up` weighs the input sample `k - half + 1` away.
fn filters(up: usize, half: usize, cutoff: f64) -> Vec<f32> {
    let mut filters = Vec::with_capacity(up * 2 * half);
    for phase in 0..up {
        let position = phase as f64 / up as f64;
        let taps: Vec<f64> = (0..2 * half)
            .map(|k| {
                let away = k as f64 - (half as f64 - 1.0) - position;
                sinc(2.0 * cutoff * away) * kaiser(away / half as f64)
            })
            .collect();
        // Each position passes a constant unchanged.
        let sum: f64 = taps.iter().sum();
        filters.extend(taps.iter().map(|tap| (tap / sum) as f32));
    }
    filters
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// The Kaiser window over -1 to 1.
///
/// Not divided by its middle: the filters are scaled by their sums anyway.
fn kaiser(x: f64) -> f64 {
    bessel_i0(BETA * (1.0 - x * x).max(0.0).sqrt())
}

fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 0.0);
    while term > 1e-9 * sum {
        k += 1.0;
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
    }
    sum
}

/// In eight lanes, which the compiler makes vector instructions of.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u32; 11] = [
        7_350, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 88_200, 96_000,
    ];

    fn tone(rate: u32, hz: f64, samples: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        (0..samples)
            .map(|n| (n as f64 * step).sin() as f32)
            .collect()
    }

    fn resampled(rate: u32, input: &[f32], block: usize) -> Vec<f32> {
        let (mut resampler, mut output) = (Resampler::new(rate, 1).unwrap(), Vec::new());
        for block in input.chunks(block) {
            resampler.push(block, &mut output);
        }
        resampler.drain(&mut output);
        output
    }

    #[test]
    fn a_tone_comes_out_where_it_was() {
        for rate in RATES {
            let hz = 0.4 * f64::from(rate.min(TICKS_PER_S));
            let output = resampled(rate, &tone(rate, hz, rate as usize), 1_024);
            let ideal = tone(TICKS_PER_S, hz, output.len());
            let middle = 2_000..output.len() - 2_000;
            let pairs = output[middle.clone()].iter().zip(&ideal[middle]);
            let (mut noise, mut signal) = (0.0, 0.0);
            for (a, b) in pairs {
                noise += f64::from(a - b).powi(2);
                signal += f64::from(*b).powi(2);
            }
            let snr_db = 10.0 * (signal / noise).log10();
            assert!(snr_db > 80.0, "{rate} Hz: {snr_db:.1} dB");
        }
    }

    #[test]
    fn time_is_kept_exactly() {
        for rate in RATES {
            let output = resampled(rate, &vec![0.5; rate as usize * 3], 777);
            assert!(
                output.len().abs_diff(3 * TICKS_PER_S as usize) <= 7,
                "{rate} Hz: {}",
                output.len()
            );
        }
    }

    #[test]
    fn blocks_make_no_difference() {
        let input = tone(44_100, 997.0, 30_000);
        let whole = resampled(44_100, &input, input.len());
        for block in [1, 7, 1_024] {
            assert_eq!(resampled(44_100, &input, block), whole);
        }
    }

    #[test]
    fn what_the_target_cannot_hold_is_taken_out() {
        let output = resampled(96_000, &tone(96_000, 30_000.0, 96_000), 1_024);
        let loudest = output[2_000..46_000]
            .iter()
            .fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(loudest < 1e-4, "{loudest}");
    }

    #[test]
    fn channels_stay_apart() {
        let mut resampler = Resampler::new(44_100, 2).unwrap();
        let input: Vec<f32> = (0..4_000).flat_map(|_| [0.25, -0.5]).collect();
        let mut output = Vec::new();
        resampler.push(&input, &mut output);
        let frame = &output[2_000..2_002];
        assert!(
            (frame[0] - 0.25).abs() < 1e-5 && (frame[1] + 0.5).abs() < 1e-5,
            "{frame:?}"
        );
    }

    #[test]
    fn nothing_is_done_at_48_khz() {
        assert!(Resampler::new(48_000, 2).is_none());
    }
}
