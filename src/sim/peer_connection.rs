//! One peer connection of a simulated browser, on the client's side: checks as
//! the controlling ICE agent, the client's end of DTLS, SRTP both ways, and a
//! publisher or a viewer on top.

use std::net::SocketAddr;

use crate::base::random::{Noise, Secret};
use crate::base::time::{Ntp, Span, Time};
use crate::proto::dtls::{Dtls, Identity};
use crate::proto::srtp;
use crate::sim::egress::Egress;
use crate::sim::net::{Faults, Lane};
use crate::sim::publisher::{Media, Publisher};
use crate::sim::sdp::{self, Answer, Offer};
use crate::sim::trace::{Kind, Trace};
use crate::sim::viewer::Viewer;
use crate::wire::{demux, rtp, stun};

/// Between checks while the path is good.
const CHECK_INTERVAL: Span = Span::from_ms(500);
/// Between checks until the first answer.
const CHECK_RETRY: Span = Span::from_ms(50);
/// Without an answer for so long, checks become frequent again.
const CHECK_LOST_AFTER: Span = Span::from_ms(1_500);

/// Packets in clear, to be protected and sent.
#[derive(Default)]
pub struct Clear {
    pub rtp: Vec<ClearRtp>,
    /// Compounds.
    pub rtcp: Vec<Vec<u8>>,
}

pub struct ClearRtp {
    pub ssrc: u32,
    /// SRTP index: roll-overs and sequence number.
    pub index: u64,
    pub header_len: usize,
    pub bytes: Vec<u8>,
}

pub enum Role {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

/// What a peer connection refuses to do, to try the server's patience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Sends no checks, and so nothing at all.
    pub checks: bool,
    /// Checks, but never begins DTLS.
    pub dtls: bool,
    /// Offers `setup:passive`: the server must begin DTLS.
    pub waits: bool,
    /// Neither sends nor hears anything any more.
    pub vanished: bool,
}

/// What the world hands to a peer connection with each call.
pub struct Turn<'a> {
    pub now: Time,
    /// The browser's own wall clock.
    pub wall: Ntp,
    /// The browser's number, for the trace.
    pub who: usize,
    pub trace: &'a mut Trace,
}

/// A status the server gave to the stream, and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub at: Time,
    pub name: String,
    pub info: Option<String>,
}

/// A peer connection's beginnings.
pub struct Birth<'a> {
    pub id: String,
    pub stream: String,
    pub address: SocketAddr,
    pub identity: &'a Identity,
    pub up: Faults,
    pub down: Faults,
    pub seed: u64,
    pub silence: Silence,
    /// Of a publisher that cannot be asked for key frames.
    pub key_interval: Option<Span>,
    pub media: Media,
}

pub struct PeerConnection {
    pub id: String,
    pub stream: String,
    /// Where it is reached; what a rebinding changes.
    pub address: SocketAddr,
    pub up: Lane,
    pub down: Lane,
    pub statuses: Vec<Status>,
    pub role: Role,
    pub silence: Silence,
    pub dtls_version: Option<&'static str>,
    /// Keys were there.
    pub connected: Option<Time>,
    /// The server ended the association with an alert.
    pub alerted: bool,
    /// Armed timer of the world.
    pub armed: Option<Time>,
    /// Datagrams that did not authenticate, on arrival.
    pub rejected: u64,
    ended: bool,
    media: Media,
    identity: Identity,
    ufrag: String,
    password: String,
    answer: Option<Answer>,
    dtls: Option<Dtls>,
    sender: Option<srtp::Sender>,
    receiver: Option<srtp::Receiver>,
    checks: Checks,
    noise: Noise,
    outbox: Vec<Vec<u8>>,
    clear: Clear,
}

#[derive(Default)]
struct Checks {
    due: Option<Time>,
    /// Transactions under way, with when each was sent.
    sent: Vec<([u8; 12], Time)>,
    answered: Option<Time>,
    rtt: Option<Span>,
}

impl PeerConnection {
    pub fn new(birth: Birth<'_>, publishes: bool) -> Self {
        let mut noise = Noise::new(birth.seed);
        let mut secret_seed = [0; 32];
        for byte in &mut secret_seed {
            *byte = noise.below(256) as u8;
        }
        let mut secret = Secret::new(secret_seed);
        let role = if publishes {
            let noise = Noise::new(noise.next_u64());
            Role::Publisher(Box::new(Publisher::new(
                noise,
                birth.key_interval,
                birth.media,
            )))
        } else {
            Role::Viewer(Box::new(Viewer::new(noise.next_u32() | 1, birth.media)))
        };
        PeerConnection {
            id: birth.id,
            stream: birth.stream,
            address: birth.address,
            up: Lane::new(birth.up),
            down: Lane::new(birth.down),
            statuses: Vec::new(),
            role,
            silence: birth.silence,
            dtls_version: None,
            connected: None,
            alerted: false,
            armed: None,
            rejected: 0,
            ended: false,
            media: birth.media,
            identity: birth.identity.clone(),
            ufrag: secret.ice_chars(4),
            password: secret.ice_chars(24),
            answer: None,
            dtls: None,
            sender: None,
            receiver: None,
            checks: Checks::default(),
            noise,
            outbox: Vec::new(),
            clear: Clear::default(),
        }
    }

    pub fn offer(&self) -> String {
        sdp::write_offer(&Offer {
            ufrag: &self.ufrag,
            password: &self.password,
            fingerprint: self.identity.fingerprint,
            setup: if self.silence.waits {
                "passive"
            } else {
                "actpass"
            },
            ssrcs: match &self.role {
                Role::Publisher(publisher) => Some(publisher.ssrcs),
                Role::Viewer(_) => None,
            },
            asked: self
                .publisher()
                .is_none_or(|publisher| publisher.key_interval.is_none()),
            h264: self.media.h264,
        })
    }

    /// Begins to connect; false when the answer cannot be read.
    pub fn take_answer(&mut self, now: Time, sdp: &str) -> bool {
        let Some(answer) = sdp::read_answer(sdp) else {
            return false;
        };
        if let Role::Viewer(viewer) = &mut self.role {
            viewer.egress = Egress::new(&answer);
        }
        if self.silence.waits {
            let expected = vec![answer.fingerprint];
            self.dtls = Some(Dtls::server(&self.identity, now, expected));
        }
        self.answer = Some(answer);
        self.checks.due = Some(now).filter(|_| !self.silence.checks);
        true
    }

    /// Where its datagrams go.
    pub fn server(&self) -> Option<SocketAddr> {
        self.answer.as_ref().map(|answer| answer.candidate)
    }

    /// Our fragment and the server's, for forgeries.
    pub fn fragments(&self) -> Option<(&str, &str)> {
        Some((&self.ufrag, &self.answer.as_ref()?.ufrag))
    }

    pub fn has(&self, status: &str) -> Option<Time> {
        let found = self.statuses.iter().find(|known| known.name == status);
        found.map(|known| known.at)
    }

    pub fn publisher_mut(&mut self) -> Option<&mut Publisher> {
        match &mut self.role {
            Role::Publisher(publisher) => Some(publisher),
            Role::Viewer(_) => None,
        }
    }

    pub fn publisher(&self) -> Option<&Publisher> {
        match &self.role {
            Role::Publisher(publisher) => Some(publisher),
            Role::Viewer(_) => None,
        }
    }

    pub fn viewer(&self) -> Option<&Viewer> {
        match &self.role {
            Role::Viewer(viewer) => Some(viewer),
            Role::Publisher(_) => None,
        }
    }

    /// Closed by its page, or by the server.
    pub fn is_over(&self) -> bool {
        self.ended || self.silence.vanished
    }

    /// What it wants sent, in order.
    pub fn take_outbox(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outbox)
    }

    /// The page closes it: DTLS says goodbye, nothing follows.
    pub fn close(&mut self) {
        let is_over = self.is_over();
        if let Some(dtls) = self.dtls.as_mut().filter(|_| !is_over) {
            dtls.close();
            let outbox = &mut self.outbox;
            // What cannot be said any more need not be.
            let _ = dtls.drain(|bytes| outbox.push(bytes.to_vec()));
        }
        self.ended = true;
    }

    pub fn next_due(&self) -> Option<Time> {
        if self.is_over() {
            return None;
        }
        let media = match &self.role {
            Role::Publisher(publisher) => publisher.next_due(),
            Role::Viewer(viewer) => viewer.next_due(),
        };
        let dtls = self.dtls.as_ref().and_then(Dtls::deadline);
        [self.checks.due, media, dtls].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn advance(&mut self, turn: &mut Turn<'_>) {
        if self.is_over() {
            return;
        }
        if self.checks.due.is_some_and(|due| due <= turn.now) {
            self.check(turn.now);
        }
        if let Some(dtls) = &mut self.dtls
            && dtls.deadline().is_some_and(|due| due <= turn.now)
        {
            let _ = dtls.handle_deadline(turn.now);
            self.pump_dtls(turn.now);
        }
        match &mut self.role {
            Role::Publisher(publisher) => publisher.poll(turn.now, turn.wall, &mut self.clear),
            Role::Viewer(viewer) => viewer.poll(turn.now, &mut self.clear),
        }
        self.protect(turn);
    }

    /// Takes a datagram of the server.
    pub fn receive(&mut self, turn: &mut Turn<'_>, datagram: &mut [u8]) {
        if self.is_over() {
            return;
        }
        match demux::classify(datagram) {
            demux::Kind::Stun => self.receive_stun(turn.now, datagram),
            demux::Kind::Dtls => {
                if let Some(dtls) = &mut self.dtls {
                    let _ = dtls.handle(turn.now, datagram);
                    self.pump_dtls(turn.now);
                }
            }
            demux::Kind::Rtp => self.receive_rtp(turn, datagram),
            demux::Kind::Rtcp => self.receive_rtcp(turn, datagram),
            demux::Kind::Unknown => self.rejected += 1,
        }
        // An answer may lead to something at once.
        self.protect(turn);
    }

    /// A connectivity check that nominates, as toward a lite agent.
    fn check(&mut self, now: Time) {
        let Some(answer) = &self.answer else {
            return;
        };
        let mut transaction = [0; 12];
        for byte in &mut transaction {
            *byte = self.noise.below(256) as u8;
        }
        let username = format!("{}:{}", answer.ufrag, self.ufrag);
        let request = stun::request(transaction, &username, &answer.password, true, true);
        self.outbox.extend(request);
        self.checks
            .sent
            .retain(|(_, at)| now.since(*at) < Span::from_secs(5));
        self.checks.sent.push((transaction, now));
        let is_good = self
            .checks
            .answered
            .is_some_and(|at| now.since(at) < CHECK_LOST_AFTER);
        let pause = if is_good { CHECK_INTERVAL } else { CHECK_RETRY };
        self.checks.due = Some(now + pause);
    }

    fn receive_stun(&mut self, now: Time, datagram: &[u8]) {
        let Some(answer) = &self.answer else {
            return;
        };
        let found = self.checks.sent.iter().position(|(transaction, _)| {
            stun::read_success(datagram, *transaction, &answer.password).is_some()
        });
        let Some(found) = found else {
            self.rejected += 1;
            return;
        };
        let (_, sent) = self.checks.sent.swap_remove(found);
        self.checks.rtt = Some(now.since(sent));
        let is_first = self.checks.answered.replace(now).is_none();
        if is_first {
            self.checks.due = Some(now + CHECK_INTERVAL);
        }
        if is_first && !self.silence.dtls && !self.silence.waits {
            let expected = vec![answer.fingerprint];
            let mut dtls = Dtls::client(&self.identity, now, expected);
            let _ = dtls.handle_deadline(now);
            self.dtls = Some(dtls);
            self.pump_dtls(now);
        }
    }

    fn pump_dtls(&mut self, now: Time) {
        let Some(dtls) = &mut self.dtls else {
            return;
        };
        let outbox = &mut self.outbox;
        let drained = dtls.drain(|bytes| outbox.push(bytes.to_vec()));
        self.alerted |= dtls.closed_by_peer();
        let Ok(Some(established)) = drained else {
            return;
        };
        let profile = established.profile;
        let keys = srtp::split_keying_material(profile, &established.keying_material);
        if let Some((client, server)) = keys {
            let (ours, theirs) = match self.silence.waits {
                true => (server, client),
                false => (client, server),
            };
            self.sender = srtp::Sender::new(profile, ours.key(), ours.salt());
            self.receiver = srtp::Receiver::new(profile, theirs.key(), theirs.salt());
            self.connected = Some(now);
            self.dtls_version = Some(established.version);
            match &mut self.role {
                Role::Publisher(publisher) => publisher.start(now, self.checks.rtt),
                Role::Viewer(viewer) => viewer.start(now),
            }
        }
    }

    fn receive_rtp(&mut self, turn: &mut Turn<'_>, datagram: &mut [u8]) {
        let Some(receiver) = &mut self.receiver else {
            return;
        };
        let Ok(header) = rtp::Header::parse(datagram) else {
            self.rejected += 1;
            return;
        };
        let Ok(opened) = receiver.unprotect_rtp(&header, datagram) else {
            self.rejected += 1;
            return;
        };
        let packet = datagram.get(..opened.len).unwrap_or_default();
        turn.trace
            .note(turn.now, turn.who, Kind::RtpReceived, packet);
        if let Role::Viewer(viewer) = &mut self.role {
            viewer.receive(turn.now, &header, packet, opened.index);
        }
    }

    fn receive_rtcp(&mut self, turn: &mut Turn<'_>, datagram: &mut [u8]) {
        let Some(receiver) = &mut self.receiver else {
            return;
        };
        let Ok(len) = receiver.unprotect_rtcp(datagram) else {
            self.rejected += 1;
            return;
        };
        let compound = datagram.get(..len).unwrap_or_default();
        turn.trace
            .note(turn.now, turn.who, Kind::RtcpReceived, compound);
        match &mut self.role {
            Role::Publisher(publisher) => {
                publisher.receive_rtcp(turn.now, compound, &mut self.clear);
            }
            Role::Viewer(viewer) => viewer.receive_rtcp(turn.now, compound),
        }
    }

    /// Protects what the role left in clear.
    fn protect(&mut self, turn: &mut Turn<'_>) {
        let Some(sender) = &mut self.sender else {
            return;
        };
        for packet in self.clear.rtp.drain(..) {
            turn.trace
                .note(turn.now, turn.who, Kind::RtpSent, &packet.bytes);
            let len = packet.bytes.len();
            let mut bytes = packet.bytes;
            bytes.resize(len + sender.tag_len(), 0);
            let protected = sender.protect_rtp(
                packet.ssrc,
                packet.index,
                &mut bytes,
                packet.header_len,
                len,
            );
            if protected.is_ok() {
                self.outbox.push(bytes);
            }
        }
        for mut compound in self.clear.rtcp.drain(..) {
            turn.trace
                .note(turn.now, turn.who, Kind::RtcpSent, &compound);
            if sender.protect_rtcp(&mut compound).is_ok() {
                self.outbox.push(compound);
            }
        }
    }
}
