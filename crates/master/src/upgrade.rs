//! SIGUSR2: another program, or the same one anew, beside this one, on the same sockets; SIGWINCH: it is left alone with them.
//!
//! The protocol is nginx's, so that its scripts work: the pid files are renamed to `.oldbin`, the new program is started with the
//! numbers of the listening sockets in the environment. Who sent the signal then ends the edge of the old master (WINCH), and the old
//! master itself (QUIT) once the new one is to his liking, or ends the new one: then the old one serves again.

use std::ffi::OsString;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use daemun_net::{SocketFile, SystemCause};
use rustix::process::Pid;

use crate::Level;
use crate::child::ChildState;
use crate::plan::{Death, Role};
use crate::reap::Ending;
use crate::signals::reset_for_child;
use crate::spawn::keep_over_exec;
use crate::supervisor::{MASTER_SIGNALS, Supervisor};

/// How the other program is started.
#[derive(Debug)]
pub struct Upgrade {
    /// Its path, or its name to be looked for in PATH; it is called by it, too.
    pub program: OsString,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
    /// A variable of its environment by which it finds the sockets; the rest is the master's.
    pub variable: (OsString, OsString),
    /// The sockets, under the numbers that they have here.
    pub inherited: Vec<RawFd>,
}

/// The master that has started this one in an upgrade.
#[derive(Debug)]
pub struct Predecessor {
    /// Its process id.
    pub pid: Pid,
    /// Socket files that were its own and are ours once it is gone.
    pub socket_files: Vec<SocketFile>,
}

impl Predecessor {
    /// Our parent, if it is still there.
    #[must_use]
    pub fn of_this_process(socket_files: Vec<SocketFile>) -> Option<Self> {
        rustix::process::getppid().map(|pid| Self { pid, socket_files })
    }

    /// Whether it is still there: it is our parent then.
    pub(crate) fn is_alive(&self) -> bool {
        rustix::process::getppid() == Some(self.pid)
    }
}

impl Supervisor {
    /// Another program is wanted; there is one at a time.
    pub(crate) fn upgrade_asked(&mut self) {
        let has_predecessor = self.plan.predecessor.as_ref().is_some_and(Predecessor::is_alive);
        if has_predecessor || self.newcomer.is_some() || self.stop.is_some() {
            return self.log(Level::Notice, "SIGUSR2 received, ignoring: an upgrade or the end is under way");
        }
        self.log(Level::Notice, "SIGUSR2 received, changing binary");
        self.is_upgrade_wanted = true;
    }

    /// Starts the other program as soon as nothing else is being started.
    pub(crate) fn advance_upgrade(&mut self) {
        let is_possible = self.is_started && self.launches.is_empty() && self.stop.is_none();
        if !is_possible || !std::mem::take(&mut self.is_upgrade_wanted) {
            return;
        }
        let started = self.plan.successors.upgrade().and_then(|upgrade| {
            self.move_pid_files_aside()?;
            start(&upgrade)
        });
        match started {
            Ok(pid) => {
                self.log(Level::Notice, &format!("start new binary process {}", pid.as_raw_nonzero()));
                self.newcomer = Some(pid);
            }
            Err(reason) => {
                self.move_pid_files_back();
                self.log(Level::Alert, &format!("the new binary cannot be started: {reason}"));
            }
        }
    }

    /// The other program has ended: this one is in charge again.
    pub(crate) fn newcomer_ended(&mut self, pid: Pid, ending: Ending) {
        self.newcomer = None;
        self.log(Level::Notice, &format!("new binary process {} {ending}", pid.as_raw_nonzero()));
        if self.stop.is_some() {
            return;
        }
        self.move_pid_files_back();
        if self.is_paused {
            self.resume();
        }
    }

    /// Ends the edges, and the applications after them, and keeps the sockets.
    pub(crate) fn pause_asked(&mut self) {
        // At a terminal, every change of its size sends this signal.
        if self.has_terminal || self.stop.is_some() || self.is_paused {
            return self.log(Level::Debug, "SIGWINCH received, ignoring");
        }
        self.log(Level::Notice, "SIGWINCH received, shutting down worker processes");
        self.is_paused = true;
        self.launches.clear();
        self.revivals.clear();
        self.plan.successors.settle(false);
        let limit = self.plan.timings.fast_stop;
        for child in &mut self.children {
            child.is_retired = true;
            match (child.role, child.state) {
                (Role::Edge, ChildState::Up) => {
                    child.signal(child.signals.graceful);
                    child.state = ChildState::Ending;
                }
                (_, ChildState::Starting) => child.end(child.signals.fast, limit),
                _ => {} // Ending already, or needed until the edge is gone.
            }
        }
    }

    /// Starts everything anew, as if the edge had died after a long life.
    fn resume(&mut self) {
        self.is_paused = false;
        let death = Death {
            name: "edge".to_owned(),
            role: Role::Edge,
            pid: 0,
            ending: None,
            program: None,
            was_ready: true,
            lived: self.plan.timings.back_off.healthy_after,
            message: None,
        };
        self.revive(death.clone(), &death, Vec::new());
    }

    fn move_pid_files_aside(&mut self) -> Result<(), String> {
        for file in &mut self.pid_files {
            let shown = file.path().display().to_string();
            file.move_aside().map_err(|error| format!("rename() of \"{shown}\" failed ({})", SystemCause(&error)))?;
        }
        Ok(())
    }

    fn move_pid_files_back(&mut self) {
        let mut lines = Vec::new();
        for file in &mut self.pid_files {
            if let Err(error) = file.move_back() {
                lines.push(format!("rename() of \"{}\" failed ({})", file.path().display(), SystemCause(&error)));
            }
        }
        for line in lines {
            self.log(Level::Alert, &line);
        }
    }
}

/// Starts it in our own process group: who ends the group means all of us.
#[allow(unsafe_code)] // what runs between fork and exec
fn start(upgrade: &Upgrade) -> Result<Pid, String> {
    let mut command = Command::new(&upgrade.program);
    let (name, value) = &upgrade.variable;
    command.args(&upgrade.arguments).env(name, value);
    let inherited = upgrade.inherited.clone();
    let hook = move || {
        reset_for_child(&MASTER_SIGNALS);
        keep_over_exec(&inherited)
    };
    // SAFETY: the hook makes system calls only, and the master has one thread.
    unsafe { command.pre_exec(hook) };
    let not_run =
        |error: io::Error| format!("execve() \"{}\" failed ({})", upgrade.program.display(), SystemCause(&error));
    let child = command.spawn().map_err(not_run)?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| "it has no process id".to_owned())
}
