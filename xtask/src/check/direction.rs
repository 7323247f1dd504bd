//! Which crate may use which: the table in ARCHITECTURE.md, compared with the manifests both ways.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::metadata::{Metadata, Package};
use crate::tree::Tree;

/// Where the table stands.
const PATH: &str = "ARCHITECTURE.md";

/// How the table begins.
const HEADING: &str = "| crate | uses |";

/// Crates of features: they meet in the program's one list of modules, and nowhere else.
const FEATURES: [&str; 4] = ["modules", "proxy", "cache", "app"];

/// Reports uses that the table does not know, and rows that are true no longer.
pub fn check(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let Some(table) = Table::read(tree.text(PATH).unwrap_or_default()) else {
        return vec![Finding::new(PATH, 1, format!("has no table of crates, which begins with `{HEADING}`"))];
    };
    let ours: BTreeMap<&str, &str> =
        metadata.members().map(|(package, _)| (package.name.as_str(), package.short_name())).collect();
    let mut findings = Vec::new();
    for (package, manifest) in metadata.members() {
        let name = package.short_name();
        let used: BTreeSet<&str> =
            package.built_from.iter().filter_map(|name| ours.get(name.as_str()).copied()).collect();
        let Some(row) = table.rows.get(name) else {
            findings.push(Finding::new(PATH, table.line, format!("the table of crates has no row for `{name}`")));
            continue;
        };
        for used in used.difference(&row.uses) {
            let line = line_of(tree, manifest, &format!("daemun-{used}"));
            let message = format!("`{name}` uses `{used}`, which the table of crates in {PATH} does not allow");
            findings.push(Finding::new(manifest, line, message));
        }
        for unused in row.uses.difference(&used) {
            let message = format!("`{name}` does not use `{unused}`; the manifest of `{name}` does not name it");
            findings.push(Finding::new(PATH, row.line, message));
        }
        findings.extend(feature_uses(tree, manifest, package, &used));
    }
    for (name, row) in &table.rows {
        if !ours.values().any(|known| known == name) {
            findings.push(Finding::new(PATH, row.line, format!("there is no crate `{name}`")));
        }
    }
    findings
}

fn feature_uses(tree: &Tree, manifest: &str, package: &Package, used: &BTreeSet<&str>) -> Vec<Finding> {
    let name = package.short_name();
    let others = FEATURES.iter().filter(|other| FEATURES.contains(&name) && used.contains(**other));
    let finding = |other: &&str| {
        let line = line_of(tree, manifest, &format!("daemun-{other}"));
        let message =
            format!("`{name}` uses `{other}`; crates of features never use one another, they meet in the program");
        Finding::new(manifest, line, message)
    };
    others.map(finding).collect()
}

/// The line of a manifest on which a dependency stands; what the whole workspace may choose from does not count.
pub fn line_of(tree: &Tree, manifest: &str, dependency: &str) -> usize {
    let mut is_for_all = false;
    let names_it = |line: &str| {
        if line.starts_with('[') {
            is_for_all = line.starts_with("[workspace");
        }
        let rest = line.trim_start().strip_prefix(dependency);
        !is_for_all && rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    tree.text(manifest).unwrap_or_default().lines().position(names_it).map_or(1, |at| at + 1)
}

struct Table<'a> {
    line: usize,
    rows: BTreeMap<&'a str, Row<'a>>,
}

struct Row<'a> {
    line: usize,
    uses: BTreeSet<&'a str>,
}

impl<'a> Table<'a> {
    /// Finds the table; a cell's crates are its words in backticks.
    fn read(text: &'a str) -> Option<Self> {
        let start = text.lines().position(|line| line.starts_with(HEADING))?;
        let lines = text.lines().enumerate().skip(start + 2).take_while(|(_, line)| line.starts_with('|'));
        let mut rows = BTreeMap::new();
        for (at, line) in lines {
            let mut cells = line.split('|').skip(1);
            let name = cells.next().and_then(|cell| in_backticks(cell).next());
            let uses = cells.next().map(|cell| in_backticks(cell).collect()).unwrap_or_default();
            if let Some(name) = name {
                rows.insert(name, Row { line: at + 1, uses });
            }
        }
        Some(Self { line: start + 1, rows })
    }
}

fn in_backticks(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    const TABLE: &str = "# A\n\n| crate | uses | why |\n|---|---|---|\n| `http` | | |\n| `server` | `http` | |\n";

    fn found(table: &str, members: &[(&str, &[&str])]) -> Vec<String> {
        let manifest = "[dependencies]\ndaemun-http.workspace = true\ndaemun-server.workspace = true\n";
        let tree = Tree::of(&[("ARCHITECTURE.md", table), ("crates/http/Cargo.toml", manifest)]);
        printed(&check(&tree, &Metadata::of(members)))
    }

    #[test]
    fn a_true_table_is_in_order() {
        assert!(found(TABLE, &[("http", &["memchr"]), ("server", &["daemun-http", "tokio"])]).is_empty());
    }

    #[test]
    fn a_use_against_the_direction_is_found_in_the_manifest() {
        let expected = "crates/http/Cargo.toml:3: `http` uses `server`, which the table of crates in ARCHITECTURE.md does not allow";
        assert_eq!(found(TABLE, &[("http", &["daemun-server"]), ("server", &["daemun-http"])]), [expected]);
    }

    #[test]
    fn a_row_that_is_true_no_longer_is_found() {
        let expected = "ARCHITECTURE.md:6: `server` does not use `http`; the manifest of `server` does not name it";
        assert_eq!(found(TABLE, &[("http", &[]), ("server", &[])]), [expected]);
    }

    #[test]
    fn rows_and_crates_belong_together() {
        let expected = [
            "ARCHITECTURE.md:3: the table of crates has no row for `net`",
            "ARCHITECTURE.md:6: there is no crate `server`",
        ];
        assert_eq!(found(TABLE, &[("http", &[]), ("net", &[])]), expected);
        let expected = "ARCHITECTURE.md:1: has no table of crates, which begins with `| crate | uses |`";
        assert_eq!(found("# A\n", &[]), [expected]);
    }

    #[test]
    fn a_dependency_is_found_below_what_the_workspace_has() {
        let text = "[workspace.dependencies]\na = \"1\"\n\n[dependencies]\na-b = \"1\"\na.workspace = true\n";
        assert_eq!(line_of(&Tree::of(&[("Cargo.toml", text)]), "Cargo.toml", "a"), 6);
    }

    #[test]
    fn features_never_use_one_another_whatever_the_table_says() {
        let table = "| crate | uses |\n|---|---|\n| `app` | `proxy` |\n| `proxy` | |\n";
        let expected = "crates/app/Cargo.toml:1: `app` uses `proxy`; crates of features never use one another, they meet in the program";
        assert_eq!(found(table, &[("app", &["daemun-proxy"]), ("proxy", &[])]), [expected]);
    }
}
