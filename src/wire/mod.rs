//! Pure parsing and serialising: bytes in, borrowed views out. No state, no time.

pub mod bytes;
pub mod codec;
pub mod demux;
pub mod h264;
pub mod http;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod stun;
pub mod vp8;
