//! Which packet indices of a stream were used or seen: the newest one and a
//! bitmap of those behind it (RFC 3711 section 3.3.2).

use crate::base::limits::SRTP_WINDOW_PACKETS;

const WORD_BITS: u64 = 64;
/// One word more than the window: its oldest and newest end share no word.
const WORDS: u64 = SRTP_WINDOW_PACKETS / WORD_BITS + 1;

/// What a window knows of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Neither marked nor too old to tell.
    Fresh,
    Marked,
    /// Behind the window: it may have been marked.
    TooOld,
}

/// The last `SRTP_WINDOW_PACKETS` indices of a stream, the newest included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    newest: u64,
    /// A ring of words: bit `index % 64` of word `index / 64 % WORDS`. Words
    /// ahead of the newest index are clear.
    marked: [u64; WORDS as usize],
}

impl Window {
    /// A window with `index` marked and everything before it unmarked.
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Window {
            newest: index,
            marked: [0; WORDS as usize],
        };
        window.mark(index);
        window
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Reads what the index after the newest will need.
    pub(super) fn touch(&self) -> u64 {
        let word = self.marked.get(slot(self.newest + 1)).copied();
        self.newest ^ word.unwrap_or_default()
    }

    pub(super) fn standing(&self, index: u64) -> Standing {
        match self.newest.checked_sub(index) {
            None => Standing::Fresh,
            Some(behind) if behind >= SRTP_WINDOW_PACKETS => Standing::TooOld,
            Some(_) => {
                let word = self.marked.get(slot(index)).copied().unwrap_or(u64::MAX);
                if word & bit(index) == 0 {
                    Standing::Fresh
                } else {
                    Standing::Marked
                }
            }
        }
    }

    /// Marks `index`, moving the window forward if it is the newest. Does
    /// nothing for one behind the window.
    pub(super) fn mark(&mut self, index: u64) {
        if index > self.newest {
            let from = self.newest / WORD_BITS;
            let words_ahead = (index / WORD_BITS - from).min(WORDS);
            for ahead in 1..=words_ahead {
                if let Some(word) = self.marked.get_mut(((from + ahead) % WORDS) as usize) {
                    *word = 0;
                }
            }
            self.newest = index;
        } else if self.newest - index >= SRTP_WINDOW_PACKETS {
            return;
        }
        if let Some(word) = self.marked.get_mut(slot(index)) {
            *word |= bit(index);
        }
    }
}

fn slot(index: u64) -> usize {
    (index / WORD_BITS % WORDS) as usize
}

fn bit(index: u64) -> u64 {
    1 << (index % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::random::Noise;

    #[test]
    fn edges_of_the_window() {
        let mut window = Window::starting_at(5_000);
        assert_eq!(window.standing(5_000), Standing::Marked);
        assert_eq!(window.standing(5_001), Standing::Fresh);
        let oldest = 5_001 - SRTP_WINDOW_PACKETS;
        assert_eq!(window.standing(oldest), Standing::Fresh);
        assert_eq!(window.standing(oldest - 1), Standing::TooOld);
        window.mark(oldest);
        assert_eq!(window.standing(oldest), Standing::Marked);
        window.mark(oldest - 1);
        window.mark(5_001);
        assert_eq!(window.standing(oldest), Standing::TooOld);
        assert_eq!(window.standing(oldest + 1), Standing::Fresh);
    }

    #[test]
    fn agrees_with_a_set_of_indices() {
        let mut noise = Noise::new(11);
        for start in [0, 63, 65_535, (1 << 48) - 5_000] {
            let mut window = Window::starting_at(start);
            let mut seen = BTreeSet::from([start]);
            for _ in 0..20_000 {
                let newest = window.newest();
                let forward = match noise.below(50) {
                    0 => noise.below(3_000),
                    1 => noise.below(200),
                    _ => noise.below(4),
                };
                let index = (newest + forward).saturating_sub(noise.below(1_100));
                let expected = if newest >= index + SRTP_WINDOW_PACKETS {
                    Standing::TooOld
                } else if seen.contains(&index) {
                    Standing::Marked
                } else {
                    Standing::Fresh
                };
                assert_eq!(window.standing(index), expected);
                window.mark(index);
                if expected != Standing::TooOld {
                    seen.insert(index);
                }
                assert_eq!(window.newest(), newest.max(index));
            }
        }
    }
}
