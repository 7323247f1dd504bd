//! A Rust file, and which of it is only for tests.

use std::ops::RangeInclusive;

use super::functions::{Function, functions_of};
use super::scanner::{Comment, Token, TokenKind, scan};

/// A Rust file.
#[derive(Debug)]
pub struct Source<'a> {
    /// Relative to the root.
    pub path: &'a str,
    /// The code.
    pub tokens: Vec<Token<'a>>,
    comments: Vec<Comment<'a>>,
    lines: usize,
    /// Lines of items under `#[cfg(test)]`.
    test_lines: Vec<RangeInclusive<usize>>,
    /// Names of modules under `#[cfg(test)]` that lie in files of their own.
    test_modules: Vec<&'a str>,
    is_test: bool,
}

impl<'a> Source<'a> {
    /// Reads `text`, the content of the file at `path`.
    pub fn read(path: &'a str, text: &'a str) -> Self {
        let (tokens, comments) = scan(text);
        let mut source = Self {
            path,
            tokens,
            comments,
            lines: text.lines().count(),
            test_lines: Vec::new(),
            test_modules: Vec::new(),
            is_test: false,
        };
        source.find_tests();
        source
    }

    /// From now on the whole file counts as tests.
    pub fn mark_as_test(&mut self) {
        self.is_test = true;
    }

    /// Whether the whole file is for tests.
    pub fn is_test(&self) -> bool {
        self.is_test
    }

    /// Whether this line is for tests.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.is_test || self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// Lines of the file without its tests; all of them where the whole file is tests.
    pub fn lines_without_tests(&self) -> usize {
        self.lines - self.test_lines.iter().map(|lines| lines.end() - lines.start() + 1).sum::<usize>()
    }

    /// Code tokens that are not for tests.
    pub fn product_tokens(&self) -> impl Iterator<Item = (usize, &Token<'a>)> {
        self.tokens.iter().enumerate().filter(|(_, token)| !self.is_test_line(token.line))
    }

    /// All functions with a body.
    pub fn functions(&self) -> Vec<Function<'a>> {
        functions_of(&self.tokens)
    }

    /// The comment on this line.
    pub fn comment(&self, line: usize) -> Option<&'a str> {
        let at = self.comments.binary_search_by_key(&line, |comment| comment.line).ok()?;
        Some(self.comments[at].text)
    }

    /// The first code token of this line.
    pub fn first_token(&self, line: usize) -> Option<&Token<'a>> {
        let at = self.tokens.partition_point(|token| token.line < line);
        self.tokens.get(at).filter(|token| token.line == line)
    }

    /// The last code token of this line.
    pub fn last_token(&self, line: usize) -> Option<&Token<'a>> {
        let end = self.tokens.partition_point(|token| token.line <= line);
        self.tokens[..end].last().filter(|token| token.line == line)
    }

    /// Whether the code from `at` on reads as `words`, each a word or one character of punctuation.
    pub fn reads(&self, at: usize, words: &[&str]) -> bool {
        words.iter().zip(at..).all(|(word, at)| {
            self.tokens.get(at).is_some_and(|token| match token.kind {
                TokenKind::Word(found) => found == *word,
                TokenKind::Symbol(found) => word.chars().eq([found]),
                TokenKind::Text(_) | TokenKind::Quoted => false,
            })
        })
    }

    /// Where the modules lie that are for tests only, without the `.rs`.
    pub fn outline_test_modules(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", self.path));
        let folder = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
        };
        self.test_modules.iter().map(|module| format!("{folder}/{module}")).collect()
    }

    fn find_tests(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            if self.reads(at, &["#", "!", "[", "cfg", "(", "test", ")"]) {
                self.is_test = true;
            }
            let is_test_item = self.reads(at, &["#", "[", "cfg", "(", "test", ")", "]"])
                || self.reads(at, &["#", "[", "cfg", "(", "all", "(", "test", ","]);
            if !is_test_item {
                at += 1;
                continue;
            }
            let end = end_of_item(&self.tokens, at);
            let item = &self.tokens[at..=end];
            if let [.., keyword, name, last] = item
                && keyword.is_word("mod")
                && last.is_symbol(';')
            {
                self.test_modules.extend(name.word());
            }
            self.test_lines.push(self.tokens[at].line..=self.tokens[end].line);
            at = end + 1;
        }
    }
}

/// The last token of the item that begins, with its attributes, at `start`: a `;`, or the `}` that closes its body.
fn end_of_item(tokens: &[Token<'_>], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.kind {
            TokenKind::Symbol('{' | '(' | '[') => depth += 1,
            TokenKind::Symbol(')' | ']') => depth = depth.saturating_sub(1),
            TokenKind::Symbol('}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            TokenKind::Symbol(';') if depth == 0 => return at,
            _ => {}
        }
    }
    tokens.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_for_tests_are_found_with_their_attributes() {
        let text =
            "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nuse d;\n";
        let source = Source::read("crates/x/src/y.rs", text);
        let tests: Vec<usize> = (1..=9).filter(|line| source.is_test_line(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 6, 8, 9]);
        assert_eq!(source.lines_without_tests(), 2);
    }

    #[test]
    fn modules_for_tests_in_other_files_are_named() {
        let text = "#[cfg(test)]\nmod tests;";
        assert_eq!(Source::read("crates/x/src/y.rs", text).outline_test_modules(), ["crates/x/src/y/tests"]);
        assert_eq!(Source::read("crates/x/src/lib.rs", text).outline_test_modules(), ["crates/x/src/tests"]);
    }

    #[test]
    fn a_file_can_be_for_tests_whole() {
        assert!(Source::read("crates/x/src/y.rs", "#![cfg(test)]\nfn a() {}").is_test());
        assert!(!Source::read("crates/x/src/y.rs", "#[cfg(not(test))]\nfn a() {}").is_test_line(2));
    }
}
