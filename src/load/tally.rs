//! What a run counted. Each worker has one, and they are added up.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::histogram::Histogram;

/// The steps of joining, in order; each is timed from the participant's start.
pub const STEPS: [&str; 11] = [
    "socket",
    "handshake",
    "connected",
    "publishing",
    "playing",
    "joined",
    "answered",
    "ice",
    "dtls",
    "first_packet",
    "first_key_frame",
];

/// Histograms besides the steps.
pub const HISTOGRAMS: [&str; 6] = [
    "latency_us",
    "baseline_us",
    "send_lateness_us",
    "freeze_us",
    "got_kbps",
    "train",
];

/// Counts.
pub const COUNTS: [&str; 15] = [
    "joins_ok",
    "viewers_playing",
    "packets_sent",
    "packets_received",
    "bytes_received",
    "packets_lost",
    "duplicates",
    "reordered",
    "nacks_sent",
    "nacks_received",
    "plis_sent",
    "plis_received",
    "retransmissions_received",
    "retransmissions_sent",
    "generator_cpu_us",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub steps: BTreeMap<String, Histogram>,
    pub histograms: BTreeMap<String, Histogram>,
    pub counts: BTreeMap<String, u64>,
    /// Joins that failed, by cause.
    pub failures: BTreeMap<String, u64>,
    /// Connections by SRTP profile.
    pub profiles: BTreeMap<String, u64>,
}

impl Tally {
    pub fn step(&mut self, step: &str, us: u64) {
        self.steps.entry(step.to_string()).or_default().record(us);
    }

    pub fn record(&mut self, name: &str, value: u64) {
        debug_assert!(HISTOGRAMS.contains(&name), "{name}");
        match self.histograms.get_mut(name) {
            Some(histogram) => histogram.record(value),
            None => self
                .histograms
                .entry(name.to_string())
                .or_default()
                .record(value),
        }
    }

    pub fn add(&mut self, name: &str, count: u64) {
        debug_assert!(COUNTS.contains(&name), "{name}");
        match self.counts.get_mut(name) {
            Some(known) => *known += count,
            None => {
                self.counts.insert(name.to_string(), count);
            }
        }
    }

    /// What one viewer got in the time that counts.
    pub fn got(&mut self, bytes: u64, us: u64) {
        self.add("bytes_received", bytes);
        if bytes > 0 && us > 0 {
            self.add("viewers_playing", 1);
            let kbps = bytes as f64 * 8_000.0 / us as f64;
            self.record("got_kbps", kbps as u64);
        }
    }

    pub fn fail(&mut self, cause: &str) {
        *self.failures.entry(cause.to_string()).or_default() += 1;
    }

    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    pub fn histogram(&self, name: &str) -> Histogram {
        self.histograms.get(name).cloned().unwrap_or_default()
    }

    pub fn merge(&mut self, other: &Tally) {
        for (own, others) in [
            (&mut self.steps, &other.steps),
            (&mut self.histograms, &other.histograms),
        ] {
            for (name, histogram) in others {
                own.entry(name.clone()).or_default().merge(histogram);
            }
        }
        for (own, others) in [
            (&mut self.counts, &other.counts),
            (&mut self.failures, &other.failures),
            (&mut self.profiles, &other.profiles),
        ] {
            for (name, count) in others {
                *own.entry(name.clone()).or_default() += count;
            }
        }
    }

    pub fn to_json(&self) -> Value {
        let histograms = |of: &BTreeMap<String, Histogram>| -> Map<String, Value> {
            let pairs = of.iter().map(|(name, of)| (name.clone(), of.to_json()));
            pairs.collect()
        };
        json!({
            "steps": histograms(&self.steps),
            "histograms": histograms(&self.histograms),
            "counts": self.counts,
            "failures": self.failures,
            "profiles": self.profiles,
        })
    }

    pub fn from_json(value: &Value) -> Self {
        let pairs = |key: &str| value[key].as_object().into_iter().flatten();
        let histograms = |key: &str| {
            let each = pairs(key).map(|(name, of)| (name.clone(), Histogram::from_json(of)));
            each.collect()
        };
        let counts = |key: &str| {
            let each = pairs(key).map(|(name, of)| (name.clone(), of.as_u64().unwrap_or(0)));
            each.collect()
        };
        Tally {
            steps: histograms("steps"),
            histograms: histograms("histograms"),
            counts: counts("counts"),
            failures: counts("failures"),
            profiles: counts("profiles"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_survives_its_way_and_adds_up() {
        let mut tally = Tally::default();
        tally.step("joined", 900);
        tally.record("latency_us", 70);
        tally.add("joins_ok", 2);
        tally.fail("answered: no such stream");
        tally.profiles.insert("AEAD_AES_256_GCM".into(), 1);
        let read = Tally::from_json(&tally.to_json());
        assert_eq!(read, tally);
        tally.merge(&read);
        assert_eq!(tally.count("joins_ok"), 4);
        assert_eq!(tally.histogram("latency_us").total, 2);
        assert_eq!(tally.failures["answered: no such stream"], 2);
    }
}
