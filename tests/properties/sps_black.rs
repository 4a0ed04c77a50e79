//! Black beside any parameter sets: its own sets are of a size that can be, of
//! the stream's where that can be told, with ids that are free; its samples are
//! whole units and no longer than their macroblocks make them.
//!
//! The input is units behind lengths of one byte; what is no picture parameter
//! set is taken for a sequence parameter set.

use ringhall::base::limits::PICTURE_MBS_MAX;
use ringhall::record::black::h264::BlackH264;
use ringhall::wire::h264_sps::picture_format;
use ringhall::wire::nal::{TYPE_IDR, TYPE_PPS, TYPE_SPS, avcc, nal_type, parameter_set_id};

pub fn check(data: &[u8]) {
    let units = avcc(data, 1).map_while(Result::ok).map(<[u8]>::to_vec);
    let (pps, sps): (Vec<_>, Vec<_>) = units.partition(|unit| nal_type(unit) == Some(TYPE_PPS));
    let Some(black) = BlackH264::beside(&sps, &pps) else {
        return;
    };
    check_sets(&black, &sps, &pps);
    let types = |sample: &[u8]| -> Vec<u8> {
        let units = avcc(sample, 4).map(|unit| unit.expect("a whole unit"));
        units.map(|unit| nal_type(unit).expect("a type")).collect()
    };
    for idr_number in 0..2 {
        assert_eq!(types(black.picture(0, idr_number)), [TYPE_IDR]);
        let in_band = black.in_band_idr(idr_number);
        assert_eq!(types(in_band), [TYPE_SPS, TYPE_PPS, TYPE_IDR]);
        assert!(in_band.len() <= PICTURE_MBS_MAX as usize + 1_024);
    }
    for since_idr in [1, 15, 16, u32::MAX] {
        assert_eq!(types(black.picture(since_idr, 0)), [1]);
        assert!(black.picture(since_idr, 0).len() <= 20);
    }
}

fn check_sets(black: &BlackH264, sps: &[Vec<u8>], pps: &[Vec<u8>]) {
    let first = sps.first().expect("a set to be beside");
    let stream = picture_format(first).expect("a set that tells a size");
    let own = picture_format(black.sps()).expect("a set of ours");
    let mbs = (stream.width_mbs, stream.height_mbs);
    assert_eq!((own.width_mbs, own.height_mbs), mbs);
    assert_eq!(own.is_full_range, stream.is_full_range);
    assert_eq!((own.width(), own.height()), (black.width(), black.height()));
    for (own, stream) in [
        (own.width(), stream.width()),
        (own.height(), stream.height()),
    ] {
        // Odd ones are rounded up; a pixel at each side at most.
        assert!(own >= stream && own <= stream + 2 && own % 2 == 0);
    }
    let is_free = |own: &[u8], sets: &[Vec<u8>]| {
        let id = parameter_set_id(own).expect("an id");
        sets.iter().all(|set| parameter_set_id(set) != Some(id))
    };
    assert!(is_free(black.sps(), sps) && is_free(black.pps(), pps));
}

pub fn seeds() -> Vec<Vec<u8>> {
    const CHROMIUM: &[u8] =
        b"\x67\x42\xc0\x1f\x8c\x8d\x40\x50\x1e\xd3\x70\x10\xd0\x10\x78\x44\x23\x50";
    const X264_HIGH: &[u8] =
        b"\x67\x64\0\x1e\xac\xd9\x40\xa0\x3d\xb0\x11\0\0\x03\0\x01\0\0\x03\0\0\x03\0\x3c\x0f\x16\x2d\x96";
    const FIELDS: &[u8] =
        b"\x67\x64\0\x1f\xac\xd9\x40\xb4\x24\xd8\x08\x80\0\0\x03\0\x80\0\0\x1e\x0f\x8b\x16\xcb";
    const OWN: &[u8] = b"\x67\x42\xc0\x1e\x04\x16\x80\xa0\x3d\x90";
    const OWN_PPS: &[u8] = b"\x68\0\x80\x02\x03\x8f\x20";
    let sets: [&[&[u8]]; 6] = [
        &[CHROMIUM, b"\x68\xce\x3c\x80"],
        &[X264_HIGH, b"\x68\xef\x8f\xcb", b"\x68\x7b\x8f\xcb"],
        &[FIELDS],
        // The ids that would be ours are taken.
        &[CHROMIUM, OWN, OWN_PPS],
        // Cut off; nothing.
        &[&[0x67, 66, 0, 30], b"\x68"],
        &[],
    ];
    let behind_lengths = |units: &[&[u8]]| -> Vec<u8> {
        let unit = |unit: &&[u8]| [&[unit.len() as u8], *unit].concat();
        units.iter().flat_map(unit).collect()
    };
    sets.map(behind_lengths).into()
}
