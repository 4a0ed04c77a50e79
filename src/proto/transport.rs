//! One peer connection's transport: ICE, then DTLS, then SRTP, on the server's
//! side. Owns the keys and the path; refuses DTLS and media from a path ICE has
//! not validated, and media before the handshake is complete. Where the peer
//! waits to be called, the handshake is opened here, on a validated path only.
//!
//! Ends by itself: 15 s after the answer without keys, 30 s after the last
//! authenticated packet, or when the peer closes its DTLS association.

use crate::base::limits::ESTABLISH_MAX;
use crate::base::time::{Span, Time};
use crate::base::trains::{Path, TrainCursor, Trains};
use crate::proto::dtls::{Dtls, DtlsFailure, End, Established, Identity};
use crate::proto::ice_lite::IceLite;
use crate::proto::srtp::{self, Opened, Profile, UnprotectError};
use crate::wire::rtp;
use crate::wire::stun::{Scanned, StunError};

pub struct Transport {
    ice: IceLite,
    end: End,
    dtls: Box<Dtls>,
    receiver: Option<Box<srtp::Receiver>>,
    sender: Option<Box<srtp::Sender>>,
    cursor: TrainCursor,
    /// When the answer was given.
    opened: Time,
    /// When our latest DTLS flight left, while the peer's answer is awaited.
    flight_left: Option<Time>,
    rtt: Option<Span>,
    secured: Option<Secured>,
    ended: bool,
}

/// What the handshake settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secured {
    pub profile: Profile,
    pub dtls_version: &'static str,
}

/// Why a transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No authenticated check within the time to establish.
    IceTimeout,
    /// Checks came, keys did not; or the peer broke the handshake.
    Dtls,
    /// The peer's certificate is not the one its offer named.
    Fingerprint,
    /// Nothing authenticated for 30 s.
    Silence,
    /// The peer closed the association.
    ClosedByPeer,
}

impl Failure {
    /// The official SDK's words for it.
    pub fn info(self) -> &'static str {
        match self {
            Failure::IceTimeout => "Failed by ICE timeout",
            Failure::Dtls => "Failed by DTLS error",
            Failure::Fingerprint => "Failed by DTLS fingerprint error",
            Failure::Silence => "Failed by ICE keep alive",
            Failure::ClosedByPeer => "Stopped by user",
        }
    }
}

/// What an input changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    /// Keys are there: media can flow.
    Connected,
    Failed(Failure),
}

/// What a check changed about the paths that reach this transport.
#[derive(Debug, PartialEq, Eq)]
pub struct PathChange {
    pub added: bool,
    pub forgotten: Option<Path>,
}

impl Transport {
    pub fn new(
        now: Time,
        identity: &Identity,
        ice: IceLite,
        end: End,
        fingerprints: Vec<[u8; 32]>,
    ) -> Self {
        let dtls = match end {
            End::Server => Dtls::server(identity, now, fingerprints),
            End::Client => Dtls::client(identity, now, fingerprints),
        };
        Transport {
            ice,
            end,
            dtls: Box::new(dtls),
            receiver: None,
            sender: None,
            cursor: TrainCursor::default(),
            opened: now,
            flight_left: None,
            rtt: None,
            secured: None,
            ended: false,
        }
    }

    /// Answers a connectivity check.
    pub fn handle_check(
        &mut self,
        now: Time,
        path: Path,
        scanned: &Scanned<'_>,
        trains: &mut Trains,
    ) -> Result<PathChange, StunError> {
        let checked = self.ice.handle_check(now, path, scanned)?;
        // Never through the media cursor: the answer goes where the check came
        // from, which need not be the selected path.
        send_on(trains, &mut TrainCursor::default(), path, &checked.response);
        Ok(PathChange {
            added: checked.validated,
            forgotten: checked.forgotten,
        })
    }

    /// Takes a DTLS datagram. `None`: it came over a path ICE has not
    /// validated, and was dropped.
    pub fn handle_dtls(
        &mut self,
        now: Time,
        path: Path,
        datagram: &[u8],
        trains: &mut Trains,
    ) -> Option<Change> {
        if !self.ice.is_validated(path) {
            return None;
        }
        // What failed stays failed: its owner was told, and forgets it.
        if self.ended {
            return Some(Change::Nothing);
        }
        self.hear_answer(now);
        let handled = self.dtls.handle(now, datagram);
        Some(self.progress(now, handled, trains))
    }

    /// A DTLS datagram came; [`Transport::handle_dtls`] may take it later.
    pub fn hear_answer(&mut self, now: Time) {
        if let Some(left) = self.flight_left.take() {
            self.rtt.get_or_insert(now.since(left));
        }
    }

    /// Does what is due at `now`; call at or after [`Transport::deadline`].
    pub fn handle_deadline(&mut self, now: Time, trains: &mut Trains) -> Change {
        if self.ended {
            return Change::Nothing;
        }
        if self.secured.is_none() && now >= self.opened + ESTABLISH_MAX {
            return self.fail(if self.ice.path().is_none() {
                Failure::IceTimeout
            } else {
                Failure::Dtls
            });
        }
        if now >= self.ice.expires() {
            return self.fail(Failure::Silence);
        }
        if self.dtls_due().is_some_and(|due| now >= due) {
            let handled = self.dtls.handle_deadline(now);
            return self.progress(now, handled, trains);
        }
        Change::Nothing
    }

    pub fn deadline(&self) -> Option<Time> {
        if self.ended {
            return None;
        }
        let establish = self.secured.is_none().then(|| self.opened + ESTABLISH_MAX);
        [Some(self.ice.expires()), establish, self.dtls_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When DTLS wants to speak; never before a check has validated a path, for
    /// a ClientHello to an address nobody proved would be a stranger's flood.
    fn dtls_due(&self) -> Option<Time> {
        self.ice.path().and_then(|_| self.dtls.deadline())
    }

    /// Decrypts an RTP packet in place. `None`: no keys yet.
    pub fn open_rtp(
        &mut self,
        now: Time,
        header: &rtp::Header,
        packet: &mut [u8],
    ) -> Option<Result<Opened, UnprotectError>> {
        let opened = self.receiver.as_mut()?.unprotect_rtp(header, packet);
        if opened.is_ok() {
            self.ice.heard(now);
        }
        Some(opened)
    }

    /// Decrypts an RTCP packet in place; its plain length. `None`: no keys yet.
    pub fn open_rtcp(
        &mut self,
        now: Time,
        packet: &mut [u8],
    ) -> Option<Result<usize, UnprotectError>> {
        let opened = self.receiver.as_mut()?.unprotect_rtcp(packet);
        if opened.is_ok() {
            self.ice.heard(now);
        }
        Some(opened)
    }

    /// Encrypts and sends a compound RTCP packet; `compound` is used up. Says
    /// whether it went out.
    pub fn send_rtcp(&mut self, compound: &mut Vec<u8>, trains: &mut Trains) -> bool {
        let Some(path) = self.ice.path() else {
            return false;
        };
        let protected = self
            .sender
            .as_mut()
            .is_some_and(|sender| sender.protect_rtcp(compound).is_ok());
        protected && send_on(trains, &mut TrainCursor::default(), path, compound)
    }

    /// The parts the fan-out needs at once: where to, with what keys, in which train.
    pub fn egress(&mut self) -> Option<(Path, &mut srtp::Sender, &mut TrainCursor)> {
        let path = self.ice.path()?;
        Some((path, self.sender.as_deref_mut()?, &mut self.cursor))
    }

    /// Reads what [`Transport::egress`] and the sender it gives will.
    pub fn touch(&self) -> u64 {
        let port = self.ice.path().map_or(0, |path| path.remote.port());
        let sender = self.sender.as_deref().map_or(0, srtp::Sender::touch);
        u64::from(port) ^ sender
    }

    /// Ends the association in order: the peer hears a DTLS alert.
    pub fn close(&mut self, trains: &mut Trains) {
        if !self.ended && self.secured.is_some() {
            self.dtls.close();
            self.pump(trains).ok();
        }
        self.ended = true;
    }

    pub fn secured(&self) -> Option<Secured> {
        self.secured
    }

    /// Round trip seen in the handshake.
    pub fn rtt(&self) -> Option<Span> {
        self.rtt
    }

    /// Our user fragment and password, for the answer.
    pub fn credentials(&self) -> (&str, &str) {
        (&self.ice.local_ufrag, &self.ice.local_password)
    }

    /// Starts ICE anew (RFC 8445 section 9) under fresh credentials; the path in
    /// use carries on until the peer nominates another.
    pub fn restart_ice(&mut self, ufrag: String, password: String, remote_ufrag: String) {
        self.ice.restart(ufrag, password, remote_ufrag);
    }

    /// The peer's user fragment.
    pub fn remote_ufrag(&self) -> &str {
        &self.ice.remote_ufrag
    }

    /// Every path that reaches this transport.
    pub fn paths(&self) -> &[Path] {
        self.ice.paths()
    }

    fn progress(
        &mut self,
        now: Time,
        handled: Result<(), DtlsFailure>,
        trains: &mut Trains,
    ) -> Change {
        // An alert may be waiting even after an error, so the queue is drained first.
        let pumped = self.pump(trains);
        if let Ok((sent, _)) = &pumped
            && *sent
            && self.secured.is_none()
        {
            self.flight_left = Some(now);
        }
        match handled.and(pumped) {
            Err(DtlsFailure::Fingerprint) => self.fail(Failure::Fingerprint),
            Err(DtlsFailure::Protocol) => self.fail(Failure::Dtls),
            Ok((_, Some(established))) => self.install(established),
            Ok(_) if self.dtls.closed_by_peer() => self.fail(Failure::ClosedByPeer),
            Ok(_) => Change::Nothing,
        }
    }

    /// Sends what DTLS has to say: whether anything was, and the keys if done.
    fn pump(&mut self, trains: &mut Trains) -> Result<(bool, Option<Established>), DtlsFailure> {
        let path = self.ice.path();
        let mut sent = false;
        let established = self.dtls.drain(|bytes| {
            if let Some(path) = path {
                sent |= send_on(trains, &mut TrainCursor::default(), path, bytes);
            }
        })?;
        Ok((sent, established))
    }

    fn install(&mut self, established: Established) -> Change {
        let profile = established.profile;
        let keys = srtp::split_keying_material(profile, &established.keying_material);
        let Some((client, server)) = keys else {
            return self.fail(Failure::Dtls);
        };
        let (theirs, ours) = match self.end {
            End::Server => (client, server),
            End::Client => (server, client),
        };
        self.receiver = srtp::Receiver::new(profile, theirs.key(), theirs.salt()).map(Box::new);
        self.sender = srtp::Sender::new(profile, ours.key(), ours.salt()).map(Box::new);
        self.secured = Some(Secured {
            profile,
            dtls_version: established.version,
        });
        Change::Connected
    }

    fn fail(&mut self, failure: Failure) -> Change {
        if self.ended {
            return Change::Nothing;
        }
        self.ended = true;
        Change::Failed(failure)
    }
}

/// Sends `bytes` as one datagram; false when the pool was dry.
fn send_on(trains: &mut Trains, cursor: &mut TrainCursor, path: Path, bytes: &[u8]) -> bool {
    match trains.reserve(cursor, path, bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            true
        }
        None => false,
    }
}
