//! What checks say of a server.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// What the checks of `health_check` say of one server. Without checks it is well.
#[derive(Debug, Default)]
pub struct Health {
    state: AtomicU8,
    /// How it was thought to be under the configuration before this one.
    earlier: AtomicU8,
    /// Checks in a row that said something else than [`Health::state`].
    against: AtomicU32,
    /// Whether the last check was passed.
    pub last_passed: AtomicBool,
    /// Checks that were made.
    pub checks: AtomicU64,
    /// Checks that failed.
    pub failed: AtomicU64,
    /// How often it became unhealthy.
    pub unhealthy: AtomicU64,
}

/// How a server is thought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HealthState {
    /// No check has said anything, and none must.
    Unchecked = 0,
    /// The first check is waited for: `mandatory`.
    Checking = 1,
    /// It is well.
    Healthy = 2,
    /// It is not.
    Unhealthy = 3,
}

impl HealthState {
    fn of(stored: &AtomicU8) -> Self {
        match stored.load(Ordering::Relaxed) {
            1 => Self::Checking,
            2 => Self::Healthy,
            3 => Self::Unhealthy,
            _ => Self::Unchecked,
        }
    }
}

impl Health {
    /// How the server is thought to be.
    #[must_use]
    pub fn state(&self) -> HealthState {
        HealthState::of(&self.state)
    }

    /// Whether it may get requests.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state(), HealthState::Unchecked | HealthState::Healthy)
    }

    /// It gets no requests before a check has been passed, unless `is_persistent` and it was well under the configuration before.
    pub fn await_first_check(&self, is_persistent: bool) {
        let was_healthy = HealthState::of(&self.earlier) == HealthState::Healthy;
        self.set(if is_persistent && was_healthy { HealthState::Healthy } else { HealthState::Checking });
    }

    /// Begins where the configuration before this one ended.
    pub fn resume(&self) {
        self.set(HealthState::of(&self.earlier));
    }

    /// Notes what was known of the same server under the configuration before this one, for whoever checks it again.
    pub fn note_earlier(&self, earlier: &Self) {
        self.earlier.store(earlier.state() as u8, Ordering::Relaxed);
    }

    /// A check was passed; `passes` in a row make it healthy. True when this one did.
    pub fn pass(&self, passes: u32) -> bool {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.last_passed.store(true, Ordering::Relaxed);
        match self.state() {
            HealthState::Healthy => {
                self.against.store(0, Ordering::Relaxed);
                false
            }
            HealthState::Unchecked => {
                self.set(HealthState::Healthy);
                false
            }
            HealthState::Checking => self.turn(1, HealthState::Healthy),
            HealthState::Unhealthy => self.turn(passes, HealthState::Healthy),
        }
    }

    /// A check failed; `fails` in a row make it unhealthy. True when this one did.
    pub fn fail(&self, fails: u32) -> bool {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.last_passed.store(false, Ordering::Relaxed);
        let needed = match self.state() {
            HealthState::Unhealthy => {
                self.against.store(0, Ordering::Relaxed);
                return false;
            }
            HealthState::Checking => 1,
            HealthState::Unchecked | HealthState::Healthy => fails,
        };
        let is_unhealthy = self.turn(needed, HealthState::Unhealthy);
        if is_unhealthy {
            self.unhealthy.fetch_add(1, Ordering::Relaxed);
        }
        is_unhealthy
    }

    /// One check more speaks for `state`, which it is once there are `needed` in a row.
    fn turn(&self, needed: u32, state: HealthState) -> bool {
        let is_so = self.against.fetch_add(1, Ordering::Relaxed) + 1 >= needed;
        if is_so {
            self.set(state);
        }
        is_so
    }

    fn set(&self, state: HealthState) {
        self.against.store(0, Ordering::Relaxed);
        self.state.store(state as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_checks_in_a_row_as_are_asked_for() {
        let health = Health::default();
        assert!(health.is_up() && !health.fail(2));
        assert!(!health.pass(2), "it never was unhealthy");
        assert!(!health.fail(2) && health.is_up());
        assert!(health.fail(2) && !health.is_up());
        assert!(!health.fail(2) && !health.pass(2));
        assert!(!health.fail(2) && !health.pass(2) && !health.is_up(), "a failure between begins the count anew");
        assert!(health.pass(2) && health.is_up());
        health.await_first_check(true);
        assert!(!health.is_up() && health.pass(5), "one pass is enough for the first");
        let next = Health::default();
        next.note_earlier(&health);
        next.await_first_check(false);
        assert!(!next.is_up());
        next.await_first_check(true);
        assert!(next.is_up());
    }
}
