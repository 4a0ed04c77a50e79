//! The per-packet path of this crate's codecs (header parse and write, SRTP
//! protect and unprotect, RTCP into a reused buffer) never allocates once a
//! stream is known. Counts the allocator's calls of this thread.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod counting;

use counting::calls;
use ringhall::base::limits::{RTCP_PACKET_MAX_BYTES, SRTP_STREAMS_USUAL, SRTP_TAIL_MAX_BYTES};
use ringhall::proto::srtp::{Profile, Receiver, Sender, UnprotectError};
use ringhall::wire::rtcp;
use ringhall::wire::rtp::{EgressExtensions, EgressHeader, Header, payload_len, write_header};

const PROFILES: [Profile; 3] = [
    Profile::AeadAes256Gcm,
    Profile::AeadAes128Gcm,
    Profile::AesCm128HmacSha1_80,
];

#[test]
fn the_counter_counts() {
    let before = calls();
    drop(std::hint::black_box(vec![0u8; 100]));
    assert_eq!(calls(), before + 1);
}

#[test]
fn forwarding_allocates_nothing() {
    let payload = [7u8; 1_100];
    for profile in PROFILES {
        let (key, salt) = ([1u8; 32], [2u8; 14]);
        let (key, salt) = (&key[..profile.key_len()], &salt[..profile.salt_len()]);
        let mut sender = Sender::new(profile, key, salt).unwrap();
        let mut receiver = Receiver::new(profile, key, salt).unwrap();
        let mut out = [0u8; 1_500];
        let before = calls();
        // From the first packet of every stream a transport usually has, over
        // a wrap of the sequence number.
        for index in 65_000..66_500u64 {
            let ssrc = (index % SRTP_STREAMS_USUAL as u64) as u32;
            let header = EgressHeader {
                marker: false,
                padding: false,
                payload_type: 96,
                sequence: index as u16,
                timestamp: 0,
                ssrc,
            };
            let extensions = EgressExtensions {
                mid: Some((1, b"video")),
                audio_level: None,
                orientation: Some((2, 1)),
            };
            let header_len = write_header(&mut out, &header, &extensions).unwrap();
            let len = sender
                .seal_from(ssrc, index, &mut out, header_len, &payload, 0)
                .unwrap();
            let parsed = Header::parse(&out[..len]).unwrap();
            assert_eq!(parsed.mid(&out, 1), Some(&b"video"[..]));
            let opened = receiver.unprotect_rtp(&parsed, &mut out[..len]).unwrap();
            let plain = &out[..opened.len];
            assert_eq!(payload_len(&parsed, plain), Ok(payload.len()));
            // A replay and a forgery allocate nothing either.
            let replayed = receiver.unprotect_rtp(&parsed, &mut out[..len]);
            assert_eq!(replayed, Err(UnprotectError::Replayed));
            let forged = Header {
                sequence: parsed.sequence.wrapping_add(1),
                ..parsed
            };
            let forged = receiver.unprotect_rtp(&forged, &mut out[..len]);
            assert_eq!(forged, Err(UnprotectError::Authentication));
        }
        assert_eq!(calls(), before, "{profile:?}");
    }
}

#[test]
fn control_packets_allocate_nothing_in_a_reused_buffer() {
    for profile in PROFILES {
        let (key, salt) = ([1u8; 32], [2u8; 14]);
        let (key, salt) = (&key[..profile.key_len()], &salt[..profile.salt_len()]);
        let mut sender = Sender::new(profile, key, salt).unwrap();
        let mut receiver = Receiver::new(profile, key, salt).unwrap();
        let mut out = Vec::with_capacity(RTCP_PACKET_MAX_BYTES + SRTP_TAIL_MAX_BYTES);
        let before = calls();
        for _ in 0..1_000 {
            out.clear();
            rtcp::receiver_report(&mut out, 1, &[]).unwrap();
            assert_eq!(rtcp::nack(&mut out, 1, 2, &[5, 6, 30]), 3);
            rtcp::pli(&mut out, 1, 2);
            sender.protect_rtcp(&mut out).unwrap();
            let len = receiver.unprotect_rtcp(&mut out).unwrap();
            assert_eq!(rtcp::packets(&out[..len]).filter(Result::is_ok).count(), 3);
        }
        assert_eq!(calls(), before, "{profile:?}");
    }
}
