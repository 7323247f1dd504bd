//! Files for what does not fit into memory: without a name, gone with their last descriptor.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// A file without a name in `folder`, which is made if it is not there.
pub(crate) fn temporary_file(folder: &Path) -> io::Result<File> {
    let open = || rustix::fs::open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    let opened = match open() {
        Err(Errno::NOENT) => {
            fs::create_dir_all(folder)?;
            open()
        }
        other => other,
    };
    match opened {
        Ok(descriptor) => Ok(File::from(descriptor)),
        // What file systems say that know no such files (NFS, FUSE, old overlays), and kernels that do not.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => file_of_a_moment(folder),
        Err(error) => Err(error.into()),
    }
}

/// The same with a name, until it is open.
fn file_of_a_moment(folder: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut result = Err(io::ErrorKind::AlreadyExists.into());
    for _ in 0..NAMES_MAX {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        result = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        match &result {
            Ok(_) => {
                fs::remove_file(path)?;
                break;
            }
            // Left behind by an earlier process of the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => break,
        }
    }
    result
}

/// Names that are tried.
const NAMES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn no_name_is_left_by_either_way() {
        let folder = std::env::temp_dir().join(format!("daemun-temporary-{}", std::process::id()));
        let below = folder.join("made");
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join(format!("{}-0", std::process::id())), "somebody else's").expect("a file can be made");
        for mut file in [temporary_file(&below), file_of_a_moment(&folder), file_of_a_moment(&folder)]
            .map(|file| file.expect("a file can be made"))
        {
            let mut text = String::new();
            file.write_all(b"kept").expect("it can be written");
            file.rewind().expect("it can be read again");
            file.read_to_string(&mut text).expect("it can be read");
            assert_eq!(text, "kept");
        }
        assert_eq!(fs::read_dir(&below).expect("it is there").count(), 0);
        assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 2, "the folder below and the other's file");
        assert!(file_of_a_moment(&folder.join("absent")).is_err());
        fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
