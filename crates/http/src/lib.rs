//! HTTP/1 messages.

mod answer;
pub mod chunked;
pub mod conditional;
mod connection;
pub mod date;
mod field_lines;
mod head_error;
mod header_id;
mod headers;
pub mod host;
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
pub use request_head::{Framing, Parsed, RequestHead};
pub use response_head::{HEAD_END, ResponseHead, write_header, write_status_line};
pub use status::StatusCode;
pub use version::Version;
