//! What a recording's file is called: the operator's template, filled in when
//! publishing begins. Owns which names are safe in the folder of recordings;
//! whatever a publisher calls itself, the name stays one plain file of that
//! folder.

use std::fmt;

use crate::base::calendar::Utc;
use crate::base::limits::{
    RECORD_NAME_FIXED_MAX_BYTES, RECORD_NAME_MAX_BYTES, RECORD_TEMPLATE_MAX_BYTES,
};

/// Every recording's extension; a template that lacks it gets it.
pub const EXTENSION: &str = ".mp4";

/// What a file that is still written to is called behind its name.
pub const PART_SUFFIX: &str = ".part";

/// A `record_name_template`, with the elements of WCS that are known when
/// publishing begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// As it was written.
    text: String,
    /// Of the name without its extension.
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Element(Element),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Login,
    MediaSessionId,
    SessionId,
    StartTime,
    StartTimeMillis,
    StreamName,
}

/// [`Template::usual`].
const USUAL: &str = "stream-{mediaSessionId}-{login}.mp4";

const ELEMENTS: [(&str, Element); 6] = [
    ("streamName", Element::StreamName),
    ("startTime", Element::StartTime),
    ("startTimeMillis", Element::StartTimeMillis),
    ("sessionId", Element::SessionId),
    ("mediaSessionId", Element::MediaSessionId),
    ("login", Element::Login),
];

/// Elements of WCS told only by the end of a stream, or by its first packets.
const KNOWN_LATER: [&str; 5] = [
    "endTime",
    "endTimeMillis",
    "duration",
    "audioCodec",
    "videoCodec",
];

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    Empty,
    /// An element that is not known when the name is told.
    KnownLater(&'static str),
    /// Text that would lead to another folder, or is no name's.
    NotAName(char),
    /// Longer than [`RECORD_TEMPLATE_MAX_BYTES`], or its own text and times
    /// alone than [`RECORD_NAME_FIXED_MAX_BYTES`].
    TooLong,
    /// A brace without its other one.
    Unbalanced,
    Unknown(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::Empty => write!(f, "it is empty"),
            TemplateError::KnownLater(element) => write!(
                f,
                "{{{element}}} is not known yet when publishing begins, which is when the name is told"
            ),
            TemplateError::NotAName(c) => write!(
                f,
                "{c:?} cannot be in it: letters, digits, and \"-\", \"_\" and \".\" can"
            ),
            TemplateError::TooLong => write!(f, "it leaves too little room for names"),
            TemplateError::Unbalanced => write!(f, "a brace lacks its other one"),
            TemplateError::Unknown(element) => {
                let known: Vec<String> = ELEMENTS
                    .iter()
                    .map(|(name, _)| format!("{{{name}}}"))
                    .collect();
                write!(f, "{{{element}}} is unknown; there are {}", known.join(" "))
            }
        }
    }
}

impl std::error::Error for TemplateError {}

/// What is known of a stream when its publishing begins.
#[derive(Clone, Copy, Debug)]
pub struct NameParts<'a> {
    pub stream_name: &'a str,
    pub login: &'a str,
    /// Of the signalling session; empty where there is none.
    pub session_id: &'a str,
    pub media_session_id: &'a str,
    /// When publishing began, milliseconds since 1970.
    pub start_unix_ms: u64,
}

impl Template {
    /// Reads a template like `stream-{mediaSessionId}-{login}.mp4`.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        if text.len() > RECORD_TEMPLATE_MAX_BYTES {
            return Err(TemplateError::TooLong);
        }
        let mut rest = text.strip_suffix(EXTENSION).unwrap_or(text);
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            if let Some(c) = before.chars().find(|c| !is_kept(*c)) {
                return Err(match c {
                    '}' => TemplateError::Unbalanced,
                    c => TemplateError::NotAName(c),
                });
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            if before.len() == rest.len() {
                break;
            }
            let (name, after) = after.split_once('}').ok_or(TemplateError::Unbalanced)?;
            pieces.push(Piece::Element(element(name)?));
            rest = after;
        }
        if pieces.is_empty() {
            return Err(TemplateError::Empty);
        }
        if pieces.iter().map(fixed_bytes).sum::<usize>() > RECORD_NAME_FIXED_MAX_BYTES {
            return Err(TemplateError::TooLong);
        }
        Ok(Template {
            text: text.to_owned(),
            pieces,
        })
    }

    /// `stream-{mediaSessionId}-{login}.mp4`, as Web Call Server's.
    pub fn usual() -> Template {
        let text = |text: &str| Piece::Text(text.to_owned());
        Template {
            text: USUAL.to_owned(),
            pieces: vec![
                text("stream-"),
                Piece::Element(Element::MediaSessionId),
                text("-"),
                Piece::Element(Element::Login),
            ],
        }
    }

    /// As it was written; [`Template::parse`] reads it back.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of a stream's file, always [safe](is_safe_name). Too long a one
    /// is cut in login and stream name first, then in ids.
    pub fn name(&self, parts: &NameParts<'_>) -> String {
        let mut filled: Vec<(Option<Element>, String)> = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => (None, text.clone()),
                Piece::Element(element) => (Some(*element), parts.of(*element)),
            })
            .collect();
        let max = RECORD_NAME_MAX_BYTES - PART_SUFFIX.len() - EXTENSION.len();
        shorten(&mut filled, max, |element| {
            matches!(element, Element::Login | Element::StreamName)
        });
        shorten(&mut filled, max, |element| {
            matches!(element, Element::MediaSessionId | Element::SessionId)
        });
        let stem: String = filled.into_iter().map(|(_, text)| text).collect();
        settle(&stem) + EXTENSION
    }
}

impl NameParts<'_> {
    fn of(&self, element: Element) -> String {
        match element {
            Element::Login => sanitised(self.login),
            Element::MediaSessionId => sanitised(self.media_session_id),
            Element::SessionId => sanitised(self.session_id),
            Element::StartTime => date_and_time(self.start_unix_ms / 1_000),
            Element::StartTimeMillis => self.start_unix_ms.to_string(),
            Element::StreamName => sanitised(self.stream_name),
        }
    }
}

fn element(name: &str) -> Result<Element, TemplateError> {
    if let Some((_, element)) = ELEMENTS.iter().find(|(known, _)| *known == name) {
        return Ok(*element);
    }
    let later = KNOWN_LATER.iter().find(|known| **known == name);
    // Told back to the operator: on one line of a terminal.
    let shown = || name.chars().filter(|c| !c.is_control()).take(40).collect();
    Err(later.map_or_else(
        || TemplateError::Unknown(shown()),
        |known| TemplateError::KnownLater(known),
    ))
}

/// What a piece takes whatever the stream is called.
fn fixed_bytes(piece: &Piece) -> usize {
    match piece {
        Piece::Text(text) => text.len(),
        Piece::Element(Element::StartTime | Element::StartTimeMillis) => TIME_MAX_BYTES,
        Piece::Element(_) => 0,
    }
}

/// `yyyy-MM-dd-HH-mm-ss` of the last year 64 bits can name.
const TIME_MAX_BYTES: usize = 24;

/// Cuts the longest of those that `may` be cut until all together fit.
fn shorten(filled: &mut [(Option<Element>, String)], max: usize, may: impl Fn(Element) -> bool) {
    let mut total: usize = filled.iter().map(|(_, text)| text.len()).sum();
    while total > max {
        let longest = filled
            .iter_mut()
            .filter(|(element, _)| element.is_some_and(&may))
            .max_by_key(|(_, text)| text.len());
        // Whole characters, so that the name stays UTF-8.
        let cut = longest.and_then(|(_, text)| text.pop());
        let Some(cut) = cut else {
            return;
        };
        total -= cut.len_utf8();
    }
}

/// Whether a character may be in a name: what no file system, shell or URL
/// reads anything into.
fn is_kept(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// `text` with `_` for every character that may not be in a name.
fn sanitised(text: &str) -> String {
    text.chars()
        .map(|c| if is_kept(c) { c } else { '_' })
        .collect()
}

/// A stem that is not empty, hidden, an option of a command line, or a way to
/// another folder, also with an extension behind it.
fn settle(stem: &str) -> String {
    let mut settled = String::with_capacity(stem.len() + 1);
    for c in stem.chars() {
        let is_second = settled.is_empty() || settled.ends_with('.');
        settled.push(match c {
            '.' if is_second => '_',
            '-' if settled.is_empty() => '_',
            c => c,
        });
    }
    if settled.is_empty() || settled.ends_with('.') {
        settled.pop();
        settled.push('_');
    }
    settled
}

/// A safe name of `stem`, text of anybody's choice, before `rest`, text of
/// ours: of at most [`RECORD_NAME_MAX_BYTES`] with [`PART_SUFFIX`], cut in
/// `stem`.
pub(super) fn safe_name(before: &str, stem: &str, rest: &str) -> String {
    let mut stem = sanitised(stem);
    let around = before.len() + rest.len() + PART_SUFFIX.len();
    let max = RECORD_NAME_MAX_BYTES.saturating_sub(around);
    while stem.len() > max {
        stem.pop();
    }
    settle(&format!("{before}{stem}")) + rest
}

/// The name of another recording that would have had this one's: `name` with a
/// number before its extension.
pub fn numbered(name: &str, number: usize) -> String {
    let stem = name.strip_suffix(EXTENSION).unwrap_or(name);
    let rest = format!("-{number}{EXTENSION}");
    let mut stem = stem.to_owned();
    while stem.len() + rest.len() + PART_SUFFIX.len() > RECORD_NAME_MAX_BYTES {
        stem.pop();
    }
    stem + &rest
}

/// Whether `name` can be of a file in the folder of recordings, and of no other
/// place.
pub fn is_safe_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= RECORD_NAME_MAX_BYTES
        && !name.starts_with('.')
        && !name.contains("..")
        && name.chars().all(is_kept)
}

/// UTC as `yyyy-MM-dd-HH-mm-ss`.
fn date_and_time(unix_s: u64) -> String {
    let Utc {
        year,
        month,
        day,
        hour,
        minute,
        second,
        ..
    } = Utc::from_unix_s(unix_s);
    format!("{year:04}-{month:02}-{day:02}-{hour:02}-{minute:02}-{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(login: &'a str, stream_name: &'a str) -> NameParts<'a> {
        NameParts {
            stream_name,
            login,
            session_id: "s1",
            media_session_id: "5e0d-77",
            start_unix_ms: 1_719_835_509_042,
        }
    }

    fn name(template: &str, parts: &NameParts<'_>) -> String {
        let name = Template::parse(template).unwrap().name(parts);
        assert!(is_safe_name(&name), "{name}");
        assert!(is_safe_name(&format!("{name}{PART_SUFFIX}")), "{name}");
        assert!(name.ends_with(EXTENSION) && !name.starts_with('-'));
        name
    }

    #[test]
    fn every_element_is_filled_in() {
        let ann = parts("ann", "room-ann-cam");
        assert_eq!(
            name("stream-{mediaSessionId}-{login}.mp4", &ann),
            "stream-5e0d-77-ann.mp4"
        );
        assert_eq!(
            name(
                "{streamName}_{startTime}_{startTimeMillis}_{sessionId}",
                &ann
            ),
            "room-ann-cam_2024-07-01-12-05-09_1719835509042_s1.mp4"
        );
        assert_eq!(name("always", &ann), "always.mp4");
    }

    #[test]
    fn what_cannot_be_known_or_is_no_name_is_refused() {
        let refused = |text: &str| Template::parse(text).unwrap_err();
        for element in KNOWN_LATER {
            let why = refused(&format!("a-{{{element}}}.mp4"));
            assert_eq!(why, TemplateError::KnownLater(element));
            assert!(why.to_string().starts_with(&format!("{{{element}}} is ")));
        }
        assert_eq!(refused("{Login}"), TemplateError::Unknown("Login".into()));
        assert!(refused("{x}").to_string().contains("{mediaSessionId}"));
        assert_eq!(refused("a/{login}"), TemplateError::NotAName('/'));
        assert_eq!(refused("a\\b"), TemplateError::NotAName('\\'));
        assert_eq!(refused("a b"), TemplateError::NotAName(' '));
        for text in ["", ".mp4"] {
            assert_eq!(refused(text), TemplateError::Empty);
        }
        for text in ["{login", "login}", "{login}}", "{"] {
            assert_eq!(refused(text), TemplateError::Unbalanced, "{text}");
        }
        assert!(matches!(refused("{{login}}"), TemplateError::Unknown(_)));
        for text in ["a".repeat(200), "{startTime}".repeat(20), "é".repeat(200)] {
            assert_eq!(refused(&text), TemplateError::TooLong);
        }
    }

    #[test]
    fn names_of_people_lead_nowhere() {
        for (login, made) in [
            ("../../etc/passwd", "_._.__etc_passwd.mp4"),
            ("..", "__.mp4"),
            (".", "_.mp4"),
            ("", "_.mp4"),
            (".hidden", "_hidden.mp4"),
            ("-rf", "_rf.mp4"),
            ("a..b", "a._b.mp4"),
            ("a.", "a_.mp4"),
            ("a\0b\nc", "a_b_c.mp4"),
            ("Анна Й", "Анна_Й.mp4"),
            ("x\u{202e}y", "x_y.mp4"),
            ("<b>&\"'", "_b____.mp4"),
        ] {
            assert_eq!(name("{login}", &parts(login, "")), made, "{login:?}");
        }
    }

    #[test]
    fn long_names_are_cut_where_people_chose_them() {
        let long = "й".repeat(255);
        let made = name(
            "{mediaSessionId}-{login}-{streamName}",
            &parts(&long, &long),
        );
        assert!(made.starts_with("5e0d-77-йй") && made.ends_with("й.mp4"));
        assert!(made.len() <= 250 && made.len() >= 247, "{}", made.len());
        let id = "f".repeat(300);
        let mut many = parts("ann", "s");
        many.media_session_id = &id;
        let made = name("{mediaSessionId}-{startTime}", &many);
        assert_eq!(made.len(), 250);
        assert!(made.ends_with("f-2024-07-01-12-05-09.mp4"));
    }

    #[test]
    fn what_a_request_may_name() {
        for safe in ["a.mp4", "stream-1-Ann.mp4", "a.mp4.part", "_", "Й.json"] {
            assert!(is_safe_name(safe), "{safe}");
        }
        let long = "a".repeat(256);
        for unsafe_name in [
            "", ".", "..", ".a", "a..mp4", "a/b", "a\\b", "a b", "a\0", "%2e", "a:b", &long,
        ] {
            assert!(!is_safe_name(unsafe_name), "{unsafe_name}");
        }
        assert_eq!(safe_name("room-", "a/b c", "-7.json"), "room-a_b_c-7.json");
        let cut = safe_name("room-", &"é".repeat(255), "-7.json");
        assert!(
            is_safe_name(&cut) && (249..=250).contains(&cut.len()),
            "{cut}"
        );
    }

    #[test]
    fn times_have_their_room() {
        assert_eq!(date_and_time(0), "1970-01-01-00-00-00");
        assert!(date_and_time(u64::MAX / 1_000).len() <= TIME_MAX_BYTES);
    }
}
