//! `ringhall merge`: finds the files of a room, asks ffprobe what they hold,
//! and has ffmpeg make one film of them.

use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::records::find;
use crate::base::limits::MERGE_COMPLAINTS_MAX;
use crate::ops::manifest::{Manifest, ManifestFile};
use crate::ops::merge::{
    self, MergeError, Plan, Source, Streams, plan, probe_arguments, probed, shell_quoted,
};
use crate::ops::record_name::{PART_SUFFIX, is_safe_name};

/// Rooms named to whoever asks for one that was not recorded.
const ROOMS_NAMED_MAX: usize = 12;
/// Of the bar, in characters.
const BAR_CHARS: u64 = 30;

/// What the operator asks for.
pub struct MergeOrder<'a> {
    /// One room, or files.
    pub what: &'a [String],
    pub output: &'a Path,
    pub records_dir: &'a Path,
    /// Only says what would be done.
    pub is_dry: bool,
    /// An existing output is replaced.
    pub overwrites: bool,
    /// The program, by name or path; ffprobe is looked for beside it.
    pub ffmpeg: &'a str,
}

/// Why no film was made.
#[derive(Debug)]
pub enum MergeFailure {
    Plan(MergeError),
    /// Neither a file nor, in the folder, a room or a file of this name.
    NothingSo {
        what: String,
        folder: PathBuf,
        rooms: Vec<String>,
    },
    /// The room's manifest names files that are all gone.
    Gone {
        room: String,
    },
    Exists(PathBuf),
    /// The film would be written over one of its own files.
    IsInput(PathBuf),
    /// A program is not installed.
    NoProgram(String),
    Host(String, io::Error),
    /// ffmpeg or ffprobe ended with these words.
    Ended {
        program: String,
        words: String,
    },
}

impl fmt::Display for MergeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeFailure::Plan(error) => error.fmt(f),
            MergeFailure::NothingSo {
                what,
                folder,
                rooms,
            } => {
                let folder = folder.display();
                write!(f, "{what:?} is no file, and no room recorded in {folder}")?;
                match rooms.is_empty() {
                    true => write!(
                        f,
                        ", where no manifest is; --records-dir names another folder"
                    ),
                    false => write!(f, "; there are {}", rooms.join(", ")),
                }
            }
            MergeFailure::Gone { room } => {
                write!(f, "the files of the last recording of {room:?} are gone")
            }
            MergeFailure::Exists(path) => write!(
                f,
                "{} is there already; --overwrite replaces it",
                path.display()
            ),
            MergeFailure::IsInput(path) => {
                write!(f, "{} is one of the files to merge", path.display())
            }
            MergeFailure::NoProgram(program) => write!(
                f,
                "{program} is not installed; install ffmpeg (apt install ffmpeg, dnf install ffmpeg, \
                 apk add ffmpeg), or name it with --ffmpeg PATH"
            ),
            MergeFailure::Host(what, error) => write!(f, "{what}: {error}"),
            MergeFailure::Ended { program, words } => match words.as_str() {
                "" => write!(f, "{program} failed without a word"),
                words => write!(f, "{program} failed:\n{words}"),
            },
        }
    }
}

impl std::error::Error for MergeFailure {}

impl From<MergeError> for MergeFailure {
    fn from(error: MergeError) -> Self {
        MergeFailure::Plan(error)
    }
}

/// A file, with what a manifest beside it tells.
struct Chosen {
    path: PathBuf,
    told: Option<ManifestFile>,
}

/// Makes the film, or says how. Returns what to tell the operator.
pub fn merge(order: &MergeOrder<'_>) -> Result<String, MergeFailure> {
    let chosen = choose(order.what, order.records_dir)?;
    let offsets = offsets_us(&chosen);
    let mut sources = Vec::with_capacity(chosen.len());
    for (file, offset_us) in chosen.iter().zip(offsets) {
        sources.push(Source {
            path: file.path.display().to_string(),
            offset_us,
            streams: streams(order.ffmpeg, file)?,
        });
    }
    let plan = plan(&sources, &order.output.display().to_string())?;
    if order.is_dry {
        let command =
            std::iter::once(order.ffmpeg).chain(plan.arguments.iter().map(String::as_str));
        return Ok(shell_quoted(command));
    }
    check_output(order, &chosen)?;
    run(order, &plan)?;
    let (path, seconds) = (order.output.display(), plan.duration_us / 1_000_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let count = sources.len();
    Ok(format!("{path}: {minutes}:{seconds:02} of {count} files"))
}

/// The files of the room so called, or the files named.
fn choose(what: &[String], folder: &Path) -> Result<Vec<Chosen>, MergeFailure> {
    if let [room] = what
        && !Path::new(room).is_file()
        && let Some(manifest) = newest_of(room, folder)
    {
        let files = manifest.files.into_iter().filter_map(|file| {
            let path = in_folder(folder, &file.name)?;
            let told = Some(file);
            Some(Chosen { path, told })
        });
        let files: Vec<Chosen> = files.collect();
        let room = room.clone();
        return match files.is_empty() {
            true => Err(MergeFailure::Gone { room }),
            false => Ok(files),
        };
    }
    what.iter().map(|word| named(word, folder)).collect()
}

/// One file: as named, or of the folder of recordings.
fn named(word: &str, folder: &Path) -> Result<Chosen, MergeFailure> {
    let path = PathBuf::from(word);
    let path = match path.is_file() {
        true => Some(path),
        false => in_folder(folder, word),
    };
    let Some(path) = path else {
        let manifests = find(folder).manifests;
        let mut rooms: Vec<String> = manifests.into_iter().map(|(_, m)| m.room).collect();
        rooms.sort();
        rooms.dedup();
        rooms.truncate(ROOMS_NAMED_MAX);
        return Err(MergeFailure::NothingSo {
            what: word.to_owned(),
            folder: folder.to_owned(),
            rooms,
        });
    };
    let told = path.parent().and_then(|parent| told_of(&path, parent));
    Ok(Chosen { path, told })
}

/// The file of that name, or what there is of one still written to.
fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    let is_safe = is_safe_name(name);
    let names = [name.to_owned(), format!("{name}{PART_SUFFIX}")];
    let mut paths = names.iter().map(|name| folder.join(name));
    paths.find(|path| is_safe && path.is_file())
}

fn newest_of(room: &str, folder: &Path) -> Option<Manifest> {
    let manifests = find(folder).manifests.into_iter();
    let of_room = manifests.map(|(_, manifest)| manifest);
    of_room
        .filter(|manifest| manifest.room == room)
        .max_by_key(|manifest| manifest.files.iter().map(|file| file.began_unix_us).min())
}

/// What a manifest in the file's own folder tells of it.
fn told_of(path: &Path, folder: &Path) -> Option<ManifestFile> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(PART_SUFFIX).unwrap_or(name);
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let manifests = find(folder).manifests.into_iter();
    let mut files = manifests.flat_map(|(_, manifest)| manifest.files);
    files.find(|file| file.name == name)
}

/// Where each file begins in the film. Files of which one is in no manifest
/// begin together: nothing tells otherwise.
fn offsets_us(chosen: &[Chosen]) -> Vec<u64> {
    let began = chosen
        .iter()
        .map(|file| Some(file.told.as_ref()?.began_unix_us))
        .collect::<Option<Vec<u64>>>();
    let began = began.unwrap_or_else(|| vec![0; chosen.len()]);
    let first = began.iter().copied().min().unwrap_or(0);
    began.into_iter().map(|began| began - first).collect()
}

/// What a file holds: as ffprobe finds it, or where there is none, as the
/// manifest says.
fn streams(ffmpeg: &str, file: &Chosen) -> Result<Streams, MergeFailure> {
    let (program, path) = (beside(ffmpeg), file.path.display().to_string());
    let asked = Command::new(&program).args(probe_arguments(&path)).output();
    let told = |file: &ManifestFile| Streams {
        duration_us: file.duration_us,
        video: file
            .video
            .map(|v| (u32::from(v.width), u32::from(v.height))),
        has_audio: file.audio.is_some(),
    };
    let output = match (asked, &file.told) {
        (Ok(output), _) => output,
        (Err(error), Some(file)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(told(file));
        }
        (Err(error), _) => return Err(not_started(&program, error)),
    };
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(MergeFailure::Ended { program, words });
    }
    let mut streams = probed(&path, &String::from_utf8_lossy(&output.stdout))?;
    if streams.duration_us == 0 {
        streams.duration_us = file.told.as_ref().map_or(0, |file| file.duration_us);
    }
    Ok(streams)
}

/// ffprobe, where ffmpeg is.
fn beside(ffmpeg: &str) -> String {
    let path = Path::new(ffmpeg);
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.filter(|name| name.contains("ffmpeg"));
    let name = name.map_or("ffprobe".to_owned(), |n| n.replace("ffmpeg", "ffprobe"));
    path.with_file_name(name).display().to_string()
}

fn not_started(program: &str, error: io::Error) -> MergeFailure {
    match error.kind() {
        io::ErrorKind::NotFound => MergeFailure::NoProgram(program.to_owned()),
        _ => MergeFailure::Host(program.to_owned(), error),
    }
}

fn check_output(order: &MergeOrder<'_>, chosen: &[Chosen]) -> Result<(), MergeFailure> {
    let Ok(output) = order.output.canonicalize() else {
        return Ok(());
    };
    let is_input = |file: &Chosen| file.path.canonicalize().is_ok_and(|path| path == output);
    if chosen.iter().any(is_input) {
        return Err(MergeFailure::IsInput(order.output.to_owned()));
    }
    match order.overwrites {
        true => Ok(()),
        false => Err(MergeFailure::Exists(order.output.to_owned())),
    }
}

/// Runs ffmpeg to its end, telling how far it is to who looks at a terminal.
fn run(order: &MergeOrder<'_>, plan: &Plan) -> Result<(), MergeFailure> {
    let mut child = Command::new(order.ffmpeg)
        .args(&plan.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(order.ffmpeg, error))?;
    let complaints = child.stderr.take().map(gather);
    show_progress(&mut child, plan.duration_us);
    let status = child
        .wait()
        .map_err(|error| MergeFailure::Host(order.ffmpeg.to_owned(), error))?;
    let words = complaints.and_then(|thread| thread.join().ok());
    if status.success() {
        return Ok(());
    }
    // What there is of it would be taken for a film.
    let _ = std::fs::remove_file(order.output);
    Err(MergeFailure::Ended {
        program: order.ffmpeg.to_owned(),
        words: words.unwrap_or_default(),
    })
}

/// The last lines of what a program complains of, on a thread of its own: a
/// full pipe would stop it.
fn gather(stderr: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut last: Vec<String> = Vec::new();
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            if last.len() == MERGE_COMPLAINTS_MAX {
                last.remove(0);
            }
            last.push(String::from_utf8_lossy(&line).into_owned());
        }
        last.join("\n")
    })
}

fn show_progress(child: &mut Child, duration_us: u64) {
    let is_seen = io::stderr().is_terminal();
    let lines = child.stdout.take().map(BufReader::new);
    for line in lines
        .into_iter()
        .flat_map(BufRead::lines)
        .map_while(Result::ok)
    {
        if let Some(done_us) = merge::progress_us(&line).filter(|_| is_seen) {
            eprint!("\r{}", bar(done_us, duration_us));
        }
    }
    if is_seen {
        eprint!("\r{}\r", " ".repeat(BAR_CHARS as usize + 10));
    }
}

/// Like `[#########---------------------]  30 %`.
fn bar(done_us: u64, duration_us: u64) -> String {
    let done_us = done_us.min(duration_us);
    let of = |whole: u64| done_us.saturating_mul(whole) / duration_us.max(1);
    let full = of(BAR_CHARS) as usize;
    let rest = BAR_CHARS as usize - full;
    format!(
        "[{}{}] {:>3} %",
        "#".repeat(full),
        "-".repeat(rest),
        of(100)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::test_folder::Folder;
    use crate::ops::manifest::{AudioFormat, FileState, ManifestAudio, file_name, render};

    fn told(name: &str, began_unix_us: u64) -> ManifestFile {
        ManifestFile {
            name: name.to_owned(),
            login: "ann".to_owned(),
            stream: "s".to_owned(),
            media_session_id: "1".to_owned(),
            began_unix_us,
            duration_us: 9_000_000,
            size_bytes: 1,
            content_from_us: 0,
            content_until_us: 9_000_000,
            video: None,
            audio: Some(ManifestAudio {
                codec: AudioFormat::Opus,
                is_filler_only: false,
            }),
            gaps: Vec::new(),
            state: FileState::Finished,
            why: None,
        }
    }

    /// A folder with two sessions of room `r`, and files of the second.
    fn recorded() -> Folder {
        let folder = Folder::new();
        for (number, names) in [(1, ["old.mp4", "gone.mp4"]), (2, ["a.mp4", "b.mp4"])] {
            let files = names.iter().zip([0, 3]);
            let began = |late: u64| number * 100_000_000 + late * 1_000_000;
            let manifest = Manifest {
                room: "r".to_owned(),
                origin_unix_us: None,
                files: files.map(|(name, late)| told(name, began(late))).collect(),
            };
            let path = folder.path().join(file_name("r", number));
            std::fs::write(path, render(&manifest)).unwrap();
        }
        for name in ["a.mp4", "b.mp4.part", "loose.mp4"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        folder
    }

    fn order<'a>(what: &'a [String], folder: &'a Path, output: &'a Path) -> MergeOrder<'a> {
        MergeOrder {
            what,
            output,
            records_dir: folder,
            is_dry: true,
            overwrites: false,
            ffmpeg: "no-such-folder/ffmpeg",
        }
    }

    fn merged(what: &[&str], folder: &Folder) -> Result<String, MergeFailure> {
        let what: Vec<String> = what.iter().map(|word| (*word).to_owned()).collect();
        merge(&order(&what, folder.path(), Path::new("out.mp4")))
    }

    #[test]
    fn a_room_means_its_newest_session_and_what_is_there_of_it() {
        let folder = recorded();
        let command = merged(&["r"], &folder).unwrap();
        assert!(command.starts_with("no-such-folder/ffmpeg -hide_banner"));
        let (a, b) = (
            folder.path().join("a.mp4"),
            folder.path().join("b.mp4.part"),
        );
        assert!(command.contains(&format!("-i {}", a.display())));
        assert!(command.contains(&format!("-itsoffset 3.000000 -i {}", b.display())));
        // The same, as files.
        assert_eq!(merged(&["a.mp4", "b.mp4"], &folder).unwrap(), command);
        let paths = [a.to_str().unwrap(), b.to_str().unwrap()];
        assert_eq!(merged(&paths, &folder).unwrap(), command);
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let folder = recorded();
        let refused = |what: &[&str]| merged(what, &folder).unwrap_err().to_string();
        let words = refused(&["nobody"]);
        assert!(words.starts_with("\"nobody\" is no file") && words.ends_with("there are r"));
        assert!(refused(&["a.mp4", "../a.mp4"]).contains("\"../a.mp4\""));
        // In no manifest, so that somebody would have to look into it.
        assert!(refused(&["loose.mp4"]).contains("install ffmpeg"));
        std::fs::remove_file(folder.path().join("a.mp4")).unwrap();
        std::fs::remove_file(folder.path().join("b.mp4.part")).unwrap();
        assert!(refused(&["r"]).ends_with("are gone"));
    }

    #[test]
    fn nothing_is_written_over_unasked() {
        let folder = recorded();
        let (what, output) = (["r".to_owned()], folder.path().join("a.mp4"));
        let mut order = order(&what, folder.path(), &output);
        (order.is_dry, order.overwrites) = (false, true);
        let failure = merge(&order).unwrap_err();
        assert!(matches!(failure, MergeFailure::IsInput(_)), "{failure}");
        let other = folder.path().join("loose.mp4");
        (order.output, order.overwrites) = (&other, false);
        assert!(matches!(merge(&order), Err(MergeFailure::Exists(_))));
        order.overwrites = true;
        let failure = merge(&order).unwrap_err();
        assert!(matches!(failure, MergeFailure::NoProgram(_)), "{failure}");
    }

    #[test]
    fn the_bar_fills() {
        assert_eq!(bar(0, 10), format!("[{}]   0 %", "-".repeat(30)));
        assert_eq!(
            bar(5, 10),
            format!("[{}{}]  50 %", "#".repeat(15), "-".repeat(15))
        );
        assert_eq!(bar(20, 10), format!("[{}] 100 %", "#".repeat(30)));
        assert_eq!(bar(0, 0), bar(0, 10));
        assert_eq!(beside("ffmpeg"), "ffprobe");
        assert_eq!(
            beside("/opt/ffmpeg-7/bin/ffmpeg7"),
            "/opt/ffmpeg-7/bin/ffprobe7"
        );
        assert_eq!(beside("/opt/film"), "/opt/ffprobe");
    }
}
