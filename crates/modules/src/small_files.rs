//! Small files, kept in memory for as long as `stat` says that they are unchanged: one call in place of four, and one per turn of the
//! event loop where many requests ask for the same file. What a turn handles had arrived before it began, so a client that has
//! changed a file and then asks for it gets the new one. (A turn that goes on for longer than the clock's tick looks again.)
//!
//! A file counts as unchanged while device, number, size and time of last change of its inode (`ctime`, which nobody can set)
//! are the same. A file that was changed just now is not kept: a second change within the same tick of the system's clock would
//! not show. What stays unseen is a store through a shared mapping into a page that was dirty before; nobody publishes so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;

use bytes::Bytes;
use daemun_server::limits::SMALL_FILE_BYTES;
use daemun_server::response::OpenFile;
use daemun_server::{clock, thread};

use crate::open_file::{FileFacts, OpenError, OpenedFile, Validators, look_at_open, stat};

/// Octets that one thread keeps.
const KEPT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Files that one thread keeps.
const KEPT_FILES_MAX: usize = 4096;

/// How long ago a file must have changed to be kept.
const QUIET_SECONDS: i64 = 2;

const _: () = assert!(SMALL_FILE_BYTES * 16 <= KEPT_BYTES_MAX);

thread_local! {
    static FILES: RefCell<SmallFiles> = RefCell::default();
}

/// A small file with its content.
#[derive(Clone, Debug)]
pub struct SmallFile {
    /// As `stat` gave them.
    pub facts: FileFacts,
    /// The same as header fields.
    pub validators: Validators,
    /// All of it.
    pub content: Bytes,
}

struct Kept {
    file: SmallFile,
    /// Count of uses at the last one.
    used: u64,
    /// When it was last seen to be unchanged.
    seen: Moment,
}

/// A turn of the loop, and the clock's tick within it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    turn: u64,
    tick_ms: u64,
}

impl Moment {
    fn now() -> Self {
        Self { turn: thread::turn(), tick_ms: clock::monotonic_ms() }
    }
}

#[derive(Default)]
struct SmallFiles {
    by_key: HashMap<Box<[u8]>, Kept>,
    octets: u64,
    /// Counts uses, to tell which file was used last.
    uses: u64,
}

/// The file at `path` where it is kept and unchanged; `None` where it must be opened.
///
/// # Errors
/// What `stat` says of a file that was kept.
pub fn find(path: &CStr) -> Result<Option<SmallFile>, OpenError> {
    find_by_key(path.to_bytes(), || stat(path))
}

/// As [`find`], for a file that `open_file_cache` holds open: it is looked at through its descriptor.
pub fn of_open_file(opened: &OpenedFile) -> Option<SmallFile> {
    if opened.facts.size > SMALL_FILE_BYTES {
        return None;
    }
    let key = key_of(opened.facts.identity);
    match find_by_key(&key, || look_at_open(&opened.file)) {
        Ok(Some(small)) => Some(small),
        // The cache knows the file as it was when it was opened; what is sent is what it is now.
        Ok(None) => keep_by_key(&key, &opened.file, &look_at_open(&opened.file).ok()?),
        Err(_) => None,
    }
}

/// No path begins with NUL.
fn key_of((device, number): (u64, u64)) -> [u8; 17] {
    let mut key = [0; 17];
    key[1..9].copy_from_slice(&device.to_ne_bytes());
    key[9..].copy_from_slice(&number.to_ne_bytes());
    key
}

fn find_by_key(
    key: &[u8],
    look: impl FnOnce() -> Result<FileFacts, OpenError>,
) -> Result<Option<SmallFile>, OpenError> {
    FILES.with_borrow_mut(|files| {
        files.uses += 1;
        let Some(kept) = files.by_key.get_mut(key) else { return Ok(None) };
        kept.used = files.uses;
        let now = Moment::now();
        if kept.seen == now {
            return Ok(Some(kept.file.clone()));
        }
        if look()? == kept.file.facts {
            kept.seen = now;
            return Ok(Some(kept.file.clone()));
        }
        files.forget(key);
        Ok(None)
    })
}

/// Reads a file that has just been opened, if it is one to keep, and keeps it.
pub fn keep(path: &CStr, file: &OpenFile, facts: &FileFacts) -> Option<SmallFile> {
    keep_by_key(path.to_bytes(), file, facts)
}

fn keep_by_key(key: &[u8], file: &OpenFile, facts: &FileFacts) -> Option<SmallFile> {
    let is_quiet = clock::unix_seconds() - facts.changed.0 >= QUIET_SECONDS;
    if !is_quiet || facts.size == 0 || facts.size > SMALL_FILE_BYTES {
        return None;
    }
    let content = read_all(file, usize::try_from(facts.size).ok()?)?;
    let kept = SmallFile { facts: *facts, validators: Validators::of(facts), content };
    FILES.with_borrow_mut(|files| files.insert(key, kept.clone()));
    Some(kept)
}

/// `None` where the file is shorter than it was a moment ago.
fn read_all(file: &OpenFile, size: usize) -> Option<Bytes> {
    let mut content = vec![0; size];
    let mut at = 0;
    while at < size {
        let read = rustix::io::pread(&file.descriptor, content.get_mut(at..)?, at as u64).ok()?;
        if read == 0 {
            return None;
        }
        at += read;
    }
    Some(content.into())
}

impl SmallFiles {
    fn insert(&mut self, key: &[u8], file: SmallFile) {
        self.forget(key);
        if self.by_key.len() >= KEPT_FILES_MAX || self.octets + file.facts.size > KEPT_BYTES_MAX {
            self.forget_older_half();
        }
        self.octets += file.facts.size;
        let seen = Moment { turn: thread::turn().wrapping_sub(1), tick_ms: 0 }; // The next use looks again.
        self.by_key.insert(key.into(), Kept { file, used: self.uses, seen });
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(kept) = self.by_key.remove(key) {
            self.octets -= kept.file.facts.size;
        }
    }

    fn forget_older_half(&mut self) {
        let mut uses: Vec<u64> = self.by_key.values().map(|kept| kept.used).collect();
        uses.sort_unstable();
        let Some(&median) = uses.get(uses.len() / 2) else { return };
        self.by_key.retain(|_, kept| kept.used > median);
        self.octets = self.by_key.values().map(|kept| kept.file.facts.size).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;
    use crate::open_file::open_and_look;

    fn c_path(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).expect("no NUL")
    }

    fn look(path: &CStr) -> (OpenFile, FileFacts) {
        open_and_look(path).expect("the file is there")
    }

    /// As if the file had changed long ago.
    fn keep_old(path: &CStr) -> Option<SmallFile> {
        let (file, facts) = look(path);
        let old = FileFacts { changed: (0, 0), ..facts };
        let kept = keep(path, &file, &old);
        FILES.with_borrow_mut(|files| files.by_key.values_mut().for_each(|kept| kept.file.facts = facts));
        kept
    }

    #[test]
    fn a_kept_file_is_found_until_it_changes_or_goes() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a");
        fs::write(&path, "one").expect("write");
        let name = c_path(&path);
        assert!(find(&name).expect("unknown").is_none());
        assert_eq!(keep_old(&name).expect("kept").content, "one");
        assert_eq!(find(&name).expect("stat").expect("kept").content, "one");
        fs::write(&path, "longer").expect("write");
        daemun_server::thread::next_turn();
        assert!(find(&name).expect("stat").is_none());
        assert_eq!(keep_old(&name).expect("kept").content, "longer");
        fs::remove_file(&path).expect("remove");
        daemun_server::thread::next_turn();
        assert!(find(&name).is_err());
    }

    #[test]
    fn a_file_that_changed_just_now_is_not_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a");
        fs::write(&path, "one").expect("write");
        let name = c_path(&path);
        let (file, facts) = look(&name);
        assert!(keep(&name, &file, &facts).is_none());
        assert!(find(&name).expect("unknown").is_none());
    }

    #[test]
    fn the_files_used_last_survive_a_full_memory() {
        let folder = tempfile::tempdir().expect("folder");
        let content = vec![b'x'; SMALL_FILE_BYTES as usize];
        let names: Vec<_> = (0..KEPT_BYTES_MAX / SMALL_FILE_BYTES + 1)
            .map(|number| {
                let path = folder.path().join(number.to_string());
                fs::write(&path, &content).expect("write");
                c_path(&path)
            })
            .collect();
        for name in &names {
            let (file, facts) = look(name);
            let _ = find(name);
            keep(name, &file, &FileFacts { changed: (0, 0), ..facts }).expect("kept");
        }
        FILES.with_borrow(|files| {
            assert!(files.octets <= KEPT_BYTES_MAX);
            assert!(files.by_key.contains_key(names[names.len() - 1].to_bytes()));
            assert!(!files.by_key.contains_key(names[0].to_bytes()));
        });
    }
}
