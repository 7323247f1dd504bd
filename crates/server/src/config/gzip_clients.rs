//! Which clients take gzip and other codings: what `gzip`, `gzip_static`, `gunzip` and their neighbours ask alike.

use std::fmt;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments};
use daemun_http::{HeaderId, Headers, Version, date};
use fancy_regex::Regex;

use super::{Core, inherit};
use crate::clock;
use crate::request::Request;
use crate::response::Response;

/// `gzip_disable`, `gzip_http_version`, `gzip_proxied` and `gzip_vary`. An unset field is inherited.
#[derive(Clone, Default)]
pub struct GzipClients {
    disabled: Option<Arc<Disabled>>,
    lowest_version: Option<Version>,
    proxied: Option<Proxied>,
    vary: Option<bool>,
}

/// `gzip_disable`.
#[derive(Clone, Default)]
struct Disabled {
    /// The word `msie6`, which costs less than the expression it stands for.
    old_explorers: bool,
    agents: Vec<Regex>,
}

impl fmt::Debug for Disabled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.agents.iter().map(Regex::as_str)).finish()
    }
}

/// `gzip_proxied`: which answers are compressed for a request that came through a proxy.
#[derive(Clone, Copy, Debug, Default)]
struct Proxied {
    off: bool,
    expired: bool,
    no_cache: bool,
    no_store: bool,
    private: bool,
    no_last_modified: bool,
    no_etag: bool,
    auth: bool,
    any: bool,
}

impl GzipClients {
    pub(super) fn merge(parent: &Self, child: &mut Self) {
        inherit!(parent, child; disabled, lowest_version, proxied, vary);
    }

    /// Whether the client of `request` takes `response` in gzip.
    #[must_use]
    pub fn accepts(&self, request: &Request, response: &Response) -> bool {
        Self::weight(request, "gzip") > 0 && self.allows(request, response)
    }

    /// How much the client wants `coding`, from 1 to 1,000; 0 where it does not take it. `*` is not understood, as in nginx.
    #[must_use]
    pub fn weight(request: &Request, coding: &str) -> u16 {
        request.headers().first(HeaderId::AcceptEncoding).map_or(0, |value| weight_of(value, coding.as_bytes()))
    }

    /// Whether `response` may be coded for the client of `request`, whatever the coding. A part of a page is not coded by itself.
    #[must_use]
    pub fn allows(&self, request: &Request, response: &Response) -> bool {
        let headers = request.headers();
        !request.is_subrequest()
            && self.allows_version(request.head.version)
            && self.allows_proxy(headers, response)
            && self.disabled.as_ref().is_none_or(|disabled| !disabled.names(headers))
    }

    fn allows_version(&self, version: Version) -> bool {
        version >= Version::Http11 || self.lowest_version == Some(Version::Http10)
    }

    /// The rules of `gzip_proxied` in nginx's order: the first field that speaks decides.
    fn allows_proxy(&self, asked: &Headers, response: &Response) -> bool {
        let answer = &response.head.headers;
        if !asked.has(HeaderId::Via) {
            return true;
        }
        let proxied = self.proxied.unwrap_or(Proxied { off: true, ..Proxied::default() });
        if proxied.off {
            return false;
        }
        if proxied.any || proxied.auth && asked.has(HeaderId::Authorization) {
            return true;
        }
        if let Some(expires) = answer.first(HeaderId::Expires) {
            let now = answer.first(HeaderId::Date).map_or(Some(clock::unix_ms() / 1_000), date::parse_http_date);
            let expires = date::parse_http_date(expires);
            return proxied.expired && expires.zip(now).is_some_and(|(expires, now)| expires < now);
        }
        if answer.has(HeaderId::CacheControl) {
            let says = |word: &str| {
                answer.all(HeaderId::CacheControl).any(|value| {
                    value
                        .split(|octet| *octet == b',')
                        .any(|part| part.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
                })
            };
            return proxied.no_cache && says("no-cache")
                || proxied.no_store && says("no-store")
                || proxied.private && says("private");
        }
        // As in nginx, the time of a file of its own is not yet a field when this is asked.
        !(proxied.no_last_modified && !response.is_own && answer.has(HeaderId::LastModified)
            || proxied.no_etag && answer.has(HeaderId::ETag))
    }

    /// Whether answers that depend on the client's codings say so (`gzip_vary`).
    #[must_use]
    pub fn varies(&self) -> bool {
        self.vary.unwrap_or(false)
    }

    /// Adds `Vary: Accept-Encoding` where `gzip_vary` wants it and nobody has said it.
    pub fn add_vary(&self, response: &mut Response) {
        const VALUE: &[u8] = b"Accept-Encoding";
        if self.varies() && !response.head.headers.all(HeaderId::Vary).any(|value| value == VALUE) {
            response.head.headers.append_known(HeaderId::Vary, VALUE);
        }
    }
}

impl Disabled {
    fn names(&self, headers: &Headers) -> bool {
        let Some(agent) = headers.first(HeaderId::UserAgent) else { return false };
        if self.old_explorers && is_old_explorer(agent) {
            return true;
        }
        let agent = String::from_utf8_lossy(agent);
        // An expression that gives up has named nobody, but compressing for such a client may be what it should prevent.
        self.agents.iter().any(|regex| regex.is_match(agent.as_ref()).unwrap_or(true))
    }
}

/// Internet Explorer 4 to 6, but for 6 with the second service pack.
fn is_old_explorer(agent: &[u8]) -> bool {
    let Some(at) = find(agent, b"MSIE ") else { return false };
    match &agent[at + 5..] {
        [b'4' | b'5', b'.', _, ..] => true,
        [b'6', b'.', rest @ ..] if !rest.is_empty() => find(rest, b"SV1").is_none(),
        _ => false,
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|octets| octets == word)
}

/// The weight that `Accept-Encoding` gives to `coding`, in thousandths.
fn weight_of(value: &[u8], coding: &[u8]) -> u16 {
    let is_here = |octets: &[u8]| octets.eq_ignore_ascii_case(coding);
    let mut start = 0;
    while let Some(found) = value.get(start..).and_then(|rest| rest.windows(coding.len()).position(is_here)) {
        let at = start + found;
        start = at + coding.len();
        if at == 0 || matches!(value[at - 1], b',' | b' ') {
            return weight_behind(&value[start..]);
        }
    }
    0
}

/// The weight that what follows a coding's name up to the comma leaves it.
fn weight_behind(rest: &[u8]) -> u16 {
    let own = rest.split(|octet| *octet == b',').next().unwrap_or_default().trim_ascii_start();
    let Some(parameter) = own.strip_prefix(b";") else { return if own.is_empty() { WHOLE_WEIGHT } else { 0 } };
    match parameter.trim_ascii_start() {
        [] => WHOLE_WEIGHT,
        [b'q' | b'Q', b'=', weight @ ..] => {
            thousandths(weight.split(|octet| *octet == b' ').next().unwrap_or_default())
        }
        _ => 0,
    }
}

/// The weight of what is not weighed.
const WHOLE_WEIGHT: u16 = 1_000;

/// RFC 9110's qvalue: a number up to 1 with at most three digits behind the point; 0 for anything else.
fn thousandths(weight: &[u8]) -> u16 {
    let (first, digits) = match weight {
        [first @ (b'0' | b'1')] => (first, &b""[..]),
        [first @ (b'0' | b'1'), b'.', digits @ ..] => (first, digits),
        _ => return 0,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let behind = [100, 10, 1].iter().zip(digits).map(|(place, digit)| place * u16::from(digit - b'0')).sum::<u16>();
    match (first, behind) {
        (b'1', 0) => WHOLE_WEIGHT,
        (b'1', _) => 0,
        _ => behind,
    }
}

pub(super) fn set_disable(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mut disabled = Disabled::default();
    for (index, word) in arguments.words().iter().enumerate() {
        match word.text.as_str() {
            "msie6" => disabled.old_explorers = true,
            pattern => disabled.agents.push(
                Regex::new(&format!("(?i){pattern}"))
                    .map_err(|error| ArgumentError::new(Some(index), format!("regex \"{pattern}\": {error}")))?,
            ),
        }
    }
    arguments.set_once(&mut core.gzip_clients.disabled, Arc::new(disabled))
}

pub(super) fn set_http_version(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let version = arguments.choice(0, &[("1.0", Version::Http10), ("1.1", Version::Http11)])?;
    arguments.set_once(&mut core.gzip_clients.lowest_version, version)
}

pub(super) fn set_proxied(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mut proxied = Proxied::default();
    for (index, word) in arguments.words().iter().enumerate() {
        let flag = match word.text.as_str() {
            "off" => &mut proxied.off,
            "expired" => &mut proxied.expired,
            "no-cache" => &mut proxied.no_cache,
            "no-store" => &mut proxied.no_store,
            "private" => &mut proxied.private,
            "no_last_modified" => &mut proxied.no_last_modified,
            "no_etag" => &mut proxied.no_etag,
            "auth" => &mut proxied.auth,
            "any" => &mut proxied.any,
            _ => return Err(arguments.invalid_value(index)),
        };
        *flag = true;
    }
    arguments.set_once(&mut core.gzip_clients.proxied, proxied)
}

pub(super) fn set_vary(core: &mut Core, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let vary = arguments.flag(0)?;
    arguments.set_once(&mut core.gzip_clients.vary, vary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_encoding_is_read_as_nginx_reads_it() {
        for (value, expected) in [
            ("gzip", 1_000),
            ("gzip, deflate, br", 1_000),
            ("deflate,GZIP", 1_000),
            ("deflate, gzip;q=0.5", 500),
            ("gzip;q=1.000", 1_000),
            ("gzip; q=0.001", 1),
            ("br;q=0.9, gzip;q=0.25", 250),
            ("gzip;q=0", 0),
            ("gzip;q=0.000, deflate", 0),
            ("gzip;q=1.1", 0),
            ("gzip;q=0.0001", 0),
            ("gzip;x=1", 0),
            ("x-gzip", 0),
            ("gzipped", 0),
            ("x-gzip, gzip", 1_000),
            ("identity", 0),
            ("*", 0),
            ("", 0),
        ] {
            assert_eq!(weight_of(value.as_bytes(), b"gzip"), expected, "{value}");
        }
        assert_eq!(weight_of(b"gzip, br;q=0.9", b"br"), 900);
        assert_eq!(weight_of(b"gzip, brotli", b"br"), 0);
    }

    #[test]
    fn old_explorers_are_known() {
        for (agent, expected) in [
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", true),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", false),
            ("Mozilla/4.0 (compatible; MSIE 5.5; Windows NT)", true),
            ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0)", false),
            ("MSIE 6.", false),
            ("curl/8", false),
        ] {
            assert_eq!(is_old_explorer(agent.as_bytes()), expected, "{agent}");
        }
    }
}
