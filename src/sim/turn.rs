//! What happens in one instant of a simulated world: the next entries of the
//! heap reach cores and browsers, and what these want done becomes entries.

use std::cmp::{Ordering, Reverse};
use std::net::SocketAddr;

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::base::trains::Trains;
use crate::core::border::{
    CloseCause, ConnectionId, CoreId, Door, Input, Machine, Outbox, Path, TurnReport,
};
use crate::core::mail::Mail;
use crate::core::record::FileTask;
use crate::core::transcode::{Transcoded, Transcoders};
use crate::core::{Core, Setup};
use crate::record::order::RecordingId;
use crate::sim::peer_connection::{PeerConnection, Role, Turn};
use crate::sim::trace::Kind;
use crate::sim::world::{FIRST_MEDIA_PORT, SERVER, TCP_DELAY, TRAIN_SLOTS, World};
use crate::wire::demux;

/// From one core's mailbox to another's.
const MAIL_DELAY: Span = Span::from_us(20);
/// At the transcode worker.
const TRANSCODE_DELAY: Span = Span::from_ms(2);

pub(super) struct CoreSeat {
    pub core: Core,
    pub out: Outbox,
    pub armed: Option<Time>,
    pub touched: bool,
    pub report: TurnReport,
    pub transcoders: Transcoders,
}

pub(super) struct Scheduled {
    pub at: Time,
    /// Ties break in the order of scheduling.
    pub number: u64,
    pub what: What,
}

pub(super) enum What {
    ToCore(usize, Path, Vec<u8>),
    ToPeer(SocketAddr, Vec<u8>),
    CoreTimer(usize),
    PeerTimer(usize, usize),
    Mail(usize, CoreId, Mail),
    RtmpTimer(usize),
    Transcoded(usize, Transcoded),
    File(usize, RecordingId, FileTask),
    Drained(usize, ConnectionId),
    Accepted(usize, ConnectionId, SocketAddr, Door),
    BytesToCore(usize, ConnectionId, Vec<u8>),
    ClosedAtCore(usize, ConnectionId, CloseCause),
    BytesToBrowser(ConnectionId, Bytes),
    ClosedAtBrowser(ConnectionId),
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl World {
    pub(super) fn next_at(&self) -> Option<Time> {
        self.queue.peek().map(|Reverse(next)| next.at)
    }

    pub(super) fn schedule(&mut self, at: Time, what: What) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.queue.push(Reverse(Scheduled { at, number, what }));
    }

    pub(super) fn dispatch(&mut self, what: What) {
        match what {
            What::ToCore(core, path, mut bytes) => {
                if let Some(held) = &mut self.held {
                    return held.push((path, bytes));
                }
                self.cores[core].report.received += 1;
                let bytes = &mut bytes;
                self.input(core, Input::Datagram { path, bytes });
            }
            What::ToPeer(address, bytes) => self.deliver(address, bytes),
            What::CoreTimer(core) => {
                if self.cores[core].armed == Some(self.now) {
                    self.cores[core].armed = None;
                    self.cores[core].touched = true;
                }
            }
            What::PeerTimer(browser, peer) => {
                let connection = &mut self.browsers[browser].peers[peer];
                if connection.armed == Some(self.now) {
                    connection.armed = None;
                    self.with_peer(browser, peer, PeerConnection::advance);
                }
            }
            What::Mail(core, from, mail) => self.input(core, Input::Mail { from, mail }),
            What::RtmpTimer(number) => self.wake_rtmp_peer(number),
            What::Transcoded(core, done) => self.input(core, Input::Transcoded(done)),
            What::File(core, id, task) => {
                let done = self.disk.carry_out(CoreId(core as u16), id, task);
                self.input(core, Input::File { id, done });
            }
            What::Drained(core, connection) => self.input(core, Input::Drained { connection }),
            What::Accepted(core, connection, peer, door) => {
                self.input(
                    core,
                    Input::Accepted {
                        connection,
                        peer,
                        door,
                    },
                );
            }
            What::BytesToCore(core, connection, bytes) => {
                let bytes = &bytes;
                self.input(core, Input::Bytes { connection, bytes });
            }
            What::ClosedAtCore(core, connection, cause) => {
                self.input(core, Input::Closed { connection, cause });
            }
            What::BytesToBrowser(connection, bytes) => {
                if let Some(&number) = self.rtmp_connections.get(&connection) {
                    self.bytes_to_rtmp(number, &bytes);
                } else if let Some(&browser) = self.connections.get(&connection) {
                    let (now, shop) = (self.now, &mut self.shop);
                    self.browsers[browser].read(now, &bytes, shop, &mut self.trace);
                    self.flush_browser(browser);
                }
            }
            What::ClosedAtBrowser(connection) => {
                self.rtmp_closed(connection);
                if let Some(browser) = self.connections.remove(&connection) {
                    self.browsers[browser].disconnected();
                }
            }
        }
    }

    fn input(&mut self, core: usize, input: Input<'_>) {
        let seat = &mut self.cores[core];
        seat.core.handle(self.now, input, &mut seat.out);
        seat.touched = true;
    }

    fn deliver(&mut self, address: SocketAddr, mut bytes: Vec<u8>) {
        if let Some(&(browser, peer)) = self.addresses.get(&address)
            && self.browsers[browser].peers[peer].address == address
        {
            self.with_peer(browser, peer, |peer, turn| peer.receive(turn, &mut bytes));
        }
    }

    fn with_peer(
        &mut self,
        browser: usize,
        peer: usize,
        act: impl FnOnce(&mut PeerConnection, &mut Turn<'_>),
    ) {
        let wall = self.browsers[browser].wall(self.now);
        let mut turn = Turn {
            now: self.now,
            wall,
            who: browser,
            trace: &mut self.trace,
        };
        act(&mut self.browsers[browser].peers[peer], &mut turn);
        self.flush_peer(browser, peer);
    }

    /// Sends what a peer connection left to send and arms its timer.
    pub(super) fn flush_peer(&mut self, browser: usize, peer: usize) {
        let connection = &mut self.browsers[browser].peers[peer];
        let outbox = connection.take_outbox();
        let path = Path {
            local: SERVER,
            remote: connection.address,
        };
        let server = connection.server();
        let mut arrivals = Vec::new();
        for datagram in outbox {
            self.net
                .carry(self.now, &mut connection.up, datagram, |at, bytes| {
                    arrivals.push((at, bytes));
                });
        }
        let due = connection.next_due().map(|due| due.max(self.now));
        let arm = due.filter(|due| connection.armed.is_none_or(|armed| *due < armed));
        if arm.is_some() {
            connection.armed = arm;
        }
        let core = server.map(|server| usize::from(server.port() - FIRST_MEDIA_PORT));
        for (at, bytes) in arrivals {
            if let Some(core) = core.filter(|core| *core < self.cores.len()) {
                self.schedule(at, What::ToCore(core, path, bytes));
            }
        }
        if let Some(due) = arm {
            self.schedule(due, What::PeerTimer(browser, peer));
        }
    }

    /// Sends what a browser left to say, and gives new peer connections their
    /// place in the world.
    pub(super) fn flush_browser(&mut self, browser: usize) {
        let output = self.browsers[browser].take_output();
        if let Some((core, id)) = self.browsers[browser].connection
            && !output.is_empty()
        {
            let what = What::BytesToCore(usize::from(core.0), id, output);
            self.schedule(self.now + TCP_DELAY, what);
        }
        for peer in 0..self.browsers[browser].peers.len() {
            let address = self.browsers[browser].peers[peer].address;
            self.addresses.insert(address, (browser, peer));
            self.flush_peer(browser, peer);
        }
    }

    /// As in a driver, what a full mailbox does not take waits for the next turn.
    fn send_mail(&mut self, core: usize) {
        let mail = &mut self.cores[core].out.mail;
        let is_taken = |(to, _): &(CoreId, Mail)| !self.deaf.contains(to);
        let (mail, waiting): (Vec<_>, Vec<_>) = mail.drain(..).partition(is_taken);
        self.cores[core].out.mail = waiting;
        let from = CoreId(core as u16);
        for (to, mail) in mail {
            let what = What::Mail(usize::from(to.0), from, mail);
            self.schedule(self.now + MAIL_DELAY, what);
        }
    }

    /// The end of a core's turn: its timers, then everything it wants done.
    pub(super) fn end_turn(&mut self, core: usize) {
        let now = self.now;
        self.cores[core].touched = false;
        self.finish_work(core);
        let from = CoreId(core as u16);
        let seat = &mut self.cores[core];
        let mut done = Vec::new();
        for job in std::mem::take(&mut seat.out.transcodes) {
            seat.transcoders.run(job, &mut done);
        }
        let out = &mut seat.out;
        seat.report.relays_dropped += out.close_relays();
        let drains = std::mem::take(&mut out.drains);
        let writes = std::mem::take(&mut out.writes);
        let closes = std::mem::take(&mut out.closes);
        let events = std::mem::take(&mut out.events);
        let files = std::mem::take(&mut out.files);
        // Nobody here asks for pages of operators.
        out.renders.clear();
        for (id, bytes) in writes {
            match self.rtmp_connections.get(&id).copied() {
                Some(number) => self.write_to_rtmp(number, id, bytes),
                None => self.schedule(now + TCP_DELAY, What::BytesToBrowser(id, bytes)),
            }
        }
        for id in drains {
            let rtmp = self.rtmp_connections.get(&id).copied();
            let drained = match rtmp {
                Some(number) => self.rtmp_drained_at(number),
                None => Some(now + TCP_DELAY),
            };
            if let Some(at) = drained {
                self.schedule(at, What::Drained(core, id));
            }
        }
        for done in done {
            self.schedule(now + TRANSCODE_DELAY, What::Transcoded(core, done));
        }
        for (id, task) in files {
            let at = now + self.disk.faults.delay;
            self.schedule(at, What::File(core, id, task));
        }
        for id in closes {
            self.schedule(now + TCP_DELAY, What::ClosedAtBrowser(id));
            let closed = What::ClosedAtCore(core, id, CloseCause::Ended);
            self.schedule(now + TCP_DELAY, closed);
        }
        self.send_mail(core);
        for event in events {
            self.trace
                .note(now, core, Kind::Event, event.to_string().as_bytes());
            self.events.push((now, from, event));
        }
        let seat = &mut self.cores[core];
        let report = std::mem::take(&mut seat.report);
        seat.core.end_turn(&report);
        if let Some(due) = seat.core.next_deadline().map(|due| due.max(now))
            && seat.armed.is_none_or(|armed| due < armed)
        {
            seat.armed = Some(due);
            self.schedule(due, What::CoreTimer(core));
        }
    }

    fn finish_work(&mut self, core: usize) {
        let now = self.now;
        let seat = &mut self.cores[core];
        if seat.core.next_deadline().is_some_and(|due| due <= now) {
            seat.core.advance(now, &mut seat.out);
        }
        let mut more = true;
        while more {
            let seat = &mut self.cores[core];
            more = seat.core.proceed(now, &mut seat.out);
            self.flush_trains(core);
        }
    }

    fn flush_trains(&mut self, core: usize) {
        let mut taken = std::mem::take(&mut self.taken);
        self.cores[core].out.trains.take(&mut taken);
        let mut arrivals = Vec::new();
        for train in taken.drain(..) {
            let seat = &mut self.cores[core];
            seat.report.trains += 1;
            let bytes = seat.out.trains.bytes(&train);
            for datagram in bytes.chunks(train.segment_bytes) {
                seat.report.datagrams_sent += 1;
                let remote = train.path.remote;
                let Some(&(browser, peer)) = self.addresses.get(&remote) else {
                    continue;
                };
                let peer = &mut self.browsers[browser].peers[peer];
                if let Role::Viewer(viewer) = &mut peer.role
                    && demux::classify(datagram) == demux::Kind::Rtp
                {
                    viewer.egress.on_wire(self.now, datagram);
                }
                let datagram = datagram.to_vec();
                self.net
                    .carry(self.now, &mut peer.down, datagram, |at, bytes| {
                        arrivals.push((at, remote, bytes));
                    });
            }
            seat.out.trains.release(train);
        }
        self.taken = taken;
        for (at, remote, bytes) in arrivals {
            self.schedule(at, What::ToPeer(remote, bytes));
        }
    }
}

impl CoreSeat {
    pub fn new(setup: Setup) -> Self {
        let mut out = Outbox::new();
        out.trains = Trains::with_slots(TRAIN_SLOTS);
        CoreSeat {
            core: Core::new(Time::ZERO, setup),
            out,
            armed: None,
            touched: false,
            report: TurnReport::default(),
            transcoders: Transcoders::default(),
        }
    }
}
