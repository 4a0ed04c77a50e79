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
//!     tls_port: None,
//!     rtmp_port: None,
//!     rtmps_port: None,
//!     bind_ip: None,
//!     media_port_from: 31000,
//!     connected_max: 0,
//!     transcode_threads: 1,
//!     records: ringhall::io::DeskSettings::default(),
//!     render: std::sync::Arc::new(|_| ringhall::core::Rendered::default()),
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
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::border::{CoreId, Door, Machine};
use crate::ops::event::Event;

pub mod addresses;
pub mod certificate;
mod driver;
pub mod launch;
pub mod merge;
pub mod monotonic;
mod office;
pub mod post;
mod probe;
pub mod records;
pub mod render;
mod running;
pub mod seed;
pub mod shelf;
pub mod sockets;
mod stream;
mod sys;
mod tcp;
#[cfg(test)]
mod test_folder;
pub mod tls;
mod transcode;
pub mod udp;

pub use office::RenderFn;
pub use records::desk::DeskSettings;
pub use running::{Handle, Losses, Running, StopError};
pub use sockets::PortError;

use running::Berth;

/// Open files below which the operator is warned: a busy core's worth.
const OPEN_FILES_LOW: u64 = 4_096;
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

#[derive(Clone)]
pub struct IoSettings {
    pub backend: Backend,
    /// Threads; 0: one per CPU of the process's affinity mask.
    pub cores: usize,
    /// TCP port of pages, WebSocket and REST; 0 chooses one.
    pub web_port: u16,
    /// TCP port of the same inside TLS; 0 chooses one, `None`: there is none.
    pub tls_port: Option<u16>,
    /// TCP port of RTMP; 0 chooses one, `None`: there is none.
    pub rtmp_port: Option<u16>,
    /// TCP port of the same inside TLS.
    pub rtmps_port: Option<u16>,
    /// The only address to bind, for TCP and media; `None`: all, of both families.
    pub bind_ip: Option<IpAddr>,
    /// UDP port of core 0, others follow; 0 chooses free ones.
    pub media_port_from: u16,
    /// Busy peers of each core who may have a connected socket.
    pub connected_max: usize,
    /// Threads that convert sound; at least one.
    pub transcode_threads: usize,
    /// Where recordings go.
    pub records: DeskSettings,
    /// Turns a snapshot into a complete HTTP response, on a thread of its own.
    pub render: RenderFn,
    /// Prints an event, on a thread of its own.
    pub print: fn(&Event),
}

/// What [`start`] bound and chose.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Where every core listens; the unspecified address serves both families.
    pub web: SocketAddr,
    /// The same of the https port, where there is one.
    pub wss: Option<SocketAddr>,
    pub rtmp: Option<SocketAddr>,
    pub rtmps: Option<SocketAddr>,
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
    sys::block_stop_signals();
    let (engine, why) = choose(settings.backend)?;
    let mut warnings = Vec::new();
    let cpus = sys::allowed_cpus();
    let count = match settings.cores {
        0 => cpus.len().max(1),
        cores => cores.min(usize::from(u16::MAX)),
    };
    warn_of_the_host(count, cpus.len(), &mut warnings);
    let Doors {
        web,
        wss,
        rtmp,
        rtmps,
        listeners,
    } = open_doors(settings, count).map_err(StartError::Port)?;
    let media = sockets::media_sockets(
        settings.bind_ip,
        settings.media_port_from,
        count,
        &mut warnings,
    )
    .map_err(StartError::Port)?;
    let has = |family| media.iter().all(|sockets| sockets.fd(family).is_some());
    let (clock, started_unix_us) = (sys::Clock::start(), unix_us());
    let bound = Bound {
        web,
        wss,
        rtmp,
        rtmps,
        media_ports: media.iter().map(|sockets| sockets.port).collect(),
        has_ipv4: has(0),
        has_ipv6: has(1),
        engine,
        why,
        started_unix_us,
        warnings,
    };
    let mut running =
        Running::open(bound, settings).map_err(|error| StartError::Host("starting", error))?;
    let cpus = cpus.iter().copied().cycle();
    let sockets = listeners.into_iter().zip(media);
    let berths = sockets
        .zip(cpus)
        .enumerate()
        .map(|(core, ((listeners, sockets), cpu))| Berth {
            core: CoreId(core as u16),
            cpu,
            listeners,
            sockets,
            connected_max: settings.connected_max,
            clock,
        });
    if let Err(why) = running.launch(berths, make) {
        let _ = running.stop();
        return Err(StartError::Core(why));
    }
    Ok(running)
}

/// The TCP ports of a server.
struct Doors {
    web: SocketAddr,
    wss: Option<SocketAddr>,
    rtmp: Option<SocketAddr>,
    rtmps: Option<SocketAddr>,
    /// Of each core.
    listeners: Vec<Vec<(Door, TcpListener)>>,
}

fn open_doors(settings: &IoSettings, cores: usize) -> Result<Doors, PortError> {
    let open = |key, port| sockets::web_listeners(settings.bind_ip, key, port, cores);
    let (web, plain) = open("ws.port", settings.web_port)?;
    let mut listeners: Vec<Vec<(Door, TcpListener)>> = plain
        .into_iter()
        .map(|listener| vec![(Door::Plain, listener)])
        .collect();
    let mut more = |key, port: Option<u16>, door| {
        let Some(port) = port else {
            return Ok(None);
        };
        let (address, opened) = open(key, port)?;
        for (of_core, listener) in listeners.iter_mut().zip(opened) {
            of_core.push((door, listener));
        }
        Ok(Some(address))
    };
    let wss = more("wss.port", settings.tls_port, Door::Tls)?;
    let rtmp = more("rtmp.port", settings.rtmp_port, Door::Rtmp)?;
    let rtmps = more("rtmps.port", settings.rtmps_port, Door::Rtmps)?;
    Ok(Doors {
        web,
        wss,
        rtmp,
        rtmps,
        listeners,
    })
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
