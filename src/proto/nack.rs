//! Negative acknowledgements toward a publisher (RFC 4585 section 6.2.1): owns
//! the list of packets one video stream misses, decides when each is asked for
//! again and when it is given up. Refuses to track more than
//! [`NACK_MISSING_MAX`] packets: then a key frame is asked for instead.
//!
//! It also owns [`RttEstimate`], because the pace of requests is the one thing
//! a round-trip time is measured for here.

use crate::base::limits::{NACK_AGE_MAX, NACK_MISSING_MAX, NACK_TRIES_MAX};
use crate::base::time::{Span, Time};

/// How long a gap may be mere reordering before its first request. Wi-Fi and
/// multi-queue reordering settles within a few milliseconds; 10 ms is below
/// every frame interval, so waiting costs no frame. A second packet past the
/// gap ends the wait sooner: being overtaken twice means lost, not late.
const REORDER_TOLERANCE: Span = Span::from_ms(10);

/// Shortest time between requests for one packet. Below it, scheduling jitter
/// of both ends is larger than the round trip and requests would repeat
/// before an answer had a chance.
const RETRY_MIN: Span = Span::from_ms(20);

/// What an arriving packet meant to the list of missing ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before it; `missing` packets were skipped, now tracked.
    Advanced { missing: u64 },
    /// It was missing. `answer_after` is the time since its request if there
    /// was exactly one (with more, nobody knows which was answered: Karn's
    /// rule). It is a round-trip sample only if the packet came over RTX; an
    /// original may merely have been late.
    Recovered { answer_after: Option<Span> },
    /// A duplicate, given up already, or older than the first packet.
    Known,
}

/// The missing packets of one stream and their schedule.
///
/// Sequence numbers are extended (rollover counter << 16 | sequence), as SRTP
/// authenticated them. Owner's loop: [`on_packet`](Self::on_packet) for each
/// original or retransmitted packet; [`poll`](Self::poll) at
/// [`next_due`](Self::next_due); a key frame request when
/// [`take_keyframe_needed`](Self::take_keyframe_needed) says so.
#[derive(Debug)]
pub struct NackGenerator {
    /// Newest sequence seen; `None` before the first packet.
    highest: Option<u64>,
    /// Ascending by `ext_seq`, at most `NACK_MISSING_MAX`, never reallocated.
    missing: Vec<Missing>,
    /// No entry is due before this. Removing entries leaves it early, which
    /// costs one idle poll and saves a search per packet.
    due_min: Time,
    /// As of the last poll.
    rtt: Span,
    abandoned: u64,
    keyframe_needed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    ext_seq: u64,
    /// When to act next: ask, or give up.
    due: Time,
    /// When it is given up. Fixed once noticed, so that a round-trip time that
    /// grows meanwhile does not turn the end into one more early request.
    expires: Time,
    /// When it was last asked for; meaningful when `tries > 0`.
    asked: Time,
    tries: u8,
}

impl Default for NackGenerator {
    fn default() -> Self {
        Self::new()
    }
}

impl NackGenerator {
    pub fn new() -> Self {
        NackGenerator {
            highest: None,
            missing: Vec::with_capacity(NACK_MISSING_MAX),
            due_min: Time::ZERO,
            rtt: RttEstimate::DEFAULT,
            abandoned: 0,
            keyframe_needed: false,
        }
    }

    /// Takes note of a packet, original or resent. Never allocates.
    pub fn on_packet(&mut self, ext_seq: u64, now: Time) -> Arrival {
        let Some(highest) = self.highest else {
            self.highest = Some(ext_seq);
            return Arrival::Advanced { missing: 0 };
        };
        if ext_seq <= highest {
            return self.on_late(ext_seq, now);
        }
        self.end_tolerance(now);
        self.highest = Some(ext_seq);
        let skipped = ext_seq.saturating_sub(highest).saturating_sub(1);
        self.track(highest, skipped, now);
        Arrival::Advanced { missing: skipped }
    }

    /// Fills `request` (cleared first) with the sequence numbers to ask for
    /// now, ascending, and gives up what has been asked for long enough.
    pub fn poll(&mut self, now: Time, rtt: Span, request: &mut Vec<u16>) {
        request.clear();
        self.rtt = rtt.min(RttEstimate::MAX);
        if self.missing.is_empty() || self.due_min > now {
            return;
        }
        let retry = self.rtt.scaled(5, 4).max(RETRY_MIN);
        let mut due_min = Time::from_us(u64::MAX);
        let mut given_up = 0;
        self.missing.retain_mut(|entry| {
            if entry.due <= now {
                if entry.tries >= NACK_TRIES_MAX || now >= entry.expires {
                    given_up += 1;
                    return false;
                }
                request.push(entry.ext_seq as u16);
                entry.tries = entry.tries.saturating_add(1);
                entry.asked = now;
                entry.due = (now + patience(retry, entry.tries)).min(entry.expires);
            }
            due_min = due_min.min(entry.due);
            true
        });
        self.due_min = due_min;
        if given_up > 0 {
            self.give_up(given_up);
        }
    }

    /// When to poll next; may be early, never late. `None`: nothing is missing.
    pub fn next_due(&self) -> Option<Time> {
        (!self.missing.is_empty()).then_some(self.due_min)
    }

    /// Packets given up since the start: asked for in vain, or dropped from an
    /// overflowing list.
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Packets tracked as missing, ascending.
    pub fn missing(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.missing.iter().map(|entry| entry.ext_seq)
    }

    /// Whether packets were given up since the last call, so that only a key
    /// frame repairs the picture.
    pub fn take_keyframe_needed(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_needed)
    }

    fn on_late(&mut self, ext_seq: u64, now: Time) -> Arrival {
        let Ok(at) = self.missing.binary_search_by_key(&ext_seq, |m| m.ext_seq) else {
            return Arrival::Known;
        };
        let entry = self.missing.remove(at);
        let answer_after = (entry.tries == 1).then(|| now.since(entry.asked));
        Arrival::Recovered { answer_after }
    }

    /// A packet beyond the gaps arrived: those noticed by an earlier packet
    /// have now been overtaken twice and are due at once.
    fn end_tolerance(&mut self, now: Time) {
        for entry in self.missing.iter_mut().rev() {
            if entry.tries > 0 || entry.due <= now {
                break;
            }
            entry.due = now;
            self.due_min = self.due_min.min(now);
        }
    }

    /// Tracks the `skipped` packets that follow `highest`.
    fn track(&mut self, highest: u64, skipped: u64, now: Time) {
        if skipped == 0 {
            return;
        }
        let room = NACK_MISSING_MAX.saturating_sub(self.missing.len());
        if skipped > room as u64 {
            let dropped = skipped.saturating_add(self.missing.len() as u64);
            self.missing.clear();
            self.give_up(dropped);
            return;
        }
        let due = now + REORDER_TOLERANCE;
        self.due_min = if self.missing.is_empty() {
            due
        } else {
            self.due_min.min(due)
        };
        for step in 1..=skipped {
            self.missing.push(Missing {
                ext_seq: highest.saturating_add(step),
                due,
                expires: now + NACK_AGE_MAX + self.rtt,
                asked: now,
                tries: 0,
            });
        }
    }

    fn give_up(&mut self, packets: u64) {
        self.abandoned = self.abandoned.saturating_add(packets);
        self.keyframe_needed = true;
    }
}

/// Time to wait for an answer to the `tries`-th request: three quick tries,
/// then slower, so that an outage of the whole path does not eat them all.
fn patience(retry: Span, tries: u8) -> Span {
    retry.scaled(1 + u64::from(tries / 4), 1)
}

/// A smoothed round-trip time (RFC 6298 section 2, the mean only), from DTLS
/// flights, answered NACKs and RTCP reports alike. Peers can lie about some of
/// these, so every sample is held within [`MIN`](Self::MIN) and
/// [`MAX`](Self::MAX).
#[derive(Clone, Copy, Debug)]
pub struct RttEstimate {
    smoothed_us: Option<u64>,
}

impl RttEstimate {
    /// Before any sample: a typical path between continents' edges, so that
    /// first requests neither flood nor stall.
    pub const DEFAULT: Span = Span::from_ms(100);
    pub const MIN: Span = Span::from_ms(1);
    pub const MAX: Span = Span::from_ms(2_000);

    pub const fn new() -> Self {
        RttEstimate { smoothed_us: None }
    }

    /// Takes one measurement in, with the weight of one eighth.
    pub fn sample(&mut self, rtt: Span) {
        let sample_us = rtt.clamp(Self::MIN, Self::MAX).as_us();
        self.smoothed_us = Some(match self.smoothed_us {
            None => sample_us,
            // Both terms are bounded by MAX, so this cannot overflow.
            Some(old_us) => (old_us * 7 + sample_us).div_ceil(8),
        });
    }

    pub fn get(&self) -> Span {
        self.smoothed_us.map_or(Self::DEFAULT, Span::from_us)
    }
}

impl Default for RttEstimate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;

    const RTT: Span = Span::from_ms(50);

    fn ms(ms: u64) -> Time {
        Time::from_us(ms * 1_000)
    }

    fn polled(nack: &mut NackGenerator, now: Time) -> Vec<u16> {
        let mut request = vec![9, 9];
        nack.poll(now, RTT, &mut request);
        request
    }

    #[test]
    fn in_order_stream_asks_for_nothing() {
        let mut nack = NackGenerator::new();
        for seq in 65_500..65_600 {
            assert_eq!(
                nack.on_packet(seq, ms(seq)),
                Arrival::Advanced { missing: 0 }
            );
            assert_eq!(nack.next_due(), None);
        }
        assert!(polled(&mut nack, ms(99_999)).is_empty());
    }

    #[test]
    fn reordering_within_the_tolerance_is_forgiven() {
        let mut nack = NackGenerator::new();
        nack.on_packet(1, ms(0));
        assert_eq!(nack.on_packet(3, ms(1)), Arrival::Advanced { missing: 1 });
        assert_eq!(nack.next_due(), Some(ms(11)));
        assert!(polled(&mut nack, ms(10)).is_empty());
        assert_eq!(
            nack.on_packet(2, ms(10)),
            Arrival::Recovered { answer_after: None }
        );
        assert_eq!(nack.next_due(), None);
        assert_eq!(nack.on_packet(2, ms(11)), Arrival::Known);
    }

    #[test]
    fn a_second_packet_past_the_gap_ends_the_tolerance() {
        let mut nack = NackGenerator::new();
        nack.on_packet(0xffff, ms(0));
        nack.on_packet(0x1_0002, ms(1));
        nack.on_packet(0x1_0004, ms(2));
        // 0x1_0000 and 0x1_0001 were overtaken twice, 0x1_0003 once.
        assert_eq!(polled(&mut nack, ms(2)), [0, 1]);
        assert_eq!(polled(&mut nack, ms(12)), [3]);
    }

    #[test]
    fn retries_are_spaced_by_the_round_trip_and_end() {
        let mut nack = NackGenerator::new();
        nack.on_packet(10, ms(0));
        nack.on_packet(12, ms(0));
        let mut asked = Vec::new();
        assert!(polled(&mut nack, ms(0)).is_empty());
        while let Some(due) = nack.next_due() {
            if !polled(&mut nack, due).is_empty() {
                asked.push(due.as_us() / 1_000);
            }
        }
        assert_eq!(asked[..5], [10, 72, 135, 197, 322]);
        assert!(asked.len() <= usize::from(NACK_TRIES_MAX));
        assert!(asked.last().unwrap() < &1_100);
        assert_eq!(nack.abandoned(), 1);
        assert!(nack.take_keyframe_needed());
        assert!(!nack.take_keyframe_needed());
        assert_eq!(nack.on_packet(11, ms(2_000)), Arrival::Known);
    }

    #[test]
    fn short_paths_use_all_tries() {
        let mut nack = NackGenerator::new();
        nack.on_packet(10, ms(0));
        nack.on_packet(12, ms(0));
        let (mut tries, mut request) = (0, Vec::new());
        while let Some(due) = nack.next_due() {
            nack.poll(due, Span::ZERO, &mut request);
            tries += request.len();
        }
        assert_eq!(tries, usize::from(NACK_TRIES_MAX));
    }

    #[test]
    fn a_growing_round_trip_hurries_nothing() {
        let mut nack = NackGenerator::new();
        let mut request = Vec::new();
        nack.poll(ms(0), Span::ZERO, &mut request);
        nack.on_packet(10, ms(0));
        nack.on_packet(12, ms(0));
        nack.poll(ms(995), RTT, &mut request);
        assert_eq!(request, [11]);
        nack.poll(ms(1_000), Span::from_secs(1), &mut request);
        assert!(request.is_empty());
        assert_eq!(nack.abandoned(), 1);
    }

    #[test]
    fn the_answer_to_a_single_request_is_a_sample() {
        let mut nack = NackGenerator::new();
        nack.on_packet(1, ms(0));
        nack.on_packet(4, ms(0));
        assert_eq!(polled(&mut nack, ms(10)), [2, 3]);
        assert_eq!(
            nack.on_packet(2, ms(60)),
            Arrival::Recovered {
                answer_after: Some(RTT)
            }
        );
        assert_eq!(polled(&mut nack, ms(100)), [3]);
        assert_eq!(
            nack.on_packet(3, ms(150)),
            Arrival::Recovered { answer_after: None }
        );
    }

    #[test]
    fn an_overflowing_list_becomes_one_key_frame() {
        let mut nack = NackGenerator::new();
        nack.on_packet(0, ms(0));
        nack.on_packet(NACK_MISSING_MAX as u64, ms(0));
        assert_eq!(nack.missing().len(), NACK_MISSING_MAX - 1);
        assert!(!nack.take_keyframe_needed());
        nack.on_packet(NACK_MISSING_MAX as u64 + 3, ms(1));
        assert_eq!(nack.missing().len(), 0);
        assert_eq!(nack.next_due(), None);
        assert_eq!(nack.abandoned(), NACK_MISSING_MAX as u64 + 1);
        assert!(nack.take_keyframe_needed());
    }

    #[test]
    fn extreme_sequences_and_times_are_survived() {
        let mut nack = NackGenerator::new();
        nack.on_packet(0, ms(0));
        nack.on_packet(u64::MAX, ms(1));
        assert!(nack.take_keyframe_needed());
        nack.on_packet(u64::MAX, Time::ZERO);
        nack.on_packet(u64::MAX - 1, ms(2));
        let mut request = Vec::new();
        nack.poll(
            Time::from_us(u64::MAX),
            Span::from_us(u64::MAX),
            &mut request,
        );
        assert!(request.is_empty());
        assert_eq!(nack.next_due(), None);
    }

    #[test]
    fn estimate_smooths_and_refuses_nonsense() {
        let mut rtt = RttEstimate::new();
        assert_eq!(rtt.get(), RttEstimate::DEFAULT);
        rtt.sample(Span::from_ms(40));
        assert_eq!(rtt.get(), Span::from_ms(40));
        rtt.sample(Span::from_ms(120));
        assert_eq!(rtt.get(), Span::from_ms(50));
        rtt.sample(Span::from_us(u64::MAX));
        assert!(rtt.get() < Span::from_ms(300));
        for _ in 0..200 {
            rtt.sample(Span::ZERO);
        }
        assert!(rtt.get() >= RttEstimate::MIN && rtt.get() < Span::from_ms(2));
    }

    /// One lossy path with 25 ms each way, in steps of 1 ms: 250 packets/s
    /// toward us, requests back, and a sender that, like browsers, does not
    /// resend a packet twice within one round trip.
    struct LossyPath {
        noise: Noise,
        loss_ppm: u64,
        to_us: Vec<(u64, u64)>,
        to_sender: Vec<(u64, Vec<u16>)>,
        resent_at_ms: Vec<Option<u64>>,
        arrived_at_ms: Vec<Option<u64>>,
        lost_at_first: Vec<bool>,
        requests: usize,
    }

    impl LossyPath {
        const ONE_WAY_MS: u64 = 25;
        const SEND_EACH_MS: u64 = 4;

        fn new(seed: u64, loss_ppm: u64, packets: usize) -> Self {
            LossyPath {
                noise: Noise::new(seed),
                loss_ppm,
                to_us: Vec::new(),
                to_sender: Vec::new(),
                resent_at_ms: vec![None; packets],
                arrived_at_ms: vec![None; packets],
                lost_at_first: vec![false; packets],
                requests: 0,
            }
        }

        fn survives(&mut self) -> bool {
            !self.noise.chance_ppm(self.loss_ppm)
        }

        fn run(&mut self) {
            let mut nack = NackGenerator::new();
            let packets = self.arrived_at_ms.len();
            for t in 0..packets as u64 * Self::SEND_EACH_MS + 2_000 {
                self.send_originals(t, packets);
                self.answer_requests(t);
                let landed: Vec<_> = self.to_us.extract_if(.., |(at, _)| *at <= t).collect();
                for (_, seq) in landed {
                    nack.on_packet(seq, ms(t));
                    self.arrived_at_ms[seq as usize].get_or_insert(t);
                }
                let mut request = Vec::new();
                nack.poll(ms(t), RTT, &mut request);
                self.requests += request.len();
                if !request.is_empty() && self.survives() {
                    self.to_sender.push((t + Self::ONE_WAY_MS, request));
                }
            }
        }

        fn send_originals(&mut self, t: u64, packets: usize) {
            let seq = (t / Self::SEND_EACH_MS) as usize;
            if !t.is_multiple_of(Self::SEND_EACH_MS) || seq >= packets {
                return;
            }
            // The first is kept, so that the stream has a beginning.
            if seq == 0 || self.survives() {
                self.to_us.push((t + Self::ONE_WAY_MS, seq as u64));
            } else {
                self.lost_at_first[seq] = true;
            }
        }

        fn answer_requests(&mut self, t: u64) {
            let arrived: Vec<_> = self.to_sender.extract_if(.., |(at, _)| *at <= t).collect();
            for seq in arrived.into_iter().flat_map(|(_, seqs)| seqs) {
                let resent = &mut self.resent_at_ms[usize::from(seq)];
                if resent.is_some_and(|at| t < at + 2 * Self::ONE_WAY_MS) {
                    continue;
                }
                *resent = Some(t);
                if self.survives() {
                    self.to_us.push((t + Self::ONE_WAY_MS, u64::from(seq)));
                }
            }
        }
    }

    #[test]
    fn a_tenth_lost_both_ways_is_recovered_in_time() {
        for seed in 0..4 {
            let packets = 10_000;
            let mut path = LossyPath::new(seed, 100_000, packets);
            path.run();
            let lost = path.lost_at_first.iter().filter(|lost| **lost).count();
            let in_time = (0..packets)
                .filter(|seq| path.lost_at_first[*seq])
                .filter(|seq| {
                    let sent = *seq as u64 * LossyPath::SEND_EACH_MS;
                    path.arrived_at_ms[*seq].is_some_and(|at| at <= sent + 400)
                })
                .count();
            assert!(lost > 800, "the path lost only {lost}");
            assert!(
                in_time * 1_000 >= lost * 995,
                "seed {seed}: {in_time} of {lost} lost packets back within 400 ms"
            );
            assert!(
                path.requests * 10 < lost * 14,
                "seed {seed}: {} requests for {lost} lost packets",
                path.requests
            );
        }
    }
}
