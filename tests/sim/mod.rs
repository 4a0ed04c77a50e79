//! What the simulated tests share: spans, a rough network, and the end of
//! every run, at which nothing may be left.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(
    clippy::disallowed_methods,
    reason = "a sweep is asked for from outside"
)]

pub mod records;
pub mod sound;

use std::ops::Range;

use ringhall::base::time::Span;
use ringhall::core::CloseCause;
use ringhall::sim::browser::Plan;
use ringhall::sim::net::Faults;
use ringhall::sim::oracle;
use ringhall::sim::publisher::Media;
use ringhall::sim::rtmp_peer::RtmpSeat;
use ringhall::sim::world::{Options, Seat, World};

/// A browser that knows H.264, and only looks on.
pub const WATCHES: Plan = Plan {
    media: Media::H264,
    ..Plan::AUDIENCE
};

/// How far sound and pictures may be apart.
pub const SKEW_MAX: Span = Span::from_ms(40);

pub const FRAME: Span = Span::from_us(33_333);

pub const fn ms(ms: u64) -> Span {
    Span::from_ms(ms)
}

pub const fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

/// Some of every fault a path can have by itself.
pub fn rough(options: Options) -> Options {
    let faults = |delay| Faults {
        jitter: ms(10),
        reorder_ppm: 10_000,
        duplicate_ppm: 10_000,
        corrupt_ppm: 5_000,
        ..Faults::losing(delay, 20_000)
    };
    Options {
        up: faults(options.up.delay),
        down: faults(options.down.delay),
        ..options
    }
}

#[track_caller]
pub fn expect_nothing(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Everybody leaves and hangs up; after the longest timer nothing is left.
#[track_caller]
pub fn everybody_leaves(world: &mut World) {
    let seats: Vec<Seat> = (0..world.browsers().len()).map(Seat).collect();
    for seat in &seats {
        world.leave(*seat);
    }
    world.run_for(secs(1));
    for seat in &seats {
        world.close_peers(*seat);
        world.hang_up(*seat, CloseCause::Ended);
    }
    for seat in 0..world.rtmp_peers().len() {
        world.rtmp_hang_up(RtmpSeat(seat), CloseCause::Ended);
    }
    world.run_for(secs(45));
    expect_nothing(oracle::everything_is_legal(world));
    expect_nothing(oracle::nothing_is_left(world));
}

/// The seeds of a test: the constants, or for a sweep `RINGHALL_SEEDS=from..to`.
pub fn seeds(constants: Range<u64>) -> Range<u64> {
    let asked = std::env::var("RINGHALL_SEEDS").ok().and_then(|asked| {
        let (from, to) = asked.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    asked.unwrap_or(constants)
}
