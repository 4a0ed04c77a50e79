//! Operations on a reorder buffer: what comes out is in order, once each,
//! everything that came in time, told of every gap, and nothing waits longer or
//! takes more room than allowed.

use std::collections::BTreeMap;

use ringhall::base::limits::REORDER_PACKETS_MAX;
use ringhall::base::time::{Span, Time};
use ringhall::proto::reorder::{Placed, Reorder};

const WAIT: Span = Span::from_ms(200);

/// Three bytes an operation: kind and a 16-bit number.
pub fn check(data: &[u8]) {
    let start = u64::from(data.first().copied().unwrap_or(0)) << 12;
    let mut world = World {
        reorder: Reorder::new(WAIT),
        now: Time::ZERO,
        newest: start,
        last_out: None,
        waiting: BTreeMap::new(),
    };
    world.push(start);
    for op in data.chunks_exact(3) {
        let &[kind, high, low] = op else {
            continue;
        };
        let wide = u64::from(u16::from_be_bytes([high, low]));
        match kind % 8 {
            0..=2 => world.push(world.newest + 1),
            3 => world.push(world.newest + 2 + wide % 4),
            4 => world.push(world.newest.saturating_sub(wide % 40)),
            5 => world.push(world.newest + wide),
            6 => (0..wide % 1_200).for_each(|_| world.push(world.newest + 1)),
            _ => world.pass(Span::from_us(wide * 4)),
        }
    }
    world.pass(WAIT);
    assert!(world.waiting.is_empty());
}

struct World {
    reorder: Reorder<u64>,
    now: Time,
    newest: u64,
    last_out: Option<u64>,
    /// Held, and since when.
    waiting: BTreeMap<u64, Time>,
}

impl World {
    fn push(&mut self, ext_seq: u64) {
        let placed = self.reorder.push(ext_seq, ext_seq, self.now);
        let expected = match self.last_out {
            Some(last) if ext_seq <= last => Placed::Late,
            _ if self.waiting.contains_key(&ext_seq) => Placed::Duplicate,
            _ => Placed::Held,
        };
        assert_eq!(placed, expected);
        if placed == Placed::Held {
            self.waiting.insert(ext_seq, self.now);
        }
        self.newest = self.newest.max(ext_seq);
        self.pop();
    }

    fn pass(&mut self, span: Span) {
        self.now = self.now + span;
        self.pop();
    }

    fn pop(&mut self) {
        loop {
            let is_full = self.waiting.len() >= REORDER_PACKETS_MAX;
            let is_over = self.waiting.values().any(|at| *at + WAIT <= self.now);
            let Some(popped) = self.reorder.pop(self.now) else {
                assert!(!is_full && !is_over);
                break;
            };
            let (first, _) = self.waiting.pop_first().expect("only what was held");
            assert_eq!(popped.item, first);
            let follows = self.last_out.is_none_or(|last| last + 1 == first);
            assert_eq!(popped.lost_before, !follows);
            assert!(follows || is_full || is_over, "a gap given up too early");
            self.last_out = Some(first);
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 0, 1, 0, 0, 2, 0, 0],
        // A gap, filled late; a gap, given up; a late packet.
        vec![3, 0, 0, 4, 0, 1, 3, 0, 2, 7, 0xff, 0xff, 4, 0, 3],
        // A gap and more packets behind it than there is room for.
        vec![3, 0, 0, 6, 4, 0xaf, 6, 4, 0xaf],
        vec![
            5, 0xff, 0xff, 0, 0, 0, 4, 0, 9, 5, 0x80, 0, 7, 0xff, 0xff, 4, 0, 1,
        ],
    ]
}
