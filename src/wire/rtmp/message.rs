//! Types of RTMP messages, and the ones that control the protocol itself (RTMP
//! 1.0 sections 5.4, 6.2 and 7.1.7).

use crate::wire::bytes;

/// Protocol control (section 5.4), all on chunk stream 2 and message stream 0.
pub const SET_CHUNK_SIZE: u8 = 1;
pub const ABORT: u8 = 2;
pub const ACKNOWLEDGEMENT: u8 = 3;
pub const USER_CONTROL: u8 = 4;
pub const WINDOW_ACK_SIZE: u8 = 5;
pub const SET_PEER_BANDWIDTH: u8 = 6;

pub const AUDIO: u8 = 8;
pub const VIDEO: u8 = 9;

/// Data and commands; the lower of each pair may hold AMF3 values.
pub const DATA_AMF3: u8 = 15;
pub const COMMAND_AMF3: u8 = 17;
pub const DATA: u8 = 18;
pub const COMMAND: u8 = 20;

pub const AGGREGATE: u8 = 22;

/// The chunk stream of protocol and user control.
pub const CONTROL_CSID: u8 = 2;

/// The limit type of a peer bandwidth that may change (section 5.4.5).
const LIMIT_DYNAMIC: u8 = 2;

const EVENT_STREAM_BEGIN: u16 = 0;
const EVENT_STREAM_EOF: u16 = 1;
const EVENT_PING_REQUEST: u16 = 6;
const EVENT_PING_RESPONSE: u16 = 7;

/// A control message, as far as this server says or heeds it. Chunk size and
/// abort of the peer are the chunk reader's affair and never get here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Bytes of payload in the sender's chunks from now on.
    SetChunkSize(u32),
    /// The sender forgets the unfinished message of a chunk stream.
    Abort(u32),
    /// Bytes received so far, modulo 2^32.
    Acknowledgement(u32),
    /// How many bytes the sender sends before it wants an acknowledgement.
    WindowAckSize(u32),
    /// How many bytes the receiver may have unacknowledged.
    SetPeerBandwidth(u32),
    /// Something begins on this message stream.
    StreamBegin(u32),
    /// Nothing more comes on this message stream for now.
    StreamEof(u32),
    /// The sender's clock in milliseconds, to be sent back.
    PingRequest(u32),
    PingResponse(u32),
}

impl Control {
    /// Reads the payload of a message of type `kind`; `None` where it is no
    /// control message heeded here, or cut short.
    pub fn parse(kind: u8, payload: &[u8]) -> Option<Control> {
        let first = bytes::u32_at(payload, 0);
        match kind {
            SET_CHUNK_SIZE => Some(Control::SetChunkSize(first?)),
            ABORT => Some(Control::Abort(first?)),
            ACKNOWLEDGEMENT => Some(Control::Acknowledgement(first?)),
            WINDOW_ACK_SIZE => Some(Control::WindowAckSize(first?)),
            SET_PEER_BANDWIDTH => Some(Control::SetPeerBandwidth(first?)),
            USER_CONTROL => user_control(payload),
            _ => None,
        }
    }

    /// Type and payload of this message.
    pub fn to_bytes(self) -> (u8, Vec<u8>) {
        match self {
            Control::SetChunkSize(size) => (SET_CHUNK_SIZE, size.to_be_bytes().to_vec()),
            Control::Abort(csid) => (ABORT, csid.to_be_bytes().to_vec()),
            Control::Acknowledgement(count) => (ACKNOWLEDGEMENT, count.to_be_bytes().to_vec()),
            Control::WindowAckSize(size) => (WINDOW_ACK_SIZE, size.to_be_bytes().to_vec()),
            Control::SetPeerBandwidth(size) => {
                let mut payload = size.to_be_bytes().to_vec();
                payload.push(LIMIT_DYNAMIC);
                (SET_PEER_BANDWIDTH, payload)
            }
            Control::StreamBegin(stream) => user_event(EVENT_STREAM_BEGIN, stream),
            Control::StreamEof(stream) => user_event(EVENT_STREAM_EOF, stream),
            Control::PingRequest(time_ms) => user_event(EVENT_PING_REQUEST, time_ms),
            Control::PingResponse(time_ms) => user_event(EVENT_PING_RESPONSE, time_ms),
        }
    }
}

fn user_control(payload: &[u8]) -> Option<Control> {
    let event = bytes::u16_at(payload, 0)?;
    let value = bytes::u32_at(payload, 2)?;
    match event {
        EVENT_STREAM_BEGIN => Some(Control::StreamBegin(value)),
        EVENT_STREAM_EOF => Some(Control::StreamEof(value)),
        EVENT_PING_REQUEST => Some(Control::PingRequest(value)),
        EVENT_PING_RESPONSE => Some(Control::PingResponse(value)),
        _ => None,
    }
}

fn user_event(event: u16, value: u32) -> (u8, Vec<u8>) {
    let mut payload = event.to_be_bytes().to_vec();
    payload.extend_from_slice(&value.to_be_bytes());
    (USER_CONTROL, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for control in [
            Control::SetChunkSize(4_096),
            Control::Abort(6),
            Control::Acknowledgement(u32::MAX),
            Control::WindowAckSize(2_500_000),
            Control::SetPeerBandwidth(2_500_000),
            Control::StreamBegin(1),
            Control::StreamEof(1),
            Control::PingRequest(77),
            Control::PingResponse(77),
        ] {
            let (kind, payload) = control.to_bytes();
            assert_eq!(Control::parse(kind, &payload), Some(control));
            for len in 0..4 {
                assert_eq!(Control::parse(kind, &payload[..len]), None);
            }
        }
    }

    #[test]
    fn bandwidth_is_dynamic() {
        let (kind, payload) = Control::SetPeerBandwidth(1).to_bytes();
        assert_eq!((kind, payload.as_slice()), (6, &[0, 0, 0, 1, 2][..]));
    }

    #[test]
    fn what_is_not_heeded_is_no_control_message() {
        // SetBufferLength, and a command.
        assert_eq!(Control::parse(4, &[0, 3, 0, 0, 0, 1, 0, 0, 1, 0]), None);
        assert_eq!(Control::parse(COMMAND, &[0; 8]), None);
    }
}
