//! SRTP under any sequence of operations, against a model: an index protects
//! one packet; a packet is delivered at most once and only as it was sent;
//! what RFC 3711 promises to deliver is delivered; damage never is.

use std::collections::BTreeSet;

use ringhall::base::limits::SRTP_WINDOW_PACKETS;
use ringhall::proto::srtp::{
    KeyPair, Profile, ProtectError, Receiver, RingGcm, Sender, UnprotectError,
    split_keying_material,
};
use ringhall::wire::rtp::Header;

const SSRCS: [u32; 2] = [0x0102_0304, 0xffff_ffff];
const ROUND_HALF: u64 = 1 << 15;

struct Sent {
    stream: usize,
    index: u64,
    sealed: Vec<u8>,
}

/// What the model knows of a stream.
#[derive(Default)]
struct Stream {
    /// Where the sender stands, and every index it used.
    index: u64,
    used: BTreeSet<u64>,
    /// Indices delivered; the newest decides what the receiver may assume.
    delivered: BTreeSet<u64>,
}

struct Model {
    sender: Sender,
    receiver: Receiver,
    streams: [Stream; 2],
    sent: Vec<Sent>,
    control: Vec<(Vec<u8>, bool)>,
}

pub fn check(data: &[u8]) {
    let Some((first, operations)) = data.split_first() else {
        return;
    };
    let profile = match first % 3 {
        0 => Profile::AeadAes256Gcm,
        1 => Profile::AeadAes128Gcm,
        _ => Profile::AesCm128HmacSha1_80,
    };
    let master = master(profile);
    let mut model = Model {
        sender: Sender::<RingGcm>::with_aead(&master).expect("keys of the right length"),
        receiver: Receiver::<RingGcm>::with_aead(&master).expect("keys of the right length"),
        streams: Default::default(),
        sent: Vec::new(),
        control: Vec::new(),
    };
    for operation in operations.chunks_exact(3).take(2_000) {
        let stream = usize::from(operation[0] & 1);
        let argument = u16::from_be_bytes([operation[1], operation[2]]);
        match (operation[0] >> 1) % 7 {
            0 => model.send(stream, u64::from(argument & 7) + 1),
            1 => model.send(stream, u64::from(argument)),
            2 => model.send_again(stream, u64::from(argument)),
            3 => model.deliver(argument, None),
            4 => model.deliver(argument, Some(operation[1])),
            5 => model.send_control(stream),
            _ => model.deliver_control(argument),
        }
    }
}

fn master(profile: Profile) -> KeyPair {
    let material: Vec<u8> = (0..profile.material_len()).map(|n| n as u8).collect();
    let (client, _) = split_keying_material(profile, &material).expect("material of its length");
    client
}

fn plain(ssrc: u32, index: u64) -> Vec<u8> {
    let mut packet = vec![0x90, 96];
    packet.extend((index as u16).to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xbe, 0xde, 0, 1, 0x10, 5, 0, 0]);
    packet.extend(index.to_be_bytes());
    packet
}

impl Model {
    fn seal(&mut self, stream: usize, index: u64) -> Result<Vec<u8>, ProtectError> {
        let ssrc = SSRCS[stream];
        let mut packet = plain(ssrc, index);
        let len = packet.len();
        packet.resize(len + self.sender.tag_len(), 0);
        let protected = self.sender.protect_rtp(ssrc, index, &mut packet, 20, len)?;
        assert_eq!(protected, packet.len());
        Ok(packet)
    }

    /// The next packet of a stream, `ahead` of the last.
    fn send(&mut self, stream: usize, ahead: u64) {
        let index = self.streams[stream].index + ahead.max(1);
        let sealed = self.seal(stream, index).expect("an index never used");
        self.streams[stream].index = index;
        self.streams[stream].used.insert(index);
        self.sent.push(Sent {
            stream,
            index,
            sealed,
        });
    }

    /// An index behind the newest: good once, if the window still knows it.
    fn send_again(&mut self, stream: usize, behind: u64) {
        let state = &self.streams[stream];
        let Some(index) = state.index.checked_sub(behind) else {
            return;
        };
        let free =
            state.used.is_empty() || behind < SRTP_WINDOW_PACKETS && !state.used.contains(&index);
        match self.seal(stream, index) {
            Ok(sealed) => {
                assert!(free, "index {index} protected a second packet");
                let state = &mut self.streams[stream];
                state.used.insert(index);
                self.sent.push(Sent {
                    stream,
                    index,
                    sealed,
                });
            }
            Err(error) => {
                assert_eq!(error, ProtectError::IndexReused);
                assert!(!free, "index {index} was free");
            }
        }
    }

    /// Delivers one of the packets sent, perhaps with a bit of it turned.
    fn deliver(&mut self, which: u16, damage: Option<u8>) {
        if self.sent.is_empty() {
            return;
        }
        let at = usize::from(which) % self.sent.len();
        let Sent {
            stream,
            index,
            sealed,
        } = &self.sent[at];
        let (stream, index) = (*stream, *index);
        let mut packet = sealed.clone();
        if let Some(damage) = damage {
            let bit = usize::from(damage) * 7 % (packet.len() * 8);
            packet[bit / 8] ^= 1 << (bit % 8);
        }
        let Ok(header) = Header::parse(&packet) else {
            assert!(damage.is_some());
            return;
        };
        let result = self.receiver.unprotect_rtp(&header, &mut packet);
        let delivered = &mut self.streams[stream].delivered;
        if damage.is_some() {
            assert!(result.is_err(), "a damaged packet was let in");
            return;
        }
        match result {
            Ok(opened) => {
                assert_eq!(opened.index, index);
                assert_eq!(packet[..opened.len], plain(SSRCS[stream], index));
                assert!(delivered.insert(index), "delivered twice");
            }
            Err(error) => {
                // A new stream must begin in its first round; after that the
                // newest index decides how far ahead or behind one may be.
                let promised = match delivered.last() {
                    None => index <= u64::from(u16::MAX),
                    Some(newest) => {
                        !delivered.contains(&index)
                            && index < newest + ROUND_HALF
                            && index + SRTP_WINDOW_PACKETS > *newest
                    }
                };
                assert!(!promised, "{index} refused: {error:?}");
                if delivered.contains(&index) {
                    assert_ne!(error, UnprotectError::TooManyStreams);
                }
            }
        }
    }

    fn send_control(&mut self, stream: usize) {
        let mut packet = vec![0x80, 201, 0, 1];
        packet.extend(SSRCS[stream].to_be_bytes());
        packet.extend([0x81, 203, 0, 1, 0, 0, 0, self.control.len() as u8]);
        self.sender.protect_rtcp(&mut packet).expect("a fresh key");
        self.control.push((packet, false));
    }

    fn deliver_control(&mut self, which: u16) {
        if self.control.is_empty() {
            return;
        }
        let at = usize::from(which) % self.control.len();
        let recent = self.control.len() - at <= SRTP_WINDOW_PACKETS as usize;
        let (sealed, delivered) = &mut self.control[at];
        let mut packet = sealed.clone();
        // Damage first, to any bit: it must leave no trace.
        let bit = usize::from(which) % (packet.len() * 8);
        packet[bit / 8] ^= 1 << (bit % 8);
        assert!(self.receiver.unprotect_rtcp(&mut packet).is_err());
        let mut packet = sealed.clone();
        match self.receiver.unprotect_rtcp(&mut packet) {
            Ok(len) => {
                assert!(!*delivered, "delivered twice");
                assert_eq!(len, 16);
                assert_eq!(packet[15], at as u8);
                *delivered = true;
            }
            Err(error) => {
                assert!(*delivered || !recent, "{at} refused: {error:?}");
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let script = |profile: u8, operations: &[[u8; 3]]| {
        let mut seed = vec![profile];
        seed.extend(operations.iter().flatten());
        seed
    };
    let send = |ahead: u16| [2, (ahead >> 8) as u8, ahead as u8];
    let deliver = |which: u8| [6, 0, which];
    let wrap = [
        send(65_000),
        send(500),
        send(100),
        deliver(0),
        deliver(2),
        deliver(1),
        deliver(1),
    ];
    let late = [
        send(2_000),
        send(1_000),
        send(30),
        deliver(1),
        deliver(0),
        deliver(2),
    ];
    let reuse = [
        send(5_000),
        [4, 0, 0],
        [4, 0, 1],
        [4, 0, 1],
        [4, 4, 0],
        deliver(1),
    ];
    let forged = [
        send(1),
        [8, 3, 0],
        [8, 200, 0],
        deliver(0),
        [9, 7, 0],
        deliver(0),
    ];
    let control = [[10, 0, 0], [11, 0, 0], [12, 0, 1], [12, 0, 0], [12, 0, 0]];
    vec![
        script(0, &wrap),
        script(1, &wrap),
        script(2, &wrap),
        script(0, &late),
        script(1, &reuse),
        script(2, &forged),
        script(0, &control),
        script(2, &control),
    ]
}
