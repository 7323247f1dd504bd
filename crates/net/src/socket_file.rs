//! The file of a unix socket: whose it is, and why it cannot be reached.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A socket file that this process made, remembered by inode so that a successor's file is never removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Remembers the file that is at `path` now.
    ///
    /// # Errors
    ///
    /// Whatever `lstat` says.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        // The path is made absolute, since the process may change its directory before it removes the file.
        let path = std::path::absolute(path)?;
        Ok(Self { path, device: metadata.dev(), inode: metadata.ino() })
    }

    /// The absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file if it is still the one that was remembered; tells whether it did.
    ///
    /// # Errors
    ///
    /// Whatever `unlink` says; a file that is gone already is no error.
    pub fn remove(&self) -> io::Result<bool> {
        let metadata = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if metadata.dev() != self.device || metadata.ino() != self.inode {
            return Ok(false);
        }
        fs::remove_file(&self.path).map(|()| true)
    }
}

/// Says which component of `path` keeps this process from reaching it, in words for a log line.
///
/// `None` if every component can be reached. Meant for the line after a failed `connect()` or `bind()`: "Permission denied"
/// alone does not tell whether the socket or one of its parent directories refuses.
#[must_use]
pub fn refusal_on_path(path: &Path) -> Option<String> {
    let user = rustix::process::geteuid().as_raw();
    let mut components: Vec<&Path> = path.ancestors().filter(|part| !part.as_os_str().is_empty()).collect();
    components.reverse();
    for component in components {
        let metadata = match fs::metadata(component) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some(format!("\"{}\" does not exist", component.display()));
            }
            // Its parent was reachable but refuses the look-up; the parent was reported before this one.
            Err(_) => return None,
        };
        let kind = metadata.file_type();
        let wanted = if kind.is_dir() { rustix::fs::Access::EXEC_OK } else { rustix::fs::Access::WRITE_OK };
        if component != path && !kind.is_dir() {
            return Some(format!("\"{}\" is not a directory", component.display()));
        }
        let refused = rustix::fs::accessat(rustix::fs::CWD, component, wanted, rustix::fs::AtFlags::EACCESS).is_err();
        if refused {
            let mut text = format!("user id {user} may not ");
            text.push_str(if kind.is_dir() { "enter" } else { "write to" });
            let what = if kind.is_socket() { "socket " } else { "" };
            let (mode, owner, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
            let _ = write!(text, " {what}\"{}\" (mode {mode:o}, owner {owner}:{group})", component.display());
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successors_file_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x");
        fs::write(&path, "old").expect("writable");
        let file = SocketFile::of(&path).expect("there");
        fs::rename(&path, folder.path().join("away")).expect("renamed");
        fs::write(&path, "new").expect("writable");
        assert!(!file.remove().expect("looked at"));
        assert!(path.exists());
        fs::rename(folder.path().join("away"), &path).expect("renamed");
        assert!(file.remove().expect("removed"));
        assert!(!file.remove().expect("gone already"));
    }

    #[test]
    fn the_missing_component_is_named() {
        let text = refusal_on_path(Path::new("/run/no-such-folder-here/x.sock")).expect("refused");
        assert_eq!(text, "\"/run/no-such-folder-here\" does not exist");
        assert_eq!(refusal_on_path(Path::new("/tmp")), None);
    }
}
