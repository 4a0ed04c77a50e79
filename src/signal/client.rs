//! The client's end of the official Web SDK's dialect: what a browser says and
//! how it understands the server. For simulated browsers and tests; the
//! server's end is [`super::message`].

use serde_json::{Value, json};

/// What the server says, as far as a client acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// `getUserData`: the session is established.
    UserData {
        auth_token: String,
    },
    Ping,
    /// `DataStatusEvent`: how a room command ended.
    Settled {
        operation_id: String,
        accepted: bool,
        info: Option<String>,
    },
    /// The room as it was at the join: logins, with each stream they have.
    State {
        room: String,
        members: Vec<(String, Option<String>)>,
    },
    Joined {
        login: String,
    },
    Left {
        login: String,
    },
    Published {
        login: String,
        stream: String,
    },
    Unpublished {
        login: String,
        stream: String,
    },
    Message {
        from: String,
        text: String,
    },
    RemoteSdp {
        media_session_id: String,
        sdp: String,
    },
    StreamStatus {
        media_session_id: String,
        status: String,
        info: Option<String>,
    },
    /// Something about a stream: what, and its explanation.
    StreamEvent {
        media_session_id: String,
        kind: String,
        info: Option<String>,
    },
    /// Well-formed, and nothing a client here acts on.
    Other(String),
}

/// Reads one text frame of the server; `None` if it is no message of the
/// dialect, in particular when `data` is no array (the SDK throws then).
pub fn read(text: &str) -> Option<ServerMessage> {
    let frame: Value = serde_json::from_str(text).ok()?;
    let name = frame.get("message")?.as_str()?;
    let data = frame.get("data")?.as_array()?;
    let first = data.first();
    let word = |key: &str| Some(first?.get(key)?.as_str()?.to_string());
    let message = match name {
        "getUserData" => ServerMessage::UserData {
            auth_token: word("authToken")?,
        },
        "ping" => ServerMessage::Ping,
        "DataStatusEvent" => ServerMessage::Settled {
            operation_id: word("operationId")?,
            accepted: word("status")? == "ACCEPTED",
            info: word("info"),
        },
        "setRemoteSDP" => ServerMessage::RemoteSdp {
            media_session_id: first?.as_str()?.to_string(),
            sdp: data.get(1)?.as_str()?.to_string(),
        },
        "notifyStreamStatusEvent" => ServerMessage::StreamStatus {
            media_session_id: word("mediaSessionId")?,
            status: word("status")?,
            info: word("info"),
        },
        "notifyStreamEvent" => {
            let payload = first.and_then(|first| first.get("payload"));
            let info = payload.and_then(|payload| payload.get("info")?.as_str());
            ServerMessage::StreamEvent {
                media_session_id: word("mediaSessionId")?,
                kind: word("type")?,
                info: info.map(str::to_string),
            }
        }
        "OnDataEvent" => room_event(first?.get("payload")?)?,
        other => ServerMessage::Other(other.to_string()),
    };
    Some(message)
}

fn room_event(payload: &Value) -> Option<ServerMessage> {
    let info = payload.get("info")?;
    let text = |key: &str| Some(info.get(key)?.as_str()?.to_string());
    let login = || Some(info.as_str()?.to_string());
    let message = match payload.get("name")?.as_str()? {
        "STATE" => ServerMessage::State {
            room: payload.get("roomName")?.as_str()?.to_string(),
            members: info.as_array()?.iter().map(member).collect::<Option<_>>()?,
        },
        "JOINED" => ServerMessage::Joined { login: login()? },
        "LEFT" => ServerMessage::Left { login: login()? },
        "PUBLISHED" => ServerMessage::Published {
            login: text("login")?,
            stream: text("name")?,
        },
        "UNPUBLISHED" => ServerMessage::Unpublished {
            login: text("login")?,
            stream: text("name")?,
        },
        "MESSAGE" => ServerMessage::Message {
            from: text("from")?,
            text: text("text")?,
        },
        other => ServerMessage::Other(other.to_string()),
    };
    Some(message)
}

fn member(entry: &Value) -> Option<(String, Option<String>)> {
    if let Some(login) = entry.as_str() {
        return Some((login.to_string(), None));
    }
    let login = entry.get("login")?.as_str()?;
    let stream = entry.get("name")?.as_str()?;
    Some((login.to_string(), Some(stream.to_string())))
}

pub fn connection(login: &str, auth_token: Option<&str>) -> String {
    let mut fields = json!({"appKey": "roomApp", "custom": {"login": login}});
    if let (Some(token), Some(fields)) = (auth_token, fields.as_object_mut()) {
        fields.insert("authToken".to_string(), Value::from(token));
    }
    say("connection", &fields)
}

/// The same with an access token, unless that is empty.
pub fn connection_with(login: &str, access_token: &str) -> String {
    let mut custom = json!({"login": login});
    if let Some(custom) = custom.as_object_mut().filter(|_| !access_token.is_empty()) {
        custom.insert("token".to_string(), Value::from(access_token));
    }
    let fields = json!({"appKey": "roomApp", "custom": custom});
    say("connection", &fields)
}

pub fn pong() -> String {
    say("pong", &Value::Null)
}

pub fn join(operation_id: &str, room: &str) -> String {
    command(operation_id, "join", &json!({"name": room}))
}

pub fn leave(operation_id: &str, room: &str) -> String {
    command(operation_id, "leave", &json!({"name": room}))
}

pub fn send_message(operation_id: &str, room: &str, to: &str, text: &str) -> String {
    let options = json!({"roomConfig": {"name": room}, "to": to, "text": text});
    command(operation_id, "sendMessage", &options)
}

pub fn publish(media_session_id: &str, stream: &str, room: &str, sdp: &str) -> String {
    offer("publishStream", media_session_id, stream, room, sdp)
}

pub fn play(media_session_id: &str, stream: &str, room: &str, sdp: &str) -> String {
    offer("playStream", media_session_id, stream, room, sdp)
}

pub fn unpublish(media_session_id: &str) -> String {
    let fields = json!({"mediaSessionId": media_session_id});
    say("unPublishStream", &fields)
}

pub fn stop(media_session_id: &str) -> String {
    let fields = json!({"mediaSessionId": media_session_id});
    say("stopStream", &fields)
}

fn command(operation_id: &str, name: &str, options: &Value) -> String {
    let payload = json!({"command": name, "options": options});
    let fields = json!({"operationId": operation_id, "payload": payload});
    say("sendData", &fields)
}

fn offer(message: &str, media_session_id: &str, stream: &str, room: &str, sdp: &str) -> String {
    let fields = json!({
        "mediaSessionId": media_session_id,
        "name": stream,
        "custom": {"name": room},
        "sdp": sdp,
    });
    say(message, &fields)
}

fn say(message: &str, fields: &Value) -> String {
    json!({"message": message, "data": [fields]}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::notice::{MemberState, Notice, StreamStatus};
    use crate::signal::message::{self, ClientMessage, RoomCommand, StreamOffer};

    #[test]
    fn the_server_understands_what_is_said() {
        let command = |room: RoomCommand| ClientMessage::Command {
            operation_id: "op".into(),
            command: room,
        };
        let offer = StreamOffer {
            media_session_id: "id".into(),
            name: "room-ann".into(),
            room: "room".into(),
            sdp: "v=0\r\n".into(),
            over_tcp: false,
            record: false,
        };
        let stop = ClientMessage::Stop {
            media_session_id: "id".into(),
        };
        let unpublished = ClientMessage::Unpublish {
            media_session_id: "id".into(),
        };
        for (text, expected) in [
            (pong(), ClientMessage::Pong),
            (
                join("op", "room"),
                command(RoomCommand::Join {
                    room: "room".into(),
                    record: false,
                }),
            ),
            (
                leave("op", "room"),
                command(RoomCommand::Leave {
                    room: "room".into(),
                }),
            ),
            (
                send_message("op", "room", "bob", "hi"),
                command(RoomCommand::SendMessage {
                    room: "room".into(),
                    to: "bob".into(),
                    text: "hi".into(),
                }),
            ),
            (
                publish("id", "room-ann", "room", "v=0\r\n"),
                ClientMessage::Publish(offer.clone()),
            ),
            (
                play("id", "room-ann", "room", "v=0\r\n"),
                ClientMessage::Play(offer),
            ),
            (super::stop("id"), stop),
            (unpublish("id"), unpublished),
        ] {
            assert_eq!(message::parse(&text), Ok(expected));
        }
        let Ok(ClientMessage::Connection(connection)) =
            message::parse(&connection("ann", Some("t")))
        else {
            panic!("a connection");
        };
        assert_eq!(connection.auth_token.as_deref(), Some("t"));
        assert_eq!(connection.login, "ann");
    }

    #[test]
    fn the_server_is_understood() {
        let state = Notice::State {
            room: "r".into(),
            members: vec![
                MemberState {
                    login: "ann".into(),
                    streams: vec!["r-ann".into()],
                },
                MemberState {
                    login: "bob".into(),
                    streams: vec![],
                },
            ],
        };
        let status = Notice::StreamStatus {
            media_session_id: "id".into(),
            status: StreamStatus::Failed,
            info: Some("why"),
            record_name: None,
        };
        for (notice, expected) in [
            (
                state,
                ServerMessage::State {
                    room: "r".into(),
                    members: vec![("ann".into(), Some("r-ann".into())), ("bob".into(), None)],
                },
            ),
            (
                status,
                ServerMessage::StreamStatus {
                    media_session_id: "id".into(),
                    status: "FAILED".into(),
                    info: Some("why".into()),
                },
            ),
        ] {
            assert_eq!(read(&message::render(&notice).text()), Some(expected));
        }
        assert_eq!(read(&message::ping().text()), Some(ServerMessage::Ping));
        assert_eq!(read(r#"{"message":"ping"}"#), None);
        assert_eq!(read("no json"), None);
    }
}
