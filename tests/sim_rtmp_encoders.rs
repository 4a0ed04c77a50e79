//! Simulated encoders over RTMP and the browsers that watch them: whole
//! pictures from a key frame on, sound beside them, for late viewers too.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::time::{Span, Time};
use ringhall::signal::client::ServerMessage;
use ringhall::sim::browser::Plan;
use ringhall::sim::encoder::{Encoder, Encoding, Sound};
use ringhall::sim::oracle;
use ringhall::sim::publisher::Media;
use ringhall::sim::rtmp_peer::RtmpSeat;
use ringhall::sim::viewer::Viewer;
use ringhall::sim::world::{Options, Seat, World};

use sim::sound::{self, Bursts};
use sim::{SKEW_MAX, WATCHES, everybody_leaves, ms, secs};

fn viewer(world: &World, seat: Seat) -> &Viewer {
    let peers = &world.browser(seat).peers;
    peers.last().and_then(|peer| peer.viewer()).unwrap()
}

fn encoder(world: &World, seat: RtmpSeat) -> &Encoder {
    world.rtmp(seat).encoder().unwrap()
}

/// How many pictures the encoder made in a stretch of time, and how many of
/// them the browser had whole in time; the same of marked sound.
fn shares(
    encoder: &Encoder,
    viewer: &Viewer,
    from: Time,
    until: Time,
    patience: Span,
) -> [(usize, usize); 2] {
    let made = encoder.pictures.iter();
    let made: Vec<_> = made.filter(|p| p.at >= from && p.at < until).collect();
    let whole = made.iter().filter(|picture| {
        let seen = viewer.frames.get(&picture.id);
        let complete = seen.and_then(|seen| seen.complete);
        complete.is_some_and(|at| at <= picture.at + patience)
    });
    let sounds = (0..).zip(&encoder.sounds);
    let sounds: Vec<_> = sounds
        .filter(|(_, at)| **at >= from && **at < until)
        .collect();
    let heard = sounds.iter().filter(|(id, at)| {
        let heard = viewer.audio.get(id);
        heard.is_some_and(|(_, heard)| *heard <= **at + patience)
    });
    [(made.len(), whole.count()), (sounds.len(), heard.count())]
}

#[test]
fn an_encoder_is_seen_and_heard_by_browsers_on_any_number_of_cores() {
    for cores in [1, 4] {
        let mut world = World::new(Options {
            cores,
            ..Options::clean(31)
        });
        let bob = world.enter("bob", "room", WATCHES);
        world.run_for(secs(1));
        let cam = world.rtmp_encoder("room", "cam", Encoding::USUAL);
        world.run_for(secs(6));
        let end = world.now;
        assert_eq!(
            world.browser(bob).story(),
            ["STATE", "JOINED cam", "PUBLISHED cam", "PLAYING"]
        );
        let watching = viewer(&world, bob);
        let (first, at) = watching.pictures[0];
        assert!(watching.frames[&first].is_key);
        let shares = shares(encoder(&world, cam), watching, at, end - ms(200), ms(80));
        for (made, arrived) in shares {
            assert!(made > 100, "{made} made");
            assert_eq!(made, arrived, "on {cores} cores");
        }
        assert!(watching.sender_reports > 2);
        assert!(watching.skew_max < SKEW_MAX, "{:?}", watching.skew_max);
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_late_viewer_of_long_groups_begins_at_once_and_ends_at_now() {
    let encoding = Encoding {
        key_interval: secs(10),
        ..Encoding::USUAL
    };
    for at in [2, 5, 9] {
        let mut world = World::new(Options::clean(32));
        let cam = world.rtmp_encoder("room", "cam", encoding);
        world.run_for(secs(at));
        let bob = world.enter("bob", "room", WATCHES);
        world.run_for(secs(3));
        let watching = viewer(&world, bob);
        let playing = world.browser(bob).peers[0].has("PLAYING").unwrap();
        let (first, shown) = watching.pictures[0];
        assert!(watching.frames[&first].is_key);
        assert!(shown.since(playing) < ms(200), "{:?}", shown.since(playing));
        // What is made from now on is there as fast as for anybody.
        let from = shown + ms(300);
        let end = world.now - ms(200);
        let encoder = encoder(&world, cam);
        for (made, arrived) in shares(encoder, watching, from, end, ms(80)) {
            assert!(made > 30, "{made} made");
            assert_eq!(made, arrived);
        }
        assert!(watching.skew_max < SKEW_MAX, "{:?}", watching.skew_max);
        assert!(watching.longest_gap(end) < ms(200));
        everybody_leaves(&mut world);
    }
}

/// Tones as a browser hears them are where they belong beside the pictures.
fn expect_tones_in_step(bursts: Bursts, options: Options) {
    let mut world = World::new(options);
    let bob = world.enter("bob", "room", hears(WATCHES));
    world.run_for(secs(1));
    let cam = world.rtmp_encoder("room", "cam", bursts.encoding());
    world.run_for(secs(9));
    let watching = viewer(&world, bob);
    let encoder = encoder(&world, cam);
    let (_, last) = watching.frames.last_key_value().unwrap();
    let picture = watching.picture_wall_us(last.timestamp).unwrap();
    let offset = picture - last.sent.as_us() as i64;
    let packets = watching.sounds.iter().map(|sound| {
        let wall = watching.sound_wall_us(sound.timestamp).unwrap();
        (wall - offset, sound.packet.as_slice())
    });
    let heard = sound::onsets(packets);
    let sent: Vec<i64> = encoder.sounds.iter().map(|at| at.as_us() as i64).collect();
    assert!(heard.len() >= 4, "{heard:?}");
    let farthest = sound::farthest(&heard, &bursts.begins(&sent));
    assert!(farthest < SKEW_MAX, "{farthest:?}");
    let end = world.now;
    let times = watching.sounds.iter().map(|sound| sound.at);
    let gaps = times.clone().zip(times.skip(1));
    let silence = gaps.map(|(from, to)| to.since(from)).max().unwrap();
    assert!(silence < ms(60), "{silence:?}");
    assert!(end.since(watching.sounds.last().unwrap().at) < ms(150));
    everybody_leaves(&mut world);
}

fn hears(plan: Plan) -> Plan {
    let media = Media {
        sound: Some(&[]),
        ..plan.media
    };
    Plan { media, ..plan }
}

#[test]
fn aac_reaches_browsers_as_opus_in_step_with_the_pictures() {
    for cores in [1, 4] {
        let options = Options {
            cores,
            ..Options::clean(33)
        };
        expect_tones_in_step(sound::aac(), options);
    }
}

#[test]
fn speex_reaches_browsers_as_opus_in_step_with_the_pictures() {
    expect_tones_in_step(sound::speex(), Options::clean(34));
}

#[test]
fn sound_is_converted_only_while_a_browser_listens() {
    let mut world = World::new(Options::clean(35));
    world.rtmp_encoder("room", "cam", sound::aac().encoding());
    world.rtmp_player("room", "cam", false);
    world.run_for(secs(3));
    let converted = |world: &World| world.snapshots()[0].counters.transcoded_frames;
    assert_eq!(converted(&world), 0);
    let bob = world.enter("bob", "room", hears(WATCHES));
    world.run_for(secs(3));
    let while_heard = converted(&world);
    assert!(while_heard > 100, "{while_heard}");
    world.leave(bob);
    world.run_for(secs(1));
    let after = converted(&world);
    world.run_for(secs(3));
    assert_eq!(converted(&world), after);
    everybody_leaves(&mut world);
}

fn notices(world: &World, seat: Seat) -> Vec<(Time, String)> {
    let heard = world.browser(seat).heard.iter();
    let notices = heard.filter_map(|(at, message)| match message {
        ServerMessage::StreamEvent { kind, .. } => Some((*at, kind.clone())),
        _ => None,
    });
    notices.collect()
}

/// The sequence header of an AAC that nobody knows.
const BROKEN_HEADER: &[u8] = &[0xaf, 0, 0xff];

#[test]
fn sound_that_cannot_be_converted_is_told_to_everybody_and_the_picture_stays() {
    let mut world = World::new(Options::clean(39));
    let bob = world.enter("bob", "room", WATCHES);
    let encoding = Encoding {
        sound: Sound::Real {
            header: BROKEN_HEADER,
            bodies: Box::leak(Box::new([vec![0xaf, 1, 0x21, 0x10]])),
        },
        ..Encoding::USUAL
    };
    let cam = world.rtmp_encoder("room", "cam", encoding);
    world.run_for(secs(3));
    let carol = world.enter("carol", "room", WATCHES);
    world.run_for(secs(2));
    for seat in [bob, carol] {
        let kinds: Vec<String> = notices(&world, seat).into_iter().map(|(_, k)| k).collect();
        assert_eq!(kinds, ["audioUnavailable"], "once each");
        assert!(viewer(&world, seat).pictures.len() > 20);
    }
    assert!(world.rtmp(cam).told("NetStream.Publish.Notify").is_some());
    everybody_leaves(&mut world);
}

#[test]
fn b_frames_leave_browsers_the_sound_and_the_reason_and_players_everything() {
    let mut world = World::new(Options::clean(36));
    let bob = world.enter("bob", "room", WATCHES);
    let cam = world.rtmp_encoder("room", "cam", Encoding::USUAL);
    world.run_for(secs(1));
    let player = world.rtmp_player("room", "cam", true);
    world.run_for(secs(3));
    let begun = world.now;
    set_b_frames(&mut world, cam, true);
    world.run_for(secs(4));
    let stopped = world.now;
    set_b_frames(&mut world, cam, false);
    // Late for all of it.
    let carol = world.enter("carol", "room", WATCHES);
    world.run_for(secs(16));
    let end = world.now;

    let [(told, first), (told_again, second)] = &notices(&world, bob)[..] else {
        panic!("{:?}", notices(&world, bob));
    };
    assert_eq!([first, second], ["videoUnavailable", "videoAvailable"]);
    assert!(told.since(begun) < secs(1));
    assert!(told_again.since(stopped) > secs(9) && told_again.since(stopped) < secs(12));
    let kinds: Vec<String> = notices(&world, carol)
        .into_iter()
        .map(|(_, kind)| kind)
        .collect();
    assert_eq!(kinds, ["videoUnavailable", "videoAvailable"]);
    let publisher = world.rtmp(cam);
    let warned = publisher.told("NetStream.Publish.Notify").unwrap();
    assert!(warned.since(begun) < secs(1));

    for seat in [bob, carol] {
        let watching = viewer(&world, seat);
        let times = watching.pictures.iter().map(|(_, at)| *at);
        let dark = |at: &Time| *at > begun + ms(300) && *at < *told_again - ms(100);
        assert_eq!(times.clone().filter(dark).count(), 0);
        assert!(times.filter(|at| *at > *told_again).count() > 30);
        let whole = watching.frames.values();
        let later = whole.filter(|frame| frame.complete > Some(begun + ms(300)));
        let back = later.min_by_key(|frame| frame.complete).unwrap();
        assert!(back.is_key, "pictures come back with a key frame");
    }
    let watching = viewer(&world, bob);
    let from = world.rtmp(cam).encoder().unwrap().started.unwrap() + secs(1);
    let [_, (made, heard)] = shares(encoder(&world, cam), watching, from, end - ms(200), ms(80));
    assert_eq!(made, heard);
    let given = world.rtmp(player).player().unwrap();
    assert!(
        given.longest_gap(end) < ms(100),
        "{:?}",
        given.longest_gap(end)
    );
    everybody_leaves(&mut world);
}

#[test]
fn who_comes_to_b_frames_sees_nothing_of_them() {
    let encoding = Encoding {
        b_frames: true,
        ..Encoding::USUAL
    };
    let mut world = World::new(Options::clean(38));
    let bob = world.enter("bob", "room", WATCHES);
    world.run_for(secs(1));
    let cam = world.rtmp_encoder("room", "cam", encoding);
    world.run_for(secs(3));
    let carol = world.enter("carol", "room", WATCHES);
    world.run_for(secs(3));
    for seat in [bob, carol] {
        let watching = viewer(&world, seat);
        assert_eq!(watching.pictures.len(), 0);
        assert!(watching.audio.len() > 100);
        assert_eq!(notices(&world, seat).len(), 1);
    }
    assert!(world.rtmp(cam).told("NetStream.Publish.Notify").is_some());
    everybody_leaves(&mut world);
}

#[test]
fn sound_without_pictures_and_pictures_without_sound_are_streams_too() {
    let only_sound = Encoding {
        has_video: false,
        ..Encoding::USUAL
    };
    let only_pictures = Encoding {
        sound: Sound::None,
        ..Encoding::USUAL
    };
    for announces in [true, false] {
        for (encoding, sees, hears) in [(only_sound, false, true), (only_pictures, true, false)] {
            let mut world = World::new(Options::clean(39));
            let bob = world.enter("bob", "room", WATCHES);
            world.run_for(secs(1));
            let encoding = Encoding {
                announces,
                ..encoding
            };
            world.rtmp_encoder("room", "cam", encoding);
            world.run_for(secs(2));
            let player = world.rtmp_player("room", "cam", true);
            world.run_for(secs(3));
            let watching = viewer(&world, bob);
            assert_eq!(watching.pictures.len() > 60, sees);
            assert_eq!(watching.audio.len() > 100, hears);
            let given = world.rtmp(player).player().unwrap();
            assert_eq!(given.pictures.len() > 60, sees);
            assert_eq!(given.sounds.len() > 100, hears);
            everybody_leaves(&mut world);
        }
    }
}

#[test]
fn a_server_that_stops_asks_rtmp_clients_to_come_again_and_keeps_nothing() {
    let mut world = World::new(Options::clean(40));
    world.enter("bob", "room", WATCHES);
    let cam = world.rtmp_encoder("room", "cam", Encoding::USUAL);
    world.run_for(secs(2));
    let player = world.rtmp_player("room", "cam", true);
    world.run_for(secs(1));
    world.shut_down();
    world.run_for(secs(1));
    for seat in [cam, player] {
        let asked = world
            .rtmp(seat)
            .told("NetConnection.Connect.ReconnectRequest");
        assert!(asked.is_some(), "{:?}", world.rtmp(seat).codes());
    }
    everybody_leaves(&mut world);
}

fn set_b_frames(world: &mut World, seat: RtmpSeat, has: bool) {
    world.rtmp_do(seat, |peer| {
        for encoder in peer.encoders.values_mut() {
            encoder.encoding.b_frames = has;
        }
    });
}

#[test]
fn clocks_that_wrap_stay_in_step() {
    // 24, 31 and 32 bits, four seconds after each beginning.
    for limit in [1 << 24, 1 << 31, 1u64 << 32] {
        let bursts = sound::aac();
        let encoding = Encoding {
            clock_ms: (limit - 4_000) as u32,
            ..bursts.encoding()
        };
        let mut world = World::new(Options::clean(37));
        let bob = world.enter("bob", "room", hears(WATCHES));
        let cam = world.rtmp_encoder("room", "cam", encoding);
        world.run_for(secs(1));
        let player = world.rtmp_player("room", "cam", false);
        world.run_for(secs(8));
        let end = world.now;
        let given = world.rtmp(player).player().unwrap();
        assert!(given.longest_gap(end) < ms(100));
        assert!(given.longest_silence(end) < ms(100));
        let watching = viewer(&world, bob);
        assert!(
            watching.longest_gap(end) < ms(150),
            "{:?}",
            watching.longest_gap(end)
        );
        let (_, last) = watching.frames.last_key_value().unwrap();
        let picture = watching.picture_wall_us(last.timestamp).unwrap();
        let offset = picture - last.sent.as_us() as i64;
        let packets = watching.sounds.iter().map(|sound| {
            let wall = watching.sound_wall_us(sound.timestamp).unwrap();
            (wall - offset, sound.packet.as_slice())
        });
        let heard = sound::onsets(packets);
        let sounds = &encoder(&world, cam).sounds;
        let sent: Vec<i64> = sounds.iter().map(|at| at.as_us() as i64).collect();
        assert!(heard.len() >= 4, "{heard:?}");
        let farthest = sound::farthest(&heard, &bursts.begins(&sent));
        assert!(farthest < SKEW_MAX, "{limit}: {farthest:?}");
        everybody_leaves(&mut world);
    }
}

#[test]
fn the_same_seed_is_the_same_broadcast() {
    let hash = |seed| {
        let mut world = World::new(sim::rough(Options::clean(seed)));
        world.enter("bob", "room", WATCHES);
        world.rtmp_encoder("room", "cam", Encoding::USUAL);
        world.rtmp_player("room", "cam", true);
        world.run_for(secs(4));
        sim::expect_nothing(oracle::everything_is_legal(&world));
        (world.trace_hash(), world.trace_entries())
    };
    assert_eq!(hash(11), hash(11));
    assert_ne!(hash(11), hash(12));
}
