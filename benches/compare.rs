//! The server beside Janus, in one run, with one generator: CPU for each packet
//! delivered, and how late packets are. `ringhall loadtest` sends the same real
//! pictures and sound to both, in turn, inside a network namespace of its own.
//!
//! `cargo bench --bench compare`; needs root, Linux and Debian's `janus`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use serde_json::Value;
use shared::loadtest::{
    self, AUDIO, BURST, EVEN, FORWARD_AIM_MS, MEETING, Options, Row, SMALL, Scenario, Target,
};
use shared::verdict::Verdict;

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod loadtest;
    pub mod samples;
    pub mod verdict;
}

const NAMESPACE: &str = "ringhall-compare";
const ADDRESS: &str = "10.99.0.1";
const JANUS_PORT: u16 = 8_188;
const OWN_PORT: u16 = 8_080;
const USAGE: &str = "options, behind `--`:
  --rounds N     of each scenario [default: 3]
  --seconds N    that count in a round [default: 8]
  --only NAME    burst, even, audio, meeting or small
  --apart        the generator has a CPU for itself, the last one";

/// A scenario and what is aimed at in it.
struct Match {
    scenario: &'static Scenario,
    /// At most so much of Janus's CPU for each packet.
    goal: f64,
    /// The mean train must be as long as this.
    train_min: f64,
}

const MATCHES: [Match; 5] = [
    Match {
        scenario: &BURST,
        goal: 1.0 / 8.0,
        train_min: 6.0,
    },
    Match {
        scenario: &EVEN,
        goal: 1.0 / 5.0,
        train_min: 0.0,
    },
    Match {
        scenario: &AUDIO,
        goal: 1.0 / 6.0,
        train_min: 0.0,
    },
    Match {
        scenario: &MEETING,
        goal: 1.0 / 6.0,
        train_min: 0.0,
    },
    Match {
        scenario: &SMALL,
        goal: 1.0 / 6.0,
        train_min: 0.0,
    },
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::read(USAGE, &MATCHES.each_ref().map(|c| c.scenario.name))?;
    if options.is_test && which("janus").is_none() {
        println!("compare: janus is not installed here, and there is nothing to compare with");
        return Ok(true);
    }
    let lab = Lab::new()?;
    let mut verdict = Verdict::default();
    for contest in &MATCHES {
        if options.wants(contest.scenario) {
            play(&lab, contest, &options, &mut verdict)?;
        }
    }
    Ok(verdict.print())
}

fn play(
    lab: &Lab,
    contest: &Match,
    options: &Options,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    let scenario = contest.scenario;
    println!("\n{}: {}\n", scenario.name, scenario.about);
    println!(
        "| server | us of CPU per packet | of a CPU | delivered % | one way p50, p99 ms | p99 less the generator's own | train | read at once | MiB | SRTP |"
    );
    println!("|---|---|---:|---:|---|---:|---:|---:|---:|---|");
    let mut rows = [Row::default(), Row::default()];
    for round in 0..options.rounds {
        // A B, then B A: neither always has the warmer machine.
        let mut order = [Peer::Ringhall, Peer::Janus];
        order.rotate_left(round % 2);
        for peer in order {
            let report = lab.measure(peer, scenario, options)?;
            let row = &mut rows[peer as usize];
            row.add(&report);
            check(peer, scenario, &report, options, verdict);
        }
    }
    let [own, janus] = &rows;
    print(own, "ringhall");
    print(janus, "janus");
    let ratio = own.cpu_us.over(&janus.cpu_us).median();
    let late = own.net_p99_ms.median() / janus.net_p99_ms.median();
    let word = |holds| if holds { "met" } else { "MISSED" };
    println!(
        "\nCPU for each packet: {ratio:.3} of Janus's, goal {:.3}: {}; p99 of the delay: {late:.2}, goal 0.50: {}",
        contest.goal,
        word(ratio <= contest.goal),
        word(late <= 0.5)
    );
    let forward = own.forward_p99_ms.median();
    println!(
        "receive to send p99 {:.2} ms at most, goal {FORWARD_AIM_MS}: {}",
        own.forward_p99_ms,
        word(forward <= FORWARD_AIM_MS)
    );
    if contest.train_min > 0.0 {
        let train = own.train.median();
        println!(
            "mean train {train:.1}, goal {:.0}: {}",
            contest.train_min,
            word(train >= contest.train_min)
        );
    }
    Ok(())
}

/// What must hold of any run, however fast.
fn check(
    peer: Peer,
    scenario: &Scenario,
    report: &Value,
    options: &Options,
    verdict: &mut Verdict,
) {
    let who = format!("{} {}", peer.name(), scenario.name);
    loadtest::check_joins(&who, report, verdict);
    if peer == Peer::Ringhall && !options.is_test {
        loadtest::check_delivery(&who, report, verdict);
    }
}

fn print(row: &Row, name: &str) {
    // Janus does not tell; what its viewers read at once is known of both.
    let train = match row.train.median() {
        untold if untold.is_nan() => "not told".to_string(),
        train => format!("{train:.1}"),
    };
    println!(
        "| {name} | {:.2} | {:.1} % | {:.2} | {:.2}, {:.2} | {:.2} | {train} | {:.1} | {:.0} | {} |",
        row.cpu_us,
        row.cpu_percent.median(),
        row.delivered.median(),
        row.p50_ms.median(),
        row.p99_ms.median(),
        row.net_p99_ms.median(),
        row.read_at_once.median(),
        row.rss_mib.median(),
        row.profiles
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Ringhall,
    Janus,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Peer::Ringhall => "ringhall",
            Peer::Janus => "janus",
        }
    }
}

/// A namespace with one address beside the loopback's, which Janus refuses, and
/// both servers in it.
struct Lab {
    folder: PathBuf,
    servers: Vec<Child>,
}

fn which(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&paths).map(|folder| folder.join(program));
    found.find(|path| path.is_file())
}

fn ip(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let done = Command::new("ip").args(arguments).output()?;
    match done.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            Err(format!("ip {}: {said}", arguments.join(" ")).into())
        }
    }
}

fn inside(program: &[String]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", NAMESPACE]).args(program);
    command
}

impl Lab {
    fn new() -> Result<Self, Box<dyn Error>> {
        let janus = which("janus")
            .ok_or("janus is not installed: apt-get install --no-install-recommends janus")?;
        // Of a run that was cut short.
        let _ = ip(&["netns", "del", NAMESPACE]);
        ip(&["netns", "add", NAMESPACE])
            .map_err(|error| format!("a namespace needs root: {error}"))?;
        let mut lab = Lab {
            folder: std::env::temp_dir().join(format!("{NAMESPACE}-{}", std::process::id())),
            servers: Vec::new(),
        };
        ip(&["-n", NAMESPACE, "link", "set", "lo", "up"])?;
        ip(&[
            "-n", NAMESPACE, "link", "add", "va", "type", "veth", "peer", "name", "vb",
        ])?;
        ip(&[
            "-n",
            NAMESPACE,
            "addr",
            "add",
            &format!("{ADDRESS}/24"),
            "dev",
            "va",
        ])?;
        for end in ["va", "vb"] {
            ip(&["-n", NAMESPACE, "link", "set", end, "up"])?;
        }
        fs::create_dir_all(&lab.folder)?;
        lab.start_janus(&janus)?;
        lab.start_own()?;
        std::thread::sleep(Duration::from_secs(3));
        for (server, name) in lab.servers.iter_mut().zip(["janus", "ringhall"]) {
            if let Some(status) = server.try_wait()? {
                return Err(format!("{name} ended: {status}").into());
            }
        }
        Ok(lab)
    }

    fn start_janus(&mut self, janus: &Path) -> Result<(), Box<dyn Error>> {
        let folder = self.folder.display();
        let plugins = library_folder("libjanus_videoroom.so")?;
        let transports = library_folder("libjanus_websockets.so")?;
        let only = |folder: &str, kept: &str| -> Result<String, Box<dyn Error>> {
            let mut others = Vec::new();
            for entry in fs::read_dir(folder)?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.ends_with(".so") && name != kept {
                    others.push(name);
                }
            }
            Ok(others.join(","))
        };
        let general = format!(
            "general: {{ configs_folder = \"{folder}\"; plugins_folder = \"{plugins}\"; \
             transports_folder = \"{transports}\"; debug_level = 1; event_loops = 2 }}\n\
             media: {{ ipv6 = false }}\nnat: {{ ice_enforce_list = \"{ADDRESS}\" }}\n\
             plugins: {{ disable = \"{}\" }}\ntransports: {{ disable = \"{}\" }}\n",
            only(&plugins, "libjanus_videoroom.so")?,
            only(&transports, "libjanus_websockets.so")?
        );
        fs::write(self.folder.join("janus.jcfg"), general)?;
        let sockets = format!(
            "general: {{ json = \"compact\"; ws = true; ws_port = {JANUS_PORT}; ws_ip = \"{ADDRESS}\"; wss = false }}\n"
        );
        fs::write(self.folder.join("janus.transport.websockets.jcfg"), sockets)?;
        let mut command = inside(&[janus.display().to_string()]);
        command.arg("-F").arg(&self.folder);
        command.arg("-C").arg(self.folder.join("janus.jcfg"));
        self.servers.push(quietly(command).spawn()?);
        Ok(())
    }

    fn start_own(&mut self) -> Result<(), Box<dyn Error>> {
        let mut command = inside(&[env!("CARGO_BIN_EXE_ringhall").into()]);
        command.arg("serve").current_dir(&self.folder);
        for setting in [
            format!("ws.port={OWN_PORT}"),
            "wss.port=off".into(),
            "rtmp.port=off".into(),
            "cores=1".into(),
            format!("ip={ADDRESS}"),
        ] {
            command.args(["--set", &setting]);
        }
        self.servers.push(quietly(command).spawn()?);
        Ok(())
    }

    /// One run of the generator against one of the two; its report.
    fn measure(
        &self,
        peer: Peer,
        scenario: &Scenario,
        options: &Options,
    ) -> Result<Value, Box<dyn Error>> {
        let metrics = format!("http://127.0.0.1:{OWN_PORT}/metrics");
        let (server, port, dialect, metrics_url) = match peer {
            Peer::Janus => (&self.servers[0], JANUS_PORT, "janus", None),
            Peer::Ringhall => (
                &self.servers[1],
                OWN_PORT,
                "official",
                Some(metrics.as_str()),
            ),
        };
        let target = Target {
            url: &format!("ws://{ADDRESS}:{port}"),
            dialect,
            process_id: server.id(),
            metrics_url,
        };
        let generator = options.generator(env!("CARGO_BIN_EXE_ringhall"));
        let generator = inside(&generator);
        loadtest::run(generator, &target, scenario, options.seconds, &self.folder)
    }
}

fn quietly(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Where Debian has a library of Janus.
fn library_folder(library: &str) -> Result<String, Box<dyn Error>> {
    for machine in fs::read_dir("/usr/lib")?.flatten() {
        for folder in ["janus/plugins", "janus/transports"] {
            let folder = machine.path().join(folder);
            if folder.join(library).is_file() {
                return Ok(folder.display().to_string());
            }
        }
    }
    Err(format!("{library} is nowhere").into())
}

impl Drop for Lab {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // Those that ended already need no end.
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = ip(&["netns", "del", NAMESPACE]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}
