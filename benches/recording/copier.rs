//! The same work done by `ffmpeg -c copy`: frames that are there already, into
//! a fragmented MP4 file with a fragment a second. It reads them from a file,
//! which is measured by itself and taken off.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Options;
use crate::recording::pieces;
use crate::shared::meter::Meter;
use crate::shared::processes::Process;
use crate::shared::samples::Samples;
use crate::shared::sink::Clerk;
use crate::shared::verdict::Verdict;

/// As recorders with ffmpeg write files that outlive a crash.
const INTO_FILE: &str = "-c copy -movflags frag_keyframe+empty_moov -frag_duration 1000000 -y \
    copied.mp4";
const INTO_NOTHING: &str = "-c copy -f null -";

pub fn run(
    options: &Options,
    clerk: &Clerk,
    meter: &Meter,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("\nffmpeg: not run, it is not installed");
        return Ok(());
    }
    let minutes = if options.is_test { 1 } else { 20 };
    let path = clerk.folder.join("film.mp4");
    let mut own_ms = Samples::default();
    let (mut all_ms, mut muxing_ms) = (Samples::default(), Samples::default());
    for round in 0..options.rounds {
        let name = format!("film-{round}.mp4");
        let (counts, own) = pieces::file(&name, minutes, clerk, meter)?;
        own_ms.add(own);
        fs::rename(clerk.folder.join(name), &path)?;
        // Starting, and looking at what the input is, is paid once.
        let start = ffmpeg(&path, &format!("-t 1 {INTO_FILE}"))?;
        let reading_start = ffmpeg(&path, &format!("-t 1 {INTO_NOTHING}"))?;
        let all = ffmpeg(&path, INTO_FILE)? - start;
        let reading = ffmpeg(&path, INTO_NOTHING)? - reading_start;
        all_ms.add(all / minutes as f64);
        muxing_ms.add((all - reading) / minutes as f64);
        let copied = counted(&path.with_file_name("copied.mp4"))?;
        verdict.check(copied == counts, || {
            format!("ffmpeg copied {copied:?} pictures and sounds of {counts:?}")
        });
    }
    println!("\nms of CPU for each minute of frames made a file: median [min - p90]\n");
    println!("| what | ms | ringhall / it |\n|---|---|---:|");
    println!("| ringhall: frames in memory, recorder, file | {own_ms:.1} | |");
    for (what, ms) in [
        ("ffmpeg -c copy, reading its input taken off", muxing_ms),
        ("ffmpeg -c copy, reading included", all_ms),
    ] {
        let ratio = own_ms.over(&ms).median();
        println!("| {what} | {ms:.1} | {ratio:.2} |");
    }
    Ok(())
}

/// CPU milliseconds of one run.
fn ffmpeg(input: &Path, arguments: &str) -> Result<f64, Box<dyn Error>> {
    let folder = input.parent().ok_or("a file is in a folder")?;
    let input = input.to_string_lossy();
    // What the pictures show is made up: nobody could decode them.
    let before = [
        "-loglevel",
        "quiet",
        "-nostdin",
        "-threads",
        "1",
        "-i",
        &*input,
    ];
    let arguments: Vec<&str> = before
        .into_iter()
        .chain(arguments.split_whitespace())
        .collect();
    let ns = Process::start("ffmpeg", &arguments, folder)?.finish_ns()?;
    Ok(ns as f64 * 1e-6)
}

/// Samples of a file's tracks, by ffprobe.
fn counted(path: &Path) -> Result<[u32; 2], Box<dyn Error>> {
    let mut counts = [0; 2];
    for (count, stream) in counts.iter_mut().zip(["v:0", "a:0"]) {
        let asked =
            "-loglevel quiet -count_packets -show_entries stream=nb_read_packets -of csv=p=0";
        let output = Command::new("ffprobe")
            .args(asked.split_whitespace())
            .args(["-select_streams", stream])
            .arg(path)
            .output()?;
        *count = String::from_utf8(output.stdout)?.trim().parse()?;
    }
    Ok(counts)
}
