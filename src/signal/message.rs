//! The official Web SDK's messages (dialect of JSON over WebSocket), typed.
//! Every frame is `{"message": NAME, "data": [ … ]}`; the server's frames always
//! carry a `data` array, without which the SDK throws.

use serde_json::{Map, Value, json};

use crate::base::limits::{CHAT_TEXT_MAX_BYTES, NAME_MAX_CHARS, STREAM_EVENT_MAX_BYTES};
use crate::room::notice::{MemberState, Notice, StreamStatus};

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    Connection(Connection),
    /// The client pings us; a pong is due.
    Ping,
    Pong,
    Command {
        operation_id: String,
        command: RoomCommand,
    },
    Publish(StreamOffer),
    Play(StreamOffer),
    /// `stopStream`: ends a play.
    Stop {
        media_session_id: String,
    },
    /// `unPublishStream`: ends a publication.
    Unpublish {
        media_session_id: String,
    },
    StreamEvent {
        media_session_id: String,
        kind: String,
        payload: String,
    },
    AvailableStream {
        media_session_id: String,
        name: String,
    },
    /// Snapshots need a decoder this server does not have; the client is told.
    Snapshot {
        media_session_id: String,
    },
    /// A message that asks nothing of a room server (logs, metrics).
    Ignored,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    pub login: String,
    /// The token of an earlier session of this client.
    pub auth_token: Option<String>,
    /// `custom.token`: what the client may do here.
    pub access_token: Option<String>,
    /// The object as received: `getUserData` answers with it, as the SDK
    /// replaces its stored connection by the answer.
    pub received: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomCommand {
    Join {
        room: String,
        /// Every stream of the room is to be recorded.
        record: bool,
    },
    Leave {
        room: String,
    },
    SendMessage {
        room: String,
        to: String,
        text: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOffer {
    pub media_session_id: String,
    pub name: String,
    pub room: String,
    pub sdp: String,
    /// Media over TCP is wished for.
    pub over_tcp: bool,
    /// What is published is to be recorded.
    pub record: bool,
}

/// What the server says, before a dialect puts it into bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    message: &'static str,
    /// An array: without one the SDK throws.
    data: Value,
}

impl Frame {
    /// As a text frame of the WebSocket.
    pub fn text(&self) -> String {
        json!({"message": self.message, "data": self.data}).to_string()
    }

    /// Its name, and what it carries.
    pub(super) fn parts(&self) -> (&'static str, &Value) {
        (self.message, &self.data)
    }
}

/// A message that cannot be acted on, with what is needed to say so to the
/// part of the client that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// Not a message at all: broken JSON, wrong shape. Tolerated a few times.
    Malformed(String),
    /// A room command that must be refused.
    Command { operation_id: String, info: String },
    /// A stream request that must fail.
    Stream {
        media_session_id: String,
        info: String,
    },
}

/// Reads one text frame.
pub fn parse(text: &str) -> Result<ClientMessage, MessageError> {
    // The JSON reader bounds nesting at 128 levels by itself.
    let frame: Value = serde_json::from_str(text)
        .map_err(|error| MessageError::Malformed(format!("not JSON: {error}")))?;
    let name = frame
        .get("message")
        .and_then(Value::as_str)
        .ok_or_else(|| malformed("member \"message\" is missing or no string"))?;
    let data = frame.get("data").and_then(|data| data.get(0));
    match name {
        "ping" => Ok(ClientMessage::Ping),
        "pong" => Ok(ClientMessage::Pong),
        "connection" => connection(fields(name, data)?),
        "sendData" => command(fields(name, data)?),
        "publishStream" => offer(fields(name, data)?).map(ClientMessage::Publish),
        "playStream" => offer(fields(name, data)?).map(ClientMessage::Play),
        "stopStream" => media_session_id(name, fields(name, data)?)
            .map(|media_session_id| ClientMessage::Stop { media_session_id }),
        "unPublishStream" => media_session_id(name, fields(name, data)?)
            .map(|media_session_id| ClientMessage::Unpublish { media_session_id }),
        "snapshot" => media_session_id(name, fields(name, data)?)
            .map(|media_session_id| ClientMessage::Snapshot { media_session_id }),
        "sendStreamEvent" => stream_event(fields(name, data)?),
        "availableStream" => available(fields(name, data)?),
        _ => Ok(ClientMessage::Ignored),
    }
}

fn malformed(what: &str) -> MessageError {
    MessageError::Malformed(what.to_string())
}

fn fields<'a>(name: &str, data: Option<&'a Value>) -> Result<&'a Map<String, Value>, MessageError> {
    data.and_then(Value::as_object)
        .ok_or_else(|| malformed(&format!("{name}: data[0] is no object")))
}

/// A name a client chose: not empty, bounded, without control characters.
pub fn check_name<'a>(name: Option<&'a str>, what: &str) -> Result<&'a str, String> {
    let name = name.ok_or_else(|| format!("{what} is missing or no string"))?;
    if name.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if name.chars().count() > NAME_MAX_CHARS {
        return Err(format!("{what} is longer than {NAME_MAX_CHARS} characters"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("{what} holds a control character"));
    }
    Ok(name)
}

fn name_of<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a str, String> {
    check_name(value.and_then(Value::as_str), what)
}

fn connection(fields: &Map<String, Value>) -> Result<ClientMessage, MessageError> {
    let login = name_of(
        fields.get("custom").and_then(|custom| custom.get("login")),
        "connection: custom.login",
    )
    .map_err(MessageError::Malformed)?;
    let auth_token = fields.get("authToken").and_then(Value::as_str);
    let access_token = fields.get("custom").and_then(|custom| custom.get("token"));
    Ok(ClientMessage::Connection(Connection {
        login: login.to_string(),
        auth_token: auth_token.map(str::to_string),
        access_token: access_token.and_then(Value::as_str).map(str::to_string),
        received: fields.clone(),
    }))
}

/// `sendData`: a room command, whatever carried it here.
pub(super) fn command(fields: &Map<String, Value>) -> Result<ClientMessage, MessageError> {
    let operation_id = name_of(fields.get("operationId"), "sendData: operationId")
        .map_err(MessageError::Malformed)?
        .to_string();
    let payload = fields.get("payload");
    let options = payload.and_then(|payload| payload.get("options"));
    let option = |key: &str| options.and_then(|options| options.get(key));
    let parsed = match payload
        .and_then(|payload| payload.get("command"))
        .and_then(Value::as_str)
    {
        Some("join") => {
            name_of(option("name"), "join: options.name").map(|room| RoomCommand::Join {
                room: room.to_string(),
                record: option("record").is_some_and(is_true),
            })
        }
        Some("leave") => {
            name_of(option("name"), "leave: options.name").map(|room| RoomCommand::Leave {
                room: room.to_string(),
            })
        }
        Some("sendMessage") => send_message(
            option("roomConfig").and_then(|config| config.get("name")),
            option("to"),
            option("text"),
        ),
        Some(other) => Err(format!("unknown command {other:?}")),
        None => Err("payload.command is missing or no string".to_string()),
    };
    match parsed {
        Ok(command) => Ok(ClientMessage::Command {
            operation_id,
            command,
        }),
        Err(info) => Err(MessageError::Command { operation_id, info }),
    }
}

fn send_message(
    room: Option<&Value>,
    to: Option<&Value>,
    text: Option<&Value>,
) -> Result<RoomCommand, String> {
    let room = name_of(room, "sendMessage: options.roomConfig.name")?;
    let to = name_of(to, "sendMessage: options.to")?;
    let text = text
        .and_then(Value::as_str)
        .ok_or("sendMessage: options.text is missing or no string")?;
    if text.len() > CHAT_TEXT_MAX_BYTES {
        return Err(format!(
            "sendMessage: text is longer than {CHAT_TEXT_MAX_BYTES} bytes"
        ));
    }
    Ok(RoomCommand::SendMessage {
        room: room.to_string(),
        to: to.to_string(),
        text: text.to_string(),
    })
}

fn media_session_id(message: &str, fields: &Map<String, Value>) -> Result<String, MessageError> {
    name_of(
        fields.get("mediaSessionId"),
        &format!("{message}: mediaSessionId"),
    )
    .map(str::to_string)
    .map_err(MessageError::Malformed)
}

fn offer(fields: &Map<String, Value>) -> Result<StreamOffer, MessageError> {
    let media_session_id = media_session_id("stream", fields)?;
    let parts = || {
        let custom = fields.get("custom");
        let room = name_of(custom.and_then(|custom| custom.get("name")), "custom.name")?;
        let name = name_of(fields.get("name"), "name")?;
        let sdp = fields
            .get("sdp")
            .and_then(Value::as_str)
            .ok_or("sdp is missing or no string")?;
        Ok::<_, String>((room.to_string(), name.to_string(), sdp.to_string()))
    };
    match parts() {
        Ok((room, name, sdp)) => Ok(StreamOffer {
            media_session_id,
            name,
            room,
            sdp,
            over_tcp: fields.get("transport").and_then(Value::as_str) == Some("TCP"),
            record: fields.get("record").is_some_and(is_true),
        }),
        Err(info) => Err(MessageError::Stream {
            media_session_id,
            info,
        }),
    }
}

fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true)
}

fn stream_event(fields: &Map<String, Value>) -> Result<ClientMessage, MessageError> {
    let kind =
        name_of(fields.get("type"), "sendStreamEvent: type").map_err(MessageError::Malformed)?;
    let payload = fields.get("payload").filter(|payload| !payload.is_null());
    let payload = payload.map_or_else(|| "{}".to_string(), Value::to_string);
    if payload.len() > STREAM_EVENT_MAX_BYTES {
        return Err(MessageError::Malformed(format!(
            "sendStreamEvent: payload is longer than {STREAM_EVENT_MAX_BYTES} bytes"
        )));
    }
    Ok(ClientMessage::StreamEvent {
        media_session_id: media_session_id("sendStreamEvent", fields)?,
        kind: kind.to_string(),
        payload,
    })
}

fn available(fields: &Map<String, Value>) -> Result<ClientMessage, MessageError> {
    let name =
        name_of(fields.get("name"), "availableStream: name").map_err(MessageError::Malformed)?;
    Ok(ClientMessage::AvailableStream {
        media_session_id: media_session_id("availableStream", fields)?,
        name: name.to_string(),
    })
}

/// `getUserData`: establishes the session and hands out its token.
pub fn user_data(received: &Map<String, Value>, auth_token: &str) -> Frame {
    let mut object = received.clone();
    object.insert("authToken".to_string(), Value::from(auth_token));
    frame("getUserData", json!([object]))
}

pub fn ping() -> Frame {
    frame("ping", json!([]))
}

pub fn pong() -> Frame {
    frame("pong", json!([]))
}

/// Tells a client that never established a session what was wrong.
pub fn fail(info: &str) -> Frame {
    frame("fail", json!([{"status": "FAILED", "info": info}]))
}

/// Puts a room's notice into the dialect's words.
pub fn render(notice: &Notice) -> Frame {
    match notice {
        Notice::JoinAnswered {
            operation_id,
            refused: Some(info),
            ..
        } => refused(operation_id, info),
        Notice::Accepted { operation_id } | Notice::JoinAnswered { operation_id, .. } => frame(
            "DataStatusEvent",
            json!([{"operationId": operation_id, "status": "ACCEPTED"}]),
        ),
        Notice::Refused { operation_id, info } => refused(operation_id, info),
        Notice::State { room, members } => room_event(room, "STATE", state(members)),
        Notice::Joined { room, login } => room_event(room, "JOINED", json!(login)),
        Notice::Left { room, login } => room_event(room, "LEFT", json!(login)),
        Notice::Published {
            room,
            login,
            stream,
        } => room_event(room, "PUBLISHED", json!({"login": login, "name": stream})),
        Notice::Unpublished {
            room,
            login,
            stream,
        } => room_event(room, "UNPUBLISHED", json!({"login": login, "name": stream})),
        Notice::Message { room, from, text } => {
            room_event(room, "MESSAGE", json!({"from": from, "text": text}))
        }
        Notice::RemoteSdp {
            media_session_id,
            sdp,
        } => frame("setRemoteSDP", json!([media_session_id, sdp])),
        Notice::StreamStatus {
            media_session_id,
            status,
            info,
            record_name,
        } => named_status(media_session_id, *status, *info, record_name.as_deref()),
        Notice::StreamEvent {
            media_session_id,
            kind,
            payload,
        } => relayed_event(media_session_id, kind, payload),
        Notice::RepublishRequested {
            media_session_id,
            video_codecs,
        } => republish_requested(media_session_id, video_codecs),
        Notice::MuteRequested {
            media_session_id,
            audio,
            video,
        } => mute_requested(media_session_id, *audio, *video),
        Notice::Availability {
            media_session_id,
            kind,
            info,
        } => stream_event_to(media_session_id, kind, json!({ "info": info })),
        Notice::RecordingStarted {
            media_session_id,
            record_name,
        } => recording_started(media_session_id, record_name),
        Notice::OverUdp { media_session_id } => over_udp(media_session_id),
        Notice::AvailableStream {
            media_session_id,
            available,
        } => available_stream(media_session_id, *available),
    }
}

fn available_stream(media_session_id: &str, available: bool) -> Frame {
    let status = if available { "true" } else { "false" };
    let info = if available { "" } else { "Stream not found" };
    frame(
        "availableStream",
        json!([{"id": media_session_id, "status": status, "info": info}]),
    )
}

/// Events of the server's own making; the official SDK passes on types that it
/// does not know.
fn republish_requested(media_session_id: &str, video_codecs: &[&str]) -> Frame {
    let info = "A viewer cannot decode this stream's video";
    let payload = json!({"videoCodecs": video_codecs, "info": info});
    stream_event_to(media_session_id, "republishRequested", payload)
}

fn mute_requested(media_session_id: &str, audio: bool, video: bool) -> Frame {
    let info = "Muted by the moderator";
    let payload = json!({"audio": audio, "video": video, "info": info});
    stream_event_to(media_session_id, "muteRequested", payload)
}

fn over_udp(media_session_id: &str) -> Frame {
    let info = "Media over TCP is not available; it goes over UDP";
    let payload = json!({"wanted": "TCP", "used": "UDP", "info": info});
    stream_event_to(media_session_id, "transport", payload)
}

fn recording_started(media_session_id: &str, record_name: &str) -> Frame {
    let payload = json!({"recordName": record_name});
    stream_event_to(media_session_id, "recordingStarted", payload)
}

fn relayed_event(media_session_id: &str, kind: &str, payload: &str) -> Frame {
    let payload: Value = serde_json::from_str(payload).unwrap_or_else(|_| json!({}));
    stream_event_to(media_session_id, kind, payload)
}

fn stream_event_to(media_session_id: &str, kind: &str, payload: Value) -> Frame {
    frame(
        "notifyStreamEvent",
        json!([{"mediaSessionId": media_session_id, "type": kind, "payload": payload}]),
    )
}

/// `notifyStreamStatusEvent`, also for failures the session itself finds.
pub fn stream_status(media_session_id: &str, status: StreamStatus, info: Option<&str>) -> Frame {
    named_status(media_session_id, status, info, None)
}

fn named_status(
    media_session_id: &str,
    status: StreamStatus,
    info: Option<&str>,
    record_name: Option<&str>,
) -> Frame {
    let status = stream_object(media_session_id, status, info, record_name);
    frame("notifyStreamStatusEvent", json!([status]))
}

fn stream_object(
    media_session_id: &str,
    status: StreamStatus,
    info: Option<&str>,
    record_name: Option<&str>,
) -> Value {
    let mut object = json!({"mediaSessionId": media_session_id, "status": status.name()});
    for (key, text) in [("info", info), ("recordName", record_name)] {
        if let (Some(object), Some(text)) = (object.as_object_mut(), text) {
            object.insert(key.to_string(), Value::from(text));
        }
    }
    object
}

/// A refused room command.
pub fn refused(operation_id: &str, info: &str) -> Frame {
    frame(
        "DataStatusEvent",
        json!([{"operationId": operation_id, "status": "FAILED", "info": info}]),
    )
}

/// The answer to `snapshot`, which needs decoding.
pub fn snapshot_failed(media_session_id: &str) -> Frame {
    frame(
        "notifyStreamEvent",
        json!([{
            "mediaSessionId": media_session_id,
            "type": "snapshotFailed",
            "payload": {"info": "This server does not decode video"}
        }]),
    )
}

/// A streamless member is its login; the others one object per stream.
fn state(members: &[MemberState]) -> Value {
    let mut list = Vec::new();
    for member in members {
        if member.streams.is_empty() {
            list.push(json!(member.login));
        }
        for stream in &member.streams {
            list.push(json!({"login": member.login, "name": stream}));
        }
    }
    Value::Array(list)
}

fn room_event(room: &str, name: &str, info: Value) -> Frame {
    frame(
        "OnDataEvent",
        json!([{"payload": {"roomName": room, "name": name, "info": info}}]),
    )
}

fn frame(message: &'static str, data: Value) -> Frame {
    Frame { message, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_as_the_sdk_sends_it() {
        let text = r#"{"message":"sendData","data":[{"operationId":"op1","payload":
            {"command":"join","options":{"name":"room-214de5","record":false}}}]}"#;
        let expected = ClientMessage::Command {
            operation_id: "op1".into(),
            command: RoomCommand::Join {
                room: "room-214de5".into(),
                record: false,
            },
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn recording_is_asked_for_at_the_join_or_with_a_stream() {
        let join = |record: &str| {
            let text = format!(
                r#"{{"message":"sendData","data":[{{"operationId":"op","payload":{{"command":"join","options":{{"name":"r"{record}}}}}}}]}}"#
            );
            match parse(&text) {
                Ok(ClientMessage::Command {
                    command: RoomCommand::Join { record, .. },
                    ..
                }) => record,
                other => panic!("{other:?}"),
            }
        };
        assert!(join(r#","record":true"#));
        for not in [
            "",
            r#","record":false"#,
            r#","record":"true""#,
            r#","record":1"#,
        ] {
            assert!(!join(not), "{not}");
        }
        let publish = |record: bool| {
            let text = format!(
                r#"{{"message":"publishStream","data":[{{"mediaSessionId":"id","name":"n","sdp":"v=0","record":{record},"custom":{{"name":"r"}}}}]}}"#
            );
            match parse(&text) {
                Ok(ClientMessage::Publish(offer)) => offer.record,
                other => panic!("{other:?}"),
            }
        };
        assert!(publish(true) && !publish(false));
    }

    #[test]
    fn news_of_a_recorded_stream_names_the_file() {
        let notice = Notice::StreamStatus {
            media_session_id: "id".into(),
            status: StreamStatus::Unpublished,
            info: None,
            record_name: Some("stream-id-ann.mp4".into()),
        };
        assert_eq!(
            render(&notice).text(),
            r#"{"data":[{"mediaSessionId":"id","recordName":"stream-id-ann.mp4","status":"UNPUBLISHED"}],"message":"notifyStreamStatusEvent"}"#
        );
        let late = Notice::RecordingStarted {
            media_session_id: "id".into(),
            record_name: "stream-id-ann.mp4".into(),
        };
        assert_eq!(
            render(&late).text(),
            r#"{"data":[{"mediaSessionId":"id","payload":{"recordName":"stream-id-ann.mp4"},"type":"recordingStarted"}],"message":"notifyStreamEvent"}"#
        );
    }

    #[test]
    fn refusals_name_who_waits_and_what_is_wrong() {
        let command = |payload: &str| {
            parse(&format!(
                r#"{{"message":"sendData","data":[{{"operationId":"op1","payload":{payload}}}]}}"#
            ))
        };
        for (payload, info) in [
            ("7", "payload.command is missing or no string"),
            (r#"{"command":"dance"}"#, "unknown command \"dance\""),
            (
                r#"{"command":"join","options":{"name":""}}"#,
                "join: options.name is empty",
            ),
            (
                r#"{"command":"join","options":{"name":"a\u0000"}}"#,
                "join: options.name holds a control character",
            ),
        ] {
            let expected = MessageError::Command {
                operation_id: "op1".into(),
                info: info.into(),
            };
            assert_eq!(command(payload), Err(expected));
        }
        let stream =
            r#"{"message":"publishStream","data":[{"mediaSessionId":"m","name":"n","sdp":"x"}]}"#;
        let expected = MessageError::Stream {
            media_session_id: "m".into(),
            info: "custom.name is missing or no string".into(),
        };
        assert_eq!(parse(stream), Err(expected));
    }

    #[test]
    fn nonsense_is_malformed_never_a_panic() {
        let deep = format!("{{\"message\":{}", "[".repeat(100_000));
        for text in [
            "",
            "{",
            "[]",
            "7",
            "{\"message\":1}",
            "{\"message\":\"connection\"}",
            &deep,
        ] {
            assert!(
                matches!(parse(text), Err(MessageError::Malformed(_))),
                "{text:.40}"
            );
        }
        let logs = r#"{"message":"pushLogs","data":[{"logs":"…"}]}"#;
        assert_eq!(parse(logs), Ok(ClientMessage::Ignored));
        assert_eq!(
            parse(r#"{"message":"pong","data":[null]}"#),
            Ok(ClientMessage::Pong)
        );
    }

    #[test]
    fn state_lists_streamless_members_as_strings() {
        let members = [
            MemberState {
                login: "Ann".into(),
                streams: vec![],
            },
            MemberState {
                login: "Ben".into(),
                streams: vec!["r-Ben-1".into(), "r-Ben-2".into()],
            },
        ];
        let frame = render(&Notice::State {
            room: "r".into(),
            members: members.to_vec(),
        });
        let value: Value = serde_json::from_str(&frame.text()).unwrap();
        assert_eq!(
            value["data"][0]["payload"]["info"],
            json!(["Ann", {"login": "Ben", "name": "r-Ben-1"}, {"login": "Ben", "name": "r-Ben-2"}])
        );
    }

    #[test]
    fn user_data_is_the_received_object_with_a_token() {
        let text = r#"{"message":"connection","data":[{"appKey":"roomApp","authToken":"old","custom":{"login":"Ann"}}]}"#;
        let Ok(ClientMessage::Connection(connection)) = parse(text) else {
            panic!("no connection");
        };
        assert_eq!(connection.auth_token.as_deref(), Some("old"));
        let value: Value =
            serde_json::from_str(&user_data(&connection.received, "new").text()).unwrap();
        assert_eq!(value["data"][0]["authToken"], "new");
        assert_eq!(value["data"][0]["custom"]["login"], "Ann");
    }

    #[test]
    fn payload_travels_as_json() {
        let text = r#"{"message":"sendStreamEvent","data":[{"mediaSessionId":"m","type":"data","payload":{"count":23}}]}"#;
        let Ok(ClientMessage::StreamEvent { payload, .. }) = parse(text) else {
            panic!("no event");
        };
        let frame = render(&Notice::StreamEvent {
            media_session_id: "v".into(),
            kind: "data".into(),
            payload,
        });
        let value: Value = serde_json::from_str(&frame.text()).unwrap();
        assert_eq!(value["data"][0]["payload"]["count"], 23);
    }
}
