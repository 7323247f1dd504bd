//! The file that standard output and error are, and how it is opened anew once it has been moved away.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// Remembers where the log is; `None` where it is no file of this pool.
pub fn keep(path: Option<&Path>) {
    // A path from a configuration has no NUL in it, and there is one pool in a process.
    if let Some(path) = path.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok()) {
        let _ = PATH.set(path);
    }
}

/// Opens the file anew and puts it behind descriptors 1 and 2. May be called from a signal handler.
///
/// # Errors
/// What the system says; the old file stays in use.
pub fn reopen() -> io::Result<()> {
    let Some(path) = PATH.get() else { return Ok(()) };
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: the path is a live C string; open() may be called from a signal handler.
    let file = unsafe { libc::open(path.as_ptr(), flags, 0o644) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    for standard in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: takes two numbers, of which the first is open; replaces in one step what others may be writing to.
        unsafe { libc::dup2(file, standard) };
    }
    // SAFETY: ours alone since it was opened.
    unsafe { libc::close(file) };
    Ok(())
}

static PATH: OnceLock<CString> = OnceLock::new();
