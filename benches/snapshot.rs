//! What `/api` and `/metrics` take of a core's turns: the state of 5,000 rooms
//! and 10,000 viewers, copied piece by piece. The longest turn, and all of them.
//!
//! `cargo bench --bench snapshot`. Fails when a room or a viewer is missing.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::process::ExitCode;

use ringhall::base::snapshot::ServerSnapshot;
use ringhall::core::{ConnectionId, Door, Input, Machine};
use ringhall::wire::codec::VideoCodec;
use shared::guest::Part;
use shared::hall::{About, Hall, Watch};
use shared::meter::{Meter, thread_ns};
use shared::samples::Samples;
use shared::verdict::Verdict;

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod guest;
    pub mod hall;
    pub mod meter;
    pub mod samples;
    pub mod verdict;
}

const ROOMS: usize = 5_000;
const ROOM_VIEWERS: usize = 2;
/// Guests that come in at once.
const WAVE: usize = 200;
const ROUNDS: usize = 10;
const ASKING: ConnectionId = ConnectionId(1 << 40);

/// CPU time of each turn.
#[derive(Default)]
struct Turns {
    began: u64,
    turn_ns: u64,
    us: Samples,
    sum_us: f64,
}

impl Watch for Turns {
    fn begin(&mut self) {
        self.began = thread_ns();
    }

    fn end(&mut self, _about: About) {
        self.turn_ns += thread_ns() - self.began;
    }

    fn turn(&mut self) {
        let us = std::mem::take(&mut self.turn_ns) as f64 / 1e3;
        self.us.add(us);
        self.sum_us += us;
    }
}

fn main() -> ExitCode {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (rooms, rounds) = if is_bench { (ROOMS, ROUNDS) } else { (300, 1) };
    match run(rooms, rounds) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("snapshot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(rooms: usize, rounds: usize) -> Result<bool, Box<dyn Error>> {
    let meter = Meter::pin()?;
    println!("snapshot: {}", meter.describe());
    let mut hall = Hall::new(Turns::default())?;
    let stride = ROOM_VIEWERS + 1;
    for (came, number) in (0..rooms).enumerate() {
        let part = Part::Publisher(VideoCodec::Vp8);
        hall.enter(part, number * stride, &format!("room {number}"));
        if came % WAVE == 0 {
            hall.connect()?;
        }
    }
    hall.connect()?;
    for number in (0..rooms * stride).filter(|number| number % stride != 0) {
        let room = number / stride;
        hall.enter(Part::Viewer(room * stride), number, &format!("room {room}"));
        if number % WAVE == 0 {
            hall.connect()?;
        }
    }
    hall.connect()?;
    println!("\n{rooms} rooms of 1 to {ROOM_VIEWERS}, us of CPU\n");
    println!("| asked for | turns | longest turn: median [min - p90] | all turns |");
    println!("|---|---:|---|---|");
    let mut verdict = Verdict::default();
    for path in ["/api/rooms", "/metrics"] {
        let (mut longest, mut all, mut turns) = (Samples::default(), Samples::default(), 0);
        for _ in 0..rounds {
            hall.watch = Turns::default();
            let snapshot = ask(&mut hall, path, &mut turns)?;
            longest.add(hall.watch.us.quantile(1.0));
            all.add(hall.watch.sum_us);
            check(&snapshot, path, rooms, &mut verdict);
        }
        println!("| `{path}` | {turns} | {longest} | {all} |");
    }
    Ok(verdict.print())
}

fn check(snapshot: &ServerSnapshot, path: &str, rooms: usize, verdict: &mut Verdict) {
    let viewers = (rooms * ROOM_VIEWERS) as u64;
    let gauges = &snapshot.gauges;
    let counted = (gauges.rooms, gauges.subscriptions, gauges.participants);
    let due = (rooms as u64, viewers, viewers + rooms as u64);
    verdict.check(counted == due, || {
        format!("{path}: {counted:?}, not {due:?}")
    });
    if path == "/api/rooms" {
        let participants = snapshot.rooms.iter().flat_map(|room| &room.participants);
        let plays: usize = participants
            .map(|participant| participant.plays.len())
            .sum();
        verdict.check(plays as u64 == viewers, || {
            format!("{plays} plays are told")
        });
    }
}

/// Asks on a connection of its own; the turns that make the answer.
fn ask(
    hall: &mut Hall<Turns>,
    path: &str,
    turns: &mut usize,
) -> Result<ServerSnapshot, Box<dyn Error>> {
    let now = hall.now;
    let accepted = Input::Accepted {
        connection: ASKING,
        peer: ([127, 0, 0, 1], 1).into(),
        door: Door::Plain,
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    hall.core.handle(now, accepted, &mut hall.out);
    hall.watch.begin();
    let written = Input::Bytes {
        connection: ASKING,
        bytes: request.as_bytes(),
    };
    hall.core.handle(now, written, &mut hall.out);
    hall.watch.end(About::Signalling);
    *turns = 0;
    loop {
        hall.finish_turn(|trains| {
            let mut taken = Vec::new();
            trains.take(&mut taken);
            taken.drain(..).for_each(|train| trains.release(train));
        });
        *turns += 1;
        if let Some(render) = hall.out.renders.pop() {
            let closed = Input::Closed {
                connection: ASKING,
                cause: ringhall::core::CloseCause::Ended,
            };
            hall.core.handle(now, closed, &mut hall.out);
            let snapshot = render.snapshots.into_iter().next();
            return snapshot.ok_or_else(|| "an answer without a snapshot".into());
        }
        if *turns > ROOMS {
            return Err(format!("{path} is never answered").into());
        }
    }
}
