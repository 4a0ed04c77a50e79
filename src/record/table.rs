//! The samples of one track as its tables tell them: when, how long, how large,
//! where. Owns them in runs, as the file has them, so that a sample costs a few
//! bytes; refuses more than [`RECORD_SAMPLES_MAX`].

use super::layout::Sample;
use crate::base::limits::RECORD_SAMPLES_MAX;

/// The same value a number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<T> {
    pub count: u32,
    pub value: T,
}

/// Samples that lie one behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// From the start of the file.
    pub offset: u64,
    /// Never zero.
    pub samples: u32,
}

/// The tables of one track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub(super) durations: Vec<Run<u32>>,
    pub(super) compositions: Vec<Run<i32>>,
    /// Numbers, from 1, of the samples that are sync samples; `None` while all
    /// are.
    pub(super) sync: Option<Vec<u32>>,
    pub(super) sizes: Vec<u32>,
    pub(super) chunks: Vec<Chunk>,
    /// Sum of the durations.
    pub(super) end_ticks: u64,
}

/// There is no room for more samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySamples;

/// A sample with its place in time and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it is decoded, in ticks of its track from the start.
    pub decode_ticks: u64,
    pub sample: Sample,
    /// Where its bytes are, from the start of the file.
    pub offset: u64,
}

impl Row {
    /// Behind its last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.sample.size_bytes.into())
    }
}

impl Table {
    /// Number of samples.
    pub fn samples(&self) -> u32 {
        // Never more than the cap, which is far below.
        u32::try_from(self.sizes.len()).unwrap_or(u32::MAX)
    }

    /// When the last sample ends, in ticks.
    pub fn end_ticks(&self) -> u64 {
        self.end_ticks
    }

    /// Appends samples that lie one behind another from `offset`.
    pub fn push_chunk(&mut self, offset: u64, samples: &[Sample]) -> Result<(), TooManySamples> {
        if samples.is_empty() {
            return Ok(());
        }
        if self.sizes.len().saturating_add(samples.len()) > RECORD_SAMPLES_MAX {
            return Err(TooManySamples);
        }
        for sample in samples {
            self.push(*sample);
        }
        let samples = u32::try_from(samples.len()).map_err(|_| TooManySamples)?;
        self.chunks.push(Chunk { offset, samples });
        Ok(())
    }

    fn push(&mut self, sample: Sample) {
        let before = self.samples();
        self.sizes.push(sample.size_bytes);
        match &mut self.sync {
            None if sample.is_sync => {}
            None => self.sync = Some((1..=before).collect()),
            Some(sync) if sample.is_sync => sync.push(before.saturating_add(1)),
            Some(_) => {}
        }
        extend(&mut self.durations, sample.duration);
        extend(&mut self.compositions, sample.composition);
        self.end_ticks = self.end_ticks.saturating_add(sample.duration.into());
    }

    /// Lets the last sample last longer; `None`, with nothing changed, where
    /// there is none or its duration has no room.
    pub fn lengthen_last(&mut self, ticks: u32) -> Option<()> {
        let last = self.durations.last_mut()?;
        let longer = last.value.checked_add(ticks)?;
        last.count = last.count.saturating_sub(1);
        if last.count == 0 {
            self.durations.pop();
        }
        extend(&mut self.durations, longer);
        self.end_ticks = self.end_ticks.saturating_add(ticks.into());
        Some(())
    }

    /// All samples in the order of decoding.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            sizes: self.sizes.iter(),
            durations: Values::of(&self.durations),
            compositions: Values::of(&self.compositions),
            sync: self.sync.as_deref(),
            chunks: self.chunks.iter(),
            left_in_chunk: 0,
            offset: 0,
            decode_ticks: 0,
            number: 0,
        }
    }
}

/// Adds one of `value` behind `runs`.
fn extend<T: PartialEq>(runs: &mut Vec<Run<T>>, value: T) {
    match runs.last_mut() {
        Some(run) if run.value == value => run.count = run.count.saturating_add(1),
        _ => runs.push(Run { count: 1, value }),
    }
}

/// The values of runs, one by one.
#[derive(Clone, Debug)]
struct Values<'a, T> {
    runs: std::slice::Iter<'a, Run<T>>,
    run: Option<Run<T>>,
}

impl<'a, T: Copy> Values<'a, T> {
    fn of(runs: &'a [Run<T>]) -> Self {
        Values {
            runs: runs.iter(),
            run: None,
        }
    }
}

impl<T: Copy> Iterator for Values<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            match &mut self.run {
                Some(run) if run.count > 0 => {
                    run.count -= 1;
                    return Some(run.value);
                }
                run => *run = Some(*self.runs.next()?),
            }
        }
    }
}

/// The walk of [`Table::rows`].
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    sizes: std::slice::Iter<'a, u32>,
    durations: Values<'a, u32>,
    compositions: Values<'a, i32>,
    /// What is left of the numbers of sync samples.
    sync: Option<&'a [u32]>,
    chunks: std::slice::Iter<'a, Chunk>,
    left_in_chunk: u32,
    offset: u64,
    decode_ticks: u64,
    /// Of the sample given out last.
    number: u32,
}

impl Rows<'_> {
    fn is_sync(&mut self) -> bool {
        let Some(numbers) = &mut self.sync else {
            return true;
        };
        match numbers.split_first() {
            Some((first, rest)) if *first == self.number => {
                *numbers = rest;
                true
            }
            _ => false,
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let size_bytes = *self.sizes.next()?;
        self.number = self.number.saturating_add(1);
        if self.left_in_chunk == 0 {
            let chunk = self.chunks.next()?;
            self.offset = chunk.offset;
            self.left_in_chunk = chunk.samples;
        }
        self.left_in_chunk = self.left_in_chunk.saturating_sub(1);
        let row = Row {
            decode_ticks: self.decode_ticks,
            offset: self.offset,
            sample: Sample {
                duration: self.durations.next()?,
                composition: self.compositions.next()?,
                is_sync: self.is_sync(),
                size_bytes,
            },
        };
        self.offset = row.end();
        self.decode_ticks = self.decode_ticks.saturating_add(row.sample.duration.into());
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;

    fn sample(noise: &mut Noise) -> Sample {
        Sample {
            duration: 3_000 + noise.below(2) as u32,
            composition: -(noise.below(3) as i32),
            is_sync: noise.chance_ppm(900_000),
            size_bytes: noise.below(4) as u32,
        }
    }

    #[test]
    fn rows_are_what_was_pushed() {
        let mut noise = Noise::new(5);
        for _ in 0..50 {
            let mut table = Table::default();
            let (mut expected, mut offset, mut decode_ticks) = (Vec::new(), 48, 0);
            for _ in 0..noise.below(6) {
                offset += noise.below(1 << 33);
                let count = noise.below(5) as usize;
                let samples: Vec<Sample> = (0..count).map(|_| sample(&mut noise)).collect();
                table.push_chunk(offset, &samples).unwrap();
                for sample in samples {
                    expected.push(Row {
                        decode_ticks,
                        sample,
                        offset,
                    });
                    offset += u64::from(sample.size_bytes);
                    decode_ticks += u64::from(sample.duration);
                }
            }
            assert!(table.rows().eq(expected));
            assert_eq!(table.end_ticks(), decode_ticks);
        }
    }

    #[test]
    fn the_last_sample_is_lengthened_alone() {
        let mut table = Table::default();
        assert_eq!(table.lengthen_last(1), None);
        let sample = Sample {
            duration: 960,
            composition: 0,
            is_sync: true,
            size_bytes: 3,
        };
        table.push_chunk(0, &[sample; 3]).unwrap();
        table.lengthen_last(40).unwrap();
        assert_eq!(table.lengthen_last(u32::MAX), None);
        let durations: Vec<u32> = table.rows().map(|row| row.sample.duration).collect();
        assert_eq!(durations, [960, 960, 1_000]);
        assert_eq!(table.end_ticks(), 2_920);
    }

    #[test]
    fn samples_have_an_end() {
        let mut table = Table::default();
        let sample = Sample {
            duration: 0,
            composition: 0,
            is_sync: true,
            size_bytes: 0,
        };
        let half = vec![sample; RECORD_SAMPLES_MAX / 2];
        assert_eq!(table.push_chunk(0, &half), Ok(()));
        assert_eq!(table.push_chunk(0, &half), Ok(()));
        assert_eq!(table.push_chunk(0, &[sample]), Err(TooManySamples));
        assert_eq!(table.samples() as usize, RECORD_SAMPLES_MAX);
    }
}
