//! How many workers there are to be: uWSGI's *cheaper* and its algorithms, without a clock or a process of its own.

use std::time::{Duration, Instant};

use daemun_channel::handover::{Cheaper as Settings, CheaperAlgorithm};

/// What a look at the workers has shown.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// For each worker that serves: whether it runs a request.
    pub busy: Vec<bool>,
    /// For each worker that serves: microseconds that it has run requests, since it began.
    pub running_us: Vec<u64>,
    /// Requests that nobody has taken yet.
    pub queued: u64,
    /// Resident bytes of all of them.
    pub resident_bytes: u64,
    /// How many more there could be.
    pub spare: usize,
    /// Somebody is still starting: what is wanted will be known when it is up.
    pub is_changing: bool,
}

/// Looks once a second, and remembers what it has seen.
#[derive(Debug)]
pub struct Cheaper {
    settings: Settings,
    looked: Option<Instant>,
    overloads: u64,
    idles: u64,
    /// What somebody has asked for by hand.
    asked: i64,
    busyness: Busyness,
}

/// The memory of the algorithm of that name.
#[derive(Debug, Default)]
struct Busyness {
    measured: Option<Instant>,
    running_us: u64,
    was_busy: bool,
    multiplier: u64,
    next_cheap: Option<Instant>,
    last_cheaped: Option<Instant>,
    was_last_action_cheap: bool,
    emergency_workers: u64,
    tolerated: u32,
    queued_since: Option<Instant>,
}

impl Cheaper {
    /// `None` where the number of workers is fixed.
    pub fn new(settings: &Settings) -> Option<Self> {
        let busyness = Busyness { multiplier: settings.busyness_multiplier, ..Busyness::default() };
        let new = || Self { settings: settings.clone(), looked: None, overloads: 0, idles: 0, asked: 0, busyness };
        (settings.minimum > 0).then(new)
    }

    /// How many workers there are at the beginning.
    pub fn initial(&self) -> usize {
        usize::from(self.settings.initial.max(self.settings.minimum))
    }

    /// Somebody wants one more, or one less.
    pub fn ask(&mut self, change: i64) {
        self.asked += change;
    }

    /// Whether it is time for [`Cheaper::needed`].
    pub fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now - looked >= INTERVAL)
    }

    /// How many workers more there should be; negative: less.
    pub fn needed(&mut self, load: &Load, now: Instant) -> i64 {
        self.looked = Some(now);
        let active = load.busy.len();
        let above = |limit: u64| limit > 0 && load.resident_bytes >= limit;
        if above(self.settings.rss_limit_hard_bytes) && active > 1 {
            return -1;
        }
        let may_grow = !above(self.settings.rss_limit_soft_bytes) && load.spare > 0;
        let asked = std::mem::take(&mut self.asked);
        let needed = match (asked, self.settings.algorithm) {
            (0, _) if load.is_changing || load.busy.is_empty() => 0,
            (0, CheaperAlgorithm::Spare) => self.spare(load),
            (0, CheaperAlgorithm::Spare2) => self.spare2(load),
            (0, CheaperAlgorithm::Backlog) => self.backlog(load),
            (0, CheaperAlgorithm::Busyness) => self.busyness(load, now),
            (asked, _) => asked, // `manual`, too.
        };
        match needed {
            1.. if may_grow => needed.min(i64::try_from(load.spare).unwrap_or(i64::MAX)),
            1.. => 0,
            _ => needed.max(-i64::try_from(active.saturating_sub(1)).unwrap_or(0)),
        }
    }

    fn is_above_minimum(&self, load: &Load) -> bool {
        load.busy.len() > usize::from(self.settings.minimum)
    }

    fn step(&self) -> i64 {
        i64::from(self.settings.step.max(1))
    }

    /// More when nobody has been free for some looks, less when more than one has been.
    fn spare(&mut self, load: &Load) -> i64 {
        let busy = load.busy.iter().filter(|is_busy| **is_busy).count();
        if busy < load.busy.len() {
            self.overloads = self.overloads.saturating_sub(1);
        } else {
            self.overloads += 1;
            self.idles = 0;
        }
        if self.overloads >= self.settings.overload {
            self.overloads = 0;
            return self.step();
        }
        if self.overloads > 0 || load.busy.len() - busy == 1 {
            return 0;
        }
        self.idles += 1;
        let is_time = self.idles.is_multiple_of(self.settings.overload.max(1));
        if self.is_above_minimum(load) && is_time { -1 } else { 0 }
    }

    /// As many free ones as the minimum says.
    fn spare2(&mut self, load: &Load) -> i64 {
        let idle = load.busy.iter().filter(|is_busy| !**is_busy).count();
        let wanted = usize::from(self.settings.minimum);
        if idle < wanted {
            self.idles = 0;
            return i64::try_from(wanted - idle).unwrap_or(i64::MAX).min(self.step());
        }
        if idle == wanted {
            self.idles = 0;
            return 0;
        }
        self.idles += 1;
        if self.idles < self.settings.idle_seconds {
            return 0;
        }
        self.idles = 0;
        if self.is_above_minimum(load) { -1 } else { 0 }
    }

    /// By the number of requests that wait.
    fn backlog(&mut self, load: &Load) -> i64 {
        if load.queued > self.settings.overload {
            return self.step();
        }
        if load.queued < self.settings.overload && self.is_above_minimum(load) { -1 } else { 0 }
    }

    /// By the part of their time that the workers have spent on requests.
    fn busyness(&mut self, load: &Load, now: Instant) -> i64 {
        let period = Duration::from_secs(self.settings.overload.max(1));
        self.busyness.was_busy |= load.busy.iter().any(|is_busy| *is_busy);
        let is_measured = self.busyness.measured.is_none_or(|measured| now - measured >= period);
        if !is_measured {
            return self.emergency(load, now);
        }
        let percent = self.percent_busy(load, now);
        let busyness = &mut self.busyness;
        if percent > self.settings.busyness_max {
            busyness.tolerated = 0;
            if load.spare == 0 {
                return 0;
            }
            // A worker that is missed soon after it was let go was let go too soon.
            let patience = period * u32::try_from(busyness.multiplier).unwrap_or(u32::MAX);
            if busyness.last_cheaped.is_some_and(|cheaped| now - cheaped <= patience) {
                busyness.multiplier += self.settings.busyness_penalty;
            } else {
                self.lower_multiplier();
            }
            self.busyness.was_last_action_cheap = false;
            self.wait_before_cheap(now);
            return self.step();
        }
        let emergency = self.emergency(load, now);
        if emergency > 0 {
            return emergency;
        }
        if load.busy.len() <= 1 {
            return 0;
        }
        if percent < self.settings.busyness_min {
            return self.cheap(load, now);
        }
        let busyness = &mut self.busyness;
        busyness.emergency_workers = busyness.emergency_workers.saturating_sub(1);
        busyness.tolerated += 1;
        if busyness.tolerated >= TOLERATED_MAX {
            self.wait_before_cheap(now);
        } else if let Some(next) = &mut busyness.next_cheap {
            *next += period;
        }
        0
    }

    fn percent_busy(&mut self, load: &Load, now: Instant) -> u64 {
        let total: u64 = load.running_us.iter().sum();
        let busyness = &mut self.busyness;
        let since = busyness.measured.replace(now);
        let spent = total.saturating_sub(std::mem::replace(&mut busyness.running_us, total));
        let was_busy = std::mem::take(&mut busyness.was_busy);
        let Some(since) = since else { return self.settings.busyness_min };
        let workers = u64::try_from(load.busy.len()).unwrap_or(1).max(1);
        let possible = u64::try_from((now - since).as_micros()).unwrap_or(u64::MAX).max(1).saturating_mul(workers);
        match spent.saturating_mul(100) / possible {
            // Requests that take longer than the look are seen only when they end.
            0 if spent == 0 && was_busy => 100,
            percent => percent.min(100),
        }
    }

    fn emergency(&mut self, load: &Load, now: Instant) -> i64 {
        let busyness = &mut self.busyness;
        if load.queued == 0 {
            busyness.queued_since = None;
            return 0;
        }
        let since = *busyness.queued_since.get_or_insert(now);
        let is_long = now - since >= Duration::from_secs(self.settings.busyness_backlog_nonzero_seconds);
        if load.spare == 0 || !(load.queued > self.settings.busyness_backlog_alert || is_long) {
            return 0;
        }
        busyness.queued_since = Some(now);
        busyness.multiplier = self.settings.busyness_multiplier;
        busyness.was_last_action_cheap = false;
        busyness.emergency_workers += u64::from(self.settings.busyness_backlog_step);
        self.wait_before_cheap(now);
        i64::from(self.settings.busyness_backlog_step.max(1))
    }

    fn cheap(&mut self, load: &Load, now: Instant) -> i64 {
        self.busyness.tolerated = 0;
        if self.busyness.next_cheap.is_none() {
            self.wait_before_cheap(now);
        }
        if !self.is_above_minimum(load) || self.busyness.next_cheap.is_some_and(|next| now < next) {
            return 0;
        }
        if self.busyness.was_last_action_cheap {
            self.lower_multiplier();
        }
        self.wait_before_cheap(now);
        let busyness = &mut self.busyness;
        busyness.last_cheaped = Some(now);
        busyness.was_last_action_cheap = true;
        busyness.emergency_workers = busyness.emergency_workers.saturating_sub(1);
        -1
    }

    fn lower_multiplier(&mut self) {
        let lower = self.busyness.multiplier.saturating_sub(1);
        self.busyness.multiplier = lower.max(self.settings.busyness_multiplier);
    }

    fn wait_before_cheap(&mut self, now: Instant) {
        let multiplier = match self.busyness.emergency_workers {
            0 => self.busyness.multiplier,
            _ => self.settings.busyness_backlog_multiplier,
        };
        let wait = self.settings.overload.saturating_mul(multiplier).min(WAIT_SECONDS_MAX);
        self.busyness.next_cheap = Some(now + Duration::from_secs(wait));
    }
}

/// How often the workers are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Measurements between the two limits after which the wait before a worker is let go begins anew.
const TOLERATED_MAX: u32 = 3;

/// A month; longer waits are as good as none.
const WAIT_SECONDS_MAX: u64 = 30 * 86_400;
