//! What the core tells its operator, as values. The text is made here, printed
//! by the driver; the simulator asserts on the values themselves.

use std::fmt;

/// Something worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Joined {
        room: String,
        login: String,
    },
    Left {
        room: String,
        login: String,
        cause: LeaveCause,
    },
    Published {
        room: String,
        login: String,
        stream: String,
    },
    Unpublished {
        room: String,
        login: String,
        stream: String,
    },
    Playing {
        room: String,
        login: String,
        stream: String,
    },
    StreamFailed {
        room: String,
        login: String,
        stream: String,
        info: &'static str,
    },
    SessionRefused {
        why: &'static str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveCause {
    Asked,
    SocketLost,
    Replaced,
    ServerStopping,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names come from strangers: `{:?}` escapes control characters.
        match self {
            Event::Joined { room, login } => write!(f, "joined room={room:?} login={login:?}"),
            Event::Left { room, login, cause } => {
                write!(f, "left room={room:?} login={login:?} cause={cause:?}")
            }
            Event::Published {
                room,
                login,
                stream,
            } => {
                write!(
                    f,
                    "published room={room:?} login={login:?} stream={stream:?}"
                )
            }
            Event::Unpublished {
                room,
                login,
                stream,
            } => {
                write!(
                    f,
                    "unpublished room={room:?} login={login:?} stream={stream:?}"
                )
            }
            Event::Playing {
                room,
                login,
                stream,
            } => {
                write!(f, "playing room={room:?} login={login:?} stream={stream:?}")
            }
            Event::StreamFailed {
                room,
                login,
                stream,
                info,
            } => write!(
                f,
                "stream failed room={room:?} login={login:?} stream={stream:?} info={info:?}"
            ),
            Event::SessionRefused { why } => write!(f, "session refused why={why:?}"),
        }
    }
}
