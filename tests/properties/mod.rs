//! The properties every parser and state machine holds on any bytes. The same
//! function runs under the fuzzer (`fuzz/fuzz_targets/NAME.rs` includes the
//! property file) and, over the kept corpora, under plain `cargo test`
//! (`tests/corpus_replay.rs`).
//!
//! The list below hides these files from `cargo fmt`; run it in `fuzz/`, which
//! sees them all.
//!
//! To add a target:
//! 1. `tests/properties/NAME.rs` with `pub fn check(data: &[u8])`, which panics
//!    when the property fails, and, where seeds are better made than kept by
//!    hand, `pub fn seeds() -> Vec<Vec<u8>>`, the same bytes on every call;
//! 2. `fuzz/fuzz_targets/NAME.rs`, four lines like its neighbours, and its
//!    `[[bin]]` in `fuzz/Cargo.toml`;
//! 3. NAME in one of the lists below;
//! 4. seeds in `fuzz/corpus/NAME/`: by hand, or made ones by
//!    `WRITE_CORPUS=1 cargo test --test corpus_replay every_kept_input`. Inputs
//!    that found a fault join them under a name that tells it.

/// A registered property.
pub struct Property {
    pub name: &'static str,
    pub check: fn(&[u8]),
    /// Seeds made by code; none where the corpus is kept by hand.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! properties {
    (made: $($made:ident),*; kept: $($kept:ident),*;) => {
        $(mod $made;)*
        $(mod $kept;)*
        pub const ALL: &[Property] = &[
            $(Property {
                name: stringify!($made),
                check: $made::check,
                seeds: $made::seeds,
            },)*
            $(Property {
                name: stringify!($kept),
                check: $kept::check,
                seeds: Vec::new,
            },)*
        ];
    };
}

properties! {
    made: access, amf, audio, demux, depacketise, flv, gop_cache_ops, h264, h264_sps, http,
        manifest, media_clock_ops, message, mp4_repair, mp4_roundtrip, nal, packetise, rate_ops,
        reorder_ops, rtcp, rtmp_chunk, rtmp_session, rtp, sdpfrag, sps_black, srtp, stun, vp8, ws;
    kept: config, munger_ops, nack_ops, rtx_window_ops, sdp, tls, twcc_ops;
}
