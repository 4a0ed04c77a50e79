//! How often each of many strangers may do something: a token bucket per key,
//! for a bounded number of keys. Owns no clock; knows nothing of what is
//! limited.

use std::hash::Hash;
use std::mem;
use std::net::IpAddr;

use super::hash::Map;
use super::limits::RATE_KEYS_MAX;
use super::time::{Span, Time};

/// Millionths of a token: a bucket gains its rate in them every microsecond, so
/// that integers lose nothing.
const MICRO: u64 = 1_000_000;

/// Token buckets by key.
///
/// A bucket nobody touched for as long as it takes to fill is full, as that of
/// a stranger: it can be forgotten. So buckets live in two generations. One
/// that is touched moves to the newer; when the newer is a filling time old it
/// becomes the older, and what nobody touched meanwhile goes. Each call looks
/// up two maps and moves at most one bucket.
///
/// When a flood of keys fills the newer generation early, it becomes the older
/// early. Refusing new keys instead would let whoever owns a /48 of IPv6 (65,536
/// keys) keep everybody else out; letting them pass uncounted would switch the
/// limiter off just then. Turning over gives up least: whoever keeps coming
/// keeps his bucket, and only who stayed away while half the capacity came is
/// taken for a stranger, whose one full bucket the flood could have had anyway.
pub struct RateLimiter<K> {
    rate_per_s: u64,
    /// Of a full bucket.
    full_micro: u64,
    /// From empty to full.
    filling: Span,
    newer: Map<K, Bucket>,
    older: Map<K, Bucket>,
    newer_since: Time,
}

#[derive(Clone, Copy)]
struct Bucket {
    micro: u64,
    /// When `micro` was right.
    at: Time,
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// `rate_per_s` on average, `burst` at once (at least one); a rate of 0 is
    /// no limit.
    pub fn new(rate_per_s: u32, burst: u32) -> Self {
        let full_micro = u64::from(burst.max(1)) * MICRO;
        let rate_per_s = u64::from(rate_per_s);
        RateLimiter {
            rate_per_s,
            full_micro,
            filling: Span::from_us(full_micro.div_ceil(rate_per_s.max(1))),
            newer: Map::default(),
            older: Map::default(),
            newer_since: Time::ZERO,
        }
    }

    /// Whether `key` may once more; takes the token if so. A time before an
    /// earlier one gains nothing and costs nothing.
    pub fn allow(&mut self, now: Time, key: K) -> bool {
        if self.rate_per_s == 0 {
            return true;
        }
        let is_over = now.since(self.newer_since) >= self.filling;
        if is_over || self.newer.len() >= RATE_KEYS_MAX / 2 {
            self.turn_over(now);
        }
        let (rate_per_s, full_micro) = (self.rate_per_s, self.full_micro);
        let older = self.older.remove(&key);
        let bucket = self.newer.entry(key).or_insert_with(|| {
            older.unwrap_or(Bucket {
                micro: full_micro,
                at: now,
            })
        });
        let gained = now.since(bucket.at).as_us().saturating_mul(rate_per_s);
        bucket.micro = bucket.micro.saturating_add(gained).min(full_micro);
        bucket.at = bucket.at.max(now);
        match bucket.micro.checked_sub(MICRO) {
            Some(rest) => {
                bucket.micro = rest;
                true
            }
            None => false,
        }
    }

    /// Keys remembered, at most [`RATE_KEYS_MAX`].
    pub fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn turn_over(&mut self, now: Time) {
        // The newer was last touched before it was a filling time old: after
        // two of them its buckets are full as well.
        let is_long_over = now.since(self.newer_since) >= self.filling + self.filling;
        self.older = mem::take(&mut self.newer);
        if is_long_over {
            self.older = Map::default();
        }
        self.newer_since = self.newer_since.max(now);
    }
}

/// Whom an address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKey {
    V4(u32),
    /// The upper 64 bits: one household or host has them all (RFC 6177), and
    /// changes the lower ones at will (RFC 8981).
    V6Net(u64),
}

/// The key of `ip` for a [`RateLimiter`]; an IPv4 address is the same one
/// inside IPv6 (RFC 4291 section 2.5.5.2).
pub fn address_key(ip: IpAddr) -> AddressKey {
    match ip.to_canonical() {
        IpAddr::V4(ip) => AddressKey::V4(ip.to_bits()),
        IpAddr::V6(ip) => AddressKey::V6Net((ip.to_bits() >> 64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;

    fn at_ms(ms: u64) -> Time {
        Time::ZERO + Span::from_ms(ms)
    }

    fn allowed(limiter: &mut RateLimiter<u32>, now: Time, key: u32, tries: usize) -> usize {
        (0..tries).filter(|_| limiter.allow(now, key)).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut limiter = RateLimiter::new(20, 200);
        assert_eq!(allowed(&mut limiter, at_ms(0), 1, 300), 200);
        assert_eq!(allowed(&mut limiter, at_ms(49), 1, 300), 0);
        assert_eq!(allowed(&mut limiter, at_ms(50), 1, 300), 1);
        assert_eq!(allowed(&mut limiter, at_ms(1_050), 1, 300), 20);
        assert_eq!(allowed(&mut limiter, at_ms(3_600_000), 1, 300), 200);
    }

    #[test]
    fn keys_do_not_share() {
        let mut limiter = RateLimiter::new(1, 2);
        assert_eq!(allowed(&mut limiter, at_ms(0), 1, 9), 2);
        assert_eq!(allowed(&mut limiter, at_ms(0), 2, 9), 2);
        assert_eq!(limiter.len(), 2);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit_and_remembers_nobody() {
        let mut limiter = RateLimiter::new(0, 0);
        assert_eq!(allowed(&mut limiter, at_ms(0), 1, 10_000), 10_000);
        assert!(limiter.is_empty());
    }

    #[test]
    fn a_burst_of_zero_still_lets_one_pass() {
        let mut limiter = RateLimiter::new(5, 0);
        assert_eq!(allowed(&mut limiter, at_ms(0), 1, 9), 1);
        assert_eq!(allowed(&mut limiter, at_ms(200), 1, 9), 1);
    }

    #[test]
    fn extremes_neither_overflow_nor_give_away() {
        for (rate, burst) in [(u32::MAX, u32::MAX), (1, u32::MAX), (u32::MAX, 1), (1, 1)] {
            let mut limiter = RateLimiter::new(rate, burst);
            for us in [u64::MAX, 0, u64::MAX, 1, u64::MAX - 1, u64::MAX / 2] {
                allowed(&mut limiter, Time::from_us(us), 1, 3);
            }
            assert!(limiter.len() <= 1);
        }
        let mut limiter = RateLimiter::new(1, 3);
        assert_eq!(allowed(&mut limiter, Time::from_us(u64::MAX), 1, 9), 3);
        assert_eq!(allowed(&mut limiter, Time::ZERO, 1, 9), 0);
        assert_eq!(allowed(&mut limiter, Time::from_us(u64::MAX), 1, 9), 0);
    }

    #[test]
    fn refilled_keys_are_forgotten() {
        let mut limiter = RateLimiter::new(10, 100);
        for key in 0..1_000 {
            limiter.allow(at_ms(0), key);
        }
        // Still in the older generation after one filling time, gone after two.
        limiter.allow(at_ms(10_000), 1);
        assert_eq!(limiter.len(), 1_000);
        limiter.allow(at_ms(20_000), 1);
        assert_eq!(limiter.len(), 1);
        for key in 0..1_000 {
            limiter.allow(at_ms(20_000), key);
        }
        limiter.allow(at_ms(1_000_000), 1);
        assert_eq!(limiter.len(), 1);
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_keeps_nobody_out() {
        let mut limiter = RateLimiter::new(1, 10);
        assert_eq!(allowed(&mut limiter, at_ms(0), u32::MAX, 99), 10);
        for key in 0..500_000 {
            assert!(limiter.allow(at_ms(1), key), "a stranger is let in");
            assert!(limiter.len() <= RATE_KEYS_MAX);
            if key % 1_000 == 0 {
                // Whoever keeps coming is not forgotten in the crowd.
                assert!(!limiter.allow(at_ms(1), u32::MAX));
            }
        }
    }

    /// The rule itself, without forgetting: never more than the burst and the
    /// rate since any earlier instant, and no refusal while that allows one.
    #[test]
    fn decisions_are_those_of_endless_memory() {
        for seed in 0..20 {
            let mut noise = Noise::new(seed);
            let (rate, burst) = (1 + noise.below(50) as u32, 1 + noise.below(30) as u32);
            let mut limiter = RateLimiter::new(rate, burst);
            let mut levels: Map<u32, (u128, u64)> = Map::default();
            let full = u128::from(burst) * u128::from(MICRO);
            let mut now_us = noise.next_u64() >> 20;
            for _ in 0..5_000 {
                now_us += noise.below(200_000) * u64::from(noise.chance_ppm(300_000));
                let key = noise.below(6) as u32;
                let (level, at_us) = levels.entry(key).or_insert((full, now_us));
                *level += u128::from(now_us - *at_us) * u128::from(rate);
                *level = (*level).min(full);
                *at_us = now_us;
                let expected = *level >= u128::from(MICRO);
                if expected {
                    *level -= u128::from(MICRO);
                }
                assert_eq!(limiter.allow(Time::from_us(now_us), key), expected);
            }
        }
    }

    #[test]
    fn addresses_group_as_their_owners_do() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_ne!(key("0.0.0.0"), key("::"));
        assert_ne!(key("::c000:201"), key("192.0.2.1"));
    }
}
