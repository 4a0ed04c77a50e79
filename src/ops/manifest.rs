//! What a room's recording session left: one JSON file beside the recordings,
//! which tells whose they are and where each lies in time. Owns its field
//! names, which are an interface: they are added to, never renamed.

use std::fmt;

use serde_json::{Map, Value, json};

use super::record_name::{is_safe_name, safe_name};
use crate::base::limits::{MANIFEST_FILES_MAX, MANIFEST_GAPS_MAX, MANIFEST_MAX_BYTES};

/// A manifest's extension.
pub const EXTENSION: &str = ".json";

/// The files of one room, from its first recorded stream until it was empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub room: String,
    /// The instant every file begins with, microseconds since 1970; `None`:
    /// each begins with its own stream, and has to be moved to its place.
    pub origin_unix_us: Option<u64>,
    /// At most [`MANIFEST_FILES_MAX`].
    pub files: Vec<ManifestFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Of a file in the same folder.
    pub name: String,
    pub login: String,
    pub stream: String,
    pub media_session_id: String,
    /// Of the file's first sample, microseconds since 1970; that of every other
    /// file, where they are aligned.
    pub began_unix_us: u64,
    pub duration_us: u64,
    pub size_bytes: u64,
    /// Where in the file the stream itself is; before and behind it is filler.
    pub content_from_us: u64,
    pub content_until_us: u64,
    pub video: Option<ManifestVideo>,
    pub audio: Option<ManifestAudio>,
    /// Filled for want of media, in order; at most [`MANIFEST_GAPS_MAX`].
    pub gaps: Vec<Gap>,
    pub state: FileState,
    /// What went wrong, in words for an operator.
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestVideo {
    pub codec: VideoFormat,
    pub width: u16,
    pub height: u16,
    /// The stream had none: all of it is black.
    pub is_filler_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestAudio {
    pub codec: AudioFormat,
    /// The stream had none: all of it is silence.
    pub is_filler_only: bool,
}

/// By its four-character code, as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoFormat {
    H264,
    Vp8,
}

/// By its four-character code, as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioFormat {
    Aac,
    Opus,
    Pcma,
    Pcmu,
}

/// A part of a track that is filler, within the stream itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub track: GapTrack,
    /// From the file's begin.
    pub from_us: u64,
    pub until_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapTrack {
    Video,
    Audio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Still written to, or left so by a server that ended unasked.
    Recording,
    Finished,
    Failed,
}

const VIDEO_FORMATS: [(&str, VideoFormat); 2] =
    [("avc1", VideoFormat::H264), ("vp08", VideoFormat::Vp8)];

const AUDIO_FORMATS: [(&str, AudioFormat); 4] = [
    ("Opus", AudioFormat::Opus),
    ("mp4a", AudioFormat::Aac),
    ("ulaw", AudioFormat::Pcmu),
    ("alaw", AudioFormat::Pcma),
];

const TRACKS: [(&str, GapTrack); 2] = [("video", GapTrack::Video), ("audio", GapTrack::Audio)];

const STATES: [(&str, FileState); 3] = [
    ("recording", FileState::Recording),
    ("finished", FileState::Finished),
    ("failed", FileState::Failed),
];

impl VideoFormat {
    pub fn code(self) -> &'static str {
        name_of(&VIDEO_FORMATS, self)
    }
}

impl AudioFormat {
    pub fn code(self) -> &'static str {
        name_of(&AUDIO_FORMATS, self)
    }
}

impl FileState {
    pub fn word(self) -> &'static str {
        name_of(&STATES, self)
    }
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    let found = names.iter().find(|(_, candidate)| *candidate == value);
    found.map_or("", |(name, _)| name)
}

/// What the manifest of `room` is called; `unix_ms` is its origin, or when the
/// first file began. Always [safe](is_safe_name).
pub fn file_name(room: &str, unix_ms: u64) -> String {
    safe_name("room-", room, &format!("-{unix_ms}{EXTENSION}"))
}

/// The manifest as [`parse`] reads it, for people to read, too.
pub fn render(manifest: &Manifest) -> String {
    let files: Vec<Value> = manifest.files.iter().map(file_value).collect();
    let value = json!({
        "room": manifest.room,
        "origin_unix_us": manifest.origin_unix_us,
        "files": files,
    });
    format!("{value:#}\n")
}

pub(super) fn file_value(file: &ManifestFile) -> Value {
    let video = file.video.map(|video| {
        json!({
            "codec": video.codec.code(),
            "width": video.width,
            "height": video.height,
            "is_filler_only": video.is_filler_only,
        })
    });
    let audio = file.audio.map(
        |audio| json!({ "codec": audio.codec.code(), "is_filler_only": audio.is_filler_only }),
    );
    let gaps: Vec<Value> = file.gaps.iter().map(gap_value).collect();
    json!({
        "name": file.name,
        "login": file.login,
        "stream": file.stream,
        "media_session_id": file.media_session_id,
        "began_unix_us": file.began_unix_us,
        "duration_us": file.duration_us,
        "size_bytes": file.size_bytes,
        "content_from_us": file.content_from_us,
        "content_until_us": file.content_until_us,
        "video": video,
        "audio": audio,
        "gaps": gaps,
        "state": file.state.word(),
        "why": file.why,
    })
}

fn gap_value(gap: &Gap) -> Value {
    json!({
        "track": name_of(&TRACKS, gap.track),
        "from_us": gap.from_us,
        "until_us": gap.until_us,
    })
}

/// The text is no manifest of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// No JSON; the parser's words, with line and column.
    NotJson(String),
    TooLarge {
        size_bytes: usize,
    },
    /// What stands at `at`, or does not, is not what is expected there.
    Unexpected {
        /// Like `files[2].video.codec`; empty: the whole.
        at: String,
        expected: &'static str,
    },
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifestError::NotJson(why) => write!(f, "not JSON: {why}"),
            ManifestError::TooLarge { size_bytes } => write!(
                f,
                "{size_bytes} bytes; a manifest has at most {MANIFEST_MAX_BYTES}"
            ),
            ManifestError::Unexpected { at, expected } => match at.as_str() {
                "" => write!(f, "expected {expected}"),
                at => write!(f, "{at}: expected {expected}"),
            },
        }
    }
}

impl std::error::Error for ManifestError {}

/// Reads a manifest. Names that are not [safe](is_safe_name) are refused: it
/// may have been changed by hand, and leads nowhere but to its own folder.
pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
    if text.len() > MANIFEST_MAX_BYTES {
        let size_bytes = text.len();
        return Err(ManifestError::TooLarge { size_bytes });
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| ManifestError::NotJson(error.to_string()))?;
    let whole = Fields::of(&value, "")?;
    let files = whole.list("files", MANIFEST_FILES_MAX, "a list of at most 4096 files")?;
    let files = files.iter().enumerate().map(|(index, value)| {
        let at = format!("files[{index}]");
        parse_file(&Fields::of(value, &at)?)
    });
    Ok(Manifest {
        room: whole.text("room")?,
        origin_unix_us: whole.optional("origin_unix_us", Fields::number)?,
        files: files.collect::<Result<_, _>>()?,
    })
}

// The words of the errors follow the limits.
const _: () = assert!(MANIFEST_FILES_MAX == 4_096 && MANIFEST_GAPS_MAX == 64);

fn parse_file(file: &Fields<'_>) -> Result<ManifestFile, ManifestError> {
    let name = file.text("name")?;
    if !is_safe_name(&name) {
        return Err(file.unexpected("name", "the name of a file in the folder of recordings"));
    }
    let gaps = file.list("gaps", MANIFEST_GAPS_MAX, "a list of at most 64 gaps")?;
    let gaps = gaps.iter().enumerate().map(|(index, value)| {
        let gap = Fields::of(value, &format!("{}.gaps[{index}]", file.at))?;
        Ok(Gap {
            track: gap.word("track", &TRACKS, "video or audio")?,
            from_us: gap.number("from_us")?,
            until_us: gap.number("until_us")?,
        })
    });
    Ok(ManifestFile {
        name,
        login: file.text("login")?,
        stream: file.text("stream")?,
        media_session_id: file.text("media_session_id")?,
        began_unix_us: file.number("began_unix_us")?,
        duration_us: file.number("duration_us")?,
        size_bytes: file.number("size_bytes")?,
        content_from_us: file.number("content_from_us")?,
        content_until_us: file.number("content_until_us")?,
        video: file.optional("video", parse_video)?,
        audio: file.optional("audio", parse_audio)?,
        gaps: gaps.collect::<Result<_, _>>()?,
        state: file.word("state", &STATES, "recording, finished or failed")?,
        why: file.optional("why", Fields::text)?,
    })
}

fn parse_video(file: &Fields<'_>, key: &str) -> Result<ManifestVideo, ManifestError> {
    let video = file.inner(key)?;
    Ok(ManifestVideo {
        codec: video.word("codec", &VIDEO_FORMATS, "avc1 or vp08")?,
        width: video.size("width")?,
        height: video.size("height")?,
        is_filler_only: video.flag("is_filler_only")?,
    })
}

fn parse_audio(file: &Fields<'_>, key: &str) -> Result<ManifestAudio, ManifestError> {
    let audio = file.inner(key)?;
    Ok(ManifestAudio {
        codec: audio.word("codec", &AUDIO_FORMATS, "Opus, mp4a, ulaw or alaw")?,
        is_filler_only: audio.flag("is_filler_only")?,
    })
}

/// The members of one object, and where it stands. Members it does not know
/// are left alone: a later version may have added them.
struct Fields<'a> {
    members: &'a Map<String, Value>,
    at: String,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, at: &str) -> Result<Self, ManifestError> {
        let at = at.to_owned();
        match value.as_object() {
            Some(members) => Ok(Fields { members, at }),
            None => Err(ManifestError::Unexpected {
                at,
                expected: "an object",
            }),
        }
    }

    fn place(&self, key: &str) -> String {
        match self.at.as_str() {
            "" => key.to_owned(),
            at => format!("{at}.{key}"),
        }
    }

    fn unexpected(&self, key: &str, expected: &'static str) -> ManifestError {
        let at = self.place(key);
        ManifestError::Unexpected { at, expected }
    }

    fn get<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ManifestError> {
        let value = self.members.get(key).and_then(read);
        value.ok_or_else(|| self.unexpected(key, expected))
    }

    fn text(&self, key: &str) -> Result<String, ManifestError> {
        self.get(key, "text", |value| value.as_str().map(str::to_owned))
    }

    fn number(&self, key: &str) -> Result<u64, ManifestError> {
        self.get(key, "a whole number that is not negative", Value::as_u64)
    }

    fn size(&self, key: &str) -> Result<u16, ManifestError> {
        self.get(key, "a whole number below 65536", |value| {
            u16::try_from(value.as_u64()?).ok()
        })
    }

    fn flag(&self, key: &str) -> Result<bool, ManifestError> {
        self.get(key, "true or false", Value::as_bool)
    }

    fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&'static str, T)],
        expected: &'static str,
    ) -> Result<T, ManifestError> {
        self.get(key, expected, |value| {
            let word = value.as_str()?;
            let found = words.iter().find(|(known, _)| *known == word);
            found.map(|(_, value)| *value)
        })
    }

    fn list(
        &self,
        key: &str,
        max: usize,
        expected: &'static str,
    ) -> Result<&'a [Value], ManifestError> {
        self.get(key, expected, |value| {
            let list = value.as_array().map(Vec::as_slice);
            list.filter(|list| list.len() <= max)
        })
    }

    fn inner(&self, key: &str) -> Result<Fields<'a>, ManifestError> {
        let value = self.get(key, "an object", Some)?;
        Fields::of(value, &self.place(key))
    }

    /// `None` where there is nothing, or `null`.
    fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Self, &str) -> Result<T, ManifestError>,
    ) -> Result<Option<T>, ManifestError> {
        match self.members.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => read(self, key).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Manifest {
        let file = ManifestFile {
            name: "stream-1-ann.mp4".to_owned(),
            login: "ann \"é\"".to_owned(),
            stream: "r-ann-cam".to_owned(),
            media_session_id: "1".to_owned(),
            began_unix_us: 1_700_000_000_000_001,
            duration_us: 90_000_000,
            size_bytes: 5 << 30,
            content_from_us: 45_000_000,
            content_until_us: 80_000_000,
            video: Some(ManifestVideo {
                codec: VideoFormat::H264,
                width: 640,
                height: 65_535,
                is_filler_only: false,
            }),
            audio: Some(ManifestAudio {
                codec: AudioFormat::Opus,
                is_filler_only: true,
            }),
            gaps: vec![Gap {
                track: GapTrack::Audio,
                from_us: 1,
                until_us: u64::MAX,
            }],
            state: FileState::Failed,
            why: Some("the disk is full".to_owned()),
        };
        let bare = ManifestFile {
            video: None,
            audio: None,
            gaps: Vec::new(),
            state: FileState::Recording,
            why: None,
            ..file.clone()
        };
        Manifest {
            room: "stand up\n".to_owned(),
            origin_unix_us: Some(1_700_000_000_000_001),
            files: vec![file, bare],
        }
    }

    #[test]
    fn what_is_rendered_reads_back() {
        let mut manifest = full();
        assert_eq!(parse(&render(&manifest)).unwrap(), manifest);
        for (at, state) in STATES.iter().enumerate() {
            manifest.files[0].state = state.1;
            manifest.files[0].audio.as_mut().unwrap().codec = AUDIO_FORMATS[at + 1].1;
            manifest.files[0].video.as_mut().unwrap().codec = VIDEO_FORMATS[at % 2].1;
            manifest.files[0].gaps[0].track = TRACKS[at % 2].1;
            assert_eq!(parse(&render(&manifest)).unwrap(), manifest);
        }
        manifest.origin_unix_us = None;
        manifest.files.clear();
        assert_eq!(parse(&render(&manifest)).unwrap(), manifest);
        let text = render(&full());
        assert!(text.ends_with("}\n") && text.contains("\n        \"codec\""));
    }

    #[test]
    fn what_a_later_version_adds_is_left_alone() {
        let text = render(&full()).replace("\"room\"", "\"version\": 2, \"room\"");
        assert_eq!(parse(&text).unwrap(), full());
        let without = render(&full()).replace("\"why\": null", "\"more\": [1]");
        assert_eq!(parse(&without).unwrap(), full());
    }

    #[test]
    fn errors_say_what_and_where() {
        let text = render(&full());
        let refusal = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            parse(&changed).unwrap_err().to_string()
        };
        for (from, to, expected) in [
            ("\"room\"", "\"roam\"", "room: expected text"),
            (
                "\"avc1\"",
                "\"hev1\"",
                "files[0].video.codec: expected avc1 or vp08",
            ),
            (
                "65535",
                "65536",
                "files[0].video.height: expected a whole number below 65536",
            ),
            (
                "90000000",
                "-1",
                "files[0].duration_us: expected a whole number that is not negative",
            ),
            (
                "stream-1-ann.mp4",
                "../ann.mp4",
                "files[0].name: expected the name of a file in the folder of recordings",
            ),
            (
                "\"track\": \"audio\"",
                "\"track\": 1",
                "files[0].gaps[0].track: expected video or audio",
            ),
            (
                "\"is_filler_only\": true",
                "\"is_filler_only\": 1",
                "files[0].audio.is_filler_only: expected true or false",
            ),
            ("\"the disk is full\"", "[]", "files[0].why: expected text"),
        ] {
            assert_eq!(refusal(from, to), expected);
        }
        assert_eq!(parse("[]").unwrap_err().to_string(), "expected an object");
        let broken = parse("{\n\"room\"").unwrap_err().to_string();
        assert!(broken.starts_with("not JSON: ") && broken.contains("line 2"));
    }

    #[test]
    fn caps_hold() {
        let mut manifest = full();
        manifest.files = vec![manifest.files[1].clone(); MANIFEST_FILES_MAX + 1];
        let refused = parse(&render(&manifest)).unwrap_err().to_string();
        assert!(refused.starts_with("files: expected a list of at most"));
        manifest.files.truncate(1);
        let gap = full().files[0].gaps[0];
        manifest.files[0].gaps = vec![gap; MANIFEST_GAPS_MAX + 1];
        let refused = parse(&render(&manifest)).unwrap_err().to_string();
        assert!(refused.starts_with("files[0].gaps: expected a list"));
        let large = " ".repeat(MANIFEST_MAX_BYTES + 1);
        assert!(matches!(parse(&large), Err(ManifestError::TooLarge { .. })));
    }

    #[test]
    fn the_largest_manifest_can_be_read() {
        let mut manifest = full();
        let file = &mut manifest.files[0];
        file.name = "a".repeat(255);
        (file.login, file.stream) = ("😀".repeat(255), "\"".repeat(255));
        file.gaps = vec![file.gaps[0]; MANIFEST_GAPS_MAX];
        manifest.files = vec![manifest.files[0].clone(); MANIFEST_FILES_MAX];
        let text = render(&manifest);
        assert!(text.len() <= MANIFEST_MAX_BYTES, "{}", text.len());
    }

    #[test]
    fn a_manifest_is_called_after_its_room() {
        assert_eq!(file_name("stand/up", 17), "room-stand_up-17.json");
        assert!(is_safe_name(&file_name("..", 0)));
        assert!(is_safe_name(&file_name(&"😀".repeat(255), u64::MAX)));
    }
}
