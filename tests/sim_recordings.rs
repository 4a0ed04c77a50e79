//! Recordings of simulated streams: files that parse strictly, hold every
//! picture and all sound at their times, begin and end together, and last as
//! long as the stream did, whatever became of it in between.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::time::Span;
use ringhall::ops::event::{Event, RecordingStep};
use ringhall::ops::manifest::{FileState, GapTrack};
use ringhall::record::layout::TrackKind;
use ringhall::record::read::sample_bytes;
use ringhall::signal::client::{self, ServerMessage};
use ringhall::sim::browser::Plan;
use ringhall::sim::encoder::{Encoding, Sound};
use ringhall::sim::net::Faults;
use ringhall::sim::publisher::Media;
use ringhall::sim::world::{Options, Seat, World};
use ringhall::wire::nal;

use sim::records::{ALIGNED, file_of, files, made, manifest, publisher, stage, zero_of};
use sim::sound::{self, opus_bursts};
use sim::{FRAME, SKEW_MAX, everybody_leaves, ms, secs};

/// A file may be so much longer or shorter than its stream was.
const LENGTH_OFF_MAX_US: i64 = 20_000;

const FRAME_US: i64 = FRAME.as_us() as i64 + 1;

#[test]
fn files_of_a_room_begin_and_end_together() {
    for cores in [1, 4] {
        let mut world = World::new(Options { cores, ..ALIGNED });
        let alice = world.enter("Alice", "room", stage());
        world.run_for(secs(10));
        let bob = world.enter("Bob", "room", stage());
        world.run_for(secs(8));
        world.leave(bob);
        world.run_for(secs(5));
        world.leave(alice);
        let made_by_alice = made(&world, alice);
        everybody_leaves(&mut world);
        let disk = &world.disk;
        assert_eq!(files(disk).len(), 2);
        let told = manifest(disk);
        assert!(told.origin_unix_us.is_some());
        let (mut zeros, mut ends) = (Vec::new(), Vec::new());
        for file in &told.files {
            assert_eq!((file.state, &file.why), (FileState::Finished, &None));
            let mut read = file_of(disk, &file.login);
            let seen = read.seen();
            assert!(seen[0].is_key);
            assert!(seen.windows(2).all(|pair| pair[1].id == pair[0].id + 1));
            // Each picture is shown as long after the origin as it was made.
            zeros.push(zero_of(&seen, 2_000));
            assert_eq!(read.memory.bytes.len() as u64, file.size_bytes);
            ends.extend(read.ends_us());
            let from = file.content_from_us as i64;
            assert!((seen[0].at_us - from).abs() < 100_000, "{from}");
        }
        assert!((zeros[0] - zeros[1]).abs() < 2_000, "{zeros:?}");
        let (least, most) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
        assert!(most - least <= FRAME_US, "{ends:?}");
        let mut alice = file_of(disk, "Alice");
        assert_eq!(alice.seen().len(), made_by_alice.len(), "every picture");
        let bob = file_of(disk, "Bob");
        assert!(bob.memory.bytes.len() < alice.memory.bytes.len());
        // What stands before Bob's first picture is black, at its rate.
        let black = told.files[1].content_from_us as i64;
        let head = bob.rows(TrackKind::Video).into_iter();
        let head = head.take_while(|row| (row.decode_ticks * 100 / 9) as i64 + 1_000 < black);
        let frames = head.count() as i64;
        assert!(
            (frames - black / FRAME.as_us() as i64).abs() <= 2,
            "{frames} in {black} us"
        );
    }
}

#[test]
fn sound_and_picture_are_in_step_through_loss_and_repair() {
    for seed in sim::seeds(1..4) {
        let up = Faults {
            jitter: ms(15),
            reorder_ppm: 10_000,
            ..Faults::losing(ms(30), 20_000)
        };
        let mut world = World::new(Options {
            seed,
            up,
            ..ALIGNED
        });
        let alice = world.enter("Alice", "room", stage());
        world.run_for(secs(30));
        let sent: Vec<i64> = publisher(&mut world, alice)
            .audio
            .iter()
            .map(|at| at.as_us() as i64)
            .collect();
        let count = made(&world, alice).len();
        world.leave(alice);
        everybody_leaves(&mut world);
        let mut file = file_of(&world.disk, "Alice");
        let seen = file.seen();
        assert!(seen.len() + 40 > count, "{} of {count}", seen.len());
        let zero = zero_of(&seen, 40_000);
        let begins = opus_bursts(Sound::None).begins(&sent);
        let heard: Vec<i64> = file.onsets().iter().map(|at| at + zero).collect();
        assert!(heard.len() >= 15, "{heard:?}");
        let off = |at: &i64| sound::farthest(&[*at], &begins);
        let in_step = heard.iter().filter(|at| off(at) < SKEW_MAX).count();
        // A tone whose first packet was lost begins with its second.
        assert!(
            in_step * 10 >= heard.len() * 9,
            "{in_step} of {}",
            heard.len()
        );
        let farthest = sound::farthest(&heard, &begins);
        assert!(farthest < SKEW_MAX + ms(40), "{farthest:?}");
    }
}

/// Issue: ten minutes of speech with DTX, the camera off and on, the screen
/// shared in between, 5 % of the packets lost.
#[test]
fn ten_minutes_last_ten_minutes() {
    let mut world = World::new(Options {
        up: Faults {
            jitter: ms(10),
            ..Faults::losing(ms(30), 50_000)
        },
        ..ALIGNED
    });
    let alice = world.enter("Alice", "room", stage());
    world.run_for(secs(5));
    let began = made(&world, alice)[0];
    for minute in 0..10 {
        // Somebody talks for a while, and then listens.
        for turn in 0..10 {
            let speaker = publisher(&mut world, alice);
            speaker.talks = turn % 3 != 2;
            world.run_for(secs(6));
        }
        let speaker = publisher(&mut world, alice);
        speaker.talks = true;
        match minute {
            2 => speaker.camera_on = false,
            3 => {
                speaker.camera_on = true;
                speaker.switch_screen(true);
            }
            6 => speaker.switch_screen(false),
            _ => {}
        }
    }
    let sent: Vec<i64> = publisher(&mut world, alice)
        .audio
        .iter()
        .map(|at| at.as_us() as i64)
        .collect();
    world.leave(alice);
    let ended = world.now.as_us() as i64 + 25_000;
    everybody_leaves(&mut world);
    let mut file = file_of(&world.disk, "Alice");
    let seen = file.seen();
    // What came first came with the delay of the way; later ones may be faster.
    let zero = zero_of(&seen, 45_000);
    let [video_us, audio_us] = file.ends_us();
    let lasted = ended - began;
    for end in [video_us, audio_us] {
        assert!(
            (end - lasted).abs() <= LENGTH_OFF_MAX_US + 30_000,
            "{end} of {lasted}"
        );
    }
    assert!((video_us - audio_us).abs() <= LENGTH_OFF_MAX_US);
    // Tones of a whole turn of talking, where packets follow one another.
    let heard: Vec<i64> = file.onsets().iter().map(|at| at + zero).collect();
    let bursts = opus_bursts(Sound::None);
    let whole: Vec<i64> = sent
        .windows(2)
        .enumerate()
        .filter(|(n, pair)| n % bursts.every == bursts.first && pair[1] - pair[0] == 20_000)
        .map(|(_, pair)| pair[0] + bursts.late.as_us() as i64)
        .collect();
    let near = |at: &&i64| whole.iter().any(|begin| (**at - begin).abs() < 40_000);
    let in_step = heard.iter().filter(near).count();
    assert!(
        in_step * 100 >= whole.len() * 85,
        "{in_step} of {}",
        whole.len()
    );
    let gaps = &manifest(&world.disk).files[0].gaps;
    // The screen's own sets are in front of its key frames.
    let rows = file.rows(TrackKind::Video);
    let with_sets = rows.iter().filter(|row| {
        let bytes = sample_bytes(&mut file.memory, row).unwrap();
        let mut units = nal::avcc(&bytes, 4).flatten();
        units.any(|unit| nal::nal_type(unit) == Some(nal::TYPE_SPS))
    });
    let with_sets = with_sets.count();
    assert!(with_sets >= 2, "{with_sets}");
    let is_camera = |gap: &&ringhall::ops::manifest::Gap| {
        gap.track == GapTrack::Video && gap.until_us - gap.from_us > 59_000_000
    };
    assert_eq!(gaps.iter().filter(is_camera).count(), 1, "{gaps:?}");
}

#[test]
fn clocks_that_drift_for_hours_end_on_ours() {
    for clock_ppm in [-150, 150] {
        let mut world = World::new(ALIGNED);
        let media = Media {
            clock_ppm,
            picture_interval: ms(500),
            sound: Some(sound::opus()),
            ..Media::H264
        };
        let alice = world.enter(
            "Alice",
            "room",
            Plan {
                media,
                ..Plan::STAGE
            },
        );
        world.run_for(secs(2 * 3_600));
        world.leave(alice);
        let ended = world.now.as_us() as i64 + 25_000;
        everybody_leaves(&mut world);
        let mut file = file_of(&world.disk, "Alice");
        // Two hours are off by more than a second, and nobody sees it.
        let zero = zero_of(&file.seen(), 10_000);
        for end in file.ends_us() {
            let off = end - (ended - (zero + 25_000));
            assert!(off.abs() <= LENGTH_OFF_MAX_US, "{clock_ppm} ppm: {off} us");
        }
    }
}

#[test]
fn who_comes_after_45_minutes_gets_all_of_them_in_black() {
    let mut world = World::new(ALIGNED);
    let media = Media {
        picture_interval: ms(500),
        sound_interval: ms(20),
        sound: Some(sound::opus()),
        ..Media::H264
    };
    world.enter(
        "Alice",
        "room",
        Plan {
            media,
            ..Plan::STAGE
        },
    );
    world.run_for(secs(45 * 60));
    let bob = world.enter("Bob", "room", stage());
    world.run_for(secs(5));
    world.leave(bob);
    everybody_leaves(&mut world);
    let mut file = file_of(&world.disk, "Bob");
    let seen = file.seen();
    let pictures = file.rows(TrackKind::Video).len();
    assert!((pictures as i64 - 45 * 60 * 30).abs() < 1_000, "{pictures}");
    assert!(seen[0].at_us > 45 * 60 * 1_000_000 - 1_000_000);
    zero_of(&seen, 2_000);
}

#[test]
fn plain_files_begin_with_their_streams_and_have_no_tail() {
    let mut world = World::new(Options {
        aligned: false,
        ..ALIGNED
    });
    let alice = world.enter("Alice", "room", stage());
    world.run_for(secs(10));
    let bob = world.enter("Bob", "room", stage());
    world.run_for(secs(6));
    world.leave(bob);
    world.run_for(secs(4));
    world.leave(alice);
    everybody_leaves(&mut world);
    for (login, length) in [("Alice", 20_000_000), ("Bob", 6_000_000)] {
        let mut file = file_of(&world.disk, login);
        assert_eq!(file.seen()[0].at_us, 0);
        for end in file.ends_us() {
            assert!((end - length).abs() < 600_000, "{login}: {end}");
        }
    }
    assert_eq!(manifest(&world.disk).origin_unix_us, None);
}

#[test]
fn a_member_without_video_is_black_and_one_without_sound_is_silent() {
    let mut world = World::new(ALIGNED);
    let quiet = Encoding {
        sound: Sound::None,
        ..Encoding::USUAL
    };
    let blind = Encoding {
        has_video: false,
        ..sound::aac().encoding()
    };
    let quiet = world.rtmp_encoder("room", "Quiet", quiet);
    world.run_for(secs(4));
    let blind = world.rtmp_encoder("room", "Blind", blind);
    world.run_for(secs(6));
    let _ = (quiet, blind);
    everybody_leaves(&mut world);
    let mut ends = Vec::new();
    for login in ["Quiet", "Blind"] {
        let file = file_of(&world.disk, login);
        ends.extend(file.ends_us());
    }
    let (least, most) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
    assert!(most - least <= FRAME_US, "{ends:?}");
    let told = manifest(&world.disk);
    let of = |login: &str| told.files.iter().find(|file| file.login == login).unwrap();
    assert!(of("Quiet").audio.as_ref().unwrap().is_filler_only);
    let video = of("Blind").video.as_ref().unwrap();
    assert!(video.is_filler_only);
    assert_eq!((video.width, video.height), (640, 480));
}

#[test]
fn a_head_that_would_be_too_long_is_left_out_and_told() {
    let mut world = World::new(Options {
        shift_max: secs(5),
        ..ALIGNED
    });
    world.enter("Alice", "room", stage());
    world.run_for(secs(10));
    world.enter("Bob", "room", stage());
    world.run_for(secs(4));
    everybody_leaves(&mut world);
    let told = manifest(&world.disk);
    let began: Vec<u64> = told.files.iter().map(|file| file.began_unix_us).collect();
    assert!(
        (began[1] - began[0]).abs_diff(10_000_000) < 300_000,
        "{began:?}"
    );
    assert_eq!(file_of(&world.disk, "Bob").seen()[0].at_us, 0);
}

#[test]
fn the_beginning_may_be_the_rooms() {
    let mut world = World::new(Options {
        origin_is_room: true,
        ..ALIGNED
    });
    let guest = Plan {
        publishes: false,
        plays: false,
        ..stage()
    };
    world.enter("Guest", "room", guest);
    world.run_for(secs(7));
    world.enter("Alice", "room", stage());
    world.run_for(secs(4));
    everybody_leaves(&mut world);
    let first = file_of(&world.disk, "Alice").seen()[0].at_us;
    assert!((7_000_000..8_000_000).contains(&first), "{first}");
}

#[test]
fn a_plain_file_has_the_tracks_that_came() {
    let mut world = World::new(Options {
        aligned: false,
        ..ALIGNED
    });
    let blind = Encoding {
        has_video: false,
        ..sound::aac().encoding()
    };
    let quiet = Encoding {
        sound: Sound::None,
        ..Encoding::USUAL
    };
    world.rtmp_encoder("room", "Blind", blind);
    world.rtmp_encoder("room", "Quiet", quiet);
    world.run_for(secs(6));
    everybody_leaves(&mut world);
    let told = manifest(&world.disk);
    for file in &told.files {
        let tracks = (file.video.is_some(), file.audio.is_some());
        assert_eq!(tracks, (file.login == "Quiet", file.login == "Blind"));
    }
}

#[test]
fn only_what_is_asked_for_is_recorded() {
    let mut world = World::new(Options {
        record_all: false,
        ..ALIGNED
    });
    let alice = world.enter("Alice", "room", stage());
    world.run_for(secs(3));
    // A guest has the whole room recorded, those who are there already too.
    let guest = world.enter("Guest", "other", Plan::AUDIENCE);
    world.run_for(secs(1));
    let join = client::join("again", "room").replace("\"name\"", "\"record\":true,\"name\"");
    world.say(guest, &join);
    world.run_for(secs(4));
    let bob = world.enter("Bob", "room", stage());
    let stranger = world.enter("Stranger", "elsewhere", stage());
    world.run_for(secs(4));
    // Who published before learns of it; who begins later is told with that.
    let hears = |seat: Seat| {
        let mut heard = world.browser(seat).heard.iter();
        heard.any(|(_, message)| {
            matches!(message, ServerMessage::StreamEvent { kind, .. } if kind == "recordingStarted")
        })
    };
    assert_eq!([alice, bob, stranger].map(hears), [true, false, false]);
    everybody_leaves(&mut world);
    let disk = &world.disk;
    assert_eq!(files(disk).len(), 2);
    for login in ["Alice", "Bob"] {
        assert!(file_of(disk, login).seen().len() > 90, "{login}");
    }
}

#[test]
fn opus_is_recorded_as_aac_where_that_is_wanted() {
    let mut world = World::new(Options {
        record_aac: true,
        ..ALIGNED
    });
    let alice = world.enter("Alice", "room", stage());
    world.run_for(secs(12));
    world.leave(alice);
    everybody_leaves(&mut world);
    let mut file = file_of(&world.disk, "Alice");
    let [video_us, audio_us] = file.ends_us();
    assert!(
        (video_us - audio_us).abs() < 30_000,
        "{video_us} {audio_us}"
    );
    assert!(
        file.rows(TrackKind::Audio)
            .iter()
            .all(|row| row.sample.duration == 1_024)
    );
    assert!(file.seen().len() > 300);
}

#[test]
fn an_rtmp_publisher_is_recorded_with_its_own_sound_and_its_b_frames() {
    let mut world = World::new(ALIGNED);
    let encoding = Encoding {
        b_frames: true,
        ..sound::aac().encoding()
    };
    let encoder = world.rtmp_encoder("room", "Encoder", encoding);
    world.run_for(secs(10));
    let _ = encoder;
    everybody_leaves(&mut world);
    let file = file_of(&world.disk, "Encoder");
    let rows = file.rows(TrackKind::Video);
    assert!(rows.len() > 250, "{}", rows.len());
    assert!(rows.iter().any(|row| row.sample.composition > 0));
    let [video_us, audio_us] = file.ends_us();
    assert!(
        (video_us - audio_us).abs() <= FRAME_US,
        "{video_us} {audio_us}"
    );
}

#[test]
fn events_tell_of_each_file() {
    let mut world = World::new(ALIGNED);
    let alice = world.enter("Alice", "room", stage());
    world.run_for(secs(5));
    world.leave(alice);
    everybody_leaves(&mut world);
    let steps: Vec<RecordingStep> = world
        .events
        .iter()
        .filter_map(|(_, _, event)| match event {
            Event::Recording(news, step) => {
                assert!(news.file.ends_with("-Alice.mp4"));
                Some(*step)
            }
            _ => None,
        })
        .collect();
    let [
        RecordingStep::Begun,
        RecordingStep::Whole { duration_ms, .. },
    ] = steps[..]
    else {
        panic!("{steps:?}");
    };
    assert!(Span::from_ms(duration_ms) > secs(4));
}

#[test]
fn an_encoder_is_recorded_whole_from_a_later_wish_on() {
    let mut world = World::new(Options {
        record_all: false,
        ..ALIGNED
    });
    world.rtmp_encoder("room", "Encoder", sound::aac().encoding());
    world.run_for(secs(3));
    let guest = world.enter("Guest", "other", Plan::AUDIENCE);
    world.run_for(secs(1));
    let join = client::join("again", "room").replace("\"name\"", "\"record\":true,\"name\"");
    world.say(guest, &join);
    world.run_for(secs(8));
    everybody_leaves(&mut world);
    let mut file = file_of(&world.disk, "Encoder");
    let seen = file.seen();
    assert!(seen.len() > 150 && seen[0].is_key, "{}", seen.len());
    assert!(file.rows(TrackKind::Audio).len() > 250);
}
