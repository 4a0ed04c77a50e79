//! A session and a scripted client beside each other: each rule of the session
//! as a claim.

use super::*;
use crate::base::limits::{MEMBER_STREAMS_MAX, RTMP_COMMAND_MAX_BYTES, RTMP_MESSAGES_BURST};
use crate::base::time::Span;
use crate::proto::rtmp::client::{RtmpClient, Said};
use crate::wire::amf::{Value, amf0};
use crate::wire::rtmp::handshake::{HandshakeError, Scheme};

struct Pair {
    session: Session,
    client: RtmpClient,
    now: Time,
}

impl Pair {
    fn new(scheme: Option<Scheme>) -> Self {
        let mut noise = Noise::new(5);
        let now = Time::from_us(1_000_000);
        Pair {
            session: Session::new(now, &mut noise),
            client: RtmpClient::new(scheme, &mut noise),
            now,
        }
    }

    /// A pair whose `connect` was accepted, with nothing left to hear.
    fn connected() -> Self {
        let mut pair = Pair::new(None);
        pair.client.connect("room", &[], &[]);
        assert!(matches!(pair.exchange().as_slice(), [Event::Connect(_)]));
        pair.session.accept_connect();
        pair.exchange();
        pair.heard();
        pair
    }

    /// A connected pair whose client has stream 1.
    fn with_stream() -> Self {
        let mut pair = Pair::connected();
        pair.client.call("createStream", &[]);
        assert_eq!(pair.exchange(), []);
        let heard = pair.heard();
        assert_eq!(
            heard,
            [command("_result", 2.0, vec![Value::Null, number(1.0)])]
        );
        pair
    }

    fn publishing() -> Self {
        let mut pair = Pair::with_stream();
        pair.client.publish(1, "alice");
        pair.exchange();
        assert!(pair.session.publish_started(1, "alice"));
        pair.exchange();
        pair.heard();
        pair
    }

    fn playing() -> Self {
        let mut pair = Pair::with_stream();
        pair.client.play(1, "alice");
        pair.exchange();
        assert!(pair.session.play_started(1, "alice"));
        pair.exchange();
        pair.heard();
        pair
    }

    fn exchange(&mut self) -> Vec<Event> {
        self.try_exchange().unwrap()
    }

    /// Carries bytes both ways until both are silent.
    fn try_exchange(&mut self) -> Result<Vec<Event>, RtmpError> {
        let mut events = Vec::new();
        loop {
            let to_server = self.client.take_output();
            let result = match to_server.is_empty() {
                true => Ok(()),
                false => self.session.handle(self.now, &to_server),
            };
            events.extend(std::iter::from_fn(|| self.session.poll_event()));
            let to_client = self.session.take_output();
            assert!(self.client.handle(&to_client));
            result?;
            if to_client.is_empty() && to_server.is_empty() {
                return Ok(events);
            }
        }
    }

    fn heard(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.client.poll()).collect()
    }

    fn codes(&mut self) -> Vec<String> {
        let heard = self.heard();
        let codes = heard.iter().map(Said::code).filter(|code| !code.is_empty());
        codes.map(str::to_owned).collect()
    }

    fn send(&mut self, kind: u8, stream_id: u32, timestamp: u32, payload: &[u8]) {
        let header = MessageHeader {
            timestamp,
            kind,
            stream_id,
        };
        self.client.send_message(&header, payload);
    }
}

fn number(value: f64) -> Value {
    Value::Number(value)
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn command(name: &str, transaction: f64, values: Vec<Value>) -> Said {
    Said::Command {
        stream_id: 0,
        name: name.to_owned(),
        transaction,
        values,
    }
}

fn media(kind: MediaKind, timestamp: u32, body: &'static [u8]) -> Event {
    Event::Media {
        stream_id: 1,
        kind,
        timestamp,
        body: Bytes::from_static(body),
    }
}

#[test]
fn every_handshake_leads_to_connect() {
    for scheme in [None, Some(Scheme::DigestFirst), Some(Scheme::KeyFirst)] {
        let mut pair = Pair::new(scheme);
        let object = Value::Object(vec![("login".to_owned(), text("Bob"))]);
        pair.client.connect("", &[], std::slice::from_ref(&object));
        let events = pair.exchange();
        let [Event::Connect(connect)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(connect.app, "");
        assert_eq!(connect.tc_url, "rtmp://server/");
        assert_eq!(connect.flash_version, "LNX 9,0,124,2");
        assert_eq!(connect.arguments, [object]);
        assert!(!connect.enhanced && !connect.accepts_opus);
        assert_eq!(connect.object_encoding, 0.0);
        // Nothing is promised before it is accepted.
        assert_eq!(pair.heard(), []);
        pair.session.accept_connect();
        pair.exchange();
        assert_accepted(&pair.heard());
        assert_eq!(pair.session.chunk_size(), 4_096);
    }
}

fn assert_accepted(heard: &[Said]) {
    let [
        Said::Control(Control::WindowAckSize(2_500_000)),
        Said::Control(Control::SetPeerBandwidth(2_500_000)),
        Said::Control(Control::StreamBegin(0)),
        result,
    ] = heard
    else {
        panic!("{heard:?}");
    };
    assert_eq!(result.code(), "NetConnection.Connect.Success");
    let Said::Command { name, values, .. } = result else {
        panic!("{result:?}");
    };
    assert_eq!(name, "_result");
    assert_eq!(values[0].property("capabilities"), Some(&number(31.0)));
    assert_eq!(values[0].property("fourCcList"), None);
    assert_eq!(values[1].property("objectEncoding"), Some(&number(0.0)));
}

#[test]
fn the_handshake_may_come_in_pieces() {
    let mut noise = Noise::new(5);
    let mut client = RtmpClient::new(Some(Scheme::KeyFirst), &mut noise);
    let mut session = Session::new(Time::ZERO, &mut noise);
    client.connect("room", &[], &[]);
    while session.events.is_empty() {
        for byte in client.take_output() {
            session.handle(Time::ZERO, &[byte]).unwrap();
        }
        for byte in session.take_output() {
            assert!(client.handle(&[byte]));
        }
    }
    assert!(matches!(session.poll_event(), Some(Event::Connect(_))));
}

#[test]
fn other_protocols_are_refused_at_their_first_byte() {
    let mut session = Session::new(Time::ZERO, &mut Noise::new(1));
    let error = RtmpError::Handshake(HandshakeError::Version(b'G'));
    assert_eq!(session.handle(Time::ZERO, b"GET / HTTP/1.1"), Err(error));
    // An error is final.
    assert_eq!(session.handle(Time::ZERO, &[3]), Err(error));
    assert_eq!(session.handle_deadline(Time::ZERO), Err(error));
    let mut session = Session::new(Time::ZERO, &mut Noise::new(1));
    let error = RtmpError::Handshake(HandshakeError::Encrypted);
    assert_eq!(session.handle(Time::ZERO, &[6]), Err(error));
    assert!(session.take_output().is_empty());
}

#[test]
fn connect_tells_what_is_enhanced() {
    let list = |codecs: &[&str]| {
        let codecs = codecs.iter().map(|codec| text(codec)).collect();
        ("fourCcList", Value::StrictArray(codecs))
    };
    let map = |codec: &str, bits: f64| {
        let entry = (codec.to_owned(), number(bits));
        ("audioFourCcInfoMap", Value::Object(vec![entry]))
    };
    for (property, enhanced, opus) in [
        (list(&["avc1", "Opus"]), true, true),
        (list(&["*"]), true, true),
        (list(&["av01"]), true, false),
        (map("Opus", 1.0), true, true),
        (map("*", 4.0), true, true),
        (map("Opus", 2.0), true, false),
        (("capsEx", number(3.0)), true, false),
        (("audioCodecs", number(3_191.0)), false, false),
    ] {
        let mut pair = Pair::new(None);
        pair.client
            .connect("room", std::slice::from_ref(&property), &[]);
        let events = pair.exchange();
        let [Event::Connect(connect)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(connect.enhanced, enhanced, "{property:?}");
        assert_eq!(connect.accepts_opus, opus, "{property:?}");
        pair.session.accept_connect();
        pair.exchange();
        let heard = pair.heard();
        let Some(Said::Command { values, .. }) = heard.last() else {
            panic!("{heard:?}");
        };
        // What was said is answered, and nothing else.
        for key in ["fourCcList", "audioFourCcInfoMap", "capsEx"] {
            let answered = values[0].property(key).is_some();
            assert_eq!(answered, key == property.0);
        }
        if property.0 == "capsEx" {
            assert_eq!(values[0].property("capsEx"), Some(&number(1.0)));
        }
    }
}

#[test]
fn a_rejected_client_is_told_and_not_heard() {
    let mut pair = Pair::new(None);
    pair.client.connect("room", &[], &[]);
    pair.exchange();
    pair.session.reject_connect("No such room.");
    pair.client.call("createStream", &[]);
    assert_eq!(pair.exchange(), []);
    let heard = pair.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].code(), "NetConnection.Connect.Rejected");
    assert!(matches!(&heard[0], Said::Command { name, transaction, .. }
        if name == "_error" && *transaction == 1.0));
}

#[test]
fn commands_wait_for_an_accepted_connect() {
    let mut pair = Pair::new(None);
    pair.client.call("createStream", &[]);
    assert_eq!(pair.try_exchange(), Err(RtmpError::NotConnected));
    let mut pair = Pair::new(None);
    pair.client.connect("room", &[], &[]);
    pair.client.call("createStream", &[]);
    assert!(matches!(pair.exchange()[..], [Event::Connect(_)]));
    assert!(
        pair.session.holds_input(),
        "some do not wait for the answer"
    );
    pair.session.accept_connect();
    assert_eq!(pair.session.handle(pair.now, &[]), Ok(()));
    assert_eq!(pair.exchange(), []);
    assert!(!pair.session.holds_input());
    let answered = pair.heard();
    let created = |said: &Said| matches!(said, Said::Command { name, .. } if name == "_result");
    assert_eq!(answered.iter().filter(|said| created(said)).count(), 2);
    let mut pair = Pair::new(None);
    pair.client.connect("room", &[], &[]);
    pair.client
        .call("x", &[amf::Value::String("x".repeat(RTMP_HELD_MAX_BYTES))]);
    assert_eq!(
        pair.try_exchange(),
        Err(RtmpError::NotConnected),
        "too much"
    );
    let mut pair = Pair::connected();
    pair.client.connect("room", &[], &[]);
    assert_eq!(pair.try_exchange(), Err(RtmpError::ConnectedTwice));
    let mut pair = Pair::connected();
    pair.send(message::COMMAND, 0, 0, &[5]);
    assert_eq!(pair.try_exchange(), Err(RtmpError::Nameless));
}

#[test]
fn chunk_sizes_are_heeded_before_connect() {
    let mut pair = Pair::new(None);
    pair.client.set_chunk_size(4_096);
    let long = "x".repeat(1_000);
    pair.client.connect(&long, &[], &[]);
    let events = pair.exchange();
    assert!(matches!(&events[..], [Event::Connect(connect)] if connect.app == long));
}

#[test]
fn publishing_starts_when_the_owner_says_so() {
    let mut pair = Pair::with_stream();
    pair.client.call("releaseStream", &[text("alice")]);
    pair.client.call("FCPublish", &[text("alice")]);
    pair.client.publish(1, "alice?token=x");
    let publish = Event::Publish {
        stream_id: 1,
        name: "alice?token=x".to_owned(),
    };
    assert_eq!(pair.exchange(), [publish]);
    let heard = pair.heard();
    let undefined = || vec![Value::Null, Value::Undefined];
    assert_eq!(
        heard,
        [
            command("_result", 3.0, undefined()),
            command("_result", 4.0, undefined())
        ]
    );
    // Media that does not wait for the answer is dropped.
    pair.send(message::VIDEO, 1, 0, b"early");
    assert_eq!(pair.exchange(), []);
    assert!(!pair.session.publish_started(1, "bob"));
    assert!(pair.session.publish_started(1, "alice?token=x"));
    assert!(!pair.session.publish_started(1, "alice?token=x"));
    pair.exchange();
    let heard = pair.heard();
    assert_eq!(heard[1], Said::Control(Control::StreamBegin(1)));
    assert_eq!(heard[0].code(), "NetStream.Publish.Start");
    assert_eq!(heard[2].code(), "NetStream.Publish.Start");
    assert!(matches!(&heard[0], Said::Command { name, .. } if name == "onFCPublish"));
    assert!(matches!(&heard[2], Said::Command { name, stream_id: 1, .. } if name == "onStatus"));
    assert_eq!(heard.len(), 3);
    pair.send(message::VIDEO, 1, u32::MAX, b"key");
    pair.send(message::AUDIO, 1, 0, b"sound");
    assert_eq!(
        pair.exchange(),
        [
            media(MediaKind::Video, u32::MAX, b"key"),
            media(MediaKind::Audio, 0, b"sound")
        ]
    );
}

#[test]
fn a_client_without_fcpublish_hears_no_onfcpublish() {
    let mut pair = Pair::with_stream();
    pair.client.publish(1, "alice");
    pair.exchange();
    pair.session.publish_started(1, "alice");
    pair.exchange();
    assert_eq!(pair.codes(), ["NetStream.Publish.Start"]);
}

#[test]
fn publishing_is_refused_by_name() {
    for (code, said) in [
        (PublishCode::BadName, "NetStream.Publish.BadName"),
        (PublishCode::Denied, "NetStream.Publish.Denied"),
    ] {
        let mut pair = Pair::with_stream();
        pair.client.publish(1, "alice");
        pair.exchange();
        pair.session.publish_refused(1, code, "No.");
        pair.send(message::VIDEO, 1, 0, b"anyway");
        assert_eq!(pair.exchange(), []);
        assert_eq!(pair.codes(), [said]);
        // The stream may ask again.
        pair.client.publish(1, "bob");
        assert!(matches!(&pair.exchange()[..], [Event::Publish { .. }]));
    }
    // The session itself refuses unknown streams, used ones and no name.
    let mut pair = Pair::publishing();
    pair.client.publish(9, "alice");
    pair.client.publish(1, "bob");
    pair.client.play(1, "bob");
    pair.client.call("createStream", &[]);
    pair.client.publish(2, "");
    pair.client.play(9, "alice");
    pair.client.play(2, "");
    assert_eq!(pair.exchange(), []);
    assert_eq!(
        pair.codes(),
        [
            "NetStream.Failed",
            "NetStream.Publish.BadName",
            "NetStream.Play.Failed",
            "NetStream.Publish.BadName",
            "NetStream.Failed",
            "NetStream.Play.StreamNotFound",
        ]
    );
}

#[test]
fn publishing_ends_in_every_way_of_the_field() {
    let ways: [(u32, &str, &[Value]); 7] = [
        (1, "closeStream", &[]),
        (0, "deleteStream", &[number(1.0)]),
        (0, "deleteStream", &[text("1")]),
        (0, "deleteStream", &[text("alice")]),
        (0, "FCUnpublish", &[text("alice")]),
        (1, "publish", &[Value::Boolean(false)]),
        (1, "publish", &[Value::Null]),
    ];
    for (stream_id, name, arguments) in ways {
        let mut pair = Pair::publishing();
        pair.client.cast(stream_id, name, arguments);
        pair.client.cast(stream_id, name, arguments);
        pair.send(message::VIDEO, 1, 0, b"late");
        let ended = Event::Unpublish { stream_id: 1 };
        assert_eq!(pair.exchange(), [ended], "{name}");
        pair.session.unpublished(1);
        pair.exchange();
        let codes = pair.codes();
        match name {
            "deleteStream" => assert!(codes.is_empty()),
            _ => assert_eq!(codes, ["NetStream.Unpublish.Success"], "{name}"),
        }
    }
}

#[test]
fn the_server_can_end_publishing() {
    let mut pair = Pair::publishing();
    pair.session.unpublished(1);
    pair.send(message::VIDEO, 1, 0, b"late");
    assert_eq!(pair.exchange(), []);
    assert_eq!(pair.codes(), ["NetStream.Unpublish.Success"]);
    pair.client.publish(1, "alice");
    assert!(matches!(&pair.exchange()[..], [Event::Publish { .. }]));
}

#[test]
fn a_stream_published_anew_at_once_is_published() {
    let mut pair = Pair::publishing();
    pair.client.cast(1, "publish", &[Value::Null]);
    pair.client.publish(1, "bob");
    assert_eq!(pair.exchange().len(), 2);
    pair.session.unpublished(1);
    assert!(pair.session.publish_started(1, "bob"));
}

#[test]
fn media_without_a_stream_ends_the_connection() {
    let mut pair = Pair::with_stream();
    for _ in 0..RTMP_STRAY_MEDIA_MAX {
        pair.send(message::AUDIO, 1, 0, b"a");
    }
    assert_eq!(pair.exchange(), []);
    pair.send(message::AUDIO, 7, 0, b"a");
    assert_eq!(pair.try_exchange(), Err(RtmpError::StrayMedia));
}

#[test]
fn data_of_both_formats_reads_the_same() {
    let mut pair = Pair::publishing();
    pair.send(message::DATA, 1, 7, &[2, 0, 1, b'x']);
    pair.send(message::DATA_AMF3, 1, 7, &[0, 2, 0, 1, b'x']);
    let expected = media(MediaKind::Data, 7, &[2, 0, 1, b'x']);
    assert_eq!(pair.exchange(), [expected.clone(), expected]);
}

#[test]
fn aggregates_come_apart() {
    let mut pair = Pair::publishing();
    let mut payload = vec![8, 0, 0, 1, 0, 0, 50, 0, 0, 0, 0, b'a', 0, 0, 0, 12];
    payload.extend([9, 0, 0, 1, 0, 0, 73, 0, 0, 0, 0, b'v', 0, 0, 0, 12]);
    payload.extend([20, 0, 0, 1, 0, 0, 73, 0, 0, 0, 0, b'c', 0, 0, 0, 12]);
    pair.send(message::AGGREGATE, 1, 1_000, &payload);
    assert_eq!(
        pair.exchange(),
        [
            media(MediaKind::Audio, 1_000, b"a"),
            media(MediaKind::Video, 1_023, b"v")
        ]
    );
}

#[test]
fn empty_messages_say_nothing() {
    let mut pair = Pair::publishing();
    for kind in [8, 9, 15, 17, 18, 20, 22] {
        pair.send(kind, 1, 0, b"");
    }
    assert_eq!(pair.exchange(), []);
}

#[test]
fn playing_starts_ends_and_starts_again() {
    let mut pair = Pair::with_stream();
    pair.client.play(1, "alice");
    let play = Event::Play {
        stream_id: 1,
        name: "alice".to_owned(),
    };
    assert_eq!(pair.exchange(), [play]);
    assert_eq!(pair.heard(), []);
    assert!(pair.session.play_started(1, "alice"));
    pair.exchange();
    let heard = pair.heard();
    assert_eq!(heard[0], Said::Control(Control::StreamBegin(1)));
    assert_eq!(heard[1].code(), "NetStream.Play.Reset");
    assert_eq!(heard[2].code(), "NetStream.Play.Start");
    let Said::Message { header, payload } = &heard[3] else {
        panic!("{heard:?}");
    };
    assert_eq!((header.kind, header.stream_id), (message::DATA, 1));
    let access = [
        text("|RtmpSampleAccess"),
        Value::Boolean(true),
        Value::Boolean(true),
    ];
    assert_eq!(amf0::read_all(payload).unwrap(), access);
    pair.session.play_unpublished(1, "alice");
    pair.exchange();
    let heard = pair.heard();
    assert_eq!(heard[1], Said::Control(Control::StreamEof(1)));
    let codes: Vec<&str> = [0, 2].map(|at| heard[at].code()).to_vec();
    assert_eq!(
        codes,
        ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"]
    );
}

#[test]
fn playing_is_refused_by_code() {
    for (code, said) in [
        (PlayCode::StreamNotFound, "NetStream.Play.StreamNotFound"),
        (PlayCode::Failed, "NetStream.Play.Failed"),
    ] {
        let mut pair = Pair::with_stream();
        pair.client.play(1, "alice");
        pair.exchange();
        pair.session.play_refused(1, code, "No.");
        assert!(!pair.session.play_started(1, "alice"));
        pair.session.play_unpublished(1, "alice");
        pair.exchange();
        assert_eq!(pair.codes(), [said]);
    }
}

#[test]
fn a_player_turns_things_on_and_off() {
    let mut pair = Pair::playing();
    let on = [Value::Boolean(true)];
    let off = [Value::Boolean(false)];
    pair.client
        .cast(1, "pause", &[Value::Boolean(true), number(0.0)]);
    pair.client.cast(1, "pause", &off);
    pair.client.cast(1, "receiveAudio", &off);
    pair.client.cast(1, "receiveVideo", &on);
    pair.client.cast(1, "seek", &[number(5.0)]);
    pair.client.cast(9, "pause", &on);
    let pause = |paused| Event::Pause {
        stream_id: 1,
        paused,
    };
    assert_eq!(
        pair.exchange(),
        [
            pause(true),
            pause(false),
            Event::ReceiveAudio {
                stream_id: 1,
                on: false
            },
            Event::ReceiveVideo {
                stream_id: 1,
                on: true
            },
        ]
    );
    assert_eq!(
        pair.codes(),
        [
            "NetStream.Pause.Notify",
            "NetStream.Unpause.Notify",
            "NetStream.Seek.Failed"
        ]
    );
    pair.client.play(1, "bob");
    assert_eq!(pair.exchange().first(), Some(&Event::Stop { stream_id: 1 }));
    pair.client.cast(0, "deleteStream", &[number(1.0)]);
    assert_eq!(pair.exchange(), [Event::Stop { stream_id: 1 }]);
}

#[test]
fn calls_are_answered_when_they_want_to_be() {
    let mut pair = Pair::connected();
    pair.client.call("getStreamLength", &[text("alice")]);
    pair.client.call("_checkbw", &[]);
    pair.client.call("FCSubscribe", &[text("alice")]);
    pair.client.call("nonsense", &[]);
    pair.client.cast(0, "nonsense", &[]);
    pair.client.cast(0, "releaseStream", &[text("alice")]);
    pair.client.cast(0, "_result", &[]);
    assert_eq!(pair.exchange(), []);
    let heard = pair.heard();
    let names: Vec<(&str, f64)> = heard
        .iter()
        .filter_map(|said| match said {
            Said::Command {
                name, transaction, ..
            } => Some((name.as_str(), *transaction)),
            _ => None,
        })
        .collect();
    assert_eq!(
        names,
        [
            ("_result", 2.0),
            ("_result", 3.0),
            ("_result", 4.0),
            ("onFCSubscribe", 0.0),
            ("_error", 5.0)
        ]
    );
    assert_eq!(
        heard[0],
        command("_result", 2.0, vec![Value::Null, number(0.0)])
    );
    assert_eq!(heard[4].code(), "NetConnection.Call.Failed");
}

#[test]
fn calls_of_the_room_are_handed_up() {
    let mut pair = Pair::connected();
    let object = Value::Object(vec![("operationId".to_owned(), text("1"))]);
    pair.client
        .cast(0, "sendData", std::slice::from_ref(&object));
    pair.client.call("pong", &[]);
    let call = |name: &str, arguments| Event::Call {
        name: name.to_owned(),
        arguments,
    };
    assert_eq!(
        pair.exchange(),
        [call("sendData", vec![object.clone()]), call("pong", vec![])]
    );
    assert_eq!(
        pair.heard(),
        [command("_result", 2.0, vec![Value::Null, Value::Undefined])]
    );
    pair.session
        .call_client("DataStatusEvent", std::slice::from_ref(&object));
    pair.session.call_client("ping", &[]);
    pair.session.request_reconnect();
    pair.exchange();
    let heard = pair.heard();
    let expected = command("DataStatusEvent", 0.0, vec![Value::Null, object]);
    assert_eq!(heard[0], expected);
    assert_eq!(heard[1], command("ping", 0.0, vec![Value::Null]));
    assert_eq!(heard[2].code(), "NetConnection.Connect.ReconnectRequest");
}

#[test]
fn commands_of_amf3_are_read() {
    let mut pair = Pair::connected();
    // createStream, a format byte before it and an AMF3 null behind.
    let mut payload = vec![0];
    amf0::write(&mut payload, &text("createStream"));
    amf0::write(&mut payload, &number(9.0));
    payload.extend([0x11, 0x01]);
    pair.send(message::COMMAND_AMF3, 0, 0, &payload);
    pair.exchange();
    assert_eq!(
        pair.heard(),
        [command("_result", 9.0, vec![Value::Null, number(1.0)])]
    );
}

#[test]
fn the_encoding_asked_for_is_echoed() {
    let mut pair = Pair::new(None);
    pair.client
        .connect("", &[("objectEncoding", number(3.0))], &[]);
    let events = pair.exchange();
    assert!(matches!(&events[..], [Event::Connect(c)] if c.object_encoding == 3.0));
    pair.session.accept_connect();
    pair.exchange();
    let heard = pair.heard();
    assert!(matches!(heard.last(), Some(Said::Command { values, .. })
        if values[1].property("objectEncoding") == Some(&number(3.0))));
}

#[test]
fn streams_have_a_cap() {
    let mut pair = Pair::connected();
    for _ in 0..=MEMBER_STREAMS_MAX {
        pair.client.call("createStream", &[]);
    }
    pair.exchange();
    assert_eq!(pair.codes(), ["NetConnection.Call.Failed"]);
}

#[test]
fn long_commands_are_refused() {
    let mut pair = Pair::connected();
    let long = "x".repeat(RTMP_COMMAND_MAX_BYTES);
    pair.client.call("sendData", &[text(&long)]);
    let result = pair.try_exchange();
    assert!(matches!(result, Err(RtmpError::CommandTooLong { .. })));
}

#[test]
fn what_arrived_is_acknowledged_once_a_window() {
    let mut pair = Pair::publishing();
    pair.client.control(Control::WindowAckSize(5_000));
    pair.exchange();
    pair.heard();
    let acks = |pair: &mut Pair| -> Vec<Said> {
        let heard = pair.heard();
        let ack = |said: &Said| matches!(said, Said::Control(Control::Acknowledgement(_)));
        heard.into_iter().filter(ack).collect()
    };
    // So much has come that it may be at once; then a window must pass.
    pair.send(message::VIDEO, 1, 0, &[0; 6_000]);
    pair.exchange();
    assert_eq!(acks(&mut pair).len(), 1);
    pair.send(message::VIDEO, 1, 0, &[0; 1_000]);
    pair.exchange();
    assert_eq!(acks(&mut pair).len(), 0);
    // The count wraps.
    pair.session.received = u32::MAX - 10;
    pair.session.acknowledged = pair.session.received;
    pair.send(message::VIDEO, 1, 0, &[0; 6_000]);
    pair.exchange();
    let acks = acks(&mut pair);
    assert!(matches!(acks[..], [Said::Control(Control::Acknowledgement(n))] if n < 7_000));
}

#[test]
fn pings_and_bandwidth_are_answered() {
    let mut pair = Pair::connected();
    pair.client.control(Control::PingRequest(77));
    pair.client.control(Control::SetPeerBandwidth(9_999));
    pair.exchange();
    assert_eq!(
        pair.heard(),
        [
            Said::Control(Control::PingResponse(77)),
            Said::Control(Control::WindowAckSize(RTMP_WINDOW_BYTES))
        ]
    );
}

#[test]
fn a_client_must_connect_in_time() {
    let mut pair = Pair::new(None);
    pair.exchange();
    let deadline = pair.session.deadline();
    assert_eq!(deadline, pair.now + RTMP_CONNECT_MAX);
    // Bytes do not move it.
    pair.now = deadline - Span::from_ms(1);
    pair.client.set_chunk_size(500);
    pair.exchange();
    assert_eq!(pair.session.deadline(), deadline);
    assert_eq!(pair.session.handle_deadline(pair.now), Ok(()));
    let timeout = Err(RtmpError::ConnectTimeout);
    assert_eq!(pair.session.handle_deadline(deadline), timeout);
}

#[test]
fn a_quiet_client_is_pinged_and_a_silent_one_given_up() {
    let mut pair = Pair::connected();
    for _ in 0..10 {
        let due = pair.session.deadline();
        assert_eq!(due, pair.now + RTMP_PING_INTERVAL);
        pair.now = due;
        pair.session.handle_deadline(due).unwrap();
        pair.exchange();
        assert!(matches!(
            pair.heard()[..],
            [Said::Control(Control::PingRequest(_))]
        ));
    }
    pair.client.ignore_pings();
    let silent_since = pair.now;
    let mut pings = 0;
    while pair
        .session
        .handle_deadline(pair.session.deadline())
        .is_ok()
    {
        pair.exchange();
        pings += pair.heard().len();
        pair.now = pair.session.deadline();
    }
    assert_eq!(pings, 2);
    assert_eq!(pair.now, silent_since + RTMP_IDLE_MAX);
    assert_eq!(pair.session.handle(pair.now, &[]), Err(RtmpError::Idle));
}

#[test]
fn messages_are_counted_however_short_and_parts_of_aggregates_too() {
    let mut pair = Pair::publishing();
    let flood = RTMP_MESSAGES_BURST as usize;
    for _ in 0..flood {
        pair.send(message::AUDIO, 1, 0, b"x");
    }
    assert_eq!(pair.try_exchange(), Err(RtmpError::Flood));
    let mut pair = Pair::publishing();
    let part = [&[8, 0, 0, 1][..], &[0; 7], b"x", &[0, 0, 0, 12]].concat();
    pair.send(message::AGGREGATE, 1, 0, &part.repeat(flood));
    assert_eq!(pair.try_exchange(), Err(RtmpError::Flood));
    let mut pair = Pair::publishing();
    for second in 0..30 {
        for _ in 0..500 {
            pair.send(message::AUDIO, 1, second * 1_000, b"x");
        }
        assert_eq!(pair.exchange().len(), 500, "a busy stream");
        pair.now = pair.now + Span::from_secs(1);
    }
}

#[test]
fn a_part_of_an_aggregate_keeps_no_more_than_itself_in_memory() {
    let mut pair = Pair::publishing();
    let long = [&[18, 1, 0, 0][..], &[0; 7], &[2; 0x1_0000], &[0, 1, 0, 11]].concat();
    let short = [&[8, 0, 0, 1][..], &[0; 7], b"x", &[0, 0, 0, 12]].concat();
    pair.send(message::AGGREGATE, 1, 0, &[long, short].concat());
    let events = pair.exchange();
    let Some(Event::Media { body, .. }) = events.into_iter().nth(1) else {
        panic!("two parts");
    };
    // Only what nobody shares can be taken back as it is.
    let bytes = body.try_into_mut().unwrap();
    assert!(bytes.capacity() < 64, "{}", bytes.capacity());
}
