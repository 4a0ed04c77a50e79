//! Operations on a rate limiter against buckets that are never forgotten: the
//! same verdicts while few keys come, whatever the clock does.

use std::collections::BTreeMap;

use ringhall::base::limits::RATE_KEYS_MAX;
use ringhall::base::rate::RateLimiter;
use ringhall::base::time::Time;

/// Millionths of a token.
const MICRO: u128 = 1_000_000;

struct Model {
    rate_per_s: u128,
    full: u128,
    levels: BTreeMap<u8, (u128, u64)>,
}

impl Model {
    fn allow(&mut self, now_us: u64, key: u8) -> bool {
        if self.rate_per_s == 0 {
            return true;
        }
        let (level, at_us) = self.levels.entry(key).or_insert((self.full, now_us));
        let passed_us = u128::from(now_us.saturating_sub(*at_us));
        *level = (*level + passed_us * self.rate_per_s).min(self.full);
        *at_us = now_us.max(*at_us);
        let is_allowed = *level >= MICRO;
        if is_allowed {
            *level -= MICRO;
        }
        is_allowed
    }
}

/// Rate and burst, then four bytes an operation: kind, key, a 16-bit number.
/// A clock may stand still and run far ahead; it never runs back here, because
/// a bucket forgotten when full would differ from one remembered.
pub fn check(data: &[u8]) {
    let Some((&[rate, rate_scale, burst, burst_scale], ops)) = data.split_first_chunk::<4>() else {
        return;
    };
    let rate_per_s = u32::from(rate) << (rate_scale % 25);
    let burst = u32::from(burst) << (burst_scale % 25);
    let mut limiter = RateLimiter::new(rate_per_s, burst);
    let mut model = Model {
        rate_per_s: u128::from(rate_per_s),
        full: u128::from(burst.max(1)) * MICRO,
        levels: BTreeMap::new(),
    };
    let mut now_us = 0u64;
    for op in ops.chunks_exact(4) {
        let &[kind, key, high, low] = op else {
            continue;
        };
        let wide = u16::from_be_bytes([high, low]);
        match kind % 4 {
            0 | 1 => {
                for _ in 0..=wide % 8 {
                    let expected = model.allow(now_us, key);
                    assert_eq!(limiter.allow(Time::from_us(now_us), key), expected);
                }
            }
            2 => now_us = now_us.saturating_add(u64::from(wide)),
            _ => now_us = now_us.saturating_add(u64::from(wide) << (key % 48)),
        }
        assert!(limiter.len() <= model.levels.len().min(RATE_KEYS_MAX));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let burst_then_wait = [
        [0, 1, 0, 7],
        [0, 2, 0, 7],
        [2, 0, 0xff, 0xff],
        [0, 1, 0, 7],
        [3, 12, 0x03, 0xe8],
        [1, 1, 0, 3],
        [3, 47, 0xff, 0xff],
        [1, 2, 0, 3],
    ];
    let with = |head: [u8; 4]| [head.as_slice(), burst_then_wait.concat().as_slice()].concat();
    vec![
        with([20, 0, 200, 0]),
        with([1, 0, 3, 0]),
        with([0, 0, 1, 0]),
        with([255, 24, 255, 24]),
        with([1, 0, 0, 24]),
    ]
}
