//! RTP payloads of one track made into frames, for RTMP players and recordings.
//! Owns the order of packets, the frame being put together, and the state of
//! waiting for a key frame. Refuses to give out a picture with a hole, and,
//! after a picture was lost, any that may refer to it. Asking for missing
//! packets and for key frames is done elsewhere; [`Depacketiser::wants_keyframe`]
//! says when.

mod h264;
mod vp8;

#[cfg(test)]
mod tests;

use crate::base::time::{Span, Time};
use crate::proto::media_clock::TickUnwrap;
use crate::proto::reorder::{Placed, Reorder};
use crate::wire::codec::{Codec, VideoCodec};

pub use h264::ParameterSets;

/// A frame as a container takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// RTP timestamp, unwrapped exactly ([`TickUnwrap`]).
    pub timestamp_ticks: u64,
    /// Decodable without an earlier frame; true of all audio.
    pub is_key: bool,
    /// H.264: slices behind four-byte lengths, without parameter sets. Others:
    /// the frame as it is.
    pub data: Vec<u8>,
    /// H.264: the sets in use from this frame on, when they are not those of
    /// the frames before.
    pub parameter_sets_changed: Option<ParameterSets>,
    /// Since the frame given out before, or since the start, something of this
    /// track was lost or left out.
    pub lost_before: bool,
    /// When the frame's first packet arrived.
    pub arrival: Time,
}

/// One packet of the track, as the publisher sent it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub ext_seq: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
}

/// A packet waiting for its turn.
#[derive(Clone, Debug)]
struct Waiting {
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
    arrival: Time,
}

/// The depacketiser of one track. Call [`Depacketiser::poll`] until it has
/// nothing after every packet, and from time to time: a missing packet is given
/// up by the clock of the calls.
#[derive(Clone, Debug)]
pub struct Depacketiser {
    reorder: Reorder<Waiting>,
    clock: TickUnwrap,
    media: Media,
    /// A second frame the last packet finished.
    ready: Option<AccessUnit>,
}

#[derive(Clone, Debug)]
enum Media {
    Audio,
    Video(Box<Video>),
}

impl Depacketiser {
    /// For a track of `codec` that waits at most `wait` for a missing packet.
    pub fn new(codec: Codec, wait: Span) -> Self {
        Depacketiser {
            reorder: Reorder::new(wait),
            clock: TickUnwrap::default(),
            media: match codec {
                Codec::Audio(_) => Media::Audio,
                Codec::Video(codec) => Media::Video(Box::new(Video::new(codec))),
            },
            ready: None,
        }
    }

    /// Takes a packet that arrived at `now`, copying its payload.
    pub fn push(&mut self, packet: Packet<'_>, now: Time) -> Placed {
        let waiting = Waiting {
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: packet.payload.to_vec(),
            arrival: now,
        };
        self.reorder.push(packet.ext_seq, waiting, now)
    }

    /// The next frame complete at `now`.
    pub fn poll(&mut self, now: Time) -> Option<AccessUnit> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        while let Some(popped) = self.reorder.pop(now) {
            let packet = popped.item;
            let ticks = self.clock.count_of(packet.timestamp);
            let finished = match &mut self.media {
                Media::Audio => [audio_frame(packet, ticks, popped.lost_before), None],
                Media::Video(video) => video.packet(&packet, ticks, popped.lost_before),
            };
            match finished {
                [Some(first), second] => {
                    self.ready = second;
                    return Some(first);
                }
                [None, Some(only)] => return Some(only),
                [None, None] => {}
            }
        }
        None
    }

    /// Whether the track stands still until its sender makes a key frame.
    pub fn wants_keyframe(&self) -> bool {
        match &self.media {
            Media::Audio => false,
            Media::Video(video) => video.waits_for_key,
        }
    }
}

/// A packet is a frame (RFC 7587 section 4.2, RFC 3551 section 4.5.14). One
/// without payload is a probe.
fn audio_frame(packet: Waiting, ticks: u64, lost_before: bool) -> Option<AccessUnit> {
    (!packet.payload.is_empty()).then_some(AccessUnit {
        timestamp_ticks: ticks,
        is_key: true,
        data: packet.payload,
        parameter_sets_changed: None,
        lost_before,
        arrival: packet.arrival,
    })
}

/// What makes pictures of payloads.
#[derive(Clone, Debug)]
enum Assembler {
    H264(h264::Assembler),
    Vp8(vp8::Assembler),
}

/// A payload that has no place in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Broken;

/// What the packets of one timestamp amounted to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Assembled {
    /// No picture: probes, delimiters, parameter sets.
    Nothing,
    Broken,
    Picture(Picture),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Picture {
    data: Vec<u8>,
    is_key: bool,
    parameter_sets_changed: Option<ParameterSets>,
}

#[derive(Clone, Debug)]
struct Video {
    assembler: Assembler,
    /// The picture being put together.
    current: Option<Current>,
    /// The next packet may be from the middle of a picture: it is the first, or
    /// the one before it was lost.
    is_uncertain: bool,
    waits_for_key: bool,
    /// A picture was left out since the last one given out.
    left_out: bool,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    ticks: u64,
    arrival: Time,
    is_broken: bool,
}

impl Video {
    fn new(codec: VideoCodec) -> Self {
        Video {
            assembler: match codec {
                VideoCodec::H264 => Assembler::H264(h264::Assembler::default()),
                VideoCodec::Vp8 => Assembler::Vp8(vp8::Assembler::default()),
            },
            current: None,
            is_uncertain: true,
            waits_for_key: true,
            left_out: false,
        }
    }

    /// Takes the next packet in order; the pictures it finished. A picture ends
    /// with the marker, or, for senders that forget it, where the next
    /// timestamp follows without a gap.
    fn packet(&mut self, packet: &Waiting, ticks: u64, lost: bool) -> [Option<AccessUnit>; 2] {
        let mut finished = [None, None];
        if lost {
            self.lose();
        } else if self.current.is_some_and(|current| current.ticks != ticks) {
            finished[0] = self.finish();
        }
        // Probes without payload stand between pictures.
        if !packet.payload.is_empty() {
            self.add(packet, ticks);
        }
        if packet.marker {
            finished[1] = self.finish();
        }
        finished
    }

    fn add(&mut self, packet: &Waiting, ticks: u64) {
        let payload = packet.payload.as_slice();
        let is_broken = self.is_uncertain && !self.assembler.surely_begins(payload);
        let current = self.current.get_or_insert(Current {
            ticks,
            arrival: packet.arrival,
            is_broken,
        });
        if !current.is_broken {
            current.is_broken = self.assembler.add(payload).is_err();
        }
    }

    /// Packets are missing: what was begun has a hole, and what follows may
    /// refer to what is missing.
    fn lose(&mut self) {
        self.assembler.discard();
        self.current = None;
        self.is_uncertain = true;
        self.waits_for_key = true;
        self.left_out = true;
    }

    fn finish(&mut self) -> Option<AccessUnit> {
        let current = self.current.take()?;
        self.is_uncertain = false;
        let assembled = match current.is_broken {
            true => Assembled::Broken,
            false => self.assembler.finish(),
        };
        let picture = match assembled {
            Assembled::Nothing => return None,
            Assembled::Picture(picture) if picture.is_key || !self.waits_for_key => picture,
            Assembled::Broken | Assembled::Picture(_) => {
                self.assembler.discard();
                self.waits_for_key = true;
                self.left_out = true;
                return None;
            }
        };
        self.waits_for_key = false;
        self.assembler.given_out();
        Some(AccessUnit {
            timestamp_ticks: current.ticks,
            is_key: picture.is_key,
            data: picture.data,
            parameter_sets_changed: picture.parameter_sets_changed,
            lost_before: std::mem::take(&mut self.left_out),
            arrival: current.arrival,
        })
    }
}

impl Assembler {
    /// Whether a payload is the first of its picture whatever came before.
    fn surely_begins(&self, payload: &[u8]) -> bool {
        match self {
            Assembler::H264(_) => h264::surely_begins(payload),
            Assembler::Vp8(_) => vp8::surely_begins(payload),
        }
    }

    fn add(&mut self, payload: &[u8]) -> Result<(), Broken> {
        match self {
            Assembler::H264(assembler) => assembler.add(payload),
            Assembler::Vp8(assembler) => assembler.add(payload),
        }
    }

    fn finish(&mut self) -> Assembled {
        match self {
            Assembler::H264(assembler) => assembler.finish(),
            Assembler::Vp8(assembler) => assembler.finish(),
        }
    }

    /// Drops what was begun.
    fn discard(&mut self) {
        match self {
            Assembler::H264(assembler) => assembler.discard(),
            Assembler::Vp8(assembler) => assembler.discard(),
        }
    }

    /// The picture last finished reaches the reader, and its sets with it.
    fn given_out(&mut self) {
        if let Assembler::H264(assembler) = self {
            assembler.given_out();
        }
    }
}
