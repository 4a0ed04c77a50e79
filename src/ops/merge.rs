//! One film of a room's recordings: which arguments ffmpeg is given for any
//! number of files, and what it says while it works. Pure text: finding files
//! and running ffmpeg are the driver's.

use std::fmt;

use serde_json::Value;

use crate::base::limits::{MERGE_FILES_MAX, MERGE_HEIGHT_MAX, MERGE_WIDTH_MAX};

/// Pictures a second of a merged film. Browsers send as many as their network
/// takes, up to this.
const FRAME_RATE: u32 = 30;

/// One file of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub path: String,
    /// From the film's begin to the file's.
    pub offset_us: u64,
    pub streams: Streams,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Zero: not known.
    pub duration_us: u64,
    /// Width and height of the picture; both above zero.
    pub video: Option<(u32, u32)>,
    pub has_audio: bool,
}

/// Why there can be no film of these files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeError {
    NoFiles,
    TooManyFiles {
        count: usize,
    },
    /// The file has neither picture nor sound.
    NoStreams {
        path: String,
    },
    /// How long the file is cannot be told.
    UnknownDuration {
        path: String,
    },
    /// What ffprobe said of the file is not understood.
    NotProbed {
        path: String,
    },
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeError::NoFiles => write!(f, "there is no file to merge"),
            MergeError::TooManyFiles { count } => {
                write!(f, "{count} files; at most {MERGE_FILES_MAX} can be merged")
            }
            MergeError::NoStreams { path } => write!(f, "{path} has neither picture nor sound"),
            MergeError::UnknownDuration { path } => write!(
                f,
                "{path} does not tell how long it is; if nobody records it any more, \
                 `ringhall repair {path}` finishes it"
            ),
            MergeError::NotProbed { path } => {
                write!(f, "what ffprobe says of {path} is not understood")
            }
        }
    }
}

impl std::error::Error for MergeError {}

/// A film to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What ffmpeg is given, without its own name.
    pub arguments: Vec<String>,
    /// Of the film: that of the file that ends last.
    pub duration_us: u64,
}

/// Plans a film with everybody in a cell of a grid and all voices together.
///
/// Pictures are laid over a black one, each from where its file begins until it
/// ends, so that files need be neither aligned nor of one length. Sounds go
/// through `amix` without its normalising: `amerge` would end with the shortest
/// and take the first one's rate, and normalising would make everybody quieter
/// whenever somebody is silent; a limiter takes what is too loud together.
pub fn plan(sources: &[Source], output: &str) -> Result<Plan, MergeError> {
    check(sources)?;
    let ends = sources
        .iter()
        .map(|source| source.offset_us.saturating_add(source.streams.duration_us));
    let duration_us = ends.max().unwrap_or(0);
    let mut arguments = words("-hide_banner -nostdin -y -loglevel error -nostats -progress pipe:1");
    for source in sources {
        // Browsers change the size of their pictures; the graph is not to begin
        // anew with each, as its scaling takes any.
        arguments.extend(words("-reinit_filter 0"));
        if source.offset_us > 0 {
            arguments.extend(["-itsoffset".to_owned(), seconds(source.offset_us)]);
        }
        arguments.extend(["-i".to_owned(), file_word(&source.path)]);
    }
    let (picture, sound) = (
        picture_filters(sources, duration_us),
        sound_filters(sources),
    );
    let graph: Vec<String> = picture.iter().chain(&sound).cloned().collect();
    arguments.extend(["-filter_complex".to_owned(), graph.join(";")]);
    if !picture.is_empty() {
        arguments.extend(words(
            "-map [picture] -c:v libx264 -preset veryfast -crf 23 -pix_fmt yuv420p",
        ));
    }
    if !sound.is_empty() {
        arguments.extend(words("-map [sound] -c:a aac"));
    }
    arguments.extend(["-t".to_owned(), seconds(duration_us)]);
    arguments.extend(words("-movflags +faststart -f mp4"));
    arguments.push(file_word(output));
    Ok(Plan {
        arguments,
        duration_us,
    })
}

fn check(sources: &[Source]) -> Result<(), MergeError> {
    match sources.len() {
        0 => return Err(MergeError::NoFiles),
        1..=MERGE_FILES_MAX => {}
        count => return Err(MergeError::TooManyFiles { count }),
    }
    for source in sources {
        let path = source.path.clone();
        if source.streams.video.is_none() && !source.streams.has_audio {
            return Err(MergeError::NoStreams { path });
        }
        if source.streams.duration_us == 0 {
            return Err(MergeError::UnknownDuration { path });
        }
    }
    Ok(())
}

/// The equal cells of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    columns: u32,
    rows: u32,
    /// Of a cell, in pixels; even, as the colours of H.264 are.
    width: u32,
    height: u32,
}

impl Grid {
    /// As many columns as rows, or one more; cells as large as the largest
    /// picture, or as the film has room for. `None` without a picture.
    fn of(sources: &[Source]) -> Option<Grid> {
        let sizes = sources.iter().filter_map(|source| source.streams.video);
        let (width, height) =
            sizes.reduce(|(w, h), (width, height)| (w.max(width), h.max(height)))?;
        // Bounded by the number of files.
        let count = sources.len() as u32;
        let columns = (1..=count).find(|columns| columns * columns >= count)?;
        let rows = count.div_ceil(columns);
        let (most_wide, most_high) = (MERGE_WIDTH_MAX / columns, MERGE_HEIGHT_MAX / rows);
        // Smaller in proportion, by whichever side needs it more.
        let (wide, high) = (u64::from(width), u64::from(height));
        let by_width = high * u64::from(most_wide) / wide.max(1);
        let by_height = wide * u64::from(most_high) / high.max(1);
        let (width, height) = if width <= most_wide && height <= most_high {
            (width, height)
        } else if by_width <= u64::from(most_high) {
            (most_wide, by_width as u32)
        } else {
            (by_height as u32, most_high)
        };
        Some(Grid {
            columns,
            rows,
            width: (width & !1).max(2),
            height: (height & !1).max(2),
        })
    }
}

fn picture_filters(sources: &[Source], duration_us: u64) -> Vec<String> {
    let Some(grid) = Grid::of(sources) else {
        return Vec::new();
    };
    let (width, height) = (grid.width, grid.height);
    let mut filters = vec![format!(
        "color=black:s={}x{}:r={FRAME_RATE}:d={}[canvas0]",
        width * grid.columns,
        height * grid.rows,
        seconds(duration_us)
    )];
    let pictures: Vec<usize> = (0..sources.len())
        .filter(|at| sources.get(*at).is_some_and(|s| s.streams.video.is_some()))
        .collect();
    for (laid, at) in pictures.iter().enumerate() {
        filters.push(format!(
            "[{at}:v:0]fps={FRAME_RATE},\
             scale={width}:{height}:force_original_aspect_ratio=decrease,\
             pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,setsar=1[cell{at}]"
        ));
        let (column, row) = (*at as u32 % grid.columns, *at as u32 / grid.columns);
        let next = match laid + 1 == pictures.len() {
            true => "picture".to_owned(),
            false => format!("canvas{}", laid + 1),
        };
        filters.push(format!(
            "[canvas{laid}][cell{at}]overlay={}:{}:eof_action=pass[{next}]",
            column * width,
            row * height
        ));
    }
    filters
}

fn sound_filters(sources: &[Source]) -> Vec<String> {
    let mut filters = Vec::new();
    let mut mixed = String::new();
    for (at, source) in sources.iter().enumerate() {
        if source.streams.has_audio {
            // Silence up to where the file begins, and in its gaps.
            filters.push(format!(
                "[{at}:a:0]aresample=48000:async=1:first_pts=0,aformat=channel_layouts=stereo[voice{at}]"
            ));
            mixed.push_str(&format!("[voice{at}]"));
        }
    }
    if !filters.is_empty() {
        filters.push(format!(
            "{mixed}amix=inputs={}:duration=longest:dropout_transition=0:normalize=0,\
             alimiter=limit=0.95:level=disabled[sound]",
            filters.len()
        ));
    }
    filters
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Seconds to the microsecond, as ffmpeg reads them.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// A path that ffmpeg takes for nothing else: neither a protocol nor an option.
fn file_word(path: &str) -> String {
    match path.contains(':') || path.starts_with('-') {
        true => format!("file:{path}"),
        false => path.to_owned(),
    }
}

/// What ffprobe is asked of `path`, for [`probed`] to read.
pub fn probe_arguments(path: &str) -> Vec<String> {
    let mut arguments = words("-v error -of json -show_entries");
    arguments.push("stream=codec_type,width,height,duration:format=duration".to_owned());
    arguments.push(file_word(path));
    arguments
}

/// What ffprobe answered about `path`.
pub fn probed(path: &str, json: &str) -> Result<Streams, MergeError> {
    let value: Option<Value> = serde_json::from_str(json).ok();
    let listed = value.as_ref().and_then(|value| value["streams"].as_array());
    let (Some(value), Some(listed)) = (&value, listed) else {
        let path = path.to_owned();
        return Err(MergeError::NotProbed { path });
    };
    let mut streams = Streams {
        duration_us: duration_us(&value["format"]).unwrap_or(0),
        ..Streams::default()
    };
    for stream in listed {
        let longest = duration_us(stream).unwrap_or(0);
        streams.duration_us = streams.duration_us.max(longest);
        let size = |name: &str| u32::try_from(stream[name].as_u64()?).ok();
        match (stream["codec_type"].as_str(), size("width"), size("height")) {
            (Some("audio"), ..) => streams.has_audio = true,
            (Some("video"), Some(width), Some(height)) if width > 0 && height > 0 => {
                streams.video = streams.video.or(Some((width, height)));
            }
            _ => {}
        }
    }
    Ok(streams)
}

fn duration_us(value: &Value) -> Option<u64> {
    let seconds: f64 = value["duration"].as_str()?.parse().ok()?;
    // Casts saturate; what is no time is none.
    Some((seconds.max(0.0) * 1_000_000.0) as u64)
}

/// How far the film is, of a line of `-progress`; `None` of any other line.
pub fn progress_us(line: &str) -> Option<u64> {
    line.trim().strip_prefix("out_time_us=")?.parse().ok()
}

/// A command line that a shell reads back as `words`.
pub fn shell_quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    let quoted =
        words.into_iter().map(
            |word| match !word.is_empty() && word.chars().all(is_plain) {
                true => word.to_owned(),
                false => format!("'{}'", word.replace('\'', "'\\''")),
            },
        );
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, video: Option<(u32, u32)>, has_audio: bool) -> Source {
        Source {
            path: path.to_owned(),
            offset_us: 0,
            streams: Streams {
                duration_us: 10_000_000,
                video,
                has_audio,
            },
        }
    }

    fn cameras(count: usize) -> Vec<Source> {
        vec![source("a.mp4", Some((640, 480)), true); count]
    }

    fn grid(count: usize) -> (u32, u32, u32, u32) {
        let grid = Grid::of(&cameras(count)).unwrap();
        (grid.columns, grid.rows, grid.width, grid.height)
    }

    /// What follows `word`.
    fn after<'a>(plan: &'a Plan, word: &str) -> &'a str {
        let at = plan.arguments.iter().position(|argument| argument == word);
        &plan.arguments[at.unwrap() + 1]
    }

    #[test]
    fn everybody_has_an_equal_cell() {
        assert_eq!(grid(1), (1, 1, 640, 480));
        assert_eq!(grid(2), (2, 1, 640, 480));
        assert_eq!(grid(3), (2, 2, 640, 480));
        assert_eq!(grid(4), (2, 2, 640, 480));
        assert_eq!(grid(5), (3, 2, 640, 480));
        // 1,080 pixels have no room for three rows of 480.
        assert_eq!(grid(9), (3, 3, 480, 360));
        assert_eq!(grid(10), (4, 3, 480, 360));
        for count in 1..=MERGE_FILES_MAX {
            let (columns, rows, width, height) = grid(count);
            assert!((columns * rows) as usize >= count && columns * width <= 1_920);
            assert!(rows * height <= 1_080 && width % 2 == 0 && height % 2 == 0);
        }
        let phones = Grid::of(&[source("a", Some((720, 1_281)), true)]).unwrap();
        assert_eq!((phones.width, phones.height), (606, 1_080));
        let thin = Grid::of(&[source("a", Some((65_535, 1)), true)]).unwrap();
        assert_eq!((thin.width, thin.height), (1_920, 2));
    }

    #[test]
    fn two_aligned_files_make_the_usual_command() {
        let plan = plan(&cameras(2), "out.mp4").unwrap();
        assert_eq!(plan.duration_us, 10_000_000);
        assert_eq!(
            after(&plan, "-filter_complex"),
            "color=black:s=1280x480:r=30:d=10.000000[canvas0];\
             [0:v:0]fps=30,scale=640:480:force_original_aspect_ratio=decrease,\
             pad=640:480:(ow-iw)/2:(oh-ih)/2,setsar=1[cell0];\
             [canvas0][cell0]overlay=0:0:eof_action=pass[canvas1];\
             [1:v:0]fps=30,scale=640:480:force_original_aspect_ratio=decrease,\
             pad=640:480:(ow-iw)/2:(oh-ih)/2,setsar=1[cell1];\
             [canvas1][cell1]overlay=640:0:eof_action=pass[picture];\
             [0:a:0]aresample=48000:async=1:first_pts=0,aformat=channel_layouts=stereo[voice0];\
             [1:a:0]aresample=48000:async=1:first_pts=0,aformat=channel_layouts=stereo[voice1];\
             [voice0][voice1]amix=inputs=2:duration=longest:dropout_transition=0:normalize=0,\
             alimiter=limit=0.95:level=disabled[sound]"
        );
        let line = plan.arguments.join(" ");
        assert!(line.contains("-c:v libx264 -preset veryfast -crf 23"));
        assert!(line.contains("-c:a aac") && line.ends_with("-f mp4 out.mp4"));
        assert!(!line.contains("-itsoffset"));
    }

    #[test]
    fn files_that_are_not_aligned_are_moved_to_their_place() {
        let mut sources = cameras(3);
        sources[1].offset_us = 45_000_001;
        sources[2].streams.duration_us = 20_000_000;
        let plan = plan(&sources, "out.mp4").unwrap();
        assert_eq!(plan.duration_us, 55_000_001);
        assert_eq!(after(&plan, "-itsoffset"), "45.000001");
        assert_eq!(after(&plan, "-t"), "55.000001");
        let line = plan.arguments.join(" ");
        assert!(line.contains("-i a.mp4 -reinit_filter 0 -itsoffset 45.000001 -i a.mp4"));
    }

    #[test]
    fn who_has_no_picture_or_no_sound_leaves_its_place_empty() {
        let sources = [
            source("heard.mp4", None, true),
            source("seen.mp4", Some((320, 240)), false),
        ];
        let made = plan(&sources, "out.mp4").unwrap();
        let graph = after(&made, "-filter_complex");
        assert!(graph.contains("[canvas0][cell1]overlay=320:0:eof_action=pass[picture]"));
        assert!(!graph.contains("[0:v:0]") && !graph.contains("[1:a:0]"));
        assert!(graph.contains("[voice0]amix=inputs=1"));
        let heard = plan(&sources[..1], "out.mp4").unwrap();
        assert!(!heard.arguments.contains(&"[picture]".to_owned()));
        let seen = plan(&sources[1..], "out.mp4").unwrap();
        assert!(!seen.arguments.contains(&"[sound]".to_owned()));
    }

    #[test]
    fn what_cannot_be_merged_is_refused() {
        let refused = |sources: &[Source]| plan(sources, "o.mp4").unwrap_err().to_string();
        assert_eq!(refused(&[]), "there is no file to merge");
        assert_eq!(
            refused(&cameras(257)),
            "257 files; at most 256 can be merged"
        );
        let silent = source("x.mp4", None, false);
        assert_eq!(refused(&[silent]), "x.mp4 has neither picture nor sound");
        let mut endless = source("x.mp4", None, true);
        endless.streams.duration_us = 0;
        assert!(refused(&[endless]).contains("`ringhall repair x.mp4`"));
    }

    #[test]
    fn ffprobe_is_understood() {
        let json = r#"{"programs": [], "streams": [
            {"codec_type": "video", "width": 640, "height": 360, "duration": "40.100000"},
            {"codec_type": "audio", "duration": "39.9"}, {"codec_type": "data"}],
            "format": {"duration": "40.000000"}}"#;
        let streams = Streams {
            duration_us: 40_100_000,
            video: Some((640, 360)),
            has_audio: true,
        };
        assert_eq!(probed("a", json).unwrap(), streams);
        let bare = probed(
            "a",
            r#"{"streams": [{"codec_type": "video"}], "format": {}}"#,
        );
        assert_eq!(bare.unwrap(), Streams::default());
        for json in ["", "{}", "[]", r#"{"streams": 1}"#] {
            assert!(probed("a", json).is_err(), "{json}");
        }
        let odd = r#"{"streams": [], "format": {"duration": "-1e400"}}"#;
        assert_eq!(probed("a", odd).unwrap().duration_us, 0);
    }

    #[test]
    fn progress_is_read_from_its_line() {
        assert_eq!(progress_us("out_time_us=1500000\n"), Some(1_500_000));
        for line in ["out_time_us=N/A", "out_time_ms=1", "progress=end", ""] {
            assert_eq!(progress_us(line), None);
        }
    }

    #[test]
    fn a_shell_reads_the_command_back() {
        let words = ["ffmpeg", "-i", "Анна's.mp4", "", "[a]x(1)", "-t", "1.5"];
        assert_eq!(
            shell_quoted(words),
            r"ffmpeg -i 'Анна'\''s.mp4' '' '[a]x(1)' -t 1.5"
        );
        assert_eq!(file_word("-a.mp4"), "file:-a.mp4");
        assert_eq!(file_word("c:a.mp4"), "file:c:a.mp4");
        assert_eq!(file_word("a/b.mp4"), "a/b.mp4");
    }
}
