//! What makes a publisher's packet a viewer's, besides encryption: new numbers,
//! a header, the payload's copy; against the copy alone.
//!
//! `cargo bench --bench rtp_rewrite`

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::hint::black_box;
use std::process::ExitCode;

use ringhall::proto::munger::Munger;
use ringhall::wire::rtp::{EgressExtensions, EgressHeader, write_header};
use shared::micro::{Case, run};

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod meter;
    pub mod micro;
    pub mod samples;
}

const PAYLOAD: [u8; 1_188] = [0x5a; 1_188];

fn header(sequence: u16, timestamp: u32) -> EgressHeader {
    EgressHeader {
        padding: false,
        marker: sequence.is_multiple_of(8),
        payload_type: 96,
        sequence,
        timestamp,
        ssrc: 7,
    }
}

fn main() -> ExitCode {
    let plain = EgressExtensions::default();
    let full = EgressExtensions {
        mid: Some((4, b"0")),
        audio_level: Some((1, 0x85)),
        orientation: Some((3, 1)),
    };
    let mut out = [0; 1_500];
    let copy = Case::new("copy 1188 B", move || {
        out[12..1_200].copy_from_slice(black_box(&PAYLOAD));
        black_box(&out);
    });
    let mut munger = Munger::start(1 << 16, 0, 1, 1);
    let mut ext_seq = 1 << 16;
    let numbers = Case::new("numbers", move || {
        ext_seq += 1;
        assert!(black_box(munger.map(ext_seq, (ext_seq / 8) as u32 * 3_000)).is_some());
    });
    let heads = |name, extensions| {
        let (mut out, mut sequence) = ([0; 64], 0_u16);
        Case::new(name, move || {
            sequence = sequence.wrapping_add(1);
            let header = header(sequence, 3_000);
            let len = write_header(&mut out, black_box(&header), black_box(&extensions));
            assert!(len.is_some());
            black_box(&out);
        })
    };
    let mut munger = Munger::start(1 << 16, 0, 1, 1);
    let (mut ext_seq, mut out) = (1 << 16, [0; 1_500]);
    let whole = Case::new("all of it", move || {
        ext_seq += 1;
        let Some(numbers) = munger.map(ext_seq, (ext_seq / 8) as u32 * 3_000) else {
            return;
        };
        let header = header(numbers.sequence, numbers.timestamp);
        let len = write_header(&mut out, &header, &plain).unwrap_or(0);
        out[len..len + PAYLOAD.len()].copy_from_slice(black_box(&PAYLOAD));
        black_box(&out);
    });
    run(
        "rtp_rewrite",
        vec![
            copy,
            numbers,
            heads("header", plain),
            heads("header with three extensions", full),
            whole.against("copy 1188 B"),
        ],
    )
}
