//! The home core's side: who publishes over WHIP becomes a member without a
//! socket, held by its transport; who plays over WHEP is a subscriber and no
//! member.

use crate::base::slab::Key;
use crate::base::time::Time;
use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::core::mail::{Mail, SessionRef};
use crate::core::media::ufrag_of;
use crate::core::relay::{Asker, Fate};
use crate::core::streams::{Asked, Opened, Refused};
use crate::core::whip::request::{FRAGMENT, SDP};
use crate::core::whip::{Entry, Reply, Request, SessionName, allows};
use crate::ops::event::LeaveCause;
use crate::ops::route::Protocol;
use crate::room::notice::info;
use crate::room::peer::Peer;
use crate::room::roster::{Carrier, StreamRole};
use crate::signal::negotiate::{NegotiationError, render_restart};
use crate::wire::sdp::{Fragment, IceCredentials};

/// How the streams of shared screens end; nobody plays one by its owner's name.
const SCREEN_SUFFIX: &str = "-screenShare";

/// A session's beginning.
struct Opening {
    room: String,
    /// Of the participant who publishes, of the stream to play.
    name: String,
    from: SessionRef,
    media_session_id: String,
}

impl Core {
    /// Does what was asked, and mails the reply.
    pub(in crate::core) fn whip(
        &mut self,
        now: Time,
        from: SessionRef,
        request: Request,
        out: &mut Outbox,
    ) {
        let reply = match request {
            Request::Open {
                protocol,
                room,
                name,
                offer,
            } => match self.open_session(now, from, protocol, [room, name], &offer, out) {
                Some(reply) => reply,
                // Another core will answer.
                None => return,
            },
            Request::End { session } => self.end_named(&session, out),
            Request::Patch {
                session,
                if_match,
                fragment,
            } => self.patch_named(&session, if_match.as_deref(), &fragment),
        };
        let connection = from.connection;
        self.post(from.core, Mail::Whipped { connection, reply }, out);
    }

    fn open_session(
        &mut self,
        now: Time,
        asker: SessionRef,
        protocol: Protocol,
        [room, name]: [String; 2],
        offer: &str,
        out: &mut Outbox,
    ) -> Option<Reply> {
        self.whip.opened += 1;
        let opening = Opening {
            room,
            name,
            from: SessionRef::without_socket(self.id(), self.whip.opened),
            media_session_id: format!("{}-{:016x}", protocol.word(), self.noise.next_u64()),
        };
        let (room, id) = (opening.room.clone(), opening.media_session_id.clone());
        let opened = match protocol {
            Protocol::Whip => self.publish_over_http(now, opening, offer, out),
            Protocol::Whep => self.play_over_http(now, asker, opening, offer, out),
        };
        let answer = match opened {
            Ok(Opened::Here(answer)) => answer,
            Ok(Opened::Afar) => return None,
            Err(refused) => return Some(refusal(&refused)),
        };
        let roster = self.rooms.get(&room).map(|room| &room.roster);
        let stream = roster.and_then(|roster| roster.stream(&id));
        let Some(Carrier::Peer(peer)) = stream.map(|stream| stream.carrier) else {
            return Some(Reply::text(503, info::SERVER_FULL));
        };
        let session = self.name_session(protocol, peer);
        Some(created(answer, session))
    }

    /// The reply to a viewer that another core seated.
    pub(in crate::core) fn answer_whep(
        &mut self,
        asker: SessionRef,
        answer: String,
        session: Option<(String, String)>,
        out: &mut Outbox,
    ) {
        let reply = match session {
            Some(session) => created(answer, session),
            None => Reply::text(503, info::SERVER_FULL),
        };
        let connection = asker.connection;
        self.post(asker.core, Mail::Whipped { connection, reply }, out);
    }

    /// The reply to a viewer that no core seated.
    pub(in crate::core) fn refuse_whep(
        &mut self,
        asker: SessionRef,
        why: &'static str,
        out: &mut Outbox,
    ) {
        let reply = refusal(&Refused::Room(why));
        let connection = asker.connection;
        self.post(asker.core, Mail::Whipped { connection, reply }, out);
    }

    /// The session's address and its first entity tag.
    pub(in crate::core) fn name_session(
        &mut self,
        protocol: Protocol,
        peer: Key<Peer>,
    ) -> (String, String) {
        let name = SessionName {
            protocol,
            core: self.id(),
            peer,
            secret: self.secret.token(),
        };
        let location = name.path();
        let etag = self.new_etag();
        let entry = Entry {
            protocol,
            secret: name.secret,
            etag: etag.clone(),
        };
        self.whip.by_peer.insert(peer.to_bits(), entry);
        (location, etag)
    }

    fn new_etag(&mut self) -> String {
        format!("\"{:016x}\"", self.noise.next_u64())
    }

    /// Joins and publishes in one step: nobody hears of a member whose offer
    /// was refused.
    fn publish_over_http(
        &mut self,
        now: Time,
        opening: Opening,
        offer: &str,
        out: &mut Outbox,
    ) -> Result<Opened, Refused> {
        let (room, login, from) = (opening.room, opening.name, opening.from);
        // Never shown to anybody: no other session takes this login over.
        let token = self.secret.token();
        if let Some(why) = self.join(now, &room, from, &login, token, None, out) {
            return Err(Refused::Room(why));
        }
        let asked = Asked {
            name: format!("{room}-{login}"),
            room: room.clone(),
            login: login.clone(),
            from,
            media_session_id: opening.media_session_id,
            record: false,
        };
        let asker = Asker::Http(from);
        match self.try_open(now, asked, asker, StreamRole::Publish, offer, out) {
            Ok(answer) => {
                self.welcome(&room, from, login, out);
                Ok(answer)
            }
            Err(refused) => {
                self.withdraw(&room, &login, out);
                Err(refused)
            }
        }
    }

    fn play_over_http(
        &mut self,
        now: Time,
        asker: SessionRef,
        opening: Opening,
        offer: &str,
        out: &mut Outbox,
    ) -> Result<Opened, Refused> {
        let asked = Asked {
            name: self.stream_called(&opening.room, &opening.name)?,
            room: opening.room,
            // Its own name to the room's books, and to no member.
            login: opening.media_session_id.clone(),
            from: opening.from,
            media_session_id: opening.media_session_id,
            record: false,
        };
        let asker = Asker::Http(asker);
        self.try_open(now, asked, asker, StreamRole::Play, offer, out)
    }

    /// The stream of this very name, else the first live one, by name, of the
    /// participant so called.
    pub(in crate::core) fn stream_called(
        &self,
        room: &str,
        name: &str,
    ) -> Result<String, &'static str> {
        let roster = &self.rooms.get(room).ok_or(info::STREAM_NOT_FOUND)?.roster;
        if roster.publication(name).is_some() {
            return Ok(name.to_owned());
        }
        let of_login = roster.streams_of(name).filter(|stream| {
            stream.role == StreamRole::Publish
                && stream.live
                && !stream.name.ends_with(SCREEN_SUFFIX)
        });
        let first = of_login.map(|stream| &stream.name).min();
        Ok(first.ok_or(info::STREAM_NOT_FOUND)?.clone())
    }

    fn end_named(&mut self, name: &SessionName, out: &mut Outbox) -> Reply {
        let found = self.whip.find(name).is_some();
        let peer = self.media.peers.get(name.peer).filter(|_| found);
        let Some(peer) = peer else {
            return Reply::text(404, "no such session");
        };
        if let Some(seat) = peer.home {
            self.tell_home(seat, Fate::Ended, out);
        } else {
            let (room, id) = (peer.room.clone(), peer.media_session_id.clone());
            self.end_over_http(&room, &id, LeaveCause::Asked, out);
        }
        Reply::text(200, "ended")
    }

    /// Ends what a WHIP or WHEP client had: the membership with its stream, or
    /// the play.
    pub(in crate::core) fn end_over_http(
        &mut self,
        room: &str,
        media_session_id: &str,
        cause: LeaveCause,
        out: &mut Outbox,
    ) {
        let entry = self.rooms.get(room);
        let stream = entry.and_then(|entry| entry.roster.stream(media_session_id));
        let publisher = stream
            .filter(|stream| stream.role == StreamRole::Publish)
            .map(|stream| stream.login.clone());
        match publisher {
            Some(login) => self.leave(room, &login, cause, out),
            None => {
                self.end_stream(room, media_session_id, out);
            }
        }
    }

    fn patch_named(
        &mut self,
        name: &SessionName,
        if_match: Option<&str>,
        fragment: &Fragment,
    ) -> Reply {
        let Some(entry) = self.whip.find(name) else {
            return Reply::text(404, "no such session");
        };
        let Some(if_match) = if_match else {
            return Reply::text(428, "If-Match is needed");
        };
        if !allows(if_match, &entry.etag) {
            let etag = entry.etag.clone();
            return Reply::text(412, "the ICE session is another by now").with("ETag", &etag);
        }
        let peer = self.media.peers.get(name.peer);
        let current = peer.map(|peer| peer.transport.remote_ufrag());
        match &fragment.ice {
            Some(ice) if current != Some(ice.ufrag.as_str()) => {
                self.restart_ice(name, ice, fragment)
            }
            // Candidates: the client's checks tell where it is.
            _ => Reply::text(204, ""),
        }
    }

    fn restart_ice(
        &mut self,
        name: &SessionName,
        ice: &IceCredentials,
        fragment: &Fragment,
    ) -> Reply {
        let ufrag = ufrag_of(self.id(), name.peer, &self.secret.ice_chars(6));
        let password = self.secret.ice_chars(24);
        let etag = self.new_etag();
        let section = fragment.section.as_ref();
        let body = render_restart(section, &ufrag, &password, &self.setup.candidates);
        if let Some(peer) = self.media.peers.get_mut(name.peer) {
            let theirs = ice.ufrag.clone();
            peer.transport.restart_ice(ufrag, password, theirs);
        }
        if let Some(entry) = self.whip.find(name) {
            entry.etag.clone_from(&etag);
        }
        Reply {
            status: 200,
            kind: FRAGMENT,
            body,
            headers: vec![("ETag", etag)],
        }
    }
}

/// The reply to an offer that was answered.
fn created(answer: String, (location, etag): (String, String)) -> Reply {
    Reply {
        status: 201,
        kind: SDP,
        body: answer,
        headers: vec![("Location", location), ("ETag", etag)],
    }
}

/// The status of a refusal.
fn refusal(refused: &Refused) -> Reply {
    let status = match refused {
        Refused::Room(info::LOGIN_IN_USE | info::NAME_IN_USE | info::STREAM_NOT_READY) => 409,
        Refused::Room(info::STREAM_NOT_FOUND) => 404,
        Refused::Room(_) => 503,
        Refused::Offer(NegotiationError::NoCommonCodecs) => 406,
        Refused::Text(_) | Refused::Offer(_) => 400,
    };
    let reply = Reply::text(status, &refused.to_string());
    match refused {
        // The publisher is just connecting, or a place may become free.
        Refused::Room(info::STREAM_NOT_READY) => reply.with("Retry-After", "1"),
        Refused::Room(_) if status == 503 => reply.with("Retry-After", "10"),
        _ => reply,
    }
}
