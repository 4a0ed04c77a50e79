//! What holds for any bytes as an HTTP request head: a head read whole is read
//! the same with more behind it, and never before it is complete.

use ringhall::wire::http;

/// Entry of the fuzz target and of the corpus replay.
pub fn check(data: &[u8]) {
    let Ok(Some(head)) = http::parse(data) else {
        return;
    };
    assert!(head.len_bytes <= data.len());
    assert!(!head.path.contains(['?', '#']));
    if head.websocket_key.is_some() {
        assert_eq!(head.method, "GET");
    }
    let mut longer = data[..head.len_bytes].to_vec();
    longer.extend(b"GET / HTTP/1.1\r\n");
    let again = http::parse(&longer).expect("a head does not depend on what follows");
    assert_eq!(again.expect("still complete"), head);
    for len in 0..head.len_bytes {
        let part = http::parse(&data[..len]);
        assert!(!matches!(part, Ok(Some(_))), "complete after {len} bytes");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?roomName=x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "POST /x HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "HEAD /style.css#top HTTP/1.1\r\nConnection: close\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
