//! The home core's side of rooms: what members ask, decided and carried out.
//! Order is the contract: a join's state and its subscription to the room's
//! events are one step, nobody hears an echo of itself, and players hear that a
//! stream stopped before the room hears that it is gone.

use std::collections::BTreeMap;

use crate::base::limits::ROOMS_MAX;
use crate::base::slab::Key;
use crate::base::time::Time;
use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::core::mail::{Mail, SessionRef};
use crate::core::media::ufrag_of;
use crate::ops::event::{Event, LeaveCause};
use crate::proto::ice_lite::IceLite;
use crate::proto::transport::{Failure, Transport};
use crate::room::notice::{Notice, StreamStatus, info};
use crate::room::peer::{Peer, Role};
use crate::room::publication::{Publication, PublicationSpec};
use crate::room::roster::{JoinVerdict, Muted, Roster, Stream, StreamRole};
use crate::room::subscription::{DownTrack, Subscription};
use crate::room::track::Kind;
use crate::signal::negotiate::{
    self, AUDIO_CODECS, LocalDescription, LocalSender, LocalSenders, Negotiated, PublishPolicy,
    PublishedTracks, Receivable,
};
use crate::signal::session::RoomRequest;
use crate::wire::sdp::{self, SessionOffer};

/// A room at its home core.
#[derive(Default)]
pub(super) struct Room {
    pub roster: Roster<SessionRef>,
    /// What each publication sends, by media session id.
    published: BTreeMap<String, PublishedTracks>,
    /// What each member can receive, by login, once an offer told.
    receivable: BTreeMap<String, Receivable>,
}

/// A stream a member asks for.
struct Asked {
    room: String,
    login: String,
    from: SessionRef,
    media_session_id: String,
    name: String,
}

impl Core {
    pub(super) fn handle_room_request(
        &mut self,
        now: Time,
        room: String,
        from: SessionRef,
        request: RoomRequest,
        out: &mut Outbox,
    ) {
        match request {
            RoomRequest::Join {
                operation_id,
                login,
                token,
                presented_token,
            } => {
                let refused = self.join(now, &room, from, &login, token, presented_token, out);
                self.settle(from, operation_id.clone(), refused, out);
                if refused.is_none() {
                    self.welcome(&room, from, login, out);
                }
            }
            RoomRequest::Leave { operation_id } => {
                let login = self.login_of(&room, from);
                let refused = login.is_none().then_some(info::NOT_A_MEMBER);
                self.settle(from, operation_id, refused, out);
                if let Some(login) = login {
                    self.leave(&room, &login, LeaveCause::Asked, out);
                }
            }
            RoomRequest::SendMessage {
                operation_id,
                to,
                text,
            } => {
                let refused = self.send_message(&room, from, &to, text, out);
                self.settle(from, operation_id, refused, out);
            }
            RoomRequest::Publish {
                media_session_id,
                name,
                sdp,
            } => self.open_stream(
                now,
                room,
                from,
                media_session_id,
                name,
                StreamRole::Publish,
                &sdp,
                out,
            ),
            RoomRequest::Play {
                media_session_id,
                name,
                sdp,
            } => self.open_stream(
                now,
                room,
                from,
                media_session_id,
                name,
                StreamRole::Play,
                &sdp,
                out,
            ),
            RoomRequest::Unpublish { media_session_id } => {
                let status = StreamStatus::Unpublished;
                self.stop(&room, from, media_session_id, status, out);
            }
            RoomRequest::Stop { media_session_id } => {
                let status = StreamStatus::Stopped;
                self.stop(&room, from, media_session_id, status, out);
            }
            RoomRequest::StreamEvent {
                media_session_id,
                kind,
                payload,
            } => self.relay_event(&room, from, &media_session_id, kind, payload, out),
            RoomRequest::AvailableStream {
                media_session_id,
                name,
            } => {
                let stream = self
                    .rooms
                    .get(&room)
                    .and_then(|r| r.roster.publication(&name));
                let available = stream.is_some_and(|stream| stream.live);
                let notice = Notice::AvailableStream {
                    media_session_id,
                    available,
                };
                self.tell(from, notice, out);
            }
            RoomRequest::Alive => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.roster.seen(now, from);
                }
            }
            RoomRequest::Gone => {
                if let Some(login) = self.login_of(&room, from) {
                    self.leave(&room, &login, LeaveCause::SocketLost, out);
                }
            }
        }
    }

    fn settle(
        &mut self,
        to: SessionRef,
        operation_id: String,
        refused: Option<&'static str>,
        out: &mut Outbox,
    ) {
        let notice = match refused {
            None => Notice::Accepted { operation_id },
            Some(info) => Notice::Refused {
                operation_id,
                info: info.to_string(),
            },
        };
        self.tell(to, notice, out);
    }

    fn login_of(&self, room: &str, session: SessionRef) -> Option<String> {
        let roster = &self.rooms.get(room)?.roster;
        roster.login_of(session).map(str::to_string)
    }

    #[expect(clippy::too_many_arguments, reason = "the request's parts, each once")]
    fn join(
        &mut self,
        now: Time,
        room: &str,
        from: SessionRef,
        login: &str,
        token: String,
        presented_token: Option<String>,
        out: &mut Outbox,
    ) -> Option<&'static str> {
        if !self.rooms.contains_key(room) {
            if self.rooms.len() >= ROOMS_MAX {
                return Some(info::SERVER_FULL);
            }
            self.rooms.insert(room.to_string(), Room::default());
        }
        let silence_max = self.silence_max();
        let roster = &self.rooms.get(room)?.roster;
        let presented = presented_token.as_deref();
        match roster.judge_join(now, login, from, presented, silence_max) {
            JoinVerdict::Refused(why) => return Some(why),
            JoinVerdict::Replaces => {
                let holder = roster.session_of(login);
                self.leave(room, login, LeaveCause::Replaced, out);
                if let Some(holder) = holder.filter(|holder| *holder != from) {
                    let connection = holder.connection;
                    self.post(holder.core, Mail::Dismiss { connection }, out);
                }
            }
            JoinVerdict::Welcome => {}
        }
        // Leaving may have emptied and removed the room.
        let entry = self.rooms.entry(room.to_string()).or_default();
        entry.roster.add(now, login, from, token);
        None
    }

    /// After the acceptance: the state to the new member, the news to the others.
    fn welcome(&mut self, room: &str, from: SessionRef, login: String, out: &mut Outbox) {
        let Some(roster) = self.rooms.get(room).map(|room| &room.roster) else {
            return;
        };
        let members = roster.state_for(&login);
        let others: Vec<SessionRef> = roster.others(&login).collect();
        let state = Notice::State {
            room: room.to_string(),
            members,
        };
        self.tell(from, state, out);
        let joined = Notice::Joined {
            room: room.to_string(),
            login: login.clone(),
        };
        self.broadcast(others, &joined, out);
        let room = room.to_string();
        self.event(Event::Joined { room, login }, out);
    }

    /// Ends a membership and everything the member had.
    fn leave(&mut self, room: &str, login: &str, cause: LeaveCause, out: &mut Outbox) {
        let Some(entry) = self.rooms.get_mut(room) else {
            return;
        };
        let held = entry.roster.held_by(login);
        for media_session_id in held {
            let ended = self.end_stream(room, &media_session_id, out);
            // A replaced session may still listen: it hears why. One that
            // asked to leave stops its streams itself and is answered then.
            if let (Some(stream), LeaveCause::Replaced) = (ended, cause) {
                let notice = Notice::StreamStatus {
                    media_session_id,
                    status: StreamStatus::Failed,
                    info: Some(info::STOPPED_BY_DISCONNECT),
                };
                self.tell(stream.session, notice, out);
            }
        }
        if let Some(entry) = self.rooms.get_mut(room)
            && entry.roster.remove(login).is_some()
        {
            entry.receivable.remove(login);
            let others: Vec<SessionRef> = entry.roster.others(login).collect();
            let left = Notice::Left {
                room: room.to_string(),
                login: login.to_string(),
            };
            self.broadcast(others, &left, out);
            let (room, login) = (room.to_string(), login.to_string());
            self.event(Event::Left { room, login, cause }, out);
        }
        self.rooms
            .retain(|name, entry| name != room || !entry.roster.is_empty());
    }

    fn send_message(
        &mut self,
        room: &str,
        from: SessionRef,
        to: &str,
        text: String,
        out: &mut Outbox,
    ) -> Option<&'static str> {
        let Some(login) = self.login_of(room, from) else {
            return Some(info::NOT_A_MEMBER);
        };
        let session = self.rooms.get(room).and_then(|r| r.roster.session_of(to));
        let Some(session) = session else {
            return Some(info::NO_SUCH_PARTICIPANT);
        };
        let notice = Notice::Message {
            room: room.to_string(),
            from: login,
            text,
        };
        self.tell(session, notice, out);
        None
    }

    /// A publisher's mute or data event reaches its players under their own ids.
    fn relay_event(
        &mut self,
        room: &str,
        from: SessionRef,
        media_session_id: &str,
        kind: String,
        payload: String,
        out: &mut Outbox,
    ) {
        let Some(roster) = self.rooms.get_mut(room).map(|room| &mut room.roster) else {
            return;
        };
        let Some(stream) = roster.stream_mut(media_session_id) else {
            return;
        };
        if stream.session != from || stream.role != StreamRole::Publish {
            return;
        }
        stream.muted.note(&kind);
        let name = stream.name.clone();
        let plays: Vec<(SessionRef, String)> = roster
            .plays_of(&name)
            .map(|play| (play.session, play.media_session_id.clone()))
            .collect();
        for (session, media_session_id) in plays {
            let notice = Notice::StreamEvent {
                media_session_id,
                kind: kind.clone(),
                payload: payload.clone(),
            };
            self.tell(session, notice, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the request's parts, each once")]
    fn open_stream(
        &mut self,
        now: Time,
        room: String,
        from: SessionRef,
        media_session_id: String,
        name: String,
        role: StreamRole,
        sdp: &str,
        out: &mut Outbox,
    ) {
        let login = self.login_of(&room, from);
        let opened = match login {
            None => Err(info::NOT_A_MEMBER),
            Some(login) => {
                let asked = Asked {
                    room,
                    login,
                    from,
                    media_session_id: media_session_id.clone(),
                    name,
                };
                self.try_open(now, asked, role, sdp)
            }
        };
        let notice = match opened {
            Ok(sdp) => Notice::RemoteSdp {
                media_session_id,
                sdp,
            },
            Err(info) => Notice::StreamStatus {
                media_session_id,
                status: StreamStatus::Failed,
                info: Some(info),
            },
        };
        self.tell(from, notice, out);
    }

    fn try_open(
        &mut self,
        now: Time,
        asked: Asked,
        role: StreamRole,
        sdp: &str,
    ) -> Result<String, &'static str> {
        let room = self.rooms.get_mut(&asked.room).ok_or(info::NOT_A_MEMBER)?;
        let refusal =
            room.roster
                .refuse_stream(&asked.login, &asked.media_session_id, &asked.name, role);
        if let Some(info) = refusal {
            return Err(info);
        }
        let offer = sdp::parse(sdp).map_err(|_| info::BAD_OFFER)?;
        let receivable = Receivable::from_offer(&offer);
        room.receivable.insert(asked.login.clone(), receivable);
        match role {
            StreamRole::Publish => self.open_publication(now, asked, &offer),
            StreamRole::Play => self.open_play(now, asked, &offer),
        }
    }

    fn open_publication(
        &mut self,
        now: Time,
        asked: Asked,
        offer: &SessionOffer,
    ) -> Result<String, &'static str> {
        let room = self.rooms.get(&asked.room).ok_or(info::NOT_A_MEMBER)?;
        let others = room
            .receivable
            .iter()
            .filter(|(login, _)| **login != asked.login);
        let video_codecs = negotiate::prefer_common(
            &self.setup.video_codecs,
            others.map(|(_, receivable)| receivable),
        );
        let policy = PublishPolicy {
            video_codecs: &video_codecs,
            audio_codecs: &AUDIO_CODECS,
            max_bitrate_kbps: self.setup.max_bitrate_kbps,
        };
        let negotiated =
            negotiate::negotiate_publish(offer, &policy).map_err(|error| error.info())?;
        let spec = PublicationSpec {
            audio: negotiated.track_spec(Kind::Audio),
            video: negotiated.track_spec(Kind::Video),
            reference_times: negotiated.media.iter().any(|media| media.rcvr_rtt),
            reduced_size: negotiated.media.iter().all(|media| media.rtcp_rsize),
            max_bitrate_kbps: self.setup.max_bitrate_kbps,
            cname: self.noise_name(),
        };
        let placeholder = Key::from_bits(u64::MAX);
        let publication = Publication::new(now, placeholder, spec, &mut self.noise);
        let key = self.media.publications.insert(publication);
        let key = key.ok_or(info::SERVER_FULL)?;
        let published = negotiated.published();
        let senders = LocalSenders::default();
        let role = Role::Publisher(key);
        let opened = self.open_peer(now, &asked, role, &negotiated, senders);
        let Ok((peer, sdp)) = opened else {
            self.media.publications.remove(key);
            return opened.map(|(_, sdp)| sdp);
        };
        if let Some(publication) = self.media.publications.get_mut(key) {
            publication.publisher = peer;
        }
        if let Some(room) = self.rooms.get_mut(&asked.room) {
            let id = asked.media_session_id.clone();
            room.published.insert(id, published);
        }
        self.add_stream(asked, peer, StreamRole::Publish);
        Ok(sdp)
    }

    fn open_play(
        &mut self,
        now: Time,
        asked: Asked,
        offer: &SessionOffer,
    ) -> Result<String, &'static str> {
        let room = self.rooms.get(&asked.room).ok_or(info::NOT_A_MEMBER)?;
        let stream = room
            .roster
            .publication(&asked.name)
            .ok_or(info::STREAM_NOT_FOUND)?;
        if !stream.live {
            return Err(info::STREAM_NOT_READY);
        }
        let published = room
            .published
            .get(&stream.media_session_id)
            .ok_or(info::STREAM_NOT_FOUND)?;
        let publisher = self.media.peers.get(stream.peer);
        let Some(Role::Publisher(publication)) = publisher.map(|peer| &peer.role) else {
            return Err(info::STREAM_NOT_FOUND);
        };
        let publication = *publication;
        let negotiated =
            negotiate::negotiate_play(offer, published).map_err(|error| error.info())?;
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
        let stream_name = asked.name.clone();
        let subscription = Subscription::new(now, publication, stream_name, audio, video, cname);
        let role = Role::Viewer(Box::new(subscription));
        let (peer, sdp) = self.open_peer(now, &asked, role, &negotiated, senders)?;
        if let Some(publication) = self.media.publications.get_mut(publication) {
            publication.viewers.push(peer);
        }
        self.add_stream(asked, peer, StreamRole::Play);
        Ok(sdp)
    }

    /// Makes the transport and its answer.
    fn open_peer(
        &mut self,
        now: Time,
        asked: &Asked,
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
        let key = self.media.peers.insert_with(|key| {
            let ufrag = ufrag_of(core, key, &random);
            let ice = IceLite::new(now, ufrag, password, remote_ufrag);
            Peer {
                transport: Transport::new(now, identity, ice, fingerprints),
                role,
                room: asked.room.clone(),
                media_session_id: asked.media_session_id.clone(),
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
            stream_id: &asked.media_session_id,
            senders,
        };
        Ok((key, negotiate::render_answer(negotiated, &local)))
    }

    fn add_stream(&mut self, asked: Asked, peer: Key<Peer>, role: StreamRole) {
        if let Some(room) = self.rooms.get_mut(&asked.room) {
            room.roster.add_stream(Stream {
                media_session_id: asked.media_session_id,
                name: asked.name,
                login: asked.login,
                session: asked.from,
                peer,
                role,
                live: false,
                muted: Muted::default(),
            });
        }
    }

    /// A short random name for RTCP (RFC 7022 section 4.2).
    fn noise_name(&mut self) -> String {
        format!("{:016x}", self.noise.next_u64())
    }

    /// The owner stops its own stream; it is answered even when there is none.
    fn stop(
        &mut self,
        room: &str,
        from: SessionRef,
        media_session_id: String,
        status: StreamStatus,
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
            status,
            info: Some(info::STOPPED_BY_USER),
        };
        self.tell(from, notice, out);
    }

    /// Ends a stream and frees its media. Players of a publication hear that it
    /// stopped, then the room that it is unpublished. The owner hears nothing
    /// here: why it ended is the caller's to tell.
    fn end_stream(
        &mut self,
        room: &str,
        media_session_id: &str,
        out: &mut Outbox,
    ) -> Option<Stream<SessionRef>> {
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
                    };
                    self.tell(play.session, notice, out);
                }
            }
        }
        self.remove_peer(stream.peer, out);
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
        let (room, id) = (peer.room.clone(), peer.media_session_id.clone());
        let Some(entry) = self.rooms.get_mut(&room) else {
            return;
        };
        let Some(stream) = entry.roster.set_live(&id).cloned() else {
            return;
        };
        let status = match stream.role {
            StreamRole::Publish => StreamStatus::Publishing,
            StreamRole::Play => StreamStatus::Playing,
        };
        let others: Vec<SessionRef> = entry.roster.others(&stream.login).collect();
        let publication = entry.roster.publication(&stream.name);
        let muted = publication.map(|publication| publication.muted.kinds());
        let notice = Notice::StreamStatus {
            media_session_id: id.clone(),
            status,
            info: None,
        };
        self.tell(stream.session, notice, out);
        if stream.role == StreamRole::Play {
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
        let (room, id) = (peer.room.clone(), peer.media_session_id.clone());
        let Some(stream) = self.end_stream(&room, &id, out) else {
            self.remove_peer(key, out);
            return;
        };
        let status = match (failure, stream.role) {
            (Failure::ClosedByPeer, StreamRole::Publish) => StreamStatus::Unpublished,
            (Failure::ClosedByPeer, StreamRole::Play) => StreamStatus::Stopped,
            _ => StreamStatus::Failed,
        };
        let notice = Notice::StreamStatus {
            media_session_id: id,
            status,
            info: Some(failure.info()),
        };
        self.tell(stream.session, notice, out);
        let event = Event::StreamFailed {
            room,
            login: stream.login,
            stream: stream.name,
            info: failure.info(),
        };
        self.event(event, out);
    }

    /// Ends every room, members told; for the server's end.
    pub(super) fn close_every_room(&mut self, out: &mut Outbox) {
        let mut names: Vec<String> = self.rooms.keys().cloned().collect();
        names.sort_unstable();
        for name in names {
            let logins: Vec<String> = match self.rooms.get(&name) {
                Some(room) => room.roster.logins().map(str::to_string).collect(),
                None => continue,
            };
            for login in logins {
                self.leave(&name, &login, LeaveCause::ServerStopping, out);
            }
        }
    }
}
