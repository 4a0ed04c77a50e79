//! What the server spends to forward one packet to one viewer, beside what
//! this machine must at least spend (`limit`): a room with a publisher and 50
//! viewers, connected for real, on the server's own sockets and core. Counted
//! is everything from the publisher's datagram in the socket's queue to the
//! viewers' datagrams in theirs: receiving, decrypting, the window, numbering,
//! encrypting, sending.
//!
//! `cargo bench --bench fanout`, with `-- --tx` for the transmit path alone.
//! Fails when a packet went missing or a viewer could not read what it got;
//! what was slow is only said.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use ringhall::base::limits::LINES_MAX;
use ringhall::base::snapshot::Counters;
use ringhall::core::Rules;
use ringhall::io::udp::{ReceiveReport, SendReport};
use ringhall::proto::srtp::Profile;
use ringhall::wire::codec::VideoCodec;
use ringhall::wire::demux;
use shared::bare::{Bare, WIRE_BYTES};
use shared::egress;
use shared::meter::Meter;
use shared::options::{BackEnd, Options, ROUND_PACKETS, SUBSCRIBERS, flushes};
use shared::room::{Room, read_payload};
use shared::samples::Samples;
use shared::server::Server;
use shared::verdict::Verdict;

mod forwarding {
    pub mod spread;
}

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod bare;
    pub mod connect;
    pub mod connected;
    pub mod crew;
    pub mod crowd;
    pub mod egress;
    pub mod guest;
    pub mod meter;
    pub mod options;
    pub mod room;
    pub mod samples;
    pub mod server;
    pub mod stage;
    pub mod verdict;
}

/// The server's aim: at most this many times what the machine must spend.
const GOAL: f64 = 1.25;
/// 64 MiB: more than the caches of one CPU hold, those it shares included.
const SWEPT_WORDS: usize = (64 << 20) / 8;
/// Viewers whose packets are all decrypted; of the others they are counted.
const SAMPLED: [usize; 2] = [0, SUBSCRIBERS - 1];

struct Cell {
    back_end: BackEnd,
    k: usize,
    fanout_ns: Samples,
    limit_ns: Samples,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fanout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::read()?;
    if let Some(cores) = options.cores {
        if options.cold {
            return Err("--cold is of one core, not of --cores".into());
        }
        return forwarding::spread::run(&options, cores);
    }
    if options.tx {
        egress::enter_own_network().map_err(|error| format!("--tx needs root: {error}"))?;
    }
    let meter = Meter::pin()?;
    // Only its reactor is used: the sockets want to be watched somewhere.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _inside = runtime.enter();
    let rules = Rules {
        padding: options.padded,
        ..Rules::default()
    };
    let mut server = Server::new(VideoCodec::Vp8, rules, |sockets| {
        let fds = (0..2).filter_map(|family| sockets.fd(family));
        if options.tx {
            fds.into_iter().try_for_each(egress::mark)
        } else {
            Ok(())
        }
    })?;
    if options.connected {
        if options.tx {
            return Err("--tx drops what the common socket sends, not --connected".into());
        }
        server.connect_busy(LINES_MAX)?;
    }
    let clock = Clock {
        meter,
        swept: vec![0; if options.cold { SWEPT_WORDS } else { 0 }],
    };
    let mut bench = Bench::new(server, clock, options)?;
    bench.introduce();
    bench.warm_up()?;
    let dropping = match bench.options.tx {
        true => Some(egress::drop_marked()?),
        false => None,
    };
    for round in 0..bench.options.rounds {
        bench.round(round)?;
    }
    drop(dropping);
    bench.check_totals();
    bench.print_table();
    Ok(bench.verdict.print())
}

/// What times the turns of a round.
struct Clock {
    meter: Meter,
    /// Written to before each turn: the caches then hold nothing else. Empty
    /// where turns follow each other.
    swept: Vec<u64>,
}

impl Clock {
    /// The CPU time of `turns` turns.
    fn time(&mut self, turns: usize, mut turn: impl FnMut()) -> u64 {
        if self.swept.is_empty() {
            return self.meter.time(|| (0..turns).for_each(|_| turn())).0;
        }
        let mut ns = 0;
        for _ in 0..turns {
            self.swept.iter_mut().for_each(|word| *word += 1);
            std::hint::black_box(&mut self.swept);
            ns += self.meter.time(&mut turn).0;
        }
        ns
    }
}

struct Bench {
    options: Options,
    clock: Clock,
    room: Room,
    bare: Bare,
    cells: Vec<Cell>,
    verdict: Verdict,
    /// Packets forwarded since `before`, to compare with the server's count.
    forwarded: u64,
    before: Counters,
    /// What is sent is dropped at the egress.
    dropping: bool,
}

impl Bench {
    fn new(server: Server, clock: Clock, options: Options) -> Result<Self, Box<dyn Error>> {
        let room = Room::open(server)?;
        let longest = options.train_lengths.iter().copied().max().unwrap_or(1);
        let mut bare = Bare::new(&room.crowd.addresses()?, longest)?;
        if options.connected {
            bare.connect(&room.crowd.addresses()?)?;
        }
        if options.tx {
            egress::mark(bare.socket().as_raw_fd())?;
        }
        let mut cells = Vec::new();
        for back_end in &options.back_ends {
            for k in &options.train_lengths {
                let is_asked = !options.connected || *back_end == BackEnd::Uring;
                if is_asked && room.server.has(*back_end) && bare.has(*back_end) {
                    cells.push(Cell {
                        back_end: *back_end,
                        k: *k,
                        fanout_ns: Samples::default(),
                        limit_ns: Samples::default(),
                    });
                }
            }
        }
        Ok(Bench {
            options,
            clock,
            room,
            bare,
            cells,
            verdict: Verdict::default(),
            forwarded: 0,
            before: Counters::default(),
            dropping: false,
        })
    }

    fn introduce(&mut self) {
        let profile = self.room.profile();
        println!(
            "fanout: one publisher, {SUBSCRIBERS} viewers, {WIRE_BYTES} B on the wire, {}, {} \
             rounds of {} packets\n{}",
            profile.map_or("mixed profiles", Profile::name),
            self.options.rounds,
            SUBSCRIBERS * ROUND_PACKETS,
            self.clock.meter.describe()
        );
        // `limit` encrypts with this one.
        self.verdict
            .check(profile == Some(Profile::AeadAes256Gcm), || {
                format!("guests negotiated {profile:?}")
            });
        for back_end in &self.options.back_ends {
            if !self.room.server.has(*back_end) {
                println!("{} is refused by this host", back_end.name());
            }
        }
    }

    /// Opens the key frame gates, lets viewers report so that packets take
    /// their everyday form, and sends a round of everything, unmeasured but
    /// looked at.
    fn warm_up(&mut self) -> Result<(), Box<dyn Error>> {
        self.room.publish(BackEnd::Mmsg, 1, 1, true)?;
        self.room.server.catch_up(BackEnd::Mmsg);
        self.room.report()?;
        self.room.keep_house()?;
        self.before = self.room.server.snapshot().counters;
        for at in 0..self.cells.len() {
            for name in ["fanout", "limit"] {
                self.measure(name, at)?;
            }
        }
        if self.options.connected {
            self.connect()?;
        }
        for cell in &mut self.cells {
            (cell.fanout_ns, cell.limit_ns) = Default::default();
        }
        self.dropping = self.options.tx;
        Ok(())
    }

    /// Has everybody connected, who are busy by now.
    fn connect(&mut self) -> Result<(), Box<dyn Error>> {
        self.room.server.sweep();
        for _ in 0..=SUBSCRIBERS {
            self.room.server.turn(BackEnd::Uring, 0);
        }
        match self.room.server.sweep() {
            // The publisher as well, once it was sent a report.
            SUBSCRIBERS.. => Ok(()),
            some => Err(format!("{some} of {SUBSCRIBERS} viewers are connected").into()),
        }
    }

    /// Every alternative once; which of a pair goes first alternates.
    fn round(&mut self, round: usize) -> Result<(), Box<dyn Error>> {
        for at in 0..self.cells.len() {
            let mut pair = ["fanout", "limit"];
            pair.rotate_left(round % 2);
            for name in pair {
                self.measure(name, at)?;
            }
        }
        Ok(())
    }

    fn measure(&mut self, alternative: &str, at: usize) -> Result<(), Box<dyn Error>> {
        match alternative {
            _ if !self.options.wants(alternative) => Ok(()),
            "fanout" => self.fanout(at),
            _ => self.limit(at),
        }
    }

    fn fanout(&mut self, at: usize) -> Result<(), Box<dyn Error>> {
        let (back_end, k) = (self.cells[at].back_end, self.cells[at].k);
        let (turns, packets) = (flushes(k), flushes(k) * k);
        self.room.keep_house()?;
        let first = self.room.published;
        self.room.publish(back_end, turns, k, false)?;
        let server = &mut self.room.server;
        let mut received = ReceiveReport::default();
        let mut sent = SendReport::default();
        let ns = self.clock.time(turns, || {
            let (came, went) = server.turn(back_end, k);
            received.received += came.received;
            sent.add(went);
        });
        self.forwarded += (SUBSCRIBERS * packets) as u64;
        self.cells[at]
            .fanout_ns
            .add(ns as f64 / (SUBSCRIBERS * packets) as f64);
        let name = format!("fanout {} k={k}", back_end.name());
        self.check_sent(&name, turns, k, received, sent);
        if !self.dropping {
            self.check_arrived(&name, back_end, first, packets, sent)?;
        }
        Ok(())
    }

    /// Every train was as long as meant: `SUBSCRIBERS` of them with `k` packets
    /// per turn. What the server sent besides, reports, goes by the datagram.
    fn check_sent(
        &mut self,
        name: &str,
        turns: usize,
        k: usize,
        received: ReceiveReport,
        sent: SendReport,
    ) {
        let per_frame = match self.options.padded || k == 1 {
            true => 1,
            false => 2,
        };
        let trains = SUBSCRIBERS * turns * per_frame;
        let media = SUBSCRIBERS * turns * k;
        let reports = (sent.trains as usize).checked_sub(trains);
        let as_meant = reports.is_some_and(|reports| sent.datagrams as usize == media + reports)
            && sent.full + sent.failed == 0
            && received.received as usize == turns * k;
        self.verdict.check(as_meant, || {
            format!("{name}: {media} packets in {trains} trains were due: {received:?} {sent:?}")
        });
    }

    /// Every viewer got every packet; the sampled ones can read them.
    fn check_arrived(
        &mut self,
        name: &str,
        back_end: BackEnd,
        first: u64,
        packets: usize,
        sent: SendReport,
    ) -> Result<(), Box<dyn Error>> {
        let port = self.room.server.address(back_end).port();
        let mut media = [0; SUBSCRIBERS];
        let mut others = self.room.publisher_hears()?;
        let mut unreadable = None;
        let viewers = &mut self.room.viewers;
        // Padded ones are whole blocks of the cipher.
        let lens = match self.options.padded {
            true => WIRE_BYTES..=WIRE_BYTES + 12,
            false => WIRE_BYTES - 1..=WIRE_BYTES,
        };
        self.room.crowd.drain(|at, from, datagram| {
            let len = datagram.len();
            if from != port || demux::classify(datagram) != demux::Kind::Rtp {
                others += 1;
                return;
            }
            if SAMPLED.contains(&at) {
                let expected = first + media[at];
                let read = viewers[at].open(datagram);
                let read = read.map(|(_, payload)| read_payload(payload));
                if !lens.contains(&len) || read != Ok(Some(expected)) {
                    unreadable.get_or_insert(format!("viewer {at}: {read:?} of {len} B"));
                }
            }
            media[at] += 1;
        })?;
        let complete = media == [packets as u64; SUBSCRIBERS]
            && media.iter().sum::<u64>() as usize + others == sent.datagrams as usize;
        self.verdict.check(complete, || {
            format!(
                "{name}: {packets} to each viewer were due: {media:?}, {others} others, {sent:?}"
            )
        });
        self.verdict.check(unreadable.is_none(), || {
            format!("{name}: not what was published: {unreadable:?}")
        });
        Ok(())
    }

    fn limit(&mut self, at: usize) -> Result<(), Box<dyn Error>> {
        let (back_end, k) = (self.cells[at].back_end, self.cells[at].k);
        let (turns, packets) = (flushes(k), flushes(k) * k);
        self.room.keep_house()?;
        self.bare.prepare(k);
        let bare = &mut self.bare;
        let connected = self.options.connected;
        let mut sent: std::io::Result<usize> = Ok(0);
        let ns = self.clock.time(turns, || {
            bare.seal(k);
            let more = match connected {
                true => bare.send_connected(back_end),
                false => bare.send(back_end),
            };
            sent = std::mem::replace(&mut sent, Ok(0)).and_then(|sent| Ok(sent + more?));
        });
        let sent = sent?;
        self.cells[at]
            .limit_ns
            .add(ns as f64 / (SUBSCRIBERS * packets) as f64);
        let due = if self.dropping { 0 } else { packets };
        let mut arrived = [0; SUBSCRIBERS];
        let mut genuine = true;
        let bare = &self.bare;
        self.room.crowd.drain(|at, _, packet| {
            if SAMPLED.contains(&at) {
                let back = packets.saturating_sub(1 + arrived[at]) as u64;
                genuine &= packet.len() == WIRE_BYTES && bare.is_genuine(at, back, packet);
            }
            arrived[at] += 1;
        })?;
        let as_meant = sent == SUBSCRIBERS * turns && arrived == [due; SUBSCRIBERS] && genuine;
        self.verdict.check(as_meant, || {
            let name = back_end.name();
            format!("limit {name} k={k}: {sent} trains, {arrived:?} arrived, genuine: {genuine}")
        });
        Ok(())
    }

    /// The server's own count agrees, and nothing was dropped for any reason.
    fn check_totals(&mut self) {
        let counters = self.room.server.snapshot().counters;
        let forwarded = counters.media_packets_forwarded - self.before.media_packets_forwarded;
        let expected = self.forwarded;
        self.verdict.check(forwarded == expected, || {
            format!("the server counts {forwarded} packets forwarded, not {expected}")
        });
        let (before, now) = (self.before.drops, counters.drops);
        self.verdict.check(before == now, || {
            format!("the server dropped something: {now:?}, at first {before:?}")
        });
    }

    fn print_table(&self) {
        let path = match (self.options.tx, self.options.connected) {
            (true, _) => "transmit path alone",
            (false, true) => "full loopback, connected sockets",
            (false, false) => "full loopback",
        };
        let caches = if self.options.cold {
            ", caches swept before each turn"
        } else {
            ""
        };
        println!("\nns of CPU per forwarded packet, {path}{caches}: median [min - p90]\n");
        println!("| back end | k | fanout | limit | fanout / limit |");
        println!("|---|---:|---|---|---|");
        for cell in &self.cells {
            let ratio = cell.fanout_ns.over(&cell.limit_ns);
            println!(
                "| {} | {} | {} | {} | {ratio:.2} |",
                cell.back_end.name(),
                cell.k,
                cell.fanout_ns,
                cell.limit_ns
            );
        }
        let ratios = self.cells.iter();
        let ratios = ratios.map(|cell| cell.fanout_ns.over(&cell.limit_ns).median());
        // Without both of a pair there is no ratio, and NaN is not the highest.
        let worst = ratios.fold(f64::NAN, f64::max);
        // The goal is for turns that follow each other.
        if !worst.is_nan() && !self.options.cold {
            let judgement = if worst <= GOAL { "met" } else { "MISSED" };
            println!("\nhighest ratio {worst:.2}: the goal of {GOAL} is {judgement}");
        }
    }
}
