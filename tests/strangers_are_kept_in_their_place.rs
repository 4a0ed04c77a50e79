//! The web port against people it does not know: tokens, origins, rates,
//! operators' doors, moderators, and readers who take their time. The core is
//! driven by hand: no socket, no clock.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use ringhall::base::limits::{HTTP_ANSWER_MAX, HTTP_PIECE_BYTES, HTTP_STALL_MAX};
use ringhall::base::time::{Span, Time};
use ringhall::core::{
    CloseCause, ConnectionId, Core, CoreId, Door, Input, Machine, Outbox, RateSettings,
    RecordAsked, RecordPiece, RenderForm, Rendered, Rules, Setup,
};
use ringhall::io::certificate::certificate;
use ringhall::ops::access::Access;
use ringhall::proto::dtls::{Identity, MaxVersion};
use ringhall::proto::ws::client_text_frame;
use ringhall::signal::session::KeepAlive;
use ringhall::wire::codec::VideoCodec;

const UNIX_S: u64 = 1_700_000_000;
const SECRET: &[u8] = b"a secret of at least 32 bytes, yes";
const ADMIN: &str = "an-admin-token-of-24-chars";

struct House {
    core: Core,
    now: Time,
    out: Outbox,
    next: u64,
    /// What each connection was written.
    written: BTreeMap<ConnectionId, Vec<u8>>,
    closed: Vec<ConnectionId>,
}

impl House {
    fn new(rules: Rules) -> Self {
        let made = certificate().unwrap();
        let identity = Identity::new(
            made.certificate,
            made.key,
            MaxVersion::Dtls12,
            Instant::now(),
            None,
        );
        let setup = Setup {
            core: CoreId(0),
            cores: 1,
            candidates: vec!["192.0.2.1:31000".parse().unwrap()],
            identity: identity.unwrap(),
            tls: None,
            rules,
            video_codecs: vec![VideoCodec::H264, VideoCodec::Vp8],
            max_bitrate_kbps: None,
            opus_bitrate_bps: 64_000,
            aac_bitrate_bps: 96_000,
            keep_alive: KeepAlive {
                interval: Span::from_secs(5),
                probes: 3,
            },
            unix_us_at_zero: UNIX_S * 1_000_000,
            seed: [7; 32],
            room_key: 1,
        };
        House {
            core: Core::new(Time::ZERO, setup),
            now: Time::ZERO,
            out: Outbox::new(),
            next: 0,
            written: BTreeMap::new(),
            closed: Vec::new(),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input, &mut self.out);
        for (id, bytes) in self.out.writes.drain(..) {
            self.written
                .entry(id)
                .or_default()
                .extend_from_slice(&bytes);
        }
        self.closed.append(&mut self.out.closes);
    }

    fn connect_from(&mut self, peer: &str, door: Door) -> ConnectionId {
        self.next += 1;
        let connection = ConnectionId(self.next);
        let peer: SocketAddr = peer.parse().unwrap();
        self.input(Input::Accepted {
            connection,
            peer,
            door,
        });
        connection
    }

    fn connect(&mut self) -> ConnectionId {
        self.connect_from("127.0.0.1:1000", Door::Plain)
    }

    fn send(&mut self, connection: ConnectionId, bytes: &[u8]) {
        self.input(Input::Bytes { connection, bytes });
    }

    fn said(&mut self, id: ConnectionId) -> String {
        let bytes = self.written.remove(&id).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn drained(&mut self, connection: ConnectionId) {
        assert_eq!(std::mem::take(&mut self.out.drains), [connection]);
        self.input(Input::Drained { connection });
    }

    fn pass(&mut self, span: Span) {
        self.now = self.now + span;
        self.core.advance(self.now, &mut self.out);
        self.closed.append(&mut self.out.closes);
    }

    fn is_closed(&self, id: ConnectionId) -> bool {
        self.closed.contains(&id)
    }

    /// Status and whole text of a request on a connection of its own.
    fn ask(&mut self, peer: &str, head: &str, body: &str) -> (u16, String) {
        let id = self.connect_from(peer, Door::Plain);
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.send(id, request.as_bytes());
        let text = self.said(id);
        let status = text.get(9..12).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), text)
    }

    fn session(&mut self, peer: &str, login: &str, token: Option<&str>) -> ConnectionId {
        let id = self.connect_from(peer, Door::Plain);
        self.send(id, upgrade("").as_bytes());
        let token = token.map_or(String::new(), |token| format!(",\"token\":\"{token}\""));
        let connection = format!(
            r#"{{"message":"connection","data":[{{"custom":{{"login":"{login}"{token}}}}}]}}"#
        );
        self.say(id, &connection);
        let said = self.said(id);
        assert!(said.contains("getUserData"), "{said}");
        id
    }

    fn say(&mut self, id: ConnectionId, text: &str) {
        let frame = client_text_frame(text, [1, 2, 3, 4]);
        self.send(id, &frame);
    }

    fn join(&mut self, id: ConnectionId, room: &str) -> String {
        self.say(
            id,
            &format!(
                r#"{{"message":"sendData","data":[{{"operationId":"o","payload":{{"command":"join","options":{{"name":"{room}"}}}}}}]}}"#
            ),
        );
        self.said(id)
    }

    /// A participant of a room, at a door without tokens.
    fn member(&mut self, login: &str, room: &str) -> ConnectionId {
        let id = self.session("192.0.2.9:1", login, None);
        let said = self.join(id, room);
        assert!(said.contains("ACCEPTED"), "{said}");
        id
    }
}

fn upgrade(header: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: hall.example:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
    )
}

/// A JWT over these claims, made here with another implementation of the hash.
fn token(secret: &[u8], claims: &str) -> String {
    use ring::hmac;
    let part = |bytes: &[u8]| {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk
                .iter()
                .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
            let word = word << (8 * (3 - chunk.len()));
            for digit in 0..=chunk.len() {
                let index = word >> (18 - 6 * digit) & 63;
                text.push(char::from(DIGITS[index as usize]));
            }
        }
        text
    };
    let text = format!(
        "{}.{}",
        part(br#"{"alg":"HS256","typ":"JWT"}"#),
        part(claims.as_bytes())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mac = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", part(mac.as_ref()))
}

fn with_tokens() -> Rules {
    Rules {
        access: Access::with_secret(SECRET),
        ..Rules::default()
    }
}

const LONG: u64 = UNIX_S + 1_000;

#[test]
fn a_join_needs_a_token_for_this_room_and_login() {
    let mut house = House::new(with_tokens());
    let cases = [
        (None, "Access token is missing"),
        (Some("x".to_string()), "Access token is malformed"),
        (
            Some(token(
                b"another secret of at least 32 bytes",
                &format!(r#"{{"room":"tea","login":"Ann","exp":{LONG}}}"#),
            )),
            "Access token has a wrong signature",
        ),
        (
            Some(token(
                SECRET,
                &format!(r#"{{"room":"tea","login":"Ann","exp":{}}}"#, UNIX_S - 1),
            )),
            "Access token has expired",
        ),
        (
            Some(token(
                SECRET,
                &format!(
                    r#"{{"room":"tea","login":"Ann","exp":{LONG},"nbf":{}}}"#,
                    UNIX_S + 500
                ),
            )),
            "Access token is not valid yet",
        ),
        (
            Some(token(
                SECRET,
                &format!(r#"{{"room":"pub","login":"Ann","exp":{LONG}}}"#),
            )),
            "Access token is for another room",
        ),
        (
            Some(token(
                SECRET,
                &format!(r#"{{"room":"tea","login":"Eve","exp":{LONG}}}"#),
            )),
            "Access token is for another login",
        ),
    ];
    for (shown, info) in cases {
        let ann = house.session("192.0.2.1:1", "Ann", shown.as_deref());
        let said = house.join(ann, "tea");
        assert!(
            said.contains("FAILED") && said.contains(info),
            "{info}: {said}"
        );
    }
    let good = token(
        SECRET,
        &format!(r#"{{"room":"tea","login":"Ann","exp":{LONG}}}"#),
    );
    let ann = house.session("192.0.2.1:1", "Ann", Some(&good));
    assert!(house.join(ann, "tea").contains("ACCEPTED"));
    assert!(house.join(ann, "pub").contains("another room"));
}

fn publish(id: &str) -> String {
    format!(
        r#"{{"message":"publishStream","data":[{{"mediaSessionId":"{id}","name":"tea-Ann-{id}","sdp":"v=0","custom":{{"name":"tea"}}}}]}}"#
    )
}

#[test]
fn a_token_that_expired_or_forbids_it_publishes_nothing() {
    let mut house = House::new(with_tokens());
    let viewer = token(
        SECRET,
        &format!(r#"{{"room":"tea","login":"Ann","publish":false,"exp":{LONG}}}"#),
    );
    let ann = house.session("192.0.2.1:1", "Ann", Some(&viewer));
    assert!(house.join(ann, "tea").contains("ACCEPTED"));
    house.say(ann, &publish("a"));
    let said = house.said(ann);
    assert!(
        said.contains("FAILED") && said.contains("Restricted access"),
        "{said}"
    );

    let short = token(
        SECRET,
        &format!(r#"{{"room":"tea","login":"Ben","exp":{}}}"#, UNIX_S + 60),
    );
    let ben = house.session("192.0.2.1:1", "Ben", Some(&short));
    assert!(house.join(ben, "tea").contains("ACCEPTED"));
    house.now = Time::ZERO + Span::from_secs(61);
    house.say(ben, &publish("b"));
    let said = house.said(ben);
    assert!(
        said.contains("FAILED") && said.contains("has expired"),
        "{said}"
    );
    // The id is free again: a refusal is no stream.
    house.say(ben, &publish("b"));
    assert!(house.said(ben).contains("has expired"));
}

#[test]
fn only_listed_origins_open_a_socket() {
    let mut house = House::new(Rules {
        origins: vec!["https://tea.example".to_string()],
        ..Rules::default()
    });
    for (origin, allowed) in [
        ("", true),
        ("Origin: https://tea.example\r\n", true),
        ("Origin: HTTPS://Tea.Example\r\n", true),
        // The same name as the server's, which may be a stranger's that points here.
        ("Origin: https://hall.example:8080\r\n", false),
        ("Origin: https://tea.example.evil\r\n", false),
        ("Origin: http://tea.example\r\n", false),
        ("Origin: null\r\n", false),
    ] {
        let id = house.connect();
        house.send(id, upgrade(origin).as_bytes());
        let said = house.said(id);
        let expected = if allowed {
            "HTTP/1.1 101"
        } else {
            "HTTP/1.1 403"
        };
        assert!(said.starts_with(expected), "{origin}: {said}");
    }
}

#[test]
fn operators_are_near_or_show_the_token() {
    let near = "127.0.0.1:9";
    let far = "192.0.2.7:9";
    let mut open = House::new(Rules::default());
    assert_eq!(
        open.ask(far, "GET /api/rooms HTTP/1.1\r\nHost: h", "").0,
        403
    );
    assert_eq!(open.ask(far, "GET /metrics HTTP/1.1\r\nHost: h", "").0, 403);
    let rebound = "GET /api/rooms HTTP/1.1\r\nHost: evil.example";
    assert_eq!(open.ask(near, rebound, "").0, 403);
    let stranger = "GET /api/rooms HTTP/1.1\r\nHost: localhost:1\r\nOrigin: https://evil.example";
    assert_eq!(open.ask(near, stranger, "").0, 403);
    open.ask(near, "GET /api/rooms HTTP/1.1\r\nHost: localhost:8080", "");
    assert_eq!(open.out.renders.len(), 1, "the one that is answered");

    let mut closed = House::new(Rules {
        admin_token: Some(ADMIN.to_string()),
        ..Rules::default()
    });
    for (authorization, status) in [
        ("", 401),
        ("\r\nAuthorization: Bearer wrong", 401),
        ("\r\nAuthorization: Basic YTpi", 401),
        (&*format!("\r\nAuthorization: Bearer {ADMIN}x"), 401),
    ] {
        for peer in [near, far] {
            let head = format!("GET /api/rooms HTTP/1.1\r\nHost: h{authorization}");
            let (given, text) = closed.ask(peer, &head, "");
            assert_eq!(given, status, "{authorization} from {peer}");
            assert!(text.contains("WWW-Authenticate: Bearer"), "{text}");
        }
    }
    let head = format!("GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: bearer {ADMIN}");
    closed.ask(far, &head, "");
    assert_eq!(closed.out.renders.len(), 1);
    assert_eq!(closed.out.renders[0].form, RenderForm::Metrics);
}

const LOCAL: &str = "127.0.0.1:9";

#[test]
fn a_moderator_removes_mutes_and_closes() {
    let mut house = House::new(Rules::default());
    let ann = house.member("Ann", "tea room/2");
    let ben = house.member("B<en>", "tea room/2");
    let cem = house.member("Cem", "tea room/2");
    let other = house.member("Dan", "tea");
    for id in [ann, ben, cem, other] {
        house.said(id);
    }
    let room = "/api/rooms/tea%20room%2F2";
    let remove = format!("DELETE {room}/participants/B%3Cen%3E HTTP/1.1\r\nHost: localhost");
    assert_eq!(house.ask(LOCAL, &remove, "").0, 204);
    assert!(house.said(ben).contains("removed by the moderator"));
    assert!(house.is_closed(ben));
    let left = house.said(ann);
    assert!(left.contains("LEFT") && left.contains("B<en>"), "{left}");
    house.said(cem);
    assert_eq!(house.ask(LOCAL, &remove, "").0, 404, "already gone");

    let mute = format!("POST {room}/participants/Ann/mute HTTP/1.1\r\nHost: localhost");
    let json = "\r\nContent-Type: application/json; charset=utf-8";
    assert_eq!(house.ask(LOCAL, &mute, r#"{"audio":true}"#).0, 415);
    assert_eq!(house.ask(LOCAL, &(mute.clone() + json), "{").0, 400);
    assert_eq!(house.ask(LOCAL, &(mute.clone() + json), "{}").0, 400);
    assert_eq!(house.ask(LOCAL, &(mute + json), r#"{"audio":true}"#).0, 204);
    let nobody = format!("POST {room}/participants/Eve/mute HTTP/1.1\r\nHost: localhost{json}");
    assert_eq!(house.ask(LOCAL, &nobody, r#"{"audio":true}"#).0, 404);

    let close = format!("DELETE {room} HTTP/1.1\r\nHost: localhost");
    assert_eq!(house.ask(LOCAL, &close, "").0, 204);
    assert_eq!(house.ask(LOCAL, &close, "").0, 404);
    for id in [ann, cem] {
        assert!(house.said(id).contains("room closed by the moderator"));
        assert!(house.is_closed(id));
    }
    assert_eq!(house.said(other), "", "another room heard nothing");
    assert!(!house.is_closed(other));
    let (status, text) = house.ask(LOCAL, "PUT /api/rooms HTTP/1.1\r\nHost: localhost", "");
    assert!(status == 405 && text.contains("Allow: GET"), "{text}");
}

#[test]
fn a_room_takes_as_many_as_it_may() {
    let mut house = House::new(Rules {
        participants_max: 2,
        ..Rules::default()
    });
    let ann = house.member("Ann", "tea");
    house.member("Ben", "tea");
    let cem = house.session("192.0.2.1:1", "Cem", None);
    assert!(house.join(cem, "tea").contains("Room is full"));
    assert!(house.join(cem, "pub").contains("ACCEPTED"));
    let cause = CloseCause::Ended;
    house.input(Input::Closed {
        connection: ann,
        cause,
    });
    assert!(house.join(cem, "tea").contains("ACCEPTED"));
}

#[test]
fn an_address_is_held_to_its_rates_and_others_are_not() {
    let mut house = House::new(Rules {
        rates: RateSettings {
            connections: 2,
            joins: 1,
            messages: 1,
        },
        ..Rules::default()
    });
    let one = house.session("192.0.2.1:1", "Ann", None);
    let joined = (0..30).filter(|n| house.join(one, &format!("r{n}")).contains("ACCEPTED"));
    assert_eq!(joined.count(), 10, "ten seconds' worth at once");
    assert!(
        house
            .join(one, "more")
            .contains("Too many joins from this address")
    );
    let other = house.session("192.0.2.2:1", "Ben", None);
    assert!(house.join(other, "r0").contains("ACCEPTED"));
    house.now = Time::ZERO + Span::from_secs(2);
    assert!(house.join(one, "later").contains("ACCEPTED"));

    let line = r#"{"message":"sendData","data":[{"operationId":"o","payload":{"command":"sendMessage","options":{"roomConfig":{"name":"r0"},"to":"Ben","text":"hi"}}}]}"#;
    let delivered = (0..30).filter(|_| {
        house.say(one, line);
        house.said(one).contains("ACCEPTED")
    });
    assert_eq!(delivered.count(), 10);
    house.say(one, line);
    assert!(house.said(one).contains("Too many messages"));

    let refused = (0..40).find(|_| {
        let id = house.connect_from("192.0.2.1:1", Door::Plain);
        let said = house.said(id);
        said.starts_with("HTTP/1.1 429") && house.is_closed(id)
    });
    assert!(refused.is_some(), "the connections of one address");
    let far = house.connect_from("198.51.100.1:1", Door::Plain);
    assert!(!house.is_closed(far));
}

#[test]
fn a_long_body_leaves_at_its_readers_pace_and_the_next_request_follows() {
    let mut house = House::new(Rules::default());
    let id = house.connect();
    house.send(
        id,
        b"GET /client2/a%20b/big.js HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"x\"\r\n\r\n",
    );
    let render = house.out.renders.pop().unwrap();
    assert!(render.keep_alive && !render.head_only);
    let RenderForm::File {
        path,
        if_none_match,
    } = render.form
    else {
        panic!("a file is asked for");
    };
    assert_eq!(
        (path.as_str(), if_none_match.as_deref()),
        ("a b/big.js", Some("\"x\""))
    );
    // The next request is already there while this one is answered.
    house.send(id, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    let body = Bytes::from(vec![b'x'; 5 * HTTP_PIECE_BYTES + 7]);
    let response = Rendered {
        head: Bytes::from_static(b"HEAD"),
        body: body.clone(),
        rest: None,
    };
    house.input(Input::Rendered {
        connection: id,
        response,
    });
    assert_eq!(house.said(id).len(), 4 + HTTP_PIECE_BYTES);
    let mut rest = body.len() - HTTP_PIECE_BYTES;
    while rest > 0 {
        assert_eq!(std::mem::take(&mut house.out.drains), [id]);
        house.input(Input::Drained { connection: id });
        let piece = house.said(id).len();
        assert_eq!(piece, rest.min(HTTP_PIECE_BYTES));
        rest -= piece;
    }
    assert_eq!(std::mem::take(&mut house.out.drains), [id]);
    house.input(Input::Drained { connection: id });
    let said = house.said(id);
    assert!(
        said.ends_with("ok\n") && said.contains("HTTP/1.1 200"),
        "{said}"
    );
    assert!(house.out.drains.is_empty());
    assert!(!house.is_closed(id));
}

/// A recording's file, asked for as a player does.
fn begin_recording(house: &mut House) -> (ConnectionId, RecordPiece) {
    let id = house.connect();
    house.send(
        id,
        b"GET /client/records/s-1-%D0%90.mp4?parts HTTP/1.1\r\nHost: h\r\nRange: bytes=5-\r\n\
          If-Range: \"x\"\r\n\r\n",
    );
    let render = house.out.renders.pop().unwrap();
    let asked = RecordAsked {
        name: "s-1-А.mp4".to_string(),
        range: Some("bytes=5-".to_string()),
        if_range: Some("\"x\"".to_string()),
        if_none_match: None,
        in_parts: true,
    };
    assert_eq!(render.form, RenderForm::Record(asked.clone()));
    let rest = RecordPiece {
        name: asked.name,
        inode: 7,
        from: 100,
        until: 200,
        size_bytes: 100,
    };
    let response = Rendered {
        head: Bytes::from_static(b"HEAD"),
        body: Bytes::from(vec![b'x'; HTTP_PIECE_BYTES + 1]),
        rest: Some(rest.clone()),
    };
    house.input(Input::Rendered {
        connection: id,
        response,
    });
    assert_eq!(house.said(id).len(), 4 + HTTP_PIECE_BYTES);
    (id, rest)
}

#[test]
fn the_next_piece_of_a_recording_is_asked_for_when_the_last_has_left() {
    let mut house = House::new(Rules::default());
    let (id, rest) = begin_recording(&mut house);
    house.send(id, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    // Nothing is read ahead for a reader who takes nothing.
    assert!(house.out.renders.is_empty());
    house.drained(id);
    assert_eq!(house.said(id), "x");
    assert!(house.out.renders.is_empty());
    house.drained(id);
    let render = house.out.renders.pop().unwrap();
    assert_eq!(render.form, RenderForm::RecordPiece(rest));
    assert!(house.out.drains.is_empty() && house.said(id).is_empty());
    let response = Rendered {
        body: Bytes::from_static(b"the end"),
        ..Rendered::default()
    };
    house.input(Input::Rendered {
        connection: id,
        response,
    });
    assert_eq!(house.said(id), "the end");
    house.drained(id);
    let next = house.said(id);
    assert!(next.starts_with("HTTP/1.1 200") && next.ends_with("ok\n"));
    assert!(!house.is_closed(id));
}

#[test]
fn a_recording_that_breaks_off_ends_its_connection() {
    let mut house = House::new(Rules::default());
    let (gone, _) = begin_recording(&mut house);
    house.drained(gone);
    house.drained(gone);
    house.input(Input::Rendered {
        connection: gone,
        response: Rendered::default(),
    });
    assert!(house.is_closed(gone) && house.said(gone) == "x");

    // The disk does not answer: nothing is put into the body.
    let (stuck, _) = begin_recording(&mut house);
    house.drained(stuck);
    house.drained(stuck);
    house.said(stuck);
    house.pass(HTTP_ANSWER_MAX);
    assert!(house.is_closed(stuck) && house.said(stuck).is_empty());

    // Nor does the reader.
    let (slow, _) = begin_recording(&mut house);
    house.out.renders.clear();
    house.pass(HTTP_STALL_MAX);
    assert!(house.is_closed(slow) && house.out.renders.is_empty());
}

#[test]
fn recordings_are_for_who_knows_their_name_and_lists_for_operators() {
    let mut house = House::new(Rules {
        admin_token: Some(ADMIN.to_string()),
        ..Rules::default()
    });
    let mut status = |line: &str, more: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: h{more}");
        house.ask("192.0.2.7:9", &head, "").0
    };
    let token = format!("\r\nAuthorization: Bearer {ADMIN}");
    for line in ["GET /api/records", "GET /client/records/room-r-1.json"] {
        assert_eq!(status(line, ""), 401, "{line}");
        assert_eq!(status(line, &token), 0, "{line}: being made");
    }
    assert_eq!(
        status("HEAD /client/records/a.mp4", "\r\nRange: bytes=0-1"),
        0
    );
    for line in [
        "GET /client/records/..%2Fa.mp4",
        "GET /client/records/a.mp4.part",
        "GET /client/records/.a.mp4",
    ] {
        assert_eq!(status(line, &token), 404, "{line}");
    }
    assert_eq!(status("DELETE /client/records/a.mp4", &token), 405);
    let asked: Vec<_> = house
        .out
        .renders
        .drain(..)
        .map(|render| render.form)
        .collect();
    assert_eq!(asked[0], RenderForm::RecordsJson);
    let RenderForm::Record(head) = &asked[2] else {
        panic!("a recording is asked for");
    };
    assert_eq!(head.range, None, "a range is of GET only");
    assert!(!head.in_parts);
}

#[test]
fn bodies_are_bounded_and_must_say_their_length() {
    let mut house = House::new(Rules::default());
    for (head, status) in [
        (
            "POST /api/rooms/r/participants/a/mute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999",
            413,
        ),
        (
            "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked",
            411,
        ),
        (
            "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2",
            400,
        ),
    ] {
        let id = house.connect();
        house.send(id, format!("{head}\r\n\r\n").as_bytes());
        let said = house.said(id);
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}: {said}"
        );
        assert!(house.is_closed(id));
    }
    // A flood behind an unanswered request is cut.
    let id = house.connect();
    house.send(id, b"GET /client2/a HTTP/1.1\r\nHost: h\r\n\r\n");
    let junk = vec![b'x'; 16 * 1024];
    for _ in 0..3 {
        house.send(id, &junk);
    }
    assert!(house.is_closed(id));
}

#[test]
fn a_tls_door_without_a_certificate_takes_nobody() {
    let mut house = House::new(Rules::default());
    let id = house.connect_from("127.0.0.1:1", Door::Tls);
    assert!(house.is_closed(id));
    assert_eq!(house.said(id), "");
}

#[test]
fn the_servers_own_pages_are_known_by_its_address() {
    let mut house = House::new(Rules {
        origins: vec!["https://tea.example".to_string()],
        ..Rules::default()
    });
    for host in ["192.0.2.5:8080", "[2001:db8::5]:8080", "localhost"] {
        let id = house.connect();
        // Whatever the scheme a proxy shows.
        let own = upgrade(&format!("Origin: https://{host}\r\n"));
        house.send(id, own.replace("hall.example:8080", host).as_bytes());
        assert!(house.said(id).starts_with("HTTP/1.1 101"), "{host}");
    }
}

#[test]
fn whoever_leaves_is_gone_whatever_ids_its_commands_had() {
    let mut house = House::new(Rules::default());
    let watch = house.member("Ann", "tea");
    house.said(watch);
    let command = |name: &str, room: &str| {
        format!(
            r#"{{"message":"sendData","data":[{{"operationId":"o","payload":{{"command":"{name}","options":{{"name":"{room}"}}}}}}]}}"#
        )
    };
    let ben = house.session("192.0.2.3:1", "Ben", None);
    // One id for everything: the refusal of the first must not be the join's.
    let mut frames = client_text_frame(&command("leave", "nowhere"), [1; 4]);
    frames.extend(client_text_frame(&command("join", "tea"), [2; 4]));
    frames.extend(client_text_frame(&command("leave", "nowhere"), [3; 4]));
    house.send(ben, &frames);
    assert!(house.said(watch).contains("JOINED"));
    let cause = CloseCause::Failed;
    house.input(Input::Closed {
        connection: ben,
        cause,
    });
    assert!(house.said(watch).contains("LEFT"));
}

#[test]
fn requests_sent_ahead_are_answered_at_the_pace_of_their_reader() {
    let mut house = House::new(Rules::default());
    let id = house.connect();
    let requests = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100);
    house.send(id, &requests);
    let mut answers = 0;
    for round in 0..100 {
        answers += house.said(id).matches("HTTP/1.1 200").count();
        assert_eq!(answers, round + 1, "one for each drain");
        let expected = usize::from(round < 99);
        assert_eq!(std::mem::take(&mut house.out.drains).len(), expected);
        house.input(Input::Drained { connection: id });
    }
    assert!(!house.is_closed(id));
}

#[test]
fn an_answer_without_a_body_has_none() {
    let mut house = House::new(Rules::default());
    house.member("Ann", "tea");
    let head = "DELETE /api/rooms/tea HTTP/1.1\r\nHost: localhost";
    let (status, text) = house.ask(LOCAL, head, "");
    assert_eq!(status, 204);
    assert!(text.ends_with("\r\n\r\n"), "{text:?}");
    assert!(!text.contains("Content-Length"), "{text:?}");
}

#[test]
fn one_address_does_not_hold_every_connection() {
    let mut house = House::new(Rules {
        connections_per_address: 3,
        ..Rules::default()
    });
    let held: Vec<ConnectionId> = (0..3)
        .map(|_| house.connect_from("192.0.2.1:1", Door::Plain))
        .collect();
    let fourth = house.connect_from("192.0.2.1:1", Door::Plain);
    assert!(house.is_closed(fourth) && !house.is_closed(held[2]));
    assert!(house.said(fourth).starts_with("HTTP/1.1 429"));
    let other = house.connect_from("192.0.2.2:1", Door::Plain);
    assert!(!house.is_closed(other));
    for connection in [fourth, held[0]] {
        let cause = CloseCause::Ended;
        house.input(Input::Closed { connection, cause });
    }
    let next = house.connect_from("192.0.2.1:1", Door::Plain);
    assert!(!house.is_closed(next));
}

#[test]
fn tokens_expire_by_the_time_of_day_not_by_the_time_since_the_start() {
    let mut house = House::new(with_tokens());
    let claims = format!(r#"{{"room":"tea","login":"Ann","exp":{}}}"#, UNIX_S + 60);
    let ann = house.session("192.0.2.1:1", "Ann", Some(&token(SECRET, &claims)));
    // The machine slept for an hour, which no steady clock tells.
    let unix_us = (UNIX_S + 3_600) * 1_000_000;
    house.input(Input::WallClock { unix_us });
    assert!(house.join(ann, "tea").contains("has expired"));
}

#[test]
fn who_is_not_let_in_learns_nothing_of_streams() {
    let mut house = House::new(Rules {
        participants_max: 1,
        ..Rules::default()
    });
    house.member("Ann", "tea");
    let eve = house.session("192.0.2.8:1", "Eve", None);
    let join = r#"{"message":"sendData","data":[{"operationId":"o","payload":{"command":"join","options":{"name":"tea"}}}]}"#;
    let ask = r#"{"message":"availableStream","data":[{"mediaSessionId":"m","name":"tea-Ann-1"}]}"#;
    let mut frames = client_text_frame(join, [1; 4]);
    frames.extend(client_text_frame(ask, [2; 4]));
    house.send(eve, &frames);
    let said = house.said(eve);
    assert!(said.contains("Room is full"), "{said}");
    assert!(said.contains("\"false\""), "{said}");
}

#[test]
fn long_messages_and_events_count_for_more() {
    let mut house = House::new(Rules {
        rates: RateSettings {
            messages: 1,
            ..RateSettings::default()
        },
        ..Rules::default()
    });
    let ann = house.member("Ann", "tea");
    let ben = house.member("Ben", "tea");
    let say = |text: &str| {
        format!(
            r#"{{"message":"sendData","data":[{{"operationId":"o","payload":{{"command":"sendMessage","options":{{"roomConfig":{{"name":"tea"}},"to":"Ben","text":"{text}"}}}}}}]}}"#
        )
    };
    house.said(ben);
    // Ten at once, and each 256 bytes begun are one.
    house.say(ann, &say(&"x".repeat(10 * 256)));
    assert!(house.said(ann).contains("Too many messages"));
    assert_eq!(house.said(ben), "");
    house.now = Time::ZERO + Span::from_secs(20);
    house.say(ann, &say(&"x".repeat(9 * 256)));
    assert!(house.said(ann).contains("ACCEPTED"));
    assert!(house.said(ben).contains("xxx"));
    let payload = "y".repeat(9_000);
    let event = format!(
        r#"{{"message":"sendStreamEvent","data":[{{"mediaSessionId":"m","type":"data","payload":{{"text":"{payload}"}}}}]}}"#
    );
    house.say(ann, &event);
    assert!(
        house
            .said(ann)
            .contains("payload is longer than 8192 bytes")
    );
}
