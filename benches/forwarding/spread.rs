//! One room on one core and on several, beside the limit on as many threads: how
//! many packets a second more cores forward. Whether a second core brings as much
//! as this machine can give shows in the two ratios' ratio. Nobody sends and
//! nobody reads meanwhile: the publisher's packets wait in the socket when the
//! clock starts, and receivers' queues run over.

use std::error::Error;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::shared::bare::Bare;
use crate::shared::crew::{Crew, Hand, Working};
use crate::shared::crowd::Crowd;
use crate::shared::meter::{allowed_cpus, pin_to};
use crate::shared::options::{BackEnd, Options};
use crate::shared::samples::Samples;
use crate::shared::stage::Stage;
use crate::shared::verdict::Verdict;

const VIEWERS: usize = 100;
/// Packets to each viewer in a round: what a socket's queue holds for sure.
const PACKETS: usize = 240;
const PATIENCE: Duration = Duration::from_secs(10);
/// Of what the machine's second core brings, so much is to be had.
const GOAL: f64 = 0.85;

enum Job {
    /// Forward until so many packets have left.
    Forward {
        crew: usize,
        packets: u64,
        k: usize,
    },
    Limit {
        of: usize,
        k: usize,
    },
}

/// What came of it: seconds from the common start, and packets sent.
struct Outcome {
    took: Duration,
    packets: u64,
}

struct Worker {
    jobs: Sender<(Job, Arc<Barrier>)>,
    outcomes: Receiver<Result<Outcome, String>>,
    thread: JoinHandle<Vec<Hand>>,
}

pub fn run(options: &Options, cores: usize) -> Result<bool, Box<dyn Error>> {
    let cpus = allowed_cpus()?;
    if cores < 2 || cpus.len() < cores {
        return Err(format!("--cores takes 2 to {}", cpus.len()).into());
    }
    let runtime = runtime()?;
    let mut crews = {
        let _inside = runtime.enter();
        [Crew::gather(1, VIEWERS)?, Crew::gather(cores, VIEWERS)?]
    };
    let spread: Vec<Vec<usize>> = crews.iter().map(Crew::spread).collect();
    println!(
        "fanout: one room, one publisher, {VIEWERS} viewers, on 1 and {cores} cores ({:?} viewers \
         each), {} rounds of {} packets",
        spread[1],
        options.rounds,
        PACKETS * VIEWERS
    );
    let mut workers = Vec::new();
    for (at, cpu) in cpus.into_iter().take(cores).enumerate() {
        let mut hands = Vec::new();
        for (number, crew) in crews.iter_mut().enumerate() {
            if at < spread[number].len() {
                hands.push((number, crew.hands.remove(0)));
            }
        }
        workers.push(worker(cpu, hands, [VIEWERS, VIEWERS / cores])?);
    }
    let mut bench = Bench {
        crews,
        spread,
        stages: [Stage::default(), Stage::default()],
        workers,
        verdict: Verdict::default(),
    };
    bench.warm_up()?;
    println!(
        "\n| k | cores | fanout, packets/s | limit, packets/s | fanout scales | limit scales | fanout's / limit's |"
    );
    println!("|---:|---:|---|---|---:|---:|---:|");
    let mut worst = f64::INFINITY;
    for k in &options.train_lengths {
        worst = worst.min(bench.measure(*k, options.rounds, cores)?);
    }
    let judgement = if worst >= GOAL { "met" } else { "MISSED" };
    println!("\nlowest ratio {worst:.2}: the goal of {GOAL} is {judgement}");
    bench.check_drops();
    Ok(bench.verdict.print())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
}

struct Bench {
    crews: [Crew; 2],
    /// Viewers of each core, by crew.
    spread: Vec<Vec<usize>>,
    stages: [Stage; 2],
    workers: Vec<Worker>,
    verdict: Verdict,
}

impl Bench {
    /// Opens the key frame gates and lets viewers report.
    fn warm_up(&mut self) -> Result<(), Box<dyn Error>> {
        for crew in 0..2 {
            self.crews[crew].report()?;
            self.forward(crew, 8, true)?;
            self.forward(crew, 8, false)?;
        }
        Ok(())
    }

    fn measure(&mut self, k: usize, rounds: usize, cores: usize) -> Result<f64, Box<dyn Error>> {
        let mut rates: [[Samples; 2]; 2] = Default::default();
        for round in 0..rounds {
            let mut order = [0, 1, 2, 3];
            order.rotate_left(round % 4);
            for what in order {
                let (crew, is_limit) = (what % 2, what / 2);
                let took = match is_limit {
                    0 => self.forward(crew, k, false)?,
                    _ => self.limit(crew, k)?,
                };
                let packets = (PACKETS / k * k * VIEWERS) as f64;
                rates[is_limit][crew].add(packets / took.as_secs_f64());
            }
        }
        let [fanout, limit] = &rates;
        let scales = |pair: &[Samples; 2]| pair[1].over(&pair[0]);
        let (own, machine) = (scales(fanout), scales(limit));
        let ratio = own.median() / machine.median();
        for (at, count) in [1, cores].into_iter().enumerate() {
            let scale = if at == 0 {
                "| | |".to_string()
            } else {
                format!("{own:.2} | {machine:.2} | {ratio:.2} |")
            };
            println!("| {k} | {count} | {} | {} | {scale}", fanout[at], limit[at]);
        }
        Ok(ratio)
    }

    /// Publishes a round into the socket, then lets everybody forward.
    fn forward(&mut self, crew: usize, k: usize, is_key: bool) -> Result<Duration, Box<dyn Error>> {
        let Crew {
            publisher,
            publisher_socket,
            ..
        } = &mut self.crews[crew];
        let port = publisher.server_port().ok_or("not connected")?;
        let frames = PACKETS / k;
        for frame in 0..frames {
            let is_key = is_key && frame == 0;
            for packet in self.stages[crew].frame(publisher, k, is_key)? {
                publisher_socket.send_to(&packet, ("127.0.0.1", port))?;
            }
        }
        // The home core's thread is the first, and it may not be core 0.
        let jobs = self.spread[crew].iter().map(|viewers| Job::Forward {
            crew,
            packets: (frames * k * viewers) as u64,
            k,
        });
        let jobs: Vec<Job> = jobs.collect();
        self.all(jobs, frames * k * VIEWERS, &format!("fanout k={k}"))
    }

    fn limit(&mut self, crew: usize, k: usize) -> Result<Duration, Box<dyn Error>> {
        let threads = self.spread[crew].len();
        let jobs = (0..threads).map(|_| Job::Limit { of: crew, k }).collect();
        let packets = PACKETS / k * k * (VIEWERS / threads * threads);
        self.all(jobs, packets, &format!("limit k={k}"))
    }

    /// Has each worker do its job, all from one instant on.
    fn all(&mut self, jobs: Vec<Job>, due: usize, name: &str) -> Result<Duration, Box<dyn Error>> {
        let start = Arc::new(Barrier::new(jobs.len()));
        let count = jobs.len();
        for (worker, job) in self.workers.iter().zip(jobs) {
            worker.jobs.send((job, Arc::clone(&start)))?;
        }
        let (mut longest, mut packets) = (Duration::ZERO, 0);
        for worker in self.workers.iter().take(count) {
            let outcome = worker.outcomes.recv()??;
            longest = longest.max(outcome.took);
            packets += outcome.packets;
        }
        // Reports of the cores go by the datagram, too.
        let few = due as u64 / 20;
        let as_meant = (due as u64..=due as u64 + few).contains(&packets);
        self.verdict.check(as_meant, || {
            format!("{name}: {packets} packets left, {due} were due")
        });
        Ok(longest)
    }

    /// Stops everybody; nothing may have been dropped for any reason.
    fn check_drops(&mut self) {
        for worker in self.workers.drain(..) {
            drop(worker.jobs);
            for at in worker.thread.join().unwrap_or_default() {
                let drops = at.counters().drops;
                let dropped: u64 = drops.iter().sum();
                // Before the first key frame and before the last viewer.
                self.verdict
                    .check(dropped < (PACKETS * VIEWERS) as u64 / 10, || {
                        format!("a core dropped: {drops:?}")
                    });
            }
        }
    }
}

fn worker(
    cpu: usize,
    hands: Vec<(usize, Hand)>,
    bare: [usize; 2],
) -> Result<Worker, Box<dyn Error>> {
    let (jobs, todo) = channel::<(Job, Arc<Barrier>)>();
    let (done, outcomes) = channel();
    let thread = thread::Builder::new().name(format!("core on CPU {cpu}"));
    let thread = thread.spawn(move || {
        let mut bench = match Post::new(cpu, hands, bare) {
            Ok(bench) => bench,
            Err(error) => {
                let _ = done.send(Err(error.to_string()));
                return Vec::new();
            }
        };
        for (job, start) in todo {
            start.wait();
            let outcome = bench.work(job).map_err(|error| error.to_string());
            if done.send(outcome).is_err() {
                break;
            }
        }
        let hands = bench.hands.into_iter();
        hands.map(|(_, working)| working.hand).collect()
    })?;
    Ok(Worker {
        jobs,
        outcomes,
        thread,
    })
}

/// What a worker thread has.
struct Post {
    hands: Vec<(usize, Working)>,
    /// For one thread, and for one of several.
    bare: [Bare; 2],
    _crowds: [Crowd; 2],
    _runtime: tokio::runtime::Runtime,
}

impl Post {
    fn new(
        cpu: usize,
        hands: Vec<(usize, Hand)>,
        bare: [usize; 2],
    ) -> Result<Self, Box<dyn Error>> {
        pin_to(cpu)?;
        let runtime = runtime()?;
        let hands = {
            let _inside = runtime.enter();
            let started = hands
                .into_iter()
                .map(|(crew, hand)| Ok((crew, hand.start()?)));
            started.collect::<std::io::Result<Vec<_>>>()?
        };
        let crowds = [Crowd::new(bare[0])?, Crowd::new(bare[1])?];
        let limit = |crowd: &Crowd| Bare::new(&crowd.addresses()?, 16);
        Ok(Post {
            hands,
            bare: [limit(&crowds[0])?, limit(&crowds[1])?],
            _crowds: crowds,
            _runtime: runtime,
        })
    }

    fn work(&mut self, job: Job) -> Result<Outcome, Box<dyn Error>> {
        let started = Instant::now();
        match job {
            Job::Forward { crew, packets, k } => {
                let mut hands = self.hands.iter_mut();
                let found = hands.find(|(of, _)| *of == crew);
                let (_, working) = found.ok_or("not on this thread")?;
                let mut sent = 0;
                while sent < packets {
                    if started.elapsed() > PATIENCE {
                        return Err(format!("{sent} of {packets} packets in 10 s").into());
                    }
                    sent += u64::from(working.turn(k).0);
                }
                Ok(Outcome {
                    took: started.elapsed(),
                    packets: sent,
                })
            }
            Job::Limit { of, k } => {
                let bare = &mut self.bare[of];
                bare.prepare(k);
                let mut sent = 0;
                for _ in 0..PACKETS / k {
                    bare.seal(k);
                    sent += bare.send(BackEnd::Mmsg)? * k;
                }
                Ok(Outcome {
                    took: started.elapsed(),
                    packets: sent as u64,
                })
            }
        }
    }
}
