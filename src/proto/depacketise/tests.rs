use super::*;
use crate::base::limits::{FRAME_MAX_BYTES, REORDER_WAIT_PLAYER};
use crate::proto::packetise::{AccessUnitView, Packetiser};
use crate::wire::codec::AudioCodec;
use crate::wire::nal;

const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
const IDR: &[u8] = &[0x65, 0x88, 0x84];
const SLICE: &[u8] = &[0x41, 0x9a, 7];

fn ms(ms: u64) -> Time {
    Time::from_us(ms * 1_000)
}

/// A depacketiser and a sender that numbers its packets.
struct Line {
    depacketiser: Depacketiser,
    next: u64,
    now: Time,
    out: Vec<AccessUnit>,
}

impl Line {
    fn new(codec: Codec) -> Self {
        Line {
            depacketiser: Depacketiser::new(codec, REORDER_WAIT_PLAYER),
            next: 65_530,
            now: ms(0),
            out: Vec::new(),
        }
    }

    fn h264() -> Self {
        Self::new(Codec::Video(VideoCodec::H264))
    }

    fn vp8() -> Self {
        Self::new(Codec::Video(VideoCodec::Vp8))
    }

    fn at(&mut self, ext_seq: u64, timestamp: u32, marker: bool, payload: &[u8]) {
        let packet = Packet {
            ext_seq,
            timestamp,
            marker,
            payload,
        };
        self.depacketiser.push(packet, self.now);
        self.poll();
    }

    fn send(&mut self, timestamp: u32, marker: bool, payload: &[u8]) {
        self.at(self.next, timestamp, marker, payload);
        self.next += 1;
    }

    fn lose(&mut self) {
        self.next += 1;
    }

    fn poll(&mut self) {
        while let Some(unit) = self.depacketiser.poll(self.now) {
            self.out.push(unit);
        }
    }

    /// Lets the wait for missing packets end.
    fn wait(&mut self) {
        self.now = self.now + REORDER_WAIT_PLAYER;
        self.poll();
    }

    /// A key frame of H.264 as browsers send it.
    fn key(&mut self, timestamp: u32) {
        self.send(timestamp, false, &stap(&[SPS, PPS]));
        self.send(timestamp, true, IDR);
    }

    /// Timestamps given out so far.
    fn times(&self) -> Vec<u32> {
        self.out
            .iter()
            .map(|unit| unit.timestamp_ticks as u32)
            .collect()
    }
}

fn stap(units: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for unit in units {
        payload.extend((unit.len() as u16).to_be_bytes());
        payload.extend(*unit);
    }
    payload
}

fn avcc(units: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::new();
    for unit in units {
        nal::write_avcc(&mut data, unit);
    }
    data
}

#[test]
fn pictures_of_every_packet_type() {
    let mut line = Line::h264();
    assert!(line.depacketiser.wants_keyframe());
    line.send(0, false, &stap(&[&[9, 0xf0], SPS, PPS]));
    line.send(0, false, &[0x7c, 0x85, 0x88]);
    line.send(0, false, &[0x7c, 0x05, 1]);
    line.send(0, false, &[0x7c, 0x45, 2]);
    line.send(0, true, &[12, 0xff]);
    line.send(3_000, true, &stap(&[&[6, 5, 1], SLICE, SLICE]));
    assert!(!line.depacketiser.wants_keyframe());
    let sets = ParameterSets {
        sps: vec![SPS.to_vec()],
        pps: vec![PPS.to_vec()],
    };
    let key = AccessUnit {
        timestamp_ticks: 1 << 32,
        is_key: true,
        data: avcc(&[&[0x65, 0x88, 1, 2]]),
        parameter_sets_changed: Some(sets),
        lost_before: false,
        arrival: ms(0),
    };
    let inter = AccessUnit {
        timestamp_ticks: (1 << 32) + 3_000,
        is_key: false,
        data: avcc(&[SLICE, SLICE]),
        parameter_sets_changed: None,
        lost_before: false,
        arrival: ms(0),
    };
    assert_eq!(line.out, [key, inter]);
}

#[test]
fn what_comes_in_fragments_is_what_it_would_be_in_one_piece() {
    let other_sps: &[u8] = &[0x67, 0x42, 0xc0, 0x20, 0x8c, 0x8d];
    let mut line = Line::h264();
    line.key(0);
    // A set, a delimiter and two slices, each in two pieces.
    for unit in [other_sps, &[9, 0xf0, 0], IDR, IDR] {
        let (first, last) = unit[1..].split_at(1);
        let [indicator, header] = [unit[0] & 0xe0 | 28, unit[0] & 0x1f];
        line.send(3_000, false, &[&[indicator, 0x80 | header], first].concat());
        line.send(3_000, false, &[&[indicator, 0x40 | header], last].concat());
    }
    line.send(3_000, true, PPS);
    let unit = &line.out[1];
    assert_eq!(unit.data, avcc(&[IDR, IDR]));
    let sets = unit.parameter_sets_changed.as_ref().unwrap();
    assert_eq!(sets.sps, [other_sps]);
    assert_eq!(sets.pps, [PPS]);
}

#[test]
fn a_picture_ends_with_the_timestamp_where_markers_are_forgotten() {
    let mut line = Line::h264();
    line.send(0, false, &stap(&[SPS, PPS]));
    line.send(0, false, IDR);
    line.send(3_000, false, SLICE);
    line.send(6_000, true, SLICE);
    assert_eq!(line.times(), [0, 3_000, 6_000]);
}

#[test]
fn reordered_and_doubled_packets_make_the_same_pictures() {
    let mut line = Line::h264();
    line.at(9, 0, false, &stap(&[SPS, PPS]));
    line.at(11, 3_000, false, SLICE);
    line.at(12, 3_000, true, SLICE);
    line.at(11, 3_000, false, IDR);
    assert!(line.times().is_empty());
    line.at(10, 0, true, IDR);
    assert_eq!(line.times(), [0, 3_000]);
    assert_eq!(line.out[1].data, avcc(&[SLICE, SLICE]));
    line.at(10, 0, true, IDR);
    assert_eq!(line.out.len(), 2);
}

#[test]
fn a_hole_waits_for_the_next_key_frame() {
    let mut line = Line::h264();
    line.key(0);
    line.send(3_000, false, SLICE);
    line.lose();
    line.send(6_000, true, SLICE);
    line.send(9_000, true, SLICE);
    assert_eq!(line.times(), [0]);
    assert!(!line.depacketiser.wants_keyframe());
    line.wait();
    assert!(line.depacketiser.wants_keyframe());
    line.send(12_000, true, SLICE);
    line.key(15_000);
    line.send(18_000, true, SLICE);
    assert_eq!(line.times(), [0, 15_000, 18_000]);
    let lost: Vec<bool> = line.out.iter().map(|unit| unit.lost_before).collect();
    assert_eq!(lost, [false, true, false]);
}

#[test]
fn a_key_frame_right_behind_a_loss_counts_when_it_surely_begins_there() {
    let mut line = Line::h264();
    line.key(0);
    line.lose();
    line.key(3_000);
    line.wait();
    assert_eq!(line.times(), [0, 3_000]);
    // The packet lost may have been its parameter sets, or its first slice.
    line.lose();
    line.send(6_000, true, IDR);
    line.wait();
    line.send(9_000, true, SLICE);
    assert_eq!(line.times(), [0, 3_000]);
    assert!(line.depacketiser.wants_keyframe());
    // The next one has a whole picture before it.
    line.send(12_000, true, IDR);
    assert_eq!(line.times(), [0, 3_000, 12_000]);
}

#[test]
fn joining_amid_a_key_frame_gives_nothing_of_it() {
    let mut line = Line::h264();
    line.send(0, false, PPS);
    line.send(0, true, IDR);
    line.send(3_000, true, SLICE);
    assert!(line.times().is_empty());
    line.key(6_000);
    assert_eq!(line.times(), [6_000]);
    assert!(line.out[0].lost_before);
}

#[test]
fn fragments_out_of_rule_break_the_picture() {
    let confused: [&[&[u8]]; 10] = [
        // Both bits; no start; started twice; another type inside.
        &[&[0x5c, 0xc1, 1]],
        &[&[0x5c, 0x01, 1], &[0x5c, 0x41, 1]],
        &[&[0x5c, 0x81, 1], &[0x5c, 0x81, 1], &[0x5c, 0x41, 1]],
        &[&[0x5c, 0x81, 1], &[0x5c, 0x45, 1]],
        // No end; another unit between; a header cut off.
        &[&[0x5c, 0x81, 1]],
        &[&[0x5c, 0x81, 1], SLICE, &[0x5c, 0x41, 1]],
        &[&[0x5c]],
        // A nested packet; a damaged unit; lengths past the end.
        &[&[0x5c, 0x98, 1], &[0x5c, 0x58, 1]],
        &[&[0xc1, 0x9a]],
        &[&[0x78, 0, 9, 0x41]],
    ];
    for payloads in confused {
        let mut line = Line::h264();
        line.key(0);
        for (at, payload) in payloads.iter().enumerate() {
            line.send(3_000, at + 1 == payloads.len(), payload);
        }
        line.send(6_000, true, SLICE);
        assert_eq!(line.times(), [0], "{payloads:02x?}");
        assert!(line.depacketiser.wants_keyframe());
        line.key(9_000);
        assert_eq!(line.times(), [0, 9_000], "{payloads:02x?}");
    }
}

#[test]
fn parameter_sets_are_told_when_they_change() {
    let other_sps: &[u8] = &[0x67, 0x42, 0xc0, 0x20, 0x8c, 0x8d];
    let second_pps: &[u8] = &[0x68, 0x5e];
    let mut line = Line::h264();
    line.key(0);
    line.key(1);
    line.send(2, false, second_pps);
    line.send(2, true, SLICE);
    line.send(3, true, &stap(&[other_sps, PPS, IDR]));
    // Sets under a timestamp of their own.
    line.send(4, true, &stap(&[SPS, PPS]));
    line.send(5, true, IDR);
    let told: Vec<_> = line
        .out
        .iter()
        .filter_map(|unit| {
            let sets = unit.parameter_sets_changed.as_ref()?;
            Some((
                unit.timestamp_ticks as u32,
                sets.sps[0].clone(),
                sets.pps.len(),
            ))
        })
        .collect();
    let expected = [
        (0, SPS.to_vec(), 1),
        (2, SPS.to_vec(), 2),
        (3, other_sps.to_vec(), 1),
        (5, SPS.to_vec(), 1),
    ];
    assert_eq!(told, expected);
    assert_eq!(line.times(), [0, 1, 2, 3, 5]);
}

#[test]
fn sets_of_a_picture_left_out_are_told_with_the_next() {
    let mut line = Line::h264();
    line.send(0, false, &stap(&[SPS, PPS]));
    line.send(0, true, SLICE);
    assert!(line.times().is_empty());
    line.send(3_000, true, IDR);
    assert!(line.out[0].parameter_sets_changed.is_some());
}

#[test]
fn without_parameter_sets_there_is_no_picture() {
    let mut line = Line::h264();
    line.send(0, true, &[9, 0xf0]);
    line.send(3_000, true, IDR);
    assert!(line.times().is_empty());
    assert!(line.depacketiser.wants_keyframe());
}

#[test]
fn probes_without_payload_are_no_loss() {
    let mut line = Line::h264();
    line.key(0);
    line.send(0, false, &[]);
    line.send(0, false, &[]);
    line.send(3_000, true, SLICE);
    assert_eq!(line.times(), [0, 3_000]);
}

#[test]
fn a_picture_without_end_is_bounded() {
    let mut line = Line::h264();
    line.key(0);
    let body = [&[0x5c, 0x01][..], &[7; 1_400]].concat();
    let first = [&[0x5c, 0x81][..], &[7; 1_400]].concat();
    line.send(3_000, false, &first);
    for _ in 0..FRAME_MAX_BYTES / 1_400 + 1 {
        line.send(3_000, false, &body);
    }
    line.send(3_000, true, &[0x5c, 0x41, 7]);
    assert_eq!(line.times(), [0]);
    assert!(line.depacketiser.wants_keyframe());
}

const VP8_KEY: [u8; 10] = [0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];

#[test]
fn vp8_frames_by_their_descriptors() {
    let mut line = Line::vp8();
    let first = [&[0x90, 0x80, 0x11][..], &VP8_KEY].concat();
    line.send(0, false, &first);
    // The next partition begins, and goes on.
    line.send(0, false, &[0x91, 0x80, 0x11, 5]);
    line.send(0, true, &[0x81, 0x80, 0x11, 6]);
    line.send(3_000, true, &[0x10, 0x11, 2, 0]);
    let whole = [&VP8_KEY[..], &[5, 6]].concat();
    assert_eq!(line.times(), [0, 3_000]);
    assert_eq!((&line.out[0].data, line.out[0].is_key), (&whole, true));
    assert_eq!(
        (&line.out[1].data[..], line.out[1].is_key),
        (&[0x11, 2, 0][..], false)
    );
}

#[test]
fn vp8_waits_for_a_key_frame_after_a_hole() {
    let key = [&[0x10][..], &VP8_KEY].concat();
    let broken: [&[&[u8]]; 5] = [
        // No begin; begun twice; an empty part; a descriptor cut off; a key
        // frame without its start code.
        &[&[0x00, 1, 2, 3]],
        &[&[0x10, 1, 2, 3], &[0x10, 1, 2, 3]],
        &[&[0x10]],
        &[&[0x90, 0x80]],
        &[&[0x10, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0]],
    ];
    for payloads in broken {
        let mut line = Line::vp8();
        line.send(0, true, &key);
        for (at, payload) in payloads.iter().enumerate() {
            line.send(3_000, at + 1 == payloads.len(), payload);
        }
        line.send(6_000, true, &[0x10, 0x11, 2, 0]);
        assert_eq!(line.times(), [0], "{payloads:02x?}");
        assert!(line.depacketiser.wants_keyframe());
        line.send(9_000, true, &key);
        assert_eq!(line.times(), [0, 9_000]);
    }
    let mut line = Line::vp8();
    line.send(0, true, &key);
    line.lose();
    line.send(3_000, true, &[0x00, 1, 2]);
    line.send(6_000, true, &[0x10, 0x11, 2, 0]);
    line.wait();
    line.send(9_000, true, &key);
    assert_eq!(line.times(), [0, 9_000]);
}

#[test]
fn audio_packets_are_frames_and_gaps_are_told() {
    let mut line = Line::new(Codec::Audio(AudioCodec::Opus));
    line.send(u32::MAX, false, &[0xfc, 1]);
    line.send(959, true, &[0xfc, 2]);
    line.lose();
    line.send(2_879, false, &[0xfc, 3]);
    line.send(3_839, false, &[]);
    line.wait();
    assert_eq!(line.times(), [u32::MAX, 959, 2_879]);
    assert_eq!(
        line.out[1].timestamp_ticks - line.out[0].timestamp_ticks,
        960
    );
    let lost: Vec<bool> = line.out.iter().map(|unit| unit.lost_before).collect();
    assert_eq!(lost, [false, false, true]);
    assert!(line.out.iter().all(|unit| unit.is_key));
    assert!(!line.depacketiser.wants_keyframe());
}

#[test]
fn what_is_packetised_comes_back() {
    let mut line = Line::h264();
    let mut packetiser = Packetiser::default();
    let mut sent = Vec::new();
    for picture in 0..200u32 {
        let header: u8 = if picture % 50 == 0 { 0x65 } else { 0x41 };
        let slices: Vec<Vec<u8>> = (0..picture % 4 + 1)
            .map(|slice| {
                let len = (picture * 97 + slice * 1_177) % 5_000 + 1;
                [vec![header], vec![slice as u8; len as usize]].concat()
            })
            .collect();
        let data = avcc(&slices.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let view = AccessUnitView {
            avcc: &data,
            length_bytes: 4,
        };
        let mut packets = Vec::new();
        packetiser
            .packetise_h264(&view, &[SPS, PPS], &mut |payload| {
                packets.push((payload.bytes.to_vec(), payload.marker));
            })
            .unwrap();
        // The second half of the packets comes before the first.
        let first = line.next;
        let half = packets.len() / 2 * usize::from(picture > 0);
        for (at, (payload, marker)) in packets.iter().enumerate().skip(half) {
            line.at(first + at as u64, picture * 3_000, *marker, payload);
        }
        for (at, (payload, marker)) in packets.iter().enumerate().take(half) {
            line.at(first + at as u64, picture * 3_000, *marker, payload);
        }
        line.next += packets.len() as u64;
        sent.push(data);
    }
    let received: Vec<Vec<u8>> = line.out.into_iter().map(|unit| unit.data).collect();
    assert_eq!(received, sent);
}
