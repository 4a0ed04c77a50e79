//! TCP connections of a core: what they are doing, their TLS, and the two ways
//! bytes leave: at once, or piece by piece at the reader's pace.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::base::limits::{HTTP_HEAD_MAX, HTTP_STALL_MAX};
use crate::base::time::Time;
use crate::core::border::{CloseCause, ConnectionId, Door, Outbox};
use crate::core::http::Exchange;
use crate::core::machine::{Core, Timer};
use crate::core::rtmp::RtmpEnd;
use crate::core::web::WsSession;
use crate::ops::event::Event;
use crate::proto::rtmp;
use crate::proto::tls::{Progress, Tls};

pub(super) struct Connection {
    pub peer: SocketAddr,
    pub stage: Stage,
    tls: Option<Box<Tls>>,
    armed: Option<Time>,
}

pub(super) enum Stage {
    Http(Exchange),
    Session(Box<WsSession>),
    Rtmp(Box<RtmpEnd>),
    /// Only the driver's `Closed` is still to come.
    Closing,
}

impl Connection {
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl Core {
    pub(super) fn accept(
        &mut self,
        now: Time,
        id: ConnectionId,
        peer: SocketAddr,
        door: Door,
        out: &mut Outbox,
    ) {
        self.counters.connections_accepted += 1;
        let identity = self.tls.as_ref().filter(|_| door.is_tls());
        let tls = identity.and_then(Tls::new).map(Box::new);
        let refused = door.is_tls() && tls.is_none();
        let max = self.setup.rules.connections_per_address;
        let few = self.open_connections.add(peer.ip(), max);
        let connection = Connection {
            peer,
            stage: match door.is_rtmp() {
                true => Stage::Rtmp(Box::new(RtmpEnd::new(rtmp::Session::new(
                    now,
                    &mut self.noise,
                )))),
                false => Stage::Http(Exchange::new(now + HTTP_HEAD_MAX)),
            },
            tls,
            armed: None,
        };
        self.connections.insert(id, connection);
        if refused {
            self.close(id, out);
        } else if !few || !self.rates.connections.allow(now, peer.ip()) {
            self.refuse_connection(id, out);
        }
        self.rearm_connection(id);
    }

    pub(super) fn read(&mut self, now: Time, id: ConnectionId, bytes: &[u8], out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(tls) = &mut connection.tls else {
            return self.read_plain(now, id, bytes, out);
        };
        let mut plain = Vec::new();
        let progress = tls.read(bytes, &mut plain);
        if !plain.is_empty() {
            self.read_plain(now, id, &plain, out);
        }
        self.flush_tls(id, out);
        if progress != Progress::Open {
            self.end_session(id, out);
            self.close(id, out);
        }
    }

    fn read_plain(&mut self, now: Time, id: ConnectionId, bytes: &[u8], out: &mut Outbox) {
        match self.connections.get_mut(&id).map(|c| &mut c.stage) {
            Some(Stage::Http(exchange)) => {
                if exchange.take(bytes) {
                    self.read_http(now, id, out);
                } else {
                    // Nobody sends so much behind an unanswered request but to hurt.
                    self.close(id, out);
                }
            }
            Some(Stage::Session(end)) => {
                end.ws.feed(bytes);
                self.poll_session(now, id, out);
            }
            Some(Stage::Rtmp(_)) => self.read_rtmp(now, id, bytes, out),
            Some(Stage::Closing) | None => {}
        }
    }

    /// Writes to a connection, through its TLS where it has one.
    pub(super) fn send(&mut self, id: ConnectionId, bytes: Bytes, out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match &mut connection.tls {
            None if bytes.is_empty() => {}
            None => out.writes.push((id, bytes)),
            Some(tls) => {
                tls.write(&bytes);
                self.flush_tls(id, out);
            }
        }
    }

    fn flush_tls(&mut self, id: ConnectionId, out: &mut Outbox) {
        let tls = self.connections.get_mut(&id).and_then(|c| c.tls.as_mut());
        let records = tls.map(|tls| tls.take_output()).unwrap_or_default();
        if !records.is_empty() {
            out.writes.push((id, Bytes::from(records)));
        }
    }

    /// Everything written to the connection has left.
    pub(super) fn drained(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        match self.connections.get_mut(&id).map(|c| &mut c.stage) {
            Some(Stage::Http(exchange)) => {
                exchange.deadline = now + HTTP_STALL_MAX;
                self.write_on(now, id, out);
                self.rearm_connection(id);
            }
            Some(Stage::Rtmp(end)) => {
                end.outlet.drained();
                self.pump_player(now, id, out);
            }
            Some(Stage::Session(_) | Stage::Closing) | None => {}
        }
    }

    pub(super) fn closed(&mut self, id: ConnectionId, cause: CloseCause, out: &mut Outbox) {
        if cause == CloseCause::Overflow {
            let why = "client reads too slowly";
            self.event(Event::SessionRefused { why }, out);
        }
        self.end_session(id, out);
        if let Some(connection) = self.connections.remove(&id) {
            self.open_connections.remove(connection.peer.ip());
        }
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
            Stage::Http(exchange) if now >= exchange.deadline => self.give_up_http(id, out),
            Stage::Session(_) => self.wake_session(now, id, out),
            Stage::Rtmp(_) => self.wake_rtmp(now, id, out),
            Stage::Http(_) | Stage::Closing => {}
        }
        self.rearm_connection(id);
    }

    pub(super) fn rearm_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let due = match &connection.stage {
            Stage::Http(exchange) => exchange.deadline,
            Stage::Session(end) => end.session.deadline(),
            Stage::Rtmp(end) => end.deadline(),
            Stage::Closing => return,
        };
        if connection.armed.is_none_or(|armed| due < armed) {
            connection.armed = Some(due);
            self.wheel.arm(due, Timer::Connection(id, due));
        }
    }

    /// Says goodbye to every connection; the sessions' rooms hear that they are
    /// gone.
    pub(super) fn close_every_connection(&mut self, out: &mut Outbox) {
        let mut ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.say_goodbye(id, out);
            self.end_session(id, out);
            self.close(id, out);
        }
    }

    pub(super) fn close(&mut self, id: ConnectionId, out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if matches!(connection.stage, Stage::Closing) {
            return;
        }
        connection.stage = Stage::Closing;
        if let Some(tls) = &mut connection.tls {
            tls.close();
        }
        self.flush_tls(id, out);
        out.closes.push(id);
    }
}
