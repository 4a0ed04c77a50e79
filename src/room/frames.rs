//! Frames of a browser's publication, put together from the packets in its
//! window: for RTMP players and recordings, which differ in their patience.
//! Owns when the publisher is asked for a key frame again.

use crate::base::time::{Span, Time};
use crate::proto::depacketise::{AccessUnit, Depacketiser, Packet};
use crate::room::publication::{Arrived, Publication};
use crate::room::track::Kind;
use crate::wire::codec::Codec;

/// A key frame still missing after this long is asked for again: the last one
/// may have lost a packet for good.
const ASK_INTERVAL: Span = Span::from_secs(1);

pub struct Frames {
    audio: Option<Depacketiser>,
    video: Option<Depacketiser>,
    asked: Option<Time>,
}

impl Frames {
    /// Of the tracks that have a codec here, each waiting at most `wait` for a
    /// missing packet.
    pub fn new(audio: Option<Codec>, video: Option<Codec>, wait: Span) -> Self {
        let frames = |codec| Depacketiser::new(codec, wait);
        Frames {
            audio: audio.map(frames),
            video: video.map(frames),
            asked: None,
        }
    }

    /// Takes the packet `arrived` of the publication's window.
    pub fn push(&mut self, now: Time, publication: &Publication, arrived: Arrived) {
        let frames = match arrived.kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        };
        let track = publication.track(arrived.kind);
        let packet = track.and_then(|track| track.window.get(arrived.ext_seq));
        if let (Some(frames), Some((meta, payload))) = (frames, packet) {
            let packet = Packet {
                ext_seq: arrived.ext_seq,
                timestamp: meta.timestamp,
                marker: meta.marker,
                payload,
            };
            frames.push(packet, now);
        }
    }

    /// The next frame complete at `now`, sound first. A packet of either track
    /// may be the clock that gives up on the other's hole.
    pub fn poll(&mut self, now: Time) -> Option<(Kind, AccessUnit)> {
        let mut next = |kind| {
            let frames = match kind {
                Kind::Audio => &mut self.audio,
                Kind::Video => &mut self.video,
            };
            Some((kind, frames.as_mut()?.poll(now)?))
        };
        Kind::ALL.into_iter().find_map(&mut next)
    }

    /// Whether the publisher is to be asked for a key frame now.
    pub fn wants_keyframe(&mut self, now: Time) -> bool {
        let wants = self
            .video
            .as_ref()
            .is_some_and(Depacketiser::wants_keyframe);
        if !wants {
            self.asked = None;
            return false;
        }
        let is_due = |at: Time| now.since(at) >= ASK_INTERVAL;
        let asks = self.asked.is_none_or(is_due);
        if asks {
            self.asked = Some(now);
        }
        asks
    }
}
