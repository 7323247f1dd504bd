//! JSON to settings: an object of sections, each an object of names with a value or a list of values.

use std::fmt;

use daemun_conf::{Diagnostic, FileId, Span, Word};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::options::format::Section;
use crate::options::setting::Setting;

/// Reads the settings of the section `wanted`.
pub(crate) fn read_section(file: FileId, text: &str, wanted: &str, diagnostics: &mut Vec<Diagnostic>) -> Section {
    let mut places = Places { file, text, at: 0 };
    let sections = match serde_json::from_str(text) {
        Ok(Node::Object(sections)) => sections,
        Ok(_) => {
            diagnostics.push(Diagnostic::error(places.span(0, 1), "the file must hold an object of sections"));
            return Section::default();
        }
        Err(error) => {
            let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).max(1);
            let span = Span { file, line: number(error.line()), column: number(error.column()), length: 1 };
            diagnostics.push(Diagnostic::error(span, format!("this is not JSON: {error}")));
            return Section::default();
        }
    };
    let mut section = Section::default();
    for (name, content) in sections {
        let span = places.of(&name);
        section.names.push(name.clone());
        match content {
            _ if name != wanted => {}
            Node::Object(options) => {
                section.is_found = true;
                for (name, value) in options {
                    take(&name, value, &mut places, &mut section, diagnostics);
                }
            }
            _ => diagnostics.push(Diagnostic::error(span, format!("section \"{wanted}\" must be an object"))),
        }
    }
    section
}

fn take(name: &str, value: Node, places: &mut Places<'_>, section: &mut Section, diagnostics: &mut Vec<Diagnostic>) {
    let key = Word { text: name.to_owned(), span: places.of(name), quoted: true };
    let values = match value {
        Node::List(values) => values,
        value => vec![value],
    };
    for value in values {
        if let Node::Value(text) = value {
            let span = places.of(&text);
            let word = Word { text, span, quoted: true };
            section.settings.push(Setting::new(key.clone(), Some(word)));
        } else {
            let message = format!("option \"{name}\" has a value or a list of values, nothing deeper");
            diagnostics.push(Diagnostic::error(key.span, message));
        }
    }
}

/// JSON in the order in which it was written.
enum Node {
    /// As text: `true` is 1, `false` and `null` are 0, as in uWSGI.
    Value(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Value(u8::from(value).to_string()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Value("0".to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Value(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Value(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Value(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Value(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Node::Object(object))
    }
}

/// Finds the places of what was read, for messages: the parser does not tell them, the order of the text does.
struct Places<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
}

impl Places<'_> {
    /// Where `word` stands next. What was written with escapes is not found: it has the place of what stands before it.
    fn of(&mut self, word: &str) -> Span {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let found = rest.find(&format!("\"{word}\"")).map(|at| (at + 1, word.len()));
        match found {
            Some((at, length)) => {
                let start = self.at + at;
                self.at = start + length + 1;
                self.span(start, length)
            }
            None => self.span(self.at, 1),
        }
    }

    fn span(&self, start: usize, length: usize) -> Span {
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let count = |text: Option<&str>| u32::try_from(text.unwrap_or_default().chars().count()).unwrap_or(u32::MAX);
        let line = u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1);
        let column = count(before.get(line_start..)).saturating_add(1);
        Span { file: self.file, line, column, length: count(self.text.get(start..start + length)).max(1) }
    }
}
