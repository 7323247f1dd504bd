//! The request line.

use std::ops::Range;

use crate::octets::{find_control_or_space, find_octet};
use crate::{Method, Version, host};

/// A request line, as ranges of the line.
#[derive(Debug, Default, Clone)]
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// `HTTP/1.1` as it was written.
    pub(crate) protocol: Range<usize>,
    /// Path and arguments as they were written.
    pub(crate) target: Range<usize>,
    /// Whether `target` lacks its first slash: `http://host`, `http://host?args`, and `CONNECT`.
    pub(crate) lacks_slash: bool,
    pub(crate) scheme: Option<Range<usize>>,
    /// `host:port` of the absolute form and of `CONNECT`.
    pub(crate) authority: Option<Range<usize>>,
}

/// What is wrong with a request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestLineFault {
    Method,
    Shape,
    Http09,
    Version,
    Authority,
}

impl RequestLine {
    /// Reads `line`, which is without its line end. On error the parts before the fault are set.
    ///
    /// Between the parts and at the end there may be several spaces, as in nginx; every other
    /// octet up to 0x20 and DEL is a fault. Of the asterisk form nothing is known, as in nginx.
    pub(crate) fn read(&mut self, line: &[u8]) -> Result<(), RequestLineFault> {
        let method_end = find_octet(line, b' ', 0);
        let name = if method_end < line.len() { line.get(..method_end) } else { None };
        self.method = name.and_then(Method::of).ok_or(RequestLineFault::Method)?;

        let start = skip_spaces(line, method_end);
        let end = find_control_or_space(line, start);
        if line.get(end).is_some_and(|octet| *octet != b' ') {
            return Err(RequestLineFault::Shape);
        }
        self.read_target(line, start..end)?;

        self.protocol =
            skip_spaces(line, end)..line.len() - line.iter().rev().take_while(|octet| **octet == b' ').count();
        match line.get(self.protocol.clone()) {
            Some(b"HTTP/1.1") => self.version = Version::Http11,
            Some(protocol) => self.version = read_version(protocol)?,
            None => return Err(RequestLineFault::Http09),
        }
        match self.authority.clone().and_then(|range| line.get(range)) {
            Some(authority) if !is_authority(authority) => Err(RequestLineFault::Authority),
            _ => Ok(()),
        }
    }

    fn read_target(&mut self, line: &[u8], range: Range<usize>) -> Result<(), RequestLineFault> {
        let text = line.get(range.clone()).unwrap_or_default();
        if self.method == Method::Connect {
            let host = host::parse(text).map_err(|_| RequestLineFault::Shape)?;
            host.port.ok_or(RequestLineFault::Shape)?;
            self.target = range.end..range.end;
            self.authority = Some(range);
            self.lacks_slash = true;
            return Ok(());
        }
        match text {
            [b'/', ..] => self.target = range,
            [b'a'..=b'z' | b'A'..=b'Z', ..] => self.read_absolute(text, range.start)?,
            _ => return Err(RequestLineFault::Shape),
        }
        Ok(())
    }

    /// Reads `scheme "://" authority [path] ["?" args]`, which begins at `start` of the line.
    fn read_absolute(&mut self, text: &[u8], start: usize) -> Result<(), RequestLineFault> {
        let is_scheme = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.');
        let scheme_length = text.iter().position(|octet| !is_scheme(octet)).ok_or(RequestLineFault::Shape)?;
        let rest =
            text.get(scheme_length..).and_then(|rest| rest.strip_prefix(b"://")).ok_or(RequestLineFault::Shape)?;
        let authority = start + scheme_length + 3;
        let length = rest.iter().position(|octet| matches!(octet, b'/' | b'?')).unwrap_or(rest.len());
        self.scheme = Some(start..start + scheme_length);
        self.authority = Some(authority..authority + length);
        self.target = authority + length..start + text.len();
        self.lacks_slash = rest.get(length) != Some(&b'/');
        Ok(())
    }
}

/// Whether `text` is a host with or without port, of letters, digits, `.`, `-` and `_` or in brackets.
///
/// Narrower than what `Host` may be, as in nginx, but for the underscore, which names that a forward proxy
/// is asked for do have.
fn is_authority(text: &[u8]) -> bool {
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_' | b':');
    (text.first() == Some(&b'[') || text.iter().all(is_plain)) && host::parse(text).is_ok()
}

/// Position of the first octet at or after `from` that is no space.
fn skip_spaces(line: &[u8], from: usize) -> usize {
    let mut at = from;
    while line.get(at) == Some(&b' ') {
        at += 1;
    }
    at
}

/// Reads `HTTP/1.x`, up to three digits of minor version.
#[cold]
fn read_version(protocol: &[u8]) -> Result<Version, RequestLineFault> {
    if protocol.is_empty() {
        return Err(RequestLineFault::Http09);
    }
    let digits = protocol.strip_prefix(b"HTTP/").ok_or(RequestLineFault::Shape)?;
    let minor = match digits {
        [b'1', b'.', minor @ ..] => minor,
        [b'2'..=b'9', ..] | [b'1', b'0'..=b'9', ..] => return Err(RequestLineFault::Version),
        _ => return Err(RequestLineFault::Shape),
    };
    if minor.is_empty() || minor.len() > 3 || !minor.iter().all(u8::is_ascii_digit) {
        return Err(RequestLineFault::Shape);
    }
    let is_zero = minor.iter().all(|digit| *digit == b'0');
    Ok(if is_zero { Version::Http10 } else { Version::Http11 })
}
