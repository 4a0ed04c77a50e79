//! What holds for any text as a client's message: reading it never panics, and
//! a session answers it with frames the official SDK can read.

use ringhall::base::time::{Span, Time};
use ringhall::signal::message;
use ringhall::signal::session::{KeepAlive, Session, SessionAction};

/// Entry of the fuzz target and of the corpus replay: lines are messages of one
/// session.
pub fn check(data: &[u8]) {
    let keep_alive = KeepAlive {
        interval: Span::from_secs(5),
        probes: 10,
    };
    let mut session = Session::new(Time::ZERO, "token".into(), keep_alive);
    let text = String::from_utf8_lossy(data);
    for line in text.lines().take(64) {
        let parsed = message::parse(line);
        assert_eq!(parsed, message::parse(line));
        let mut actions = Vec::new();
        session.handle_text(line, &mut actions);
        for action in actions {
            match action {
                SessionAction::Say(frame) => assert_readable(&frame.text()),
                SessionAction::Ask { room, .. } => {
                    assert!(!room.is_empty() && !room.chars().any(char::is_control));
                    assert!(session.is_established());
                }
                SessionAction::Close(_) => return,
            }
        }
    }
}

/// The SDK throws without a `data` array.
fn assert_readable(text: &str) {
    let frame: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert!(frame["message"].is_string(), "{text}");
    assert!(frame["data"].is_array(), "{text}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let connect =
        r#"{"message":"connection","data":[{"appKey":"roomApp","custom":{"login":"Ann"}}]}"#;
    let join = r#"{"message":"sendData","data":[{"operationId":"o1","payload":{"command":"join","options":{"name":"r","record":false}}}]}"#;
    let publish = r#"{"message":"publishStream","data":[{"mediaSessionId":"m1","name":"r-Ann-1","sdp":"v=0","custom":{"name":"r"}}]}"#;
    let say = r#"{"message":"sendData","data":[{"operationId":"o2","payload":{"command":"sendMessage","options":{"roomConfig":{"name":"r"},"to":"Ben","text":"hi"}}}]}"#;
    let rest = r#"{"message":"sendStreamEvent","data":[{"mediaSessionId":"m1","type":"audioMuted"}]}
{"message":"unPublishStream","data":[{"mediaSessionId":"m1"}]}
{"message":"availableStream","data":[{"mediaSessionId":"m2","name":"r-x"}]}
{"message":"snapshot","data":[{"mediaSessionId":"m2","name":"r-x"}]}
{"message":"pong","data":[null]}
{"message":"ping","data":[null]}
{"message":"pushLogs","data":[{"logs":"x"}]}"#;
    vec![
        [connect, join, publish, say, rest].join("\n").into_bytes(),
        [join, publish].join("\n").into_bytes(),
        [connect, connect, "{", "[[[[", "{\"message\":7}"]
            .join("\n")
            .into_bytes(),
    ]
}
