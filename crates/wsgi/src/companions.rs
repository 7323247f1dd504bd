//! The processes of a pool that take no requests: mules and spoolers. The zygote forks, watches and replaces them.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use daemun_channel::Observer;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::commons::{Commons, Member};
use crate::log::{self, Level};
use crate::place::BackOff;
use crate::signals::{self, Stop};

/// All of them.
pub struct Companions {
    commons: &'static Commons,
    places: Vec<(Member, State)>,
    back_off: BackOff,
    stopping: Option<Instant>,
    /// Mules have been told too.
    are_mules_told: bool,
}

enum State {
    /// To be forked from then on.
    Vacant(Instant),
    /// Alive.
    Running { pid: Pid, pidfd: OwnedFd, born: Instant },
}

impl std::fmt::Debug for Companions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Companions").finish_non_exhaustive()
    }
}

impl Companions {
    /// None is forked yet.
    pub fn new(commons: &'static Commons) -> Self {
        let numbers = &commons.numbers;
        let members = (0..numbers.mules).map(Member::Mule).chain((0..numbers.spoolers).map(Member::Spooler));
        let now = Instant::now();
        let places = members.map(|member| (member, State::Vacant(now))).collect();
        Self { commons, places, back_off: BackOff::default(), stopping: None, are_mules_told: false }
    }

    /// Whom to fork now.
    pub fn due(&self, now: Instant) -> Option<Member> {
        if self.stopping.is_some() {
            return None;
        }
        let is_due = |state: &State| matches!(state, State::Vacant(due) if *due <= now);
        self.places.iter().find(|(_, state)| is_due(state)).map(|(member, _)| *member)
    }

    /// Takes note of one that was forked.
    ///
    /// # Errors
    ///
    /// What the system says; it is killed then.
    pub fn born(&mut self, member: Member, pid: Pid) -> io::Result<()> {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| {
            // Without it nobody would learn of its death.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        })?;
        self.put(member, State::Running { pid, pidfd, born: Instant::now() });
        Ok(())
    }

    /// Takes note of a fork that failed: tries again a second later.
    pub fn not_born(&mut self, member: Member) {
        self.put(member, State::Vacant(Instant::now() + Duration::from_secs(1)));
    }

    fn put(&mut self, member: Member, state: State) {
        if let Some((_, place)) = self.places.iter_mut().find(|(other, _)| *other == member) {
            *place = state;
        }
    }

    /// Whether all are gone.
    pub fn are_gone(&self) -> bool {
        self.places.iter().all(|(_, state)| matches!(state, State::Vacant(_)))
    }

    /// Has them end: what they do is finished, or not. Mules go on until [`Companions::end_mules`].
    pub fn stop(&mut self, stop: Stop) {
        self.stopping.get_or_insert_with(Instant::now);
        match stop {
            Stop::Graceful => self.signal(Signal::TERM, |member| !matches!(member, Member::Mule(_))),
            Stop::Immediate => self.signal(Signal::KILL, |_| true),
        }
    }

    /// No worker is left that would send them messages: they take what they have got and end.
    pub fn end_mules(&mut self) {
        if !std::mem::replace(&mut self.are_mules_told, true) {
            self.signal(Signal::TERM, |member| matches!(member, Member::Mule(_)));
        }
    }

    fn signal(&self, signal: Signal, is_meant: impl Fn(Member) -> bool) {
        for (member, state) in &self.places {
            if let State::Running { pidfd, .. } = state
                && is_meant(*member)
            {
                // Dead already is fine.
                let _ = rustix::process::pidfd_send_signal(pidfd, signal);
            }
        }
    }

    /// Has all of them open their log anew.
    pub fn reopen_log(&self) {
        for (_, state) in &self.places {
            if let State::Running { pid, .. } = state {
                // SAFETY: takes two numbers; the process is our child and not reaped.
                unsafe { libc::kill(pid.as_raw_nonzero().get(), signals::reopen_signal()) };
            }
        }
    }

    /// Buries the dead, and kills those whose time is over.
    pub fn look_after(&mut self, now: Instant, mercy: Duration) {
        if self.stopping.is_some_and(|since| now - since >= mercy) {
            self.signal(Signal::KILL, |_| true);
        }
        for place in 0..self.places.len() {
            let Some((member, State::Running { pid, pidfd, born })) = self.places.get(place) else { continue };
            let (member, pid, lived) = (*member, *pid, now - *born);
            if self.commons.deadline(member).is_some_and(|due| due <= Observer::now_ms()) {
                log::line(Level::Critical, format_args!("{member} (pid {}) takes too long: it is killed", number(pid)));
                let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
                self.commons.companion_died(member, number(pid));
            }
            let status = match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => status.as_raw(),
                // The application has reaped it itself.
                Err(rustix::io::Errno::CHILD) => 0,
                _ => continue,
            };
            self.bury(place, member, pid, status, lived, now);
        }
    }

    fn bury(&mut self, place: usize, member: Member, pid: Pid, status: i32, lived: Duration, now: Instant) {
        self.commons.companion_died(member, number(pid));
        let delay = self.back_off.after(lived);
        if status != 0 && self.stopping.is_none() {
            let how = crate::supervisor::described(status);
            log::line(Level::Critical, format_args!("{member} (pid {}) {how}", number(pid)));
        }
        if let Some((_, state)) = self.places.get_mut(place) {
            *state = State::Vacant(now + delay);
        }
    }

    /// What becomes readable when one of them dies.
    pub fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.places.iter().filter_map(|(_, state)| match state {
            State::Running { pidfd, .. } => Some(PollFd::new(pidfd, PollFlags::IN)),
            State::Vacant(_) => None,
        })
    }

    /// When to look again at the latest.
    pub fn next_look(&self, now: Instant, mercy: Duration) -> Option<Duration> {
        let of_place = |(member, state): &(Member, State)| match state {
            State::Vacant(due) => self.stopping.is_none().then(|| due.saturating_duration_since(now)),
            State::Running { .. } => {
                let due = self.commons.deadline(*member)?;
                Some(Duration::from_millis(due.saturating_sub(Observer::now_ms())))
            }
        };
        let end =
            self.stopping.filter(|_| !self.are_gone()).map(|since| (since + mercy).saturating_duration_since(now));
        self.places.iter().filter_map(of_place).chain(end).min()
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
