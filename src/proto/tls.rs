//! TLS over byte buffers (RFC 8446, RFC 5246): the door to `rustls`. Owns one
//! connection's records. The server's end refuses client certificates, and
//! resumption, whose cache every core would have to lock; the client's end, which
//! the load generator has, refuses servers it was not told to trust.

// The configuration is shared with rustls by design.
#![allow(clippy::disallowed_types)]

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ServerConnection};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

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
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
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

/// Whose certificates are believed. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Servers with a certificate of PEM text, or of one who issued it. The error
    /// says what is wrong with the text.
    pub fn of_pem(certificates: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(certificates) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("no certificate in it".to_string());
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Trust(Arc::new(config)))
    }

    /// Whoever answers, whatever it shows: for tests of servers one owns.
    pub fn anybody() -> Result<Self, String> {
        let provider = provider();
        let verifier = Anybody(provider.signature_verification_algorithms);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Trust(Arc::new(config)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Believes every certificate, though not that a peer holds its key: that it has
/// to prove.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// One connection of a client.
pub struct TlsClient(ClientConnection);

impl TlsClient {
    /// To the server called `host`, a name or an address; the error says why it
    /// can be neither.
    pub fn new(trust: &Trust, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_string()).map_err(|error| error.to_string())?;
        let connection = ClientConnection::new(Arc::clone(&trust.0), name);
        let mut connection = connection.map_err(|error| error.to_string())?;
        // What is sealed is taken at once.
        connection.set_buffer_limit(None);
        Ok(TlsClient(connection))
    }

    /// Takes bytes of the server and appends what they say to `plain`. The error
    /// says how it broke the protocol, or why it is not trusted.
    pub fn read(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        while !bytes.is_empty() {
            let taken = self.0.read_tls(&mut bytes);
            let state = self.0.process_new_packets();
            let state = state.map_err(|error| error.to_string())?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            let room = plain.get_mut(start..).unwrap_or_default();
            let read = self.0.reader().read_exact(room);
            read.map_err(|error| error.to_string())?;
            if !taken.is_ok_and(|taken| taken > 0) {
                break;
            }
        }
        Ok(())
    }

    /// Encrypts `plain` into the output.
    pub fn write(&mut self, plain: &[u8]) {
        // Writing to memory without a limit takes everything.
        let _ = self.0.writer().write_all(plain);
    }

    /// Records to send, in order.
    pub fn take_output(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.0.wants_write() {
            match self.0.write_tls(&mut records) {
                Ok(written) if written > 0 => {}
                _ => break,
            }
        }
        records
    }

    /// Whether the handshake still runs.
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }
}
