//! What recording costs: a stream through the server's core recorded and not,
//! the pieces it is made of, `ffmpeg` doing the same, and a room in which
//! everybody is recorded, over real sockets and in real time. Every file that
//! comes of it is read strictly and compared with what was sent.
//!
//! `cargo bench --bench record`. Fails when a picture or a sound is missing from
//! a file; what was slow is only said.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use recording::{copier, pieces, room, stream};
use shared::meter::Meter;
use shared::sink::Clerk;
use shared::verdict::Verdict;

mod recording {
    pub mod copier;
    pub mod pieces;
    pub mod room;
    pub mod stream;
}

#[allow(dead_code, reason = "each bench uses its part")]
mod shared {
    pub mod connect;
    pub mod crowd;
    pub mod encoders;
    pub mod film;
    pub mod guest;
    pub mod meter;
    pub mod metrics;
    pub mod options;
    pub mod processes;
    pub mod recorded;
    pub mod samples;
    pub mod server;
    pub mod sink;
    pub mod studio;
    pub mod verdict;
}

const USAGE: &str = "options, behind `--`:
  --rounds N   rounds of each alternative [default: 6]
  --only PART  stream, pieces, ffmpeg or room alone
  --folder F   where the files are written [default: the system's temporary folder]";

pub struct Options {
    rounds: usize,
    only: Option<String>,
    folder: PathBuf,
    /// Run by `cargo test`: briefly, and without what is not installed.
    is_test: bool,
}

impl Options {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut options = Options {
            rounds: 6,
            only: None,
            folder: std::env::temp_dir(),
            is_test: true,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => options.is_test = false,
                "--rounds" => options.rounds = value()?.parse()?,
                "--only" => options.only = Some(value()?),
                "--folder" => options.folder = value()?.into(),
                other => return Err(format!("unknown argument {other}\n{USAGE}").into()),
            }
        }
        if options.is_test {
            options.rounds = 1;
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

/// A folder of this run's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(within: PathBuf) -> std::io::Result<Self> {
        let path = within.join(format!("ringhall-record-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("record: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::read()?;
    let folder = Folder::new(options.folder.clone())?;
    let mut verdict = Verdict::default();
    println!("record: load {}", load()?);
    if options.wants("room") {
        // Before this thread is pinned: the server has the whole machine.
        room::run(&options, &folder.0, &mut verdict)?;
    }
    // Only its reactor is used: the sockets want to be watched somewhere.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _inside = runtime.enter();
    let (clerk, desk) = Clerk::open(&folder.0.join("files"))?;
    let meter = Meter::pin()?;
    println!("\n{}", meter.describe());
    if options.wants("stream") {
        stream::run(&options, &clerk, &meter, &mut verdict)?;
    }
    if options.wants("pieces") {
        pieces::run(&options, &clerk, &meter, &mut verdict)?;
    }
    if options.wants("ffmpeg") {
        copier::run(&options, &clerk, &meter, &mut verdict)?;
    }
    drop(clerk);
    desk.join()
        .map_err(|_| "the thread of the files panicked")?;
    println!("\nload {}", load()?);
    Ok(verdict.print())
}

fn load() -> std::io::Result<String> {
    Ok(fs::read_to_string("/proc/loadavg")?.trim().to_string())
}
