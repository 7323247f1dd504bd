//! uWSGI's log encoders: what becomes of a line before it is written.

use std::io::Write;

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// A text before the line.
    Prefix(String),
    /// A text behind it.
    Suffix(String),
    /// A line end behind it.
    LineEnd,
    /// A text with the line and the time in it.
    Format(Vec<Part>),
    /// The same, with the line as it stands in a JSON string.
    Json(Vec<Part>),
}

/// A part of a text with the line in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The line.
    Message,
    /// The line with its line end.
    MessageWithEnd,
    /// Seconds since 1970.
    Seconds,
    /// Microseconds since 1970.
    Micros,
    /// The time, by a format of strftime's.
    Time(String),
}

impl Encoder {
    /// Reads `NAME` or `NAME ARGUMENT`; a logger's name, as in `json:reqlog {...}`, is passed over. `None` for one that is not known.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, argument) = text.split_once(' ').unwrap_or((text, ""));
        Some(match name.split(':').next().unwrap_or_default() {
            "prefix" => Self::Prefix(argument.to_owned()),
            "suffix" => Self::Suffix(argument.to_owned()),
            "nl" => Self::LineEnd,
            "format" => Self::Format(parts(argument)),
            "json" => Self::Json(parts(argument)),
            _ => return None,
        })
    }

    /// What the line becomes.
    pub fn apply(&self, line: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Prefix(text) => [text.as_bytes(), &line].concat(),
            Self::Suffix(text) => [line.strip_suffix(b"\n").unwrap_or(&line), text.as_bytes()].concat(),
            Self::LineEnd => [line.as_slice(), b"\n"].concat(),
            Self::Format(parts) => fill(parts, &line, <[u8]>::to_vec),
            Self::Json(parts) => fill(parts, &line, escaped),
        }
    }
}

/// `${msg}`, `${msgnl}`, `${unix}`, `${micros}`, `${strftime:FORMAT}`.
fn parts(text: &str) -> Vec<Part> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let Some((name, behind)) = behind.split_once('}') else { break };
        found.push(Part::Text(before.to_owned()));
        found.push(match name {
            "msg" => Part::Message,
            "msgnl" => Part::MessageWithEnd,
            "unix" => Part::Seconds,
            "micros" => Part::Micros,
            _ => match name.strip_prefix("strftime:") {
                Some(format) => Part::Time(format.to_owned()),
                None => Part::Text(format!("${{{name}}}")),
            },
        });
        rest = behind;
    }
    found.push(Part::Text(rest.to_owned()));
    found
}

fn fill(parts: &[Part], line: &[u8], message: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let bare = line.strip_suffix(b"\n").unwrap_or(line);
    let mut out = Vec::with_capacity(line.len() + 64);
    for part in parts {
        // A `Vec` takes everything.
        let _ = match part {
            Part::Text(text) => out.write_all(text.as_bytes()),
            Part::Message => out.write_all(&message(bare)),
            Part::MessageWithEnd => out.write_all(&message(&[bare, b"\n"].concat())),
            Part::Seconds => write!(out, "{}", now.tv_sec),
            Part::Micros => write!(out, "{}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000),
            Part::Time(format) => out.write_all(&strftime(format, now.tv_sec)),
        };
    }
    out
}

/// Inside of a JSON string; what is no UTF-8 is shown as Latin-1.
fn escaped(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(text.to_vec()).unwrap_or_else(|_| text.iter().copied().map(char::from).collect());
    let quoted = serde_json::Value::String(text).to_string();
    quoted.trim_start_matches('"').as_bytes().strip_suffix(b"\"").unwrap_or_default().to_vec()
}

/// Local time by a format of strftime's; empty where it comes to more than a line's length.
pub fn strftime(format: &str, unix_seconds: i64) -> Vec<u8> {
    let Ok(format) = std::ffi::CString::new(format) else { return Vec::new() };
    // SAFETY: all zeros is a valid `tm`; it is overwritten.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types.
    unsafe { libc::localtime_r(&unix_seconds, &mut parts) };
    let mut text = vec![0_u8; 256];
    // SAFETY: a live buffer of that length, a C string, and a `tm` that was filled in.
    let length = unsafe { libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &parts) };
    text.truncate(length);
    text
}
