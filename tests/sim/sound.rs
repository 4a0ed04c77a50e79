//! Real sound for simulated streams: silence and tone in turn, and when the
//! tone is heard to begin.

#![allow(
    clippy::disallowed_types,
    reason = "sound that never changes is encoded once"
)]

use std::f64::consts::TAU;
use std::sync::LazyLock;

use opus_pure::{Application, OpusDecoder, OpusEncoder};
use ringhall::base::time::Span;
use ringhall::proto::audio::{AudioSource, AudioTarget, Transcoder};
use ringhall::sim::encoder::{Encoding, Sound};

/// Silence, then tone, of equal length: the period of sound encoded here.
const PERIOD_S: f64 = 1.6;

/// Sound that repeats, and where in it the tone begins.
#[derive(Clone, Copy)]
pub struct Bursts {
    pub sound: Sound,
    pub interval: Span,
    /// Packets from one tone's beginning to the next, and to the first.
    pub every: usize,
    pub first: usize,
    /// Of the tone in its packet.
    pub late: Span,
}

impl Bursts {
    pub fn encoding(self) -> Encoding {
        Encoding {
            sound: self.sound,
            sound_interval: self.interval,
            ..Encoding::USUAL
        }
    }

    /// When tones begin, given when each packet was sent, in microseconds.
    pub fn begins(self, sent_us: &[i64]) -> Vec<i64> {
        let begin = sent_us.iter().skip(self.first).step_by(self.every);
        begin.map(|at| at + self.late.as_us() as i64).collect()
    }
}

fn samples() -> Vec<f32> {
    let count = (PERIOD_S * 48_000.0) as usize;
    let sample = |n: usize| {
        let t = n as f64 / 48_000.0;
        let tone = 0.4 * (TAU * 440.0 * t).sin();
        if t < PERIOD_S / 2.0 { 0.0 } else { tone as f32 }
    };
    (0..count).map(sample).collect()
}

/// Packets of 20 ms, stereo; a tone begins with packet 40 of 80.
pub fn opus() -> &'static [Vec<u8>] {
    static PACKETS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let mut encoder = OpusEncoder::new(48_000, 2, Application::Audio).unwrap();
        encoder.bitrate_bps = 96_000;
        let samples = samples();
        let mut packet = [0; 4_000];
        let mut packets = Vec::new();
        for block in samples.chunks_exact(960) {
            let input: Vec<f32> = block.iter().flat_map(|s| [*s, *s]).collect();
            let length = encoder.encode(&input, 960, &mut packet).unwrap();
            packets.push(packet[..length].to_vec());
        }
        packets
    });
    &PACKETS
}

pub fn opus_bursts(sound: Sound) -> Bursts {
    Bursts {
        sound,
        interval: Span::from_ms(20),
        every: 80,
        first: 40,
        late: Span::default(),
    }
}

/// AAC-LC, stereo, 48 kHz.
pub fn aac() -> Bursts {
    static MADE: LazyLock<(Vec<u8>, Vec<Vec<u8>>)> = LazyLock::new(|| {
        let options = syom::EncodeOptions::raw().with_bitrate_bps(96_000);
        let mut encoder = syom::Encoder::new(48_000, 2, &options).unwrap();
        let mut bodies = Vec::new();
        let mut take = |frame: syom::EncodedFrame<'_>| {
            bodies.push([&[0xaf, 1], frame.payload].concat());
            Ok(())
        };
        let samples = samples();
        encoder
            .feed(&[&samples[..], &samples[..]], &mut take)
            .unwrap();
        bodies.truncate(75);
        assert_eq!(bodies.len(), 75);
        ([&[0xaf, 0], encoder.asc()].concat(), bodies)
    });
    Bursts {
        sound: Sound::Real {
            header: &MADE.0,
            bodies: &MADE.1,
        },
        interval: Span::from_us(21_333),
        every: 75,
        // 38,400 samples and 1,024 of priming, in frames of 1,024.
        first: 38,
        late: Span::from_us(10_667),
    }
}

/// Speex, wide band, as ffmpeg makes it: a tone in the second half of each
/// second.
pub fn speex() -> Bursts {
    static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let file = include_bytes!("../vectors/audio/speex_16000.flv");
        let (mut bodies, mut rest) = (Vec::new(), &file[13..]);
        while let [kind, a, b, c, _, _, _, _, _, _, _, tail @ ..] = rest {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if *kind == 8 {
                bodies.push(tail[..length].to_vec());
            }
            rest = &tail[length + 4..];
        }
        bodies.truncate(150);
        assert_eq!(bodies.len(), 150);
        bodies
    });
    Bursts {
        sound: Sound::Real {
            header: &[],
            bodies: &BODIES,
        },
        interval: Span::from_ms(20),
        every: 50,
        first: 25,
        late: Span::default(),
    }
}

/// When tones begin in packets of Opus, each with its time in microseconds.
pub fn onsets<'a>(packets: impl Iterator<Item = (i64, &'a [u8])>) -> Vec<i64> {
    const LOUD: f32 = 0.1;
    const QUIET_US: i64 = 300_000;
    let mut decoder = OpusDecoder::new(48_000, 2).unwrap();
    let mut output = vec![0.0; 5_760 * 2];
    let (mut onsets, mut loud, mut first) = (Vec::new(), None, None);
    for (at, packet) in packets {
        first.get_or_insert(at);
        let Ok(count) = decoder.decode(packet, 5_760, &mut output) else {
            continue;
        };
        for n in 0..count {
            let here = at + n as i64 * 1_000 / 48;
            if output[n * 2].abs() > LOUD {
                let since = loud.or(first).unwrap();
                if here - since > QUIET_US {
                    onsets.push(here);
                }
                loud = Some(here);
            }
        }
    }
    onsets
}

/// The same of AAC frames behind `config`.
pub fn aac_onsets<'a>(config: &[u8], frames: impl Iterator<Item = (i64, &'a [u8])>) -> Vec<i64> {
    let source = AudioSource::Aac {
        config: config.to_vec(),
    };
    let target = AudioTarget::Opus {
        bitrate_bps: 128_000,
    };
    let mut transcoder = Transcoder::new(&source, &target).unwrap();
    let mut packets: Vec<(i64, Vec<u8>)> = Vec::new();
    for (at, frame) in frames {
        let ticks = at as u64 * 48 / 1_000;
        transcoder.push(ticks, frame, &mut |ticks, packet| {
            packets.push((ticks as i64 * 1_000 / 48, packet.to_vec()));
        });
    }
    onsets(packets.iter().map(|(at, packet)| (*at, packet.as_slice())))
}

/// How far, at most, each of `heard` is from the nearest of `expected`.
pub fn farthest(heard: &[i64], expected: &[i64]) -> Span {
    let nearest = |at: &i64| {
        let distances = expected.iter().map(|known| known.abs_diff(*at));
        distances.min().unwrap_or(u64::MAX)
    };
    Span::from_us(heard.iter().map(nearest).max().unwrap_or_default())
}
