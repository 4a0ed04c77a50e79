//! H.264: the answer for a unit is the same alone and aggregated; profile and
//! level are told only where a key frame starts.

use ringhall::wire::h264::{keyframe_start, profile_level};

pub fn check(data: &[u8]) {
    if profile_level(data).is_some() {
        assert!(keyframe_start(data));
    }
    let Some(first) = data.first() else {
        assert!(!keyframe_start(data));
        return;
    };
    let single = (1..=23).contains(&(first & 0x1f));
    if let (true, Ok(len)) = (single, u16::try_from(data.len())) {
        let aggregate = [&[0x78][..], &len.to_be_bytes(), data].concat();
        assert_eq!(keyframe_start(&aggregate), keyframe_start(data));
        assert_eq!(profile_level(&aggregate), profile_level(data));
        // A length of zero or past the end spoils the whole aggregate.
        for tail in [&[0, 0][..], &[0, 9, 1], &[0]] {
            let spoiled = [&aggregate[..], tail].concat();
            assert!(!keyframe_start(&spoiled));
            assert_eq!(profile_level(&spoiled), None);
        }
    }
    // Fragments: the start counts, what follows it does not.
    let start = [0x7c, 0x80 | (first & 0x1f)];
    let expected = matches!(first & 0x1f, 5 | 7);
    assert_eq!(keyframe_start(&[&start[..], data].concat()), expected);
    assert!(!keyframe_start(&[&[0x7c, first & 0x7f][..], data].concat()));
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0x67, 0x42, 0xe0, 0x1f, 0x8c],
        vec![0x65, 0x88, 0x84, 0],
        vec![0x41, 0x9a, 0],
        // SPS and PPS aggregated; a zero length; a length past the end.
        vec![0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce],
        vec![0x78, 0, 0, 0, 2, 0x67, 0x42],
        vec![0x78, 0xff, 0xff, 0x67, 0x42],
        // Fragments of an IDR: start, end.
        vec![0x7c, 0x85, 0x88, 0x84],
        vec![0x7c, 0x45, 0x88],
    ]
}
