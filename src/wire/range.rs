//! The part of a file a request asks for (RFC 9110 section 14): single ranges
//! of bytes, as players and downloads ask for them.

/// What of a file of known length an answer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranged {
    /// All of it: no range was asked for, or one this server does not read.
    Whole,
    /// Bytes `from..until`, at least one.
    Part { from: u64, until: u64 },
    /// Nothing of it is in the range (RFC 9110 section 15.5.17).
    Unsatisfiable,
}

/// What `Range` means for a file of `len_bytes`. Several ranges, other units and
/// what is no range at all count as none, which section 14.2 allows.
pub fn range(field: Option<&str>, len_bytes: u64) -> Ranged {
    let spec = field.and_then(|field| {
        let (unit, spec) = field.split_once('=')?;
        unit.trim()
            .eq_ignore_ascii_case("bytes")
            .then_some(spec.trim())
    });
    let parts = spec.and_then(|spec| spec.split_once('-'));
    let (from, until) = match parts.map(|(first, last)| (number(first), number(last))) {
        // The last so many bytes, or all there are.
        Some((Number::Missing, Number::Of(count))) => (len_bytes.saturating_sub(count), len_bytes),
        Some((Number::Of(first), Number::Missing)) => (first, len_bytes),
        Some((Number::Of(first), Number::Of(last))) if first <= last => {
            (first, len_bytes.min(last.saturating_add(1)))
        }
        _ => return Ranged::Whole,
    };
    match from < until {
        true => Ranged::Part { from, until },
        false => Ranged::Unsatisfiable,
    }
}

enum Number {
    Missing,
    Of(u64),
    Bad,
}

fn number(text: &str) -> Number {
    let text = text.trim();
    if text.is_empty() {
        return Number::Missing;
    }
    // `parse` alone would take a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Number::Bad;
    }
    // One too long to count is beyond any file.
    Number::Of(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_read() {
        let part = |from, until| Ranged::Part { from, until };
        for (field, expected) in [
            ("bytes=0-", part(0, 1_000)),
            ("bytes=0-0", part(0, 1)),
            ("bytes=10-19", part(10, 20)),
            ("bytes=990-5000", part(990, 1_000)),
            ("bytes=999-", part(999, 1_000)),
            ("bytes=-1", part(999, 1_000)),
            ("bytes=-5000", part(0, 1_000)),
            ("Bytes = 1 - 2 ", part(1, 3)),
            ("bytes=0-99999999999999999999999", part(0, 1_000)),
            ("bytes=1000-", Ranged::Unsatisfiable),
            ("bytes=1000-1000", Ranged::Unsatisfiable),
            ("bytes=99999999999999999999999-", Ranged::Unsatisfiable),
            ("bytes=-0", Ranged::Unsatisfiable),
        ] {
            assert_eq!(range(Some(field), 1_000), expected, "{field}");
        }
    }

    #[test]
    fn what_is_no_single_range_is_all_of_it() {
        assert_eq!(range(None, 10), Ranged::Whole);
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=a-",
            "bytes=--1",
            "lines=0-1",
            "0-1",
        ] {
            assert_eq!(range(Some(field), 10), Ranged::Whole, "{field}");
        }
    }

    #[test]
    fn nothing_of_an_empty_file_can_be_asked_for() {
        assert_eq!(range(Some("bytes=0-"), 0), Ranged::Unsatisfiable);
        assert_eq!(range(Some("bytes=-1"), 0), Ranged::Unsatisfiable);
        assert_eq!(range(None, 0), Ranged::Whole);
    }
}
