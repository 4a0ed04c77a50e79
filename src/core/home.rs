//! The home core's side of rooms: membership and messages. Order is the
//! contract: a join's state and its subscription to the room's events are one
//! step, and nobody hears an echo of itself. Streams are in [`super::streams`].

use std::collections::BTreeMap;

use crate::base::limits::ROOMS_MAX;
use crate::base::slab::Key;
use crate::base::time::Time;
use crate::core::border::Outbox;
use crate::core::codecs::{Decoders, Published};
use crate::core::machine::Core;
use crate::core::mail::{Mail, SessionRef};
use crate::core::record::Book;
use crate::ops::event::{Event, LeaveCause};
use crate::room::notice::{Notice, StreamStatus, info};
use crate::room::roster::{JoinRules, JoinVerdict, Roster, StreamRole};
use crate::signal::session::RoomRequest;

/// A room at its home core.
pub(super) struct Room {
    pub roster: Roster<SessionRef>,
    /// What each publication sends, by media session id.
    pub published: BTreeMap<String, Published>,
    pub decoders: Decoders,
    /// When a member was last asked to publish anew, by login.
    pub republish_asked: BTreeMap<String, Time>,
    pub created: Time,
    /// Every stream is recorded.
    pub records_all: bool,
    /// Its recordings, once there was one.
    pub book: Option<Key<Book>>,
}

impl Room {
    fn new(created: Time) -> Self {
        Room {
            roster: Roster::default(),
            published: BTreeMap::new(),
            decoders: Decoders::default(),
            republish_asked: BTreeMap::new(),
            created,
            records_all: false,
            book: None,
        }
    }
}

impl Core {
    pub(super) fn handle_room_request(
        &mut self,
        now: Time,
        room: String,
        from: SessionRef,
        request: RoomRequest,
        out: &mut Outbox,
    ) {
        match request {
            RoomRequest::Join {
                operation_id,
                login,
                token,
                presented_token,
                record,
            } => {
                let recorded = room.clone();
                let refused = self.join(now, &room, from, &login, token, presented_token, out);
                self.answer_join(room, from, operation_id, login, refused, out);
                if record && refused.is_none() {
                    self.record_room(now, &recorded, out);
                }
            }
            RoomRequest::Leave { operation_id } => {
                let login = self.login_of(&room, from);
                let refused = login.is_none().then_some(info::NOT_A_MEMBER);
                self.settle(from, operation_id, refused, out);
                if let Some(login) = login {
                    self.leave(&room, &login, LeaveCause::Asked, out);
                }
            }
            RoomRequest::SendMessage {
                operation_id,
                to,
                text,
            } => {
                let refused = self.send_message(&room, from, &to, text, out);
                self.settle(from, operation_id, refused, out);
            }
            RoomRequest::Open { role, offer } => {
                self.open_stream(now, from, role, offer, out);
            }
            RoomRequest::End {
                role,
                media_session_id,
            } => self.stop(&room, from, media_session_id, role, out),
            RoomRequest::StreamEvent {
                media_session_id,
                kind,
                payload,
            } => self.relay_event(&room, from, &media_session_id, kind, payload, out),
            RoomRequest::AvailableStream {
                media_session_id,
                name,
            } => self.tell_availability(&room, from, media_session_id, &name, out),
            RoomRequest::Alive => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.roster.seen(now, from);
                }
            }
            RoomRequest::Gone => {
                if let Some(login) = self.login_of(&room, from) {
                    self.leave(&room, &login, LeaveCause::SocketLost, out);
                }
            }
        }
    }

    fn answer_join(
        &mut self,
        room: String,
        from: SessionRef,
        operation_id: String,
        login: String,
        refused: Option<&'static str>,
        out: &mut Outbox,
    ) {
        let answer = Notice::JoinAnswered {
            operation_id,
            room: room.clone(),
            refused,
        };
        self.tell(from, answer, out);
        if refused.is_none() {
            self.welcome(&room, from, login, out);
        }
    }

    fn tell_availability(
        &mut self,
        room: &str,
        from: SessionRef,
        media_session_id: String,
        name: &str,
        out: &mut Outbox,
    ) {
        // Who is not let in learns nothing about who is.
        let is_member = self.login_of(room, from).is_some();
        let room = self.rooms.get(room);
        let stream = room.and_then(|room| room.roster.publication(name));
        let notice = Notice::AvailableStream {
            media_session_id,
            available: is_member && stream.is_some_and(|stream| stream.live),
        };
        self.tell(from, notice, out);
    }

    fn settle(
        &mut self,
        to: SessionRef,
        operation_id: String,
        refused: Option<&'static str>,
        out: &mut Outbox,
    ) {
        let notice = match refused {
            None => Notice::Accepted { operation_id },
            Some(info) => Notice::Refused {
                operation_id,
                info: info.to_string(),
            },
        };
        self.tell(to, notice, out);
    }

    pub(super) fn login_of(&self, room: &str, session: SessionRef) -> Option<String> {
        let roster = &self.rooms.get(room)?.roster;
        roster.login_of(session).map(str::to_string)
    }

    #[expect(clippy::too_many_arguments, reason = "the request's parts, each once")]
    pub(super) fn join(
        &mut self,
        now: Time,
        room: &str,
        from: SessionRef,
        login: &str,
        token: String,
        presented_token: Option<String>,
        out: &mut Outbox,
    ) -> Option<&'static str> {
        if !self.rooms.contains_key(room) {
            if self.rooms.len() >= ROOMS_MAX {
                return Some(info::SERVER_FULL);
            }
            self.rooms.insert(room.to_string(), Room::new(now));
        }
        let rules = JoinRules {
            silence_max: self.silence_max(),
            members_max: match self.setup.rules.participants_max {
                0 => usize::MAX,
                max => max,
            },
        };
        // A session is one member: its end, and what it says, are of one login.
        if self.login_of(room, from).is_some_and(|own| own != login) {
            return Some(info::LOGIN_IN_USE);
        }
        let is_encoder = self.is_held_by_encoder(room, login);
        let roster = &mut self.rooms.get_mut(room)?.roster;
        if let Some(holder) = roster.session_of(login)
            && (!holder.has_socket() || is_encoder)
        {
            // Its media says whether it is there, not a ping.
            roster.seen(now, holder);
        }
        let presented = presented_token.as_deref();
        match roster.judge_join(now, login, from, presented, rules) {
            JoinVerdict::Refused(why) => return Some(why),
            JoinVerdict::Replaces => {
                let holder = roster.session_of(login);
                self.leave(room, login, LeaveCause::Replaced, out);
                if let Some(holder) = holder.filter(|holder| *holder != from) {
                    self.hang_up(holder, info::REPLACED, out);
                }
            }
            JoinVerdict::Welcome => {}
        }
        // Leaving may have emptied and removed the room.
        let entry = self.rooms.entry(room.to_string());
        let entry = entry.or_insert_with(|| Room::new(now));
        entry.roster.add(now, login, from, token);
        None
    }

    /// Takes a membership back that nobody has heard of.
    pub(super) fn withdraw(&mut self, room: &str, login: &str, out: &mut Outbox) {
        let Some(entry) = self.rooms.get_mut(room) else {
            return;
        };
        entry.roster.remove(login);
        entry.decoders.forget(login);
        self.remove_if_empty(room, out);
    }

    /// Has the socket behind a session closed, saying why.
    pub(super) fn hang_up(&mut self, session: SessionRef, why: &'static str, out: &mut Outbox) {
        if session.has_socket() {
            let connection = session.connection;
            self.post(session.core, Mail::Dismiss { connection, why }, out);
        }
    }

    /// After the acceptance: the state to the new member, the news to the others.
    pub(super) fn welcome(
        &mut self,
        room: &str,
        from: SessionRef,
        login: String,
        out: &mut Outbox,
    ) {
        let Some(roster) = self.rooms.get(room).map(|room| &room.roster) else {
            return;
        };
        let members = roster.state_for(&login);
        let others: Vec<SessionRef> = roster.others(&login).collect();
        let state = Notice::State {
            room: room.to_string(),
            members,
        };
        self.tell(from, state, out);
        let joined = Notice::Joined {
            room: room.to_string(),
            login: login.clone(),
        };
        self.broadcast(others, &joined, out);
        let room = room.to_string();
        self.event(Event::Joined { room, login }, out);
    }

    /// Ends a membership and everything the member had.
    pub(super) fn leave(&mut self, room: &str, login: &str, cause: LeaveCause, out: &mut Outbox) {
        let Some(entry) = self.rooms.get_mut(room) else {
            return;
        };
        let held = entry.roster.held_by(login);
        for media_session_id in held {
            let ended = self.end_stream(room, &media_session_id, out);
            // A session put out may still listen: it hears why. One that asked
            // to leave stops its streams itself and is answered then.
            if let (Some(stream), Some(why)) = (ended, stream_info(cause)) {
                let notice = Notice::StreamStatus {
                    media_session_id,
                    status: StreamStatus::Failed,
                    info: Some(why),
                    record_name: None,
                };
                self.tell(stream.session, notice, out);
            }
        }
        if let Some(entry) = self.rooms.get_mut(room)
            && entry.roster.remove(login).is_some()
        {
            entry.decoders.forget(login);
            entry.republish_asked.remove(login);
            let others: Vec<SessionRef> = entry.roster.others(login).collect();
            let left = Notice::Left {
                room: room.to_string(),
                login: login.to_string(),
            };
            self.broadcast(others, &left, out);
            let (room, login) = (room.to_string(), login.to_string());
            self.event(Event::Left { room, login, cause }, out);
        }
        self.remove_if_empty(room, out);
    }

    /// Nobody is there any more: the room is over, and its recordings get their
    /// end.
    fn remove_if_empty(&mut self, room: &str, out: &mut Outbox) {
        let is_over = |entry: &Room| entry.roster.is_empty();
        if self.rooms.get(room).is_some_and(is_over)
            && let Some(entry) = self.rooms.remove(room)
        {
            self.close_book(entry.book, out);
        }
    }

    fn send_message(
        &mut self,
        room: &str,
        from: SessionRef,
        to: &str,
        text: String,
        out: &mut Outbox,
    ) -> Option<&'static str> {
        let Some(login) = self.login_of(room, from) else {
            return Some(info::NOT_A_MEMBER);
        };
        let session = self.rooms.get(room).and_then(|r| r.roster.session_of(to));
        let Some(session) = session else {
            return Some(info::NO_SUCH_PARTICIPANT);
        };
        let notice = Notice::Message {
            room: room.to_string(),
            from: login,
            text,
        };
        self.tell(session, notice, out);
        None
    }

    /// A publisher's mute or data event reaches its players under their own ids.
    fn relay_event(
        &mut self,
        room: &str,
        from: SessionRef,
        media_session_id: &str,
        kind: String,
        payload: String,
        out: &mut Outbox,
    ) {
        let Some(roster) = self.rooms.get_mut(room).map(|room| &mut room.roster) else {
            return;
        };
        let Some(stream) = roster.stream_mut(media_session_id) else {
            return;
        };
        if stream.session != from || stream.role != StreamRole::Publish {
            return;
        }
        stream.muted.note(&kind);
        let name = stream.name.clone();
        // Who does not play yet is told what is muted when it does.
        let plays: Vec<(SessionRef, String)> = roster
            .plays_of(&name)
            .filter(|play| play.live)
            .map(|play| (play.session, play.media_session_id.clone()))
            .collect();
        for (session, media_session_id) in plays {
            let notice = Notice::StreamEvent {
                media_session_id,
                kind: kind.clone(),
                payload: payload.clone(),
            };
            self.tell(session, notice, out);
        }
    }

    /// Ends every room, members told; for the server's end.
    pub(super) fn close_every_room(&mut self, out: &mut Outbox) {
        let mut names: Vec<String> = self.rooms.keys().cloned().collect();
        names.sort_unstable();
        for name in names {
            let logins: Vec<String> = match self.rooms.get(&name) {
                Some(room) => room.roster.logins().map(str::to_string).collect(),
                None => continue,
            };
            for login in logins {
                self.leave(&name, &login, LeaveCause::ServerStopping, out);
            }
        }
    }
}

/// What the streams of a member that was put out fail with.
fn stream_info(cause: LeaveCause) -> Option<&'static str> {
    match cause {
        LeaveCause::Replaced => Some(info::STOPPED_BY_DISCONNECT),
        LeaveCause::Removed => Some(info::STREAM_REMOVED),
        LeaveCause::RoomClosed => Some(info::STREAM_ROOM_CLOSED),
        LeaveCause::Asked
        | LeaveCause::SocketLost
        | LeaveCause::TransportEnded
        | LeaveCause::ServerStopping => None,
    }
}
