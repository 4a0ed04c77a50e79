//! What a join costs the server, from a WebSocket's first byte to keys, and
//! what a hundred at once do to a room that is there: the longest turn, and the
//! longest a frame of that room waited. Time is the core's CPU time; what
//! guests and kernel spend passes in none.
//!
//! `cargo bench --bench join`. Fails when somebody did not get in, or a packet
//! of the running room was dropped; what was slow is only said.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use ringhall::base::limits::TURN_CONNECTION_INPUTS_MAX;
use ringhall::base::snapshot::Drop;
use ringhall::base::time::{Span, Time};
use ringhall::wire::codec::VideoCodec;
use shared::guest::Part;
use shared::hall::{About, Hall, Watch};
use shared::meter::{Meter, thread_ns};
use shared::samples::Samples;
use shared::stage::Stage;
use shared::verdict::Verdict;

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod guest;
    pub mod hall;
    pub mod meter;
    pub mod samples;
    pub mod stage;
    pub mod verdict;
}

/// Joins measured one by one, and those at once.
const JOINS: usize = 100;
const STORM: usize = 100;
const STORM_FROM: usize = 1_000;
/// Viewers of the running room, and its pictures.
const AUDIENCE: usize = 50;
const FRAME_PACKETS: usize = 8;
const FRAME_INTERVAL: Span = Span::from_us(33_333);
/// Guests connect and speak: two inputs each.
const ENTRIES_PER_TURN: usize = TURN_CONNECTION_INPUTS_MAX / 2;

/// CPU time in the core.
#[derive(Default)]
struct Watched {
    began: u64,
    by: BTreeMap<About, u64>,
    turn_ns: u64,
    /// The latest turn's, and all.
    turn_us: u64,
    turns_us: Samples,
}

impl Watch for Watched {
    fn begin(&mut self) {
        self.began = thread_ns();
    }

    fn end(&mut self, about: About) {
        let ns = thread_ns() - self.began;
        *self.by.entry(about).or_default() += ns;
        self.turn_ns += ns;
    }

    fn turn(&mut self) {
        let ns = std::mem::take(&mut self.turn_ns);
        self.turn_us = ns / 1_000;
        self.turns_us.add(ns as f64 / 1e3);
    }
}

fn main() -> ExitCode {
    let joins = match std::env::args().any(|argument| argument == "--bench") {
        true => JOINS,
        false => 3,
    };
    match run(joins) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("join: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(joins: usize) -> Result<bool, Box<dyn Error>> {
    let meter = Meter::pin()?;
    println!("join: {}", meter.describe());
    let mut verdict = Verdict::default();
    one_by_one(joins)?;
    storm(&mut verdict)?;
    Ok(verdict.print())
}

fn one_by_one(joins: usize) -> Result<(), Box<dyn Error>> {
    let mut hall = Hall::new(Watched::default())?;
    hall.enter(Part::Publisher(VideoCodec::Vp8), 0, "room");
    hall.connect()?;
    let mut costs: BTreeMap<About, Samples> = BTreeMap::new();
    let mut whole = Samples::default();
    for number in 1..=joins {
        hall.watch = Watched::default();
        hall.enter(Part::Viewer(0), number, "room");
        hall.connect()?;
        whole.add(hall.watch.by.values().sum::<u64>() as f64 / 1e3);
        for about in [About::Signalling, About::Ice, About::Dtls] {
            let ns = hall.watch.by.get(&about).copied().unwrap_or(0);
            costs.entry(about).or_default().add(ns as f64 / 1e3);
        }
        hall.leave(number);
        hall.exchange()?;
    }
    println!("\nus of CPU per join: median [min - p90]\n\n| part | us |\n|---|---|");
    for (about, us) in &costs {
        println!("| {about:?} | {us} |");
    }
    println!("| all | {whole} |");
    Ok(())
}

fn storm(verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    let mut hall = Hall::new(Watched::default())?;
    let mut stage = Stage::default();
    hall.enter(Part::Publisher(VideoCodec::Vp8), 0, "running");
    hall.enter(Part::Publisher(VideoCodec::Vp8), STORM_FROM, "joined");
    hall.connect()?;
    for number in 1..=AUDIENCE {
        hall.enter(Part::Viewer(0), number, "running");
    }
    hall.connect()?;
    play(&mut hall, &mut stage, true)?;
    hall.exchange()?;
    let before = hall.snapshot().counters;
    hall.watch = Watched::default();
    let (mut due, start) = (hall.now, hall.now);
    let mut waited_us = Samples::default();
    let mut coming = STORM_FROM + 1..=STORM_FROM + STORM;
    let mut frames = 0;
    loop {
        let is_frame = hall.now >= due;
        if is_frame {
            play(&mut hall, &mut stage, false)?;
            frames += 1;
        }
        for number in coming.by_ref().take(ENTRIES_PER_TURN) {
            hall.enter(Part::Viewer(STORM_FROM), number, "joined");
        }
        hall.hand_in();
        hall.turn()?;
        hall.now = hall.now + Span::from_us(hall.watch.turn_us.max(1));
        if is_frame {
            waited_us.add(hall.now.since(due).as_us() as f64);
            due = due + FRAME_INTERVAL;
        }
        if coming.is_empty() && !hall.guests.values().any(|guest| guest.is_coming()) {
            break;
        }
    }
    report(&hall, start, &waited_us);
    let counters = hall.snapshot().counters;
    let forwarded = counters.media_packets_forwarded - before.media_packets_forwarded;
    let published = (frames * FRAME_PACKETS * AUDIENCE) as u64;
    verdict.check(forwarded == published, || {
        format!("{forwarded} of {published} packets were forwarded")
    });
    for reason in [Drop::PoolDry, Drop::HandshakesWaiting, Drop::Overrun] {
        let dropped = counters.dropped(reason) - before.dropped(reason);
        verdict.check(dropped == 0, || format!("{dropped} {}", reason.label()));
    }
    Ok(())
}

fn report(hall: &Hall<Watched>, start: Time, waited_us: &Samples) {
    let turns = &hall.watch.turns_us;
    println!(
        "\n{STORM} at once, beside a room of 1 to {AUDIENCE}: all in after {} ms of CPU\n\
         turns, us: median {:.0}, p99 {:.0}, longest {:.0}\n\
         frames waited for the end of their turn, us: median {:.0}, longest {:.0}",
        hall.now.since(start).as_ms(),
        turns.median(),
        turns.quantile(0.99),
        turns.quantile(1.0),
        waited_us.median(),
        waited_us.quantile(1.0),
    );
}

/// The running room's next frame.
fn play(hall: &mut Hall<Watched>, stage: &mut Stage, is_key: bool) -> Result<(), Box<dyn Error>> {
    let publisher = hall.guests.get_mut(&0).ok_or("nobody there")?;
    for mut packet in stage.frame(publisher, FRAME_PACKETS, is_key)? {
        hall.receive(0, &mut packet);
    }
    Ok(())
}
