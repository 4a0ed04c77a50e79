//! Which protocol a datagram on the media port speaks, by its first bytes.
//! One total function: every datagram is exactly one [`Kind`].

use super::bytes::u8_at;

/// The protocols sharing a media port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    /// Nothing this server speaks (ZRTP, TURN channels, QUIC), or too short to
    /// be what its first byte claims.
    Unknown,
}

/// RFC 8489 section 5: the fixed STUN header.
const STUN_MIN_BYTES: usize = 20;
/// RFC 6347 section 4.1: the record header. The shortest DTLS 1.3 record is
/// longer still (RFC 9147 section 4.2.3 wants 16 bytes of ciphertext).
const DTLS_MIN_BYTES: usize = 13;
/// RFC 3550 section 5.1: the fixed RTP header.
const RTP_MIN_BYTES: usize = 12;
/// RFC 3711 section 3.4: the RTCP header and sender SSRC, sent in clear.
const RTCP_MIN_BYTES: usize = 8;

/// Classifies by the first byte (RFC 7983 section 7), then tells RTCP from RTP
/// by the payload type field: 64..=95 without the marker bit is RTCP, which
/// covers its packet types 192..=223 (RFC 5761 section 4).
pub fn classify(datagram: &[u8]) -> Kind {
    let (kind, min_bytes) = match u8_at(datagram, 0) {
        Some(0..=3) => (Kind::Stun, STUN_MIN_BYTES),
        Some(20..=63) => (Kind::Dtls, DTLS_MIN_BYTES),
        Some(128..=191) => match u8_at(datagram, 1).map(|byte| byte & 0x7f) {
            Some(64..=95) => (Kind::Rtcp, RTCP_MIN_BYTES),
            _ => (Kind::Rtp, RTP_MIN_BYTES),
        },
        _ => return Kind::Unknown,
    };
    if datagram.len() < min_bytes {
        return Kind::Unknown;
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(first: u8, second: u8) -> Kind {
        let mut datagram = [0u8; 20];
        datagram[0] = first;
        datagram[1] = second;
        classify(&datagram)
    }

    #[test]
    fn every_first_byte_has_its_kind() {
        for first in 0..=255u8 {
            let expected = match first {
                0..=3 => Kind::Stun,
                20..=63 => Kind::Dtls,
                128..=191 => Kind::Rtp,
                _ => Kind::Unknown,
            };
            assert_eq!(of(first, 96), expected, "first byte {first}");
        }
    }

    #[test]
    fn rtcp_is_packet_types_192_to_223() {
        for second in 0..=255u8 {
            let rtcp = matches!(second & 0x7f, 64..=95);
            assert_eq!(of(0x80, second) == Kind::Rtcp, rtcp, "second byte {second}");
            if (192..=223).contains(&second) {
                assert_eq!(of(0x80, second), Kind::Rtcp);
            }
        }
        // A dynamic payload type with the marker set stays RTP.
        assert_eq!(of(0x90, 0x80 | 96), Kind::Rtp);
        assert_eq!(of(0x90, 0x80 | 127), Kind::Rtp);
    }

    #[test]
    fn too_short_is_unknown() {
        for (first, second, min_bytes) in [
            (0, 1, STUN_MIN_BYTES),
            (22, 254, DTLS_MIN_BYTES),
            (0x80, 111, RTP_MIN_BYTES),
            (0x80, 200, RTCP_MIN_BYTES),
        ] {
            let mut datagram = [0u8; 20];
            datagram[0] = first;
            datagram[1] = second;
            for len in 0..=20 {
                let known = classify(&datagram[..len]) != Kind::Unknown;
                assert_eq!(known, len >= min_bytes, "first {first}, {len} bytes");
            }
        }
    }
}
