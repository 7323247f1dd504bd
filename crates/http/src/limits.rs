//! Every limit of this crate, in one place.

/// What a request head may be, as `large_client_header_buffers` and its neighbours say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Octets of the request line with its end.
    pub request_line_bytes: usize,
    /// Octets of one header line with its end.
    pub header_line_bytes: usize,
    /// Octets of all lines together, the empty one included.
    pub head_bytes: usize,
    /// Fields that are kept (`max_headers`).
    pub headers: usize,
    /// Whether names with `_` are as good as others (`underscores_in_headers`).
    pub underscores_in_headers: bool,
    /// Whether fields with odd names are left out rather than kept (`ignore_invalid_headers`).
    pub ignore_invalid_headers: bool,
}

impl Default for HeadLimits {
    /// nginx's defaults: four buffers of 8 KiB, 1,000 fields, odd names left out.
    fn default() -> Self {
        Self {
            request_line_bytes: 8 * 1024,
            header_line_bytes: 8 * 1024,
            head_bytes: 32 * 1024,
            headers: 1_000,
            underscores_in_headers: false,
            ignore_invalid_headers: true,
        }
    }
}

/// What the head of another server's answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Octets of all lines together, the empty one included (`proxy_buffer_size` and its like).
    pub head_bytes: usize,
    /// Fields.
    pub headers: usize,
}

impl Default for AnswerLimits {
    /// More generous than nginx's 4 KiB, which real applications run into.
    fn default() -> Self {
        Self { head_bytes: 32 * 1024, headers: 1_000 }
    }
}

/// Longest chunk line in octets: size, extensions and line end.
pub const CHUNK_LINE_MAX: usize = 4 * 1024;

/// Longest trailer section of a chunked body in octets.
pub const TRAILERS_MAX: usize = 8 * 1024;

/// Octets that chunk lines of one body may cost, beyond 16 for each and as many as there are data.
pub const CHUNK_OVERHEAD_MAX: usize = 16 * 1024;

const _: () = assert!(CHUNK_LINE_MAX <= CHUNK_OVERHEAD_MAX, "one long line is no offence");
