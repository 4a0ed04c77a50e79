//! The time a driver hands in: microseconds since the driver started, never
//! read from a clock here. Wall time is monotonic time plus a fixed offset the
//! driver measured once, so no step of the host clock reaches media.

use std::ops::{Add, Sub};

/// A monotonic instant in microseconds since the driver started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

/// A span of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Time {
    pub const ZERO: Time = Time(0);

    pub const fn from_us(us: u64) -> Self {
        Time(us)
    }

    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// Time since `earlier`, zero if `earlier` is in the future.
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn from_us(us: u64) -> Self {
        Span(us)
    }

    pub const fn from_ms(ms: u64) -> Self {
        Span(ms.saturating_mul(1_000))
    }

    pub const fn from_secs(s: u64) -> Self {
        Span(s.saturating_mul(1_000_000))
    }

    pub const fn as_us(self) -> u64 {
        self.0
    }

    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000
    }

    /// `self * numerator / denominator`, saturating; a zero denominator counts as one.
    pub fn scaled(self, numerator: u64, denominator: u64) -> Span {
        let wide = u128::from(self.0) * u128::from(numerator) / u128::from(denominator.max(1));
        Span(u64::try_from(wide).unwrap_or(u64::MAX))
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

/// Seconds between the NTP epoch (1900) and the Unix epoch (1970), RFC 5905 section 6.
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;

/// A 64-bit NTP timestamp: seconds since 1900 in the upper half, 2^-32 s in the lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ntp(u64);

impl Ntp {
    pub const fn from_bits(bits: u64) -> Self {
        Ntp(bits)
    }

    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Wall time `unix_us` (microseconds since 1970) as NTP.
    pub fn from_unix_us(unix_us: u64) -> Self {
        let seconds = unix_us / 1_000_000 + NTP_UNIX_OFFSET_S;
        let fraction = ((unix_us % 1_000_000) << 32) / 1_000_000;
        Ntp((seconds << 32) | fraction)
    }

    /// The middle 32 bits, as reports carry them (RFC 3550 section 6.4.1, LSR):
    /// units of 1/65536 s.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// This timestamp moved forward by `span`, wrapping as NTP does.
    pub fn plus(self, span: Span) -> Self {
        let us = span.as_us();
        let whole = (us / 1_000_000) << 32;
        let part = ((us % 1_000_000) << 32) / 1_000_000;
        Ntp(self.0.wrapping_add(whole).wrapping_add(part))
    }
}

/// Span of `units` of 1/65536 s (DLSR and friends, RFC 3550 section 6.4.1).
pub fn span_from_short_ntp(units: u32) -> Span {
    Span::from_us(u64::from(units) * 1_000_000 / 65_536)
}

/// `span` in units of 1/65536 s, saturating at the field's 32 bits.
pub fn short_ntp_from_span(span: Span) -> u32 {
    let units = u128::from(span.as_us()) * 65_536 / 1_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_of_the_unix_epoch() {
        assert_eq!(Ntp::from_unix_us(0).to_bits(), 2_208_988_800 << 32);
        assert_eq!(Ntp::from_unix_us(500_000).to_bits() & 0xffff_ffff, 1 << 31);
    }

    #[test]
    fn ntp_moves_with_spans() {
        let start = Ntp::from_unix_us(1_000_000);
        assert_eq!(
            start.plus(Span::from_ms(1_500)),
            Ntp::from_unix_us(2_500_000)
        );
    }

    #[test]
    fn short_ntp_round_trip() {
        assert_eq!(short_ntp_from_span(Span::from_secs(1)), 65_536);
        assert_eq!(span_from_short_ntp(32_768), Span::from_ms(500));
    }

    #[test]
    fn since_never_underflows() {
        assert_eq!(Time::from_us(5).since(Time::from_us(9)), Span::ZERO);
    }
}
