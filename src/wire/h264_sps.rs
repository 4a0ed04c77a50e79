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

/// Reads a NAL unit like [`samples`], but sets of every profile. Of usability
/// information that is cut off or broken, what comes before that counts.
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
    use crate::wire::bit_writer::BitWriter;

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

    fn format(hex: &str) -> PictureFormat {
        picture_format(&bytes(hex)).unwrap()
    }

    fn size(format: PictureFormat) -> (u16, u16) {
        (format.width(), format.height())
    }

    #[test]
    fn sizes_that_encoders_tell() {
        for (hex, expected, level_idc) in [
            // OpenH264 in a browser; x264 baseline, main.
            ("6742c01f8c8d40501ed37010d01078442350", (640, 480), 31),
            (
                "6742c00ad9047b0110000003001000000300a0f1226480",
                (64, 48),
                10,
            ),
            (
                "674d400aeca23d80880000030008000003005078912cb0",
                (64, 48),
                10,
            ),
            // Cropped; fields, also cropped; 4:2:2 and 4:4:4, cropped in their
            // units; with a model of a receiver's buffer.
            (
                "67640028acd940780227e5c044000003000400000300283c60c658",
                (1_920, 1_080),
                40,
            ),
            (
                "6764001facd940b424d80880000003008000001e0f8b16cb",
                (720, 576),
                31,
            ),
            (
                "67640028acd94078044fde0220000003002000000783e2c5b2c0",
                (1_920, 1_080),
                40,
            ),
            (
                "677a001ebcd940a03ff8fc0440000003004000000f03c58b6580",
                (640, 482),
                30,
            ),
            (
                "67f4000d919b282a10f1f1f80880000003008000001e078a14cb",
                (322, 242),
                13,
            ),
            (
                "6764001eacd940a03db0110000030001000003003c602001e840007a13930c01e2c5b2c0",
                (640, 480),
                30,
            ),
        ] {
            let format = format(hex);
            assert_eq!(
                (size(format), format.level_idc),
                (expected, level_idc),
                "{hex}"
            );
        }
        let field_coded = format("67640028acd94078044fde0220000003002000000783e2c5b2c0");
        assert_eq!((field_coded.width_mbs, field_coded.height_mbs), (120, 68));
        let bottom = Cropping {
            bottom: 8,
            ..Cropping::default()
        };
        assert_eq!(field_coded.cropping, bottom);
    }

    #[test]
    fn range_and_frame_rate() {
        let browser = format("6742c01f8c8d40501ed37010d01078442350");
        assert_eq!((browser.is_full_range, browser.frame_rate), (true, None));
        let full = format("6764001eacd940a03db016c8000003000800000301e078b16cb0");
        assert!(full.is_full_range);
        assert_eq!(full.frame_rate, FrameRate::new(60, 2));
        // With an aspect ratio of its own and named colours.
        let film = format("6764000dacd9416096c104000003019000005da83c50a658");
        assert!(!film.is_full_range);
        assert_eq!(film.frame_rate, FrameRate::new(5_994, 200));
    }

    /// A High set with this scaling matrix and this order of pictures, 16 pixels
    /// narrower and lower than its macroblocks.
    fn set(
        scaling: impl Fn(&mut BitWriter),
        order: impl Fn(&mut BitWriter),
        width_mbs: u32,
        height_mbs: u32,
    ) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.number(0x64_001e, 24);
        golombs(&mut bits, &[0, 1, 0, 0]);
        bits.bit(false);
        scaling(&mut bits);
        bits.golomb(0);
        order(&mut bits);
        bits.golomb(1);
        bits.bit(false);
        bits.golomb(width_mbs - 1);
        bits.golomb(height_mbs - 1);
        // Frames only; cropping is told.
        bits.number(0b111, 3);
        golombs(&mut bits, &[0, 8, 0, 8]);
        bits.bit(false);
        bits.into_nal(0x67)
    }

    fn golombs(bits: &mut BitWriter, numbers: &[u32]) {
        for number in numbers {
            bits.golomb(*number);
        }
    }

    fn no_matrix(bits: &mut BitWriter) {
        bits.bit(false);
    }

    fn as_decoded(bits: &mut BitWriter) {
        bits.golomb(2);
    }

    #[test]
    fn scaling_lists_are_passed_over() {
        let matrix = |bits: &mut BitWriter| {
            bits.bit(true);
            for list in 0..8 {
                bits.bit(list != 3);
                match list {
                    // Every step told.
                    0..3 => (0..16).for_each(|_| bits.golomb(1)),
                    6 => (0..64).for_each(|step| bits.golomb(1 + step % 2)),
                    3 => {}
                    // A step of -8 ends it.
                    _ => bits.golomb(16),
                }
            }
        };
        let set = set(matrix, as_decoded, 20, 15);
        assert_eq!(picture_format(&set).map(size), Some((304, 224)));
    }

    #[test]
    fn every_order_of_pictures() {
        let low_bits = |bits: &mut BitWriter| {
            golombs(bits, &[0, 4]);
        };
        let cycle = |bits: &mut BitWriter| {
            bits.golomb(1);
            bits.bit(true);
            // Two offsets, and a cycle of three.
            golombs(bits, &[4, 5, 3, 1, 2, 3]);
        };
        for set in [
            set(no_matrix, low_bits, 20, 15),
            set(no_matrix, cycle, 20, 15),
        ] {
            assert_eq!(picture_format(&set).map(size), Some((304, 224)));
        }
        let unknown = set(no_matrix, |bits| bits.golomb(3), 20, 15);
        assert_eq!(picture_format(&unknown), None);
    }

    #[test]
    fn sizes_that_no_level_has_are_refused() {
        let size_of =
            |width, height| picture_format(&set(no_matrix, as_decoded, width, height)).map(size);
        assert_eq!(size_of(512, 272), Some((8_176, 4_336)));
        assert_eq!(size_of(512, 273), None);
        assert_eq!(size_of(1_055, 132), Some((16_864, 2_096)));
        assert_eq!(size_of(1_056, 2), None);
        assert_eq!(size_of(65_537, 65_537), None);
        assert_eq!(size_of(u32::MAX, u32::MAX), None);
        // Nothing is left of it.
        assert_eq!(size_of(1, 15), None);
    }

    #[test]
    fn a_set_cut_off_tells_nothing_before_its_size_is_known() {
        let whole = bytes("6764001eacd940a03db016c8000003000800000301e078b16cb0");
        let all = picture_format(&whole).unwrap();
        for cut in 0..whole.len() {
            match picture_format(&whole[..cut]) {
                None => assert!(cut < 10),
                Some(told) => assert!(cut >= 10 && size(told) == size(all)),
            }
        }
    }
}
