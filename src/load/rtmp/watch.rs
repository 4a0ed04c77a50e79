//! A player's end of a stream: counts which pictures and frames of sound came,
//! and when.

use std::ops::Range;

use crate::base::time::Time;
use crate::load::numbers::Numbers;
use crate::load::rtmp::tags;
use crate::load::tally::Tally;
use crate::wire::rtmp::message::VIDEO;

pub struct Watch {
    began: Time,
    counted: Range<u64>,
    has_video: bool,
    pictures: Numbers,
    sounds: Numbers,
    bytes: u64,
    last_picture: Option<Time>,
    has_media: bool,
    is_in: bool,
    /// Messages since the last look.
    run: u64,
}

impl Watch {
    /// `began`: when its participant did.
    pub fn new(began: Time, has_video: bool, counted: Range<u64>) -> Self {
        Watch {
            began,
            // What is older the server had stored: it was not on its way so long.
            counted: counted.start.max(began.as_us())..counted.end,
            has_video,
            pictures: Numbers::default(),
            sounds: Numbers::default(),
            bytes: 0,
            last_picture: None,
            has_media: false,
            is_in: false,
            run: 0,
        }
    }

    /// Takes a message of the type `kind` that came at `now`.
    pub fn take(&mut self, now: Time, kind: u8, body: &[u8], tally: &mut Tally) {
        let Some(stamp) = tags::read(kind, body) else {
            return;
        };
        let is_video = kind == VIDEO;
        self.run += 1;
        if !self.has_media {
            self.has_media = true;
            tally.step("first_packet", now.since(self.began).as_us());
        }
        if !self.is_in && (!self.has_video || (is_video && stamp.is_key)) {
            self.is_in = true;
            tally.step("first_key_frame", now.since(self.began).as_us());
            tally.add("joins_ok", 1);
        }
        let counts = self.counted.contains(&stamp.sent_us);
        if counts {
            self.bytes += body.len() as u64;
            tally.record("latency_us", now.as_us().saturating_sub(stamp.sent_us));
            match is_video {
                true => self.pictures.note(stamp.number),
                false => self.sounds.note(stamp.number),
            }
        }
        if is_video {
            if let Some(last) = self.last_picture.filter(|_| counts) {
                tally.record("freeze_us", now.since(last).as_us());
            }
            self.last_picture = Some(now);
        }
    }

    /// Everything that waited was read: a run ended.
    pub fn end_run(&mut self, tally: &mut Tally) {
        if self.run > 0 {
            tally.record("train", self.run);
        }
        self.run = 0;
    }

    /// Counts it all, at the end.
    pub fn settle(self, now: Time, tally: &mut Tally) {
        if !self.is_in {
            tally.fail(match self.has_media {
                false => "first_packet: none came",
                true => "first_key_frame: none was whole",
            });
        }
        self.pictures.settle(tally);
        self.sounds.settle(tally);
        let until = now.as_us().min(self.counted.end);
        tally.got(self.bytes, until.saturating_sub(self.counted.start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stamp::Stamp;

    #[test]
    fn stored_pictures_show_but_do_not_count() {
        let mut tally = Tally::default();
        let mut watch = Watch::new(Time::from_us(5_000), true, 1_000..7_500);
        // Sent at 1 ms, 4 ms, 6 ms and 7 ms, of which number 3 was discarded, and
        // one after the time that counts.
        for (number, sent_us) in [(0, 1_000), (1, 4_000), (2, 6_000), (4, 7_000), (5, 7_500)] {
            let stamp = Stamp {
                number,
                frame: number,
                place: 0,
                packets: 1,
                is_key: number == 0,
                sent_us,
            };
            let body = tags::video(&[&[0x65, 1]], &stamp);
            watch.take(Time::from_us(8_000), VIDEO, &body, &mut tally);
        }
        assert_eq!(tally.count("joins_ok"), 1);
        assert_eq!(tally.steps["first_key_frame"].max, 3_000);
        let latency = tally.histogram("latency_us");
        assert_eq!((latency.total, latency.max), (2, 2_000));
        watch.settle(Time::from_us(9_000), &mut tally);
        assert_eq!(tally.count("packets_received"), 2);
        assert_eq!(tally.count("packets_lost"), 1);
        assert!(tally.failures.is_empty());
    }
}
