//! Simulated calls: who plays a stream sees and hears it, in one room and not
//! in another, on one core and on four, with every kind of leaving.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::time::{Span, Time};
use ringhall::core::CloseCause;
use ringhall::ops::event::{Event, LeaveCause};
use ringhall::proto::dtls::MaxVersion;
use ringhall::signal::client::{self, ServerMessage};
use ringhall::sim::browser::Plan;
use ringhall::sim::oracle::{self, Sight};
use ringhall::sim::peer_connection::Silence;
use ringhall::sim::world::{Options, Seat, World};

use sim::{everybody_leaves, expect_nothing, ms, secs};

/// A picture each 33 ms, and the jitter of a turn.
const SMOOTH: Span = Span::from_ms(40);

fn call(options: Options) -> (World, Seat, Seat) {
    let mut world = World::new(options);
    let ann = world.enter("ann", "room", Plan::CALL);
    world.run_for(secs(1));
    let bob = world.enter("bob", "room", Plan::CALL);
    world.run_for(secs(4));
    (world, ann, bob)
}

/// The first picture came soon, and from it on every frame and audio packet.
fn expect_complete(sight: &Sight<'_>, end: Time) {
    let playing = sight.playing.unwrap();
    let first = sight.first_picture().unwrap();
    // A publisher is asked for one key frame in half a second at most.
    assert!(first.since(playing) < ms(600), "{:?}", first.since(playing));
    let until = end - ms(100);
    // It may begin with pictures from before, until which live ones wait.
    let live = first.max(playing + ms(400));
    for share in [
        sight.frames_in_time(live, until, ms(60)),
        sight.audio_in_time(playing, until, ms(60)),
    ] {
        assert!(share.sent > 50, "{} sent", share.sent);
        assert_eq!(
            share.arrived, share.sent,
            "{} of {}",
            sight.login, sight.stream
        );
    }
}

#[test]
fn two_participants_see_and_hear_each_other() {
    let (mut world, ann, bob) = call(Options::clean(1));
    let end = world.now;
    let sights = oracle::sights(&world);
    assert_eq!(sights.len(), 2);
    for sight in &sights {
        expect_complete(sight, end);
        assert!(sight.viewer.sender_reports >= 6);
        assert_eq!((sight.viewer.nacked, sight.viewer.recovered), (0, 0));
        let told = &sight.publisher.told;
        assert!(told.receiver_reports >= 3);
        assert_eq!((told.video_lost, told.reported_missing), (0, 0));
        // All but the last interval is reported.
        assert!(told.reported_arrived + 100 > sight.publisher.transport_packets);
        // For the viewer who joined, unless the last key frame was fresh.
        assert!(told.keyframe_requests <= 1);
    }
    expect_nothing(oracle::everyone_sees_and_hears(&world, end, SMOOTH));
    expect_nothing(oracle::packets_balance(&world));
    assert_eq!(
        world.browser(ann).story(),
        [
            "STATE",
            "PUBLISHING",
            "JOINED bob",
            "PUBLISHED bob",
            "PLAYING"
        ]
    );
    assert_eq!(
        world.browser(bob).story(),
        ["STATE", "PUBLISHING", "PLAYING"]
    );
    everybody_leaves(&mut world);
}

#[test]
fn a_frame_split_to_the_byte_leaves_as_one_train() {
    let [padded, plain] = [true, false].map(|padding| {
        let mut world = World::new(Options {
            padding,
            ..Options::clean(1)
        });
        world.enter("ann", "room", Plan::STAGE);
        world.enter("bob", "room", Plan::AUDIENCE);
        world.run_for(secs(4));
        let end = world.now;
        for sight in &oracle::sights(&world) {
            expect_complete(sight, end);
        }
        let counters = world.snapshots()[0].counters.clone();
        everybody_leaves(&mut world);
        counters
    });
    assert_eq!(padded.datagrams_sent, plain.datagrams_sent);
    assert_eq!(plain.padding_bytes_sent, 0);
    // Three seconds of 30 frames; each second one takes two or three trains, for
    // its packets are of two lengths and the last says the orientation.
    let saved = plain.trains_sent - padded.trains_sent;
    assert!((70..=95).contains(&saved), "{padded:?} {plain:?}");
}

#[test]
fn bystanders_receive_nothing() {
    let mut world = World::new(Options::clean(2));
    world.enter("ann", "room", Plan::CALL);
    world.enter("bob", "room", Plan::CALL);
    let eve = world.enter("eve", "elsewhere", Plan::CALL);
    let mute = world.enter(
        "mia",
        "room",
        Plan {
            plays: false,
            ..Plan::AUDIENCE
        },
    );
    world.run_for(secs(3));
    let played = world
        .browser(eve)
        .peers
        .iter()
        .any(|p| p.viewer().is_some());
    assert!(!played);
    assert_eq!(world.browser(eve).story(), ["STATE", "PUBLISHING"]);
    assert!(world.browser(mute).peers.is_empty());
    let end = world.now;
    expect_nothing(oracle::everyone_sees_and_hears(&world, end, SMOOTH));
    everybody_leaves(&mut world);
}

/// Who saw whose stream, and heard it.
fn audience(options: Options) -> (Vec<(String, String)>, usize) {
    let mut world = World::new(options);
    for login in ["ann", "bob", "cid"] {
        world.enter(login, "room", Plan::CALL);
        world.enter(login, "other room", Plan::CALL);
    }
    world.run_for(secs(4));
    let end = world.now;
    expect_nothing(oracle::everyone_sees_and_hears(&world, end, SMOOTH));
    let seen = oracle::sights(&world)
        .iter()
        .map(|sight| (sight.login.to_string(), sight.stream.to_string()))
        .collect();
    let snapshots = world.snapshots();
    let spread = snapshots.iter().filter(|s| s.gauges.sessions > 0).count();
    everybody_leaves(&mut world);
    (seen, spread)
}

#[test]
fn one_core_and_four_serve_the_same_people() {
    let (mut on_one, spread_on_one) = audience(Options::clean(3));
    let (mut on_four, spread_on_four) = audience(Options {
        cores: 4,
        ..Options::clean(3)
    });
    on_one.sort();
    on_four.sort();
    assert_eq!(on_one.len(), 12);
    assert_eq!(on_one, on_four);
    assert_eq!((spread_on_one, spread_on_four), (1, 4));
}

#[test]
fn players_hear_of_a_stop_before_the_room_does() {
    let (mut world, ann, bob) = call(Options::clean(4));
    let heard = world.browser(bob).story().len();
    world.unpublish(ann);
    world.run_for(secs(1));
    assert_eq!(
        world.browser(bob).story()[heard..],
        ["STOPPED", "UNPUBLISHED ann"]
    );
    let play = world
        .browser(bob)
        .peers
        .iter()
        .find(|p| p.viewer().is_some());
    let viewer = play.unwrap().viewer().unwrap();
    assert_eq!(viewer.egress.byes.len(), 2, "a BYE for audio and video");
    assert!(play.unwrap().alerted, "DTLS said goodbye");

    world.publish(ann);
    world.run_for(secs(2));
    assert_eq!(
        world.browser(bob).story()[heard + 2..],
        ["PUBLISHED ann", "PLAYING"]
    );
    world.leave(ann);
    world.run_for(secs(1));
    assert_eq!(
        world.browser(bob).story()[heard + 4..],
        ["STOPPED", "UNPUBLISHED ann", "LEFT ann"]
    );
    assert_eq!(world.browser(ann).story().last().unwrap(), "STOPPED");
    everybody_leaves(&mut world);
}

#[test]
fn a_lost_socket_is_heard_as_leaving() {
    let (mut world, ann, bob) = call(Options::clean(5));
    let heard = world.browser(bob).story().len();
    world.hang_up(ann, CloseCause::Failed);
    world.run_for(secs(1));
    assert_eq!(
        world.browser(bob).story()[heard..],
        ["STOPPED", "UNPUBLISHED ann", "LEFT ann"]
    );
    let lost = Event::Left {
        room: "room".into(),
        login: "ann".into(),
        cause: LeaveCause::SocketLost,
    };
    assert!(world.events.iter().any(|(_, _, event)| *event == lost));
    everybody_leaves(&mut world);
}

#[test]
fn a_token_takes_its_login_back_and_a_stranger_does_not() {
    let (mut world, ann, bob) = call(Options::clean(6));
    let thief = world.enter("ann", "room", Plan::CALL);
    world.run_for(secs(1));
    assert_eq!(
        world.browser(thief).story(),
        ["REFUSED Login is already in use"]
    );
    let heard = world.browser(bob).story().len();
    // The network changed: a new socket while the old one is not yet dead.
    world.close_peers(ann);
    world.connect(ann, true);
    world.run_for(secs(3));
    let story = world.browser(bob).story();
    let told: Vec<&str> = story[heard..].iter().map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "STOPPED",
            "UNPUBLISHED ann",
            "LEFT ann",
            "JOINED ann",
            "PUBLISHED ann",
            "PLAYING"
        ]
    );
    let sights = oracle::sights(&world);
    let latest = sights.iter().rfind(|sight| sight.login == "bob").unwrap();
    assert!(latest.viewer.pictures.len() > 30);
    everybody_leaves(&mut world);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed, cores| {
        let mut options = sim::rough(Options::clean(seed));
        options.cores = cores;
        let (mut world, _, _) = call(options);
        everybody_leaves(&mut world);
        (world.trace_hash(), world.trace_entries())
    };
    for cores in [1, 3] {
        let first = run(7, cores);
        assert!(first.1 > 3_000);
        assert_eq!(first, run(7, cores), "{cores} cores");
        assert_ne!(first.0, run(8, cores).0);
    }
}

#[test]
fn a_moved_client_is_found_again() {
    let (mut world, ann, bob) = call(Options::clean(9));
    world.rebind(ann);
    world.run_for(secs(2));
    world.rebind(bob);
    world.run_for(secs(2));
    let end = world.now;
    // Until the next check, half a second, and its way.
    expect_nothing(oracle::everyone_sees_and_hears(&world, end, ms(600)));
    let gaps: Vec<Span> = oracle::sights(&world)
        .iter()
        .map(|sight| sight.viewer.longest_gap(end))
        .collect();
    assert!(
        gaps.iter().all(|gap| *gap > SMOOTH),
        "nobody moved: {gaps:?}"
    );
    everybody_leaves(&mut world);
}

#[test]
fn both_dtls_versions_connect() {
    let (old, new) = (MaxVersion::Dtls12, MaxVersion::Dtls13);
    for (server, browser, version) in [(new, new, "1.3"), (new, old, "1.2"), (old, new, "1.2")] {
        let mut options = Options::clean(10);
        options.server_dtls = server;
        options.browser_dtls = browser;
        let (mut world, ann, bob) = call(options);
        for seat in [ann, bob] {
            for peer in &world.browser(seat).peers {
                assert_eq!(peer.dtls_version, Some(version));
            }
        }
        let end = world.now;
        expect_nothing(oracle::everyone_sees_and_hears(&world, end, SMOOTH));
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_vanished_peer_ends_after_thirty_seconds() {
    let (mut world, ann, bob) = call(Options::clean(11));
    let gone = world.now;
    world.vanish(ann);
    world.run_for(secs(40));
    let failed: Vec<(Time, &str)> = world
        .events
        .iter()
        .filter_map(|(at, _, event)| match event {
            Event::StreamFailed { info, .. } => Some((*at, *info)),
            _ => None,
        })
        .collect();
    assert!(!failed.is_empty());
    let story = world.browser(bob).story();
    assert_eq!(story[story.len() - 2..], ["STOPPED", "UNPUBLISHED ann"]);
    for (at, info) in failed {
        assert_eq!(info, "Failed by ICE keep alive");
        let after = at.since(gone);
        assert!(after >= ms(29_500) && after < secs(31), "{after:?}");
    }
    everybody_leaves(&mut world);
}

#[test]
fn a_silent_socket_is_given_up_with_everything_it_had() {
    let (mut world, ann, bob) = call(Options::clean(15));
    world.vanish(ann);
    world.browser_mut(ann).plan.pongs = false;
    world.run_for(secs(25));
    let story = world.browser(bob).story();
    assert_eq!(
        story[story.len() - 3..],
        ["STOPPED", "UNPUBLISHED ann", "LEFT ann"]
    );
    everybody_leaves(&mut world);
}

#[test]
fn a_publisher_that_never_connects_fails_in_time() {
    for (silence, info) in [
        (
            Silence {
                checks: true,
                ..Silence::default()
            },
            "Failed by ICE timeout",
        ),
        (
            Silence {
                dtls: true,
                ..Silence::default()
            },
            "Failed by DTLS error",
        ),
    ] {
        let mut world = World::new(Options::clean(12));
        let plan = Plan {
            silence,
            ..Plan::CALL
        };
        let ann = world.enter("ann", "room", plan);
        world.run_for(secs(20));
        let browser = world.browser(ann);
        let status = &browser.peers[0].statuses[0];
        assert_eq!(
            (status.name.as_str(), status.info.as_deref()),
            ("FAILED", Some(info))
        );
        let answered = browser.heard.iter().find_map(|(at, message)| {
            matches!(message, ServerMessage::RemoteSdp { .. }).then_some(*at)
        });
        let after = status.at.since(answered.unwrap());
        assert!(after >= secs(15) && after < ms(15_010), "{after:?}");
        everybody_leaves(&mut world);
    }
}

#[test]
fn forged_datagrams_change_nothing() {
    let run = |forge: bool| {
        let (mut world, ann, bob) = call(Options::clean(13));
        if forge {
            forge_datagrams(&mut world, ann, bob);
        }
        world.run_for(secs(3));
        let end = world.now;
        expect_nothing(oracle::everyone_sees_and_hears(&world, end, SMOOTH));
        world.trace_hash()
    };
    assert_eq!(run(false), run(true));
}

/// From a stranger's address and, spoofed, from a participant's own.
fn forge_datagrams(world: &mut World, ann: Seat, bob: Seat) {
    let core = world.snapshots()[0].core;
    let core = ringhall::core::CoreId(core);
    let stranger = ([192, 0, 2, 200], 9).into();
    let peer = &world.browser(ann).peers[0];
    let (own, theirs) = peer.fragments().unwrap();
    let username = format!("{theirs}:{own}");
    let check = ringhall::wire::stun::request([9; 12], &username, "no such password", true, true);
    let publisher = peer.publisher().unwrap();
    let mut media = vec![0x80, 96, 0, 1, 0, 0, 0, 0];
    media.extend(publisher.ssrcs.video.to_be_bytes());
    media.resize(200, 0xaa);
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
    report.resize(80, 0xbb);
    let victims = [peer.address, world.browser(bob).peers[0].address, stranger];
    let hello = [&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 40][..], &[1; 40]].concat();
    let alert = vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 0];
    for remote in victims {
        for datagram in [
            check.clone().unwrap(),
            media.clone(),
            report.clone(),
            hello.clone(),
            alert.clone(),
            vec![0xff; 30],
            vec![0],
        ] {
            world.inject(core, remote, datagram);
        }
    }
}

#[test]
fn a_refused_offer_fails_with_a_reason_and_holds_nothing() {
    let mut world = World::new(Options::clean(14));
    let ann = world.enter(
        "ann",
        "room",
        Plan {
            publishes: false,
            ..Plan::CALL
        },
    );
    world.run_for(secs(1));
    world.say(
        ann,
        &client::publish("bad", "room-x", "room", "v=0 nonsense"),
    );
    world.say(
        ann,
        &client::play("none", "no such stream", "room", "v=0 nonsense"),
    );
    world.run_for(secs(1));
    let failed = world.browser(ann).heard.iter().filter(
        |(_, message)| matches!(message, ServerMessage::StreamStatus { status, .. } if status == "FAILED"),
    );
    assert_eq!(failed.count(), 2);
    everybody_leaves(&mut world);
}
