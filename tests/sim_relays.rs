//! Simulated rooms over several cores: viewers everywhere see what they see on
//! one core, repairs are made where the viewer is, publishers are asked once for
//! all, and a core that is behind harms nobody else.

#[path = "sim/mod.rs"]
mod sim;

use std::collections::BTreeMap;

use ringhall::base::snapshot::{Drop, ServerSnapshot};
use ringhall::core::{CloseCause, CoreId};
use ringhall::sim::browser::Plan;
use ringhall::sim::encoder::Encoding;
use ringhall::sim::net::Faults;
use ringhall::sim::oracle;
use ringhall::sim::world::{Options, Seat, World};

use sim::{SKEW_MAX, WATCHES, everybody_leaves, expect_nothing, ms, secs};

const VIEWERS: usize = 7;

fn on(cores: u16, seed: u64) -> Options {
    Options {
        cores,
        ..Options::clean(seed)
    }
}

/// One publishes, then all the others come at once.
fn broadcast(options: Options, publisher: Plan) -> (World, Seat, Vec<Seat>) {
    let mut world = World::new(options);
    let cam = world.enter("cam", "room", publisher);
    world.run_for(secs(2));
    let viewers = (0..VIEWERS)
        .map(|number| world.enter(&format!("viewer{number}"), "room", Plan::AUDIENCE))
        .collect();
    world.run_for(secs(5));
    (world, cam, viewers)
}

/// Viewers of each core: of its own rooms, and of others'.
fn seated(world: &World) -> Vec<(u64, usize)> {
    let count = |snapshot: ServerSnapshot| {
        let afar = snapshot.afar_plays.len();
        (snapshot.gauges.subscriptions - afar as u64, afar)
    };
    world.snapshots().into_iter().map(count).collect()
}

fn home(world: &World) -> CoreId {
    let snapshots = world.snapshots();
    let home = snapshots.iter().find(|snapshot| !snapshot.rooms.is_empty());
    CoreId(home.unwrap().core)
}

fn total(world: &World, of: impl Fn(&ServerSnapshot) -> u64) -> u64 {
    world.snapshots().iter().map(of).sum()
}

/// What a viewer has to show at the end: frames and sounds it got, pictures it
/// could decode, and what it was told.
type Harvest = BTreeMap<String, (usize, usize, usize, Vec<String>)>;

fn harvest(world: &World) -> Harvest {
    let of = |sight: &oracle::Sight<'_>| {
        let viewer = sight.viewer;
        let mut browsers = world.browsers().iter();
        let browser = browsers.find(|browser| browser.login == sight.login);
        let mut story = browser.unwrap().story();
        // Of those who come together any may be first.
        story.retain(|line| !line.starts_with("JOINED"));
        let got = (
            viewer.frames.len(),
            viewer.audio.len(),
            viewer.pictures.len(),
            story,
        );
        (sight.login.to_string(), got)
    };
    oracle::sights(world).iter().map(of).collect()
}

#[test]
fn every_core_serves_a_broadcast_and_nobody_sees_a_difference() {
    let (mut one, ..) = broadcast(on(1, 1), Plan::STAGE);
    let (mut four, ..) = broadcast(on(4, 1), Plan::STAGE);
    assert_eq!(seated(&one), [(7, 0)]);
    let spread = seated(&four);
    let home = home(&four);
    for (core, (own, afar)) in spread.iter().enumerate() {
        let of_home = core == usize::from(home.0);
        let (here, elsewhere) = (*own as usize, *afar);
        assert_eq!(if of_home { elsewhere } else { here }, 0, "{spread:?}");
        assert!((1..=2).contains(&(here + elsewhere)), "{spread:?}");
    }
    let (on_one, on_four) = (harvest(&one), harvest(&four));
    assert_eq!(on_one.len(), VIEWERS);
    for (login, (frames, sounds, pictures, story)) in &on_one {
        let other = &on_four[login];
        // Mail between cores takes 20 us: a frame more or less at the edges.
        assert!(
            frames.abs_diff(other.0) <= 2,
            "{login}: {frames} {}",
            other.0
        );
        assert!(
            sounds.abs_diff(other.1) <= 2,
            "{login}: {sounds} {}",
            other.1
        );
        assert!(pictures.abs_diff(other.2) <= 2 && *pictures > 100);
        assert_eq!(story, &other.3);
    }
    let forwarded = |world: &World| total(world, |s| s.counters.media_packets_forwarded);
    assert!(forwarded(&one).abs_diff(forwarded(&four)) < 200);
    for world in [&mut one, &mut four] {
        let end = world.now;
        expect_nothing(oracle::everyone_sees_and_hears(world, end, ms(40)));
        let asked = oracle::sights(world)[0].publisher.told.keyframe_requests;
        assert_eq!(asked, 1, "seven who come together are one wish");
        everybody_leaves(world);
    }
}

#[test]
fn what_viewers_lose_is_resent_by_their_core() {
    let clean = on(3, 2);
    let options = Options {
        down: Faults::losing(clean.down.delay, 50_000),
        ..clean
    };
    let (mut world, ..) = broadcast(options, Plan::STAGE);
    let home = home(&world);
    for snapshot in world.snapshots() {
        let resent = snapshot.counters.retransmissions_sent;
        assert!(resent > 20, "core {}: {resent}", snapshot.core);
    }
    let afar = seated(&world)[usize::from(home.0)].1;
    assert_eq!(afar, 0);
    let end = world.now - ms(500);
    for sight in oracle::sights(&world) {
        let first = sight.first_picture().unwrap();
        let share = sight.frames_in_time(first, end, ms(500));
        assert!(share.ppm() > 990_000, "{share:?} of {}", sight.login);
        assert!(sight.viewer.recovered > 0);
        assert_eq!(
            sight.publisher.told.reported_missing, 0,
            "the way up is clean"
        );
    }
    everybody_leaves(&mut world);
}

#[test]
fn reports_at_other_cores_keep_sound_and_picture_in_step() {
    let mut world = World::new(on(4, 3));
    world.enter("cam", "room", Plan::STAGE);
    for number in 0..VIEWERS {
        world.enter(&format!("viewer{number}"), "room", Plan::AUDIENCE);
    }
    world.run_for(ms(900));
    // They are there before the publisher's first report.
    let seated = oracle::sights(&world);
    assert!(seated.iter().all(|sight| sight.viewer.sender_reports == 0));
    assert_eq!(seated.len(), VIEWERS);
    world.run_for(secs(5));
    for sight in oracle::sights(&world) {
        assert!(sight.viewer.sender_reports >= 6, "{}", sight.login);
        assert!(sight.viewer.skew_max < SKEW_MAX, "{}", sight.login);
    }
    everybody_leaves(&mut world);
}

#[test]
fn who_comes_late_to_an_encoder_begins_with_what_its_core_is_given() {
    let encoder = Plan {
        key_interval: Some(secs(10)),
        ..Plan::STAGE
    };
    let mut world = World::new(on(3, 4));
    world.visit("cam", "room", encoder);
    world.run_for(secs(5));
    for number in 0..3 {
        world.enter(&format!("early{number}"), "room", Plan::AUDIENCE);
    }
    world.run_for(secs(2));
    // By now every core has a replica, and its window what the first got.
    for number in 0..3 {
        world.enter(&format!("late{number}"), "room", Plan::AUDIENCE);
    }
    world.run_for(secs(2));
    let spread = seated(&world);
    assert!(
        spread.iter().all(|(own, afar)| *own as usize + afar == 2),
        "{spread:?}"
    );
    let sights = oracle::sights(&world);
    assert_eq!(sights.len(), 6);
    for sight in &sights {
        let (id, at) = *sight.viewer.pictures.first().unwrap();
        assert_eq!(id, 0, "{}: the one key frame there was", sight.login);
        let waited = at.since(sight.playing.unwrap());
        assert!(waited < ms(100), "{}: {} ms", sight.login, waited.as_ms());
    }
    everybody_leaves(&mut world);
}

#[test]
fn leaving_and_publishing_anew_is_heard_everywhere() {
    let (mut world, cam, viewers) = broadcast(on(4, 5), Plan::STAGE);
    let heard: Vec<usize> = viewers
        .iter()
        .map(|viewer| world.browser(*viewer).story().len())
        .collect();
    world.unpublish(cam);
    world.run_for(secs(1));
    let replicas = total(&world, |s| s.gauges.publications + s.gauges.replicas);
    assert_eq!(replicas, 0, "no replica outlives its publication");
    world.publish(cam);
    world.run_for(secs(3));
    world.leave(viewers[0]);
    world.hang_up(viewers[1], CloseCause::Failed);
    world.run_for(secs(1));
    let gone = ["LEFT viewer0", "LEFT viewer1"];
    for (viewer, heard) in viewers.iter().zip(heard).skip(2) {
        let story = world.browser(*viewer).story();
        let news: Vec<&str> = story[heard..].iter().map(String::as_str).collect();
        let told = ["STOPPED", "UNPUBLISHED cam", "PUBLISHED cam", "PLAYING"];
        assert_eq!(news[..4], told);
        assert!(gone.iter().all(|gone| news[4..].contains(gone)), "{news:?}");
    }
    assert_eq!(
        total(&world, |s| s.gauges.subscriptions),
        VIEWERS as u64 - 2
    );
    world.leave(cam);
    world.run_for(secs(1));
    assert_eq!(total(&world, |s| s.gauges.transports), 0);
    everybody_leaves(&mut world);
}

#[test]
fn players_over_http_live_at_any_core() {
    let mut world = World::new(on(4, 6));
    world.enter("cam", "room", Plan::STAGE);
    world.run_for(secs(2));
    let players: Vec<Seat> = (0..6)
        .map(|_| world.visit("cam", "room", Plan::AUDIENCE))
        .collect();
    world.run_for(secs(3));
    let home = home(&world);
    let spread = seated(&world);
    let elsewhere: usize = spread.iter().map(|(_, afar)| afar).sum();
    assert!(elsewhere >= 4, "{spread:?}");
    for sight in oracle::sights(&world) {
        assert!(sight.viewer.pictures.len() > 50);
    }
    // One of them loses its way, the others say that they go.
    world.vanish(players[0]);
    for player in &players[1..] {
        world.leave(*player);
    }
    world.run_for(secs(40));
    for player in &players[1..] {
        let answers = &world.browser(*player).visit.as_ref().unwrap().answers;
        assert_eq!(*answers, [201, 200]);
    }
    assert_eq!(total(&world, |s| s.gauges.subscriptions), 0);
    assert_eq!(
        world.snapshots()[usize::from(home.0)].gauges.publications,
        1
    );
    everybody_leaves(&mut world);
}

/// A core that takes no mail: its viewers miss what was sent meanwhile, and no
/// others do.
#[test]
fn a_core_that_is_behind_harms_only_its_own_viewers() {
    let (mut world, ..) = broadcast(on(3, 7), Plan::STAGE);
    let home = home(&world);
    let deaf = CoreId((home.0 + 1) % 3);
    let theirs = world.snapshots()[usize::from(deaf.0)].afar_plays.clone();
    let theirs: Vec<String> = theirs
        .into_iter()
        .map(|afar| afar.play.media_session_id)
        .collect();
    assert!(!theirs.is_empty());
    let from = world.now;
    world.deafen(deaf, true);
    world.run_for(secs(3));
    let back = world.now;
    world.deafen(deaf, false);
    world.run_for(secs(3));
    let end = world.now - ms(100);
    let dropped = total(&world, |s| s.counters.dropped(Drop::MailboxFull));
    assert!(dropped > 100, "{dropped}");
    let mut harmed = 0;
    for (browser, peer) in world
        .browsers()
        .iter()
        .flat_map(|browser| browser.peers.iter().map(move |peer| (browser, peer)))
    {
        if peer.viewer().is_none() {
            continue;
        }
        let sights = oracle::sights(&world);
        let sight = sights.iter().find(|sight| sight.login == browser.login);
        let sight = sight.unwrap();
        let meanwhile = sight.frames_in_time(from, back, ms(200));
        let after = sight.frames_in_time(back + ms(1_500), end, ms(200));
        assert!(after.sent > 30);
        assert_eq!(after.arrived, after.sent, "{} afterwards", browser.login);
        if theirs.contains(&peer.id) {
            harmed += 1;
            assert!(meanwhile.arrived < meanwhile.sent / 2);
        } else {
            assert_eq!(meanwhile.arrived, meanwhile.sent, "{}", browser.login);
        }
    }
    assert_eq!(harmed, theirs.len());
    expect_nothing(oracle::everything_is_legal(&world));
    everybody_leaves(&mut world);
}

#[test]
fn an_encoder_is_seen_and_heard_in_step_at_every_core() {
    let mut world = World::new(on(4, 8));
    let cam = world.rtmp_encoder("room", "cam", Encoding::USUAL);
    world.run_for(secs(2));
    let viewers: Vec<Seat> = (0..6)
        .map(|number| world.enter(&format!("viewer{number}"), "room", WATCHES))
        .collect();
    world.run_for(secs(5));
    let spread = seated(&world);
    assert!(
        spread.iter().all(|(own, afar)| *own as usize + afar > 0),
        "{spread:?}"
    );
    let end = world.now - ms(200);
    let encoder = world.rtmp(cam).encoder().unwrap();
    for viewer in viewers {
        let browser = world.browser(viewer);
        let watching = browser.peers[0].viewer().unwrap();
        let playing = browser.peers[0].has("PLAYING").unwrap();
        let (first, shown) = watching.pictures[0];
        assert!(watching.frames[&first].is_key);
        assert!(shown.since(playing) < ms(200), "{}", browser.login);
        let from = shown + ms(300);
        let made = encoder.pictures.iter();
        let made = made.filter(|picture| picture.at >= from && picture.at < end);
        for picture in made {
            let seen = &watching.frames[&picture.id];
            assert!(seen.complete.unwrap() <= picture.at + ms(80));
        }
        assert!(watching.sender_reports > 2);
        assert!(watching.skew_max < SKEW_MAX, "{:?}", watching.skew_max);
    }
    everybody_leaves(&mut world);
}
