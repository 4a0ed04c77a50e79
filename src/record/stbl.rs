//! The sample table box (ISO/IEC 14496-12 section 8.5) of one track: a
//! [`Table`] and the sample description, to bytes and strictly back. Refuses
//! tables that disagree on how many samples there are.

use super::table::{Chunk, Run, Table};
use crate::base::limits::RECORD_SAMPLES_MAX;
use crate::wire::bmff::{self, BoxError, Kind, write_box, write_full_box};
use crate::wire::bytes::{u32_at, u64_at};

/// Why boxes are not a movie of this server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Boxes(BoxError),
    Missing(Kind),
    /// What this box says cannot be, or is not what this server writes.
    Bad(Kind),
}

impl From<BoxError> for Malformed {
    fn from(error: BoxError) -> Self {
        Malformed::Boxes(error)
    }
}

/// Opus decoders have converged after 80 ms (RFC 7845 section 4.6), four of the
/// packets that everyone sends.
const OPUS_ROLL_PACKETS: i16 = -4;

/// Appends a `stbl`. `is_opus` adds how far before a sample decoding must begin.
pub(super) fn write(out: &mut Vec<u8>, table: &Table, stsd: &[u8], is_opus: bool) {
    write_box(out, b"stbl", |out| {
        write_box(out, b"stsd", |out| out.extend(stsd));
        write_full_box(out, b"stts", 0, 0, |out| {
            write_runs(out, &table.durations, |value| value.to_be_bytes());
        });
        if table.compositions.iter().any(|run| run.value != 0) {
            // Version 1 has signed offsets.
            write_full_box(out, b"ctts", 1, 0, |out| {
                write_runs(out, &table.compositions, |value| value.to_be_bytes());
            });
        }
        if let Some(sync) = &table.sync {
            write_full_box(out, b"stss", 0, 0, |out| write_numbers(out, sync));
        }
        write_full_box(out, b"stsc", 0, 0, |out| write_chunk_sizes(out, table));
        write_full_box(out, b"stsz", 0, 0, |out| write_sizes(out, table));
        write_offsets(out, table);
        if is_opus {
            write_roll(out, table);
        }
    });
}

fn count(len: usize) -> [u8; 4] {
    // Every table is capped far below.
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

fn write_runs<T: Copy>(out: &mut Vec<u8>, runs: &[Run<T>], bytes: impl Fn(T) -> [u8; 4]) {
    out.extend(count(runs.len()));
    for run in runs {
        out.extend(run.count.to_be_bytes());
        out.extend(bytes(run.value));
    }
}

fn write_numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    out.extend(count(numbers.len()));
    for number in numbers {
        out.extend(number.to_be_bytes());
    }
}

/// Samples of each chunk, told where they change (section 8.7.4).
fn write_chunk_sizes(out: &mut Vec<u8>, table: &Table) {
    let mut entries = Vec::new();
    let mut samples = 0;
    for (first, chunk) in (1u32..).zip(&table.chunks) {
        if chunk.samples != samples {
            samples = chunk.samples;
            entries.push([first, samples, 1]);
        }
    }
    out.extend(count(entries.len()));
    for number in entries.into_iter().flatten() {
        out.extend(number.to_be_bytes());
    }
}

/// One size for all, or each (section 8.7.3.2). All of size zero must be told
/// one by one: zero announces the list.
fn write_sizes(out: &mut Vec<u8>, table: &Table) {
    let first = table.sizes.first().copied().unwrap_or(0);
    if first != 0 && table.sizes.iter().all(|size| *size == first) {
        out.extend(first.to_be_bytes());
        out.extend(count(table.sizes.len()));
    } else {
        out.extend([0; 4]);
        write_numbers(out, &table.sizes);
    }
}

fn write_offsets(out: &mut Vec<u8>, table: &Table) {
    let narrow: Result<Vec<u32>, _> = table
        .chunks
        .iter()
        .map(|chunk| u32::try_from(chunk.offset))
        .collect();
    match narrow {
        Ok(offsets) => write_full_box(out, b"stco", 0, 0, |out| write_numbers(out, &offsets)),
        Err(_) => write_full_box(out, b"co64", 0, 0, |out| {
            out.extend(count(table.chunks.len()));
            for chunk in &table.chunks {
                out.extend(chunk.offset.to_be_bytes());
            }
        }),
    }
}

/// The group that all Opus samples belong to (section 10.1): `roll`.
fn write_roll(out: &mut Vec<u8>, table: &Table) {
    const GROUP: [u8; 4] = 1u32.to_be_bytes();
    write_full_box(out, b"sgpd", 1, 0, |out| {
        out.extend(b"roll");
        out.extend(2u32.to_be_bytes());
        out.extend(GROUP);
        out.extend(OPUS_ROLL_PACKETS.to_be_bytes());
    });
    if table.samples() > 0 {
        write_full_box(out, b"sbgp", 0, 0, |out| {
            out.extend(b"roll");
            out.extend(1u32.to_be_bytes());
            out.extend(table.samples().to_be_bytes());
            out.extend(GROUP);
        });
    }
}

/// Reads the inside of a `stbl`: the inside of its `stsd`, and the tables.
/// `file_bytes` is the most the samples can be together.
pub(super) fn parse(stbl: &[u8], file_bytes: u64) -> Result<(Vec<u8>, Table), Malformed> {
    let stsd = needed(stbl, b"stsd")?.to_vec();
    let (durations, samples) = runs(stbl, b"stts", 0, u32::from_be_bytes)?;
    let samples = usize::try_from(samples).unwrap_or(usize::MAX);
    if samples > RECORD_SAMPLES_MAX {
        return Err(Malformed::Bad(*b"stts"));
    }
    let compositions = match bmff::only(stbl, b"ctts")? {
        Some(_) => {
            let (runs, count) = runs(stbl, b"ctts", 1, i32::from_be_bytes)?;
            if usize::try_from(count) != Ok(samples) {
                return Err(Malformed::Bad(*b"ctts"));
            }
            runs
        }
        None if samples == 0 => Vec::new(),
        None => vec![Run {
            count: u32::try_from(samples).unwrap_or(u32::MAX),
            value: 0,
        }],
    };
    let sync = match bmff::only(stbl, b"stss")? {
        Some(_) => Some(sync_numbers(stbl, samples)?),
        None => None,
    };
    let chunks = chunks(stbl, samples)?;
    let sizes = sizes(stbl, samples, file_bytes)?;
    let end_ticks = durations.iter().fold(0u64, |sum, run| {
        sum.saturating_add(u64::from(run.count).saturating_mul(run.value.into()))
    });
    let table = Table {
        durations,
        compositions,
        sync,
        sizes,
        chunks,
        end_ticks,
    };
    Ok((stsd, table))
}

/// The inside of a box that must be there.
pub(super) fn needed<'a>(body: &'a [u8], kind: &Kind) -> Result<&'a [u8], Malformed> {
    bmff::only(body, kind)?.ok_or(Malformed::Missing(*kind))
}

/// What is behind version and flags of a full box of `version`, without flags.
fn full<'a>(body: &'a [u8], kind: &Kind, version: u8) -> Result<&'a [u8], Malformed> {
    match bmff::full(needed(body, kind)?) {
        Some((told, 0, rest)) if told == version => Ok(rest),
        _ => Err(Malformed::Bad(*kind)),
    }
}

/// Behind a count, as many entries of `N` bytes, and nothing else.
fn entries<'a, const N: usize>(body: &'a [u8], kind: &Kind) -> Result<&'a [[u8; N]], Malformed> {
    let bad = Malformed::Bad(*kind);
    let (entries, rest) = body.get(4..).ok_or(bad)?.as_chunks::<N>();
    let is_exact = rest.is_empty() && u32_at(body, 0).map(u64::from) == Some(entries.len() as u64);
    is_exact.then_some(entries).ok_or(bad)
}

/// Runs, and of how many samples in all.
fn runs<T: Copy>(
    stbl: &[u8],
    kind: &Kind,
    version: u8,
    value: impl Fn([u8; 4]) -> T,
) -> Result<(Vec<Run<T>>, u64), Malformed> {
    let mut runs = Vec::new();
    let mut samples = 0u64;
    for &[a, b, c, d, e, f, g, h] in entries::<8>(full(stbl, kind, version)?, kind)? {
        let count = u32::from_be_bytes([a, b, c, d]);
        samples = samples.saturating_add(count.into());
        let value = value([e, f, g, h]);
        runs.push(Run { count, value });
    }
    if runs.iter().any(|run| run.count == 0) {
        return Err(Malformed::Bad(*kind));
    }
    Ok((runs, samples))
}

/// The numbers of sync samples, strictly rising.
fn sync_numbers(stbl: &[u8], samples: usize) -> Result<Vec<u32>, Malformed> {
    const KIND: Kind = *b"stss";
    let numbers = entries::<4>(full(stbl, &KIND, 0)?, &KIND)?;
    let numbers: Vec<u32> = numbers.iter().map(|n| u32::from_be_bytes(*n)).collect();
    let is_within = |number: &u32| (1..=samples).contains(&(*number as usize));
    if !numbers.is_sorted_by(|a, b| a < b) || !numbers.iter().all(is_within) {
        return Err(Malformed::Bad(KIND));
    }
    Ok(numbers)
}

/// Where the chunks are and how many samples each holds.
fn chunks(stbl: &[u8], samples: usize) -> Result<Vec<Chunk>, Malformed> {
    const KIND: Kind = *b"stsc";
    let offsets: Vec<u64> = match bmff::only(stbl, b"co64")? {
        Some(_) => {
            let offsets = entries::<8>(full(stbl, b"co64", 0)?, b"co64")?;
            offsets.iter().map(|at| u64::from_be_bytes(*at)).collect()
        }
        None => {
            let offsets = entries::<4>(full(stbl, b"stco", 0)?, b"stco")?;
            let narrow = offsets.iter().map(|at| u32::from_be_bytes(*at));
            narrow.map(u64::from).collect()
        }
    };
    let entries = entries::<12>(full(stbl, &KIND, 0)?, &KIND)?;
    let mut entries = entries.iter().map(|entry| {
        let number = |at| u32_at(entry, at).unwrap_or(0);
        [number(0), number(4), number(8)]
    });
    let mut next = entries.next();
    let (mut chunks, mut current, mut total) = (Vec::new(), 0u32, 0usize);
    for (number, offset) in (1u32..).zip(offsets) {
        if let Some([first, samples, description]) = next
            && first == number
        {
            if samples == 0 || description != 1 {
                return Err(Malformed::Bad(KIND));
            }
            current = samples;
            next = entries.next();
        }
        let samples = current;
        total = total.saturating_add(samples as usize);
        chunks.push(Chunk { offset, samples });
    }
    // An entry left over, and chunks before the first entry, are of no chunk
    // or of none known.
    let is_told = chunks.first().is_none_or(|chunk| chunk.samples > 0);
    if next.is_some() || !is_told || total != samples {
        return Err(Malformed::Bad(KIND));
    }
    Ok(chunks)
}

fn sizes(stbl: &[u8], samples: usize, file_bytes: u64) -> Result<Vec<u32>, Malformed> {
    const KIND: Kind = *b"stsz";
    let bad = Malformed::Bad(KIND);
    let body = full(stbl, &KIND, 0)?;
    let common = u32_at(body, 0).ok_or(bad)?;
    let rest = body.get(4..).ok_or(bad)?;
    if common == 0 {
        let sizes = entries::<4>(rest, &KIND)?;
        if sizes.len() != samples {
            return Err(bad);
        }
        return Ok(sizes.iter().map(|size| u32::from_be_bytes(*size)).collect());
    }
    let count = u32_at(rest, 0).ok_or(bad)?;
    let total = u64::from(count).saturating_mul(common.into());
    // Before memory is taken: a few bytes could claim millions of samples.
    if rest.len() != 4 || count as usize != samples || total > file_bytes {
        return Err(bad);
    }
    Ok(vec![common; samples])
}

/// A version 0 or 1 box's number: 32 bits, or 64.
pub(super) fn number_at(body: &[u8], version: u8, at: usize) -> Option<u64> {
    match version {
        0 => u32_at(body, at).map(u64::from),
        1 => u64_at(body, at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::record::layout::Sample;

    fn made(noise: &mut Noise) -> Table {
        let mut table = Table::default();
        let constant = noise.chance_ppm(300_000);
        let wide = noise.chance_ppm(500_000);
        let inter = noise.chance_ppm(500_000);
        for _ in 0..noise.below(8) {
            let samples: Vec<Sample> = (0..noise.below(5))
                .map(|_| Sample {
                    duration: 960 + noise.below(2) as u32,
                    composition: if inter { noise.below(5) as i32 - 2 } else { 0 },
                    is_sync: !inter || noise.chance_ppm(300_000),
                    size_bytes: if constant { 160 } else { noise.below(3) as u32 },
                })
                .collect();
            let offset = noise.below(if wide { 1 << 40 } else { 1 << 32 });
            table.push_chunk(offset, &samples).unwrap();
        }
        table
    }

    fn written(table: &Table) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, table, b"described", true);
        out[8..].to_vec()
    }

    #[test]
    fn tables_are_read_as_written() {
        let mut noise = Noise::new(9);
        for _ in 0..300 {
            let table = made(&mut noise);
            let parsed = parse(&written(&table), u64::MAX);
            assert_eq!(parsed, Ok((b"described".to_vec(), table)));
        }
    }

    #[test]
    fn cuts_and_changes_never_panic_and_counts_always_agree() {
        let mut noise = Noise::new(10);
        for _ in 0..100 {
            let bytes = written(&made(&mut noise));
            for _ in 0..100 {
                let mut changed = bytes.clone();
                let at = noise.below(bytes.len() as u64) as usize;
                changed[at] ^= 1 << noise.below(8);
                if let Ok((_, table)) = parse(&changed, 1 << 20) {
                    assert_eq!(table.rows().count(), table.samples() as usize);
                }
                let _ = parse(&bytes[..at], 1 << 20);
            }
        }
    }

    #[test]
    fn a_few_bytes_do_not_claim_millions_of_samples() {
        let mut table = Table::default();
        let sample = Sample {
            duration: 160,
            composition: 0,
            is_sync: true,
            size_bytes: 160,
        };
        table.push_chunk(0, &[sample; 10]).unwrap();
        let bytes = written(&table);
        assert!(parse(&bytes, 1_600).is_ok());
        assert_eq!(parse(&bytes, 1_599), Err(Malformed::Bad(*b"stsz")));
    }
}
