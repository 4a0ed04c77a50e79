//! Goodbyes wait until trains have room for them: when a large room ends, all
//! its viewers leave at one input, with two datagrams each. Owns peers that are
//! out of everything else; each is dropped when it has said its last.

use std::collections::VecDeque;

use crate::base::limits::TRAINS_FLUSH;
use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::room::peer::{Peer, Role};

/// Those kept room for while nobody leaves.
const FAREWELLS_KEPT: usize = 16;

#[derive(Default)]
pub(super) struct Farewells {
    waiting: VecDeque<Peer>,
}

impl Farewells {
    pub fn push(&mut self, peer: Peer) {
        self.waiting.push_back(peer);
    }
}

impl Core {
    /// Says goodbye for those who wait for it: a BYE to a viewer (RFC 3550
    /// section 6.6), and a DTLS alert. `true` if the trains have to go first.
    pub(super) fn proceed_farewells(&mut self, out: &mut Outbox) -> bool {
        while out.trains.len() < TRAINS_FLUSH {
            let Some(mut peer) = self.media.farewells.waiting.pop_front() else {
                self.media.farewells.waiting.shrink_to(FAREWELLS_KEPT);
                return false;
            };
            if let Role::Viewer(subscription) = &peer.role {
                let mut compound = std::mem::take(&mut self.media.compound);
                compound.clear();
                subscription.write_bye(&mut compound);
                peer.transport.send_rtcp(&mut compound, &mut out.trains);
                self.media.compound = compound;
            }
            peer.transport.close(&mut out.trains);
        }
        true
    }
}
