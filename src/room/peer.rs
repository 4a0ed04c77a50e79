//! One peer connection of a member: its transport, and what it carries. In
//! this protocol every stream has a connection of its own, so a peer is either
//! a publisher or a viewer.

use crate::base::slab::Key;
use crate::base::time::Time;
use crate::proto::transport::Transport;
use crate::room::publication::Publication;
use crate::room::subscription::Subscription;

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
    pub fn subscription(&mut self) -> Option<&mut Subscription> {
        match &mut self.role {
            Role::Viewer(subscription) => Some(subscription),
            Role::Publisher(_) => None,
        }
    }
}
