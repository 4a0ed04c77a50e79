//! The hot path: one received packet to one viewer. It costs a header of its
//! own and one encryption, straight from the publication's window into the
//! viewer's send train.

use crate::base::limits::CATCH_UP_BURST_PACKETS;
use crate::base::slab::Key;
use crate::base::snapshot::{Counters, Drop};
use crate::base::time::Time;
use crate::base::trains::Trains;
use crate::proto::rtx_window::Meta;
use crate::room::peer::Peer;
use crate::room::publication::{Arrived, Publication};
use crate::room::relay::{News, Relay, Relayed, Relays};
use crate::room::subscription::{DownTrack, Subscription, Withheld};
use crate::room::track::Kind;
use crate::wire::rtp::{self, EgressExtensions, EgressHeader};

/// Room for a header with every extension we write: 12 bytes, 4 of the block's
/// head, a 16-byte mid, two one-byte elements, padding.
const HEADER_MAX_BYTES: usize = 64;

/// Forwards a packet to one viewer, `padding` bytes longer.
pub fn forward(
    (arrived, meta, payload, padding): (Arrived, &Meta, &[u8], u8),
    peer: &mut Peer,
    trains: &mut Trains,
    counters: &mut Counters,
) {
    match send(peer, arrived, meta, payload, padding, trains) {
        Ok(true) => {
            counters.media_packets_forwarded += 1;
            counters.padding_bytes_sent += u64::from(padding);
        }
        Ok(false) => {}
        Err(reason) => counters.drop(reason),
    }
}

/// One packet to one viewer; `Ok(false)` when the viewer does not take this
/// track. A viewer not connected yet is nobody to forward to.
fn send(
    peer: &mut Peer,
    arrived: Arrived,
    meta: &Meta,
    payload: &[u8],
    padding: u8,
    trains: &mut Trains,
) -> Result<bool, Drop> {
    let Peer {
        transport, role, ..
    } = peer;
    let crate::room::peer::Role::Viewer(subscription) = role else {
        return Ok(false);
    };
    if !subscription.live {
        return Err(Drop::NoSubscriber);
    }
    let Some(track) = subscription.track_mut(arrived.kind) else {
        return Ok(false);
    };
    let out = match track.admit(arrived.ext_seq, meta) {
        Ok(out) => out,
        Err(Withheld::KeyframeGate) => return Err(Drop::KeyframeGate),
        Err(Withheld::BeforeStart) => return Err(Drop::BeforeStart),
        Err(Withheld::CatchingUp) => return Ok(false),
    };
    let Some((path, sender, cursor)) = transport.egress() else {
        return Ok(false);
    };
    let header = EgressHeader {
        marker: meta.marker,
        padding: padding > 0,
        payload_type: track.spec.payload_type,
        sequence: out.sequence,
        timestamp: out.timestamp,
        ssrc: track.ssrc,
    };
    let mut head = [0; HEADER_MAX_BYTES];
    let head_len =
        rtp::write_header(&mut head, &header, &extensions(track, meta)).ok_or(Drop::Malformed)?;
    let head = head.get(..head_len).ok_or(Drop::Malformed)?;
    let total = head_len + payload.len() + usize::from(padding) + sender.tag_len();
    let room = trains.reserve(cursor, path, total).ok_or(Drop::PoolDry)?;
    if let Some(start) = room.get_mut(..head_len) {
        start.copy_from_slice(head);
    }
    match sender.seal_from(track.ssrc, out.index, room, head_len, payload, padding) {
        Ok(_) => {
            track.count_sent(payload.len());
            Ok(true)
        }
        Err(_) => {
            // An index already used: a duplicate that slipped past the window.
            trains.retract(cursor, total);
            Err(Drop::Duplicate)
        }
    }
}

/// Sends the burst due at `now` to a viewer that began with what is kept. A
/// dry pool ends the burst early, and the rest waits for the next one.
pub fn catch_up(
    now: Time,
    peer: &mut Peer,
    publication: &Publication,
    trains: &mut Trains,
    counters: &mut Counters,
) {
    let Some(window) = publication.track(Kind::Video).map(|up| &up.window) else {
        return;
    };
    let (newest, capacity) = (window.highest().unwrap_or(0), window.capacity() as u64);
    let due = peer.subscription().and_then(Subscription::catch_up);
    if !due.is_some_and(|catch_up| catch_up.begin_burst(now)) {
        return;
    }
    let mut sent = 0;
    while sent < CATCH_UP_BURST_PACKETS && trains.free_slots() > 0 {
        let Some(catch_up) = peer.subscription().and_then(Subscription::catch_up) else {
            return;
        };
        let Some(ext_seq) = catch_up.step(newest, capacity) else {
            // Withheld, and out of the window before their turn.
            counters.drop_many(Drop::BeforeStart, catch_up.take_owed());
            return;
        };
        let Some((meta, payload)) = window.get(ext_seq) else {
            continue;
        };
        let was_withheld = catch_up.settle(ext_seq, meta.arrived);
        let kind = Kind::Video;
        let outcome = send(peer, Arrived { kind, ext_seq }, meta, payload, 0, trains);
        match outcome {
            Ok(true) if was_withheld => counters.media_packets_forwarded += 1,
            Ok(true) => counters.catch_up_packets_sent += 1,
            Err(reason) if was_withheld => counters.drop(reason),
            Ok(false) | Err(_) => {}
        }
        sent += 1;
    }
}

fn extensions<'a>(track: &'a DownTrack, meta: &Meta) -> EgressExtensions<'a> {
    let spec = &track.spec;
    // The mid only until the viewer has reported on the SSRC, as libwebrtc does.
    let mid = match (&spec.mid, spec.mid_id, track.latched) {
        (Some(mid), Some(id), false) if mid.len() <= 16 => Some((id, mid.as_bytes())),
        _ => None,
    };
    EgressExtensions {
        mid,
        audio_level: spec.audio_level_id.zip(meta.audio_level),
        orientation: spec.orientation_id.zip(meta.orientation),
    }
}

/// Answers a viewer's request for the packet it knows as `sequence` (RFC 4588):
/// a retransmission has its own SSRC and numbers, so no index is used twice.
/// `Ok(false)`: the viewer negotiated none, and needs a key frame instead.
pub fn resend(
    now: Time,
    peer: &mut Peer,
    publication: &Publication,
    kind: Kind,
    sequence: u16,
    trains: &mut Trains,
) -> Result<bool, Drop> {
    let Peer {
        transport, role, ..
    } = peer;
    let crate::room::peer::Role::Viewer(subscription) = role else {
        return Err(Drop::UnknownStream);
    };
    let track = subscription.track_mut(kind).ok_or(Drop::UnknownStream)?;
    let Some(payload_type) = track.spec.rtx_payload_type else {
        return Ok(false);
    };
    let ext_seq = track.original(sequence).ok_or(Drop::RtxMissing)?;
    let (meta, payload) = publication
        .track(kind)
        .and_then(|up| up.window.get(ext_seq))
        .ok_or(Drop::RtxMissing)?;
    let out = track.numbers_of(ext_seq, meta).ok_or(Drop::RtxMissing)?;
    let Some((path, sender, cursor)) = transport.egress() else {
        return Err(Drop::NoKeys);
    };
    let index = track.next_rtx_index();
    let header = EgressHeader {
        marker: meta.marker,
        padding: false,
        payload_type,
        sequence: index as u16,
        timestamp: out.timestamp,
        ssrc: track.rtx_ssrc,
    };
    let ssrc = track.rtx_ssrc;
    let mut head = [0; HEADER_MAX_BYTES];
    let head_len =
        rtp::write_header(&mut head, &header, &extensions(track, meta)).ok_or(Drop::Malformed)?;
    track.count_retransmitted();
    let total = head_len + 2 + payload.len() + sender.tag_len();
    if !subscription.rtx_budget.take(total, now) {
        return Err(Drop::RtxBudget);
    }
    let room = trains.reserve(cursor, path, total).ok_or(Drop::PoolDry)?;
    let parts = [
        head.get(..head_len).unwrap_or_default(),
        &out.sequence.to_be_bytes(),
        payload,
    ];
    let mut at = 0;
    for part in parts {
        if let Some(place) = room.get_mut(at..at + part.len()) {
            place.copy_from_slice(part);
        }
        at += part.len();
    }
    if sender.protect_rtp(ssrc, index, room, head_len, at).is_err() {
        trains.retract(cursor, total);
        return Err(Drop::Duplicate);
    }
    Ok(true)
}

/// Has the packet `arrived` sent to the publication's replicas.
pub fn relay(
    publication: &Publication,
    arrived: Arrived,
    relays: &mut Relays,
    counters: &mut Counters,
) {
    if publication.relays.is_empty() {
        return;
    }
    let track = publication.track(arrived.kind);
    let Some((meta, payload)) = track.and_then(|track| track.window.get(arrived.ext_seq)) else {
        return;
    };
    for relay in &publication.relays {
        let packet = Relayed {
            replica: relay.replica,
            arrived,
            meta: *meta,
            is_past: false,
        };
        if !relays.push(relay.core, packet, payload) {
            counters.drop(Drop::MailboxFull);
        }
    }
}

/// Tells the replicas what the publisher's clock says.
pub fn relay_clocks(publication: &Publication, relays: &mut Relays) {
    for relay in &publication.relays {
        for kind in Kind::ALL {
            if let Some(clock) = publication.clock(kind) {
                relays.tell(relay, News::Clock(kind, clock));
            }
        }
    }
}

/// Tells the replicas that no key frame is known any more.
pub fn relay_forgotten(publication: &Publication, relays: &mut Relays) {
    for relay in &publication.relays {
        relays.tell(relay, News::ForgetKeyframe);
    }
}

/// Gives a new replica what its viewers may begin with, where a key frame
/// cannot be asked for.
pub fn relay_past(publication: &Publication, relay: &Relay, now: Time, relays: &mut Relays) {
    let Some((keyframe, newest)) = publication.beginning(now) else {
        return;
    };
    let Some(window) = publication.track(Kind::Video).map(|up| &up.window) else {
        return;
    };
    for ext_seq in keyframe.ext_seq..=newest.ext_seq {
        let Some((meta, payload)) = window.get(ext_seq) else {
            continue;
        };
        let packet = Relayed {
            replica: relay.replica,
            arrived: Arrived {
                kind: Kind::Video,
                ext_seq,
            },
            meta: *meta,
            is_past: true,
        };
        if !relays.push(relay.core, packet, payload) {
            return;
        }
    }
}

/// Takes `viewer` out of the fan-out.
pub fn remove_viewer(publication: &mut Publication, viewer: Key<Peer>) {
    publication.viewers.retain(|key| *key != viewer);
}
