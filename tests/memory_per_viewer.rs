//! What people cost a core in memory: a viewer with its WebSocket session and
//! its connected transport, idle; and a room by itself. Counted is what the
//! core takes from the allocator and does not give back; what the kernel and
//! the driver hold of a connection (some 5 KiB) is not in it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod counting;
#[allow(dead_code, reason = "each user takes its part")]
#[path = "../benches/shared/guest.rs"]
mod guest;
#[allow(dead_code, reason = "each user takes its part")]
#[path = "../benches/shared/hall.rs"]
mod hall;

use ringhall::base::time::Span;
use ringhall::wire::codec::VideoCodec;

use guest::Part;
use hall::{About, Hall, Watch};

const VIEWERS: usize = 200;
const ROOMS: usize = 1_000;

/// The whole of it is 64 KiB beyond the kernel's.
const VIEWER_MAX_BYTES: i64 = (64 - 5) << 10;
const ROOM_MAX_BYTES: i64 = 4 << 10;

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

/// Time passes as far as idle connections allow.
fn settle(hall: &mut Hall<Scales>) {
    for _ in 0..5 {
        hall.now = hall.now + Span::from_secs(1);
        hall.exchange().unwrap();
    }
}

#[test]
fn an_idle_viewer_costs_less_than_64_kib() {
    let mut hall = Hall::new(Scales).unwrap();
    hall.enter(Part::Publisher(VideoCodec::Vp8), 0, "room");
    hall.connect().unwrap();
    settle(&mut hall);
    let before = counting::held_bytes();
    for number in 1..=VIEWERS {
        hall.enter(Part::Viewer(0), number, "room");
    }
    hall.connect().unwrap();
    settle(&mut hall);
    let gauges = hall.snapshot().gauges;
    assert_eq!(gauges.subscriptions, VIEWERS as u64);
    let viewer = (counting::held_bytes() - before) / VIEWERS as i64;
    println!("{viewer} bytes a viewer");
    assert!(viewer > 1_000, "{viewer} bytes: nothing is counted");
    assert!(viewer <= VIEWER_MAX_BYTES, "{viewer} bytes a viewer");
}

/// Members alone, in so many rooms; what is held of them.
fn members(rooms: usize) -> i64 {
    let mut hall = Hall::new(Scales).unwrap();
    let before = counting::held_bytes();
    for number in 0..ROOMS {
        hall.enter(Part::Member, number, &format!("room {}", number % rooms));
        hall.exchange().unwrap();
    }
    settle(&mut hall);
    let gauges = hall.snapshot().gauges;
    assert_eq!(gauges.rooms, rooms as u64);
    assert_eq!(gauges.participants, ROOMS as u64);
    counting::held_bytes() - before
}

#[test]
fn a_room_costs_less_than_4_kib() {
    let room = (members(ROOMS) - members(1)) / (ROOMS as i64 - 1);
    println!("{room} bytes a room");
    assert!(room > 100, "{room} bytes: nothing is counted");
    assert!(room <= ROOM_MAX_BYTES, "{room} bytes a room");
}
