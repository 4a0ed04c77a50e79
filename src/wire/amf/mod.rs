//! AMF, the Action Message Format: the values of RTMP command and data
//! messages. Reads AMF0 and the AMF3 values that marker 0x11 puts among them;
//! writes AMF0, which every peer reads.
//!
//! Refuses what a peer could use against the server: nesting, values and text
//! beyond the caps, references to values still being read (cycles), and
//! externalizable AMF3 objects, whose length only their class knows. A
//! reference is read anew at every use, so a message of many references costs
//! what the values would cost written out. Class names are dropped. Text that
//! is no UTF-8 is read with replacement characters. XML stays text.

pub mod amf0;
mod amf3;

use super::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::base::limits::{AMF_DEPTH_MAX, AMF_TEXT_MAX_BYTES, AMF_VALUES_MAX};

/// A value of either format, as far as this server tells them apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// AMF0 numbers; AMF3 integers and doubles.
    Number(f64),
    Boolean(bool),
    String(String),
    /// Properties in the order of the message; a key may come twice.
    Object(Vec<(String, Value)>),
    Null,
    /// Also what carries nothing this server reads: AMF0's movie clips and
    /// unsupported values, AMF3's byte arrays.
    Undefined,
    /// An array with names, and AMF3 arrays that have both names and places:
    /// the places then are named by their number, after the names.
    EcmaArray(Vec<(String, Value)>),
    /// Also AMF3 vectors.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970, UTC.
    Date(f64),
    /// The document's text, unread.
    Xml(String),
}

impl Value {
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The property of an object or named array; the last one where a key
    /// comes twice, as assigning them in turn leaves it.
    pub fn property(&self, key: &str) -> Option<&Value> {
        let (Value::Object(properties) | Value::EcmaArray(properties)) = self else {
            return None;
        };
        let found = properties.iter().rev().find(|(name, _)| name == key)?;
        Some(&found.1)
    }
}

/// What is wrong with a message, and the byte at which it was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmfError {
    pub at: usize,
    pub fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The message ends inside a value.
    Truncated,
    /// No value begins with this byte, or not here.
    UnknownMarker(u8),
    /// A reference to what was not sent, is of another type, or is still
    /// being read.
    BadReference(u32),
    /// An object whose length only its class knows.
    Externalizable,
    /// Nesting beyond [`AMF_DEPTH_MAX`].
    TooDeep,
    /// More than [`AMF_VALUES_MAX`] values and names.
    TooManyValues,
    /// More than [`AMF_TEXT_MAX_BYTES`] of text.
    TooMuchText,
}

/// The values of a command: type 20 carries AMF0 alone; type 17 (`is_amf3`)
/// puts a format byte 0 before it and may hold AMF3 values behind 0x11. A
/// command begins with its name, so a type 17 message that lacks the format
/// byte is told by it and read all the same.
pub fn read_command(bytes: &[u8], is_amf3: bool) -> Result<Vec<Value>, AmfError> {
    match bytes.split_first() {
        Some((0, values)) if is_amf3 => amf0::read_all(values),
        _ => amf0::read_all(bytes),
    }
}

/// The bytes of one message, and what its reading may still cost.
struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
    values_left: usize,
    text_left_bytes: usize,
}

impl<'a> Source<'a> {
    fn new(bytes: &'a [u8]) -> Source<'a> {
        Source {
            bytes,
            at: 0,
            // Written out, a value takes a byte at least, and so does a
            // character: only references could make more of fewer.
            values_left: AMF_VALUES_MAX.min(bytes.len()),
            text_left_bytes: AMF_TEXT_MAX_BYTES.min(bytes.len().saturating_mul(3)),
        }
    }

    fn fault(&self, fault: Fault) -> AmfError {
        AmfError { at: self.at, fault }
    }

    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Steps over `len` bytes already read, or tells that they are not there.
    fn step<T>(&mut self, read: Option<T>, len: usize) -> Result<T, AmfError> {
        let value = read.ok_or(self.fault(Fault::Truncated))?;
        self.at += len;
        Ok(value)
    }

    fn u8(&mut self) -> Result<u8, AmfError> {
        self.step(u8_at(self.bytes, self.at), 1)
    }

    fn u16(&mut self) -> Result<u16, AmfError> {
        self.step(u16_at(self.bytes, self.at), 2)
    }

    fn u32(&mut self) -> Result<u32, AmfError> {
        self.step(u32_at(self.bytes, self.at), 4)
    }

    fn f64(&mut self) -> Result<f64, AmfError> {
        let bits = self.step(u64_at(self.bytes, self.at), 8)?;
        Ok(f64::from_bits(bits))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], AmfError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.step(rest.get(..len), len)
    }

    /// Pays for one value or name, and for standing `depth` values deep.
    fn charge_value(&mut self, depth: usize) -> Result<(), AmfError> {
        if depth > AMF_DEPTH_MAX {
            return Err(self.fault(Fault::TooDeep));
        }
        let left = self.values_left.checked_sub(1);
        self.values_left = left.ok_or(self.fault(Fault::TooManyValues))?;
        Ok(())
    }

    /// Pays for a copy of `text`. Replacing what is no UTF-8 can make three
    /// bytes of one, so the copy is what counts.
    fn text(&mut self, text: &[u8]) -> Result<String, AmfError> {
        let too_much = self.fault(Fault::TooMuchText);
        if text.len() > self.text_left_bytes {
            return Err(too_much);
        }
        let text = String::from_utf8_lossy(text).into_owned();
        let left = self.text_left_bytes.checked_sub(text.len());
        self.text_left_bytes = left.ok_or(too_much)?;
        Ok(text)
    }
}

/// A value that can be referred to: where it begins, and whether it is still
/// being read, when a reference to it would be a cycle.
#[derive(Clone, Copy)]
struct Slot {
    /// What stands at `at` is of this type.
    marker: u8,
    /// The byte behind the marker.
    at: usize,
    is_open: bool,
}

#[cfg(test)]
mod tests;
