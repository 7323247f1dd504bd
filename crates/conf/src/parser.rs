//! Tokens to tree, with `include` replaced by what it names; all errors are collected.
//!
//! After an error reading goes on where the next directive begins, as far as that can be told, so that one run shows every mistake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, render_all};
use crate::directive::{Arity, Context, check_directive};
use crate::glob::is_pattern;
use crate::lexer::{Lexer, Token};
use crate::limits::{BLOCK_DEPTH_MAX, INCLUDE_DEPTH_MAX, INCLUDED_FILES_MAX};
use crate::loader::Loader;
use crate::source::{SourceKind, Sources, Span};
use crate::tree::{Block, Node, Word};

/// Reads the configuration file at `path`; `prefix` is the folder that relative `include`s start from.
pub fn parse(loader: &dyn Loader, path: &Path, prefix: &Path) -> Parsed {
    let mut parser = Parser::new(loader, prefix);
    let tree = parser.parse_file(path);
    parser.finish(tree)
}

/// Reads a text as if it were a file of this name. Its `include`s fail: there is nothing to read them with.
pub fn parse_text(name: &str, text: &str) -> Parsed {
    let mut parser = Parser::new(&NoFiles, Path::new(""));
    let tree = parser.parse_text(name, text);
    parser.finish(tree)
}

/// What came out of reading: the tree as far as it could be read, and everything there is to say.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The directives.
    pub tree: Vec<Node>,
    /// The texts, for rendering messages.
    pub sources: Sources,
    /// The messages, in the order of reading.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether the configuration must be refused.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// All messages as text.
    pub fn render(&self) -> String {
        render_all(&self.diagnostics, &self.sources)
    }
}

/// Reads several texts (`-g` and the file) into one configuration.
pub struct Parser<'a> {
    loader: &'a dyn Loader,
    prefix: PathBuf,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    /// The files being read, each included by the one before it.
    open_files: Vec<PathBuf>,
    files_read: usize,
    /// The first block of this file whose `}` stands further left than its name: it probably lacks its own.
    unclosed_suspect: Option<Suspect>,
}

#[derive(Clone, Copy)]
struct Suspect {
    open_line: u32,
    close_line: u32,
}

/// What a list of directives ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    File,
    CommandLine,
    Block { name: Option<Span>, depth: usize },
}

impl<'a> Parser<'a> {
    /// A parser that reads by `loader`; relative `include`s start from `prefix`.
    pub fn new(loader: &'a dyn Loader, prefix: &Path) -> Self {
        Self {
            loader,
            prefix: prefix.to_owned(),
            sources: Sources::new(),
            diagnostics: Vec::new(),
            open_files: Vec::new(),
            files_read: 0,
            unclosed_suspect: None,
        }
    }

    /// Reads a configuration file. That it cannot be read is one of the messages.
    pub fn parse_file(&mut self, path: &Path) -> Vec<Node> {
        self.file(path, None)
    }

    /// Reads the words of `-g`: as a file, but without blocks, and messages say `in command line`.
    pub fn parse_command_line(&mut self, text: &str) -> Vec<Node> {
        let file = self.sources.add_command_line(text);
        let mut lexer = Lexer::new(file, text.as_bytes().into(), SourceKind::CommandLine);
        self.nodes(&mut lexer, Inside::CommandLine).0
    }

    /// Reads a text as if it were a file of this name.
    pub fn parse_text(&mut self, name: &str, text: &str) -> Vec<Node> {
        self.text(name.to_owned(), text.as_bytes())
    }

    /// Ends the reading. `tree` is what the caller made of the results of the calls before.
    pub fn finish(self, tree: Vec<Node>) -> Parsed {
        Parsed { tree, sources: self.sources, diagnostics: self.diagnostics }
    }

    fn file(&mut self, path: &Path, included_at: Option<Span>) -> Vec<Node> {
        let bytes = match self.loader.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let call = if error.kind() == io::ErrorKind::IsADirectory { "pread()" } else { "open()" };
                self.report(included_at, system_message(call, path, &error));
                return Vec::new();
            }
        };
        self.open_files.push(path.to_owned());
        let nodes = self.text(path.display().to_string(), &bytes);
        self.open_files.pop();
        nodes
    }

    fn text(&mut self, name: String, bytes: &[u8]) -> Vec<Node> {
        let unmarked = bytes.strip_prefix(b"\xef\xbb\xbf");
        let bytes: Arc<[u8]> = unmarked.unwrap_or(bytes).into();
        let file = self.sources.add(name, SourceKind::File, Arc::clone(&bytes));
        let mut lexer = Lexer::new(file, bytes, SourceKind::File);
        if unmarked.is_some() {
            let message = "the file begins with a byte order mark, which nginx would take for part of the first word";
            self.diagnostics.push(Diagnostic::warning(lexer.here(), message));
        }
        let outer_suspect = self.unclosed_suspect.take();
        let (nodes, _) = self.nodes(&mut lexer, Inside::File);
        self.unclosed_suspect = outer_suspect;
        nodes
    }

    /// Directives up to the end of the block or text, and the place of that end.
    fn nodes(&mut self, lexer: &mut Lexer, inside: Inside) -> (Vec<Node>, Span) {
        let mut nodes = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        loop {
            match lexer.next(&mut self.diagnostics) {
                Token::Word(word) => words.push(word),
                Token::Semicolon(span) if words.is_empty() => self.unexpected(";", span),
                Token::Semicolon(_) => self.directive(std::mem::take(&mut words), None, &mut nodes),
                Token::Open(span) => {
                    let block = self.block(lexer, inside, words.first(), span);
                    if !words.is_empty() && inside != Inside::CommandLine {
                        self.directive(std::mem::take(&mut words), Some(block), &mut nodes);
                    }
                    words.clear();
                }
                Token::Close(span) => {
                    let is_in_block = matches!(inside, Inside::Block { .. });
                    self.close(span, is_in_block, words.last());
                    self.directive(std::mem::take(&mut words), None, &mut nodes);
                    if is_in_block {
                        return (nodes, span);
                    }
                }
                Token::End(span) => {
                    self.end(lexer, inside, span, &words);
                    self.directive(words, None, &mut nodes);
                    return (nodes, span);
                }
            }
        }
    }

    /// The block that begins at `open`, whose directive begins with the word `name`.
    fn block(&mut self, lexer: &mut Lexer, inside: Inside, name: Option<&Word>, open: Span) -> Block {
        if name.is_none() {
            self.unexpected("{", open);
        } else if inside == Inside::CommandLine {
            self.diagnostics.push(Diagnostic::error(open, "block directives are not supported in -g option"));
        }
        let depth = if let Inside::Block { depth, .. } = inside { depth + 1 } else { 1 };
        if depth > BLOCK_DEPTH_MAX {
            self.diagnostics
                .push(Diagnostic::error(open, format!("more than {BLOCK_DEPTH_MAX} blocks in one another")));
            lexer.give_up();
            return Block { nodes: Vec::new(), close: open };
        }
        let name = name.map(|word| word.span);
        let (nodes, close) = self.nodes(lexer, Inside::Block { name, depth });
        if let Some(name) = name.filter(|name| close.line > name.line && close.column < name.column) {
            self.unclosed_suspect.get_or_insert(Suspect { open_line: name.line, close_line: close.line });
        }
        Block { nodes, close }
    }

    fn unexpected(&mut self, what: &str, span: Span) {
        self.diagnostics.push(Diagnostic::error(span, format!("unexpected \"{what}\"")));
    }

    fn close(&mut self, span: Span, is_in_block: bool, last_word: Option<&Word>) {
        let error = Diagnostic::error(span, "unexpected \"}\"");
        match last_word {
            Some(word) => {
                let hint = format!("is a \";\" missing after \"{}\" in line {}?", word.text, word.span.line);
                self.diagnostics.push(error.with_hint(hint));
            }
            None if !is_in_block => {
                self.diagnostics.push(error.with_hint("no block is open here"));
            }
            None => {}
        }
    }

    fn end(&mut self, lexer: &mut Lexer, inside: Inside, span: Span, words: &[Word]) {
        let is_in_block = matches!(inside, Inside::Block { .. });
        if (words.is_empty() && !is_in_block) || !lexer.report_end_once() {
            return;
        }
        if let Some(word) = words.last() {
            let hint = format!("is a \";\" missing after \"{}\" in line {}?", word.text, word.span.line);
            self.diagnostics.push(Diagnostic::error(span, lexer.end_message()).with_hint(hint));
        } else if let Inside::Block { name, .. } = inside {
            let hint = match (self.unclosed_suspect, name) {
                (Some(Suspect { open_line, close_line }), _) => format!(
                    "the block that begins in line {open_line} seems to lack its \"}}\": \
                     the next one, in line {close_line}, stands further left"
                ),
                (None, Some(name)) => format!("the block that begins in line {} is not closed", name.line),
                (None, None) => "a block is not closed".to_owned(),
            };
            self.diagnostics.push(Diagnostic::error(span, "unexpected end of file, expecting \"}\"").with_hint(hint));
        }
    }

    /// Takes a directive into `nodes`; an `include` brings the directives of its files instead.
    fn directive(&mut self, words: Vec<Word>, block: Option<Block>, nodes: &mut Vec<Node>) {
        let mut words = words.into_iter();
        let Some(name) = words.next() else {
            return;
        };
        let node = Node { name, args: words.collect(), block };
        if !node.is("include") {
            nodes.push(node);
            return;
        }
        match check_directive(&node, Context::ANY, Context::ANY, Arity::Exactly(1)) {
            Ok(()) => self.include(&node, nodes),
            Err(diagnostic) => self.diagnostics.push(diagnostic),
        }
    }

    fn include(&mut self, node: &Node, nodes: &mut Vec<Node>) {
        let Some(word) = node.args.first() else {
            return;
        };
        let path = self.prefix.join(&word.text);
        if !is_pattern(&path.to_string_lossy()) {
            self.included_file(&path, word.span, nodes);
            return;
        }
        match self.loader.glob(&path) {
            Ok(paths) => {
                for path in paths {
                    self.included_file(&path, word.span, nodes);
                }
            }
            Err(error) => self.report(Some(word.span), system_message("glob()", &path, &error)),
        }
    }

    fn included_file(&mut self, path: &Path, span: Span, nodes: &mut Vec<Node>) {
        self.files_read += 1;
        if self.files_read > INCLUDED_FILES_MAX {
            // Said once: what comes after would be the same message over and over.
            if self.files_read == INCLUDED_FILES_MAX + 1 {
                self.report(Some(span), format!("more than {INCLUDED_FILES_MAX} files are included"));
            }
            return;
        }
        if let Some(first) = self.open_files.iter().position(|open| open == path) {
            let mut chain: Vec<String> =
                self.open_files.iter().skip(first).map(|open| open.display().to_string()).collect();
            chain.push(path.display().to_string());
            let error = Diagnostic::error(span, format!("\"{}\" includes itself", path.display()));
            self.diagnostics.push(error.with_hint(chain.join(" -> ")));
            return;
        }
        if self.open_files.len() >= INCLUDE_DEPTH_MAX {
            self.report(Some(span), format!("more than {INCLUDE_DEPTH_MAX} files include one another"));
            return;
        }
        nodes.extend(self.file(path, Some(span)));
    }

    fn report(&mut self, span: Option<Span>, message: String) {
        self.diagnostics.push(match span {
            Some(span) => Diagnostic::error(span, message),
            None => Diagnostic::error_without_place(message),
        });
    }
}

/// `open() "PATH" failed (2: No such file or directory)`, as nginx says it.
fn system_message(call: &str, path: &Path, error: &io::Error) -> String {
    let text = error.to_string();
    let reason = match error.raw_os_error() {
        Some(code) => format!("{code}: {}", text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text)),
        None => text,
    };
    format!("{call} \"{}\" failed ({reason})", path.display())
}

struct NoFiles;

impl Loader for NoFiles {
    fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Err(io::Error::new(io::ErrorKind::NotFound, "this text stands alone"))
    }

    fn glob(&self, _pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}
