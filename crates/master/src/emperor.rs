//! Many servers, one for each file of a set that changes while all of them run: uWSGI's Emperor.
//!
//! A vassal is a program of its own; the emperor starts it, tells it when its file has changed, ends it when the file is gone, and
//! starts it again, ever later, when it dies. What one of them does touches no other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daemun_net::SystemCause;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal};

use crate::plan::{Conditions, Executable, Output, Program};
use crate::ready::{ReadyPipe, ReadyState, ready_pipe};
use crate::reap::{self, Ending};
use crate::spawn::{Start, spawn};
use crate::supervisor::{MASTER_SIGNALS, timespec};
use crate::{BackOff, Detached, Identity, Level, Log, MasterError, PidFile, SignalInbox};

/// What an emperor rules over.
pub trait Realm {
    /// The files there are now, each a vassal.
    fn scan(&self) -> Vec<PathBuf>;

    /// The arguments of the program for a file.
    fn arguments(&self, path: &Path) -> Vec<OsString>;

    /// The state of all vassals as a text.
    fn report(&self, vassals: &[VassalState]) -> String;
}

/// Everything [`reign`] needs to know.
pub struct EmperorPlan {
    /// What is ruled over.
    pub realm: Box<dyn Realm>,
    /// The program of all vassals.
    pub program: PathBuf,
    /// The user of a vassal is the owner of its file.
    pub is_tyrant: bool,
    /// The user of vassals otherwise; `None`: who the emperor is.
    pub identity: Option<Identity>,
    /// How often files are looked for.
    pub frequency: Duration,
    /// How long a vassal that dies waits.
    pub back_off: BackOff,
    /// How long a vassal has for its end.
    pub ends_within: Duration,
    /// Sockets where the state is told: whoever connects gets it.
    pub listeners: Vec<OwnedFd>,
    /// Files that hold the emperor's process id.
    pub pid_files: Vec<PathBuf>,
    /// Where lines go.
    pub log: Box<dyn Log>,
    /// What [`crate::daemonize`] returned.
    pub detached: Option<Detached>,
}

/// What is known of a vassal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VassalState {
    /// Its file.
    pub path: PathBuf,
    /// Its process, if it runs.
    pub pid: Option<i32>,
    /// Whether it has said that it serves.
    pub is_ready: bool,
    /// When its file was changed last, was seen first, and when its process was started last; seconds since 1970.
    pub modified: u64,
    /// See `modified`.
    pub first_run: u64,
    /// See `modified`.
    pub last_run: u64,
    /// How often it was started again.
    pub respawns: u32,
    /// Deaths in a row that make it wait.
    pub deaths: u32,
    /// Milliseconds until it is started again.
    pub waits_ms: Option<u64>,
    /// What it said, or how it ended, when it died last.
    pub error: Option<String>,
    /// User and group; 0 where they are the emperor's.
    pub user: u32,
    /// See `user`.
    pub group: u32,
}

/// Reigns until a signal ends it.
///
/// # Errors
/// [`MasterError`]: signals or pid files cannot be had. Whatever befalls a vassal is none.
pub fn reign(plan: EmperorPlan) -> Result<(), MasterError> {
    let inbox = SignalInbox::block(&MASTER_SIGNALS).map_err(MasterError::system("signalfd"))?;
    let mut emperor = Emperor { plan, inbox, vassals: BTreeMap::new(), scanned: None, ends_at: None };
    let mut pid_files = Vec::new();
    for path in std::mem::take(&mut emperor.plan.pid_files) {
        let written = PidFile::write(&path).map_err(|source| MasterError::PidFile { path, source })?;
        pid_files.push(written);
    }
    if let Some(Err(source)) = emperor.plan.detached.take().map(Detached::let_go) {
        return Err(MasterError::System { call: "open /dev/null", source });
    }
    while !emperor.is_over() {
        emperor.turn();
    }
    for file in pid_files {
        let _ = file.remove(); // Nobody is left to be told.
    }
    emperor.log(Level::Notice, "exit");
    Ok(())
}

struct Emperor {
    plan: EmperorPlan,
    inbox: SignalInbox,
    vassals: BTreeMap<PathBuf, Vassal>,
    scanned: Option<Instant>,
    /// The end has begun; then everybody who is left is killed.
    ends_at: Option<Instant>,
}

struct Vassal {
    stamp: Stamp,
    /// The file is gone: it is to end.
    is_unwanted: bool,
    running: Option<Running>,
    due: Instant,
    state: VassalState,
}

struct Running {
    pid: Pid,
    pipe: Option<ReadyPipe>,
    started: Instant,
    kill_at: Option<Instant>,
}

/// What a change of a file changes: its time in nanoseconds, and which file it is.
type Stamp = (i128, u64);

impl Emperor {
    fn is_over(&self) -> bool {
        self.ends_at.is_some() && self.vassals.values().all(|vassal| vassal.running.is_none())
    }

    fn turn(&mut self) {
        let now = Instant::now();
        if self.ends_at.is_none() && self.scanned.is_none_or(|scanned| now - scanned >= self.plan.frequency) {
            self.scanned = Some(now);
            self.look();
        }
        self.start_due(now);
        self.wait(now);
        self.take_signals();
        self.read_notices();
        self.reap();
        self.kill_overdue();
        self.tell_state();
    }

    /// Compares the files with the vassals.
    fn look(&mut self) {
        let found: BTreeMap<PathBuf, (Stamp, u32, u32)> =
            self.plan.realm.scan().into_iter().filter_map(|path| Some((path.clone(), facts_of(&path)?))).collect();
        let gone: Vec<PathBuf> = self.vassals.keys().filter(|path| !found.contains_key(*path)).cloned().collect();
        for path in gone {
            self.remove(&path);
        }
        for (path, (stamp, user, group)) in found {
            match self.vassals.get_mut(&path) {
                Some(vassal) if vassal.stamp != stamp => {
                    vassal.stamp = stamp;
                    vassal.state.modified = seconds_of(stamp);
                    (vassal.state.user, vassal.state.group) = (user, group);
                    self.reload(&path);
                }
                Some(vassal) => vassal.is_unwanted = false,
                None => self.add(path, stamp, (user, group)),
            }
        }
    }

    fn add(&mut self, path: PathBuf, stamp: Stamp, (user, group): (u32, u32)) {
        self.log(Level::Notice, &format!("vassal \"{}\" is new", path.display()));
        let state = VassalState {
            path: path.clone(),
            pid: None,
            is_ready: false,
            modified: seconds_of(stamp),
            first_run: unix_seconds(),
            last_run: 0,
            respawns: 0,
            deaths: 0,
            waits_ms: None,
            error: None,
            user,
            group,
        };
        let vassal = Vassal { stamp, is_unwanted: false, running: None, due: Instant::now(), state };
        self.vassals.insert(path, vassal);
    }

    /// The file is gone.
    fn remove(&mut self, path: &Path) {
        let limit = self.plan.ends_within;
        let Some(vassal) = self.vassals.get_mut(path).filter(|vassal| !vassal.is_unwanted) else { return };
        vassal.is_unwanted = true;
        match &mut vassal.running {
            Some(running) => running.end(limit),
            None => drop(self.vassals.remove(path)),
        }
        self.log(Level::Notice, &format!("vassal \"{}\" is gone", path.display()));
    }

    /// The file has changed: whoever runs is told, and whoever waits need wait no more.
    fn reload(&mut self, path: &Path) {
        self.log(Level::Notice, &format!("vassal \"{}\" has changed", path.display()));
        let Some(vassal) = self.vassals.get_mut(path) else { return };
        vassal.is_unwanted = false;
        vassal.state.deaths = 0;
        match &vassal.running {
            // One that is not up yet has not got a handler for it.
            Some(running) if vassal.state.is_ready => running.signal(Signal::HUP),
            Some(running) => running.signal(Signal::TERM),
            None => vassal.due = Instant::now(),
        }
    }

    fn start_due(&mut self, now: Instant) {
        if self.ends_at.is_some() {
            return;
        }
        let is_due = |vassal: &Vassal| vassal.running.is_none() && !vassal.is_unwanted && vassal.due <= now;
        let due: Vec<PathBuf> =
            self.vassals.iter().filter(|(_, vassal)| is_due(vassal)).map(|(path, _)| path.clone()).collect();
        for path in due {
            match self.start(&path) {
                Ok(running) => {
                    let pid = running.pid.as_raw_nonzero().get();
                    self.log(Level::Notice, &format!("vassal \"{}\" started (pid {pid})", path.display()));
                    if let Some(vassal) = self.vassals.get_mut(&path) {
                        vassal.state.pid = Some(pid);
                        vassal.state.is_ready = false;
                        vassal.state.respawns += u32::from(vassal.state.last_run != 0);
                        vassal.state.last_run = unix_seconds();
                        vassal.running = Some(running);
                    }
                }
                Err(reason) => self.has_failed(&path, Duration::ZERO, reason),
            }
        }
    }

    fn start(&self, path: &Path) -> Result<Running, String> {
        let broken = |error: io::Error| format!("no descriptor for it ({})", SystemCause(&error));
        let (pipe, notice) = ready_pipe().map_err(broken)?;
        let mut executable = Executable::new(self.plan.program.clone());
        executable.arguments = self.plan.realm.arguments(path);
        let identity = if self.plan.is_tyrant { Some(owner_of(path)?) } else { self.plan.identity.clone() };
        let start = Start {
            identity,
            conditions: Conditions::default(),
            output: Output::Inherit,
            parent_death_signal: Signal::TERM,
            masters_descriptors: Vec::new(),
        };
        let pid = spawn(Program::Exec(executable), start, notice)?;
        Ok(Running { pid, pipe: Some(pipe), started: Instant::now(), kill_at: None })
    }

    fn wait(&self, now: Instant) {
        let looks = self.scanned.map(|scanned| scanned + self.plan.frequency).filter(|_| self.ends_at.is_none());
        let running = self.vassals.values().filter_map(|vassal| vassal.running.as_ref());
        let kills = running.clone().filter_map(|running| running.kill_at);
        let is_waiting = |vassal: &&Vassal| vassal.running.is_none() && !vassal.is_unwanted;
        let births =
            self.vassals.values().filter(is_waiting).map(|vassal| vassal.due).filter(|_| self.ends_at.is_none());
        let until = kills.chain(births).chain(looks).min();
        let timeout = until.map(|until| timespec(until.saturating_duration_since(now)));
        let mut descriptors = vec![PollFd::new(&self.inbox, PollFlags::IN)];
        descriptors.extend(self.plan.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        let pipes = running.filter_map(|running| running.pipe.as_ref());
        descriptors.extend(pipes.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        // A signal ends it too; whatever it was is found by what follows.
        let _ = rustix::event::poll(&mut descriptors, timeout.as_ref());
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.inbox.next() {
            match signal {
                Signal::TERM | Signal::INT | Signal::QUIT => self.end(),
                Signal::HUP => {
                    self.log(Level::Notice, "SIGHUP received, all vassals are reloaded");
                    self.vassals.keys().cloned().collect::<Vec<_>>().iter().for_each(|path| self.reload(path));
                }
                Signal::WINCH => self.scanned = None,
                Signal::USR1 => {
                    self.plan.log.reopen();
                    self.ready().for_each(|running| running.signal(Signal::USR1));
                }
                _ => {} // SIGCHLD: every turn looks for ended children anyway.
            }
        }
    }

    fn ready(&self) -> impl Iterator<Item = &Running> {
        self.vassals.values().filter(|vassal| vassal.state.is_ready).filter_map(|vassal| vassal.running.as_ref())
    }

    fn end(&mut self) {
        if self.ends_at.is_none() {
            self.log(Level::Notice, "the end of all vassals");
        }
        let limit = self.plan.ends_within;
        self.ends_at = Some(Instant::now() + limit);
        self.vassals.values_mut().filter_map(|vassal| vassal.running.as_mut()).for_each(|running| running.end(limit));
    }

    fn read_notices(&mut self) {
        let mut ready = Vec::new();
        for (path, vassal) in &mut self.vassals {
            let Some(pipe) = vassal.running.as_mut().and_then(|running| running.pipe.as_mut()) else { continue };
            match pipe.read() {
                ReadyState::Waiting => continue,
                ReadyState::Ready => {
                    vassal.state.is_ready = true;
                    vassal.state.error = None;
                    ready.push(path.clone());
                }
                ReadyState::Failed(reason) => vassal.state.error = reason,
            }
            if let Some(running) = &mut vassal.running {
                running.pipe = None;
            }
        }
        for path in ready {
            self.log(Level::Notice, &format!("vassal \"{}\" serves", path.display()));
        }
    }

    fn reap(&mut self) {
        while let Ok(Some(pid)) = reap::ended_child() {
            // Its group is its own, and goes with it.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            let Ok(Some(ending)) = reap::reap(pid) else { continue };
            let is_it = |vassal: &Vassal| vassal.running.as_ref().is_some_and(|running| running.pid == pid);
            let path = self.vassals.iter().find(|(_, vassal)| is_it(vassal)).map(|(path, _)| path.clone());
            if let Some(path) = path {
                self.read_notices(); // Its last words.
                self.bury(&path, ending);
            }
        }
    }

    fn bury(&mut self, path: &Path, ending: Ending) {
        let Some(vassal) = self.vassals.get_mut(path) else { return };
        let Some(running) = vassal.running.take() else { return };
        vassal.state.pid = None;
        vassal.state.is_ready = false;
        let was_told = running.kill_at.is_some();
        let is_unwanted = vassal.is_unwanted;
        let said = vassal.state.error.clone();
        self.log(Level::Notice, &format!("vassal \"{}\" {ending}", path.display()));
        if is_unwanted {
            self.vassals.remove(path);
        } else if self.ends_at.is_none() && !was_told {
            let reason = said.unwrap_or_else(|| ending.to_string());
            self.has_failed(path, running.started.elapsed(), reason);
        }
    }

    /// It is started again, ever later while it dies young.
    fn has_failed(&mut self, path: &Path, lived: Duration, reason: String) {
        let back_off = self.plan.back_off.clone();
        let Some(vassal) = self.vassals.get_mut(path) else { return };
        let state = &mut vassal.state;
        state.deaths = if lived >= back_off.healthy_after { 1 } else { state.deaths.saturating_add(1) };
        let wait = back_off.wait(state.deaths);
        vassal.due = Instant::now() + wait;
        let line = reason.lines().last().unwrap_or_default().to_owned();
        state.error = Some(reason);
        let milliseconds = wait.as_millis();
        let text = format!("vassal \"{}\" is started again in {milliseconds} ms: {line}", path.display());
        self.log(Level::Error, &text);
    }

    fn kill_overdue(&mut self) {
        let now = Instant::now();
        for running in self.vassals.values_mut().filter_map(|vassal| vassal.running.as_mut()) {
            if running.kill_at.is_some_and(|kill_at| kill_at <= now) {
                running.kill_at = Some(now + self.plan.ends_within);
                let _ = rustix::process::kill_process_group(running.pid, Signal::KILL);
                running.signal(Signal::KILL);
            }
        }
    }

    /// Whoever has connected is told the state; nobody is waited for.
    fn tell_state(&self) {
        for listener in &self.plan.listeners {
            while let Ok(reader) = rustix::net::accept(listener) {
                let now = Instant::now();
                let state = |vassal: &Vassal| {
                    let waits = vassal.due.saturating_duration_since(now).as_millis();
                    let waits_ms = vassal.running.is_none().then(|| u64::try_from(waits).unwrap_or(u64::MAX));
                    VassalState { waits_ms, ..vassal.state.clone() }
                };
                let states: Vec<VassalState> = self.vassals.values().map(state).collect();
                let text = self.plan.realm.report(&states);
                let _ = rustix::net::sockopt::set_socket_send_buffer_size(&reader, text.len().min(SEND_BUFFER_MAX));
                let _ = rustix::io::ioctl_fionbio(&reader, true);
                let _ = std::fs::File::from(reader).write_all(text.as_bytes());
            }
        }
    }

    fn log(&mut self, level: Level, text: &str) {
        self.plan.log.log(level, text);
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(self.pid, signal);
    }

    /// Tells it to finish and end.
    fn end(&mut self, limit: Duration) {
        self.signal(Signal::TERM);
        self.kill_at.get_or_insert(Instant::now() + limit);
    }
}

fn facts_of(path: &Path) -> Option<(Stamp, u32, u32)> {
    let found = std::fs::metadata(path).ok()?;
    let stamp = (i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec()), found.ino());
    Some((stamp, found.uid(), found.gid()))
}

/// Who a file belongs to, with the groups of that user.
fn owner_of(path: &Path) -> Result<Identity, String> {
    let (_, user, group) = facts_of(path).ok_or("its file is gone")?;
    Identity::look_up(&user.to_string(), Some(&group.to_string())).map_err(|error| error.to_string())
}

fn seconds_of((nanoseconds, _): Stamp) -> u64 {
    u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Octets that a reader of the state may leave unread.
const SEND_BUFFER_MAX: usize = 4 << 20;
