//! Seeded randomness. Two kinds, never mixed: [`Secret`] for values whose
//! guessing would hurt (ICE passwords, session tokens), [`Noise`] for values
//! anyone may see (SSRCs, sequence offsets, jitter). Drivers seed both: `io`
//! from the system, `sim` from its run's seed.

use super::hash::hmac_sha256;

/// A deterministic generator of unpredictable bytes: HMAC-SHA-256 in counter
/// mode under the seed (the expand step of RFC 5869 without its 255-block cap).
pub struct Secret {
    key: [u8; 32],
    counter: u64,
}

impl Secret {
    pub fn new(seed: [u8; 32]) -> Self {
        Secret {
            key: hmac_sha256(&seed, b"ringhall secret"),
            counter: 0,
        }
    }

    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = hmac_sha256(&self.key, &self.counter.to_le_bytes());
            self.counter += 1;
            for (to, from) in chunk.iter_mut().zip(block) {
                *to = from;
            }
        }
    }

    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0u8; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// `len` characters of the 64-letter ICE alphabet (RFC 8839 section 5.4),
    /// six bits of secret each.
    pub fn ice_chars(&mut self, len: usize) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bytes = vec![0u8; len];
        self.fill(&mut bytes);
        bytes
            .iter()
            .filter_map(|b| ALPHABET.get(usize::from(b & 63)))
            .map(|b| char::from(*b))
            .collect()
    }

    /// 128 secret bits in hexadecimal, for tokens that travel in JSON.
    pub fn token(&mut self) -> String {
        let mut bytes = [0u8; 16];
        self.fill(&mut bytes);
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// A fast generator of public values (SplitMix64).
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Noise(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A value below `bound` (0 for a bound of 0), without modulo bias worth noticing.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True `ppm` times in a million.
    pub fn chance_ppm(&mut self, ppm: u64) -> bool {
        self.below(1_000_000) < ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_values() {
        let (mut a, mut b) = (Secret::new([7; 32]), Secret::new([7; 32]));
        assert_eq!(a.ice_chars(24), b.ice_chars(24));
        assert_ne!(a.token(), Secret::new([8; 32]).token());
        assert_ne!(a.token(), a.token());
        let _ = b.next_u64();
    }

    #[test]
    fn ice_chars_have_the_asked_length() {
        assert_eq!(Secret::new([1; 32]).ice_chars(24).len(), 24);
    }

    #[test]
    fn below_stays_below() {
        let mut noise = Noise::new(3);
        assert!((0..1_000).all(|_| noise.below(10) < 10));
        assert_eq!(noise.below(0), 0);
        assert!((0..1_000).any(|_| noise.chance_ppm(500_000)));
    }
}
