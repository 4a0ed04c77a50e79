//! A participant over RTMP: an encoder, a player or a Flash room client. Owns
//! its connection's script (connect, create streams, publish and play), what it
//! publishes, what it was given, and how fast it reads.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;

use crate::base::limits::CONNECTION_QUEUE_MAX_BYTES;
use crate::base::random::Noise;
use crate::base::time::{Span, Time};
use crate::core::border::{CloseCause, ConnectionId, CoreId, Door};
use crate::proto::rtmp::client::{RtmpClient, Said};
use crate::sim::encoder::{Encoder, Encoding, Made};
use crate::sim::player::Player;
use crate::sim::trace::Kind;
use crate::sim::turn::What;
use crate::sim::world::{TCP_DELAY, World};
use crate::wire::amf::Value;

/// What the kernels of both ends hold for somebody who reads nothing.
const SOCKET_BYTES: usize = 256 << 10;

/// Names participants over RTMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RtmpSeat(pub usize);

/// How fast a client takes what is written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    AtOnce,
    /// Bytes a second.
    Slowly(u64),
    Never,
}

/// What a message stream will be used for.
enum Errand {
    Publish(String, Box<Encoder>),
    Play(String),
}

pub struct RtmpPeer {
    pub number: usize,
    pub client: RtmpClient,
    pub connection: Option<(CoreId, ConnectionId)>,
    /// Commands and what else is no media, in order.
    pub said: Vec<(Time, Said)>,
    /// By message stream.
    pub encoders: BTreeMap<u32, Encoder>,
    pub players: BTreeMap<u32, Player>,
    /// When the server closed the connection.
    pub closed: Option<Time>,
    pub reads: Reads,
    /// Bytes in the driver's queue, at most.
    pub queued_max: usize,
    pub puzzles: Vec<String>,
    connect: f64,
    is_connected: bool,
    errands: VecDeque<Errand>,
    /// Streams being created, by transaction.
    creating: Vec<(f64, Errand)>,
    made: Vec<Made>,
    /// When everything written so far is read.
    read_at: Time,
    /// Written to somebody who reads nothing.
    unread_bytes: usize,
    armed: Option<Time>,
}

impl RtmpPeer {
    fn new(number: usize, mut noise: Noise) -> Self {
        RtmpPeer {
            number,
            client: RtmpClient::new(None, &mut noise),
            connection: None,
            said: Vec::new(),
            encoders: BTreeMap::new(),
            players: BTreeMap::new(),
            closed: None,
            reads: Reads::AtOnce,
            queued_max: 0,
            puzzles: Vec::new(),
            connect: 0.0,
            is_connected: false,
            errands: VecDeque::new(),
            creating: Vec::new(),
            made: Vec::new(),
            read_at: Time::ZERO,
            unread_bytes: 0,
            armed: None,
        }
    }

    /// The codes of the statuses it was told, in order.
    pub fn codes(&self) -> Vec<&str> {
        let codes = self.said.iter().map(|(_, said)| said.code());
        codes.filter(|code| !code.is_empty()).collect()
    }

    /// When it was first told `code`.
    pub fn told(&self, code: &str) -> Option<Time> {
        let found = self.said.iter().find(|(_, said)| said.code() == code);
        found.map(|(at, _)| *at)
    }

    /// What its one encoder sent.
    pub fn encoder(&self) -> Option<&Encoder> {
        self.encoders.values().next()
    }

    /// What its one player was given.
    pub fn player(&self) -> Option<&Player> {
        self.players.values().next()
    }

    fn handle(&mut self, now: Time, bytes: &[u8]) {
        if !self.client.handle(bytes) {
            self.puzzles.push(format!("{} us: no RTMP", now.as_us()));
        }
        while let Some(said) = self.client.poll() {
            match said {
                Said::Message { header, payload } => {
                    if let Some(player) = self.players.get_mut(&header.stream_id) {
                        player.take(now, &header, &payload);
                    }
                }
                said => {
                    self.act(now, &said);
                    self.said.push((now, said));
                }
            }
        }
        self.go_on();
    }

    fn act(&mut self, now: Time, said: &Said) {
        let Said::Command {
            stream_id,
            name,
            transaction,
            values,
        } = said
        else {
            return;
        };
        if name == "ping" {
            self.client.cast(0, "pong", &[Value::Null]);
        }
        if name == "_result" && *transaction == self.connect {
            self.is_connected = true;
        } else if name == "_result" {
            self.created(*transaction, values);
        }
        if said.code() == "NetStream.Play.Start"
            && let Some(player) = self.players.get_mut(stream_id)
        {
            player.begin();
        }
        let Some(encoder) = self.encoders.get_mut(stream_id) else {
            return;
        };
        match said.code() {
            "NetStream.Publish.Start" => encoder.start(now, *stream_id, &mut self.made),
            "NetStream.Unpublish.Success" | "NetStream.Failed" => encoder.stop(),
            _ => {}
        }
    }

    fn created(&mut self, transaction: f64, values: &[Value]) {
        let place = self.creating.iter().position(|(of, _)| *of == transaction);
        let id = values.iter().find_map(Value::as_number);
        let (Some(place), Some(id)) = (place, id) else {
            return;
        };
        let id = id as u32;
        match self.creating.swap_remove(place).1 {
            Errand::Publish(name, encoder) => {
                self.encoders.insert(id, *encoder);
                self.client.publish(id, &name);
            }
            Errand::Play(name) => {
                self.players.insert(id, Player::default());
                self.client.play(id, &name);
            }
        }
    }

    /// Begins what waits, and sends what is made.
    fn go_on(&mut self) {
        if self.is_connected {
            while let Some(errand) = self.errands.pop_front() {
                let transaction = self.client.call("createStream", &[]);
                self.creating.push((transaction, errand));
            }
        }
        for made in self.made.drain(..) {
            self.client.send_message(&made.header, &made.body);
        }
    }

    fn poll(&mut self, now: Time) {
        for encoder in self.encoders.values_mut() {
            while encoder.next_due().is_some_and(|due| due <= now) {
                encoder.poll(now, &mut self.made);
            }
        }
        self.go_on();
    }

    fn next_due(&self) -> Option<Time> {
        self.connection?;
        self.encoders.values().filter_map(Encoder::next_due).min()
    }
}

impl World {
    /// Somebody connects over RTMP, to the next core in turn.
    pub fn rtmp_connect(
        &mut self,
        app: &str,
        properties: &[(&str, Value)],
        arguments: &[Value],
    ) -> RtmpSeat {
        let number = self.rtmp.len();
        let noise = Noise::new(self.noise.next_u64());
        let mut peer = RtmpPeer::new(number, noise);
        let id = ConnectionId(self.connections_made);
        let core = (self.connections_made % self.core_count() as u64) as usize;
        self.connections_made += 1;
        self.rtmp_connections.insert(id, number);
        let address: SocketAddr = ([198, 18, 0, number as u8], 50_000).into();
        let accepted = What::Accepted(core, id, address, Door::Rtmp);
        self.schedule(self.now + TCP_DELAY, accepted);
        peer.connection = Some((CoreId(core as u16), id));
        peer.client.set_chunk_size(4_096);
        peer.connect = peer.client.connect(app, properties, arguments);
        self.rtmp.push(peer);
        self.flush_rtmp(number);
        RtmpSeat(number)
    }

    /// An encoder of `rtmp://server/<room>/<name>`; a token may follow the name.
    pub fn rtmp_encoder(&mut self, room: &str, name: &str, encoding: Encoding) -> RtmpSeat {
        let seat = self.rtmp_connect(room, &[], &[]);
        self.rtmp_publish(seat, name, Encoder::new(encoding));
        seat
    }

    /// A player of it; `takes_opus` as players of Enhanced RTMP do.
    pub fn rtmp_player(&mut self, room: &str, name: &str, takes_opus: bool) -> RtmpSeat {
        let list = Value::StrictArray(vec![Value::String("Opus".to_string())]);
        let enhanced = [("fourCcList", list)];
        let properties = if takes_opus { &enhanced[..] } else { &[] };
        let seat = self.rtmp_connect(room, properties, &[]);
        self.rtmp_play(seat, name);
        seat
    }

    pub fn rtmp_publish(&mut self, seat: RtmpSeat, name: &str, encoder: Encoder) {
        let errand = Errand::Publish(name.to_string(), Box::new(encoder));
        self.rtmp[seat.0].errands.push_back(errand);
        self.rtmp[seat.0].go_on();
        self.flush_rtmp(seat.0);
    }

    pub fn rtmp_play(&mut self, seat: RtmpSeat, name: &str) {
        let errand = Errand::Play(name.to_string());
        self.rtmp[seat.0].errands.push_back(errand);
        self.rtmp[seat.0].go_on();
        self.flush_rtmp(seat.0);
    }

    pub fn rtmp(&self, seat: RtmpSeat) -> &RtmpPeer {
        &self.rtmp[seat.0]
    }

    pub fn rtmp_peers(&self) -> &[RtmpPeer] {
        &self.rtmp
    }

    /// Has a client say something, or changes it in the middle of a run.
    pub fn rtmp_do(&mut self, seat: RtmpSeat, act: impl FnOnce(&mut RtmpPeer)) {
        act(&mut self.rtmp[seat.0]);
        self.flush_rtmp(seat.0);
    }

    /// The connection ends without a goodbye.
    pub fn rtmp_hang_up(&mut self, seat: RtmpSeat, cause: CloseCause) {
        if let Some((core, id)) = self.rtmp[seat.0].connection.take() {
            self.rtmp_connections.remove(&id);
            let what = What::ClosedAtCore(usize::from(core.0), id, cause);
            self.schedule(self.now + TCP_DELAY, what);
        }
    }

    /// Sends what a client left to say and arms its timer.
    pub(super) fn flush_rtmp(&mut self, number: usize) {
        let peer = &mut self.rtmp[number];
        let Some((core, id)) = peer.connection else {
            return;
        };
        let output = peer.client.take_output();
        let due = peer.next_due().map(|due| due.max(self.now));
        let arm = due.filter(|due| peer.armed.is_none_or(|armed| *due < armed));
        if let Some(due) = arm {
            peer.armed = Some(due);
            self.schedule(due, What::RtmpTimer(number));
        }
        if !output.is_empty() {
            let what = What::BytesToCore(usize::from(core.0), id, output);
            self.schedule(self.now + TCP_DELAY, what);
        }
    }

    pub(super) fn wake_rtmp_peer(&mut self, number: usize) {
        let now = self.now;
        let peer = &mut self.rtmp[number];
        if peer.armed == Some(now) {
            peer.armed = None;
            if peer.connection.is_some() {
                peer.poll(now);
                self.flush_rtmp(number);
            }
        }
    }

    pub(super) fn bytes_to_rtmp(&mut self, number: usize, bytes: &[u8]) {
        let (now, peer) = (self.now, &mut self.rtmp[number]);
        self.trace.note(now, 1_000 + number, Kind::Heard, bytes);
        peer.handle(now, bytes);
        self.flush_rtmp(number);
    }

    pub(super) fn rtmp_closed(&mut self, id: ConnectionId) {
        if let Some(number) = self.rtmp_connections.remove(&id) {
            let peer = &mut self.rtmp[number];
            peer.connection = None;
            peer.closed = Some(self.now);
            for encoder in peer.encoders.values_mut() {
                encoder.stop();
            }
        }
    }

    /// Bytes of a core on their way to a client, at its pace.
    pub(super) fn write_to_rtmp(&mut self, number: usize, id: ConnectionId, bytes: Bytes) {
        let now = self.now;
        let peer = &mut self.rtmp[number];
        let arrives = match peer.reads {
            Reads::AtOnce => now,
            Reads::Slowly(rate) => {
                let takes_us = bytes.len() as u64 * 1_000_000 / rate.max(1);
                peer.read_at = peer.read_at.max(now) + Span::from_us(takes_us);
                peer.read_at
            }
            Reads::Never => {
                peer.unread_bytes += bytes.len();
                peer.queued_max = peer.queued_max.max(peer.queued_bytes(now));
                return;
            }
        };
        peer.queued_max = peer.queued_max.max(peer.queued_bytes(now));
        self.schedule(arrives + TCP_DELAY, What::BytesToBrowser(id, bytes));
    }

    /// When everything written to a client has left the driver's queue; never
    /// if it does not read.
    pub(super) fn rtmp_drained_at(&self, number: usize) -> Option<Time> {
        let (now, peer) = (self.now, &self.rtmp[number]);
        match peer.reads {
            Reads::AtOnce => Some(now + TCP_DELAY),
            Reads::Slowly(rate) => {
                let held = Span::from_us(SOCKET_BYTES as u64 * 1_000_000 / rate.max(1));
                let left = peer.read_at.since(now);
                let waits = left.as_us().saturating_sub(held.as_us());
                Some(now + Span::from_us(waits + 1_000))
            }
            Reads::Never => (peer.queued_bytes(now) == 0).then_some(now + TCP_DELAY),
        }
    }
}

impl RtmpPeer {
    /// In the driver's queue at `now`: what the kernels do not hold.
    fn queued_bytes(&self, now: Time) -> usize {
        let unread_bytes = match self.reads {
            Reads::AtOnce => 0,
            Reads::Slowly(rate) => {
                let left = self.read_at.since(now).as_us();
                (left * rate / 1_000_000) as usize
            }
            Reads::Never => self.unread_bytes,
        };
        unread_bytes.saturating_sub(SOCKET_BYTES)
    }

    /// The driver would have cut it off.
    pub fn overflowed(&self) -> bool {
        self.queued_max > CONNECTION_QUEUE_MAX_BYTES
    }
}
