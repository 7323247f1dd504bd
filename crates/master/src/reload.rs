//! SIGHUP: a new configuration for the children that run, or new children in their place.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use daemun_net::SocketFile;

use crate::child::{Child, ChildState};
use crate::launch::Purpose;
use crate::plan::{ChildPlan, Circumstances, Death, Role, StopKind};
use crate::ready::Wish;
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
    /// It wants other applications behind the edge that runs. Once these are ready, those of the same names retire, and
    /// [`crate::Successors::settle`] puts the configuration into force; if they do not get ready, all stays as it was.
    Renewed(Vec<ChildPlan>),
    /// It must wait until applications that were replaced have ended: asked again then.
    Busy,
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
        let is_retiring = self.children.iter().any(|child| child.is_retired && child.role == Role::Application);
        let is_wanted = self.is_reload_wanted || !self.renewals_wanted.is_empty();
        if !is_possible || !is_wanted || (self.is_reload_busy && is_retiring) {
            return;
        }
        let edges = self.children.iter().filter(|child| child.role == Role::Edge && !child.is_retired);
        let has_none = edges.count() == 0 && self.revivals.is_empty();
        let circumstances = Circumstances { has_no_edge: self.is_paused || has_none, is_retiring };
        let was_reload = std::mem::take(&mut self.is_reload_wanted);
        let names = std::mem::take(&mut self.renewals_wanted);
        let reload = match was_reload {
            true => self.plan.successors.reload(circumstances),
            false => self.plan.successors.renew(&names, circumstances),
        };
        self.is_reload_busy = matches!(reload, Reload::Busy);
        // A reload of everything need not have been one of these.
        if was_reload && matches!(reload, Reload::Taken(_) | Reload::Busy) {
            self.renewals_wanted = names.clone();
        }
        match reload {
            Reload::Refused => {}
            Reload::Busy => {
                self.is_reload_wanted = was_reload;
                self.renewals_wanted = names;
            }
            Reload::Renewed(plans) => {
                let names = plans.iter().map(|plan| plan.name.clone()).collect();
                self.launch(plans, Purpose::Renewal(names));
                self.advance_launches();
            }
            Reload::Taken(facts) => self.take_facts(facts),
            Reload::Replaced(facts, plans) => {
                self.launch(plans, Purpose::Reload(facts));
                self.advance_launches(); // Where there are no applications to wait for.
            }
        }
    }

    /// Has files be looked at from time to time, while nothing else is going on.
    pub(crate) fn advance_files(&mut self) {
        let is_possible = self.is_started && self.launches.is_empty() && self.stop.is_none() && !self.is_paused;
        if !is_possible || !self.plan.successors.keeps_files() {
            self.next_look = None;
            return;
        }
        let now = Instant::now();
        match self.next_look {
            Some(next) if next > now => return,
            Some(_) => {
                if let Some(facts) = self.plan.successors.look_at_files() {
                    self.take_facts(facts);
                }
            }
            None => {}
        }
        self.next_look = Some(now + LOOKS_PAUSE);
    }

    /// The children of a reload are all ready: those before them drain and end.
    pub(crate) fn reload_succeeded(&mut self, id: u64, facts: ReloadFacts) {
        let _ = self.plan.successors.settle(true);
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

    /// Applications are ready to take the place of those of the same names.
    pub(crate) fn renewal_succeeded(&mut self, id: u64, names: &BTreeSet<String>) {
        if let Some(facts) = self.plan.successors.settle(true) {
            self.take_facts(facts);
        }
        let is_of_them = |role: Role, name: &String| role == Role::Application && names.contains(name);
        self.forget_revivals(|death| is_of_them(death.role, &death.name));
        let limit = self.plan.timings.fast_stop;
        let replaced = |child: &&mut Child| child.launch != id && is_of_them(child.role, &child.name);
        for child in self.children.iter_mut().filter(replaced) {
            child.retire(limit);
        }
        for name in names {
            self.log(Level::Notice, &format!("{name} has been loaded anew"));
        }
    }

    /// What children want that are up.
    pub(crate) fn take_wishes(&mut self) {
        let mut wishes = Vec::new();
        for child in self.children.iter_mut().filter(|child| !child.is_retired) {
            wishes.extend(child.wishes().into_iter().map(|wish| (wish, child.name.clone(), child.may_stop)));
        }
        for (wish, name, may_stop) in wishes {
            let limit = self.plan.timings.terminate();
            match wish {
                Wish::Reload => {
                    self.log(Level::Notice, &format!("{name} asks to be loaded anew"));
                    self.renewals_wanted.insert(name);
                }
                Wish::Reopen => self.reopen(),
                Wish::Stop if may_stop => self.stop_asked(&name, StopKind::Graceful, limit),
                Wish::StopAtOnce if may_stop => self.stop_asked(&name, StopKind::Fast, limit),
                Wish::Stop | Wish::StopAtOnce => {
                    self.log(Level::Warn, &format!("{name} asks for the end, which is not its own alone: refused"));
                }
            }
        }
    }

    /// A child of a reload did not get ready.
    pub(crate) fn reload_failed(&mut self, id: u64, death: &Death) {
        self.end_children(|child| child.launch == id);
        self.log(Level::Emerg, &format!("{} did not start: {}", death.name, death.reason()));
        self.log(Level::Error, "the new configuration is given up, the old one stays in force");
        let _ = self.plan.successors.settle(false);
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
            child.retire(limit);
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

/// Between two looks at files. What has changed is taken when two looks have seen the same.
const LOOKS_PAUSE: Duration = Duration::from_secs(2);
