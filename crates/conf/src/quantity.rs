//! Sizes and times as nginx writes them.

use std::time::Duration;

/// A size in memory, in bytes: decimal digits, then nothing, `k` or `m` in either case.
pub fn parse_size(text: &str) -> Option<u64> {
    scaled(text, &[('k', 1 << 10), ('m', 1 << 20)])
}

/// A size of a file or body, in bytes: as [`parse_size`], and `g`.
pub fn parse_offset(text: &str) -> Option<u64> {
    scaled(text, &[('k', 1 << 10), ('m', 1 << 20), ('g', 1 << 30)])
}

/// A time to the millisecond: numbers with `w d h m s ms`, falling; a bare number, last only, counts seconds.
pub fn parse_milliseconds(text: &str) -> Option<Duration> {
    parse_time(text, true).map(Duration::from_millis)
}

/// A time in whole seconds: numbers with `y M w d h m s`, falling; a bare number, last only, counts seconds.
pub fn parse_seconds(text: &str) -> Option<Duration> {
    parse_time(text, false).map(|milliseconds| Duration::from_secs(milliseconds / 1000))
}

fn scaled(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let last = text.chars().next_back()?.to_ascii_lowercase();
    let scale = units.iter().find(|(unit, _)| *unit == last).map(|&(_, scale)| scale);
    let digits = if scale.is_some() { text.get(..text.len() - 1)? } else { text };
    let bytes = decimal(digits)?.checked_mul(scale.unwrap_or(1))?;
    // nginx keeps sizes in signed numbers.
    i64::try_from(bytes).ok().map(|_| bytes)
}

fn decimal(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Units in the order that they must come in; the numbers are milliseconds.
const UNITS: [(&str, u64); 8] = [
    ("y", 365 * DAY),
    ("M", 30 * DAY),
    ("w", 7 * DAY),
    ("d", DAY),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
const DAY: u64 = 86_400_000;
const WEEK_UNIT: usize = 2;
const SECOND_UNIT: usize = 6;
const MILLISECOND_UNIT: usize = 7;

/// In milliseconds. As nginx has it, years and months are for whole seconds only, `ms` for the other kind only.
fn parse_time(text: &str, to_the_millisecond: bool) -> Option<u64> {
    let mut next_unit = if to_the_millisecond { WEEK_UNIT } else { 0 };
    let last_unit = if to_the_millisecond { MILLISECOND_UNIT } else { SECOND_UNIT };
    let mut total: u64 = 0;
    let mut rest = text;
    loop {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(digits_end);
        let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        rest = behind.trim_start_matches(' ');
        let scale = if unit.is_empty() {
            // A bare number counts seconds, and nothing may follow it.
            if !rest.is_empty() {
                return None;
            }
            1000
        } else {
            let index = UNITS.iter().position(|(name, _)| *name == unit)?;
            if index < next_unit || index > last_unit {
                return None;
            }
            next_unit = index + 1;
            UNITS[index].1
        };
        total = total.checked_add(decimal(digits)?.checked_mul(scale)?)?;
        if rest.is_empty() {
            return i64::try_from(total).ok().map(|_| total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("8k"), Some(8192));
        assert_eq!(parse_size("1M"), Some(1 << 20));
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_offset("2g"), Some(2 << 30));
        for wrong in ["", "k", "-1", "+1", "1g", "1kk", "1.5m", "8 k", "99999999999999999999", "9223372036854775807k"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times() {
        let milliseconds = |text| parse_milliseconds(text).map(|time| time.as_millis());
        assert_eq!(milliseconds("65"), Some(65_000));
        assert_eq!(milliseconds("500ms"), Some(500));
        assert_eq!(milliseconds("1h30m"), Some(5_400_000));
        assert_eq!(milliseconds("1h 30m 5"), Some(5_405_000));
        assert_eq!(milliseconds("1m5ms"), Some(60_005));
        assert_eq!(milliseconds("2w"), Some(1_209_600_000));
        assert_eq!(parse_seconds("1y"), Some(Duration::from_secs(31_536_000)));
        assert_eq!(parse_seconds("1M2d"), Some(Duration::from_secs(32 * 86_400)));
        for wrong in ["", "s", "1y", "1M", "30m1h", "1h1h", "5x", "1 2", "-1", "max", "1.5s", "99999999999999999999"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
        assert_eq!(parse_seconds("500ms"), None);
    }
}
