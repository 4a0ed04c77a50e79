//! One peer connection of a member: its transport, and what it carries. In
//! this protocol every stream has a connection of its own, so a peer is either
//! a publisher or a viewer.

use crate::base::slab::Key;
use crate::base::time::Time;
use crate::proto::transport::Transport;
use crate::room::publication::Publication;
use crate::room::subscription::Subscription;

pub struct Peer {
    pub transport: Transport,
    pub role: Role,
    /// The room at whose home core this peer lives.
    pub room: String,
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
