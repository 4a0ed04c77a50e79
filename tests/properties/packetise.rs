//! Packetise, lose, double and reorder, depacketise: what comes out is exactly
//! the pictures that came whole, in order, none of them after a lost one until
//! the next key frame.

use ringhall::base::limits::{H264_PAYLOAD_MAX_BYTES, REORDER_WAIT_PLAYER};
use ringhall::base::time::Time;
use ringhall::proto::depacketise::{Depacketiser, Packet};
use ringhall::proto::packetise::{AccessUnitView, Packetiser, split_g711};
use ringhall::wire::codec::{Codec, VideoCodec};
use ringhall::wire::nal;

const SETS: [&[u8]; 2] = [&[0x67, 0x42, 0xc0, 0x1f, 0x8c], &[0x68, 0xce, 0x3c, 0x80]];

/// Pictures of one property run; all packets together fit a reorder buffer.
const PICTURES_MAX: usize = 40;

pub fn check(data: &[u8]) {
    foreign(data);
    let mut choices = data.iter().copied().cycle();
    let pictures: Vec<Sent> = data
        .chunks(3)
        .take(PICTURES_MAX)
        .enumerate()
        .map(|(at, spec)| picture(at, spec))
        .collect();
    let mut line: Vec<(u64, u32, bool, &[u8])> = Vec::new();
    for (at, picture) in pictures.iter().enumerate() {
        for (payload, marker) in &picture.packets {
            line.push((line.len() as u64, at as u32 * 3_000, *marker, payload));
        }
    }
    let mut arriving: Vec<_> = line.clone();
    let mut lost = vec![false; line.len()];
    // The first packet comes first: what is sent before it is not waited for.
    for at in 1..arriving.len() {
        let (choice, other) = (choices.next().unwrap_or(0), choices.next().unwrap_or(0));
        let other = 1 + (at - 1).saturating_sub(usize::from(other % 32));
        match choice % 16 {
            0 => lost[arriving[at].0 as usize] = true,
            1..=5 => arriving.swap(at, other),
            _ => {}
        }
    }
    let received = receive(&arriving, &lost, choices);
    assert_eq!(received, expected(&pictures, &lost));
}

struct Sent {
    is_key: bool,
    data: Vec<u8>,
    packets: Vec<(Vec<u8>, bool)>,
}

/// A picture of a few slices, made as the three bytes of `spec` say.
fn picture(at: usize, spec: &[u8]) -> Sent {
    let byte = |index: usize| spec.get(index).copied().unwrap_or(0);
    let is_key = byte(0) % 4 == 0;
    let header = if is_key { 0x65 } else { 0x41 };
    let mut data = Vec::new();
    let mut noise = Vec::new();
    for slice in 0..=byte(1) % 3 {
        let len = usize::from(byte(2)) * 12 + usize::from(slice) * 17;
        let unit = [vec![header], vec![at as u8; len]].concat();
        nal::write_avcc(&mut data, &unit);
        // Units that are not carried.
        nal::write_avcc(&mut noise, &[9, 0xf0]);
        nal::write_avcc(&mut noise, &unit);
        nal::write_avcc(&mut noise, &[6, byte(0)]);
    }
    let mut packets = Vec::new();
    let view = AccessUnitView {
        avcc: &noise,
        length_bytes: 4,
    };
    Packetiser::default()
        .packetise_h264(&view, &SETS, &mut |payload| {
            assert!(payload.bytes.len() <= H264_PAYLOAD_MAX_BYTES);
            assert_eq!(payload.keyframe_start, is_key && packets.is_empty());
            packets.push((payload.bytes.to_vec(), payload.marker));
        })
        .expect("whole lengths");
    Sent {
        is_key,
        data,
        packets,
    }
}

fn receive(
    arriving: &[(u64, u32, bool, &[u8])],
    lost: &[bool],
    mut choices: impl Iterator<Item = u8>,
) -> Vec<Vec<u8>> {
    let codec = Codec::Video(VideoCodec::H264);
    let mut depacketiser = Depacketiser::new(codec, REORDER_WAIT_PLAYER);
    let mut received = Vec::new();
    let mut read = |depacketiser: &mut Depacketiser, now| {
        while let Some(unit) = depacketiser.poll(now) {
            received.push(unit.data);
        }
    };
    for &(ext_seq, timestamp, marker, payload) in arriving {
        if lost[ext_seq as usize] {
            continue;
        }
        for _ in 0..=choices.next().unwrap_or(0) / 200 {
            depacketiser.push(
                Packet {
                    ext_seq,
                    timestamp,
                    marker,
                    payload,
                },
                Time::ZERO,
            );
            read(&mut depacketiser, Time::ZERO);
        }
    }
    read(&mut depacketiser, Time::ZERO + REORDER_WAIT_PLAYER);
    received
}

fn expected(pictures: &[Sent], lost: &[bool]) -> Vec<Vec<u8>> {
    let mut packets = lost.iter();
    let mut waits_for_key = true;
    let mut expected = Vec::new();
    for picture in pictures {
        let came = packets.by_ref().take(picture.packets.len());
        let is_whole = came.filter(|lost| **lost).count() == 0;
        waits_for_key = !is_whole || (waits_for_key && !picture.is_key);
        if !waits_for_key {
            expected.push(picture.data.clone());
        }
    }
    expected
}

/// Access units as any encoder, or anyone, may write them.
fn foreign(data: &[u8]) {
    let [length_bytes, avcc @ ..] = data else {
        return;
    };
    let view = AccessUnitView {
        avcc,
        length_bytes: length_bytes % 6,
    };
    let whole = nal::avcc(avcc, view.length_bytes).all(|unit| unit.is_ok());
    let mut markers = Vec::new();
    let result = Packetiser::default().packetise_h264(&view, &[avcc, SETS[0]], &mut |payload| {
        assert!((1..=H264_PAYLOAD_MAX_BYTES).contains(&payload.bytes.len()));
        assert!(!payload.keyframe_start || markers.is_empty());
        markers.push(payload.marker);
    });
    assert_eq!(result.is_ok(), whole);
    assert!(whole || markers.is_empty());
    assert_eq!(
        markers.iter().filter(|marker| **marker).count(),
        usize::from(!markers.is_empty())
    );
    assert!(markers.last().is_none_or(|marker| *marker));
    let mut offset = 0;
    for (at, packet) in split_g711(data) {
        assert_eq!(at as usize, offset);
        assert!((1..=160).contains(&packet.len()));
        offset += packet.len();
    }
    assert_eq!(offset, data.len());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let many: Vec<u8> = (0..120u8).map(|at| at.wrapping_mul(37)).collect();
    let clean: Vec<u8> = (0..60u8)
        .map(|at| [0, 1, 90, 7, 2, 255][usize::from(at % 6)] | 6)
        .collect();
    let avcc = [
        &[4, 0, 0, 0, 3, 0x65, 0x88, 1, 0, 0, 0, 4, 0x67, 0x42, 0, 30][..],
        &[0, 0, 0, 1, 0x68],
    ];
    vec![
        many,
        clean,
        avcc.concat(),
        vec![1, 2, 0x41, 0x9a, 1, 0x0c, 3, 0x65, 1, 2],
        vec![0, 2, 200, 1, 1, 100, 4, 0, 9],
        vec![8, 8, 8, 24, 24, 24],
    ]
}
