//! The head of an answer as it crosses the hop: status and headers, framing left to the edge.
//!
//! ```text
//! u16 status, u16 reason length, u16 number of headers, u16 0, reason,
//! { u16 name length, u16 0, u32 value length, name, value }*
//! ```
//!
//! All numbers are little-endian. The worker writes it, the edge reads it and trusts no octet.

pub use daemun_http::HeaderId;
use daemun_http::{Headers, StatusCode};

use crate::cursor::Cursor;

/// Writes an answer's head behind whatever `out` holds already.
///
/// A writer that is dropped without [`finish`](Self::finish) leaves a head without headers in `out`.
#[derive(Debug)]
pub struct AnswerWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    headers: u16,
}

impl<'a> AnswerWriter<'a> {
    /// Begins an answer. A `reason` longer than 65,535 octets is left out.
    pub fn new(out: &'a mut Vec<u8>, status: u16, reason: &[u8]) -> Self {
        let start = out.len();
        let (reason, reason_len) = u16::try_from(reason.len()).map_or((&[][..], 0), |len| (reason, len));
        out.extend_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&reason_len.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(reason);
        Self { out, start, headers: 0 }
    }

    /// Adds a header.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when a length does not fit its field; nothing has been added then.
    pub fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), TooLarge> {
        let name_len = u16::try_from(name.len()).map_err(|_| TooLarge)?;
        let value_len = u32::try_from(value.len()).map_err(|_| TooLarge)?;
        self.headers = self.headers.checked_add(1).ok_or(TooLarge)?;
        let mut head = [0; HEADER_HEAD_LEN];
        head[..2].copy_from_slice(&name_len.to_le_bytes());
        head[4..].copy_from_slice(&value_len.to_le_bytes());
        self.out.extend_from_slice(&head);
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(value);
        Ok(())
    }

    /// Completes the head and returns its length in bytes.
    pub fn finish(self) -> usize {
        if let Some(field) = self.out.get_mut(self.start + 4..self.start + 6) {
            field.copy_from_slice(&self.headers.to_le_bytes());
        }
        self.out.len() - self.start
    }
}

/// A header's name, its value or the number of headers does not fit the answer's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a response header is too large, or there are more than 65535")]
pub struct TooLarge;

/// Reads the answer's head in `input`, appends its headers to `headers`, and returns the status
/// and the reason phrase (empty when the worker gave none).
///
/// # Errors
///
/// [`AnswerError`]: the worker or its application is broken; an edge answers 502. `headers` may
/// hold some of the answer's headers then.
///
/// # Source
///
/// RFC 9110 §5.1, §5.5 and §15 say what a name, a value and a status are.
pub fn read<'a>(input: &'a [u8], headers: &mut Headers) -> Result<(StatusCode, &'a [u8]), AnswerError> {
    let mut cursor = Cursor::new(input);
    let mut front = || {
        let status = cursor.u16()?;
        let reason_len = cursor.u16()?;
        let count = cursor.u32()?;
        Some((status, count & 0xffff, cursor.bytes(usize::from(reason_len))?))
    };
    let (status, count, reason) = front().ok_or(AnswerError::Cut)?;
    // An interim status is no answer: the client would wait for the one that follows it.
    let code = StatusCode::new(status).filter(|_| status >= 200).ok_or(AnswerError::Status(status))?;
    if !is_field_text(reason) {
        return Err(AnswerError::Reason);
    }
    for _ in 0..count {
        let (name, value) = read_header(&mut cursor).ok_or(AnswerError::Cut)?;
        append(headers, name, value)?;
    }
    Ok((code, reason))
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let name_len = cursor.u16()?;
    cursor.u16()?;
    let value_len = cursor.u32()?;
    let name = cursor.bytes(usize::from(name_len))?;
    Some((name, cursor.bytes(value_len as usize)?))
}

fn append(headers: &mut Headers, name: &[u8], value: &[u8]) -> Result<(), AnswerError> {
    check_header(name, value)?;
    headers.append(name, value);
    Ok(())
}

/// Refuses a header that no application may send: the worker tells the application so, and the
/// edge, which does not trust the worker, looks again.
///
/// # Errors
///
/// [`AnswerError::Name`], [`AnswerError::Value`] or [`AnswerError::HopByHop`].
///
/// # Source
///
/// PEP 3333, "Other HTTP Features"; RFC 2616 §13.5.1.
pub fn check_header(name: &[u8], value: &[u8]) -> Result<HeaderId, AnswerError> {
    let shown = || String::from_utf8_lossy(name).escape_debug().to_string();
    if !is_token(name) {
        return Err(AnswerError::Name(shown()));
    }
    if !is_field_text(value) {
        return Err(AnswerError::Value(shown()));
    }
    match HeaderId::of(name) {
        id if id.is_hop_by_hop() || is_of_proxies(name) => Err(AnswerError::HopByHop(shown())),
        id => Ok(id),
    }
}

/// RFC 2616 counts these among the fields of one hop, and PEP 3333 goes by that list.
fn is_of_proxies(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"proxy-authenticate") || name.eq_ignore_ascii_case(b"proxy-authorization")
}

/// Whether the octets are a token: what a header name or a method may be.
pub fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| TOKEN[usize::from(*octet)])
}

/// Whether the octets may stand in a header value or a reason phrase: no control character but tab.
pub fn is_field_text(octets: &[u8]) -> bool {
    octets.iter().all(|octet| *octet >= b' ' && *octet != 0x7f || *octet == b'\t')
}

/// Why an answer is not given to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// A length points outside.
    #[error("answer head is cut short")]
    Cut,
    /// Not a final status.
    #[error("status {0} is not a final one")]
    Status(u16),
    /// A control character in the reason phrase.
    #[error("control character in the reason phrase")]
    Reason,
    /// A header name that is no token.
    #[error("invalid header name \"{0}\"")]
    Name(String),
    /// A control character in a value.
    #[error("control character in the value of header \"{0}\"")]
    Value(String),
    /// A header that speaks of the connection, which is the edge's.
    #[error("hop-by-hop header \"{0}\" in an application's answer")]
    HopByHop(String),
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        let byte = octet as u8;
        table[octet] = matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        ) || byte.is_ascii_alphanumeric();
        octet += 1;
    }
    table
};

const HEADER_HEAD_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, reason: &[u8], pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = AnswerWriter::new(&mut out, status, reason);
        for (name, value) in pairs {
            writer.header(name, value).expect("small");
        }
        assert_eq!(writer.finish(), out.len());
        out
    }

    fn error(input: &[u8]) -> Option<AnswerError> {
        read(input, &mut Headers::new()).err()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = answer(404, b"Nothing Here", &[(b"Content-Type", b"text/plain"), (b"X-A", b"\t\xff")]);
        let mut headers = Headers::new();
        let (status, reason) = read(&bytes, &mut headers).expect("whole");
        assert_eq!((status.as_u16(), reason), (404, &b"Nothing Here"[..]));
        assert_eq!(headers.first(HeaderId::ContentType), Some(&b"text/plain"[..]));
        assert_eq!(headers.first_by_name(b"x-a"), Some(&b"\t\xff"[..]));
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn what_would_break_the_message_is_refused() {
        assert_eq!(error(&answer(101, b"", &[])), Some(AnswerError::Status(101)));
        assert_eq!(error(&answer(1000, b"", &[])), Some(AnswerError::Status(1000)));
        assert_eq!(error(&answer(200, b"OK\r\nX: y", &[])), Some(AnswerError::Reason));
        assert_eq!(error(&answer(200, b"", &[(b"a b", b"")])), Some(AnswerError::Name("a b".to_owned())));
        assert_eq!(error(&answer(200, b"", &[(b"", b"")])), Some(AnswerError::Name(String::new())));
        assert_eq!(error(&answer(200, b"", &[(b"a", b"1\n2")])), Some(AnswerError::Value("a".to_owned())));
        assert_eq!(
            error(&answer(200, b"", &[(b"connection", b"close")])),
            Some(AnswerError::HopByHop("connection".to_owned()))
        );
    }

    #[test]
    fn an_answer_cut_anywhere_is_an_error() {
        let bytes = answer(200, b"OK", &[(b"a", b"1"), (b"b", b"2")]);
        for end in 0..bytes.len() {
            assert_eq!(error(&bytes[..end]), Some(AnswerError::Cut), "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(input: Vec<u8>) {
            let _ = read(&input, &mut Headers::new());
        }
    }
}
