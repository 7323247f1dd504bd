//! `resolver`: names looked up while requests are served, as nginx looks them up.
//!
//! ```text
//!   Resolver::addresses, Resolver::services -> what is known, or one lookup that all who ask wait for
//!                                                 query (servers in turn, UDP, then TCP) -> message (the octets)
//! ```
//!
//! Neither /etc/hosts nor the system's own resolver has a say, and the cache is that of one configuration. Whoever asks may go
//! away: the lookup is a task of its own and goes on.

mod directives;
pub mod message;
mod query;
mod run_time;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemun_server::recency::Recency;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::limits::{DNS_ALIASES_MAX, RESOLVER_NAMES_MAX, SERVERS_MAX};
pub use directives::{MODULE, ResolverInForce, ResolverSettings, read_resolver};
use message::{Data, Record, RecordType};

/// The name servers of one `resolver` line and what they have said.
#[derive(Debug)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    /// How long an answer holds, whatever it says.
    valid: Option<Duration>,
    wants_v4: bool,
    wants_v6: bool,
    next_server: AtomicUsize,
    known: Mutex<Recency<Key, Found>>,
}

/// What is looked up: a name in lower case, for addresses or for a service's hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: Arc<str>,
    is_service: bool,
}

/// What a lookup finds, once it is done.
type Found = watch::Receiver<Option<Finding>>;

/// A lookup, under way or done.
struct Lookup {
    finding: Found,
    /// Whether it was done before it was asked for.
    is_known: bool,
}

#[derive(Clone, Debug)]
struct Finding {
    found: Result<Arc<[Data]>, ResolveError>,
    until: Instant,
}

/// Addresses of a name.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// At least one; which is first changes from time to time.
    pub addresses: Vec<IpAddr>,
    /// Until when they hold.
    pub until: Instant,
}

/// Hosts of a service.
#[derive(Clone, Debug)]
pub struct Services {
    /// By priority, at least one.
    pub hosts: Vec<ServiceHost>,
    /// Until when they hold.
    pub until: Instant,
    /// Hosts whose own names could not be looked up.
    pub failed: Vec<(String, ResolveError)>,
}

/// A host of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceHost {
    /// Its name.
    pub name: String,
    /// An address of it, and its port.
    pub address: SocketAddr,
    /// The least is asked first.
    pub priority: u16,
    /// Its share, at least 1.
    pub weight: u16,
}

/// Why a name is not known. The texts are nginx's, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The question or the answer was not understood.
    #[error("(1: Format error)")]
    FormatError,
    /// The server cannot say.
    #[error("(2: Server failure)")]
    ServerFailure,
    /// There is no such name, or it has no addresses.
    #[error("(3: Host not found)")]
    NotFound,
    /// The server does not know such questions.
    #[error("(4: Unimplemented)")]
    NotImplemented,
    /// The server does not want to say.
    #[error("(5: Operation refused)")]
    Refused,
    /// The server has said something else.
    #[error("({0}: Unknown error)")]
    Other(u8),
    /// No server has said anything.
    #[error("(110: Operation timed out)")]
    TimedOut,
}

impl ResolveError {
    fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::FormatError),
            2 => Some(Self::ServerFailure),
            3 => Some(Self::NotFound),
            4 => Some(Self::NotImplemented),
            5 => Some(Self::Refused),
            other => Some(Self::Other(other)),
        }
    }
}

impl Resolver {
    /// Asks `servers`, at least one, for addresses of the families that are wanted.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>, valid: Option<Duration>, wants_v4: bool, wants_v6: bool) -> Self {
        Self { servers, valid, wants_v4, wants_v6, next_server: AtomicUsize::default(), known: Mutex::default() }
    }

    /// The addresses of `name`, which may be an address itself. Waits no longer than `time`.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn addresses(self: &Arc<Self>, name: &str, time: Duration) -> Result<Resolved, ResolveError> {
        let deadline = Instant::now() + time;
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(Resolved { addresses: vec![address], until: deadline });
        }
        self.wait_for_addresses(self.look_up(name, false, deadline), deadline).await
    }

    /// The hosts of `service` of `name`: `http` stands for `_http._tcp`. Waits no longer than `time`.
    ///
    /// # Errors
    /// [`ResolveError`]; of the hosts' own names where none of them is known.
    pub async fn services(
        self: &Arc<Self>,
        service: &str,
        name: &str,
        time: Duration,
    ) -> Result<Services, ResolveError> {
        let deadline = Instant::now() + time;
        let full = match service.contains('.') || service.starts_with('_') {
            true => format!("{service}.{name}"),
            false => format!("_{service}._tcp.{name}"),
        };
        let outcome = wait(self.look_up(&full, true, deadline), deadline).await?;
        let found = outcome.found?;
        let targets = found.iter().filter_map(|data| match data {
            Data::Srv { priority, weight, port, target } => Some((*priority, *weight, *port, target)),
            _ => None,
        });
        // All are asked at once, then waited for one by one.
        let lookups: Vec<_> = targets.map(|target| (target, self.look_up(target.3, false, deadline))).collect();
        let mut services = Services { hosts: Vec::new(), until: outcome.until, failed: Vec::new() };
        let mut error = ResolveError::NotFound;
        for ((priority, weight, port, target), lookup) in lookups {
            if services.hosts.len() >= SERVERS_MAX {
                break;
            }
            match self.wait_for_addresses(lookup, deadline).await {
                Ok(resolved) => {
                    services.until = services.until.min(resolved.until);
                    let host = |address| ServiceHost {
                        name: target.clone(),
                        address: SocketAddr::new(address, port),
                        priority,
                        weight: weight.max(1),
                    };
                    services.hosts.extend(resolved.addresses.into_iter().map(host));
                }
                Err(why) => {
                    services.failed.push((target.clone(), why));
                    error = why;
                }
            }
        }
        services.hosts.sort_by_key(|host| host.priority);
        if services.hosts.is_empty() { Err(error) } else { Ok(services) }
    }

    async fn wait_for_addresses(&self, lookup: Lookup, deadline: Instant) -> Result<Resolved, ResolveError> {
        let is_known = lookup.is_known;
        let outcome = wait(lookup, deadline).await?;
        let address = |data: &Data| match data {
            Data::A(address) => Some(IpAddr::V4(*address)),
            Data::Aaaa(address) => Some(IpAddr::V6(*address)),
            Data::Cname(_) | Data::Srv { .. } => None,
        };
        let mut addresses: Vec<_> = outcome.found?.iter().filter_map(address).collect();
        if addresses.is_empty() {
            return Err(ResolveError::NotFound);
        }
        // Who has just asked gets the server's own order.
        if is_known {
            let first = daemun_server::thread::random() % addresses.len() as u64;
            addresses.rotate_left(usize::try_from(first).unwrap_or(0));
        }
        Ok(Resolved { addresses, until: outcome.until })
    }

    /// What is known of a name, or a new lookup.
    fn look_up(self: &Arc<Self>, name: &str, is_service: bool, deadline: Instant) -> Lookup {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let key = Key { name: name.into(), is_service };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = known.ask(&key).filter(|lookup| is_of_use(lookup)) {
            return Lookup { is_known: lookup.borrow().is_some(), finding: lookup.clone() };
        }
        let (sender, finding) = watch::channel(None);
        let (resolver, asked) = (Arc::clone(self), key.clone());
        tokio::task::spawn_local(async move {
            let outcome = resolver.find(&asked, deadline).await;
            let _ = sender.send(Some(outcome)); // Nobody may wait for it any more.
        });
        if known.len() >= RESOLVER_NAMES_MAX {
            known.remove_oldest();
        }
        known.insert(key, finding.clone());
        Lookup { finding, is_known: false }
    }

    /// Looks a name up, and the names that it is an alias of.
    async fn find(&self, key: &Key, deadline: Instant) -> Finding {
        let mut name = key.name.to_string();
        let mut ttl = u32::MAX;
        for _ in 0..DNS_ALIASES_MAX {
            let records = match self.records(&name, key.is_service, deadline).await {
                Ok(records) => records,
                Err(error) => return Finding { found: Err(error), until: Instant::now() },
            };
            ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0).min(ttl);
            let (aliases, found): (Vec<_>, Vec<_>) =
                records.into_iter().map(|record| record.data).partition(|data| matches!(data, Data::Cname(_)));
            if let (true, Some(Data::Cname(alias))) = (found.is_empty(), aliases.into_iter().next_back()) {
                name = alias;
                continue;
            }
            let until = Instant::now() + self.valid.unwrap_or(Duration::from_secs(u64::from(ttl)));
            let found = if found.is_empty() { Err(ResolveError::NotFound) } else { Ok(found.into()) };
            return Finding { found, until };
        }
        Finding { found: Err(ResolveError::NotFound), until: Instant::now() }
    }

    /// The records of one name. Addresses of one family are enough, but what is known by halves is not known.
    async fn records(&self, name: &str, is_service: bool, deadline: Instant) -> Result<Vec<Record>, ResolveError> {
        let first = self.next_server.fetch_add(1, Ordering::Relaxed) % self.servers.len().max(1);
        let ask = async |kind, is_wanted: bool| match is_wanted {
            true => Some(query::ask(&self.servers, first, name, kind, deadline).await),
            false => None,
        };
        if is_service {
            return query::ask(&self.servers, first, name, RecordType::Srv, deadline)
                .await
                .map(|answer| answer.records);
        }
        let (v4, v6) = tokio::join!(ask(RecordType::A, self.wants_v4), ask(RecordType::Aaaa, self.wants_v6));
        let mut records = Vec::new();
        for answer in [v4, v6].into_iter().flatten() {
            // An alias that is left out still says how long the rest holds.
            let answer = answer?.records;
            let ttl = answer.iter().chain(&records).map(|record| record.ttl).min().unwrap_or(0);
            // As in nginx, the answer that is read last says whether the name is an alias.
            records.retain(|record: &Record| !matches!(record.data, Data::Cname(_)));
            records.extend(answer);
            records.iter_mut().for_each(|record| record.ttl = ttl);
        }
        Ok(records)
    }
}

/// Whether a lookup need not be made again: it is under way, or its answer still holds.
fn is_of_use(lookup: &Found) -> bool {
    match &*lookup.borrow() {
        Some(outcome) => outcome.found.is_ok() && outcome.until > Instant::now(),
        None => lookup.has_changed().is_ok(),
    }
}

async fn wait(mut lookup: Lookup, deadline: Instant) -> Result<Finding, ResolveError> {
    let outcome = timeout_at(deadline, lookup.finding.wait_for(Option::is_some)).await;
    // The task of a lookup ends before it is done with its thread alone.
    outcome.ok().and_then(Result::ok).and_then(|outcome| outcome.clone()).ok_or(ResolveError::TimedOut)
}
