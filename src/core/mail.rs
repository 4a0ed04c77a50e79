//! What cores say to each other: plain values in bounded queues. Mail to the
//! own core takes the same way through a local queue, so there is one code path.

use crate::base::snapshot::ServerSnapshot;
use crate::core::border::{ConnectionId, CoreId};
use crate::room::notice::Notice;
use crate::signal::session::RoomRequest;

/// A session anywhere in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionRef {
    pub core: CoreId,
    pub connection: ConnectionId,
}

/// One message between cores.
#[derive(Debug)]
pub enum Mail {
    /// A session asks a room, at the room's home core.
    Room {
        room: String,
        from: SessionRef,
        request: RoomRequest,
    },
    /// A room tells sessions of the receiving core.
    Notice {
        sessions: Vec<ConnectionId>,
        notice: Notice,
    },
    /// A session was superseded: its connection is to be closed.
    Dismiss { connection: ConnectionId },
    /// Somebody asked for everybody's state.
    SnapshotRequest { ticket: u64 },
    Snapshot {
        ticket: u64,
        snapshot: Box<ServerSnapshot>,
    },
}
