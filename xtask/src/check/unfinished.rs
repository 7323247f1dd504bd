//! What gives up: code that is not written yet, and `unwrap`, which says nothing when it fails.

use crate::finding::Finding;
use crate::rust::{Source, TokenKind};

/// Reports `todo!`, `unimplemented!`, `unwrap()` outside of tests and `expect("")`.
pub fn check(sources: &[Source<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (at, token) in source.tokens.iter().enumerate() {
            let is_test = source.is_test_line(token.line);
            if let Some(message) = complaint(source, at, is_test) {
                findings.push(Finding::new(source.path, token.line, message));
            }
        }
    }
    findings
}

fn complaint(source: &Source<'_>, at: usize, is_test: bool) -> Option<String> {
    let follows_dot = at > 0 && source.tokens[at - 1].is_symbol('.');
    match source.tokens[at].word()? {
        name @ ("todo" | "unimplemented") if source.reads(at + 1, &["!"]) => {
            Some(format!("`{name}!`; write it, or leave out what needs it"))
        }
        name @ ("unwrap" | "unwrap_err" | "unwrap_unchecked")
            if follows_dot && !is_test && source.reads(at + 1, &["("]) =>
        {
            Some(format!("`{name}()`; handle what it may be, or `expect` with the reason why it cannot be"))
        }
        name @ ("expect" | "expect_err") if follows_dot && source.reads(at + 1, &["("]) => {
            let text = source.tokens.get(at + 2)?;
            let is_empty = matches!(text.kind, TokenKind::Text(text) if text.trim().is_empty());
            is_empty.then(|| format!("`{name}` without the reason why it cannot fail"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    fn found(text: &str) -> Vec<String> {
        printed(&check(&[Source::read("src/a.rs", text)]))
    }

    #[test]
    fn what_is_not_written_is_found_in_tests_too() {
        assert_eq!(found("fn a() {\n    todo!()\n}"), ["src/a.rs:2: `todo!`; write it, or leave out what needs it"]);
        assert_eq!(found("#[cfg(test)]\nfn a() { unimplemented!(\"b\") }").len(), 1);
        assert!(found("// todo!()\nfn todo() { \"unimplemented!()\" }").is_empty());
    }

    #[test]
    fn unwrap_is_for_tests() {
        let expected = "src/a.rs:2: `unwrap()`; handle what it may be, or `expect` with the reason why it cannot be";
        assert_eq!(found("fn a() { b\n    .unwrap() }"), [expected]);
        assert!(found("#[cfg(test)]\nmod tests {\n    fn a() { b.unwrap() }\n}").is_empty());
        assert!(found("fn a() { b.unwrap_or(c).unwrap_or_default() }").is_empty());
    }

    #[test]
    fn expect_says_why() {
        assert_eq!(found("fn a() { b.expect(\"\") }"), ["src/a.rs:1: `expect` without the reason why it cannot fail"]);
        assert!(found("fn a() { b.expect(\"the list is never empty\"); c.expect(REASON) }").is_empty());
    }
}
