//! Recordings: one MP4 file per published stream. A recorder is a subscriber;
//! what it makes are values, files are a driver's.

pub mod black;
mod cutter;
pub mod filler;
pub mod finalise;
pub mod fmp4;
pub mod gaps;
mod gathered;
pub mod head;
pub mod index;
pub mod layout;
#[cfg(test)]
mod made;
mod moof;
mod movie;
pub mod order;
pub mod picture;
pub mod read;
pub mod recorder;
pub mod repair;
mod sample_entry;
pub mod shape;
pub mod silence;
pub mod sound;
mod stbl;
pub mod store;
mod table;
pub mod tail;
pub mod timeline;
pub mod writer;
