//! Packets on their way to viewers: what one turn received, given to one viewer
//! after the other. All packets of a publication go to a viewer at once, so
//! that its state is fetched once for all of them and its train is made in one
//! go; and where a room is large, the trains of some viewers are sent before
//! those of the next are filled. Sees to the order; the packets are in their
//! publications' windows.

use std::hint::black_box;

use crate::base::limits::{
    FORWARD_RUN_MAX, PADDED_PAYLOAD_MAX_BYTES, PADDING_MAX_BYTES, TRAINS_FLUSH,
};
use crate::base::slab::{Key, Slab};
use crate::base::snapshot::{Counters, Drop};
use crate::base::time::{Span, Time};
use crate::base::trains::Trains;
use crate::room::fanout;
use crate::room::held::Held;
use crate::room::peer::Peer;
use crate::room::publication::{Arrived, Publication};
use crate::room::relay::Relays;
use crate::room::track::Kind;

/// Viewers whose state is read ahead together: some 25 lines of memory each,
/// which the nearest caches hold.
const VIEWERS_TOUCHED: usize = 16;

pub struct Forwarding {
    /// Packets of a frame are made equally long.
    pads: bool,
    held: Held,
    waiting: Vec<Waiting>,
    /// The run under way begins here, and goes to this viewer next.
    at: usize,
    viewer: usize,
    /// What is under way was begun: put in order, and relayed.
    begun: bool,
    /// Of packets begun since the last turn's end: their age, and how many.
    ages_us: Vec<(u64, u64)>,
}

#[derive(Clone, Copy)]
pub struct Waiting {
    pub publication: Key<Publication>,
    /// When it came to this core.
    pub at: Time,
    arrived: Arrived,
    /// Order of arrival.
    number: u32,
    /// Bytes it gets longer by.
    padding: u8,
}

impl Forwarding {
    /// `pads`: packets of a frame are made equally long, so that the kernel takes
    /// them in one train: all but the last of a train must be of one length, and
    /// browsers' are a byte longer from somewhere in the frame on. `hold`: how
    /// long a frame's first packets wait for its last.
    pub fn new(pads: bool, hold: Span) -> Self {
        Forwarding {
            pads,
            held: Held::new(hold),
            waiting: Vec::new(),
            at: 0,
            viewer: 0,
            begun: false,
            ages_us: Vec::new(),
        }
    }

    /// Has a packet forwarded with this turn that is now in its track's window.
    pub fn push(&mut self, now: Time, publication: Key<Publication>, arrived: Arrived) {
        self.waiting.push(Waiting {
            publication,
            at: now,
            arrived,
            number: 0,
            padding: 0,
        });
    }

    /// The same with its frame, if that is whole soon.
    pub fn push_of_frame(
        &mut self,
        now: Time,
        key: Key<Publication>,
        publication: &mut Publication,
        arrived: Arrived,
    ) {
        let track = publication.track(arrived.kind).map(|track| &track.window);
        let is_newest = track.is_some_and(|window| window.highest() == Some(arrived.ext_seq));
        let meta = track.and_then(|window| window.get(arrived.ext_seq));
        let is_last = meta.is_none_or(|(meta, _)| meta.marker);
        if arrived.kind == Kind::Video && is_newest {
            let packet = Waiting {
                publication: key,
                at: now,
                arrived,
                number: 0,
                padding: 0,
            };
            if !is_last && self.held.take(publication, packet).is_none() {
                return;
            }
            let ready = &mut self.waiting;
            self.held.release_frame(key, publication, ready);
        }
        self.push(now, key, arrived);
    }

    /// When packets held are to be forwarded, whatever comes.
    pub fn next_due(&self) -> Option<Time> {
        self.held.next_due()
    }

    /// The ages of the packets forwarded since this was last asked, in
    /// microseconds from their arrival at the server, and how many.
    pub fn take_ages_us(&mut self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ages_us.drain(..)
    }

    /// Whether a packet of `publication` still waits.
    pub fn holds(&self, publication: Key<Publication>) -> bool {
        let mut left = self.waiting.iter().skip(self.at);
        left.any(|waiting| waiting.publication == publication) || self.held.has(publication)
    }

    /// Forwards until [`TRAINS_FLUSH`] trains are open; `true` if that leaves
    /// some for the next call, once they are sent, and once what is relayed is on
    /// its way.
    pub fn proceed(&mut self, now: Time, way: &mut Way<'_>) -> bool {
        self.held
            .release_old(now, way.publications, &mut self.waiting);
        if self.begin(now, way) {
            return true;
        }
        self.forward(TRAINS_FLUSH, way)
    }

    /// Forwards everything at once, for somebody who is about to change what
    /// viewers get next.
    pub fn finish(&mut self, now: Time, way: &mut Way<'_>) {
        self.held.release_all(way.publications, &mut self.waiting);
        self.begin(now, way);
        self.forward(usize::MAX, way);
    }

    /// Puts what waits in order and relays it; whether anything was relayed.
    fn begin(&mut self, now: Time, way: &mut Way<'_>) -> bool {
        if self.begun || self.waiting.is_empty() {
            return false;
        }
        self.begun = true;
        for (number, waiting) in (0..).zip(&mut self.waiting) {
            waiting.number = number;
        }
        // Sound first: it is short, and would end a train of pictures.
        let order = |w: &Waiting| (w.publication, w.arrived.kind as usize, w.number);
        self.waiting.sort_unstable_by_key(order);
        if self.pads {
            equalise(&mut self.waiting, way.publications);
        }
        let mut is_relayed = false;
        for waiting in &self.waiting {
            let Some(publication) = way.publications.get(waiting.publication) else {
                continue;
            };
            is_relayed |= !publication.relays.is_empty();
            fanout::relay(publication, waiting.arrived, way.relays, way.counters);
            let track = publication.track(waiting.arrived.kind);
            let meta = track.and_then(|track| track.window.get(waiting.arrived.ext_seq));
            let came = meta.map_or(waiting.at, |(meta, _)| meta.arrived);
            let age_us = now.since(came).as_us();
            match self.ages_us.last_mut() {
                Some((latest, count)) if *latest == age_us => *count += 1,
                _ => self.ages_us.push((age_us, 1)),
            }
        }
        is_relayed
    }

    fn forward(&mut self, trains_max: usize, way: &mut Way<'_>) -> bool {
        loop {
            let run = run_at(&self.waiting, self.at);
            let Some(first) = run.first() else {
                break;
            };
            let publication = way.publications.get(first.publication);
            let viewers = publication.map_or(&[][..], |publication| &publication.viewers);
            let is_relayed = publication.is_some_and(|p| !p.relays.is_empty());
            if viewers.is_empty() && !is_relayed {
                way.counters.drop_many(Drop::NoSubscriber, run.len() as u64);
            }
            // Looked up once for all viewers.
            let mut packets = [None; FORWARD_RUN_MAX];
            for (packet, waiting) in packets.iter_mut().zip(run) {
                let track = publication.and_then(|p| p.track(waiting.arrived.kind));
                *packet = track.and_then(|track| track.window.get(waiting.arrived.ext_seq));
            }
            while let Some(viewer) = viewers.get(self.viewer) {
                if way.trains.len() >= trains_max {
                    return true;
                }
                if self.viewer.is_multiple_of(VIEWERS_TOUCHED) {
                    let next = viewers.get(self.viewer..).unwrap_or_default();
                    touch(next, first.arrived.kind, way.peers);
                }
                self.viewer += 1;
                let Some(peer) = way.peers.get_mut(*viewer) else {
                    continue;
                };
                for (waiting, packet) in run.iter().zip(&packets) {
                    let Waiting {
                        arrived, padding, ..
                    } = *waiting;
                    match packet {
                        Some((meta, payload)) => {
                            let packet = (arrived, *meta, *payload, padding);
                            fanout::forward(packet, peer, way.trains, way.counters);
                        }
                        None => way.counters.drop(Drop::Overrun),
                    }
                }
            }
            self.at += run.len();
            self.viewer = 0;
        }
        self.waiting.clear();
        self.at = 0;
        self.begun = false;
        false
    }
}

/// Reads ahead what forwarding to the first of `viewers` will, see
/// [`Peer::touch`].
fn touch(viewers: &[Key<Peer>], kind: Kind, peers: &Slab<Peer>) {
    let next = viewers.iter().take(VIEWERS_TOUCHED);
    let next = next.filter_map(|viewer| peers.get(*viewer));
    black_box(next.fold(0, |sum, peer| sum ^ peer.touch(kind)));
}

/// Where packets come from and go to.
pub struct Way<'a> {
    pub publications: &'a mut Slab<Publication>,
    pub peers: &'a mut Slab<Peer>,
    pub trains: &'a mut Trains,
    pub relays: &'a mut Relays,
    pub counters: &'a mut Counters,
}

/// What the orientation adds to a packet's header where nothing else is in its
/// extensions: a block of one element (RFC 8285 section 4.2). Cameras held upright
/// have it in each frame's last packet, which would not fit the others' train.
const ORIENTATION_BYTES: u16 = 8;

/// The block of AES. `ring` encrypts a payload that ends in part of one by a
/// sixth slower: 211 ns instead of 179 of 1,200 bytes.
const CIPHER_BLOCK_BYTES: u16 = 16;

/// Says how much longer each packet is to be, to be as long as the longest of
/// its frame, and that in whole blocks. The last may be shorter; it ends the
/// train.
fn equalise(waiting: &mut [Waiting], publications: &Slab<Publication>) {
    let frame_of = |waiting: &Waiting| {
        let publication = publications.get(waiting.publication)?;
        let track = publication.track(waiting.arrived.kind)?;
        let (meta, _) = track.window.get(waiting.arrived.ext_seq)?;
        let is_video = waiting.arrived.kind == Kind::Video;
        let frame = (waiting.publication, is_video, meta.timestamp);
        let orientation = meta.orientation.map_or(0, |_| ORIENTATION_BYTES);
        Some((frame, meta.payload_len + orientation))
    };
    let mut rest = waiting;
    while let Some(first) = rest.first() {
        let frame = frame_of(first).map(|(frame, _)| frame);
        let of_frame = |waiting: &Waiting| frame_of(waiting).filter(|(of, _)| Some(*of) == frame);
        let lens = rest.iter().map_while(of_frame);
        let (count, longest) = lens.fold((0, 0), |(count, longest), (_, len)| {
            (count + 1, len.max(longest))
        });
        let (packets, others) = rest.split_at_mut(usize::max(count, 1));
        let is_video = frame.is_some_and(|(_, is_video, _)| is_video);
        if let Some((_, before_last)) = packets.split_last_mut().filter(|_| is_video) {
            let whole = longest.next_multiple_of(CIPHER_BLOCK_BYTES);
            let target = match whole <= PADDED_PAYLOAD_MAX_BYTES {
                true => whole,
                false => longest,
            };
            for waiting in before_last {
                let short = frame_of(waiting).map_or(0, |(_, len)| target - len);
                let short = u8::try_from(short).unwrap_or(u8::MAX);
                waiting.padding = if short > PADDING_MAX_BYTES { 0 } else { short };
            }
        }
        rest = others;
    }
}

/// The packets from `at` on that are of one publication, no more than
/// [`FORWARD_RUN_MAX`].
fn run_at(waiting: &[Waiting], at: usize) -> &[Waiting] {
    let rest = waiting.get(at..).unwrap_or_default();
    let Some(first) = rest.first() else {
        return &[];
    };
    let is_same = |other: &&Waiting| other.publication == first.publication;
    let len = rest.iter().take(FORWARD_RUN_MAX).take_while(is_same);
    rest.get(..len.count()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::room::publication::{Injected, PublicationSpec};
    use crate::room::track::TrackSpec;
    use crate::wire::codec::{AudioCodec, Codec, VideoCodec};

    /// One publication of video and sound.
    fn publications() -> (Slab<Publication>, Key<Publication>) {
        let spec = PublicationSpec {
            audio: Some(TrackSpec::local(Codec::Audio(AudioCodec::Opus))),
            video: Some(TrackSpec::local(Codec::Video(VideoCodec::Vp8))),
            reference_times: false,
            reduced_size: false,
            max_bitrate_kbps: None,
            cname: String::new(),
        };
        let mut publications = Slab::new(1);
        let publication = Publication::new(Time::ZERO, None, spec, &mut Noise::new(1));
        let key = publications.insert(publication).unwrap();
        (publications, key)
    }

    /// The lengths that packets of these frames are padded to.
    fn padded(frames: &[&[usize]]) -> Vec<usize> {
        let (mut publications, key) = publications();
        let publication = publications.get_mut(key).unwrap();
        let mut waiting = Vec::new();
        for (timestamp, frame) in (1..).zip(frames) {
            for (place, len) in (1..).zip(*frame) {
                let packet = Injected {
                    timestamp,
                    marker: place == frame.len(),
                    keyframe_start: false,
                };
                let payload = vec![0; *len];
                let arrived = publication.inject(Time::ZERO, Kind::Video, packet, &payload);
                waiting.push(Waiting {
                    publication: key,
                    at: Time::ZERO,
                    arrived: arrived.unwrap(),
                    number: 0,
                    padding: 0,
                });
            }
        }
        equalise(&mut waiting, &publications);
        let lens = frames.iter().copied().flatten();
        let all = lens.zip(&waiting);
        all.map(|(len, waiting)| len + usize::from(waiting.padding))
            .collect()
    }

    #[test]
    fn all_but_a_frames_last_get_one_length_in_whole_blocks() {
        let browsers: &[usize] = &[1_005, 1_005, 1_006, 1_006];
        assert_eq!(padded(&[browsers]), [1_008, 1_008, 1_008, 1_006]);
        let encoders: &[usize] = &[1_100, 1_100, 300];
        assert_eq!(
            padded(&[browsers, encoders]),
            [1_008, 1_008, 1_008, 1_006, 1_104, 1_104, 300]
        );
        assert_eq!(padded(&[&[700]]), [700]);
    }

    #[test]
    fn none_outgrows_the_least_mtu_nor_what_padding_is_worth() {
        assert_eq!(padded(&[&[1_189, 1_190, 5]]), [1_200, 1_200, 5]);
        assert_eq!(padded(&[&[1_399, 1_400, 5]]), [1_400, 1_400, 5]);
        let sets_first: &[usize] = &[40, 1_000, 1_001, 1_001];
        assert_eq!(padded(&[sets_first]), [40, 1_008, 1_008, 1_001]);
    }

    const HOLD: Span = Span::from_ms(1);

    /// Hands in a packet as it comes; how many are ready to be forwarded then.
    fn comes(
        forwarding: &mut Forwarding,
        publications: &mut Slab<Publication>,
        key: Key<Publication>,
        at_us: u64,
        (kind, marker): (Kind, bool),
    ) -> usize {
        let publication = publications.get_mut(key).unwrap();
        let packet = Injected {
            timestamp: 0,
            marker,
            keyframe_start: false,
        };
        let at = Time::from_us(at_us);
        let arrived = publication.inject(at, kind, packet, b"packet").unwrap();
        forwarding.push_of_frame(at, key, publication, arrived);
        forwarding.waiting.len()
    }

    #[test]
    fn a_frame_waits_for_its_last_packet_and_sound_for_nothing() {
        let (mut publications, key) = publications();
        let mut forwarding = Forwarding::new(true, HOLD);
        let mut come = |at_us, kind, marker| {
            let packet = (kind, marker);
            comes(&mut forwarding, &mut publications, key, at_us, packet)
        };
        assert_eq!(come(0, Kind::Video, false), 0);
        assert_eq!(come(100, Kind::Audio, false), 1, "sound goes at once");
        assert_eq!(come(200, Kind::Video, false), 1);
        assert_eq!(come(300, Kind::Video, true), 4, "the last releases all");
        assert_eq!(come(400, Kind::Video, true), 5, "a frame of one packet");
        assert_eq!(forwarding.next_due(), None);
    }

    #[test]
    fn a_packet_waits_so_long_and_who_spaces_them_out_is_not_waited_for() {
        let (mut publications, key) = publications();
        let mut forwarding = Forwarding::new(true, HOLD);
        let packet = (Kind::Video, false);
        for at_us in [0, 4_000] {
            let ready = comes(&mut forwarding, &mut publications, key, at_us, packet);
            assert_eq!(ready, 0);
            let due = Time::from_us(at_us) + HOLD;
            assert_eq!(forwarding.next_due(), Some(due));
            let (held, ready) = (&mut forwarding.held, &mut forwarding.waiting);
            held.release_old(due - Span::from_us(1), &mut publications, ready);
            assert_eq!(ready.len(), 0);
            held.release_old(due, &mut publications, ready);
            assert_eq!(ready.len(), 1);
            ready.clear();
        }
        // Both waited in vain.
        let ready = comes(&mut forwarding, &mut publications, key, 8_000, packet);
        assert_eq!(ready, 1);
    }

    #[test]
    fn nothing_waits_where_that_is_not_wanted() {
        let (mut publications, key) = publications();
        let mut forwarding = Forwarding::new(true, Span::ZERO);
        let packet = (Kind::Video, false);
        let ready = comes(&mut forwarding, &mut publications, key, 0, packet);
        assert_eq!((ready, forwarding.next_due()), (1, None));
    }
}
