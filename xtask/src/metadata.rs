//! What Cargo knows of the workspace and of everything it is built from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The packages that the program, its tests and its tools are built from on this platform.
#[derive(Debug, Default)]
pub struct Metadata {
    packages: Vec<Package>,
}

/// A package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The licence expression of its manifest; empty where it has none.
    pub licence: String,
    /// Names of packages that it is built from: normal and build dependencies.
    pub built_from: BTreeSet<String>,
    /// Names of packages that only its tests use.
    pub tested_with: BTreeSet<String>,
    /// The manifest, relative to the root; `None` for a package that is not of this workspace.
    pub manifest: Option<String>,
}

impl Package {
    /// The folder's name for one of ours, which is its short name everywhere but in Cargo.
    pub fn short_name(&self) -> &str {
        self.name.strip_prefix("daemun-").unwrap_or(&self.name)
    }
}

impl Metadata {
    /// Asks Cargo about the workspace at `root`.
    ///
    /// # Errors
    ///
    /// When Cargo fails, or says something else than it does by its documentation.
    pub fn read(root: &Path) -> Result<Self, String> {
        let host = host_of(root)?;
        let arguments = ["metadata", "--format-version", "1", "--filter-platform", &host];
        let text = output_of(Command::new(cargo()).args(arguments).current_dir(root), "cargo metadata")?;
        let value: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
        Self::from_json(&value).ok_or_else(|| "cargo metadata: the answer is not of format version 1".to_owned())
    }

    /// Reads Cargo's answer. `None` where something is missing in it.
    pub fn from_json(value: &Value) -> Option<Self> {
        let root = value["workspace_root"].as_str()?;
        let mut by_id = BTreeMap::new();
        for package in value["packages"].as_array()? {
            by_id.insert(package["id"].as_str()?, package);
        }
        let name_of = |id: &str| by_id.get(id).and_then(|package| package["name"].as_str());
        let mut packages = Vec::new();
        for node in value["resolve"]["nodes"].as_array()? {
            let package = by_id.get(node["id"].as_str()?)?;
            let mut read = Package {
                name: package["name"].as_str()?.to_owned(),
                version: package["version"].as_str()?.to_owned(),
                licence: package["license"].as_str().unwrap_or_default().to_owned(),
                ..Package::default()
            };
            if package["source"].is_null() {
                let manifest = package["manifest_path"].as_str()?;
                read.manifest = Some(manifest.strip_prefix(root)?.trim_start_matches('/').to_owned());
            }
            for dependency in node["deps"].as_array()? {
                let name = name_of(dependency["pkg"].as_str()?)?.to_owned();
                let kinds = dependency["dep_kinds"].as_array()?;
                let is_only_for_tests = kinds.iter().all(|kind| kind["kind"] == "dev");
                if is_only_for_tests { &mut read.tested_with } else { &mut read.built_from }.insert(name);
            }
            packages.push(read);
        }
        Some(Self { packages })
    }

    /// For the tests of the checks: packages of this workspace by their short names and what they are built from.
    #[cfg(test)]
    pub fn of(members: &[(&str, &[&str])]) -> Self {
        let package = |(name, built_from): &(&str, &[&str])| Package {
            name: format!("daemun-{name}"),
            version: "0.1.0".to_owned(),
            licence: "Apache-2.0".to_owned(),
            built_from: built_from.iter().map(|name| (*name).to_owned()).collect(),
            manifest: Some(format!("crates/{name}/Cargo.toml")),
            ..Package::default()
        };
        Self { packages: members.iter().map(package).collect() }
    }

    /// Adds a package from a registry, for the tests of the checks.
    #[cfg(test)]
    pub fn with(mut self, name: &str, licence: &str, built_from: &[&str]) -> Self {
        self.packages.push(Package {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            licence: licence.to_owned(),
            built_from: built_from.iter().map(|name| (*name).to_owned()).collect(),
            ..Package::default()
        });
        self
    }

    /// All packages.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// The packages of this workspace, each with its manifest.
    pub fn members(&self) -> impl Iterator<Item = (&Package, &str)> {
        self.packages.iter().filter_map(|package| Some((package, package.manifest.as_deref()?)))
    }

    /// The way from `package` to the nearest of `targets` by what is built from what; empty where there is none.
    pub fn way_to<'a>(&'a self, package: &'a Package, targets: &[&str]) -> Vec<&'a str> {
        let mut ways = vec![vec![package.name.as_str()]];
        let mut seen = BTreeSet::from([package.name.as_str()]);
        let mut next = 0;
        while let Some(way) = ways.get(next).cloned() {
            next += 1;
            let last = way.last().copied().unwrap_or_default();
            let built_from =
                self.packages.iter().filter(|package| package.name == last).flat_map(|last| &last.built_from);
            for name in built_from {
                let mut longer = way.clone();
                longer.push(name);
                if targets.contains(&name.as_str()) {
                    return longer;
                }
                if seen.insert(name) {
                    ways.push(longer);
                }
            }
        }
        Vec::new()
    }
}

/// The Cargo that runs this program.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// What `command` writes to its standard output.
///
/// # Errors
///
/// When it cannot be run or fails, with what it wrote to standard error.
pub fn output_of(command: &mut Command, what: &str) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{what}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{what}: the answer is not UTF-8"))
}

/// The platform, so that Cargo does not fetch what only others need.
fn host_of(root: &Path) -> Result<String, String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let text = output_of(Command::new(rustc).arg("-vV").current_dir(root), "rustc -vV")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cargos_answer_is_read() {
        let answer = json!({
            "workspace_root": "/x",
            "packages": [
                {"id": "a", "name": "daemun-a", "version": "0.1.0", "license": "MIT", "source": null, "manifest_path": "/x/crates/a/Cargo.toml"},
                {"id": "b", "name": "b", "version": "1.0.0", "license": null, "source": "registry", "manifest_path": "/y/Cargo.toml"},
                {"id": "c", "name": "c", "version": "1.0.0", "license": "MIT", "source": "registry", "manifest_path": "/z/Cargo.toml"},
            ],
            "resolve": {"nodes": [{"id": "a", "deps": [
                {"pkg": "b", "dep_kinds": [{"kind": null}, {"kind": "dev"}]},
                {"pkg": "c", "dep_kinds": [{"kind": "dev"}]},
            ]}]},
        });
        let metadata = Metadata::from_json(&answer).expect("the answer has everything");
        let (package, manifest) = metadata.members().next().expect("there is one member");
        assert_eq!(manifest, "crates/a/Cargo.toml");
        assert_eq!(package.short_name(), "a");
        assert_eq!(package.built_from, BTreeSet::from(["b".to_owned()]));
        assert_eq!(package.tested_with, BTreeSet::from(["c".to_owned()]));
        assert!(Metadata::from_json(&json!({"packages": []})).is_none());
    }

    #[test]
    fn a_way_is_found_through_others() {
        let metadata = Metadata::of(&[("a", &["b"])]).with("b", "MIT", &["c", "b"]).with("c", "MIT", &[]);
        let (package, _) = metadata.members().next().expect("there is one member");
        assert_eq!(metadata.way_to(package, &["c"]), ["daemun-a", "b", "c"]);
        assert!(metadata.way_to(package, &["d"]).is_empty());
    }
}
