//! The whole server as one value: [`Core`] takes an [`Input`] and the time, and
//! fills an [`Outbox`]. It owns no socket, file, clock, thread or lock.

pub mod border;
mod codecs;
mod connection;
mod farewells;
mod handshakes;
mod home;
mod http;
mod inventory;
mod machine;
pub mod mail;
mod media;
mod moderation;
mod rates;
pub mod record;
pub mod relay;
pub mod rtmp;
mod rules;
mod sessions;
mod stats;
mod streams;
pub mod transcode;
mod web;
pub mod whip;

pub use crate::base::trains;
pub use border::{
    CloseCause, ConnectionId, CoreId, Door, Input, Machine, Outbox, Path, RecordAsked, RecordPiece,
    Render, RenderForm, Rendered, TurnReport,
};
pub use codecs::video_codec;
pub use machine::{Core, Setup};
pub use rates::RateSettings;
pub use rules::Rules;
