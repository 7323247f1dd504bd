//! What `daemun check` says of a configuration that would start and yet is hardly what its author meant.
//!
//! Each warning names a place, what is wrong there, and what would be right. A configuration without the fault must get none: what
//! cannot be known for sure is left alone.

mod alias;
mod bypass;
mod client_keys;
mod ineffective;
mod inheritance;

use daemun_conf::{Diagnostic, Node, Sources, Span};

/// All warnings of a configuration, in the order of their places.
pub fn review(tree: &[Node], sources: &Sources) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for http in children(tree, "http") {
        let http_review = Review { sources, http };
        bypass::review(&http_review, &mut found);
        inheritance::review(&http_review, &mut found);
        ineffective::review(&http_review, &mut found);
        client_keys::review(&http_review, &mut found);
        alias::review(http, &mut found);
    }
    found.sort_by_key(|one| one.span.map(|span| (span.file, span.line, span.column)));
    found
}

/// What is reviewed.
struct Review<'a> {
    sources: &'a Sources,
    http: &'a Node,
}

impl Review<'_> {
    /// `FILE:LINE`.
    fn place(&self, span: Span) -> String {
        let name = self.sources.source(span.file).map(|source| source.name().to_owned()).unwrap_or_default();
        format!("{name}:{}", span.line)
    }
}

/// The nodes of this name.
fn children<'a>(nodes: &'a [Node], name: &'static str) -> impl Iterator<Item = &'a Node> {
    nodes.iter().filter(move |node| node.is(name))
}

/// An argument's text, empty where there is none.
fn argument(node: &Node, at: usize) -> &str {
    node.args.get(at).map_or("", |word| word.text.as_str())
}

/// Whether `node` or a block in it has a directive that `is_wanted`.
fn has_within(node: &Node, is_wanted: &dyn Fn(&Node) -> bool) -> bool {
    node.children().iter().any(|child| is_wanted(child) || has_within(child, is_wanted))
}

/// A location as written: its modifier, if any, and its name.
fn location_name(node: &Node) -> String {
    let words: Vec<_> = node.args.iter().map(|word| word.text.as_str()).collect();
    format!("location {}", words.join(" "))
}
