//! What it costs to forward a frame whose packets come one by one, with time in
//! between, as publishers send them; and what waiting for the frame's last
//! packet (`media.hold_us`) saves. The server is the shipped one, over real
//! sockets and in real time: one publisher of 2.6 Mbit/s, 30 frames of nine
//! packets a second.
//!
//! `cargo bench --bench pacing`. Fails when a viewer missed a packet or could not
//! read one; what was slow is only said.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use shared::meter::Meter;
use shared::metrics::Metrics;
use shared::samples::Samples;
use shared::venue::Venue;
use shared::verdict::Verdict;

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod crowd;
    pub mod guest;
    pub mod meter;
    pub mod metrics;
    pub mod options;
    pub mod processes;
    pub mod samples;
    pub mod server;
    pub mod shipped;
    pub mod stage;
    pub mod venue;
    pub mod verdict;
}

const USAGE: &str = "options, behind `--`:
  --rounds N       windows of each alternative [default: 6]
  --window-s N     seconds of a window [default: 2]
  --viewers N      [default: 50]
  --holds N,...    microseconds held [default: 0,1000]
  --gaps N,...     microseconds between two packets of a frame
                   [default: 0,20,50,200,500]
  --back-end NAME  only uring or mmsg [default: both]";

const FRAME_EVERY: Duration = Duration::from_nanos(33_333_333);
const FRAME_PACKETS: usize = 9;

struct Options {
    rounds: usize,
    window: Duration,
    viewers: usize,
    holds_us: Vec<u64>,
    gaps_us: Vec<u64>,
    back_ends: Vec<String>,
}

impl Options {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut options = Options {
            rounds: 6,
            window: Duration::from_secs(2),
            viewers: 50,
            holds_us: vec![0, 1_000],
            gaps_us: vec![0, 20, 50, 200, 500],
            back_ends: vec!["uring".into(), "mmsg".into()],
        };
        let mut is_test = true;
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => is_test = false,
                "--rounds" => options.rounds = value()?.parse()?,
                "--window-s" => options.window = Duration::from_secs(value()?.parse()?),
                "--viewers" => options.viewers = value()?.parse()?,
                "--holds" => options.holds_us = numbers(&value()?)?,
                "--gaps" => options.gaps_us = numbers(&value()?)?,
                "--back-end" => options.back_ends = vec![value()?],
                other => return Err(format!("unknown argument {other}\n{USAGE}").into()),
            }
        }
        if is_test {
            (options.rounds, options.window) = (1, Duration::from_millis(300));
        }
        Ok(options)
    }
}

fn numbers(text: &str) -> Result<Vec<u64>, std::num::ParseIntError> {
    text.split(',').map(str::parse).collect()
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pacing: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One back end and hold, with its own server.
struct Alternative {
    back_end: String,
    hold_us: u64,
    venue: Venue,
    /// By gap.
    outcomes: Vec<Outcome>,
}

#[derive(Clone, Default)]
struct Outcome {
    ns: Samples,
    train: Samples,
    turns: Samples,
    /// Upper bound, in microseconds, of what 99 in 100 packets waited inside.
    inside_us: Samples,
    late_us: u64,
}

fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::read()?;
    // Of the servers' CPU, which is the first.
    let _meter = Meter::pin()?;
    let mut verdict = Verdict::default();
    let mut alternatives = Vec::new();
    for back_end in &options.back_ends {
        for hold_us in &options.holds_us {
            let settings = [format!("io={back_end}"), format!("media.hold_us={hold_us}")];
            alternatives.push(Alternative {
                back_end: back_end.clone(),
                hold_us: *hold_us,
                venue: Venue::open(&settings, options.viewers)?,
                outcomes: vec![Outcome::default(); options.gaps_us.len()],
            });
        }
    }
    for _ in 0..options.rounds {
        for (place, gap_us) in options.gaps_us.iter().enumerate() {
            for alternative in &mut alternatives {
                alternative.window(&options, place, *gap_us, &mut verdict)?;
            }
        }
    }
    print(&options, &alternatives);
    for alternative in alternatives {
        let dropped = alternative.venue.metrics()?.total("ringhall_drops_total");
        // Packets from before the viewers' first key frame, nothing else.
        verdict.check(dropped < 3.0 * options.viewers as f64, || {
            format!("{} dropped {dropped}", alternative.back_end)
        });
        alternative.venue.close()?;
    }
    Ok(verdict.print())
}

impl Alternative {
    fn window(
        &mut self,
        options: &Options,
        place: usize,
        gap_us: u64,
        verdict: &mut Verdict,
    ) -> Result<(), Box<dyn Error>> {
        let frames = (options.window.as_nanos() / FRAME_EVERY.as_nanos()) as usize;
        let (venue, outcome) = (&mut self.venue, &mut self.outcomes[place]);
        venue.drain(|_, _| {})?;
        let before = (venue.cpu_ns()?, venue.metrics()?);
        let mut arrived = vec![0; options.viewers];
        let mut unread = Vec::new();
        let start = Instant::now();
        for number in 0..frames {
            let packets = venue.frame(FRAME_PACKETS, false)?;
            let due = start + FRAME_EVERY * number as u32;
            for (place, packet) in (0..).zip(&packets) {
                let late = wait(due + Duration::from_micros(gap_us) * place);
                outcome.late_us = outcome.late_us.max(late.as_micros() as u64);
                venue.send(packet)?;
            }
            std::thread::sleep(Duration::from_millis(5));
            take(venue, &mut arrived, &mut unread)?;
        }
        std::thread::sleep(Duration::from_millis(20));
        take(venue, &mut arrived, &mut unread)?;
        let after = (venue.cpu_ns()?, venue.metrics()?);
        let due = (frames * FRAME_PACKETS) as u64;
        verdict.check(arrived.iter().all(|count| *count == due), || {
            format!("gap {gap_us} us: {due} packets were due: {arrived:?}")
        });
        let last = unread
            .into_iter()
            .map(|mut packet| venue.open_packet(0, &mut packet));
        let last = last.collect::<Result<Vec<_>, _>>()?.pop();
        let is_read = last.is_some_and(|payload| payload.last() == Some(&venue.last_byte()));
        verdict.check(is_read, || "the first viewer read something else".into());
        outcome.add(&before, &after, due * options.viewers as u64, frames as u64);
        Ok(())
    }
}

/// Waits until `due`; how late it is then.
fn wait(due: Instant) -> Duration {
    loop {
        let now = Instant::now();
        match due.checked_duration_since(now) {
            Some(left) if left > Duration::from_millis(1) => {
                std::thread::sleep(left - Duration::from_millis(1));
            }
            Some(_) => std::hint::spin_loop(),
            None => return now.duration_since(due),
        }
    }
}

/// Counts what every viewer got; the first's packets are kept.
fn take(
    venue: &mut Venue,
    arrived: &mut [u64],
    unread: &mut Vec<Vec<u8>>,
) -> Result<(), Box<dyn Error>> {
    venue.drain(|viewer, packet| {
        if let Some(count) = arrived.get_mut(viewer) {
            *count += 1;
        }
        if viewer == 0 {
            unread.push(packet.to_vec());
        }
    })
}

impl Outcome {
    fn add(&mut self, before: &(u64, Metrics), after: &(u64, Metrics), packets: u64, frames: u64) {
        let grew = |name: &str| after.1.total(name) - before.1.total(name);
        self.ns.add((after.0 - before.0) as f64 / packets as f64);
        // Reports go by themselves, one a second: they would hide in the mean.
        let trains = grew("ringhall_trains_sent_total");
        let alone = grew("ringhall_datagrams_sent_total") - packets as f64;
        self.train.add(packets as f64 / (trains - alone));
        self.turns.add(grew("ringhall_turns_total") / frames as f64);
        let forward = "ringhall_forward_seconds";
        let inside_us = after.1.quantile_us(&before.1, forward, 0.99);
        self.inside_us.add(inside_us);
    }
}

fn print(options: &Options, alternatives: &[Alternative]) {
    println!(
        "pacing: {} viewers, {FRAME_PACKETS} packets a frame, 30 frames a second, {} windows of \
         {:?} each\n",
        options.viewers, options.rounds, options.window
    );
    println!(
        "| back end | us between packets | held at most, us | ns of CPU per delivered packet | \
         mean train | turns per frame | 99 % inside for at most, us | publisher late by at most, \
         us |"
    );
    println!("|---|---:|---:|---|---:|---:|---:|---:|");
    for (place, gap_us) in options.gaps_us.iter().enumerate() {
        for alternative in alternatives {
            let outcome = &alternative.outcomes[place];
            println!(
                "| {} | {gap_us} | {} | {} | {:.1} | {:.1} | {:.0} | {} |",
                alternative.back_end,
                alternative.hold_us,
                outcome.ns,
                outcome.train.median(),
                outcome.turns.median(),
                outcome.inside_us.median(),
                outcome.late_us
            );
        }
    }
}
