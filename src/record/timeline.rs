//! When the frames of one stream were captured, on the server's clock. Sender
//! reports put both tracks on the publisher's wall clock; that clock, or where
//! there are no reports yet a track's own ticks, is laid on ours by the packets
//! that were fastest on the way. Where that changes, a track moves slowly: it
//! is never stepped back, and by minutes it ends up on our time, however its
//! sender's clock drifts.

use crate::base::time::{Span, Time};
use crate::record::layout::TrackKind;

/// A timestamp that disagrees by more than this with the time that passed is a
/// clock set anew, not a pause or a burst.
const JUMP_US: i64 = 10_000_000;

/// How long the fastest packet counts: twice this at most. Drift of 100 ppm
/// moves it by 2 ms in that time.
const FASTEST_WINDOW: Span = Span::from_secs(10);

/// Both tracks late by so little is nothing anybody notices, where sound moved
/// for it is: a sender's first packets are seldom its fastest.
const SETTLED_US: u64 = 25_000;

/// Sound moves by 1/100 of the time that passes, pictures by 1/20, which
/// nobody sees.
const AUDIO_SLEW: i64 = 100;
const VIDEO_SLEW: i64 = 20;

/// When one frame was captured, by its sender, and when it came.
#[derive(Clone, Copy, Debug)]
pub struct FrameTime {
    /// Unwrapped ticks of the track's own clock.
    pub ticks: u64,
    /// Of that clock, in Hz.
    pub rate: u32,
    /// The publisher's wall clock, which both tracks share, in microseconds:
    /// from sender reports, or the timestamp itself where a protocol has one
    /// clock for both.
    pub wall_us: Option<i64>,
    pub arrival: Time,
}

/// The clocks of one stream.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    shared: Fastest,
    /// The fastest way of the shared clock that times are made with: it follows
    /// the one seen once that is off by more than [`SETTLED_US`].
    settled_us: Option<i64>,
    lanes: [Lane; 2],
}

#[derive(Clone, Debug, Default)]
struct Lane {
    own: Fastest,
    last: Option<Placed>,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    frame: FrameTime,
    at_us: i64,
    /// What slewing still owes of a microsecond, so that it never stalls.
    step_left: i64,
}

/// The least time from capture to arrival, seen lately.
#[derive(Clone, Copy, Debug, Default)]
struct Fastest {
    began: Option<Time>,
    last: i64,
    current: i64,
    before: Option<i64>,
}

impl Timeline {
    /// Hears of a frame as it arrives, also of one that is placed later, or never.
    pub fn observe(&mut self, kind: TrackKind, frame: &FrameTime) {
        let arrival_us = signed(frame.arrival);
        if let Some(wall_us) = frame.wall_us {
            self.shared.take(arrival_us - wall_us, frame.arrival);
        }
        let own = &mut self.lane_mut(kind).own;
        own.take(arrival_us - own_us(frame), frame.arrival);
    }

    /// Microseconds of the server's time at which the frame was captured, late
    /// by the fastest packet's way. Frames of a track in their order, each
    /// observed before.
    pub fn place(&mut self, kind: TrackKind, frame: FrameTime) -> i64 {
        let shared = self.settle();
        let lane = self.lane_mut(kind);
        let by_wall = frame.wall_us.and_then(|wall_us| Some(wall_us + shared?));
        let by_ticks = lane.own.get().map(|fastest| own_us(&frame) + fastest);
        let target_us = by_wall.or(by_ticks).unwrap_or(signed(frame.arrival));
        let placed = match lane.last {
            None => Placed {
                frame,
                at_us: target_us,
                step_left: 0,
            },
            Some(last) => last.next(frame, target_us, kind),
        };
        lane.last = Some(placed);
        placed.at_us
    }

    fn settle(&mut self) -> Option<i64> {
        let seen_us = self.shared.get()?;
        let settled_us = self.settled_us.get_or_insert(seen_us);
        if settled_us.abs_diff(seen_us) > SETTLED_US {
            *settled_us = seen_us;
        }
        Some(*settled_us)
    }

    fn lane_mut(&mut self, kind: TrackKind) -> &mut Lane {
        let [video, audio] = &mut self.lanes;
        match kind {
            TrackKind::Video => video,
            TrackKind::Audio => audio,
        }
    }
}

impl Placed {
    fn next(self, frame: FrameTime, target_us: i64, kind: TrackKind) -> Placed {
        let passed_us = signed(frame.arrival) - signed(self.frame.arrival);
        let step_us = own_us(&frame) - own_us(&self.frame);
        let is_jump = step_us.abs_diff(passed_us) > JUMP_US.unsigned_abs()
            || frame.rate != self.frame.rate
            || step_us < 0;
        if is_jump {
            // Where the new clock says is better than where arrival does, but
            // not before what was.
            return Placed {
                frame,
                at_us: target_us.max(self.at_us),
                step_left: 0,
            };
        }
        let slew = match kind {
            TrackKind::Audio => AUDIO_SLEW,
            TrackKind::Video => VIDEO_SLEW,
        };
        let budget = step_us + self.step_left;
        let most = budget / slew;
        let at_us = self.at_us + step_us;
        let moved = (target_us - at_us).clamp(-most, most);
        Placed {
            frame,
            at_us: at_us + moved,
            step_left: budget % slew,
        }
    }
}

impl Fastest {
    fn take(&mut self, way_us: i64, now: Time) {
        let is_jump = self.began.is_some() && way_us.abs_diff(self.last) > JUMP_US.unsigned_abs();
        self.last = way_us;
        match self.began {
            Some(began) if !is_jump => {
                if now.since(began) >= FASTEST_WINDOW {
                    self.before = Some(self.current);
                    self.current = way_us;
                    self.began = Some(now);
                }
                self.current = self.current.min(way_us);
            }
            _ => {
                self.began = Some(now);
                self.current = way_us;
                self.before = None;
            }
        }
    }

    fn get(&self) -> Option<i64> {
        self.began?;
        Some(
            self.before
                .map_or(self.current, |before| before.min(self.current)),
        )
    }
}

/// A track's own clock in microseconds.
fn own_us(frame: &FrameTime) -> i64 {
    let us = u128::from(frame.ticks) * 1_000_000 / u128::from(frame.rate.max(1));
    i64::try_from(us).unwrap_or(i64::MAX)
}

fn signed(time: Time) -> i64 {
    i64::try_from(time.as_us()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;

    fn frame(ticks: u64, arrival_us: u64, wall_us: Option<i64>) -> FrameTime {
        FrameTime {
            ticks,
            rate: RATE,
            wall_us,
            arrival: Time::from_us(arrival_us),
        }
    }

    fn placed(timeline: &mut Timeline, frame: FrameTime) -> i64 {
        timeline.observe(TrackKind::Audio, &frame);
        timeline.place(TrackKind::Audio, frame)
    }

    #[test]
    fn jitter_of_the_way_does_not_reach_the_times() {
        let mut timeline = Timeline::default();
        let mut times = Vec::new();
        for n in 0..1_000_u64 {
            let jitter = (n * 7_919) % 40_000;
            // The first comes fast.
            let at = 1_000_000 + n * 20_000 + if n == 0 { 0 } else { jitter };
            times.push(placed(&mut timeline, frame(n * 960, at, None)));
        }
        assert_eq!(times[0], 1_000_000);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 20_000));
    }

    #[test]
    fn a_slow_first_packet_is_made_up_for_slowly() {
        let mut timeline = Timeline::default();
        let mut last = 0;
        for n in 0..3_000_u64 {
            let late = if n == 0 { 80_000 } else { 0 };
            let at = placed(
                &mut timeline,
                frame(n * 960, 1_000_000 + n * 20_000 + late, None),
            );
            assert!(
                n == 0 || (19_800..=20_200).contains(&(at - last)),
                "{n}: {}",
                at - last
            );
            last = at;
        }
        assert_eq!(last, 1_000_000 + 2_999 * 20_000);
    }

    #[test]
    fn a_drifting_sender_ends_up_on_our_time() {
        for ppm in [-200_i64, 200] {
            let mut timeline = Timeline::default();
            let mut worst = 0;
            for n in 0..180_000_u64 {
                let true_us = (n * 20_000) as i64;
                let arrival = 5_000_000 + (true_us + true_us * ppm / 1_000_000) as u64;
                let at = placed(&mut timeline, frame(n * 960, arrival, None));
                worst = worst.max((at - arrival as i64).abs());
            }
            assert!(worst <= 5_000, "{ppm}: {worst} us");
        }
    }

    #[test]
    fn reports_put_two_tracks_on_one_clock() {
        let mut timeline = Timeline::default();
        // Pictures come 300 ms later than their sound, and reports say so.
        for n in 0..600_u64 {
            let wall = Some(9_000_000_000 + (n * 20_000) as i64);
            let sound = frame(n * 960, 1_000_000 + n * 20_000, wall);
            let at = placed(&mut timeline, sound);
            let picture = FrameTime {
                ticks: n * 1_800,
                rate: 90_000,
                wall_us: wall,
                arrival: Time::from_us(1_300_000 + n * 20_000),
            };
            timeline.observe(TrackKind::Video, &picture);
            assert_eq!(timeline.place(TrackKind::Video, picture), at, "{n}");
        }
    }

    #[test]
    fn a_clock_set_anew_goes_on_by_arrival() {
        let mut timeline = Timeline::default();
        assert_eq!(placed(&mut timeline, frame(0, 1_000_000, None)), 1_000_000);
        let far = 3_600 * u64::from(RATE);
        assert_eq!(
            placed(&mut timeline, frame(far, 1_020_000, None)),
            1_020_000
        );
        assert_eq!(
            placed(&mut timeline, frame(far + 960, 1_040_000, None)),
            1_040_000
        );
        let back = placed(&mut timeline, frame(5, 1_060_000, None));
        assert!((1_040_000..=1_060_000).contains(&back), "{back}");
    }
}
