//! `match`: what the answer of a healthy server looks like.

use std::ops::RangeInclusive;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Node, unknown_directive};
use daemun_http::ResponseHead;
use daemun_server::Pattern;

/// What an answer must be like.
#[derive(Default)]
pub struct Match {
    /// The name that `health_check` calls it by.
    pub name: String,
    status: Option<Statuses>,
    headers: Vec<Header>,
    body: Option<(Pattern, bool)>,
}

/// Which statuses are right.
struct Statuses {
    ranges: Vec<RangeInclusive<u16>>,
    is_negated: bool,
}

/// A field, and what is asked of it.
struct Header {
    name: String,
    test: HeaderTest,
}

enum HeaderTest {
    IsThere,
    IsNotThere,
    Equals(String),
    Differs(String),
    Matches(Pattern),
    MatchesNot(Pattern),
}

/// What an answer is not like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Its status is another one.
    #[error("unexpected status {0}")]
    Status(u16),
    /// A field is not as it should be.
    #[error("unexpected header \"{0}\"")]
    Header(String),
    /// Its body is not as it should be.
    #[error("unexpected body")]
    Body,
}

impl Match {
    /// Whether the answer's body must be read.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        self.body.is_some()
    }

    /// Judges an answer; `body` is as much of it as is looked at.
    ///
    /// # Errors
    /// What it is not like.
    pub fn judge(&self, head: &ResponseHead, body: &[u8]) -> Result<(), Mismatch> {
        let status = head.status.as_u16();
        let is_right = match &self.status {
            Some(statuses) => statuses.ranges.iter().any(|range| range.contains(&status)) != statuses.is_negated,
            None => (200..=399).contains(&status),
        };
        if !is_right {
            return Err(Mismatch::Status(status));
        }
        if let Some(header) = self.headers.iter().find(|header| !header.is_right(head)) {
            return Err(Mismatch::Header(header.name.clone()));
        }
        match &self.body {
            Some((pattern, is_negated)) if pattern.is_match(body) == *is_negated => Err(Mismatch::Body),
            _ => Ok(()),
        }
    }

    /// Reads a `match` block.
    ///
    /// # Errors
    /// What is wrong with the block as a whole; what is wrong in it is reported to `arguments`.
    pub fn read(arguments: &mut Arguments<'_>) -> Result<Self, ArgumentError> {
        let mut read = Self { name: arguments.text(0)?.to_owned(), ..Self::default() };
        for node in arguments.block().unwrap_or_default() {
            if let Err(diagnostic) = read_node(node, &mut read, arguments.diagnostics()) {
                arguments.report(diagnostic);
            }
        }
        Ok(read)
    }
}

impl Header {
    fn is_right(&self, head: &ResponseHead) -> bool {
        let name = self.name.as_bytes();
        let mut values =
            head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
        match &self.test {
            HeaderTest::IsThere => values.next().is_some(),
            HeaderTest::IsNotThere => values.next().is_none(),
            HeaderTest::Equals(text) => values.any(|value| value == text.as_bytes()),
            HeaderTest::Differs(text) => values.all(|value| value != text.as_bytes()),
            HeaderTest::Matches(pattern) => values.any(|value| pattern.is_match(value)),
            HeaderTest::MatchesNot(pattern) => !values.any(|value| pattern.is_match(value)),
        }
    }
}

fn read_node(node: &Node, read: &mut Match, diagnostics: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    match CONDITIONS.iter().find(|condition| node.is(condition.name)) {
        // Its conditions stand in no other block, so that no context of their own is needed.
        Some(condition) => condition.apply(node, Context::ANY, read, diagnostics),
        None if node.is("require") => {
            Err(Diagnostic::error(node.name.span, "directive \"require\" is not supported by daemun yet"))
        }
        None => Err(unknown_directive(node, CONDITIONS.iter().map(|condition| condition.name))),
    }
}

static CONDITIONS: &[Directive<Match>] = &[
    Directive {
        name: "status",
        contexts: Context::ANY,
        arity: Arity::AtLeast(1),
        default: "200-399",
        help: "[!] code|range ...: statuses that are right",
        set: set_status,
    },
    Directive {
        name: "header",
        contexts: Context::ANY,
        arity: Arity::Between(1, 3),
        default: "none",
        help: "[!] name | name = text | name != text | name ~ expression | name !~ expression: a field of the answer",
        set: set_header,
    },
    Directive {
        name: "body",
        contexts: Context::ANY,
        arity: Arity::Exactly(2),
        default: "none",
        help: "~|!~ expression: the answer's first 256 KB",
        set: |read, arguments| {
            let is_negated = match arguments.text(0)? {
                "~" => false,
                "!~" => true,
                _ => return Err(arguments.invalid_parameter(0)),
            };
            let body = (pattern(arguments, 1)?, is_negated);
            arguments.set_once(&mut read.body, body)
        },
    },
];

fn set_status(read: &mut Match, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let is_negated = arguments.text(0)? == "!";
    let mut ranges = Vec::new();
    for (position, word) in arguments.words().iter().enumerate().skip(usize::from(is_negated)) {
        let (first, last) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
        let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code));
        match (code(first), code(last)) {
            (Some(first), Some(last)) if first <= last => ranges.push(first..=last),
            _ => return Err(arguments.invalid_value(position)),
        }
    }
    if ranges.is_empty() {
        return Err(ArgumentError::new(None, "invalid number of arguments in \"status\" directive"));
    }
    arguments.set_once(&mut read.status, Statuses { ranges, is_negated })
}

fn set_header(read: &mut Match, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let text = |position: usize| arguments.text(position);
    let (name, test) = match arguments.len() {
        1 => (text(0)?, HeaderTest::IsThere),
        2 if text(0)? == "!" => (text(1)?, HeaderTest::IsNotThere),
        3 => {
            let test = match text(1)? {
                "=" => HeaderTest::Equals(text(2)?.to_owned()),
                "!=" => HeaderTest::Differs(text(2)?.to_owned()),
                "~" => HeaderTest::Matches(pattern(arguments, 2)?),
                "!~" => HeaderTest::MatchesNot(pattern(arguments, 2)?),
                _ => return Err(arguments.invalid_parameter(1)),
            };
            (text(0)?, test)
        }
        _ => return Err(arguments.invalid_parameter(0)),
    };
    read.headers.push(Header { name: name.to_owned(), test });
    Ok(())
}

fn pattern(arguments: &Arguments<'_>, position: usize) -> Result<Pattern, ArgumentError> {
    let text = arguments.text(position)?;
    Pattern::new(text, false).map_err(|error| ArgumentError::new(Some(position), error.to_string()))
}

#[cfg(test)]
mod tests {
    use daemun_http::StatusCode;

    use super::*;

    fn judged(block: &str, status: u16, fields: &[(&str, &str)], body: &str) -> bool {
        let parsed = daemun_conf::parse_text("test", &format!("match m {{ {block} }}"));
        let mut diagnostics = Vec::new();
        let read = Match::read(&mut Arguments::new(&parsed.tree[0], &mut diagnostics)).expect("a block");
        assert!(diagnostics.is_empty(), "{block}: {diagnostics:?}");
        let mut head = ResponseHead::new(StatusCode::new(status).expect("a status"));
        for (name, value) in fields {
            head.headers.append(name.as_bytes(), value.as_bytes());
        }
        read.judge(&head, body.as_bytes()).is_ok()
    }

    #[test]
    fn conditions_are_all_to_be_met() {
        assert!(judged("", 302, &[], "") && !judged("", 500, &[], ""));
        assert!(judged("status 200 301-302;", 302, &[], "") && !judged("status ! 200;", 200, &[], ""));
        let html = [("Content-Type", "text/html")];
        for (condition, is_met) in [
            ("header content-type;", true),
            ("header ! Content-Type;", false),
            ("header X;", false),
            ("header Content-Type = text/html;", true),
            ("header Content-Type != text/html;", false),
            ("header Content-Type ~ ^text;", true),
            ("header Content-Type !~ ^text;", false),
            ("body ~ \"well+come\";", true),
            ("body !~ come;", false),
        ] {
            assert_eq!(judged(&format!("status 200; {condition}"), 200, &html, "wellcome"), is_met, "{condition}");
        }
    }
}
