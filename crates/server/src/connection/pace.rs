//! `limit_rate`: how many octets of an answer may have gone out by now.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::timer::Deadline;
use crate::clock;

/// How fast an answer may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Octets a second, at least one.
    pub octets: u64,
    /// Octets that go out without a limit first.
    pub after: u64,
}

/// The way of one answer under a rate.
pub(super) struct Pace {
    rate: Rate,
    /// Monotonic time of the request's beginning.
    started_ms: u64,
    sent: u64,
    /// Set while nothing may be sent.
    resume: Option<Deadline>,
}

impl Pace {
    pub(super) fn new(rate: Rate, started_ms: u64) -> Self {
        Self { rate, started_ms, sent: 0, resume: None }
    }

    /// How many of `wanted` octets may be sent now; with none of them, when is known to [`Pace::poll_ready`].
    pub(super) fn allowance(&mut self, wanted: u64) -> u64 {
        if self.resume.is_some() {
            return 0;
        }
        let allowed = allowed(self.rate, clock::monotonic_ms().saturating_sub(self.started_ms));
        if allowed <= self.sent {
            self.pause((self.sent - allowed).saturating_mul(1_000) / self.rate.octets + 1);
            return 0;
        }
        wanted.min(allowed - self.sent)
    }

    /// Notes that `count` octets went out: the next may follow when they would have arrived at this rate.
    pub(super) fn note(&mut self, count: u64) {
        let limited = |sent: u64| sent.saturating_sub(self.rate.after);
        let gone = limited(self.sent + count) - limited(self.sent);
        self.sent += count;
        self.pause(gone.saturating_mul(1_000) / self.rate.octets);
    }

    fn pause(&mut self, milliseconds: u64) {
        if milliseconds > 0 {
            let mut resume = Deadline::default();
            resume.set(Duration::from_millis(milliseconds));
            self.resume = Some(resume);
        }
    }

    /// Ready once something may be sent; true where that had to be waited for.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(resume) = &mut self.resume else { return Poll::Ready(false) };
        ready!(resume.poll(context));
        self.resume = None;
        Poll::Ready(true)
    }
}

/// Octets that may have gone out after `elapsed_ms`: what a second takes may go at its beginning, as in nginx.
fn allowed(rate: Rate, elapsed_ms: u64) -> u64 {
    rate.octets.saturating_mul(elapsed_ms / 1_000 + 1).saturating_add(rate.after)
}

#[cfg(test)]
mod tests {
    use super::{Pace, Rate, allowed};
    use crate::clock;

    #[test]
    fn a_rate_allows_a_second_ahead_and_what_is_not_limited() {
        let rate = Rate { octets: 1_000, after: 50 };
        assert_eq!([0, 500, 1_000].map(|elapsed_ms| allowed(rate, elapsed_ms)), [1_050, 1_050, 2_050]);
        assert_eq!(allowed(Rate { octets: u64::MAX, after: 1 }, u64::MAX), u64::MAX);
    }

    #[test]
    fn what_went_out_is_waited_for() {
        let mut pace = Pace::new(Rate { octets: 1_000, after: 50 }, clock::monotonic_ms());
        assert_eq!(pace.allowance(40), 40);
        pace.note(40);
        assert!(pace.resume.is_none(), "not limited yet");
        assert_eq!(pace.allowance(9_999), 1_010);
        pace.note(1_010);
        assert!(pace.resume.is_some());
        assert_eq!(pace.allowance(1), 0);
    }
}
