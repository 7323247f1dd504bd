//! The master's loop.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use daemun_net::{SocketFile, SystemCause};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};

use crate::back_off::DeathRow;
use crate::child::{Child, ChildState};
use crate::launch::{Launch, Purpose};
use crate::plan::{Death, MasterPlan};
use crate::reap::{self, Ending};
use crate::revival::Revival;
use crate::stop::Stop;
use crate::upgrade::Predecessor;
use crate::{Level, MasterError, PidFile, SignalInbox};

/// Runs the plan until a signal ends it.
///
/// The calling process must have no other thread; it takes over SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH and SIGCHLD,
/// and adopts orphaned descendants. When it returns, no child is left, and pid and socket files are removed.
///
/// In a forked child this function does not return either: the child ends with its closure.
///
/// # Errors
///
/// [`MasterError`]: the start failed, or a child died that is not to be replaced. It has not been logged.
pub fn run(mut plan: MasterPlan) -> Result<(), MasterError> {
    let first = std::mem::take(&mut plan.children);
    let mut supervisor = Supervisor::new(plan)?;
    supervisor.write_pid_files();
    if supervisor.stop.is_none() {
        supervisor.launch(first, Purpose::Start);
        supervisor.advance();
    }
    while !supervisor.is_over() {
        supervisor.turn();
    }
    supervisor.clear_up()
}

/// The process tree and what is going on in it.
pub(crate) struct Supervisor {
    pub(crate) plan: MasterPlan,
    pub(crate) inbox: SignalInbox,
    pub(crate) children: Vec<Child>,
    pub(crate) launches: Vec<Launch>,
    pub(crate) revivals: Vec<Revival>,
    pub(crate) stop: Option<Stop>,
    pub(crate) death_row: DeathRow,
    /// Why everything ends; the first reason counts.
    pub(crate) failure: Option<MasterError>,
    pub(crate) launch_count: u64,
    pub(crate) interrupts: u32,
    /// Groups whose leader is reaped, and which may still have members.
    pub(crate) orphaned_groups: Vec<Pid>,
    pub(crate) pid_files: Vec<PidFile>,
    pub(crate) is_started: bool,
    /// SIGHUP has come.
    pub(crate) is_reload_wanted: bool,
    /// Applications that have asked for successors.
    pub(crate) renewals_wanted: BTreeSet<String>,
    /// A reload waits for applications that retire.
    pub(crate) is_reload_busy: bool,
    /// SIGUSR2 has come.
    pub(crate) is_upgrade_wanted: bool,
    /// The children have been ended for the time being, by SIGWINCH.
    pub(crate) is_paused: bool,
    /// Whether there is a terminal whose signals come to us.
    pub(crate) has_terminal: bool,
    /// The program that is to take our place.
    pub(crate) newcomer: Option<Pid>,
    /// When files are looked at next; `None` where there are none.
    pub(crate) next_look: Option<Instant>,
}

impl Supervisor {
    fn new(plan: MasterPlan) -> Result<Self, MasterError> {
        let inbox = SignalInbox::block(&MASTER_SIGNALS).map_err(MasterError::system("signalfd"))?;
        // Workers of a killed application come to us, and we can see that they are gone.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| MasterError::system("prctl")(error.into()))?;
        Ok(Self {
            has_terminal: plan.detached.is_none() && has_terminal(),
            plan,
            inbox,
            children: Vec::new(),
            launches: Vec::new(),
            revivals: Vec::new(),
            stop: None,
            death_row: DeathRow::default(),
            failure: None,
            launch_count: 0,
            interrupts: 0,
            orphaned_groups: Vec::new(),
            pid_files: Vec::new(),
            is_started: false,
            is_reload_wanted: false,
            renewals_wanted: BTreeSet::new(),
            is_reload_busy: false,
            is_upgrade_wanted: false,
            is_paused: false,
            newcomer: None,
            next_look: None,
        })
    }

    fn is_over(&self) -> bool {
        self.stop.is_some() && self.children.is_empty()
    }

    /// One round: sleep until something happens, see to it, go on with what is under way.
    fn turn(&mut self) {
        self.wait(self.next_deadline());
        // First, so that a signal or a death finds those ready that have said so before it came.
        self.read_notices();
        self.take_signals();
        self.take_wishes();
        self.reap();
        self.kill_overdue();
        self.advance();
    }

    fn advance(&mut self) {
        self.advance_revivals();
        self.advance_launches();
        self.finish_start();
        self.advance_reload();
        self.advance_files();
        self.advance_upgrade();
        self.advance_retirement();
        self.advance_stop();
    }

    fn wait(&mut self, until: Option<Instant>) {
        let timeout = until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
        let mut descriptors = vec![PollFd::new(&self.inbox, PollFlags::IN)];
        for pipe in self.children.iter().filter_map(|child| child.ready_pipe.as_ref()) {
            descriptors.push(PollFd::new(pipe, PollFlags::IN));
        }
        match rustix::event::poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Out of memory: look at everything and try again, but not at full speed.
            Err(_) => std::thread::sleep(FAILED_POLL_PAUSE),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let kills = self.children.iter().filter_map(|child| child.kill_at);
        let revivals = self.revivals.iter().filter_map(|revival| self.wakes_at(revival));
        kills.chain(revivals).chain(self.stop.as_ref().and_then(Stop::deadline)).chain(self.next_look).min()
    }

    fn take_signals(&mut self) {
        loop {
            match self.inbox.next() {
                Ok(Some(signal)) => self.take_signal(signal),
                Ok(None) => return,
                Err(error) => return self.log(Level::Alert, &format!("signalfd: {}", SystemCause(&error))),
            }
        }
    }

    fn take_signal(&mut self, signal: Signal) {
        match signal {
            Signal::TERM => self.stop_asked("SIGTERM", self.plan.on_terminate, self.plan.timings.terminate()),
            Signal::INT => {
                self.interrupts += 1;
                self.stop_asked("SIGINT", self.plan.on_interrupt, self.plan.timings.terminate());
            }
            Signal::QUIT => self.stop_asked("SIGQUIT", crate::StopKind::Graceful, self.plan.timings.graceful_stop),
            Signal::USR1 => self.reopen(),
            Signal::HUP => {
                self.log(Level::Notice, "SIGHUP received, reconfiguring");
                self.is_reload_wanted = true;
            }
            Signal::USR2 => self.upgrade_asked(),
            Signal::WINCH => self.pause_asked(),
            _ => {} // SIGCHLD: every turn looks for ended children anyway.
        }
    }

    pub(crate) fn reopen(&mut self) {
        self.log(Level::Notice, "reopening logs");
        self.plan.log.reopen();
        for child in &self.children {
            if let (Some(signal), ChildState::Up) = (child.signals.reopen, child.state) {
                child.signal(signal);
            }
        }
    }

    fn read_notices(&mut self) {
        let limit = self.plan.timings.fast_stop;
        for child in &mut self.children {
            if child.read_notice() {
                // It has given up and is about to exit; its ending is worth having, so it is given time for that.
                child.kill_at = Some(Instant::now() + limit);
            }
        }
    }

    /// Collects everything that has ended: our children, and orphans that came to us.
    fn reap(&mut self) {
        loop {
            match reap::ended_child() {
                Ok(Some(pid)) => self.bury(pid),
                Ok(None) => break,
                Err(error) => return self.log(Level::Alert, &format!("waitid: {}", SystemCause(&error))),
            }
        }
        self.orphaned_groups.retain(|group| rustix::process::test_kill_process_group(*group).is_ok());
    }

    fn bury(&mut self, pid: Pid) {
        let index = self.children.iter().position(|child| child.pid == pid);
        if index.is_some() {
            // The ended leader's id keeps the group's id from being given to anybody else until it is reaped.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            self.orphaned_groups.push(pid);
        }
        let ending = match reap::reap(pid) {
            Ok(Some(ending)) => ending,
            Ok(None) => return,
            Err(error) => return self.log(Level::Alert, &format!("waitpid: {}", SystemCause(&error))),
        };
        match index {
            Some(index) => {
                let mut child = self.children.remove(index);
                child.read_notice(); // Its last words may have come after the last look.
                self.child_ended(&child, ending);
            }
            None if self.newcomer == Some(pid) => self.newcomer_ended(pid, ending),
            None => self.log(Level::Debug, &format!("orphaned process {} {ending}", pid.as_raw_nonzero())),
        }
    }

    fn child_ended(&mut self, child: &Child, ending: Ending) {
        let level = match (child.state, ending) {
            (_, Ending::Exited(0)) => Level::Notice,
            (ChildState::Ending, Ending::Exited(_)) => Level::Warn,
            // Told to end, it may do so by the very signal.
            (ChildState::Ending, Ending::Signaled { .. }) => Level::Notice,
            (_, Ending::Exited(_)) => Level::Error,
            (_, Ending::Signaled { .. }) => Level::Alert,
        };
        self.log(level, &format!("{} process {} {ending}", child.name, child.pid.as_raw_nonzero()));
        if child.state != ChildState::Ending && self.stop.is_none() && !child.is_retired {
            self.child_died(child, child.death(ending));
        }
    }

    /// A child that was to live, or to become ready, has ended.
    fn child_died(&mut self, child: &Child, death: Death) {
        match self.launches.iter().position(|launch| launch.id == child.launch) {
            // The server's own start does not fail by one that was ready and is replaced.
            Some(index) if !(death.was_ready && self.is_first(index)) => {
                self.launch_failed(index, death, child.on_start_failure);
            }
            _ => self.bereaved(death),
        }
    }

    fn kill_overdue(&mut self) {
        let now = Instant::now();
        let mut lines = Vec::new();
        for child in &mut self.children {
            if child.kill_at.is_none_or(|kill_at| kill_at > now) {
                continue;
            }
            child.kill_at = None;
            child.kill();
            let why = if child.state == ChildState::Starting { "did not get ready" } else { "did not end" };
            lines.push(format!("{} process {} {why} in time and is killed", child.name, child.pid.as_raw_nonzero()));
        }
        for line in lines {
            self.log(Level::Error, &line);
        }
    }

    /// Before anybody can be answered: who connects may also look for the pid.
    fn write_pid_files(&mut self) {
        for path in std::mem::take(&mut self.plan.pid_files) {
            match PidFile::write(&path) {
                Ok(file) => self.pid_files.push(file),
                Err(source) => return self.fail(MasterError::PidFile { path, source }),
            }
        }
    }

    /// Once all children of the first launch are ready: the terminal is let go, then the caller is told.
    fn finish_start(&mut self) {
        if self.is_started || self.stop.is_some() || !self.launches.is_empty() {
            return;
        }
        self.is_started = true;
        if let Some(Err(source)) = self.plan.detached.take().map(crate::Detached::let_go) {
            return self.fail(MasterError::System { call: "open /dev/null", source });
        }
        if let Some(on_started) = self.plan.on_started.take() {
            on_started();
        }
    }

    /// Everything has ended: takes away what lies about and gives the verdict.
    fn clear_up(mut self) -> Result<(), MasterError> {
        self.await_orphans();
        let pid_files = std::mem::take(&mut self.pid_files);
        self.remove_pid_files(pid_files);
        for file in std::mem::take(&mut self.plan.socket_files) {
            if self.is_used_by_others(&file) {
                continue;
            }
            if let Err(error) = file.remove() {
                self.log(Level::Error, &format!("socket \"{}\": {}", file.path().display(), SystemCause(&error)));
            }
        }
        if let Some(detached) = self.plan.detached.take() {
            detached.hold_until_exit();
        }
        match self.failure.take() {
            Some(error) => Err(error),
            None => {
                self.log(Level::Notice, "exit");
                Ok(())
            }
        }
    }

    /// Whether a socket file is another master's too: one that we have started, or that has started us.
    fn is_used_by_others(&self, file: &SocketFile) -> bool {
        let is_predecessors =
            |predecessor: &Predecessor| predecessor.is_alive() && predecessor.socket_files.contains(file);
        self.newcomer.is_some() || self.plan.predecessor.as_ref().is_some_and(is_predecessors)
    }

    pub(crate) fn remove_pid_files(&mut self, files: Vec<PidFile>) {
        for file in files {
            if let Err(error) = file.remove() {
                self.log(Level::Error, &format!("pid file \"{}\": {}", file.path().display(), SystemCause(&error)));
            }
        }
    }

    /// Waits for the killed members of dead children's groups, so that nothing is left when we return.
    fn await_orphans(&mut self) {
        let limit = Instant::now() + ORPHANS_WAIT;
        self.reap();
        while !self.orphaned_groups.is_empty() && Instant::now() < limit {
            // An orphan's end is a signal only if it came to us; where it did not, look again.
            self.wait(Some(Instant::now() + ORPHANS_LOOK));
            while matches!(self.inbox.next(), Ok(Some(_))) {}
            self.reap();
        }
    }

    /// Ends everything because of `error`.
    pub(crate) fn fail(&mut self, error: MasterError) {
        self.failure.get_or_insert(error);
        self.begin_stop(crate::StopKind::Fast, None);
    }

    pub(crate) fn log(&mut self, level: Level, text: &str) {
        self.plan.log.log(level, text);
    }
}

/// Whether the process belongs to a session with a terminal: only then can the device be opened.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    // Rounded up: a wait that ends just before its deadline would be repeated at full speed.
    let milliseconds = i64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i64::MAX);
    Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 }
}

/// The signals the master waits for.
pub(crate) const MASTER_SIGNALS: [Signal; 8] =
    [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2, Signal::WINCH, Signal::CHILD];

/// How long killed processes may take to vanish; only one stuck in the kernel takes longer than an instant.
pub(crate) const ORPHANS_WAIT: Duration = Duration::from_secs(5);
/// How often to look, for those whose end is not reported to us.
pub(crate) const ORPHANS_LOOK: Duration = Duration::from_millis(20);

const FAILED_POLL_PAUSE: Duration = Duration::from_millis(100);
