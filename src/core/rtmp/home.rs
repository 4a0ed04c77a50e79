//! Who publishes over RTMP, at the room's home core: an encoder becomes a member
//! for as long as it publishes, a room client publishes as the member it is. Who
//! publishes under a name that is held takes it over when the holder is silent
//! or shows the same token, and viewers go on.

use crate::base::hash::same_secret;
use crate::base::limits::{INGEST_LINGER, INGEST_SILENCE_MAX};
use crate::base::slab::Key;
use crate::base::time::Time;
use crate::core::border::Outbox;
use crate::core::machine::{Core, Timer};
use crate::core::mail::{Mail, SessionRef};
use crate::core::rtmp::seats::{FeedSeat, IngestSeat, Pace, Seat, StreamClock};
use crate::core::rtmp::{IngestRef, Publish, Reply, Request};
use crate::core::streams::Asked;
use crate::ops::event::LeaveCause;
use crate::room::notice::info;
use crate::room::publication::Publication;
use crate::room::roster::{Carrier, Stream, StreamRole};
use crate::room::rtmp::{Feed, Ingest, News};

/// Why a room does not take a stream.
struct Refusal {
    why: &'static str,
    /// Its name is somebody else's.
    is_taken: bool,
}

impl From<&'static str> for Refusal {
    fn from(why: &'static str) -> Self {
        Refusal {
            why,
            is_taken: matches!(why, info::LOGIN_IN_USE | info::NAME_IN_USE),
        }
    }
}

impl Core {
    pub(in crate::core) fn rtmp_request(
        &mut self,
        now: Time,
        from: SessionRef,
        request: Request,
        out: &mut Outbox,
    ) {
        match request {
            Request::Publish(publish) => {
                let asked_as = publish.media_session_id.clone();
                let reply = match self.publish_over_rtmp(now, from, publish, out) {
                    Ok(reply) => reply,
                    Err(Refusal { why, is_taken }) => Reply::PublishRefused { why, is_taken },
                };
                self.reply(from, asked_as, reply, out);
            }
            Request::Play(play) => self.play_over_rtmp(now, from, play, out),
            Request::End {
                room,
                media_session_id,
            } => self.end_of_owner(&room, from, &media_session_id, out),
            Request::Lost {
                room,
                media_session_id,
            } => self.lose_ingest(now, &room, from, &media_session_id, out),
        }
    }

    pub(super) fn reply(
        &mut self,
        to: SessionRef,
        media_session_id: String,
        reply: Reply,
        out: &mut Outbox,
    ) {
        let mail = Mail::RtmpReply {
            connection: to.connection,
            media_session_id,
            reply,
        };
        self.post(to.core, mail, out);
    }

    fn publish_over_rtmp(
        &mut self,
        now: Time,
        from: SessionRef,
        publish: Publish,
        out: &mut Outbox,
    ) -> Result<Reply, Refusal> {
        let Some(login) = publish.joins_as.clone() else {
            let login = self.login_of(&publish.room, from);
            let login = login.ok_or(info::NOT_A_MEMBER)?;
            return self.open_ingest(now, from, login, publish, out);
        };
        if let Some(holder) = self.holder_of(&publish) {
            return self.take_over(now, holder, from, publish, out);
        }
        // Never shown to anybody: no other session takes this login over.
        let token = self.secret.token();
        let room = publish.room.clone();
        if let Some(why) = self.join(now, &room, from, &login, token, None, out) {
            return Err(why.into());
        }
        match self.open_ingest(now, from, login.clone(), publish, out) {
            Ok(reply) => {
                self.welcome(&room, from, login, out);
                Ok(reply)
            }
            Err(refusal) => {
                self.withdraw(&room, &login, out);
                Err(refusal)
            }
        }
    }

    fn open_ingest(
        &mut self,
        now: Time,
        from: SessionRef,
        login: String,
        publish: Publish,
        out: &mut Outbox,
    ) -> Result<Reply, Refusal> {
        let id = publish.media_session_id;
        let room = self.rooms.get(&publish.room).ok_or(info::NOT_A_MEMBER)?;
        let role = StreamRole::Publish;
        let refused = room
            .roster
            .refuse_stream(&login, &id, &publish.stream, role);
        if let Some(why) = refused {
            return Err(why.into());
        }
        let feed = FeedSeat {
            feed: Feed::new(),
            bridge: None,
            publication: None,
            listeners: Vec::new(),
            conversion: None,
            pace: Pace::default(),
            unconvertible: None,
        };
        let feed = self.seats.feeds.insert(feed).ok_or(info::SERVER_FULL)?;
        let seat = IngestSeat {
            ingest: Ingest::new(),
            room: publish.room.clone(),
            login: login.clone(),
            stream: publish.stream.clone(),
            media_session_id: id.clone(),
            owner: from,
            is_encoder: publish.joins_as.is_some(),
            token: publish.token,
            heard: now,
            lost: None,
            publication: None,
            feed,
            conversion: None,
            pace: Pace::default(),
            unconvertible: None,
            advised_of_audio: None,
            advised_of_video: None,
            awaits_key: false,
            shown_ms: 0,
            clock: StreamClock::default(),
        };
        let Some(key) = self.seats.ingests.insert(seat) else {
            self.seats.feeds.remove(feed);
            return Err(info::SERVER_FULL.into());
        };
        let seat = Seat::Publisher(key);
        self.seats.by_session.insert(id.clone(), seat);
        let room_name = publish.room.clone();
        let asked = Asked {
            room: publish.room,
            login,
            from,
            media_session_id: id.clone(),
            name: publish.stream,
            record: false,
        };
        self.add_stream(asked, Carrier::Rtmp, role);
        self.record_if_wanted(now, &room_name, &id, out);
        Ok(self.granted(key, room_name, id))
    }

    fn granted(&self, key: Key<IngestSeat>, room: String, media_session_id: String) -> Reply {
        Reply::Publishing {
            ingest: IngestRef::new(self.id(), key),
            room,
            media_session_id,
        }
    }

    /// The encoder that publishes this very stream.
    fn holder_of(&self, publish: &Publish) -> Option<Key<IngestSeat>> {
        let room = self.rooms.get(&publish.room)?;
        let stream = room.roster.publication(&publish.stream)?;
        if !stream.carrier.is_rtmp() {
            return None;
        }
        let Seat::Publisher(key) = *self.seats.by_session.get(&stream.media_session_id)? else {
            return None;
        };
        let seat = self.seats.ingests.get(key)?;
        (seat.is_encoder && Some(&seat.login) == publish.joins_as.as_ref()).then_some(key)
    }

    fn take_over(
        &mut self,
        now: Time,
        holder: Key<IngestSeat>,
        from: SessionRef,
        publish: Publish,
        out: &mut Outbox,
    ) -> Result<Reply, Refusal> {
        let seat = self.seats.ingests.get_mut(holder);
        let seat = seat.ok_or(info::STREAM_NOT_FOUND)?;
        let shown = !publish.token.is_empty()
            && same_secret(publish.token.as_bytes(), seat.token.as_bytes());
        let silent = now.since(seat.heard) > INGEST_SILENCE_MAX;
        if !shown && !silent && seat.lost.is_none() {
            return Err(info::NAME_IN_USE.into());
        }
        let before = std::mem::replace(&mut seat.owner, from);
        seat.token = publish.token;
        seat.heard = now;
        seat.lost = None;
        seat.awaits_key = true;
        let had_b_frames = seat.ingest.has_b_frames();
        seat.ingest.restart();
        let (room, login) = (seat.room.clone(), seat.login.clone());
        let id = seat.media_session_id.clone();
        if let Some(entry) = self.rooms.get_mut(&room) {
            entry.roster.hand_over(&login, from);
        }
        if before != from {
            self.hang_up(before, info::REPLACED, out);
        }
        if had_b_frames {
            // The other encoder's pictures are judged for themselves.
            self.ingest_news(now, holder, News::BFramesEnded, out);
        }
        Ok(self.granted(holder, room, id))
    }

    /// The client ended its stream in order.
    fn end_of_owner(&mut self, room: &str, from: SessionRef, id: &str, out: &mut Outbox) {
        let entry = self.rooms.get(room);
        let stream = entry.and_then(|entry| entry.roster.stream(id));
        if stream.is_none_or(|stream| stream.session != from) {
            return;
        }
        match self.encoder_of(id) {
            Some(login) => self.leave(room, &login, LeaveCause::Asked, out),
            None => {
                self.end_stream(room, id, out);
            }
        }
    }

    /// The login of the encoder behind a stream, if there is one.
    fn encoder_of(&self, media_session_id: &str) -> Option<String> {
        let seat = self.ingest_of(media_session_id)?;
        seat.is_encoder.then(|| seat.login.clone())
    }

    /// An encoder's connection broke: it is likely to come back, so viewers
    /// wait a little. A room client's membership ends with its connection.
    fn lose_ingest(&mut self, now: Time, room: &str, from: SessionRef, id: &str, out: &mut Outbox) {
        let found = match self.seats.by_session.get(id) {
            Some(Seat::Publisher(key)) => *key,
            _ => return,
        };
        let Some(seat) = self.seats.ingests.get_mut(found) else {
            return;
        };
        if seat.owner != from {
            return;
        }
        if seat.is_encoder && seat.publication.is_some() {
            seat.lost = Some(now);
            self.wheel.arm(now + INGEST_LINGER, Timer::Ingest(found));
        } else {
            self.end_of_owner(room, from, id, out);
        }
    }

    pub(in crate::core) fn give_up_ingest(
        &mut self,
        now: Time,
        key: Key<IngestSeat>,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.seats.ingests.get(key) else {
            return;
        };
        if seat.lost.is_some_and(|at| now.since(at) >= INGEST_LINGER) {
            let (room, login) = (seat.room.clone(), seat.login.clone());
            self.leave(&room, &login, LeaveCause::SocketLost, out);
        }
    }

    /// Whether an encoder that may still come back, or is there, holds a login.
    pub(in crate::core) fn is_held_by_encoder(&self, room: &str, login: &str) -> bool {
        let Some(room) = self.rooms.get(room) else {
            return false;
        };
        let mut streams = room.roster.streams_of(login);
        streams.any(|stream| {
            stream.carrier.is_rtmp() && self.encoder_of(&stream.media_session_id).is_some()
        })
    }

    /// Frees what carried a stream; its end is told by the caller.
    pub(in crate::core) fn end_rtmp(
        &mut self,
        room: &str,
        stream: &Stream<SessionRef>,
        out: &mut Outbox,
    ) {
        match self.seats.by_session.remove(&stream.media_session_id) {
            Some(Seat::Publisher(key)) => self.end_ingest(key, out),
            Some(Seat::Player(feed)) => {
                if stream.is_player()
                    && let Some(room) = self.rooms.get_mut(room)
                {
                    room.decoders.forget(&stream.login);
                }
                self.end_listener(stream, feed, out);
            }
            None => {}
        }
    }

    fn end_ingest(&mut self, key: Key<IngestSeat>, out: &mut Outbox) {
        let Some(seat) = self.seats.ingests.remove(key) else {
            return;
        };
        if let Some(publication) = seat.publication {
            self.media.publications.remove(publication);
        }
        self.stop_converting(seat.conversion, out);
        self.remove_feed(seat.feed, out);
        if seat.lost.is_none() {
            let why = info::STOPPED_BY_DISCONNECT;
            self.reply(
                seat.owner,
                seat.media_session_id,
                Reply::Unpublished { why },
                out,
            );
        }
    }

    pub(in crate::core) fn ingest_of(&self, media_session_id: &str) -> Option<&IngestSeat> {
        match *self.seats.by_session.get(media_session_id)? {
            Seat::Publisher(key) => self.seats.ingests.get(key),
            Seat::Player(_) => None,
        }
    }

    /// The publication of an RTMP publisher, from when its tracks are known.
    pub(in crate::core) fn rtmp_publication(&self, id: &str) -> Option<Key<Publication>> {
        self.ingest_of(id)?.publication
    }
}
