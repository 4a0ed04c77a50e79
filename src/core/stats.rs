//! Snapshots: a copy of every core's state, gathered by mail and rendered off
//! the turn. Of a core's rooms each turn copies a bounded piece.

use std::collections::VecDeque;

use crate::base::hash::Map;
use crate::base::limits::{SNAPSHOT_STEP_ITEMS, SNAPSHOT_TICKETS_MAX};
use crate::base::snapshot::{
    Drop, Gauges, ParticipantSnapshot, PlaySnapshot, ServerSnapshot, StreamSnapshot,
};
use crate::core::border::{CoreId, Outbox, Render, RenderForm};
use crate::core::inventory::Inventory;
use crate::core::machine::Core;
use crate::core::mail::{Mail, SessionRef};
use crate::room::peer::{Peer, Role};
use crate::room::roster::{Carrier, Stream, StreamRole};

/// Requests waiting for the cores' answers.
#[derive(Default)]
pub(super) struct PendingSnapshots {
    next_ticket: u64,
    waiting: Map<u64, Render>,
    /// What this core was asked for and has not finished, oldest first.
    taking: VecDeque<Taking>,
    /// This turn has done its share.
    has_stepped: bool,
}

struct Taking {
    to: CoreId,
    ticket: u64,
    inventory: Inventory,
}

impl PendingSnapshots {
    pub fn is_taking(&self) -> bool {
        !self.taking.is_empty()
    }

    /// The turn is over.
    pub fn end_turn(&mut self) {
        self.has_stepped = false;
    }
}

impl Core {
    /// Has a request answered off the turn; first asks every core for its
    /// state, where the answer is made of that.
    pub(super) fn render(&mut self, render: Render, out: &mut Outbox) {
        if !render.form.needs_snapshots() {
            out.renders.push(render);
            return;
        }
        let ticket = self.pending.next_ticket;
        self.pending.next_ticket += 1;
        // An answer lost to a full mailbox must not keep its ticket for ever.
        let waiting = &mut self.pending.waiting;
        waiting.retain(|waiting, _| ticket - waiting < SNAPSHOT_TICKETS_MAX);
        let with_rooms = render.form == RenderForm::RoomsJson;
        waiting.insert(ticket, render);
        for core in (0..self.setup.cores).map(CoreId) {
            self.post(core, Mail::SnapshotRequest { ticket, with_rooms }, out);
        }
    }

    /// A core asks for this one's state. A small one it gets at once; a large
    /// one is gathered piece by piece.
    pub(super) fn begin_snapshot(
        &mut self,
        to: CoreId,
        ticket: u64,
        with_rooms: bool,
        out: &mut Outbox,
    ) {
        if self.pending.taking.len() as u64 >= SNAPSHOT_TICKETS_MAX {
            return;
        }
        let is_first = self.pending.taking.is_empty();
        self.pending.taking.push_back(Taking {
            to,
            ticket,
            inventory: Inventory::new(with_rooms),
        });
        if is_first {
            self.step_snapshot(out);
        }
    }

    /// The turn's share of a snapshot under way.
    pub(super) fn proceed_snapshots(&mut self, out: &mut Outbox) {
        if !self.pending.has_stepped {
            self.step_snapshot(out);
        }
    }

    fn step_snapshot(&mut self, out: &mut Outbox) {
        let Some(mut taking) = self.pending.taking.pop_front() else {
            return;
        };
        self.pending.has_stepped = true;
        if !self.take_inventory(&mut taking.inventory, SNAPSHOT_STEP_ITEMS) {
            return self.pending.taking.push_front(taking);
        }
        let ticket = taking.ticket;
        let snapshot = Box::new(self.summary(taking.inventory, out));
        self.post(taking.to, Mail::Snapshot { ticket, snapshot }, out);
    }

    /// A core answered; the last answer sends the request to be rendered.
    pub(super) fn collect(&mut self, ticket: u64, snapshot: ServerSnapshot, out: &mut Outbox) {
        let cores = usize::from(self.setup.cores);
        let Some(pending) = self.pending.waiting.get_mut(&ticket) else {
            return;
        };
        pending.snapshots.push(snapshot);
        if pending.snapshots.len() < cores {
            return;
        }
        if let Some(mut render) = self.pending.waiting.remove(&ticket) {
            render.snapshots.sort_by_key(|snapshot| snapshot.core);
            out.renders.push(render);
        }
    }

    /// This core's state, all at once: for tests and benches, which have time.
    pub fn snapshot(&self, out: &Outbox) -> ServerSnapshot {
        let mut inventory = Inventory::new(true);
        self.take_inventory(&mut inventory, usize::MAX);
        self.summary(inventory, out)
    }

    /// The core's state around what was gathered of its rooms.
    fn summary(&self, inventory: Inventory, out: &Outbox) -> ServerSnapshot {
        let mut counters = self.counters.clone();
        // The pool counts for every sender, not only for the fan-out.
        counters.set_dropped(Drop::PoolDry, out.trains.refused());
        ServerSnapshot {
            core: self.setup.core.0,
            counters,
            gauges: Gauges {
                connections: self.connections.len() as u64,
                sessions: self.session_count(),
                rooms: self.rooms.len() as u64,
                participants: inventory.participants,
                publications: self.media.publications.len() as u64 - self.relaying.replicas(),
                replicas: self.relaying.replicas(),
                subscriptions: self.media.viewers as u64,
                transports: self.media.peers.len() as u64,
                timers: self.wheel.len() as u64,
                trains_free: out.trains.free_slots() as u64,
                mail_backlog: self.mail_backlog as u64,
                connected_sockets: self.connected_sockets,
                rtmp_publishers: self.seats.ingests.len() as u64,
                rtmp_players: self.seats.player_count() as u64,
                transcoders: self.seats.converting.len() as u64,
                recordings: self.recordings.len() as u64,
            },
            afar_plays: inventory.afar_plays,
            rooms: inventory.rooms,
            turn_us: self.turn_us.clone(),
            forward_us: self.forward_us.clone(),
            train_len: out.trains.lengths().clone(),
        }
    }

    pub(super) fn add_stream_snapshot(
        &self,
        stream: &Stream<SessionRef>,
        participant: &mut ParticipantSnapshot,
    ) {
        let key = match stream.carrier {
            Carrier::Rtmp => return self.add_rtmp_snapshot(stream, participant),
            // Its core knows the rest.
            Carrier::Afar(_) => {
                return participant.plays.push(PlaySnapshot {
                    stream: stream.name.clone(),
                    media_session_id: stream.media_session_id.clone(),
                    status: play_status(stream.live),
                    ..PlaySnapshot::default()
                });
            }
            Carrier::Peer(key) => key,
        };
        let Some(peer) = self.media.peers.get(key) else {
            return;
        };
        let secured = peer.transport.secured();
        let srtp_profile = secured.map(|secured| secured.profile.name());
        let dtls_version = secured.map(|secured| secured.dtls_version);
        let media_session_id = stream.media_session_id.clone();
        match (&peer.role, stream.role) {
            (Role::Publisher(key), StreamRole::Publish) => {
                let publication = self.media.publications.get(*key);
                participant.streams.push(StreamSnapshot {
                    name: stream.name.clone(),
                    media_session_id,
                    status: if stream.live { "PUBLISHING" } else { "PENDING" },
                    srtp_profile,
                    dtls_version,
                    viewers: publication.map_or(0, |p| p.viewer_count())
                        + self.seats.listeners_of(*key),
                    tracks: publication.map(|p| p.snapshot()).unwrap_or_default(),
                });
            }
            (Role::Viewer(_), StreamRole::Play) => {
                participant.plays.extend(self.play_snapshot(peer));
            }
            _ => {}
        }
    }

    /// A viewer of this core.
    pub(super) fn play_snapshot(&self, peer: &Peer) -> Option<PlaySnapshot> {
        let Role::Viewer(subscription) = &peer.role else {
            return None;
        };
        let secured = peer.transport.secured();
        Some(PlaySnapshot {
            stream: subscription.stream.clone(),
            media_session_id: peer.media_session_id.clone(),
            status: play_status(subscription.live),
            srtp_profile: secured.map(|secured| secured.profile.name()),
            dtls_version: secured.map(|secured| secured.dtls_version),
            tracks: subscription.snapshot(),
        })
    }

    /// A stream that an RTMP connection carries has no transport to tell of.
    fn add_rtmp_snapshot(
        &self,
        stream: &Stream<SessionRef>,
        participant: &mut ParticipantSnapshot,
    ) {
        let name = stream.name.clone();
        let media_session_id = stream.media_session_id.clone();
        if stream.role == StreamRole::Play {
            participant.plays.push(PlaySnapshot {
                stream: name,
                media_session_id,
                status: "PLAYING",
                ..PlaySnapshot::default()
            });
            return;
        }
        let publication = self.rtmp_publication(&stream.media_session_id);
        let publication = publication.and_then(|key| self.media.publications.get(key));
        let players = self.seats.listeners_of_ingest(&stream.media_session_id);
        participant.streams.push(StreamSnapshot {
            name,
            media_session_id,
            status: if stream.live { "PUBLISHING" } else { "PENDING" },
            viewers: publication.map_or(0, |p| p.viewer_count()) + players,
            tracks: publication.map(|p| p.snapshot()).unwrap_or_default(),
            ..StreamSnapshot::default()
        });
    }

    /// Whether everything this core ever handed out has come back: the oracle
    /// at the end of a simulation. Names what has not.
    pub fn leftovers(&self) -> Vec<(&'static str, usize)> {
        [
            ("connections", self.connections.len()),
            ("rooms", self.rooms.len()),
            ("peers", self.media.peers.len()),
            ("publications", self.media.publications.len()),
            ("paths", self.media.path_count()),
            ("WHIP and WHEP sessions", self.whip.len()),
            ("snapshot requests", self.pending.waiting.len()),
            ("snapshots being taken", self.pending.taking.len()),
        ]
        .into_iter()
        .chain(self.relaying.leftovers())
        .chain(self.seats.leftovers())
        .chain(self.recordings.leftovers())
        .filter(|(_, left)| *left > 0)
        .collect()
    }
}

fn play_status(is_live: bool) -> &'static str {
    if is_live { "PLAYING" } else { "PENDING" }
}
