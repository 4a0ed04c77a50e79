//! Pure parsing and serialising: bytes in, borrowed views out. No state, no time.

pub mod aac_config;
pub mod amf;
pub mod bit_writer;
pub mod bits;
pub mod bmff;
pub mod bytes;
pub mod codec;
pub mod demux;
pub mod flv;
pub mod h264;
pub mod h264_sps;
pub mod http;
pub mod nal;
pub mod opus;
pub mod range;
pub mod rtcp;
pub mod rtmp;
pub mod rtp;
pub mod sdp;
pub mod stun;
pub mod vp8;
