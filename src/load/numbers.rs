//! Which of the numbered packets of a track came.

use std::collections::BTreeSet;

use crate::load::tally::Tally;

/// Numbers that are remembered to tell doubles.
const WINDOW: usize = 1_024;

#[derive(Default)]
pub struct Numbers {
    range: Option<(u32, u32)>,
    seen: BTreeSet<u32>,
    came: u64,
    doubles: u64,
    late: u64,
}

impl Numbers {
    /// Notes one that came. Those before the first are not counted.
    pub fn note(&mut self, number: u32) {
        let (first, last) = *self.range.get_or_insert((number, number));
        if number < first || !self.seen.insert(number) {
            self.doubles += u64::from(number >= first);
            return;
        }
        self.came += 1;
        self.late += u64::from(number < last);
        self.range = Some((first, last.max(number)));
        while self.seen.len() > WINDOW {
            self.seen.pop_first();
        }
    }

    fn lost(&self) -> u64 {
        let due = self
            .range
            .map_or(0, |(first, last)| u64::from(last - first) + 1);
        due.saturating_sub(self.came)
    }

    /// Counts them, at the end.
    pub fn settle(&self, tally: &mut Tally) {
        tally.add("packets_received", self.came);
        tally.add("packets_lost", self.lost());
        tally.add("duplicates", self.doubles);
        tally.add("reordered", self.late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_doubles_and_late_ones_are_told_apart() {
        let mut numbers = Numbers::default();
        for number in [5, 6, 9, 7, 7, 10, 4, 12] {
            numbers.note(number);
        }
        // 5 to 12 are eight, 8 and 11 did not come; 4 was before it began.
        assert_eq!((numbers.came, numbers.lost()), (6, 2));
        assert_eq!((numbers.doubles, numbers.late), (1, 1));
    }
}
