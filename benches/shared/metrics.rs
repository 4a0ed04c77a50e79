//! What a server tells of itself at `/metrics`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

/// What the server says of itself, by series.
pub struct Metrics(pub BTreeMap<String, f64>);

impl Metrics {
    /// Of all series of a family.
    pub fn total(&self, name: &str) -> f64 {
        let is_of = |series: &str| series.split('{').next() == Some(name);
        let found = self.0.iter().filter(|(series, _)| is_of(series));
        found.map(|(_, value)| value).sum()
    }

    /// The bound, in microseconds, below which a share of what a histogram of
    /// seconds counted since `before` lies; NaN of nothing.
    pub fn quantile_us(&self, before: &Metrics, name: &str, share: f64) -> f64 {
        let name = format!("{name}_bucket{{");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (series, count) in &self.0 {
            let bound = series.split("le=\"").nth(1);
            let bound = bound.and_then(|rest| rest.split('"').next()?.parse::<f64>().ok());
            if let (true, Some(bound)) = (series.starts_with(&name), bound) {
                let before = before.0.get(series).copied().unwrap_or(0.0);
                // Every core has its own.
                match buckets.iter_mut().find(|(known, _)| *known == bound * 1e6) {
                    Some((_, sum)) => *sum += count - before,
                    None => buckets.push((bound * 1e6, count - before)),
                }
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        let found = buckets.iter().find(|(_, count)| *count >= share * all);
        found.map_or(f64::NAN, |(bound, _)| *bound)
    }

    /// What was dropped, but for want of viewers.
    pub fn dropped(&self) -> Vec<(&String, &f64)> {
        let is_drop = |series: &str, count: f64| {
            let is_watched = !series.contains("\"no_subscriber\"");
            series.starts_with("ringhall_drops_total{") && is_watched && count > 0.0
        };
        let all = self.0.iter();
        all.filter(|(series, count)| is_drop(series, **count))
            .collect()
    }
}

/// Asks the server at `port` of the loopback.
pub fn metrics(port: u16) -> Result<Metrics, Box<dyn Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    if !text.starts_with("HTTP/1.1 200 ") {
        return Err(format!("no metrics: {text}").into());
    }
    let lines = text.lines().filter(|line| line.starts_with("ringhall_"));
    let series = lines.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_string(), value.parse().ok()?))
    });
    Ok(Metrics(series.collect()))
}
