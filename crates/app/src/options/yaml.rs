//! YAML to settings: a mapping of sections, each a mapping of names to a value or to a list of values.

use daemun_conf::{Diagnostic, FileId, Span, Word};
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use crate::options::format::Section;
use crate::options::setting::Setting;

/// Reads the settings of the section `wanted`.
pub(crate) fn read_section(file: FileId, text: &str, wanted: &str, diagnostics: &mut Vec<Diagnostic>) -> Section {
    let mut reader = Reader { file, wanted, open: Vec::new(), section: Section::default(), diagnostics };
    let masked = masked(text);
    let mut parser = Parser::new_from_str(&masked);
    loop {
        match parser.next_token() {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, mark)) => {
                if !reader.take(event, &mark) {
                    break;
                }
            }
            Err(error) => {
                let span = reader.span(error.marker(), 1);
                reader.diagnostics.push(Diagnostic::error(span, format!("this is not YAML: {}", error.info())));
                break;
            }
        }
    }
    reader.section
}

/// uWSGI puts in what `%d` and the like stand for before it reads the file. In YAML no value begins with these two, so something
/// else stands for them while it is read; a `%` that begins a line is YAML's own.
fn masked(text: &str) -> String {
    let mask = |line: &str| {
        let (start, rest) = line.split_at(usize::from(line.starts_with('%')));
        format!("{start}{}", rest.replace('%', PERCENT).replace('@', AT))
    };
    text.split_inclusive('\n').map(mask).collect()
}

fn unmasked(text: &str) -> String {
    text.replace(PERCENT, "%").replace(AT, "@")
}

/// Characters that Unicode leaves to private use.
const PERCENT: &str = "\u{f0025}";
const AT: &str = "\u{f0040}";

struct Reader<'a> {
    file: FileId,
    wanted: &'a str,
    /// The collections that are open, the outermost first.
    open: Vec<Collection>,
    section: Section,
    diagnostics: &'a mut Vec<Diagnostic>,
}

struct Collection {
    is_list: bool,
    /// Of a mapping: the key whose value comes next.
    key: Option<Word>,
}

impl Reader<'_> {
    /// Takes what comes next; `false` where nothing more can be read.
    fn take(&mut self, event: Event, mark: &Marker) -> bool {
        match event {
            Event::Scalar(text, style, ..) => {
                let span = self.span(mark, text.chars().count());
                let is_null = style == TScalarStyle::Plain && matches!(text.as_str(), "" | "~" | "null");
                let text = if is_null { String::new() } else { unmasked(&text) };
                self.scalar(Word { text, span, quoted: style != TScalarStyle::Plain });
            }
            Event::MappingStart(..) => return self.begin(false, mark),
            Event::SequenceStart(..) => return self.begin(true, mark),
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop();
                self.value_is_over();
            }
            Event::Alias(_) => {
                self.error(mark, "references (&, *) have no meaning in a file of options".to_owned());
                self.value_is_over();
            }
            _ => {}
        }
        true
    }

    fn begin(&mut self, is_list: bool, mark: &Marker) -> bool {
        if self.open.len() >= DEPTH_MAX {
            self.error(mark, format!("more than {DEPTH_MAX} collections lie in one another"));
            return false;
        }
        if self.is_in_section() {
            match self.open.as_slice() {
                [_] if is_list => self.error(mark, format!("section \"{}\" must be a mapping", self.wanted)),
                [_] => self.section.is_found = true,
                [_, _] if is_list => {}
                _ => self.error(mark, "an option has a value or a list of values, nothing deeper".to_owned()),
            }
        }
        self.open.push(Collection { is_list, key: None });
        true
    }

    fn scalar(&mut self, word: Word) {
        let depth = self.open.len();
        let Some(collection) = self.open.last_mut() else { return };
        if !collection.is_list && collection.key.is_none() {
            if depth == 1 {
                self.section.names.push(word.text.clone());
            }
            collection.key = Some(word);
            return;
        }
        if self.is_in_section() {
            let key = match self.open.as_slice() {
                [_, Collection { is_list: false, key: Some(key) }]
                | [_, Collection { is_list: false, key: Some(key) }, Collection { is_list: true, .. }] => {
                    Some(key.clone())
                }
                _ => None,
            };
            self.section.settings.extend(key.map(|key| Setting::new(key, Some(word))));
        }
        self.value_is_over();
    }

    fn value_is_over(&mut self) {
        if let Some(collection) = self.open.last_mut() {
            collection.key = None;
        }
    }

    fn is_in_section(&self) -> bool {
        let key = self.open.first().and_then(|sections| sections.key.as_ref());
        key.is_some_and(|key| key.text == self.wanted)
    }

    fn error(&mut self, mark: &Marker, message: String) {
        let span = self.span(mark, 1);
        self.diagnostics.push(Diagnostic::error(span, message));
    }

    fn span(&self, mark: &Marker, length: usize) -> Span {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let column = number(mark.col()).saturating_add(1);
        Span { file: self.file, line: number(mark.line()), column, length: number(length).max(1) }
    }
}

/// Most collections in one another; an option's list lies in two.
const DEPTH_MAX: usize = 64;
