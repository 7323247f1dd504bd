//! How a process ended, and collecting those that have.

use std::fmt;
use std::io;

use rustix::process::{Pid, WaitOptions};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal.
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether the system wrote a core file.
        core: bool,
    },
}

impl Ending {
    /// Whether it ended by itself and reported no failure.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

impl fmt::Display for Ending {
    /// nginx's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signaled { signal, core: false } => write!(f, "exited on signal {signal}"),
            Self::Signaled { signal, core: true } => write!(f, "exited on signal {signal} (core dumped)"),
        }
    }
}

/// A child, or an adopted orphan, that has ended and still holds its process id.
///
/// The id stays taken until [`reap`], so that the rest of its process group can be signalled without hitting a stranger.
#[allow(unsafe_code)] // rustix does not tell whom waitid found
pub(crate) fn ended_child() -> io::Result<Option<Pid>> {
    // SAFETY: `siginfo_t` is plain old data, for which zeros are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a live local.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) } != 0 {
        let error = io::Error::last_os_error();
        // No child at all is the same as none that has ended.
        return if error.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(error) };
    }
    // SAFETY: waitid filled it in, or left the zero that means "none".
    Ok(Pid::from_raw(unsafe { info.si_pid() }))
}

/// Collects an ended child's status and frees its process id.
pub(crate) fn reap(pid: Pid) -> io::Result<Option<Ending>> {
    let Some((_, status)) = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG)? else {
        return Ok(None);
    };
    if let Some(code) = status.exit_status() {
        return Ok(Some(Ending::Exited(code)));
    }
    let core = status.as_raw() & CORE_FLAG != 0;
    Ok(status.terminating_signal().map(|signal| Ending::Signaled { signal, core }))
}

/// The bit of a wait status that says a core file was written.
const CORE_FLAG: i32 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_as_in_nginx() {
        assert_eq!(Ending::Exited(0).to_string(), "exited with code 0");
        assert_eq!(Ending::Signaled { signal: 9, core: false }.to_string(), "exited on signal 9");
        assert_eq!(Ending::Signaled { signal: 11, core: true }.to_string(), "exited on signal 11 (core dumped)");
    }
}
