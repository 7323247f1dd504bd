//! The text protocol of memcached: `get key`, and the value that comes back.

use bytes::{Buf, BytesMut};
use daemun_http::{AnswerError, AnswerLimits, Excerpt, HeaderId, ResponseHead, StatusCode};
use daemun_server::log::Level;
use daemun_server::{Outcome, Request, Template};

use super::{AnswerCodec, BodyAhead, BodyExtent, BodyStep, HeadFault, HeadStep, Transport, Written, take};

/// The protocol with what a location says of it.
pub struct Memcached<'a> {
    /// `$memcached_key`.
    pub key: &'a Template,
    /// Bits of a value's flags that say it is compressed; 0 for none.
    pub gzip_flag: u64,
}

impl Memcached<'_> {
    fn escaped_key(&self, request: &Request) -> Vec<u8> {
        let mut escaped = Vec::new();
        for octet in self.key.value(request) {
            if octet <= b' ' || octet == b'%' || octet == 0x7f {
                escaped.extend_from_slice(format!("%{octet:02X}").as_bytes());
            } else {
                escaped.push(octet);
            }
        }
        escaped
    }
}

impl Transport for Memcached<'_> {
    fn scheme(&self) -> &'static str {
        "memcached"
    }

    fn write_request(&self, request: &mut Request, _: BodyAhead, out: &mut Vec<u8>) -> Result<Written, Outcome> {
        let key = self.escaped_key(request);
        if key.is_empty() {
            request.log(Level::Error, format_args!("the \"$memcached_key\" variable is not set"));
            return Err(Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR));
        }
        out.extend_from_slice(b"get ");
        out.extend_from_slice(&key);
        out.extend_from_slice(b"\r\n");
        Ok(Written { passes_body: false, framing: None, is_head: request.is_head(), path: 0..0 })
    }

    fn codec(&self, request: &Request) -> Box<dyn AnswerCodec> {
        Box::new(MemcachedAnswer::new(self.escaped_key(request), self.gzip_flag))
    }
}

/// One value.
pub struct MemcachedAnswer {
    key: Vec<u8>,
    gzip_flag: u64,
    /// Octets of the value still to come.
    rest: u64,
    /// Octets of [`TRAILER`] still to come.
    trailer: usize,
    /// Nobody wants the value: the connection is given up with it, as nginx does.
    is_dropped: bool,
    message: Option<(Level, String)>,
}

impl MemcachedAnswer {
    /// At the front of the answer to `get key`; `gzip_flag` is as `memcached_gzip_flag` has it, 0 for none.
    #[must_use]
    pub fn new(key: Vec<u8>, gzip_flag: u64) -> Self {
        Self { key, gzip_flag, rest: 0, trailer: 0, is_dropped: false, message: None }
    }

    fn fault(&self, what: &str, line: &[u8]) -> HeadFault {
        let line = String::from_utf8_lossy(line);
        let key = String::from_utf8_lossy(&self.key);
        HeadFault::Protocol(format!("memcached sent invalid {what} in response \"{line}\" for key \"{key}\""))
    }

    /// Reads the first line, its line end taken off.
    fn read_line(&mut self, line: &[u8], head: &mut ResponseHead) -> Result<(), HeadFault> {
        if line == b"END" {
            let key = String::from_utf8_lossy(&self.key);
            let message =
                format!("key: \"{key}\" was not found by memcached while reading response header from upstream");
            self.message = Some((Level::Info, message));
            head.status = StatusCode::NOT_FOUND;
            return Ok(());
        }
        let invalid =
            || HeadFault::Protocol(format!("memcached sent invalid response: \"{}\"", String::from_utf8_lossy(line)));
        let rest = line.strip_prefix(b"VALUE ").ok_or_else(invalid)?;
        let rest = rest.strip_prefix(self.key.as_slice()).ok_or_else(|| self.fault("key", line))?;
        let rest = rest.strip_prefix(b" ").ok_or_else(invalid)?;
        let at = rest.iter().position(|octet| *octet == b' ').ok_or_else(invalid)?;
        let (flags, length) = (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default());
        if self.gzip_flag != 0 {
            let flags = number(flags).ok_or_else(|| self.fault("flags", line))?;
            if flags & self.gzip_flag != 0 {
                head.headers.append_known(HeaderId::ContentEncoding, b"gzip");
            }
        }
        self.rest = number(length).ok_or_else(|| self.fault("length", line))?;
        self.trailer = TRAILER.len();
        head.headers.append_known(HeaderId::ContentLength, self.rest.to_string().as_bytes());
        head.status = StatusCode::OK;
        Ok(())
    }
}

impl AnswerCodec for MemcachedAnswer {
    fn read_head(
        &mut self,
        input: &mut BytesMut,
        limits: &AnswerLimits,
        head: &mut ResponseHead,
    ) -> Result<HeadStep, HeadFault> {
        let Some(end) = input.iter().position(|octet| *octet == b'\n') else {
            if input.len() < limits.head_bytes {
                return Ok(HeadStep::NeedMore);
            }
            let largest = Excerpt::default();
            return Err(AnswerError::TooLarge { limit: limits.head_bytes, largest, size: 0 }.into());
        };
        let line = input.split_to(end + 1);
        let Some(line) = line.strip_suffix(b"\r\n") else {
            let line = String::from_utf8_lossy(line.get(..end).unwrap_or_default()).into_owned();
            return Err(HeadFault::Protocol(format!("memcached sent invalid response: \"{line}\"")));
        };
        self.read_line(line, head)?;
        Ok(HeadStep::Complete)
    }

    fn begin_body(&mut self, head: &ResponseHead, to_head: bool) -> BodyExtent {
        self.is_dropped = to_head && self.trailer > 0;
        if self.is_dropped {
            return BodyExtent::None;
        }
        if head.status == StatusCode::NOT_FOUND { BodyExtent::None } else { BodyExtent::Length(self.rest) }
    }

    fn read_body(&mut self, input: &mut BytesMut) -> Result<BodyStep, &'static str> {
        if self.is_dropped {
            return Ok(BodyStep::End { is_kept: false, surplus: None });
        }
        if self.rest > 0 {
            if input.is_empty() {
                return Ok(BodyStep::NeedMore);
            }
            let available = input.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
            self.rest -= available as u64;
            return Ok(BodyStep::Data(take(input, available)));
        }
        let wrong = BodyStep::End { is_kept: false, surplus: Some("memcached sent invalid trailer") };
        let expected = TRAILER.get(TRAILER.len() - self.trailer..).unwrap_or_default();
        let count = input.len().min(expected.len());
        if input.get(..count) != expected.get(..count) || input.len() > expected.len() {
            return Ok(wrong);
        }
        input.advance(count);
        self.trailer -= count;
        Ok(match self.trailer {
            0 => BodyStep::End { is_kept: true, surplus: None },
            _ => BodyStep::NeedMore,
        })
    }

    fn may_end_here(&self) -> bool {
        self.rest == 0 || self.is_dropped
    }

    fn take_message(&mut self) -> Option<(Level, String)> {
        self.message.take()
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// What stands behind a value.
const TRAILER: &[u8] = b"\r\nEND\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &str, portion: usize) -> Result<(u16, String, Option<bool>), String> {
        let mut answer = MemcachedAnswer {
            key: b"/a%20b".to_vec(),
            gzip_flag: 2,
            rest: 0,
            trailer: 0,
            is_dropped: false,
            message: None,
        };
        let (mut head, mut input) = (ResponseHead::default(), BytesMut::new());
        let (mut body, mut end, mut has_head) = (Vec::new(), None, false);
        for part in octets.as_bytes().chunks(portion) {
            input.extend_from_slice(part);
            if !has_head {
                let step = answer.read_head(&mut input, &AnswerLimits::default(), &mut head);
                has_head = step.map_err(|fault| fault.to_string())? == HeadStep::Complete;
                answer.begin_body(&head, false);
            }
            while has_head && end.is_none() {
                match answer.read_body(&mut input)? {
                    BodyStep::NeedMore => break,
                    BodyStep::Data(octets) => body.extend_from_slice(&octets),
                    BodyStep::End { is_kept, .. } => end = Some(is_kept),
                }
            }
        }
        Ok((head.status.as_u16(), String::from_utf8(body).expect("ASCII"), end))
    }

    #[test]
    fn values_are_read_in_any_portions() {
        for portion in [1, 5, 1000] {
            assert_eq!(read("VALUE /a%20b 0 5\r\nvalue\r\nEND\r\n", portion), Ok((200, "value".into(), Some(true))));
            assert_eq!(read("VALUE /a%20b 2 0\r\n\r\nEND\r\n", portion), Ok((200, String::new(), Some(true))));
            assert_eq!(read("END\r\n", portion), Ok((404, String::new(), Some(true))));
            assert_eq!(read("VALUE /a%20b 0 5\r\nvalue\r\nEXD\r\n", portion), Ok((200, "value".into(), Some(false))));
        }
        let more = "VALUE /a%20b 0 5\r\nvalue\r\nEND\r\nSURPLUS";
        assert_eq!(read(more, 1000), Ok((200, "value".into(), Some(false))));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (line, text) in [
            ("VALUE /other 0 5\r\n", "invalid key"),
            ("VALUE /a%20b x 5\r\n", "invalid flags"),
            ("VALUE /a%20b 0 x\r\n", "invalid length"),
            ("VALUE /a%20b 05\r\n", "invalid response"),
            ("ERROR\r\n", "invalid response"),
            ("END\n", "invalid response"),
        ] {
            assert!(read(line, 1000).is_err_and(|error| error.contains(text)), "{line}");
        }
    }
}
