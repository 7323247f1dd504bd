//! `least_time`: the server that is likely to be done first, by the times it took before.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Choice, least};
use crate::upstream::server::ServerState;

/// What `least_time` says.
#[derive(Clone, Copy, Debug)]
pub struct LeastTime {
    /// Whether the time to the head counts, and not the time to the end.
    pub to_head: bool,
    /// Whether requests that are still being answered count.
    pub with_inflight: bool,
}

/// The times of one server, in milliseconds, each an average in which the latest counts for a twentieth.
#[derive(Debug, Default)]
pub struct Times(Mutex<Averages>);

#[derive(Clone, Copy, Debug, Default)]
struct Averages {
    head: u64,
    response: u64,
    inflight: u64,
    /// Time that requests under way have taken together, as of `changed`.
    inflight_sum: i64,
    inflight_count: u64,
    changed: u64,
}

/// Milliseconds of the monotonic clock.
type Moment = u64;

impl Times {
    /// The average times to the head and to the end of an answer.
    #[must_use]
    pub fn averages(&self) -> (Duration, Duration) {
        let times = self.lock(|times| *times);
        (Duration::from_millis(times.head), Duration::from_millis(times.response))
    }

    /// A head has come, `milliseconds` after the request began.
    pub fn add_head(&self, milliseconds: u64) {
        self.lock(|times| add(&mut times.head, milliseconds));
    }

    /// An answer has ended, `milliseconds` after the request began.
    pub fn add_response(&self, milliseconds: u64) {
        self.lock(|times| add(&mut times.response, milliseconds));
    }

    /// A request begins that counts while it is under way.
    pub fn begin_inflight(&self, now: Moment) {
        self.lock(|times| {
            times.pass_to(now);
            times.inflight_count += 1;
        });
    }

    /// It no longer does, `milliseconds` after it began.
    pub fn end_inflight(&self, now: Moment, milliseconds: u64) {
        self.lock(|times| {
            times.pass_to(now);
            times.inflight_sum -= i64::try_from(milliseconds).unwrap_or(0);
            times.inflight_count = times.inflight_count.saturating_sub(1);
            if times.inflight_count == 0 {
                times.inflight_sum = 0;
            }
        });
    }

    fn lock<T>(&self, change: impl FnOnce(&mut Averages) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Averages {
    fn pass_to(&mut self, now: Moment) {
        let passed = now.saturating_sub(self.changed).saturating_mul(self.inflight_count);
        self.inflight_sum += i64::try_from(passed).unwrap_or(0);
        self.changed = now;
    }

    /// The age of the requests under way is part of their average from now on.
    fn note_inflight(&mut self, now: Moment) {
        let count = i64::try_from(self.inflight_count).unwrap_or(i64::MAX);
        if let Some(mean) = self.inflight_sum.checked_div(count) {
            let age = mean + i64::try_from(now.saturating_sub(self.changed)).unwrap_or(0);
            add(&mut self.inflight, u64::try_from(age).unwrap_or(0));
        }
    }
}

fn add(average: &mut u64, value: u64) {
    *average = if *average == 0 { value } else { (value + *average * 19 + 10) / 20 };
}

impl LeastTime {
    pub(super) fn choose(&self, choice: &Choice<'_>) -> Option<usize> {
        let now = daemun_server::clock::monotonic_ms();
        for (_, server) in choice.candidates() {
            server.times.lock(|times| times.note_inflight(now));
        }
        least::choose(choice, |server| self.time_to_go(server, choice.now))
    }

    /// How long `server` would be at what it has, one more request included; a number to compare, no time.
    fn time_to_go(&self, server: &ServerState, now: i64) -> u64 {
        let times = server.times.lock(|times| *times);
        let mut time = if self.to_head { times.head } else { times.response };
        // A slow server is thought faster with every `fail_timeout` that it was not asked, and so has its chance.
        let idle = server.seconds_since_trial(now);
        if idle > server.fail_seconds() {
            let halvings = idle / server.fail_seconds().saturating_add(1);
            time = time.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0);
        }
        if times.inflight_count > 0 {
            time = time.max(times.inflight);
        }
        // Times that are close count as equal, and all that are too long too.
        let time = if time > SLOW_MS { SLOW_MS } else { time + STEP_MS - time % STEP_MS };
        time * (1 + u64::from(server.connections()))
    }
}

const SLOW_MS: u64 = 5_000;
const STEP_MS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::Method;
    use crate::upstream::balance::tests::{first_choice, tier};

    const BY_HEAD: Method = Method::LeastTime(LeastTime { to_head: true, with_inflight: false });

    #[test]
    fn the_faster_server_is_asked_and_equals_in_turn() {
        let tier = tier(&[1, 1, 1]);
        for (server, head) in tier.servers.iter().zip([45, 100, 41]) {
            server.begin_trial(50);
            server.times.add_head(head);
        }
        let next = |now| first_choice(&tier, &BY_HEAD, b"", now);
        assert_eq!([next(50), next(50), next(50)], [Some(0), Some(2), Some(0)]);
        // Halved three times, the slow one is in the same class.
        assert_eq!([next(84), next(84), next(84)], [Some(2), Some(1), Some(0)]);
    }

    #[test]
    fn averages_follow_slowly_and_requests_under_way_count() {
        let times = Times::default();
        times.add_head(100);
        times.add_head(200);
        assert_eq!(times.averages().0.as_millis(), 105);
        times.begin_inflight(1_000);
        times.lock(|times| times.note_inflight(1_500));
        assert_eq!(times.lock(|times| times.inflight), 500);
        times.end_inflight(1_600, 600);
        assert_eq!(times.lock(|times| times.inflight_sum), 0);
    }
}
