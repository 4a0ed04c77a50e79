//! The REST bodies of `GET /api/rooms` and `POST …/mute`, and HTTP/1.1
//! responses as bytes. Owns the JSON's field names, which are an interface: they
//! are added to, never renamed. Opens no socket and reads no request's head.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ops::snapshot::{
    DownTrackSnapshot, ParticipantSnapshot, PlaySnapshot, RoomSnapshot, ServerSnapshot,
    StreamSnapshot, UpTrackSnapshot,
};

/// `Content-Type` of [`rooms_json`].
pub const JSON_CONTENT_TYPE: &str = "application/json";

/// Every room of every core, as `GET /api/rooms` returns it:
///
/// ```json
/// {"rooms": [{"name": "r", "core": 0, "participants": [{"login": "a",
///   "streams": [{"name": "", "media_session_id": "", "status": "PUBLISHING",
///     "srtp_profile": null, "dtls_version": null, "viewers": 0, "tracks": [
///       {"kind": "video", "codec": "H264", "ssrc": null, "packets": 0, "bytes": 0, "lost": 0,
///        "recovered": 0, "nacked": 0, "plis": 0, "keyframes": 0}]}],
///   "plays": [{"stream": "", "media_session_id": "", "status": "PLAYING",
///     "srtp_profile": null, "dtls_version": null, "tracks": [
///       {"kind": "video", "codec": "H264", "packets": 0, "bytes": 0, "lost": 0,
///        "nacks": 0, "retransmitted": 0, "plis": 0, "rtt_us": null}]}]}],
///   "players": []}]}
/// ```
///
/// `core` is the room's home; `players` are plays of nobody in the room. Rooms come in core order, everything else in the
/// order of its snapshot.
pub fn rooms_json(snapshots: &[ServerSnapshot]) -> String {
    let plays = snapshots.iter().flat_map(|snapshot| &snapshot.afar_plays);
    let afar: Afar<'_> = plays
        .map(|afar| {
            let key = (afar.room.as_str(), afar.play.media_session_id.as_str());
            (key, &afar.play)
        })
        .collect();
    let rooms: Vec<Value> = snapshots
        .iter()
        .flat_map(|snapshot| snapshot.rooms.iter().map(|room| (snapshot.core, room)))
        .map(|(core, room)| room_json(core, room, &afar))
        .collect();
    json!({ "rooms": rooms }).to_string()
}

/// Plays that another core than the room's serves, by room and media session id.
type Afar<'a> = BTreeMap<(&'a str, &'a str), &'a PlaySnapshot>;

fn room_json(core: u16, room: &RoomSnapshot, afar: &Afar<'_>) -> Value {
    let play_json = |play: &PlaySnapshot| {
        let known = afar.get(&(room.name.as_str(), play.media_session_id.as_str()));
        play_json(known.copied().unwrap_or(play))
    };
    let participants = room.participants.iter();
    let participants: Vec<Value> = participants
        .map(|participant| participant_json(participant, play_json))
        .collect();
    let players: Vec<Value> = room.players.iter().map(play_json).collect();
    json!({
        "name": room.name,
        "core": core,
        "participants": participants,
        "players": players,
    })
}

fn participant_json(
    participant: &ParticipantSnapshot,
    play_json: impl Fn(&PlaySnapshot) -> Value,
) -> Value {
    let streams: Vec<Value> = participant.streams.iter().map(stream_json).collect();
    let plays: Vec<Value> = participant.plays.iter().map(play_json).collect();
    json!({ "login": participant.login, "streams": streams, "plays": plays })
}

fn stream_json(stream: &StreamSnapshot) -> Value {
    let tracks: Vec<Value> = stream.tracks.iter().map(up_track_json).collect();
    json!({
        "name": stream.name,
        "media_session_id": stream.media_session_id,
        "status": stream.status,
        "srtp_profile": stream.srtp_profile,
        "dtls_version": stream.dtls_version,
        "viewers": stream.viewers,
        "tracks": tracks,
    })
}

fn up_track_json(track: &UpTrackSnapshot) -> Value {
    json!({
        "kind": track.kind,
        "codec": track.codec,
        "ssrc": track.ssrc,
        "packets": track.packets,
        "bytes": track.bytes,
        "lost": track.lost,
        "recovered": track.recovered,
        "nacked": track.nacked,
        "plis": track.plis,
        "keyframes": track.keyframes,
    })
}

fn play_json(play: &PlaySnapshot) -> Value {
    let tracks: Vec<Value> = play.tracks.iter().map(down_track_json).collect();
    json!({
        "stream": play.stream,
        "media_session_id": play.media_session_id,
        "status": play.status,
        "srtp_profile": play.srtp_profile,
        "dtls_version": play.dtls_version,
        "tracks": tracks,
    })
}

fn down_track_json(track: &DownTrackSnapshot) -> Value {
    json!({
        "kind": track.kind,
        "codec": track.codec,
        "packets": track.packets,
        "bytes": track.bytes,
        "lost": track.lost,
        "nacks": track.nacks,
        "retransmitted": track.retransmitted,
        "plis": track.plis,
        "rtt_us": track.rtt_us,
    })
}

/// Which tracks of a participant a moderator mutes; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuteRequest {
    pub audio: bool,
    pub video: bool,
}

/// Reads `{"audio": true, "video": false}`, both optional and false when they
/// are missing. The error is the text of a 400. Other names are refused: a
/// misspelt one would mute less than was asked for.
pub fn mute_request(body: &[u8]) -> Result<MuteRequest, String> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let Value::Object(fields) = value else {
        return Err("the body is not a JSON object".to_owned());
    };
    let mut request = MuteRequest {
        audio: false,
        video: false,
    };
    for (name, value) in &fields {
        let field = match name.as_str() {
            "audio" => &mut request.audio,
            "video" => &mut request.video,
            _ => return Err("only \"audio\" and \"video\" can be muted".to_owned()),
        };
        *field = value
            .as_bool()
            .ok_or_else(|| format!("\"{name}\" is neither true nor false"))?;
    }
    if !request.audio && !request.video {
        return Err("neither \"audio\" nor \"video\" is true".to_owned());
    }
    Ok(request)
}

/// Whether a request's `Content-Type` is JSON; its parameters do not matter,
/// as JSON has one encoding (RFC 8259 sections 8.1 and 11).
pub fn is_json(content_type: Option<&str>) -> bool {
    is_type(content_type, JSON_CONTENT_TYPE)
}

/// Whether a request's `Content-Type` is `wanted`, whatever its parameters
/// (RFC 9110 section 8.3.1).
pub fn is_type(content_type: Option<&str>, wanted: &str) -> bool {
    let kind = content_type.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// What becomes of the connection after a response (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    Close,
    KeepAlive,
}

/// What is said to a peer that may, or may not, ask again.
pub fn connection_of(keep_alive: bool) -> Connection {
    match keep_alive {
        true => Connection::KeepAlive,
        false => Connection::Close,
    }
}

/// Sent with every response unless it brings a header of that name itself.
/// Pages run their own scripts only, reach any WebSocket (the server may stand
/// on another port or host) and play media they assembled.
const SECURITY_HEADERS: [(&str, &str); 3] = [
    ("X-Content-Type-Options", "nosniff"),
    (
        "Content-Security-Policy",
        "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; \
         style-src 'self' data:; img-src 'self' data:",
    ),
    ("Referrer-Policy", "no-referrer"),
];

/// A whole HTTP/1.1 response. `extra` are further headers; one that would
/// break the framing (an invalid name, a control character in a value, or one of
/// content-type, content-length, connection, transfer-encoding) is left out.
pub fn http_response(
    status: u16,
    content_type: &str,
    body: &[u8],
    connection: Connection,
    extra: &[(&str, &str)],
) -> Vec<u8> {
    let mut bytes = http_response_head(status, content_type, body.len(), connection, extra);
    if !is_bodiless(status) {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// The head alone, as `HEAD` is answered: `body_len_bytes` is what `GET` would
/// bring (RFC 9110 section 9.3.2).
pub fn http_response_head(
    status: u16,
    content_type: &str,
    body_len_bytes: usize,
    connection: Connection,
    extra: &[(&str, &str)],
) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason_phrase(status));
    if !is_bodiless(status) {
        push_header(&mut head, "Content-Type", content_type);
        push_header(&mut head, "Content-Length", &body_len_bytes.to_string());
    }
    let connection = match connection {
        Connection::Close => "close",
        Connection::KeepAlive => "keep-alive",
    };
    push_header(&mut head, "Connection", connection);
    for (name, value) in SECURITY_HEADERS {
        let replaced = extra.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        if !replaced {
            push_header(&mut head, name, value);
        }
    }
    for (name, value) in extra {
        if !is_framing(name) {
            push_header(&mut head, name, value);
        }
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Statuses that never carry a body (RFC 9110 sections 15.2, 15.3.5, 15.4.5).
pub fn is_bodiless(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

/// Headers only this module may write.
fn is_framing(name: &str) -> bool {
    [
        "content-length",
        "content-type",
        "connection",
        "transfer-encoding",
    ]
    .iter()
    .any(|own| name.eq_ignore_ascii_case(own))
}

/// Writes one header line, or nothing when it would not be one (RFC 9110
/// sections 5.1 and 5.5): a line break in a value would let whoever chose the
/// value write headers of his own.
fn push_header(head: &mut String, name: &str, value: &str) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name_fits = !name.is_empty() && name.bytes().all(is_token);
    let value_fits = value.chars().all(|c| c == '\t' || !c.is_control());
    if name_fits && value_fits {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
}

/// RFC 9110 section 15; empty for a status this server does not send, which
/// RFC 9112 section 4 allows.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::snapshot::AfarPlay;

    fn lines(response: &[u8]) -> (Vec<String>, String) {
        let text = String::from_utf8(response.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (
            head.split("\r\n").map(str::to_owned).collect(),
            body.to_owned(),
        )
    }

    fn full() -> ServerSnapshot {
        ServerSnapshot {
            core: 3,
            rooms: vec![RoomSnapshot {
                players: vec![PlaySnapshot {
                    media_session_id: "whep-1".to_owned(),
                    ..PlaySnapshot::default()
                }],
                name: "a \"room\"\n</script>\u{1}é".to_owned(),
                participants: vec![ParticipantSnapshot {
                    login: "alice".to_owned(),
                    streams: vec![StreamSnapshot {
                        name: "alice-1".to_owned(),
                        media_session_id: "id".to_owned(),
                        status: "PUBLISHING",
                        srtp_profile: Some("AEAD_AES_128_GCM"),
                        dtls_version: None,
                        viewers: 2,
                        tracks: vec![UpTrackSnapshot {
                            kind: "video",
                            codec: "VP8",
                            ssrc: Some(u32::MAX),
                            packets: u64::MAX,
                            lost: -5,
                            ..UpTrackSnapshot::default()
                        }],
                    }],
                    plays: vec![PlaySnapshot {
                        stream: "bob-1".to_owned(),
                        status: "PENDING",
                        tracks: vec![DownTrackSnapshot {
                            kind: "audio",
                            codec: "opus",
                            rtt_us: Some(1_500),
                            ..DownTrackSnapshot::default()
                        }],
                        ..PlaySnapshot::default()
                    }],
                }],
            }],
            ..ServerSnapshot::default()
        }
    }

    #[test]
    fn no_rooms_is_an_empty_list() {
        assert_eq!(rooms_json(&[]), r#"{"rooms":[]}"#);
        assert_eq!(rooms_json(&[ServerSnapshot::default()]), r#"{"rooms":[]}"#);
    }

    #[test]
    fn every_value_stands_under_its_name() {
        let value: Value = serde_json::from_str(&rooms_json(&[full()])).unwrap();
        let room = &value["rooms"][0];
        assert_eq!(room["name"], "a \"room\"\n</script>\u{1}é");
        assert_eq!(room["core"], 3);
        assert_eq!(room["players"][0]["media_session_id"], "whep-1");
        let person = &room["participants"][0];
        assert_eq!(person["login"], "alice");
        let stream = &person["streams"][0];
        assert_eq!(stream["name"], "alice-1");
        assert_eq!(stream["srtp_profile"], "AEAD_AES_128_GCM");
        assert_eq!(stream["dtls_version"], Value::Null);
        assert_eq!(stream["viewers"], 2);
        assert_eq!(stream["tracks"][0]["packets"], u64::MAX);
        assert_eq!(stream["tracks"][0]["lost"], -5);
        assert_eq!(stream["tracks"][0]["ssrc"], u32::MAX);
        let play = &person["plays"][0];
        assert_eq!(play["stream"], "bob-1");
        assert_eq!(play["status"], "PENDING");
        assert_eq!(play["tracks"][0]["rtt_us"], 1_500);
    }

    #[test]
    fn a_play_is_told_by_the_core_that_serves_it() {
        let mut home = full();
        let play = &mut home.rooms[0].participants[0].plays[0];
        let known = std::mem::replace(
            play,
            PlaySnapshot {
                media_session_id: play.media_session_id.clone(),
                ..PlaySnapshot::default()
            },
        );
        let room = home.rooms[0].name.clone();
        let other = ServerSnapshot {
            core: 4,
            afar_plays: vec![AfarPlay { room, play: known }],
            ..ServerSnapshot::default()
        };
        let told: Value = serde_json::from_str(&rooms_json(&[home, other])).unwrap();
        let expected: Value = serde_json::from_str(&rooms_json(&[full()])).unwrap();
        assert_eq!(told, expected);
    }

    #[test]
    fn the_field_names_are_the_interface() {
        let value: Value = serde_json::from_str(&rooms_json(&[full()])).unwrap();
        let names =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        let room = &value["rooms"][0];
        let person = &room["participants"][0];
        assert_eq!(names(room), ["core", "name", "participants", "players"]);
        assert_eq!(names(person), ["login", "plays", "streams"]);
        let mut stream = names(&person["streams"][0]);
        stream.retain(|name| name != "name" && name != "viewers");
        let mut play = names(&person["plays"][0]);
        play.retain(|name| name != "stream");
        assert_eq!(stream, play);
        let common = [
            "dtls_version",
            "media_session_id",
            "srtp_profile",
            "status",
            "tracks",
        ];
        assert_eq!(play, common);
        assert_eq!(
            names(&person["streams"][0]["tracks"][0]),
            [
                "bytes",
                "codec",
                "keyframes",
                "kind",
                "lost",
                "nacked",
                "packets",
                "plis",
                "recovered",
                "ssrc"
            ]
        );
        assert_eq!(
            names(&person["plays"][0]["tracks"][0]),
            [
                "bytes",
                "codec",
                "kind",
                "lost",
                "nacks",
                "packets",
                "plis",
                "retransmitted",
                "rtt_us"
            ]
        );
    }

    #[test]
    fn rooms_of_all_cores_are_listed_in_core_order() {
        let snapshots: Vec<ServerSnapshot> = (0..3)
            .map(|core| ServerSnapshot { core, ..full() })
            .collect();
        let value: Value = serde_json::from_str(&rooms_json(&snapshots)).unwrap();
        let cores: Vec<_> = value["rooms"].as_array().unwrap().iter().collect();
        assert_eq!(cores.len(), 3);
        assert!((0..3).all(|core| cores[core]["core"] == core));
    }

    #[test]
    fn a_response_frames_its_body() {
        let response = http_response(200, "text/plain", b"hello", Connection::KeepAlive, &[]);
        let (head, body) = lines(&response);
        assert_eq!(head[0], "HTTP/1.1 200 OK");
        assert!(head.contains(&"Content-Type: text/plain".to_owned()));
        assert!(head.contains(&"Content-Length: 5".to_owned()));
        assert!(head.contains(&"Connection: keep-alive".to_owned()));
        assert!(head.contains(&"X-Content-Type-Options: nosniff".to_owned()));
        assert!(head.contains(&"Referrer-Policy: no-referrer".to_owned()));
        assert!(
            head.iter()
                .any(|line| line.contains("connect-src 'self' ws: wss:;"))
        );
        assert_eq!(body, "hello");
        let closed = http_response(404, "text/plain", b"", Connection::Close, &[]);
        assert!(lines(&closed).0.contains(&"Connection: close".to_owned()));
    }

    #[test]
    fn a_head_promises_the_body_it_does_not_carry() {
        let response = http_response(200, "a/b", b"12345", Connection::Close, &[]);
        let head = http_response_head(200, "a/b", 5, Connection::Close, &[]);
        assert_eq!(response[..head.len()], head);
        assert_eq!(&response[head.len()..], b"12345");
    }

    #[test]
    fn bodiless_statuses_carry_none() {
        for status in [101, 204, 304] {
            let response = http_response(status, "a/b", b"body", Connection::KeepAlive, &[]);
            let (head, body) = lines(&response);
            assert!(
                !head
                    .iter()
                    .any(|line| line.starts_with("Content-")
                        && !line.starts_with("Content-Security"))
            );
            assert_eq!(body, "");
        }
    }

    #[test]
    fn extra_headers_neither_split_nor_reframe_the_response() {
        let extra = [
            ("Location", "/x\r\nSet-Cookie: a=b"),
            ("Bad Name", "x"),
            ("", "x"),
            ("content-length", "0"),
            ("Transfer-Encoding", "chunked"),
            ("content-security-policy", "default-src 'none'"),
            ("Allow", "GET, HEAD"),
        ];
        let response = http_response(405, "text/plain", b"no", Connection::Close, &extra);
        let (head, body) = lines(&response);
        assert_eq!(head[0], "HTTP/1.1 405 Method Not Allowed");
        assert_eq!(
            head[1..],
            [
                "Content-Type: text/plain",
                "Content-Length: 2",
                "Connection: close",
                "X-Content-Type-Options: nosniff",
                "Referrer-Policy: no-referrer",
                "content-security-policy: default-src 'none'",
                "Allow: GET, HEAD",
            ]
        );
        assert_eq!(body, "no");
    }

    #[test]
    fn mute_requests() {
        let read = |body: &str| mute_request(body.as_bytes()).map(|r| (r.audio, r.video));
        assert_eq!(
            read(r#"{"audio": true, "video": false}"#),
            Ok((true, false))
        );
        assert_eq!(read(r#" {"video":true} "#), Ok((false, true)));
        assert_eq!(read(r#"{"audio":true,"video":true}"#), Ok((true, true)));
        assert_eq!(read(r#"{"audio":false,"audio":true}"#), Ok((true, false)));
        for (body, says) in [
            ("", "not JSON"),
            ("audio=true", "not JSON"),
            (r#"{"audio":true"#, "not JSON"),
            (r#"{"audio":true}{}"#, "not JSON"),
            ("[true]", "not a JSON object"),
            ("true", "not a JSON object"),
            ("{}", "neither"),
            (r#"{"audio":false,"video":false}"#, "neither"),
            (r#"{"audio":1}"#, "\"audio\" is neither"),
            (r#"{"audio":"true"}"#, "\"audio\" is neither"),
            (r#"{"audio":true,"video":null}"#, "\"video\" is neither"),
            (r#"{"audio":true,"vidoe":true}"#, "only"),
            (r#"{"audio":true,"<b>\r\n":1}"#, "only"),
        ] {
            let text = read(body).unwrap_err();
            assert!(text.contains(says), "{body}: {text}");
            assert!(
                text.len() < 120 && !text.contains(char::is_control),
                "{text}"
            );
        }
        let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
        assert!(read(&deep).is_err());
        assert!(mute_request(b"{\"audio\":true,\"\xff\":1}").is_err());
        let whole = br#"{"audio": true, "video": false}"#;
        assert!((0..whole.len()).all(|len| mute_request(&whole[..len]).is_err()));
    }

    #[test]
    fn json_by_its_type() {
        for kind in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json ;",
        ] {
            assert!(is_json(Some(kind)), "{kind}");
        }
        for kind in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/jsonp"),
        ] {
            assert!(!is_json(kind), "{kind:?}");
        }
    }

    #[test]
    fn every_status_sent_has_its_words() {
        for status in [
            200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 417, 426, 429,
            431, 503,
        ] {
            assert_ne!(reason_phrase(status), "", "{status}");
        }
    }

    #[test]
    fn an_unlisted_status_still_makes_a_status_line() {
        let response = http_response(418, "text/plain", b"", Connection::Close, &[]);
        assert!(response.starts_with(b"HTTP/1.1 418 \r\n"));
    }
}
