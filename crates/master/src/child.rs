//! A running child as the master sees it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::plan::{ChildPlan, Death, Role, StartFailure};
use crate::ready::{ReadyPipe, ReadyState, Wish};
use crate::reap::Ending;

/// A process that was started and has not been reaped.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) role: Role,
    program: Option<PathBuf>,
    pub(crate) pid: Pid,
    /// The launch it belongs to.
    pub(crate) launch: u64,
    pub(crate) state: ChildState,
    pub(crate) on_start_failure: StartFailure,
    /// When it is killed, unless it has ended by then.
    pub(crate) kill_at: Option<Instant>,
    /// There until it has said that it will not be ready, or has closed its end.
    pub(crate) ready_pipe: Option<ReadyPipe>,
    pub(crate) signals: ChildSignals,
    /// Whether others have taken its place, or everything pauses: its end is no death.
    pub(crate) is_retired: bool,
    started: Instant,
    was_ready: bool,
    message: Option<String>,
    ends_within: Option<Duration>,
    pub(crate) may_stop: bool,
}

/// What a child is expected to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildState {
    /// To become ready.
    Starting,
    /// To live on.
    Up,
    /// To end, since it was told to.
    Ending,
}

/// The signals it understands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildSignals {
    pub(crate) graceful: Signal,
    pub(crate) fast: Signal,
    pub(crate) reopen: Option<Signal>,
}

impl ChildSignals {
    pub(crate) fn of(plan: &ChildPlan) -> Self {
        Self { graceful: plan.graceful_signal, fast: plan.fast_signal, reopen: plan.reopen_signal }
    }
}

/// What a plan leaves behind once its program has been started.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) program: Option<PathBuf>,
    pub(crate) on_start_failure: StartFailure,
    pub(crate) signals: ChildSignals,
    pub(crate) ready_within: Duration,
    pub(crate) ends_within: Option<Duration>,
    pub(crate) may_stop: bool,
}

impl Child {
    pub(crate) fn new(birth: Birth, pid: Pid, launch: u64, ready_pipe: ReadyPipe) -> Self {
        let started = Instant::now();
        Self {
            name: birth.name,
            role: birth.role,
            program: birth.program,
            pid,
            launch,
            state: ChildState::Starting,
            on_start_failure: birth.on_start_failure,
            kill_at: started.checked_add(birth.ready_within),
            ready_pipe: Some(ready_pipe),
            signals: birth.signals,
            is_retired: false,
            started,
            was_ready: false,
            message: None,
            ends_within: birth.ends_within,
            may_stop: birth.may_stop,
        }
    }

    /// Reads the ready pipe; tells whether the child has just given up, so that its end is awaited.
    pub(crate) fn read_notice(&mut self) -> bool {
        let Some(pipe) = self.ready_pipe.as_mut().filter(|_| !self.was_ready) else {
            return false;
        };
        match pipe.read() {
            ReadyState::Waiting => return false,
            ReadyState::Ready if self.state == ChildState::Starting => {
                self.state = ChildState::Up;
                self.kill_at = None;
                self.was_ready = true;
                return false;
            }
            ReadyState::Ready => {}
            ReadyState::Failed(message) => self.message = message,
        }
        self.ready_pipe = None;
        !self.was_ready
    }

    /// What it wants, once it is ready.
    pub(crate) fn wishes(&mut self) -> Vec<Wish> {
        let Some(pipe) = self.ready_pipe.as_mut().filter(|_| self.was_ready) else { return Vec::new() };
        let wishes = pipe.wishes();
        if wishes.is_none() {
            self.ready_pipe = None;
        }
        wishes.unwrap_or_default()
    }

    /// Others have taken its place: it finishes what it runs and ends, within `limit` where it has no limit of its own.
    pub(crate) fn retire(&mut self, limit: Duration) {
        self.is_retired = true;
        if self.state != ChildState::Ending {
            self.end(self.signals.graceful, self.ends_within.unwrap_or(limit));
        }
    }

    /// Sends a signal to the process, not to its group. One that has ended already is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(self.pid, signal);
    }

    /// Kills the process and whatever it has started in its group.
    pub(crate) fn kill(&self) {
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        self.signal(Signal::KILL);
    }

    /// Tells it to end within `limit`; an earlier limit stays.
    pub(crate) fn end(&mut self, signal: Signal, limit: Duration) {
        // One that is still starting has not installed a handler for anything finer: of this one it dies.
        self.signal(if self.state == ChildState::Starting { Signal::TERM } else { signal });
        let limit = Instant::now() + limit;
        let earlier = self.kill_at.filter(|kill_at| *kill_at < limit && self.state == ChildState::Ending);
        self.kill_at = Some(earlier.unwrap_or(limit));
        self.state = ChildState::Ending;
    }

    /// Its obituary.
    pub(crate) fn death(&self, ending: Ending) -> Death {
        Death {
            name: self.name.clone(),
            role: self.role,
            pid: self.pid.as_raw_nonzero().get(),
            ending: Some(ending),
            program: self.program.clone(),
            was_ready: self.was_ready,
            lived: self.started.elapsed(),
            message: self.message.clone(),
        }
    }
}
