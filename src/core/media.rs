//! The media side of a core: which datagram belongs to which peer connection,
//! and what becomes of it. Owns peers and publications; rooms own their names.

use crate::base::hash::Map;
use crate::base::limits::PEERS_MAX;
use crate::base::slab::{Key, Slab};
use crate::base::snapshot::Drop;
use crate::base::time::{Span, Time};
use crate::core::border::{CoreId, Outbox, Path};
use crate::core::farewells::Farewells;
use crate::core::handshakes::Handshakes;
use crate::core::machine::{Core, Timer};
use crate::proto::keyframe::Reason;
use crate::proto::srtp::UnprotectError;
use crate::proto::transport::Change;
use crate::room::fanout;
use crate::room::forwarding::{Forwarding, Way};
use crate::room::peer::{Peer, Role};
use crate::room::publication::Publication;
use crate::room::subscription::Wishes;
use crate::wire::{demux, rtp, stun};

pub(super) struct Media {
    pub peers: Slab<Peer>,
    pub publications: Slab<Publication>,
    /// Peers that are viewers.
    pub viewers: usize,
    /// Validated paths to peers.
    paths: Map<Path, Key<Peer>>,
    /// The path last looked up: datagrams of one peer come in runs.
    latest: Option<(Path, Key<Peer>)>,
    pub forwarding: Forwarding,
    pub handshakes: Handshakes,
    /// RTCP under construction, kept for its allocation.
    pub(super) compound: Vec<u8>,
    pub farewells: Farewells,
    wishes: Wishes,
}

impl Media {
    /// As [`Forwarding::new`] has it.
    pub fn new(padding: bool, hold: Span) -> Self {
        Media {
            peers: Slab::new(PEERS_MAX),
            publications: Slab::new(PEERS_MAX),
            viewers: 0,
            paths: Map::default(),
            latest: None,
            forwarding: Forwarding::new(padding, hold),
            handshakes: Handshakes::default(),
            compound: Vec::new(),
            farewells: Farewells::default(),
            wishes: Wishes::default(),
        }
    }

    fn find(&mut self, path: Path) -> Option<Key<Peer>> {
        if let Some((latest, key)) = self.latest
            && latest == path
        {
            return Some(key);
        }
        let key = self.paths.get(&path).copied()?;
        self.latest = Some((path, key));
        Some(key)
    }

    fn forget_path(&mut self, path: Path) {
        self.paths.remove(&path);
        self.latest = None;
    }

    pub fn path_count(&self) -> usize {
        self.paths.len()
    }
}

/// The server's ICE user fragment: core, slot and generation of the peer, so
/// that a stale or misdirected check is recognised, and 36 random bits.
pub(super) fn ufrag_of(core: CoreId, key: Key<Peer>, random: &str) -> String {
    let bits = key.to_bits();
    format!(
        "{:03x}{:05x}{:08x}{random}",
        core.0,
        bits as u32,
        bits >> 32
    )
}

/// The owner a user fragment names, if it can be one of ours.
pub(super) fn owner_of(ufrag: &str) -> Option<(CoreId, Key<Peer>)> {
    let part = |range| u64::from_str_radix(ufrag.get(range)?, 16).ok();
    let (core, index, generation) = (part(0..3)?, part(3..8)?, part(8..16)?);
    let core = CoreId(u16::try_from(core).ok()?);
    Some((core, Key::from_bits(generation << 32 | index)))
}

// Five hexadecimal digits name every slot.
const _: () = assert!(PEERS_MAX <= 1 << 20);

impl Core {
    pub(super) fn handle_datagram(
        &mut self,
        now: Time,
        path: Path,
        bytes: &mut [u8],
        out: &mut Outbox,
    ) {
        let handled = match demux::classify(bytes) {
            demux::Kind::Rtp => self.handle_rtp(now, path, bytes, out),
            demux::Kind::Rtcp => self.handle_rtcp(now, path, bytes, out),
            demux::Kind::Stun => self.handle_stun(now, path, bytes, out),
            demux::Kind::Dtls => self.handle_dtls(now, path, bytes, out),
            demux::Kind::Unknown => Err(Drop::Malformed),
        };
        if let Err(reason) = handled {
            self.counters.drop(reason);
        }
    }

    fn handle_rtp(
        &mut self,
        now: Time,
        path: Path,
        bytes: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        let key = self.media.find(path).ok_or(Drop::UnknownSource)?;
        let peer = self.media.peers.get_mut(key).ok_or(Drop::UnknownSource)?;
        let header = rtp::Header::parse(bytes).map_err(|_| Drop::Malformed)?;
        let opened = peer
            .transport
            .open_rtp(now, &header, bytes)
            .ok_or(Drop::NoKeys)?
            .map_err(drop_of)?;
        let Role::Publisher(published) = peer.role else {
            return Err(Drop::UnknownStream);
        };
        let publication = self
            .media
            .publications
            .get_mut(published)
            .ok_or(Drop::UnknownStream)?;
        let packet = bytes.get(..opened.len).ok_or(Drop::Malformed)?;
        self.counters.media_packets_received += 1;
        let arrived = publication.receive(now, &header, packet, opened.index);
        let (is_bridged, is_recorded) = (publication.is_bridged, publication.is_recorded);
        if let Ok(arrived) = arrived {
            let forwarding = &mut self.media.forwarding;
            forwarding.push_of_frame(now, published, publication, arrived);
            if is_bridged {
                self.bridge(now, published, arrived, out);
            }
            if is_recorded {
                self.record_packet(now, published, arrived, out);
            }
        }
        self.rearm_peer(now, key);
        arrived.map(|_| ())
    }

    fn handle_rtcp(
        &mut self,
        now: Time,
        path: Path,
        bytes: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        let wall = self.wall(now);
        let key = self.media.find(path).ok_or(Drop::UnknownSource)?;
        let peer = self.media.peers.get_mut(key).ok_or(Drop::UnknownSource)?;
        let len = peer
            .transport
            .open_rtcp(now, bytes)
            .ok_or(Drop::NoKeys)?
            .map_err(drop_of)?;
        let compound = bytes.get(..len).ok_or(Drop::Malformed)?;
        match &mut peer.role {
            Role::Publisher(publication) => {
                if let Some(publication) = self.media.publications.get_mut(*publication) {
                    publication.receive_rtcp(now, wall, compound);
                    fanout::relay_clocks(publication, &mut out.relays);
                }
            }
            Role::Viewer(subscription) => {
                let mut wishes = std::mem::take(&mut self.media.wishes);
                subscription.receive_rtcp(now, compound, &mut wishes);
                self.grant(now, key, &mut wishes, out);
                wishes.resend.clear();
                wishes.keyframe = false;
                self.media.wishes = wishes;
            }
        }
        self.rearm_peer(now, key);
        Ok(())
    }

    /// Forwards what waits to be, in portions: `true` if there is more.
    pub(super) fn proceed_media(&mut self, now: Time, out: &mut Outbox) -> bool {
        let (forwarding, mut way) = self.way(out);
        forwarding.proceed(now, &mut way)
    }

    /// Forwards what waits of a publication whose viewers begin with what is
    /// kept, before one of them does: from there on it has the newest packet.
    fn finish_forwarding(&mut self, now: Time, key: Key<Publication>, out: &mut Outbox) {
        let publication = self.media.publications.get(key);
        let kept = publication.and_then(|publication| publication.beginning(now));
        if kept.is_some() && self.media.forwarding.holds(key) {
            let (forwarding, mut way) = self.way(out);
            forwarding.finish(now, &mut way);
        }
    }

    fn way<'a>(&'a mut self, out: &'a mut Outbox) -> (&'a mut Forwarding, Way<'a>) {
        let Media {
            peers,
            publications,
            forwarding,
            ..
        } = &mut self.media;
        let way = Way {
            publications,
            peers,
            trains: &mut out.trains,
            relays: &mut out.relays,
            counters: &mut self.counters,
        };
        (forwarding, way)
    }

    /// Resends what a viewer misses and passes its key frame wish upstream.
    fn grant(&mut self, now: Time, viewer: Key<Peer>, wishes: &mut Wishes, out: &mut Outbox) {
        let peer = self.media.peers.get_mut(viewer);
        let subscription = peer.and_then(Peer::subscription);
        let Some(publication_key) = subscription.map(|s| s.publication) else {
            return;
        };
        if wishes.keyframe {
            self.finish_forwarding(now, publication_key, out);
        }
        let Some(peer) = self.media.peers.get_mut(viewer) else {
            return;
        };
        let Some(publication) = self.media.publications.get_mut(publication_key) else {
            return;
        };
        if wishes.keyframe
            && let Some(subscription) = peer.subscription()
        {
            subscription.begin_again(now, publication);
        }
        for (kind, sequence) in wishes.resend.drain(..) {
            match fanout::resend(now, peer, publication, kind, sequence, &mut out.trains) {
                Ok(true) => self.counters.retransmissions_sent += 1,
                // Without RTX a second sending would reuse an SRTP index.
                Ok(false) => wishes.keyframe = true,
                Err(reason) => self.counters.drop(reason),
            }
        }
        if wishes.keyframe {
            self.want_keyframe(now, publication_key, Reason::Viewer, out);
        }
    }

    /// Asks a publication for a key frame; it leaves with its next RTCP, of a
    /// replica with mail to its publication.
    pub(super) fn want_keyframe(
        &mut self,
        now: Time,
        key: Key<Publication>,
        reason: Reason,
        out: &mut Outbox,
    ) {
        let Some(publication) = self.media.publications.get_mut(key) else {
            return;
        };
        publication.request_keyframe(now, reason);
        match publication.publisher {
            Some(publisher) => self.rearm_peer(now, publisher),
            None => self.ask_upstream(now, key, out),
        }
    }

    fn handle_stun(
        &mut self,
        now: Time,
        path: Path,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        let scanned = stun::scan(bytes).map_err(|_| Drop::StunUnauthenticated)?;
        let (core, key) = owner_of(scanned.local_ufrag).ok_or(Drop::StunUnauthenticated)?;
        let peer = self.media.peers.get_mut(key);
        let peer = peer
            .filter(|_| core == self.setup.core)
            .ok_or(Drop::StunUnauthenticated)?;
        let change = peer
            .transport
            .handle_check(now, path, &scanned, &mut out.trains)
            .map_err(|_| Drop::StunUnauthenticated)?;
        if let Some(forgotten) = change.forgotten {
            self.media.forget_path(forgotten);
        }
        if change.added {
            // A path another peer used before belongs to whoever proved it last.
            self.media.paths.insert(path, key);
            self.media.latest = None;
        }
        self.rearm_peer(now, key);
        Ok(())
    }

    fn handle_dtls(
        &mut self,
        now: Time,
        path: Path,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        let key = self.media.find(path).ok_or(Drop::DtlsUnvalidated)?;
        let peer = self.media.peers.get_mut(key).ok_or(Drop::DtlsUnvalidated)?;
        if peer.handshakes_waiting > 0 || peer.transport.secured().is_none() {
            return self.media.handshakes.push(now, key, peer, path, bytes);
        }
        self.shake_hands(now, key, path, bytes, out)
    }

    /// Gives a DTLS datagram to its transport, and passes on what comes of it.
    pub(super) fn shake_hands(
        &mut self,
        now: Time,
        key: Key<Peer>,
        path: Path,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        let peer = self.media.peers.get_mut(key).ok_or(Drop::DtlsUnvalidated)?;
        let change = peer
            .transport
            .handle_dtls(now, path, bytes, &mut out.trains)
            .ok_or(Drop::DtlsUnvalidated)?;
        self.on_change(now, key, change, out);
        self.rearm_peer(now, key);
        Ok(())
    }

    /// Passes a transport's change on to the room.
    fn on_change(&mut self, now: Time, key: Key<Peer>, change: Change, out: &mut Outbox) {
        match change {
            Change::Nothing => {}
            Change::Connected => self.connected(now, key, out),
            Change::Failed(failure) => self.transport_failed(key, failure, out),
        }
    }

    fn connected(&mut self, now: Time, key: Key<Peer>, out: &mut Outbox) {
        let Some(peer) = self.media.peers.get_mut(key) else {
            return;
        };
        if let Some(publication) = peer.subscription().map(|s| s.publication) {
            self.finish_forwarding(now, publication, out);
        }
        let Some(peer) = self.media.peers.get_mut(key) else {
            return;
        };
        let rtt = peer.transport.rtt();
        let mut wanted = None;
        match &mut peer.role {
            Role::Publisher(publication) => {
                if let Some(publication) = self.media.publications.get_mut(*publication)
                    && let Some(rtt) = rtt
                {
                    publication.on_rtt(rtt);
                }
            }
            Role::Viewer(subscription) => {
                if let Some(publication) = self.media.publications.get(subscription.publication) {
                    subscription.go_live(now, publication);
                }
                if subscription.needs_keyframe() {
                    wanted = Some(subscription.publication);
                }
            }
        }
        if let Some(publication) = wanted {
            self.want_keyframe(now, publication, Reason::Joined, out);
        }
        self.stream_connected(key, out);
    }

    /// Takes a peer out, and everything that led to it; it says goodbye when
    /// trains have room.
    pub(super) fn remove_peer(&mut self, key: Key<Peer>) {
        let Some(mut peer) = self.media.peers.remove(key) else {
            return;
        };
        self.whip.remove(key);
        if let Some(seat) = peer.home {
            self.leave_seat(seat);
        }
        match &mut peer.role {
            Role::Publisher(publication) => {
                self.media.publications.remove(*publication);
            }
            Role::Viewer(subscription) => {
                self.media.viewers = self.media.viewers.saturating_sub(1);
                if let Some(publication) = self.media.publications.get_mut(subscription.publication)
                {
                    fanout::remove_viewer(publication, key);
                }
                if let Some(catch_up) = subscription.catch_up() {
                    let unsent = catch_up.take_owed();
                    self.counters.drop_many(Drop::NoSubscriber, unsent);
                }
            }
        }
        for path in peer.transport.paths() {
            if self.media.paths.get(path) == Some(&key) {
                self.media.paths.remove(path);
            }
        }
        self.media.latest = None;
        self.media.farewells.push(peer);
    }

    /// A peer's timer fired: its transport's deadlines, then what is due of media.
    pub(super) fn wake_peer(&mut self, now: Time, key: Key<Peer>, due: Time, out: &mut Outbox) {
        let Some(peer) = self.media.peers.get_mut(key) else {
            return;
        };
        if peer.armed != Some(due) {
            return;
        }
        peer.armed = None;
        let change = peer.transport.handle_deadline(now, &mut out.trains);
        self.on_change(now, key, change, out);
        self.send_burst(now, key, out);
        self.send_reports(now, key, out);
        self.rearm_peer(now, key);
    }

    /// The next of what a late viewer gets of the past.
    fn send_burst(&mut self, now: Time, key: Key<Peer>, out: &mut Outbox) {
        let Some(peer) = self.media.peers.get_mut(key) else {
            return;
        };
        let Some(publication) = peer.subscription().map(|s| s.publication) else {
            return;
        };
        if let Some(publication) = self.media.publications.get(publication) {
            let counters = &mut self.counters;
            fanout::catch_up(now, peer, publication, &mut out.trains, counters);
        }
    }

    fn send_reports(&mut self, now: Time, key: Key<Peer>, out: &mut Outbox) {
        let wall = self.wall(now);
        let Some(peer) = self.media.peers.get_mut(key) else {
            return;
        };
        if peer.transport.secured().is_none() {
            return;
        }
        let mut compound = std::mem::take(&mut self.media.compound);
        let Peer {
            transport, role, ..
        } = peer;
        let mut send = |compound: &mut Vec<u8>| {
            if !compound.is_empty() {
                transport.send_rtcp(compound, &mut out.trains);
            }
            compound.clear();
        };
        compound.clear();
        match role {
            Role::Publisher(publication) => {
                if let Some(publication) = self.media.publications.get_mut(*publication) {
                    publication.poll(now, wall, &mut compound);
                    send(&mut compound);
                    while publication.poll_feedback(now, wall, &mut compound) {
                        send(&mut compound);
                    }
                }
            }
            Role::Viewer(subscription) => {
                if let Some(publication) = self.media.publications.get(subscription.publication) {
                    subscription.poll(now, publication, &mut compound);
                    send(&mut compound);
                }
            }
        }
        self.media.compound = compound;
    }

    /// Makes sure a timer is armed for whatever the peer has to do next.
    pub(super) fn rearm_peer(&mut self, now: Time, key: Key<Peer>) {
        let Some(peer) = self.media.peers.get_mut(key) else {
            return;
        };
        let media = match &peer.role {
            _ if peer.transport.secured().is_none() => None,
            Role::Publisher(publication) => self
                .media
                .publications
                .get(*publication)
                .map(Publication::next_due),
            Role::Viewer(subscription) => Some(subscription.next_due()),
        };
        let due = [media, peer.transport.deadline()]
            .into_iter()
            .flatten()
            .min();
        if let Some(due) = due.map(|due| due.max(now))
            && peer.armed.is_none_or(|armed| due < armed)
        {
            peer.armed = Some(due);
            self.wheel.arm(due, Timer::Peer(key, due));
        }
    }
}

fn drop_of(error: UnprotectError) -> Drop {
    match error {
        UnprotectError::Replayed | UnprotectError::TooOld => Drop::SrtpReplay,
        UnprotectError::Length => Drop::Malformed,
        UnprotectError::Authentication
        | UnprotectError::NotEncrypted
        | UnprotectError::TooManyStreams => Drop::SrtpAuth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_fragment_names_its_owner() {
        let key = Key::from_bits(7 << 32 | 0xabcde);
        let ufrag = ufrag_of(CoreId(3), key, "Zz+/09");
        assert_eq!(ufrag.len(), 22);
        assert_eq!(owner_of(&ufrag), Some((CoreId(3), key)));
        assert_eq!(owner_of("short"), None);
        assert_eq!(owner_of("zzzzzzzzzzzzzzzzzzzzzz"), None);
        assert_eq!(owner_of("ééééééééééééé"), None);
    }
}
