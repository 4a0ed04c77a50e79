//! Recordings: one MP4 file per published stream. A recorder is a subscriber;
//! what it makes are values, files are a driver's.

pub mod black;
pub mod filler;
pub mod layout;
pub mod silence;
pub mod store;
pub mod timeline;
