//! What becomes of a datagram before anybody looks into it: which protocol it
//! speaks, and whose it is, among 50 and among 10,000 peers; in runs of one
//! peer, as bursts arrive, and one of each.
//!
//! `cargo bench --bench demux`

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use ringhall::base::hash::Map;
use ringhall::core::trains::Path;
use ringhall::wire::demux::classify;
use ringhall::wire::rtp::Header;
use shared::micro::{Case, run};

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod meter;
    pub mod micro;
    pub mod samples;
}

/// First bytes of what arrives: pictures and sound, reports, checks, handshakes.
const MIX: [[u8; 2]; 8] = [
    [0x90, 96],
    [0x90, 0xe0],
    [0x80, 111],
    [0x90, 96],
    [0x81, 201],
    [0x00, 0x01],
    [0x16, 0xfe],
    [0x90, 97],
];

fn main() -> ExitCode {
    let datagrams = MIX.map(|[first, second]| {
        let mut bytes = [0_u8; 64];
        (bytes[0], bytes[1]) = (first, second);
        bytes
    });
    let mut at = 0;
    let classified = Case::new("classify", move || {
        at = (at + 1) % MIX.len();
        black_box(classify(black_box(&datagrams[at])));
    });
    let mut packet = [0_u8; 1_200];
    packet[..4].copy_from_slice(&[0x90, 96, 1, 2]);
    // One-byte elements, RFC 8285 section 4.2.
    packet[12..20].copy_from_slice(&[0xbe, 0xde, 0, 1, 0x30, 7, 0, 0]);
    let parsed = Case::new("parse an RTP header", move || {
        assert!(black_box(Header::parse(black_box(&packet))).is_ok());
    });
    run(
        "demux",
        vec![
            classified,
            parsed.against("classify"),
            find("find one of 50 peers", 50, 1),
            find("find one of 10,000 peers", 10_000, 1).against("find one of 50 peers"),
            find("find one of 50 peers, in eights", 50, 8).against("find one of 50 peers"),
        ],
    )
}

/// The core's way to a peer: the path last looked up, then the map.
fn find(name: &'static str, peers: u32, run: u32) -> Case<'static> {
    let paths: Vec<Path> = (0..peers).map(path).collect();
    let map: Map<Path, u32> = paths.iter().copied().zip(0..).collect();
    let mut latest = (paths[0], 0);
    let mut number: u32 = 0;
    Case::new(name, move || {
        number = number.wrapping_add(1);
        // Far apart, so that no two share a cache line.
        let at = (number / run).wrapping_mul(2_654_435_761) % peers;
        let path = black_box(paths[at as usize]);
        if latest.0 != path {
            latest = (path, map[&path]);
        }
        assert_eq!(latest.1, at);
    })
}

fn path(number: u32) -> Path {
    let ip = Ipv4Addr::from(0x0a00_0000 + number / 1_000);
    Path {
        local: Ipv4Addr::LOCALHOST.into(),
        remote: SocketAddr::new(ip.into(), 10_000 + (number % 1_000) as u16),
    }
}
