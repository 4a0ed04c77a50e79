//! RTMP: rooms reached by encoders, players and Flash clients.
//!
//! At the core that accepted a connection: what its client asks ([`door`]),
//! what it is told ([`answers`]), what is kept of it ([`line`]) and how media
//! leaves at its reader's pace ([`outlet`]). At the room's home core: who
//! publishes ([`home`]) and plays ([`play`]), what a publisher sends ([`flow`]),
//! and sound that needs converting ([`convert`]). In between, the messages of
//! feeds ([`players`]). The two ends speak by mail, also on one core.
//!
//! A stream published over RTMP is a publication like any other, fed from an
//! [`Ingest`](crate::room::rtmp::Ingest); whoever plays over RTMP gets the
//! messages of a [`Feed`](crate::room::rtmp::Feed), one per publication, which
//! travel once to every core that has players.

mod answers;
mod convert;
mod door;
mod flow;
mod home;
mod line;
mod outlet;
mod play;
mod players;
mod seats;

pub(super) use line::RtmpEnd;
pub(super) use seats::{Converting, IngestSeat, Pace, Seats};

use bytes::Bytes;

use crate::base::slab::Key;
use crate::core::border::CoreId;
use crate::core::mail::SessionRef;
use crate::proto::rtmp::MediaKind;
use crate::room::notice::Notice;
use crate::room::rtmp::Tag;
use seats::FeedSeat;

/// Ticks of Opus in a millisecond.
const OPUS_TICKS_PER_MS: u64 = 48;

/// Names a feed anywhere in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedRef {
    pub core: CoreId,
    key: u64,
}

impl FeedRef {
    fn new(core: CoreId, key: Key<FeedSeat>) -> Self {
        FeedRef {
            core,
            key: key.to_bits(),
        }
    }

    fn key(self) -> Key<FeedSeat> {
        Key::from_bits(self.key)
    }
}

/// Names what takes in a publisher's media, at the room's home core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestRef {
    pub core: CoreId,
    key: u64,
}

impl IngestRef {
    fn new(core: CoreId, key: Key<IngestSeat>) -> Self {
        IngestRef {
            core,
            key: key.to_bits(),
        }
    }

    fn key(self) -> Key<IngestSeat> {
        Key::from_bits(self.key)
    }
}

/// What a connection asks of a room, at the room's home core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Publish(Publish),
    Play(Play),
    /// The client ended a stream itself.
    End {
        room: String,
        media_session_id: String,
    },
    /// A publisher's connection is gone without a goodbye.
    Lost {
        room: String,
        media_session_id: String,
    },
}

impl Request {
    pub fn room(&self) -> &str {
        match self {
            Request::Publish(publish) => &publish.room,
            Request::Play(play) => &play.room,
            Request::End { room, .. } | Request::Lost { room, .. } => room,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub room: String,
    /// The stream's name in the room.
    pub stream: String,
    /// An encoder's: it becomes a member of this name. A room client is one.
    pub joins_as: Option<String>,
    /// Who shows the token of a holder takes its place; may be empty.
    pub token: String,
    pub media_session_id: String,
    /// The message stream that it is published on.
    pub stream_id: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    pub room: String,
    /// Of a stream, or of a participant.
    pub name: String,
    pub media_session_id: String,
    pub stream_id: u32,
    pub accepts_opus: bool,
}

/// What a room tells a connection of a stream it has or asked for.
#[derive(Clone, Debug)]
pub enum Reply {
    /// `media_session_id` names the stream from now on: it may have been
    /// somebody else's before.
    Publishing {
        ingest: IngestRef,
        room: String,
        media_session_id: String,
    },
    PublishRefused {
        why: &'static str,
        is_taken: bool,
    },
    /// The room, or the server, ended the publication.
    Unpublished {
        why: &'static str,
    },
    /// Begins with what a late player needs.
    Playing {
        feed: FeedRef,
        start: Vec<Tag>,
    },
    PlayRefused {
        why: &'static str,
        is_absent: bool,
    },
    PlayEnded,
    /// Something the client should know and cannot change by itself.
    Advice(Advice),
}

/// Why a stream is not all that its publisher, or its player, expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Browsers cannot show pictures that arrive in another order than shown.
    BFrames,
    BFramesEnded,
    /// The video codec cannot reach the other kind of client.
    Video(&'static str),
    /// The audio codec cannot.
    Audio(&'static str),
    /// The sound cannot be converted, for this reason.
    Conversion(&'static str),
    /// The stream's sound, or its picture, is not what it began with, when
    /// browsers negotiated it.
    OtherSound,
    LatePicture,
}

impl Advice {
    /// What viewers of the stream `media_session_id` are told.
    fn notice(self, media_session_id: String) -> Notice {
        let kind = match self {
            Advice::BFrames | Advice::Video(_) | Advice::LatePicture => "videoUnavailable",
            Advice::BFramesEnded => "videoAvailable",
            Advice::Audio(_) | Advice::Conversion(_) | Advice::OtherSound => "audioUnavailable",
        };
        Notice::Availability {
            media_session_id,
            kind,
            info: self.info(),
        }
    }

    /// For people.
    pub fn info(self) -> String {
        match self {
            Advice::BFrames => "This stream has B-frames, which browsers cannot show: \
                 they get its sound only. Publish without B-frames (bframes=0, zerolatency)"
                .to_string(),
            Advice::BFramesEnded => "This stream's video is shown again".to_string(),
            Advice::Video(codec) => {
                format!("Video in {codec} cannot be converted: only its sound is heard")
            }
            Advice::Audio(codec) => {
                format!("Sound in {codec} cannot be converted: only its picture is seen")
            }
            Advice::Conversion(why) => {
                format!("This stream's sound cannot be converted ({why}): only its picture is seen")
            }
            Advice::OtherSound => "This stream began without this sound: \
                 browsers hear it when it is published anew"
                .to_string(),
            Advice::LatePicture => "This stream began without its picture: \
                 browsers see it when it is published anew"
                .to_string(),
        }
    }
}

/// One message of a publisher on its way to the room.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub ingest: IngestRef,
    pub from: SessionRef,
    pub kind: MediaKind,
    /// As on the wire.
    pub timestamp: u32,
    pub body: Bytes,
}
