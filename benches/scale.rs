//! What forwarding a packet costs in large rooms and with many of them: one
//! room of 20 to 2,000 viewers, 1 to 1,000 rooms of ten viewers, and 5,000 rooms
//! of three, at equal train length. The core alone, its trains going nowhere; and, as root, with
//! the kernel's transmit path. Time stands still: reports and timers are not
//! part of it.
//!
//! `cargo bench --bench scale`. Fails when a packet was not forwarded to
//! everybody, or not in trains of the length meant; what was slow is only said.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use ringhall::base::snapshot::Counters;
use ringhall::core::trains::{Train, Trains};
use ringhall::io::sockets::media_sockets;
use ringhall::io::udp::Udp;
use scaling::page;
use shared::egress;
use shared::grid::{Cell, Grid};
use shared::meter::Meter;
use shared::stage::PAYLOAD_BYTES;
use shared::verdict::Verdict;

mod scaling {
    pub mod page;
}
#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod egress;
    pub mod grid;
    pub mod guest;
    pub mod hall;
    pub mod meter;
    pub mod samples;
    pub mod stage;
    pub mod verdict;
}

const USAGE: &str = "options, behind `--`:
  --grid NAME   only viewers, rooms or thousands [default: all]
  --rounds N    measured rounds of each size [default: 20]
  --k N         packets of a frame, and so of a train [default: 8]
  --sizes N,... other sizes of the grid
  --no-kernel   the core alone, for a profiler
  --html FILE   the result as a page, with plots";

struct Options {
    grids: Vec<Grid>,
    rounds: usize,
    k: usize,
    sizes: Option<Vec<usize>>,
    kernel: bool,
    /// Where the page is written.
    html: Option<PathBuf>,
    is_test: bool,
}

impl Options {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut options = Options {
            grids: vec![Grid::Viewers, Grid::Rooms, Grid::Thousands],
            rounds: 20,
            k: 8,
            sizes: None,
            kernel: true,
            html: None,
            is_test: true,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => options.is_test = false,
                "--no-kernel" => options.kernel = false,
                "--rounds" => options.rounds = value()?.parse()?,
                "--html" => options.html = Some(value()?.into()),
                "--k" => options.k = value()?.parse()?,
                "--sizes" => {
                    let sizes = value()?;
                    let sizes = sizes.split(',').map(str::parse);
                    options.sizes = Some(sizes.collect::<Result<_, _>>()?);
                }
                "--grid" => {
                    options.grids = match value()?.as_str() {
                        "viewers" => vec![Grid::Viewers],
                        "rooms" => vec![Grid::Rooms],
                        "thousands" => vec![Grid::Thousands],
                        other => return Err(format!("no grid {other}\n{USAGE}").into()),
                    }
                }
                other => return Err(format!("unknown argument {other}\n{USAGE}").into()),
            }
        }
        if options.is_test {
            options.rounds = 1;
            options.grids.pop();
            options.sizes.get_or_insert(vec![1, 20]);
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::read()?;
    let own_network = options.kernel && egress::enter_own_network().is_ok();
    let meter = Meter::pin()?;
    let about = format!("scale: trains of {}; {}", options.k, meter.describe());
    println!("{about}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _inside = runtime.enter();
    let mut kernel = match own_network {
        true => Some(Kernel::open()?),
        false => None,
    };
    let _dropping = match own_network {
        true => Some(egress::drop_marked()?),
        false => None,
    };
    if kernel.is_none() {
        println!("without the kernel's part, which needs root");
    }
    let mut verdict = Verdict::default();
    let mut chapters = String::new();
    for grid in &options.grids {
        let sizes = options.sizes.clone();
        let sizes = sizes.unwrap_or_else(|| grid.sizes().to_vec());
        let mut cells = Vec::new();
        for size in sizes {
            cells.push(Cell::open(*grid, size, options.k)?);
        }
        for _ in 0..options.rounds {
            for cell in &mut cells {
                measure(cell, &meter, kernel.as_mut(), &mut verdict)?;
            }
        }
        grid.print(&cells);
        chapters += &page::chapter(*grid, &cells);
        for cell in cells {
            let left = cell.close();
            verdict.check(left.is_empty(), || format!("left over: {left:?}"));
        }
    }
    if let Some(file) = options.html {
        std::fs::write(file, page::html(&about, &chapters))?;
    }
    Ok(verdict.print())
}

/// The server's own sockets, whose datagrams are dropped at the egress.
struct Kernel {
    udp: Udp,
    taken: Vec<Train>,
}

impl Kernel {
    fn open() -> Result<Self, Box<dyn Error>> {
        let mut warnings = Vec::new();
        let mut sockets = media_sockets(None, 0, 1, &mut warnings)?.into_iter();
        let sockets = sockets.next().ok_or("one core has one media port")?;
        (0..2)
            .filter_map(|family| sockets.fd(family))
            .try_for_each(egress::mark)?;
        let plain = sockets.try_clone()?;
        let udp = Udp::on_uring(sockets).or_else(|_| Udp::on_mmsg(plain))?;
        Ok(Kernel {
            udp,
            taken: Vec::new(),
        })
    }
}

/// One round of a cell: the core alone, then with the kernel.
fn measure(
    cell: &mut Cell,
    meter: &Meter,
    kernel: Option<&mut Kernel>,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    let before = cell.counters();
    let mut turns = cell.prepare()?;
    let (mut trains_sent, mut datagrams) = (0, 0);
    let mut taken = Vec::new();
    let (ns, ()) = meter.time(|| {
        cell.play(&mut turns, |trains: &mut Trains| {
            trains.take(&mut taken);
            for train in taken.drain(..) {
                // Reports to publishers are smaller.
                if train.segment_bytes > PAYLOAD_BYTES {
                    trains_sent += 1;
                    datagrams += train.segments;
                }
                trains.release(train);
            }
        });
    });
    let whole = datagrams == cell.packets() && trains_sent * cell.k == datagrams;
    verdict.check(whole, || {
        let due = cell.packets();
        format!("{}: {datagrams} of {due} in {trains_sent}", cell.name())
    });
    cell.core_ns.add(ns as f64 / cell.packets() as f64);
    if let Some(Kernel { udp, taken }) = kernel {
        let mut turns = cell.prepare()?;
        let mut sent = 0;
        let (ns, ()) = meter.time(|| {
            cell.play(&mut turns, |trains| {
                sent += udp.send(trains, taken).datagrams
            });
        });
        verdict.check(sent as usize >= cell.packets(), || {
            format!("{}: the kernel took {sent}", cell.name())
        });
        cell.kernel_ns.add(ns as f64 / cell.packets() as f64);
    }
    check_drops(cell, &before, verdict);
    Ok(())
}

fn check_drops(cell: &Cell, before: &Counters, verdict: &mut Verdict) {
    let drops = cell.counters().drops;
    verdict.check(drops == before.drops, || {
        format!(
            "{} dropped: {drops:?}, before {:?}",
            cell.name(),
            before.drops
        )
    });
}
