//! A recording read strictly and compared with the film it is of: every picture
//! and every sound, whole, in order. Nothing may stand between pictures; sound
//! may have a moment of silence in it where clocks are brought into step, which
//! is counted.

use std::error::Error;
use std::path::Path;

use ringhall::record::index::Stage;
use ringhall::record::layout::TrackKind;
use ringhall::record::read::{Recording, Row, open, sample_bytes};
use ringhall::record::store::Memory;

use super::film::{Film, Shot};

/// A file that is what it should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recorded {
    pub file_bytes: u64,
    /// Of the film's pictures and sounds in it.
    pub media_bytes: u64,
    pub pictures: u32,
    pub sounds: u32,
    /// Samples between the sounds that are none of them.
    pub silences: u64,
    /// Where the tracks end, in microseconds.
    pub ends_us: [u64; 2],
}

/// Compares the whole recording at `path` with `film` from its beginning up to
/// so many pictures and sounds. Black and silence may stand before and behind.
pub fn compare(
    path: &Path,
    mut film: Film,
    pictures: u32,
    sounds: u32,
) -> Result<Recorded, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let file_bytes = bytes.len() as u64;
    let mut memory = Memory { bytes };
    let recording = open(&mut memory).map_err(|why| format!("{why:?}"))?;
    if !matches!(recording.stage, Stage::Whole { .. }) {
        return Err("it is not whole".into());
    }
    let (mut made_pictures, mut made_sounds) = (Vec::new(), Vec::new());
    while film.pictures < pictures || film.sounds < sounds {
        match film.take().1 {
            Shot::Picture { unit, .. } => made_pictures.push(unit),
            Shot::Sound(packet) => made_sounds.push(packet),
        }
    }
    made_pictures.truncate(pictures as usize);
    made_sounds.truncate(sounds as usize);
    let mut of = |kind, made: &[Vec<u8>], skipped| {
        let rows: Vec<Row> = recording.rows(kind).collect();
        same(&mut memory, &rows, made, skipped).map_err(|why| format!("{kind:?}: {why}"))
    };
    // A picture's unit stands behind its length.
    let (video_bytes, blacks) = of(TrackKind::Video, &made_pictures, 4)?;
    let (audio_bytes, silences) = of(TrackKind::Audio, &made_sounds, 0)?;
    if blacks > 0 {
        return Err(format!("{blacks} pictures between those that were sent").into());
    }
    Ok(Recorded {
        file_bytes,
        media_bytes: video_bytes + audio_bytes,
        pictures,
        sounds,
        silences,
        ends_us: [TrackKind::Video, TrackKind::Audio].map(|kind| end_us(&recording, kind)),
    })
}

/// Whether all of `made` is in `rows`, in order; its bytes, and how much else
/// stands between.
fn same(
    memory: &mut Memory,
    rows: &[Row],
    made: &[Vec<u8>],
    skipped: usize,
) -> Result<(u64, u64), String> {
    let (mut bytes, mut others) = (0, 0);
    let mut missing = made.iter();
    let mut next = missing.next();
    for row in rows {
        let sample = sample_bytes(memory, row).map_err(|fault| format!("{fault:?}"))?;
        let is_next = next.is_some_and(|made| sample.get(skipped..) == Some(made.as_slice()));
        if is_next {
            bytes += (sample.len() - skipped) as u64;
            next = missing.next();
        } else if bytes > 0 && next.is_some() {
            others += 1;
        }
    }
    match next {
        None => Ok((bytes, others)),
        Some(_) => Err(format!("{} of {} missing", missing.len() + 1, made.len())),
    }
}

fn end_us(recording: &Recording, kind: TrackKind) -> u64 {
    let timescale = recording.timescale(kind).map_or(1, u64::from);
    let last = recording.rows(kind).last();
    last.map_or(0, |row| {
        (row.decode_ticks + u64::from(row.sample.duration)) * 1_000_000 / timescale
    })
}
