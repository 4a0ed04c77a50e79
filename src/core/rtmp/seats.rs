//! What a core keeps of RTMP: at a room's home the publishers and the feeds, and
//! everywhere the players of each feed that are connected to this core.

use crate::base::hash::Map;
use crate::base::limits::{CONVERSION_AHEAD_MAX, CONVERSION_INTERVAL, PEERS_MAX};
use crate::base::slab::{Key, Slab};
use crate::base::time::{Ntp, Span, Time};
use crate::core::border::{ConnectionId, CoreId};
use crate::core::mail::SessionRef;
use crate::core::record;
use crate::core::rtmp::{FeedRef, OPUS_TICKS_PER_MS};
use crate::core::transcode::TranscodeId;
use crate::room::publication::Publication;
use crate::room::rtmp::{Bridge, Feed, Ingest};
use crate::room::track::Kind;

pub(in crate::core) struct Seats {
    pub ingests: Slab<IngestSeat>,
    pub feeds: Slab<FeedSeat>,
    /// Streams of this home by media session id.
    pub by_session: Map<String, Seat>,
    /// The feed of a publication that has one.
    pub feed_of: Map<u64, Key<FeedSeat>>,
    /// Who waits for converted sound.
    pub converting: Map<TranscodeId, Converting>,
    pub conversions: u64,
    /// Players connected to this core, by what they play.
    players: Map<FeedRef, Vec<(ConnectionId, u32)>>,
}

/// What carries an RTMP stream of a room.
#[derive(Clone, Copy)]
pub(in crate::core) enum Seat {
    Publisher(Key<IngestSeat>),
    Player(Key<FeedSeat>),
}

/// Whose sound is being converted.
#[derive(Clone, Copy)]
pub(in crate::core) enum Converting {
    /// For browsers.
    Ingest(Key<IngestSeat>),
    /// For players that do not take Opus.
    Feed(Key<FeedSeat>),
    /// For a file.
    Recording(Key<record::Seat>),
}

/// A publisher over RTMP, at its room's home core.
pub(in crate::core) struct IngestSeat {
    pub ingest: Ingest,
    pub room: String,
    pub login: String,
    pub stream: String,
    pub media_session_id: String,
    pub owner: SessionRef,
    /// An encoder: a member for as long as it publishes.
    pub is_encoder: bool,
    /// Who shows it takes the publisher's place; may be empty.
    pub token: String,
    /// When it last sent anything.
    pub heard: Time,
    /// Since when its connection is gone.
    pub lost: Option<Time>,
    /// From when on its tracks are known.
    pub publication: Option<Key<Publication>>,
    pub feed: Key<FeedSeat>,
    pub conversion: Option<TranscodeId>,
    pub pace: Pace,
    /// Why the sound that comes now cannot be converted.
    pub unconvertible: Option<&'static str>,
    /// When its viewers were last told that a codec is not for them.
    pub advised_of_audio: Option<Time>,
    pub advised_of_video: Option<Time>,
    /// Pictures were kept from browsers: only a key frame can be shown next.
    pub awaits_key: bool,
    /// When the last picture was shown to browsers; none is shown before it.
    pub shown_ms: u64,
    pub clock: StreamClock,
}

/// Which wall clock goes with a publisher's times, the same for its sound and
/// its pictures.
#[derive(Default)]
pub(in crate::core) struct StreamClock {
    /// Microseconds since 1970 at the stream's time zero, as the first message
    /// arrived.
    zero_us: Option<i64>,
    due: [Time; 2],
}

/// How often a publication is told.
const CLOCK_INTERVAL: Span = Span::from_secs(1);

impl StreamClock {
    /// The wall clock at `ms` of the stream, when it is time to tell it.
    pub fn due(&mut self, now: Time, wall_us: u64, kind: Kind, ms: u64) -> Option<Ntp> {
        let due = self.due.get_mut(kind as usize)?;
        if now < *due {
            return None;
        }
        *due = now + CLOCK_INTERVAL;
        let at_us = i64::try_from(ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let wall_us = i64::try_from(wall_us).unwrap_or(i64::MAX);
        let zero_us = *self.zero_us.get_or_insert(wall_us.saturating_sub(at_us));
        let unix_us = zero_us.saturating_add(at_us);
        Some(Ntp::from_unix_us(
            u64::try_from(unix_us).unwrap_or_default(),
        ))
    }
}

/// Holds what is converted to the time that passes: frames are short, and could
/// claim hours of silence to be filled.
#[derive(Default)]
pub(in crate::core) struct Pace {
    /// When the first frame of the window came, and its ticks of 48 kHz.
    began: Option<(Time, u64)>,
    opened: Option<Time>,
}

/// How long sound is measured before it is measured anew.
const PACE_WINDOW: Span = Span::from_secs(60);

impl Pace {
    /// Whether a frame may be converted.
    pub fn admits(&mut self, now: Time, ticks: u64) -> bool {
        let (at, first) = *self.began.get_or_insert((now, ticks));
        let passed = now.since(at);
        let allowed_us = passed.as_us().saturating_add(CONVERSION_AHEAD_MAX.as_us());
        let allowed = allowed_us.saturating_mul(OPUS_TICKS_PER_MS) / 1_000;
        let admits = ticks <= first.saturating_add(allowed);
        if admits && passed >= PACE_WINDOW {
            // A clock that is a little fast must not get there in a day.
            self.began = Some((now, ticks));
        }
        admits
    }

    /// Whether a conversion may begin; its time begins with its first frame.
    pub fn may_open(&mut self, now: Time) -> bool {
        let is_soon = |at: Time| now.since(at) < CONVERSION_INTERVAL;
        if self.opened.is_some_and(is_soon) {
            return false;
        }
        *self = Pace {
            began: None,
            opened: Some(now),
        };
        true
    }
}

/// A publication on its way to RTMP players, at its room's home core.
pub(in crate::core) struct FeedSeat {
    pub feed: Feed,
    /// Of a browser's publication: what turns its RTP into messages.
    pub bridge: Option<Bridge>,
    pub publication: Option<Key<Publication>>,
    pub listeners: Vec<Listener>,
    pub conversion: Option<TranscodeId>,
    pub pace: Pace,
    /// Why the sound cannot be converted for those who need it.
    pub unconvertible: Option<&'static str>,
}

pub(in crate::core) struct Listener {
    pub session: SessionRef,
    pub media_session_id: String,
    pub accepts_opus: bool,
}

impl FeedSeat {
    /// The cores that have players, each once.
    pub fn cores(&self) -> impl Iterator<Item = CoreId> + '_ {
        let cores = self.listeners.iter().map(|listener| listener.session.core);
        let mut seen: Vec<CoreId> = Vec::new();
        cores.filter(move |core| {
            let is_new = !seen.contains(core);
            if is_new {
                seen.push(*core);
            }
            is_new
        })
    }
}

impl Seats {
    pub fn new() -> Self {
        Seats {
            ingests: Slab::new(PEERS_MAX),
            feeds: Slab::new(PEERS_MAX),
            by_session: Map::default(),
            feed_of: Map::default(),
            converting: Map::default(),
            conversions: 0,
            players: Map::default(),
        }
    }

    pub fn add_player(&mut self, feed: FeedRef, connection: ConnectionId, stream_id: u32) {
        let players = self.players.entry(feed).or_default();
        players.push((connection, stream_id));
    }

    pub fn forget_player(&mut self, feed: FeedRef, connection: ConnectionId, stream_id: u32) {
        if let Some(players) = self.players.get_mut(&feed) {
            players.retain(|player| *player != (connection, stream_id));
            if players.is_empty() {
                self.players.remove(&feed);
            }
        }
    }

    /// Lends the players of a feed; given back with [`Seats::return_players`].
    pub fn take_players(&mut self, feed: FeedRef) -> Vec<(ConnectionId, u32)> {
        let players = self.players.get_mut(&feed);
        players.map(std::mem::take).unwrap_or_default()
    }

    /// Nobody may be added or forgotten in between.
    pub fn return_players(&mut self, feed: FeedRef, players: Vec<(ConnectionId, u32)>) {
        if let Some(place) = self.players.get_mut(&feed) {
            *place = players;
        }
    }

    /// Streams of this home that are played over RTMP.
    pub fn player_count(&self) -> usize {
        self.feeds
            .iter()
            .map(|(_, seat)| seat.listeners.len())
            .sum()
    }

    /// Players over RTMP of a browser's publication.
    pub fn listeners_of(&self, publication: Key<Publication>) -> u32 {
        let feed = self.feed_of.get(&publication.to_bits());
        self.listeners(feed.copied())
    }

    /// Players over RTMP of an RTMP publisher's stream.
    pub fn listeners_of_ingest(&self, media_session_id: &str) -> u32 {
        let seat = match self.by_session.get(media_session_id) {
            Some(Seat::Publisher(key)) => self.ingests.get(*key),
            _ => None,
        };
        self.listeners(seat.map(|seat| seat.feed))
    }

    fn listeners(&self, feed: Option<Key<FeedSeat>>) -> u32 {
        let seat = feed.and_then(|feed| self.feeds.get(feed));
        seat.map_or(0, |seat| seat.listeners.len() as u32)
    }

    /// What is left, for the oracle at the end of a simulation.
    pub fn leftovers(&self) -> [(&'static str, usize); 5] {
        [
            ("RTMP publishers", self.ingests.len()),
            ("RTMP feeds", self.feeds.len()),
            ("RTMP streams", self.by_session.len()),
            ("sound conversions", self.converting.len()),
            ("feeds with players", self.players.len()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(ms: u64) -> u64 {
        ms * OPUS_TICKS_PER_MS
    }

    #[test]
    fn sound_keeps_to_the_time_that_passes() {
        let mut pace = Pace::default();
        let now = Time::ZERO;
        assert!(pace.may_open(now));
        assert!(!pace.may_open(now), "not twice at once");
        assert!(pace.may_open(now + CONVERSION_INTERVAL));
        assert!(pace.admits(now, ticks(0)));
        assert!(pace.admits(now, ticks(10_000)), "caught up with");
        assert!(!pace.admits(now, ticks(10_001)));
        assert!(pace.admits(now + Span::from_secs(1), ticks(11_000)));
        assert!(!pace.admits(now + Span::from_secs(1), ticks(3_600_000)));
    }

    #[test]
    fn a_clock_that_is_a_little_fast_is_heard_for_days() {
        let mut pace = Pace::default();
        for second in 0..3 * 24 * 3_600 {
            let now = Time::ZERO + Span::from_secs(second);
            let claimed = second * 1_000 + second / 10;
            assert!(pace.admits(now, ticks(claimed)), "{second}");
        }
    }

    #[test]
    fn sound_at_twice_the_pace_is_not_for_long() {
        let mut pace = Pace::default();
        let heard = (0..1_000).filter(|second| {
            let now = Time::ZERO + Span::from_secs(*second);
            pace.admits(now, ticks(second * 2_000))
        });
        assert!(heard.count() < 100);
    }
}
