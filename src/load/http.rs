//! Addresses, and one HTTP request on a connection of its own.

use std::io;

use crate::load::stream::Stream;
use crate::proto::tls::Trust;

/// A response at most.
const RESPONSE_MAX_BYTES: usize = 4 << 20;

/// What addresses begin with, the port without one, and whether they are inside
/// TLS.
const SCHEMES: [(&str, u16, bool); 5] = [
    ("ws://", 80, false),
    ("http://", 80, false),
    ("wss://", 443, true),
    ("https://", 443, true),
    ("rtmp://", 1_935, false),
];

/// `scheme://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub host: String,
    pub port: u16,
    pub path: String,
    pub is_tls: bool,
}

impl Url {
    /// The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = SCHEMES
            .into_iter()
            .find_map(|(scheme, port, is_tls)| Some((text.strip_prefix(scheme)?, port, is_tls)));
        let (rest, default_port, is_tls) = known.ok_or(format!(
            "{text} begins with none of ws://, wss://, http://, https:// and rtmp://"
        ))?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, "/".to_string()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port
                    .parse()
                    .map_err(|_| format!("{port} is no port, in {text}"))?;
                (host, port)
            }
            _ => (authority, default_port),
        };
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_string();
        match host.is_empty() {
            true => Err(format!("{text} names no host")),
            false => Ok(Url {
                host,
                port,
                path,
                is_tls,
            }),
        }
    }
}

pub struct Response {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// Sends a request and reads its whole response.
pub async fn request(
    url: &Url,
    trust: Option<&Trust>,
    method: &str,
    headers: &str,
    body: &str,
) -> io::Result<Response> {
    let mut stream = Stream::connect(url, trust).await?;
    let text = format!(
        "{method} {} HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        url.path,
        url.host,
        url.port,
        body.len()
    );
    stream.write_all(text.as_bytes()).await?;
    let mut heard = Vec::new();
    while stream.read_buf(&mut heard).await? > 0 {
        if heard.len() > RESPONSE_MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    let text = String::from_utf8_lossy(&heard);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Response {
        status: status.unwrap_or(0),
        head: head.to_string(),
        body: body.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_mistakes_named() {
        let url = |text: &str| Url::parse(text).map(|url| (url.host, url.port, url.path));
        let is = |host: &str, port, path: &str| Ok((host.to_string(), port, path.to_string()));
        assert_eq!(url("ws://a.example:8080"), is("a.example", 8_080, "/"));
        assert_eq!(url("http://[::1]:1/x/y"), is("::1", 1, "/x/y"));
        assert_eq!(url("http://a/"), is("a", 80, "/"));
        assert_eq!(url("rtmp://a/live"), is("a", 1_935, "/live"));
        assert_eq!(url("wss://a"), is("a", 443, "/"));
        assert!(Url::parse("https://a").unwrap().is_tls);
        assert!(!Url::parse("http://a").unwrap().is_tls);
        for (text, said) in [
            ("ftp://a", "begins with none"),
            ("ws://:80", "no host"),
            ("ws://a:b", "no port"),
        ] {
            assert!(url(text).unwrap_err().contains(said), "{text}");
        }
    }
}
