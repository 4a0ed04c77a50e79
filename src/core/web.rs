//! The web port of a core: HTTP requests, and WebSocket connections with the
//! sessions behind them.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::base::limits::{HTTP_HEAD_MAX, HTTP_HEAD_MAX_BYTES};
use crate::base::time::Time;
use crate::core::border::{CloseCause, ConnectionId, Outbox, RenderForm};
use crate::core::machine::{Core, Timer};
use crate::ops::event::Event;
use crate::ops::rest::{self, http_response};
use crate::proto::ws::{Goodbye, WebSocket, WsEvent};
use crate::room::notice::{Notice, StreamStatus, info};
use crate::signal::message;
use crate::signal::session::{RoomRequest, Session, SessionAction};
use crate::web;
use crate::wire::http;

/// One TCP connection of the web port.
pub(super) struct Connection {
    peer: SocketAddr,
    stage: Stage,
    armed: Option<Time>,
}

enum Stage {
    /// Waiting for a request head, until the deadline.
    Http {
        head: Vec<u8>,
        deadline: Time,
    },
    /// A request is being answered by a render; what follows waits.
    Rendering,
    Session(Box<WsSession>),
    /// Only the driver's `Closed` is still to come.
    Closing,
}

struct WsSession {
    ws: WebSocket,
    session: Session,
}

impl Core {
    pub(super) fn accept(&mut self, now: Time, id: ConnectionId, peer: SocketAddr) {
        self.counters.connections_accepted += 1;
        let deadline = now + HTTP_HEAD_MAX;
        let stage = Stage::Http {
            head: Vec::new(),
            deadline,
        };
        let connection = Connection {
            peer,
            stage,
            armed: None,
        };
        self.connections.insert(id, connection);
        self.rearm_connection(id);
    }

    pub(super) fn read(&mut self, now: Time, id: ConnectionId, bytes: &[u8], out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match &mut connection.stage {
            Stage::Http { head, .. } => {
                head.extend_from_slice(bytes);
                self.read_http(now, id, out);
            }
            Stage::Session(end) => {
                end.ws.feed(bytes);
                self.poll_session(id, out);
            }
            // Nobody pipelines behind a render but to hurt.
            Stage::Rendering => self.close(id, out),
            Stage::Closing => {}
        }
    }

    /// Answers every complete request in the buffer.
    fn read_http(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        loop {
            let Some(Connection {
                stage: Stage::Http { head, .. },
                peer,
                ..
            }) = self.connections.get_mut(&id)
            else {
                return;
            };
            let request = match http::parse(head) {
                Ok(None) if head.len() <= HTTP_HEAD_MAX_BYTES => return,
                Ok(None) => Err((431, "request head too large")),
                Err(http::HttpError::Malformed) => Err((400, "not an HTTP/1.1 request")),
                Err(http::HttpError::BadUpgrade) => Err((426, "WebSocket version 13 is needed")),
                Ok(Some(request)) => Ok(request),
            };
            let request = match request {
                Ok(request) => request,
                Err((status, text)) => {
                    self.respond(id, status, text, false, out);
                    return;
                }
            };
            if let Some(key) = request.websocket_key {
                let response = crate::proto::ws::upgrade_response(key);
                let rest = head.split_off(request.len_bytes);
                out.writes.push((id, Bytes::from(response)));
                self.upgrade(now, id, &rest, out);
                return;
            }
            let answer = answer(&request, peer.ip().is_loopback());
            let keep_alive = request.keep_alive;
            let rest = head.split_off(request.len_bytes);
            *head = rest;
            match answer {
                Answer::Done(response) => {
                    out.writes.push((id, Bytes::from(response)));
                    if !keep_alive {
                        self.close(id, out);
                        return;
                    }
                }
                Answer::Render(form) => {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.stage = Stage::Rendering;
                    }
                    self.ask_snapshots(id, form, out);
                    return;
                }
            }
        }
    }

    fn respond(
        &mut self,
        id: ConnectionId,
        status: u16,
        text: &str,
        keep_alive: bool,
        out: &mut Outbox,
    ) {
        let response = plain(status, text, keep_alive);
        out.writes.push((id, Bytes::from(response)));
        if !keep_alive {
            self.close(id, out);
        }
    }

    /// A render came back.
    pub(super) fn rendered(&mut self, id: ConnectionId, response: Bytes, out: &mut Outbox) {
        // Renders say `connection: close`, so nothing needs to follow them.
        if let Some(connection) = self.connections.get(&id)
            && matches!(connection.stage, Stage::Rendering)
        {
            out.writes.push((id, response));
            self.close(id, out);
        }
    }

    fn upgrade(&mut self, now: Time, id: ConnectionId, rest: &[u8], out: &mut Outbox) {
        let token = self.secret.token();
        let session = Session::new(now, token, self.setup.keep_alive);
        let mut ws = WebSocket::new();
        ws.feed(rest);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Session(Box::new(WsSession { ws, session }));
        }
        self.poll_session(id, out);
        self.rearm_connection(id);
    }

    /// Reads every message the buffer holds.
    fn poll_session(&mut self, id: ConnectionId, out: &mut Outbox) {
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
        self.perform(id, actions, out);
        if closed {
            self.flush_session(id, out);
            self.end_session(id, out);
            self.close(id, out);
        }
    }

    /// Carries out what a session decided, in order.
    fn perform(&mut self, id: ConnectionId, actions: Vec<SessionAction>, out: &mut Outbox) {
        for action in actions {
            match action {
                SessionAction::Say(text) => {
                    if let Some(end) = self.session_mut(id) {
                        end.ws.send_text(&text);
                    }
                }
                SessionAction::Ask { room, request } => self.ask(id, room, request, out),
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

    /// Passes a request on, unless the cores' mailboxes are congested: then
    /// new work is refused while what frees resources still passes.
    fn ask(&mut self, id: ConnectionId, room: String, request: RoomRequest, out: &mut Outbox) {
        let refusal = match &request {
            _ if !self.is_congested() => None,
            RoomRequest::Join { operation_id, .. }
            | RoomRequest::SendMessage { operation_id, .. } => {
                Some(message::refused(operation_id, info::SERVER_FULL))
            }
            RoomRequest::Open { offer, .. } => Some(message::stream_status(
                &offer.media_session_id,
                StreamStatus::Failed,
                Some(info::SERVER_FULL),
            )),
            _ => None,
        };
        match refusal {
            Some(text) => {
                if let Some(end) = self.session_mut(id) {
                    end.ws.send_text(&text);
                }
            }
            None => self.ask_room(room, id, request, out),
        }
    }

    /// Another session took this one's login: it must not come back by itself
    /// and take it again, so it is told why.
    pub(super) fn dismiss(&mut self, id: ConnectionId, out: &mut Outbox) {
        if let Some(end) = self.session_mut(id) {
            end.ws.close(Goodbye::Policy, "replaced by a new session");
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
            end.ws.send_text(&text);
            self.flush_session(*id, out);
        }
    }

    pub(super) fn closed(&mut self, id: ConnectionId, cause: CloseCause, out: &mut Outbox) {
        if cause == CloseCause::Overflow {
            let why = "client reads too slowly";
            self.event(Event::SessionRefused { why }, out);
        }
        self.end_session(id, out);
        self.connections.remove(&id);
    }

    pub(super) fn wake_connection(
        &mut self,
        now: Time,
        id: ConnectionId,
        due: Time,
        out: &mut Outbox,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.armed != Some(due) {
            return;
        }
        connection.armed = None;
        match &mut connection.stage {
            Stage::Http { head, deadline } if now >= *deadline => {
                if head.is_empty() {
                    // Idle between requests: no answer is owed.
                    self.close(id, out);
                } else {
                    self.respond(id, 408, "request took too long", false, out);
                }
            }
            Stage::Session(end) => {
                let mut actions = Vec::new();
                end.session.handle_deadline(now, &mut actions);
                self.perform(id, actions, out);
            }
            Stage::Http { .. } | Stage::Rendering | Stage::Closing => {}
        }
        self.rearm_connection(id);
    }

    fn rearm_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let due = match &connection.stage {
            Stage::Http { deadline, .. } => *deadline,
            Stage::Session(end) => end.session.deadline(),
            Stage::Rendering | Stage::Closing => return,
        };
        if connection.armed.is_none_or(|armed| due < armed) {
            connection.armed = Some(due);
            self.wheel.arm(due, Timer::Connection(id, due));
        }
    }

    /// Tells every session goodbye; their rooms hear that they are gone.
    pub(super) fn close_every_connection(&mut self, out: &mut Outbox) {
        let mut ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(end) = self.session_mut(id) {
                // No reason: a client takes one as meant for it and stays away,
                // but is welcome back when the server is.
                end.ws.close(Goodbye::GoingAway, "");
            }
            self.flush_session(id, out);
            self.end_session(id, out);
            self.close(id, out);
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
            if !bytes.is_empty() {
                out.writes.push((id, Bytes::from(bytes)));
            }
        }
    }

    /// The session's rooms hear it is gone; once.
    fn end_session(&mut self, id: ConnectionId, out: &mut Outbox) {
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

    fn close(&mut self, id: ConnectionId, out: &mut Outbox) {
        if let Some(connection) = self.connections.get_mut(&id)
            && !matches!(connection.stage, Stage::Closing)
        {
            connection.stage = Stage::Closing;
            out.closes.push(id);
        }
    }
}

enum Answer {
    Done(Vec<u8>),
    Render(RenderForm),
}

/// What a request gets. Operators' pages answer loopback only: nobody lists a
/// stranger's rooms.
fn answer(request: &http::RequestHead<'_>, from_loopback: bool) -> Answer {
    let keep_alive = request.keep_alive;
    let head_only = request.method == "HEAD";
    if request.method != "GET" && !head_only {
        return Answer::Done(plain(405, "only GET and HEAD are served", keep_alive));
    }
    match request.path {
        "/healthz" => Answer::Done(plain(200, "ok", keep_alive)),
        "/api/rooms" | "/metrics" if !from_loopback => {
            let text = "answered on loopback only";
            Answer::Done(plain(403, text, keep_alive))
        }
        "/api/rooms" => Answer::Render(RenderForm::RoomsJson),
        "/metrics" => Answer::Render(RenderForm::Metrics),
        path => match web::find(path) {
            Some(asset) => Answer::Done(asset_response(asset, keep_alive, head_only)),
            None => Answer::Done(plain(404, "no such page", keep_alive)),
        },
    }
}

fn asset_response(asset: &web::Asset, keep_alive: bool, head_only: bool) -> Vec<u8> {
    let connection = connection_of(keep_alive);
    let kind = asset.content_type;
    let extra = [("Content-Security-Policy", web::CONTENT_SECURITY_POLICY)];
    if head_only {
        rest::http_response_head(200, kind, asset.body.len(), connection, &extra)
    } else {
        http_response(200, kind, asset.body, connection, &extra)
    }
}

fn plain(status: u16, text: &str, keep_alive: bool) -> Vec<u8> {
    let body = format!("{text}\n");
    let kind = "text/plain; charset=utf-8";
    http_response(
        status,
        kind,
        body.as_bytes(),
        connection_of(keep_alive),
        &[],
    )
}

fn connection_of(keep_alive: bool) -> rest::Connection {
    if keep_alive {
        rest::Connection::KeepAlive
    } else {
        rest::Connection::Close
    }
}
