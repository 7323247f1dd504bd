//! What an application gives to `start_response`, checked and encoded for the hop.

use daemun_gateway::answer::{AnswerWriter, HeaderId, check_header};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::text;

/// The head of an answer, encoded, and what matters for its body.
///
/// Kept between requests for its memory: [`Head::clear`] and [`Head::set`] again.
#[derive(Debug, Default)]
pub struct Head {
    encoded: Vec<u8>,
    status: u16,
    count: u16,
    content_length: Option<u64>,
    /// Room for the new head: the old one stays when the new one is refused.
    draft: Vec<u8>,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Head {
    /// Forgets the answer.
    #[inline]
    pub fn clear(&mut self) {
        self.status = 0;
    }

    /// Whether the application has said how it answers.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.status != 0
    }

    /// The status; 0 until the application has said how it answers.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How many header fields there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The head as it crosses the hop.
    #[inline]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The length that the application has announced, in bytes.
    #[inline]
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether an answer of this status has no body, whatever its headers say.
    ///
    /// # Source
    ///
    /// RFC 9110 §15.3.5, §15.4.5.
    #[inline]
    pub fn is_bodyless(&self) -> bool {
        matches!(self.status, 204 | 304)
    }

    /// Takes status and headers as `start_response` gets them.
    ///
    /// # Errors
    ///
    /// `TypeError` or `ValueError` that names what is wrong; the head is as before then.
    ///
    /// # Source
    ///
    /// PEP 3333, "The start_response() Callable".
    pub fn set(&mut self, status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let status = string(status, "status")?;
        let (code, reason) = split_status(octets(status, "status", &mut self.name)?)?;
        self.draft.clear();
        let mut writer = AnswerWriter::new(&mut self.draft, code, reason);
        let mut content_length = None;

        let headers = headers.cast::<PyList>().map_err(|_| wrong_type("response headers must be a list", headers))?;
        for header in headers.iter() {
            let (name, value) = pair(&header)?;
            let name = octets(&name, "header name", &mut self.name)?;
            let value = octets(&value, "header value", &mut self.value)?;
            let id = check_header(name, value).map_err(|error| PyValueError::new_err(error.to_string()))?;
            if id == HeaderId::ContentLength {
                content_length = Some(length(value, content_length)?);
            }
            writer.header(name, value).map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        writer.finish();

        std::mem::swap(&mut self.encoded, &mut self.draft);
        self.status = code;
        self.count = u16::try_from(headers.len()).unwrap_or(u16::MAX);
        self.content_length = content_length;
        Ok(())
    }

    /// The answer to a request whose application failed: what uWSGI says then, to the letter.
    pub fn set_internal_error(&mut self) -> &'static [u8] {
        self.set_failure(b"text/plain");
        b"Internal Server Error"
    }

    /// The head of such an answer with a text of another type.
    pub fn set_failure(&mut self, content_type: &[u8]) {
        self.encoded.clear();
        let mut writer = AnswerWriter::new(&mut self.encoded, 500, b"Internal Server Error");
        writer.header(b"Content-Type", content_type).expect("a short header fits");
        writer.finish();
        self.status = 500;
        self.count = 1;
        self.content_length = None;
    }
}

/// `200 OK` in two parts. The reason may be missing, as many servers allow.
fn split_status(status: &[u8]) -> PyResult<(u16, &[u8])> {
    let parts = || {
        let (digits, rest) = status.split_first_chunk::<3>()?;
        let reason = match rest {
            [] => rest,
            [b' ', reason @ ..] => reason,
            _ => return None,
        };
        let code = std::str::from_utf8(digits).ok()?.parse::<u16>().ok()?;
        let is_clean = digits.iter().all(u8::is_ascii_digit) && daemun_gateway::answer::is_field_text(reason);
        is_clean.then_some((code, reason))
    };
    let shown = || status.escape_ascii().to_string();
    match parts() {
        Some((code @ 200..=999, reason)) => Ok((code, reason)),
        Some(_) => Err(PyValueError::new_err(format!("status \"{}\" is not a final status", shown()))),
        None => Err(PyValueError::new_err(format!("status \"{}\" is not of the form \"200 OK\"", shown()))),
    }
}

/// A Content-Length; a second one must say the same, or the answer could be read in two ways.
fn length(value: &[u8], before: Option<u64>) -> PyResult<u64> {
    let digits = value.trim_ascii();
    let length = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()));
    let length = length.and_then(|text| text.parse::<u64>().ok());
    length
        .filter(|length| before.is_none_or(|before| before == *length))
        .ok_or_else(|| PyValueError::new_err(format!("invalid Content-Length \"{}\"", value.escape_ascii())))
}

fn pair<'py>(header: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyString>)> {
    let wrong = || wrong_type("a response header must be a tuple of two strings", header);
    let tuple = header.cast::<PyTuple>().map_err(|_| wrong())?;
    if tuple.len() != 2 {
        return Err(wrong());
    }
    let part = |index| tuple.get_item(index)?.cast_into::<PyString>().map_err(|_| wrong());
    Ok((part(0)?, part(1)?))
}

fn string<'a, 'py>(object: &'a Bound<'py, PyAny>, what: &str) -> PyResult<&'a Bound<'py, PyString>> {
    object.cast::<PyString>().map_err(|_| wrong_type(&format!("{what} must be a string"), object))
}

fn octets<'a>(text: &'a Bound<'_, PyString>, what: &str, spare: &'a mut Vec<u8>) -> PyResult<&'a [u8]> {
    text::octets(text, spare)
        .ok_or_else(|| PyValueError::new_err(format!("{what} has a character above U+00FF: PEP 3333 wants latin-1")))
}

fn wrong_type(rule: &str, object: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("{rule}, not {}", kind(object)))
}

/// The name of an object's type, for messages.
pub fn kind(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an object without a type".to_owned(), |name| name.to_string())
}
