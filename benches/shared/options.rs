//! The command line of a bench.

use std::error::Error;

/// Subscribers, and their receivers.
pub const SUBSCRIBERS: usize = 50;
/// Packets to each subscriber in one measured round: 2,400 in all, few enough
/// for a receiver's default buffer, a multiple of every train length.
pub const ROUND_PACKETS: usize = 48;
/// Rounds below which medians are not worth printing.
const ROUNDS_USUAL: usize = 30;

const USAGE: &str = "options, behind `--`:
  --rounds N       measured rounds of each alternative [default: 30]
  --k N[,N...]     packets of each subscriber per flush [default: 1,4,8,16]
  --back-end NAME  only uring or mmsg [default: both]
  --tx             drop what is sent at the loopback's egress, in a network
                   namespace of its own: the transmit path alone; needs root
  --unpadded       without RTP padding: a frame's packets, of two lengths as
                   browsers make them, take two trains
  --connected      with a connected socket for each subscriber; limit does so
                   beside the other, fanout instead and on io_uring only
  --cold           of fanout: with caches swept before each turn, as they are
                   where turns are milliseconds apart
  --only NAME      measure one alternative, for a profiler
  --cores N        of fanout: one room on 1 to N cores instead, beside the limit
                   on as many threads";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackEnd {
    Uring,
    Mmsg,
}

impl BackEnd {
    pub fn name(self) -> &'static str {
        match self {
            BackEnd::Uring => "io_uring",
            BackEnd::Mmsg => "sendmmsg",
        }
    }
}

pub struct Options {
    pub rounds: usize,
    pub train_lengths: Vec<usize>,
    pub back_ends: Vec<BackEnd>,
    pub tx: bool,
    pub padded: bool,
    pub connected: bool,
    pub cold: bool,
    pub only: Option<String>,
    /// How a room scales from one core to so many, instead.
    pub cores: Option<usize>,
}

impl Options {
    /// Reads the process's arguments. `cargo bench` adds `--bench`; without
    /// it this is a test run, and one round shows that everything works.
    pub fn read() -> Result<Self, Box<dyn Error>> {
        let mut options = Options {
            rounds: 1,
            train_lengths: vec![1, 4, 8, 16],
            back_ends: vec![BackEnd::Uring, BackEnd::Mmsg],
            tx: false,
            padded: true,
            connected: false,
            cold: false,
            only: None,
            cores: None,
        };
        let mut asked = None;
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => options.rounds = ROUNDS_USUAL,
                "--tx" => options.tx = true,
                "--unpadded" => options.padded = false,
                "--connected" => options.connected = true,
                "--cold" => options.cold = true,
                "--rounds" => asked = Some(value()?.parse()?),
                "--only" => options.only = Some(value()?),
                "--cores" => options.cores = Some(value()?.parse()?),
                "--k" => {
                    let lengths = value()?;
                    let lengths = lengths.split(',').map(str::parse);
                    options.train_lengths = lengths.collect::<Result<_, _>>()?;
                }
                "--back-end" => {
                    options.back_ends = match value()?.as_str() {
                        "uring" => vec![BackEnd::Uring],
                        "mmsg" => vec![BackEnd::Mmsg],
                        other => return Err(format!("no back end {other}\n{USAGE}").into()),
                    }
                }
                other => return Err(format!("unknown argument {other}\n{USAGE}").into()),
            }
        }
        options.rounds = asked.unwrap_or(options.rounds);
        let fits = |k: &usize| (1..=16).contains(k);
        if !options.train_lengths.iter().all(fits) {
            return Err("a train holds 1 to 16 packets of this size".into());
        }
        Ok(options)
    }

    pub fn wants(&self, alternative: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == alternative)
    }
}

/// Flushes of `k` packets that make up one round.
pub fn flushes(k: usize) -> usize {
    (ROUND_PACKETS / k).max(1)
}
