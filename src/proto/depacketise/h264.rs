//! H.264 pictures from single NAL units, STAP-A and FU-A (RFC 6184 packetization
//! modes 0 and 1). Owns the units of one picture and the parameter sets in use;
//! refuses interleaved packets, which mode 1 does not have, and fragments that
//! do not follow one another.

use super::{Assembled, Broken, Picture};
use crate::base::limits::{
    FRAME_MAX_BYTES, NAL_UNITS_MAX, PARAMETER_SET_MAX_BYTES, PARAMETER_SETS_MAX,
};
use crate::wire::bytes::put;
use crate::wire::h264::aggregated;
use crate::wire::nal::{self, TYPE_AUD, TYPE_IDR, TYPE_PPS, TYPE_SPS};

const TYPE_STAP_A: u8 = 24;
const TYPE_FU_A: u8 = 28;

/// Parameter sets of a track, as a decoder configuration record holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets {
    /// At least one once pictures are given out, at most
    /// [`PARAMETER_SETS_MAX`]; of distinct ids.
    pub sps: Vec<Vec<u8>>,
    /// Likewise.
    pub pps: Vec<Vec<u8>>,
}

impl ParameterSets {
    /// Takes a set in, in place of the one with its id; whether that changed
    /// anything.
    fn merge(&mut self, set: &[u8]) -> bool {
        let sets = match nal::nal_type(set) {
            Some(TYPE_SPS) => &mut self.sps,
            _ => &mut self.pps,
        };
        let has_room = sets.len() < PARAMETER_SETS_MAX;
        match sets.iter_mut().find(|known| nal::is_same_set(known, set)) {
            Some(known) if known == set => false,
            Some(known) => {
                *known = set.to_vec();
                true
            }
            None => {
                if has_room {
                    sets.push(set.to_vec());
                }
                has_room
            }
        }
    }

    fn are_whole(&self) -> bool {
        !self.sps.is_empty() && !self.pps.is_empty()
    }
}

/// Whether a payload is the first of its picture whatever came before: it has a
/// delimiter or a sequence parameter set. An IDR slice by itself does not tell:
/// the packet before it may have held other sets.
pub fn surely_begins(payload: &[u8]) -> bool {
    let begins = |unit: &[u8]| matches!(nal::nal_type(unit), Some(TYPE_AUD | TYPE_SPS));
    match nal::nal_type(payload) {
        Some(TYPE_STAP_A) => aggregated(payload).is_some_and(|mut units| units.any(begins)),
        _ => begins(payload),
    }
}

/// In front of each slice in a picture.
const LENGTH_BYTES: usize = 4;

/// What a unit is for.
enum Use {
    Slice {
        is_key: bool,
    },
    Set,
    /// Nothing a container takes.
    None,
}

impl Use {
    /// Of a whole unit.
    fn of(unit: &[u8]) -> Result<Use, Broken> {
        let header = *unit.first().ok_or(Broken)?;
        let nal_type = header & 0x1f;
        // Section 5.3: F says that the unit is damaged. Packets are not nested.
        if header & 0x80 != 0 || nal_type >= TYPE_STAP_A {
            return Err(Broken);
        }
        Ok(match nal_type {
            _ if !nal::is_carried(unit) => Use::None,
            TYPE_SPS | TYPE_PPS => Use::Set,
            _ => Use::Slice {
                is_key: nal_type == TYPE_IDR,
            },
        })
    }
}

#[derive(Clone, Debug, Default)]
pub struct Assembler {
    /// Slices of the picture behind four-byte lengths.
    data: Vec<u8>,
    units: usize,
    is_key: bool,
    /// Parameter sets that came with the picture.
    own_sets: Vec<Vec<u8>>,
    /// Where in `data` a unit begins of which the last fragment has not come:
    /// the place for its length, and then itself.
    fragmented: Option<usize>,
    sets: ParameterSets,
    /// The sets in use are not those last given out.
    sets_changed: bool,
}

impl Assembler {
    pub fn add(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let nal_type = nal::nal_type(payload).ok_or(Broken)?;
        if nal_type == TYPE_FU_A {
            return self.fragment(payload);
        }
        // RFC 6184 section 5.8: fragments of a unit follow one another.
        if self.fragmented.is_some() {
            return Err(Broken);
        }
        match nal_type {
            // Section 5.2: undefined types are ignored.
            0 | 30 | 31 => Ok(()),
            1..=23 => self.unit(payload),
            TYPE_STAP_A => aggregated(payload)
                .ok_or(Broken)?
                .try_for_each(|unit| self.unit(unit)),
            _ => Err(Broken),
        }
    }

    fn fragment(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let [indicator, header, body @ ..] = payload else {
            return Err(Broken);
        };
        let (starts, ends) = (header & 0x80 != 0, header & 0x40 != 0);
        let unit_header = indicator & 0xe0 | header & 0x1f;
        // A unit in one fragment is against section 5.8, so both bits are the
        // mark of a confused sender.
        if starts && ends || starts == self.fragmented.is_some() {
            return Err(Broken);
        }
        let start = match self.fragmented {
            Some(start) => start,
            None => {
                let start = self.data.len();
                self.data.extend([0; LENGTH_BYTES]);
                self.data.push(unit_header);
                self.fragmented = Some(start);
                start
            }
        };
        let begun = self.data.get(start.saturating_add(LENGTH_BYTES));
        let is_same = begun.is_some_and(|header| header & 0x1f == unit_header & 0x1f);
        if !is_same || self.data.len().saturating_add(body.len()) > FRAME_MAX_BYTES {
            return Err(Broken);
        }
        self.data.extend_from_slice(body);
        match ends {
            true => self.end_fragmented(start),
            false => Ok(()),
        }
    }

    /// The unit that begins at `start` is whole, and where it belongs if it is
    /// a slice.
    fn end_fragmented(&mut self, start: usize) -> Result<(), Broken> {
        self.fragmented = None;
        let unit = self.data.get(start.saturating_add(LENGTH_BYTES)..);
        let unit = unit.unwrap_or_default();
        match Use::of(unit)? {
            Use::Slice { is_key } => {
                let length = u32::try_from(unit.len()).map_err(|_| Broken)?;
                put(&mut self.data, start, length.to_be_bytes()).ok_or(Broken)?;
                self.take_slice(is_key)
            }
            Use::Set => {
                let set = unit.to_vec();
                self.data.truncate(start);
                self.own_set(set)
            }
            Use::None => {
                self.data.truncate(start);
                Ok(())
            }
        }
    }

    fn unit(&mut self, unit: &[u8]) -> Result<(), Broken> {
        match Use::of(unit)? {
            Use::Slice { is_key } => {
                let bytes = self.data.len().saturating_add(unit.len());
                if bytes.saturating_add(LENGTH_BYTES) > FRAME_MAX_BYTES {
                    return Err(Broken);
                }
                nal::write_avcc(&mut self.data, unit);
                self.take_slice(is_key)
            }
            Use::Set => self.own_set(unit.to_vec()),
            Use::None => Ok(()),
        }
    }

    /// Counts a slice of the picture.
    fn take_slice(&mut self, is_key: bool) -> Result<(), Broken> {
        self.units = self.units.saturating_add(1);
        if self.units > NAL_UNITS_MAX {
            return Err(Broken);
        }
        self.is_key |= is_key;
        Ok(())
    }

    fn own_set(&mut self, set: Vec<u8>) -> Result<(), Broken> {
        if set.len() > PARAMETER_SET_MAX_BYTES || self.own_sets.len() >= 2 * PARAMETER_SETS_MAX {
            return Err(Broken);
        }
        self.own_sets.push(set);
        Ok(())
    }

    /// Ends the picture. Its sets count from now on even when it is none
    /// itself: some senders put them under a timestamp of their own.
    pub fn finish(&mut self) -> Assembled {
        if self.fragmented.is_some() {
            return Assembled::Broken;
        }
        self.take_own_sets();
        let is_key = std::mem::take(&mut self.is_key);
        let data = std::mem::take(&mut self.data);
        self.units = 0;
        if data.is_empty() {
            return Assembled::Nothing;
        }
        if !self.sets.are_whole() {
            return Assembled::Broken;
        }
        Assembled::Picture(Picture {
            data,
            is_key,
            parameter_sets_changed: self.sets_changed.then(|| self.sets.clone()),
        })
    }

    pub fn discard(&mut self) {
        self.data.clear();
        self.units = 0;
        self.is_key = false;
        self.own_sets.clear();
        self.fragmented = None;
    }

    pub fn given_out(&mut self) {
        self.sets_changed = false;
    }

    /// Brings the sets in use up to date. A key frame with sets of both kinds
    /// has all it needs, so that others, perhaps of an encoder no longer
    /// running, are forgotten.
    fn take_own_sets(&mut self) {
        let mut own = ParameterSets::default();
        for set in &self.own_sets {
            own.merge(set);
        }
        if self.is_key && own.are_whole() {
            self.sets_changed |= own != self.sets;
            self.sets = own;
        } else {
            for set in &self.own_sets {
                self.sets_changed |= self.sets.merge(set);
            }
        }
        self.own_sets.clear();
    }
}
