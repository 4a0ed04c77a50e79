//! Handshakes wait for their turn: a step of one costs as much time as hundreds
//! of media packets, and a crowd that comes in at once must not hold up the
//! rooms that are there. Owns the datagrams of DTLS that came before their
//! transports had keys; refuses more than a client has reason to send.

use std::collections::VecDeque;

use crate::base::limits::{
    HANDSHAKE_DATAGRAMS_MAX, HANDSHAKES_WAITING_MAX, TURN_HANDSHAKE_STEPS_MAX,
};
use crate::base::slab::Key;
use crate::base::snapshot::Drop;
use crate::base::time::Time;
use crate::core::border::{Outbox, Path};
use crate::core::machine::Core;
use crate::room::peer::Peer;

#[derive(Default)]
pub(super) struct Handshakes {
    waiting: VecDeque<Waiting>,
    /// Steps done since the last turn's end.
    done: usize,
}

struct Waiting {
    peer: Key<Peer>,
    path: Path,
    datagram: Box<[u8]>,
}

impl Handshakes {
    /// Has a datagram of `peer` wait.
    pub fn push(
        &mut self,
        now: Time,
        key: Key<Peer>,
        peer: &mut Peer,
        path: Path,
        datagram: &[u8],
    ) -> Result<(), Drop> {
        let is_full = self.waiting.len() >= HANDSHAKES_WAITING_MAX;
        if is_full || peer.handshakes_waiting >= HANDSHAKE_DATAGRAMS_MAX {
            return Err(Drop::HandshakesWaiting);
        }
        // What waits here is no part of the round trip.
        peer.transport.hear_answer(now);
        peer.handshakes_waiting += 1;
        self.waiting.push_back(Waiting {
            peer: key,
            path,
            datagram: datagram.into(),
        });
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The turn is over.
    pub fn end_turn(&mut self) {
        self.done = 0;
        if self.waiting.is_empty() {
            self.waiting.shrink_to(HANDSHAKES_WAITING_MAX / 64);
        }
    }
}

impl Core {
    /// Takes the steps that this turn still may.
    pub(super) fn proceed_handshakes(&mut self, now: Time, out: &mut Outbox) {
        while self.media.handshakes.done < TURN_HANDSHAKE_STEPS_MAX {
            let Some(waiting) = self.media.handshakes.waiting.pop_front() else {
                return;
            };
            let Some(peer) = self.media.peers.get_mut(waiting.peer) else {
                continue;
            };
            peer.handshakes_waiting = peer.handshakes_waiting.saturating_sub(1);
            self.media.handshakes.done += 1;
            let (peer, path) = (waiting.peer, waiting.path);
            let shaken = self.shake_hands(now, peer, path, &waiting.datagram, out);
            if let Err(reason) = shaken {
                self.counters.drop(reason);
            }
        }
    }
}
