//! Which names the sources define, and within what.

use std::collections::{HashMap, HashSet};

use super::scanner::{Token, TokenKind};
use super::source::Source;
use crate::tree::crate_of;

/// Every item of the sources: its name, and the names it can be called by the side of (crate, module, type).
#[derive(Debug, Default)]
pub struct Definitions<'a> {
    by_name: HashMap<&'a str, HashSet<&'a str>>,
}

impl<'a> Definitions<'a> {
    /// All items of `sources`, those for tests aside.
    pub fn of(sources: &[Source<'a>]) -> Self {
        let mut definitions = Self::default();
        for source in sources.iter().filter(|source| !source.is_test()) {
            Walk { definitions: &mut definitions, source, scopes: Vec::new() }.run();
        }
        definitions
    }

    /// Whether `path` is defined: `name`, or `qualifier::name` where the qualifier is the crate, the module or the type that
    /// the name stands in. Only the last two parts of a longer path are looked at.
    pub fn has(&self, path: &str) -> bool {
        let mut parts = path.rsplit("::");
        let Some(owners) = parts.next().and_then(|name| self.by_name.get(name)) else { return false };
        parts.next().is_none_or(|qualifier| owners.contains(qualifier))
    }

    fn add(&mut self, name: &'a str, owner: &'a str) {
        self.by_name.entry(name).or_default().insert(owner);
    }
}

struct Walk<'w, 'a> {
    definitions: &'w mut Definitions<'a>,
    source: &'w Source<'a>,
    /// What each open brace belongs to.
    scopes: Vec<Scope<'a>>,
}

#[derive(Clone, Copy)]
struct Scope<'a> {
    name: Option<&'a str>,
    is_enum: bool,
}

impl<'a> Walk<'_, 'a> {
    fn run(mut self) {
        let module = module_of(self.source.path);
        let krate = crate_of(self.source.path);
        self.definitions.add(module, krate);
        let mut next = Scope { name: None, is_enum: false };
        let mut parentheses = 0_usize;
        for (at, token) in self.source.product_tokens() {
            match token.kind {
                TokenKind::Symbol('{') => {
                    self.scopes.push(std::mem::replace(&mut next, Scope { name: None, is_enum: false }))
                }
                TokenKind::Symbol('}') => _ = self.scopes.pop(),
                TokenKind::Symbol('(' | '[') => parentheses += 1,
                TokenKind::Symbol(')' | ']') => parentheses = parentheses.saturating_sub(1),
                TokenKind::Symbol(';') if parentheses == 0 => next.name = None,
                TokenKind::Word("impl") if parentheses == 0 && next.name.is_none() => next.name = self.implemented(at),
                TokenKind::Word(word) => {
                    let defined = self.defined(at, word).or_else(|| self.variant(at, word, parentheses));
                    let Some(name) = defined else { continue };
                    // What a file defines, the modules around it may give on as their own.
                    self.definitions.add(name, module);
                    self.definitions.add(name, krate);
                    for folder in folders_of(self.source.path) {
                        self.definitions.add(name, folder);
                    }
                    if let Some(owner) = self.scopes.iter().rev().find_map(|scope| scope.name) {
                        self.definitions.add(name, owner);
                    }
                    if matches!(word, "enum" | "trait" | "struct" | "mod" | "union") {
                        next = Scope { name: Some(name), is_enum: word == "enum" };
                    }
                }
                _ => {}
            }
        }
    }

    /// The name behind a keyword that defines one.
    fn defined(&self, at: usize, keyword: &str) -> Option<&'a str> {
        let is_keyword =
            matches!(keyword, "fn" | "struct" | "enum" | "trait" | "type" | "static" | "const" | "mod" | "union");
        let name = self.source.tokens.get(at + 1).and_then(Token::word)?;
        (is_keyword && !matches!(name, "fn" | "mut" | "unsafe" | "async")).then_some(name)
    }

    /// A variant of the enum whose braces are open.
    fn variant(&self, at: usize, word: &'a str, parentheses: usize) -> Option<&'a str> {
        let is_in_enum = parentheses == 0 && self.scopes.last().is_some_and(|scope| scope.is_enum);
        let follows = self.source.tokens[..at].last()?;
        let starts = follows.is_symbol('{') || follows.is_symbol(',') || follows.is_symbol(']');
        (is_in_enum && starts).then_some(word)
    }

    /// The type that an `impl` is for: the last word before its brace outside of any `<>` or `where`.
    fn implemented(&self, at: usize) -> Option<&'a str> {
        let mut angles = 0_i32;
        let mut name = None;
        for (at, token) in self.source.tokens.iter().enumerate().skip(at + 1) {
            match token.kind {
                TokenKind::Symbol('{' | ';') | TokenKind::Word("where") => break,
                TokenKind::Symbol('<') => angles += 1,
                // The `>` of an arrow closes nothing.
                TokenKind::Symbol('>') if !self.source.tokens[at - 1].is_symbol('-') => angles -= 1,
                TokenKind::Word("for") if angles == 0 => name = None,
                TokenKind::Word(word) if angles == 0 => name = Some(word),
                _ => {}
            }
        }
        name
    }
}

/// The folders between a crate's `src` and the file.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.split_once("src/").map_or("", |(_, inner)| inner);
    inner.rsplit_once('/').map_or("", |(folders, _)| folders).split('/').filter(|folder| !folder.is_empty())
}

/// The module that a file is: its own name, or its folder's.
fn module_of(path: &str) -> &str {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "lib.rs" | "main.rs" => crate_of(path),
        "mod.rs" => folder.rsplit('/').next().unwrap_or(folder),
        _ => name.trim_end_matches(".rs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions_of(text: &'static str) -> Definitions<'static> {
        Definitions::of(&[Source::read("crates/server/src/connection/http1.rs", text)])
    }

    #[test]
    fn names_are_found_by_module_type_and_crate() {
        let text = "pub async fn serve() {}\nimpl<T: Into<u8>> Step for Bound<T> where T: Copy { fn run(&self) {} }";
        let definitions = definitions_of(text);
        for path in
            ["serve", "http1::serve", "server::serve", "connection::http1::serve", "Bound::run", "run", "server::http1"]
        {
            assert!(definitions.has(path), "{path}");
        }
        for path in ["serves", "http2::serve", "Step::run", "Bound::serve"] {
            assert!(!definitions.has(path), "{path}");
        }
    }

    #[test]
    fn variants_belong_to_their_enum() {
        let text = "enum Phase {\n    /// Doc.\n    PostRead,\n    #[x]\n    Log(Inner),\n}\nstruct Inner { field: u8 }\nconst MAX: u8 = 1;";
        let definitions = definitions_of(text);
        for path in ["Phase::PostRead", "Phase::Log", "Inner", "MAX"] {
            assert!(definitions.has(path), "{path}");
        }
        assert!(!definitions.has("Phase::Inner"));
        assert!(!definitions.has("field"));
    }

    #[test]
    fn names_of_tests_do_not_count() {
        assert!(!definitions_of("#[cfg(test)]\nmod tests {\n    fn only_here() {}\n}").has("only_here"));
    }
}
