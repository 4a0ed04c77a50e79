//! One worker process: its share of a plan's participants, on one thread.

use std::cell::{RefCell, RefMut};
use std::error::Error;
use std::io::{BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use crate::base::random::{Noise, Secret};
use crate::base::time::Time;
use crate::io::certificate::certificate;
use crate::io::monotonic::monotonic_us;
use crate::io::seed::seed;
use crate::load::content::Content;
use crate::load::http::Url;
use crate::load::plan::{Dialect, Plan};
use crate::load::publish::Show;
use crate::load::sdp::Ssrcs;
use crate::load::tally::Tally;
use crate::load::{host, janus, official, rtmp, whip};
use crate::proto::dtls::{Identity, MaxVersion};
use crate::proto::tls::Trust;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// At the end, for everybody to say goodbye.
const FAREWELL: Duration = Duration::from_secs(3);
/// A join that is not through by then has failed.
pub const JOIN_PATIENCE: Duration = Duration::from_secs(15);

/// How often a slow reader reads.
pub const SLOW_EVERY: Duration = Duration::from_millis(100);

/// What the participants of a worker share.
pub struct Crowd {
    pub plan: Plan,
    pub url: Url,
    /// For a server inside TLS.
    pub trust: Option<Trust>,
    pub own_ip: IpAddr,
    pub identity: Identity,
    pub tally: RefCell<Tally>,
    content: Rc<Content>,
    noise: RefCell<Noise>,
    /// Viewers that are still to be slow readers.
    slow_left: RefCell<u64>,
}

impl Crowd {
    fn new(plan: Plan) -> Result<Self, Box<dyn Error>> {
        let url = Url::parse(&plan.url)?;
        let mut secret = Secret::new(seed()?);
        let made = certificate()?;
        #[allow(clippy::disallowed_methods)]
        let origin = std::time::Instant::now() - Duration::from_micros(monotonic_us());
        let identity = Identity::new(made.certificate, made.key, MaxVersion::Dtls12, origin, None);
        Ok(Crowd {
            own_ip: own_ip(&url)?,
            trust: plan.trust()?,
            url,
            identity: identity.ok_or("the DTLS settings were refused")?,
            tally: RefCell::default(),
            content: Rc::new(Content::new(plan.video, plan.kbps)),
            noise: RefCell::new(Noise::new(secret.next_u64())),
            slow_left: RefCell::new(plan.slow_readers),
            plan,
        })
    }

    pub fn now(&self) -> Time {
        Time::from_us(monotonic_us())
    }

    /// Whether the server checks connectivity, too, and must know where to.
    pub fn server_checks(&self) -> bool {
        self.plan.dialect == Dialect::Janus
    }

    pub fn show(&self) -> Show {
        Show {
            content: Rc::clone(&self.content),
            has_sound: self.plan.sound,
            even: self.plan.even,
            counted: self.plan.counted(),
        }
    }

    /// What is random about a new connection.
    pub fn draw(&self, publishes: bool) -> (bool, Option<Ssrcs>, Secret) {
        let mut noise = self.noise.borrow_mut();
        let mut slow = self.slow_left.borrow_mut();
        let is_slow = !publishes && *slow > 0;
        *slow -= u64::from(is_slow);
        let ssrcs = Ssrcs {
            sound: noise.next_u32() | 1,
            video: noise.next_u32() | 1,
            rtx: noise.next_u32() & !1,
        };
        let mut seed = [0; 32];
        for byte in &mut seed {
            *byte = noise.below(256) as u8;
        }
        (is_slow, publishes.then_some(ssrcs), Secret::new(seed))
    }

    /// For what a connection makes up itself.
    pub fn noise(&self) -> RefMut<'_, Noise> {
        self.noise.borrow_mut()
    }

    pub fn token(&self) -> String {
        format!("{:016x}", self.noise.borrow_mut().next_u64())
    }

    /// Whether the network loses this datagram.
    pub fn loses(&self) -> bool {
        let ppm = self.plan.loss_ppm;
        ppm > 0 && self.noise.borrow_mut().chance_ppm(ppm)
    }

    pub fn fail(&self, step: &str, error: impl std::fmt::Display) {
        self.tally.borrow_mut().fail(&format!("{step}: {error}"));
    }

    pub fn step(&self, step: &str, began: Time) {
        let us = self.now().since(began).as_us();
        self.tally.borrow_mut().step(step, us);
    }
}

/// The address this host has toward the server.
fn own_ip(url: &Url) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((url.host.as_str(), url.port))?;
    Ok(socket.local_addr()?.ip())
}

/// Reads its part of a plan from standard input and plays it: a line of progress
/// a second on standard output, then its tally.
pub fn run() -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let told: Value = serde_json::from_str(&line)?;
    let plan = Plan::from_json(&told["plan"]).ok_or("no plan")?;
    let number = told["worker"].as_u64().ok_or("no worker's number")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let crowd = Rc::new(Crowd::new(plan)?);
    let local = LocalSet::new();
    local.block_on(&runtime, play(Rc::clone(&crowd), number))?;
    let mut tally = crowd.tally.borrow_mut();
    tally.add("generator_cpu_us", host::own_cpu_us());
    tell(&json!({"tally": tally.to_json()}))?;
    Ok(())
}

fn tell(value: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

async fn play(crowd: Rc<Crowd>, number: u64) -> std::io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    let plan = &crowd.plan;
    for participant in (0..plan.participants()).filter(|at| at % plan.processes == number) {
        let (crowd, stopped) = (Rc::clone(&crowd), stopped.clone());
        tasks.push(spawn_local(take_part(crowd, participant, stopped)));
    }
    if number == 0 {
        spawn_local(baseline(Rc::clone(&crowd), stopped.clone()));
    }
    while crowd.now().as_us() < plan.leave_us() {
        let left = plan.leave_us().saturating_sub(crowd.now().as_us());
        tokio::time::sleep(PROGRESS_EVERY.min(Duration::from_micros(left))).await;
        let tally = crowd.tally.borrow();
        let failed: u64 = tally.failures.values().sum();
        tell(&json!({"progress": {
            "joins_ok": tally.count("joins_ok"),
            "failed": failed,
            "packets": tally.histograms.get("latency_us").map_or(0, |h| h.total),
            "cpu_us": host::own_cpu_us(),
        }}))?;
    }
    // Whoever is gone does not hear it.
    let _ = stop.send(true);
    let all = async {
        for task in &mut tasks {
            let _ = task.await;
        }
    };
    if tokio::time::timeout(FAREWELL, all).await.is_err() {
        let left = tasks.iter().filter(|task| !task.is_finished()).count();
        crowd.fail(
            "end",
            format!("{left} participants were still on their way"),
        );
    }
    Ok(())
}

async fn wait_until(crowd: &Crowd, at_us: u64) {
    let left = at_us.saturating_sub(crowd.now().as_us());
    tokio::time::sleep(Duration::from_micros(left)).await;
}

async fn take_part(crowd: Rc<Crowd>, participant: u64, stop: watch::Receiver<bool>) {
    wait_until(&crowd, crowd.plan.start_of(participant)).await;
    let (_, publishes, _) = crowd.plan.role(participant);
    let mut visit = 0;
    while !*stop.borrow() {
        let stay = visit_end(&crowd, publishes, &stop);
        match crowd.plan.dialect {
            Dialect::Official => official::visit(&crowd, participant, visit, stay).await,
            Dialect::Janus => janus::visit(&crowd, participant, stay).await,
            Dialect::Whip => whip::visit(&crowd, participant, stay).await,
            Dialect::Rtmp => rtmp::visit(&crowd, participant, stay).await,
        }
        visit += 1;
        if crowd.plan.churn_s == 0.0 || publishes {
            return;
        }
    }
}

/// A signal for the end of a visit: the run's, or, of viewers that come and go,
/// after their stay.
fn visit_end(
    crowd: &Rc<Crowd>,
    publishes: bool,
    stop: &watch::Receiver<bool>,
) -> watch::Receiver<bool> {
    if crowd.plan.churn_s == 0.0 || publishes {
        return stop.clone();
    }
    let (tell, told) = watch::channel(false);
    let (mut stop, stay) = (stop.clone(), Duration::from_secs_f64(crowd.plan.churn_s));
    spawn_local(async move {
        let _ = tokio::time::timeout(stay, stop.changed()).await;
        // The visitor may be gone already.
        let _ = tell.send(true);
    });
    told
}

/// The generator sends to itself, beside everything else: what of the delays
/// measured is its own.
async fn baseline(crowd: Rc<Crowd>, mut stop: watch::Receiver<bool>) {
    let pair = async {
        let to = tokio::net::UdpSocket::bind((crowd.own_ip, 0)).await?;
        let from = tokio::net::UdpSocket::bind((crowd.own_ip, 0)).await?;
        let address = to.local_addr()?;
        Ok::<_, std::io::Error>((from, to, address))
    };
    let Ok((from, to, address)) = pair.await else {
        return;
    };
    let sink = Rc::clone(&crowd);
    let reader = spawn_local(async move {
        let mut buffer = [0; 1_500];
        while let Ok((len, _)) = to.recv_from(&mut buffer).await {
            let sent = buffer.get(len.saturating_sub(8)..len);
            let Some(sent) = sent.and_then(|bytes| bytes.first_chunk()) else {
                continue;
            };
            let sent_us = u64::from_be_bytes(*sent);
            let late_us = monotonic_us().saturating_sub(sent_us);
            if sink.plan.counted().contains(&sent_us) {
                sink.tally.borrow_mut().record("baseline_us", late_us);
            }
        }
    });
    let mut every = tokio::time::interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            _ = every.tick() => {
                let mut packet = vec![0; 1_192];
                packet.extend(monotonic_us().to_be_bytes());
                let _ = from.try_send_to(&packet, address);
            }
        }
    }
    reader.abort();
}
