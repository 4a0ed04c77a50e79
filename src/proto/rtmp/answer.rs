//! What the server says: its answers to events, and its own calls.

use super::connect::status;
use super::streams::Role;
use super::{Phase, Session};
use crate::base::limits::{RTMP_CHUNK_BYTES, RTMP_WINDOW_BYTES};
use crate::wire::amf::{Value, amf0};
use crate::wire::rtmp::message::{COMMAND, Control, DATA};

/// Chunk streams of commands: of the connection, and of message streams.
const CONNECTION_CSID: u8 = 3;
const STREAM_CSID: u8 = 5;

/// Why publishing was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishCode {
    /// The name is taken or may not be.
    BadName,
    /// The peer may not publish.
    Denied,
}

/// Why playing was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayCode {
    StreamNotFound,
    Failed,
}

impl PublishCode {
    fn as_str(self) -> &'static str {
        match self {
            PublishCode::BadName => "NetStream.Publish.BadName",
            PublishCode::Denied => "NetStream.Publish.Denied",
        }
    }
}

impl PlayCode {
    fn as_str(self) -> &'static str {
        match self {
            PlayCode::StreamNotFound => "NetStream.Play.StreamNotFound",
            PlayCode::Failed => "NetStream.Play.Failed",
        }
    }
}

/// Each of these does nothing where the peer has meanwhile closed the stream
/// or connection it is about.
impl Session {
    /// Answers [`super::Event::Connect`]: the window, the bandwidth, our chunk
    /// size, then success (RTMP 1.0 section 7.2.1.1).
    pub fn accept_connect(&mut self) {
        let Phase::Asked { transaction, caps } = self.phase else {
            return;
        };
        self.phase = Phase::Connected;
        self.control(Control::WindowAckSize(RTMP_WINDOW_BYTES));
        self.control(Control::SetPeerBandwidth(RTMP_WINDOW_BYTES));
        self.control(Control::SetChunkSize(RTMP_CHUNK_BYTES as u32));
        self.control(Control::StreamBegin(0));
        self.result(transaction, caps.accepted());
    }

    /// Answers [`super::Event::Connect`] with a refusal; send it, then close.
    pub fn reject_connect(&mut self, description: &str) {
        let Phase::Asked { transaction, .. } = self.phase else {
            return;
        };
        let information = status("error", "NetConnection.Connect.Rejected", description);
        self.error(transaction, Value::Object(information));
        self.phase = Phase::Closed;
    }

    /// Answers [`super::Event::Publish`]; media of the stream is taken from now
    /// on. False where the peer no longer asks for this name: it is not published.
    pub fn publish_started(&mut self, stream_id: u32, name: &str) -> bool {
        if !self.start(stream_id, name, Role::PublishAsked, Role::Publishing) {
            return false;
        }
        let code = "NetStream.Publish.Start";
        if self.announces {
            self.call_with_status("onFCPublish", code, name);
        }
        self.control(Control::StreamBegin(stream_id));
        self.notify(stream_id, "status", code, &format!("{name} is published."));
        true
    }

    /// Answers [`super::Event::Publish`] with a refusal.
    pub fn publish_refused(&mut self, stream_id: u32, code: PublishCode, description: &str) {
        if self.refuse(stream_id, Role::PublishAsked) {
            self.refuse_publish(stream_id, code, description);
        }
    }

    /// The stream is published no more, by the peer's wish or ours.
    pub fn unpublished(&mut self, stream_id: u32) {
        let Some(stream) = self.streams.find_mut(stream_id) else {
            return;
        };
        // A stream that already asks for its next name goes on asking.
        if stream.role.plays() {
            return;
        }
        if stream.role == Role::Publishing {
            stream.rest();
        }
        let name = stream.name.clone();
        let code = "NetStream.Unpublish.Success";
        if self.announces {
            self.call_with_status("onFCUnpublish", code, &name);
        }
        self.notify(stream_id, "status", code, "The stream is unpublished.");
    }

    /// Answers [`super::Event::Play`]; write the stream's media after it. False
    /// where the peer no longer asks for this name: nothing may be written.
    pub fn play_started(&mut self, stream_id: u32, name: &str) -> bool {
        if !self.start(stream_id, name, Role::PlayAsked, Role::Playing) {
            return false;
        }
        self.control(Control::StreamBegin(stream_id));
        let resetting = format!("Playing and resetting {name}.");
        self.notify(stream_id, "status", "NetStream.Play.Reset", &resetting);
        let started = format!("Started playing {name}.");
        self.notify(stream_id, "status", "NetStream.Play.Start", &started);
        // Flash lets pages draw and analyse the stream only after this.
        let access = [
            Value::String("|RtmpSampleAccess".to_owned()),
            Value::Boolean(true),
            Value::Boolean(true),
        ];
        self.write(STREAM_CSID, DATA, stream_id, &amf(&access));
        true
    }

    /// Answers [`super::Event::Play`] with a refusal.
    pub fn play_refused(&mut self, stream_id: u32, code: PlayCode, description: &str) {
        if self.refuse(stream_id, Role::PlayAsked) {
            self.refuse_play(stream_id, code, description);
        }
    }

    /// What the stream plays has ended.
    pub fn play_unpublished(&mut self, stream_id: u32, name: &str) {
        if !self.is_playing(stream_id) {
            return;
        }
        let unpublished = format!("{name} is now unpublished.");
        let code = "NetStream.Play.UnpublishNotify";
        self.notify(stream_id, "status", code, &unpublished);
        self.control(Control::StreamEof(stream_id));
        let stopped = format!("Stopped playing {name}.");
        self.notify(stream_id, "status", "NetStream.Play.Stop", &stopped);
    }

    /// Calls `name` on the client, on the connection itself, for no answer.
    pub fn call_client(&mut self, name: &str, arguments: &[Value]) {
        if matches!(self.phase, Phase::Connected) {
            let values = [&[Value::Null], arguments].concat();
            self.invoke(CONNECTION_CSID, 0, name, 0.0, &values);
        }
    }

    /// Tells the client's `onStatus` of a stream, or of the connection (0).
    pub fn notify(&mut self, stream_id: u32, level: &str, code: &str, description: &str) {
        if matches!(self.phase, Phase::Connected) {
            let information = Value::Object(status(level, code, description));
            let arguments = [Value::Null, information];
            self.invoke(STREAM_CSID, stream_id, "onStatus", 0.0, &arguments);
        }
    }

    /// Asks the client to connect anew, before the server stops (Enhanced RTMP
    /// "Reconnect Request"). Others ignore it.
    pub fn request_reconnect(&mut self) {
        let code = "NetConnection.Connect.ReconnectRequest";
        self.notify(0, "status", code, "The server is going away.");
    }

    pub(super) fn refuse_publish(&mut self, stream_id: u32, code: PublishCode, description: &str) {
        self.notify(stream_id, "error", code.as_str(), description);
    }

    pub(super) fn refuse_play(&mut self, stream_id: u32, code: PlayCode, description: &str) {
        self.notify(stream_id, "error", code.as_str(), description);
    }

    /// Calls an `onFC…` of the client: a status whose description is a name.
    pub(super) fn call_with_status(&mut self, call: &str, code: &str, name: &str) {
        let information = Value::Object(status("status", code, name));
        self.call_client(call, &[information]);
    }

    pub(super) fn result(&mut self, transaction: f64, values: [Value; 2]) {
        self.invoke(CONNECTION_CSID, 0, "_result", transaction, &values);
    }

    pub(super) fn error(&mut self, transaction: f64, information: Value) {
        let values = [Value::Null, information];
        self.invoke(CONNECTION_CSID, 0, "_error", transaction, &values);
    }

    /// Moves a stream that waits as `from` under `name` on to `to`.
    fn start(&mut self, stream_id: u32, name: &str, from: Role, to: Role) -> bool {
        match self.streams.find_mut(stream_id) {
            Some(stream) if self.fault.is_none() && stream.role == from && stream.name == name => {
                stream.role = to;
                true
            }
            _ => false,
        }
    }

    /// Ends the waiting of a stream; false where it does not wait as `from`.
    fn refuse(&mut self, stream_id: u32, from: Role) -> bool {
        match self.streams.find_mut(stream_id) {
            Some(stream) if stream.role == from => {
                stream.rest();
                true
            }
            _ => false,
        }
    }

    fn is_playing(&self, stream_id: u32) -> bool {
        let stream = self.streams.find(stream_id);
        stream.is_some_and(|stream| stream.role == Role::Playing)
    }

    /// `values` are the command object and what follows it.
    fn invoke(&mut self, csid: u8, stream_id: u32, name: &str, transaction: f64, values: &[Value]) {
        let mut payload = amf(&[Value::String(name.to_owned()), Value::Number(transaction)]);
        payload.extend(amf(values));
        self.write(csid, COMMAND, stream_id, &payload);
    }
}

fn amf(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        amf0::write(&mut out, value);
    }
    out
}
