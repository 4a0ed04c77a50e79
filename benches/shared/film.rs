//! One stream, made up: H.264 at 30 pictures a second with the sizes of an
//! encoder that keeps to a bitrate, and sound. Made anew from its seed it is
//! the same, so that a recording can be compared with what was sent, byte by
//! byte.

use ringhall::base::random::Noise;
use ringhall::base::time::Time;
use ringhall::record::layout::AudioTrack;
use ringhall::sim::h264_content::{self, PictureKind};

/// Pictures come at 30 a second.
const PICTURES_PER_S: u64 = 30;
/// Pictures from key frame to key frame: browsers make one when asked, encoders
/// every two seconds.
const KEY_EVERY_BROWSER: u32 = 300;
const KEY_EVERY_ENCODER: u32 = 60;
const KEY_BYTES: u64 = 60_000;
/// Of an ordinary picture; one in twenty is twice as large. With a browser's
/// key frames 2 Mbit/s, with an encoder's 2.2.
const PICTURE_BYTES: u64 = 7_700;

/// What the sound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// 20 ms of Opus in each packet, 48 kbit/s: a browser's film.
    Opus,
    /// AAC-LC at 48 kHz, 128 kbit/s: an encoder's.
    Aac,
}

/// AAC-LC, 48 kHz, stereo (ISO/IEC 14496-3 section 1.6.2.1).
pub const AAC_CONFIG: [u8; 2] = [0x11, 0x90];
/// A frame of CELT, 20 ms, stereo (RFC 6716 section 3.1).
const OPUS_TOC: u8 = 0xfc;

impl Sound {
    /// Samples at 48 kHz of one packet.
    pub fn packet_ticks(self) -> u64 {
        match self {
            Sound::Opus => 960,
            Sound::Aac => 1_024,
        }
    }

    /// As a file's track.
    pub fn track(self) -> AudioTrack {
        match self {
            Sound::Opus => AudioTrack::Opus { channels: 2 },
            Sound::Aac => AudioTrack::Aac {
                config: AAC_CONFIG.to_vec(),
                sample_rate: 48_000,
                channels: 2,
            },
        }
    }
}

/// What there is of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    Both,
    Pictures,
    Sound,
}

impl Parts {
    pub fn name(self) -> &'static str {
        match self {
            Parts::Both => "both",
            Parts::Pictures => "pictures",
            Parts::Sound => "sound",
        }
    }
}

pub enum Shot {
    /// One slice, from its header on.
    Picture {
        is_key: bool,
        unit: Vec<u8>,
    },
    Sound(Vec<u8>),
}

pub struct Film {
    pub sound: Sound,
    pub parts: Parts,
    noise: Noise,
    pub pictures: u32,
    pub sounds: u32,
    /// Of pictures and sounds so far.
    pub media_bytes: u64,
}

impl Film {
    pub fn new(seed: u64, sound: Sound) -> Self {
        Film {
            sound,
            parts: Parts::Both,
            noise: Noise::new(seed),
            pictures: 0,
            sounds: 0,
            media_bytes: 0,
        }
    }

    pub fn of(mut self, parts: Parts) -> Self {
        self.parts = parts;
        self
    }

    /// When the next picture or sound is due, in microseconds of the film.
    pub fn next_us(&self) -> u64 {
        self.picture_us().min(self.sound_us())
    }

    fn picture_us(&self) -> u64 {
        if self.parts == Parts::Sound {
            return u64::MAX;
        }
        u64::from(self.pictures) * 1_000_000 / PICTURES_PER_S
    }

    fn sound_us(&self) -> u64 {
        if self.parts == Parts::Pictures {
            return u64::MAX;
        }
        u64::from(self.sounds) * self.sound.packet_ticks() * 1_000_000 / 48_000
    }

    /// What is due next, and when.
    pub fn take(&mut self) -> (u64, Shot) {
        let at_us = self.next_us();
        let shot = match self.picture_us() == at_us {
            true => self.picture(at_us),
            false => self.packet(),
        };
        (at_us, shot)
    }

    fn picture(&mut self, at_us: u64) -> Shot {
        let key_every = match self.sound {
            Sound::Opus => KEY_EVERY_BROWSER,
            Sound::Aac => KEY_EVERY_ENCODER,
        };
        let is_key = self.pictures.is_multiple_of(key_every);
        let (kind, bytes) = match is_key {
            true => (PictureKind::Key, KEY_BYTES),
            false => (PictureKind::Predicted, self.picture_bytes()),
        };
        let unit = h264_content::picture(kind, self.pictures, at_us, bytes as usize);
        self.pictures += 1;
        self.media_bytes += unit.len() as u64;
        Shot::Picture { is_key, unit }
    }

    fn picture_bytes(&mut self) -> u64 {
        let bytes = PICTURE_BYTES * (40 + self.noise.below(121)) / 100;
        match self.noise.below(20) {
            0 => 2 * bytes,
            _ => bytes,
        }
    }

    fn packet(&mut self) -> Shot {
        let (head, bytes) = match self.sound {
            Sound::Opus => (OPUS_TOC, 80 + self.noise.below(81)),
            Sound::Aac => (0x21, 241 + self.noise.below(201)),
        };
        let mut packet = vec![head];
        packet.extend(self.sounds.to_be_bytes());
        packet.resize(bytes as usize, self.sounds as u8);
        self.sounds += 1;
        self.media_bytes += bytes;
        Shot::Sound(packet)
    }
}

/// Of the film, on a clock that was at `began` when it began.
pub fn at(began: Time, film_us: u64) -> Time {
    Time::from_us(began.as_us() + film_us)
}
