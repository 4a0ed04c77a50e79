//! onMetaData, the data message by which a publisher announces its stream (FLV
//! annex E.5): which media it names a codec of. What a publisher says is a
//! hint: sequence headers decide.

use crate::wire::amf::Value;

const NAME: &str = "onMetaData";

/// What a publisher announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata {
    pub has_audio: bool,
    pub has_video: bool,
}

/// Reads the values of a data message, `"@setDataFrame"` before them or not;
/// None when it is another one.
pub fn metadata(values: &[Value]) -> Option<Metadata> {
    let values = match values {
        [Value::String(first), rest @ ..] if first == "@setDataFrame" => rest,
        _ => values,
    };
    let [Value::String(name), announced, ..] = values else {
        return None;
    };
    if name != NAME {
        return None;
    }
    // A number, or a FourCC as text.
    let names_codec = |key: &str| match announced.property(key) {
        Some(Value::Number(_)) => true,
        Some(Value::String(four_cc)) => !four_cc.is_empty(),
        _ => false,
    };
    Some(Metadata {
        has_audio: names_codec("audiocodecid"),
        has_video: names_codec("videocodecid"),
    })
}
