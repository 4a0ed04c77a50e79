//! Who plays over RTMP, at the room's home core: a listener of the publication's
//! feed, which for a browser's publication is made for its first player.

use crate::base::slab::Key;
use crate::base::time::Time;
use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::core::mail::SessionRef;
use crate::core::rtmp::seats::{FeedSeat, Listener, Pace, Seat};
use crate::core::rtmp::{Advice, FeedRef, Play, Reply};
use crate::core::streams::Asked;
use crate::proto::keyframe::Reason;
use crate::room::notice::info;
use crate::room::publication::Publication;
use crate::room::roster::{Carrier, Stream, StreamRole};
use crate::room::rtmp::{Bridge, Feed};
use crate::room::track::Kind;
use crate::wire::codec::{Codec, VideoCodec};

impl Core {
    pub(super) fn play_over_rtmp(
        &mut self,
        now: Time,
        from: SessionRef,
        play: Play,
        out: &mut Outbox,
    ) {
        let (room, id) = (play.room.clone(), play.media_session_id.clone());
        let feed = match self.open_feed(now, from, &play, out) {
            Ok(feed) => feed,
            Err(why) => {
                let is_absent = matches!(why, info::STREAM_NOT_FOUND | info::STREAM_NOT_READY);
                let reply = Reply::PlayRefused { why, is_absent };
                return self.reply(from, id, reply, out);
            }
        };
        let start = match self.seats.feeds.get(feed) {
            Some(seat) => seat.feed.start(play.accepts_opus),
            None => return,
        };
        let reply = Reply::Playing {
            feed: FeedRef::new(self.id(), feed),
            start,
        };
        self.reply(from, id.clone(), reply, out);
        self.stream_begins(room.clone(), id.clone(), out);
        self.advise_player(now, &room, from, id, feed, out);
    }

    /// Makes the player a listener of the stream's feed.
    fn open_feed(
        &mut self,
        now: Time,
        from: SessionRef,
        play: &Play,
        out: &mut Outbox,
    ) -> Result<Key<FeedSeat>, &'static str> {
        let name = self.stream_called(&play.room, &play.name)?;
        let room = self.rooms.get(&play.room).ok_or(info::STREAM_NOT_FOUND)?;
        let stream = room.roster.publication(&name);
        let stream = stream.ok_or(info::STREAM_NOT_FOUND)?;
        if !stream.live {
            return Err(info::STREAM_NOT_READY);
        }
        let id = play.media_session_id.clone();
        // A member's play is the member's; another's is its own, and no member.
        let login = self
            .login_of(&play.room, from)
            .unwrap_or_else(|| id.clone());
        let role = StreamRole::Play;
        if let Some(why) = room.roster.refuse_stream(&login, &id, &name, role) {
            return Err(why);
        }
        // Browsers choose the ids of theirs: only an RTMP stream's id is a seat's.
        let seats = &self.seats.by_session;
        let seat = match stream.carrier {
            Carrier::Rtmp => seats.get(&stream.media_session_id),
            Carrier::Peer(_) | Carrier::Afar(_) => None,
        };
        let feed = match seat {
            Some(Seat::Publisher(key)) => self.seats.ingests.get(*key).map(|seat| seat.feed),
            _ => {
                let publication = self.publication_of(stream);
                self.bridge_of(now, publication.ok_or(info::STREAM_NOT_FOUND)?, out)
            }
        };
        let feed = feed.ok_or(info::SERVER_FULL)?;
        if let Some(seat) = self.seats.feeds.get_mut(feed) {
            seat.listeners.push(Listener {
                session: from,
                media_session_id: id.clone(),
                accepts_opus: play.accepts_opus,
            });
        }
        self.seats.by_session.insert(id.clone(), Seat::Player(feed));
        if let Some(room) = self.rooms.get_mut(&play.room) {
            room.decoders.note_rtmp(&login);
        }
        let asked = Asked {
            room: play.room.clone(),
            login,
            from,
            media_session_id: id,
            name,
            record: false,
        };
        self.add_stream(asked, Carrier::Rtmp, role);
        Ok(feed)
    }

    /// The feed of a browser's publication, made for its first player.
    fn bridge_of(
        &mut self,
        now: Time,
        publication: Key<Publication>,
        out: &mut Outbox,
    ) -> Option<Key<FeedSeat>> {
        if let Some(feed) = self.seats.feed_of.get(&publication.to_bits()).copied() {
            if self
                .seats
                .feeds
                .get(feed)
                .is_some_and(|seat| !seat.feed.has_key_frame())
            {
                self.want_keyframe(now, publication, Reason::Joined, out);
            }
            return Some(feed);
        }
        let source = self.media.publications.get_mut(publication)?;
        let codec = |kind| source.track(kind).map(|track| track.spec.codec);
        let bridge = Bridge::new(codec(Kind::Audio), codec(Kind::Video));
        source.is_bridged = true;
        let seat = FeedSeat {
            feed: Feed::new(),
            bridge: Some(bridge),
            publication: Some(publication),
            listeners: Vec::new(),
            conversion: None,
            pace: Pace::default(),
            unconvertible: None,
        };
        let feed = self.seats.feeds.insert(seat)?;
        self.seats.feed_of.insert(publication.to_bits(), feed);
        self.want_keyframe(now, publication, Reason::Joined, out);
        self.begin_bridge(now, publication, feed, out);
        Some(feed)
    }

    /// A player left pictures out: where a key frame can be asked for, it is.
    pub(in crate::core) fn rtmp_wants_key(&mut self, now: Time, feed: FeedRef, out: &mut Outbox) {
        let seat = self.seats.feeds.get(feed.key());
        if let Some(publication) = seat.and_then(|seat| seat.publication) {
            self.want_keyframe(now, publication, Reason::Viewer, out);
        }
    }

    /// Tells a player, and whoever can change it, what it will not get.
    fn advise_player(
        &mut self,
        now: Time,
        room: &str,
        from: SessionRef,
        id: String,
        feed: Key<FeedSeat>,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.seats.feeds.get(feed) else {
            return;
        };
        let mut listeners = seat.listeners.iter();
        let own = listeners.find(|listener| listener.media_session_id == id);
        let unheard = seat.unconvertible;
        let publication = seat.publication;
        if let Some(why) = unheard.filter(|_| own.is_some_and(|own| !own.accepts_opus)) {
            let advice = Reply::Advice(Advice::Conversion(why));
            self.reply(from, id.clone(), advice, out);
        }
        let publication = publication.and_then(|key| self.media.publications.get(key));
        let video = publication.and_then(|p| p.track(Kind::Video));
        let codec = video.map(|track| track.spec.codec);
        if codec != Some(Codec::Video(VideoCodec::Vp8)) {
            return;
        }
        let roster = self.rooms.get(room).map(|room| &room.roster);
        let stream = roster.and_then(|roster| {
            let play = roster.stream(&id)?;
            roster.publication(&play.name)
        });
        let published = stream.cloned();
        let advice = Advice::Video(VideoCodec::Vp8.name());
        self.reply(from, id, Reply::Advice(advice), out);
        if let Some(published) = published {
            let notice = advice.notice(published.media_session_id);
            self.tell(published.session, notice, out);
            self.ask_to_republish(now, room, &published.name, out);
        }
    }

    pub(super) fn end_listener(
        &mut self,
        stream: &Stream<SessionRef>,
        key: Key<FeedSeat>,
        out: &mut Outbox,
    ) {
        if let Some(seat) = self.seats.feeds.get_mut(key) {
            let id = &stream.media_session_id;
            seat.listeners
                .retain(|listener| listener.media_session_id != *id);
            let is_idle = seat.listeners.is_empty() && seat.bridge.is_some();
            if is_idle {
                self.remove_feed(key, out);
            }
        }
        let id = stream.media_session_id.clone();
        self.reply(stream.session, id, Reply::PlayEnded, out);
    }

    pub(super) fn remove_feed(&mut self, key: Key<FeedSeat>, out: &mut Outbox) {
        let Some(seat) = self.seats.feeds.remove(key) else {
            return;
        };
        self.stop_converting(seat.conversion, out);
        if let Some(publication) = seat.publication
            && seat.bridge.is_some()
        {
            self.seats.feed_of.remove(&publication.to_bits());
            if let Some(publication) = self.media.publications.get_mut(publication) {
                publication.is_bridged = false;
            }
        }
    }
}
