//! Simulated late viewers of a publisher that cannot be asked for key frames:
//! who comes between two of them sees the picture at once, from what the server
//! kept, and is as near to the live stream as anybody.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::time::Time;
use ringhall::sim::browser::Plan;
use ringhall::sim::net::Faults;
use ringhall::sim::oracle::{self, Sight};
use ringhall::sim::world::{Options, Seat, World};

use sim::{everybody_leaves, expect_nothing, ms, rough, secs};

/// A key frame each 10 s and none when asked, as ffmpeg publishes by WHIP.
const ENCODER: Plan = Plan {
    key_interval: Some(secs(10)),
    ..Plan::STAGE
};

/// The encoder publishes, and a viewer comes 5 s after a key frame.
fn late(options: Options) -> (World, Seat) {
    let mut world = World::new(options);
    world.visit("cam", "room", ENCODER);
    world.run_for(secs(5));
    let viewer = world.enter("bob", "room", Plan::AUDIENCE);
    world.run_for(secs(4));
    (world, viewer)
}

fn is_playing(world: &World, viewer: Seat) -> bool {
    let mut peers = world.browser(viewer).peers.iter();
    peers.any(|peer| peer.has("PLAYING").is_some())
}

fn only_sight(world: &World) -> Sight<'_> {
    let mut sights = oracle::sights(world);
    assert_eq!(sights.len(), 1);
    sights.remove(0)
}

/// The time of the first picture, which is of the key frame before.
fn first_picture(sight: &Sight<'_>) -> Time {
    let (id, at) = *sight.viewer.pictures.first().unwrap();
    assert_eq!(id, 0, "the one key frame there was");
    at
}

/// What was kept spans about a tenth of a second and ends where live begins;
/// live frames are as far apart as they were made.
fn expect_no_delay(sight: &Sight<'_>) {
    let playing = sight.playing.unwrap();
    let frames: Vec<_> = sight.viewer.frames.values().collect();
    let mut live = 0;
    for pair in frames.windows(2) {
        let units = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
        let apart_us = i64::from(units) * 1_000 / 90;
        let sent_us = pair[1].sent.since(pair[0].sent).as_us() as i64;
        assert!(units > 0, "timestamps grow");
        assert!(apart_us <= sent_us + 100, "never slower than it was made");
        if pair[0].sent >= playing {
            live += 1;
            assert!((apart_us - sent_us).abs() < 100, "live is 1:1");
        }
    }
    assert!(live > 60, "{live} live frames");
    let before = frames.iter().filter(|frame| frame.sent < playing);
    let newest = before.clone().next_back().unwrap();
    let (first, count) = (frames[0], before.count());
    assert!(count > 140, "{count} frames of before");
    let kept = newest.timestamp.wrapping_sub(first.timestamp) / 90;
    assert!(kept <= 110 + 34 * 3, "{kept} ms of what was kept");
}

#[test]
fn a_late_viewer_sees_the_picture_at_once_and_without_delay() {
    for cores in [1, 4] {
        let options = Options {
            cores,
            ..Options::clean(21)
        };
        let (mut world, _) = late(options);
        let end = world.now;
        let sight = only_sight(&world);
        let playing = sight.playing.unwrap();
        let waited = first_picture(&sight).since(playing);
        assert!(waited < ms(100), "{} ms without a picture", waited.as_ms());
        assert_eq!(sight.publisher.told.keyframe_requests, 0);
        assert_eq!((sight.viewer.nacked, sight.viewer.plis), (0, 0));
        expect_no_delay(&sight);
        // Once it caught up, every frame is there as soon as anybody's.
        let share = sight.frames_in_time(playing + ms(400), end - ms(100), ms(60));
        assert!(share.sent > 60, "{} sent", share.sent);
        assert_eq!(share.arrived, share.sent);
        let heard = sight.audio_in_time(playing, end - ms(100), ms(60));
        assert_eq!(heard.arrived, heard.sent, "sound is live from the start");
        expect_nothing(oracle::packets_balance(&world));
        let caught_up: u64 = world
            .snapshots()
            .iter()
            .map(|snapshot| snapshot.counters.catch_up_packets_sent)
            .sum();
        assert!(caught_up > 600, "{caught_up} packets from before");
        everybody_leaves(&mut world);
    }
}

#[test]
fn losses_on_the_way_to_a_late_viewer_are_repaired() {
    for seed in sim::seeds(31..37) {
        let clean = Options::clean(seed);
        let options = Options {
            down: Faults::losing(clean.down.delay, 20_000),
            ..clean
        };
        let (mut world, _) = late(options);
        let end = world.now;
        let sight = only_sight(&world);
        let playing = sight.playing.unwrap();
        let waited = first_picture(&sight).since(playing);
        // Who lost the very first packet has nothing to ask for: its player
        // finds that it is stuck after 300 ms, and begins again.
        assert!(waited < ms(600), "seed {seed}: {} ms", waited.as_ms());
        assert!(sight.viewer.recovered > 0, "seed {seed}: nothing was lost");
        if sight.viewer.plis == 0 {
            expect_no_delay(&sight);
        }
        let share = sight.frames_in_time(Time::ZERO, end - ms(500), secs(9));
        assert_eq!(share.arrived, share.sent, "seed {seed}");
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_rough_way_on_both_sides_keeps_every_stream_legal() {
    for seed in sim::seeds(41..45) {
        let (mut world, _) = late(rough(Options::clean(seed)));
        // The next key frame passes as any packet does.
        world.run_for(secs(6));
        expect_nothing(oracle::everything_is_legal(&world));
        // A damaged handshake is refused for good, of either.
        for sight in oracle::sights(&world) {
            let saw = !sight.viewer.pictures.is_empty();
            assert_eq!(saw, !sight.viewer.frames.is_empty(), "seed {seed}");
        }
        everybody_leaves(&mut world);
    }
}

#[test]
fn who_lost_too_much_begins_again() {
    let (mut world, bob) = late(Options::clean(61));
    let well = Options::clean(61);
    let dead = Faults::losing(well.down.delay, 1_000_000);
    // Over the key frame at 10 s, and more packets than anybody asks for.
    world.set_faults(bob, dead, dead);
    world.run_for(secs(8));
    world.set_faults(bob, well.up, well.down);
    let back = world.now;
    world.run_for(secs(2));
    let sight = only_sight(&world);
    assert!(sight.viewer.plis > 0);
    let mut pictures = sight.viewer.pictures.iter();
    let (id, at) = *pictures.find(|(_, at)| *at > back).unwrap();
    assert!((295..305).contains(&id), "the key frame before, not {id}");
    assert!(at.since(back) < ms(500), "{} ms", at.since(back).as_ms());
    let until = world.now - ms(100);
    let share = sight.frames_in_time(at + ms(300), until, ms(60));
    assert!(share.sent > 30, "{} sent", share.sent);
    assert_eq!(share.arrived, share.sent, "it is live again");
    expect_nothing(oracle::everything_is_legal(&world));
    everybody_leaves(&mut world);
}

#[test]
fn who_leaves_while_catching_up_leaves_true_books() {
    let mut world = World::new(Options::clean(51));
    world.visit("cam", "room", ENCODER);
    world.run_for(secs(9));
    let bob = world.enter("bob", "room", Plan::AUDIENCE);
    while !is_playing(&world, bob) {
        world.run_for(ms(1));
    }
    world.run_for(ms(60));
    world.leave(bob);
    world.run_for(secs(1));
    let sight = only_sight(&world);
    assert!(sight.viewer.frames.len() < 200, "it was still catching up");
    expect_nothing(oracle::packets_balance(&world));
    everybody_leaves(&mut world);
}

#[test]
fn a_publisher_that_can_be_asked_is_asked() {
    let mut world = World::new(Options::clean(52));
    world.visit("cam", "room", Plan::STAGE);
    world.run_for(secs(5));
    world.enter("bob", "room", Plan::AUDIENCE);
    world.run_for(secs(2));
    let sight = only_sight(&world);
    assert_eq!(sight.publisher.told.keyframe_requests, 1);
    let (id, _) = sight.viewer.pictures[0];
    assert!(id > 140, "a fresh key frame, not the first one");
    everybody_leaves(&mut world);
}
