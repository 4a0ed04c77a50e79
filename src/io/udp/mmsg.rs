//! The engine of hosts without io_uring: `recvmmsg` and `sendmmsg`, one system
//! call per batch. It is also the honest comparison for the ring.

use std::io;

use super::batch::{Messages, family};
use super::message::{read_local, read_name};
use super::{Fallback, ReceiveReport, SendReport, Sockets, segment_size};
use crate::base::limits::{DATAGRAM_MAX_BYTES, RECEIVE_BUFFER_BYTES};
use crate::core::border::Path;
use crate::core::trains::{Train, Trains};

/// Messages per system call; batching beyond 64 was measured to gain nothing.
const BATCH: usize = 64;

pub struct Mmsg {
    sockets: Sockets,
    incoming: Messages,
    buffers: Box<[u8]>,
    outgoing: Messages,
    /// Position in `taken` of each filled outgoing message.
    origin: Vec<usize>,
    fallback: Fallback,
    /// The family read first next time, so that neither starves the other.
    first: usize,
    /// The last receive stopped at its maximum, not at an empty queue.
    more: bool,
}

impl Mmsg {
    pub fn new(sockets: Sockets) -> Self {
        Mmsg {
            sockets,
            incoming: Messages::new(BATCH),
            buffers: vec![0; BATCH * RECEIVE_BUFFER_BYTES].into(),
            outgoing: Messages::new(BATCH),
            origin: Vec::with_capacity(BATCH),
            fallback: Fallback::default(),
            first: 0,
            more: false,
        }
    }

    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    pub fn has_more(&self) -> bool {
        self.more
    }

    pub fn receive(
        &mut self,
        max: usize,
        mut handle: impl FnMut(Path, &mut [u8]),
    ) -> ReceiveReport {
        let mut report = ReceiveReport::default();
        let mut left = max;
        self.more = false;
        for family in [self.first, 1 - self.first] {
            left = self.receive_from(family, left, &mut handle, &mut report);
        }
        self.first = 1 - self.first;
        self.more = left == 0;
        report
    }

    /// Drains one socket; returns how many more the turn may take.
    fn receive_from(
        &mut self,
        family: usize,
        mut left: usize,
        handle: &mut impl FnMut(Path, &mut [u8]),
        report: &mut ReceiveReport,
    ) -> usize {
        let Some(fd) = self.sockets.fd(family) else {
            return left;
        };
        while left > 0 {
            let want = left.min(BATCH);
            let buffers = self.buffers.chunks_exact_mut(RECEIVE_BUFFER_BYTES);
            for (at, buffer) in buffers.take(want).enumerate() {
                let _ = self.incoming.fill_receive(at, buffer);
            }
            // SAFETY: messages 0..want were just filled with chunks of
            // `self.buffers`, which nothing touches during the call.
            let came = match unsafe { self.incoming.receive(fd, want) } {
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return left,
            };
            let buffers = self.buffers.chunks_exact_mut(RECEIVE_BUFFER_BYTES);
            for (at, buffer) in buffers.take(came).enumerate() {
                match open(&self.incoming, at, buffer) {
                    Some((path, bytes)) => {
                        report.received += 1;
                        handle(path, bytes);
                    }
                    None => report.unusable += 1,
                }
            }
            left -= came.min(left);
            if came < want {
                break;
            }
        }
        left
    }

    pub fn send(&mut self, trains: &Trains, taken: &[Train]) -> SendReport {
        let mut report = SendReport::default();
        for one_family in [0, 1] {
            self.send_family(one_family, trains, taken, &mut report);
        }
        report
    }

    fn send_family(
        &mut self,
        one_family: usize,
        trains: &Trains,
        taken: &[Train],
        report: &mut SendReport,
    ) {
        let fd = self.sockets.fd(one_family);
        let ours = taken
            .iter()
            .enumerate()
            .filter(|(_, train)| family(train.path.remote) == one_family);
        for (position, train) in ours {
            let same_family = train.path.local.is_ipv6() == train.path.remote.is_ipv6();
            let Some(fd) = fd.filter(|_| same_family) else {
                report.failed += train.segments as u32;
                continue;
            };
            if !self.fallback.takes(train) {
                self.flush(fd, trains, taken, report);
                self.fallback.send_plain(fd, trains, train, report);
                continue;
            }
            let bytes = trains.bytes(train);
            let at = self.origin.len();
            let _ = self
                .outgoing
                .fill_send(at, train.path, segment_size(train), bytes);
            self.origin.push(position);
            if self.origin.len() == self.outgoing.capacity() {
                self.flush(fd, trains, taken, report);
            }
        }
        if let Some(fd) = fd {
            self.flush(fd, trains, taken, report);
        }
    }

    /// Sends what is filled. `sendmmsg` stops at the first refusal, which is
    /// accounted for before the rest is tried.
    fn flush(&mut self, fd: i32, trains: &Trains, taken: &[Train], report: &mut SendReport) {
        let count = self.origin.len();
        let mut from = 0;
        while from < count {
            // SAFETY: messages 0..count were filled from `trains`, which is
            // borrowed until they are sent.
            let result = unsafe { self.outgoing.send(fd, from, count) };
            let sent = match &result {
                Ok(sent) => *sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            for position in self.origin.iter().skip(from).take(sent) {
                if let Some(train) = taken.get(*position) {
                    report.trains += 1;
                    report.datagrams += train.segments as u32;
                }
            }
            from += sent;
            if let Err(error) = result {
                let refused = self.origin.get(from).and_then(|at| taken.get(*at));
                if let Some(train) = refused {
                    let errno = error.raw_os_error().unwrap_or_default();
                    self.fallback.refused(fd, errno, trains, train, report);
                }
                from += 1;
            } else if sent == 0 {
                break;
            }
        }
        self.origin.clear();
    }
}

/// The datagram received as message `at` into `buffer`, if it is usable.
fn open<'a>(incoming: &Messages, at: usize, buffer: &'a mut [u8]) -> Option<(Path, &'a mut [u8])> {
    let (len, flags, name, control) = incoming.received(at)?;
    if flags & libc::MSG_TRUNC != 0 || len > DATAGRAM_MAX_BYTES {
        return None;
    }
    let path = Path {
        local: read_local(control)?,
        remote: read_name(name)?,
    };
    Some((path, buffer.get_mut(..len)?))
}
