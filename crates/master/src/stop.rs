//! The end of everything: drained or at once, and never later than its limit.

use std::time::{Duration, Instant};

use crate::Level;
use crate::child::ChildState;
use crate::plan::{Role, StopKind};
use crate::supervisor::Supervisor;

/// How far the end has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Edges finish what they have begun; applications still answer.
    Draining {
        /// When it becomes [`Stop::Ending`] whatever the edges do.
        deadline: Option<Instant>,
    },
    /// Everybody has been told to end.
    Ending,
    /// Everybody has been killed.
    Killed,
}

impl Stop {
    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Draining { deadline } => *deadline,
            Self::Ending | Self::Killed => None, // Each child has its own.
        }
    }
}

impl Supervisor {
    /// A signal asks for the end; a repeated one may ask for more haste. `limit` is for a graceful end.
    ///
    /// Only SIGINT insists by repetition. A shell script that passes on SIGTERM and sends it once more from its exit trap is common, and
    /// does not mean to kill.
    pub(crate) fn stop_asked(&mut self, signal: &str, kind: StopKind, limit: Option<Duration>) {
        let insists = self.interrupts > 1;
        let limit = limit.map(|limit| Instant::now() + limit);
        match &mut self.stop {
            None => {
                let how = if kind == StopKind::Graceful { "shutting down gracefully" } else { "exiting" };
                self.log(Level::Notice, &format!("{signal} received, {how}"));
                self.begin_stop(kind, limit);
            }
            Some(Stop::Draining { .. }) if kind == StopKind::Fast || insists => {
                self.log(Level::Notice, &format!("{signal} received, exiting"));
                self.begin_stop(StopKind::Fast, None);
            }
            // SIGTERM after SIGQUIT: who sends it will not wait for long.
            Some(Stop::Draining { deadline }) => *deadline = [*deadline, limit].into_iter().flatten().min(),
            Some(Stop::Ending) if insists && signal == "SIGINT" => {
                self.log(Level::Warn, "SIGINT received again, killing what is left");
                self.kill_all();
            }
            Some(_) => {}
        }
    }

    /// Begins to end everything, or hastens an end that has begun; at `deadline` a drain gives up.
    pub(crate) fn begin_stop(&mut self, kind: StopKind, deadline: Option<Instant>) {
        self.launches.clear();
        self.revivals.clear();
        let _ = self.plan.successors.settle(false);
        self.plan.successors.release();
        if kind == StopKind::Graceful && self.stop.is_none() {
            self.drain(deadline);
        } else if self.stop != Some(Stop::Killed) {
            self.end_all();
        }
    }

    /// Goes on with a drain that is over: by success, or by time.
    pub(crate) fn advance_stop(&mut self) {
        let Some(Stop::Draining { deadline }) = self.stop else {
            return;
        };
        if !self.children.iter().any(|child| child.role == Role::Edge) {
            self.stop = Some(Stop::Ending);
            let limit = self.plan.timings.fast_stop;
            for child in &mut self.children {
                child.end(child.signals.graceful, limit);
            }
        } else if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.log(Level::Warn, "the time for a graceful shutdown is over, exiting");
            self.end_all();
        }
    }

    fn drain(&mut self, deadline: Option<Instant>) {
        self.stop = Some(Stop::Draining { deadline });
        let limit = self.plan.timings.fast_stop;
        for child in self.children.iter_mut().filter(|child| child.role == Role::Edge) {
            if child.state == ChildState::Up {
                child.signal(child.signals.graceful);
                child.state = ChildState::Ending;
            } else if child.state == ChildState::Starting || child.kill_at.is_some() {
                child.end(child.signals.fast, limit);
            }
        }
    }

    fn end_all(&mut self) {
        self.stop = Some(Stop::Ending);
        let limit = self.plan.timings.fast_stop;
        for child in &mut self.children {
            child.end(child.signals.fast, limit);
        }
    }

    fn kill_all(&mut self) {
        self.stop = Some(Stop::Killed);
        for child in &mut self.children {
            child.kill();
            child.state = ChildState::Ending;
            child.kill_at = None;
        }
    }
}
