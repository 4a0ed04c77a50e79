//! What a receiver owes a sender in reports, per SSRC: [`Reception`] owns loss
//! and jitter (RFC 3550 sections 6.4.1, A.1, A.3 and A.8), [`ClockMap`] owns
//! the publisher's own relation of wall clock and RTP clock, from which sender
//! reports toward viewers are made. Validation of sequence numbers (A.1's
//! probation) is not done here: SRTP has authenticated and extended them.

use crate::base::time::{Ntp, Span, Time, short_ntp_from_span};

/// A change of transit time beyond this is a new source or a muted one, not
/// the network, and is left out of the jitter.
const TRANSIT_STEP_MAX_S: u64 = 5;

/// How far behind our extrapolation a publisher's report may place "now" and
/// still count as network delay or drift; beyond it, its clock was set.
const CLOCK_BEHIND_MAX: Span = Span::from_secs(5);

/// The lead over the publisher's clock is worn off at 1/16 of real time.
const LEAD_DECAY: u64 = 16;

/// The values of one report block (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Part of packets lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, clamped to the field's 24 bits; duplicates
    /// can make it negative.
    pub cumulative_lost: i32,
    /// Highest sequence received, with 16 bits of cycles above it.
    pub extended_highest: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time, 0 if none.
    pub lsr: u32,
    /// Time since that report in 1/65536 s, 0 if none.
    pub dlsr: u32,
}

/// Reception statistics of one SSRC. Count originals only: retransmissions
/// belong to the RTX stream's own statistics (RFC 4588 section 4).
#[derive(Clone, Debug, Default)]
pub struct Reception {
    range: Option<Range>,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    transit: Option<Transit>,
    /// Jitter times 16, as A.8 keeps it.
    jitter_x16: u64,
    sender_report: Option<(Ntp, Time)>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    base: u64,
    highest: u64,
}

/// Arrival minus RTP timestamp of the last packet, in RTP units.
#[derive(Clone, Copy, Debug)]
struct Transit {
    units: u32,
    clock_rate: u32,
}

impl Reception {
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a received packet of a stream running at `clock_rate` Hz.
    pub fn on_packet(&mut self, ext_seq: u64, rtp_ts: u32, clock_rate: u32, now: Time) {
        self.received = self.received.saturating_add(1);
        let range = self.range.get_or_insert(Range {
            base: ext_seq,
            highest: ext_seq,
        });
        range.highest = range.highest.max(ext_seq);
        self.measure_jitter(rtp_ts, clock_rate, now);
    }

    /// Remembers a sender report for LSR and DLSR.
    pub fn on_sender_report(&mut self, ntp: Ntp, now: Time) {
        self.sender_report = Some((ntp, now));
    }

    /// The report block due at `now`; begins a new interval. `None` before the
    /// first packet: there is no source to report on.
    pub fn report(&mut self, now: Time) -> Option<ReportBlock> {
        let range = self.range?;
        let expected = range.highest.saturating_sub(range.base).saturating_add(1);
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let received_interval = self.received.saturating_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost = i128::from(expected) - i128::from(self.received);
        let (lsr, dlsr) = self.sender_report.map_or((0, 0), |(ntp, at)| {
            (ntp.middle(), short_ntp_from_span(now.since(at)))
        });
        Some(ReportBlock {
            fraction_lost: fraction_lost(expected_interval, received_interval),
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            extended_highest: range.highest as u32,
            jitter: u32::try_from(self.jitter_x16 >> 4).unwrap_or(u32::MAX),
            lsr,
            dlsr,
        })
    }

    /// Packets expected and not received so far; negative with duplicates.
    pub fn lost(&self) -> i64 {
        let expected = self
            .range
            .map_or(0, |range| range.highest.saturating_sub(range.base) + 1);
        expected as i64 - self.received as i64
    }

    /// Packets received, duplicates included.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// RFC 3550 A.8, in integers.
    fn measure_jitter(&mut self, rtp_ts: u32, clock_rate: u32, now: Time) {
        let arrival = rtp_units(now.since(Time::ZERO), clock_rate) as u32;
        let transit = Transit {
            units: arrival.wrapping_sub(rtp_ts),
            clock_rate,
        };
        let Some(last) = self.transit.replace(transit) else {
            return;
        };
        let change = transit.units.wrapping_sub(last.units) as i32;
        let change = u64::from(change.unsigned_abs());
        let limit = u64::from(clock_rate).saturating_mul(TRANSIT_STEP_MAX_S);
        if last.clock_rate == clock_rate && change <= limit {
            let decay = self.jitter_x16.saturating_add(8) >> 4;
            self.jitter_x16 = self.jitter_x16.saturating_add(change).saturating_sub(decay);
        }
    }
}

/// RFC 3550 A.3: 256ths lost of `expected`, none when duplicates outweigh.
fn fraction_lost(expected: u64, received: u64) -> u8 {
    let lost = expected.saturating_sub(received);
    let share = u128::from(lost)
        .saturating_mul(256)
        .checked_div(u128::from(expected))
        .unwrap_or(0);
    u8::try_from(share).unwrap_or(u8::MAX)
}

/// A publisher's wall clock against its RTP clock, from its latest sender
/// report. "Now" on the publisher's clock is extrapolated and never runs
/// backward from report to report: when a report came late, the extrapolation
/// stays ahead and wears the lead off slowly, always on the line the report
/// drew, so audio and video stay in step. Only a publisher that set its clock
/// back by more than 5 s makes it start over.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockMap {
    anchor: Option<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    ntp: Ntp,
    rtp_ts: u32,
    clock_rate: u32,
    /// When the report arrived.
    at: Time,
    /// How far our "now" was ahead of the report's at that moment.
    lead: Span,
}

impl ClockMap {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the publisher's report in: `ntp` and `rtp_ts` name one instant.
    pub fn on_sender_report(&mut self, ntp: Ntp, rtp_ts: u32, clock_rate: u32, now: Time) {
        let lead = match self.anchor {
            None => Span::ZERO,
            Some(old) => {
                let ours = old.ntp.plus(old.advance(now));
                let lead = span_between(ntp, ours).unwrap_or(Span::ZERO);
                if lead > CLOCK_BEHIND_MAX {
                    Span::ZERO
                } else {
                    lead
                }
            }
        };
        self.anchor = Some(Anchor {
            ntp,
            rtp_ts,
            clock_rate,
            at: now,
            lead,
        });
    }

    /// NTP and RTP time of `now` for a sender report toward a viewer whose
    /// stream is `ts_offset` ahead of the publisher's (wrapping, the munger's
    /// [`timestamp_offset`](crate::proto::munger::Munger::timestamp_offset)).
    /// `None` before the publisher's first report.
    pub fn sender_report_at(&self, now: Time, ts_offset: u32) -> Option<(Ntp, u32)> {
        let anchor = self.anchor?;
        let advance = anchor.advance(now);
        let units = rtp_units(advance, anchor.clock_rate) as u32;
        let rtp_ts = anchor.rtp_ts.wrapping_add(units).wrapping_add(ts_offset);
        Some((anchor.ntp.plus(advance), rtp_ts))
    }

    /// The publisher's wall clock at its RTP timestamp `rtp_ts`, the nearest
    /// such instant to the last report. `None` before the first report.
    pub fn ntp_of(&self, rtp_ts: u32) -> Option<Ntp> {
        let anchor = self.anchor?;
        let units = rtp_ts.wrapping_sub(anchor.rtp_ts) as i32;
        let rate = u64::from(anchor.clock_rate.max(1));
        let ntp_units = (u64::from(units.unsigned_abs()) << 32) / rate;
        let bits = anchor.ntp.to_bits();
        Some(Ntp::from_bits(if units < 0 {
            bits.wrapping_sub(ntp_units)
        } else {
            bits.wrapping_add(ntp_units)
        }))
    }
}

impl Anchor {
    /// Publisher time passed between the report and `now`.
    fn advance(&self, now: Time) -> Span {
        let elapsed = now.since(self.at);
        let worn_us = elapsed.as_us() / LEAD_DECAY;
        elapsed + Span::from_us(self.lead.as_us().saturating_sub(worn_us))
    }
}

/// `span` in units of a clock of `clock_rate` Hz, wrapping in 64 bits. Whole
/// seconds apart from the rest, so that no product needs 128 bits per packet.
fn rtp_units(span: Span, clock_rate: u32) -> u64 {
    let rate = u64::from(clock_rate);
    let (seconds, rest_us) = (span.as_us() / 1_000_000, span.as_us() % 1_000_000);
    let rest = rest_us.wrapping_mul(rate) / 1_000_000;
    seconds.wrapping_mul(rate).wrapping_add(rest)
}

/// Time from `earlier` to `later`, across an NTP era's end too, rounded up so
/// that adding it never falls short of `later`; `None` if they are the other
/// way round.
fn span_between(earlier: Ntp, later: Ntp) -> Option<Span> {
    let units = later.to_bits().wrapping_sub(earlier.to_bits()) as i64;
    let units = u128::from(u64::try_from(units).ok()?);
    let us = units.saturating_mul(1_000_000).div_ceil(1 << 32);
    Some(Span::from_us(u64::try_from(us).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::from_us(ms * 1_000)
    }

    #[test]
    fn nothing_to_report_before_the_first_packet() {
        let mut reception = Reception::new();
        reception.on_sender_report(Ntp::from_unix_us(1), ms(0));
        assert_eq!(reception.report(ms(1)), None);
    }

    #[test]
    fn loss_is_counted_per_interval_and_in_total() {
        let mut reception = Reception::new();
        for seq in (65_530..65_540u64).filter(|seq| seq % 5 != 0) {
            reception.on_packet(seq, 0, 90_000, ms(0));
        }
        // 65_531 was the first, 65_539 the last, 65_535 missed.
        let block = reception.report(ms(10)).unwrap();
        assert_eq!(block.fraction_lost, (256 / 9) as u8);
        assert_eq!(block.cumulative_lost, 1);
        assert_eq!(block.extended_highest, 65_539);
        reception.on_packet(65_540, 0, 90_000, ms(20));
        let block = reception.report(ms(30)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1));
        let block = reception.report(ms(40)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1));
    }

    #[test]
    fn duplicates_make_loss_negative_not_huge() {
        let mut reception = Reception::new();
        for _ in 0..5 {
            reception.on_packet(9, 0, 48_000, ms(0));
        }
        let block = reception.report(ms(1)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, -4));
    }

    #[test]
    fn a_total_loss_saturates() {
        let mut reception = Reception::new();
        reception.on_packet(0, 0, 90_000, ms(0));
        reception.report(ms(1));
        reception.on_packet(1 << 40, 0, 90_000, ms(2));
        let block = reception.report(ms(3)).unwrap();
        assert_eq!(block.fraction_lost, 255);
        assert_eq!(block.cumulative_lost, 0x7f_ffff);
        reception.on_packet(u64::MAX, u32::MAX, u32::MAX, Time::from_us(u64::MAX));
        reception.on_packet(0, 0, 0, Time::ZERO);
        let block = reception.report(ms(4)).unwrap();
        assert_eq!(block.extended_highest, u32::MAX);
    }

    #[test]
    fn an_even_stream_has_no_jitter_over_the_timestamp_wrap() {
        let mut reception = Reception::new();
        for frame in 0..1_000u64 {
            let ts = (u32::MAX - 900_000).wrapping_add(frame as u32 * 3_000);
            // 33,333 us per frame against 3,000 ticks: rounding only.
            reception.on_packet(frame, ts, 90_000, Time::from_us(frame * 100_000 / 3));
        }
        assert!(reception.report(ms(0)).unwrap().jitter <= 1);
    }

    #[test]
    fn jitter_settles_at_the_mean_deviation() {
        let mut reception = Reception::new();
        for packet in 0..2_000u64 {
            let late_us = (packet % 2) * 5_000;
            let at = Time::from_us(packet * 20_000 + late_us);
            reception.on_packet(packet, packet as u32 * 960, 48_000, at);
        }
        // Every transit differs from the last by 5 ms = 240 units.
        let jitter = reception.report(ms(0)).unwrap().jitter;
        assert!((232..=240).contains(&jitter), "{jitter}");
    }

    #[test]
    fn a_timestamp_jump_is_not_jitter() {
        let mut reception = Reception::new();
        for packet in 0..100u64 {
            let jump = if packet < 50 { 0 } else { 1 << 30 };
            let ts = packet as u32 * 960 + jump;
            reception.on_packet(packet, ts, 48_000, ms(packet * 20));
        }
        assert_eq!(reception.report(ms(0)).unwrap().jitter, 0);
    }

    #[test]
    fn last_sender_report_and_the_delay_since() {
        let mut reception = Reception::new();
        reception.on_packet(1, 0, 90_000, ms(0));
        let block = reception.report(ms(1)).unwrap();
        assert_eq!((block.lsr, block.dlsr), (0, 0));
        reception.on_sender_report(Ntp::from_bits(0x1234_5678_9abc_def0), ms(1_000));
        let block = reception.report(ms(3_500)).unwrap();
        assert_eq!((block.lsr, block.dlsr), (0x5678_9abc, 163_840));
    }

    #[test]
    fn clock_map_extrapolates_both_clocks() {
        let mut map = ClockMap::new();
        assert_eq!(map.sender_report_at(ms(0), 0), None);
        assert_eq!(map.ntp_of(0), None);
        let ntp = Ntp::from_unix_us(1_700_000_000_000_000);
        map.on_sender_report(ntp, u32::MAX - 8_999, 90_000, ms(100));
        let (at, ts) = map.sender_report_at(ms(1_100), 7).unwrap();
        assert_eq!(at, ntp.plus(Span::from_secs(1)));
        assert_eq!(ts, 90_000 - 9_000 + 7);
        assert_eq!(map.ntp_of(81_000), Some(ntp.plus(Span::from_secs(1))));
        let before = map.ntp_of((u32::MAX - 8_999).wrapping_sub(90_000)).unwrap();
        assert_eq!(before.plus(Span::from_secs(1)), ntp);
    }

    #[test]
    fn late_reports_neither_step_back_nor_leave_the_line() {
        let mut map = ClockMap::new();
        let wall = |t_ms: u64| Ntp::from_unix_us(1_000_000_000 + t_ms * 1_000);
        let ticks = |t_ms: u64| t_ms as u32 * 90;
        let mut last = None;
        // Reports each second, delayed by 0..=300 ms in turn.
        for t in 0..20_000u64 {
            let second = t / 1_000;
            if t % 1_000 == (second * 100) % 400 {
                let sent = second * 1_000;
                map.on_sender_report(wall(sent), ticks(sent), 90_000, ms(t));
            }
            let (ntp, ts) = map.sender_report_at(ms(t), 0).unwrap();
            assert!(last.is_none_or(|last| last < (ntp, ts)), "step back at {t}");
            last = Some((ntp, ts));
            let off_line = map.ntp_of(ts).unwrap().to_bits().abs_diff(ntp.to_bits());
            assert!(off_line < (1 << 32) / 90_000 * 2, "off the line at {t}");
        }
    }

    #[test]
    fn the_lead_over_a_slow_report_wears_off() {
        let mut map = ClockMap::new();
        let wall = Ntp::from_unix_us(5_000_000);
        map.on_sender_report(wall, 0, 48_000, ms(0));
        // This one was 160 ms on its way.
        map.on_sender_report(wall, 0, 48_000, ms(160));
        let (at_once, _) = map.sender_report_at(ms(160), 0).unwrap();
        assert_eq!(at_once, wall.plus(Span::from_ms(160)));
        let (later, ts) = map.sender_report_at(ms(160 + 2_560), 0).unwrap();
        assert_eq!((later, ts), (wall.plus(Span::from_ms(2_560)), 122_880));
    }

    #[test]
    fn a_clock_set_back_starts_over_and_nonsense_is_survived() {
        let mut map = ClockMap::new();
        map.on_sender_report(Ntp::from_unix_us(9_000_000_000), 0, 90_000, ms(0));
        map.on_sender_report(Ntp::from_unix_us(1_000_000), 90, 90_000, ms(10));
        let (ntp, ts) = map.sender_report_at(ms(10), 0).unwrap();
        assert_eq!((ntp, ts), (Ntp::from_unix_us(1_000_000), 90));
        for bits in [0, u64::MAX, 1 << 63] {
            for rate in [0, 1, u32::MAX] {
                let at = Time::from_us(bits);
                map.on_sender_report(Ntp::from_bits(bits), u32::MAX, rate, at);
                assert!(map.sender_report_at(at, u32::MAX).is_some());
                assert!(map.sender_report_at(Time::ZERO, 0).is_some());
                assert!(map.sender_report_at(Time::from_us(u64::MAX), 0).is_some());
                assert!(map.ntp_of(u32::MAX / 3).is_some());
            }
        }
    }
}
