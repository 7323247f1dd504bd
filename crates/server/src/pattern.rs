//! Regular expressions of the configuration: compiled once, their named groups declared as variables.

mod example;

use std::borrow::Cow;

use daemun_conf::Diagnostic;
use fancy_regex::Regex;

use crate::request::Request;
use crate::variable::{Captures, TemplateError, VariableId, declare_captured};

pub use example::example_path;

/// A compiled expression of the configuration.
#[derive(Clone)]
pub struct Pattern {
    expression: Expression,
    /// Number of each named group, and its variable.
    named: Vec<(usize, VariableId)>,
    /// Whether it has groups at all.
    has_groups: bool,
}

/// A compiled expression, wherever it is from.
#[derive(Clone)]
pub struct Expression {
    regex: Regex,
}

/// Why a text is no expression of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It does not compile.
    #[error("invalid regular expression \"{pattern}\": {message}")]
    Syntax {
        /// As written.
        pattern: String,
        /// What the compiler says.
        message: String,
    },
    /// A named group has the name of one of the program's variables.
    #[error(transparent)]
    Name(#[from] TemplateError),
}

impl PatternError {
    /// The error at a place of the configuration.
    #[must_use]
    pub fn at(&self, span: daemun_conf::Span) -> Diagnostic {
        Diagnostic::error(span, self.to_string())
    }
}

impl Pattern {
    /// Compiles `text`; letters match in either case with `is_caseless`.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn new(text: &str, is_caseless: bool) -> Result<Self, PatternError> {
        let expression = Expression::new(text, is_caseless)?;
        let mut named = Vec::new();
        for (number, name) in expression.named_groups() {
            named.push((number, declare_captured(name)?));
        }
        let has_groups = expression.regex.captures_len() > 1;
        Ok(Self { expression, named, has_groups })
    }

    /// The expression as it is compiled: letters of either case begin with `(?i)`.
    #[must_use]
    pub fn text(&self) -> &str {
        self.expression.regex.as_str()
    }

    /// How many groups it has, the whole match not counted.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.expression.regex.captures_len().saturating_sub(1)
    }

    /// Whether `subject` matches, groups left alone.
    #[must_use]
    pub fn is_match(&self, subject: &[u8]) -> bool {
        self.expression.is_match(subject)
    }

    /// The groups of a match with `subject`.
    #[must_use]
    pub fn captures(&self, subject: &[u8]) -> Option<Captures> {
        self.expression.captures(subject)
    }

    /// Whether `subject` matches; then `$1` and the named groups are those of this match.
    pub fn test(&self, request: &Request, subject: &[u8]) -> bool {
        if !self.has_groups {
            let is_match = self.is_match(subject);
            if is_match {
                request.values.forget_captures();
            }
            return is_match;
        }
        let Some(captures) = self.captures(subject) else { return false };
        for (number, variable) in &self.named {
            request.values.assign(*variable, captures.group(*number).unwrap_or_default().to_vec());
        }
        request.values.remember(captures);
        true
    }
}

impl Expression {
    /// Compiles `text`; letters match in either case with `is_caseless`.
    ///
    /// # Errors
    /// [`PatternError::Syntax`].
    pub fn new(text: &str, is_caseless: bool) -> Result<Self, PatternError> {
        let plain = without_quotes(text);
        let with_flags = if is_caseless { format!("(?i){plain}") } else { plain.into_owned() };
        let regex = Regex::new(&with_flags)
            .map_err(|error| PatternError::Syntax { pattern: text.to_owned(), message: error.to_string() })?;
        Ok(Self { regex })
    }

    /// Numbers and names of the groups that have a name.
    pub fn named_groups(&self) -> impl Iterator<Item = (usize, &str)> {
        self.regex.capture_names().enumerate().filter_map(|(number, name)| Some((number, name?)))
    }

    /// Whether `subject` matches.
    #[must_use]
    pub fn is_match(&self, subject: &[u8]) -> bool {
        match std::str::from_utf8(subject) {
            Ok(text) => self.regex.is_match(text).unwrap_or(false),
            Err(_) => self.regex.is_match(&latin(subject)).unwrap_or(false),
        }
    }

    /// The groups of a match with `subject`.
    #[must_use]
    pub fn captures(&self, subject: &[u8]) -> Option<Captures> {
        let groups = match std::str::from_utf8(subject) {
            Ok(text) => self.groups(text, |at| at)?,
            Err(_) => {
                let text = latin(subject);
                self.groups(&text, |at| text.get(..at).map_or(0, |before| before.chars().count()))?
            }
        };
        Some(Captures { subject: subject.to_vec(), groups })
    }

    fn groups(&self, text: &str, place: impl Fn(usize) -> usize) -> Option<Vec<Option<(usize, usize)>>> {
        let found = self.regex.captures(text).ok()??;
        Some(found.iter().map(|group| group.map(|group| (place(group.start()), place(group.end())))).collect())
    }
}

/// `\Q...\E` of PCRE, which the compiler does not know, as the same text escaped character by character.
fn without_quotes(text: &str) -> Cow<'_, str> {
    if !text.contains("\\Q") && !text.contains("\\E") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let Some(escaped) = escape[1..].chars().next() else {
            rest = escape;
            break;
        };
        rest = &escape[1 + escaped.len_utf8()..];
        match escaped {
            'Q' => {
                let (quoted, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                for character in quoted.chars() {
                    if r"\.+*?()|[]{}^$#&-~".contains(character) {
                        out.push('\\');
                    }
                    out.push(character);
                }
                rest = after;
            }
            'E' => {} // Without its beginning it means nothing.
            _ => {
                out.push('\\');
                out.push(escaped);
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// One character for each octet: how a text that is no UTF-8 is matched octet by octet.
fn latin(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_octets_that_are_no_text() {
        let pattern = Pattern::new("^/(.)/(x)?(.*)$", false).expect("valid");
        let captures = pattern.captures(b"/\xff/ab\xfe").expect("matches");
        assert_eq!(captures.group(1), Some(&b"\xff"[..]));
        assert_eq!(captures.group(2), None);
        assert_eq!(captures.group(3), Some(&b"ab\xfe"[..]));
        assert!(pattern.captures("/é/".as_bytes()).is_some());
    }

    #[test]
    fn quoted_text_means_itself() {
        for (text, matching, other) in [
            (r"^\Qa.b*\E$", "a.b*", "axb*"),
            (r"^\Q(\d)", "(\\d)x", "(1)x"),
            (r"^\d\E+\Q.\E\d$", "12.3", "12x3"),
            (r"^[\Q]-\E]$", "-", "a"),
            (r"^\\Q$", "\\Q", "Q"),
            (r"^\Q a\E$", " a", "a"),
        ] {
            let pattern = Pattern::new(text, false).expect("valid");
            assert!(pattern.is_match(matching.as_bytes()), "{text} {matching}");
            assert!(!pattern.is_match(other.as_bytes()), "{text} {other}");
        }
        assert!(Pattern::new(r"\Q[\E", true).expect("valid").is_match(b"["));
    }

    #[test]
    fn a_group_may_not_take_a_variable_of_the_program() {
        assert!(matches!(Pattern::new("(?<host>.)", false), Err(PatternError::Name(_))));
        assert!(matches!(Pattern::new("(", false), Err(PatternError::Syntax { .. })));
        assert!(Pattern::new("ABC", true).expect("valid").is_match(b"abc"));
    }
}
