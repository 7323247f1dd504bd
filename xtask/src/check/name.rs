//! Files, folders and modules are named for a thing of the field.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::rust::{Source, Token};
use crate::tree::Tree;

/// Names that say nothing of what is in.
const EMPTY_NAMES: [&str; 9] = ["util", "utils", "common", "misc", "helper", "helpers", "core", "hs", "handy"];

/// Where such a name is a word of the field after all. Each with its reason.
const EXCEPTIONS: [(&str, &str); 1] =
    [("crates/server/src/config", "`core.rs` is what nginx calls the http core module: ngx_http_core_module")];

/// Reports names that say nothing.
pub fn check(tree: &Tree, sources: &[Source<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut folders = BTreeSet::new();
    for file in tree.files() {
        let mut path_length = 0;
        for part in file.path.split('/') {
            let folder = file.path[..path_length].trim_end_matches('/');
            path_length += part.len() + 1;
            let stem = part.split('.').next().unwrap_or(part);
            let path = &file.path[..path_length - 1];
            if EMPTY_NAMES.contains(&stem) && !is_exception(folder, stem) && folders.insert(path) {
                findings.push(Finding::new(path, 1, message(stem)));
            }
        }
    }
    for source in sources {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.is_word("mod")) {
            let name = source.tokens.get(at + 1).and_then(Token::word).unwrap_or_default();
            if EMPTY_NAMES.contains(&name) && !is_exception(folder, name) {
                findings.push(Finding::new(source.path, token.line, message(name)));
            }
        }
    }
    findings
}

fn is_exception(folder: &str, name: &str) -> bool {
    name == "core" && EXCEPTIONS.iter().any(|(excepted, _)| *excepted == folder)
}

fn message(name: &str) -> String {
    format!("`{name}` says nothing of what is in; name it for the thing it is about")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    fn found(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(&[(path, text)]);
        printed(&check(&tree, &tree.sources()))
    }

    #[test]
    fn empty_names_are_found_in_files_folders_and_modules() {
        let ending = "says nothing of what is in; name it for the thing it is about";
        assert_eq!(found("src/util.rs", ""), [format!("src/util.rs:1: `util` {ending}")]);
        assert_eq!(found("benches/helpers/load.py", ""), [format!("benches/helpers:1: `helpers` {ending}")]);
        assert_eq!(found("src/main.rs", "\nmod common {}"), [format!("src/main.rs:2: `common` {ending}")]);
    }

    #[test]
    fn the_http_core_is_a_word_of_the_field() {
        assert!(found("crates/server/src/config/core.rs", "").is_empty());
        assert!(found("crates/server/src/config/mod.rs", "mod core;").is_empty());
        assert_eq!(found("crates/http/src/core.rs", "").len(), 1);
    }

    #[test]
    fn a_name_may_contain_one() {
        assert!(found("src/commonwealth.rs", "mod misconduct;").is_empty());
    }
}
