//! What holds for any bytes as WebSocket frames of a client: however they are
//! split, the same messages come out, and after the end nothing does.

use ringhall::base::limits::WEBSOCKET_MESSAGE_MAX_BYTES;
use ringhall::proto::ws::{WebSocket, WsEvent, client_text_frame};

/// Entry of the fuzz target and of the corpus replay.
pub fn check(data: &[u8]) {
    let whole = events(&[data]);
    let middle = data.len() / 2;
    assert_eq!(events(&[&data[..middle], &data[middle..]]), whole);
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(events(&bytes), whole);
    let ends = whole.iter().filter(|event| **event == WsEvent::Closed);
    assert!(ends.count() <= 1);
    for event in &whole {
        if let WsEvent::Text(text) = event {
            assert!(text.len() <= WEBSOCKET_MESSAGE_MAX_BYTES);
        }
    }
}

fn events(pieces: &[&[u8]]) -> Vec<WsEvent> {
    let mut ws = WebSocket::new();
    let mut events = Vec::new();
    for piece in pieces {
        ws.feed(piece);
        while let Some(event) = ws.poll() {
            events.push(event);
        }
    }
    if events.contains(&WsEvent::Closed) {
        assert_eq!(events.last(), Some(&WsEvent::Closed));
    }
    events
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = client_text_frame("{\"message\":\"ping\",\"data\":[null]}", [1, 2, 3, 4]);
    let long = client_text_frame(&"x".repeat(300), [9, 8, 7, 6]);
    let ping = vec![0x89, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let close = vec![0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];
    let mut fragments = text.clone();
    fragments[0] = 0x01;
    fragments.extend(&ping);
    fragments.extend([0x80, 0x81, 0, 0, 0, 0, b'!']);
    vec![
        [text.clone(), ping, long.clone()].concat(),
        fragments,
        [text, close, long].concat(),
        vec![0x82, 0x81, 0, 0, 0, 0, 1],
        vec![
            0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4,
        ],
    ]
}
