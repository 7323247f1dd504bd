//! One program: started without a shell, in a process group of its own, and ended whatever becomes of its request.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;

use crate::limits::{AFTER_ANSWER, GRACE};
use crate::places::Place;

/// What is started.
#[derive(Debug)]
pub(crate) struct Program {
    /// The program itself.
    pub(crate) path: PathBuf,
    /// What stands behind its name.
    pub(crate) arguments: Vec<PathBuf>,
    /// All of its environment.
    pub(crate) environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where it begins.
    pub(crate) folder: PathBuf,
}

/// Where a program's standard input comes from.
#[derive(Debug)]
pub(crate) enum Input {
    /// Nowhere.
    Nothing,
    /// A file, from where it stands.
    File(OwnedFd),
    /// A pipe that is yet to be written to.
    Pipe,
}

/// A running program. Dropped, it is given time to end where it [is done](Process::is_done), else it is told to.
#[derive(Debug)]
pub(crate) struct Process {
    /// There until the drop.
    running: Option<(Child, Place)>,
    /// Whether it has said all it has to say.
    pub(crate) is_done: bool,
}

/// The ends of a program's pipes that are ours.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: Option<Sender>,
    pub(crate) stdout: Receiver,
    pub(crate) stderr: Receiver,
}

impl Process {
    /// Starts `program`. Descriptors of ours are closed on exec, each of them; signals have their defaults.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(program: &Program, input: Input, place: Place) -> io::Result<(Self, Pipes)> {
        let mut command = Command::new(&program.path);
        let pairs = program.environment.iter();
        let environment = pairs.map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(value)));
        command.args(&program.arguments).env_clear().envs(environment).current_dir(&program.folder).process_group(0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(match input {
            Input::Nothing => Stdio::null(),
            Input::File(file) => file.into(),
            Input::Pipe => Stdio::piped(),
        });
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // From here on the child is ended by its drop.
        let process = Self { running: Some((child, place)), is_done: false };
        let missing = || io::Error::other("a pipe is missing");
        let pipes = Pipes {
            stdin: stdin.map(|pipe| Sender::from_owned_fd(pipe.into())).transpose()?,
            stdout: Receiver::from_owned_fd(stdout.ok_or_else(missing)?.into())?,
            stderr: Receiver::from_owned_fd(stderr.ok_or_else(missing)?.into())?,
        };
        Ok((process, pipes))
    }

    /// How it ended, if it does within so long.
    pub(crate) async fn ending_within(&mut self, time: Duration) -> Option<ExitStatus> {
        let (child, _) = self.running.as_mut()?;
        ends_within(child, time).await;
        child.try_wait().ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some((mut child, place)) = self.running.take() else { return };
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        let ending = Ending { child, _place: place, is_done: self.is_done };
        if let Err(ending) = REAPER.with_borrow(|reaper| match reaper {
            Some(reaper) => reaper.send(ending).map_err(|error| error.0),
            None => Err(ending),
        }) {
            // The event loop is gone, and with it soon this process.
            signal_group(&ending.child, Signal::KILL);
        }
    }
}

/// Makes sure that programs which this thread starts are waited for when they end. Within the thread's event loop.
pub(crate) fn prepare_thread() {
    REAPER.with_borrow_mut(|reaper| {
        if reaper.as_ref().is_none_or(UnboundedSender::is_closed) {
            let (sender, endings) = unbounded_channel();
            spawn_local(reap_all(endings));
            *reaper = Some(sender);
        }
    });
}

/// How a program ended, for the log.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The folder that a program lies in.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("/")).to_owned()
}

thread_local! {
    static REAPER: RefCell<Option<UnboundedSender<Ending>>> = const { RefCell::new(None) };
}

/// A program that nobody listens to any more. There are never more than there are places.
struct Ending {
    child: Child,
    _place: Place,
    is_done: bool,
}

async fn reap_all(mut endings: UnboundedReceiver<Ending>) {
    while let Some(ending) = endings.recv().await {
        spawn_local(reap(ending));
    }
}

async fn reap(mut ending: Ending) {
    let has_ended = ending.is_done && ends_within(&ending.child, AFTER_ANSWER).await;
    if !has_ended {
        signal_group(&ending.child, Signal::TERM);
        ends_within(&ending.child, GRACE).await;
        // Also when the leader has ended: others of its group may not have. It is not reaped yet, so the number is still its own.
        signal_group(&ending.child, Signal::KILL);
        ends_within(&ending.child, GRACE).await;
    }
    // A process that no signal ends hangs in the kernel: then its place is lost with it until it comes back.
    while !matches!(ending.child.try_wait(), Ok(Some(_)) | Err(_)) {
        tokio::time::sleep(GRACE).await;
    }
}

async fn ends_within(child: &Child, time: Duration) -> bool {
    let ended = async {
        let descriptor = pidfd_open(pid_of(child)?, PidfdFlags::NONBLOCK).ok()?;
        let descriptor = daemun_net::watch_for_reading(descriptor).ok()?;
        descriptor.readable().await.ok()?.retain_ready();
        Some(())
    };
    match tokio::time::timeout(time, ended).await {
        Ok(Some(())) => true,
        // The kernel cannot tell: time must do.
        Ok(None) => {
            tokio::time::sleep(time).await;
            false
        }
        Err(_) => false,
    }
}

fn signal_group(child: &Child, signal: Signal) {
    if let Some(group) = pid_of(child) {
        // It may have ended by itself.
        let _ = kill_process_group(group, signal);
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
