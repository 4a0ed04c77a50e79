//! Operations on a NACK generator against a plain list of what is missing:
//! it asks only for what is missing, in order, no oftener than allowed, and
//! accounts for every packet it ever noticed missing.

use std::collections::{BTreeMap, BTreeSet};

use ringhall::base::limits::{NACK_AGE_MAX, NACK_MISSING_MAX, NACK_TRIES_MAX};
use ringhall::base::time::{Span, Time};
use ringhall::proto::nack::{Arrival, NackGenerator};

const RETRY_MIN: Span = Span::from_ms(20);

/// Four bytes an operation: kind, a 16-bit number, a small number.
pub fn check(data: &[u8]) {
    let start = u64::from(data.first().copied().unwrap_or(0)) << 9;
    let mut world = World::new(start);
    for op in data.chunks_exact(4) {
        let &[kind, high, low, small] = op else {
            continue;
        };
        let wide = u16::from_be_bytes([high, low]);
        match kind % 8 {
            0..=3 => world.packet(world.newest.saturating_add(1 + u64::from(small % 4))),
            4 => world.packet(world.newest.saturating_sub(u64::from(wide % 600))),
            5 => world.packet(world.newest.saturating_add(u64::from(wide % 700))),
            6 => world.now = world.now + Span::from_us(u64::from(wide)),
            _ => world.poll(Span::from_ms(u64::from(small) * 2)),
        }
        world.agree();
    }
    world.come_to_rest();
}

struct World {
    nack: NackGenerator,
    now: Time,
    newest: u64,
    /// What the model holds missing, since when, and when it was asked for.
    missing: BTreeMap<u64, (Time, Vec<Time>)>,
    noticed: u64,
    recovered: u64,
}

impl World {
    fn new(start: u64) -> Self {
        let mut nack = NackGenerator::new();
        nack.on_packet(start, Time::ZERO);
        World {
            nack,
            now: Time::ZERO,
            newest: start,
            missing: BTreeMap::new(),
            noticed: 0,
            recovered: 0,
        }
    }

    fn packet(&mut self, ext_seq: u64) {
        let arrival = self.nack.on_packet(ext_seq, self.now);
        if ext_seq > self.newest {
            let skipped = self.newest + 1..ext_seq;
            let count = ext_seq - self.newest - 1;
            assert_eq!(arrival, Arrival::Advanced { missing: count });
            self.noticed += count;
            if self.missing.len() as u64 + count > NACK_MISSING_MAX as u64 {
                self.missing.clear();
                assert!(self.nack.take_keyframe_needed());
            } else {
                let now = self.now;
                self.missing
                    .extend(skipped.map(|seq| (seq, (now, Vec::new()))));
            }
            self.newest = ext_seq;
            return;
        }
        match (arrival, self.missing.remove(&ext_seq)) {
            (Arrival::Known, None) => {}
            (Arrival::Recovered { answer_after }, Some((_, asked))) => {
                let one = asked.first().filter(|_| asked.len() == 1);
                assert_eq!(answer_after, one.map(|at| self.now.since(*at)));
                self.recovered += 1;
            }
            (arrival, known) => panic!("{ext_seq}: {arrival:?}, expected {known:?}"),
        }
    }

    fn poll(&mut self, rtt: Span) {
        let abandoned = self.nack.abandoned();
        let mut request = Vec::new();
        self.nack.poll(self.now, rtt, &mut request);
        let mut after = None;
        for seq in request {
            // Ascending, so each is found after the one before.
            let found = self
                .missing
                .iter_mut()
                .find(|(ext_seq, _)| **ext_seq as u16 == seq && Some(**ext_seq) > after);
            let (ext_seq, (_, asked)) = found.expect("asked for a packet that is not missing");
            if let Some(last) = asked.last() {
                assert!(self.now.since(*last) >= RETRY_MIN, "asked again too soon");
            }
            asked.push(self.now);
            assert!(asked.len() <= usize::from(NACK_TRIES_MAX));
            after = Some(*ext_seq);
        }
        self.forget_abandoned(self.nack.abandoned() - abandoned);
    }

    /// What the generator stopped tracking, it must have tried for: in vain as
    /// often as allowed, or for as long as a packet is worth.
    fn forget_abandoned(&mut self, count: u64) {
        let tracked: BTreeSet<u64> = self.nack.missing().collect();
        let before = self.missing.len();
        let now = self.now;
        self.missing.retain(|ext_seq, (noticed, asked)| {
            let kept = tracked.contains(ext_seq);
            let spent = asked.len() == usize::from(NACK_TRIES_MAX);
            assert!(kept || spent || now.since(*noticed) >= NACK_AGE_MAX);
            kept
        });
        assert_eq!((before - self.missing.len()) as u64, count);
        assert_eq!(self.nack.take_keyframe_needed(), count > 0);
    }

    fn agree(&self) {
        assert!(self.nack.missing().eq(self.missing.keys().copied()));
        assert!(self.missing.len() <= NACK_MISSING_MAX);
        assert_eq!(self.nack.next_due().is_none(), self.missing.is_empty());
        let open = self.missing.len() as u64;
        assert_eq!(
            self.noticed,
            self.recovered + self.nack.abandoned() + open,
            "a missing packet is unaccounted for"
        );
    }

    /// Left alone, everything is given up within bounded polls and time.
    fn come_to_rest(&mut self) {
        let mut polls = 0;
        let began = self.now;
        while let Some(due) = self.nack.next_due() {
            self.now = self.now.max(due);
            self.poll(Span::from_ms(100));
            self.agree();
            polls += 1;
            assert!(polls <= NACK_MISSING_MAX * (usize::from(NACK_TRIES_MAX) + 2));
        }
        assert!(self.now.since(began) < Span::from_secs(4));
    }
}
