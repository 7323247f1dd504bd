//! A start of several children: applications first, edges when all of these are ready.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, RawFd};

use daemun_net::SystemCause;

use crate::child::{Birth, Child, ChildSignals, ChildState};
use crate::plan::{ChildPlan, Death, Role, StartFailure};
use crate::ready::{ReadyPipe, ready_pipe};
use crate::spawn::{Start, spawn};
use crate::supervisor::Supervisor;
use crate::{Level, MasterError, ReloadFacts};

/// A start that is under way.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) id: u64,
    /// Edges that wait for their applications.
    waiting: Vec<ChildPlan>,
    purpose: Purpose,
}

/// What a start is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The server's own start.
    Start,
    /// It makes good a death.
    Revival(Death),
    /// It takes the place of what runs.
    Reload(ReloadFacts),
    /// It takes the place of the applications of these names.
    Renewal(BTreeSet<String>),
}

impl Supervisor {
    /// Starts the applications among `plans`; [`Supervisor::advance_launches`] starts the edges.
    pub(crate) fn launch(&mut self, plans: Vec<ChildPlan>, purpose: Purpose) {
        let (applications, waiting) = plans.into_iter().partition(|plan| plan.role == Role::Application);
        let id = self.launch_count;
        self.launch_count += 1;
        self.launches.push(Launch { id, waiting, purpose });
        self.start_all(id, applications);
    }

    /// Goes on with every launch whose started children are all ready.
    pub(crate) fn advance_launches(&mut self) {
        let mut index = 0;
        while let Some(launch) = self.launches.get_mut(index) {
            let id = launch.id;
            let is_waiting =
                self.children.iter().any(|child| child.launch == id && child.state == ChildState::Starting);
            if is_waiting {
                index += 1;
            } else if launch.waiting.is_empty() {
                match self.launches.remove(index).purpose {
                    Purpose::Reload(facts) => self.reload_succeeded(id, facts),
                    Purpose::Renewal(names) => self.renewal_succeeded(id, &names),
                    Purpose::Start | Purpose::Revival(_) => {}
                }
            } else {
                let edges = std::mem::take(&mut launch.waiting);
                self.start_all(id, edges);
            }
        }
    }

    /// Whether the launch at `index` is the server's own start.
    pub(crate) fn is_first(&self, index: usize) -> bool {
        self.launches.get(index).is_some_and(|launch| matches!(launch.purpose, Purpose::Start))
    }

    /// A child of a launch that is under way has died, or could not even be started.
    pub(crate) fn launch_failed(&mut self, index: usize, death: Death, policy: StartFailure) {
        match (self.launches.get(index).map(|launch| &launch.purpose), policy) {
            (None, _) => {}
            (Some(Purpose::Start), StartFailure::Fatal) => self.fail(not_started(death)),
            // The start goes on without it.
            (Some(Purpose::Start), StartFailure::Retry) => self.revive(death.clone(), &death, Vec::new()),
            (Some(Purpose::Revival(_) | Purpose::Reload(_) | Purpose::Renewal(_)), _) => {
                // A generation is up as a whole or not at all.
                let launch = self.launches.remove(index);
                let Purpose::Revival(cause) = launch.purpose else {
                    return self.reload_failed(launch.id, &death);
                };
                let fallen = self.end_children(|child| child.launch == launch.id);
                self.revive(cause, &death, fallen);
            }
        }
    }

    /// Starts children of one role; stops at the first that cannot be started, if that ends the launch.
    fn start_all(&mut self, id: u64, plans: Vec<ChildPlan>) {
        for plan in plans {
            let (name, role, policy) = (plan.name.clone(), plan.role, plan.on_start_failure);
            let Err(reason) = self.start(id, plan) else {
                continue;
            };
            let message = Some(reason);
            let lived = std::time::Duration::ZERO;
            let death = Death { name, role, pid: 0, ending: None, program: None, was_ready: false, lived, message };
            if let Some(index) = self.launches.iter().position(|launch| launch.id == id) {
                self.launch_failed(index, death, policy);
            }
            if !self.launches.iter().any(|launch| launch.id == id) {
                return;
            }
        }
    }

    fn start(&mut self, id: u64, plan: ChildPlan) -> Result<(), String> {
        let broken = |error: std::io::Error| format!("no descriptor for it ({})", SystemCause(&error));
        let (pipe, notice) = ready_pipe().map_err(broken)?;
        let birth = Birth {
            name: plan.name.clone(),
            role: plan.role,
            program: plan.program.path(),
            on_start_failure: plan.on_start_failure,
            signals: ChildSignals::of(&plan),
            ready_within: plan.ready_within,
            ends_within: plan.ends_within,
            may_stop: plan.may_stop,
        };
        let start = Start {
            identity: plan.identity,
            conditions: plan.conditions,
            output: plan.output.resolve(self.plan.detached.as_ref()).map_err(broken)?,
            parent_death_signal: plan.parent_death_signal,
            masters_descriptors: self.own_descriptors(&pipe),
        };
        let pid = spawn(plan.program, start, notice)?;
        self.log(Level::Notice, &format!("start {} process {}", birth.name, pid.as_raw_nonzero()));
        self.children.push(Child::new(birth, pid, id, pipe));
        Ok(())
    }

    /// What only the master may hold open: a forked child closes these first.
    fn own_descriptors(&self, new_pipe: &ReadyPipe) -> Vec<RawFd> {
        let pipes = self.children.iter().filter_map(|child| child.ready_pipe.as_ref());
        let mut numbers: Vec<RawFd> = pipes.chain([new_pipe]).map(AsRawFd::as_raw_fd).collect();
        numbers.push(self.inbox.as_raw_fd());
        numbers.extend(self.plan.detached.as_ref().map(crate::Detached::descriptor));
        numbers
    }
}

fn not_started(death: Death) -> MasterError {
    match (&death.ending, &death.message) {
        (None, Some(reason)) => MasterError::Spawn { name: death.name.clone(), reason: reason.clone() },
        _ => MasterError::NotReady(Box::new(death)),
    }
}
