//! The movie fragment box (ISO/IEC 14496-12 section 8.8.4) of a recording, in
//! the one shape this server writes: for each track one run, its decode time,
//! and its bytes behind the box. Refuses every other shape, as damage.

use super::layout::{Sample, TrackKind};
use super::movie::track_id;
use super::stbl::{Malformed, needed};
use crate::base::limits::RECORD_FRAGMENT_FULL_SAMPLES;
use crate::wire::bmff::{self, boxes, write_box, write_full_box};
use crate::wire::bytes::{put, u32_at, u64_at};

/// `tfhd` flags (section 8.8.7): offsets are from the `moof`; the flags of all
/// samples follow.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const DEFAULT_FLAGS_PRESENT: u32 = 0x20;

/// `trun` flags (section 8.8.8): offset of the bytes, then duration and size of
/// each sample, and of a picture also its flags and composition offset.
const RUN_OF_SOUND: u32 = 0x01 | 0x100 | 0x200;
const RUN_OF_PICTURES: u32 = RUN_OF_SOUND | 0x400 | 0x800;

/// Sample flags (section 8.8.3.1): depends on no other; depends on others and
/// is no sync sample.
const SYNC: u32 = 0x0200_0000;
const NON_SYNC: u32 = 0x0101_0000;

/// One track's part of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRun {
    pub kind: TrackKind,
    /// Decode time of the first sample, in ticks of the track.
    pub base_ticks: u64,
    /// Of the first sample's bytes, from the start of the `moof`.
    pub data_offset: u32,
    /// Never empty.
    pub samples: Vec<Sample>,
}

impl TrackRun {
    /// Of all samples.
    pub fn size_bytes(&self) -> u64 {
        let sizes = self.samples.iter().map(|sample| sample.size_bytes);
        sizes.map(u64::from).sum()
    }
}

/// Appends a `moof` under another type if `kind` says so, and returns its size.
/// The runs' bytes follow it in one `mdat`, in their order; their `data_offset`
/// is filled in accordingly.
pub(super) fn write(
    out: &mut Vec<u8>,
    kind: &bmff::Kind,
    sequence: u32,
    runs: &[(TrackKind, u64, &[Sample])],
) -> usize {
    let start = out.len();
    let mut offsets_at = Vec::new();
    write_box(out, kind, |out| {
        write_full_box(out, b"mfhd", 0, 0, |out| out.extend(sequence.to_be_bytes()));
        for (kind, base_ticks, samples) in runs {
            write_box(out, b"traf", |out| {
                write_run(out, *kind, *base_ticks, samples, &mut offsets_at);
            });
        }
    });
    let size = out.len().saturating_sub(start);
    let mut offset = size.saturating_add(bmff::HEADER_BYTES as usize);
    for (at, (_, _, samples)) in offsets_at.into_iter().zip(runs) {
        let _ = put(out, at, u32::try_from(offset).unwrap_or(0).to_be_bytes());
        let sizes = samples.iter().map(|sample| sample.size_bytes as usize);
        offset = offset.saturating_add(sizes.sum());
    }
    size
}

fn write_run(
    out: &mut Vec<u8>,
    kind: TrackKind,
    base_ticks: u64,
    samples: &[Sample],
    offsets_at: &mut Vec<usize>,
) {
    let is_audio = kind == TrackKind::Audio;
    let flags = DEFAULT_BASE_IS_MOOF | if is_audio { DEFAULT_FLAGS_PRESENT } else { 0 };
    write_full_box(out, b"tfhd", 0, flags, |out| {
        out.extend(track_id(kind).to_be_bytes());
        if is_audio {
            out.extend(SYNC.to_be_bytes());
        }
    });
    write_full_box(out, b"tfdt", 1, 0, |out| {
        out.extend(base_ticks.to_be_bytes());
    });
    let flags = if is_audio {
        RUN_OF_SOUND
    } else {
        RUN_OF_PICTURES
    };
    write_full_box(out, b"trun", 1, flags, |out| {
        let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
        out.extend(count.to_be_bytes());
        offsets_at.push(out.len());
        out.extend([0; 4]);
        for sample in samples {
            out.extend(sample.duration.to_be_bytes());
            out.extend(sample.size_bytes.to_be_bytes());
            if !is_audio {
                let flags = if sample.is_sync { SYNC } else { NON_SYNC };
                out.extend(flags.to_be_bytes());
                out.extend(sample.composition.to_be_bytes());
            }
        }
    });
}

/// Reads the inside of a `moof`: its sequence number, and a run for each track,
/// one at least.
pub(super) fn parse(moof: &[u8]) -> Result<(u32, Vec<TrackRun>), Malformed> {
    let sequence = match bmff::full(needed(moof, b"mfhd")?) {
        Some((0, 0, rest)) if rest.len() == 4 => u32_at(rest, 0),
        _ => None,
    };
    let sequence = sequence.ok_or(Malformed::Bad(*b"mfhd"))?;
    let mut runs: Vec<TrackRun> = Vec::new();
    for boxed in boxes(moof) {
        let boxed = boxed?;
        if boxed.kind != *b"traf" {
            continue;
        }
        let run = parse_run(boxed.body)?;
        if runs.iter().any(|other| other.kind == run.kind) {
            return Err(Malformed::Bad(*b"traf"));
        }
        runs.push(run);
    }
    if runs.is_empty() {
        return Err(Malformed::Missing(*b"traf"));
    }
    Ok((sequence, runs))
}

fn parse_run(traf: &[u8]) -> Result<TrackRun, Malformed> {
    let kind = parse_header(needed(traf, b"tfhd")?).ok_or(Malformed::Bad(*b"tfhd"))?;
    let base_ticks = match bmff::full(needed(traf, b"tfdt")?) {
        Some((1, 0, rest)) if rest.len() == 8 => u64_at(rest, 0),
        _ => None,
    };
    let (data_offset, samples) =
        parse_samples(kind, needed(traf, b"trun")?).ok_or(Malformed::Bad(*b"trun"))?;
    Ok(TrackRun {
        kind,
        base_ticks: base_ticks.ok_or(Malformed::Bad(*b"tfdt"))?,
        data_offset,
        samples,
    })
}

fn parse_header(tfhd: &[u8]) -> Option<TrackKind> {
    let (0, flags, rest) = bmff::full(tfhd)? else {
        return None;
    };
    let id = u32_at(rest, 0)?;
    match flags.checked_sub(DEFAULT_BASE_IS_MOOF)? {
        0 if id == track_id(TrackKind::Video) && rest.len() == 4 => Some(TrackKind::Video),
        DEFAULT_FLAGS_PRESENT if id == track_id(TrackKind::Audio) => {
            (rest.len() == 8 && u32_at(rest, 4)? == SYNC).then_some(TrackKind::Audio)
        }
        _ => None,
    }
}

fn parse_samples(kind: TrackKind, trun: &[u8]) -> Option<(u32, Vec<Sample>)> {
    let (1, flags, rest) = bmff::full(trun)? else {
        return None;
    };
    let expected = match kind {
        TrackKind::Video => RUN_OF_PICTURES,
        TrackKind::Audio => RUN_OF_SOUND,
    };
    let count = usize::try_from(u32_at(rest, 0)?).ok()?;
    let data_offset = u32_at(rest, 4)?;
    let rows = rest.get(8..)?;
    // One more than a full fragment: what filled it.
    let is_credible = (1..=RECORD_FRAGMENT_FULL_SAMPLES + 1).contains(&count);
    if flags != expected || !is_credible {
        return None;
    }
    let row_bytes = if kind == TrackKind::Video { 16 } else { 8 };
    if rows.len() != count.checked_mul(row_bytes)? {
        return None;
    }
    let samples: Option<Vec<Sample>> = rows
        .chunks_exact(row_bytes)
        .map(|row| parse_sample(kind, row))
        .collect();
    Some((data_offset, samples?))
}

fn parse_sample(kind: TrackKind, row: &[u8]) -> Option<Sample> {
    let (is_sync, composition) = match kind {
        TrackKind::Audio => (true, 0),
        TrackKind::Video => {
            let is_sync = match u32_at(row, 8)? {
                SYNC => true,
                NON_SYNC => false,
                _ => return None,
            };
            (is_sync, u32_at(row, 12)?.cast_signed())
        }
    };
    Some(Sample {
        duration: u32_at(row, 0)?,
        composition,
        is_sync,
        size_bytes: u32_at(row, 4)?,
    })
}
