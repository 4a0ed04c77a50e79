//! Counts of durations in buckets of equal relative width, so that quantiles are
//! true to a few per cent whatever their size. Mergeable, and JSON both ways.

use serde_json::{Value, json};

/// Buckets for each doubling: 32, so a bucket is 2 to 3 % wide.
const PER_DOUBLING_BITS: u32 = 5;
/// Up to 2^40 microseconds, twelve days.
const DOUBLINGS: usize = 36;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Sparse: bucket and count, by bucket.
    counts: Vec<u64>,
    pub max: u64,
    pub total: u64,
    pub sum: u64,
}

fn bucket_of(value: u64) -> usize {
    let small = 1 << PER_DOUBLING_BITS;
    if value < small {
        return value as usize;
    }
    let exponent = value.ilog2() - PER_DOUBLING_BITS;
    let mantissa = (value >> exponent) as usize - small as usize;
    let at = (exponent as usize + 1) * small as usize + mantissa;
    at.min((DOUBLINGS + 1) * small as usize - 1)
}

/// The largest value of a bucket.
fn top_of(bucket: usize) -> u64 {
    let small = 1_usize << PER_DOUBLING_BITS;
    if bucket < small {
        return bucket as u64;
    }
    let exponent = bucket / small - 1;
    let mantissa = bucket % small + small;
    ((mantissa as u64 + 1) << exponent) - 1
}

impl Histogram {
    pub fn record(&mut self, value: u64) {
        let at = bucket_of(value);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.total += 1;
        self.sum += value;
        self.max = self.max.max(value);
    }

    pub fn merge(&mut self, other: &Histogram) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// The value below which `share` of all lie; `None` of nothing.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(top_of(bucket).min(self.max));
            }
        }
        None
    }

    pub fn mean(&self) -> Option<f64> {
        (self.total > 0).then(|| self.sum as f64 / self.total as f64)
    }

    /// Each value with the share of all up to it, for a curve.
    pub fn curve(&self) -> Vec<(u64, f64)> {
        let mut seen = 0;
        let filled = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        filled
            .map(|(bucket, count)| {
                seen += count;
                (
                    top_of(bucket).min(self.max),
                    seen as f64 / self.total as f64,
                )
            })
            .collect()
    }

    pub fn to_json(&self) -> Value {
        let filled = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        let counts: Vec<Value> = filled.map(|(at, count)| json!([at, count])).collect();
        json!({"counts": counts, "max": self.max, "sum": self.sum})
    }

    pub fn from_json(value: &Value) -> Self {
        let mut histogram = Histogram {
            max: value["max"].as_u64().unwrap_or(0),
            sum: value["sum"].as_u64().unwrap_or(0),
            ..Histogram::default()
        };
        for pair in value["counts"].as_array().into_iter().flatten() {
            let (at, count) = (pair[0].as_u64().unwrap_or(0), pair[1].as_u64().unwrap_or(0));
            let at = (at as usize).min((DOUBLINGS + 1) << PER_DOUBLING_BITS);
            if histogram.counts.len() <= at {
                histogram.counts.resize(at + 1, 0);
            }
            if let Some(place) = histogram.counts.get_mut(at) {
                *place += count;
            }
            histogram.total += count;
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut last = 0;
        for value in (0..100_000).chain((17..38).map(|power| 1 << power)) {
            let top = top_of(bucket_of(value));
            assert!(top >= value && top - value <= value / 32, "{value} {top}");
            assert!(last <= top);
            last = top;
        }
    }

    #[test]
    fn quantiles_of_merged_halves_are_those_of_the_whole() {
        let (mut whole, mut a, mut b) = <(Histogram, Histogram, Histogram)>::default();
        for value in 0..10_000 {
            whole.record(value);
            if value % 3 == 0 { &mut a } else { &mut b }.record(value);
        }
        a.merge(&b);
        assert_eq!(a, whole);
        assert_eq!(Histogram::from_json(&whole.to_json()), whole);
        for (share, expected) in [(0.5, 5_000), (0.99, 9_900), (1.0, 9_999)] {
            let found = whole.quantile(share).unwrap();
            assert!(
                found.abs_diff(expected) <= expected / 30,
                "{share}: {found}"
            );
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
