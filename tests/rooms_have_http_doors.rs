//! WHIP and WHEP at cores driven by hand, no socket, no clock: every status,
//! whatever core is asked, and that a refusal leaves nothing behind.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::time::Instant;

use ringhall::base::time::{Span, Time};
use ringhall::core::mail::Mail;
use ringhall::core::{
    ConnectionId, Core, CoreId, Door, Input, Machine, Outbox, RateSettings, Rules, Setup,
};
use ringhall::io::certificate::certificate;
use ringhall::ops::access::Access;
use ringhall::proto::dtls::{Identity, MaxVersion};
use ringhall::proto::ws::client_text_frame;
use ringhall::signal::client;
use ringhall::signal::session::KeepAlive;
use ringhall::wire::codec::VideoCodec;

const OFFER: &str = include_str!("vectors/offers/chromium_publish.sdp");
const WAITING: &str = include_str!("vectors/offers/ffmpeg_whip_passive.sdp");
const PLAY: &str = include_str!("vectors/offers/chromium_play.sdp");
const SDP: &str = "Content-Type: application/sdp\r\n";
const FRAGMENT: &str = "Content-Type: application/trickle-ice-sdpfrag\r\n";
const CANDIDATE: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=candidate:x\r\n";
const ANEW: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:anew\r\n\
    a=ice-pwd:0123456789012345678901\r\n";

/// Cores, and the mail between them.
struct House {
    cores: Vec<(Core, Outbox)>,
    now: Time,
    next: u64,
    written: BTreeMap<ConnectionId, Vec<u8>>,
}

/// A response.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

impl House {
    fn new(cores: u16, rules: Rules) -> Self {
        let made = certificate().unwrap();
        let (zero, version) = (Instant::now(), MaxVersion::Dtls12);
        let identity = Identity::new(made.certificate, made.key, version, zero, None).unwrap();
        let setup = |core| Setup {
            core: CoreId(core),
            cores,
            candidates: vec![([192, 0, 2, 1], 31_000 + core).into()],
            identity: identity.clone(),
            tls: None,
            rules: rules.clone(),
            video_codecs: vec![VideoCodec::H264, VideoCodec::Vp8],
            max_bitrate_kbps: None,
            opus_bitrate_bps: 64_000,
            aac_bitrate_bps: 96_000,
            keep_alive: KeepAlive {
                interval: Span::from_secs(2),
                probes: 3,
            },
            unix_us_at_zero: 1_700_000_000_000_000,
            seed: [core as u8; 32],
            room_key: 1,
        };
        let cores = (0..cores).map(|core| (Core::new(Time::ZERO, setup(core)), Outbox::new()));
        House {
            cores: cores.collect(),
            now: Time::ZERO,
            next: 0,
            written: BTreeMap::new(),
        }
    }

    fn input(&mut self, core: usize, input: Input<'_>) {
        let (machine, out) = &mut self.cores[core];
        machine.handle(self.now, input, out);
        self.settle();
    }

    /// Delivers mail until there is none.
    fn settle(&mut self) {
        loop {
            let mut mail: Vec<(CoreId, CoreId, Mail)> = Vec::new();
            for (number, (_, out)) in self.cores.iter_mut().enumerate() {
                for (id, bytes) in out.writes.drain(..) {
                    self.written.entry(id).or_default().extend(&bytes[..]);
                }
                let from = CoreId(number as u16);
                mail.extend(out.mail.drain(..).map(|(to, mail)| (from, to, mail)));
            }
            if mail.is_empty() {
                return;
            }
            for (from, to, mail) in mail {
                let (machine, out) = &mut self.cores[usize::from(to.0)];
                machine.handle(self.now, Input::Mail { from, mail }, out);
            }
        }
    }

    fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while self.now < end {
            self.now = self.now + Span::from_ms(100);
            for (machine, out) in &mut self.cores {
                machine.advance(self.now, out);
            }
            self.settle();
        }
    }

    fn connect(&mut self, core: usize) -> ConnectionId {
        self.next += 1;
        let connection = ConnectionId(self.next);
        let accepted = Input::Accepted {
            connection,
            peer: "192.0.2.9:1000".parse().unwrap(),
            door: Door::Plain,
        };
        self.input(core, accepted);
        connection
    }

    fn said(&mut self, id: ConnectionId) -> String {
        let bytes = self.written.remove(&id).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One request to a core, on a connection of its own.
    fn ask(&mut self, core: usize, line: &str, headers: &str, body: &str) -> Answer {
        let connection = self.connect(core);
        let request = format!(
            "{line} HTTP/1.1\r\nHost: hall.example\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let bytes = request.as_bytes();
        self.input(core, Input::Bytes { connection, bytes });
        let text = self.said(connection);
        let (head, body) = text.split_once("\r\n\r\n").expect("a response");
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_string(),
            body: body.to_string(),
        }
    }

    fn publish(&mut self, core: usize, path: &str) -> Answer {
        self.ask(core, &format!("POST {path}"), SDP, OFFER)
    }

    /// Location and entity tag of a publication that must succeed.
    fn session(&mut self, core: usize, path: &str) -> (String, String) {
        let made = self.publish(core, path);
        assert_eq!(made.status, 201, "{}", made.body);
        let (location, etag) = (made.header("Location"), made.header("ETag"));
        (location.unwrap().to_string(), etag.unwrap().to_string())
    }

    fn status(&mut self, line: &str, headers: &str, body: &str) -> u16 {
        self.ask(0, line, headers, body).status
    }

    /// A member with a WebSocket on core 0.
    fn member(&mut self, login: &str, room: &str) -> ConnectionId {
        let connection = self.connect(0);
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        self.input(0, Input::Bytes { connection, bytes });
        self.say(connection, &client::connection(login, None));
        self.say(connection, &client::join("o", room));
        connection
    }

    fn say(&mut self, connection: ConnectionId, text: &str) {
        let frame = client_text_frame(text, [1, 2, 3, 4]);
        let bytes = &frame[..];
        self.input(0, Input::Bytes { connection, bytes });
    }

    fn rooms(&self) -> usize {
        let snapshots = self.cores.iter().map(|(core, out)| core.snapshot(out));
        snapshots.map(|snapshot| snapshot.rooms.len()).sum()
    }

    fn sessions_left(&self) -> usize {
        let left = self.cores.iter().flat_map(|(core, _)| core.leftovers());
        let of_media = left.filter(|(what, _)| *what != "connections");
        of_media.map(|(_, count)| count).sum()
    }
}

#[test]
fn a_publisher_is_a_member_until_it_says_otherwise() {
    let mut house = House::new(4, Rules::default());
    let guest = house.member("Guest", "hall");
    house.said(guest);
    // Any core takes the request, and any the end of it.
    for (asked, ended) in [(0, 3), (1, 2), (2, 2), (3, 0)] {
        let made = house.publish(asked, "/whip/hall/Cam");
        assert_eq!(made.status, 201);
        assert_eq!(made.header("Content-Type"), Some("application/sdp"));
        assert!(made.body.starts_with("v=0\r\n") && made.body.contains("a=setup:passive"));
        let location = made.header("Location").unwrap().to_string();
        let heard = house.said(guest);
        assert!(heard.contains("JOINED") && heard.contains("Cam"), "{heard}");
        let message = client::send_message("m", "hall", "Cam", "hello");
        house.say(guest, &message);
        let heard = house.said(guest);
        assert!(heard.contains("ACCEPTED"), "chat to it is dropped: {heard}");
        let answer = house.ask(ended, &format!("DELETE {location}"), "", "");
        assert_eq!(answer.status, 200);
        let heard = house.said(guest);
        assert!(heard.contains("LEFT") && heard.contains("Cam"), "{heard}");
        let again = house.ask(ended, &format!("DELETE {location}"), "", "");
        assert_eq!(again.status, 404);
    }
}

#[test]
fn who_never_connects_leaves_and_keeps_its_login_until_then() {
    let mut house = House::new(2, Rules::default());
    house.session(0, "/whip/hall/Cam");
    house.pass(Span::from_secs(14));
    // A socket's holder would have been taken for a ghost by now.
    let ghost = house.member("Cam", "hall");
    assert!(house.said(ghost).contains("Login is already in use"));
    house.pass(Span::from_secs(2));
    assert_eq!((house.rooms(), house.sessions_left()), (0, 0));
}

#[test]
fn a_peer_that_waits_is_answered_as_client() {
    let mut house = House::new(1, Rules::default());
    let made = house.ask(0, "POST /whip/hall/Cam", SDP, WAITING);
    assert_eq!(made.status, 201);
    assert!(made.body.contains("a=setup:active\r\n"), "{}", made.body);
    assert!(!made.body.contains("a=setup:passive"));
}

#[test]
fn offers_are_refused_by_status_and_leave_nothing() {
    let mut house = House::new(2, Rules::default());
    let no_codec = OFFER.replace("VP8/", "X/").replace("H264/", "X/");
    let hold = OFFER.replace("setup:actpass", "setup:holdconn");
    let long = "x".repeat(64 * 1024 + 1);
    for (path, kind, body, status) in [
        ("/whip/hall/Cam", "Content-Type: text/plain\r\n", OFFER, 415),
        ("/whip/hall/Cam", "", OFFER, 415),
        ("/whep/hall/Cam", FRAGMENT, OFFER, 415),
        ("/whip/hall/Cam", SDP, "hello", 400),
        ("/whip/hall/Cam", SDP, "", 400),
        ("/whip/hall/Cam", SDP, PLAY, 400),
        ("/whip/hall/Cam", SDP, &hold, 400),
        ("/whip/hall/Cam", SDP, &no_codec, 406),
        ("/whip/hall/Cam", SDP, &long, 413),
        ("/whip/hall/", SDP, OFFER, 400),
        ("/whip//Cam", SDP, OFFER, 400),
        ("/whip/hall", SDP, OFFER, 404),
        ("/whip/a/b/c", SDP, OFFER, 404),
        ("/whep/hall/Nobody", SDP, PLAY, 404),
    ] {
        let line = format!("POST {path}");
        let answer = house.ask(0, &line, kind, body);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!((house.rooms(), house.sessions_left()), (0, 0), "{path}");
    }
    // The body as long as it may be is read, and refused for what it says.
    let full = format!("v=0\r\ns={}", "x".repeat(64 * 1024 - 7));
    assert_eq!(house.status("POST /whip/hall/Cam", SDP, &full), 400);
    // Elsewhere the cap stays.
    let json = "Content-Type: application/json\r\n";
    let mute = "POST /api/rooms/r/participants/a/mute";
    assert_eq!(house.status(mute, json, &"x".repeat(4 * 1024 + 1)), 413);
}

#[test]
fn nobody_hears_of_a_member_whose_offer_was_refused() {
    let mut house = House::new(2, Rules::default());
    let guest = house.member("Guest", "hall");
    house.said(guest);
    let no_codec = OFFER.replace("VP8/", "X/").replace("H264/", "X/");
    assert_eq!(house.status("POST /whip/hall/Cam", SDP, &no_codec), 406);
    assert_eq!(house.status("POST /whip/hall/Guest", SDP, OFFER), 409);
    assert_eq!(house.said(guest), "");
    house.session(0, "/whip/hall/Cam");
    house.said(guest);
    let twin = house.publish(1, "/whip/hall/Cam");
    assert_eq!(
        (twin.status, twin.body.trim()),
        (409, "Login is already in use")
    );
    // Not live yet: a player may come back in a second.
    let early = house.ask(1, "POST /whep/hall/hall-Cam", SDP, PLAY);
    assert_eq!(
        (early.status, early.header("Retry-After")),
        (409, Some("1"))
    );
    assert_eq!(house.status("POST /whep/hall/Cam", SDP, PLAY), 404);
    assert_eq!(house.said(guest), "");
}

#[test]
fn a_full_room_and_a_flood_are_told_when_to_come_back() {
    let rules = Rules {
        participants_max: 1,
        rates: RateSettings {
            joins: 1,
            ..RateSettings::default()
        },
        ..Rules::default()
    };
    let mut house = House::new(1, rules);
    house.session(0, "/whip/hall/Cam");
    let full = house.publish(0, "/whip/hall/Two");
    assert_eq!((full.status, full.header("Retry-After")), (503, Some("10")));
    let mut last = house.publish(0, "/whip/hall/Two");
    for _ in 0..10 {
        last = house.publish(0, "/whip/hall/Two");
    }
    assert_eq!((last.status, last.header("Retry-After")), (429, Some("1")));
}

#[test]
fn a_session_changes_by_its_entity_tag() {
    let mut house = House::new(3, Rules::default());
    let (location, etag) = house.session(0, "/whip/hall/Cam");
    let patch = format!("PATCH {location}");
    let with = |tag: &str| format!("{FRAGMENT}If-Match: {tag}\r\n");
    assert_eq!(house.status(&patch, FRAGMENT, CANDIDATE), 428);
    assert_eq!(house.status(&patch, &with("\"other\""), CANDIDATE), 412);
    assert_eq!(house.status(&patch, SDP, CANDIDATE), 415);
    assert_eq!(house.status(&patch, &with(&etag), "hello"), 400);
    assert_eq!(
        house.status(&patch, &with(&etag), "a=ice-ufrag:anew\r\n"),
        400
    );
    for core in 0..3 {
        let trickled = house.ask(core, &patch, &with(&etag), CANDIDATE);
        assert_eq!((trickled.status, trickled.body.as_str()), (204, ""));
    }
    let mut tags = vec![etag];
    for tag in ["\"*\"", "*"] {
        let ufrag = format!("new{}", tags.len());
        let body = ANEW.replace("anew", &ufrag);
        let renewed = house.ask(tags.len(), &patch, &with(tag), &body);
        assert_eq!(renewed.status, 200);
        let kind = renewed.header("Content-Type");
        assert_eq!(kind, Some("application/trickle-ice-sdpfrag"));
        assert!(
            renewed.body.contains("a=mid:0\r\na=ice-ufrag:"),
            "{}",
            renewed.body
        );
        assert!(renewed.body.contains("a=end-of-candidates"));
        let tag = renewed.header("ETag").unwrap().to_string();
        assert!(!tags.contains(&tag));
        tags.push(tag);
        // The same credentials again are no restart.
        let same = house.ask(0, &patch, &with(tags.last().unwrap()), &body);
        assert_eq!((same.status, same.header("ETag")), (204, None));
    }
    let stale = house.ask(1, &patch, &with(&tags[1]), CANDIDATE);
    assert_eq!(
        (stale.status, stale.header("ETag")),
        (412, Some(tags[2].as_str()))
    );
}

#[test]
fn methods_that_are_not_served_are_told_and_preflights_answered() {
    let mut house = House::new(1, Rules::default());
    let (location, _) = house.session(0, "/whip/hall/Cam");
    for (path, methods, allow) in [
        ("/whip/hall/Cam", ["GET", "PUT", "PATCH"], "POST, OPTIONS"),
        ("/whep/hall/Cam", ["GET", "HEAD", "DELETE"], "POST, OPTIONS"),
        (&location, ["GET", "POST", "PUT"], "DELETE, PATCH, OPTIONS"),
    ] {
        for method in methods {
            let answer = house.ask(0, &format!("{method} {path}"), "", "");
            assert_eq!((answer.status, answer.header("Allow")), (405, Some(allow)));
            assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
        }
        let origin = "Origin: https://else.example\r\nAccess-Control-Request-Method: POST\r\n";
        let answer = house.ask(0, &format!("OPTIONS {path}"), origin, "");
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(answer.header("Access-Control-Allow-Methods"), Some(allow));
        let allowed = answer.header("Access-Control-Allow-Headers");
        assert_eq!(allowed, Some("Authorization, Content-Type, If-Match"));
    }
    let answer = house.ask(0, "GET /api/rooms", "Origin: https://else.example\r\n", "");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
}

#[test]
fn only_listed_origins_may_ask() {
    let rules = Rules {
        origins: vec!["https://here.example".to_string()],
        ..Rules::default()
    };
    let mut house = House::new(1, rules);
    let from = |origin: &str| format!("{SDP}Origin: {origin}\r\n");
    let stranger = house.ask(
        0,
        "POST /whip/hall/Cam",
        &from("https://else.example"),
        OFFER,
    );
    assert_eq!(stranger.status, 403);
    assert_eq!(stranger.header("Access-Control-Allow-Origin"), None);
    let friend = house.ask(
        0,
        "POST /whip/hall/Cam",
        &from("https://here.example"),
        OFFER,
    );
    assert_eq!(friend.status, 201);
    let allowed = friend.header("Access-Control-Allow-Origin");
    assert_eq!(allowed, Some("https://here.example"));
    assert_eq!(friend.header("Vary"), Some("Origin"));
    let exposed = friend.header("Access-Control-Expose-Headers");
    assert_eq!(exposed, Some("Location, ETag, Link"));
    let location = friend.header("Location").unwrap();
    let end = format!("DELETE {location}");
    let stranger = "Origin: https://else.example\r\n";
    assert_eq!(house.status(&end, stranger, ""), 403);
    // Programs are no pages.
    assert_eq!(house.status(&end, "", ""), 200);
}

#[test]
fn a_bearer_without_or_with_a_wrong_token_stays_out() {
    let rules = Rules {
        access: Access::with_secret(b"a secret of at least 32 bytes, yes"),
        ..Rules::default()
    };
    let mut house = House::new(1, rules);
    for path in ["/whip/hall/Cam", "/whep/hall/Cam"] {
        let line = format!("POST {path}");
        for shown in ["", "Authorization: Basic YTpi\r\n"] {
            let answer = house.ask(0, &line, &format!("{SDP}{shown}"), OFFER);
            assert_eq!(answer.status, 401);
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
            assert_eq!(answer.body.trim(), "Access token is missing");
        }
        let forged = format!("{SDP}Authorization: Bearer a.b.c\r\n");
        assert_eq!(house.status(&line, &forged, OFFER), 403);
    }
}

#[test]
fn sessions_are_found_by_their_secret_alone() {
    let mut house = House::new(2, Rules::default());
    let (location, etag) = house.session(0, "/whip/hall/Cam");
    let token = location.rsplit('/').next().unwrap().to_string();
    let (owner, secret) = token.split_at(16);
    let other_secret = secret.chars().rev().collect::<String>();
    for guess in [
        String::new(),
        owner.to_string(),
        format!("{owner}{other_secret}"),
        format!("{owner}{secret}0"),
        token[..token.len() - 1].to_string(),
        format!("fff{}", &token[3..]),
        format!("{}{}", &token[..15], "é"),
        "%00".to_string(),
    ] {
        for core in 0..2 {
            let end = house.ask(core, &format!("DELETE /whip/session/{guess}"), "", "");
            assert_eq!(end.status, 404, "{guess}");
            let headers = format!("{FRAGMENT}If-Match: {etag}\r\n");
            let patch = format!("PATCH /whip/session/{guess}");
            assert_eq!(
                house.ask(core, &patch, &headers, ANEW).status,
                404,
                "{guess}"
            );
        }
    }
    let as_player = format!("DELETE /whep/session/{token}");
    assert_eq!(house.status(&as_player, "", ""), 404);
    assert_eq!(house.status(&format!("DELETE {location}"), "", ""), 200);
    assert_eq!((house.rooms(), house.sessions_left()), (0, 0));
}

#[test]
fn the_server_takes_its_visitors_along_when_it_ends() {
    let mut house = House::new(1, Rules::default());
    house.session(0, "/whip/hall/Cam");
    let (core, out) = &mut house.cores[0];
    core.shut_down(house.now, out);
    assert_eq!((house.rooms(), house.sessions_left()), (0, 0));
}
