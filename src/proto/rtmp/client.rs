//! The client's side of one RTMP connection (RTMP 1.0), encoder and player in
//! one: says what its owner tells it to and keeps what the server answers. Owns
//! its end of the handshake and of the chunk stream; answers pings unless told
//! not to. Checks no digest of the server, and acknowledges nothing: no server
//! in use waits for it.

use std::collections::VecDeque;

use crate::base::random::Noise;
use crate::wire::amf::{self, Value, amf0};
use crate::wire::rtmp::chunk::{CHUNK_SIZE_DEFAULT, ChunkReader, MessageHeader, write_message};
use crate::wire::rtmp::handshake::{HELLO_BYTES, PACKET_BYTES, PLAYER_KEY, Scheme, sign};
use crate::wire::rtmp::message::{COMMAND, CONTROL_CSID, Control};

/// What the version field of C1 says of a client that signs.
const SIGNING_VERSION: [u8; 4] = [9, 0, 0x7c, 2];

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Command {
        stream_id: u32,
        name: String,
        transaction: f64,
        /// The command object and what follows it.
        values: Vec<Value>,
    },
    Control(Control),
    /// Audio, video, data, or a type this client does not read.
    Message {
        header: MessageHeader,
        payload: Vec<u8>,
    },
}

impl Said {
    /// The code of a command's information object; empty for anything else.
    pub fn code(&self) -> &str {
        let Said::Command { values, .. } = self else {
            return "";
        };
        let information = values.iter().find_map(|value| value.property("code"));
        information.and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is a status that says that something asked for is refused or
    /// broke.
    pub fn is_error(&self) -> bool {
        let Said::Command { values, .. } = self else {
            return false;
        };
        let level = values.iter().find_map(|value| value.property("level"));
        level.and_then(Value::as_str) == Some("error")
    }
}

pub struct RtmpClient {
    reader: ChunkReader,
    output: Vec<u8>,
    /// S0, S1 and S2, until they are whole.
    hello: Option<Vec<u8>>,
    /// What may be sent only after the handshake.
    waiting: Vec<u8>,
    said: VecDeque<Said>,
    chunk_size: usize,
    transactions: f64,
    answers_pings: bool,
}

impl RtmpClient {
    /// A client that has said C0 and C1: signed if it is given a scheme.
    pub fn new(scheme: Option<Scheme>, noise: &mut Noise) -> Self {
        let mut c1 = [0; PACKET_BYTES];
        for chunk in c1.chunks_mut(8) {
            for (byte, random) in chunk.iter_mut().zip(noise.next_u64().to_be_bytes()) {
                *byte = random;
            }
        }
        let version = scheme.map_or([0; 4], |_| SIGNING_VERSION);
        // A time of zero, and the version.
        let head = [[0; 4], version].concat();
        for (byte, value) in c1.iter_mut().zip(head) {
            *byte = value;
        }
        if let Some(scheme) = scheme {
            sign(&mut c1, scheme, PLAYER_KEY);
        }
        RtmpClient {
            reader: ChunkReader::new(),
            output: [&[3], &c1[..]].concat(),
            hello: Some(Vec::new()),
            waiting: Vec::new(),
            said: VecDeque::new(),
            chunk_size: CHUNK_SIZE_DEFAULT,
            transactions: 0.0,
            answers_pings: true,
        }
    }

    /// Leaves the server's pings unanswered from now on.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// Whether the server's half of the handshake is whole.
    pub fn has_shaken_hands(&self) -> bool {
        self.hello.is_none()
    }

    /// Takes bytes of the server. False when they are no RTMP.
    pub fn handle(&mut self, bytes: &[u8]) -> bool {
        let mut input = bytes;
        if let Some(hello) = &mut self.hello {
            let missing = (HELLO_BYTES + PACKET_BYTES).saturating_sub(hello.len());
            let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
            hello.extend_from_slice(taken);
            input = rest;
            if hello.len() < HELLO_BYTES + PACKET_BYTES {
                return true;
            }
            // C2 is S1 again.
            self.output
                .extend_from_slice(hello.get(1..HELLO_BYTES).unwrap_or_default());
            self.output.append(&mut self.waiting);
            self.hello = None;
        }
        loop {
            match self.reader.read(&mut input) {
                Ok(Some(message)) => self.hear(message.header, message.payload),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The next thing the server said.
    pub fn poll(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// Cuts what is sent from now on at `bytes`, and says so.
    pub fn set_chunk_size(&mut self, bytes: u32) {
        self.control(Control::SetChunkSize(bytes));
        self.chunk_size = bytes as usize;
    }

    pub fn control(&mut self, control: Control) {
        let (kind, payload) = control.to_bytes();
        let header = MessageHeader {
            timestamp: 0,
            kind,
            stream_id: 0,
        };
        self.send(CONTROL_CSID, &header, &payload);
    }

    /// Says `connect` with `properties` beside the usual ones and `arguments`
    /// behind them; its transaction.
    pub fn connect(&mut self, app: &str, properties: &[(&str, Value)], arguments: &[Value]) -> f64 {
        let text = |value: &str| Value::String(value.to_owned());
        let mut object = vec![
            ("app".to_owned(), text(app)),
            ("flashVer".to_owned(), text("LNX 9,0,124,2")),
            ("tcUrl".to_owned(), text(&format!("rtmp://server/{app}"))),
        ];
        object.extend(
            properties
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        self.call_with("connect", Value::Object(object), arguments)
    }

    /// Calls `name` on the connection and wants an answer; its transaction.
    pub fn call(&mut self, name: &str, arguments: &[Value]) -> f64 {
        self.call_with(name, Value::Null, arguments)
    }

    /// Calls `name` on a stream, or the connection (0), for no answer.
    pub fn cast(&mut self, stream_id: u32, name: &str, arguments: &[Value]) {
        self.command(stream_id, name, 0.0, Value::Null, arguments);
    }

    pub fn publish(&mut self, stream_id: u32, name: &str) {
        let arguments = [name, "live"].map(|text| Value::String(text.to_owned()));
        self.cast(stream_id, "publish", &arguments);
    }

    pub fn play(&mut self, stream_id: u32, name: &str) {
        let arguments = [Value::String(name.to_owned()), Value::Number(-2_000.0)];
        self.cast(stream_id, "play", &arguments);
    }

    /// Sends any message, each type on a chunk stream of its own.
    pub fn send_message(&mut self, header: &MessageHeader, payload: &[u8]) {
        self.send(4 + header.kind % 32, header, payload);
    }

    fn call_with(&mut self, name: &str, object: Value, arguments: &[Value]) -> f64 {
        self.transactions += 1.0;
        self.command(0, name, self.transactions, object, arguments);
        self.transactions
    }

    fn command(
        &mut self,
        stream_id: u32,
        name: &str,
        transaction: f64,
        object: Value,
        arguments: &[Value],
    ) {
        let mut payload = Vec::new();
        amf0::write(&mut payload, &Value::String(name.to_owned()));
        amf0::write(&mut payload, &Value::Number(transaction));
        amf0::write(&mut payload, &object);
        for argument in arguments {
            amf0::write(&mut payload, argument);
        }
        let header = MessageHeader {
            timestamp: 0,
            kind: COMMAND,
            stream_id,
        };
        self.send(3, &header, &payload);
    }

    fn send(&mut self, csid: u8, header: &MessageHeader, payload: &[u8]) {
        let out = match self.hello {
            Some(_) => &mut self.waiting,
            None => &mut self.output,
        };
        write_message(out, self.chunk_size, csid, header, payload);
    }

    fn hear(&mut self, header: MessageHeader, payload: Vec<u8>) {
        if let Some(control) = Control::parse(header.kind, &payload) {
            if let (Control::PingRequest(time), true) = (control, self.answers_pings) {
                self.control(Control::PingResponse(time));
            }
            self.said.push_back(Said::Control(control));
            return;
        }
        let command = match header.kind {
            COMMAND => amf::read_command(&payload, false).unwrap_or_default(),
            _ => Vec::new(),
        };
        let said = match command.as_slice() {
            [Value::String(name), Value::Number(transaction), values @ ..] => Said::Command {
                stream_id: header.stream_id,
                name: name.clone(),
                transaction: *transaction,
                values: values.to_vec(),
            },
            _ => Said::Message { header, payload },
        };
        self.said.push_back(said);
    }
}
