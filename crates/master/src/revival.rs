//! What follows a death: who goes down with it, how long to wait, and the successors.

use std::time::Instant;

use rustix::process::Pid;

use crate::child::{Child, ChildState};
use crate::plan::{Death, Scope};
use crate::supervisor::Supervisor;
use crate::{Level, MasterError};

/// Successors that are due.
#[derive(Debug)]
pub(crate) struct Revival {
    death: Death,
    pub(crate) due: Instant,
    /// Those that went down with the dead child; they must be gone first.
    fallen: Vec<Pid>,
}

impl Supervisor {
    /// A child that had been ready, of a launch that was complete, has died.
    pub(crate) fn bereaved(&mut self, death: Death) {
        let fallen = match self.plan.successors.scope(&death) {
            Scope::Shutdown => return self.fail(MasterError::Died(Box::new(death))),
            Scope::Alone => Vec::new(),
            Scope::With(names) => self.end_children(|child| names.contains(&child.name)),
            Scope::All => {
                // Whatever else was under way is part of the old generation.
                self.launches.clear();
                self.revivals.clear();
                self.end_children(|_| true);
                self.children.iter().map(|child| child.pid).collect()
            }
        };
        self.revive(death.clone(), &death, fallen);
    }

    /// Plans successors for `cause`, after the back-off that `latest`, the latest death on that account, brings.
    pub(crate) fn revive(&mut self, cause: Death, latest: &Death, fallen: Vec<Pid>) {
        let wait = self.death_row.count(&latest.name, latest.lived, &self.plan.timings.back_off);
        if !latest.was_ready {
            self.log(Level::Error, &format!("{} did not start: {}", latest.name, latest.reason()));
        }
        if wait.is_zero() {
            self.log(Level::Notice, &format!("{} is started again", cause.name));
        } else {
            self.log(Level::Warn, &format!("{} is started again in {} ms", cause.name, wait.as_millis()));
        }
        self.revivals.push(Revival { death: cause, due: Instant::now() + wait, fallen });
    }

    /// Whether only time is lacking.
    pub(crate) fn can_begin(&self, revival: &Revival) -> bool {
        !self.children.iter().any(|child| revival.fallen.contains(&child.pid))
    }

    /// Launches the successors whose time has come.
    pub(crate) fn advance_revivals(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while let Some(revival) = self.revivals.get(index) {
            if revival.due > now || !self.can_begin(revival) {
                index += 1;
                continue;
            }
            let Revival { death, .. } = self.revivals.remove(index);
            match self.plan.successors.plans(&death) {
                Ok(plans) => self.launch(plans, Some(death)),
                Err(reason) => {
                    let latest = Death { message: Some(reason), was_ready: false, ..death.clone() };
                    self.revive(death, &latest, Vec::new());
                }
            }
            if self.stop.is_some() {
                return; // The launch ended everything, this list included.
            }
        }
    }

    /// Tells matching children to end at once; returns those that were told.
    pub(crate) fn end_children(&mut self, matches: impl Fn(&Child) -> bool) -> Vec<Pid> {
        let limit = self.plan.timings.fast_stop;
        let mut told = Vec::new();
        for child in &mut self.children {
            if child.state != ChildState::Ending && matches(child) {
                child.end(child.signals.fast, limit);
                told.push(child.pid);
            }
        }
        told
    }
}
