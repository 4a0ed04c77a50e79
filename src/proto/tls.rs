//! The server's end of TLS over byte buffers (RFC 8446, RFC 5246): the door to
//! `rustls`. Owns one connection's records; refuses client certificates, and
//! resumption, whose cache every core would have to lock.

// The configuration is shared with rustls by design.
#![allow(clippy::disallowed_types)]

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConnection};

/// A certificate chain with its key, checked to belong together. Cheap to
/// clone: every core holds one.
#[derive(Clone)]
pub struct Identity(Arc<rustls::ServerConfig>);

impl Identity {
    /// From PEM text: the chain with the server's own certificate first, and
    /// its key (PKCS#8, PKCS#1 or SEC1).
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(IdentityError::Certificate("no certificate in it".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| IdentityError::Key(error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| IdentityError::Pair(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| IdentityError::Pair(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Identity(Arc::new(config)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Why a certificate or its key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    Certificate(String),
    Key(String),
    /// Each can be read, but not the two used together.
    Pair(String),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::Certificate(why) => write!(f, "certificate: {why}"),
            IdentityError::Key(why) => write!(f, "key: {why}"),
            IdentityError::Pair(why) => write!(f, "certificate with this key: {why}"),
        }
    }
}

impl std::error::Error for IdentityError {}

/// How a connection goes on after bytes of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Open,
    /// The peer said its last (`close_notify`); what we write still reaches it.
    PeerClosed,
    /// The peer broke the protocol, or said that we did; [`Tls::take_output`]
    /// holds the alert, if one is due, and nothing more is read or written.
    Broken,
}

/// One connection.
pub struct Tls {
    connection: ServerConnection,
    broken: bool,
    peer_closed: bool,
}

impl Tls {
    /// `None` when the identity cannot serve, which its making rules out.
    pub fn new(identity: &Identity) -> Option<Self> {
        let mut connection = ServerConnection::new(Arc::clone(&identity.0)).ok()?;
        // What is sealed is taken at once and queued, bounded, by the driver.
        connection.set_buffer_limit(None);
        Some(Tls {
            connection,
            broken: false,
            peer_closed: false,
        })
    }

    /// Takes bytes of the peer and appends what they say to `plain`. Answers
    /// of the protocol itself are in [`Tls::take_output`] afterwards.
    pub fn read(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Progress {
        // After its close nothing of the peer is read.
        while !bytes.is_empty() && !self.broken && !self.peer_closed {
            let taken = self.connection.read_tls(&mut bytes);
            let state = self.connection.process_new_packets();
            match (taken, state) {
                (Ok(taken), Ok(state)) => {
                    self.peer_closed = state.peer_has_closed();
                    self.take_plain(state.plaintext_bytes_to_read(), plain);
                    if taken == 0 {
                        break;
                    }
                }
                _ => self.broken = true,
            }
        }
        match (self.broken, self.peer_closed) {
            (true, _) => Progress::Broken,
            (false, true) => Progress::PeerClosed,
            (false, false) => Progress::Open,
        }
    }

    fn take_plain(&mut self, len: usize, plain: &mut Vec<u8>) {
        let start = plain.len();
        plain.resize(start + len, 0);
        if let Some(room) = plain.get_mut(start..)
            && self.connection.reader().read_exact(room).is_err()
        {
            plain.truncate(start);
            self.broken = true;
        }
    }

    /// Encrypts `plain` into the output.
    pub fn write(&mut self, plain: &[u8]) {
        if !self.broken {
            // Writing to memory without a limit takes everything.
            let _ = self.connection.writer().write_all(plain);
        }
    }

    /// Says that nothing follows (RFC 8446 section 6.1).
    pub fn close(&mut self) {
        if !self.broken {
            self.connection.send_close_notify();
        }
    }

    /// Records to send, in order.
    pub fn take_output(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut records) {
                Ok(written) if written > 0 => {}
                _ => break,
            }
        }
        records
    }

    /// Whether the handshake still runs.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }
}
