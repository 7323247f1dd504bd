//! Bytes to tokens, exactly as nginx's lexer takes them apart.
//!
//! Things that surprise: `#` begins a comment only where a word could begin; `}` is special only there too; quotes inside a word
//! are ordinary; behind a closing quote a space, `;`, `{` or `)` must come; `{` behind `$` belongs to the word.

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::limits::WORD_BYTES_MAX;
use crate::source::{FileId, SourceKind, Span};
use crate::tree::Word;

/// One token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Word(Word),
    Semicolon(Span),
    Open(Span),
    Close(Span),
    End(Span),
}

/// Takes one text apart. Errors go to the `diagnostics` of the call, and reading goes on behind them.
pub(crate) struct Lexer {
    file: FileId,
    bytes: Arc<[u8]>,
    position: usize,
    line: u32,
    column: u32,
    kind: SourceKind,
    /// A `;` that is not there, after a word whose end was lost.
    owes_semicolon: Option<Span>,
    /// The quoted word that ended just here, so that something must separate it from the next.
    quoted_before: Option<Span>,
    /// Whether it has been said that the text ends too early; said once, however many blocks are open.
    is_end_reported: bool,
}

/// Where a word began.
#[derive(Clone, Copy)]
struct Mark {
    position: usize,
    line: u32,
    column: u32,
}

impl Lexer {
    pub(crate) fn new(file: FileId, bytes: Arc<[u8]>, kind: SourceKind) -> Self {
        Self {
            file,
            bytes,
            position: 0,
            line: 1,
            column: 1,
            kind,
            owes_semicolon: None,
            quoted_before: None,
            is_end_reported: false,
        }
    }

    /// The place of the next character.
    pub(crate) fn here(&self) -> Span {
        self.span_of(self.mark(), 1)
    }

    /// Ends the reading: the next token is the end.
    pub(crate) fn give_up(&mut self) {
        self.position = self.bytes.len();
        self.owes_semicolon = None;
        self.quoted_before = None;
        self.is_end_reported = true;
    }

    /// True the first time: whether it is still to be said that the text ends too early.
    pub(crate) fn report_end_once(&mut self) -> bool {
        !std::mem::replace(&mut self.is_end_reported, true)
    }

    pub(crate) fn next(&mut self, diagnostics: &mut Vec<Diagnostic>) -> Token {
        if let Some(span) = self.owes_semicolon.take() {
            return Token::Semicolon(span);
        }
        if let Some(quoted) = self.quoted_before.take() {
            self.check_behind_quote(quoted, diagnostics);
        }
        self.skip_space_and_comments();
        let span = self.here();
        let Some(byte) = self.peek() else {
            return Token::End(span);
        };
        match byte {
            b';' => {
                self.advance();
                Token::Semicolon(span)
            }
            b'{' => {
                self.advance();
                Token::Open(span)
            }
            b'}' => {
                self.advance();
                Token::Close(span)
            }
            b'"' | b'\'' => self.quoted_word(byte, diagnostics),
            _ => self.bare_word(diagnostics),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn advance(&mut self) {
        let Some(byte) = self.peek() else {
            return;
        };
        self.position += 1;
        if byte == b'\n' {
            self.line += 1;
            self.column = 1;
        } else if self.peek().is_none_or(|next| next & 0xc0 != 0x80) {
            // Columns count characters: a continuation byte of UTF-8 is no new one.
            self.column += 1;
        }
    }

    fn skip_space_and_comments(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'#' {
                while self.peek().is_some_and(|byte| byte != b'\n') {
                    self.advance();
                }
            } else if !is_space(byte) {
                return;
            }
            self.advance();
        }
    }

    fn check_behind_quote(&mut self, quoted: Span, diagnostics: &mut Vec<Diagnostic>) {
        let Some(byte) = self.peek() else {
            return;
        };
        // A `}` is as wrong here as behind any other word, and the parser says so.
        if is_space(byte) || matches!(byte, b';' | b'{' | b')' | b'}') {
            return;
        }
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let rest = rest.get(..rest.len().min(4)).unwrap_or_default();
        let shown = String::from_utf8_lossy(rest).chars().next().unwrap_or_default();
        let hint = if quoted.line == self.line {
            "a space must separate a quoted word from the next".to_owned()
        } else {
            format!("the quoted word began in line {}: is its closing quote missing there?", quoted.line)
        };
        diagnostics.push(Diagnostic::error(self.here(), format!("unexpected \"{shown}\"")).with_hint(hint));
    }

    fn quoted_word(&mut self, quote: u8, diagnostics: &mut Vec<Diagnostic>) -> Token {
        let opened = self.mark();
        self.advance();
        let start = self.position;
        loop {
            if self.is_too_long(start) {
                let message =
                    format!("too long parameter, probably missing terminating \"{}\" character", char::from(quote));
                return self.unclosed_word(quote, opened, message, diagnostics);
            }
            match self.peek() {
                None => {
                    return self.unclosed_word(quote, opened, self.end_message().to_owned(), diagnostics);
                }
                Some(b'\\') => {
                    self.advance();
                    self.advance();
                }
                Some(byte) if byte == quote => break,
                Some(_) => self.advance(),
            }
        }
        let raw = start..self.position;
        self.advance();
        let word = self.word(opened, raw, true, diagnostics);
        self.quoted_before = Some(word.span);
        Token::Word(word)
    }

    fn bare_word(&mut self, diagnostics: &mut Vec<Diagnostic>) -> Token {
        let started = self.mark();
        let mut is_behind_dollar = false;
        while let Some(byte) = self.peek() {
            if self.is_too_long(started.position) {
                return self.endless_word(started, diagnostics);
            }
            if byte == b'{' && is_behind_dollar {
                self.advance();
                continue;
            }
            if is_space(byte) || byte == b';' || byte == b'{' {
                break;
            }
            is_behind_dollar = byte == b'$';
            self.advance();
            if byte == b'\\' {
                self.advance();
            }
        }
        Token::Word(self.word(started, started.position..self.position, false, diagnostics))
    }

    fn is_too_long(&self, start: usize) -> bool {
        self.kind == SourceKind::File && self.position - start >= WORD_BYTES_MAX
    }

    /// A quoted word without end: it is taken to end with its first line, and its directive too.
    fn unclosed_word(&mut self, quote: u8, opened: Mark, message: String, diagnostics: &mut Vec<Diagnostic>) -> Token {
        self.return_to(opened);
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.advance();
        }
        let word = self.word(opened, opened.position + 1..self.position, true, diagnostics);
        let hint = format!("the {} that opens this word is never closed", char::from(quote));
        diagnostics.push(Diagnostic::error(self.span_of(opened, 1), message).with_hint(hint));
        self.owes_semicolon = Some(word.span);
        Token::Word(word)
    }

    fn endless_word(&mut self, started: Mark, diagnostics: &mut Vec<Diagnostic>) -> Token {
        let head = self.bytes.get(started.position..started.position + 10).unwrap_or_default();
        let message = format!("too long parameter \"{}...\" started", String::from_utf8_lossy(head));
        diagnostics.push(Diagnostic::error(self.span_of(started, 10), message));
        while self.peek().is_some_and(|byte| !is_space(byte) && byte != b';' && byte != b'{') {
            self.advance();
        }
        Token::Word(Word { text: String::new(), span: self.span_of(started, 10), quoted: false })
    }

    fn word(
        &self,
        started: Mark,
        raw: std::ops::Range<usize>,
        quoted: bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Word {
        let span = self.span_of(started, self.length_since(started));
        let unescaped = unescape(self.bytes.get(raw).unwrap_or_default());
        let text = String::from_utf8(unescaped).unwrap_or_else(|error| {
            let hint = "save the file as UTF-8";
            diagnostics.push(Diagnostic::error(span, "parameter is not valid UTF-8").with_hint(hint));
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        });
        Word { text, span, quoted }
    }

    /// The words for a text that ends inside a directive.
    pub(crate) fn end_message(&self) -> &'static str {
        match self.kind {
            SourceKind::File => "unexpected end of file, expecting \";\" or \"}\"",
            SourceKind::CommandLine => "unexpected end of parameter, expecting \";\"",
        }
    }

    fn mark(&self) -> Mark {
        Mark { position: self.position, line: self.line, column: self.column }
    }

    fn return_to(&mut self, mark: Mark) {
        self.position = mark.position;
        self.line = mark.line;
        self.column = mark.column;
    }

    fn span_of(&self, mark: Mark, length: u32) -> Span {
        Span { file: self.file, line: mark.line, column: mark.column, length }
    }

    fn length_since(&self, mark: Mark) -> u32 {
        if self.line == mark.line {
            return self.column - mark.column;
        }
        let text = self.bytes.get(mark.position..self.position).unwrap_or_default();
        let first_line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
        u32::try_from(first_line.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()).unwrap_or(u32::MAX)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `\"`, `\'`, `\\` lose the backslash, `\t`, `\r`, `\n` become what they stand for; before anything else it stays.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, behind @ ..] = rest {
        rest = behind;
        let escaped = if *first == b'\\' { behind.first() } else { None };
        let plain = match escaped {
            Some(byte @ (b'"' | b'\'' | b'\\')) => *byte,
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            _ => {
                out.push(*first);
                continue;
            }
        };
        out.push(plain);
        rest = behind.get(1..).unwrap_or_default();
    }
    out
}
