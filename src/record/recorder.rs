//! One stream on its way into one file. Takes frames as they are put together,
//! places them on the file's time, fills what is missing, and gives out what
//! the file begins with and then fragments. Refuses frames of another codec than
//! the file's: a file has one for each track.
//!
//! The first second is held back: then it is known which tracks there are, how
//! large and how fast the pictures, and when both tracks really began.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::frame_rate::FrameRate;
use crate::base::time::{Span, Time};
use crate::proto::depacketise::ParameterSets;
use crate::record::cutter::{Cutter, Timescales};
use crate::record::filler::{Filler, ParameterSets as SetsPlace};
use crate::record::fmp4::{Times, UNFINISHED};
use crate::record::gaps::{Gap, keep_long, note};
use crate::record::gathered::{Gathered, Held};
use crate::record::layout::{
    AudioTrack, Layout, Sample, Samples, TrackKind, VIDEO_TIMESCALE, VideoTrack,
};
use crate::record::order::{Begin, Stretch};
use crate::record::picture::{Picture, PictureTrack};
use crate::record::shape;
use crate::record::sound::{SoundTrack, to_ticks};
use crate::record::timeline::{FrameTime, Timeline};
use crate::wire::codec::VideoCodec;
use crate::wire::nal;

/// From the first frame until the file begins.
const GATHERING: Span = Span::from_secs(1);
/// The same while a track is missing that may come.
const GATHERING_WITHOUT: Span = Span::from_secs(2);
/// A fragment waits no longer for what would fill it.
const FRAGMENT_WAIT_US: i64 = 2_000_000;
/// Silence, or black where no picture has come yet, is written for what is this
/// long ago: nothing that arrives is older.
const FILL_LAG: Span = Span::from_ms(1_500);
/// And so much at once. Smaller pieces of black would be key frames only, which
/// are hundreds of times as large as what follows them; those of silence would
/// be several packets where one does, and too short for a gap to be told of.
const FILL_PIECE_US: i64 = 1_000_000;
/// A stream that was silent so long when it ended had ended before.
const LOST_AFTER: Span = Span::from_secs(5);

/// What is known of a stream before its first frame.
#[derive(Clone, Debug)]
pub struct RecorderSpec {
    /// The codec of its pictures, if it may have some.
    pub video: Option<VideoCodec>,
    /// There will be some: a file is black until they come. Otherwise a file
    /// that is not aligned has no such track until it is split for them.
    pub video_is_agreed: bool,
    pub audio: Expected,
    /// What stands in for sound there is none of.
    pub silence: AudioTrack,
    /// The file's time is the room's, and both tracks are always there.
    pub is_aligned: bool,
    /// A longer head is left out: the file begins with the stream then.
    pub shift_max: Span,
}

/// What is known of a stream's sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// There is none.
    #[default]
    None,
    /// It will tell when it comes.
    Unknown,
    Track(AudioTrack),
}

/// One picture of the stream.
#[derive(Clone, Debug)]
pub struct VideoFrame {
    pub time: FrameTime,
    /// From decoding to showing, in ticks of 90 kHz.
    pub composition: i32,
    pub is_key: bool,
    /// H.264: units behind four-byte lengths. VP8: the frame.
    pub data: Bytes,
    /// H.264: the sets from this picture on, where they are others than before.
    pub sets: Option<ParameterSets>,
}

/// What goes into the file next.
#[derive(Clone, Debug)]
pub enum Piece {
    Begin(Box<Begin>),
    Fragment(Bytes),
}

/// What became of a recording, in microseconds of its file.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The file's time zero, on the server's clock.
    pub zero_us: i64,
    /// Where the stream itself begins and ends.
    pub content_from_us: i64,
    pub content_until_us: i64,
    pub layout: Layout,
    pub has_picture: bool,
    pub has_sound: bool,
    /// At most [`RECORD_GAPS_MAX`].
    pub gaps: Vec<Gap>,
    /// Of the pictures shown last.
    pub sets: ParameterSets,
    pub size: Option<(u16, u16)>,
    /// Of the stream, as it began.
    pub frame_rate: Option<FrameRate>,
    /// The most a picture is shown later than decoded, in ticks of 90 kHz.
    pub composition_max: i32,
}

impl Summary {
    /// Black and silence that continue the file.
    pub fn tail_filler(&self) -> Filler {
        let rate = self.frame_rate.unwrap_or(FrameRate::USUAL);
        Filler {
            composition: self.composition_max,
            ..shape::filler(&self.layout, &self.sets, self.size, rate)
        }
    }
}

pub struct Recorder {
    spec: RecorderSpec,
    name: String,
    timeline: Timeline,
    origin: Option<Time>,
    phase: Phase,
    ready: VecDeque<Piece>,
    first_key: Option<Time>,
    first_audio: Option<Time>,
    /// The sound as its stream tells, once it did.
    audio: Option<AudioTrack>,
    summary: Summary,
    /// The newest arrival of either track.
    heard: Time,
}

enum Phase {
    Gathering(Gathered),
    Running(Box<Running>),
    Over,
}

struct Running {
    /// Of the server's clock, at the file's time zero.
    zero_us: i64,
    video: Option<PictureTrack>,
    audio: Option<SoundTrack>,
    filler: Filler,
    out: Fragments,
    /// The sets a decoder knows from the file's beginning, while it was told no
    /// others.
    known_sets: Option<ParameterSets>,
}

/// What goes into the file after its beginning.
struct Fragments {
    cutter: Cutter,
    /// Those to be given out.
    done: VecDeque<Bytes>,
}

impl Recorder {
    /// `name` is the file's, as it will be when it is whole.
    pub fn new(spec: RecorderSpec, name: String) -> Self {
        Recorder {
            audio: match &spec.audio {
                Expected::Track(track) => Some(track.clone()),
                Expected::None | Expected::Unknown => None,
            },
            spec,
            name,
            timeline: Timeline::default(),
            origin: None,
            phase: Phase::Gathering(Gathered::default()),
            ready: VecDeque::new(),
            first_key: None,
            first_audio: None,
            summary: Summary::default(),
            heard: Time::ZERO,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file got another name.
    pub fn rename(&mut self, name: String) {
        self.name = name;
    }

    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The instant this stream would make the origin of its room, while none is
    /// set: its first picture's arrival, or, where sound came for
    /// [`GATHERING_WITHOUT`] and no picture, its first sound's.
    pub fn claims_origin(&self, now: Time) -> Option<Time> {
        if self.origin.is_some() {
            return None;
        }
        let waited = |at: &Time| now.since(*at) >= GATHERING_WITHOUT;
        self.first_key.or(self.first_audio.filter(waited))
    }

    /// Sets the instant the file's time is counted from; once.
    pub fn set_origin(&mut self, origin: Time) {
        self.origin.get_or_insert(origin);
    }

    /// The stream's sound is this from now on. `false`: the file cannot take it,
    /// another must begin.
    #[must_use]
    pub fn audio_is(&mut self, track: &AudioTrack) -> bool {
        let is_open = matches!(self.phase, Phase::Gathering(_));
        match &self.audio {
            Some(known) if known == track => true,
            None if is_open => {
                self.audio = Some(track.clone());
                true
            }
            // Nothing of the other one was heard yet.
            Some(_) if is_open && self.first_audio.is_none() => {
                self.audio = Some(track.clone());
                true
            }
            _ => false,
        }
    }

    /// Takes a frame of the sound [`Recorder::audio_is`] told of.
    pub fn take_audio(&mut self, time: FrameTime, data: Bytes) {
        self.timeline.observe(TrackKind::Audio, &time);
        self.heard = self.heard.max(time.arrival);
        self.first_audio.get_or_insert(time.arrival);
        match &mut self.phase {
            Phase::Gathering(gathered) => gathered.hold(data.len(), Held::Audio(time, data)),
            Phase::Running(_) => self.write_audio(time, &data),
            Phase::Over => {}
        }
    }

    /// Whether the file has no place for pictures: another must begin.
    pub fn has_no_video(&self) -> bool {
        matches!(&self.phase, Phase::Running(running) if running.video.is_none())
    }

    /// Takes a picture; before the first key frame it is none.
    pub fn take_video(&mut self, mut frame: VideoFrame) {
        self.timeline.observe(TrackKind::Video, &frame.time);
        self.heard = self.heard.max(frame.time.arrival);
        if let Some(sets) = &frame.sets {
            self.summary.sets = sets.clone();
        }
        if frame.is_key {
            let size = match self.spec.video {
                Some(VideoCodec::Vp8) => shape::vp8_size(&frame.data),
                _ => shape::h264_size(&self.summary.sets),
            };
            self.summary.size = size.or(self.summary.size);
            // A picture of no known size is none that could be shown.
            if self.summary.size.is_some() {
                self.first_key.get_or_insert(frame.time.arrival);
            }
        }
        if self.first_key.is_none() {
            return;
        }
        match &mut self.phase {
            Phase::Gathering(gathered) => gathered.hold(frame.data.len(), Held::Video(frame)),
            Phase::Running(running) => {
                running.tell_sets(&mut frame, &self.summary.sets);
                self.write_video(frame);
            }
            Phase::Over => {}
        }
    }

    /// Lets time pass: the file begins, silence is filled in, a fragment is
    /// complete. Call it about once a second, and after frames.
    pub fn advance(&mut self, now: Time) {
        if self.is_gathered(now) {
            self.begin(now);
        }
        let Phase::Running(running) = &mut self.phase else {
            return;
        };
        let until_us = running.file_us(now - FILL_LAG);
        running.fill(until_us, FILL_PIECE_US, &mut self.summary);
        running.out.flush_due(running.file_us(now));
        self.collect();
    }

    /// The stream ended: at `now`, or, where nothing came for long, with what
    /// came last. Nothing is taken any more.
    pub fn finish(&mut self, now: Time) {
        let is_lost = now.since(self.heard) > LOST_AFTER;
        let end = if is_lost { self.heard } else { now };
        if matches!(&self.phase, Phase::Gathering(gathered) if !gathered.frames.is_empty()) {
            let claim = self.first_key.or(self.first_audio);
            if let Some(claim) = claim {
                self.origin.get_or_insert(claim);
            }
            self.begin(now);
        }
        if let Phase::Running(running) = &mut self.phase {
            let end_us = running.file_us(end);
            running.close(end_us, &mut self.summary);
        }
        self.collect();
        self.phase = Phase::Over;
    }

    /// What goes into the file next.
    pub fn poll(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    fn is_gathered(&self, now: Time) -> bool {
        let Phase::Gathering(gathered) = &self.phase else {
            return false;
        };
        if self.origin.is_none() || gathered.frames.is_empty() {
            return false;
        }
        let since = |at: Option<Time>| at.map_or(Span::ZERO, |at| now.since(at));
        let lacks_sound = self.spec.audio != Expected::None && self.first_audio.is_none();
        let enough = match (self.first_key, lacks_sound) {
            (Some(at), false) => now.since(at) >= GATHERING,
            (Some(at), true) => now.since(at) >= GATHERING_WITHOUT,
            (None, _) => since(self.first_audio) >= GATHERING_WITHOUT,
        };
        enough || gathered.is_full()
    }

    /// Decides what the file is, and writes what was held back.
    fn begin(&mut self, now: Time) {
        let Some(origin) = self.origin else {
            return;
        };
        let Phase::Gathering(gathered) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return;
        };
        let layout = self.layout();
        let (sets, size) = (&self.summary.sets, self.summary.size);
        let frame_rate = gathered.frame_rate();
        let filler = shape::filler(&layout, sets, size, frame_rate);
        self.summary.frame_rate = Some(frame_rate);
        let layout = shape::with_black(layout, &filler);
        // What is placed now is placed for good: a copy only looks ahead.
        let mut ahead = self.timeline.clone();
        let (first_video_us, first_audio_us) = gathered.first_times(&mut ahead);
        let begins_us = [first_video_us, first_audio_us].into_iter().flatten().min();
        let now_us = micros(now);
        let begins_us = begins_us.unwrap_or(now_us);
        let mut zero_us = micros(origin);
        let shift_max_us = i64::try_from(self.spec.shift_max.as_us()).unwrap_or(i64::MAX);
        if !self.spec.is_aligned || begins_us - zero_us > shift_max_us {
            // Sound from before the first picture is cut.
            let own = first_video_us.unwrap_or(begins_us);
            zero_us = if self.spec.is_aligned { begins_us } else { own };
        }
        let lead_us = |first_us: Option<i64>| first_us.map_or(0, |us| (us - zero_us).max(0));
        let (video_lead_us, audio_lead_us) = (lead_us(first_video_us), lead_us(first_audio_us));
        let head = Stretch {
            video_ticks: match layout.video {
                Some(_) => ticks(video_lead_us, VIDEO_TIMESCALE),
                None => 0,
            },
            audio_ticks: whole_packets(&filler, audio_lead_us),
            filler: filler.clone(),
        };
        self.summary.zero_us = zero_us;
        self.summary.content_from_us = (begins_us - zero_us).max(0);
        self.summary.layout = layout.clone();
        self.audio = layout.audio.clone();
        let running = Running::new(zero_us, &layout, filler, &head, &self.summary.sets);
        let has_head = head.video_ticks > 0 || head.audio_ticks > 0;
        self.ready.push_back(Piece::Begin(Box::new(Begin {
            name: self.name.clone(),
            layout,
            head: has_head.then_some(head),
        })));
        self.phase = Phase::Running(Box::new(running));
        for held in gathered.frames {
            match held {
                Held::Video(frame) => self.write_video(frame),
                Held::Audio(time, data) => self.write_audio(time, &data),
            }
        }
    }

    /// The tracks of the file: those of the stream, and in an aligned file both.
    fn layout(&self) -> Layout {
        let video = match (self.spec.video, self.summary.size) {
            (Some(VideoCodec::Vp8), Some((width, height))) => {
                Some(VideoTrack::Vp8 { width, height })
            }
            (Some(VideoCodec::H264) | None, Some((width, height))) => Some(VideoTrack::H264 {
                width,
                height,
                sps: self.summary.sets.sps.clone(),
                pps: self.summary.sets.pps.clone(),
            }),
            (Some(codec), None) if self.spec.video_is_agreed || self.spec.is_aligned => {
                Some(shape::missing_video(codec))
            }
            (Some(_), None) => None,
            (None, None) if self.spec.is_aligned => Some(shape::missing_video(VideoCodec::H264)),
            (None, None) => None,
        };
        let missing = self.spec.is_aligned.then(|| self.spec.silence.clone());
        Layout {
            video,
            audio: self.audio.clone().or(missing),
        }
    }

    fn write_video(&mut self, frame: VideoFrame) {
        let at_us = self.timeline.place(TrackKind::Video, frame.time);
        let Phase::Running(running) = &mut self.phase else {
            return;
        };
        let at_us = at_us - running.zero_us;
        self.summary.has_picture = true;
        self.summary.composition_max = self.summary.composition_max.max(frame.composition);
        self.summary.content_until_us = self.summary.content_until_us.max(at_us);
        running.picture(at_us, frame, &mut self.summary.gaps);
        self.collect();
    }

    fn write_audio(&mut self, time: FrameTime, data: &[u8]) {
        let at_us = self.timeline.place(TrackKind::Audio, time);
        let Phase::Running(running) = &mut self.phase else {
            return;
        };
        let at_us = at_us - running.zero_us;
        self.summary.has_sound = true;
        self.summary.content_until_us = self.summary.content_until_us.max(at_us);
        running.sound(at_us, data, &mut self.summary.gaps);
        self.collect();
    }

    fn collect(&mut self) {
        if let Phase::Running(running) = &mut self.phase {
            let done = running.out.done.drain(..).map(Piece::Fragment);
            self.ready.extend(done);
        }
    }
}

impl Running {
    fn new(
        zero_us: i64,
        layout: &Layout,
        filler: Filler,
        head: &Stretch,
        sets: &ParameterSets,
    ) -> Self {
        let timescales = Timescales::of_layout(layout);
        let sequence = head.sequence_after(timescales.audio.unwrap_or(1));
        let begins = Times {
            video: head.video_ticks,
            audio: head.audio_ticks,
        };
        let video = layout.video.as_ref();
        let audio = layout.audio.clone();
        Running {
            zero_us,
            video: video.map(|_| PictureTrack::new(head.video_ticks)),
            audio: audio.map(|track| SoundTrack::new(track, head.audio_ticks)),
            filler,
            out: Fragments {
                cutter: Cutter::new(UNFINISHED, timescales, begins, sequence),
                done: VecDeque::new(),
            },
            known_sets: Some(sets.clone()),
        }
    }

    fn file_us(&self, time: Time) -> i64 {
        micros(time) - self.zero_us
    }

    /// Puts sets the file's beginning does not have in front of the picture.
    fn tell_sets(&mut self, frame: &mut VideoFrame, sets: &ParameterSets) {
        if !frame.is_key || self.known_sets.as_ref() == Some(sets) {
            return;
        }
        self.known_sets = None;
        // Once they changed they are told with every key frame: a player may
        // come to any of them from where others were in use.
        let mut data = Vec::with_capacity(frame.data.len() + 64);
        for set in sets.sps.iter().chain(&sets.pps) {
            nal::write_avcc(&mut data, set);
        }
        data.extend_from_slice(&frame.data);
        frame.data = Bytes::from(data);
    }

    fn picture(&mut self, at_us: i64, frame: VideoFrame, gaps: &mut Vec<Gap>) {
        let Some(track) = &mut self.video else {
            return;
        };
        let picture = Picture {
            at_us: at_us.max(track.position_us()),
            composition: frame.composition,
            is_key: frame.is_key,
            data: frame.data,
        };
        if track.is_showing() {
            note(gaps, TrackKind::Video, track.position_us(), picture.at_us);
        } else {
            self.black(picture.at_us);
        }
        let (out, Some(track)) = (&mut self.out, &mut self.video) else {
            return;
        };
        track.take(picture, &mut |sample, bytes| {
            out.push(TrackKind::Video, sample, bytes)
        });
    }

    fn sound(&mut self, at_us: i64, data: &[u8], gaps: &mut Vec<Gap>) {
        let (out, Some(track)) = (&mut self.out, &mut self.audio) else {
            return;
        };
        note(gaps, TrackKind::Audio, track.position_us(), at_us);
        track.take(at_us, data, &mut |sample, bytes| {
            out.push(TrackKind::Audio, sample, bytes);
        });
    }

    /// Silence up to `until_us`, and black where no picture has come yet; of
    /// either nothing, if less than `least_us` of it is missing.
    fn fill(&mut self, until_us: i64, least_us: i64, summary: &mut Summary) {
        let lacks = |position_us: i64| until_us - position_us >= least_us;
        let (out, audio) = (&mut self.out, &mut self.audio);
        if let Some(track) = audio
            && lacks(track.position_us())
        {
            note(
                &mut summary.gaps,
                TrackKind::Audio,
                track.position_us(),
                until_us,
            );
            track.fill_until(until_us, &mut |sample, bytes| {
                out.push(TrackKind::Audio, sample, bytes);
            });
        }
        let is_black = |track: &PictureTrack| !track.is_showing() && lacks(track.position_us());
        if self.video.as_ref().is_some_and(is_black) {
            self.black(until_us);
        }
    }

    fn black(&mut self, until_us: i64) {
        let (out, Some(track)) = (&mut self.out, &mut self.video) else {
            return;
        };
        let until = ticks(until_us, VIDEO_TIMESCALE);
        let missing = until.saturating_sub(track.position());
        if missing == 0 {
            return;
        }
        let mut black = self.filler.fill(missing, 0, SetsPlace::OutOfBand);
        while let Some((kind, sample, bytes)) = black.next() {
            out.push(kind, sample, bytes);
            track.skip(u64::from(sample.duration));
        }
    }

    fn close(&mut self, end_us: i64, summary: &mut Summary) {
        let picture_us = self.filler.frame_rate.start_ticks(1, 1_000_000);
        let picture_us = i64::try_from(picture_us).unwrap_or_default();
        let ends = [
            self.video.as_ref().map(PictureTrack::position_us),
            // The last one is seen as long as those before it.
            self.video
                .as_ref()
                .and_then(|track| track.shown_until_us(picture_us)),
            self.audio.as_ref().map(SoundTrack::position_us),
        ];
        let end_us = ends.into_iter().flatten().fold(end_us, i64::max);
        self.fill(end_us, 0, summary);
        let (out, video) = (&mut self.out, &mut self.video);
        if let Some(track) = video {
            track.close(end_us, &mut |sample, bytes| {
                out.push(TrackKind::Video, sample, bytes)
            });
        }
        summary.content_until_us = end_us;
        keep_long(&mut summary.gaps);
        self.out.flush();
    }
}

impl Fragments {
    fn push(&mut self, kind: TrackKind, sample: Sample, bytes: &[u8]) {
        let before = self.cutter.push(kind, sample, bytes);
        self.done.extend(before.map(Bytes::from));
    }

    /// Gives out what is there, if it has waited long.
    fn flush_due(&mut self, now_us: i64) {
        let since_us = self.cutter.grows_since_us();
        if since_us.is_some_and(|since_us| now_us - since_us > FRAGMENT_WAIT_US) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.done.extend(self.cutter.take().map(Bytes::from));
    }
}

/// Ticks of silence that come nearest to a time: a stream that begins in the
/// middle of one would soon be moved by a whole one.
fn whole_packets(filler: &Filler, us: i64) -> u64 {
    let Some(silence) = &filler.audio else {
        return 0;
    };
    let granule = u64::from(silence.granule_ticks().max(1));
    (ticks(us, silence.timescale()) + granule / 2) / granule * granule
}

fn ticks(us: i64, timescale: u32) -> u64 {
    u64::try_from(to_ticks(us, timescale)).unwrap_or_default()
}

fn micros(time: Time) -> i64 {
    i64::try_from(time.as_us()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
