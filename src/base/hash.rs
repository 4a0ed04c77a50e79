//! Hashing and constant-time comparison: the door to `ring`'s digests and
//! MACs, and the fixed hasher of every map in a pure layer (the default hasher
//! draws ambient randomness, which a seed could not replay).

#[allow(clippy::disallowed_types)]
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ring::{digest, hmac};

/// A map whose iteration and hashing depend on nothing ambient.
#[allow(clippy::disallowed_types)]
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// A multiply-mix hasher over 64-bit words. Keys that strangers choose are
/// bounded in number by `limits`, and colliding them costs the sender a map
/// slot each, so keyed hashing is not needed here.
#[derive(Clone, Copy)]
pub struct Mix(u64);

impl Default for Mix {
    fn default() -> Self {
        Mix(0x9e37_79b9_7f4a_7c15)
    }
}

impl Mix {
    fn word(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * 0xa076_1d64_78bd_642f;
        self.0 = (wide as u64) ^ ((wide >> 64) as u64);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    fn write_u16(&mut self, n: u16) {
        self.word(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.word(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.word(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Stable 64-bit hash of `bytes` under `key`: the same on every core of a run.
pub fn keyed_hash(key: u64, bytes: &[u8]) -> u64 {
    let mut mix = Mix(key);
    mix.write(bytes);
    mix.finish()
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes);
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

/// Whether `tag` is the HMAC-SHA-1 of the concatenated `parts` under `key`,
/// compared in constant time (RFC 8489 section 14.5).
pub fn hmac_sha1_matches(key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let computed = context.sign();
    computed.as_ref().len() == tag.len()
        && computed
            .as_ref()
            .iter()
            .zip(tag)
            .fold(0u8, |difference, (a, b)| difference | (a ^ b))
            == 0
}

/// Whether two secrets are equal, in time that depends on their lengths only.
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    // Comparing keyed digests hides both contents and the place of a difference.
    a.len() == b.len() && {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"same_secret");
        hmac::verify(&key, a, hmac::sign(&key, b).as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_abc() {
        // FIPS 180-2 appendix B.1.
        assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn secrets_compare_by_content() {
        assert!(same_secret(b"token", b"token"));
        assert!(!same_secret(b"token", b"tokem"));
        assert!(!same_secret(b"token", b"toke"));
        assert!(same_secret(b"", b""));
    }

    #[test]
    fn keyed_hash_depends_on_key_and_bytes() {
        assert_eq!(keyed_hash(1, b"room"), keyed_hash(1, b"room"));
        assert_ne!(keyed_hash(1, b"room"), keyed_hash(2, b"room"));
        assert_ne!(keyed_hash(1, b"room"), keyed_hash(1, b"roon"));
        assert_ne!(keyed_hash(1, b"a\0"), keyed_hash(1, b"a"));
    }
}
