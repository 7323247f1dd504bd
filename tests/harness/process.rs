//! Real processes: started in their own group, captured, signalled, always ended.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, setrlimit};

use crate::scratch::MARK;
use crate::{Address, Connection, LIMIT, Scratch, wait_until_within};

/// A program about to be started from a scratch folder.
#[derive(Debug)]
pub struct Launch {
    name: String,
    command: Command,
    output: PathBuf,
}

/// How a program that ran to its end ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output and standard error, in the order it wrote it.
    pub output: String,
}

/// A running program. It and its process group are killed and reaped when the value is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    ended: Option<ExitStatus>,
}

impl Launch {
    /// Prepares `program`; its output goes to `<name>.out` in the scratch folder, which is also its working folder.
    pub fn new(scratch: &Scratch, name: &str, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(scratch.folder()).env(MARK, scratch.folder()).stdin(Stdio::null()).process_group(0);
        // Settings of the machine must not leak into what is compared.
        command.env_remove("PYTHONPATH").env_remove("VIRTUAL_ENV").env_remove("DATABASE_URL");
        Self { name: name.to_owned(), command, output: scratch.path(&format!("{name}.out")) }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.command.arg(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working folder.
    pub fn working_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts the program and returns at once.
    #[track_caller]
    pub fn start(mut self) -> Process {
        raise_open_files_limit();
        let out = File::options().create(true).append(true).open(&self.output).expect("the output file can be made");
        let error = out.try_clone().expect("a descriptor can be duplicated");
        self.command.stdout(out).stderr(error);
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Process { name: self.name, child, output: self.output, ended: None }
    }

    /// Starts the program and waits for its end.
    #[track_caller]
    pub fn run(self) -> Ended {
        let before = fs::metadata(&self.output).map_or(0, |metadata| metadata.len());
        let mut process = self.start();
        let status = process.wait();
        let written = fs::read(&process.output).unwrap_or_default();
        let own = written.get(before as usize..).unwrap_or_default();
        Ended { status, output: String::from_utf8_lossy(own).into_owned() }
    }
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Everything it wrote so far.
    pub fn output(&self) -> String {
        fs::read(&self.output).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        assert!(self.ended.is_none(), "{} has already ended", self.name);
        signal_process(self.pid(), signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        match self.wait_within(LIMIT) {
            Some(status) => status,
            None => panic!("{} did not end within {LIMIT:?}; it wrote:\n{}", self.name, self.output()),
        }
    }

    /// Waits for its end, at most `limit`.
    pub fn wait_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_until_within(limit, || self.poll().is_some());
        self.ended
    }

    /// Waits until something accepts connections at `address`; fails the test when the process ends before that.
    #[track_caller]
    pub fn wait_for(&mut self, address: &Address) {
        let mut has_ended = false;
        let is_up = wait_until_within(LIMIT, || {
            has_ended = !self.is_running();
            has_ended || Connection::open(address).is_ok()
        });
        assert!(is_up && !has_ended, "{} does not answer at {address}; it wrote:\n{}", self.name, self.output());
    }

    /// Waits until `text` appears in what it writes.
    #[track_caller]
    pub fn wait_for_output(&mut self, text: &str) {
        let found = wait_until_within(LIMIT, || self.output().contains(text));
        assert!(found, "{} never wrote {text:?}, but:\n{}", self.name, self.output());
    }

    /// Its children, as the kernel lists them now.
    pub fn children(&self) -> Vec<ProcessEntry> {
        children_of(self.pid())
    }

    /// Its descendants, as the kernel lists them now.
    pub fn descendants(&self) -> Vec<ProcessEntry> {
        let mut found = self.children();
        let mut next = 0;
        while let Some(process) = found.get(next) {
            let below = children_of(process.pid);
            found.extend(below);
            next += 1;
        }
        found
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the child is ours to wait for");
        }
        self.ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.pid()).expect("a process id is positive");
        // Also when the leader has ended: its children may be there still.
        kill_process_group(group, Signal::KILL).ok();
        if self.ended.is_none() {
            self.child.wait().ok();
        }
    }
}

/// Sends a signal to a process of the test.
#[track_caller]
pub fn signal_process(pid: i32, signal: Signal) {
    let target = Pid::from_raw(pid).expect("a process id is positive");
    kill_process(target, signal).unwrap_or_else(|error| panic!("signal {signal:?} to {pid}: {error}"));
}

/// Whether a process with this id exists and is more than a zombie.
pub fn is_alive(pid: i32) -> bool {
    ProcessEntry::read(pid).is_some_and(|process| process.state != 'Z')
}

/// One line of the process table.
#[derive(Debug, Clone)]
pub struct ProcessEntry {
    /// Process id.
    pub pid: i32,
    /// Process id of the parent.
    pub parent: i32,
    /// The kernel's letter for its state: `R`, `S`, `Z`, ...
    pub state: char,
    /// The command line, words separated by blanks.
    pub command: String,
}

impl ProcessEntry {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses, which may itself hold blanks and parentheses.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
        Some(Self { pid, parent, state, command })
    }

    /// Whether its environment at start held `variable`, written `NAME=value`. A zombie has none.
    pub fn has_environment(&self, variable: &str) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes())
    }

    /// Whether its working folder is `folder` or below it.
    pub fn works_in(&self, folder: &Path) -> bool {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).is_ok_and(|working| working.starts_with(folder))
    }
}

/// The process table.
pub fn every_process() -> Vec<ProcessEntry> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(ProcessEntry::read).collect()
}

/// The children of a process, zombies included.
pub fn children_of(pid: i32) -> Vec<ProcessEntry> {
    every_process().into_iter().filter(|process| process.parent == pid).collect()
}

/// Resident memory of a process in kilobytes.
#[track_caller]
pub fn resident_kb(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of memory");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

/// Lets this process, and with it the servers it starts, have as many descriptors as the system grants.
fn raise_open_files_limit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let limit = getrlimit(Resource::Nofile);
        // Not beyond what a usual system has: some programs walk over all possible descriptors.
        let wanted = limit.maximum.map_or(65_536, |maximum| maximum.min(65_536));
        let current = limit.current.map_or(wanted, |current| current.max(wanted));
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).ok();
    });
}
