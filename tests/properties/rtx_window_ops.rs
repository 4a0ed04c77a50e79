//! Operations on a retransmission window against a map of the packets it must
//! hold: what was inserted comes back byte for byte while the window spans it,
//! and nothing else ever does.

use std::collections::BTreeMap;

use ringhall::base::limits::DATAGRAM_MAX_BYTES;
use ringhall::base::time::Time;
use ringhall::proto::rtx_window::{Inserted, Meta, RtxWindow, extend_sequence};

/// Four bytes an operation: kind, a 16-bit number, a small number.
pub fn check(data: &[u8]) {
    let size = usize::from(data.first().copied().unwrap_or(0) % 64);
    let mut world = World {
        window: RtxWindow::new(size),
        newest: None,
        held: BTreeMap::new(),
    };
    assert_eq!(world.window.capacity(), size.max(1).next_power_of_two());
    let mut reference = u64::from(data.last().copied().unwrap_or(0)) << 10;
    for op in data.chunks_exact(4) {
        let &[kind, high, low, small] = op else {
            continue;
        };
        let wide = u16::from_be_bytes([high, low]);
        let near = u64::from(small % 96);
        match kind % 8 {
            0..=2 => reference = reference.saturating_add(1 + near % 3),
            3 => reference = reference.saturating_sub(near),
            4 => reference = extend(reference, wide),
            5 => reference = u64::MAX - near,
            6 => world.get(reference.saturating_sub(near)),
            _ if small == 0 => world.clear(),
            _ => world.get(u64::from(wide)),
        }
        if kind % 8 < 6 {
            world.insert(reference, wide, small);
        }
    }
    world.get_all();
}

struct World {
    window: RtxWindow,
    newest: Option<u64>,
    held: BTreeMap<u64, (Meta, Vec<u8>)>,
}

impl World {
    fn insert(&mut self, ext_seq: u64, wide: u16, small: u8) {
        let payload = vec![small; usize::from(wide) % (DATAGRAM_MAX_BYTES + 20)];
        let meta = Meta {
            marker: small & 1 == 1,
            timestamp: u32::from(wide) << 16,
            payload_len: wide,
            audio_level: (small & 2 == 2).then_some(small),
            orientation: (small & 4 == 4).then_some(small),
            keyframe_start: small & 8 == 8,
            arrived: Time::from_us(u64::from(wide)),
        };
        let expected = if payload.len() > DATAGRAM_MAX_BYTES {
            Inserted::TooLong
        } else if !self.spans(ext_seq) {
            Inserted::TooOld
        } else if self.held.contains_key(&ext_seq) {
            Inserted::Duplicate
        } else {
            Inserted::New
        };
        assert_eq!(self.window.insert(ext_seq, meta, &payload), expected);
        if expected == Inserted::New {
            let meta = Meta {
                payload_len: payload.len() as u16,
                ..meta
            };
            self.held.insert(ext_seq, (meta, payload));
            self.newest = self.newest.max(Some(ext_seq));
            let capacity = self.window.capacity() as u64;
            let newest = self.newest.unwrap_or(0);
            self.held.retain(|seq, _| newest - seq < capacity);
        }
        assert_eq!(self.window.highest(), self.newest);
        self.get(ext_seq);
    }

    fn get(&self, ext_seq: u64) {
        let got = self.window.get(ext_seq);
        let expected = self.held.get(&ext_seq);
        assert_eq!(
            got,
            expected.map(|(meta, payload)| (meta, payload.as_slice()))
        );
    }

    fn get_all(&self) {
        let newest = self.newest.unwrap_or(0);
        let first = newest.saturating_sub(self.window.capacity() as u64 + 2);
        (first..=newest).for_each(|ext_seq| self.get(ext_seq));
    }

    fn clear(&mut self) {
        self.window.clear();
        self.held.clear();
        self.newest = None;
    }

    fn spans(&self, ext_seq: u64) -> bool {
        let capacity = self.window.capacity() as u64;
        self.newest
            .is_none_or(|newest| ext_seq > newest || newest - ext_seq < capacity)
    }
}

fn extend(reference: u64, seq: u16) -> u64 {
    let extended = extend_sequence(reference, seq);
    assert_eq!(extended as u16, seq);
    assert!(extended.abs_diff(reference) < 0x1_0000);
    if (0x8000..u64::MAX - 0x8000).contains(&reference) {
        assert!(extended.abs_diff(reference) <= 0x8000);
    }
    extended
}
