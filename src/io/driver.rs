//! One core's turn: wait, read the clock once, handle a bounded number of
//! inputs, fire what is due, flush everything the machine wants done. All
//! inputs of a turn share one flush, which is what lets trains form.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::unix::AsyncFd;
use tokio::task::unconstrained;

use super::Engine;
use super::office::Office;
use super::post::{Parcel, Post};
use super::records::files::Files;
use super::stream::Listener;
use super::sys::{self, Clock};
use super::tcp::{CLOSE_GRACE, Hub, TcpEvent};
use super::transcode::Worker;
use super::udp::{Udp, poll_and_clear};
use crate::base::limits::{TURN_CONNECTION_INPUTS_MAX, TURN_DATAGRAMS_MAX, TURN_MAIL_MAX};
use crate::base::time::{Span, Time};
use crate::core::border::{CoreId, Door, Input, Machine, Outbox, TurnReport};
use crate::core::mail::Mail;
use crate::core::trains::Train;

/// How often the kernel is asked what it dropped, and peers are judged.
const LOOK_INTERVAL: Span = Span::from_secs(1);

/// How often the machine hears the time of day, while there are turns.
const WALL_CLOCK_INTERVAL: Span = Span::from_secs(1);
/// How soon mail or renders that found a full queue are tried again.
const RETRY: Span = Span::from_ms(1);
/// Turns that follow each other without a pause share one look at the runtime,
/// which costs two system calls; connections wait for it this long.
const BREATH: Span = Span::from_us(200);
/// From the order to stop until every connection is cut.
const STOP_GRACE: Span = Span::from_ms(CLOSE_GRACE.as_millis() as u64);
/// After that, for the cut operations to complete.
const CUT_GRACE: Span = Span::from_ms(500);
/// The same for recordings to be made whole; what is not is repaired at the
/// next start.
const WRITE_GRACE: Span = Span::from_secs(10);
/// Everything of a driver except its machine.
pub struct Seat {
    pub core: CoreId,
    pub engine: Engine,
    pub udp: Udp,
    pub listeners: Vec<(Door, Rc<Listener>)>,
    pub post: Arc<Post<Mail>>,
    pub office: Office,
    pub worker: Worker,
    pub files: Files,
    pub clock: Clock,
    /// Datagrams dropped because they were too long to be ours, or had no
    /// usable addresses.
    pub unusable: Arc<AtomicU64>,
}

pub struct Driver<M> {
    // Dropped in this order: the ring before the trains it may read.
    seat: Seat,
    hub: Rc<Hub>,
    machine: M,
    outbox: Outbox,
    taken: Vec<Train>,
    /// Mail taken from the lanes, by sending core.
    mail: Vec<VecDeque<Mail>>,
    bell: AsyncFd<OwnedFd>,
    timer: AsyncFd<OwnedFd>,
    /// When the timer fires.
    armed: Option<Time>,
    /// The end of the last turn.
    last: Time,
    /// The last time the thread's other tasks had a go.
    breathed: Time,
    /// When the kernel's drop counters were last read, and what they said.
    drops_seen: (Time, u32),
    /// When the machine was last told the time of day.
    wall_clock_told: Time,
    /// When connections are cut; set by the order to stop.
    stop_at: Option<Time>,
    /// The machine is never called again.
    panicked: bool,
}

impl<M: Machine> Driver<M> {
    /// Inside the runtime of the core's thread.
    pub fn new(seat: Seat, cores: usize, machine: M) -> io::Result<Self> {
        let bell = sys::watch(seat.post.bell(seat.core)?)?;
        let timer = sys::watch(sys::timerfd()?)?;
        Ok(Driver {
            hub: Hub::new(seat.core, seat.listeners.len()),
            machine,
            outbox: Outbox::new(),
            taken: Vec::new(),
            mail: (0..cores).map(|_| VecDeque::new()).collect(),
            bell,
            timer,
            armed: None,
            last: seat.clock.now(),
            breathed: Time::ZERO,
            drops_seen: (Time::ZERO, 0),
            wall_clock_told: Time::ZERO,
            stop_at: None,
            panicked: false,
            seat,
        })
    }

    /// Runs turns until the order to stop. `true` if no operation of this
    /// thread is left in the kernel; if not, the runtime must not be dropped.
    pub async fn run(mut self) -> bool {
        for (door, listener) in &self.seat.listeners {
            let accepting = Rc::clone(&self.hub).accept_all(Rc::clone(listener), *door);
            tokio::task::spawn_local(accepting);
        }
        let mut panic = None;
        while !self.is_over() {
            self.wait().await;
            if panic.is_none() {
                // A panicking machine is never called again, but its core's
                // operations are brought to an end before unwinding frees
                // what the kernel may write to.
                panic = catch_unwind(AssertUnwindSafe(|| self.turn())).err();
            }
            if panic.is_some() {
                self.panicked = true;
                self.abandon();
            }
        }
        let idle = self.hub.is_idle() && self.seat.files.is_idle();
        match panic {
            Some(panic) => resume_unwind(panic),
            None => idle,
        }
    }

    fn turn(&mut self) {
        let now = self.seat.clock.now();
        let mut report = TurnReport::default();
        self.tell_wall_clock(now);
        self.handle_datagrams(now, &mut report);
        self.handle_connections(now);
        self.handle_mail(now);
        if self.machine.next_deadline().is_some_and(|due| due <= now) {
            self.machine.advance(now, &mut self.outbox);
        }
        let stopping = self.stop_at.is_none() && self.seat.post.is_stopping();
        if stopping {
            self.machine.shut_down(now, &mut self.outbox);
        }
        self.flush(now, &mut report);
        if stopping {
            self.stop_at = Some(now + STOP_GRACE);
            self.hub.stop(&self.seat.listeners);
        }
        self.look_around(now, &mut report);
        self.last = self.seat.clock.now();
        report.turn = self.last.since(now);
        self.machine.end_turn(&report);
        if self.stop_at.is_some_and(|at| at <= self.last) {
            self.hub.cut_all();
        }
    }

    fn tell_wall_clock(&mut self, now: Time) {
        if now.since(self.wall_clock_told) >= WALL_CLOCK_INTERVAL {
            self.wall_clock_told = now;
            let unix_us = super::unix_us();
            let input = Input::WallClock { unix_us };
            self.machine.handle(now, input, &mut self.outbox);
        }
    }

    fn handle_datagrams(&mut self, now: Time, report: &mut TurnReport) {
        let Driver {
            seat,
            machine,
            outbox,
            ..
        } = self;
        let received = seat.udp.receive(TURN_DATAGRAMS_MAX, |path, bytes| {
            machine.handle(now, Input::Datagram { path, bytes }, outbox);
        });
        report.received = received.received;
        report.receive_exhausted = received.exhausted;
        report.unusable = received.unusable;
        if received.unusable > 0 {
            let unusable = u64::from(received.unusable);
            seat.unusable.fetch_add(unusable, Relaxed);
        }
    }

    fn handle_connections(&mut self, now: Time) {
        for _ in 0..TURN_CONNECTION_INPUTS_MAX {
            match self.hub.take() {
                None => break,
                Some(TcpEvent::Accepted(connection)) => {
                    let input = Input::Accepted {
                        connection: connection.id,
                        peer: connection.peer,
                        door: connection.door,
                    };
                    self.machine.handle(now, input, &mut self.outbox);
                }
                Some(TcpEvent::Bytes(connection)) => {
                    let chunk = connection.chunk();
                    if connection.is_open() {
                        let input = Input::Bytes {
                            connection: connection.id,
                            bytes: &chunk.bytes,
                        };
                        self.machine.handle(now, input, &mut self.outbox);
                    }
                }
                Some(TcpEvent::Drained(connection)) => {
                    let connection = connection.id;
                    let input = Input::Drained { connection };
                    self.machine.handle(now, input, &mut self.outbox);
                }
                Some(TcpEvent::Closed(connection, cause)) => {
                    let input = Input::Closed {
                        connection: connection.id,
                        cause,
                    };
                    self.machine.handle(now, input, &mut self.outbox);
                }
            }
        }
    }

    fn handle_mail(&mut self, now: Time) {
        self.seat.post.collect(self.seat.core, &mut self.mail);
        // Only now: whatever comes after that look at the boxes wakes us again.
        while let Some(parcel) = self.seat.post.take_parcel(self.seat.core) {
            let input = match parcel {
                Parcel::Rendered {
                    connection,
                    response,
                } => Input::Rendered {
                    connection,
                    response,
                },
                Parcel::Certificate(identity) => Input::Certificate(identity),
                Parcel::File(outcome) => {
                    let (id, done) = self.seat.files.on_outcome(outcome);
                    Input::File { id, done }
                }
                Parcel::Transcoded(results) => {
                    for result in results {
                        let input = Input::Transcoded(result);
                        self.machine.handle(now, input, &mut self.outbox);
                    }
                    continue;
                }
            };
            self.machine.handle(now, input, &mut self.outbox);
        }
        while let Some((id, done)) = self.seat.files.take() {
            let input = Input::File { id, done };
            self.machine.handle(now, input, &mut self.outbox);
        }
        let mut left = TURN_MAIL_MAX;
        // A share for each sender, so that one flood leaves room for others.
        let share = (TURN_MAIL_MAX / self.mail.len().max(1)).max(1);
        for (from, queue) in self.mail.iter_mut().enumerate() {
            let from = CoreId(from as u16);
            for _ in 0..share.min(left) {
                let Some(mail) = queue.pop_front() else {
                    break;
                };
                left -= 1;
                let input = Input::Mail { from, mail };
                self.machine.handle(now, input, &mut self.outbox);
            }
        }
    }

    /// Once a second: what the kernel dropped since the last time, and who has
    /// become busy; each costs system calls.
    fn look_around(&mut self, now: Time, report: &mut TurnReport) {
        let (seen, before) = self.drops_seen;
        if now.since(seen) >= LOOK_INTERVAL {
            let total = self.seat.udp.kernel_drops();
            self.drops_seen = (now, total);
            report.kernel_dropped = total.wrapping_sub(before);
            self.seat.udp.sweep();
        }
        report.connected_sockets = self.seat.udp.connected() as u32;
    }

    /// Does what the machine wants done: media first, it cannot wait.
    fn flush(&mut self, now: Time, report: &mut TurnReport) {
        let mut more = true;
        while more {
            more = self.machine.proceed(now, &mut self.outbox);
            // Other cores begin with what they are relayed while this one sends.
            report.relays_dropped += self.outbox.close_relays();
            let Driver { seat, outbox, .. } = self;
            seat.post.deliver(seat.core, &mut outbox.mail);
            self.send_trains(report);
        }
        let Driver {
            seat, hub, outbox, ..
        } = self;
        for (connection, bytes) in outbox.writes.drain(..) {
            hub.write(connection, bytes);
        }
        for connection in outbox.drains.drain(..) {
            hub.drain(connection);
        }
        for connection in outbox.closes.drain(..) {
            hub.close(connection);
        }
        for job in outbox.transcodes.drain(..) {
            report.transcodes_dropped += u32::from(seat.worker.submit(seat.core, job));
        }
        for (id, order) in outbox.files.drain(..) {
            seat.files.submit(id, order);
        }
        seat.post.deliver(seat.core, &mut outbox.mail);
        seat.office.render(seat.core, &mut outbox.renders);
        seat.office.print(&mut outbox.events);
    }

    fn send_trains(&mut self, report: &mut TurnReport) {
        let trains = &mut self.outbox.trains;
        if !trains.is_empty() {
            let sent = self.seat.udp.send(trains, &mut self.taken);
            report.trains += sent.trains;
            report.datagrams_sent += sent.datagrams;
            report.send_full += sent.full;
            report.send_failed += sent.failed;
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) {
        let due = self.set_timer();
        let slept = Cell::new(false);
        // Unconstrained: the runtime would now and then claim that nothing is
        // ready to make us yield, which `breathe` does better.
        let inputs = poll_fn(|cx| {
            if self.poll_inputs(cx) || due {
                return Poll::Ready(());
            }
            slept.set(true);
            Poll::Pending
        });
        unconstrained(inputs).await;
        self.seat.post.awake(self.seat.core);
        if slept.get() {
            self.breathed = self.last;
        } else if self.last.since(self.breathed) >= BREATH {
            self.breathe().await;
            self.breathed = self.last;
        }
    }

    /// Whether any input is ready; every source not ready will wake the task.
    fn poll_inputs(&mut self, cx: &mut Context<'_>) -> bool {
        let mut ready = self.hub.has_events(cx.waker());
        ready |= self.seat.files.has_outcomes(cx.waker());
        ready |= self.seat.udp.poll_readable(cx).is_ready();
        ready |= poll_and_clear(&self.bell, cx).is_ready();
        ready |= poll_and_clear(&self.timer, cx).is_ready();
        ready |= self.mail.iter().any(|queue| !queue.is_empty());
        ready |= self.is_over();
        ready || !self.seat.post.may_sleep(self.seat.core)
    }

    /// Arms the timer for the next deadline; `true` if that has passed.
    fn set_timer(&mut self) -> bool {
        let deadline = || self.machine.next_deadline();
        let next = (!self.panicked).then(deadline).flatten();
        let backlog = !self.outbox.mail.is_empty() || !self.outbox.renders.is_empty();
        let stop_at = match self.stop_at {
            Some(at) if at <= self.last => Some(at + self.patience()),
            at => at,
        };
        // A core that has fallen silent closes what it connected.
        let connected = self.seat.udp.connected() > 0;
        let look = connected.then_some(self.drops_seen.0 + LOOK_INTERVAL);
        let next = next.into_iter().chain(stop_at).chain(look);
        let next = next.chain(backlog.then_some(self.last + RETRY));
        let Some(next) = next.min() else {
            return false;
        };
        if next <= self.last {
            return true;
        }
        // A timer that fires earlier costs one empty turn; moving it at every
        // turn would cost a system call each.
        let soon_enough = |at: Time| at > self.last && at <= next;
        if !self.armed.is_some_and(soon_enough) {
            let armed = sys::arm_timer(self.timer.get_ref(), next.since(self.last));
            self.armed = armed.is_ok().then_some(next);
            return armed.is_err();
        }
        false
    }

    /// Lets the thread's other tasks and its runtime have a go, when turns
    /// follow each other without a pause.
    async fn breathe(&mut self) {
        match self.seat.engine {
            Engine::Mmsg => tokio::task::yield_now().await,
            Engine::Uring => {
                // tokio-uring submits only when its thread parks, which a
                // yield does not do: sleep on our own bell, just rung.
                let bell = &self.bell;
                let stale = poll_fn(|cx| Poll::Ready(poll_and_clear(bell, cx).is_ready()));
                let _ = unconstrained(stale).await;
                self.seat.post.ring(self.seat.core);
                unconstrained(poll_fn(|cx| poll_and_clear(bell, cx))).await;
            }
        }
    }

    /// Ends the connections of a machine that panicked, without asking it.
    fn abandon(&mut self) {
        self.last = self.seat.clock.now();
        if self.stop_at.is_none() {
            self.stop_at = Some(self.last);
            self.hub.stop(&self.seat.listeners);
        }
        self.hub.cut_all();
        while let Some(event) = self.hub.take() {
            if let TcpEvent::Bytes(connection) = event {
                drop(connection.chunk());
            }
        }
    }

    fn is_over(&self) -> bool {
        let is_idle = self.hub.is_idle() && !self.is_writing();
        self.stop_at
            .is_some_and(|at| is_idle || at + self.patience() <= self.last)
    }

    /// From cutting the connections to the end, whatever is not done by then.
    fn patience(&self) -> Span {
        match self.is_writing() {
            true => WRITE_GRACE,
            false => CUT_GRACE,
        }
    }

    fn is_writing(&self) -> bool {
        !self.panicked && self.machine.is_writing()
    }
}
