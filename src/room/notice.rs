//! What a room tells its members: values, put into words by the dialect of the
//! member's connection.

/// One message to one or more sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A room command was carried out.
    Accepted {
        operation_id: String,
    },
    /// A room command was not; `info` says why, for people.
    Refused {
        operation_id: String,
        info: String,
    },
    /// A join was carried out, or why not.
    JoinAnswered {
        operation_id: String,
        room: String,
        refused: Option<&'static str>,
    },
    /// The room as it was when the receiver became a member, without the receiver.
    State {
        room: String,
        members: Vec<MemberState>,
    },
    Joined {
        room: String,
        login: String,
    },
    Left {
        room: String,
        login: String,
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
    Message {
        room: String,
        from: String,
        text: String,
    },
    /// The answer to the offer of the stream `media_session_id`.
    RemoteSdp {
        media_session_id: String,
        sdp: String,
    },
    StreamStatus {
        media_session_id: String,
        status: StreamStatus,
        info: Option<&'static str>,
        /// The file the stream is recorded to.
        record_name: Option<String>,
    },
    /// A publisher's mute or data event, under the viewer's own stream id.
    StreamEvent {
        media_session_id: String,
        kind: String,
        /// JSON text; `{}` when there was none.
        payload: String,
    },
    AvailableStream {
        media_session_id: String,
        available: bool,
    },
    /// To a viewer: a track of the stream is missing, or is back; `info` says
    /// why, for people.
    Availability {
        media_session_id: String,
        kind: &'static str,
        info: String,
    },
    /// To a publisher: a viewer cannot decode its video; publishing anew in one
    /// of these codecs would reach everybody.
    RepublishRequested {
        media_session_id: String,
        video_codecs: Vec<&'static str>,
    },
    /// To a publisher: a moderator wants it silent, or dark.
    MuteRequested {
        media_session_id: String,
        audio: bool,
        video: bool,
    },
    /// To a publisher: its stream, which went on without, is recorded from now
    /// on.
    RecordingStarted {
        media_session_id: String,
        record_name: String,
    },
    /// Media over TCP was asked for and is answered over UDP.
    OverUdp {
        media_session_id: String,
    },
}

/// A member in [`Notice::State`], with the streams it has live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    pub login: String,
    pub streams: Vec<String>,
}

/// The stream statuses a client acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    Publishing,
    Playing,
    Unpublished,
    Stopped,
    Failed,
}

impl StreamStatus {
    pub fn name(self) -> &'static str {
        match self {
            StreamStatus::Publishing => "PUBLISHING",
            StreamStatus::Playing => "PLAYING",
            StreamStatus::Unpublished => "UNPUBLISHED",
            StreamStatus::Stopped => "STOPPED",
            StreamStatus::Failed => "FAILED",
        }
    }
}

/// Info strings of the official SDK, and ours where it has none.
pub mod info {
    pub const STREAM_NOT_FOUND: &str = "Stream not found";
    pub const STREAM_NOT_READY: &str = "Publish stream is not ready";
    pub const NAME_IN_USE: &str = "Stream name is already in use";
    pub const SESSION_ID_IN_USE: &str = "MediaSessionId is already in use";
    pub const NO_COMMON_CODECS: &str = "No common codecs";
    pub const STOPPED_BY_PUBLISHER: &str = "Stopped by publisher stop";
    pub const STOPPED_BY_USER: &str = "Stopped by user";
    pub const STOPPED_BY_DISCONNECT: &str = "Stopped by session disconnect";
    pub const NOT_A_MEMBER: &str = "Not a member of the room";
    pub const BAD_OFFER: &str = "Bad SDP offer";
    pub const TOO_MANY_STREAMS: &str = "Too many streams";
    pub const SERVER_FULL: &str = "Server is full";
    pub const LOGIN_IN_USE: &str = "Login is already in use";
    pub const ROOM_FULL: &str = "Room is full";
    pub const RESTRICTED: &str = "Restricted access";
    pub const NO_RECORDING: &str = "Access token does not allow recording";
    pub const RECORDING_ENDED: &str = "The recording of this stream ended";
    pub const TOO_MANY_JOINS: &str = "Too many joins from this address";
    pub const TOO_MANY_MESSAGES: &str = "Too many messages";
    pub const STREAM_REMOVED: &str = "Removed by the moderator";
    pub const STREAM_ROOM_CLOSED: &str = "Room closed by the moderator";
    pub const REMOVED: &str = "removed by the moderator";
    pub const ROOM_CLOSED: &str = "room closed by the moderator";
    pub const REPLACED: &str = "replaced by a new session";
    pub const NO_SUCH_PARTICIPANT: &str = "No such participant in the room";
}
