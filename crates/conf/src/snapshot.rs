//! The files of a configuration as they were at one time, so that another process reads the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::loader::Loader;

/// Reads through another loader and keeps what it gave.
pub struct Recorder<'a> {
    inner: &'a dyn Loader,
    taken: RefCell<Snapshot>,
}

impl<'a> Recorder<'a> {
    /// Nothing has been read yet.
    #[must_use]
    pub fn new(inner: &'a dyn Loader) -> Self {
        Self { inner, taken: RefCell::default() }
    }

    /// Everything that was read.
    #[must_use]
    pub fn finish(self) -> Snapshot {
        self.taken.into_inner()
    }
}

impl Loader for Recorder<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self.inner.read(path)?;
        self.taken.borrow_mut().files.insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let paths = self.inner.glob(pattern)?;
        self.taken.borrow_mut().patterns.insert(pattern.to_owned(), paths.clone());
        Ok(paths)
    }
}

/// Files and patterns with what they gave. What was never asked for, or could not be read, is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, Vec<u8>>,
    patterns: BTreeMap<PathBuf, Vec<PathBuf>>,
}

impl Snapshot {
    /// The same with what `other` has in its place.
    #[must_use]
    pub fn with(&self, other: Self) -> Self {
        let mut both = self.clone();
        both.files.extend(other.files);
        both.patterns.extend(other.patterns);
        both
    }

    /// All of it as octets: lists with their lengths in front, numbers as 8 octets, least significant first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, self.files.len());
        for (path, bytes) in &self.files {
            put(&mut out, path.as_os_str().as_bytes());
            put(&mut out, bytes);
        }
        put_number(&mut out, self.patterns.len());
        for (pattern, paths) in &self.patterns {
            put(&mut out, pattern.as_os_str().as_bytes());
            put_number(&mut out, paths.len());
            paths.iter().for_each(|path| put(&mut out, path.as_os_str().as_bytes()));
        }
        out
    }

    /// Reads what [`Snapshot::encode`] wrote; `None` where it is anything else.
    #[must_use]
    pub fn decode(mut octets: &[u8]) -> Option<Self> {
        let mut snapshot = Self::default();
        for _ in 0..take_number(&mut octets)? {
            let path = take_path(&mut octets)?;
            snapshot.files.insert(path, take(&mut octets)?.to_vec());
        }
        for _ in 0..take_number(&mut octets)? {
            let pattern = take_path(&mut octets)?;
            let count = take_number(&mut octets)?;
            let paths = (0..count).map(|_| take_path(&mut octets)).collect::<Option<_>>()?;
            snapshot.patterns.insert(pattern, paths);
        }
        octets.is_empty().then_some(snapshot)
    }
}

impl Loader for Snapshot {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        self.patterns.get(pattern).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn put_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&(number as u64).to_le_bytes());
}

fn put(out: &mut Vec<u8>, octets: &[u8]) {
    put_number(out, octets.len());
    out.extend_from_slice(octets);
}

fn take_number(octets: &mut &[u8]) -> Option<usize> {
    let (number, rest) = octets.split_first_chunk()?;
    *octets = rest;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}

fn take<'a>(octets: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_number(octets)?;
    let (taken, rest) = octets.split_at_checked(length)?;
    *octets = rest;
    Some(taken)
}

fn take_path(octets: &mut &[u8]) -> Option<PathBuf> {
    Some(PathBuf::from(OsString::from_vec(take(octets)?.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileSystem, parse};

    #[test]
    fn the_same_is_read_again_after_the_files_have_changed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let main = folder.path().join("main.conf");
        std::fs::write(&main, "include sites/*; include none/*; last;").expect("a file");
        std::fs::create_dir(folder.path().join("sites")).expect("a folder");
        for name in ["a", "b"] {
            std::fs::write(folder.path().join("sites").join(name), format!("site {name};")).expect("a file");
        }
        let recorder = Recorder::new(&FileSystem);
        let first = parse(&recorder, &main, folder.path());
        let snapshot = recorder.finish();
        std::fs::remove_dir_all(folder.path().join("sites")).expect("removed");
        std::fs::write(&main, "other;").expect("a file");

        let sent = Snapshot::decode(&snapshot.encode()).expect("what was written");
        assert_eq!(sent, snapshot);
        let second = parse(&sent, &main, folder.path());
        assert_eq!(format!("{:?}", second.tree), format!("{:?}", first.tree));
        assert!(second.diagnostics.is_empty(), "{:?}", second.diagnostics);
        assert_eq!(second.tree.len(), 3);
    }

    #[test]
    fn half_of_it_is_nothing() {
        let recorder = Recorder::new(&FileSystem);
        recorder.read(Path::new("/proc/self/stat")).expect("a file");
        recorder.glob(Path::new("/pro[c]")).expect("a folder");
        let octets = recorder.finish().encode();
        assert!(Snapshot::decode(&octets).is_some());
        for length in 0..octets.len() {
            assert_eq!(Snapshot::decode(&octets[..length]), None, "{length}");
        }
        assert_eq!(Snapshot::decode(&[0xff; 64]), None);
    }
}
