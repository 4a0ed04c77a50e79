//! A second of a recording made into a fragment, against the copy of its bytes.
//!
//! `cargo bench --bench fmp4_fragment`

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::hint::black_box;
use std::process::ExitCode;

use ringhall::record::fmp4::{Fragment, Times};
use ringhall::record::layout::{Sample, TrackKind};
use shared::film::{Film, Shot, Sound};
use shared::micro::{Case, run};

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod film;
    pub mod meter;
    pub mod micro;
    pub mod samples;
}

/// Pictures and sound of one second: whether a key frame, or sound; the bytes.
fn second() -> Vec<(Option<bool>, Vec<u8>)> {
    let mut film = Film::new(7, Sound::Opus);
    let mut frames = Vec::new();
    while film.next_us() < 12_000_000 {
        let (at_us, shot) = film.take();
        if at_us >= 11_000_000 {
            frames.push(match shot {
                Shot::Sound(packet) => (None, packet.to_vec()),
                Shot::Picture { is_key, unit } => (Some(is_key), unit.to_vec()),
            });
        }
    }
    frames
}

fn main() -> ExitCode {
    let frames = second();
    let bytes: usize = frames.iter().map(|(_, bytes)| bytes.len()).sum();
    println!("{} samples, {} kB", frames.len(), bytes / 1_000);
    let mut out: Vec<u8> = Vec::with_capacity(bytes);
    let copied = Case::new("copy a second's bytes twice", || {
        // Into the lane, and out of it.
        for _ in 0..2 {
            out.clear();
            for (_, bytes) in black_box(&frames) {
                out.extend_from_slice(bytes);
            }
        }
        black_box(&out);
    });
    let (mut fragment, mut sequence) = (Fragment::new(), 0);
    let made = Case::new("make a fragment", || {
        for (is_key, bytes) in black_box(&frames) {
            let (kind, duration) = match is_key {
                Some(_) => (TrackKind::Video, 3_000),
                None => (TrackKind::Audio, 960),
            };
            let sample = Sample {
                duration,
                composition: 0,
                is_sync: *is_key != Some(false),
                size_bytes: 0,
            };
            fragment.push(kind, sample, bytes);
        }
        sequence += 1;
        assert!(black_box(fragment.take(sequence, Times::default())).len() > bytes);
    });
    let against = made.against("copy a second's bytes twice");
    run("fmp4_fragment", vec![copied, against])
}
