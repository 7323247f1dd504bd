//! Commands of the configuration, run by the shell, each in a process group of its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal};

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    /// Its shell, which leads its group.
    pub pid: Pid,
    /// Becomes readable when the shell ends.
    pub pidfd: OwnedFd,
}

/// How a command is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner<'a> {
    /// It lives on when its zygote dies, in a session of its own.
    pub is_independent: bool,
    /// Where it starts.
    pub folder: Option<&'a str>,
}

impl Running {
    /// Starts a command; its output goes to the log.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn start(text: &str, manner: Manner<'_>) -> io::Result<Self> {
        let mut command = shell(text);
        if let Some(folder) = manner.folder {
            command.current_dir(folder);
        }
        // SAFETY: system calls only, between fork and exec.
        unsafe {
            command.pre_exec(move || {
                unblock_signals();
                if manner.is_independent {
                    return rustix::process::setsid().map(drop).map_err(io::Error::from);
                }
                rustix::process::setpgid(None, None)?;
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)
            });
        }
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, pidfd })
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        match rustix::process::waitpid(Some(self.pid), rustix::process::WaitOptions::NOHANG) {
            Ok(Some((_, status))) => Some(ExitStatus::from_raw(status.as_raw())),
            // Somebody else has reaped it.
            Err(rustix::io::Errno::CHILD) => Some(ExitStatus::from_raw(0)),
            _ => None,
        }
    }

    /// Sends a signal to everybody in its group.
    pub fn signal(&self, signal: i32) {
        // SAFETY: takes two numbers; the group's leader is our child and not reaped.
        unsafe { libc::kill(-self.pid.as_raw_nonzero().get(), signal) };
    }

    /// What to wait for.
    pub fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Runs a command to its end.
///
/// # Errors
///
/// What the system says, or how it failed.
pub fn run(text: &str) -> io::Result<()> {
    let mut command = shell(text);
    // SAFETY: system calls only, between fork and exec.
    unsafe {
        command.pre_exec(|| {
            unblock_signals();
            Ok(())
        });
    }
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("\"{text}\" ended with {status}"))) }
}

fn shell(text: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(text).stdin(Stdio::null());
    command
}

/// A command finds signals as a shell would: none blocked, none ignored.
fn unblock_signals() {
    // SAFETY: all zeros is a valid, empty set; the calls take pointers to live values and numbers.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
