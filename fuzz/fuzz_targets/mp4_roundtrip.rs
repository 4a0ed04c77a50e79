#![no_main]
#[allow(dead_code, reason = "seeds are for the corpus replay")]
#[path = "../../tests/properties/mp4_roundtrip.rs"]
mod property;
libfuzzer_sys::fuzz_target!(|data: &[u8]| property::check(data));
