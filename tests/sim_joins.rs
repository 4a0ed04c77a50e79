//! A crowd comes in at once, beside a room that is there: its handshakes wait
//! for their turn, the room's media does not.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::limits::TURN_HANDSHAKE_STEPS_MAX;
use ringhall::base::snapshot::Drop;
use ringhall::core::CoreId;
use ringhall::sim::browser::Plan;
use ringhall::sim::oracle;
use ringhall::sim::world::{Options, World};

use sim::{everybody_leaves, expect_nothing, ms, secs};

const CROWD: usize = 100;

#[test]
fn a_hundred_come_at_once_and_nobody_misses_a_picture() {
    let mut world = World::new(Options::clean(7));
    world.enter("ann", "room", Plan::STAGE);
    for viewer in 0..5 {
        world.enter(&format!("viewer {viewer}"), "room", Plan::AUDIENCE);
    }
    world.enter("bob", "hall", Plan::STAGE);
    world.run_for(secs(3));
    for guest in 0..CROWD {
        world.enter(&format!("guest {guest}"), "hall", Plan::AUDIENCE);
    }
    world.run_for(secs(4));
    let sights = oracle::sights(&world);
    assert_eq!(sights.len(), 5 + CROWD, "somebody sees nothing");
    let end = world.now;
    // Nobody waits longer than the usual, and from then on misses nothing.
    expect_nothing(oracle::everyone_sees_and_hears(&world, end, ms(40)));
    for reason in [Drop::HandshakesWaiting, Drop::PoolDry, Drop::Overrun] {
        let snapshots = world.snapshots();
        let dropped: u64 = snapshots.iter().map(|s| s.counters.dropped(reason)).sum();
        assert_eq!(dropped, 0, "{}", reason.label());
    }
    // Had they not taken turns, the crowd's flights would have shared a few.
    let (core, out) = world.core_mut(CoreId(0));
    let turns = core.snapshot(out).counters.turns;
    assert!(turns > (2 * CROWD / TURN_HANDSHAKE_STEPS_MAX) as u64);
    everybody_leaves(&mut world);
}
