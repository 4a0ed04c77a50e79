//! A run as asked for, and how it is told to the workers.

use std::ops::Range;

use serde_json::{Value, json};

use crate::proto::tls::Trust;
use crate::wire::codec::VideoCodec;

/// From the end of what counts until everybody leaves: what is on its way
/// arrives, and the server tells its figures before goodbyes are among them.
const SETTLE_US: u64 = 500_000;

/// How participants speak to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The room protocol over WebSocket.
    Official,
    /// WHIP and WHEP.
    Whip,
    /// Janus's videoroom API over WebSocket.
    Janus,
    /// Encoders and players over RTMP.
    Rtmp,
}

impl Dialect {
    pub const ALL: [Dialect; 4] = [
        Dialect::Official,
        Dialect::Whip,
        Dialect::Janus,
        Dialect::Rtmp,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Dialect::Official => "official",
            Dialect::Whip => "whip",
            Dialect::Janus => "janus",
            Dialect::Rtmp => "rtmp",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub url: String,
    pub dialect: Dialect,
    pub rooms: u64,
    /// Of each room.
    pub publishers: u64,
    /// Of each room, who only play: everybody in it, or the one publisher.
    pub viewers: u64,
    /// Publishers play all the others.
    pub meeting: bool,
    pub video: Option<VideoCodec>,
    pub sound: bool,
    pub kbps: u32,
    /// A frame's packets are spread over the time until the next.
    pub even: bool,
    pub joins_per_second: f64,
    pub warm_up_s: f64,
    pub duration_s: f64,
    /// How long a viewer stays before it comes anew; 0: to the end.
    pub churn_s: f64,
    /// Of the datagrams toward viewers, in a million.
    pub loss_ppm: u64,
    pub delay_ms: u64,
    /// Viewers, of all, that read ten times a second only.
    pub slow_readers: u64,
    pub seed: u64,
    pub processes: u64,
    pub token: String,
    /// File of the certificates that are trusted inside TLS; empty: none.
    pub ca: String,
    /// Instead, every certificate is.
    pub is_insecure: bool,
    /// When the first participant starts, and when counting begins: microseconds
    /// of the machine's monotonic clock.
    pub start_us: u64,
}

impl Plan {
    pub fn participants(&self) -> u64 {
        self.rooms * (self.publishers + self.viewers)
    }

    /// When participant `number` starts. Publishers come first.
    pub fn start_of(&self, number: u64) -> u64 {
        self.start_us + (number as f64 / self.joins_per_second * 1e6) as u64
    }

    pub fn count_from_us(&self) -> u64 {
        self.start_of(self.participants()) + (self.warm_up_s * 1e6) as u64
    }

    pub fn end_us(&self) -> u64 {
        self.count_from_us() + (self.duration_s * 1e6) as u64
    }

    /// When what is sent counts.
    pub fn counted(&self) -> Range<u64> {
        self.count_from_us()..self.end_us()
    }

    pub fn leave_us(&self) -> u64 {
        self.end_us() + SETTLE_US
    }

    /// Room, whether it publishes, and its place among those of its kind there.
    pub fn role(&self, number: u64) -> (u64, bool, u64) {
        let publishers = self.rooms * self.publishers;
        match number.checked_sub(publishers) {
            None => (number % self.rooms, true, number / self.rooms),
            Some(viewer) => (viewer % self.rooms, false, viewer / self.rooms),
        }
    }

    /// Names differ from run to run, so that nobody meets the last one's ghosts.
    pub fn room(&self, room: u64) -> String {
        format!("load-{:x}-{room}", self.seed)
    }

    /// Whom participants trust inside TLS; the error says why that cannot be read.
    pub fn trust(&self) -> Result<Option<Trust>, String> {
        match (self.is_insecure, self.ca.as_str()) {
            (true, _) => Trust::anybody().map(Some),
            (false, "") => Ok(None),
            (false, file) => std::fs::read(file)
                .map_err(|error| error.to_string())
                .and_then(|text| Trust::of_pem(&text))
                .map(Some)
                .map_err(|error| format!("--ca {file}: {error}")),
        }
    }

    pub fn to_json(&self) -> Value {
        json!({
            "url": self.url,
            "dialect": self.dialect.name(),
            "rooms": self.rooms,
            "publishers": self.publishers,
            "viewers": self.viewers,
            "meeting": self.meeting,
            "video": self.video.map(VideoCodec::name),
            "sound": self.sound,
            "kbps": self.kbps,
            "pacing": if self.even { "even" } else { "burst" },
            "joins_per_second": self.joins_per_second,
            "warm_up_s": self.warm_up_s,
            "duration_s": self.duration_s,
            "churn_s": self.churn_s,
            "loss_ppm": self.loss_ppm,
            "delay_ms": self.delay_ms,
            "slow_readers": self.slow_readers,
            "seed": self.seed,
            "processes": self.processes,
            "token": self.token,
            "ca": self.ca,
            "insecure": self.is_insecure,
            "start_us": self.start_us,
        })
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        let number = |key: &str| value[key].as_u64();
        let real = |key: &str| value[key].as_f64();
        let text = |key: &str| value[key].as_str();
        Some(Plan {
            url: text("url")?.to_string(),
            dialect: Dialect::named(text("dialect")?)?,
            rooms: number("rooms")?,
            publishers: number("publishers")?,
            viewers: number("viewers")?,
            meeting: value["meeting"].as_bool()?,
            video: text("video").and_then(video_named),
            sound: value["sound"].as_bool()?,
            kbps: number("kbps")? as u32,
            even: text("pacing")? == "even",
            joins_per_second: real("joins_per_second")?,
            warm_up_s: real("warm_up_s")?,
            duration_s: real("duration_s")?,
            churn_s: real("churn_s")?,
            loss_ppm: number("loss_ppm")?,
            delay_ms: number("delay_ms")?,
            slow_readers: number("slow_readers")?,
            seed: number("seed")?,
            processes: number("processes")?,
            token: text("token")?.to_string(),
            ca: text("ca")?.to_string(),
            is_insecure: value["insecure"].as_bool()?,
            start_us: number("start_us")?,
        })
    }
}

pub fn video_named(name: &str) -> Option<VideoCodec> {
    let all = [VideoCodec::H264, VideoCodec::Vp8];
    all.into_iter()
        .find(|codec| codec.name().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_way_and_everybody_has_a_role() {
        let plan = Plan {
            url: "ws://localhost:8080".into(),
            dialect: Dialect::Janus,
            rooms: 3,
            publishers: 2,
            viewers: 4,
            meeting: false,
            video: Some(VideoCodec::Vp8),
            sound: true,
            kbps: 300,
            even: true,
            joins_per_second: 10.0,
            warm_up_s: 1.5,
            duration_s: 4.0,
            churn_s: 0.0,
            loss_ppm: 10_000,
            delay_ms: 20,
            slow_readers: 1,
            seed: 77,
            processes: 2,
            token: String::new(),
            ca: "ca.pem".into(),
            is_insecure: true,
            start_us: 1 << 33,
        };
        assert_eq!(Plan::from_json(&plan.to_json()).as_ref(), Some(&plan));
        assert_eq!(plan.participants(), 18);
        assert_eq!(plan.role(0), (0, true, 0));
        assert_eq!(plan.role(5), (2, true, 1));
        assert_eq!(plan.role(6), (0, false, 0));
        assert_eq!(plan.role(17), (2, false, 3));
        assert_eq!(plan.end_us() - plan.start_us, 7_300_000);
        assert_eq!(plan.counted().end - plan.counted().start, 4_000_000);
        assert!(plan.leave_us() > plan.end_us());
        let mut without_sound = plan.to_json();
        without_sound["sound"] = Value::Null;
        assert_eq!(Plan::from_json(&without_sound), None);
    }
}
