//! Operations: configuration values, snapshots and their REST and metrics
//! text, events and their log lines. Pure text work; reading files and
//! printing are `main`'s and `io`'s.

pub mod access;
pub mod config;
pub mod event;
pub mod manifest;
pub mod merge;
pub mod metrics;
pub mod record_name;
pub mod records;
pub mod rest;
pub mod route;

pub use crate::base::snapshot;
