//! Text to tokens: comments apart, literals recognised.

/// One token of code, and the line it begins on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind<'a>,
    /// Counts from 1.
    pub line: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind<'a> {
    /// An identifier, a keyword or a number.
    Word(&'a str),
    /// What stands between the quotes of a string.
    Text(&'a str),
    /// A character literal or a lifetime: nothing a check asks for.
    Quoted,
    /// One character of punctuation.
    Symbol(char),
}

impl<'a> Token<'a> {
    /// Whether it is the word `word`.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word(word)
    }

    /// Whether it is this character.
    pub fn is_symbol(&self, symbol: char) -> bool {
        self.kind == TokenKind::Symbol(symbol)
    }

    /// The word that it is.
    pub fn word(&self) -> Option<&'a str> {
        match self.kind {
            TokenKind::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// A line of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment<'a> {
    /// With its slashes, without the space around.
    pub text: &'a str,
    /// Counts from 1.
    pub line: usize,
}

/// Splits `text` into tokens and comments.
pub fn scan(text: &str) -> (Vec<Token<'_>>, Vec<Comment<'_>>) {
    let mut scanner = Scanner { text, at: 0, line: 1, tokens: Vec::new(), comments: Vec::new() };
    while scanner.step() {}
    (scanner.tokens, scanner.comments)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<Token<'a>>,
    comments: Vec<Comment<'a>>,
}

impl<'a> Scanner<'a> {
    fn step(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return false };
        if rest.starts_with("//") {
            self.line_comment(rest);
        } else if rest.starts_with("/*") {
            self.block_comment(rest);
        } else if let Some(prefix) = string_prefix(rest) {
            self.string(rest, prefix);
        } else if first == '\'' || rest.starts_with("b'") {
            self.quoted(rest);
        } else if is_word_character(first) {
            let length = rest.find(|character| !is_word_character(character)).unwrap_or(rest.len());
            self.push(TokenKind::Word(&rest[..length]), length);
        } else if first.is_whitespace() {
            self.advance(first.len_utf8());
        } else {
            self.push(TokenKind::Symbol(first), first.len_utf8());
        }
        true
    }

    fn push(&mut self, kind: TokenKind<'a>, length: usize) {
        self.tokens.push(Token { kind, line: self.line });
        self.advance(length);
    }

    fn advance(&mut self, length: usize) {
        self.line += self.text[self.at..self.at + length].matches('\n').count();
        self.at += length;
    }

    fn line_comment(&mut self, rest: &'a str) {
        let length = rest.find('\n').unwrap_or(rest.len());
        self.comments.push(Comment { text: rest[..length].trim(), line: self.line });
        self.advance(length);
    }

    /// Block comments nest.
    fn block_comment(&mut self, rest: &'a str) {
        let mut depth = 0;
        let mut at = 0;
        loop {
            let inner = &rest[at..];
            match inner.chars().next() {
                None => break,
                Some(_) if inner.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
                Some(_) if inner.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
                Some(character) => at += character.len_utf8(),
            }
            if depth == 0 {
                break;
            }
        }
        for (offset, text) in rest[..at].lines().enumerate() {
            self.comments.push(Comment { text: text.trim(), line: self.line + offset });
        }
        self.advance(at);
    }

    fn string(&mut self, rest: &'a str, prefix: StringPrefix) {
        let inner = &rest[prefix.length..];
        let (content, end) = if prefix.is_raw {
            let mark = format!("\"{}", "#".repeat(prefix.hashes));
            let content = inner.find(&mark).unwrap_or(inner.len());
            (content, content + mark.len())
        } else {
            let content = end_of_literal(inner, '"');
            (content, content + 1)
        };
        let length = (prefix.length + end).min(rest.len());
        self.push(TokenKind::Text(&inner[..content]), length);
    }

    /// A character, an octet, or a lifetime, which has no second quote.
    fn quoted(&mut self, rest: &'a str) {
        let prefix = if rest.starts_with('b') { 2 } else { 1 };
        let inner = &rest[prefix..];
        let mut characters = inner.chars();
        let is_literal = match characters.next() {
            Some('\\') => true,
            Some(_) => characters.next() == Some('\''),
            None => false,
        };
        let length = if is_literal {
            (prefix + end_of_literal(inner, '\'') + 1).min(rest.len())
        } else {
            prefix + inner.find(|character| !is_word_character(character)).unwrap_or(inner.len())
        };
        self.push(TokenKind::Quoted, length);
    }
}

/// What stands before the content of a string.
#[derive(Clone, Copy)]
struct StringPrefix {
    length: usize,
    hashes: usize,
    is_raw: bool,
}

fn string_prefix(rest: &str) -> Option<StringPrefix> {
    let letters = ["br", "cr", "b", "c", "r", ""].into_iter().find(|letters| rest.starts_with(letters))?;
    let after = &rest[letters.len()..];
    let is_raw = letters.ends_with('r');
    let hashes = if is_raw { after.len() - after.trim_start_matches('#').len() } else { 0 };
    let has_quote = after[hashes..].starts_with('"');
    has_quote.then_some(StringPrefix { length: letters.len() + hashes + 1, hashes, is_raw })
}

/// Where the literal's closing quote stands, escapes skipped.
fn end_of_literal(inner: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in inner.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at,
            _ => {}
        }
    }
    inner.len()
}

fn is_word_character(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        scan(text).0.iter().filter_map(Token::word).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = r##"a /* b /* c */ d */ "e \" f" r#"g " h"# b"i" 'j' '\'' b'k' l // m"##;
        assert_eq!(words(text), ["a", "l"]);
    }

    #[test]
    fn a_lifetime_is_not_the_start_of_a_character() {
        assert_eq!(words("fn a<'b>(c: &'b str, d: char) { d == 'e' }"), ["fn", "a", "c", "str", "d", "char", "d"]);
    }

    #[test]
    fn tokens_know_their_line() {
        let (tokens, comments) = scan("a\n// b\n\"c\nd\"\ne /* f\n g */ h");
        let lines: Vec<usize> = tokens.iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 5, 6]);
        let comments: Vec<_> = comments.iter().map(|comment| (comment.text, comment.line)).collect();
        assert_eq!(comments, [("// b", 2), ("/* f", 5), ("g */", 6)]);
    }

    #[test]
    fn a_file_that_ends_inside_a_literal_ends() {
        for text in ["\"a", "r#\"a", "'", "'\\", "/* a", "b'", "b\""] {
            scan(text);
        }
    }

    #[test]
    fn an_identifier_may_begin_like_a_string() {
        assert_eq!(words("break_bytes(cr, b, r, b2)"), ["break_bytes", "cr", "b", "r", "b2"]);
    }
}
