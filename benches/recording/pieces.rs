//! What recording is made of, by itself: frames on their way into a file, a
//! fragment, a head of black and silence, and making an hour whole.

use std::error::Error;

use bytes::Bytes;
use ringhall::base::frame_rate::FrameRate;
use ringhall::base::time::{Span, Time};
use ringhall::core::record::FileTask;
use ringhall::proto::depacketise::ParameterSets;
use ringhall::record::fmp4::{Fragment, Times};
use ringhall::record::layout::{Layout, Sample, TrackKind, VideoTrack};
use ringhall::record::order::{Begin, FileDone, FileOrder, RecordingId, Stretch};
use ringhall::record::recorder::{Expected, Piece, Recorder, RecorderSpec, VideoFrame};
use ringhall::record::shape;
use ringhall::record::timeline::FrameTime;
use ringhall::record::writer::{Durability, Ended, Writer};
use ringhall::sim::h264_content::{PPS, SPS};
use ringhall::wire::codec::VideoCodec;
use ringhall::wire::nal;

use crate::Options;
use crate::shared::film::{Film, Shot, Sound, at};
use crate::shared::meter::Meter;
use crate::shared::recorded::compare;
use crate::shared::samples::Samples;
use crate::shared::sink::{Clerk, Sink};
use crate::shared::verdict::Verdict;

/// Of the clerk's cores, those of this part.
const FILES_CORE: u16 = 100;
const HEAD_CORE: u16 = 101;
const HOUR_CORE: u16 = 102;

/// When the films begin, on the server's clock.
const BEGAN: Time = Time::from_us(10_000_000);

/// One frame as the core hands it to the recorder.
#[derive(Clone)]
struct Frame {
    at_us: u64,
    /// Of a picture: whether it is a key frame. `None`: sound.
    is_key: Option<bool>,
    data: Bytes,
}

/// So much of a film, its pictures behind their lengths.
fn frames(film: &mut Film, seconds: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    while film.next_us() < seconds * 1_000_000 {
        let (at_us, shot) = film.take();
        let (is_key, data) = match shot {
            Shot::Sound(packet) => (None, packet),
            Shot::Picture { is_key, unit } => {
                let mut data = Vec::new();
                nal::write_avcc(&mut data, &unit);
                (Some(is_key), data)
            }
        };
        let data = Bytes::from(data);
        frames.push(Frame {
            at_us,
            is_key,
            data,
        });
    }
    frames
}

fn sets() -> ParameterSets {
    ParameterSets {
        sps: vec![SPS.to_vec()],
        pps: vec![PPS.to_vec()],
    }
}

fn layout() -> Layout {
    let size = shape::h264_size(&sets()).unwrap_or_default();
    Layout {
        video: Some(VideoTrack::H264 {
            width: size.0,
            height: size.1,
            sps: sets().sps,
            pps: sets().pps,
        }),
        audio: Some(Sound::Opus.track()),
    }
}

/// A recorder on its way into a file.
struct Filing {
    recorder: Recorder,
    writer: Option<Writer>,
    sink: Sink,
    id: RecordingId,
    spent_ns: u64,
    ended: Option<Ended>,
}

impl Filing {
    fn new(name: &str, sink: Sink, id: u64) -> Self {
        let spec = RecorderSpec {
            video: Some(VideoCodec::H264),
            video_is_agreed: true,
            audio: Expected::Track(Sound::Opus.track()),
            silence: Sound::Opus.track(),
            is_aligned: true,
            shift_max: Span::from_secs(1),
        };
        let mut recorder = Recorder::new(spec, name.to_string());
        recorder.set_origin(BEGAN);
        Filing {
            recorder,
            writer: None,
            sink,
            id: RecordingId(id),
            spent_ns: 0,
            ended: None,
        }
    }

    /// Takes frames, a second at once; nanoseconds of CPU of the caller.
    fn take(&mut self, frames: &[Frame], meter: &Meter) -> u64 {
        let before = self.spent_ns;
        for second in frames.chunk_by(|a, b| a.at_us / 1_000_000 == b.at_us / 1_000_000) {
            let (ns, ()) = meter.time(|| second.iter().for_each(|frame| self.frame(frame)));
            self.spent_ns += ns;
            self.settle(meter);
        }
        self.spent_ns - before
    }

    /// Ends at so many seconds of the film, and makes the file whole.
    fn close(&mut self, seconds: u64, meter: &Meter) -> Option<Ended> {
        self.recorder.finish(at(BEGAN, seconds * 1_000_000));
        self.pump();
        if let Some(writer) = &mut self.writer {
            writer.close();
        }
        self.pump();
        self.settle(meter);
        self.ended
    }

    fn frame(&mut self, frame: &Frame) {
        let arrival = at(BEGAN, frame.at_us);
        let rate = if frame.is_key.is_some() {
            90_000
        } else {
            48_000
        };
        let time = FrameTime {
            ticks: frame.at_us * u64::from(rate) / 1_000_000,
            rate,
            wall_us: Some(frame.at_us as i64),
            arrival,
        };
        match frame.is_key {
            None => self.recorder.take_audio(time, frame.data.clone()),
            Some(is_key) => self.recorder.take_video(VideoFrame {
                time,
                composition: 0,
                is_key,
                data: frame.data.clone(),
                sets: (frame.at_us == 0).then(sets),
            }),
        }
        self.recorder.advance(arrival);
        self.pump();
    }

    /// As the core does it.
    fn pump(&mut self) {
        while let Some(piece) = self.recorder.poll() {
            match (piece, &mut self.writer) {
                (Piece::Begin(begin), writer) => {
                    *writer = Some(Writer::new(begin, Durability::Never));
                }
                (Piece::Fragment(bytes), Some(writer)) => writer.push(bytes),
                (Piece::Fragment(_), None) => {}
            }
        }
        if let Some(order) = self.writer.as_mut().and_then(Writer::next_order) {
            self.sink.submit(self.id, FileTask::Order(order));
        }
    }

    fn settle(&mut self, meter: &Meter) {
        while !self.sink.is_idle() {
            self.sink.wait();
            let (ns, ()) = meter.time(|| {
                while let Some((_, done)) = self.sink.take() {
                    let ended = self.writer.as_mut().and_then(|writer| writer.done(done));
                    self.ended = self.ended.or(ended);
                }
                self.pump();
            });
            self.spent_ns += ns;
        }
    }
}

pub fn run(
    options: &Options,
    clerk: &Clerk,
    meter: &Meter,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    let minutes = if options.is_test { 1 } else { 60 };
    println!("\npieces, CPU time: median [min - p90]\n");
    println!("| piece | cost |\n|---|---|");
    fragment(options, meter, verdict);
    head(options, clerk, verdict)?;
    hour(options, clerk, meter, minutes, verdict)
}

/// A second of the stream into one buffer.
fn fragment(options: &Options, meter: &Meter, verdict: &mut Verdict) {
    const TIMES: u64 = 200;
    let second = frames(&mut Film::new(7, Sound::Opus), 12);
    let second: Vec<Frame> = second
        .into_iter()
        .filter(|f| f.at_us >= 11_000_000)
        .collect();
    let bytes: usize = second.iter().map(|frame| frame.data.len()).sum();
    let mut spent = Samples::default();
    let (mut fragment, mut made_bytes) = (Fragment::new(), 0);
    for _ in 0..options.rounds * 5 {
        let (ns, ()) = meter.time(|| {
            for sequence in 1..=TIMES as u32 {
                for frame in &second {
                    let (kind, duration) = match frame.is_key {
                        Some(_) => (TrackKind::Video, 3_000),
                        None => (TrackKind::Audio, 960),
                    };
                    let sample = Sample {
                        duration,
                        composition: 0,
                        is_sync: frame.is_key != Some(false),
                        size_bytes: 0,
                    };
                    fragment.push(kind, sample, &frame.data);
                }
                made_bytes = fragment.take(sequence, Times::default()).len();
            }
        });
        spent.add(ns as f64 * 1e-3 / TIMES as f64);
    }
    verdict.check(made_bytes > bytes, || {
        format!("a fragment of {bytes} bytes has {made_bytes}")
    });
    println!(
        "| a fragment: {} samples, {} kB and {} bytes around them | {spent:.1} µs |",
        second.len(),
        bytes / 1_000,
        made_bytes - bytes
    );
}

/// 45 minutes of black and silence, written before a stream.
fn head(options: &Options, clerk: &Clerk, verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    const SECONDS: u64 = 45 * 60;
    let filler = shape::filler(
        &layout(),
        &sets(),
        shape::h264_size(&sets()),
        FrameRate::USUAL,
    );
    let mut spent = Samples::default();
    let mut sink = Sink::files(clerk, HEAD_CORE);
    let mut bytes = 0;
    for round in 0..options.rounds {
        let begin = Begin {
            name: format!("head-{round}.mp4"),
            layout: shape::with_black(layout(), &filler),
            head: Some(Stretch {
                filler: filler.clone(),
                video_ticks: SECONDS * 90_000,
                audio_ticks: SECONDS * 48_000,
            }),
        };
        let before = clerk.cpu_ns()?;
        let done = order(&mut sink, round as u64, FileOrder::Begin(Box::new(begin)));
        spent.add(settled_ns(clerk, before)? as f64 * 1e-6);
        let Some(FileDone::Begun { len_bytes, .. }) = done else {
            return Err(format!("no head: {done:?}").into());
        };
        bytes = len_bytes;
        let done = order(&mut sink, round as u64, FileOrder::Finish);
        let Some(FileDone::Whole(whole)) = done else {
            return Err(format!("not whole: {done:?}").into());
        };
        verdict.check(whole.duration_us == SECONDS * 1_000_000, || {
            format!("a head lasts {} us", whole.duration_us)
        });
    }
    println!(
        "| a head of 45 minutes: {:.1} MB of black and silence | {spent:.0} ms |",
        bytes as f64 * 1e-6
    );
    Ok(())
}

/// Frames in, file out; and that file made whole.
fn hour(
    options: &Options,
    clerk: &Clerk,
    meter: &Meter,
    minutes: u64,
    verdict: &mut Verdict,
) -> Result<(), Box<dyn Error>> {
    let (mut filing_ms, mut whole_ms) = (Samples::default(), Samples::default());
    let (mut size_bytes, mut samples) = (0, 0);
    for round in 0..options.rounds.min(3) {
        let name = format!("hour-{round}.mp4");
        let mut film = Film::new(round as u64, Sound::Opus);
        let sink = Sink::files(clerk, HOUR_CORE);
        let mut filing = Filing::new(&name, sink, round as u64);
        for minute in 1..=minutes {
            let minute = frames(&mut film, minute * 60);
            let before = clerk.cpu_ns()?;
            let ns = filing.take(&minute, meter);
            let desk_ns = settled_ns(clerk, before)?;
            filing_ms.add((ns + desk_ns) as f64 * 1e-6);
        }
        let (pictures, sounds) = (film.pictures, film.sounds);
        let before = clerk.cpu_ns()?;
        let ended = filing.close(minutes * 60, meter);
        whole_ms.add(settled_ns(clerk, before)? as f64 * 1e-6);
        let Some(Ended::Whole(whole)) = ended else {
            return Err(format!("{name} is not whole: {ended:?}").into());
        };
        (size_bytes, samples) = (whole.size_bytes, whole.video_samples + whole.audio_samples);
        let path = clerk.folder.join(&name);
        let film = Film::new(round as u64, Sound::Opus);
        let found = compare(&path, film, pictures, sounds).map_err(|why| why.to_string());
        verdict.check(found.is_ok(), || format!("{name}: {found:?}"));
        std::fs::remove_file(path)?;
    }
    println!("| a minute of frames into a file, the files' thread included | {filing_ms:.1} ms |");
    println!(
        "| {minutes} minutes made whole: {:.0} MB, {samples} samples | {whole_ms:.0} ms |",
        size_bytes as f64 * 1e-6
    );
    Ok(())
}

/// Has one order done.
fn order(sink: &mut Sink, id: u64, order: FileOrder) -> Option<FileDone> {
    sink.submit(RecordingId(id), FileTask::Order(order));
    sink.wait();
    sink.take().map(|(_, done)| done)
}

/// CPU time of the files' thread since `before`, once it is at rest: what it
/// counts is brought up to date when it sleeps.
fn settled_ns(clerk: &Clerk, before: u64) -> std::io::Result<u64> {
    let mut last = 0;
    loop {
        std::thread::sleep(std::time::Duration::from_millis(1));
        let now = clerk.cpu_ns()?;
        if now == last {
            return Ok(now - before);
        }
        last = now;
    }
}

/// Makes a file of so much film; pictures and sounds of it, and CPU
/// milliseconds for each minute, as [`hour`] counts them.
pub fn file(
    name: &str,
    minutes: u64,
    clerk: &Clerk,
    meter: &Meter,
) -> Result<([u32; 2], f64), Box<dyn Error>> {
    let mut film = Film::new(1, Sound::Opus);
    let mut filing = Filing::new(name, Sink::files(clerk, FILES_CORE), 0);
    let mut spent_ns = 0;
    for minute in 1..=minutes {
        let minute = frames(&mut film, minute * 60);
        let before = clerk.cpu_ns()?;
        let ns = filing.take(&minute, meter);
        spent_ns += ns + settled_ns(clerk, before)?;
    }
    match filing.close(minutes * 60, meter) {
        Some(Ended::Whole(_)) => Ok((
            [film.pictures, film.sounds],
            spent_ns as f64 * 1e-6 / minutes as f64,
        )),
        ended => Err(format!("{name} is not whole: {ended:?}").into()),
    }
}
