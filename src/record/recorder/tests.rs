use super::*;
use crate::record::fmp4::FLIP_TO;
use crate::record::read::{Row, open};
use crate::record::sound::to_us;
use crate::record::store::Memory;
use crate::sim::h264_content::{PPS, PictureKind, SPS, picture};

const OPUS: AudioTrack = AudioTrack::Opus { channels: 2 };

fn at(ms: u64) -> Time {
    Time::from_us(ms * 1_000)
}

/// A minute of pictures, of sound or of both, in a file that has both tracks:
/// its fragments, the file as it is then, and
/// what became of it.
fn minute(has_pictures: bool, has_sound: bool) -> (usize, Memory, Summary) {
    let spec = RecorderSpec {
        video: Some(VideoCodec::H264),
        video_is_agreed: true,
        audio: Expected::Track(OPUS),
        silence: OPUS,
        is_aligned: true,
        shift_max: Span::from_secs(1),
    };
    let mut recorder = Recorder::new(spec, String::new());
    recorder.set_origin(at(0));
    for n in 0..3_000 {
        let ms = n * 20;
        let time = |rate: u32| FrameTime {
            ticks: ms * u64::from(rate) / 1_000,
            rate,
            wall_us: None,
            arrival: at(ms),
        };
        if has_pictures && n % 2 == 0 {
            let kind = match n {
                0 => PictureKind::Key,
                _ => PictureKind::Predicted,
            };
            let mut data = Vec::new();
            nal::write_avcc(&mut data, &picture(kind, n as u32, 0, 1_000));
            recorder.take_video(VideoFrame {
                time: time(90_000),
                composition: 0,
                is_key: n == 0,
                data: Bytes::from(data),
                sets: (n == 0).then(|| ParameterSets {
                    sps: vec![SPS.to_vec()],
                    pps: vec![PPS.to_vec()],
                }),
            });
        }
        if has_sound {
            recorder.take_audio(time(48_000), Bytes::from_static(&[0xfc, 1, 2]));
        }
        recorder.advance(at(ms));
    }
    recorder.finish(at(60_000));
    let (mut fragments, mut memory) = (0, Memory::default());
    while let Some(piece) = recorder.poll() {
        match piece {
            Piece::Begin(begin) => {
                begin.write(&mut memory).unwrap();
            }
            Piece::Fragment(bytes) => {
                let from = memory.bytes.len();
                memory.bytes.extend(bytes);
                memory.bytes[from + 4..from + 8].copy_from_slice(&FLIP_TO);
                fragments += 1;
            }
        }
    }
    let summary = recorder.summary().clone();
    (fragments, memory, summary)
}

#[test]
fn black_beside_sound_is_mostly_no_key_frame() {
    let (_, mut memory, _) = minute(false, true);
    let recording = open(&mut memory).unwrap();
    let rows: Vec<_> = recording.rows(TrackKind::Video).collect();
    assert!((1_790..=1_810).contains(&rows.len()), "{}", rows.len());
    let keys = rows.iter().filter(|row| row.sample.is_sync).count();
    assert!((58..=64).contains(&keys), "{keys}");
    // Two key frames in a row would have to tell that they are two (ITU-T H.264
    // section 7.4.3, idr_pic_id).
    let is_pair = |pair: &[Row]| pair[0].sample.is_sync && pair[1].sample.is_sync;
    assert!(!rows.windows(2).any(is_pair));
}

#[test]
fn a_fragment_lasts_a_second_whatever_is_missing() {
    for (has_pictures, has_sound) in [(true, true), (true, false), (false, true)] {
        let (fragments, mut memory, _) = minute(has_pictures, has_sound);
        let case = (has_pictures, has_sound);
        assert!((58..=64).contains(&fragments), "{case:?}: {fragments}");
        let recording = open(&mut memory).unwrap();
        for kind in [TrackKind::Video, TrackKind::Audio] {
            let last = recording.rows(kind).last().unwrap();
            let ticks = last.decode_ticks + u64::from(last.sample.duration);
            let end_us = to_us(ticks, recording.timescale(kind).unwrap());
            assert!((end_us - 60_000_000).abs() < 40_000, "{case:?}: {end_us}");
        }
    }
}

#[test]
fn sound_that_never_comes_is_one_gap_in_whole_packets() {
    let (_, mut memory, summary) = minute(true, false);
    let [gap] = summary.gaps[..] else {
        panic!("{:?}", summary.gaps);
    };
    assert_eq!((gap.track, gap.from_us), (TrackKind::Audio, 0));
    assert!(gap.until_us > 59_900_000, "{}", gap.until_us);
    let recording = open(&mut memory).unwrap();
    let packets = recording.rows(TrackKind::Audio).count();
    assert!((3_000..3_100).contains(&packets), "{packets}");
}
