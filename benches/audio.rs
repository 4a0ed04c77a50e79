//! What transcoding audio costs: CPU milliseconds for each second of sound, of
//! every conversion the server does, decoder, resampler and encoder together.
//!
//! `cargo bench --bench audio`

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use ringhall::proto::audio::{AudioSource, AudioTarget, Transcoder};

/// Sound of each measurement.
const SECONDS: u64 = 300;

const OPUS: AudioTarget = AudioTarget::Opus {
    bitrate_bps: 96_000,
};
const AAC: AudioTarget = AudioTarget::Aac {
    bitrate_bps: 128_000,
};

/// A stream: frames with their start in ticks of 48 kHz, over and over.
struct Stream {
    name: &'static str,
    source: AudioSource,
    frames: Vec<(u64, Vec<u8>)>,
    period_ticks: u64,
}

impl Stream {
    /// The audio of a file of `tests/vectors/audio`, three seconds long.
    fn flv(name: &'static str, file: &[u8]) -> Self {
        let (mut source, mut frames, mut rest) = (AudioSource::Speex, Vec::new(), &file[13..]);
        while let [kind, a, b, c, d, e, f, g, _, _, _, tail @ ..] = rest {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let ticks = u64::from(u32::from_be_bytes([*g, *d, *e, *f])) * 48;
            match (kind, &tail[..length]) {
                (8, [0xaf, 0, config @ ..]) => {
                    let config = config.to_vec();
                    source = AudioSource::Aac { config };
                }
                (8, [0xaf, 1, frame @ ..] | [0xb2 | 0xb6, frame @ ..]) => {
                    frames.push((ticks, frame.to_vec()));
                }
                _ => {}
            }
            rest = &tail[length + 4..];
        }
        Stream {
            name,
            source,
            frames,
            period_ticks: 3 * 48_000,
        }
    }

    /// What this stream becomes.
    fn converted(&self, name: &'static str, target: AudioTarget) -> Self {
        let mut transcoder = Transcoder::new(&self.source, &target).expect("a stream we made");
        let mut frames = Vec::new();
        for (ticks, frame) in &self.frames {
            transcoder.push(*ticks, frame, &mut |ticks, frame| {
                frames.push((ticks, frame.to_vec()))
            });
        }
        let source = match target {
            AudioTarget::Opus { .. } => AudioSource::Opus { channels: 2 },
            AudioTarget::Aac { .. } => AudioSource::Aac {
                config: transcoder.header(),
            },
        };
        Stream {
            name,
            source,
            frames,
            period_ticks: self.period_ticks,
        }
    }

    /// CPU milliseconds for each second of it.
    fn cost_ms(&self, target: AudioTarget, seconds: u64) -> f64 {
        let mut transcoder = Transcoder::new(&self.source, &target).expect("a stream we made");
        let mut bytes = 0;
        let before = cpu_ms();
        for round in 0..seconds * 48_000 / self.period_ticks {
            for (ticks, frame) in &self.frames {
                let ticks = round * self.period_ticks + ticks;
                transcoder.push(ticks, frame, &mut |_, frame| bytes += frame.len());
            }
        }
        let spent = cpu_ms() - before;
        assert!(bytes > 0, "{} became nothing", self.name);
        spent / seconds as f64
    }
}

/// Of this thread.
fn cpu_ms() -> f64 {
    let mut spent = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `spent` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut spent) };
    spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6
}

fn main() {
    // `cargo test --benches` only wants to see it run.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let seconds = if is_bench { SECONDS } else { 3 };
    let aac_44 = Stream::flv(
        "AAC-LC 44.1 kHz stereo",
        include_bytes!("../tests/vectors/audio/aac_44100.flv"),
    );
    let speex = Stream::flv(
        "Speex 16 kHz",
        include_bytes!("../tests/vectors/audio/speex_16000.flv"),
    );
    let opus = aac_44.converted("Opus stereo", OPUS);
    let aac_48 = opus.converted("AAC-LC 48 kHz stereo", AAC);
    println!("CPU milliseconds for each second of sound; 10 is a percent of a CPU");
    for (stream, target, becomes) in [
        (&aac_44, OPUS, "Opus 96 kbit/s"),
        (&aac_48, OPUS, "Opus 96 kbit/s"),
        (&speex, OPUS, "Opus 96 kbit/s"),
        (&opus, AAC, "AAC-LC 128 kbit/s"),
        (&speex, AAC, "AAC-LC 128 kbit/s"),
    ] {
        let cost = stream.cost_ms(target, seconds);
        println!("{:<24} -> {becomes:<18} {cost:6.2}", stream.name);
    }
}
