//! The clocks between RTMP (milliseconds in 32 bits, one clock for audio and
//! video) and RTP (ticks in 32 bits, one clock per track): owns exact 64-bit
//! counts of both, what happens when a sender's clock jumps, and the alignment
//! of audio and video toward RTMP. Refuses to step a track back.

use crate::base::time::{Ntp, Span, Time};

/// Which of a stream's two tracks a timestamp belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Audio,
    Video,
}

/// A timestamp that disagrees by more than this with the time that passed is a
/// clock set anew, not a pause or a burst.
const JUMP: Span = Span::from_secs(10);

/// A step back by more than this is no interleaving of audio and video, which
/// encoders sort by time, but a clock set anew.
const BACK_MAX_MS: i64 = 3_000;

/// Where 24-bit timestamps of RTMP wrap, when a sender forgets to extend them
/// (RTMP 1.0 section 5.3.1.3).
const WRAP_24: i64 = 1 << 24;

/// Unwraps RTP timestamps exactly: the low 32 bits of each count are the
/// timestamp, and it is the nearest such count to the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct TickUnwrap {
    last: Option<u64>,
}

impl TickUnwrap {
    /// The first count is 2^32 ahead of its timestamp, so that an earlier one
    /// that comes later has a count too.
    pub fn count_of(&mut self, timestamp: u32) -> u64 {
        let count = match self.last {
            None => u64::from(timestamp) + (1 << 32),
            Some(last) => {
                let step = i64::from(timestamp.wrapping_sub(last as u32) as i32);
                last.checked_add_signed(step)
                    .unwrap_or(u64::from(timestamp))
            }
        };
        self.last = Some(count);
        count
    }
}

/// Milliseconds in ticks of a clock of `rate` Hz, wrapping as RTP timestamps do.
pub fn ms_to_ticks(ms: u64, rate: u32) -> u32 {
    let ticks = u128::from(ms) * u128::from(rate) / 1_000;
    ticks as u32
}

/// The timeline of an RTMP publisher. Audio and video share it, because they
/// share the sender's clock; each by itself never goes back on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RtmpTimeline {
    last: Option<Reading>,
    /// The last time given out, by lane.
    given_ms: [u64; 2],
}

/// A timestamp, the time it stood for, and when it came.
#[derive(Clone, Copy, Debug)]
struct Reading {
    timestamp: u32,
    /// Milliseconds on the timeline, unclamped.
    at_ms: i64,
    arrival: Time,
}

impl RtmpTimeline {
    pub fn new() -> Self {
        Self::default()
    }

    /// The time of a message's `timestamp` in milliseconds. While the sender's
    /// clock is sound, the low 32 bits are the timestamp itself. Small steps
    /// back (audio and video interleaved) are followed, but for the lane
    /// itself, which waits. A clock that jumps, by more than 10 s against
    /// the time that passed or by 3 s back, is taken to go on where it was; one that wrapped at 24
    /// bits goes on exactly.
    pub fn on_timestamp(&mut self, lane: Lane, timestamp: u32, now: Time) -> u64 {
        let at_ms = match self.last {
            None => i64::from(timestamp),
            Some(last) => last.at_ms.saturating_add(last.step_to(timestamp, now)),
        };
        self.last = Some(Reading {
            timestamp,
            at_ms,
            arrival: now,
        });
        let given = lane_mut(&mut self.given_ms, lane);
        *given = (*given).max(u64::try_from(at_ms).unwrap_or_default());
        *given
    }
}

impl Reading {
    /// Milliseconds from this reading to `timestamp`, read at `now`.
    fn step_to(&self, timestamp: u32, now: Time) -> i64 {
        let passed = i64::try_from(now.since(self.arrival).as_ms()).unwrap_or(i64::MAX);
        let step = i64::from(timestamp.wrapping_sub(self.timestamp) as i32);
        let is_sound = |step: &i64| {
            *step >= -BACK_MAX_MS
                && (*step <= JUMP.as_ms() as i64 || step.abs_diff(passed) <= JUMP.as_ms())
        };
        // A pause, too, may hide a wrap at 24 bits; the plain reading is first.
        [
            step,
            step.saturating_add(WRAP_24),
            step.saturating_sub(WRAP_24),
        ]
        .into_iter()
        .find(is_sound)
        .unwrap_or(passed)
    }
}

fn lane_mut(lanes: &mut [u64; 2], lane: Lane) -> &mut u64 {
    let [audio, video] = lanes;
    match lane {
        Lane::Audio => audio,
        Lane::Video => video,
    }
}

/// Where the first frame is on the timeline toward RTMP, in microseconds: a
/// track that turns out to be older by up to this is still placed right.
const HEADROOM_US: i64 = 1_000_000;

/// Video is moved toward the audio by 1/20 of the time that passes: 40 ms are
/// made up in 0.8 s, and nobody sees it.
const SLEW: i64 = 20;

/// Sender reports that place video this far from where its arrival does are not
/// of one clock, and are not believed.
const DISBELIEF_US: u64 = 5_000_000;

/// When a frame of one track was captured and when it came.
#[derive(Clone, Copy, Debug)]
pub struct FrameTime {
    /// Unwrapped RTP timestamp.
    pub ticks: u64,
    /// Of the RTP clock, in Hz.
    pub rate: u32,
    pub arrival: Time,
    /// The publisher's wall clock at that timestamp, from its sender reports
    /// ([`ClockMap::ntp_of`](crate::proto::reception::ClockMap::ntp_of)).
    pub ntp: Option<Ntp>,
}

/// Places the frames of a WebRTC publication's audio and video on one timeline
/// of milliseconds. Audio is the master: its times are its ticks, never moved.
/// Video begins by arrival, or by sender reports where both tracks have them,
/// and is slewed toward what the reports say. Neither ever goes back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alignment {
    audio: Option<Track>,
    video: Option<Track>,
}

#[derive(Clone, Copy, Debug)]
struct Track {
    /// Ticks and time from which further times are counted; moved on a jump
    /// only.
    base_ticks: u64,
    base_us: i64,
    /// Added to the count, by slewing.
    slewed_us: i64,
    last: FrameTime,
    /// The last frame's time, and the latest given out.
    last_us: i64,
    given_ms: u64,
}

impl Alignment {
    pub fn new() -> Self {
        Self::default()
    }

    /// The time of a frame in milliseconds; frames of a lane in their order.
    /// The first frame of all is at 1,000.
    pub fn place(&mut self, lane: Lane, frame: FrameTime) -> u64 {
        let (own, other) = match lane {
            Lane::Audio => (&mut self.audio, &self.video),
            Lane::Video => (&mut self.video, &self.audio),
        };
        let by_arrival = other.as_ref().map(|other| other.by_arrival(&frame));
        let by_arrival = by_arrival.unwrap_or(HEADROOM_US);
        let by_reports = other
            .as_ref()
            .and_then(|other| other.by_reports(&frame))
            .filter(|reported| reported.abs_diff(by_arrival) <= DISBELIEF_US);
        match own {
            None => own
                .insert(Track::begin(frame, by_reports.unwrap_or(by_arrival)))
                .give(),
            Some(track) => {
                track.advance(frame, by_reports.filter(|_| lane == Lane::Video));
                track.give()
            }
        }
    }
}

impl Track {
    fn begin(frame: FrameTime, at_us: i64) -> Self {
        Track {
            base_ticks: frame.ticks,
            base_us: at_us,
            slewed_us: 0,
            last: frame,
            last_us: at_us,
            given_ms: 0,
        }
    }

    /// Where a frame of the other track is by when it came.
    fn by_arrival(&self, frame: &FrameTime) -> i64 {
        let (ours, theirs) = (self.last.arrival, frame.arrival);
        let later_us = signed_us(theirs.since(ours)).saturating_sub(signed_us(ours.since(theirs)));
        self.last_us.saturating_add(later_us)
    }

    /// Where a frame of the other track is by both tracks' sender reports.
    fn by_reports(&self, frame: &FrameTime) -> Option<i64> {
        let apart = frame.ntp?.to_bits().wrapping_sub(self.last.ntp?.to_bits()) as i64;
        let apart_us = (i128::from(apart) * 1_000_000) >> 32;
        self.last_us.checked_add(i64::try_from(apart_us).ok()?)
    }

    /// Moves on to `frame`, and toward `wanted_us`.
    fn advance(&mut self, frame: FrameTime, wanted_us: Option<i64>) {
        let passed_us = signed_us(frame.arrival.since(self.last.arrival));
        let step_us = ticks_between(self.last.ticks, frame.ticks, frame.rate);
        let is_jump = step_us.abs_diff(passed_us) > JUMP.as_us() || frame.rate != self.last.rate;
        if is_jump {
            self.base_ticks = frame.ticks;
            self.base_us = self.last_us.saturating_add(passed_us);
            self.slewed_us = 0;
        }
        let counted = ticks_between(self.base_ticks, frame.ticks, frame.rate);
        let at_us = self
            .base_us
            .saturating_add(counted)
            .saturating_add(self.slewed_us);
        let error_us = wanted_us.map_or(0, |wanted| wanted.saturating_sub(at_us));
        let most = step_us.max(0) / SLEW;
        let slew = error_us.clamp(-most, most);
        self.slewed_us = self.slewed_us.saturating_add(slew);
        self.last_us = at_us.saturating_add(slew);
        self.last = frame;
    }

    fn give(&mut self) -> u64 {
        let ms = u64::try_from(self.last_us.div_euclid(1_000)).unwrap_or_default();
        self.given_ms = self.given_ms.max(ms);
        self.given_ms
    }
}

fn signed_us(span: Span) -> i64 {
    i64::try_from(span.as_us()).unwrap_or(i64::MAX)
}

/// Microseconds from one count of ticks to another.
fn ticks_between(from: u64, until: u64, rate: u32) -> i64 {
    let ticks = i128::from(until) - i128::from(from);
    let us = (ticks * 1_000_000).div_euclid(i128::from(rate.max(1)));
    i64::try_from(us).unwrap_or(if us < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
