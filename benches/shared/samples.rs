//! What was measured several times: medians, spreads, ratios.

use std::fmt;

/// One quantity, measured again and again.
#[derive(Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which `share` of the samples lie; NaN without samples.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// This series with another, sample by sample: measured close after each
    /// other, a pair shares the host's mood of the moment.
    pub fn with(&self, other: &Samples, combine: impl Fn(f64, f64) -> f64) -> Samples {
        let pairs = self.0.iter().zip(&other.0);
        Samples(pairs.map(|(a, b)| combine(*a, *b)).collect())
    }

    /// This series divided by another.
    pub fn over(&self, other: &Samples) -> Samples {
        self.with(other, |a, b| a / b)
    }
}

/// `median [min - p90]`, whole numbers unless a precision is asked for.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let text = format!(
            "{:.digits$} [{:.digits$} - {:.digits$}]",
            self.median(),
            self.quantile(0.0),
            self.quantile(0.9)
        );
        f.pad_integral(true, "", &text)
    }
}
