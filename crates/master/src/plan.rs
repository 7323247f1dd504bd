//! What is to run: the master's side of the configuration, complete before the first process starts.

use std::any::Any;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use daemun_net::{SocketFile, SystemCause};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::reap::Ending;
use crate::{BackOff, Detached, Identity, Log, Predecessor, ReadyNotice, Reload, ReloadFacts, Upgrade};

/// Everything [`crate::run`] needs to know.
pub struct MasterPlan {
    /// The first generation.
    pub children: Vec<ChildPlan>,
    /// Who makes plans for children that replace dead ones.
    pub successors: Box<dyn Successors>,
    /// Where lines go.
    pub log: Box<dyn Log>,
    /// Files that hold the master's process id from before the first child is started until the end.
    pub pid_files: Vec<PathBuf>,
    /// Socket files that are removed at the end (`vacuum`), if they are still the same files.
    pub socket_files: Vec<SocketFile>,
    /// What [`crate::daemonize`] returned; the caller's terminal is let go when everything is ready.
    pub detached: Option<Detached>,
    /// The master that has started this one, in an upgrade.
    pub predecessor: Option<Predecessor>,
    /// What SIGTERM means.
    pub on_terminate: StopKind,
    /// What SIGINT means.
    pub on_interrupt: StopKind,
    /// How long to wait for what.
    pub timings: Timings,
    /// Called once, when every child is ready.
    pub on_started: Option<Box<dyn FnOnce()>>,
}

impl MasterPlan {
    /// A plan with nginx's meaning of signals, no pid file and nothing to remove.
    #[must_use]
    pub fn new(children: Vec<ChildPlan>, successors: Box<dyn Successors>, log: Box<dyn Log>) -> Self {
        Self {
            children,
            successors,
            log,
            pid_files: Vec::new(),
            socket_files: Vec::new(),
            detached: None,
            predecessor: None,
            on_terminate: StopKind::Fast,
            on_interrupt: StopKind::Fast,
            timings: Timings::default(),
            on_started: None,
        }
    }
}

/// How children are asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// Edges drain their connections; when they are gone, applications end.
    Graceful,
    /// All end at once, requests or not.
    Fast,
}

/// Limits of the master's waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// After this long a graceful stop becomes a fast one; `None` waits for the last connection.
    pub graceful_stop: Option<Duration>,
    /// The same for a graceful stop by SIGTERM, behind which there is mostly somebody who will send SIGKILL.
    pub graceful_terminate: Option<Duration>,
    /// After this long a child that was told to end is killed.
    pub fast_stop: Duration,
    /// How long a dead child's successors wait.
    pub back_off: BackOff,
}

impl Default for Timings {
    /// `fast_stop` stays below the 10 s that container engines give.
    fn default() -> Self {
        Self {
            graceful_stop: None,
            graceful_terminate: None,
            fast_stop: Duration::from_secs(5),
            back_off: BackOff::default(),
        }
    }
}

impl Timings {
    /// The limit of a graceful stop that somebody waits for.
    pub(crate) fn terminate(&self) -> Option<Duration> {
        self.graceful_stop.into_iter().chain(self.graceful_terminate).min()
    }
}

/// One process to start.
pub struct ChildPlan {
    /// Its name in log lines, such as `edge` or `app "site"`; also its identity for the back-off.
    pub name: String,
    /// When it starts and stops relative to the others.
    pub role: Role,
    /// What it runs.
    pub program: Program,
    /// The user it becomes; `None` stays what the master is.
    pub identity: Option<Identity>,
    /// What a forked child's process is to be like.
    pub conditions: Conditions,
    /// Where its standard output and error go. Its standard input is always /dev/null.
    pub output: Output,
    /// How long it may take to say that it is ready; it is killed then.
    pub ready_within: Duration,
    /// Whether its failure to start ends the server that is just starting.
    pub on_start_failure: StartFailure,
    /// Sent when the master dies without a word.
    pub parent_death_signal: Signal,
    /// Sent for a graceful stop.
    pub graceful_signal: Signal,
    /// Sent for a fast stop.
    pub fast_signal: Signal,
    /// Sent when log files are to be reopened.
    pub reopen_signal: Option<Signal>,
    /// How long it may take over a graceful end; `None`: no longer than over a fast one.
    pub ends_within: Option<Duration>,
    /// Whether it may ask for the end of everything; see [`crate::READY_VARIABLE`].
    pub may_stop: bool,
}

impl ChildPlan {
    /// A child that is a copy of this process and runs `run`, which returns the exit code.
    ///
    /// The child has a process group of its own, default signal handling and none blocked. The closure is dropped in the master
    /// once the child lives, so descriptors it owns are then open in the child only. The other way round, whatever the caller still holds at that moment, in its
    /// [`Successors`] for instance, is open in the child too.
    #[must_use]
    pub fn fork(name: &str, role: Role, run: impl FnOnce(ReadyNotice) -> u8 + 'static) -> Self {
        Self::new(name, role, Program::Fork(Box::new(run)))
    }

    /// A child that runs another program.
    #[must_use]
    pub fn exec(name: &str, role: Role, executable: Executable) -> Self {
        Self::new(name, role, Program::Exec(executable))
    }

    fn new(name: &str, role: Role, program: Program) -> Self {
        let (graceful_signal, reopen_signal) = match role {
            Role::Application => (Signal::TERM, None),
            Role::Edge => (Signal::QUIT, Some(Signal::USR1)),
        };
        Self {
            name: name.to_owned(),
            role,
            program,
            identity: None,
            conditions: Conditions::default(),
            output: Output::Inherit,
            ready_within: READY_WITHIN,
            on_start_failure: StartFailure::Fatal,
            parent_death_signal: Signal::KILL,
            graceful_signal,
            fast_signal: Signal::TERM,
            reopen_signal,
            ends_within: None,
            may_stop: false,
        }
    }
}

impl fmt::Debug for ChildPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildPlan").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// When a child starts and stops: applications start first and stop last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Is asked by edges, so it is there before they are and after they are gone.
    Application,
    /// Faces the clients.
    Edge,
}

/// What a child runs.
pub enum Program {
    /// A closure in a copy of this process.
    Fork(Box<dyn FnOnce(ReadyNotice) -> u8>),
    /// Another program.
    Exec(Executable),
}

impl Program {
    /// The path of another program.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Fork(_) => None,
            Self::Exec(executable) => Some(executable.program.clone()),
        }
    }
}

/// Another program with what it inherits.
pub struct Executable {
    /// The program; looked for in PATH unless it has a slash.
    pub program: PathBuf,
    /// Its arguments, without the program's own name.
    pub arguments: Vec<OsString>,
    /// Environment variables to set; `None` removes one. The rest is the master's. [`crate::READY_VARIABLE`] comes on top.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// The directory it starts in.
    pub directory: Option<PathBuf>,
    /// Descriptors it inherits under the same numbers; every other one is closed.
    pub inherited: Vec<RawFd>,
    /// What owns these descriptors here; dropped once the child lives.
    pub owner: Option<Box<dyn Any>>,
}

impl Executable {
    /// A program without arguments that inherits nothing.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            inherited: Vec::new(),
            owner: None,
        }
    }
}

/// What a child's process is to be like, made so while it is still what the master is. What the system refuses is left as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Scheduling priority, -20 (first) to 20.
    pub priority: Option<i32>,
    /// The most files it may have open.
    pub open_files: Option<u64>,
    /// The most bytes of a core file.
    pub core_bytes: Option<u64>,
    /// The directory it works in, where its core files go.
    pub directory: Option<PathBuf>,
}

impl Conditions {
    /// Makes the calling process so. Returns what was refused, in words.
    pub(crate) fn apply(&self) -> Vec<String> {
        let mut refused = Vec::new();
        let mut note = |call: String, result: rustix::io::Result<()>| {
            refused.extend(result.err().map(|error| format!("{call} failed ({})", SystemCause(&error.into()))));
        };
        if let Some(priority) = self.priority {
            note(format!("setpriority({priority})"), rustix::process::setpriority_process(None, priority));
        }
        if let Some(files) = self.open_files {
            note(format!("setrlimit(RLIMIT_NOFILE, {files})"), set_limit(Resource::Nofile, files));
        }
        if let Some(bytes) = self.core_bytes {
            note(format!("setrlimit(RLIMIT_CORE, {bytes})"), set_limit(Resource::Core, bytes));
        }
        if let Some(directory) = &self.directory {
            note(format!("chdir(\"{}\")", directory.display()), rustix::process::chdir(directory));
        }
        refused
    }
}

/// Who is not root can raise a limit up to the hard one alone.
fn set_limit(resource: Resource, wanted: u64) -> rustix::io::Result<()> {
    let maximum = getrlimit(resource).maximum.map(|hard| hard.max(wanted));
    setrlimit(resource, Rlimit { current: Some(wanted), maximum })
}

/// Where a child's standard output and error go.
#[derive(Debug)]
pub enum Output {
    /// Where the master's go; in a daemon, where [`Detached`] sends them.
    Inherit,
    /// Nowhere.
    Null,
    /// Both to this file.
    File(OwnedFd),
}

/// What the failure of a child means while the server starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFailure {
    /// The server does not start: all is stopped and [`crate::run`] returns the reason.
    Fatal,
    /// The server starts without it; successors are tried with back-off.
    Retry,
}

/// Makes the plans of children that replace dead ones.
pub trait Successors {
    /// Which other children go down with the one that died; called at once.
    ///
    /// By default an edge takes everything with it, since it shares memory with every application, and an application nobody.
    fn scope(&mut self, death: &Death) -> Scope {
        match death.role {
            Role::Edge => Scope::All,
            Role::Application => Scope::Alone,
        }
    }

    /// Plans for the dead child and all that went down with it, with freshly made resources; called when they are gone and the back-off
    /// is over.
    ///
    /// # Errors
    ///
    /// A reason for the log; the call is repeated after a longer back-off.
    fn plans(&mut self, death: &Death) -> Result<Vec<ChildPlan>, String>;

    /// Reads the configuration anew.
    fn reload(&mut self, _circumstances: Circumstances) -> Reload {
        Reload::Refused
    }

    /// Makes successors for the applications of these names, which have asked for them.
    fn renew(&mut self, _names: &BTreeSet<String>, _circumstances: Circumstances) -> Reload {
        Reload::Refused
    }

    /// What became of the children of the last [`Reload::Replaced`] or [`Reload::Renewed`]: ready, all of them, or given up. May be
    /// called when there are none. Returns what a new configuration means for the master, if there is one in force now.
    fn settle(&mut self, _is_up: bool) -> Option<ReloadFacts> {
        None
    }

    /// Whether there are files to be looked at again and again.
    fn keeps_files(&self) -> bool {
        false
    }

    /// Looks whether files have changed that the configuration is built of, and takes what they have become. Called every few
    /// seconds where [`Successors::keeps_files`].
    fn look_at_files(&mut self) -> Option<ReloadFacts> {
        None
    }

    /// How another program is started on the same sockets.
    ///
    /// # Errors
    ///
    /// A reason for the log.
    fn upgrade(&mut self) -> Result<Upgrade, String> {
        Err("it is not known how".to_owned())
    }

    /// The end has begun and no successor will be asked for: gives up what only they would need.
    ///
    /// Listening sockets above all. While anybody holds one, clients that nobody will answer still get into its queue. May be called again.
    fn release(&mut self) {}
}

/// What a reload has to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// There is nobody who could take a configuration.
    pub has_no_edge: bool,
    /// An application that was replaced has not ended yet.
    pub is_retiring: bool,
}

/// Ends the server when a child dies.
#[derive(Debug, Clone, Copy)]
pub struct NoSuccessors;

impl Successors for NoSuccessors {
    fn scope(&mut self, _death: &Death) -> Scope {
        Scope::Shutdown
    }

    fn plans(&mut self, _death: &Death) -> Result<Vec<ChildPlan>, String> {
        Err("nothing is to be restarted".to_owned())
    }
}

/// Which children go down with one that died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// None.
    Alone,
    /// Those of these names.
    With(Vec<String>),
    /// All: a new generation starts from nothing.
    All,
    /// All, and no successors: the server ends with an error.
    Shutdown,
}

/// What is known of a child that ended without having been asked to.
#[derive(Debug, Clone)]
pub struct Death {
    /// The child's name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its process id; 0 if it could not even be started.
    pub pid: i32,
    /// How it ended; `None` if it could not even be started.
    pub ending: Option<Ending>,
    /// The program it ran, unless it was a copy of this one.
    pub program: Option<PathBuf>,
    /// Whether it had been ready.
    pub was_ready: bool,
    /// How long it lived.
    pub lived: Duration,
    /// What it said itself about its failure to start.
    pub message: Option<String>,
}

impl Death {
    /// Why, in words: what the child said, else how it ended.
    #[must_use]
    pub fn reason(&self) -> String {
        match (&self.message, &self.ending) {
            (Some(message), _) => message.clone(),
            (None, Some(ending)) => match &self.program {
                Some(program) => format!("process {} (\"{}\") {ending}", self.pid, program.display()),
                None => format!("process {} {ending}", self.pid),
            },
            (None, None) => "it could not be started".to_owned(),
        }
    }
}

/// Loading a large application on a slow disk takes tens of seconds; beyond this something hangs.
const READY_WITHIN: Duration = Duration::from_secs(120);
