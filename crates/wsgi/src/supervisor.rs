//! The zygote's loop: workers are forked, watched, killed when a request takes too long, and replaced.
//!
//! It runs without the interpreter's lock and comes back only for what needs it, a fork.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use daemun_channel::control::{self, Message};
use daemun_channel::handover::{Application, Workers};
use daemun_channel::{ChannelError, Handover, Observer, WorkerEnd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::log::{self, Level};
use crate::place::{BackOff, Place, Running};
use crate::signals::{Stop, ZygoteSignals};
use crate::{exit, log_file, signals};

/// Watches the workers of a pool.
#[derive(Debug)]
pub struct Supervisor<'a> {
    end: &'a WorkerEnd,
    settings: &'a Workers,
    application: &'a Application,
    observer: Observer,
    signals: ZygoteSignals,
    places: Vec<Place>,
    back_off: BackOff,
    stop: Option<Stop>,
    /// The status to exit with.
    status: i32,
}

/// What the zygote is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Fork worker `.0`.
    Fork(u16),
    /// Every worker is gone: exit with status `.0`.
    Exit(i32),
}

impl<'a> Supervisor<'a> {
    /// For a pool without workers yet.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(end: &'a WorkerEnd, handover: &'a Handover) -> Result<Self, ChannelError> {
        let now = Instant::now();
        let system = |source| ChannelError::System { what: "signal handlers", source };
        Ok(Self {
            end,
            settings: &handover.workers,
            application: &handover.application,
            observer: Observer::attach(end)?,
            signals: ZygoteSignals::catch().map_err(system)?,
            places: (0..end.layout().processes).map(|_| Place::Vacant { due: now }).collect(),
            back_off: BackOff::default(),
            stop: None,
            status: exit::DONE,
        })
    }

    /// Watches until there is something for the zygote to do.
    pub fn turn(&mut self) -> Turn {
        loop {
            self.take_signals();
            self.take_messages();
            self.reap();
            let now = Instant::now();
            self.look_after_workers(now);
            if self.stop.is_some() && self.places.iter().all(|place| place.running().is_none()) {
                return Turn::Exit(self.status);
            }
            let due = self.places.iter().position(|place| self.stop.is_none() && place.is_due(now));
            if let Some(worker) = due.and_then(|worker| u16::try_from(worker).ok()) {
                self.observer.prepare(worker);
                return Turn::Fork(worker);
            }
            self.sleep(now);
        }
    }

    /// Takes note of a worker that was forked and tells the edge.
    ///
    /// # Errors
    ///
    /// What the system says; the worker is killed then.
    pub fn born(&mut self, worker: u16, pid: Pid) -> io::Result<()> {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| {
            // Without it nobody would learn of its death.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        })?;
        let seats = self.end.layout().seats_of(worker);
        let message = Message::Born {
            worker,
            pid: pid.as_raw_nonzero().get().unsigned_abs(),
            first_seat: seats.start,
            seats: seats.len() as u16, // A range of u16 is never longer.
        };
        self.tell(&message, Some(&pidfd));
        let running = Running {
            pid,
            pidfd,
            born: Instant::now(),
            served_before: self.served(worker),
            requests_max: self.requests_max(pid),
            stopping: None,
            harakiri: None,
        };
        if let Some(place) = self.places.get_mut(usize::from(worker)) {
            *place = Place::Taken(running);
        }
        Ok(())
    }

    /// Takes note of a fork that failed: tries again a second later.
    pub fn not_born(&mut self, worker: u16) {
        if let Some(place) = self.places.get_mut(usize::from(worker)) {
            *place = Place::Vacant { due: Instant::now() + Duration::from_secs(1) };
        }
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
        for running in self.places.iter().filter_map(Place::running) {
            // SAFETY: takes two numbers; the process is our child and not reaped.
            unsafe { libc::kill(running.pid.as_raw_nonzero().get(), signals::reopen_signal()) };
        }
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
                if let Some(place) = self.places.get_mut(usize::from(*worker)) {
                    place.clean(*pid);
                }
            }
            Message::Kill { worker, pid } => {
                let running = self.places.get(usize::from(*worker)).and_then(Place::running);
                if running.is_some_and(|running| running.number() == *pid) {
                    self.kill(*worker);
                }
            }
            Message::Retire { worker } => self.retire(*worker),
            Message::Stop { graceful } => {
                self.begin_stop(if *graceful { Stop::Graceful } else { Stop::Immediate });
            }
            _ => log::line(Level::Error, "control channel: a message that only a zygote sends"),
        }
    }

    fn begin_stop(&mut self, stop: Stop) {
        if self.stop >= Some(stop) {
            return;
        }
        self.stop = Some(stop);
        for worker in 0..self.end.layout().processes {
            match stop {
                Stop::Graceful => self.retire(worker),
                Stop::Immediate => self.kill(worker),
            }
        }
    }

    fn retire(&mut self, worker: u16) {
        let Some(running) = self.places.get_mut(usize::from(worker)).and_then(Place::running_mut) else { return };
        if running.stopping.is_none() {
            running.stopping = Some(Instant::now());
            self.observer.stop(worker);
        }
    }

    fn kill(&self, worker: u16) {
        if let Some(running) = self.places.get(usize::from(worker)).and_then(Place::running) {
            // By the pidfd: never somebody else who got the number. Dead already is fine.
            let _ = rustix::process::pidfd_send_signal(&running.pidfd, Signal::KILL);
        }
    }

    fn reap(&mut self) {
        for worker in 0..self.end.layout().processes {
            let Some(pid) = self.places.get(usize::from(worker)).and_then(Place::running).map(|running| running.pid)
            else {
                continue;
            };
            match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => self.bury(worker, status.as_raw()),
                // The application has reaped it itself (SIGCHLD ignored): its death is all we know.
                Err(rustix::io::Errno::CHILD) => self.bury(worker, 0),
                _ => {}
            }
        }
    }

    fn bury(&mut self, worker: u16, wait_status: i32) {
        let Some(place) = self.places.get_mut(usize::from(worker)) else { return };
        let now = Instant::now();
        let Some(pid) = place.running().map(Running::number) else { return };
        let Place::Taken(running) = std::mem::replace(place, Place::Unclean { pid, due: now }) else { return };
        if self.stop == Some(Stop::Immediate) {
            return; // By our own hand, and everybody is about to hear of our own end.
        }
        let is_expected = running.stopping.is_some() && wait_status == 0;
        if !is_expected {
            let delay = self.back_off.after(now - running.born);
            *place = Place::Unclean { pid, due: now + delay };
            if self.application.log_deaths {
                let number = worker + 1;
                log::line(Level::Critical, format_args!("worker {number} (pid {pid}) {}", described(wait_status)));
            }
        }
        let harakiri = running.harakiri.is_some();
        self.tell(&Message::Died { worker, pid, wait_status, harakiri }, None);
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
        for worker in 0..self.end.layout().processes {
            if let Some(verdict) = self.judge(worker, now) {
                self.execute(worker, verdict, now);
            }
        }
    }

    fn judge(&self, worker: u16, now: Instant) -> Option<Verdict> {
        let running = self.places.get(usize::from(worker)).and_then(Place::running)?;
        if let Some(due) = running.harakiri {
            return (due <= now).then_some(Verdict::Kill);
        }
        if let Some(seconds) = self.busy_too_long(worker) {
            return Some(Verdict::Harakiri { seconds });
        }
        if let Some(since) = running.stopping {
            return (now - since >= self.mercy()).then_some(Verdict::Kill);
        }
        let is_somebody_retiring =
            self.places.iter().any(|place| place.running().is_some_and(|running| running.stopping.is_some()));
        if is_somebody_retiring {
            return None; // Never two at once.
        }
        let served = self.served(worker).saturating_sub(running.served_before);
        let lifetime = self.settings.max_worker_lifetime_seconds;
        let is_worn = running.requests_max.is_some_and(|most| served >= most)
            || (lifetime > 0 && (now - running.born).as_secs() >= lifetime)
            || (self.settings.reload_on_rss_bytes > 0
                && resident_bytes(running.pid) > self.settings.reload_on_rss_bytes);
        is_worn.then_some(Verdict::Retire)
    }

    fn execute(&mut self, worker: u16, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Kill => self.kill(worker),
            Verdict::Retire => self.retire(worker),
            Verdict::Harakiri { seconds } => {
                let Some(running) = self.places.get_mut(usize::from(worker)).and_then(Place::running_mut) else {
                    return;
                };
                running.harakiri = Some(now + LAST_WORDS);
                let pid = running.pid.as_raw_nonzero();
                let number = worker + 1;
                log::line(
                    Level::Critical,
                    format_args!("worker {number} (pid {pid}) runs a request for {seconds} s (harakiri): it is killed"),
                );
                // Its Python stack goes to the log first.
                // SAFETY: takes two numbers; the process is our child and not reaped.
                unsafe { libc::kill(pid.get(), traceback_signal()) };
            }
        }
    }

    fn busy_too_long(&self, worker: u16) -> Option<u64> {
        let limit = self.settings.harakiri_seconds;
        if limit == 0 {
            return None;
        }
        let now = Observer::now_ms();
        let busy = |seat| Some(now.saturating_sub(self.observer.busy_since_ms(seat)?) / 1000);
        self.end.layout().seats_of(worker).filter_map(busy).max().filter(|seconds| *seconds >= limit)
    }

    fn served(&self, worker: u16) -> u64 {
        self.end.layout().seats_of(worker).map(|seat| self.observer.served(seat)).sum()
    }

    fn requests_max(&self, pid: Pid) -> Option<u64> {
        let most = Some(self.settings.max_requests).filter(|most| *most > 0)?;
        // Any number will do that differs between workers.
        let spread = (pid.as_raw_nonzero().get().unsigned_abs() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        Some(most + spread % (self.settings.max_requests_delta + 1))
    }

    fn mercy(&self) -> Duration {
        Duration::from_secs(self.settings.mercy_seconds)
    }

    /// Waits for a signal, a message, a death, or the next time to look at the workers.
    fn sleep(&self, now: Instant) {
        let bell = self.signals.bell();
        let mut watched = vec![PollFd::new(&bell, PollFlags::IN)];
        watched.push(PollFd::from_borrowed_fd(self.end.control(), PollFlags::IN));
        let alive = self.places.iter().filter_map(Place::running);
        watched.extend(alive.map(|running| PollFd::new(&running.pidfd, PollFlags::IN)));
        let timeout = self.next_look(now).and_then(|left| Timespec::try_from(left).ok());
        // A signal ends it too; whatever it was is found by the next turn.
        let _ = rustix::event::poll(&mut watched, timeout.as_ref());
    }

    fn next_look(&self, now: Instant) -> Option<Duration> {
        let settings = self.settings;
        let is_counting = settings.harakiri_seconds > 0
            || settings.max_requests > 0
            || settings.max_worker_lifetime_seconds > 0
            || settings.reload_on_rss_bytes > 0;
        let of_place = |place: &Place| match place {
            Place::Vacant { due } => Some(*due - now.min(*due)),
            Place::Unclean { .. } => None,
            Place::Taken(Running { harakiri: Some(due), .. }) => Some(*due - now.min(*due)),
            Place::Taken(Running { stopping: Some(since), .. }) => {
                Some((*since + self.mercy()).saturating_duration_since(now))
            }
            Place::Taken(_) => None,
        };
        let counting = is_counting.then_some(LOOK_INTERVAL);
        self.places.iter().filter_map(of_place).chain(counting).min().map(|left| left + Duration::from_millis(1))
    }
}

/// What is to become of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It has had its time.
    Kill,
    /// A request takes too long: its stack is logged, then it is killed.
    Harakiri { seconds: u64 },
    /// It finishes what it runs and is replaced.
    Retire,
}

/// The signal on which a worker writes the Python stacks of its threads to the log.
pub fn traceback_signal() -> i32 {
    libc::SIGRTMAX()
}

fn described(wait_status: i32) -> String {
    if libc::WIFSIGNALED(wait_status) {
        format!("was killed by signal {}", libc::WTERMSIG(wait_status))
    } else {
        format!("exited with status {}", libc::WEXITSTATUS(wait_status))
    }
}

fn resident_bytes(pid: Pid) -> u64 {
    let pages = || {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", pid.as_raw_nonzero())).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok()
    };
    // SAFETY: takes a number.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages().unwrap_or(0) * u64::try_from(page_bytes).unwrap_or(4096)
}

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Between a worker's last traceback and its death.
const LAST_WORDS: Duration = Duration::from_millis(100);
