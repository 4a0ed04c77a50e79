use super::*;
use crate::wire::bits::Bits;
use crate::wire::nal::{TYPE_IDR, TYPE_PPS, TYPE_SPS, avcc, nal_type};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Parameter sets of Chromium, full range at level 3.1, and of x264 High at
/// level 3, both of 640x480.
const CHROMIUM: (&str, &str) = ("6742c01f8c8d40501ed37010d01078442350", "68ce3c80");
const X264: (&str, &str) = (
    "6764001eacd940a03db0110000030001000003000003003c0f162d96",
    "68ef8fcb",
);

fn beside((sps, pps): (&str, &str)) -> BlackH264 {
    BlackH264::beside(&[bytes(sps)], &[bytes(pps)]).unwrap()
}

/// The only unit of a sample.
fn unit(sample: &[u8]) -> &[u8] {
    let units: Vec<&[u8]> = avcc(sample, 4).map(Result::unwrap).collect();
    let [unit] = units.as_slice() else {
        panic!("{} units", units.len());
    };
    unit
}

/// A unit's bits, counted.
struct Reader<'a> {
    bits: Bits<'a>,
    at: u32,
}

impl Reader<'_> {
    fn of(unit: &[u8]) -> Reader<'_> {
        let bits = Bits::of_nal(unit);
        Reader { bits, at: 0 }
    }

    fn number(&mut self, count: u32) -> u32 {
        self.at += count;
        self.bits.number(count).unwrap()
    }

    fn golomb(&mut self) -> u32 {
        let number = self.bits.golomb().unwrap();
        self.at += 2 * (number + 1).ilog2() + 1;
        number
    }

    fn golombs(&mut self, expected: &[u32]) {
        for number in expected {
            assert_eq!(self.golomb(), *number);
        }
    }

    fn ends(mut self) {
        assert_eq!(self.number(1), 1, "the stop bit");
        assert_eq!(self.number((8 - self.at % 8) % 8), 0);
        assert_eq!(self.bits.bit(), None);
    }
}

/// Reads an IDR picture as a decoder would, and returns its idr_pic_id and luma.
fn read_idr(sample: &[u8], pps_id: u32, width_mbs: u32, height_mbs: u32) -> (u32, u32) {
    let mut reader = Reader::of(unit(sample));
    assert_eq!(reader.number(8), 0x65);
    reader.golombs(&[0, 7, pps_id]);
    assert_eq!(reader.number(4), 0);
    let idr_pic_id = reader.golomb();
    assert_eq!(reader.number(2), 0);
    reader.golombs(&[0, 1, 25]);
    assert_eq!(reader.number((8 - reader.at % 8) % 8), 0);
    let luma = reader.number(8);
    assert!((1..256).all(|_| reader.number(8) == luma));
    assert!((0..128).all(|_| reader.number(8) == 128));
    for mb in 1..width_mbs * height_mbs {
        reader.golombs(&[3, 0, 0]);
        let (code, bits) = if mb == 1 || mb == width_mbs {
            (3, 6)
        } else {
            (1, 1)
        };
        assert_eq!(reader.number(bits), code, "macroblock {mb}");
    }
    reader.ends();
    (idr_pic_id, luma)
}

#[test]
fn without_a_stream() {
    let black = BlackH264::of_size(640, 480);
    assert_eq!(black.sps(), bytes("6742c01e041680a03d90"));
    assert_eq!(black.pps(), bytes("68008002038f20"));
    assert_eq!((black.width(), black.height()), (640, 480));
    assert_eq!(black.picture(0, 0).len(), 1_596);
    assert_eq!(black.picture(1, 0).len(), 12);
}

#[test]
fn beside_a_stream_of_limited_range() {
    assert_eq!(beside(X264), BlackH264::of_size(640, 480));
}

#[test]
fn beside_a_stream_of_full_range() {
    let black = beside(CHROMIUM);
    let format = picture_format(black.sps()).unwrap();
    assert!(format.is_full_range);
    assert_eq!(
        (format.level_idc, format.width(), format.height()),
        (31, 640, 480)
    );
    assert_eq!(read_idr(black.picture(0, 0), 255, 40, 30), (0, 0));
}

#[test]
fn idr_pictures_are_whole_and_differ_from_the_one_before() {
    for (width, height) in [(16, 16), (16, 48), (48, 16), (320, 240), (1_920, 1_080)] {
        let black = BlackH264::of_size(width, height);
        let (across, down) = (
            u32::from(width.div_ceil(16)),
            u32::from(height.div_ceil(16)),
        );
        for idr_number in 0..4 {
            let idr = read_idr(black.picture(0, idr_number), 255, across, down);
            assert_eq!(idr, (idr_number % 2, 16));
        }
    }
}

#[test]
fn other_pictures_skip_everything_and_are_numbered() {
    let black = BlackH264::of_size(320, 240);
    for since_idr in 1..70 {
        let mut reader = Reader::of(unit(black.picture(since_idr, 3)));
        assert_eq!(reader.number(8), 0x41);
        reader.golombs(&[0, 5, 255]);
        assert_eq!(reader.number(4), since_idr % 16);
        assert_eq!(reader.number(3), 0);
        reader.golombs(&[0, 1, 20 * 15]);
        reader.ends();
    }
}

#[test]
fn in_band_sets_go_before_the_picture() {
    let black = beside(X264);
    for idr_number in 0..2 {
        let sample = black.in_band_idr(idr_number);
        let units: Vec<&[u8]> = avcc(sample, 4).map(Result::unwrap).collect();
        let types: Vec<_> = units.iter().map(|unit| nal_type(unit).unwrap()).collect();
        assert_eq!(types, [TYPE_SPS, TYPE_PPS, TYPE_IDR]);
        assert_eq!(units[..2], [black.sps(), black.pps()]);
        assert_eq!(units[2], unit(black.picture(0, idr_number)));
    }
}

#[test]
fn no_start_code_is_in_any_unit() {
    for black in [beside(CHROMIUM), BlackH264::of_size(1_920, 1_080)] {
        let pictures = [0, 1, 2, 16].map(|since_idr| unit(black.picture(since_idr, 1)));
        for unit in pictures.into_iter().chain([black.sps(), black.pps()]) {
            assert!(
                unit.windows(3)
                    .all(|three| three[..2] != [0, 0] || three[2] >= 3)
            );
            assert_ne!(unit.last(), Some(&0));
        }
    }
}

#[test]
fn ids_are_none_of_the_streams() {
    let taken = [BlackH264::of_size(320, 240), beside(CHROMIUM)];
    let sps: Vec<Vec<u8>> = taken.iter().map(|black| black.sps().to_vec()).collect();
    let pps: Vec<Vec<u8>> = taken.iter().map(|black| black.pps().to_vec()).collect();
    let black = BlackH264::beside(&sps, &pps).unwrap();
    assert_eq!(parameter_set_id(black.sps()), Some(30));
    assert_eq!(parameter_set_id(black.pps()), Some(254));
    assert_eq!((black.width(), black.height()), (320, 240));
    let mut named = Reader::of(black.pps());
    named.number(8);
    named.golombs(&[254, 30]);
    assert_eq!(read_idr(black.picture(0, 0), 254, 20, 15), (0, 16));
}

#[test]
fn no_id_left_and_no_size_told() {
    let first = bytes(X264.0);
    let all: Vec<Vec<u8>> = (0..32)
        .map(|id| {
            let mut bits = BitWriter::default();
            bits.number(0x42_c01e, 24);
            bits.golomb(id);
            bits.into_nal(HEADER_SPS)
        })
        .collect();
    let sets = |others: &[Vec<u8>]| [std::slice::from_ref(&first), others].concat();
    assert_eq!(BlackH264::beside(&sets(&all), &[]), None);
    assert!(BlackH264::beside(&sets(&all[..31]), &[]).is_some());
    assert_eq!(BlackH264::beside(&[], &[]), None);
    assert_eq!(BlackH264::beside(&[first[..8].to_vec()], &[]), None);
}

#[test]
fn levels_allow_the_size() {
    let level_of = |black: &BlackH264| black.sps()[3];
    for (width, height, level_idc) in [
        (16, 16, 10),
        (320, 240, 13),
        (640, 480, 30),
        (1_280, 720, 31),
        (1_920, 1_080, 40),
        (3_840, 2_160, 51),
        (7_680, 4_320, 60),
        // Long, so that the number of macroblocks does not decide.
        (4_096, 16, 40),
    ] {
        let black = BlackH264::of_size(width, height);
        assert_eq!(level_of(&black), level_idc, "{width}x{height}");
    }
    // A stream that says less than its size needs, and more.
    for (said, level_idc) in [(10, 22), (9, 22), (41, 41), (255, 62)] {
        let mut sps = bytes(X264.0);
        sps[3] = said;
        let black = BlackH264::beside(&[sps], &[]).unwrap();
        assert_eq!(level_of(&black), level_idc);
    }
}

#[test]
fn sizes_that_cannot_be_are_brought_to_ones_that_can() {
    for (asked, got) in [
        ((0, 0), (2, 2)),
        ((321, 241), (320, 240)),
        ((u16::MAX, 16), (16_880, 16)),
        ((16, u16::MAX), (16, 16_880)),
    ] {
        let black = BlackH264::of_size(asked.0, asked.1);
        assert_eq!((black.width(), black.height()), got);
        let format = picture_format(black.sps()).unwrap();
        assert_eq!((format.width(), format.height()), got);
    }
    let largest = BlackH264::of_size(u16::MAX, u16::MAX);
    assert_eq!((largest.width(), largest.height()), (16_880, 2_112));
}

#[test]
fn fields_and_other_chroma_formats_become_frames_of_4_2_0() {
    // 1920x1080 in fields; 4:4:4 of 322x242 cropped in single pixels.
    for (sps, size) in [
        (
            "67640028acd94078044fde0220000003002000000783e2c5b2c0",
            (1_920, 1_080),
        ),
        (
            "67f4000d919b282a10f1f1f80880000003008000001e078a14cb",
            (322, 242),
        ),
    ] {
        let black = BlackH264::beside(&[bytes(sps)], &[]).unwrap();
        assert_eq!((black.width(), black.height()), size);
        let format = picture_format(black.sps()).unwrap();
        assert_eq!((format.width(), format.height()), size);
    }
    let odd = PictureFormat {
        cropping: Cropping {
            left: 1,
            right: 14,
            top: 3,
            bottom: 12,
        },
        ..picture_format(&bytes(X264.0)).unwrap()
    };
    let even = of_even_cropping(odd);
    let expected = Cropping {
        left: 0,
        right: 14,
        top: 2,
        bottom: 12,
    };
    assert_eq!(even.cropping, expected);
}
