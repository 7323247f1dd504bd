//! One option as it was written, and the typed reading of its value.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use daemun_conf::{Diagnostic, Span, Word};

use crate::options::apply::graded;

/// An option with its value, from whatever source.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub key: Word,
    /// `None` when nothing was written: a bare `key`, or `key =`.
    pub value: Option<Word>,
    /// What is to be done with it.
    pub role: Role,
}

/// What is to be done with a setting once all are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is an option.
    Option,
    /// `set-placeholder`: it defines `%(key)` and is no option.
    Placeholder,
    /// It has been obeyed while it was read: `ini`, `if-env`, `set` and the like. Its value can be referred to all the same.
    Obeyed,
}

impl Setting {
    pub(crate) fn new(key: Word, value: Option<Word>) -> Self {
        Self { key, value: value.filter(|word| !word.text.is_empty()), role: Role::Option }
    }

    pub(crate) fn value_text(&self) -> &str {
        self.value.as_ref().map_or("", |word| &word.text)
    }
}

/// The value of an option, for its setter.
#[derive(Debug)]
pub struct Value<'a> {
    setting: &'a Setting,
    diagnostics: &'a mut Vec<Diagnostic>,
    is_strict: bool,
}

impl<'a> Value<'a> {
    pub(crate) fn new(setting: &'a Setting, diagnostics: &'a mut Vec<Diagnostic>, is_strict: bool) -> Self {
        Self { setting, diagnostics, is_strict }
    }

    /// The option's name as it was written.
    pub fn name(&self) -> &'a str {
        &self.setting.key.text
    }

    /// Where the value stands; without a value, the name.
    pub fn span(&self) -> Span {
        self.setting.value.as_ref().unwrap_or(&self.setting.key).span
    }

    /// The value, empty if there is none.
    pub fn text(&self) -> &'a str {
        self.setting.value_text()
    }

    /// The value as a path.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.text())
    }

    /// True but for `false`, `off`, `no` and `0`, as uWSGI reads it.
    pub fn flag(&mut self) -> bool {
        let text = self.text().to_ascii_lowercase();
        match text.as_str() {
            "false" | "off" | "no" | "0" => return false,
            "" | "true" | "on" | "yes" | "1" => {}
            _ => self.warn(format!("\"{}\" is neither true nor false; option \"{}\" is on", self.text(), self.name())),
        }
        true
    }

    /// A number within `range`. As in uWSGI, what stands behind its digits is left out; here with a warning.
    ///
    /// # Errors
    ///
    /// When it does not begin with a digit, or is out of range.
    pub fn number(&mut self, range: RangeInclusive<u64>) -> Result<u64, Diagnostic> {
        let text = self.text();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(digits);
        let Ok(number) = digits.parse::<u64>() else {
            return Err(self.invalid("it must be a number"));
        };
        if !range.contains(&number) {
            return Err(match (*range.start(), *range.end()) {
                (start, u64::MAX) => self.invalid(format!("it must be {start} or more")),
                (start, end) => self.invalid(format!("it must be from {start} to {end}")),
            });
        }
        if !rest.is_empty() {
            self.warn(format!("\"{text}\" is not a number; option \"{}\" is {number}", self.name()));
        }
        Ok(number)
    }

    /// A number that a `u32` holds.
    ///
    /// # Errors
    ///
    /// As [`Self::number`].
    pub fn small_number(&mut self, range: RangeInclusive<u32>) -> Result<u32, Diagnostic> {
        let number = self.number(u64::from(*range.start())..=u64::from(*range.end()))?;
        Ok(u32::try_from(number).unwrap_or(*range.end()))
    }

    /// A mode in octal digits.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn mode(&self) -> Result<u32, Diagnostic> {
        let text = self.text();
        let mode =
            if text.bytes().all(|byte| byte.is_ascii_digit()) { u32::from_str_radix(text, 8).ok() } else { None };
        mode.filter(|mode| *mode <= 0o7777).ok_or_else(|| self.invalid("it must be an octal mode, as in 660"))
    }

    /// `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// When there is no `=` or nothing before it.
    pub fn pair(&self) -> Result<(String, String), Diagnostic> {
        match self.text().split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(self.invalid("it must be NAME=VALUE")),
        }
    }

    /// The error for a value that cannot be taken.
    pub fn invalid(&self, reason: impl Into<String>) -> Diagnostic {
        let message = format!("invalid value \"{}\" of option \"{}\"", self.text(), self.name());
        Diagnostic::error(self.span(), message).with_hint(reason)
    }

    /// Says something about the value that is no error.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(self.span(), message));
    }

    /// Says that what the value asks for is not built yet: a warning, or under `strict` an error.
    pub fn not_yet(&mut self, what: &str) {
        self.diagnostics.push(graded(self.span(), format!("{what} is not supported by daemun yet"), self.is_strict));
    }

    /// Says that the option does nothing here.
    pub fn notice(&mut self, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::notice(self.setting.key.span, message));
    }
}
