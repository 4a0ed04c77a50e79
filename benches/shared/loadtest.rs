//! `ringhall loadtest` driven by a bench: what it is to send, what it found.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::samples::Samples;
use super::verdict::Verdict;

/// Of packets that were due, in percent. The rest may be lost by a generator
/// that does not read in time.
const DELIVERED_MIN: f64 = 99.9;
/// The aim for the server's own delay, which a shared machine may well miss.
pub const FORWARD_AIM_MS: f64 = 2.0;

pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    arguments: &'static [&'static str],
}

pub const BURST: Scenario = Scenario {
    name: "burst",
    about: "1 publisher of 2.5 Mbit/s in frame bursts, 50 viewers",
    arguments: &["--viewers", "50", "--video", "vp8", "--audio", "none"],
};

pub const EVEN: Scenario = Scenario {
    name: "even",
    about: "the same, evenly paced",
    arguments: &[
        "--viewers",
        "50",
        "--video",
        "vp8",
        "--audio",
        "none",
        "--pacing",
        "even",
    ],
};

pub const AUDIO: Scenario = Scenario {
    name: "audio",
    about: "1 publisher of 50 packets a second of 120 bytes, 50 viewers",
    arguments: &["--viewers", "50", "--video", "none"],
};

pub const MEETING: Scenario = Scenario {
    name: "meeting",
    about: "10 who publish 2.5 Mbit/s and sound, and play each other",
    arguments: &["--meeting", "10", "--video", "vp8"],
};

/// Pictures so small that few trains form.
pub const SMALL: Scenario = Scenario {
    name: "small",
    about: "10 who publish 300 kbit/s and sound, and play each other",
    arguments: &["--meeting", "10", "--video", "vp8", "--bitrate-kbps", "300"],
};

pub const LARGE: Scenario = Scenario {
    name: "large",
    about: "1 publisher of 2.5 Mbit/s in frame bursts, 200 viewers",
    arguments: &["--viewers", "200", "--video", "vp8", "--audio", "none"],
};

/// How long a bench with the load generator is to take, and of what.
pub struct Options {
    pub rounds: usize,
    pub seconds: u64,
    only: Option<String>,
    /// The generator has a CPU for itself, the last one.
    pub apart: bool,
    /// `cargo test` runs benches, too: once, to see that they work.
    pub is_test: bool,
}

impl Options {
    /// From the process's arguments; `names` are the scenarios there are.
    pub fn read(usage: &str, names: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut options = Options {
            rounds: 3,
            seconds: 8,
            only: None,
            apart: false,
            is_test: true,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => options.is_test = false,
                "--apart" => options.apart = true,
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--only" => options.only = Some(value()?),
                _ => return Err(format!("unknown argument {argument}\n{usage}").into()),
            }
        }
        if options.is_test {
            (options.rounds, options.seconds) = (1, 1);
            options.only = Some(AUDIO.name.into());
        }
        match options
            .only
            .as_deref()
            .is_none_or(|only| names.contains(&only))
        {
            true => Ok(options),
            false => Err(format!("no such scenario\n{usage}").into()),
        }
    }

    /// The words of a command that runs `program` as the generator.
    pub fn generator(&self, program: &str) -> Vec<String> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut words = Vec::new();
        if self.apart {
            let last = (cpus - 1).to_string();
            words.extend(["taskset".into(), "-c".into(), last]);
        }
        words.push(program.into());
        words
    }

    pub fn wants(&self, scenario: &Scenario) -> bool {
        self.only
            .as_deref()
            .is_none_or(|only| only == scenario.name)
    }
}

/// A server the generator is sent to.
pub struct Target<'a> {
    pub url: &'a str,
    pub dialect: &'a str,
    pub process_id: u32,
    /// Of our own server.
    pub metrics_url: Option<&'a str>,
}

/// One run: the generator's report. `generator` starts the program, and may do
/// so elsewhere; `folder` takes a file meanwhile.
pub fn run(
    mut generator: Command,
    target: &Target<'_>,
    scenario: &Scenario,
    seconds: u64,
    folder: &Path,
) -> Result<Value, Box<dyn Error>> {
    let file = folder.join("report.json");
    generator.args(["loadtest", "--quiet", "--warm-up", "2"]);
    generator.args(["--url", target.url, "--dialect", target.dialect]);
    generator.args(["--duration", &seconds.to_string()]);
    generator.args(["--pid", &target.process_id.to_string()]);
    generator.arg("--json").arg(&file);
    if let Some(url) = target.metrics_url {
        generator.args(["--metrics-url", url]);
    }
    let done = generator.args(scenario.arguments).output()?;
    let text = fs::read_to_string(&file).map_err(|_| {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        format!("the generator made no report: {said}")
    })?;
    fs::remove_file(&file)?;
    Ok(serde_json::from_str(&text)?)
}

/// Somebody who could not join spoils any run; what makes figures doubtful is
/// only said.
pub fn check_joins(who: &str, report: &Value, verdict: &mut Verdict) {
    let failed = report["figures"]["joins_failed"].as_u64();
    verdict.check(failed == Some(0), || {
        format!("{who}: joins failed: {}", report["failures"])
    });
    for doubt in report["doubts"].as_array().into_iter().flatten() {
        println!("   {who}: {doubt}");
    }
}

/// Our own server delivers everything and drops nothing.
pub fn check_delivery(who: &str, report: &Value, verdict: &mut Verdict) {
    let delivered = report["figures"]["delivered"].as_f64().unwrap_or(0.0);
    verdict.check(delivered >= DELIVERED_MIN, || {
        format!("{who}: {delivered} % delivered")
    });
    let drops = &report["metrics"]["drops"];
    // Nobody comes or leaves while it counts.
    let is_none = drops.as_object().is_some_and(serde_json::Map::is_empty);
    verdict.check(is_none, || format!("{who}: dropped {drops}"));
}

/// The figures of a server in one scenario, round by round; NaN where one was
/// not told.
#[derive(Default)]
pub struct Row {
    pub cpu_us: Samples,
    pub cpu_percent: Samples,
    pub delivered: Samples,
    pub p50_ms: Samples,
    pub p99_ms: Samples,
    /// Less the generator's own.
    pub net_p99_ms: Samples,
    /// As the server tells.
    pub train: Samples,
    /// From receive to send, as the server tells: an upper bound.
    pub forward_p99_ms: Samples,
    pub read_at_once: Samples,
    pub rss_mib: Samples,
    pub profiles: String,
}

impl Row {
    pub fn add(&mut self, report: &Value) {
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let figure = |name: &str| number(&report["figures"][name]);
        self.cpu_us.add(figure("server_cpu_us_per_packet"));
        self.cpu_percent.add(figure("server_cpu") * 100.0);
        self.delivered.add(figure("delivered"));
        self.p50_ms.add(figure("latency_p50_ms"));
        self.p99_ms.add(figure("latency_p99_ms"));
        self.net_p99_ms.add(figure("latency_net_p99_ms"));
        self.train.add(number(&report["metrics"]["train_mean"]));
        let forward = number(&report["metrics"]["forward_p99_ms"]);
        self.forward_p99_ms.add(forward);
        self.read_at_once.add(figure("train_mean"));
        self.rss_mib.add(figure("server_rss_mib"));
        let profiles = report["profiles"].as_object().into_iter().flatten();
        let names: Vec<&str> = profiles.map(|(name, _)| name.as_str()).collect();
        self.profiles = names.join(" ");
    }
}
