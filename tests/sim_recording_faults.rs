//! Recordings where something goes wrong: the machine goes down at any instant,
//! the disk is full, slow, takes part of a write, or nothing any more. What was
//! written stays, the call goes on.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::random::Noise;
use ringhall::base::time::{Span, Time};
use ringhall::ops::event::{Event, RecordingStep};
use ringhall::ops::record_name::PART_SUFFIX;
use ringhall::record::repair::{Repaired, repair};
use ringhall::record::store::{FileFault, Memory};
use ringhall::signal::client::ServerMessage;
use ringhall::sim::browser::Plan;
use ringhall::sim::disk::DiskFaults;
use ringhall::sim::publisher::Media;
use ringhall::sim::world::{Options, Seat, World};

use sim::records::{ALIGNED, File, file_of, made, publisher, stage, watcher, zero_of};
use sim::sound;
use sim::{everybody_leaves, ms, secs};

/// A fragment, the recorder's patience with missing packets, and the way.
const LOST_MAX: Span = Span::from_ms(1_000 + 1_000 + 100);

/// What a file shows of a stream, by the number of the last picture.
fn last_seen(file: &mut File) -> Option<u32> {
    file.seen().last().map(|seen| seen.id)
}

/// The number of the newest picture made before `at`.
fn newest_before(made: &[i64], at: Time) -> usize {
    made.iter()
        .filter(|made| **made <= at.as_us() as i64)
        .count()
}

/// Alice from the start, Bob from the fourth second to the ninth; with what the
/// disk does, and up to `until`.
fn call(seed: u64, faults: DiskFaults, until: Time) -> (World, [Seat; 2]) {
    let mut world = World::new(Options { seed, ..ALIGNED });
    world.disk.faults = faults;
    let alice = world.enter("Alice", "room", stage());
    world.run_until(Time::ZERO + secs(4));
    let bob = world.enter("Bob", "room", stage());
    world.run_until((Time::ZERO + secs(9)).min(until));
    if until > world.now {
        world.leave(bob);
        world.run_until((Time::ZERO + secs(11)).min(until));
    }
    if until > world.now {
        world.leave(alice);
        world.run_until(until);
    }
    (world, [alice, bob])
}

#[test]
fn whatever_the_instant_at_which_the_machine_goes_down() {
    let mut noise = Noise::new(2026);
    let (mut parts, mut wholes, mut repaired) = (0, 0, 0);
    for n in 0..200 {
        let until = Time::from_us(4_100_000 + noise.below(7_400_000));
        let faults = DiskFaults {
            short_per_mille: 200,
            delay: Span::from_ms(1 + noise.below(60)),
            ..DiskFaults::none()
        };
        let (world, [alice, bob]) = call(n, faults, until);
        let sent = [alice, bob].map(|seat| made(&world, seat));
        let disk = world.kill();
        for (login, made) in ["Alice", "Bob"].iter().zip(&sent) {
            // Bob's ended in the ninth second.
            let end = match *login {
                "Bob" => until.min(Time::ZERO + secs(9)),
                _ => until.min(Time::ZERO + secs(11)),
            };
            let expected = newest_before(made, end - LOST_MAX);
            let of_login = |name: &&String| name.contains(&format!("-{login}.mp4"));
            let Some(name) = disk.files.keys().find(of_login) else {
                // Its first second was not over, or not on the disk yet.
                assert!(
                    expected < 40,
                    "{n}: {login} has no file of {expected} pictures"
                );
                continue;
            };
            match name.ends_with(PART_SUFFIX) {
                true => parts += 1,
                false => wholes += 1,
            }
            let before = disk.files[name].clone();
            // A file is readable as it is once it has anything in it.
            let shown = match ringhall::record::read::open(&mut before.clone()) {
                Ok(_) => last_seen(&mut File::of(&before)).map_or(0, |id| id as usize + 1),
                Err(why) => {
                    assert!(expected < 40, "{n}: {login} at {until:?}: {why:?}");
                    continue;
                }
            };
            assert!(
                shown >= expected,
                "{n}: {login} shows {shown} of {expected}"
            );
            let mut after = before.clone();
            match repair(&mut after) {
                Ok(Repaired::WasWhole(_)) => assert_eq!(after, before),
                Ok(_) => {
                    repaired += 1;
                    let mut file = File::of(&after);
                    assert!(file.is_whole());
                    let kept = last_seen(&mut file).map_or(0, |id| id as usize + 1);
                    assert!(kept >= shown, "{n}: {kept} after, {shown} before");
                    let seen = file.seen();
                    if !seen.is_empty() {
                        zero_of(&seen, 2_000);
                    }
                }
                Err(why) => assert!(shown == 0, "{n}: {login}: {why:?}"),
            }
        }
    }
    assert!(
        parts > 100 && wholes > 20 && repaired > 100,
        "{parts} {wholes} {repaired}"
    );
}

#[test]
fn short_writes_and_a_slow_disk_change_nothing() {
    for faults in [
        DiskFaults {
            short_per_mille: 700,
            ..DiskFaults::none()
        },
        DiskFaults {
            delay: ms(400),
            ..DiskFaults::none()
        },
    ] {
        let (mut world, [alice, _]) = call(3, faults, Time::ZERO + secs(14));
        let count = newest_before(&made(&world, alice), Time::ZERO + secs(11));
        everybody_leaves(&mut world);
        world.run_for(secs(30));
        let mut file = file_of(&world.disk, "Alice");
        assert!(file.seen().len() >= count, "{count}");
        if faults.short_per_mille > 0 {
            assert!(world.disk.struck[0] > 10);
        }
    }
}

/// Runs a call whose disk goes wrong after five seconds, in the way `spoil`
/// says. What became of the recordings, and the files; the call itself must go
/// on, seen by somebody who watches.
fn spoiled(spoil: impl Fn(&mut World)) -> (World, Vec<RecordingStep>) {
    let mut world = World::new(ALIGNED);
    let alice = world.enter("Alice", "room", stage());
    world.run_for(secs(1));
    let watcher = world.enter("Watcher", "room", watcher());
    world.run_for(secs(4));
    spoil(&mut world);
    let before = world.now;
    world.run_for(secs(10));
    let mut peers = world.browser(watcher).peers.iter();
    let viewer = peers.find_map(|peer| peer.viewer()).unwrap();
    let shown = viewer
        .pictures
        .iter()
        .filter(|(_, at)| *at > before)
        .count();
    assert!(shown > 290, "{shown} frames in ten seconds");
    let is_notice = |(_, said): &(Time, ServerMessage)| matches!(said, ServerMessage::StreamEvent { kind, .. } if kind == "recordingFailed");
    let is_told = world.browser(alice).heard.iter().any(is_notice);
    world.leave(alice);
    everybody_leaves(&mut world);
    let steps: Vec<RecordingStep> = world
        .events
        .iter()
        .filter_map(|(_, _, event)| match event {
            Event::Recording(_, step) => Some(*step),
            _ => None,
        })
        .collect();
    let failed = steps
        .iter()
        .any(|step| matches!(step, RecordingStep::Failed(_)));
    assert_eq!(failed, is_told, "{steps:?}");
    (world, steps)
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_call() {
    let (world, steps) = spoiled(|world| world.disk.faults.space_bytes = 300_000);
    let why = FileFault::NoSpace.info();
    assert!(steps.contains(&RecordingStep::Failed(why)), "{steps:?}");
    assert!(world.disk.struck[1] > 0);
    for (name, file) in world.disk.recordings() {
        let mut file = File::of(file);
        assert!(file.seen().len() > 120, "{name}");
    }
}

#[test]
fn permission_that_is_lost_ends_the_recording_and_not_the_call() {
    let (world, steps) = spoiled(|world| world.disk.faults.is_denied = true);
    let why = FileFault::Denied.info();
    assert!(steps.contains(&RecordingStep::Failed(why)), "{steps:?}");
    // Left as it was, and repaired at the next start.
    let (name, file) = world.disk.recordings().next().unwrap();
    assert!(name.ends_with(PART_SUFFIX));
    let mut file: Memory = file.clone();
    assert!(File::of(&file).seen().len() > 60);
    repair(&mut file).unwrap();
    assert!(File::of(&file).is_whole());
}

#[test]
fn a_disk_that_does_not_keep_up_ends_the_recording() {
    let mut world = World::new(ALIGNED);
    world.disk.faults.delay = secs(40);
    let media = Media {
        sound: Some(sound::opus()),
        picture_interval: ms(4),
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
    world.run_for(secs(60));
    let frames = publisher(&mut world, alice).frames.len();
    assert!(frames > 10_000);
    let is_slow = |event: &(Time, _, Event)| matches!(&event.2, Event::Recording(_, RecordingStep::Failed(why)) if why.contains("slow"));
    assert!(world.events.iter().any(is_slow));
    world.disk.faults.delay = ms(3);
    world.leave(alice);
    world.run_for(secs(60));
    everybody_leaves(&mut world);
}
