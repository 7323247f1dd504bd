//! A file on its way to its name.

use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// A file beside the one that it is to become, under a hidden name of its own. It is gone when it is dropped before.
pub(super) struct Draft {
    file: File,
    path: PathBuf,
    is_published: bool,
}

impl Draft {
    /// Makes an empty draft for `target`, and the folders above it where `folders` gives their permissions.
    pub(super) fn create(target: &Path, folders: Option<u32>) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = target.parent().unwrap_or_else(|| Path::new("/"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".daemun-{}-{number}", std::process::id()));
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = match (open(), folders) {
            (Err(error), Some(mode)) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(mode).create(folder)?;
                open()?
            }
            (opened, _) => opened?,
        };
        Ok(Self { file, path, is_published: false })
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its permissions, its time of last change in Unix seconds, and its name.
    pub(super) fn publish(mut self, target: &Path, mode: Option<u32>, modified: Option<i64>) -> io::Result<()> {
        if let Some(mode) = mode {
            self.file.set_permissions(Permissions::from_mode(mode))?;
        }
        if let Some(modified) = modified {
            self.file.set_times(times(modified))?;
        }
        fs::rename(&self.path, target)?;
        self.is_published = true;
        Ok(())
    }
}

/// A time of last change, in Unix seconds, that is the time of last access too.
pub(super) fn times(modified: i64) -> FileTimes {
    let distance = Duration::from_secs(modified.unsigned_abs());
    let time = if modified < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance };
    FileTimes::new().set_modified(time).set_accessed(time)
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_published {
            // Nobody is left to be told.
            let _ = fs::remove_file(&self.path);
        }
    }
}
