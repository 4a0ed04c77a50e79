//! The last packets of one publication, decrypted: owns the only copy from
//! which every viewer's packets are encrypted, first sends and resends alike.
//! All memory is taken at construction. Refuses packets that fell out of the
//! window and packets longer than a datagram.

use crate::base::limits::{DATAGRAM_MAX_BYTES, RTX_WINDOW_PACKETS_MAX};
use crate::base::time::Time;

/// What is known of a packet besides its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub marker: bool,
    /// RTP timestamp as the publisher wrote it.
    pub timestamp: u32,
    /// Bytes of payload; [`RtxWindow::insert`] sets it from the payload given.
    pub payload_len: u16,
    /// RFC 6464 octet (voice flag and level in -dBov), if sent.
    pub audio_level: Option<u8>,
    /// Coordination of video orientation octet (3GPP TS 26.114), if sent.
    pub orientation: Option<u8>,
    /// Whether a key frame begins in this packet.
    pub keyframe_start: bool,
    pub arrived: Time,
}

/// What became of an inserted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    New,
    /// Already held; the copy held first stays.
    Duplicate,
    /// Longer than [`DATAGRAM_MAX_BYTES`]: no datagram carries it.
    TooLong,
    /// Behind the newest packet by the window's size or more.
    TooOld,
}

/// A ring of packets indexed by extended sequence number.
pub struct RtxWindow {
    /// `slots.len()` payload areas of `DATAGRAM_MAX_BYTES`, side by side.
    payloads: Vec<u8>,
    slots: Vec<Slot>,
    /// `slots.len() - 1`; the length is a power of two.
    mask: u64,
    /// Newest sequence inserted; `None` while empty.
    highest: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// `None`: never written since the last clear.
    ext_seq: Option<u64>,
    meta: Meta,
}

impl RtxWindow {
    /// A window of `packets`, rounded up to a power of two and held within
    /// [`RTX_WINDOW_PACKETS_MAX`].
    pub fn new(packets: usize) -> Self {
        let packets = packets.clamp(1, RTX_WINDOW_PACKETS_MAX).next_power_of_two();
        RtxWindow {
            payloads: vec![0; packets.saturating_mul(DATAGRAM_MAX_BYTES)],
            slots: vec![Slot::default(); packets],
            mask: (packets as u64).saturating_sub(1),
            highest: None,
        }
    }

    /// Packets the window spans.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Newest sequence inserted.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Copies a packet in, replacing the one a window's length before it.
    pub fn insert(&mut self, ext_seq: u64, meta: Meta, payload: &[u8]) -> Inserted {
        let Some(payload_len) = u16::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= DATAGRAM_MAX_BYTES)
        else {
            return Inserted::TooLong;
        };
        if self.is_too_old(ext_seq) {
            return Inserted::TooOld;
        }
        let at = self.slot_of(ext_seq);
        let start = at.saturating_mul(DATAGRAM_MAX_BYTES);
        let area = self.payloads.get_mut(start..);
        let area = area.and_then(|area| area.get_mut(..payload.len()));
        // Both exist for every masked index; the type system cannot know.
        let (Some(slot), Some(area)) = (self.slots.get_mut(at), area) else {
            return Inserted::TooLong;
        };
        if slot.ext_seq == Some(ext_seq) {
            return Inserted::Duplicate;
        }
        area.copy_from_slice(payload);
        slot.ext_seq = Some(ext_seq);
        slot.meta = Meta {
            payload_len,
            ..meta
        };
        self.highest = self.highest.max(Some(ext_seq));
        Inserted::New
    }

    /// The packet `ext_seq`, if it was inserted and the window still spans it.
    pub fn get(&self, ext_seq: u64) -> Option<(&Meta, &[u8])> {
        if self.is_too_old(ext_seq) {
            return None;
        }
        let at = self.slot_of(ext_seq);
        let slot = self.slots.get(at)?;
        if slot.ext_seq != Some(ext_seq) {
            return None;
        }
        let area = self.payloads.get(at.saturating_mul(DATAGRAM_MAX_BYTES)..)?;
        let payload = area.get(..usize::from(slot.meta.payload_len))?;
        Some((&slot.meta, payload))
    }

    /// Forgets every packet and keeps the memory: the publisher's stream began
    /// anew (another SSRC), so old sequence numbers mean nothing.
    pub fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.ext_seq = None;
        }
        self.highest = None;
    }

    fn is_too_old(&self, ext_seq: u64) -> bool {
        self.highest
            .is_some_and(|highest| highest.saturating_sub(ext_seq) > self.mask)
    }

    fn slot_of(&self, ext_seq: u64) -> usize {
        (ext_seq & self.mask) as usize
    }
}

/// The extended sequence nearest to `reference_ext` whose low 16 bits are
/// `seq` (RFC 3711 section 3.3.1's estimate): at most 2^15 behind, less than
/// that ahead, except at the ends of the number range where only the other
/// direction exists.
pub fn extend_sequence(reference_ext: u64, seq: u16) -> u64 {
    let ahead = i64::from(seq.wrapping_sub(reference_ext as u16) as i16);
    let other_way = if ahead < 0 { 0x1_0000 } else { -0x1_0000 };
    reference_ext
        .checked_add_signed(ahead)
        .unwrap_or_else(|| reference_ext.wrapping_add_signed(ahead.wrapping_add(other_way)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(timestamp: u32) -> Meta {
        Meta {
            timestamp,
            ..Meta::default()
        }
    }

    #[test]
    fn a_packet_comes_back_as_inserted() {
        let mut window = RtxWindow::new(8);
        let meta = Meta {
            marker: true,
            timestamp: u32::MAX,
            payload_len: 999,
            audio_level: Some(0x85),
            orientation: Some(3),
            keyframe_start: true,
            arrived: Time::from_us(77),
        };
        assert_eq!(window.insert(0x1_ffff, meta, b"abc"), Inserted::New);
        let (kept, payload) = window.get(0x1_ffff).unwrap();
        assert_eq!(payload, b"abc");
        assert_eq!(
            *kept,
            Meta {
                payload_len: 3,
                ..meta
            }
        );
        assert!(window.get(0xffff).is_none());
        assert!(window.get(0x2_ffff).is_none());
    }

    #[test]
    fn duplicates_do_not_replace() {
        let mut window = RtxWindow::new(8);
        window.insert(5, meta(1), b"first");
        assert_eq!(window.insert(5, meta(2), b"second"), Inserted::Duplicate);
        assert_eq!(
            window.get(5).unwrap(),
            (
                &Meta {
                    payload_len: 5,
                    ..meta(1)
                },
                &b"first"[..]
            )
        );
    }

    #[test]
    fn the_window_slides_over_the_wrap() {
        let mut window = RtxWindow::new(4);
        for seq in 65_530..65_542u64 {
            assert_eq!(
                window.insert(seq, meta(seq as u32), &[seq as u8; 7]),
                Inserted::New
            );
        }
        for seq in 65_538..65_542u64 {
            assert_eq!(window.get(seq).unwrap().1, [seq as u8; 7]);
        }
        assert!(window.get(65_537).is_none());
        assert_eq!(window.insert(65_537, meta(0), b""), Inserted::TooOld);
    }

    #[test]
    fn reordered_packets_fill_their_place() {
        let mut window = RtxWindow::new(4);
        window.insert(13, meta(0), b"d");
        assert_eq!(window.insert(10, meta(0), b"a"), Inserted::New);
        assert_eq!(window.insert(9, meta(0), b"z"), Inserted::TooOld);
        assert_eq!(window.get(10).unwrap().1, b"a");
        assert!(window.get(11).is_none());
    }

    #[test]
    fn a_jump_leaves_nothing_stale() {
        let mut window = RtxWindow::new(4);
        window.insert(1, meta(0), b"a");
        window.insert(u64::MAX, meta(0), b"b");
        assert!(window.get(1).is_none());
        assert_eq!(window.insert(2, meta(0), b"c"), Inserted::TooOld);
        window.clear();
        assert!(window.get(u64::MAX).is_none());
        assert_eq!(window.insert(2, meta(0), b"c"), Inserted::New);
    }

    #[test]
    fn sizes_are_held_to_a_datagram() {
        let mut window = RtxWindow::new(2);
        let long = [7; DATAGRAM_MAX_BYTES + 1];
        assert_eq!(window.insert(1, meta(0), &long), Inserted::TooLong);
        assert_eq!(
            window.insert(1, meta(0), &long[..DATAGRAM_MAX_BYTES]),
            Inserted::New
        );
        assert_eq!(window.insert(2, meta(0), b""), Inserted::New);
        assert_eq!(window.get(1).unwrap().1.len(), DATAGRAM_MAX_BYTES);
        assert_eq!(window.get(2).unwrap().1, b"");
        assert_eq!(
            window.insert(3, meta(0), &vec![0; 70_000]),
            Inserted::TooLong
        );
    }

    #[test]
    fn capacity_is_a_bounded_power_of_two() {
        assert_eq!(RtxWindow::new(0).capacity(), 1);
        assert_eq!(RtxWindow::new(300).capacity(), 512);
        assert_eq!(
            RtxWindow::new(usize::MAX).capacity(),
            RTX_WINDOW_PACKETS_MAX
        );
    }

    #[test]
    fn extension_takes_the_nearest() {
        assert_eq!(extend_sequence(0x1_fffe, 0xffff), 0x1_ffff);
        assert_eq!(extend_sequence(0x1_fffe, 0x0001), 0x2_0001);
        assert_eq!(extend_sequence(0x2_0001, 0xfffe), 0x1_fffe);
        assert_eq!(extend_sequence(0x2_0000, 0x7fff), 0x2_7fff);
        assert_eq!(extend_sequence(0x2_0000, 0x8000), 0x1_8000);
        assert_eq!(extend_sequence(5, 0xfff0), 0xfff0);
        assert_eq!(extend_sequence(u64::MAX, 3), u64::MAX - 0xfffc);
        for reference in [0, 1, 0x7fff, 0x8000, 0xffff, 0x1_0000, u64::MAX] {
            for seq in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                assert_eq!(extend_sequence(reference, seq) as u16, seq);
            }
        }
    }
}
