//! Connections to servers that wait for the next request, per edge thread.
//!
//! One task per thread watches all of them: whoever says something while nothing was asked, closes, or has waited for
//! `keepalive_timeout` is closed. Keeping a connection costs neither a task nor a timer of its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use daemun_net::Stream;
use daemun_server::clock;
use daemun_server::connection::Deadline;

use super::attempts::Peer;
use super::group::Upstream;
use super::server::ServerState;

/// What `keepalive` and its like say.
#[derive(Clone, Debug)]
pub struct KeepAlive {
    /// Connections that each thread keeps.
    pub connections: usize,
    /// Whether a connection serves the location alone that made it.
    pub is_local: bool,
    /// Requests on one connection.
    pub requests: u32,
    /// How long a connection is used after it was made.
    pub time: Duration,
    /// How long it waits for the next request.
    pub timeout: Duration,
}

/// mainline's default for every named group since 1.29.7.
impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            connections: 32,
            is_local: true,
            requests: 1_000,
            time: Duration::from_secs(3_600),
            timeout: Duration::from_secs(60),
        }
    }
}

/// What a kept connection may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleKey {
    /// The protocol on it: `"http"`, `"fastcgi"`, ...
    pub scheme: &'static str,
    /// Tells locations apart, such as the address of their settings.
    pub location: usize,
    /// Tells the names apart that servers go by where connections are encrypted.
    pub name: u64,
}

/// A connection to a server, new or kept.
pub struct UpstreamConnection {
    /// The socket.
    pub stream: Stream,
    /// Requests that it has served.
    pub requests: u32,
    /// When it was made, in milliseconds of the monotonic clock.
    pub started_ms: u64,
    /// By when the server must have said something. It stays with the connection, since making one costs more than moving it.
    pub deadline: Deadline,
}

impl UpstreamConnection {
    /// A connection just made.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, requests: 0, started_ms: clock::monotonic_ms(), deadline: Deadline::default() }
    }
}

/// A connection that waits.
struct Idle {
    connection: UpstreamConnection,
    server: Arc<ServerState>,
    key: IdleKey,
    /// When it has waited long enough, in milliseconds of the coarse monotonic clock.
    until_ms: u64,
}

#[derive(Default)]
struct Pools {
    /// By the group's id; the one that waits longest stands last.
    pools: BTreeMap<u64, VecDeque<Idle>>,
    /// Of the task that watches; `None` before the first connection is kept.
    watcher: Option<Waker>,
    is_watched: bool,
    /// When the watcher wakes by itself.
    wakes_ms: Option<u64>,
}

thread_local! {
    static POOLS: RefCell<Pools> = RefCell::default();
}

/// A kept connection to the server of `peer`, the one used last.
#[must_use]
pub fn take(upstream: &Upstream, peer: &Peer, key: IdleKey) -> Option<UpstreamConnection> {
    let keepalive = upstream.settings.keepalive.as_ref()?;
    POOLS.with_borrow_mut(|pools| {
        let pool = pools.pools.get_mut(&upstream.id)?;
        loop {
            let is_fit = |idle: &Idle| {
                idle.key.scheme == key.scheme
                    && idle.key.name == key.name
                    && (!keepalive.is_local || idle.key.location == key.location)
                    && idle.server.address == *peer.address()
            };
            let found = pool.iter().position(is_fit)?;
            let idle = pool.remove(found)?;
            // It may have been closed in this very turn of the loop, before the watcher had its turn.
            if is_silent(&idle.connection.stream) {
                return Some(idle.connection);
            }
        }
    })
}

/// Keeps `connection` after its request, unless the group keeps none or this one has served long enough. All of the answer
/// must have been read from it.
pub fn put(upstream: &Upstream, peer: &Peer, key: IdleKey, mut connection: UpstreamConnection) {
    let Some(keepalive) = &upstream.settings.keepalive else { return };
    connection.requests = connection.requests.saturating_add(1);
    let now_ms = clock::monotonic_ms();
    let age = now_ms.saturating_sub(connection.started_ms);
    if connection.requests >= keepalive.requests || u128::from(age) > keepalive.time.as_millis() {
        return;
    }
    let timeout_ms = u64::try_from(keepalive.timeout.as_millis()).unwrap_or(u64::MAX);
    let until_ms = now_ms.saturating_add(timeout_ms);
    POOLS.with_borrow_mut(|pools| {
        if !std::mem::replace(&mut pools.is_watched, true) {
            tokio::task::spawn_local(watch());
        }
        if let Some(watcher) = &pools.watcher {
            if !is_left_alone(&connection.stream, &mut Context::from_waker(watcher)) {
                return;
            }
            if pools.wakes_ms.is_none_or(|wakes_ms| until_ms < wakes_ms) {
                watcher.wake_by_ref();
            }
        }
        let pool = pools.pools.entry(upstream.id).or_default();
        pool.push_front(Idle { connection, server: Arc::clone(peer.state()), key, until_ms });
        pool.truncate(keepalive.connections);
    });
}

/// Nothing has come on the connection, not even its end.
fn is_silent(stream: &Stream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Closes what has waited too long and what the other end has closed, for as long as the thread lives.
async fn watch() {
    let mut deadline = Deadline::default();
    poll_fn(|context| {
        loop {
            let next_ms = POOLS.with_borrow_mut(|pools| pools.sweep(context));
            let Some(next_ms) = next_ms else { return Poll::Pending };
            deadline.set(Duration::from_millis(next_ms.saturating_sub(clock::monotonic_ms())));
            ready!(deadline.poll(context));
        }
    })
    .await
}

impl Pools {
    /// Gives the time at which the next connection has waited long enough.
    fn sweep(&mut self, context: &mut Context<'_>) -> Option<u64> {
        self.watcher = Some(context.waker().clone());
        let now_ms = clock::monotonic_ms();
        self.pools.retain(|_, pool| {
            pool.retain(|idle| idle.until_ms > now_ms && is_left_alone(&idle.connection.stream, context));
            !pool.is_empty()
        });
        self.wakes_ms = self.pools.values().flatten().map(|idle| idle.until_ms).min();
        self.wakes_ms
    }
}

/// As [`is_silent`]; the task is woken when that changes.
fn is_left_alone(stream: &Stream, context: &mut Context<'_>) -> bool {
    while stream.poll_read_ready(context).is_ready() {
        if !is_silent(stream) {
            return false;
        }
    }
    true
}
