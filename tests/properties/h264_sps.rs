//! Sequence parameter sets: what is told is within the standard's range, and
//! what follows the part that was read changes nothing.

use ringhall::base::limits::{PICTURE_MBS_MAX, PICTURE_SIDE_MBS_MAX};
use ringhall::wire::h264_sps::{PictureFormat, picture_format, samples};

pub fn check(data: &[u8]) {
    check_samples(data);
    check_picture_format(data);
}

fn check_picture_format(data: &[u8]) {
    let _ = picture_format(&[&[0x67], data].concat());
    let Some(told) = picture_format(data) else {
        return;
    };
    let (across, down) = (u32::from(told.width_mbs), u32::from(told.height_mbs));
    assert!(across.max(down) <= PICTURE_SIDE_MBS_MAX && across * down <= PICTURE_MBS_MAX);
    assert!((1..=16 * across).contains(&told.width().into()));
    assert!((1..=16 * down).contains(&told.height().into()));
    let longer = picture_format(&[data, &[0x80]].concat()).expect("the same set and more");
    let size = |told: &PictureFormat| (told.width(), told.height());
    assert_eq!(
        (size(&longer), longer.level_idc),
        (size(&told), told.level_idc)
    );
}

fn check_samples(data: &[u8]) {
    let _ = samples(&[&[0x67], data].concat());
    let Some(told) = samples(data) else {
        return;
    };
    assert!(told.chroma_format <= 3);
    assert!((8..=14).contains(&told.bit_depth_luma) && (8..=14).contains(&told.bit_depth_chroma));
    assert_eq!(samples(&[data, &[0x80]].concat()), Some(told));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let high = [100, 0, 10, 0xac, 0xd9, 0x44, 0x7b, 0x01, 0x10, 0, 0, 3, 0];
    vec![
        // OpenH264 in a browser; x264 baseline, main, high, interlaced 4:4:4.
        b"\x67\x42\xc0\x1f\x8c\x8d\x40\x50\x1e\xd3\x70\x10\xd0\x10\x78\x44\x23\x50".to_vec(),
        b"\x67\x42\xc0\x0a\xd9\x04\x7b\x01\x10\0\0\x03\0\x10\0\0\x03\0\xa0\xf1\x22\x64\x80".to_vec(),
        b"\x67\x4d\x40\x0a\xec\xa2\x3d\x80\x88\0\0\x03\0\x08\0\0\x03\0\x50\x78\x91\x2c\xb0".to_vec(),
        b"\x67\x64\0\x28\xac\xd9\x40\x78\x02\x27\xe5\xc0\x44\0\0\x03\0\x04\0\0\x03\0\x28\x3c\x60\xc6\x58".to_vec(),
        b"\x67\xf4\0\x15\x91\x9b\x28\x28\x21\xf8\x9c\x05\xb2\0\0\x03\0\x02\0\0\x03\0\x14\x3e\x28\x53\x2c".to_vec(),
        // Without its header byte; a number of too many zeros; an empty one.
        high.to_vec(),
        [&[0x67, 66, 0, 30][..], &[0; 40]].concat(),
        vec![],
    ]
}
