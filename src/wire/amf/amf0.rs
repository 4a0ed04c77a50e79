//! AMF0 (Adobe, "Action Message Format -- AMF 0", 2007), sections by number.

use super::{AmfError, Fault, Slot, Source, Value, amf3};

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const MOVIE_CLIP: u8 = 0x04;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const REFERENCE: u8 = 0x07;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0a;
const DATE: u8 = 0x0b;
const LONG_STRING: u8 = 0x0c;
const UNSUPPORTED: u8 = 0x0d;
const XML_DOCUMENT: u8 = 0x0f;
const TYPED_OBJECT: u8 = 0x10;
const AVM_PLUS: u8 = 0x11;

/// Reads the values of a message to its end. References are to this message's
/// values only.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Value>, AmfError> {
    let mut reader = Reader {
        source: Source::new(bytes),
        slots: Vec::new(),
        is_replaying: false,
    };
    let mut values = Vec::new();
    while !reader.source.is_empty() {
        values.push(reader.value(1)?);
    }
    Ok(values)
}

struct Reader<'a> {
    source: Source<'a>,
    /// Objects and arrays in the order they began (section 2.9).
    slots: Vec<Slot>,
    /// A value referred to is being read anew: what is in it has its slot.
    is_replaying: bool,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, AmfError> {
        self.source.charge_value(depth)?;
        let start = self.source.at;
        let marker = self.source.u8()?;
        Ok(match marker {
            NUMBER => Value::Number(self.source.f64()?),
            BOOLEAN => Value::Boolean(self.source.u8()? != 0),
            STRING => Value::String(self.short_text()?),
            NULL => Value::Null,
            UNDEFINED | MOVIE_CLIP | UNSUPPORTED => Value::Undefined,
            REFERENCE => self.reference(depth)?,
            OBJECT | ECMA_ARRAY | STRICT_ARRAY | TYPED_OBJECT => self.complex(marker, depth)?,
            DATE => {
                let milliseconds = self.source.f64()?;
                // Section 2.13: the time zone is reserved and ignored.
                self.source.u16()?;
                Value::Date(milliseconds)
            }
            LONG_STRING => Value::String(self.long_text()?),
            XML_DOCUMENT => Value::Xml(self.long_text()?),
            AVM_PLUS => amf3::read(&mut self.source, depth)?,
            _ => {
                self.source.at = start;
                return Err(self.source.fault(Fault::UnknownMarker(marker)));
            }
        })
    }

    fn complex(&mut self, marker: u8, depth: usize) -> Result<Value, AmfError> {
        if self.is_replaying {
            return self.body(marker, depth);
        }
        let index = self.slots.len();
        self.slots.push(Slot {
            marker,
            at: self.source.at,
            is_open: true,
        });
        let value = self.body(marker, depth)?;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.is_open = false;
        }
        Ok(value)
    }

    fn body(&mut self, marker: u8, depth: usize) -> Result<Value, AmfError> {
        Ok(match marker {
            ECMA_ARRAY => {
                // Section 2.10: the count is a hint, the end marker decides.
                self.source.u32()?;
                Value::EcmaArray(self.properties(depth)?)
            }
            STRICT_ARRAY => {
                let count = self.source.u32()?;
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::StrictArray(values)
            }
            TYPED_OBJECT => {
                let len = self.source.u16()?;
                self.source.take(usize::from(len))?;
                Value::Object(self.properties(depth)?)
            }
            _ => Value::Object(self.properties(depth)?),
        })
    }

    /// Section 2.5: until an empty name is followed by the end marker. An empty
    /// name before a value is a name.
    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>, AmfError> {
        let mut properties = Vec::new();
        loop {
            let rest = self.source.bytes.get(self.source.at..);
            if rest.is_some_and(|rest| rest.starts_with(&[0, 0, OBJECT_END])) {
                self.source.at += 3;
                return Ok(properties);
            }
            let name = self.short_text()?;
            properties.push((name, self.value(depth + 1)?));
        }
    }

    fn reference(&mut self, depth: usize) -> Result<Value, AmfError> {
        let index = self.source.u16()?;
        let slot = self.slots.get(usize::from(index)).copied();
        let Some(slot) = slot.filter(|slot| !slot.is_open) else {
            return Err(self.source.fault(Fault::BadReference(index.into())));
        };
        let resume = std::mem::replace(&mut self.source.at, slot.at);
        let was_replaying = std::mem::replace(&mut self.is_replaying, true);
        let value = self.body(slot.marker, depth)?;
        self.source.at = resume;
        self.is_replaying = was_replaying;
        Ok(value)
    }

    fn short_text(&mut self) -> Result<String, AmfError> {
        let len = self.source.u16()?;
        let text = self.source.take(usize::from(len))?;
        self.source.text(text)
    }

    fn long_text(&mut self) -> Result<String, AmfError> {
        let len = self.source.u32()?;
        let text = self.source.take(len as usize)?;
        self.source.text(text)
    }
}

/// Appends `value`. Text beyond 65,535 bytes is written long; names that long,
/// which the format cannot carry, are cut.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            out.push(NUMBER);
            out.extend(number.to_be_bytes());
        }
        Value::Boolean(boolean) => out.extend([BOOLEAN, u8::from(*boolean)]),
        Value::String(text) if text.len() <= usize::from(u16::MAX) => {
            out.push(STRING);
            write_short(out, text);
        }
        Value::String(text) => write_long(out, LONG_STRING, text),
        Value::Object(properties) => {
            out.push(OBJECT);
            write_properties(out, properties);
        }
        Value::Null => out.push(NULL),
        Value::Undefined => out.push(UNDEFINED),
        Value::EcmaArray(properties) => {
            out.push(ECMA_ARRAY);
            out.extend(count(properties.len()));
            write_properties(out, properties);
        }
        Value::StrictArray(values) => {
            out.push(STRICT_ARRAY);
            out.extend(count(values.len()));
            for value in values {
                write(out, value);
            }
        }
        Value::Date(milliseconds) => {
            out.push(DATE);
            out.extend(milliseconds.to_be_bytes());
            out.extend([0, 0]);
        }
        Value::Xml(text) => write_long(out, XML_DOCUMENT, text),
    }
}

fn write_properties(out: &mut Vec<u8>, properties: &[(String, Value)]) {
    for (name, value) in properties {
        write_short(out, name);
        write(out, value);
    }
    out.extend([0, 0, OBJECT_END]);
}

fn write_short(out: &mut Vec<u8>, text: &str) {
    let text = text.get(..text.floor_char_boundary(usize::from(u16::MAX)));
    let text = text.unwrap_or_default();
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn write_long(out: &mut Vec<u8>, marker: u8, text: &str) {
    out.push(marker);
    out.extend(count(text.len()));
    out.extend(text.as_bytes());
}

/// Lengths in memory of what is written are far below 32 bits.
fn count(len: usize) -> [u8; 4] {
    (len as u32).to_be_bytes()
}
