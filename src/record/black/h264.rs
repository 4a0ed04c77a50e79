//! Black in H.264, of Constrained Baseline with entropy coding by variable
//! lengths, whatever the stream beside it is: its own two parameter sets name
//! no more than that. An IDR picture is one macroblock told sample by sample
//! and the rest predicted from it; the pictures after it skip everything (ITU-T
//! H.264 sections 7.3.3 to 7.3.5). Does not make pictures of fields, more than
//! 8 bits or another chroma format: a player changes over to the stream's own.

use crate::base::limits::{PICTURE_MBS_MAX, PICTURE_SIDE_MBS_MAX};
use crate::wire::bit_writer::BitWriter;
use crate::wire::h264_sps::{Cropping, MB_PIXELS, PictureFormat, picture_format};
use crate::wire::nal::{parameter_set_id, write_avcc};

/// Black of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlackH264 {
    width: u16,
    height: u16,
    sps: Vec<u8>,
    pps: Vec<u8>,
    /// Two, as IDR pictures one after the other differ in idr_pic_id.
    idrs: [Idr; 2],
    /// Samples of P pictures by their frame_num.
    skipped: Vec<Vec<u8>>,
}

/// A sample of an IDR picture, with the parameter sets in front.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Idr {
    bytes: Vec<u8>,
    /// Of the parameter sets.
    sets_bytes: usize,
}

/// log2_max_frame_num_minus4 is 0.
const FRAME_NUMS: u32 = 16;
const FRAME_NUM_BITS: u32 = 4;

/// Pictures a second, which the level of black without a stream allows.
const NOMINAL_RATE_HZ: u32 = 30;

impl BlackH264 {
    /// Black to put before or behind a stream, of the size, level and range that
    /// its first sequence parameter set tells; odd sizes, which other chroma
    /// formats allow, are rounded up. The black's own sets have ids that none of
    /// the stream's sets has. `None` when the first set is broken or absent, and
    /// when no id is left.
    pub fn beside(stream_sps: &[Vec<u8>], stream_pps: &[Vec<u8>]) -> Option<BlackH264> {
        let format = picture_format(stream_sps.first()?)?;
        let ids = Ids {
            sps: free_id(stream_sps, 31)?,
            pps: free_id(stream_pps, 255)?,
        };
        Some(BlackH264::new(&of_even_cropping(format), 0, ids))
    }

    /// Black of a given size in pixels, for where there is no stream; odd sizes
    /// lose a pixel, and sizes no level has are brought down to one that has.
    pub fn of_size(width: u16, height: u16) -> BlackH264 {
        let width = (width & !1).max(2);
        let height = (height & !1).max(2);
        let width_mbs = width.div_ceil(MB_PIXELS).min(PICTURE_SIDE_MBS_MAX as u16);
        let height_mbs_max = PICTURE_SIDE_MBS_MAX.min(PICTURE_MBS_MAX / u32::from(width_mbs));
        let height_mbs = height.div_ceil(MB_PIXELS).min(height_mbs_max as u16);
        let format = PictureFormat {
            level_idc: 0,
            width_mbs,
            height_mbs,
            cropping: Cropping {
                right: (width_mbs * MB_PIXELS).saturating_sub(width),
                bottom: (height_mbs * MB_PIXELS).saturating_sub(height),
                ..Cropping::default()
            },
            is_full_range: false,
            frame_rate: None,
        };
        BlackH264::new(&format, NOMINAL_RATE_HZ, Ids { sps: 31, pps: 255 })
    }

    fn new(format: &PictureFormat, rate_hz: u32, ids: Ids) -> BlackH264 {
        let mbs = u32::from(format.width_mbs) * u32::from(format.height_mbs);
        let sps = sequence_set(format, rate_hz, ids);
        let pps = picture_set(ids);
        let idrs = [0, 1].map(|idr_pic_id| {
            let mut bytes = Vec::new();
            write_avcc(&mut bytes, &sps);
            write_avcc(&mut bytes, &pps);
            let sets_bytes = bytes.len();
            write_avcc(&mut bytes, &idr_slice(format, mbs, ids, idr_pic_id));
            Idr { bytes, sets_bytes }
        });
        let skipped = (0..FRAME_NUMS).map(|frame_num| {
            let mut sample = Vec::new();
            write_avcc(&mut sample, &skipped_slice(mbs, ids, frame_num));
            sample
        });
        BlackH264 {
            width: format.width(),
            height: format.height(),
            sps,
            pps,
            idrs,
            skipped: skipped.collect(),
        }
    }

    /// A NAL unit, for the decoder configuration record.
    pub fn sps(&self) -> &[u8] {
        &self.sps
    }

    /// A NAL unit, for the decoder configuration record.
    pub fn pps(&self) -> &[u8] {
        &self.pps
    }

    /// In pixels, as shown.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// In pixels, as shown.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The sample, behind a length of four bytes, of the picture that is so many
    /// behind its IDR picture; 0 is that one itself. `idr_number` counts those.
    pub fn picture(&self, since_idr: u32, idr_number: u32) -> &[u8] {
        if since_idr == 0 {
            let idr = self.idr(idr_number);
            return idr.bytes.get(idr.sets_bytes..).unwrap_or_default();
        }
        let frame_num = since_idr % FRAME_NUMS;
        self.skipped
            .get(frame_num as usize)
            .map_or(&[], Vec::as_slice)
    }

    /// The sample of an IDR picture with its parameter sets in front, for where
    /// the decoder configuration record has others of the same ids, or none.
    pub fn in_band_idr(&self, idr_number: u32) -> &[u8] {
        &self.idr(idr_number).bytes
    }

    fn idr(&self, number: u32) -> &Idr {
        let [even, odd] = &self.idrs;
        if number.is_multiple_of(2) { even } else { odd }
    }
}

/// Of the two parameter sets.
#[derive(Clone, Copy)]
struct Ids {
    sps: u32,
    pps: u32,
}

/// The highest that none of the sets has: encoders count from 0.
fn free_id(sets: &[Vec<u8>], max: u32) -> Option<u32> {
    let is_free = |id: &u32| sets.iter().all(|set| parameter_set_id(set) != Some(*id));
    (0..=max).rev().find(is_free)
}

/// Cropping that 4:2:0 can tell, of an even size: a line or column more is shown
/// than a stream of another chroma format may have.
fn of_even_cropping(format: PictureFormat) -> PictureFormat {
    let even = |front: u16, behind: u16| (front & !1, (behind + (front & 1)) & !1);
    let (left, right) = even(format.cropping.left, format.cropping.right);
    let (top, bottom) = even(format.cropping.top, format.cropping.bottom);
    let cropping = Cropping {
        left,
        right,
        top,
        bottom,
    };
    PictureFormat { cropping, ..format }
}

/// level_idc, macroblocks a second and in a frame (table A-1).
const LEVELS: [(u8, u32, u32); 19] = [
    (10, 1_485, 99),
    (11, 3_000, 396),
    (12, 6_000, 396),
    (13, 11_880, 396),
    (20, 11_880, 396),
    (21, 19_800, 792),
    (22, 20_250, 1_620),
    (30, 40_500, 1_620),
    (31, 108_000, 3_600),
    (32, 216_000, 5_120),
    (40, 245_760, 8_192),
    (41, 245_760, 8_192),
    (42, 522_240, 8_704),
    (50, 589_824, 22_080),
    (51, 983_040, 36_864),
    (52, 2_073_600, 36_864),
    (60, 4_177_920, PICTURE_MBS_MAX),
    (61, 8_355_840, PICTURE_MBS_MAX),
    (62, 16_711_680, PICTURE_MBS_MAX),
];

/// The least level, from the stream's on, that allows the size, and so many
/// pictures of it a second.
fn level(format: &PictureFormat, rate_hz: u32) -> u8 {
    let (width, height) = (u32::from(format.width_mbs), u32::from(format.height_mbs));
    let side = width.max(height);
    let allows = |(level_idc, per_s, per_frame): &&(u8, u32, u32)| {
        *level_idc >= format.level_idc
            && width * height <= *per_frame
            && side * side <= 8 * per_frame
            && width * height * rate_hz <= *per_s
    };
    LEVELS.iter().find(allows).map_or(62, |level| level.0)
}

const HEADER_SPS: u8 = 0x67;
const HEADER_PPS: u8 = 0x68;
const HEADER_IDR: u8 = 0x65;
const HEADER_SLICE: u8 = 0x41;

/// Section 7.3.2.1.1. Pictures are shown in the order they are decoded (order
/// count type 2), each refers to the one before.
fn sequence_set(format: &PictureFormat, rate_hz: u32, ids: Ids) -> Vec<u8> {
    const BASELINE: u32 = 66;
    /// Holds to Constrained Baseline and to Main.
    const CONSTRAINTS: u32 = 0xc0;
    let mut bits = BitWriter::default();
    bits.number(BASELINE, 8);
    bits.number(CONSTRAINTS, 8);
    bits.number(u32::from(level(format, rate_hz)), 8);
    bits.golomb(ids.sps);
    bits.golomb(FRAME_NUM_BITS - 4);
    // pic_order_cnt_type, max_num_ref_frames, gaps_in_frame_num_value_allowed
    bits.golomb(2);
    bits.golomb(1);
    bits.bit(false);
    bits.golomb(u32::from(format.width_mbs).saturating_sub(1));
    bits.golomb(u32::from(format.height_mbs).saturating_sub(1));
    // frame_mbs_only_flag, direct_8x8_inference_flag
    bits.number(0b11, 2);
    let crop = format.cropping;
    bits.bit(crop != Cropping::default());
    if crop != Cropping::default() {
        for pixels in [crop.left, crop.right, crop.top, crop.bottom] {
            bits.golomb(u32::from(pixels / 2));
        }
    }
    bits.bit(format.is_full_range);
    if format.is_full_range {
        write_full_range(&mut bits);
    }
    bits.into_nal(HEADER_SPS)
}

/// Usability information (section E.1.1) that tells nothing else.
fn write_full_range(bits: &mut BitWriter) {
    const UNSPECIFIED: u32 = 5;
    // No aspect ratio, no overscan; there is a signal type.
    bits.number(0b001, 3);
    bits.number(UNSPECIFIED, 3);
    bits.bit(true);
    // No colours, chroma location, timing, two buffer models, picture
    // structure or restrictions.
    bits.number(0, 7);
}

/// Section 7.3.2.2.
fn picture_set(ids: Ids) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.golomb(ids.pps);
    bits.golomb(ids.sps);
    // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
    bits.number(0, 2);
    // Slice groups, references of both lists; no weights; quantisers, chroma's.
    bits.golomb(0);
    bits.golomb(0);
    bits.golomb(0);
    bits.number(0, 3);
    bits.golomb(0);
    bits.golomb(0);
    bits.golomb(0);
    // deblocking_filter_control_present_flag; no constraint on prediction, no
    // redundant pictures
    bits.number(0b100, 3);
    bits.into_nal(HEADER_PPS)
}

/// Section 7.3.3, up to what IDR and other pictures have in different places.
fn write_slice_head(bits: &mut BitWriter, slice_type: u32, ids: Ids, frame_num: u32) {
    // first_mb_in_slice
    bits.golomb(0);
    bits.golomb(slice_type);
    bits.golomb(ids.pps);
    bits.number(frame_num, FRAME_NUM_BITS);
}

/// slice_qp_delta, and no deblocking filter.
fn write_slice_head_end(bits: &mut BitWriter) {
    bits.golomb(0);
    bits.golomb(1);
}

fn idr_slice(format: &PictureFormat, mbs: u32, ids: Ids, idr_pic_id: u32) -> Vec<u8> {
    const ALL_OF_TYPE_I: u32 = 7;
    const I_PCM: u32 = 25;
    /// I_16x16 with prediction mode DC and no coefficients but, maybe, the DC
    /// ones, which have none either.
    const I_16X16_DC: u32 = 3;
    let black = if format.is_full_range { 0 } else { 16 };
    let width_mbs = u32::from(format.width_mbs);
    let mut bits = BitWriter::default();
    write_slice_head(&mut bits, ALL_OF_TYPE_I, ids, 0);
    bits.golomb(idr_pic_id);
    // no_output_of_prior_pics_flag, long_term_reference_flag
    bits.number(0, 2);
    write_slice_head_end(&mut bits);
    bits.golomb(I_PCM);
    bits.aligned(&[black; 256]);
    bits.aligned(&[128; 2 * 64]);
    for mb in 1..mbs {
        bits.golomb(I_16X16_DC);
        // intra_chroma_pred_mode DC, mb_qp_delta
        bits.golomb(0);
        bits.golomb(0);
        // coeff_token of no coefficients. Beside the first macroblock, whose
        // samples count as 16 coefficients, another table holds (section 9.2.1).
        if mb == 1 || mb == width_mbs {
            bits.number(0b00_0011, 6);
        } else {
            bits.bit(true);
        }
    }
    bits.into_nal(HEADER_IDR)
}

fn skipped_slice(mbs: u32, ids: Ids, frame_num: u32) -> Vec<u8> {
    const ALL_OF_TYPE_P: u32 = 5;
    let mut bits = BitWriter::default();
    write_slice_head(&mut bits, ALL_OF_TYPE_P, ids, frame_num);
    // num_ref_idx_active_override_flag, ref_pic_list_modification_flag_l0,
    // adaptive_ref_pic_marking_mode_flag
    bits.number(0, 3);
    write_slice_head_end(&mut bits);
    // mb_skip_run
    bits.golomb(mbs);
    bits.into_nal(HEADER_SLICE)
}

#[cfg(test)]
mod tests;
