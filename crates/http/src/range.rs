//! The `Range` header field.

use std::ops::Range;

/// What a `Range` field asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// The whole: the field is not for octets, asks for too much, or asks for everything (200).
    Whole,
    /// Nothing that is there (416, with `Content-Range: bytes */length`).
    Unsatisfiable,
    /// One part, not empty (206).
    One(Range<u64>),
    /// Several parts, none empty, in the order asked for (206, `multipart/byteranges`).
    Several(Vec<Range<u64>>),
}

/// Reads the value of a `Range` field for a body of `length` octets.
///
/// `max_ranges` is nginx's directive: 0 leaves the field alone, more parts than it allows get the
/// whole; `None` is no limit, in which case parts that would cost more than the whole get the whole.
/// Parts that ask for more octets together than there are get the whole too: overlapping ranges are
/// no way to amplify.
///
/// # Source
///
/// `ngx_http_range_parse` of nginx 1.31; RFC 9110 §14.2. As in nginx, a field that is not well formed
/// is [`Ranges::Unsatisfiable`].
#[must_use]
pub fn parse(value: &[u8], length: u64, max_ranges: Option<u32>) -> Ranges {
    let Some((unit, list)) = value.split_at_checked(UNIT.len()) else { return Ranges::Whole };
    if max_ranges == Some(0) || !unit.eq_ignore_ascii_case(UNIT) || list.is_empty() {
        return Ranges::Whole;
    }
    collect(list, length, max_ranges).unwrap_or_else(|early| early)
}

/// Reads the list; an early answer is an error here.
fn collect(list: &[u8], length: u64, max_ranges: Option<u32>) -> Result<Ranges, Ranges> {
    let mut first: Option<Range<u64>> = None;
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut size: u64 = 0;
    for member in list.split(|octet| *octet == b',') {
        let range = read_member(member, length).ok_or(Ranges::Unsatisfiable)?;
        if range.is_empty() {
            if range.start == 0 {
                return Err(Ranges::Whole);
            }
            continue;
        }
        size = size.checked_add(range.end - range.start).ok_or(Ranges::Unsatisfiable)?;
        match (&first, parts.is_empty()) {
            (None, _) => first = Some(range),
            (Some(first), true) => parts = vec![first.clone(), range],
            (Some(_), false) => parts.push(range),
        }
        let count = parts.len().max(1);
        if max_ranges.is_some_and(|max_ranges| count > max_ranges as usize) {
            return Err(Ranges::Whole);
        }
    }
    match first {
        None => Err(Ranges::Unsatisfiable),
        Some(range) if parts.is_empty() => Ok(Ranges::One(range)),
        Some(_) if size > length || (max_ranges.is_none() && costs_more_than_whole(&parts, size, length)) => {
            Err(Ranges::Whole)
        }
        Some(_) => Ok(Ranges::Several(parts)),
    }
}

/// Whether the parts with their heads are larger than the whole with some allowance.
fn costs_more_than_whole(parts: &[Range<u64>], size: u64, length: u64) -> bool {
    let heads = parts.len() as u64 * PART_HEAD_COST;
    size.saturating_add(heads) > length.saturating_add(WHOLE_ALLOWANCE)
}

/// Reads `first-last`, `first-` or `-count`; the range may be empty, `None` is not well formed.
fn read_member(member: &[u8], length: u64) -> Option<Range<u64>> {
    let rest = skip_spaces(member);
    if let Some(rest) = rest.strip_prefix(b"-") {
        let (count, rest) = read_number(rest)?;
        let start = length.saturating_sub(count);
        return skip_spaces(rest).is_empty().then_some(start..length);
    }
    let (start, rest) = read_number(rest)?;
    let rest = skip_spaces(skip_spaces(rest).strip_prefix(b"-")?);
    if rest.is_empty() {
        return Some(start..length);
    }
    let (last, rest) = read_number(rest)?;
    skip_spaces(rest).is_empty().then_some(start..last.saturating_add(1).min(length))
}

/// Reads digits at the front, at most `i64::MAX`; gives the number and what follows.
fn read_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(digits)?;
    Some((crate::octets::parse_length(digits)?, rest))
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|octet| **octet == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

const UNIT: &[u8] = b"bytes=";
/// What nginx reckons for the head of one part.
const PART_HEAD_COST: u64 = 256;
/// What nginx lets parts cost beyond the whole.
const WHOLE_ALLOWANCE: u64 = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Ranges::{One, Several, Unsatisfiable, Whole};
    use super::*;

    #[test]
    fn ranges_are_those_of_nginx() {
        for (value, length, ranges) in [
            ("bytes=0-8", 1000, One(0..9)),
            ("bytes=-10", 1000, One(990..1000)),
            ("BYTES=990-", 1000, One(990..1000)),
            ("bytes=990-1990", 1000, One(990..1000)),
            ("bytes= 1 - 2 ", 1000, One(1..3)),
            ("bytes=0-0", 1, One(0..1)),
            ("bytes=-2000", 1000, One(0..1000)),
            ("bytes=0-9, -10, 10-19", 1000, Several(vec![0..10, 990..1000, 10..20])),
            ("bytes=0-9, -10, 100000-, 10-19", 1000, Several(vec![0..10, 990..1000, 10..20])),
            ("bytes=1-1,5000-", 1000, One(1..2)),
            ("bytes=100000-", 1000, Unsatisfiable),
            ("bytes=alpha", 1000, Unsatisfiable),
            ("bytes=10-alpha", 1000, Unsatisfiable),
            ("bytes=10", 1000, Unsatisfiable),
            ("bytes=10-11 12-", 1000, Unsatisfiable),
            ("bytes=1-2,", 1000, Unsatisfiable),
            ("bytes=,1-2", 1000, Unsatisfiable),
            ("bytes=-", 1000, Unsatisfiable),
            ("bytes=--1", 1000, Unsatisfiable),
            ("bytes=-0", 1000, Unsatisfiable),
            ("bytes=5-4", 1000, Unsatisfiable),
            ("bytes=9223372036854775808-", 1000, Unsatisfiable),
            ("bytes=0-9223372036854775807", 1000, One(0..1000)),
            ("bytes=0-10001, 0-0", 1000, Whole),
            ("bytes=0-", 0, Whole),
            ("bytes=-5", 0, Whole),
            ("bytes=5-", 0, Unsatisfiable),
            ("bytes=", 1000, Whole),
            ("items=0-1", 1000, Whole),
            ("bytes", 1000, Whole),
            ("", 1000, Whole),
        ] {
            assert_eq!(parse(value.as_bytes(), length, None), ranges, "{value:?} of {length}");
        }
    }

    #[test]
    fn the_number_of_ranges_is_limited() {
        assert_eq!(parse(b"bytes=0-9, -10", 1000, Some(2)), Several(vec![0..10, 990..1000]));
        assert_eq!(parse(b"bytes=0-9, -10, 10000-", 1000, Some(2)), Several(vec![0..10, 990..1000]));
        assert_eq!(parse(b"bytes=0-9, -10, 10-19", 1000, Some(2)), Whole);
        assert_eq!(parse(b"bytes=0-9, -10", 1000, Some(1)), Whole);
        assert_eq!(parse(b"bytes=0-9", 1000, Some(0)), Whole);
        let many = format!("bytes={}", vec!["0-0"; 40].join(","));
        assert_eq!(parse(many.as_bytes(), 1000, None), Whole);
    }

    proptest! {
        #[test]
        fn parts_lie_within(value in "bytes=[0-9, -]{0,24}", length in 0..2000_u64) {
            let parts = match parse(value.as_bytes(), length, None) {
                One(range) => vec![range],
                Several(ranges) => {
                    prop_assert!(ranges.len() > 1);
                    prop_assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() <= length);
                    ranges
                }
                _ => Vec::new(),
            };
            for range in parts {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }
    }
}
