//! A recording's audio track: its samples follow one another without a gap, so
//! that counting them tells the time, which tools that merge files do. What is
//! missing is filled with silence; a clock that runs fast loses a packet now
//! and then.

use crate::record::layout::{AudioTrack, Sample};
use crate::record::silence::Silence;
use crate::wire::aac_config::AacConfig;
use crate::wire::opus;

/// Of a frame whose configuration tells nothing else.
const AAC_FRAME_SAMPLES: u32 = 1_024;

/// What a frame of sound became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Written,
    /// Its time was over.
    Late,
    /// No decoder would take it.
    Broken,
}

/// The position of an audio track, and what keeps it in step.
#[derive(Clone, Debug)]
pub struct SoundTrack {
    track: AudioTrack,
    silence: Silence,
    /// Samples of an AAC frame.
    frame_ticks: u32,
    /// Where the next sample begins, in ticks of the track.
    position: u64,
}

impl SoundTrack {
    /// A track whose next sample begins at `position`.
    pub fn new(track: AudioTrack, position: u64) -> Self {
        let config = match &track {
            AudioTrack::Aac { config, .. } => AacConfig::parse(config),
            _ => None,
        };
        SoundTrack {
            silence: Silence::of(&track),
            frame_ticks: config.map_or(AAC_FRAME_SAMPLES, |config| config.frame_samples),
            track,
            position,
        }
    }

    /// In ticks of the track.
    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn position_us(&self) -> i64 {
        to_us(self.position, self.track.timescale())
    }

    /// Takes a frame captured at `at_us` of the file. `write` gets samples in
    /// their order, silence before it included.
    pub fn take(&mut self, at_us: i64, data: &[u8], write: &mut dyn FnMut(Sample, &[u8])) -> Heard {
        let Some(duration) = self.duration(data) else {
            return Heard::Broken;
        };
        let at = to_ticks(at_us, self.track.timescale());
        let early = i64::try_from(self.position)
            .unwrap_or(i64::MAX)
            .saturating_sub(at);
        // Half a frame off is nearer than a whole one would bring it; and what
        // moves by a whole frame must not be at the other edge then.
        let tolerance = i64::from(duration / 2) + self.jitter_ticks();
        if early > tolerance {
            return Heard::Late;
        }
        if early < -tolerance {
            self.fill(at, write);
        }
        self.push(duration, data, write);
        Heard::Written
    }

    /// Silence until `until_us` of the file, as near as whole samples come.
    pub fn fill_until(&mut self, until_us: i64, write: &mut dyn FnMut(Sample, &[u8])) {
        self.fill(to_ticks(until_us, self.track.timescale()), write);
    }

    fn fill(&mut self, until: i64, write: &mut dyn FnMut(Sample, &[u8])) {
        let silence = &self.silence;
        let until = u64::try_from(until).unwrap_or_default();
        let missing = until.saturating_sub(self.position);
        // A frame that is nearer to the mark than none.
        let missing = missing + u64::from(silence.granule_ticks() / 2);
        let filled = silence.fill(missing, &mut |duration, bytes| {
            write(sample(duration, bytes), bytes);
        });
        self.position += filled;
    }

    fn push(&mut self, duration: u32, data: &[u8], write: &mut dyn FnMut(Sample, &[u8])) {
        write(sample(duration, data), data);
        self.position += u64::from(duration);
    }

    /// How much times jitter: clocks in milliseconds, read with varying care.
    fn jitter_ticks(&self) -> i64 {
        const JITTER_MS: u32 = 5;
        i64::from(self.track.timescale() / 1_000 * JITTER_MS)
    }

    fn duration(&self, data: &[u8]) -> Option<u32> {
        match self.track {
            AudioTrack::Opus { .. } => opus::duration_ticks(data),
            AudioTrack::Aac { .. } => (!data.is_empty()).then_some(self.frame_ticks),
            AudioTrack::Pcmu | AudioTrack::Pcma => {
                u32::try_from(data.len()).ok().filter(|ticks| *ticks > 0)
            }
        }
    }
}

fn sample(duration: u32, bytes: &[u8]) -> Sample {
    Sample {
        duration,
        composition: 0,
        is_sync: true,
        size_bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
    }
}

/// Microseconds of the file as ticks, the nearest.
pub fn to_ticks(us: i64, timescale: u32) -> i64 {
    let ticks = (i128::from(us) * i128::from(timescale) + 500_000).div_euclid(1_000_000);
    i64::try_from(ticks).unwrap_or(if us < 0 { i64::MIN } else { i64::MAX })
}

/// The other way.
pub fn to_us(ticks: u64, timescale: u32) -> i64 {
    let us = u128::from(ticks) * 1_000_000 / u128::from(timescale.max(1));
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPUS_20_MS: &[u8] = &[0xfc, 1, 2, 3];

    fn opus() -> SoundTrack {
        SoundTrack::new(AudioTrack::Opus { channels: 2 }, 0)
    }

    /// Takes a frame; what was written, in ticks, silence as negative.
    fn taken(track: &mut SoundTrack, at_us: i64, data: &[u8]) -> (Heard, Vec<i64>) {
        let mut written = Vec::new();
        let heard = track.take(at_us, data, &mut |sample, bytes| {
            let ticks = i64::from(sample.duration);
            written.push(if bytes == data { ticks } else { -ticks });
        });
        (heard, written)
    }

    #[test]
    fn frames_in_step_follow_one_another() {
        let mut track = opus();
        for n in 0..100 {
            let jitter = if n % 2 == 0 { 4_000 } else { -4_000 };
            let (heard, written) = taken(&mut track, n * 20_000 + jitter, OPUS_20_MS);
            assert_eq!((heard, written), (Heard::Written, vec![960]));
        }
        assert_eq!(track.position_us(), 2_000_000);
    }

    #[test]
    fn what_is_missing_is_silent() {
        let mut track = opus();
        taken(&mut track, 0, OPUS_20_MS);
        let (_, written) = taken(&mut track, 80_000, OPUS_20_MS);
        assert_eq!(written, [-960, -960, -960, 960]);
        // 15 ms, as near as 2.5 ms come to 16.
        let (_, written) = taken(&mut track, 116_000, OPUS_20_MS);
        assert_eq!(
            written.iter().map(|ticks| ticks.abs()).sum::<i64>(),
            720 + 960
        );
    }

    #[test]
    fn a_fast_clock_loses_a_frame_and_a_slow_one_gets_silence() {
        for ppm in [-1_000_i64, 1_000] {
            let mut track = opus();
            let mut late = 0;
            for n in 0..90_000_i64 {
                let at = n * 20_000 + n * 20 * ppm / 1_000;
                let (heard, _) = taken(&mut track, at, OPUS_20_MS);
                late += i64::from(heard == Heard::Late);
                let off = track.position_us() - (at + 20_000);
                assert!(off.abs() <= 20_000, "{n}: {off}");
            }
            assert_eq!(late > 0, ppm < 0);
        }
    }

    #[test]
    fn aac_and_g711_are_counted_in_their_own_frames() {
        let mut aac = SoundTrack::new(
            AudioTrack::Aac {
                config: vec![0x12, 0x10],
                sample_rate: 44_100,
                channels: 2,
            },
            0,
        );
        for n in 0..1_000_i64 {
            // Times in whole milliseconds, as RTMP has them.
            let ms = n * 1_024 * 1_000 / 44_100;
            assert_eq!(taken(&mut aac, ms * 1_000, &[1, 2, 3]).1, [1_024]);
        }
        let (_, written) = taken(&mut aac, 1_100 * 1_024 * 1_000_000 / 44_100, &[1, 2, 3]);
        assert_eq!(written.len(), 101);
        let mut pcmu = SoundTrack::new(AudioTrack::Pcmu, 0);
        taken(&mut pcmu, 0, &[7; 160]);
        let (_, written) = taken(&mut pcmu, 1_000_125, &[7; 160]);
        assert_eq!(
            written.iter().map(|ticks| ticks.abs()).sum::<i64>(),
            8_001 - 160 + 160
        );
    }

    #[test]
    fn a_stream_half_a_frame_off_is_not_torn_by_times_in_milliseconds() {
        for offset_us in (0..22_000).step_by(250) {
            let mut track = SoundTrack::new(
                AudioTrack::Aac {
                    config: vec![0x11, 0x90],
                    sample_rate: 48_000,
                    channels: 2,
                },
                0,
            );
            let mut odd = 0;
            for n in 0..1_000_i64 {
                let at_us = offset_us + n * 1_024 / 48 * 1_000;
                let (heard, written) = taken(&mut track, at_us, &[1, 2, 3]);
                odd += usize::from(heard != Heard::Written || written != [1_024]);
            }
            assert!(odd <= 1, "{odd} frames lost or filled, {offset_us} us off");
        }
    }

    #[test]
    fn what_no_decoder_takes_is_left_out() {
        assert_eq!(taken(&mut opus(), 0, &[]).0, Heard::Broken);
        assert_eq!(taken(&mut opus(), 0, &[0xff]).0, Heard::Broken);
    }
}
