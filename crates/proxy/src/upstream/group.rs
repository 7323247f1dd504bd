//! A group of servers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::address::UpstreamAddress;
use super::balance::Method;
use super::balance::hash::Points;
use super::idle::KeepAlive;
use super::queue::Queue;
use super::resolving::ServerName;
use super::server::{ServerSettings, ServerState};
use super::sticky::Sticky;

/// A group of servers, or the addresses of one `..._pass`. Shared by all threads.
#[derive(Debug)]
pub struct Upstream {
    /// The name, or the address where the group was not named.
    pub name: String,
    /// How it balances and what it keeps.
    pub settings: GroupSettings,
    /// Tells groups apart, those of an earlier configuration too.
    pub(super) id: u64,
    roster: RwLock<Arc<Roster>>,
    /// Whether a `health_check` looks after the servers.
    is_checked: AtomicBool,
    /// Whether a server gets no requests before a check has been passed.
    awaits_check: AtomicBool,
    /// Held while a server is chosen.
    choosing: Mutex<()>,
}

/// What an `upstream` block says beside its servers.
#[derive(Debug, Default)]
pub struct GroupSettings {
    /// How a server is chosen.
    pub method: Method,
    /// Connections kept between requests; `None`: none.
    pub keepalive: Option<KeepAlive>,
    /// How sessions keep to their server.
    pub sticky: Option<Sticky>,
    /// Requests that wait for a server; `None`: they do not.
    pub queue: Option<Queue>,
    /// Names that stand for servers, looked up while requests are served.
    pub names: Vec<ServerName>,
}

/// The servers of a group as they are now. Never changed: names that resolve anew make a new one.
#[derive(Debug, Default)]
pub struct Roster {
    /// Those asked first.
    pub active: Tier,
    /// Those asked when none of the others can be.
    pub backup: Tier,
}

/// Servers among which is balanced.
#[derive(Debug, Default)]
pub struct Tier {
    /// The servers in the order of the configuration.
    pub servers: Vec<Arc<ServerState>>,
    /// The sum of their weights.
    pub total_weight: i64,
    /// Made when `hash ... consistent` first asks for them.
    points: OnceLock<Points>,
}

impl Tier {
    fn new(servers: Vec<Arc<ServerState>>) -> Self {
        let total_weight = servers.iter().map(|server| server.weight()).sum();
        Self { servers, total_weight, points: OnceLock::new() }
    }

    /// The places of the servers on the circle of `hash ... consistent`.
    pub(super) fn points(&self) -> &Points {
        self.points.get_or_init(|| Points::new(self))
    }

    /// How many of them a request may be tried on.
    fn tries(&self) -> u32 {
        let open = self.servers.iter().filter(|server| !server.settings.is_down && !server.settings.is_draining);
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }
}

impl Roster {
    /// The servers of a group, in the order of the configuration.
    #[must_use]
    pub fn new(servers: Vec<Arc<ServerState>>) -> Self {
        let (backup, active) = servers.into_iter().partition(|server| server.settings.is_backup);
        Self { active: Tier::new(active), backup: Tier::new(backup) }
    }

    /// Whether there is one server and no other: it is asked however often it fails.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.active.servers.len() == 1 && self.backup.servers.is_empty()
    }

    /// How often a request may be tried.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.active.tries().saturating_add(self.backup.tries())
    }

    /// All servers.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<ServerState>> {
        self.active.servers.iter().chain(&self.backup.servers)
    }
}

impl Upstream {
    /// A named group.
    #[must_use]
    pub fn new(name: String, settings: GroupSettings, servers: Vec<Arc<ServerState>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            name,
            settings,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            roster: RwLock::new(Arc::new(Roster::new(servers))),
            is_checked: AtomicBool::new(false),
            awaits_check: AtomicBool::new(false),
            choosing: Mutex::new(()),
        }
    }

    /// A group without a name: the addresses of one `..._pass`. As in nginx, no connection to them is kept.
    #[must_use]
    pub fn of_addresses(name: &str, addresses: Vec<UpstreamAddress>) -> Self {
        let settings = Arc::new(ServerSettings::new(name));
        let server = |address| Arc::new(ServerState::new(address, Arc::clone(&settings)));
        Self::new(name.to_owned(), GroupSettings::default(), addresses.into_iter().map(server).collect())
    }

    /// The servers as they are now.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The servers and how one of them is chosen, for a person to read.
    #[must_use]
    pub fn described(&self) -> String {
        let roster = self.roster();
        let mut text = match roster.servers().count() {
            0 => return "no server".to_owned(),
            1 => "server ".to_owned(),
            _ => "one of the servers ".to_owned(),
        };
        for (number, server) in roster.servers().enumerate() {
            let mark = match (&server.settings.is_down, server.settings.is_backup) {
                (true, _) => " (down)",
                (_, true) => " (backup)",
                _ => "",
            };
            text.push_str(if number == 0 { "" } else { ", " });
            text.push_str(&server.name);
            text.push_str(mark);
        }
        text
    }

    /// The one address where the group has no other.
    #[must_use]
    pub fn only_address(&self) -> Option<UpstreamAddress> {
        let roster = self.roster();
        let only = roster.active.servers.first().filter(|_| roster.is_single())?;
        Some(only.address.clone())
    }

    /// Checks begin: where they are `is_mandatory`, a server gets no requests before one has been passed, unless `is_persistent` and
    /// it was well under the configuration before this one. False where somebody else checks them already.
    #[must_use]
    pub fn begin_checks(&self, is_mandatory: bool, is_persistent: bool) -> bool {
        if self.is_checked.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.awaits_check.store(is_mandatory, Ordering::Relaxed);
        for server in self.roster().servers() {
            match is_mandatory {
                true => server.health.await_first_check(is_persistent),
                false => server.health.resume(),
            }
        }
        true
    }

    /// Makes `change` to the list of the servers. Requests under way go on with the list that they began with.
    pub(super) fn change_servers(&self, change: impl FnOnce(&mut Vec<Arc<ServerState>>)) {
        let mut roster = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        let mut servers: Vec<_> = roster.servers().cloned().collect();
        let before: Vec<_> = servers.clone();
        change(&mut servers);
        for new in servers.iter().filter(|server| !before.iter().any(|other| Arc::ptr_eq(other, server))) {
            if self.awaits_check.load(Ordering::Relaxed) {
                new.health.await_first_check(false);
            }
            new.begin_slow_start();
        }
        *roster = Arc::new(Roster::new(servers));
    }

    /// Nobody else chooses a server of the group while the guard lives.
    pub(super) fn choosing(&self) -> MutexGuard<'_, ()> {
        self.choosing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
