//! Operations on a transport feedback recorder against a table of arrivals:
//! messages follow on one another, and what a sender reconstructs from them is
//! what arrived, to within half a delta unit.

use std::collections::BTreeMap;

use ringhall::base::limits::{TWCC_STATUSES_MAX, TWCC_WINDOW};
use ringhall::base::time::{Span, Time};
use ringhall::proto::twcc::TransportFeedbackRecorder;

/// Four bytes an operation: kind, a 16-bit number, a small number.
pub fn check(data: &[u8]) {
    let mut world = World {
        recorder: TransportFeedbackRecorder::new(),
        now: Time::from_us(u64::from(data.first().copied().unwrap_or(0)) << 33),
        newest: 0x1_0000 + (u64::from(data.last().copied().unwrap_or(0)) << 8),
        next: None,
        arrived: BTreeMap::new(),
        count: 0,
    };
    for op in data.chunks_exact(4) {
        let &[kind, high, low, small] = op else {
            continue;
        };
        let wide = u64::from(u16::from_be_bytes([high, low]));
        match kind % 8 {
            0..=2 => world.packet(world.newest + 1 + u64::from(small % 4)),
            3 => world.packet(world.newest.saturating_sub(wide % 1_000)),
            4 => world.packet(world.newest + wide % 0x8000),
            5 => world.now = world.now + Span::from_us(wide),
            6 => world.now = world.now + Span::from_us(wide << (small % 10)),
            _ => world.report(),
        }
    }
    world.report();
}

struct World {
    recorder: TransportFeedbackRecorder,
    now: Time,
    newest: u64,
    /// First unreported sequence; `None` before the first packet.
    next: Option<u64>,
    arrived: BTreeMap<u64, Time>,
    count: u8,
}

impl World {
    fn packet(&mut self, ext_seq: u64) {
        self.recorder.on_packet(ext_seq as u16, self.now);
        let next = self.next.unwrap_or(ext_seq);
        let window = TWCC_WINDOW as u64;
        // The recorder's newest is the model's: packets that are far behind
        // are never given to it (at most 999, less than the window).
        if self.next.is_none() || ext_seq >= next + window {
            self.arrived.clear();
            self.next = Some(ext_seq);
        }
        self.newest = self.newest.max(ext_seq);
        if Some(ext_seq) >= self.next {
            self.arrived.entry(ext_seq).or_insert(self.now);
        }
        assert_eq!(self.recorder.next_due().is_some(), !self.arrived.is_empty());
    }

    fn report(&mut self) {
        if let Some(due) = self.recorder.next_due() {
            assert!(!self.recorder.due(due - Span::from_us(1)));
            assert!(self.recorder.due(due));
        }
        let mut messages = 0;
        while self.read_message() {
            messages += 1;
            assert!(messages <= TWCC_WINDOW, "reporting does not end");
        }
        assert!(self.arrived.is_empty(), "arrivals were left unreported");
        assert_eq!(self.recorder.next_due(), None);
    }

    /// Reads one message as a sender would; false when there is none.
    fn read_message(&mut self) -> bool {
        let Some(feedback) = self.recorder.build(self.now) else {
            return false;
        };
        let mut next = self.next.expect("a report before any packet");
        assert_eq!(feedback.base_sequence, next as u16);
        assert_eq!(feedback.count, self.count);
        assert!((1..=TWCC_STATUSES_MAX).contains(&feedback.deltas_250us.len()));
        // Only a loss longer than one message makes one without an arrival.
        assert!(
            feedback.deltas_250us.iter().any(Option::is_some)
                || feedback.deltas_250us.len() == TWCC_STATUSES_MAX
        );
        self.count = self.count.wrapping_add(1);
        let mut clock_us: Option<i64> = None;
        for delta in feedback.deltas_250us {
            let arrived = self.arrived.remove(&next);
            assert_eq!(arrived.is_some(), delta.is_some(), "status of {next}");
            if let (Some(arrived), Some(delta)) = (arrived, delta) {
                assert!(i16::try_from(*delta).is_ok());
                let arrived_us = arrived.as_us() as i64;
                let before_us = clock_us.unwrap_or_else(|| {
                    assert_eq!(
                        feedback.reference_time_64ms,
                        (arrived.as_us() / 64_000) as u32 & 0xff_ffff
                    );
                    arrived_us / 64_000 * 64_000
                });
                let read_us = before_us + i64::from(*delta) * 250;
                assert!(read_us.abs_diff(arrived_us) <= 125);
                clock_us = Some(read_us);
            }
            next += 1;
        }
        self.next = Some(next);
        true
    }
}
