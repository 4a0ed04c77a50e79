//! Black in VP8 (RFC 6386): a key frame whose first macroblock is lowered to
//! black by one coefficient and spread by prediction, and an inter frame that
//! takes everything from the frame before it.

use super::bool_writer::BoolWriter;

/// Black of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlackVp8 {
    width: u16,
    height: u16,
    key: Vec<u8>,
    inter: Vec<u8>,
}

/// Width and height have 14 bits each (section 9.1).
const SIDE_MAX_PIXELS: u16 = (1 << 14) - 1;

impl BlackVp8 {
    /// Sizes beyond what a key frame can tell are brought down to that.
    pub fn of_size(width: u16, height: u16) -> BlackVp8 {
        let width = width.clamp(1, SIDE_MAX_PIXELS);
        let height = height.clamp(1, SIDE_MAX_PIXELS);
        let size = Mbs {
            across: u32::from(width.div_ceil(16)),
            down: u32::from(height.div_ceil(16)),
        };
        BlackVp8 {
            width,
            height,
            key: key_frame(width, height, size),
            inter: inter_frame(size),
        }
    }

    pub fn width(&self) -> u16 {
        self.width
    }

    pub fn height(&self) -> u16 {
        self.height
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Also what follows another inter frame.
    pub fn inter(&self) -> &[u8] {
        &self.inter
    }
}

/// Macroblocks of a frame.
#[derive(Clone, Copy)]
struct Mbs {
    across: u32,
    down: u32,
}

impl Mbs {
    fn count(self) -> u32 {
        self.across * self.down
    }
}

fn key_frame(width: u16, height: u16, size: Mbs) -> Vec<u8> {
    const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
    let first = key_modes(size);
    let mut frame = frame_tag(false, first.len());
    frame.extend(START_CODE);
    frame.extend(width.to_le_bytes());
    frame.extend(height.to_le_bytes());
    frame.extend(first);
    frame.extend(black_macroblock());
    frame
}

/// Section 9.1. Version 0, shown.
fn frame_tag(is_inter: bool, first_partition_bytes: usize) -> Vec<u8> {
    let tag = u32::from(is_inter) | 1 << 4 | (first_partition_bytes as u32) << 5;
    let [low, middle, high, _] = tag.to_le_bytes();
    vec![low, middle, high]
}

/// The first partition of a key frame: header and modes (sections 9.2 to 9.11,
/// 11).
fn key_modes(size: Mbs) -> Vec<u8> {
    let mut coder = BoolWriter::new();
    // color_space, clamping_type
    coder.number(0, 2);
    write_plain_coding(&mut coder);
    // refresh_entropy_probs
    coder.number(1, 1);
    write_no_coefficient_updates(&mut coder);
    write_skip_probability(&mut coder);
    for mb in 0..size.count() {
        coder.decision(mb > 0, SKIP_FALSE);
        // DC_PRED of luma (the tree's 1, 0, 0) and of chroma
        for (one, zero_in_256) in [(true, 145), (false, 156), (false, 163), (false, 142)] {
            coder.decision(one, zero_in_256);
        }
    }
    coder.into_bytes()
}

/// Segmentation, loop filter, its adjustments, partitions and quantiser, all of
/// them 0 (sections 9.3 to 9.6).
fn write_plain_coding(coder: &mut BoolWriter) {
    // segmentation_enabled
    coder.number(0, 1);
    // filter_type, loop_filter_level, sharpness_level, loop_filter_adj_enable
    coder.number(0, 1 + 6 + 3 + 1);
    // log2_nbr_of_dct_partitions
    coder.number(0, 2);
    // y_ac_qi and five absent differences to it
    coder.number(0, 7 + 5);
}

/// token_prob_update (section 9.9).
fn write_no_coefficient_updates(coder: &mut BoolWriter) {
    const ROW_LEN: usize = 11;
    for row in COEFFICIENT_UPDATES {
        let rest = ROW_LEN - row.len();
        for zero_in_256 in row.iter().copied().chain(std::iter::repeat_n(255, rest)) {
            coder.decision(false, zero_in_256);
        }
    }
}

/// Of a macroblock's having coefficients: next to none has (section 9.10).
const SKIP_FALSE: u8 = 1;

/// mb_no_coeff_skip and prob_skip_false.
fn write_skip_probability(coder: &mut BoolWriter) {
    coder.number(1, 1);
    coder.number(u32::from(SKIP_FALSE), 8);
}

/// The second partition of a key frame, coefficients of the first macroblock
/// (section 13). With the least quantiser, whose factor of this one is 8, the
/// first coefficient of -896 lowers luma by 112, from the 128 that is predicted
/// where there are no neighbours to 16 (section 14).
fn black_macroblock() -> Vec<u8> {
    const CATEGORY_6_MIN: u32 = 67;
    const LOWERED: u32 = 896 - CATEGORY_6_MIN;
    /// The branches to the sixth category of large values, with the default
    /// probabilities of the first coefficient of a block of luma's DCs (section
    /// 13.5) that has no neighbours with any.
    const CATEGORY_6: [u8; 7] = [198, 35, 237, 223, 162, 145, 62];
    /// Section 13.2.
    const EXTRA_BITS: [u8; 11] = [254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129];
    /// Of an end of the block behind a large value; at the start of a block of
    /// luma without DCs, and of chroma.
    const END_BEHIND: u8 = 81;
    const END_AT_START: u8 = 253;
    let mut coder = BoolWriter::new();
    for zero_in_256 in CATEGORY_6 {
        coder.decision(true, zero_in_256);
    }
    for (at, zero_in_256) in (0..11).rev().zip(EXTRA_BITS) {
        coder.decision(LOWERED >> at & 1 != 0, zero_in_256);
    }
    let is_negative = true;
    coder.decision(is_negative, 128);
    coder.decision(false, END_BEHIND);
    for _block in 0..16 + 8 {
        coder.decision(false, END_AT_START);
    }
    coder.into_bytes()
}

fn inter_frame(size: Mbs) -> Vec<u8> {
    let first = inter_modes(size);
    let mut frame = frame_tag(true, first.len());
    frame.extend(first);
    frame.extend(BoolWriter::new().into_bytes());
    frame
}

/// The first partition of an inter frame (sections 9.2 to 9.11, 16).
fn inter_modes(size: Mbs) -> Vec<u8> {
    /// Of a macroblock's being predicted from its own frame, and from the last.
    const INTRA: u8 = 1;
    const LAST: u8 = 255;
    let mut coder = BoolWriter::new();
    write_plain_coding(&mut coder);
    // refresh_golden_frame, refresh_alternate_frame, two bits each of copying
    // to them, their sign biases
    coder.number(0, 1 + 1 + 2 + 2 + 1 + 1);
    // refresh_entropy_probs, refresh_last
    coder.number(0b11, 2);
    write_no_coefficient_updates(&mut coder);
    write_skip_probability(&mut coder);
    coder.number(u32::from(INTRA), 8);
    coder.number(u32::from(LAST), 8);
    // prob_gf, which is never asked; no new probabilities of intra modes
    coder.number(128, 8);
    coder.number(0, 2);
    for zero_in_256 in VECTOR_UPDATES.as_flattened() {
        coder.decision(false, *zero_in_256);
    }
    for row in 0..size.down {
        for column in 0..size.across {
            coder.decision(true, SKIP_FALSE);
            coder.decision(true, INTRA);
            coder.decision(false, LAST);
            coder.decision(false, zero_vector(row > 0, column > 0));
        }
    }
    coder.into_bytes()
}

/// The probability of a zero vector: by neighbours that have a zero
/// one, of which those above and to the left count twice (section 16.3).
fn zero_vector(has_above: bool, has_left: bool) -> u8 {
    match (has_above, has_left) {
        (false, false) => 7,
        (true, true) => 234,
        _ => 135,
    }
}

/// Probabilities of no update to those of vectors, row and column (section
/// 17.2).
const VECTOR_UPDATES: [[u8; 19]; 2] = [
    [
        237, 246, 253, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 250, 250, 252, 254,
        254,
    ],
    [
        231, 243, 245, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 251, 251, 254, 254,
        254,
    ],
];

/// Probabilities of no update to those of coefficients (section 13.4): a row for
/// each of four types of block, eight bands and three contexts, where a row's end
/// is left out it is 255.
#[rustfmt::skip]
const COEFFICIENT_UPDATES: [&[u8]; 96] = [
    &[],
    &[],
    &[],
    &[176, 246],
    &[223, 241, 252],
    &[249, 253, 253],
    &[255, 244, 252],
    &[234, 254, 254],
    &[253],
    &[255, 246, 254],
    &[239, 253, 254],
    &[254, 255, 254],
    &[255, 248, 254],
    &[251, 255, 254],
    &[],
    &[255, 253, 254],
    &[251, 254, 254],
    &[254, 255, 254],
    &[255, 254, 253, 255, 254],
    &[250, 255, 254, 255, 254],
    &[254],
    &[],
    &[],
    &[],
    &[217],
    &[225, 252, 241, 253, 255, 255, 254],
    &[234, 250, 241, 250, 253, 255, 253, 254],
    &[255, 254],
    &[223, 254, 254],
    &[238, 253, 254, 254],
    &[255, 248, 254],
    &[249, 254],
    &[],
    &[255, 253],
    &[247, 254],
    &[],
    &[255, 253, 254],
    &[252],
    &[],
    &[255, 254, 254],
    &[253],
    &[],
    &[255, 254, 253],
    &[250],
    &[254],
    &[],
    &[],
    &[],
    &[186, 251, 250],
    &[234, 251, 244, 254],
    &[251, 251, 243, 253, 254, 255, 254],
    &[255, 253, 254],
    &[236, 253, 254],
    &[251, 253, 253, 254, 254],
    &[255, 254, 254],
    &[254, 254, 254],
    &[],
    &[255, 254],
    &[254, 254],
    &[254],
    &[],
    &[254],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[248],
    &[250, 254, 252, 254],
    &[248, 254, 249, 253],
    &[255, 253, 253],
    &[246, 253, 253],
    &[252, 254, 251, 254, 254],
    &[255, 254, 252],
    &[248, 254, 253],
    &[253, 255, 254, 254],
    &[255, 251, 254],
    &[245, 251, 254],
    &[253, 253, 254],
    &[255, 251, 253],
    &[252, 253, 254],
    &[255, 254],
    &[255, 252],
    &[249, 255, 254],
    &[255, 255, 254],
    &[255, 255, 253],
    &[250],
    &[],
    &[],
    &[254],
    &[],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::vp8::frame_size;

    #[test]
    fn sizes_in_bytes_are_those_that_decoders_were_shown() {
        for (width, height, key_bytes, inter_bytes) in [
            (16, 16, 25, 20),
            (321, 241, 169, 30),
            (640, 480, 539, 50),
            (1_280, 720, 1_568, 103),
            (1_920, 1_080, 3_522, 199),
        ] {
            let black = BlackVp8::of_size(width, height);
            let len = (black.key().len(), black.inter().len());
            assert_eq!(len, (key_bytes, inter_bytes), "{width}x{height}");
        }
    }

    #[test]
    fn key_frames_tell_their_size() {
        let black = BlackVp8::of_size(640, 480);
        let head = [
            0x70, 0x41, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01, 0, 0,
        ];
        assert_eq!(black.key()[..12], head);
        for (width, height) in [(1, 1), (321, 241), (SIDE_MAX_PIXELS, 16)] {
            let black = BlackVp8::of_size(width, height);
            let payload = [&[0x10], black.key()].concat();
            assert_eq!(frame_size(&payload), Some((width, height)));
            assert_eq!((black.width(), black.height()), (width, height));
        }
    }

    #[test]
    fn sizes_beyond_14_bits_are_brought_down() {
        assert_eq!(
            BlackVp8::of_size(u16::MAX, 0),
            BlackVp8::of_size(SIDE_MAX_PIXELS, 1)
        );
    }

    #[test]
    fn no_partition_is_empty() {
        let black = BlackVp8::of_size(320, 240);
        for (frame, head_len) in [(black.key(), 10), (black.inter(), 3)] {
            let tag = u32::from_le_bytes([frame[0], frame[1], frame[2], 0]);
            let first = (tag >> 5) as usize;
            assert!(first > 0 && head_len + first + 4 <= frame.len());
        }
    }

    #[test]
    fn every_probability_of_coefficients_is_there() {
        assert!(COEFFICIENT_UPDATES.iter().all(|row| row.len() <= 11));
        // What the table's 1,056 numbers are short of 255, together.
        let told = COEFFICIENT_UPDATES.iter().flat_map(|row| row.iter());
        assert_eq!(told.map(|told| 255 - u32::from(*told)).sum::<u32>(), 811);
    }
}
