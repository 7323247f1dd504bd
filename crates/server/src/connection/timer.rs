//! A connection's deadline, cheap to move.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::clock;
use crate::limits::SPARE_TIMERS;

/// A deadline that is moved with every request and rarely reached.
///
/// Moving it costs a look at the coarse clock. The runtime's timer is only touched when an earlier deadline comes.
#[derive(Default)]
pub struct Deadline {
    /// In milliseconds of the coarse monotonic clock.
    at_ms: Option<u64>,
    after_ms: u64,
    timer: Option<Timer>,
}

/// A timer of the runtime and when it wakes, in milliseconds of the coarse monotonic clock.
type Timer = (Pin<Box<Sleep>>, u64);

thread_local! {
    /// Timers of earlier deadlines, still running: making one and taking it out again costs more than being woken for nothing.
    static SPARE: RefCell<Vec<Timer>> = const { RefCell::new(Vec::new()) };
}

/// Drops what waits to be used again; called before the event loop ends.
pub(crate) fn clear_spare_timers() {
    SPARE.take();
}

impl Deadline {
    /// Sets the deadline `after` from now.
    pub fn set(&mut self, after: Duration) {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.after_ms = after_ms;
        self.at_ms = Some(clock::monotonic_ms().saturating_add(after_ms));
    }

    /// Sets the deadline anew, as far from now as it was, where there is one.
    pub fn renew(&mut self) {
        if self.at_ms.is_some() {
            self.at_ms = Some(clock::monotonic_ms().saturating_add(self.after_ms));
        }
    }

    /// Takes the deadline away.
    pub fn clear(&mut self) {
        self.at_ms = None;
    }

    /// As [`Deadline::poll`], for a wait of its own: the time begins when this is first polled after [`Deadline::clear`].
    pub fn poll_after(&mut self, after: Duration, context: &mut Context<'_>) -> Poll<()> {
        if self.at_ms.is_none() {
            self.set(after);
        }
        self.poll(context)
    }

    /// Ready once the deadline has passed.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at_ms) = self.at_ms else { return Poll::Pending };
        let (sleep, wakes_ms) = self.timer.get_or_insert_with(|| {
            let spare = SPARE.with_borrow_mut(Vec::pop);
            spare.unwrap_or_else(|| (Box::pin(tokio::time::sleep_until(instant(at_ms))), at_ms))
        });
        if *wakes_ms > at_ms {
            sleep.as_mut().reset(instant(at_ms));
            *wakes_ms = at_ms;
        }
        while sleep.as_mut().poll(context).is_ready() {
            if clock::monotonic_ms() >= at_ms {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(instant(at_ms));
            *wakes_ms = at_ms;
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let Some(timer) = self.timer.take() else { return };
        // At the thread's end there is nobody left to have it.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_TIMERS {
                spare.push(timer);
            }
        });
    }
}

/// When the coarse clock will surely have reached `at_ms`: it lags by up to a tick.
fn instant(at_ms: u64) -> Instant {
    let left = at_ms.saturating_sub(clock::monotonic_ms());
    Instant::now() + Duration::from_millis(left) + TICK
}

/// The longest tick of the coarse clock (at 100 Hz).
const TICK: Duration = Duration::from_millis(10);
