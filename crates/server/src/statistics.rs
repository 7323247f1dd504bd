//! What the edge has served and is serving, for whoever shows it.
//!
//! Each event-loop thread counts for itself, so that counting costs no more than an addition; a reader adds the threads up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Between two requests, or before the first.
    Waiting,
    /// Part of a head is here.
    Reading,
    /// A request is being answered.
    Writing,
}

/// The counts of all threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted so far.
    pub accepted: u64,
    /// Requests begun so far.
    pub requests: u64,
    /// Connections by what they are at, in the order of [`Activity`].
    pub connections: [u64; 3],
}

impl Totals {
    /// Connections that are open.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.connections.iter().sum()
    }

    /// Connections that are at `activity`.
    #[must_use]
    pub fn at(&self, activity: Activity) -> u64 {
        self.connections[activity as usize]
    }
}

/// Adds up what all threads of this process have counted. A count that is being changed meanwhile may be one off.
#[must_use]
pub fn totals() -> Totals {
    let mut totals = Totals::default();
    for thread in THREADS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        totals.accepted += thread.accepted.load(Ordering::Relaxed);
        totals.requests += thread.requests.load(Ordering::Relaxed);
        for (total, count) in totals.connections.iter_mut().zip(&thread.connections) {
            *total += count.load(Ordering::Relaxed);
        }
    }
    totals
}

/// One connection's place in the counts; it is given back when the value is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    activity: Cell<Activity>,
}

impl Counted {
    /// A connection that has just been accepted.
    pub(crate) fn new() -> Self {
        OWN.with(|own| {
            add(&own.accepted, 1);
            add(&own.connections[Activity::Waiting as usize], 1);
        });
        Self { activity: Cell::new(Activity::Waiting) }
    }

    /// The connection goes on to `activity`; reading is the beginning of a request.
    pub(crate) fn enter(&self, activity: Activity) {
        let before = self.activity.replace(activity);
        if before == activity {
            return;
        }
        OWN.with(|own| {
            add(&own.connections[before as usize], -1);
            add(&own.connections[activity as usize], 1);
            if activity == Activity::Reading {
                add(&own.requests, 1);
            }
        });
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // A thread that ends has nobody left to count for.
        let _ = OWN.try_with(|own| add(&own.connections[self.activity.get() as usize], -1));
    }
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    requests: AtomicU64,
    connections: [AtomicU64; 3],
}

/// Only the thread whose counter it is writes to it.
fn add(counter: &AtomicU64, change: i64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add_signed(change), Ordering::Relaxed);
}

/// The counters of every thread that ever counted.
static THREADS: Mutex<Vec<Arc<Counters>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<Counters> = {
        let own = Arc::new(Counters::default());
        THREADS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&own));
        own
    };
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::{Activity, Counted, OWN};

    /// Requests, and connections waiting, reading and writing, of this thread alone.
    fn own() -> [u64; 4] {
        OWN.with(|own| {
            let [waiting, reading, writing] = &own.connections;
            [&own.requests, waiting, reading, writing].map(|count| count.load(Ordering::Relaxed))
        })
    }

    #[test]
    fn a_connection_is_at_one_thing_at_a_time_and_leaves_nothing() {
        let counted = Counted::new();
        assert_eq!(own(), [0, 1, 0, 0]);
        counted.enter(Activity::Reading);
        assert_eq!(own(), [1, 0, 1, 0]);
        counted.enter(Activity::Writing);
        counted.enter(Activity::Writing);
        assert_eq!(own(), [1, 0, 0, 1]);
        drop(counted);
        assert_eq!(own(), [1, 0, 0, 0]);
    }
}
