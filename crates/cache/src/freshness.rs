//! Whether an answer may be kept, and for how long, as its fields say: `Cache-Control`, `Expires`, `X-Accel-Expires`, `Set-Cookie` and
//! `Vary`.
//!
//! # Source
//!
//! RFC 9111 §3, §4.2, §5.2, §5.3; RFC 5861; where fields disagree, as `ngx_http_upstream.c` of nginx 1.31 reads them, in their order.

use daemun_http::{HeaderId, Headers, date};
use daemun_server::fetch::IgnoredHeaders;

use crate::limits::VARY_BYTES_MAX;

/// What the fields of an answer say. Times as in [`crate::entry::Times`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whether it may be kept at all.
    pub is_allowed: bool,
    /// Until when it is fresh, where the fields say so.
    pub valid_until: Option<i64>,
    /// So much longer it may be given while it is got anew.
    pub updating: i64,
    /// So much longer it may be given where it cannot be had anew.
    pub error: i64,
    /// `Vary`, several lines joined.
    pub vary: Vec<u8>,
}

/// Reads the fields of an answer that came at the Unix time `now`.
#[must_use]
pub fn terms(headers: &Headers, ignored: IgnoredHeaders, now: i64) -> Terms {
    let mut reader = Reader { terms: Terms { is_allowed: true, ..Terms::default() }, ..Reader::default() };
    for field in headers.iter() {
        match field.id {
            HeaderId::CacheControl if !ignored.cache_control => reader.cache_control(field.value, now),
            HeaderId::Expires if !ignored.expires => reader.expires(field.value, now),
            HeaderId::XAccelExpires if !ignored.accel_expires => reader.accel_expires(field.value, now),
            HeaderId::SetCookie if !ignored.set_cookie => reader.terms.is_allowed = false,
            HeaderId::Vary if !ignored.vary => reader.vary(field.value),
            _ => {}
        }
    }
    let Reader { mut terms, is_refused, is_expired, .. } = reader;
    terms.is_allowed &= !is_refused && !is_expired && terms.vary.len() <= VARY_BYTES_MAX;
    terms
}

#[derive(Default)]
struct Reader {
    terms: Terms,
    has_accel_expires: bool,
    has_expires: bool,
    /// `Cache-Control` forbids it; `X-Accel-Expires` may still allow it.
    is_refused: bool,
    is_expired: bool,
}

impl Reader {
    fn cache_control(&mut self, value: &[u8], now: i64) {
        if !(self.has_accel_expires && self.terms.valid_until.is_some()) {
            if ["no-cache", "no-store", "private"].iter().any(|word| find(value, word).is_some()) {
                self.is_refused = true;
                return;
            }
            let age = find(value, "s-maxage=").or_else(|| find(value, "max-age="));
            match age.map(delta_seconds) {
                None => {}
                Some(None) => {
                    self.terms.is_allowed = false;
                    return;
                }
                Some(Some(0)) => {
                    self.is_refused = true;
                    return;
                }
                Some(Some(seconds)) => {
                    self.terms.valid_until = Some(now.saturating_add(seconds));
                    self.is_expired = false;
                }
            }
        }
        match find(value, "stale-while-revalidate=").map(delta_seconds) {
            None => {}
            Some(None) => return self.terms.is_allowed = false,
            Some(Some(seconds)) => (self.terms.updating, self.terms.error) = (seconds, seconds),
        }
        match find(value, "stale-if-error=").map(delta_seconds) {
            None => {}
            Some(None) => self.terms.is_allowed = false,
            Some(Some(seconds)) => self.terms.error = seconds,
        }
    }

    fn expires(&mut self, value: &[u8], now: i64) {
        if std::mem::replace(&mut self.has_expires, true) || self.terms.valid_until.is_some() {
            return;
        }
        match date::parse_http_date(value).filter(|expires| *expires >= now) {
            Some(expires) => self.terms.valid_until = Some(expires),
            None => self.is_expired = true,
        }
    }

    /// Seconds, 0 for not at all, or `@` and a Unix time.
    fn accel_expires(&mut self, value: &[u8], now: i64) {
        if std::mem::replace(&mut self.has_accel_expires, true) {
            return;
        }
        let number = |digits: &[u8]| {
            let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
            text.and_then(|text| text.parse::<i64>().ok())
        };
        let until = match value.strip_prefix(b"@") {
            Some(time) => number(time),
            None => match number(value) {
                Some(0) => {
                    self.terms.is_allowed = false;
                    None
                }
                seconds => seconds.map(|seconds| now.saturating_add(seconds)),
            },
        };
        if let Some(until) = until {
            self.terms.valid_until = Some(until);
            self.is_refused = false;
            self.is_expired = false;
        }
    }

    fn vary(&mut self, value: &[u8]) {
        if value == b"*" {
            self.terms.is_allowed = false;
            return;
        }
        if !self.terms.vary.is_empty() {
            self.terms.vary.extend_from_slice(b", ");
        }
        self.terms.vary.extend_from_slice(value);
    }
}

/// What follows a word, in whatever case it is written.
fn find<'a>(value: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let at = value.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word.as_bytes()))?;
    value.get(at + word.len()..)
}

/// A number of seconds, up to a comma, semicolon or space; `None` for what is none. What is too large is the largest there is.
fn delta_seconds(text: &[u8]) -> Option<i64> {
    let end = text.iter().position(|octet| matches!(octet, b',' | b';' | b' ')).unwrap_or(text.len());
    let mut seconds = 0_i64;
    for octet in text.get(..end)? {
        if !octet.is_ascii_digit() {
            return None;
        }
        seconds = seconds.saturating_mul(10).saturating_add(i64::from(octet - b'0'));
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;
    const PAST: (&str, &str) = ("Expires", "Thu, 01 Jan 1970 00:00:01 GMT");
    const FUTURE: (&str, &str) = ("Expires", "Thu, 31 Dec 2037 23:55:55 GMT");

    fn of(fields: &[(&str, &str)]) -> Terms {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name.as_bytes(), value.as_bytes());
        }
        terms(&headers, IgnoredHeaders::default(), NOW)
    }

    /// Seconds of freshness; `None` where it may not be kept, or says nothing.
    fn seconds(fields: &[(&str, &str)]) -> Option<i64> {
        let terms = of(fields);
        terms.valid_until.filter(|_| terms.is_allowed).map(|until| until.saturating_sub(NOW))
    }

    #[test]
    fn fields_say_how_long() {
        let control = |value| seconds(&[("Cache-Control", value)]);
        assert_eq!(control("max-age=60"), Some(60));
        assert_eq!(control("public, Max-Age=60, s-maxage=5"), Some(5));
        assert_eq!(control("max-age=0"), None);
        assert_eq!(control("max-age=x"), None);
        assert_eq!(control("max-age=9223372036854775808"), Some(i64::MAX - NOW));
        for refusal in ["no-cache", "no-store", "Private, max-age=60", "no-cache, max-age=60"] {
            assert_eq!(control(refusal), None, "{refusal}");
        }
        assert_eq!(seconds(&[FUTURE]), Some(2_145_916_555 - NOW));
        assert_eq!(seconds(&[PAST]), None);
        assert_eq!(seconds(&[("X-Accel-Expires", "60")]), Some(60));
        assert_eq!(seconds(&[("X-Accel-Expires", "@1000000007")]), Some(7));
        assert_eq!(seconds(&[]), None);
        assert!(of(&[]).is_allowed);
    }

    #[test]
    fn one_field_goes_before_another() {
        let age = ("Cache-Control", "max-age=60");
        let never = ("Cache-Control", "no-cache");
        let accel = ("X-Accel-Expires", "60");
        let none = ("X-Accel-Expires", "0");
        for fields in [[age, PAST], [PAST, age], [accel, PAST], [PAST, accel], [never, accel], [accel, never]] {
            assert_eq!(seconds(&fields), Some(60), "{fields:?}");
        }
        for fields in [[never, FUTURE], [FUTURE, never], [none, age], [age, none], [never, age]] {
            assert_eq!(seconds(&fields), None, "{fields:?}");
        }
        assert_eq!(seconds(&[accel, none]), Some(60), "the second of two counts for nothing");
    }

    #[test]
    fn staleness_may_be_allowed() {
        let both = of(&[("Cache-Control", "max-age=1, stale-while-revalidate=10, stale-if-error=5")]);
        assert_eq!((both.updating, both.error), (10, 5));
        let one = of(&[("Cache-Control", "stale-while-revalidate=10"), ("X-Accel-Expires", "@1")]);
        assert_eq!((one.valid_until, one.updating, one.error), (Some(1), 10, 10));
    }

    #[test]
    fn cookies_and_some_variety_forbid() {
        let age = ("Cache-Control", "max-age=60");
        assert!(!of(&[age, ("Set-Cookie", "a=b")]).is_allowed);
        assert!(!of(&[age, ("Vary", "*")]).is_allowed);
        assert!(!of(&[age, ("Vary", &"x".repeat(129))]).is_allowed);
        assert_eq!(of(&[age, ("Vary", "A"), ("Vary", "B")]).vary, b"A, B");
    }

    #[test]
    fn what_is_ignored_says_nothing() {
        let mut headers = Headers::new();
        for (name, value) in [("Cache-Control", "no-store"), ("Set-Cookie", "a=b"), ("Vary", "*"), PAST] {
            headers.append(name.as_bytes(), value.as_bytes());
        }
        let ignored =
            IgnoredHeaders { cache_control: true, set_cookie: true, vary: true, expires: true, ..Default::default() };
        assert_eq!(terms(&headers, ignored, NOW), Terms { is_allowed: true, ..Terms::default() });
    }
}
