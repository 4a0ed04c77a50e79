//! Sequence parameter sets of H.264 (ITU-T H.264 section 7.3.2.1.1): the chroma
//! format and bit depths, which a decoder configuration record of a high profile
//! repeats, and what one needs to make pictures of the same size and kind.
//! Refuses what is out of the standard's range; what follows the part asked for
//! is not looked at.

use super::bits::Bits;
use crate::base::frame_rate::FrameRate;
use crate::base::limits::{PICTURE_MBS_MAX, PICTURE_SIDE_MBS_MAX};

const TYPE_SPS: u32 = 7;

/// Profiles whose sets tell the chroma format and bit depths.
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// How a picture is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples {
    /// 0 is monochrome, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_format: u8,
    /// 8 to 14.
    pub bit_depth_luma: u8,
    pub bit_depth_chroma: u8,
}

impl Samples {
    /// Of every profile whose sets do not tell.
    const USUAL: Samples = Samples {
        chroma_format: 1,
        bit_depth_luma: 8,
        bit_depth_chroma: 8,
    };
}

/// What a set tells of the pictures coded with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFormat {
    pub level_idc: u8,
    /// Of a frame, also where it is coded in fields. At most
    /// [`PICTURE_SIDE_MBS_MAX`], and together at most [`PICTURE_MBS_MAX`].
    pub width_mbs: u16,
    pub height_mbs: u16,
    pub cropping: Cropping,
    /// Luma goes from 0 to 255; otherwise from 16 to 235.
    pub is_full_range: bool,
    /// As the set's timing tells it, where that is plausible.
    pub frame_rate: Option<FrameRate>,
}

impl PictureFormat {
    /// In pixels, as shown. Never zero.
    pub fn width(&self) -> u16 {
        let (left, right) = (self.cropping.left, self.cropping.right);
        (self.width_mbs * MB_PIXELS).saturating_sub(left.saturating_add(right))
    }

    /// In pixels, as shown. Never zero.
    pub fn height(&self) -> u16 {
        let (top, bottom) = (self.cropping.top, self.cropping.bottom);
        (self.height_mbs * MB_PIXELS).saturating_sub(top.saturating_add(bottom))
    }
}

/// Pixels of a coded frame that are not shown, at each side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cropping {
    pub left: u16,
    pub right: u16,
    pub top: u16,
    pub bottom: u16,
}

/// Pixels of a macroblock along a side.
pub const MB_PIXELS: u16 = 16;

/// Reads a NAL unit, its header byte first, without a start code. None of
/// another unit, of a profile whose sets do not tell (4:2:0 in 8 bits then),
/// and of a set that is broken.
pub fn samples(nal: &[u8]) -> Option<Samples> {
    let mut bits = Bits::of_nal(nal);
    let head = Head::read(&mut bits)?;
    HIGH_PROFILES
        .contains(&head.profile_idc)
        .then_some(head.samples)
}

/// Reads a NAL unit like [`samples`], but sets of every profile. A set whose
/// usability information is cut off or broken is read as one without.
pub fn picture_format(nal: &[u8]) -> Option<PictureFormat> {
    let mut bits = Bits::of_nal(nal);
    let head = Head::read(&mut bits)?;
    if HIGH_PROFILES.contains(&head.profile_idc) {
        // qpprime_y_zero_transform_bypass_flag
        bits.bit()?;
        skip_scaling_matrix(&mut bits, head.samples.chroma_format)?;
    }
    skip_order_and_references(&mut bits)?;
    let width_mbs = bits.golomb()?.checked_add(1)?;
    let map_units = bits.golomb()?.checked_add(1)?;
    let is_frames_only = bits.bit()?;
    if !is_frames_only {
        // mb_adaptive_frame_field_flag
        bits.bit()?;
    }
    let fields = if is_frames_only { 1 } else { 2 };
    let height_mbs = map_units.checked_mul(fields)?;
    if width_mbs.max(height_mbs) > PICTURE_SIDE_MBS_MAX || width_mbs * height_mbs > PICTURE_MBS_MAX
    {
        return None;
    }
    // direct_8x8_inference_flag
    bits.bit()?;
    let mut format = PictureFormat {
        level_idc: head.level_idc,
        width_mbs: u16::try_from(width_mbs).ok()?,
        height_mbs: u16::try_from(height_mbs).ok()?,
        cropping: Cropping::read(&mut bits, &head, fields)?,
        is_full_range: false,
        frame_rate: None,
    };
    if format.width() == 0 || format.height() == 0 {
        return None;
    }
    if bits.bit().unwrap_or_default() {
        let _ = format.read_usability(&mut bits);
    }
    Some(format)
}

/// What every set begins with.
struct Head {
    profile_idc: u8,
    level_idc: u8,
    samples: Samples,
}

impl Head {
    fn read(bits: &mut Bits) -> Option<Head> {
        if bits.number(8)? & 0x1f != TYPE_SPS {
            return None;
        }
        let profile_idc = byte(bits)?;
        // Constraint flags
        byte(bits)?;
        let level_idc = byte(bits)?;
        // seq_parameter_set_id
        within(bits, 31)?;
        let mut head = Head {
            profile_idc,
            level_idc,
            samples: Samples::USUAL,
        };
        if HIGH_PROFILES.contains(&profile_idc) {
            head.samples.chroma_format = within(bits, 3)?;
            if head.samples.chroma_format == 3 {
                // separate_colour_plane_flag
                bits.bit()?;
            }
            head.samples.bit_depth_luma = 8 + within(bits, 6)?;
            head.samples.bit_depth_chroma = 8 + within(bits, 6)?;
        }
        Some(head)
    }
}

impl Cropping {
    /// The set counts in units of a chroma sample, and of a field's lines where
    /// pictures may be fields (section 7.4.2.1.1, equations 7-19 to 7-22).
    fn read(bits: &mut Bits, head: &Head, fields: u32) -> Option<Cropping> {
        if !bits.bit()? {
            return Some(Cropping::default());
        }
        let (unit_x, unit_y) = match head.samples.chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let mut side = |unit: u32| u16::try_from(bits.golomb()?.checked_mul(unit)?).ok();
        Some(Cropping {
            left: side(unit_x)?,
            right: side(unit_x)?,
            top: side(unit_y * fields)?,
            bottom: side(unit_y * fields)?,
        })
    }
}

impl PictureFormat {
    /// Section E.1.1, up to the timing.
    fn read_usability(&mut self, bits: &mut Bits) -> Option<()> {
        const EXTENDED_SAR: u32 = 255;
        // aspect_ratio_info_present_flag
        if bits.bit()? && bits.number(8)? == EXTENDED_SAR {
            bits.number(32)?;
        }
        // overscan_info_present_flag
        if bits.bit()? {
            bits.bit()?;
        }
        // video_signal_type_present_flag, video_format
        if bits.bit()? {
            bits.number(3)?;
            self.is_full_range = bits.bit()?;
            // colour_description_present_flag
            if bits.bit()? {
                bits.number(24)?;
            }
        }
        // chroma_loc_info_present_flag
        if bits.bit()? {
            within(bits, 5)?;
            within(bits, 5)?;
        }
        // timing_info_present_flag. A tick is a field's time.
        if bits.bit()? {
            let units_in_tick = bits.number(32)?;
            let time_scale = bits.number(32)?;
            self.frame_rate = FrameRate::new(time_scale, units_in_tick.checked_mul(2)?);
        }
        Some(())
    }
}

/// Up to the end of seq_scaling_matrix (section 7.3.2.1.1.1).
fn skip_scaling_matrix(bits: &mut Bits, chroma_format: u8) -> Option<()> {
    if !bits.bit()? {
        return Some(());
    }
    let lists = if chroma_format == 3 { 12 } else { 8 };
    for list in 0..lists {
        if !bits.bit()? {
            continue;
        }
        let len = if list < 6 { 16 } else { 64 };
        let (mut last, mut next) = (8, 8);
        for _ in 0..len {
            if next != 0 {
                next = (last + signed(bits)?).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Some(())
}

/// From log2_max_frame_num_minus4 to gaps_in_frame_num_value_allowed_flag.
fn skip_order_and_references(bits: &mut Bits) -> Option<()> {
    within(bits, 12)?;
    match bits.golomb()? {
        // log2_max_pic_order_cnt_lsb_minus4
        0 => {
            within(bits, 12)?;
        }
        1 => {
            bits.bit()?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..within(bits, 255)? {
                bits.golomb()?;
            }
        }
        2 => {}
        _ => return None,
    }
    // max_num_ref_frames
    within(bits, 16)?;
    bits.bit()?;
    Some(())
}

/// se(v), of at most 16 bits either way, which is beyond any that is used.
fn signed(bits: &mut Bits) -> Option<i32> {
    let code = i32::from(u16::try_from(bits.golomb()?).ok()?);
    Some(if code % 2 == 0 {
        -code / 2
    } else {
        code / 2 + 1
    })
}

fn byte(bits: &mut Bits) -> Option<u8> {
    u8::try_from(bits.number(8)?).ok()
}

fn within(bits: &mut Bits, max: u8) -> Option<u8> {
    let number = u8::try_from(bits.golomb()?).ok()?;
    (number <= max).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex
            .chars()
            .map(|digit| digit.to_digit(16).unwrap() as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    const OF_8_BITS: Samples = Samples {
        chroma_format: 1,
        bit_depth_luma: 8,
        bit_depth_chroma: 8,
    };

    #[test]
    fn browsers_and_low_profiles_do_not_tell() {
        for hex in [
            "6742c01f8c8d40501ed37010d01078442350",
            "6742c00ad9047b0110000003001000000300a0f1226480",
            "674d400aeca23d80880000030008000003005078912cb0",
        ] {
            assert_eq!(samples(&bytes(hex)), None);
        }
    }

    #[test]
    fn x264_in_high_profiles() {
        for (hex, chroma_format) in [
            ("6764000aacd9447b0110000003001000000300a0f1225960", 1),
            ("67640028acd940780227e5c044000003000400000300283c60c658", 1),
            ("67f40015919b282821f89c05b2000003000200000300143e28532c", 3),
        ] {
            let told = Samples {
                chroma_format,
                ..OF_8_BITS
            };
            assert_eq!(samples(&bytes(hex)), Some(told), "{hex}");
        }
    }

    #[test]
    fn depths_beyond_8_bits() {
        // Set 0 is 1, 4:2:2 is 011, 10 bits are 011, 14 bits are 00111.
        let set = [0x67, 122, 0, 31, 0b1011_0110, 0b0111_0000];
        let told = Samples {
            chroma_format: 2,
            bit_depth_luma: 10,
            bit_depth_chroma: 14,
        };
        assert_eq!(samples(&set), Some(told));
        // 15 bits are 0001000.
        assert_eq!(samples(&[0x67, 122, 0, 31, 0b1011_0110, 0b0010_0000]), None);
    }

    #[test]
    fn broken_sets_tell_nothing() {
        let whole = bytes("6764000aacd9447b");
        assert_eq!(samples(&whole[..5]), Some(OF_8_BITS));
        for cut in 0..5 {
            assert_eq!(samples(&whole[..cut]), None);
        }
        assert_eq!(samples(&[0x68, 100, 0, 10, 0xac]), None);
        // A number of 32 and more zeros; a set numbered 65534.
        let bomb = [&[0x67, 100, 0, 30][..], &[0; 4_000]].concat();
        assert_eq!(samples(&bomb), None);
        assert_eq!(samples(&[0x67, 100, 0, 30, 0, 1, 0xff, 0xff, 0xff]), None);
    }
}
