//! How many programs run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::WAITING_MAX;

/// The places of the locations that share a `cgi_max_processes`, on all threads.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A program's place, free again when the program has ended.
pub(crate) type Place = OwnedSemaphorePermit;

/// There was none in time, or too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all CGI processes are busy")]
pub(crate) struct NoPlace;

impl Places {
    pub(crate) fn new(number: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(number.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, waiting: AtomicUsize::new(0) })
    }

    /// A place, waited for at most so long.
    pub(crate) async fn take(&self, within: Duration) -> Result<Place, NoPlace> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _count = Waiting(&self.waiting);
        if before >= WAITING_MAX {
            return Err(NoPlace);
        }
        let place = tokio::time::timeout(within, Arc::clone(&self.free).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or(NoPlace)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
