//! Simulated calls: who joins, publishes and plays sees and hears it.

use ringhall::base::time::Span;
use ringhall::sim::browser::Plan;
use ringhall::sim::world::{Options, World};

#[test]
fn two_participants_see_and_hear_each_other() {
    let mut world = World::new(Options::clean(1));
    let ann = world.enter("ann", "room", Plan::CALL);
    world.run_for(Span::from_secs(1));
    let bob = world.enter("bob", "room", Plan::CALL);
    world.run_for(Span::from_secs(5));
    for seat in [ann, bob] {
        let b = world.browser(seat);
        println!("{} {:?} puzzles {:?}", b.login, b.story(), b.puzzles);
        for peer in &b.peers {
            println!("{} {:?} {:?} {:?}", peer.stream, peer.connected, peer.dtls_version, peer.statuses);
            if let Some(p) = peer.publisher() { println!("sent {} frames {} audio {:?}", p.frames.len(), p.audio.len(), p.told); }
            if let Some(v) = peer.viewer() { println!("seen {} pictures {} audio {} sr {} plis {} nacked {} v {:?} e {:?}", v.frames.len(), v.pictures.len(), v.audio.len(), v.sender_reports, v.plis, v.nacked, v.violations, ringhall::sim::egress::check_egress(&v.egress)); }
        }
    }
    println!("{:?}", world.snapshots()[0].counters);
    println!("{:x} {}", world.trace_hash(), world.trace_entries());
}
