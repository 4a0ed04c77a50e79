//! The sessions behind connections, whichever dialect they speak: what a client
//! asks is judged here (token, rates, congestion) before a room hears it, and
//! what a room says reaches the client in its own words.

use std::cell::OnceCell;

use bytes::Bytes;

use crate::base::limits::MESSAGE_UNIT_BYTES;
use crate::base::time::Time;
use crate::core::border::{ConnectionId, Outbox};
use crate::core::connection::Stage;
use crate::core::machine::Core;
use crate::core::mail::SessionRef;
use crate::proto::ws::Goodbye;
use crate::room::notice::{Notice, StreamStatus, info};
use crate::room::roster::StreamRole;
use crate::signal::flash;
use crate::signal::message::{self, Frame};
use crate::signal::session::{RoomRequest, Session, SessionAction};

/// A frame for any number of clients: put into text once.
struct Saying<'a> {
    frame: &'a Frame,
    text: OnceCell<String>,
}

impl<'a> Saying<'a> {
    fn new(frame: &'a Frame) -> Self {
        Saying {
            frame,
            text: OnceCell::new(),
        }
    }

    fn text(&self) -> &str {
        self.text.get_or_init(|| self.frame.text())
    }
}

impl Core {
    /// Carries out what a session decided, in order.
    pub(super) fn perform(
        &mut self,
        now: Time,
        id: ConnectionId,
        actions: Vec<SessionAction>,
        out: &mut Outbox,
    ) {
        for action in actions {
            match action {
                SessionAction::Say(frame) => self.say(id, &Saying::new(&frame)),
                SessionAction::Ask { room, request } => self.ask(now, id, room, request, out),
                SessionAction::Close(reason) => return self.dismiss(id, reason, out),
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
        let frame = match &request {
            RoomRequest::Join { operation_id, .. }
            | RoomRequest::SendMessage { operation_id, .. } => message::refused(operation_id, why),
            RoomRequest::Open { offer, .. } => {
                message::stream_status(&offer.media_session_id, StreamStatus::Failed, Some(why))
            }
            _ => return,
        };
        if let Some(session) = self.session_mut(id) {
            match &request {
                RoomRequest::Join { .. } => session.join_answered(&room, false),
                RoomRequest::Open { offer, .. } => {
                    session.forget_stream(&offer.media_session_id);
                }
                _ => {}
            }
        }
        self.say(id, &Saying::new(&frame));
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
            RoomRequest::Open { role, offer } => {
                let publishes = *role == StreamRole::Publish;
                let records = publishes && offer.record;
                self.refuse_token(now, id, room, publishes, records)
            }
            RoomRequest::Join { record, .. } => self.refuse_token(now, id, room, false, *record),
            _ => self.refuse_token(now, id, room, false, false),
        }
    }

    /// What the session's access token says against this; each join, publish
    /// and play asks it anew, because it may have expired.
    fn refuse_token(
        &mut self,
        now: Time,
        id: ConnectionId,
        room: &str,
        publishes: bool,
        records: bool,
    ) -> Option<&'static str> {
        let now_unix_s = self.unix_s(now);
        let session = self.session(id)?;
        let login = session.login().unwrap_or_default();
        let token = session.access_token();
        match self
            .setup
            .rules
            .access
            .judge(token, room, login, now_unix_s)
        {
            Err(denial) => Some(denial.info()),
            Ok(grant) if publishes && !grant.publish => Some(info::RESTRICTED),
            Ok(grant) if records && !grant.record => Some(info::NO_RECORDING),
            Ok(_) => None,
        }
    }

    /// A session is put out: it must not come back by itself, so it is told why.
    pub(super) fn dismiss(&mut self, id: ConnectionId, why: &'static str, out: &mut Outbox) {
        match self.connections.get_mut(&id).map(|c| &mut c.stage) {
            Some(Stage::Session(end)) => end.ws.close(Goodbye::Policy, why),
            Some(Stage::Rtmp(end)) => end.say_why(why),
            _ => {}
        }
        self.flush_session(id, out);
        self.end_session(id, out);
        self.close(id, out);
    }

    /// A room's notice for sessions of this core.
    pub(super) fn deliver(&mut self, sessions: &[ConnectionId], notice: &Notice, out: &mut Outbox) {
        let frame = message::render(notice);
        let saying = Saying::new(&frame);
        for id in sessions {
            let Some(session) = self.session_mut(*id) else {
                continue;
            };
            if let Notice::StreamStatus {
                media_session_id,
                status: StreamStatus::Failed | StreamStatus::Stopped | StreamStatus::Unpublished,
                ..
            } = notice
            {
                session.forget_stream(media_session_id);
            }
            if let Notice::JoinAnswered { room, refused, .. } = notice {
                session.join_answered(room, refused.is_none());
            }
            self.say(*id, &saying);
            self.flush_session(*id, out);
        }
    }

    /// The server ends.
    pub(super) fn say_goodbye(&mut self, id: ConnectionId, out: &mut Outbox) {
        match self.connections.get_mut(&id).map(|c| &mut c.stage) {
            // No reason: a client takes one as meant for it and stays away,
            // but is welcome back when the server is.
            Some(Stage::Session(end)) => end.ws.close(Goodbye::GoingAway, ""),
            Some(Stage::Rtmp(end)) => end.rtmp.request_reconnect(),
            _ => {}
        }
        self.flush_session(id, out);
    }

    pub(super) fn session_ref(&self, connection: ConnectionId) -> SessionRef {
        SessionRef {
            core: self.id(),
            connection,
        }
    }

    fn session(&self, id: ConnectionId) -> Option<&Session> {
        match &self.connections.get(&id)?.stage {
            Stage::Session(end) => Some(&end.session),
            Stage::Rtmp(end) => end.talk.as_ref(),
            _ => None,
        }
    }

    pub(super) fn session_mut(&mut self, id: ConnectionId) -> Option<&mut Session> {
        match &mut self.connections.get_mut(&id)?.stage {
            Stage::Session(end) => Some(&mut end.session),
            Stage::Rtmp(end) => end.talk.as_mut(),
            _ => None,
        }
    }

    fn say(&mut self, id: ConnectionId, saying: &Saying<'_>) {
        match self.connections.get_mut(&id).map(|c| &mut c.stage) {
            Some(Stage::Session(end)) => end.ws.send_text(saying.text()),
            Some(Stage::Rtmp(end)) => {
                if let Some((name, arguments)) = flash::call_of(saying.frame) {
                    end.rtmp.call_client(name, &arguments);
                }
            }
            _ => {}
        }
    }

    /// Writes what the session's dialect has put into bytes.
    pub(super) fn flush_session(&mut self, id: ConnectionId, out: &mut Outbox) {
        let bytes = match self.connections.get_mut(&id).map(|c| &mut c.stage) {
            Some(Stage::Session(end)) => end.ws.take_output(),
            Some(Stage::Rtmp(end)) => {
                let bytes = end.rtmp.take_output();
                if end.outlet.holds_answers() && !bytes.is_empty() {
                    if !end.outlet.answer(Bytes::from(bytes)) {
                        self.end_session(id, out);
                        self.close(id, out);
                    }
                    return;
                }
                bytes
            }
            _ => return,
        };
        if !bytes.is_empty() {
            self.send(id, Bytes::from(bytes), out);
        }
    }

    /// The session's rooms hear it is gone; once.
    pub(super) fn end_session(&mut self, id: ConnectionId, out: &mut Outbox) {
        let mut actions = Vec::new();
        if let Some(session) = self.session_mut(id) {
            session.end_session(&mut actions);
        }
        self.end_rtmp_streams(id, out);
        for action in actions {
            if let SessionAction::Ask { room, request } = action {
                self.ask_room(room, id, request, out);
            }
        }
    }
}
