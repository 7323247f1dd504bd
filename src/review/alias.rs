//! `alias` whose end does not go with the location's: a slash too few or too many.

use daemun_conf::{Diagnostic, Node};
use daemun_server::config::read_matcher;
use daemun_server::route::Matcher;

use super::{argument, children};

pub(super) fn review(node: &Node, found: &mut Vec<Diagnostic>) {
    for child in node.children() {
        if child.is("location") {
            location(child, found);
        }
        review(child, found);
    }
}

fn location(node: &Node, found: &mut Vec<Diagnostic>) {
    let Some(alias) = children(node.children(), "alias").next() else { return };
    let Ok((Some(Matcher::Prefix { name, .. }), _)) = read_matcher(node, None) else { return };
    let (path, span) = (argument(alias, 0), alias.args.first().map_or(alias.name.span, |word| word.span));
    if path.contains('$') || name == "/" && path.is_empty() {
        return;
    }
    let warning = match (name.ends_with('/'), path.ends_with('/')) {
        (false, true) => {
            let message = format!(
                "\"{name}../\" leads out of \"alias {path}\": daemun answers such paths 404, nginx serves what stands beside the folder"
            );
            Diagnostic::warning(span, message)
                .with_hint(format!("write \"location {name}/\", or \"alias {}\"", bare(path)))
        }
        (true, false) => {
            let message =
                format!("\"{name}file\" stands for {path}file: \"alias\" lacks the slash that the location has");
            Diagnostic::warning(span, message).with_hint(format!("write \"alias {path}/\""))
        }
        _ => return,
    };
    found.push(warning);
}

fn bare(path: &str) -> &str {
    path.trim_end_matches('/')
}
