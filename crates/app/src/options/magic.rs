//! uWSGI's one-letter variables: `%d`, `%n`, `%k` and the like, by file.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use daemun_conf::{Diagnostic, Word};

use crate::options::surroundings::Surroundings;

/// The letters' values while one file is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Magic {
    letters: HashMap<char, String>,
}

impl Magic {
    /// The letters for the file at `path`, named `written` in the configuration. `first` are those of the first file: its letters
    /// stay to be had in upper case.
    pub(crate) fn new(
        path: &Path,
        written: &str,
        section: Option<&str>,
        surroundings: &Surroundings,
        first: Option<&Self>,
    ) -> Self {
        let mut letters = HashMap::new();
        let full = path.display().to_string();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = full.strip_suffix(&name).unwrap_or_default().to_owned();
        let folder_name = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let dot = name.rfind('.');
        for (digit, part) in ('0'..='9').zip(folder.split('/').filter(|part| !part.is_empty())) {
            letters.insert(digit, part.to_owned());
        }
        letters.insert('o', written.to_owned());
        letters.insert('n', dot.and_then(|dot| name.get(..dot)).unwrap_or(&name).to_owned());
        letters.insert('e', dot.and_then(|dot| name.get(dot + 1..)).unwrap_or_default().to_owned());
        letters.insert('x', section.unwrap_or_default().to_owned());
        letters.insert('i', path.symlink_metadata().map(|status| status.ino().to_string()).unwrap_or_default());
        letters.insert('j', hash(&full));
        letters.insert('c', folder_name);
        letters.insert('d', folder);
        letters.insert('s', name);
        letters.insert('p', full);
        add_surroundings(&mut letters, surroundings);
        for letter in "odspcenxij".chars() {
            let of = first.map_or(&letters, |first| &first.letters);
            let value = of.get(&letter).cloned().unwrap_or_default();
            letters.insert(letter.to_ascii_uppercase(), value);
        }
        Self { letters }
    }

    /// The word with its letters replaced. `%%` is a percent sign, `%(` is left for the placeholders.
    pub(crate) fn replace(&self, word: &mut Word, diagnostics: &mut Vec<Diagnostic>) {
        if !word.text.contains('%') {
            return;
        }
        let mut out = String::with_capacity(word.text.len());
        let mut chars = word.text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('%') => out.push('%'),
                Some('(') => out.push_str("%("),
                Some(letter) => match self.letters.get(&letter) {
                    Some(value) => out.push_str(value),
                    // As in uWSGI nothing takes its place, but not in silence.
                    None => diagnostics.push(stands_for_nothing(word, &format!("%{letter}"))),
                },
                None => diagnostics.push(stands_for_nothing(word, "%")),
            }
        }
        word.text = out;
    }
}

fn stands_for_nothing(word: &Word, what: &str) -> Diagnostic {
    Diagnostic::warning(word.span, format!("\"{what}\" stands for nothing and is left out"))
        .with_hint("a percent sign is written \"%%\"")
}

fn add_surroundings(letters: &mut HashMap<char, String>, surroundings: &Surroundings) {
    letters.insert('b', surroundings.program.display().to_string());
    letters.insert('v', surroundings.working_directory.display().to_string());
    letters.insert('h', surroundings.host_name.clone());
    letters.insert('t', surroundings.now.as_secs().to_string());
    letters.insert('T', surroundings.now.as_micros().to_string());
    letters.insert('V', env!("CARGO_PKG_VERSION").to_owned());
    letters.insert('k', surroundings.processors.to_string());
    letters.insert('[', "\u{1b}".to_owned());
    letters.insert('u', surroundings.user.id.to_string());
    letters.insert('U', surroundings.user.name.clone());
    letters.insert('g', surroundings.group.id.to_string());
    letters.insert('G', surroundings.group.name.clone());
}

/// `%j`: the path's hash (Bernstein's, with exclusive or) as the bytes of a little-endian number.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(5381_u32, |hash, byte| (hash << 5).wrapping_add(hash) ^ u32::from(byte));
    hash.to_le_bytes().iter().map(|byte| format!("{byte:02X}")).collect()
}
