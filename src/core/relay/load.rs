//! Where a room's next viewer goes: to the room's home core, until that is
//! busier than the operator wants; then to the core with the least to do. Cores
//! tell each other how busy they are when it changed.

use crate::base::time::{Span, Time};
use crate::core::border::{CoreId, Outbox};
use crate::core::machine::Core;
use crate::core::mail::Mail;
use crate::core::relay::RelayMail;

/// How often a core looks at what it did.
const INTERVAL: Span = Span::from_secs(1);
/// Changes smaller than this are nobody's business.
const STEP_PERMILLE: u32 = 20;
/// Cores within so much of each other are equally busy; viewers decide then.
const ALIKE_PERMILLE: u32 = 50;

/// What a core has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Of its time.
    pub busy_permille: u32,
    pub viewers: u32,
}

impl Load {
    fn differs(self, other: Load) -> bool {
        self.viewers != other.viewers
            || self.busy_permille.abs_diff(other.busy_permille) >= STEP_PERMILLE
    }

    /// With one more viewer, who costs as much as the others.
    fn grow(&mut self) {
        self.busy_permille += self.busy_permille.checked_div(self.viewers).unwrap_or(0);
        self.viewers += 1;
    }
}

pub(super) struct Loads {
    /// As last told, and what was placed since.
    of: Vec<Load>,
    /// What this core last told.
    told: Load,
    looked: Time,
    /// Of turns since.
    busy: Span,
}

impl Loads {
    pub fn new(cores: u16) -> Self {
        Loads {
            of: vec![Load::default(); usize::from(cores.max(1))],
            told: Load::default(),
            looked: Time::ZERO,
            busy: Span::ZERO,
        }
    }

    /// The core for one more viewer of a room at home at `home`.
    fn choose(&mut self, home: usize, spread_above_permille: u32) -> usize {
        let own = self.of.get(home).copied().unwrap_or_default();
        let is_calm = own.busy_permille < spread_above_permille;
        // Among equals the home first: it relays nothing to itself.
        let key = |at: usize, load: &Load| {
            (
                load.busy_permille / ALIKE_PERMILLE,
                load.viewers,
                at != home,
                at,
            )
        };
        let least = self.of.iter().enumerate();
        let least = least.min_by_key(|(at, load)| key(*at, load));
        let chosen = match least {
            Some((at, _)) if !is_calm => at,
            _ => home,
        };
        if let Some(load) = self.of.get_mut(chosen) {
            load.grow();
        }
        chosen
    }
}

impl Core {
    /// The core of a room's next viewer.
    pub(in crate::core) fn place_viewer(&mut self) -> CoreId {
        // What waits for a way out of here would be joined by more.
        if self.setup.cores < 2 || self.is_congested() {
            return self.id();
        }
        let limit = self.setup.rules.spread_above_permille;
        let home = usize::from(self.id().0);
        CoreId(self.relaying.loads.choose(home, limit) as u16)
    }

    /// A turn took this long.
    pub(in crate::core) fn note_busy(&mut self, turn: Span) {
        let loads = &mut self.relaying.loads;
        loads.busy = Span::from_us(loads.busy.as_us().saturating_add(turn.as_us()));
    }

    /// Tells the others how busy this core is, when it is time and news.
    pub(in crate::core) fn tell_load(&mut self, now: Time, out: &mut Outbox) {
        let loads = &mut self.relaying.loads;
        let past = now.since(loads.looked);
        if self.setup.cores < 2 || past < INTERVAL {
            return;
        }
        let busy_us = std::mem::replace(&mut loads.busy, Span::ZERO).as_us();
        let permille = busy_us.saturating_mul(1_000) / past.as_us().max(1);
        loads.looked = now;
        let load = Load {
            busy_permille: permille.min(1_000) as u32,
            viewers: self.media.viewers as u32,
        };
        let own = self.id();
        if let Some(kept) = self.relaying.loads.of.get_mut(usize::from(own.0)) {
            *kept = load;
        }
        if !load.differs(self.relaying.loads.told) {
            return;
        }
        self.relaying.loads.told = load;
        for core in (0..self.setup.cores)
            .map(CoreId)
            .filter(|core| *core != own)
        {
            self.post(core, Mail::Relay(RelayMail::Load(load)), out);
        }
    }

    pub(super) fn hear_load(&mut self, from: CoreId, load: Load) {
        if let Some(kept) = self.relaying.loads.of.get_mut(usize::from(from.0)) {
            *kept = load;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(of: &[(u32, u32)]) -> Loads {
        let mut loads = Loads::new(of.len() as u16);
        for (load, (busy_permille, viewers)) in loads.of.iter_mut().zip(of) {
            *load = Load {
                busy_permille: *busy_permille,
                viewers: *viewers,
            };
        }
        loads
    }

    #[test]
    fn viewers_stay_at_home_until_it_is_busy() {
        let mut loads = loads(&[(0, 0), (490, 100), (0, 0)]);
        // The home's 100 viewers take 490: each one more takes 4.
        let chosen: Vec<usize> = (0..6).map(|_| loads.choose(1, 500)).collect();
        assert_eq!(chosen, [1, 1, 1, 0, 2, 0]);
    }

    #[test]
    fn of_cores_alike_the_one_with_fewest_viewers_is_next() {
        let mut loads = loads(&[(0, 0), (0, 0), (0, 1)]);
        let chosen: Vec<usize> = (0..5).map(|_| loads.choose(1, 0)).collect();
        assert_eq!(chosen, [1, 0, 1, 0, 2]);
    }

    #[test]
    fn a_busy_core_gets_nobody() {
        let mut loads = loads(&[(800, 1), (700, 90), (100, 50)]);
        assert_eq!(loads.choose(0, 500), 2);
        assert_eq!(loads.choose(1, 1_001), 1);
    }
}
