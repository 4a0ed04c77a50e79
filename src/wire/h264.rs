//! H.264 in RTP (RFC 6184): whether a payload begins a key frame, and the
//! profile and level of a parameter set in it. Knows single NAL units, STAP-A
//! and FU-A, which are what packetization modes 0 and 1 allow (section 5.2).

use super::bytes::{u8_at, u16_at};

const TYPE_IDR: u8 = 5;
const TYPE_SPS: u8 = 7;
const TYPE_STAP_A: u8 = 24;
const TYPE_FU_A: u8 = 28;

/// Whether `payload` begins a key frame: a sequence parameter set or the start
/// of an IDR slice, alone, aggregated, or as a first fragment. Encoders put
/// parameter sets before the IDR, so the first of the two is where a decoder
/// may join. A malformed aggregate begins nothing.
pub fn keyframe_start(payload: &[u8]) -> bool {
    let begins = |nal_type: u8| nal_type == TYPE_IDR || nal_type == TYPE_SPS;
    match nal_type(payload) {
        Some(TYPE_STAP_A) => aggregated(payload)
            .is_some_and(|mut units| units.any(|unit| nal_type(unit).is_some_and(begins))),
        // RFC 6184 section 5.8: the FU header's S bit, then the type of the whole unit.
        Some(TYPE_FU_A) => {
            u8_at(payload, 1).is_some_and(|header| header & 0x80 != 0 && begins(header & 0x1f))
        }
        Some(nal_type) => begins(nal_type),
        None => false,
    }
}

/// profile_idc, constraint flags and level_idc of the first sequence parameter
/// set in `payload` (ITU-T H.264 section 7.3.2.1.1), the three bytes of
/// `profile-level-id` (RFC 6184 section 8.1). Fragmented sets are not looked into.
pub fn profile_level(payload: &[u8]) -> Option<(u8, u8, u8)> {
    let set = match nal_type(payload)? {
        TYPE_SPS => payload,
        TYPE_STAP_A => aggregated(payload)?.find(|unit| nal_type(unit) == Some(TYPE_SPS))?,
        _ => return None,
    };
    Some((u8_at(set, 1)?, u8_at(set, 2)?, u8_at(set, 3)?))
}

fn nal_type(unit: &[u8]) -> Option<u8> {
    u8_at(unit, 0).map(|header| header & 0x1f)
}

/// The NAL units of a STAP-A (RFC 6184 section 5.7.1); `None` unless every
/// length is at least one and the last unit ends with the payload.
pub fn aggregated(payload: &[u8]) -> Option<Units<'_>> {
    let units = Units {
        rest: payload.get(1..)?,
    };
    let mut walk = units.clone();
    while walk.next().is_some() {}
    (walk.rest.is_empty() && !units.rest.is_empty()).then_some(units)
}

/// Walks length-prefixed units; stops where one is empty or too long.
#[derive(Clone)]
pub struct Units<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(u16_at(self.rest, 0)?);
        let (unit, rest) = self.rest.get(2..)?.split_at_checked(len)?;
        if unit.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 5] = [0x67, 0x42, 0xe0, 0x1f, 0x8c];
    const PPS: [u8; 3] = [0x68, 0xce, 0x3c];
    const IDR: [u8; 4] = [0x65, 0x88, 0x84, 0];
    const SLICE: [u8; 4] = [0x41, 0x9a, 0, 0];

    fn stap_a(units: &[&[u8]]) -> Vec<u8> {
        let mut payload = vec![0x78];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend(*unit);
        }
        payload
    }

    #[test]
    fn single_units() {
        assert!(keyframe_start(&SPS));
        assert!(keyframe_start(&IDR));
        assert!(!keyframe_start(&PPS));
        assert!(!keyframe_start(&SLICE));
        assert!(!keyframe_start(&[]));
        assert_eq!(profile_level(&SPS), Some((0x42, 0xe0, 0x1f)));
        assert_eq!(profile_level(&IDR), None);
    }

    #[test]
    fn aggregates() {
        let sets = stap_a(&[&SPS, &PPS]);
        assert!(keyframe_start(&sets));
        assert_eq!(profile_level(&sets), Some((0x42, 0xe0, 0x1f)));
        let behind = stap_a(&[&[0x06, 5], &PPS, &IDR]);
        assert!(keyframe_start(&behind));
        assert_eq!(profile_level(&behind), None);
        assert!(!keyframe_start(&stap_a(&[&PPS, &SLICE])));
    }

    #[test]
    fn malformed_aggregates_begin_nothing() {
        let whole = stap_a(&[&SPS, &PPS]);
        for len in 0..whole.len() {
            // A cut between units leaves a shorter, well-formed aggregate.
            let between = len == 1 + 2 + SPS.len();
            assert_eq!(keyframe_start(&whole[..len]), between, "{len} bytes");
        }
        let mut zero = stap_a(&[&SPS]);
        zero.extend([0, 0]);
        assert!(!keyframe_start(&zero));
        assert_eq!(profile_level(&zero), None);
        let mut overlong = stap_a(&[&SPS]);
        overlong[1] = 0xff;
        assert!(!keyframe_start(&overlong));
        assert!(!keyframe_start(&[0x78]));
        assert!(!keyframe_start(&[0x78, 0]));
    }

    #[test]
    fn fragments_count_at_their_start_only() {
        assert!(keyframe_start(&[0x7c, 0x85, 0x88]));
        assert!(keyframe_start(&[0x7c, 0x87, 0x42]));
        assert!(!keyframe_start(&[0x7c, 0x05, 0x88]));
        assert!(!keyframe_start(&[0x7c, 0x45, 0x88]));
        assert!(!keyframe_start(&[0x7c, 0x81, 0x9a]));
        assert!(!keyframe_start(&[0x7c]));
        assert_eq!(profile_level(&[0x7c, 0x87, 0x42, 0, 0x1f]), None);
    }

    #[test]
    fn a_short_parameter_set_tells_nothing() {
        for len in 0..4 {
            assert_eq!(profile_level(&SPS[..len]), None);
        }
    }
}
