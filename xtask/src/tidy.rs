//! `cargo xtask tidy`: all checks, all findings.

use std::path::Path;
use std::process::ExitCode;

use crate::check;
use crate::finding::Finding;
use crate::metadata::Metadata;
use crate::rust::Source;
use crate::tree::Tree;

/// What the checks look at.
pub struct House<'a> {
    /// The files.
    pub tree: &'a Tree,
    /// The Rust files among them.
    pub sources: &'a [Source<'a>],
    /// What Cargo knows.
    pub metadata: &'a Metadata,
}

/// A check: looks at the house and says what is wrong.
type Check = fn(&House<'_>) -> Vec<Finding>;

/// All checks that need nothing but the house; the manuals come after them, since they need the program.
const CHECKS: &[Check] = &[
    |house| check::direction::check(house.tree, house.metadata),
    |house| check::dependency::check(house.tree, house.sources, house.metadata),
    |house| check::member::check(house.tree, house.metadata),
    |house| check::purity::check(house.sources, house.metadata),
    |house| check::danger::check(house.sources),
    |house| check::size::check(house.sources),
    |house| check::name::check(house.tree, house.sources),
    |house| check::unfinished::check(house.sources),
    |house| check::wording::check(house.tree),
    |house| check::truth::check(house.tree, house.sources),
];

/// Runs all checks and prints what they find.
///
/// # Errors
///
/// When the house cannot be looked at: git or Cargo fails.
pub fn run(root: &Path) -> Result<ExitCode, String> {
    let tree = Tree::read(root)?;
    let sources = tree.sources();
    let metadata = Metadata::read(root)?;
    let house = House { tree: &tree, sources: &sources, metadata: &metadata };
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&house)).collect();
    findings.extend(crate::manual::check(root, &tree));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    eprintln!("tidy: {} files, {}: {} findings", tree.files().len(), check::size::summary(&sources), findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
