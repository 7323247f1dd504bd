//! Which clients take gzip: what `gzip`, `gzip_static` and `gunzip` ask alike.

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

    /// Whether the client of `request` takes `response` in gzip. A part of a page is not coded by itself.
    #[must_use]
    pub fn accepts(&self, request: &Request, response: &Response) -> bool {
        let headers = request.headers();
        !request.is_subrequest()
            && headers.first(HeaderId::AcceptEncoding).is_some_and(accepts_gzip)
            && self.allows_version(request.head.version)
            && self.allows_proxy(headers, response)
            && self.disabled.as_ref().is_none_or(|disabled| !disabled.names(headers))
    }

    fn allows_version(&self, version: Version) -> bool {
        version == Version::Http11 || self.lowest_version == Some(Version::Http10)
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

/// Whether `Accept-Encoding` names gzip with a weight above zero. `*` is not understood, as in nginx.
fn accepts_gzip(value: &[u8]) -> bool {
    let mut start = 0;
    while let Some(found) = value.get(start..).and_then(find_gzip) {
        let at = start + found;
        start = at + 4;
        if at == 0 || matches!(value[at - 1], b',' | b' ') {
            return has_weight(&value[start..]);
        }
    }
    false
}

fn find_gzip(value: &[u8]) -> Option<usize> {
    value.windows(4).position(|octets| octets.eq_ignore_ascii_case(b"gzip"))
}

/// Whether what follows a coding's name up to the comma leaves it a weight above zero.
fn has_weight(rest: &[u8]) -> bool {
    let own = rest.split(|octet| *octet == b',').next().unwrap_or_default().trim_ascii_start();
    let Some(parameter) = own.strip_prefix(b";") else { return own.is_empty() };
    match parameter.trim_ascii_start() {
        [] => true,
        [b'q' | b'Q', b'=', weight @ ..] => {
            is_above_zero(weight.split(|octet| *octet == b' ').next().unwrap_or_default())
        }
        _ => false,
    }
}

/// RFC 9110's qvalue: a number up to 1 with at most three digits behind the point.
fn is_above_zero(weight: &[u8]) -> bool {
    let (is_one, digits) = match weight {
        [first @ (b'0' | b'1')] => return *first == b'1',
        [first @ (b'0' | b'1'), b'.', digits @ ..] => (*first == b'1', digits),
        _ => return false,
    };
    let is_number = digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit);
    let is_zero = digits.iter().all(|digit| *digit == b'0');
    is_number && is_one == is_zero
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
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("deflate,GZIP", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=1.000", true),
            ("gzip; q=0.001", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, deflate", false),
            ("gzip;q=1.1", false),
            ("gzip;q=0.0001", false),
            ("gzip;x=1", false),
            ("x-gzip", false),
            ("gzipped", false),
            ("x-gzip, gzip", true),
            ("identity", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(value.as_bytes()), expected, "{value}");
        }
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
