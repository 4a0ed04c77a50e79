//! An encoder's end of a stream: sends the content in real time, message by
//! message, over and over.

use crate::base::time::{Span, Time};
use crate::load::content::FRAME_RATE;
use crate::load::publish::Show;
use crate::load::rtmp::tags;
use crate::load::stamp::Stamp;
use crate::load::tally::Tally;
use crate::proto::rtmp::client::RtmpClient;
use crate::wire::rtmp::chunk::MessageHeader;
use crate::wire::rtmp::message::{AUDIO, VIDEO};

/// Of a frame of AAC-LC.
const SOUND_SAMPLES: u64 = 1_024;
const SOUND_HERTZ: u64 = 48_000;

pub struct Publish {
    show: Show,
    stream_id: u32,
    began: Time,
    pictures: u64,
    sounds: u64,
}

impl Publish {
    /// Says what comes, and begins it.
    pub fn begin(now: Time, show: Show, stream_id: u32, client: &mut RtmpClient) -> Self {
        let publish = Publish {
            show,
            stream_id,
            began: now,
            pictures: 0,
            sounds: 0,
        };
        if let Some(header) = tags::video_header(&publish.show.content) {
            publish.send(client, VIDEO, Span::ZERO, &header);
        }
        if publish.show.has_sound {
            publish.send(client, AUDIO, Span::ZERO, &tags::sound_header());
        }
        publish
    }

    fn picture_at(&self) -> Option<Span> {
        let has_pictures = !self.show.content.picture(0).is_empty();
        has_pictures.then(|| Span::from_us(self.pictures * 1_000_000 / FRAME_RATE))
    }

    fn sound_at(&self) -> Option<Span> {
        let us = self.sounds * SOUND_SAMPLES * 1_000_000 / SOUND_HERTZ;
        self.show.has_sound.then(|| Span::from_us(us))
    }

    pub fn next_due(&self) -> Option<Time> {
        let next = [self.picture_at(), self.sound_at()].into_iter().flatten();
        next.min().map(|at| self.began + at)
    }

    /// Gives `client` what is due at `now`.
    pub fn poll(&mut self, now: Time, client: &mut RtmpClient, tally: &mut Tally) {
        let running = now.since(self.began);
        while let Some(at) = self.picture_at().filter(|at| *at <= running) {
            let is_key = self
                .pictures
                .is_multiple_of(self.show.content.loop_frames());
            let stamp = stamp(self.pictures, is_key, now);
            let body = tags::video(self.show.content.picture(self.pictures), &stamp);
            self.pictures += 1;
            self.send(client, VIDEO, at, &body);
            self.count(now, at, tally);
        }
        while let Some(at) = self.sound_at().filter(|at| *at <= running) {
            let body = tags::sound(&stamp(self.sounds, false, now));
            self.sounds += 1;
            self.send(client, AUDIO, at, &body);
            self.count(now, at, tally);
        }
    }

    fn count(&self, now: Time, at: Span, tally: &mut Tally) {
        if self.show.counted.contains(&now.as_us()) {
            let late = now.since(self.began + at);
            tally.record("send_lateness_us", late.as_us());
            tally.add("packets_sent", 1);
        }
    }

    fn send(&self, client: &mut RtmpClient, kind: u8, at: Span, body: &[u8]) {
        let header = MessageHeader {
            timestamp: at.as_ms() as u32,
            kind,
            stream_id: self.stream_id,
        };
        client.send_message(&header, body);
    }
}

fn stamp(number: u64, is_key: bool, now: Time) -> Stamp {
    Stamp {
        number: number as u32,
        frame: number as u32,
        place: 0,
        packets: 1,
        is_key,
        sent_us: now.as_us(),
    }
}
