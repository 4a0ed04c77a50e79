//! What our own server's `/metrics` says of the time that counts: the difference
//! of two readings.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A reading: samples with their labels, over all cores.
#[derive(Clone, Debug, Default)]
pub struct Reading(BTreeMap<String, f64>);

impl Reading {
    pub fn parse(page: &str) -> Self {
        let mut sums = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            *sums.entry(without_core(name)).or_insert(0.0) += value.parse().unwrap_or(0.0);
        }
        Reading(sums)
    }

    /// What happened since `before`.
    pub fn since(&self, before: &Reading) -> Value {
        let delta = |name: &str| {
            let of = |reading: &Reading| reading.0.get(name).copied().unwrap_or(0.0);
            of(self) - of(before)
        };
        let mean = |name: &str| {
            let (sum, count) = (
                delta(&format!("{name}_sum")),
                delta(&format!("{name}_count")),
            );
            (count > 0.0).then(|| sum / count)
        };
        let drops: Map<String, Value> = self
            .0
            .keys()
            .filter_map(|name| {
                let reason = name.strip_prefix("ringhall_drops_total{reason=\"")?;
                let count = delta(name);
                let reason = reason.trim_end_matches("\"}").to_string();
                (count > 0.0).then(|| (reason, json!(count)))
            })
            .collect();
        json!({
            "train_mean": mean("ringhall_train_datagrams"),
            "forward_p99_ms": self.quantile(before, "ringhall_forward_seconds", 0.99).map(|s| s * 1e3),
            "turn_p99_ms": self.quantile(before, "ringhall_turn_seconds", 0.99).map(|s| s * 1e3),
            "packets_forwarded": delta("ringhall_media_packets_forwarded_total"),
            "padding_bytes": delta("ringhall_padding_bytes_sent_total"),
            "drops": drops,
        })
    }

    /// The upper bound of the bucket that holds a quantile.
    fn quantile(&self, before: &Reading, name: &str, share: f64) -> Option<f64> {
        let prefix = format!("{name}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter_map(|(key, count)| {
                let bound = key.strip_prefix(&prefix)?.trim_end_matches("\"}");
                let bound = bound.parse().unwrap_or(f64::INFINITY);
                let then = before.0.get(key).copied().unwrap_or(0.0);
                Some((bound, count - then))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = buckets
            .last()
            .map(|(_, count)| *count)
            .filter(|count| *count > 0.0)?;
        let found = buckets.iter().find(|(_, count)| *count >= total * share);
        found.map(|(bound, _)| *bound)
    }
}

fn without_core(name: &str) -> String {
    let Some((family, labels)) = name.split_once('{') else {
        return name.to_string();
    };
    let labels = labels.trim_end_matches('}').split(',');
    let kept: Vec<&str> = labels.filter(|label| !label.starts_with("core=")).collect();
    match kept.is_empty() {
        true => family.to_string(),
        false => format!("{family}{{{}}}", kept.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_time_is_the_difference_of_two_readings() {
        let page = |scale: f64| {
            format!(
                "# HELP x\nringhall_train_datagrams_sum{{core=\"0\"}} {}\n\
                 ringhall_train_datagrams_count{{core=\"0\"}} {}\n\
                 ringhall_forward_seconds_bucket{{core=\"0\",le=\"0.001\"}} {}\n\
                 ringhall_forward_seconds_bucket{{core=\"1\",le=\"0.001\"}} {}\n\
                 ringhall_forward_seconds_bucket{{core=\"0\",le=\"+Inf\"}} {}\n\
                 ringhall_drops_total{{core=\"0\",reason=\"pool_dry\"}} {}\n\
                 ringhall_drops_total{{core=\"0\",reason=\"duplicate\"}} 7\n",
                60.0 * scale,
                10.0 * scale,
                50.0 * scale,
                49.0 * scale,
                99.0 * scale,
                scale,
            )
        };
        let found = Reading::parse(&page(3.0)).since(&Reading::parse(&page(1.0)));
        assert_eq!(found["train_mean"], 6.0);
        assert_eq!(found["forward_p99_ms"], 1.0);
        assert_eq!(found["drops"], json!({"pool_dry": 2.0}));
    }
}
