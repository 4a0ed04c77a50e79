//! Samples that fill where a stream has nothing: black at the stream's frame
//! rate, and silence.

use super::black::h264::BlackH264;
use super::black::vp8::BlackVp8;
use super::layout::{Sample, Samples, TrackKind, VIDEO_TIMESCALE};
use super::silence::Silence;
use crate::base::frame_rate::FrameRate;

/// Black in the codec of a video track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlackVideo {
    H264(BlackH264),
    Vp8(BlackVp8),
}

impl BlackVideo {
    /// The sample of a picture so many behind its key frame, which itself is 0;
    /// `key_number` counts key frames.
    fn picture(&self, since_key: u32, key_number: u32, sets: ParameterSets) -> &[u8] {
        match self {
            BlackVideo::H264(black) if since_key == 0 && sets == ParameterSets::InBand => {
                black.in_band_idr(key_number)
            }
            BlackVideo::H264(black) => black.picture(since_key, key_number),
            BlackVideo::Vp8(black) if since_key == 0 => black.key(),
            BlackVideo::Vp8(black) => black.inter(),
        }
    }
}

/// Where a player finds the parameter sets of black in H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterSets {
    /// In the decoder configuration record.
    OutOfBand,
    /// In front of every key frame, so that a player may begin at any: for black
    /// of a size other than the record's.
    InBand,
}

/// What a file is filled with. A track that is absent gets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filler {
    pub video: Option<BlackVideo>,
    pub audio: Option<Silence>,
    pub frame_rate: FrameRate,
    /// Black is shown so much later than decoded, in ticks of
    /// [`VIDEO_TIMESCALE`]: behind a stream whose pictures are reordered, what
    /// was decoded last is not shown last.
    pub composition: i32,
}

/// Seconds from one black key frame to the next: a player that seeks decodes no
/// more than that.
const KEY_INTERVAL_S: u32 = 2;

impl Filler {
    /// Fills `video_ticks` of [`VIDEO_TIMESCALE`] exactly, and of `audio_ticks`
    /// of the track's timescale as many as are a multiple of
    /// [`Silence::granule_ticks`].
    pub fn fill(
        &self,
        video_ticks: u64,
        audio_ticks: u64,
        sets: ParameterSets,
    ) -> FillerSamples<'_> {
        FillerSamples {
            filler: self,
            sets,
            key_interval_frames: self.frame_rate.frames_in(KEY_INTERVAL_S),
            frames: 0,
            video: Progress::new(video_ticks),
            audio: Progress::new(audio_ticks),
        }
    }
}

/// Black and silence of one span, as it is filled.
#[derive(Clone, Debug)]
pub struct FillerSamples<'a> {
    filler: &'a Filler,
    sets: ParameterSets,
    key_interval_frames: u32,
    /// Begun so far.
    frames: u64,
    video: Progress,
    audio: Progress,
}

/// Of one track, in its ticks.
#[derive(Clone, Copy, Debug)]
struct Progress {
    at: u64,
    end: u64,
}

impl Progress {
    fn new(end: u64) -> Progress {
        Progress { at: 0, end }
    }

    fn left(self) -> u64 {
        self.end.saturating_sub(self.at)
    }
}

impl Samples for FillerSamples<'_> {
    fn next(&mut self) -> Option<(TrackKind, Sample, &[u8])> {
        let silence = self.silence();
        let black = self.filler.video.as_ref().filter(|_| self.video.left() > 0);
        match (black, silence) {
            (Some(black), Some(_)) if self.is_video_first() => Some(self.next_black(black)),
            (_, Some((duration, bytes))) => {
                self.audio.at += u64::from(duration);
                Some(sample(TrackKind::Audio, duration, true, bytes))
            }
            (Some(black), None) => Some(self.next_black(black)),
            (None, None) => None,
        }
    }
}

impl<'a> FillerSamples<'a> {
    /// The next packet and its duration in ticks.
    fn silence(&self) -> Option<(u32, &'a [u8])> {
        self.filler.audio.as_ref()?.packet(self.audio.left())
    }

    /// Whether the next picture begins no later than the next sound.
    fn is_video_first(&self) -> bool {
        let audio_timescale = self.filler.audio.as_ref().map_or(1, Silence::timescale);
        let video = u128::from(self.video.at) * u128::from(audio_timescale);
        video <= u128::from(self.audio.at) * u128::from(VIDEO_TIMESCALE)
    }

    /// The last picture is shown until the end: a rest of less than half a
    /// frame's time gets none of its own.
    fn next_black(&mut self, black: &'a BlackVideo) -> (TrackKind, Sample, &'a [u8]) {
        let rate = self.filler.frame_rate;
        let interval = u64::from(self.key_interval_frames);
        let since_key = (self.frames % interval) as u32;
        let key_number = (self.frames / interval) as u32;
        self.frames += 1;
        let mut until = rate.start_ticks(self.frames, VIDEO_TIMESCALE);
        let rest = self.video.end.saturating_sub(until);
        if rest < rate.start_ticks(1, VIDEO_TIMESCALE) / 2 {
            until = self.video.end;
        }
        let duration = until.saturating_sub(self.video.at);
        self.video.at = until;
        // A frame lasts a second at most.
        let duration = u32::try_from(duration).unwrap_or(u32::MAX);
        let bytes = black.picture(since_key, key_number, self.sets);
        let (kind, sample, bytes) = sample(TrackKind::Video, duration, since_key == 0, bytes);
        let composition = self.filler.composition;
        (
            kind,
            Sample {
                composition,
                ..sample
            },
            bytes,
        )
    }
}

fn sample(
    kind: TrackKind,
    duration: u32,
    is_sync: bool,
    bytes: &[u8],
) -> (TrackKind, Sample, &[u8]) {
    let sample = Sample {
        duration,
        composition: 0,
        is_sync,
        // Black is capped far below that.
        size_bytes: bytes.len() as u32,
    };
    (kind, sample, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::layout::AudioTrack;

    fn filler(audio: Option<AudioTrack>) -> Filler {
        Filler {
            video: Some(BlackVideo::H264(BlackH264::of_size(320, 240))),
            audio: audio.as_ref().map(Silence::of),
            frame_rate: FrameRate::USUAL,
            composition: 0,
        }
    }

    type Row = (TrackKind, u32, bool, usize);

    fn rows(mut samples: FillerSamples) -> Vec<Row> {
        let mut rows = Vec::new();
        while let Some((kind, sample, bytes)) = samples.next() {
            assert_eq!(sample.size_bytes as usize, bytes.len());
            assert_eq!(sample.composition, 0);
            rows.push((kind, sample.duration, sample.is_sync, bytes.len()));
        }
        assert_eq!(samples.next(), None);
        rows
    }

    fn sum(rows: &[Row], of: TrackKind) -> u64 {
        let track = rows.iter().filter(|(kind, ..)| *kind == of);
        track.map(|(_, duration, ..)| u64::from(*duration)).sum()
    }

    #[test]
    fn both_tracks_are_filled_in_the_order_of_time() {
        let filler = filler(Some(AudioTrack::Opus { channels: 1 }));
        let rows = rows(filler.fill(45 * 90_000, 45 * 48_000, ParameterSets::OutOfBand));
        assert_eq!(sum(&rows, TrackKind::Video), 45 * 90_000);
        assert_eq!(sum(&rows, TrackKind::Audio), 45 * 48_000);
        let (mut video, mut audio, mut before) = (0, 0, 0);
        for (kind, duration, ..) in &rows {
            // In 720,000ths of a second.
            let starts = match kind {
                TrackKind::Video => video * 8,
                TrackKind::Audio => audio * 15,
            };
            assert!(starts >= before);
            before = starts;
            match kind {
                TrackKind::Video => video += u64::from(*duration),
                TrackKind::Audio => audio += u64::from(*duration),
            }
        }
        let pictures: Vec<bool> = rows
            .iter()
            .filter(|(kind, ..)| *kind == TrackKind::Video)
            .map(|(_, _, is_sync, _)| *is_sync)
            .collect();
        assert_eq!(pictures.len(), 45 * 30);
        let keys = pictures.iter().enumerate().filter(|(_, is_sync)| **is_sync);
        assert!(keys.map(|(index, _)| index).eq((0..45 * 30).step_by(60)));
    }

    #[test]
    fn the_last_picture_takes_up_the_rest() {
        let filler = filler(None);
        for (ticks, durations) in [
            (0, vec![]),
            (1, vec![1]),
            (3_000, vec![3_000]),
            (4_499, vec![4_499]),
            (4_500, vec![3_000, 1_500]),
            (8_999, vec![3_000, 3_000, 2_999]),
            (10_000, vec![3_000, 3_000, 4_000]),
        ] {
            let rows = rows(filler.fill(ticks, 99_999, ParameterSets::OutOfBand));
            let found: Vec<u32> = rows.iter().map(|(_, duration, ..)| *duration).collect();
            assert_eq!(found, durations);
        }
    }

    #[test]
    fn a_broken_frame_rate_does_not_drift() {
        let film = Filler {
            frame_rate: FrameRate::new(24_000, 1_001).unwrap(),
            ..filler(None)
        };
        let rows = rows(film.fill(1_001 * 90_000, 0, ParameterSets::OutOfBand));
        assert_eq!(rows.len(), 24_000);
        assert_eq!(sum(&rows, TrackKind::Video), 1_001 * 90_000);
        assert!(rows.iter().all(|row| row.1 == 3_753 || row.1 == 3_754));
    }

    #[test]
    fn sound_never_lasts_longer_than_asked() {
        for track in [
            AudioTrack::Opus { channels: 2 },
            AudioTrack::Pcmu,
            AudioTrack::Aac {
                config: vec![0x12, 0x10],
                sample_rate: 44_100,
                channels: 2,
            },
        ] {
            let filler = filler(Some(track));
            let granule = u64::from(filler.audio.as_ref().unwrap().granule_ticks());
            for ticks in [0, 1, 1_023, 1_024, 5_000, 44_100] {
                let rows = rows(filler.fill(9_000, ticks, ParameterSets::OutOfBand));
                assert_eq!(sum(&rows, TrackKind::Audio), ticks / granule * granule);
                assert_eq!(sum(&rows, TrackKind::Video), 9_000);
            }
        }
    }

    #[test]
    fn key_frames_carry_their_sets_where_they_are_asked_to() {
        let filler = filler(None);
        let Some(BlackVideo::H264(black)) = &filler.video else {
            panic!("no black");
        };
        let mut samples = filler.fill(4 * 90_000, 0, ParameterSets::InBand);
        for index in 0..120 {
            let (_, sample, bytes) = samples.next().unwrap();
            assert_eq!(sample.is_sync, index % 60 == 0);
            let expected = match index {
                0 => black.in_band_idr(0),
                60 => black.in_band_idr(1),
                _ => black.picture(index % 60, index / 60),
            };
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn vp8_has_key_frames_too() {
        let black = BlackVp8::of_size(320, 240);
        let filler = Filler {
            video: Some(BlackVideo::Vp8(black.clone())),
            ..filler(None)
        };
        let rows = rows(filler.fill(3 * 90_000, 0, ParameterSets::InBand));
        for (index, (_, _, is_sync, len)) in rows.iter().enumerate() {
            let is_key = index % 60 == 0;
            let frame = if is_key { black.key() } else { black.inter() };
            assert_eq!((*is_sync, *len), (is_key, frame.len()));
        }
    }

    #[test]
    fn behind_reordered_pictures_black_is_shown_later() {
        let late = Filler {
            composition: 9_000,
            ..filler(Some(AudioTrack::Pcmu))
        };
        let mut samples = late.fill(90_000, 8_000, ParameterSets::InBand);
        while let Some((kind, sample, _)) = samples.next() {
            let expected = if kind == TrackKind::Video { 9_000 } else { 0 };
            assert_eq!(sample.composition, expected);
        }
    }

    #[test]
    fn nothing_is_filled_with_nothing() {
        let nothing = Filler {
            video: None,
            ..filler(None)
        };
        assert_eq!(
            rows(nothing.fill(90_000, 48_000, ParameterSets::InBand)),
            []
        );
    }
}
