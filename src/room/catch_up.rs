//! How a viewer begins with a publication that cannot be asked for a key frame:
//! from the newest one kept, so that it need not wait for the next. [`CatchUp`]
//! owns where the viewer is in what is kept, the pace, and the timestamps: the
//! pictures kept are squeezed to end where the live stream begins, so that a
//! player shows them at once and no delay stays. A viewer that asks for a key
//! frame later begins once more, by the same rules. Sees no packet's bytes.

use crate::base::limits::{
    CATCH_UP_AGAIN_INTERVAL, CATCH_UP_AGAIN_SPAN, CATCH_UP_INTERVAL, CATCH_UP_SPAN,
    RTX_WINDOW_PACKETS_MAX,
};
use crate::base::time::{Span, Time};

/// Most that timestamps are squeezed: pictures 1 ms apart, RTMP's finest step,
/// keep different timestamps at 90 kHz.
const FACTOR_MAX: u32 = 90;
/// The same for a viewer that begins again, with far less room: pictures of 75
/// a second keep different timestamps.
const FACTOR_AGAIN_MAX: u32 = 1_200;

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
    /// How far the squeezed timestamps are put ahead: none at first, past what
    /// the viewer has already when it begins again.
    ahead: u32,
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
        let span_max = units(CATCH_UP_SPAN, clock_rate);
        let factor = factor(keyframe, newest, span_max);
        CatchUp {
            next: Some(keyframe.ext_seq),
            due: now,
            began: now,
            end: newest.ext_seq,
            end_timestamp: newest.timestamp,
            ahead: 0,
            factor: factor.clamp(1, FACTOR_MAX),
            owed: 0,
        }
    }

    /// The same for a viewer that has pictures up to the newest one: what it
    /// gets again lies between that and the next.
    pub fn again(now: Time, keyframe: Place, newest: Place, clock_rate: u32) -> Self {
        let span_max = units(CATCH_UP_AGAIN_SPAN, clock_rate);
        let factor = factor(keyframe, newest, span_max);
        CatchUp {
            ahead: span_max.saturating_add(1),
            factor: factor.clamp(1, FACTOR_AGAIN_MAX),
            ..CatchUp::new(now, keyframe, newest, clock_rate)
        }
    }

    /// Whether the viewer may begin again: it is live, and, but for the first
    /// time, not only just. Who lost the first packets of all learns of nothing
    /// to ask for, and should not look at nothing for long.
    pub fn may_begin_again(&self, now: Time) -> bool {
        let is_first = self.ahead == 0;
        let is_time = is_first || now.since(self.began) >= CATCH_UP_AGAIN_INTERVAL;
        self.next.is_none() && is_time
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
        let after = ext_seq.saturating_sub(self.end);
        // The rest of the newest picture may come later.
        let is_kept = after == 0 && behind as i32 >= 0;
        let is_rest = behind == 0 && after < RTX_WINDOW_PACKETS_MAX as u64;
        if !is_kept && !is_rest {
            return timestamp;
        }
        let squeezed = behind.checked_div(self.factor).unwrap_or(behind);
        let end = self.end_timestamp.wrapping_add(self.ahead);
        end.wrapping_sub(squeezed)
    }
}

fn units(span: Span, clock_rate: u32) -> u32 {
    let units = u64::from(clock_rate) * span.as_ms() / 1_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// What brings the time from one to the other within `span_max`. A clock that
/// was set back has nothing to squeeze.
fn factor(keyframe: Place, newest: Place, span_max: u32) -> u32 {
    let span = newest.timestamp.wrapping_sub(keyframe.timestamp) as i32;
    span.max(0).unsigned_abs().div_ceil(span_max.max(1))
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
    fn what_is_sent_again_lies_between_two_live_pictures() {
        for (frames, step) in [(360, 3_000), (720, 1_500), (2, 3_000), (0, 3_000)] {
            let (_, timestamp) = catch_up(frames, step);
            let (newest, next) = (KEY + frames, KEY + frames + 1);
            let place = |ext_seq| place(ext_seq, timestamp(ext_seq));
            let again = CatchUp::again(Time::ZERO, place(KEY), place(newest), 90_000);
            let sent = |ext_seq| again.timestamp_of(ext_seq, timestamp(ext_seq));
            assert!(sent(KEY).wrapping_sub(timestamp(newest)) as i32 > 0);
            for ext_seq in KEY..=newest {
                let apart = sent(ext_seq + 1).wrapping_sub(sent(ext_seq)) as i32;
                assert!(apart > 0, "{frames} of {step}: {apart} at {ext_seq}");
            }
            assert_eq!(sent(next), timestamp(next), "live keeps its own");
            let rest = again.timestamp_of(next, timestamp(newest));
            assert_eq!(rest, sent(newest), "a picture has one timestamp");
        }
    }

    #[test]
    fn a_viewer_begins_again_when_live_and_not_too_often() {
        let (mut first, _) = catch_up(3, 3_000);
        let later = Time::ZERO + CATCH_UP_AGAIN_INTERVAL;
        assert!(!first.may_begin_again(later), "it is not through yet");
        while first.step(KEY + 3, 4_096).is_some() {}
        assert!(first.may_begin_again(Time::ZERO));
        let (key, newest) = (place(KEY, 0), place(KEY + 3, 9_000));
        let mut second = CatchUp::again(Time::ZERO, key, newest, 90_000);
        while second.step(KEY + 3, 4_096).is_some() {}
        assert!(!second.may_begin_again(Time::ZERO));
        assert!(second.may_begin_again(later));
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
