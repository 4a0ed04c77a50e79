//! The server as it is shipped, from end to end: `ringhall loadtest` sends real
//! pictures and sound through it over the loopback's sockets. CPU for each
//! packet delivered, trains, and how late packets are; over io_uring and over
//! sendmmsg, in turn.
//!
//! `cargo bench --bench e2e`; needs no root. Fails when somebody could not join,
//! when a packet was not delivered or was dropped; what was slow is only said.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use shared::loadtest::{
    self, AUDIO, BURST, EVEN, FORWARD_AIM_MS, LARGE, MEETING, Options, Row, SMALL, Scenario, Target,
};
use shared::shipped::Shipped;
use shared::verdict::Verdict;

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod loadtest;
    pub mod metrics;
    pub mod processes;
    pub mod samples;
    pub mod shipped;
    pub mod verdict;
}

const SCENARIOS: [&Scenario; 6] = [&BURST, &EVEN, &AUDIO, &MEETING, &SMALL, &LARGE];
/// Names, and the settings that make them.
const ENGINES: [(&str, &str); 2] = [("io_uring", "io=uring"), ("sendmmsg", "io=mmsg")];
const USAGE: &str = "options, behind `--`:
  --rounds N     of each scenario and engine [default: 3]
  --seconds N    that count in a round [default: 8]
  --only NAME    burst, even, audio, meeting, small or large
  --apart        the generator has a CPU for itself, the last one";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("e2e: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::read(USAGE, &SCENARIOS.map(|scenario| scenario.name))?;
    let lab = Lab::open(options.is_test)?;
    let mut verdict = Verdict::default();
    for scenario in SCENARIOS {
        if options.wants(scenario) {
            play(&lab, scenario, &options, &mut verdict)?;
        }
    }
    lab.close()?;
    Ok(verdict.print())
}

/// The engines in turn, round by round.
fn play(
    lab: &Lab,
    scenario: &Scenario,
    options: &Options,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    println!("\n{}: {}\n", scenario.name, scenario.about);
    let mut rows: Vec<Row> = lab.servers.iter().map(|_| Row::default()).collect();
    for round in 0..options.rounds {
        // A B, then B A: neither always has the warmer machine.
        for turn in 0..rows.len() {
            let place = (round + turn) % rows.len();
            let (engine, server) = &lab.servers[place];
            let report = lab.measure(server, scenario, options)?;
            rows[place].add(&report);
            let who = format!("{engine} {}", scenario.name);
            loadtest::check_joins(&who, &report, verdict);
            let received = report["figures"]["packets_received"].as_u64();
            verdict.check(received > Some(0), || format!("{who}: nothing came"));
            // A second of a test on a busy machine proves nothing further.
            if !options.is_test {
                loadtest::check_delivery(&who, &report, verdict);
            }
        }
    }
    print(lab, &rows);
    Ok(())
}

fn print(lab: &Lab, rows: &[Row]) {
    println!(
        "| engine | us of CPU per packet | of a CPU | train | receive to send p99, ms at most | delivered % | one way p50, p99 ms | p99 less the generator's own | read at once | MiB |"
    );
    println!("|---|---|---:|---:|---|---:|---|---|---:|---:|");
    for ((engine, _), row) in lab.servers.iter().zip(rows) {
        println!(
            "| {engine} | {:.2} | {:.1} % | {:.1} | {:.2} | {:.2} | {:.2}, {:.2} | {:.2} | {:.1} | {:.0} |",
            row.cpu_us,
            row.cpu_percent.median(),
            row.train.median(),
            row.forward_p99_ms,
            row.delivered.median(),
            row.p50_ms.median(),
            row.p99_ms.median(),
            row.net_p99_ms,
            row.read_at_once.median(),
            row.rss_mib.median()
        );
    }
    if let [uring, mmsg] = rows {
        let ratio = uring.cpu_us.over(&mmsg.cpu_us);
        println!("\nCPU for each packet, io_uring of sendmmsg: {ratio:.2}");
    }
    let forward = rows.iter().map(|row| row.forward_p99_ms.median());
    let worst = forward.fold(f64::NEG_INFINITY, f64::max);
    let word = if worst <= FORWARD_AIM_MS {
        "met"
    } else {
        "MISSED"
    };
    println!("receive to send p99 {worst:.2} ms at most, aim {FORWARD_AIM_MS} ms: {word}");
}

/// A server on each engine; both are there all the time, one of them idle.
struct Lab {
    folder: PathBuf,
    servers: Vec<(&'static str, Shipped)>,
}

impl Lab {
    fn open(is_test: bool) -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("ringhall-e2e-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut lab = Lab {
            folder,
            servers: Vec::new(),
        };
        for (name, setting) in ENGINES {
            match Shipped::start(&[setting]) {
                Ok(server) => lab.servers.push((name, server)),
                // Where io_uring is refused, the other way can still be tested.
                Err(error) if is_test && name == "io_uring" => println!("no io_uring: {error}"),
                Err(error) => return Err(format!("{name}: {error}").into()),
            }
        }
        Ok(lab)
    }

    fn measure(
        &self,
        server: &Shipped,
        scenario: &Scenario,
        options: &Options,
    ) -> Result<serde_json::Value, Box<dyn Error>> {
        let port = server.web_port;
        let target = Target {
            url: &format!("ws://127.0.0.1:{port}"),
            dialect: "official",
            process_id: server.process.id(),
            metrics_url: Some(&format!("http://127.0.0.1:{port}/metrics")),
        };
        let words = options.generator(env!("CARGO_BIN_EXE_ringhall"));
        let mut generator = Command::new(&words[0]);
        generator.args(&words[1..]);
        loadtest::run(generator, &target, scenario, options.seconds, &self.folder)
    }

    /// The servers end in order, which is a success.
    fn close(mut self) -> Result<(), Box<dyn Error>> {
        let mut servers = self.servers.drain(..);
        servers.try_for_each(|(_, server)| server.process.stop())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
