//! VP8 frames from payloads (RFC 7741 section 4). Owns the bytes of one frame;
//! refuses a payload that neither begins the frame nor follows its begin. All
//! temporal layers are taken: without loss every frame is decodable.

use super::{Assembled, Broken, Picture};
use crate::base::limits::FRAME_MAX_BYTES;
use crate::wire::vp8::part;

/// Frame tag of an inter frame (RFC 6386 section 9.1).
const FRAME_TAG_BYTES: usize = 3;

/// What follows the frame tag of a key frame, and the size behind it.
const START_CODE: &[u8] = &[0x9d, 0x01, 0x2a];
const KEY_HEADER_BYTES: usize = 10;

/// Whether a payload is the first of its frame whatever came before.
pub fn surely_begins(payload: &[u8]) -> bool {
    part(payload).is_some_and(|(begins, _)| begins)
}

#[derive(Clone, Debug, Default)]
pub struct Assembler {
    data: Vec<u8>,
}

impl Assembler {
    pub fn add(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let (begins, part) = part(payload).ok_or(Broken)?;
        let bytes = self.data.len().saturating_add(part.len());
        if part.is_empty() || begins != self.data.is_empty() || bytes > FRAME_MAX_BYTES {
            return Err(Broken);
        }
        self.data.extend_from_slice(part);
        Ok(())
    }

    pub fn finish(&mut self) -> Assembled {
        let data = std::mem::take(&mut self.data);
        let is_key = data.first().is_some_and(|tag| tag & 0x01 == 0);
        let is_whole = match is_key {
            true => data.len() >= KEY_HEADER_BYTES && data.get(3..6) == Some(START_CODE),
            false => data.len() >= FRAME_TAG_BYTES,
        };
        match (is_whole, data.is_empty()) {
            (true, _) => Assembled::Picture(Picture {
                data,
                is_key,
                parameter_sets_changed: None,
            }),
            (false, true) => Assembled::Nothing,
            (false, false) => Assembled::Broken,
        }
    }

    pub fn discard(&mut self) {
        self.data.clear();
    }
}
