//! What `if` and `elif` ask: `$variable`, `text = text`, `text != text`, `text = /expression/`.

/// An expression, not yet evaluated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// What is compared, its letters made small, as nginx has it.
    pub(super) left: Vec<u8>,
    pub(super) comparison: Option<Comparison>,
}

/// How the left side is compared, and with what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) is_negated: bool,
    pub(super) is_regex: bool,
    pub(super) right: Vec<u8>,
}

/// Reads an expression; `None` for what is none.
pub(super) fn read(text: &[u8]) -> Option<Question> {
    let is_part = |octet: &u8| octet.is_ascii_alphanumeric() || b"${}_\"'".contains(octet);
    let end = text.iter().position(|octet| !is_part(octet)).unwrap_or(text.len());
    let (left, rest) = text.split_at_checked(end)?;
    let left = left.to_ascii_lowercase();
    let rest = trim_spaces(rest);
    if rest.is_empty() {
        return Some(Question { left, comparison: None });
    }
    let (is_negated, rest) = match rest {
        [b'=', rest @ ..] => (false, rest),
        [b'!', b'=', rest @ ..] => (true, rest),
        _ => return None,
    };
    let rest = trim_spaces(rest);
    let (is_regex, right) = match rest {
        [b'/', expression @ .., b'/'] => (true, expression),
        [b'/', _, ..] => return None,
        [b'\\', b'/', ..] => (false, rest.get(1..)?),
        _ => (false, rest),
    };
    Some(Question { left, comparison: Some(Comparison { is_negated, is_regex, right: right.to_vec() }) })
}

fn trim_spaces(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|octet| *octet != b' ').unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_nginx_reads_them() {
        let compared =
            |is_negated, is_regex, right: &str| Some(Comparison { is_negated, is_regex, right: right.into() });
        for (text, expected) in [
            ("$A", Some(("$a", None))),
            ("$a  ", Some(("$a", None))),
            ("", Some(("", None))),
            ("$a = B c", Some(("$a", compared(false, false, "B c")))),
            ("$a!=$b", Some(("$a", compared(true, false, "$b")))),
            ("$a = /^b/", Some(("$a", compared(false, true, "^b")))),
            ("$a = \\/b/", Some(("$a", compared(false, false, "/b/")))),
            ("$a = /", Some(("$a", compared(false, false, "/")))),
            ("$a =", Some(("$a", compared(false, false, "")))),
            ("$a = /b", None),
            ("$a ~ b", None),
            ("$a > b", None),
        ] {
            let expected = expected.map(|(left, comparison)| Question { left: left.into(), comparison });
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }
}
