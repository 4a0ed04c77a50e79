//! Frames as they come by RTMP made into RTP payloads: H.264 access units in
//! packetization mode 1 (RFC 6184 section 6.3) and G.711. Owns what is sent in
//! which packet; headers, timestamps and sequence numbers are the caller's.
//! Refuses access units whose lengths do not add up, whole, and drops NAL units
//! that [`nal::is_carried`] has no use for: SEI among them, which no browser
//! reads.

use crate::base::limits::{G711_PACKET_MAX_BYTES, H264_PAYLOAD_MAX_BYTES, PARAMETER_SETS_MAX};
use crate::wire::nal::{self, AvccError, TYPE_IDR, TYPE_PPS, TYPE_SPS};

/// RFC 6184 section 5.2: packet types besides single NAL units.
const TYPE_STAP_A: u8 = 24;
const TYPE_FU_A: u8 = 28;

/// A STAP-A's own header, and the length before each of its units (RFC 6184
/// section 5.7.1).
const STAP_A_HEADER_BYTES: usize = 1;
const STAP_A_LENGTH_BYTES: usize = 2;

/// FU indicator and FU header (RFC 6184 section 5.8).
const FU_A_HEADER_BYTES: usize = 2;

/// An access unit in length-prefixed form, borrowed from an FLV tag.
#[derive(Clone, Copy, Debug)]
pub struct AccessUnitView<'a> {
    pub avcc: &'a [u8],
    /// Bytes of each length, 1..=4, from the sequence header.
    pub length_bytes: u8,
}

/// One RTP payload of an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// At most [`H264_PAYLOAD_MAX_BYTES`].
    pub bytes: &'a [u8],
    /// Last packet of the access unit.
    pub marker: bool,
    /// First packet of an access unit with an IDR picture.
    pub keyframe_start: bool,
}

/// Makes payloads; owns the one buffer they are put together in.
#[derive(Clone, Debug, Default)]
pub struct Packetiser {
    payload: Vec<u8>,
}

impl Packetiser {
    /// Hands the payloads of `unit` to `emit`, in order; none for an access
    /// unit without a slice.
    ///
    /// An IDR picture is preceded by `sets`, the parameter sets of the sequence
    /// header, so that a viewer may join at it; a set the access unit carries
    /// itself takes the place of the one with its type and id. Other pictures
    /// keep their own sets where they stand.
    pub fn packetise_h264(
        &mut self,
        unit: &AccessUnitView<'_>,
        sets: &[impl AsRef<[u8]>],
        emit: &mut dyn FnMut(Payload<'_>),
    ) -> Result<(), AvccError> {
        let Shape {
            last_slice,
            has_idr,
        } = shape(unit)?;
        let Some(last_slice) = last_slice else {
            return Ok(());
        };
        let mut out = Output {
            payload: &mut self.payload,
            emit,
            starts_keyframe: has_idr,
        };
        if has_idr {
            let header = sets.iter().map(AsRef::as_ref);
            let sets = ParameterSets::collect(header.chain(carried(unit)));
            out.aggregate(sets.in_order());
        }
        for (at, nal_unit) in carried(unit).enumerate() {
            let is_slice = nal::nal_type(nal_unit).is_some_and(nal::is_slice);
            // Sets behind the last slice would end the picture without its
            // marker; those of an IDR picture have been sent.
            if is_slice || (!has_idr && at < last_slice) {
                out.nal_unit(nal_unit, at == last_slice);
            }
        }
        Ok(())
    }
}

/// What an access unit consists of.
struct Shape {
    /// Index of the last slice among the units carried.
    last_slice: Option<usize>,
    has_idr: bool,
}

/// Walks the whole access unit once, so that nothing of a broken one is sent.
fn shape(unit: &AccessUnitView<'_>) -> Result<Shape, AvccError> {
    let mut shape = Shape {
        last_slice: None,
        has_idr: false,
    };
    let mut at = 0usize;
    for nal_unit in nal::avcc(unit.avcc, unit.length_bytes) {
        let nal_unit = nal_unit?;
        if !nal::is_carried(nal_unit) {
            continue;
        }
        let nal_type = nal::nal_type(nal_unit).unwrap_or_default();
        shape.has_idr |= nal_type == TYPE_IDR;
        if nal::is_slice(nal_type) {
            shape.last_slice = Some(at);
        }
        at = at.saturating_add(1);
    }
    Ok(shape)
}

fn carried<'a>(unit: &AccessUnitView<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    nal::avcc(unit.avcc, unit.length_bytes)
        .map_while(Result::ok)
        .filter(|nal_unit| nal::is_carried(nal_unit))
}

/// The parameter sets one picture may refer to, each id once.
struct ParameterSets<'a> {
    sets: [&'a [u8]; 2 * PARAMETER_SETS_MAX],
    count: usize,
}

impl<'a> ParameterSets<'a> {
    /// The sets among `units`, a later one replacing an earlier one of the same
    /// type and id. Sets beyond the room for them are left out: at twice the
    /// cap of either kind something is wrong with the encoder.
    fn collect(units: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut collected = ParameterSets {
            sets: [&[]; 2 * PARAMETER_SETS_MAX],
            count: 0,
        };
        for unit in units {
            if !matches!(nal::nal_type(unit), Some(TYPE_SPS | TYPE_PPS)) || !nal::is_carried(unit) {
                continue;
            }
            let known = collected.iter().position(|set| nal::is_same_set(set, unit));
            let at = known.unwrap_or(collected.count);
            if let Some(slot) = collected.sets.get_mut(at) {
                *slot = unit;
                collected.count = collected.count.max(at.saturating_add(1));
            }
        }
        collected
    }

    fn iter(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.sets.iter().take(self.count).copied()
    }

    /// Sequence parameter sets first: the picture's refer to them.
    fn in_order(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let of_type = |wanted: u8| {
            let sets = self.iter();
            sets.filter(move |set| nal::nal_type(set) == Some(wanted))
        };
        of_type(TYPE_SPS).chain(of_type(TYPE_PPS))
    }
}

/// Puts payloads together and hands them on.
struct Output<'o> {
    payload: &'o mut Vec<u8>,
    emit: &'o mut dyn FnMut(Payload<'_>),
    starts_keyframe: bool,
}

impl Output<'_> {
    fn send(&mut self, bytes: &[u8], marker: bool) {
        (self.emit)(Payload {
            bytes,
            marker,
            keyframe_start: std::mem::take(&mut self.starts_keyframe),
        });
    }

    /// One unit: by itself when it fits, else in fragments.
    fn nal_unit(&mut self, unit: &[u8], marker: bool) {
        if unit.len() <= H264_PAYLOAD_MAX_BYTES {
            self.send(unit, marker);
        } else if let [header, body @ ..] = unit {
            self.fragments(*header, body, marker);
        }
    }

    /// FU-A, RFC 6184 section 5.8: the unit's header is split into F and NRI
    /// of the indicator and the type in the FU header.
    fn fragments(&mut self, header: u8, body: &[u8], marker: bool) {
        let indicator = header & 0xe0 | TYPE_FU_A;
        let chunks = body.chunks(H264_PAYLOAD_MAX_BYTES.saturating_sub(FU_A_HEADER_BYTES));
        let last = chunks.len().saturating_sub(1);
        for (at, chunk) in chunks.enumerate() {
            let start = if at == 0 { 0x80 } else { 0 };
            let end = if at == last { 0x40 } else { 0 };
            let mut payload = std::mem::take(self.payload);
            payload.clear();
            payload.extend([indicator, start | end | header & 0x1f]);
            payload.extend(chunk);
            self.send(&payload, marker && at == last);
            *self.payload = payload;
        }
    }

    /// Units in as few STAP-A packets as hold them (RFC 6184 section 5.7.1),
    /// none with the marker. One alone goes by itself.
    fn aggregate<'u>(&mut self, mut units: impl Iterator<Item = &'u [u8]> + Clone) {
        loop {
            let mut bytes = STAP_A_HEADER_BYTES;
            let fitting = units.clone().take_while(|unit| {
                bytes = bytes.saturating_add(STAP_A_LENGTH_BYTES + unit.len());
                bytes <= H264_PAYLOAD_MAX_BYTES
            });
            match fitting.count() {
                0 | 1 => match units.next() {
                    Some(unit) => self.nal_unit(unit, false),
                    None => return,
                },
                count => self.stap_a(units.by_ref().take(count)),
            }
        }
    }

    fn stap_a<'u>(&mut self, units: impl Iterator<Item = &'u [u8]>) {
        let mut payload = std::mem::take(self.payload);
        payload.clear();
        payload.push(TYPE_STAP_A);
        let mut importance = 0;
        for unit in units {
            // NRI is the highest of the units' (section 5.7).
            importance = importance.max(unit.first().copied().unwrap_or_default() & 0x60);
            let len = u16::try_from(unit.len()).unwrap_or_default();
            payload.extend(len.to_be_bytes());
            payload.extend(unit);
        }
        if let Some(header) = payload.first_mut() {
            *header |= importance;
        }
        self.send(&payload, false);
        *self.payload = payload;
    }
}

/// A G.711 frame of any length in packets of at most 20 ms, as even as can be,
/// so that no packet is a sliver: each with its offset in ticks of the 8 kHz
/// clock (a sample is a byte).
pub fn split_g711(frame: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let packets = frame.len().div_ceil(G711_PACKET_MAX_BYTES).max(1);
    let packet_bytes = frame.len().div_ceil(packets).max(1);
    let mut offset = 0u32;
    frame.chunks(packet_bytes).map(move |packet| {
        let at = offset;
        offset = offset.saturating_add(u32::try_from(packet.len()).unwrap_or(u32::MAX));
        (at, packet)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
    const NO_SETS: [&[u8]; 0] = [];

    fn avcc(units: &[&[u8]]) -> Vec<u8> {
        let mut data = Vec::new();
        for unit in units {
            nal::write_avcc(&mut data, unit);
        }
        data
    }

    /// Payloads with marker and key frame start.
    fn packets(units: &[&[u8]], sets: &[&[u8]]) -> Vec<(Vec<u8>, bool, bool)> {
        let data = avcc(units);
        let view = AccessUnitView {
            avcc: &data,
            length_bytes: 4,
        };
        let mut out = Vec::new();
        Packetiser::default()
            .packetise_h264(&view, sets, &mut |payload| {
                assert!(payload.bytes.len() <= H264_PAYLOAD_MAX_BYTES);
                out.push((
                    payload.bytes.to_vec(),
                    payload.marker,
                    payload.keyframe_start,
                ));
            })
            .unwrap();
        out
    }

    fn stap(units: &[&[u8]]) -> Vec<u8> {
        let mut payload = vec![0x78];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend(*unit);
        }
        payload
    }

    #[test]
    fn a_key_frame_is_preceded_by_the_sets() {
        let idr = [0x65, 0x88, 1];
        let out = packets(&[&[9, 0xf0], &[6, 5, 1], &idr], &[SPS, PPS]);
        let expected = [
            (stap(&[SPS, PPS]), false, true),
            (idr.to_vec(), true, false),
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn sets_in_the_picture_replace_those_of_the_header() {
        let newer_pps = [0x68, 0xce, 0x01];
        let second_pps = [0x68, 0x5e];
        let idr = [0x65, 0x88];
        let out = packets(
            &[SPS, &newer_pps, &second_pps, &newer_pps, &idr],
            &[PPS, SPS],
        );
        let expected = stap(&[SPS, &newer_pps, &second_pps]);
        assert_eq!(out[0], (expected, false, true));
        assert_eq!(out.len(), 2);
        let out = packets(&[SPS, PPS, &idr], &[]);
        assert_eq!(out[0].0, stap(&[SPS, PPS]));
        assert_eq!(packets(&[&idr], &[]), [(idr.to_vec(), true, true)]);
    }

    #[test]
    fn other_pictures_carry_no_sets_but_their_own() {
        let slice = [0x41, 0x9a];
        assert_eq!(
            packets(&[&slice], &[SPS, PPS]),
            [(slice.to_vec(), true, false)]
        );
        let out = packets(&[PPS, &slice, &[12, 0xff], PPS], &[SPS, PPS]);
        let expected = [(PPS.to_vec(), false, false), (slice.to_vec(), true, false)];
        assert_eq!(out, expected);
    }

    #[test]
    fn slices_that_do_not_fit_are_fragmented() {
        for len in [H264_PAYLOAD_MAX_BYTES, H264_PAYLOAD_MAX_BYTES + 1, 10_000] {
            let mut slice: Vec<u8> = (0..len).map(|at| at as u8).collect();
            slice[0] = 0x41;
            let out = packets(&[&[0x41, 0x9a], &slice], &[]);
            assert!(out.iter().rev().skip(1).all(|packet| !packet.1));
            assert!(out.last().unwrap().1);
            if len <= H264_PAYLOAD_MAX_BYTES {
                assert_eq!(out[1].0, slice);
                continue;
            }
            let fragments = &out[1..];
            let mut whole = vec![0x41];
            for (at, (payload, ..)) in fragments.iter().enumerate() {
                let start = u8::from(at == 0) << 7;
                let end = u8::from(at == fragments.len() - 1) << 6;
                assert_eq!(payload[..2], [0x5c, start | end | 1]);
                whole.extend(&payload[2..]);
            }
            assert_eq!(whole, slice);
        }
    }

    #[test]
    fn sets_that_do_not_fit_one_packet_take_more() {
        let large: Vec<Vec<u8>> = (0..3u8)
            .map(|id| [&[0x68, 0x40 | id << 3][..], &[0xff; 600]].concat())
            .collect();
        let huge = [SPS, &[0xff; 2_000]].concat();
        let sets: Vec<&[u8]> = [&huge[..]]
            .into_iter()
            .chain(large.iter().map(|s| &s[..]))
            .collect();
        let out = packets(&[&[0x65, 0x88]], &sets);
        assert!(out[0].2 && out.iter().filter(|packet| packet.2).count() == 1);
        assert!(out.iter().filter(|packet| packet.1).count() == 1 && out.last().unwrap().1);
        let types: Vec<u8> = out.iter().map(|packet| packet.0[0] & 0x1f).collect();
        assert_eq!(types[..2], [28, 28]);
        assert_eq!(types.last(), Some(&5));
    }

    #[test]
    fn broken_access_units_send_nothing() {
        let mut data = avcc(&[&[0x65, 0x88]]);
        data.push(0);
        let view = AccessUnitView {
            avcc: &data,
            length_bytes: 4,
        };
        let mut sent = 0;
        let result = Packetiser::default().packetise_h264(&view, &NO_SETS, &mut |_| sent += 1);
        assert_eq!((result, sent), (Err(AvccError::Truncated { at: 6 }), 0));
        assert!(packets(&[SPS, PPS], &[SPS, PPS]).is_empty());
        assert!(packets(&[], &[SPS, PPS]).is_empty());
    }

    #[test]
    fn g711_is_split_evenly() {
        let lengths = |len: usize| -> Vec<(u32, usize)> {
            let frame = vec![0xff; len];
            split_g711(&frame)
                .map(|(at, packet)| (at, packet.len()))
                .collect()
        };
        assert!(lengths(0).is_empty());
        assert_eq!(lengths(160), [(0, 160)]);
        assert_eq!(lengths(320), [(0, 160), (160, 160)]);
        assert_eq!(lengths(500), [(0, 125), (125, 125), (250, 125), (375, 125)]);
        assert_eq!(lengths(161), [(0, 81), (81, 80)]);
    }
}
