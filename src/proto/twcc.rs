//! Transport-wide congestion feedback toward a publisher: owns the arrival
//! times of a transport's packets until they are reported
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 sections 2 and 3). It
//! yields plain values; turning them into bytes is the RTCP writer's work.
//! Refuses to span more than [`TWCC_WINDOW`] unreported packets: a wider jump
//! starts the reporting over.

use crate::base::limits::{TWCC_STATUSES_MAX, TWCC_WINDOW};
use crate::base::time::{Span, Time};
use crate::proto::rtx_window::extend_sequence;

/// Longest wait of an arrival for its report.
const INTERVAL_MAX: Span = Span::from_ms(100);

/// Wait once [`EARLY_STATUSES`] packets are waiting: a fast publisher's
/// estimator gets fresher numbers, a slow one is not charged for them.
const INTERVAL_MIN: Span = Span::from_ms(50);

/// Packets waiting (200 packets/s, about 2 Mbit/s) that call for the shorter
/// interval.
const EARLY_STATUSES: u64 = 10;

/// Unit of the reference time, section 3.1.
const REFERENCE_UNIT_US: u64 = 64_000;

/// Unit of receive deltas, section 3.1.5.
const DELTA_UNIT_US: i64 = 250;

/// One transport feedback message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// Sequence number of the first status.
    pub base_sequence: u16,
    /// Origin of the first delta in units of 64 ms, 24 bits, wrapping.
    pub reference_time_64ms: u32,
    /// Number of this message ("feedback packet count"), wrapping.
    pub count: u8,
    /// One status per packet from `base_sequence` on: `None` not received,
    /// else the delta to the previous received packet (the first: to the
    /// reference time) in units of 250 us, always within `i16`.
    pub deltas_250us: &'a [Option<i32>],
}

/// Arrival times waiting to be reported. Never allocates after construction.
#[derive(Debug)]
pub struct TransportFeedbackRecorder {
    /// Ring of `TWCC_WINDOW` arrivals, by unwrapped sequence.
    arrivals: Vec<Option<Time>>,
    /// First unreported sequence.
    next: u64,
    /// One past the newest sequence; above `next` the last one was received.
    end: u64,
    started: bool,
    /// Arrival that armed the timer: the first since the last report.
    armed: Option<Time>,
    count: u8,
    /// Statuses of the message last built.
    deltas: Vec<Option<i32>>,
}

impl Default for TransportFeedbackRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl TransportFeedbackRecorder {
    pub fn new() -> Self {
        TransportFeedbackRecorder {
            arrivals: vec![None; TWCC_WINDOW],
            next: 0,
            end: 0,
            started: false,
            armed: None,
            count: 0,
            deltas: Vec::with_capacity(TWCC_STATUSES_MAX),
        }
    }

    /// Notes the arrival of transport-wide sequence number `seq`. Duplicates
    /// and packets already reported as lost are ignored.
    pub fn on_packet(&mut self, seq: u16, now: Time) {
        let window = TWCC_WINDOW as u64;
        let newest = self.end.saturating_sub(1);
        let unwrapped = extend_sequence(newest, seq);
        let lag = newest.saturating_sub(unwrapped);
        let lead = unwrapped.saturating_sub(self.next);
        if !self.started || lag >= window || lead >= window {
            self.restart(seq);
            return self.note(self.next, now);
        }
        if unwrapped >= self.next {
            self.note(unwrapped, now);
        }
    }

    /// When a report falls due; `None` while nothing waits.
    pub fn next_due(&self) -> Option<Time> {
        let waiting = self.end.saturating_sub(self.next);
        let interval = if waiting >= EARLY_STATUSES {
            INTERVAL_MIN
        } else {
            INTERVAL_MAX
        };
        self.armed.map(|first| first + interval)
    }

    pub fn due(&self, now: Time) -> bool {
        self.next_due().is_some_and(|due| due <= now)
    }

    /// Reports what waits, oldest first, whether due or not. One message does
    /// not always hold everything (too many statuses, or a delta beyond 16
    /// bits): call until `None`.
    pub fn build(&mut self, _now: Time) -> Option<Feedback<'_>> {
        let first = (self.next..self.end).find_map(|seq| self.arrival(seq))?;
        let reference = first.as_us() / REFERENCE_UNIT_US;
        // What the reader of the message will have reconstructed so far. Each
        // delta is taken from it, so rounding errors never add up.
        let mut clock_us = reference.wrapping_mul(REFERENCE_UNIT_US);
        let base = self.next;
        self.deltas.clear();
        while self.next < self.end && self.deltas.len() < TWCC_STATUSES_MAX {
            let delta = match self.arrival(self.next) {
                None => None,
                Some(at) => match quantise(at.as_us().wrapping_sub(clock_us) as i64) {
                    // It will open the next message, whose reference is near.
                    None => break,
                    some => some,
                },
            };
            let step_us = i64::from(delta.unwrap_or(0)).wrapping_mul(DELTA_UNIT_US);
            clock_us = clock_us.wrapping_add_signed(step_us);
            self.deltas.push(delta);
            self.set_arrival(self.next, None);
            self.next = self.next.saturating_add(1);
        }
        if self.next == self.end {
            self.armed = None;
        }
        let count = self.count;
        self.count = count.wrapping_add(1);
        Some(Feedback {
            base_sequence: base as u16,
            reference_time_64ms: (reference & 0x00ff_ffff) as u32,
            count,
            deltas_250us: &self.deltas,
        })
    }

    fn note(&mut self, unwrapped: u64, now: Time) {
        if self.arrival(unwrapped).is_some() {
            return;
        }
        self.set_arrival(unwrapped, Some(now));
        self.end = self.end.max(unwrapped.saturating_add(1));
        self.armed.get_or_insert(now);
    }

    /// Drops what waits and starts at `seq`, one cycle up so that earlier
    /// numbers stay representable.
    fn restart(&mut self, seq: u16) {
        self.arrivals.fill(None);
        self.next = 0x1_0000 | u64::from(seq);
        self.end = self.next;
        self.started = true;
        self.armed = None;
    }

    fn arrival(&self, unwrapped: u64) -> Option<Time> {
        self.arrivals.get(slot_of(unwrapped)).copied().flatten()
    }

    fn set_arrival(&mut self, unwrapped: u64, arrival: Option<Time>) {
        if let Some(slot) = self.arrivals.get_mut(slot_of(unwrapped)) {
            *slot = arrival;
        }
    }
}

fn slot_of(unwrapped: u64) -> usize {
    (unwrapped & (TWCC_WINDOW as u64 - 1)) as usize
}

/// `us` rounded to the delta unit; `None` beyond the 16 bits of a large delta.
fn quantise(us: i64) -> Option<i32> {
    let half = DELTA_UNIT_US / 2;
    let rounded = us.saturating_add(if us < 0 { -half } else { half }) / DELTA_UNIT_US;
    i16::try_from(rounded).ok().map(i32::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;

    fn us(us: u64) -> Time {
        Time::from_us(us)
    }

    /// Arrival times as the sender reconstructs them, by sequence number.
    fn reconstruct(feedback: &Feedback<'_>) -> Vec<(u16, Option<u64>)> {
        let mut clock = i64::from(feedback.reference_time_64ms) * 64_000;
        let numbered = (0u16..).zip(feedback.deltas_250us);
        numbered
            .map(|(i, delta)| {
                let at = delta.map(|delta| {
                    assert!(i16::try_from(delta).is_ok());
                    clock += i64::from(delta) * 250;
                    clock as u64
                });
                (feedback.base_sequence.wrapping_add(i), at)
            })
            .collect()
    }

    #[test]
    fn reports_received_and_lost_over_the_wrap() {
        let mut recorder = TransportFeedbackRecorder::new();
        assert_eq!(recorder.next_due(), None);
        assert!(recorder.build(us(0)).is_none());
        recorder.on_packet(65_534, us(640_250));
        recorder.on_packet(0, us(641_000));
        recorder.on_packet(1, us(640_500));
        assert_eq!(recorder.next_due(), Some(us(740_250)));
        assert!(!recorder.due(us(740_249)));
        assert!(recorder.due(us(740_250)));
        assert_eq!(
            recorder.build(us(740_250)),
            Some(Feedback {
                base_sequence: 65_534,
                reference_time_64ms: 10,
                count: 0,
                deltas_250us: &[Some(1), None, Some(3), Some(-2)],
            })
        );
        assert!(recorder.build(us(740_250)).is_none());
        assert_eq!(recorder.next_due(), None);
        // Reported as lost already: ignored, and the next report follows on.
        recorder.on_packet(65_535, us(750_000));
        assert_eq!(recorder.next_due(), None);
        recorder.on_packet(3, us(768_000));
        let next = recorder.build(us(900_000)).unwrap();
        assert_eq!((next.base_sequence, next.count), (2, 1));
        assert_eq!(next.reference_time_64ms, 12);
        assert_eq!(next.deltas_250us, [None, Some(0)]);
    }

    #[test]
    fn many_waiting_packets_hurry_the_report() {
        let mut recorder = TransportFeedbackRecorder::new();
        for seq in 0..9 {
            recorder.on_packet(seq, us(1_000));
        }
        assert_eq!(recorder.next_due(), Some(us(101_000)));
        recorder.on_packet(9, us(2_000));
        assert_eq!(recorder.next_due(), Some(us(51_000)));
    }

    #[test]
    fn duplicates_keep_the_first_arrival() {
        let mut recorder = TransportFeedbackRecorder::new();
        recorder.on_packet(7, us(0));
        recorder.on_packet(7, us(50_000));
        let feedback = recorder.build(us(100_000)).unwrap();
        assert_eq!(feedback.deltas_250us, [Some(0)]);
    }

    #[test]
    fn rounding_errors_do_not_add_up() {
        let mut recorder = TransportFeedbackRecorder::new();
        let at = |seq: u16| us(10_000_000 + u64::from(seq) * 1_124);
        for seq in 0..300 {
            recorder.on_packet(seq, at(seq));
        }
        let feedback = recorder.build(us(20_000_000)).unwrap();
        for (seq, time) in reconstruct(&feedback) {
            assert!(time.unwrap().abs_diff(at(seq).as_us()) <= 125);
        }
    }

    #[test]
    fn random_arrivals_are_reported_once_each() {
        let mut noise = Noise::new(5);
        let mut recorder = TransportFeedbackRecorder::new();
        let mut arrived = std::collections::BTreeMap::new();
        let (mut now, mut expected_base) = (us(1 << 40), None);
        for step in 0..20_000u64 {
            now = now + Span::from_us(noise.below(3_000));
            let seq = (60_000 + step - noise.below(4).min(step)) as u16;
            if expected_base.is_none() {
                expected_base = Some(seq);
            }
            if !noise.chance_ppm(100_000) {
                recorder.on_packet(seq, now);
                arrived.entry(seq).or_insert(now);
            }
            while recorder.due(now) {
                let feedback = recorder.build(now).unwrap();
                assert_eq!(Some(feedback.base_sequence), expected_base);
                let offset = (now.as_us() / 64_000) >> 24 << 24;
                for (seq, time) in reconstruct(&feedback) {
                    let known = arrived.remove(&seq);
                    assert_eq!(known.is_some(), time.is_some());
                    if let (Some(known), Some(time)) = (known, time) {
                        assert!(known.as_us().abs_diff(time + offset * 64_000) <= 125);
                    }
                    expected_base = Some(seq.wrapping_add(1));
                }
                arrived.clear();
            }
        }
    }

    #[test]
    fn a_long_silence_splits_the_report() {
        let mut recorder = TransportFeedbackRecorder::new();
        recorder.on_packet(10, us(0));
        recorder.on_packet(12, us(9_000_000));
        recorder.on_packet(13, us(0));
        let first = recorder.build(us(9_000_000)).unwrap();
        assert_eq!(first.deltas_250us, [Some(0), None]);
        assert!(recorder.due(us(9_000_000)));
        let second = recorder.build(us(9_000_000)).unwrap();
        assert_eq!((second.base_sequence, second.count), (12, 1));
        assert_eq!(second.reference_time_64ms, 140);
        assert_eq!(second.deltas_250us, [Some(160)]);
        let third = recorder.build(us(9_000_000)).unwrap();
        assert_eq!((third.base_sequence, third.count), (13, 2));
        assert_eq!(third.deltas_250us, [Some(0)]);
        assert!(recorder.build(us(9_000_000)).is_none());
    }

    #[test]
    fn one_message_holds_a_bounded_number_of_statuses() {
        let mut recorder = TransportFeedbackRecorder::new();
        recorder.on_packet(0, us(0));
        recorder.on_packet(999, us(64_000));
        let sizes: Vec<usize> =
            std::iter::from_fn(|| recorder.build(us(64_000)).map(|f| f.deltas_250us.len()))
                .collect();
        assert_eq!(sizes, [400, 400, 200]);
    }

    #[test]
    fn a_jump_starts_over_in_either_direction() {
        let mut recorder = TransportFeedbackRecorder::new();
        recorder.on_packet(20_000, us(0));
        recorder.on_packet(21_024, us(10));
        let feedback = recorder.build(us(20)).unwrap();
        assert_eq!(feedback.base_sequence, 21_024);
        assert_eq!(feedback.deltas_250us.len(), 1);
        recorder.on_packet(5, us(30));
        let feedback = recorder.build(us(40)).unwrap();
        assert_eq!((feedback.base_sequence, feedback.count), (5, 1));
        assert_eq!(feedback.deltas_250us, [Some(0)]);
        recorder.on_packet(6, us(200_000));
        assert_eq!(recorder.build(us(200_000)).unwrap().base_sequence, 6);
    }

    #[test]
    fn times_at_the_end_of_the_range_are_survived() {
        let mut recorder = TransportFeedbackRecorder::new();
        recorder.on_packet(1, us(u64::MAX));
        recorder.on_packet(2, us(0));
        recorder.on_packet(3, us(u64::MAX / 2));
        let mut statuses = 0;
        while let Some(feedback) = recorder.build(us(u64::MAX)) {
            statuses += feedback.deltas_250us.len();
        }
        assert_eq!(statuses, 3);
    }

    #[test]
    fn reference_time_wraps_at_24_bits() {
        let mut recorder = TransportFeedbackRecorder::new();
        recorder.on_packet(1, us(64_000 << 24));
        assert_eq!(recorder.build(us(0)).unwrap().reference_time_64ms, 0);
    }
}
