//! What every layer may use: limits, time, identifiers, seeded randomness,
//! hashing and fixed-capacity containers. Imports nothing of the project.

pub mod calendar;
pub mod frame_rate;
pub mod hash;
pub mod limits;
pub mod random;
pub mod rate;
pub mod slab;
pub mod snapshot;
pub mod time;
pub mod trains;
pub mod wheel;
