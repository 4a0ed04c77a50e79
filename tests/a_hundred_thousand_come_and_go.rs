//! A hundred thousand people join a room and leave it, some with streams, and
//! the core holds what it held before: every gauge is back at nothing, and the
//! memory is given back.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod counting;
#[allow(dead_code, reason = "each user takes its part")]
#[path = "../benches/shared/guest.rs"]
mod guest;
#[allow(dead_code, reason = "each user takes its part")]
#[path = "../benches/shared/hall.rs"]
mod hall;

use ringhall::base::snapshot::Gauges;
use ringhall::base::time::Span;
use ringhall::wire::codec::VideoCodec;

use guest::Part;
use hall::{About, Hall, Watch};

const PEOPLE: usize = 100_000;
/// So many at once, in so many rooms; every tenth lot's rooms have streams.
const LOT: usize = 50;
const ROOMS: usize = 5;
const LOTS_A_STREAM: usize = 20;
/// Beyond this lies what scales with how many came, not with how many are
/// there: an eighth of the least a session takes.
const LEFT_MAX_BYTES: i64 = (PEOPLE as i64) * 64;

/// Counts what the core holds.
struct Scales;

impl Watch for Scales {
    fn begin(&mut self) {
        counting::watch(true);
    }

    fn end(&mut self, _about: About) {
        counting::watch(false);
    }
}

/// One lot comes and goes; how many of them had streams.
fn lot(hall: &mut Hall<Scales>, first: usize, with_streams: bool) -> usize {
    let room = |number: usize| format!("room {}", number % ROOMS);
    let publishers = if with_streams { ROOMS } else { 0 };
    for number in first..first + publishers {
        let part = Part::Publisher(VideoCodec::Vp8);
        hall.enter(part, number, &room(number));
    }
    hall.connect().unwrap();
    for number in first + publishers..first + LOT {
        let part = match with_streams {
            true => Part::Viewer(first + number % ROOMS),
            false => Part::Member,
        };
        hall.enter(part, number, &room(number));
    }
    hall.connect().unwrap();
    let gauges = hall.snapshot().gauges;
    assert_eq!(gauges.participants, LOT as u64);
    assert_eq!(gauges.rooms, ROOMS as u64);
    let transports = if with_streams { LOT } else { 0 };
    assert_eq!(gauges.transports, transports as u64);
    // Publishers first: who plays them hears of it.
    for number in first..first + LOT {
        hall.leave(number);
    }
    hall.exchange().unwrap();
    transports
}

fn all(gauges: &Gauges) -> [(&'static str, u64); 9] {
    [
        ("connections", gauges.connections),
        ("sessions", gauges.sessions),
        ("rooms", gauges.rooms),
        ("participants", gauges.participants),
        ("publications", gauges.publications),
        ("subscriptions", gauges.subscriptions),
        ("transports", gauges.transports),
        ("timers", gauges.timers),
        ("recordings", gauges.recordings),
    ]
}

/// Every timer fires, those for people long gone too.
fn let_timers_run_out(hall: &mut Hall<Scales>) {
    for _ in 0..700 {
        hall.now = hall.now + Span::from_secs(1);
        hall.exchange().unwrap();
    }
}

#[test]
fn everything_they_took_is_given_back() {
    let mut hall = Hall::new(Scales).unwrap();
    let slots = hall.snapshot().gauges.trains_free;
    // The first lots make room for what the core keeps.
    lot(&mut hall, 0, true);
    let_timers_run_out(&mut hall);
    let before = counting::held_bytes();
    let mut streams = 0;
    for (number, first) in (LOT..PEOPLE).step_by(LOT).enumerate() {
        streams += lot(&mut hall, first, number % LOTS_A_STREAM == 0);
    }
    assert!(streams >= 1_000, "{streams} streams");
    let_timers_run_out(&mut hall);
    let gauges = hall.snapshot().gauges;
    for (name, value) in all(&gauges) {
        assert_eq!(value, 0, "{name}");
    }
    assert_eq!(gauges.trains_free, slots);
    assert_eq!(hall.core.leftovers(), []);
    let left = counting::held_bytes() - before;
    println!("{left} bytes more than before, {streams} streams");
    assert!(left <= LEFT_MAX_BYTES, "{left} bytes more than before");
}
