//! The bridge between RTMP and the rooms' publications: [`Ingest`] turns what
//! an RTMP client publishes into RTP for browsers, [`Feed`] keeps what RTMP
//! players need of a publication, and [`Bridge`] makes it of a browser's RTP.

mod bridge;
mod feed;
mod ingest;

pub use bridge::{Bridge, Bridged};
pub use feed::{Audience, Feed, Tag, TagKind};
pub use ingest::{Frame, Ingest, News, SoundCodec, Taken, Tracks};
