//! AMF3 (Adobe, "Action Message Format -- AMF 3", 2013), sections by number:
//! one value as marker 0x11 puts it into an AMF0 message. The three reference
//! tables begin empty at every such value (section 4.1 has them reset per
//! header and body; over RTMP each value is its own).

use super::{AmfError, Fault, Slot, Source, Value};

const UNDEFINED: u8 = 0x00;
const NULL: u8 = 0x01;
const FALSE: u8 = 0x02;
const TRUE: u8 = 0x03;
const INTEGER: u8 = 0x04;
const DOUBLE: u8 = 0x05;
const STRING: u8 = 0x06;
const XML_DOCUMENT: u8 = 0x07;
const DATE: u8 = 0x08;
const ARRAY: u8 = 0x09;
const OBJECT: u8 = 0x0a;
const XML: u8 = 0x0b;
const BYTE_ARRAY: u8 = 0x0c;
const VECTOR_INT: u8 = 0x0d;
const VECTOR_UINT: u8 = 0x0e;
const VECTOR_DOUBLE: u8 = 0x0f;
const VECTOR_OBJECT: u8 = 0x10;
const DICTIONARY: u8 = 0x11;

/// Reads one value that stands `depth` values deep in its message.
pub(super) fn read(source: &mut Source, depth: usize) -> Result<Value, AmfError> {
    let mut reader = Reader {
        source,
        strings: Vec::new(),
        slots: Vec::new(),
        traits: Vec::new(),
        is_replaying: false,
    };
    reader.value(depth)
}

struct Reader<'s, 'a> {
    source: &'s mut Source<'a>,
    /// Texts that are not empty, in the order they came (section 2.2).
    strings: Vec<&'a [u8]>,
    /// Everything referred to by number but strings and traits.
    slots: Vec<Slot>,
    traits: Vec<Traits<'a>>,
    /// A value referred to is being read anew: what is in it is in the tables.
    is_replaying: bool,
}

/// The names an object has by its class (section 3.12).
#[derive(Clone)]
struct Traits<'a> {
    names: Vec<&'a [u8]>,
    is_dynamic: bool,
}

impl<'a> Reader<'_, 'a> {
    fn value(&mut self, depth: usize) -> Result<Value, AmfError> {
        self.source.charge_value(depth)?;
        let start = self.source.at;
        let marker = self.source.u8()?;
        Ok(match marker {
            UNDEFINED => Value::Undefined,
            NULL => Value::Null,
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            INTEGER => Value::Number(f64::from(signed(self.u29()?))),
            DOUBLE => Value::Number(self.source.f64()?),
            STRING => {
                let text = self.string()?;
                Value::String(self.source.text(text)?)
            }
            XML_DOCUMENT | XML | DATE | ARRAY | OBJECT | BYTE_ARRAY | VECTOR_INT | VECTOR_UINT
            | VECTOR_DOUBLE | VECTOR_OBJECT | DICTIONARY => self.complex(marker, depth)?,
            _ => {
                self.source.at = start;
                return Err(self.source.fault(Fault::UnknownMarker(marker)));
            }
        })
    }

    /// What begins with a number whose lowest bit tells a reference (0) from
    /// the value itself (1).
    fn complex(&mut self, marker: u8, depth: usize) -> Result<Value, AmfError> {
        let at = self.source.at;
        let head = self.u29()?;
        if head & 1 == 0 {
            return self.reference(marker, head >> 1, depth);
        }
        if self.is_replaying {
            return self.body(marker, head >> 1, depth);
        }
        let index = self.slots.len();
        self.slots.push(Slot {
            marker,
            at,
            is_open: true,
        });
        let value = self.body(marker, head >> 1, depth)?;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.is_open = false;
        }
        Ok(value)
    }

    fn reference(&mut self, marker: u8, index: u32, depth: usize) -> Result<Value, AmfError> {
        let slot = self.slots.get(index as usize).copied();
        let Some(slot) = slot.filter(|slot| !slot.is_open && slot.marker == marker) else {
            return Err(self.source.fault(Fault::BadReference(index)));
        };
        let resume = std::mem::replace(&mut self.source.at, slot.at);
        let was_replaying = std::mem::replace(&mut self.is_replaying, true);
        let head = self.u29()?;
        let value = self.body(marker, head >> 1, depth)?;
        self.source.at = resume;
        self.is_replaying = was_replaying;
        Ok(value)
    }

    /// `head` is the leading number without its lowest bit: a length, a count,
    /// or an object's flags.
    fn body(&mut self, marker: u8, head: u32, depth: usize) -> Result<Value, AmfError> {
        let len = head as usize;
        Ok(match marker {
            XML | XML_DOCUMENT => {
                let text = self.source.take(len)?;
                Value::Xml(self.source.text(text)?)
            }
            DATE => Value::Date(self.source.f64()?),
            ARRAY => self.array(head, depth)?,
            BYTE_ARRAY => {
                self.source.take(len)?;
                Value::Undefined
            }
            VECTOR_INT | VECTOR_UINT | VECTOR_DOUBLE => self.vector(marker, head, depth)?,
            VECTOR_OBJECT => {
                // Section 3.15: whether the length is fixed, and the class.
                self.source.u8()?;
                self.string()?;
                Value::StrictArray(self.values(head, depth)?)
            }
            DICTIONARY => self.dictionary(head, depth)?,
            _ => self.object(head, depth)?,
        })
    }

    /// Section 3.11: the named part, then `count` places.
    fn array(&mut self, count: u32, depth: usize) -> Result<Value, AmfError> {
        let mut named = self.named(depth)?;
        let places = self.values(count, depth)?;
        if named.is_empty() {
            return Ok(Value::StrictArray(places));
        }
        for (place, value) in places.into_iter().enumerate() {
            let name = self.source.text(place.to_string().as_bytes())?;
            named.push((name, value));
        }
        Ok(Value::EcmaArray(named))
    }

    /// Section 3.12.
    fn object(&mut self, flags: u32, depth: usize) -> Result<Value, AmfError> {
        let traits = self.traits(flags, depth)?;
        let mut properties = Vec::new();
        for name in traits.names {
            let name = self.source.text(name)?;
            properties.push((name, self.value(depth + 1)?));
        }
        if traits.is_dynamic {
            properties.extend(self.named(depth)?);
        }
        Ok(Value::Object(properties))
    }

    /// `flags`: bit 0 tells traits written here (1) from a reference (0); then
    /// bit 1 externalizable, bit 2 dynamic, the count of names above.
    fn traits(&mut self, flags: u32, depth: usize) -> Result<Traits<'a>, AmfError> {
        if flags & 1 == 0 {
            let index = flags >> 1;
            let traits = self.traits.get(index as usize).cloned();
            let traits = traits.ok_or(self.source.fault(Fault::BadReference(index)))?;
            for _ in &traits.names {
                self.source.charge_value(depth)?;
            }
            return Ok(traits);
        }
        if flags & 2 != 0 {
            return Err(self.source.fault(Fault::Externalizable));
        }
        self.string()?;
        let mut names = Vec::new();
        for _ in 0..flags >> 3 {
            self.source.charge_value(depth)?;
            names.push(self.string()?);
        }
        let traits = Traits {
            names,
            is_dynamic: flags & 4 != 0,
        };
        if !self.is_replaying {
            self.traits.push(traits.clone());
        }
        Ok(traits)
    }

    /// Names and values until an empty name.
    fn named(&mut self, depth: usize) -> Result<Vec<(String, Value)>, AmfError> {
        let mut properties = Vec::new();
        loop {
            let name = self.string()?;
            if name.is_empty() {
                return Ok(properties);
            }
            let name = self.source.text(name)?;
            properties.push((name, self.value(depth + 1)?));
        }
    }

    fn values(&mut self, count: u32, depth: usize) -> Result<Vec<Value>, AmfError> {
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    /// Section 3.15: numbers without markers.
    fn vector(&mut self, marker: u8, count: u32, depth: usize) -> Result<Value, AmfError> {
        self.source.u8()?;
        let mut values = Vec::new();
        for _ in 0..count {
            self.source.charge_value(depth + 1)?;
            values.push(Value::Number(match marker {
                VECTOR_INT => f64::from(self.source.u32()?.cast_signed()),
                VECTOR_UINT => f64::from(self.source.u32()?),
                _ => self.source.f64()?,
            }));
        }
        Ok(Value::StrictArray(values))
    }

    /// Section 3.16. Keys may be any value; entries under text are kept.
    fn dictionary(&mut self, count: u32, depth: usize) -> Result<Value, AmfError> {
        self.source.u8()?;
        let mut properties = Vec::new();
        for _ in 0..count {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            if let Value::String(name) = key {
                properties.push((name, value));
            }
        }
        Ok(Value::Object(properties))
    }

    /// A text or a reference to one (section 1.3.2); the empty text has no
    /// number. The bytes are still the message's.
    fn string(&mut self) -> Result<&'a [u8], AmfError> {
        let head = self.u29()?;
        let number = head >> 1;
        if head & 1 == 0 {
            let text = self.strings.get(number as usize).copied();
            return text.ok_or(self.source.fault(Fault::BadReference(number)));
        }
        let text = self.source.take(number as usize)?;
        if !text.is_empty() && !self.is_replaying {
            self.strings.push(text);
        }
        Ok(text)
    }

    /// Section 1.3.1: seven bits a byte while the high bit is set, all eight of
    /// a fourth.
    fn u29(&mut self) -> Result<u32, AmfError> {
        let mut number = 0;
        for _ in 0..3 {
            let byte = u32::from(self.source.u8()?);
            number = number << 7 | byte & 0x7f;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Ok(number << 8 | u32::from(self.source.u8()?))
    }
}

/// The 29 bits of an integer, the highest being its sign.
fn signed(number: u32) -> i32 {
    (number << 3).cast_signed() >> 3
}
