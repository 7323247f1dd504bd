//! `queue`: requests that wait until a server of the group can be asked.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use daemun_server::Request;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::attempts::{Attempts, NoPeer, Peer};

/// Requests of one group that wait for a server.
#[derive(Debug)]
pub struct Queue {
    /// As many may wait.
    most: u32,
    /// So long.
    timeout: Duration,
    waiting: AtomicU32,
    /// Told whenever a server has done with a request.
    freed: Notify,
}

/// One request's place, given back when it is dropped.
struct Place<'a>(&'a Queue);

impl Queue {
    /// Room for `most` requests, each for no longer than `timeout`.
    #[must_use]
    pub fn new(most: u32, timeout: Duration) -> Self {
        Self { most, timeout, waiting: AtomicU32::new(0), freed: Notify::new() }
    }

    /// A server has done with a request: who waits longest tries again.
    pub(super) fn server_is_free(&self) {
        self.freed.notify_one();
    }

    fn place(&self) -> Option<Place<'_>> {
        let one_more = |waiting: u32| (waiting < self.most).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Attempts {
    /// [`Attempts::next`] that waits, as `queue` allows, while no server can be asked.
    ///
    /// # Errors
    /// [`NoPeer::NoLiveUpstreams`] where there is no queue; [`NoPeer::Busy`] where it is full, or the time has passed.
    pub async fn next_or_wait(&mut self, request: &Request) -> Result<Peer, NoPeer> {
        match self.next(request) {
            Err(NoPeer::NoLiveUpstreams) if self.upstream().settings.queue.is_some() => {
                Box::pin(self.wait(request)).await
            }
            first => first,
        }
    }

    async fn wait(&mut self, request: &Request) -> Result<Peer, NoPeer> {
        let upstream = std::sync::Arc::clone(self.upstream());
        let Some(queue) = &upstream.settings.queue else { return Err(NoPeer::NoLiveUpstreams) };
        let Some(_place) = queue.place() else { return Err(NoPeer::Busy) };
        let deadline = Instant::now() + queue.timeout;
        loop {
            // A server may come back without having been busy: by the end of its time out, by a check, by its name.
            let until = deadline.min(Instant::now() + LOOK_AGAIN);
            let _ = timeout_at(until, queue.freed.notified()).await;
            self.begin_again();
            match self.next(request) {
                Err(NoPeer::NoLiveUpstreams) if Instant::now() < deadline => {}
                Err(NoPeer::NoLiveUpstreams) => return Err(NoPeer::Busy),
                found => return found,
            }
        }
    }
}

const LOOK_AGAIN: Duration = Duration::from_secs(1);
