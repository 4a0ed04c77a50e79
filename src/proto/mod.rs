//! Protocol state machines: told the time, they answer with values.

pub mod audio;
pub mod b_frames;
pub mod bitrate;
pub mod depacketise;
pub mod dtls;
mod dtls_key;
pub mod gop_cache;
pub mod ice_lite;
pub mod keyframe;
pub mod media_clock;
pub mod munger;
pub mod nack;
pub mod packetise;
pub mod reception;
pub mod reorder;
pub mod rtmp;
pub mod rtx_window;
pub mod srtp;
pub mod tls;
pub mod tls_certificate;
pub mod transport;
pub mod twcc;
pub mod ws;
