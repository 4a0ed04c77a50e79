//! Runs a plan: starts the workers, watches them and the server, prints what
//! goes on, and makes the report.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::io::monotonic::monotonic_us;
use crate::load::host::{self, Usage};
use crate::load::http::{self, Url};
use crate::load::metrics::Reading;
use crate::load::plan::Plan;
use crate::load::report::{Report, Second, Server, html};
use crate::load::tally::Tally;
use crate::load::thresholds::Threshold;
use crate::proto::tls::Trust;

/// From the order to the first participant's start: for processes to come up.
const HEAD_START_US: u64 = 700_000;
/// A worker that says nothing for so long after the end is given up.
const PATIENCE_US: u64 = 20_000_000;
/// Of one CPU: beyond, a worker may have been what was slow.
const BUSY: f64 = 0.85;
/// Sends that came later than this were not as planned.
const LATE_MS: f64 = 5.0;

/// What is asked for besides the plan.
#[derive(Clone, Default)]
pub struct Wishes {
    /// The server's process.
    pub pid: Option<u32>,
    /// Our own server's metrics page.
    pub metrics_url: Option<String>,
    /// Whom to trust inside TLS.
    pub trust: Option<Trust>,
    /// Files for the report.
    pub json: Option<String>,
    pub html: Option<String>,
    pub thresholds: Vec<Threshold>,
    pub is_quiet: bool,
}

enum Heard {
    Progress(usize, Value),
    Tally(Box<Tally>),
    Gone(usize),
}

/// Runs it all; whether joins worked and every threshold was kept.
pub fn run(mut plan: Plan, wishes: &Wishes) -> Result<bool, Box<dyn Error>> {
    if Url::parse(&plan.url)?.is_tls && wishes.trust.is_none() {
        return Err("a server inside TLS needs --ca FILE, or --insecure".into());
    }
    // What cannot be seen is told before anybody comes.
    server_usage(wishes)?;
    metrics(wishes)?;
    plan.start_us = monotonic_us() + HEAD_START_US;
    let (told, heard) = channel();
    let mut workers = Vec::new();
    for number in 0..plan.processes {
        workers.push(start_worker(&plan, number as usize, told.clone())?);
    }
    drop(told);
    let watched = watch(&plan, wishes, &heard)?;
    for mut worker in workers {
        // Those that were given up are still there.
        let _ = worker.kill();
        worker.wait()?;
    }
    let report = watched.report(plan);
    println!("{}", report.text());
    if let Some(path) = &wishes.json {
        std::fs::write(path, format!("{:#}\n", report.json()))?;
    }
    if let Some(path) = &wishes.html {
        std::fs::write(path, html(&report))?;
    }
    let figures = report.figures();
    let mut kept = report.tally.count("joins_ok") > 0 && report.tally.failures.is_empty();
    for threshold in &wishes.thresholds {
        let verdict = threshold.judge(&figures);
        println!("{}", verdict.text);
        kept &= verdict.holds;
    }
    Ok(kept)
}

fn start_worker(plan: &Plan, number: usize, told: Sender<Heard>) -> Result<Child, Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["loadtest", "--worker"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let order = json!({"plan": plan.to_json(), "worker": number});
    let mut stdin = child.stdin.take().ok_or("no way to a worker")?;
    writeln!(stdin, "{order}")?;
    let stdout = child.stdout.take().ok_or("no way from a worker")?;
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Ok(value) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            let heard = match value.get("tally") {
                Some(tally) => Heard::Tally(Box::new(Tally::from_json(tally))),
                None => Heard::Progress(number, value["progress"].clone()),
            };
            if told.send(heard).is_err() {
                return;
            }
        }
        // Whoever waited has given up.
        let _ = told.send(Heard::Gone(number));
    });
    Ok(child)
}

/// What was seen while the plan was played.
struct Watched {
    tally: Tally,
    seconds: Vec<Second>,
    server: Option<Server>,
    metrics: Option<Value>,
    doubts: Vec<String>,
}

impl Watched {
    fn report(self, plan: Plan) -> Report {
        let mut report = Report {
            plan,
            tally: self.tally,
            server: self.server,
            metrics: self.metrics,
            seconds: self.seconds,
            doubts: self.doubts,
        };
        let late = report.figures()["send_lateness_p99_ms"].as_f64();
        if let Some(late) = late.filter(|late| *late > LATE_MS) {
            report.doubts.push(format!(
                "the generator sent up to {late:.1} ms late (p99): delays are partly its own"
            ));
        }
        report
    }
}

fn watch(plan: &Plan, wishes: &Wishes, heard: &Receiver<Heard>) -> Result<Watched, Box<dyn Error>> {
    let mut watched = Watched {
        tally: Tally::default(),
        seconds: Vec::new(),
        server: None,
        metrics: None,
        doubts: Vec::new(),
    };
    let mut progress = vec![Value::Null; plan.processes as usize];
    let mut left = plan.processes;
    let (mut counting, mut counted) = (None, false);
    let mut last = Look::take(wishes);
    let mut next_us = plan.start_us + 1_000_000;
    while left > 0 && monotonic_us() < plan.end_us() + PATIENCE_US {
        match heard.recv_timeout(Duration::from_millis(20)) {
            Ok(Heard::Progress(worker, value)) => {
                if let Some(place) = progress.get_mut(worker) {
                    *place = value;
                }
            }
            Ok(Heard::Tally(tally)) => watched.tally.merge(&tally),
            Ok(Heard::Gone(worker)) => {
                left -= 1;
                if !counted {
                    watched.doubts.push(format!("worker {worker} ended early"));
                }
            }
            Err(_) => {}
        }
        let now_us = monotonic_us();
        if counting.is_none() && now_us >= plan.count_from_us() {
            counting = Some((server_usage(wishes)?, now_us, metrics(wishes)?));
        }
        if let Some((before, from_us, reading)) = counting.as_ref().filter(|_| !counted)
            && now_us >= plan.end_us()
        {
            counted = true;
            watched.server = server_usage(wishes)?
                .zip(*before)
                .map(|(after, before)| Server {
                    before,
                    after,
                    wall_us: now_us - from_us,
                });
            let after = metrics(wishes)?;
            watched.metrics = after
                .zip(reading.as_ref())
                .map(|(after, before)| after.since(before));
        }
        if now_us >= next_us && now_us < plan.end_us() {
            next_us += 1_000_000;
            let look = Look::take(wishes);
            let second = look.second(plan, &last, &progress);
            if !wishes.is_quiet {
                tell(&second, sum(&progress, "packets"));
            }
            watched.doubts.extend(busy(&look, &last, &progress));
            watched.doubts.sort();
            watched.doubts.dedup();
            last = look.with(&progress);
            watched.seconds.push(second);
        }
    }
    if left > 0 {
        watched.doubts.push(format!("{left} workers did not end"));
    }
    Ok(watched)
}

/// Cumulative figures at one moment.
#[derive(Clone, Default)]
struct Look {
    at_us: u64,
    server_us: u64,
    packets: u64,
    workers_us: Vec<u64>,
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

/// Over all workers.
fn sum(progress: &[Value], name: &str) -> u64 {
    progress.iter().map(|one| number(one, name)).sum()
}

impl Look {
    fn take(wishes: &Wishes) -> Self {
        let server = wishes.pid.and_then(|pid| host::usage(pid).ok());
        Look {
            at_us: monotonic_us(),
            server_us: server.map_or(0, |usage| usage.cpu_us),
            ..Look::default()
        }
    }

    fn with(mut self, progress: &[Value]) -> Self {
        self.packets = sum(progress, "packets");
        self.workers_us = progress.iter().map(|one| number(one, "cpu_us")).collect();
        self
    }

    fn second(&self, plan: &Plan, last: &Look, progress: &[Value]) -> Second {
        let wall = self.at_us.saturating_sub(last.at_us).max(1) as f64;
        let before: u64 = last.workers_us.iter().sum();
        Second {
            at_s: self.at_us.saturating_sub(plan.start_us) as f64 / 1e6,
            joins: sum(progress, "joins_ok"),
            failed: sum(progress, "failed"),
            packets: sum(progress, "packets").saturating_sub(last.packets),
            server_cpu: self.server_us.saturating_sub(last.server_us) as f64 / wall,
            generator_cpu: sum(progress, "cpu_us").saturating_sub(before) as f64 / wall,
        }
    }
}

fn busy(look: &Look, last: &Look, progress: &[Value]) -> Option<String> {
    let wall = look.at_us.saturating_sub(last.at_us).max(1) as f64;
    let before = last.workers_us.iter().copied().chain(std::iter::repeat(0));
    let mut shares = progress
        .iter()
        .zip(before)
        .map(|(one, before)| number(one, "cpu_us").saturating_sub(before) as f64 / wall);
    shares.any(|share| share > BUSY && !last.workers_us.is_empty()).then(|| {
        "a worker was busy all the time: the generator may have been what was slow; more --processes, or fewer participants".to_string()
    })
}

fn tell(second: &Second, packets: u64) {
    println!(
        "{:>6.1} s  joined {:>6}  failed {:>4}  packets/s {:>8}  all {:>10}  server {:>5.1} %  generator {:>5.1} %",
        second.at_s,
        second.joins,
        second.failed,
        second.packets,
        packets,
        second.server_cpu * 100.0,
        second.generator_cpu * 100.0
    );
}

fn server_usage(wishes: &Wishes) -> Result<Option<Usage>, Box<dyn Error>> {
    let usage = wishes.pid.map(|pid| {
        host::usage(pid).map_err(|error| format!("process {pid} cannot be seen: {error}"))
    });
    Ok(usage.transpose()?)
}

fn metrics(wishes: &Wishes) -> Result<Option<Reading>, Box<dyn Error>> {
    let Some(url) = &wishes.metrics_url else {
        return Ok(None);
    };
    let url = Url::parse(url)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asked = http::request(&url, wishes.trust.as_ref(), "GET", "", "");
    let response = runtime.block_on(asked)?;
    match response.status {
        200 => Ok(Some(Reading::parse(&response.body))),
        status => Err(format!("the metrics page answers {status}").into()),
    }
}
