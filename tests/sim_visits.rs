//! Simulated visits over HTTP: who publishes by WHIP is seen and heard like
//! anybody, who plays by WHEP sees and hears, and nothing of either is left.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::time::{Span, Time};
use ringhall::ops::event::{Event, LeaveCause};
use ringhall::proto::dtls::MaxVersion;
use ringhall::sim::browser::Plan;
use ringhall::sim::net::Faults;
use ringhall::sim::oracle;
use ringhall::sim::peer_connection::Silence;
use ringhall::sim::world::{Options, Seat, World};

use sim::{everybody_leaves, expect_nothing, ms, rough, secs};

/// As ffmpeg offers it.
const WAITING: Silence = Silence {
    checks: false,
    dtls: false,
    waits: true,
    vanished: false,
};

fn camera(silence: Silence) -> Plan {
    Plan {
        silence,
        ..Plan::STAGE
    }
}

/// A member who only looks on, a WHIP publisher, and a WHEP player of it.
fn visits(options: Options, silence: Silence) -> (World, [Seat; 3]) {
    let mut world = World::new(options);
    let bob = world.enter("bob", "room", Plan::AUDIENCE);
    world.run_for(secs(1));
    let cam = world.visit("cam", "room", camera(silence));
    world.run_for(secs(2));
    let viewer = world.visit("cam", "room", Plan::AUDIENCE);
    world.run_for(secs(4));
    (world, [bob, cam, viewer])
}

fn causes(world: &World) -> Vec<(Time, LeaveCause)> {
    let events = world.events.iter();
    let left = events.filter_map(|(at, _, event)| match event {
        Event::Left { login, cause, .. } if login == "cam" => Some((*at, *cause)),
        _ => None,
    });
    left.collect()
}

#[test]
fn a_whip_publisher_is_seen_by_members_and_whep_players() {
    for (version, silence, cores) in [
        (MaxVersion::Dtls12, Silence::default(), 1),
        (MaxVersion::Dtls12, WAITING, 4),
        (MaxVersion::Dtls13, WAITING, 1),
        (MaxVersion::Dtls13, Silence::default(), 4),
    ] {
        let options = Options {
            cores,
            server_dtls: version,
            browser_dtls: version,
            ..Options::clean(7)
        };
        let (mut world, [bob, cam, viewer]) = visits(options, silence);
        let end = world.now;
        let sights = oracle::sights(&world);
        assert_eq!(sights.len(), 2, "bob and the player watch cam");
        for sight in &sights {
            let first = sight.first_picture().unwrap();
            // It may begin with pictures from before, until which live ones wait.
            let live = first.max(sight.playing.unwrap() + ms(400));
            let share = sight.frames_in_time(live, end - ms(100), ms(60));
            assert!(share.sent > 60, "{} sent", share.sent);
            assert_eq!(share.arrived, share.sent);
        }
        assert_eq!(
            world.browser(bob).story(),
            ["STATE", "JOINED cam", "PUBLISHED cam", "PLAYING"],
            "nobody hears of a player"
        );
        world.leave(viewer);
        world.run_for(secs(1));
        assert_eq!(
            world.browser(viewer).visit.as_ref().unwrap().answers,
            [201, 200]
        );
        world.leave(cam);
        world.run_for(secs(1));
        let story = world.browser(bob).story();
        assert_eq!(story[4..], ["STOPPED", "UNPUBLISHED cam", "LEFT cam"]);
        let [(_, LeaveCause::Asked)] = causes(&world)[..] else {
            panic!("{:?}", causes(&world));
        };
        everybody_leaves(&mut world);
    }
}

/// A tenth is lost, the rest late, twice or out of order; nothing is damaged,
/// for a damaged handshake is refused for good.
fn losing(options: Options) -> Options {
    let faults = |delay| Faults {
        jitter: ms(10),
        reorder_ppm: 10_000,
        duplicate_ppm: 10_000,
        ..Faults::losing(delay, 100_000)
    };
    Options {
        up: faults(options.up.delay),
        down: faults(options.down.delay),
        ..options
    }
}

#[test]
fn a_lost_hello_of_the_servers_is_repeated() {
    for seed in sim::seeds(1..6) {
        let (mut world, [bob, _, viewer]) = visits(losing(Options::clean(seed)), WAITING);
        for seat in [bob, viewer] {
            let watching = world.browser(seat).peers[0].viewer().unwrap();
            assert!(!watching.pictures.is_empty(), "seed {seed}: no picture");
        }
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_publisher_is_a_member_as_long_as_its_transport() {
    // It closes its peer connection: the alert is its goodbye.
    let (mut world, [bob, cam, _]) = visits(Options::clean(3), Silence::default());
    let closed = world.now;
    world.close_peers(cam);
    world.run_for(secs(1));
    let [(at, LeaveCause::TransportEnded)] = causes(&world)[..] else {
        panic!("{:?}", causes(&world));
    };
    assert!(at.since(closed) < ms(100));
    let story = world.browser(bob).story();
    assert!(story.ends_with(&["LEFT cam".to_string()]), "{story:?}");
    everybody_leaves(&mut world);

    // It vanishes: thirty silent seconds later it is gone.
    let (mut world, [_, cam, viewer]) = visits(Options::clean(4), WAITING);
    let vanished = world.now;
    world.vanish(cam);
    world.run_for(secs(29));
    assert_eq!(causes(&world), []);
    world.run_for(secs(3));
    let [(at, LeaveCause::TransportEnded)] = causes(&world)[..] else {
        panic!("{:?}", causes(&world));
    };
    assert!(at.since(vanished) <= Span::from_secs(31));
    assert!(world.browser(viewer).peers[0].alerted, "its player is told");
    everybody_leaves(&mut world);
}

#[test]
fn who_never_sends_a_check_leaves_after_fifteen_seconds() {
    let mute = Silence {
        checks: true,
        ..Silence::default()
    };
    for silence in [
        mute,
        Silence {
            waits: true,
            ..mute
        },
    ] {
        let mut world = World::new(Options::clean(5));
        let bob = world.enter("bob", "room", Plan::AUDIENCE);
        world.run_for(secs(1));
        world.visit("cam", "room", camera(silence));
        // Nobody takes the login meanwhile, however silent its holder.
        world.run_for(secs(14));
        let twin = world.visit("cam", "room", camera(Silence::default()));
        world.run_for(secs(4));
        assert_eq!(world.browser(twin).visit.as_ref().unwrap().answers, [409]);
        let story = world.browser(bob).story();
        assert_eq!(story, ["STATE", "JOINED cam", "LEFT cam"]);
        everybody_leaves(&mut world);
    }
}

#[test]
fn the_same_seed_is_the_same_visit() {
    let hash = |seed| {
        let (world, _) = visits(rough(Options::clean(seed)), WAITING);
        expect_nothing(oracle::everything_is_legal(&world));
        (world.trace_hash(), world.trace_entries())
    };
    assert_eq!(hash(11), hash(11));
    assert_ne!(hash(11), hash(12));
}
