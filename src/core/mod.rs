//! The whole server as one value: [`Core`] takes an [`Input`] and the time, and
//! fills an [`Outbox`]. It owns no socket, file, clock, thread or lock.

pub mod border;
mod home;
mod machine;
pub mod mail;
mod media;
mod stats;
mod streams;
mod web;

pub use crate::base::trains;
pub use border::{
    CloseCause, ConnectionId, CoreId, Input, Machine, Outbox, Path, Render, RenderForm, TurnReport,
};
pub use machine::{Core, Setup};
