//! The media ring: one multishot receive per socket fills buffers the kernel
//! picks itself, and all trains of a turn leave in one submission. The ring is
//! private to its thread and separate from the runtime's, which knows neither
//! multishot requests nor provided buffers.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{Ordering, fence};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::batch::{Messages, family};
use super::lines::Lines;
use super::message::{CONTROL_BYTES, NAME_BYTES, open_received};
use super::pool::Pool;
use super::{Fallback, ReceiveReport, Refusal, SendReport, Sockets, segment_size};
use crate::base::limits::{LINES_MAX, LINES_OPENED_PER_TURN_MAX, RECEIVE_BUFFERS};
use crate::core::border::Path;
use crate::core::trains::{Train, Trains};
use crate::io::sockets::share_port;
use crate::io::sys;

/// Trains per submission. A turn rarely has more destinations; then it takes
/// a second submission.
const SEND_BATCH: usize = 1_024;
/// Room for every buffer's completion, a full batch of sends, and the end of
/// every line's receive.
const COMPLETIONS: u32 = 8_192;
const GROUP: u16 = 0;

/// Registered files: the socket of each family, then the lines.
const FIRST_LINE: u32 = 2;

/// User data: sends carry their batch position, receives this plus their
/// registered file.
const RECEIVE: u64 = 1 << 32;
const CANCEL: u64 = 1 << 33;

const _: () = assert!(COMPLETIONS as usize >= RECEIVE_BUFFERS as usize + SEND_BATCH + LINES_MAX);

/// Why a ring could not be made, and at which step.
#[derive(Debug)]
pub struct RingError {
    pub step: &'static str,
    pub error: io::Error,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}

impl From<RingError> for io::Error {
    fn from(ring: RingError) -> Self {
        io::Error::new(ring.error.kind(), ring.to_string())
    }
}

/// A send of the batch.
struct Sent {
    /// In `taken`.
    position: usize,
    result: i32,
    by_line: bool,
}

/// A completed receive whose buffer is still ours.
struct Received {
    buffer: u16,
    len: usize,
}

pub struct Ring {
    ring: IoUring,
    sockets: Sockets,
    eventfd: OwnedFd,
    /// Leaked, not freed, if the kernel will not let go of it.
    pool: ManuallyDrop<Pool>,
    /// What the multishot receives were armed with; read by the kernel as long
    /// as they live.
    template: ManuallyDrop<Box<libc::msghdr>>,
    armed: [bool; 2],
    received: VecDeque<Received>,
    exhausted: u32,
    messages: Messages,
    batch: Vec<Sent>,
    /// Sends submitted whose completion has not been seen.
    in_flight: usize,
    fallback: Fallback,
    lines: Lines,
}

impl Ring {
    /// On the thread that will use it.
    pub fn new(sockets: Sockets) -> Result<Self, RingError> {
        let ring = newest().or_else(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => older(),
            _ => Err(error),
        });
        Self::on(ring, sockets)
    }

    /// On `ring`, freshly made.
    pub fn on(ring: io::Result<IoUring>, sockets: Sockets) -> Result<Self, RingError> {
        let at = |step| move |error| RingError { step, error };
        let ring = ring.map_err(at("creating a ring (io_uring_setup)"))?;
        let eventfd = sys::eventfd().map_err(at("creating an eventfd"))?;
        let submitter = ring.submitter();
        submitter
            .register_eventfd(eventfd.as_raw_fd())
            .map_err(at("registering an eventfd"))?;
        let fds = [0, 1].map(|family| sockets.fd(family).unwrap_or(-1));
        submitter
            .register_files_sparse(FIRST_LINE + LINES_MAX as u32)
            .and_then(|()| submitter.register_files_update(0, &fds))
            .map_err(at("registering the sockets (needs Linux 5.19)"))?;
        let pool = Pool::new().map_err(at("mapping receive buffers"))?;
        // SAFETY: the pool is dropped only by `Ring::drop`, after every
        // receive was seen to end, and leaked otherwise.
        unsafe { pool.register(&submitter, GROUP) }
            .map_err(at("registering a buffer ring (needs Linux 5.19)"))?;
        // SAFETY: `msghdr` is plain data; all zeroes is a valid value.
        let mut template: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        template.msg_namelen = NAME_BYTES as libc::socklen_t;
        template.msg_controllen = CONTROL_BYTES as _;
        let mut ring = Ring {
            ring,
            sockets,
            eventfd,
            pool: ManuallyDrop::new(pool),
            template: ManuallyDrop::new(template),
            armed: [false; 2],
            received: VecDeque::with_capacity(usize::from(RECEIVE_BUFFERS)),
            exhausted: 0,
            messages: Messages::new(SEND_BATCH),
            batch: Vec::with_capacity(SEND_BATCH),
            in_flight: 0,
            fallback: Fallback::default(),
            lines: Lines::default(),
        };
        ring.arm();
        ring.enter(0);
        ring.reap();
        if ring.first_refusal() {
            let error = io::Error::from_raw_os_error(libc::EINVAL);
            return Err(at("arming a multishot receive (needs Linux 6.0)")(error));
        }
        Ok(ring)
    }

    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Lets up to `max` busy peers have connected sockets.
    pub fn connect_busy(&mut self, max: usize) -> io::Result<()> {
        if max > 0 {
            self.sockets.of.iter().flatten().try_for_each(share_port)?;
            self.lines.allow(max, self.sockets.port);
        }
        Ok(())
    }

    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Once a second: judges who is busy, and ends the lines of the silent.
    pub fn sweep(&mut self) {
        let mut silent = Vec::new();
        self.lines.sweep(|slot| silent.push(slot));
        for slot in silent {
            self.cancel(FIRST_LINE + slot);
        }
        self.close_ended();
    }

    /// Ends the receive of a registered file.
    fn cancel(&mut self, file: u32) {
        let entry = opcode::AsyncCancel::new(RECEIVE + u64::from(file))
            .build()
            .user_data(CANCEL);
        self.push(&entry);
    }

    fn open_lines(&mut self) {
        for _ in 0..LINES_OPENED_PER_TURN_MAX {
            let Some((slot, fd)) = self.lines.open_next() else {
                return;
            };
            if self.register(slot, fd).is_err() {
                self.lines.abandon(slot);
            }
        }
    }

    fn close_ended(&mut self) {
        while let Some((slot, socket)) = self.lines.close_next() {
            let _ = self.register(slot, -1);
            drop(socket);
        }
    }

    fn register(&self, slot: u32, fd: RawFd) -> io::Result<usize> {
        let submitter = self.ring.submitter();
        submitter.register_files_update(FIRST_LINE + slot, &[fd])
    }

    /// A duplicate of the eventfd to wait on.
    pub fn eventfd(&self) -> io::Result<OwnedFd> {
        self.eventfd.try_clone()
    }

    pub fn receive(
        &mut self,
        max: usize,
        mut handle: impl FnMut(Path, &mut [u8]),
    ) -> ReceiveReport {
        // The turn looks for itself: no need to be rung meanwhile.
        self.ring.completion().disable_eventfd();
        self.open_lines();
        self.pump(max);
        let mut report = ReceiveReport {
            exhausted: std::mem::take(&mut self.exhausted),
            ..ReceiveReport::default()
        };
        for _ in 0..max {
            let Some(Received { buffer, len }) = self.received.pop_front() else {
                break;
            };
            let bytes = self.pool.bytes(buffer);
            match bytes.and_then(|bytes| open_received(bytes, len)) {
                Some((path, bytes)) => {
                    report.received += 1;
                    self.lines.on_receive(&path);
                    handle(path, bytes);
                }
                None => report.unusable += 1,
            }
            self.pool.give(buffer);
        }
        self.pool.publish();
        self.close_ended();
        // Only now: armed with an empty pool it would end at once.
        self.arm();
        report
    }

    pub fn send(&mut self, trains: &Trains, taken: &[Train]) -> SendReport {
        let mut report = SendReport::default();
        for (position, train) in taken.iter().enumerate() {
            let family = family(train.path.remote);
            let same_family = train.path.local.is_ipv6() == train.path.remote.is_ipv6();
            let Some(fd) = self.sockets.fd(family).filter(|_| same_family) else {
                report.failed += train.segments as u32;
                continue;
            };
            if !self.fallback.takes(train) {
                self.fallback.send_plain(fd, trains, train, &mut report);
                continue;
            }
            let line = self.lines.on_send(train.path);
            let Some(entry) = self.send_entry(trains, train, line) else {
                report.failed += train.segments as u32;
                continue;
            };
            self.batch.push(Sent {
                position,
                result: 0,
                by_line: line.is_some(),
            });
            self.in_flight += 1;
            self.push(&entry);
            if self.batch.len() == SEND_BATCH {
                self.finish_batch(trains, taken, &mut report);
            }
        }
        self.finish_batch(trains, taken, &mut report);
        report
    }

    /// What sends `train` as the batch's next message. MSG_DONTWAIT: a full queue
    /// is a completion with EAGAIN, never a request parked in the kernel with our
    /// buffer.
    fn send_entry(
        &mut self,
        trains: &Trains,
        train: &Train,
        line: Option<u32>,
    ) -> Option<squeue::Entry> {
        let at = self.batch.len();
        let bytes = trains.bytes(train);
        let split = segment_size(train);
        let file = match line {
            Some(slot) => types::Fixed(FIRST_LINE + slot),
            None => types::Fixed(family(train.path.remote) as u32),
        };
        match (line, split) {
            // One datagram on a line needs no header.
            (Some(_), None) => {
                let len = u32::try_from(bytes.len()).ok()?;
                let send = opcode::Send::new(file, bytes.as_ptr(), len).flags(libc::MSG_DONTWAIT);
                return Some(send.build().user_data(at as u64));
            }
            (Some(_), Some(split)) => self.messages.fill_train(at, split, bytes)?,
            (None, split) => self.messages.fill_send(at, train.path, split, bytes)?,
        }
        let send = opcode::SendMsg::new(file, self.messages.header(at)?);
        let send = send.flags(libc::MSG_DONTWAIT as u32);
        Some(send.build().user_data(at as u64))
    }

    /// Submits the batch and sees every completion of it before returning, so
    /// that no train outlives its slot. Sends that may not wait complete while
    /// being submitted: this loop does not block.
    fn finish_batch(&mut self, trains: &Trains, taken: &[Train], report: &mut SendReport) {
        if self.batch.is_empty() {
            return;
        }
        self.enter(0);
        self.reap();
        while self.in_flight > 0 {
            self.enter(1);
            self.reap();
        }
        for sent in self.batch.drain(..) {
            let Some(train) = taken.get(sent.position) else {
                continue;
            };
            if sent.result >= 0 {
                report.trains += 1;
                report.datagrams += train.segments as u32;
                continue;
            }
            let Some(fd) = self.sockets.fd(family(train.path.remote)) else {
                continue;
            };
            let errno = -sent.result;
            // A line also tells what somebody answered to an earlier datagram,
            // as that nobody listens, which anybody may claim.
            match sent.by_line && Refusal::of(errno, train.segments) == Refusal::Failed {
                true => self.fallback.send_plain(fd, trains, train, report),
                false => self.fallback.refused(fd, errno, trains, train, report),
            }
        }
    }

    /// Whether there is something to receive already. If not, the eventfd is
    /// enabled, and rings for whatever comes from now on.
    pub fn waits_for_nothing(&mut self) -> bool {
        if !self.ring.submission().is_empty() {
            self.enter(0);
        }
        self.ring.completion().enable_eventfd();
        // The kernel sets its flag, then looks whether to ring; we allow the
        // ringing, then look at the flag: one of us sees the other.
        fence(Ordering::SeqCst);
        !self.received.is_empty() || self.has_completions()
    }

    fn has_completions(&mut self) -> bool {
        if !self.ring.completion().is_empty() {
            return true;
        }
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Gathers completions until `want` datagrams are there or none is left.
    fn pump(&mut self, want: usize) {
        if !self.ring.submission().is_empty() {
            self.enter(0);
        }
        self.reap();
        while self.received.len() < want && self.has_completions() {
            // Runs the work the kernel deferred to us, a bounded piece a time.
            self.enter(0);
            self.reap();
        }
    }

    fn reap(&mut self) {
        for entry in self.ring.completion() {
            let result = entry.result();
            match entry.user_data() {
                CANCEL => {}
                data if data >= RECEIVE => {
                    let flags = entry.flags();
                    let file = (data - RECEIVE) as u32;
                    if !cqueue::more(flags) {
                        match (self.armed.get_mut(file as usize), file) {
                            (Some(armed), _) => *armed = false,
                            (None, file) => self.lines.receive_ended(file - FIRST_LINE),
                        }
                    }
                    if let Some(buffer) = cqueue::buffer_select(flags) {
                        self.received.push_back(Received {
                            buffer,
                            len: usize::try_from(result).unwrap_or(0),
                        });
                    } else if result == -libc::ENOBUFS {
                        self.exhausted += 1;
                    }
                }
                at => {
                    self.in_flight -= 1;
                    if let Some(sent) = self.batch.get_mut(at as usize) {
                        sent.result = result;
                    }
                }
            }
        }
    }

    /// Arms the receives that are not, to be submitted with what comes next.
    fn arm(&mut self) {
        for family in [0_usize, 1] {
            if self.sockets.fd(family).is_none() || self.armed.get(family) != Some(&false) {
                continue;
            }
            if let Some(armed) = self.armed.get_mut(family) {
                *armed = true;
            }
            self.arm_file(family as u32);
        }
        while let Some(slot) = self.lines.arm_next() {
            self.arm_file(FIRST_LINE + slot);
        }
    }

    fn arm_file(&mut self, file: u32) {
        let template = std::ptr::from_ref(&**self.template);
        let entry = opcode::RecvMsgMulti::new(types::Fixed(file), template, GROUP)
            .build()
            .user_data(RECEIVE + u64::from(file));
        self.push(&entry);
    }

    /// Whether a receive ended although it was armed a moment ago with a full
    /// pool: the kernel does not know multishot.
    fn first_refusal(&self) -> bool {
        [0, 1].into_iter().any(|family| {
            self.sockets.fd(family).is_some() && self.armed.get(family) != Some(&true)
        }) && self.received.is_empty()
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: a receive points at `template` and selects from `pool`,
            // both kept until `drop` has seen it end. A send points at
            // `messages`, boxed in `self`, and at a train's bytes, which
            // `finish_batch` keeps borrowed until it has seen the completion.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.enter(0);
        }
    }

    /// Submits what is queued, runs deferred work, and waits for `want`
    /// completions.
    fn enter(&mut self, want: usize) {
        loop {
            match self.ring.submit_and_wait(want) {
                Ok(_) => return,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The kernel is short of memory, or the completion queue
                    // is full: both pass once completions are reaped.
                    Some(libc::EAGAIN | libc::EBUSY) => self.reap(),
                    // A bug. The kernel may hold buffers that unwinding would
                    // free, so there is no safe way on.
                    _ => {
                        eprintln!("the media ring failed: {error}");
                        std::process::abort();
                    }
                },
            }
        }
    }
}

impl Drop for Ring {
    /// Ends the receives and frees what they used. Closing the ring alone
    /// would end them some time later, with the memory already gone.
    fn drop(&mut self) {
        let families = (0..).zip(self.armed).filter(|(_, armed)| *armed);
        let families = families.map(|(file, _)| file);
        let lines = self.lines.armed().map(|slot| FIRST_LINE + slot);
        let files: Vec<u32> = families.chain(lines).collect();
        for file in files {
            self.cancel(file);
        }
        for _ in 0..1_000 {
            if self.armed == [false; 2] && self.lines.armed().next().is_none() {
                // SAFETY: no receive is armed any more and no send is in
                // flight between calls, so the kernel uses neither; both are
                // dropped nowhere else.
                unsafe {
                    ManuallyDrop::drop(&mut self.pool);
                    ManuallyDrop::drop(&mut self.template);
                }
                return;
            }
            self.enter(0);
            self.reap();
        }
    }
}

/// A ring whose completions are gathered only when asked for (Linux 6.1).
fn newest() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_cqsize(COMPLETIONS)
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag();
    builder.build(SEND_BATCH as u32)
}

/// The nearest that Linux 6.0 has.
pub fn older() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_cqsize(COMPLETIONS)
        .setup_coop_taskrun()
        .setup_taskrun_flag();
    builder.build(SEND_BATCH as u32)
}
