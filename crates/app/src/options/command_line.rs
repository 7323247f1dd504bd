//! Words of a command line to settings, as getopt_long takes them apart.

use daemun_conf::{Diagnostic, FileId, Span, Word, nearest};

use crate::options::known::{argument_of, known_names, long_name};
use crate::options::setting::Setting;
use crate::options::table::Argument;

/// What a command line is made of, options first, as uWSGI takes them.
pub(crate) struct CommandLine {
    pub settings: Vec<Setting>,
    pub operands: Vec<Word>,
}

/// The text that messages show for these words.
pub(crate) fn text_of(arguments: &[String]) -> String {
    arguments.join(" ")
}

/// Takes the words apart. `file` is the source with [`text_of`] them.
pub(crate) fn parse(file: FileId, arguments: &[String], diagnostics: &mut Vec<Diagnostic>) -> CommandLine {
    let mut words = Vec::with_capacity(arguments.len());
    let mut column = 1_u32;
    for argument in arguments {
        let length = u32::try_from(argument.chars().count()).unwrap_or(u32::MAX);
        let span = Span { file, line: 1, column, length: length.max(1) };
        words.push(Word { text: argument.clone(), span, quoted: false });
        column = column.saturating_add(length).saturating_add(1);
    }
    let mut parser = Parser {
        words: words.into_iter(),
        line: CommandLine { settings: Vec::new(), operands: Vec::new() },
        diagnostics,
    };
    parser.run();
    parser.line
}

struct Parser<'a> {
    words: std::vec::IntoIter<Word>,
    line: CommandLine,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Parser<'_> {
    fn run(&mut self) {
        while let Some(word) = self.words.next() {
            if word.text == "--" {
                self.line.operands.extend(self.words.by_ref());
            } else if let Some(name) = word.text.strip_prefix("--") {
                self.long(&word, name);
            } else if word.text.len() > 1 && word.text.starts_with('-') {
                self.short(&word);
            } else {
                self.line.operands.push(word);
            }
        }
    }

    /// `--name`, `--name value`, `--name=value`.
    fn long(&mut self, word: &Word, rest: &str) {
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(part(word, 2 + name.len() + 1, value))),
            None => (rest, None),
        };
        let Some(argument) = argument_of(name) else {
            let error = Diagnostic::error(word.span, format!("unknown option \"--{name}\""));
            self.diagnostics.push(error.with_suggestion(nearest(name, known_names())));
            // The word behind it is most probably its value, not something to complain of too.
            let next = self.words.as_slice().first();
            if value.is_none() && next.is_some_and(|next| !next.text.starts_with('-') && !next.text.ends_with(".ini")) {
                self.words.next();
            }
            return;
        };
        let value = if argument == Argument::Value && value.is_none() { self.next_value(word) } else { value };
        if argument == Argument::Value && value.is_none() {
            return;
        }
        self.line.settings.push(Setting::new(part(word, 2, name), value));
    }

    /// `-M`, `-p 4`, `-p4`, `-Mp4`.
    fn short(&mut self, word: &Word) {
        for (index, letter) in word.text.char_indices().skip(1) {
            let Some(name) = long_name(letter) else {
                self.diagnostics.push(Diagnostic::error(word.span, format!("unknown option \"-{letter}\"")));
                return;
            };
            let key = Word { text: name.to_owned(), ..part(word, index, &letter.to_string()) };
            let behind = word.text.get(index + letter.len_utf8()..).unwrap_or_default();
            let attached = (!behind.is_empty()).then(|| part(word, index + letter.len_utf8(), behind));
            match argument_of(name) {
                Some(Argument::Flag) | None => self.line.settings.push(Setting::new(key, None)),
                Some(Argument::Optional) => {
                    self.line.settings.push(Setting::new(key, attached));
                    return;
                }
                Some(Argument::Value) => {
                    if let Some(value) = attached.or_else(|| self.next_value(word)) {
                        self.line.settings.push(Setting::new(key, Some(value)));
                    }
                    return;
                }
            }
        }
    }

    fn next_value(&mut self, word: &Word) -> Option<Word> {
        let value = self.words.next();
        if value.is_none() {
            self.diagnostics.push(Diagnostic::error(word.span, format!("option \"{}\" needs a value", word.text)));
        }
        value
    }
}

/// The part of `word` that begins at byte `offset`.
fn part(word: &Word, offset: usize, text: &str) -> Word {
    let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let column = word.span.column.saturating_add(count(word.text.get(..offset).unwrap_or_default()));
    Word { text: text.to_owned(), span: Span { column, length: count(text).max(1), ..word.span }, quoted: false }
}
