//! The properties every parser and state machine holds on any bytes. The same
//! function runs under the fuzzer (`fuzz/fuzz_targets/NAME.rs` includes the
//! property file) and, over the kept corpora, under plain `cargo test`
//! (`tests/corpus_replay.rs`).
//!
//! To add a target:
//! 1. `tests/properties/NAME.rs` with `pub fn check(data: &[u8])`, which panics
//!    when the property fails, and `pub fn seeds() -> Vec<Vec<u8>>`, the same
//!    bytes on every call;
//! 2. `fuzz/fuzz_targets/NAME.rs`, four lines like its neighbours, and its
//!    `[[bin]]` in `fuzz/Cargo.toml`;
//! 3. NAME in the list below;
//! 4. `WRITE_CORPUS=1 cargo test --test corpus_replay every_kept_input` writes
//!    the seeds to `fuzz/corpus/NAME/`. Inputs that found a fault join them under a name
//!    that tells it.

/// A registered property.
pub struct Property {
    pub name: &'static str,
    pub check: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! properties {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        pub const ALL: &[Property] = &[
            $(Property {
                name: stringify!($name),
                check: $name::check,
                seeds: $name::seeds,
            },)*
        ];
    };
}

properties! {
    demux,
    h264,
    rtcp,
    rtp,
    srtp,
    vp8,
}
