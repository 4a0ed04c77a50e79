//! DTLS 1.2 and 1.3 (RFC 6347, RFC 9147) for DTLS-SRTP (RFC 5764), as server and,
//! for a peer that waits to be called, as client: the door to `dimpl`. Owns one
//! handshake and its keys' export; refuses a peer whose certificate is not the
//! one its offer named, before any key is used.
//!
//! Every error of the crate is final for its object. Feed it only datagrams
//! from a path ICE has validated.

// The crate's constructor takes its configuration by `Arc`.
#![allow(clippy::disallowed_types)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, DtlsCertificate, Output, ProtocolVersion, SrtpProfile};

use crate::base::hash;
use crate::base::time::{Span, Time};
use crate::proto::dtls_key;
use crate::proto::srtp::Profile;

/// First retransmission of a flight. Browsers retransmit at about 50 ms; the
/// crate's own default of 1 s would leave a lost server flight to them alone.
const FLIGHT_RTO: Duration = Duration::from_millis(100);
/// Doubling from [`FLIGHT_RTO`], this outlasts the 15 s a handshake may take.
const FLIGHT_RETRIES: usize = 8;
/// Largest datagram of ours: below the smallest path MTU met in the field
/// (1,280 of IPv6 less headers and tunnels).
const MTU_BYTES: usize = 1_150;

/// The newest version we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxVersion {
    /// The peer gets the SRTP profile *we* prefer (AES-256-GCM).
    Dtls12,
    /// The peer's first SRTP profile is taken.
    Dtls13,
}

/// The server's certificate and DTLS settings: immutable, one per process.
#[derive(Clone)]
pub struct Identity {
    config: Arc<Config>,
    certificate: DtlsCertificate,
    max_version: MaxVersion,
    /// The crate counts in `Instant`s; the driver's time zero is this one.
    zero: Instant,
    /// SHA-256 of the certificate, for the answer's `a=fingerprint`.
    pub fingerprint: [u8; 32],
}

/// Who opens the handshake (RFC 8842 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The peer does.
    #[default]
    Server,
    /// We do.
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsFailure {
    /// The crate gave up: the peer broke the protocol or has nothing in common
    /// with us (an RSA certificate, no known suite or SRTP profile).
    Protocol,
    /// The peer's certificate is not the one in its offer (RFC 8122 section 5).
    Fingerprint,
}

/// The exported keys (RFC 5764 section 4.2).
pub struct Established {
    pub profile: Profile,
    pub keying_material: Vec<u8>,
    /// `1.2` or `1.3`.
    pub version: &'static str,
}

pub struct Dtls {
    inner: dimpl::Dtls,
    zero: Instant,
    /// SHA-256 of the certificates the peer's offer allows.
    expected: Vec<[u8; 32]>,
    peer_checked: bool,
    keys: Option<(Profile, Vec<u8>)>,
    connected: bool,
    reported: bool,
    deadline: Option<Time>,
    buffer: Vec<u8>,
    closed_by_peer: bool,
}

impl Identity {
    /// The key is ECDSA P-256 in PKCS #8; `None` if not.
    ///
    /// `zero` is the instant of [`Time::ZERO`]. `seed` fixes the crate's
    /// randomness, for replay; `None` draws from the system.
    pub fn new(
        certificate_der: Vec<u8>,
        private_key_der: Vec<u8>,
        max_version: MaxVersion,
        zero: Instant,
        seed: Option<u64>,
    ) -> Option<Self> {
        let mut builder = Config::builder()
            .mtu(MTU_BYTES)
            .use_server_cookie(false)
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(FLIGHT_RETRIES)
            .with_crypto_provider(dtls_key::provider(&private_key_der)?);
        if let Some(seed) = seed {
            builder = builder.dangerously_set_rng_seed(seed);
        }
        Some(Identity {
            config: Arc::new(builder.build().ok()?),
            fingerprint: hash::sha256(&certificate_der),
            certificate: DtlsCertificate {
                certificate: certificate_der,
                private_key: private_key_der,
            },
            max_version,
            zero,
        })
    }
}

impl Dtls {
    /// The server's end, waiting for a ClientHello.
    pub fn server(identity: &Identity, now: Time, expected: Vec<[u8; 32]>) -> Self {
        let (config, certificate) = (identity.config.clone(), identity.certificate.clone());
        let at = instant(identity.zero, now);
        let inner = match identity.max_version {
            MaxVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, at),
            MaxVersion::Dtls13 => dimpl::Dtls::new_auto(config, certificate, at),
        };
        Self::wrap(inner, identity, now, expected)
    }

    /// The client's end. It says its ClientHello at the first
    /// [`Dtls::handle_deadline`], and again until it is answered.
    pub fn client(identity: &Identity, now: Time, expected: Vec<[u8; 32]>) -> Self {
        let mut dtls = Self::server(identity, now, expected);
        dtls.inner.set_active(true);
        dtls
    }

    fn wrap(inner: dimpl::Dtls, identity: &Identity, now: Time, expected: Vec<[u8; 32]>) -> Self {
        Dtls {
            inner,
            zero: identity.zero,
            expected,
            peer_checked: false,
            keys: None,
            connected: false,
            reported: false,
            deadline: Some(now),
            buffer: vec![0; 2 * MTU_BYTES],
            closed_by_peer: false,
        }
    }

    /// Takes one datagram; what it leads to comes out of [`Dtls::drain`].
    pub fn handle(&mut self, now: Time, datagram: &[u8]) -> Result<(), DtlsFailure> {
        self.handle_deadline(now)?;
        self.inner
            .handle_packet(datagram)
            .map_err(|_| DtlsFailure::Protocol)
    }

    /// Lets retransmissions happen; call at or after [`Dtls::deadline`].
    pub fn handle_deadline(&mut self, now: Time) -> Result<(), DtlsFailure> {
        self.deadline = None;
        self.inner
            .handle_timeout(instant(self.zero, now))
            .map_err(|_| DtlsFailure::Protocol)
    }

    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// The peer ended the association in order.
    pub fn closed_by_peer(&self) -> bool {
        self.closed_by_peer
    }

    /// Hands every datagram to send to `send`; answers the keys once, when the
    /// handshake is complete and the peer's certificate is the expected one.
    pub fn drain(
        &mut self,
        mut send: impl FnMut(&[u8]),
    ) -> Result<Option<Established>, DtlsFailure> {
        loop {
            match self.inner.poll_output(&mut self.buffer) {
                Output::Packet(bytes) => send(bytes),
                Output::BufferTooSmall { needed } => self.buffer.resize(needed, 0),
                Output::Timeout(at) => {
                    let since_zero = at.saturating_duration_since(self.zero);
                    self.deadline = u64::try_from(since_zero.as_micros())
                        .ok()
                        .map(|us| Time::from_us(us) + Span::from_us(1));
                    break;
                }
                Output::Connected => self.connected = true,
                Output::PeerCert(der) => {
                    let sha256 = hash::sha256(der);
                    if !self.expected.contains(&sha256) {
                        return Err(DtlsFailure::Fingerprint);
                    }
                    self.peer_checked = true;
                }
                Output::KeyingMaterial(material, profile) => {
                    let profile = known_profile(profile).ok_or(DtlsFailure::Protocol)?;
                    self.keys = Some((profile, material.to_vec()));
                }
                Output::CloseNotify => self.closed_by_peer = true,
                _ => {}
            }
        }
        if !self.connected || self.reported {
            return Ok(None);
        }
        if !self.peer_checked {
            return Err(DtlsFailure::Fingerprint);
        }
        // The crate completes a handshake without an SRTP profile in common, and
        // then exports nothing, ever.
        let (profile, keying_material) = self.keys.take().ok_or(DtlsFailure::Protocol)?;
        self.reported = true;
        Ok(Some(Established {
            profile,
            keying_material,
            version: match self.inner.protocol_version() {
                Some(ProtocolVersion::DTLS1_3) => "1.3",
                _ => "1.2",
            },
        }))
    }

    /// Starts an orderly end; the alert comes out of the next drain.
    pub fn close(&mut self) {
        // An association that cannot be closed any more needs no alert.
        let _ = self.inner.close();
    }
}

fn instant(zero: Instant, now: Time) -> Instant {
    zero.checked_add(Duration::from_micros(now.as_us()))
        .unwrap_or(zero)
}

fn known_profile(profile: SrtpProfile) -> Option<Profile> {
    match profile {
        SrtpProfile::AEAD_AES_256_GCM => Some(Profile::AeadAes256Gcm),
        SrtpProfile::AEAD_AES_128_GCM => Some(Profile::AeadAes128Gcm),
        SrtpProfile::AES128_CM_SHA1_80 => Some(Profile::AesCm128HmacSha1_80),
        _ => None,
    }
}
