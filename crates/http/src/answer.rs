//! Answers of other servers and of applications, read as they arrive.

use std::ops::Range;

use crate::connection::ConnectionOptions;
use crate::field_lines::{FieldLine, Line, LineLimits, Progress};
use crate::octets::{find_control, parse_length, trim};
use crate::{AnswerLimits, Excerpt, HeaderId, Parsed, ResponseHead, StatusCode, Version};

/// Reads the head of one answer into a [`ResponseHead`].
///
/// For a final answer after an interim one (1xx), begin a new reader behind the first head.
#[derive(Clone, Debug)]
pub struct AnswerReader {
    form: AnswerForm,
    stage: Stage,
    progress: Progress,
    version: Version,
    framing: AnswerFraming,
    connection: ConnectionOptions,
}

/// How an answer may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// With a status line, as in HTTP.
    Http,
    /// With a status line or at once with fields, of which `Status` says the status, as in CGI
    /// (RFC 3875 §6) and the protocols made after it.
    Gateway,
}

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerFraming {
    /// There is no body.
    None,
    /// The body has this many octets.
    Length(u64),
    /// The body is in chunks, for [`crate::chunked::Decoder`].
    Chunked,
    /// The body ends with the connection.
    #[default]
    UntilClose,
}

/// Why an answer is refused; the client is to be answered 502.
///
/// The texts are those of nginx's error log, where nginx has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// There is no status line where there must be one.
    #[error("upstream sent no valid HTTP/1.0 header: \"{line}\"")]
    StatusLine {
        /// The first line.
        line: Excerpt,
    },

    /// The field `Status` does not begin with three digits from 100 on.
    #[error("upstream sent invalid status \"{value}\"")]
    Status {
        /// What it is.
        value: Excerpt,
    },

    /// A line is no field.
    #[error("upstream sent invalid header: \"{line}\"")]
    HeaderLine {
        /// The line.
        line: Excerpt,
    },

    /// The head is larger than it may be.
    #[error("upstream sent too big header (over {limit} octets); largest header so far: \"{largest}\", {size} octets")]
    TooLarge {
        /// The limit in octets.
        limit: usize,
        /// Name of the largest field that has arrived whole.
        largest: Excerpt,
        /// Octets of that field's value.
        size: usize,
    },

    /// There are more fields than there may be.
    #[error("upstream sent too many header lines (over {limit})")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },

    /// `Content-Length` or `Transfer-Encoding` came twice.
    #[error("upstream sent duplicate header line: \"{name}: {value}\"")]
    Duplicate {
        /// The field's name.
        name: &'static str,
        /// The second value.
        value: Excerpt,
    },

    /// `Content-Length` is no number of octets.
    #[error("upstream sent invalid \"Content-Length\" header: \"{value}\"")]
    ContentLength {
        /// What it is.
        value: Excerpt,
    },

    /// `Transfer-Encoding` is anything but `chunked`.
    #[error("upstream sent unknown \"Transfer-Encoding\": \"{value}\"")]
    TransferEncoding {
        /// What it is.
        value: Excerpt,
    },

    /// Both ways to say where the body ends.
    #[error("upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time")]
    TwoLengths,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// At the first line.
    Start,
    /// Behind a status line.
    Fields,
    /// At fields, without a status line before them.
    FieldsWithStatus,
}

impl AnswerReader {
    /// A reader at the front of an answer.
    #[must_use]
    pub fn new(form: AnswerForm) -> Self {
        Self {
            form,
            stage: Stage::Start,
            progress: Progress::default(),
            version: Version::Http11,
            framing: AnswerFraming::UntilClose,
            connection: ConnectionOptions::default(),
        }
    }

    /// Reads a head from the front of `input`, which may end anywhere, into `head`.
    ///
    /// After [`Parsed::Incomplete`], call again with the same octets and the new ones, and with the
    /// same `head`, which was empty at the first call. Lines may end in LF alone. Without status line
    /// and `Status`, the status is 302 where there is a `Location`, else 200; the field `Status` is
    /// not kept where it was used.
    ///
    /// # Errors
    ///
    /// [`AnswerError`]; nothing can be said about what follows on that connection.
    ///
    /// # Source
    ///
    /// `ngx_http_parse_status_line` and `ngx_http_uwsgi_process_header` of nginx 1.31; RFC 9112 §4, §6.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &AnswerLimits,
        head: &mut ResponseHead,
    ) -> Result<Parsed, AnswerError> {
        let outcome = self.advance(input, limits, head);
        outcome.map_err(|error| match (error, head.headers.largest()) {
            (AnswerError::TooLarge { limit, .. }, Some(largest)) => {
                AnswerError::TooLarge { limit, largest: Excerpt::of(largest.name), size: largest.value.len() }
            }
            (error, _) => error,
        })
    }

    fn advance(&mut self, input: &[u8], limits: &AnswerLimits, head: &mut ResponseHead) -> Result<Parsed, AnswerError> {
        if self.stage == Stage::Start && !self.read_first_line(input, limits, head)? {
            return Ok(Parsed::Incomplete);
        }
        let block = self.progress.position;
        let base = head.headers.arena_len();
        let fields = self.read_fields(input, limits, head, base);
        head.headers.extend_arena(input.get(block..self.progress.position).unwrap_or_default());
        if !fields? {
            return Ok(Parsed::Incomplete);
        }
        if self.stage == Stage::FieldsWithStatus {
            take_status(head)?;
        }
        Ok(Parsed::Complete { taken: self.progress.position })
    }

    /// Reads the status line if there is one; false while the first line has not arrived.
    fn read_first_line(
        &mut self,
        input: &[u8],
        limits: &AnswerLimits,
        head: &mut ResponseHead,
    ) -> Result<bool, AnswerError> {
        let end = match self.progress.find_line_end(input) {
            Some(end) if end < limits.head_bytes => end,
            None if input.len() < limits.head_bytes => {
                self.progress.searched_all(input);
                return Ok(false);
            }
            _ => return Err(too_large(limits)),
        };
        let line = input.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match read_status_line(line) {
            Some(parts) => {
                self.version = parts.version;
                self.stage = Stage::Fields;
                self.progress.begin(end + 1);
                head.status = parts.status;
                let is_usual = parts.reason == parts.status.reason().as_bytes();
                head.reason.extend_from_slice(if is_usual { b"" } else { parts.reason });
                Ok(true)
            }
            None if self.form == AnswerForm::Gateway => {
                self.stage = Stage::FieldsWithStatus;
                self.progress.begin(0);
                Ok(true)
            }
            None => Err(AnswerError::StatusLine { line: Excerpt::of(line) }),
        }
    }

    /// Reads field lines; false while the empty line has not arrived.
    fn read_fields(
        &mut self,
        input: &[u8],
        limits: &AnswerLimits,
        head: &mut ResponseHead,
        base: usize,
    ) -> Result<bool, AnswerError> {
        let line_limits = LineLimits { line: limits.head_bytes, head_end: limits.head_bytes };
        let block = self.progress.position;
        loop {
            let field = match self.progress.next_field(input, line_limits) {
                Line::Field(field) => field,
                Line::End => return Ok(true),
                Line::Incomplete => return Ok(false),
                Line::Invalid(range) => {
                    self.skip_status_line(input, range)?;
                    continue;
                }
                Line::TooLong(_) | Line::HeadTooLarge => return Err(too_large(limits)),
            };
            if head.headers.len() >= limits.headers {
                return Err(AnswerError::TooManyHeaders { limit: limits.headers });
            }
            let id = field.id;
            if id.bit() & MEANINGFUL != 0 {
                self.note(id, input, &field, head)?;
            }
            let moved = |range: Range<usize>| range.start - block + base..range.end - block + base;
            head.headers.push(id, moved(field.name), moved(field.value));
        }
    }

    /// Goes over a line that is no field if it is a second status line, which IIS is known to send.
    #[cold]
    fn skip_status_line(&mut self, input: &[u8], range: Range<usize>) -> Result<(), AnswerError> {
        let end = range.end;
        let line = input.get(range).unwrap_or_default();
        if !line.starts_with(b"HTTP/") {
            return Err(AnswerError::HeaderLine { line: Excerpt::of(line.strip_suffix(b"\r").unwrap_or(line)) });
        }
        self.progress.begin(end + 1);
        Ok(())
    }

    /// Looks at a field that says something about body or connection.
    fn note(&mut self, id: HeaderId, input: &[u8], field: &FieldLine, head: &ResponseHead) -> Result<(), AnswerError> {
        let value = input.get(field.value.clone()).unwrap_or_default();
        if id == HeaderId::Connection {
            self.connection.note(value);
            return Ok(());
        }
        if head.headers.has(id) {
            return Err(AnswerError::Duplicate { name: id.name(), value: Excerpt::of(value) });
        }
        if self.framing != AnswerFraming::UntilClose {
            return Err(AnswerError::TwoLengths);
        }
        self.framing = if id == HeaderId::ContentLength {
            let length = parse_length(value).ok_or_else(|| AnswerError::ContentLength { value: Excerpt::of(value) })?;
            AnswerFraming::Length(length)
        } else if value.eq_ignore_ascii_case(b"chunked") {
            AnswerFraming::Chunked
        } else {
            return Err(AnswerError::TransferEncoding { value: Excerpt::of(value) });
        };
        Ok(())
    }

    /// The version of the status line; HTTP/1.1 without one.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the body of the answer in `head` ends; `to_head` says that the request was `HEAD`.
    #[must_use]
    pub fn framing(&self, head: &ResponseHead, to_head: bool) -> AnswerFraming {
        if to_head || head.status.is_bodiless() { AnswerFraming::None } else { self.framing }
    }

    /// Whether the server would take another request on this connection.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.stage == Stage::Fields && self.connection.stays_open(self.version == Version::Http11)
    }
}

/// A status line taken apart.
struct StatusLine<'a> {
    version: Version,
    status: StatusCode,
    reason: &'a [u8],
}

/// Reads `HTTP/1.x 200 reason`, the reason being optional; `None` for anything else.
fn read_status_line(line: &[u8]) -> Option<StatusLine<'_>> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let space = rest.iter().position(|octet| *octet == b' ')?;
    let (number, rest) = rest.split_at_checked(space)?;
    let dot = number.iter().position(|octet| *octet == b'.')?;
    let (major, minor) = (number.get(..dot)?, number.get(dot + 1..)?);
    let is_number = |text: &[u8]| matches!(text.len(), 1..=3) && text.iter().all(u8::is_ascii_digit);
    if !is_number(major) || !is_number(minor) || major.first() == Some(&b'0') {
        return None;
    }
    let version = if number == b"1.0" { Version::Http10 } else { Version::Http11 };
    let spaces = rest.iter().take_while(|octet| **octet == b' ').count();
    let (status, reason) = read_status(rest.get(spaces..)?)?;
    (!reason.contains(&b'\r')).then_some(StatusLine { version, status, reason })
}

/// Reads three digits and what follows them; IIS may write `403.1`.
fn read_status(text: &[u8]) -> Option<(StatusCode, &[u8])> {
    let (digits, rest) = text.split_at_checked(3)?;
    let number = parse_length(digits).and_then(|number| u16::try_from(number).ok())?;
    let reason = match rest {
        [] => rest,
        [b' ', reason @ ..] => reason,
        [b'.', after @ ..] => after.splitn(2, |octet| *octet == b' ').nth(1).unwrap_or_default(),
        _ => return None,
    };
    Some((StatusCode::new(number)?, trim(reason)))
}

/// Takes the status out of the fields.
fn take_status(head: &mut ResponseHead) -> Result<(), AnswerError> {
    let Some(value) = head.headers.first(HeaderId::Status) else {
        head.status = if head.headers.has(HeaderId::Location) { StatusCode::FOUND } else { StatusCode::OK };
        return Ok(());
    };
    let (status, reason) = read_status(value).ok_or_else(|| AnswerError::Status { value: Excerpt::of(value) })?;
    head.status = status;
    if reason != status.reason().as_bytes() && find_control(reason, 0) == reason.len() {
        head.reason.extend_from_slice(reason);
    }
    head.headers.remove_known(HeaderId::Status);
    Ok(())
}

#[cold]
fn too_large(limits: &AnswerLimits) -> AnswerError {
    AnswerError::TooLarge { limit: limits.head_bytes, largest: Excerpt::default(), size: 0 }
}

/// Fields that are looked at while they arrive.
const MEANINGFUL: u128 = HeaderId::ContentLength.bit() | HeaderId::TransferEncoding.bit() | HeaderId::Connection.bit();

#[cfg(test)]
mod tests;
