//! Why a request head is refused.

use std::fmt;

use crate::StatusCode;

/// Why a request head is refused. The connection cannot be used after it.
///
/// The texts are those of nginx's error log, where nginx has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The method is empty or has other octets than `A-Z`, `_` and `-`; a TLS handshake looks so too.
    #[error("client sent invalid method")]
    Method,

    /// The request line is not `method target version`.
    #[error("client sent invalid request: \"{line}\"")]
    RequestLine {
        /// The line.
        line: Excerpt,
    },

    /// The request line has no version: HTTP/0.9, which is not spoken here.
    #[error("client sent HTTP/0.9 request: \"{line}\"")]
    Http09 {
        /// The line.
        line: Excerpt,
    },

    /// The major version is not 1.
    #[error("client sent invalid version: \"{line}\"")]
    Version {
        /// The line.
        line: Excerpt,
    },

    /// The request line is longer than it may be.
    #[error("client sent too long URI (over {limit} octets): \"{line}...\"")]
    RequestLineTooLong {
        /// The line's beginning.
        line: Excerpt,
        /// The limit in octets.
        limit: usize,
    },

    /// The host in the request target is none.
    #[error("client sent invalid host in request line: \"{line}\"")]
    Authority {
        /// The request line.
        line: Excerpt,
    },

    /// A line is no field: no colon, space before the colon, a folded line, a control character.
    #[error("client sent invalid header line: \"{line}\"")]
    HeaderLine {
        /// The line.
        line: Excerpt,
    },

    /// A header line is longer than it may be.
    #[error("client sent too long header line (over {limit} octets): \"{line}...\"")]
    HeaderLineTooLong {
        /// The line's beginning.
        line: Excerpt,
        /// The limit in octets.
        limit: usize,
    },

    /// All header lines together are longer than they may be.
    #[error("client sent too large request (over {limit} octets); largest header so far: \"{largest}\", {size} octets")]
    HeadTooLarge {
        /// The limit in octets.
        limit: usize,
        /// Name of the largest field that has arrived whole.
        largest: Excerpt,
        /// Octets of that field's value.
        size: usize,
    },

    /// There are more fields than there may be.
    #[error("client sent too many header lines (over {limit})")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },

    /// A field that may come once came again.
    #[error("client sent duplicate \"{name}\" header: \"{line}\"")]
    Duplicate {
        /// The second line.
        line: Excerpt,
        /// The field's name.
        name: &'static str,
    },

    /// HTTP/1.1 without `Host`.
    #[error("client sent HTTP/1.1 request without \"Host\" header")]
    HostMissing,

    /// `Host` is no host.
    #[error("client sent invalid host header: \"{value}\"")]
    Host {
        /// What it is.
        value: Excerpt,
    },

    /// `Content-Length` is no number of octets.
    #[error("client sent invalid \"Content-Length\" header: \"{value}\"")]
    ContentLength {
        /// What it is.
        value: Excerpt,
    },

    /// `Transfer-Encoding` in HTTP/1.0.
    #[error("client sent HTTP/1.0 request with \"Transfer-Encoding\" header")]
    TransferEncodingInHttp10,

    /// `Transfer-Encoding` is anything but `chunked`.
    #[error("client sent unknown \"Transfer-Encoding\": \"{value}\"")]
    TransferEncoding {
        /// What it is.
        value: Excerpt,
    },

    /// Both ways to say where the body ends.
    #[error("client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time")]
    TwoLengths,

    /// `CONNECT` with a body.
    #[error("client sent CONNECT request with body")]
    ConnectWithBody,

    /// HTTP/2: the name of a field has an upper-case letter or what no name may have.
    #[error("client sent invalid header name: \"{name}\"")]
    FieldName {
        /// The name.
        name: Excerpt,
    },

    /// HTTP/2: the value of a field has a line end or NUL.
    #[error("client sent header \"{name}\" with invalid value: \"{value}\"")]
    FieldValue {
        /// The field's name.
        name: Excerpt,
        /// Its value.
        value: Excerpt,
    },

    /// HTTP/2: a pseudo-header field behind the others.
    #[error("client sent out of order pseudo-headers")]
    PseudoHeaderOrder,

    /// HTTP/2: a pseudo-header field that there is not.
    #[error("client sent unknown pseudo-header \":{name}\"")]
    PseudoHeaderUnknown {
        /// Its name.
        name: Excerpt,
    },

    /// HTTP/2: a pseudo-header field twice.
    #[error("client sent duplicate {name} header")]
    PseudoHeaderTwice {
        /// Its name.
        name: &'static str,
    },

    /// HTTP/2: a pseudo-header field is not there.
    #[error("client sent no {name} header")]
    PseudoHeaderMissing {
        /// Its name.
        name: &'static str,
    },

    /// HTTP/2: a pseudo-header field is not as it must be.
    #[error("client sent invalid {name} header: \"{value}\"")]
    PseudoHeader {
        /// Its name.
        name: &'static str,
        /// What it is.
        value: Excerpt,
    },

    /// HTTP/2: a field about a connection of HTTP/1.
    #[error("client sent invalid \"{name}\" header")]
    ConnectionSpecific {
        /// Its name.
        name: &'static str,
    },

    /// HTTP/2: nobody says which host is meant.
    #[error("client sent neither \":authority\" nor \"Host\" header")]
    AuthorityMissing,

    /// HTTP/2: two say different things of it.
    #[error("client sent \":authority\" and \"Host\" headers with different values")]
    AuthorityAndHost,

    /// HTTP/2: a body is announced and none follows.
    #[error("client prematurely closed stream")]
    EndedEarly,
}

impl HeadError {
    /// The status to answer with; [`StatusCode::on_the_wire`] makes 400 of 494.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::RequestLineTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::HeaderLineTooLong { .. } | Self::HeadTooLarge { .. } | Self::TooManyHeaders { .. } => {
                StatusCode::REQUEST_HEADER_TOO_LARGE
            }
            Self::Version { .. } => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TransferEncoding { .. } => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// The beginning of what a peer sent, made printable for a log line.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// Octets of the original that are kept.
    pub const OCTETS_MAX: usize = 256;

    /// The first octets of `octets`, those that are not printable ASCII escaped.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        let kept = octets.get(..Self::OCTETS_MAX).unwrap_or(octets);
        Self(kept.escape_ascii().to_string().into_boxed_str())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", &*self.0)
    }
}
