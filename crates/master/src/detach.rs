//! Becoming a daemon, with the caller's terminal held until the start has succeeded or failed.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};

/// A daemon whose launcher still waits at the terminal.
///
/// Until [`Detached::let_go`], standard error is the terminal's, so that errors of the start reach whoever typed the command.
/// If the daemon ends before, its launcher exits with 1.
#[derive(Debug)]
pub struct Detached {
    launcher: OwnedFd,
    output: Option<OwnedFd>,
}

/// Goes on in a process of its own session, without a terminal to receive signals from; the directory stays.
///
/// The calling process does not return: it waits for [`Detached::let_go`] and exits with 0, or with 1 if that never comes. The process
/// must have no other thread.
///
/// # Errors
///
/// When no process or pipe can be made.
#[allow(unsafe_code)] // fork
pub fn daemonize() -> io::Result<Detached> {
    // What is still buffered would be written by both.
    io::stdout().flush()?;
    let (reader, launcher) = io::pipe()?;
    // SAFETY: the process has one thread, by the contract above, so the copy has every lock free.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => drop(reader),
        _ => {
            drop(launcher);
            wait_for_daemon(reader);
        }
    }
    rustix::process::setsid()?;
    // SAFETY: as above. The second fork gives up the session's leadership: opening a terminal cannot make it ours again.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Detached { launcher: launcher.into(), output: None }),
        // SAFETY: ends this process at once; nothing buffered is its own to write.
        _ => unsafe { libc::_exit(0) },
    }
}

impl Detached {
    /// Sends standard output and error, from [`Detached::let_go`] on, to `file` instead of /dev/null; children that
    /// inherit the master's output get it from the beginning.
    #[must_use]
    pub fn with_output(mut self, file: OwnedFd) -> Self {
        self.output = Some(file);
        self
    }

    /// Turns the standard descriptors away from the terminal and lets the launcher exit with 0.
    ///
    /// # Errors
    ///
    /// When /dev/null cannot be opened; the launcher then exits with 1.
    pub fn let_go(self) -> io::Result<()> {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        let output = self.output.as_ref().map_or(null.as_fd(), AsFd::as_fd);
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(output)?;
        rustix::io::write(&self.launcher, &[0])?;
        Ok(())
    }

    /// Keeps the launcher waiting until this process ends, so that an error can still be printed before the prompt returns.
    pub(crate) fn hold_until_exit(self) {
        let _ = self.launcher.into_raw_fd();
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.launcher.as_raw_fd()
    }

    pub(crate) fn output(&self) -> Option<&OwnedFd> {
        self.output.as_ref()
    }
}

fn wait_for_daemon(mut reader: io::PipeReader) -> ! {
    crate::signals::reset_for_child(&[]); // Whoever waits at the terminal may lose patience.
    let mut code = [FAILED];
    // End of file leaves the code as it is: the daemon is gone.
    let _ = reader.read(&mut code);
    std::process::exit(i32::from(code[0]))
}

const FAILED: u8 = 1;
