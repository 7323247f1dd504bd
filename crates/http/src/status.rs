//! Status codes and their phrases.

use std::fmt;

/// The status of an answer, 100 to 999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(u16);

/// Declares the constants and phrases from one list: statuses that nginx has a phrase for, and those it sends without.
macro_rules! status_codes {
    ($($number:literal $name:ident $reason:literal,)* without phrase: $($bare:literal $bare_name:ident $known_as:literal,)*) => {
        impl StatusCode {
            $(
                #[doc = concat!("`", $number, " ", $reason, "`.")]
                pub const $name: Self = Self($number);
            )*
            $(
                #[doc = concat!("`", $bare, "`, known as \"", $known_as, "\".")]
                pub const $bare_name: Self = Self($bare);
            )*

            /// The phrase that goes with the number: nginx's own, empty where it has none.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($number => $reason,)*
                    _ => "",
                }
            }

            /// Number, phrase and line end as they follow `HTTP/1.1 `; empty where there is no phrase.
            pub(crate) const fn line(self) -> &'static str {
                match self.0 {
                    $($number => concat!($number, " ", $reason, "\r\n"),)*
                    _ => "",
                }
            }
        }
    };
}

status_codes! {
    100 CONTINUE "Continue",
    101 SWITCHING_PROTOCOLS "Switching Protocols",
    102 PROCESSING "Processing",
    103 EARLY_HINTS "Early Hints",
    200 OK "OK",
    201 CREATED "Created",
    202 ACCEPTED "Accepted",
    204 NO_CONTENT "No Content",
    206 PARTIAL_CONTENT "Partial Content",
    301 MOVED_PERMANENTLY "Moved Permanently",
    302 FOUND "Moved Temporarily",
    303 SEE_OTHER "See Other",
    304 NOT_MODIFIED "Not Modified",
    307 TEMPORARY_REDIRECT "Temporary Redirect",
    308 PERMANENT_REDIRECT "Permanent Redirect",
    400 BAD_REQUEST "Bad Request",
    401 UNAUTHORIZED "Unauthorized",
    402 PAYMENT_REQUIRED "Payment Required",
    403 FORBIDDEN "Forbidden",
    404 NOT_FOUND "Not Found",
    405 METHOD_NOT_ALLOWED "Not Allowed",
    406 NOT_ACCEPTABLE "Not Acceptable",
    407 PROXY_AUTHENTICATION_REQUIRED "Proxy Authentication Required",
    408 REQUEST_TIMEOUT "Request Time-out",
    409 CONFLICT "Conflict",
    410 GONE "Gone",
    411 LENGTH_REQUIRED "Length Required",
    412 PRECONDITION_FAILED "Precondition Failed",
    413 CONTENT_TOO_LARGE "Request Entity Too Large",
    414 URI_TOO_LONG "Request-URI Too Large",
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type",
    416 RANGE_NOT_SATISFIABLE "Requested Range Not Satisfiable",
    421 MISDIRECTED_REQUEST "Misdirected Request",
    429 TOO_MANY_REQUESTS "Too Many Requests",
    500 INTERNAL_SERVER_ERROR "Internal Server Error",
    501 NOT_IMPLEMENTED "Not Implemented",
    502 BAD_GATEWAY "Bad Gateway",
    503 SERVICE_UNAVAILABLE "Service Temporarily Unavailable",
    504 GATEWAY_TIMEOUT "Gateway Time-out",
    505 HTTP_VERSION_NOT_SUPPORTED "HTTP Version Not Supported",
    507 INSUFFICIENT_STORAGE "Insufficient Storage",
    without phrase:
    203 NON_AUTHORITATIVE_INFORMATION "Non-Authoritative Information",
    205 RESET_CONTENT "Reset Content",
    207 MULTI_STATUS "Multi-Status",
    208 ALREADY_REPORTED "Already Reported",
    226 IM_USED "IM Used",
    300 MULTIPLE_CHOICES "Multiple Choices",
    305 USE_PROXY "Use Proxy",
    417 EXPECTATION_FAILED "Expectation Failed",
    418 IM_A_TEAPOT "I'm a teapot",
    422 UNPROCESSABLE_CONTENT "Unprocessable Content",
    423 LOCKED "Locked",
    424 FAILED_DEPENDENCY "Failed Dependency",
    425 TOO_EARLY "Too Early",
    426 UPGRADE_REQUIRED "Upgrade Required",
    428 PRECONDITION_REQUIRED "Precondition Required",
    431 REQUEST_HEADER_FIELDS_TOO_LARGE "Request Header Fields Too Large",
    451 UNAVAILABLE_FOR_LEGAL_REASONS "Unavailable For Legal Reasons",
    506 VARIANT_ALSO_NEGOTIATES "Variant Also Negotiates",
    508 LOOP_DETECTED "Loop Detected",
    510 NOT_EXTENDED "Not Extended",
    511 NETWORK_AUTHENTICATION_REQUIRED "Network Authentication Required",
}

impl StatusCode {
    /// nginx's 444: the connection is closed without an answer.
    pub const NO_RESPONSE: Self = Self(444);
    /// nginx's 494: a header line or the whole head is too large; sent as 400.
    pub const REQUEST_HEADER_TOO_LARGE: Self = Self(494);
    /// nginx's 495: the client's certificate did not verify; sent as 400.
    pub const CERTIFICATE_ERROR: Self = Self(495);
    /// nginx's 496: the client sent no certificate; sent as 400.
    pub const NO_CERTIFICATE: Self = Self(496);
    /// nginx's 497: plain HTTP on a TLS port; sent as 400.
    pub const HTTP_ON_HTTPS_PORT: Self = Self(497);
    /// nginx's 499: the client went away before the answer; only ever logged.
    pub const CLIENT_CLOSED_REQUEST: Self = Self(499);

    /// The code with this number, `None` outside 100 to 999.
    #[inline]
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 100 && number <= 999 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// What a client is told: nginx's own codes 494 to 497, by which `error_page` and logs tell
    /// causes apart, become 400.
    #[must_use]
    pub const fn on_the_wire(self) -> Self {
        if self.0 >= 494 && self.0 <= 497 { Self::BAD_REQUEST } else { self }
    }

    /// Whether the status is 1xx: not the final answer.
    #[must_use]
    pub const fn is_informational(self) -> bool {
        self.0 < 200
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }

    /// Whether the status is 3xx.
    #[must_use]
    pub const fn is_redirection(self) -> bool {
        self.0 >= 300 && self.0 < 400
    }

    /// Whether an answer with this status never has a body: 1xx, 204 and 304 (RFC 9112 §6.3).
    #[must_use]
    pub const fn is_bodiless(self) -> bool {
        self.0 < 200 || self.0 == 204 || self.0 == 304
    }
}

impl Default for StatusCode {
    fn default() -> Self {
        Self::OK
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl fmt::Debug for StatusCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(StatusCode::new(99), None);
        assert_eq!(StatusCode::new(1000), None);
        assert_eq!(StatusCode::new(200), Some(StatusCode::OK));
        assert_eq!(StatusCode::new(999).map(StatusCode::reason), Some(""));
    }

    #[test]
    fn phrases_are_those_of_nginx() {
        assert_eq!(StatusCode::FOUND.reason(), "Moved Temporarily");
        assert_eq!(StatusCode::GATEWAY_TIMEOUT.line(), "504 Gateway Time-out\r\n");
        assert_eq!(StatusCode::REQUEST_HEADER_TOO_LARGE.on_the_wire(), StatusCode::BAD_REQUEST);
    }
}
