//! What must be true of a run, said once for every test. Each oracle answers
//! with what is wrong, in words; nothing wrong is an empty list.

use crate::base::snapshot::Drop;
use crate::base::time::{Span, Time};
use crate::sim::browser::Browser;
use crate::sim::egress::check_egress;
use crate::sim::peer_connection::PeerConnection;
use crate::sim::publisher::Publisher;
use crate::sim::viewer::Viewer;
use crate::sim::world::World;

/// A viewer and the publisher it watches.
pub struct Sight<'a> {
    pub login: &'a str,
    pub stream: &'a str,
    pub playing: Option<Time>,
    pub viewer: &'a Viewer,
    pub publisher: &'a Publisher,
}

/// Every play of a stream somebody publishes.
pub fn sights(world: &World) -> Vec<Sight<'_>> {
    let publishers: Vec<(&str, &Publisher)> = peers(world)
        .filter_map(|(_, peer)| Some((peer.stream.as_str(), peer.publisher()?)))
        .collect();
    let plays = peers(world).filter_map(|(browser, peer)| Some((browser, peer, peer.viewer()?)));
    plays
        .filter_map(|(browser, peer, viewer)| {
            let (_, publisher) = publishers.iter().find(|(name, _)| *name == peer.stream)?;
            Some(Sight {
                login: &browser.login,
                stream: &peer.stream,
                playing: peer.has("PLAYING"),
                viewer,
                publisher,
            })
        })
        .collect()
}

fn peers(world: &World) -> impl Iterator<Item = (&Browser, &PeerConnection)> {
    let browsers = world.browsers().iter();
    browsers.flat_map(|browser| browser.peers.iter().map(move |peer| (browser, peer)))
}

/// How many of the frames sent in a stretch of time were whole in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub sent: u64,
    pub arrived: u64,
}

impl Share {
    /// Of a million; nothing sent counts as everything arrived.
    pub fn ppm(self) -> u64 {
        (self.arrived * 1_000_000)
            .checked_div(self.sent)
            .unwrap_or(1_000_000)
    }
}

impl Sight<'_> {
    /// When the first frame that could be shown was sent. What was sent before
    /// it waited in vain for its key frame.
    pub fn first_picture(&self) -> Option<Time> {
        let (id, _) = self.viewer.pictures.first()?;
        self.viewer.frames.get(id).map(|frame| frame.sent)
    }

    /// Frames sent from `from` until before `until`, and those of them whole
    /// at the viewer within `patience`.
    pub fn frames_in_time(&self, from: Time, until: Time, patience: Span) -> Share {
        let mut share = Share::default();
        let frames = self.publisher.frames.iter();
        for frame in frames.filter(|frame| frame.at >= from && frame.at < until) {
            share.sent += 1;
            let seen = self.viewer.frames.get(&frame.id);
            let complete = seen.and_then(|seen| seen.complete);
            if complete.is_some_and(|at| at <= frame.at + patience) {
                share.arrived += 1;
            }
        }
        share
    }

    /// The same for audio packets.
    pub fn audio_in_time(&self, from: Time, until: Time, patience: Span) -> Share {
        let mut share = Share::default();
        for (number, at) in (0u32..).zip(&self.publisher.audio) {
            if *at < from || *at >= until {
                continue;
            }
            share.sent += 1;
            let heard = self.viewer.audio.get(&number);
            if heard.is_some_and(|(_, heard)| *heard <= *at + patience) {
                share.arrived += 1;
            }
        }
        share
    }
}

/// Every stream toward every viewer is legal, and every text, frame and packet
/// arrived as it was sent.
pub fn everything_is_legal(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for browser in world.browsers() {
        for puzzle in &browser.puzzles {
            wrong.push(format!("{} cannot read {puzzle}", browser.login));
        }
    }
    for (browser, peer) in peers(world) {
        let Some(viewer) = peer.viewer() else {
            continue;
        };
        let found = viewer.violations.iter().chain(check_egress(&viewer.egress));
        wrong.extend(found.map(|fault| format!("{} of {}: {fault}", browser.login, peer.stream)));
    }
    for peer in world.rtmp_peers() {
        let found = peer.players.values().flat_map(|player| &player.violations);
        let found = peer.puzzles.iter().chain(found);
        wrong.extend(found.map(|fault| format!("RTMP peer {}: {fault}", peer.number)));
        if peer.overflowed() {
            let queued = peer.queued_max;
            wrong.push(format!("RTMP peer {}: {queued} bytes queued", peer.number));
        }
    }
    wrong
}

/// Who plays something live sees and hears it, and `patience` is the longest
/// anyone waited for the next picture up to `until`.
pub fn everyone_sees_and_hears(world: &World, until: Time, patience: Span) -> Vec<String> {
    let mut wrong = Vec::new();
    for sight in sights(world) {
        let name = format!("{} of {}", sight.login, sight.stream);
        if sight.playing.is_none() {
            wrong.push(format!("{name}: never PLAYING"));
            continue;
        }
        if sight.viewer.pictures.is_empty() {
            wrong.push(format!("{name}: no picture"));
        }
        if sight.viewer.audio.is_empty() {
            wrong.push(format!("{name}: no sound"));
        }
        let gap = sight.viewer.longest_gap(until);
        if gap > patience {
            wrong.push(format!("{name}: {} ms without a picture", gap.as_ms()));
        }
    }
    wrong
}

/// What came in went out to the one viewer each publication has, or is counted
/// as dropped: per core, media packets received = forwarded + dropped for one
/// of the reasons of forwarding. Holds when no publication ever had two
/// viewers at once, and no viewer asked for a packet again.
pub fn packets_balance(world: &World) -> Vec<String> {
    const REASONS: [Drop; 6] = [
        Drop::NoSubscriber,
        Drop::KeyframeGate,
        Drop::BeforeStart,
        Drop::Duplicate,
        Drop::PoolDry,
        Drop::Overrun,
    ];
    let mut wrong = Vec::new();
    for snapshot in world.snapshots() {
        let counters = &snapshot.counters;
        let dropped: u64 = REASONS.iter().map(|reason| counters.dropped(*reason)).sum();
        let (came, went) = (
            counters.media_packets_received,
            counters.media_packets_forwarded,
        );
        if came != went + dropped {
            wrong.push(format!(
                "core {}: {came} in, {went} out, {dropped} dropped",
                snapshot.core
            ));
        }
    }
    wrong
}

/// After everybody left and every timer had its time, nothing is held.
pub fn nothing_is_left(world: &World) -> Vec<String> {
    world.leftovers()
}
