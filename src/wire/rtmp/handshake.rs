//! The server's side of the RTMP handshake (RTMP 1.0 section 5.2), simple and
//! with digests. The digest form is in no specification; players ask for it by
//! a version in C1, and old Flash players decode H.264 only after it. Owns the
//! answer to C0 and C1; refuses encryption (RTMPE) and does not look at C2,
//! which clients are known to fill with anything.

use std::fmt;

use crate::base::hash::hmac_sha256;
use crate::base::random::Noise;
use crate::wire::bytes;

/// Bytes of C0 and C1 together, and of S0 and S1.
pub const HELLO_BYTES: usize = 1 + PACKET_BYTES;

/// Bytes of C1, C2, S1 and S2.
pub const PACKET_BYTES: usize = 1_536;

const DIGEST_BYTES: usize = 32;

/// The plain protocol; 6 is its encrypted form.
const VERSION: u8 = 3;
const VERSION_ENCRYPTED: u8 = 6;

/// S1 says it is a media server new enough for digests.
const SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

/// Signs C1 and, with [`KEY_TAIL`], C2.
pub const PLAYER_KEY: &[u8] = b"Genuine Adobe Flash Player 001";

const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";

/// What follows a key where it signs the peer's digest.
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57,
    0x6e, 0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];

/// Where a signed packet keeps its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the first of the two blocks.
    DigestFirst,
    /// In the second.
    KeyFirst,
}

/// Why a handshake cannot go on; the client's fault each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// The client wants RTMPE.
    Encrypted,
    /// C0 names no version of RTMP: another protocol's bytes.
    Version(u8),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Encrypted => f.write_str("RTMPE is not served"),
            HandshakeError::Version(version) => write!(f, "RTMP version {version}"),
        }
    }
}

/// Looks at C0, the first byte of a connection.
///
/// # Errors
/// Every version but 3.
pub fn check_version(c0: u8) -> Result<(), HandshakeError> {
    match c0 {
        VERSION => Ok(()),
        VERSION_ENCRYPTED => Err(HandshakeError::Encrypted),
        other => Err(HandshakeError::Version(other)),
    }
}

/// S0, S1 and S2 for `c1`: with digests if C1 carries a valid one, simple
/// otherwise. `uptime_ms` is the server's clock, which S1 opens with.
pub fn answer(c1: &[u8; PACKET_BYTES], uptime_ms: u32, noise: &mut Noise) -> Vec<u8> {
    let mut out = vec![VERSION];
    let mut s1 = [0; PACKET_BYTES];
    fill(&mut s1, noise);
    put(&mut s1, 0, &uptime_ms.to_be_bytes());
    let Some((scheme, client_digest)) = client_digest(c1) else {
        put(&mut s1, 4, &[0; 4]);
        out.extend_from_slice(&s1);
        // The simple S2 is C1 again (section 5.2.4).
        out.extend_from_slice(c1);
        return out;
    };
    put(&mut s1, 4, &SERVER_VERSION);
    sign(&mut s1, scheme, SERVER_KEY);
    let mut s2 = [0; PACKET_BYTES];
    fill(&mut s2, noise);
    let key = hmac_sha256(&[SERVER_KEY, &KEY_TAIL].concat(), &client_digest);
    if let Some((body, tail)) = s2.split_last_chunk_mut::<DIGEST_BYTES>() {
        *tail = hmac_sha256(&key, body);
    }
    out.extend_from_slice(&s1);
    out.extend_from_slice(&s2);
    out
}

/// The valid digest of C1, and where it was found. Clients with version 0 are
/// simple ones by definition.
fn client_digest(c1: &[u8; PACKET_BYTES]) -> Option<(Scheme, [u8; DIGEST_BYTES])> {
    if bytes::u32_at(c1, 4) == Some(0) {
        return None;
    }
    [Scheme::DigestFirst, Scheme::KeyFirst]
        .into_iter()
        .find_map(|scheme| {
            let digest = digest(c1, scheme, PLAYER_KEY)?;
            let at = digest_position(c1, scheme)?;
            let said = c1.get(at..)?.first_chunk::<DIGEST_BYTES>()?;
            (*said == digest).then_some((scheme, digest))
        })
}

/// Writes the digest of a C1 or S1 under `key` into it.
pub fn sign(packet: &mut [u8; PACKET_BYTES], scheme: Scheme, key: &[u8]) {
    let at = digest_position(packet, scheme);
    if let (Some(at), Some(digest)) = (at, digest(packet, scheme, key)) {
        put(packet, at, &digest);
    }
}

/// HMAC of a packet without the 32 bytes of its digest.
fn digest(packet: &[u8], scheme: Scheme, key: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    let at = digest_position(packet, scheme)?;
    let before = packet.get(..at)?;
    let after = packet.get(at + DIGEST_BYTES..)?;
    Some(hmac_sha256(key, &[before, after].concat()))
}

/// Each block opens (digest) with four bytes whose sum is the offset in it; it
/// has 764 bytes, of which 4 + 32 are taken.
fn digest_position(packet: &[u8], scheme: Scheme) -> Option<usize> {
    let block = match scheme {
        Scheme::DigestFirst => 8,
        Scheme::KeyFirst => 8 + 764,
    };
    let offset: [u8; 4] = packet.get(block..)?.first_chunk().copied()?;
    let sum: usize = offset.iter().map(|byte| usize::from(*byte)).sum();
    Some(block + 4 + sum % (764 - 4 - DIGEST_BYTES))
}

fn put(packet: &mut [u8], at: usize, value: &[u8]) {
    let place = packet.iter_mut().skip(at);
    for (to, from) in place.zip(value) {
        *to = *from;
    }
}

fn fill(out: &mut [u8], noise: &mut Noise) {
    for chunk in out.chunks_mut(8) {
        put(chunk, 0, &noise.next_u64().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c1(version: [u8; 4], scheme: Option<Scheme>) -> [u8; PACKET_BYTES] {
        let mut packet = [0; PACKET_BYTES];
        fill(&mut packet, &mut Noise::new(9));
        put(&mut packet, 4, &version);
        if let Some(scheme) = scheme {
            sign(&mut packet, scheme, PLAYER_KEY);
        }
        packet
    }

    fn parts(answer: &[u8]) -> (&[u8], &[u8]) {
        assert_eq!(answer.len(), HELLO_BYTES + PACKET_BYTES);
        assert_eq!(answer[0], 3);
        answer[1..].split_at(PACKET_BYTES)
    }

    #[test]
    fn a_simple_client_gets_its_c1_back() {
        let c1 = c1([0; 4], None);
        let answer = answer(&c1, 7, &mut Noise::new(1));
        let (s1, s2) = parts(&answer);
        assert_eq!(s1[..8], [0, 0, 0, 7, 0, 0, 0, 0]);
        assert_eq!(s2, c1);
    }

    #[test]
    fn a_signed_client_gets_signatures_of_the_same_scheme() {
        for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
            let c1 = c1([9, 0, 0x7c, 2], Some(scheme));
            let answer = answer(&c1, 7, &mut Noise::new(1));
            let (s1, s2) = parts(&answer);
            assert_eq!(s1[4..8], SERVER_VERSION);
            let at = digest_position(s1, scheme).unwrap();
            assert_eq!(s1[at..at + 32], digest(s1, scheme, SERVER_KEY).unwrap());
            let client = digest(&c1, scheme, PLAYER_KEY).unwrap();
            let key = hmac_sha256(&[SERVER_KEY, &KEY_TAIL].concat(), &client);
            assert_eq!(s2[1504..], hmac_sha256(&key, &s2[..1504]));
        }
    }

    #[test]
    fn a_version_without_a_valid_digest_is_a_simple_client() {
        let mut c1 = c1([9, 0, 0x7c, 2], Some(Scheme::DigestFirst));
        c1[1000] ^= 1;
        let answer = answer(&c1, 0, &mut Noise::new(1));
        assert_eq!(parts(&answer).1, c1);
    }

    #[test]
    fn only_plain_rtmp_is_served() {
        assert_eq!(check_version(3), Ok(()));
        assert_eq!(check_version(6), Err(HandshakeError::Encrypted));
        assert_eq!(check_version(b'G'), Err(HandshakeError::Version(b'G')));
    }

    #[test]
    fn digests_stay_inside_their_block() {
        let mut packet = [0xff; PACKET_BYTES];
        for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
            for sum in 0..=255 {
                put(&mut packet, 8, &[sum, 0xff, 0xff, 0xff]);
                put(&mut packet, 772, &[sum, 0xff, 0xff, 0xff]);
                let at = digest_position(&packet, scheme).unwrap();
                let block = if scheme == Scheme::DigestFirst {
                    8
                } else {
                    772
                };
                assert!(at >= block + 4 && at + 32 <= block + 764);
            }
        }
    }
}
