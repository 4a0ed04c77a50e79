//! Outgoing datagrams, gathered into trains: runs of equal-sized datagrams to
//! one destination that the kernel splits itself (`UDP_SEGMENT`). The kernel's
//! per-datagram path is the dear part of forwarding, so trains are where the
//! cost per packet falls.
//!
//! One buffer holds a fixed number of slots; a train is a slot. A slot is open
//! (datagrams are still appended), taken (the driver is sending it), or free.

use std::net::{IpAddr, SocketAddr};

use super::limits::{TRAIN_MAX_BYTES, TRAIN_MAX_SEGMENTS, TRAINS_MAX};
use super::snapshot::Histogram;

/// The two ends of a datagram. The local port is the core's media port; the
/// local address matters, because a browser discards an answer that comes from
/// another address than the one it checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    pub local: IpAddr,
    pub remote: SocketAddr,
}

/// Where a destination's open train is, remembered by the destination. Stale
/// after the train was taken; a stale cursor opens a new train.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrainCursor {
    /// Position in the list of open trains.
    position: u32,
    /// The turn it was opened in; 0 = never.
    turn: u32,
}

/// One train: `bytes / segment_bytes` datagrams, the last may be shorter.
#[derive(Clone, Copy, Debug)]
pub struct Train {
    pub path: Path,
    pub segment_bytes: usize,
    pub len_bytes: usize,
    /// Datagrams in it.
    pub segments: usize,
    slot: u32,
    closed: bool,
}

pub struct Trains {
    /// `TRAINS_MAX` slots; allocated once, so its address never moves.
    buffer: Vec<u8>,
    free: Vec<u32>,
    open: Vec<Train>,
    turn: u32,
    /// Datagrams refused because no slot was free.
    refused: u64,
    /// Datagrams per train taken.
    lengths: Histogram,
}

impl Trains {
    pub fn new() -> Self {
        Self::with_slots(TRAINS_MAX)
    }

    /// For drivers of small worlds (the simulator).
    pub fn with_slots(slots: usize) -> Self {
        Trains {
            buffer: vec![0; slots * TRAIN_MAX_BYTES],
            // Popped from the end: low slots first, so a small load touches little memory.
            free: (0..slots as u32).rev().collect(),
            open: Vec::with_capacity(slots),
            turn: 1,
            refused: 0,
            lengths: Histogram::default(),
        }
    }

    /// Room for one datagram of exactly `len_bytes` on `path`, to be written in
    /// full by the caller. `None` (counted) when the pool is dry or the length
    /// is no datagram's.
    pub fn reserve(
        &mut self,
        cursor: &mut TrainCursor,
        path: Path,
        len_bytes: usize,
    ) -> Option<&mut [u8]> {
        if len_bytes == 0 || len_bytes > TRAIN_MAX_BYTES {
            self.refused += 1;
            return None;
        }
        if cursor.turn == self.turn
            && let Some(train) = self.open.get_mut(cursor.position as usize)
            && train.accepts(path, len_bytes)
        {
            let start = train.slot as usize * TRAIN_MAX_BYTES + train.len_bytes;
            train.len_bytes += len_bytes;
            train.segments += 1;
            // A shorter datagram can only be the last of its train.
            train.closed = len_bytes < train.segment_bytes;
            return self.buffer.get_mut(start..start + len_bytes);
        }
        let Some(slot) = self.free.pop() else {
            self.refused += 1;
            return None;
        };
        *cursor = TrainCursor {
            position: self.open.len() as u32,
            turn: self.turn,
        };
        self.open.push(Train {
            path,
            segment_bytes: len_bytes,
            len_bytes,
            segments: 1,
            slot,
            closed: false,
        });
        let start = slot as usize * TRAIN_MAX_BYTES;
        self.buffer.get_mut(start..start + len_bytes)
    }

    /// Takes back the datagram just reserved through `cursor`, for a caller
    /// that found it cannot fill it.
    pub fn retract(&mut self, cursor: &TrainCursor, len_bytes: usize) {
        if cursor.turn != self.turn {
            return;
        }
        if let Some(train) = self.open.get_mut(cursor.position as usize)
            && train.segments > 0
        {
            train.len_bytes = train.len_bytes.saturating_sub(len_bytes);
            train.segments -= 1;
            train.closed = train.segments == 0;
        }
    }

    /// Ends the turn: moves every train into `taken`, in the order opened. The
    /// caller owns their slots until it releases them.
    pub fn take(&mut self, taken: &mut Vec<Train>) {
        for train in self.open.drain(..) {
            if train.segments == 0 {
                self.free.push(train.slot);
            } else {
                self.lengths.record(train.segments as u64);
                taken.push(train);
            }
        }
        self.turn = self.turn.wrapping_add(1).max(1);
    }

    pub fn bytes(&self, train: &Train) -> &[u8] {
        let start = train.slot as usize * TRAIN_MAX_BYTES;
        self.buffer
            .get(start..start + train.len_bytes)
            .unwrap_or_default()
    }

    /// Gives a taken train's slot back, once nothing reads its bytes any more.
    pub fn release(&mut self, train: Train) {
        self.free.push(train.slot);
    }

    /// Datagrams refused so far because the pool was dry.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Datagrams per train taken so far.
    pub fn lengths(&self) -> &Histogram {
        &self.lengths
    }

    /// Slots neither open nor taken.
    pub fn free_slots(&self) -> usize {
        self.free.len()
    }

    /// Trains open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Default for Trains {
    fn default() -> Self {
        Self::new()
    }
}

impl Train {
    fn accepts(&self, path: Path, len_bytes: usize) -> bool {
        !self.closed
            && self.path == path
            && len_bytes <= self.segment_bytes
            && self.segments < TRAIN_MAX_SEGMENTS
            && self.len_bytes + len_bytes <= TRAIN_MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path {
            local: [127, 0, 0, 1].into(),
            remote: ([127, 0, 0, 1], port).into(),
        }
    }

    fn lens(trains: &[Train]) -> Vec<(u16, usize, usize)> {
        trains
            .iter()
            .map(|t| (t.path.remote.port(), t.segment_bytes, t.segments))
            .collect()
    }

    #[test]
    fn equal_sizes_share_a_train_and_a_shorter_one_ends_it() {
        let mut trains = Trains::with_slots(8);
        let (mut a, mut b) = (TrainCursor::default(), TrainCursor::default());
        for len in [1_000, 1_000, 900, 1_000] {
            trains.reserve(&mut a, path(1), len).unwrap().fill(1);
            trains.reserve(&mut b, path(2), 1_200).unwrap().fill(2);
        }
        let mut taken = Vec::new();
        trains.take(&mut taken);
        assert_eq!(lens(&taken), [(1, 1_000, 3), (2, 1_200, 4), (1, 1_000, 1)]);
        assert!(trains.bytes(&taken[0]).iter().all(|byte| *byte == 1));
        assert_eq!(trains.bytes(&taken[0]).len(), 2_900);
    }

    #[test]
    fn a_larger_datagram_opens_a_new_train() {
        let mut trains = Trains::with_slots(8);
        let mut cursor = TrainCursor::default();
        trains.reserve(&mut cursor, path(1), 100).unwrap();
        trains.reserve(&mut cursor, path(1), 101).unwrap();
        let mut taken = Vec::new();
        trains.take(&mut taken);
        assert_eq!(lens(&taken), [(1, 100, 1), (1, 101, 1)]);
    }

    #[test]
    fn a_dry_pool_refuses_until_a_slot_returns() {
        let mut trains = Trains::with_slots(1);
        let (mut a, mut b) = (TrainCursor::default(), TrainCursor::default());
        assert!(trains.reserve(&mut a, path(1), 10).is_some());
        assert!(trains.reserve(&mut b, path(2), 10).is_none());
        assert_eq!(trains.refused(), 1);
        let mut taken = Vec::new();
        trains.take(&mut taken);
        assert_eq!(trains.free_slots(), 0);
        trains.release(taken[0]);
        assert!(trains.reserve(&mut b, path(2), 10).is_some());
    }

    #[test]
    fn a_stale_cursor_opens_a_new_train() {
        let mut trains = Trains::with_slots(4);
        let mut cursor = TrainCursor::default();
        trains.reserve(&mut cursor, path(1), 10).unwrap();
        let mut taken = Vec::new();
        trains.take(&mut taken);
        trains.reserve(&mut cursor, path(1), 10).unwrap();
        trains.take(&mut taken);
        assert_eq!(lens(&taken), [(1, 10, 1), (1, 10, 1)]);
    }

    #[test]
    fn a_retracted_datagram_leaves_nothing() {
        let mut trains = Trains::with_slots(4);
        let mut cursor = TrainCursor::default();
        trains.reserve(&mut cursor, path(1), 10).unwrap();
        trains.retract(&cursor, 10);
        let mut taken = Vec::new();
        trains.take(&mut taken);
        assert!(taken.is_empty());
        assert_eq!(trains.free_slots(), 4);
    }

    #[test]
    fn an_address_change_splits_the_train() {
        let mut trains = Trains::with_slots(4);
        let mut cursor = TrainCursor::default();
        trains.reserve(&mut cursor, path(1), 10).unwrap();
        trains.reserve(&mut cursor, path(2), 10).unwrap();
        let mut taken = Vec::new();
        trains.take(&mut taken);
        assert_eq!(lens(&taken), [(1, 10, 1), (2, 10, 1)]);
    }
}
