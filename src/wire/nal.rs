//! H.264 NAL units (ITU-T H.264 section 7.3.1), length-prefixed as in FLV and
//! MP4 (ISO/IEC 14496-15 section 5.3). Owns types, the walk, and the few header
//! fields that tell what a unit is for; refuses start codes, and to decode a
//! picture or a whole parameter set.

use super::bits::Bits;
use super::bytes::u8_at;
use crate::base::limits::NAL_UNITS_MAX;

/// `nal_unit_type` values (ITU-T H.264 table 7-1).
const TYPE_SLICE: u8 = 1;
const TYPE_PARTITION_A: u8 = 2;
pub const TYPE_IDR: u8 = 5;
pub const TYPE_SPS: u8 = 7;
pub const TYPE_PPS: u8 = 8;
pub const TYPE_AUD: u8 = 9;

/// Bytes looked at for a slice header's first fields: two Exp-Golomb codes of
/// at most 63 bits each, and what emulation prevention adds.
const SLICE_HEAD_BYTES: usize = 24;

/// `nal_unit_type` of a unit; `None` for an empty one.
pub fn nal_type(unit: &[u8]) -> Option<u8> {
    u8_at(unit, 0).map(|header| header & 0x1f)
}

/// Whether the unit carries part of a picture: a slice, a data partition or an
/// IDR slice.
pub fn is_slice(nal_type: u8) -> bool {
    (TYPE_SLICE..=TYPE_IDR).contains(&nal_type)
}

/// Whether a unit is worth carrying from one transport to another: pictures and
/// parameter sets. Delimiters and filler carry nothing, neither browsers nor
/// Flash read SEI, and what lies above type 12 belongs to scalable and
/// multiview coding that no peer negotiated. A unit marked as damaged
/// (`forbidden_zero_bit`) is not carried either.
pub fn is_carried(unit: &[u8]) -> bool {
    u8_at(unit, 0).is_some_and(|header| {
        let nal_type = header & 0x1f;
        header & 0x80 == 0 && (is_slice(nal_type) || nal_type == TYPE_SPS || nal_type == TYPE_PPS)
    })
}

/// Why length-prefixed data cannot be walked to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AvccError {
    /// A length field of none or more than four bytes. One of three is read,
    /// though ISO/IEC 14496-15 reserves it.
    LengthBytes(u8),
    /// The length at byte `at` is cut off, or reaches past the end.
    Truncated { at: usize },
    /// More than [`NAL_UNITS_MAX`] units.
    TooMany,
}

/// The units of `data`, each behind a length of `length_bytes` (1..=4, from the
/// decoder configuration record). Empty units are skipped: some encoders pad
/// with them. The first error is the last item.
pub fn avcc(data: &[u8], length_bytes: u8) -> Avcc<'_> {
    Avcc {
        data,
        at: 0,
        length_bytes,
        units: 0,
        failed: false,
    }
}

/// The walk of [`avcc`].
#[derive(Clone, Debug)]
pub struct Avcc<'a> {
    data: &'a [u8],
    at: usize,
    length_bytes: u8,
    units: usize,
    failed: bool,
}

impl<'a> Avcc<'a> {
    fn unit(&mut self) -> Result<Option<&'a [u8]>, AvccError> {
        if !(1..=4).contains(&self.length_bytes) {
            return Err(AvccError::LengthBytes(self.length_bytes));
        }
        loop {
            let at = self.at;
            let rest = self.data.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            let truncated = AvccError::Truncated { at };
            let (prefix, rest) = rest
                .split_at_checked(usize::from(self.length_bytes))
                .ok_or(truncated)?;
            let len = prefix
                .iter()
                .fold(0usize, |len, byte| len << 8 | usize::from(*byte));
            let unit = rest.get(..len).ok_or(truncated)?;
            self.at = at.saturating_add(prefix.len()).saturating_add(len);
            if unit.is_empty() {
                continue;
            }
            self.units = self.units.saturating_add(1);
            if self.units > NAL_UNITS_MAX {
                return Err(AvccError::TooMany);
            }
            return Ok(Some(unit));
        }
    }
}

impl<'a> Iterator for Avcc<'a> {
    type Item = Result<&'a [u8], AvccError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let unit = self.unit();
        self.failed = unit.is_err();
        unit.transpose()
    }
}

/// Appends `unit` behind its length in four bytes, the form of FLV and MP4.
/// Units beyond 4 GiB do not exist here: every caller's data is capped.
pub fn write_avcc(out: &mut Vec<u8>, unit: &[u8]) {
    let len = u32::try_from(unit.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(unit);
}

/// `slice_type` modulo 5 (ITU-T H.264 table 7-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceType {
    P,
    B,
    I,
    Sp,
    Si,
}

/// What begins every slice header (ITU-T H.264 section 7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceHead {
    /// Address of the first macroblock; zero begins a picture, unless slices
    /// come in arbitrary order.
    pub first_mb: u32,
    pub slice_type: SliceType,
}

/// The head of a slice, an IDR slice or a data partition A; `None` for other
/// units and for what is cut off or out of range.
pub fn slice_head(unit: &[u8]) -> Option<SliceHead> {
    if !matches!(nal_type(unit)?, TYPE_SLICE | TYPE_PARTITION_A | TYPE_IDR) {
        return None;
    }
    let mut bits = head_bits(unit.get(1..)?);
    let first_mb = bits.golomb()?;
    let slice_type = match bits.golomb()? {
        0 | 5 => SliceType::P,
        1 | 6 => SliceType::B,
        2 | 7 => SliceType::I,
        3 | 8 => SliceType::Sp,
        4 | 9 => SliceType::Si,
        _ => return None,
    };
    Some(SliceHead {
        first_mb,
        slice_type,
    })
}

/// The id of a sequence (0..=31) or picture (0..=255) parameter set (ITU-T
/// H.264 sections 7.4.2.1.1 and 7.4.2.2); `None` for other units.
pub fn parameter_set_id(unit: &[u8]) -> Option<u32> {
    let (body, id_max) = match nal_type(unit)? {
        // Behind profile_idc, constraint flags and level_idc, among which
        // emulation prevention does not fall: no profile or level is zero.
        TYPE_SPS => (unit.get(4..)?, 31),
        TYPE_PPS => (unit.get(1..)?, 255),
        _ => return None,
    };
    head_bits(body).golomb().filter(|id| *id <= id_max)
}

/// Whether two parameter sets have one type and id; a set too short to have an
/// id is known by its bytes.
pub fn is_same_set(a: &[u8], b: &[u8]) -> bool {
    let name = |set| Some((nal_type(set)?, parameter_set_id(set)?));
    match (name(a), name(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Bits of the first bytes of a unit's payload.
fn head_bits(payload: &[u8]) -> Bits<'_> {
    Bits::of_nal(payload.get(..SLICE_HEAD_BYTES).unwrap_or(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 18] = [
        0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd3, 0x70, 0x10, 0xd0, 0x10, 0x78,
        0x44, 0x23, 0x50,
    ];
    const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];

    #[test]
    fn every_length_size_is_walked() {
        for length_bytes in 1..=4u8 {
            let mut data = Vec::new();
            for unit in [&SPS[..], &[], &PPS] {
                let len = (unit.len() as u32).to_be_bytes();
                data.extend(&len[4 - usize::from(length_bytes)..]);
                data.extend(unit);
            }
            let units: Result<Vec<_>, _> = avcc(&data, length_bytes).collect();
            assert_eq!(units, Ok(vec![&SPS[..], &PPS]));
            let cut: Vec<_> = avcc(&data[..data.len() - 1], length_bytes).collect();
            let at = data.len() - PPS.len() - usize::from(length_bytes);
            assert_eq!(cut, [Ok(&SPS[..]), Err(AvccError::Truncated { at })]);
        }
    }

    #[test]
    fn broken_lengths_end_the_walk() {
        for length_bytes in [0, 5, 255] {
            let walked: Vec<_> = avcc(&[1, 2], length_bytes).collect();
            assert_eq!(walked, [Err(AvccError::LengthBytes(length_bytes))]);
        }
        let walked: Vec<_> = avcc(&[0xff, 0xff, 0xff, 0xff, 1], 4).collect();
        assert_eq!(walked, [Err(AvccError::Truncated { at: 0 })]);
        assert_eq!(
            avcc(&[0, 0], 3).last(),
            Some(Err(AvccError::Truncated { at: 0 }))
        );
        assert_eq!(avcc(&[], 4).next(), None);
    }

    #[test]
    fn a_flood_of_units_is_refused() {
        let data = [1, 0x41].repeat(NAL_UNITS_MAX + 1);
        assert_eq!(
            avcc(&data[2..], 1).filter(Result::is_ok).count(),
            NAL_UNITS_MAX
        );
        assert_eq!(avcc(&data, 1).last(), Some(Err(AvccError::TooMany)));
    }

    #[test]
    fn what_is_written_is_walked_again() {
        let mut data = Vec::new();
        write_avcc(&mut data, &SPS);
        write_avcc(&mut data, &PPS);
        assert!(avcc(&data, 4).eq([Ok(&SPS[..]), Ok(&PPS[..])]));
    }

    #[test]
    fn slice_types() {
        // Chromium's IDR: first_mb 0 ("1"), slice_type 7 ("0001000").
        let head = |unit: &[u8]| slice_head(unit);
        let idr = head(&[0x65, 0x88, 0x84]).unwrap();
        assert_eq!((idr.first_mb, idr.slice_type), (0, SliceType::I));
        // "1" "00110": P of table value 5; x264's "1" "010": B of value 1.
        assert_eq!(head(&[0x41, 0x9a]).unwrap().slice_type, SliceType::P);
        assert_eq!(head(&[0x01, 0xa0]).unwrap().slice_type, SliceType::B);
        // "1" "00111": B, all of the picture.
        assert_eq!(head(&[0x01, 0x9e]).unwrap().slice_type, SliceType::B);
        // "1" "0001011": out of range.
        assert_eq!(head(&[0x41, 0x8b]), None);
        assert_eq!(head(&[0x41]), None);
        assert_eq!(head(&SPS), None);
        assert_eq!(head(&[]), None);
    }

    #[test]
    fn emulation_prevention_is_no_part_of_a_number() {
        // ue: 16 zeros, so that the third byte would be 1: 00 00 [03] 01 ...
        // first_mb = 2^23 - 1 of 23 zeros, then slice_type 0.
        let unit = [0x41, 0, 0, 3, 1, 0, 0, 3, 1];
        let head = slice_head(&unit).unwrap();
        assert_eq!(
            (head.first_mb, head.slice_type),
            ((1 << 23) - 1, SliceType::P)
        );
        assert_eq!(slice_head(&[0x41, 0, 0, 3, 0, 0, 3, 0, 1]), None);
    }

    #[test]
    fn parameter_sets_have_ids() {
        assert_eq!(parameter_set_id(&SPS), Some(0));
        assert_eq!(parameter_set_id(&PPS), Some(0));
        assert_eq!(parameter_set_id(&[0x68, 0x60]), Some(2));
        assert_eq!(parameter_set_id(&SPS[..4]), None);
        assert_eq!(parameter_set_id(&[0x65, 0xff]), None);
        assert!(is_same_set(&PPS, &[0x68, 0x80]) && !is_same_set(&PPS, &SPS));
        assert!(is_same_set(&SPS[..4], &SPS[..4]) && !is_same_set(&SPS[..4], &SPS));
    }

    #[test]
    fn damaged_and_foreign_units_are_not_carried() {
        assert!(
            [0x67, 0x68, 0x65, 0x41, 0x02]
                .iter()
                .all(|header| is_carried(&[*header]))
        );
        let dropped = [0x06, 0x09, 0x0a, 0x0c, 0x0e, 0x78, 0x7c, 0xe5, 0x00, 0x1f];
        assert!(!dropped.iter().any(|header| is_carried(&[*header])));
        assert!(!is_carried(&[]));
    }
}
