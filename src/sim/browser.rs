//! A simulated participant: one WebSocket in the official SDK's dialect and
//! the peer connections that follow from it. Joins, publishes, plays every
//! stream it hears of, and remembers everything it was told, in order.

use crate::base::random::Noise;
use crate::base::time::{Ntp, Span, Time};
use crate::core::border::{ConnectionId, CoreId};
use crate::proto::dtls::Identity;
use crate::proto::ws::{client_text_frame, take_server_frame};
use crate::signal::client::{self, ServerMessage};
use crate::sim::net::Faults;
use crate::sim::peer_connection::{Birth, PeerConnection, Silence, Status};
use crate::sim::publisher::Media;
use crate::sim::trace::{Kind, Trace};
use crate::sim::visit::Visit;

/// What a participant does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub publishes: bool,
    pub plays: bool,
    pub silence: Silence,
    /// Answers the server's pings.
    pub pongs: bool,
    /// Makes a key frame so often by itself, and none when asked, as encoders
    /// that speak WHIP do; its offer says so.
    pub key_interval: Option<Span>,
    /// What it sends, and takes.
    pub media: Media,
}

impl Plan {
    /// Publishes and plays.
    pub const CALL: Plan = Plan {
        publishes: true,
        plays: true,
        silence: Silence {
            checks: false,
            dtls: false,
            waits: false,
            vanished: false,
        },
        pongs: true,
        key_interval: None,
        media: Media::USUAL,
    };
    /// Only publishes.
    pub const STAGE: Plan = Plan {
        plays: false,
        ..Plan::CALL
    };
    /// Only plays.
    pub const AUDIENCE: Plan = Plan {
        publishes: false,
        ..Plan::CALL
    };
}

/// What browsers are made with.
pub struct Workshop {
    pub identity: Identity,
    pub up: Faults,
    pub down: Faults,
    pub next_port: u16,
}

pub struct Browser {
    pub number: usize,
    pub login: String,
    pub room: String,
    pub plan: Plan,
    /// The session's connection and the core that has it, while there is one.
    pub connection: Option<(CoreId, ConnectionId)>,
    pub token: Option<String>,
    /// Everything the server said, in order.
    pub heard: Vec<(Time, ServerMessage)>,
    pub peers: Vec<PeerConnection>,
    /// Text the browser could not understand.
    pub puzzles: Vec<String>,
    /// It comes without a WebSocket.
    pub visit: Option<Visit>,
    upgraded: bool,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    noise: Noise,
    streams_made: u32,
    operations: u32,
    /// Its own clock's reading at time zero.
    unix_us_at_zero: u64,
}

impl Browser {
    pub fn new(number: usize, login: &str, room: &str, plan: Plan, seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        Browser {
            number,
            login: login.to_string(),
            room: room.to_string(),
            plan,
            connection: None,
            token: None,
            heard: Vec::new(),
            peers: Vec::new(),
            puzzles: Vec::new(),
            visit: None,
            upgraded: false,
            input: Vec::new(),
            output: Vec::new(),
            // Browsers' clocks are off by up to an hour.
            unix_us_at_zero: 1_700_000_000_000_000 + noise.below(3_600_000_000),
            noise,
            streams_made: 0,
            operations: 0,
        }
    }

    pub fn wall(&self, now: Time) -> Ntp {
        Ntp::from_unix_us(self.unix_us_at_zero).plus(now.since(Time::ZERO))
    }

    /// Opens the WebSocket; shows the token of an earlier session if told to.
    pub fn open(&mut self, now: Time, with_token: bool, trace: &mut Trace) {
        self.upgraded = false;
        self.input.clear();
        self.output.extend(
            b"GET / HTTP/1.1\r\nHost: ringhall.test\r\nConnection: Upgrade\r\n\
              Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let token = self.token.take().filter(|_| with_token);
        let text = client::connection(&self.login, token.as_deref());
        self.say(now, &text, trace);
    }

    /// Bytes for the socket.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    pub fn say(&mut self, now: Time, text: &str, trace: &mut Trace) {
        trace.note(now, self.number, Kind::Said, text.as_bytes());
        let mask = self.noise.next_u32().to_be_bytes();
        self.output.extend(client_text_frame(text, mask));
    }

    /// Takes bytes of the socket.
    pub fn read(&mut self, now: Time, bytes: &[u8], shop: &mut Workshop, trace: &mut Trace) {
        if self.visit.is_some() {
            return self.read_response(now, bytes, trace);
        }
        self.input.extend_from_slice(bytes);
        if !self.upgraded {
            let end = self.input.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else {
                return;
            };
            self.upgraded = self.input.starts_with(b"HTTP/1.1 101 ");
            self.input.drain(..end + 4);
        }
        while let Some((opcode, payload)) = take_server_frame(&mut self.input) {
            let text = String::from_utf8_lossy(&payload).into_owned();
            trace.note(now, self.number, Kind::Heard, &payload);
            if opcode != 1 {
                continue;
            }
            match client::read(&text) {
                Some(message) => {
                    self.act(now, &message, shop, trace);
                    self.heard.push((now, message));
                }
                None => self.puzzles.push(text),
            }
        }
    }

    fn act(&mut self, now: Time, message: &ServerMessage, shop: &mut Workshop, trace: &mut Trace) {
        match message {
            ServerMessage::UserData { auth_token } => {
                self.token = Some(auth_token.clone());
                let operation = self.operation("join");
                let text = client::join(&operation, &self.room.clone());
                self.say(now, &text, trace);
            }
            ServerMessage::Ping if self.plan.pongs => self.say(now, &client::pong(), trace),
            ServerMessage::Settled {
                operation_id,
                accepted: true,
                ..
            } if operation_id.starts_with("join") && self.plan.publishes => {
                self.publish(now, shop, trace);
            }
            ServerMessage::State { members, .. } if self.plan.plays => {
                for stream in members.iter().filter_map(|(_, stream)| stream.as_ref()) {
                    self.play(now, stream, shop, trace);
                }
            }
            ServerMessage::Published { stream, .. } if self.plan.plays => {
                self.play(now, stream, shop, trace);
            }
            ServerMessage::RemoteSdp {
                media_session_id,
                sdp,
            } => {
                let taken = self
                    .peer_mut(media_session_id)
                    .is_some_and(|peer| peer.take_answer(now, sdp));
                if !taken {
                    self.puzzles.push(sdp.clone());
                }
            }
            ServerMessage::StreamStatus {
                media_session_id,
                status,
                info,
            } => self.note_status(now, media_session_id, status, info.clone()),
            _ => {}
        }
    }

    fn note_status(&mut self, now: Time, id: &str, status: &str, info: Option<String>) {
        if let Some(peer) = self.peer_mut(id) {
            peer.statuses.push(Status {
                at: now,
                name: status.to_string(),
                info,
            });
            if matches!(status, "FAILED" | "STOPPED" | "UNPUBLISHED") {
                peer.close();
            }
        }
    }

    fn peer_mut(&mut self, id: &str) -> Option<&mut PeerConnection> {
        self.peers.iter_mut().find(|peer| peer.id == id)
    }

    fn operation(&mut self, command: &str) -> String {
        self.operations += 1;
        format!("{command}-{}", self.operations)
    }

    pub fn publish(&mut self, now: Time, shop: &mut Workshop, trace: &mut Trace) {
        self.streams_made += 1;
        let stream = format!("{}-{}-{}", self.room, self.login, self.streams_made);
        let peer = self.make(&stream, true, shop);
        let text = client::publish(&peer.id, &stream, &self.room, &peer.offer());
        self.peers.push(peer);
        self.say(now, &text, trace);
    }

    pub fn play(&mut self, now: Time, stream: &str, shop: &mut Workshop, trace: &mut Trace) {
        let peer = self.make(stream, false, shop);
        let text = client::play(&peer.id, stream, &self.room, &peer.offer());
        self.peers.push(peer);
        self.say(now, &text, trace);
    }

    pub(super) fn make(
        &mut self,
        stream: &str,
        publishes: bool,
        shop: &mut Workshop,
    ) -> PeerConnection {
        let birth = Birth {
            id: format!("{}-{}", self.login, self.noise.next_u32()),
            stream: stream.to_string(),
            address: new_address(self.number, shop),
            identity: &shop.identity,
            up: shop.up,
            down: shop.down,
            seed: self.noise.next_u64(),
            silence: self.plan.silence,
            key_interval: self.plan.key_interval,
            media: self.plan.media,
        };
        PeerConnection::new(birth, publishes)
    }

    /// Stops every stream of the given role, as the SDK does.
    pub fn stop_streams(&mut self, now: Time, publications: bool, trace: &mut Trace) {
        let ids: Vec<String> = self
            .peers
            .iter()
            .filter(|peer| !peer.is_over() && peer.publisher().is_some() == publications)
            .map(|peer| peer.id.clone())
            .collect();
        for id in ids {
            let text = match publications {
                true => client::unpublish(&id),
                false => client::stop(&id),
            };
            self.say(now, &text, trace);
        }
    }

    /// Leaves the room, then stops what it had, as the SDK does.
    pub fn leave(&mut self, now: Time, trace: &mut Trace) {
        if self.visit.is_some() {
            return self.say_farewell(now, trace);
        }
        let operation = self.operation("leave");
        let text = client::leave(&operation, &self.room.clone());
        self.say(now, &text, trace);
        self.stop_streams(now, true, trace);
        self.stop_streams(now, false, trace);
    }

    /// The socket is gone.
    pub fn disconnected(&mut self) {
        self.connection = None;
        self.output.clear();
    }

    /// What the server said about the room and its streams, one word each:
    /// `LEFT bob`, `STOPPED`, in the order heard.
    pub fn story(&self) -> Vec<String> {
        let told = self.heard.iter();
        told.filter_map(|(_, message)| match message {
            ServerMessage::State { .. } => Some("STATE".to_string()),
            ServerMessage::Joined { login } => Some(format!("JOINED {login}")),
            ServerMessage::Left { login } => Some(format!("LEFT {login}")),
            ServerMessage::Published { login, .. } => Some(format!("PUBLISHED {login}")),
            ServerMessage::Unpublished { login, .. } => Some(format!("UNPUBLISHED {login}")),
            ServerMessage::StreamStatus { status, .. } => Some(status.clone()),
            ServerMessage::Settled {
                accepted: false,
                info,
                ..
            } => Some(format!("REFUSED {}", info.clone().unwrap_or_default())),
            _ => None,
        })
        .collect()
    }
}

/// An address nobody had before.
pub fn new_address(number: usize, shop: &mut Workshop) -> std::net::SocketAddr {
    shop.next_port += 1;
    ([192, 0, 2, number as u8], shop.next_port).into()
}
