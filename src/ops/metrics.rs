//! `GET /metrics`: every counter, gauge and histogram of the snapshots in the
//! Prometheus text exposition format, version 0.0.4. Names are an interface:
//! `ringhall_` prefix, unit last, `_total` on counters. Labels are bounded
//! (cores and drop reasons): no room or login ever becomes a label.

use std::fmt::Display;

use crate::ops::snapshot::{Counters, Drop, Gauges, Histogram, ServerSnapshot};

/// `Content-Type` of [`metrics_text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const MICROSECONDS_PER_SECOND: f64 = 1e6;

/// All families, each with one sample (or histogram) per core.
pub fn metrics_text(snapshots: &[ServerSnapshot]) -> String {
    let mut page = Page::default();
    page.family("build_info", "gauge", "Version of the running server.");
    page.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    for (row, (name, help, _)) in counter_rows(&Counters::default()).iter().enumerate() {
        let values = snapshots
            .iter()
            .map(|s| (s.core, counter_rows(&s.counters)));
        page.per_core(name, "counter", help, values, row);
    }
    page.drops(snapshots);
    for (row, (name, help, _)) in gauge_rows(&Gauges::default()).iter().enumerate() {
        let values = snapshots.iter().map(|s| (s.core, gauge_rows(&s.gauges)));
        page.per_core(name, "gauge", help, values, row);
    }
    page.histogram(
        "turn_seconds",
        "From a turn's clock read to the end of its flush.",
        snapshots.iter().map(|s| (s.core, &s.turn_us)),
        MICROSECONDS_PER_SECOND,
    );
    page.histogram(
        "forward_seconds",
        "From a media datagram's receive to the send of the trains it went into.",
        snapshots.iter().map(|s| (s.core, &s.forward_us)),
        MICROSECONDS_PER_SECOND,
    );
    page.histogram(
        "train_datagrams",
        "Datagrams per train sent.",
        snapshots.iter().map(|s| (s.core, &s.train_len)),
        1.0,
    );
    page.text
}

type Row = (&'static str, &'static str, u64);

const COUNTERS: [(&str, &str); 12] = [
    ("datagrams_received_total", "UDP datagrams received."),
    ("datagrams_sent_total", "UDP datagrams sent."),
    (
        "trains_sent_total",
        "Trains of datagrams handed to the kernel.",
    ),
    (
        "media_packets_received_total",
        "Authenticated RTP packets received.",
    ),
    (
        "media_packets_forwarded_total",
        "RTP packets forwarded, once per viewer.",
    ),
    (
        "retransmissions_sent_total",
        "RTP packets sent again because a viewer missed them.",
    ),
    (
        "padding_bytes_sent_total",
        "Padding sent so that packets of a frame are equally long.",
    ),
    (
        "catch_up_packets_sent_total",
        "RTP packets sent to viewers from before they came.",
    ),
    ("connections_accepted_total", "TCP connections accepted."),
    (
        "transcoded_frames_total",
        "Frames of sound converted to another codec.",
    ),
    (
        "recordings_failed_total",
        "Recordings that ended before their stream, or whose file is not whole.",
    ),
    ("turns_total", "Turns of the core's loop."),
];

/// Taken apart by name, so that a counter added to the snapshot and forgotten
/// here does not compile; in the order of [`COUNTERS`].
fn counter_values(counters: &Counters) -> [u64; 12] {
    let Counters {
        datagrams_received,
        datagrams_sent,
        trains_sent,
        media_packets_received,
        media_packets_forwarded,
        retransmissions_sent,
        padding_bytes_sent,
        catch_up_packets_sent,
        connections_accepted,
        transcoded_frames,
        recordings_failed,
        turns,
        drops: _,
    } = counters;
    [
        *datagrams_received,
        *datagrams_sent,
        *trains_sent,
        *media_packets_received,
        *media_packets_forwarded,
        *retransmissions_sent,
        *padding_bytes_sent,
        *catch_up_packets_sent,
        *connections_accepted,
        *transcoded_frames,
        *recordings_failed,
        *turns,
    ]
}

fn counter_rows(counters: &Counters) -> [Row; 12] {
    let mut values = counter_values(counters).into_iter();
    COUNTERS.map(|(name, help)| (name, help, values.next().unwrap_or(0)))
}

/// Taken apart by name, as the counters are.
fn gauge_rows(gauges: &Gauges) -> [Row; 16] {
    let Gauges {
        connections,
        sessions,
        rooms,
        participants,
        publications,
        replicas,
        subscriptions,
        transports,
        timers,
        trains_free,
        mail_backlog,
        connected_sockets,
        rtmp_publishers,
        rtmp_players,
        transcoders,
        recordings,
    } = gauges;
    [
        ("connections", "TCP connections open.", *connections),
        ("sessions", "Signalling sessions established.", *sessions),
        ("rooms", "Rooms at home on the core.", *rooms),
        (
            "participants",
            "Participants of those rooms.",
            *participants,
        ),
        ("publications", "Streams published.", *publications),
        (
            "replicas",
            "Streams published at other cores that viewers here play.",
            *replicas,
        ),
        ("subscriptions", "Streams being played.", *subscriptions),
        ("transports", "WebRTC transports.", *transports),
        ("timers", "Timers armed.", *timers),
        ("trains_free", "Send trains free.", *trains_free),
        (
            "mail_backlog",
            "Messages waiting for another core's mailbox.",
            *mail_backlog,
        ),
        (
            "connected_sockets",
            "Media sockets connected to one busy peer each.",
            *connected_sockets,
        ),
        (
            "rtmp_publishers",
            "Streams published over RTMP.",
            *rtmp_publishers,
        ),
        ("rtmp_players", "Streams played over RTMP.", *rtmp_players),
        (
            "transcoders",
            "Streams of sound being converted.",
            *transcoders,
        ),
        (
            "recordings",
            "Recordings going on, or being made whole.",
            *recordings,
        ),
    ]
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = escaped(help, false);
        self.text.push_str(&format!(
            "# HELP ringhall_{name} {help}\n# TYPE ringhall_{name} {kind}\n"
        ));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value, true)))
            .collect();
        self.text.push_str(&format!(
            "ringhall_{name}{{{}}} {value}\n",
            labels.join(",")
        ));
    }

    fn per_core<const N: usize>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl Iterator<Item = (u16, [Row; N])>,
        row: usize,
    ) {
        self.family(name, kind, help);
        for (core, rows) in values {
            if let Some((_, _, value)) = rows.get(row) {
                self.sample(name, &[("core", &core.to_string())], value);
            }
        }
    }

    fn drops(&mut self, snapshots: &[ServerSnapshot]) {
        let name = "drops_total";
        self.family(name, "counter", "Datagrams and packets dropped, by reason.");
        for snapshot in snapshots {
            let core = snapshot.core.to_string();
            for reason in Drop::ALL {
                let labels = [("core", core.as_str()), ("reason", reason.label())];
                self.sample(name, &labels, snapshot.counters.dropped(reason));
            }
        }
    }

    /// `per_unit` recorded units make one unit of the family's name.
    fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        histograms: impl Iterator<Item = (u16, &'a Histogram)>,
        per_unit: f64,
    ) {
        self.family(name, "histogram", help);
        let bucket_name = format!("{name}_bucket");
        for (core, histogram) in histograms {
            let core = core.to_string();
            let mut cumulative = 0u64;
            for (bucket, count) in histogram.buckets.iter().enumerate() {
                cumulative = cumulative.saturating_add(*count);
                let bound = match Histogram::bound(bucket) {
                    Some(bound) => (bound as f64 / per_unit).to_string(),
                    None => "+Inf".to_owned(),
                };
                let labels = [("core", core.as_str()), ("le", bound.as_str())];
                self.sample(&bucket_name, &labels, cumulative);
            }
            let labels = [("core", core.as_str())];
            let sum = histogram.sum as f64 / per_unit;
            self.sample(&format!("{name}_sum"), &labels, sum);
            self.sample(&format!("{name}_count"), &labels, cumulative);
        }
    }
}

/// Backslash and line feed escaped, and the quote inside a label's value.
fn escaped(text: &str, quoted: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// One sample line, taken apart.
    struct Sample {
        name: String,
        labels: BTreeMap<String, String>,
        value: f64,
    }

    /// Reads a page as a scraper does and holds it to the format: `# HELP` and
    /// `# TYPE` once per family, before its samples, families not interleaved;
    /// names and labels well formed; no series twice; histograms cumulative,
    /// bounds rising, `+Inf` equal to the count.
    fn check(page: &str) -> Result<Vec<Sample>, String> {
        let mut samples: Vec<Sample> = Vec::new();
        let mut types: Vec<(String, String)> = Vec::new();
        let mut help: Option<String> = None;
        let body = page.strip_suffix('\n').ok_or("no final line feed")?;
        for line in body.split('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, _) = rest.split_once(' ').ok_or("HELP without text")?;
                help = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or("TYPE without type")?;
                if help.take().as_deref() != Some(name) {
                    return Err(format!("TYPE {name} without its HELP"));
                }
                if types.iter().any(|(earlier, _)| earlier == name) {
                    return Err(format!("{name} described twice"));
                }
                types.push((name.to_owned(), kind.to_owned()));
            } else {
                let sample = parse_sample(line)?;
                let (family, kind) = types.last().ok_or("a sample before any TYPE")?;
                check_member(&sample, family, kind)?;
                if samples
                    .iter()
                    .any(|s| s.name == sample.name && s.labels == sample.labels)
                {
                    return Err(format!("series twice: {line}"));
                }
                samples.push(sample);
            }
        }
        for (family, _) in types.iter().filter(|(_, kind)| kind == "histogram") {
            check_histogram(family, &samples)?;
        }
        Ok(samples)
    }

    fn parse_sample(line: &str) -> Result<Sample, String> {
        let err = |what: &str| format!("{what}: {line:?}");
        let (name, rest) = line.split_once('{').ok_or_else(|| err("no labels"))?;
        let name_fits = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !name_fits {
            return Err(err("name"));
        }
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        let value = loop {
            let (label, after) = rest.split_once("=\"").ok_or_else(|| err("label"))?;
            if !label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') || label.is_empty() {
                return Err(err("label name"));
            }
            let (value, after) = unquote(after).ok_or_else(|| err("label value"))?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(err("label twice"));
            }
            if let Some(after) = after.strip_prefix("} ") {
                break after;
            }
            rest = after.strip_prefix(',').ok_or_else(|| err("labels"))?;
        };
        let value: f64 = value.parse().map_err(|_| err("value"))?;
        Ok(Sample {
            name: name.to_owned(),
            labels,
            value,
        })
    }

    fn unquote(text: &str) -> Option<(String, &str)> {
        let mut value = String::new();
        let mut chars = text.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => return Some((value, &text[at + 1..])),
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    _ => return None,
                }),
                (_, c) => value.push(c),
            }
        }
    }

    fn check_member(sample: &Sample, family: &str, kind: &str) -> Result<(), String> {
        let suffix = sample.name.strip_prefix(family).unwrap_or("?");
        let fits = match kind {
            "counter" => suffix.is_empty() && family.ends_with("_total"),
            "gauge" => suffix.is_empty() && !family.ends_with("_total"),
            "histogram" => match suffix {
                "_bucket" => sample.labels.contains_key("le"),
                "_sum" | "_count" => !sample.labels.contains_key("le"),
                _ => false,
            },
            _ => false,
        };
        if fits && sample.value >= 0.0 {
            return Ok(());
        }
        Err(format!(
            "{} = {} in {kind} {family}",
            sample.name, sample.value
        ))
    }

    fn check_histogram(family: &str, samples: &[Sample]) -> Result<(), String> {
        let named = |suffix: &str| {
            let name = format!("{family}{suffix}");
            samples.iter().filter(move |sample| sample.name == name)
        };
        for count in named("_count") {
            let core = &count.labels["core"];
            let (mut last_bound, mut last_value) = (f64::MIN, 0.0);
            for bucket in named("_bucket").filter(|bucket| &bucket.labels["core"] == core) {
                let bound: f64 = bucket.labels["le"].parse().map_err(|_| "le")?;
                if bound <= last_bound || bucket.value < last_value {
                    return Err(format!("{family} core {core} is not cumulative at {bound}"));
                }
                (last_bound, last_value) = (bound, bucket.value);
            }
            if last_bound != f64::INFINITY || last_value != count.value {
                return Err(format!("{family} core {core}: +Inf is not the count"));
            }
            if named("_sum")
                .filter(|sum| &sum.labels["core"] == core)
                .count()
                != 1
            {
                return Err(format!("{family} core {core}: not one sum"));
            }
        }
        Ok(())
    }

    fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<&Sample> = samples
            .iter()
            .filter(|sample| {
                sample.name == name
                    && sample.labels.len() == labels.len()
                    && labels
                        .iter()
                        .all(|(label, value)| sample.labels[*label] == *value)
            })
            .collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}");
        found[0].value
    }

    /// A snapshot whose every number differs from every other.
    fn numbered(core: u16) -> ServerSnapshot {
        let mut snapshot = ServerSnapshot {
            core,
            ..ServerSnapshot::default()
        };
        let counters = &mut snapshot.counters;
        let fields = [
            &mut counters.datagrams_received,
            &mut counters.datagrams_sent,
            &mut counters.trains_sent,
            &mut counters.media_packets_received,
            &mut counters.media_packets_forwarded,
            &mut counters.retransmissions_sent,
            &mut counters.padding_bytes_sent,
            &mut counters.catch_up_packets_sent,
            &mut counters.connections_accepted,
            &mut counters.transcoded_frames,
            &mut counters.recordings_failed,
            &mut counters.turns,
        ];
        for (index, field) in fields.into_iter().enumerate() {
            *field = 100 + index as u64;
        }
        for (index, drop) in counters.drops.iter_mut().enumerate() {
            *drop = 200 + index as u64;
        }
        snapshot.gauges = Gauges {
            connections: 300,
            sessions: 301,
            rooms: 302,
            participants: 303,
            publications: 304,
            replicas: 305,
            subscriptions: 306,
            transports: 307,
            timers: 308,
            trains_free: 309,
            mail_backlog: 310,
            connected_sockets: 311,
            rtmp_publishers: 312,
            rtmp_players: 313,
            transcoders: 314,
            recordings: 315,
        };
        snapshot
    }

    #[test]
    fn an_idle_server_is_a_valid_page() {
        assert!(check(&metrics_text(&[])).is_ok());
        let samples = check(&metrics_text(&[ServerSnapshot::default()])).unwrap();
        assert_eq!(
            value(&samples, "ringhall_turns_total", &[("core", "0")]),
            0.0
        );
    }

    #[test]
    fn every_number_of_every_core_stands_under_its_name() {
        let snapshots = [numbered(0), numbered(1)];
        let samples = check(&metrics_text(&snapshots)).unwrap();
        for core in ["0", "1"] {
            let at = |name: &str| value(&samples, name, &[("core", core)]);
            for (rows, first) in [
                (counter_rows(&snapshots[0].counters).to_vec(), 100),
                (gauge_rows(&snapshots[0].gauges).to_vec(), 300),
            ] {
                for (index, (name, _, _)) in rows.iter().enumerate() {
                    assert_eq!(
                        at(&format!("ringhall_{name}")),
                        (first + index) as f64,
                        "{name}"
                    );
                }
            }
            for (index, reason) in Drop::ALL.iter().enumerate() {
                let labels = [("core", core), ("reason", reason.label())];
                let dropped = value(&samples, "ringhall_drops_total", &labels);
                assert_eq!(dropped, (200 + index) as f64);
            }
        }
        assert_eq!(
            value(&samples, "ringhall_datagrams_sent_total", &[("core", "0")]),
            101.0
        );
        assert_eq!(value(&samples, "ringhall_rooms", &[("core", "1")]), 302.0);
    }

    #[test]
    fn times_are_seconds_and_train_lengths_are_datagrams() {
        let mut snapshot = ServerSnapshot::default();
        for us in [1, 3, 1_000, 1_000, u64::from(u32::MAX)] {
            snapshot.turn_us.record(us);
        }
        snapshot.forward_us.record_many(250, 4);
        snapshot.train_len.record_many(8, 2);
        let samples = check(&metrics_text(&[snapshot])).unwrap();
        let bucket = |name: &str, le: &str| value(&samples, name, &[("core", "0"), ("le", le)]);
        let turn = "ringhall_turn_seconds_bucket";
        assert_eq!(bucket(turn, "0.000001"), 1.0);
        assert_eq!(bucket(turn, "0.000004"), 2.0);
        assert_eq!(bucket(turn, "0.000512"), 2.0);
        assert_eq!(bucket(turn, "0.000896"), 2.0);
        assert_eq!(bucket(turn, "0.001024"), 4.0);
        assert_eq!(bucket(turn, "4.194304"), 4.0);
        assert_eq!(bucket(turn, "+Inf"), 5.0);
        let at = |name: &str| value(&samples, name, &[("core", "0")]);
        assert_eq!(at("ringhall_turn_seconds_count"), 5.0);
        assert_eq!(at("ringhall_turn_seconds_sum"), 4_294.969_299);
        assert_eq!(at("ringhall_forward_seconds_sum"), 0.001);
        assert_eq!(bucket("ringhall_train_datagrams_bucket", "4"), 0.0);
        assert_eq!(bucket("ringhall_train_datagrams_bucket", "8"), 2.0);
        assert_eq!(at("ringhall_train_datagrams_sum"), 16.0);
    }

    #[test]
    fn extreme_counts_stay_a_valid_page() {
        let mut snapshot = ServerSnapshot {
            core: u16::MAX,
            ..ServerSnapshot::default()
        };
        snapshot.turn_us.buckets.fill(u64::MAX);
        snapshot.turn_us.sum = u64::MAX;
        snapshot.counters.drops.fill(u64::MAX);
        check(&metrics_text(&[snapshot])).unwrap();
    }

    #[test]
    fn label_values_and_help_are_escaped() {
        let mut page = Page::default();
        page.family("odd", "gauge", "back\\slash and\nline \"quoted\"");
        page.sample("odd", &[("core", "a\"b\\c\nd")], 1);
        assert_eq!(
            page.text,
            "# HELP ringhall_odd back\\\\slash and\\nline \"quoted\"\n# TYPE ringhall_odd gauge\n\
             ringhall_odd{core=\"a\\\"b\\\\c\\nd\"} 1\n"
        );
        assert_eq!(check(&page.text).unwrap()[0].labels["core"], "a\"b\\c\nd");
    }

    #[test]
    fn the_checker_sees_planted_faults() {
        let head = "# HELP a_total x\n# TYPE a_total counter\n";
        let histogram = "# HELP h x\n# TYPE h histogram\n";
        for (page, fault) in [
            (format!("{head}a_total{{core=\"0\"}} 1"), "final line feed"),
            ("a_total{core=\"0\"} 1\n".to_owned(), "before any TYPE"),
            (format!("{head}{head}"), "twice"),
            (format!("{head}b_total{{core=\"0\"}} 1\n"), "in counter"),
            (format!("{head}a_total{{core=\"0\"}} x\n"), "value"),
            (format!("{head}a_total{{core=\"0}} 1\n"), "label"),
            (format!("{head}A{{core=\"0\"}} 1\n"), "name"),
            (
                format!("{head}a_total{{core=\"0\"}} 1\na_total{{core=\"0\"}} 2\n"),
                "series twice",
            ),
            (
                format!(
                    "{histogram}h_bucket{{core=\"0\",le=\"1\"}} 2\nh_bucket{{core=\"0\",le=\"+Inf\"}} 1\n\
                     h_sum{{core=\"0\"}} 1\nh_count{{core=\"0\"}} 1\n"
                ),
                "not cumulative",
            ),
            (
                format!(
                    "{histogram}h_bucket{{core=\"0\",le=\"+Inf\"}} 1\nh_sum{{core=\"0\"}} 1\n\
                     h_count{{core=\"0\"}} 2\n"
                ),
                "not the count",
            ),
        ] {
            let error = check(&page).err().unwrap_or_default();
            assert!(error.contains(fault), "{fault}: {error:?}");
        }
    }
}
