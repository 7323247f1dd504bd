//! One request's way through a group: whom it asks, and what came of it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use daemun_http::{HeaderId, ResponseHead};
use daemun_server::log::Level;
use daemun_server::{Request, clock};

use super::address::UpstreamAddress;
use super::balance::least_time::LeastTime;
use super::balance::{Choice, Memory, Method, Tried};
use super::group::{Roster, Upstream};
use super::server::ServerState;
use super::sticky::Lesson;

/// One request's turn through a group.
///
/// ```text
/// let mut attempts = upstream.begin(request);
/// attempts.limit_tries(proxy_next_upstream_tries);
/// loop {
///     let peer = attempts.next(request)?;            // NoPeer: 502
///     ... idle::take or connect, send, read the head ...
///     attempts.report(request, &peer, PeerResult::Failed);  // and again while tries_left() > 0
///     attempts.head_arrived(request, &peer, &mut head);     // the answer that the client gets
///     ... the body ...
///     attempts.report(request, &peer, PeerResult::Answered);
/// }
/// ```
#[derive(Debug)]
pub struct Attempts {
    upstream: Arc<Upstream>,
    roster: Arc<Roster>,
    on_backup: bool,
    tried: Tried,
    tries_left: u32,
    /// What the balancing method remembers.
    memory: Memory,
    /// What the request says of its session: a server's id, or a name.
    session: Option<Vec<u8>>,
}

/// A server that a request is at. It counts as one of the server's connections until it is finished or dropped.
#[derive(Debug)]
pub struct Peer {
    state: Arc<ServerState>,
    upstream: Arc<Upstream>,
    /// When it was chosen, in milliseconds of the monotonic clock.
    started_ms: u64,
    /// Time to the head of its answer, in milliseconds.
    head_ms: Cell<Option<u64>>,
    has_answered: Cell<bool>,
    /// Whether it counts among the requests under way of `least_time ... inflight`.
    is_inflight: Cell<bool>,
    /// Octets received and sent so far.
    octets: Cell<(u64, u64)>,
    /// Whether the server has done with the request.
    is_over: Cell<bool>,
    /// What is to be learnt of the session once the answer has ended.
    lesson: RefCell<Option<Lesson>>,
}

/// What came of asking a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerResult {
    /// It answered.
    Answered,
    /// It did not, or with an answer that counts as none (`..._next_upstream`): one of its `max_fails`.
    Failed,
    /// It answered with 403 or 404, and another server may have what was asked for: no failure.
    NotFoundLike,
}

/// Why there is no server to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPeer {
    /// As many servers were asked as may be; the last one's failure is the answer.
    #[error("all servers have been asked")]
    AllTried,
    /// None may be asked now: 502.
    #[error("no live upstreams while connecting to upstream")]
    NoLiveUpstreams,
    /// None could be asked before the time of `queue` was over, or too many wait already: 502.
    #[error("upstream queue is full or timed out while connecting to upstream")]
    Busy,
}

impl Upstream {
    /// Begins one request's turn through the group.
    #[must_use]
    pub fn begin(self: &Arc<Self>, request: &Request) -> Attempts {
        let roster = self.roster();
        Attempts {
            tries_left: roster.tries(),
            memory: self.settings.method.begin(request),
            session: self.settings.sticky.as_ref().and_then(|sticky| sticky.session_of(request)),
            upstream: Arc::clone(self),
            roster,
            on_backup: false,
            tried: Tried::default(),
        }
    }
}

impl Attempts {
    /// Chooses the server to ask next. The choice is made whether or not [`Attempts::tries_left`] says 0.
    ///
    /// # Errors
    /// [`NoPeer`].
    pub fn next(&mut self, _request: &Request) -> Result<Peer, NoPeer> {
        let now = now_seconds();
        let bound_to = self.bound_to();
        let bound_to = bound_to.as_deref();
        let _guard = self.upstream.choosing();
        loop {
            let tier = if self.on_backup { &self.roster.backup } else { &self.roster.active };
            let chosen = match tier.servers.as_slice() {
                // The only server is asked however often it failed, and again for the same request.
                [only] if self.roster.is_single() => {
                    let is_its_own = bound_to == Some(only.id()) && !only.is_failed(now);
                    Some(0).filter(|_| only.is_up() && !only.is_full() && (!only.settings.is_draining || is_its_own))
                }
                _ => {
                    let choice = Choice { tier, tried: &self.tried, bound_to, now };
                    let chosen = choice.by(&self.upstream.settings.method, &mut self.memory);
                    chosen.inspect(|index| self.tried.insert(*index))
                }
            };
            if let Some(server) = chosen.and_then(|index| tier.servers.get(index)) {
                server.begin_trial(now);
                return Ok(Peer::new(server, &self.upstream));
            }
            if self.on_backup || self.roster.backup.servers.is_empty() {
                return Err(NoPeer::NoLiveUpstreams);
            }
            self.on_backup = true;
            self.memory.give_up();
            self.tried = Tried::default();
        }
    }

    /// The id of the server that the request's session is bound to.
    fn bound_to(&self) -> Option<Vec<u8>> {
        self.upstream.settings.sticky.as_ref()?.server_of(self.session.as_deref()?)
    }

    /// Begins with the servers as they are now; none counts as asked.
    pub(super) fn begin_again(&mut self) {
        self.roster = self.upstream.roster();
        self.on_backup = false;
        self.tried = Tried::default();
        self.memory.begin_again();
    }

    /// How many servers may still be asked after the one that is being asked has been reported.
    #[must_use]
    pub fn tries_left(&self) -> u32 {
        self.tries_left
    }

    /// `..._next_upstream_tries`: at most so many servers are asked; 0 is no limit.
    pub fn limit_tries(&mut self, most: u32) {
        if most > 0 {
            self.tries_left = self.tries_left.min(most);
        }
    }

    /// A kept connection turned out to be dead: that was no try. Called after the failure has been reported.
    pub fn give_back_try(&mut self) {
        self.tries_left = self.tries_left.saturating_add(1);
    }

    /// The head of the answer that the client gets has come. Adds to it what binds the session to the server. The request's
    /// `$upstream_http_*` and `$upstream_cookie_*` must be those of `head`.
    pub fn head_arrived(&mut self, request: &Request, peer: &Peer, head: &mut ResponseHead) {
        let class = usize::from(head.status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = peer.state.responses.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        peer.note_head();
        let Some(sticky) = &self.upstream.settings.sticky else { return };
        if let Some(cookie) = sticky.set_cookie(request, &peer.state) {
            head.headers.append_known(HeaderId::SetCookie, &cookie);
        }
        if let Some(lesson) = sticky.lesson(request, self.session.as_deref()) {
            match lesson.is_due {
                true => lesson.learn(&peer.state),
                false => drop(peer.lesson.replace(Some(lesson))),
            }
        }
    }

    /// What came of asking `peer`; said once of each, before it is dropped. Nothing is said of a client that went away.
    pub fn report(&mut self, request: &Request, peer: &Peer, result: PeerResult) {
        let server = &peer.state;
        peer.has_answered.set(result == PeerResult::Answered);
        if self.roster.is_single() {
            server.fails.store(0, Ordering::Relaxed);
            if result == PeerResult::Failed {
                server.failures.fetch_add(1, Ordering::Relaxed);
            }
            self.tries_left = 0;
            return;
        }
        match result {
            PeerResult::Failed => {
                let _guard = self.upstream.choosing();
                if server.fail(now_seconds()) {
                    request.log(Level::Warn, format_args!("upstream server temporarily disabled"));
                }
            }
            PeerResult::Answered | PeerResult::NotFoundLike => server.succeed(),
        }
        self.tries_left = self.tries_left.saturating_sub(1);
    }

    /// The group.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Peer {
    fn new(state: &Arc<ServerState>, upstream: &Arc<Upstream>) -> Self {
        state.conns.fetch_add(1, Ordering::Relaxed);
        state.requests.fetch_add(1, Ordering::Relaxed);
        let started_ms = clock::monotonic_ms();
        let is_inflight = upstream.settings.method.counts_inflight();
        if is_inflight {
            state.times.begin_inflight(started_ms);
        }
        Self {
            state: Arc::clone(state),
            upstream: Arc::clone(upstream),
            started_ms,
            head_ms: Cell::new(None),
            has_answered: Cell::new(false),
            is_inflight: Cell::new(is_inflight),
            octets: Cell::new((0, 0)),
            is_over: Cell::new(false),
            lesson: RefCell::new(None),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &UpstreamAddress {
        &self.state.address
    }

    /// The address as `$upstream_addr` shows it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.state.name
    }

    /// How it fares.
    #[must_use]
    pub fn state(&self) -> &Arc<ServerState> {
        &self.state
    }

    /// Octets that have come from the server and gone to it for this request so far, heads included.
    pub fn note_octets(&self, received: u64, sent: u64) {
        self.octets.set((received, sent));
    }

    /// Milliseconds since it was chosen.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        clock::monotonic_ms().saturating_sub(self.started_ms)
    }

    fn note_head(&self) {
        let elapsed = self.elapsed_ms();
        self.head_ms.set(Some(elapsed));
        if let Method::LeastTime(LeastTime { to_head: true, with_inflight: true }) = self.upstream.settings.method {
            self.state.times.add_head(elapsed);
            self.end_inflight(elapsed);
        }
    }

    fn end_inflight(&self, elapsed: u64) {
        if self.is_inflight.replace(false) {
            self.state.times.end_inflight(self.started_ms + elapsed, elapsed);
        }
    }
}

impl Peer {
    /// The server has done with the request, well or not; whoever drops the peer need not say it. Only the times of answers that
    /// ended well count, lest a server that fails fast look fast.
    pub fn finish(&self) {
        if self.is_over.replace(true) {
            return;
        }
        self.state.conns.fetch_sub(1, Ordering::Relaxed);
        let (received, sent) = self.octets.get();
        self.state.received.fetch_add(received, Ordering::Relaxed);
        self.state.sent.fetch_add(sent, Ordering::Relaxed);
        if let Some(queue) = &self.upstream.settings.queue {
            queue.server_is_free();
        }
        let elapsed = self.elapsed_ms();
        if let (true, Some(lesson)) = (self.has_answered.get(), &*self.lesson.borrow()) {
            lesson.learn(&self.state);
        }
        let has_noted_head = self.upstream.settings.method.counts_inflight() && !self.is_inflight.get();
        self.end_inflight(elapsed);
        if let (true, Some(head)) = (self.has_answered.get(), self.head_ms.get()) {
            self.state.times.add_response(elapsed);
            if !has_noted_head {
                self.state.times.add_head(head);
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn now_seconds() -> i64 {
    i64::try_from(clock::monotonic_ms() / 1_000).unwrap_or(i64::MAX)
}
