//! Bodies in files: without a name as long as nobody wants one (`client_body_in_file_only`).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::temporary::temporary_file;
use crate::response::OpenFile;

/// Where bodies are kept, and under which names: `client_body_temp_path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyFolder {
    /// The folder.
    pub path: PathBuf,
    /// Digits in the names of the folders below it, three levels at most.
    pub levels: Vec<u8>,
}

/// `client_body_in_file_only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFile {
    /// Only a body that is too large for memory, and without a name.
    Large,
    /// Every body, until the request ends.
    Always,
    /// Every body, for good.
    Kept,
}

/// A body in a file.
#[derive(Debug)]
pub(super) struct StoredBody {
    pub(super) file: Rc<OpenFile>,
    /// Octets.
    pub(super) length: u64,
    /// Its name, or what would be its name.
    pub(super) path: PathBuf,
    removes: bool,
}

impl Drop for StoredBody {
    fn drop(&mut self) {
        if self.removes {
            // Whoever was given the name may have removed it, or moved it away.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A body on its way into a file.
pub(super) struct Storing {
    file: File,
    length: u64,
    path: PathBuf,
    in_file: InFile,
}

impl Storing {
    /// Makes the file.
    pub(super) fn begin(folder: &BodyFolder, in_file: InFile) -> io::Result<Self> {
        if in_file == InFile::Large {
            let file = temporary_file(&folder.path)?;
            return Ok(Self { file, length: 0, path: folder.name(next_number()), in_file });
        }
        for _ in 0..NAMES_TRIED_MAX {
            let path = folder.name(next_number());
            let mut created = create(&path);
            if matches!(created, Err(Errno::NOENT)) {
                std::fs::create_dir_all(path.parent().unwrap_or(&folder.path))?;
                created = create(&path);
            }
            match created {
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
                Ok(file) => return Ok(Self { file, length: 0, path, in_file }),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    pub(super) fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.length += octets.len() as u64;
        self.file.write_all(octets)
    }

    pub(super) fn finish(self) -> StoredBody {
        let Self { file, length, path, in_file } = self;
        let file = Rc::new(OpenFile { descriptor: OwnedFd::from(file) });
        StoredBody { file, length, path, removes: in_file == InFile::Always }
    }
}

impl BodyFolder {
    /// The name of file `number`: its last digits are the folders on the way.
    fn name(&self, number: u32) -> PathBuf {
        let digits = format!("{number:010}");
        let mut path = self.path.clone();
        let mut end = digits.len();
        for level in &self.levels {
            let start = end.saturating_sub(usize::from(*level));
            path.push(&digits[start..end]);
            end = start;
        }
        path.push(digits);
        path
    }
}

/// A number that this process has not used for a long time, and other processes have hardly used.
fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let seed = crate::thread::process_seed() as u32;
    NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(seed)
}

fn create(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Names tried for a file before it is given up.
const NAMES_TRIED_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::{BodyFolder, InFile, Storing};

    #[test]
    fn names_have_the_levels_of_their_folder() {
        let name = |levels: &[u8]| BodyFolder { path: "/t".into(), levels: levels.to_vec() }.name(12_345_678);
        assert_eq!(name(&[]).to_str(), Some("/t/0012345678"));
        assert_eq!(name(&[1, 2]).to_str(), Some("/t/8/67/0012345678"));
        assert_eq!(name(&[3, 3, 3]).to_str(), Some("/t/678/345/012/0012345678"));
    }

    #[test]
    fn a_file_lives_as_long_as_its_body_or_for_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = BodyFolder { path: folder.path().join("new"), levels: vec![1] };
        for (in_file, during, after) in
            [(InFile::Large, false, false), (InFile::Always, true, false), (InFile::Kept, true, true)]
        {
            let mut storing = Storing::begin(&folder, in_file).expect("made");
            storing.append(b"octets").expect("written");
            let stored = storing.finish();
            let path = stored.path.clone();
            assert_eq!((stored.length, path.exists()), (6, during), "{in_file:?}");
            drop(stored);
            assert_eq!(path.exists(), after, "{in_file:?}");
        }
    }
}
