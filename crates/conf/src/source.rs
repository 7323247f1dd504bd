//! The texts that were read, kept so that a message can show the line it speaks of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names one text of a [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// A place in a text: one word, or one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// Length in characters; of a word over several lines, as far as the first line goes.
    pub length: u32,
}

/// Where a text came from, which decides how a message names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A file: messages end with `in NAME:LINE`.
    File,
    /// Words of a command line: messages end with `in command line`.
    CommandLine,
}

/// One text.
#[derive(Debug)]
pub struct Source {
    name: String,
    kind: SourceKind,
    bytes: Arc<[u8]>,
}

impl Source {
    /// The name, as messages show it: a file's path, lossily decoded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the text came from.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// The text, as it was read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The line with this number, counted from 1, without its end and the blanks before it.
    pub fn line(&self, number: u32) -> Option<String> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let line = self.bytes.split(|&byte| byte == b'\n').nth(index)?;
        Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }
}

/// All texts of one configuration, in the order of reading.
#[derive(Debug, Default)]
pub struct Sources {
    texts: Vec<Source>,
}

impl Sources {
    /// No texts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the text of a file.
    pub fn add_file(&mut self, path: &Path, bytes: Vec<u8>) -> FileId {
        self.add(path.display().to_string(), SourceKind::File, bytes)
    }

    /// Takes in words of a command line.
    pub fn add_command_line(&mut self, text: &str) -> FileId {
        self.add("command line".to_owned(), SourceKind::CommandLine, text.as_bytes().to_vec())
    }

    /// Takes in a text.
    ///
    /// A text that is there already under the same name and with the same bytes is not kept twice.
    pub fn add(&mut self, name: String, kind: SourceKind, bytes: impl Into<Arc<[u8]>>) -> FileId {
        let bytes = bytes.into();
        let known = self.texts.iter().position(|text| text.kind == kind && text.name == name && *text.bytes == *bytes);
        let index = known.unwrap_or_else(|| {
            self.texts.push(Source { name, kind, bytes });
            self.texts.len() - 1
        });
        FileId(u32::try_from(index).expect("limits::INCLUDED_FILES_MAX is below u32::MAX"))
    }

    /// The text that `file` names.
    ///
    /// `None` when `file` belongs to another `Sources`.
    pub fn source(&self, file: FileId) -> Option<&Source> {
        self.texts.get(file.0 as usize)
    }

    /// All texts, in the order of reading, each once: what `-T` prints.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.texts.iter()
    }

    /// The paths of all files among the texts.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.texts.iter().filter(|text| text.kind == SourceKind::File).map(|text| PathBuf::from(&text.name))
    }
}
