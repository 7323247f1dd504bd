//! How files are read: a trait, so that tests and tools can bring texts of their own.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::glob;
use crate::limits::FILE_BYTES_MAX;

/// Reads files for the parser.
pub trait Loader {
    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The paths that a pattern with `*`, `?` or `[ ]` matches, in the order of their bytes; none is fine.
    ///
    /// # Errors
    ///
    /// When a folder on the way cannot be read though it is there.
    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The files of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSystem;

impl Loader for FileSystem {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        glob::expand(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn files_of_this_machine() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let main = folder.path().join("main.conf");
        std::fs::write(&main, "include sites/*; include sites; include none/*; include none;").expect("a file");
        std::fs::create_dir(folder.path().join("sites")).expect("a folder");
        for name in ["b", "a"] {
            std::fs::write(folder.path().join("sites").join(name), format!("site {name};")).expect("a file");
        }

        let parsed = parse(&FileSystem, &main, folder.path());

        let sites: Vec<&str> = parsed.tree.iter().map(|node| node.args[0].text.as_str()).collect();
        assert_eq!(sites, ["a", "b"]);
        let messages: Vec<&str> = parsed.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        assert_eq!(messages.len(), 2);
        assert!(messages[0].ends_with("/sites\" failed (21: Is a directory)"), "{}", messages[0]);
        assert!(messages[1].ends_with("/none\" failed (2: No such file or directory)"), "{}", messages[1]);
    }
}
