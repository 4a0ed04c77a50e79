//! The server's side of one RTMP connection (RTMP 1.0): told bytes and the
//! time, it answers with events and bytes. Owns the handshake, chunking, acks,
//! pings, message streams, and every command that needs no room to answer it.
//! Refuses commands before `connect` was accepted, more streams than one
//! member may hold, and media of streams that are not published. Never says
//! that publishing or playing started before it is told so.

mod answer;
pub mod client;
mod command;
mod connect;
mod event;
mod streams;

pub use answer::{PlayCode, PublishCode};
pub use event::{Connect, Event, MediaKind, RtmpError};

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::limits::{
    RTMP_COMMAND_MAX_BYTES, RTMP_CONNECT_MAX, RTMP_HELD_MAX_BYTES, RTMP_IDLE_MAX,
    RTMP_MESSAGES_BURST, RTMP_MESSAGES_PER_S, RTMP_PING_INTERVAL, RTMP_STRAY_MEDIA_MAX,
    RTMP_WINDOW_BYTES,
};
use crate::base::random::Noise;
use crate::base::time::Time;
use crate::proto::bitrate::TokenBucket;
use crate::wire::amf;
use crate::wire::rtmp::aggregate;
use crate::wire::rtmp::chunk::{
    CHUNK_SIZE_DEFAULT, ChunkReader, Message, MessageHeader, write_message,
};
use crate::wire::rtmp::handshake::{self, HELLO_BYTES, PACKET_BYTES};
use crate::wire::rtmp::message::{self, CONTROL_CSID, Control};

use connect::Caps;
use streams::Streams;

/// One RTMP connection.
pub struct Session {
    phase: Phase,
    /// Why the connection is over; nothing is read after it.
    fault: Option<RtmpError>,
    noise: Noise,
    reader: ChunkReader,
    /// Messages that may come now: short ones cost as much as long ones.
    budget: TokenBucket,
    /// What came behind a `connect` that has no answer yet: some clients do
    /// not wait for it.
    held: Vec<u8>,
    streams: Streams,
    events: VecDeque<Event>,
    output: Vec<u8>,
    chunk_size: usize,
    opened: Time,
    /// When the peer last sent anything, and when it was last asked to.
    heard: Time,
    pinged: Time,
    /// Bytes of the peer, modulo 2^32 as acknowledgements count them.
    received: u32,
    acknowledged: u32,
    /// Bytes the peer sends between acknowledgements.
    window: u32,
    /// The peer says `FCPublish`, as Flash Media Encoder does, and expects
    /// `onFCPublish` in return.
    announces: bool,
    /// Media messages that belonged to no published stream, in a row.
    stray: u32,
}

enum Phase {
    /// C0 and C1, as far as they came.
    Hello(Vec<u8>),
    /// Bytes of C2 still to come; nobody looks at them.
    Echo(usize),
    /// `connect` has not been said.
    Greeted,
    /// It waits for [`Session::accept_connect`].
    Asked {
        transaction: f64,
        caps: Caps,
    },
    Connected,
    /// Refused; what still comes is not read.
    Closed,
}

impl Session {
    pub fn new(now: Time, noise: &mut Noise) -> Self {
        Session {
            phase: Phase::Hello(Vec::new()),
            fault: None,
            noise: Noise::new(noise.next_u64()),
            reader: ChunkReader::new(),
            budget: TokenBucket::new(RTMP_MESSAGES_PER_S, RTMP_MESSAGES_BURST, now),
            held: Vec::new(),
            streams: Streams::default(),
            events: VecDeque::new(),
            output: Vec::new(),
            chunk_size: CHUNK_SIZE_DEFAULT,
            opened: now,
            heard: now,
            pinged: now,
            received: 0,
            acknowledged: 0,
            window: RTMP_WINDOW_BYTES,
            announces: false,
            stray: 0,
        }
    }

    /// Takes bytes of the peer; events and output accumulate, each bounded by
    /// the bytes.
    ///
    /// # Errors
    /// Final: send what [`Session::take_output`] still has, and close.
    pub fn handle(&mut self, now: Time, bytes: &[u8]) -> Result<(), RtmpError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.heard = now;
        self.received = self.received.wrapping_add(bytes.len() as u32);
        let result = self.read(now, bytes);
        self.fault = result.err();
        if result.is_ok() {
            self.acknowledge();
        }
        result
    }

    /// The next event, in the order of the peer's messages.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to send; empty when there are none.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// When [`Session::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Time {
        match self.phase {
            Phase::Connected | Phase::Closed => {
                let quiet_since = self.heard.max(self.pinged);
                (quiet_since + RTMP_PING_INTERVAL).min(self.heard + RTMP_IDLE_MAX)
            }
            // Waiting for our own side takes no time off the client's.
            Phase::Asked { .. } => self.heard + RTMP_IDLE_MAX,
            _ => self.opened + RTMP_CONNECT_MAX,
        }
    }

    /// Pings a quiet peer and gives up a silent one.
    ///
    /// # Errors
    /// As of [`Session::handle`]: it said nothing for too long, or did not
    /// finish handshake and `connect` in time.
    pub fn handle_deadline(&mut self, now: Time) -> Result<(), RtmpError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if now < self.deadline() {
            return Ok(());
        }
        let connected = matches!(self.phase, Phase::Connected);
        if connected && now < self.heard + RTMP_IDLE_MAX {
            self.pinged = now;
            self.control(Control::PingRequest(milliseconds(now)));
            return Ok(());
        }
        let fault = match self.phase {
            Phase::Hello(_) | Phase::Echo(_) | Phase::Greeted => RtmpError::ConnectTimeout,
            _ => RtmpError::Idle,
        };
        self.fault = Some(fault);
        Err(fault)
    }

    /// Payload bytes of the chunks the peer expects of us: those of every
    /// message written to the connection beside the session.
    pub fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Whether bytes wait for the answer to `connect`; after it they are read
    /// with the next [`Session::handle`], be it of nothing.
    pub fn holds_input(&self) -> bool {
        !self.held.is_empty()
    }

    fn read(&mut self, now: Time, bytes: &[u8]) -> Result<(), RtmpError> {
        let mut held = std::mem::take(&mut self.held);
        let bytes = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        let mut input = self.shake_hands(now, bytes)?;
        while !matches!(self.phase, Phase::Closed) {
            if matches!(self.phase, Phase::Asked { .. }) {
                return self.hold(input);
            }
            let Some(message) = self.reader.read(&mut input)? else {
                break;
            };
            self.message(now, message)?;
        }
        Ok(())
    }

    fn hold(&mut self, input: &[u8]) -> Result<(), RtmpError> {
        if input.len() > RTMP_HELD_MAX_BYTES {
            return Err(RtmpError::NotConnected);
        }
        self.held = input.to_vec();
        Ok(())
    }

    /// Takes what of `bytes` belongs to the handshake; returns the rest.
    fn shake_hands<'a>(&mut self, now: Time, bytes: &'a [u8]) -> Result<&'a [u8], RtmpError> {
        let mut rest = bytes;
        if let Phase::Hello(hello) = &mut self.phase {
            let missing = HELLO_BYTES - hello.len();
            let (taken, left) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            hello.extend_from_slice(taken);
            rest = left;
            let Some((c0, c1)) = hello.split_first() else {
                return Ok(rest);
            };
            handshake::check_version(*c0)?;
            if let Some(c1) = c1.first_chunk::<PACKET_BYTES>() {
                let answer = handshake::answer(c1, milliseconds(now), &mut self.noise);
                self.output.extend_from_slice(&answer);
                self.phase = Phase::Echo(PACKET_BYTES);
            }
        }
        if let Phase::Echo(missing) = &mut self.phase {
            let (taken, left) = rest.split_at_checked(*missing).unwrap_or((rest, &[]));
            *missing -= taken.len();
            rest = left;
            if *missing == 0 {
                self.phase = Phase::Greeted;
            }
        }
        Ok(rest)
    }

    /// Counts a message, however short.
    fn charge(&mut self, now: Time) -> Result<(), RtmpError> {
        match self.budget.take(1, now) {
            true => Ok(()),
            false => Err(RtmpError::Flood),
        }
    }

    fn message(&mut self, now: Time, message: Message) -> Result<(), RtmpError> {
        self.charge(now)?;
        // A message without a body says nothing: the field's silence and
        // padding. Each would cost its sender one byte and us an event.
        if message.payload.is_empty() {
            return Ok(());
        }
        let kind = message.header.kind;
        match kind {
            message::COMMAND | message::COMMAND_AMF3 => self.command(&message),
            message::AUDIO | message::VIDEO | message::DATA | message::DATA_AMF3 => {
                let header = message.header;
                self.media(
                    header.stream_id,
                    kind,
                    header.timestamp,
                    message.payload.into(),
                )
            }
            message::AGGREGATE => self.aggregate(now, message),
            _ => {
                if let Some(control) = Control::parse(kind, &message.payload) {
                    self.heed(control);
                }
                // Shared objects and what nobody knows: not spoken here.
                Ok(())
            }
        }
    }

    fn heed(&mut self, control: Control) {
        match control {
            Control::PingRequest(time) => self.control(Control::PingResponse(time)),
            Control::WindowAckSize(window) => self.window = window,
            // Answered with the window we keep (section 5.4.5).
            Control::SetPeerBandwidth(_) => self.control(Control::WindowAckSize(RTMP_WINDOW_BYTES)),
            // TCP holds us back when the peer does not read, so that nothing
            // waits for acknowledgements; the reader has heeded the others.
            _ => {}
        }
    }

    /// Tells the peer what arrived, once a window of it has (section 5.4.3).
    fn acknowledge(&mut self) {
        let greeted = !matches!(self.phase, Phase::Hello(_) | Phase::Echo(_));
        if greeted && self.received.wrapping_sub(self.acknowledged) >= self.window.max(1) {
            self.acknowledged = self.received;
            self.control(Control::Acknowledgement(self.received));
        }
    }

    fn aggregate(&mut self, now: Time, message: Message) -> Result<(), RtmpError> {
        let payload = message.payload;
        let header = message.header;
        for part in aggregate::parts(header.timestamp, &payload) {
            self.charge(now)?;
            let is_media = matches!(part.kind, message::AUDIO | message::VIDEO | message::DATA);
            if is_media && let Some(body) = payload.get(part.body).filter(|b| !b.is_empty()) {
                // A copy: whoever keeps the part must not keep all of them.
                let body = Bytes::copy_from_slice(body);
                self.media(header.stream_id, part.kind, part.timestamp, body)?;
            }
        }
        Ok(())
    }

    fn media(
        &mut self,
        stream_id: u32,
        kind: u8,
        timestamp: u32,
        mut body: Bytes,
    ) -> Result<(), RtmpError> {
        if !self.streams.is_publishing(stream_id) {
            self.stray += 1;
            return match self.stray <= RTMP_STRAY_MEDIA_MAX {
                true => Ok(()),
                false => Err(RtmpError::StrayMedia),
            };
        }
        self.stray = 0;
        let kind = match kind {
            message::AUDIO => MediaKind::Audio,
            message::VIDEO => MediaKind::Video,
            _ => MediaKind::Data,
        };
        // Type 15 puts a format byte before the values; no AMF0 data message
        // begins with it, since its name comes first.
        if kind == MediaKind::Data && body.first() == Some(&0) {
            body = body.slice(1..);
        }
        self.events.push_back(Event::Media {
            stream_id,
            kind,
            timestamp,
            body,
        });
        Ok(())
    }

    fn command(&mut self, message: &Message) -> Result<(), RtmpError> {
        let bytes = message.payload.len();
        if bytes > RTMP_COMMAND_MAX_BYTES {
            return Err(RtmpError::CommandTooLong { bytes });
        }
        let is_amf3 = message.header.kind == message::COMMAND_AMF3;
        let values = amf::read_command(&message.payload, is_amf3)?;
        command::dispatch(self, message.header.stream_id, values)
    }

    /// Says a control message, before anything written after it.
    fn control(&mut self, control: Control) {
        let (kind, payload) = control.to_bytes();
        self.write(CONTROL_CSID, kind, 0, &payload);
        if let Control::SetChunkSize(size) = control {
            self.chunk_size = size as usize;
        }
    }

    fn write(&mut self, csid: u8, kind: u8, stream_id: u32, payload: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        let header = MessageHeader {
            timestamp: 0,
            kind,
            stream_id,
        };
        write_message(&mut self.output, self.chunk_size, csid, &header, payload);
    }
}

/// A clock of RTMP: milliseconds, wrapping after 49 days.
fn milliseconds(now: Time) -> u32 {
    (now.as_us() / 1_000) as u32
}

#[cfg(test)]
mod tests;
