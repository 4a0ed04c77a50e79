//! The session behind one client connection: who it is, which rooms it is in,
//! and which of its streams live in which room. It turns the client's messages
//! into requests to rooms, wherever they live, and answers what no room needs
//! to hear. Owns no socket and no room.

use std::collections::BTreeMap;

use crate::base::limits::{MEMBER_STREAMS_MAX, SESSION_ROOMS_MAX};
use crate::base::time::{Span, Time};
use crate::room::notice::{Notice, StreamStatus, info};
use crate::room::roster::StreamRole;
use crate::signal::message::{self, ClientMessage, Frame, MessageError, RoomCommand, StreamOffer};

/// What a session asks of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomRequest {
    Join {
        operation_id: String,
        login: String,
        /// This session's secret.
        token: String,
        /// The secret of an earlier session, to take its login over.
        presented_token: Option<String>,
        /// Every stream of the room is to be recorded from now on.
        record: bool,
    },
    Leave {
        operation_id: String,
    },
    SendMessage {
        operation_id: String,
        to: String,
        text: String,
    },
    Open {
        role: StreamRole,
        offer: StreamOffer,
    },
    End {
        role: StreamRole,
        media_session_id: String,
    },
    StreamEvent {
        media_session_id: String,
        kind: String,
        payload: String,
    },
    AvailableStream {
        media_session_id: String,
        name: String,
    },
    /// The session's socket answered a ping.
    Alive,
    /// The session's socket is gone.
    Gone,
}

/// What a session wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionAction {
    /// Send this to the client.
    Say(Frame),
    /// Pass a request to a room.
    Ask { room: String, request: RoomRequest },
    /// Close the connection; the client misbehaved.
    Close(&'static str),
}

pub struct Session {
    login: Option<String>,
    token: String,
    presented_token: Option<String>,
    access_token: Option<String>,
    /// Rooms that must hear when the session ends.
    rooms: BTreeMap<String, Membership>,
    /// Media session id to room, so that a stop finds the room even after leave.
    streams: BTreeMap<String, String>,
    next_ping: Time,
    /// Pings without an answer.
    unanswered: u32,
    malformed: u32,
    keep_alive: KeepAlive,
}

/// What a session knows of its place in a room.
#[derive(Default)]
struct Membership {
    /// Joins not answered yet.
    asked: u32,
    is_member: bool,
}

/// How often sessions are pinged and how many may go unanswered.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    pub interval: Span,
    pub probes: u32,
}

/// Malformed frames a session may send before it is closed: a client with a
/// bug is told a few times, a fuzzer is not served for ever.
const MALFORMED_MAX: u32 = 20;

impl Session {
    /// `token` is fresh and random; the client shows it to take its login back.
    pub fn new(now: Time, token: String, keep_alive: KeepAlive) -> Self {
        Session {
            login: None,
            token,
            presented_token: None,
            access_token: None,
            rooms: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_ping: now + keep_alive.interval,
            unanswered: 0,
            malformed: 0,
            keep_alive,
        }
    }

    /// The session of a client that said who it is when it connected, as Flash
    /// clients do.
    pub fn established(
        now: Time,
        token: String,
        keep_alive: KeepAlive,
        login: String,
        access_token: Option<String>,
    ) -> Self {
        Session {
            login: Some(login),
            access_token,
            ..Session::new(now, token, keep_alive)
        }
    }

    pub fn is_established(&self) -> bool {
        self.login.is_some()
    }

    /// Who the client says it is, once it has.
    pub fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// What the client shows to be let in.
    pub fn access_token(&self) -> Option<&str> {
        self.access_token.as_deref()
    }

    /// Handles one text frame.
    pub fn handle_text(&mut self, text: &str, actions: &mut Vec<SessionAction>) {
        self.take(message::parse(text), actions);
    }

    /// Handles what was read, in whatever dialect, or why it could not be.
    pub fn take(
        &mut self,
        read: Result<ClientMessage, MessageError>,
        actions: &mut Vec<SessionAction>,
    ) {
        match read {
            Ok(message) => self.handle(message, actions),
            Err(MessageError::Command { operation_id, info }) => {
                actions.push(SessionAction::Say(message::refused(&operation_id, &info)));
            }
            Err(MessageError::Stream {
                media_session_id,
                info,
            }) => {
                actions.push(failed(&media_session_id, &info));
            }
            Err(MessageError::Malformed(info)) => {
                self.malformed += 1;
                actions.push(SessionAction::Say(message::fail(&info)));
                if self.malformed >= MALFORMED_MAX {
                    actions.push(SessionAction::Close("too many malformed messages"));
                }
            }
        }
    }

    fn handle(&mut self, message: ClientMessage, actions: &mut Vec<SessionAction>) {
        match message {
            ClientMessage::Connection(connection) => {
                if self.login.is_some() {
                    // A second getUserData would make the SDK join twice.
                    actions.push(SessionAction::Say(message::fail("already connected")));
                    return;
                }
                self.login = Some(connection.login);
                self.presented_token = connection.auth_token;
                self.access_token = connection.access_token;
                let frame = message::user_data(&connection.received, &self.token);
                actions.push(SessionAction::Say(frame));
            }
            ClientMessage::Ping => actions.push(SessionAction::Say(message::pong())),
            ClientMessage::Pong => {
                self.unanswered = 0;
                self.tell_rooms(RoomRequest::Alive, actions);
            }
            ClientMessage::Ignored => {}
            ClientMessage::Snapshot { media_session_id } => {
                let frame = message::snapshot_failed(&media_session_id);
                actions.push(SessionAction::Say(frame));
            }
            ClientMessage::Command {
                operation_id,
                command,
            } => {
                self.command(operation_id, command, actions);
            }
            ClientMessage::Publish(offer) => self.open(offer, StreamRole::Publish, actions),
            ClientMessage::Play(offer) => self.open(offer, StreamRole::Play, actions),
            ClientMessage::Unpublish { media_session_id } => {
                self.end(media_session_id, StreamRole::Publish, actions);
            }
            ClientMessage::Stop { media_session_id } => {
                self.end(media_session_id, StreamRole::Play, actions);
            }
            ClientMessage::StreamEvent {
                media_session_id,
                kind,
                payload,
            } => self.stream_event(media_session_id, kind, payload, actions),
            ClientMessage::AvailableStream {
                media_session_id,
                name,
            } => self.ask_availability(media_session_id, name, actions),
        }
    }

    fn stream_event(
        &self,
        media_session_id: String,
        kind: String,
        payload: String,
        actions: &mut Vec<SessionAction>,
    ) {
        if let Some(room) = self.streams.get(&media_session_id) {
            actions.push(SessionAction::Ask {
                room: room.clone(),
                request: RoomRequest::StreamEvent {
                    media_session_id,
                    kind,
                    payload,
                },
            });
        }
    }

    /// The message names no room: the one asked is the one whose name starts
    /// the stream's, as the SDK builds names.
    fn ask_availability(
        &self,
        media_session_id: String,
        name: String,
        actions: &mut Vec<SessionAction>,
    ) {
        actions.push(match self.room_of_stream(&name) {
            Some(room) => SessionAction::Ask {
                room: room.to_string(),
                request: RoomRequest::AvailableStream {
                    media_session_id,
                    name,
                },
            },
            None => SessionAction::Say(message::render(&Notice::AvailableStream {
                media_session_id,
                available: false,
            })),
        });
    }

    fn command(
        &mut self,
        operation_id: String,
        command: RoomCommand,
        actions: &mut Vec<SessionAction>,
    ) {
        let Some(login) = self.login.clone() else {
            let frame = message::refused(&operation_id, "Session is not established");
            actions.push(SessionAction::Say(frame));
            return;
        };
        let (room, request) = match command {
            RoomCommand::Join { room, record } => {
                if !self.rooms.contains_key(&room) && self.rooms.len() >= SESSION_ROOMS_MAX {
                    let frame = message::refused(&operation_id, "Too many rooms joined");
                    actions.push(SessionAction::Say(frame));
                    return;
                }
                self.rooms.entry(room.clone()).or_default().asked += 1;
                let request = RoomRequest::Join {
                    operation_id,
                    login,
                    token: self.token.clone(),
                    presented_token: self.presented_token.clone(),
                    record,
                };
                (room, request)
            }
            RoomCommand::Leave { room } => {
                self.rooms.remove(&room);
                (room, RoomRequest::Leave { operation_id })
            }
            RoomCommand::SendMessage { room, to, text } => (
                room,
                RoomRequest::SendMessage {
                    operation_id,
                    to,
                    text,
                },
            ),
        };
        actions.push(SessionAction::Ask { room, request });
    }

    fn open(&mut self, offer: StreamOffer, role: StreamRole, actions: &mut Vec<SessionAction>) {
        let media_session_id = offer.media_session_id.clone();
        if !self.is_established() {
            actions.push(failed(&media_session_id, "Session not ready"));
            return;
        }
        if self.streams.contains_key(&media_session_id) {
            actions.push(failed(&media_session_id, info::SESSION_ID_IN_USE));
            return;
        }
        if self.streams.len() >= SESSION_ROOMS_MAX * MEMBER_STREAMS_MAX {
            actions.push(failed(&media_session_id, info::TOO_MANY_STREAMS));
            return;
        }
        let room = offer.room.clone();
        self.streams.insert(media_session_id, room.clone());
        let request = RoomRequest::Open { role, offer };
        actions.push(SessionAction::Ask { room, request });
    }

    /// A stop is always answered, also after leave and for a stream that is gone.
    fn end(
        &mut self,
        media_session_id: String,
        role: StreamRole,
        actions: &mut Vec<SessionAction>,
    ) {
        actions.push(match self.streams.remove(&media_session_id) {
            Some(room) => SessionAction::Ask {
                room,
                request: RoomRequest::End {
                    role,
                    media_session_id,
                },
            },
            None => SessionAction::Say(message::stream_status(
                &media_session_id,
                role.ended(),
                Some(info::STOPPED_BY_USER),
            )),
        });
    }

    /// A join was answered. When the last of them is refused, and none was
    /// accepted before, the room need not hear of this session's end.
    pub fn join_answered(&mut self, room: &str, accepted: bool) {
        let Some(membership) = self.rooms.get_mut(room) else {
            // Left meanwhile: the leave follows the join on its way.
            return;
        };
        membership.asked = membership.asked.saturating_sub(1);
        membership.is_member |= accepted;
        if membership.asked == 0 && !membership.is_member {
            self.rooms.remove(room);
        }
    }

    /// The room a stream of this name is in: streams are named after their
    /// room. Of two rooms one of whose names starts the other's, the longer.
    pub fn room_of_stream(&self, name: &str) -> Option<&str> {
        let named = self
            .rooms
            .keys()
            .filter(|room| name.starts_with(room.as_str()));
        named.max_by_key(|room| room.len()).map(String::as_str)
    }

    /// A room ended this stream by itself: its id may be used again.
    pub fn forget_stream(&mut self, media_session_id: &str) {
        self.streams.remove(media_session_id);
    }

    /// When [`Session::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Time {
        self.next_ping
    }

    /// Pings, or gives the client up after too many unanswered pings.
    pub fn handle_deadline(&mut self, now: Time, actions: &mut Vec<SessionAction>) {
        if now < self.next_ping {
            return;
        }
        if self.unanswered >= self.keep_alive.probes || !self.is_established() {
            // No reason: a client that only slept is welcome back.
            actions.push(SessionAction::Close(""));
            return;
        }
        self.unanswered += 1;
        self.next_ping = now + self.keep_alive.interval;
        actions.push(SessionAction::Say(message::ping()));
    }

    /// The socket is gone: every room the session may be in must hear it.
    pub fn end_session(&mut self, actions: &mut Vec<SessionAction>) {
        self.tell_rooms(RoomRequest::Gone, actions);
        self.rooms.clear();
        self.streams.clear();
    }

    fn tell_rooms(&self, request: RoomRequest, actions: &mut Vec<SessionAction>) {
        // Streams may live in a room that was left and not yet stopped.
        let rooms: std::collections::BTreeSet<&String> =
            self.rooms.keys().chain(self.streams.values()).collect();
        for room in rooms {
            actions.push(SessionAction::Ask {
                room: room.clone(),
                request: request.clone(),
            });
        }
    }
}

fn failed(media_session_id: &str, info: &str) -> SessionAction {
    let frame = message::stream_status(media_session_id, StreamStatus::Failed, Some(info));
    SessionAction::Say(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: KeepAlive = KeepAlive {
        interval: Span::from_secs(5),
        probes: 2,
    };
    const CONNECT: &str =
        r#"{"message":"connection","data":[{"appKey":"roomApp","custom":{"login":"Ann"}}]}"#;

    fn said(actions: &[SessionAction]) -> Vec<String> {
        actions
            .iter()
            .filter_map(|action| match action {
                SessionAction::Say(frame) => Some(frame.text()),
                _ => None,
            })
            .collect()
    }

    fn session() -> (Session, Vec<SessionAction>) {
        let mut session = Session::new(Time::ZERO, "token".into(), KEEP_ALIVE);
        let mut actions = Vec::new();
        session.handle_text(CONNECT, &mut actions);
        assert!(said(&actions)[0].contains("getUserData"));
        actions.clear();
        (session, actions)
    }

    fn join(room: &str) -> String {
        format!(
            r#"{{"message":"sendData","data":[{{"operationId":"o","payload":{{"command":"join","options":{{"name":"{room}"}}}}}}]}}"#
        )
    }

    #[test]
    fn nothing_reaches_a_room_before_connection() {
        let mut session = Session::new(Time::ZERO, "token".into(), KEEP_ALIVE);
        let mut actions = Vec::new();
        session.handle_text(&join("r"), &mut actions);
        let publish = r#"{"message":"publishStream","data":[{"mediaSessionId":"m","name":"n","sdp":"x","custom":{"name":"r"}}]}"#;
        session.handle_text(publish, &mut actions);
        let said = said(&actions);
        assert_eq!(said.len(), actions.len());
        assert!(said.iter().all(|text| text.contains("FAILED")));
    }

    #[test]
    fn a_second_connection_does_not_establish_twice() {
        let (mut session, mut actions) = session();
        session.handle_text(CONNECT, &mut actions);
        assert!(said(&actions)[0].contains("already connected"));
    }

    #[test]
    fn stops_are_answered_even_for_unknown_streams() {
        let (mut session, mut actions) = session();
        session.handle_text(
            r#"{"message":"stopStream","data":[{"mediaSessionId":"x"}]}"#,
            &mut actions,
        );
        assert!(said(&actions)[0].contains("STOPPED"));
    }

    #[test]
    fn a_stop_finds_its_room_after_leave() {
        let (mut session, mut actions) = session();
        session.handle_text(&join("r"), &mut actions);
        let publish = r#"{"message":"publishStream","data":[{"mediaSessionId":"m","name":"n","sdp":"x","custom":{"name":"r"}}]}"#;
        session.handle_text(publish, &mut actions);
        session.handle_text(&join("r").replace("join", "leave"), &mut actions);
        actions.clear();
        session.handle_text(
            r#"{"message":"unPublishStream","data":[{"mediaSessionId":"m"}]}"#,
            &mut actions,
        );
        let request = RoomRequest::End {
            role: StreamRole::Publish,
            media_session_id: "m".into(),
        };
        assert_eq!(
            actions,
            [SessionAction::Ask {
                room: "r".into(),
                request
            }]
        );
    }

    #[test]
    fn unanswered_pings_close_and_pongs_keep() {
        let (mut session, mut actions) = session();
        for _ in 0..5 {
            session.handle_deadline(session.deadline(), &mut actions);
            session.handle_text(r#"{"message":"pong","data":[null]}"#, &mut actions);
        }
        assert!(!actions.iter().any(|a| matches!(a, SessionAction::Close(_))));
        for _ in 0..3 {
            session.handle_deadline(session.deadline(), &mut actions);
        }
        assert_eq!(actions.last(), Some(&SessionAction::Close("")));
    }

    #[test]
    fn the_end_is_told_to_every_room_once() {
        let (mut session, mut actions) = session();
        session.handle_text(&join("r"), &mut actions);
        session.handle_text(&join("q"), &mut actions);
        session.handle_text(&join("r"), &mut actions);
        actions.clear();
        session.end_session(&mut actions);
        assert_eq!(actions.len(), 2);
    }

    #[test]
    fn malformed_frames_are_tolerated_up_to_a_point() {
        let (mut session, mut actions) = session();
        for _ in 0..MALFORMED_MAX {
            assert!(!actions.iter().any(|a| matches!(a, SessionAction::Close(_))));
            session.handle_text("{", &mut actions);
        }
        assert!(matches!(actions.last(), Some(SessionAction::Close(_))));
    }
}
