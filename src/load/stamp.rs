//! What a sent packet says about itself, behind its payload: which one it is, of
//! which frame, and when it was sent. It makes loss, doubles, order and delay exact
//! whatever a server rewrites, and damages pictures that nobody looks at.

const MAGIC: [u8; 4] = *b"RhLt";
pub const STAMP_BYTES: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Counts the packets of a track, from 0.
    pub number: u32,
    pub frame: u32,
    /// Place in the frame, and the frame's packets.
    pub place: u8,
    pub packets: u8,
    pub is_key: bool,
    /// Microseconds of the machine's monotonic clock.
    pub sent_us: u64,
}

impl Stamp {
    pub fn append(&self, payload: &mut Vec<u8>) {
        payload.extend(MAGIC);
        payload.extend(self.number.to_be_bytes());
        payload.extend(self.frame.to_be_bytes());
        payload.extend([self.place, self.packets, u8::from(self.is_key), 0]);
        payload.extend(self.sent_us.to_be_bytes());
    }

    pub fn read(payload: &[u8]) -> Option<Stamp> {
        let end = payload.last_chunk::<STAMP_BYTES>()?;
        let word =
            |at: usize| -> Option<u32> { Some(u32::from_be_bytes(*end.get(at..)?.first_chunk()?)) };
        if !end.starts_with(&MAGIC) {
            return None;
        }
        let [place, packets, is_key, _] = word(12)?.to_be_bytes();
        Some(Stamp {
            number: word(4)?,
            frame: word(8)?,
            place,
            packets,
            is_key: is_key != 0,
            sent_us: u64::from_be_bytes(*end.get(16..)?.first_chunk()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let stamp = Stamp {
            number: 70_000,
            frame: 9,
            place: 3,
            packets: 8,
            is_key: true,
            sent_us: 1 << 40,
        };
        let mut payload = vec![7; 100];
        stamp.append(&mut payload);
        assert_eq!(payload.len(), 100 + STAMP_BYTES);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&[7; 100]), None);
        assert_eq!(Stamp::read(&[]), None);
    }
}
