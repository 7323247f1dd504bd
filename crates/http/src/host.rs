//! Host names as `Host` and request targets give them.

use std::ops::Range;

/// A host with a port: where the name lies in the text, and the port if one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAndPort {
    /// The name without port and without the dot at its end; an IPv6 address with its brackets.
    pub name: Range<usize>,
    /// The port; `None` where it is absent or empty (`example.org:`).
    pub port: Option<u16>,
}

/// The text is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid host")]
pub struct HostError;

/// Takes `host [":" port]` apart.
///
/// The name is to be compared in lower case; it is not changed here. Two dots in a row, a port above
/// 65535 and every octet that RFC 3986 does not allow in a host are refused, so that a host can be
/// used in a path or a redirect.
///
/// # Errors
///
/// [`HostError`]: the request is to be answered 400.
///
/// # Source
///
/// `ngx_http_validate_host` of nginx 1.31; RFC 3986 §3.2.2.
pub fn parse(text: &[u8]) -> Result<HostAndPort, HostError> {
    let (length, rest) = match text {
        [b'[', ..] => {
            let length = text.iter().position(|octet| *octet == b']').ok_or(HostError)? + 1;
            let (name, rest) = text.split_at_checked(length).ok_or(HostError)?;
            check(name.get(1..length - 1).ok_or(HostError)?, LITERAL)?;
            (length, rest)
        }
        _ => {
            let length = text.iter().position(|octet| *octet == b':').unwrap_or(text.len());
            let (name, rest) = text.split_at_checked(length).ok_or(HostError)?;
            check(name, NAME)?;
            (if name.ends_with(b".") { length - 1 } else { length }, rest)
        }
    };
    if length == 0 {
        return Err(HostError);
    }
    Ok(HostAndPort { name: 0..length, port: parse_port(rest)? })
}

/// Reads what follows the name: nothing, or a colon and digits.
fn parse_port(rest: &[u8]) -> Result<Option<u16>, HostError> {
    let digits = match rest {
        [] => return Ok(None),
        [b':', digits @ ..] => digits,
        _ => return Err(HostError),
    };
    let mut port: u16 = 0;
    for &octet in digits {
        if !octet.is_ascii_digit() {
            return Err(HostError);
        }
        port = port.checked_mul(10).and_then(|port| port.checked_add(u16::from(octet - b'0'))).ok_or(HostError)?;
    }
    Ok(if digits.is_empty() { None } else { Some(port) })
}

/// Refuses octets that are not `allowed`, and two dots in a row.
fn check(name: &[u8], allowed: u8) -> Result<(), HostError> {
    let mut previous = 0;
    for &octet in name {
        if CLASSES[octet as usize] & allowed == 0 || (octet == b'.' && previous == b'.') {
            return Err(HostError);
        }
        previous = octet;
    }
    Ok(())
}

/// Class of octets of a name.
const NAME: u8 = 1;
/// Class of octets between brackets.
const LITERAL: u8 = 2;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        classes[octet] = match octet as u8 {
            b'%' => NAME,
            b':' => LITERAL,
            octet if is_unreserved_or_delimiter(octet) => NAME | LITERAL,
            _ => 0,
        };
        octet += 1;
    }
    classes
}

/// Unreserved characters and sub-delimiters of RFC 3986.
const fn is_unreserved_or_delimiter(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(&str, Option<u16>)> {
        parse(text.as_bytes()).ok().map(|host| (&text[host.name], host.port))
    }

    #[test]
    fn hosts_are_taken_apart() {
        for (text, name, port) in [
            ("l", "l", None),
            ("abcd-ef.g02.xyz:", "abcd-ef.g02.xyz", None),
            ("abcd-ef.g02.xyz:8080", "abcd-ef.g02.xyz", Some(8080)),
            ("www.example.org.", "www.example.org", None),
            ("example.org.:88", "example.org", Some(88)),
            ("[abcd::ef98:0:7654:321]", "[abcd::ef98:0:7654:321]", None),
            ("[::123.45.67.89]:4321", "[::123.45.67.89]", Some(4321)),
            ("[v0a.!$&'()*+,;=-._~:]", "[v0a.!$&'()*+,;=-._~:]", None),
            ("a_b.example:65535", "a_b.example", Some(65535)),
            ("a%20b", "a%20b", None),
            ("h:0", "h", Some(0)),
        ] {
            assert_eq!(parsed(text), Some((name, port)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            ":80",
            "..a",
            "a..b",
            "a..:1",
            "a:65536",
            "a:98777",
            "a:1.2",
            "a:9000:80",
            "a/b",
            "a\\b",
            "a b",
            "user@a",
            "[::1",
            "[::1].",
            "[::1].:98",
            "[a..b]",
            "[a/b]",
            "x[::1]:98",
            "a\0",
            "\u{e9}",
            "a?b",
            "a#b",
            "a\"",
            "<a>",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }
}
