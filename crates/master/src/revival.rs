//! What follows a death: who goes down with it, how long to wait, and the successors.

use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::child::{Child, ChildState};
use crate::launch::Purpose;
use crate::plan::{Death, Scope};
use crate::supervisor::{ORPHANS_LOOK, ORPHANS_WAIT, Supervisor};
use crate::{Level, MasterError};

/// Successors that are due.
#[derive(Debug)]
pub(crate) struct Revival {
    death: Death,
    due: Instant,
    /// The dead child and those that went down with it; they and their process groups must be gone first.
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
                let _ = self.plan.successors.settle(false);
                self.end_children(|_| true);
                self.children.iter().map(|child| child.pid).collect()
            }
        };
        self.revive(death.clone(), &death, fallen);
    }

    /// Plans successors for `cause`, after the back-off that `latest`, the latest death on that account, brings.
    pub(crate) fn revive(&mut self, cause: Death, latest: &Death, mut fallen: Vec<Pid>) {
        fallen.extend(Pid::from_raw(latest.pid));
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

    /// Nobody needs to follow on these deaths any more.
    pub(crate) fn forget_revivals(&mut self, is_made_good: impl Fn(&Death) -> bool) {
        self.revivals.retain(|revival| !is_made_good(&revival.death));
    }

    /// When to look at a revival again; `None` if a child's end comes first, which wakes the loop by itself.
    pub(crate) fn wakes_at(&self, revival: &Revival) -> Option<Instant> {
        if self.children.iter().any(|child| revival.fallen.contains(&child.pid)) {
            return None;
        }
        let now = Instant::now();
        // Successors use what the fallen used, so these must not run any more. One stuck in the kernel is not waited for, though.
        let is_haunted = self.orphaned_groups.iter().any(|group| revival.fallen.contains(group));
        if is_haunted && now < revival.due + ORPHANS_WAIT { Some(now + ORPHANS_LOOK) } else { Some(revival.due) }
    }

    /// Launches the successors whose time has come.
    pub(crate) fn advance_revivals(&mut self) {
        self.forget_the_gone();
        let mut index = 0;
        while let Some(revival) = self.revivals.get(index) {
            if self.wakes_at(revival).is_none_or(|time| time > Instant::now()) {
                index += 1;
                continue;
            }
            let Revival { death, .. } = self.revivals.remove(index);
            match self.plan.successors.plans(&death) {
                Ok(plans) => self.launch(plans, Purpose::Revival(death)),
                Err(reason) => {
                    let latest = failed_attempt(&death, reason);
                    self.revive(death, &latest, Vec::new());
                }
            }
            if self.stop.is_some() {
                return; // The launch ended everything, this list included.
            }
        }
    }

    /// Strikes those from the lists that are gone, before their process ids can be somebody else's.
    fn forget_the_gone(&mut self) {
        let (children, groups) = (&self.children, &self.orphaned_groups);
        for revival in &mut self.revivals {
            revival.fallen.retain(|pid| groups.contains(pid) || children.iter().any(|child| child.pid == *pid));
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

/// A death in the row for an attempt that came to nothing: no process, no life.
fn failed_attempt(cause: &Death, reason: String) -> Death {
    Death { pid: 0, ending: None, was_ready: false, lived: Duration::ZERO, message: Some(reason), ..cause.clone() }
}
