//! What the reader has to say about a configuration: one message, its place, and what to do.

use std::fmt::Write;

use crate::source::{SourceKind, Sources, Span};

/// How bad it is, in nginx's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Taken, but probably not what was meant.
    Warning,
    /// The configuration is not taken.
    Error,
}

impl Severity {
    /// The level as nginx's log writes it: `emerg`, `warn`, `notice`.
    pub fn level(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warn",
            Self::Error => "emerg",
        }
    }
}

/// One message about the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The word it speaks of; `None` when it speaks of no place (the main file cannot be opened).
    pub span: Option<Span>,
    /// One sentence, lower case, without a full stop, in nginx's words where nginx has some.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span: Some(span), message: message.into(), hint: None }
    }

    /// A warning at `span`.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// A notice at `span`.
    pub fn notice(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Notice, ..Self::error(span, message) }
    }

    /// An error that no place can be given for.
    pub fn error_without_place(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span: None, message: message.into(), hint: None }
    }

    /// The same at another severity.
    #[must_use]
    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with `did you mean "NAME"?`, if there is a name.
    #[must_use]
    pub fn with_suggestion(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.with_hint(format!("did you mean \"{name}\"?")),
            None => self,
        }
    }

    /// Whether the configuration is refused because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The first line alone, in nginx's form: `[emerg] MESSAGE in FILE:LINE`.
    pub fn headline(&self, sources: &Sources) -> String {
        format!("[{}] {}", self.severity.level(), self.sentence(sources))
    }

    /// The first line without its level: `MESSAGE in FILE:LINE`.
    pub fn sentence(&self, sources: &Sources) -> String {
        let mut line = printable(&self.message);
        if let Some((span, source)) = self.span.and_then(|span| Some((span, sources.source(span.file)?))) {
            // Writing to a String cannot fail.
            let _ = match source.kind() {
                SourceKind::File => write!(line, " in {}:{}", source.name(), span.line),
                SourceKind::CommandLine => write!(line, " in {}", source.name()),
            };
        }
        line
    }

    /// The whole message: nginx's line, the line of the configuration with the word marked, the hint.
    ///
    /// Every line ends with a line feed.
    pub fn render(&self, sources: &Sources) -> String {
        let mut out = self.headline(sources);
        out.push('\n');
        if let Some(span) = self.span {
            render_line(span, sources, &mut out);
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "  hint: {}", printable(hint));
        }
        out
    }
}

/// All messages, rendered in their order.
pub fn render_all<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>, sources: &Sources) -> String {
    diagnostics.into_iter().map(|diagnostic| diagnostic.render(sources)).collect()
}

fn render_line(span: Span, sources: &Sources, out: &mut String) {
    let Some(line) = sources.source(span.file).and_then(|source| source.line(span.line)) else {
        return;
    };
    let place = format!("{}:{}", span.line, span.column);
    let before = (span.column as usize).saturating_sub(1);
    let length = line.chars().count().saturating_sub(before).min(span.length as usize).max(1);
    // Tabs are copied, so that the mark stands under the word whatever width they are shown with.
    let blank: String = line
        .chars()
        .chain(std::iter::repeat(' '))
        .take(before)
        .flat_map(|c| {
            if c == '\t' {
                ['\t', '\0']
            } else if is_wide(c) {
                [' ', ' ']
            } else {
                [' ', '\0']
            }
        })
        .filter(|&c| c != '\0')
        .collect();
    let wide = line.chars().skip(before).take(length).filter(|&c| is_wide(c)).count();
    let _ = writeln!(out, "{}", format!("  {place} | {}", printable(&line)).trim_end());
    let _ = writeln!(out, "  {:width$} | {blank}{}", "", "^".repeat(length + wide), width = place.len());
}

/// Whether a terminal gives the character two columns (Hangul, Han, kana, full-width forms).
fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}')
}

/// Takes away what could steer a terminal; tabs stay.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
