//! Black pictures, written by hand: no encoder is asked.

mod bool_writer;
pub mod h264;
pub mod vp8;
