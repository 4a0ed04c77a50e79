//! Video packets held back for a moment, so that a frame's packets leave
//! together: publishers send them one by one, some tens of microseconds apart,
//! and each on its own costs the kernel several times its share of a train. The
//! frame is no later for it: its last packet, which a viewer waits for anyway,
//! releases the others. Nothing else is ever held.

use crate::base::limits::HELD_PACKETS_MAX;
use crate::base::slab::{Key, Slab};
use crate::base::time::{Span, Time};
use crate::room::forwarding::Waiting;
use crate::room::publication::Publication;

/// Holds in a row that gathered nothing, after which a publisher is taken to
/// space its packets out.
const FUTILE_MAX: u8 = 2;
/// Packets after which such a publisher is tried again.
const TRY_AGAIN_AFTER: u16 = 256;

/// Whether it pays to hold a publication's packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// Holds in a row that ended by their age with a single packet.
    futile: u8,
    /// Packets let through since.
    passed: u16,
    /// Its packets held now.
    held: u16,
}

impl Patience {
    /// Whether to hold the next packet.
    pub fn tries(&mut self) -> bool {
        if self.futile < FUTILE_MAX {
            return true;
        }
        self.passed += 1;
        if self.passed < TRY_AGAIN_AFTER {
            return false;
        }
        self.passed = 0;
        true
    }

    fn learn(&mut self, gathered: usize) {
        match gathered {
            0 | 1 => self.futile = self.futile.saturating_add(1),
            _ => (self.futile, self.passed) = (0, 0),
        }
    }
}

/// The packets held, in order of arrival.
pub struct Held {
    /// How long one may wait; none is held if zero.
    age_max: Span,
    packets: Vec<Waiting>,
}

impl Held {
    pub fn new(age_max: Span) -> Self {
        Held {
            age_max,
            packets: Vec::new(),
        }
    }

    /// Takes a packet of `publication`, or gives it back to be forwarded at once.
    pub fn take(&mut self, publication: &mut Publication, packet: Waiting) -> Option<Waiting> {
        if self.age_max == Span::ZERO || self.packets.len() >= HELD_PACKETS_MAX {
            return Some(packet);
        }
        let patience = &mut publication.patience;
        if patience.held == 0 && !patience.tries() {
            return Some(packet);
        }
        patience.held += 1;
        self.packets.push(packet);
        None
    }

    pub fn has(&self, publication: Key<Publication>) -> bool {
        let mut packets = self.packets.iter();
        packets.any(|held| held.publication == publication)
    }

    /// Appends what is held of a publication to `ready`: its frame's last packet
    /// is there, and follows.
    pub fn release_frame(
        &mut self,
        key: Key<Publication>,
        publication: &mut Publication,
        ready: &mut Vec<Waiting>,
    ) {
        if publication.patience.held > 0 {
            publication.patience.held = 0;
            let released = self.release(key, ready);
            publication.patience.learn(released + 1);
        }
    }

    /// Appends to `ready` what has waited for long enough, and what came after it
    /// of the same publication.
    pub fn release_old(
        &mut self,
        now: Time,
        publications: &mut Slab<Publication>,
        ready: &mut Vec<Waiting>,
    ) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(oldest) = self.packets.first().map(|held| held.publication) else {
                return;
            };
            let released = self.release(oldest, ready);
            if let Some(publication) = publications.get_mut(oldest) {
                publication.patience.held = 0;
                publication.patience.learn(released);
            }
        }
    }

    fn release(&mut self, publication: Key<Publication>, ready: &mut Vec<Waiting>) -> usize {
        let before = self.packets.len();
        self.packets.retain(|held| {
            let stays = held.publication != publication;
            if !stays {
                ready.push(*held);
            }
            stays
        });
        before - self.packets.len()
    }

    /// Appends everything to `ready`.
    pub fn release_all(&mut self, publications: &mut Slab<Publication>, ready: &mut Vec<Waiting>) {
        for held in &self.packets {
            if let Some(publication) = publications.get_mut(held.publication) {
                publication.patience.held = 0;
            }
        }
        ready.append(&mut self.packets);
    }

    /// When [`Held::release_old`] next has something to release.
    pub fn next_due(&self) -> Option<Time> {
        self.packets.first().map(|held| held.at + self.age_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spaces_packets_out_is_not_waited_for_and_tried_again() {
        let mut patience = Patience::default();
        for _ in 0..FUTILE_MAX {
            assert!(patience.tries());
            patience.learn(1);
        }
        let tried = |patience: &mut Patience| (1..).find(|_| patience.tries());
        assert_eq!(tried(&mut patience), Some(TRY_AGAIN_AFTER));
        patience.learn(1);
        assert_eq!(tried(&mut patience), Some(TRY_AGAIN_AFTER));
        // It sends bursts by now.
        patience.learn(3);
        assert!(patience.tries() && patience.tries());
    }
}
