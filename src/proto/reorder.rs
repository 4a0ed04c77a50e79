//! Packets put back in order by extended sequence number: owns those that came
//! before their turn, bounded in number and in time, and gives up on what is
//! missing when either runs out. Refuses packets whose turn has passed. Asking
//! for missing packets is done elsewhere.

use std::collections::BTreeMap;

use crate::base::limits::REORDER_PACKETS_MAX;
use crate::base::time::{Span, Time};

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Held; [`Reorder::pop`] gives it out in its turn.
    Held,
    /// Held already; the copy held first stays.
    Duplicate,
    /// Its turn has passed: given out before, or given up.
    Late,
    /// No room: nobody called [`Reorder::pop`]. The packet counts as missing.
    Full,
}

/// A packet in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Popped<T> {
    pub item: T,
    /// Packets between this and the one before it were given up.
    pub lost_before: bool,
}

/// A reorder buffer. Call [`Reorder::pop`] until it has nothing after every
/// [`Reorder::push`], and from time to time: a gap is given up by the clock of
/// the calls.
#[derive(Clone, Debug)]
pub struct Reorder<T> {
    wait: Span,
    /// The sequence whose turn it is; `None` before the first packet.
    next: Option<u64>,
    held: BTreeMap<u64, (Time, T)>,
    /// Earliest arrival among the held, while `next` is missing.
    waiting_since: Option<Time>,
}

impl<T> Reorder<T> {
    /// A buffer that holds a packet back for at most `wait`.
    pub fn new(wait: Span) -> Self {
        Reorder {
            wait,
            next: None,
            held: BTreeMap::new(),
            waiting_since: None,
        }
    }

    /// Takes a packet that arrived at `now`. The first one's turn is at once:
    /// what was sent before it is nobody's loss.
    pub fn push(&mut self, ext_seq: u64, item: T, now: Time) -> Placed {
        let next = *self.next.get_or_insert(ext_seq);
        if ext_seq < next {
            return Placed::Late;
        }
        if self.held.contains_key(&ext_seq) {
            return Placed::Duplicate;
        }
        if self.held.len() >= REORDER_PACKETS_MAX {
            return Placed::Full;
        }
        self.held.insert(ext_seq, (now, item));
        let since = self.waiting_since.get_or_insert(now);
        *since = (*since).min(now);
        Placed::Held
    }

    /// The packet whose turn it is, or, when the wait or the room is over, the
    /// first one after the gap.
    pub fn pop(&mut self, now: Time) -> Option<Popped<T>> {
        let next = self.next?;
        let (&first, _) = self.held.first_key_value()?;
        let lost_before = first != next;
        if lost_before && !self.is_over(now) {
            return None;
        }
        let (ext_seq, (_, item)) = self.held.pop_first()?;
        let following = ext_seq.saturating_add(1);
        self.next = Some(following);
        // While packets follow one another nothing is waited for, and what
        // the earliest arrival is, matters at the next gap only.
        let is_gap = |first: &u64| *first != following;
        if self
            .held
            .first_key_value()
            .is_none_or(|(first, _)| is_gap(first))
        {
            self.waiting_since = self.held.values().map(|(at, _)| *at).min();
        }
        Some(Popped { item, lost_before })
    }

    /// When a missing packet is given up; `None` while none is waited for.
    fn next_due(&self) -> Option<Time> {
        self.waiting_since.map(|since| since + self.wait)
    }

    fn is_over(&self, now: Time) -> bool {
        self.held.len() >= REORDER_PACKETS_MAX || self.next_due().is_some_and(|due| now >= due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Span = Span::from_ms(200);

    fn ms(ms: u64) -> Time {
        Time::from_us(ms * 1_000)
    }

    /// What comes out at `now`; losses as `-seq`.
    fn popped(reorder: &mut Reorder<i64>, now: Time) -> Vec<i64> {
        std::iter::from_fn(|| reorder.pop(now))
            .map(|popped| match popped.lost_before {
                true => -popped.item,
                false => popped.item,
            })
            .collect()
    }

    #[test]
    fn packets_in_order_pass() {
        let mut reorder = Reorder::new(WAIT);
        assert_eq!(reorder.pop(ms(0)), None);
        for seq in 100..200 {
            assert_eq!(reorder.push(seq, seq as i64, ms(seq)), Placed::Held);
            assert_eq!(popped(&mut reorder, ms(seq)), [seq as i64]);
            assert_eq!((reorder.next_due(), reorder.held.len()), (None, 0));
        }
    }

    #[test]
    fn a_late_packet_fills_its_gap() {
        let mut reorder = Reorder::new(WAIT);
        for seq in [1, 3, 4] {
            reorder.push(seq, seq as i64, ms(seq));
        }
        assert_eq!(popped(&mut reorder, ms(5)), [1]);
        assert_eq!(reorder.next_due(), Some(ms(3) + WAIT));
        assert_eq!(reorder.push(4, 4, ms(6)), Placed::Duplicate);
        assert_eq!(reorder.push(2, 2, ms(7)), Placed::Held);
        assert_eq!(popped(&mut reorder, ms(7)), [2, 3, 4]);
        assert_eq!(reorder.push(2, 2, ms(8)), Placed::Late);
        assert_eq!(reorder.next_due(), None);
    }

    #[test]
    fn a_gap_is_given_up_after_the_wait() {
        let mut reorder = Reorder::new(WAIT);
        reorder.push(1, 1, ms(0));
        assert_eq!(popped(&mut reorder, ms(0)), [1]);
        reorder.push(5, 5, ms(10));
        reorder.push(3, 3, ms(50));
        assert!(popped(&mut reorder, ms(209)).is_empty());
        assert_eq!(reorder.next_due(), Some(ms(210)));
        // 5 has waited long enough, so its own gap is given up with 3's.
        assert_eq!(popped(&mut reorder, ms(210)), [-3, -5]);
        assert_eq!(reorder.push(2, 2, ms(211)), Placed::Late);
    }

    #[test]
    fn room_is_bounded() {
        let mut reorder = Reorder::new(WAIT);
        reorder.push(0, 0, ms(0));
        assert_eq!(popped(&mut reorder, ms(0)), [0]);
        let count = REORDER_PACKETS_MAX as i64;
        for seq in 2..1 + count {
            reorder.push(seq as u64, seq, ms(1));
            assert_eq!(reorder.pop(ms(1)), None);
        }
        reorder.push(u64::MAX, -1, ms(1));
        let out = popped(&mut reorder, ms(1));
        assert_eq!(out.len() as i64, count - 1);
        assert_eq!((out[0], out[1]), (-2, 3));
        assert_eq!(reorder.held.len(), 1);
        assert_eq!(popped(&mut reorder, ms(500)), [1]);
    }

    #[test]
    fn a_reader_who_does_not_read_costs_no_more() {
        let mut reorder = Reorder::new(WAIT);
        let count = REORDER_PACKETS_MAX as u64;
        for seq in 0..count {
            assert_eq!(reorder.push(seq, 0, ms(0)), Placed::Held);
        }
        assert_eq!(reorder.push(count, 0, ms(0)), Placed::Full);
        assert_eq!(popped(&mut reorder, ms(0)).len(), REORDER_PACKETS_MAX);
    }
}
