//! Typed reading of a directive's words, with nginx's words for what is wrong.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::quantity::{parse_milliseconds, parse_offset, parse_seconds, parse_size};
use crate::source::Span;
use crate::tree::{Node, Word};

/// The words of one directive. Positions count from 0, the name left out.
///
/// A setter may read any position that its directive's arity promises; a position beyond is an error, not a panic.
#[derive(Debug)]
pub struct Arguments<'a> {
    node: &'a Node,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Arguments<'a> {
    /// The words of `node`; warnings go to `diagnostics`.
    pub fn new(node: &'a Node, diagnostics: &'a mut Vec<Diagnostic>) -> Self {
        Self { node, diagnostics }
    }

    /// The directive's name.
    pub fn name(&self) -> &'a str {
        &self.node.name.text
    }

    /// Where the directive's name stands.
    pub fn span(&self) -> Span {
        self.node.name.span
    }

    /// The directive as it was written.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Number of words, the name left out.
    pub fn len(&self) -> usize {
        self.node.args.len()
    }

    /// Whether there are no words but the name.
    pub fn is_empty(&self) -> bool {
        self.node.args.is_empty()
    }

    /// The words, the name left out.
    pub fn words(&self) -> &'a [Word] {
        &self.node.args
    }

    /// The directives of its block; `None` without a block.
    pub fn block(&self) -> Option<&'a [Node]> {
        self.node.block.as_ref().map(|block| block.nodes.as_slice())
    }

    /// The word at `position`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn word(&self, position: usize) -> Result<&'a Word, ArgumentError> {
        self.node.args.get(position).ok_or_else(|| {
            ArgumentError::new(None, format!("invalid number of arguments in \"{}\" directive", self.name()))
        })
    }

    /// The text of the word at `position`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn text(&self, position: usize) -> Result<&'a str, ArgumentError> {
        self.word(position).map(|word| word.text.as_str())
    }

    /// The word at `position` as a path, as it was written.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn path(&self, position: usize) -> Result<&'a Path, ArgumentError> {
        self.text(position).map(Path::new)
    }

    /// A parameter `name=value`: its two halves. `None` when the word has no `=`.
    pub fn parameter(&self, position: usize) -> Option<(&'a str, &'a str)> {
        self.node.args.get(position)?.text.split_once('=')
    }

    /// `on` or `off`, in either case of letters.
    ///
    /// # Errors
    ///
    /// For any other word.
    pub fn flag(&self, position: usize) -> Result<bool, ArgumentError> {
        let text = self.text(position)?;
        if text.eq_ignore_ascii_case("on") {
            return Ok(true);
        }
        if text.eq_ignore_ascii_case("off") {
            return Ok(false);
        }
        let message =
            format!("invalid value \"{text}\" in \"{}\" directive, it must be \"on\" or \"off\"", self.name());
        Err(ArgumentError::new(Some(position), message))
    }

    /// A decimal number within `range`.
    ///
    /// # Errors
    ///
    /// When it is no number, or out of range.
    pub fn number(&self, position: usize, range: RangeInclusive<u64>) -> Result<u64, ArgumentError> {
        let text = self.text(position)?;
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        let Some(number) = number else {
            let message = format!("\"{}\" directive invalid number", self.name());
            return Err(ArgumentError::new(Some(position), message).with_hint(format!("\"{text}\" is not a number")));
        };
        let bound = if number < *range.start() {
            format!("equal to or greater than {}", range.start())
        } else if number > *range.end() {
            format!("equal to or less than {}", range.end())
        } else {
            return Ok(number);
        };
        let message = format!("\"{}\" directive value must be {bound}", self.name());
        Err(ArgumentError::new(Some(position), message))
    }

    /// A size in memory, in bytes: a number with `k` or `m`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn size(&self, position: usize) -> Result<u64, ArgumentError> {
        self.quantity(position, parse_size, "a size: a number, alone (bytes) or with k or m, as in 8k")
    }

    /// A size or place in a file or body, in bytes: a number with `k`, `m` or `g`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn offset(&self, position: usize) -> Result<u64, ArgumentError> {
        self.quantity(position, parse_offset, "a size: a number, alone (bytes) or with k, m or g, as in 75m")
    }

    /// A time to the millisecond: `500ms`, `65`, `1m30s`, `1h 30m`; a bare number counts seconds.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn time(&self, position: usize) -> Result<Duration, ArgumentError> {
        self.quantity(
            position,
            parse_milliseconds,
            "a time: numbers with w, d, h, m, s or ms, as in 1m30s; alone seconds",
        )
    }

    /// A time in whole seconds, years and months allowed: `30d`, `1y`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn seconds(&self, position: usize) -> Result<Duration, ArgumentError> {
        self.quantity(position, parse_seconds, "a time: numbers with y, M, w, d, h, m or s, as in 30d; alone seconds")
    }

    /// One word out of a list, in either case of letters.
    ///
    /// # Errors
    ///
    /// When it is not in the list; the nearest of the list is suggested.
    pub fn choice<T: Copy>(&self, position: usize, choices: &[(&str, T)]) -> Result<T, ArgumentError> {
        let text = self.text(position)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(*value);
        }
        let names = || choices.iter().map(|(name, _)| *name);
        let hint = match nearest(text, names()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("it must be one of: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Err(self.invalid_value(position).with_hint(hint))
    }

    /// The error `invalid value "X" in "NAME" directive`, for a setter's own checks.
    pub fn invalid_value(&self, position: usize) -> ArgumentError {
        let text = self.text(position).unwrap_or_default();
        ArgumentError::new(Some(position), format!("invalid value \"{text}\" in \"{}\" directive", self.name()))
    }

    /// The error `invalid parameter "X"`, nginx's words for an option of a directive that it does not know.
    pub fn invalid_parameter(&self, position: usize) -> ArgumentError {
        let text = self.text(position).unwrap_or_default();
        ArgumentError::new(Some(position), format!("invalid parameter \"{text}\""))
    }

    /// The error for a directive that stands twice in one block.
    pub fn duplicate(&self) -> ArgumentError {
        ArgumentError::new(None, format!("\"{}\" directive is duplicate", self.name()))
    }

    /// Puts `value` into a setting that may be set once only in one block.
    ///
    /// # Errors
    ///
    /// [`Self::duplicate`] when it has been set.
    pub fn set_once<T>(&self, setting: &mut Option<T>, value: T) -> Result<(), ArgumentError> {
        if setting.is_some() {
            return Err(self.duplicate());
        }
        *setting = Some(value);
        Ok(())
    }

    /// Says something about the directive that is no error.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(self.node.name.span, message));
    }

    /// Says something about one word that is no error.
    pub fn warn_at(&mut self, position: usize, message: impl Into<String>) {
        let span = self.node.args.get(position).map_or(self.node.name.span, |word| word.span);
        self.diagnostics.push(Diagnostic::warning(span, message));
    }

    /// Takes a message of any kind.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Where messages go, for a setter that walks its block itself.
    pub fn diagnostics(&mut self) -> &mut Vec<Diagnostic> {
        self.diagnostics
    }

    fn quantity<T>(&self, position: usize, parse: fn(&str) -> Option<T>, wanted: &str) -> Result<T, ArgumentError> {
        let text = self.text(position)?;
        parse(text).ok_or_else(|| {
            ArgumentError::new(Some(position), format!("\"{}\" directive invalid value", self.name()))
                .with_hint(format!("\"{text}\" is not {wanted}"))
        })
    }
}

/// Why a directive's words were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ArgumentError {
    /// Position of the word at fault; `None` for the directive as a whole.
    pub argument: Option<usize>,
    /// What is wrong, in nginx's words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ArgumentError {
    /// An error at the word at position `argument`, or at the directive's name.
    pub fn new(argument: Option<usize>, message: impl Into<String>) -> Self {
        Self { argument, message: message.into(), hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error with its place in `node`.
    pub fn into_diagnostic(self, node: &Node) -> Diagnostic {
        let word = self.argument.and_then(|position| node.args.get(position));
        let span = word.map_or(node.name.span, |word| word.span);
        Diagnostic { hint: self.hint, ..Diagnostic::error(span, self.message) }
    }
}
