//! The repository's files: what git tracks, and what it would track if added now.

use std::path::Path;
use std::process::Command;

use crate::rust::Source;

/// A text file of the repository.
#[derive(Debug)]
pub struct TextFile {
    /// Relative to the root, with `/` between folders.
    pub path: String,
    /// What stands in it; empty where it is not UTF-8.
    pub text: String,
}

/// All files of the repository, in git's order.
#[derive(Debug)]
pub struct Tree {
    files: Vec<TextFile>,
}

impl Tree {
    /// Reads the work tree at `root`.
    ///
    /// # Errors
    ///
    /// When git is missing or `root` is no repository.
    pub fn read(root: &Path) -> Result<Self, String> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
        let output = Command::new("git").args(arguments).current_dir(root).output();
        let output = output.map_err(|error| format!("git cannot be run: {error}"))?;
        if !output.status.success() {
            return Err(format!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut files = Vec::new();
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            // A file that is deleted and not yet committed so, and a link to a folder, are none of ours.
            if let Ok(octets) = std::fs::read(root.join(path)) {
                files.push(TextFile { path: path.to_owned(), text: String::from_utf8(octets).unwrap_or_default() });
            }
        }
        Ok(Self { files })
    }

    /// A tree made up for a test.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| TextFile { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }

    /// All files.
    pub fn files(&self) -> &[TextFile] {
        &self.files
    }

    /// The text of the file at `path`.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// Whether `path` is a file, or a folder that holds one.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files
            .iter()
            .any(|file| file.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// The Rust files, read into tokens. Those that a `#[cfg(test)] mod name;` brings in count as tests whole.
    pub fn sources(&self) -> Vec<Source<'_>> {
        let rust_files = self.files.iter().filter(|file| file.path.ends_with(".rs"));
        let mut sources: Vec<_> = rust_files.map(|file| Source::read(&file.path, &file.text)).collect();
        let test_modules: Vec<String> = sources.iter().flat_map(Source::outline_test_modules).collect();
        for source in &mut sources {
            let is_within = |module: &String| {
                let rest = source.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            if test_modules.iter().any(is_within) || is_test_folder(source.path) {
                source.mark_as_test();
            }
        }
        sources
    }
}

fn is_test_folder(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz" | "examples" | "conformance"))
}

/// The short name of the crate that a path belongs to: the folder below crates/, or the folder at the root.
pub fn crate_of(path: &str) -> &str {
    let inner = path.strip_prefix("crates/").unwrap_or(path);
    match inner.split_once('/') {
        Some(("src", _)) | None => "daemun",
        Some((folder, _)) => folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_knows_its_crate() {
        assert_eq!(crate_of("crates/http/src/date.rs"), "http");
        assert_eq!(crate_of("src/main.rs"), "daemun");
        assert_eq!(crate_of("xtask/src/main.rs"), "xtask");
    }

    #[test]
    fn a_folder_is_there_when_a_file_is_in_it() {
        let tree = Tree::of(&[("crates/http/src/lib.rs", "")]);
        assert!(tree.has("crates/http"));
        assert!(tree.has("crates/http/"));
        assert!(tree.has("crates/http/src/lib.rs"));
        assert!(!tree.has("crates/ht"));
    }

    #[test]
    fn a_module_for_tests_in_a_file_of_its_own_is_a_test_whole() {
        let tree = Tree::of(&[
            ("crates/http/src/lib.rs", "mod head;"),
            ("crates/http/src/head.rs", "fn a() {}\n#[cfg(test)]\nmod tests;\n"),
            ("crates/http/src/head/tests.rs", "fn b() {}"),
            ("crates/http/tests/whole.rs", "fn c() {}"),
        ]);
        let is_test: Vec<bool> = tree.sources().iter().map(Source::is_test).collect();
        assert_eq!(is_test, [false, false, true, true]);
    }
}
