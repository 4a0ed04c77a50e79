//! NAL units: walks stay within their bytes and end, what is written is walked
//! again, and a head depends on the unit's first bytes only.

use ringhall::base::limits::NAL_UNITS_MAX;
use ringhall::wire::nal::{avcc, is_carried, is_same_set, nal_type, slice_head, write_avcc};

pub fn check(data: &[u8]) {
    let [length_bytes, data @ ..] = data else {
        return;
    };
    let walked: Vec<_> = avcc(data, length_bytes % 6).collect();
    assert!(walked.len() <= NAL_UNITS_MAX + 1);
    let units: Vec<&[u8]> = walked.iter().copied().map_while(Result::ok).collect();
    assert!(walked.len() - units.len() <= 1, "an error is the last item");
    let bytes: usize = units
        .iter()
        .map(|unit| unit.len() + usize::from(length_bytes % 6))
        .sum();
    assert!(bytes <= data.len());
    rewritten(&units);
    for unit in units.iter().chain([&data]) {
        head(unit);
    }
}

/// Units written with lengths of four bytes are the same units.
fn rewritten(units: &[&[u8]]) {
    let mut data = Vec::new();
    for unit in units {
        write_avcc(&mut data, unit);
    }
    assert!(
        avcc(&data, 4)
            .take(NAL_UNITS_MAX)
            .eq(units.iter().take(NAL_UNITS_MAX).map(|unit| Ok(*unit)))
    );
}

fn head(unit: &[u8]) {
    let first = &unit[..unit.len().min(25)];
    assert_eq!(slice_head(unit), slice_head(first));
    assert!(is_same_set(unit, unit));
    if is_carried(unit) {
        assert!(matches!(nal_type(unit), Some(1..=5 | 7 | 8)));
    }
    if let Some(head) = slice_head(unit) {
        // The same head with an emulation prevention byte less to see through.
        assert!(matches!(nal_type(unit), Some(1 | 2 | 5)));
        assert!(head.first_mb < u32::MAX);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let sps = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd3];
    let four = [&[4, 0, 0, 0, 10][..], &sps, &[0, 0, 0, 3, 0x65, 0x88, 0x84]].concat();
    vec![
        four,
        vec![1, 2, 0x41, 0x9a, 0, 3, 1, 0xa0, 7],
        vec![2, 0, 3, 0x68, 0xce, 0x3c, 0xff, 0xff],
        vec![3, 0, 0, 2, 0x61, 0xe0],
        vec![4, 0xff, 0xff, 0xff, 0xff, 0x65],
        // Exp-Golomb numbers behind emulation prevention.
        vec![1, 9, 0x41, 0, 0, 3, 1, 0, 0, 3, 1],
        vec![0, 1, 2],
    ]
}
