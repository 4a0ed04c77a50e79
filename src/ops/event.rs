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
    /// An RTMP connection broke the protocol.
    RtmpRefused {
        why: String,
    },
    /// A stream is not all that its viewers expect, and they are told.
    StreamAdvice(StreamAdvice),
    /// A moderator asked a participant to mute.
    MuteRequested {
        room: String,
        login: String,
        audio: bool,
        video: bool,
    },
    /// A viewer cannot decode a stream; its publisher is asked for a codec that
    /// everybody can.
    RepublishRequested(RepublishWish),
    /// A client asked for media over TCP, which is answered over UDP.
    OverUdp {
        room: String,
        login: String,
        stream: String,
    },
    /// A recording's file went on.
    Recording(RecordingNews, RecordingStep),
    /// What an earlier run left unfinished was repaired, or why not.
    RecordingRepaired {
        file: String,
        outcome: String,
    },
    /// The files of `tls.cert` and `tls.key` changed and are used from now on.
    CertificateReloaded,
    /// They changed, cannot be used, and the certificate before stays.
    CertificateKept {
        why: String,
    },
}

/// Whose stream should be published anew, and in which codecs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepublishWish {
    pub room: String,
    pub login: String,
    pub stream: String,
    pub video_codecs: Vec<&'static str>,
}

impl fmt::Display for RepublishWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (room, login, stream) = (&self.room, &self.login, &self.stream);
        let codecs = self.video_codecs.join(",");
        write!(
            f,
            "republish requested room={room:?} login={login:?} stream={stream:?} codecs={codecs}"
        )
    }
}

/// Which recording there is news of; a manifest's has no login and no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingNews {
    pub room: String,
    pub login: String,
    pub stream: String,
    pub file: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingStep {
    Begun,
    /// It was asked for and is not made.
    Refused(&'static str),
    /// It does not go on, though its stream may.
    Failed(&'static str),
    /// The file is whole.
    Whole {
        size_bytes: u64,
        duration_ms: u64,
    },
    /// The file stays as it is, and is repaired at the next start.
    Left(&'static str),
}

impl RecordingNews {
    pub fn new(room: &str, login: &str, stream: &str, file: &str) -> Self {
        RecordingNews {
            room: room.to_string(),
            login: login.to_string(),
            stream: stream.to_string(),
            file: file.to_string(),
        }
    }

    fn print(&self, step: RecordingStep, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match step {
            RecordingStep::Begun => "begun",
            RecordingStep::Refused(_) => "refused",
            RecordingStep::Failed(_) => "failed",
            RecordingStep::Whole { .. } => "whole",
            RecordingStep::Left(_) => "left unfinished",
        };
        let (room, login) = (&self.room, &self.login);
        let (stream, file) = (&self.stream, &self.file);
        write!(
            f,
            "recording {verb} room={room:?} login={login:?} stream={stream:?} file={file:?}"
        )?;
        match step {
            RecordingStep::Begun => Ok(()),
            RecordingStep::Refused(why) | RecordingStep::Failed(why) | RecordingStep::Left(why) => {
                write!(f, " why={why:?}")
            }
            RecordingStep::Whole {
                size_bytes,
                duration_ms,
            } => write!(f, " size_bytes={size_bytes} duration_ms={duration_ms}"),
        }
    }
}

fn print_repaired(file: &str, outcome: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "recording repaired file={file:?} outcome={outcome:?}")
}

/// What is the matter with a stream, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAdvice {
    pub room: String,
    pub login: String,
    pub stream: String,
    pub info: String,
}

impl fmt::Display for StreamAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (room, login, stream) = (&self.room, &self.login, &self.stream);
        let info = &self.info;
        write!(
            f,
            "stream advice room={room:?} login={login:?} stream={stream:?} info={info:?}"
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveCause {
    Asked,
    SocketLost,
    /// The transport did that held it, as WHIP's does.
    TransportEnded,
    Replaced,
    /// By a moderator.
    Removed,
    /// The room was, by a moderator.
    RoomClosed,
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
            Event::RtmpRefused { why } => write!(f, "rtmp connection refused why={why:?}"),
            Event::StreamAdvice(advice) => advice.fmt(f),
            Event::MuteRequested {
                room,
                login,
                audio,
                video,
            } => write!(
                f,
                "mute requested room={room:?} login={login:?} audio={audio} video={video}"
            ),
            Event::RepublishRequested(wish) => wish.fmt(f),
            Event::OverUdp {
                room,
                login,
                stream,
            } => write!(
                f,
                "answered over UDP room={room:?} login={login:?} stream={stream:?}"
            ),
            Event::Recording(news, step) => news.print(*step, f),
            Event::RecordingRepaired { file, outcome } => print_repaired(file, outcome, f),
            Event::CertificateReloaded => f.write_str("tls certificate reloaded"),
            Event::CertificateKept { why } => write!(f, "tls certificate kept why={why:?}"),
        }
    }
}
