//! The network between browsers and cores: decides which datagram arrives,
//! when, how often and in what shape. Every fault is a named option, and every
//! fault that strikes is counted, so that a suite can prove it met each.

use crate::base::random::Noise;
use crate::base::time::{Span, Time};

/// What may happen to datagrams in one direction of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Datagrams lost, of a million.
    pub loss_ppm: u64,
    /// Time of flight.
    pub delay: Span,
    /// Added to `delay`, evenly spread from zero; keeps the order.
    pub jitter: Span,
    /// Datagrams overtaken by later ones, of a million.
    pub reorder_ppm: u64,
    /// How long an overtaken datagram is held.
    pub reorder_hold: Span,
    /// Datagrams that arrive twice, of a million.
    pub duplicate_ppm: u64,
    /// Datagrams that arrive with one bit turned, of a million.
    pub corrupt_ppm: u64,
    /// Nothing gets through.
    pub partitioned: bool,
}

impl Faults {
    /// A path that only takes its time.
    pub const fn clean(delay: Span) -> Self {
        Faults {
            loss_ppm: 0,
            delay,
            jitter: Span::ZERO,
            reorder_ppm: 0,
            reorder_hold: Span::from_ms(8),
            duplicate_ppm: 0,
            corrupt_ppm: 0,
            partitioned: false,
        }
    }

    pub const fn losing(delay: Span, loss_ppm: u64) -> Self {
        Faults {
            loss_ppm,
            ..Faults::clean(delay)
        }
    }
}

/// The points at which the network does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Loss,
    Reorder,
    Duplicate,
    Corrupt,
    Partition,
    /// A peer's address changed under it.
    Rebind,
}

impl Fault {
    pub const ALL: [Fault; 6] = [
        Fault::Loss,
        Fault::Reorder,
        Fault::Duplicate,
        Fault::Corrupt,
        Fault::Partition,
        Fault::Rebind,
    ];
}

/// How often each fault struck, in the order of [`Fault::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; Fault::ALL.len()]);

impl FaultCounts {
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub fn add(&mut self, other: &FaultCounts) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

/// One direction of one path.
#[derive(Clone, Debug)]
pub struct Lane {
    pub faults: Faults,
    /// When the datagram before arrived, which the next does not overtake
    /// unless it is reordered.
    latest: Time,
}

impl Lane {
    pub fn new(faults: Faults) -> Self {
        Lane {
            faults,
            latest: Time::ZERO,
        }
    }
}

/// The dice of all lanes.
pub struct Net {
    noise: Noise,
    counts: FaultCounts,
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Net {
            noise: Noise::new(seed),
            counts: FaultCounts::default(),
        }
    }

    pub fn counts(&self) -> &FaultCounts {
        &self.counts
    }

    pub fn count(&mut self, fault: Fault) {
        self.counts.0[fault as usize] += 1;
    }

    /// Sends `datagram` down `lane`; `deliver` is called for each arrival.
    pub fn carry(
        &mut self,
        now: Time,
        lane: &mut Lane,
        mut datagram: Vec<u8>,
        mut deliver: impl FnMut(Time, Vec<u8>),
    ) {
        let faults = lane.faults;
        if faults.partitioned {
            return self.count(Fault::Partition);
        }
        if self.noise.chance_ppm(faults.loss_ppm) {
            return self.count(Fault::Loss);
        }
        let mut at = now + faults.delay + Span::from_us(self.noise.below(faults.jitter.as_us()));
        if self.noise.chance_ppm(faults.reorder_ppm) {
            self.count(Fault::Reorder);
            at = at + faults.reorder_hold;
        } else {
            at = at.max(lane.latest);
            lane.latest = at;
        }
        if self.noise.chance_ppm(faults.duplicate_ppm) {
            self.count(Fault::Duplicate);
            deliver(
                at + Span::from_us(self.noise.below(5_000)),
                datagram.clone(),
            );
        }
        if self.noise.chance_ppm(faults.corrupt_ppm) {
            self.count(Fault::Corrupt);
            let bit = self.noise.below(datagram.len() as u64 * 8) as usize;
            if let Some(byte) = datagram.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        deliver(at, datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(faults: Faults, datagrams: u64) -> (Vec<(u64, Vec<u8>)>, Net) {
        let mut net = Net::new(1);
        let mut lane = Lane::new(faults);
        let mut arrived = Vec::new();
        for i in 0..datagrams {
            let now = Time::from_us(i * 1_000);
            net.carry(now, &mut lane, vec![i as u8; 4], |at, bytes| {
                arrived.push((at.as_us(), bytes));
            });
        }
        (arrived, net)
    }

    #[test]
    fn a_clean_path_only_delays() {
        let (arrived, net) = arrivals(Faults::clean(Span::from_ms(25)), 3);
        let expected: Vec<_> = (0..3u64)
            .map(|i| (25_000 + i * 1_000, vec![i as u8; 4]))
            .collect();
        assert_eq!(arrived, expected);
        assert_eq!(net.counts(), &FaultCounts::default());
    }

    #[test]
    fn jitter_keeps_the_order() {
        let faults = Faults {
            jitter: Span::from_ms(20),
            ..Faults::clean(Span::from_ms(5))
        };
        let (arrived, _) = arrivals(faults, 200);
        assert!(arrived.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(arrived.len(), 200);
    }

    #[test]
    fn each_fault_strikes_and_is_counted() {
        let faults = Faults {
            loss_ppm: 100_000,
            reorder_ppm: 100_000,
            duplicate_ppm: 100_000,
            corrupt_ppm: 100_000,
            ..Faults::clean(Span::from_ms(5))
        };
        let (arrived, net) = arrivals(faults, 1_000);
        for fault in [
            Fault::Loss,
            Fault::Reorder,
            Fault::Duplicate,
            Fault::Corrupt,
        ] {
            let struck = net.counts().of(fault);
            assert!((50..150).contains(&struck), "{fault:?} struck {struck}");
        }
        let lost = net.counts().of(Fault::Loss);
        let doubled = net.counts().of(Fault::Duplicate);
        assert_eq!(arrived.len() as u64, 1_000 - lost + doubled);
        assert!(!arrived.is_sorted_by_key(|(at, _)| *at));
    }

    #[test]
    fn a_partition_lets_nothing_through() {
        let faults = Faults {
            partitioned: true,
            ..Faults::clean(Span::ZERO)
        };
        let (arrived, net) = arrivals(faults, 9);
        assert!(arrived.is_empty());
        assert_eq!(net.counts().of(Fault::Partition), 9);
    }
}
