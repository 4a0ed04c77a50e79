//! Pictures and sound to send: two seconds of each, encoded once by ffmpeg
//! (`content/make.py`), cut into RTP payloads as browsers cut them, and played
//! over and over. A loop begins with a key frame.

use crate::wire::codec::VideoCodec;

/// Payload of an RTP packet at most: with its header and stamp 1,200 bytes.
const PAYLOAD_MAX_BYTES: usize = 1_160;
/// Frames a second.
pub const FRAME_RATE: u64 = 30;
pub const SOUND_RATE: u64 = 50;

const H264_HIGH: &[u8] = include_bytes!("content/h264_2500.units");
const H264_LOW: &[u8] = include_bytes!("content/h264_300.units");
const VP8_HIGH: &[u8] = include_bytes!("content/vp8_2500.units");
const VP8_LOW: &[u8] = include_bytes!("content/vp8_300.units");
const OPUS: &[u8] = include_bytes!("content/opus_38.units");
/// Below this the small pictures are sent.
const LOW_BELOW_KBPS: u32 = 1_000;

/// RTP payloads of one frame, in order.
pub type Frame = Vec<Vec<u8>>;

/// NAL units of one H.264 picture.
type Picture = Vec<&'static [u8]>;

pub struct Content {
    pub video: Vec<Frame>,
    pub sound: Vec<Vec<u8>>,
    /// The same pictures uncut, for RTMP; H.264 only.
    pictures: Vec<Picture>,
}

impl Content {
    pub fn new(codec: Option<VideoCodec>, kbps: u32) -> Self {
        let is_low = kbps < LOW_BELOW_KBPS;
        let video = match (codec, is_low) {
            (None, _) => Vec::new(),
            (Some(VideoCodec::H264), false) => frames(H264_HIGH, h264),
            (Some(VideoCodec::H264), true) => frames(H264_LOW, h264),
            (Some(VideoCodec::Vp8), false) => frames(VP8_HIGH, vp8),
            (Some(VideoCodec::Vp8), true) => frames(VP8_LOW, vp8),
        };
        let sound = units(OPUS)
            .into_iter()
            .flatten()
            .map(<[u8]>::to_vec)
            .collect();
        let pictures = match codec {
            Some(VideoCodec::H264) if is_low => units(H264_LOW),
            Some(VideoCodec::H264) => units(H264_HIGH),
            _ => Vec::new(),
        };
        Content {
            video,
            sound,
            pictures,
        }
    }

    /// A picture of the loop, uncut: parameter sets before the key one. Empty
    /// without H.264.
    pub fn picture(&self, number: u64) -> &[&'static [u8]] {
        let at = number % self.pictures.len().max(1) as u64;
        self.pictures.get(at as usize).map_or(&[], Vec::as_slice)
    }

    pub fn frame(&self, number: u64) -> &[Vec<u8>] {
        let at = number % self.video.len().max(1) as u64;
        self.video.get(at as usize).map_or(&[], Vec::as_slice)
    }

    pub fn sound(&self, number: u64) -> &[u8] {
        let at = number % self.sound.len().max(1) as u64;
        self.sound.get(at as usize).map_or(&[], Vec::as_slice)
    }

    /// Frames of a loop, of which the first is a key frame.
    pub fn loop_frames(&self) -> u64 {
        self.video.len().max(1) as u64
    }
}

fn frames(file: &'static [u8], packetise: fn(&[&[u8]]) -> Frame) -> Vec<Frame> {
    units(file).iter().map(|frame| packetise(frame)).collect()
}

/// The file's frames, each in its units: a byte says how many, four the length of
/// each.
fn units(mut file: &'static [u8]) -> Vec<Vec<&'static [u8]>> {
    let mut frames = Vec::new();
    while let Some((count, rest)) = file.split_first() {
        file = rest;
        let mut frame = Vec::new();
        for _ in 0..*count {
            let Some((len, rest)) = file.split_first_chunk() else {
                return frames;
            };
            let len = u32::from_be_bytes(*len) as usize;
            let Some((unit, rest)) = rest.split_at_checked(len) else {
                return frames;
            };
            frame.push(unit);
            file = rest;
        }
        frames.push(frame);
    }
    frames
}

/// RFC 7741 section 4: a descriptor of one byte, and equal pieces.
fn vp8(units: &[&[u8]]) -> Frame {
    let Some(frame) = units.first() else {
        return Frame::new();
    };
    let pieces = evenly(frame, PAYLOAD_MAX_BYTES - 1);
    let begins = |at: usize| if at == 0 { 0x10 } else { 0 };
    let payload = |(at, piece): (usize, &[u8])| [&[begins(at)], piece].concat();
    pieces.enumerate().map(payload).collect()
}

/// RFC 6184: a unit in one packet (section 5.6), or in equal fragments (5.8).
/// Parameter sets go by themselves, not together (5.7.1): what is sent behind a
/// payload would read as one more of them.
fn h264(units: &[&[u8]]) -> Frame {
    let mut frame = Frame::new();
    for unit in units {
        let Some((head, body)) = unit.split_first() else {
            continue;
        };
        if unit.len() <= PAYLOAD_MAX_BYTES {
            frame.push(unit.to_vec());
            continue;
        }
        let pieces: Vec<&[u8]> = evenly(body, PAYLOAD_MAX_BYTES - 2).collect();
        let last = pieces.len().saturating_sub(1);
        for (at, piece) in pieces.into_iter().enumerate() {
            let start = if at == 0 { 0x80 } else { 0 };
            let end = if at == last { 0x40 } else { 0 };
            let indicator = (head & 0xe0) | 28;
            frame.push([&[indicator, start | end | (head & 0x1f)], piece].concat());
        }
    }
    frame
}

/// Pieces whose lengths differ by a byte at most, the longer ones last, as
/// browsers make them.
fn evenly(bytes: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    let count = bytes.len().div_ceil(max).max(1);
    let (short, longer) = (bytes.len() / count, bytes.len() % count);
    let mut rest = bytes;
    (0..count).map(move |at| {
        let len = short + usize::from(at >= count - longer);
        let (piece, others) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        rest = others;
        piece
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{h264, vp8};

    #[test]
    fn a_loop_is_two_seconds_that_begin_with_a_key_frame() {
        for (codec, kbps, low, high) in [
            (VideoCodec::H264, 2_500, 2_300, 2_700),
            (VideoCodec::Vp8, 2_500, 2_300, 2_700),
            (VideoCodec::H264, 300, 250, 350),
            (VideoCodec::Vp8, 300, 250, 350),
        ] {
            let content = Content::new(Some(codec), kbps);
            assert_eq!(content.video.len(), 60);
            let starts = |frame: &Frame| match codec {
                VideoCodec::H264 => h264::keyframe_start(&frame[0]),
                VideoCodec::Vp8 => vp8::keyframe_start(&frame[0]),
            };
            let keys: Vec<usize> = (0..60).filter(|at| starts(&content.video[*at])).collect();
            assert_eq!(keys, [0], "{codec:?}");
            let bits = content
                .video
                .iter()
                .flatten()
                .map(|packet| packet.len() * 8);
            let found = bits.sum::<usize>() / 2_000;
            assert!((low..high).contains(&found), "{codec:?}: {found} kbit/s");
            assert!(
                content
                    .video
                    .iter()
                    .flatten()
                    .all(|p| p.len() <= PAYLOAD_MAX_BYTES)
            );
            assert!(content.video.iter().all(|frame| frame.len() < 256));
        }
        let sound = Content::new(None, 0);
        assert_eq!(sound.sound.len(), 100);
        assert!(sound.sound.iter().all(|packet| packet.len() == 96));
    }

    #[test]
    fn pieces_are_even() {
        let bytes: Vec<u8> = (0..=255).collect();
        let lens: Vec<usize> = evenly(&bytes, 100).map(<[u8]>::len).collect();
        assert_eq!(lens, [85, 85, 86]);
        assert_eq!(evenly(&bytes, 100).flatten().count(), 256);
        assert_eq!(evenly(&[], 10).count(), 1);
    }
}
