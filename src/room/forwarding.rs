//! Packets on their way to viewers: what one turn received, given to one viewer
//! after the other. All packets of a publication go to a viewer at once, so
//! that its state is fetched once for all of them and its train is made in one
//! go; and where a room is large, the trains of some viewers are sent before
//! those of the next are filled. Sees to the order; the packets are in their
//! publications' windows.

use crate::base::limits::{FORWARD_RUN_MAX, TRAINS_FLUSH};
use crate::base::slab::{Key, Slab};
use crate::base::snapshot::{Counters, Drop};
use crate::base::trains::Trains;
use crate::room::fanout;
use crate::room::peer::Peer;
use crate::room::publication::{Arrived, Publication};

#[derive(Default)]
pub struct Forwarding {
    waiting: Vec<Waiting>,
    /// The run under way begins here, and goes to this viewer next.
    at: usize,
    viewer: usize,
}

#[derive(Clone, Copy)]
struct Waiting {
    publication: Key<Publication>,
    /// Order of arrival.
    number: u32,
    arrived: Arrived,
}

impl Forwarding {
    /// Has a packet forwarded that is now in its track's window.
    pub fn push(&mut self, publication: Key<Publication>, arrived: Arrived) {
        let number = self.waiting.len() as u32;
        self.waiting.push(Waiting {
            publication,
            number,
            arrived,
        });
    }

    /// Whether a packet of `publication` still waits.
    pub fn holds(&self, publication: Key<Publication>) -> bool {
        let mut left = self.waiting.iter().skip(self.at);
        left.any(|waiting| waiting.publication == publication)
    }

    /// Forwards until [`TRAINS_FLUSH`] trains are open; `true` if that leaves
    /// some for the next call, once they are sent.
    pub fn proceed(
        &mut self,
        publications: &Slab<Publication>,
        peers: &mut Slab<Peer>,
        trains: &mut Trains,
        counters: &mut Counters,
    ) -> bool {
        self.forward(TRAINS_FLUSH, publications, peers, trains, counters)
    }

    /// Forwards everything at once, for somebody who is about to change what
    /// viewers get next.
    pub fn finish(
        &mut self,
        publications: &Slab<Publication>,
        peers: &mut Slab<Peer>,
        trains: &mut Trains,
        counters: &mut Counters,
    ) {
        self.forward(usize::MAX, publications, peers, trains, counters);
    }

    fn forward(
        &mut self,
        trains_max: usize,
        publications: &Slab<Publication>,
        peers: &mut Slab<Peer>,
        trains: &mut Trains,
        counters: &mut Counters,
    ) -> bool {
        if self.at == 0 && self.viewer == 0 {
            let order = |waiting: &Waiting| (waiting.publication, waiting.number);
            self.waiting.sort_unstable_by_key(order);
        }
        loop {
            let run = run_at(&self.waiting, self.at);
            let Some(first) = run.first() else {
                break;
            };
            let publication = publications.get(first.publication);
            let viewers = publication.map_or(&[][..], |publication| &publication.viewers);
            let is_relayed = publication.is_some_and(|p| !p.relays.is_empty());
            if viewers.is_empty() && !is_relayed {
                counters.drop_many(Drop::NoSubscriber, run.len() as u64);
            }
            while let (Some(publication), Some(viewer)) = (publication, viewers.get(self.viewer)) {
                if trains.len() >= trains_max {
                    return true;
                }
                self.viewer += 1;
                let Some(peer) = peers.get_mut(*viewer) else {
                    continue;
                };
                for waiting in run {
                    fanout::forward(publication, waiting.arrived, peer, trains, counters);
                }
            }
            self.at += run.len();
            self.viewer = 0;
        }
        self.waiting.clear();
        self.at = 0;
        false
    }
}

/// The packets from `at` on that are of one publication, no more than
/// [`FORWARD_RUN_MAX`].
fn run_at(waiting: &[Waiting], at: usize) -> &[Waiting] {
    let rest = waiting.get(at..).unwrap_or_default();
    let Some(first) = rest.first() else {
        return &[];
    };
    let is_same = |other: &&Waiting| other.publication == first.publication;
    let len = rest.iter().take(FORWARD_RUN_MAX).take_while(is_same);
    rest.get(..len.count()).unwrap_or_default()
}
