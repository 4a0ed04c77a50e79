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
