//! Functions and their sizes.

use super::scanner::{Token, TokenKind};

/// A function with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The line of its `fn`.
    pub line: usize,
    /// Lines from `fn` to the closing brace, both included.
    pub lines: usize,
}

/// The functions among `tokens`, in the order of their beginning. An inner function counts for itself and for the outer one.
pub fn functions_of<'a>(tokens: &[Token<'a>]) -> Vec<Function<'a>> {
    let mut functions = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        // `fn(` is a type, `fn $name` a macro's.
        let Some(name) = tokens.get(at + 1).and_then(Token::word).filter(|_| token.is_word("fn")) else { continue };
        if let Some(end) = end_of_body(tokens, at) {
            functions.push(Function { name, line: token.line, lines: tokens[end].line - token.line + 1 });
        }
    }
    functions
}

/// The `}` of the body; `None` for a declaration.
fn end_of_body(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let mut round_and_square = 0_usize;
    let mut braces = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.kind {
            TokenKind::Symbol('(' | '[') => round_and_square += 1,
            TokenKind::Symbol(')' | ']') => round_and_square = round_and_square.saturating_sub(1),
            TokenKind::Symbol('{') => braces += 1,
            TokenKind::Symbol('}') if braces <= 1 => return (braces == 1).then_some(at),
            TokenKind::Symbol('}') => braces -= 1,
            TokenKind::Symbol(';') if braces == 0 && round_and_square == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rust::scanner::scan;

    fn found(text: &str) -> Vec<(&str, usize, usize)> {
        let (tokens, _) = scan(text);
        functions_of(&tokens).iter().map(|function| (function.name, function.line, function.lines)).collect()
    }

    #[test]
    fn sizes_go_from_the_signature_to_the_brace() {
        let text = "/// Doc.\npub fn a(\n    b: [u8; 4],\n) -> u8 {\n    if b { 1 } else { 2 }\n}\nfn c() {}\n";
        assert_eq!(found(text), [("a", 2, 5), ("c", 7, 1)]);
    }

    #[test]
    fn declarations_and_types_are_no_functions() {
        assert_eq!(found("trait A { fn b(&self); fn c(&self) {} }\ntype D = fn(u8) -> u8;"), [("c", 1, 1)]);
    }

    #[test]
    fn braces_in_text_do_not_count() {
        assert_eq!(found("fn a() {\n  \"{\";\n  '{';\n  // {\n}\nfn b() {}"), [("a", 1, 5), ("b", 6, 1)]);
    }

    #[test]
    fn an_inner_function_counts_twice() {
        assert_eq!(found("fn a() {\nfn b() {\n}\n}"), [("a", 1, 4), ("b", 2, 2)]);
    }
}
