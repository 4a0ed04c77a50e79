//! VP8 in RTP (RFC 7741): whether a payload begins a key frame, and its size.
//! Looks at the payload descriptor and the first ten bytes of the frame only.

use super::bytes::{u8_at, u16_at};

/// RFC 6386 section 9.1: what follows the frame tag of a key frame.
const START_CODE: &[u8] = &[0x9d, 0x01, 0x2a];

/// Whether `payload` holds the first bytes of a key frame: start of the first
/// partition (S=1, PID=0, RFC 7741 section 4.2) and the frame header's P bit
/// zero (section 4.3).
pub fn keyframe_start(payload: &[u8]) -> bool {
    keyframe(payload).is_some()
}

/// Width and height in pixels when `payload` begins a key frame whose header
/// is whole and carries the start code (RFC 6386 section 9.1); the upscaling
/// bits are left out.
pub fn frame_size(payload: &[u8]) -> Option<(u16, u16)> {
    key_frame_size(keyframe(payload)?)
}

/// The same of a whole frame.
pub fn key_frame_size(frame: &[u8]) -> Option<(u16, u16)> {
    let inter_frame = u8_at(frame, 0)? & 0x01 != 0;
    if inter_frame || frame.get(3..6)? != START_CODE {
        return None;
    }
    let width = u16_at(frame, 6)?.swap_bytes() & 0x3fff;
    let height = u16_at(frame, 8)?.swap_bytes() & 0x3fff;
    Some((width, height))
}

/// What a payload carries of a frame: whether the frame begins in it (S=1,
/// PID=0, RFC 7741 section 4.2), and the bytes behind the descriptor. `None`
/// when the descriptor is cut off.
pub fn part(payload: &[u8]) -> Option<(bool, &[u8])> {
    let descriptor = u8_at(payload, 0)?;
    let begins = descriptor & 0x17 == 0x10;
    Some((begins, payload.get(descriptor_len(payload)?..)?))
}

/// The frame's bytes, when a key frame begins here.
fn keyframe(payload: &[u8]) -> Option<&[u8]> {
    let (begins, frame) = part(payload)?;
    if !begins {
        return None;
    }
    let inter_frame = u8_at(frame, 0)? & 0x01 != 0;
    (!inter_frame).then_some(frame)
}

/// Length of the payload descriptor, RFC 7741 section 4.2. Each optional part
/// is skipped by its own bit: an L without T is against the RFC but says
/// clearly how long it is.
fn descriptor_len(payload: &[u8]) -> Option<usize> {
    if u8_at(payload, 0)? & 0x80 == 0 {
        return Some(1);
    }
    let present = u8_at(payload, 1)?;
    let mut len = 2;
    if present & 0x80 != 0 {
        let two_byte_picture_id = u8_at(payload, len)? & 0x80 != 0;
        len += 1 + usize::from(two_byte_picture_id);
    }
    if present & 0x40 != 0 {
        len += 1;
    }
    if present & 0x30 != 0 {
        len += 1;
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key frame header of 640x480 with scale bits set.
    const KEY: [u8; 10] = [0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0xe0, 0xc1];

    fn payload(descriptor: &[u8]) -> Vec<u8> {
        [descriptor, &KEY].concat()
    }

    const DESCRIPTORS: [&[u8]; 9] = [
        &[0x10],
        &[0x90, 0x00],
        &[0x90, 0x80, 0x7f],
        &[0x90, 0x80, 0x80, 0x01],
        &[0x90, 0xc0, 0xff, 0xff, 5],
        &[0x90, 0x40, 5],
        &[0x90, 0x20, 0x20],
        &[0x90, 0x10, 0x05],
        &[0x90, 0xf0, 0x80, 1, 2, 0xff],
    ];

    #[test]
    fn key_frames_under_every_descriptor() {
        for descriptor in DESCRIPTORS {
            let payload = payload(descriptor);
            assert!(keyframe_start(&payload), "{descriptor:02x?}");
            assert_eq!(frame_size(&payload), Some((640, 480)));
        }
    }

    #[test]
    fn truncation_at_every_length() {
        for descriptor in DESCRIPTORS {
            let payload = payload(descriptor);
            for len in 0..payload.len() {
                let cut = &payload[..len];
                assert_eq!(keyframe_start(cut), len > descriptor.len());
                assert_eq!(frame_size(cut), None);
            }
        }
    }

    #[test]
    fn what_is_no_key_frame() {
        let mut inter = payload(&[0x10]);
        inter[1] |= 1;
        assert!(!keyframe_start(&inter));
        for descriptor in [0x00, 0x11, 0x17, 0x07] {
            assert!(!keyframe_start(&payload(&[descriptor])));
        }
        assert!(!keyframe_start(&[]));
        let mut no_start_code = payload(&[0x10]);
        no_start_code[4] = 0;
        assert!(keyframe_start(&no_start_code));
        assert_eq!(frame_size(&no_start_code), None);
    }
}
