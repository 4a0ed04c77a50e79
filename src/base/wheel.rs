//! Timers of one core: a hashed wheel of one-millisecond slots. A timer is a
//! value `T` due at a time; firing it late by up to one slot is allowed, early
//! is not. Timers are never cancelled: owners ignore one that no longer
//! applies, which keeps arming free of look-ups.

use super::time::{Span, Time};

/// Slots in the wheel. Deadlines beyond it wait in the farthest slot and are
/// filed again when it turns.
const SLOTS: u64 = 4096;
const SLOT_US: u64 = 1_000;
/// Timers a slot has memory for from the start: 4,096 slots of four hold the
/// timers of a busy core, so that arming one on the packet path allocates nothing.
const SLOT_TIMERS_USUAL: usize = 4;
/// And keeps memory for: a crowd that came at once has its timers in one slot,
/// and is in another one the next time.
const SLOT_TIMERS_KEPT: usize = 64;

pub struct Wheel<T> {
    slots: Vec<Vec<(Time, T)>>,
    /// The first slot not yet swept, counted from time zero.
    cursor: u64,
    len: usize,
}

impl<T> Wheel<T> {
    pub fn new(now: Time) -> Self {
        Wheel {
            slots: (0..SLOTS)
                .map(|_| Vec::with_capacity(SLOT_TIMERS_USUAL))
                .collect(),
            cursor: now.as_us() / SLOT_US,
            len: 0,
        }
    }

    /// Timers waiting.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms `value` to fire at `due` or up to one slot later.
    pub fn arm(&mut self, due: Time, value: T) {
        // Rounded up, so that a sweep of the slot finds it due.
        let wanted = due.as_us().div_ceil(SLOT_US);
        let slot = wanted.clamp(self.cursor, self.cursor + SLOTS - 1);
        if let Some(entries) = self.slots.get_mut((slot % SLOTS) as usize) {
            entries.push((due, value));
            self.len += 1;
        }
    }

    /// When the next sweep can find something due; `None` without timers.
    pub fn next_due(&self) -> Option<Time> {
        if self.len == 0 {
            return None;
        }
        let slot = (self.cursor..self.cursor + SLOTS).find(|slot| {
            self.slots
                .get((slot % SLOTS) as usize)
                .is_some_and(|entries| !entries.is_empty())
        })?;
        Some(Time::from_us(slot * SLOT_US))
    }

    /// Moves every value due at `now` into `fired`, in slot order.
    pub fn sweep(&mut self, now: Time, fired: &mut Vec<T>) {
        let last = now.as_us() / SLOT_US;
        if self.len == 0 {
            self.cursor = self.cursor.max(last);
            return;
        }
        let mut refile = Vec::new();
        let end = last.min(self.cursor + SLOTS - 1);
        for slot in self.cursor..=end {
            let Some(entries) = self.slots.get_mut((slot % SLOTS) as usize) else {
                continue;
            };
            self.len -= entries.len();
            for (due, value) in entries.drain(..) {
                if due <= now {
                    fired.push(value);
                } else {
                    refile.push((due, value));
                }
            }
            if entries.capacity() > SLOT_TIMERS_KEPT {
                entries.shrink_to(SLOT_TIMERS_USUAL);
            }
        }
        self.cursor = self.cursor.max(last);
        for (due, value) in refile {
            self.arm(due.max(now + Span::from_us(1)), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::from_us(ms * 1_000)
    }

    #[test]
    fn fires_in_time_never_early() {
        let mut wheel = Wheel::new(Time::ZERO);
        wheel.arm(Time::from_us(1_500), 'a');
        let mut fired = Vec::new();
        wheel.sweep(Time::from_us(1_499), &mut fired);
        assert!(fired.is_empty());
        assert_eq!(wheel.next_due(), Some(ms(2)));
        wheel.sweep(ms(2), &mut fired);
        assert_eq!(fired, ['a']);
        assert!(wheel.is_empty());
    }

    #[test]
    fn far_deadlines_wait_their_turn() {
        let mut wheel = Wheel::new(Time::ZERO);
        wheel.arm(ms(30_000), 'z');
        let mut fired = Vec::new();
        let mut turns = 0;
        while fired.is_empty() {
            let due = wheel.next_due().unwrap();
            assert!(due <= ms(30_000));
            wheel.sweep(due, &mut fired);
            turns += 1;
            assert!(turns < 20, "the wheel does not come to rest");
        }
        assert_eq!(fired, ['z']);
    }

    #[test]
    fn a_long_sleep_fires_everything_once() {
        let mut wheel = Wheel::new(ms(7));
        for due in [3, 8, 100, 4_000, 5_000, 9_000] {
            wheel.arm(ms(due), due);
        }
        let mut fired = Vec::new();
        wheel.sweep(ms(20_000), &mut fired);
        fired.sort_unstable();
        assert_eq!(fired, [3, 8, 100, 4_000, 5_000, 9_000]);
        assert_eq!(wheel.len(), 0);
        wheel.arm(ms(1), 1);
        assert!(wheel.next_due().unwrap() <= ms(20_000));
    }
}
