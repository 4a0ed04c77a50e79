//! Depacketisers on any payloads: what comes out is in order, well-formed and
//! bounded, begins with a key frame, and goes on with one after every loss.

use ringhall::base::limits::{FRAME_MAX_BYTES, REORDER_WAIT_PLAYER};
use ringhall::base::time::{Span, Time};
use ringhall::proto::depacketise::{AccessUnit, Depacketiser, Packet};
use ringhall::wire::codec::{AudioCodec, Codec, VideoCodec};
use ringhall::wire::{nal, vp8};

/// The codec, then packets of a kind, a length and a payload.
pub fn check(data: &[u8]) {
    let Some((codec, mut rest)) = data.split_first() else {
        return;
    };
    let codec = match codec % 3 {
        0 => Codec::Video(VideoCodec::H264),
        1 => Codec::Video(VideoCodec::Vp8),
        _ => Codec::Audio(AudioCodec::Opus),
    };
    let mut reader = Reader::new(codec);
    let (mut ext_seq, mut timestamp, mut now) = (1_000u64, u32::MAX - 6_000, Time::ZERO);
    while let [kind, len, behind @ ..] = rest {
        let (payload, after) = behind.split_at(usize::from(*len).min(behind.len()));
        rest = after;
        match kind >> 4 & 7 {
            0..=3 => ext_seq += 1,
            4 => ext_seq += 2,
            5 => ext_seq = ext_seq.saturating_sub(1),
            _ => now = now + Span::from_ms(150),
        }
        if kind & 0x02 != 0 {
            timestamp = timestamp.wrapping_add(3_000);
        }
        let marker = kind & 0x01 != 0;
        reader.depacketiser.push(
            Packet {
                ext_seq,
                timestamp,
                marker,
                payload,
            },
            now,
        );
        reader.read(now);
    }
    reader.read(now + REORDER_WAIT_PLAYER);
}

struct Reader {
    codec: Codec,
    depacketiser: Depacketiser,
    last: Option<u64>,
    needs_key: bool,
}

impl Reader {
    fn new(codec: Codec) -> Self {
        Reader {
            codec,
            depacketiser: Depacketiser::new(codec, REORDER_WAIT_PLAYER),
            last: None,
            needs_key: true,
        }
    }

    fn read(&mut self, now: Time) {
        while let Some(unit) = self.depacketiser.poll(now) {
            self.frame(&unit, now);
        }
        assert!(self.depacketiser.poll(now).is_none());
        if self.depacketiser.wants_keyframe() {
            self.needs_key = true;
        }
    }

    fn frame(&mut self, unit: &AccessUnit, now: Time) {
        assert!(!unit.data.is_empty() && unit.data.len() <= FRAME_MAX_BYTES);
        assert!(unit.arrival <= now);
        assert!(unit.is_key || !(self.needs_key || unit.lost_before));
        self.needs_key = false;
        assert!(
            self.last
                .is_none_or(|last| last.abs_diff(unit.timestamp_ticks) < 1 << 31)
        );
        self.last = Some(unit.timestamp_ticks);
        match self.codec {
            Codec::Video(VideoCodec::H264) => h264(unit),
            Codec::Video(VideoCodec::Vp8) => {
                let payload = [&[0x10], &unit.data[..]].concat();
                assert_eq!(unit.is_key, vp8::frame_size(&payload).is_some());
            }
            Codec::Audio(_) => assert!(unit.is_key),
        }
        let is_h264 = self.codec == Codec::Video(VideoCodec::H264);
        assert!(is_h264 || unit.parameter_sets_changed.is_none());
    }
}

fn h264(unit: &AccessUnit) {
    let mut has_idr = false;
    for slice in nal::avcc(&unit.data, 4) {
        let nal_type = nal::nal_type(slice.expect("whole lengths")).expect("a unit");
        assert!(nal::is_slice(nal_type));
        has_idr |= nal_type == nal::TYPE_IDR;
    }
    assert_eq!(has_idr, unit.is_key);
    if let Some(sets) = &unit.parameter_sets_changed {
        assert!(!sets.sps.is_empty() && !sets.pps.is_empty());
        for (list, wanted) in [(&sets.sps, nal::TYPE_SPS), (&sets.pps, nal::TYPE_PPS)] {
            assert!(list.iter().all(|set| nal::nal_type(set) == Some(wanted)));
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let packets = |codec: u8, packets: &[(u8, &[u8])]| {
        let mut data = vec![codec];
        for (kind, payload) in packets {
            data.extend([*kind, payload.len() as u8]);
            data.extend(*payload);
        }
        data
    };
    let sets: &[u8] = &[0x78, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 0, 3, 0x68, 0xce, 0x3c];
    let key: &[u8] = &[0x10, 0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];
    vec![
        packets(0, &[(2, sets), (1, &[0x65, 0x88]), (3, &[0x41, 0x9a])]),
        // Fragments, one of them late, and a loss given up.
        packets(
            0,
            &[
                (2, sets),
                (0, &[0x7c, 0x85, 0x88]),
                (0x41, &[0x7c, 0x45, 2]),
                (0x50, &[0x7c, 0x05, 1]),
                (0x43, &[0x41, 0x9a]),
                (0x63, &[0x41, 0x9a]),
                (2, sets),
                (1, &[0x65, 0x88]),
            ],
        ),
        // No markers, then a pause.
        packets(
            0,
            &[
                (2, sets),
                (0, &[0x65, 1]),
                (2, &[0x41, 2]),
                (0x72, sets),
                (1, &[0x65, 1]),
            ],
        ),
        packets(
            0,
            &[
                (2, &[0x7c, 0xc5, 1]),
                (0, &[0x78, 0, 9, 1]),
                (1, &[0x79, 1]),
                (1, &[]),
            ],
        ),
        packets(
            1,
            &[
                (3, key),
                (2, &[0x90, 0x80, 1, 0x11, 2, 3]),
                (1, &[0x81, 0x80, 1, 7]),
            ],
        ),
        packets(
            1,
            &[
                (3, key),
                (0x43, &[0x10, 0x11, 2, 3]),
                (0x63, &[0x10, 0x11, 2, 3]),
                (3, key),
            ],
        ),
        packets(
            2,
            &[
                (2, &[0xfc, 1]),
                (0x42, &[0xfc, 2]),
                (0x52, &[0xfc, 3]),
                (0x63, &[]),
            ],
        ),
    ]
}
