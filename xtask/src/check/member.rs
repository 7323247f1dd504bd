//! Every crate says in one line what it is for, in its list, and at the head of its source; and takes the common lints.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::metadata::Metadata;
use crate::tree::Tree;

/// Where the list of crates stands.
const WORKSPACE: &str = "Cargo.toml";

/// Reports crates that do not say what they are for, or take no part in the workspace's lints.
pub fn check(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let listed = listed_members(tree.text(WORKSPACE).unwrap_or_default());
    let mut findings = Vec::new();
    for (_, manifest) in metadata.members() {
        let folder = manifest.trim_end_matches("Cargo.toml").trim_end_matches('/');
        match listed.get(folder) {
            _ if folder.is_empty() => {} // The program itself stands below the list.
            Some((_, true)) => {}
            Some((line, false)) => {
                let message =
                    format!("`{folder}` has no comment behind it that says in one line what the crate is for");
                findings.push(Finding::new(WORKSPACE, *line, message));
            }
            None => findings.push(Finding::new(WORKSPACE, 1, format!("`{folder}` is not listed by name in `members`"))),
        }
        if !has_common_lints(tree.text(manifest).unwrap_or_default()) {
            findings.push(Finding::new(
                manifest,
                1,
                "takes no part in the lints; `[lints]` with `workspace = true` does",
            ));
        }
    }
    findings.extend(tree.files().iter().filter_map(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let needs_head = matches!(name, "lib.rs" | "main.rs") && !file.text.starts_with("//!");
        needs_head
            .then(|| Finding::new(&file.path, 1, "begins without `//!`, a word on what this is and leaves to others"))
    }));
    findings
}

/// The folders in `members`, each with its line and whether a comment stands behind it.
fn listed_members(manifest: &str) -> BTreeMap<&str, (usize, bool)> {
    let lines = manifest.lines().enumerate().skip_while(|(_, line)| !line.starts_with("members"));
    let mut listed = BTreeMap::new();
    for (at, line) in lines.take_while(|(_, line)| !line.starts_with(']')) {
        for folder in line.split('"').skip(1).step_by(2) {
            let comment = line.split_once('#').map_or("", |(_, comment)| comment.trim());
            listed.insert(folder, (at + 1, !comment.is_empty()));
        }
    }
    listed
}

fn has_common_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]");
    lines.next().is_some() && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    const MANIFEST: &str = "[package]\n\n[lints]\nworkspace = true\n";

    fn found(workspace: &str, manifest: &str, lib: &str) -> Vec<String> {
        let files = [("Cargo.toml", workspace), ("crates/http/Cargo.toml", manifest), ("crates/http/src/lib.rs", lib)];
        printed(&check(&Tree::of(&files), &Metadata::of(&[("http", &[])])))
    }

    #[test]
    fn a_crate_that_says_what_it_is_for_is_in_order() {
        assert!(found("members = [\n    \"crates/http\", # messages\n]\n", MANIFEST, "//! Messages.\n").is_empty());
    }

    #[test]
    fn a_member_needs_its_comment() {
        let expected =
            "Cargo.toml:2: `crates/http` has no comment behind it that says in one line what the crate is for";
        assert_eq!(found("members = [\n    \"crates/http\", #\n]\n", MANIFEST, "//! Messages.\n"), [expected]);
        let expected = "Cargo.toml:1: `crates/http` is not listed by name in `members`";
        assert_eq!(found("members = [\n    \"crates/*\", # all\n]\n", MANIFEST, "//! Messages.\n"), [expected]);
    }

    #[test]
    fn a_library_begins_with_what_it_is() {
        let expected = "crates/http/src/lib.rs:1: begins without `//!`, a word on what this is and leaves to others";
        assert_eq!(found("members = [\n    \"crates/http\", # messages\n]\n", MANIFEST, "mod a;\n"), [expected]);
    }

    #[test]
    fn the_lints_are_common() {
        let expected = "crates/http/Cargo.toml:1: takes no part in the lints; `[lints]` with `workspace = true` does";
        assert_eq!(
            found("members = [\n    \"crates/http\", # messages\n]\n", "[lints]\n[lib]\n", "//! M.\n"),
            [expected]
        );
    }
}
