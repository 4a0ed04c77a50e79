//! Tones and bursts through every conversion. Sources are made by the crates'
//! encoders, and by ffmpeg where a file of `tests/vectors/audio` is named.

use std::f64::consts::TAU;

use opus_pure::{Application, OpusDecoder, OpusEncoder};

use super::*;

/// Sources start here, so that nothing falls before time 0.
const START: u64 = 48_000;

const OPUS: AudioTarget = AudioTarget::Opus {
    bitrate_bps: 96_000,
};
const AAC: AudioTarget = AudioTarget::Aac {
    bitrate_bps: 128_000,
};

type Frames = Vec<(u64, Vec<u8>)>;

/// A signal as a function of the seconds since [`START`].
type Signal = fn(f64) -> f64;

fn tone(t: f64) -> f64 {
    0.4 * (TAU * 440.0 * t).sin()
}

/// The tone, in the second half of each second.
fn bursts(t: f64) -> f64 {
    if t.rem_euclid(1.0) < 0.5 {
        0.0
    } else {
        tone(t)
    }
}

fn sampled(signal: Signal, rate: u32, seconds: f64) -> Vec<f32> {
    let samples = (seconds * f64::from(rate)) as usize;
    (0..samples)
        .map(|n| signal(n as f64 / f64::from(rate)) as f32)
        .collect()
}

fn aac(rate: u32, channels: usize, he: bool, sound: &[f32]) -> (AudioSource, Frames) {
    let options = match he {
        true => syom::EncodeOptions::raw()
            .with_he(true)
            .with_bitrate_bps(48_000),
        false => syom::EncodeOptions::raw().with_bitrate_bps(64_000.min(rate * 4)),
    };
    // Priming of either, in samples that come out (see the crate's options).
    let (length, priming) = if he { (2_048, 3_018) } else { (1_024, 1_024) };
    let mut encoder = syom::Encoder::new(rate, channels, &options).unwrap();
    let mut frames = Frames::new();
    let planes = vec![sound; channels];
    let mut take = |frame: syom::EncodedFrame<'_>| {
        let sample = frames.len() as i64 * length - priming;
        let ticks = START as i64 + sample * 48_000 / i64::from(rate);
        frames.push((ticks as u64, frame.payload.to_vec()));
        Ok(())
    };
    encoder.feed(&planes, &mut take).unwrap();
    let config = encoder.asc().to_vec();
    (AudioSource::Aac { config }, frames)
}

fn opus(channels: usize, frame_ticks: usize, sound: &[f32]) -> (AudioSource, Frames) {
    let mut encoder = OpusEncoder::new(48_000, channels, Application::Audio).unwrap();
    encoder.bitrate_bps = 64_000 * channels as i32;
    let (mut frames, mut packet) = (Frames::new(), [0; 4_000]);
    for (n, block) in sound.chunks_exact(frame_ticks).enumerate() {
        let input: Vec<f32> = block.iter().flat_map(|s| vec![*s; channels]).collect();
        let length = encoder.encode(&input, frame_ticks, &mut packet).unwrap();
        let ticks = START + (n * frame_ticks) as u64;
        frames.push((ticks, packet[..length].to_vec()));
    }
    let channels = channels as u8;
    (AudioSource::Opus { channels }, frames)
}

/// Narrow band, two frames to a packet: Ogg pages (RFC 3533) behind the two of
/// the headers.
fn speex_ogg() -> (AudioSource, Frames) {
    let mut rest: &[u8] = include_bytes!("../../../tests/vectors/audio/speex_8000.ogg");
    let mut packets = vec![Vec::new()];
    while let [b'O', b'g', b'g', b'S', ..] = rest {
        let (lengths, mut body) = rest[27..].split_at(usize::from(rest[26]));
        for length in lengths {
            let (part, tail) = body.split_at(usize::from(*length));
            packets.last_mut().unwrap().extend_from_slice(part);
            body = tail;
            if *length < 255 {
                packets.push(Vec::new());
            }
        }
        rest = body;
    }
    packets.pop();
    let timed = packets.drain(2..).enumerate();
    let frames = timed.map(|(n, packet)| (START + n as u64 * 1_920, packet));
    (AudioSource::Speex, frames.collect())
}

/// The audio of an FLV file as an RTMP server sees it.
fn flv(file: &[u8]) -> (AudioSource, Frames) {
    let (mut source, mut frames, mut rest) = (AudioSource::Speex, Frames::new(), &file[13..]);
    while let [kind, a, b, c, d, e, f, g, _, _, _, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let ms = u64::from(u32::from_be_bytes([*g, *d, *e, *f]));
        match (kind, &tail[..length]) {
            (8, [0xaf, 0, config @ ..]) => {
                let config = config.to_vec();
                source = AudioSource::Aac { config };
            }
            (8, [0xaf, 1, frame @ ..] | [0xb2 | 0xb6, frame @ ..]) => {
                frames.push((START + ms * 48, frame.to_vec()));
            }
            _ => {}
        }
        rest = &tail[length + 4..];
    }
    (source, frames)
}

fn aac_flv() -> (AudioSource, Frames) {
    flv(include_bytes!("../../../tests/vectors/audio/aac_44100.flv"))
}

fn speex_flv() -> (AudioSource, Frames) {
    flv(include_bytes!(
        "../../../tests/vectors/audio/speex_16000.flv"
    ))
}

fn run(transcoder: &mut Transcoder, frames: &Frames) -> Frames {
    let mut out = Frames::new();
    for (ticks, frame) in frames {
        transcoder.push(*ticks, frame, &mut |ticks, frame| {
            out.push((ticks, frame.to_vec()))
        });
    }
    out
}

/// What a listener hears: the left channel at 48 kHz, from [`START`] on, and
/// silence where no frame was.
fn heard(header: &[u8], frames: &Frames) -> Vec<f32> {
    let mut heard = Vec::new();
    let mut put = |ticks: u64, samples: Vec<f32>| {
        for (n, sample) in samples.into_iter().enumerate() {
            let Some(at) = (ticks + n as u64).checked_sub(START) else {
                continue;
            };
            heard.resize(heard.len().max(at as usize + 1), 0.0);
            heard[at as usize] = sample;
        }
    };
    if header.starts_with(b"OpusHead") {
        let channels = usize::from(header[9]);
        let mut decoder = OpusDecoder::new(48_000, channels).unwrap();
        for (ticks, frame) in frames {
            let mut pcm = [0.0; 5_760 * 2];
            let samples = decoder.decode(frame, 5_760, &mut pcm).unwrap();
            assert_eq!((samples, ticks % 960), (960, 0));
            put(
                *ticks,
                pcm.iter().copied().step_by(channels).take(960).collect(),
            );
        }
    } else {
        let options = syom::DecodeOptions::audio();
        let mut decoder = syom::Decoder::from_asc(header, options).unwrap();
        for (ticks, frame) in frames {
            let mut left = Vec::new();
            let keep = |frame: syom::Frame<'_>| {
                left = frame.planar[0].to_vec();
                Ok(())
            };
            decoder.decode_au(frame, keep).unwrap();
            assert_eq!(left.len(), 1_024);
            put(*ticks, left);
        }
    }
    heard
}

/// Amplitude of the 440 Hz tone in `sound`, and its ratio to all else in dB.
fn tone_in(sound: &[f32]) -> (f64, f64) {
    let (mut sin_sum, mut cos_sum) = (0.0, 0.0);
    let at = |n: usize| (TAU * 440.0 * n as f64 / 48_000.0).sin_cos();
    for (n, sample) in sound.iter().enumerate() {
        sin_sum += at(n).0 * f64::from(*sample);
        cos_sum += at(n).1 * f64::from(*sample);
    }
    let scale = 2.0 / sound.len() as f64;
    let (a, b) = (sin_sum * scale, cos_sum * scale);
    let rest: f64 = sound
        .iter()
        .enumerate()
        .map(|(n, sample)| (f64::from(*sample) - a * at(n).0 - b * at(n).1).powi(2))
        .sum();
    let amplitude = a.hypot(b);
    let power = amplitude * amplitude / 2.0 * sound.len() as f64;
    (amplitude, 10.0 * (power / rest).log10())
}

/// When sound starts after a tenth of a second of quiet, in seconds.
fn onsets(sound: &[f32]) -> Vec<f64> {
    let (mut onsets, mut quiet) = (Vec::new(), 0);
    for (n, sample) in sound.iter().enumerate() {
        if sample.abs() > 0.12 {
            if quiet > 4_800 {
                onsets.push(n as f64 / 48_000.0);
            }
            quiet = 0;
        } else {
            quiet += 1;
        }
    }
    onsets
}

#[track_caller]
fn converted(source: &AudioSource, frames: &Frames, target: &AudioTarget) -> Vec<f32> {
    let mut transcoder = Transcoder::new(source, target).unwrap();
    let out = run(&mut transcoder, frames);
    let length = if *target == OPUS { 960 } else { 1_024 };
    let contiguous = out.windows(2).all(|pair| pair[1].0 == pair[0].0 + length);
    assert!(contiguous, "{source:?}");
    let counts = transcoder.counts();
    let expected = AudioCounts {
        frames_in: frames.len() as u64,
        frames_out: out.len() as u64,
        ..AudioCounts::default()
    };
    assert_eq!(counts, expected, "{source:?}");
    heard(&transcoder.header(), &out)
}

/// Every kind of source, of the same signal.
fn sources(signal: Signal, seconds: f64) -> Vec<(AudioSource, Frames)> {
    let sound = |rate| sampled(signal, rate, seconds);
    let mut sources = vec![
        aac(48_000, 2, true, &sound(48_000)),
        aac(44_100, 1, true, &sound(44_100)),
        opus(1, 960, &sound(48_000)),
        opus(2, 120, &sound(48_000)),
        opus(2, 480, &sound(48_000)),
        opus(2, 2_880, &sound(48_000)),
    ];
    for rate in [
        8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
    ] {
        sources.push(aac(rate, 1, false, &sound(rate)));
        sources.push(aac(rate, 2, false, &sound(rate)));
    }
    sources
}

#[test]
fn a_tone_keeps_its_pitch_and_level_and_has_no_clicks() {
    for (source, frames) in sources(tone, 1.6) {
        for target in [OPUS, AAC] {
            let heard = converted(&source, &frames, &target);
            let (amplitude, clean_db) = tone_in(&heard[24_000..60_000]);
            let level_db = 20.0 * (amplitude / 0.4).log10();
            println!("{source:?} {target:?}: {level_db:.2} dB, {clean_db:.1} dB clean");
            assert!(
                level_db.abs() < 0.5,
                "{source:?} {target:?}: {level_db:.2} dB"
            );
            assert!(clean_db > 35.0, "{source:?} {target:?}: {clean_db:.1} dB");
        }
    }
}

#[test]
fn sound_is_heard_when_it_was_made() {
    for (source, frames) in sources(bursts, 2.3) {
        for target in [OPUS, AAC] {
            let onsets = onsets(&converted(&source, &frames, &target));
            println!("{source:?} {target:?}: {onsets:?}");
            assert_eq!(onsets.len(), 2, "{source:?} {target:?}: {onsets:?}");
            for (onset, made) in onsets.iter().zip([0.5, 1.5]) {
                let late_ms = (onset - made) * 1_000.0;
                assert!(
                    late_ms.abs() < 5.0,
                    "{source:?} {target:?}: {late_ms:.1} ms"
                );
            }
        }
    }
}

#[test]
fn what_ffmpeg_makes_is_heard_when_it_was_made() {
    // ffmpeg stamps the priming of AAC too: its sound is 1,024 samples late.
    let files = [(aac_flv(), 0.0232), (speex_flv(), 0.0), (speex_ogg(), 0.0)];
    for ((source, frames), shift) in files {
        for target in [OPUS, AAC] {
            let heard = converted(&source, &frames, &target);
            let onsets = onsets(&heard);
            println!("{target:?}: {onsets:?}");
            for (onset, made) in onsets.iter().zip([0.5, 1.5, 2.5]) {
                let late_ms = (onset - made - shift) * 1_000.0;
                assert!(
                    late_ms.abs() < 5.0,
                    "{source:?} {target:?}: {late_ms:.1} ms"
                );
            }
            let (amplitude, clean_db) = tone_in(&heard[77_000..91_000]);
            assert!(
                (amplitude - 0.4).abs() < 0.02 && clean_db > 15.0,
                "{amplitude} {clean_db}"
            );
        }
    }
}

#[test]
fn a_minute_of_44_100_hz_in_milliseconds_does_not_drift() {
    let (source, mut frames) = aac(44_100, 1, false, &sampled(bursts, 44_100, 60.0));
    for (ticks, _) in &mut frames {
        *ticks = *ticks / 48 * 48;
    }
    let onsets = onsets(&converted(&source, &frames, &OPUS));
    assert_eq!(onsets.len(), 60);
    for (n, onset) in onsets.iter().enumerate() {
        let late_ms = (onset - 0.5 - n as f64) * 1_000.0;
        assert!(late_ms.abs() < 3.0, "second {n}: {late_ms:.1} ms");
    }
}

#[test]
fn lost_frames_leave_the_rest_where_it_was() {
    for (source, frames) in [
        opus(1, 960, &sampled(bursts, 48_000, 3.6)),
        aac(44_100, 1, false, &sampled(bursts, 44_100, 3.6)),
    ] {
        // Single ones, and most of the second second.
        let kept = |n: usize, ticks: u64| n % 9 != 3 && !(96_000..140_000).contains(&ticks);
        let frames: Frames = frames
            .into_iter()
            .enumerate()
            .filter(|(n, (ticks, _))| kept(*n, *ticks))
            .map(|(_, frame)| frame)
            .collect();
        let mut transcoder = Transcoder::new(&source, &OPUS).unwrap();
        let out = run(&mut transcoder, &frames);
        assert!(out.windows(2).all(|pair| pair[1].0 == pair[0].0 + 960));
        let counts = transcoder.counts();
        assert!(counts.gaps_filled > 10 && counts.jumps == 0, "{counts:?}");
        let heard = heard(&transcoder.header(), &out);
        let late_ms = (onsets(&heard).last().unwrap() - 3.5) * 1_000.0;
        // The onset itself may be lost.
        assert!(
            (-5.0..28.0).contains(&late_ms),
            "{source:?}: {late_ms:.1} ms"
        );
    }
}

#[test]
fn a_jump_is_followed_at_once() {
    for target in [OPUS, AAC] {
        let (source, frames) = opus(2, 960, &sampled(bursts, 48_000, 2.0));
        let mut transcoder = Transcoder::new(&source, &target).unwrap();
        let before = run(&mut transcoder, &frames);
        let late: Frames = frames
            .iter()
            .map(|(t, f)| (t + 10 * 48_000, f.clone()))
            .collect();
        let after = run(&mut transcoder, &late);
        assert_eq!(transcoder.counts().jumps, 1);
        // What the encoder still held comes out before the jump, late by it.
        assert!(before.last().unwrap().0 < START + 96_000);
        let first = after
            .iter()
            .position(|(ticks, _)| *ticks > START + 9 * 48_000)
            .unwrap();
        assert!(first <= 3, "{first}");
        let all: Frames = before.into_iter().chain(after).collect();
        let onsets = onsets(&heard(&transcoder.header(), &all));
        for (onset, made) in onsets.iter().zip([0.5, 1.5, 10.5, 11.5]) {
            assert!((onset - made).abs() < 0.005, "{target:?}: {onsets:?}");
        }
        // And back.
        let again = run(&mut transcoder, &frames);
        assert_eq!(transcoder.counts().jumps, 2);
        assert!(again.last().unwrap().0 < START + 96_000);
    }
}

#[test]
fn broken_frames_cost_only_their_own_time() {
    let sound = |rate| sampled(tone, rate, 3.0);
    let sources = [
        aac_flv(),
        speex_flv(),
        aac(44_100, 1, true, &sound(44_100)),
        speex_ogg(),
        opus(2, 960, &sound(48_000)),
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for (source, mut frames) in sources {
        for (_, frame) in frames.iter_mut().step_by(2) {
            match random() % 3 {
                0 => frame.truncate(random() % frame.len()),
                1 => frame.iter_mut().for_each(|byte| *byte = random() as u8),
                _ => {
                    let at = random() % frame.len();
                    frame[at] ^= 1 << (random() % 8);
                }
            }
        }
        let mut transcoder = Transcoder::new(&source, &AAC).unwrap();
        let out = run(&mut transcoder, &frames);
        let counts = transcoder.counts();
        assert_eq!((counts.unencoded, counts.jumps), (0, 0), "{source:?}");
        assert!(
            out.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1_024),
            "{source:?}"
        );
        // An honest decoder takes all of it.
        heard(&transcoder.header(), &out);
    }
}

#[test]
fn absurd_times_are_survived() {
    let (source, frames) = opus(1, 960, &sampled(tone, 48_000, 0.2));
    let mut transcoder = Transcoder::new(&source, &AAC).unwrap();
    for ticks in [0, 1, u64::MAX, 0, 1 << 60, u64::MAX - 1, 1 << 63, 960] {
        transcoder.push(ticks, &frames[0].1, &mut |_, _| {});
        transcoder.push(ticks, &[], &mut |_, _| {});
    }
    assert_eq!(transcoder.counts().unencoded, 0);
}

#[test]
fn headers_are_those_players_expect() {
    let transcoder = Transcoder::new(&AudioSource::Opus { channels: 2 }, &AAC).unwrap();
    assert_eq!(transcoder.header(), [0x11, 0x90]);
    let transcoder = Transcoder::new(&AudioSource::Speex, &OPUS).unwrap();
    let mut head = b"OpusHead\x01\x01\x38\x01".to_vec();
    head.extend([0x80, 0xbb, 0, 0, 0, 0, 0]);
    assert_eq!(transcoder.header(), head);
}

#[test]
fn impossible_streams_are_refused_by_name() {
    let refused = |source| Transcoder::new(&source, &OPUS).err();
    assert_eq!(
        refused(AudioSource::Opus { channels: 6 }),
        Some(AudioError::OpusChannels(6))
    );
    for config in [vec![], vec![0x12], vec![0xff, 0xff, 0xff]] {
        assert_eq!(
            refused(AudioSource::Aac { config }),
            Some(AudioError::AacConfig)
        );
    }
}

#[test]
fn any_bitrate_is_brought_into_range() {
    let source = AudioSource::Speex;
    for bitrate_bps in [0, 1, u32::MAX] {
        assert!(Transcoder::new(&source, &AudioTarget::Opus { bitrate_bps }).is_ok());
        assert!(Transcoder::new(&source, &AudioTarget::Aac { bitrate_bps }).is_ok());
    }
}
