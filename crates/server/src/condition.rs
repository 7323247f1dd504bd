//! Why another server is asked, or a stale answer of a cache is given: the words of `..._next_upstream` and `..._cache_use_stale`.

use daemun_http::StatusCode;

/// Why a server's answer, or that there is none, may have another server asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Condition {
    /// The connection could not be made, or failed.
    Error = 0,
    /// A time-out.
    Timeout,
    /// The answer's head is empty or invalid.
    InvalidHeader,
    /// Another server is asked for a POST, LOCK or PATCH too that has been sent.
    NonIdempotent,
    /// 500
    Http500,
    /// 502
    Http502,
    /// 503
    Http503,
    /// 504
    Http504,
    /// 403
    Http403,
    /// 404
    Http404,
    /// 429
    Http429,
    /// A stale answer of the cache may be used while it is updated: only for `..._cache_use_stale`.
    Updating,
    /// Nothing of all this.
    Off,
}

/// A set of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions(u16);

/// `error timeout`
impl Default for Conditions {
    fn default() -> Self {
        Self::NONE.with(Condition::Error).with(Condition::Timeout)
    }
}

impl Conditions {
    /// No condition.
    pub const NONE: Self = Self(0);

    /// The set with this condition too.
    #[must_use]
    pub const fn with(self, condition: Condition) -> Self {
        Self(self.0 | 1 << condition as u8)
    }

    /// Whether the condition is in the set; in one with [`Condition::Off`] none is.
    #[must_use]
    pub const fn has(self, condition: Condition) -> bool {
        self.0 & 1 << Condition::Off as u8 == 0 && self.0 & 1 << condition as u8 != 0
    }
}

impl Condition {
    /// The words of a configuration.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("timeout", Self::Timeout),
        ("invalid_header", Self::InvalidHeader),
        ("non_idempotent", Self::NonIdempotent),
        ("http_500", Self::Http500),
        ("http_502", Self::Http502),
        ("http_503", Self::Http503),
        ("http_504", Self::Http504),
        ("http_403", Self::Http403),
        ("http_404", Self::Http404),
        ("http_429", Self::Http429),
        ("updating", Self::Updating),
        ("off", Self::Off),
    ];

    /// The words of `memcached_next_upstream`.
    pub const MEMCACHED_WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("timeout", Self::Timeout),
        ("invalid_response", Self::InvalidHeader),
        ("not_found", Self::Http404),
        ("off", Self::Off),
    ];

    /// The words of `tunnel_next_upstream`.
    pub const TUNNEL_WORDS: &'static [(&'static str, Self)] =
        &[("error", Self::Error), ("timeout", Self::Timeout), ("off", Self::Off)];

    /// The condition that an answer with this status is.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Option<Self> {
        Some(match status.as_u16() {
            500 => Self::Http500,
            502 => Self::Http502,
            503 => Self::Http503,
            504 => Self::Http504,
            403 => Self::Http403,
            404 => Self::Http404,
            429 => Self::Http429,
            _ => return None,
        })
    }

    /// What the client is answered when no other server is asked.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Timeout | Self::Http504 => StatusCode::GATEWAY_TIMEOUT,
            Self::Http500 => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Http503 => StatusCode::SERVICE_UNAVAILABLE,
            Self::Http403 => StatusCode::FORBIDDEN,
            Self::Http404 => StatusCode::NOT_FOUND,
            Self::Http429 => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the server is well and only has not what was asked for.
    #[must_use]
    pub fn is_not_found_like(self) -> bool {
        matches!(self, Self::Http403 | Self::Http404)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_takes_everything_back() {
        let usual = Conditions::default();
        assert!(usual.has(Condition::Error) && usual.has(Condition::Timeout) && !usual.has(Condition::Http500));
        assert!(!usual.with(Condition::Off).has(Condition::Error));
    }
}
