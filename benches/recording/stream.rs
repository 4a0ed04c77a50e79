//! Streams of browsers through the server's core, recorded and not: what
//! recording adds for each minute of one.

use std::error::Error;
use std::path::PathBuf;

use ringhall::base::snapshot::Drop;
use ringhall::core::record::RecordRules;
use ringhall::ops::record_name::Template;

use crate::Options;
use crate::shared::film::{Film, Parts, Sound};
use crate::shared::meter::Meter;
use crate::shared::recorded::compare;
use crate::shared::samples::Samples;
use crate::shared::sink::{Clerk, Sink, Tally};
use crate::shared::studio::Studio;
use crate::shared::verdict::Verdict;

/// What happens beside forwarding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// Nothing is recorded.
    None,
    /// Recorded, and the orders are answered without being done.
    Nowhere,
    /// Recorded to files by the driver's thread.
    Files,
}

const ALTERNATIVES: [To; 3] = [To::None, To::Nowhere, To::Files];

/// Publishers, viewers of the first, what there is of the films, and seconds of
/// them in a round.
const SETTINGS: [(usize, usize, Parts, u64); 6] = [
    (1, 0, Parts::Both, 60),
    (1, 1, Parts::Both, 60),
    (1, 4, Parts::Both, 60),
    (1, 0, Parts::Pictures, 60),
    (1, 0, Parts::Sound, 60),
    (50, 0, Parts::Both, 10),
];

/// One setting, in all alternatives.
struct Row {
    publishers: usize,
    viewers: usize,
    parts: Parts,
    seconds: u64,
    studios: Vec<Studio>,
    seed: u64,
    /// Milliseconds of CPU for each minute of a stream: of the core, by
    /// alternative, and of the files' thread.
    core_ms: [Samples; 3],
    desk_ms: Samples,
    /// Of one stream for each minute, to files.
    tally: Tally,
    desk_calls: u64,
    minutes: f64,
    media_bytes: u64,
    file_bytes: u64,
    /// To make a file whole, of an hour's film.
    closing_ms: f64,
}

pub fn run(
    options: &Options,
    clerk: &Clerk,
    meter: &Meter,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for (at, (publishers, viewers, parts, seconds)) in SETTINGS.into_iter().enumerate() {
        if options.is_test && at > 1 {
            break;
        }
        let seconds = if options.is_test { 5 } else { seconds };
        let mut row = Row::open(at as u16, publishers, viewers, parts, seconds, clerk)?;
        for round in 0..options.rounds {
            row.round(round, clerk, meter)?;
        }
        row.close(clerk, meter, verdict)?;
        rows.push(row);
    }
    print(&rows);
    Ok(())
}

impl Row {
    fn open(
        at: u16,
        publishers: usize,
        viewers: usize,
        parts: Parts,
        seconds: u64,
        clerk: &Clerk,
    ) -> Result<Self, Box<dyn Error>> {
        let seed = 1_000 * u64::from(at);
        let mut studios = Vec::new();
        for to in ALTERNATIVES {
            let record = RecordRules {
                // Settings have the same names.
                template: Template::parse(&format!("s{at}-{{login}}.mp4"))
                    .map_err(|why| format!("{why:?}"))?,
                all: to != To::None,
                aligned: true,
                ..RecordRules::default()
            };
            let sink = match to {
                To::Files => Sink::files(clerk, at),
                To::None | To::Nowhere => Sink::nowhere(),
            };
            let film = |number| film_of(seed, number, parts);
            studios.push(Studio::open(publishers, viewers, film, record, sink)?);
        }
        Ok(Row {
            publishers,
            viewers,
            parts,
            seconds,
            studios,
            seed,
            core_ms: Default::default(),
            desk_ms: Samples::default(),
            tally: Tally::default(),
            desk_calls: 0,
            minutes: 0.0,
            media_bytes: 0,
            file_bytes: 0,
            closing_ms: 0.0,
        })
    }

    /// Every alternative once, in turning order.
    fn round(&mut self, round: usize, clerk: &Clerk, meter: &Meter) -> Result<(), Box<dyn Error>> {
        let minutes = self.publishers as f64 * self.seconds as f64 / 60.0;
        for step in 0..ALTERNATIVES.len() {
            let at = (round + step) % ALTERNATIVES.len();
            let (desk_before, calls) = (clerk.cpu_ns()?, clerk.write_calls()?);
            let ns = self.studios[at].play(self.seconds, meter)?;
            self.core_ms[at].add(ns as f64 * 1e-6 / minutes);
            if ALTERNATIVES[at] == To::Files {
                meter.settle();
                let ns = clerk.cpu_ns()? - desk_before;
                self.desk_ms.add(ns as f64 * 1e-6 / minutes);
                self.desk_calls += clerk.write_calls()? - calls;
            }
        }
        self.minutes += minutes;
        Ok(())
    }

    /// Everybody leaves; what was recorded is compared with what was sent.
    fn close(
        &mut self,
        clerk: &Clerk,
        meter: &Meter,
        verdict: &mut Verdict,
    ) -> Result<(), Box<dyn Error>> {
        let (seed, viewers) = (self.seed, self.viewers as u64);
        for (to, studio) in ALTERNATIVES.into_iter().zip(&mut self.studios) {
            if to == To::Files {
                self.tally = studio.sink.tally;
                self.media_bytes = studio.media_bytes();
            }
            let before = clerk.cpu_ns()?;
            studio.close(meter)?;
            let counters = studio.server.snapshot().counters;
            // Packets that nobody watches count as dropped for that.
            let is_dropped = |reason: &&Drop| {
                let is_watched = **reason != Drop::NoSubscriber || viewers > 0;
                is_watched && counters.dropped(**reason) > 0
            };
            let is_clean = !Drop::ALL.iter().any(|reason| is_dropped(&reason));
            verdict.check(is_clean && counters.recordings_failed == 0, || {
                format!("something was dropped or failed: {counters:?}")
            });
            let forwarded = counters.media_packets_forwarded;
            let expected = viewers * studio.packets();
            verdict.check(forwarded == expected, || {
                format!("{forwarded} packets forwarded, not {expected}")
            });
            if to != To::Files {
                continue;
            }
            meter.settle();
            let hours = self.minutes / 60.0;
            self.closing_ms = (clerk.cpu_ns()? - before) as f64 * 1e-6 / hours;
            let mut ends = Vec::new();
            for (number, (pictures, sounds)) in studio.sent().enumerate() {
                let film = film_of(seed, number, self.parts);
                let path = file_of(clerk, seed, number);
                let found = compare(&path, film, pictures, sounds);
                let found = found.map_err(|why| format!("{}: {why}", path.display()));
                verdict.check(found.is_ok(), || format!("{found:?}"));
                let found = found.unwrap_or_default();
                self.file_bytes += found.file_bytes;
                ends.extend(found.ends_us);
            }
            let (least, most) = (ends.iter().min(), ends.iter().max());
            let apart = most
                .zip(least)
                .map_or(u64::MAX, |(most, least)| most - least);
            verdict.check(apart <= 33_334, || format!("files end {apart} us apart"));
        }
        // Sockets, and the memory of the films.
        self.studios.clear();
        Ok(())
    }
}

fn film_of(seed: u64, number: usize, parts: Parts) -> Film {
    Film::new(seed + number as u64, Sound::Opus).of(parts)
}

/// The file of a publisher of a setting.
fn file_of(clerk: &Clerk, seed: u64, number: usize) -> PathBuf {
    let name = format!("s{}-guest{number}.mp4", seed / 1_000);
    clerk.folder.join(name)
}

fn print(rows: &[Row]) {
    println!(
        "\nms of CPU for each minute of a stream, 2 Mbit/s of H.264 and Opus over WebRTC: \
         median [min - p90]\n"
    );
    println!(
        "| streams | of | viewers | not recorded | recorded, to nowhere | recorded, to files | and the \
         files' thread | added | recorded / not |"
    );
    println!("|---:|---|---:|---|---|---|---|---|---:|");
    for row in rows {
        let [none, nowhere, files] = &row.core_ms;
        let whole = files.with(&row.desk_ms, |core, desk| core + desk);
        let added = whole.with(none, |with, without| with - without);
        println!(
            "| {} | {} | {} | {none:.1} | {nowhere:.1} | {files:.1} | {:.1} | {added:.1} | {:.2} |",
            row.publishers,
            row.parts.name(),
            row.viewers,
            row.desk_ms,
            whole.over(none).median()
        );
    }
    println!(
        "\n| streams | of | viewers | MB of media | MB written | MB of the file | beyond the media | \
         orders | write calls | making whole, ms for an hour |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        let minutes = row.minutes;
        let each = |count: u64| count as f64 / minutes;
        let (media, file) = (each(row.media_bytes), each(row.file_bytes));
        println!(
            "| {} | {} | {} | {:.3} | {:.3} | {:.3} | {:.2} % | {:.1} | {:.1} | {:.0} |",
            row.publishers,
            row.parts.name(),
            row.viewers,
            media * 1e-6,
            each(row.tally.bytes) * 1e-6,
            file * 1e-6,
            (file / media - 1.0) * 100.0,
            each(row.tally.orders),
            each(row.desk_calls),
            row.closing_ms,
        );
    }
}
