//! What a run found: figures, as text, as JSON and as a page.

mod page;

use serde_json::{Map, Value, json};

use super::histogram::Histogram;
use super::host::Usage;
use super::plan::Plan;
use super::tally::{STEPS, Tally};

pub use page::html;

/// A second of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Of the run, from its start.
    pub at_s: f64,
    pub joins: u64,
    pub failed: u64,
    /// Packets that came and count.
    pub packets: u64,
    /// Of a CPU.
    pub server_cpu: f64,
    pub generator_cpu: f64,
}

/// The server over the time that counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Server {
    pub before: Usage,
    pub after: Usage,
    pub wall_us: u64,
}

pub struct Report {
    pub plan: Plan,
    pub tally: Tally,
    pub server: Option<Server>,
    /// Figures of our own server's `/metrics` over the time that counts.
    pub metrics: Option<Value>,
    pub seconds: Vec<Second>,
    /// What made the generator itself doubtful.
    pub doubts: Vec<String>,
}

fn ms(us: Option<u64>) -> Value {
    us.map_or(Value::Null, |us| json!(us as f64 / 1_000.0))
}

/// Quantiles of a histogram of microseconds, in milliseconds.
fn quantiles(histogram: &Histogram) -> Value {
    json!({
        "count": histogram.total,
        "p50_ms": ms(histogram.quantile(0.5)),
        "p90_ms": ms(histogram.quantile(0.9)),
        "p99_ms": ms(histogram.quantile(0.99)),
        "p999_ms": ms(histogram.quantile(0.999)),
        "max_ms": ms((histogram.total > 0).then_some(histogram.max)),
    })
}

impl Report {
    /// The figures thresholds are about.
    pub fn figures(&self) -> Value {
        let tally = &self.tally;
        let received = tally.count("packets_received");
        let due = received + tally.count("packets_lost");
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let latency = tally.histogram("latency_us");
        let baseline = tally.histogram("baseline_us");
        let key = tally
            .steps
            .get("first_key_frame")
            .cloned()
            .unwrap_or_default();
        let net_p99 = latency.quantile(0.99).zip(baseline.quantile(0.99));
        let cpu_us = self
            .server
            .map(|s| s.after.cpu_us.saturating_sub(s.before.cpu_us));
        let per_packet = cpu_us.and_then(|us| share(us, received));
        let failed: u64 = tally.failures.values().sum();
        json!({
            "joins_ok": tally.count("joins_ok"),
            "joins_failed": failed,
            "join_p50_ms": ms(key.quantile(0.5)),
            "join_p99_ms": ms(key.quantile(0.99)),
            "delivered": share(received, due).map(|share| share * 100.0),
            "packets_received": received,
            "packets_lost": tally.count("packets_lost"),
            "duplicates": tally.count("duplicates"),
            "reordered": tally.count("reordered"),
            "latency_p50_ms": ms(latency.quantile(0.5)),
            "latency_p99_ms": ms(latency.quantile(0.99)),
            "latency_p999_ms": ms(latency.quantile(0.999)),
            "baseline_p50_ms": ms(baseline.quantile(0.5)),
            "baseline_p99_ms": ms(baseline.quantile(0.99)),
            "latency_net_p99_ms": net_p99.map(|(all, own)| all.saturating_sub(own) as f64 / 1e3),
            "longest_freeze_ms": ms(Some(tally.histogram("freeze_us").max)),
            "train_mean": tally.histogram("train").mean(),
            "server_cpu_us_per_packet": per_packet,
            "server_cpu": self.server.and_then(|s| share(cpu_us?, s.wall_us)),
            "server_rss_mib": self.server.map(|s| s.after.rss_bytes as f64 / f64::from(1 << 20)),
            "generator_cpu_us": tally.count("generator_cpu_us"),
            "send_lateness_p99_ms": ms(tally.histogram("send_lateness_us").quantile(0.99)),
        })
    }

    pub fn json(&self) -> Value {
        let steps: Map<String, Value> = STEPS
            .iter()
            .filter_map(|step| Some((step.to_string(), quantiles(self.tally.steps.get(*step)?))))
            .collect();
        let seconds = self.seconds.iter().map(|second| {
            json!({
                "at_s": second.at_s,
                "joins": second.joins,
                "failed": second.failed,
                "packets": second.packets,
                "server_cpu": second.server_cpu,
                "generator_cpu": second.generator_cpu,
            })
        });
        let histogram = |name: &str| quantiles(&self.tally.histogram(name));
        json!({
            "plan": self.plan.to_json(),
            "figures": self.figures(),
            "steps": steps,
            "latency": histogram("latency_us"),
            "baseline": histogram("baseline_us"),
            "freezes": histogram("freeze_us"),
            "failures": self.tally.failures,
            "profiles": self.tally.profiles,
            "counts": self.tally.counts,
            "metrics": self.metrics,
            "doubts": self.doubts,
            "seconds": seconds.collect::<Vec<_>>(),
        })
    }

    pub fn text(&self) -> String {
        let mut lines = self.join_lines();
        lines.extend(self.figure_lines());
        lines.extend(self.traffic_lines());
        if let Some(metrics) = &self.metrics {
            lines.push(format!("the server's own: {metrics}"));
        }
        lines.extend(self.doubts.iter().map(|doubt| format!("DOUBT: {doubt}")));
        lines.join("\n")
    }

    fn join_lines(&self) -> Vec<String> {
        let failed: u64 = self.tally.failures.values().sum();
        let mut lines = vec![format!(
            "joins: {} ok, {failed} failed",
            self.tally.count("joins_ok")
        )];
        for (cause, count) in &self.tally.failures {
            lines.push(format!("  {count} x {cause}"));
        }
        lines.push(format!(
            "  {:<32} {:>10} {:>8} {:>8}",
            "ms from the participant's start", "p50", "p99", "max"
        ));
        for step in STEPS {
            if let Some(histogram) = self.tally.steps.get(step) {
                let ms = |us: Option<u64>| us.map_or(f64::NAN, |us| us as f64 / 1e3);
                lines.push(format!(
                    "  {step:<18} {:>6} times  {:>10.1} {:>8.1} {:>8.1}",
                    histogram.total,
                    ms(histogram.quantile(0.5)),
                    ms(histogram.quantile(0.99)),
                    ms(Some(histogram.max))
                ));
            }
        }
        lines
    }

    fn figure_lines(&self) -> Vec<String> {
        let figures = self.figures();
        let line = |(what, names): (&str, &[&str])| {
            let values = names.iter().map(|name| figure(&figures[*name]));
            format!("{what}: {}", values.collect::<Vec<_>>().join(", "))
        };
        let lines: [(&str, &[&str]); 5] = [
            (
                "delivered %, packets, lost, doubles, out of order",
                &[
                    "delivered",
                    "packets_received",
                    "packets_lost",
                    "duplicates",
                    "reordered",
                ],
            ),
            (
                "one-way ms: p50, p99, p99.9",
                &["latency_p50_ms", "latency_p99_ms", "latency_p999_ms"],
            ),
            (
                "the generator to itself ms: p50, p99",
                &["baseline_p50_ms", "baseline_p99_ms"],
            ),
            (
                "longest wait for a whole picture ms; packets read at once",
                &["longest_freeze_ms", "train_mean"],
            ),
            (
                "server: us of CPU per packet, of a CPU, MiB",
                &["server_cpu_us_per_packet", "server_cpu", "server_rss_mib"],
            ),
        ];
        lines.into_iter().map(line).collect()
    }

    fn traffic_lines(&self) -> Vec<String> {
        let count = |name: &str| self.tally.count(name);
        let got = self.tally.histogram("got_kbps");
        let kbps = |share: f64| got.quantile(share).unwrap_or(0);
        let mut lines = vec![format!(
            "kbit/s a viewer got: least {}, half {}",
            kbps(0.0),
            kbps(0.5)
        )];
        // RTMP has neither.
        if !self.tally.profiles.is_empty() {
            let profiles = self.tally.profiles.iter();
            let profiles = profiles.map(|(name, count)| format!("{count} x {name}"));
            lines.push(format!(
                "NACK out {} in {}, PLI out {} in {}, resent to viewers {} by publishers {}",
                count("nacks_sent"),
                count("nacks_received"),
                count("plis_sent"),
                count("plis_received"),
                count("retransmissions_received"),
                count("retransmissions_sent")
            ));
            lines.push(format!("SRTP: {}", profiles.collect::<Vec<_>>().join(", ")));
        }
        lines
    }
}

/// A figure for people.
fn figure(value: &Value) -> String {
    match value.as_f64() {
        Some(value) if value.fract() == 0.0 => format!("{value}"),
        Some(value) => format!("{value:.3}"),
        None => "not measured".to_string(),
    }
}
