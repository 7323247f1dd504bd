//! The condition of an `if`.

use std::ffi::{CString, OsStr};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use daemun_conf::{ArgumentError, Arguments};
use daemun_server::log::Level;
use daemun_server::{Pattern, Request, Template};

use crate::open_file;

/// When the block of an `if` counts.
pub(super) struct Condition {
    test: Test,
    is_negated: bool,
}

enum Test {
    /// Neither empty nor "0".
    IsSet(Template),
    Equal(Template, Template),
    Matches {
        subject: Template,
        pattern: Pattern,
        /// As written, for the log.
        text: String,
    },
    File(FileTest, Template),
}

#[derive(Clone, Copy)]
enum FileTest {
    Regular,
    Directory,
    Exists,
    Executable,
}

impl Condition {
    pub(super) fn read(arguments: &Arguments<'_>) -> Result<Self, ArgumentError> {
        let words = unwrap_parentheses(arguments)?;
        let invalid = |at: usize| {
            let text = words.get(at).map(|(_, text)| *text).unwrap_or_default();
            ArgumentError::new(words.get(at).map(|(at, _)| *at), format!("invalid condition \"{text}\""))
        };
        let template = |at: usize| -> Result<Template, ArgumentError> {
            let (place, text) = words.get(at).ok_or_else(|| invalid(0))?;
            Template::parse_at(text, Some(arguments.word(*place)?.span))
                .map_err(|error| ArgumentError::new(Some(*place), error.to_string()))
        };
        let (_, first) = *words.first().ok_or_else(|| invalid(0))?;
        if first.len() > 1 && first.starts_with('$') {
            let subject = template(0)?;
            return match words.as_slice() {
                [_] => Ok(Self { test: Test::IsSet(subject), is_negated: false }),
                [_, (place, operator), (_, operand)] => {
                    let (is_negated, plain) = match operator.strip_prefix('!') {
                        Some(plain) => (true, plain),
                        None => (false, *operator),
                    };
                    let test = match plain {
                        "=" => Test::Equal(subject, template(2)?),
                        "~" | "~*" => {
                            let pattern = Pattern::new(operand, plain == "~*");
                            let pattern =
                                pattern.map_err(|error| ArgumentError::new(Some(*place + 1), error.to_string()))?;
                            Test::Matches { subject, pattern, text: (*operand).to_owned() }
                        }
                        _ => {
                            let message = format!("unexpected \"{operator}\" in condition");
                            return Err(ArgumentError::new(Some(*place), message));
                        }
                    };
                    Ok(Self { test, is_negated })
                }
                _ => Err(invalid(0)),
            };
        }
        let (is_negated, plain) = match first.strip_prefix('!') {
            Some(plain) => (true, plain),
            None => (false, first),
        };
        let test = match plain {
            "-f" => FileTest::Regular,
            "-d" => FileTest::Directory,
            "-e" => FileTest::Exists,
            "-x" => FileTest::Executable,
            _ => return Err(invalid(0)),
        };
        if words.len() != 2 {
            return Err(invalid(0));
        }
        Ok(Self { test: Test::File(test, template(1)?), is_negated })
    }

    pub(super) fn holds(&self, request: &Request, is_logged: bool) -> bool {
        let is_true = match &self.test {
            Test::IsSet(value) => value.is_true(request),
            Test::Equal(left, right) => left.value(request) == right.value(request),
            Test::Matches { subject, pattern, text } => {
                let subject = subject.value(request);
                let is_match = pattern.test(request, &subject);
                if !is_match {
                    request.values.forget_captures();
                }
                if is_logged {
                    let verb = if is_match { "matches" } else { "does not match" };
                    let shown = String::from_utf8_lossy(&subject);
                    request.log(Level::Notice, format_args!("\"{text}\" {verb} \"{shown}\""));
                }
                is_match
            }
            Test::File(test, path) => test.holds(request, &path.value(request)),
        };
        is_true != self.is_negated
    }
}

impl FileTest {
    fn holds(self, request: &Request, path: &[u8]) -> bool {
        let Ok(c_path) = CString::new(path) else { return false };
        if let Err(error) = open_file::check_links(request, &c_path) {
            if !error.is_missing() {
                error.log(request, &c_path);
            }
            return false;
        }
        let metadata = match std::fs::metadata(OsStr::from_bytes(path)) {
            Ok(metadata) => metadata,
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename)
                {
                    let shown = String::from_utf8_lossy(path);
                    request.log(Level::Crit, format_args!("stat() \"{shown}\" failed ({error})"));
                }
                return false;
            }
        };
        match self {
            Self::Regular => metadata.is_file(),
            Self::Directory => metadata.is_dir(),
            Self::Exists => true,
            Self::Executable => metadata.mode() & OWNER_EXECUTES != 0,
        }
    }
}

const OWNER_EXECUTES: u32 = 0o100;

/// The words between the parentheses, each with its position; the parentheses may stand against the words.
fn unwrap_parentheses<'a>(arguments: &Arguments<'a>) -> Result<Vec<(usize, &'a str)>, ArgumentError> {
    let mut words: Vec<_> = arguments.words().iter().map(|word| word.text.as_str()).enumerate().collect();
    let invalid = |at: usize, text: &str| ArgumentError::new(Some(at), format!("invalid condition \"{text}\""));
    if let Some((at, text)) = words.first_mut() {
        *text = text.strip_prefix('(').ok_or_else(|| invalid(*at, text))?;
    }
    if words.first().is_some_and(|(_, text)| text.is_empty()) {
        words.remove(0);
    }
    match words.last_mut() {
        Some((at, text)) => *text = text.strip_suffix(')').ok_or_else(|| invalid(*at, text))?,
        None => return Err(invalid(0, "(")),
    }
    if words.last().is_some_and(|(_, text)| text.is_empty()) {
        words.pop();
    }
    Ok(words)
}
