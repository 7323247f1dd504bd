//! One server of a group: what the configuration says of it, and how it fares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use daemun_server::clock;
use md_5::{Digest, Md5};

use super::address::UpstreamAddress;
use super::balance::least_time::Times;
use super::health::Health;

/// What a `server` line says.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The address or name as it was written.
    pub name: Arc<str>,
    /// Its share of the requests, at least 1.
    pub weight: u32,
    /// Failures within `fail_timeout` that take it out; 0: never.
    pub max_fails: u32,
    /// How long it is out, and the time in which failures count.
    pub fail_timeout: Duration,
    /// Connections at one time; 0: any number.
    pub max_conns: u32,
    /// Asked only when no other server can be.
    pub is_backup: bool,
    /// Never asked.
    pub is_down: bool,
    /// Asked only for sessions that are bound to it.
    pub is_draining: bool,
    /// How long its share grows after it has come back.
    pub slow_start: Duration,
    /// What `sticky route` calls it.
    pub route: Option<Arc<str>>,
}

impl ServerSettings {
    /// What holds where nothing is said.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_conns: 0,
            is_backup: false,
            is_down: false,
            is_draining: false,
            slow_start: Duration::ZERO,
            route: None,
        }
    }
}

/// One address of a server and how it fares; shared by all threads, and all that is to be known of it by metrics.
///
/// Whoever chooses holds the group's lock, so that weights and failures belong together; whoever reads needs none.
#[derive(Debug)]
pub struct ServerState {
    /// Where it listens.
    pub address: UpstreamAddress,
    /// The address as `$upstream_addr` shows it.
    pub name: Arc<str>,
    /// What the configuration says of it.
    pub settings: Arc<ServerSettings>,
    /// Whether it gets no requests at all.
    pub is_down: AtomicBool,
    /// Requests that it is at.
    pub conns: AtomicU32,
    /// Requests that it was given.
    pub requests: AtomicU64,
    /// Answers by the first digit of their status; the first stands for 1xx.
    pub responses: [AtomicU64; 5],
    /// Requests that failed.
    pub failures: AtomicU64,
    /// Octets of its answers, heads included.
    pub received: AtomicU64,
    /// Octets of the requests to it, heads included.
    pub sent: AtomicU64,
    /// Failures since it was last known to be well.
    pub fails: AtomicU32,
    /// What the checks say.
    pub health: Health,
    /// When it came back, in milliseconds of the monotonic clock; 0 where its share is whole.
    slow_since_ms: AtomicU64,
    /// How long its answers take.
    pub times: Times,
    /// Number of the name that it came of; `None` where the configuration has its address.
    pub(super) origin: Option<usize>,
    /// What binds sessions to it: its route, or the MD5 of its address in hexadecimal digits.
    id: Box<str>,
    /// When it failed last, in seconds of the monotonic clock.
    pub(super) accessed: AtomicI64,
    /// When its time of trial began, in seconds of the monotonic clock.
    pub(super) checked: AtomicI64,
    /// nginx's smooth weighted round robin: how much it is owed.
    pub(super) current_weight: AtomicI64,
    /// Its weight, less what its failures have cost it.
    pub(super) effective_weight: AtomicI64,
}

impl ServerState {
    /// A server that nothing is known of.
    #[must_use]
    pub fn new(address: UpstreamAddress, settings: Arc<ServerSettings>) -> Self {
        let name = address.to_string();
        let id = settings.route.as_deref().map_or_else(|| hexadecimal_md5(&name), Box::from);
        Self {
            name: name.into(),
            id,
            origin: None,
            times: Times::default(),
            health: Health::default(),
            slow_since_ms: AtomicU64::new(0),
            address,
            is_down: AtomicBool::new(settings.is_down),
            conns: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            responses: [const { AtomicU64::new(0) }; 5],
            failures: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            fails: AtomicU32::new(0),
            accessed: AtomicI64::new(0),
            checked: AtomicI64::new(0),
            current_weight: AtomicI64::new(0),
            effective_weight: AtomicI64::new(i64::from(settings.weight)),
            settings,
        }
    }

    /// As [`ServerState::new`], of an address that name number `origin` of the group stands for.
    #[must_use]
    pub fn of_name(address: UpstreamAddress, settings: Arc<ServerSettings>, origin: usize) -> Self {
        Self { origin: Some(origin), ..Self::new(address, settings) }
    }

    /// What binds sessions to it.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        self.id.as_bytes()
    }

    /// Requests that it is at.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.conns.load(Ordering::Relaxed)
    }

    /// Its weight in sums.
    #[must_use]
    pub fn weight(&self) -> i64 {
        i64::from(self.settings.weight)
    }

    /// Whether it may be given a request at `now`, in seconds: it is up, has not failed too often, has a connection free.
    #[must_use]
    pub fn is_available(&self, now: i64) -> bool {
        !self.settings.is_draining && self.is_available_to_its_own(now)
    }

    /// As [`ServerState::is_available`], for a session that is bound to it.
    #[must_use]
    pub fn is_available_to_its_own(&self, now: i64) -> bool {
        self.is_up() && !self.is_failed(now) && !self.is_full()
    }

    /// Whether it gets requests at all.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed) && self.health.is_up()
    }

    /// Whether it serves as many requests as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let most = self.settings.max_conns;
        most > 0 && self.connections() >= most
    }

    /// Whether it is left alone at `now`, since it has failed `max_fails` times.
    #[must_use]
    pub fn is_failed(&self, now: i64) -> bool {
        let most = self.settings.max_fails;
        most > 0 && self.fails.load(Ordering::Relaxed) >= most && self.seconds_since_trial(now) <= self.fail_seconds()
    }

    /// It has been chosen at `now`: a new time of trial begins where the last is over.
    pub(super) fn begin_trial(&self, now: i64) {
        if self.seconds_since_trial(now) > self.fail_seconds() {
            self.checked.store(now, Ordering::Relaxed);
        }
    }

    /// It has failed at `now`. True when that was once too often.
    pub(super) fn fail(&self, now: i64) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let fails = self.fails.fetch_add(1, Ordering::Relaxed) + 1;
        self.accessed.store(now, Ordering::Relaxed);
        self.checked.store(now, Ordering::Relaxed);
        let most = self.settings.max_fails;
        if most == 0 {
            return false;
        }
        let less = self.effective_weight.load(Ordering::Relaxed) - self.weight() / i64::from(most);
        self.effective_weight.store(less.max(0), Ordering::Relaxed);
        fails >= most
    }

    /// It has answered: its failures are forgotten if none came within the time of trial.
    pub(super) fn succeed(&self) {
        if self.accessed.load(Ordering::Relaxed) < self.checked.load(Ordering::Relaxed) {
            let fails = self.fails.swap(0, Ordering::Relaxed);
            if self.settings.max_fails > 0 && fails >= self.settings.max_fails {
                self.begin_slow_start();
            }
        }
    }

    /// It has come back: with `slow_start`, its share grows from next to nothing.
    pub fn begin_slow_start(&self) {
        if !self.settings.slow_start.is_zero() {
            self.slow_since_ms.store(clock::monotonic_ms().max(1), Ordering::Relaxed);
        }
    }

    /// Its weight in [`WHOLE_SHARE`]ths, less where it has come back a short while ago.
    #[must_use]
    pub fn present_weight(&self) -> u64 {
        u64::from(self.settings.weight) * self.share()
    }

    fn share(&self) -> u64 {
        let since = self.slow_since_ms.load(Ordering::Relaxed);
        if since == 0 {
            return WHOLE_SHARE;
        }
        let whole = u64::try_from(self.settings.slow_start.as_millis()).unwrap_or(u64::MAX).max(1);
        let elapsed = clock::monotonic_ms().saturating_sub(since);
        if elapsed >= whole {
            self.slow_since_ms.store(0, Ordering::Relaxed);
            return WHOLE_SHARE;
        }
        (elapsed.saturating_mul(WHOLE_SHARE) / whole).max(1)
    }

    /// Adds its weight, in [`WHOLE_SHARE`]ths, to what it is owed; gives the sum and what was added. A weight that failures cost grows back by one.
    pub(super) fn grow(&self) -> (i64, i64) {
        let effective = self.effective_weight.load(Ordering::Relaxed);
        let added = effective * i64::try_from(self.share()).unwrap_or(1);
        let current = self.current_weight.load(Ordering::Relaxed) + added;
        self.current_weight.store(current, Ordering::Relaxed);
        if effective < self.weight() {
            self.effective_weight.store(effective + 1, Ordering::Relaxed);
        }
        (current, added)
    }

    /// `fail_timeout` in seconds.
    pub(super) fn fail_seconds(&self) -> i64 {
        i64::try_from(self.settings.fail_timeout.as_secs()).unwrap_or(i64::MAX)
    }

    /// Seconds since its time of trial began.
    pub(super) fn seconds_since_trial(&self, now: i64) -> i64 {
        now.saturating_sub(self.checked.load(Ordering::Relaxed))
    }
}

/// Parts of a weight, so that even a weight of 1 can grow.
pub const WHOLE_SHARE: u64 = 128;

fn hexadecimal_md5(text: &str) -> Box<str> {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().map(|octet| format!("{octet:02x}")).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_from_next_to_nothing() {
        let settings = ServerSettings { slow_start: Duration::from_secs(3_600), weight: 2, ..ServerSettings::new("a") };
        let server = ServerState::new(UpstreamAddress::Unix("/a".into()), Arc::new(settings));
        assert_eq!(server.present_weight(), 2 * WHOLE_SHARE);
        server.begin_slow_start();
        assert_eq!(server.present_weight(), 2);
        assert!(!server.fail(100) || server.is_failed(100));
        server.slow_since_ms.store(0, Ordering::Relaxed);
        server.begin_trial(200);
        server.succeed();
        assert_eq!(server.present_weight(), 2, "it begins again once failures are forgotten");
    }
}
