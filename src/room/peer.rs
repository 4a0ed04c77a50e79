//! One peer connection of a member: its transport, and what it carries. In
//! this protocol every stream has a connection of its own, so a peer is either
//! a publisher or a viewer.

use crate::base::slab::Key;
use crate::base::time::Time;
use crate::proto::transport::Transport;
use crate::room::publication::Publication;
use crate::room::subscription::Subscription;
use crate::room::track::Kind;

/// A viewer of a room whose home is another core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AfarSeat {
    /// Its home, or, as the home has it, where the viewer is.
    pub core: u16,
    /// Given by the home, never twice.
    pub number: u64,
}

pub struct Peer {
    pub transport: Transport,
    pub role: Role,
    /// The room it is of.
    pub room: String,
    /// What the room's home core knows it by; `None`: this is the home.
    pub home: Option<AfarSeat>,
    pub media_session_id: String,
    /// Its datagrams of a handshake that wait for their turn.
    pub handshakes_waiting: u8,
    /// The earliest timer armed for this peer; later ones need none.
    pub armed: Option<Time>,
}

pub enum Role {
    Publisher(Key<Publication>),
    Viewer(Box<Subscription>),
}

impl Peer {
    /// Reads a word of whatever forwarding a packet of that kind to this viewer
    /// reads one after the other, each found by way of the one before. Done for
    /// several viewers in a row, before any of them gets its packet, these
    /// reads wait for memory together. The result means nothing.
    pub fn touch(&self, kind: Kind) -> u64 {
        let subscription = match &self.role {
            Role::Viewer(subscription) => subscription.touch(kind),
            Role::Publisher(_) => 0,
        };
        self.transport.touch() ^ subscription
    }

    pub fn subscription(&mut self) -> Option<&mut Subscription> {
        match &mut self.role {
            Role::Viewer(subscription) => Some(subscription),
            Role::Publisher(_) => None,
        }
    }
}
