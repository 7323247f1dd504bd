//! Nothing in the repository names the machine it was written on, or the place its packages came from.

use crate::finding::Finding;
use crate::tree::Tree;

/// Folders of a machine, and hosts of registries: tools are asked for a package by its name alone. Written in halves, since this
/// file is checked as well.
const FOREIGN: [&str; 9] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pytho", "nhosted"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("docker", ".io"),
];

/// What Cargo writes of its own registry, whatever mirror a machine uses.
const LOCKED_SOURCE: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

/// Reports such words.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        let lines = file.text.lines().enumerate();
        if file.path.ends_with("Cargo.lock") {
            findings.extend(lines.filter_map(|(at, line)| foreign_source(&file.path, at + 1, line)));
            continue;
        }
        for (at, line) in lines {
            let foreign = FOREIGN.iter().filter(|foreign| names(line, foreign));
            findings.extend(foreign.map(|foreign| {
                let message =
                    format!("`{foreign}` holds on one machine only; name it relative to the repository, or not at all");
                Finding::new(&file.path, at + 1, message)
            }));
        }
    }
    findings
}

/// Whether the word stands in `line`, a folder only where the path begins with it.
fn names(line: &str, word: &str) -> bool {
    let is_inner = |before: &str| before.ends_with(|last: char| last.is_alphanumeric() || "._-}".contains(last));
    line.match_indices(word).any(|(at, _)| !(word.starts_with('/') && is_inner(&line[..at])))
}

fn foreign_source(path: &str, line_number: usize, line: &str) -> Option<Finding> {
    let source = line.strip_prefix("source = ")?.trim_matches('"');
    let message = || format!("`{source}` is a source of one machine; Cargo's own is `{LOCKED_SOURCE}`");
    (source != LOCKED_SOURCE).then(|| Finding::new(path, line_number, message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    #[test]
    fn a_path_of_one_machine_is_found() {
        let text = concat!("a\ncd /wo", "rk/main\n");
        let expected = concat!(
            "scripts/x:2: `/wo",
            "rk/` holds on one machine only; name it relative to the repository, or not at all"
        );
        assert_eq!(printed(&check(&Tree::of(&[("scripts/x", text)]))), [expected]);
        let text = concat!("network/a ./wo", "rk/a {folder}/wo", "rk/a");
        assert!(check(&Tree::of(&[("scripts/x", text)])).is_empty());
    }

    #[test]
    fn a_registry_is_found() {
        let text = concat!("pip install --index-url https://pypi", ".org/simple x\n");
        assert_eq!(check(&Tree::of(&[("scripts/x", text)])).len(), 1);
    }

    #[test]
    fn a_mirror_in_the_lock_file_is_found() {
        let text = format!("source = \"{LOCKED_SOURCE}\"\nsource = \"registry+https://mirror/index\"\n");
        let found = printed(&check(&Tree::of(&[("Cargo.lock", &text)])));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("Cargo.lock:2: `registry+https://mirror/index` is a source of one machine"),
            "{found:?}"
        );
    }
}
