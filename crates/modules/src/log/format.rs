//! What a line of an access log says: `log_format`.

use daemun_conf::{ArgumentError, Arguments};
use daemun_server::config::setter;
use daemun_server::{Request, Template};

use crate::escape::{self, HEXADECIMAL};

/// A format: literals and variables, the latter escaped.
pub struct Format {
    name: String,
    escape: Escape,
    /// One per argument of the directive: a variable's name does not go on in the next one.
    parts: Vec<Template>,
}

/// How the octets of a variable are kept from breaking the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// `\xXX` for quotes, backslashes, control characters and everything beyond ASCII; `-` where there is no value.
    Default,
    /// As strings of JSON want it.
    Json,
    /// Not at all.
    None,
}

impl Format {
    /// Reads `name [escape=default|json|none] text ...`.
    ///
    /// # Errors
    /// For an unknown escaping or variable.
    pub fn read(arguments: &Arguments<'_>) -> Result<Self, ArgumentError> {
        let (escape, first) = match arguments.parameter(1) {
            Some(("escape", escape)) => (Escape::parse(escape)?, 2),
            _ => (Escape::Default, 1),
        };
        let parts = (first..arguments.len()).map(|at| setter::template(arguments, at)).collect::<Result<_, _>>()?;
        Ok(Self { name: arguments.text(0)?.to_owned(), escape, parts })
    }

    /// The format that is there without `log_format`.
    ///
    /// # Panics
    /// Never: the http core knows the variables of the constant text.
    #[must_use]
    pub fn combined() -> Self {
        let template = Template::parse(COMBINED).expect("names variables of the http core");
        Self { name: "combined".to_owned(), escape: Escape::Default, parts: vec![template] }
    }

    /// The name that `access_log` calls it by, in either case of letters.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The name as written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends the line for `request`, without its end.
    pub fn write(&self, request: &Request, out: &mut Vec<u8>) {
        for part in &self.parts {
            part.render_each(request, out, |out, start, has_value| self.escape.finish(out, start, has_value));
        }
    }
}

const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
                        \"$http_referer\" \"$http_user_agent\"";

impl Escape {
    fn parse(text: &str) -> Result<Self, ArgumentError> {
        match text {
            "default" => Ok(Self::Default),
            "json" => Ok(Self::Json),
            "none" => Ok(Self::None),
            _ => Err(ArgumentError::new(Some(1), format!("unknown log format escaping \"{text}\""))),
        }
    }

    /// Escapes the value that begins at `start`. Nearly all values need nothing, and then nothing is copied.
    fn finish(self, out: &mut Vec<u8>, start: usize, has_value: bool) {
        let value = out.get(start..).unwrap_or_default();
        match self {
            Self::Default if !has_value => out.push(b'-'),
            Self::Default if any(value, is_special) => {
                let value = out.split_off(start);
                value.iter().for_each(|octet| escape_default(*octet, out));
            }
            Self::Json if any(value, is_special_in_json) => {
                let value = out.split_off(start);
                escape::json(&value, out);
            }
            _ => {}
        }
    }
}

/// Without an early end, so that many octets are looked at in one step.
fn any(octets: &[u8], is_special: fn(u8) -> bool) -> bool {
    octets.iter().fold(false, |found, octet| found | is_special(*octet))
}

fn is_special(octet: u8) -> bool {
    !(b' '..0x7f).contains(&octet) || octet == b'"' || octet == b'\\'
}

fn is_special_in_json(octet: u8) -> bool {
    octet < b' ' || octet == b'"' || octet == b'\\'
}

fn escape_default(octet: u8, out: &mut Vec<u8>) {
    if is_special(octet) {
        out.extend_from_slice(&[
            b'\\',
            b'x',
            HEXADECIMAL[usize::from(octet >> 4)],
            HEXADECIMAL[usize::from(octet & 15)],
        ]);
    } else {
        out.push(octet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, value: &[u8], has_value: bool) -> String {
        let mut out = b"before ".to_vec();
        let start = out.len();
        out.extend_from_slice(value);
        escape.finish(&mut out, start, has_value);
        String::from_utf8_lossy(&out[start..]).into_owned()
    }

    #[test]
    fn values_are_escaped_as_in_nginx() {
        for (value, default, json) in [
            (&b"GET / HTTP/1.1"[..], "GET / HTTP/1.1", "GET / HTTP/1.1"),
            (b"a\"b\\c", "a\\x22b\\x5Cc", "a\\\"b\\\\c"),
            (b"\r\n\t\x08\x0c\x01\x1f", "\\x0D\\x0A\\x09\\x08\\x0C\\x01\\x1F", "\\r\\n\\t\\b\\f\\u0001\\u001F"),
            ("ä\x7f".as_bytes(), "\\xC3\\xA4\\x7F", "ä\x7f"),
            (b"", "", ""),
        ] {
            assert_eq!(escaped(Escape::Default, value, true), default);
            assert_eq!(escaped(Escape::Json, value, true), json);
            assert_eq!(escaped(Escape::None, value, true).as_bytes(), String::from_utf8_lossy(value).as_bytes());
        }
    }

    #[test]
    fn a_variable_without_a_value_is_a_dash_or_nothing() {
        assert_eq!(escaped(Escape::Default, b"", false), "-");
        assert_eq!(escaped(Escape::Json, b"", false), "");
        assert_eq!(escaped(Escape::None, b"", false), "");
    }
}
