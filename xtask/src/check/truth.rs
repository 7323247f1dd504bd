//! The texts that lead through the code name only what is there.

use crate::finding::Finding;
use crate::rust::{Definitions, Source};
use crate::tree::Tree;

/// The texts whose every name in backticks is looked up.
const GUIDES: [&str; 2] = [ARCHITECTURE, "docs/glossary.md"];

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Lines of ARCHITECTURE.md.
const ARCHITECTURE_LINES_MAX: usize = 500;

/// Where names come from that are not ours.
const FOREIGN: [&str; 6] = ["std", "tokio", "pyo3", "rustix", "bytes", "serde_json"];

/// Reports names and links that lead nowhere, and a guide that has grown too long.
pub fn check(tree: &Tree, sources: &[Source<'_>]) -> Vec<Finding> {
    let definitions = Definitions::of(sources);
    let mut findings = Vec::new();
    for path in GUIDES {
        let Some(text) = tree.text(path) else {
            findings.push(Finding::new(path, 1, "there is no such file; it leads newcomers through the code"));
            continue;
        };
        let lines = text.lines().count();
        if path == ARCHITECTURE && lines > ARCHITECTURE_LINES_MAX {
            let message = format!("has {lines} lines; {ARCHITECTURE_LINES_MAX} is the most that a newcomer reads");
            findings.push(Finding::new(path, 1, message));
        }
        for (line, name) in names_in_backticks(text) {
            if let Some(what) = what_is_missing(name, tree, &definitions) {
                findings.push(Finding::new(path, line, format!("`{name}` names {what}")));
            }
        }
    }
    findings.extend(misnumbered_decisions(tree));
    for file in tree.files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, target) in links(&file.text) {
            if !leads_somewhere(tree, folder, target) {
                findings.push(Finding::new(&file.path, line, format!("the link to `{target}` leads nowhere")));
            }
        }
    }
    findings
}

/// Decisions are told apart by their number: the file's, which its title repeats.
fn misnumbered_decisions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut taken: Vec<&str> = Vec::new();
    for file in tree.files() {
        let Some(number) = file.path.strip_prefix(DECISIONS).and_then(|name| name.get(..4)) else { continue };
        if taken.contains(&number) {
            findings.push(Finding::new(&file.path, 1, format!("there is another decision {number}")));
        }
        taken.push(number);
        if !file.text.starts_with(&format!("# {}. ", number.trim_start_matches('0'))) {
            findings.push(Finding::new(&file.path, 1, "the title does not begin with the file's number, as `# 7. `"));
        }
    }
    findings
}

/// Where they are, each as `0007-what-was-decided.md`.
const DECISIONS: &str = "docs/decisions/";

/// What a name would mean and does not; `None` where it is right, or not a name of ours.
fn what_is_missing(name: &str, tree: &Tree, definitions: &Definitions<'_>) -> Option<&'static str> {
    let is_path_character = |character: char| character.is_ascii_alphanumeric() || "_-./".contains(character);
    let looks_like_file = [".rs", ".md", ".toml"].iter().any(|ending| name.ends_with(ending));
    if name.chars().all(is_path_character) && (looks_like_file || name.contains('/') && !name.starts_with('/')) {
        let is_there = tree.has(name) || tree.files().iter().any(|file| file.path.ends_with(&format!("/{name}")));
        return (!is_there).then_some("no file or folder of the repository");
    }
    if tree.has(name) {
        return None;
    }
    let called = name.strip_suffix("()").unwrap_or(name);
    let is_name = called.split("::").all(is_identifier);
    let is_item = called.contains("::") || called.len() < name.len() || is_camel_case(called);
    let is_foreign = FOREIGN.iter().any(|foreign| called.split("::").next() == Some(foreign));
    (is_name && is_item && !is_foreign && !definitions.has(called)).then_some("nothing that the sources define")
}

fn is_identifier(part: &str) -> bool {
    part.chars().all(|character| character == '_' || character.is_ascii_alphanumeric())
        && part.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic())
}

fn is_camel_case(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.contains(|character: char| character.is_ascii_lowercase())
        && !word.contains('_')
}

/// What stands between backticks within a line, fenced blocks aside.
fn names_in_backticks(text: &str) -> impl Iterator<Item = (usize, &str)> {
    outside_of_fences(text).flat_map(|(line, text)| {
        let parts: Vec<&str> = text.split('`').collect();
        // A backtick without its second is no mark.
        let closed = parts.len() - parts.len().is_multiple_of(2) as usize;
        parts.into_iter().take(closed).skip(1).step_by(2).map(move |name| (line, name))
    })
}

fn outside_of_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        (!is_fenced && !is_fence).then_some((at + 1, line))
    })
}

/// Targets of links to other files.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    outside_of_fences(text).flat_map(|(line, text)| {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
        targets
            .filter(|target| !target.contains("://") && !target.starts_with(['#', '<']))
            .map(move |target| (line, target))
    })
}

fn leads_somewhere(tree: &Tree, folder: &str, target: &str) -> bool {
    let target = target.split('#').next().unwrap_or(target);
    let mut path: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = path.pop(),
            _ => path.push(part),
        }
    }
    tree.has(&path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    const SOURCE: &str = "pub struct Plan;\nimpl Plan { fn between() {} }\npub fn handle() {}";

    fn found(architecture: &str) -> Vec<String> {
        let files = [
            ("ARCHITECTURE.md", architecture),
            ("docs/glossary.md", ""),
            ("crates/server/src/engine.rs", SOURCE),
            ("README.md", ""),
            ("Makefile", ""),
        ];
        let tree = Tree::of(&files);
        printed(&check(&tree, &tree.sources()))
    }

    #[test]
    fn true_names_are_in_order() {
        let text = "`engine::handle` `Plan` `Plan::between` `handle()` `crates/server/` `engine.rs` `README.md` `Makefile` `-c` `uwsgi_pass`\n\
                    `std::mem::take` [a](README.md#b) [c](docs/) [d](https://e/) `/etc/nginx`\n\
                    ```\n`Nothing` [x](y)\n```\n";
        assert!(found(text).is_empty(), "{:?}", found(text));
    }

    #[test]
    fn names_of_nothing_are_found() {
        for name in ["Plans", "engine::handles", "run()", "Step::between"] {
            let expected = format!("ARCHITECTURE.md:2: `{name}` names nothing that the sources define");
            assert_eq!(found(&format!("\nSee `{name}` there.\n")), [expected]);
        }
        for name in ["crates/serve/", "crates/server/src/engines.rs", "engines.rs"] {
            let expected = format!("ARCHITECTURE.md:1: `{name}` names no file or folder of the repository");
            assert_eq!(found(&format!("`{name}`")), [expected]);
        }
    }

    #[test]
    fn links_lead_somewhere() {
        assert_eq!(found("[a](docs/none.md)"), ["ARCHITECTURE.md:1: the link to `docs/none.md` leads nowhere"]);
        let tree = Tree::of(&[
            ("docs/decisions/0001-a.md", "# 1. A [a](../glossary.md) [b](../b.md)"),
            ("docs/glossary.md", ""),
        ]);
        let found = printed(&check(&tree, &[]));
        assert!(
            found.contains(&"docs/decisions/0001-a.md:1: the link to `../b.md` leads nowhere".to_owned()),
            "{found:?}"
        );
        assert!(!found.iter().any(|finding| finding.contains("`../glossary.md` leads")), "{found:?}");
    }

    #[test]
    fn decisions_have_numbers_of_their_own() {
        let found = |second: (&str, &str)| {
            let first = ("docs/decisions/0001-a.md", "# 1. A\n");
            printed(&misnumbered_decisions(&Tree::of(&[first, second, ("docs/glossary.md", "")])))
        };
        assert!(found(("docs/decisions/0010-b.md", "# 10. B\n")).is_empty());
        let same = found(("docs/decisions/0001-b.md", "# 1. B\n"));
        assert_eq!(same, ["docs/decisions/0001-b.md:1: there is another decision 0001"]);
        assert_eq!(found(("docs/decisions/0002-b.md", "# 1. B\n")).len(), 1);
    }

    #[test]
    fn the_guides_are_there_and_short() {
        assert_eq!(printed(&check(&Tree::of(&[("docs/glossary.md", "")]), &[])).len(), 1);
        let expected = "ARCHITECTURE.md:1: has 501 lines; 500 is the most that a newcomer reads";
        assert_eq!(found(&"\n".repeat(501)), [expected]);
    }
}
