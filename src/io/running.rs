//! The threads of a running server: launched, waited for, stopped.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::driver::{Driver, Seat};
use super::office::Office;
use super::post::{Parcel, Post};
use super::records::desk::Desk;
use super::records::files::Files;
use super::stream::Listener;
use super::transcode::{Deliver, Worker};
use super::udp::{Sockets, Udp};
use super::{Bound, Engine, IoSettings, sys};
use crate::core::border::{CoreId, Door, Machine};
use crate::core::mail::Mail;
use crate::proto::tls;

/// From the order to stop until stuck cores are given up.
const STOP_MAX: Duration = Duration::from_secs(14);

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
    /// A media socket's queue was full.
    pub kernel: u64,
}

/// A running server. Dropping it leaves the server running to the process's end.
pub struct Running {
    bound: Arc<Bound>,
    post: Arc<Post<Mail>>,
    office: Option<Office>,
    worker: Option<Worker>,
    desk: Option<Desk>,
    /// Rung when a core ends.
    ended: Arc<OwnedFd>,
    end: Sender<(u16, Result<(), String>)>,
    ends: Receiver<(u16, Result<(), String>)>,
    cores: Vec<JoinHandle<()>>,
    clerks: Vec<JoinHandle<()>>,
    /// Per core: its count of unusable datagrams, and duplicates of its
    /// sockets to ask the kernel.
    watched: Vec<(Arc<AtomicU64>, Sockets)>,
}

/// Reaches the cores of a running server from any thread. Keeps nothing of it
/// alive: after the server's end it reaches nobody.
#[derive(Clone)]
pub struct Handle {
    post: Arc<Post<Mail>>,
}

impl Handle {
    /// Gives every core this certificate for the connections that come to the
    /// https port from now on.
    pub fn replace_certificate(&self, identity: &tls::Identity) {
        self.post.put_certificate(identity);
    }
}

/// What a core's thread is given.
pub struct Berth {
    pub core: CoreId,
    pub cpu: usize,
    pub listeners: Vec<(Door, TcpListener)>,
    pub sockets: Sockets,
    /// Busy peers who may have a connected socket.
    pub connected_max: usize,
    pub clock: sys::Clock,
}

impl Running {
    /// The threads that serve all cores; no core yet.
    pub(super) fn open(bound: Bound, settings: &IoSettings) -> io::Result<Self> {
        let post = Arc::new(Post::new(bound.media_ports.len(), Mail::weight_bytes)?);
        let (office, mut clerks) = Office::open(
            Arc::clone(&post),
            Arc::clone(&settings.render),
            settings.print,
        )?;
        let to = Arc::clone(&post);
        let deliver: Deliver =
            Arc::new(move |core, results| to.put_parcel(core, Parcel::Transcoded(results)));
        let (threads, cores) = (settings.transcode_threads, bound.media_ports.len());
        let (worker, threads) = Worker::start(threads, cores, &deliver)?;
        clerks.extend(threads);
        let to = Arc::clone(&post);
        let deliver = Arc::new(move |core, outcome| to.put_parcel(core, Parcel::File(outcome)));
        let (desk, thread) = Desk::open(settings.records.clone(), deliver, settings.print)?;
        clerks.push(thread);
        let (end, ends) = channel();
        Ok(Running {
            bound: Arc::new(bound),
            post,
            office: Some(office),
            worker: Some(worker),
            desk: Some(desk),
            ended: Arc::new(sys::eventfd()?),
            end,
            ends,
            cores: Vec::new(),
            clerks,
            watched: Vec::new(),
        })
    }

    /// Starts the cores and returns when each serves; else why one does not.
    pub(super) fn launch<M, F>(
        &mut self,
        berths: impl Iterator<Item = Berth>,
        make: F,
    ) -> Result<(), String>
    where
        M: Machine + 'static,
        F: Fn(CoreId, &Bound) -> M + Send + Clone + 'static,
    {
        let (ready, readies) = channel();
        for berth in berths {
            self.launch_core(berth, ready.clone(), make.clone())
                .map_err(|error| error.to_string())?;
        }
        // Every thread says one thing first: that it serves, or why not.
        readies.iter().take(self.cores.len()).collect()
    }

    fn launch_core<M, F>(
        &mut self,
        berth: Berth,
        ready: Sender<Result<(), String>>,
        make: F,
    ) -> io::Result<()>
    where
        M: Machine + 'static,
        F: Fn(CoreId, &Bound) -> M + Send + 'static,
    {
        let bound = Arc::clone(&self.bound);
        let post = Arc::clone(&self.post);
        let (end, ended) = (self.end.clone(), Arc::clone(&self.ended));
        let unusable = Arc::<AtomicU64>::default();
        let sockets = berth.sockets.try_clone()?;
        self.watched.push((Arc::clone(&unusable), sockets));
        let clerks = (self.office.clone(), self.worker.clone(), self.desk.clone());
        let (Some(office), Some(worker), Some(desk)) = clerks else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let thread = std::thread::Builder::new().name(format!("core {}", berth.core.0));
        let thread = thread.spawn(move || {
            let core = berth.core.0;
            let serving = ready.clone();
            let clerks = (office, worker, desk);
            let run = || run_core(berth, &bound, post, clerks, unusable, &serving, make);
            let result = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(panic) => Err(panic_text(panic.as_ref())),
            };
            if let Err(why) = &result {
                let _ = ready.send(Err(why.clone()));
            }
            let _ = end.send((core, result));
            sys::ring(&ended);
        })?;
        self.cores.push(thread);
        Ok(())
    }

    /// A way to the cores for other threads.
    pub fn handle(&self) -> Handle {
        Handle {
            post: Arc::clone(&self.post),
        }
    }

    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// What each core lost so far, in core order.
    pub fn losses(&self) -> Vec<Losses> {
        let read = |(unusable, sockets): &(Arc<AtomicU64>, Sockets)| {
            let drops = |family| sockets.fd(family).map_or(0, sys::socket_drops);
            Losses {
                unusable: unusable.load(Relaxed),
                kernel: u64::from(drops(0)) + u64::from(drops(1)),
            }
        };
        self.watched.iter().map(read).collect()
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
        self.worker = None;
        self.desk = None;
        while Instant::now() < deadline && !self.clerks.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(1));
        }
        result
    }
}

/// A core's thread: its runtime, its machine, its turns.
fn run_core<M: Machine + 'static>(
    berth: Berth,
    bound: &Bound,
    post: Arc<Post<Mail>>,
    (office, worker, desk): (Office, Worker, Desk),
    unusable: Arc<AtomicU64>,
    serving: &Sender<Result<(), String>>,
    make: impl FnOnce(CoreId, &Bound) -> M,
) -> io::Result<()> {
    // Unpinned works too, only slower.
    let _ = sys::pin(berth.cpu);
    let engine = bound.engine;
    let cores = bound.media_ports.len();
    let serve = async move {
        let mut udp = match engine {
            Engine::Uring => Udp::on_uring(berth.sockets)?,
            Engine::Mmsg => Udp::on_mmsg(berth.sockets)?,
        };
        // Most descriptors are for those who connect to us.
        let open_files = sys::raise_open_files().unwrap_or(0) as usize;
        udp.connect_busy(berth.connected_max.min(open_files / 4 / cores))?;
        let mut listeners = Vec::with_capacity(berth.listeners.len());
        for (door, listener) in berth.listeners {
            let listener = match engine {
                Engine::Uring => Listener::on_uring(listener)?,
                Engine::Mmsg => Listener::on_tokio(listener)?,
            };
            listeners.push((door, Rc::new(listener)));
        }
        let seat = Seat {
            core: berth.core,
            engine,
            udp,
            listeners,
            post,
            office,
            worker,
            files: Files::new(berth.core, engine, desk),
            clock: berth.clock,
            unusable,
        };
        let driver = Driver::new(seat, cores, make(berth.core, bound))?;
        let _ = serving.send(Ok(()));
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

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "?".to_string()))
}
