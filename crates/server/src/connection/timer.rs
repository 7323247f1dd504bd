//! A connection's deadline, cheap to move.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A deadline that is moved with every request and rarely reached.
///
/// The runtime's timer is only touched when an earlier deadline comes, not each time it is moved.
#[derive(Default)]
pub struct Deadline {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Sets the deadline `after` from now.
    pub fn set(&mut self, after: Duration) {
        let at = Instant::now() + after;
        self.at = Some(at);
        if let Some(sleep) = &mut self.sleep
            && at < sleep.deadline()
        {
            sleep.as_mut().reset(at);
        }
    }

    /// Takes the deadline away.
    pub fn clear(&mut self) {
        self.at = None;
    }

    /// Ready once `after` has passed since the first of these calls, or since the first one after [`Deadline::clear`].
    pub fn poll_after(&mut self, after: Duration, context: &mut Context<'_>) -> Poll<()> {
        if self.at.is_none() {
            self.set(after);
        }
        self.poll(context)
    }

    /// Ready once the deadline has passed.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        while sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}
