//! The frames a recording holds back until its file begins. Bounded; sound
//! without any picture gives way to newer sound.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::frame_rate::FrameRate;
use crate::base::limits::{RECORD_GATHERED_MAX_BYTES, RECORD_GATHERED_MAX_FRAMES};
use crate::record::layout::TrackKind;
use crate::record::recorder::VideoFrame;
use crate::record::shape;
use crate::record::timeline::{FrameTime, Timeline};

#[derive(Default)]
pub struct Gathered {
    pub frames: VecDeque<Held>,
    size_bytes: usize,
}

pub enum Held {
    Video(VideoFrame),
    Audio(FrameTime, Bytes),
}

impl Gathered {
    /// Holds a frame; while there is no picture and no room, instead of the oldest.
    pub fn hold(&mut self, size_bytes: usize, held: Held) {
        self.size_bytes += size_bytes;
        self.frames.push_back(held);
        while self.is_full() && self.frames.len() > 1 && !self.has_picture() {
            // Sound alone, before any picture: the newest counts.
            self.drop_oldest();
        }
    }

    fn has_picture(&self) -> bool {
        self.frames
            .iter()
            .any(|held| matches!(held, Held::Video(_)))
    }

    fn drop_oldest(&mut self) {
        if let Some(Held::Audio(_, data)) = self.frames.pop_front() {
            self.size_bytes = self.size_bytes.saturating_sub(data.len());
        }
    }

    /// Whether the file has to begin now.
    pub fn is_full(&self) -> bool {
        self.size_bytes >= RECORD_GATHERED_MAX_BYTES
            || self.frames.len() >= RECORD_GATHERED_MAX_FRAMES
    }

    /// When the first frame of each track was captured.
    pub fn first_times(&self, timeline: &mut Timeline) -> (Option<i64>, Option<i64>) {
        let (mut video, mut audio) = (None, None);
        for held in &self.frames {
            match held {
                Held::Video(frame) if video.is_none() => {
                    video = Some(timeline.place(TrackKind::Video, frame.time));
                }
                Held::Audio(time, _) if audio.is_none() => {
                    audio = Some(timeline.place(TrackKind::Audio, *time));
                }
                _ => {}
            }
        }
        (video, audio)
    }

    /// What the pictures held back come at, or what is usual.
    pub fn frame_rate(&self) -> FrameRate {
        let pictures = self.frames.iter().filter_map(|held| match held {
            Held::Video(frame) => Some(&frame.time),
            Held::Audio(..) => None,
        });
        let times: Vec<u64> = pictures
            .map(|time| time.ticks.saturating_mul(1_000) / u64::from(time.rate.max(1)))
            .collect();
        shape::frame_rate(&times)
    }
}
