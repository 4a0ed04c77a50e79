//! RTMP 1.0 on the wire: the handshake, chunk streams and the messages that
//! control them. Owns bytes only; what commands mean is `proto::rtmp`'s.

pub mod aggregate;
pub mod chunk;
pub mod handshake;
pub mod message;
