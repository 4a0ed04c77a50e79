//! The home core's side: viewers placed elsewhere, what the publications relay
//! for them, and what is heard of them.

use crate::base::slab::Key;
use crate::base::time::Time;
use crate::core::border::{CoreId, Outbox};
use crate::core::machine::Core;
use crate::core::mail::Mail;
use crate::core::relay::{Asker, Fate, Guest, Order, RelayMail, Seated, Source};
use crate::core::streams::Asked;
use crate::ops::event::LeaveCause;
use crate::proto::keyframe::Reason;
use crate::room::fanout;
use crate::room::notice::{Notice, StreamStatus, info};
use crate::room::peer::AfarSeat;
use crate::room::publication::Publication;
use crate::room::relay::Relay;
use crate::room::roster::{Carrier, StreamRole};
use crate::room::track::Kind;
use crate::signal::negotiate::Negotiated;

impl Core {
    /// Has `at` seat a viewer; its answer comes by mail.
    pub(in crate::core) fn order_viewer(
        &mut self,
        at: CoreId,
        asked: Asked,
        asker: Asker,
        key: Key<Publication>,
        negotiated: Negotiated,
        out: &mut Outbox,
    ) -> Result<(), &'static str> {
        let publication = self.media.publications.get_mut(key);
        let publication = publication.ok_or(info::STREAM_NOT_FOUND)?;
        let spec = |kind| publication.track(kind).map(|track| track.spec.clone());
        let source = Source {
            replica: key.to_bits(),
            audio: spec(Kind::Audio),
            video: spec(Kind::Video),
            clocks: Kind::ALL.map(|kind| publication.clock(kind)),
        };
        let known = publication.relays.iter_mut().find(|r| r.core == at.0);
        match known {
            Some(relay) => relay.viewers += 1,
            None => {
                let relay = Relay {
                    core: at.0,
                    replica: key.to_bits(),
                    viewers: 1,
                };
                fanout::relay_past(publication, &relay, self.turn_at, &mut out.relays);
                publication.relays.push(relay);
            }
        }
        self.relaying.seats_given += 1;
        let seat = self.relaying.seats_given;
        let guest = Guest {
            room: asked.room.clone(),
            media_session_id: asked.media_session_id.clone(),
            at: at.0,
            publication: key,
            asker: Some(asker),
        };
        self.relaying.guests.insert(seat, guest);
        let order = Order {
            seat,
            room: asked.room.clone(),
            media_session_id: asked.media_session_id.clone(),
            stream: asked.name.clone(),
            negotiated,
            is_whep: matches!(asker, Asker::Http(_)),
            source,
        };
        let carrier = Carrier::Afar(AfarSeat {
            core: at.0,
            number: seat,
        });
        self.add_stream(asked, carrier, StreamRole::Play);
        self.post(at, Mail::Relay(RelayMail::Seat(Box::new(order))), out);
        Ok(())
    }

    /// A viewer elsewhere is over: its core frees it, and the replica with the
    /// last one.
    pub(in crate::core) fn end_guest(&mut self, seat: AfarSeat, out: &mut Outbox) {
        let Some(guest) = self.relaying.guests.remove(&seat.number) else {
            return;
        };
        let at = CoreId(guest.at);
        let unseat = RelayMail::Unseat { seat: seat.number };
        self.post(at, Mail::Relay(unseat), out);
        if let Some(Asker::Http(from)) = guest.asker {
            self.refuse_whep(from, info::STREAM_NOT_FOUND, out);
        }
        let Some(publication) = self.media.publications.get_mut(guest.publication) else {
            return;
        };
        let relays = &mut publication.relays;
        let Some(relay) = relays.iter_mut().find(|relay| relay.core == guest.at) else {
            return;
        };
        relay.viewers = relay.viewers.saturating_sub(1);
        if relay.viewers == 0 {
            let replica = relay.replica;
            relays.retain(|relay| relay.core != guest.at);
            self.post(at, Mail::Relay(RelayMail::Close { replica }), out);
        }
    }

    /// A viewer's core answered its order.
    pub(super) fn guest_seated(
        &mut self,
        seat: u64,
        outcome: Result<Seated, &'static str>,
        out: &mut Outbox,
    ) {
        let Some(guest) = self.relaying.guests.get_mut(&seat) else {
            // Its stream has ended since.
            return;
        };
        let Some(asker) = guest.asker.take() else {
            return;
        };
        let (room, id) = (guest.room.clone(), guest.media_session_id.clone());
        let entry = self.rooms.get(&room);
        let Some(stream) = entry.and_then(|entry| entry.roster.stream(&id)).cloned() else {
            return;
        };
        match (asker, outcome) {
            (Asker::Session { over_tcp }, Ok(seated)) => {
                let notice = Notice::RemoteSdp {
                    media_session_id: id.clone(),
                    sdp: seated.answer,
                };
                self.tell(stream.session, notice, out);
                if over_tcp {
                    self.tell_over_udp(room, stream.session, id, stream.name, out);
                }
            }
            (Asker::Http(from), Ok(seated)) => {
                self.answer_whep(from, seated.answer, seated.session, out);
            }
            (asker, Err(why)) => {
                self.end_stream(&room, &id, out);
                match asker {
                    Asker::Session { .. } => {
                        let notice = Notice::StreamStatus {
                            media_session_id: id,
                            status: StreamStatus::Failed,
                            info: Some(why),
                            record_name: None,
                        };
                        self.tell(stream.session, notice, out);
                    }
                    Asker::Http(from) => self.refuse_whep(from, why, out),
                }
            }
        }
    }

    /// What a viewer's core says became of it.
    pub(super) fn guest_fate(&mut self, seat: u64, fate: Fate, out: &mut Outbox) {
        let Some(guest) = self.relaying.guests.get(&seat) else {
            return;
        };
        let (room, id) = (guest.room.clone(), guest.media_session_id.clone());
        match fate {
            Fate::Connected => self.stream_begins(room, id, out),
            Fate::Failed(failure) => self.stream_failed(&room, id, failure, out),
            Fate::Ended => self.end_over_http(&room, &id, LeaveCause::Asked, out),
        }
    }

    /// Another core's viewers need a key frame of a publication of this one.
    pub(super) fn relay_wants_keyframe(&mut self, now: Time, publication: u64, out: &mut Outbox) {
        self.want_keyframe(now, Key::from_bits(publication), Reason::Viewer, out);
    }
}
