//! WebSocket connections of a core. The sessions behind them are in
//! [`super::sessions`].

use bytes::Bytes;

use crate::base::time::Time;
use crate::core::border::{ConnectionId, Outbox};
use crate::core::connection::Stage;
use crate::core::machine::Core;
use crate::proto::ws::{WebSocket, WsEvent};
use crate::signal::session::Session;

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
        if let Some(Stage::Session(end)) = self.connections.get_mut(&id).map(|c| &mut c.stage) {
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
        if let Some(session) = self.session_mut(id) {
            session.handle_deadline(now, &mut actions);
        }
        self.perform(now, id, actions, out);
    }

    pub(super) fn session_count(&self) -> u64 {
        let sessions = self.connections.values();
        sessions
            .filter(|connection| matches!(connection.stage, Stage::Session(_)))
            .count() as u64
    }
}
