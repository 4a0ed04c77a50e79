//! The room protocol as Flash clients speak it: the same objects as over the
//! WebSocket, carried by invokes of an RTMP connection. Owns the translation
//! between AMF values and the messages of [`super::message`], both ways;
//! refuses whatever is no call of the room client.

use serde_json::{Map, Number, Value as Json};

use crate::base::limits::FLASH_CALL_VALUES_MAX;
use crate::signal::message::{self, ClientMessage, Frame, MessageError};
use crate::wire::amf::Value as Amf;

/// What the room client says of itself in `connect`: its first extra argument.
pub const APP_KEY: &str = "flashRoomApp";

/// The object a room client connects with; `None` for any other client.
pub struct Hello<'a> {
    pub login: Result<&'a str, String>,
    /// What it shows to be let in.
    pub access_token: Option<&'a str>,
}

impl<'a> Hello<'a> {
    /// From the arguments behind the command object of `connect`.
    pub fn read(arguments: &'a [Amf]) -> Option<Self> {
        let object = arguments.first()?;
        let app_key = object.property("appKey").and_then(Amf::as_str);
        if app_key != Some(APP_KEY) {
            return None;
        }
        let login = object.property("login").and_then(Amf::as_str);
        Some(Hello {
            login: message::check_name(login, "connect: login"),
            access_token: object.property("token").and_then(Amf::as_str),
        })
    }
}

/// Reads a call of the client. A call that is none of the room protocol's is
/// [`ClientMessage::Ignored`].
pub fn read_call(name: &str, arguments: &[Amf]) -> Result<ClientMessage, MessageError> {
    match name {
        "pong" => Ok(ClientMessage::Pong),
        "sendData" => {
            // A command object, null, may lead the arguments.
            let object = arguments.iter().find(|value| **value != Amf::Null);
            let mut left = FLASH_CALL_VALUES_MAX;
            match object.and_then(|value| json(value, &mut left)) {
                Some(Json::Object(fields)) => message::command(&fields),
                _ => Err(MessageError::Malformed(
                    "sendData: the argument is no object".to_string(),
                )),
            }
        }
        _ => Ok(ClientMessage::Ignored),
    }
}

/// The call that tells a client this; `None` for what only clients of the
/// WebSocket act on.
pub fn call_of(frame: &Frame) -> Option<(&'static str, Vec<Amf>)> {
    let (name, data) = frame.parts();
    if !matches!(name, "DataStatusEvent" | "OnDataEvent" | "ping" | "fail") {
        return None;
    }
    let arguments = data.as_array().map(|data| data.iter().map(amf).collect());
    Some((name, arguments.unwrap_or_default()))
}

/// `None` when there are more values than a call may hold.
fn json(value: &Amf, left: &mut usize) -> Option<Json> {
    *left = left.checked_sub(1)?;
    Some(match value {
        Amf::Number(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Amf::Boolean(flag) => Json::Bool(*flag),
        Amf::String(text) | Amf::Xml(text) => Json::String(text.clone()),
        Amf::Object(fields) | Amf::EcmaArray(fields) => {
            let mut object = Map::new();
            for (key, value) in fields {
                object.insert(key.clone(), json(value, left)?);
            }
            Json::Object(object)
        }
        Amf::StrictArray(values) => {
            let values = values.iter().map(|value| json(value, left));
            Json::Array(values.collect::<Option<_>>()?)
        }
        Amf::Date(ms) => Number::from_f64(*ms).map_or(Json::Null, Json::Number),
        Amf::Null | Amf::Undefined => Json::Null,
    })
}

fn amf(value: &Json) -> Amf {
    match value {
        Json::Null => Amf::Null,
        Json::Bool(flag) => Amf::Boolean(*flag),
        Json::Number(number) => Amf::Number(number.as_f64().unwrap_or_default()),
        Json::String(text) => Amf::String(text.clone()),
        Json::Array(values) => Amf::StrictArray(values.iter().map(amf).collect()),
        Json::Object(fields) => Amf::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), amf(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::notice::{MemberState, Notice};
    use crate::signal::message::RoomCommand;

    fn text(text: &str) -> Amf {
        Amf::String(text.to_string())
    }

    fn object(fields: &[(&str, Amf)]) -> Amf {
        let fields = fields.iter().map(|(k, v)| (k.to_string(), v.clone()));
        Amf::Object(fields.collect())
    }

    fn send_data(command: &str, options: Amf) -> Vec<Amf> {
        let payload = object(&[("command", text(command)), ("options", options)]);
        let call = object(&[("operationId", text("op")), ("payload", payload)]);
        vec![Amf::Null, call]
    }

    #[test]
    fn a_room_client_is_known_by_its_key_and_needs_a_login() {
        let hello = |fields: &[(&str, Amf)]| object(fields);
        let ben = [hello(&[("appKey", text(APP_KEY)), ("login", text("Ben"))])];
        assert_eq!(Hello::read(&ben).unwrap().login, Ok("Ben"));
        let nobody = [hello(&[("appKey", text(APP_KEY))])];
        assert!(Hello::read(&nobody).unwrap().login.is_err());
        let other = [hello(&[("appKey", text("flashStreamingApp"))])];
        assert!(Hello::read(&other).is_none());
        assert!(Hello::read(&[]).is_none());
    }

    #[test]
    fn commands_are_those_of_the_other_dialect() {
        let join = send_data("join", object(&[("name", text("room"))]));
        let expected = ClientMessage::Command {
            operation_id: "op".into(),
            command: RoomCommand::Join {
                room: "room".into(),
                record: false,
            },
        };
        assert_eq!(read_call("sendData", &join), Ok(expected));
        let unknown = send_data("dance", object(&[]));
        assert!(matches!(
            read_call("sendData", &unknown),
            Err(MessageError::Command { .. })
        ));
        assert!(read_call("sendData", &[text("no object")]).is_err());
        assert_eq!(read_call("pong", &[]), Ok(ClientMessage::Pong));
        assert_eq!(read_call("dance", &[]), Ok(ClientMessage::Ignored));
    }

    #[test]
    fn a_call_with_too_many_values_is_refused() {
        let many = Amf::StrictArray(vec![Amf::Null; FLASH_CALL_VALUES_MAX]);
        let call = send_data("join", object(&[("name", many)]));
        assert!(matches!(
            read_call("sendData", &call),
            Err(MessageError::Malformed(_))
        ));
    }

    #[test]
    fn notices_become_calls_of_the_client() {
        let state = Notice::State {
            room: "room".into(),
            members: vec![MemberState {
                login: "Ann".into(),
                streams: vec!["room-Ann-1".into()],
            }],
        };
        let (name, arguments) = call_of(&message::render(&state)).unwrap();
        assert_eq!(name, "OnDataEvent");
        let payload = arguments[0].property("payload").unwrap();
        assert_eq!(payload.property("name"), Some(&text("STATE")));
        let ann = object(&[("login", text("Ann")), ("name", text("room-Ann-1"))]);
        assert_eq!(payload.property("info"), Some(&Amf::StrictArray(vec![ann])));
        assert_eq!(call_of(&message::ping()), Some(("ping", vec![])));
        let sdp = Notice::RemoteSdp {
            media_session_id: "m".into(),
            sdp: String::new(),
        };
        assert_eq!(call_of(&message::render(&sdp)), None);
    }
}
