//! Protocol state machines: told the time, they answer with values.

pub mod bitrate;
pub mod dtls;
mod dtls_key;
pub mod ice_lite;
pub mod keyframe;
pub mod munger;
pub mod nack;
pub mod reception;
pub mod rtmp;
pub mod rtx_window;
pub mod srtp;
pub mod tls;
pub mod tls_certificate;
pub mod transport;
pub mod twcc;
pub mod ws;
