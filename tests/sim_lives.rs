//! Random lives: people come, leave, lose their sockets, move, vanish and come
//! back, over a rough network and any number of cores. Whatever the order,
//! every stream is legal, and at the end nothing is held.

#[path = "sim/mod.rs"]
mod sim;

use ringhall::base::random::Noise;
use ringhall::core::CloseCause;
use ringhall::sim::browser::Plan;
use ringhall::sim::net::Faults;
use ringhall::sim::world::{Options, Seat, World};

use sim::{everybody_leaves, ms, seeds};

const SEEDS: std::ops::Range<u64> = 0..30;
const STEPS: usize = 25;

fn step(world: &mut World, noise: &mut Noise, options: &Options) {
    let people = world.browsers().len() as u64;
    if people < 2 || (people < 8 && noise.below(4) == 0) {
        let login = ["ann", "bob", "cid", "dan"][noise.below(4) as usize];
        let room = ["room", "hall"][noise.below(2) as usize];
        let plan = [Plan::CALL, Plan::STAGE, Plan::AUDIENCE][noise.below(3) as usize];
        world.enter(login, room, plan);
        return;
    }
    let seat = Seat(noise.below(people) as usize);
    match noise.below(10) {
        0 => world.leave(seat),
        1 => world.unpublish(seat),
        2 => world.publish(seat),
        3 => world.hang_up(seat, CloseCause::Failed),
        4 => world.connect(seat, true),
        5 => world.connect(seat, false),
        6 => world.rebind(seat),
        7 => world.close_peers(seat),
        8 => {
            let dead = Faults {
                partitioned: true,
                ..options.up
            };
            world.set_faults(seat, dead, dead);
        }
        _ => world.set_faults(seat, options.up, options.down),
    }
}

#[test]
fn whatever_people_do_every_stream_is_legal_and_nothing_is_left() {
    for seed in seeds(SEEDS) {
        let mut noise = Noise::new(seed ^ 0x11fe);
        let mut options = sim::rough(Options::clean(seed));
        options.cores = 1 + noise.below(4) as u16;
        let mut world = World::new(options);
        for _ in 0..STEPS {
            step(&mut world, &mut noise, &options);
            world.run_for(ms(noise.below(1_500)));
        }
        // The last line before a failure names its seed.
        println!("seed {seed}: {} events", world.events.len());
        everybody_leaves(&mut world);
    }
}

#[test]
fn a_server_that_stops_tells_everyone_and_holds_nothing() {
    for seed in 0..4 {
        let mut options = Options::clean(seed);
        options.cores = 3;
        let mut world = World::new(options);
        let ann = world.enter("ann", "room", Plan::CALL);
        world.enter("bob", "room", Plan::CALL);
        world.run_for(ms(1_500 + seed * 300));
        world.shut_down();
        world.run_for(ms(40_000));
        assert!(world.browser(ann).connection.is_none());
        everybody_leaves(&mut world);
    }
}
