//! Once streams flow, a media datagram makes its way through a core to ten
//! viewers and out as trains without one allocation. Counts the allocator's
//! calls of this thread.

#![allow(clippy::disallowed_methods)]

mod counting;

use counting::calls;
use ringhall::base::time::Span;
use ringhall::core::{CoreId, Input, Machine, TurnReport};
use ringhall::sim::browser::Plan;
use ringhall::sim::world::{Options, World};
use ringhall::wire::demux::{self, Kind};

const VIEWERS: u64 = 10;
const PACKETS: usize = 1_000;

#[test]
fn the_counter_counts() {
    let before = calls();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(calls(), before + 1);
}

#[test]
fn a_media_datagram_reaches_ten_viewers_without_allocating() {
    let mut world = World::new(Options::clean(1));
    let ann = world.enter("ann", "room", Plan::STAGE);
    for viewer in 0..VIEWERS {
        world.enter(&format!("viewer {viewer}"), "room", Plan::AUDIENCE);
    }
    world.run_for(Span::from_secs(5));
    let publisher = world.browser(ann).peers[0].address;
    let mut media = world.run_holding(Span::from_secs(6));
    media.retain(|(path, bytes)| path.remote == publisher && demux::classify(bytes) == Kind::Rtp);
    assert!(media.len() > PACKETS, "only {} packets", media.len());
    let start = world.now;
    let (core, out) = world.core_mut(CoreId(0));
    let forwarded = core.snapshot(out).counters.media_packets_forwarded;
    let mut taken = Vec::with_capacity(64);
    let mut handling = 0;
    for (number, (path, bytes)) in (0u64..).zip(media.iter_mut().take(PACKETS)) {
        let now = start + Span::from_ms(5 * number);
        let before = calls();
        let path = *path;
        core.handle(now, Input::Datagram { path, bytes }, out);
        assert!(!core.proceed(now, out), "a packet to ten is one portion");
        core.end_turn(&TurnReport::default());
        out.trains.take(&mut taken);
        handling += calls() - before;
        taken.drain(..).for_each(|train| out.trains.release(train));
        // Timers are not counted: among them are pings of WebSocket sessions.
        core.advance(now, out);
        out.trains.take(&mut taken);
        taken.drain(..).for_each(|train| out.trains.release(train));
    }
    // A frame whose end is not among them waits for its time.
    core.advance(start + Span::from_ms(5 * PACKETS as u64 + 5), out);
    let now = core.snapshot(out).counters.media_packets_forwarded;
    assert_eq!(now - forwarded, VIEWERS * PACKETS as u64, "each to each");
    assert_eq!(handling, 0, "handling {PACKETS} packets allocates");
}
