//! `room.video_codecs`: the order of video codecs in rooms by name.

use super::VideoCodecName;
use super::keys::{codec_list, video_codecs};
use crate::base::limits::{CONFIG_ROOM_CODECS_MAX, NAME_MAX_CHARS};

/// One rule: rooms and the codecs they use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomCodecs {
    pub pattern: RoomPattern,
    /// Order of preference, without duplicates, never empty.
    pub codecs: Vec<VideoCodecName>,
}

/// Which rooms a rule is for. Room names compare by their exact characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomPattern {
    Exact(String),
    /// Rooms whose names begin so; an empty one is for every room.
    Prefix(String),
}

/// The codecs of `room`: those of its own name, else of the longest prefix;
/// `None` where no rule is for it.
pub fn codecs_for<'a>(rules: &'a [RoomCodecs], room: &str) -> Option<&'a [VideoCodecName]> {
    let rank = |rule: &RoomCodecs| match &rule.pattern {
        RoomPattern::Exact(name) => (name == room).then_some(usize::MAX),
        RoomPattern::Prefix(start) => room.starts_with(start).then_some(start.len()),
    };
    let ranked = rules.iter().filter_map(|rule| Some((rank(rule)?, rule)));
    let best = ranked.max_by_key(|(rank, _)| *rank);
    best.map(|(_, rule)| rule.codecs.as_slice())
}

/// Rules like `NAME:vp8,h264;PREFIX*:h264`. Names cannot hold `:` or `;`, nor
/// end with `*`, nor begin or end with spaces; a prefix may end with some.
pub(super) fn parse(text: &str) -> Option<Vec<RoomCodecs>> {
    let mut rules: Vec<RoomCodecs> = Vec::new();
    if text.is_empty() {
        return Some(rules);
    }
    for part in text.split(';') {
        let (name, codecs) = part.split_once(':')?;
        let pattern = pattern(name.trim())?;
        if rules.iter().any(|rule| rule.pattern == pattern) {
            return None;
        }
        let codecs = video_codecs(codecs)?;
        rules.push(RoomCodecs { pattern, codecs });
        if rules.len() > CONFIG_ROOM_CODECS_MAX {
            return None;
        }
    }
    Some(rules)
}

fn pattern(text: &str) -> Option<RoomPattern> {
    let is_name =
        |name: &str| name.chars().count() <= NAME_MAX_CHARS && !name.contains(char::is_control);
    match text.strip_suffix('*') {
        Some(start) => is_name(start).then(|| RoomPattern::Prefix(start.to_owned())),
        None => (!text.is_empty() && is_name(text)).then(|| RoomPattern::Exact(text.to_owned())),
    }
}

/// The text [`parse`] reads back as `rules`.
pub(super) fn print(rules: &[RoomCodecs]) -> String {
    let texts = rules.iter().map(|rule| {
        let codecs = codec_list(&rule.codecs);
        match &rule.pattern {
            RoomPattern::Exact(name) => format!("{name}:{codecs}"),
            RoomPattern::Prefix(start) => format!("{start}*:{codecs}"),
        }
    });
    texts.collect::<Vec<_>>().join(";")
}
