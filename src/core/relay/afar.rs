//! The viewers' core's side: replicas of other cores' publications, and the
//! viewers seated here for rooms whose home is elsewhere.

use std::ops::Bound;

use crate::base::slab::Key;
use crate::base::snapshot::{AfarPlay, Drop};
use crate::base::time::Time;
use crate::core::border::{CoreId, Outbox};
use crate::core::machine::{Core, Timer};
use crate::core::mail::Mail;
use crate::core::relay::{Fate, Order, RelayMail, Seated, Source};
use crate::core::streams::Seat;
use crate::ops::route::Protocol;
use crate::room::notice::info;
use crate::room::peer::{AfarSeat, Peer};
use crate::room::publication::{Publication, PublicationSpec};
use crate::room::relay::{Batch, News, Upstream};
use crate::room::track::Kind;

impl Core {
    pub(in crate::core) fn handle_relay(
        &mut self,
        now: Time,
        from: CoreId,
        mail: RelayMail,
        out: &mut Outbox,
    ) {
        match mail {
            RelayMail::Seat(order) => {
                let seat = order.seat;
                let outcome = self.seat_guest(now, from, *order);
                let seated = RelayMail::Seated { seat, outcome };
                self.post(from, Mail::Relay(seated), out);
            }
            RelayMail::Seated { seat, outcome } => self.guest_seated(seat, outcome, out),
            RelayMail::Unseat { seat } => {
                let seat = AfarSeat {
                    core: from.0,
                    number: seat,
                };
                if let Some(key) = self.relaying.seats.get(&seat).copied() {
                    self.remove_peer(key);
                }
            }
            RelayMail::Close { replica } => {
                let upstream = Upstream {
                    core: from.0,
                    replica,
                };
                if let Some(key) = self.relaying.replicas.remove(&upstream) {
                    self.media.publications.remove(key);
                }
            }
            RelayMail::Viewer { seat, fate } => self.guest_fate(seat, fate, out),
            RelayMail::WantsKeyframe { publication } => {
                self.relay_wants_keyframe(now, publication, out)
            }
            RelayMail::Media(batch) => self.take_batch(now, from, &batch),
            RelayMail::Load(load) => self.hear_load(from, load),
        }
    }

    fn seat_guest(
        &mut self,
        now: Time,
        home: CoreId,
        order: Order,
    ) -> Result<Seated, &'static str> {
        let publication = self.replica(now, home, order.source)?;
        let seat = AfarSeat {
            core: home.0,
            number: order.seat,
        };
        let viewer = Seat {
            room: order.room,
            media_session_id: order.media_session_id,
            stream: order.stream,
            home: Some(seat),
        };
        let (key, answer) = self.seat_viewer(now, viewer, publication, &order.negotiated)?;
        self.relaying.seats.insert(seat, key);
        let session = order
            .is_whep
            .then(|| self.name_session(Protocol::Whep, key));
        Ok(Seated { answer, session })
    }

    /// The replica of a publication, made if there is none yet.
    fn replica(
        &mut self,
        now: Time,
        home: CoreId,
        source: Source,
    ) -> Result<Key<Publication>, &'static str> {
        let upstream = Upstream {
            core: home.0,
            replica: source.replica,
        };
        if let Some(key) = self.relaying.replicas.get(&upstream) {
            return Ok(*key);
        }
        let spec = PublicationSpec {
            audio: source.audio,
            video: source.video,
            reference_times: false,
            reduced_size: true,
            max_bitrate_kbps: None,
            cname: String::new(),
        };
        let mut replica = Publication::new(now, None, spec, &mut self.noise);
        replica.upstream = Some(upstream);
        for (kind, clock) in Kind::ALL.into_iter().zip(source.clocks) {
            if let Some(clock) = clock {
                replica.copy_clock(kind, clock);
            }
        }
        let key = self.media.publications.insert(replica);
        let key = key.ok_or(info::SERVER_FULL)?;
        self.relaying.replicas.insert(upstream, key);
        Ok(key)
    }

    fn take_batch(&mut self, now: Time, from: CoreId, batch: &Batch) {
        let core = from.0;
        for (packet, payload) in batch.packets() {
            let replica = packet.replica;
            let key = self.relaying.replicas.get(&Upstream { core, replica });
            let replica = key.and_then(|key| {
                let replica = self.media.publications.get_mut(*key)?;
                Some((*key, replica))
            });
            let Some((key, replica)) = replica else {
                // Its last viewer has just gone.
                if !packet.is_past {
                    self.counters.drop(Drop::NoSubscriber);
                }
                continue;
            };
            match replica.take_relayed(now, packet, payload) {
                Ok(_) if packet.is_past => {}
                Ok(arrived) => {
                    self.media.forwarding.push(now, key, arrived);
                }
                Err(reason) => self.counters.drop(reason),
            }
        }
        for (replica, news) in batch.news() {
            let key = self.relaying.replicas.get(&Upstream { core, replica });
            let replica = key.and_then(|key| self.media.publications.get_mut(*key));
            match (replica, news) {
                (Some(replica), News::Clock(kind, clock)) => replica.copy_clock(kind, clock),
                (Some(replica), News::ForgetKeyframe) => {
                    replica.forget_keyframe();
                }
                (None, _) => {}
            }
        }
    }

    /// Asks a replica's publication for a key frame, if it is time to, and sees
    /// to it that it is asked again.
    pub(in crate::core) fn ask_upstream(
        &mut self,
        now: Time,
        key: Key<Publication>,
        out: &mut Outbox,
    ) {
        let Some(replica) = self.media.publications.get_mut(key) else {
            return;
        };
        let Some(upstream) = replica.upstream else {
            return;
        };
        let is_due = replica.poll_keyframe(now);
        if let Some(due) = replica.keyframe_due() {
            self.wheel.arm(due, Timer::Replica(key, due));
        }
        if is_due {
            let publication = upstream.replica;
            let wish = RelayMail::WantsKeyframe { publication };
            self.post(CoreId(upstream.core), Mail::Relay(wish), out);
        }
    }

    /// A replica's timer fired; only the one for its latest request counts.
    pub(in crate::core) fn wake_replica(
        &mut self,
        now: Time,
        key: Key<Publication>,
        due: Time,
        out: &mut Outbox,
    ) {
        let replica = self.media.publications.get(key);
        if replica.and_then(Publication::keyframe_due) == Some(due) {
            self.ask_upstream(now, key, out);
        }
    }

    /// Tells a viewer's home what became of it.
    pub(in crate::core) fn tell_home(&mut self, seat: AfarSeat, fate: Fate, out: &mut Outbox) {
        let mail = RelayMail::Viewer {
            seat: seat.number,
            fate,
        };
        self.post(CoreId(seat.core), Mail::Relay(mail), out);
    }

    /// A peer that was seated for another core is gone.
    pub(in crate::core) fn leave_seat(&mut self, seat: AfarSeat) {
        self.relaying.seats.remove(&seat);
    }

    /// Every viewer of other cores' rooms says goodbye; for the server's end.
    pub(in crate::core) fn end_every_guest_here(&mut self) {
        let mut keys: Vec<Key<Peer>> = self.relaying.seats.values().copied().collect();
        keys.sort_unstable_by_key(|key| key.to_bits());
        for key in keys {
            self.remove_peer(key);
        }
        for (_, key) in self.relaying.replicas.drain() {
            self.media.publications.remove(key);
        }
    }

    /// What this core knows of viewers whose rooms are elsewhere, from behind a
    /// seat on; the last seat looked at, and how many those were. A viewer whose
    /// peer has just gone is looked at and not told.
    pub(in crate::core) fn copy_afar_plays(
        &self,
        after: Bound<AfarSeat>,
        items: usize,
        plays: &mut Vec<AfarPlay>,
    ) -> (Option<AfarSeat>, usize) {
        let (mut last, mut count) = (None, 0);
        let seats = self.relaying.seats.range((after, Bound::Unbounded));
        for (seat, key) in seats.take(items) {
            (last, count) = (Some(*seat), count + 1);
            let peer = self.media.peers.get(*key);
            plays.extend(peer.and_then(|peer| {
                Some(AfarPlay {
                    room: peer.room.clone(),
                    play: self.play_snapshot(peer)?,
                })
            }));
        }
        (last, count)
    }
}
