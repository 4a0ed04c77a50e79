//! Loss on both legs, feedback included, 50 ms of round trip each: how many
//! frames are whole at the viewer within half a second of being sent.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::time::Span;
use ringhall::sim::browser::Plan;
use ringhall::sim::net::{Fault, FaultCounts, Faults};
use ringhall::sim::oracle::{self, Share};
use ringhall::sim::world::{Options, World};

use sim::{FRAME, everybody_leaves, expect_nothing, ms, secs, seeds};

/// How long a frame may take to be of use in a conversation.
const PATIENCE: Span = Span::from_ms(500);

struct Rate {
    loss_ppm: u64,
    seeds: std::ops::Range<u64>,
    /// Least share of frames in time, of a million: in each run from its first
    /// picture on, and of all frames sent after PLAYING in all runs.
    least_ppm: u64,
    /// Longest wait from PLAYING to the first picture. Two requests in a row
    /// may be lost, and the third comes 600 ms after the first.
    wait_max: Span,
}

const RATES: [Rate; 3] = [
    Rate {
        loss_ppm: 0,
        seeds: 0..20,
        least_ppm: 1_000_000,
        wait_max: ms(150),
    },
    Rate {
        loss_ppm: 20_000,
        seeds: 100..190,
        least_ppm: 990_000,
        wait_max: ms(1_000),
    },
    Rate {
        loss_ppm: 100_000,
        seeds: 200..290,
        least_ppm: 950_000,
        wait_max: ms(1_500),
    },
];

/// How one run went.
struct Outcome {
    /// Frames from the first picture on.
    shown: Share,
    /// Frames sent after PLAYING and the round trip their key frame takes.
    playing: Share,
    /// From PLAYING to the first picture.
    wait: Span,
}

/// One publisher, one viewer.
fn run(seed: u64, loss_ppm: u64) -> Outcome {
    let faults = Faults::losing(ms(25), loss_ppm);
    let mut world = World::new(Options {
        up: faults,
        down: faults,
        ..Options::clean(seed)
    });
    world.enter("ann", "room", Plan::STAGE);
    world.run_for(secs(1));
    world.enter("bob", "room", Plan::AUDIENCE);
    world.run_for(secs(6));
    let until = world.now - PATIENCE;
    let sights = oracle::sights(&world);
    assert_eq!(sights.len(), 1, "seed {seed}");
    let sight = &sights[0];
    let playing = sight.playing.unwrap();
    let first = sight.first_picture().unwrap();
    let (_, shown) = sight.viewer.pictures[0];
    let outcome = Outcome {
        shown: sight.frames_in_time(first, until, PATIENCE),
        playing: sight.frames_in_time(playing + ms(50) + FRAME, until, PATIENCE),
        wait: shown.since(playing),
    };
    everybody_leaves(&mut world);
    outcome
}

#[test]
fn frames_survive_loss_on_both_legs() {
    let mut wrong = Vec::new();
    for mut rate in RATES {
        rate.seeds = seeds(rate.seeds);
        let runs: Vec<Outcome> = rate.seeds.clone().map(|s| run(s, rate.loss_ppm)).collect();
        let shares = || runs.iter().map(|run| run.shown.ppm());
        let least = shares().min().unwrap();
        let mean = shares().sum::<u64>() / runs.len() as u64;
        let all = Share {
            sent: runs.iter().map(|run| run.playing.sent).sum(),
            arrived: runs.iter().map(|run| run.playing.arrived).sum(),
        };
        let wait = runs.iter().map(|run| run.wait).max().unwrap();
        println!(
            "loss {} %: {} runs; whole in 500 ms from the first picture on: least {:.2} %, mean \
             {:.2} %; of all {} frames after PLAYING: {:.2} %; longest wait for a picture {} ms",
            rate.loss_ppm / 10_000,
            runs.len(),
            least as f64 / 10_000.0,
            mean as f64 / 10_000.0,
            all.sent,
            all.ppm() as f64 / 10_000.0,
            wait.as_ms(),
        );
        assert!(all.sent > 100 * runs.len() as u64);
        for (seed, run) in rate.seeds.zip(&runs) {
            if run.shown.ppm() < rate.least_ppm || run.wait > rate.wait_max {
                let waited = run.wait.as_ms();
                wrong.push(format!("seed {seed}: {:?} after {waited} ms", run.shown));
            }
        }
        if all.ppm() < rate.least_ppm {
            wrong.push(format!("{} ppm lost: {all:?}", rate.loss_ppm));
        }
    }
    expect_nothing(wrong);
}

#[test]
fn every_fault_of_the_network_is_met() {
    let mut met = FaultCounts::default();
    for seed in 0..8 {
        let mut world = World::new(sim::rough(Options::clean(seed)));
        let ann = world.enter("ann", "room", Plan::CALL);
        let bob = world.enter("bob", "room", Plan::CALL);
        world.run_for(secs(4));
        world.rebind(ann);
        let down = Faults {
            partitioned: true,
            ..Faults::clean(ms(25))
        };
        world.set_faults(bob, down, down);
        world.run_for(secs(2));
        let rough = sim::rough(Options::clean(seed));
        world.set_faults(bob, rough.up, rough.down);
        world.run_for(secs(4));
        let end = world.now;
        expect_nothing(oracle::everyone_sees_and_hears(&world, end, secs(4)));
        for sight in oracle::sights(&world) {
            let late = sight.frames_in_time(end - secs(2), end - PATIENCE, PATIENCE);
            assert!(
                late.arrived > 20,
                "seed {seed}: {late:?} after the partition"
            );
        }
        everybody_leaves(&mut world);
        met.add(world.fault_counts());
    }
    for fault in Fault::ALL {
        assert!(met.of(fault) > 0, "{fault:?} was never met");
    }
}
