//! Aggregate messages (RTMP 1.0 section 7.1.6): FLV tags with their back
//! pointers, one after another, in one message.

use std::ops::Range;

use crate::wire::bytes;

/// Bytes before a tag's body, and of the pointer behind it.
const TAG_HEAD_BYTES: usize = 11;
const BACK_POINTER_BYTES: usize = 4;

/// One message of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its message type.
    pub kind: u8,
    /// In the time of the message stream, wrapping.
    pub timestamp: u32,
    /// Where in the aggregate its body lies.
    pub body: Range<usize>,
}

/// The messages in `payload`. The first is of the aggregate's own time, the
/// others as far after it as their tags say; a tag cut short ends the list.
pub fn parts(timestamp: u32, payload: &[u8]) -> impl Iterator<Item = Part> + '_ {
    let mut at = 0;
    let mut first_tag_time = None;
    std::iter::from_fn(move || {
        let kind = bytes::u8_at(payload, at)?;
        let len = usize::try_from(bytes::u24_at(payload, at + 1)?).ok()?;
        // The high byte of the time stands after its low three.
        let low = bytes::u24_at(payload, at + 4)?;
        let high = u32::from(bytes::u8_at(payload, at + 7)?);
        let tag_time = low | high << 24;
        let first = *first_tag_time.get_or_insert(tag_time);
        let start = at + TAG_HEAD_BYTES;
        let body = start..start + len;
        payload.get(body.clone())?;
        at = body.end + BACK_POINTER_BYTES;
        Some(Part {
            kind,
            timestamp: timestamp.wrapping_add(tag_time.wrapping_sub(first)),
            body,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let len = body.len() as u32;
        let mut out = vec![kind];
        out.extend(&len.to_be_bytes()[1..]);
        out.extend(&time.to_be_bytes()[1..]);
        out.push((time >> 24) as u8);
        out.extend([0; 3]);
        out.extend(body);
        out.extend((len + 11).to_be_bytes());
        out
    }

    #[test]
    fn times_are_moved_to_the_messages_own() {
        let payload = [tag(8, 0x0100_0000, b"a"), tag(9, 0x0100_0017, b"bc")].concat();
        let found: Vec<(u8, u32, &[u8])> = parts(1_000, &payload)
            .map(|part| (part.kind, part.timestamp, &payload[part.body]))
            .collect();
        assert_eq!(found, [(8, 1_000, &b"a"[..]), (9, 1_023, &b"bc"[..])]);
    }

    #[test]
    fn a_tag_cut_short_ends_the_list() {
        let payload = [tag(8, 0, b"a"), tag(9, 1, b"bcd")].concat();
        let without_pointer = payload.len() - 4;
        assert_eq!(parts(0, &payload[..without_pointer]).count(), 2);
        assert_eq!(parts(0, &payload[..without_pointer - 1]).count(), 1);
        assert_eq!(parts(0, &payload[..15]).count(), 1);
        assert_eq!(parts(0, &[]).count(), 0);
    }

    #[test]
    fn times_may_go_back_and_wrap() {
        let payload = [tag(8, 5, b"a"), tag(9, 3, b"b")].concat();
        let times: Vec<u32> = parts(1, &payload).map(|part| part.timestamp).collect();
        assert_eq!(times, [1, u32::MAX]);
    }
}
