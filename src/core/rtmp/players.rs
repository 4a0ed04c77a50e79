//! The messages of feeds on their way to players: from the room's home to every
//! core that has some, there into chunks, and out at each player's pace.

use bytes::Bytes;

use crate::base::slab::Key;
use crate::base::snapshot::Drop;
use crate::base::time::Time;
use crate::core::border::{ConnectionId, Outbox};
use crate::core::machine::Core;
use crate::core::mail::Mail;
use crate::core::rtmp::FeedRef;
use crate::core::rtmp::outlet::Offered;
use crate::core::rtmp::seats::FeedSeat;
use crate::ops::event::Event;
use crate::proto::keyframe::Reason;
use crate::room::publication::{Arrived, Publication};
use crate::room::rtmp::{Bridged, Tag, TagKind};
use crate::room::track::Kind;
use crate::wire::rtmp::chunk::{MessageHeader, write_message};
use crate::wire::rtmp::message;

/// Chunk streams media is sent on; 2 and 3 are the protocol's and commands'.
const AUDIO_CSID: u8 = 4;
const DATA_CSID: u8 = 5;
const VIDEO_CSID: u8 = 6;

impl Core {
    /// One message of a feed, to every core that has players.
    pub(super) fn feed_tag(&mut self, key: Key<FeedSeat>, tag: Tag, out: &mut Outbox) {
        let Some(seat) = self.seats.feeds.get_mut(key) else {
            return;
        };
        seat.feed.remember(&tag);
        let cores: Vec<_> = seat.cores().collect();
        let feed = FeedRef::new(self.id(), key);
        for core in cores {
            let tag = tag.clone();
            self.post(core, Mail::RtmpTag { feed, tag }, out);
        }
    }

    /// A new bridge of a publication that cannot be asked for a key frame
    /// begins with the last one that the window still holds.
    pub(super) fn begin_bridge(
        &mut self,
        now: Time,
        publication: Key<Publication>,
        feed: Key<FeedSeat>,
        out: &mut Outbox,
    ) {
        let source = self.media.publications.get(publication);
        let Some((key_frame, newest)) = source.and_then(|source| source.latest_keyframe(now))
        else {
            return;
        };
        for ext_seq in key_frame.ext_seq..=newest.ext_seq {
            let arrived = Arrived {
                kind: Kind::Video,
                ext_seq,
            };
            self.bridge_packet(now, publication, feed, arrived, out);
        }
    }

    /// A packet of a browser's publication that RTMP players see.
    pub(in crate::core) fn bridge(
        &mut self,
        now: Time,
        publication: Key<Publication>,
        arrived: Arrived,
        out: &mut Outbox,
    ) {
        if let Some(feed) = self.seats.feed_of.get(&publication.to_bits()).copied() {
            self.bridge_packet(now, publication, feed, arrived, out);
        }
    }

    fn bridge_packet(
        &mut self,
        now: Time,
        publication_key: Key<Publication>,
        feed: Key<FeedSeat>,
        arrived: Arrived,
        out: &mut Outbox,
    ) {
        let Some(publication) = self.media.publications.get(publication_key) else {
            return;
        };
        let Some(seat) = self.seats.feeds.get_mut(feed) else {
            return;
        };
        let Some(bridge) = &mut seat.bridge else {
            return;
        };
        let mut made: Vec<Bridged> = Vec::new();
        bridge.take(now, publication, arrived, &mut made);
        let wants_keyframe = bridge.wants_keyframe(now);
        for bridged in made {
            if let Some((ticks, frame)) = bridged.opus {
                self.convert_for_players(now, feed, ticks, frame, out);
            }
            self.feed_tag(feed, bridged.tag, out);
        }
        if wants_keyframe {
            self.want_keyframe(now, publication_key, Reason::Lost, out);
        }
    }

    /// A feed's message for the players of this core: put into chunks once for
    /// all who have it on the same message stream.
    pub(in crate::core) fn play_tag(
        &mut self,
        now: Time,
        feed: FeedRef,
        tag: &Tag,
        out: &mut Outbox,
    ) {
        let players = self.seats.take_players(feed);
        let mut made: Vec<(u32, usize, Bytes)> = Vec::new();
        let mut stalled = Vec::new();
        let mut wants_key = false;
        for (id, stream_id) in &players {
            let Some(end) = self.rtmp_mut(*id) else {
                continue;
            };
            let accepts_opus = end.accepts_opus();
            let Some(viewing) = end.viewing(*stream_id) else {
                continue;
            };
            if !viewing.takes(tag, accepts_opus) {
                continue;
            }
            let chunk_size = end.rtmp.chunk_size();
            let same =
                |(id, size, _): &&(u32, usize, Bytes)| id == stream_id && *size == chunk_size;
            let bytes = match made.iter().find(same) {
                Some((_, _, bytes)) => bytes.clone(),
                None => {
                    let bytes = serialise(tag, *stream_id, chunk_size);
                    made.push((*stream_id, chunk_size, bytes.clone()));
                    bytes
                }
            };
            match end.outlet.offer(now, bytes, tag.is_header()) {
                Offered::Taken => self.pump_player(now, *id, out),
                Offered::Dropped => {
                    end.await_keys();
                    wants_key = true;
                    self.counters.drop(Drop::PlayerSlow);
                }
                Offered::Stalled => stalled.push(*id),
            }
        }
        self.seats.return_players(feed, players);
        if wants_key {
            self.post(feed.core, Mail::RtmpWantsKey(feed), out);
        }
        for id in stalled {
            let why = "RTMP player reads too slowly";
            self.event(Event::SessionRefused { why }, out);
            self.end_session(id, out);
            self.close(id, out);
        }
    }

    /// One message to one player, behind what it gets already; `false` when too
    /// much waits for it.
    pub(super) fn send_tag(
        &mut self,
        now: Time,
        id: ConnectionId,
        stream_id: u32,
        tag: &Tag,
        out: &mut Outbox,
    ) -> bool {
        let Some(end) = self.rtmp_mut(id) else {
            return false;
        };
        let bytes = serialise(tag, stream_id, end.rtmp.chunk_size());
        let is_taken = end.outlet.offer(now, bytes, tag.is_header()) == Offered::Taken;
        if !is_taken {
            end.await_keys();
        }
        self.pump_player(now, id, out);
        is_taken
    }

    /// Writes what a player's connection may take now.
    pub(in crate::core) fn pump_player(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        while let Some(bytes) = self.rtmp_mut(id).and_then(|end| end.outlet.next(now)) {
            self.send(id, bytes, out);
        }
        if self
            .rtmp_mut(id)
            .is_some_and(|end| end.outlet.wants_drain())
        {
            out.drains.push(id);
        }
    }
}

fn serialise(tag: &Tag, stream_id: u32, chunk_size: usize) -> Bytes {
    let (csid, kind) = match tag.kind {
        TagKind::Metadata => (DATA_CSID, message::DATA),
        TagKind::AudioHeader | TagKind::Audio => (AUDIO_CSID, message::AUDIO),
        TagKind::VideoHeader | TagKind::KeyFrame | TagKind::Frame => (VIDEO_CSID, message::VIDEO),
    };
    let header = MessageHeader {
        timestamp: match tag.kind {
            // FFmpeg takes metadata of any other time for a subtitle.
            TagKind::Metadata => 0,
            // 32 bits that wrap (RTMP 1.0 section 5.3.1.3 and FLV's E.4.1).
            _ => tag.timestamp_ms as u32,
        },
        kind,
        stream_id,
    };
    let mut out = Vec::with_capacity(tag.body.len() + 64);
    write_message(&mut out, chunk_size, csid, &header, &tag.body);
    Bytes::from(out)
}
