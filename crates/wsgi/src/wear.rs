//! When a worker has had its time: by requests, by age, by memory.

use std::time::Duration;

use daemun_channel::handover::Workers;
use rustix::process::Pid;

/// The limits of one worker. They differ between workers by the deltas, so that not all are worn out together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests it may run.
    pub requests: Option<u64>,
    /// How long it may live.
    pub lifetime: Option<Duration>,
    /// How long it lives in any case, whatever it has run or uses.
    pub lifetime_min: Duration,
}

/// What is to become of a worker that is worn out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wear {
    /// It finishes what it runs when its successor is ready. Why, for the log.
    Retire(Reason),
    /// It is killed at once, whatever it runs. Why, for the log.
    Kill(Reason),
}

/// Why a worker is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has run so many requests.
    Requests(u64),
    /// It has lived for so many seconds.
    Lifetime(u64),
    /// It has so many bytes resident.
    Resident(u64),
    /// Its address space has so many bytes.
    AddressSpace(u64),
    /// Somebody has asked for it.
    Asked,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Requests(count) => write!(f, "it has run {count} requests (max-requests)"),
            Self::Lifetime(seconds) => write!(f, "it has lived for {seconds} s (max-worker-lifetime)"),
            Self::Resident(bytes) => write!(f, "it uses {} MB (reload-on-rss)", bytes >> 20),
            Self::AddressSpace(bytes) => write!(f, "its address space has {} MB (reload-on-as)", bytes >> 20),
            Self::Asked => f.write_str("a reload was asked for"),
        }
    }
}

impl Limits {
    /// Those of the worker called `number`, from 0: as in uWSGI, each has a delta more than the one before it.
    pub fn of(settings: &Workers, number: u16) -> Self {
        let above = |limit: u64, delta: u64| (limit > 0).then(|| limit + delta.saturating_mul(number.into()));
        Self {
            requests: above(settings.max_requests, settings.max_requests_delta),
            lifetime: above(settings.max_worker_lifetime_seconds, settings.max_worker_lifetime_delta_seconds)
                .map(Duration::from_secs),
            lifetime_min: Duration::from_secs(settings.min_worker_lifetime_seconds),
        }
    }

    /// What is to become of a worker that has served so many requests and lived for so long.
    pub fn judge(&self, settings: &Workers, pid: Pid, served: u64, lived: Duration) -> Option<Wear> {
        let memory = Memory::of(settings, pid);
        if let Some(reason) = memory.above(settings.evil_reload_on_rss_bytes, settings.evil_reload_on_as_bytes) {
            return Some(Wear::Kill(reason));
        }
        if self.lifetime.is_some_and(|most| lived >= most) {
            return Some(Wear::Retire(Reason::Lifetime(lived.as_secs())));
        }
        if lived < self.lifetime_min {
            return None;
        }
        if self.requests.is_some_and(|most| served >= most) {
            return Some(Wear::Retire(Reason::Requests(served)));
        }
        memory.above(settings.reload_on_rss_bytes, settings.reload_on_as_bytes).map(Wear::Retire)
    }
}

/// Whether any limit has to be looked at now and then.
pub fn is_limited(settings: &Workers) -> bool {
    settings.harakiri_seconds > 0
        || settings.max_requests > 0
        || settings.max_worker_lifetime_seconds > 0
        || is_memory_limited(settings)
}

fn is_memory_limited(settings: &Workers) -> bool {
    let limits = [
        settings.reload_on_rss_bytes,
        settings.reload_on_as_bytes,
        settings.evil_reload_on_rss_bytes,
        settings.evil_reload_on_as_bytes,
    ];
    limits.iter().any(|limit| *limit > 0)
}

/// What a process uses, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Mapped, whether it was touched or not.
    pub address_space: u64,
    /// In memory.
    pub resident: u64,
}

impl Memory {
    /// Nothing where nobody asks.
    fn of(settings: &Workers, pid: Pid) -> Self {
        if !is_memory_limited(settings) {
            return Self::default();
        }
        Self::read(pid)
    }

    /// Nothing for a process that is gone.
    pub fn read(pid: Pid) -> Self {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", pid.as_raw_nonzero())).unwrap_or_default();
        // SAFETY: takes a number.
        let page_bytes = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let mut pages = text.split(' ').map(|number| number.parse().unwrap_or(0) * page_bytes);
        Self { address_space: pages.next().unwrap_or(0), resident: pages.next().unwrap_or(0) }
    }

    /// Which of two limits, 0 for none, it is above.
    fn above(&self, resident_max: u64, address_space_max: u64) -> Option<Reason> {
        if resident_max > 0 && self.resident >= resident_max {
            return Some(Reason::Resident(self.resident));
        }
        (address_space_max > 0 && self.address_space >= address_space_max)
            .then_some(Reason::AddressSpace(self.address_space))
    }
}
