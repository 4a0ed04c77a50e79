//! What holds for any bytes as an HTTP request head: a head read whole is read
//! the same with more behind it, and never before it is complete; its body has
//! one length, its path and query decode the same twice.

use ringhall::wire::http::{self, Body, RequestHead};
use ringhall::wire::range::{Ranged, range};

/// Entry of the fuzz target and of the corpus replay.
pub fn check(data: &[u8]) {
    let Ok(Some(head)) = http::parse(data) else {
        return;
    };
    assert!(head.len_bytes <= data.len());
    assert!(!head.path.contains(['?', '#']));
    if head.websocket_key.is_some() {
        assert_eq!((head.method, head.body), ("GET", Body::None));
    }
    check_framing(&head, &data[..head.len_bytes]);
    check_target(&head);
    check_range(&head);
    let mut longer = data[..head.len_bytes].to_vec();
    longer.extend(b"GET / HTTP/1.1\r\n");
    let again = http::parse(&longer).expect("a head does not depend on what follows");
    assert_eq!(again.expect("still complete"), head);
    for len in 0..head.len_bytes {
        let part = http::parse(&data[..len]);
        assert!(!matches!(part, Ok(Some(_))), "complete after {len} bytes");
    }
}

/// Of everything that could say where the request ends, at most one line does.
fn check_framing(head: &RequestHead<'_>, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let lines = |name: &str| {
        let named = |line: &&str| line.split(':').next() == Some(name);
        text.split('\n').skip(1).filter(named).count()
    };
    let said = lines("content-length") + lines("transfer-encoding");
    match head.body {
        Body::None => assert!(said <= 1 && lines("transfer-encoding") == 0),
        Body::Length(length) => {
            assert!(length > 0 && said == 1);
        }
        Body::Chunked => {
            assert!(!head.keep_alive && said == 1);
        }
    }
    for once in ["host", "origin", "authorization"] {
        assert!(lines(once) <= 1, "{once} twice");
    }
}

/// A part lies within the file, whatever was asked for.
fn check_range(head: &RequestHead<'_>) {
    for len_bytes in [0, 1, 500, u64::MAX] {
        if let Ranged::Part { from, until } = range(head.range, len_bytes) {
            assert!(from < until && until <= len_bytes);
        }
    }
}

fn check_target(head: &RequestHead<'_>) {
    if let Some(segments) = http::segments(head.path) {
        assert!(!segments.is_empty());
        let encoded: String = segments.iter().map(|s| format!("/{}", encode(s))).collect();
        assert_eq!(http::segments(&encoded), Some(segments));
    }
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?roomName=x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "POST /x HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "HEAD /style.css#top HTTP/1.1\r\nConnection: close\r\n\r\n",
        "POST /api/rooms/a%2Fb/participants/%D0%90/mute HTTP/1.1\r\nHost: a:8080\r\n\
         Origin: https://a.example\r\nAuthorization: Bearer 0123456789abcdef\r\n\
         Content-Type: application/json\r\nExpect: 100-continue\r\n\
         Content-Length: 14\r\n\r\n{\"audio\":true}",
        "GET http://b:1/client2/a.js?roomName=a+b%2B&token=x.y.z HTTP/1.1\r\nHost: a\r\n\
         If-None-Match: \"v1\"\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "GET /client/records/a.mp4 HTTP/1.1\r\nHost: a\r\nRange: bytes=-500\r\n\
         If-Range: \"v1\"\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
