//! Membership and the stream table of one room, at its home core: who is in,
//! which streams exist and who plays them. Pure bookkeeping; media lives in
//! [`super::publication`] and [`super::subscription`].

use std::collections::BTreeMap;
use std::hash::Hash;
use std::ops::Bound;

use crate::base::limits::{MEMBER_PUBLICATIONS_MAX, MEMBER_STREAMS_MAX, ROOM_MEMBERS_MAX};
use crate::base::slab::Key;
use crate::base::time::{Span, Time};
use crate::room::logins::Logins;
use crate::room::notice::{MemberState, StreamStatus, info};
use crate::room::peer::{AfarSeat, Peer};

/// A session somewhere in the server: the core its connection lives on, and
/// the connection. `S` is the core layer's address type.
pub struct Roster<S> {
    members: BTreeMap<String, Member<S>>,
    /// The same members by their sessions.
    logins: Logins<S>,
    /// By media session id.
    streams: BTreeMap<String, Stream<S>>,
}

pub struct Member<S> {
    pub session: S,
    /// The session's secret: who shows it may take this login over.
    token: String,
    /// When the member's socket last answered a ping.
    seen: Time,
}

/// A publication or a play, by one member.
#[derive(Clone, Debug)]
pub struct Stream<S> {
    pub media_session_id: String,
    /// The stream's name in the room.
    pub name: String,
    pub login: String,
    pub session: S,
    pub carrier: Carrier,
    pub role: StreamRole,
    /// Media can flow.
    pub live: bool,
    /// It is to be recorded, whatever becomes of others.
    pub record: bool,
    pub muted: Muted,
}

/// Which tracks a publisher says it muted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Muted {
    audio: bool,
    video: bool,
}

impl Muted {
    /// Takes note of a stream event of the publisher; others change nothing.
    pub fn note(&mut self, kind: &str) {
        match kind {
            "audioMuted" => self.audio = true,
            "audioUnmuted" => self.audio = false,
            "videoMuted" => self.video = true,
            "videoUnmuted" => self.video = false,
            _ => {}
        }
    }

    /// The events that bring a late viewer up to date.
    pub fn kinds(self) -> impl Iterator<Item = &'static str> {
        let audio = self.audio.then_some("audioMuted");
        let video = self.video.then_some("videoMuted");
        audio.into_iter().chain(video)
    }
}

/// What carries a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A connection that speaks RTMP.
    Rtmp,
    /// A peer connection of the room's home core.
    Peer(Key<Peer>),
    /// One of another core.
    Afar(AfarSeat),
}

impl Carrier {
    pub fn is_rtmp(self) -> bool {
        self == Carrier::Rtmp
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    Publish,
    Play,
}

impl StreamRole {
    /// The status that says media can flow.
    pub fn begun(self) -> StreamStatus {
        match self {
            StreamRole::Publish => StreamStatus::Publishing,
            StreamRole::Play => StreamStatus::Playing,
        }
    }

    /// The status that says the stream ended in order.
    pub fn ended(self) -> StreamStatus {
        match self {
            StreamRole::Publish => StreamStatus::Unpublished,
            StreamRole::Play => StreamStatus::Stopped,
        }
    }
}

/// How a join ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinVerdict {
    Welcome,
    /// The login is held by a session that must leave first.
    Replaces,
    Refused(&'static str),
}

/// What joins are judged by.
#[derive(Clone, Copy, Debug)]
pub struct JoinRules {
    /// How long a holder may be silent and keep its login.
    pub silence_max: Span,
    pub members_max: usize,
}

impl<S: Copy + Eq + Hash> Roster<S> {
    pub fn new() -> Self {
        Roster {
            members: BTreeMap::new(),
            logins: Logins::default(),
            streams: BTreeMap::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.streams.is_empty()
    }

    /// Decides about a join (house rule of ghosts: the holder's token replaces
    /// at once; without it the holder stays while its socket answers pings).
    pub fn judge_join(
        &self,
        now: Time,
        login: &str,
        session: S,
        presented_token: Option<&str>,
        rules: JoinRules,
    ) -> JoinVerdict {
        let Some(holder) = self.members.get(login) else {
            return if self.members.len() >= rules.members_max.min(ROOM_MEMBERS_MAX) {
                JoinVerdict::Refused(info::ROOM_FULL)
            } else {
                JoinVerdict::Welcome
            };
        };
        let shown = presented_token.is_some_and(|token| {
            crate::base::hash::same_secret(token.as_bytes(), holder.token.as_bytes())
        });
        if shown || holder.session == session || now.since(holder.seen) > rules.silence_max {
            JoinVerdict::Replaces
        } else {
            JoinVerdict::Refused(info::LOGIN_IN_USE)
        }
    }

    pub fn add(&mut self, now: Time, login: &str, session: S, token: String) {
        let member = Member {
            session,
            token,
            seen: now,
        };
        if let Some(before) = self.members.insert(login.to_string(), member) {
            self.logins.remove(before.session, login);
        }
        self.logins.insert(session, login);
    }

    /// Ends a membership; the member's streams stay until taken.
    pub fn remove(&mut self, login: &str) -> Option<Member<S>> {
        let member = self.members.remove(login)?;
        self.logins.remove(member.session, login);
        Some(member)
    }

    /// Another session goes on with a membership and what it publishes.
    pub fn hand_over(&mut self, login: &str, session: S) {
        if let Some(member) = self.members.get_mut(login) {
            self.logins.remove(member.session, login);
            self.logins.insert(session, login);
            member.session = session;
        }
        let published = |stream: &&mut Stream<S>| stream.role == StreamRole::Publish;
        let streams = self.streams.values_mut().filter(published);
        for stream in streams.filter(|stream| stream.login == login) {
            stream.session = session;
        }
    }

    pub fn seen(&mut self, now: Time, session: S) {
        for login in self.logins.of(session) {
            if let Some(member) = self.members.get_mut(login) {
                member.seen = now;
            }
        }
    }

    /// The login `session` is a member under; the first of more.
    pub fn login_of(&self, session: S) -> Option<&str> {
        self.logins.of(session).first().map(String::as_str)
    }

    pub fn session_of(&self, login: &str) -> Option<S> {
        self.members.get(login).map(|member| member.session)
    }

    /// Sessions of everyone but `login`.
    pub fn others<'a>(&'a self, login: &'a str) -> impl Iterator<Item = S> + 'a {
        self.members
            .iter()
            .filter(move |(other, _)| other.as_str() != login)
            .map(|(_, member)| member.session)
    }

    /// Members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// In order, from behind a login on.
    pub fn logins_after(&self, after: Bound<&str>) -> impl Iterator<Item = &str> {
        let range = (after, Bound::Unbounded);
        self.members
            .range::<str, _>(range)
            .map(|(login, _)| login.as_str())
    }

    pub fn logins(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Everyone but `login`, with their live streams.
    pub fn state_for(&self, login: &str) -> Vec<MemberState> {
        // Streams once, not once for each of thousands of members.
        let mut live: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let is_live = |s: &&Stream<S>| s.role == StreamRole::Publish && s.live;
        for stream in self.streams.values().filter(is_live) {
            live.entry(&stream.login)
                .or_default()
                .push(stream.name.clone());
        }
        let others = self.members.keys().filter(|other| *other != login);
        others
            .map(|other| MemberState {
                login: other.clone(),
                streams: live.remove(other.as_str()).unwrap_or_default(),
            })
            .collect()
    }

    /// Why a member may not open this stream, if so.
    pub fn refuse_stream(
        &self,
        login: &str,
        media_session_id: &str,
        name: &str,
        role: StreamRole,
    ) -> Option<&'static str> {
        if self.streams.contains_key(media_session_id) {
            return Some(info::SESSION_ID_IN_USE);
        }
        if role == StreamRole::Publish && self.publication(name).is_some() {
            return Some(info::NAME_IN_USE);
        }
        let held = self.streams_of(login).count();
        let published = |s: &&Stream<S>| s.role == StreamRole::Publish;
        let too_many = held >= MEMBER_STREAMS_MAX
            || (role == StreamRole::Publish
                && self.streams_of(login).filter(published).count() >= MEMBER_PUBLICATIONS_MAX);
        too_many.then_some(info::TOO_MANY_STREAMS)
    }

    pub fn add_stream(&mut self, stream: Stream<S>) {
        self.streams.insert(stream.media_session_id.clone(), stream);
    }

    pub fn stream(&self, media_session_id: &str) -> Option<&Stream<S>> {
        self.streams.get(media_session_id)
    }

    pub fn stream_mut(&mut self, media_session_id: &str) -> Option<&mut Stream<S>> {
        self.streams.get_mut(media_session_id)
    }

    pub fn set_live(&mut self, media_session_id: &str) -> Option<&Stream<S>> {
        let stream = self.streams.get_mut(media_session_id)?;
        stream.live = true;
        Some(stream)
    }

    pub fn remove_stream(&mut self, media_session_id: &str) -> Option<Stream<S>> {
        self.streams.remove(media_session_id)
    }

    /// Everything `login` publishes and plays.
    pub fn streams_of<'a>(&'a self, login: &'a str) -> impl Iterator<Item = &'a Stream<S>> + 'a {
        self.streams.values().filter(move |s| s.login == login)
    }

    /// The publication of this name, live or not.
    pub fn publication(&self, name: &str) -> Option<&Stream<S>> {
        self.streams
            .values()
            .find(|s| s.role == StreamRole::Publish && s.name == name)
    }

    /// Who plays the publication of this name.
    pub fn plays_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Stream<S>> + 'a {
        self.streams
            .values()
            .filter(move |s| s.role == StreamRole::Play && s.name == name)
    }

    /// The media session ids `login` holds, publications first, so that their
    /// end is told before the plays' end.
    pub fn held_by(&self, login: &str) -> Vec<String> {
        let held = |role| {
            self.streams
                .values()
                .filter(move |s| s.login == login && s.role == role)
                .map(|s| s.media_session_id.clone())
        };
        held(StreamRole::Publish)
            .chain(held(StreamRole::Play))
            .collect()
    }

    /// In order of their media session ids, from behind one on.
    pub fn streams_after(&self, after: Bound<&str>) -> impl Iterator<Item = &Stream<S>> {
        let range = (after, Bound::Unbounded);
        self.streams
            .range::<str, _>(range)
            .map(|(_, stream)| stream)
    }

    pub fn streams(&self) -> impl Iterator<Item = &Stream<S>> {
        self.streams.values()
    }
}

impl<S: Copy + Eq + Hash> Default for Roster<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: JoinRules = JoinRules {
        silence_max: Span::from_secs(10),
        members_max: usize::MAX,
    };

    fn roster() -> Roster<u32> {
        let mut roster = Roster::new();
        roster.add(Time::ZERO, "ann", 1, "token-a".into());
        roster.add(Time::ZERO, "ben", 2, "token-b".into());
        roster
    }

    fn stream(id: &str, name: &str, login: &str, role: StreamRole) -> Stream<u32> {
        Stream {
            media_session_id: id.into(),
            name: name.into(),
            login: login.into(),
            session: 1,
            carrier: Carrier::Rtmp,
            role,
            live: false,
            record: false,
            muted: Muted::default(),
        }
    }

    #[test]
    fn the_last_mute_event_of_a_track_counts() {
        let mut muted = Muted::default();
        for kind in ["audioMuted", "videoMuted", "data", "audioUnmuted"] {
            muted.note(kind);
        }
        assert_eq!(muted.kinds().collect::<Vec<_>>(), ["videoMuted"]);
    }

    #[test]
    fn a_held_login_is_refused_while_its_holder_answers() {
        let mut roster = roster();
        let refused = JoinVerdict::Refused(info::LOGIN_IN_USE);
        let soon = Time::ZERO + Span::from_secs(9);
        let late = Time::ZERO + Span::from_secs(11);
        assert_eq!(roster.judge_join(soon, "ann", 3, None, RULES), refused);
        let wrong = Some("token-b");
        assert_eq!(roster.judge_join(soon, "ann", 3, wrong, RULES), refused);
        let right = Some("token-a");
        let verdict = roster.judge_join(soon, "ann", 3, right, RULES);
        assert_eq!(verdict, JoinVerdict::Replaces);
        let verdict = roster.judge_join(late, "ann", 3, None, RULES);
        assert_eq!(verdict, JoinVerdict::Replaces);
        roster.seen(soon, 1);
        assert_eq!(roster.judge_join(late, "ann", 3, None, RULES), refused);
    }

    /// Whether both ways of asking who a session is give the same, for sessions
    /// 0 to `sessions`.
    fn assert_indexed(roster: &Roster<u32>, sessions: u32) {
        let mut held = 0;
        for session in 0..sessions {
            let listed = roster.members.iter().filter(|(_, m)| m.session == session);
            let listed: Vec<&str> = listed.map(|(login, _)| login.as_str()).collect();
            assert_eq!(roster.logins.of(session), listed, "{session}");
            assert_eq!(roster.login_of(session), listed.first().copied());
            held += listed.len();
        }
        assert_eq!(held, roster.len());
    }

    #[test]
    fn sessions_are_found_by_index_as_by_a_walk_over_all_members() {
        const SESSIONS: u32 = 12;
        for seed in 0..40 {
            let mut noise = crate::base::random::Noise::new(seed);
            let mut roster = Roster::new();
            for step in 0..200 {
                let login = format!("m{}", noise.below(8));
                let session = noise.below(u64::from(SESSIONS)) as u32;
                match noise.below(4) {
                    0 | 1 => roster.add(Time::ZERO, &login, session, String::new()),
                    2 => drop(roster.remove(&login)),
                    _ => roster.hand_over(&login, session),
                }
                assert_indexed(&roster, SESSIONS);
                let now = Time::ZERO + Span::from_ms(step + 1);
                roster.seen(now, session);
                for member in roster.members.values() {
                    assert_eq!(member.seen == now, member.session == session);
                }
            }
            let logins: Vec<String> = roster.logins().map(str::to_string).collect();
            for login in logins {
                roster.remove(&login);
            }
            assert_indexed(&roster, SESSIONS);
        }
    }

    #[test]
    fn state_shows_live_streams_of_the_others() {
        let mut roster = roster();
        roster.add_stream(stream("a1", "r-ann-1", "ann", StreamRole::Publish));
        roster.add_stream(stream("a2", "r-ann-2", "ann", StreamRole::Publish));
        roster.set_live("a1").unwrap();
        let state = roster.state_for("ben");
        assert_eq!(state.len(), 1);
        assert_eq!(state[0].streams, ["r-ann-1"]);
        assert_eq!(roster.state_for("ann")[0].streams, [""; 0]);
    }

    #[test]
    fn stream_names_and_ids_are_unique() {
        let mut roster = roster();
        roster.add_stream(stream("a1", "r-ann-1", "ann", StreamRole::Publish));
        let publish = StreamRole::Publish;
        assert_eq!(
            roster.refuse_stream("ben", "a1", "other", publish),
            Some(info::SESSION_ID_IN_USE)
        );
        assert_eq!(
            roster.refuse_stream("ben", "b1", "r-ann-1", publish),
            Some(info::NAME_IN_USE)
        );
        assert_eq!(
            roster.refuse_stream("ben", "b1", "r-ann-1", StreamRole::Play),
            None
        );
        for n in 0..MEMBER_PUBLICATIONS_MAX {
            roster.add_stream(stream(&format!("p{n}"), "x", "ben", publish));
        }
        assert_eq!(
            roster.refuse_stream("ben", "more", "y", publish),
            Some(info::TOO_MANY_STREAMS)
        );
        assert_eq!(
            roster.refuse_stream("ben", "more", "y", StreamRole::Play),
            None,
            "there is room for plays"
        );
        for n in MEMBER_PUBLICATIONS_MAX..MEMBER_STREAMS_MAX {
            roster.add_stream(stream(&format!("b{n}"), "x", "ben", StreamRole::Play));
        }
        assert_eq!(
            roster.refuse_stream("ben", "more", "y", StreamRole::Play),
            Some(info::TOO_MANY_STREAMS)
        );
    }

    #[test]
    fn a_member_leaves_with_its_publications_first() {
        let mut roster = roster();
        roster.add_stream(stream("1-play", "s", "ann", StreamRole::Play));
        roster.add_stream(stream("2-publish", "s", "ann", StreamRole::Publish));
        assert_eq!(roster.held_by("ann"), ["2-publish", "1-play"]);
        assert_eq!(roster.plays_of("s").count(), 1);
    }
}
