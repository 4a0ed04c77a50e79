//! Operations on a munger against a table of everything it ever mapped: one
//! index never serves two packets, one packet never gets two indices, pauses
//! and switches leave no gap, and a NACK finds the packet it means.

use std::collections::BTreeMap;

use ringhall::base::limits::MUNGER_RUNS_MAX;
use ringhall::proto::munger::Munger;

/// Four bytes an operation: kind, a 16-bit number, a small number.
pub fn check(data: &[u8]) {
    let head = u64::from(data.first().copied().unwrap_or(0));
    let mut world = World::new(head << 10, (head << 7) as u16);
    for op in data.chunks_exact(4) {
        let &[kind, high, low, small] = op else {
            continue;
        };
        let wide = u64::from(u16::from_be_bytes([high, low]));
        let near = u64::from(small);
        match kind % 8 {
            0..=2 => world.packet(world.newest + 1 + near % 3),
            3 => world.packet(world.newest.saturating_sub(near)),
            4 => world.pause(),
            5 => world.resume(world.newest.saturating_sub(2) + wide),
            6 => world.switch(wide << (near % 5)),
            _ => world.nack(wide as u16),
        }
    }
}

struct World {
    munger: Munger,
    source: u32,
    newest: u64,
    /// Packet (source, sequence) by index, and the reverse.
    packet_of: BTreeMap<u64, (u32, u64)>,
    index_of: BTreeMap<(u32, u64), u64>,
    /// Highest index given out; `out_start - 1` before the first.
    index_end: u64,
    /// The packet at which the stream goes on, and the index it must get so
    /// that there is no gap.
    continues_at: Option<(u64, u64)>,
    paused: bool,
    /// Runs opened since each packet was mapped: how far back is remembered.
    runs: usize,
    run_of: BTreeMap<u64, usize>,
}

impl World {
    fn new(first: u64, out_start: u16) -> Self {
        World {
            munger: Munger::start(first, 0, out_start, 0),
            source: 0,
            newest: first,
            packet_of: BTreeMap::new(),
            index_of: BTreeMap::new(),
            index_end: u64::from(out_start),
            continues_at: Some((first, u64::from(out_start))),
            paused: false,
            runs: 0,
            run_of: BTreeMap::new(),
        }
    }

    fn packet(&mut self, ext_seq: u64) {
        let packet = (self.source, ext_seq);
        let known = self.index_of.get(&packet).copied();
        let Some(out) = self.munger.map(ext_seq, ext_seq as u32) else {
            if let Some(index) = known {
                assert!(self.is_forgotten(index), "a mapped packet was refused");
            }
            return;
        };
        assert_eq!(out.sequence, out.index as u16);
        if let Some(index) = known {
            assert_eq!(out.index, index, "one packet, two indices");
        }
        let owner = *self.packet_of.entry(out.index).or_insert(packet);
        assert_eq!(owner, packet, "one index, two packets");
        self.index_of.insert(packet, out.index);
        if let Some((_, index)) = self.continues_at.filter(|(at, _)| *at == ext_seq) {
            assert_eq!(out.index, index, "a gap where none may be");
        }
        if out.index >= self.index_end {
            assert!(!self.paused, "forwarded during a pause");
            self.index_end = out.index + 1;
        }
        self.run_of.entry(out.index).or_insert(self.runs);
        self.newest = self.newest.max(ext_seq);
        if self.index_end - out.index < 0x7fff {
            assert_eq!(self.munger.reverse(out.sequence), Some(ext_seq));
        }
    }

    fn pause(&mut self) {
        self.munger.pause();
        self.paused = true;
        self.continues_at = None;
    }

    fn resume(&mut self, next: u64) {
        let first_new = self.first_unmapped();
        self.munger.resume(next, next as u32, 1);
        self.continues_at = Some((next.max(first_new), self.index_end));
        self.newest = self.newest.max(next.saturating_sub(1));
        self.opened();
    }

    fn switch(&mut self, next: u64) {
        self.munger.switch(next, next as u32, 1);
        self.source += 1;
        self.continues_at = Some((next, self.index_end));
        self.newest = next;
        self.opened();
    }

    fn nack(&self, out_seq: u16) {
        let Some(ext_seq) = self.munger.reverse(out_seq) else {
            return;
        };
        // It may never have come, but it cannot have been another packet.
        let window = self.index_end.saturating_sub(0x8001)..self.index_end;
        let sent = self.packet_of.range(window);
        for (_, packet) in sent.filter(|(index, _)| **index as u16 == out_seq) {
            assert_eq!(*packet, (self.source, ext_seq));
        }
    }

    fn opened(&mut self) {
        self.paused = false;
        self.runs += 1;
    }

    /// One past the newest packet of this source that was mapped.
    fn first_unmapped(&self) -> u64 {
        let mapped = self
            .index_of
            .range((self.source, 0)..=(self.source, u64::MAX));
        mapped.last().map_or(0, |((_, ext_seq), _)| ext_seq + 1)
    }

    fn is_forgotten(&self, index: u64) -> bool {
        let opened_since = self.run_of.get(&index).map_or(0, |run| self.runs - run);
        opened_since >= MUNGER_RUNS_MAX - 1
    }
}
