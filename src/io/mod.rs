//! The real drivers: sockets, clock, threads and signals around a [`Machine`].
//!
//! [`start`] binds everything, then runs one pinned thread per core. Each makes
//! its machine, then turns: wait, read the clock once, handle inputs, flush.
//! The same turn runs on io_uring (`tokio-uring` for TCP, a private ring for
//! media) or, where that is refused, on plain tokio with `recvmmsg`.
//!
//! Start reading at [`driver`]; media is in [`udp`], connections in [`tcp`].
//! Only this layer contains `unsafe`.
//!
//! ```no_run
//! use ringhall::base::time::Time;
//! use ringhall::core::border::{Input, Machine, Outbox, TurnReport};
//! use ringhall::io::{Backend, IoSettings, start};
//!
//! /// Answers every TCP connection with what it says.
//! struct Echo;
//!
//! impl Machine for Echo {
//!     fn handle(&mut self, _now: Time, input: Input<'_>, out: &mut Outbox) {
//!         if let Input::Bytes { connection, bytes } = input {
//!             out.writes.push((connection, bytes.to_vec().into()));
//!         }
//!     }
//!     fn advance(&mut self, _now: Time, _out: &mut Outbox) {}
//!     fn next_deadline(&self) -> Option<Time> {
//!         None
//!     }
//!     fn end_turn(&mut self, _report: &TurnReport) {}
//!     fn shut_down(&mut self, _now: Time, _out: &mut Outbox) {}
//! }
//!
//! let settings = IoSettings {
//!     backend: Backend::Auto,
//!     cores: 0,
//!     web_port: 8080,
//!     bind_ip: None,
//!     media_port_from: 31000,
//!     render: |_| Vec::new(),
//!     print: |event| eprintln!("{event}"),
//! };
//! let running = start(&settings, |_core, _bound| Echo)?;
//! eprintln!("listening on {} ({})", running.bound().web, running.bound().why);
//! for warning in &running.bound().warnings {
//!     eprintln!("warning: {warning}");
//! }
//! running.wait()?; // until SIGTERM or SIGINT
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::core::border::{CoreId, Machine, Render};
use crate::core::mail::Mail;
use crate::ops::event::Event;

pub mod addresses;
pub mod certificate;
mod driver;
mod office;
mod post;
mod probe;
pub mod seed;
mod sockets;
mod stream;
mod sys;
mod tcp;
pub mod udp;

use driver::{Driver, LossCounters, Seat};
use office::Office;
use post::Post;
use sockets::PortError;
use stream::Listener;
use udp::{Sockets, Udp};

/// Open files below which the operator is warned: a busy core's worth.
const OPEN_FILES_LOW: u64 = 4_096;
/// From the order to stop until stuck cores are given up.
const STOP_MAX: Duration = Duration::from_secs(4);

/// Which engine to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring if the host allows it, else the other.
    Auto,
    /// io_uring or an error.
    Uring,
    Mmsg,
}

/// Which engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Uring,
    Mmsg,
}

#[derive(Clone, Copy)]
pub struct IoSettings {
    pub backend: Backend,
    /// Threads; 0: one per CPU of the process's affinity mask.
    pub cores: usize,
    /// TCP port of pages, WebSocket and REST; 0 chooses one.
    pub web_port: u16,
    /// The only address to bind, for TCP and media; `None`: all, of both families.
    pub bind_ip: Option<IpAddr>,
    /// UDP port of core 0, others follow; 0 chooses free ones.
    pub media_port_from: u16,
    /// Turns a snapshot into a complete HTTP response, on a thread of its own.
    pub render: fn(&Render) -> Vec<u8>,
    /// Prints an event, on a thread of its own.
    pub print: fn(&Event),
}

/// What [`start`] bound and chose.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Where every core listens; the unspecified address serves both families.
    pub web: SocketAddr,
    /// The UDP port of each core, in core order.
    pub media_ports: Vec<u16>,
    /// Families media is received on.
    pub has_ipv4: bool,
    pub has_ipv6: bool,
    pub engine: Engine,
    /// Why this engine.
    pub why: String,
    /// Microseconds from 1970 to the machines' time zero, measured once.
    pub started_unix_us: u64,
    /// What works but not as well as it should, for the operator.
    pub warnings: Vec<String>,
}

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// A port is taken or forbidden: change the configuration.
    Port(PortError),
    /// `io=uring` was asked for and this host refuses it.
    Uring(String),
    /// A core's thread failed before it served.
    Core(String),
    /// The host failed at the named step.
    Host(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Port(error) => error.fmt(f),
            StartError::Uring(why) => write!(
                f,
                "io=uring, but this host does not allow it: {why}; set io=auto to run without"
            ),
            StartError::Core(why) => write!(f, "a core did not start: {why}"),
            StartError::Host(step, error) => write!(f, "{step}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Why the server ended other than by being told to.
#[derive(Debug, PartialEq, Eq)]
pub enum StopError {
    /// A core ended by itself; the others were stopped.
    Core { core: u16, why: String },
    /// Cores did not stop in time.
    Stuck { cores: usize },
    /// The wait for signals failed.
    Wait(String),
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopError::Core { core, why } => write!(f, "core {core} ended: {why}"),
            StopError::Stuck { cores } => write!(f, "{cores} cores did not stop in time"),
            StopError::Wait(why) => write!(f, "cannot wait for signals: {why}"),
        }
    }
}

impl std::error::Error for StopError {}

/// Datagrams one core lost before its machine saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Too long to be one of ours, or without usable addresses.
    pub unusable: u64,
    /// The kernel's queue was full; looked at once a second and at the end.
    pub kernel: u64,
}

/// A running server.
pub struct Running {
    bound: Arc<Bound>,
    post: Arc<Post<Mail>>,
    office: Option<Office>,
    /// Rung when a core ends.
    ended: Arc<OwnedFd>,
    ends: Receiver<(u16, Result<(), String>)>,
    cores: Vec<JoinHandle<()>>,
    clerks: Vec<JoinHandle<()>>,
    losses: Vec<Arc<LossCounters>>,
}

/// Binds the ports, chooses the engine and starts the cores; returns once all
/// of them serve. `make` runs once on each core's thread.
///
/// SIGTERM and SIGINT are blocked in the calling thread from here on, so that
/// [`Running::wait`] can wait for them; call it before other threads exist.
pub fn start<M, F>(settings: &IoSettings, make: F) -> Result<Running, StartError>
where
    M: Machine + 'static,
    F: Fn(CoreId, &Bound) -> M + Send + Sync + Clone + 'static,
{
    let host = |step| move |error| StartError::Host(step, error);
    sys::block_stop_signals();
    let (engine, why) = choose(settings.backend)?;
    let mut warnings = Vec::new();
    let cpus = sys::allowed_cpus();
    let count = match settings.cores {
        0 => cpus.len().max(1),
        cores => cores.min(usize::from(u16::MAX)),
    };
    warn_of_the_host(count, cpus.len(), &mut warnings);
    let (web, listeners) = sockets::web_listeners(settings.bind_ip, settings.web_port, count)
        .map_err(StartError::Port)?;
    let media = sockets::media_sockets(
        settings.bind_ip,
        settings.media_port_from,
        count,
        &mut warnings,
    )
    .map_err(StartError::Port)?;
    let clock = sys::Clock::start();
    let has = |family| media.iter().all(|sockets| sockets.fd(family).is_some());
    let bound = Arc::new(Bound {
        web,
        media_ports: media.iter().map(|sockets| sockets.port).collect(),
        has_ipv4: has(0),
        has_ipv6: has(1),
        engine,
        why,
        started_unix_us: unix_us(),
        warnings,
    });
    let post = Arc::new(Post::new(count).map_err(host("creating mailboxes"))?);
    let (office, clerks) = Office::open(Arc::clone(&post), settings.render, settings.print)
        .map_err(host("starting threads"))?;
    let (end, ends) = channel();
    let mut running = Running {
        bound,
        post,
        office: Some(office),
        ended: Arc::new(sys::eventfd().map_err(host("creating an eventfd"))?),
        ends,
        cores: Vec::new(),
        clerks,
        losses: Vec::new(),
    };
    let (ready, readies) = channel();
    for (core, (listener, sockets)) in listeners.into_iter().zip(media).enumerate() {
        let cpu = cpus.get(core % cpus.len().max(1)).copied();
        let berth = Berth {
            core: CoreId(core as u16),
            cpu,
            listener,
            sockets,
            clock,
            ready: ready.clone(),
            end: end.clone(),
        };
        running
            .launch(berth, make.clone())
            .map_err(host("starting threads"))?;
    }
    // Every core says that it serves, or why not.
    if let Some(why) = readies.iter().take(count).find_map(Result::err) {
        let _ = running.stop();
        return Err(StartError::Core(why));
    }
    Ok(running)
}

/// What a core's thread is given.
struct Berth {
    core: CoreId,
    cpu: Option<usize>,
    listener: TcpListener,
    sockets: Sockets,
    clock: sys::Clock,
    ready: Sender<Result<(), String>>,
    end: Sender<(u16, Result<(), String>)>,
}

impl Running {
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// What each core lost so far, in core order.
    pub fn losses(&self) -> Vec<Losses> {
        let read = |counters: &Arc<LossCounters>| Losses {
            unusable: counters.unusable.load(Relaxed),
            kernel: counters.kernel.load(Relaxed),
        };
        self.losses.iter().map(read).collect()
    }

    /// Events not printed because the log was too slow.
    pub fn unprinted_events(&self) -> u64 {
        self.office.as_ref().map_or(0, Office::unprinted)
    }

    /// Serves until SIGTERM or SIGINT, then stops in order; or until a core
    /// ends by itself, which is an error.
    pub fn wait(self) -> Result<(), StopError> {
        let waited =
            sys::stop_signal_fd().and_then(|signal| sys::wait_either(&signal, &self.ended));
        let stopped = self.stop();
        match waited {
            Ok(_) => stopped,
            Err(error) => Err(StopError::Wait(error.to_string())),
        }
    }

    /// Stops every core: its machine leaves in order, what is queued is written
    /// for at most two seconds, then connections are cut.
    pub fn stop(mut self) -> Result<(), StopError> {
        self.post.stop();
        let deadline = Instant::now() + STOP_MAX;
        let mut result = Ok(());
        for ended in 0..self.cores.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.ends.recv_timeout(left) {
                Ok((_, Ok(()))) => {}
                Ok((core, Err(why))) => result = Err(StopError::Core { core, why }),
                Err(_) => {
                    let cores = self.cores.len() - ended;
                    // Their threads end with the process.
                    return Err(StopError::Stuck { cores });
                }
            }
        }
        for core in self.cores.drain(..) {
            let _ = core.join();
        }
        // The last desk closes: the clerks finish what is queued, unless the
        // terminal is stuck.
        self.office = None;
        while Instant::now() < deadline && !self.clerks.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(1));
        }
        result
    }

    fn launch<M, F>(&mut self, berth: Berth, make: F) -> io::Result<()>
    where
        M: Machine + 'static,
        F: Fn(CoreId, &Bound) -> M + Send + 'static,
    {
        let bound = Arc::clone(&self.bound);
        let post = Arc::clone(&self.post);
        let ended = Arc::clone(&self.ended);
        let losses = Arc::<LossCounters>::default();
        self.losses.push(Arc::clone(&losses));
        let Some(office) = self.office.clone() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let thread = std::thread::Builder::new().name(format!("core {}", berth.core.0));
        let thread = thread.spawn(move || {
            let (core, end, ready) = (berth.core, berth.end.clone(), berth.ready.clone());
            let run = || run_core(berth, &bound, post, office, losses, make);
            let result = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(panic) => Err(panic_text(panic.as_ref())),
            };
            if let Err(why) = &result {
                let _ = ready.send(Err(why.clone()));
            }
            let _ = end.send((core.0, result));
            sys::ring(&ended);
        })?;
        self.cores.push(thread);
        Ok(())
    }
}

/// A core's thread: its runtime, its machine, its turns.
fn run_core<M: Machine + 'static>(
    berth: Berth,
    bound: &Bound,
    post: Arc<Post<Mail>>,
    office: Office,
    losses: Arc<LossCounters>,
    make: impl FnOnce(CoreId, &Bound) -> M,
) -> io::Result<()> {
    if let Some(cpu) = berth.cpu {
        // Unpinned works too, only slower.
        let _ = sys::pin(cpu);
    }
    let engine = bound.engine;
    let cores = bound.media_ports.len();
    let serve = async move {
        let (udp, listener) = match engine {
            Engine::Uring => (
                Udp::on_uring(berth.sockets)?,
                Listener::on_uring(berth.listener)?,
            ),
            Engine::Mmsg => (
                Udp::on_mmsg(berth.sockets)?,
                Listener::on_tokio(berth.listener)?,
            ),
        };
        let seat = Seat {
            core: berth.core,
            engine,
            udp,
            listener: Rc::new(listener),
            post,
            office,
            clock: berth.clock,
            losses,
        };
        let driver = Driver::new(seat, cores, make(berth.core, bound))?;
        let _ = berth.ready.send(Ok(()));
        Ok(driver.run().await)
    };
    match engine {
        Engine::Uring => on_tokio_uring(serve),
        Engine::Mmsg => on_tokio(serve),
    }
}

fn on_tokio_uring(serve: impl Future<Output = io::Result<bool>>) -> io::Result<()> {
    let mut ring = tokio_uring::uring_builder();
    // Never DEFER_TASKRUN here: this runtime polls the ring's descriptor,
    // which then stays silent.
    ring.setup_coop_taskrun();
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().uring_builder(&ring))?;
    // Dropping it frees the buffers of operations still in the kernel, so it is
    // leaked where some may be: after a panic, or when a peer outlived the end.
    let mut runtime = ManuallyDrop::new(runtime);
    let idle = runtime.block_on(serve)?;
    if idle {
        // SAFETY: dropped once, and not used after.
        unsafe { ManuallyDrop::drop(&mut runtime) };
    }
    Ok(())
}

fn on_tokio(serve: impl Future<Output = io::Result<bool>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, serve).map(|_| ())
}

fn choose(backend: Backend) -> Result<(Engine, String), StartError> {
    if backend == Backend::Mmsg {
        return Ok((Engine::Mmsg, "io=mmsg asks for it".to_string()));
    }
    // On a thread of its own: ending a ring interrupts system calls of the
    // thread that made it, some time later.
    let probed = std::thread::spawn(probe::probe).join();
    match probed.unwrap_or_else(|_| Err("the probe panicked".to_string())) {
        Ok(()) => Ok((Engine::Uring, "this host allows io_uring".to_string())),
        Err(why) if backend == Backend::Auto => Ok((Engine::Mmsg, format!("no io_uring: {why}"))),
        Err(why) => Err(StartError::Uring(why)),
    }
}

fn warn_of_the_host(cores: usize, cpus: usize, warnings: &mut Vec<String>) {
    if cores > cpus {
        warnings.push(format!(
            "cores={cores}, but this process may use {cpus} CPUs: cores will wait for each other"
        ));
    }
    match sys::raise_open_files() {
        Ok(limit) if limit < OPEN_FILES_LOW => warnings.push(format!(
            "this process may open {limit} files, one per connection: raise the limit \
             (ulimit -n, LimitNOFILE=) to at least {OPEN_FILES_LOW}"
        )),
        Ok(_) => {}
        Err(error) => warnings.push(format!("cannot raise the limit on open files: {error}")),
    }
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "?".to_string()))
}
