//! TLS of the https port against an independent end: rustls' own client, over
//! buffers cut anywhere.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::sync::Arc;

use ringhall::io::tls::{own, pem};
use ringhall::proto::tls::{Identity, Progress, Tls};
use rustls::client::{ClientConnection, Resumption};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// A server's identity and what a client needs to trust it.
struct Trust {
    identity: Identity,
    config: Arc<ClientConfig>,
}

fn trust(versions: &[&'static SupportedProtocolVersion]) -> Trust {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_string()];
    let certificate = rcgen::CertificateParams::new(names).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(8);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let certificate = pem::encode("CERTIFICATE", certificate.der());
    let key = pem::encode("PRIVATE KEY", &key.serialize_der());
    Trust {
        identity: Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap(),
        config: Arc::new(config),
    }
}

/// A client and the server, with what the server has read.
struct Pair {
    client: ClientConnection,
    server: Tls,
    read: Vec<u8>,
    progress: Progress,
    /// Pieces the server is given its bytes in.
    chunk: usize,
}

impl Pair {
    fn new(trust: &Trust) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Pair {
            client: ClientConnection::new(Arc::clone(&trust.config), name).unwrap(),
            server: Tls::new(&trust.identity).unwrap(),
            read: Vec::new(),
            progress: Progress::Open,
            chunk: usize::MAX,
        }
    }

    /// Bytes the client wants to send.
    fn client_says(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn feed_server(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.chunk.clamp(1, bytes.len().max(1))) {
            self.progress = self.server.read(piece, &mut self.read);
        }
    }

    fn feed_client(&mut self, mut bytes: &[u8]) -> Result<(), rustls::Error> {
        while !bytes.is_empty() {
            if self.client.read_tls(&mut bytes).unwrap() == 0 {
                return Ok(());
            }
            self.client.process_new_packets()?;
        }
        Ok(())
    }

    /// Passes bytes to and fro until neither end has any.
    fn settle(&mut self) {
        loop {
            let up = self.client_says();
            self.feed_server(&up);
            let down = self.server.take_output();
            self.feed_client(&down).unwrap();
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    fn heard_by_client(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        let mut piece = [0; 4_096];
        while let Ok(len) = self.client.reader().read(&mut piece) {
            if len == 0 {
                break;
            }
            heard.extend_from_slice(&piece[..len]);
        }
        heard
    }
}

#[test]
fn both_versions_agree_and_nothing_is_resumed() {
    for (version, name) in BOTH
        .into_iter()
        .zip([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3])
    {
        let trust = trust(&[version]);
        for _ in 0..3 {
            let mut pair = Pair::new(&trust);
            assert!(pair.server.is_handshaking());
            pair.settle();
            assert!(!pair.server.is_handshaking() && !pair.client.is_handshaking());
            assert_eq!(pair.client.protocol_version(), Some(name));
            assert_eq!(pair.client.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(pair.client.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(pair.client.tls13_tickets_received(), 0);
            pair.client.writer().write_all(QUESTION).unwrap();
            pair.settle();
            assert_eq!(pair.read, QUESTION);
            pair.server.write(ANSWER);
            pair.settle();
            assert_eq!(pair.heard_by_client(), ANSWER);
            assert_eq!(pair.client.tls13_tickets_received(), 0);
        }
    }
}

#[test]
fn bytes_may_be_cut_anywhere() {
    for version in BOTH {
        let trust = trust(&[version]);
        // In pieces of every small size, and in two at every place.
        for chunk in 1..40 {
            let mut pair = Pair::new(&trust);
            pair.chunk = chunk;
            pair.client.writer().write_all(QUESTION).unwrap();
            pair.settle();
            assert_eq!(pair.read, QUESTION, "pieces of {chunk}");
            pair.server.write(ANSWER);
            pair.settle();
            assert_eq!(pair.heard_by_client(), ANSWER);
        }
        let mut pair = Pair::new(&trust);
        let hello = pair.client_says().len();
        for at in 0..=hello {
            let mut pair = Pair::new(&trust);
            let hello = pair.client_says();
            let (one, two) = hello.split_at(at.min(hello.len()));
            pair.feed_server(one);
            assert_eq!(pair.progress, Progress::Open);
            pair.feed_server(two);
            pair.settle();
            assert!(!pair.client.is_handshaking(), "cut at {at}");
        }
        let mut pair = Pair::new(&trust);
        pair.settle();
        for at in 0..200 {
            pair.client.writer().write_all(QUESTION).unwrap();
            let bytes = pair.client_says();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            pair.feed_server(one);
            pair.feed_server(two);
            assert_eq!(std::mem::take(&mut pair.read), QUESTION, "cut at {at}");
            pair.server.write(ANSWER);
            let bytes = pair.server.take_output();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            pair.feed_client(one).unwrap();
            pair.feed_client(two).unwrap();
            assert_eq!(pair.heard_by_client(), ANSWER, "cut at {at}");
        }
    }
}

#[test]
fn a_megabyte_passes_both_ways_whole() {
    for version in BOTH {
        let trust = trust(&[version]);
        let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 7 / 5) as u8).collect();
        let mut pair = Pair::new(&trust);
        pair.chunk = 4_096;
        // Before the handshake is over, it waits.
        pair.server.write(&body[..1_000]);
        pair.settle();
        assert_eq!(pair.heard_by_client(), &body[..1_000]);
        pair.server.write(&body);
        let sealed = pair.server.take_output();
        assert!(sealed.len() > body.len() && sealed.len() < body.len() + 10_000);
        assert!(pair.server.take_output().is_empty());
        let mut heard = Vec::new();
        for piece in sealed.chunks(1_400) {
            pair.feed_client(piece).unwrap();
            heard.extend(pair.heard_by_client());
        }
        assert!(heard == body);
        for piece in body.chunks(50_000) {
            pair.client.writer().write_all(piece).unwrap();
            pair.settle();
        }
        assert!(pair.read == body);
    }
}

#[test]
fn an_end_is_told_and_heard() {
    for version in BOTH {
        let trust = trust(&[version]);
        let mut pair = Pair::new(&trust);
        pair.settle();
        pair.client.writer().write_all(QUESTION).unwrap();
        pair.client.send_close_notify();
        let bytes = pair.client_says();
        pair.feed_server(&bytes);
        assert_eq!(
            (pair.progress, pair.read.as_slice()),
            (Progress::PeerClosed, QUESTION)
        );
        // Nothing more is read, and it stays closed.
        pair.feed_server(&bytes);
        pair.feed_server(b"x");
        assert_eq!(
            (pair.progress, pair.read.len()),
            (Progress::PeerClosed, QUESTION.len())
        );
        // What was asked is still answered.
        pair.server.write(ANSWER);
        pair.server.close();
        pair.server.close();
        pair.server.write(b"after the end");
        let bytes = pair.server.take_output();
        pair.feed_client(&bytes).unwrap();
        assert_eq!(pair.heard_by_client(), ANSWER);
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn plain_http_is_answered_with_an_alert() {
    let trust = trust(&BOTH);
    for len in 1..=QUESTION.len() {
        for chunk in [1, 3, usize::MAX] {
            let mut pair = Pair::new(&trust);
            pair.chunk = chunk;
            pair.feed_server(&QUESTION[..len]);
            assert!(pair.read.is_empty());
            let output = pair.server.take_output();
            if pair.progress != Progress::Broken {
                // Too short to tell.
                assert!(len < 8 && output.is_empty(), "{len}");
                continue;
            }
            // A fatal alert in a record of its own (RFC 8446 section 6.2).
            assert!(
                output.len() == 7 && output[0] == 21 && output[5] == 2,
                "{output:?}"
            );
            pair.server.write(b"ignored");
            pair.server.close();
            assert!(pair.server.take_output().is_empty());
            pair.feed_server(QUESTION);
            assert_eq!(pair.progress, Progress::Broken);
        }
    }
}

#[test]
fn hellos_cut_short_wait_and_mutated_ones_never_panic() {
    for version in BOTH {
        let trust = trust(&[version]);
        let hello = Pair::new(&trust).client_says();
        for len in 0..hello.len() {
            let mut pair = Pair::new(&trust);
            pair.feed_server(&hello[..len]);
            assert_eq!(pair.progress, Progress::Open, "{len}");
            assert!(pair.server.take_output().is_empty());
        }
        for at in 0..hello.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = hello.clone();
                changed[at] ^= change;
                let mut pair = Pair::new(&trust);
                pair.feed_server(&changed);
                pair.server.write(b"never in the clear");
                let output = pair.server.take_output();
                assert!(pair.read.is_empty());
                assert!(!output.windows(5).any(|window| window == b"never"));
            }
        }
    }
}

#[test]
fn a_mutated_record_ends_the_connection() {
    for version in BOTH {
        let trust = trust(&[version]);
        let mut pair = Pair::new(&trust);
        pair.settle();
        pair.client.writer().write_all(QUESTION).unwrap();
        let mut bytes = pair.client_says();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        pair.feed_server(&bytes);
        assert_eq!((pair.progress, pair.read.len()), (Progress::Broken, 0));
        let alert = pair.server.take_output();
        assert!(!alert.is_empty());
        assert!(pair.feed_client(&alert).is_err(), "the client is told");
    }
}

#[test]
fn a_client_that_does_not_trust_us_says_so() {
    for version in BOTH {
        let known = trust(&[version]);
        let other = trust(&[version]);
        let mut pair = Pair::new(&known);
        pair.server = Tls::new(&other.identity).unwrap();
        let hello = pair.client_says();
        pair.feed_server(&hello);
        let answer = pair.server.take_output();
        assert!(pair.feed_client(&answer).is_err());
        let alert = pair.client_says();
        pair.feed_server(&alert);
        assert_eq!(pair.progress, Progress::Broken);
    }
}

#[test]
fn our_own_certificate_is_good_for_every_name_in_it() {
    let folder = std::env::temp_dir().join(format!("ringhall-tls-{}", std::process::id()));
    let names = own::names(&["203.0.113.7".parse().unwrap()]);
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    let own = own::kept_or_new(&folder, &names, since.as_secs()).unwrap();
    let text = std::fs::read(folder.join("cert.pem")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&text).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    for (name, is_named) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("203.0.113.7", true),
        ("203.0.113.8", false),
        ("example.org", false),
    ] {
        let server_name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), server_name).unwrap();
        let mut server = Tls::new(&own.identity).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        assert_eq!(server.read(&hello, &mut Vec::new()), Progress::Open);
        let answer = server.take_output();
        client.read_tls(&mut answer.as_slice()).unwrap();
        assert_eq!(client.process_new_packets().is_ok(), is_named, "{name}");
    }
}
