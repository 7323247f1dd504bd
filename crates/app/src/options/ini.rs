//! ini text to settings, line by line as uWSGI reads it.

use daemun_conf::{Diagnostic, FileId, Span, Word};

use crate::options::format::Section;
use crate::options::known::{is_free_text, known};
use crate::options::setting::Setting;

/// Reads the settings of the section `wanted`.
pub(crate) fn read_section(file: FileId, text: &str, wanted: &str, diagnostics: &mut Vec<Diagnostic>) -> Section {
    let mut section = Section::default();
    let mut current: Option<String> = None;
    for (number, raw) in (1..).zip(text.trim_start_matches('\u{feff}').split('\n')) {
        let line = Line { file, number, raw };
        let content = raw.trim();
        if content.is_empty() || content.starts_with([';', '#']) {
            continue;
        }
        if let Some(header) = content.strip_prefix('[') {
            let name = header_name(header, &line, diagnostics);
            section.is_found |= name == wanted;
            section.names.push(name.clone());
            current = Some(name);
            continue;
        }
        match &current {
            Some(name) if name == wanted => section.settings.extend(line.setting(diagnostics)),
            Some(_) => {}
            None => {
                let message = format!("this line stands before any section and is not read: {content}");
                let hint = format!("put [{wanted}] above it");
                diagnostics.push(Diagnostic::warning(line.span(0, raw.len()), message).with_hint(hint));
            }
        }
    }
    section
}

fn header_name(header: &str, line: &Line<'_>, diagnostics: &mut Vec<Diagnostic>) -> String {
    let header = line.without_comment(header, "", diagnostics);
    match header.trim_end().strip_suffix(']') {
        Some(name) => name.to_owned(),
        None => {
            let span = line.span(0, line.raw.len());
            diagnostics.push(Diagnostic::error(span, format!("section \"[{header}\" is not closed by \"]\"")));
            header.trim_end().to_owned()
        }
    }
}

struct Line<'a> {
    file: FileId,
    number: u32,
    raw: &'a str,
}

impl Line<'_> {
    /// `key = value`, or a bare `key`.
    fn setting(&self, diagnostics: &mut Vec<Diagnostic>) -> Option<Setting> {
        let raw = self.raw;
        let equals = raw.find('=');
        let comment = comment_start(raw);
        let key_end = match (equals, comment) {
            (Some(equals), Some(comment)) if comment < equals => comment,
            (Some(equals), _) => equals,
            (None, comment) => comment.unwrap_or(raw.len()),
        };
        let key = self.word(0, raw.get(..key_end)?)?;
        if equals != Some(key_end) {
            // Nothing but a name, and perhaps a comment behind it.
            self.without_comment(raw, &key.text, diagnostics);
            if key.text.contains(char::is_whitespace) && known(&key.text).is_none() {
                let error = Diagnostic::error(key.span, format!("\"{}\" is no option", key.text));
                diagnostics.push(error.with_hint("is a \"=\" missing?"));
                return None;
            }
            return Some(Setting::new(key, None));
        }
        let behind = raw.get(key_end + 1..)?;
        let value = self.without_comment(behind, &key.text, diagnostics);
        Some(Setting::new(key, self.word(key_end + 1, value)))
    }

    /// The text without a comment behind it, which uWSGI would take for part of the value.
    fn without_comment<'t>(&self, text: &'t str, key: &str, diagnostics: &mut Vec<Diagnostic>) -> &'t str {
        let Some(start) = comment_start(text).filter(|_| !is_free_text(key)) else {
            return text;
        };
        let (value, comment) = text.split_at(start);
        let at = self.raw.len() - text.len() + start;
        let message = format!("the comment \"{}\" is taken off", comment.trim());
        let hint = "uWSGI would take it for part of the value; put it on a line of its own";
        diagnostics.push(Diagnostic::warning(self.span(at, comment.trim_end().len()), message).with_hint(hint));
        value
    }

    /// The trimmed text at `offset` as a word; `None` if nothing is left.
    fn word(&self, offset: usize, text: &str) -> Option<Word> {
        let trimmed = text.trim();
        let start = offset + (text.len() - text.trim_start().len());
        (!trimmed.is_empty()).then(|| Word {
            text: trimmed.to_owned(),
            span: self.span(start, trimmed.len()),
            quoted: false,
        })
    }

    /// The place of `length` bytes from `offset` on.
    fn span(&self, offset: usize, length: usize) -> Span {
        let count = |text: Option<&str>| u32::try_from(text.unwrap_or_default().chars().count()).unwrap_or(u32::MAX);
        let column = count(self.raw.get(..offset)) + 1;
        Span { file: self.file, line: self.number, column, length: count(self.raw.get(offset..offset + length)).max(1) }
    }
}

/// Where a `#` or `;` stands behind a blank.
fn comment_start(text: &str) -> Option<usize> {
    let mut is_behind_blank = false;
    for (index, c) in text.char_indices() {
        if is_behind_blank && matches!(c, '#' | ';') {
            return Some(index);
        }
        is_behind_blank = matches!(c, ' ' | '\t');
    }
    None
}
