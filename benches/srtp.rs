//! SRTP per packet: ours, in place and without allocation, against the
//! `webrtc-srtp` crate, for a packet of sound and one of a picture.
//!
//! `cargo bench --bench srtp`

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::process::ExitCode;

use ringhall::proto::srtp::{Profile, Receiver, Sender};
use ringhall::wire::rtp::Header;
use shared::micro::{Case, Work, run};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod meter;
    pub mod micro;
    pub mod samples;
}

const HEADER_BYTES: usize = 12;
const SSRC: u32 = 7;

/// Names of one profile and size: ours protect, theirs, ours unprotect, theirs.
type Names = [&'static str; 4];

fn main() -> ExitCode {
    use Profile::{AeadAes128Gcm, AeadAes256Gcm, AesCm128HmacSha1_80};
    use ProtectionProfile as Theirs;
    let gcm_256 = (AeadAes256Gcm, Theirs::AeadAes256Gcm);
    let gcm_128 = (AeadAes128Gcm, Theirs::AeadAes128Gcm);
    let cm = (AesCm128HmacSha1_80, Theirs::Aes128CmHmacSha1_80);
    macro_rules! names {
        ($profile:literal, $bytes:literal) => {
            [
                concat!("protect ", $profile, " ", $bytes, " B"),
                concat!("protect ", $profile, " ", $bytes, " B, webrtc-srtp"),
                concat!("unprotect ", $profile, " ", $bytes, " B"),
                concat!("unprotect ", $profile, " ", $bytes, " B, webrtc-srtp"),
            ]
        };
    }
    let mut cases = Vec::new();
    for ((ours, theirs), len, names) in [
        (gcm_256, 200, names!("GCM-256", 200)),
        (gcm_256, 1_200, names!("GCM-256", 1200)),
        (gcm_128, 200, names!("GCM-128", 200)),
        (gcm_128, 1_200, names!("GCM-128", 1200)),
        (cm, 200, names!("CM", 200)),
        (cm, 1_200, names!("CM", 1200)),
    ] {
        add(&mut cases, ours, theirs, len, names);
    }
    run("srtp", cases)
}

fn add(
    cases: &mut Vec<Case<'static>>,
    profile: Profile,
    theirs: ProtectionProfile,
    len: usize,
    names: Names,
) {
    let key = [3; 32];
    let key = &key[..theirs.key_len()];
    let salt = [5; 14];
    let salt = &salt[..theirs.salt_len()];
    let context = || Context::new(key, salt, theirs, None, None).expect("keys of right lengths");
    let sender = || Sender::new(profile, key, salt).expect("keys of right lengths");

    let (mut ours, mut packets) = (sender(), Packets::new(len));
    let mut out = vec![0; len + 32];
    cases.push(Case::new(names[0], move || {
        let (index, plain) = packets.next();
        out[..len].copy_from_slice(plain);
        let sealed = ours.protect_rtp(SSRC, index, &mut out, HEADER_BYTES, len);
        assert!(sealed.is_ok());
    }));
    let (mut oracle, mut packets) = (context(), Packets::new(len));
    let case = Case::new(names[1], move || {
        let (_, plain) = packets.next();
        assert!(oracle.encrypt_rtp(plain).is_ok());
    });
    cases.push(case.against(names[0]));

    let receiver = Receiver::new(profile, key, salt);
    let mut receiver = receiver.expect("keys of right lengths");
    let open = move |packet: &mut [u8]| {
        let header = Header::parse(packet).expect("what was sealed");
        assert!(receiver.unprotect_rtp(&header, packet).is_ok());
    };
    cases.push(Case::new(names[2], Arrivals::new(sender(), len, open)));
    let mut oracle = context();
    let open = move |packet: &mut [u8]| assert!(oracle.decrypt_rtp(packet).is_ok());
    let case = Case::new(names[3], Arrivals::new(sender(), len, open));
    cases.push(case.against(names[2]));
}

/// Plain packets of one stream.
struct Packets {
    bytes: Vec<u8>,
    index: u64,
}

impl Packets {
    fn new(len: usize) -> Self {
        let mut bytes = vec![0x55; len];
        bytes[0] = 0x80;
        bytes[1] = 96;
        bytes[8..12].copy_from_slice(&SSRC.to_be_bytes());
        Packets { bytes, index: 0 }
    }

    fn next(&mut self) -> (u64, &[u8]) {
        self.index += 1;
        self.bytes[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
        (self.index, &self.bytes)
    }
}

/// Packets as they arrive, and what opens them.
struct Arrivals<F> {
    sender: Sender,
    packets: Packets,
    arrived: Vec<Vec<u8>>,
    at: usize,
    open: F,
}

impl<F> Arrivals<F> {
    fn new(sender: Sender, len: usize, open: F) -> Self {
        Arrivals {
            sender,
            packets: Packets::new(len),
            arrived: Vec::new(),
            at: 0,
            open,
        }
    }
}

impl<F: FnMut(&mut [u8])> Work for Arrivals<F> {
    fn prepare(&mut self, operations: usize) {
        self.at = 0;
        self.arrived.resize(operations, Vec::new());
        for packet in &mut self.arrived {
            let (index, plain) = self.packets.next();
            let len = plain.len();
            packet.clear();
            packet.extend_from_slice(plain);
            packet.resize(len + self.sender.tag_len(), 0);
            let sender = &mut self.sender;
            let sealed = sender.protect_rtp(SSRC, index, packet, HEADER_BYTES, len);
            assert!(sealed.is_ok());
        }
    }

    fn operate(&mut self) {
        (self.open)(&mut self.arrived[self.at]);
        self.at += 1;
    }
}
