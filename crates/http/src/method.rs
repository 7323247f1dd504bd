//! Request methods.

use std::fmt;

/// A request method: those nginx knows by name, and any other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`.
    Options,
    /// `TRACE`.
    Trace,
    /// `CONNECT`.
    Connect,
    /// `PATCH`.
    Patch,
    /// `MKCOL`.
    Mkcol,
    /// `COPY`.
    Copy,
    /// `MOVE`.
    Move,
    /// `PROPFIND`.
    Propfind,
    /// `PROPPATCH`.
    Proppatch,
    /// `LOCK`.
    Lock,
    /// `UNLOCK`.
    Unlock,
    /// Any other name of upper-case letters, `_` and `-`.
    Extension(Box<str>),
}

impl Method {
    /// The method called `name`; `None` where it is empty or has another octet than `A-Z`, `_` and `-`.
    ///
    /// Methods are case-sensitive, and as in nginx one with lower-case letters is refused rather
    /// than passed on.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            b"PATCH" => Self::Patch,
            b"MKCOL" => Self::Mkcol,
            b"COPY" => Self::Copy,
            b"MOVE" => Self::Move,
            b"PROPFIND" => Self::Propfind,
            b"PROPPATCH" => Self::Proppatch,
            b"LOCK" => Self::Lock,
            b"UNLOCK" => Self::Unlock,
            _ => return Self::extension(name),
        })
    }

    #[cold]
    fn extension(name: &[u8]) -> Option<Self> {
        if name.is_empty() || !name.iter().copied().all(is_method_octet) {
            return None;
        }
        std::str::from_utf8(name).ok().map(|name| Self::Extension(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Connect => "CONNECT",
            Self::Patch => "PATCH",
            Self::Mkcol => "MKCOL",
            Self::Copy => "COPY",
            Self::Move => "MOVE",
            Self::Propfind => "PROPFIND",
            Self::Proppatch => "PROPPATCH",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Extension(name) => name,
        }
    }

    /// Whether the method only reads (RFC 9110 §9.2.1).
    #[must_use]
    pub const fn is_safe(&self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace | Self::Propfind)
    }

    /// Whether doing it twice is as doing it once (RFC 9110 §9.2.2): what may be sent to another server again.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Whether `octet` may be in a method, as nginx sees it: stricter than a token.
#[inline]
pub(crate) const fn is_method_octet(octet: u8) -> bool {
    matches!(octet, b'A'..=b'Z' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for name in [
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "DELETE",
            "OPTIONS",
            "TRACE",
            "CONNECT",
            "PATCH",
            "MKCOL",
            "COPY",
            "MOVE",
            "PROPFIND",
            "PROPPATCH",
            "LOCK",
            "UNLOCK",
            "PURGE",
            "M-SEARCH",
            "X_Y",
        ] {
            let method = Method::of(name.as_bytes()).expect("a method");
            assert_eq!(method.as_str(), name);
            assert_eq!(matches!(method, Method::Extension(_)), name == "PURGE" || name == "M-SEARCH" || name == "X_Y");
        }
    }

    #[test]
    fn other_octets_are_refused() {
        for name in ["", "get", "G T", "GET1", "G\u{e9}T", "GE\0"] {
            assert_eq!(Method::of(name.as_bytes()), None, "{name:?}");
        }
    }
}
