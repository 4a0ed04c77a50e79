//! Bit rates as policy and as measurement: [`RembCap`] tells a publisher its
//! ceiling, [`TokenBucket`] bounds what one subscriber may make us resend,
//! [`RateMeter`] tells operators what flows. All are told the time; none
//! queues or delays anything.

use crate::base::time::{Span, Time};

/// How often the ceiling is repeated: RTCP may be lost, and one lost message
/// must not leave a publisher above its ceiling for longer than this.
const REMB_INTERVAL: Span = Span::from_ms(1_000);

/// A configured ceiling for a publisher, sent as REMB
/// (draft-alvestrand-rmcat-remb-03) each second and at once when changed.
#[derive(Clone, Debug)]
pub struct RembCap {
    cap_bps: u64,
    /// When to send next; `None`: at once.
    due: Option<Time>,
}

impl RembCap {
    /// A ceiling of `max_bitrate_kbps` thousand bits per second.
    pub fn new(max_bitrate_kbps: u32) -> Self {
        RembCap {
            cap_bps: bps_of(max_bitrate_kbps),
            due: None,
        }
    }

    /// Changes the ceiling; setting the same one again sends nothing early.
    pub fn set(&mut self, max_bitrate_kbps: u32) {
        let cap_bps = bps_of(max_bitrate_kbps);
        if cap_bps != self.cap_bps {
            self.cap_bps = cap_bps;
            self.due = None;
        }
    }

    /// The value to send now, in bits per second, if one is due.
    pub fn poll(&mut self, now: Time) -> Option<u64> {
        if self.due.is_some_and(|due| due > now) {
            return None;
        }
        self.due = Some(now + REMB_INTERVAL);
        Some(self.cap_bps)
    }

    /// When to poll next: time zero, that is at once, after a change.
    pub fn next_due(&self) -> Time {
        self.due.unwrap_or(Time::ZERO)
    }
}

fn bps_of(kbps: u32) -> u64 {
    u64::from(kbps).saturating_mul(1_000)
}

/// A token bucket in bytes. One holds the retransmissions of one subscriber,
/// so that a few bytes of NACK cannot buy an unbounded stream of packets.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate_bytes_per_s: u64,
    /// Millionths of a byte, so that each microsecond refills a whole number
    /// and nothing is lost to rounding.
    level_millionths: u64,
    level_max_millionths: u64,
    refilled: Time,
}

const MILLIONTHS: u64 = 1_000_000;

impl TokenBucket {
    /// A bucket that starts full at `now`, refills at `rate_bytes_per_s` and
    /// holds `burst_bytes` at most.
    pub fn new(rate_bytes_per_s: u64, burst_bytes: u64, now: Time) -> Self {
        let full = burst_bytes.saturating_mul(MILLIONTHS);
        TokenBucket {
            rate_bytes_per_s,
            level_millionths: full,
            level_max_millionths: full,
            refilled: now,
        }
    }

    /// Takes `bytes` if they are there; otherwise takes nothing and says no.
    pub fn take(&mut self, bytes: usize, now: Time) -> bool {
        self.refill(now);
        let cost = (bytes as u64).saturating_mul(MILLIONTHS);
        match self.level_millionths.checked_sub(cost) {
            Some(rest) => {
                self.level_millionths = rest;
                true
            }
            None => false,
        }
    }

    /// Changes the pace of refilling, as the stream's own rate changes; what
    /// has been earned so far stays.
    pub fn set_rate(&mut self, rate_bytes_per_s: u64, now: Time) {
        self.refill(now);
        self.rate_bytes_per_s = rate_bytes_per_s;
    }

    /// Whole bytes there at `now`.
    pub fn available_bytes(&mut self, now: Time) -> u64 {
        self.refill(now);
        self.level_millionths / MILLIONTHS
    }

    fn refill(&mut self, now: Time) {
        let elapsed_us = now.since(self.refilled).as_us();
        let earned = elapsed_us.saturating_mul(self.rate_bytes_per_s);
        self.level_millionths = self
            .level_millionths
            .saturating_add(earned)
            .min(self.level_max_millionths);
        self.refilled = self.refilled.max(now);
    }
}

/// Buckets of the meter's window, and the length of each.
const METER_BUCKETS: usize = 10;
const METER_BUCKET_US: u64 = 100_000;

/// Bits per second over the last second, in steps of 100 ms: the sum of the
/// last ten complete buckets, so that an even stream reads as its exact rate.
#[derive(Clone, Debug, Default)]
pub struct RateMeter {
    /// Ring by bucket number; one more than the window, for the current one.
    buckets: [Bucket; METER_BUCKETS + 1],
    total_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Time divided by the bucket length: whose bytes these are.
    number: u64,
    bytes: u64,
}

impl RateMeter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn on_bytes(&mut self, bytes: usize, now: Time) {
        self.total_bytes = self.total_bytes.saturating_add(bytes as u64);
        let number = now.as_us() / METER_BUCKET_US;
        let slot = number % (METER_BUCKETS as u64 + 1);
        if let Some(bucket) = self.buckets.get_mut(slot as usize) {
            if bucket.number != number {
                *bucket = Bucket { number, bytes: 0 };
            }
            bucket.bytes = bucket.bytes.saturating_add(bytes as u64);
        }
    }

    /// Bits per second of the second that ended with the last full bucket.
    pub fn bps(&self, now: Time) -> u64 {
        let current = now.as_us() / METER_BUCKET_US;
        let window = current.saturating_sub(METER_BUCKETS as u64)..current;
        let in_window = self.buckets.iter().filter(|b| window.contains(&b.number));
        in_window
            .fold(0u64, |sum, bucket| sum.saturating_add(bucket.bytes))
            .saturating_mul(8)
    }

    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::from_us(ms * 1_000)
    }

    #[test]
    fn the_ceiling_is_sent_each_second_and_when_changed() {
        let mut cap = RembCap::new(1_500);
        assert_eq!(cap.next_due(), Time::ZERO);
        assert_eq!(cap.poll(ms(10)), Some(1_500_000));
        assert_eq!(cap.poll(ms(10)), None);
        assert_eq!(cap.next_due(), ms(1_010));
        assert_eq!(cap.poll(ms(1_009)), None);
        assert_eq!(cap.poll(ms(1_010)), Some(1_500_000));
        cap.set(1_500);
        assert_eq!(cap.poll(ms(1_011)), None);
        cap.set(u32::MAX);
        assert_eq!(cap.poll(ms(1_011)), Some(4_294_967_295_000));
        assert_eq!(cap.next_due(), ms(2_011));
    }

    #[test]
    fn the_bucket_lets_through_its_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::new(10_000, 3_000, ms(0));
        assert!(bucket.take(1_200, ms(0)));
        assert!(bucket.take(1_200, ms(0)));
        assert!(!bucket.take(1_200, ms(0)));
        assert_eq!(bucket.available_bytes(ms(0)), 600);
        assert!(!bucket.take(1_200, ms(59)));
        assert!(bucket.take(1_200, ms(60)));
        assert!(!bucket.take(1, ms(60)));
        assert_eq!(bucket.available_bytes(ms(10_000)), 3_000);
    }

    #[test]
    fn small_steps_refill_as_much_as_large_ones() {
        let mut bucket = TokenBucket::new(7, 1_000, ms(0));
        assert!(bucket.take(1_000, ms(0)));
        for us in 0..=10_000_000u64 {
            if us % 7 == 0 {
                bucket.take(1_000_000, Time::from_us(us));
            }
        }
        assert_eq!(bucket.available_bytes(ms(10_000)), 70);
    }

    #[test]
    fn an_asker_for_everything_gets_the_rate_and_no_more() {
        let mut bucket = TokenBucket::new(50_000, 10_000, ms(0));
        let mut sent = 0;
        for t in 0..10_000 {
            for _ in 0..100 {
                if bucket.take(1_200, ms(t)) {
                    sent += 1_200;
                }
            }
        }
        assert!((500_000..=510_000).contains(&sent), "{sent}");
    }

    #[test]
    fn the_bucket_survives_extremes_and_time_going_back() {
        let mut bucket = TokenBucket::new(u64::MAX, 1 << 40, ms(5));
        assert!(!bucket.take(usize::MAX, ms(4)));
        assert!(bucket.take(1_500, Time::from_us(u64::MAX)));
        bucket.set_rate(0, Time::ZERO);
        let before = bucket.available_bytes(Time::from_us(u64::MAX));
        assert_eq!(bucket.available_bytes(Time::ZERO), before);
    }

    #[test]
    fn the_meter_reads_an_even_stream_exactly() {
        let mut meter = RateMeter::new();
        for t in 0..5_000 {
            meter.on_bytes(125, ms(t));
            if t >= 1_100 {
                assert_eq!(meter.bps(ms(t)), 1_000_000);
            }
        }
        assert_eq!(meter.total_bytes(), 625_000);
    }

    #[test]
    fn the_meter_falls_silent_after_a_second() {
        let mut meter = RateMeter::new();
        assert_eq!(meter.bps(ms(0)), 0);
        meter.on_bytes(1_000, ms(950));
        assert_eq!(meter.bps(ms(999)), 0);
        assert_eq!(meter.bps(ms(1_000)), 8_000);
        assert_eq!(meter.bps(ms(1_999)), 8_000);
        assert_eq!(meter.bps(ms(2_000)), 0);
        meter.on_bytes(usize::MAX, Time::from_us(u64::MAX));
        meter.on_bytes(usize::MAX, Time::from_us(u64::MAX));
        assert_eq!(meter.bps(Time::from_us(u64::MAX)), 0);
    }
}
