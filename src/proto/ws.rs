//! A WebSocket server end over byte buffers (RFC 6455): the door to
//! `tungstenite`. Owns one connection's framing; refuses binary frames,
//! unmasked frames and messages beyond the cap, each with its close code.

use std::io::{self, Read, Write};

use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use crate::base::limits::WEBSOCKET_MESSAGE_MAX_BYTES;

/// The answer to an upgrade with `key` (RFC 6455 section 4.2.2). No extension
/// and no sub-protocol is accepted.
pub fn upgrade_response(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
}

/// What the peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum WsEvent {
    Text(String),
    /// The connection is over; the bytes still in [`WebSocket::take_output`]
    /// say why, with a close code where the peer broke the rules.
    Closed,
}

/// Close codes we send (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The server is stopping.
    GoingAway,
    /// The peer broke a rule of the room protocol.
    Policy,
}

pub struct WebSocket {
    context: WebSocketContext,
    buffers: Buffers,
    closed: bool,
}

/// Bytes in and out, between calls.
#[derive(Default)]
struct Buffers {
    input: Vec<u8>,
    consumed: usize,
    output: Vec<u8>,
}

impl WebSocket {
    pub fn new() -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4_096)
            .write_buffer_size(0)
            .max_message_size(Some(WEBSOCKET_MESSAGE_MAX_BYTES))
            .max_frame_size(Some(WEBSOCKET_MESSAGE_MAX_BYTES));
        WebSocket {
            context: WebSocketContext::new(Role::Server, Some(config)),
            buffers: Buffers::default(),
            closed: false,
        }
    }

    /// Takes bytes of the peer; read the events with [`WebSocket::poll`].
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.buffers.input.extend_from_slice(bytes);
        }
    }

    /// The next event, `None` when more bytes are needed.
    pub fn poll(&mut self) -> Option<WsEvent> {
        while !self.closed {
            match self.context.read(&mut self.buffers) {
                Ok(Message::Text(text)) => return Some(WsEvent::Text(text.to_string())),
                Ok(Message::Binary(_)) => {
                    return Some(self.end(CloseCode::Unsupported, "text frames only"));
                }
                Ok(Message::Close(_)) => {
                    // The reply was queued by the read; a flush moves it out.
                    let _ = self.context.flush(&mut self.buffers);
                    self.closed = true;
                    return Some(WsEvent::Closed);
                }
                Ok(_) => {
                    // A ping was answered into the output.
                    let _ = self.context.flush(&mut self.buffers);
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.buffers.compact();
                    return None;
                }
                Err(error) => {
                    let (code, reason) = fault(&error);
                    return Some(self.end(code, reason));
                }
            }
        }
        None
    }

    /// Frames `text` into the output; nothing after the close.
    ///
    /// Not by the crate, which would keep a buffer as long as the longest
    /// message ever sent: each member of a large room would hold a list of all.
    pub fn send_text(&mut self, text: &str) {
        if !self.closed {
            let output = &mut self.buffers.output;
            // RFC 6455 section 5.2: a whole message of text, not masked.
            output.push(0x81);
            match text.len() {
                len @ 0..=125 => output.push(len as u8),
                len @ 126..=0xffff => {
                    output.push(126);
                    output.extend((len as u16).to_be_bytes());
                }
                len => {
                    output.push(127);
                    output.extend((len as u64).to_be_bytes());
                }
            }
            output.extend_from_slice(text.as_bytes());
        }
    }

    /// Starts the closing handshake from our side; nothing is read any more.
    pub fn close(&mut self, goodbye: Goodbye, reason: &'static str) {
        let code = match goodbye {
            Goodbye::GoingAway => CloseCode::Away,
            Goodbye::Policy => CloseCode::Policy,
        };
        if !self.closed {
            self.end(code, reason);
        }
    }

    /// Bytes to write to the connection, oldest first.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffers.output)
    }

    fn end(&mut self, code: CloseCode, reason: &'static str) -> WsEvent {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let _ = self.context.close(&mut self.buffers, Some(frame));
        let _ = self.context.flush(&mut self.buffers);
        self.buffers.input = Vec::new();
        self.closed = true;
        WsEvent::Closed
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Self::new()
    }
}

/// The close code that names the peer's fault.
fn fault(error: &Error) -> (CloseCode, &'static str) {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            (CloseCode::Size, "message too long")
        }
        Error::Capacity(_) => (CloseCode::Size, "too large"),
        Error::Utf8(_) => (CloseCode::Invalid, "text is not UTF-8"),
        Error::Protocol(ProtocolError::UnmaskedFrameFromClient) => {
            (CloseCode::Protocol, "frame is not masked")
        }
        _ => (CloseCode::Protocol, "broken frame"),
    }
}

impl Buffers {
    fn compact(&mut self) {
        self.input.drain(..self.consumed.min(self.input.len()));
        self.consumed = 0;
        if self.input.is_empty() {
            // Of offers, which come once and are long.
            self.input = Vec::new();
        }
    }
}

impl Read for Buffers {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let waiting = self.input.get(self.consumed..).unwrap_or_default();
        if waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = waiting.len().min(into.len());
        for (to, from) in into.iter_mut().zip(waiting) {
            *to = *from;
        }
        self.consumed += len;
        Ok(len)
    }
}

impl Write for Buffers {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client's frames, for simulated peers and tests: `text` as one masked frame.
pub fn client_text_frame(text: &str, mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// A client's end: takes one unmasked frame of a server (RFC 6455 section 5.2) off
/// `input`, opcode and payload. Servers it is used toward do not fragment.
pub fn take_server_frame(input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let opcode = input.first()? & 0x0f;
    let number = |range: std::ops::Range<usize>| -> Option<usize> {
        let bytes = input.get(range)?.iter();
        Some(bytes.fold(0, |n, byte| n << 8 | usize::from(*byte)))
    };
    let (head, len): (usize, usize) = match input.get(1)? & 0x7f {
        126 => (4, number(2..4)?),
        127 => (10, number(2..10)?),
        len => (2, usize::from(len)),
    };
    let payload = input.get(head..head.checked_add(len)?)?.to_vec();
    input.drain(..head + len);
    Some((opcode, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn close_code(output: &[u8]) -> Option<u16> {
        let at = output.iter().position(|byte| *byte == 0x88)?;
        Some(u16::from_be_bytes(
            output.get(at + 2..at + 4)?.try_into().ok()?,
        ))
    }

    #[test]
    fn text_in_pieces_arrives_whole() {
        let mut ws = WebSocket::new();
        let frame = client_text_frame("{\"message\":\"ping\"}", MASK);
        for byte in &frame[..frame.len() - 1] {
            ws.feed(&[*byte]);
            assert_eq!(ws.poll(), None);
        }
        ws.feed(&frame[frame.len() - 1..]);
        assert_eq!(
            ws.poll(),
            Some(WsEvent::Text("{\"message\":\"ping\"}".into()))
        );
        assert_eq!(ws.poll(), None);
    }

    #[test]
    fn two_frames_in_one_read() {
        let mut ws = WebSocket::new();
        let mut bytes = client_text_frame("a", MASK);
        bytes.extend(client_text_frame(&"b".repeat(70_000), MASK));
        ws.feed(&bytes);
        assert_eq!(ws.poll(), Some(WsEvent::Text("a".into())));
        assert_eq!(ws.poll(), Some(WsEvent::Text("b".repeat(70_000))));
    }

    #[test]
    fn faults_have_their_close_codes() {
        let binary = {
            let mut frame = client_text_frame("x", MASK);
            frame[0] = 0x82;
            frame
        };
        let unmasked = vec![0x81, 1, b'x'];
        let too_long = client_text_frame(&"x".repeat(WEBSOCKET_MESSAGE_MAX_BYTES + 1), MASK);
        let not_utf8 = vec![0x81, 0x81, 0, 0, 0, 0, 0xff];
        let absurd = [&[0x81, 0xff][..], &[0x7f; 8], &MASK].concat();
        for (frame, code) in [
            (binary, 1003),
            (unmasked, 1002),
            (too_long, 1009),
            (not_utf8, 1007),
            (absurd, 1009),
        ] {
            let mut ws = WebSocket::new();
            ws.feed(&frame);
            assert_eq!(ws.poll(), Some(WsEvent::Closed));
            assert_eq!(close_code(&ws.take_output()), Some(code));
            ws.feed(&client_text_frame("more", MASK));
            assert_eq!(ws.poll(), None);
        }
    }

    #[test]
    fn pings_are_answered_and_close_is_echoed() {
        let mut ws = WebSocket::new();
        ws.feed(&[0x89, 0x80, 0, 0, 0, 0]);
        assert_eq!(ws.poll(), None);
        assert_eq!(ws.take_output(), [0x8a, 0]);
        ws.feed(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
        assert_eq!(ws.poll(), Some(WsEvent::Closed));
        assert_eq!(close_code(&ws.take_output()), Some(1001));
    }

    #[test]
    fn text_is_framed_unmasked() {
        let mut ws = WebSocket::new();
        ws.send_text("hi");
        assert_eq!(ws.take_output(), [0x81, 2, b'h', b'i']);
    }

    #[test]
    fn accept_key_of_rfc_6455() {
        let response = upgrade_response("dGhlIHNhbXBsZSBub25jZQ==");
        assert!(response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn frames_of_every_length_form_are_taken_whole() {
        for len in [0usize, 125, 126, 70_000] {
            let mut frame = vec![0x81];
            match len {
                0..=125 => frame.push(len as u8),
                126..=0xffff => {
                    frame.push(126);
                    frame.extend((len as u16).to_be_bytes());
                }
                _ => {
                    frame.push(127);
                    frame.extend((len as u64).to_be_bytes());
                }
            }
            frame.extend(vec![b'x'; len]);
            let mut cut = frame[..frame.len() - 1].to_vec();
            assert_eq!(take_server_frame(&mut cut), None);
            assert_eq!(take_server_frame(&mut frame), Some((1, vec![b'x'; len])));
            assert!(frame.is_empty());
        }
    }
}
