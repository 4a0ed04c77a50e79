//! What a simulated RTMP client publishes: H.264 that tells what it is, and
//! sound that does, or real sound of another codec. Owns its timestamps, which
//! begin where a test wants them.

use crate::base::time::{Span, Time};
use crate::sim::h264_content::{self, PictureKind};
use crate::wire::amf::{Value, amf0};
use crate::wire::flv;
use crate::wire::nal;
use crate::wire::rtmp::chunk::MessageHeader;
use crate::wire::rtmp::message::{AUDIO, DATA, VIDEO};

/// Bytes of marked sound: number, time, filler.
const MARKED_BYTES: usize = 48;

/// How the sound comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    None,
    /// "Opus" with number and time in it, for who takes it as it is.
    Marked,
    /// Real frames, one after the other and from the beginning again: tag
    /// bodies, behind that of a sequence header if it has one.
    Real {
        header: &'static [u8],
        bodies: &'static [Vec<u8>],
    },
}

/// How somebody encodes.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub sound: Sound,
    pub sound_interval: Span,
    pub has_video: bool,
    pub picture_interval: Span,
    pub picture_bytes: usize,
    pub key_interval: Span,
    /// Every other picture is one.
    pub b_frames: bool,
    /// Timestamp of the first messages.
    pub clock_ms: u32,
    /// Announces its tracks.
    pub announces: bool,
}

impl Encoding {
    /// 30 pictures a second with a key frame every two, and marked sound.
    pub const USUAL: Encoding = Encoding {
        sound: Sound::Marked,
        sound_interval: Span::from_ms(20),
        has_video: true,
        picture_interval: Span::from_us(33_333),
        picture_bytes: 4_000,
        key_interval: Span::from_secs(2),
        b_frames: false,
        clock_ms: 0,
        announces: true,
    };
}

/// A picture as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadePicture {
    pub id: u32,
    pub at: Time,
    pub is_key: bool,
}

pub struct Encoder {
    pub encoding: Encoding,
    pub pictures: Vec<MadePicture>,
    pub sounds: Vec<Time>,
    pub started: Option<Time>,
    /// Sends nothing for now, though its clock goes on.
    pub is_mute: bool,
    stream_id: u32,
    sound_due: Time,
    picture_due: Time,
    key_due: Time,
    next_sound: u32,
    next_picture: u32,
}

/// A message to send.
pub struct Made {
    pub header: MessageHeader,
    pub body: Vec<u8>,
}

impl Encoder {
    pub fn new(encoding: Encoding) -> Self {
        Encoder {
            encoding,
            pictures: Vec::new(),
            sounds: Vec::new(),
            started: None,
            is_mute: false,
            stream_id: 0,
            sound_due: Time::ZERO,
            picture_due: Time::ZERO,
            key_due: Time::ZERO,
            next_sound: 0,
            next_picture: 0,
        }
    }

    /// Numbers begin behind those of other encoders of the same stream.
    pub fn beginning_at(mut self, number: u32) -> Self {
        self.next_sound = number;
        self.next_picture = number;
        self
    }

    /// It may publish: metadata and sequence headers come first.
    pub fn start(&mut self, now: Time, stream_id: u32, made: &mut Vec<Made>) {
        self.started = Some(now);
        self.stream_id = stream_id;
        (self.sound_due, self.picture_due, self.key_due) = (now, now, now);
        if self.encoding.announces {
            let body = metadata(&self.encoding);
            self.make(now, DATA, body, made);
        }
        if self.encoding.has_video {
            let mut body = Vec::new();
            flv::write_avc_sequence_header(&mut body, &h264_content::record());
            self.make(now, VIDEO, body, made);
        }
        let header = match self.encoding.sound {
            Sound::Marked => {
                let mut body = Vec::new();
                let head = flv::OpusHead {
                    channels: 2,
                    pre_skip: 0,
                };
                flv::write_opus_sequence_start(&mut body, &head);
                body
            }
            Sound::Real { header, .. } => header.to_vec(),
            Sound::None => Vec::new(),
        };
        if !header.is_empty() {
            self.make(now, AUDIO, header, made);
        }
    }

    pub fn stop(&mut self) {
        self.started = None;
    }

    pub fn next_due(&self) -> Option<Time> {
        self.started?;
        let sound = (self.encoding.sound != Sound::None).then_some(self.sound_due);
        let picture = self.encoding.has_video.then_some(self.picture_due);
        [sound, picture].into_iter().flatten().min()
    }

    /// What is due at `now`.
    pub fn poll(&mut self, now: Time, made: &mut Vec<Made>) {
        if self.started.is_none() {
            return;
        }
        if self.encoding.sound != Sound::None && now >= self.sound_due {
            let at = self.sound_due;
            self.sound_due = at + self.encoding.sound_interval;
            if !self.is_mute {
                self.send_sound(at, made);
            }
        }
        if self.encoding.has_video && now >= self.picture_due {
            let at = self.picture_due;
            self.picture_due = at + self.encoding.picture_interval;
            if !self.is_mute {
                self.send_picture(at, made);
            }
        }
    }

    fn send_sound(&mut self, at: Time, made: &mut Vec<Made>) {
        let id = self.next_sound;
        self.next_sound += 1;
        self.sounds.push(at);
        let body = match self.encoding.sound {
            Sound::Real { bodies, .. } => {
                let count = bodies.len().max(1);
                let body = bodies.get(id as usize % count);
                body.cloned().unwrap_or_default()
            }
            _ => {
                let mut body = Vec::new();
                flv::write_opus_frame(&mut body, &marked_sound(id, at));
                body
            }
        };
        self.make(at, AUDIO, body, made);
    }

    fn send_picture(&mut self, at: Time, made: &mut Vec<Made>) {
        let id = self.next_picture;
        self.next_picture += 1;
        let is_key = at >= self.key_due;
        let kind = match (is_key, self.encoding.b_frames && id % 2 == 1) {
            (true, _) => PictureKind::Key,
            (false, true) => PictureKind::Bidirectional,
            (false, false) => PictureKind::Predicted,
        };
        let mut len_bytes = self.encoding.picture_bytes;
        if is_key {
            self.key_due = at + self.encoding.key_interval;
            len_bytes *= 3;
        }
        self.pictures.push(MadePicture { id, at, is_key });
        let unit = h264_content::picture(kind, id, at.as_us(), len_bytes);
        let mut data = Vec::new();
        nal::write_avcc(&mut data, &unit);
        // With B-frames the others are shown one interval later.
        let interval_ms = self.encoding.picture_interval.as_ms() as i32;
        let composition_ms = match (self.encoding.b_frames, kind) {
            (false, _) | (true, PictureKind::Bidirectional) => 0,
            (true, _) => 2 * interval_ms,
        };
        let mut body = Vec::new();
        flv::write_avc_frame(&mut body, is_key, composition_ms, &data);
        self.make(at, VIDEO, body, made);
    }

    fn make(&self, at: Time, kind: u8, body: Vec<u8>, made: &mut Vec<Made>) {
        let passed = at.since(self.started.unwrap_or(at)).as_ms();
        let header = MessageHeader {
            timestamp: self.encoding.clock_ms.wrapping_add(passed as u32),
            kind,
            stream_id: self.stream_id,
        };
        made.push(Made { header, body });
    }
}

/// Sound as simulated browsers send it.
pub fn marked_sound(id: u32, at: Time) -> Vec<u8> {
    let mut sound = id.to_be_bytes().to_vec();
    sound.extend(at.as_us().to_be_bytes());
    sound.resize(MARKED_BYTES, id as u8);
    sound
}

fn metadata(encoding: &Encoding) -> Vec<u8> {
    let mut properties = vec![
        ("width".to_string(), Value::Number(320.0)),
        ("height".to_string(), Value::Number(240.0)),
    ];
    if encoding.has_video {
        properties.push(("videocodecid".to_string(), Value::Number(7.0)));
    }
    if encoding.sound != Sound::None {
        properties.push(("audiocodecid".to_string(), Value::Number(10.0)));
    }
    let mut body = Vec::new();
    amf0::write(&mut body, &Value::String("@setDataFrame".to_string()));
    amf0::write(&mut body, &Value::String("onMetaData".to_string()));
    amf0::write(&mut body, &Value::EcmaArray(properties));
    body
}
