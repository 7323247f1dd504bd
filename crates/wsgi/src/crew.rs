//! Which workers there are to be: all, as many as the load wants, or none while nobody asks.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daemun_channel::SeatCounters;
use daemun_channel::handover::Workers;

use crate::cheaper::{Cheaper, Load};
use crate::log::{self, Level};
use crate::place::{Place, Running};
use crate::ready;
use crate::supervisor::Supervisor;
use crate::wear::Memory;

/// The workers by what they are called, from 0, whether they live or not.
#[derive(Debug)]
pub struct Crew {
    members: Vec<Member>,
    cheaper: Option<Cheaper>,
    /// There are no workers until somebody asks.
    pub is_cheap: bool,
    /// Workers take no requests.
    pub is_paused: bool,
    /// When something was asked for last, and how many requests had been served by then.
    active: (Instant, u64),
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// There is to be one.
    pub is_wanted: bool,
    /// When the next one may be forked.
    due: Instant,
    /// How often one was forked.
    pub spawns: u64,
    /// When, in seconds since 1970.
    pub last_spawn: u64,
    /// How many of them were killed for a request that ran too long.
    pub harakiris: u64,
    /// What those have counted that are dead.
    pub past: SeatCounters,
}

impl Crew {
    /// `count` of them at most.
    pub fn new(settings: &Workers, count: usize, now: Instant) -> Self {
        let cheaper = Cheaper::new(&settings.cheaper);
        let initial = cheaper.as_ref().map_or(count, |cheaper| cheaper.initial().min(count));
        let member = |number| Member {
            is_wanted: number < initial && !settings.starts_cheap,
            due: now,
            spawns: 0,
            last_spawn: 0,
            harakiris: 0,
            past: SeatCounters::default(),
        };
        let members = (0..count).map(member).collect();
        Self { members, cheaper, is_cheap: settings.starts_cheap, is_paused: false, active: (now, 0) }
    }

    /// How many there may be.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// All of them.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Those that are to live.
    pub fn wanted(&self) -> impl Iterator<Item = usize> {
        self.members.iter().enumerate().filter(|(_, member)| member.is_wanted).map(|(number, _)| number)
    }

    /// Those of them that may be forked now.
    pub fn due(&self, now: Instant) -> impl Iterator<Item = usize> {
        let is_due = move |(_, member): &(usize, &Member)| member.is_wanted && member.due <= now;
        self.members.iter().enumerate().filter(is_due).map(|(number, _)| number)
    }

    /// How long until one of them may be forked.
    pub fn next_birth(&self, now: Instant) -> Option<Duration> {
        self.members.iter().filter(|member| member.is_wanted && member.due > now).map(|member| member.due - now).min()
    }

    /// One of that name is not forked before `due`.
    pub fn put_off(&mut self, number: u16, due: Instant) {
        if let Some(member) = self.members.get_mut(usize::from(number)) {
            member.due = due;
        }
    }

    /// One was forked.
    pub fn born(&mut self, number: u16) {
        if let Some(member) = self.members.get_mut(usize::from(number)) {
            member.spawns += 1;
            member.last_spawn = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        }
    }

    /// One has died.
    pub fn died(&mut self, number: u16, is_harakiri: bool, counted: SeatCounters) {
        if let Some(member) = self.members.get_mut(usize::from(number)) {
            member.harakiris += u64::from(is_harakiri);
            member.past = member.past.plus(counted);
        }
    }

    /// Somebody wants one more, or one less.
    pub fn ask(&mut self, change: i64) {
        match &mut self.cheaper {
            Some(cheaper) => cheaper.ask(change),
            None => log::line(Level::Warning, "the number of workers is fixed: there is no option cheaper"),
        }
    }

    /// Whether it has to be looked at now and then.
    pub fn is_watching(&self, settings: &Workers) -> bool {
        self.cheaper.is_some() || settings.idle_seconds > 0
    }

    fn want(&mut self, number: usize, is_wanted: bool) {
        if let Some(member) = self.members.get_mut(number) {
            member.is_wanted = is_wanted;
        }
    }
}

impl Supervisor<'_> {
    /// Whether there are to be more workers, or fewer.
    pub(crate) fn look_after_crew(&mut self, now: Instant) {
        if self.stop.is_some() || self.opening.is_some() {
            return;
        }
        if self.crew.is_cheap {
            if self.observer.queued() > 0 {
                self.leave_cheap(now);
            }
            return;
        }
        self.look_for_idleness(now);
        if !self.crew.cheaper.as_ref().is_some_and(|cheaper| cheaper.is_due(now)) || self.crew.is_cheap {
            return;
        }
        let load = self.load();
        let needed = self.crew.cheaper.as_mut().map_or(0, |cheaper| cheaper.needed(&load, now));
        for _ in 0..needed.max(0) {
            let Some(number) = self.crew.members.iter().position(|member| !member.is_wanted) else { break };
            self.crew.want(number, true);
            log::line(Level::Notice, format_args!("cheaper: worker {} is added", number + 1));
        }
        for _ in 0..needed.min(0).unsigned_abs() {
            self.let_one_go();
        }
    }

    fn is_busy(&self, worker: u16) -> bool {
        self.end.layout().seats_of(worker).any(|seat| self.observer.busy_since_ms(seat).is_some())
    }

    fn load(&self) -> Load {
        let mut load = Load { queued: self.observer.queued(), ..Load::default() };
        let limits = (self.settings.cheaper.rss_limit_soft_bytes, self.settings.cheaper.rss_limit_hard_bytes);
        for (place, running) in self.running().filter(|(_, running)| running.stopping.is_none()) {
            load.is_changing |= !running.is_up;
            let worker = self.worker_at(place);
            load.busy.push(self.is_busy(worker));
            load.running_us.push(self.counters(worker).running_us);
            if limits != (0, 0) {
                load.resident_bytes += Memory::read(running.pid).resident;
            }
        }
        load.spare = self.crew.members.iter().filter(|member| !member.is_wanted).count();
        load
    }

    /// The oldest that runs nothing, as in uWSGI; nobody where all are busy.
    fn let_one_go(&mut self) {
        if self.succession.is_some() {
            return; // Who is replaced is asked for again.
        }
        let is_idle =
            |place: usize, one: &Running| one.is_up && one.stopping.is_none() && !self.is_busy(self.worker_at(place));
        let idle = self.running().filter(|(place, one)| is_idle(*place, one));
        let Some((place, number)) = idle.min_by_key(|(_, one)| one.born).map(|(place, one)| (place, one.number)) else {
            return;
        };
        self.crew.want(usize::from(number), false);
        self.retire(place);
        log::line(Level::Notice, format_args!("cheaper: worker {} is let go", number + 1));
    }

    fn look_for_idleness(&mut self, now: Instant) {
        let limit = self.settings.idle_seconds;
        if limit == 0 {
            return;
        }
        let served = (0..self.places.len()).map(|place| self.counters(self.worker_at(place)).served).sum();
        let is_busy =
            self.observer.queued() > 0 || (0..self.places.len()).any(|place| self.is_busy(self.worker_at(place)));
        let (since, served_then) = self.crew.active;
        if is_busy || served != served_then {
            self.crew.active = (now, served);
        } else if now - since >= Duration::from_secs(limit) {
            self.crew.active.0 = now;
            if self.settings.die_on_idle {
                log::line(Level::Notice, format_args!("nothing was asked for in {limit} s (die-on-idle)"));
                ready::ask(ready::STOP);
            } else {
                self.go_cheap();
            }
        }
    }

    /// Lets all workers go. The next request brings them back.
    pub(crate) fn go_cheap(&mut self) {
        log::line(Level::Notice, "no workers until the next request");
        self.crew.is_cheap = true;
        (0..self.crew.len()).for_each(|number| self.crew.want(number, false));
        (0..self.places.len()).for_each(|place| self.retire(place));
    }

    fn leave_cheap(&mut self, now: Instant) {
        self.stand_down();
        self.crew.is_cheap = false;
        self.crew.active.0 = now;
        let count = self.crew.cheaper.as_ref().map_or(self.crew.len(), Cheaper::initial);
        (0..count).for_each(|number| self.crew.want(number, true));
    }

    /// Where there are no workers: what becomes readable when there should be.
    pub(crate) fn stand_in(&self) -> Option<&OwnedFd> {
        let place = self.stand_in_place()?;
        let descriptor = self.observer.stand_in(self.worker_at(place));
        if descriptor.is_none() {
            crate::signals::ring(); // A request is there already: no sleep.
        }
        descriptor
    }

    pub(crate) fn stand_down(&self) {
        if let Some(place) = self.stand_in_place() {
            self.observer.stand_down(self.worker_at(place));
        }
    }

    fn stand_in_place(&self) -> Option<usize> {
        let is_vacant = |place: &Place| matches!(place, Place::Vacant);
        self.places.iter().position(is_vacant).filter(|_| self.crew.is_cheap && self.stop.is_none())
    }

    /// Workers that pause finish what they run; requests wait.
    pub(crate) fn pause_or_resume(&mut self) {
        self.crew.is_paused = !self.crew.is_paused;
        log::line(Level::Notice, if self.crew.is_paused { "workers pause" } else { "workers go on" });
        for place in 0..self.places.len() {
            let worker = self.worker_at(place);
            let is_held = self.places.get(place).and_then(Place::running).is_some_and(|running| running.is_held);
            match self.crew.is_paused {
                true => self.observer.hold(worker),
                false if is_held => {}
                false => self.observer.release(worker),
            }
        }
    }
}
