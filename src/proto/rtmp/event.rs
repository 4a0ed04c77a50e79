//! What a session tells its owner, and how a peer can end it.

use std::fmt;

use bytes::Bytes;

use crate::wire::amf::{AmfError, Value};
use crate::wire::rtmp::chunk::ChunkError;
use crate::wire::rtmp::handshake::HandshakeError;

/// What the peer wants or sent. Stream ids are of streams it created.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Answer with `accept_connect` or `reject_connect`.
    Connect(Connect),
    /// Answer with `publish_started` or `publish_refused`. `name` is as sent,
    /// with any query, and not empty.
    Publish {
        stream_id: u32,
        name: String,
    },
    /// The peer ended what it published, or gave up waiting for the answer.
    Unpublish {
        stream_id: u32,
    },
    /// Answer with `play_started` or `play_refused`; `name` as in `Publish`.
    Play {
        stream_id: u32,
        name: String,
    },
    /// The peer ended what it played, or gave up waiting for the answer.
    Stop {
        stream_id: u32,
    },
    Pause {
        stream_id: u32,
        paused: bool,
    },
    ReceiveAudio {
        stream_id: u32,
        on: bool,
    },
    ReceiveVideo {
        stream_id: u32,
        on: bool,
    },
    /// A call of the room protocol; it expects no answer any more.
    Call {
        name: String,
        arguments: Vec<Value>,
    },
    /// A message of a stream whose publishing started; `body` is not empty.
    Media {
        stream_id: u32,
        kind: MediaKind,
        /// Milliseconds as the peer counts them, wrapping.
        timestamp: u32,
        body: Bytes,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Audio,
    Video,
    /// AMF0 values, the first of them a name.
    Data,
}

/// What `connect` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    pub app: String,
    pub tc_url: String,
    pub flash_version: String,
    /// 0 (AMF0) or 3 (AMF3 may be sent to us).
    pub object_encoding: f64,
    /// Values after the command object.
    pub arguments: Vec<Value>,
    /// It said anything of Enhanced RTMP.
    pub enhanced: bool,
    /// It takes Opus in enhanced audio messages.
    pub accepts_opus: bool,
}

/// Why a connection ended; the peer's fault each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtmpError {
    Handshake(HandshakeError),
    Chunk(ChunkError),
    /// A command that is no AMF.
    Amf(AmfError),
    /// A command longer than any this server knows.
    CommandTooLong {
        bytes: usize,
    },
    /// A command without a name.
    Nameless,
    /// A command before `connect` was accepted.
    NotConnected,
    /// A second `connect`.
    ConnectedTwice,
    /// No `connect` in time.
    ConnectTimeout,
    /// Nothing came for too long.
    Idle,
    /// More messages than any stream has.
    Flood,
    /// Media kept coming for streams that are not published.
    StrayMedia,
}

impl fmt::Display for RtmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RtmpError::Handshake(error) => error.fmt(f),
            RtmpError::Chunk(error) => error.fmt(f),
            RtmpError::Amf(error) => {
                write!(f, "command: {:?} at byte {}", error.fault, error.at)
            }
            RtmpError::CommandTooLong { bytes } => write!(f, "command of {bytes} bytes"),
            RtmpError::Nameless => f.write_str("command without a name"),
            RtmpError::NotConnected => f.write_str("command before connect"),
            RtmpError::ConnectedTwice => f.write_str("second connect"),
            RtmpError::ConnectTimeout => f.write_str("no connect in time"),
            RtmpError::Flood => f.write_str("too many messages"),
            RtmpError::Idle => f.write_str("silent for too long"),
            RtmpError::StrayMedia => f.write_str("media without a published stream"),
        }
    }
}

impl From<HandshakeError> for RtmpError {
    fn from(error: HandshakeError) -> Self {
        RtmpError::Handshake(error)
    }
}

impl From<ChunkError> for RtmpError {
    fn from(error: ChunkError) -> Self {
        RtmpError::Chunk(error)
    }
}

impl From<AmfError> for RtmpError {
    fn from(error: AmfError) -> Self {
        RtmpError::Amf(error)
    }
}
