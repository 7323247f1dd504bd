//! SIGHUP: a new configuration for the children that run, or new children in their place.

use std::time::Duration;

use daemun_net::SocketFile;

use crate::child::ChildState;
use crate::launch::Purpose;
use crate::plan::{ChildPlan, Death, Role};
use crate::supervisor::Supervisor;
use crate::{Level, MasterError, PidFile};

/// What became of a configuration that was read anew.
#[derive(Debug)]
pub enum Reload {
    /// It is not one, and why has been logged: the old one stays in force.
    Refused,
    /// The children that run have been told of it.
    Taken(ReloadFacts),
    /// It wants other processes. Once these are ready the old ones drain and end; if they do not get ready, the old ones stay.
    Replaced(ReloadFacts, Vec<ChildPlan>),
}

/// What the master itself needs to know of a configuration.
#[derive(Debug, Clone, Default)]
pub struct ReloadFacts {
    /// As [`crate::MasterPlan::pid_files`].
    pub pid_files: Vec<std::path::PathBuf>,
    /// As [`crate::MasterPlan::socket_files`].
    pub socket_files: Vec<SocketFile>,
    /// As [`crate::Timings::graceful_stop`].
    pub graceful_stop: Option<Duration>,
}

impl Supervisor {
    /// Reads the configuration anew as soon as nothing is being started.
    pub(crate) fn advance_reload(&mut self) {
        let is_possible = self.is_started && self.launches.is_empty() && self.stop.is_none();
        if !is_possible || !std::mem::take(&mut self.is_reload_wanted) {
            return;
        }
        let edges = self.children.iter().filter(|child| child.role == Role::Edge && !child.is_retired);
        let has_none = edges.count() == 0 && self.revivals.is_empty();
        match self.plan.successors.reload(self.is_paused || has_none) {
            Reload::Refused => {}
            Reload::Taken(facts) => self.take_facts(facts),
            Reload::Replaced(facts, plans) => {
                self.launch(plans, Purpose::Reload(facts));
                self.advance_launches(); // Where there are no applications to wait for.
            }
        }
    }

    /// The children of a reload are all ready: those before them drain and end.
    pub(crate) fn reload_succeeded(&mut self, id: u64, facts: ReloadFacts) {
        self.plan.successors.settle(true);
        self.is_paused = false;
        self.take_facts(facts);
        self.revivals.clear();
        for child in self.children.iter_mut().filter(|child| child.launch != id) {
            child.is_retired = true;
            if child.role == Role::Edge && child.state == ChildState::Up {
                child.signal(child.signals.graceful);
                child.state = ChildState::Ending;
            }
        }
    }

    /// A child of a reload did not get ready.
    pub(crate) fn reload_failed(&mut self, id: u64, death: &Death) {
        self.end_children(|child| child.launch == id);
        self.log(Level::Emerg, &format!("{} did not start: {}", death.name, death.reason()));
        self.log(Level::Error, "the new configuration is given up, the old one stays in force");
        self.plan.successors.settle(false);
    }

    /// Applications that are replaced end when nobody is left to ask them.
    pub(crate) fn advance_retirement(&mut self) {
        if self.children.iter().any(|child| child.is_retired && child.role == Role::Edge) {
            return;
        }
        let limit = self.plan.timings.fast_stop;
        let applications =
            self.children.iter_mut().filter(|child| child.is_retired && child.state != ChildState::Ending);
        for child in applications {
            child.end(child.signals.graceful, limit);
        }
    }

    fn take_facts(&mut self, facts: ReloadFacts) {
        self.plan.timings.graceful_stop = facts.graceful_stop;
        self.plan.socket_files = facts.socket_files;
        let (kept, dropped) = std::mem::take(&mut self.pid_files)
            .into_iter()
            .partition(|file: &PidFile| facts.pid_files.iter().any(|path| file.is_at(path)));
        self.pid_files = kept;
        for path in facts.pid_files {
            if self.pid_files.iter().any(|file| file.is_at(&path)) {
                continue;
            }
            match PidFile::write(&path) {
                Ok(file) => self.pid_files.push(file),
                Err(source) => self.log(Level::Emerg, &MasterError::PidFile { path, source }.to_string()),
            }
        }
        self.remove_pid_files(dropped);
    }
}
