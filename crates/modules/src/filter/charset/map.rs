//! `charset_map`: which octets of one character set are which of another, or of UTF-8.

use std::collections::HashMap;

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Node};

/// Characters of two sets, told both ways.
pub(super) struct CharsetMap {
    pub(super) from: Box<str>,
    pub(super) to: Box<str>,
    pub(super) table: Table,
}

/// What becomes of each octet. What no entry names is itself below 128, and a question mark above.
pub(super) enum Table {
    /// Both sets have one octet for a character.
    Octets { forth: Box<[u8; 256]>, back: Box<[u8; 256]> },
    /// The second set is UTF-8.
    Utf8 { forth: Box<[Sequence; 256]>, back: HashMap<char, u8> },
}

/// A character in UTF-8: three octets at most.
#[derive(Clone, Copy)]
pub(super) struct Sequence {
    octets: [u8; 3],
    length: u8,
}

impl Sequence {
    fn of(character: char) -> Option<Self> {
        let mut octets = [0; 3];
        let length = character.len_utf8();
        (length <= octets.len()).then(|| {
            character.encode_utf8(&mut octets);
            Self { octets, length: length as u8 }
        })
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

const UTF8: &str = "utf-8";

/// Reads `charset_map from to { 80 e282ac; ... }`; `earlier` are those read before.
pub(super) fn read(arguments: &mut Arguments<'_>, earlier: &[CharsetMap]) -> Result<CharsetMap, ArgumentError> {
    let (from, to) = (arguments.text(0)?, arguments.text(1)?);
    let error = |position, message: String| Err(ArgumentError::new(position, message));
    if from.eq_ignore_ascii_case(to) {
        return error(Some(1), format!("\"charset_map\" between the same charsets \"{from}\" and \"{to}\""));
    }
    if from.eq_ignore_ascii_case(UTF8) {
        let message = "\"charset_map\" with \"utf-8\" charset should be given in the second column";
        return error(Some(0), message.to_owned());
    }
    if earlier.iter().any(|map| map.is_between(from, to) || map.is_between(to, from)) {
        return error(None, format!("duplicate \"charset_map\" between \"{from}\" and \"{to}\""));
    }
    let mut table = if to.eq_ignore_ascii_case(UTF8) { Table::utf8() } else { Table::octets() };
    for node in arguments.block().unwrap_or_default() {
        if let Err(diagnostic) = table.read(node) {
            arguments.report(diagnostic);
        }
    }
    Ok(CharsetMap { from: from.into(), to: to.into(), table })
}

impl CharsetMap {
    fn is_between(&self, from: &str, to: &str) -> bool {
        self.is_for(from.as_bytes(), to.as_bytes()) == Some(Way::Forth)
    }

    /// Which way it leads from the one set to the other, if it does.
    pub(super) fn is_for(&self, from: &[u8], to: &[u8]) -> Option<Way> {
        let is = |name: &str, other: &[u8]| name.as_bytes().eq_ignore_ascii_case(other);
        if is(&self.from, from) && is(&self.to, to) {
            Some(Way::Forth)
        } else if is(&self.from, to) && is(&self.to, from) {
            Some(Way::Back)
        } else {
            None
        }
    }
}

/// A direction of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Forth,
    Back,
}

impl Table {
    fn octets() -> Self {
        let all = Box::new(std::array::from_fn(|octet| if octet < 128 { octet as u8 } else { b'?' }));
        Self::Octets { forth: all.clone(), back: all }
    }

    fn utf8() -> Self {
        let sequence = |octet: usize| {
            let octet = if octet < 128 { octet as u8 } else { b'?' };
            Sequence { octets: [octet, 0, 0], length: 1 }
        };
        Self::Utf8 { forth: Box::new(std::array::from_fn(sequence)), back: HashMap::new() }
    }

    /// Reads an entry: an octet in hexadecimal, and the other set's.
    fn read(&mut self, node: &Node) -> Result<(), Diagnostic> {
        let span = node.name.span;
        let [value] = node.args.as_slice() else {
            return Err(Diagnostic::error(span, "invalid parameters number"));
        };
        let invalid = |text: &str| Diagnostic::error(span, format!("invalid value \"{text}\""));
        let octet = |text: &str| {
            let is_hexadecimal = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(text, 16).ok().filter(|_| is_hexadecimal)
        };
        let source = octet(&node.name.text).ok_or_else(|| invalid(&node.name.text))?;
        match self {
            Self::Octets { forth, back } => {
                let target = octet(&value.text).ok_or_else(|| invalid(&value.text))?;
                forth[usize::from(source)] = target;
                back[usize::from(target)] = source;
            }
            Self::Utf8 { forth, back } => {
                let octets: Option<Vec<u8>> =
                    value.text.as_bytes().chunks(2).map(|pair| octet(std::str::from_utf8(pair).ok()?)).collect();
                let octets = octets.ok_or_else(|| invalid(&value.text))?;
                let mut characters = std::str::from_utf8(&octets).unwrap_or_default().chars();
                let (Some(character), None) = (characters.next(), characters.next()) else {
                    return Err(invalid(&value.text));
                };
                forth[usize::from(source)] = Sequence::of(character).ok_or_else(|| invalid(&value.text))?;
                back.insert(character, source);
            }
        }
        Ok(())
    }
}
