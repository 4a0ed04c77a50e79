//! A turn that received much for many: what goes out is far more than the pool
//! of trains holds at once, and nothing of it is dropped or out of order.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[allow(dead_code, reason = "each user takes its part")]
#[path = "../benches/shared/guest.rs"]
mod guest;
#[allow(dead_code, reason = "each user takes its part")]
#[path = "../benches/shared/hall.rs"]
mod hall;
#[allow(dead_code, reason = "each user takes its part")]
#[path = "../benches/shared/stage.rs"]
mod stage;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ringhall::base::limits::{TRAIN_MAX_BYTES, TRAINS_FLUSH, TRAINS_MAX};
use ringhall::base::snapshot::Drop;
use ringhall::wire::codec::VideoCodec;
use ringhall::wire::demux;

use guest::Part;
use hall::{Hall, Nobody, path_of};
use stage::{PAYLOAD_BYTES, Stage};

/// Publishers, each with a room of its own.
const ROOMS: usize = 2;
const VIEWERS: usize = 300;
/// What each publisher's burst holds, one turn's worth of datagrams for both.
const PACKETS: usize = 128;

// More than all trains there are.
const _: () = assert!(ROOMS * VIEWERS * PACKETS * PAYLOAD_BYTES / TRAIN_MAX_BYTES > TRAINS_MAX);

/// Sends frames of both rooms, packet by packet in turns; what left, by where
/// it went, and the most trains that left at once.
fn burst(
    hall: &mut Hall<Nobody>,
    stages: &mut [Stage],
    is_key: bool,
) -> (BTreeMap<SocketAddr, Vec<Vec<u8>>>, usize) {
    let mut frames: Vec<Vec<Vec<u8>>> = Vec::new();
    for (room, stage) in stages.iter_mut().enumerate() {
        let publisher = hall.guests.get_mut(&(room * (VIEWERS + 1))).unwrap();
        frames.push(stage.frame(publisher, PACKETS, is_key).unwrap());
    }
    for at in 0..PACKETS {
        for (room, frame) in frames.iter_mut().enumerate() {
            hall.receive(room * (VIEWERS + 1), &mut frame[at]);
        }
    }
    let mut went: BTreeMap<SocketAddr, Vec<Vec<u8>>> = BTreeMap::new();
    let (mut taken, mut most) = (Vec::new(), 0);
    hall.finish_turn(|trains| {
        trains.take(&mut taken);
        most = most.max(taken.len());
        for train in taken.drain(..) {
            let datagrams = trains.bytes(&train).chunks(train.segment_bytes);
            let media = datagrams.filter(|bytes| demux::classify(bytes) == demux::Kind::Rtp);
            let media = media.map(<[u8]>::to_vec);
            went.entry(train.path.remote).or_default().extend(media);
            trains.release(train);
        }
    });
    (went, most)
}

#[test]
fn a_burst_to_six_hundred_viewers_arrives_whole_and_in_order() {
    let mut hall = Hall::new(Nobody).unwrap();
    for room in 0..ROOMS {
        let part = Part::Publisher(VideoCodec::Vp8);
        hall.enter(part, room * (VIEWERS + 1), &format!("room {room}"));
    }
    hall.connect().unwrap();
    for number in (0..ROOMS * (VIEWERS + 1)).filter(|number| number % (VIEWERS + 1) != 0) {
        let room = number / (VIEWERS + 1);
        let part = Part::Viewer(room * (VIEWERS + 1));
        hall.enter(part, number, &format!("room {room}"));
    }
    hall.connect().unwrap();
    let mut stages = [Stage::default(), Stage::default()];
    burst(&mut hall, &mut stages, true);
    let before = hall.snapshot().counters;
    let (mut went, most) = burst(&mut hall, &mut stages, false);
    let counters = hall.snapshot().counters;
    let forwarded = counters.media_packets_forwarded - before.media_packets_forwarded;
    assert_eq!(forwarded as usize, ROOMS * VIEWERS * PACKETS);
    assert_eq!(counters.dropped(Drop::PoolDry), 0);
    assert_eq!(counters.drops, before.drops);
    // One viewer's packets may come on top of what is sent at once.
    assert!(most <= 2 * TRAINS_FLUSH, "{most} trains at once");
    for (number, viewer) in &mut hall.guests {
        if number % (VIEWERS + 1) == 0 {
            continue;
        }
        let packets = went.get_mut(&path_of(*number).remote).unwrap();
        assert_eq!(packets.len(), PACKETS, "viewer {number}");
        let mut last: Option<u16> = None;
        for packet in packets {
            let (header, payload) = viewer.open(packet).unwrap();
            assert_eq!(payload.len(), PAYLOAD_BYTES);
            let expected = last.map_or(header.sequence, |last| last.wrapping_add(1));
            assert_eq!(header.sequence, expected, "viewer {number}");
            last = Some(header.sequence);
        }
    }
}

#[test]
fn when_the_publisher_leaves_everybody_is_told_a_few_at_a_time() {
    let mut hall = Hall::new(Nobody).unwrap();
    hall.enter(Part::Publisher(VideoCodec::Vp8), 0, "room");
    hall.connect().unwrap();
    for number in 1..=VIEWERS {
        hall.enter(Part::Viewer(0), number, "room");
    }
    hall.connect().unwrap();
    hall.leave(0);
    let mut told: BTreeMap<SocketAddr, Vec<demux::Kind>> = BTreeMap::new();
    let (mut taken, mut most) = (Vec::new(), 0);
    hall.finish_turn(|trains| {
        trains.take(&mut taken);
        most = most.max(taken.len());
        for train in taken.drain(..) {
            let kinds = trains.bytes(&train).chunks(train.segment_bytes);
            let kinds = kinds.map(demux::classify);
            told.entry(train.path.remote).or_default().extend(kinds);
            trains.release(train);
        }
    });
    for number in 1..=VIEWERS {
        let kinds = &told[&path_of(number).remote];
        let bye_and_alert = [demux::Kind::Rtcp, demux::Kind::Dtls];
        assert_eq!(*kinds, bye_and_alert, "viewer {number}");
    }
    // The last of them may say two things more.
    assert!(most <= TRAINS_FLUSH + 2, "{most} trains at once");
    let left = hall.snapshot().gauges;
    assert_eq!(
        (left.publications, left.subscriptions, left.transports),
        (0, 0, 0)
    );
}
