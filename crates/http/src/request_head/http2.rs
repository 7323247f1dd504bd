//! A request's head made of HTTP/2's fields.

use crate::field_lines::{ODD, UNDERSCORE};
use crate::octets::parse_length;
use crate::{Excerpt, Framing, HeadError, HeadLimits, HeaderId, Method, RequestHead, Version, host};

use super::{UNIQUE, unwanted_names};

/// Fills a [`RequestHead`] field by field, as a header block gives them.
///
/// What is refused first is what [`Http2Fields::conclude`] says; fields behind it are passed over, so that the block
/// can be read to its end, as the connection needs it.
///
/// # Source
///
/// RFC 9113 §8.2, §8.3; the order of the checks and their texts are those of nginx 1.31 (`ngx_http_v2.c`).
pub struct Http2Fields<'a> {
    head: &'a mut RequestHead,
    limits: &'a HeadLimits,
    pseudo: Pseudo,
    cookies: Vec<u8>,
    fields: usize,
    is_line_written: bool,
    refused: Option<HeadError>,
}

/// The pseudo-header fields.
#[derive(Default)]
struct Pseudo {
    method: Option<Vec<u8>>,
    scheme: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    protocol: Option<Vec<u8>>,
}

impl<'a> Http2Fields<'a> {
    /// Begins a head in `head`, which keeps its memory.
    pub fn new(head: &'a mut RequestHead, limits: &'a HeadLimits) -> Self {
        head.clear();
        head.version = Version::Http2;
        let (pseudo, cookies) = (Pseudo::default(), Vec::new());
        Self { head, limits, pseudo, cookies, fields: 0, is_line_written: false, refused: None }
    }

    /// Takes the next field.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        if self.refused.is_some() {
            return;
        }
        let result = match name.strip_prefix(b":") {
            Some(pseudo) => self.add_pseudo(pseudo, value),
            None => self.add_regular(name, value),
        };
        self.refused = result.err();
    }

    /// The block is read: `octets` of it. `is_last` is the client's word that no body follows.
    ///
    /// # Errors
    ///
    /// The request is to be answered [`HeadError::status`]. Request line and fields may be looked at, for the log.
    pub fn conclude(mut self, octets: usize, is_last: bool) -> Result<(), HeadError> {
        self.head.progress.begin(octets);
        self.head.start = 0;
        match self.refused.take() {
            Some(error) => Err(error),
            None => self.check(is_last),
        }
    }

    fn add_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        check_field(name, value, self.limits)?;
        if self.is_line_written {
            return Err(HeadError::PseudoHeaderOrder);
        }
        let (name, place) = match name {
            b"method" => (":method", &mut self.pseudo.method),
            b"scheme" => (":scheme", &mut self.pseudo.scheme),
            b"path" => (":path", &mut self.pseudo.path),
            b"authority" => (":authority", &mut self.pseudo.authority),
            b"protocol" => (":protocol", &mut self.pseudo.protocol),
            name => return Err(HeadError::PseudoHeaderUnknown { name: Excerpt::of(name) }),
        };
        if place.is_some() {
            return Err(HeadError::PseudoHeaderTwice { name });
        }
        if value.is_empty() {
            return Err(HeadError::PseudoHeader { name, value: Excerpt::default() });
        }
        let is_right = match name {
            ":method" => value.iter().copied().all(crate::method::is_method_octet),
            ":scheme" => is_scheme(value),
            ":path" => is_path(value),
            ":authority" => self.head.keep_host(value),
            _ => true,
        };
        if !is_right {
            return Err(HeadError::PseudoHeader { name, value: Excerpt::of(value) });
        }
        *place = Some(value.to_vec());
        Ok(())
    }

    fn add_regular(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        let class = check_field(name, value, self.limits)?;
        self.write_line()?;
        if class & unwanted_names(self.limits) != 0 {
            return Ok(());
        }
        let id = HeaderId::of(name);
        if id == HeaderId::Cookie {
            if !self.cookies.is_empty() {
                self.cookies.extend_from_slice(b"; ");
            }
            self.cookies.extend_from_slice(value);
            return Ok(());
        }
        if self.fields >= self.limits.headers {
            return Err(HeadError::TooManyHeaders { limit: self.limits.headers });
        }
        self.fields += 1;
        if id.bit() & UNIQUE != 0 && self.head.headers.has(id) {
            let line = Excerpt::of(&[name, b": ", value].concat());
            return Err(HeadError::Duplicate { line, name: id.name() });
        }
        if id == HeaderId::Host {
            let is_host =
                if self.pseudo.authority.is_some() { host::parse(value).is_ok() } else { self.head.keep_host(value) };
            if !is_host {
                return Err(HeadError::Host { value: Excerpt::of(value) });
            }
        }
        self.head.headers.append(name, value);
        Ok(())
    }

    /// Makes the request line once the pseudo-header fields are there.
    fn write_line(&mut self) -> Result<(), HeadError> {
        if self.is_line_written {
            return Ok(());
        }
        let missing = |name| HeadError::PseudoHeaderMissing { name };
        let method = self.pseudo.method.as_deref().ok_or_else(|| missing(":method"))?;
        let is_connect = method == b"CONNECT";
        let is_upgrade = is_connect && self.pseudo.protocol.is_some();
        if self.pseudo.protocol.is_some() && !is_connect {
            return Err(HeadError::PseudoHeaderUnknown { name: Excerpt::of(b"protocol") });
        }
        let path = match (&self.pseudo.scheme, &self.pseudo.path) {
            // A plain CONNECT has neither.
            (None, None) if is_connect && !is_upgrade => b"/",
            (None, _) => return Err(missing(":scheme")),
            (_, None) => return Err(missing(":path")),
            (Some(_), Some(path)) => path.as_slice(),
        };
        // What a WebSocket is asked for by elsewhere (RFC 8441 §5).
        let method = if is_upgrade { b"GET" } else { method };
        let line = &mut self.head.line;
        line.extend_from_slice(method);
        line.push(b' ');
        self.head.target = line.len()..line.len() + path.len();
        line.extend_from_slice(path);
        line.push(b' ');
        self.head.protocol = line.len()..line.len() + PROTOCOL.len();
        line.extend_from_slice(PROTOCOL);
        self.head.line_length = line.len();
        self.head.method = Method::of(method).ok_or(HeadError::Method)?;
        self.is_line_written = true;
        Ok(())
    }

    /// What can be checked only when all fields are there.
    fn check(&mut self, is_last: bool) -> Result<(), HeadError> {
        self.write_line()?;
        let head = &mut *self.head;
        if !self.cookies.is_empty() {
            head.headers.append(b"cookie", &self.cookies);
        }
        for id in [HeaderId::Connection, HeaderId::KeepAlive, HeaderId::TransferEncoding, HeaderId::Upgrade] {
            if head.headers.has(id) {
                return Err(HeadError::ConnectionSpecific { name: id.name() });
            }
        }
        let mut codings = head.headers.all(HeaderId::Te);
        let is_te_right = codings.next().is_none_or(|value| value.eq_ignore_ascii_case(b"trailers"));
        if !is_te_right || codings.next().is_some() {
            return Err(HeadError::ConnectionSpecific { name: "TE" });
        }
        drop(codings);
        match (&self.pseudo.authority, head.headers.first(HeaderId::Host)) {
            (None, None) => return Err(HeadError::AuthorityMissing),
            (Some(authority), Some(host)) if authority != host => return Err(HeadError::AuthorityAndHost),
            // Whoever asks for the field finds it.
            (Some(authority), None) => head.headers.append(b"host", authority),
            _ => {}
        }
        if let Some(value) = head.headers.first(HeaderId::ContentLength) {
            let length = parse_length(value).ok_or_else(|| HeadError::ContentLength { value: Excerpt::of(value) })?;
            if length > 0 && is_last {
                return Err(HeadError::EndedEarly);
            }
            head.framing = Framing::Length(length);
        } else if !is_last {
            head.framing = Framing::Chunked;
        }
        if let Some(protocol) = self.pseudo.protocol.take() {
            head.headers.append(b"upgrade", &protocol);
            head.headers.append(b"sec-websocket-key", NONCE);
            head.connection.upgrade = true;
            head.framing = Framing::None; // What comes is the other protocol's.
        }
        Ok(())
    }
}

/// Refuses what no field may have; gives the class of the name's octets.
fn check_field(name: &[u8], value: &[u8], limits: &HeadLimits) -> Result<u8, HeadError> {
    let mut class = 0;
    for &octet in name {
        class |= match octet {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => 0,
            b'_' if limits.underscores_in_headers => 0,
            b'_' => UNDERSCORE,
            0..=b' ' | 0x7f | b':' | b'A'..=b'Z' => return Err(HeadError::FieldName { name: Excerpt::of(name) }),
            _ => ODD,
        };
    }
    if value.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n')) {
        return Err(HeadError::FieldValue { name: Excerpt::of(name), value: Excerpt::of(value) });
    }
    Ok(class)
}

fn is_scheme(value: &[u8]) -> bool {
    value.iter().enumerate().all(|(at, octet)| {
        octet.is_ascii_alphabetic() || (at > 0 && (octet.is_ascii_digit() || matches!(octet, b'+' | b'-' | b'.')))
    })
}

fn is_path(value: &[u8]) -> bool {
    value.first() == Some(&b'/') && value.iter().all(|octet| *octet > b' ' && *octet != 0x7f)
}

const PROTOCOL: &[u8] = b"HTTP/2.0";

/// What an HTTP/1 server behind us is sent as `Sec-WebSocket-Key`, which HTTP/2 does without: any 16 octets will do.
const NONCE: &[u8] = b"ZGFlbXVuIGRhZW11biE=";

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)], is_last: bool) -> Result<RequestHead, HeadError> {
        let mut head = RequestHead::new();
        let limits = HeadLimits::default();
        let mut builder = Http2Fields::new(&mut head, &limits);
        for (name, value) in fields {
            builder.add(name.as_bytes(), value.as_bytes());
        }
        builder.conclude(7, is_last)?;
        Ok(head)
    }

    const BASE: [(&str, &str); 4] =
        [(":method", "POST"), (":scheme", "http"), (":path", "/a?b"), (":authority", "Host.example:80")];

    #[test]
    fn a_head_is_made() {
        let fields = [&BASE[..], &[("cookie", "a=1"), ("x_y", "odd"), ("cookie", "b=2"), ("content-length", "3")]];
        let head = head(&fields.concat(), false).expect("a head");
        assert_eq!(head.request_line(), b"POST /a?b HTTP/2.0");
        assert_eq!((head.target(), head.protocol()), (&b"/a?b"[..], &b"HTTP/2.0"[..]));
        assert_eq!((head.host(), head.port()), (Some(&b"host.example"[..]), Some(80)));
        assert_eq!(head.headers.first(HeaderId::Cookie), Some(&b"a=1; b=2"[..]));
        assert_eq!(head.headers.first(HeaderId::Host), Some(&b"Host.example:80"[..]));
        assert_eq!((head.framing(), head.octets()), (Framing::Length(3), 7));
        assert!(head.headers.first_by_name(b"x_y").is_none());
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for extra in [
            ("Upper", "case"),
            ("a:b", ""),
            ("x", "a\nb"),
            ("connection", "close"),
            ("keep-alive", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "x"),
            ("te", "gzip"),
            ("host", "other"),
            ("content-length", "+1"),
            ("content-length", "1"),
            (":path", "/late"),
            (":status", "200"),
        ] {
            assert!(head(&[&BASE[..], &[("x", "y"), extra]].concat(), true).is_err(), "{extra:?}");
        }
        for missing in 0..4 {
            let mut fields = BASE.to_vec();
            fields.remove(missing);
            assert!(head(&fields, true).is_err(), "{missing}");
        }
        for (at, value) in [(0, "ge t"), (0, ""), (1, "1http"), (2, "relative"), (2, "/a b"), (3, "a/b"), (3, "")] {
            let mut fields = BASE.to_vec();
            fields[at].1 = value;
            assert!(head(&fields, true).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_websocket_is_asked_for() {
        let mut fields = BASE.to_vec();
        fields[0].1 = "CONNECT";
        fields.push((":protocol", "websocket"));
        let head = head(&fields, false).expect("a head");
        assert_eq!((&head.method, head.framing()), (&Method::Get, Framing::None));
        assert_eq!(head.upgrade(), Some(&b"websocket"[..]));
    }
}
