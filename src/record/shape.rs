//! What a file's tracks look like: their size, the black and silence that fill
//! them, and what stands in for a track a stream does not have.

use crate::base::frame_rate::FrameRate;
use crate::proto::depacketise::ParameterSets;
use crate::record::black::h264::BlackH264;
use crate::record::black::vp8::BlackVp8;
use crate::record::filler::{BlackVideo, Filler};
use crate::record::layout::{AudioTrack, Layout, VideoTrack};
use crate::record::silence::Silence;
use crate::wire::codec::VideoCodec;
use crate::wire::h264_sps::picture_format;
use crate::wire::vp8;

/// A member without video is black of this size, which the merge command lays
/// out like anybody's.
const MISSING_WIDTH: u16 = 640;
const MISSING_HEIGHT: u16 = 480;

/// AudioSpecificConfig of AAC-LC at 48 kHz in stereo.
const MISSING_AAC: [u8; 2] = [0x11, 0x90];

/// Rates that streams are made at, as pictures a second.
const NOMINAL_RATES: [u32; 9] = [5, 8, 10, 12, 15, 20, 24, 25, 30];
/// Above the last of them.
const FAST_RATES: [u32; 2] = [50, 60];

/// The size in pixels that a stream's first sequence parameter set tells.
pub fn h264_size(sets: &ParameterSets) -> Option<(u16, u16)> {
    let format = picture_format(sets.sps.first()?)?;
    Some((format.width(), format.height()))
}

/// The size of a VP8 key frame.
pub fn vp8_size(frame: &[u8]) -> Option<(u16, u16)> {
    vp8::key_frame_size(frame).filter(|(width, height)| *width > 0 && *height > 0)
}

/// What stands in for pictures that have not come, or never will.
pub fn missing_video(codec: VideoCodec) -> VideoTrack {
    let (width, height) = (MISSING_WIDTH, MISSING_HEIGHT);
    match codec {
        VideoCodec::Vp8 => VideoTrack::Vp8 { width, height },
        VideoCodec::H264 => VideoTrack::H264 {
            width,
            height,
            sps: Vec::new(),
            pps: Vec::new(),
        },
    }
}

/// AAC that stands in for sound that has not come, or never will.
pub fn missing_aac() -> AudioTrack {
    AudioTrack::Aac {
        config: MISSING_AAC.to_vec(),
        sample_rate: 48_000,
        channels: 2,
    }
}

/// Black and silence for a file's tracks: beside the stream's `sets`, and of
/// the `size` shown last, where there are any.
pub fn filler(
    layout: &Layout,
    sets: &ParameterSets,
    size: Option<(u16, u16)>,
    frame_rate: FrameRate,
) -> Filler {
    let video = layout.video.as_ref().map(|track| match track {
        VideoTrack::H264 { width, height, .. } => {
            let beside = BlackH264::beside(&sets.sps, &sets.pps);
            let (width, height) = size.unwrap_or((*width, *height));
            BlackVideo::H264(beside.unwrap_or_else(|| BlackH264::of_size(width, height)))
        }
        VideoTrack::Vp8 { width, height } => {
            let (width, height) = size.unwrap_or((*width, *height));
            BlackVideo::Vp8(BlackVp8::of_size(width, height))
        }
    });
    Filler {
        video,
        audio: layout.audio.as_ref().map(Silence::of),
        frame_rate,
        composition: 0,
    }
}

/// The layout with the sets of its black behind the stream's own.
pub fn with_black(mut layout: Layout, filler: &Filler) -> Layout {
    if let (Some(VideoTrack::H264 { sps, pps, .. }), Some(BlackVideo::H264(black))) =
        (&mut layout.video, &filler.video)
    {
        sps.push(black.sps().to_vec());
        pps.push(black.pps().to_vec());
    }
    layout
}

/// The rate of pictures shown at these milliseconds: of what lies between them
/// the middle, and of the usual rates the nearest to that.
pub fn frame_rate(shown_ms: &[u64]) -> FrameRate {
    let mut between: Vec<u64> = shown_ms
        .windows(2)
        .filter_map(|pair| match pair {
            [a, b] => b.checked_sub(*a).filter(|ms| *ms > 0),
            _ => None,
        })
        .collect();
    between.sort_unstable();
    let Some(middle_ms) = between.get(between.len() / 2) else {
        return FrameRate::USUAL;
    };
    let off = |rate: &u32| (1_000 / u64::from(*rate)).abs_diff(*middle_ms);
    let rates = NOMINAL_RATES.iter().chain(&FAST_RATES);
    let nearest = rates.min_by_key(|rate| off(rate));
    nearest
        .and_then(|rate| FrameRate::new(*rate, 1))
        .unwrap_or(FrameRate::USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_rate_nearest_to_the_pictures() {
        let at = |ms: u64| (0..30).map(|n| n * ms).collect::<Vec<_>>();
        for (ms, rate) in [
            (33, 30),
            (34, 30),
            (40, 25),
            (67, 15),
            (17, 60),
            (100, 10),
            (900, 5),
        ] {
            assert_eq!(
                frame_rate(&at(ms)),
                FrameRate::new(rate, 1).unwrap(),
                "{ms} ms"
            );
        }
        assert_eq!(frame_rate(&[]), FrameRate::USUAL);
        assert_eq!(frame_rate(&[5]), FrameRate::USUAL);
        assert_eq!(frame_rate(&[7, 7, 7]), FrameRate::USUAL);
        // One pause does not matter.
        assert_eq!(
            frame_rate(&[0, 40, 80, 900, 940, 980]),
            FrameRate::new(25, 1).unwrap()
        );
    }

    #[test]
    fn a_layout_names_the_sets_of_its_black() {
        let layout = Layout {
            video: Some(missing_video(VideoCodec::H264)),
            audio: None,
        };
        let filler = filler(&layout, &ParameterSets::default(), None, FrameRate::USUAL);
        let Some(VideoTrack::H264 { sps, pps, .. }) = with_black(layout, &filler).video else {
            panic!();
        };
        assert_eq!((sps.len(), pps.len()), (1, 1));
    }
}
