//! Lists that a block has whole or not at all: one entry of its own, and those of the enclosing block are gone.

use daemun_conf::{Diagnostic, Node};

use super::{Review, argument, children, has_within};

/// A directive whose entries are inherited together.
struct List {
    name: &'static str,
    /// The directive by which a block says how it inherits.
    inheritance: Option<&'static str>,
    /// Whom the entries are for; a block that never asks them loses nothing.
    asked_by: Option<&'static str>,
}

const LISTS: [List; 6] = [
    List { name: "add_header", inheritance: Some("add_header_inherit"), asked_by: None },
    List { name: "add_trailer", inheritance: Some("add_trailer_inherit"), asked_by: None },
    List { name: "proxy_set_header", inheritance: None, asked_by: Some("proxy_pass") },
    List { name: "uwsgi_param", inheritance: None, asked_by: Some("uwsgi_pass") },
    List { name: "fastcgi_param", inheritance: None, asked_by: Some("fastcgi_pass") },
    List { name: "scgi_param", inheritance: None, asked_by: Some("scgi_pass") },
];

pub(super) fn review(review: &Review<'_>, found: &mut Vec<Diagnostic>) {
    for list in &LISTS {
        descend(review, list, review.http, &[], "on", found);
    }
}

/// `outer` are the entries in force around `block`, `mode` is how blocks inherit there.
fn descend<'a>(
    review: &Review<'_>,
    list: &List,
    block: &'a Node,
    outer: &[&'a Node],
    mode: &'a str,
    found: &mut Vec<Diagnostic>,
) {
    let said = list.inheritance.and_then(|name| children(block.children(), name).next());
    let mode = said.map_or(mode, |node| argument(node, 0));
    let own: Vec<_> = children(block.children(), list.name).collect();
    let in_force = match (own.is_empty(), mode) {
        (true, "off") => Vec::new(),
        (true, _) => outer.to_vec(),
        (false, "merge") => outer.iter().chain(&own).copied().collect(),
        (false, _) => {
            if mode != "off" {
                found.extend(lost(review, list, block, outer, &own));
            }
            own
        }
    };
    for child in block.children().iter().filter(|child| child.block.is_some()) {
        descend(review, list, child, &in_force, mode, found);
    }
}

fn lost(review: &Review<'_>, list: &List, block: &Node, outer: &[&Node], own: &[&Node]) -> Option<Diagnostic> {
    if list.asked_by.is_some_and(|pass| !has_within(block, &|node| node.is(pass))) {
        return None;
    }
    let is_kept = |node: &Node| own.iter().any(|other| argument(other, 0).eq_ignore_ascii_case(argument(node, 0)));
    let mut names: Vec<&str> = Vec::new();
    for node in outer.iter().filter(|node| !is_kept(node)) {
        if !names.contains(&argument(node, 0)) {
            names.push(argument(node, 0));
        }
    }
    let (first, from) = (own.first()?, outer.first()?);
    if names.is_empty() {
        return None;
    }
    let shown: Vec<_> = names.iter().take(NAMED_MAX).map(|name| format!("\"{name}\"")).collect();
    let more = match names.len().checked_sub(NAMED_MAX) {
        Some(more) if more > 0 => format!(" and {more} more"),
        _ => String::new(),
    };
    let (name, place) = (list.name, review.place(from.name.span));
    let message = format!(
        "\"{name}\" here drops {}{more} of {place}: a block has its own entries or inherits all",
        shown.join(", ")
    );
    let hint = match list.inheritance {
        Some(directive) => format!("repeat them here, or write \"{directive} merge;\""),
        None => "repeat them here, or include the same file in both blocks".to_owned(),
    };
    Some(Diagnostic::warning(first.name.span, message).with_hint(hint))
}

/// Entries that are named one by one.
const NAMED_MAX: usize = 4;
