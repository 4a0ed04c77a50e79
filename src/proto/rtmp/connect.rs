//! `connect` (RTMP 1.0 section 7.2.1.1) with what Enhanced RTMP added to it:
//! reading the client's, answering with ours.

use super::event::Connect;
use crate::wire::amf::Value;

/// What the answer calls this server. Clients look at the form only; some want
/// a Flash Media Server.
const SERVER_VERSION: &str = "FMS/3,5,7,7009";

/// As Flash Media Server says; nothing in the field reads it.
const CAPABILITIES: f64 = 31.0;

/// What Enhanced RTMP codecs pass through (veovera enhanced-rtmp-v2,
/// "Enhancing NetConnection connect Command").
const VIDEO_CODECS: &[&str] = &["avc1"];
const AUDIO_CODECS: &[&str] = &["Opus", "mp4a"];

/// Bits of a codec's entry in an info map.
const CAN_DECODE: u32 = 1;
const CAN_FORWARD: u32 = 4;

/// `capsEx`: the peer understands being asked to connect anew.
const CAPS_RECONNECT: u32 = 1;

/// Which of the enhanced properties the client sent; each is answered in kind
/// and none is volunteered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    four_cc_list: bool,
    video_info: bool,
    audio_info: bool,
    /// The client's `capsEx` bits.
    caps_ex: Option<u32>,
    /// It asked for AMF3.
    amf3: bool,
}

/// Reads the command object of `connect`, and the arguments behind it.
pub fn read(object: &Value, arguments: Vec<Value>) -> (Connect, Caps) {
    let text = |key: &str| {
        let value = object.property(key).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let number = |key: &str| object.property(key).and_then(Value::as_number);
    let list = object.property("fourCcList");
    let audio_info = object.property("audioFourCcInfoMap");
    let caps = Caps {
        four_cc_list: list.is_some(),
        video_info: object.property("videoFourCcInfoMap").is_some(),
        audio_info: audio_info.is_some(),
        caps_ex: number("capsEx").map(|bits| bits as u32),
        amf3: number("objectEncoding") == Some(3.0),
    };
    let connect = Connect {
        app: text("app"),
        tc_url: text("tcUrl"),
        flash_version: text("flashVer"),
        object_encoding: caps.object_encoding(),
        arguments,
        enhanced: caps.four_cc_list || caps.video_info || caps.audio_info || caps.caps_ex.is_some(),
        accepts_opus: list.is_some_and(lists_opus) || audio_info.is_some_and(takes_opus),
    };
    (connect, caps)
}

fn lists_opus(list: &Value) -> bool {
    let is_opus = |value: &Value| matches!(value.as_str(), Some("Opus" | "*"));
    match list {
        Value::StrictArray(values) => values.iter().any(is_opus),
        Value::EcmaArray(entries) => entries.iter().any(|(_, value)| is_opus(value)),
        _ => false,
    }
}

fn takes_opus(map: &Value) -> bool {
    let bits = ["Opus", "*"]
        .iter()
        .filter_map(|codec| map.property(codec).and_then(Value::as_number))
        .fold(0, |all, bits| all | bits as u32);
    bits & (CAN_DECODE | CAN_FORWARD) != 0
}

impl Caps {
    fn object_encoding(self) -> f64 {
        if self.amf3 { 3.0 } else { 0.0 }
    }

    /// Properties and information of the answer that accepts. The encoding is
    /// the client's: we read both, and our AMF0 is legal in both.
    pub fn accepted(self) -> [Value; 2] {
        let mut properties = vec![
            property("fmsVer", Value::String(SERVER_VERSION.to_owned())),
            property("capabilities", Value::Number(CAPABILITIES)),
            property("mode", Value::Number(1.0)),
        ];
        if self.four_cc_list {
            let codecs = VIDEO_CODECS.iter().chain(AUDIO_CODECS);
            let list = codecs.map(|codec| Value::String((*codec).to_owned()));
            properties.push(property("fourCcList", Value::StrictArray(list.collect())));
        }
        if self.video_info {
            properties.push(property("videoFourCcInfoMap", info_map(VIDEO_CODECS)));
        }
        if self.audio_info {
            properties.push(property("audioFourCcInfoMap", info_map(AUDIO_CODECS)));
        }
        if let Some(bits) = self.caps_ex {
            let common = f64::from(bits & CAPS_RECONNECT);
            properties.push(property("capsEx", Value::Number(common)));
        }
        let mut information = status(
            "status",
            "NetConnection.Connect.Success",
            "Connection succeeded.",
        );
        information.push(property(
            "objectEncoding",
            Value::Number(self.object_encoding()),
        ));
        [Value::Object(properties), Value::Object(information)]
    }
}

fn info_map(codecs: &[&str]) -> Value {
    let entry = |codec: &&str| property(codec, Value::Number(f64::from(CAN_FORWARD)));
    Value::Object(codecs.iter().map(entry).collect())
}

/// The three properties of every information object.
pub fn status(level: &str, code: &str, description: &str) -> Vec<(String, Value)> {
    [
        ("level", level),
        ("code", code),
        ("description", description),
    ]
    .map(|(key, text)| property(key, Value::String(text.to_owned())))
    .to_vec()
}

fn property(key: &str, value: Value) -> (String, Value) {
    (key.to_owned(), value)
}
