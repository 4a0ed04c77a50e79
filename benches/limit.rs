//! What this machine must at least spend to send one 1,200-byte RTP packet to
//! each of 50 subscribers: a copy, a header, AES-256-GCM and the kernel's way
//! to the receiver. Nothing of the server takes part. `fanout` measures the
//! server against the same code.
//!
//! `cargo bench --bench limit`, with `-- --tx` for the transmit path alone.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use shared::bare::{Bare, PACKET_BYTES, WIRE_BYTES};
use shared::crowd::Crowd;
use shared::egress;
use shared::meter::Meter;
use shared::options::{BackEnd, Options, ROUND_PACKETS, SUBSCRIBERS, flushes};
use shared::samples::Samples;
use shared::verdict::Verdict;

mod shared {
    pub mod bare;
    pub mod connected;
    pub mod crowd;
    pub mod egress;
    pub mod meter;
    pub mod options;
    pub mod samples;
    pub mod verdict;
}

/// What the same work cost when the server was designed, in nanoseconds a
/// packet: two virtual CPUs of an AMD EPYC (Zen 3, VAES), Linux 6.18, medians,
/// with AES-128-GCM. That host drifts by a factor of 1.3.
struct Expected {
    back_end: BackEnd,
    k: usize,
    loopback_ns: f64,
    tx_ns: f64,
}

const fn expected(back_end: BackEnd, k: usize, loopback_ns: f64, tx_ns: f64) -> Expected {
    Expected {
        back_end,
        k,
        loopback_ns,
        tx_ns,
    }
}

const EXPECTED: [Expected; 7] = [
    expected(BackEnd::Uring, 1, 5_146.0, 2_986.0),
    expected(BackEnd::Uring, 4, 2_390.0, 1_148.0),
    expected(BackEnd::Uring, 8, 1_810.0, 756.0),
    expected(BackEnd::Uring, 16, 1_492.0, 597.0),
    expected(BackEnd::Mmsg, 1, 4_762.0, 2_551.0),
    expected(BackEnd::Mmsg, 8, 1_839.0, 779.0),
    expected(BackEnd::Mmsg, 16, 1_459.0, 599.0),
];

/// How many times dearer it was there to send a single datagram than one of a
/// train of eight: the whole packet, lowest and highest back end.
const WHOLE_LOOPBACK: (f64, f64) = (2.6, 2.8);
const WHOLE_TX: (f64, f64) = (3.3, 3.9);
/// The same without encryption, which trains make no cheaper, so that what is
/// left is the kernel's: 3.0 to 3.1 over loopback, 6.1 on the transmit path, and
/// a third of leeway either way. This is what another machine must agree with;
/// the whole packet's ratio depends on how its encryption compares to its kernel.
const SENDING_LOOPBACK: (f64, f64) = (2.0, 4.1);
const SENDING_TX: (f64, f64) = (4.1, 8.2);

/// One alternative and what it cost, round by round.
struct Row {
    k: usize,
    /// `None`: encryption alone.
    back_end: Option<BackEnd>,
    /// On a connected socket for each subscriber.
    connected: bool,
    ns: Samples,
}

impl Row {
    fn name(&self) -> String {
        let name = self.back_end.map_or("seal only", BackEnd::name);
        let how = if self.connected { ", connected" } else { "" };
        format!("{name}{how}")
    }

    fn send(&self, bare: &mut Bare) -> std::io::Result<usize> {
        match self.back_end {
            None => Ok(0),
            Some(back_end) if self.connected => bare.send_connected(back_end),
            Some(back_end) => bare.send(back_end),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("limit: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::read()?;
    if options.cold || options.cores.is_some() {
        return Err("--cold and --cores are of fanout, which runs the limit beside itself".into());
    }
    if options.tx {
        egress::enter_own_network().map_err(|error| format!("--tx needs root: {error}"))?;
    }
    let meter = Meter::pin()?;
    let crowd = Crowd::new(SUBSCRIBERS)?;
    let longest = options.train_lengths.iter().copied().max().unwrap_or(1);
    let mut bare = Bare::new(&crowd.addresses()?, longest)?;
    if options.connected {
        bare.connect(&crowd.addresses()?)?;
    }
    let mut verdict = Verdict::default();
    let mut rows = rows(&options);
    rows.retain(|row| row.back_end.is_none_or(|back_end| bare.has(back_end)));
    println!(
        "limit: {PACKET_BYTES} B of RTP to {SUBSCRIBERS} subscribers, AES-256-GCM, {} rounds of \
         {} packets\n{}",
        options.rounds,
        SUBSCRIBERS * ROUND_PACKETS,
        meter.describe()
    );
    for row in &rows {
        arrives_as_meant(row, &mut bare, &crowd, &mut verdict)?;
    }
    let dropping = match options.tx {
        true => {
            egress::mark(bare.socket().as_raw_fd())?;
            for socket in bare.connected_sockets() {
                egress::mark(socket.as_raw_fd())?;
            }
            Some(egress::drop_marked()?)
        }
        false => None,
    };
    for _ in 0..options.rounds {
        for row in &mut rows {
            measure(row, &meter, &mut bare, &mut verdict)?;
            let mut arrived = 0;
            crowd.drain(|_, _, _| arrived += 1)?;
            let sent = row
                .back_end
                .map_or(0, |_| SUBSCRIBERS * row.k * flushes(row.k));
            let due = if options.tx { 0 } else { sent };
            verdict.check(arrived == due, || {
                format!(
                    "{arrived} of {due} datagrams of a round arrived, k={}",
                    row.k
                )
            });
        }
    }
    drop(dropping);
    print_table(&rows, options.tx);
    print_shape(&rows, options.tx);
    print_connected(&rows);
    Ok(verdict.print())
}

fn rows(options: &Options) -> Vec<Row> {
    let mut rows = Vec::new();
    for k in &options.train_lengths {
        let back_ends = options.back_ends.iter().copied().map(Some);
        for back_end in [None].into_iter().chain(back_ends) {
            let name = back_end.map_or("seal", BackEnd::name);
            if !options.wants(name) {
                continue;
            }
            for connected in [false, true] {
                if !connected || options.connected && back_end.is_some() {
                    rows.push(Row {
                        k: *k,
                        back_end,
                        connected,
                        ns: Samples::default(),
                    });
                }
            }
        }
    }
    rows
}

/// Before anything is measured or dropped: every subscriber gets its `k`
/// packets, whole, in order and under its own key.
fn arrives_as_meant(
    row: &Row,
    bare: &mut Bare,
    crowd: &Crowd,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    if row.back_end.is_none() {
        return Ok(());
    }
    bare.prepare(row.k);
    bare.seal(row.k);
    let took = row.send(bare)?;
    // Delivery over loopback is part of sending, or soon after.
    std::thread::sleep(std::time::Duration::from_millis(5));
    let mut count = [0; SUBSCRIBERS];
    let mut genuine = true;
    crowd.drain(|at, _, packet| {
        let back = row.k.saturating_sub(1 + count[at]) as u64;
        genuine &= packet.len() == WIRE_BYTES && bare.is_genuine(at, back, packet);
        count[at] += 1;
    })?;
    let whole = took == SUBSCRIBERS && count == [row.k; SUBSCRIBERS];
    verdict.check(genuine && whole, || {
        let name = row.name();
        format!(
            "{name} k={}: not what was to be sent: {took}, {count:?}",
            row.k
        )
    });
    Ok(())
}

fn measure(
    row: &mut Row,
    meter: &Meter,
    bare: &mut Bare,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    let (k, flushes) = (row.k, flushes(row.k));
    bare.prepare(k);
    let (ns, sent) = meter.time(|| {
        let mut sent = 0;
        for _ in 0..flushes {
            bare.seal(k);
            sent += row.send(bare)?;
        }
        Ok::<_, std::io::Error>(sent)
    });
    let due = row.back_end.map_or(0, |_| SUBSCRIBERS * flushes);
    let sent = sent?;
    verdict.check(sent == due, || {
        format!("{sent} of {due} trains sent, k={k}")
    });
    row.ns.add(ns as f64 / (SUBSCRIBERS * k * flushes) as f64);
    Ok(())
}

fn print_table(rows: &[Row], tx: bool) {
    let path = if tx {
        "transmit path alone"
    } else {
        "full loopback"
    };
    println!("\nns of CPU per packet, {path}: median [min - p90]\n");
    println!("| back end | k | limit | expected on Zen 3 | limit / expected |");
    println!("|---|---:|---|---:|---:|");
    for row in rows {
        let name = row.name();
        let is_known = |known: &&Expected| Some(known.back_end) == row.back_end && known.k == row.k;
        let known = EXPECTED
            .iter()
            .find(|known| !row.connected && is_known(known));
        let (expected, ratio) = match known {
            None => ("-".to_string(), "-".to_string()),
            Some(known) => {
                let ns = if tx { known.tx_ns } else { known.loopback_ns };
                (format!("{ns:.0}"), format!("{:.2}", row.ns.median() / ns))
            }
        };
        println!("| {name} | {} | {} | {expected} | {ratio} |", row.k, row.ns);
    }
}

/// What a connected socket for each subscriber costs, of what one for all does.
fn print_connected(rows: &[Row]) {
    for row in rows.iter().filter(|row| row.connected) {
        let is_beside =
            |other: &&Row| !other.connected && other.back_end == row.back_end && other.k == row.k;
        if let Some(one) = rows.iter().find(is_beside) {
            let ratio = row.ns.over(&one.ns);
            println!("{} k={}: {ratio:.2} of one socket", row.name(), row.k);
        }
    }
}

/// What trains save, against the band this kernel path is known for.
fn print_shape(rows: &[Row], tx: bool) {
    let (whole, sending) = if tx {
        (WHOLE_TX, SENDING_TX)
    } else {
        (WHOLE_LOOPBACK, SENDING_LOOPBACK)
    };
    println!();
    for back_end in [BackEnd::Uring, BackEnd::Mmsg] {
        let cost = |back_end, k| {
            let mut rows = rows.iter();
            let is_it = |row: &&Row| row.back_end == back_end && row.k == k && !row.connected;
            let row = rows.find(is_it)?;
            Some(&row.ns)
        };
        let of = |k| {
            let (whole, seal) = (cost(Some(back_end), k)?, cost(None, k)?);
            Some((whole, whole.with(seal, |whole, seal| whole - seal)))
        };
        let (Some((one, one_sent)), Some((eight, eight_sent))) = (of(1), of(8)) else {
            continue;
        };
        let times = one_sent.over(&eight_sent).median();
        let judgement = if (sending.0..=sending.1).contains(&times) {
            "as known"
        } else {
            "OUT OF BAND: trains do here what they do not elsewhere; distrust this run"
        };
        println!(
            "{}: a single datagram costs {times:.1} times one in a train of 8 to send (band {} to \
             {}: {judgement}); encrypted and sent {:.1} times (expected {} to {})",
            back_end.name(),
            sending.0,
            sending.1,
            one.over(eight).median(),
            whole.0,
            whole.1,
        );
    }
}
