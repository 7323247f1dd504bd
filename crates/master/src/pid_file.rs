//! The file that tells others the master's process id.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};

use crate::SignalError;

/// A pid file this process has written.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    content: String,
}

impl PidFile {
    /// Writes this process's id to `path`; a reader sees the old file or the new one, never half of it.
    ///
    /// # Errors
    ///
    /// Those of creating and writing the file.
    pub fn write(path: &Path) -> io::Result<Self> {
        // Made absolute, since the process may change its directory before it removes the file.
        let path = std::path::absolute(path)?;
        let content = format!("{}\n", std::process::id());
        if !replace(&path, &content) {
            // The directory may be closed to us and the file still be ours to write.
            overwrite(&path, &content)?;
        }
        Ok(Self { path, content })
    }

    /// Removes the file if it still holds this process's id; tells whether it did.
    ///
    /// # Errors
    ///
    /// Those of removing; a file that is gone or that a successor has written is no error.
    pub fn remove(&self) -> io::Result<bool> {
        match fs::read_to_string(&self.path) {
            Ok(content) if content == self.content => fs::remove_file(&self.path).map(|()| true),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether this is the file that `path` names.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        std::path::absolute(path).is_ok_and(|path| path == self.path)
    }

    /// Renames it to `.oldbin`: another master will write its own.
    pub(crate) fn move_aside(&mut self) -> io::Result<()> {
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(ASIDE);
        self.rename(PathBuf::from(aside))
    }

    /// Takes [`PidFile::move_aside`] back.
    pub(crate) fn move_back(&mut self) -> io::Result<()> {
        let octets = self.path.as_os_str().as_bytes();
        let Some(octets) = octets.strip_suffix(ASIDE.as_bytes()) else { return Ok(()) };
        self.rename(PathBuf::from(OsStr::from_bytes(octets)))
    }

    fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        fs::rename(&self.path, &to)?;
        self.path = to;
        Ok(())
    }

    /// The absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Puts a new file in the place of `path`; tells whether it could.
fn replace(path: &Path, content: &str) -> bool {
    // A link or a device, such as /dev/null, is written through, not replaced.
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return false;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let replaced = create(Path::new(&temporary), content).and_then(|()| fs::rename(&temporary, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&temporary); // Gone already, or never made.
    }
    replaced.is_ok()
}

fn create(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(content.as_bytes())
}

/// Sends `signal` to the process whose id is in the file at `path`.
///
/// # Errors
///
/// See [`SignalError`].
pub fn signal_by_pid_file(path: &Path, signal: Signal) -> Result<(), SignalError> {
    let open = |source| SignalError::Open { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(open)?;
    // Not `i32`: kill() takes negative numbers for groups.
    let pid = text.trim().parse::<u32>().ok().and_then(|number| Pid::from_raw(i32::try_from(number).ok()?));
    let pid = pid.ok_or_else(|| SignalError::NoPid { path: path.to_owned(), text: text.trim().to_owned() })?;
    let kill = |error: rustix::io::Errno| SignalError::Kill {
        pid: pid.as_raw_nonzero().get(),
        signal: signal.as_raw(),
        source: error.into(),
    };
    rustix::process::kill_process(pid, signal).map_err(kill)
}

fn overwrite(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
    file.write_all(content.as_bytes())
}

const MODE: u32 = 0o644;

/// What nginx appends to the pid file's name while two masters are there.
const ASIDE: &str = ".oldbin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_file_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pid");
        fs::write(&path, "stale\n").expect("writable");
        let file = PidFile::write(&path).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("readable"), format!("{}\n", std::process::id()));
        fs::write(&path, "1\n").expect("writable");
        assert!(!file.remove().expect("looked at"));
        assert!(path.exists());
        PidFile::write(&path).expect("written");
        assert!(file.remove().expect("removed"));
        assert!(!file.remove().expect("gone already"));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_device_is_written_through() {
        let file = PidFile::write(Path::new("/dev/null")).expect("written");
        assert!(!file.remove().expect("looked at"));
        assert!(!fs::metadata("/dev/null").expect("still there").is_file());
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        PidFile::write(Path::new("/run/no-such-folder/pid")).expect_err("nowhere to write");
    }
}
