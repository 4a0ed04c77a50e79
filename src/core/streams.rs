//! The home core's side of streams: publications and plays are opened here,
//! announced when their keys are there, and ended. Players hear that a stream
//! stopped before the room hears that it is gone.

use std::fmt;

use crate::base::slab::Key;
use crate::base::time::Time;
use crate::core::border::Outbox;
use crate::core::codecs::Published;
use crate::core::machine::Core;
use crate::core::mail::SessionRef;
use crate::core::media::ufrag_of;
use crate::core::relay::{Asker, Fate};
use crate::ops::event::{Event, LeaveCause};
use crate::proto::dtls::End;
use crate::proto::ice_lite::IceLite;
use crate::proto::transport::{Failure, Transport};
use crate::room::notice::{Notice, StreamStatus, info};
use crate::room::peer::{AfarSeat, Peer, Role};
use crate::room::publication::{Publication, PublicationSpec};
use crate::room::roster::{Carrier, Muted, Stream, StreamRole};
use crate::room::subscription::{DownTrack, Subscription};
use crate::room::track::Kind;
use crate::signal::message::StreamOffer;
use crate::signal::negotiate::{
    self, AUDIO_CODECS, LocalDescription, LocalSender, LocalSenders, Negotiated, NegotiationError,
    PublishPolicy, Receivable,
};
use crate::wire::sdp::{self, SdpError, SessionOffer, Setup};

/// A stream a member, or a player, asks for.
pub(super) struct Asked {
    pub room: String,
    pub login: String,
    pub from: SessionRef,
    pub media_session_id: String,
    pub name: String,
    /// It asks to be recorded.
    pub record: bool,
}

/// A stream that is being opened.
pub(super) enum Opened {
    /// The answer to its offer.
    Here(String),
    /// Another core will give it.
    Afar,
}

/// What a viewer's peer connection is made with.
pub(super) struct Seat {
    pub room: String,
    pub media_session_id: String,
    pub stream: String,
    /// What the room's home core knows it by, if that is another.
    pub home: Option<AfarSeat>,
}

/// Why there is no stream.
pub(super) enum Refused {
    /// The room or the server does not have it.
    Room(&'static str),
    /// The offer cannot be read.
    Text(SdpError),
    /// The offer cannot be answered.
    Offer(NegotiationError),
}

impl Refused {
    /// What clients of the room protocol are told.
    fn info(&self) -> &'static str {
        match self {
            Refused::Room(info) => info,
            Refused::Text(_) => info::BAD_OFFER,
            Refused::Offer(error) => error.info(),
        }
    }
}

impl From<&'static str> for Refused {
    fn from(info: &'static str) -> Self {
        Refused::Room(info)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Room(info) => f.write_str(info),
            Refused::Text(error) => error.fmt(f),
            Refused::Offer(error) => error.fmt(f),
        }
    }
}

impl Stream<SessionRef> {
    /// A play of nobody in the room: the books name it by itself.
    pub(super) fn is_player(&self) -> bool {
        self.role == StreamRole::Play && self.login == self.media_session_id
    }
}

impl Core {
    pub(super) fn open_stream(
        &mut self,
        now: Time,
        from: SessionRef,
        role: StreamRole,
        offer: StreamOffer,
        out: &mut Outbox,
    ) {
        let media_session_id = offer.media_session_id.clone();
        let (room, name) = (offer.room.clone(), offer.name.clone());
        let over_tcp = offer.over_tcp;
        let opened = match self.login_of(&offer.room, from) {
            None => Err(Refused::Room(info::NOT_A_MEMBER)),
            Some(login) => {
                let asked = Asked {
                    room: offer.room,
                    login,
                    from,
                    media_session_id: offer.media_session_id,
                    name: offer.name,
                    record: offer.record,
                };
                let asker = Asker::Session { over_tcp };
                self.try_open(now, asked, asker, role, &offer.sdp, out)
            }
        };
        let refused = opened.as_ref().err().map(Refused::info);
        let notice = match opened {
            Ok(Opened::Afar) => return,
            Ok(Opened::Here(sdp)) => Notice::RemoteSdp {
                media_session_id: media_session_id.clone(),
                sdp,
            },
            Err(refused) => Notice::StreamStatus {
                media_session_id: media_session_id.clone(),
                status: StreamStatus::Failed,
                info: Some(refused.info()),
                record_name: None,
            },
        };
        self.tell(from, notice, out);
        match refused {
            None if over_tcp => self.tell_over_udp(room, from, media_session_id, name, out),
            Some(info::NO_COMMON_CODECS) if role == StreamRole::Play => {
                self.ask_to_republish(now, &room, &name, out);
            }
            _ => {}
        }
    }

    /// There are no TCP candidates: who asked for them learns it.
    pub(super) fn tell_over_udp(
        &mut self,
        room: String,
        to: SessionRef,
        media_session_id: String,
        stream: String,
        out: &mut Outbox,
    ) {
        let login = self.login_of(&room, to).unwrap_or_default();
        self.tell(to, Notice::OverUdp { media_session_id }, out);
        let event = Event::OverUdp {
            room,
            login,
            stream,
        };
        self.event(event, out);
    }

    pub(super) fn try_open(
        &mut self,
        now: Time,
        asked: Asked,
        asker: Asker,
        role: StreamRole,
        sdp: &str,
        out: &mut Outbox,
    ) -> Result<Opened, Refused> {
        let room = self.rooms.get_mut(&asked.room).ok_or(info::NOT_A_MEMBER)?;
        let refusal =
            room.roster
                .refuse_stream(&asked.login, &asked.media_session_id, &asked.name, role);
        if let Some(info) = refusal {
            return Err(Refused::Room(info));
        }
        let offer = sdp::parse(sdp).map_err(Refused::Text)?;
        if asked.from.has_socket() || role == StreamRole::Publish {
            // Players without a socket come and go unheard: nobody waits for
            // what they can decode.
            room.decoders.note(&asked.login, role, &offer);
        }
        match role {
            StreamRole::Publish => {
                let answer = self.open_publication(now, asked, &offer)?;
                Ok(Opened::Here(answer))
            }
            StreamRole::Play => self.open_play(now, asked, asker, &offer, out),
        }
    }

    fn open_publication(
        &mut self,
        now: Time,
        asked: Asked,
        offer: &SessionOffer,
    ) -> Result<String, Refused> {
        let room = self.rooms.get(&asked.room).ok_or(info::NOT_A_MEMBER)?;
        let video_codecs = self.publish_order(room, &asked.room, &asked.login);
        let policy = PublishPolicy {
            video_codecs: &video_codecs,
            audio_codecs: &AUDIO_CODECS,
            max_bitrate_kbps: self.setup.max_bitrate_kbps,
        };
        let is_recorded = asked.record || room.records_all || self.setup.rules.record.all;
        let mut negotiated =
            negotiate::negotiate_publish(offer, &policy).map_err(Refused::Offer)?;
        if is_recorded {
            negotiated.turn_upright();
        }
        let spec = PublicationSpec {
            audio: negotiated.track_spec(Kind::Audio),
            video: negotiated.track_spec(Kind::Video),
            reference_times: negotiated.media.iter().any(|media| media.rcvr_rtt),
            reduced_size: negotiated.media.iter().all(|media| media.rtcp_rsize),
            max_bitrate_kbps: self.setup.max_bitrate_kbps,
            cname: self.noise_name(),
        };
        let publication = Publication::new(now, None, spec, &mut self.noise);
        let key = self.media.publications.insert(publication);
        let key = key.ok_or(info::SERVER_FULL)?;
        let published = Published {
            tracks: negotiated.published(),
            offered: Receivable::from_offer(offer).video,
        };
        let senders = LocalSenders::default();
        let role = Role::Publisher(key);
        let seat = Seat {
            room: asked.room.clone(),
            media_session_id: asked.media_session_id.clone(),
            stream: asked.name.clone(),
            home: None,
        };
        let opened = self.open_peer(now, seat, role, &negotiated, senders);
        let Ok((peer, sdp)) = opened else {
            self.media.publications.remove(key);
            return opened.map(|(_, sdp)| sdp).map_err(Refused::Room);
        };
        if let Some(publication) = self.media.publications.get_mut(key) {
            publication.publisher = Some(peer);
        }
        if let Some(room) = self.rooms.get_mut(&asked.room) {
            let id = asked.media_session_id.clone();
            room.published.insert(id, published);
        }
        self.add_stream(asked, Carrier::Peer(peer), StreamRole::Publish);
        Ok(sdp)
    }

    fn open_play(
        &mut self,
        now: Time,
        asked: Asked,
        asker: Asker,
        offer: &SessionOffer,
        out: &mut Outbox,
    ) -> Result<Opened, Refused> {
        let room = self.rooms.get(&asked.room).ok_or(info::NOT_A_MEMBER)?;
        let stream = room
            .roster
            .publication(&asked.name)
            .ok_or(info::STREAM_NOT_FOUND)?;
        if !stream.live {
            return Err(Refused::Room(info::STREAM_NOT_READY));
        }
        let published = room
            .published
            .get(&stream.media_session_id)
            .ok_or(info::STREAM_NOT_FOUND)?;
        let publication = self.publication_of(stream).ok_or(info::STREAM_NOT_FOUND)?;
        let negotiated =
            negotiate::negotiate_play(offer, &published.tracks).map_err(Refused::Offer)?;
        let place = self.place_viewer();
        if place != self.id() {
            self.order_viewer(place, asked, asker, publication, negotiated, out)?;
            return Ok(Opened::Afar);
        }
        let seat = Seat {
            room: asked.room.clone(),
            media_session_id: asked.media_session_id.clone(),
            stream: asked.name.clone(),
            home: None,
        };
        let (peer, answer) = self.seat_viewer(now, seat, publication, &negotiated)?;
        self.add_stream(asked, Carrier::Peer(peer), StreamRole::Play);
        Ok(Opened::Here(answer))
    }

    /// Makes a viewer of a publication, or of a replica, of this core.
    pub(super) fn seat_viewer(
        &mut self,
        now: Time,
        seat: Seat,
        publication: Key<Publication>,
        negotiated: &Negotiated,
    ) -> Result<(Key<Peer>, String), &'static str> {
        let noise = &mut self.noise;
        let mut down = |kind| {
            let spec = negotiated.track_spec(kind)?;
            Some(DownTrack::new(kind, spec, noise))
        };
        let (audio, video) = (down(Kind::Audio), down(Kind::Video));
        let sender = |track: &Option<DownTrack>| {
            track.as_ref().map(|track| LocalSender {
                ssrc: track.ssrc,
                rtx_ssrc: track.spec.rtx_payload_type.map(|_| track.rtx_ssrc),
            })
        };
        let senders = LocalSenders {
            audio: sender(&audio),
            video: sender(&video),
        };
        let cname = self.noise_name();
        let stream = seat.stream.clone();
        let subscription = Subscription::new(now, publication, stream, audio, video, cname);
        let role = Role::Viewer(Box::new(subscription));
        let opened = self.open_peer(now, seat, role, negotiated, senders)?;
        self.media.viewers += 1;
        if let Some(publication) = self.media.publications.get_mut(publication) {
            publication.viewers.push(opened.0);
        }
        Ok(opened)
    }

    /// Makes the transport and its answer.
    fn open_peer(
        &mut self,
        now: Time,
        seat: Seat,
        role: Role,
        negotiated: &Negotiated,
        senders: LocalSenders,
    ) -> Result<(Key<Peer>, String), &'static str> {
        let random = self.secret.ice_chars(6);
        let password = self.secret.ice_chars(24);
        let core = self.id();
        let identity = &self.setup.identity;
        let cname = match &role {
            Role::Viewer(subscription) => subscription.cname().to_string(),
            Role::Publisher(_) => String::new(),
        };
        let fingerprints = negotiated.fingerprints.clone();
        let remote_ufrag = negotiated.ice.ufrag.clone();
        let end = match negotiated.setup {
            Setup::Passive => End::Client,
            _ => End::Server,
        };
        let key = self.media.peers.insert_with(|key| {
            let ufrag = ufrag_of(core, key, &random);
            let ice = IceLite::new(now, ufrag, password, remote_ufrag);
            Peer {
                transport: Transport::new(now, identity, ice, end, fingerprints),
                role,
                room: seat.room,
                home: seat.home,
                media_session_id: seat.media_session_id,
                handshakes_waiting: 0,
                armed: None,
            }
        });
        let key = key.ok_or(info::SERVER_FULL)?;
        let session_id = self.noise.next_u64() >> 2;
        self.rearm_peer(now, key);
        let peer = self.media.peers.get(key).ok_or(info::SERVER_FULL)?;
        let (ufrag, pwd) = peer.transport.credentials();
        let local = LocalDescription {
            ufrag,
            pwd,
            fingerprint_sha256: self.setup.identity.fingerprint,
            candidates: &self.setup.candidates,
            session_id,
            cname: &cname,
            stream_id: &peer.media_session_id,
            senders,
        };
        Ok((key, negotiate::render_answer(negotiated, &local)))
    }

    /// The publication behind a stream, once there is one.
    pub(super) fn publication_of(&self, stream: &Stream<SessionRef>) -> Option<Key<Publication>> {
        match stream.carrier {
            Carrier::Rtmp => self.rtmp_publication(&stream.media_session_id),
            Carrier::Peer(peer) => match self.media.peers.get(peer)?.role {
                Role::Publisher(publication) => Some(publication),
                Role::Viewer(_) => None,
            },
            // Publishers are at home.
            Carrier::Afar(_) => None,
        }
    }

    pub(super) fn add_stream(&mut self, asked: Asked, carrier: Carrier, role: StreamRole) {
        if let Some(room) = self.rooms.get_mut(&asked.room) {
            room.roster.add_stream(Stream {
                media_session_id: asked.media_session_id,
                name: asked.name,
                login: asked.login,
                session: asked.from,
                carrier,
                role,
                live: false,
                record: asked.record,
                muted: Muted::default(),
            });
        }
    }

    /// A short random name for RTCP (RFC 7022 section 4.2).
    pub(super) fn noise_name(&mut self) -> String {
        format!("{:016x}", self.noise.next_u64())
    }

    /// The owner stops its own stream; it is answered even when there is none.
    pub(super) fn stop(
        &mut self,
        room: &str,
        from: SessionRef,
        media_session_id: String,
        role: StreamRole,
        out: &mut Outbox,
    ) {
        let stream = self
            .rooms
            .get(room)
            .and_then(|room| room.roster.stream(&media_session_id));
        if stream.is_some_and(|stream| stream.session == from) {
            self.end_stream(room, &media_session_id, out);
        }
        let notice = Notice::StreamStatus {
            media_session_id,
            status: role.ended(),
            info: Some(info::STOPPED_BY_USER),
            record_name: None,
        };
        self.tell_when_recorded(from, notice, out);
    }

    /// Ends a stream and frees its media. Players of a publication hear that it
    /// stopped, then the room that it is unpublished. The owner hears nothing
    /// here: why it ended is the caller's to tell.
    pub(super) fn end_stream(
        &mut self,
        room: &str,
        media_session_id: &str,
        out: &mut Outbox,
    ) -> Option<Stream<SessionRef>> {
        let stream = self.rooms.get(room)?.roster.stream(media_session_id)?;
        if stream.role == StreamRole::Publish {
            // While its packets and clocks are there.
            self.end_recording(self.turn_at, media_session_id, out);
        }
        let entry = self.rooms.get_mut(room)?;
        let stream = entry.roster.remove_stream(media_session_id)?;
        entry.published.remove(media_session_id);
        if stream.role == StreamRole::Publish {
            let plays: Vec<String> = entry
                .roster
                .plays_of(&stream.name)
                .map(|play| play.media_session_id.clone())
                .collect();
            for id in plays {
                if let Some(play) = self.end_stream(room, &id, out) {
                    let notice = Notice::StreamStatus {
                        media_session_id: id,
                        status: StreamStatus::Stopped,
                        info: Some(info::STOPPED_BY_PUBLISHER),
                        record_name: None,
                    };
                    self.tell(play.session, notice, out);
                }
            }
        }
        match stream.carrier {
            Carrier::Peer(peer) => self.remove_peer(peer),
            Carrier::Afar(seat) => self.end_guest(seat, out),
            Carrier::Rtmp => self.end_rtmp(room, &stream, out),
        }
        if stream.role == StreamRole::Publish && stream.live {
            let entry = self.rooms.get(room)?;
            let others: Vec<SessionRef> = entry.roster.others(&stream.login).collect();
            let unpublished = Notice::Unpublished {
                room: room.to_string(),
                login: stream.login.clone(),
                stream: stream.name.clone(),
            };
            self.broadcast(others, &unpublished, out);
            let event = Event::Unpublished {
                room: room.to_string(),
                login: stream.login.clone(),
                stream: stream.name.clone(),
            };
            self.event(event, out);
        }
        Some(stream)
    }

    /// A stream's keys are there: its owner, and of a publication the room, hear.
    pub(super) fn stream_connected(&mut self, key: Key<Peer>, out: &mut Outbox) {
        let Some(peer) = self.media.peers.get(key) else {
            return;
        };
        if let Some(seat) = peer.home {
            return self.tell_home(seat, Fate::Connected, out);
        }
        let (room, id) = (peer.room.clone(), peer.media_session_id.clone());
        self.stream_begins(room, id, out);
    }

    /// Media can flow: the stream's owner, and of a publication the room, hear.
    pub(super) fn stream_begins(&mut self, room: String, id: String, out: &mut Outbox) {
        let Some(entry) = self.rooms.get_mut(&room) else {
            return;
        };
        let Some(stream) = entry.roster.set_live(&id).cloned() else {
            return;
        };
        let others: Vec<SessionRef> = entry.roster.others(&stream.login).collect();
        let publication = entry.roster.publication(&stream.name);
        let of_rtmp = publication.filter(|publication| publication.carrier.is_rtmp());
        let published = of_rtmp.map(|publication| publication.media_session_id.clone());
        let muted = publication.map(|publication| publication.muted.kinds());
        if stream.role == StreamRole::Publish {
            self.record_if_wanted(self.turn_at, &room, &id, out);
        }
        let notice = Notice::StreamStatus {
            media_session_id: id.clone(),
            status: stream.role.begun(),
            info: None,
            record_name: self.record_name(&id),
        };
        self.tell(stream.session, notice, out);
        if stream.role == StreamRole::Play {
            if let Some(published) = published {
                self.advise_viewer(stream.session, id.clone(), &published, out);
            }
            // Who comes late learns what was muted before.
            for kind in muted.into_iter().flatten() {
                let notice = Notice::StreamEvent {
                    media_session_id: id.clone(),
                    kind: kind.to_string(),
                    payload: "{}".to_string(),
                };
                self.tell(stream.session, notice, out);
            }
        }
        let (login, stream_name) = (stream.login, stream.name);
        let event = if stream.role == StreamRole::Publish {
            let published = Notice::Published {
                room: room.clone(),
                login: login.clone(),
                stream: stream_name.clone(),
            };
            self.broadcast(others, &published, out);
            Event::Published {
                room,
                login,
                stream: stream_name,
            }
        } else {
            Event::Playing {
                room,
                login,
                stream: stream_name,
            }
        };
        self.event(event, out);
    }

    /// A stream's transport ended: its owner hears why, and it is freed.
    pub(super) fn transport_failed(&mut self, key: Key<Peer>, failure: Failure, out: &mut Outbox) {
        let Some(peer) = self.media.peers.get(key) else {
            return;
        };
        if let Some(seat) = peer.home {
            self.remove_peer(key);
            return self.tell_home(seat, Fate::Failed(failure), out);
        }
        let (room, id) = (peer.room.clone(), peer.media_session_id.clone());
        self.stream_failed(&room, id, failure, out);
        // A peer without a stream.
        self.remove_peer(key);
    }

    /// The same at the room's home core, wherever the transport was.
    pub(super) fn stream_failed(
        &mut self,
        room: &str,
        id: String,
        failure: Failure,
        out: &mut Outbox,
    ) {
        let Some(stream) = self.end_stream(room, &id, out) else {
            return;
        };
        let is_held_by_it = stream.role == StreamRole::Publish && !stream.session.has_socket();
        let status = match failure {
            Failure::ClosedByPeer => stream.role.ended(),
            _ => StreamStatus::Failed,
        };
        let notice = Notice::StreamStatus {
            media_session_id: id,
            status,
            info: Some(failure.info()),
            record_name: None,
        };
        self.tell_when_recorded(stream.session, notice, out);
        let login = stream.login.clone();
        let event = Event::StreamFailed {
            room: room.to_string(),
            login: stream.login,
            stream: stream.name,
            info: failure.info(),
        };
        self.event(event, out);
        if is_held_by_it {
            self.leave(room, &login, LeaveCause::TransportEnded, out);
        }
    }
}
