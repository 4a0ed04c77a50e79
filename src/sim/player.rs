//! What a simulated RTMP player was given of one stream, and what is wrong with
//! it: pictures with holes, times that go back, sound that comes twice.

use crate::base::time::{Span, Time};
use crate::sim::h264_content;
use crate::wire::bytes::{u32_at, u64_at};
use crate::wire::flv::{self, AudioCodecId, AudioPacket, VideoPacket};
use crate::wire::nal;
use crate::wire::rtmp::chunk::MessageHeader;
use crate::wire::rtmp::message::{AUDIO, DATA, VIDEO};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenPicture {
    pub id: u32,
    pub at: Time,
    pub is_key: bool,
    /// On the wire.
    pub timestamp: u32,
    /// When it was made.
    pub made: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenSound {
    pub at: Time,
    pub timestamp: u32,
    pub codec: AudioCodecId,
    /// Of marked sound: number, and when it was made.
    pub mark: Option<(u32, Time)>,
    /// Of real sound.
    pub frame: Vec<u8>,
}

#[derive(Default)]
pub struct Player {
    pub pictures: Vec<GivenPicture>,
    pub sounds: Vec<GivenSound>,
    /// Sequence headers, in order: of sound with its codec.
    pub sound_headers: Vec<(AudioCodecId, Vec<u8>)>,
    pub video_headers: Vec<Vec<u8>>,
    pub metadata: u32,
    pub violations: Vec<String>,
    /// Most that sound and pictures were apart, against when they were made.
    pub skew_max: Span,
    /// Timestamp less time made, in microseconds, counted on over every wrap.
    offsets_us: [Option<i64>; 2],
    unwrapped: [Option<(u32, i64)>; 2],
    /// Numbers of the last sound and picture of this play.
    last: [Option<u32>; 2],
}

const SOUND: usize = 0;
const PICTURE: usize = 1;

impl Player {
    /// Another play begins on the same message stream: nothing has to go on.
    pub fn begin(&mut self) {
        self.offsets_us = [None; 2];
        self.unwrapped = [None; 2];
        self.last = [None; 2];
    }

    pub fn take(&mut self, now: Time, header: &MessageHeader, body: &[u8]) {
        match header.kind {
            AUDIO => self.take_audio(now, header.timestamp, body),
            VIDEO => self.take_video(now, header.timestamp, body),
            DATA => self.metadata += 1,
            kind => self.violations.push(format!("message of type {kind}")),
        }
    }

    fn take_audio(&mut self, now: Time, timestamp: u32, body: &[u8]) {
        let Ok(tag) = flv::parse_audio(body) else {
            return self.violations.push("unreadable sound".to_string());
        };
        match tag.packet {
            AudioPacket::SequenceHeader(header) => {
                self.sound_headers.push((tag.codec, header.to_vec()));
            }
            AudioPacket::Frame(frame) => self.take_sound(now, timestamp, tag.codec, frame),
            other => self.violations.push(format!("sound: {other:?}")),
        }
    }

    fn take_sound(&mut self, now: Time, timestamp: u32, codec: AudioCodecId, frame: &[u8]) {
        let needs_header = matches!(codec, AudioCodecId::Aac | AudioCodecId::Opus);
        let has_header = self.sound_headers.iter().any(|(of, _)| *of == codec);
        if needs_header && !has_header {
            self.violations.push(format!("{codec:?} before its header"));
        }
        let mark = read_mark(frame).filter(|_| codec == AudioCodecId::Opus);
        if let Some((id, made)) = mark {
            let last = self.last[SOUND].replace(id);
            if last.is_some_and(|last| id <= last) {
                self.violations.push(format!("sound {id} after {last:?}"));
            }
            self.place(SOUND, timestamp, Some(made));
        } else {
            self.place(SOUND, timestamp, None);
        }
        self.sounds.push(GivenSound {
            at: now,
            timestamp,
            codec,
            mark,
            frame: if mark.is_some() {
                Vec::new()
            } else {
                frame.to_vec()
            },
        });
    }

    fn take_video(&mut self, now: Time, timestamp: u32, body: &[u8]) {
        let Ok(tag) = flv::parse_video(body) else {
            return self.violations.push("unreadable picture".to_string());
        };
        match tag.packet {
            VideoPacket::SequenceHeader(header) => self.video_headers.push(header.to_vec()),
            VideoPacket::Frame { data, .. } => self.take_picture(now, timestamp, tag.is_key, data),
            other => self.violations.push(format!("picture: {other:?}")),
        }
    }

    fn take_picture(&mut self, now: Time, timestamp: u32, is_key: bool, data: &[u8]) {
        let mut units = nal::avcc(data, 4).flatten();
        let slice = units.find(|unit| nal::nal_type(unit).is_some_and(nal::is_slice));
        let Some(written) = slice.and_then(h264_content::read) else {
            let at = now.as_us() / 1_000;
            return self
                .violations
                .push(format!("{at} ms: a picture with a hole"));
        };
        if self.video_headers.is_empty() {
            self.violations
                .push("a picture before its header".to_string());
        }
        let last = self.last[PICTURE].replace(written.id);
        let follows = last.map(|last| last + 1);
        if !is_key && follows != Some(written.id) {
            let id = written.id;
            self.violations
                .push(format!("picture {id} where {follows:?} follows"));
        }
        if is_key != written.is_key {
            self.violations
                .push(format!("picture {}: key?", written.id));
        }
        let made = Time::from_us(written.at_us);
        self.place(PICTURE, timestamp, Some(made));
        self.pictures.push(GivenPicture {
            id: written.id,
            at: now,
            is_key,
            timestamp,
            made,
        });
    }

    /// Follows a lane's times, which never go back, and how far apart the lanes
    /// are.
    fn place(&mut self, lane: usize, timestamp: u32, made: Option<Time>) {
        let (last, count) = self.unwrapped[lane].unwrap_or((timestamp, i64::from(timestamp)));
        let step = i64::from(timestamp.wrapping_sub(last) as i32);
        if step < 0 {
            self.violations
                .push(format!("lane {lane}: {last} ms, then {timestamp} ms"));
        }
        self.unwrapped[lane] = Some((timestamp, count + step));
        // The other lane's own wraps are counted from its own beginning.
        let Some(made) = made else {
            return;
        };
        self.offsets_us[lane] = Some((count + step) * 1_000 - made.as_us() as i64);
        if let [Some(sound), Some(picture)] = self.offsets_us {
            // Either may have begun before the wrap.
            let apart = (sound - picture).rem_euclid(1_000 << 32);
            let apart = apart.min((1_000 << 32) - apart);
            self.skew_max = self.skew_max.max(Span::from_us(apart as u64));
        }
    }

    /// Forgets how far apart the lanes were so far.
    pub fn forget_skew(&mut self) {
        self.skew_max = Span::default();
    }

    /// The longest time without a picture, from the first to `until`.
    pub fn longest_gap(&self, until: Time) -> Span {
        longest_gap(self.pictures.iter().map(|picture| picture.at), until)
    }

    /// And without sound.
    pub fn longest_silence(&self, until: Time) -> Span {
        longest_gap(self.sounds.iter().map(|sound| sound.at), until)
    }
}

fn longest_gap(times: impl Iterator<Item = Time> + Clone, until: Time) -> Span {
    let ends = times.clone().skip(1).chain([until]);
    let gaps = times.zip(ends).map(|(from, to)| to.since(from));
    gaps.max().unwrap_or_default()
}

/// Number and time of sound that has them, whoever marked it.
pub fn read_mark(frame: &[u8]) -> Option<(u32, Time)> {
    let (id, made) = (u32_at(frame, 0)?, u64_at(frame, 4)?);
    let is_whole = frame.iter().skip(12).all(|byte| *byte == id as u8);
    (is_whole && frame.len() >= 40).then_some((id, Time::from_us(made)))
}
