//! Synthetic H.264: parameter sets and pictures whose slices begin as real ones
//! do and carry, in digits, what a receiver needs to check them: number, time,
//! length and whether it is a key frame.

use crate::record::black::h264::BlackH264;
use crate::wire::flv::AvcConfig;

/// Constrained Baseline, level 3.1.
pub const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd3, 0x70, 0x10, 0xd0, 0x10, 0x78, 0x44,
    0x23, 0x50,
];
pub const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

/// Sets of a larger picture, 1,280 by 720.
pub fn screen_sets() -> [Vec<u8>; 2] {
    let black = BlackH264::of_size(1_280, 720);
    [black.sps().to_vec(), black.pps().to_vec()]
}

/// Unit header, slice header, and the digits: the shortest picture.
pub const PICTURE_MIN_BYTES: usize = 2 + DIGITS;
/// Number, time in microseconds, length, key.
const DIGITS: usize = 8 + 16 + 6 + 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureKind {
    Key,
    Predicted,
    Bidirectional,
}

/// What is written in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub id: u32,
    /// Microseconds of the world when it was made.
    pub at_us: u64,
    pub is_key: bool,
}

/// One slice, `len_bytes` long or as short as a picture can be.
pub fn picture(kind: PictureKind, id: u32, at_us: u64, len_bytes: usize) -> Vec<u8> {
    let len_bytes = len_bytes.max(PICTURE_MIN_BYTES);
    // first_mb 0 and slice type 7, 5, 6 (ITU-T H.264 section 7.3.3).
    let head = match kind {
        PictureKind::Key => [0x65, 0x88],
        PictureKind::Predicted => [0x41, 0x9a],
        PictureKind::Bidirectional => [0x01, 0x9e],
    };
    let is_key = u8::from(kind == PictureKind::Key);
    let mut unit = head.to_vec();
    unit.extend(format!("{id:08x}{at_us:016x}{len_bytes:06x}{is_key}").bytes());
    unit.resize(len_bytes, filler(id));
    unit
}

/// Never zero: nothing in a picture looks like a start code.
fn filler(id: u32) -> u8 {
    id as u8 | 1
}

/// What is written in a slice; `None` when anything of it is missing or
/// changed.
pub fn read(unit: &[u8]) -> Option<Written> {
    let digits = std::str::from_utf8(unit.get(2..PICTURE_MIN_BYTES)?).ok()?;
    let number = |range: std::ops::Range<usize>| u64::from_str_radix(digits.get(range)?, 16).ok();
    let id = number(0..8)? as u32;
    let len_bytes = number(24..30)? as usize;
    let is_whole = unit.len() == len_bytes
        && unit
            .iter()
            .skip(PICTURE_MIN_BYTES)
            .all(|b| *b == filler(id));
    is_whole.then_some(Written {
        id,
        at_us: number(8..24)?,
        is_key: number(30..31)? == 1,
    })
}

/// The record of the sets above.
pub fn record() -> Vec<u8> {
    let mut record = Vec::new();
    if let Some(config) = AvcConfig::of_sets(SPS, PPS) {
        config.write(&mut record);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::nal::{SliceType, slice_head};

    #[test]
    fn pictures_are_slices_and_readable_only_whole() {
        for (kind, slice_type) in [
            (PictureKind::Key, SliceType::I),
            (PictureKind::Predicted, SliceType::P),
            (PictureKind::Bidirectional, SliceType::B),
        ] {
            let unit = picture(kind, 77, 123_456, 2_000);
            assert_eq!(slice_head(&unit).unwrap().slice_type, slice_type);
            let written = read(&unit).unwrap();
            assert_eq!((written.id, written.at_us), (77, 123_456));
            assert_eq!(written.is_key, kind == PictureKind::Key);
            assert_eq!(read(&unit[..1_999]), None);
        }
    }

    #[test]
    fn the_sets_are_readable() {
        let record = record();
        let config = AvcConfig::parse(&record).unwrap();
        assert_eq!(config.sps, [SPS]);
    }
}
