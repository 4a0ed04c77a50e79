//! Recordings: one MP4 file per published stream. A recorder is a subscriber;
//! what it makes are values, files are a driver's.

pub mod black;
pub mod filler;
pub mod finalise;
pub mod fmp4;
pub mod index;
pub mod layout;
#[cfg(test)]
mod made;
mod moof;
mod movie;
mod sample_entry;
pub mod silence;
mod stbl;
pub mod store;
mod table;
pub mod timeline;
