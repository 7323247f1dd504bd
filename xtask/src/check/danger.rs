//! What can break memory: `unsafe`, in four crates and with its reason, and Python, in one.

use crate::finding::Finding;
use crate::rust::{Source, TokenKind};
use crate::tree::crate_of;

/// The crates that may say `unsafe`.
const UNSAFE_CRATES: [&str; 4] = ["net", "master", "channel", "wsgi"];

/// The crate that may name Python's interface.
const PYTHON_CRATE: &str = "wsgi";

/// Reports `unsafe` out of place or without its reason, and `pyo3` outside of its crate.
pub fn check(sources: &[Source<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let krate = crate_of(source.path);
        for (at, token) in source.tokens.iter().enumerate() {
            match token.word() {
                Some("unsafe") if !UNSAFE_CRATES.contains(&krate) => {
                    let message = format!("`unsafe` in `{krate}`; only {} may have it", UNSAFE_CRATES.join(", "));
                    findings.push(Finding::new(source.path, token.line, message));
                }
                Some("unsafe") => findings.extend(missing_reason(source, at)),
                Some("pyo3") if krate != PYTHON_CRATE => {
                    let message = format!("`pyo3` in `{krate}`; only `{PYTHON_CRATE}` may name it");
                    findings.push(Finding::new(source.path, token.line, message));
                }
                _ => {}
            }
        }
    }
    findings
}

fn missing_reason(source: &Source<'_>, at: usize) -> Option<Finding> {
    let line = source.tokens[at].line;
    let (what, is_declared) = match kind_of(source, at) {
        Kind::Type => return None,
        Kind::Declaration => ("`# Safety` section in the doc comment, or `// SAFETY:` line,", true),
        Kind::Use => ("`// SAFETY:` line", false),
    };
    let has_reason = reason_lines(source, line).any(|comment| {
        let is_section = is_declared && comment.trim_start_matches('/').trim() == "# Safety";
        is_section || comment.starts_with("// SAFETY:") && comment.len() > "// SAFETY:".len() + 1
    });
    (!has_reason).then(|| Finding::new(source.path, line, format!("`unsafe` without its {what} directly above")))
}

enum Kind {
    /// `unsafe fn(...)` as a type.
    Type,
    /// A function or trait whose callers have a contract to keep.
    Declaration,
    /// A block, an `impl`, an attribute or a block of foreign functions: here the contract is kept.
    Use,
}

fn kind_of(source: &Source<'_>, at: usize) -> Kind {
    let mut rest = source.tokens[at + 1..].iter().filter(|token| {
        // `extern "C"` stands between.
        !token.is_word("extern") && !matches!(token.kind, TokenKind::Text(_))
    });
    match rest.next().and_then(|token| token.word()) {
        Some("fn") if rest.next().is_some_and(|token| token.word().is_none()) => Kind::Type,
        Some("fn" | "trait") => Kind::Declaration,
        _ => Kind::Use,
    }
}

/// The comment lines directly above the statement or item that the code on `line` belongs to.
fn reason_lines<'a>(source: &'a Source<'_>, line: usize) -> impl Iterator<Item = &'a str> {
    let mut start = line;
    // The statement may have begun on a line further up.
    while start > 1 && source.first_token(start - 1).is_some() && !ends_statement(source, start - 1) {
        start -= 1;
    }
    let above = (1..start).rev();
    above.map_while(move |line| match source.first_token(line) {
        None => source.comment(line),
        // Attributes stand between an item and its comment.
        Some(token) if token.is_symbol('#') => Some(""),
        Some(_) => None,
    })
}

fn ends_statement(source: &Source<'_>, line: usize) -> bool {
    let is_attribute = source.first_token(line).is_some_and(|token| token.is_symbol('#'));
    is_attribute
        || source.last_token(line).is_some_and(|token| [';', '{', '}', ','].iter().any(|end| token.is_symbol(*end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    fn found(path: &str, text: &str) -> Vec<String> {
        printed(&check(&[Source::read(path, text)]))
    }

    #[test]
    fn unsafe_has_its_crates() {
        let expected = "crates/http/src/octets.rs:2: `unsafe` in `http`; only net, master, channel, wsgi may have it";
        assert_eq!(found("crates/http/src/octets.rs", "// SAFETY: sure.\nunsafe { a() }"), [expected]);
        assert!(found("crates/http/src/octets.rs", "#![deny(unsafe_code)] // unsafe\n\"unsafe\"").is_empty());
    }

    #[test]
    fn a_use_needs_its_reason_directly_above() {
        let expected = "crates/net/src/a.rs:3: `unsafe` without its `// SAFETY:` line directly above";
        for text in [
            "// SAFETY: far.\n\nunsafe { a() }",
            "// SAFETY: of another.\nb();\nunsafe { a() }",
            "// SAFETY:\n#[x]\nunsafe impl Send for A {}",
            "\n/// # Safety\nunsafe { a() }",
        ] {
            assert_eq!(found("crates/net/src/a.rs", text), [expected], "{text}");
        }
    }

    #[test]
    fn a_reason_is_seen() {
        for text in [
            "// SAFETY: so.\nunsafe { a() }",
            "// SAFETY: so,\n// and so.\nlet b =\n    unsafe { a() };",
            "match b {\n    // SAFETY: so.\n    c => unsafe { a() },\n}",
            "// SAFETY: so.\n#[x]\nunsafe impl Send for A {}",
            "/// Doc.\n///\n/// # Safety\n///\n/// `b` lives.\n#[x]\npub unsafe fn a(b: *const u8) {}",
            "type A = unsafe extern \"C\" fn(u8);",
        ] {
            assert!(found("crates/net/src/a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_contract_is_declared() {
        let expected = "crates/net/src/a.rs:2: `unsafe` without its `# Safety` section in the doc comment, or `// SAFETY:` line, \
                        directly above";
        assert_eq!(found("crates/net/src/a.rs", "/// Doc.\npub unsafe extern \"C\" fn a() {}"), [expected]);
    }

    #[test]
    fn python_has_its_crate() {
        let expected = "crates/app/src/pool.rs:1: `pyo3` in `app`; only `wsgi` may name it";
        assert_eq!(found("crates/app/src/pool.rs", "use pyo3::prelude::*;"), [expected]);
        assert!(found("crates/wsgi/src/lib.rs", "use pyo3::prelude::*;").is_empty());
    }
}
