//! Ringhall: a conferencing room server.
//!
//! The core is one value, [`core::Core`], that takes an input and the current
//! time and fills an outbox; it owns no socket, file, clock, thread or lock.
//! Two drivers run it: [`io`] on real sockets and [`sim`] on virtual time.
//! Start reading at `src/manual/architecture.md`.

pub mod base;
pub mod core;
pub mod io;
pub mod load;
pub mod ops;
pub mod proto;
pub mod record;
pub mod room;
pub mod signal;
pub mod sim;
pub mod web;
pub mod wire;
