//! Demultiplexing: the kind follows from the first two bytes and the length
//! alone, and only what is long enough has one.

use ringhall::wire::demux::{Kind, classify};

pub fn check(data: &[u8]) {
    let kind = classify(data);
    let longer = [data, &[0; 20]].concat();
    let whole = classify(&longer);
    assert!(kind == whole || kind == Kind::Unknown);
    if data.len() < 8 {
        assert_eq!(kind, Kind::Unknown);
    }
    if data.len() >= 20 {
        let mut other_rest = data.to_vec();
        other_rest[2..].reverse();
        assert_eq!(classify(&other_rest), kind);
        let expected = match data[0] {
            0..=3 => Kind::Stun,
            20..=63 => Kind::Dtls,
            128..=191 if (64..=95).contains(&(data[1] & 0x7f)) => Kind::Rtcp,
            128..=191 => Kind::Rtp,
            _ => Kind::Unknown,
        };
        assert_eq!(kind, expected);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let datagram = |first: u8, second: u8, len: usize| {
        let mut datagram = vec![0; len];
        datagram[0] = first;
        datagram[1] = second;
        datagram
    };
    vec![
        datagram(0, 1, 20),
        datagram(22, 254, 13),
        datagram(0x90, 111, 12),
        datagram(0x80, 200, 8),
        datagram(0x40, 0, 20),
        vec![0x80],
    ]
}
