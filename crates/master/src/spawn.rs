//! The birth of a process: fork, or fork and exec, with nothing inherited that was not listed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use daemun_net::SystemCause;
use rustix::process::{Pid, Signal};

use crate::plan::{Conditions, Executable, Output, Program};
use crate::ready::{READY_VARIABLE, ReadyNotice};
use crate::signals::reset_for_child;
use crate::supervisor::MASTER_SIGNALS;
use crate::{Detached, Identity};

/// What the new process does before its own program runs.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) identity: Option<Identity>,
    pub(crate) conditions: Conditions,
    pub(crate) output: Output,
    pub(crate) parent_death_signal: Signal,
    /// The master's own descriptors, for a forked child to close; an executed one has lost them.
    pub(crate) masters_descriptors: Vec<RawFd>,
}

/// Starts `program` in a process group of its own.
///
/// # Errors
///
/// A reason in words that names what was to be run.
pub(crate) fn spawn(program: Program, start: Start, notice: ReadyNotice) -> Result<Pid, String> {
    if let Some(identity) = &start.identity
        && !identity.is_current()
        && !Identity::can_switch()
    {
        return Err(format!("only root can run it as user \"{}\"", identity.name));
    }
    match program {
        Program::Fork(run) => {
            fork(run, start, notice).map_err(|error| format!("fork() failed ({})", SystemCause(&error)))
        }
        Program::Exec(executable) => exec(executable, start, &notice),
    }
}

impl Output {
    /// The descriptor meant for a child of a master that is, or is not, on its way to being a daemon.
    pub(crate) fn resolve(self, detached: Option<&Detached>) -> io::Result<Self> {
        match (self, detached) {
            (Self::Inherit, Some(detached)) => match detached.output() {
                Some(file) => Ok(Self::File(file.try_clone()?)),
                None => Ok(Self::Null),
            },
            (output, _) => Ok(output),
        }
    }
}

#[allow(unsafe_code)] // fork
fn fork(run: Box<dyn FnOnce(ReadyNotice) -> u8>, start: Start, notice: ReadyNotice) -> io::Result<Pid> {
    let parent = rustix::process::getpid();
    // SAFETY: the master has one thread, so the copy has every lock free and may go on as a full program.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = catch_unwind(AssertUnwindSafe(|| forked(run, start, notice, parent))).unwrap_or(PANICKED);
            // SAFETY: ends the process without running what the master left registered for its own exit.
            unsafe { libc::_exit(i32::from(code)) }
        }
        pid => {
            let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
            // The child does the same; whoever is first, the group exists before anybody signals it.
            let _ = rustix::process::setpgid(Some(pid), Some(pid));
            Ok(pid)
        }
    }
}

fn forked(run: Box<dyn FnOnce(ReadyNotice) -> u8>, start: Start, mut notice: ReadyNotice, parent: Pid) -> u8 {
    close(&start.masters_descriptors);
    reset_for_child(&MASTER_SIGNALS);
    notice.refused = start.conditions.apply();
    let ready = rustix::process::setpgid(None, None)
        .map_err(io::Error::from)
        .and_then(|()| redirect(&start.output))
        .and_then(|()| keep_over_exec(&[]))
        .and_then(|()| become_child(start.identity.as_ref(), start.parent_death_signal, parent));
    match ready {
        Ok(()) => run(notice),
        Err(error) => {
            notice.fail(&format!("its process could not be set up ({})", SystemCause(&error)));
            1
        }
    }
}

fn exec(executable: Executable, start: Start, notice: &ReadyNotice) -> Result<Pid, String> {
    let mut command = Command::new(&executable.program);
    command.args(&executable.arguments).env(READY_VARIABLE, notice.as_raw_fd().to_string()).stdin(Stdio::null());
    for (name, value) in &executable.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(directory) = &executable.directory {
        if !directory.is_dir() {
            return Err(format!("\"{}\" is not a directory to start in", directory.display()));
        }
        command.current_dir(directory);
    }
    let not_run =
        |error: io::Error| format!("\"{}\" cannot be run ({})", executable.program.display(), SystemCause(&error));
    set_output(&mut command, start.output).map_err(not_run)?;
    command.process_group(0);
    let mut inherited = executable.inherited.clone();
    inherited.push(notice.as_raw_fd());
    before_exec(&mut command, inherited, start.identity, start.parent_death_signal);
    let child = command.spawn().map_err(not_run)?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| "it has no process id".to_owned())
}

fn set_output(command: &mut Command, output: Output) -> io::Result<()> {
    match output {
        Output::Inherit => {}
        Output::Null => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Output::File(file) => {
            command.stdout(file.try_clone()?).stderr(file);
        }
    }
    Ok(())
}

#[allow(unsafe_code)] // what runs between fork and exec
fn before_exec(command: &mut Command, inherited: Vec<RawFd>, identity: Option<Identity>, death_signal: Signal) {
    let parent = rustix::process::getpid();
    let hook = move || {
        // The standard library has blocked nothing and given SIGPIPE its default; a shell's ignored SIGINT is left to us.
        reset_for_child(&MASTER_SIGNALS);
        keep_over_exec(&inherited)?;
        become_child(identity.as_ref(), death_signal, parent)
    };
    // SAFETY: the hook makes system calls only and, since the master has one thread, may even allocate.
    unsafe { command.pre_exec(hook) };
}

/// Becomes the user, then asks to die with the master: a change of user takes that wish back.
fn become_child(identity: Option<&Identity>, death_signal: Signal, parent: Pid) -> io::Result<()> {
    if let Some(identity) = identity {
        identity.assume()?;
    }
    rustix::process::set_parent_process_death_signal(Some(death_signal))?;
    // The master may have died before the wish was made.
    if rustix::process::getppid() != Some(parent) {
        return Err(io::Error::other("the master is gone"));
    }
    Ok(())
}

/// Lets the listed descriptors live over exec, and no other: not even one that was left open to the master by who started it.
#[allow(unsafe_code)] // numbers, not owners, name what is inherited
pub(crate) fn keep_over_exec(inherited: &[RawFd]) -> io::Result<()> {
    // SAFETY: only flags are changed, in this new process. The call is newer than some kernels, and there the master's own descriptors
    // are close-on-exec all the same, so its failure is passed over.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST_DESCRIPTOR, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    for number in inherited {
        // SAFETY: as above; a wrong number is an error from the system.
        let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    }
    Ok(())
}

#[allow(unsafe_code)] // closing what the parent's values own
fn close(descriptors: &[RawFd]) {
    for number in descriptors {
        // SAFETY: the values that own these numbers belong to the master's loop, to which this process never returns.
        unsafe { libc::close(*number) };
    }
}

fn redirect(output: &Output) -> io::Result<()> {
    let null: OwnedFd = std::fs::File::options().read(true).write(true).open("/dev/null")?.into();
    rustix::stdio::dup2_stdin(&null)?;
    let target = match output {
        Output::Inherit => return Ok(()),
        Output::Null => null.as_fd(),
        Output::File(file) => file.as_fd(),
    };
    rustix::stdio::dup2_stdout(target)?;
    rustix::stdio::dup2_stderr(target)?;
    Ok(())
}

/// The first after the standard ones.
const FIRST_DESCRIPTOR: libc::c_uint = 3;

/// The exit code of a forked child whose closure panicked, as Rust programs have it.
const PANICKED: u8 = 101;
