//! Simulated players over RTMP of what browsers and encoders publish: a key
//! frame first, nothing with a hole, nothing twice, sound in step; and those
//! that read slowly or not at all.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::limits::PLAYER_STALL_MAX;
use ringhall::base::time::Time;
use ringhall::sim::browser::Plan;
use ringhall::sim::encoder::{Encoding, Sound};
use ringhall::sim::net::Faults;
use ringhall::sim::player::Player;
use ringhall::sim::publisher::{Media, Publisher};
use ringhall::sim::rtmp_peer::{Reads, RtmpSeat};
use ringhall::sim::world::{Options, Seat, World};
use ringhall::wire::flv::AudioCodecId;

use sim::sound::{self, opus_bursts};
use sim::{SKEW_MAX, WATCHES, everybody_leaves, ms, secs};

/// Publishes H.264, and sound that tells what it is.
const STAGE: Plan = Plan {
    media: Media::H264,
    ..Plan::STAGE
};

fn player(world: &World, seat: RtmpSeat) -> &Player {
    world.rtmp(seat).player().unwrap()
}

fn publisher(world: &World, seat: Seat) -> &Publisher {
    world.browser(seat).peers[0].publisher().unwrap()
}

#[test]
fn a_browser_is_seen_from_a_key_frame_and_heard_in_either_codec() {
    for cores in [1, 4] {
        let mut world = World::new(Options {
            cores,
            ..Options::clean(41)
        });
        let media = Media {
            sound: Some(sound::opus()),
            ..Media::H264
        };
        let ann = world.enter("ann", "room", Plan { media, ..STAGE });
        world.run_for(secs(2));
        let enhanced = world.rtmp_player("room", "ann", true);
        let legacy = world.rtmp_player("room", "ann", false);
        world.run_for(secs(8));
        let end = world.now;
        let bursts = opus_bursts(Sound::None);
        let sent = publisher(&world, ann).audio.iter();
        let begins = bursts.begins(&sent.map(|at| at.as_us() as i64).collect::<Vec<_>>());
        for (seat, codec) in [(enhanced, AudioCodecId::Opus), (legacy, AudioCodecId::Aac)] {
            let given = player(&world, seat);
            let told = world.rtmp(seat).told("NetStream.Play.Start").unwrap();
            let first = given.pictures[0];
            assert!(first.is_key && first.at.since(told) < ms(300), "{first:?}");
            assert!(
                given.longest_gap(end) < ms(100),
                "{:?}",
                given.longest_gap(end)
            );
            assert!(given.longest_silence(end) < ms(100));
            let [(known, config)] = &given.sound_headers[..] else {
                panic!("{:?}", given.sound_headers);
            };
            assert_eq!(*known, codec);
            assert!(given.sounds.iter().all(|sound| sound.codec == codec));
            let last = given.pictures.last().unwrap();
            let offset = i64::from(last.timestamp) * 1_000 - last.made.as_us() as i64;
            let sounds = given.sounds.iter();
            let sounds =
                sounds.map(|s| (i64::from(s.timestamp) * 1_000 - offset, s.frame.as_slice()));
            let heard = match codec {
                AudioCodecId::Aac => sound::aac_onsets(config, sounds),
                _ => sound::onsets(sounds),
            };
            assert!(heard.len() >= 4, "{heard:?}");
            let farthest = sound::farthest(&heard, &begins);
            assert!(farthest < SKEW_MAX, "{codec:?}: {farthest:?}");
        }
        everybody_leaves(&mut world);
    }
}

#[test]
fn loss_and_reorder_leave_no_hole_and_nothing_twice() {
    for seed in sim::seeds(1..6) {
        let faults = Faults {
            jitter: ms(10),
            reorder_ppm: 10_000,
            duplicate_ppm: 10_000,
            ..Faults::losing(ms(25), 20_000)
        };
        let mut world = World::new(Options {
            up: faults,
            down: faults,
            ..Options::clean(seed)
        });
        world.enter("ann", "room", STAGE);
        world.run_for(secs(2));
        let seat = world.rtmp_player("room", "ann", true);
        world.run_for(secs(20));
        let end = world.now;
        let given = player(&world, seat);
        assert_eq!(given.violations, Vec::<String>::new(), "seed {seed}");
        assert!(
            given.pictures.len() > 500,
            "seed {seed}: {}",
            given.pictures.len()
        );
        assert!(
            given.sounds.len() > 950,
            "seed {seed}: {}",
            given.sounds.len()
        );
        assert!(
            given.longest_gap(end) < ms(1_500),
            "seed {seed}: {:?}",
            given.longest_gap(end)
        );
        assert!(
            given.skew_max < SKEW_MAX,
            "seed {seed}: {:?}",
            given.skew_max
        );
        everybody_leaves(&mut world);
    }
}

#[test]
fn who_cannot_be_shown_vp8_is_told_within_a_second_and_hears() {
    let mut world = World::new(Options::clean(42));
    world.enter("ann", "room", Plan::STAGE);
    world.run_for(secs(2));
    let asked = world.now;
    let seat = world.rtmp_player("room", "ann", true);
    world.run_for(secs(3));
    let told = world.rtmp(seat).told("NetStream.Play.Notify").unwrap();
    assert!(told.since(asked) < secs(1));
    let given = player(&world, seat);
    assert!(given.pictures.is_empty() && given.sounds.len() > 100);
    everybody_leaves(&mut world);
}

#[test]
fn what_nobody_publishes_is_not_found() {
    let mut world = World::new(Options::clean(43));
    let nothing = world.rtmp_player("room", "ann", true);
    world.run_for(secs(1));
    let codes = world.rtmp(nothing).codes();
    assert!(
        codes.contains(&"NetStream.Play.StreamNotFound"),
        "{codes:?}"
    );
    everybody_leaves(&mut world);
}

#[test]
fn a_late_player_of_an_encoder_begins_at_once_and_is_told_when_it_ends() {
    let encoding = Encoding {
        key_interval: secs(10),
        ..Encoding::USUAL
    };
    for cores in [1, 4] {
        let mut world = World::new(Options {
            cores,
            ..Options::clean(44)
        });
        let cam = world.rtmp_encoder("room", "cam", encoding);
        world.run_for(secs(7));
        let seat = world.rtmp_player("room", "cam", true);
        world.run_for(secs(3));
        let end = world.now;
        let given = player(&world, seat);
        let told = world.rtmp(seat).told("NetStream.Play.Start").unwrap();
        assert!(given.pictures[0].at.since(told) < ms(50));
        assert_eq!((given.metadata, given.video_headers.len()), (2, 1));
        assert!(given.longest_gap(end) < ms(100));
        assert!(given.skew_max < ms(3), "{:?}", given.skew_max);
        world.rtmp_do(cam, |peer| peer.client.cast(1, "closeStream", &[]));
        world.run_for(secs(1));
        let codes = world.rtmp(seat).codes();
        assert!(
            codes.contains(&"NetStream.Play.UnpublishNotify"),
            "{codes:?}"
        );
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_player_of_a_browser_that_leaves_is_told_and_may_play_the_next() {
    let mut world = World::new(Options::clean(47));
    let ann = world.enter("ann", "room", STAGE);
    world.run_for(secs(2));
    let seat = world.rtmp_player("room", "ann", true);
    world.run_for(secs(2));
    world.leave(ann);
    world.run_for(secs(1));
    let codes = world.rtmp(seat).codes();
    assert!(
        codes.contains(&"NetStream.Play.UnpublishNotify"),
        "{codes:?}"
    );
    let shown = player(&world, seat).pictures.len();
    world.enter("zoe", "room", STAGE);
    world.run_for(secs(2));
    world.rtmp_do(seat, |peer| peer.client.play(1, "zoe"));
    world.run_for(secs(2));
    let given = player(&world, seat);
    assert!(given.pictures.len() > shown + 40 && given.pictures[shown].is_key);
    everybody_leaves(&mut world);
}

/// A player that reads as told, beside one that reads at once and a browser.
fn beside_a(reads: Reads, seconds: u64) -> (World, [RtmpSeat; 2], Seat, Time) {
    let encoding = Encoding {
        picture_bytes: 20_000,
        ..Encoding::USUAL
    };
    let mut world = World::new(Options::clean(45));
    let bob = world.enter("bob", "room", WATCHES);
    world.rtmp_encoder("room", "cam", encoding);
    world.run_for(secs(2));
    let slow = world.rtmp_player("room", "cam", true);
    let quick = world.rtmp_player("room", "cam", true);
    world.run_for(secs(1));
    let from = world.now;
    world.rtmp_do(slow, |peer| peer.reads = reads);
    world.run_for(secs(seconds));
    (world, [slow, quick], bob, from)
}

fn expect_unharmed(world: &World, quick: RtmpSeat, bob: Seat) {
    let given = player(world, quick);
    assert!(given.longest_gap(world.now) < ms(100));
    assert!(given.longest_silence(world.now) < ms(100));
    let watching = world.browser(bob).peers[0].viewer().unwrap();
    assert!(watching.longest_gap(world.now) < ms(150));
}

#[test]
fn who_never_reads_is_put_out_in_time_and_nobody_else_notices() {
    let (mut world, [mute, quick], bob, from) = beside_a(Reads::Never, 20);
    let closed = world.rtmp(mute).closed.expect("put out");
    let longest = PLAYER_STALL_MAX + secs(3);
    assert!(closed.since(from) < longest, "{:?}", closed.since(from));
    assert!(!world.rtmp(mute).overflowed());
    expect_unharmed(&world, quick, bob);
    everybody_leaves(&mut world);
}

#[test]
fn who_reads_too_slowly_loses_pictures_up_to_a_key_frame_and_stays() {
    // Half of what is sent.
    let (mut world, [slow, quick], bob, _) = beside_a(Reads::Slowly(350_000), 120);
    let peer = world.rtmp(slow);
    assert_eq!(peer.closed, None);
    assert!(!peer.overflowed(), "{}", peer.queued_max);
    let given = peer.player().unwrap();
    assert_eq!(given.violations, Vec::<String>::new());
    let shown = given.pictures.len();
    assert!(shown > 1_000 && shown < 3_500, "{shown}");
    expect_unharmed(&world, quick, bob);
    everybody_leaves(&mut world);
}

#[test]
fn a_player_that_pauses_goes_on_from_a_key_frame() {
    let mut world = World::new(Options::clean(46));
    world.rtmp_encoder("room", "cam", Encoding::USUAL);
    world.run_for(secs(1));
    let seat = world.rtmp_player("room", "cam", true);
    world.run_for(secs(2));
    let pause = |world: &mut World, on: bool| {
        use ringhall::wire::amf::Value;
        let arguments = [Value::Boolean(on), Value::Number(0.0)];
        world.rtmp_do(seat, |peer| peer.client.cast(1, "pause", &arguments));
    };
    pause(&mut world, true);
    world.run_for(secs(1));
    let before = player(&world, seat).pictures.len();
    world.run_for(secs(2));
    assert_eq!(player(&world, seat).pictures.len(), before);
    pause(&mut world, false);
    world.run_for(secs(3));
    let given = player(&world, seat);
    assert!(given.pictures[before].is_key);
    assert_eq!(given.violations, Vec::<String>::new());
    everybody_leaves(&mut world);
}

#[test]
fn who_comes_when_no_key_frame_is_kept_waits_for_one() {
    // A browser sends one when it is asked, an encoder each 20 s; kept are 12.
    let encoding = Encoding {
        key_interval: secs(20),
        ..Encoding::USUAL
    };
    let mut world = World::new(Options::clean(48));
    world.enter("ann", "room", STAGE);
    world.rtmp_encoder("room", "cam", encoding);
    world.run_for(secs(1));
    world.rtmp_player("room", "ann", true);
    world.run_for(secs(15));
    let of_browser = world.rtmp_player("room", "ann", true);
    let of_encoder = world.rtmp_player("room", "cam", true);
    world.run_for(secs(6));
    for (seat, waits) in [(of_browser, ms(500)), (of_encoder, secs(5))] {
        let told = world.rtmp(seat).told("NetStream.Play.Start").unwrap();
        let given = player(&world, seat);
        let first = given.pictures[0];
        assert!(first.is_key && first.at.since(told) < waits, "{first:?}");
        assert_eq!(given.violations, Vec::<String>::new());
    }
    everybody_leaves(&mut world);
}

#[test]
fn a_browser_is_asked_for_the_key_frame_a_player_waits_for() {
    use ringhall::wire::amf::Value;
    let pause = |off| vec![Value::Boolean(off), Value::Number(0.0)];
    let receive = |off: bool| vec![Value::Boolean(!off)];
    for (call, off, on) in [
        ("pause", pause(true), pause(false)),
        ("receiveVideo", receive(true), receive(false)),
    ] {
        let mut world = World::new(Options::clean(49));
        world.enter("ann", "room", STAGE);
        world.run_for(secs(1));
        let seat = world.rtmp_player("room", "ann", true);
        world.run_for(secs(15));
        world.rtmp_do(seat, |peer| peer.client.cast(1, call, &off));
        world.run_for(secs(2));
        let before = player(&world, seat).pictures.len();
        world.rtmp_do(seat, |peer| peer.client.cast(1, call, &on));
        let on = world.now;
        world.run_for(secs(2));
        let given = player(&world, seat);
        let next = given.pictures.get(before).expect(call);
        assert!(next.is_key && next.at.since(on) < ms(1_000), "{call}");
        assert_eq!(given.violations, Vec::<String>::new());
        everybody_leaves(&mut world);
    }
}
