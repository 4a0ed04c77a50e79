use super::cipher::{Session, Use, apply_keystream};
use super::kdf::{Label, derive};
use super::*;
use crate::base::limits::{
    SRTP_RECEIVE_STREAMS_MAX, SRTP_SEND_STREAMS_MAX, SRTP_TAIL_MAX_BYTES, SRTP_WINDOW_PACKETS,
};
use crate::base::random::Noise;
use crate::wire::rtcp;
use crate::wire::rtp::Header;
use aes::cipher::KeyInit;

pub(super) const PROFILES: [Profile; 3] = [
    Profile::AeadAes256Gcm,
    Profile::AeadAes128Gcm,
    Profile::AesCm128HmacSha1_80,
];

pub(super) fn master(profile: Profile, seed: u64) -> KeyPair {
    let mut noise = Noise::new(seed);
    let material: Vec<u8> = (0..profile.material_len())
        .map(|_| noise.next_u64() as u8)
        .collect();
    split_keying_material(profile, &material).unwrap().0
}

/// A plain RTP packet: `shape` 0 is a bare header, 1 has an extension block,
/// 2 CSRCs as well.
pub(super) fn packet(ssrc: u32, index: u64, shape: u64, payload: &[u8]) -> Vec<u8> {
    let first = [0x80, 0x90, 0x92][shape as usize];
    let mut packet = vec![first, 0x80 | 96];
    packet.extend((index as u16).to_be_bytes());
    packet.extend((index as u32).wrapping_mul(3_000).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    if shape == 2 {
        packet.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    }
    if shape > 0 {
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
    }
    packet.extend(payload);
    packet
}

pub(super) fn header(packet: &[u8]) -> Header {
    Header::parse(packet).unwrap()
}

/// A plain compound of a receiver report and a NACK of `lost` packets.
pub(super) fn compound(ssrc: u32, lost: usize) -> Vec<u8> {
    let mut out = Vec::new();
    rtcp::receiver_report(&mut out, ssrc, &[]).unwrap();
    let lost: Vec<u16> = (0..lost as u16).map(|n| n * 20).collect();
    rtcp::nack(&mut out, ssrc, 1, &lost);
    out
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// A sender and receiver under one key.
struct Pair {
    sender: Sender,
    receiver: Receiver,
}

impl Pair {
    fn new(profile: Profile) -> Pair {
        let master = master(profile, 77);
        Pair {
            sender: Sender::new(profile, master.key(), master.salt()).unwrap(),
            receiver: Receiver::new(profile, master.key(), master.salt()).unwrap(),
        }
    }

    fn seal(&mut self, ssrc: u32, index: u64) -> Vec<u8> {
        self.try_seal(ssrc, index).unwrap()
    }

    fn try_seal(&mut self, ssrc: u32, index: u64) -> Result<Vec<u8>, ProtectError> {
        let mut sealed = packet(ssrc, index, 1, &index.to_be_bytes());
        let (header_len, len) = (header(&sealed).len, sealed.len());
        sealed.resize(len + self.sender.tag_len(), 0);
        let protected = self
            .sender
            .protect_rtp(ssrc, index, &mut sealed, header_len, len)?;
        assert_eq!(protected, sealed.len());
        Ok(sealed)
    }

    /// Delivers a copy; a packet let in must be the one sealed.
    fn open(&mut self, sealed: &[u8]) -> Result<u64, UnprotectError> {
        let mut copy = sealed.to_vec();
        let header = header(&copy);
        let opened = self.receiver.unprotect_rtp(&header, &mut copy)?;
        assert_eq!(opened.index as u16, header.sequence);
        let plain = packet(header.ssrc, opened.index, 1, &opened.index.to_be_bytes());
        assert_eq!(&copy[..opened.len], &plain[..]);
        Ok(opened.index)
    }
}

#[test]
fn session_keys_of_rfc_3711_appendix_b_3() {
    let master = KeyPair::new(
        Profile::AesCm128HmacSha1_80,
        &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &hex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    .unwrap();
    for (label, expected) in [
        (Label::RtpEncryption, "C61E7A93744F39EE10734AFE3FF7A087"),
        (Label::RtpSalt, "30CBBC08863D8C85D49DB34A9AE1"),
        (
            Label::RtpAuthentication,
            "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE\
             E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25\
             6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2",
        ),
    ] {
        let expected = hex(expected);
        let mut key = vec![0xff; expected.len()];
        derive(&master, label, &mut key).unwrap();
        assert_eq!(key, expected, "{label:?}");
    }
}

#[test]
fn keystream_of_rfc_3711_appendix_b_2() {
    let aes = aes::Aes128Enc::new_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
    let iv: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
    let mut keystream = vec![0u8; 0xff02 * 16];
    apply_keystream(&aes, &iv, &mut keystream).unwrap();
    assert_eq!(
        keystream[..48],
        hex(
            "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
             41E95B3BB0A2E8DD477901E4FCA894C0"
        )
    );
    assert_eq!(
        keystream[0xfeff * 16..],
        hex(
            "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE
             6A2CC3787889374FBEB4C81B17BA6C44"
        )
    );
}

const GCM_SALT: [u8; 12] = *b"Quid pro quo";
const GCM_HEADER: &str = "8040f17b8041f8d35501a0b2";
const GCM_PLAIN: &str =
    "47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";

#[test]
fn rtp_of_rfc_7714_section_16() {
    for (key_len, sealed) in [
        (
            16u8,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
             899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            32,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let key: Vec<u8> = (0..key_len).collect();
        let session = Session::<RingGcm>::gcm(&key, GCM_SALT).unwrap();
        let mut packet = [hex(GCM_HEADER), hex(GCM_PLAIN)].concat();
        let plain = packet.clone();
        packet.extend([0; 16]);
        session
            .seal_rtp(0x5501_a0b2, 0xf17b, &mut packet, 12)
            .unwrap();
        assert_eq!(packet[12..], hex(sealed));
        assert_eq!(
            session.open_rtp(0x5501_a0b2, 0xf17b, &mut packet, 12),
            Some(plain.len())
        );
        assert_eq!(packet[..plain.len()], plain);
    }
}

#[test]
fn rtcp_of_rfc_7714_section_17() {
    let key: Vec<u8> = (0..16).collect();
    let session = Session::<RingGcm>::gcm(&key, GCM_SALT).unwrap();
    let mut packet = hex(
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61
         deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    );
    let plain = packet.clone();
    packet.extend([0; 20]);
    let word = 0x8000_05d4u32.to_be_bytes();
    session.seal_rtcp(0x4d61_7273, word, &mut packet).unwrap();
    assert_eq!(
        packet,
        hex("81c8000d4d617273
             63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda
             4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4")
    );
    assert_eq!(session.rtcp_word(&packet), Some(word));
    assert_eq!(
        session.open_rtcp(0x4d61_7273, word, &mut packet),
        Some(plain.len())
    );
    assert_eq!(packet[..plain.len()], plain);
}

#[test]
fn keying_material_splits_as_rfc_5764_orders_it() {
    for profile in PROFILES {
        let material: Vec<u8> = (0..profile.material_len() as u8).collect();
        let (client, server) = split_keying_material(profile, &material).unwrap();
        let (key, salt) = (profile.key_len(), profile.salt_len());
        assert_eq!(client.key(), &material[..key]);
        assert_eq!(server.key(), &material[key..2 * key]);
        assert_eq!(client.salt(), &material[2 * key..2 * key + salt]);
        assert_eq!(server.salt(), &material[2 * key + salt..]);
        assert!(split_keying_material(profile, &material[1..]).is_none());
        let long = [&material[..], &[0]].concat();
        assert!(split_keying_material(profile, &long).is_none());
        let shown = format!("{client:?}");
        assert!(!shown.contains("key") && !shown.contains("salt"), "{shown}");
        assert!(Sender::new(profile, &material[..key - 1], &material[..salt]).is_none());
        assert!(Receiver::new(profile, &material[..key], &material[..salt - 1]).is_none());
    }
}

#[test]
fn the_tail_cap_covers_every_profile() {
    for profile in PROFILES {
        assert!(profile.tag_len() + RTCP_WORD_BYTES <= SRTP_TAIL_MAX_BYTES);
        let master = master(profile, 1);
        let rtcp = Session::<RingGcm>::derive(&master, Use::Rtcp).unwrap();
        assert_eq!(rtcp.tag_len(), profile.tag_len());
    }
}

#[test]
fn a_packet_is_let_in_once() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        let sealed: Vec<_> = (10..40).map(|index| pair.seal(1, index)).collect();
        for packet in &sealed {
            assert!(pair.open(packet).is_ok());
            assert_eq!(pair.open(packet), Err(UnprotectError::Replayed));
        }
        for packet in sealed.iter().rev() {
            assert_eq!(pair.open(packet), Err(UnprotectError::Replayed));
        }
    }
}

#[test]
fn sequence_wrap_with_reordering_around_it() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        let first = pair.seal(1, 65_520);
        assert_eq!(pair.open(&first), Ok(65_520));
        let around: Vec<u64> = (65_521..65_560).collect();
        let sealed: Vec<_> = around.iter().map(|index| pair.seal(1, *index)).collect();
        // In swapped fours, so that the wrap is crossed back and forth.
        for four in [3, 1, 2, 0] {
            for (index, packet) in around.iter().zip(&sealed) {
                if index % 4 == four {
                    assert_eq!(pair.open(packet), Ok(*index), "{profile:?}");
                }
            }
        }
        for packet in &sealed {
            assert_eq!(pair.open(packet), Err(UnprotectError::Replayed));
        }
    }
}

#[test]
fn a_late_packet_of_the_previous_round_opens_and_replays_across_it_do_not() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        let before = pair.seal(1, 65_530);
        let late = pair.seal(1, 65_534);
        let after = pair.seal(1, 65_540);
        assert_eq!(pair.open(&before), Ok(65_530));
        assert_eq!(pair.open(&after), Ok(65_540));
        assert_eq!(pair.open(&late), Ok(65_534));
        assert_eq!(pair.open(&late), Err(UnprotectError::Replayed));
        // A whole round later the same sequence number means another index.
        for index in [90_000, 120_000, 65_536 * 2 - 10, 65_536 * 2 - 2] {
            let packet = pair.seal(1, index);
            assert_eq!(pair.open(&packet), Ok(index));
        }
        assert_eq!(pair.open(&late), Err(UnprotectError::Replayed));
        assert_eq!(pair.open(&before), Err(UnprotectError::Authentication));
    }
}

#[test]
fn a_stream_that_jumps_far_before_its_first_wrap_goes_on() {
    let mut pair = Pair::new(Profile::AeadAes128Gcm);
    let (low, high) = (pair.seal(1, 5), pair.seal(1, 65_000));
    assert_eq!(pair.open(&low), Ok(5));
    assert_eq!(pair.open(&high), Ok(65_000));
}

#[test]
fn the_last_indices_of_a_key() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        assert_eq!(
            pair.try_seal(1, INDEX_MAX + 1),
            Err(ProtectError::KeyExhausted)
        );
        assert!(pair.try_seal(1, INDEX_MAX).is_ok());
        assert_eq!(pair.try_seal(1, INDEX_MAX), Err(ProtectError::IndexReused));
        pair.sender.set_next_rtcp_index(RTCP_INDEX_MAX);
        let plain = compound(1, 1);
        let mut packet = plain.clone();
        pair.sender.protect_rtcp(&mut packet).unwrap();
        let len = pair.receiver.unprotect_rtcp(&mut packet).unwrap();
        assert_eq!(packet[..len], plain);
        let mut packet = plain.clone();
        assert_eq!(
            pair.sender.protect_rtcp(&mut packet),
            Err(ProtectError::KeyExhausted)
        );
        assert_eq!(packet, plain);
    }
}

#[test]
fn edges_of_the_replay_window() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        let newest = 3_000;
        let oldest = newest + 1 - SRTP_WINDOW_PACKETS;
        let sealed = [oldest - 1, oldest, oldest + 1, newest].map(|index| pair.seal(1, index));
        assert_eq!(pair.open(&sealed[3]), Ok(newest));
        assert_eq!(pair.open(&sealed[0]), Err(UnprotectError::TooOld));
        assert_eq!(pair.open(&sealed[1]), Ok(oldest));
        assert_eq!(pair.open(&sealed[1]), Err(UnprotectError::Replayed));
        let next = pair.seal(1, newest + 1);
        assert_eq!(pair.open(&next), Ok(newest + 1));
        assert_eq!(pair.open(&sealed[1]), Err(UnprotectError::TooOld));
        assert_eq!(pair.open(&sealed[2]), Ok(oldest + 1));
    }
}

#[test]
fn forgeries_leave_no_trace() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        for index in [10, 12] {
            let packet = pair.seal(1, index);
            assert_eq!(pair.open(&packet), Ok(index));
        }
        let (genuine, other) = (pair.seal(1, 11), pair.seal(2, 500));
        let mut control = compound(1, 3);
        pair.sender.protect_rtcp(&mut control).unwrap();
        let memory = pair.receiver.memory();
        let mut noise = Noise::new(5);
        for n in 0..20_000u32 {
            let mut forged = if n % 2 == 0 { &genuine } else { &other }.clone();
            // Any sequence number and source, an untouched or a wrong tag.
            forged[2..4].copy_from_slice(&(noise.next_u64() as u16).to_be_bytes());
            if n % 3 == 0 {
                forged[8..12].copy_from_slice(&noise.next_u32().to_be_bytes());
            }
            let at = forged.len() - 1 - noise.below(10) as usize;
            forged[at] ^= 1 << noise.below(8);
            assert!(pair.open(&forged).is_err());
            if n % 16 == 0 {
                let mut forged = control.clone();
                let at = 4 + noise.below(control.len() as u64 - 4) as usize;
                forged[at] ^= 1 << noise.below(8);
                assert!(pair.receiver.unprotect_rtcp(&mut forged).is_err());
            }
        }
        assert_eq!(pair.receiver.memory(), memory);
        assert_eq!(pair.receiver.stream_counts(), (1, 0));
        assert_eq!(pair.open(&genuine), Ok(11));
        assert_eq!(pair.open(&other), Ok(500));
        assert!(pair.receiver.unprotect_rtcp(&mut control).is_ok());
    }
}

#[test]
fn truncations_at_every_length_are_refused() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        let sealed = pair.seal(1, 10);
        let whole = header(&sealed);
        for len in 0..sealed.len() {
            let mut cut = sealed[..len].to_vec();
            let error = pair.receiver.unprotect_rtp(&whole, &mut cut).unwrap_err();
            if len < whole.len + profile.tag_len() {
                assert_eq!(error, UnprotectError::Length);
            } else {
                assert_eq!(error, UnprotectError::Authentication);
            }
        }
        let mut control = compound(1, 3);
        pair.sender.protect_rtcp(&mut control).unwrap();
        for len in 0..control.len() {
            let mut cut = control[..len].to_vec();
            assert!(pair.receiver.unprotect_rtcp(&mut cut).is_err(), "{len}");
        }
        assert_eq!(pair.receiver.stream_counts(), (0, 0));
    }
}

#[test]
fn no_index_is_used_twice() {
    let mut pair = Pair::new(Profile::AeadAes256Gcm);
    for index in [100, 105, 101, 70_000] {
        pair.seal(1, index);
    }
    for index in [100, 105, 101, 70_000, 99, 70_000 - SRTP_WINDOW_PACKETS] {
        assert_eq!(pair.try_seal(1, index), Err(ProtectError::IndexReused));
    }
    assert!(pair.try_seal(1, 70_001 - SRTP_WINDOW_PACKETS).is_ok());
    assert!(
        pair.try_seal(2, 100).is_ok(),
        "another stream, another count"
    );
}

#[test]
fn a_refused_packet_spends_no_index() {
    let mut sender = Pair::new(Profile::AeadAes128Gcm).sender;
    let plain = packet(1, 7, 0, b"x");
    let mut out = plain.clone();
    out.resize(plain.len() + sender.tag_len(), 0);
    for (ssrc, index, header_len, len, error) in [
        (1, 8, 12, 13, ProtectError::Mismatch),
        (2, 7, 12, 13, ProtectError::Mismatch),
        (1, 7, 11, 13, ProtectError::Length),
        (1, 7, 14, 13, ProtectError::Length),
        (1, 7, 12, 14, ProtectError::Length),
        (1, 7, 12, usize::MAX, ProtectError::Length),
    ] {
        let refused = sender.protect_rtp(ssrc, index, &mut out, header_len, len);
        assert_eq!(refused, Err(error));
    }
    assert_eq!(
        sender.seal_from(1, 7, &mut out, 12, &[0; 2], 0),
        Err(ProtectError::Length)
    );
    assert_eq!(
        sender.seal_from(1, 7, &mut out, usize::MAX, &[0; 2], 0),
        Err(ProtectError::Length)
    );
    assert_eq!(sender.seal_from(1, 7, &mut out, 12, b"x", 0), Ok(out.len()));
    let mut short = vec![0x80, 200, 0, 0, 1, 2, 3];
    assert_eq!(sender.protect_rtcp(&mut short), Err(ProtectError::Length));
}

#[test]
fn streams_are_capped_on_both_sides() {
    let mut pair = Pair::new(Profile::AeadAes128Gcm);
    let sealed: Vec<_> = (0..SRTP_SEND_STREAMS_MAX as u32)
        .map(|ssrc| pair.seal(ssrc, 1))
        .collect();
    assert_eq!(pair.try_seal(9_999, 1), Err(ProtectError::TooManyStreams));
    assert!(pair.try_seal(0, 2).is_ok());
    for packet in sealed.iter().take(SRTP_RECEIVE_STREAMS_MAX) {
        assert!(pair.open(packet).is_ok());
    }
    let mut fresh = Pair::new(Profile::AeadAes128Gcm);
    let (stranger, known) = (fresh.seal(9_999, 1), fresh.seal(0, 9));
    assert_eq!(pair.open(&stranger), Err(UnprotectError::TooManyStreams));
    assert_eq!(pair.open(&known), Ok(9));
    for ssrc in 0..SRTP_RECEIVE_STREAMS_MAX as u32 + 1 {
        let mut control = compound(ssrc, 0);
        pair.sender.protect_rtcp(&mut control).unwrap();
        let opened = pair.receiver.unprotect_rtcp(&mut control);
        let known = (ssrc as usize) < SRTP_RECEIVE_STREAMS_MAX;
        assert_eq!(opened.is_ok(), known);
    }
}

#[test]
fn control_packets_are_let_in_once_in_any_order() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        let sealed: Vec<_> = (0..1_500)
            .map(|_| {
                let mut control = compound(1, 1);
                pair.sender.protect_rtcp(&mut control).unwrap();
                control
            })
            .collect();
        let mut open = |at: usize| pair.receiver.unprotect_rtcp(&mut sealed[at].clone());
        for at in [0, 2, 1, 1_400] {
            assert!(open(at).is_ok());
            assert_eq!(open(at), Err(UnprotectError::Replayed));
        }
        assert_eq!(open(3), Err(UnprotectError::TooOld));
        assert!(open(1_399).is_ok());
    }
}

#[test]
fn clear_control_packets_are_refused() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        let mut control = compound(1, 1);
        pair.sender.protect_rtcp(&mut control).unwrap();
        let word_at = match profile {
            Profile::AesCm128HmacSha1_80 => control.len() - 14,
            _ => control.len() - 4,
        };
        control[word_at] &= 0x7f;
        assert_eq!(
            pair.receiver.unprotect_rtcp(&mut control),
            Err(UnprotectError::NotEncrypted)
        );
    }
}

#[test]
fn keys_of_the_two_directions_do_not_mix() {
    for profile in PROFILES {
        let material: Vec<u8> = (0..profile.material_len() as u8).collect();
        let (client, server) = split_keying_material(profile, &material).unwrap();
        let mut sender = Sender::<RingGcm>::with_aead(&client).unwrap();
        let mut receiver = Receiver::<RingGcm>::with_aead(&server).unwrap();
        let mut sealed = packet(1, 7, 0, b"x");
        let len = sealed.len();
        sealed.resize(len + sender.tag_len(), 0);
        sender.protect_rtp(1, 7, &mut sealed, 12, len).unwrap();
        let header = header(&sealed);
        assert_eq!(
            receiver.unprotect_rtp(&header, &mut sealed),
            Err(UnprotectError::Authentication)
        );
    }
}
