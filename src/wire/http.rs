//! HTTP/1.1 request heads (RFC 9112) and what is written in their targets: the
//! door to `httparse`. Owns where a request ends; refuses every head two
//! readers could frame or attribute differently, as a proxy in front would.

use crate::base::limits::{HTTP_HEAD_MAX_BYTES, HTTP_PATH_SEGMENTS_MAX};

/// Header lines a request may carry; browsers send about 15.
const HEADERS_MAX: usize = 48;

/// A request head, borrowed from the connection's buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    pub method: &'a str,
    /// The path without its query, as it was written: see [`segments`].
    pub path: &'a str,
    /// What follows the first `?`.
    pub query: Option<&'a str>,
    /// The server as the client calls it, `host[:port]`: of the target if that
    /// names one (RFC 9112 section 3.2.2), else of `Host`.
    pub host: Option<&'a str>,
    /// The page's origin (RFC 6454), of browsers only.
    pub origin: Option<&'a str>,
    pub authorization: Option<&'a str>,
    pub content_type: Option<&'a str>,
    /// The only `If-None-Match` line; several count as none, which costs a
    /// transfer and never gives a stale answer.
    pub if_none_match: Option<&'a str>,
    /// The only `If-Match` line.
    pub if_match: Option<&'a str>,
    /// The only `Range` line; several count as none.
    pub range: Option<&'a str>,
    /// The only `If-Range` line.
    pub if_range: Option<&'a str>,
    /// The key of a WebSocket upgrade (RFC 6455 section 4.2.1), if this is a
    /// complete and valid one.
    pub websocket_key: Option<&'a str>,
    pub body: Body,
    /// The client waits for `100 Continue` before it sends the body (RFC 9110
    /// section 10.1.1). Never without a body, nor of an HTTP/1.0 client.
    pub expects_continue: bool,
    /// The connection may serve another request, once the body is read.
    pub keep_alive: bool,
    /// Bytes of the head, with its empty line.
    pub len_bytes: usize,
}

/// What follows the head (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing, also when the length is said to be 0.
    None,
    /// This many bytes, at least one.
    Length(usize),
    /// Chunks, which this server does not read: answer and close.
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// Not HTTP, more headers than allowed, or a head that others could read
    /// otherwise.
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
    let fields = Fields(request.headers);
    let (authority, path_and_query) = split_target(target)?;
    let host = fields.only("host")?;
    if host.is_none() && http_1_1 {
        // RFC 9112 section 3.2.
        return Err(HttpError::Malformed);
    }
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let body = body(&fields, http_1_1)?;
    let websocket_key = websocket_key(&fields, method, http_1_1, body)?;
    let expects_continue = http_1_1
        && body != Body::None
        && fields
            .only("expect")?
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
    Ok(Some(RequestHead {
        method,
        path,
        query,
        host: authority.or(host),
        origin: fields.only("origin")?,
        authorization: fields.only("authorization")?,
        content_type: fields.only("content-type")?,
        if_none_match: fields.only("if-none-match").unwrap_or(None),
        if_match: fields.only("if-match")?,
        range: fields.only("range").unwrap_or(None),
        if_range: fields.only("if-range")?,
        websocket_key,
        body,
        expects_continue,
        keep_alive: http_1_1 && !fields.lists("connection", "close") && body != Body::Chunked,
        len_bytes,
    }))
}

/// The target as authority, if it names one, and path with query (RFC 9112
/// section 3.2). A fragment is never sent; one that is sent is cut off.
fn split_target(target: &str) -> Result<(Option<&str>, &str), HttpError> {
    let target = target.split('#').next().unwrap_or(target);
    if target.starts_with('/') || target == "*" {
        return Ok((None, target));
    }
    let (scheme, rest) = target.split_once("://").ok_or(HttpError::Malformed)?;
    let is_http = ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(HttpError::Malformed)?;
    if !is_http || authority.is_empty() || authority.contains('@') {
        return Err(HttpError::Malformed);
    }
    match path {
        "" => Ok((Some(authority), "/")),
        // `http://host?query`: an empty path, which nothing is served at.
        _ => Ok((Some(authority), path)),
    }
}

/// How long the body is. Two lengths, a length beside a transfer coding, or a
/// length that is no plain number let two readers disagree about where the
/// next request starts (RFC 9112 sections 6.1, 6.3 and 11.2).
fn body(fields: &Fields<'_, '_>, http_1_1: bool) -> Result<Body, HttpError> {
    let length = fields.only("content-length")?;
    let Some(coding) = fields.only("transfer-encoding")? else {
        let Some(length) = length else {
            return Ok(Body::None);
        };
        // `parse` alone would take a sign.
        let is_digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length: Option<usize> = length.parse().ok().filter(|_| is_digits);
        return match length {
            Some(0) => Ok(Body::None),
            Some(length) => Ok(Body::Length(length)),
            None => Err(HttpError::Malformed),
        };
    };
    if length.is_some() || !http_1_1 || !coding.eq_ignore_ascii_case("chunked") {
        return Err(HttpError::Malformed);
    }
    Ok(Body::Chunked)
}

/// The key of an upgrade. One with a body would have its body read as frames.
fn websocket_key<'a>(
    fields: &Fields<'_, 'a>,
    method: &str,
    http_1_1: bool,
    body: Body,
) -> Result<Option<&'a str>, HttpError> {
    if !fields.lists("upgrade", "websocket") || !fields.lists("connection", "upgrade") {
        return Ok(None);
    }
    let version = fields.only("sec-websocket-version")?;
    let key = fields
        .only("sec-websocket-key")?
        .filter(|key| key.len() == 24);
    let is_plain_get = method == "GET" && http_1_1 && body == Body::None;
    if !is_plain_get || version != Some("13") || key.is_none() {
        return Err(HttpError::BadUpgrade);
    }
    Ok(key)
}

/// The header lines of one request.
struct Fields<'h, 'a>(&'h [httparse::Header<'a>]);

impl<'a> Fields<'_, 'a> {
    fn lines(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The value of a field that stands once or not at all. Whoever took the
    /// first of two, or none for one that is no text, could be led past a check.
    fn only(&self, name: &str) -> Result<Option<&'a str>, HttpError> {
        let mut lines = self.lines(name);
        let Some(value) = lines.next() else {
            return Ok(None);
        };
        if lines.next().is_some() {
            return Err(HttpError::Malformed);
        }
        let value = std::str::from_utf8(value).map_err(|_| HttpError::Malformed)?;
        Ok(Some(value.trim_matches([' ', '\t'])))
    }

    /// Whether a list, which may stand on several lines (RFC 9110 section
    /// 5.3), has `token`.
    fn lists(&self, name: &str, token: &str) -> bool {
        self.lines(name).any(|line| {
            line.split(|byte| *byte == b',')
                .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    }
}

/// The segments of a path, percent-decoded after it was split (RFC 3986 section
/// 2.4), so that one may hold a slash. `/` is one empty segment. `None` for
/// what is no absolute path, bad escapes, or more than
/// [`HTTP_PATH_SEGMENTS_MAX`].
pub fn segments(path: &str) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        if segments.len() == HTTP_PATH_SEGMENTS_MAX {
            return None;
        }
        segments.push(percent_decode(part)?);
    }
    Some(segments)
}

/// Text with its `%XX` escapes resolved (RFC 3986 section 2.1). `None` for an
/// incomplete escape, bytes that are not UTF-8, or more than a head can hold.
pub fn percent_decode(text: &str) -> Option<String> {
    if text.len() > HTTP_HEAD_MAX_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "GET /?x=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// A request of `line` with a host and `fields`.
    fn text(line: &str, fields: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: a:8080\r\n{fields}\r\n")
    }

    /// What `check` says of the head of `text`.
    fn of<T>(text: &str, check: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        check(&parse(text.as_bytes()).unwrap().unwrap())
    }

    fn refused(text: &str) -> HttpError {
        parse(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn an_upgrade_is_recognised() {
        let head = parse(UPGRADE.as_bytes()).unwrap().unwrap();
        assert_eq!(head.websocket_key, Some("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!((head.path, head.len_bytes), ("/", UPGRADE.len()));
        assert_eq!((head.query, head.host), (Some("x=1"), Some("a")));
        let split = UPGRADE.replace("keep-alive, Upgrade", "keep-alive\r\nconnection: upgrade");
        assert!(of(&split, |head| head.websocket_key.is_some()));
    }

    #[test]
    fn a_partial_head_waits() {
        for len in 0..UPGRADE.len() {
            assert_eq!(parse(&UPGRADE.as_bytes()[..len]), Ok(None), "length {len}");
        }
    }

    #[test]
    fn a_plain_request_keeps_the_connection() {
        of(&text("GET /api/rooms?x", ""), |head| {
            assert!(head.keep_alive && head.websocket_key.is_none());
            assert_eq!((head.path, head.query), ("/api/rooms", Some("x")));
            assert_eq!((head.body, head.expects_continue), (Body::None, false));
        });
        let old = parse(b"GET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert!(!old.keep_alive && old.host.is_none());
        assert!(!of(&text("GET /", "Connection: x, Close\r\n"), |h| h.keep_alive));
        let second = "Connection: x\r\nConnection: close\r\n";
        assert!(!of(&text("GET /", second), |head| head.keep_alive));
    }

    #[test]
    fn fields_are_read_without_their_padding() {
        let fields = "Origin:  https://a.example \r\nAUTHORIZATION:\tBearer x\r\n\
            Content-Type: application/json; charset=utf-8\r\nIf-None-Match: \"v1\"\r\n";
        of(&text("GET /", fields), |head| {
            assert_eq!(head.host, Some("a:8080"));
            assert_eq!(head.origin, Some("https://a.example"));
            assert_eq!(head.authorization, Some("Bearer x"));
            assert_eq!(head.content_type, Some("application/json; charset=utf-8"));
            assert_eq!(head.if_none_match, Some("\"v1\""));
        });
        let twice = "If-None-Match: \"v1\"\r\nIf-None-Match: \"v2\"\r\n";
        assert!(of(&text("GET /", twice), |h| h.if_none_match.is_none()));
        let part = "Range: bytes=1-2\r\nIf-Range: \"v1\"\r\n";
        of(&text("GET /", part), |head| {
            assert_eq!(
                (head.range, head.if_range),
                (Some("bytes=1-2"), Some("\"v1\""))
            );
        });
        let twice = "Range: bytes=1-2\r\nRange: bytes=3-4\r\n";
        assert!(of(&text("GET /", twice), |h| h.range.is_none()));
    }

    #[test]
    fn a_body_of_known_length_keeps_the_connection() {
        let post = |fields: &str| of(&text("POST /", fields), |h| (h.body, h.keep_alive));
        assert_eq!(post(""), (Body::None, true));
        assert_eq!(post("Content-Length: 0\r\n"), (Body::None, true));
        assert_eq!(post("Content-Length: 3\r\n"), (Body::Length(3), true));
        assert_eq!(post("content-length: 007 \r\n"), (Body::Length(7), true));
        assert_eq!(
            post("Transfer-Encoding: chunked\r\n"),
            (Body::Chunked, false)
        );
        assert_eq!(
            post("Transfer-Encoding: Chunked\r\n"),
            (Body::Chunked, false)
        );
    }

    #[test]
    fn lengths_two_readers_could_differ_about_are_refused() {
        for fields in [
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3\r\ncontent-length: 4\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: -3\r\n",
            "Content-Length: 0x3\r\n",
            "Content-Length: 3 3\r\n",
            "Content-Length: 3.0\r\n",
            "Content-Length: \r\n",
            "Content-Length: ٣\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding: \r\n",
            "Content-Length : 3\r\n",
            "Content-Length: 3\r\n folded: 1\r\n",
        ] {
            assert_eq!(refused(&text("POST /", fields)), HttpError::Malformed);
        }
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(refused(old), HttpError::Malformed);
    }

    #[test]
    fn fields_that_decide_access_stand_once_and_are_text() {
        for name in ["Host", "Origin", "Authorization", "Content-Type"] {
            let twice = text("GET /", &format!("{name}: a\r\n{name}: b\r\n"));
            assert_eq!(refused(&twice), HttpError::Malformed, "{name}");
            let mut bytes = b"GET / HTTP/1.0\r\n".to_vec();
            bytes.extend(name.as_bytes());
            bytes.extend(b": https://\xff\r\n\r\n");
            assert_eq!(parse(&bytes), Err(HttpError::Malformed), "{name}");
        }
        assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), HttpError::Malformed);
    }

    #[test]
    fn a_client_may_wait_before_its_body() {
        let waits = |fields: &str| of(&text("POST /", fields), |head| head.expects_continue);
        assert!(waits("Expect: 100-Continue\r\nContent-Length: 3\r\n"));
        assert!(waits(
            "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
        ));
        assert!(!waits("Expect: 100-continue\r\n"));
        assert!(!waits("Expect: 200-ok\r\nContent-Length: 3\r\n"));
        let old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        assert!(!of(old, |head| head.expects_continue));
    }

    #[test]
    fn targets() {
        let target = |target: &str| {
            of(&text(&format!("GET {target}"), ""), |head| {
                let owned = |part: Option<&str>| part.map(str::to_owned);
                (head.path.to_owned(), owned(head.query), owned(head.host))
            })
        };
        let own = |path: &str, query: Option<&str>| {
            let host = Some("a:8080".to_owned());
            (path.to_owned(), query.map(str::to_owned), host)
        };
        assert_eq!(target("/a%20b?"), own("/a%20b", Some("")));
        assert_eq!(target("/a?b?c#d?e"), own("/a", Some("b?c")));
        assert_eq!(target("/a#b?c"), own("/a", None));
        assert_eq!(target("//b/c"), own("//b/c", None));
        assert_eq!(target("*"), own("*", None));
        let named = |path: &str| (path.to_owned(), None, Some("b:1".to_owned()));
        assert_eq!(target("http://b:1"), named("/"));
        assert_eq!(target("HTTPS://b:1/x"), named("/x"));
        for bad in [
            "a",
            "a:80",
            "?x",
            "http:///x",
            "http://a@b/",
            "ftp://b/",
            "http:/b",
        ] {
            assert_eq!(
                refused(&text(&format!("GET {bad}"), "")),
                HttpError::Malformed
            );
        }
    }

    #[test]
    fn bad_heads_are_refused() {
        assert_eq!(parse(b"\x16\x03\x01\x00"), Err(HttpError::Malformed));
        let keyless = UPGRADE.replace("Sec-WebSocket-Key", "X-Key");
        assert_eq!(refused(&keyless), HttpError::BadUpgrade);
        for body in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
            let with_body = UPGRADE.replace("Upgrade: web", &format!("{body}\r\nUpgrade: web"));
            assert_eq!(refused(&with_body), HttpError::BadUpgrade);
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(49));
        assert_eq!(refused(&many), HttpError::Malformed);
    }

    #[test]
    fn escapes_are_resolved_once() {
        for (text, decoded) in [
            ("", ""),
            ("a+b", "a+b"),
            ("%41%7a%2F%2f", "Az//"),
            ("%D0%90%F0%9F%98%80", "А😀"),
            ("%2541", "%41"),
            ("%00", "\0"),
            ("é", "é"),
        ] {
            assert_eq!(percent_decode(text).as_deref(), Some(decoded), "{text}");
        }
        for bad in [
            "%", "%4", "%g1", "%1g", "a%", "%+1", "% 1", "%é", "%FF", "%D0", "%C0%AF",
        ] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
        assert_eq!(percent_decode(&"a".repeat(HTTP_HEAD_MAX_BYTES + 1)), None);
    }

    #[test]
    fn paths_split_before_they_are_decoded() {
        assert_eq!(segments("/").unwrap(), [""]);
        assert_eq!(
            segments("/api/rooms/a%2Fb").unwrap(),
            ["api", "rooms", "a/b"]
        );
        assert_eq!(segments("//a/").unwrap(), ["", "a", ""]);
        for bad in ["", "a", "*", "/%", "/a/%ff"] {
            assert_eq!(segments(bad), None, "{bad}");
        }
        assert!(segments(&"/a".repeat(HTTP_PATH_SEGMENTS_MAX)).is_some());
        assert_eq!(segments(&"/a".repeat(HTTP_PATH_SEGMENTS_MAX + 1)), None);
    }
}
