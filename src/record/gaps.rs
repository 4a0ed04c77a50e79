//! What a track lacked, as its manifest tells it: pieces that belong together
//! are one gap, and small ones give way when there are too many.

use crate::base::limits::RECORD_GAPS_MAX;
use crate::record::layout::TrackKind;

/// Shorter gaps are not worth telling, nor smaller pieces of one.
const GAP_MIN_US: i64 = 1_000_000;
const GAP_PIECE_US: i64 = 100_000;
/// Pieces of a gap this close to each other are one: what a sender says now and
/// then while it is silent lies between them.
const GAP_JOINT_US: i64 = 65_000;

/// A stretch in which a track had nothing of the stream's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub track: TrackKind,
    pub from_us: i64,
    pub until_us: i64,
}

impl Gap {
    fn is_long(&self) -> bool {
        self.until_us - self.from_us >= GAP_MIN_US
    }
}

/// Adds what a track lacks.
pub fn note(gaps: &mut Vec<Gap>, track: TrackKind, from_us: i64, until_us: i64) {
    if until_us - from_us < GAP_PIECE_US {
        return;
    }
    let joins = |gap: &&mut Gap| {
        gap.track == track && (0..=GAP_JOINT_US).contains(&(from_us - gap.until_us))
    };
    if let Some(gap) = gaps.iter_mut().rev().find(joins) {
        gap.until_us = until_us;
        return;
    }
    if gaps.len() >= RECORD_GAPS_MAX {
        keep_long(gaps);
    }
    if gaps.len() < RECORD_GAPS_MAX {
        gaps.push(Gap {
            track,
            from_us,
            until_us,
        });
    }
}

/// Leaves those that are worth telling.
pub fn keep_long(gaps: &mut Vec<Gap>) {
    gaps.retain(Gap::is_long);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut gaps = Vec::new();
        for (from_ms, until_ms) in pieces {
            note(
                &mut gaps,
                TrackKind::Audio,
                from_ms * 1_000,
                until_ms * 1_000,
            );
        }
        keep_long(&mut gaps);
        let told = gaps
            .iter()
            .map(|gap| (gap.from_us / 1_000, gap.until_us / 1_000));
        told.collect()
    }

    #[test]
    fn pieces_with_a_packet_between_them_are_one_gap() {
        assert_eq!(told(&[(0, 380), (400, 780), (800, 1_180)]), [(0, 1_180)]);
        assert_eq!(told(&[(0, 380), (500, 880), (1_000, 1_380)]), []);
        assert_eq!(told(&[(0, 99), (99, 198)]), [], "jitter is no gap");
        assert_eq!(
            told(&[(0, 2_000), (3_000, 5_000)]),
            [(0, 2_000), (3_000, 5_000)]
        );
    }

    #[test]
    fn short_ones_give_way_to_long_ones() {
        let mut pieces: Vec<(i64, i64)> = (0..2 * RECORD_GAPS_MAX as i64)
            .map(|n| (n * 1_000, n * 1_000 + 300))
            .collect();
        pieces.push((1_000_000, 1_003_000));
        assert_eq!(told(&pieces), [(1_000_000, 1_003_000)]);
    }
}
