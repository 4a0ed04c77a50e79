//! A DTLS peer of another make (the `dtls` crate, 1.2 only), as client against
//! our server's end and as server against our client's: the handshake completes
//! and both export the same keys, and what we must refuse is refused.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod ends;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dtls::cipher_suite::CipherSuiteId;
use dtls::config::{ClientAuthType, Config};
use dtls::conn::DTLSConn;
use dtls::crypto::Certificate;
use dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use ringhall::base::hash::sha256;
use ringhall::base::time::{Span, Time};
use ringhall::proto::dtls::{Dtls, DtlsFailure, End, Established, MaxVersion};
use ringhall::proto::srtp::Profile;
use webrtc_util::KeyingMaterialExporter;
use webrtc_util::conn::Conn;
use webrtc_util::conn::conn_pipe::pipe;

use ends::{VERSIONS, identity};

use SrtpProtectionProfile::{
    Srtp_Aead_Aes_128_Gcm as GCM_128, Srtp_Aead_Aes_256_Gcm as GCM_256,
    Srtp_Aes128_Cm_Hmac_Sha1_32 as SHA1_32, Srtp_Aes128_Cm_Hmac_Sha1_80 as SHA1_80,
};

/// A self-signed RSA certificate (2,048 bits, SHA-256), made with OpenSSL.
const RSA_CERTIFICATE: &[u8] = include_bytes!("vectors/rsa_certificate.der");

/// No handshake between two ends of one process takes that long.
const PATIENCE: Duration = Duration::from_secs(5);

fn certificate() -> Certificate {
    Certificate::generate_self_signed(vec!["foreign".to_string()]).unwrap()
}

fn config(certificate: &Certificate, profiles: &[SrtpProtectionProfile]) -> Config {
    Config {
        certificates: vec![certificate.clone()],
        srtp_protection_profiles: profiles.to_vec(),
        insecure_skip_verify: true,
        flight_interval: Duration::from_millis(200),
        // As a server it wants our certificate, as WebRTC has it.
        client_auth: ClientAuthType::RequireAnyClientCert,
        ..Config::default()
    }
}

/// What our end came to; without keys when the peer left before.
type Ours = Result<Option<Established>, DtlsFailure>;

/// Our end at one end of the pipe, until it has keys or failed; then it
/// keeps answering for a moment, for a lost last flight.
async fn serve(near: impl Conn, mut server: Dtls, zero: Instant) -> Ours {
    let now = || Time::from_us(zero.elapsed().as_micros() as u64);
    // Who is the client speaks first.
    server.handle_deadline(now())?;
    let mut keys = None;
    let mut buffer = vec![0; 4_096];
    loop {
        let mut said = Vec::new();
        let drained = server.drain(|bytes| said.push(bytes.to_vec()));
        for bytes in said {
            assert!(bytes.len() <= 1_150);
            // A client that gave up no longer listens: the pipe may be full.
            let sending = near.send(&bytes);
            let _ = tokio::time::timeout(Duration::from_millis(10), sending).await;
        }
        if let Some(established) = drained? {
            assert!(keys.replace(established).is_none());
        }
        let due = server.deadline().map_or(PATIENCE, |due| {
            Duration::from_micros(due.since(now()).as_us())
        });
        // An idle association names a deadline far away.
        let longest_ms = if keys.is_some() { 50 } else { 500 };
        let due = due.min(Duration::from_millis(longest_ms));
        if zero.elapsed() > PATIENCE {
            break;
        }
        tokio::select! {
            received = near.recv(&mut buffer) => match received {
                Ok(len) => server.handle(now(), &buffer[..len])?,
                Err(_) => break,
            },
            () = tokio::time::sleep(due) => match keys {
                Some(_) => break,
                None => server.handle_deadline(now())?,
            },
        }
    }
    Ok(keys)
}

/// Runs one handshake. Ours, and the peer's connection if it completed.
async fn handshake(
    config: Config,
    version: MaxVersion,
    end: End,
    named: &[u8],
) -> (Ours, Option<DTLSConn>) {
    let zero = Instant::now();
    let expected = vec![sha256(named)];
    let server = match end {
        End::Server => Dtls::server(&identity(version), Time::ZERO, expected),
        End::Client => Dtls::client(&identity(version), Time::ZERO, expected),
    };
    let is_client = end == End::Server;
    let (near, far) = pipe();
    let client = async {
        let connecting = DTLSConn::new(Arc::new(far), config, is_client, None);
        let connected = tokio::time::timeout(PATIENCE, connecting).await;
        connected.ok().and_then(Result::ok)
    };
    tokio::pin!(client);
    let ours = serve(near, server, zero);
    tokio::pin!(ours);
    // A refused client waits in vain: only ours decides when it is over.
    let mut connection = None;
    loop {
        tokio::select! {
            ours = &mut ours => return (ours, connection),
            connected = &mut client, if connection.is_none() => {
                connection = connected;
                if connection.is_none() {
                    return (ours.await, None);
                }
            }
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(work)
}

/// The handshake completes with `expected`, and the keys are the same.
fn agrees(config: Config, version: MaxVersion, named: &[u8], expected: Profile) {
    agrees_as(End::Server, config, version, named, expected);
}

/// The same, ours being this end.
fn agrees_as(end: End, config: Config, version: MaxVersion, named: &[u8], expected: Profile) {
    block_on(async {
        let (ours, connection) = handshake(config, version, end, named).await;
        let ours = ours.unwrap_or_else(|failure| panic!("{version:?}: {failure:?}"));
        let ours = ours.expect("the client gave up");
        let connection = connection.expect("ours is done, the client is not");
        let state = connection.connection_state().await;
        let theirs = state
            .export_keying_material("EXTRACTOR-dtls_srtp", &[], expected.material_len())
            .await
            .unwrap();
        assert_eq!(ours.profile, expected);
        assert_eq!(ours.keying_material, theirs);
        assert_eq!(ours.version, "1.2");
    });
}

/// Ours refuses with `expected`.
fn refuses(config: Config, version: MaxVersion, named: &[u8], expected: DtlsFailure) {
    let (ours, _) = block_on(handshake(config, version, End::Server, named));
    assert_eq!(
        ours.map(|keys| keys.map(|keys| keys.profile)),
        Err(expected),
        "{version:?}"
    );
}

#[test]
fn a_foreign_client_gets_the_same_keys_in_every_profile() {
    let certificate = certificate();
    let named = certificate.certificate[0].as_ref();
    for version in VERSIONS {
        for (offered, expected) in [
            // Ours prefers the strongest, in whatever order they are offered.
            (&[SHA1_80, GCM_128, GCM_256][..], Profile::AeadAes256Gcm),
            (&[SHA1_80, GCM_128], Profile::AeadAes128Gcm),
            (&[GCM_128], Profile::AeadAes128Gcm),
            (&[SHA1_32, SHA1_80], Profile::AesCm128HmacSha1_80),
            (&[SHA1_80], Profile::AesCm128HmacSha1_80),
        ] {
            agrees(config(&certificate, offered), version, named, expected);
        }
    }
}

#[test]
fn a_foreign_server_gets_the_same_keys_in_every_profile() {
    let certificate = certificate();
    let named = certificate.certificate[0].as_ref();
    for version in VERSIONS {
        for (known, expected) in [
            (&[GCM_256][..], Profile::AeadAes256Gcm),
            (&[GCM_128], Profile::AeadAes128Gcm),
            // As ffmpeg's.
            (&[SHA1_80], Profile::AesCm128HmacSha1_80),
        ] {
            let config = config(&certificate, known);
            agrees_as(End::Client, config, version, named, expected);
        }
    }
}

#[test]
fn a_foreign_server_with_another_certificate_is_refused() {
    for version in VERSIONS {
        let config = config(&certificate(), &[GCM_128]);
        let another = certificate();
        let named = another.certificate[0].as_ref();
        let (ours, _) = block_on(handshake(config, version, End::Client, named));
        let ours = ours.map(|keys| keys.map(|keys| keys.profile));
        assert_eq!(ours, Err(DtlsFailure::Fingerprint), "{version:?}");
    }
}

#[test]
fn a_foreign_client_may_send_small_fragments() {
    let certificate = certificate();
    let named = certificate.certificate[0].as_ref();
    for version in VERSIONS {
        for mtu in [100, 200, 500] {
            let config = Config {
                mtu,
                ..config(&certificate, &[GCM_256])
            };
            agrees(config, version, named, Profile::AeadAes256Gcm);
        }
    }
}

#[test]
fn a_foreign_certificate_not_named_is_refused() {
    for version in VERSIONS {
        let config = config(&certificate(), &[GCM_128]);
        let another = certificate();
        let named = another.certificate[0].as_ref();
        refuses(config, version, named, DtlsFailure::Fingerprint);
    }
}

#[test]
fn a_stolen_certificate_without_its_key_is_refused() {
    for version in VERSIONS {
        let stolen = certificate();
        let named = stolen.certificate[0].as_ref();
        let thief = Certificate {
            certificate: stolen.certificate.clone(),
            private_key: certificate().private_key,
        };
        let config = config(&thief, &[GCM_128]);
        refuses(config, version, named, DtlsFailure::Protocol);
    }
}

#[test]
fn an_rsa_certificate_is_refused_though_named() {
    // The client signs with an ECDSA key: it cannot sign with RSA, and neither
    // could we verify it. The certificate alone decides.
    for version in VERSIONS {
        let rsa = Certificate {
            certificate: vec![RSA_CERTIFICATE.to_vec().into()],
            private_key: certificate().private_key,
        };
        let config = config(&rsa, &[GCM_128]);
        refuses(config, version, RSA_CERTIFICATE, DtlsFailure::Protocol);
    }
}

#[test]
fn a_client_without_certificate_is_refused() {
    for version in VERSIONS {
        let certificate = certificate();
        let named = certificate.certificate[0].as_ref();
        let config = Config {
            certificates: Vec::new(),
            ..config(&certificate, &[GCM_128])
        };
        refuses(config, version, named, DtlsFailure::Protocol);
    }
}

#[test]
fn without_a_profile_in_common_it_is_refused() {
    let certificate = certificate();
    let named = certificate.certificate[0].as_ref();
    for version in VERSIONS {
        for profiles in [&[][..], &[SHA1_32]] {
            let config = config(&certificate, profiles);
            refuses(config, version, named, DtlsFailure::Protocol);
        }
    }
}

#[test]
fn a_hello_without_a_suite_in_common_is_not_answered() {
    let certificate = certificate();
    for version in VERSIONS {
        let config = Config {
            cipher_suites: vec![CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256],
            ..config(&certificate, &[GCM_128])
        };
        let hello = block_on(async {
            let (near, far) = pipe();
            let mut buffer = vec![0; 4_096];
            tokio::select! {
                _ = DTLSConn::new(Arc::new(far), config, true, None) => panic!("nobody answered"),
                received = near.recv(&mut buffer) => buffer.truncate(received.unwrap()),
            }
            buffer
        });
        let mut server = Dtls::server(&identity(version), Time::ZERO, vec![[0; 32]]);
        // Ignored or final: the transport ends by time or at once.
        let handled = server.handle(Time::from_us(1), &hello);
        assert!(matches!(handled, Ok(()) | Err(DtlsFailure::Protocol)));
        let drained = server.drain(|bytes| panic!("answered with {} bytes", bytes.len()));
        assert!(matches!(drained, Ok(None)));
    }
}

#[test]
fn a_foreign_close_is_heard() {
    let certificate = certificate();
    let named = sha256(certificate.certificate[0].as_ref());
    block_on(async {
        let zero = Instant::now();
        let now = || Time::from_us(zero.elapsed().as_micros() as u64);
        let identity = identity(MaxVersion::Dtls12);
        let mut server = Dtls::server(&identity, Time::ZERO, vec![named]);
        let (near, far) = pipe();
        let config = config(&certificate, &[GCM_128]);
        let client = tokio::spawn(async move {
            let far = Arc::new(far);
            let connection = DTLSConn::new(far, config, true, None).await.unwrap();
            connection.close().await.unwrap();
        });
        let mut buffer = vec![0; 4_096];
        while !server.closed_by_peer() {
            let mut said = Vec::new();
            server.drain(|bytes| said.push(bytes.to_vec())).unwrap();
            for bytes in said {
                // Our own close finds nobody.
                near.send(&bytes).await.ok();
            }
            if server.closed_by_peer() {
                break;
            }
            let received = tokio::time::timeout(PATIENCE, near.recv(&mut buffer)).await;
            let len = received.expect("no close arrived").unwrap();
            server.handle(now(), &buffer[..len]).unwrap();
        }
        assert!(now().since(Time::ZERO) < Span::from_secs(5));
        client.await.unwrap();
    });
}
