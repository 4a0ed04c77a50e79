//! What cores say to each other: plain values in bounded queues. Mail to the
//! own core takes the same way through a local queue, so there is one code path.

use crate::base::snapshot::ServerSnapshot;
use crate::core::border::{ConnectionId, CoreId};
use crate::core::relay::RelayMail;
use crate::core::{rtmp, whip};
use crate::room::notice::Notice;
use crate::room::rtmp::Tag;
use crate::signal::session::RoomRequest;

/// A session anywhere in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionRef {
    pub core: CoreId,
    pub connection: ConnectionId,
}

/// Connection numbers from here on stand for no socket; drivers count from 0.
const SOCKETLESS: u64 = 1 << 63;

impl SessionRef {
    /// Whoever takes part without a socket: notices to it go nowhere.
    pub fn without_socket(core: CoreId, number: u64) -> Self {
        SessionRef {
            core,
            connection: ConnectionId(SOCKETLESS | number),
        }
    }

    pub fn has_socket(self) -> bool {
        self.connection.0 & SOCKETLESS == 0
    }
}

/// What a moderator does to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moderation {
    /// Everybody is put out.
    Close,
    Remove {
        login: String,
    },
    /// The participant is asked to mute; its client obeys, and may unmute.
    Mute {
        login: String,
        audio: bool,
        video: bool,
    },
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
    /// A session is put out: its connection is to be closed, saying why.
    Dismiss {
        connection: ConnectionId,
        why: &'static str,
    },
    /// A moderator asks a room, at the room's home core.
    Moderate {
        room: String,
        from: SessionRef,
        action: Moderation,
    },
    /// Whether what a moderator asked found whom it was about.
    Moderated {
        connection: ConnectionId,
        found: bool,
    },
    /// A WHIP or WHEP client asks a room, or its session, at the home core.
    Whip {
        from: SessionRef,
        request: whip::Request,
    },
    /// What it gets.
    Whipped {
        connection: ConnectionId,
        reply: whip::Reply,
    },
    /// A connection asks a room for an RTMP stream, at the room's home core.
    Rtmp {
        from: SessionRef,
        request: rtmp::Request,
    },
    /// What the room says of it.
    RtmpReply {
        connection: ConnectionId,
        media_session_id: String,
        reply: rtmp::Reply,
    },
    /// A publisher's message, to the room's home core.
    RtmpMedia(rtmp::Upstream),
    /// A message for the receiving core's players of a feed.
    RtmpTag { feed: rtmp::FeedRef, tag: Tag },
    /// A player of the receiving core's feed waits for a key frame.
    RtmpWantsKey(rtmp::FeedRef),
    /// One room over several cores.
    Relay(RelayMail),
    /// Somebody asked for everybody's state, with every room's or without.
    SnapshotRequest { ticket: u64, with_rooms: bool },
    Snapshot {
        ticket: u64,
        snapshot: Box<ServerSnapshot>,
    },
}

impl Mail {
    /// Bytes of media in it; what is not media weighs nothing.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Mail::Relay(RelayMail::Media(batch)) => batch.size_bytes(),
            _ => 0,
        }
    }
}
