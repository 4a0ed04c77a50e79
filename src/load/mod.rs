//! `ringhall loadtest`: participants of other people's browsers, many to a
//! process. They join a server as browsers do, over the room protocol, WHIP and
//! WHEP, or Janus's videoroom API, or as encoders and players over RTMP, send
//! real encoded pictures and sound, and count what becomes of them: how long joining took, what was lost, how late it
//! came, and what the server spent.
//!
//! A run is a [`plan::Plan`]. The [`coordinator`] gives it to worker processes,
//! each of which runs its share of participants on one thread ([`worker`]), and
//! makes one [`report`] of their [`tally::Tally`]s.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod call;
mod content;
pub mod coordinator;
mod histogram;
mod host;
mod http;
mod janus;
mod metrics;
mod numbers;
mod official;
pub mod options;
mod peer;
mod plan;
pub mod plot;
mod publish;
mod report;
mod rtmp;
mod sdp;
mod stamp;
mod stream;
mod tally;
mod thresholds;
mod watch;
mod whip;
pub mod worker;
mod ws;
