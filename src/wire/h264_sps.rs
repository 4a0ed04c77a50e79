//! The chroma format and bit depths of a sequence parameter set of H.264 (ITU-T
//! H.264 section 7.3.2.1.1), which a decoder configuration record of a high
//! profile repeats. Refuses what is out of the standard's range; what follows
//! in the set is not looked at.

use super::bits::Bits;

const TYPE_SPS: u32 = 7;

/// Profiles whose sets tell the chroma format and bit depths.
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// How a picture is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples {
    /// 0 is monochrome, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_format: u8,
    /// 8 to 14.
    pub bit_depth_luma: u8,
    pub bit_depth_chroma: u8,
}

/// Reads a NAL unit, its header byte first, without a start code. None of
/// another unit, of a profile whose sets do not tell (4:2:0 in 8 bits then),
/// and of a set that is broken.
pub fn samples(nal: &[u8]) -> Option<Samples> {
    let mut bits = Bits::of_nal(nal);
    if bits.number(8)? & 0x1f != TYPE_SPS || !HIGH_PROFILES.contains(&bits.number(8)?) {
        return None;
    }
    // Constraint flags, level_idc, seq_parameter_set_id
    bits.number(16)?;
    within(&mut bits, 31)?;
    let chroma_format = within(&mut bits, 3)?;
    if chroma_format == 3 {
        // separate_colour_plane_flag
        bits.bit()?;
    }
    Some(Samples {
        chroma_format,
        bit_depth_luma: 8 + within(&mut bits, 6)?,
        bit_depth_chroma: 8 + within(&mut bits, 6)?,
    })
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
