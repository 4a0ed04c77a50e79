use super::*;

fn one(bytes: &[u8]) -> Result<Value, Fault> {
    let mut values = amf0::read_all(bytes).map_err(|error| error.fault)?;
    assert_eq!(values.len(), 1);
    Ok(values.remove(0))
}

/// The AMF3 value `bytes`, as marker 0x11 brings it.
fn three(bytes: &[u8]) -> Result<Value, Fault> {
    one(&[&[0x11], bytes].concat())
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn named(properties: &[(&str, Value)]) -> Vec<(String, Value)> {
    let own = |(name, value): &(&str, Value)| ((*name).to_owned(), value.clone());
    properties.iter().map(own).collect()
}

#[test]
fn the_connect_of_an_encoder() {
    let bytes = [
        &b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03"[..],
        b"\0\x03app\x02\0\x04live\0\x0ccapabilities\0\x40\x2e\0\0\0\0\0\0",
        b"\0\0\x09",
    ]
    .concat();
    let values = amf0::read_all(&bytes).unwrap();
    assert_eq!(values[0].as_str(), Some("connect"));
    assert_eq!(values[1].as_number(), Some(1.0));
    assert_eq!(values[2].property("app"), Some(&text("live")));
    assert_eq!(
        values[2].property("capabilities"),
        Some(&Value::Number(15.0))
    );
    assert_eq!(values[2].property("tcUrl"), None);
    let typed = [&[0], &bytes[..]].concat();
    assert_eq!(read_command(&typed, true), Ok(values.clone()));
    assert_eq!(read_command(&bytes, true), Ok(values.clone()));
    assert_eq!(read_command(&bytes, false), Ok(values));
}

#[test]
fn what_is_written_reads_back() {
    let long = "é".repeat(40_000);
    let values = [
        Value::Number(-0.5),
        Value::Boolean(true),
        text("héllo"),
        text(&long),
        Value::Null,
        Value::Undefined,
        Value::Date(1.7e12),
        Value::Xml("<a/>".to_owned()),
        Value::StrictArray(vec![Value::Null, Value::StrictArray(vec![])]),
        Value::EcmaArray(named(&[("a", Value::Number(1.0)), ("", Value::Null)])),
        Value::Object(named(&[("o", Value::Object(named(&[("x", text(""))])))])),
    ];
    let mut bytes = Vec::new();
    for value in &values {
        amf0::write(&mut bytes, value);
    }
    assert_eq!(amf0::read_all(&bytes).unwrap(), values);
}

#[test]
fn names_too_long_for_the_format_are_cut_between_letters() {
    let mut bytes = Vec::new();
    let name = "é".repeat(40_000);
    amf0::write(&mut bytes, &Value::Object(vec![(name, Value::Null)]));
    let Ok(Value::Object(properties)) = one(&bytes) else {
        panic!("no object");
    };
    assert_eq!(properties[0].0, "é".repeat(32_767));
}

#[test]
fn every_cut_of_a_value_is_told() {
    let mut bytes = Vec::new();
    let inner = Value::StrictArray(vec![Value::Date(1.0), Value::Boolean(true)]);
    amf0::write(
        &mut bytes,
        &Value::EcmaArray(named(&[("a", inner), ("b", text("x"))])),
    );
    for cut in 1..bytes.len() {
        assert_eq!(one(&bytes[..cut]), Err(Fault::Truncated), "{cut}");
    }
}

#[test]
fn a_wrong_count_of_a_named_array_does_no_harm() {
    let bytes = b"\x08\xff\xff\xff\xff\0\x01a\x05\0\0\x09";
    assert_eq!(
        one(bytes),
        Ok(Value::EcmaArray(named(&[("a", Value::Null)])))
    );
}

#[test]
fn counts_are_not_believed() {
    assert_eq!(one(b"\x0a\xff\xff\xff\xff\x05"), Err(Fault::Truncated));
    assert_eq!(one(b"\x0c\xff\xff\xff\xffa"), Err(Fault::Truncated));
    assert_eq!(three(b"\x09\xff\xff\xff\xff\x01"), Err(Fault::Truncated));
    assert_eq!(three(b"\x06\xff\xff\xff\xff"), Err(Fault::Truncated));
    assert_eq!(three(b"\x0a\xff\xff\xff\xfb\x01"), Err(Fault::Truncated));
    assert_eq!(three(b"\x0f\xff\xff\xff\xff\0"), Err(Fault::Truncated));
}

#[test]
fn what_no_reader_knows() {
    assert_eq!(one(b"\x09"), Err(Fault::UnknownMarker(9)));
    assert_eq!(one(b"\x0e"), Err(Fault::UnknownMarker(0x0e)));
    assert_eq!(one(b"\xff"), Err(Fault::UnknownMarker(0xff)));
    assert_eq!(one(b"\x04"), Ok(Value::Undefined));
    assert_eq!(one(b"\x0d"), Ok(Value::Undefined));
    assert_eq!(three(b"\x12"), Err(Fault::UnknownMarker(0x12)));
    assert_eq!(three(b"\x0a\x07\x03x"), Err(Fault::Externalizable));
    assert_eq!(one(b"\x02\0\x01\xff"), Ok(text("\u{fffd}")));
    let error = amf0::read_all(b"\x05\x05\x0e").unwrap_err();
    assert_eq!(error.at, 2);
}

#[test]
fn typed_objects_lose_their_class() {
    let bytes = b"\x10\0\x03com\0\x01a\x01\x01\0\0\x09";
    let object = Value::Object(named(&[("a", Value::Boolean(true))]));
    assert_eq!(one(bytes), Ok(object));
}

#[test]
fn references_give_what_they_name() {
    // An object, and an array of two references to it.
    let mut bytes = b"\x03\0\x01a\x05\0\0\x09".to_vec();
    bytes.extend(b"\x0a\0\0\0\x02\x07\0\0\x07\0\0");
    let object = Value::Object(named(&[("a", Value::Null)]));
    let twice = Value::StrictArray(vec![object.clone(), object.clone()]);
    assert_eq!(amf0::read_all(&bytes), Ok(vec![object, twice.clone()]));
    // A reference to what holds references.
    bytes.extend(b"\x07\0\x01");
    assert_eq!(amf0::read_all(&bytes).unwrap()[2], twice);
}

#[test]
fn cycles_are_refused() {
    assert_eq!(
        one(b"\x03\0\x01a\x07\0\0\0\0\x09"),
        Err(Fault::BadReference(0))
    );
    assert_eq!(one(b"\x07\0\0"), Err(Fault::BadReference(0)));
    assert_eq!(
        one(b"\x0a\0\0\0\x01\x07\0\x01"),
        Err(Fault::BadReference(1))
    );
    // An AMF3 array that holds itself.
    assert_eq!(three(b"\x09\x03\x01\x09\0"), Err(Fault::BadReference(0)));
    // A reference under another type's marker.
    assert_eq!(
        three(b"\x09\x05\x01\x08\x01\0\0\0\0\0\0\0\0\x0a\x02"),
        Err(Fault::BadReference(1))
    );
}

#[test]
fn references_multiply_no_further_than_the_caps() {
    // Array n holds ten references to array n-1: 10^9 values when written out.
    let mut bytes = b"\x0a\0\0\0\x01\x05".to_vec();
    for level in 0..9u8 {
        bytes.extend(b"\x0a\0\0\0\x0a");
        bytes.extend([7, 0, level].repeat(10));
    }
    assert_eq!(
        amf0::read_all(&bytes).unwrap_err().fault,
        Fault::TooManyValues
    );
    // One long text, named many times.
    let mut bytes = b"\x0a\0\0\0\x01\x0c\0\0\x80\0".to_vec();
    bytes.extend([b'x'; 0x8000]);
    bytes.extend([7, 0, 0].repeat(100));
    assert_eq!(
        amf0::read_all(&bytes).unwrap_err().fault,
        Fault::TooMuchText
    );
    // Values named again count, and never more than the message has bytes.
    let mut bytes = b"\x0a\0\0\0\x64".to_vec();
    bytes.extend([5; 100]);
    bytes.extend([7, 0, 0].repeat(10));
    assert_eq!(
        amf0::read_all(&bytes).unwrap_err().fault,
        Fault::TooManyValues
    );
    // The same by AMF3's text references.
    let mut bytes = b"\x11\x09\x81\x49\x01\x06\x82\x80\x01".to_vec();
    bytes.extend([b'x'; 0x4000]);
    bytes.extend([6, 0].repeat(99));
    assert_eq!(
        amf0::read_all(&bytes).unwrap_err().fault,
        Fault::TooMuchText
    );
}

#[test]
fn nesting_ends_at_the_cap() {
    let nested = |depth: usize| [&b"\x0a\0\0\0\x01".repeat(depth - 1), &b"\x05"[..]].concat();
    assert!(one(&nested(AMF_DEPTH_MAX)).is_ok());
    assert_eq!(one(&nested(AMF_DEPTH_MAX + 1)), Err(Fault::TooDeep));
    assert_eq!(one(&nested(100_000)), Err(Fault::TooDeep));
    let three_nested = [&[0x11], &b"\x09\x03\x01".repeat(100_000)[..]].concat();
    assert_eq!(one(&three_nested), Err(Fault::TooDeep));
    // Depth gained by references counts.
    let mut bytes = Vec::new();
    bytes.extend(b"\x0a\0\0\0\x01\x05");
    for level in 0..40u8 {
        bytes.extend([0x0a, 0, 0, 0, 1, 7, 0, level]);
    }
    // A long message may hold as many values as it has bytes.
    bytes.extend([5; 1_000]);
    assert_eq!(amf0::read_all(&bytes).unwrap_err().fault, Fault::TooDeep);
}

#[test]
fn integers_of_29_bits() {
    for (bytes, number) in [
        (&b"\x04\0"[..], 0.0),
        (b"\x04\x7f", 127.0),
        (b"\x04\x81\0", 128.0),
        (b"\x04\xff\x7f", 16_383.0),
        (b"\x04\x81\x80\0", 16_384.0),
        (b"\x04\xff\xff\x7f", 2_097_151.0),
        (b"\x04\x80\xc0\x80\0", 2_097_152.0),
        (b"\x04\xbf\xff\xff\xff", 268_435_455.0),
        (b"\x04\xc0\x80\x80\0", -268_435_456.0),
        (b"\x04\xff\xff\xff\xff", -1.0),
    ] {
        assert_eq!(three(bytes), Ok(Value::Number(number)));
    }
}

#[test]
fn amf3_objects_share_traits_and_names() {
    // [{a:1, b:"a"} sealed, {a:2, b:"b"} by trait reference, {c:null} dynamic,
    // the first again]
    let mut bytes = b"\x09\x09\x01\x0a\x23\x01\x03a\x03b\x04\x01\x06\0".to_vec();
    bytes.extend(b"\x0a\x01\x04\x02\x06\x02");
    bytes.extend(b"\x0a\x0b\x01\x03c\x01\x01");
    bytes.extend(b"\x0a\x02");
    let first = Value::Object(named(&[("a", Value::Number(1.0)), ("b", text("a"))]));
    let second = Value::Object(named(&[("a", Value::Number(2.0)), ("b", text("b"))]));
    let third = Value::Object(named(&[("c", Value::Null)]));
    assert_eq!(
        three(&bytes),
        Ok(Value::StrictArray(vec![
            first.clone(),
            second,
            third,
            first
        ]))
    );
}

#[test]
fn amf3_tables_begin_anew_at_every_value() {
    assert!(amf0::read_all(b"\x11\x06\x03a").is_ok());
    let error = amf0::read_all(b"\x11\x06\x03a\x11\x06\0").unwrap_err();
    assert_eq!(error.fault, Fault::BadReference(0));
    // Marker 0x11 brings one value; AMF0 goes on behind it.
    let values = amf0::read_all(b"\x11\x06\x03a\x02\0\x01b").unwrap();
    assert_eq!(values, [text("a"), text("b")]);
}

#[test]
fn amf3_arrays_vectors_and_dictionaries() {
    assert_eq!(
        three(b"\x09\x05\x03k\x03\x01\x02\x01"),
        Ok(Value::EcmaArray(named(&[
            ("k", Value::Boolean(true)),
            ("0", Value::Boolean(false)),
            ("1", Value::Null),
        ])))
    );
    let numbers = |numbers: &[f64]| {
        let values = numbers.iter().map(|number| Value::Number(*number));
        Ok(Value::StrictArray(values.collect()))
    };
    assert_eq!(three(b"\x0d\x03\0\xff\xff\xff\xff"), numbers(&[-1.0]));
    assert_eq!(
        three(b"\x0e\x03\0\xff\xff\xff\xff"),
        numbers(&[4_294_967_295.0])
    );
    assert_eq!(three(b"\x0f\x03\x01\x3f\xf0\0\0\0\0\0\0"), numbers(&[1.0]));
    assert_eq!(three(b"\x10\x03\0\x01\x04\x05"), numbers(&[5.0]));
    assert_eq!(
        three(b"\x11\x05\0\x06\x03k\x01\x04\x05\x01"),
        Ok(Value::Object(named(&[("k", Value::Null)])))
    );
    assert_eq!(three(b"\x0c\x07abc"), Ok(Value::Undefined));
    assert_eq!(three(b"\x0b\x09<a/>"), Ok(Value::Xml("<a/>".to_owned())));
    assert_eq!(three(b"\x08\x01\0\0\0\0\0\0\0\0"), Ok(Value::Date(0.0)));
}

#[test]
fn the_last_of_a_key_counts() {
    let twice = named(&[("a", Value::Null), ("a", Value::Boolean(true))]);
    assert_eq!(
        Value::Object(twice).property("a").and_then(Value::as_bool),
        Some(true)
    );
    assert_eq!(Value::Null.property("a"), None);
}

/// Metadata of more than 64 KiB, which other servers broke on.
#[test]
fn long_metadata_reads() {
    let times: Vec<Value> = (0..14_400).map(|at| Value::Number(f64::from(at))).collect();
    let value = Value::EcmaArray(named(&[
        ("liveXML", text(&"x".repeat(100_000))),
        ("timecode", text("00:00:00:00")),
        ("times", Value::StrictArray(times)),
    ]));
    let mut bytes = Vec::new();
    amf0::write(&mut bytes, &value);
    assert_eq!(one(&bytes), Ok(value));
}
