//! HTTP/1.1 request heads (RFC 9112): the door to `httparse`. Bodies are not
//! read: every request this server answers is complete with its head.

/// Header lines a request may carry; browsers send about 15.
const HEADERS_MAX: usize = 48;

/// A request head, borrowed from the connection's buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    pub method: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// The key of a WebSocket upgrade (RFC 6455 section 4.2.1), if this is a
    /// complete and valid one.
    pub websocket_key: Option<&'a str>,
    /// The connection may serve another request.
    pub keep_alive: bool,
    /// A body follows, which we do not read.
    pub has_body: bool,
    /// Bytes of the head, with its empty line.
    pub len_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// Not HTTP, or more headers than allowed.
    Malformed,
    /// An upgrade to WebSocket that lacks its key or asks for another version.
    BadUpgrade,
}

/// Reads one request head; `Ok(None)` until it is complete.
pub fn parse(bytes: &[u8]) -> Result<Option<RequestHead<'_>>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let len_bytes = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(HttpError::Malformed),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(HttpError::Malformed);
    };
    let http_1_1 = request.version == Some(1);
    let value = |name: &str| {
        request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let lists = |name: &str, token: &str| {
        value(name).is_some_and(|value| {
            value
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    };
    let websocket_key = if lists("upgrade", "websocket") && lists("connection", "upgrade") {
        let version = value("sec-websocket-version");
        let key = value("sec-websocket-key").filter(|key| key.len() == 24);
        if method != "GET" || !http_1_1 || version != Some("13") || key.is_none() {
            return Err(HttpError::BadUpgrade);
        }
        key
    } else {
        None
    };
    let has_body = value("transfer-encoding").is_some()
        || value("content-length").is_some_and(|length| length.trim() != "0");
    Ok(Some(RequestHead {
        method,
        path: target.split(['?', '#']).next().unwrap_or(target),
        websocket_key,
        keep_alive: http_1_1 && !lists("connection", "close") && !has_body,
        has_body,
        len_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "GET /?x=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    #[test]
    fn an_upgrade_is_recognised() {
        let head = parse(UPGRADE.as_bytes()).unwrap().unwrap();
        assert_eq!(head.websocket_key, Some("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!((head.path, head.len_bytes), ("/", UPGRADE.len()));
    }

    #[test]
    fn a_partial_head_waits() {
        for len in 0..UPGRADE.len() {
            assert_eq!(parse(&UPGRADE.as_bytes()[..len]), Ok(None), "length {len}");
        }
    }

    #[test]
    fn a_plain_request_keeps_the_connection() {
        let head = parse(b"GET /api/rooms?x HTTP/1.1\r\n\r\n")
            .unwrap()
            .unwrap();
        assert!(head.keep_alive && head.websocket_key.is_none());
        assert_eq!(head.path, "/api/rooms");
        let old = parse(b"GET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert!(!old.keep_alive);
        let body = parse(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n").unwrap();
        assert!(body.is_some_and(|head| head.has_body && !head.keep_alive));
    }

    #[test]
    fn bad_heads_are_refused() {
        assert_eq!(parse(b"\x16\x03\x01\x00"), Err(HttpError::Malformed));
        let keyless = UPGRADE.replace("Sec-WebSocket-Key", "X-Key");
        assert_eq!(parse(keyless.as_bytes()), Err(HttpError::BadUpgrade));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(49));
        assert_eq!(parse(many.as_bytes()), Err(HttpError::Malformed));
    }
}
