//! What a core keeps of one RTMP connection: its session, and what each of its
//! message streams is used for.

use std::collections::BTreeMap;

use crate::base::time::Time;
use crate::core::rtmp::outlet::Outlet;
use crate::core::rtmp::{FeedRef, IngestRef};
use crate::proto::rtmp;
use crate::room::rtmp::Tag;
use crate::signal::message;
use crate::signal::session::Session;
use crate::wire::http::percent_decode;

/// A connection that speaks RTMP.
pub(in crate::core) struct RtmpEnd {
    pub rtmp: rtmp::Session,
    /// Of a room client; encoders and players have none.
    pub talk: Option<Session>,
    /// The application it connected to: the room, for encoders and players.
    pub(super) app: String,
    /// What the connection shows, where the stream's name shows nothing.
    pub(super) token: Option<String>,
    pub(super) accepts_opus: bool,
    /// By message stream.
    pub(super) lines: BTreeMap<u32, Line>,
    pub(in crate::core) outlet: Outlet,
}

/// What one message stream is used for.
pub(super) struct Line {
    pub room: String,
    /// The name the client used.
    pub name: String,
    pub media_session_id: String,
    pub state: State,
}

pub(super) enum State {
    /// `None`: not granted yet.
    Publishing(Option<IngestRef>),
    Playing(Viewing),
}

/// How far one play is, and what its client wants of it.
pub(in crate::core) struct Viewing {
    /// `None`: not granted yet.
    pub(super) feed: Option<FeedRef>,
    pub(super) wants_audio: bool,
    pub(super) wants_video: bool,
    pub(super) paused: bool,
    /// Pictures were left out: only a key frame can be shown.
    pub awaits_key: bool,
}

impl Viewing {
    pub fn takes(&mut self, tag: &Tag, accepts_opus: bool) -> bool {
        if self.paused || !tag.audience.includes(accepts_opus) {
            return false;
        }
        if tag.is_video() {
            self.awaits_key &= !tag.is_key();
            return self.wants_video && (tag.is_header() || !self.awaits_key);
        }
        self.wants_audio || !tag.is_audio()
    }
}

impl RtmpEnd {
    pub fn new(rtmp: rtmp::Session) -> Self {
        RtmpEnd {
            rtmp,
            talk: None,
            app: String::new(),
            token: None,
            accepts_opus: false,
            lines: BTreeMap::new(),
            outlet: Outlet::default(),
        }
    }

    /// The client is put out.
    pub fn say_why(&mut self, why: &str) {
        if !why.is_empty() {
            self.rtmp
                .notify(0, "error", "NetConnection.Connect.Closed", why);
        }
    }

    /// The session of a room client; one that connected to an application
    /// names streams by it, as encoders and players do.
    pub(super) fn room_client(&self) -> Option<&Session> {
        self.talk.as_ref().filter(|_| self.app.is_empty())
    }

    /// How many streams it plays.
    pub(super) fn plays(&self) -> usize {
        let lines = self.lines.values();
        lines
            .filter(|line| matches!(line.state, State::Playing(_)))
            .count()
    }

    /// The message stream used for a stream of the room.
    pub(super) fn stream_of(&self, media_session_id: &str) -> Option<u32> {
        let mut lines = self.lines.iter();
        let line = lines.find(|(_, line)| line.media_session_id == media_session_id);
        line.map(|(stream_id, _)| *stream_id)
    }

    pub fn accepts_opus(&self) -> bool {
        self.accepts_opus
    }

    pub fn viewing(&mut self, stream_id: u32) -> Option<&mut Viewing> {
        match &mut self.lines.get_mut(&stream_id)?.state {
            State::Playing(viewing) => Some(viewing),
            State::Publishing(_) => None,
        }
    }

    /// What was written is lost: every play must begin anew.
    pub fn await_keys(&mut self) {
        for line in self.lines.values_mut() {
            if let State::Playing(viewing) = &mut line.state {
                viewing.awaits_key = true;
            }
        }
    }

    pub fn deadline(&self) -> Time {
        let talk = self.talk.as_ref().map(Session::deadline);
        let rtmp = self.rtmp.deadline();
        talk.map_or(rtmp, |talk| talk.min(rtmp))
    }
}

/// Where an encoder or player wants to be.
pub(super) struct Target {
    pub room: String,
    pub name: String,
    pub token: Option<String>,
}

impl Target {
    /// The room is everything before the last slash of application and stream
    /// name together; either may carry a query.
    pub fn read(end: &RtmpEnd, name: &str) -> Result<Self, String> {
        let (name, query) = split_query(name);
        let path = format!("{}/{name}", end.app);
        let path = path.trim_matches('/');
        let (room, name) = path.rsplit_once('/').ok_or("the room's name is missing")?;
        let decoded = |text: &str, what| {
            let text =
                percent_decode(text).ok_or(format!("{what} is not percent-encoded UTF-8"))?;
            message::check_name(Some(&text), what).map(str::to_string)
        };
        Ok(Target {
            room: decoded(room, "the room's name")?,
            name: decoded(name, "the stream's name")?,
            token: token_of(query).or_else(|| end.token.clone()),
        })
    }
}

pub(super) fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

pub(super) fn token_of(query: &str) -> Option<String> {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))?;
    percent_decode(value)
}
