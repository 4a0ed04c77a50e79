//! Media over UDP: one IPv4 and one IPv6 socket on a core's port, beside which
//! the ring has connected ones for busy peers ([`lines`]), run by one of two
//! engines behind one small interface. Every datagram says which local
//! address it came to, and every send names the address it leaves from.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use tokio::io::unix::AsyncFd;

use crate::core::border::Path;
use crate::core::trains::{Train, Trains};
use crate::io::sys;

pub mod batch;
pub mod lines;
pub mod message;
pub mod mmsg;
pub mod pool;
pub mod uring;

/// A core's media sockets, both on `port`. Blocking by mode, because the ring
/// gives up at once on a non-blocking file; nothing here ever waits on them.
pub struct Sockets {
    pub port: u16,
    /// IPv4 first, IPv6 second; at least one exists.
    pub of: [Option<UdpSocket>; 2],
}

impl Sockets {
    /// Other descriptors of the same sockets.
    pub fn try_clone(&self) -> io::Result<Self> {
        let [four, six] = &self.of;
        let clone =
            |socket: &Option<UdpSocket>| socket.as_ref().map(UdpSocket::try_clone).transpose();
        Ok(Sockets {
            port: self.port,
            of: [clone(four)?, clone(six)?],
        })
    }

    pub fn fd(&self, family: usize) -> Option<RawFd> {
        self.of.get(family)?.as_ref().map(UdpSocket::as_raw_fd)
    }
}

/// What one [`Udp::receive`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveReport {
    /// Datagrams handled.
    pub received: u32,
    /// Times the ring had no buffer left for the next datagram, which then
    /// stayed in the socket's queue.
    pub exhausted: u32,
    /// Datagrams dropped: longer than `DATAGRAM_MAX_BYTES`, or without
    /// usable addresses.
    pub unusable: u32,
}

/// What one [`Udp::send`] did, in datagrams except for `trains`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    pub trains: u32,
    pub datagrams: u32,
    /// Dropped: a queue was full.
    pub full: u32,
    /// Dropped for any other error.
    pub failed: u32,
}

impl SendReport {
    pub fn add(&mut self, other: SendReport) {
        self.trains += other.trains;
        self.datagrams += other.datagrams;
        self.full += other.full;
        self.failed += other.failed;
    }
}

/// The media sockets of one core and the engine that runs them.
pub enum Udp {
    Uring {
        ring: Box<uring::Ring>,
        /// The ring's eventfd: the kernel rings it, the runtime waits on it.
        ready: AsyncFd<OwnedFd>,
    },
    Mmsg {
        plain: Box<mmsg::Mmsg>,
        /// Duplicates of the sockets, only to wait on.
        ready: Vec<AsyncFd<OwnedFd>>,
    },
}

impl Udp {
    /// On io_uring; on the thread that will use it, inside its runtime.
    pub fn on_uring(sockets: Sockets) -> io::Result<Self> {
        Self::with_ring(uring::Ring::new(sockets)?)
    }

    fn with_ring(ring: uring::Ring) -> io::Result<Self> {
        let ready = sys::watch(ring.eventfd()?)?;
        Ok(Udp::Uring {
            ring: Box::new(ring),
            ready,
        })
    }

    /// On `recvmmsg` and `sendmmsg`; inside a tokio runtime.
    pub fn on_mmsg(sockets: Sockets) -> io::Result<Self> {
        let ready = sockets
            .of
            .iter()
            .flatten()
            .map(|socket| sys::watch(OwnedFd::from(socket.try_clone()?)))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Udp::Mmsg {
            plain: Box::new(mmsg::Mmsg::new(sockets)),
            ready,
        })
    }

    pub fn sockets(&self) -> &Sockets {
        match self {
            Udp::Uring { ring, .. } => ring.sockets(),
            Udp::Mmsg { plain, .. } => plain.sockets(),
        }
    }

    /// Lets up to `max` peers who get or send much have connected sockets, which
    /// are cheaper to send on; the ring alone can.
    pub fn connect_busy(&mut self, max: usize) -> io::Result<()> {
        match self {
            Udp::Uring { ring, .. } => ring.connect_busy(max),
            Udp::Mmsg { .. } => Ok(()),
        }
    }

    /// Connected sockets there are.
    pub fn connected(&self) -> usize {
        match self {
            Udp::Uring { ring, .. } => ring.lines().count(),
            Udp::Mmsg { .. } => 0,
        }
    }

    /// To be called once a second: who has become busy is given a connected
    /// socket in the next turns, who has been silent for long loses it.
    pub fn sweep(&mut self) {
        if let Udp::Uring { ring, .. } = self {
            ring.sweep();
        }
    }

    /// Datagrams the kernel dropped for want of room in the sockets' queues,
    /// ever; wraps around.
    pub fn kernel_drops(&self) -> u32 {
        let sockets = self.sockets();
        let drops = [0, 1].map(|family| sockets.fd(family).map_or(0, sys::socket_drops));
        let lines = match self {
            Udp::Uring { ring, .. } => ring.lines().drops(),
            Udp::Mmsg { .. } => 0,
        };
        drops.into_iter().fold(lines, u32::wrapping_add)
    }

    /// Hands up to `max` waiting datagrams to `handle`, never waiting.
    pub fn receive(&mut self, max: usize, handle: impl FnMut(Path, &mut [u8])) -> ReceiveReport {
        match self {
            Udp::Uring { ring, .. } => ring.receive(max, handle),
            Udp::Mmsg { plain, .. } => plain.receive(max, handle),
        }
    }

    /// Sends every open train and gives all their slots back. `taken` is a
    /// scratch list, empty before and after.
    pub fn send(&mut self, trains: &mut Trains, taken: &mut Vec<Train>) -> SendReport {
        trains.take(taken);
        let report = match self {
            Udp::Uring { ring, .. } => ring.send(trains, taken),
            Udp::Mmsg { plain, .. } => plain.send(trains, taken),
        };
        for train in taken.drain(..) {
            trains.release(train);
        }
        report
    }

    /// Ready when [`Udp::receive`] may find something. Readiness is cleared
    /// before the caller drains, so what arrives meanwhile wakes again.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Udp::Uring { ring, ready } => {
                let rung = poll_and_clear(ready, cx);
                if ring.waits_for_nothing() {
                    return Poll::Ready(());
                }
                rung
            }
            Udp::Mmsg { plain, ready } => {
                let mut rung = Poll::Pending;
                for socket in ready {
                    if poll_and_clear(socket, cx).is_ready() {
                        rung = Poll::Ready(());
                    }
                }
                if plain.has_more() {
                    return Poll::Ready(());
                }
                rung
            }
        }
    }

    /// [`Udp::poll_readable`] as a future.
    pub async fn readable(&mut self) {
        std::future::poll_fn(|cx| self.poll_readable(cx)).await;
    }
}

/// Polls `fd` for reading and forgets the readiness it reports: every source
/// here signals anew for anything that happens later.
pub fn poll_and_clear(fd: &AsyncFd<OwnedFd>, cx: &mut Context<'_>) -> Poll<()> {
    match fd.poll_read_ready(cx) {
        Poll::Ready(Ok(mut guard)) => {
            guard.clear_ready();
            Poll::Ready(())
        }
        // The runtime is going away; there is nothing left to wait for.
        Poll::Ready(Err(_)) => Poll::Ready(()),
        Poll::Pending => Poll::Pending,
    }
}

/// What to do about a train the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A queue is full: drop it, the stream repairs itself.
    Full,
    /// This train cannot be split on its way, by a route with a small MTU or a
    /// transform: send it plain.
    ThisTrain,
    /// The device cannot split at all: send everything on this socket plain.
    Socket,
    Failed,
}

impl Refusal {
    /// Judges `errno` of a train of `segments` datagrams. Only EIO condemns the
    /// socket: an EINVAL can be had from afar, by one destination's path MTU.
    pub fn of(errno: i32, segments: usize) -> Self {
        match errno {
            _ if batch::is_full(errno) => Refusal::Full,
            libc::EIO if segments > 1 => Refusal::Socket,
            libc::EINVAL | libc::EMSGSIZE if segments > 1 => Refusal::ThisTrain,
            _ => Refusal::Failed,
        }
    }
}

/// Which sockets still take trains, and the plain way for what they refuse.
pub struct Fallback {
    trains_work: [bool; 2],
    plain: batch::Plain,
}

impl Default for Fallback {
    fn default() -> Self {
        Fallback {
            trains_work: [true; 2],
            plain: batch::Plain::default(),
        }
    }
}

impl Fallback {
    /// Whether `train` may go as one message.
    pub fn takes(&self, train: &Train) -> bool {
        train.segments == 1
            || self
                .trains_work
                .get(batch::family(train.path.remote))
                .is_some_and(|works| *works)
    }

    /// Sends `train` plain on `fd`.
    pub fn send_plain(
        &mut self,
        fd: RawFd,
        trains: &Trains,
        train: &Train,
        report: &mut SendReport,
    ) {
        report.trains += 1;
        let bytes = trains.bytes(train);
        self.plain
            .send(fd, train.path, train.segment_bytes, bytes, report);
    }

    /// Accounts for a refused train, sending it plain where that helps.
    pub fn refused(
        &mut self,
        fd: RawFd,
        errno: i32,
        trains: &Trains,
        train: &Train,
        report: &mut SendReport,
    ) {
        let datagrams = train.segments as u32;
        match Refusal::of(errno, train.segments) {
            Refusal::Full => report.full += datagrams,
            Refusal::Failed => report.failed += datagrams,
            Refusal::ThisTrain => self.send_plain(fd, trains, train, report),
            Refusal::Socket => {
                if let Some(works) = self.trains_work.get_mut(batch::family(train.path.remote)) {
                    *works = false;
                }
                self.send_plain(fd, trains, train, report);
            }
        }
    }
}

/// The size to split `train` at, if it is more than one datagram.
fn segment_size(train: &Train) -> Option<u16> {
    (train.segments > 1)
        .then(|| u16::try_from(train.segment_bytes).ok())
        .flatten()
}

#[cfg(test)]
mod full_tests;
#[cfg(test)]
mod lines_tests;
#[cfg(test)]
mod tests;
