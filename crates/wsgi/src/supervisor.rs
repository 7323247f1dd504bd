//! The zygote's loop: workers are forked, watched, killed when a request takes too long, and replaced.
//!
//! It runs without the interpreter's lock and comes back only for what needs it, a fork. A worker that has had its time
//! is replaced by a successor in a place of its own: that one is up before the other is told to finish, and there is one
//! such replacement at a time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use daemun_channel::control::{self, Message};
use daemun_channel::handover::{self, Application, Hook, Logs, Workers};
use daemun_channel::{ChannelError, Handover, Observer, SeatCounters, WorkerEnd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::attendants::Attendants;
use crate::commands::{Command, Commands};
use crate::commons::{Commons, Member};
use crate::companions::Companions;
use crate::crew::Crew;
use crate::log::{self, Level};
use crate::place::{BackOff, Place, Running};
use crate::ready::{self, Ready};
use crate::signals::{Stop, ZygoteSignals};
use crate::stats::StatsServer;
use crate::wear::{self, Limits, Reason, Wear};
use crate::{exit, hooks, log_file, rotation, signals};

/// Watches the workers of a side of a pool.
#[derive(Debug)]
pub struct Supervisor<'a> {
    pub(crate) end: &'a WorkerEnd,
    pub(crate) settings: &'a Workers,
    logs: &'a Logs,
    /// When files of the log were looked at.
    logs_looked: Instant,
    application: &'a Application,
    pub(crate) observer: Observer,
    signals: ZygoteSignals,
    commands: Commands,
    stats: StatsServer,
    pub(crate) attendants: Attendants,
    attendant_settings: &'a handover::Attendants,
    hooks: &'a [Hook],
    /// The pool's number of the first place.
    first: u16,
    pub(crate) places: Vec<Place>,
    /// By what workers are called, from 0.
    pub(crate) crew: Crew,
    /// One that is being replaced.
    pub(crate) succession: Option<Succession>,
    back_off: BackOff,
    commons: &'static Commons,
    companions: Companions,
    /// When the next timer of the application's is due.
    timer: Option<Instant>,
    /// Until every worker of a successor could serve: who waits for that.
    pub(crate) opening: Option<Ready>,
    pub(crate) stop: Option<Stop>,
    /// The status to exit with.
    status: i32,
}

/// A worker that has had its time, and its successor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Succession {
    /// What both are called.
    number: u16,
    /// Places, by their index in [`Supervisor::places`].
    old: usize,
    heir: Option<usize>,
}

/// What the zygote is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Fork a process.
    Fork(Newborn),
    /// Every worker is gone: exit with status `.0`.
    Exit(i32),
}

/// A process that is to be forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newborn {
    /// A worker.
    Worker(Birth),
    /// A mule or a spooler.
    Companion(Member),
}

impl std::fmt::Display for Newborn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Worker(birth) => Member::Worker(birth.number).fmt(formatter),
            Self::Companion(member) => member.fmt(formatter),
        }
    }
}

/// A worker that is to be forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Its index in the pool.
    pub worker: u16,
    /// What it is called, from 0.
    pub number: u16,
    /// It takes no request before it is released.
    is_held: bool,
}

impl<'a> Supervisor<'a> {
    /// For a side without workers yet. Who waits for a successor to be able to serve is told by it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(
        end: &'a WorkerEnd,
        handover: &'a Handover,
        ready: Ready,
        commons: &'static Commons,
    ) -> Result<Self, ChannelError> {
        let now = Instant::now();
        let system = |source| ChannelError::System { what: "signal handlers", source };
        let workers = end.layout().workers_of(end.side());
        let count = match handover.workers.count {
            0 => workers.len(),
            count => usize::from(count).min(workers.len()),
        };
        let settings = &handover.workers;
        let mut supervisor = Self {
            end,
            settings,
            logs: &handover.logs,
            logs_looked: now,
            application: &handover.application,
            observer: Observer::attach(end)?,
            signals: ZygoteSignals::catch().map_err(system)?,
            commands: Commands::default(),
            stats: StatsServer::default(),
            attendants: Attendants::default(),
            attendant_settings: &handover.attendants,
            hooks: &handover.hooks,
            first: workers.start,
            places: workers.map(|_| Place::Vacant).collect(),
            crew: Crew::new(settings, count, now),
            succession: None,
            back_off: BackOff::default(),
            commons,
            companions: Companions::new(commons),
            timer: None,
            opening: None,
            stop: None,
            status: exit::DONE,
        };
        if settings.is_successor {
            supervisor.opening = Some(ready);
        } else {
            ready.announce();
            supervisor.take_charge();
        }
        Ok(supervisor)
    }

    /// From now on commands are meant for this zygote.
    fn take_charge(&mut self) {
        self.commands = Commands::open(self.settings, self.logs);
        self.stats = StatsServer::open(self.settings);
        self.attendants = Attendants::open(self.attendant_settings, self.settings.is_successor);
        hooks::run_or_tell(self.hooks, "master-start");
    }

    /// Others have taken its place, or nobody has to.
    fn give_up_charge(&mut self) {
        self.commands.close();
        self.stats.close();
        self.attendants.close();
    }

    /// Watches until there is something for the zygote to do.
    pub fn turn(&mut self) -> Turn {
        loop {
            self.take_signals();
            self.take_messages();
            self.take_commands();
            self.reap();
            self.welcome();
            let now = Instant::now();
            self.look_after_workers(now);
            self.look_after_crew(now);
            self.tell_numbers();
            self.look_after_logs(now);
            self.attendants.turn(now);
            self.companions.look_after(now, self.mercy());
            self.send_due_signals(now);
            let are_workers_gone = self.places.iter().all(|place| place.running().is_none());
            if self.stop.is_some() && are_workers_gone {
                self.companions.end_mules();
            }
            if self.stop.is_some() && are_workers_gone && self.companions.are_gone() {
                self.give_up_charge();
                return Turn::Exit(self.status);
            }
            if let Some(birth) = self.next_birth(now) {
                self.stand_down();
                self.observer.prepare(birth.worker, birth.is_held || self.crew.is_paused);
                return Turn::Fork(Newborn::Worker(birth));
            }
            // A successor's take nothing up before it is in charge.
            if let Some(companion) = self.companions.due(now).filter(|_| self.opening.is_none()) {
                return Turn::Fork(Newborn::Companion(companion));
            }
            self.sleep(now);
        }
    }

    pub(crate) fn worker_at(&self, place: usize) -> u16 {
        self.first + place as u16 // There are fewer places than a u16 counts.
    }

    fn place_of(&self, worker: u16) -> Option<usize> {
        worker.checked_sub(self.first).map(usize::from).filter(|place| *place < self.places.len())
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, &Running)> {
        self.places.iter().enumerate().filter_map(|(place, one)| Some((place, one.running()?)))
    }

    fn running_at(&mut self, place: usize) -> Option<&mut Running> {
        self.places.get_mut(place).and_then(Place::running_mut)
    }

    /// Who is to be forked now: the successor of a worker that has had its time, or one that is missing.
    fn next_birth(&self, now: Instant) -> Option<Birth> {
        if self.stop.is_some() {
            return None;
        }
        let vacant = self.places.iter().position(|place| matches!(place, Place::Vacant))?;
        let worker = self.worker_at(vacant);
        if let Some(Succession { number, heir: None, .. }) = self.succession {
            return Some(Birth { worker, number, is_held: true });
        }
        let is_there =
            |number: usize| self.running().any(|(_, one)| usize::from(one.number) == number && one.stopping.is_none());
        let number = self.crew.due(now).find(|number| !is_there(*number))?;
        Some(Birth { worker, number: number as u16, is_held: self.opening.is_some() })
    }

    /// Takes note of a process that was forked.
    ///
    /// # Errors
    ///
    /// What the system says; the process is killed then.
    pub fn born(&mut self, newborn: Newborn, pid: Pid) -> io::Result<()> {
        match newborn {
            Newborn::Worker(birth) => self.worker_born(birth, pid),
            Newborn::Companion(member) => self.companions.born(member, pid),
        }
    }

    /// Takes note of a worker that was forked and tells the edge.
    fn worker_born(&mut self, birth: Birth, pid: Pid) -> io::Result<()> {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| {
            // Without it nobody would learn of its death.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        })?;
        let Birth { worker, number, is_held } = birth;
        let seats = self.end.layout().seats_of(worker);
        let message = Message::Born {
            worker,
            number: number + 1,
            pid: pid.as_raw_nonzero().get().unsigned_abs(),
            first_seat: seats.start,
            seats: seats.len() as u16, // A range of u16 is never longer.
        };
        self.tell(&message, Some(&pidfd));
        let running = Running {
            number,
            pid,
            pidfd,
            born: Instant::now(),
            before: self.counters(worker),
            limits: Limits::of(self.settings, number),
            is_up: false,
            is_held,
            is_unwanted: false,
            stopping: None,
            harakiri: None,
        };
        if let Some(place) = self.place_of(worker) {
            self.places[place] = Place::Taken(running);
            self.crew.born(number);
            if let Some(succession) = self.succession.as_mut().filter(|succession| succession.heir.is_none()) {
                succession.heir = Some(place);
            }
        }
        Ok(())
    }

    /// Takes note of a fork that failed: tries again a second later.
    pub fn not_born(&mut self, newborn: Newborn) {
        let birth = match newborn {
            Newborn::Worker(birth) => birth,
            Newborn::Companion(member) => return self.companions.not_born(member),
        };
        let again = Instant::now() + Duration::from_secs(1);
        self.succession = None;
        self.crew.put_off(birth.number, again);
        self.fail_opening("a worker could not be forked");
    }

    fn take_signals(&mut self) {
        if let Some(stop) = self.signals.stop() {
            self.begin_stop(stop);
        }
        if self.signals.take_reopen() {
            self.reopen_log();
        }
    }

    /// The log's file has been moved away: a new one for the zygote and for every worker.
    fn reopen_log(&self) {
        if let Err(error) = log_file::reopen() {
            log::line(Level::Error, format_args!("the log cannot be opened anew: {error}"));
        }
        log::reopen();
        for (_, running) in self.running() {
            // SAFETY: takes two numbers; the process is our child and not reaped.
            unsafe { libc::kill(running.pid.as_raw_nonzero().get(), signals::reopen_signal()) };
        }
        self.companions.reopen_log();
    }

    fn take_messages(&mut self) {
        loop {
            match control::receive(self.end.control(), false) {
                Ok(Some((message, _))) => self.obey(&message),
                Ok(None) => return self.begin_stop(Stop::Graceful), // The edge is gone for good.
                Err(ChannelError::System { source, .. }) => {
                    if source.kind() != io::ErrorKind::WouldBlock && source.kind() != io::ErrorKind::Interrupted {
                        self.begin_stop(Stop::Graceful);
                    }
                    return;
                }
                Err(error) => log::line(Level::Error, format_args!("control channel: {error}")),
            }
        }
    }

    fn obey(&mut self, message: &Message) {
        match message {
            // Orders that were given to an earlier zygote name workers that are not ours.
            Message::Cleaned { worker, pid } => {
                if let Some(place) = self.place_of(*worker).and_then(|place| self.places.get_mut(place)) {
                    place.clean(*pid);
                }
            }
            Message::Kill { worker, pid } => {
                let place = self.place_of(*worker);
                let running = place.and_then(|place| self.places.get(place)).and_then(Place::running);
                if let (Some(place), Some(running)) = (place, running)
                    && running.process_number() == *pid
                {
                    self.kill(place);
                }
            }
            Message::Overdue { worker, pid } => {
                let place = self.place_of(*worker);
                let running = place.and_then(|place| self.places.get(place)).and_then(Place::running);
                if let Some(running) = running.filter(|running| running.process_number() == *pid) {
                    show_stacks(running.number + 1, running.pid);
                }
            }
            Message::Retire { worker } => {
                if let Some(place) = self.place_of(*worker) {
                    self.retire(place);
                }
            }
            Message::Stop { graceful } => {
                self.begin_stop(if *graceful { Stop::Graceful } else { Stop::Immediate });
            }
            _ => log::line(Level::Error, "control channel: a message that only a zygote sends"),
        }
    }

    fn tell_numbers(&mut self) {
        if !self.stats.is_open() {
            return;
        }
        let mut stats = std::mem::take(&mut self.stats);
        stats.turn(|| self.report());
        self.stats = stats;
    }

    fn look_after_logs(&mut self, now: Instant) {
        let is_due = self.logs.size_max > 0 && now - self.logs_looked >= LOOK_INTERVAL;
        if is_due && self.stop.is_none() && self.opening.is_none() {
            self.logs_looked = now;
            rotation::rotate(self.logs, self.application.log_file.as_deref(), false);
        }
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.commands.next() {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::AskMaster(request) => ready::ask(request),
            // Each worker loads the application by itself, so that one after the other gets the new code. Else it is the
            // zygote that has it.
            Command::ChainReload if !self.application_is_in_workers() => ready::ask(ready::RELOAD),
            Command::ChainReload | Command::ReloadWorkers => {
                self.places.iter_mut().filter_map(Place::running_mut).for_each(|one| one.is_unwanted = true);
            }
            Command::KillWorkers => (0..self.places.len()).for_each(|place| self.kill(place)),
            Command::ChangeCount(change) => self.crew.ask(change),
            Command::GoCheap => self.go_cheap(),
            Command::Pause => self.pause_or_resume(),
            Command::RotateLog => rotation::rotate(self.logs, self.application.log_file.as_deref(), true),
            Command::LogStats => log::line(Level::Notice, self.report()),
        }
    }

    fn application_is_in_workers(&self) -> bool {
        self.settings.lazy_apps
    }

    fn begin_stop(&mut self, stop: Stop) {
        if self.stop >= Some(stop) {
            return;
        }
        self.companions.stop(stop);
        self.stand_down();
        self.stop = Some(stop);
        for place in 0..self.places.len() {
            match stop {
                Stop::Graceful => self.retire(place),
                Stop::Immediate => self.kill(place),
            }
        }
        self.give_up_charge();
    }

    pub(crate) fn retire(&mut self, place: usize) {
        let worker = self.worker_at(place);
        let Some(running) = self.running_at(place) else { return };
        if running.stopping.is_none() {
            running.stopping = Some(Instant::now());
            self.observer.stop(worker);
        }
    }

    fn kill(&self, place: usize) {
        if let Some(running) = self.places.get(place).and_then(Place::running) {
            // By the pidfd: never somebody else who got the number. Dead already is fine.
            let _ = rustix::process::pidfd_send_signal(&running.pidfd, Signal::KILL);
        }
    }

    /// Workers that could serve by now: those that nobody holds do so, and who waits for them is told.
    fn welcome(&mut self) {
        for place in 0..self.places.len() {
            let is_up = self.observer.is_up(self.worker_at(place));
            if let Some(running) = self.running_at(place) {
                running.is_up = is_up;
            }
        }
        let is_up = |number: usize| self.running().any(|(_, one)| usize::from(one.number) == number && one.is_up);
        let are_all_up = self.crew.wanted().all(is_up);
        if let Some(ready) = self.opening.take_if(|_| are_all_up) {
            (0..self.places.len()).for_each(|place| self.release(place));
            ready.announce();
            self.take_charge();
        }
        let Some(Succession { old, heir: Some(heir), .. }) = self.succession else { return };
        if self.places.get(heir).and_then(Place::running).is_some_and(|heir| heir.is_up) {
            self.succession = None;
            self.release(heir);
            self.retire(old);
        }
    }

    fn release(&mut self, place: usize) {
        let worker = self.worker_at(place);
        if let Some(running) = self.running_at(place).filter(|running| running.is_held) {
            running.is_held = false;
            self.observer.release(worker);
        }
    }

    /// A successor that is none: whoever is to be replaced goes on.
    fn fail_opening(&mut self, reason: &str) {
        if let Some(ready) = self.opening.take() {
            self.status = exit::FAILED;
            ready.fail(reason);
            self.begin_stop(Stop::Graceful);
        }
    }

    fn reap(&mut self) {
        for place in 0..self.places.len() {
            let Some(pid) = self.places.get(place).and_then(Place::running).map(|running| running.pid) else {
                continue;
            };
            match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => self.bury(place, status.as_raw()),
                // The application has reaped it itself (SIGCHLD ignored): its death is all we know.
                Err(rustix::io::Errno::CHILD) => self.bury(place, 0),
                _ => {}
            }
        }
    }

    fn bury(&mut self, place: usize, wait_status: i32) {
        let worker = self.worker_at(place);
        let Some(grave) = self.places.get_mut(place) else { return };
        let now = Instant::now();
        let Some(pid) = grave.running().map(Running::process_number) else { return };
        let Place::Taken(running) = std::mem::replace(grave, Place::Unclean { pid }) else { return };
        let counted = self.counters(worker).since(running.before);
        self.commons.worker_died(running.number, worker, pid, counted);
        if self.stop == Some(Stop::Immediate) {
            return; // By our own hand, and everybody is about to hear of our own end.
        }
        let is_heir = self.succession.is_some_and(|succession| succession.heir == Some(place));
        let is_expected = running.stopping.is_some() && wait_status == 0;
        if !is_expected {
            let delay = self.back_off.after(now - running.born);
            self.crew.put_off(running.number, now + delay);
            if self.application.log_deaths {
                let number = running.number + 1;
                log::line(Level::Critical, format_args!("worker {number} (pid {pid}) {}", described(wait_status)));
            }
        }
        if is_heir {
            self.succession = None;
        }
        let harakiri = running.harakiri.is_some();
        self.crew.died(running.number, harakiri, counted);
        self.tell(&Message::Died { worker, pid, wait_status, harakiri }, None);
        if self.opening.is_some() && !running.is_up {
            let number = running.number + 1;
            self.fail_opening(&format!("worker {number} {} before it could serve", described(wait_status)));
        }
        self.give_up_without_application(wait_status);
    }

    /// With lazy-apps it is a worker that finds that there is no application: so will every other one.
    fn give_up_without_application(&mut self, wait_status: i32) {
        let is_unloadable = libc::WIFEXITED(wait_status) && libc::WEXITSTATUS(wait_status) == exit::NO_APPLICATION;
        let is_last = self.places.iter().all(|place| place.running().is_none());
        if is_unloadable && is_last && self.application.need_app && self.stop.is_none() {
            self.tell(&Message::Failed { reason: "no worker could load the application".to_owned() }, None);
            self.status = exit::NO_APPLICATION;
            self.stop = Some(Stop::Immediate);
            self.companions.stop(Stop::Immediate);
        }
    }

    fn tell(&self, message: &Message, descriptor: Option<&OwnedFd>) {
        match control::send(self.end.control(), message, descriptor.map(AsFd::as_fd)) {
            Ok(()) => {}
            // The edge is gone, as it should be at the end: the channel's own end is acted upon.
            Err(ChannelError::System { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => log::line(Level::Error, format_args!("{error}")),
        }
    }

    /// Harakiri, mercy and the limits after which a worker is replaced.
    fn look_after_workers(&mut self, now: Instant) {
        for place in 0..self.places.len() {
            if let Some(verdict) = self.judge(place, now) {
                self.execute(place, verdict, now);
            }
        }
    }

    fn judge(&self, place: usize, now: Instant) -> Option<Verdict> {
        let running = self.places.get(place).and_then(Place::running)?;
        if let Some(due) = running.harakiri {
            return (due <= now).then_some(Verdict::Kill);
        }
        let worker = self.worker_at(place);
        if let Some(seconds) = self.busy_too_long(worker) {
            return Some(Verdict::Harakiri { seconds });
        }
        if let Some(since) = running.stopping {
            return (now - since >= self.mercy()).then_some(Verdict::Kill);
        }
        let served = self.counters(worker).since(running.before).served;
        let wear = running.limits.judge(self.settings, running.pid, served, now - running.born);
        let asked = running.is_unwanted.then_some(Wear::Retire(Reason::Asked));
        match wear.or(asked)? {
            Wear::Kill(reason) => Some(Verdict::KillFor(reason)),
            Wear::Retire(reason) => (running.is_up && !self.is_changing()).then_some(Verdict::Replace(reason)),
        }
    }

    /// Never two at once: whether somebody is being replaced, or is missing.
    fn is_changing(&self) -> bool {
        let is_leaving = |one: &Running| one.stopping.is_some() || !one.is_up;
        self.succession.is_some() || self.stop.is_some() || self.running().any(|(_, one)| is_leaving(one))
    }

    fn execute(&mut self, place: usize, verdict: Verdict, now: Instant) {
        let Some(running) = self.places.get(place).and_then(Place::running) else { return };
        let (number, pid) = (running.number + 1, running.pid.as_raw_nonzero().get());
        match verdict {
            Verdict::Kill => self.kill(place),
            Verdict::KillFor(reason) => {
                log::line(Level::Critical, format_args!("worker {number} (pid {pid}) is killed: {reason}, evil"));
                self.kill(place);
            }
            Verdict::Replace(reason) => {
                log::line(Level::Notice, format_args!("worker {number} (pid {pid}) is replaced: {reason}"));
                // Where there is no place for both, the old one goes first.
                if self.places.len() > self.crew.len() {
                    self.succession = Some(Succession { number: running.number, old: place, heir: None });
                } else {
                    self.retire(place);
                }
            }
            Verdict::Harakiri { seconds } => self.begin_harakiri(place, seconds, now),
        }
    }

    /// The worker's Python stack goes to the log first.
    fn begin_harakiri(&mut self, place: usize, seconds: u64, now: Instant) {
        let is_verbose = self.settings.harakiri_verbose;
        let Some(running) = self.running_at(place) else { return };
        running.harakiri = Some(now + LAST_WORDS);
        let (number, pid) = (running.number + 1, running.pid.as_raw_nonzero().get());
        log::line(
            Level::Critical,
            format_args!("worker {number} (pid {pid}) runs a request for {seconds} s (harakiri): it is killed"),
        );
        if is_verbose {
            for name in ["syscall", "wchan"] {
                // Only root may look at another's, and not every kernel has them.
                let text = std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
                log::line(Level::Critical, format_args!("worker {number} (pid {pid}): {name} {}", text.trim()));
            }
        }
        if let Some(pid) = Pid::from_raw(pid) {
            ask_for_stacks(pid);
        }
    }

    fn busy_too_long(&self, worker: u16) -> Option<u64> {
        // What the application has set for itself.
        if self.commons.worker_deadline(worker).is_some_and(|due| due <= Observer::now_ms()) {
            return Some(self.busy_seconds(worker));
        }
        let limit = self.settings.harakiri_seconds;
        if limit == 0 {
            return None;
        }
        Some(self.busy_seconds(worker)).filter(|seconds| *seconds >= limit)
    }

    /// How long the oldest request of a worker has been running; 0 when it runs none.
    fn busy_seconds(&self, worker: u16) -> u64 {
        let now = Observer::now_ms();
        let busy = |seat| Some(now.saturating_sub(self.observer.busy_since_ms(seat)?) / 1000);
        self.end.layout().seats_of(worker).filter_map(busy).max().unwrap_or(0)
    }

    /// Sends what timers, crons and files of the application's have to send, while this zygote is in charge.
    fn send_due_signals(&mut self, now: Instant) {
        self.timer = None;
        if self.stop.is_some() || self.opening.is_some() {
            return;
        }
        let (signals, wait) = self.commons.switchboard.timers.due();
        signals.into_iter().for_each(|number| self.commons.switchboard.send(self.commons, number));
        self.timer = wait.map(|wait| now + wait);
    }

    /// What the seats of a place have counted.
    pub(crate) fn counters(&self, worker: u16) -> SeatCounters {
        let seats = self.end.layout().seats_of(worker);
        seats.map(|seat| self.observer.counters(seat)).fold(SeatCounters::default(), SeatCounters::plus)
    }

    fn mercy(&self) -> Duration {
        Duration::from_secs(self.settings.mercy_seconds)
    }

    /// Waits for a signal, a message, a command, a death, or the next time to look at the workers.
    fn sleep(&self, now: Instant) {
        let bell = self.signals.bell();
        let mut watched = vec![PollFd::new(&bell, PollFlags::IN)];
        watched.push(PollFd::from_borrowed_fd(self.end.control(), PollFlags::IN));
        watched.extend(self.commands.pipe().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
        watched.extend(self.stats.watched());
        let attendants = self.attendants.descriptors();
        watched.extend(attendants.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)));
        let stand_in = self.stand_in();
        watched.extend(stand_in.map(|descriptor| PollFd::new(descriptor, PollFlags::IN)));
        watched.extend(self.companions.watched());
        watched.extend(self.running().map(|(_, running)| PollFd::new(&running.pidfd, PollFlags::IN)));
        let timeout = self.next_look(now).and_then(|left| Timespec::try_from(left).ok());
        // A signal ends it too; whatever it was is found by the next turn.
        let _ = rustix::event::poll(&mut watched, timeout.as_ref());
    }

    fn next_look(&self, now: Instant) -> Option<Duration> {
        let of_place = |place: &Place| match place {
            Place::Vacant | Place::Unclean { .. } => None,
            Place::Taken(Running { harakiri: Some(due), .. }) => Some(*due - now.min(*due)),
            Place::Taken(Running { stopping: Some(since), .. }) => {
                Some((*since + self.mercy()).saturating_duration_since(now))
            }
            Place::Taken(_) => None,
        };
        let births = self.crew.next_birth(now);
        let is_looking = wear::is_limited(self.settings)
            || self.attendants.are_there()
            || self.logs.size_max > 0
            || self.commands.are_watching()
            || self.crew.is_watching(self.settings);
        let regular = is_looking.then_some(LOOK_INTERVAL);
        let deadlines = self.running().filter_map(|(place, _)| {
            let due = self.commons.worker_deadline(self.worker_at(place))?;
            Some(Duration::from_millis(due.saturating_sub(Observer::now_ms())))
        });
        let timer = self.timer.map(|due| due.saturating_duration_since(now));
        let companions = self.companions.next_look(now, self.mercy()).filter(|_| self.opening.is_none());
        let others = births.into_iter().chain(regular).chain(timer).chain(companions).chain(deadlines);
        let times = self.places.iter().filter_map(of_place).chain(others);
        times.min().map(|left| left + Duration::from_millis(1))
    }
}

/// What is to become of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It has had its time.
    Kill,
    /// The same, and the log says why.
    KillFor(Reason),
    /// A request takes too long: its stack is logged, then it is killed.
    Harakiri { seconds: u64 },
    /// A successor takes its place; then it finishes what it runs.
    Replace(Reason),
}

/// A worker's Python stacks go to the log, for a request that nobody waits for any more.
fn show_stacks(number: u16, pid: Pid) {
    let text = "runs a request past its deadline; it is here:";
    log::line(Level::Error, format_args!("worker {number} (pid {}) {text}", pid.as_raw_nonzero()));
    ask_for_stacks(pid);
}

fn ask_for_stacks(pid: Pid) {
    // SAFETY: takes two numbers; the process is our child and not reaped.
    unsafe { libc::kill(pid.as_raw_nonzero().get(), traceback_signal()) };
}

/// The signal on which a worker writes the Python stacks of its threads to the log.
pub fn traceback_signal() -> i32 {
    libc::SIGRTMAX()
}

/// How a process has ended.
pub fn described(wait_status: i32) -> String {
    if libc::WIFSIGNALED(wait_status) {
        format!("was killed by signal {}", libc::WTERMSIG(wait_status))
    } else {
        format!("exited with status {}", libc::WEXITSTATUS(wait_status))
    }
}

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Between a worker's last traceback and its death.
const LAST_WORDS: Duration = Duration::from_millis(100);
