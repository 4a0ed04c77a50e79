//! A client's WebSocket (RFC 6455) over a connection of its own: text both ways.

use std::io;

use crate::load::http::Url;
use crate::load::stream::Stream;
use crate::proto::tls::Trust;
use crate::proto::ws::{client_text_frame, take_server_frame};

/// A message of a server at most; a room's state may be long.
const MESSAGE_MAX_BYTES: usize = 8 << 20;
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

pub struct WebSocket {
    stream: Stream,
    heard: Vec<u8>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl WebSocket {
    /// Connects and upgrades, speaking `protocol` if one is named.
    pub async fn open(
        url: &Url,
        trust: Option<&Trust>,
        protocol: Option<&str>,
    ) -> io::Result<Self> {
        let mut stream = Stream::connect(url, trust).await?;
        let protocol = protocol.map_or(String::new(), |protocol| {
            format!("Sec-WebSocket-Protocol: {protocol}\r\n")
        });
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n",
            url.path, url.host, url.port
        );
        stream.write_all(request.as_bytes()).await?;
        let mut socket = WebSocket {
            stream,
            heard: Vec::new(),
        };
        loop {
            let end = socket.heard.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let is_upgraded = socket.heard.starts_with(b"HTTP/1.1 101");
                let line = socket.heard.split(|byte| *byte == b'\r').next();
                let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
                socket.heard.drain(..end + 4);
                return match is_upgraded {
                    true => Ok(socket),
                    false => Err(broken(&format!("no upgrade: {line}"))),
                };
            }
            socket.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.heard.len() > MESSAGE_MAX_BYTES {
            return Err(broken("a message without end"));
        }
        match self.stream.read_buf(&mut self.heard).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    pub async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&client_text_frame(text, MASK)).await
    }

    /// The next text; pings of the protocol are answered on the way. May be
    /// dropped while it waits: nothing is lost.
    pub async fn hear(&mut self) -> io::Result<String> {
        loop {
            while let Some((opcode, payload)) = take_server_frame(&mut self.heard) {
                match opcode {
                    1 => {
                        return String::from_utf8(payload).map_err(|_| broken("text is not UTF-8"));
                    }
                    8 => return Err(broken(&close_reason(&payload))),
                    9 => {
                        let mut pong = vec![0x8a, 0x80 | payload.len().min(125) as u8];
                        pong.extend(MASK);
                        let masked = payload.iter().zip(MASK.iter().cycle());
                        pong.extend(masked.map(|(byte, mask)| byte ^ mask));
                        self.stream.write_all(&pong).await?;
                    }
                    _ => {}
                }
            }
            self.fill().await?;
        }
    }
}

fn close_reason(payload: &[u8]) -> String {
    let reason = payload.get(2..).unwrap_or_default();
    format!("closed: {}", String::from_utf8_lossy(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_says_why() {
        assert_eq!(close_reason(b"\x03\xe8bye"), "closed: bye");
        assert_eq!(close_reason(b""), "closed: ");
    }
}
