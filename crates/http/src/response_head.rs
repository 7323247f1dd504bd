//! The head of an answer: written to clients, read from applications and other servers.

use crate::octets::{find_control, is_writable_name};
use crate::{HeaderId, Headers, StatusCode, Version};

/// The head of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The phrase beside the status; empty for the status' own.
    pub reason: Vec<u8>,
    /// The fields.
    pub headers: Headers,
}

impl ResponseHead {
    /// A head without fields.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self { status, reason: Vec::new(), headers: Headers::new() }
    }

    /// A head without fields that uses the memory of `headers` again.
    #[must_use]
    pub fn reusing(status: StatusCode, mut headers: Headers) -> Self {
        headers.clear();
        Self { status, reason: Vec::new(), headers }
    }

    /// Makes the object ready for the next answer, keeping its memory.
    pub fn clear(&mut self) {
        self.status = StatusCode::OK;
        self.reason.clear();
        self.headers.clear();
    }

    /// Appends status line and fields to `out`, but not the empty line: the caller adds what is the
    /// connection's business with [`write_header`], and then [`HEAD_END`].
    ///
    /// `version` is that of this program's side, [`Version::Http11`] unless a peer needs otherwise;
    /// nginx too answers HTTP/1.0 requests with `HTTP/1.1`.
    pub fn write(&self, version: Version, out: &mut Vec<u8>) {
        write_status_line(version, self.status, &self.reason, out);
        self.write_fields(out);
    }

    /// Appends the head as a CGI script writes it: `Status` and the fields, but not the empty line.
    ///
    /// # Source
    ///
    /// RFC 3875 §6.3.
    pub fn write_for_cgi(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Status: ");
        write_status(self.status, &self.reason, out);
        self.write_fields(out);
    }

    fn write_fields(&self, out: &mut Vec<u8>) {
        for header in self.headers.iter() {
            if header.id == HeaderId::Other {
                write_header(out, header.name, header.value);
            } else {
                write_field(out, header.name, header.value);
            }
        }
    }
}

/// Appends a status line with its CRLF. An empty `reason` is the status' own.
pub fn write_status_line(version: Version, status: StatusCode, reason: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(version.as_str().as_bytes());
    out.push(b' ');
    write_status(status, reason, out);
}

fn write_status(status: StatusCode, reason: &[u8], out: &mut Vec<u8>) {
    let status = status.on_the_wire();
    if reason.is_empty() && !status.line().is_empty() {
        out.extend_from_slice(status.line().as_bytes());
        return;
    }
    let number = status.as_u16();
    out.extend([number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit as u8));
    out.push(b' ');
    write_text(out, reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends one field line.
///
/// What would end the line early does not get out, whatever configuration and application made of the
/// client's octets: CR, LF and NUL in a value become spaces, and a field with an impossible name is
/// left out.
#[inline]
pub fn write_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if is_writable_name(name) {
        write_field(out, name, value);
    }
}

/// [`write_header`] for a known name, as [`HeaderId::name`] spells it; [`HeaderId::Other`] writes nothing.
#[inline]
pub fn write_known_header(out: &mut Vec<u8>, id: HeaderId, value: &[u8]) {
    if id != HeaderId::Other {
        write_field(out, id.name().as_bytes(), value);
    }
}

#[inline]
fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    write_text(out, value);
    out.extend_from_slice(b"\r\n");
}

/// The empty line behind the fields.
pub const HEAD_END: &[u8] = b"\r\n";

#[inline]
fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    if find_control(text, 0) == text.len() {
        out.extend_from_slice(text);
    } else {
        write_cleaned(out, text);
    }
}

#[cold]
fn write_cleaned(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|&octet| if matches!(octet, b'\r' | b'\n' | 0) { b' ' } else { octet }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: &ResponseHead) -> String {
        let mut out = Vec::new();
        head.write(Version::Http11, &mut out);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn heads_are_written() {
        let mut head = ResponseHead::new(StatusCode::NOT_FOUND);
        head.headers.append_known(HeaderId::ContentType, b"text/plain");
        head.headers.append(b"X-Empty", b"");
        assert_eq!(written(&head), "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nX-Empty: \r\n");
        head.clear();
        head.reason.extend_from_slice(b"Fine");
        assert_eq!(written(&head), "HTTP/1.1 200 Fine\r\n");
    }

    #[test]
    fn statuses_without_phrase_keep_the_space() {
        assert_eq!(written(&ResponseHead::new(StatusCode::new(299).expect("a status"))), "HTTP/1.1 299 \r\n");
        assert_eq!(written(&ResponseHead::new(StatusCode::REQUEST_HEADER_TOO_LARGE)), "HTTP/1.1 400 Bad Request\r\n");
    }

    #[test]
    fn no_line_end_gets_out() {
        let mut head = ResponseHead::new(StatusCode::FOUND);
        head.reason.extend_from_slice(b"a\r\nb");
        head.headers.append_known(HeaderId::Location, b"/x\r\nSet-Cookie: y\0z\tt");
        head.headers.append(b"X\r\nY", b"z");
        head.headers.append(b"X: Y", b"z");
        head.headers.append(b"", b"z");
        assert_eq!(written(&head), "HTTP/1.1 302 a  b\r\nLocation: /x  Set-Cookie: y z\tt\r\n");
    }
}
