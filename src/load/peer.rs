//! A peer connection of the generator's: as a browser's toward servers that are
//! ICE-lite, and as a lite agent itself toward servers that check; the client's
//! end of DTLS; SRTP both ways. Opens no socket.

use std::net::SocketAddr;

use crate::base::random::Secret;
use crate::base::time::{Span, Time};
use crate::load::sdp::Remote;
use crate::proto::dtls::{Dtls, Identity};
use crate::proto::srtp;
use crate::wire::{demux, rtp, stun};

/// Between checks of consent, about as browsers make them.
const CONSENT_INTERVAL: Span = Span::from_ms(2_500);
/// Between checks until the first answer.
const CHECK_RETRY: Span = Span::from_ms(50);

/// What a datagram turned out to be.
pub enum Received<'a> {
    /// A packet, decrypted, and its 48-bit index.
    Rtp(rtp::Header, &'a [u8], u64),
    Rtcp(&'a [u8]),
    /// Of no interest beyond the connection.
    Nothing,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Begun,
    /// The path is known to be good.
    Checked,
    /// Keys are there.
    Secured,
    Ended,
}

pub struct Peer {
    pub ufrag: String,
    pub password: String,
    identity: Identity,
    remote: Option<Remote>,
    /// It only answers checks.
    is_lite: bool,
    secret: Secret,
    dtls: Option<Dtls>,
    sender: Option<srtp::Sender>,
    receiver: Option<srtp::Receiver>,
    pub profile: Option<srtp::Profile>,
    stage: Stage,
    path: Option<SocketAddr>,
    check_due: Option<Time>,
    checking: [u8; 12],
    pub outbox: Vec<Vec<u8>>,
}

impl Peer {
    pub fn new(identity: &Identity, is_lite: bool, mut secret: Secret) -> Self {
        Peer {
            ufrag: secret.ice_chars(8),
            password: secret.ice_chars(24),
            identity: identity.clone(),
            remote: None,
            is_lite,
            secret,
            dtls: None,
            sender: None,
            receiver: None,
            profile: None,
            stage: Stage::Begun,
            path: None,
            check_due: None,
            checking: [0; 12],
            outbox: Vec::new(),
        }
    }

    pub fn fingerprint(&self) -> [u8; 32] {
        self.identity.fingerprint
    }

    /// The other side's description is known: it begins.
    pub fn begin(&mut self, now: Time, remote: Remote) {
        self.path = Some(remote.candidate);
        self.remote = Some(remote);
        if !self.is_lite {
            self.check_due = Some(now);
        }
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Where what is in the outbox goes.
    pub fn path(&self) -> Option<SocketAddr> {
        self.path
    }

    pub fn next_due(&self) -> Option<Time> {
        let dtls = self.dtls.as_ref().and_then(Dtls::deadline);
        [self.check_due, dtls].into_iter().flatten().min()
    }

    pub fn advance(&mut self, now: Time) {
        if self.check_due.is_some_and(|due| due <= now) {
            self.check(now);
        }
        let dtls = self.dtls.as_mut();
        if let Some(dtls) = dtls.filter(|dtls| dtls.deadline().is_some_and(|due| due <= now)) {
            if dtls.handle_deadline(now).is_err() {
                self.stage = Stage::Ended;
            }
            self.pump();
        }
    }

    fn check(&mut self, now: Time) {
        let Some(remote) = &self.remote else {
            return;
        };
        for (place, char) in self
            .checking
            .iter_mut()
            .zip(self.secret.ice_chars(12).bytes())
        {
            *place = char;
        }
        let user = format!("{}:{}", remote.ufrag, self.ufrag);
        let request = stun::request(self.checking, &user, &remote.password, true, true);
        self.outbox.extend(request);
        let is_good = self.stage > Stage::Begun;
        let pause = if is_good {
            CONSENT_INTERVAL
        } else {
            CHECK_RETRY
        };
        self.check_due = Some(now + pause);
    }

    /// Takes a datagram, which is decrypted in place.
    pub fn receive<'a>(
        &mut self,
        now: Time,
        from: SocketAddr,
        datagram: &'a mut [u8],
    ) -> Received<'a> {
        match demux::classify(datagram) {
            demux::Kind::Stun => self.receive_stun(now, from, datagram),
            demux::Kind::Dtls => {
                let handled = self.dtls.as_mut().map(|dtls| dtls.handle(now, datagram));
                if handled.is_some_and(|handled| handled.is_err()) {
                    self.stage = Stage::Ended;
                }
                self.pump();
            }
            demux::Kind::Rtp => return self.open_rtp(datagram).unwrap_or(Received::Nothing),
            demux::Kind::Rtcp => {
                let receiver = self.receiver.as_mut();
                let len = receiver.and_then(|receiver| receiver.unprotect_rtcp(datagram).ok());
                if let Some(compound) = len.and_then(|len| datagram.get(..len)) {
                    return Received::Rtcp(compound);
                }
            }
            demux::Kind::Unknown => {}
        }
        Received::Nothing
    }

    fn open_rtp<'a>(&mut self, datagram: &'a mut [u8]) -> Option<Received<'a>> {
        let header = rtp::Header::parse(datagram).ok()?;
        let receiver = self.receiver.as_mut()?;
        let opened = receiver.unprotect_rtp(&header, datagram).ok()?;
        Some(Received::Rtp(
            header,
            datagram.get(..opened.len)?,
            opened.index,
        ))
    }

    fn receive_stun(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        let Some(remote) = &self.remote else {
            return;
        };
        if let Ok(scanned) = stun::scan(datagram) {
            let Ok(request) = scanned.authenticate(&self.password) else {
                return;
            };
            self.outbox
                .extend(stun::success(&request, from, &self.password));
            if self.is_lite {
                self.path = Some(from);
                self.path_is_good(now);
            }
            return;
        }
        if stun::read_success(datagram, self.checking, &remote.password).is_some() {
            self.path_is_good(now);
        }
    }

    fn path_is_good(&mut self, now: Time) {
        let Some(remote) = self.remote.as_ref().filter(|_| self.stage == Stage::Begun) else {
            return;
        };
        self.stage = Stage::Checked;
        self.check_due = self.check_due.map(|_| now + CONSENT_INTERVAL);
        let mut dtls = Dtls::client(&self.identity, now, vec![remote.fingerprint]);
        if dtls.handle_deadline(now).is_err() {
            self.stage = Stage::Ended;
        }
        self.dtls = Some(dtls);
        self.pump();
    }

    fn pump(&mut self) {
        let Some(dtls) = &mut self.dtls else {
            return;
        };
        let outbox = &mut self.outbox;
        match dtls.drain(|bytes| outbox.push(bytes.to_vec())) {
            Ok(Some(established)) => {
                let profile = established.profile;
                let keys = srtp::split_keying_material(profile, &established.keying_material);
                if let Some((client, server)) = keys {
                    self.sender = srtp::Sender::new(profile, client.key(), client.salt());
                    self.receiver = srtp::Receiver::new(profile, server.key(), server.salt());
                    self.profile = Some(profile);
                    self.stage = Stage::Secured;
                }
            }
            Ok(None) => {}
            Err(_) => self.stage = Stage::Ended,
        }
        if self.dtls.as_ref().is_some_and(Dtls::closed_by_peer) {
            self.stage = Stage::Ended;
        }
    }

    /// Protects an RTP packet, whose header takes `header_len` bytes, and sends it.
    pub fn send_rtp(&mut self, ssrc: u32, index: u64, mut packet: Vec<u8>, header_len: usize) {
        let Some(sender) = &mut self.sender else {
            return;
        };
        let len = packet.len();
        packet.resize(len + sender.tag_len(), 0);
        if sender
            .protect_rtp(ssrc, index, &mut packet, header_len, len)
            .is_ok()
        {
            self.outbox.push(packet);
        }
    }

    pub fn send_rtcp(&mut self, mut compound: Vec<u8>) {
        let Some(sender) = self.sender.as_mut().filter(|_| !compound.is_empty()) else {
            return;
        };
        if sender.protect_rtcp(&mut compound).is_ok() {
            self.outbox.push(compound);
        }
    }

    /// Says goodbye.
    pub fn close(&mut self) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
            let outbox = &mut self.outbox;
            // What cannot be said any more need not be.
            let _ = dtls.drain(|bytes| outbox.push(bytes.to_vec()));
        }
        self.stage = Stage::Ended;
    }
}
