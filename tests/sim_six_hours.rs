//! Six hours of streams, simulated and thinned, with clocks that cross every
//! limit of RTMP's and RTP's timestamps on the way: nothing grows, nobody
//! stalls, sound and pictures stay in step.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::time::Span;
use ringhall::core::CloseCause;
use ringhall::sim::browser::Plan;
use ringhall::sim::encoder::{Encoder, Encoding};
use ringhall::sim::publisher::Media;
use ringhall::sim::rtmp_peer::RtmpSeat;
use ringhall::sim::world::{Options, World};

use sim::{SKEW_MAX, everybody_leaves, ms, secs};

const HOURS: u64 = 6;
const INTERVAL: Span = Span::from_ms(200);

/// Five pictures and five packets of sound a second.
const THIN: Encoding = Encoding {
    sound_interval: INTERVAL,
    picture_interval: INTERVAL,
    picture_bytes: 600,
    key_interval: secs(4),
    ..Encoding::USUAL
};

const THIN_MEDIA: Media = Media {
    sound_interval: INTERVAL,
    picture_interval: INTERVAL,
    ..Media::H264
};

/// What cores hold that must not grow: connections, rooms, publications, feeds,
/// players, conversions, timers, each with its number.
fn held(world: &World) -> Vec<String> {
    world.leftovers()
}

/// Who comes now begins at once, and with no more than one group of pictures.
fn expect_a_short_beginning(world: &mut World, room: &str, name: &str) {
    let player = world.rtmp_player(room, name, true);
    let asked = world.now;
    world.run_for(secs(1));
    let given = world.rtmp(player).player().unwrap();
    assert!(given.pictures[0].is_key);
    assert!(given.pictures[0].at.since(asked) < ms(700));
    assert!(given.pictures.len() <= 26, "{}", given.pictures.len());
    world.rtmp_hang_up(player, CloseCause::Ended);
}

fn expect_in_step(world: &World, players: &[RtmpSeat]) {
    for seat in players {
        let given = world.rtmp(*seat).player().unwrap();
        assert_eq!(given.violations, Vec::<String>::new());
        assert!(
            given.longest_gap(world.now) < ms(600),
            "{:?}",
            given.longest_gap(world.now)
        );
        assert!(given.longest_silence(world.now) < ms(600));
        assert!(given.skew_max < SKEW_MAX, "{:?}", given.skew_max);
        let expected = HOURS as usize * 3_600 * 5 - 50;
        assert!(given.pictures.len() > expected && given.sounds.len() > expected);
    }
}

#[test]
fn encoders_whose_clocks_cross_24_31_and_32_bits() {
    let mut world = World::new(Options::clean(81));
    // Each limit is crossed in the middle of one stream.
    let middle = HOURS * 3_600_000 / 2;
    let limits: [u64; 3] = [1 << 24, 1 << 31, 1 << 32];
    let mut players = Vec::new();
    let mut seats = Vec::new();
    for limit in limits {
        let room = format!("room-{limit}");
        let encoding = Encoding {
            clock_ms: (limit - middle) as u32,
            ..THIN
        };
        world.rtmp_encoder(&room, "cam", encoding);
        world.run_for(secs(1));
        players.push(world.rtmp_player(&room, "cam", true));
        let plan = Plan {
            media: THIN_MEDIA,
            ..Plan::AUDIENCE
        };
        seats.push(world.enter("bob", &room, plan));
    }
    world.run_for(secs(30));
    let before = held(&world);
    for _ in 0..HOURS {
        world.run_for(secs(3_600));
        assert_eq!(held(&world), before);
    }
    for limit in limits {
        expect_a_short_beginning(&mut world, &format!("room-{limit}"), "cam");
    }
    expect_in_step(&world, &players);
    for seat in seats {
        let watching = world.browser(seat).peers[0].viewer().unwrap();
        assert!(
            watching.longest_gap(world.now) < ms(700),
            "{:?}",
            watching.longest_gap(world.now)
        );
        assert!(watching.skew_max < SKEW_MAX, "{:?}", watching.skew_max);
        assert!(watching.audio.len() > HOURS as usize * 3_600 * 5 - 50);
    }
    everybody_leaves(&mut world);
}

#[test]
fn a_browser_whose_clocks_cross_32_bits() {
    let mut world = World::new(Options::clean(82));
    // Sound (48 kHz) after an hour, pictures (90 kHz) after two.
    let hour_ticks = |rate: u32| 3_600 * rate;
    let media = Media {
        first_timestamps: Some((
            0u32.wrapping_sub(hour_ticks(48_000)),
            0u32.wrapping_sub(hour_ticks(90_000))
                .wrapping_sub(hour_ticks(90_000)),
        )),
        ..THIN_MEDIA
    };
    let plan = Plan {
        media,
        ..Plan::STAGE
    };
    world.enter("ann", "room", plan);
    world.run_for(secs(2));
    let player = world.rtmp_player("room", "ann", true);
    world.run_for(secs(30));
    let before = held(&world);
    for _ in 0..HOURS {
        world.run_for(secs(3_600));
        assert_eq!(held(&world), before);
    }
    expect_in_step(&world, &[player]);
    everybody_leaves(&mut world);
}

/// Encoders come and go two hundred times in one room, with a player of each:
/// what they leave is nothing.
#[test]
fn a_room_of_comers_and_goers_holds_nothing_of_them() {
    let mut world = World::new(Options::clean(83));
    let plan = Plan {
        media: THIN_MEDIA,
        ..Plan::AUDIENCE
    };
    world.enter("bob", "room", plan);
    world.run_for(secs(45));
    let before = held(&world);
    for _ in 0..200 {
        let cam = world.rtmp_connect("room", &[], &[]);
        world.rtmp_publish(cam, "cam", Encoder::new(THIN));
        world.run_for(ms(1_500));
        let player = world.rtmp_player("room", "cam", true);
        world.run_for(ms(1_500));
        assert!(!world.rtmp(player).player().unwrap().pictures.is_empty());
        world.rtmp_do(cam, |peer| peer.client.cast(1, "closeStream", &[]));
        world.run_for(ms(200));
        for seat in [cam, player] {
            world.rtmp_hang_up(seat, CloseCause::Ended);
        }
        world.run_for(secs(1));
    }
    world.run_for(secs(40));
    assert_eq!(held(&world), before);
    everybody_leaves(&mut world);
}
