//! Classes of octets, and the search for the next one of a class, eight at a time.

/// Position of the first control character (below 0x20, or DEL) of `input` at or after `from`;
/// `input.len()` where there is none.
#[inline]
pub(crate) fn find_control(input: &[u8], from: usize) -> usize {
    let mut at = from;
    // Values are longer than what else is searched. Without an early end the loop over 32 octets
    // becomes a few vector instructions.
    while let Some(chunk) = input.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        if chunk.iter().fold(false, |found, &octet| found | (octet < 0x20) | (octet == DELETE)) {
            break;
        }
        at += 32;
    }
    find::<0x20>(input, at)
}

/// [`find_control`] that stops at a space too.
#[inline]
pub(crate) fn find_control_or_space(input: &[u8], from: usize) -> usize {
    find::<0x21>(input, from)
}

/// Position of the first `wanted` at or after `from`, `input.len()` where there is none. For
/// short distances, where calling memchr would cost more than it saves.
#[inline]
pub(crate) fn find_octet(input: &[u8], wanted: u8, from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = input.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let difference = u64::from_le_bytes(*chunk) ^ (ONES * wanted as u64);
        let found = difference.wrapping_sub(ONES) & !difference & (ONES * 0x80);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while input.get(at).is_some_and(|octet| *octet != wanted) {
        at += 1;
    }
    at
}

/// Position of the first octet below `FIRST_PLAIN` or equal to DEL.
#[inline]
fn find<const FIRST_PLAIN: u8>(input: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = input.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = below_or_delete::<FIRST_PLAIN>(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&octet) = input.get(at) {
        if octet < FIRST_PLAIN || octet == DELETE {
            break;
        }
        at += 1;
    }
    at
}

/// Sets the high bit of octets of `word` that are below `FIRST_PLAIN` (at most 0x80) or DEL.
///
/// A borrow may set bits above the lowest right one, never below it: only the lowest set bit counts.
#[inline]
const fn below_or_delete<const FIRST_PLAIN: u8>(word: u64) -> u64 {
    let below = word.wrapping_sub(ONES * FIRST_PLAIN as u64) & !word;
    let difference = word ^ (ONES * DELETE as u64);
    let equal = difference.wrapping_sub(ONES) & !difference;
    (below | equal) & (ONES * 0x80)
}

/// One in every octet.
const ONES: u64 = 0x0101_0101_0101_0101;
const DELETE: u8 = 0x7f;

/// `input` without the spaces and tabs at both ends (optional white space of RFC 9110 §5.6.3).
#[inline]
pub(crate) fn trim(input: &[u8]) -> &[u8] {
    let mut rest = input;
    while let [b' ' | b'\t', after @ ..] = rest {
        rest = after;
    }
    while let [before @ .., b' ' | b'\t'] = rest {
        rest = before;
    }
    rest
}

/// The members of a comma-separated list without the white space around them; empty ones are left out.
pub(crate) fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b',').map(trim).filter(|member| !member.is_empty())
}

/// The decimal number `text` is, at most `i64::MAX`; `None` for anything but one digit or more.
///
/// No sign, no space and no list is taken: `Content-Length: +5` is no length.
pub(crate) fn parse_length(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for &octet in text {
        if !octet.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(octet - b'0'))?;
    }
    (value <= LENGTH_MAX).then_some(value)
}

/// The greatest length of a body: what file offsets can say.
pub(crate) const LENGTH_MAX: u64 = i64::MAX as u64;

/// Whether `name` can be a field name in a head that goes out: anything but control characters,
/// space, colon and DEL, as wide as nginx takes them in with `ignore_invalid_headers off`.
pub(crate) fn is_writable_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&octet| octet > 0x20 && octet != DELETE && octet != b':')
}

/// Appends `number` in decimal digits, as `Content-Length` has it.
pub fn write_decimal(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20]; // of u64::MAX
    let mut rest = number;
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_octet_of_the_class_at_every_place() {
        for octet in 0..=255_u8 {
            for place in 0..20 {
                let mut input = [b'x'; 20];
                input[place] = octet;
                let is_control = octet < 0x20 || octet == 0x7f;
                assert_eq!(find_control(&input, 0), if is_control { place } else { 20 }, "{octet} at {place}");
                assert_eq!(find_octet(&input, octet, 0), if octet == b'x' { 0 } else { place });
                let stops = is_control || octet == b' ';
                assert_eq!(find_control_or_space(&input, 0), if stops { place } else { 20 });
                assert_eq!(find_control_or_space(&input, place), if stops { place } else { 20 });
            }
        }
    }

    #[test]
    fn lengths_are_digits_alone() {
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("9223372036854775807", Some(LENGTH_MAX)),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("1,1", None),
            ("0x1", None),
        ] {
            assert_eq!(parse_length(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for number in [0, 9, 10, 1024, 4_294_967_296, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(number, &mut out);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn list_members_are_trimmed() {
        let members: Vec<_> = list_members(b" a ,, b\t,c c").collect();
        assert_eq!(members, [&b"a"[..], b"b", b"c c"]);
    }
}
