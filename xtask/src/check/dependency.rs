//! What others wrote and we build on: deny.toml, held to what Cargo says, and no dependency that is not used. The format of
//! deny.toml is cargo-deny's, one entry per line.

use crate::check::direction::line_of;
use crate::finding::Finding;
use crate::metadata::{Metadata, Package};
use crate::rust::{Source, Token};
use crate::tree::{Tree, crate_of};

/// Where the rules stand.
const PATH: &str = "deny.toml";

/// Reports licences that are not allowed, packages where they are banned, and dependencies that no source names.
pub fn check(tree: &Tree, sources: &[Source<'_>], metadata: &Metadata) -> Vec<Finding> {
    let rules = Rules::read(tree.text(PATH).unwrap_or_default());
    let mut findings = rules.unread;
    for package in metadata.packages() {
        if !is_allowed(&package.licence, &rules.licences) {
            let licence = if package.licence.is_empty() { "no licence" } else { package.licence.as_str() };
            let message = format!("{} {} has {licence}, which `allow` does not cover", package.name, package.version);
            findings.push(Finding::new(PATH, 1, message));
        }
        for ban in &rules.bans {
            findings.extend(banned_use(tree, package, ban));
        }
    }
    for ban in &rules.bans {
        if ban.reason.is_empty() {
            findings.push(Finding::new(PATH, ban.line, format!("`{}` is banned without a `reason`", ban.name)));
        }
        findings.extend(stale_wrappers(metadata, ban));
    }
    findings.extend(metadata.members().flat_map(|(package, manifest)| unused(tree, sources, package, manifest)));
    findings
}

fn unused(tree: &Tree, sources: &[Source<'_>], package: &Package, manifest: &str) -> Vec<Finding> {
    let own: Vec<_> = sources.iter().filter(|source| crate_of(source.path) == crate_of(manifest)).collect();
    let is_named = |name: &str| {
        let word = name.replace('-', "_");
        own.iter().flat_map(|source| source.tokens.iter()).filter_map(Token::word).any(|found| found == word)
    };
    let unused = package.built_from.iter().chain(&package.tested_with).filter(|name| !is_named(name));
    let message = |name| format!("no source of {} names `{name}`; leave it out", package.name);
    unused.map(|name| Finding::new(manifest, line_of(tree, manifest, name), message(name))).collect()
}

fn banned_use(tree: &Tree, user: &Package, ban: &Ban<'_>) -> Option<Finding> {
    let is_used = user.built_from.contains(ban.name) || user.tested_with.contains(ban.name);
    if !is_used || ban.wrappers.contains(&user.name.as_str()) {
        return None;
    }
    let ours: Vec<&str> = ban.wrappers.iter().copied().filter(|name| name.starts_with("daemun")).collect();
    let only = if ours.is_empty() { "none of ours".to_owned() } else { ours.join(", ") };
    let message = format!("{} uses `{}`, which is for {only} by {PATH}: {}", user.name, ban.name, ban.reason);
    Some(match &user.manifest {
        Some(manifest) => Finding::new(manifest, line_of(tree, manifest, ban.name), message),
        None => Finding::new(PATH, ban.line, message),
    })
}

/// Leave that one of our own crates has and no longer needs.
fn stale_wrappers(metadata: &Metadata, ban: &Ban<'_>) -> Vec<Finding> {
    let stale = metadata.members().map(|(package, _)| package).filter(|package| {
        let is_used = package.built_from.contains(ban.name) || package.tested_with.contains(ban.name);
        ban.wrappers.contains(&package.name.as_str()) && !is_used
    });
    stale
        .map(|package| Finding::new(PATH, ban.line, format!("{} does not use `{}` any more", package.name, ban.name)))
        .collect()
}

#[derive(Default)]
struct Rules<'a> {
    licences: Vec<&'a str>,
    bans: Vec<Ban<'a>>,
    unread: Vec<Finding>,
}

struct Ban<'a> {
    line: usize,
    name: &'a str,
    wrappers: Vec<&'a str>,
    reason: &'a str,
}

impl<'a> Rules<'a> {
    fn read(text: &'a str) -> Self {
        let mut rules = Self::default();
        let mut section = "";
        let mut list = "";
        for (at, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.starts_with('[') {
                section = trimmed;
            } else if let Some(key) = trimmed.strip_suffix(" = [") {
                list = key;
            } else if trimmed == "]" {
                list = "";
            } else if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            } else if (section, list) == ("[licenses]", "allow") {
                rules.licences.extend(in_quotes(trimmed).next());
            } else if (section, list) == ("[bans]", "deny") {
                match Ban::read(at + 1, trimmed) {
                    Some(ban) => rules.bans.push(ban),
                    None => rules.unread.push(Finding::new(
                        PATH,
                        at + 1,
                        "cannot be read; write `{ crate = \"name\", wrappers = [\"user\"], reason = \"why\" },`",
                    )),
                }
            }
        }
        rules
    }
}

impl<'a> Ban<'a> {
    fn read(line: usize, text: &'a str) -> Option<Self> {
        let name = in_quotes(text.strip_prefix("{ crate = ")?).next()?;
        let wrappers = text.split_once("wrappers = [").and_then(|(_, rest)| rest.split_once(']'));
        let wrappers = wrappers.map(|(wrappers, _)| in_quotes(wrappers).collect()).unwrap_or_default();
        let reason = text.split_once("reason = ").and_then(|(_, rest)| in_quotes(rest).next()).unwrap_or_default();
        Some(Self { line, name, wrappers, reason })
    }
}

fn in_quotes(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// Whether an SPDX expression can be met with the licences that are allowed. `/` is the old way to write `OR`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed) && words.next().is_none()
}

type Words<'w, 'a> = &'w mut std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: Words<'_, '_>, allowed: &[&str]) -> bool {
    let mut result = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        result |= all_of(words, allowed);
    }
    result
}

fn all_of(words: Words<'_, '_>, allowed: &[&str]) -> bool {
    let mut result = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        result &= one(words, allowed);
    }
    result
}

fn one(words: Words<'_, '_>, allowed: &[&str]) -> bool {
    match words.next() {
        Some("(") => any_of(words, allowed) & words.next_if_eq(&")").is_some(),
        Some(licence) if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next().unwrap_or_default();
            allowed.contains(&format!("{licence} WITH {exception}").as_str())
        }
        Some(licence) => allowed.contains(&licence),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    const RULES: &str = "\
[licenses]
allow = [
    \"Apache-2.0\",
    \"MIT\", # short
]

[bans]
deny = [
    # Python.
    { crate = \"pyo3\", wrappers = [\"daemun-wsgi\"], reason = \"one door to Python\" },
]
";

    fn found(rules: &str, metadata: &Metadata) -> Vec<String> {
        let files = [
            ("deny.toml", rules),
            ("crates/app/Cargo.toml", "[dependencies]\npyo3.workspace = true\n"),
            ("crates/app/src/lib.rs", "use pyo3::Python;"),
            ("crates/wsgi/src/lib.rs", "use pyo3::Python;"),
        ];
        let tree = Tree::of(&files);
        printed(&check(&tree, &tree.sources(), metadata))
    }

    #[test]
    fn allowed_packages_in_their_places_are_in_order() {
        let metadata = Metadata::of(&[("wsgi", &["pyo3"]), ("app", &[])]).with("pyo3", "MIT OR Apache-2.0", &[]);
        assert!(found(RULES, &metadata).is_empty(), "{:?}", found(RULES, &metadata));
    }

    #[test]
    fn a_foreign_licence_is_found() {
        let metadata = Metadata::of(&[("wsgi", &["pyo3"])]).with("left", "GPL-3.0-only", &[]).with("right", "", &[]);
        let expected = [
            "deny.toml:1: left 1.2.3 has GPL-3.0-only, which `allow` does not cover",
            "deny.toml:1: right 1.2.3 has no licence, which `allow` does not cover",
        ];
        assert_eq!(found(RULES, &metadata), expected);
    }

    #[test]
    fn expressions_are_understood() {
        let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        for expression in [
            "MIT",
            "GPL-2.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(expression, &allowed), "{expression}");
        }
        for expression in [
            "",
            "Apache-2.0",
            "MIT AND GPL-2.0",
            "(MIT",
            "MIT MIT",
            "Apache-2.0 WITH other",
            "GPL-2.0 OR (MIT AND Zlib)",
        ] {
            assert!(!is_allowed(expression, &allowed), "{expression}");
        }
    }

    #[test]
    fn a_banned_use_is_found_with_its_reason() {
        let metadata = Metadata::of(&[("wsgi", &["pyo3"]), ("app", &["pyo3"])]).with("numpy", "MIT", &["pyo3"]);
        let expected = [
            "crates/app/Cargo.toml:2: daemun-app uses `pyo3`, which is for daemun-wsgi by deny.toml: one door to Python",
            "deny.toml:10: numpy uses `pyo3`, which is for daemun-wsgi by deny.toml: one door to Python",
        ];
        assert_eq!(found(RULES, &metadata), expected);
    }

    #[test]
    fn a_dependency_that_nothing_names_is_found() {
        let metadata = Metadata::of(&[("app", &["pyo3", "serde-json"]), ("wsgi", &[])]);
        let rules = "[licenses]\nallow = [\n    \"Apache-2.0\",\n]\n";
        assert_eq!(
            found(rules, &metadata),
            ["crates/app/Cargo.toml:1: no source of daemun-app names `serde-json`; leave it out"]
        );
    }

    #[test]
    fn rules_are_whole_and_needed() {
        let rules = "[bans]\ndeny = [\n    \"pyo3\",\n    { crate = \"tokio\", wrappers = [\"daemun-app\"] },\n]\n[licenses]\nallow = [\n    \"Apache-2.0\",\n]\n";
        let expected = [
            "deny.toml:3: cannot be read; write `{ crate = \"name\", wrappers = [\"user\"], reason = \"why\" },`",
            "deny.toml:4: `tokio` is banned without a `reason`",
            "deny.toml:4: daemun-app does not use `tokio` any more",
        ];
        assert_eq!(found(rules, &Metadata::of(&[("app", &[])])), expected);
    }
}
