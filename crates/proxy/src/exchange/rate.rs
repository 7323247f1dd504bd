//! `..._limit_rate`: how fast an answer is read.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use daemun_server::clock;
use daemun_server::connection::Deadline;

use crate::limits::READ_BYTES;

/// A limit of octets in a second, with what was read so far.
pub struct Rate {
    octets: u64,
    started_ms: u64,
    read: u64,
    deadline: Deadline,
}

impl Rate {
    /// Begins now, when `read` octets are there. The first second's share may be read at once.
    pub fn new(octets: u64, read: usize) -> Self {
        Self { octets, started_ms: clock::monotonic_ms(), read: read as u64, deadline: Deadline::default() }
    }

    /// How many octets may be read, at least one; ready once that is any.
    pub fn poll_allowed(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        loop {
            let elapsed = clock::monotonic_ms().saturating_sub(self.started_ms);
            let share = self.octets.saturating_mul(elapsed / 1_000 + 1);
            match share.checked_sub(self.read).filter(|rest| *rest > 0) {
                Some(rest) => return Poll::Ready(usize::try_from(rest).unwrap_or(READ_BYTES).min(READ_BYTES)),
                None => {
                    let over = (self.read - share).saturating_mul(1_000) / self.octets + 1;
                    let next = (1_000 - elapsed % 1_000).max(over);
                    ready!(self.deadline.poll_after(Duration::from_millis(next), context));
                    self.deadline.clear();
                }
            }
        }
    }

    /// So many octets were read.
    pub fn note(&mut self, count: usize) {
        self.read += count as u64;
    }
}
