//! Conditional requests (RFC 9110 §13).

use crate::date::parse_http_date;
use crate::octets::list_members;
use crate::{HeaderId, Headers};

/// What the conditions of a request say about the answer 200 that is about to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Give it.
    Proceed,
    /// The client has it: 304 without body, `Content-Type` and `Content-Encoding`.
    NotModified,
    /// It is not what the client wants to work on: 412.
    Failed,
}

/// How `If-Modified-Since` is compared, nginx's `if_modified_since`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModifiedSince {
    /// The field is ignored.
    Off,
    /// Only the very same time is not modified.
    #[default]
    Exact,
    /// Any time at or after the last change is not modified.
    Before,
}

/// Judges the conditions in `headers` against the validators of the answer.
///
/// `etag` is the whole field value, quotes and `W/` included; `last_modified` is in Unix seconds.
/// To be called for answers with status 200 alone, as the conditions say nothing about others.
///
/// # Source
///
/// RFC 9110 §13.2.2; `ngx_http_not_modified_filter_module.c` of nginx 1.31. Where nginx does not do what
/// the RFC demands, the RFC is followed: a date is ignored beside a list of tags, and
/// `If-Unmodified-Since` is ignored when it is no date or the answer has none.
#[must_use]
pub fn evaluate(
    headers: &Headers,
    etag: Option<&[u8]>,
    last_modified: Option<i64>,
    modified_since: ModifiedSince,
) -> Precondition {
    if !headers.has_any(CONDITIONS) {
        return Precondition::Proceed;
    }
    let is_wanted = if let Some(value) = headers.first(HeaderId::IfMatch) {
        is_match(value, etag, Comparison::Strong)
    } else if let Some(value) = headers.first(HeaderId::IfUnmodifiedSince) {
        is_unmodified(value, last_modified)
    } else {
        true
    };
    if !is_wanted {
        return Precondition::Failed;
    }
    let is_current = if let Some(value) = headers.first(HeaderId::IfNoneMatch) {
        is_match(value, etag, Comparison::Weak)
    } else if let Some(value) = headers.first(HeaderId::IfModifiedSince) {
        !is_modified(value, last_modified, modified_since)
    } else {
        false
    };
    if is_current { Precondition::NotModified } else { Precondition::Proceed }
}

/// Whether a `Range` field counts: there is no `If-Range`, or it names the very answer.
///
/// # Source
///
/// RFC 9110 §13.1.5; `ngx_http_range_header_filter` of nginx 1.31.
#[must_use]
pub fn range_applies(headers: &Headers, etag: Option<&[u8]>, last_modified: Option<i64>) -> bool {
    match headers.first(HeaderId::IfRange) {
        None => true,
        Some(value) if value.len() >= 2 && value.ends_with(b"\"") => {
            // The comparison is strong: a weak tag names no octets.
            !value.starts_with(b"W/") && etag == Some(value)
        }
        Some(value) => last_modified.is_some() && parse_http_date(value) == last_modified,
    }
}

/// How entity tags are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Weak tags match nothing.
    Strong,
    /// The `W/` does not count.
    Weak,
}

/// Whether the list of tags in `value` has `etag`. `*` stands for anything there is.
fn is_match(value: &[u8], etag: Option<&[u8]>, comparison: Comparison) -> bool {
    if value == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    match comparison {
        Comparison::Strong => !etag.starts_with(b"W/") && list_members(value).any(|member| member == etag),
        Comparison::Weak => list_members(value).any(|member| opaque(member) == opaque(etag)),
    }
}

/// The tag without its `W/`.
fn opaque(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

fn is_unmodified(value: &[u8], last_modified: Option<i64>) -> bool {
    match (parse_http_date(value), last_modified) {
        (Some(since), Some(last_modified)) => last_modified <= since,
        _ => true,
    }
}

fn is_modified(value: &[u8], last_modified: Option<i64>, modified_since: ModifiedSince) -> bool {
    let (Some(since), Some(last_modified)) = (parse_http_date(value), last_modified) else { return true };
    match modified_since {
        ModifiedSince::Off => true,
        ModifiedSince::Exact => last_modified != since,
        ModifiedSince::Before => last_modified > since,
    }
}

/// The fields that [`evaluate`] reads.
const CONDITIONS: u128 = HeaderId::IfUnmodifiedSince.bit()
    | HeaderId::IfMatch.bit()
    | HeaderId::IfNoneMatch.bit()
    | HeaderId::IfModifiedSince.bit();

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SECONDS: i64 = 784_111_777;

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.append(name.as_bytes(), value.as_bytes());
        }
        headers
    }

    #[test]
    fn conditions_are_judged() {
        use Precondition::{Failed, NotModified, Proceed};
        let weak = format!("W/{ETAG}");
        let list = format!("\"foo\", \"bar\", \t{ETAG} , \"baz\"");
        let cases: &[(&[(&str, &str)], Precondition)] = &[
            (&[], Proceed),
            (&[("If-None-Match", ETAG)], NotModified),
            (&[("If-None-Match", "\"foo\"")], Proceed),
            (&[("If-None-Match", &list)], NotModified),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-None-Match", &weak)], NotModified),
            (&[("If-None-Match", "\"abc\"d")], Proceed),
            (&[("If-None-Match", "")], Proceed),
            (&[("If-Match", ETAG)], Proceed),
            (&[("If-Match", "\"foo\"")], Failed),
            (&[("If-Match", &list)], Proceed),
            (&[("If-Match", "*")], Proceed),
            (&[("If-Match", &weak)], Failed),
            (&[("If-Modified-Since", DATE)], NotModified),
            (&[("If-Modified-Since", LATER)], Proceed),
            (&[("If-Modified-Since", EARLIER)], Proceed),
            (&[("If-Modified-Since", "nonsense")], Proceed),
            (&[("If-Unmodified-Since", DATE)], Proceed),
            (&[("If-Unmodified-Since", LATER)], Proceed),
            (&[("If-Unmodified-Since", EARLIER)], Failed),
            (&[("If-Unmodified-Since", "nonsense")], Proceed),
            (&[("If-Match", ETAG), ("If-Unmodified-Since", EARLIER)], Proceed),
            (&[("If-None-Match", ETAG), ("If-Modified-Since", LATER)], NotModified),
            (&[("If-None-Match", "\"x\""), ("If-Modified-Since", DATE)], Proceed),
            (&[("If-Match", ETAG), ("If-None-Match", ETAG)], NotModified),
        ];
        for (lines, expected) in cases {
            let outcome = evaluate(&headers(lines), Some(ETAG.as_bytes()), Some(SECONDS), ModifiedSince::Exact);
            assert_eq!(outcome, *expected, "{lines:?}");
        }
    }

    #[test]
    fn without_validators_nothing_is_unchanged() {
        let judge = |name, value| evaluate(&headers(&[(name, value)]), None, None, ModifiedSince::Before);
        assert_eq!(judge("If-None-Match", ETAG), Precondition::Proceed);
        assert_eq!(judge("If-Match", ETAG), Precondition::Failed);
        assert_eq!(judge("If-Modified-Since", DATE), Precondition::Proceed);
        assert_eq!(judge("If-Unmodified-Since", DATE), Precondition::Proceed);
    }

    #[test]
    fn modified_since_has_three_modes() {
        let judge = |value, mode| evaluate(&headers(&[("If-Modified-Since", value)]), None, Some(SECONDS), mode);
        assert_eq!(judge(LATER, ModifiedSince::Before), Precondition::NotModified);
        assert_eq!(judge(EARLIER, ModifiedSince::Before), Precondition::Proceed);
        assert_eq!(judge(DATE, ModifiedSince::Off), Precondition::Proceed);
    }

    #[test]
    fn if_range_needs_the_very_answer() {
        let judge = |value: &str, etag: &str| {
            range_applies(&headers(&[("If-Range", value)]), Some(etag.as_bytes()), Some(SECONDS))
        };
        assert!(range_applies(&Headers::new(), None, None));
        assert!(judge(ETAG, ETAG));
        assert!(judge(DATE, ETAG));
        for value in ["\"x\"", "W/\"abc\"", LATER, EARLIER, "wrong", "\"", ""] {
            assert!(!judge(value, ETAG), "{value}");
        }
        assert!(!judge("W/\"abc\"", "W/\"abc\""));
        assert!(!range_applies(&headers(&[("If-Range", ETAG)]), None, None));
    }
}
