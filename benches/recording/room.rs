//! Everybody in a room recorded, over real sockets and in real time, by the
//! server as it is shipped: RTMP encoders publish, their files begin and end
//! together. Every file is compared with what its encoder sent.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ringhall::ops::manifest::{self, FileState, Manifest};

use crate::Options;
use crate::shared::encoders::{Encoders, Published, film_of};
use crate::shared::metrics::{Metrics, metrics};
use crate::shared::processes::Process;
use crate::shared::recorded::{Recorded, compare};
use crate::shared::verdict::Verdict;

const STREAMS: usize = 50;
/// From everybody's first frame to the window: files have begun.
const SETTLE: Duration = Duration::from_secs(3);
const WINDOW: Duration = Duration::from_secs(20);
/// For what must come: encoders, whole files.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A picture: files may end so far apart.
const FRAME_US: u64 = 33_334;

/// One server with its encoders.
struct Outcome {
    /// For each minute of a stream, and in percent of a core.
    ms_per_minute: f64,
    core_percent: f64,
    resident_mib: f64,
    written_mb: f64,
    /// Upper bounds of a turn's time, of 50, 99 in 100 and all.
    turns_us: [f64; 3],
    late: Duration,
    whole_s: f64,
    found: Vec<Recorded>,
}

pub fn run(options: &Options, folder: &Path, verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    let (streams, window) = match options.is_test {
        true => (5, Duration::from_secs(2)),
        false => (STREAMS, WINDOW),
    };
    println!(
        "\na room of {streams} RTMP encoders, {} s: 2.2 Mbit/s of H.264, 128 kbit/s of AAC each\n",
        window.as_secs()
    );
    println!(
        "| recorded | ms of CPU for a minute of a stream | of a core | MiB | MB written for a \
         minute | a turn: half, 99 %, all within | latest message of an encoder | until all is \
         whole |"
    );
    println!("|---|---:|---:|---:|---:|---|---:|---:|");
    let rounds = if options.is_test {
        1
    } else {
        options.rounds.div_ceil(2)
    };
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for is_recorded in [round % 2 == 1, round % 2 == 0] {
            let here = folder.join(format!("room-{round}-{is_recorded}"));
            fs::create_dir(&here)?;
            let outcome = measure(streams, window, is_recorded, &here, verdict)?;
            fs::remove_dir_all(&here)?;
            print(&outcome, is_recorded);
            costs[usize::from(is_recorded)].push(outcome.ms_per_minute);
        }
    }
    for costs in &mut costs {
        costs.sort_by(f64::total_cmp);
    }
    let [without, with] = costs.map(|costs| costs[costs.len() / 2]);
    println!(
        "\nmedians: recording adds {:.1} ms for a minute of a stream; recorded / not {:.2}",
        with - without,
        with / without
    );
    Ok(())
}

fn print(outcome: &Outcome, is_recorded: bool) {
    let [half, most, all] = outcome.turns_us.map(|us| us / 1_000.0);
    println!(
        "| {} | {:.1} | {:.1} % | {:.1} | {:.3} | {half:.2}, {most:.2}, {all:.2} ms | {} ms | {} |",
        if is_recorded { "yes" } else { "no" },
        outcome.ms_per_minute,
        outcome.core_percent,
        outcome.resident_mib,
        outcome.written_mb,
        outcome.late.as_millis(),
        if is_recorded {
            format!("{:.1} s", outcome.whole_s)
        } else {
            String::new()
        }
    );
    let found = &outcome.found;
    if let (Some(first), true) = (found.first(), is_recorded) {
        let sum = |of: fn(&Recorded) -> u64| found.iter().map(of).sum::<u64>() as f64;
        let beyond = sum(|file| file.file_bytes) / sum(|file| file.media_bytes) - 1.0;
        println!(
            "|  | {} files, {} pictures and {} sounds in the first, {:.2} % beyond the media, \
             {} silences in between | | | | | | |",
            found.len(),
            first.pictures,
            first.sounds,
            beyond * 100.0,
            sum(|file| file.silences)
        );
    }
}

fn measure(
    streams: usize,
    window: Duration,
    is_recorded: bool,
    folder: &Path,
    verdict: &mut Verdict,
) -> Result<Outcome, Box<dyn Error>> {
    let mut server = start(is_recorded, folder)?;
    let ready = server.first_line()?;
    let port = |door: &str| -> Result<u16, Box<dyn Error>> {
        let mut words = ready.split_whitespace();
        let port = words.find_map(|word| word.strip_prefix(door)?.rsplit(':').next()?.parse().ok());
        port.ok_or_else(|| format!("no {door} in {ready:?}").into())
    };
    let (web, rtmp) = (port("ws=")?, port("rtmp=")?);
    let encoders = Encoders::start(rtmp, "room", streams)?;
    until(|| Ok(encoders.playing() == streams))?;
    sleep(SETTLE);
    let (metrics_before, from) = (metrics(web)?, Instant::now());
    let records = folder.join("records");
    let (cpu_before, written_before) = (server.cpu_ns()?, size_of(&records)?);
    sleep(window);
    let cpu = server.cpu_ns()? - cpu_before;
    let written = size_of(&records)? - written_before;
    let seconds = from.elapsed().as_secs_f64();
    let resident_mib = server.resident_kib()? as f64 / 1_024.0;
    let turns_us = turns(&metrics_before, &metrics(web)?);
    let sent = encoders.stop()?;
    let ended = Instant::now();
    until(|| Ok(metrics(web)?.total("ringhall_recordings") == 0.0))?;
    let last = metrics(web)?;
    let failed = last.total("ringhall_recordings_failed_total");
    // Packets that nobody watches count as dropped for that.
    let dropped = last.dropped();
    verdict.check(failed == 0.0 && dropped.is_empty(), || {
        format!("{failed} recordings failed, dropped: {dropped:?}")
    });
    // It ends when tails and manifest are written, too.
    server.stop()?;
    let whole_s = ended.elapsed().as_secs_f64();
    let found = match is_recorded {
        true => check(&sent, &records, verdict)?,
        false => Vec::new(),
    };
    let minutes = streams as f64 * seconds / 60.0;
    Ok(Outcome {
        ms_per_minute: cpu as f64 * 1e-6 / minutes,
        core_percent: cpu as f64 * 1e-9 / seconds * 100.0,
        resident_mib,
        written_mb: written as f64 * 1e-6 / minutes,
        turns_us,
        late: sent.iter().map(|sent| sent.late).max().unwrap_or_default(),
        whole_s,
        found,
    })
}

fn start(is_recorded: bool, folder: &Path) -> Result<Process, Box<dyn Error>> {
    let recorded = format!("record_streams={is_recorded}");
    let settings = [
        "cores=1",
        "ws.port=0",
        "wss.port=off",
        "rtmp.port=0",
        "media_port_from=0",
        "enable_empty_shift_writer=true",
        "record_name_template={login}.mp4",
        "records.min_free_bytes=0",
        &recorded,
    ];
    let arguments: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
    Process::start_mute(env!("CARGO_BIN_EXE_ringhall"), &arguments, folder)
}

/// Every file is whole and what was sent, and all end together.
fn check(
    sent: &[Published],
    folder: &Path,
    verdict: &mut Verdict,
) -> Result<Vec<Recorded>, Box<dyn Error>> {
    let told = read_manifest(folder)?;
    verdict.check(told.files.len() == sent.len(), || {
        format!("{} files of {} streams", told.files.len(), sent.len())
    });
    let mut found = Vec::new();
    for (number, sent) in sent.iter().enumerate() {
        let name = format!("encoder-{number}.mp4");
        let path = folder.join(&name);
        let file = compare(&path, film_of(number), sent.pictures, sent.sounds);
        let file = file.map_err(|why| format!("{name}: {why}"));
        verdict.check(file.is_ok(), || format!("{file:?}"));
        let file = file.unwrap_or_default();
        let line = told.files.iter().find(|line| line.name == name);
        let is_told = line.is_some_and(|line| {
            line.state == FileState::Finished && line.size_bytes == file.file_bytes
        });
        verdict.check(is_told, || format!("{name}: the manifest says {line:?}"));
        verdict.check(file.media_bytes == sent.media_bytes, || {
            format!("{name}: {} bytes of {}", file.media_bytes, sent.media_bytes)
        });
        found.push(file);
    }
    let ends = || found.iter().flat_map(|file| file.ends_us);
    let apart = ends()
        .max()
        .zip(ends().min())
        .map(|(most, least)| most - least);
    verdict.check(apart.is_some_and(|apart| apart <= FRAME_US), || {
        format!("files end {apart:?} us apart")
    });
    Ok(found)
}

/// Of all files of a folder, if it is there.
fn size_of(folder: &Path) -> Result<u64, Box<dyn Error>> {
    let mut total = 0;
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            total += entry?.metadata()?.len();
        }
    }
    Ok(total)
}

fn read_manifest(folder: &Path) -> Result<Manifest, Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = fs::read_to_string(path)?;
            return manifest::parse(&text).map_err(|why| format!("{why:?}").into());
        }
    }
    Err("no manifest".into())
}

fn until(mut is_so: impl FnMut() -> Result<bool, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let from = Instant::now();
    while !is_so()? {
        if from.elapsed() > PATIENCE {
            return Err("what should happen did not".into());
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Upper bounds, in microseconds, of the turns between two looks.
fn turns(before: &Metrics, after: &Metrics) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|share| after.quantile_us(before, "ringhall_turn_seconds", share))
}
