//! Any timestamps at any time: no lane goes back, ticks are unwrapped to
//! themselves, and a sound clock is followed exactly.

use ringhall::base::time::{Ntp, Span, Time};
use ringhall::proto::media_clock::{Alignment, FrameTime, Lane, RtmpTimeline, TickUnwrap};

/// Eight bytes an operation: kind, time passed, then a timestamp.
pub fn check(data: &[u8]) {
    let mut rtmp = RtmpTimeline::new();
    let mut alignment = Alignment::new();
    let mut unwrap = [TickUnwrap::default(); 2];
    let (mut rtmp_last, mut aligned_last) = ([0; 2], [0; 2]);
    let mut now = Time::ZERO;
    for op in data.chunks_exact(8) {
        let &[kind, high, low, small, a, b, c, d] = op else {
            continue;
        };
        let passed = u64::from(u16::from_be_bytes([high, low]));
        now = now + Span::from_ms(passed << (kind >> 4 & 7));
        let lane = usize::from(kind & 1);
        let name = [Lane::Audio, Lane::Video][lane];
        let timestamp = u32::from_be_bytes([a, b, c, d]);
        let at = rtmp.on_timestamp(name, timestamp, now);
        assert!(at >= rtmp_last[lane]);
        rtmp_last[lane] = at;
        let ticks = unwrap[lane].count_of(timestamp);
        assert_eq!(ticks as u32, timestamp);
        let ntp = u64::from(timestamp) << 24 ^ u64::from(small) << 50;
        let frame = FrameTime {
            ticks,
            rate: [48_000, 90_000][lane],
            arrival: now,
            ntp: (kind & 2 != 0).then_some(Ntp::from_bits(ntp)),
        };
        let at = alignment.place(name, frame);
        assert!(at >= aligned_last[lane]);
        aligned_last[lane] = at;
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let op = |kind: u8, passed: u16, timestamp: u32| {
        [
            &[kind][..],
            &passed.to_be_bytes(),
            &[0],
            &timestamp.to_be_bytes(),
        ]
        .concat()
    };
    vec![
        [op(0, 0, 0), op(1, 20, 20), op(0, 20, 40), op(1, 20, 10)].concat(),
        [
            op(1, 0, u32::MAX - 30),
            op(1, 40, 9),
            op(0, 0, u32::MAX),
            op(0, 20, 19),
        ]
        .concat(),
        [
            op(1, 0, 0xff_fff0),
            op(1, 40, 0x18),
            op(0, 1, 0xff_fff8),
            op(0, 40, 0x20),
        ]
        .concat(),
        [
            op(3, 0, 900_000),
            op(2, 20, 48_000),
            op(3, 20, 5),
            op(2, 20, 1 << 31),
        ]
        .concat(),
        [
            op(0x73, 0xffff, 1 << 30),
            op(0x72, 0xffff, 7),
            op(0x73, 0xffff, 3 << 30),
        ]
        .concat(),
    ]
}
