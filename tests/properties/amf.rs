//! AMF: what is read stays within the caps, and, written as AMF0, reads back
//! the same.

use ringhall::base::limits::{AMF_DEPTH_MAX, AMF_TEXT_MAX_BYTES, AMF_VALUES_MAX};
use ringhall::wire::amf::{Value, amf0, read_command};

pub fn check(data: &[u8]) {
    let Ok(values) = amf0::read_all(data) else {
        let _ = read_command(data, true);
        return;
    };
    let mut cost = Cost::default();
    for value in &values {
        cost.add(value, 1);
    }
    assert!(cost.values <= AMF_VALUES_MAX);
    assert!(cost.text_bytes <= AMF_TEXT_MAX_BYTES);
    let written = write(&values);
    let again = amf0::read_all(&written).expect("what was written");
    // Bytes, because numbers may be no numbers.
    assert_eq!(write(&again), written);
    let typed = [&[0], data].concat();
    assert_eq!(write(&read_command(&typed, true).unwrap()), written);
}

fn write(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        amf0::write(&mut out, value);
    }
    out
}

#[derive(Default)]
struct Cost {
    values: usize,
    text_bytes: usize,
}

impl Cost {
    fn add(&mut self, value: &Value, depth: usize) {
        assert!(depth <= AMF_DEPTH_MAX);
        self.values += 1;
        match value {
            Value::String(text) | Value::Xml(text) => self.text_bytes += text.len(),
            Value::Object(properties) | Value::EcmaArray(properties) => {
                for (name, value) in properties {
                    self.text_bytes += name.len();
                    self.add(value, depth + 1);
                }
            }
            Value::StrictArray(values) => {
                for value in values {
                    self.add(value, depth + 1);
                }
            }
            _ => {}
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut every = b"\x00\x3f\xf0\0\0\0\0\0\0\x01\x01\x02\0\x01a\x04\x05\x06\x0d".to_vec();
    every.extend(b"\x0b\0\0\0\0\0\0\0\0\0\0\x0c\0\0\0\x01b\x0f\0\0\0\x04<a/>");
    every.extend(b"\x10\0\x01C\0\x01a\x05\0\0\x09\x07\0\0");
    vec![
        [
            &b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03\0\x03app\x02\0\x04live"[..],
            b"\0\x05tcUrl\x02\0\x10rtmp://host/live\0\0\x09",
        ]
        .concat(),
        b"\x02\0\x0d@setDataFrame\x08\0\0\0\x01\0\x05width\0\x40\x84\0\0\0\0\0\0\0\0\x09".to_vec(),
        every,
        // References: of what is whole, many of one, and a cycle.
        b"\x03\0\x01a\x05\0\0\x09\x0a\0\0\0\x02\x07\0\0\x07\0\0\x07\0\x01".to_vec(),
        [&b"\x0a\0\0\0\x01\x05"[..], &b"\x0a\0\0\0\x02\x07\0\0\x07\0\x01".repeat(4)].concat(),
        b"\x03\0\x01a\x07\0\0\0\0\x09".to_vec(),
        b"\x0a\0\0\0\x01".repeat(40),
        // AMF3: an array of objects by traits, text and object references.
        b"\x11\x09\x09\x01\x0a\x23\x01\x03a\x03b\x04\x01\x06\0\x0a\x01\x04\x02\x06\x02\x0a\x0b\x01\x03c\x01\x01\x0a\x02".to_vec(),
        b"\x11\x09\x05\x03k\x03\x01\x02\x01\x11\x05\x3f\xf0\0\0\0\0\0\0\x11\x04\xff\xff\xff\xff".to_vec(),
        b"\x11\x0d\x03\0\xff\xff\xff\xff\x11\x0f\x03\x01\x3f\xf0\0\0\0\0\0\0\x11\x10\x03\0\x01\x04\x05".to_vec(),
        b"\x11\x11\x05\0\x06\x03k\x01\x04\x05\x01\x11\x0c\x07abc\x11\x0b\x09<a/>\x11\x08\x01\0\0\0\0\0\0\0\0".to_vec(),
        b"\x11\x0a\x07\x03x".to_vec(),
    ]
}
