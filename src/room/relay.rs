//! A publication on several cores: its packets go, decrypted and once, to every
//! core that has viewers of it, in one batch of the turn for each. There they
//! fill a replica with a window, a key frame gate and a fan-out of its own.

use crate::base::limits::RELAY_BATCH_MAX_BYTES;
use crate::proto::reception::ClockMap;
use crate::proto::rtx_window::Meta;
use crate::room::publication::Arrived;
use crate::room::track::Kind;

/// A core a publication is also sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    pub core: u16,
    /// The publication's number at its own core, which names the replica.
    pub replica: u64,
    pub viewers: u32,
}

/// Where a replica's packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    pub core: u16,
    pub replica: u64,
}

/// One packet on its way to a replica; its payload is in the batch.
#[derive(Clone, Copy, Debug)]
pub struct Relayed {
    pub replica: u64,
    pub arrived: Arrived,
    pub meta: Meta,
    /// Kept from before the replica: for its window, not for its viewers.
    pub is_past: bool,
}

/// What else a replica is told.
#[derive(Clone, Copy, Debug)]
pub enum News {
    /// The publisher's clock, as its last sender report had it.
    Clock(Kind, ClockMap),
    /// What was shown last is no beginning for anybody any more.
    ForgetKeyframe,
}

/// What one core has for another after a turn.
#[derive(Debug, Default)]
pub struct Batch {
    packets: Vec<Relayed>,
    /// The packets' payloads, one after another.
    bytes: Vec<u8>,
    news: Vec<(u64, News)>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.news.is_empty()
    }

    /// Packets in it.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// What it takes of memory, about.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + self.packets.len() * size_of::<Relayed>()
    }

    pub fn packets(&self) -> impl Iterator<Item = (&Relayed, &[u8])> {
        let mut at = 0;
        self.packets.iter().map(move |packet| {
            let len = usize::from(packet.meta.payload_len);
            let payload = self.bytes.get(at..at + len).unwrap_or_default();
            at += len;
            (packet, payload)
        })
    }

    pub fn news(&self) -> impl Iterator<Item = (u64, News)> {
        self.news.iter().copied()
    }
}

/// The batches of a turn, by receiving core.
#[derive(Debug, Default)]
pub struct Relays {
    batches: Vec<Batch>,
}

impl Relays {
    fn batch(&mut self, core: u16) -> Option<&mut Batch> {
        let at = usize::from(core);
        if self.batches.len() <= at {
            self.batches.resize_with(at + 1, Batch::default);
        }
        self.batches.get_mut(at)
    }

    /// Adds a packet; `false` when the batch is full.
    pub fn push(&mut self, core: u16, packet: Relayed, payload: &[u8]) -> bool {
        let Some(batch) = self.batch(core) else {
            return false;
        };
        if batch.bytes.len() + payload.len() > RELAY_BATCH_MAX_BYTES {
            return false;
        }
        batch.packets.push(packet);
        batch.bytes.extend_from_slice(payload);
        true
    }

    pub fn tell(&mut self, relay: &Relay, news: News) {
        if let Some(batch) = self.batch(relay.core) {
            batch.news.push((relay.replica, news));
        }
    }

    /// Takes what there is, by core.
    pub fn take(&mut self) -> impl Iterator<Item = (u16, Batch)> + '_ {
        let filled = |(_, batch): &(u16, &mut Batch)| !batch.is_empty();
        let batches = (0..).zip(&mut self.batches).filter(filled);
        batches.map(|(core, batch)| {
            // The next turn will be about as long.
            let like_this = Batch {
                packets: Vec::with_capacity(batch.packets.len()),
                bytes: Vec::with_capacity(batch.bytes.len()),
                news: Vec::new(),
            };
            (core, std::mem::replace(batch, like_this))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(replica: u64, ext_seq: u64, payload: &[u8]) -> Relayed {
        Relayed {
            replica,
            arrived: Arrived {
                kind: Kind::Video,
                ext_seq,
            },
            meta: Meta {
                payload_len: payload.len() as u16,
                ..Meta::default()
            },
            is_past: false,
        }
    }

    #[test]
    fn each_core_gets_its_packets_in_order() {
        let mut relays = Relays::default();
        for (core, replica, ext_seq, payload) in [
            (2, 7, 1, &b"one"[..]),
            (0, 7, 1, b"one"),
            (2, 8, 5, b"five!"),
        ] {
            assert!(relays.push(core, packet(replica, ext_seq, payload), payload));
        }
        let taken: Vec<(u16, Batch)> = relays.take().collect();
        assert_eq!(
            taken.iter().map(|(core, _)| *core).collect::<Vec<_>>(),
            [0, 2]
        );
        let second: Vec<(u64, u64, Vec<u8>)> = taken[1]
            .1
            .packets()
            .map(|(packet, payload)| (packet.replica, packet.arrived.ext_seq, payload.to_vec()))
            .collect();
        assert_eq!(second, [(7, 1, b"one".to_vec()), (8, 5, b"five!".to_vec())]);
        assert_eq!(relays.take().count(), 0);
    }

    #[test]
    fn a_batch_has_an_end() {
        let mut relays = Relays::default();
        let payload = [0; 1_200];
        let fits = RELAY_BATCH_MAX_BYTES / payload.len();
        for at in 0..fits {
            assert!(relays.push(1, packet(1, at as u64, &payload), &payload));
        }
        assert!(!relays.push(1, packet(1, fits as u64, &payload), &payload));
        let (_, batch) = relays.take().next().unwrap();
        assert_eq!(batch.len(), fits);
    }

    #[test]
    fn news_alone_are_a_batch() {
        let mut relays = Relays::default();
        let relay = Relay {
            core: 1,
            replica: 3,
            viewers: 1,
        };
        relays.tell(&relay, News::ForgetKeyframe);
        let (core, batch) = relays.take().next().unwrap();
        assert_eq!((core, batch.len(), batch.news().count()), (1, 0, 1));
    }
}
