//! The head of a request: request line, fields, and what they say about body and connection.

mod http2;

use std::ops::Range;

use crate::connection::ConnectionOptions;
use crate::field_lines::{FieldLine, Line, LineLimits, ODD, Progress, UNDERSCORE};
use crate::octets::parse_length;
use crate::request_line::{RequestLine, RequestLineFault};
use crate::{Excerpt, HeadError, HeadLimits, HeaderId, Headers, Method, Version, host, method};

pub use http2::Http2Fields;

/// The head of a request.
///
/// One object serves all requests of a connection: [`RequestHead::parse`] is given what has arrived
/// until it says [`Parsed::Complete`], and begins anew with the call after that. In steady state it
/// allocates nothing, except for a method without a name of its own.
///
/// After an error, what was read before it stays readable: the request line for the log, the
/// method and target for the error page.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version to answer in.
    pub version: Version,
    /// The fields.
    pub headers: Headers,
    /// The request line; behind it the target where it had to be written anew.
    line: Vec<u8>,
    line_length: usize,
    target: Range<usize>,
    protocol: Range<usize>,
    scheme: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    /// Lower case, without port; empty while none is known.
    host: Vec<u8>,
    port: Option<u16>,
    framing: Framing,
    connection: ConnectionOptions,
    stage: Stage,
    progress: Progress,
    /// Where the request line begins, behind blank lines.
    start: usize,
}

/// How far [`RequestHead::parse`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head's end has not arrived: call again with these octets and the new ones.
    Incomplete,
    /// The head is read.
    Complete {
        /// Octets of the input that belong to the head, blank lines before it included.
        taken: usize,
    },
}

/// Where the body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// The body has this many octets, 0 to `i64::MAX`.
    Length(u64),
    /// The body's end is told where it comes: in chunks, for [`crate::chunked::Decoder`], or by HTTP/2's last frame.
    Chunked,
}

/// Which part of the head is awaited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Blank,
    RequestLine,
    Fields,
    /// Complete or refused: the next call begins anew.
    Over,
}

impl RequestHead {
    /// An empty head; no memory until the first request.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the request and keeps the memory.
    pub fn clear(&mut self) {
        self.method = Method::Get;
        self.version = Version::Http11;
        self.headers.clear();
        self.line.clear();
        self.line_length = 0;
        self.target = 0..0;
        self.protocol = 0..0;
        self.scheme = None;
        self.authority = None;
        self.host.clear();
        self.port = None;
        self.framing = Framing::None;
        self.connection = ConnectionOptions::default();
        self.stage = Stage::Blank;
        self.progress.begin(0);
        self.start = 0;
    }

    /// Reads a head from the front of `input`, which may end anywhere and may go on behind the head.
    ///
    /// After [`Parsed::Incomplete`], `input` must begin with the same octets at the next call. What
    /// has been read is not read again, and how the octets were cut does not change the outcome.
    /// Blank lines before the request line are skipped; lines may end in LF alone, as in nginx.
    ///
    /// # Errors
    ///
    /// Each ends the connection: it is to be answered [`HeadError::status`] and closed. The next
    /// call would begin a new head.
    ///
    /// # Source
    ///
    /// RFC 9112 §2 to §6, with `ngx_http_parse.c` and `ngx_http_request.c` of nginx 1.31 where it
    /// leaves a choice. Stricter than nginx: a line without colon, a control character in a value
    /// and HTTP/0.9 are refused.
    pub fn parse(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
        if self.stage == Stage::Over {
            self.clear();
        }
        let parsed = self.advance(input, limits);
        if !matches!(parsed, Ok(Parsed::Incomplete)) {
            self.stage = Stage::Over;
        }
        parsed
    }

    fn advance(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
        if self.stage == Stage::Blank && !self.skip_blank_lines(input, limits)? {
            return Ok(Parsed::Incomplete);
        }
        if self.stage == Stage::RequestLine && !self.read_request_line(input, limits)? {
            return Ok(Parsed::Incomplete);
        }
        let block = self.progress.position;
        let base = self.headers.arena_len();
        let fields = self.read_fields(input, limits, base);
        // One copy for all lines; the ranges noted in them already say where they will lie.
        self.headers.extend_arena(input.get(block..self.progress.position).unwrap_or_default());
        if !fields.map_err(|error| self.with_largest(error))? {
            return Ok(Parsed::Incomplete);
        }
        self.conclude()?;
        Ok(Parsed::Complete { taken: self.progress.position })
    }

    /// Goes to the first octet of the request line; false while it has not arrived.
    fn skip_blank_lines(&mut self, input: &[u8], limits: &HeadLimits) -> Result<bool, HeadError> {
        loop {
            let at = self.progress.position;
            match input.get(at..).unwrap_or_default() {
                [] | [b'\r'] => return Ok(false),
                _ if at >= limits.request_line_bytes => return Err(HeadError::Method),
                [b'\n', ..] => self.progress.begin(at + 1),
                [b'\r', b'\n', ..] => self.progress.begin(at + 2),
                // Told at once, without waiting for a line end that a TLS handshake may not have.
                [first, ..] if !method::is_method_octet(*first) => return Err(HeadError::Method),
                _ => {
                    self.start = at;
                    self.stage = Stage::RequestLine;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads the request line; false while its end has not arrived.
    fn read_request_line(&mut self, input: &[u8], limits: &HeadLimits) -> Result<bool, HeadError> {
        let limit = limits.request_line_bytes.min(limits.head_bytes);
        let cap = self.start.saturating_add(limit);
        let end = match self.progress.find_line_end(input) {
            Some(end) if end < cap => end,
            None if input.len() < cap => {
                self.progress.searched_all(input);
                return Ok(false);
            }
            _ => {
                let line = Excerpt::of(input.get(self.start..cap).unwrap_or_default());
                self.keep_line(input.get(self.start..cap).unwrap_or_default());
                return Err(HeadError::RequestLineTooLong { line, limit });
            }
        };
        self.progress.begin(end + 1);
        self.stage = Stage::Fields;

        let line = input.get(self.start..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.keep_line(line);
        let mut parts = RequestLine::default();
        let outcome = parts.read(line);
        self.keep_parts(parts, line);
        outcome.map(|()| true).map_err(|fault| fault.explain(line))
    }

    fn keep_line(&mut self, line: &[u8]) {
        self.line.clear();
        self.line.extend_from_slice(line);
        self.line_length = line.len();
    }

    fn keep_parts(&mut self, parts: RequestLine, line: &[u8]) {
        self.method = parts.method;
        self.version = parts.version;
        self.protocol = parts.protocol;
        self.scheme = parts.scheme;
        self.target = parts.target;
        if parts.lacks_slash {
            let start = self.line.len();
            self.line.push(b'/');
            self.line.extend_from_slice(line.get(self.target.clone()).unwrap_or_default());
            self.target = start..self.line.len();
        }
        if let Some(authority) = parts.authority {
            self.keep_host(line.get(authority.clone()).unwrap_or_default());
            self.authority = Some(authority);
        }
    }

    /// Takes host and port from `text`; false where it is no host.
    fn keep_host(&mut self, text: &[u8]) -> bool {
        let Ok(parsed) = host::parse(text) else { return false };
        self.host.clear();
        self.host.extend_from_slice(text.get(parsed.name).unwrap_or_default());
        self.host.make_ascii_lowercase();
        self.port = parsed.port;
        true
    }

    /// Reads field lines; false while the empty line has not arrived.
    ///
    /// `base` is where the octets from the present position on will lie in the fields' arena.
    fn read_fields(&mut self, input: &[u8], limits: &HeadLimits, base: usize) -> Result<bool, HeadError> {
        let line_limits =
            LineLimits { line: limits.header_line_bytes, head_end: self.start.saturating_add(limits.head_bytes) };
        let block = self.progress.position;
        let unwanted = unwanted_names(limits);
        loop {
            let line_start = self.progress.position;
            let field = match self.progress.next_field(input, line_limits) {
                Line::Field(field) => field,
                Line::End => return Ok(true),
                Line::Incomplete => return Ok(false),
                line => return Err(self.explain(input, &line, limits)),
            };
            if field.name_class & unwanted != 0 {
                continue;
            }
            if self.headers.len() >= limits.headers {
                return Err(HeadError::TooManyHeaders { limit: limits.headers });
            }
            let id = field.id;
            if id.bit() & MEANINGFUL != 0 {
                self.note(id, input, &field, line_start)?;
            }
            let moved = |range: Range<usize>| range.start - block + base..range.end - block + base;
            self.headers.push(id, moved(field.name), moved(field.value));
        }
    }

    /// Looks at a field that says something about host, connection or body, or that comes once only.
    fn note(&mut self, id: HeaderId, input: &[u8], field: &FieldLine, line_start: usize) -> Result<(), HeadError> {
        let value = input.get(field.value.clone()).unwrap_or_default();
        if id.bit() & UNIQUE != 0 && self.headers.has(id) {
            let line = input.get(line_start..field.value.end).unwrap_or_default();
            return Err(HeadError::Duplicate { line: Excerpt::of(line), name: id.name() });
        }
        match id {
            HeaderId::Host if self.authority.is_some() => {
                host::parse(value).map_err(|_| HeadError::Host { value: Excerpt::of(value) })?;
            }
            HeaderId::Host if !self.keep_host(value) => return Err(HeadError::Host { value: Excerpt::of(value) }),
            HeaderId::Connection => self.connection.note(value),
            _ => {}
        }
        Ok(())
    }

    /// Checks what can be checked only when all fields are there, in nginx's order.
    fn conclude(&mut self) -> Result<(), HeadError> {
        if self.version == Version::Http11 && !self.headers.has(HeaderId::Host) {
            return Err(HeadError::HostMissing);
        }
        if let Some(value) = self.headers.first(HeaderId::ContentLength) {
            let length = parse_length(value).ok_or_else(|| HeadError::ContentLength { value: Excerpt::of(value) })?;
            self.framing = Framing::Length(length);
        }
        if let Some(value) = self.headers.first(HeaderId::TransferEncoding) {
            if self.version == Version::Http10 {
                return Err(HeadError::TransferEncodingInHttp10);
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadError::TransferEncoding { value: Excerpt::of(value) });
            }
            if self.framing != Framing::None {
                return Err(HeadError::TwoLengths);
            }
            self.framing = Framing::Chunked;
        }
        if self.method == Method::Connect && !matches!(self.framing, Framing::None | Framing::Length(0)) {
            return Err(HeadError::ConnectWithBody);
        }
        Ok(())
    }

    /// Makes an error of a line that is not a field.
    #[cold]
    fn explain(&self, input: &[u8], line: &Line, limits: &HeadLimits) -> HeadError {
        let excerpt = |range: &Range<usize>| {
            let line = input.get(range.clone()).unwrap_or_default();
            Excerpt::of(line.strip_suffix(b"\r").unwrap_or(line))
        };
        match line {
            Line::TooLong(range) => {
                HeadError::HeaderLineTooLong { line: excerpt(range), limit: limits.header_line_bytes }
            }
            Line::Invalid(range) => HeadError::HeaderLine { line: excerpt(range) },
            _ => HeadError::HeadTooLarge { limit: limits.head_bytes, largest: Excerpt::default(), size: 0 },
        }
    }

    /// Tells the largest field in an error about the head's size, once the fields can be read.
    #[cold]
    fn with_largest(&self, error: HeadError) -> HeadError {
        match (error, self.headers.largest()) {
            (HeadError::HeadTooLarge { limit, .. }, Some(largest)) => {
                HeadError::HeadTooLarge { limit, largest: Excerpt::of(largest.name), size: largest.value.len() }
            }
            (error, _) => error,
        }
    }

    /// The request line as received, without its line end.
    #[must_use]
    pub fn request_line(&self) -> &[u8] {
        self.line.get(..self.line_length).unwrap_or_default()
    }

    /// Path and arguments as received, for [`crate::target`].
    ///
    /// It always begins with a slash: of `http://host?a` it is `/?a`, of `CONNECT host:1` it is `/`, as
    /// in nginx. Empty when the request line was refused.
    #[inline]
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.line.get(self.target.clone()).unwrap_or_default()
    }

    /// The version as the client wrote it, such as `HTTP/1.1`.
    #[must_use]
    pub fn protocol(&self) -> &[u8] {
        self.line.get(self.protocol.clone()).unwrap_or_default()
    }

    /// The scheme of a target in absolute form: `http` of `http://host/`.
    #[must_use]
    pub fn scheme(&self) -> Option<&[u8]> {
        self.scheme.clone().and_then(|range| self.line.get(range))
    }

    /// Host and port as written in the target, in absolute form and in `CONNECT`.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.clone().and_then(|range| self.line.get(range))
    }

    /// The host asked for, from the target or else from `Host`: lower case, without port and last dot.
    #[inline]
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        if self.host.is_empty() { None } else { Some(&self.host) }
    }

    /// The port that stands beside [`RequestHead::host`].
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Where the body ends.
    #[inline]
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whoever asks from here on, no body was announced.
    pub fn forget_framing(&mut self) {
        self.framing = Framing::None;
    }

    /// Whether the client would send another request on this connection.
    ///
    /// `close` wins over `keep-alive`; without either, HTTP/1.1 stays open.
    #[inline]
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.connection.stays_open(self.version >= Version::Http11)
    }

    /// Whether the client waits for `100 Continue` before it sends the body. Other expectations are
    /// ignored, as in nginx.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.version >= Version::Http11
            && self.headers.first(HeaderId::Expect).is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// The protocols the client wants to change to, where `Connection: upgrade` confirms it.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        if !self.connection.upgrade || self.version < Version::Http11 {
            return None;
        }
        self.headers.first(HeaderId::Upgrade)
    }

    /// Octets of the head that have been read, without blank lines before it.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.progress.position - self.start
    }

    /// Whether a request has begun: an idle connection may be closed without an answer, one with
    /// half a head is to be answered 408.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.stage != Stage::Blank
    }
}

impl RequestLineFault {
    #[cold]
    fn explain(self, line: &[u8]) -> HeadError {
        let line = Excerpt::of(line);
        match self {
            Self::Method => HeadError::Method,
            Self::Shape => HeadError::RequestLine { line },
            Self::Http09 => HeadError::Http09 { line },
            Self::Version => HeadError::Version { line },
            Self::Authority => HeadError::Authority { line },
        }
    }
}

/// The name classes whose fields are left out.
fn unwanted_names(limits: &HeadLimits) -> u8 {
    match (limits.ignore_invalid_headers, limits.underscores_in_headers) {
        (false, _) => 0,
        (true, true) => ODD,
        (true, false) => ODD | UNDERSCORE,
    }
}

/// Fields that may come once; a second one is answered 400, as in nginx.
const UNIQUE: u128 = HeaderId::Host.bit()
    | HeaderId::IfModifiedSince.bit()
    | HeaderId::IfUnmodifiedSince.bit()
    | HeaderId::IfMatch.bit()
    | HeaderId::IfNoneMatch.bit()
    | HeaderId::ContentLength.bit()
    | HeaderId::ContentRange.bit()
    | HeaderId::IfRange.bit()
    | HeaderId::TransferEncoding.bit()
    | HeaderId::Expect.bit()
    | HeaderId::Authorization.bit()
    | HeaderId::ProxyAuthorization.bit();

/// Fields that are looked at while they arrive.
const MEANINGFUL: u128 = UNIQUE | HeaderId::Connection.bit();

#[cfg(test)]
mod tests;
