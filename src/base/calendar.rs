//! Moments as people write them: the Gregorian calendar and the hour, in UTC.

/// A second of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    pub year: u64,
    /// 1 is January.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
    /// 0 is Sunday.
    pub weekday: u64,
}

impl Utc {
    /// `unix_s` seconds after 1970 began.
    pub fn from_unix_s(unix_s: u64) -> Self {
        let (days, second) = (unix_s / 86_400, unix_s % 86_400);
        let (year, month, day) = date(days);
        Utc {
            year,
            month,
            day,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
            // 1970 began on a Thursday.
            weekday: (days + 4) % 7,
        }
    }
}

/// Year, month and day, `days` after 1 January 1970. Counted in years that
/// begin with March, so that leap days come last.
fn date(days: u64) -> (u64, u64, u64) {
    // From 1 March of the year 0; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Months from March have 31, 30, 31, 30, 31 days, again and again.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    match month {
        0..=9 => (era * 400 + year, month + 3, day),
        _ => (era * 400 + year + 1, month - 9, day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "4 1970-1-1 0:0:0"),
            (784_111_777, "0 1994-11-6 8:49:37"),
            (951_782_399, "1 2000-2-28 23:59:59"),
            (951_782_400, "2 2000-2-29 0:0:0"),
            (951_868_800, "3 2000-3-1 0:0:0"),
            (1_735_689_599, "2 2024-12-31 23:59:59"),
            (4_107_542_400, "1 2100-3-1 0:0:0"),
        ] {
            let Utc {
                year,
                month,
                day,
                hour,
                minute,
                second,
                weekday,
            } = Utc::from_unix_s(unix_s);
            let written = format!("{weekday} {year}-{month}-{day} {hour}:{minute}:{second}");
            assert_eq!(written, text);
        }
        // Nothing overflows at the end of what can be said.
        assert!(Utc::from_unix_s(u64::MAX).year > 2_000);
    }
}
