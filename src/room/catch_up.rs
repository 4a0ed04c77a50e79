//! How a viewer begins with a publication that cannot be asked for a key frame:
//! from the newest one kept, so that it need not wait for the next. [`CatchUp`]
//! owns where the viewer is in what is kept, the pace, and the timestamps: the
//! pictures kept are squeezed to end where the live stream begins, so that a
//! player shows them at once and no delay stays. Sees no packet's bytes.

use crate::base::limits::{CATCH_UP_INTERVAL, CATCH_UP_SPAN};
use crate::base::time::Time;

/// Most that timestamps are squeezed: pictures 1 ms apart, RTMP's finest step,
/// keep different timestamps at 90 kHz.
const FACTOR_MAX: u32 = 90;

/// One viewer's way from a key frame kept to the live stream.
#[derive(Clone, Copy, Debug)]
pub struct CatchUp {
    /// The next packet to send; `None`: the viewer is live.
    next: Option<u64>,
    due: Time,
    began: Time,
    /// The newest packet when it began: up to it timestamps are squeezed.
    end: u64,
    end_timestamp: u32,
    factor: u32,
    /// Packets that came since it began and wait for their turn.
    owed: u64,
}

/// A packet kept: its extended sequence number and timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub ext_seq: u64,
    pub timestamp: u32,
}

impl CatchUp {
    /// From the first packet of a key frame to the newest packet, of a track
    /// with this clock rate.
    pub fn new(now: Time, keyframe: Place, newest: Place, clock_rate: u32) -> Self {
        let span = newest.timestamp.wrapping_sub(keyframe.timestamp);
        let span_max = u64::from(clock_rate) * CATCH_UP_SPAN.as_ms() / 1_000;
        // A clock that was set back has no span to squeeze.
        let span = u64::from(span).saturating_mul(u64::from(span as i32 > 0));
        let factor = span.div_ceil(span_max.max(1));
        CatchUp {
            next: Some(keyframe.ext_seq),
            due: now,
            began: now,
            end: newest.ext_seq,
            end_timestamp: newest.timestamp,
            factor: u32::try_from(factor)
                .unwrap_or(FACTOR_MAX)
                .clamp(1, FACTOR_MAX),
            owed: 0,
        }
    }

    /// When the next burst is due; `None` once the viewer is live.
    pub fn next_due(&self) -> Option<Time> {
        self.next.map(|_| self.due)
    }

    /// Whether a burst may leave; the next one is due an interval later.
    pub fn begin_burst(&mut self, now: Time) -> bool {
        let is_due = self.next_due().is_some_and(|due| now >= due);
        if is_due {
            self.due = now + CATCH_UP_INTERVAL;
        }
        is_due
    }

    /// The packet to send now, and steps past it. `None`: nothing newer than
    /// `newest` is kept, so the viewer is live. What fell out of a window of
    /// `capacity` packets is passed over.
    pub fn step(&mut self, newest: u64, capacity: u64) -> Option<u64> {
        let oldest = newest.saturating_sub(capacity.saturating_sub(1));
        let next = self.next?.max(oldest);
        self.next = (next <= newest).then(|| next.saturating_add(1));
        self.next.map(|_| next)
    }

    /// Whether a packet that just came has to wait, because what is before it
    /// was not sent yet.
    pub fn withholds(&mut self, ext_seq: u64) -> bool {
        let waits = self.next.is_some_and(|next| ext_seq >= next);
        self.owed += u64::from(waits);
        waits
    }

    /// Whether a packet being sent came since the catching up began: then it
    /// was withheld, and is forwarded only now. Otherwise it is one kept from
    /// before, in nobody's books.
    pub fn settle(&mut self, ext_seq: u64, arrived: Time) -> bool {
        let was_withheld = self.owed > 0 && (ext_seq > self.end || arrived > self.began);
        self.owed -= u64::from(was_withheld);
        was_withheld
    }

    /// Packets withheld and not sent yet; afterwards none are.
    pub fn take_owed(&mut self) -> u64 {
        std::mem::take(&mut self.owed)
    }

    /// The timestamp this viewer gets for the publisher's: always the same for
    /// the same packet, sent first or again.
    pub fn timestamp_of(&self, ext_seq: u64, timestamp: u32) -> u32 {
        let behind = self.end_timestamp.wrapping_sub(timestamp);
        if ext_seq > self.end || behind as i32 <= 0 {
            return timestamp;
        }
        let squeezed = behind.checked_div(self.factor).unwrap_or(behind);
        self.end_timestamp.wrapping_sub(squeezed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u64 = 70_000;
    /// Wraps within the stretch.
    const KEY_TIMESTAMP: u32 = u32::MAX - 100_000;

    fn place(ext_seq: u64, timestamp: u32) -> Place {
        Place { ext_seq, timestamp }
    }

    /// Frames of one packet each, `step` units apart.
    fn catch_up(frames: u64, step: u32) -> (CatchUp, impl Fn(u64) -> u32) {
        let timestamp =
            move |ext_seq: u64| KEY_TIMESTAMP.wrapping_add((ext_seq - KEY) as u32 * step);
        let newest = place(KEY + frames, timestamp(KEY + frames));
        let catch_up = CatchUp::new(Time::ZERO, place(KEY, KEY_TIMESTAMP), newest, 90_000);
        (catch_up, timestamp)
    }

    #[test]
    fn kept_pictures_span_about_a_tenth_of_a_second_in_order() {
        for (frames, step, span_max) in [
            (150, 3_000, 9_000),
            (300, 3_000, 10_000),
            (9_000, 90, 9_000),
            (12_000, 90, 12_000),
            (2, 3_000, 6_000),
            (0, 3_000, 0),
        ] {
            let (catch_up, timestamp) = catch_up(frames, step);
            let sent = |ext_seq| catch_up.timestamp_of(ext_seq, timestamp(ext_seq));
            let end = timestamp(KEY + frames);
            assert!(
                end.wrapping_sub(sent(KEY)) <= span_max,
                "{frames} of {step}"
            );
            for ext_seq in KEY..KEY + frames {
                let apart = sent(ext_seq + 1).wrapping_sub(sent(ext_seq)) as i32;
                assert!(apart > 0, "{frames} of {step}: {apart} at {ext_seq}");
            }
            for live in [KEY + frames, KEY + frames + 1, KEY + frames + (1 << 20)] {
                assert_eq!(sent(live), timestamp(live), "live keeps its own");
            }
        }
    }

    #[test]
    fn a_clock_set_back_is_left_alone() {
        let newest = place(KEY + 9, 1_000);
        let catch_up = CatchUp::new(Time::ZERO, place(KEY, 900_000), newest, 90_000);
        assert_eq!(catch_up.timestamp_of(KEY, 900_000), 900_000);
        assert_eq!(catch_up.timestamp_of(KEY + 9, 1_000), 1_000);
    }

    #[test]
    fn everything_kept_goes_in_order_and_then_it_is_live() {
        let (mut catch_up, _) = catch_up(3, 3_000);
        let mut newest = KEY + 3;
        assert!(!catch_up.withholds(KEY - 1), "before the key frame");
        let mut sent = Vec::new();
        while let Some(ext_seq) = catch_up.step(newest, 4_096) {
            sent.push(ext_seq);
            if ext_seq == KEY + 1 {
                newest += 1;
                assert!(catch_up.withholds(newest));
                assert!(!catch_up.withholds(KEY + 1), "a late one goes at once");
            }
        }
        assert_eq!(sent, (KEY..=KEY + 4).collect::<Vec<_>>());
        assert_eq!(catch_up.next_due(), None);
        assert!(!catch_up.withholds(newest + 1), "live");
        assert_eq!(catch_up.step(newest + 1, 4_096), None, "for good");
    }

    #[test]
    fn what_the_window_lost_is_passed_over() {
        let (mut catch_up, _) = catch_up(3, 3_000);
        assert_eq!(catch_up.step(KEY + 10, 8), Some(KEY + 3));
        assert_eq!(catch_up.step(u64::MAX - 1, 8), Some(u64::MAX - 8));
    }

    #[test]
    fn bursts_keep_their_interval() {
        let (mut catch_up, _) = catch_up(3, 3_000);
        assert!(catch_up.begin_burst(Time::ZERO));
        assert!(!catch_up.begin_burst(Time::ZERO));
        let due = Time::ZERO + CATCH_UP_INTERVAL;
        assert_eq!(catch_up.next_due(), Some(due));
        assert!(catch_up.begin_burst(due));
    }

    #[test]
    fn the_books_know_the_kept_from_the_withheld() {
        let (mut catch_up, _) = catch_up(3, 3_000);
        let later = Time::from_us(1);
        assert!(!catch_up.settle(KEY, Time::ZERO), "kept from before");
        assert!(catch_up.withholds(KEY + 4));
        // A loss repaired meanwhile.
        assert!(catch_up.withholds(KEY + 2));
        assert!(catch_up.settle(KEY + 2, later));
        assert!(!catch_up.settle(KEY + 3, Time::ZERO));
        assert!(catch_up.settle(KEY + 4, later));
        assert!(catch_up.withholds(KEY + 5));
        assert_eq!((catch_up.take_owed(), catch_up.take_owed()), (1, 0));
    }
}
