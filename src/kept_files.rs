//! Files beside the configuration that it is built of, such as certificates: looked at again and again, and read anew when they have
//! changed, without the configuration being read anew.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use daemun_conf::{FileSystem, Loader, Snapshot};

/// What tells one state of a file from another: where it is, how long it is, when it was last changed.
type Stamp = (u64, u64, i64, i64);

/// The files, as they were when they were last read.
#[derive(Default)]
pub struct KeptFiles {
    read: BTreeMap<PathBuf, Option<Stamp>>,
    /// A change that has been seen once: whoever writes several files is given time for it.
    seen: Option<BTreeMap<PathBuf, Option<Stamp>>>,
}

impl KeptFiles {
    /// These files as they are now.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self { read: paths.into_iter().map(|path| (path.to_owned(), stamp(path))).collect(), seen: None }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// Whether files have changed since they were read, and are the same as when this was last called.
    pub fn look(&mut self) -> bool {
        let now: BTreeMap<_, _> = self.read.keys().map(|path| (path.clone(), stamp(path))).collect();
        if now == self.read || now.values().any(Option::is_none) {
            self.seen = None; // One that is gone may be about to be replaced.
            return false;
        }
        let is_settled = self.seen.as_ref() == Some(&now);
        if is_settled {
            // Read or not, the next change is another.
            self.read = now;
            self.seen = None;
        } else {
            self.seen = Some(now);
        }
        is_settled
    }

    /// Reads these files as they are now, and all others as they were.
    pub fn renewing<'a>(&'a self, texts: &'a Snapshot) -> impl Loader + 'a {
        Renewing { files: self, texts }
    }
}

struct Renewing<'a> {
    files: &'a KeptFiles,
    texts: &'a Snapshot,
}

impl Loader for Renewing<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if self.files.read.contains_key(path) { FileSystem.read(path) } else { self.texts.read(path) }
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        self.texts.glob(pattern)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
}
