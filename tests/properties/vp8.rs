//! VP8: a size is told at key frames only, and bytes behind the frame header
//! change nothing.

use ringhall::wire::vp8::{frame_size, keyframe_start};

/// The longest descriptor (RFC 7741: 6 bytes) and the key frame header (10).
const DECIDING_BYTES: usize = 16;

pub fn check(data: &[u8]) {
    let size = frame_size(data);
    if let Some((width, height)) = size {
        assert!(keyframe_start(data));
        assert!(width < 1 << 14 && height < 1 << 14);
    }
    if keyframe_start(data) {
        assert!(data.len() >= 2);
        assert_eq!(data[0] & 0x17, 0x10);
    }
    let deciding = &data[..data.len().min(DECIDING_BYTES)];
    assert_eq!(keyframe_start(deciding), keyframe_start(data));
    assert_eq!(frame_size(deciding), size);
    let longer = [data, &[0x9d, 0x01, 0x2a]].concat();
    if keyframe_start(data) {
        assert!(keyframe_start(&longer));
    }
    if size.is_some() {
        assert_eq!(frame_size(&longer), size);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let key = [0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01, 7];
    let with = |descriptor: &[u8]| [descriptor, &key].concat();
    vec![
        with(&[0x10]),
        with(&[0x90, 0x80, 0x11]),
        with(&[0x90, 0xf0, 0x81, 0x22, 5, 0x40]),
        // L without T, which the RFC forbids.
        with(&[0x90, 0x40, 5]),
        // An inter frame, a later partition, a descriptor without its frame.
        vec![0x10, 0x11, 2, 0],
        with(&[0x11]),
        vec![0x90, 0xf0, 0x81, 0x22, 5],
    ]
}
