//! HTTP/1 messages: heads read and written, bodies framed, dates, ranges and conditions.
//!
//! This crate is given octets and times and gives back what they mean. It opens no socket, reads no
//! clock and logs nothing; what a request is answered with, and which methods are allowed, is for
//! its users to say. In steady state a request costs no allocation: [`RequestHead`] and
//! [`ResponseHead`] keep their memory from one message to the next.
//!
//! ```text
//!  octets ──> RequestHead::parse ──> method, target, headers, framing
//!                                      │        │          └─> chunked::Decoder ──> body
//!                                      │        └─> HeaderId: names compared once, by number
//!                                      └─> target::split, target::normalize ──> path, arguments
//!
//!  conditional::evaluate, range::parse ──> ResponseHead::write ──> octets
//!                    AnswerReader::parse ──┘ (applications, other servers)
//! ```
//!
//! Whoever sends decides how the octets are cut, so no reader's outcome depends on it. Where two
//! readers could disagree about a message, it is refused: see [`HeadError`] and [`chunked::ChunkError`].
//!
//! ```
//! use daemun_http::{Framing, HeadLimits, HeaderId, Parsed, RequestHead, target};
//!
//! let mut head = RequestHead::new();
//! let limits = HeadLimits::default();
//! assert_eq!(head.parse(b"GET /a%20b/../c?d HTTP/1.1\r\nHo", &limits), Ok(Parsed::Incomplete));
//! let whole = b"GET /a%20b/../c?d HTTP/1.1\r\nHost: Example.org\r\n\r\nnext";
//! assert_eq!(head.parse(whole, &limits), Ok(Parsed::Complete { taken: whole.len() - 4 }));
//!
//! assert_eq!(head.host(), Some(&b"example.org"[..]));
//! assert_eq!(head.headers.first(HeaderId::Host), Some(&b"Example.org"[..]));
//! assert_eq!(head.framing(), Framing::None);
//!
//! let parts = target::split(head.target());
//! let mut path = Vec::new();
//! target::normalize(parts.path, true, &mut path)?;
//! assert_eq!((path.as_slice(), parts.args), (&b"/c"[..], Some(&b"d"[..])));
//! # Ok::<(), target::TargetError>(())
//! ```

mod answer;
pub mod chunked;
pub mod conditional;
mod connection;
pub mod credentials;

pub mod date;
mod field_lines;
mod head_error;
mod header_id;
mod headers;
pub mod host;
pub mod http2;
mod limits;
mod method;
mod octets;
pub mod range;
mod request_head;
mod request_line;
mod response_head;
mod status;
pub mod target;
mod version;

pub use answer::{AnswerError, AnswerForm, AnswerFraming, AnswerReader};
pub use head_error::{Excerpt, HeadError};
pub use header_id::HeaderId;
pub use headers::{Header, Headers};
pub use limits::{AnswerLimits, CHUNK_LINE_MAX, CHUNK_OVERHEAD_MAX, HeadLimits, TRAILERS_MAX};
pub use method::Method;
pub use octets::write_decimal;
pub use request_head::{Framing, Http2Fields, Parsed, RequestHead};
pub use response_head::{HEAD_END, ResponseHead, write_header, write_known_header, write_status_line};
pub use status::StatusCode;
pub use version::Version;
