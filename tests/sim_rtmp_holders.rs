//! Who publishes under a name over RTMP, simulated: a holder that is there
//! keeps it, one that is silent or shows the same token gives it up, one that
//! is lost may come back, and one that says goodbye is gone.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::core::CloseCause;
use ringhall::sim::browser::Plan;
use ringhall::sim::encoder::{Encoder, Encoding, Sound};
use ringhall::sim::publisher::Media;
use ringhall::sim::rtmp_peer::RtmpSeat;
use ringhall::sim::world::{Options, Seat, World};
use ringhall::wire::amf::Value;
use ringhall::wire::flv::AudioCodecId;

use sim::sound::{self, opus_bursts};
use sim::{SKEW_MAX, WATCHES, everybody_leaves, ms, secs};

const START: &str = "NetStream.Publish.Start";
const TAKEN: &str = "NetStream.Publish.BadName";

/// A browser, a player and an encoder that published for three seconds.
fn broadcast(options: Options, name: &str) -> (World, Seat, RtmpSeat, RtmpSeat) {
    let mut world = World::new(options);
    let bob = world.enter("bob", "room", WATCHES);
    world.run_for(secs(1));
    let cam = world.rtmp_encoder("room", name, Encoding::USUAL);
    world.run_for(secs(1));
    let player = world.rtmp_player("room", "cam", true);
    world.run_for(secs(2));
    (world, bob, player, cam)
}

/// The same stream from another connection.
fn again(world: &mut World, name: &str) -> RtmpSeat {
    let encoding = Encoding {
        // Its clock is its own.
        clock_ms: 77_000,
        ..Encoding::USUAL
    };
    let encoder = Encoder::new(encoding).beginning_at(world.rtmp_peers().len() as u32 * 10_000);
    let twin = world.rtmp_connect("room", &[], &[]);
    world.rtmp_publish(twin, name, encoder);
    twin
}

fn both_options() -> [Options; 2] {
    let four = Options {
        cores: 4,
        ..Options::clean(52)
    };
    [Options::clean(51), four]
}

/// Neither viewer noticed more than a gap.
fn expect_viewers_go_on(world: &World, bob: Seat, player: RtmpSeat, gap: u64) {
    assert_eq!(
        world.browser(bob).story(),
        ["STATE", "JOINED cam", "PUBLISHED cam", "PLAYING"]
    );
    let watching = world.browser(bob).peers[0].viewer().unwrap();
    let last = watching.pictures.last().unwrap().1;
    assert!(world.now.since(last) < ms(150), "bob sees it");
    let longest = watching.longest_gap(world.now);
    assert!(longest < ms(gap), "{longest:?}");
    assert!(watching.skew_max < SKEW_MAX, "{:?}", watching.skew_max);
    let given = world.rtmp(player).player().unwrap();
    assert!(given.longest_gap(world.now) < ms(gap));
    assert!(given.skew_max < SKEW_MAX, "{:?}", given.skew_max);
    assert_eq!(given.violations, Vec::<String>::new());
    assert!(
        !world
            .rtmp(player)
            .codes()
            .contains(&"NetStream.Play.UnpublishNotify")
    );
}

#[test]
fn a_name_in_use_is_refused_and_its_holder_undisturbed() {
    for options in both_options() {
        let (mut world, bob, player, _) = broadcast(options, "cam");
        let twin = again(&mut world, "cam");
        let other = again(&mut world, "cam?token=another");
        world.run_for(secs(2));
        for seat in [twin, other] {
            let codes = world.rtmp(seat).codes();
            assert!(
                codes.contains(&TAKEN) && !codes.contains(&START),
                "{codes:?}"
            );
        }
        expect_viewers_go_on(&world, bob, player, 100);
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_holder_silent_for_two_seconds_is_replaced_and_viewers_go_on() {
    for options in both_options() {
        let (mut world, bob, player, cam) = broadcast(options, "cam");
        world.rtmp_do(cam, |peer| {
            for encoder in peer.encoders.values_mut() {
                encoder.is_mute = true;
            }
        });
        world.run_for(ms(1_500));
        let early = again(&mut world, "cam");
        world.run_for(ms(1_000));
        assert!(world.rtmp(early).codes().contains(&TAKEN));
        let twin = again(&mut world, "cam");
        world.run_for(secs(3));
        assert!(world.rtmp(twin).told(START).is_some());
        assert!(
            world.rtmp(cam).closed.is_some(),
            "the silent one is put out"
        );
        expect_viewers_go_on(&world, bob, player, 3_500);
        everybody_leaves(&mut world);
    }
}

#[test]
fn who_shows_the_holders_token_replaces_it_at_once() {
    for options in both_options() {
        let (mut world, bob, player, cam) = broadcast(options, "cam?token=mine");
        let asked = world.now;
        let twin = again(&mut world, "cam?token=mine");
        world.run_for(secs(3));
        let told = world.rtmp(twin).told(START).unwrap();
        assert!(told.since(asked) < ms(500));
        assert!(world.rtmp(cam).closed.is_some());
        expect_viewers_go_on(&world, bob, player, 600);
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_lost_encoder_that_is_back_in_time_was_never_away() {
    for cause in [CloseCause::Ended, CloseCause::Failed] {
        for options in both_options() {
            let (mut world, bob, player, cam) = broadcast(options, "cam");
            world.rtmp_hang_up(cam, cause);
            world.run_for(secs(4));
            let twin = again(&mut world, "cam");
            world.run_for(secs(4));
            assert!(world.rtmp(twin).told(START).is_some());
            expect_viewers_go_on(&world, bob, player, 4_500);
            everybody_leaves(&mut world);
        }
    }
}

#[test]
fn a_lost_encoder_that_stays_away_leaves_after_five_seconds() {
    for options in both_options() {
        let (mut world, bob, player, cam) = broadcast(options, "cam");
        world.rtmp_hang_up(cam, CloseCause::Failed);
        world.run_for(ms(4_900));
        assert_eq!(world.browser(bob).story().len(), 4);
        world.run_for(ms(400));
        let story = world.browser(bob).story();
        assert_eq!(story[4..], ["STOPPED", "UNPUBLISHED cam", "LEFT cam"]);
        let codes = world.rtmp(player).codes();
        assert!(
            codes.contains(&"NetStream.Play.UnpublishNotify"),
            "{codes:?}"
        );
        // The name is free.
        let twin = again(&mut world, "cam");
        world.run_for(secs(1));
        assert!(world.rtmp(twin).told(START).is_some());
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_goodbye_ends_the_stream_at_once() {
    type Goodbye = fn(&mut World, RtmpSeat);
    let goodbyes: [Goodbye; 3] = [
        |world, cam| {
            let name = [Value::String("cam".to_string())];
            world.rtmp_do(cam, |peer| {
                peer.client.call("FCUnpublish", &name);
            });
        },
        |world, cam| {
            let id = [Value::Number(1.0)];
            world.rtmp_do(cam, |peer| {
                peer.client.call("deleteStream", &id);
            });
        },
        |world, cam| world.rtmp_do(cam, |peer| peer.client.cast(1, "closeStream", &[])),
    ];
    for goodbye in goodbyes {
        for options in both_options() {
            let (mut world, bob, player, cam) = broadcast(options, "cam");
            goodbye(&mut world, cam);
            world.run_for(ms(10));
            world.rtmp_hang_up(cam, CloseCause::Ended);
            world.run_for(ms(300));
            let story = world.browser(bob).story();
            assert_eq!(story[4..], ["STOPPED", "UNPUBLISHED cam", "LEFT cam"]);
            let codes = world.rtmp(player).codes();
            assert!(
                codes.contains(&"NetStream.Play.UnpublishNotify"),
                "{codes:?}"
            );
            everybody_leaves(&mut world);
        }
    }
}

#[test]
fn a_login_of_a_browser_is_no_encoders_and_the_other_way_round() {
    let (mut world, bob, player, _) = broadcast(Options::clean(53), "cam");
    let twin = again(&mut world, "bob");
    let double = world.enter("cam", "room", WATCHES);
    world.run_for(secs(1));
    let codes = world.rtmp(twin).codes();
    assert!(codes.contains(&TAKEN), "{codes:?}");
    let story = world.browser(double).story();
    assert!(story[0].starts_with("REFUSED"), "{story:?}");
    expect_viewers_go_on(&world, bob, player, 100);
    everybody_leaves(&mut world);
}

/// One encoder after another, each with other sound than the one before.
#[test]
fn a_successor_may_sound_otherwise_and_is_heard_by_everybody() {
    let hears = Plan {
        media: Media {
            sound: Some(&[]),
            ..Media::H264
        },
        ..Plan::AUDIENCE
    };
    let mut world = World::new(Options::clean(54));
    let bob = world.enter("bob", "room", hears);
    world.run_for(secs(1));
    let name = "cam?token=mine";
    world.rtmp_encoder("room", name, sound::aac().encoding());
    world.run_for(secs(2));
    let legacy = world.rtmp_player("room", "cam", false);
    let enhanced = world.rtmp_player("room", "cam", true);
    world.run_for(secs(1));
    let opus = Sound::Real {
        header: OPUS_HEADER,
        bodies: opus_bodies(),
    };
    let successors = [
        opus_bursts(opus),
        sound::speex(),
        opus_bursts(opus),
        sound::aac(),
    ];
    for (number, bursts) in (1..).zip(successors) {
        let encoder = Encoder::new(bursts.encoding()).beginning_at(number * 10_000);
        let next = world.rtmp_connect("room", &[], &[]);
        world.rtmp_publish(next, name, encoder);
        world.run_for(secs(5));
        assert!(world.rtmp(next).told(START).is_some());
        let since = world.now - secs(3);
        let watching = world.browser(bob).peers[0].viewer().unwrap();
        let heard = watching.sounds.iter().filter(|sound| sound.at > since);
        assert!(heard.count() > 140, "bob hears number {number}");
        for seat in [legacy, enhanced] {
            let given = world.rtmp(seat).player().unwrap();
            let heard = given.sounds.iter().filter(|sound| sound.at > since);
            assert!(heard.count() > 130, "{seat:?} hears number {number}");
        }
    }
    let given = world.rtmp(legacy).player().unwrap();
    assert!(
        given
            .sounds
            .iter()
            .all(|sound| sound.codec != AudioCodecId::Opus)
    );
    everybody_leaves(&mut world);
}

/// Enhanced RTMP's, with an OpusHead (RFC 7845 section 5.1) of two channels.
const OPUS_HEADER: &[u8] = b"\x90OpusOpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0";

fn opus_bodies() -> &'static [Vec<u8>] {
    let packets = sound::opus().iter();
    let bodies = packets.map(|packet| [b"\x91Opus", packet.as_slice()].concat());
    bodies.collect::<Vec<_>>().leak()
}
