//! RTP packets (RFC 3550 section 5): the header parsed once, on the packet as
//! it arrived, because SRTP leaves header and extensions in clear; header
//! extensions in both forms of RFC 8285; and the writer of outgoing headers.
//! Nothing here is to be believed before the packet authenticated.

use super::bytes::{put, u16_at, u32_at};

/// The header without CSRCs and extensions, RFC 3550 section 5.1.
pub const FIXED_HEADER_BYTES: usize = 12;

/// RFC 8285 section 4.2: the profile of a block of one-byte elements.
const ONE_BYTE_PROFILE: u16 = 0xbede;
/// RFC 8285 section 4.3: the upper twelve bits of the two-byte profile; the
/// lower four are the application's.
const TWO_BYTE_PROFILE: u16 = 0x100;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The version field is not 2.
    Version(u8),
    /// The packet ends inside the named part.
    Truncated(Part),
    /// The padding count is zero or larger than what follows the header.
    Padding(u8),
}

/// The part of a packet an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    FixedHeader,
    Csrcs,
    ExtensionHeader,
    Extensions,
    Payload,
}

/// Where the header extension block lies: `start..end` of the packet, empty
/// without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionBlock {
    /// "Defined by profile" of RFC 3550 section 5.3.1: tells the element form.
    pub profile: u16,
    pub start: usize,
    pub end: usize,
}

/// A parsed header. Valid for the packet it was parsed from, encrypted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub marker: bool,
    /// The payload ends in padding, counted by its last byte. Readable only
    /// after decryption: see [`payload_len`].
    pub padding: bool,
    /// 0..=127.
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// The whole header in bytes, with CSRCs and extensions.
    pub len: usize,
    pub extension: ExtensionBlock,
}

impl Header {
    /// Parses the header of `packet`. Refuses a version other than 2 and
    /// CSRCs or extensions that reach past the end; the payload may be empty.
    pub fn parse(packet: &[u8]) -> Result<Header, ParseError> {
        let fixed: &[u8; FIXED_HEADER_BYTES] = packet
            .first_chunk()
            .ok_or(ParseError::Truncated(Part::FixedHeader))?;
        let [b0, b1, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = *fixed;
        if b0 >> 6 != 2 {
            return Err(ParseError::Version(b0 >> 6));
        }
        let csrcs_end = FIXED_HEADER_BYTES + usize::from(b0 & 0x0f) * 4;
        if packet.len() < csrcs_end {
            return Err(ParseError::Truncated(Part::Csrcs));
        }
        let extension = if b0 & 0x10 != 0 {
            Self::locate_extensions(packet, csrcs_end)?
        } else {
            ExtensionBlock {
                profile: 0,
                start: csrcs_end,
                end: csrcs_end,
            }
        };
        Ok(Header {
            marker: b1 & 0x80 != 0,
            padding: b0 & 0x20 != 0,
            payload_type: b1 & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            len: extension.end,
            extension,
        })
    }

    /// RFC 3550 section 5.3.1: profile, length in words, then the block.
    fn locate_extensions(packet: &[u8], at: usize) -> Result<ExtensionBlock, ParseError> {
        let missing = ParseError::Truncated(Part::ExtensionHeader);
        let profile = u16_at(packet, at).ok_or(missing)?;
        let words = u16_at(packet, at + 2).ok_or(missing)?;
        let start = at + 4;
        let end = start + usize::from(words) * 4;
        if packet.len() < end {
            return Err(ParseError::Truncated(Part::Extensions));
        }
        Ok(ExtensionBlock {
            profile,
            start,
            end,
        })
    }

    /// The data of the first header extension element with `id`, in whichever
    /// of the two forms the block is. `None` without one, for an id the form
    /// reserves, and when the block breaks off before it.
    pub fn extension<'a>(&self, packet: &'a [u8], id: u8) -> Option<&'a [u8]> {
        let block = packet.get(self.extension.start..self.extension.end)?;
        if id == 0 || block.is_empty() {
            return None;
        }
        if self.extension.profile == ONE_BYTE_PROFILE {
            one_byte_element(block, id)
        } else if self.extension.profile >> 4 == TWO_BYTE_PROFILE {
            two_byte_element(block, id)
        } else {
            None
        }
    }

    /// Audio level, RFC 6464 section 3: voice flag in the top bit, then
    /// -dBov, 0..=127, loudest first.
    pub fn audio_level(&self, packet: &[u8], id: u8) -> Option<u8> {
        self.extension(packet, id)?.first().copied()
    }

    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01
    /// section 2).
    pub fn transport_sequence(&self, packet: &[u8], id: u8) -> Option<u16> {
        u16_at(self.extension(packet, id)?, 0)
    }

    /// The media identification of the BUNDLE group, RFC 9143 section 15.2.
    pub fn mid<'a>(&self, packet: &'a [u8], id: u8) -> Option<&'a [u8]> {
        self.extension(packet, id).filter(|mid| !mid.is_empty())
    }

    /// Coordination of video orientation, 3GPP TS 26.114 section 7.4.5: camera,
    /// flip and rotation in the low four bits.
    pub fn orientation(&self, packet: &[u8], id: u8) -> Option<u8> {
        self.extension(packet, id)?.first().copied()
    }
}

/// RFC 8285 section 4.2: id and length-minus-one in a byte; id 0 is padding,
/// id 15 ends the block.
fn one_byte_element(block: &[u8], id: u8) -> Option<&[u8]> {
    let mut rest = block;
    while let Some((&head, after)) = rest.split_first() {
        if head >> 4 == 0 {
            rest = after;
            continue;
        }
        if head >> 4 == 15 {
            return None;
        }
        let (data, after) = after.split_at_checked(usize::from(head & 0x0f) + 1)?;
        if head >> 4 == id {
            return Some(data);
        }
        rest = after;
    }
    None
}

/// RFC 8285 section 4.3: a byte of id, a byte of length; id 0 is one byte of padding.
fn two_byte_element(block: &[u8], id: u8) -> Option<&[u8]> {
    let mut rest = block;
    while let Some((&found, after)) = rest.split_first() {
        if found == 0 {
            rest = after;
            continue;
        }
        let (&len, after) = after.split_first()?;
        let (data, after) = after.split_at_checked(usize::from(len))?;
        if found == id {
            return Some(data);
        }
        rest = after;
    }
    None
}

/// Bytes of payload between the header and the padding of a *decrypted*
/// `packet` (RFC 3550 section 5.1). Zero is legal: probes carry padding only.
pub fn payload_len(header: &Header, packet: &[u8]) -> Result<usize, ParseError> {
    let payload = packet
        .get(header.len..)
        .ok_or(ParseError::Truncated(Part::Payload))?;
    if !header.padding {
        return Ok(payload.len());
    }
    let count = *payload.last().ok_or(ParseError::Truncated(Part::Payload))?;
    if count == 0 {
        return Err(ParseError::Padding(count));
    }
    payload
        .len()
        .checked_sub(usize::from(count))
        .ok_or(ParseError::Padding(count))
}

/// The original sequence number and payload inside an RTX payload, RFC 4588
/// section 4. `None` for fewer than two bytes, as in an RTX probe of padding.
pub fn rtx_original_sequence(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (osn, original) = payload.split_first_chunk()?;
    Some((u16::from_be_bytes(*osn), original))
}

/// The fields of an outgoing header that differ per subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressHeader {
    pub marker: bool,
    /// Padding ends the packet.
    pub padding: bool,
    /// 0..=127.
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

/// Header extensions of an outgoing packet, each with the id the subscriber
/// negotiated, 1..=14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EgressExtensions<'a> {
    /// 1..=16 bytes, what a one-byte element can hold.
    pub mid: Option<(u8, &'a [u8])>,
    /// See [`Header::audio_level`].
    pub audio_level: Option<(u8, u8)>,
    /// See [`Header::orientation`].
    pub orientation: Option<(u8, u8)>,
}

/// Writes a header at the start of `out` and returns its length: 12 bytes, and
/// a one-byte-form block (RFC 8285 section 4.2) when there are extensions.
/// `None`, with `out` in an unspecified state, when it does not fit, an id is
/// outside 1..=14, a mid is empty or longer than 16, or the payload type has
/// more than 7 bits.
pub fn write_header(
    out: &mut [u8],
    header: &EgressHeader,
    extensions: &EgressExtensions<'_>,
) -> Option<usize> {
    if header.payload_type > 127 {
        return None;
    }
    let has_block = extensions.mid.is_some()
        || extensions.audio_level.is_some()
        || extensions.orientation.is_some();
    let fixed: &mut [u8; FIXED_HEADER_BYTES] = out.first_chunk_mut()?;
    let [s0, s1] = header.sequence.to_be_bytes();
    let [t0, t1, t2, t3] = header.timestamp.to_be_bytes();
    let [r0, r1, r2, r3] = header.ssrc.to_be_bytes();
    *fixed = [
        0x80 | (u8::from(header.padding) << 5) | (u8::from(has_block) << 4),
        (u8::from(header.marker) << 7) | header.payload_type,
        s0,
        s1,
        t0,
        t1,
        t2,
        t3,
        r0,
        r1,
        r2,
        r3,
    ];
    if !has_block {
        return Some(FIXED_HEADER_BYTES);
    }
    write_block(out, extensions)
}

fn write_block(out: &mut [u8], extensions: &EgressExtensions<'_>) -> Option<usize> {
    const START: usize = FIXED_HEADER_BYTES + 4;
    let mut at = START;
    if let Some((id, mid)) = extensions.mid {
        at = write_element(out, at, id, mid)?;
    }
    if let Some((id, level)) = extensions.audio_level {
        at = write_element(out, at, id, &[level])?;
    }
    if let Some((id, orientation)) = extensions.orientation {
        at = write_element(out, at, id, &[orientation])?;
    }
    let end = at.next_multiple_of(4);
    out.get_mut(at..end)?.fill(0);
    let words = u16::try_from((end - START) / 4).ok()?;
    put(out, FIXED_HEADER_BYTES, ONE_BYTE_PROFILE.to_be_bytes())?;
    put(out, FIXED_HEADER_BYTES + 2, words.to_be_bytes())?;
    Some(end)
}

fn write_element(out: &mut [u8], at: usize, id: u8, data: &[u8]) -> Option<usize> {
    if !(1..=14).contains(&id) || data.is_empty() || data.len() > 16 {
        return None;
    }
    let length_minus_one = u8::try_from(data.len() - 1).ok()?;
    let (head, rest) = out.get_mut(at..)?.split_first_mut()?;
    *head = (id << 4) | length_minus_one;
    rest.get_mut(..data.len())?.copy_from_slice(data);
    Some(at + 1 + data.len())
}

/// Sequence number and SSRC at their fixed places, for callers that check a
/// packet they wrote without parsing it again.
pub fn identity(packet: &[u8]) -> Option<(u16, u32)> {
    Some((u16_at(packet, 2)?, u32_at(packet, 8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EGRESS: EgressHeader = EgressHeader {
        marker: true,
        padding: false,
        payload_type: 111,
        sequence: 0xfffe,
        timestamp: 0x8000_0001,
        ssrc: 0xdead_beef,
    };

    /// One CSRC, a one-byte block with padding in front, mid, level and twcc.
    fn one_byte_packet() -> Vec<u8> {
        let mut packet = vec![0xb1, 0xef, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8];
        packet.extend([0xbe, 0xde, 0, 3]);
        packet.extend([
            0, 0x42, b'a', b'u', b'd', 0x10, 0x85, 0x31, 0x12, 0x34, 0, 0,
        ]);
        packet.extend([9, 9, 9, 0, 2]);
        packet
    }

    #[test]
    fn parses_header_csrcs_extensions_and_padding() {
        let packet = one_byte_packet();
        let header = Header::parse(&packet).unwrap();
        assert!(header.marker && header.padding);
        assert_eq!(header.payload_type, 111);
        assert_eq!(header.sequence, 7);
        assert_eq!(header.timestamp, 9);
        assert_eq!(header.ssrc, 0x0102_0304);
        assert_eq!(header.len, 32);
        assert_eq!(header.mid(&packet, 4), Some(&b"aud"[..]));
        assert_eq!(header.audio_level(&packet, 1), Some(0x85));
        assert_eq!(header.transport_sequence(&packet, 3), Some(0x1234));
        assert_eq!(header.orientation(&packet, 5), None);
        assert_eq!(header.extension(&packet, 0), None);
        assert_eq!(payload_len(&header, &packet), Ok(3));
        assert_eq!(identity(&packet), Some((7, 0x0102_0304)));
    }

    #[test]
    fn two_byte_form_allows_empty_and_long_elements() {
        let mut packet = vec![0x90, 96, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4];
        packet.extend([0x10, 0x05, 0, 6]);
        packet.extend([3, 0, 0, 200, 17]);
        packet.extend([7u8; 17]);
        packet.extend([15, 0]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extension(&packet, 3), Some(&[][..]));
        assert_eq!(header.mid(&packet, 3), None);
        assert_eq!(header.extension(&packet, 200), Some(&[7u8; 17][..]));
        assert_eq!(header.extension(&packet, 15), Some(&[][..]));
        assert_eq!(header.extension(&packet, 7), None);
    }

    #[test]
    fn fifteen_stops_a_one_byte_block() {
        let mut packet = vec![0x90, 96, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4];
        packet.extend([0xbe, 0xde, 0, 2, 0x10, 1, 0xf0, 2, 0x20, 3, 0, 0]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extension(&packet, 1), Some(&[1][..]));
        assert_eq!(header.extension(&packet, 2), None);
        assert_eq!(header.extension(&packet, 15), None);
    }

    #[test]
    fn an_element_past_its_block_is_not_there() {
        let mut packet = vec![0x90, 96, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4];
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 1, 0x21, 2]);
        packet.extend([0xaa; 8]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extension(&packet, 1), Some(&[1][..]));
        assert_eq!(header.extension(&packet, 2), None);
    }

    #[test]
    fn an_unknown_profile_holds_no_elements() {
        let mut packet = one_byte_packet();
        packet[16] = 0xbf;
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.len, 32);
        assert_eq!(header.mid(&packet, 4), None);
    }

    #[test]
    fn every_truncation_names_its_part() {
        let packet = one_byte_packet();
        for len in 0..32 {
            let expected = match len {
                0..12 => Part::FixedHeader,
                12..16 => Part::Csrcs,
                16..20 => Part::ExtensionHeader,
                _ => Part::Extensions,
            };
            assert_eq!(
                Header::parse(&packet[..len]),
                Err(ParseError::Truncated(expected)),
                "{len} bytes"
            );
        }
        let header = Header::parse(&packet[..32]).unwrap();
        assert_eq!(
            payload_len(&header, &packet[..32]),
            Err(ParseError::Truncated(Part::Payload))
        );
        assert_eq!(
            payload_len(&header, &packet[..31]),
            Err(ParseError::Truncated(Part::Payload))
        );
        assert_eq!(header.mid(&packet[..31], 4), None);
    }

    #[test]
    fn refuses_other_versions_and_bad_padding() {
        let mut packet = one_byte_packet();
        for version in [0u8, 1, 3] {
            packet[0] = (version << 6) | 0x31;
            assert_eq!(Header::parse(&packet), Err(ParseError::Version(version)));
        }
        packet[0] = 0xb1;
        let header = Header::parse(&packet).unwrap();
        for (count, expected) in [
            (0, Err(ParseError::Padding(0))),
            (1, Ok(4)),
            (5, Ok(0)),
            (6, Err(ParseError::Padding(6))),
            (255, Err(ParseError::Padding(255))),
        ] {
            *packet.last_mut().unwrap() = count;
            assert_eq!(payload_len(&header, &packet), expected, "count {count}");
        }
    }

    #[test]
    fn the_longest_extension_length_needs_its_bytes() {
        let mut packet = vec![0x9f, 96, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4];
        packet.extend([0; 60]);
        packet.extend([0xbe, 0xde, 0xff, 0xff]);
        packet.resize(76 + 65_535 * 4 - 1, 0);
        assert_eq!(
            Header::parse(&packet),
            Err(ParseError::Truncated(Part::Extensions))
        );
        packet.push(0);
        assert_eq!(Header::parse(&packet).unwrap().len, packet.len());
    }

    #[test]
    fn rtx_payload_carries_the_original_sequence() {
        assert_eq!(rtx_original_sequence(&[1, 2, 3]), Some((0x0102, &[3][..])));
        assert_eq!(rtx_original_sequence(&[1, 2]), Some((0x0102, &[][..])));
        assert_eq!(rtx_original_sequence(&[1]), None);
    }

    #[test]
    fn a_written_header_parses_to_the_same_fields() {
        let extensions = EgressExtensions {
            mid: Some((1, b"0123456789abcdef")),
            audio_level: Some((14, 0x7f)),
            orientation: Some((3, 0x0b)),
        };
        let mut out = [0xeeu8; 64];
        let len = write_header(&mut out, &EGRESS, &extensions).unwrap();
        assert_eq!(len, 12 + 4 + 24);
        let header = Header::parse(&out[..len]).unwrap();
        assert!(header.marker && !header.padding);
        assert_eq!(header.payload_type, EGRESS.payload_type);
        assert_eq!(header.sequence, EGRESS.sequence);
        assert_eq!(header.timestamp, EGRESS.timestamp);
        assert_eq!(header.ssrc, EGRESS.ssrc);
        assert_eq!(header.len, len);
        assert_eq!(header.mid(&out, 1), Some(&b"0123456789abcdef"[..]));
        assert_eq!(header.audio_level(&out, 14), Some(0x7f));
        assert_eq!(header.orientation(&out, 3), Some(0x0b));
        let bare = EgressExtensions::default();
        assert_eq!(write_header(&mut out, &EGRESS, &bare), Some(12));
        assert_eq!(Header::parse(&out[..12]).unwrap().len, 12);
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused() {
        let extensions = EgressExtensions {
            mid: Some((1, b"v0")),
            audio_level: Some((2, 1)),
            orientation: Some((3, 0)),
        };
        let whole = 12 + 4 + 8;
        for len in 0..whole {
            let mut out = vec![0u8; len];
            assert_eq!(write_header(&mut out, &EGRESS, &extensions), None, "{len}");
        }
        let mut out = vec![0u8; whole];
        assert_eq!(write_header(&mut out, &EGRESS, &extensions), Some(whole));
    }

    #[test]
    fn ids_and_values_the_form_cannot_hold_are_refused() {
        let mut out = [0u8; 64];
        for id in [0, 15, 16, 255] {
            let extensions = EgressExtensions {
                audio_level: Some((id, 1)),
                ..Default::default()
            };
            assert_eq!(write_header(&mut out, &EGRESS, &extensions), None);
        }
        for mid in [&[][..], &[b'x'; 17][..]] {
            let extensions = EgressExtensions {
                mid: Some((1, mid)),
                ..Default::default()
            };
            assert_eq!(write_header(&mut out, &EGRESS, &extensions), None);
        }
        let header = EgressHeader {
            payload_type: 128,
            ..EGRESS
        };
        let bare = EgressExtensions::default();
        assert_eq!(write_header(&mut out, &header, &bare), None);
    }
}
