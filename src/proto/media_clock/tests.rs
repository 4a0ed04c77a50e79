use super::*;
use crate::base::random::Noise;
use crate::proto::reception::ClockMap;

const HOUR_MS: u64 = 3_600_000;

fn ms(ms: u64) -> Time {
    Time::from_us(ms * 1_000)
}

#[test]
fn ticks_are_unwrapped_exactly_over_many_wraps() {
    let mut unwrap = TickUnwrap::default();
    let start = u64::from(u32::MAX) - 5_000;
    // 60 hours of 30 pictures a second.
    for picture in 0..60 * 3_600 * 30u64 {
        let ticks = start + picture * 3_000;
        assert_eq!(unwrap.count_of(ticks as u32), ticks + (1 << 32));
    }
}

#[test]
fn ticks_step_back_too() {
    let mut unwrap = TickUnwrap::default();
    assert_eq!(unwrap.count_of(10), (1 << 32) + 10);
    assert_eq!(unwrap.count_of(u32::MAX), (1 << 32) - 1);
    assert_eq!(unwrap.count_of(20), (1 << 32) + 20);
}

#[test]
fn milliseconds_do_not_accumulate_rounding() {
    assert_eq!(
        ms_to_ticks(1 << 32, 90_000),
        ((90u64 << 32) & 0xffff_ffff) as u32
    );
    for at in (0..20 * HOUR_MS).step_by(33) {
        assert_eq!(ms_to_ticks(at, 48_000), (at * 48) as u32);
    }
}

/// A publisher of 25 pictures and 50 audio frames a second, the audio sent
/// 60 ms late, for seven hours from `start`.
fn seven_hours_from(start: u64, written: impl Fn(u64) -> u32) {
    let mut timeline = RtmpTimeline::new();
    let mut ahead = None;
    for at in (0..7 * HOUR_MS).step_by(20) {
        let now = ms(at + at % 7);
        if at % 40 == 0 {
            let media = start + at;
            let out = timeline.on_timestamp(Lane::Video, written(media), now);
            assert_eq!(out - *ahead.get_or_insert(out), at, "video at {at}");
        }
        if at >= 60 {
            let media = start + at - 60;
            let out = timeline.on_timestamp(Lane::Audio, written(media), now);
            assert_eq!(out - ahead.unwrap_or(out), at - 60, "audio at {at}");
        }
    }
}

#[test]
fn rtmp_time_runs_on_over_every_boundary() {
    for boundary in [1u64 << 24, 1 << 31, 1 << 32] {
        for before in [16, 1_000, 3 * HOUR_MS] {
            seven_hours_from(boundary - before, |media| media as u32);
        }
    }
    seven_hours_from(0, |media| media as u32);
}

#[test]
fn rtmp_time_runs_on_for_a_sender_of_24_bits() {
    // Four hours and 40 minutes is where such senders wrap.
    seven_hours_from((1 << 24) - 16, |media| media as u32 & 0xff_ffff);
    seven_hours_from(0, |media| media as u32 & 0xff_ffff);
}

#[test]
fn the_low_bits_are_the_timestamp_while_the_clock_is_sound() {
    let mut timeline = RtmpTimeline::new();
    let start = u32::MAX - 100;
    for at in 0..100u64 {
        let out =
            timeline.on_timestamp(Lane::Video, start.wrapping_add(at as u32 * 40), ms(at * 40));
        assert_eq!(out, u64::from(start) + at * 40);
    }
}

#[test]
fn a_lane_never_goes_back() {
    let mut timeline = RtmpTimeline::new();
    let out = [100, 140, 120, 160].map(|at| timeline.on_timestamp(Lane::Video, at, ms(100)));
    assert_eq!(out, [100, 140, 140, 160]);
    assert_eq!(timeline.on_timestamp(Lane::Audio, 110, ms(100)), 110);
    assert_eq!(timeline.on_timestamp(Lane::Audio, u32::MAX, ms(100)), 110);
    let mut timeline = RtmpTimeline::new();
    assert_eq!(timeline.on_timestamp(Lane::Audio, 0, ms(0)), 0);
    assert_eq!(timeline.on_timestamp(Lane::Audio, u32::MAX, ms(0)), 0);
    assert_eq!(timeline.on_timestamp(Lane::Audio, 20, ms(0)), 20);
}

#[test]
fn a_clock_set_anew_goes_on_by_arrival_for_both_lanes() {
    for restart in [0, 990_000, 5_000_000, 3_000_000_000u32] {
        let mut timeline = RtmpTimeline::new();
        timeline.on_timestamp(Lane::Video, 1_000_000, ms(0));
        timeline.on_timestamp(Lane::Audio, 1_000_000, ms(0));
        assert_eq!(
            timeline.on_timestamp(Lane::Video, restart, ms(40)),
            1_000_040
        );
        // One message of the old clock comes late.
        assert_eq!(
            timeline.on_timestamp(Lane::Audio, 1_000_020, ms(45)),
            1_000_045
        );
        let audio = timeline.on_timestamp(Lane::Audio, restart + 20, ms(60));
        let video = timeline.on_timestamp(Lane::Video, restart + 40, ms(80));
        assert_eq!((audio, video), (1_000_060, 1_000_080));
    }
}

#[test]
fn a_pause_and_a_burst_are_no_jump() {
    let mut timeline = RtmpTimeline::new();
    timeline.on_timestamp(Lane::Video, 0, ms(0));
    assert_eq!(
        timeline.on_timestamp(Lane::Video, 600_000, ms(598_000)),
        600_000
    );
    // A file sent as fast as it can be read.
    for at in (600_000..2_000_000).step_by(40) {
        assert_eq!(
            timeline.on_timestamp(Lane::Video, at, ms(598_000)),
            u64::from(at)
        );
    }
}

/// A publisher with two RTP clocks that drift, whose audio is captured and sent
/// at other delays than its video, over a network with jitter.
struct Publisher {
    noise: Noise,
    alignment: Alignment,
    clocks: [ClockMap; 2],
    unwrap: [TickUnwrap; 2],
    start: [u32; 2],
    /// Parts per million by which the clocks run fast.
    drift: [i64; 2],
    delay_us: [u64; 2],
    reports_from_us: u64,
}

const RATES: [u64; 2] = [48_000, 90_000];

impl Publisher {
    fn new(start: [u32; 2], drift: [i64; 2], delay_ms: [u64; 2]) -> Self {
        Publisher {
            noise: Noise::new(7),
            alignment: Alignment::new(),
            clocks: [ClockMap::new(); 2],
            unwrap: [TickUnwrap::default(); 2],
            start,
            drift,
            delay_us: delay_ms.map(|ms| ms * 1_000),
            reports_from_us: 1_500_000,
        }
    }

    fn timestamp(&self, lane: usize, at_us: u64) -> u32 {
        let fast = i128::from(at_us) * i128::from(self.drift[lane]) / 1_000_000;
        let own_us = i128::from(at_us) + fast;
        let ticks = own_us * i128::from(RATES[lane]) / 1_000_000;
        self.start[lane].wrapping_add(ticks as u32)
    }

    /// Captures a frame at `at_us` and returns where it was placed.
    fn frame(&mut self, lane: usize, at_us: u64) -> u64 {
        let timestamp = self.timestamp(lane, at_us);
        let jitter_us = self.noise.below(30_000);
        let arrival = Time::from_us(at_us + self.delay_us[lane] + jitter_us);
        if at_us >= self.reports_from_us && at_us % 5_000_000 < 40_000 {
            let ntp = Ntp::from_unix_us(1_700_000_000_000_000 + at_us);
            self.clocks[lane].on_sender_report(ntp, timestamp, RATES[lane] as u32, arrival);
        }
        let frame = FrameTime {
            ticks: self.unwrap[lane].count_of(timestamp),
            rate: RATES[lane] as u32,
            arrival,
            ntp: self.clocks[lane].ntp_of(timestamp),
        };
        self.alignment
            .place([Lane::Audio, Lane::Video][lane], frame)
    }

    /// Runs until `end_us`, and returns the largest error of video against
    /// audio, in ms, from `from_us` on.
    fn run(&mut self, from_us: u64, end_us: u64) -> i64 {
        let mut last = [0; 2];
        let mut worst = 0;
        for at_us in (0..end_us).step_by(20_000) {
            let audio = self.frame(0, at_us);
            assert!(audio >= last[0]);
            last[0] = audio;
            if at_us % 40_000 == 0 {
                let video = self.frame(1, at_us);
                assert!(video >= last[1] && video - last[1] < 2_000);
                last[1] = video;
                if at_us >= from_us {
                    worst = worst.max((video as i64 - audio as i64).abs());
                }
            }
        }
        worst
    }
}

#[test]
fn audio_and_video_stay_in_step_for_seven_hours() {
    let starts = [
        [u32::MAX - 48_000, u32::MAX - 90_000 * 60],
        [0, 0],
        [1 << 31, (1 << 31) - 1],
    ];
    for (start, drift) in starts.into_iter().zip([[100, -100], [0, 50], [-80, 80]]) {
        let mut publisher = Publisher::new(start, drift, [20, 120]);
        let worst = publisher.run(10_000_000, 7 * HOUR_MS * 1_000);
        assert!(worst <= 40, "{worst} ms apart");
    }
}

#[test]
fn audio_drifting_from_our_own_clock_for_days_stays_master() {
    let mut publisher = Publisher::new([1, 2], [300, 0], [20, 120]);
    let worst = publisher.run(10_000_000, 10 * HOUR_MS * 1_000);
    assert!(worst <= 40, "{worst} ms apart");
}

#[test]
fn a_late_track_is_made_up_slowly_and_without_steps_back() {
    for delay_ms in [[0, 600], [600, 0]] {
        let mut publisher = Publisher::new([5, 7], [0, 0], delay_ms);
        // 600 ms at 1/20 take 12 s after the reports at 5 s.
        let worst = publisher.run(18_000_000, 60_000_000);
        assert!(worst <= 5, "{worst} ms apart");
    }
}

#[test]
fn with_reports_from_the_start_they_are_in_step_at_once() {
    let mut publisher = Publisher::new([5, 7], [0, 0], [0, 300]);
    publisher.reports_from_us = 0;
    let worst = publisher.run(0, 10_000_000);
    assert!(worst <= 2, "{worst} ms apart");
}

#[test]
fn audio_times_are_its_ticks() {
    let mut publisher = Publisher::new([u32::MAX, 7], [0, 0], [50, 0]);
    for at_us in (0..100_000_000).step_by(20_000) {
        publisher.frame(1, at_us);
        let first = publisher.frame(0, at_us) as i64 - (at_us / 1_000) as i64;
        assert!((1_000..1_085).contains(&first));
    }
    let first = publisher.frame(0, 100_000_000);
    let later = publisher.frame(0, 5 * 3_600 * 1_000_000);
    assert_eq!(later - first, 5 * HOUR_MS - 100_000);
}

#[test]
fn nonsense_reports_are_not_believed() {
    let mut alignment = Alignment::new();
    let frame = |at_ms: u64, rate: u64, ntp: u64| FrameTime {
        ticks: at_ms * rate / 1_000,
        rate: rate as u32,
        arrival: ms(at_ms),
        ntp: Some(Ntp::from_bits(ntp)),
    };
    for at in (0..60_000).step_by(20) {
        let audio = alignment.place(Lane::Audio, frame(at, 48_000, 5));
        let video = alignment.place(Lane::Video, frame(at, 90_000, at << 40 | 1 << 62));
        assert_eq!((audio, video), (1_000 + at, 1_000 + at));
    }
}

#[test]
fn an_rtp_clock_set_anew_goes_on_by_arrival() {
    let mut alignment = Alignment::new();
    let frame = |ticks: u64, at_ms: u64| FrameTime {
        ticks,
        rate: 90_000,
        arrival: ms(at_ms),
        ntp: None,
    };
    assert_eq!(alignment.place(Lane::Video, frame(1 << 33, 0)), 1_000);
    assert_eq!(alignment.place(Lane::Video, frame(90, 40)), 1_040);
    assert_eq!(alignment.place(Lane::Video, frame(3_690, 80)), 1_080);
    assert_eq!(alignment.place(Lane::Video, frame(u64::MAX, 120)), 1_120);
    assert_eq!(alignment.place(Lane::Video, frame(u64::MAX, 120)), 1_120);
    // Silence of an hour in which the ticks ran on.
    let hour = u64::MAX - 90 * HOUR_MS;
    let mut alignment = Alignment::new();
    assert_eq!(alignment.place(Lane::Video, frame(hour, 0)), 1_000);
    assert_eq!(
        alignment.place(Lane::Video, frame(u64::MAX, HOUR_MS)),
        1_000 + HOUR_MS
    );
}
