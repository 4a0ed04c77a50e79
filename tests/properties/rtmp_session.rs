//! What holds for any bytes of an RTMP client: the session survives them, what
//! it says is RTMP, what it hands up and says is bounded by what came, nobody
//! is told that publishing started before it did, and an error is the end.

use ringhall::base::random::Noise;
use ringhall::base::time::{Span, Time};
use ringhall::proto::rtmp::{Event, PlayCode, PublishCode, RtmpError, Session};
use ringhall::proto::rtmp::client::{RtmpClient, Said};
use ringhall::wire::amf::Value;
use ringhall::wire::rtmp::chunk::MessageHeader;
use ringhall::wire::rtmp::handshake::PACKET_BYTES;
use ringhall::wire::rtmp::message::Control;

/// Of the first byte: the handshake was made before these bytes.
const GREETED: u8 = 1;

/// A session, its room, and a client that only listens.
struct Visit {
    session: Session,
    listener: RtmpClient,
    now: Time,
    came: usize,
    said: usize,
    handed_up: usize,
    started: usize,
    told_of_start: usize,
}

/// Entry of the fuzz target and of the corpus replay. The first byte says
/// whether the handshake comes with the others, and how they are split.
pub fn check(data: &[u8]) {
    let Some((options, bytes)) = data.split_first() else {
        return;
    };
    let mut visit = Visit::new();
    if options & GREETED != 0 {
        let mut hello = vec![3];
        hello.resize(1 + 2 * PACKET_BYTES, 0);
        visit.hear(&hello).expect("a simple handshake");
    }
    let piece = 1 + usize::from(options >> 1) * 8;
    for piece in bytes.chunks(piece) {
        let result = visit.hear(piece);
        visit.look();
        if let Err(error) = result {
            assert_eq!(visit.hear(b"more"), Err(error));
            assert!(visit.session.take_output().is_empty());
            assert_eq!(visit.session.poll_event(), None);
            return;
        }
    }
}

impl Visit {
    fn new() -> Self {
        let mut noise = Noise::new(1);
        Visit {
            session: Session::new(Time::ZERO, &mut noise),
            listener: RtmpClient::new(None, &mut noise),
            now: Time::ZERO,
            came: 0,
            said: 0,
            handed_up: 0,
            started: 0,
            told_of_start: 0,
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), RtmpError> {
        self.now = self.now + Span::from_ms(100);
        self.came += bytes.len();
        let result = self.session.handle(self.now, bytes);
        while let Some(event) = self.session.poll_event() {
            self.answer(event);
        }
        if self.now >= self.session.deadline() {
            result.and(self.session.handle_deadline(self.now))
        } else {
            result
        }
    }

    /// The room: what it does depends on names, so that bytes decide it.
    fn answer(&mut self, event: Event) {
        match event {
            Event::Connect(connect) if connect.app == "no" => self.session.reject_connect("No."),
            Event::Connect(_) => self.session.accept_connect(),
            Event::Publish { stream_id, name } if name.len() % 8 == 7 => {
                let code = PublishCode::Denied;
                self.session.publish_refused(stream_id, code, "No.");
            }
            Event::Publish { stream_id, name } => {
                let started = self.session.publish_started(stream_id, &name);
                self.started += usize::from(started);
            }
            Event::Unpublish { stream_id } => self.session.unpublished(stream_id),
            Event::Play { stream_id, name } if name.len() % 8 == 7 => {
                let code = PlayCode::StreamNotFound;
                self.session.play_refused(stream_id, code, "No.");
            }
            Event::Play { stream_id, name } => {
                if self.session.play_started(stream_id, &name) && name.len() % 8 == 6 {
                    self.session.play_unpublished(stream_id, &name);
                }
            }
            Event::Call { name, .. } => self.session.call_client(&name, &[]),
            Event::Media { body, .. } => {
                assert!(!body.is_empty());
                self.handed_up += body.len();
            }
            Event::Stop { .. }
            | Event::Pause { .. }
            | Event::ReceiveAudio { .. }
            | Event::ReceiveVideo { .. } => {}
        }
    }

    fn look(&mut self) {
        let output = self.session.take_output();
        self.said += output.len();
        assert!(self.listener.handle(&output), "no RTMP");
        while let Some(said) = self.listener.poll() {
            if let Said::Command { name, .. } = &said {
                let start = said.code() == "NetStream.Publish.Start";
                self.told_of_start += usize::from(start && name == "onStatus");
            }
        }
        assert_eq!(self.told_of_start, self.started);
        assert!(self.handed_up <= self.came);
        assert!(
            self.said <= 8_192 + 48 * self.came,
            "{} for {}",
            self.said,
            self.came
        );
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = |value: &str| Value::String(value.to_owned());
    // Nine bytes at a time: every command comes after the answer to the last.
    let options = GREETED | 2;
    let script = |say: &dyn Fn(&mut RtmpClient)| {
        let mut client = RtmpClient::new(None, &mut Noise::new(2));
        client.handle(&vec![0; 1 + 2 * PACKET_BYTES]);
        client.take_output();
        client.connect("room", &[("objectEncoding", Value::Number(3.0))], &[]);
        client.call("createStream", &[]);
        say(&mut client);
        let mut seed = vec![options];
        seed.extend(client.take_output());
        seed
    };
    let media = |client: &mut RtmpClient, kind, payload: &[u8]| {
        let header = MessageHeader {
            timestamp: 40,
            kind,
            stream_id: 1,
        };
        client.send_message(&header, payload);
    };
    let publish = script(&|client| {
        client.call("FCPublish", &[text("alice")]);
        client.publish(1, "alice");
        client.control(Control::PingRequest(9));
        media(client, 9, &[0x17, 0, 0, 0, 0, 1]);
        media(client, 8, &[0xaf, 0, 0x12, 0x10]);
        media(
            client,
            22,
            &[8, 0, 0, 1, 0, 0, 9, 0, 0, 0, 0, 7, 0, 0, 0, 12],
        );
        media(client, 15, &[0, 2, 0, 1, b'x']);
        client.cast(1, "publish", &[Value::Null]);
        client.publish(1, "refused");
        client.cast(0, "FCUnpublish", &[text("alice")]);
        client.cast(0, "deleteStream", &[text("1")]);
    });
    let play = script(&|client| {
        client.call("getStreamLength", &[text("alice")]);
        client.play(1, "played");
        client.cast(1, "pause", &[Value::Boolean(true)]);
        client.cast(1, "receiveAudio", &[Value::Boolean(false)]);
        client.cast(1, "seek", &[Value::Number(3.0)]);
        client.play(1, "another");
        client.call("FCSubscribe", &[text("alice")]);
        client.cast(1, "closeStream", &[]);
    });
    let calls = script(&|client| {
        let payload = Value::Object(vec![("command".to_owned(), text("join"))]);
        client.cast(0, "sendData", &[payload]);
        client.call("pong", &[]);
        client.call("nonsense", &[]);
        client.control(Control::SetPeerBandwidth(1));
        client.control(Control::WindowAckSize(1));
        let amf3 = [
            0, 2, 0, 4, b'p', b'o', b'n', b'g', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 1,
        ];
        media(client, 17, &amf3);
    });
    vec![
        publish,
        play,
        calls,
        [&[0x30, 3][..], &[5; 80]].concat(),
        vec![0, 6, 0, 0],
    ]
}
