//! One peer connection at work: its socket, its timers, and who sends or watches
//! over it. Ends when the participant does, or the server ends it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use crate::base::time::{Span, Time};
use crate::load::peer::{Peer, Received, Stage};
use crate::load::publish::Publish;
use crate::load::sdp::{Local, Remote, Ssrcs};
use crate::load::watch::Watch;
use crate::load::worker::{Crowd, SLOW_EVERY};

/// Longer than any datagram of media.
const DATAGRAM_MAX_BYTES: usize = 2_048;

pub enum Part {
    Publish(Box<Publish>),
    Watch(Box<Watch>),
}

/// A connection that is being made.
pub struct Call {
    socket: UdpSocket,
    peer: Peer,
    pub ssrcs: Option<Ssrcs>,
    /// When its participant began, for the times of its steps.
    pub began: Time,
    is_slow: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The run or the participant is over.
    Told,
    Failed,
}

impl Call {
    /// A connection on a socket of its own; `publishes`: it will send.
    pub async fn new(crowd: &Crowd, publishes: bool, began: Time) -> io::Result<Self> {
        let socket = UdpSocket::bind((crowd.own_ip, 0)).await?;
        let (is_slow, ssrcs, secret) = crowd.draw(publishes);
        Ok(Call {
            socket,
            // Whoever offers is in charge of the checks (RFC 8445 section 6.1.1);
            // Janus offers to viewers.
            peer: Peer::new(&crowd.identity, publishes || !crowd.server_checks(), secret),
            ssrcs,
            began,
            is_slow,
        })
    }

    pub fn local<'a>(&'a self, crowd: &Crowd) -> Local<'a> {
        Local {
            ufrag: &self.peer.ufrag,
            password: &self.peer.password,
            fingerprint: self.peer.fingerprint(),
            candidate: self
                .socket
                .local_addr()
                .ok()
                .filter(|_| crowd.server_checks()),
            ssrcs: self.ssrcs,
            has_sound: crowd.plan.sound,
            video: crowd.plan.video,
        }
    }

    /// Runs it, from the server's description on, until `stop`.
    pub async fn run(
        mut self,
        crowd: Rc<Crowd>,
        remote: Remote,
        mut stop: tokio::sync::watch::Receiver<bool>,
    ) -> End {
        let now = crowd.now();
        let part = match self.ssrcs {
            Some(ssrcs) => Part::Publish(Box::new(Publish::new(now, crowd.show(), ssrcs))),
            None => {
                let counted = crowd.plan.counted();
                Part::Watch(Box::new(Watch::new(now, &remote, 1, counted)))
            }
        };
        self.peer.begin(now, remote);
        let mut running = Running {
            is_slow: self.is_slow,
            call: self,
            part,
            delayed: VecDeque::new(),
            seen: Stage::Begun,
            told: [false; 2],
        };
        let end = running.go(&crowd, &mut stop).await;
        running.finish(&crowd);
        end
    }
}

struct Running {
    call: Call,
    part: Part,
    is_slow: bool,
    /// Datagrams on a way made longer.
    delayed: VecDeque<(Time, SocketAddr, Vec<u8>)>,
    seen: Stage,
    /// First packet, first key frame.
    told: [bool; 2],
}

impl Running {
    async fn go(&mut self, crowd: &Crowd, stop: &mut tokio::sync::watch::Receiver<bool>) -> End {
        let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
        loop {
            self.advance(crowd);
            if self.call.peer.stage() == Stage::Ended {
                return End::Failed;
            }
            let due = self.next_due();
            let wait = due.map_or(Duration::from_secs(1), |due| {
                Duration::from_micros(due.since(crowd.now()).as_us())
            });
            let timer = sleep_until(Instant::now() + wait);
            let is_slow = self.is_slow;
            tokio::select! {
                _ = stop.changed() => return End::Told,
                readable = self.call.socket.readable() => {
                    if readable.is_err() {
                        return End::Failed;
                    }
                    if is_slow {
                        tokio::time::sleep(SLOW_EVERY).await;
                    }
                    self.read(crowd, &mut buffer);
                }
                () = timer => {}
            }
        }
    }

    fn next_due(&self) -> Option<Time> {
        let part = match &self.part {
            Part::Publish(publish) => publish.next_due(),
            Part::Watch(watch) => Some(watch.next_due()),
        };
        let delayed = self.delayed.front().map(|(at, ..)| *at);
        [part, delayed, self.call.peer.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Reads everything that is there.
    fn read(&mut self, crowd: &Crowd, buffer: &mut [u8]) {
        let delay = Span::from_ms(crowd.plan.delay_ms);
        while let Ok((len, from)) = self.call.socket.try_recv_from(buffer) {
            if crowd.loses() {
                continue;
            }
            let now = crowd.now();
            let Some(datagram) = buffer.get_mut(..len) else {
                continue;
            };
            match delay == Span::ZERO {
                true => self.receive(now, crowd, from, datagram),
                false => self
                    .delayed
                    .push_back((now + delay, from, datagram.to_vec())),
            }
        }
        if let Part::Watch(watch) = &mut self.part {
            watch.end_run(&mut crowd.tally.borrow_mut());
        }
    }

    fn receive(&mut self, now: Time, crowd: &Crowd, from: SocketAddr, datagram: &mut [u8]) {
        let tally = &mut crowd.tally.borrow_mut();
        let peer = &mut self.call.peer;
        match (peer.receive(now, from, datagram), &mut self.part) {
            (Received::Rtp(header, packet, index), Part::Watch(watch)) => {
                watch.take(now, &header, packet, index, tally);
            }
            (Received::Rtcp(compound), Part::Watch(watch)) => watch.take_rtcp(now, compound),
            (Received::Rtcp(compound), Part::Publish(publish)) => {
                let compound = compound.to_vec();
                publish.take_rtcp(&compound, peer, tally);
            }
            _ => {}
        }
    }

    fn advance(&mut self, crowd: &Crowd) {
        let now = crowd.now();
        while self.delayed.front().is_some_and(|(at, ..)| *at <= now) {
            if let Some((_, from, mut datagram)) = self.delayed.pop_front() {
                self.receive(now, crowd, from, &mut datagram);
            }
        }
        self.call.peer.advance(now);
        self.note_steps(now, crowd);
        let tally = &mut crowd.tally.borrow_mut();
        let peer = &mut self.call.peer;
        match &mut self.part {
            Part::Publish(publish) => publish.poll(now, peer, tally),
            Part::Watch(watch) => {
                let compound = watch.poll(now, tally);
                peer.send_rtcp(compound);
            }
        }
        let Some(path) = peer.path() else {
            return;
        };
        for datagram in peer.outbox.drain(..) {
            // A full socket drops it, as a network would.
            let _ = self.call.socket.try_send_to(&datagram, path);
        }
    }

    fn note_steps(&mut self, now: Time, crowd: &Crowd) {
        let since_us = now.since(self.call.began).as_us();
        let stage = self.call.peer.stage();
        let tally = &mut crowd.tally.borrow_mut();
        if self.seen < Stage::Checked && stage >= Stage::Checked && stage != Stage::Ended {
            tally.step("ice", since_us);
            self.seen = Stage::Checked;
        }
        if self.seen < Stage::Secured && stage == Stage::Secured {
            tally.step("dtls", since_us);
            self.seen = Stage::Secured;
            let profile = self
                .call
                .peer
                .profile
                .map_or("none", |profile| profile.name());
            *tally.profiles.entry(profile.to_string()).or_default() += 1;
            if let Part::Publish(publish) = &mut self.part {
                publish.begin(now);
                tally.add("joins_ok", 1);
            }
        }
        if let Part::Watch(watch) = &self.part {
            if watch.has_packet && !self.told[0] {
                tally.step("first_packet", since_us);
            }
            let is_in = watch.has_packet && watch.has_key_frame;
            if is_in && !self.told[1] {
                tally.step("first_key_frame", since_us);
                tally.add("joins_ok", 1);
            }
            self.told = [watch.has_packet, is_in];
        }
    }

    fn finish(mut self, crowd: &Crowd) {
        self.call.peer.close();
        if let Some(path) = self.call.peer.path() {
            for datagram in self.call.peer.outbox.drain(..) {
                let _ = self.call.socket.try_send_to(&datagram, path);
            }
        }
        let tally = &mut crowd.tally.borrow_mut();
        match self.part {
            Part::Watch(watch) => {
                if !self.told[1] {
                    tally.fail(match (self.seen, self.told[0]) {
                        (Stage::Begun, _) => "ice: no answer to checks",
                        (Stage::Checked, _) => "dtls: no keys",
                        (_, false) => "first_packet: none came",
                        (_, true) => "first_key_frame: none was whole",
                    });
                }
                watch.settle(crowd.now(), tally);
            }
            Part::Publish(_) if self.seen < Stage::Secured => {
                tally.fail("publisher: no keys");
            }
            Part::Publish(_) => {}
        }
    }
}
