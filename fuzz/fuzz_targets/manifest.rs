#![no_main]

#[path = "../../tests/properties/manifest.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|data: &[u8]| { property::check(data) });
