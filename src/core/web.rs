//! WebSocket connections of a core and the sessions behind them: what a client
//! asks is judged here (token, rates, congestion) before a room hears it.

use bytes::Bytes;

use crate::base::limits::MESSAGE_UNIT_BYTES;
use crate::base::time::Time;
use crate::core::border::{ConnectionId, Outbox};
use crate::core::connection::Stage;
use crate::core::machine::Core;
use crate::core::mail::SessionRef;
use crate::proto::ws::{Goodbye, WebSocket, WsEvent};
use crate::room::notice::{Notice, StreamStatus, info};
use crate::room::roster::StreamRole;
use crate::signal::message;
use crate::signal::session::{RoomRequest, Session, SessionAction};

pub(super) struct WsSession {
    pub ws: WebSocket,
    pub session: Session,
}

impl Core {
    /// Answers an upgrade; `rest` came behind it.
    pub(super) fn upgrade(
        &mut self,
        now: Time,
        id: ConnectionId,
        key: &str,
        rest: &[u8],
        out: &mut Outbox,
    ) {
        let response = crate::proto::ws::upgrade_response(key);
        self.send(id, Bytes::from(response), out);
        let token = self.secret.token();
        let session = Session::new(now, token, self.setup.keep_alive);
        let mut ws = WebSocket::new();
        ws.feed(rest);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Session(Box::new(WsSession { ws, session }));
        }
        self.poll_session(now, id, out);
        self.rearm_connection(id);
    }

    /// Reads every message the buffer holds.
    pub(super) fn poll_session(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        let mut actions = Vec::new();
        let mut closed = false;
        if let Some(end) = self.session_mut(id) {
            while let Some(event) = end.ws.poll() {
                match event {
                    WsEvent::Text(text) => end.session.handle_text(&text, &mut actions),
                    WsEvent::Closed => closed = true,
                }
            }
        }
        self.perform(now, id, actions, out);
        if closed {
            self.flush_session(id, out);
            self.end_session(id, out);
            self.close(id, out);
        }
    }

    pub(super) fn wake_session(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        let mut actions = Vec::new();
        if let Some(end) = self.session_mut(id) {
            end.session.handle_deadline(now, &mut actions);
        }
        self.perform(now, id, actions, out);
    }

    /// Carries out what a session decided, in order.
    fn perform(
        &mut self,
        now: Time,
        id: ConnectionId,
        actions: Vec<SessionAction>,
        out: &mut Outbox,
    ) {
        for action in actions {
            match action {
                SessionAction::Say(text) => {
                    if let Some(end) = self.session_mut(id) {
                        end.ws.send_text(&text);
                    }
                }
                SessionAction::Ask { room, request } => self.ask(now, id, room, request, out),
                SessionAction::Close(reason) => {
                    if let Some(end) = self.session_mut(id) {
                        end.ws.close(Goodbye::Policy, reason);
                    }
                    self.flush_session(id, out);
                    self.end_session(id, out);
                    self.close(id, out);
                    return;
                }
            }
        }
        self.flush_session(id, out);
    }

    /// Passes a request on, or answers why it is refused.
    fn ask(
        &mut self,
        now: Time,
        id: ConnectionId,
        room: String,
        request: RoomRequest,
        out: &mut Outbox,
    ) {
        let Some(why) = self.refuse(now, id, &room, &request) else {
            return self.ask_room(room, id, request, out);
        };
        let text = match &request {
            RoomRequest::Join { operation_id, .. }
            | RoomRequest::SendMessage { operation_id, .. } => message::refused(operation_id, why),
            RoomRequest::Open { offer, .. } => {
                message::stream_status(&offer.media_session_id, StreamStatus::Failed, Some(why))
            }
            _ => return,
        };
        if let Some(end) = self.session_mut(id) {
            match &request {
                RoomRequest::Join { .. } => end.session.join_answered(&room, false),
                RoomRequest::Open { offer, .. } => {
                    end.session.forget_stream(&offer.media_session_id);
                }
                _ => {}
            }
            end.ws.send_text(&text);
        }
    }

    /// Why a room does not get to hear this. While the cores' mailboxes are
    /// congested new work is refused, and what frees resources still passes.
    fn refuse(
        &mut self,
        now: Time,
        id: ConnectionId,
        room: &str,
        request: &RoomRequest,
    ) -> Option<&'static str> {
        let asks = matches!(
            request,
            RoomRequest::Join { .. }
                | RoomRequest::SendMessage { .. }
                | RoomRequest::StreamEvent { .. }
                | RoomRequest::Open { .. }
        );
        if !asks {
            return None;
        }
        if self.is_congested() {
            return Some(info::SERVER_FULL);
        }
        let peer = self.connections.get(&id)?.peer.ip();
        match request {
            RoomRequest::Join { .. } if !self.rates.joins.allow(now, peer) => {
                Some(info::TOO_MANY_JOINS)
            }
            RoomRequest::SendMessage { text: said, .. }
            | RoomRequest::StreamEvent { payload: said, .. } => {
                let units = 1 + said.len() / MESSAGE_UNIT_BYTES;
                let rate = &mut self.rates.messages;
                let allowed = (0..units).all(|_| rate.allow(now, peer));
                (!allowed).then_some(info::TOO_MANY_MESSAGES)
            }
            RoomRequest::Open { role, .. } => self.refuse_token(now, id, room, Some(*role)),
            _ => self.refuse_token(now, id, room, None),
        }
    }

    /// What the session's access token says against this; each join, publish
    /// and play asks it anew, because it may have expired.
    fn refuse_token(
        &mut self,
        now: Time,
        id: ConnectionId,
        room: &str,
        role: Option<StreamRole>,
    ) -> Option<&'static str> {
        let now_unix_s = self.unix_s(now);
        let Stage::Session(end) = &self.connections.get(&id)?.stage else {
            return None;
        };
        let login = end.session.login().unwrap_or_default();
        let token = end.session.access_token();
        match self
            .setup
            .rules
            .access
            .judge(token, room, login, now_unix_s)
        {
            Err(denial) => Some(denial.info()),
            Ok(grant) if role == Some(StreamRole::Publish) && !grant.publish => {
                Some(info::RESTRICTED)
            }
            Ok(_) => None,
        }
    }

    /// A session is put out: it must not come back by itself, so it is told why.
    pub(super) fn dismiss(&mut self, id: ConnectionId, why: &'static str, out: &mut Outbox) {
        if let Some(end) = self.session_mut(id) {
            end.ws.close(Goodbye::Policy, why);
        }
        self.flush_session(id, out);
        self.end_session(id, out);
        self.close(id, out);
    }

    /// A room's notice for sessions of this core.
    pub(super) fn deliver(&mut self, sessions: &[ConnectionId], notice: &Notice, out: &mut Outbox) {
        let text = message::render(notice);
        for id in sessions {
            let Some(end) = self.session_mut(*id) else {
                continue;
            };
            if let Notice::StreamStatus {
                media_session_id,
                status: StreamStatus::Failed | StreamStatus::Stopped | StreamStatus::Unpublished,
                ..
            } = notice
            {
                end.session.forget_stream(media_session_id);
            }
            if let Notice::JoinAnswered { room, refused, .. } = notice {
                end.session.join_answered(room, refused.is_none());
            }
            end.ws.send_text(&text);
            self.flush_session(*id, out);
        }
    }

    /// The server ends.
    pub(super) fn say_goodbye(&mut self, id: ConnectionId, out: &mut Outbox) {
        if let Some(end) = self.session_mut(id) {
            // No reason: a client takes one as meant for it and stays away,
            // but is welcome back when the server is.
            end.ws.close(Goodbye::GoingAway, "");
        }
        self.flush_session(id, out);
    }

    pub(super) fn session_ref(&self, connection: ConnectionId) -> SessionRef {
        SessionRef {
            core: self.id(),
            connection,
        }
    }

    pub(super) fn session_count(&self) -> u64 {
        let sessions = self.connections.values();
        sessions
            .filter(|connection| matches!(connection.stage, Stage::Session(_)))
            .count() as u64
    }

    fn session_mut(&mut self, id: ConnectionId) -> Option<&mut WsSession> {
        match &mut self.connections.get_mut(&id)?.stage {
            Stage::Session(end) => Some(end),
            _ => None,
        }
    }

    fn flush_session(&mut self, id: ConnectionId, out: &mut Outbox) {
        if let Some(end) = self.session_mut(id) {
            let bytes = end.ws.take_output();
            self.send(id, Bytes::from(bytes), out);
        }
    }

    /// The session's rooms hear it is gone; once.
    pub(super) fn end_session(&mut self, id: ConnectionId, out: &mut Outbox) {
        let mut actions = Vec::new();
        if let Some(end) = self.session_mut(id) {
            end.session.end_session(&mut actions);
        }
        for action in actions {
            if let SessionAction::Ask { room, request } = action {
                self.ask_room(room, id, request, out);
            }
        }
    }
}
